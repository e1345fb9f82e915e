/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.cu - matrix products: of few rows with stored weights by few.cu; others by cuBLASLt
 * (blas.cu) where it can be loaded, else by kernels of our own, one in float32 and one on tensor
 * cores
 *
 * B in bfloat16: A is rounded to bfloat16 on its way, sums and results are float32. Products
 * of float32 run in float32 (no TF32), unless the caller lets them be rounded.
 */
#include "kernels/cuda/mma_int.h"

/* ---- our own: 64 x 64 of C by 256 threads, 4 x 4 each ---- */

#define SIDE 64
#define DEPTH 16

__device__ static inline float
a_at(const struct sea_op_gemm &op, int64_t m, int64_t k)
{
    if (m >= op.M || k >= op.K)
        return 0.0f;
    return op.trans_a ? op.a[k * op.lda + m] : op.a[m * op.lda + k];
}

__device__ static inline float
b_at(const struct sea_op_gemm &op, int64_t k, int64_t n)
{
    int64_t at = op.trans_b ? n * op.ldb + k : k * op.ldb + n;

    if (n >= op.N || k >= op.K)
        return 0.0f;
    return op.b_type == SEA_STORE_BF16 ? sea_bf16_widen(((const uint16_t *)op.b)[at])
                                       : ((const float *)op.b)[at];
}

static __global__ void
gemm_tile(const struct sea_op_gemm op)
{
    __shared__ float a[DEPTH][SIDE + 1], b[DEPTH][SIDE + 1];
    int64_t m0 = (int64_t)blockIdx.y * SIDE, n0 = (int64_t)blockIdx.x * SIDE;
    int row = (int)threadIdx.x / 16 * 4, column = (int)threadIdx.x % 16 * 4;
    float sum[4][4] = { { 0 } };

    for (int64_t k0 = 0; k0 < op.K; k0 += DEPTH) {
        __syncthreads();
        for (int i = (int)threadIdx.x; i < SIDE * DEPTH; i += (int)blockDim.x) {
            /* Neighbouring threads read neighbouring numbers. */
            int am = op.trans_a ? i % SIDE : i / DEPTH, ak = op.trans_a ? i / SIDE : i % DEPTH;
            int bn = op.trans_b ? i / DEPTH : i % SIDE, bk = op.trans_b ? i % DEPTH : i / SIDE;

            a[ak][am] = a_at(op, m0 + am, k0 + ak);
            b[bk][bn] = b_at(op, k0 + bk, n0 + bn);
        }
        __syncthreads();
        for (int k = 0; k < DEPTH; k++)
            for (int i = 0; i < 4; i++)
                for (int j = 0; j < 4; j++)
                    sum[i][j] = fmaf(a[k][row + i], b[k][column + j], sum[i][j]);
    }
    for (int i = 0; i < 4; i++)
        for (int j = 0; j < 4; j++) {
            int64_t m = m0 + row + i, n = n0 + column + j;
            float x = op.alpha * sum[i][j];

            if (m >= op.M || n >= op.N)
                continue;
            if (op.bias)
                x += op.bias[n];
            op.c[m * op.ldc + n] = op.accumulate ? op.c[m * op.ldc + n] + x : x;
        }
}

static int
own_gemm(struct sea_cuda *cuda, const struct sea_op_gemm *a)
{
    struct sea_op_gemm part = *a;
    int64_t most = (int64_t)SEA_CUDA_GRID * SIDE;
    int rc = SEA_RC_OK;

    for (int64_t m = 0; m < a->M && !rc; m += most) {
        part.a = a->a + (a->trans_a ? m : m * a->lda);
        part.c = a->c + m * a->ldc;
        part.M = a->M - m < most ? a->M - m : most;
        dim3 grid((unsigned)sea_ceil_div(a->N, SIDE), (unsigned)sea_ceil_div(part.M, SIDE));

        SEA_LAUNCH(cuda, gemm_tile, grid, 256, 0, part);
        rc = sea_cuda_launched();
    }
    return rc;
}

/* ---- our own on tensor cores: 64 x 64 of C by 4 warps, 32 x 32 each ---- */

#define STEP 32
#define ROW (STEP + 8)          /* bfloat16: rows start in different banks */
#define LINE (SIDE + 8)

struct rounded {                /* operands in bfloat16 and their row strides */
    const uint16_t *a, *b;
    int64_t lda, ldb;
};

/* One tile of `rows` by `columns` to shared memory, zeros beyond most. */
__device__ static inline void
load_short(uint16_t *tile, int ld_tile, const uint16_t *from, int64_t ld, int rows, int columns,
           int64_t most_rows, int64_t most_columns)
{
    for (int i = (int)threadIdx.x; i < rows * columns; i += (int)blockDim.x) {
        int r = i / columns, c = i % columns;

        tile[r * ld_tile + c] = r < most_rows && c < most_columns ? from[r * ld + c]
                                                                  : (uint16_t)0;
    }
}

