/* SPDX-License-Identifier: Apache-2.0 */
/* gpu_limits.c - what the card does at best: products, memory, copies; measured first */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_rng.h"
#include "tests/bench/gpu.h"

struct pieces {
    struct gpu_job *job;
    float *a, *b, *c;           // (room) floats each, filled with random numbers
    uint16_t *half;             // (room) b in bfloat16: bits of float32 would hold NaN
    int64_t room;
};

static double
wait_clock(const struct gpu_job *job)
{
    (void)job->dev.ops->wait(job->dev.dev);
    return sea_clock_seconds();
}

/* Seconds of a call: the best of five rounds, each of about 20 ms. A limit is a best. */
#define BEST(job, seconds, status, call)                                             \
    do {                                                                              \
        (status) = (call);                                                            \
        double best_ = 1e9;                                                           \
        for (int round_ = 0; round_ < 5 && !(status); round_++) {                     \
            double start_ = wait_clock(job), now_ = start_;                           \
            int n_ = 0;                                                               \
            while (!(status) && now_ - start_ < 0.02) {                               \
                for (int i_ = 0; i_ < 4 && !(status); i_++, n_++)                     \
                    (status) = (call);                                                \
                now_ = wait_clock(job);                                               \
            }                                                                         \
            best_ = (now_ - start_) / n_ < best_ ? (now_ - start_) / n_ : best_;      \
        }                                                                             \
        (seconds) = best_;                                                            \
    } while (0)

/* Random numbers everywhere: equal ones draw less power and flatter the card. */
static enum sea_status
open_pieces(struct pieces *p, struct sea_err *err)
{
    const struct sea_device *dev = &p->job->dev;
    int64_t n = 1 << 20;
    float *host = sea_xcalloc((size_t)n, sizeof(*host)), **const all[] = { &p->a, &p->b, &p->c };
    enum sea_status status = SEA_OK;
    struct sea_rng rng;
    void *mem;

    sea_rng_init(&rng, 1, 9);
    for (int64_t i = 0; i < n; i++)
        host[i] = (float)sea_rng_normal(&rng);
    for (int i = 0; i < 3 && !status; i++) {
        status = sea_device_alloc(dev, (size_t)p->room * sizeof(float), &mem, err);
        if (status)
            break;
        *all[i] = mem;
        for (int64_t at = 0; at < p->room && !status; at += n) {
            int64_t some = p->room - at < n ? p->room - at : n;

            status = sea_device_put(dev, *all[i] + at, host, (size_t)some * sizeof(float), err);
        }
    }
    free(host);
    if (!status)
        status = sea_device_alloc(dev, (size_t)p->room * sizeof(uint16_t), &mem, err);
    if (!status) {
        const struct sea_op_cast cast = { .inp = p->b, .out = mem, .n = p->room,
                                          .inp_type = SEA_STORE_F32,
                                          .out_type = SEA_STORE_BF16 };

        p->half = mem;
        status = sea_run(dev, err, cast, &cast);
    }
    return status;
}

/* As training does it (bf16: any algorithm), as answers are computed (one for all numbers of
 * rows), or in float32. */
enum kind { TRAINED, ANSWERED, EXACT };

static enum sea_status
measure_product(struct pieces *p, struct sea_node *list, int64_t M, int64_t N, int64_t K,
                enum kind kind, double *best, struct sea_err *err)
{
    static const char *const words[] = { "bf16", "bf16, one algorithm for all rows", "f32" };
    const struct sea_op_gemm gemm = {
        .a = p->a, .lda = K, .b = kind == EXACT ? (const void *)p->b : (const void *)p->half,
        .b_type = kind == EXACT ? SEA_STORE_F32 : SEA_STORE_BF16, .ldb = K, .trans_b = 1,
        .c = p->c, .ldc = N, .M = M, .N = N, .K = K, .alpha = 1.0f, .rounded = kind == TRAINED };
    double seconds, rate, flops = 2.0 * (double)M * (double)N * (double)K;
    enum sea_status status;
    struct sea_node *node;
    char what[120];

    if (M * K > p->room || N * K > p->room || M * N > p->room)
        return SEA_OK;
    BEST(p->job, seconds, status, sea_run(&p->job->dev, err, gemm, &gemm));
    if (status)
        return status;
    rate = flops / seconds;
    if (rate > *best)
        *best = rate;
    snprintf(what, sizeof(what), "%lld x %lld x %lld %s", (long long)M, (long long)N,
             (long long)K, words[kind]);
    node = sea_node_put(p->job->arena, list, NULL, SEA_NODE_MAP);
    sea_node_put_text(p->job->arena, node, "shape", what);
    sea_node_put_real(p->job->arena, node, "tflops", 1e-12 * rate);
    return SEA_OK;
}

