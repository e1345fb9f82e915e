/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention.cu - softmax attention over segments, flash style, forward and backward
 *
 * The reference: float32 arithmetic, no tensor cores (attention_mma.cu). A block takes QUERIES
 * rows of one head of one segment and walks over tiles of KEYS keys that start at the
 * segment's first key, so a row's bits do not depend on its neighbours; tiles that the mask
 * hides whole are skipped. A warp has QUERIES / WARPS rows; in the scores a lane is a key, in
 * the sums a lane is a column of the head.
 *
 * Segments travel as kernel arguments, SEGMENTS at a time.
 */
#include "kernels/cuda/attention_int.h"

#define KEYS 32                 /* a lane each */
#define WARPS 4
#define QUERIES 16
#define EACH (QUERIES / WARPS)  /* rows of a warp */
#define COLUMNS (HEAD_MAX / SEA_CUDA_WARP)      /* of a lane, at most */

/* KEYS rows of one head to shared memory, rows ld apart; those beyond the segment are 0. */
__device__ static inline void
load_tile(float *tile, int64_t ld, const float *from, int64_t ld_from, int64_t rows, int64_t most,
          int64_t E)
{
    for (int64_t i = threadIdx.x; i < rows * E; i += blockDim.x) {
        int64_t r = i / E, e = i % E;

        tile[r * ld + e] = r < most ? from[r * ld_from + e] : 0.0f;
    }
}

__device__ static inline float
dot_of(const float *a, const float *b, int64_t E)
{
    float sum = 0;

    for (int64_t e = 0; e < E; e++)
        sum = fmaf(a[e], b[e], sum);
    return sum;
}

/* Shared: q (QUERIES, E), then one tile (KEYS, E + 1): keys, later values. */
static __global__ void
attention_tile(const struct sea_op_attention op, const struct segments at)
{
    SEA_DYNAMIC(float, shared);
    int64_t s = blockIdx.z, h = blockIdx.y, E = op.E, ld = E + 1;
    int64_t q_len = at.q_start[s + 1] - at.q_start[s], k_len = keys_of(at, s);
    int64_t j0 = (int64_t)blockIdx.x * QUERIES;
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, warp = (int)threadIdx.x / SEA_CUDA_WARP;
    float *q = shared, *tile = shared + QUERIES * E;
    const float *k, *v;
    float out[EACH][COLUMNS], top[EACH], sum[EACH];
    int64_t rows = q_len - j0 < QUERIES ? q_len - j0 : QUERIES;
    struct seen all;

    if (j0 >= q_len)
        return;
    k = numbers_at<float>(op.k, first_key(at, s) * op.ld_kv + h * op.K / op.H * E);
    v = numbers_at<float>(op.v, first_key(at, s) * op.ld_kv + h * op.K / op.H * E);
    load_tile(q, E, op.q + (at.q_start[s] + j0) * op.ld_q + h * E, op.ld_q, QUERIES, rows, E);
    for (int i = 0; i < EACH; i++) {
        top[i] = -INFINITY;
        sum[i] = 0;
        for (int c = 0; c < COLUMNS; c++)
            out[i][c] = 0;
    }
    all.first = seen_by(op, j0, q_len, k_len).first;
    all.last = seen_by(op, j0 + rows - 1, q_len, k_len).last;
    for (int64_t k0 = all.first / KEYS * KEYS; k0 < all.last; k0 += KEYS) {
        float p[EACH];

        __syncthreads();
        load_tile(tile, ld, k + k0 * op.ld_kv, op.ld_kv, KEYS, k_len - k0, E);
        __syncthreads();
        for (int i = 0; i < EACH; i++) {
            int64_t j = j0 + warp * EACH + i;
            struct seen seen = seen_by(op, j, q_len, k_len);
            float slope, x = score_of(op, dot_of(q + (warp * EACH + i) * E, tile + lane * ld, E),
                                      &slope), up, keep;

            if (k0 + lane < seen.first || k0 + lane >= seen.last)
                x = -INFINITY;
            up = fmaxf(top[i], sea_warp_max(x));
            /* Nothing seen yet: no key of this tile, none before. */
            keep = up == -INFINITY ? 1.0f : expf(top[i] - up);
            p[i] = up == -INFINITY ? 0.0f : expf(x - up);
            sum[i] = sum[i] * keep + sea_warp_sum(p[i]);
            top[i] = up;
            for (int c = 0; c < COLUMNS; c++)
                out[i][c] *= keep;
        }
        __syncthreads();
        load_tile(tile, ld, v + k0 * op.ld_kv, op.ld_kv, KEYS, k_len - k0, E);
        __syncthreads();
        for (int key = 0; key < KEYS; key++)
            for (int i = 0; i < EACH; i++) {
                float weight = __shfl_sync(0xffffffffu, p[i], key);

                for (int c = 0; c < COLUMNS && c * SEA_CUDA_WARP + lane < E; c++)
                    out[i][c] = fmaf(weight, tile[key * ld + c * SEA_CUDA_WARP + lane],
                                     out[i][c]);
            }
    }
    for (int i = 0; i < EACH; i++) {
        int64_t j = j0 + warp * EACH + i, row = at.q_start[s] + j;

        if (j >= q_len)
            continue;
        for (int c = 0; c < COLUMNS && c * SEA_CUDA_WARP + lane < E; c++)
            op.out[row * op.ld_out + h * E + c * SEA_CUDA_WARP + lane] =
                sum[i] > 0 ? out[i][c] / sum[i] : 0.0f;
        if (op.lse && lane == 0)
            op.lse[row * op.H + h] = top[i] + logf(sum[i]);
    }
}

