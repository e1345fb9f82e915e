/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Matrix products as a share of what the processor can multiply and add at all.
 *
 * The peak is a loop over registers alone with 14 to 16 independent chains of fused
 * multiply-adds in the widest vectors. Peak and products take turns, round after round, on
 * one thread and on all; a share is the median over rounds of product / peak of the same
 * round, so that a neighbour who slows the machine slows both. Shapes: cubes, then those of
 * the demo (y = x W^T, dx = dy W, dW = dy^T x), products that may be rounded to bfloat16, then
 * a few rows for decoding, where bytes per second tell more than the share.
 *
 * usage: bench_gemm [--json] [--rounds N] [--threads N]
 */
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include "kernels/cpu/cpu_int.h"

enum { ROUNDS_MAX = 101, PEAK_STEPS = 400000 };
#define WINDOW 0.012            /* seconds of one measurement, at least */

struct shape {
    int M, N, K, trans_a, trans_b;
    int rounded;                /* to bfloat16: on some processors above 100 % of the peak */
    const char *what;
};
static const struct shape shapes[] = {
    { 1024, 1024, 1024, 0, 0, 0, "cube" },
    { 1024, 1024, 1024, 0, 1, 0, "cube, x W^T" },
    { 2048, 2048, 2048, 0, 0, 0, "cube" },
    { 3200, 384, 128, 0, 1, 0, "qkv" },
    { 3200, 128, 128, 0, 1, 0, "attention out" },
    { 3200, 704, 128, 0, 1, 0, "gate and up" },
    { 3200, 128, 352, 0, 1, 0, "down" },
    { 500, 384, 128, 0, 1, 0, "few rows" },
    { 640, 768, 128, 0, 1, 0, "head" },
    { 4000, 1536, 384, 0, 1, 0, "wider model" },
    { 3200, 128, 384, 0, 0, 0, "qkv, dx" },
    { 3200, 352, 128, 0, 0, 0, "down, dx" },
    { 384, 128, 3200, 1, 0, 0, "qkv, dW" },
    { 704, 128, 3200, 1, 0, 0, "gate and up, dW" },
    { 1024, 1152, 896, 0, 1, 0, "0.5B: qkv" },
    { 1024, 896, 4864, 0, 1, 0, "0.5B: down" },
    { 1024, 896, 9728, 0, 0, 0, "0.5B: up, dx" },
    { 9728, 896, 1024, 1, 0, 0, "0.5B: up, dW" },
    { 1024, 9728, 896, 0, 1, 1, "bf16: up" },
    { 1024, 896, 4864, 0, 1, 1, "bf16: down" },
    { 1024, 896, 9728, 0, 0, 1, "bf16: up, dx" },
    { 9728, 896, 1024, 1, 0, 1, "bf16: up, dW" },
    { 16, 704, 128, 0, 1, 0, "decode 16" },
    { 1, 704, 128, 0, 1, 0, "decode 1" },
    { 1, 4096, 4096, 0, 1, 0, "decode 1, large" },
    { 8, 4096, 4096, 0, 1, 0, "decode 8, large" },
};
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };

