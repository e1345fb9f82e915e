/* SPDX-License-Identifier: Apache-2.0 */
/* Products and attention of shapes drawn at random around the sizes where a kernel changes its
 * way: the same bits from 1, 2, 4 and 7 threads and for some rows without the others, and
 * numbers of the output against sums in double. SEA_SHAPES=N draws N of each (10). */
#include "tests/kernels/kernel_test.h"

enum { THREADS = 4, LOOKS = 40 };
struct set {
    const struct sea_cpu_isa *isa;
    void *dev[THREADS];
};
static struct set sets[4];
static int sets_count;

static void
close_all(void)
{
    for (int i = 0; i < sets_count; i++)
        for (int t = 0; t < THREADS; t++)
            sea_cpu_ops.dev_close(sets[i].dev[t]);
}

static int
shapes_asked(void)
{
    static const int threads[THREADS] = { 1, 2, 4, 7 };
    const struct sea_cpu_isa *const *isas = sea_cpu_isas();
    const char *asked = getenv("SEA_SHAPES");

    if (!sets_count)
        atexit(close_all);
    for (; !sets[sets_count].isa && isas[sets_count]; sets_count++) {
        sets[sets_count].isa = isas[sets_count];
        for (int t = 0; t < THREADS; t++)
            if (sea_cpu_open(isas[sets_count], threads[t], &sets[sets_count].dev[t]))
                abort();
    }
    return asked ? (int)strtol(asked, NULL, 10) : 10;
}

static int64_t
between(int64_t a, int64_t b)
{
    return a + (int64_t)((kt_bits() >> 16) % (uint64_t)(b - a + 1));
}

/* Sizes near the ends of panels, of steps of k, of rows that stay packed; or any. */
static int64_t
size_near(int64_t most)
{
    static const int64_t ends[] = { 8, 16, 32, 56, 384, 768, 784 };
    int64_t end = ends[between(0, 6)];

    return between(0, 3) && end + 4 <= most ? between(end - 4, end + 4) : between(1, most);
}

/* ---- products ---- */

static struct sea_op_gemm
draw_product(void)
{
    struct sea_op_gemm op = {
        .M = size_near(900), .N = size_near(800), .K = size_near(800), .trans_a = !between(0, 3),
        .trans_b = between(0, 1) != 0, .accumulate = !between(0, 2), .rounded = !between(0, 2),
        .b_type = between(0, 1) ? SEA_STORE_BF16 : SEA_STORE_F32, .alpha = 0.75f };
    int64_t rows_a = op.trans_a ? op.K : op.M, rows_b = op.trans_b ? op.N : op.K;

    op.lda = (op.trans_a ? op.M : op.K) + between(0, 9);
    op.ldb = (op.trans_b ? op.K : op.N) + between(0, 9);
    op.ldc = op.N + between(0, 9);
    op.a = kt_random(rows_a * op.lda, 1.0f);
    op.b = kt_weights(op.b_type, rows_b * op.ldb, 1.0f);
    op.bias = between(0, 1) ? kt_random(op.N, 1.0f) : NULL;
    return op;
}

/* |c - sum| over the sum of magnitudes. bfloat16 keeps 8 bits of a, and of b what it has. */
static double
error_at(const struct sea_op_gemm *op, const float *c, const float *start, int64_t m, int64_t n)
{
    double sum = 0.0, all = 1e-30, bias = op->bias ? (double)op->bias[n] : 0.0;
    double old = op->accumulate ? (double)start[m * op->ldc + n] : 0.0;

    for (int64_t k = 0; k < op->K; k++) {
        double a = (double)op->a[op->trans_a ? k * op->lda + m : m * op->lda + k];
        double x = a * (double)op->alpha * (double)kt_weight_at(
            op->b_type, op->b, op->trans_b ? n * op->ldb + k : k * op->ldb + n);

        sum += x;
        all += fabs(x);
    }
    return fabs((double)c[m * op->ldc + n] - sum - bias - old) / (all + fabs(bias) + fabs(old));
}

