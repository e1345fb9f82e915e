/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_mma.cu - attention on tensor cores, flash style, forward and backward
 *
 * q, k, v, dout, the weights and their gradients are rounded to bfloat16 where they are
 * multiplied; scores, softmax and sums are float32. As in attention.cu a block takes a tile of
 * rows of one head of one segment and walks over tiles that start at the segment's first row,
 * so that a row's bits depend on no other row of the batch. No atomics: dq has a kernel that
 * walks over keys, dk and dv have one that walks over queries, head after head of the group.
 *
 * A warp has 16 rows. EP is the head's size, rounded up to one that was compiled; columns
 * behind the head are zeros in shared memory and are not written back.
 *
 * Bytes: every block reads its other side once, through the second cache: as float32, or cached
 * keys and values as the bfloat16 that they were rounded to when they were put there.
 */
#include "kernels/cuda/attention_int.h"
#include "kernels/cuda/mma_int.h"

#define WARPS 4
#define ROWS (16 * WARPS)       /* of a block: queries, or keys in dkv */
#define PAD 8                   /* bfloat16 behind a row: rows start in different banks */

/* A segment's rows fit into 32 bits: fewer registers than seen_by takes. */
struct limits {
    int first, last;
};

__device__ static inline struct limits
limits_of(const struct sea_op_attention &op, int j, int q_len, int k_len)
{
    struct limits seen = { 0, k_len };

    if (!op.causal)
        return seen;
    seen.last = k_len - q_len + j + 1;
    if (op.window && seen.last > op.window)
        seen.first = seen.last - (int)op.window;
    return seen;
}

/* Rows of the other side at a time: what keeps the sums of wide heads in registers. */
template <int EP>
struct wide {
    static constexpr int STEP = EP <= 128 ? 64 : 32;    /* forward */
    static constexpr int BACK = 32;                     /* backward */
    static constexpr int LD = EP + PAD;
    static constexpr int HALVES = EP <= 128 ? 1 : 2;    /* of the columns of dk and dv */
};

/* `rows` rows of one head to shared memory, rounded; zeros beyond `most` rows and E columns.
 * four: rows are aligned to four floats, and E is a multiple of four. */
template <int EP>
__device__ static inline void
load_rounded(uint16_t *tile, const float *from, int64_t ld, int rows, int most, int E, bool four)
{
    constexpr int QUARTERS = EP / 4, LD = wide<EP>::LD;

    for (int i = (int)threadIdx.x; i < rows * QUARTERS; i += (int)blockDim.x) {
        int r = i / QUARTERS, e = i % QUARTERS * 4;
        const float *x = from + r * ld + e;
        float4 v = make_float4(0, 0, 0, 0);

        if (r < most && four && e < E) {
            v = *(const float4 *)x;
        } else if (r < most) {
            v.x = e < E ? x[0] : 0.0f;
            v.y = e + 1 < E ? x[1] : 0.0f;
            v.z = e + 2 < E ? x[2] : 0.0f;
            v.w = e + 3 < E ? x[3] : 0.0f;
        }
        *(uint2 *)(tile + r * LD + e) = make_uint2(sea_mma_pair(v.x, v.y),
                                                   sea_mma_pair(v.z, v.w));
    }
}

/* The same of numbers that are rounded already. */
template <int EP>
__device__ static inline void
load_rounded(uint16_t *tile, const uint16_t *from, int64_t ld, int rows, int most, int E, bool four)
{
    constexpr int QUARTERS = EP / 4, LD = wide<EP>::LD;

    for (int i = (int)threadIdx.x; i < rows * QUARTERS; i += (int)blockDim.x) {
        int r = i / QUARTERS, e = i % QUARTERS * 4;
        const uint16_t *x = from + r * ld + e;
        uint2 v = make_uint2(0, 0);

        if (r < most && four && e < E)
            v = *(const uint2 *)x;
        else if (r < most)
            v = make_uint2((e < E ? x[0] : 0u) | (e + 1 < E ? (unsigned)x[1] << 16 : 0u),
                           (e + 2 < E ? x[2] : 0u) | (e + 3 < E ? (unsigned)x[3] << 16 : 0u));
        *(uint2 *)(tile + r * LD + e) = v;
    }
}

