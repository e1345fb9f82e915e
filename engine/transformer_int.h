/* SPDX-License-Identifier: Apache-2.0 */
/* transformer_int.h - activations of a stack, shared by transformer.c, _bwd.c and cache.c */
#ifndef SEA_TRANSFORMER_INT_H
#define SEA_TRANSFORMER_INT_H

#include "engine/sea_transformer.h"

/* What the backward of one block needs; without `trained` every block has the same. */
struct sea_kept {
    float *x;                   // (N, D) the block's input
    float *h;                   // (N, D) after attention; live rows only in the last block
    float *qkv;                 // (N, (H + 2K)E) rotated
    float *att;                 // (N, HE)
    float *lse;                 // (N, H)
    float *pre;                 // (N, F or 2F) before the activation
    float *mean1, *rstd1, *mean2, *rstd2;       // (N)
};

struct sea_stack_work {
    const struct sea_stack *stack;
    struct sea_plan plan;
    int64_t max_rows;
    bool trained;
    struct sea_kept *kept;      // (layers) host
    float *norm;                // (N, D) result of a norm
    float *act;                 // (N, max(F, HE)) result of an activation
    float *att_live;            // (N, HE) attention of the live rows
    float *dnorm;               // (N, D)               from here on: trained only
    float *mid;                 // (N, max(F, HE)) gradient of act or of attention
    float *wide;                // (N, max(2F, (H + 2K)E)) gradient of pre or of qkv
    float *delta;               // (N, H)
    int32_t *index;             // (N) device: cache rows of an extend
    int32_t *pos;               // (N) device: positions of an extend
    int32_t *k_start, *k_len;   // (N) host
    int32_t *index_host, *pos_host;     // (N) host
};

/* Numbers per row. */
static inline int64_t
sea_block_heads(const struct sea_block_desc *desc)
{
    return desc->H * desc->E;
}

static inline int64_t
sea_block_keys(const struct sea_block_desc *desc)
{
    return desc->K * desc->E;
}

static inline int64_t
sea_block_qkv(const struct sea_block_desc *desc)
{
    return (desc->H + 2 * desc->K) * desc->E;
}

static inline int64_t
sea_block_up(const struct sea_block_desc *desc)
{
    return desc->gated ? 2 * desc->F : desc->F;
}

/* The parameters at an offset, NULL for "none" (negative). */
static inline float *
sea_weight_at(const struct sea_stack *stack, int64_t offset)
{
    return offset < 0 ? NULL : stack->params->data + offset;
}

/* y (R, out) [+]= x (R, in) W^T + bias. */
enum sea_status
sea_linear(const struct sea_stack *stack, int64_t weight, int64_t bias, const float *x,
           float *y, int64_t R, int64_t in, int64_t out, bool add, struct sea_err *err);
/* n = norm of x; which: 1 or 2. mean, rstd NULL: not kept. */
enum sea_status
sea_block_norm(const struct sea_stack *stack, int64_t layer, int which, const float *x,
               float *y, float *mean, float *rstd, int64_t R, struct sea_err *err);
/* Attention's output projection and the feed-forward part: x (R, D) in place. */
enum sea_status
sea_block_finish(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                 const float *att, float *x, int64_t R, struct sea_err *err);
/* norm1 and the q, k, v projection of R rows into qkv, rotated at pos. */
enum sea_status
sea_block_start(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                const float *x, const int32_t *pos, int64_t R, struct sea_err *err);
/* Packs the live rows: x (rows, D) -> (live_count, D) in place, att likewise to att_live. */
enum sea_status
sea_block_pack(struct sea_stack_work *work, const struct sea_segments *segments,
               int64_t layer, float *x, struct sea_err *err);
/* SEA_E_INTERNAL when the segments pass the work's limits. */
enum sea_status
sea_work_check(const struct sea_stack_work *work, const struct sea_segments *segments,
               struct sea_err *err);

#endif
