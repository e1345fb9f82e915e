/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_transformer.h - one stack of pre-norm transformer blocks for every model
 *
 * A CLIP tower, a text tower and a Llama-class language model differ in norm, activation,
 * biases, rotation, masking and head sharing; a struct sea_block_desc says which. The stack
 * knows nothing of embeddings, pictures or heads: rows in, rows out.
 *
 * Rows of several segments are packed without padding: (N, D), segment s has rows
 * start[s] .. start[s+1]-1. One block, per row x:
 *
 *     h = x + Wo attention(rope(Wqkv norm1(x)))          biases where the desc has them
 *     y = h + Wdown act(Wup norm2(h))                    gated: act(gate) * up
 *
 * Memory: a sea_stack_work holds the activations for at most max_rows rows. With `keep`
 * it holds what the backward needs: per block its input x, h, qkv, attention output and
 * lse, and the pre-activation; norms and activations are recomputed. Without `keep` one
 * block's scratch serves all blocks. Nothing allocates between reserve and release.
 *
 * Invariants: (1) a row's output depends only on its own segment: bits do not change with
 *                 packing, order or batch size;
 *             (2) forward and backward are deterministic and thread-count independent;
 *             (3) frozen parameters (grad NULL) cost no weight-gradient work.
 */
#ifndef SEA_TRANSFORMER_H
#define SEA_TRANSFORMER_H

#include "engine/sea_params.h"
#include "engine/sea_plan.h"

enum sea_norm { SEA_NORM_LAYER, SEA_NORM_RMS };

struct sea_block_desc {
    int64_t layers, D, H, K, E, F;      /* K key heads of size E, F feed-forward width */
    enum sea_norm norm;
    float eps;
    float norm_add;             /* RMS: 0, Gemma 1 */
    enum sea_act act;
    bool gated;
    bool qkv_bias, out_bias, ffn_bias;
    bool causal;
    double rope_theta;          /* 0: no rotation */
    int64_t rope_dims;          /* rotated numbers per head; E for Llama */
    int64_t max_positions;      /* of the rotation table */
    float init_scale;           /* deviation of initial weights */
};

/* The file names of a block's tensors, "%d" is the layer; NULL where there is none. */
struct sea_block_names {
    const char *norm1, *norm2;          /* + ".weight", ".bias" */
    const char *q, *k, *v, *o;          /* + ".weight", ".bias" */
    const char *gate, *up, *down;       /* gate NULL when not gated */
};
extern const struct sea_block_names sea_names_llama;    /* "model.layers.%d.self_attn.q_proj" */
extern const struct sea_block_names sea_names_clip;     /* "encoder.layers.%d.self_attn.q_proj" */

struct sea_block_offsets {      /* of one block's tensors in params->data, in floats */
    int64_t norm1, norm1_bias, norm2, norm2_bias;
    int64_t qkv, qkv_bias;      // ((H + 2K)E, D), ((H + 2K)E)
    int64_t o, o_bias;          // (D, HE), (D)
    int64_t up, up_bias;        // (F or 2F, D): gate rows first
    int64_t down, down_bias;    // (D, F), (D)
};

struct sea_stack {
    struct sea_block_desc desc;
    struct sea_params *params;          /* borrowed */
    struct sea_block_offsets *blocks;   /* (layers), in the params' arena */
    float *cos_sin;                     /* device (max_positions, rope_dims) or NULL */
};

/* Checks desc (SEA_E_CONFIG names the field), adds the tensors of all blocks to params.
 * prefix stands before every name ("text_model." and so on). Call before reserve. */
SEA_MUST_CHECK enum sea_status
sea_stack_init(struct sea_stack *stack, const struct sea_block_desc *desc,
               const struct sea_block_names *names, const char *prefix,
               struct sea_params *params, struct sea_err *err);
/* After params' reserve: makes the rotation table. */
SEA_MUST_CHECK enum sea_status
sea_stack_reserve(struct sea_stack *stack, struct sea_err *err);
void sea_stack_release(struct sea_stack *stack);        /* accepts all-zero */

struct sea_segments {           /* host arrays, borrowed during a call */
    int64_t count, rows;
    const int32_t *start;       // (count + 1)
    const int32_t *pos;         // (rows) device: position of each row; NULL without rope
    /* Rows wanted from the last block that runs; live NULL: all of them. The result is then
     * (live_count, D) at the front of x, and the other rows cost only keys and values in
     * that block. The backward takes its dx in the same form and gives (rows, D). Bits are
     * those of the full result. Leave all three zero when every row is wanted. */
    int64_t live_count;
    const int32_t *live;        // (live_count) device: distinct rows, ascending
    const int32_t *live_of;     // (rows) device: place in live, or -1; for the backward
};

struct sea_stack_work;          /* activations and scratch */
/* trained: keep what a backward needs. One row per segment at least: max_rows bounds both. */
SEA_MUST_CHECK enum sea_status
sea_stack_work_create(struct sea_stack_work **out, const struct sea_stack *stack,
                      int64_t max_rows, bool trained, struct sea_err *err);
void sea_stack_work_destroy(struct sea_stack_work *work);       /* accepts NULL */
size_t sea_stack_work_bytes(const struct sea_stack *stack, int64_t max_rows, bool trained);

/* x (N, D) device, in: embeddings, out: the last block's result (x is overwritten).
 * layers: run only the first `layers` blocks (0: all): hidden_states[layers]. */
SEA_MUST_CHECK enum sea_status
sea_stack_forward(const struct sea_stack *stack, struct sea_stack_work *work,
                  const struct sea_segments *segments, int64_t layers, float *x,
                  struct sea_err *err);
/* After a forward with a trained work on the same segments and layers: dx (N, D) device,
 * in: gradient of the result, out: gradient of the input. Adds to params->grad when it is
 * there. */
SEA_MUST_CHECK enum sea_status
sea_stack_backward(const struct sea_stack *stack, struct sea_stack_work *work,
                   const struct sea_segments *segments, int64_t layers, float *dx,
                   struct sea_err *err);

/* Keys and values of earlier rows, for generation: per layer (slots, room, K*E) each. */
struct sea_cache {
    float *k, *v;               // (layers, slots * room, K*E) device
    int64_t slots, room;        /* sequences, rows per sequence */
    int32_t *len;               // (slots) host: rows filled
    const struct sea_stack *stack;
};
SEA_MUST_CHECK enum sea_status
sea_cache_create(struct sea_cache **out, const struct sea_stack *stack, int64_t slots,
                 int64_t room, struct sea_err *err);
void sea_cache_destroy(struct sea_cache *cache);        /* accepts NULL */
/* Copies the first rows of slot `from` to slot `to`: a shared image prefix. */
SEA_MUST_CHECK enum sea_status
sea_cache_copy(struct sea_cache *cache, int64_t from, int64_t to, int64_t rows,
               struct sea_err *err);
/* Like sea_stack_forward for causal stacks, with segment s continuing slot[s]: its rows
 * follow the cached ones, are appended to the cache, and see both. Bit-equal to one forward
 * over the whole sequence. segments->pos is not read: positions follow from the cache.
 * SEA_E_INTERNAL when a slot has too little room; slots are distinct within a call. */
SEA_MUST_CHECK enum sea_status
sea_stack_extend(const struct sea_stack *stack, struct sea_stack_work *work,
                 struct sea_cache *cache, const int32_t *slot,
                 const struct sea_segments *segments, float *x, struct sea_err *err);

#endif
