/* SPDX-License-Identifier: Apache-2.0 */
/*
 * few.cu - few rows times weights in bfloat16: what a step of decoding is made of
 *
 * Such a product is as fast as the weights can be read, once. A block takes 16 GROUPS rows of the
 * weights (columns of C) and 8 TILES rows of A; its warps share K, 64 numbers in turn, and their
 * sums are added up in the order of the warps. A lane reads 16 bytes at a time and uses them as
 * they come: which k of a product's 16 a number stands for does not matter as long as both sides
 * agree, so that nothing is moved between lanes, nor through shared memory.
 *
 * An element of C is warp after warp a chain over its k, whatever GROUPS and TILES are: the bits
 * of a row are the same alone and among others. Sums of three warps and more know no other order.
 *
 * Not for many rows: A is read again for every 16 GROUPS columns, and there is no tile of A in
 * shared memory. The library's kernels take over where `few` is not said.
 */
#include "kernels/cuda/mma_int.h"

#define WARPS 8                 /* parts of K: part of what the bits are */
#define STEP 64                 /* k of a warp at a time: 128 bytes of a row, part of it, too */
#define THREADS (WARPS * SEA_CUDA_WARP)
#define LINE 20                 /* 16 sums and what keeps lanes in different banks */

struct few {
    const uint16_t *x;          // (M, K) rounded, row stride ld_x
    const uint16_t *w;          // (N, K), row stride ld_w
    const float *bias;          // (N), NULL: none
    float *c;                   // (M, N), row stride ldc
    int64_t M, N, K, ld_x, ld_w, ldc;
    float alpha;
    int accumulate;
};

/* 16 bytes that nobody reads a second time. */
__device__ static inline uint4
load_once(const uint16_t *from)
{
#ifdef SEA_CUDA_EMU
    return *(const uint4 *)(const void *)from;
#else
    uint4 v;

    /* volatile: all loads of a round stand in front of its products. */
    asm volatile("ld.global.nc.L1::no_allocate.L2::128B.v4.u32 {%0,%1,%2,%3}, [%4];"
                 : "=r"(v.x), "=r"(v.y), "=r"(v.z), "=r"(v.w) : "l"(from));
    return v;
#endif
}

/* What the warps summed up for one group of 16 columns, in their order, to C. */
template <int TILES>
__device__ static inline void
add_parts(const struct few &op, const float (*part)[8 * TILES][LINE], int64_t m0, int64_t n0)
{
    for (int i = (int)threadIdx.x; i < 16 * 8 * TILES; i += THREADS) {
        int64_t m = m0 + i / 16, n = n0 + i % 16;
        float x = 0;

        if (m >= op.M || n >= op.N)
            continue;
        SEA_UNROLL
        for (int w = 0; w < WARPS; w++)
            x += part[w][i / 16][i % 16];
        x *= op.alpha;
        if (op.bias)
            x += op.bias[n];
        op.c[m * op.ldc + n] = op.accumulate ? op.c[m * op.ldc + n] + x : x;
    }
}

/* Where a lane stands. */
template <int GROUPS>
struct place {
    const uint16_t *w[2 * GROUPS], *x;  // rows g and g + 8 of each group, row g of A; at its k
    int64_t ld_x;
    int K, M;                   /* left of A's rows, from row g on */
};

/* STEPS steps of a warp from k0 on: all of the weights' numbers are on their way before the first
 * of them is used. whole: K does not end within. */
template <int TILES, int GROUPS, int STEPS, bool whole>
__device__ static inline void
add_steps(float sum[GROUPS][TILES][4], const struct place<GROUPS> &at, int k0)
{
    uint4 left[STEPS][2][2 * GROUPS];

    SEA_UNROLL
    for (int s = 0; s < STEPS; s++)
        SEA_UNROLL
        for (int h = 0; h < 2; h++)
            SEA_UNROLL
            for (int r = 0; r < 2 * GROUPS; r++) {
                int k = k0 + s * WARPS * STEP + h * 32;

                left[s][h][r] = make_uint4(0, 0, 0, 0);
                if (whole || k < at.K)
                    left[s][h][r] = load_once(at.w[r] + k);
            }
    SEA_UNROLL
    for (int s = 0; s < STEPS; s++)
        SEA_UNROLL
        for (int h = 0; h < 2; h++)
            SEA_UNROLL
            for (int j = 0; j < TILES; j++) {
                int k = k0 + s * WARPS * STEP + h * 32;
                uint4 x = make_uint4(0, 0, 0, 0);

                if (j * 8 < at.M && (whole || k < at.K))
                    x = *(const uint4 *)(const void *)(at.x + j * 8 * at.ld_x + k);
                SEA_UNROLL
                for (int i = 0; i < GROUPS; i++) {
                    /* k of a product: 2t, 2t + 1 are the lane's 1st and 2nd number, 2t + 8 and
                     * 2t + 9 its 3rd and 4th; then its other four. */
                    const uint4 &up = left[s][h][2 * i], &down = left[s][h][2 * i + 1];
                    const uint32_t a[2][4] = { { up.x, down.x, up.y, down.y },
                                               { up.z, down.z, up.w, down.w } };
                    const uint32_t b[2][2] = { { x.x, x.y }, { x.z, x.w } };

                    sea_mma(sum[i][j], a[0], b[0]);
                    sea_mma(sum[i][j], a[1], b[1]);
                }
            }
}

