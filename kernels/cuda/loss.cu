/* SPDX-License-Identifier: Apache-2.0 */
/* loss.cu - softmax cross-entropy over a vocabulary and over pairs, and the k best */
#include "kernels/cuda/cuda_int.h"

/* ---- cross-entropy ---- */

__device__ static inline float
capped(float x, float cap)
{
    return cap > 0.0f ? cap * tanhf(x / cap) : x;
}

#define XENT_AHEAD 4            /* loads of a thread that are on their way together */

/* Each thread's own softmax first, so that logits are read once for the loss. shadow: the
 * gradient, rounded for the products that follow. */
static __global__ void
xent_rows(const struct sea_op_xent op, const struct sea_shadow shadow)
{
    int64_t r = blockIdx.x, t = (int64_t)op.target[r], step = blockDim.x;
    float *x = op.logits + r * op.ld;
    float weight = op.weight[r], top = -INFINITY, sum = 0, target = capped(x[t], op.softcap), all;

    for (int64_t c = threadIdx.x; c < op.V; c += XENT_AHEAD * step) {
        float y[XENT_AHEAD];

        SEA_UNROLL
        for (int i = 0; i < XENT_AHEAD; i++)
            y[i] = c + i * step < op.V ? x[c + i * step] : -INFINITY;
        SEA_UNROLL
        for (int i = 0; i < XENT_AHEAD; i++) {
            float v = capped(y[i], op.softcap);

            if (c + i * step >= op.V)
                continue;
            if (v > top) {
                sum = sum * expf(top - v) + 1.0f;
                top = v;
            } else if (v != -INFINITY) {        /* NaN stays NaN */
                sum += expf(v - top);
            }
        }
    }
    all = sea_block_max(top);
    sum = sea_block_sum(top == -INFINITY ? sum : sum * expf(top - all));
    top = all;
    /* top - target first: it is exact for near numbers, the sum with log is not. */
    if (threadIdx.x == 0)
        op.loss[r] = weight * (logf(sum) + (top - target));
    if (!op.grad)
        return;
    for (int64_t c = threadIdx.x; c < op.V; c += step) {
        float y = capped(x[c], op.softcap), d = expf(y - top) * (weight / sum);

        d -= c == t ? weight : 0.0f;
        if (op.softcap > 0.0f)
            d *= 1.0f - y / op.softcap * (y / op.softcap);
        x[c] = d;
        sea_shade(shadow, r, c, d);
    }
}

int
sea_cuda_xent(void *dev, const struct sea_op_xent *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_shadow shadow = { NULL, 0 };

    if (!cuda || !a || a->R < 0 || a->V < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R)
        return SEA_RC_OK;
    if (!a->V || !a->logits || !a->target || !a->weight || !a->loss || a->ld < a->V)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->logits, sea_cuda_extent(a->R, a->V, a->ld));
    sea_cuda_wrote(cuda, a->loss, (size_t)a->R * sizeof(float));
    if (a->grad && a->ld == a->V)
        shadow = sea_cuda_shadow(cuda, a->logits, a->R, a->V);
    SEA_LAUNCH(cuda, xent_rows, (unsigned)a->R, sea_row_threads(a->V), 0, *a, shadow);
    return sea_cuda_launched();
}

/* ---- pairs ---- */

/* op.scratch: (R) log-sum-exp of rows, (R) of columns, (R) loss and (R) dtheta of rows. */

__device__ static inline float
scale_of(const struct sea_op_contrast &op)
{
    float scale = expf(op.theta[0]);

    return op.max_scale > 0.0f && scale > op.max_scale ? op.max_scale : scale;
}

static __global__ void
contrast_rows(const struct sea_op_contrast op)
{
    int64_t r = blockIdx.x;
    const float *x = op.cos + r * op.R;
    float scale = scale_of(op), top = -INFINITY, sum = 0;

    for (int64_t c = threadIdx.x; c < op.R; c += blockDim.x)
        top = fmaxf(top, x[c]);
    top = sea_block_max(top) * scale;
    for (int64_t c = threadIdx.x; c < op.R; c += blockDim.x)
        sum += expf(x[c] * scale - top);
    sum = sea_block_sum(sum);
    if (threadIdx.x == 0)
        op.scratch[r] = top + logf(sum);
}

