/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_products.c - test_cuda: what tensor cores do, products and attention, against the CPU
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tests/gpu/cuda_test.h"

/* ---- products ---- */

int
run_gemm(int d, const void *args)
{
    const struct product *p = args;
    struct sea_op_gemm op = p->op;

    op.a = at(p->a, d);
    op.b = at(p->b, d);
    op.c = at(p->c, d);
    op.bias = at(p->bias, d);
    return ops[d]->gemm(dev[d], &op);
}

static void
test_gemm_kinds(void)
{
    static const int64_t shapes[][3] = { { 1, 1, 1 }, { 5, 70, 33 }, { 130, 65, 17 },
                                         { 64, 128, 96 } };

    for (int s = 0; s < 4; s++)
        for (int kind = 0; kind < 12; kind++) {
            int64_t M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
            int trans_a = kind & 1, trans_b = kind >> 1 & 1, bf16 = kind >= 8;
            struct product p = { .op = { .M = M, .N = N, .K = K, .trans_a = trans_a,
                .trans_b = trans_b, .accumulate = kind >> 2 & 1, .alpha = 0.7f,
                .b_type = bf16 ? SEA_STORE_BF16 : SEA_STORE_F32,
                .lda = (trans_a ? M : K) + 3, .ldb = (trans_b ? K : N) + 2, .ldc = N + 1 } };
            int64_t rows_a = trans_a ? K : M, rows_b = trans_b ? N : K;
            char what[80];

            p.a = add_random(rows_a * p.op.lda, 1.0f);
            p.b = bf16 ? add_bf16(rows_b * p.op.ldb, 1.0f) : add_random(rows_b * p.op.ldb, 1.0f);
            p.c = add_random(M * p.op.ldc, 1.0f);
            p.bias = kind % 3 ? add_random(N, 1.0f) : -1;
            snprintf(what, sizeof(what), "gemm %lldx%lldx%lld kind %d", (long long)M,
                     (long long)N, (long long)K, kind);
            /* On a card A is rounded to bfloat16, too. */
            compare(what, run_gemm, &p, &p.c, 1, bf16 && !getenv("SEA_CUDA_EMU") ? 1e-2 : 2e-6);
        }
}

/* Operands that rounding does not change: the sums differ in their order alone. */
static void
test_gemm_rounded(void)
{
    static const int64_t shapes[][3] = { { 1, 1, 1 }, { 5, 70, 33 }, { 130, 65, 40 } };

    for (int s = 0; s < 3; s++)
        for (int kind = 0; kind < 12; kind++) {
            int64_t M = shapes[s][0], N = shapes[s][1], K = shapes[s][2];
            int trans_a = kind & 1, trans_b = kind >> 1 & 1, bf16 = kind >= 8;
            struct product p = { .op = { .M = M, .N = N, .K = K, .trans_a = trans_a,
                .trans_b = trans_b, .accumulate = kind >> 2 & 1, .alpha = 0.7f, .rounded = 1,
                .b_type = bf16 ? SEA_STORE_BF16 : SEA_STORE_F32,
                .lda = (trans_a ? M : K) + 3, .ldb = (trans_b ? K : N) + 2, .ldc = N + 1 } };
            int64_t rows_a = trans_a ? K : M, rows_b = trans_b ? N : K;
            char what[80];

            p.a = add_short(rows_a * p.op.lda, 1.0f);
            p.b = bf16 ? add_bf16(rows_b * p.op.ldb, 1.0f) : add_short(rows_b * p.op.ldb, 1.0f);
            p.c = add_random(M * p.op.ldc, 1.0f);
            p.bias = kind % 3 ? add_random(N, 1.0f) : -1;
            snprintf(what, sizeof(what), "rounded gemm %lldx%lldx%lld kind %d", (long long)M,
                     (long long)N, (long long)K, kind);
            compare(what, run_gemm, &p, &p.c, 1, 2e-6);
        }
}

/* Few rows with stored weights, every number of tiles: rows that end within a tile, columns within
 * a group, K within a warp's step and behind several rounds. Operands that rounding does not
 * change. Then one row after another: the same bits. */
