/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_int.h - what the files of the CUDA back end share
 *
 * The table of kernels/sea_ops.h, filled by a plugin (libsea_cuda.so). Rules that keep its
 * invariants:
 *  - one stream per device handle; an operator launches on it and returns;
 *  - a row is reduced by one block whose size depends on the row's length alone, in a fixed
 *    tree: neither other rows nor the card's size change its bits;
 *  - sums over rows go through partial sums in `reduce`, folded in order; there is no
 *    floating-point atomic;
 *  - host arrays (attention's segments) travel as kernel arguments, so that nothing needs to
 *    outlive the call.
 *
 * The sources also compile as plain C++ against tests/gpu/emu, which runs every thread of a
 * block as a coroutine: SEA_LAUNCH, SEA_DYNAMIC and mma_int.h are the places that differ.
 * Matrix products go to cuBLASLt when it can be loaded, else to kernels of our own.
 *
 * An operator launches after it said what it writes (sea_cuda_wrote): products use rounded
 * copies of their operands, which must not outlive them.
 */
#ifndef SEA_CUDA_INT_H
#define SEA_CUDA_INT_H

#include <cuda_runtime.h>
#include <stddef.h>
#include <stdint.h>

#include "kernels/sea_ops.h"

#ifdef SEA_CUDA_EMU
#define SEA_LAUNCH(dev, kernel, grid, block, bytes, ...)                              \
    emu_start((dev)->stream, #kernel, (grid), (block), (bytes), kernel, __VA_ARGS__)
#define SEA_DYNAMIC(type, name) type *name = (type *)emu_dynamic()
#define SEA_UNROLL
#define SEA_UNROLL_2
#else
#define SEA_LAUNCH(dev, kernel, grid, block, bytes, ...)                              \
    kernel<<<(grid), (block), (bytes), (dev)->stream>>>(__VA_ARGS__)
#define SEA_DYNAMIC(type, name) extern __shared__ __align__(16) type name[]
#define SEA_UNROLL _Pragma("unroll")
#define SEA_UNROLL_2 _Pragma("unroll 2")
#endif

#define SEA_CUDA_RC 1000        /* codes from here on are cudaError_t + 1000 */
#define SEA_CUDA_RC_BLAS 3000   /* codes from here on are cublasStatus_t + 3000 */
#define SEA_CUDA_RC_OLD_DRIVER 2998
#define SEA_CUDA_RC_OLD_CARD 2999
#define SEA_CUDA_REDUCE ((size_t)1 << 22)       /* floats of partial sums */
#define SEA_CUDA_WARP 32
#define SEA_CUDA_GRID 65535     /* blocks in y and z at most */

struct sea_cuda_blas;           /* blas.cu: cuBLASLt, its plans and its workspace */
struct sea_cuda_shadows;        /* shadow.cu: rounded copies of activations */
struct sea_cuda_staging;        /* device.cu: page-locked memory that uploads pass through */

struct sea_cuda {
    int index;
    cudaStream_t stream;
    float *reduce;              // (SEA_CUDA_REDUCE)
    struct sea_cuda_blas *blas;
    struct sea_cuda_shadows *shadows;
    struct sea_cuda_staging *staging;
    int processors;
    bool few_by_library;        /* SEA_CUDA_FEW=library: not by few.cu */
    bool capturing;             /* what is enqueued becomes a graph: no memory, no waiting */
    char card[256];             /* its name */
    char text[768];
};

/* The code of a call of the runtime: 0, SEA_RC_MEMORY, or cudaError_t + SEA_CUDA_RC. What rc_text
 * says of it in this thread names the error and the line that noticed it. */
int sea_cuda_code(cudaError_t error, const char *file, int line);
#define SEA_CUDA_CODE(call) sea_cuda_code((call), __FILE__, __LINE__)
/* The same of the launches before. Faults of kernels that ran since then appear here, too. */
#define sea_cuda_launched() SEA_CUDA_CODE(cudaGetLastError())
/* Another failure, told by rc_text(rc) from now on. Returns rc. */
__attribute__((format(printf, 2, 3))) int sea_cuda_say(int rc, const char *fmt, ...);

/* ---- device helpers ---- */

__device__ static inline float
sea_bf16_widen(uint16_t x)
{
    return __uint_as_float((uint32_t)x << 16);
}

/* To nearest, ties to even; a NaN stays one. */
__device__ static inline uint16_t
sea_bf16_round(float x)
{
    uint32_t bits = __float_as_uint(x);

    if ((bits & 0x7fffffffu) > 0x7f800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7fffu + (bits >> 16 & 1u)) >> 16);
}

/* Sum over a warp, the same in every lane; a fixed tree. */
template <typename T>
__device__ static inline T
sea_warp_sum(T x)
{
    for (int step = SEA_CUDA_WARP / 2; step; step /= 2)
        x += __shfl_xor_sync(0xffffffffu, x, step);
    return x;
}

__device__ static inline float
sea_warp_max(float x)
{
    for (int step = SEA_CUDA_WARP / 2; step; step /= 2)
        x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, step));
    return x;
}

