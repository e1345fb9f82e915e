/* SPDX-License-Identifier: Apache-2.0 */
/* norm.c - checks and tasks of the normalisations; the arithmetic is in norm.inc */
#include "kernels/cpu/cpu_int.h"

/* Adds the partial sums of a backward to dgamma or dbeta. */
static void
fold(struct sea_cpu *cpu, const float *part, float *out, int64_t blocks, int64_t C)
{
    struct sea_cpu_fold job = { .part = part, .out = out, .blocks = blocks, .C = C,
                                .accumulate = 1 };

    if (out)
        sea_cpu_pool_run(cpu->pool, cpu->isa->fold, &job, C, sea_cpu_grain(blocks));
}

int
sea_cpu_op_layernorm(void *dev, const struct sea_op_layernorm *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y || !a->gamma)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->layernorm, a, a->R, sea_cpu_grain(3 * a->C));
    return SEA_RC_OK;
}

int
sea_cpu_op_layernorm_bwd(void *dev, const struct sea_op_layernorm_bwd *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_norm_bwd job = { .op = a };

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->gamma || !a->mean || !a->rstd)
        return SEA_RC_ARGUMENT;
    if (2 * (size_t)a->C > SEA_CPU_REDUCE)
        return SEA_RC_UNSUPPORTED;
    job.blocks = sea_cpu_blocks(a->R, 2 * a->C);
    job.part = cpu->reduce;
    sea_cpu_pool_run(cpu->pool, cpu->isa->layernorm_bwd, &job, job.blocks.count, 1);
    fold(cpu, job.part, a->dgamma, job.blocks.count, a->C);
    fold(cpu, job.part + job.blocks.count * a->C, a->dbeta, job.blocks.count, a->C);
    return SEA_RC_OK;
}

int
sea_cpu_op_rmsnorm(void *dev, const struct sea_op_rmsnorm *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->y || !a->gamma)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->rmsnorm, a, a->R, sea_cpu_grain(2 * a->C));
    return SEA_RC_OK;
}

int
sea_cpu_op_rmsnorm_bwd(void *dev, const struct sea_op_rmsnorm_bwd *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_norm_bwd job = { .op = a };

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dy || !a->gamma || !a->rstd)
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CPU_REDUCE)
        return SEA_RC_UNSUPPORTED;
    job.blocks = sea_cpu_blocks(a->R, a->C);
    job.part = cpu->reduce;
    sea_cpu_pool_run(cpu->pool, cpu->isa->rmsnorm_bwd, &job, job.blocks.count, 1);
    fold(cpu, job.part, a->dgamma, job.blocks.count, a->C);
    return SEA_RC_OK;
}

int
sea_cpu_op_l2norm(void *dev, const struct sea_op_l2norm *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->inp || !a->out)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->l2norm, a, a->R, sea_cpu_grain(2 * a->C));
    return SEA_RC_OK;
}

int
sea_cpu_op_l2norm_bwd(void *dev, const struct sea_op_l2norm_bwd *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->out || !a->dout || !a->rnorm || !a->dinp)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->l2norm_bwd, a, a->R, sea_cpu_grain(2 * a->C));
    return SEA_RC_OK;
}