static enum sea_status
measure_products(struct pieces *p, double *gemm, double *exact, struct sea_err *err)
{
    static const int64_t large[][3] = {
        { 8192, 8192, 8192 }, { 6144, 17920, 2816 }, { 16384, 4096, 4096 },
        { 16384, 22016, 4096 }, { 16384, 4096, 11008 }, { 4096, 4096, 4096 } };
    static const int64_t small[][3] = { { 128, 128, 128 } };
    bool tiny = p->room < 1 << 22;
    size_t count = tiny ? 1 : sizeof(large) / sizeof(large[0]);
    struct sea_node *list = sea_node_put(p->job->arena, p->job->out, "products", SEA_NODE_LIST);
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < count && !status; i++) {
        const int64_t *s = tiny ? small[i] : large[i];

        status = measure_product(p, list, s[0], s[1], s[2], TRAINED, gemm, err);
        if (!status && (i == 0 || i == 3))
            status = measure_product(p, list, s[0], s[1], s[2], ANSWERED, gemm, err);
        if (!status && !i)
            status = measure_product(p, list, s[0] / 2, s[1] / 2, s[2] / 2, EXACT, exact, err);
    }
    return status;
}

/* ---- few rows: our own kernel beside the library's ---- */

#define FEW_CALLS 16            /* launched together, as in a step of decoding */

/* Each call reads other weights, so that none lie in a cache. */
static enum sea_status
few_calls(const struct pieces *p, const struct sea_device *dev, int64_t M, int64_t N, int64_t K,
          struct sea_err *err)
{
    struct sea_op_gemm gemm = {
        .a = p->a, .lda = K, .b_type = SEA_STORE_BF16, .ldb = K, .trans_b = 1, .c = p->c,
        .ldc = N, .M = M, .N = N, .K = K, .alpha = 1.0f, .few = 1 };
    enum sea_status status = SEA_OK;

    for (int i = 0; i < FEW_CALLS && !status; i++) {
        gemm.b = p->half + i % (p->room / (N * K)) * N * K;
        status = sea_run(dev, err, gemm, &gemm);
    }
    return status;
}

/* Bytes of weights a second, of calls that the device keeps as a graph where it can: the host's
 * launches are no part of it. */
static enum sea_status
few_rate(const struct pieces *p, const struct sea_device *dev, int64_t M, int64_t N, int64_t K,
         double *rate, struct sea_err *err)
{
    enum sea_status status = few_calls(p, dev, M, N, K, err);
    struct sea_err ignored = { 0 };
    double best = 1e9;
    void *graph = NULL;
    bool failed;

    if (!status && dev->ops->graph_begin && !dev->ops->graph_begin(dev->dev)) {
        failed = few_calls(p, dev, M, N, K, &ignored) != SEA_OK;
        if (dev->ops->graph_end(dev->dev, &graph) || failed) {
            dev->ops->graph_free(dev->dev, graph);
            graph = NULL;
        }
    }
    for (int round = 0; round < 5 && !status; round++) {        /* the first one warms up */
        double start, seconds = 0;
        int calls = 0;

        (void)dev->ops->wait(dev->dev);
        start = sea_clock_seconds();
        for (; !status && seconds < 0.003; calls += 4 * FEW_CALLS) {
            for (int i = 0; i < 4 && !status; i++)
                status = graph ? sea_device_status(dev, dev->ops->graph_launch(dev->dev, graph),
                                                   "graph_launch", err)
                               : few_calls(p, dev, M, N, K, err);
            if (!status)
                status = sea_device_status(dev, dev->ops->wait(dev->dev), "wait", err);
            seconds = sea_clock_seconds() - start;
        }
        if (round && seconds / calls < best)
            best = seconds / calls;
    }
    if (graph)
        dev->ops->graph_free(dev->dev, graph);
    *rate = 2.0 * (double)(N * K) / best;
    return status;
}

/* The same card once more, with the library's products of few rows; none: there is no library. */
static void
open_library(const struct gpu_job *job, struct sea_device *dev)
{
    struct sea_err ignored = { 0 };

    setenv("SEA_CUDA_FEW", "library", 1);
    if (!sea_device_open(dev, job->device, &ignored) &&
        !strstr(sea_device_text(dev), "of few rows by it"))
        sea_device_close(dev);
    unsetenv("SEA_CUDA_FEW");
}

