/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_clip.h - a vision tower, and where it has them its text tower and joint space
 *
 * Three families, told apart by one row of a table each (clip_tower.c): CLIP (CLIPModel,
 * CLIPVisionModel, CLIPVisionModelWithProjection), SigLIP (SiglipModel, SiglipVisionModel)
 * and DINOv2 (Dinov2Model). Hugging Face's layouts, in and out; a vision tower also loads
 * from inside a Llava folder. Four users:
 *   - alignment and evaluation read hidden states of patches       sea_clip_features
 *   - labelling compares patches with words in the joint space     sea_clip_patches, _texts
 *   - the foundation stage trains both towers                      struct sea_clip_trainer
 *   - retrieval figures compare whole pictures with captions       sea_clip_images, _texts
 * Other towers (registers, interpolated SigLIP 2) are refused by name.
 *
 * Numbers: a picture is g x g patches of P x P pixels, m = g * g, g = image / P (what is
 * left at the right and lower edge is not seen); its rows are the class row (CLIP, DINOv2),
 * then the patches from left to right and top to bottom: m + c rows, c = sea_clip_class_rows.
 * D and D_t are the widths of the towers, J the width of the joint space.
 *
 * The joint space: CLIP projects the normed class row; SigLIP lets a learned query attend
 * to all patches (its attention-pooling head); DINOv2 has none. SigLIP's texts are padded to
 * the full number of positions and read at the last one, as the model was trained.
 *
 * Invariants: (1) a row's bits do not depend on what else is in the batch nor on the size
 *                 of chunks;
 *             (2) embeddings (patches, images, texts) have unit length;
 *             (3) parameters that the model lacks (no text tower, no joint space) stay
 *                 empty parts, and calls that need them fail with SEA_E_CONFIG;
 *             (4) only the blocks that a result needs are run.
 * Threads: one caller at a time per device.
 */
#ifndef SEA_CLIP_H
#define SEA_CLIP_H

#include "engine/base/sea_node.h"
#include "engine/sea_params.h"
#include "engine/sea_transformer.h"

struct sea_tensors;             /* engine/sea_safetensors.h */

enum sea_tower { SEA_TOWER_CLIP, SEA_TOWER_SIGLIP, SEA_TOWER_DINOV2, SEA_TOWERS };
const char *sea_tower_name(enum sea_tower tower);       /* "CLIP", "SigLIP", "DINOv2" */

struct sea_clip_vision_desc {
    int64_t D, layers, heads, F;
    int64_t image, patch, channels;     /* pixels per side */
    enum sea_act act;
    float eps;
    /* Pixels per side that the positions were trained for, 0: image. When its grid is not
     * the picture's, positions are interpolated; DINOv2 only. */
    int64_t trained;
    int64_t ratio;              /* DINOv2's mlp_ratio, which F follows from */
    bool pool;                  /* SigLIP's attention-pooling head is there */
    bool gated;                 /* DINOv2's SwiGLU: act(gate) * up */
    bool no_qkv_bias;
    bool mask_token;            /* DINOv2's: kept and written, never read */
};
struct sea_clip_text_desc {
    int64_t D, layers, heads, F;
    int64_t vocab, positions;
    int32_t bos, eos, pad;
    /* Old folders (eos_token_id 2) mean the largest id of a text, not that id. */
    bool eos_is_largest;
    enum sea_act act;
    float eps;
};
struct sea_clip_desc {
    enum sea_tower tower;
    struct sea_clip_vision_desc vision; /* D 0: no vision tower */
    struct sea_clip_text_desc text;     /* D 0: no text tower */
    int64_t joint;              /* J; 0: no projections and no logit scale */
    float logit_scale;          /* initial value of theta = log of the scale */
    float logit_bias;           /* SigLIP's, initial value */
};

/* True when config.json is that of a vision model of ours, with or without a text tower. */
bool sea_clip_is_model(const struct sea_node *config);
/* Reads config.json of a tower or of a model that holds one under "vision_config" (Llava);
 * absent keys take Hugging Face's defaults. name is the file in messages. Unusable values
 * are SEA_E_FORMAT and name the key. */
SEA_MUST_CHECK enum sea_status
sea_clip_desc_parse(struct sea_clip_desc *desc, const struct sea_node *config,
                    const char *name, struct sea_err *err);
/* DINOv2 takes pictures of other sizes than its positions were trained for: sets the side
 * from the folder's preprocessor_config.json when that is there. Other towers: nothing. */
SEA_MUST_CHECK enum sea_status
sea_clip_desc_size(struct sea_clip_desc *desc, const char *dir, struct sea_err *err);
/* Both of these: the sizes of the vision model in a folder. */
SEA_MUST_CHECK enum sea_status
sea_clip_desc_load(struct sea_clip_desc *desc, const char *dir, struct sea_err *err);
/* Sizes that cannot work together are SEA_E_CONFIG and name the field. */
SEA_MUST_CHECK enum sea_status
sea_clip_desc_check(const struct sea_clip_desc *desc, struct sea_err *err);
/* The config.json as a tree: of the whole model, or of the vision model without a text
 * tower. */
