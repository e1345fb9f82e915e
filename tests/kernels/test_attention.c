/* SPDX-License-Identifier: Apache-2.0 */
/* Attention: forward and backward against twins in double, the twin's gradient against
 * differences, the same bits alone, in a batch and from a cache, guards, and refusals. */
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/twin.h"

struct sizes {
    int64_t S, H, K, E;
    int causal;
    int32_t len[6];
    int64_t window;
    float softcap;
};

/* Inputs of one call: q, k and v lie side by side in rows, as the engine has them. */
struct batch {
    struct sea_op_attention op;
    int64_t rows, ld;
    float *qkv, *dout;
    int32_t *start, *k_len;
    struct twin_attention twin;
};

static void
make_batch(struct batch *b, const struct sizes *s)
{
    int64_t H = s->H, K = s->K, E = s->E;

    b->start = kt_ints(s->S + 1);
    b->k_len = kt_ints(s->S + 1);
    b->start[0] = 0;
    for (int64_t i = 0; i < s->S; i++) {
        b->k_len[i] = s->len[i];
        b->start[i + 1] = b->start[i] + s->len[i];
    }
    b->rows = b->start[s->S];
    b->ld = (H + 2 * K) * E;
    b->qkv = kt_random(b->rows * b->ld, 1.7f);
    b->dout = kt_random(b->rows * H * E, 1.0f);
    b->op = (struct sea_op_attention){
        .q = b->qkv, .k = b->qkv + H * E, .v = b->qkv + (H + K) * E, .q_start = b->start,
        .k_start = b->start, .k_len = b->k_len, .S = s->S, .H = H, .K = K, .E = E, .ld_q = b->ld,
        .ld_kv = b->ld, .ld_out = H * E, .scale = 1.0f / sqrtf((float)E), .causal = s->causal,
        .window = s->window, .softcap = s->softcap,
    };
}

/* With gradients in dqkv, (rows, ld) like qkv; NULL: none. */
static void
run_twin(struct batch *b, double *qkv, double *out, double *lse, const double *dout,
         double *dqkv)
{
    int64_t q = b->op.H * b->op.E, kv = b->op.K * b->op.E;

    b->twin = (struct twin_attention){
        .op = &b->op, .q = qkv, .k = qkv + q, .v = qkv + q + kv, .out = out, .lse = lse,
        .dout = dout, .dq = dqkv, .dk = dqkv ? dqkv + q : NULL, .dv = dqkv ? dqkv + q + kv : NULL,
    };
    twin_attention(&b->twin);
}

static const struct sizes all_sizes[] = {
    { 4, 2, 2, 32, 1, { 1, 7, 13, 129 }, 0, 0 },      { 3, 4, 2, 32, 0, { 50, 200, 1 }, 0, 0 },
    { 2, 4, 1, 7, 1, { 129, 33 }, 0, 0 },             { 1, 2, 2, 64, 1, { 500 }, 0, 0 },
    { 2, 3, 3, 128, 0, { 37, 400 }, 0, 0 },           { 1, 1, 1, 256, 1, { 70 }, 0, 0 },
    { 1, 2, 1, 33, 1, { 800 }, 0, 0 },
    { 5, 4, 4, 16, 1, { 0, 20, 0, 224, 225 }, 0, 0 },
    { 2, 2, 1, 32, 1, { 70, 7 }, 1, 0 },        { 1, 2, 1, 17, 1, { 900 }, 37, 0 },
    { 2, 2, 2, 256, 1, { 450, 3 }, 384, 0 },    { 1, 2, 1, 40, 1, { 500 }, 129, 5.0f },
    { 1, 3, 1, 24, 0, { 430 }, 0, 2.0f },       { 1, 1, 1, 8, 1, { 1200 }, 400, 0 },
    { 3, 4, 2, 256, 1, { 33, 60, 1 }, 16, 50.0f },
};
enum { SIZES = sizeof(all_sizes) / sizeof(all_sizes[0]) };

