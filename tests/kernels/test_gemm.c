/* SPDX-License-Identifier: Apache-2.0 */
/* Matrix products: every layout and edge against sums in double, bits that depend neither
 * on threads nor on the other rows, guards, and refusals. */
#include "tests/kernels/kernel_test.h"

struct shape {
    int64_t M, N, K;
};

static int
rounds(const struct kt_set *set, const struct sea_op_gemm *op)
{
    return op->rounded && ((const struct sea_cpu *)set->dev[0])->gemm_dot;
}

/* To the nearest bfloat16, ties to even; x is finite and normal. */
static double
rounded(double x)
{
    float narrow = (float)x;
    uint32_t bits;

    memcpy(&bits, &narrow, sizeof(bits));
    bits = (bits + 0x7fff + (bits >> 16 & 1)) & 0xffff0000u;
    memcpy(&narrow, &bits, sizeof(bits));
    return (double)narrow;
}

/* c = op(a) op(b) + bias + c in double, and the sum of all magnitudes; round: of a and b as
 * bfloat16. */
static void
product(const struct sea_op_gemm *op, int round, const float *c_old, double *want, double *size)
{
    for (int64_t m = 0; m < op->M; m++)
        for (int64_t n = 0; n < op->N; n++) {
            double sum = 0.0, all = 1e-30, bias = op->bias ? (double)op->bias[n] : 0.0;
            double old = op->accumulate ? (double)c_old[m * op->ldc + n] : 0.0;

            for (int64_t k = 0; k < op->K; k++) {
                double a = (double)op->a[op->trans_a ? k * op->lda + m : m * op->lda + k];
                double b = (double)kt_weight_at(op->b_type, op->b, op->trans_b ? n * op->ldb + k
                                                                                : k * op->ldb + n);

                if (round) {
                    a = rounded(a);
                    b = rounded(b);
                }
                sum += (double)op->alpha * a * b;
                all += fabs((double)op->alpha * a * b);
            }
            want[m * op->N + n] = sum + bias + old;
            size[m * op->N + n] = all + fabs(bias) + fabs(old);
        }
}

/* Rounding of a chain: a step of k is at most 384 long, of pairs 768, every later step adds
 * once. */
static double
bound_of(int64_t K, int64_t step)
{
    return KT_UNIT * 2.0 * ((double)(K < step ? K : step) + (double)K / (double)step + 5.0);
}

static double
one_product(const struct kt_set *set, struct shape s, int variant)
{
    struct sea_op_gemm op = { .M = s.M, .N = s.N, .K = s.K, .trans_a = variant & 1,
                              .trans_b = variant >> 1 & 1, .accumulate = variant >> 2 & 1,
                              .alpha = variant & 4 ? 0.375f : 1.0f,
                              .b_type = variant & 16 ? SEA_STORE_BF16 : SEA_STORE_F32,
                              .rounded = variant >> 5 & 1 };
    int64_t pad = variant & 8 ? 5 : 0, rows_a, rows_b;
    float *c[2], *start, gap = 12345.0f;
    double *want = kt_wide(NULL, s.M * s.N), *size = kt_wide(NULL, s.M * s.N), error = 0.0;

    op.lda = (op.trans_a ? s.M : s.K) + pad;
    op.ldb = (op.trans_b ? s.K : s.N) + pad;
    op.ldc = s.N + pad;
    rows_a = op.trans_a ? s.K : s.M;
    rows_b = op.trans_b ? s.N : s.K;
    op.a = kt_random(rows_a * op.lda, 1.0f);
    op.b = kt_weights(op.b_type, rows_b * op.ldb, 1.0f);
    op.bias = variant & 2 ? kt_random(s.N, 1.0f) : NULL;
    start = kt_random(s.M * op.ldc, 1.0f);
    for (int64_t m = 0; m < s.M; m++)
        for (int64_t n = s.N; n < op.ldc; n++)
            start[m * op.ldc + n] = gap;
    product(&op, rounds(set, &op), start, want, size);
    for (int t = 0; t < 2; t++) {
        c[t] = kt_copy(start, s.M * op.ldc);
        op.c = c[t];
        if (!op.accumulate)             /* what C holds must not matter */
            for (int64_t m = 0; m < s.M; m++)
                memset(c[t] + m * op.ldc, 0xff, (size_t)s.N * sizeof(float));
        CHECK_INT(sea_cpu_ops.gemm(set->dev[t], &op), 0);
    }
    kt_same("1 and 3 threads", set->isa->name, c[0], c[1], s.M * op.ldc);
    for (int64_t m = 0; m < s.M; m++) {
        error = fmax(error, kt_error(c[0] + m * op.ldc, want + m * s.N, size + m * s.N, s.N));
        for (int64_t n = s.N; n < op.ldc; n++)
            CHECK(c[0][m * op.ldc + n] == gap);
    }
    kt_done();
    return error;
}