/* out (16, 8 COUNT) = X Y^T: X (16, EP) at x, Y (8 COUNT, EP) at y, both by rows. */
template <int EP, int COUNT>
__device__ static inline void
multiply_rows(float out[COUNT][4], const uint16_t *x, const uint16_t *y)
{
    constexpr int LD = wide<EP>::LD;

    for (int c = 0; c < COUNT; c++)
        for (int i = 0; i < 4; i++)
            out[c][i] = 0;
    SEA_UNROLL_2                /* more would only take registers */
    for (int e = 0; e < EP; e += 16) {
        uint32_t a[4], b[4];

        sea_mma_load_a(a, x + e, LD);
        SEA_UNROLL
        for (int c = 0; c < COUNT; c += 2) {
            sea_mma_load_bt(b, y + c * 8 * LD + e, LD);
            sea_mma(out[c], a, b);
            sea_mma(out[c + 1], a, b + 2);
        }
    }
}

/* sum (16, 8 COUNT) += W (16, 8 STEPS) Z: W in a D's layout, Z (8 STEPS, 8 COUNT) by rows. */
template <int LD, int STEPS, int COUNT>
__device__ static inline void
multiply_weights(float sum[COUNT][4], const float w[STEPS][4], const uint16_t *z)
{
    SEA_UNROLL
    for (int s = 0; s < STEPS; s += 2) {
        uint32_t a[4] = { sea_mma_pair(w[s][0], w[s][1]), sea_mma_pair(w[s][2], w[s][3]),
                          sea_mma_pair(w[s + 1][0], w[s + 1][1]),
                          sea_mma_pair(w[s + 1][2], w[s + 1][3]) };
        uint32_t b[4];

        SEA_UNROLL
        for (int c = 0; c < COUNT; c += 2) {
            sea_mma_load_b(b, z + s * 8 * LD + c * 8, LD);
            sea_mma(sum[c], a, b);
            sea_mma(sum[c + 1], a, b + 2);
        }
    }
}

/* Over the four lanes that share a row. */
__device__ static inline float
row_max(float x)
{
    x = fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 1));
    return fmaxf(x, __shfl_xor_sync(0xffffffffu, x, 2));
}

__device__ static inline float
row_sum(float x)
{
    x += __shfl_xor_sync(0xffffffffu, x, 1);
    return x + __shfl_xor_sync(0xffffffffu, x, 2);
}

/* (16, 8 COUNT) in a D's layout to rows of float32; row_scale: of rows g and g + 8. */
template <int COUNT>
__device__ static inline void
store_rows(float *to, int64_t ld, const float x[COUNT][4], const float row_scale[2], int rows,
           int E)
{
    int g = (int)threadIdx.x % 32 / 4, t = (int)threadIdx.x % 4;

    SEA_UNROLL
    for (int c = 0; c < COUNT; c++)
        SEA_UNROLL
        for (int i = 0; i < 4; i++) {
            int r = g + i / 2 * 8, e = c * 8 + 2 * t + i % 2;

            if (r < rows && e < E)
                to[r * ld + e] = x[c][i] * row_scale[i / 2];
        }
}

/* ---- forward ---- */