/* Scores of size 3 in float lose some 3 * 2^-23 absolutely, which is what P loses
 * relatively; sums over keys average it out. */
#define FORWARD_BOUND 2e-6
#define BACKWARD_BOUND 4e-6

static void
forward_matches_the_twin(void)
{
    double worst[4] = { 0 }, worst_lse[4] = { 0 };

    for (int i = 0; i < SIZES; i++) {
        struct batch b;
        double *out, *lse;
        int64_t n, lse_n;

        make_batch(&b, &all_sizes[i]);
        n = b.rows * b.op.H * b.op.E;
        lse_n = b.rows * b.op.H;
        out = kt_wide(NULL, n);
        lse = kt_wide(NULL, lse_n);
        run_twin(&b, kt_wide(b.qkv, b.rows * b.ld), out, lse, NULL, NULL);
        for (int d = 0; d < kt_open(); d++) {
            float *got[2], *got_lse[2];

            for (int t = 0; t < 2; t++) {
                b.op.out = got[t] = kt_floats(n);
                b.op.lse = got_lse[t] = kt_floats(lse_n);
                CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[t], &b.op), 0);
            }
            kt_same("out, 1 and 3 threads", kt_sets[d].isa->name, got[0], got[1], n);
            kt_same("lse, 1 and 3 threads", kt_sets[d].isa->name, got_lse[0], got_lse[1], lse_n);
            worst[d] = fmax(worst[d], kt_error(got[0], out, NULL, n));
            worst_lse[d] = fmax(worst_lse[d], kt_error(got_lse[0], lse, NULL, lse_n));
        }
        kt_done();
    }
    for (int d = 0; d < kt_open(); d++) {
        kt_within("attention", kt_sets[d].isa->name, worst[d], FORWARD_BOUND);
        kt_within("attention, log-sum-exp", kt_sets[d].isa->name, worst_lse[d], 1e-6);
    }
}

struct loss_args {
    struct batch *b;
    double *qkv, *out, *lse, *dout;
};

static double
attention_loss(const void *args)
{
    const struct loss_args *a = args;
    double loss = 0.0;

    run_twin(a->b, a->qkv, a->out, a->lse, NULL, NULL);
    for (int64_t i = 0; i < a->b->rows * a->b->op.H * a->b->op.E; i++)
        loss += a->out[i] * a->dout[i];
    return loss;
}

static void
the_twins_gradient_matches_differences(void)
{
    static const struct sizes small[] = {
        { 2, 4, 2, 5, 1, { 6, 3 }, 0, 0 },          { 1, 2, 1, 4, 0, { 7 }, 0, 0 },
        { 1, 2, 1, 5, 1, { 9 }, 3, 0 },       { 2, 2, 2, 4, 1, { 6, 3 }, 1, 0 },
        { 1, 2, 1, 4, 0, { 6 }, 0, 1.5f },    { 1, 2, 1, 5, 1, { 8 }, 4, 0.7f },
    };
    double worst = 0.0;

    for (int i = 0; i < 6; i++) {
        struct batch b;
        struct loss_args args = { .b = &b };
        double *grad;
        int64_t n;

        make_batch(&b, &small[i]);
        n = b.rows * b.ld;
        args.qkv = kt_wide(b.qkv, n);
        args.out = kt_wide(NULL, n);
        args.lse = kt_wide(NULL, n);
        args.dout = kt_wide(b.dout, b.rows * b.op.H * b.op.E);
        grad = kt_wide(NULL, n);
        run_twin(&b, args.qkv, args.out, args.lse, args.dout, grad);
        for (int64_t j = 0; j < n; j++)
            worst = fmax(worst, fabs(grad[j] - kt_slope(attention_loss, &args, &args.qkv[j])));
        kt_done();
    }
    kt_within("twin's gradient, differences", "double", worst, 1e-8);
}

