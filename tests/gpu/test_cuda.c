/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cuda.c - every operator of the CUDA back end against its CPU twin
 *
 * SEA_CUDA_EMU set (make test): the kernels' sources on emulated threads, with SEA_CUDA_CHECK,
 * too, every access looked at (tests/gpu/test_emu.sh); else (make test-gpu) the real plugin,
 * where there is a card. An operator runs on the CPU once and
 * on the device twice, from the same buffers; the device's bits must agree with each other
 * and its numbers lie within a bound of the CPU's, relative to the largest.
 */
#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/sea_ops.h"
#include "tests/sea_test.h"

enum { CPU, GPU };              /* of every pair below */

static const struct sea_ops *ops[2];
static void *dev[2];
static uint64_t state = 88172645463325252ull;

/* ---- buffers that exist on both devices ---- */

#define BUFFERS 64
static struct buffer {
    void *start;                /* what it holds before every run */
    void *at[2];
    size_t bytes;
} buffers[BUFFERS];
static int count;

static float
number(float size)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((float)(int64_t)(state >> 40) / 8388608.0f - 1.0f) * size;
}

static int
add(const void *start, size_t bytes)
{
    struct buffer *b = &buffers[count];

    if (count == BUFFERS)
        abort();
    b->bytes = bytes;
    b->start = malloc(bytes);
    if (!b->start)
        abort();
    memcpy(b->start, start, bytes);
    for (int d = 0; d < 2; d++)
        if (ops[d]->mem_alloc(dev[d], bytes, &b->at[d]))
            abort();
    return count++;
}

static int
add_random(int64_t n, float size)
{
    float *x = malloc((size_t)n * sizeof(float));
    int b;

    if (!x)
        abort();
    for (int64_t i = 0; i < n; i++)
        x[i] = number(size);
    b = add(x, (size_t)n * sizeof(float));
    free(x);
    return b;
}

/* The numbers of a buffer in bfloat16: as weights are stored. */
static int
add_bf16(int64_t n, float size)
{
    uint16_t *x = malloc((size_t)n * sizeof(uint16_t));
    int b;

    if (!x)
        abort();
    for (int64_t i = 0; i < n; i++) {
        float y = number(size);
        uint32_t bits;

        memcpy(&bits, &y, sizeof(bits));
        x[i] = (uint16_t)(bits >> 16);
    }
    b = add(x, (size_t)n * sizeof(uint16_t));
    free(x);
    return b;
}

/* Numbers that bfloat16 holds, as float32. */
static int
add_short(int64_t n, float size)
{
    uint32_t *bits = calloc((size_t)n, sizeof(*bits));
    int b;

    if (!bits)
        abort();
    for (int64_t i = 0; i < n; i++) {
        float x = number(size);

        memcpy(&bits[i], &x, sizeof(x));
        bits[i] &= 0xffff0000u;
    }
    b = add(bits, (size_t)n * sizeof(*bits));
    free(bits);
    return b;
}

static int
add_ints(const int32_t *x, int64_t n)
{
    return add(x, (size_t)n * sizeof(int32_t));
}

/* A negative number stands for no buffer. */
static void *
at(int b, int d)
{
    return b < 0 ? NULL : buffers[b].at[d];
}

static void
reset(int d)
{
    for (int b = 0; b < count; b++)
        if (ops[d]->copy_in(dev[d], buffers[b].at[d], buffers[b].start, buffers[b].bytes))
            abort();
}

static void
done(void)
{
    for (int b = 0; b < count; b++) {
        for (int d = 0; d < 2; d++)
            ops[d]->mem_free(dev[d], buffers[b].at[d]);
        free(buffers[b].start);
    }
    count = 0;
}

static void *
fetch(int b, int d)
{
    void *out = malloc(buffers[b].bytes);

    if (!out || ops[d]->copy_out(dev[d], out, buffers[b].at[d], buffers[b].bytes))
        abort();
    return out;
}

/* Runs on both; checks the buffers outs[0..n-1], floats, against each other. */
static void
compare(const char *what, int (*run)(int d, const void *op), const void *op, const int *outs,
        int n, double bound)
{
    void *first[8], *again[8];
    int rc[3];

    reset(CPU);
    rc[0] = run(CPU, op);
    reset(GPU);
    rc[1] = run(GPU, op);
    for (int i = 0; i < n; i++)
        first[i] = fetch(outs[i], GPU);
    rc[2] = rc[1];
    if (!getenv("SEA_CUDA_CHECK")) {    /* that is slow enough once */
        reset(GPU);
        rc[2] = run(GPU, op);
    }
    CHECK_MSG(!rc[0] && !rc[1] && !rc[2], "%s: codes %d, %d (%s), %d", what, rc[0], rc[1],
              ops[GPU]->rc_text(rc[1]), rc[2]);
    for (int i = 0; i < n; i++) {
        size_t numbers = buffers[outs[i]].bytes / sizeof(float);
        float *want = fetch(outs[i], CPU), *got = first[i];
        double top = 1e-30, worst = 0;

        again[i] = fetch(outs[i], GPU);
        CHECK_MSG(!memcmp(first[i], again[i], buffers[outs[i]].bytes),
                  "%s: output %d differs from run to run", what, i);
        for (size_t k = 0; k < numbers; k++)
            top = isfinite(want[k]) ? fmax(top, fabs((double)want[k])) : top;
        for (size_t k = 0; k < numbers; k++) {
            double error = want[k] == got[k] ? 0
                                             : fabs((double)want[k] - (double)got[k]) / top;

            if (memcmp(&want[k], &got[k], sizeof(float)))
                worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
        }
        printf("  %-40s output %d  error %9.2e  bound %9.2e\n", what, i, worst, bound);
        CHECK_MSG(worst <= bound, "%s: output %d: error %.3g, bound %.3g", what, i, worst, bound);
        free(want);
        free(first[i]);
        free(again[i]);
    }
    done();
}