int
sea_cuda_attention(void *dev, const struct sea_op_attention *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct segments at;
    size_t bytes;
    int rc;

    if (!cuda || !a)
        return SEA_RC_ARGUMENT;
    rc = attention_check(a);
    if (!rc && a->S && sea_cuda_attention_few_fits(a)) {
        sea_cuda_wrote(cuda, a->out + a->q_start[0] * a->ld_out,
                       sea_cuda_extent(a->S, a->H * a->E, a->ld_out));
        if (a->lse)
            sea_cuda_wrote(cuda, a->lse, (size_t)(a->q_start[a->S] * a->H) * sizeof(float));
        return sea_cuda_attention_few(cuda, a);
    }
    bytes = (size_t)(QUERIES * a->E + KEYS * (a->E + 1)) * sizeof(float);
    if (!rc)
        rc = attention_allow(attention_tile, bytes);
    for (int64_t first = 0; first < a->S && !rc; first += SEGMENTS) {
        int64_t count, queries, keys;
        dim3 grid;

        attention_take(a, first, &at, &count, &queries, &keys);
        if (!queries)
            continue;
        sea_cuda_wrote(cuda, a->out + at.q_start[0] * a->ld_out,
                       sea_cuda_extent(at.q_start[count] - at.q_start[0], a->H * a->E, a->ld_out));
        if (a->lse)
            sea_cuda_wrote(cuda, a->lse, (size_t)(at.q_start[count] * a->H) * sizeof(float));
        if (a->rounded) {
            rc = sea_cuda_attention_mma(cuda, a, &at, count, queries);
            continue;
        }
        grid = dim3((unsigned)sea_ceil_div(queries, QUERIES), (unsigned)a->H, (unsigned)count);
        SEA_LAUNCH(cuda, attention_tile, grid, WARPS * SEA_CUDA_WARP, bytes, *a, at);
        rc = sea_cuda_launched();
    }
    return rc;
}

/* ---- backward: keys and queries of a segment are the same rows ---- */

