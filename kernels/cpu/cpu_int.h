/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cpu_int.h - the inside of the CPU back end: device, task runner, instruction sets
 *
 * An operator is three small things:
 *   - a check of its arguments and a partition into tasks, once, in plain C (*.c);
 *   - the loop over a range of rows, written once over vectors of LANES floats (*.inc);
 *   - an entry of struct sea_cpu_isa, filled by every instruction set (isa_*.c), which
 *     includes the *.inc files under its own compiler target. One binary holds them all;
 *     the processor picks one at dev_open.
 *
 * Invariants: (1) a task writes only its own part of the outputs, and every number in it is
 *                 computed by a chain of operations that does not depend on the partition,
 *                 so the number of threads never shows in the bits;
 *             (2) sums over rows go over fixed blocks (sea_cpu_blocks), added in order;
 *             (3) a task takes its scratch from the thread that runs it: nothing is
 *                 allocated after dev_open.
 */
#ifndef SEA_CPU_INT_H
#define SEA_CPU_INT_H

#include "kernels/sea_ops.h"

#ifdef __cplusplus
extern "C" {
#endif

/* Works on [begin, end) of whatever its operator counts: rows, tiles, blocks, elements. */
typedef void sea_cpu_fn(const void *args, int64_t begin, int64_t end, float *scratch);

/* A C-level twin of the operator table: the same names, one range function each. */
struct sea_cpu_isa {
    const char *name;
    int lanes;                  /* floats in a vector */
    int mr, nr;                 /* rows and columns of the GEMM's register tile */
    int rows_stay;              /* rows of A that stay packed for more than one block of B */
    sea_cpu_fn *gemm;           /* struct sea_cpu_gemm, tiles of the grid */
    sea_cpu_fn *gemm_skinny;    /* the same, groups of `lanes` rows of B: B is transposed */
    sea_cpu_fn *attention;      /* struct sea_cpu_attention, (segment, head, query block) */
    sea_cpu_fn *attention_ones; /* the same with one query each, (segment, key head, heads) */
    sea_cpu_fn *attention_far_scores;   /* struct sea_cpu_attention_far, tiles */
    sea_cpu_fn *attention_far_values;   /* the same */
    sea_cpu_fn *attention_far_join;     /* the same, pairs */
    sea_cpu_fn *attention_bwd;  /* struct sea_op_attention_bwd, (segment, key head) */
    sea_cpu_fn *layernorm, *rmsnorm;            /* rows */
    sea_cpu_fn *layernorm_bwd, *rmsnorm_bwd;    /* struct sea_cpu_norm_bwd, blocks */
    sea_cpu_fn *act, *act_bwd;                  /* rows; elements when not gated */
    sea_cpu_fn *rope;                           /* rows */
    sea_cpu_fn *gather;                         /* rows */
    sea_cpu_fn *scatter;                        /* places in order */
    sea_cpu_fn *colscale;                       /* rows */
    sea_cpu_fn *colscale_bwd;                   /* struct sea_cpu_norm_bwd, blocks */
    sea_cpu_fn *cast;                           /* elements, between different types */
    sea_cpu_fn *xent, *softcap, *l2norm, *l2norm_bwd, *topk;    /* rows */
    sea_cpu_fn *contrast_rows, *contrast_grad;  /* struct sea_cpu_contrast, rows */
    sea_cpu_fn *contrast_columns;               /* the same, columns */
    sea_cpu_fn *adamw, *axpby;                  /* elements */
    sea_cpu_fn *colsum;         /* struct sea_cpu_colsum, blocks */
    sea_cpu_fn *fold;           /* struct sea_cpu_fold, columns */
    sea_cpu_fn *sum;            /* struct sea_cpu_sum, blocks */
    sea_cpu_fn *peak;           /* two floats, rounds */
    sea_cpu_fn *read;           /* memory, pieces */
    int peak_width;             /* multiply-adds of a step of peak */
};

/* K of the GEMM and keys of attention go in steps of at most this: a B panel of this depth
 * stays in the second-level cache. Part of the arithmetic: changing it changes bits. */
#define SEA_CPU_DEPTH 384
#define SEA_CPU_DEPTH_LD (SEA_CPU_DEPTH + 16)   /* not a power of two: no cache conflicts */
#define SEA_CPU_COLUMNS 384     /* columns of B packed at a time */
#define SEA_CPU_SKINNY 16       /* with at most so many rows of A, rows of B are not packed */
#define SEA_CPU_HEAD_MAX 256    /* largest head size attention takes */
#define SEA_CPU_QUERIES 224     /* query rows of a forward attention task, 16 * 14 */
#define SEA_CPU_QUERIES_BWD 56  /* query rows of a step of the backward, 4 * 14 */
/* Floats of a thread: a packed block of B and 56 panels of A (block.inc); see attention.inc. */
#define SEA_CPU_SCRATCH (SEA_CPU_DEPTH * SEA_CPU_COLUMNS + 56 * 16 * SEA_CPU_DEPTH_LD)
#define SEA_CPU_PEAK_ROUND 400000       /* steps of a round of peak, a few ms */
#define SEA_CPU_READ_PIECE 65536        /* bytes of a piece of read */
#define SEA_CPU_REDUCE ((size_t)1024 * 1024)    /* floats for partial sums of one operator */

struct sea_cpu_pool;

struct sea_cpu {
    const struct sea_cpu_isa *isa;
    struct sea_cpu_pool *pool;
    int threads;
    size_t memory;              /* bytes of the machine: more is refused, not overcommitted */
    float *reduce;              // (SEA_CPU_REDUCE)
    sea_cpu_fn *gemm_dot;       /* struct sea_cpu_gemm of rounded numbers; NULL: as floats */
    char text[192];
};

/* The instruction sets this processor can run, best first; ends with NULL. */
const struct sea_cpu_isa *const *sea_cpu_isas(void);
/* dev_open with a chosen instruction set; NULL: the best. For tests. */
int sea_cpu_open(const struct sea_cpu_isa *isa, int threads, void **dev);

/* pool.c: threads live from create to destroy; a thread that finds no work spins for some
 * microseconds, then sleeps. One caller of run at a time. */
struct sea_cpu_pool *sea_cpu_pool_create(int threads, size_t scratch_floats);
void sea_cpu_pool_destroy(struct sea_cpu_pool *pool);   /* accepts NULL */
/* Runs fn over [0, total) in tasks of `grain`, returns when all are done. */
void sea_cpu_pool_run(struct sea_cpu_pool *pool, sea_cpu_fn *fn, const void *args,
                      int64_t total, int64_t grain);

/* Rows of a task when one row costs about `cost` elementary steps: a task is worth waking
 * a thread for (some microseconds), a row never is. */
int64_t sea_cpu_grain(int64_t cost);

/* Activations are float32 here: other types are refused before a task begins. */
static inline const float *
sea_cpu_in(const void *x)
{
    return (const float *)x;
}

static inline float *
sea_cpu_out(void *x)
{
    return (float *)x;
}

/* A sum over R rows of `width` columns: fixed blocks of rows, one partial sum each.
 * Depends on the shape alone. */
struct sea_cpu_blocks {
    int64_t rows, count;        /* rows of a block, number of blocks */
};
struct sea_cpu_blocks sea_cpu_blocks(int64_t R, int64_t width);

struct sea_cpu_gemm {
    const struct sea_op_gemm *op;
    int64_t m_step, n_step, n_tiles;    /* tile t: rows (t / n_tiles), columns (t % n_tiles) */
    int64_t k_step;             /* a function of K alone */
    int pack;                   /* how many times as dear packing is as for floats */
};
struct sea_cpu_attention {
    const struct sea_op_attention *op;
    int64_t blocks;             /* of the longest segment's queries, or of a key head's heads */
    int64_t heads;              /* with one query each: heads of a task */
};
/* One query each, and the tiles of its keys apart; pairs of (segment, key head), all heads of a
 * key head together. */
struct sea_cpu_attention_far {
    const struct sea_op_attention *op;
    int64_t first;              /* pair that this job begins with */
    int64_t tiles;              /* room of a pair: tiles of the longest segment */
    float *scores;              // (pairs, tiles, H / K, SEA_CPU_DEPTH_LD), then their weights
    float *values;              // (pairs, tiles, H / K, E)
    float *max, *sum;           // (pairs, tiles, H / K): of a tile alone
};
struct sea_cpu_norm_bwd {
    const void *op;             /* sea_op_layernorm_bwd, sea_op_rmsnorm_bwd, .._colscale_bwd */
    struct sea_cpu_blocks blocks;
    float *part;                // (blocks, C) dgamma, then (blocks, C) dbeta
};
struct sea_cpu_colsum {
    const struct sea_op_colsum *op;
    struct sea_cpu_blocks blocks;
    float *part;                // (blocks, C)
};
struct sea_cpu_fold {           /* out[c] (+)= sum over blocks of part[block, c] */
    const float *part;          // (blocks, C)
    float *out;                 // (C)
    int64_t blocks, C;
    int accumulate;
};
struct sea_cpu_sum {
    const struct sea_op_sum *op;
    int64_t block;              /* elements */
    double *part;               // (blocks)
};
struct sea_cpu_contrast {
    const struct sea_op_contrast *op;
    float scale;
};
struct sea_cpu_adamw {
    const struct sea_op_adamw *op;
    float one_less_beta1, one_less_beta2;       /* 1 - beta, rounded once */
    float correct1, correct2;                   /* 1 / (1 - beta^step) */
};

#if defined(__x86_64__)
extern const struct sea_cpu_isa sea_cpu_avx512, sea_cpu_avx2;
#endif
extern const struct sea_cpu_isa sea_cpu_portable;
/* dot_avx512.c: products of numbers rounded to bfloat16; NULL where they are not faster. */
sea_cpu_fn *sea_cpu_dot(void);

/* The operators, for the table in device.c. */
int sea_cpu_op_gemm(void *dev, const struct sea_op_gemm *a);
int sea_cpu_op_gather(void *dev, const struct sea_op_gather *a);
int sea_cpu_op_scatter(void *dev, const struct sea_op_scatter *a);
int sea_cpu_op_layernorm(void *dev, const struct sea_op_layernorm *a);
int sea_cpu_op_layernorm_bwd(void *dev, const struct sea_op_layernorm_bwd *a);
int sea_cpu_op_rmsnorm(void *dev, const struct sea_op_rmsnorm *a);
int sea_cpu_op_rmsnorm_bwd(void *dev, const struct sea_op_rmsnorm_bwd *a);
int sea_cpu_op_act(void *dev, const struct sea_op_act *a);
int sea_cpu_op_act_bwd(void *dev, const struct sea_op_act_bwd *a);
int sea_cpu_op_rope(void *dev, const struct sea_op_rope *a);
int sea_cpu_op_attention(void *dev, const struct sea_op_attention *a);
int sea_cpu_op_attention_bwd(void *dev, const struct sea_op_attention_bwd *a);
int sea_cpu_op_xent(void *dev, const struct sea_op_xent *a);
int sea_cpu_op_softcap(void *dev, const struct sea_op_softcap *a);
int sea_cpu_op_colscale(void *dev, const struct sea_op_colscale *a);
int sea_cpu_op_colscale_bwd(void *dev, const struct sea_op_colscale_bwd *a);
int sea_cpu_op_cast(void *dev, const struct sea_op_cast *a);
int sea_cpu_op_l2norm(void *dev, const struct sea_op_l2norm *a);
int sea_cpu_op_l2norm_bwd(void *dev, const struct sea_op_l2norm_bwd *a);
int sea_cpu_op_contrast(void *dev, const struct sea_op_contrast *a);
int sea_cpu_op_topk(void *dev, const struct sea_op_topk *a);
int sea_cpu_op_adamw(void *dev, const struct sea_op_adamw *a);
int sea_cpu_op_axpby(void *dev, const struct sea_op_axpby *a);
int sea_cpu_op_colsum(void *dev, const struct sea_op_colsum *a);
int sea_cpu_op_sum(void *dev, const struct sea_op_sum *a);
int sea_cpu_op_clip(void *dev, const struct sea_op_clip *a);
int sea_cpu_op_patchify(void *dev, const struct sea_op_patchify *a);
int sea_cpu_op_limits(void *dev, struct sea_op_limits *a);

#ifdef __cplusplus
}
#endif
#endif