static __global__ void
contrast_columns(const struct sea_op_contrast op)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x, R = op.R;
    float scale = scale_of(op), top = -INFINITY, sum = 0;

    if (c >= R)
        return;
    for (int64_t r = 0; r < R; r++)
        top = fmaxf(top, op.cos[r * R + c]);
    top *= scale;
    for (int64_t r = 0; r < R; r++)
        sum += expf(op.cos[r * R + c] * scale - top);
    op.scratch[R + c] = top + logf(sum);
}

static __global__ void
contrast_grad(const struct sea_op_contrast op)
{
    int64_t r = blockIdx.x, R = op.R;
    float *x = op.cos + r * R;
    const float *lse_columns = op.scratch + R;
    float scale = scale_of(op), half = 0.5f / (float)R, lse = op.scratch[r], own = x[r];
    float logit = own * scale, dot = 0;

    __syncthreads();                    /* x[r] is read before anybody writes it */
    for (int64_t c = threadIdx.x; c < R; c += blockDim.x) {
        float l = x[c] * scale, d = (expf(l - lse) + expf(l - lse_columns[c])) * half;

        dot += d * l;
        /* The diagonal without the cancellation of -2 after the multiplication. */
        if (c == r)
            d = (expf(l - lse) + expf(l - lse_columns[c]) - 2.0f) * half;
        x[c] = d * (op.weight * scale);
    }
    dot = sea_block_sum(dot);
    if (threadIdx.x == 0) {
        op.scratch[2 * R + r] = (lse - logit) + (lse_columns[r] - logit);
        op.scratch[3 * R + r] = dot - 2.0f * half * logit;
    }
}

static __global__ void
contrast_end(const struct sea_op_contrast op)
{
    int64_t R = op.R;
    double loss = 0, dtheta = 0;
    float scale = expf(op.theta[0]);

    for (int64_t r = threadIdx.x; r < R; r += blockDim.x) {
        loss += (double)op.scratch[2 * R + r];
        dtheta += (double)op.scratch[3 * R + r];
    }
    loss = sea_block_sum(loss);
    dtheta = sea_block_sum(dtheta);
    if (threadIdx.x != 0)
        return;
    op.loss[0] = (float)(loss / (2.0 * (double)R));
    if (op.dtheta && !(op.max_scale > 0.0f && scale > op.max_scale))
        op.dtheta[0] += op.weight * (float)dtheta;
}

int
sea_cuda_contrast(void *dev, const struct sea_op_contrast *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    int rc;

    if (!cuda || !a || a->R < 0 || !a->loss)
        return SEA_RC_ARGUMENT;
    if (a->R && (!a->cos || !a->theta || !a->scratch))
        return SEA_RC_ARGUMENT;
    if (a->R < 2) {
        rc = cudaMemsetAsync(a->loss, 0, sizeof(float), cuda->stream) == cudaSuccess
                 ? SEA_RC_OK : sea_cuda_launched();
        if (!rc && a->R && cudaMemsetAsync(a->cos, 0, sizeof(float), cuda->stream))
            rc = sea_cuda_launched();
        return rc;
    }
    sea_cuda_wrote(cuda, a->cos, sea_cuda_extent(a->R, a->R, a->R));
    sea_cuda_wrote(cuda, a->scratch, (size_t)(4 * a->R) * sizeof(float));
    sea_cuda_wrote(cuda, a->loss, sizeof(float));
    sea_cuda_wrote(cuda, a->dtheta, a->dtheta ? sizeof(float) : 0);
    SEA_LAUNCH(cuda, contrast_rows, (unsigned)a->R, sea_row_threads(a->R), 0, *a);
    SEA_LAUNCH(cuda, contrast_columns, (unsigned)sea_ceil_div(a->R, 64), 64, 0, *a);
    SEA_LAUNCH(cuda, contrast_grad, (unsigned)a->R, sea_row_threads(a->R), 0, *a);
    SEA_LAUNCH(cuda, contrast_end, 1, 256, 0, *a);
    return sea_cuda_launched();
}

/* ---- the k best ---- */

#define TOPK_MAX 64             /* two entries of the list per lane */

#define TOPK_COLUMNS 2048       /* of a warp, where rows alone do not fill the card */
#define TOPK_ROWS 2048          /* rows that do */
#define TOPK_AHEAD 4            /* loads of a lane that are on their way together */

