/* SPDX-License-Identifier: Apache-2.0 */
/* lm_int.h - pieces of the language model that lm*.c and generate*.c share */
#ifndef SEA_LM_INT_H
#define SEA_LM_INT_H

#include "engine/sea_lm.h"

/* What a family has in common, and Hugging Face's defaults for what a config may leave out. */
struct sea_lm_row {
    const char *name, *class_name;      /* "model_type", "architectures" */
    int64_t vocab, D, F, layers, H, K, E, max_positions;        /* K 0: H; E 0: D / H */
    bool tied;
    int32_t bos, eos, pad;
    enum sea_act act;
    bool gated;
    enum sea_norm norm;
    float norm_add;
    const char *eps_key;
    double eps;
    const struct sea_block_names *names;
    const char *final_norm;
    unsigned options;           /* enum sea_lm_option */
    enum { SEA_LM_NO_WINDOW, SEA_LM_WINDOW_ALL, SEA_LM_WINDOW_UPPER, SEA_LM_WINDOW_EVEN }
        window_rule;            /* which layers, when the config does not list them */
    int64_t window;             /* 0: none */
    double rotary;              /* part of a head */
};

enum sea_lm_option {
    SEA_LM_ATTENTION_BIAS = 1 << 0,     /* key "attention_bias": q, k, v and o */
    SEA_LM_USE_QKV_BIAS = 1 << 1,       /* key "use_qkv_bias": q, k and v */
    SEA_LM_QKV_BIAS = 1 << 2,           /* q, k, v always */
    SEA_LM_EVERY_BIAS = 1 << 3,         /* all products and the head, always */
    SEA_LM_MLP_BIAS = 1 << 4,           /* key "mlp_bias" */
    SEA_LM_SCALED_WORDS = 1 << 5,       /* embeddings times sqrt(D) */
    SEA_LM_HEAD_NORMS = 1 << 6,
    SEA_LM_SOFT_CAPS = 1 << 7,          /* Gemma 2's keys; and post norms */
    SEA_LM_PARALLEL = 1 << 8,
    SEA_LM_PARALLEL_KEY = 1 << 9,       /* key "use_parallel_residual" */
    SEA_LM_PARTIAL = 1 << 10,           /* key "partial_rotary_factor" */
    SEA_LM_LONG_ROPE = 1 << 11,         /* rotations are scaled as "longrope", or not */
    SEA_LM_EVEN_HEADS = 1 << 12,        /* a head has D / H numbers, always */
    SEA_LM_TANH_ALIAS = 1 << 13,        /* "gelu" means the tanh form */
};

const struct sea_lm_row *sea_lm_row(enum sea_lm_family family);
/* The blocks of a model. */
struct sea_block_desc sea_lm_block(const struct sea_lm_desc *desc);
/* Rotated numbers per head. */
int64_t sea_lm_rope_dims(const struct sea_lm_desc *desc);
/* The activation's name in folders of the family. */
const char *sea_lm_act_name(const struct sea_lm_row *row);
/* The shortest decimal that reads back as this float: 1e-06, not 9.99999997e-07. */
double sea_lm_tidy(float value);
/* "longrope", in and out (lm_rope.c): the map of "rope_scaling" or, newer, "rope_parameters";
 * original: positions in training. Lowers desc->max_positions to these. */
void sea_lm_read_longrope(struct sea_lm_desc *desc, const struct sea_node *map, int64_t original,
                          const char *name, struct sea_err *err);
void sea_lm_put_longrope(const struct sea_lm_desc *desc, struct sea_arena *arena,
                         struct sea_node *map, bool newer);

/* Rows of embeddings for ids (device, (R)), as they enter the stack; 0 where an id is
 * negative. */
SEA_MUST_CHECK enum sea_status
sea_lm_embed(const struct sea_lm *lm, const int32_t *ids, int64_t R, float *x,
             struct sea_err *err);
/* x[rows[i]] = given[from[i]] for n given rows (device); from NULL: given[i]. scratch
 * (n, D) is used with from. */
SEA_MUST_CHECK enum sea_status
sea_lm_give(const struct sea_lm *lm, const float *given, const int32_t *from, float *scratch,
            const int32_t *rows, int64_t n, float *x, struct sea_err *err);
/* The norm before the head; mean, rstd NULL: not kept. */
SEA_MUST_CHECK enum sea_status
sea_lm_norm(const struct sea_lm *lm, const float *x, float *y, float *mean, float *rstd,
            int64_t R, struct sea_err *err);

#endif