/* delta[row, h] = sum of dout * out; one warp each. */
static __global__ void
delta_rows(const struct sea_op_attention_bwd op, int64_t row0, int64_t rows)
{
    int64_t i = (int64_t)blockIdx.x * (blockDim.x / SEA_CUDA_WARP) + threadIdx.x / SEA_CUDA_WARP;
    int64_t row = row0 + i / op.fwd.H, h = i % op.fwd.H, at = row * op.fwd.ld_out + h * op.fwd.E;
    float sum = 0;

    if (i >= rows * op.fwd.H)
        return;
    for (int64_t e = threadIdx.x % SEA_CUDA_WARP; e < op.fwd.E; e += SEA_CUDA_WARP)
        sum = fmaf(op.dout[at + e], op.fwd.out[at + e], sum);
    sum = sea_warp_sum(sum);
    if (threadIdx.x % SEA_CUDA_WARP == 0)
        op.delta[row * op.fwd.H + h] = sum;
}

/* The weight of a key for a query, and the gradient of their scaled product. */
struct pair {
    float p, ds;
};

__device__ static inline struct pair
pair_of(const struct sea_op_attention &op, struct seen seen, int64_t key, float dot, float dp,
        float lse, float delta)
{
    struct pair pair = { 0, 0 };
    float slope, x = score_of(op, dot, &slope);

    if (key < seen.first || key >= seen.last)
        return pair;
    pair.p = expf(x - lse);
    pair.ds = pair.p * (dp - delta) * slope * op.scale;
    return pair;
}

/* dq: the forward's walk. Shared: q, dout (QUERIES, E), keys, values (KEYS, E + 1). */
static __global__ void
attention_dq(const struct sea_op_attention_bwd back, const struct segments at)
{
    SEA_DYNAMIC(float, shared);
    const struct sea_op_attention &op = back.fwd;
    int64_t s = blockIdx.z, h = blockIdx.y, E = op.E, ld = E + 1;
    int64_t n = at.q_start[s + 1] - at.q_start[s], row0 = at.q_start[s];
    int64_t j0 = (int64_t)blockIdx.x * QUERIES;
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, warp = (int)threadIdx.x / SEA_CUDA_WARP;
    float *q = shared, *dout = q + QUERIES * E, *keys = dout + QUERIES * E;
    float *values = keys + KEYS * ld, dq[EACH][COLUMNS];
    int64_t rows = n - j0 < QUERIES ? n - j0 : QUERIES, kh = h * op.K / op.H * E;
    int64_t first, last;

    if (j0 >= n)
        return;
    load_tile(q, E, op.q + (row0 + j0) * op.ld_q + h * E, op.ld_q, QUERIES, rows, E);
    load_tile(dout, E, back.dout + (row0 + j0) * op.ld_out + h * E, op.ld_out, QUERIES, rows, E);
    for (int i = 0; i < EACH; i++)
        for (int c = 0; c < COLUMNS; c++)
            dq[i][c] = 0;
    first = seen_by(op, j0, n, n).first;
    last = seen_by(op, j0 + rows - 1, n, n).last;
    for (int64_t k0 = first / KEYS * KEYS; k0 < last; k0 += KEYS) {
        float ds[EACH];

        __syncthreads();
        load_tile(keys, ld, numbers_at<float>(op.k, (row0 + k0) * op.ld_kv + kh), op.ld_kv, KEYS,
                  n - k0, E);
        load_tile(values, ld, numbers_at<float>(op.v, (row0 + k0) * op.ld_kv + kh), op.ld_kv, KEYS,
                  n - k0, E);
        __syncthreads();
        for (int i = 0; i < EACH; i++) {
            int64_t j = j0 + warp * EACH + i, row = row0 + (j < n ? j : n - 1);

            ds[i] = j < n ? pair_of(op, seen_by(op, j, n, n), k0 + lane,
                                    dot_of(q + (warp * EACH + i) * E, keys + lane * ld, E),
                                    dot_of(dout + (warp * EACH + i) * E, values + lane * ld, E),
                                    op.lse[row * op.H + h], back.delta[row * op.H + h]).ds
                          : 0.0f;
        }
        for (int key = 0; key < KEYS; key++)
            for (int i = 0; i < EACH; i++) {
                float d = __shfl_sync(0xffffffffu, ds[i], key);

                for (int c = 0; c < COLUMNS && c * SEA_CUDA_WARP + lane < E; c++)
                    dq[i][c] = fmaf(d, keys[key * ld + c * SEA_CUDA_WARP + lane], dq[i][c]);
            }
    }
    for (int i = 0; i < EACH; i++) {
        int64_t j = j0 + warp * EACH + i;

        for (int c = 0; j < n && c < COLUMNS && c * SEA_CUDA_WARP + lane < E; c++)
            back.dq[(row0 + j) * op.ld_q + h * E + c * SEA_CUDA_WARP + lane] = dq[i][c];
    }
}

