/* SPDX-License-Identifier: Apache-2.0 */
/* gpu_trace.c - an operator table that waits for each call and notes what it took */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "tests/bench/gpu.h"

#define SHAPES 512
#define SHAPES_TOLD 16

/* Operators by name. */
#define OPS(X) X(gemm) X(gather) X(scatter) X(layernorm) X(layernorm_bwd) X(rmsnorm)       \
    X(rmsnorm_bwd) X(act) X(act_bwd) X(rope) X(attention) X(attention_bwd) X(xent)         \
    X(softcap) X(colscale) X(colscale_bwd) X(cast) X(l2norm) X(l2norm_bwd) X(contrast)     \
    X(topk) X(adamw) X(axpby) X(colsum) X(sum) X(clip) X(patchify)
#define X(name) OP_##name,
enum { OPS(X) OP_copy, OP_copy_in, OP_copy_out, OP_zero, OP_COUNT };
#undef X
#define X(name) #name,
static const char *const names[OP_COUNT] = { OPS(X) "copy", "copy_in", "copy_out", "mem_zero" };
#undef X

struct cost {
    double flops, bytes;
};
struct sums {
    int64_t calls;
    double seconds, flops, bytes;
};
struct shape {
    int64_t M, N, K;
    int trans_a, trans_b, half;
    struct sums sums;
};

static struct {
    const struct sea_ops *real;
    struct sea_ops table;
    struct sums ops[OP_COUNT];
    struct shape shapes[SHAPES];
    int shapes_count;
} trace;

/* ---- what an operator asks for at least ---- */

static double
size_of(enum sea_store store)
{
    return store == SEA_STORE_BF16 ? 2.0 : 4.0;
}

static struct cost
cost_gemm(const struct sea_op_gemm *a)
{
    double m = (double)a->M, n = (double)a->N, k = (double)a->K;

    return (struct cost){ 2.0 * m * n * k, 4.0 * m * k + size_of(a->b_type) * n * k +
                          4.0 * m * n * (a->accumulate ? 2.0 : 1.0) };
}

static double
pairs_of(const struct sea_op_attention *a)
{
    double pairs = 0;

    for (int64_t s = 0; s < a->S; s++) {
        double q = (double)(a->q_start[s + 1] - a->q_start[s]), k = (double)a->k_len[s];

        pairs += a->causal ? q * k - 0.5 * q * (q - 1.0) : q * k;
    }
    return pairs;
}

static struct cost
cost_attention(const struct sea_op_attention *a)
{
    double rows = (double)a->q_start[a->S], keys = 0, HE = (double)(a->H * a->E);

    for (int64_t s = 0; s < a->S; s++)
        keys += (double)a->k_len[s];
    return (struct cost){ 4.0 * pairs_of(a) * HE,
                          8.0 * rows * HE +
                          2.0 * size_of(a->kv_type) * keys * (double)(a->K * a->E) };
}

static struct cost
cost_attention_bwd(const struct sea_op_attention_bwd *a)
{
    struct cost one = cost_attention(&a->fwd);

    return (struct cost){ 2.5 * one.flops, 2.0 * one.bytes };
}

/* Float32 numbers that an operator reads and writes at least once. */
#define NUMBERS(name, n)                                                                   \
    static struct cost                                                                     \
    cost_##name(const struct sea_op_##name *a)                                             \
    {                                                                                      \
        (void)a;                                                                           \
        return (struct cost){ 0, 4.0 * (double)(n) };                                      \
    }