static enum sea_status
measure_few(struct pieces *p, struct sea_err *err)
{
    static const int64_t shapes[][2] = {        /* of 7b, of 2b, of the smallest */
        { 12288, 4096 }, { 4096, 4096 }, { 22016, 4096 }, { 4096, 11008 }, { 32000, 4096 },
        { 2560, 2048 }, { 32768, 2048 }, { 2048, 16384 }, { 128, 128 } };
    static const int64_t rows[] = { 1, 4, 8, 16, 64 };
    struct sea_arena *arena = p->job->arena;
    struct sea_node *list = sea_node_put(arena, p->job->out, "few_rows", SEA_NODE_LIST), *node;
    struct sea_device library = { 0 };
    double own, other, own_logs = 0, other_logs = 0;
    enum sea_status status = SEA_OK;
    bool tiny = p->room < 1 << 22;
    char shape[64];
    int count = 0;

    open_library(p->job, &library);
    for (int s = tiny ? 8 : 0; s < (tiny ? 9 : 8) && !status; s++)
        for (int r = 0; r < 5 && !status; r++) {
            int64_t N = shapes[s][0], K = shapes[s][1];

            status = few_rate(p, &p->job->dev, rows[r], N, K, &own, err);
            if (!status && library.ops)
                status = few_rate(p, &library, rows[r], N, K, &other, err);
            if (status)
                break;
            snprintf(shape, sizeof(shape), "%lld x %lld", (long long)N, (long long)K);
            node = sea_node_put(arena, list, NULL, SEA_NODE_MAP);
            sea_node_put_text(arena, node, "shape", shape);
            sea_node_put_int(arena, node, "rows", rows[r]);
            sea_node_put_real(arena, node, "own", own);
            own_logs += log(own);
            count++;
            if (!library.ops)
                continue;
            sea_node_put_real(arena, node, "library", other);
            other_logs += log(other);
        }
    if (library.ops)
        sea_device_close(&library);
    if (!status && count) {
        sea_node_put_real(arena, p->job->out, "few_own", exp(own_logs / count));
        sea_node_put_real(arena, p->job->out, "few_library",
                          other_logs > 0 ? exp(other_logs / count) : 0.0);
    }
    return status;
}

static enum sea_status
measure_memory(struct pieces *p, double *bandwidth, double *in, double *out,
               struct sea_err *err)
{
    const struct sea_device *dev = &p->job->dev;
    const struct sea_op_axpby triad = { .x = p->a, .y = p->b, .out = p->c, .n = p->room,
                                        .a = 0.5f, .b = 0.5f };
    int64_t n = p->room < 1 << 26 ? p->room : 1 << 26;
    size_t bytes = (size_t)n * sizeof(float);
    float *host = sea_xcalloc((size_t)n, sizeof(*host));
    enum sea_status status;
    double seconds;

    BEST(p->job, seconds, status, sea_run(dev, err, axpby, &triad));
    *bandwidth = 12.0 * (double)p->room / seconds;
    if (!status)
        BEST(p->job, seconds, status, sea_device_put(dev, p->a, host, bytes, err));
    *in = (double)bytes / seconds;
    if (!status)
        BEST(p->job, seconds, status, sea_device_get(dev, host, p->a, bytes, err));
    *out = (double)bytes / seconds;
    free(host);
    return status;
}

/* The whole of a chip of its family: dense bfloat16 products by the data sheet. */
static double
spec_of(const char *card)
{
    if (strstr(card, "H100 PCIe"))
        return 756e12;
    if (strstr(card, "H100 NVL"))
        return 835e12;
    if (strstr(card, "H100") || strstr(card, "H200"))
        return 989.4e12;
    if (strstr(card, "A100"))
        return 312e12;
    return 0;
}

enum sea_status
gpu_job_limits(struct gpu_job *job, struct sea_err *err)
{
    struct pieces p = { .job = job, .room = (int64_t)16384 * 22016 };
    struct sea_op_limits limits = { 0 };
    double gemm = 0, exact = 0, bandwidth = 0, in = 0, out = 0;
    enum sea_status status;

    if (job->model[0] == 't')
        p.room = 1 << 16;
    status = open_pieces(&p, err);
    if (!status)
        status = measure_products(&p, &gemm, &exact, err);
    if (!status)
        status = measure_few(&p, err);
    if (!status)
        status = measure_memory(&p, &bandwidth, &in, &out, err);
    limits.mem = p.b;
    limits.bytes = (size_t)p.room * sizeof(float);
    if (!status && job->dev.ops->limits)
        status = sea_run(&job->dev, err, limits, &limits);
    if (!status) {
        sea_node_put_real(job->arena, job->out, "gemm_flops", gemm);
        sea_node_put_real(job->arena, job->out, "gemm_f32_flops", exact);
        sea_node_put_real(job->arena, job->out, "bandwidth", bandwidth);
        sea_node_put_real(job->arena, job->out, "read_rate", limits.read_rate);
        sea_node_put_real(job->arena, job->out, "f32_flops", limits.flops);
        sea_node_put_real(job->arena, job->out, "copy_in", in);
        sea_node_put_real(job->arena, job->out, "copy_out", out);
        sea_node_put_real(job->arena, job->out, "spec_flops",
                          spec_of(sea_device_text(&job->dev)));
    }
    sea_device_free(&job->dev, p.a);
    sea_device_free(&job->dev, p.b);
    sea_device_free(&job->dev, p.c);
    sea_device_free(&job->dev, p.half);
    return status;
}