static void
backward_matches_the_twin(void)
{
    double worst[4] = { 0 };

    for (int i = 0; i < SIZES; i++) {
        struct batch b;
        double *grad, *out;
        int64_t n, m;

        make_batch(&b, &all_sizes[i]);
        n = b.rows * b.op.H * b.op.E;
        m = b.rows * b.ld;
        grad = kt_wide(NULL, m);
        out = kt_wide(NULL, n);
        run_twin(&b, kt_wide(b.qkv, m), out, kt_wide(NULL, n), kt_wide(b.dout, n), grad);
        for (int d = 0; d < kt_open(); d++) {
            float *got[2];

            for (int t = 0; t < 2; t++) {
                struct sea_op_attention_bwd bwd = { .dout = b.dout };

                got[t] = kt_floats(m);
                b.op.out = kt_floats(n);
                b.op.lse = kt_floats(b.rows * b.op.H);
                CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[t], &b.op), 0);
                bwd.fwd = b.op;
                bwd.dq = got[t];
                bwd.dk = got[t] + ((const float *)b.op.k - b.op.q);
                bwd.dv = got[t] + ((const float *)b.op.v - b.op.q);
                bwd.delta = kt_floats(b.rows * b.op.H);
                CHECK_INT(sea_cpu_ops.attention_bwd(kt_sets[d].dev[t], &bwd), 0);
            }
            kt_same("gradient, 1 and 3 threads", kt_sets[d].isa->name, got[0], got[1], m);
            worst[d] = fmax(worst[d], kt_error(got[0], grad, NULL, m));
        }
        kt_done();
    }
    for (int d = 0; d < kt_open(); d++)
        kt_within("attention backward", kt_sets[d].isa->name, worst[d], BACKWARD_BOUND);
}

/* Each segment alone, and each query of a causal segment as the only one over its cache. */
static void
bits_without_the_batch(const struct sizes *sizes)
{
    const struct sizes s = *sizes;

    for (int d = 0; d < kt_open(); d++) {
        struct batch b;
        struct sea_op_attention one;
        float *all, *alone;
        int64_t width;

        make_batch(&b, &s);
        width = b.op.H * b.op.E;
        all = kt_floats(b.rows * width);
        alone = kt_floats(b.rows * width);
        b.op.out = all;
        CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[1], &b.op), 0);
        one = b.op;
        one.S = 1;
        one.out = alone;
        for (int64_t i = 0; i < s.S; i++) {
            one.q_start = b.start + i;
            one.k_start = b.start + i;
            one.k_len = b.k_len + i;
            CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[0], &one), 0);
        }
        kt_same("segments alone", kt_sets[d].isa->name, all, alone, b.rows * width);
        memset(alone, 0xff, (size_t)(b.rows * width) * sizeof(float));
        for (int64_t i = 0; i < s.S; i++)
            for (int32_t j = 0, step; j < s.len[i]; j += step) {
                int32_t start[2] = { b.start[i] + j, b.start[i] + j }, len;

                step = j % 3 ? 1 : 5;
                step = step < s.len[i] - j ? step : s.len[i] - j;
                start[1] += step;
                len = j + step;
                one.q_start = start;
                one.k_start = b.start + i;
                one.k_len = &len;
                CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[j & 1], &one), 0);
            }
        kt_same("queries over a cache", kt_sets[d].isa->name, all, alone, b.rows * width);
        kt_done();
    }
}

static void
bits_do_not_depend_on_the_batch(void)
{
    static const struct sizes some[] = {
        { 4, 4, 2, 24, 1, { 13, 129, 7, 450 }, 0, 0 },
        { 3, 4, 2, 24, 1, { 13, 129, 450 }, 50, 0 },
        { 2, 4, 1, 33, 1, { 900, 20 }, 390, 0 },
        { 2, 3, 1, 24, 1, { 450, 64 }, 1, 3.0f },
    };

    for (int i = 0; i < 4; i++)
        bits_without_the_batch(&some[i]);
}

