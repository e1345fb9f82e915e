/* SPDX-License-Identifier: Apache-2.0 */
/* norm.cu - normalisations of rows: one block a row; gradients of gains by partial sums */
#include "kernels/cuda/cuda_int.h"

static __global__ void
layernorm_rows(const struct sea_op_layernorm op, const struct sea_shadow shadow)
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
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        float v = (x[c] - mean) * rstd * op.gamma[c] + (op.beta ? op.beta[c] : 0.0f);

        y[c] = v;
        sea_shade(shadow, r, c, v);
    }
    if (threadIdx.x == 0 && op.mean)
        op.mean[r] = mean;
    if (threadIdx.x == 0 && op.rstd)
        op.rstd[r] = rstd;
}

int
sea_cuda_layernorm(void *dev, const struct sea_op_layernorm *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_shadow shadow;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y || !a->gamma)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->y, sea_cuda_extent(a->R, a->C, a->C));
    shadow = sea_cuda_shadow(cuda, a->y, a->R, a->C);
    SEA_LAUNCH(cuda, layernorm_rows, (unsigned)a->R, sea_row_threads(a->C), 0, *a, shadow);
    return sea_cuda_launched();
}

/* dx = rstd (g - mean(g) - xhat mean(g xhat)), g = dy gamma. dx may be dy: a thread reads the
 * columns it writes. g is rounded as it was in its mean: a product joined with the difference
 * would leave what was rounded away, times rstd, where the difference is 0. */
static __global__ void
layernorm_dx(const struct sea_op_layernorm_bwd op, const struct sea_shadow shadow)
{
    int64_t r = blockIdx.x, C = op.C;
    const float *x = op.x + r * C, *dy = op.dy + r * C;
    float *dx = op.dx + r * C;
    float mean = op.mean[r], rstd = op.rstd[r], plain = 0, shaped = 0;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        float g = __fmul_rn(dy[c], op.gamma[c]);

        plain += g;
        shaped += g * (x[c] - mean) * rstd;
    }
    plain = sea_block_sum(plain) / (float)C;
    shaped = sea_block_sum(shaped) / (float)C;
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        float g = __fmul_rn(dy[c], op.gamma[c]);
        float d = rstd * (g - plain - (x[c] - mean) * rstd * shaped);

        d = op.add_dx ? dx[c] + d : d;
        dx[c] = d;
        sea_shade(shadow, r, c, d);
    }
}

struct layernorm_dgamma {
    struct sea_op_layernorm_bwd op;

    __device__ float
    operator()(int64_t r, int64_t c) const
    {
        return op.dy[r * op.C + c] * (op.x[r * op.C + c] - op.mean[r]) * op.rstd[r];
    }
};

struct layernorm_dbeta {
    struct sea_op_layernorm_bwd op;

    __device__ float
    operator()(int64_t r, int64_t c) const
    {
        return op.dy[r * op.C + c];
    }
};

int
sea_cuda_layernorm_bwd(void *dev, const struct sea_op_layernorm_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_shadow shadow;
    int rc = SEA_RC_OK;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->gamma || !a->mean || !a->rstd)
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CUDA_REDUCE)
        return SEA_RC_UNSUPPORTED;
    /* Before dx, which may be dy. */
    if (a->dgamma)
        rc = sea_cuda_column_sum(cuda, layernorm_dgamma{ *a }, a->R, a->C, a->dgamma, 1);
    if (!rc && a->dbeta)
        rc = sea_cuda_column_sum(cuda, layernorm_dbeta{ *a }, a->R, a->C, a->dbeta, 1);
    if (!rc && a->dx) {
        sea_cuda_wrote(cuda, a->dx, sea_cuda_extent(a->R, a->C, a->C));
        shadow = sea_cuda_shadow(cuda, a->dx, a->R, a->C);
        SEA_LAUNCH(cuda, layernorm_dx, (unsigned)a->R, sea_row_threads(a->C), 0, *a, shadow);
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

static size_t
rms_extent(int64_t R, int64_t C, int64_t heads, int64_t ld)
{
    return heads ? sea_cuda_extent(R / heads, heads * C, ld) : sea_cuda_extent(R, C, C);
}

static __global__ void
rmsnorm_rows(const struct sea_op_rmsnorm op, const struct sea_shadow shadow)
{
    int64_t r = blockIdx.x, C = op.C, at = row_at(r, C, op.heads, op.ld);
    const float *x = op.x + at;
    float *y = op.y + at;
    float sum = 0, rstd;

    for (int64_t c = threadIdx.x; c < C; c += blockDim.x)
        sum += x[c] * x[c];
    rstd = 1.0f / sqrtf(sea_block_sum(sum) / (float)C + op.eps);
    for (int64_t c = threadIdx.x; c < C; c += blockDim.x) {
        float v = x[c] * rstd * (op.gamma[c] + op.gamma_add);

        y[c] = v;
        sea_shade(shadow, r, c, v);
    }
    if (threadIdx.x == 0 && op.rstd)
        op.rstd[r] = rstd;
}

int
sea_cuda_rmsnorm(void *dev, const struct sea_op_rmsnorm *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_shadow shadow = { NULL, 0 };

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y || !a->gamma)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->y, rms_extent(a->R, a->C, a->heads, a->ld));
    if (!a->heads)
        shadow = sea_cuda_shadow(cuda, a->y, a->R, a->C);
    SEA_LAUNCH(cuda, rmsnorm_rows, (unsigned)a->R, sea_row_threads(a->C), 0, *a, shadow);
    return sea_cuda_launched();
}

static __global__ void
rmsnorm_dx(const struct sea_op_rmsnorm_bwd op, const struct sea_shadow shadow)
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

        d = op.add_dx ? dx[c] + d : d;
        dx[c] = d;
        sea_shade(shadow, r, c, d);
    }
}

struct rmsnorm_dgamma {
    struct sea_op_rmsnorm_bwd op;

    __device__ float
    operator()(int64_t r, int64_t c) const
    {
        int64_t at = row_at(r, op.C, op.heads, op.ld) + c;

        return op.dy[at] * op.x[at] * op.rstd[r];
    }
};

int
sea_cuda_rmsnorm_bwd(void *dev, const struct sea_op_rmsnorm_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_shadow shadow = { NULL, 0 };
    int rc = SEA_RC_OK;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->gamma || !a->rstd)
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CUDA_REDUCE)
        return SEA_RC_UNSUPPORTED;
    if (a->dgamma)
        rc = sea_cuda_column_sum(cuda, rmsnorm_dgamma{ *a }, a->R, a->C, a->dgamma, 1);
    if (!rc && a->dx) {
        sea_cuda_wrote(cuda, a->dx, rms_extent(a->R, a->C, a->heads, a->ld));
        if (!a->heads)
            shadow = sea_cuda_shadow(cuda, a->dx, a->R, a->C);
        SEA_LAUNCH(cuda, rmsnorm_dx, (unsigned)a->R, sea_row_threads(a->C), 0, *a, shadow);
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
    sea_cuda_wrote(cuda, a->out, sea_cuda_extent(a->R, a->C, a->C));
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
    sea_cuda_wrote(cuda, a->dinp, sea_cuda_extent(a->R, a->C, a->C));
    SEA_LAUNCH(cuda, l2norm_dx, (unsigned)a->R, sea_row_threads(a->C), 0, *a);
    return sea_cuda_launched();
}
