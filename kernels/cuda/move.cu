/* SPDX-License-Identifier: Apache-2.0 */
/* move.cu - rows that are moved by an index, rotary positions, patches */
#include "kernels/cuda/cuda_int.h"

static __global__ void
gather_rows(const struct sea_op_gather op)
{
    int64_t r = blockIdx.x, from = (int64_t)op.idx[r];
    float *out = op.out + r * op.ld_out;

    for (int64_t c = threadIdx.x; c < op.C; c += blockDim.x) {
        float x = 0.0f;

        if (from >= 0)
            x = op.inp_type == SEA_STORE_BF16
                    ? sea_bf16_widen(((const uint16_t *)op.inp)[from * op.ld_inp + c])
                    : ((const float *)op.inp)[from * op.ld_inp + c];
        if (!op.add)
            out[c] = x;
        else if (from >= 0)
            out[c] += x;
    }
}

int
sea_cuda_gather(void *dev, const struct sea_op_gather *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->inp || !a->idx || !a->out || a->ld_inp < a->C || a->ld_out < a->C ||
        a->inp_type > SEA_STORE_BF16)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->out, sea_cuda_extent(a->R, a->C, a->ld_out));
    SEA_LAUNCH(cuda, gather_rows, (unsigned)a->R, 128, 0, *a);
    return sea_cuda_launched();
}

__device__ static inline void
put_number(float *to, float x)
{
    *to = x;
}

__device__ static inline void
put_number(uint16_t *to, float x)
{
    *to = sea_bf16_round(x);
}

template <typename Number>
static __global__ void
scatter_rows(const struct sea_op_scatter op)
{
    int64_t r = blockIdx.x, to = (int64_t)op.idx[r];

    if (to < 0)
        return;
    for (int64_t c = threadIdx.x; c < op.C; c += blockDim.x)
        put_number((Number *)op.out + to * op.ld_out + c, op.inp[r * op.ld_inp + c]);
}

/* The block at the start of a run of equal indices adds the whole run, in the order of r. */
static __global__ void
scatter_add(const struct sea_op_scatter op)
{
    int64_t at = blockIdx.x, to = (int64_t)op.idx[op.order[at]];
    float *out = (float *)op.out + to * op.ld_out;

    if (to < 0 || (at > 0 && op.idx[op.order[at - 1]] == to))
        return;
    for (int64_t c = threadIdx.x; c < op.C; c += blockDim.x) {
        float sum = out[c];

        for (int64_t i = at; i < op.R && op.idx[op.order[i]] == to; i++)
            sum += op.inp[op.order[i] * op.ld_inp + c];
        out[c] = sum;
    }
}

int
sea_cuda_scatter(void *dev, const struct sea_op_scatter *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->inp || !a->idx || !a->out || (a->add && !a->order) || a->ld_inp < a->C ||
        a->ld_out < a->C || a->out_type > SEA_STORE_BF16 || (a->add && a->out_type))
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->out, SEA_CUDA_REST);        /* rows are known to the device only */
    if (a->add)
        SEA_LAUNCH(cuda, scatter_add, (unsigned)a->R, 128, 0, *a);
    else if (a->out_type)
        SEA_LAUNCH(cuda, scatter_rows<uint16_t>, (unsigned)a->R, 128, 0, *a);
    else
        SEA_LAUNCH(cuda, scatter_rows<float>, (unsigned)a->R, 128, 0, *a);
    return sea_cuda_launched();
}

static __global__ void
rope_rows(const struct sea_op_rope op)
{
    int64_t r = blockIdx.x;
    int half = (int)op.rot / 2, pairs = (int)op.heads * half;   /* of a row: 32 bits, to divide */
    const float *cosine = op.cos_sin + op.pos[r] * op.rot, *sine = cosine + half;

    for (int i = (int)threadIdx.x; i < pairs; i += (int)blockDim.x) {
        float *x = op.x + r * op.ld + i / half * op.E + i % half;
        float a = x[0], b = x[half], c = cosine[i % half], s = sine[i % half];

        if (op.inverse)
            s = -s;
        x[0] = fmaf(a, c, -(b * s));
        x[half] = fmaf(b, c, a * s);
    }
}

int
sea_cuda_rope(void *dev, const struct sea_op_rope *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->N < 0 || a->heads < 0 || a->E < 0 || a->rot < 0 || a->rot % 2 ||
        a->rot > a->E)
        return SEA_RC_ARGUMENT;
    if (!a->N || !a->heads || !a->rot)
        return SEA_RC_OK;
    if (!a->x || !a->cos_sin || !a->pos || a->ld < a->heads * a->E ||
        a->heads * a->rot > INT32_MAX)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->x, sea_cuda_extent(a->N, a->heads * a->E, a->ld));
    SEA_LAUNCH(cuda, rope_rows, (unsigned)a->N, 128, 0, *a);
    return sea_cuda_launched();
}

static __global__ void
patchify_rows(const struct sea_op_patchify op)
{
    int64_t P = op.P, gh = op.height / P, gw = op.width / P, n = op.channels * P * P;
    int64_t r = blockIdx.x, b = r / (gh * gw), py = r / gw % gh, px = r % gw;

    for (int64_t i = threadIdx.x; i < n; i += blockDim.x) {
        int64_t c = i / (P * P), y = i / P % P, x = i % P;

        op.out[r * n + i] = op.pixels[((b * op.channels + c) * op.height + py * P + y) *
                                      op.width + px * P + x];
    }
}

int
sea_cuda_patchify(void *dev, const struct sea_op_patchify *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    int64_t rows;

    if (!cuda || !a || a->B < 0 || a->channels < 0 || a->height < 0 || a->width < 0 || a->P <= 0)
        return SEA_RC_ARGUMENT;
    rows = a->B * (a->height / a->P) * (a->width / a->P);
    if (!rows || !a->channels)
        return SEA_RC_OK;
    if (!a->pixels || !a->out)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->out, (size_t)(rows * a->channels * a->P * a->P) * sizeof(float));
    SEA_LAUNCH(cuda, patchify_rows, (unsigned)rows, 128, 0, *a);
    return sea_cuda_launched();
}