/* Every element is one chain over k, 16 at a time: no row sees another, nor where it stands. */
static __global__ void
gemm_mma(const struct sea_op_gemm op, const struct rounded in)
{
    alignas(16) __shared__ uint16_t a[SIDE * LINE], b[SIDE * LINE];
    int64_t m0 = (int64_t)blockIdx.y * SIDE, n0 = (int64_t)blockIdx.x * SIDE;
    int warp = (int)threadIdx.x / SEA_CUDA_WARP, lane = (int)threadIdx.x % SEA_CUDA_WARP;
    int wm = warp / 2 * 32, wn = warp % 2 * 32;
    float sum[2][4][4] = { { { 0 } } };

    for (int64_t k0 = 0; k0 < op.K; k0 += STEP) {
        __syncthreads();
        if (op.trans_a)                 /* (K, M): k by rows */
            load_short(a, LINE, in.a + k0 * in.lda + m0, in.lda, STEP, SIDE, op.K - k0,
                       op.M - m0);
        else
            load_short(a, ROW, in.a + m0 * in.lda + k0, in.lda, SIDE, STEP, op.M - m0,
                       op.K - k0);
        if (op.trans_b)                 /* (N, K): k by columns */
            load_short(b, ROW, in.b + n0 * in.ldb + k0, in.ldb, SIDE, STEP, op.N - n0,
                       op.K - k0);
        else
            load_short(b, LINE, in.b + k0 * in.ldb + n0, in.ldb, STEP, SIDE, op.K - k0,
                       op.N - n0);
        __syncthreads();
        for (int k = 0; k < STEP; k += 16) {
            SEA_UNROLL
            for (int i = 0; i < 2; i++) {
                uint32_t left[4], right[4];

                if (op.trans_a) {
                    /* Tiles of A come transposed: (k, m) (k, m+8) (k+8, m) (k+8, m+8). */
                    sea_mma_load(left, a + (k + lane % 8 + lane / 16 * 8) * LINE + wm + i * 16 +
                                 lane / 8 % 2 * 8, true);
                } else {
                    sea_mma_load_a(left, a + (wm + i * 16) * ROW + k, ROW);
                }
                SEA_UNROLL
                for (int j = 0; j < 4; j += 2) {
                    if (op.trans_b)
                        sea_mma_load_bt(right, b + (wn + j * 8) * ROW + k, ROW);
                    else
                        sea_mma_load_b(right, b + k * LINE + wn + j * 8, LINE);
                    sea_mma(sum[i][j], left, right);
                    sea_mma(sum[i][j + 1], left, right + 2);
                }
            }
        }
    }
    SEA_UNROLL
    for (int i = 0; i < 2; i++)
        SEA_UNROLL
        for (int j = 0; j < 4; j++)
            SEA_UNROLL
            for (int e = 0; e < 4; e++) {
                int64_t m = m0 + wm + i * 16 + lane / 4 + e / 2 * 8;
                int64_t n = n0 + wn + j * 8 + lane % 4 * 2 + e % 2;
                float x = op.alpha * sum[i][j][e];

                if (m >= op.M || n >= op.N)
                    continue;
                if (op.bias)
                    x += op.bias[n];
                op.c[m * op.ldc + n] = op.accumulate ? op.c[m * op.ldc + n] + x : x;
            }
}

static int
own_gemm_rounded(struct sea_cuda *cuda, const struct sea_op_gemm *a)
{
    struct sea_op_gemm part = *a;
    int64_t most = (int64_t)SEA_CUDA_GRID * SIDE;
    struct rounded in;
    int rc = sea_cuda_round_operands(cuda, a, &in.a, &in.lda, &in.b, &in.ldb);

    for (int64_t m = 0; m < a->M && !rc; m += most) {
        struct rounded here = in;

        here.a += a->trans_a ? m : m * in.lda;
        part.c = a->c + m * a->ldc;
        part.M = a->M - m < most ? a->M - m : most;
        dim3 grid((unsigned)sea_ceil_div(a->N, SIDE), (unsigned)sea_ceil_div(part.M, SIDE));

        SEA_LAUNCH(cuda, gemm_mma, grid, 128, 0, part, here);
        rc = sea_cuda_launched();
    }
    return rc;
}

int
sea_cuda_gemm(void *dev, const struct sea_op_gemm *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    int done, rc;

    if (!cuda || !a || a->M < 0 || a->N < 0 || a->K < 0 || a->b_type > SEA_STORE_BF16)
        return SEA_RC_ARGUMENT;
    if (!a->M || !a->N)
        return SEA_RC_OK;
    if (!a->c || a->ldc < a->N || (a->K && (!a->a || !a->b)))
        return SEA_RC_ARGUMENT;
    if (a->lda < (a->trans_a ? a->M : a->K) || a->ldb < (a->trans_b ? a->K : a->N))
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->c, sea_cuda_extent(a->M, a->N, a->ldc));
    if (!cuda->few_by_library && sea_cuda_few_fits(a))
        return sea_cuda_few(cuda, a);
    rc = sea_cuda_blas_gemm(cuda, a, &done);
    if (rc || done)
        return rc;
    return a->rounded && a->K ? own_gemm_rounded(cuda, a) : own_gemm(cuda, a);
}