/* ---- products ---- */

struct product {
    struct sea_op_gemm op;
    int a, b, c, bias;
};

static int
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
test_gemm(void)
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

/* A block's way through one buffer after another: each product must see what stands in its
 * operand now, not what was rounded before. The emulation compares every rounded copy that is
 * used with its matrix, and ends the program when they differ. */
struct chain {
    int64_t R, C;
    int x, w, y, z, gate, gamma, rstd, dw;
};

static int
chain_gemm(int d, const struct chain *c, int a, int b, int to, int trans_a)
{
    const struct sea_op_gemm op = { .a = at(a, d), .b = at(b, d), .c = at(to, d),
        .M = trans_a ? c->C : c->R, .N = c->C, .K = trans_a ? c->R : c->C, .lda = c->C,
        .ldb = c->C, .ldc = c->C, .trans_a = trans_a, .trans_b = !trans_a, .alpha = 0.1f,
        .rounded = 1 };

    return ops[d]->gemm(dev[d], &op);
}

static int
run_chain(int d, const void *args)
{
    const struct chain *c = args;
    const struct sea_op_rmsnorm norm = { .x = at(c->x, d), .y = at(c->y, d), .R = c->R,
        .gamma = at(c->gamma, d), .rstd = at(c->rstd, d), .C = c->C, .eps = 1e-6f };
    const struct sea_op_rmsnorm_bwd norm_bwd = { .x = at(c->x, d), .dy = at(c->z, d),
        .gamma = at(c->gamma, d), .rstd = at(c->rstd, d), .dx = at(c->y, d), .R = c->R,
        .C = c->C, .add_dx = 1 };
    const struct sea_op_act act = { .x = at(c->gate, d), .y = at(c->z, d), .R = c->R, .C = c->C,
        .act = SEA_ACT_SILU, .gated = 1 };
    const struct sea_op_act_bwd act_bwd = { .x = at(c->z, d), .dy = at(c->y, d),
        .dx = at(c->y, d), .R = c->R, .C = c->C, .act = SEA_ACT_GELU };
    const struct sea_op_axpby twice = { .x = at(c->y, d), .out = at(c->y, d), .n = c->R * c->C,
        .a = 2.0f };
    int rc = 0;

    for (int round = 0; round < 3 && !rc; round++) {
        rc = ops[d]->rmsnorm(dev[d], &norm);
        rc = rc ? rc : chain_gemm(d, c, c->y, c->w, c->z, 0);
        rc = rc ? rc : chain_gemm(d, c, c->z, c->y, c->dw, 1);
        rc = rc ? rc : ops[d]->axpby(dev[d], &twice);
        rc = rc ? rc : chain_gemm(d, c, c->y, c->w, c->x, 0);
        rc = rc ? rc : ops[d]->rmsnorm_bwd(dev[d], &norm_bwd);
        rc = rc ? rc : chain_gemm(d, c, c->y, c->w, c->z, 0);
        rc = rc ? rc : ops[d]->act(dev[d], &act);
        rc = rc ? rc : chain_gemm(d, c, c->z, c->w, c->x, 0);
        rc = rc ? rc : ops[d]->act_bwd(dev[d], &act_bwd);
        rc = rc ? rc : chain_gemm(d, c, c->y, c->w, c->x, 0);
        rc = rc ? rc : ops[d]->copy(dev[d], at(c->y, d), at(c->x, d),
                                    (size_t)(c->R * c->C) * sizeof(float));
        rc = rc ? rc : chain_gemm(d, c, c->y, c->x, c->dw, 1);
        rc = rc ? rc : ops[d]->mem_zero(dev[d], at(c->x, d), (size_t)c->C * sizeof(float));
        rc = rc ? rc : chain_gemm(d, c, c->x, c->w, c->z, 0);
    }
    return rc;
}

static void
test_rounded_copies(void)
{
    struct chain c = { .R = 19, .C = 36 };

    c.x = add_random(c.R * c.C, 1.0f);
    c.w = add_random(c.C * c.C, 1.0f);
    c.y = add_random(c.R * c.C, 1.0f);
    c.z = add_random(c.R * c.C, 1.0f);
    c.gate = add_random(2 * c.R * c.C, 1.0f);
    c.gamma = add_random(c.C, 1.0f);
    c.rstd = add_random(c.R, 1.0f);
    c.dw = add_random(c.C * c.C, 1.0f);
    /* 3 rounds of 7 products, each of which rounds by 1 in 256. */
    compare("chain of rounded products", run_chain, &c, (int[]){ c.x, c.y, c.z, c.dw }, 4, 3e-2);
}

/* ---- rows ---- */

struct rows {
    int64_t R, C;
    int x, y, dy, dx, gamma, beta, mean, rstd, dgamma, dbeta;
    int kind, gated, add_dx;
    float gamma_add;
    int64_t heads, ld;
};

