/* SPDX-License-Identifier: Apache-2.0 */
/* bench.h - what the benchmarks of operators share: clock, medians, numbers, arguments. */
#ifndef SEA_TESTS_BENCH_H
#define SEA_TESTS_BENCH_H

#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "kernels/cpu/cpu_int.h"

enum { BENCH_ROUNDS_MAX = 101 };

struct bench_args {
    int rounds, threads;
    bool json;
};

static inline double
bench_now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static inline int
bench_compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static inline double
bench_median(const double *values, int n)
{
    double sorted[BENCH_ROUNDS_MAX];

    memcpy(sorted, values, (size_t)n * sizeof(*values));
    qsort(sorted, (size_t)n, sizeof(*sorted), bench_compare);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/* Memory of the device with small numbers of both signs; as bfloat16 they are finite, too. */
static inline void *
bench_floats(void *dev, size_t n)
{
    void *mem;

    if (sea_cpu_ops.mem_alloc(dev, n * sizeof(float), &mem)) {
        fprintf(stderr, "bench: not enough memory for %zu numbers\n", n);
        exit(1);
    }
    for (size_t i = 0; i < n; i++)
        ((float *)mem)[i] = (float)((i * 2654435761u >> 8) % 2001) * 1e-3f - 1.0f;
    return mem;
}

static inline void
bench_must(int rc)
{
    if (rc) {
        fprintf(stderr, "bench: %s\n", sea_cpu_ops.rc_text(rc));
        exit(1);
    }
}

/* [--json] [--rounds N] [--threads N]; ends the program when they are wrong. */
static inline struct bench_args
bench_args(const char *name, int argc, char **argv, int rounds)
{
    struct bench_args args = { .rounds = rounds };
    bool good = true;

    for (int i = 1; i < argc && good; i++) {
        if (!strcmp(argv[i], "--json"))
            args.json = true;
        else if (!strcmp(argv[i], "--rounds") && i + 1 < argc)
            args.rounds = (int)strtol(argv[++i], NULL, 10);
        else if (!strcmp(argv[i], "--threads") && i + 1 < argc)
            args.threads = (int)strtol(argv[++i], NULL, 10);
        else
            good = false;
    }
    if (!good || args.rounds < 1 || args.rounds > BENCH_ROUNDS_MAX || args.threads < 0) {
        fprintf(stderr, "usage: %s [--json] [--rounds 1..%d] [--threads N, 0: all]\n", name,
                BENCH_ROUNDS_MAX);
        exit(64);
    }
    return args;
}

/* bench on one thread, then on all of args.threads; wraps JSON into a list. */
static inline int
bench_each(const struct bench_args *args,
           void (*bench)(void *dev, const struct bench_args *args, bool last))
{
    int counts[2] = { 1, args->threads }, n;
    void *dev;

    bench_must(sea_cpu_ops.dev_open(0, args->threads, &dev));
    counts[1] = ((const struct sea_cpu *)dev)->threads;
    sea_cpu_ops.dev_close(dev);
    n = counts[1] > 1 ? 2 : 1;
    if (args->json)
        printf("[\n");
    for (int i = 0; i < n; i++) {
        bench_must(sea_cpu_ops.dev_open(0, counts[i], &dev));
        bench(dev, args, i + 1 == n);
        sea_cpu_ops.dev_close(dev);
    }
    if (args->json)
        printf("]\n");
    return 0;
}

#endif
