/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_transformer.h - one stack of pre-norm transformer blocks for every model
 *
 * A CLIP tower, a text tower and a language model differ in norms, activation, biases,
 * rotation, masking and head sharing; a struct sea_block_desc says which. The stack knows
 * nothing of embeddings, pictures or heads: rows in, rows out.
 *
 * Rows of several segments are packed without padding: (N, D), segment s has rows
 * start[s] .. start[s+1]-1. One block, per row x:
 *
 *     q, k, v = Wqkv norm1(x)                            biases where the desc has them
 *     h = x + Wo attention(rope(q), rope(k), v)
 *     y = h + Wdown act(Wup norm2(h))                    gated: act(gate) * up
 *
 * and with the desc's switches
 *
 *     head_norms     q and k are normed head by head before the rotation
 *     post_norms     what is added is normed: h = x + post1(Wo ..), y = h + post2(Wdown ..)
 *     gains          .. or scaled column by column: h = x + gain1 * (Wo ..)
 *     parallel       both parts read norm1(x): y = x + Wo .. + Wdown act(Wup norm1(x))
 *
 * Memory: a sea_stack_work holds the activations for at most max_rows rows. With `keep`
 * it holds what the backward needs: per block its input x, h, qkv, attention output and
 * lse, and the pre-activation (with head_norms also q and k before them, with post_norms and
 * gains also what is added before them); norms and activations are recomputed. Without
 * `keep` one block's scratch serves all blocks. Nothing allocates between reserve and
 * release.
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

struct sea_lora;                /* engine/sea_lora.h */

enum sea_norm { SEA_NORM_LAYER, SEA_NORM_RMS };

/* Frequencies of the rotation for more positions than a model was trained with: all divided
 * by `factor`; or Llama 3's, where those with a wave longer than original / low are divided,
 * those shorter than original / high are kept, and those between are blended; or Phi-3's
 * (lm_rope.c), where each is divided by a factor of its own. */
enum sea_rope_kind { SEA_ROPE_PLAIN, SEA_ROPE_LINEAR, SEA_ROPE_LLAMA3, SEA_ROPE_LONG };
#define SEA_ROPE_FACTORS 128
struct sea_rope_scaling {
    enum sea_rope_kind kind;
    double factor, low, high;   /* low, high: Llama 3 only; LONG: factor of what is rotated */
    int64_t original;           /* positions in training, not of LINEAR */
    int64_t most;               /* LONG: positions that the folder promises */
    float short_factor[SEA_ROPE_FACTORS], long_factor[SEA_ROPE_FACTORS];        /* LONG */
};

#define SEA_LAYERS_MAX 1024
/* Layers where a row sees its last `size` keys only, its own among them. */
struct sea_windows {
    int64_t size;               /* 0: no layer is such a one */
    uint64_t layers[SEA_LAYERS_MAX / 64];       /* bit l: layer l is */
};

static inline void
sea_windows_set(struct sea_windows *windows, int64_t layer)
{
    windows->layers[layer / 64] |= (uint64_t)1 << (layer % 64);
}

/* Keys that a row of this layer sees; 0: all. */
static inline int64_t
sea_windows_at(const struct sea_windows *windows, int64_t layer)
{
    return (windows->layers[layer / 64] >> (layer % 64)) & 1 ? windows->size : 0;
}

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
    struct sea_rope_scaling rope_scaling;
    int64_t max_positions;      /* of the rotation table */
    bool parallel, head_norms, post_norms, gains;       /* see above */
    float score_scale;          /* of attention scores; 0: 1/sqrt(E) */
    float score_cap;            /* > 0: score = cap * tanh(score / cap) */
    struct sea_windows windows;
    float init_scale;           /* deviation of initial weights */
};

/* The file names of a block's tensors, "%d" is the layer; NULL where there is none. */
struct sea_block_names {
    const char *norm1, *norm2;          /* + ".weight", ".bias"; norm2 NULL when parallel */
    const char *post1, *post2;          /* of post_norms */
    const char *gain1, *gain2;          /* of gains: the whole name */
    const char *q_norm, *k_norm;        /* of head_norms */
    const char *qkv;                    /* files hold q, k and v as one; else NULL and: */
    const char *q, *k, *v, *o;          /* + ".weight", ".bias" */
    const char *gate_up;                /* files hold gate and up as one; else NULL and: */
    const char *gate, *up, *down;       /* gate NULL when not gated */
};
extern const struct sea_block_names sea_names_llama;    /* "model.layers.%d.self_attn.q_proj" */
extern const struct sea_block_names sea_names_clip;     /* "encoder.layers.%d.self_attn.q_proj" */

