/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_ops.h - the operator table: the only door between the engine and a device
 *
 * A back end is one const struct sea_ops. The CPU's is linked in (sea_cpu_ops, complete);
 * others are plugins that export `sea_plugin_ops`. The header is plain C and compiles as
 * C++ and without CUDA; it includes nothing of ours and knows no statuses, logs or files.
 *
 * Invariants of every operator:
 *  (1) it enqueues on the device's one ordered stream and returns; it never allocates,
 *      prints or waits (the CPU back end is done when it returns);
 *  (2) it is deterministic: equal inputs give equal bits, whatever the thread count;
 *  (3) it is batch-invariant: a row of a result has the same bits whatever other rows
 *      are computed with it (reductions over rows, such as weight gradients, excepted);
 *  (4) outputs do not overlap inputs unless the comment says "may be";
 *  (5) it returns 0, or a code for rc_text. Zero-sized work is 0.
 * Threads: one caller at a time per device.
 *
 * Shape letters (kernels/README.md): N tokens (rows) of a packed batch, S segments,
 * D width, F feed-forward width, V vocabulary, H query heads, K key/value heads, E head
 * size, R rows, C columns. Data is float32 and row-major, strides count numbers; weights
 * may be bfloat16 where an operator has a type for them.
 * Pointers are device pointers from mem_alloc, except where "host" is said.
 */
#ifndef SEA_OPS_H
#define SEA_OPS_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

#define SEA_OPS_ABI 7u          /* raised by every change to a struct in this header */

/* Codes every back end shares; others are the back end's own. */
enum sea_rc { SEA_RC_OK = 0, SEA_RC_ARGUMENT = 1, SEA_RC_MEMORY = 2, SEA_RC_UNSUPPORTED = 3 };

/* How numbers are stored; float32 where nothing is said. Sums are float32 whatever it is: a
 * bfloat16 is widened where it is read and rounded, to nearest, ties to even, where it is written.
 * Strides of a bfloat16 matrix count its numbers. */
enum sea_store { SEA_STORE_F32, SEA_STORE_BF16 };

/* What a back end takes as bfloat16 beside weights. To the rest it says SEA_RC_UNSUPPORTED. */
enum sea_stores { SEA_STORES_KEYS = 1 };  /* attention's keys and values, and scatter's out */

/* C = op(A) op(B) [+ bias] [+ C], op(A) is (M, K), op(B) is (K, N). */
struct sea_op_gemm {
    const float *a;             // (M, K), or (K, M) when trans_a; row stride lda
    const void *b;              // (K, N), or (N, K) when trans_b; row stride ldb
    enum sea_store b_type;      /* of B alone: the weights */
    float *c;                   // (M, N), row stride ldc
    const float *bias;          // (N), NULL: none
    int64_t M, N, K, lda, ldb, ldc;
    int trans_a, trans_b;
    int accumulate;             /* 1: add to C, 0: overwrite (C may hold anything) */
    float alpha;                /* scales op(A) op(B), not the bias */
    int rounded;                /* 1: both matrices may be rounded to bfloat16 before they are
                                   multiplied, where the device gains by it */
    int few;                    /* 1: M is small as a rule, the device may choose for that. Bits of
                                   a row are the same for every M, not those without `few` */
};

/* out[r,:] = inp[idx[r],:], zero where idx[r] < 0; add = 1 adds instead. */
struct sea_op_gather {
    const void *inp;            // (any, C), row stride ld_inp
    enum sea_store inp_type;
    const int32_t *idx;         // (R)
    float *out;                 // (R, C), row stride ld_out
    int64_t R, C, ld_inp, ld_out;
    int add;
};

/* out[idx[r],:] += inp[r,:] (add = 1) or = (add = 0); rows with idx[r] < 0 are left out.
 * add = 0: indices are distinct. add = 1: equal indices are summed in the order of r, so
 * the embedding gradient is exact and repeatable. order: rows sorted by (idx, r); host
 * code prepares it; required when add = 1. */