static double
check_product(const struct set *set, const struct sea_op_gemm *given, const float *start)
{
    struct sea_op_gemm op = *given;
    int64_t n = op.M * op.ldc, from, rows;
    float *c[THREADS], *some;
    double worst = 0.0;

    for (int t = 0; t < THREADS; t++) {
        op.c = c[t] = kt_copy(start, n);
        CHECK_INT(sea_cpu_ops.gemm(set->dev[t], &op), 0);
        kt_same("a product on more threads", set->isa->name, c[0], c[t], n);
    }
    for (int i = 0; i < LOOKS; i++)
        worst = fmax(worst, error_at(&op, c[0], start, between(0, op.M - 1),
                                     i % 4 ? between(0, op.N - 1) : op.N - 1));
    for (int i = 0; i < 3 && !op.trans_a; i++) {
        rows = between(1, op.M < 20 ? op.M : 20);
        from = between(0, op.M - rows);
        op.a = given->a + from * op.lda;
        op.M = rows;
        op.c = some = kt_copy(start + from * op.ldc, rows * op.ldc);
        CHECK_INT(sea_cpu_ops.gemm(set->dev[i], &op), 0);
        kt_same("some of its rows", set->isa->name, c[0] + from * op.ldc, some, rows * op.ldc);
        op = *given;
    }
    return worst;
}

static void
products_of_random_shapes(void)
{
    int count = shapes_asked();
    double worst[2] = { 0.0, 0.0 };

    for (int i = 0; i < count; i++) {
        struct sea_op_gemm op = draw_product();
        float *start = kt_random(op.M * op.ldc, 1.0f);

        for (int s = 0; s < sets_count; s++) {
            int round = op.rounded && ((const struct sea_cpu *)sets[s].dev[0])->gemm_dot;

            worst[round] = fmax(worst[round], check_product(&sets[s], &op, start));
        }
        kt_done();
    }
    /* A chain of at most 384, then steps; and two factors with 2^-9 of their size each. */
    kt_within("products of random shapes", "all", worst[0], KT_UNIT * 400);
    kt_within("rounded ones", "all", worst[1], 2.1 / 512);
}

/* ---- attention ---- */

struct cache {
    struct sea_op_attention op;
    int32_t q_start[5], k_start[4], k_len[4];
    int64_t keys;
};

/* One query a segment over long caches in half of all cases, else some or many. */
static void
draw_cache(struct cache *c)
{
    int64_t S = between(1, 4), K = between(1, 3), H = K * between(1, 9), E = between(1, 80);
    int ones = between(0, 1) != 0;

    *c = (struct cache){ .op = { .S = S, .H = H, .K = K, .E = E, .causal = 1 } };
    for (int64_t s = 0; s < S; s++) {
        int64_t q = ones ? 1 : between(0, 1) ? between(0, 20) : between(200, 260);

        c->q_start[s + 1] = c->q_start[s] + (int32_t)q;
        c->k_start[s] = (int32_t)c->keys;
        c->k_len[s] = (int32_t)(q + (ones ? size_near(2000) + between(0, 1) * 1150
                                          : between(0, 400)));
        c->keys += c->k_len[s] + between(0, 3);
    }
    c->op.ld_q = H * E + between(0, 5);
    c->op.ld_kv = K * E + between(0, 5);
    c->op.ld_out = H * E;
    c->op.q = kt_random(c->q_start[S] * c->op.ld_q, 1.7f);
    c->op.k = kt_random(c->keys * c->op.ld_kv, 1.7f);
    c->op.v = kt_random(c->keys * c->op.ld_kv, 1.0f);
    c->op.scale = 1.0f / sqrtf((float)E);
    c->op.window = between(0, 1) ? size_near(1000) : 0;
    c->op.softcap = between(0, 2) ? 0.0f : 3.0f;
    c->op.q_start = c->q_start;
    c->op.k_start = c->k_start;
    c->op.k_len = c->k_len;
}

