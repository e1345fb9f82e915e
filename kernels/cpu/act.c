/* SPDX-License-Identifier: Apache-2.0 */
/* act.c - checks and tasks of the activations; the arithmetic is in act.inc */
#include "kernels/cpu/cpu_int.h"

#define COST 8                  /* of one activation, in elementary steps */

static int
check(const void *x, const void *y, int64_t R, int64_t C, enum sea_act act)
{
    if (R < 0 || C < 0 || act < SEA_ACT_GELU || act > SEA_ACT_SILU)
        return SEA_RC_ARGUMENT;
    return R && C && (!x || !y) ? SEA_RC_ARGUMENT : SEA_RC_OK;
}

/* Rows when gated, else elements: a row may be longer than all rows are many. */
static void
run(struct sea_cpu *cpu, sea_cpu_fn *fn, const void *args, int64_t R, int64_t C, int gated)
{
    if (gated)
        sea_cpu_pool_run(cpu->pool, fn, args, R, sea_cpu_grain(COST * C));
    else
        sea_cpu_pool_run(cpu->pool, fn, args, R * C, sea_cpu_grain(COST));
}

int
sea_cpu_op_act(void *dev, const struct sea_op_act *a)
{
    struct sea_cpu *cpu = dev;
    int rc = cpu && a ? check(a->x, a->y, a->R, a->C, a->act) : SEA_RC_ARGUMENT;

    if (!rc && a->C)
        run(cpu, cpu->isa->act, a, a->R, a->C, a->gated);
    return rc;
}

int
sea_cpu_op_act_bwd(void *dev, const struct sea_op_act_bwd *a)
{
    struct sea_cpu *cpu = dev;
    int rc = cpu && a ? check(a->x, a->dx, a->R, a->C, a->act) : SEA_RC_ARGUMENT;

    if (!rc && a->R && a->C && !a->dy)
        rc = SEA_RC_ARGUMENT;
    if (!rc && a->C)
        run(cpu, cpu->isa->act_bwd, a, a->R, a->C, a->gated);
    return rc;
}