static void
test_gemm_few(void)
{
    static const int64_t shapes[][3] = {
        { 1, 1, 8 }, { 1, 70, 904 }, { 3, 33, 2120 }, { 8, 16, 512 }, { 5, 140, 72 },
        { 9, 50, 64 }, { 12, 140, 72 }, { 17, 20, 1544 }, { 30, 40, 72 }, { 32, 90, 72 },
        { 33, 20, 136 }, { 35, 40, 72 }, { 70, 130, 200 } };

    for (int s = 0; s < 13; s++)
        for (int kind = 0; kind < 2; kind++) {
            int64_t M = shapes[s][0], N = shapes[s][1], K = shapes[s][2], differ = 0;
            struct product p = { .op = { .M = M, .N = N, .K = K, .trans_b = 1, .few = 1,
                .accumulate = kind, .alpha = kind ? 0.7f : 1.0f, .b_type = SEA_STORE_BF16,
                .lda = K + 3 * kind, .ldb = K + 8 * kind, .ldc = N + kind } };
            struct sea_op_gemm op = p.op;
            float *whole, *alone;
            char what[80];

            p.a = add_short(M * p.op.lda, 1.0f);
            p.b = add_bf16(N * p.op.ldb, 1.0f);
            p.c = add_random(M * p.op.ldc, 1.0f);
            p.bias = kind ? add_random(N, 1.0f) : -1;
            reset(GPU);
            CHECK_INT(run_gemm(GPU, &p), 0);
            whole = fetch(p.c, GPU);
            reset(GPU);
            op.M = 1;
            op.b = at(p.b, GPU);
            op.bias = at(p.bias, GPU);
            for (int64_t m = 0; m < M; m++) {
                op.a = (float *)at(p.a, GPU) + m * op.lda;
                op.c = (float *)at(p.c, GPU) + m * op.ldc;
                CHECK_INT(ops[GPU]->gemm(dev[GPU], &op), 0);
            }
            alone = fetch(p.c, GPU);
            for (int64_t i = 0; i < M * p.op.ldc; i++)
                differ += memcmp(whole + i, alone + i, sizeof(float)) != 0;
            CHECK_MSG(!differ, "%lldx%lldx%lld: %lld numbers have other bits alone",
                      (long long)M, (long long)N, (long long)K, (long long)differ);
            free(whole);
            free(alone);
            snprintf(what, sizeof(what), "few rows %lldx%lldx%lld kind %d", (long long)M,
                     (long long)N, (long long)K, kind);
            compare(what, run_gemm, &p, &p.c, 1, 2e-6);
        }
}

/* A row's bits are the same alone and among others: of products with weights, and of those for few
 * rows. On a card this is what the library's algorithms are chosen for. */
static void
test_gemm_rows(void)
{
    const int64_t M = getenv("SEA_CUDA_EMU") ? 7 : 300, N = 96, K = 512;

    for (int kind = 0; kind < 4; kind++) {
        int bf16 = kind & 1, a = add_random(M * K, 1.0f), c = add_random(M * N, 1.0f);
        int b = bf16 ? add_bf16(N * K, 1.0f) : add_random(N * K, 1.0f);
        struct sea_op_gemm op = { .a = at(a, GPU), .b = at(b, GPU), .c = at(c, GPU), .M = M,
            .N = N, .K = K, .lda = K, .ldb = K, .ldc = N, .trans_b = 1, .alpha = 1.0f,
            .b_type = bf16 ? SEA_STORE_BF16 : SEA_STORE_F32, .few = kind >> 1 };
        float *whole, *alone;
        int64_t differ = 0;

        reset(GPU);
        CHECK_INT(ops[GPU]->gemm(dev[GPU], &op), 0);
        whole = fetch(c, GPU);
        op.M = 1;
        for (int64_t m = 0; m < M; m++) {
            op.a = (float *)at(a, GPU) + m * K;
            op.c = (float *)at(c, GPU) + m * N;
            CHECK_INT(ops[GPU]->gemm(dev[GPU], &op), 0);
        }
        alone = fetch(c, GPU);
        for (int64_t m = 0; m < M; m++)
            differ += memcmp(whole + m * N, alone + m * N, (size_t)N * sizeof(float)) != 0;
        CHECK_MSG(!differ, "kind %d: %lld of %lld rows have other bits alone", kind,
                  (long long)differ, (long long)M);
        free(whole);
        free(alone);
        done();
    }
}

/* ---- attention ---- */

struct heads {
    struct sea_op_attention op;
    int qkv, out, lse, dout, dqkv, delta;
    int stored;                 /* room for k and v as bfloat16, on the GPU; 0: none */
    int64_t k_rows;             /* of them */
    int32_t q_start[8], k_start[8], k_len[8];
};

