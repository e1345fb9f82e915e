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

/* Rows by blocks in y, four neighbouring columns a thread: no division, 16 bytes at a time. */
#define FOUR 4
#define ROW_THREADS 256

static dim3
row_grid(int64_t R, int64_t C)
{
    return dim3((unsigned)sea_ceil_div(C, FOUR * ROW_THREADS),
                (unsigned)(R < SEA_CUDA_GRID ? R : SEA_CUDA_GRID));
}

/* Four numbers at x, of which `many` are there; whole: all of them, and x is aligned. */
__device__ static inline float4
load_four(const float *x, int many, bool whole)
{
    if (whole)
        return *(const float4 *)x;
    return make_float4(x[0], many > 1 ? x[1] : 0.0f, many > 2 ? x[2] : 0.0f,
                       many > 3 ? x[3] : 0.0f);
}

__device__ static inline void
store_four(float *y, const float4 &v, int many, bool whole)
{
    if (whole) {
        *(float4 *)y = v;
        return;
    }
    y[0] = v.x;
    if (many > 1)
        y[1] = v.y;
    if (many > 2)
        y[2] = v.z;
    if (many > 3)
        y[3] = v.w;
}

__device__ static inline void
shade_four(const struct sea_shadow &shadow, int64_t r, int64_t c, const float4 &v, int many)
{
    const float x[FOUR] = { v.x, v.y, v.z, v.w };

    if (!shadow.data)
        return;
    if (many == FOUR && c % FOUR == 0) {
        *(uint2 *)(shadow.data + r * shadow.ld + c) =
            make_uint2(sea_bf16_round(v.x) | (unsigned)sea_bf16_round(v.y) << 16,
                       sea_bf16_round(v.z) | (unsigned)sea_bf16_round(v.w) << 16);
        return;
    }
    for (int i = 0; i < many; i++)
        sea_shade(shadow, r, c + i, x[i]);
}

static __global__ void
act_all(const struct sea_op_act op, const struct sea_shadow shadow, int whole)
{
    int64_t step = (int64_t)gridDim.x * ROW_THREADS * FOUR, wide = op.gated ? 2 * op.C : op.C;
    int64_t first = ((int64_t)blockIdx.x * ROW_THREADS + threadIdx.x) * FOUR;

    for (int64_t r = blockIdx.y; r < op.R; r += gridDim.y)
        for (int64_t c = first; c < op.C; c += step) {
            int many = op.C - c < FOUR ? (int)(op.C - c) : FOUR;
            float4 x = load_four(op.x + r * wide + c, many, whole), up = make_float4(1, 1, 1, 1);

            if (op.gated)
                up = load_four(op.x + r * wide + op.C + c, many, whole);
            x = make_float4(act_at(op.act, x.x).value * up.x, act_at(op.act, x.y).value * up.y,
                            act_at(op.act, x.z).value * up.z, act_at(op.act, x.w).value * up.w);
            store_four(op.y + r * op.C + c, x, many, whole);
            shade_four(shadow, r, c, x, many);
        }
}

int
sea_cuda_act(void *dev, const struct sea_op_act *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_shadow shadow;
    int whole;

    if (!cuda || !a || a->R < 0 || a->C < 0 || (unsigned)a->act > SEA_ACT_SILU)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, a->y, sea_cuda_extent(a->R, a->C, a->C));
    shadow = sea_cuda_shadow(cuda, a->y, a->R, a->C);
    whole = a->C % FOUR == 0 && ((uintptr_t)a->x | (uintptr_t)a->y) % 16 == 0;
    SEA_LAUNCH(cuda, act_all, row_grid(a->R, a->C), ROW_THREADS, 0, *a, shadow, whole);
    return sea_cuda_launched();
}

struct act_slopes {
    float gate, up;             /* gradients of the two inputs; up: gated only */
};

__device__ static inline struct act_slopes
act_slopes(enum sea_act kind, float x, float up, float d)
{
    struct act_at here = act_at(kind, x);

    return (struct act_slopes){ d * up * here.slope, d * here.value };
}

