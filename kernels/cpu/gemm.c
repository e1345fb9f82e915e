/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gemm.c - the partition of a matrix product
 *
 * A task is a rectangle of C; it packs the B it needs by itself, so tasks share nothing and
 * no thread waits for another. More and smaller tasks balance better but pack more: the
 * grid with the least predicted time is taken. It may depend on the number of threads,
 * because no element of C depends on the grid.
 */
#include "kernels/cpu/cpu_int.h"

/* Predicted cost in multiply-adds of one vector lane: packing an element costs as much as this
 * many (most of it waiting for memory), starting a task as this many. */
#define COST_PACK 8
#define COST_TASK 20000
#define SKINNY_ROUNDS 8         /* tasks of a thread at most, where few rows are multiplied */
#define SKINNY_TASK 0.15        /* what a task costs, in groups: its first rows are waited for */
#define SKINNY_SLACK 2          /* so much dearer, on paper, a finer grid may be */
#define WORTH_A_THREAD 200000   /* multiply-adds, some microseconds */

static int64_t
ceil_div(int64_t a, int64_t b)
{
    return (a + b - 1) / b;
}

/* Steps of k: equal, at most `most`, a function of K alone. */
static int64_t
depth_of(int64_t K, int64_t most)
{
    int64_t steps = K > most ? ceil_div(K, most) : 1;

    return K ? ceil_div(ceil_div(K, steps), 16) * 16 : 1;
}

/* A task packs its rows of A once, its columns of B for each part of its rows: block.inc. */
static int64_t
grid_cost(const struct sea_cpu_gemm *job, const struct sea_cpu *cpu, int64_t m, int64_t n,
          int64_t tasks)
{
    int64_t parts = n > SEA_CPU_COLUMNS ? ceil_div(m, cpu->isa->rows_stay) : 1;
    int64_t per_k = m * n + COST_PACK * job->pack * (n * parts + m);

    return ceil_div(tasks, cpu->threads) * (per_k * job->op->K + COST_TASK);
}

static void
plan(struct sea_cpu_gemm *job, const struct sea_cpu *cpu)
{
    const struct sea_op_gemm *op = job->op;
    int64_t mr = cpu->isa->mr, nr = cpu->isa->nr, best = INT64_MAX;
    int64_t panels_m = ceil_div(op->M, mr), panels_n = ceil_div(op->N, nr);
    int64_t threads = cpu->threads, most;

    job->m_step = panels_m * mr;
    job->n_step = panels_n * nr;
    if (threads > 1 && (double)op->M * (double)op->N * (double)op->K > WORTH_A_THREAD) {
        most = 3 * threads;
        for (int64_t mt = 1; mt <= most && mt <= panels_m; mt++)
            for (int64_t nt = 1; mt * nt <= most && nt <= panels_n; nt++) {
                int64_t m = ceil_div(panels_m, mt) * mr, n = ceil_div(panels_n, nt) * nr;
                int64_t tasks = ceil_div(op->M, m) * ceil_div(op->N, n);
                int64_t cost = grid_cost(job, cpu, m, n, tasks);

                if (cost < best) {
                    best = cost;
                    job->m_step = m;
                    job->n_step = n;
                }
            }
    }
    job->n_tiles = ceil_div(op->N, job->n_step);
}

/* Groups of rows of B in a task. Their bytes are what counts, from memory about 10 a ns: a
 * task is worth a thread from some microseconds on. The finest grid whose shares are not too
 * uneven: where processors are shared, one of the threads is always late. */
static int64_t
skinny_grain(const struct sea_op_gemm *op, const struct sea_cpu *cpu)
{
    int64_t groups = ceil_div(op->N, cpu->isa->nr), threads = cpu->threads, grain = groups;
    int64_t least = (sea_cpu_grain(cpu->isa->nr * op->K / 4) + 1) / 2;
    double best = 0.0;

    for (int64_t rounds = 1; rounds <= SKINNY_ROUNDS; rounds++) {
        int64_t n = ceil_div(groups, threads * rounds);
        double cost;

        n = n > least ? n : least;
        cost = (double)ceil_div(ceil_div(groups, n), threads) * ((double)n + SKINNY_TASK);
        best = rounds == 1 || cost < best ? cost : best;
        if (cost <= SKINNY_SLACK * best)
            grain = n;
    }
    return grain;
}

int
sea_cpu_op_gemm(void *dev, const struct sea_op_gemm *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_gemm job = { .op = a, .pack = 1 };

    if (!cpu || !a || a->M < 0 || a->N < 0 || a->K < 0)
        return SEA_RC_ARGUMENT;
    if (!a->M || !a->N)
        return SEA_RC_OK;
    if (!a->c || a->ldc < a->N || (a->K && (!a->a || !a->b)))
        return SEA_RC_ARGUMENT;
    if (a->lda < (a->trans_a ? a->M : a->K) || a->ldb < (a->trans_b ? a->K : a->N))
        return SEA_RC_ARGUMENT;
    if (a->b_type != SEA_STORE_F32 && a->b_type != SEA_STORE_BF16)
        return SEA_RC_ARGUMENT;
    if (a->rounded && cpu->gemm_dot) {
        job.k_step = depth_of(a->K, 2 * SEA_CPU_DEPTH);
        job.pack = 2;
        plan(&job, cpu);
        sea_cpu_pool_run(cpu->pool, cpu->gemm_dot, &job, ceil_div(a->M, job.m_step) * job.n_tiles,
                         1);
        return SEA_RC_OK;
    }
    job.k_step = depth_of(a->K, SEA_CPU_DEPTH);
    if (a->M <= SEA_CPU_SKINNY && a->trans_b && !a->trans_a) {
        sea_cpu_pool_run(cpu->pool, cpu->isa->gemm_skinny, &job, ceil_div(a->N, cpu->isa->nr),
                         skinny_grain(a, cpu));
        return SEA_RC_OK;
    }
    plan(&job, cpu);
    sea_cpu_pool_run(cpu->pool, cpu->isa->gemm, &job,
                     ceil_div(a->M, job.m_step) * job.n_tiles, 1);
    return SEA_RC_OK;
}