/* Sum over a block of whole warps, the same in every thread. Callers may follow each other:
 * the barriers keep `part` from being overwritten early. */
template <typename T>
__device__ static inline T
sea_block_sum(T x)
{
    __shared__ T part[SEA_CUDA_WARP];
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, warp = (int)threadIdx.x / SEA_CUDA_WARP;
    int warps = (int)blockDim.x / SEA_CUDA_WARP;

    x = sea_warp_sum(x);
    if (lane == 0)
        part[warp] = x;
    __syncthreads();
    x = sea_warp_sum(lane < warps ? part[lane] : (T)0);
    __syncthreads();
    return x;
}

__device__ static inline float
sea_block_max(float x)
{
    __shared__ float part[SEA_CUDA_WARP];
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, warp = (int)threadIdx.x / SEA_CUDA_WARP;
    int warps = (int)blockDim.x / SEA_CUDA_WARP;

    x = sea_warp_max(x);
    if (lane == 0)
        part[warp] = x;
    __syncthreads();
    x = sea_warp_max(lane < warps ? part[lane] : -INFINITY);
    __syncthreads();
    return x;
}

/* ---- host helpers ---- */

static inline int64_t
sea_ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Threads of a block that reduces a row of C numbers: of C alone. */
static inline int
sea_row_threads(int64_t C)
{
    return C <= 256 ? 64 : C <= 2048 ? 128 : C <= 16384 ? 256 : 512;
}

/* Blocks of 256 for n elements; a kernel strides over what is left. */
static inline unsigned
sea_flat_blocks(int64_t n)
{
    int64_t blocks = sea_ceil_div(n, 256);

    return (unsigned)(blocks < 1 ? 1 : blocks < 65536 ? blocks : 65536);
}

/* The element numbers of a flat kernel: for (SEA_FLAT(i, n)). */
#define SEA_FLAT(i, n)                                                                \
    int64_t i = (int64_t)blockIdx.x * blockDim.x + threadIdx.x; i < (n);              \
    i += (int64_t)gridDim.x * blockDim.x

/* update.cu: out[c] (+)= sum over b of part[b * C + c], in order of b. */
int sea_cuda_fold(struct sea_cuda *cuda, const float *part, int64_t blocks, int64_t C,
                  float *out, int accumulate);
/* Row blocks of a sum over R rows into C partial sums each; of R and C alone. */
struct sea_cuda_blocks {
    int64_t count, rows;
};
struct sea_cuda_blocks sea_cuda_row_blocks(int64_t R, int64_t C);

/* Partial sums of one block of rows, a column a thread. */
template <class Term>
static __global__ void
sea_column_part(const Term term, int64_t R, int64_t C, float *part, int64_t rows)
{
    int64_t first = blockIdx.y * rows, last = first + rows < R ? first + rows : R;
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;

    if (c >= C)
        return;
    for (int64_t r = first; r < last; r++)
        sum += term(r, c);
    part[blockIdx.y * C + c] = sum;
}

/* out[c] (+)= sum over r of term(r, c), by way of `reduce`: C is at most SEA_CUDA_REDUCE. */
template <class Term>
static int
sea_cuda_column_sum(struct sea_cuda *cuda, const Term &term, int64_t R, int64_t C, float *out,
                    int accumulate)
{
    struct sea_cuda_blocks blocks = sea_cuda_row_blocks(R, C);
    int rc = 0;

    if (blocks.count) {
        dim3 grid((unsigned)sea_ceil_div(C, 128), (unsigned)blocks.count);

        SEA_LAUNCH(cuda, sea_column_part<Term>, grid, 128, 0, term, R, C, cuda->reduce,
                   blocks.rows);
        rc = sea_cuda_launched();
    }
    return rc ? rc : sea_cuda_fold(cuda, cuda->reduce, blocks.count, C, out, accumulate);
}

/* ---- shadow.cu ---- */

/* The rounded copy of a matrix that an operator may write beside its float32; data NULL: nobody
 * wants one. A kernel writes data[r * ld + c] for every row and column. */