static int
run_layernorm(int d, const void *args)
{
    const struct rows *r = args;
    struct sea_op_layernorm op = { .x = at(r->x, d), .gamma = at(r->gamma, d),
        .beta = at(r->beta, d), .y = at(r->y, d), .mean = at(r->mean, d), .rstd = at(r->rstd, d),
        .R = r->R, .C = r->C, .eps = 1e-5f };
    struct sea_op_layernorm_bwd back = { .x = op.x, .dy = at(r->dy, d), .gamma = op.gamma,
        .mean = op.mean, .rstd = op.rstd, .dx = at(r->dx, d), .dgamma = at(r->dgamma, d),
        .dbeta = at(r->dbeta, d), .R = r->R, .C = r->C, .add_dx = r->add_dx };
    int rc = ops[d]->layernorm(dev[d], &op);

    return rc ? rc : ops[d]->layernorm_bwd(dev[d], &back);
}

static int
run_rmsnorm(int d, const void *args)
{
    const struct rows *r = args;
    struct sea_op_rmsnorm op = { .x = at(r->x, d), .gamma = at(r->gamma, d), .y = at(r->y, d),
        .rstd = at(r->rstd, d), .R = r->R, .C = r->C, .eps = 1e-5f, .gamma_add = r->gamma_add,
        .heads = r->heads, .ld = r->ld };
    struct sea_op_rmsnorm_bwd back = { .x = op.x, .dy = at(r->dy, d), .gamma = op.gamma,
        .rstd = op.rstd, .dx = at(r->dx, d), .dgamma = at(r->dgamma, d), .R = r->R, .C = r->C,
        .gamma_add = r->gamma_add, .add_dx = r->add_dx, .heads = r->heads, .ld = r->ld };
    int rc = ops[d]->rmsnorm(dev[d], &op);

    return rc ? rc : ops[d]->rmsnorm_bwd(dev[d], &back);
}

static int
run_l2norm(int d, const void *args)
{
    const struct rows *r = args;
    struct sea_op_l2norm op = { .inp = at(r->x, d), .out = at(r->y, d), .rnorm = at(r->rstd, d),
                                .R = r->R, .C = r->C, .eps = 1e-12f };
    struct sea_op_l2norm_bwd back = { .out = op.out, .dout = at(r->dy, d), .rnorm = op.rnorm,
                                      .dinp = at(r->dx, d), .R = r->R, .C = r->C };
    int rc = ops[d]->l2norm(dev[d], &op);

    return rc ? rc : ops[d]->l2norm_bwd(dev[d], &back);
}

static int
run_act(int d, const void *args)
{
    const struct rows *r = args;
    struct sea_op_act op = { .x = at(r->x, d), .y = at(r->y, d), .R = r->R, .C = r->C,
                             .act = (enum sea_act)r->kind, .gated = r->gated };
    struct sea_op_act_bwd back = { .x = op.x, .dy = at(r->dy, d), .dx = at(r->dx, d), .R = r->R,
                                   .C = r->C, .act = op.act, .gated = r->gated };
    int rc = ops[d]->act(dev[d], &op);

    return rc ? rc : ops[d]->act_bwd(dev[d], &back);
}

static int
run_colscale(int d, const void *args)
{
    const struct rows *r = args;
    struct sea_op_colscale op = { .x = at(r->x, d), .gain = at(r->gamma, d),
        .base = r->add_dx ? at(r->dy, d) : NULL, .out = at(r->y, d), .R = r->R, .C = r->C };
    struct sea_op_colscale_bwd back = { .x = op.x, .dout = at(r->dy, d), .gain = op.gain,
        .dx = at(r->dx, d), .dgain = at(r->dgamma, d), .R = r->R, .C = r->C };
    int rc = ops[d]->colscale(dev[d], &op);

    return rc ? rc : ops[d]->colscale_bwd(dev[d], &back);
}

static struct rows
make_rows(int64_t R, int64_t C, int wide)
{
    struct rows r = { .R = R, .C = C };

    r.x = add_random(R * C * wide, 2.0f);
    r.y = add_random(R * C, 1.0f);
    r.dy = add_random(R * C, 1.0f);
    r.dx = add_random(R * C * wide, 1.0f);
    r.gamma = add_random(C, 1.0f);
    r.beta = add_random(C, 1.0f);
    r.mean = add_random(R, 1.0f);
    r.rstd = add_random(R, 1.0f);
    r.dgamma = add_random(C, 1.0f);
    r.dbeta = add_random(C, 1.0f);
    return r;
}

static void
test_rows(void)
{
    static const int64_t shapes[][2] = { { 1, 1 }, { 7, 13 }, { 70, 129 }, { 3, 1000 } };
    struct rows r;

    for (int s = 0; s < 4; s++) {
        int64_t R = shapes[s][0], C = shapes[s][1];

        for (int add_dx = 0; add_dx < 2; add_dx++) {
            r = make_rows(R, C, 1);
            r.add_dx = add_dx;
            compare("layernorm", run_layernorm, &r, (int[]){ r.y, r.mean, r.rstd, r.dx,
                    r.dgamma, r.dbeta }, 6, C == 1 ? 1e-3 : 1e-5);
            r = make_rows(R, C, 1);
            r.add_dx = add_dx;
            r.gamma_add = (float)add_dx;
            /* A row of one: dx is what eps leaves of two numbers that cancel. */
            compare("rmsnorm", run_rmsnorm, &r, (int[]){ r.y, r.rstd, r.dx, r.dgamma }, 4,
                    C == 1 ? 2e-2 : 1e-5);
        }
        r = make_rows(R, C, 1);
        compare("l2norm", run_l2norm, &r, (int[]){ r.y, r.rstd, r.dx }, 3, 1e-5);
        for (int kind = 0; kind < 8; kind++) {
            r = make_rows(R, C, 2);
            r.kind = kind % 4;
            r.gated = kind / 4;
            compare("act", run_act, &r, (int[]){ r.y, r.dx }, 2, 2e-6);
        }
        for (int based = 0; based < 2; based++) {
            r = make_rows(R, C, 1);
            r.add_dx = based;
            compare("colscale", run_colscale, &r, (int[]){ r.y, r.dx, r.dgamma }, 3, 2e-6);
        }
    }
}