static void
products_match_sums_in_double(void)
{
    static const struct shape shapes[] = {
        { 1, 1, 1 }, { 7, 13, 1 }, { 1, 129, 7 }, { 13, 1, 129 }, { 129, 7, 13 }, { 14, 32, 16 },
        { 15, 33, 17 }, { 129, 129, 129 }, { 4, 64, 500 }, { 33, 400, 385 }, { 57, 65, 1153 },
        { 500, 96, 384 }, { 16, 16, 0 },  { 3, 47, 900 },  { 16, 31, 63 },    { 17, 65, 129 },
    };

    for (int d = 0; d < kt_open(); d++) {
        double worst = 0.0;

        for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
            for (int variant = 0; variant < 64; variant++) {
                double bound = bound_of(shapes[i].K, variant & 32 ? 768 : 384);
                double error = one_product(&kt_sets[d], shapes[i], variant);

                CHECK_MSG(error <= bound, "%s (%lld, %lld, %lld) variant %d: error %.3g > %.3g",
                          kt_sets[d].isa->name, (long long)shapes[i].M, (long long)shapes[i].N,
                          (long long)shapes[i].K, variant, error, bound);
                worst = fmax(worst, error / bound);
            }
        if (((const struct sea_cpu *)kt_sets[d].dev[0])->gemm_dot)
            printf("  products rounded to bfloat16 take dot products\n");
        kt_within("gemm, share of the chain's bound", kt_sets[d].isa->name, worst, 1.0);
    }
}

/* A row computed alone, in a group, or among 129 has the same bits. With few rows and rows
 * of B the product takes another path: every number of rows from 1 to 40 crosses it. */
static void
a_row_does_not_depend_on_its_neighbours(void)
{
    enum { M = 129, N = 77, K = 700 };

    for (int d = 0; d < kt_open(); d++)
        for (int variant = 0; variant < 16; variant++) {
            struct sea_op_gemm op = { .M = M, .N = N, .K = K, .trans_a = variant & 1,
                                      .trans_b = variant >> 1 & 1, .lda = variant & 1 ? M : K,
                                      .ldb = variant >> 1 & 1 ? K : N, .ldc = N, .alpha = 0.7f,
                                      .b_type = variant & 4 ? SEA_STORE_BF16 : SEA_STORE_F32,
                                      .rounded = variant >> 3 };
            const float *a = kt_random(M * K, 1.0f);
            float *all = kt_floats(M * N), *some = kt_floats(M * N);

            op.a = a;
            op.b = kt_weights(op.b_type, N * K, 1.0f);
            op.bias = kt_random(N, 1.0f);
            op.c = all;
            CHECK_INT(sea_cpu_ops.gemm(kt_sets[d].dev[1], &op), 0);
            for (int64_t rows = 1; rows <= 40; rows++)
                for (int64_t m = rows % 3; m < M; m += rows) {
                    op.M = M - m < rows ? M - m : rows;
                    op.a = a + (op.trans_a ? m : m * K);
                    op.c = some + m * N;
                    CHECK_INT(sea_cpu_ops.gemm(kt_sets[d].dev[(m / rows) & 1], &op), 0);
                    kt_same("rows apart", kt_sets[d].isa->name, all + m * N, some + m * N,
                            op.M * N);
                }
            kt_done();
        }
}

/* The path for few rows against the packed one at awkward lengths of k and odd strides, with
 * numbers whose sums depend on their order, and C added to. */
static void
few_rows_take_the_same_sums(void)
{
    static const int64_t ks[] = { 0, 1, 7, 15, 16, 17, 31, 33, 48, 299, 304, 384, 385, 896, 1153 };
    enum { M = 40, N = 37 };

    for (int d = 0; d < kt_open(); d++)
        for (int i = 0; i < 30; i++) {
            int64_t K = ks[i / 2];
            struct sea_op_gemm op = { .M = M, .N = N, .K = K, .trans_b = 1, .lda = K + 3,
                                      .ldb = K + 1, .ldc = N + 2, .alpha = 0.3f, .accumulate = 1,
                                      .b_type = i & 1 ? SEA_STORE_BF16 : SEA_STORE_F32 };
            const float *a = kt_random(M * op.lda, 100.0f), *start = kt_random(M * op.ldc, 1.0f);
            float *all = kt_copy(start, M * op.ldc), *some;

            op.a = a;
            op.b = kt_weights(op.b_type, N * op.ldb, 1.0f);
            op.c = all;
            CHECK_INT(sea_cpu_ops.gemm(kt_sets[d].dev[1], &op), 0);
            for (op.M = 1; op.M < M; op.M++) {
                op.c = some = kt_copy(start, op.M * op.ldc);
                CHECK_INT(sea_cpu_ops.gemm(kt_sets[d].dev[op.M & 1], &op), 0);
                kt_same("few rows", kt_sets[d].isa->name, all, some, op.M * op.ldc);
            }
            kt_done();
        }
}