struct sea_shadow {
    uint16_t *data;
    int64_t ld;
};
int sea_cuda_shadows_open(struct sea_cuda *cuda);
void sea_cuda_shadows_close(struct sea_cuda *cuda);
/* Every operator says what it is about to write. */
void sea_cuda_wrote(struct sea_cuda *cuda, const void *mem, size_t bytes);
void sea_cuda_shadows_forget(struct sea_cuda *cuda);    /* memory was given back */
/* One graph more, or less: what graphs use stays where it is while there is one. */
void sea_cuda_shadows_graph(struct sea_cuda *cuda, int more);
/* Of x (rows, columns), rows without gaps, about to be written whole. */
struct sea_shadow sea_cuda_shadow(struct sea_cuda *cuda, const float *x, int64_t rows,
                                  int64_t columns);
/* x rounded, as it stands: made, or found. Valid until the second call after this one. */
int sea_cuda_round(struct sea_cuda *cuda, const float *x, int64_t rows, int64_t columns,
                   int64_t ld, const uint16_t **out, int64_t *ld_out);
/* Both operands of a product; B as it is when it is stored rounded. */
int sea_cuda_round_operands(struct sea_cuda *cuda, const struct sea_op_gemm *a,
                            const uint16_t **left, int64_t *lda, const uint16_t **right,
                            int64_t *ldb);

/* Bytes from the first number of a float32 matrix to behind its last. */
static inline size_t
sea_cuda_extent(int64_t rows, int64_t columns, int64_t ld)
{
    return rows > 0 ? (size_t)((rows - 1) * ld + columns) * sizeof(float) : 0;
}
#define SEA_CUDA_REST SIZE_MAX  /* bytes: all that follows */

__device__ static inline void
sea_shade(const struct sea_shadow &shadow, int64_t r, int64_t c, float x)
{
    if (shadow.data)
        shadow.data[r * shadow.ld + c] = sea_bf16_round(x);
}

/* The operators, by file. */
int sea_cuda_blas_open(struct sea_cuda *cuda);
void sea_cuda_blas_close(struct sea_cuda *cuda);
void sea_cuda_blas_name(const struct sea_cuda *cuda, char *out, size_t room);
/* *done 0: not by the library. */
int sea_cuda_blas_gemm(struct sea_cuda *cuda, const struct sea_op_gemm *a, int *done);
/* few.cu: products that it can do, and one of them. */
bool sea_cuda_few_fits(const struct sea_op_gemm *a);
int sea_cuda_few(struct sea_cuda *cuda, const struct sea_op_gemm *a);
int sea_cuda_limits(void *dev, struct sea_op_limits *a);
int sea_cuda_gemm(void *dev, const struct sea_op_gemm *a);
int sea_cuda_gather(void *dev, const struct sea_op_gather *a);
int sea_cuda_scatter(void *dev, const struct sea_op_scatter *a);
int sea_cuda_layernorm(void *dev, const struct sea_op_layernorm *a);
int sea_cuda_layernorm_bwd(void *dev, const struct sea_op_layernorm_bwd *a);
int sea_cuda_rmsnorm(void *dev, const struct sea_op_rmsnorm *a);
int sea_cuda_rmsnorm_bwd(void *dev, const struct sea_op_rmsnorm_bwd *a);
int sea_cuda_act(void *dev, const struct sea_op_act *a);
int sea_cuda_act_bwd(void *dev, const struct sea_op_act_bwd *a);
int sea_cuda_rope(void *dev, const struct sea_op_rope *a);
int sea_cuda_attention(void *dev, const struct sea_op_attention *a);
int sea_cuda_attention_bwd(void *dev, const struct sea_op_attention_bwd *a);
int sea_cuda_xent(void *dev, const struct sea_op_xent *a);
int sea_cuda_softcap(void *dev, const struct sea_op_softcap *a);
int sea_cuda_colscale(void *dev, const struct sea_op_colscale *a);
int sea_cuda_colscale_bwd(void *dev, const struct sea_op_colscale_bwd *a);
int sea_cuda_cast(void *dev, const struct sea_op_cast *a);
int sea_cuda_l2norm(void *dev, const struct sea_op_l2norm *a);
int sea_cuda_l2norm_bwd(void *dev, const struct sea_op_l2norm_bwd *a);
int sea_cuda_contrast(void *dev, const struct sea_op_contrast *a);
int sea_cuda_topk(void *dev, const struct sea_op_topk *a);
int sea_cuda_adamw(void *dev, const struct sea_op_adamw *a);
int sea_cuda_axpby(void *dev, const struct sea_op_axpby *a);
int sea_cuda_colsum(void *dev, const struct sea_op_colsum *a);
int sea_cuda_sum(void *dev, const struct sea_op_sum *a);
int sea_cuda_clip(void *dev, const struct sea_op_clip *a);
int sea_cuda_patchify(void *dev, const struct sea_op_patchify *a);

#endif