/* Heads side by side: 3 of 20 numbers in lines of 70, 6 lines. */
static void
test_head_norm(void)
{
    struct rows r = make_rows(6, 70, 1);

    r.R = 18;
    r.C = 20;
    r.heads = 3;
    r.ld = 70;
    r.rstd = add_random(18, 1.0f);
    compare("rmsnorm of heads", run_rmsnorm, &r, (int[]){ r.y, r.rstd, r.dx, r.dgamma }, 4,
            1e-5);
}

/* dx over dy, out over x: aliases that the header allows. */
static int
run_aliases(int d, const void *args)
{
    const struct rows *r = args;
    struct sea_op_layernorm op = { .x = at(r->x, d), .gamma = at(r->gamma, d),
        .y = at(r->y, d), .mean = at(r->mean, d), .rstd = at(r->rstd, d), .R = r->R, .C = r->C,
        .eps = 1e-5f };
    struct sea_op_layernorm_bwd back = { .x = op.x, .dy = at(r->dy, d), .gamma = op.gamma,
        .mean = op.mean, .rstd = op.rstd, .dx = at(r->dy, d), .dgamma = at(r->dgamma, d),
        .R = r->R, .C = r->C };
    struct sea_op_l2norm l2 = { .inp = at(r->x, d), .out = at(r->x, d), .R = r->R, .C = r->C };
    int rc = ops[d]->layernorm(dev[d], &op);

    if (!rc)
        rc = ops[d]->layernorm_bwd(dev[d], &back);
    return rc ? rc : ops[d]->l2norm(dev[d], &l2);
}

static void
test_aliases(void)
{
    struct rows r = make_rows(9, 200, 1);

    compare("aliases", run_aliases, &r, (int[]){ r.dy, r.dgamma, r.x }, 3, 1e-5);
}

/* ---- attention ---- */

struct heads {
    struct sea_op_attention op;
    int qkv, out, lse, dout, dqkv, delta;
    int32_t q_start[8], k_start[8], k_len[8];
};

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

static void
test_attention(void)
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

/* ---- losses ---- */

struct losses {
    int64_t R, V, k, merge;
    int x, target, weight, loss, theta, dtheta, scratch, index, value;
    float softcap, max_scale;
};

static int
run_xent(int d, const void *args)
{
    const struct losses *l = args;
    struct sea_op_xent op = { .logits = at(l->x, d), .target = at(l->target, d),
        .weight = at(l->weight, d), .loss = at(l->loss, d), .R = l->R, .V = l->V, .ld = l->V + 3,
        .grad = 1, .softcap = l->softcap };

    return ops[d]->xent(dev[d], &op);
}

static int
run_contrast(int d, const void *args)
{
    const struct losses *l = args;
    struct sea_op_contrast op = { .cos = at(l->x, d), .theta = at(l->theta, d),
        .loss = at(l->loss, d), .dtheta = at(l->dtheta, d), .scratch = at(l->scratch, d),
        .R = l->R, .weight = 0.5f, .max_scale = l->max_scale };

    return ops[d]->contrast(dev[d], &op);
}

static int
run_topk(int d, const void *args)
{
    const struct losses *l = args;
    struct sea_op_topk op = { .x = at(l->x, d), .index = at(l->index, d),
        .value = at(l->value, d), .R = l->R, .C = l->V / 2, .k = l->k, .ld = l->V };
    int rc = ops[d]->topk(dev[d], &op);

    /* The second half merged in. */
    op.x += l->V / 2;
    op.C = l->V - l->V / 2;
    op.col_base = l->V / 2;
    op.merge = 1;
    return rc ? rc : ops[d]->topk(dev[d], &op);
}

static void
test_xent(void)
{
    for (int capped = 0; capped < 2; capped++) {
        struct losses l = { .R = 6, .V = 301, .softcap = capped ? 4.0f : 0.0f };

        l.x = add_random(l.R * (l.V + 3), 5.0f);
        l.target = add_ints((int32_t[]){ 0, 300, 7, 128, 255, 31 }, 6);
        l.weight = add_random(6, 1.0f);
        l.loss = add_random(6, 1.0f);
        compare(capped ? "xent, soft cap" : "xent", run_xent, &l, (int[]){ l.x, l.loss }, 2,
                2e-6);
    }
}

static void
test_contrast(void)
{
    static const int64_t sizes[] = { 0, 1, 2, 37, 130 };

    for (int s = 0; s < 5; s++)
        for (int clamped = 0; clamped < 2; clamped++) {
            struct losses l = { .R = sizes[s], .max_scale = clamped ? 1.5f : 100.0f };

            l.x = add_random(l.R * l.R + 1, 1.0f);
            l.theta = add((float[]){ 1.2f }, sizeof(float));
            l.loss = add_random(1, 1.0f);
            l.dtheta = add_random(1, 1.0f);
            l.scratch = add_random(4 * l.R + 1, 1.0f);
            compare("contrast", run_contrast, &l, (int[]){ l.x, l.loss, l.dtheta }, 3, 1e-5);
        }
}