struct sea_op_scatter {
    const float *inp;           // (R, C)
    const int32_t *idx;         // (R)
    const int32_t *order;       // (R), a permutation of 0..R-1
    void *out;                  // (any, C)
    enum sea_store out_type;    /* bfloat16: with add = 0 */
    int64_t R, C, ld_inp, ld_out;
    int add;
};

struct sea_op_layernorm {       /* y = (x - mean) * rstd * gamma + beta, per row */
    const float *x;             // (R, C)
    const float *gamma, *beta;  // (C); beta NULL: none
    float *y;                   // (R, C)
    float *mean, *rstd;         // (R), kept for the backward; NULL: not kept
    int64_t R, C;
    float eps;
};
struct sea_op_layernorm_bwd {
    const float *x, *dy;        // (R, C)
    const float *gamma;         // (C)
    const float *mean, *rstd;   // (R)
    float *dx;                  // (R, C), added to when add_dx; NULL: not wanted; may be dy
    float *dgamma, *dbeta;      // (C), added to; NULL: not wanted
    int64_t R, C;
    int add_dx;
};

struct sea_op_rmsnorm {         /* y = x * rstd * gamma, rstd = 1/sqrt(mean(x^2) + eps) */
    const float *x;             // (R, C)
    const float *gamma;         // (C)
    float *y;                   // (R, C)
    float *rstd;                // (R), kept for the backward; NULL: not kept
    int64_t R, C;
    float eps;
    float gamma_add;            /* 0, or 1 for Gemma's (1 + gamma) */
    /* heads > 0: a row is a head, C wide, of which `heads` lie side by side in lines of x and
     * y that are ld apart (queries or keys within qkv). 0: rows follow each other. */
    int64_t heads, ld;
};
struct sea_op_rmsnorm_bwd {
    const float *x, *dy;        // (R, C)
    const float *gamma;         // (C)
    const float *rstd;          // (R)
    float *dx;                  // (R, C), added to when add_dx; NULL: not wanted
    float *dgamma;              // (C), added to; NULL: not wanted
    int64_t R, C;
    float gamma_add;
    int add_dx;                 /* 0: dx may be dy */
    int64_t heads, ld;          /* of x, dy and dx, as in the forward */
};

enum sea_act { SEA_ACT_GELU, SEA_ACT_GELU_TANH, SEA_ACT_QUICK_GELU, SEA_ACT_SILU };
/* y = act(x); gated: x is (R, 2C) = [gate, up] and y[r,c] = act(gate) * up, (R, C). */
struct sea_op_act {
    const float *x;             // (R, C) or (R, 2C)
    float *y;                   // (R, C); may be x when not gated
    int64_t R, C;
    enum sea_act act;
    int gated;
};
struct sea_op_act_bwd {
    const float *x;             // as given to the forward
    const float *dy;            // (R, C)
    float *dx;                  // (R, C) or (R, 2C), overwritten; may be dy when not gated
    int64_t R, C;
    enum sea_act act;
    int gated;
};

/* Rotary positions in place, Llama's pairing (i, i + rot/2) within the first `rot` numbers
 * of each head: x1' = x1 c - x2 s, x2' = x2 c + x1 s. inverse: -s (the backward). */
struct sea_op_rope {
    float *x;                   // (N, ...), row stride ld; heads start at x, E apart
    const float *cos_sin;       // (positions, rot): rot/2 cosines, then rot/2 sines
    const int32_t *pos;         // (N)
    int64_t N, heads, E, rot, ld;
    int inverse;
};

/*
 * Softmax attention over S segments, flash style: no (N, N) matrix is stored.
 * Segment s has queries q_start[s] .. q_start[s+1]-1 and keys k_start[s] .. + k_len[s]-1.
 * causal: query j of a segment with q_len queries sees keys 0 .. k_len - q_len + j, so a
 * cached prefix and a whole sequence are the same case. Head h reads key head h*K/H.
 * Batch-invariant: tiles start at each segment's first key.
 */