/* dx may be dy: a thread reads the numbers it writes, and those first. */
static __global__ void
act_bwd_all(const struct sea_op_act_bwd op, const struct sea_shadow shadow, int whole)
{
    int64_t step = (int64_t)gridDim.x * ROW_THREADS * FOUR, wide = op.gated ? 2 * op.C : op.C;
    int64_t first = ((int64_t)blockIdx.x * ROW_THREADS + threadIdx.x) * FOUR;

    for (int64_t r = blockIdx.y; r < op.R; r += gridDim.y)
        for (int64_t c = first; c < op.C; c += step) {
            int many = op.C - c < FOUR ? (int)(op.C - c) : FOUR;
            float4 x = load_four(op.x + r * wide + c, many, whole), up = make_float4(1, 1, 1, 1);
            float4 d = load_four(op.dy + r * op.C + c, many, whole);
            struct act_slopes s[FOUR];

            if (op.gated)
                up = load_four(op.x + r * wide + op.C + c, many, whole);
            s[0] = act_slopes(op.act, x.x, up.x, d.x);
            s[1] = act_slopes(op.act, x.y, up.y, d.y);
            s[2] = act_slopes(op.act, x.z, up.z, d.z);
            s[3] = act_slopes(op.act, x.w, up.w, d.w);
            x = make_float4(s[0].gate, s[1].gate, s[2].gate, s[3].gate);
            store_four(op.dx + r * wide + c, x, many, whole);
            shade_four(shadow, r, c, x, many);
            if (!op.gated)
                continue;
            up = make_float4(s[0].up, s[1].up, s[2].up, s[3].up);
            store_four(op.dx + r * wide + op.C + c, up, many, whole);
            shade_four(shadow, r, op.C + c, up, many);
        }
}

int
sea_cuda_act_bwd(void *dev, const struct sea_op_act_bwd *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_shadow shadow;
    int64_t wide;
    int whole;

    if (!cuda || !a || a->R < 0 || a->C < 0 || (unsigned)a->act > SEA_ACT_SILU)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->dx)
        return SEA_RC_ARGUMENT;
    wide = a->gated ? 2 * a->C : a->C;
    sea_cuda_wrote(cuda, a->dx, sea_cuda_extent(a->R, wide, wide));
    shadow = sea_cuda_shadow(cuda, a->dx, a->R, wide);
    whole = a->C % FOUR == 0 &&
            ((uintptr_t)a->x | (uintptr_t)a->dy | (uintptr_t)a->dx) % 16 == 0;
    SEA_LAUNCH(cuda, act_bwd_all, row_grid(a->R, a->C), ROW_THREADS, 0, *a, shadow, whole);
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
    sea_cuda_wrote(cuda, a->x, sea_cuda_extent(a->R, a->C, a->ld));
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
    sea_cuda_wrote(cuda, a->out, sea_cuda_extent(a->R, a->C, a->C));
    SEA_LAUNCH(cuda, colscale_all, sea_flat_blocks(a->R * a->C), 256, 0, *a);
    return sea_cuda_launched();
}

struct dgain_term {
    const float *dout, *x;
    int64_t C;

    __device__ float
    operator()(int64_t r, int64_t c) const
    {
        return dout[r * C + c] * x[r * C + c];
    }
};

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
    int rc = SEA_RC_OK;

    if (!cuda || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dout || !a->gain || !a->dx)
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CUDA_REDUCE)
        return SEA_RC_UNSUPPORTED;
    if (a->dgain)                       /* before dx, which may be dout */
        rc = sea_cuda_column_sum(cuda, dgain_term{ a->dout, a->x, a->C }, a->R, a->C, a->dgain,
                                 1);
    if (rc)
        return rc;
    sea_cuda_wrote(cuda, a->dx, sea_cuda_extent(a->R, a->C, a->C));
    SEA_LAUNCH(cuda, colscale_dx, sea_flat_blocks(a->R * a->C), 256, 0, *a);
    return sea_cuda_launched();
}
