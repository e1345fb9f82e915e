/* SPDX-License-Identifier: Apache-2.0 */
/* Activations: every kind, plain and gated, forward against twins in double and backward
 * against differences of them, from tiny to huge arguments. */
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/twin.h"

static const char *const act_name[] = { "gelu", "gelu tanh", "quick gelu", "silu" };

/* Arguments of every size, both signs, and the corners. */
static float *
arguments(int64_t n)
{
    static const float corners[] = { 0.0f, -0.0f, 1e-30f, -1e-30f, 1e-6f, -1e-6f, 20.0f, -20.0f,
                                     88.0f, -88.0f, 1e4f, -1e4f, 1e15f, -1e15f };
    float *x = kt_random(n, 6.0f);

    for (int64_t i = 0; i < n && i < (int64_t)(sizeof(corners) / sizeof(corners[0])); i++)
        x[n - 1 - i] = corners[i];
    return x;
}

static double
slope(enum sea_act act, double x)
{
    double h = 1e-5 * fmax(1.0, fabs(x));

    return (twin_act(act, x + h) - twin_act(act, x - h)) / (2.0 * h);
}

/* Errors are relative to max(|x|, 1e-6): an ulp or two of s(x) <= 1 times x. The slope has
 * no such scale: the argument of the exponential is rounded (of a cubic in the tanh form),
 * and x times its slope multiplies that. */
#define FORWARD_BOUND 4e-7
static const double slope_bound[] = { 5e-7, 4e-6, 1.5e-6, 1e-6 };

static void
plain_matches_the_twin(void)
{
    enum { R = 13, C = 129, n = R * C };

    for (int d = 0; d < kt_open(); d++)
        for (int act = SEA_ACT_GELU; act <= SEA_ACT_SILU; act++) {
            float *x = arguments(n), *dy = kt_random(n, 1.0f), *y[2], *dx[2], *over;
            double error = 0.0, slope_error = 0.0;
            char what[64];

            for (int t = 0; t < 2; t++) {
                struct sea_op_act op = { .x = x, .y = y[t] = kt_floats(n), .R = R, .C = C,
                                         .act = (enum sea_act)act };
                struct sea_op_act_bwd bwd = { .x = x, .dy = dy, .dx = dx[t] = kt_floats(n),
                                              .R = R, .C = C, .act = (enum sea_act)act };

                CHECK_INT(sea_cpu_ops.act(kt_sets[d].dev[t], &op), 0);
                CHECK_INT(sea_cpu_ops.act_bwd(kt_sets[d].dev[t], &bwd), 0);
            }
            kt_same("y, 1 and 3 threads", kt_sets[d].isa->name, y[0], y[1], n);
            kt_same("dx, 1 and 3 threads", kt_sets[d].isa->name, dx[0], dx[1], n);
            for (int64_t i = 0; i < n; i++) {
                double at = (double)x[i], want = slope((enum sea_act)act, at);

                error = fmax(error, fabs((double)y[0][i] - twin_act((enum sea_act)act, at)) /
                                        fmax(fabs(at), 1e-6));
                slope_error = fmax(slope_error,
                                   fabs((double)dx[0][i] - want * (double)dy[i]));
                CHECK(isfinite(y[0][i]) && isfinite(dx[0][i]));
            }
            kt_within(act_name[act], kt_sets[d].isa->name, error, FORWARD_BOUND);
            snprintf(what, sizeof(what), "%s slope", act_name[act]);
            kt_within(what, kt_sets[d].isa->name, slope_error, slope_bound[act]);
            over = kt_copy(x, n);
            {
                struct sea_op_act op = { .x = over, .y = over, .R = R, .C = C,
                                         .act = (enum sea_act)act };
                struct sea_op_act_bwd bwd = { .x = x, .dy = dy, .dx = dy, .R = R, .C = C,
                                              .act = (enum sea_act)act };

                CHECK_INT(sea_cpu_ops.act(kt_sets[d].dev[1], &op), 0);
                kt_same("y over x", kt_sets[d].isa->name, over, y[0], n);
                CHECK_INT(sea_cpu_ops.act_bwd(kt_sets[d].dev[1], &bwd), 0);
                kt_same("dx over dy", kt_sets[d].isa->name, dy, dx[0], n);
            }
            kt_done();
        }
}