struct sea_node *sea_clip_desc_node(const struct sea_clip_desc *desc, struct sea_arena *arena);

static inline int64_t
sea_clip_patch_count(const struct sea_clip_desc *desc)  /* m */
{
    int64_t g = desc->vision.D > 0 ? desc->vision.image / desc->vision.patch : 0;

    return g * g;
}

static inline int64_t
sea_clip_class_rows(const struct sea_clip_desc *desc)   /* c: 1 with a class row, else 0 */
{
    return desc->tower != SEA_TOWER_SIGLIP;
}

/* Where the tensors outside the blocks lie, in floats from their part's data; -1: absent.
 * All but the last line: of the part that their name says. */
struct sea_clip_offsets {
    int64_t class_row, patch, patch_bias;       // (D), (D, C*P*P), (D)
    int64_t vision_pos;                         // (g0 * g0 + c, D), of the trained grid
    int64_t pre, pre_bias, post, post_bias;     // (D) each
    int64_t probe;                              // (D) SigLIP's pooling head, from here on
    int64_t pool_in, pool_in_bias;              // (3D, D), (3D): query, key, value
    int64_t pool_out, pool_out_bias;            // (D, D), (D)
    int64_t pool_norm, pool_norm_bias;          // (D)
    int64_t pool_up, pool_up_bias;              // (F, D), (F)
    int64_t pool_down, pool_down_bias;          // (D, F), (D)
    int64_t token, text_pos;                    // (vocab, D_t), (positions, D_t)
    int64_t final, final_bias;                  // (D_t)
    int64_t text_proj, text_proj_bias;          // (J, D_t), (J); CLIP's is in the head part
    int64_t vision_proj, scale, bias;           // (J, D), (1), (1) of the head part
};

struct sea_clip {               /* read freely */
    struct sea_clip_desc desc;
    const struct sea_device *device;
    struct sea_params vision;   /* "vision_model.*"; DINOv2's names have no such beginning */
    struct sea_params text;     /* "text_model.*" */
    struct sea_params head;     /* CLIP's projections, "logit_scale", SigLIP's "logit_bias" */
    struct sea_stack vision_stack, text_stack;
    struct sea_clip_offsets at;
    struct sea_arena *arena;
};

/* New weights from (seed, name). trained: with room for gradients. */
SEA_MUST_CHECK enum sea_status
sea_clip_create(struct sea_clip **out, const struct sea_device *device,
                const struct sea_clip_desc *desc, uint64_t seed, bool trained,
                struct sea_err *err);
/* A folder with both towers, or with the vision tower only. */
SEA_MUST_CHECK enum sea_status
sea_clip_load(struct sea_clip **out, const struct sea_device *device, const char *dir,
              bool trained, struct sea_err *err);
/* The vision tower alone: tensors PREFIX"vision_model.embeddings..." of an open folder;
 * "vision_tower." for Llava, "" for a tower's own. When they are absent, the names without
 * "vision_model." are tried, which newer releases of transformers write; in memory, and
 * when saved, they have it. desc's text and joint are ignored; a pooling head or a mask
 * token that the files lack is left out. */
SEA_MUST_CHECK enum sea_status
sea_clip_load_vision(struct sea_clip **out, const struct sea_device *device,
                     const struct sea_clip_desc *desc, const struct sea_tensors *tensors,
                     const char *prefix, bool trained, struct sea_err *err);
/* Whether the tensors are there in the shapes that desc asks for: what load_vision would say, and
 * nothing is loaded. */
SEA_MUST_CHECK enum sea_status
sea_clip_desc_fits(const struct sea_clip_desc *desc, const struct sea_tensors *tensors,
                   const char *prefix, struct sea_err *err);
/* True when that tower's tensors begin with PREFIX, under either naming. */
bool sea_clip_is_at(const struct sea_clip_desc *desc, const struct sea_tensors *tensors,
                    const char *prefix);
void sea_clip_destroy(struct sea_clip *clip);   /* accepts NULL */
/* Writes config.json and model.safetensors into dir, which is made when absent. */
SEA_MUST_CHECK enum sea_status
sea_clip_save(const struct sea_clip *clip, const char *dir, struct sea_err *err);
/* SHA-256 over sizes and weights: the same model has the same digest, whatever folder and
 * file layout it came from. */
SEA_MUST_CHECK enum sea_status
sea_clip_digest(const struct sea_clip *clip, char out[65], struct sea_err *err);

/* Activations and scratch for reading. Longer work is cut into chunks of these sizes. */
struct sea_clip_limits {
    int64_t images;             /* pictures at once; 0: no vision */
    int64_t texts, text_rows;   /* texts at once and their ids together; 0: no text */
    bool trained;               /* keep what sea_clip_features_backward needs */
};
struct sea_clip_work;
SEA_MUST_CHECK enum sea_status
sea_clip_work_create(struct sea_clip_work **out, const struct sea_clip *clip,
                     const struct sea_clip_limits *limits, struct sea_err *err);
void sea_clip_work_destroy(struct sea_clip_work *work); /* accepts NULL */

/* Where results go: either may be NULL, both may be given. */
struct sea_clip_out {
    float *device;              /* rows, device memory */
    float *host;                /* rows, host memory; filled on return */
};

