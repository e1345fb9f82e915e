/* SPDX-License-Identifier: Apache-2.0 */
/* speed_ops.c - operators by themselves: matrix products and attention */
#include <math.h>
#include <stdlib.h>

#include "engine/base/sea_rng.h"
#include "engine/sea_plan.h"
#include "pipeline/speed_int.h"

/* Device memory of n numbers in (-1, 1). For bfloat16, two of them lie in each: the bits of
 * such floats are finite as bfloat16, too. */
static enum sea_status
numbers(const struct sea_device *device, int64_t n, uint64_t stream, float **out,
        struct sea_err *err)
{
    float *host = sea_xcalloc((size_t)n, sizeof(*host));
    enum sea_status status;
    struct sea_rng rng;
    void *mem = NULL;
    int64_t i;

    sea_rng_init(&rng, 1, stream);
    for (i = 0; i < n; i++)
        host[i] = (float)((double)sea_rng_u32(&rng) / 2147483648.0 - 1.0);
    status = sea_device_alloc(device, (size_t)n * sizeof(*host), &mem, err);
    if (!status)
        status = sea_device_put(device, mem, host, (size_t)n * sizeof(*host), err);
    free(host);
    *out = mem;
    return status;
}

/* ---- gemm ---- */

struct gemm_shape {
    const char *what;
    int64_t M, N, K;
    int trans_a, trans_b;
    enum sea_store type;
};

struct gemm_step {
    const struct sea_device *device;
    struct sea_op_gemm op;
    int64_t layers, layer;      /* products of a step; bytes from one's weights to the next */
};

static enum sea_status
multiply(void *args, struct sea_err *err)
{
    const struct gemm_step *step = args;
    struct sea_op_gemm op = step->op;
    enum sea_status status = SEA_OK;
    int64_t i;

    for (i = 0; i < step->layers && !status; i++) {
        op.b = (const char *)step->op.b + i * step->layer;
        status = sea_run(step->device, err, gemm, &op);
    }
    if (!status)
        status = sea_device_status(step->device, step->device->ops->wait(step->device->dev),
                                   "wait", err);
    return status;
}

/* Few rows read their weights from memory: a step goes through as many different ones as do
 * not fit into a cache. */
static enum sea_status
gemm_row(struct sea_speed_run *run, const struct gemm_shape *shape, struct sea_err *err)
{
    const int64_t weights = (int64_t)32 << 20;          /* floats */
    int64_t M = shape->M, N = shape->N, K = shape->K;
    int64_t size = shape->type == SEA_STORE_BF16 ? 2 : 4;
    bool few = M <= 16;
    struct gemm_step step = { .device = &run->device, .layer = few ? N * K * size : 0,
                              .layers = few ? weights * 4 / (N * K * size) : 1 };
    float *a = NULL, *b = NULL, *c = NULL;
    char what[64];
    struct sea_speed_row row = { .what = what, .unit = few ? "GB" : "GFLOP" };
    enum sea_status status = numbers(&run->device, M * K, 1, &a, err);

    if (!status)
        status = numbers(&run->device, few ? weights : N * K, 2, &b, err);
    if (!status)
        status = numbers(&run->device, M * N, 3, &c, err);
    step.op = (struct sea_op_gemm){ .a = a, .b = b, .b_type = shape->type, .c = c, .M = M,
                                    .N = N, .K = K, .lda = shape->trans_a ? M : K,
                                    .ldb = shape->trans_b ? K : N, .ldc = N,
                                    .trans_a = shape->trans_a, .trans_b = shape->trans_b,
                                    .alpha = 1.0f };
    snprintf(what, sizeof(what), "%s %d x %d x %d", shape->what, (int)M, (int)N, (int)K);
    row.flops = 2.0 * (double)M * (double)N * (double)K * (double)step.layers;
    row.bytes = few ? (double)(N * K * size * step.layers) : 0.0;
    row.amount = 1e-9 * (few ? row.bytes : row.flops);
    if (!status)
        status = sea_speed_row(run, &row, multiply, &step, err);
    sea_device_free(&run->device, a);
    sea_device_free(&run->device, b);
    sea_device_free(&run->device, c);
    return status;
}

enum sea_status
sea_speed_gemm(struct sea_speed_run *run, struct sea_err *err)
{
    static const struct gemm_shape shapes[] = {
        { "x W^T", 1024, 1024, 1024, 0, 1, SEA_STORE_F32 },
        { "x W^T bf16", 1024, 1024, 1024, 0, 1, SEA_STORE_BF16 },
        { "x W^T", 2048, 384, 128, 0, 1, SEA_STORE_F32 },
        { "dy W", 2048, 896, 1152, 0, 0, SEA_STORE_F32 },
        { "dy^T x", 896, 1152, 2048, 1, 0, SEA_STORE_F32 },
        { "decode", 1, 2048, 1024, 0, 1, SEA_STORE_F32 },
        { "decode bf16", 1, 2048, 1024, 0, 1, SEA_STORE_BF16 },
        { "decode bf16", 8, 2048, 1024, 0, 1, SEA_STORE_BF16 },
    };
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !status; i++)
        status = gemm_row(run, &shapes[i], err);
    return status;
}

