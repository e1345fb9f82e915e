/* SPDX-License-Identifier: Apache-2.0 */
/* attention.c - checks and tasks of attention; the arithmetic is in attention.inc */
#include "kernels/cpu/cpu_int.h"

#define PAIRS_ENOUGH 2          /* of segment and key head for a thread */
#define TILES_ENOUGH 2          /* for a thread: fewer are shared out worse than heads */
#define TILES_FAR 3             /* a cache of so many tiles is long */

static int64_t
ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

static int
check(const struct sea_op_attention *a)
{
    if (a->S < 0 || a->H <= 0 || a->K <= 0 || a->H % a->K || a->E <= 0)
        return SEA_RC_ARGUMENT;
    if (a->window < 0 || (a->window && !a->causal) || !(a->softcap >= 0.0f))
        return SEA_RC_ARGUMENT;
    if (a->E > SEA_CPU_HEAD_MAX || a->kv_type)
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

/* Tiles of keys that the only query of the longest segment reads. */
static int64_t
most_tiles(const struct sea_op_attention *op)
{
    int64_t most = 0;

    for (int64_t s = 0; s < op->S; s++) {
        int64_t end = op->k_len[s], first = op->window && end > op->window ? end - op->window : 0;
        int64_t tiles = ceil_div(end, SEA_CPU_DEPTH) - first / SEA_CPU_DEPTH;

        most = tiles > most ? tiles : most;
    }
    return most;
}

/* Tiles apart, for as many pairs (segment, key head) at a time as there is room for. */
static void
run_far(const struct sea_cpu *cpu, const struct sea_op_attention *op, int64_t tiles,
        int64_t pairs)
{
    int64_t rows = tiles * (op->H / op->K), all = op->S * op->K;
    struct sea_cpu_attention_far job = { .op = op, .tiles = tiles, .scores = cpu->reduce };

    job.values = job.scores + pairs * rows * SEA_CPU_DEPTH_LD;
    job.max = job.values + pairs * rows * op->E;
    job.sum = job.max + pairs * rows;
    for (; job.first < all; job.first += pairs) {
        int64_t now = all - job.first < pairs ? all - job.first : pairs;

        sea_cpu_pool_run(cpu->pool, cpu->isa->attention_far_scores, &job, now * tiles, 1);
        sea_cpu_pool_run(cpu->pool, cpu->isa->attention_far_values, &job, now * tiles, 1);
        sea_cpu_pool_run(cpu->pool, cpu->isa->attention_far_join, &job, now,
                         sea_cpu_grain(rows * op->E));
    }
}

/* Segments with one query: all heads of a key head go together, so that its cache is read
 * once. With too few pairs of segment and key head for the threads long caches are cut into
 * their tiles; short ones into heads. */
static void
run_ones(const struct sea_cpu *cpu, struct sea_cpu_attention *job)
{
    const struct sea_op_attention *op = job->op;
    int64_t group = op->H / op->K, heads = op->S * op->H / cpu->threads, pairs = op->S * op->K;
    int64_t tiles = most_tiles(op);
    int64_t room = (int64_t)SEA_CPU_REDUCE / (tiles * group * (SEA_CPU_DEPTH_LD + op->E + 2) + 1);

    if (pairs < PAIRS_ENOUGH * cpu->threads && cpu->threads > 1 && tiles >= TILES_FAR && room &&
        (pairs * tiles >= TILES_ENOUGH * cpu->threads || !heads)) {
        run_far(cpu, op, tiles, room < pairs ? room : pairs);
        return;
    }
    job->heads = heads < 1 ? 1 : heads < group ? heads : group;
    job->blocks = ceil_div(group, job->heads);
    sea_cpu_pool_run(cpu->pool, cpu->isa->attention_ones, job, pairs * job->blocks, 1);
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