/* Keys and values (rows, n) as a cache has them: rows of their own, bfloat16, in `to`. */
static int
store_keys(int d, struct sea_op_attention *op, void *to, int64_t rows, int64_t ld_from)
{
    int64_t n = op->K * op->E, odd = ld_from % 4 ? 1 : 0;
    uint16_t *k = (uint16_t *)to + odd, *v = k + rows * (n + odd);
    struct sea_op_cast cast = { .n = n, .inp_type = SEA_STORE_F32, .out_type = SEA_STORE_BF16 };
    int rc = 0;

    for (int64_t r = 0; r < 2 * rows && !rc; r++) {
        cast.inp = (const float *)(r < rows ? op->k : op->v) + r % rows * ld_from;
        cast.out = (r < rows ? k : v) + r % rows * (n + odd);
        rc = ops[d]->cast(dev[d], &cast);
    }
    op->k = k;
    op->v = v;
    op->ld_kv = n + odd;
    op->kv_type = SEA_STORE_BF16;
    return rc;
}

static int
run_attention(int d, const void *args)
{
    const struct heads *h = args;
    struct sea_op_attention op = h->op;
    int64_t heads = op.H * op.E, keys = op.K * op.E;
    const float *qkv = at(h->qkv, d);
    struct sea_op_attention_bwd back;
    float *dqkv = at(h->dqkv, d);
    int rc;

    op.q = qkv;
    op.k = qkv + heads;
    op.v = qkv + heads + keys;
    op.out = at(h->out, d);
    op.lse = at(h->lse, d);
    op.q_start = h->q_start;
    op.k_start = h->k_start;
    op.k_len = h->k_len;
    rc = h->stored && d == GPU ? store_keys(d, &op, at(h->stored, d), h->k_rows, op.ld_kv) : 0;
    if (!rc)
        rc = ops[d]->attention(dev[d], &op);
    if (rc || h->dqkv < 0)
        return rc;
    back = (struct sea_op_attention_bwd){ .fwd = op, .dout = at(h->dout, d), .dq = dqkv,
        .dk = dqkv + heads, .dv = dqkv + heads + keys, .delta = at(h->delta, d) };
    return ops[d]->attention_bwd(dev[d], &back);
}

static void
try_attention_of(const char *what, int64_t H, int64_t K, int64_t E, int causal, int64_t window,
                 float softcap, int rounded)
{
    static const int32_t short_start[] = { 0, 1, 8, 8, 75, 108 };
    static const int32_t long_start[] = { 0, 1, 8, 8, 75, 212 };
    const int32_t *start = rounded ? long_start : short_start;
    int64_t wide = (H + 2 * K) * E, rows = start[5];
    struct heads h = { .op = { .S = 5, .H = H, .K = K, .E = E, .ld_q = wide, .ld_kv = wide,
        .ld_out = H * E, .scale = 1.0f / sqrtf((float)E), .causal = causal, .window = window,
        .softcap = softcap, .rounded = rounded } };

    memcpy(h.q_start, start, sizeof(short_start));
    memcpy(h.k_start, start, 5 * sizeof(int32_t));
    for (int s = 0; s < 5; s++)
        h.k_len[s] = start[s + 1] - start[s];
    h.qkv = (rounded ? add_short : add_random)(rows * wide, 1.5f);
    h.out = add_random(rows * H * E, 1.0f);
    h.lse = add_random(rows * H, 1.0f);
    h.dout = (rounded ? add_short : add_random)(rows * H * E, 1.0f);
    h.dqkv = add_random(rows * wide, 1.0f);
    h.delta = add_random(rows * H, 1.0f);
    /* Rounded, of what is multiplied only weights and their gradients change: by 1 in 512 each,
     * of sums of many. */
    compare(what, run_attention, &h, (int[]){ h.out, h.lse, h.dqkv }, 3, rounded ? 3e-3 : 2e-5);
}

static void
try_attention(const char *what, int64_t H, int64_t K, int64_t E, int causal, int64_t window,
              float softcap)
{
    try_attention_of(what, H, K, E, causal, window, softcap, 0);
}