NUMBERS(gather, 2 * a->R * a->C)
NUMBERS(layernorm, 2 * a->R * a->C)
NUMBERS(rmsnorm, 2 * a->R * a->C)
NUMBERS(layernorm_bwd, (a->add_dx ? 4 : 3) * a->R * a->C)
NUMBERS(rmsnorm_bwd, (a->add_dx ? 4 : 3) * a->R * a->C)
NUMBERS(act, (a->gated ? 3 : 2) * a->R * a->C)
NUMBERS(act_bwd, (a->gated ? 5 : 3) * a->R * a->C)
NUMBERS(rope, 2 * a->N * a->heads * a->rot)
NUMBERS(xent, (a->grad ? 2 : 1) * a->R * a->V)
NUMBERS(softcap, 2 * a->R * a->C)
NUMBERS(colscale, (a->base ? 3 : 2) * a->R * a->C)
NUMBERS(colscale_bwd, 3 * a->R * a->C)
NUMBERS(l2norm, 2 * a->R * a->C)
NUMBERS(l2norm_bwd, 3 * a->R * a->C)
NUMBERS(contrast, 2 * a->R * a->R)
NUMBERS(topk, a->R * a->C)
NUMBERS(adamw, 7 * a->n)
NUMBERS(axpby, (a->y ? 3 : 2) * a->n)
NUMBERS(colsum, a->R * a->C)
NUMBERS(sum, a->n)
NUMBERS(clip, 4)
NUMBERS(patchify, 2 * a->B * a->channels * a->height * a->width)
#undef NUMBERS

static struct cost
cost_scatter(const struct sea_op_scatter *a)
{
    return (struct cost){ 0, (4.0 + size_of(a->out_type)) * (double)(a->R * a->C) };
}

static struct cost
cost_cast(const struct sea_op_cast *a)
{
    return (struct cost){ 0, (size_of(a->inp_type) + size_of(a->out_type)) * (double)a->n };
}

/* ---- the table ---- */

static double
begin(void *dev)
{
    (void)trace.real->wait(dev);
    return sea_clock_seconds();
}

static void
add(struct sums *to, double seconds, struct cost cost)
{
    to->calls++;
    to->seconds += seconds;
    to->flops += cost.flops;
    to->bytes += cost.bytes;
}

static void
note_shape(const struct sea_op_gemm *a, double seconds)
{
    int half = a->b_type == SEA_STORE_BF16, i;

    for (i = 0; i < trace.shapes_count; i++) {
        const struct shape *s = &trace.shapes[i];

        if (s->M == a->M && s->N == a->N && s->K == a->K && s->half == half &&
            s->trans_a == a->trans_a && s->trans_b == a->trans_b)
            break;
    }
    if (i == SHAPES)
        return;
    if (i == trace.shapes_count)
        trace.shapes[trace.shapes_count++] = (struct shape){
            .M = a->M, .N = a->N, .K = a->K, .trans_a = a->trans_a, .trans_b = a->trans_b,
            .half = half };
    add(&trace.shapes[i].sums, seconds, cost_gemm(a));
}

