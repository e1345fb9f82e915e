/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Products with few rows, as decoding has them, as a share of what memory can deliver.
 *
 * The weights of a layer stack are much larger than the last cache, so each step reads them
 * from memory once. The limit is the device's own read loop over the same bytes; it and the
 * products take turns, and a share is the median over rounds of product / limit of the same
 * round. With many rows the multiply-adds become the limit: the share is of the time that
 * the slower of the two needs at best.
 *
 * usage: bench_decode [--json] [--rounds N] [--threads N]
 */
#include "tests/bench/bench.h"

#define BYTES ((size_t)384 << 20)       /* some 12 times the last cache of a small server */

struct shape {
    int N, K;
    const char *what;
};
static const struct shape shapes[] = {
    { 896, 896, "attention out" },      { 9728, 896, "gate and up" },
    { 896, 4864, "down" },              { 100000, 896, "vocabulary" },
};
static const int rows_of[] = { 1, 2, 4, 8, 16 };
enum {
    SHAPES = sizeof(shapes) / sizeof(shapes[0]),
    ROWS = sizeof(rows_of) / sizeof(rows_of[0]),
    RESULTS = 2 * SHAPES * ROWS,
};

struct result {
    double rate[BENCH_ROUNDS_MAX], share[BENCH_ROUNDS_MAX];
};
struct buffers {
    void *weights;              // (BYTES)
    float *a, *c;
};

/* One step through as many layers as the weights hold: seconds, and the bytes it read. */
static double
step(void *dev, const struct buffers *at, const struct shape *shape, enum sea_store type, int M,
     double *bytes)
{
    size_t size = type == SEA_STORE_BF16 ? 2 : 4;
    size_t layer = (size_t)shape->N * (size_t)shape->K * size, layers = BYTES / layer;
    struct sea_op_gemm op = { .a = at->a, .b_type = type, .c = at->c, .M = M, .N = shape->N,
                              .K = shape->K, .lda = shape->K, .ldb = shape->K, .ldc = shape->N,
                              .trans_b = 1, .alpha = 1.0f };
    double start = bench_now();

    for (size_t i = 0; i < layers; i++) {
        op.b = (const char *)at->weights + i * layer;
        bench_must(sea_cpu_ops.gemm(dev, &op));
    }
    *bytes = (double)(layers * layer);
    return bench_now() - start;
}

static void
measure(void *dev, const struct buffers *at, int i, struct result *result, int round,
        double *limit)
{
    const struct shape *shape = &shapes[i / (2 * ROWS)];
    enum sea_store type = i / ROWS % 2 ? SEA_STORE_BF16 : SEA_STORE_F32;
    struct sea_op_limits best[2] = { { .mem = at->weights, .bytes = BYTES } };
    double bytes, seconds, flops, least;
    int M = rows_of[i % ROWS];

    best[1] = best[0];
    bench_must(sea_cpu_ops.limits(dev, &best[0]));
    seconds = step(dev, at, shape, type, M, &bytes);
    bench_must(sea_cpu_ops.limits(dev, &best[1]));
    for (int j = 0; j < 2; j++) {
        limit[0] = best[j].read_rate > limit[0] ? best[j].read_rate : limit[0];
        best[0].flops = best[j].flops > best[0].flops ? best[j].flops : best[0].flops;
        best[0].read_rate = best[j].read_rate > best[0].read_rate ? best[j].read_rate
                                                                  : best[0].read_rate;
    }
    flops = bytes / (type == SEA_STORE_BF16 ? 2.0 : 4.0) * 2.0 * M;
    least = bytes / best[0].read_rate;
    least = flops / best[0].flops > least ? flops / best[0].flops : least;
    if (round >= 0) {
        result->rate[round] = bytes / seconds;
        result->share[round] = least / seconds;
    }
}

static void
bench(void *dev, const struct bench_args *args, bool last)
{
    static struct result results[RESULTS];
    double limits[BENCH_ROUNDS_MAX] = { 0 };
    struct buffers at = { .weights = bench_floats(dev, BYTES / sizeof(float)),
                          .a = bench_floats(dev, 16 * 4864),
                          .c = bench_floats(dev, 16 * 100000) };

    for (int round = -1; round < args->rounds; round++)         /* the first warms up */
        for (int i = 0; i < RESULTS; i++)
            measure(dev, &at, i, &results[i], round, &limits[round < 0 ? 0 : round]);
    if (args->json)
        printf("  {\"device\": \"%s\", \"rounds\": %d, \"read_gb_per_s\": %.1f, \"products\": [\n",
               sea_cpu_ops.dev_text(dev), args->rounds, 1e-9 * bench_median(limits, args->rounds));
    else
        printf("%s\nreads %.1f GB/s, %d rounds, %zu MiB of weights\n"
               "%-14s %6s %5s %5s %3s %8s %8s\n",
               sea_cpu_ops.dev_text(dev), 1e-9 * bench_median(limits, args->rounds), args->rounds,
               BYTES >> 20, "what", "N", "K", "type", "M", "GB/s", "of limit");
    for (int i = 0; i < RESULTS; i++) {
        const struct shape *shape = &shapes[i / (2 * ROWS)];
        const char *type = i / ROWS % 2 ? "bf16" : "f32";
        double rate = 1e-9 * bench_median(results[i].rate, args->rounds);
        double share = bench_median(results[i].share, args->rounds);

        if (args->json)
            printf("    {\"what\": \"%s\", \"M\": %d, \"N\": %d, \"K\": %d, \"type\": \"%s\", "
                   "\"gb_per_s\": %.2f, \"share\": %.4f}%s\n", shape->what, rows_of[i % ROWS],
                   shape->N, shape->K, type, rate, share, i + 1 < RESULTS ? "," : "");
        else
            printf("%-14s %6d %5d %5s %3d %8.1f %6.1f %%\n", shape->what, shape->N, shape->K, type,
                   rows_of[i % ROWS], rate, 100.0 * share);
    }
    printf(args->json ? "  ]}%s\n" : "%s\n", last ? "" : args->json ? "," : "");
    sea_cpu_ops.mem_free(dev, at.weights);
    sea_cpu_ops.mem_free(dev, at.a);
    sea_cpu_ops.mem_free(dev, at.c);
}

int
main(int argc, char **argv)
{
    struct bench_args args = bench_args("bench_decode", argc, argv, 5);

    return bench_each(&args, bench);
}