struct sea_op_attention {
    const float *q;             // rows of stride ld_q; heads E apart
    const void *k, *v;          // rows of stride ld_kv
    enum sea_store kv_type;     /* bfloat16: with `rounded`, and no backward */
    float *out;                 // (N, H*E), row stride ld_out
    float *lse;                 // (N, H) log-sum-exp for the backward; NULL: not kept
    const int32_t *q_start;     // (S + 1), host
    const int32_t *k_start;     // (S), host; first key row
    const int32_t *k_len;       // (S), host
    const int32_t *k_device;    /* (2, S): k_start and k_len again, read by a device of its own
                                   when it runs, so that a kept graph sees those of each launch;
                                   NULL: the host's */
    int64_t S, H, K, E, ld_q, ld_kv, ld_out;
    float scale;                /* usually 1/sqrt(E) */
    int causal;
    int64_t window;             /* causal: a query sees its last `window` keys, its own among
                                   them (Mistral, Phi-3, Gemma 2's odd layers); 0: all */
    float softcap;              /* > 0: score = cap * tanh(score / cap), Gemma 2; 0: none */
    int rounded;                /* 1: what is multiplied (q, k, v, the weights; backward: their
                                   gradients, too) may be rounded to bfloat16, where the device
                                   gains by it */
    int few;                    /* 1: one query a segment as a rule, the device may choose for
                                   that. Bits of a row are the same whatever the other segments
                                   are, not those without `few` */
};
struct sea_op_attention_bwd {   /* keys and queries of a segment are the same rows here */
    struct sea_op_attention fwd;        /* as given to the forward, lse kept */
    const float *dout;          // (N, H*E), row stride ld_out
    float *dq, *dk, *dv;        // overwritten; row strides ld_q, ld_kv, ld_kv
    float *delta;               // (N, H) scratch: sum of dout * out
};

/* Cross-entropy of R rows of logits, in place.
 * loss[r] = weight[r] * (lse - logits[r, target[r]]); logits become their gradient,
 * weight[r] * (softmax - onehot), when grad = 1. */
struct sea_op_xent {
    float *logits;              // (R, V), row stride ld
    const int32_t *target;      // (R), 0 <= target < V
    const float *weight;        // (R)
    float *loss;                // (R)
    int64_t R, V, ld;
    int grad;
    float softcap;              /* > 0: of cap * tanh(logit / cap), Gemma 2; the gradient is
                                   that of the logits as they came in */
};

struct sea_op_softcap {         /* x = cap * tanh(x / cap) in place */
    float *x;                   // (R, C), row stride ld
    int64_t R, C, ld;
    float cap;                  /* > 0 */
};

/* A gain per column (DINOv2's LayerScale): out = [base +] x * gain. */
struct sea_op_colscale {
    const float *x;             // (R, C)
    const float *gain;          // (C)
    const float *base;          // (R, C), NULL: none; may be out
    float *out;                 // (R, C), may be x
    int64_t R, C;
};
struct sea_op_colscale_bwd {    /* dx = dout * gain; dgain += column sums of dout * x */
    const float *x, *dout;      // (R, C)
    const float *gain;          // (C)
    float *dx;                  // (R, C), overwritten, may be dout
    float *dgain;               // (C), added to; NULL: not wanted
    int64_t R, C;
};

/* Between storage types; float32 to bfloat16 rounds to nearest, ties to even. */
struct sea_op_cast {
    const void *inp;            // (n) of inp_type
    void *out;                  // (n) of out_type
    enum sea_store inp_type, out_type;
    int64_t n;
};

/* out[r,:] = inp[r,:] / sqrt(sum(inp[r,:]^2) + eps) */
struct sea_op_l2norm {
    const float *inp;           // (R, C)
    float *out;                 // (R, C), may be inp
    float *rnorm;               // (R), 1/sqrt(..), kept for the backward; NULL: not kept
    int64_t R, C;
    float eps;
};
struct sea_op_l2norm_bwd {      /* dinp = rnorm * (dout - out * <out, dout>) */
    const float *out, *dout;    // (R, C)
    const float *rnorm;         // (R)
    float *dinp;                // (R, C), overwritten; may be dout
    int64_t R, C;
};

