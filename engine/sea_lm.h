/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_lm.h - decoder-only language models: Hugging Face folders in and out, a training step
 *
 * Families are rows of one table (lm_desc.c); docs/models.md lists them with their options.
 * What we do not compute (other architectures, activations, kinds of rotation) is refused by
 * name. Dropout rates in a config are read past: nothing is dropped. In the Gemma families
 * words enter times sqrt(D), and given rows as they are, as transformers 5 has it: releases
 * before it multiplied them, too. The head of a Llava folder is that of transformers' Llava:
 * without Gemma 2's soft cap, and with Phi's bias only if the file has it. Tokenizer files are
 * the caller's business.
 *
 * A batch is packed: segments one after another without padding, each with positions from 0
 * and its own causal attention. A row is a word (its id >= 0) or given from outside
 * (SEA_LM_GIVEN: an image patch); the k-th given row of the batch takes row k of `given`.
 *
 * Labels are aligned with ids, as in Hugging Face: labels[t] is ids[t] where the word is
 * supervised and SEA_LM_IGNORE elsewhere. The shift happens here: row t predicts labels[t+1]
 * within its segment, so that a segment's first label is never used.
 *
 *     sea_lm_forward(lm, work, &batch, given, weight, true, err)    loss and its gradient
 *     sea_lm_backward(lm, work, dgiven, err)                        through the stack
 *     sea_lm_loss(work, &sum, err)                                  waits
 *
 * weight is what each supervised row's loss counts: 1 / (supervised rows of the whole step,
 * all micro-batches and ranks together), so that accumulation never changes the gradient.
 *
 * Invariants: (1) loss and gradients of a segment do not depend on how it was packed, but
 *                 for the order of sums in weight gradients;
 *             (2) only supervised rows go through the last block's feed-forward part, the
 *                 final norm and the head; the others cost keys and values there;
 *             (3) a step is a pure function of weights and batch, and allocates nothing.
 */
#ifndef SEA_LM_H
#define SEA_LM_H

#include "engine/base/sea_node.h"
#include "engine/sea_head.h"
#include "engine/sea_transformer.h"

struct sea_tensors;             /* engine/sea_safetensors.h */

#define SEA_LM_GIVEN (-200)     /* an id: the row comes from outside (SEA_IMAGE_ID) */
#define SEA_LM_IGNORE (-100)    /* a label: not supervised (SEA_LABEL_NONE) */
#define SEA_LM_EOS 8            /* end words at most */

enum sea_lm_family {
    SEA_LM_LLAMA, SEA_LM_QWEN2, SEA_LM_GEMMA, SEA_LM_GEMMA2, SEA_LM_MISTRAL, SEA_LM_PHI,
    SEA_LM_PHI3, SEA_LM_QWEN3, SEA_LM_STABLELM, SEA_LM_FAMILIES
};

struct sea_lm_desc {
    enum sea_lm_family family;
    int64_t vocab, D, F, layers, H, K, E;
    int64_t max_positions;
    double rope_theta;
    struct sea_rope_scaling rope_scaling;
    double rotary;              /* part of each head that is rotated; 0: the family's usual */
    struct sea_windows windows;
    double query_scalar;        /* gemma2: scores count 1/sqrt of it; 0: of E */
    float score_cap, final_cap; /* gemma2: soft caps of attention and logits; 0: none */
    bool parallel;              /* stablelm: "use_parallel_residual" */
    float eps;
    float init_scale;           /* "initializer_range" */
    bool tied;                  /* the head is the embedding table */
    bool attention_bias;        /* q, k, v, o: llama, gemma, gemma2, qwen3; q, k, v: stablelm */
    bool mlp_bias;              /* llama */
    bool no_head_bias;          /* phi: the folder has none (a Llava folder of transformers) */
    int32_t bos, pad;           /* -1: none */
    int32_t eos[SEA_LM_EOS];
    int eos_count;
};
/* llama, rope_theta 10000, eps 1e-6, init 0.02, tied, 2048 positions, no words. */
struct sea_lm_desc sea_lm_defaults(void);
/* "llama", .. as in "model_type"; and back, -1 when it is none of ours. */
const char *sea_lm_family_name(enum sea_lm_family family);
int sea_lm_family_find(const char *name);
/* Reads config.json (or a text_config in it: pass that map). name is the file in messages;
 * what cannot be used is SEA_E_FORMAT and names the key. */
SEA_MUST_CHECK enum sea_status
sea_lm_desc_parse(struct sea_lm_desc *desc, const struct sea_node *config, const char *name,
                  struct sea_err *err);
/* Takes the end words of DIR/generation_config.json where there are some: a chat model has
 * more of them there than in its config. */
SEA_MUST_CHECK enum sea_status
sea_lm_desc_generation(struct sea_lm_desc *desc, const char *dir, struct sea_err *err);
/* The same as a tree, for config.json and for text_config. */
struct sea_node *sea_lm_desc_node(const struct sea_lm_desc *desc, struct sea_arena *arena,
                                  struct sea_node *parent, const char *key);
/* Weights in floats, without allocating anything. */
int64_t sea_lm_desc_floats(const struct sea_lm_desc *desc);

