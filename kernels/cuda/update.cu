/* SPDX-License-Identifier: Apache-2.0 */
/* update.cu - long vectors: the optimiser's step, casts, and sums over rows or elements */
#include "kernels/cuda/cuda_int.h"

#include <math.h>

struct sea_cuda_blocks
sea_cuda_row_blocks(int64_t R, int64_t C)
{
    int64_t most = (int64_t)SEA_CUDA_REDUCE / C;
    int64_t rows = 32;

    most = most < SEA_CUDA_GRID ? most : SEA_CUDA_GRID;
    if (sea_ceil_div(R, rows) > most)
        rows = sea_ceil_div(R, most);
    return (struct sea_cuda_blocks){ sea_ceil_div(R, rows), rows };
}

static __global__ void
fold_columns(const float *part, int64_t blocks, int64_t C, float *out, int accumulate)
{
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;

    if (c >= C)
        return;
    for (int64_t b = 0; b < blocks; b++)
        sum += part[b * C + c];
    out[c] = accumulate ? out[c] + sum : sum;
}

int
sea_cuda_fold(struct sea_cuda *cuda, const float *part, int64_t blocks, int64_t C, float *out,
              int accumulate)
{
    sea_cuda_wrote(cuda, out, (size_t)C * sizeof(float));
    SEA_LAUNCH(cuda, fold_columns, (unsigned)sea_ceil_div(C, 128), 128, 0, part, blocks, C, out,
               accumulate);
    return sea_cuda_launched();
}

struct colsum_term {
    const float *x;
    int64_t ld;

    __device__ float
    operator()(int64_t r, int64_t c) const
    {
        return x[r * ld + c];
    }
};

int
sea_cuda_colsum(void *dev, const struct sea_op_colsum *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->C)
        return SEA_RC_OK;
    if (!a->out || (a->R && (!a->x || a->ld < a->C)))
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CUDA_REDUCE)
        return SEA_RC_UNSUPPORTED;
    return sea_cuda_column_sum(cuda, colsum_term{ a->x, a->ld }, a->R, a->C, a->out,
                               a->accumulate);
}

#define SUM_BLOCKS 1024         /* partial sums, whatever the card */

static __global__ void
sum_part(const struct sea_op_sum op, double *part)
{
    int64_t each = (op.n + gridDim.x - 1) / gridDim.x, first = blockIdx.x * each;
    int64_t last = first + each < op.n ? first + each : op.n;
    double sum = 0;

    for (int64_t i = first + threadIdx.x; i < last; i += blockDim.x)
        sum += op.square ? (double)op.x[i] * (double)op.x[i] : (double)op.x[i];
    sum = sea_block_sum(sum);
    if (threadIdx.x == 0)
        part[blockIdx.x] = sum;
}

static __global__ void
sum_fold(const double *part, int64_t count, double *out, int accumulate)
{
    double sum = 0;

    for (int64_t i = threadIdx.x; i < count; i += blockDim.x)
        sum += part[i];
    sum = sea_block_sum(sum);
    if (threadIdx.x == 0)
        out[0] = accumulate ? out[0] + sum : sum;
}

int
sea_cuda_sum(void *dev, const struct sea_op_sum *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    int64_t blocks;
    int rc = SEA_RC_OK;

    if (!cuda || !a || a->n < 0 || !a->out || (a->n && !a->x))
        return SEA_RC_ARGUMENT;
    blocks = sea_ceil_div(a->n, 4096);
    blocks = blocks < SUM_BLOCKS ? blocks : SUM_BLOCKS;
    if (blocks) {
        SEA_LAUNCH(cuda, sum_part, (unsigned)blocks, 256, 0, *a, (double *)cuda->reduce);
        rc = sea_cuda_launched();
    }
    if (rc)
        return rc;
    sea_cuda_wrote(cuda, a->out, sizeof(double));
    SEA_LAUNCH(cuda, sum_fold, 1, 256, 0, (const double *)cuda->reduce, blocks, a->out,
               a->accumulate);
    return sea_cuda_launched();
}

static __global__ void
clip_one(const struct sea_op_clip op)
{
    double norm = sqrt(op.sumsq[0]);

    op.gscale[0] = op.max_norm > 0.0f && norm > (double)op.max_norm
                       ? (float)((double)op.max_norm / norm) : 1.0f;
}