/* ---- attention ---- */

struct attention_shape {
    const char *what;
    int64_t S, rows, keys, H, K, E;     /* segments of `rows` queries over `keys` keys */
    int64_t window;
    bool backward;
};

struct attention_step {
    const struct sea_device *device;
    struct sea_op_attention op;
    struct sea_op_attention_bwd bwd;
    bool backward;
};

static enum sea_status
attend(void *args, struct sea_err *err)
{
    const struct attention_step *step = args;
    enum sea_status status = sea_run(step->device, err, attention, &step->op);

    if (!status && step->backward)
        status = sea_run(step->device, err, attention_bwd, &step->bwd);
    if (!status)
        status = sea_device_status(step->device, step->device->ops->wait(step->device->dev),
                                   "wait", err);
    return status;
}

/* Pairs of a query and a key it sees, all segments together. */
static double
pairs_of(const struct attention_shape *shape)
{
    double pairs = 0.0;
    int64_t j;

    for (j = 0; j < shape->rows; j++) {
        int64_t seen = shape->keys - shape->rows + j + 1;

        pairs += (double)(shape->window && seen > shape->window ? shape->window : seen);
    }
    return pairs * (double)shape->S;
}

static enum sea_status
attention_row(struct sea_speed_run *run, const struct attention_shape *shape,
              struct sea_err *err)
{
    int64_t H = shape->H, K = shape->K, E = shape->E, q = H * E, kv = 2 * K * E, s;
    int64_t queries = shape->S * shape->rows, keys = shape->S * shape->keys;
    int32_t *q_start = sea_xcalloc((size_t)shape->S + 1, sizeof(*q_start));
    int32_t *k_start = sea_xcalloc((size_t)shape->S, sizeof(*k_start));
    int32_t *k_len = sea_xcalloc((size_t)shape->S, sizeof(*k_len));
    float *buffer[8] = { NULL };
    const int64_t counts[8] = { queries * q, keys * kv, queries * q, queries * H, queries * q,
                                queries * q, keys * kv, queries * H };
    struct attention_step step = { .device = &run->device, .backward = shape->backward };
    struct sea_speed_row row = { .what = shape->what, .unit = "GFLOP" };
    enum sea_status status = SEA_OK;
    int i;

    for (s = 0; s < shape->S; s++) {
        q_start[s + 1] = (int32_t)((s + 1) * shape->rows);
        k_start[s] = (int32_t)(s * shape->keys);
        k_len[s] = (int32_t)shape->keys;
    }
    for (i = 0; i < (shape->backward ? 8 : 4) && !status; i++)
        status = numbers(&run->device, counts[i], (uint64_t)i, &buffer[i], err);
    step.op = (struct sea_op_attention){
        .q = buffer[0], .k = buffer[1], .v = buffer[1] ? buffer[1] + K * E : NULL,
        .out = buffer[2], .lse = buffer[3], .q_start = q_start, .k_start = k_start,
        .k_len = k_len, .S = shape->S, .H = H, .K = K, .E = E, .ld_q = q, .ld_kv = kv,
        .ld_out = q, .scale = 1.0f / sqrtf((float)E), .causal = 1, .window = shape->window };
    step.bwd = (struct sea_op_attention_bwd){
        .fwd = step.op, .dout = buffer[4], .dq = buffer[5], .dk = buffer[6],
        .dv = buffer[6] ? buffer[6] + K * E : NULL, .delta = buffer[7] };
    /* Two products forward; backward both again, and three more. */
    row.flops = pairs_of(shape) * (double)(H * E) * (shape->backward ? 14.0 : 4.0);
    row.bytes = shape->rows == 1 ? 4.0 * (double)(keys * kv) : 0.0;
    row.amount = 1e-9 * row.flops;
    if (shape->rows == 1) {
        row.unit = "GB";
        row.amount = 1e-9 * row.bytes;
    }
    if (!status)
        status = sea_speed_row(run, &row, attend, &step, err);
    for (i = 0; i < 8; i++)
        sea_device_free(&run->device, buffer[i]);
    free(q_start);
    free(k_start);
    free(k_len);
    return status;
}

enum sea_status
sea_speed_attention(struct sea_speed_run *run, struct sea_err *err)
{
    static const struct attention_shape shapes[] = {
        { "forward, 8 of 200, heads of 32", 8, 200, 200, 4, 4, 32, 0, false },
        { "forward, 2 of 700, heads of 64", 2, 700, 700, 14, 2, 64, 0, false },
        { "forward, 1 of 2048, window 512", 1, 2048, 2048, 8, 2, 128, 512, false },
        { "and backward, 8 of 200", 8, 200, 200, 4, 4, 32, 0, true },
        { "and backward, 2 of 700", 2, 700, 700, 14, 2, 64, 0, true },
        { "1 query over 2048 keys, 16 caches", 16, 1, 2048, 16, 8, 128, 0, false },
    };
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < sizeof(shapes) / sizeof(shapes[0]) && !status; i++)
        status = attention_row(run, &shapes[i], err);
    return status;
}
