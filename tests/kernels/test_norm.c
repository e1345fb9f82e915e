/* SPDX-License-Identifier: Apache-2.0 */
/* Layer norm, RMS norm and l2 norm, forward and backward: against twins in double and
 * their differences, threads, rows apart, aliases that are allowed, guards, refusals. */
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/twin.h"

enum kind { LAYERNORM, RMSNORM, L2NORM };

static const char *const kind_name[] = { "layernorm", "rmsnorm", "l2norm" };
static const int64_t shapes[][2] = { { 1, 1 }, { 7, 13 }, { 13, 7 }, { 5, 129 }, { 1, 1000 },
                                     { 129, 64 }, { 40, 128 } };
enum { SHAPES = sizeof(shapes) / sizeof(shapes[0]) };
#define EPS 1e-5f

struct norm {
    enum kind kind;
    int64_t R, C;
    float gamma_add;
    float *x, *dy, *gamma, *beta;
    double *wide_x, *wide_gamma, *wide_beta, *wide_dy, *wide_y;
};

static void
make(struct norm *n, enum kind kind, int64_t R, int64_t C)
{
    *n = (struct norm){ .kind = kind, .R = R, .C = C, .gamma_add = kind == RMSNORM };
    n->x = kt_random(R * C, 2.0f);
    for (int64_t i = 0; i < R * C; i++)
        n->x[i] += 0.5f;
    n->dy = kt_random(R * C, 1.0f);
    n->gamma = kt_random(C, 1.0f);
    n->beta = kt_random(C, 1.0f);
    n->wide_x = kt_wide(n->x, R * C);
    n->wide_dy = kt_wide(n->dy, R * C);
    n->wide_gamma = kt_wide(n->gamma, C);
    n->wide_beta = kt_wide(n->beta, C);
    n->wide_y = kt_wide(NULL, R * C);
}

static void
run_twin(const struct norm *n)
{
    if (n->kind == LAYERNORM)
        twin_layernorm(n->R, n->C, n->wide_x, n->wide_gamma, n->wide_beta, (double)EPS,
                       n->wide_y);
    else if (n->kind == RMSNORM)
        twin_rmsnorm(n->R, n->C, n->wide_x, n->wide_gamma, (double)n->gamma_add, (double)EPS,
                     n->wide_y);
    else
        twin_l2norm(n->R, n->C, n->wide_x, (double)EPS, n->wide_y);
}

static double
loss(const void *args)
{
    const struct norm *n = args;
    double sum = 0.0;

    run_twin(n);
    for (int64_t i = 0; i < n->R * n->C; i++)
        sum += n->wide_y[i] * n->wide_dy[i];
    return sum;
}

/* stat takes (R) mean, then (R) rstd or rnorm. */
static int
forward(void *dev, const struct norm *n, const float *x, int64_t R, float *y, float *stat)
{
    if (n->kind == LAYERNORM) {
        struct sea_op_layernorm op = { .x = x, .gamma = n->gamma, .beta = n->beta, .y = y,
                                       .mean = stat, .rstd = stat + R, .R = R, .C = n->C,
                                       .eps = EPS };
        return sea_cpu_ops.layernorm(dev, &op);
    }
    if (n->kind == RMSNORM) {
        struct sea_op_rmsnorm op = { .x = x, .gamma = n->gamma, .y = y, .rstd = stat + R,
                                     .R = R, .C = n->C, .eps = EPS, .gamma_add = n->gamma_add };
        return sea_cpu_ops.rmsnorm(dev, &op);
    }
    {
        struct sea_op_l2norm op = { .inp = x, .out = y, .rnorm = stat + R, .R = R, .C = n->C,
                                    .eps = EPS };
        return sea_cpu_ops.l2norm(dev, &op);
    }
}