/* Tensor cores: every size that was compiled, sizes between, rows that are not aligned. */
static void
test_attention_rounded(void)
{
    struct heads h = { .op = { .S = 2, .H = 4, .K = 2, .E = 16, .ld_q = 128, .ld_kv = 128,
        .ld_out = 64, .scale = 0.25f, .causal = 1, .rounded = 1 }, .dqkv = -1 };

    try_attention_of("rounded attention plain", 2, 2, 64, 0, 0, 0, 1);
    try_attention_of("rounded attention causal, shared keys", 4, 2, 64, 1, 0, 0, 1);
    try_attention_of("rounded attention of 80", 1, 1, 80, 1, 0, 0, 1);
    try_attention_of("rounded attention of 96, window", 2, 1, 96, 1, 41, 0, 1);
    try_attention_of("rounded attention of 128, window 1", 1, 1, 128, 1, 1, 0, 1);
    try_attention_of("rounded attention of 256, soft cap", 1, 1, 256, 1, 100, 5.0f, 1);
    try_attention_of("rounded attention of 21", 1, 1, 21, 1, 0, 0, 1);
    memcpy(h.q_start, (int32_t[]){ 0, 3, 4 }, 3 * sizeof(int32_t));
    memcpy(h.k_start, (int32_t[]){ 40, 0 }, 2 * sizeof(int32_t));
    memcpy(h.k_len, (int32_t[]){ 93, 34 }, 2 * sizeof(int32_t));
    h.qkv = add_short(140 * 128, 1.5f);
    h.out = add_random(4 * 64, 1.0f);
    h.lse = add_random(4 * 4, 1.0f);
    compare("rounded attention after a prefix", run_attention, &h, (int[]){ h.out, h.lse }, 2,
            3e-3);
}

/* Cached keys and values in bfloat16 are those that would have been rounded: the same bits. */
static void
try_attention_stored(int64_t H, int64_t K, int64_t E, int64_t window, int64_t gap)
{
    int64_t wide = (H + 2 * K) * E + gap;
    struct heads h = { .op = { .S = 3, .H = H, .K = K, .E = E, .ld_q = wide, .ld_kv = wide,
        .ld_out = H * E, .scale = 1.0f / sqrtf((float)E), .causal = 1, .window = window,
        .rounded = 1 }, .dqkv = -1, .k_rows = 260,
        .q_start = { 0, 70, 70, 71 }, .k_start = { 30, 3, 200 }, .k_len = { 140, 5, 60 } };
    float *plain, *stored;
    char what[80];
    int room;

    h.qkv = add_random(h.k_rows * wide, 1.5f);
    h.out = add_random(71 * H * E, 1.0f);
    h.lse = add_random(71 * H, 1.0f);
    room = add_random(h.k_rows * (K * E + 1) + 8, 1.0f);
    reset(GPU);
    CHECK_INT(run_attention(GPU, &h), 0);
    plain = fetch(h.out, GPU);
    h.stored = room;
    reset(GPU);
    CHECK_INT(run_attention(GPU, &h), 0);
    stored = fetch(h.out, GPU);
    CHECK_MSG(!memcmp(plain, stored, (size_t)(71 * H * E) * sizeof(float)),
              "%lld heads of %lld: stored keys give other bits", (long long)H, (long long)E);
    free(plain);
    free(stored);
    snprintf(what, sizeof(what), "attention to stored keys, %lld heads of %lld", (long long)H,
             (long long)E);
    compare(what, run_attention, &h, (int[]){ h.out, h.lse }, 2, 8e-3);
}

static void
test_attention_stored(void)
{
    try_attention_stored(4, 2, 16, 0, 0);
    try_attention_stored(2, 1, 80, 41, 0);
    try_attention_stored(1, 1, 128, 0, 3);
    try_attention_stored(3, 1, 21, 0, 0);
    try_attention_stored(1, 1, 256, 0, 0);
}

static void
test_attention_kinds(void)
{
    struct heads h = { .op = { .S = 2, .H = 4, .K = 2, .E = 16, .ld_q = 128, .ld_kv = 128,
        .ld_out = 64, .scale = 0.25f, .causal = 1 }, .dqkv = -1 };

    try_attention("attention plain", 2, 2, 8, 0, 0, 0);
    try_attention("attention causal, shared keys", 6, 2, 24, 1, 0, 0);
    try_attention("attention window", 2, 1, 40, 1, 9, 0);
    try_attention("attention window 1", 2, 2, 8, 1, 1, 0);
    try_attention("attention soft cap", 2, 2, 16, 1, 0, 3.0f);
    try_attention("attention wide head", 1, 1, 256, 1, 20, 5.0f);
    /* A cached prefix: 3 queries after 50 keys, 1 after 33. */
    memcpy(h.q_start, (int32_t[]){ 0, 3, 4 }, 3 * sizeof(int32_t));
    memcpy(h.k_start, (int32_t[]){ 40, 0 }, 2 * sizeof(int32_t));
    memcpy(h.k_len, (int32_t[]){ 53, 34 }, 2 * sizeof(int32_t));
    h.qkv = add_random(100 * 128, 1.5f);
    h.out = add_random(4 * 64, 1.0f);
    h.lse = add_random(4 * 4, 1.0f);
    compare("attention after a prefix", run_attention, &h, (int[]){ h.out, h.lse }, 2, 2e-5);
}

