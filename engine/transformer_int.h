/* SPDX-License-Identifier: Apache-2.0 */
/* transformer_int.h - activations of a stack, shared by transformer.c, _bwd.c and cache.c */
#ifndef SEA_TRANSFORMER_INT_H
#define SEA_TRANSFORMER_INT_H

#include "engine/sea_transformer.h"

/* The norms of rows of width D in a block. */
enum sea_block_norm { SEA_NORM1, SEA_NORM2, SEA_POST1, SEA_POST2, SEA_BLOCK_NORMS };

/* What the backward of one block needs; without `trained` every block has the same, and with
 * `redo` all but x. In the last block, what stands behind attention has the live rows only. */
struct sea_kept {
    float *x;                   // (N, D) the block's input
    float *h;                   // (N, D) after attention; not when parallel
    float *qkv;                 // (N, (H + 2K)E) rotated
    float *raw;                 // (N, (H + 2K)E) before the head norms
    float *att;                 // (N, HE)
    float *lse;                 // (N, H)
    float *pre;                 // (N, F or 2F) before the activation
    float *part1, *part2;       // (N, D) what is added to x and h, before its norm or gain
    float *q_rstd, *k_rstd;     // (N, H), (N, K) of the head norms
    float *mean[SEA_BLOCK_NORMS], *rstd[SEA_BLOCK_NORMS];       // (N)
};

struct sea_stack_work {
    const struct sea_stack *stack;
    struct sea_plan plan;
    int64_t max_rows;
    bool trained;
    bool rounded;               /* products, when trained: sea_params_rounds */
    bool few;                   /* while a decoding step runs */
    struct sea_kept *kept;      // (layers) host
    float *redo;                // (N, D) rows of a block that is computed again; or NULL
    float *norm;                // (N, D) result of a norm
    float *act;                 // (N, max(F, HE)) result of an activation
    float *att_live;            // (N, HE) attention of the live rows
    float *dnorm;               // (N, D)               from here on: trained only
    float *dpart;               // (N, D) gradient of what is added, before norm or gain
    float *dshared;             // (N, D) of norm1's result, from a parallel feed-forward part
    float *mid;                 // (N, max(F, HE)) gradient of act or of attention
    float *wide;                // (N, max(2F, (H + 2K)E)) gradient of pre or of qkv
    float *delta;               // (N, H)
    int32_t *index;             // (N) device: cache rows of an extend
    int32_t *pos;               // (N) device: positions of an extend
    int32_t *k_device;          // (2N) device: k_start and k_len of an extend
    int32_t *k_start, *k_len;   // (N) host
    int32_t *k_host;            // (2N) host: both, as they go to k_device
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

/* y = norm of x; kept NULL: mean and rstd are not kept. */
enum sea_status
sea_block_norm(const struct sea_stack *stack, int64_t layer, enum sea_block_norm which,
               const float *x, float *y, struct sea_kept *kept, int64_t R,
               struct sea_err *err);
/* The attention of a layer: everything but where queries and keys are. */
struct sea_op_attention
sea_block_attention(const struct sea_stack *stack, int64_t layer);
/* Attention's output projection and the feed-forward part: x (R, D) in place. att is the
 * work's att_live when the rows are packed. */
enum sea_status
sea_block_finish(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                 const float *att, float *x, int64_t R, struct sea_err *err);
/* Computes a block again from its kept input, as far as its backward reads it. */
enum sea_status
sea_block_redo(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
               const struct sea_segments *segments, struct sea_err *err);
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

/* The offset of a norm's weight, and of its bias. */
static inline void
sea_block_norm_at(const struct sea_block_offsets *at, enum sea_block_norm which,
                  int64_t *weight, int64_t *bias)
{
    const int64_t places[SEA_BLOCK_NORMS][2] = {
        [SEA_NORM1] = { at->norm1, at->norm1_bias }, [SEA_NORM2] = { at->norm2, at->norm2_bias },
        [SEA_POST1] = { at->post1, at->post1_bias }, [SEA_POST2] = { at->post2, at->post2_bias },
    };

    *weight = places[which][0];
    *bias = places[which][1];
}

#endif
