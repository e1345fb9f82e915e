/* SPDX-License-Identifier: Apache-2.0 */
/* AdamW, axpby, sums and the clip factor: against twins in double, threads, aliases,
 * guards, refusals. */
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/twin.h"

static const int64_t lengths[] = { 1, 7, 13, 129, 40000 };
enum { LENGTHS = sizeof(lengths) / sizeof(lengths[0]) };

static void
adamw_matches_the_twin(void)
{
    for (int d = 0; d < kt_open(); d++) {
        double worst[3] = { 0 };

        for (int i = 0; i < LENGTHS; i++) {
            int64_t n = lengths[i];
            float *g = kt_random(n, 1.0f), *first = kt_random(n, 1.0f), gscale = 0.5f;
            float *p[2], *m[2], *v[2];
            double *wp = kt_wide(first, n), *wm = kt_wide(NULL, n), *wv = kt_wide(NULL, n);
            struct sea_op_adamw op = { .g = g, .gscale = &gscale, .n = n, .lr = 1e-2f,
                                       .beta1 = 0.9f, .beta2 = 0.98f, .eps = 1e-8f, .wd = 0.1f };

            for (int t = 0; t < 2; t++) {
                op.p = p[t] = kt_copy(first, n);
                op.m = m[t] = kt_zeros(n);
                op.v = v[t] = kt_zeros(n);
                for (op.step = 1; op.step <= 3; op.step++)
                    CHECK_INT(sea_cpu_ops.adamw(kt_sets[d].dev[t], &op), 0);
            }
            for (op.step = 1; op.step <= 3; op.step++)
                for (int64_t j = 0; j < n; j++)
                    wp[j] = twin_adamw(&op, wp[j], (double)g[j] * 0.5, &wm[j], &wv[j]);
            kt_same("p, 1 and 3 threads", kt_sets[d].isa->name, p[0], p[1], n);
            worst[0] = fmax(worst[0], kt_error(p[0], wp, NULL, n));
            worst[1] = fmax(worst[1], kt_error(m[0], wm, NULL, n));
            worst[2] = fmax(worst[2], kt_error(v[0], wv, NULL, n));
            kt_done();
        }
        kt_within("adamw p after 3 steps", kt_sets[d].isa->name, worst[0], 5e-7);
        kt_within("adamw m", kt_sets[d].isa->name, worst[1], 5e-7);
        kt_within("adamw v", kt_sets[d].isa->name, worst[2], 5e-7);
    }
}

static void
axpby_matches_and_may_overwrite(void)
{
    for (int d = 0; d < kt_open(); d++)
        for (int i = 0; i < LENGTHS; i++) {
            int64_t n = lengths[i];
            float *x = kt_random(n, 1.0f), *y = kt_random(n, 1.0f), *want = kt_floats(n);
            struct sea_op_axpby op = { .x = x, .y = y, .n = n, .a = 0.3f, .b = -1.7f };

            for (int64_t j = 0; j < n; j++)
                want[j] = 0.3f * x[j] + -1.7f * y[j];
            for (int t = 0; t < 2; t++) {
                op.out = kt_floats(n);
                CHECK_INT(sea_cpu_ops.axpby(kt_sets[d].dev[t], &op), 0);
                kt_same("axpby", kt_sets[d].isa->name, op.out, want, n);
            }
            op.x = op.out = kt_copy(x, n);
            CHECK_INT(sea_cpu_ops.axpby(kt_sets[d].dev[1], &op), 0);
            kt_same("out over x", kt_sets[d].isa->name, op.out, want, n);
            op.x = x;
            op.y = op.out = kt_copy(y, n);
            CHECK_INT(sea_cpu_ops.axpby(kt_sets[d].dev[1], &op), 0);
            kt_same("out over y", kt_sets[d].isa->name, op.out, want, n);
            op.y = NULL;
            CHECK_INT(sea_cpu_ops.axpby(kt_sets[d].dev[1], &op), 0);
            for (int64_t j = 0; j < n; j++)
                CHECK(op.out[j] == 0.3f * x[j]);
            kt_done();
        }
}