#define X(name)                                                                            \
    static int                                                                             \
    traced_##name(void *dev, const struct sea_op_##name *a)                                \
    {                                                                                      \
        double start = begin(dev), seconds;                                                \
        int rc = trace.real->name(dev, a);                                                 \
                                                                                           \
        seconds = begin(dev) - start;                                                      \
        add(&trace.ops[OP_##name], seconds, cost_##name(a));                               \
        if (OP_##name == OP_gemm)                                                          \
            note_shape((const void *)a, seconds);                                          \
        return rc;                                                                         \
    }
OPS(X)
#undef X

static int
add_move(int op, void *dev, double start, double bytes, int rc)
{
    add(&trace.ops[op], begin(dev) - start, (struct cost){ 0, bytes });
    return rc;
}

static int
traced_copy(void *dev, void *to, const void *from, size_t n)
{
    double start = begin(dev);

    return add_move(OP_copy, dev, start, 2.0 * (double)n, trace.real->copy(dev, to, from, n));
}

static int
traced_copy_in(void *dev, void *to, const void *from, size_t n)
{
    double start = begin(dev);

    return add_move(OP_copy_in, dev, start, (double)n, trace.real->copy_in(dev, to, from, n));
}

static int
traced_copy_out(void *dev, void *to, const void *from, size_t n)
{
    double start = begin(dev);

    return add_move(OP_copy_out, dev, start, (double)n, trace.real->copy_out(dev, to, from, n));
}

static int
traced_zero(void *dev, void *mem, size_t n)
{
    double start = begin(dev);

    return add_move(OP_zero, dev, start, (double)n, trace.real->mem_zero(dev, mem, n));
}

void
gpu_trace_start(struct sea_device *device)
{
    memset(&trace, 0, sizeof(trace));
    trace.real = device->ops;
    trace.table = *device->ops;
#define X(name) trace.table.name = traced_##name;
    OPS(X)
#undef X
    trace.table.copy = traced_copy;
    trace.table.copy_in = traced_copy_in;
    trace.table.copy_out = traced_copy_out;
    trace.table.mem_zero = traced_zero;
    trace.table.graph_begin = NULL;     /* operators one by one */
    device->ops = &trace.table;
}

void
gpu_trace_stop(struct sea_device *device)
{
    if (device->ops == &trace.table)
        device->ops = trace.real;
}

/* ---- the report ---- */

static int
by_seconds(const void *a, const void *b)
{
    double x = ((const struct shape *)a)->sums.seconds, y = ((const struct shape *)b)->sums.seconds;

    return (x < y) - (x > y);
}

/* Never faster than the arithmetic, nor than memory. */
static double
bound_of(const struct gpu_job *job, const struct sums *sums)
{
    double bound = 0;

    if (job->limits.gemm > 0)
        bound = sums->flops / job->limits.gemm;
    if (job->limits.bandwidth > 0)
        bound = fmax(bound, sums->bytes / job->limits.bandwidth);
    return bound;
}

double
gpu_trace_report(const struct gpu_job *job, struct sea_node *out, double *seconds)
{
    struct sea_node *parts = sea_node_put(job->arena, out, "parts", SEA_NODE_LIST), *node;
    struct sea_node *products = sea_node_put(job->arena, out, "products", SEA_NODE_LIST);
    double total = 0;
    char text[64];

    *seconds = 0;
    for (int i = 0; i < OP_COUNT; i++) {
        const struct sums *sums = &trace.ops[i];
        bool host = i == OP_copy_in || i == OP_copy_out;

        if (!sums->calls)
            continue;
        node = sea_node_put(job->arena, parts, NULL, SEA_NODE_MAP);
        sea_node_put_text(job->arena, node, "op", names[i]);
        sea_node_put_int(job->arena, node, "calls", sums->calls);
        sea_node_put_real(job->arena, node, "seconds", sums->seconds);
        sea_node_put_real(job->arena, node, "predicted", host ? 0.0 : bound_of(job, sums));
        sea_node_put_real(job->arena, node, "gflop", 1e-9 * sums->flops);
        sea_node_put_real(job->arena, node, "gbyte", 1e-9 * sums->bytes);
        *seconds += sums->seconds;
        total += host ? 0.0 : bound_of(job, sums);
    }
    qsort(trace.shapes, (size_t)trace.shapes_count, sizeof(trace.shapes[0]), by_seconds);
    for (int i = 0; i < trace.shapes_count && i < SHAPES_TOLD; i++) {
        const struct shape *s = &trace.shapes[i];

        node = sea_node_put(job->arena, products, NULL, SEA_NODE_MAP);
        snprintf(text, sizeof(text), "%s%s %lld x %lld x %lld %s", s->trans_a ? "T" : "N",
                 s->trans_b ? "T" : "N", (long long)s->M, (long long)s->N, (long long)s->K,
                 s->half ? "bf16" : "f32");
        sea_node_put_text(job->arena, node, "shape", text);
        sea_node_put_int(job->arena, node, "calls", s->sums.calls);
        sea_node_put_real(job->arena, node, "seconds", s->sums.seconds);
        sea_node_put_real(job->arena, node, "tflops", 1e-12 * s->sums.flops / s->sums.seconds);
    }
    return total;
}