/* hidden_states[layer] of count pictures: layer 0 is the input of the first block,
 * negative numbers count from the end as in Hugging Face (-1: last block, -2: the one
 * before). No norm follows. with_class: m + 1 rows per picture, else the m patches. */
SEA_MUST_CHECK enum sea_status
sea_clip_features(const struct sea_clip *clip, struct sea_clip_work *work,
                  const float *pixels,  // (count, C, image, image), host
                  int64_t count, int64_t layer, bool with_class,
                  struct sea_clip_out out,      // (count * m, D) or (count * (m + 1), D)
                  struct sea_err *err);
/* After sea_clip_features on a trained work with count <= limits.images: adds the
 * gradients of the vision part. dout has the shape of the last result. */
SEA_MUST_CHECK enum sea_status
sea_clip_features_backward(const struct sea_clip *clip, struct sea_clip_work *work,
                           const float *dout,   // device
                           struct sea_err *err);

/*
 * Patches in the joint space: last block, post_layernorm, projection, unit length. What
 * the last blocks compute depends on the variant:
 *   raw_pos, raw_neg  the plain tower; the sign belongs to scoring (sea_clip_variant_sign)
 *   maskclip          in the last block each row attends to itself alone: attention's
 *                     result is the row's own value vector; the rest of the block stays
 *   surgery           two paths through the last 6 blocks (all of them when there are
 *                     fewer): o is the plain tower; n starts as o and adds, per block,
 *                     Wo softmax(v v' / sqrt(E)) v + b with v from norm1(o) of that block,
 *                     and no feed-forward. Patches are taken from n.
 * SigLIP has no projection of patches. A patch x goes through its pooling head as the only
 * row that the query sees: u = Wo (Wv LN(x) + bv) + bo, u + MLP(LN(u)), unit length.
 */
enum sea_clip_variant {
    SEA_CLIP_RAW_POS, SEA_CLIP_RAW_NEG, SEA_CLIP_MASKCLIP, SEA_CLIP_SURGERY,
    SEA_CLIP_VARIANTS
};
#define SEA_CLIP_SURGERY_BLOCKS 6
const char *sea_clip_variant_name(enum sea_clip_variant variant);       /* "raw_pos", ... */
bool sea_clip_variant_find(const char *name, enum sea_clip_variant *out);
float sea_clip_variant_sign(enum sea_clip_variant variant);             /* -1: raw_neg */
/* Needs a work that is not trained. */
SEA_MUST_CHECK enum sea_status
sea_clip_patches(const struct sea_clip *clip, struct sea_clip_work *work,
                 const float *pixels, int64_t count, enum sea_clip_variant variant,
                 struct sea_clip_out out,       // (count * m, J)
                 struct sea_err *err);

/* Whole pictures in the joint space: from the class row, or pooled (SigLIP; needs a work
 * that is not trained). */
SEA_MUST_CHECK enum sea_status
sea_clip_images(const struct sea_clip *clip, struct sea_clip_work *work,
                const float *pixels, int64_t count,
                struct sea_clip_out out,        // (count, J)
                struct sea_err *err);

/* Texts in the joint space. Text i is ids[start[i]] .. ids[start[i + 1] - 1], unpadded:
 * CLIP's with its begin and end tokens and read at the end token, SigLIP's as its tokenizer
 * gives it (it is padded here; a work needs `positions` text_rows per text).
 * A text that is empty, too long, holds an id outside the vocabulary or, CLIP's, no end
 * token is SEA_E_FORMAT and is named by its number. */
SEA_MUST_CHECK enum sea_status
sea_clip_texts(const struct sea_clip *clip, struct sea_clip_work *work, const int32_t *ids,
               const int64_t *start,    // (count + 1), host
               int64_t count,
               struct sea_clip_out out,         // (count, J)
               struct sea_err *err);

/*
 * Contrastive training of both towers of a CLIP model: symmetric InfoNCE over a batch of
 * pairs, learned scale exp(theta) <= 100, class row against end-token row. One batch at a
 * time; what it needs is allocated at create.
 */
struct sea_clip_trainer;
SEA_MUST_CHECK enum sea_status
sea_clip_trainer_create(struct sea_clip_trainer **out, struct sea_clip *clip,
                        int64_t batch,          /* pairs at most */
                        int64_t text_rows,      /* caption ids at most, all together */
                        struct sea_err *err);
void sea_clip_trainer_destroy(struct sea_clip_trainer *trainer);        /* accepts NULL */
/* Forward and backward of one batch; adds to the gradients of the three parts (zero them
 * first: sea_adamw_zero). loss may be NULL; reading it waits for the device. */
SEA_MUST_CHECK enum sea_status
sea_clip_trainer_step(struct sea_clip_trainer *trainer, const float *pixels,
                      const int32_t *ids, const int64_t *start, int64_t count,
                      double *loss, struct sea_err *err);
/* exp(theta), clamped: what the log shows. */
SEA_MUST_CHECK enum sea_status
sea_clip_scale(const struct sea_clip *clip, double *scale, struct sea_err *err);

#endif
