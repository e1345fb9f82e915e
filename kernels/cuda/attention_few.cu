/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_few.cu - one query a segment over its cached keys: a step of decoding
 *
 * Nothing costs here but reading keys and values once. Each key head's keys are cut into parts by
 * the number of keys that its query sees, and by nothing else of the batch; a block takes one
 * part for all query heads that share it. What the parts found is joined in their order by a
 * second kernel. Keys and values are float32 or bfloat16, all else is float32.
 *
 * 1. LANES lanes of a warp hold one key's row, VEC times four numbers each; a group of lanes takes
 *    every SUBS'th key of the part, AHEAD at a time, with a softmax of its own.
 * 2. The block joins its groups of lanes, through shared memory, and writes top, sum, and the
 *    unscaled row of each of its heads.
 * 3. attention_join divides.
 */
#include "kernels/cuda/attention_int.h"

#define WARPS 4
#define THREADS (WARPS * SEA_CUDA_WARP)

/* Parts of a segment's keys: of the model's shape and the segment's own keys. */
struct parts {
    int most, least;            /* parts; keys of one */
};

__device__ static inline int
part_keys(const struct parts &parts, int keys)
{
    int each = (keys + parts.most - 1) / parts.most;

    each = (each + 31) / 32 * 32;
    return each > parts.least ? each : parts.least;
}

struct few_keys {
    struct sea_op_attention op;
    struct parts parts;
    const int32_t *k_start, *k_len;     // device
    int64_t row0;               /* of the first segment: one row each */
    int passes;                 /* blocks that share a key head's query heads */
    float *found;               // (segments, H, parts.most, E + 2): top, sum, row
};

__device__ static inline float
scale_to(float top, float up)
{
    return top == -INFINITY ? 0.0f : expf(top - up);
}

/* Four numbers of a key as they were read, and what they are. */
template <typename Key>
struct four_of {
    typedef float4 stored;
};
template <>
struct four_of<uint16_t> {
    typedef uint2 stored;
};

__device__ static inline float4
widen_four(const float4 &x)
{
    return x;
}

__device__ static inline float4
widen_four(const uint2 &x)
{
    return make_float4(__uint_as_float(x.x << 16), __uint_as_float(x.x & 0xffff0000u),
                       __uint_as_float(x.y << 16), __uint_as_float(x.y & 0xffff0000u));
}

/* Shared: SUBS times G of top, sum, row (E). Half as wide keys are asked for twice as far ahead:
 * it is bytes on their way that hide the memory's delay. */
