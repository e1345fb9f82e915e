/* SPDX-License-Identifier: Apache-2.0 */
/* attention.c - checks and tasks of attention; the arithmetic is in attention.inc */
#include "kernels/cpu/cpu_int.h"

static int
check(const struct sea_op_attention *a)
{
    if (a->S < 0 || a->H <= 0 || a->K <= 0 || a->H % a->K || a->E <= 0)
        return SEA_RC_ARGUMENT;
    if (a->window < 0 || (a->window && !a->causal) || !(a->softcap >= 0.0f))
        return SEA_RC_ARGUMENT;
    if (a->E > SEA_CPU_HEAD_MAX)
        return SEA_RC_UNSUPPORTED;
    if (a->S && (!a->q || !a->k || !a->v || !a->out || !a->q_start || !a->k_start || !a->k_len))
        return SEA_RC_ARGUMENT;
    if (a->ld_q < a->H * a->E || a->ld_kv < a->K * a->E || a->ld_out < a->H * a->E)
        return SEA_RC_ARGUMENT;
    for (int64_t s = 0; s < a->S; s++)
        if (a->q_start[s] < 0 || a->q_start[s + 1] < a->q_start[s] || a->k_start[s] < 0 ||
            a->k_len[s] < 0)
            return SEA_RC_ARGUMENT;
    return SEA_RC_OK;
}

/* Segments with one query: all heads of a key head go together, so that its cache is read
 * once, but for as many tasks as there are threads. */
static void
run_ones(const struct sea_cpu *cpu, struct sea_cpu_attention *job)
{
    const struct sea_op_attention *op = job->op;
    int64_t group = op->H / op->K, heads = op->S * op->H / cpu->threads;

    job->heads = heads < 1 ? 1 : heads < group ? heads : group;
    job->blocks = (group + job->heads - 1) / job->heads;
    sea_cpu_pool_run(cpu->pool, cpu->isa->attention_ones, job, op->S * op->K * job->blocks, 1);
}

int
sea_cpu_op_attention(void *dev, const struct sea_op_attention *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_attention job = { .op = a, .blocks = 0 };
    int rc = cpu && a ? check(a) : SEA_RC_ARGUMENT;
    int64_t longest = 0;

    if (rc)
        return rc;
    for (int64_t s = 0; s < a->S; s++) {
        int64_t q_len = a->q_start[s + 1] - a->q_start[s];
        int64_t blocks = (q_len + SEA_CPU_QUERIES - 1) / SEA_CPU_QUERIES;

        longest = q_len > longest ? q_len : longest;
        job.blocks = blocks > job.blocks ? blocks : job.blocks;
    }
    if (!longest)
        return SEA_RC_OK;
    if (longest == 1) {
        run_ones(cpu, &job);
        return SEA_RC_OK;
    }
    sea_cpu_pool_run(cpu->pool, cpu->isa->attention, &job, a->S * a->H * job.blocks, 1);
    return SEA_RC_OK;
}

int
sea_cpu_op_attention_bwd(void *dev, const struct sea_op_attention_bwd *a)
{
    struct sea_cpu *cpu = dev;
    const struct sea_op_attention *fwd = a ? &a->fwd : NULL;
    int rc = cpu && a ? check(fwd) : SEA_RC_ARGUMENT;

    if (rc || !fwd->S)
        return rc;
    if (!fwd->lse || !a->dout || !a->dq || !a->dk || !a->dv || !a->delta)
        return SEA_RC_ARGUMENT;
    for (int64_t s = 0; s < fwd->S; s++)
        if (fwd->k_start[s] != fwd->q_start[s] ||
            fwd->k_len[s] != fwd->q_start[s + 1] - fwd->q_start[s])
            return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->attention_bwd, a, fwd->S * fwd->K, 1);
    return SEA_RC_OK;
}