/* Symmetric InfoNCE over R pairs (SEA eq 11; CLIP): logits = exp(theta) * cos.
 * loss[0] = 1/(2R) sum_i [ce(row i, i) + ce(column i, i)]. cos becomes d loss/d cos times
 * weight, dtheta[0] += weight * d loss/d theta. R < 2: loss 0, gradients 0. */
struct sea_op_contrast {
    float *cos;                 // (R, R) in: cosines of left i and right j; out: gradient
    const float *theta;         // (1) log of the scale
    float *loss;                // (1)
    float *dtheta;              // (1), added to; NULL: not wanted
    float *scratch;             // (4 R)
    int64_t R;
    float weight;
    float max_scale;            /* exp(theta) is clamped here; gradient 0 beyond; 0: no clamp */
};

/* The k largest of each row, best first, ties to the lowest column. merge = 1 continues a
 * list built from earlier columns: columns are numbered from col_base. Missing entries:
 * index -1, value -inf. */
struct sea_op_topk {
    const float *x;             // (R, C), row stride ld
    int32_t *index;             // (R, k)
    float *value;               // (R, k)
    int64_t R, C, k, ld, col_base;
    int merge;
};

/* Decoupled weight decay Adam (Loshchilov and Hutter 2019, algorithm 2, bias-corrected):
 * p -= lr * (mhat / (sqrt(vhat) + eps) + wd * p), gradient g * gscale[0]. */
struct sea_op_adamw {
    float *p, *m, *v;           // (n)
    const float *g;             // (n)
    const float *gscale;        // (1) device: the clip factor; NULL: 1
    int64_t n, step;            /* step counts from 1 */
    float lr, beta1, beta2, eps, wd;
};

/* out = a*x + b*y elementwise; y NULL: a*x. out may be x or y. */
struct sea_op_axpby {
    const float *x, *y;         // (n)
    float *out;                 // (n)
    int64_t n;
    float a, b;
};

/* out[c] (+)= sum over r of x[r,c]: bias gradients. */
struct sea_op_colsum {
    const float *x;             // (R, C), row stride ld
    float *out;                 // (C)
    int64_t R, C, ld;
    int accumulate;
};

/* out[0] (+)= sum of x, or of x^2 when square; summed in double over fixed blocks. */
struct sea_op_sum {
    const float *x;             // (n)
    double *out;                // (1)
    int64_t n;
    int square, accumulate;
};

/* gscale[0] = max_norm > 0 && norm > max_norm ? max_norm / norm : 1, norm = sqrt(sumsq). */
struct sea_op_clip {
    const double *sumsq;        // (1)
    float *gscale;              // (1)
    float max_norm;
};

/* Images to rows of patches: out[(b,py,px), (c,y,x)] = pixels[b,c,py*P+y,px*P+x]. Pixels
 * beyond the last whole patch are unused. */
struct sea_op_patchify {
    const float *pixels;        // (B, channels, height, width)
    float *out;                 // (B*gh*gw, channels*P*P), gh = height/P, gw = width/P
    int64_t B, channels, height, width, P;
};

/* What the device does at best, measured now: the limits that benchmarks divide by. Takes
 * some 5 ms and a pass over mem, which should be several times the last cache. */
struct sea_op_limits {
    const void *mem;            // (bytes) read once
    size_t bytes;               /* 0: read_rate is not measured, 0 */
    double flops;               /* out, host: float32 operations a second, a multiply-add is 2 */
    double read_rate;           /* out, host: bytes a second */
};

struct sea_ops {                /* every int is 0 or a code for rc_text */
    uint32_t abi, size;         /* SEA_OPS_ABI and sizeof(struct sea_ops) of the build */
    const char *name;           /* "cpu", "cuda": as in configs and events */
    unsigned stores;            /* of enum sea_stores */