template <int LANES, int VEC, int G, typename Key>
static __global__ void __launch_bounds__(THREADS)
attention_part(const struct few_keys few)
{
    typedef typename four_of<Key>::stored stored;
    constexpr int SUBS = THREADS / LANES, NARROW = sizeof(float) / sizeof(Key);
    constexpr int AHEAD = (VEC > 1 || G > 4 ? 2 : 4) * NARROW;
    SEA_DYNAMIC(float, shared);
    const struct sea_op_attention &op = few.op;
    int64_t s = blockIdx.z, kh = (int64_t)blockIdx.y / few.passes, group = op.H / op.K;
    int64_t h0 = kh * group + (int64_t)blockIdx.y % few.passes * G;
    int heads = (int)((kh + 1) * group - h0), E = (int)op.E, k_len = few.k_len[s], line = E + 2;
    int lane = (int)threadIdx.x % LANES, sub = (int)threadIdx.x / LANES;
    struct seen seen = seen_by(op, 0, 1, k_len);
    int first = (int)seen.first, last = (int)seen.last;
    int each = part_keys(few.parts, last - first), from = first + (int)blockIdx.x * each;
    int to = last - from < each ? last : from + each;
    const float *q = op.q + (few.row0 + s) * op.ld_q + h0 * E;
    int64_t key_at = few.k_start[s] * op.ld_kv + kh * E + lane * 4;
    float4 query[G][VEC], out[G][VEC];
    float top[G], sum[G];

    if (from >= last)
        return;
    heads = heads < G ? heads : G;
    SEA_UNROLL
    for (int g = 0; g < G; g++) {
        top[g] = -INFINITY;
        sum[g] = 0;
        SEA_UNROLL
        for (int c = 0; c < VEC; c++) {
            bool here = g < heads && (c * LANES + lane) * 4 < E;

            out[g][c] = query[g][c] = make_float4(0, 0, 0, 0);
            if (here)
                query[g][c] = *(const float4 *)(q + g * E + (c * LANES + lane) * 4);
        }
    }
    /* As many rounds for all lanes of a warp: they show each other their sums. */
    for (int base = from; base < to; base += SUBS * AHEAD) {
        stored k[AHEAD][VEC], v[AHEAD][VEC];
        float x[AHEAD][G], slope;

        SEA_UNROLL
        for (int a = 0; a < AHEAD; a++)
            SEA_UNROLL
            for (int c = 0; c < VEC; c++) {
                int key = base + a * SUBS + sub;
                bool here = key < to && (c * LANES + lane) * 4 < E;
                int64_t at = key_at + key * op.ld_kv + c * LANES * 4;

                k[a][c] = v[a][c] = stored();
                if (here) {
                    k[a][c] = *(const stored *)numbers_at<Key>(op.k, at);
                    v[a][c] = *(const stored *)numbers_at<Key>(op.v, at);
                }
            }
        SEA_UNROLL
        for (int a = 0; a < AHEAD; a++)
            SEA_UNROLL
            for (int g = 0; g < G; g++) {
                float dot = 0;

                SEA_UNROLL
                for (int c = 0; c < VEC; c++) {
                    float4 key = widen_four(k[a][c]);

                    dot = fmaf(query[g][c].x, key.x, dot);
                    dot = fmaf(query[g][c].y, key.y, dot);
                    dot = fmaf(query[g][c].z, key.z, dot);
                    dot = fmaf(query[g][c].w, key.w, dot);
                }
                SEA_UNROLL
                for (int step = LANES / 2; step; step /= 2)
                    dot += __shfl_xor_sync(0xffffffffu, dot, step);
                x[a][g] = base + a * SUBS + sub < to ? score_of(op, dot, &slope) : -INFINITY;
            }
        SEA_UNROLL
        for (int g = 0; g < G; g++) {
            float up = top[g], keep;

            SEA_UNROLL
            for (int a = 0; a < AHEAD; a++)
                up = fmaxf(up, x[a][g]);
            keep = scale_to(top[g], up);
            top[g] = up;
            sum[g] *= keep;
            SEA_UNROLL
            for (int c = 0; c < VEC; c++)
                out[g][c] = make_float4(out[g][c].x * keep, out[g][c].y * keep,
                                        out[g][c].z * keep, out[g][c].w * keep);
            SEA_UNROLL
            for (int a = 0; a < AHEAD; a++) {
                float p = scale_to(x[a][g], up);

                sum[g] += p;
                SEA_UNROLL
                for (int c = 0; c < VEC; c++) {
                    float4 value = widen_four(v[a][c]);

                    out[g][c].x = fmaf(p, value.x, out[g][c].x);
                    out[g][c].y = fmaf(p, value.y, out[g][c].y);
                    out[g][c].z = fmaf(p, value.z, out[g][c].z);
                    out[g][c].w = fmaf(p, value.w, out[g][c].w);
                }
            }
        }
    }
    SEA_UNROLL
    for (int g = 0; g < G; g++) {
        float *mine = shared + (sub * G + g) * line;

        if (lane == 0) {
            mine[0] = top[g];
            mine[1] = sum[g];
        }
        SEA_UNROLL
        for (int c = 0; c < VEC; c++) {
            int e = (c * LANES + lane) * 4;

            if (e >= E)
                continue;
            mine[2 + e] = out[g][c].x;
            mine[3 + e] = out[g][c].y;
            mine[4 + e] = out[g][c].z;
            mine[5 + e] = out[g][c].w;
        }
    }
    __syncthreads();
    for (int i = (int)threadIdx.x; i < heads * E; i += THREADS) {
        const float *one = shared + i / E * line;
        float *found = few.found + ((s * op.H + h0 + i / E) * few.parts.most + blockIdx.x) * line;
        float up = -INFINITY, all = 0, row = 0;

        for (int n = 0; n < SUBS; n++)
            up = fmaxf(up, one[n * G * line]);
        for (int n = 0; n < SUBS; n++) {
            float scale = scale_to(one[n * G * line], up);

            all = fmaf(one[n * G * line + 1], scale, all);
            row = fmaf(one[n * G * line + 2 + i % E], scale, row);
        }
        found[2 + i % E] = row;
        if (i % E == 0) {
            found[0] = up;
            found[1] = all;
        }
    }
}