/* Shared: queries (ROWS, LD), keys and values (STEP, LD). Key: a number of k and v. */
template <int EP, typename Key>
static __global__ void __launch_bounds__(WARPS * SEA_CUDA_WARP)
attention_forward(const struct sea_op_attention op, const struct segments at,
                  const struct sea_shadow shadow, int four)
{
    constexpr int STEP = wide<EP>::STEP, LD = wide<EP>::LD, TILES = STEP / 8, OUT = EP / 8;
    SEA_DYNAMIC(uint16_t, tiles);
    uint16_t *q = tiles, *k = q + ROWS * LD, *v = k + STEP * LD;
    int64_t s = blockIdx.z, h = blockIdx.y, kh = h * op.K / op.H * op.E;
    int q_len = at.q_start[s + 1] - at.q_start[s], k_len = keys_of(at, s);
    int64_t key0 = first_key(at, s);
    int j0 = (int)blockIdx.x * ROWS, first, last, rows = q_len - j0 < ROWS ? q_len - j0 : ROWS;
    int64_t row0 = at.q_start[s] + j0;
    int warp = (int)threadIdx.x / SEA_CUDA_WARP, lane = (int)threadIdx.x % SEA_CUDA_WARP;
    int g = lane / 4, t = lane % 4, E = (int)op.E;
    int mine = rows - warp * 16;
    float out[OUT][4], top[2] = { -INFINITY, -INFINITY }, sum[2] = { 0, 0 };
    struct limits seen[2];

    if (j0 >= q_len)
        return;
    load_rounded<EP>(q, op.q + row0 * op.ld_q + h * E, op.ld_q, ROWS, rows, E, four);
    for (int c = 0; c < OUT; c++)
        for (int i = 0; i < 4; i++)
            out[c][i] = 0;
    for (int i = 0; i < 2; i++)
        seen[i] = limits_of(op, j0 + warp * 16 + g + i * 8, q_len, k_len);
    first = limits_of(op, j0, q_len, k_len).first / STEP * STEP;
    last = limits_of(op, j0 + rows - 1, q_len, k_len).last;
    for (int k0 = first; k0 < last; k0 += STEP) {
        int64_t from = (key0 + k0) * op.ld_kv + kh;
        float x[TILES][4], up[2], keep[2], slope;

        __syncthreads();
        load_rounded<EP>(k, numbers_at<Key>(op.k, from), op.ld_kv, STEP, k_len - k0, E, four);
        load_rounded<EP>(v, numbers_at<Key>(op.v, from), op.ld_kv, STEP, k_len - k0, E, four);
        __syncthreads();
        multiply_rows<EP, TILES>(x, q + warp * 16 * LD, k);
        up[0] = top[0];
        up[1] = top[1];
        SEA_UNROLL
        for (int c = 0; c < TILES; c++)
            SEA_UNROLL
            for (int i = 0; i < 4; i++) {
                int key = k0 + c * 8 + 2 * t + i % 2;

                x[c][i] = key < seen[i / 2].first || key >= seen[i / 2].last
                              ? -INFINITY : score_of(op, x[c][i], &slope);
                up[i / 2] = fmaxf(up[i / 2], x[c][i]);
            }
        for (int i = 0; i < 2; i++) {
            up[i] = row_max(up[i]);
            /* Nothing seen yet: no key of this tile, none before. */
            keep[i] = up[i] == -INFINITY ? 1.0f : expf(top[i] - up[i]);
            sum[i] *= keep[i];
            top[i] = up[i];
        }
        for (int i = 0; i < 2; i++) {
            float part = 0;

            SEA_UNROLL
            for (int c = 0; c < TILES; c++)
                SEA_UNROLL
                for (int n = 0; n < 2; n++) {
                    float *p = &x[c][2 * i + n];

                    *p = up[i] == -INFINITY ? 0.0f : expf(*p - up[i]);
                    part += *p;
                }
            sum[i] += row_sum(part);
        }
        SEA_UNROLL
        for (int c = 0; c < OUT; c++)
            SEA_UNROLL
            for (int i = 0; i < 4; i++)
                out[c][i] *= keep[i / 2];
        multiply_weights<LD, TILES, OUT>(out, x, v);
    }
    for (int i = 0; i < 2; i++) {
        int64_t row = row0 + warp * 16 + g + i * 8;

        if (op.lse && t == 0 && g + i * 8 < mine)
            op.lse[row * op.H + h] = top[i] + logf(sum[i]);
        sum[i] = sum[i] > 0 ? 1.0f / sum[i] : 0.0f;
    }
    store_rows<OUT>(op.out + (row0 + warp * 16) * op.ld_out + h * E, op.ld_out, out, sum, mine,
                    E);
    if (!shadow.data)
        return;
    for (int c = 0; c < OUT; c++)
        for (int i = 0; i < 4; i++) {
            int r = g + i / 2 * 8, e = c * 8 + 2 * t + i % 2;

            if (r < mine && e < E)
                sea_shade(shadow, row0 + warp * 16 + r, h * E + e, out[c][i] * sum[i / 2]);
        }
}

/* ---- backward ---- */