/* One query each over caches of all lengths: with 3 threads and few key heads the tiles of a
 * cache are worked apart, with 1 thread one after the other; the last of these does not fit into
 * the device's room at once. */
static void
long_caches_are_cut_without_a_trace(void)
{
    static const struct sizes some[] = {
        { 5, 6, 1, 40, 1, { 1300, 3, 385, 768, 769 }, 0, 0 },
        { 3, 20, 1, 24, 1, { 1500, 400, 1 }, 0, 0 },
        { 2, 4, 2, 33, 1, { 1600, 900 }, 700, 0 },
        { 1, 2, 1, 256, 0, { 1000 }, 0, 4.0f },
        { 2, 3, 1, 16, 1, { 1201, 800 }, 790, 2.5f },
        { 5, 21, 1, 8, 1, { 15700, 5, 400, 15360, 2 }, 0, 0 },
    };

    for (int i = 0; i < 6 * kt_open(); i++) {
        const struct kt_set *set = &kt_sets[i / 6];
        int32_t *start;
        float *out[2], *lse[2];
        struct batch b;
        int64_t width;

        make_batch(&b, &some[i % 6]);
        width = b.op.H * b.op.E;
        start = kt_ints(b.op.S + 1);
        start[0] = 0;
        for (int64_t s = 0; s < b.op.S; s++)
            start[s + 1] = start[s] + (s != 1);         /* the second one asks nothing */
        b.k_len[b.op.S - 1] = b.op.S > 3 ? 0 : b.k_len[b.op.S - 1];
        b.op.q_start = start;
        for (int t = 0; t < 2; t++) {
            b.op.out = out[t] = kt_floats(b.op.S * width);
            b.op.lse = lse[t] = kt_floats(b.op.S * b.op.H);
            memset(out[t], 0xff, (size_t)(b.op.S * width) * sizeof(float));
            memset(lse[t], 0xff, (size_t)(b.op.S * b.op.H) * sizeof(float));
            CHECK_INT(sea_cpu_ops.attention(set->dev[t], &b.op), 0);
        }
        kt_same("out of long caches", set->isa->name, out[0], out[1], b.op.S * width);
        kt_same("lse of long caches", set->isa->name, lse[0], lse[1], b.op.S * b.op.H);
        CHECK(isfinite(out[0][0]) && out[0][0] != 0.0f);
        kt_done();
    }
}

/* A window as long as the segment is none, to the bit; and keys outside a window are not even
 * read: they may be anything. */
static void
keys_outside_the_window_are_not_read(void)
{
    static const struct sizes s = { 1, 2, 1, 24, 1, { 1000 }, 1000, 0 };

    for (int d = 0; d < kt_open(); d++) {
        struct batch b;
        float *all, *same;
        int32_t start[2] = { 990, 1000 };
        int64_t width;

        make_batch(&b, &s);
        width = b.op.H * b.op.E;
        b.op.out = all = kt_floats(b.rows * width);
        CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[0], &b.op), 0);
        b.op.window = 0;
        b.op.out = same = kt_floats(b.rows * width);
        CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[1], &b.op), 0);
        kt_same("window of everything", kt_sets[d].isa->name, all, same, b.rows * width);
        b.op.window = 40;
        b.op.q_start = start;
        CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[0], &b.op), 0);
        memcpy(all, same, (size_t)(b.rows * width) * sizeof(float));
        for (int64_t i = 0; i < 900 * b.ld; i++)        /* tiles before 768, panels before 928 */
            b.qkv[i] = NAN;
        CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[1], &b.op), 0);
        kt_same("spoilt keys before the window", kt_sets[d].isa->name, all + 990 * width,
                same + 990 * width, 10 * width);
        CHECK(isfinite(same[990 * width]));
        kt_done();
    }
}

