/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_mllm.h - a language model that reads pictures through an adapter
 *
 * The tower is not part of it: features come in (cached or fresh, sea_clip_features), one
 * block of m rows per picture. A step of the alignment stage:
 *
 *     sea_mllm_forward(mllm, work, &batch, weight, true, err)   adapter, stack, head
 *     sea_mllm_backward(mllm, work, err)          LM gradients if trained; work's dx
 *     sea_align_add(align, pairs, .., work x, work dx, ..)      SEA's loss, sea_align.h
 *     sea_mllm_backward_adapter(mllm, work, NULL, err)          adapter gradients from dx
 *
 * Folders: LlavaForConditionalGeneration's layout, in and out, with any tower of sea_clip.h,
 * and LLaVA-1.5's original one, in and, for adapters of other than two layers, out. Names are
 * written as
 * "language_model.model...", "language_model.lm_head.weight", "vision_tower...." and
 * "multi_modal_projector....", which every release of transformers reads; the newer
 * "model.language_model..." names are read, too.
 */
#ifndef SEA_MLLM_H
#define SEA_MLLM_H

#include "engine/base/sea_file.h"
#include "engine/sea_adapter.h"
#include "engine/sea_clip.h"
#include "engine/sea_lm.h"
#include "engine/sea_lora.h"

struct sea_mllm {               /* all borrowed unless made by sea_mllm_load */
    struct sea_lm *lm;
    struct sea_adapter *adapter;
    int64_t patches;            /* m: rows per picture */
};

struct sea_mllm_batch {
    struct sea_lm_batch text;   /* ids hold m times SEA_LM_GIVEN per picture, in order */
    int64_t images;             /* pictures of the batch; 0: text only */
    const float *features;      // (images * m, Dv)
    bool features_on_device;    /* else they are on the host and copied */
};

struct sea_mllm_limits {
    struct sea_lm_limits text;
    int64_t images;             /* at most; 0: text only */
};

struct sea_mllm_work {          /* read freely between calls */
    struct sea_plan plan;
    struct sea_lm_work *text;
    struct sea_adapter_work adapter;
    int64_t images_room, images;        /* limit; of the last forward */
    const float *features;      // (images * m, Dv) device, of the last forward
    float *staged;              // (images_room * m, Dv) device copy of host features
    float *x, *dx;              // (images_room * m, D) adapter outputs, their gradient
    bool trained;
};
SEA_MUST_CHECK enum sea_status
sea_mllm_work_create(struct sea_mllm_work **out, const struct sea_mllm *mllm,
                     const struct sea_mllm_limits *limits, struct sea_err *err);
void sea_mllm_work_destroy(struct sea_mllm_work *work); /* accepts NULL */

/* As sea_lm_forward. Given rows must be images * m. */
SEA_MUST_CHECK enum sea_status
sea_mllm_forward(const struct sea_mllm *mllm, struct sea_mllm_work *work,
                 const struct sea_mllm_batch *batch, float weight, bool gradient,
                 struct sea_err *err);
/* The adapter alone: work->x of the features (host) of some pictures. */
SEA_MUST_CHECK enum sea_status
sea_mllm_adapt(const struct sea_mllm *mllm, struct sea_mllm_work *work, const float *features,
               int64_t images, struct sea_err *err);
/* The language model's part; writes work->dx. */
SEA_MUST_CHECK enum sea_status
sea_mllm_backward(const struct sea_mllm *mllm, struct sea_mllm_work *work,
                  struct sea_err *err);
/* The adapter's part, from work->dx; nothing to do without pictures. dfeatures (device,
 * (images * m, Dv)) is for a tower that is trained, else NULL. */
SEA_MUST_CHECK enum sea_status
sea_mllm_backward_adapter(const struct sea_mllm *mllm, struct sea_mllm_work *work,
                          float *dfeatures, struct sea_err *err);
static inline enum sea_status
sea_mllm_loss(struct sea_mllm_work *work, double *sum, struct sea_err *err)
{
    return sea_lm_loss(work->text, sum, err);
}
/* Logits (rows, V) of every row of a batch to the host. */
SEA_MUST_CHECK enum sea_status
sea_mllm_logits(const struct sea_mllm *mllm, struct sea_mllm_work *work,
                const struct sea_mllm_batch *batch, float *out_host, struct sea_err *err);

