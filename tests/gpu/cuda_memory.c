/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_memory.c - test_cuda: numbers that are moved and updated, against the CPU; what the
 * device keeps from operator to operator: rounded copies, graphs, memory that is full
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "tests/gpu/cuda_test.h"

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

/* Rows put into a bfloat16 matrix, which then is widened; the CPU rounds and widens by itself. */
static int
run_scatter_stored(int d, const void *args)
{
    const struct moves *m = args;
    struct sea_op_scatter put = { .inp = at(m->x, d), .idx = at(m->idx, d),
        .out = at(m->kind, d), .R = m->R, .C = m->C, .ld_inp = m->C, .ld_out = m->C + 3 };
    struct sea_op_cast round = { .inp = at(m->x, d), .out = at(m->table, d), .n = m->R * m->C,
                                 .inp_type = SEA_STORE_F32, .out_type = SEA_STORE_BF16 };
    struct sea_op_cast widen = { .inp = at(m->table, d), .out = at(m->x, d), .n = m->R * m->C,
                                 .inp_type = SEA_STORE_BF16, .out_type = SEA_STORE_F32 };
    int rc = d == GPU ? 0 : ops[d]->cast(dev[d], &round);

    if (d == GPU) {
        put.out_type = SEA_STORE_BF16;
        widen.inp = put.out;
        widen.out = at(m->out, d);
        widen.n = 10 * (m->C + 3);
    } else {
        put.out = at(m->out, d);
    }
    if (!rc && d == CPU)
        rc = ops[d]->cast(dev[d], &widen);
    if (!rc)
        rc = ops[d]->scatter(dev[d], &put);
    return rc || d == CPU ? rc : ops[d]->cast(dev[d], &widen);
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
    /* Every row is written, so that what stood there before does not matter; gaps do. */
    m = (struct moves){ .R = 10, .C = 37 };
    m.x = add_random(10 * 37, 1.0f);
    m.idx = add_ints((int32_t[]){ 4, 0, 3, 2, 1, 9, 5, 8, 7, 6 }, 10);
    m.table = add_random(10 * 40, 1.0f);
    m.out = add_random(10 * 40, 0.0f);
    m.kind = add_random(10 * 40, 0.0f);
    compare("scatter, rounded", run_scatter_stored, &m, &m.out, 1, 0);
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
        float *v;

        u.p = add_random(u.n, 1.0f);
        u.m = add_random(u.n, 1.0f);
        u.v = add(start_of(u.m), (size_t)u.n * sizeof(float));
        v = start_of(u.v);
        for (int64_t i = 0; i < u.n; i++)
            v[i] = fabsf(v[i]);
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

/* ---- rounded copies ---- */

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

/* ---- graphs ---- */

/* Steps like those of decoding: rounded products share copies of x, attention reads its keys'
 * places from the device. Runs each step's operators, or the graph of the first ones. */
struct graph_step {
    struct chain c;
    int qkv, att, k;
    const int32_t *q_start, *k_start, *k_len;
    int64_t S;
    int few;
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
        .ld_out = 32, .scale = 0.25f, .causal = 1, .rounded = 1, .few = s->few };
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
    for (s.few = 0; s.few < 2; s.few++) {
        /* The graph first: behind the other the device's copies are large enough. */
        graph_steps(&s, 1, x[1], att[1]);
        graph_steps(&s, 0, x[0], att[0]);
        CHECK_MSG(!memcmp(x[0], x[1], sizeof(x[0])), "a graph's x has other bits");
        CHECK_MSG(!memcmp(att[0], att[1], sizeof(att[0])), "a graph's attention has other bits");
    }
    /* Without a beginning there is no end. */
    CHECK(ops[GPU]->graph_end(dev[GPU], &graph) != 0 && !graph);
    CHECK(ops[GPU]->graph_launch(dev[GPU], NULL) != 0);
    ops[GPU]->graph_free(dev[GPU], NULL);
    done();
}

/* ---- memory that is full ---- */

/* Takes all memory of the device in pieces; how many they are. */
static int
fill_memory(void **pieces, int most)
{
    int n = 0;

    for (size_t bytes = (size_t)1 << 34; bytes >= (size_t)1 << 21; bytes /= 2)
        while (n < most && !ops[GPU]->mem_alloc(dev[GPU], bytes, &pieces[n]))
            n++;
    return n;
}

/* Rounded copies where nothing is left for them: those of other matrices make room, or the
 * product is refused as one without memory; afterwards all is as before. */
static void
test_full_memory(void)
{
    static void *pieces[256];
    struct product p = { .op = { .M = 1024, .N = 16, .K = 16, .trans_b = 1, .alpha = 1.0f,
                                 .lda = 16, .ldb = 16, .ldc = 16, .rounded = 1 }, .bias = -1 };
    int rc, made = 0, n;

    p.a = add_short(3072 * 768, 1.0f);
    p.b = add_short(3072 * 768, 1.0f);
    p.c = add_random(3072 * 16, 1.0f);
    reset(GPU);
    for (int i = 0; i < 6; i++) {       /* places of 1.5 MB each */
        p.op.K = p.op.lda = p.op.ldb = 760 - 8 * i;
        CHECK_INT(run_gemm(GPU, &p), 0);
    }
    n = fill_memory(pieces, 256);
    for (int i = 0; i < 4; i++) {       /* 4.5 MB */
        p.op.M = 3072;
        p.op.K = p.op.lda = p.op.ldb = 768 - 8 * i;
        rc = run_gemm(GPU, &p);
        CHECK_MSG(rc == SEA_RC_OK || rc == SEA_RC_MEMORY, "a product without memory: %d, %s", rc,
                  ops[GPU]->rc_text(rc));
        made += !rc;
    }
    while (n)
        ops[GPU]->mem_free(dev[GPU], pieces[--n]);
    printf("  %d of 4 products found room\n", made);
    CHECK_INT(ops[GPU]->wait(dev[GPU]), 0);
    compare("product after memory was full", run_gemm, &p, &p.c, 1, 2e-6);
}

const struct sea_test_case cuda_memory[] = {
    TEST(test_moves), TEST(test_updates), TEST(test_rounded_copies), TEST(test_graphs),
    { NULL, NULL }
};

const struct sea_test_case cuda_full_memory[] = {
    TEST(test_full_memory), { NULL, NULL }
};