template <int TILES, int GROUPS>
static __global__ void __launch_bounds__(THREADS)
few_rows(const struct few op)
{
    constexpr int AHEAD = TILES * GROUPS <= 4 ? 4 / GROUPS : 1, ROUND = AHEAD * WARPS * STEP;
    __shared__ float part[WARPS][8 * TILES][LINE];
    int64_t m0 = (int64_t)blockIdx.y * 8 * TILES, n0 = (int64_t)blockIdx.x * 16 * GROUPS;
    int warp = (int)threadIdx.x / SEA_CUDA_WARP, lane = (int)threadIdx.x % SEA_CUDA_WARP;
    int g = lane / 4, t = lane % 4, k0 = warp * STEP;
    struct place<GROUPS> at = { {}, op.x + (m0 + g) * op.ld_x + t * 8, op.ld_x,
                                (int)op.K - t * 8, (int)(op.M - m0) - g };
    float sum[GROUPS][TILES][4] = {};

    SEA_UNROLL
    for (int r = 0; r < 2 * GROUPS; r++) {      /* rows behind the last are not written */
        int64_t n = n0 + r * 8 + g;

        at.w[r] = op.w + (n < op.N ? n : op.N - 1) * op.ld_w + t * 8;
    }
    for (; k0 + ROUND - (WARPS - 1) * STEP <= (int)op.K; k0 += ROUND)
        add_steps<TILES, GROUPS, AHEAD, true>(sum, at, k0);
    for (; k0 < (int)op.K; k0 += WARPS * STEP)
        add_steps<TILES, GROUPS, 1, false>(sum, at, k0);
    SEA_UNROLL
    for (int i = 0; i < GROUPS; i++) {
        if (i)
            __syncthreads();                    /* the group before has been added up */
        SEA_UNROLL
        for (int j = 0; j < TILES; j++)
            SEA_UNROLL
            for (int e = 0; e < 4; e++)
                part[warp][j * 8 + 2 * t + e % 2][g + e / 2 * 8] = sum[i][j][e];
        __syncthreads();
        add_parts<TILES>(op, part, m0, n0 + i * 16);
    }
}

template <int TILES, int GROUPS>
static int
launch(struct sea_cuda *cuda, const struct few &op)
{
    dim3 grid((unsigned)sea_ceil_div(op.N, 16 * GROUPS), (unsigned)sea_ceil_div(op.M, 8 * TILES));

    SEA_LAUNCH(cuda, (few_rows<TILES, GROUPS>), grid, THREADS, 0, op);
    return sea_cuda_launched();
}

/* More columns a block, where there are enough of them for all processors: A is read less. */
template <int TILES>
static int
launch_wide(struct sea_cuda *cuda, const struct few &op)
{
    int64_t some = cuda->processors ? cuda->processors : 1;

    if (TILES >= 4 && op.N >= 64 * some)
        return launch<TILES, TILES >= 4 ? 4 : 2>(cuda, op);
    return op.N >= 32 * some * (TILES < 4 ? 4 : 1) ? launch<TILES, 2>(cuda, op)
                                                   : launch<TILES, 1>(cuda, op);
}

bool
sea_cuda_few_fits(const struct sea_op_gemm *a)
{
    return a->few && !a->rounded && a->b_type == SEA_STORE_BF16 && a->trans_b && !a->trans_a &&
           a->K > 0 && a->K < INT32_MAX / 2 && a->K % 8 == 0 && a->ldb % 8 == 0 && (uintptr_t)a->b % 16 == 0 &&
           a->M <= (int64_t)SEA_CUDA_GRID * 8;
}

int
sea_cuda_few(struct sea_cuda *cuda, const struct sea_op_gemm *a)
{
    struct few op = { .x = NULL, .w = (const uint16_t *)a->b, .bias = a->bias, .c = a->c,
                      .M = a->M, .N = a->N, .K = a->K, .ld_x = 0, .ld_w = a->ldb, .ldc = a->ldc,
                      .alpha = a->alpha, .accumulate = a->accumulate };
    int rc = sea_cuda_round(cuda, a->a, a->M, a->K, a->lda, &op.x, &op.ld_x);

    if (rc)
        return rc;
    return (a->M <= 8 ? launch_wide<1> : a->M <= 16 ? launch_wide<2> :
            a->M <= 32 ? launch_wide<4> : launch_wide<8>)(cuda, op);
}