/* A block for each head of each segment: its parts, in their order. */
static __global__ void
attention_join(const struct few_keys few, const struct sea_shadow shadow)
{
    const struct sea_op_attention &op = few.op;
    int64_t h = blockIdx.x, s = blockIdx.y, row = few.row0 + s;
    struct seen seen = seen_by(op, 0, 1, few.k_len[s]);
    int keys = (int)(seen.last - seen.first), E = (int)op.E, line = E + 2;
    int each = part_keys(few.parts, keys), count = (keys + each - 1) / each;
    const float *found = few.found + (s * op.H + h) * few.parts.most * line;
    float up = -INFINITY;

    for (int n = 0; n < count; n++)
        up = fmaxf(up, found[n * line]);
    for (int e = (int)threadIdx.x; e < E; e += (int)blockDim.x) {
        float all = 0, x = 0;

        for (int n = 0; n < count; n++) {
            float scale = scale_to(found[n * line], up);

            all = fmaf(found[n * line + 1], scale, all);
            x = fmaf(found[n * line + 2 + e], scale, x);
        }
        x = all <= 0 ? 0.0f : x / all;         /* NaN stays NaN */
        op.out[row * op.ld_out + h * E + e] = x;
        sea_shade(shadow, row, h * E + e, x);
        if (op.lse && e == 0)
            op.lse[row * op.H + h] = up + logf(all);
    }
}

template <int LANES, int VEC, int G>
static int
launch_part(struct sea_cuda *cuda, struct few_keys few, int64_t segments)
{
    size_t bytes = (size_t)(THREADS / LANES * G) * (size_t)(few.op.E + 2) * sizeof(float);
    int64_t group = few.op.H / few.op.K;
    dim3 grid;

    few.passes = (int)sea_ceil_div(group, G);
    grid = dim3((unsigned)few.parts.most, (unsigned)(few.op.K * few.passes), (unsigned)segments);
    if (few.op.kv_type)
        SEA_LAUNCH(cuda, (attention_part<LANES, VEC, G, uint16_t>), grid, THREADS, bytes, few);
    else
        SEA_LAUNCH(cuda, (attention_part<LANES, VEC, G, float>), grid, THREADS, bytes, few);
    return sea_cuda_launched();
}

template <int LANES, int VEC>
static int
launch_heads(struct sea_cuda *cuda, const struct few_keys &few, int64_t segments)
{
    int64_t group = few.op.H / few.op.K;

    return (group == 1 ? launch_part<LANES, VEC, 1> : group == 2 ? launch_part<LANES, VEC, 2> :
            group <= 4 ? launch_part<LANES, VEC, 4> : launch_part<LANES, VEC, 8>)(cuda, few,
                                                                                 segments);
}

bool
sea_cuda_attention_few_fits(const struct sea_op_attention *a)
{
    uintptr_t all = (uintptr_t)a->q | (uintptr_t)a->k | (uintptr_t)a->v;

    if (!a->few || !a->k_device || all % 16 || (a->E | a->ld_q | a->ld_kv) % 4)
        return false;
    for (int64_t s = 0; s < a->S; s++)
        if (a->q_start[s + 1] - a->q_start[s] != 1)
            return false;
    return true;
}

int
sea_cuda_attention_few(struct sea_cuda *cuda, const struct sea_op_attention *a)
{
    struct few_keys few = { .op = *a, .parts = { 32, 32 }, .k_start = NULL, .k_len = NULL,
                            .row0 = a->q_start[0], .passes = 1, .found = cuda->reduce };
    int64_t wide = a->H * a->E, at_once, count;
    struct sea_shadow shadow = { NULL, 0 };
    int rc = SEA_RC_OK;

    /* Of few key heads more parts, to have enough blocks. */
    if (a->K >= 8)
        few.parts = { 12, 64 };
    at_once = (int64_t)SEA_CUDA_REDUCE / (a->H * few.parts.most * (a->E + 2));
    at_once = at_once < SEA_CUDA_GRID ? at_once : SEA_CUDA_GRID;
    if (!at_once)
        return SEA_RC_UNSUPPORTED;
    if (a->q_start[0] == 0 && a->ld_out == wide)
        shadow = sea_cuda_shadow(cuda, a->out, a->S, wide);
    for (int64_t s = 0; s < a->S && !rc; s += count) {
        count = a->S - s < at_once ? a->S - s : at_once;
        few.k_start = a->k_device + s;
        few.k_len = a->k_device + a->S + s;
        few.row0 = a->q_start[s];
        rc = (a->E <= 32 ? launch_heads<8, 1> : a->E <= 64 ? launch_heads<16, 1> :
              a->E <= 128 ? launch_heads<32, 1> : launch_heads<32, 2>)(cuda, few, count);
        if (rc)
            break;
        SEA_LAUNCH(cuda, attention_join, dim3((unsigned)a->H, (unsigned)count),
                   a->E <= 64 ? 64 : 128, 0, few, shadow);
        rc = sea_cuda_launched();
    }
    return rc;
}