struct sea_lm {                 /* read freely */
    struct sea_lm_desc desc;
    const struct sea_device *device;
    struct sea_params params;   /* names as in the folder: "model.embed_tokens.weight" ... */
    struct sea_stack stack;
    int64_t embed, head;        /* offsets of (V, D), (V, D); head = embed when tied */
    int64_t norm, norm_bias, head_bias; /* of (D), (D), (V); -1: none */
    struct sea_arena *arena;
};

/* New weights from (seed, name). trained: with room for gradients. */
SEA_MUST_CHECK enum sea_status
sea_lm_create(struct sea_lm **out, const struct sea_device *device,
              const struct sea_lm_desc *desc, uint64_t seed, bool trained, struct sea_err *err);
/* A folder of a family above: config.json and model.safetensors (or shards). */
SEA_MUST_CHECK enum sea_status
sea_lm_load(struct sea_lm **out, const struct sea_device *device, const char *dir,
            bool trained, struct sea_err *err);
/* From open tensors, names PREFIX"model.layers...". With a prefix (a Llava folder), the
 * newer layout "model.language_model.layers...", "lm_head.weight" is found, too. */
SEA_MUST_CHECK enum sea_status
sea_lm_load_tensors(struct sea_lm **out, const struct sea_device *device,
                    const struct sea_lm_desc *desc, const struct sea_tensors *tensors,
                    const char *prefix, bool trained, struct sea_err *err);
void sea_lm_destroy(struct sea_lm *lm);         /* accepts NULL */
/* Writes config.json and model.safetensors into dir, which is made when absent. */
SEA_MUST_CHECK enum sea_status
sea_lm_save(const struct sea_lm *lm, const char *dir, struct sea_err *err);

/* The embedding table (V, D), and what turns hidden rows into words. */
static inline struct sea_weight
sea_lm_embeddings(const struct sea_lm *lm)
{
    return sea_params_matrix(&lm->params, lm->embed);
}

static inline struct sea_head_words
sea_lm_words(const struct sea_lm *lm)
{
    return (struct sea_head_words){
        .matrix = sea_params_matrix(&lm->params, lm->head),
        .bias = sea_params_vector(&lm->params, lm->head_bias), .softcap = lm->desc.final_cap,
    };
}

struct sea_lm_batch {           /* host arrays, borrowed until the call returns */
    int64_t rows, segments;
    const int32_t *start;       // (segments + 1), start[0] = 0, start[segments] = rows
    const int32_t *ids;         // (rows)
    const int32_t *labels;      // (rows); NULL: nothing is supervised
};
/* Supervised rows of a batch: what 1/weight adds up over a step's micro-batches. */
int64_t sea_lm_supervised(const struct sea_lm_batch *batch);

struct sea_lm_limits {          /* of one batch */
    int64_t rows;               /* also bounds segments */
    bool trained;               /* a backward will be asked for */
    bool recompute;             /* trained: keep the inputs of blocks only (SEA_KEEP_INPUTS) */
};
struct sea_lm_work;
SEA_MUST_CHECK enum sea_status
sea_lm_work_create(struct sea_lm_work **out, const struct sea_lm *lm,
                   const struct sea_lm_limits *limits, struct sea_err *err);
void sea_lm_work_destroy(struct sea_lm_work *work);     /* accepts NULL */
/* Whether the tensors are there in the shapes that desc asks for: what load_tensors would say, and
 * nothing is loaded. */
SEA_MUST_CHECK enum sea_status
sea_lm_desc_fits(const struct sea_lm_desc *desc, const struct sea_tensors *tensors,
                 const char *prefix, struct sea_err *err);
/* Device bytes that create takes; SIZE_MAX when too large. */
size_t sea_lm_work_bytes(const struct sea_lm *lm, const struct sea_lm_limits *limits);
/* The same for a model that is not there, and the bytes of its weights (and gradients, and
 * rotations) in a storage. Nothing is allocated. */
size_t sea_lm_desc_work_bytes(const struct sea_lm_desc *desc,
                              const struct sea_lm_limits *limits);
size_t sea_lm_desc_bytes(const struct sea_lm_desc *desc, enum sea_store store, bool trained);

/* Loss of a batch. given (device) holds one row per SEA_LM_GIVEN id, NULL without any;
 * gradient: prepare the backward (work must be trained). A batch beyond the limits, an id
 * or a label outside the vocabulary, a segment longer than max_positions: SEA_E_INTERNAL
 * (callers check data before). A batch without supervised rows has loss 0. */
SEA_MUST_CHECK enum sea_status
sea_lm_forward(const struct sea_lm *lm, struct sea_lm_work *work,
               const struct sea_lm_batch *batch, const float *given, float weight,
               bool gradient, struct sea_err *err);
/* After a forward with gradient: adds to the parameters' gradients when lm is trained, and
 * writes dgiven (device, one row per given row; NULL: not wanted). */
SEA_MUST_CHECK enum sea_status
sea_lm_backward(const struct sea_lm *lm, struct sea_lm_work *work, float *dgiven,
                struct sea_err *err);
/* Sum of the last forward's losses, not weighted. Waits for the device. */
SEA_MUST_CHECK enum sea_status
sea_lm_loss(struct sea_lm_work *work, double *sum, struct sea_err *err);

/* Logits (rows, V) of every row of a batch to the host; labels are not read. */
SEA_MUST_CHECK enum sea_status
sea_lm_logits(const struct sea_lm *lm, struct sea_lm_work *work,
              const struct sea_lm_batch *batch, const float *given, float *out_host,
              struct sea_err *err);

#endif