static void
test_topk(void)
{
    static const int64_t ks[] = { 1, 5, 10, 32, 33, 64 };

    for (int i = 0; i < 6; i++) {
        struct losses l = { .R = 7, .V = 201, .k = ks[i] };
        float *x = malloc(7 * 201 * sizeof(float));

        for (int c = 0; c < 7 * 201; c++)       /* coarse: many ties */
            x[c] = rintf(number(20.0f));
        for (int c = 0; c < 201; c++)
            x[c] = c % 3 ? -INFINITY : (float)c;
        l.x = add(x, 7 * 201 * sizeof(float));
        free(x);
        l.index = add_random(7 * l.k, 1.0f);
        l.value = add_random(7 * l.k, 1.0f);
        compare("topk", run_topk, &l, (int[]){ l.index, l.value }, 2, 0);
    }
    for (int i = 0; i < 6; i += 2) {            /* rows that several warps share */
        struct losses l = { .R = 3, .V = 9001, .k = ks[i] };
        float *x = malloc(3 * 9001 * sizeof(float));

        for (int c = 0; c < 3 * 9001; c++)
            x[c] = rintf(number(20.0f));
        l.x = add(x, 3 * 9001 * sizeof(float));
        free(x);
        l.index = add_random(3 * l.k, 1.0f);
        l.value = add_random(3 * l.k, 1.0f);
        compare("topk of many", run_topk, &l, (int[]){ l.index, l.value }, 2, 0);
    }
}

/* ---- moves and updates ---- */

struct moves {
    int64_t R, C;
    int x, idx, order, out, add, pos, table;
    int kind;
};

static int
run_gather(int d, const void *args)
{
    const struct moves *m = args;
    struct sea_op_gather op = { .inp = at(m->x, d), .idx = at(m->idx, d), .out = at(m->out, d),
        .R = m->R, .C = m->C, .ld_inp = m->C, .ld_out = m->C, .add = m->add,
        .inp_type = m->kind ? SEA_STORE_BF16 : SEA_STORE_F32 };

    return ops[d]->gather(dev[d], &op);
}

static int
run_scatter(int d, const void *args)
{
    const struct moves *m = args;
    struct sea_op_scatter op = { .inp = at(m->x, d), .idx = at(m->idx, d),
        .order = at(m->order, d), .out = at(m->out, d), .R = m->R, .C = m->C, .ld_inp = m->C,
        .ld_out = m->C, .add = m->add };

    return ops[d]->scatter(dev[d], &op);
}

static int
run_rope(int d, const void *args)
{
    const struct moves *m = args;
    struct sea_op_rope op = { .x = at(m->x, d), .cos_sin = at(m->table, d),
        .pos = at(m->pos, d), .N = m->R, .heads = 3, .E = 12, .rot = m->kind, .ld = m->C,
        .inverse = m->add };

    return ops[d]->rope(dev[d], &op);
}

static int
run_patchify(int d, const void *args)
{
    const struct moves *m = args;
    struct sea_op_patchify op = { .pixels = at(m->x, d), .out = at(m->out, d), .B = 2,
                                  .channels = 3, .height = 11, .width = 9, .P = 4 };

    return ops[d]->patchify(dev[d], &op);
}

static int
run_cast(int d, const void *args)
{
    const struct moves *m = args;
    struct sea_op_cast op = { .inp = at(m->x, d), .out = at(m->idx, d), .n = m->R,
                              .inp_type = SEA_STORE_F32, .out_type = SEA_STORE_BF16 };
    int rc = ops[d]->cast(dev[d], &op);
    struct sea_op_cast back = { .inp = op.out, .out = at(m->out, d), .n = m->R,
                                .inp_type = SEA_STORE_BF16, .out_type = SEA_STORE_F32 };

    return rc ? rc : ops[d]->cast(dev[d], &back);
}

static void
test_moves(void)
{
    static const int32_t idx[] = { 4, -1, 0, 4, 2, 0, 9, 4 };
    static const int32_t order[] = { 1, 2, 5, 4, 0, 3, 7, 6 };
    static const int32_t once[] = { 4, -1, 0, 3, 2, 1, 9, 5 };
    struct moves m;

    for (int kind = 0; kind < 4; kind++) {
        m = (struct moves){ .R = 8, .C = 37, .add = kind & 1, .kind = kind >> 1 };
        m.x = m.kind ? add_bf16(10 * 37, 1.0f) : add_random(10 * 37, 1.0f);
        m.idx = add_ints(idx, 8);
        m.out = add_random(8 * 37, 1.0f);
        compare("gather", run_gather, &m, &m.out, 1, 0);
    }
    for (int add = 0; add < 2; add++) {
        m = (struct moves){ .R = 8, .C = 37, .add = add };
        m.x = add_random(8 * 37, 1.0f);
        m.idx = add_ints(add ? idx : once, 8);
        m.order = add_ints(order, 8);
        m.out = add_random(10 * 37, 1.0f);
        compare(add ? "scatter, added" : "scatter", run_scatter, &m, &m.out, 1, 1e-6);
    }
    for (int kind = 0; kind < 4; kind++) {
        m = (struct moves){ .R = 5, .C = 40, .add = kind & 1, .kind = kind >> 1 ? 12 : 6 };
        m.x = add_random(5 * 40, 1.0f);
        m.table = add_random(9 * 12, 1.0f);
        m.pos = add_ints((int32_t[]){ 0, 8, 3, 3, 1 }, 5);
        compare("rope", run_rope, &m, &m.x, 1, 1e-6);
    }
    m = (struct moves){ .R = 0 };
    m.x = add_random(2 * 3 * 11 * 9, 1.0f);
    m.out = add_random(2 * 2 * 2 * 48, 1.0f);
    compare("patchify", run_patchify, &m, &m.out, 1, 0);
    m = (struct moves){ .R = 1000 };
    m.x = add_random(1000, 3e38f);
    m.idx = add_random(500, 1.0f);
    m.out = add_random(1000, 1.0f);
    compare("cast", run_cast, &m, &m.out, 1, 0);
}