    /* No driver: 0 devices, not an error; one that is too old is an error. */
    int (*dev_count)(int *count);
    /* threads: for the CPU, 0 = as many as the process may use. */
    int (*dev_open)(int index, int threads, void **dev);
    void (*dev_close)(void *dev);               /* accepts NULL */
    /* One line: model, memory, kernel chosen. Valid until dev_close. */
    const char *(*dev_text)(void *dev);
    int (*mem_room)(void *dev, size_t *bytes);  /* optional: NULL means nobody knows */
    int (*mem_alloc)(void *dev, size_t bytes, void **mem);      /* 64-byte aligned */
    /* optional: the same, zeros, pages of which may cost nothing before they are written;
     * NULL: mem_alloc and mem_zero do it */
    int (*mem_alloc_zeroed)(void *dev, size_t bytes, void **mem);
    void (*mem_free)(void *dev, void *mem);     /* accepts NULL */
    int (*mem_zero)(void *dev, void *mem, size_t bytes);
    /* from_host may be reused when the call returns. */
    int (*copy_in)(void *dev, void *to, const void *from_host, size_t bytes);
    int (*copy_out)(void *dev, void *to_host, const void *from, size_t bytes); /* waits */
    /* May overlap. Onto itself: somebody beside the table (NCCL) wrote these bytes. */
    int (*copy)(void *dev, void *to, const void *from, size_t bytes);
    int (*wait)(void *dev);                     /* faults of earlier operators appear here */
    const char *(*rc_text)(int rc);             /* static text, never NULL */

    int (*gemm)(void *dev, const struct sea_op_gemm *a);
    int (*gather)(void *dev, const struct sea_op_gather *a);
    int (*scatter)(void *dev, const struct sea_op_scatter *a);
    int (*layernorm)(void *dev, const struct sea_op_layernorm *a);
    int (*layernorm_bwd)(void *dev, const struct sea_op_layernorm_bwd *a);
    int (*rmsnorm)(void *dev, const struct sea_op_rmsnorm *a);
    int (*rmsnorm_bwd)(void *dev, const struct sea_op_rmsnorm_bwd *a);
    int (*act)(void *dev, const struct sea_op_act *a);
    int (*act_bwd)(void *dev, const struct sea_op_act_bwd *a);
    int (*rope)(void *dev, const struct sea_op_rope *a);
    int (*attention)(void *dev, const struct sea_op_attention *a);
    int (*attention_bwd)(void *dev, const struct sea_op_attention_bwd *a);
    int (*xent)(void *dev, const struct sea_op_xent *a);
    int (*softcap)(void *dev, const struct sea_op_softcap *a);
    int (*colscale)(void *dev, const struct sea_op_colscale *a);
    int (*colscale_bwd)(void *dev, const struct sea_op_colscale_bwd *a);
    int (*cast)(void *dev, const struct sea_op_cast *a);
    int (*l2norm)(void *dev, const struct sea_op_l2norm *a);
    int (*l2norm_bwd)(void *dev, const struct sea_op_l2norm_bwd *a);
    int (*contrast)(void *dev, const struct sea_op_contrast *a);
    int (*topk)(void *dev, const struct sea_op_topk *a);
    int (*adamw)(void *dev, const struct sea_op_adamw *a);
    int (*axpby)(void *dev, const struct sea_op_axpby *a);
    int (*colsum)(void *dev, const struct sea_op_colsum *a);
    int (*sum)(void *dev, const struct sea_op_sum *a);
    int (*clip)(void *dev, const struct sea_op_clip *a);
    int (*patchify)(void *dev, const struct sea_op_patchify *a);
    int (*limits)(void *dev, struct sea_op_limits *a);  /* optional; waits */

    /* Optional, all four or none: what is enqueued between begin and end does not run but is
     * kept, and runs with every launch: with the pointers and numbers it was enqueued with, and
     * with what device memory holds then. In between no copy_in, copy_out, wait nor memory. An
     * operator fails that would need memory which an earlier run of the same did not leave; end
     * is called all the same. On failure *graph is NULL. */
    int (*graph_begin)(void *dev);
    int (*graph_end)(void *dev, void **graph);
    int (*graph_launch)(void *dev, void *graph);
    void (*graph_free)(void *dev, void *graph); /* accepts NULL */
};

extern const struct sea_ops sea_cpu_ops;        /* always there */

#ifdef __cplusplus
}
#endif
#endif
