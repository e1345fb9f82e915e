/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_rows.c - test_cuda: what goes over matrices row by row, norms and activations to losses
 * and the best of a row, against the CPU
 */
#include <math.h>
#include <stdlib.h>

#include "tests/gpu/cuda_test.h"

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

/* The head's way: the gradient in place of the logits, and a product that reads it, twice: the
 * second time the loss writes the rounded copy. */
static int
run_head(int d, const void *args)
{
    const struct losses *l = args;
    const struct sea_op_xent xent = { .logits = at(l->x, d), .target = at(l->target, d),
        .weight = at(l->weight, d), .loss = at(l->loss, d), .R = l->R, .V = l->V, .ld = l->V,
        .grad = 1 };
    const struct sea_op_gemm back = { .a = at(l->x, d), .b = at(l->index, d),
        .c = at(l->value, d), .M = l->R, .N = 8, .K = l->V, .lda = l->V, .ldb = 8, .ldc = 8,
        .alpha = 1.0f, .rounded = 1, .accumulate = 1 };
    int rc = 0;

    for (int round = 0; round < 2 && !rc; round++) {
        rc = ops[d]->xent(dev[d], &xent);
        rc = rc ? rc : ops[d]->gemm(dev[d], &back);
    }
    return rc;
}

static void
test_head_loss(void)
{
    struct losses l = { .R = 5, .V = 3003 };

    l.x = add_random(l.R * l.V, 5.0f);
    l.target = add_ints((int32_t[]){ 3002, 0, 7, 1280, 2555 }, 5);
    l.weight = add_random(5, 1.0f);
    l.loss = add_random(5, 1.0f);
    l.index = add_short(l.V * 8, 1.0f);
    l.value = add_random(l.R * 8, 1.0f);
    compare("head", run_head, &l, (int[]){ l.x, l.loss, l.value }, 3, 1e-2);
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

const struct sea_test_case cuda_rows[] = {
    TEST(test_rows), TEST(test_head_norm), TEST(test_aliases), TEST(test_head_loss),
    TEST(test_xent), TEST(test_contrast), TEST(test_topk), { NULL, NULL }
};