struct updates {
    int64_t n;
    int p, m, v, g, scale, out, sumsq;
    int kind;
};

static int
run_adamw(int d, const void *args)
{
    const struct updates *u = args;
    struct sea_op_adamw op = { .p = at(u->p, d), .m = at(u->m, d), .v = at(u->v, d),
        .g = at(u->g, d), .gscale = u->kind ? at(u->scale, d) : NULL, .n = u->n, .step = 3,
        .lr = 1e-2f, .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-8f, .wd = 0.1f };

    return ops[d]->adamw(dev[d], &op);
}

static int
run_sums(int d, const void *args)
{
    const struct updates *u = args;
    struct sea_op_sum square = { .x = at(u->p, d), .out = at(u->sumsq, d), .n = u->n,
                                 .square = 1 };
    struct sea_op_sum more = { .x = at(u->g, d), .out = at(u->sumsq, d), .n = u->n, .square = 1,
                               .accumulate = 1 };
    struct sea_op_clip clip = { .sumsq = at(u->sumsq, d), .gscale = at(u->scale, d),
                                .max_norm = 0.5f };
    struct sea_op_axpby axpby = { .x = at(u->p, d), .y = at(u->g, d), .out = at(u->m, d),
                                  .n = u->n, .a = 0.3f, .b = -2.0f };
    struct sea_op_colsum colsum = { .x = at(u->p, d), .out = at(u->out, d), .R = u->n / 40,
                                    .C = 37, .ld = 40, .accumulate = u->kind };
    int rc = ops[d]->sum(dev[d], &square);

    if (!rc)
        rc = ops[d]->sum(dev[d], &more);
    if (!rc)
        rc = ops[d]->clip(dev[d], &clip);
    if (!rc)
        rc = ops[d]->axpby(dev[d], &axpby);
    return rc ? rc : ops[d]->colsum(dev[d], &colsum);
}

static int
run_softcap(int d, const void *args)
{
    const struct updates *u = args;
    struct sea_op_softcap op = { .x = at(u->p, d), .R = u->n / 40, .C = 37, .ld = 40,
                                 .cap = 0.7f };

    return ops[d]->softcap(dev[d], &op);
}

static void
test_updates(void)
{
    for (int kind = 0; kind < 2; kind++) {
        struct updates u = { .n = 12345, .kind = kind };

        u.p = add_random(u.n, 1.0f);
        u.m = add_random(u.n, 1.0f);
        u.v = add(buffers[u.m].start, (size_t)u.n * sizeof(float));
        for (int64_t i = 0; i < u.n; i++)
            ((float *)buffers[u.v].start)[i] = fabsf(((float *)buffers[u.v].start)[i]);
        u.g = add_random(u.n, 1.0f);
        u.scale = add((float[]){ 0.25f }, sizeof(float));
        compare("adamw", run_adamw, &u, (int[]){ u.p, u.m, u.v }, 3, 2e-6);
        u.p = add_random(u.n, 1.0f);
        u.m = add_random(u.n, 1.0f);
        u.g = add_random(u.n, 1.0f);
        u.scale = add_random(1, 1.0f);
        u.out = add_random(37, 1.0f);
        u.sumsq = add((double[]){ 7.0 }, sizeof(double));
        compare("sum, clip, axpby, colsum", run_sums, &u, (int[]){ u.scale, u.m, u.out }, 3, 2e-6);
        u.p = add_random(u.n, 2.0f);
        compare("softcap", run_softcap, &u, &u.p, 1, 2e-6);
    }
}

/* ---- graphs ---- */

/* Steps like those of decoding: rounded products share copies of x, attention reads its keys'
 * places from the device. Runs each step's operators, or the graph of the first ones. */
struct graph_step {
    struct chain c;
    int qkv, att, k;
    const int32_t *q_start, *k_start, *k_len;
    int64_t S;
};