static void
gated_matches_the_twin(void)
{
    static const int64_t shapes[][2] = { { 1, 1 }, { 7, 13 }, { 129, 7 }, { 20, 352 } };

    for (int d = 0; d < kt_open(); d++)
        for (int act = SEA_ACT_GELU; act <= SEA_ACT_SILU; act++) {
            double error = 0.0, slope_error = 0.0;
            char what[64];

            for (int i = 0; i < 4; i++) {
                int64_t R = shapes[i][0], C = shapes[i][1];
                float *x = kt_random(2 * R * C, 4.0f), *dy = kt_random(R * C, 1.0f);
                float *y[2], *dx[2];

                for (int t = 0; t < 2; t++) {
                    struct sea_op_act op = { .x = x, .y = y[t] = kt_floats(R * C), .R = R,
                                             .C = C, .act = (enum sea_act)act, .gated = 1 };
                    struct sea_op_act_bwd bwd = { .x = x, .dy = dy,
                                                  .dx = dx[t] = kt_floats(2 * R * C), .R = R,
                                                  .C = C, .act = (enum sea_act)act, .gated = 1 };

                    CHECK_INT(sea_cpu_ops.act(kt_sets[d].dev[t], &op), 0);
                    CHECK_INT(sea_cpu_ops.act_bwd(kt_sets[d].dev[t], &bwd), 0);
                }
                kt_same("y, 1 and 3 threads", kt_sets[d].isa->name, y[0], y[1], R * C);
                kt_same("dx, 1 and 3 threads", kt_sets[d].isa->name, dx[0], dx[1], 2 * R * C);
                for (int64_t r = 0; r < R; r++)
                    for (int64_t c = 0; c < C; c++) {
                        double gate = (double)x[2 * r * C + c];
                        double up = (double)x[2 * r * C + C + c], d_y = (double)dy[r * C + c];
                        double value = twin_act((enum sea_act)act, gate);

                        error = fmax(error, fabs((double)y[0][r * C + c] - value * up));
                        slope_error = fmax(slope_error,
                            fmax(fabs((double)dx[0][2 * r * C + c] -
                                      slope((enum sea_act)act, gate) * up * d_y),
                                 fabs((double)dx[0][2 * r * C + C + c] - value * d_y)));
                    }
                kt_done();
            }
            snprintf(what, sizeof(what), "gated %s", act_name[act]);
            kt_within(what, kt_sets[d].isa->name, error, 16.0 * FORWARD_BOUND);
            snprintf(what, sizeof(what), "gated %s slope", act_name[act]);
            kt_within(what, kt_sets[d].isa->name, slope_error, 4.0 * slope_bound[act]);
        }
}

static void
wrong_arguments_are_refused(void)
{
    float x[4] = { 0 };
    struct sea_op_act op = { .x = x, .y = x, .R = 2, .C = 2, .act = (enum sea_act)9 };
    struct sea_op_act_bwd bwd = { .x = x, .dx = x, .R = 2, .C = 2, .act = SEA_ACT_SILU };

    kt_open();
    CHECK_INT(sea_cpu_ops.act(kt_sets[0].dev[0], &op), SEA_RC_ARGUMENT);
    op.act = SEA_ACT_GELU;
    op.y = NULL;
    CHECK_INT(sea_cpu_ops.act(kt_sets[0].dev[0], &op), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.act_bwd(kt_sets[0].dev[0], &bwd), SEA_RC_ARGUMENT);
    op.R = 0;
    CHECK_INT(sea_cpu_ops.act(kt_sets[0].dev[0], &op), 0);
}

SEA_TEST_MAIN("activations", TEST(plain_matches_the_twin), TEST(gated_matches_the_twin),
              TEST(wrong_arguments_are_refused))
