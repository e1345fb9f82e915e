/* SPDX-License-Identifier: Apache-2.0 */
/* act.cu - activations and their slopes, plain and gated; soft caps and gains per column */
#include "kernels/cuda/cuda_int.h"

struct act_at {
    float value, slope;
};

/* All four are x s(x), s between 0 and 1; see kernels/cpu/act.inc. */
__device__ static struct act_at
act_at(enum sea_act kind, float x)
{
    float b = kind == SEA_ACT_QUICK_GELU ? 1.702f : 1.0f, s, du;

    if (kind == SEA_ACT_GELU) {
        s = 0.5f * erfcf(-0.707106781f * x);
        return (struct act_at){ x * s, s + 0.398942280f * x * expf(-0.5f * x * x) };
    }
    if (kind == SEA_ACT_GELU_TANH) {
        float square = fminf(1e30f, x * x);     /* finite: 0 * square is 0 */

        s = 1.0f / (1.0f + expf(-x * (1.59576912f + 0.0713548163f * square)));
        du = 1.59576912f + 0.214064449f * square;
        return (struct act_at){ x * s, s + x * s * (1.0f - s) * du };
    }
    s = 1.0f / (1.0f + expf(-b * x));
    return (struct act_at){ x * s, s + x * s * (1.0f - s) * b };
}

static __global__ void
act_all(const struct sea_op_act op)
{
    for (SEA_FLAT(i, op.R * op.C)) {
        const float *x = op.gated ? op.x + i / op.C * 2 * op.C + i % op.C : op.x + i;
        float value = act_at(op.act, x[0]).value;

        op.y[i] = op.gated ? value * x[op.C] : value;
    }
}

int
sea_cuda_act(void *dev, const struct sea_op_act *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0 || (unsigned)a->act > SEA_ACT_SILU)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, act_all, sea_flat_blocks(a->R * a->C), 256, 0, *a);
    return sea_cuda_launched();
}

static __global__ void
act_bwd_all(const struct sea_op_act_bwd op)
{
    for (SEA_FLAT(i, op.R * op.C)) {
        int64_t at = op.gated ? i / op.C * 2 * op.C + i % op.C : i;
        struct act_at here = act_at(op.act, op.x[at]);
        float d = op.dy[i];

        if (op.gated) {
            float up = op.x[at + op.C];

            op.dx[at + op.C] = d * here.value;
            d *= up;
        }
        op.dx[at] = d * here.slope;
    }
}

int
sea_cuda_act_bwd(void *dev, const struct sea_op_act_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0 || (unsigned)a->act > SEA_ACT_SILU)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->dx)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, act_bwd_all, sea_flat_blocks(a->R * a->C), 256, 0, *a);
    return sea_cuda_launched();
}

static __global__ void
softcap_all(const struct sea_op_softcap op)
{
    for (SEA_FLAT(i, op.R * op.C)) {
        float *x = op.x + i / op.C * op.ld + i % op.C;

        x[0] = op.cap * tanhf(x[0] / op.cap);
    }
}

int
sea_cuda_softcap(void *dev, const struct sea_op_softcap *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0 || !(a->cap > 0.0f))
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || a->ld < a->C)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, softcap_all, sea_flat_blocks(a->R * a->C), 256, 0, *a);
    return sea_cuda_launched();
}

static __global__ void
colscale_all(const struct sea_op_colscale op)
{
    for (SEA_FLAT(i, op.R * op.C)) {
        float y = op.x[i] * op.gain[i % op.C];

        op.out[i] = op.base ? op.base[i] + y : y;
    }
}

int
sea_cuda_colscale(void *dev, const struct sea_op_colscale *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->gain || !a->out)
        return SEA_RC_ARGUMENT;
    SEA_LAUNCH(cuda, colscale_all, sea_flat_blocks(a->R * a->C), 256, 0, *a);
    return sea_cuda_launched();
}

static __global__ void
colscale_dgain(const struct sea_op_colscale_bwd op, float *part, int64_t rows)
{
    int64_t first = blockIdx.y * rows, last = first + rows < op.R ? first + rows : op.R;
    int64_t c = (int64_t)blockIdx.x * blockDim.x + threadIdx.x;
    float sum = 0;

    if (c >= op.C)
        return;
    for (int64_t r = first; r < last; r++)
        sum += op.dout[r * op.C + c] * op.x[r * op.C + c];
    part[blockIdx.y * op.C + c] = sum;
}

static __global__ void
colscale_dx(const struct sea_op_colscale_bwd op)
{
    for (SEA_FLAT(i, op.R * op.C))
        op.dx[i] = op.dout[i] * op.gain[i % op.C];
}

int
sea_cuda_colscale_bwd(void *dev, const struct sea_op_colscale_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_cuda_blocks blocks;
    int rc = SEA_RC_OK;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dout || !a->gain || !a->dx)
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CUDA_REDUCE)
        return SEA_RC_UNSUPPORTED;
    blocks = sea_cuda_row_blocks(a->R, a->C);
    if (a->dgain) {                     /* before dx, which may be dout */
        dim3 grid((unsigned)sea_ceil_div(a->C, 128), (unsigned)blocks.count);

        SEA_LAUNCH(cuda, colscale_dgain, grid, 128, 0, *a, cuda->reduce, blocks.rows);
        rc = sea_cuda_launched();
        if (!rc)
            rc = sea_cuda_fold(cuda, cuda->reduce, blocks.count, a->C, a->dgain, 1);
    }
    if (rc)
        return rc;
    SEA_LAUNCH(cuda, colscale_dx, sea_flat_blocks(a->R * a->C), 256, 0, *a);
    return sea_cuda_launched();
}