/* ---- folders (mllm_files.c) ---- */

struct sea_mllm_folder {        /* a whole model; fields NULL when not there */
    struct sea_clip *clip;      /* vision tower */
    struct sea_adapter *adapter;
    struct sea_lm *lm;
    int64_t layer;              /* vision_feature_layer, -2 */
    bool with_class;            /* strategy "full" of a tower with a class row */
    int32_t image_token;        /* id of "<image>" in prompts; SEA_LM_GIVEN in the original
                                   layout, where there is no such word */
    bool pad;                   /* the folder says that pictures are padded to squares */
    char template_name[32];     /* "conversation_template": what it was tuned with; "": the
                                   folder does not say */
    char view[SEA_PATH_MAX];    /* the folder of preprocessor_config.json, read only */
    int64_t patches;            /* rows per picture */
    struct sea_lora *lora;      /* adapters attached to lm, see sea_mllm_add_lora */
};
struct sea_mllm_trained { bool clip, adapter, lm; };    /* which parts get gradients */
/* A LlavaForConditionalGeneration folder, one of LLaVA-1.5's original layout, or a PEFT folder
 * whose base model is one (nothing is trained then). */
SEA_MUST_CHECK enum sea_status
sea_mllm_load(struct sea_mllm_folder *folder, const struct sea_device *device,
              const char *dir, struct sea_mllm_trained trained, struct sea_err *err);
/* The same with the vision tower of another folder: for the original layout, whose config
 * only names one ("mm_vision_tower": a folder, absolute or below dir). NULL: as named. */
SEA_MUST_CHECK enum sea_status
sea_mllm_load_tower(struct sea_mllm_folder *folder, const struct sea_device *device,
                    const char *dir, const char *tower, struct sea_mllm_trained trained,
                    struct sea_err *err);
/* The language model's settings of a config in the original layout, with a model_type that
 * sea_lm_desc_parse knows; NULL when config is not in that layout. */
struct sea_node *
sea_mllm_original_language(const struct sea_node *config, struct sea_arena *arena);
struct sea_mllm_about {
    struct sea_clip_desc clip;
    struct sea_lm_desc lm;
    char tower[SEA_PATH_MAX];   /* the original layout: the folder of the tower; else "" */
};
/* What a folder that sea_mllm_load_tower takes says of its tower and its language model; no
 * weights are read. */
SEA_MUST_CHECK enum sea_status
sea_mllm_describe(struct sea_mllm_about *about, const char *dir, const char *tower,
                  struct sea_err *err);
/* Whether the tensors of tower and language model are there in the shapes that the config asks
 * for; nothing is loaded. Not for PEFT folders. */
SEA_MUST_CHECK enum sea_status
sea_mllm_fits(const char *dir, const char *tower, struct sea_err *err);
void sea_mllm_release(struct sea_mllm_folder *folder);  /* destroys the parts; all-zero ok */
/* Adds the adapters of a PEFT folder to a loaded language model: merged into float32
 * weights, attached to those of bfloat16. */
SEA_MUST_CHECK enum sea_status
sea_mllm_add_lora(struct sea_mllm_folder *folder, const char *dir, struct sea_err *err);
/* A PEFT folder and its base model: what sea_mllm_load does with one. */
SEA_MUST_CHECK enum sea_status
sea_mllm_load_lora(struct sea_mllm_folder *folder, const struct sea_device *device,
                   const char *dir, struct sea_err *err);
/* Writes config.json and model.safetensors into dir, which is made when absent; tokenizer
 * and preprocessor files are copied by the caller. Parts are borrowed. An adapter of other
 * than two layers has no place in Hugging Face's layout: then LLaVA's original one is
 * written, with the tower in dir/vision_tower. */
SEA_MUST_CHECK enum sea_status
sea_mllm_save(const struct sea_mllm_folder *folder, const char *dir, struct sea_err *err);

#endif