struct result {
    double gflops[ROUNDS_MAX], share[ROUNDS_MAX];
};

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int
compare(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

static double
median(const double *values, int n)
{
    double sorted[ROUNDS_MAX];

    memcpy(sorted, values, (size_t)n * sizeof(*values));
    qsort(sorted, (size_t)n, sizeof(*sorted), compare);
    return n % 2 ? sorted[n / 2] : 0.5 * (sorted[n / 2 - 1] + sorted[n / 2]);
}

/* One task per thread: chains of multiply-adds that stay in registers; the results are
 * stored so that the compiler keeps them. */
#define PEAK(name, attributes, type, chains, set, fma, store, lanes)                      \
    attributes static void name(const void *args, int64_t begin, int64_t end, float *out) \
    {                                                                                     \
        const float *in = args;                                                           \
        type a = set(in[0]), b = set(in[1]), sum[chains];                                 \
                                                                                          \
        for (int i = 0; i < chains; i++)                                                  \
            sum[i] = set((float)i);                                                       \
        for (int64_t n = (end - begin) * PEAK_STEPS; n > 0; n--)                          \
            for (int i = 0; i < chains; i++)                                              \
                sum[i] = fma(a, sum[i], b);                                               \
        for (int i = 0; i < chains; i++)                                                  \
            store(out + i * lanes, sum[i]);                                               \
    }
#if defined(__x86_64__)
PEAK(peak_avx512, __attribute__((target("avx512f"))), __m512, 16, _mm512_set1_ps,
     _mm512_fmadd_ps, _mm512_storeu_ps, 16)
PEAK(peak_avx2, __attribute__((target("avx2,fma"))), __m256, 14, _mm256_set1_ps,
     _mm256_fmadd_ps, _mm256_storeu_ps, 8)
#endif
typedef float v4 __attribute__((vector_size(16)));
#define SET(x) ((v4){ x, x, x, x })
#define MUL_ADD(a, x, b) ((a) * (x) + (b))
#define STORE(p, x) memcpy(p, &(x), sizeof(x))
PEAK(peak_portable, , v4, 12, SET, MUL_ADD, STORE, 4)

static double
peak_gflops(const struct sea_cpu *cpu)
{
    static const float in[2] = { 0.999f, 0.001f };
    sea_cpu_fn *fn = peak_portable;
    double chains = 12.0, start, seconds;

#if defined(__x86_64__)
    if (cpu->isa->lanes == 16)
        fn = peak_avx512, chains = 16.0;
    else if (cpu->isa->lanes == 8)
        fn = peak_avx2, chains = 14.0;
#endif
    start = now();
    sea_cpu_pool_run(cpu->pool, fn, in, cpu->threads, 1);
    seconds = now() - start;
    return 2e-9 * PEAK_STEPS * chains * cpu->isa->lanes * cpu->threads / seconds;
}

static double
gemm_gflops(void *dev, const struct sea_op_gemm *op)
{
    double start, seconds = 0.0;
    int n = 0;

    start = now();
    do {
        if (sea_cpu_ops.gemm(dev, op))
            exit(1);
        n++;
        seconds = now() - start;
    } while (seconds < WINDOW);
    return 2e-9 * (double)op->M * (double)op->N * (double)op->K * n / seconds;
}

static void
prepare(void *dev, const struct shape *shape, struct sea_op_gemm *op)
{
    size_t count[3] = { (size_t)shape->M * (size_t)shape->K, (size_t)shape->N * (size_t)shape->K,
                        (size_t)shape->M * (size_t)shape->N };
    void *mem[3];

    for (int i = 0; i < 3; i++) {
        if (sea_cpu_ops.mem_alloc(dev, count[i] * sizeof(float), &mem[i])) {
            fprintf(stderr, "bench_gemm: not enough memory\n");
            exit(1);
        }
        for (size_t j = 0; j < count[i]; j++)
            ((float *)mem[i])[j] = (float)((j * 2654435761u >> 8) % 2001) * 1e-3f - 1.0f;
    }
    *op = (struct sea_op_gemm){
        .a = mem[0], .b = mem[1], .c = mem[2], .M = shape->M, .N = shape->N, .K = shape->K,
        .lda = shape->trans_a ? shape->M : shape->K, .ldb = shape->trans_b ? shape->K : shape->N,
        .ldc = shape->N, .trans_a = shape->trans_a, .trans_b = shape->trans_b, .alpha = 1.0f,
        .rounded = shape->rounded,
    };
}

static void
release(void *dev, const struct sea_op_gemm *op)
{
    sea_cpu_ops.mem_free(dev, (void *)(uintptr_t)op->a);
    sea_cpu_ops.mem_free(dev, (void *)(uintptr_t)op->b);
    sea_cpu_ops.mem_free(dev, op->c);
}

static void
print_row(const struct shape *shape, const struct result *result, int rounds, bool json,
          bool last)
{
    double gflops = median(result->gflops, rounds), share = median(result->share, rounds);
    double bytes = 4.0 * ((double)shape->M * shape->K + (double)shape->N * shape->K +
                          (double)shape->M * shape->N);
    double gbs = bytes * gflops / (2.0 * shape->M * (double)shape->N * shape->K);

    if (json)
        printf("    {\"what\": \"%s\", \"M\": %d, \"N\": %d, \"K\": %d, \"trans_a\": %d, "
               "\"trans_b\": %d, \"gflops\": %.1f, \"share\": %.4f, \"gb_per_s\": %.2f}%s\n",
               shape->what, shape->M, shape->N, shape->K, shape->trans_a, shape->trans_b, gflops,
               share, gbs, last ? "" : ",");
    else
        printf("%-16s %5d %5d %5d  %s%s %9.1f %6.1f %% %8.1f\n", shape->what, shape->M, shape->N,
               shape->K, shape->trans_a ? "A^T" : "A  ", shape->trans_b ? " B^T" : " B  ", gflops,
               100.0 * share, gbs);
}

static int
bench(int threads, int rounds, bool json, bool last)
{
    static struct result results[SHAPES];
    struct sea_op_gemm ops[SHAPES];
    double peak[ROUNDS_MAX];
    void *dev;
    int rc = sea_cpu_ops.dev_open(0, threads, &dev);

    if (rc) {
        fprintf(stderr, "bench_gemm: %s\n", sea_cpu_ops.rc_text(rc));
        return 1;
    }
    for (int i = 0; i < SHAPES; i++)
        prepare(dev, &shapes[i], &ops[i]);
    for (int round = -1; round < rounds; round++)       /* the first warms up */
        for (int i = 0; i < SHAPES; i++) {
            double before = peak_gflops(dev), gflops = gemm_gflops(dev, &ops[i]);
            double after = peak_gflops(dev), best = before > after ? before : after;

            if (round < 0)
                continue;
            results[i].gflops[round] = gflops;
            results[i].share[round] = gflops / best;
            peak[round] = i && peak[round] > best ? peak[round] : best;
        }
    if (json)
        printf("  {\"device\": \"%s\", \"threads\": %d, \"rounds\": %d, \"peak_gflops\": %.1f, "
               "\"shapes\": [\n", sea_cpu_ops.dev_text(dev), threads, rounds,
               median(peak, rounds));
    else
        printf("%s\nFP32 multiply-add peak %.1f GFLOP/s, %d rounds\n%-16s %5s %5s %5s  %7s %9s "
               "%8s %8s\n", sea_cpu_ops.dev_text(dev), median(peak, rounds), rounds, "what", "M",
               "N", "K", "layout", "GFLOP/s", "of peak", "GB/s");
    for (int i = 0; i < SHAPES; i++) {
        print_row(&shapes[i], &results[i], rounds, json, i + 1 == SHAPES);
        release(dev, &ops[i]);
    }
    if (json)
        printf("  ]}%s\n", last ? "" : ",");
    else
        printf("\n");
    sea_cpu_ops.dev_close(dev);
    return 0;
}

int
main(int argc, char **argv)
{
    int rounds = 7, threads = 0, failed;
    bool json = false;
    void *dev;

    for (int i = 1; i < argc; i++) {
        if (!strcmp(argv[i], "--json")) {
            json = true;
        } else if (!strcmp(argv[i], "--rounds") && i + 1 < argc) {
            rounds = (int)strtol(argv[++i], NULL, 10);
        } else if (!strcmp(argv[i], "--threads") && i + 1 < argc) {
            threads = (int)strtol(argv[++i], NULL, 10);
        } else {
            fprintf(stderr, "usage: bench_gemm [--json] [--rounds N] [--threads N]\n");
            return 64;
        }
    }
    if (rounds < 1 || rounds > ROUNDS_MAX || threads < 0) {
        fprintf(stderr, "bench_gemm: rounds must be 1 to %d, threads 0 (all) or more\n",
                ROUNDS_MAX);
        return 64;
    }
    if (sea_cpu_ops.dev_open(0, threads, &dev))
        return 1;
    threads = ((const struct sea_cpu *)dev)->threads;
    sea_cpu_ops.dev_close(dev);
    if (json)
        printf("[\n");
    failed = bench(1, rounds, json, threads == 1);
    if (!failed && threads > 1)
        failed = bench(threads, rounds, json, true);
    if (json)
        printf("]\n");
    return failed;
}