/* One query a segment, keys' places on the device: every size of heads, groups of heads that end
 * within what a block takes, one part of keys and many, none. Then each segment alone: its bits
 * depend on no other. */
struct few_queries {
    struct sea_op_attention op;
    int q, kv, out, lse, k_device;
    int stored;                 /* as in struct heads */
    int32_t q_start[4], k[6];
    int64_t first, count;
};

static int
run_few_queries(int d, const void *args)
{
    const struct few_queries *f = args;
    struct sea_op_attention op = f->op;

    op.q = at(f->q, d);
    op.k = at(f->kv, d);
    op.v = (const float *)op.k + op.K * op.E;
    op.out = at(f->out, d);
    op.lse = at(f->lse, d);
    op.q_start = f->q_start + f->first;
    op.k_start = f->k + f->first;
    op.k_len = f->k + 3 + f->first;
    op.k_device = at(f->k_device, d);
    op.S = f->count;
    if (f->stored && d == GPU) {
        int rc = store_keys(d, &op, at(f->stored, d), 900, op.ld_kv);

        if (rc)
            return rc;
    }
    return ops[d]->attention(dev[d], &op);
}

static void
try_few_queries(int64_t H, int64_t K, int64_t E, int64_t window, float softcap, int stored)
{
    int64_t rows = 900, wide = 2 * K * E;
    struct few_queries f = { .op = { .H = H, .K = K, .E = E, .ld_q = H * E + 4, .ld_kv = wide,
        .ld_out = H * E, .scale = 1.0f / sqrtf((float)E), .causal = 1, .window = window,
        .softcap = softcap, .few = 1, .rounded = stored }, .q_start = { 0, 1, 2, 3 },
        .k = { 850, 0, 60, 33, 1, 790 }, .count = 3 };
    float *whole, *whole_lse, *alone, *alone_lse;
    char what[80];

    f.q = add_random(3 * f.op.ld_q, 1.5f);
    f.kv = (stored ? add_short : add_random)(rows * wide, 1.5f);
    f.out = add_random(3 * H * E, 1.0f);
    f.lse = add_random(3 * H, 1.0f);
    f.k_device = add_ints(f.k, 6);
    if (stored)
        f.stored = add_random(rows * K * E, 1.0f);
    reset(GPU);
    CHECK_INT(run_few_queries(GPU, &f), 0);
    whole = fetch(f.out, GPU);
    whole_lse = fetch(f.lse, GPU);
    reset(GPU);
    f.count = 1;
    for (f.first = 0; f.first < 3; f.first++) {
        const int32_t k[2] = { f.k[f.first], f.k[3 + f.first] };

        CHECK_INT(ops[GPU]->copy_in(dev[GPU], at(f.k_device, GPU), k, sizeof(k)), 0);
        CHECK_INT(run_few_queries(GPU, &f), 0);
    }
    alone = fetch(f.out, GPU);
    alone_lse = fetch(f.lse, GPU);
    CHECK_MSG(!memcmp(whole, alone, (size_t)(3 * H * E) * sizeof(float)) &&
              !memcmp(whole_lse, alone_lse, (size_t)(3 * H) * sizeof(float)),
              "%lld heads of %lld: a query alone has other bits", (long long)H, (long long)E);
    free(whole);
    free(whole_lse);
    free(alone);
    free(alone_lse);
    f.first = 0;
    f.count = 3;
    snprintf(what, sizeof(what), "one query, %lld heads of %lld, %lld of%s keys", (long long)H,
             (long long)E, (long long)K, stored ? " stored" : "");
    compare(what, run_few_queries, &f, (int[]){ f.out, f.lse }, 2, 2e-5);
}

static void
test_attention_few(void)
{
    for (int stored = 0; stored < 2; stored++) {
        try_few_queries(2, 2, 16, 0, 0, stored);
        try_few_queries(4, 2, 32, 0, 0, stored);
        try_few_queries(7, 1, 64, 0, 0, stored);
        try_few_queries(8, 8, 80, 0, 0, stored);
        try_few_queries(6, 2, 128, 100, 0, stored);
        try_few_queries(9, 1, 128, 0, 5.0f, stored);
        try_few_queries(8, 1, 256, 0, 0, stored);
        try_few_queries(4, 2, 200, 1, 3.0f, stored);
    }
}

const struct sea_test_case cuda_products[] = {
    TEST(test_gemm_kinds), TEST(test_gemm_rounded), TEST(test_gemm_few), TEST(test_gemm_rows),
    TEST(test_attention_kinds), TEST(test_attention_rounded), TEST(test_attention_stored),
    TEST(test_attention_few),
    { NULL, NULL }
};
