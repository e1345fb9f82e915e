/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_lora.h - low-rank adapters on the linear layers of a stack (Hu et al. 2021)
 *
 *     y = W x + (alpha / rank) B A drop(x)          A (rank, in), B (out, rank)
 *
 * W is frozen; A and B train. First A is uniform in +-1/sqrt(in), as PEFT's Kaiming rule
 * gives, B is 0: a new adapter changes nothing. A and B are float32 in every storage.
 *
 * Layers are told by the last word of their names ("q_proj"). Layers that run as one product
 * (q, k, v; gate, up) have their A one after another, so that A x is one product, too.
 *
 * Files are PEFT's: adapter_config.json and adapter_model.safetensors with names
 * "base_model.model.PATH.lora_A.weight". Read are the paths of a language model alone and
 * of Llava folders, old and new, with ranks and scales of each layer's own and for some
 * layers only (lora_uneven.c); kinds of adapter that we do not compute (DoRA, trained biases)
 * are refused by name.
 *
 * Dropout draws from (seed, step, layer, key of the row, column): not from the place of a
 * row in its batch, so that packing and accumulation change nothing. Layers that run as one
 * product share their mask.
 *
 * Invariants: (1) a row's bits do not depend on the rows beside it;
 *             (2) gradients are summed over blocks of rows in order: equal batch, equal bits.
 */
#ifndef SEA_LORA_H
#define SEA_LORA_H

#include "engine/base/sea_file.h"
#include "engine/sea_transformer.h"

struct sea_lora_desc {
    int64_t rank;
    double alpha;
    double dropout;             /* 0 <= dropout < 1, in training only */
    const char *const *targets; /* last words of names; count 0: all layers of the blocks */
    size_t targets_count;
    uint64_t seed;              /* of first weights and of dropout */
};

struct sea_lora_pair {          /* the adapter of one layer */
    const struct sea_param *base;       /* its weight */
    int64_t a, b;               // offsets of (rank, in), (out, rank)
};
/* Keys of rows for dropout: equal keys, equal masks. */
struct sea_lora_keys {
    const uint64_t *keys;       // (count) host, borrowed until they are set again
    int64_t count;
};

struct sea_lora {               /* read freely */
    struct sea_lora_desc desc;
    struct sea_stack *stack;    /* borrowed; its `lora` leads here */
    struct sea_params params;   /* "model.layers.0.self_attn.q_proj.lora_A.weight" ... */
    struct sea_lora_pair *pairs;        /* in the order of the base weights */
    int64_t count;
    struct sea_lora_keys rows, live;    /* see sea_lora_set_rows; count 0: no dropout */
    int64_t step;
    struct sea_plan plan;
    int64_t wide, in_most;      /* of h, of an input */
    float *h, *dh;              // (SEA_LORA_ROWS, wide)
    float *dropped, *dx;        // (SEA_LORA_ROWS, in_most), with dropout only
    float *host;                // (SEA_LORA_ROWS, in_most) host, with dropout only
    struct sea_arena *arena;
};
#define SEA_LORA_ROWS 1024      /* rows of one block of work */

/* New adapters for a reserved stack, attached to it. No layer of a wanted name is
 * SEA_E_CONFIG and lists the names there are. The stack must outlive the adapters. */
SEA_MUST_CHECK enum sea_status
sea_lora_create(struct sea_lora **out, struct sea_stack *stack,
                const struct sea_lora_desc *desc, bool trained, struct sea_err *err);
void sea_lora_destroy(struct sea_lora *lora);   /* detaches; accepts NULL */

/* Rows of the batches that follow: all rows, and those of the last block (struct
 * sea_segments, live). Without, or with counts of 0, nothing is dropped. */
void sea_lora_set_rows(struct sea_lora *lora, int64_t step, struct sea_lora_keys rows,
                       struct sea_lora_keys live);

/* y (R, out) += the adapters' part of x (R, in), for the layers whose weights lie at
 * weight .. weight + in * out of the stack's parameters. Nothing to do for others. */
SEA_MUST_CHECK enum sea_status
sea_lora_forward(struct sea_lora *lora, int64_t weight, const float *x, float *y, int64_t R,
                 int64_t in, int64_t out, struct sea_err *err);
/* dx (R, in) += ...; adds to the gradients of A and B when they are trained. */
SEA_MUST_CHECK enum sea_status
sea_lora_backward(struct sea_lora *lora, int64_t weight, const float *x, const float *dy,
                  float *dx, int64_t R, int64_t in, int64_t out, struct sea_err *err);

/* For a rank among several: opens or closes the gradients of one layer of the stack
 * (sea_shard.h). */
SEA_MUST_CHECK enum sea_status
sea_lora_pass(struct sea_lora *lora, int64_t layer,
              enum sea_status (*pass)(const struct sea_params *, int64_t, struct sea_err *),
              struct sea_err *err);

/* W += (alpha / rank) B A in the stack's weights (rounded again in bfloat16 storage). The
 * adapters should be destroyed then: they would count twice. */
SEA_MUST_CHECK enum sea_status sea_lora_merge(struct sea_lora *lora, struct sea_err *err);

/* ---- PEFT folders (lora_files.c) ---- */

/* base: goes into the config. llava: paths are those of LlavaForConditionalGeneration, and
 * the projector (NULL: none), as a Llava folder names its tensors, is written beside the
 * adapters ("modules_to_save"), so that they fit the untrained base model, too. */
SEA_MUST_CHECK enum sea_status
sea_lora_save(const struct sea_lora *lora, const char *dir, const char *base, bool llava,
              const struct sea_params *projector, struct sea_err *err);
#define SEA_LORA_WEIGHTS "adapter_model.safetensors"
#define SEA_LORA_PROJECTOR "multi_modal_projector"
/* Frozen adapters from a PEFT folder, attached. Tensors of a projector that the folder holds
 * as a whole ("modules_to_save") are passed over: sea_mllm_add_lora reads them. */
SEA_MUST_CHECK enum sea_status
sea_lora_load(struct sea_lora **out, struct sea_stack *stack, const char *dir,
              struct sea_err *err);
/* Whether dir is a PEFT folder (it holds adapter_config.json). */
bool sea_lora_is_folder(const char *dir);
/* The folder of the model that a PEFT folder belongs to: "base_model_name_or_path" below
 * dir when that is a folder, else as it stands. */
SEA_MUST_CHECK enum sea_status
sea_lora_base(const char *dir, char out[SEA_PATH_MAX], struct sea_err *err);

#endif
