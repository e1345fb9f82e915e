/* SPDX-License-Identifier: Apache-2.0 */
/* norm.cu - normalisations of rows: one block a row; gradients of gains by partial sums */
#include "kernels/cuda/cuda_int.h"

static __global__ void
layernorm_rows(const struct sea_op_layernorm op)
{
    int64_t r = blockIdx.x, C = op.C;
    const float *x = op.x + r * C;
    float *y = op.y + r * C;
    float mean, var, sum = 0, rstd;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        sum += x[c];
    mean = sea_block_sum(sum) / (float)C;
    sum = 0;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        sum += (x[c] - mean) * (x[c] - mean);
    var = sea_block_sum(sum) / (float)C;
    rstd = 1.0f / sqrtf(var + op.eps);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        y[c] = (x[c] - mean) * rstd * op.gamma[c] + (op.beta ? op.beta[c] : 0.0f);
    if (threadIdx.x == 0 && op.mean)
        op.mean[r] = mean;
    if (threadIdx.x == 0 && op.rstd)
        op.rstd[r] = rstd;
}

int
sea_cuda_layernorm(void *dev, const struct sea_op_layernorm *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y || !a->gamma)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, layernorm_rows, (unsigned)a->R, sea_row_threads(a->C), 0, *a);
    return sea_cuda_launched();
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy gamma. dx may be dy: a thread reads the
 * columns it writes. */
static __global__ void
layernorm_dx(const struct sea_op_layernorm_bwd op)
{
    int64_t r = blockIdx.x, C = op.C;
    const float *x = op.x + r * C, *dy = op.dy + r * C;
    float *dx = op.dx + r * C;
    float mean = op.mean[r], rstd = op.rstd[r], plain = 0, shaped = 0;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        float g = dy[c] * op.gamma[c];

        plain += g;
        shaped += g * (x[c] - mean) * rstd;
    }
    plain = sea_block_sum(plain) / (float)C;
    shaped = sea_block_sum(shaped) / (float)C;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        float d = rstd * (dy[c] * op.gamma[c] - plain - (x[c] - mean) * rstd * shaped);

        dx[c] = op.add_dx ? dx[c] + d : d;
    }
}

/* Partial sums of dy xhat, then of dy, over the rows of one block: (blocks, 2, C). */
static __global__ void
layernorm_dgamma(const struct sea_op_layernorm_bwd op, float *part, float *part_beta,
                 int64_t rows)
{
    int64_t first = blockIdx.y * rows, last = first + rows < op.R ? first + rows : op.R;
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float gamma = 0, beta = 0;

    if (c >= op.C)
        return;
    for (int64_t r = first; r < last; r++) {
        float dy = op.dy[r * op.C + c];

        gamma += dy * (op.x[r * op.C + c] - op.mean[r]) * op.rstd[r];
        beta += dy;
    }
    part[blockIdx.y * op.C + c] = gamma;
    part_beta[blockIdx.y * op.C + c] = beta;
}

int
sea_cuda_layernorm_bwd(void *dev, const struct sea_op_layernorm_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_cuda_blocks blocks;
    float *part;
    int rc = SEA_RC_OK;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->gamma || !a->mean || !a->rstd)
        return SEA_RC_ARGUMENT;
    if (2 * (size_t)a->C > SEA_CUDA_REDUCE)
        return SEA_RC_UNSUPPORTED;
    blocks = sea_cuda_row_blocks(a->R, 2 * a->C);
    part = cuda->reduce;
    /* Before dx, which may be dy. */
    if (a->dgamma || a->dbeta) {
        dim3 grid((unsigned)sea_ceil_div(a->C, 128), (unsigned)blocks.count);

        SEA_LAUNCH(cuda, layernorm_dgamma, grid, 128, 0, *a, part, part + blocks.count * a->C,
                   blocks.rows);
        rc = sea_cuda_launched();
    }
    if (!rc && a->dgamma)
        rc = sea_cuda_fold(cuda, part, blocks.count, a->C, a->dgamma, 1);
    if (!rc && a->dbeta)
        rc = sea_cuda_fold(cuda, part + blocks.count * a->C, blocks.count, a->C, a->dbeta, 1);
    if (!rc && a->dx) {
        SEA_LAUNCH(cuda, layernorm_dx, (unsigned)a->R, sea_row_threads(a->C), 0, *a);
        rc = sea_cuda_launched();
    }
    return rc;
}

/* Where row r starts: rows follow each other, or are heads side by side in lines. */
__device__ static inline int64_t
row_at(int64_t r, int64_t C, int64_t heads, int64_t ld)
{
    return heads ? r / heads * ld + r % heads * C : r * C;
}