static int
backward(void *dev, const struct norm *n, const float *y, const float *stat, const float *dy,
         float *dx, float *dgamma, float *dbeta, int add)
{
    if (n->kind == LAYERNORM) {
        struct sea_op_layernorm_bwd op = { .x = n->x, .dy = dy, .gamma = n->gamma, .mean = stat,
                                           .rstd = stat + n->R, .dx = dx, .dgamma = dgamma,
                                           .dbeta = dbeta, .R = n->R, .C = n->C, .add_dx = add };
        return sea_cpu_ops.layernorm_bwd(dev, &op);
    }
    if (n->kind == RMSNORM) {
        struct sea_op_rmsnorm_bwd op = { .x = n->x, .dy = dy, .gamma = n->gamma,
                                         .rstd = stat + n->R, .dx = dx, .dgamma = dgamma,
                                         .R = n->R, .C = n->C, .gamma_add = n->gamma_add,
                                         .add_dx = add };
        return sea_cpu_ops.rmsnorm_bwd(dev, &op);
    }
    {
        struct sea_op_l2norm_bwd op = { .out = y, .dout = dy, .rnorm = stat + n->R, .dinp = dx,
                                        .R = n->R, .C = n->C };
        return sea_cpu_ops.l2norm_bwd(dev, &op);
    }
}

/* Rounding of a mean and a square: some ulp of the largest number. */
#define FORWARD_BOUND 2e-6

static void
forward_matches_the_twin(void)
{
    for (int d = 0; d < kt_open(); d++)
        for (int kind = LAYERNORM; kind <= L2NORM; kind++) {
            double worst = 0.0;

            for (int i = 0; i < SHAPES; i++) {
                struct norm n;
                float *y[2], *stat[2], *row;
                int64_t R = shapes[i][0], C = shapes[i][1];

                make(&n, kind, R, C);
                run_twin(&n);
                for (int t = 0; t < 2; t++) {
                    y[t] = kt_floats(R * C);
                    stat[t] = kt_floats(2 * R);
                    CHECK_INT(forward(kt_sets[d].dev[t], &n, n.x, R, y[t], stat[t]), 0);
                }
                kt_same("1 and 3 threads", kt_sets[d].isa->name, y[0], y[1], R * C);
                worst = fmax(worst, kt_error(y[0], n.wide_y, NULL, R * C));
                row = kt_floats(C);
                for (int64_t r = 0; r < R; r += 5) {
                    float one[2];

                    forward(kt_sets[d].dev[0], &n, n.x + r * C, 1, row, one);
                    kt_same("a row alone", kt_sets[d].isa->name, row, y[0] + r * C, C);
                }
                kt_done();
            }
            kt_within(kind_name[kind], kt_sets[d].isa->name, worst, FORWARD_BOUND);
        }
}

/* dx, dgamma, dbeta against differences of the twin; sums start at known numbers. */
static double
one_backward(const struct kt_set *set, enum kind kind, int64_t R, int64_t C, int add)
{
    struct norm n;
    float *y, *stat, *dx[2], *dgamma[2], *dbeta[2];
    double *want, *want_gamma, *want_beta, error;

    make(&n, kind, R, C);
    want = kt_wide(NULL, R * C);
    want_gamma = kt_wide(NULL, C);
    want_beta = kt_wide(NULL, C);
    for (int64_t i = 0; i < R * C; i++)
        want[i] = kt_slope(loss, &n, &n.wide_x[i]) + (add ? 0.25 : 0.0);
    for (int64_t c = 0; c < C; c++) {
        want_gamma[c] = kt_slope(loss, &n, &n.wide_gamma[c]) + 3.0;
        want_beta[c] = kt_slope(loss, &n, &n.wide_beta[c]) - 2.0;
    }
    y = kt_floats(R * C);
    stat = kt_floats(2 * R);
    CHECK_INT(forward(set->dev[0], &n, n.x, R, y, stat), 0);
    for (int t = 0; t < 2; t++) {
        dx[t] = kt_floats(R * C);
        dgamma[t] = kt_floats(C);
        dbeta[t] = kt_floats(C);
        for (int64_t i = 0; add && i < R * C; i++)
            dx[t][i] = 0.25f;
        for (int64_t c = 0; c < C; c++) {
            dgamma[t][c] = 3.0f;
            dbeta[t][c] = -2.0f;
        }
        CHECK_INT(backward(set->dev[t], &n, y, stat, n.dy, dx[t], dgamma[t], dbeta[t], add), 0);
    }
    kt_same("dx, 1 and 3 threads", set->isa->name, dx[0], dx[1], R * C);
    error = kt_error(dx[0], want, NULL, R * C);
    if (kind != L2NORM) {
        kt_same("dgamma, 1 and 3 threads", set->isa->name, dgamma[0], dgamma[1], C);
        error = fmax(error, kt_error(dgamma[0], want_gamma, NULL, C));
    }
    if (kind == LAYERNORM) {
        kt_same("dbeta, 1 and 3 threads", set->isa->name, dbeta[0], dbeta[1], C);
        error = fmax(error, kt_error(dbeta[0], want_beta, NULL, C));
    }
    if (kind != RMSNORM && !add) {      /* in place over dy */
        float *inplace = kt_copy(n.dy, R * C);

        CHECK_INT(backward(set->dev[1], &n, y, stat, inplace, inplace, NULL, NULL, 0), 0);
        kt_same("dx over dy", set->isa->name, inplace, dx[0], R * C);
    }
    kt_done();
    return error;
}