static void
queries_without_keys_give_zero(void)
{
    for (int d = 0; d < kt_open(); d++) {
        static const struct sizes s = { 1, 1, 1, 8, 1, { 9 }, 0, 0 };
        struct batch b;
        int32_t len = 4;        /* the first five queries see nothing */
        float *out;

        make_batch(&b, &s);
        b.op.k_len = &len;
        b.op.out = out = kt_floats(9 * 8);
        b.op.lse = kt_floats(9);
        CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[0], &b.op), 0);
        for (int i = 0; i < 5 * 8; i++)
            CHECK(out[i] == 0.0f);
        CHECK(b.op.lse[0] == -INFINITY);
        for (int i = 5 * 8; i < 9 * 8; i++)
            CHECK(isfinite(out[i]) && out[i] != 0.0f);
        kt_done();
    }
}

/* Scores of +-10^4: one key takes everything, and nothing overflows. */
static void
huge_scores_stay_finite(void)
{
    for (int d = 0; d < kt_open(); d++) {
        static const struct sizes s = { 1, 2, 1, 16, 0, { 40 }, 0, 0 };
        struct batch b;
        double *out;
        int64_t n;

        make_batch(&b, &s);
        for (int64_t i = 0; i < b.rows * b.ld; i++)
            b.qkv[i] *= 70.0f;
        n = b.rows * b.op.H * b.op.E;
        b.op.out = kt_floats(n);
        CHECK_INT(sea_cpu_ops.attention(kt_sets[d].dev[1], &b.op), 0);
        out = kt_wide(NULL, n);
        run_twin(&b, kt_wide(b.qkv, b.rows * b.ld), out, kt_wide(NULL, n), NULL, NULL);
        kt_within("attention, scores of 10^4", kt_sets[d].isa->name,
                  kt_error(b.op.out, out, NULL, n), 1e-3);      /* 10^4 * 2^-23 each score */
        kt_done();
    }
}

static void
wrong_arguments_are_refused(void)
{
    static const struct sizes s = { 1, 2, 1, 8, 1, { 5 }, 0, 0 };
    struct batch b;
    struct sea_op_attention op;
    struct sea_op_attention_bwd bwd = { 0 };
    int32_t two = 2;
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    make_batch(&b, &s);
    b.op.out = kt_floats(5 * 16);
    op = b.op, op.K = 3;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), SEA_RC_ARGUMENT);
    op = b.op, op.E = 257, op.ld_q = op.ld_kv = op.ld_out = 1000;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), SEA_RC_UNSUPPORTED);
    op = b.op, op.ld_out = 15;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), SEA_RC_ARGUMENT);
    op = b.op, op.q = NULL;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), SEA_RC_ARGUMENT);
    op = b.op, op.window = -1;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), SEA_RC_ARGUMENT);
    op = b.op, op.window = 3, op.causal = 0;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), SEA_RC_ARGUMENT);
    op = b.op, op.softcap = -1.0f;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), SEA_RC_ARGUMENT);
    op = b.op, op.S = 0;
    CHECK_INT(sea_cpu_ops.attention(dev, &op), 0);
    bwd.fwd = b.op;             /* no lse */
    bwd.dout = bwd.dq = bwd.dk = bwd.dv = bwd.delta = b.qkv;
    CHECK_INT(sea_cpu_ops.attention_bwd(dev, &bwd), SEA_RC_ARGUMENT);
    bwd.fwd.lse = kt_floats(10);
    bwd.fwd.k_len = &two;       /* a cache has no gradient */
    CHECK_INT(sea_cpu_ops.attention_bwd(dev, &bwd), SEA_RC_ARGUMENT);
    kt_done();
}

SEA_TEST_MAIN("attention", TEST(forward_matches_the_twin),
              TEST(the_twins_gradient_matches_differences), TEST(backward_matches_the_twin),
              TEST(bits_do_not_depend_on_the_batch), TEST(long_caches_are_cut_without_a_trace),
              TEST(keys_outside_the_window_are_not_read), TEST(queries_without_keys_give_zero),
              TEST(huge_scores_stay_finite), TEST(wrong_arguments_are_refused))
