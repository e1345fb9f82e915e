/* SPDX-License-Identifier: Apache-2.0 */
/* limits.c - what the processor can do at best, measured now; see limits.inc */
#include "kernels/cpu/cpu_int.h"

#include <time.h>

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

int
sea_cpu_op_limits(void *dev, struct sea_op_limits *a)
{
    static const float in[2] = { 0.999f, 0.001f };
    struct sea_cpu *cpu = dev;
    int64_t pieces, grain, rounds;
    double start, work;

    if (!cpu || !a || (a->bytes && !a->mem))
        return SEA_RC_ARGUMENT;
    rounds = cpu->threads;      /* a piece for each thread, so none waits for another's second */
    start = now();
    sea_cpu_pool_run(cpu->pool, cpu->isa->peak, in, rounds, 1);
    work = 2.0 * (double)(rounds * SEA_CPU_PEAK_ROUND) * (double)cpu->isa->peak_width;
    a->flops = work / (now() - start);
    pieces = (int64_t)(a->bytes / SEA_CPU_READ_PIECE);
    grain = pieces / (4 * (int64_t)cpu->threads);
    a->read_rate = 0.0;
    if (!pieces)
        return SEA_RC_OK;
    start = now();
    sea_cpu_pool_run(cpu->pool, cpu->isa->read, a->mem, pieces, grain > 0 ? grain : 1);
    a->read_rate = (double)pieces * SEA_CPU_READ_PIECE / (now() - start);
    return SEA_RC_OK;
}
