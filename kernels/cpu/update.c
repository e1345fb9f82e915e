/* SPDX-License-Identifier: Apache-2.0 */
/* update.c - checks and tasks of the optimiser, axpby and the sums; see update.inc */
#include "kernels/cpu/cpu_int.h"

#include <math.h>

#define SUM_BLOCK 16384         /* elements of a partial sum, more for very long vectors */

int
sea_cpu_op_adamw(void *dev, const struct sea_op_adamw *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_adamw job = { .op = a };

    if (!cpu || !a || a->n < 0 || a->step < 1)
        return SEA_RC_ARGUMENT;
    if (!a->n)
        return SEA_RC_OK;
    if (!a->p || !a->m || !a->v || !a->g)
        return SEA_RC_ARGUMENT;
    job.one_less_beta1 = (float)(1.0 - (double)a->beta1);
    job.one_less_beta2 = (float)(1.0 - (double)a->beta2);
    job.correct1 = (float)(1.0 / (1.0 - pow((double)a->beta1, (double)a->step)));
    job.correct2 = (float)(1.0 / (1.0 - pow((double)a->beta2, (double)a->step)));
    sea_cpu_pool_run(cpu->pool, cpu->isa->adamw, &job, a->n, sea_cpu_grain(4));
    return SEA_RC_OK;
}

int
sea_cpu_op_axpby(void *dev, const struct sea_op_axpby *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->n < 0)
        return SEA_RC_ARGUMENT;
    if (!a->n)
        return SEA_RC_OK;
    if (!a->x || !a->out)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->axpby, a, a->n, sea_cpu_grain(1));
    return SEA_RC_OK;
}

int
sea_cpu_op_colsum(void *dev, const struct sea_op_colsum *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_colsum job = { .op = a };
    struct sea_cpu_fold fold;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->C)
        return SEA_RC_OK;
    if (!a->out || (a->R && (!a->x || a->ld < a->C)))
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CPU_REDUCE)
        return SEA_RC_UNSUPPORTED;
    job.blocks = sea_cpu_blocks(a->R, a->C);
    job.part = cpu->reduce;
    sea_cpu_pool_run(cpu->pool, cpu->isa->colsum, &job, job.blocks.count, 1);
    fold = (struct sea_cpu_fold){ .part = job.part, .out = a->out, .blocks = job.blocks.count,
                                  .C = a->C, .accumulate = a->accumulate };
    sea_cpu_pool_run(cpu->pool, cpu->isa->fold, &fold, a->C, sea_cpu_grain(fold.blocks));
    return SEA_RC_OK;
}

int
sea_cpu_op_sum(void *dev, const struct sea_op_sum *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_sum job = { .op = a };
    int64_t room = (int64_t)(SEA_CPU_REDUCE / 2), blocks;
    double total = 0.0;

    if (!cpu || !a || a->n < 0 || !a->out || (a->n && !a->x))
        return SEA_RC_ARGUMENT;
    job.block = SUM_BLOCK * (1 + a->n / (SUM_BLOCK * room));
    job.part = (double *)(void *)cpu->reduce;
    blocks = (a->n + job.block - 1) / job.block;
    sea_cpu_pool_run(cpu->pool, cpu->isa->sum, &job, blocks, 1);
    for (int64_t b = 0; b < blocks; b++)
        total += job.part[b];
    a->out[0] = a->accumulate ? a->out[0] + total : total;
    return SEA_RC_OK;
}

int
sea_cpu_op_clip(void *dev, const struct sea_op_clip *a)
{
    double norm;

    if (!dev || !a || !a->sumsq || !a->gscale)
        return SEA_RC_ARGUMENT;
    norm = sqrt(a->sumsq[0]);
    a->gscale[0] = a->max_norm > 0.0f && norm > (double)a->max_norm
                       ? (float)((double)a->max_norm / norm) : 1.0f;
    return SEA_RC_OK;
}
