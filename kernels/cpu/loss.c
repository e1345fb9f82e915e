/* SPDX-License-Identifier: Apache-2.0 */
/* loss.c - checks and tasks of cross-entropy, soft caps, contrast and top-k; see loss.inc */
#include "kernels/cpu/cpu_int.h"

#include <math.h>

#define COST_EXP 8              /* of one exponential, in elementary steps */

int
sea_cpu_op_xent(void *dev, const struct sea_op_xent *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->V < 0 || !(a->softcap >= 0.0f))
        return SEA_RC_ARGUMENT;
    if (!a->R)
        return SEA_RC_OK;
    if (!a->V || !a->logits || !a->target || !a->weight || !a->loss || a->ld < a->V)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->xent, a, a->R, sea_cpu_grain(COST_EXP * a->V));
    return SEA_RC_OK;
}

int
sea_cpu_op_softcap(void *dev, const struct sea_op_softcap *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0 || !(a->cap > 0.0f))
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || a->ld < a->C)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->softcap, a, a->R, sea_cpu_grain(COST_EXP * a->C));
    return SEA_RC_OK;
}

int
sea_cpu_op_contrast(void *dev, const struct sea_op_contrast *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_contrast job = { .op = a };
    int64_t R, grain;
    double loss = 0.0, dtheta = 0.0;
    float scale;

    if (!cpu || !a || a->R < 0 || !a->loss)
        return SEA_RC_ARGUMENT;
    R = a->R;
    if (R && (!a->cos || !a->theta || !a->scratch))
        return SEA_RC_ARGUMENT;
    a->loss[0] = 0.0f;
    if (R < 2) {
        if (R)
            a->cos[0] = 0.0f;
        return SEA_RC_OK;
    }
    scale = expf(a->theta[0]);
    job.scale = a->max_scale > 0.0f && scale > a->max_scale ? a->max_scale : scale;
    grain = sea_cpu_grain(COST_EXP * R);
    sea_cpu_pool_run(cpu->pool, cpu->isa->contrast_rows, &job, R, grain);
    /* Whole vectors of columns: a lane's arithmetic is the same wherever it lies. */
    sea_cpu_pool_run(cpu->pool, cpu->isa->contrast_columns, &job, R, (grain + 63) / 64 * 64);
    sea_cpu_pool_run(cpu->pool, cpu->isa->contrast_grad, &job, R, grain);
    for (int64_t r = 0; r < R; r++) {
        loss += (double)a->scratch[2 * R + r];
        dtheta += (double)a->scratch[3 * R + r];
    }
    a->loss[0] = (float)(loss / (2.0 * (double)R));
    if (a->dtheta && job.scale == scale)
        a->dtheta[0] += a->weight * (float)dtheta;
    return SEA_RC_OK;
}

int
sea_cpu_op_topk(void *dev, const struct sea_op_topk *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0 || a->k < 0 || a->col_base < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->k)
        return SEA_RC_OK;
    if (!a->index || !a->value || (a->C && !a->x) || a->ld < a->C ||
        a->col_base + a->C > INT32_MAX)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->topk, a, a->R, sea_cpu_grain(a->C + a->k));
    return SEA_RC_OK;
}