int
sea_cuda_clip(void *dev, const struct sea_op_clip *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || !a->sumsq || !a->gscale)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->gscale, sizeof(float));
    SEA_LAUNCH(cuda, clip_one, 1, 1, 0, *a);
    return sea_cuda_launched();
}

struct adamw {                  /* factors that the host prepares in double */
    float one_less_beta1, one_less_beta2, correct1, correct2;
};

static __global__ void
adamw_step(const struct sea_op_adamw op, const struct adamw f)
{
    float gscale = op.gscale ? op.gscale[0] : 1.0f;

    for (SEA_FLAT(i, op.n)) {
        float g = op.g[i] * gscale, p = op.p[i];
        float m = fmaf(op.beta1, op.m[i], g * f.one_less_beta1);
        float v = fmaf(op.beta2, op.v[i], g * g * f.one_less_beta2);
        float step = m * f.correct1 / (sqrtf(v * f.correct2) + op.eps);

        op.m[i] = m;
        op.v[i] = v;
        op.p[i] = p - op.lr * fmaf(op.wd, p, step);
    }
}

int
sea_cuda_adamw(void *dev, const struct sea_op_adamw *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct adamw f;

    if (!cuda || !a || a->n < 0 || a->step < 1)
        return SEA_RC_ARGUMENT;
    if (!a->n)
        return SEA_RC_OK;
    if (!a->p || !a->m || !a->v || !a->g)
        return SEA_RC_ARGUMENT;
    f.one_less_beta1 = (float)(1.0 - (double)a->beta1);
    f.one_less_beta2 = (float)(1.0 - (double)a->beta2);
    f.correct1 = (float)(1.0 / (1.0 - pow((double)a->beta1, (double)a->step)));
    f.correct2 = (float)(1.0 / (1.0 - pow((double)a->beta2, (double)a->step)));
    sea_cuda_wrote(cuda, a->p, (size_t)a->n * sizeof(float));
    sea_cuda_wrote(cuda, a->m, (size_t)a->n * sizeof(float));
    sea_cuda_wrote(cuda, a->v, (size_t)a->n * sizeof(float));
    SEA_LAUNCH(cuda, adamw_step, sea_flat_blocks(a->n), 256, 0, *a, f);
    return sea_cuda_launched();
}

static __global__ void
axpby_all(const struct sea_op_axpby op)
{
    for (SEA_FLAT(i, op.n))
        op.out[i] = op.y ? op.x[i] * op.a + op.y[i] * op.b : op.x[i] * op.a;
}

int
sea_cuda_axpby(void *dev, const struct sea_op_axpby *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->n < 0)
        return SEA_RC_ARGUMENT;
    if (!a->n)
        return SEA_RC_OK;
    if (!a->x || !a->out)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->out, (size_t)a->n * sizeof(float));
    SEA_LAUNCH(cuda, axpby_all, sea_flat_blocks(a->n), 256, 0, *a);
    return sea_cuda_launched();
}

static __global__ void
cast_all(const struct sea_op_cast op)
{
    for (SEA_FLAT(i, op.n)) {
        if (op.inp_type == op.out_type && op.inp_type == SEA_STORE_F32)
            ((float *)op.out)[i] = ((const float *)op.inp)[i];
        else if (op.inp_type == op.out_type)
            ((uint16_t *)op.out)[i] = ((const uint16_t *)op.inp)[i];
        else if (op.inp_type == SEA_STORE_F32)
            ((uint16_t *)op.out)[i] = sea_bf16_round(((const float *)op.inp)[i]);
        else
            ((float *)op.out)[i] = sea_bf16_widen(((const uint16_t *)op.inp)[i]);
    }
}

int
sea_cuda_cast(void *dev, const struct sea_op_cast *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->n < 0)
        return SEA_RC_ARGUMENT;
    if (!a->n)
        return SEA_RC_OK;
    if (!a->inp || !a->out || a->inp_type > SEA_STORE_BF16 || a->out_type > SEA_STORE_BF16)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->out, (size_t)a->n * sizeof(float));
    SEA_LAUNCH(cuda, cast_all, sea_flat_blocks(a->n), 256, 0, *a);
    return sea_cuda_launched();
}