/* A weight and the gradient of its scaled product. */
__device__ static inline void
weigh(const struct sea_op_attention &op, bool is_seen, float dot, float dp, float lse, float delta,
      float *p, float *ds)
{
    float slope, x = score_of(op, dot, &slope);

    *p = is_seen ? expf(x - lse) : 0.0f;
    *ds = *p * (dp - delta) * slope * op.scale;
}

/* Shared: q and dout (ROWS, LD), keys and values (BACK, LD). */
template <int EP>
static __global__ void __launch_bounds__(WARPS * SEA_CUDA_WARP)
attention_backward_q(const struct sea_op_attention_bwd back, const struct segments at, int four)
{
    constexpr int STEP = wide<EP>::BACK, LD = wide<EP>::LD, TILES = STEP / 8, OUT = EP / 8;
    SEA_DYNAMIC(uint16_t, tiles);
    const struct sea_op_attention &op = back.fwd;
    uint16_t *q = tiles, *dout = q + ROWS * LD, *k = dout + ROWS * LD, *v = k + STEP * LD;
    int64_t s = blockIdx.z, h = blockIdx.y, kh = h * op.K / op.H * op.E;
    int n = at.q_start[s + 1] - at.q_start[s], j0 = (int)blockIdx.x * ROWS, first, last;
    int64_t row0 = at.q_start[s] + j0;
    int warp = (int)threadIdx.x / SEA_CUDA_WARP, lane = (int)threadIdx.x % SEA_CUDA_WARP;
    int g = lane / 4, t = lane % 4, E = (int)op.E;
    int rows = n - j0 < ROWS ? n - j0 : ROWS, mine = rows - warp * 16;
    float dq[OUT][4], lse[2], delta[2];
    const float one[2] = { 1, 1 };
    struct limits seen[2];

    if (j0 >= n)
        return;
    load_rounded<EP>(q, op.q + row0 * op.ld_q + h * E, op.ld_q, ROWS, rows, E, four);
    load_rounded<EP>(dout, back.dout + row0 * op.ld_out + h * E, op.ld_out, ROWS, rows, E, four);
    for (int c = 0; c < OUT; c++)
        for (int i = 0; i < 4; i++)
            dq[c][i] = 0;
    for (int i = 0; i < 2; i++) {
        int j = warp * 16 + g + i * 8;
        int64_t row = (row0 + (j < rows ? j : 0)) * op.H + h;

        seen[i] = limits_of(op, j0 + j, n, n);
        if (j >= rows)
            seen[i].last = 0;
        lse[i] = op.lse[row];
        delta[i] = back.delta[row];
    }
    first = limits_of(op, j0, n, n).first / STEP * STEP;
    last = limits_of(op, j0 + rows - 1, n, n).last;
    for (int k0 = first; k0 < last; k0 += STEP) {
        int64_t from = (at.q_start[s] + k0) * op.ld_kv + kh;
        float x[TILES][4], dp[TILES][4], p;

        __syncthreads();
        load_rounded<EP>(k, numbers_at<float>(op.k, from), op.ld_kv, STEP, n - k0, E, four);
        load_rounded<EP>(v, numbers_at<float>(op.v, from), op.ld_kv, STEP, n - k0, E, four);
        __syncthreads();
        multiply_rows<EP, TILES>(x, q + warp * 16 * LD, k);
        multiply_rows<EP, TILES>(dp, dout + warp * 16 * LD, v);
        SEA_UNROLL
        for (int c = 0; c < TILES; c++)
            SEA_UNROLL
            for (int i = 0; i < 4; i++) {
                int key = k0 + c * 8 + 2 * t + i % 2;

                weigh(op, key >= seen[i / 2].first && key < seen[i / 2].last, x[c][i], dp[c][i],
                      lse[i / 2], delta[i / 2], &p, &x[c][i]);
            }
        multiply_weights<LD, TILES, OUT>(dq, x, k);
    }
    store_rows<OUT>(back.dq + (row0 + warp * 16) * op.ld_q + h * E, op.ld_q, dq, one, mine, E);
}

/* Shared: keys and values (ROWS, LD), q and dout (BACK, LD); lse and delta of a query lie behind
 * its row of q, where rows are padded: heads of 256 fill the 99 KiB that some cards have. Warps of
 * the upper half of the block, if there is one, have the upper columns of the same keys. */
