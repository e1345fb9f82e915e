/* SPDX-License-Identifier: Apache-2.0 */
/*
 * attention_int.h - what both attention kernels share: segments, masks, scores
 *
 * attention.cu is float32 throughout, the reference and the fallback; attention_mma.cu rounds
 * what it multiplies to bfloat16 and runs on tensor cores, where the operator allows it.
 */
#ifndef SEA_CUDA_ATTENTION_INT_H
#define SEA_CUDA_ATTENTION_INT_H

#include "kernels/cuda/cuda_int.h"

#define HEAD_MAX 256
#define SEGMENTS 1024           /* per launch: their arguments fit into 32 KiB */

struct segments {
    int32_t q_start[SEGMENTS + 1];
    int32_t k_start[SEGMENTS], k_len[SEGMENTS];
    const int32_t *k_start_device, *k_len_device;       /* instead, when not NULL */
};

__device__ static inline int32_t
first_key(const struct segments &at, int64_t s)
{
    return at.k_start_device ? at.k_start_device[s] : at.k_start[s];
}

__device__ static inline int32_t
keys_of(const struct segments &at, int64_t s)
{
    return at.k_len_device ? at.k_len_device[s] : at.k_len[s];
}

/* Keys first .. last - 1 are seen by query j of a segment. */
struct seen {
    int64_t first, last;
};

__device__ static inline struct seen
seen_by(const struct sea_op_attention &op, int64_t j, int64_t q_len, int64_t k_len)
{
    struct seen seen = { 0, k_len };

    if (!op.causal)
        return seen;
    seen.last = k_len - q_len + j + 1;
    if (op.window && seen.last > op.window)
        seen.first = seen.last - op.window;
    return seen;
}

/* Keys or values of an operator, and what lies `at` numbers behind their start. */
template <typename Number>
__device__ static inline const Number *
numbers_at(const void *rows, int64_t at)
{
    return (const Number *)rows + at;
}

/* The score before the softmax; slope: its derivative by the scaled product. */
__device__ static inline float
score_of(const struct sea_op_attention &op, float dot, float *slope)
{
    float x = dot * op.scale, t;

    *slope = 1.0f;
    if (!(op.softcap > 0.0f))
        return x;
    t = tanhf(x / op.softcap);
    *slope = 1.0f - t * t;
    return op.softcap * t;
}

static inline int
attention_check(const struct sea_op_attention *a)
{
    if (a->S < 0 || a->H <= 0 || a->K <= 0 || a->E <= 0 || a->H % a->K || a->window < 0)
        return SEA_RC_ARGUMENT;
    if (a->S && (!a->q || !a->k || !a->v || !a->out || !a->q_start || !a->k_start || !a->k_len))
        return SEA_RC_ARGUMENT;
    if (a->kv_type > SEA_STORE_BF16)
        return SEA_RC_ARGUMENT;
    if (a->kv_type && !a->rounded)
        return SEA_RC_UNSUPPORTED;
    return a->E > HEAD_MAX || a->H > SEA_CUDA_GRID ? SEA_RC_UNSUPPORTED : SEA_RC_OK;
}

/* Segments first .. first + count - 1; returns the longest's queries and keys. */
static inline void
attention_take(const struct sea_op_attention *a, int64_t first, struct segments *at,
               int64_t *count, int64_t *queries, int64_t *keys)
{
    *count = a->S - first < SEGMENTS ? a->S - first : SEGMENTS;
    *queries = *keys = 0;
    for (int64_t s = 0; s < *count; s++) {
        int64_t n = a->q_start[first + s + 1] - a->q_start[first + s];

        at->q_start[s] = a->q_start[first + s];
        at->k_start[s] = a->k_start[first + s];
        at->k_len[s] = a->k_len[first + s];
        *queries = n > *queries ? n : *queries;
        *keys = at->k_len[s] > *keys ? at->k_len[s] : *keys;
    }
    at->q_start[*count] = a->q_start[first + *count];
    at->k_start_device = a->k_device ? a->k_device + first : NULL;
    at->k_len_device = a->k_device ? a->k_device + a->S + first : NULL;
}

/* Shared memory above 48 KiB must be asked for. */
template <typename Kernel>
static inline int
attention_allow(Kernel kernel, size_t bytes)
{
    if (bytes <= 48 * 1024)
        return SEA_RC_OK;
    if (cudaFuncSetAttribute(kernel, cudaFuncAttributeMaxDynamicSharedMemorySize, (int)bytes) ==
        cudaSuccess)
        return SEA_RC_OK;
    (void)cudaGetLastError();
    return SEA_RC_UNSUPPORTED;
}

/* attention_mma.cu. Segments first .. of a are in `at`; what sea_cuda_attention would launch. */
int sea_cuda_attention_mma(struct sea_cuda *cuda, const struct sea_op_attention *a,
                           const struct segments *at, int64_t count, int64_t queries);
/* The same for dq, dk and dv; delta is there. */
int sea_cuda_attention_bwd_mma(struct sea_cuda *cuda, const struct sea_op_attention_bwd *a,
                               const struct segments *at, int64_t count, int64_t queries);
/* attention_few.cu: one query in every segment, and what sea_cuda_attention would launch. */
bool sea_cuda_attention_few_fits(const struct sea_op_attention *a);
int sea_cuda_attention_few(struct sea_cuda *cuda, const struct sea_op_attention *a);

#endif