/* dk, dv: a block takes QUERIES keys of one key head and walks over the queries that see
 * them, head after head of the group. In the scores a lane is a query, in the sums a column.
 * Shared: keys, values (QUERIES, E), q, dout (KEYS, E + 1), lse and delta (KEYS). */
static __global__ void
attention_dkv(const struct sea_op_attention_bwd back, const struct segments at)
{
    SEA_DYNAMIC(float, shared);
    const struct sea_op_attention &op = back.fwd;
    int64_t s = blockIdx.z, kh = blockIdx.y, E = op.E, ld = E + 1, group = op.H / op.K;
    int64_t n = at.q_start[s + 1] - at.q_start[s], row0 = at.q_start[s];
    int64_t key0 = (int64_t)blockIdx.x * QUERIES;
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, warp = (int)threadIdx.x / SEA_CUDA_WARP;
    float *keys = shared, *values = keys + QUERIES * E, *q = values + QUERIES * E;
    float *dout = q + KEYS * ld, dk[EACH][COLUMNS], dv[EACH][COLUMNS];
    int64_t rows = n - key0 < QUERIES ? n - key0 : QUERIES, first = 0, last = n;

    if (key0 >= n)
        return;
    load_tile(keys, E, numbers_at<float>(op.k, (row0 + key0) * op.ld_kv + kh * E), op.ld_kv,
              QUERIES, rows, E);
    load_tile(values, E, numbers_at<float>(op.v, (row0 + key0) * op.ld_kv + kh * E), op.ld_kv,
              QUERIES, rows, E);
    for (int i = 0; i < EACH; i++)
        for (int c = 0; c < COLUMNS; c++)
            dk[i][c] = dv[i][c] = 0;
    if (op.causal) {                    /* queries of these rows, and window - 1 behind */
        first = key0;
        if (op.window && key0 + rows - 1 + op.window < n)
            last = key0 + rows - 1 + op.window;
    }
    for (int64_t h = kh * group; h < (kh + 1) * group; h++)
        for (int64_t j0 = first / KEYS * KEYS; j0 < last; j0 += KEYS) {
            struct pair pair[EACH];
            int64_t j = j0 + lane, row = row0 + (j < n ? j : n - 1);

            __syncthreads();
            load_tile(q, ld, op.q + (row0 + j0) * op.ld_q + h * E, op.ld_q, KEYS, n - j0, E);
            load_tile(dout, ld, back.dout + (row0 + j0) * op.ld_out + h * E, op.ld_out, KEYS,
                      n - j0, E);
            __syncthreads();
            for (int i = 0; i < EACH; i++) {
                int64_t key = key0 + warp * EACH + i;
                struct seen seen = seen_by(op, j, n, n);

                if (j >= n)
                    seen.last = 0;
                pair[i] = pair_of(op, seen, key, dot_of(keys + (warp * EACH + i) * E,
                                  q + lane * ld, E), dot_of(values + (warp * EACH + i) * E,
                                  dout + lane * ld, E), op.lse[row * op.H + h],
                                  back.delta[row * op.H + h]);
            }
            for (int query = 0; query < KEYS; query++)
                for (int i = 0; i < EACH; i++) {
                    float p = __shfl_sync(0xffffffffu, pair[i].p, query);
                    float ds = __shfl_sync(0xffffffffu, pair[i].ds, query);

                    for (int c = 0; c < COLUMNS && c * SEA_CUDA_WARP + lane < E; c++) {
                        int64_t e = c * SEA_CUDA_WARP + lane;

                        dk[i][c] = fmaf(ds, q[query * ld + e], dk[i][c]);
                        dv[i][c] = fmaf(p, dout[query * ld + e], dv[i][c]);
                    }
                }
        }
    for (int i = 0; i < EACH; i++) {
        int64_t key = key0 + warp * EACH + i;

        for (int c = 0; key < n && c < COLUMNS && c * SEA_CUDA_WARP + lane < E; c++) {
            int64_t to = (row0 + key) * op.ld_kv + kh * E + c * SEA_CUDA_WARP + lane;

            back.dk[to] = dk[i][c];
            back.dv[to] = dv[i][c];
        }
    }
}