/* A list lies in a warp's registers, best first: lane i has entries i and i + 32. */
struct topk_list {
    float value[2];
    int32_t index[2];
    float last;                 /* what a number must pass to enter */
};

__device__ static inline float
topk_last(const struct topk_list &list, int k)
{
    return __shfl_sync(0xffffffffu, k > SEA_CUDA_WARP ? list.value[1] : list.value[0],
                       (k - 1) % SEA_CUDA_WARP);
}

/* Entries of a list in memory; NULL: an empty one. */
__device__ static inline void
topk_begin(struct topk_list *list, const float *value, const int32_t *index, int k)
{
    int lane = (int)threadIdx.x % SEA_CUDA_WARP;

    for (int i = 0; i < 2; i++) {
        bool here = value && lane + i * SEA_CUDA_WARP < k;

        list->value[i] = here ? value[lane + i * SEA_CUDA_WARP] : -INFINITY;
        list->index[i] = here ? index[lane + i * SEA_CUDA_WARP] : -1;
    }
    list->last = topk_last(*list, k);
}

__device__ static inline void
topk_end(const struct topk_list &list, float *value, int32_t *index, int k)
{
    int lane = (int)threadIdx.x % SEA_CUDA_WARP;

    for (int i = 0; i < 2; i++)
        if (lane + i * SEA_CUDA_WARP < k) {
            value[lane + i * SEA_CUDA_WARP] = list.value[i];
            index[lane + i * SEA_CUDA_WARP] = list.index[i];
        }
}

/* A number of every lane: those above the list's last enter one after another, lowest lane
 * first, so that among equals the one that came first stays first. */
__device__ static inline void
topk_enter(struct topk_list *list, float x, int32_t column, int k)
{
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, other = lane + SEA_CUDA_WARP;
    float *value = list->value;
    int32_t *index = list->index;
    unsigned above = __ballot_sync(0xffffffffu, x > list->last);

    while (above) {
        int from = __ffs((int)above) - 1;
        float new_value = __shfl_sync(0xffffffffu, x, from);
        int32_t new_index = __shfl_sync(0xffffffffu, column, from);
        /* Its place: behind all entries that are not lower. Unused ones are -inf. */
        int place = __popc(__ballot_sync(0xffffffffu, value[0] >= new_value)) +
                    __popc(__ballot_sync(0xffffffffu, value[1] >= new_value));
        float up_value = __shfl_up_sync(0xffffffffu, value[0], 1);
        int32_t up_index = __shfl_up_sync(0xffffffffu, index[0], 1);
        float up_value1 = __shfl_up_sync(0xffffffffu, value[1], 1);
        int32_t up_index1 = __shfl_up_sync(0xffffffffu, index[1], 1);
        float carry = __shfl_sync(0xffffffffu, value[0], SEA_CUDA_WARP - 1);
        int32_t carry_index = __shfl_sync(0xffffffffu, index[0], SEA_CUDA_WARP - 1);

        if (lane == 0) {
            up_value1 = carry;
            up_index1 = carry_index;
        }
        if (lane > place) {
            value[0] = up_value;
            index[0] = up_index;
        } else if (lane == place) {
            value[0] = new_value;
            index[0] = new_index;
        }
        if (other > place) {
            value[1] = up_value1;
            index[1] = up_index1;
        } else if (other == place) {
            value[1] = new_value;
            index[1] = new_index;
        }
        if (other >= k) {               /* beyond the list */
            value[1] = -INFINITY;
            index[1] = -1;
        }
        if (lane >= k) {
            value[0] = -INFINITY;
            index[0] = -1;
        }
        list->last = topk_last(*list, k);
        above &= above - 1;
        above &= __ballot_sync(0xffffffffu, x > list->last);
    }
}

/* How the columns of a row are shared by warps. The k best of the parts' k best are those of
 * the row, ties included: bits do not depend on it. */
struct topk_parts {
    int64_t count, columns;     /* parts of a row; columns of each but the last */
    float *value;               // (rows, count, k) scratch; count 1: none
    int32_t *index;
};