/* More rows than stay packed and several blocks of columns, so that panels of A are used again:
 * the same bits with 1 and 3 threads, and as a piece of C computed alone, which packs its own. */
static void
large_products_use_all_threads_without_a_trace(void)
{
    enum { M = 1517, N = 410, K = 777, AT_M = 700, AT_N = 150, PIECE_M = 100, PIECE_N = 160 };

    for (int i = 0; i < 8 * kt_open(); i++) {
        const struct kt_set *set = &kt_sets[i / 8];
        struct sea_op_gemm op = { .M = M, .N = N, .K = K, .trans_a = i & 1, .trans_b = i >> 1 & 1,
                                  .lda = i & 1 ? M : K, .ldb = i & 2 ? K : N, .ldc = N,
                                  .alpha = 1.0f, .accumulate = i & 1, .rounded = i >> 2 & 1 };
        const float *a = kt_random(M * K, 1.0f), *b = kt_random(N * K, 1.0f);
        const float *bias = kt_random(N, 1.0f), *start = kt_random(M * N, 1.0f);
        float *c[2], *piece = kt_copy(start, M * N);

        op.a = a;
        op.b = b;
        op.bias = bias;
        for (int t = 0; t < 2; t++) {
            op.c = c[t] = kt_copy(start, M * N);
            CHECK_INT(sea_cpu_ops.gemm(set->dev[t], &op), 0);
        }
        kt_same("1 and 3 threads", set->isa->name, c[0], c[1], M * N);
        op.a = a + (op.trans_a ? AT_M : AT_M * K);
        op.b = b + (op.trans_b ? AT_N * K : AT_N);
        op.bias = bias + AT_N;
        op.c = piece + AT_M * N + AT_N;
        op.M = PIECE_M;
        op.N = PIECE_N;
        CHECK_INT(sea_cpu_ops.gemm(set->dev[0], &op), 0);
        for (int64_t m = AT_M; m < AT_M + PIECE_M; m++)
            kt_same("a piece alone", set->isa->name, c[0] + m * N + AT_N, piece + m * N + AT_N,
                    PIECE_N);
        kt_done();
    }
}

/* What is not a number or infinite reaches C, and nothing else does: edge tiles read what a
 * panel is filled up with. */
static void
rounding_hides_no_nan(void)
{
    enum { M = 5, N = 35, K = 9 };

    for (int d = 0; d < kt_open(); d++)
        for (int variant = 0; variant < 4; variant++) {
            struct sea_op_gemm op = { .M = M, .N = N, .K = K, .trans_a = variant & 1,
                                      .trans_b = variant >> 1, .lda = variant & 1 ? M : K,
                                      .ldb = variant & 2 ? K : N, .ldc = N, .alpha = 1.0f,
                                      .rounded = 1 };
            float *a = kt_random(M * K, 1.0f), *b = kt_random(N * K, 1.0f);
            int bad = 0;

            a[variant & 1 ? 8 * M + 3 : 3 * K + 8] = NAN;
            b[variant & 2 ? 34 * K : 34] = INFINITY;
            op.a = a;
            op.b = b;
            op.c = kt_floats(M * N);
            CHECK_INT(sea_cpu_ops.gemm(kt_sets[d].dev[0], &op), 0);
            for (int i = 0; i < M * N; i++)
                bad += (i / N == 3) != (isnan(op.c[i]) != 0) ||
                       (i / N != 3 && i % N == 34) != (isinf(op.c[i]) != 0);
            CHECK_INT(bad, 0);
            kt_done();
        }
}

static void
wrong_arguments_are_refused(void)
{
    float x[16] = { 0 };
    struct sea_op_gemm good = { .a = x, .b = x, .c = x, .M = 2, .N = 2, .K = 2, .lda = 2,
                                .ldb = 2, .ldc = 2, .alpha = 1.0f }, op;
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(sea_cpu_ops.gemm(NULL, &good), SEA_RC_ARGUMENT);
    op = good, op.M = -1;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), SEA_RC_ARGUMENT);
    op = good, op.a = NULL;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), SEA_RC_ARGUMENT);
    op = good, op.c = NULL;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), SEA_RC_ARGUMENT);
    op = good, op.lda = 1;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), SEA_RC_ARGUMENT);
    op = good, op.ldb = 1;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), SEA_RC_ARGUMENT);
    op = good, op.ldc = 1;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), SEA_RC_ARGUMENT);
    op = good, op.b_type = (enum sea_store)2;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), SEA_RC_ARGUMENT);
    op = good, op.M = 0, op.a = NULL, op.c = NULL;
    CHECK_INT(sea_cpu_ops.gemm(dev, &op), 0);
}

SEA_TEST_MAIN("matrix products", TEST(products_match_sums_in_double),
              TEST(a_row_does_not_depend_on_its_neighbours), TEST(few_rows_take_the_same_sums),
              TEST(large_products_use_all_threads_without_a_trace),
              TEST(rounding_hides_no_nan), TEST(wrong_arguments_are_refused))