/* Largest error of the row of query j of segment s, head h; values are below 1. */
static double
row_error(const struct cache *c, int64_t s, int64_t j, int64_t h, const float *out)
{
    const struct sea_op_attention *op = &c->op;
    int64_t end = c->k_len[s] - (c->q_start[s + 1] - c->q_start[s]) + j + 1, g = h * op->K / op->H;
    int64_t first = op->window && end > op->window ? end - op->window : 0;
    const float *k = op->k, *v = op->v;
    const float *q = op->q + (c->q_start[s] + j) * op->ld_q + h * op->E;
    double row[80] = { 0.0 }, sum = 0.0, worst = 0.0;

    for (int64_t y = first; y < end; y++) {
        int64_t at = (c->k_start[s] + y) * op->ld_kv + g * op->E;
        double score = 0.0, weight;

        for (int64_t e = 0; e < op->E; e++)
            score += (double)q[e] * (double)k[at + e];
        score *= (double)op->scale;
        weight = exp(op->softcap > 0.0f ? 3.0 * tanh(score / 3.0) : score);
        sum += weight;
        for (int64_t e = 0; e < op->E; e++)
            row[e] += weight * (double)v[at + e];
    }
    for (int64_t e = 0; e < op->E; e++)
        worst = fmax(worst, fabs(row[e] / sum -
                                 (double)out[(c->q_start[s] + j) * op->ld_out + h * op->E + e]));
    return worst;
}

static double
check_attention(const struct set *set, const struct cache *given)
{
    struct cache c = *given;
    struct sea_op_attention *op = &c.op;
    int64_t n = c.q_start[op->S] * op->ld_out;
    float *out[THREADS], *alone = kt_floats(op->ld_out);
    int32_t one[2] = { 0, 1 }, start, len;
    double worst = 0.0;

    for (int t = 0; t < THREADS; t++) {
        op->out = out[t] = kt_floats(n);
        CHECK_INT(sea_cpu_ops.attention(set->dev[t], op), 0);
        kt_same("attention on more threads", set->isa->name, out[0], out[t], n);
    }
    for (int64_t s = 0; s < op->S; s++) {
        int64_t count = c.q_start[s + 1] - c.q_start[s], j = count ? between(0, count - 1) : 0;
        struct sea_op_attention of = *op;

        if (!count)
            continue;
        worst = fmax(worst, row_error(&c, s, j, between(0, op->H - 1), out[0]));
        start = c.k_start[s];
        len = (int32_t)(c.k_len[s] - count + j + 1);
        of.q = op->q + (c.q_start[s] + j) * op->ld_q;
        of.S = 1;
        of.q_start = one;
        of.k_start = &start;
        of.k_len = &len;
        of.out = alone;
        for (int t = 0; t < THREADS; t++) {
            CHECK_INT(sea_cpu_ops.attention(set->dev[t], &of), 0);
            kt_same("a query alone", set->isa->name, out[0] + (c.q_start[s] + j) * op->ld_out,
                    alone, op->ld_out);
        }
    }
    return worst;
}

static void
attention_of_random_shapes(void)
{
    int count = 2 * shapes_asked();
    double worst = 0.0;

    for (int i = 0; i < count; i++) {
        struct cache c;

        draw_cache(&c);
        for (int s = 0; s < sets_count; s++)
            worst = fmax(worst, check_attention(&sets[s], &c));
        kt_done();
    }
    /* A score of E products is off by some units, and a weight by as much. */
    kt_within("attention of random shapes", "all", worst, KT_UNIT * 120);
}

SEA_TEST_MAIN("kernels of random shapes", TEST(products_of_random_shapes),
              TEST(attention_of_random_shapes))