static int
graph_operators(int d, const struct graph_step *s)
{
    const struct sea_op_rmsnorm norm = { .x = at(s->c.x, d), .y = at(s->c.y, d), .R = s->c.R,
        .gamma = at(s->c.gamma, d), .C = s->c.C, .eps = 1e-6f };
    const struct sea_op_axpby add = { .x = at(s->c.z, d), .y = at(s->c.x, d),
        .out = at(s->c.x, d), .n = s->c.R * s->c.C, .a = 0.5f, .b = 0.5f };
    const float *qkv = at(s->qkv, d);
    const struct sea_op_attention attention = { .q = qkv, .k = qkv + 32, .v = qkv + 48,
        .out = at(s->att, d), .q_start = s->q_start, .k_start = s->k_start, .k_len = s->k_len,
        .k_device = at(s->k, d), .S = s->S, .H = 2, .K = 1, .E = 16, .ld_q = 64, .ld_kv = 64,
        .ld_out = 32, .scale = 0.25f, .causal = 1, .rounded = 1 };
    int rc = ops[d]->rmsnorm(dev[d], &norm);

    rc = rc ? rc : chain_gemm(d, &s->c, s->c.y, s->c.w, s->c.z, 0);
    rc = rc ? rc : chain_gemm(d, &s->c, s->c.x, s->c.w, s->c.gate, 0);
    rc = rc ? rc : ops[d]->axpby(dev[d], &add);
    return rc ? rc : ops[d]->attention(dev[d], &attention);
}

/* Four steps; new keys in each. kept: the first as operators, the others as a graph. Around them
 * the device rounds x, and ever larger things, for which its copies must move. */
static void
graph_steps(struct graph_step *s, int kept, float *x, float *att)
{
    static const int32_t k_start[] = { 0, 9, 20 }, k_len[4][3] = { { 3, 1, 5 }, { 9, 11, 2 },
                                                                  { 1, 7, 10 }, { 8, 8, 8 } };
    const struct chain wide = { .R = 19, .C = 36 };
    struct sea_op_gemm large = { .a = at(s->qkv, GPU), .b = at(s->c.w, GPU),
        .c = at(s->c.z, GPU), .N = 4, .K = 43, .lda = 43, .ldb = 4, .ldc = 4,
        .alpha = 1.0f, .rounded = 1 };
    int32_t ends[6];
    void *graph = NULL;

    reset(GPU);
    for (int step = 0; step < 4; step++) {
        for (int i = 0; i < 3; i++) {
            ends[i] = k_start[i];
            ends[3 + i] = k_len[step][i];
        }
        /* What the host says is right for the first step alone. */
        s->k_start = k_start;
        s->k_len = kept && step ? k_len[0] : k_len[step];
        CHECK_INT(ops[GPU]->copy_in(dev[GPU], at(s->k, GPU), ends, sizeof(ends)), 0);
        CHECK_INT(chain_gemm(GPU, &wide, s->c.x, s->c.w, s->c.dw, 0), 0);
        if (!kept || !step) {
            CHECK_INT(graph_operators(GPU, s), 0);
        } else {
            if (!graph) {
                CHECK_INT(ops[GPU]->graph_begin(dev[GPU]), 0);
                CHECK(ops[GPU]->copy_in(dev[GPU], at(s->k, GPU), ends, sizeof(ends)) != 0);
                CHECK(ops[GPU]->graph_begin(dev[GPU]) != 0);
                CHECK_INT(graph_operators(GPU, s), 0);
                CHECK_INT(ops[GPU]->graph_end(dev[GPU], &graph), 0);
                CHECK(graph != NULL);
            }
            CHECK_INT(ops[GPU]->graph_launch(dev[GPU], graph), 0);
        }
        CHECK_INT(chain_gemm(GPU, &wide, s->c.x, s->c.w, s->c.dw, 0), 0);
        for (large.M = 31 + 12 * step; large.M < 43 + 12 * step; large.M++)
            CHECK_INT(ops[GPU]->gemm(dev[GPU], &large), 0);
    }
    CHECK_INT(ops[GPU]->copy_out(dev[GPU], x, at(s->c.x, GPU), 19 * 36 * sizeof(float)), 0);
    CHECK_INT(ops[GPU]->copy_out(dev[GPU], att, at(s->att, GPU), 3 * 32 * sizeof(float)), 0);
    ops[GPU]->graph_free(dev[GPU], graph);
}

static void
test_graphs(void)
{
    static const int32_t q_start[] = { 0, 1, 2, 3 };
    static float x[2][19 * 36], att[2][3 * 32];
    struct graph_step s = { .c = { .R = 19, .C = 36 }, .q_start = q_start, .S = 3 };
    void *graph = &s;

    s.c.x = add_random(19 * 36, 1.0f);
    s.c.w = add_random(36 * 36, 1.0f);
    s.c.y = add_random(19 * 36, 1.0f);
    s.c.z = add_random(19 * 36, 1.0f);
    s.c.gate = add_random(2 * 19 * 36, 1.0f);
    s.c.gamma = add_random(36, 1.0f);
    s.c.dw = add_random(36 * 36, 1.0f);
    s.qkv = add_random(64 * 64, 1.0f);
    s.att = add_random(3 * 32, 1.0f);
    s.k = add_random(6, 1.0f);
    /* The graph first: behind the other the device's copies are large enough. */
    graph_steps(&s, 1, x[1], att[1]);
    graph_steps(&s, 0, x[0], att[0]);
    CHECK_MSG(!memcmp(x[0], x[1], sizeof(x[0])), "a graph's x has other bits");
    CHECK_MSG(!memcmp(att[0], att[1], sizeof(att[0])), "a graph's attention has other bits");
    /* Without a beginning there is no end. */
    CHECK(ops[GPU]->graph_end(dev[GPU], &graph) != 0 && !graph);
    CHECK(ops[GPU]->graph_launch(dev[GPU], NULL) != 0);
    ops[GPU]->graph_free(dev[GPU], NULL);
    done();
}