static void
backward_matches_differences(void)
{
    static const int64_t small[][2] = { { 7, 13 }, { 3, 129 }, { 13, 7 }, { 70, 9 }, { 2, 64 } };

    for (int d = 0; d < kt_open(); d++)
        for (int kind = LAYERNORM; kind <= L2NORM; kind++) {
            double worst = 0.0;
            char what[64];

            for (int i = 0; i < 5; i++)
                for (int add = 0; add < (kind == L2NORM ? 1 : 2); add++)
                    worst = fmax(worst, one_backward(&kt_sets[d], kind, small[i][0], small[i][1],
                                                     add));
            snprintf(what, sizeof(what), "%s backward", kind_name[kind]);
            kt_within(what, kt_sets[d].isa->name, worst, 3e-6);
        }
}

/* Weight gradients of many rows go over fixed blocks: threads must not show. */
static void
sums_over_many_rows_are_repeatable(void)
{
    enum { R = 3000, C = 40 };

    for (int d = 0; d < kt_open(); d++)
        for (int kind = LAYERNORM; kind <= RMSNORM; kind++) {
            struct norm n;
            float *y, *stat, *dgamma[2], *dbeta[2];

            make(&n, kind, R, C);
            y = kt_floats(R * C);
            stat = kt_floats(2 * R);
            forward(kt_sets[d].dev[1], &n, n.x, R, y, stat);
            for (int t = 0; t < 2; t++) {
                dgamma[t] = kt_zeros(C);
                dbeta[t] = kt_zeros(C);
                CHECK_INT(backward(kt_sets[d].dev[t], &n, y, stat, n.dy, NULL, dgamma[t],
                                   dbeta[t], 0), 0);
            }
            kt_same("dgamma", kt_sets[d].isa->name, dgamma[0], dgamma[1], C);
            kt_same("dbeta", kt_sets[d].isa->name, dbeta[0], dbeta[1], C);
            kt_done();
        }
}

static void
a_constant_row_stays_finite(void)
{
    for (int d = 0; d < kt_open(); d++) {
        struct norm n;
        float *y, *stat;

        make(&n, LAYERNORM, 1, 50);
        for (int c = 0; c < 50; c++)
            n.x[c] = 1e6f;
        y = kt_floats(50);
        stat = kt_floats(2);
        CHECK_INT(forward(kt_sets[d].dev[0], &n, n.x, 1, y, stat), 0);
        for (int c = 0; c < 50; c++)
            CHECK_NEAR(y[c], n.beta[c], 1e-6);
        n.kind = L2NORM;
        memset(n.x, 0, 50 * sizeof(float));
        CHECK_INT(forward(kt_sets[d].dev[0], &n, n.x, 1, y, stat), 0);
        CHECK(y[49] == 0.0f);
        kt_done();
    }
}

static void
wrong_arguments_are_refused(void)
{
    struct sea_op_layernorm ln = { .R = 1, .C = 4 };
    struct sea_op_layernorm_bwd ln_bwd = { .R = 1, .C = 4 };
    struct sea_op_rmsnorm rms = { .R = -1, .C = 4 };
    struct sea_op_l2norm_bwd l2 = { .R = 2, .C = 4 };
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(sea_cpu_ops.layernorm(dev, &ln), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.layernorm_bwd(dev, &ln_bwd), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.rmsnorm(dev, &rms), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.l2norm_bwd(dev, &l2), SEA_RC_ARGUMENT);
    ln.R = 0;
    CHECK_INT(sea_cpu_ops.layernorm(dev, &ln), 0);
}

SEA_TEST_MAIN("norms", TEST(forward_matches_the_twin), TEST(backward_matches_differences),
              TEST(sums_over_many_rows_are_repeatable), TEST(a_constant_row_stays_finite),
              TEST(wrong_arguments_are_refused))