int
sea_cuda_attention_bwd(void *dev, const struct sea_op_attention_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct segments at;
    size_t bytes;
    int rc;

    if (!cuda || !a)
        return SEA_RC_ARGUMENT;
    rc = attention_check(&a->fwd);
    if (!rc && a->fwd.S && (!a->dout || !a->dq || !a->dk || !a->dv || !a->delta || !a->fwd.lse))
        rc = SEA_RC_ARGUMENT;
    if (!rc && a->fwd.kv_type)
        rc = SEA_RC_UNSUPPORTED;
    bytes = (size_t)(2 * QUERIES * a->fwd.E + 2 * KEYS * (a->fwd.E + 1)) * sizeof(float);
    if (!rc)
        rc = attention_allow(attention_dq, bytes);
    if (!rc)
        rc = attention_allow(attention_dkv, bytes);
    for (int64_t first = 0; first < a->fwd.S && !rc; first += SEGMENTS) {
        int64_t count, queries, keys, row0, rows;
        dim3 grid;

        attention_take(&a->fwd, first, &at, &count, &queries, &keys);
        if (!queries)
            continue;
        row0 = at.q_start[0];
        rows = at.q_start[count] - row0;
        sea_cuda_wrote(cuda, a->dq + row0 * a->fwd.ld_q,
                       sea_cuda_extent(rows, a->fwd.H * a->fwd.E, a->fwd.ld_q));
        sea_cuda_wrote(cuda, a->dk + row0 * a->fwd.ld_kv,
                       sea_cuda_extent(rows, a->fwd.K * a->fwd.E, a->fwd.ld_kv));
        sea_cuda_wrote(cuda, a->dv + row0 * a->fwd.ld_kv,
                       sea_cuda_extent(rows, a->fwd.K * a->fwd.E, a->fwd.ld_kv));
        sea_cuda_wrote(cuda, a->delta, (size_t)(at.q_start[count] * a->fwd.H) * sizeof(float));
        SEA_LAUNCH(cuda, delta_rows, (unsigned)sea_ceil_div(rows * a->fwd.H, WARPS),
                   WARPS * SEA_CUDA_WARP, 0, *a, row0, rows);
        if (a->fwd.rounded) {
            rc = sea_cuda_attention_bwd_mma(cuda, a, &at, count, queries);
            continue;
        }
        grid = dim3((unsigned)sea_ceil_div(queries, QUERIES), (unsigned)a->fwd.H,
                    (unsigned)count);
        SEA_LAUNCH(cuda, attention_dq, grid, WARPS * SEA_CUDA_WARP, bytes, *a, at);
        grid.y = (unsigned)a->fwd.K;
        SEA_LAUNCH(cuda, attention_dkv, grid, WARPS * SEA_CUDA_WARP, bytes, *a, at);
        rc = sea_cuda_launched();
    }
    return rc;
}