static void
column_sums_match(void)
{
    static const int64_t shapes[][2] = { { 1, 1 }, { 7, 13 }, { 129, 7 }, { 3000, 65 },
                                         { 0, 5 }, { 33, 1000 } };

    for (int d = 0; d < kt_open(); d++) {
        double worst = 0.0;

        for (int i = 0; i < 6; i++)
            for (int accumulate = 0; accumulate < 2; accumulate++) {
                int64_t R = shapes[i][0], C = shapes[i][1], ld = C + 1;
                float *x = kt_random(R * ld, 1.0f), *first = kt_random(C, 1.0f), *out[2];
                double *want = kt_wide(accumulate ? first : NULL, C), *size = kt_wide(NULL, C);

                for (int64_t r = 0; r < R; r++)
                    for (int64_t c = 0; c < C; c++)
                        want[c] += (double)x[r * ld + c];
                for (int64_t c = 0; c < C; c++)
                    size[c] = sqrt((double)R + 1.0);    /* how far such a sum wanders */
                for (int t = 0; t < 2; t++) {
                    struct sea_op_colsum op = { .x = x, .out = out[t] = kt_copy(first, C),
                                                .R = R, .C = C, .ld = ld,
                                                .accumulate = accumulate };

                    CHECK_INT(sea_cpu_ops.colsum(kt_sets[d].dev[t], &op), 0);
                }
                kt_same("colsum, 1 and 3 threads", kt_sets[d].isa->name, out[0], out[1], C);
                worst = fmax(worst, kt_error(out[0], want, size, C));
                kt_done();
            }
        kt_within("colsum", kt_sets[d].isa->name, worst, 1e-6);
    }
}

static void
sums_are_in_double(void)
{
    for (int d = 0; d < kt_open(); d++) {
        double worst = 0.0;

        for (int i = 0; i < LENGTHS; i++)
            for (int square = 0; square < 2; square++) {
                int64_t n = lengths[i];
                float *x = kt_random(n, 1.0f);
                double size = 100.0, out[2] = { 100.0, 100.0 };
                long double want = 100.0L;
                struct sea_op_sum op = { .x = x, .n = n, .square = square, .accumulate = 1 };

                for (int64_t j = 0; j < n; j++) {
                    double term = square ? (double)x[j] * (double)x[j] : (double)x[j];

                    want += term;
                    size += fabs(term);
                }
                for (int t = 0; t < 2; t++) {
                    op.out = &out[t];
                    CHECK_INT(sea_cpu_ops.sum(kt_sets[d].dev[t], &op), 0);
                }
                CHECK(!memcmp(&out[0], &out[1], sizeof(double)));
                worst = fmax(worst, fabs((double)((long double)out[0] - want)) / size);
                op.accumulate = 0;
                CHECK_INT(sea_cpu_ops.sum(kt_sets[d].dev[0], &op), 0);
                CHECK_NEAR(out[1], want - 100.0L, 4.6e-13 * size);
                kt_done();
            }
        /* a lane adds at most 4096 numbers in turn, each rounded by 2^-53 of the sum */
        kt_within("sum", kt_sets[d].isa->name, worst, 4.6e-13);
    }
}

static void
clip_is_one_below_the_limit(void)
{
    double sumsq = 16.0;
    float gscale = 9.0f;
    struct sea_op_clip op = { .sumsq = &sumsq, .gscale = &gscale, .max_norm = 1.0f };
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(sea_cpu_ops.clip(dev, &op), 0);
    CHECK(gscale == 0.25f);
    op.max_norm = 5.0f;
    CHECK_INT(sea_cpu_ops.clip(dev, &op), 0);
    CHECK(gscale == 1.0f);
    op.max_norm = 0.0f;
    gscale = 9.0f;
    CHECK_INT(sea_cpu_ops.clip(dev, &op), 0);
    CHECK(gscale == 1.0f);
}

static void
wrong_arguments_are_refused(void)
{
    float x[4] = { 0 };
    struct sea_op_adamw adamw = { .p = x, .m = x, .v = x, .g = x, .n = 4, .step = 0 };
    struct sea_op_axpby axpby = { .x = x, .n = 4 };
    struct sea_op_colsum colsum = { .x = x, .out = x, .R = 2, .C = 2, .ld = 1 };
    struct sea_op_sum sum = { .x = x, .n = 4 };
    struct sea_op_clip clip = { 0 };
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(sea_cpu_ops.adamw(dev, &adamw), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.axpby(dev, &axpby), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.colsum(dev, &colsum), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.sum(dev, &sum), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.clip(dev, &clip), SEA_RC_ARGUMENT);
}

SEA_TEST_MAIN("updates and sums", TEST(adamw_matches_the_twin),
              TEST(axpby_matches_and_may_overwrite), TEST(column_sums_match),
              TEST(sums_are_in_double), TEST(clip_is_one_below_the_limit),
              TEST(wrong_arguments_are_refused))