struct sea_block_offsets {      /* of one block's tensors in params, in floats; -1: none */
    int64_t norm1, norm1_bias, norm2, norm2_bias;       // (D)
    int64_t post1, post1_bias, post2, post2_bias;       // (D)
    int64_t gain1, gain2;       // (D)
    int64_t q_norm, k_norm;     // (E)
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
    struct sea_lora *lora;              /* adapters of its linear layers, or NULL; borrowed:
                                           sea_lora.h sets it */
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

/* The stack's kind of norm with other weights, for what stands before or behind the blocks:
 * y (R, D) = norm(x), at offsets in params (bias -1: none). mean (layer norm only) and rstd
 * (R) are kept for the backward, which writes dx and adds to the parameters' gradients. */
SEA_MUST_CHECK enum sea_status
sea_stack_norm(const struct sea_stack *stack, int64_t weight, int64_t bias, const float *x,
               float *y, float *mean, float *rstd, int64_t R, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_stack_norm_backward(const struct sea_stack *stack, int64_t weight, int64_t bias,
                        const float *x, const float *dy, const float *mean, const float *rstd,
                        float *dx, bool add_dx, int64_t R, struct sea_err *err);

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
    /* Of an extend: a row per sequence, however many there are (a decoding step), so that the
     * device may choose products for few rows. A row's bits then are those of every such step,
     * not those of a whole forward. */
    bool few;
};

struct sea_stack_work;          /* activations and scratch */
/* What a forward keeps for the backward: all that it reads, or the inputs of blocks alone,
 * from which the backward computes the rest again: less memory, a third more work, the same
 * bits. A bool "trained" is one of the first two. */
enum sea_keep { SEA_KEEP_NONE, SEA_KEEP_ALL, SEA_KEEP_INPUTS };
/* One row per segment at least: max_rows bounds both. */
SEA_MUST_CHECK enum sea_status
sea_stack_work_create(struct sea_stack_work **out, const struct sea_stack *stack,
                      int64_t max_rows, enum sea_keep keep, struct sea_err *err);
void sea_stack_work_destroy(struct sea_stack_work *work);       /* accepts NULL */
size_t sea_stack_work_bytes(const struct sea_stack *stack, int64_t max_rows,
                            enum sea_keep keep);

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

/* Keys and values of earlier rows, for generation: per layer (slots, room, K*E) each. They are
 * bfloat16 where attention rounds them anyway and the device reads them so: the same results from
 * half the bytes. */
struct sea_cache {
    void *k, *v;                // (layers, slots * room, K*E) device
    enum sea_store type;        /* of both */
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
 * over the whole sequence, unless `few`. segments->pos is not read: positions follow from the cache.
 * SEA_E_INTERNAL when a slot has too little room; slots are distinct within a call. */
SEA_MUST_CHECK enum sea_status
sea_stack_extend(const struct sea_stack *stack, struct sea_stack_work *work,
                 struct sea_cache *cache, const int32_t *slot,
                 const struct sea_segments *segments, float *x, struct sea_err *err);
/* Its three parts, for who keeps the middle one as a graph of the device (kernels/sea_ops.h):
 * place tells the device where rows go and what they see; run enqueues operators whose
 * arguments depend on the segments alone, not on the slots and how full they are; count adds the
 * rows to the slots. */
SEA_MUST_CHECK enum sea_status
sea_extend_place(struct sea_stack_work *work, const struct sea_cache *cache,
                 const int32_t *slot, const struct sea_segments *segments, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_extend_run(struct sea_stack_work *work, const struct sea_cache *cache,
               const struct sea_segments *segments, float *x, struct sea_err *err);
void sea_extend_count(struct sea_cache *cache, const int32_t *slot,
                      const struct sea_segments *segments);

#endif