template <int EP>
static __global__ void __launch_bounds__(WARPS * SEA_CUDA_WARP * wide<EP>::HALVES)
attention_backward_kv(const struct sea_op_attention_bwd back, const struct segments at, int four)
{
    constexpr int STEP = wide<EP>::BACK, LD = wide<EP>::LD, TILES = STEP / 8;
    constexpr int PART = EP / wide<EP>::HALVES, OUT = PART / 8;
    SEA_DYNAMIC(uint16_t, tiles);
    const struct sea_op_attention &op = back.fwd;
    uint16_t *k = tiles, *v = k + ROWS * LD, *q = v + ROWS * LD, *dout = q + STEP * LD;
    int64_t s = blockIdx.z, kh = blockIdx.y, group = op.H / op.K;
    int64_t row0 = at.q_start[s];
    int n = at.q_start[s + 1] - at.q_start[s], key0 = (int)blockIdx.x * ROWS;
    int first = 0, last = n;
    int warp = (int)threadIdx.x / SEA_CUDA_WARP % WARPS, lane = (int)threadIdx.x % SEA_CUDA_WARP;
    int half = (int)threadIdx.x / (WARPS * SEA_CUDA_WARP) * PART;
    int g = lane / 4, t = lane % 4, E = (int)op.E;
    int rows = n - key0 < ROWS ? n - key0 : ROWS, mine = rows - warp * 16;
    int64_t to = (row0 + key0 + warp * 16) * op.ld_kv + kh * E + half;
    float dk[OUT][4], dv[OUT][4];
    const float one[2] = { 1, 1 };

    if (key0 >= n)
        return;
    load_rounded<EP>(k, numbers_at<float>(op.k, (row0 + key0) * op.ld_kv + kh * E), op.ld_kv, ROWS,
                     rows, E, four);
    load_rounded<EP>(v, numbers_at<float>(op.v, (row0 + key0) * op.ld_kv + kh * E), op.ld_kv, ROWS,
                     rows, E, four);
    for (int c = 0; c < OUT; c++)
        for (int i = 0; i < 4; i++)
            dk[c][i] = dv[c][i] = 0;
    if (op.causal) {                    /* queries of these rows, and window - 1 behind */
        first = key0;
        if (op.window && key0 + rows - 1 + op.window < n)
            last = key0 + rows - 1 + (int)op.window;
    }
    for (int64_t h = kh * group; h < (kh + 1) * group; h++)
        for (int j0 = first / STEP * STEP; j0 < last; j0 += STEP) {
            float x[TILES][4], dp[TILES][4];

            __syncthreads();
            load_rounded<EP>(q, op.q + (row0 + j0) * op.ld_q + h * E, op.ld_q, STEP, n - j0, E,
                             four);
            load_rounded<EP>(dout, back.dout + (row0 + j0) * op.ld_out + h * E, op.ld_out, STEP,
                             n - j0, E, four);
            for (int i = (int)threadIdx.x; i < STEP; i += (int)blockDim.x) {
                float *row = (float *)(void *)(q + i * LD + EP);

                row[0] = j0 + i < n ? op.lse[(row0 + j0 + i) * op.H + h] : 0.0f;
                row[1] = j0 + i < n ? back.delta[(row0 + j0 + i) * op.H + h] : 0.0f;
            }
            __syncthreads();
            multiply_rows<EP, TILES>(x, k + warp * 16 * LD, q);
            multiply_rows<EP, TILES>(dp, v + warp * 16 * LD, dout);
            SEA_UNROLL
            for (int c = 0; c < TILES; c++)
                SEA_UNROLL
                for (int i = 0; i < 4; i++) {
                    int key = key0 + warp * 16 + g + i / 2 * 8;
                    int at_j = c * 8 + 2 * t + i % 2;
                    const float *row = (const float *)(const void *)(q + at_j * LD + EP);
                    struct limits seen = limits_of(op, j0 + at_j, n, n);

                    weigh(op, j0 + at_j < n && key >= seen.first && key < seen.last, x[c][i],
                          dp[c][i], row[0], row[1], &x[c][i], &dp[c][i]);
                }
            multiply_weights<LD, TILES, OUT>(dv, x, dout + half);
            multiply_weights<LD, TILES, OUT>(dk, dp, q + half);
        }
    store_rows<OUT>(back.dk + to, op.ld_kv, dk, one, mine, E - half);
    store_rows<OUT>(back.dv + to, op.ld_kv, dv, one, mine, E - half);
}