/* Nothing is left out of the table. */
static void
test_table(void)
{
    const void *const *first = (const void *const *)(const void *)&ops[GPU]->dev_count;
    const void *const *end = (const void *const *)(const void *)(ops[GPU] + 1);

    CHECK_STR(ops[GPU]->name, "cuda");
    for (const void *const *entry = first; entry < end; entry++)
        CHECK_MSG(*entry != NULL, "entry %td of the table is empty", entry - first);
}

/* The card's limits: both numbers, neither without memory to read. */
static void
test_limits(void)
{
    struct sea_op_limits limits = { .bytes = 1 << 16 };
    void *mem = NULL;

    CHECK(ops[GPU]->mem_alloc_zeroed(dev[GPU], limits.bytes, &mem) == SEA_RC_OK);
    limits.mem = mem;
    CHECK(ops[GPU]->limits(dev[GPU], &limits) == SEA_RC_OK);
    printf("  %.3g FLOP/s, %.3g bytes/s\n", limits.flops, limits.read_rate);
    CHECK(limits.flops > 1e6 && limits.read_rate > 1e6);
    limits.bytes = 0;
    CHECK(ops[GPU]->limits(dev[GPU], &limits) == SEA_RC_OK);
    CHECK(limits.flops > 1e6 && limits.read_rate <= 0.0);
    CHECK(ops[GPU]->limits(dev[GPU], NULL) == SEA_RC_ARGUMENT);
    ops[GPU]->mem_free(dev[GPU], mem);
}

/* What the table must refuse, and what is no work. */
static void
test_refusals(void)
{
    const struct sea_ops *o = ops[GPU];
    struct sea_op_gemm none = { .M = 0, .N = 5, .K = 5 }, bad = { .M = 2, .N = 2, .K = 2 };
    struct sea_op_topk many = { .R = 1, .C = 1, .k = 65, .ld = 1, .x = (float *)64,
                                .index = (int32_t *)64, .value = (float *)64 };
    struct sea_op_attention deep = { .S = 0, .H = 1, .K = 1, .E = 257 };
    void *mem = NULL;

    CHECK(o->gemm(dev[GPU], &none) == SEA_RC_OK);
    CHECK(o->gemm(dev[GPU], &bad) == SEA_RC_ARGUMENT);
    CHECK(o->gemm(NULL, &bad) == SEA_RC_ARGUMENT);
    CHECK(o->topk(dev[GPU], &many) == SEA_RC_UNSUPPORTED);
    CHECK(o->attention(dev[GPU], &deep) == SEA_RC_UNSUPPORTED);
    CHECK(o->mem_alloc(dev[GPU], (size_t)1 << 60, &mem) == SEA_RC_MEMORY && !mem);
    CHECK(strlen(o->rc_text(SEA_RC_UNSUPPORTED)) > 0 && strlen(o->rc_text(1001)) > 0);
    printf("  %s\n", o->dev_text(dev[GPU]));
}

/* 1 when both are open, 0 where there is nothing to test, -1 when that must not be: the
 * emulated plugin belongs to every build and has one device. */
static int
open_devices(void)
{
    const char *build = getenv("SEA_BUILD"), *emulated = getenv("SEA_CUDA_EMU");
    const char *checked = getenv("SEA_CUDA_CHECK") ? "_check" : "";
    char path[4096];
    void *lib;
    int found = 0;

    snprintf(path, sizeof(path), "%s/%slibsea_cuda%s.so", build ? build : "build/dev",
             emulated ? "tests/gpu/" : "", emulated ? checked : "");
    lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ops[CPU] = &sea_cpu_ops;
    if (!lib) {
        printf("%s: no CUDA plugin: %s\n", emulated ? "FAIL" : "SKIP", dlerror());
        return emulated ? -1 : 0;
    }
    ops[GPU] = dlsym(lib, "sea_plugin_ops");
    if (!ops[GPU] || ops[GPU]->abi != SEA_OPS_ABI || ops[GPU]->size != sizeof(struct sea_ops)) {
        printf("FAIL: \"%s\" has another operator table, build it again\n", path);
        return -1;
    }
    if (ops[GPU]->dev_count(&found) || !found) {
        printf("%s: the plugin finds no device\n", emulated ? "FAIL" : "SKIP");
        return emulated ? -1 : 0;
    }
    if (sea_cpu_ops.dev_open(0, 1, &dev[CPU]) || ops[GPU]->dev_open(0, 0, &dev[GPU])) {
        printf("FAIL: a device does not open\n");
        return -1;
    }
    return 1;
}

int
main(int argc, char **argv)
{
    static const struct sea_test_case cases[] = {
        TEST(test_table), TEST(test_limits), TEST(test_gemm), TEST(test_gemm_rounded),
        TEST(test_gemm_rows), TEST(test_rounded_copies), TEST(test_rows), TEST(test_head_norm),
        TEST(test_aliases), TEST(test_attention), TEST(test_attention_rounded), TEST(test_xent),
        TEST(test_contrast), TEST(test_topk), TEST(test_moves), TEST(test_updates),
        TEST(test_graphs), TEST(test_refusals) };
    int rc = open_devices();

    if (rc < 1) {
        printf("CUDA operators: 0 passed, %d failed, %d skipped\n", rc < 0, rc == 0);
        return rc < 0;
    }
    rc = sea_test_run("CUDA operators against their CPU twins", cases,
                      sizeof(cases) / sizeof(cases[0]), argc, argv);
    ops[GPU]->dev_close(dev[GPU]);
    sea_cpu_ops.dev_close(dev[CPU]);
    return rc;
}