static __global__ void
rmsnorm_rows(const struct sea_op_rmsnorm op)
{
    int64_t r = blockIdx.x, C = op.C, at = row_at(r, C, op.heads, op.ld);
    const float *x = op.x + at;
    float *y = op.y + at;
    float sum = 0, rstd;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        sum += x[c] * x[c];
    rstd = 1.0f / sqrtf(sea_block_sum(sum) / (float)C + op.eps);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        y[c] = x[c] * rstd * (op.gamma[c] + op.gamma_add);
    if (threadIdx.x == 0 && op.rstd)
        op.rstd[r] = rstd;
}

int
sea_cuda_rmsnorm(void *dev, const struct sea_op_rmsnorm *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y || !a->gamma)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, rmsnorm_rows, (unsigned)a->R, sea_row_threads(a->C), 0, *a);
    return sea_cuda_launched();
}

static __global__ void
rmsnorm_dx(const struct sea_op_rmsnorm_bwd op)
{
    int64_t r = blockIdx.x, C = op.C, at = row_at(r, C, op.heads, op.ld);
    const float *x = op.x + at, *dy = op.dy + at;
    float *dx = op.dx + at;
    float rstd = op.rstd[r], dot = 0;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        dot += dy[c] * (op.gamma[c] + op.gamma_add) * x[c];
    dot = sea_block_sum(dot) * rstd * rstd / (float)C;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        float d = rstd * (dy[c] * (op.gamma[c] + op.gamma_add) - x[c] * dot);

        dx[c] = op.add_dx ? dx[c] + d : d;
    }
}

static __global__ void
rmsnorm_dgamma(const struct sea_op_rmsnorm_bwd op, float *part, int64_t rows)
{
    int64_t first = blockIdx.y * rows, last = first + rows < op.R ? first + rows : op.R;
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float gamma = 0;

    if (c >= op.C)
        return;
    for (int64_t r = first; r < last; r++) {
        int64_t at = row_at(r, op.C, op.heads, op.ld) + c;

        gamma += op.dy[at] * op.x[at] * op.rstd[r];
    }
    part[blockIdx.y * op.C + c] = gamma;
}

int
sea_cuda_rmsnorm_bwd(void *dev, const struct sea_op_rmsnorm_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_cuda_blocks blocks;
    int rc = SEA_RC_OK;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->gamma || !a->rstd)
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CUDA_REDUCE)
        return SEA_RC_UNSUPPORTED;
    blocks = sea_cuda_row_blocks(a->R, a->C);
    if (a->dgamma) {
        dim3 grid((unsigned)sea_ceil_div(a->C, 128), (unsigned)blocks.count);

        SEA_LAUNCH(cuda, rmsnorm_dgamma, grid, 128, 0, *a, cuda->reduce, blocks.rows);
        rc = sea_cuda_launched();
        if (!rc)
            rc = sea_cuda_fold(cuda, cuda->reduce, blocks.count, a->C, a->dgamma, 1);
    }
    if (!rc && a->dx) {
        SEA_LAUNCH(cuda, rmsnorm_dx, (unsigned)a->R, sea_row_threads(a->C), 0, *a);
        rc = sea_cuda_launched();
    }
    return rc;
}

static __global__ void
l2norm_rows(const struct sea_op_l2norm op)
{
    int64_t r = blockIdx.x, C = op.C;
    const float *x = op.inp + r * C;
    float sum = 0, rnorm;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        sum += x[c] * x[c];
    rnorm = 1.0f / sqrtf(sea_block_sum(sum) + op.eps);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        op.out[r * C + c] = x[c] * rnorm;
    if (threadIdx.x == 0 && op.rnorm)
        op.rnorm[r] = rnorm;
}

int
sea_cuda_l2norm(void *dev, const struct sea_op_l2norm *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->inp || !a->out)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, l2norm_rows, (unsigned)a->R, sea_row_threads(a->C), 0, *a);
    return sea_cuda_launched();
}

static __global__ void
l2norm_dx(const struct sea_op_l2norm_bwd op)
{
    int64_t r = blockIdx.x, C = op.C;
    float dot = 0;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        dot += op.out[r * C + c] * op.dout[r * C + c];
    dot = sea_block_sum(dot);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        op.dinp[r * C + c] = op.rnorm[r] * (op.dout[r * C + c] - op.out[r * C + c] * dot);
}

int
sea_cuda_l2norm_bwd(void *dev, const struct sea_op_l2norm_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->out || !a->dout || !a->rnorm || !a->dinp)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, l2norm_dx, (unsigned)a->R, sea_row_threads(a->C), 0, *a);
    return sea_cuda_launched();
}