/* ---- launches ---- */

/* Whether rows may be read four numbers at a time. */
static int
is_four(const struct sea_op_attention *a, const float *more)
{
    uintptr_t all = (uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v | (uintptr_t)more;

    return !(all % 16) && !((a->E | a->ld_q | a->ld_kv | a->ld_out) % 4);
}

template <int EP, typename Key>
static int
launch_forward_of(struct sea_cuda *cuda, const struct sea_op_attention *a,
                  const struct segments *at, int64_t count, int64_t queries)
{
    size_t bytes = (size_t)(ROWS + 2 * wide<EP>::STEP) * wide<EP>::LD * sizeof(uint16_t);
    int rc = attention_allow(attention_forward<EP, Key>, bytes);
    dim3 grid((unsigned)sea_ceil_div(queries, ROWS), (unsigned)a->H, (unsigned)count);
    int64_t rows = at->q_start[count], wide = a->H * a->E;
    struct sea_shadow shadow = { NULL, 0 };

    if (rc)
        return rc;
    /* Of the whole matrix only: not of one that several launches write. */
    if (count == a->S && at->q_start[0] == 0 && a->ld_out == wide)
        shadow = sea_cuda_shadow(cuda, a->out, rows, wide);
    SEA_LAUNCH(cuda, (attention_forward<EP, Key>), grid, WARPS * SEA_CUDA_WARP, bytes, *a, *at,
               shadow, is_four(a, NULL));
    return sea_cuda_launched();
}

template <int EP>
static int
launch_forward(struct sea_cuda *cuda, const struct sea_op_attention *a,
               const struct segments *at, int64_t count, int64_t queries)
{
    return a->kv_type ? launch_forward_of<EP, uint16_t>(cuda, a, at, count, queries)
                      : launch_forward_of<EP, float>(cuda, a, at, count, queries);
}

template <int EP>
static int
launch_backward(struct sea_cuda *cuda, const struct sea_op_attention_bwd *a,
                const struct segments *at, int64_t count, int64_t queries)
{
    constexpr int STEP = wide<EP>::BACK;
    size_t bytes = (size_t)2 * (ROWS + STEP) * wide<EP>::LD * sizeof(uint16_t);
    int four = is_four(&a->fwd, a->dout), rc = attention_allow(attention_backward_q<EP>, bytes);
    dim3 grid((unsigned)sea_ceil_div(queries, ROWS), (unsigned)a->fwd.H, (unsigned)count);

    if (!rc)
        rc = attention_allow(attention_backward_kv<EP>, bytes);
    if (rc)
        return rc;
    SEA_LAUNCH(cuda, attention_backward_q<EP>, grid, WARPS * SEA_CUDA_WARP, bytes, *a, *at, four);
    grid.y = (unsigned)a->fwd.K;
    SEA_LAUNCH(cuda, attention_backward_kv<EP>, grid, WARPS * SEA_CUDA_WARP * wide<EP>::HALVES,
               bytes, *a, *at, four);
    return sea_cuda_launched();
}

int
sea_cuda_attention_mma(struct sea_cuda *cuda, const struct sea_op_attention *a,
                       const struct segments *at, int64_t count, int64_t queries)
{
    return (a->E <= 64 ? launch_forward<64> : a->E <= 80 ? launch_forward<80> :
            a->E <= 96 ? launch_forward<96> : a->E <= 128 ? launch_forward<128> :
            launch_forward<256>)(cuda, a, at, count, queries);
}

int
sea_cuda_attention_bwd_mma(struct sea_cuda *cuda, const struct sea_op_attention_bwd *a,
                           const struct segments *at, int64_t count, int64_t queries)
{
    int64_t E = a->fwd.E;

    return (E <= 64 ? launch_backward<64> : E <= 80 ? launch_backward<80> :
            E <= 96 ? launch_backward<96> : E <= 128 ? launch_backward<128> :
            launch_backward<256>)(cuda, a, at, count, queries);
}