static __global__ void
topk_rows(const struct sea_op_topk op, const struct topk_parts parts)
{
    int64_t warp = (int64_t)blockIdx.x * (blockDim.x / SEA_CUDA_WARP) +
                   threadIdx.x / SEA_CUDA_WARP;
    int64_t r = warp / parts.count, first = warp % parts.count * parts.columns;
    int64_t end = op.C - first < parts.columns ? op.C : first + parts.columns;
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, k = (int)op.k;
    const float *x = op.x + r * op.ld;
    bool alone = parts.count == 1;
    struct topk_list list;

    if (r >= op.R)
        return;
    topk_begin(&list, alone && op.merge ? op.value + r * k : NULL, op.index + r * k, k);
    for (int64_t c = first + lane; c - lane < end; c += TOPK_AHEAD * SEA_CUDA_WARP) {
        float ahead[TOPK_AHEAD];

        SEA_UNROLL
        for (int i = 0; i < TOPK_AHEAD; i++)
            ahead[i] = c + i * SEA_CUDA_WARP < end ? x[c + i * SEA_CUDA_WARP] : -INFINITY;
        SEA_UNROLL
        for (int i = 0; i < TOPK_AHEAD; i++)
            topk_enter(&list, ahead[i], (int32_t)(op.col_base + c + i * SEA_CUDA_WARP), k);
    }
    if (alone)
        topk_end(list, op.value + r * k, op.index + r * k, k);
    else
        topk_end(list, parts.value + warp * k, parts.index + warp * k, k);
}

/* The parts' lists of a row, in the order of their columns: one warp. */
static __global__ void
topk_join(const struct sea_op_topk op, const struct topk_parts parts)
{
    int64_t r = (int64_t)blockIdx.x * (blockDim.x / SEA_CUDA_WARP) + threadIdx.x / SEA_CUDA_WARP;
    int64_t n = parts.count * op.k;
    int lane = (int)threadIdx.x % SEA_CUDA_WARP, k = (int)op.k;
    const float *value = parts.value + r * n;
    const int32_t *index = parts.index + r * n;
    struct topk_list list;

    if (r >= op.R)
        return;
    topk_begin(&list, op.merge ? op.value + r * k : NULL, op.index + r * k, k);
    for (int64_t i = lane; i - lane < n; i += SEA_CUDA_WARP)
        topk_enter(&list, i < n ? value[i] : -INFINITY, i < n ? index[i] : -1, k);
    topk_end(list, op.value + r * k, op.index + r * k, k);
}

/* Few rows are cut, so that a vocabulary is not one warp's walk. */
static struct topk_parts
topk_cut(struct sea_cuda *cuda, const struct sea_op_topk *a)
{
    struct topk_parts parts = { 1, a->C ? a->C : 1, cuda->reduce, NULL };

    if (a->R >= TOPK_ROWS || a->C <= TOPK_COLUMNS)
        return parts;
    for (parts.columns = TOPK_COLUMNS;; parts.columns *= 2) {
        parts.count = sea_ceil_div(a->C, parts.columns);
        if (a->R * parts.count * a->k <= (int64_t)SEA_CUDA_REDUCE / 2)
            break;
    }
    parts.index = (int32_t *)(cuda->reduce + SEA_CUDA_REDUCE / 2);
    return parts;
}

int
sea_cuda_topk(void *dev, const struct sea_op_topk *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    const int warps = 4;
    struct topk_parts parts;

    if (!cuda || !a || a->R < 0 || a->C < 0 || a->k < 0 || a->col_base < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->k)
        return SEA_RC_OK;
    if (!a->index || !a->value || (a->C && !a->x) || a->ld < a->C ||
        a->col_base + a->C > INT32_MAX)
        return SEA_RC_ARGUMENT;
    if (a->k > TOPK_MAX)
        return SEA_RC_UNSUPPORTED;
    sea_cuda_wrote(cuda, a->index, (size_t)(a->R * a->k) * sizeof(int32_t));
    sea_cuda_wrote(cuda, a->value, (size_t)(a->R * a->k) * sizeof(float));
    parts = topk_cut(cuda, a);
    SEA_LAUNCH(cuda, topk_rows, (unsigned)sea_ceil_div(a->R * parts.count, warps),
               warps * SEA_CUDA_WARP, 0, *a, parts);
    if (parts.count > 1)
        SEA_LAUNCH(cuda, topk_join, (unsigned)sea_ceil_div(a->R, warps), warps * SEA_CUDA_WARP,
                   0, *a, parts);
    return sea_cuda_launched();
}
