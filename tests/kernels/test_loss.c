/* SPDX-License-Identifier: Apache-2.0 */
/* Cross-entropy, the contrastive loss and top-k: against twins in double, gradients against
 * differences, extreme logits, ties, merged lists, threads, guards, refusals. */
#include "tests/kernels/kernel_test.h"
#include "tests/kernels/twin.h"

struct row_loss {
    double *logits;
    int64_t V, target;
    double softcap;
};

static double
loss_of_row(const void *args)
{
    const struct row_loss *row = args;

    return twin_xent(row->logits, row->V, row->target, row->softcap);
}

/* size: of the logits. Returns errors of loss and gradient, each over 1 + size. */
static void
one_xent(const struct kt_set *set, int64_t R, int64_t V, float size, float softcap,
         double *loss_error, double *grad_error)
{
    int64_t ld = V + 3;
    float *start = kt_random(R * ld, size), *weight = kt_random(R, 1.0f), *loss[2], *logits[2];
    int32_t *target = kt_ints(R);

    for (int64_t r = 0; r < R; r++)
        target[r] = (int32_t)(kt_bits() % (uint64_t)V);
    for (int t = 0; t < 2; t++) {
        struct sea_op_xent op = { .logits = logits[t] = kt_copy(start, R * ld), .target = target,
                                  .weight = weight, .loss = loss[t] = kt_floats(R), .R = R,
                                  .V = V, .ld = ld, .softcap = softcap };

        CHECK_INT(sea_cpu_ops.xent(set->dev[t], &op), 0);
        kt_same("logits without grad", set->isa->name, logits[t], start, R * ld);
        op.grad = 1;
        CHECK_INT(sea_cpu_ops.xent(set->dev[t], &op), 0);
    }
    kt_same("loss, 1 and 3 threads", set->isa->name, loss[0], loss[1], R);
    kt_same("gradient, 1 and 3 threads", set->isa->name, logits[0], logits[1], R * ld);
    for (int64_t r = 0; r < R; r++) {
        struct row_loss row = { kt_wide(start + r * ld, V), V, target[r], (double)softcap };
        double want = (double)weight[r] * loss_of_row(&row);

        *loss_error = fmax(*loss_error, fabs((double)loss[0][r] - want) / (1.0 + (double)size));
        for (int64_t c = 0; c < V; c += 1 + V / 20) {
            double slope = (double)weight[r] * kt_slope(loss_of_row, &row, &row.logits[c]);

            *grad_error = fmax(*grad_error, fabs((double)logits[0][r * ld + c] - slope));
        }
        for (int64_t c = V; c < ld; c++)
            CHECK(logits[0][r * ld + c] == start[r * ld + c]);
    }
    kt_done();
}

static void
cross_entropy_matches_the_twin(void)
{
    static const int64_t shapes[][2] = { { 1, 1 }, { 7, 13 }, { 13, 129 }, { 5, 1000 }, { 40, 7 } };

    for (int d = 0; d < kt_open(); d++) {
        double loss = 0.0, grad = 0.0;

        for (int i = 0; i < 5; i++)
            one_xent(&kt_sets[d], shapes[i][0], shapes[i][1], 5.0f, 0.0f, &loss, &grad);
        kt_within("xent loss", kt_sets[d].isa->name, loss, 4e-7);
        kt_within("xent gradient", kt_sets[d].isa->name, grad, 1e-6);
    }
}

static void
cross_entropy_survives_extremes(void)
{
    for (int d = 0; d < kt_open(); d++) {
        double loss = 0.0, grad = 0.0;
        float logits[20], weight[2] = { 1.0f, 1.0f }, out[2];
        int32_t target[2] = { 3, 4 };
        struct sea_op_xent op = { .logits = logits, .target = target, .weight = weight,
                                  .loss = out, .R = 2, .V = 10, .ld = 10, .grad = 1 };

        one_xent(&kt_sets[d], 7, 129, 1e4f, 0.0f, &loss, &grad);
        kt_within("xent loss, logits of 10^4", kt_sets[d].isa->name, loss, 4e-7);
        for (int c = 0; c < 10; c++) {
            logits[c] = c == 3 ? 1e4f : -1e4f;          /* certain and right */
            logits[10 + c] = c == 3 ? 1e4f : -1e4f;     /* certain and wrong */
        }
        CHECK_INT(sea_cpu_ops.xent(kt_sets[d].dev[0], &op), 0);
        CHECK(out[0] == 0.0f);
        CHECK(out[1] == 2e4f);
        CHECK(logits[13] == 1.0f && logits[14] == -1.0f && logits[3] == 0.0f);
        for (int c = 0; c < 10; c++)
            logits[c] = c == 3 ? 2.0f : -INFINITY;      /* masked words */
        op.R = 1;
        CHECK_INT(sea_cpu_ops.xent(kt_sets[d].dev[0], &op), 0);
        CHECK(out[0] == 0.0f && logits[0] == 0.0f);
    }
}

/* Capped logits: loss and gradient of what came in, and the operator that caps alone. */
static void
soft_caps_match_the_twin(void)
{
    static const int64_t shapes[][2] = { { 1, 1 }, { 7, 13 }, { 13, 129 }, { 5, 1000 } };
    static const float caps[] = { 30.0f, 2.0f, 0.5f };
    double top = 0.0;

    for (int d = 0; d < kt_open(); d++) {
        double loss = 0.0, grad = 0.0, error = 0.0;

        for (int i = 0; i < 12; i++)
            one_xent(&kt_sets[d], shapes[i % 4][0], shapes[i % 4][1], 5.0f, caps[i / 4], &loss,
                     &grad);
        kt_within("capped xent loss", kt_sets[d].isa->name, loss, 4e-7);
        kt_within("capped xent gradient", kt_sets[d].isa->name, grad, 1e-6);
        for (int i = 0; i < 12; i++) {
            enum { R = 13, C = 129, LD = 131 };
            float *start = kt_random(R * LD, (float)pow(10.0, i - 6)), *got[2];
            struct sea_op_softcap op = { .R = R, .C = C, .ld = LD, .cap = caps[i % 3] };

            start[5] = INFINITY, start[6] = -INFINITY;
            for (int t = 0; t < 2; t++) {
                op.x = got[t] = kt_copy(start, R * LD);
                CHECK_INT(sea_cpu_ops.softcap(kt_sets[d].dev[t], &op), 0);
            }
            kt_same("softcap, 1 and 3 threads", kt_sets[d].isa->name, got[0], got[1], R * LD);
            for (int64_t j = 0; j < R * LD; j++) {
                double want = twin_softcap((double)start[j], (double)op.cap);

                if (j % LD >= C)
                    CHECK(got[0][j] == start[j]);
                else if (fabs(want) > 1e-30)
                    error = fmax(error, fabs((double)got[0][j] - want) / fabs(want));
            }
            kt_done();
        }
        kt_within("softcap, relative", kt_sets[d].isa->name, error, 4e-7);
        top = fmax(top, error);
    }
    CHECK(top > 0.0);
}

struct pair_loss {
    double *cosine, theta;
    int64_t R;
    double max_scale;
};

static double
loss_of_pairs(const void *args)
{
    const struct pair_loss *p = args;

    return twin_contrast(p->cosine, p->R, p->theta, p->max_scale);
}

static void
one_contrast(const struct kt_set *set, int64_t R, float theta, float max_scale, double *errors)
{
    float *start = kt_random(R * R, 1.0f), *cosine[2], loss[2], dtheta[2] = { 0.5f, 0.5f };
    struct pair_loss p = { kt_wide(start, R * R), (double)theta, R, (double)max_scale };
    float weight = 0.75f;

    for (int t = 0; t < 2; t++) {
        struct sea_op_contrast op = { .cos = cosine[t] = kt_copy(start, R * R), .theta = &theta,
                                      .loss = &loss[t], .dtheta = &dtheta[t],
                                      .scratch = kt_floats(4 * R), .R = R, .weight = weight,
                                      .max_scale = max_scale };

        CHECK_INT(sea_cpu_ops.contrast(set->dev[t], &op), 0);
    }
    kt_same("gradient, 1 and 3 threads", set->isa->name, cosine[0], cosine[1], R * R);
    CHECK(loss[0] == loss[1] && dtheta[0] == dtheta[1]);
    errors[0] = fmax(errors[0], fabs((double)loss[0] - loss_of_pairs(&p)));
    for (int64_t i = 0; i < R * R; i += 1 + R * R / 200) {
        double slope = 0.75 * kt_slope(loss_of_pairs, &p, &p.cosine[i]);

        errors[1] = fmax(errors[1], fabs((double)cosine[0][i] - slope));
    }
    errors[2] = fmax(errors[2], fabs((double)dtheta[0] - 0.5 -
                                     0.75 * kt_slope(loss_of_pairs, &p, &p.theta)));
    kt_done();
}

static void
contrast_matches_the_twin(void)
{
    static const int64_t sizes[] = { 2, 7, 13, 33, 129 };

    for (int d = 0; d < kt_open(); d++) {
        double errors[3] = { 0 };

        for (int i = 0; i < 5; i++) {
            one_contrast(&kt_sets[d], sizes[i], 2.6f, 0.0f, errors);
            one_contrast(&kt_sets[d], sizes[i], 0.0f, 100.0f, errors);
            one_contrast(&kt_sets[d], sizes[i], 3.0f, 10.0f, errors);   /* clamped */
        }
        kt_within("contrast loss", kt_sets[d].isa->name, errors[0], 2e-5);
        kt_within("contrast gradient", kt_sets[d].isa->name, errors[1], 1e-5);
        kt_within("contrast dtheta", kt_sets[d].isa->name, errors[2], 2e-5);
    }
}

static void
contrast_of_one_pair_is_nothing(void)
{
    float cosine = 0.5f, theta = 1.0f, loss = 9.0f, dtheta = 0.25f, scratch[4];
    struct sea_op_contrast op = { .cos = &cosine, .theta = &theta, .loss = &loss,
                                  .dtheta = &dtheta, .scratch = scratch, .R = 1, .weight = 1.0f };

    kt_open();
    CHECK_INT(sea_cpu_ops.contrast(kt_sets[0].dev[0], &op), 0);
    CHECK(loss == 0.0f && cosine == 0.0f && dtheta == 0.25f);
}

/* The k best by looking k times for the best that is left. */
static void
plain_topk(const float *x, int64_t n, int64_t k, int32_t *index, float *value)
{
    char *taken = calloc((size_t)n + 1, 1);

    for (int64_t i = 0; taken && i < k; i++) {
        int64_t best = -1;

        for (int64_t c = 0; c < n; c++)
            if (!taken[c] && (best < 0 || x[c] > x[best]))
                best = c;
        index[i] = (int32_t)best;
        value[i] = best < 0 ? -INFINITY : x[best];
        if (best >= 0)
            taken[best] = 1;
    }
    free(taken);
}

static void
topk_lists_the_best_in_order(void)
{
    static const int64_t shapes[][3] = { { 1, 1, 1 }, { 7, 13, 5 }, { 13, 129, 10 }, { 3, 4, 9 },
                                         { 129, 1000, 10 }, { 5, 0, 3 } };

    for (int d = 0; d < kt_open(); d++)
        for (int i = 0; i < 6; i++)
            for (int pieces = 1; pieces <= 3; pieces += 2) {
                int64_t R = shapes[i][0], C = shapes[i][1], k = shapes[i][2], ld = C + 2;
                float *x = kt_random(R * ld, 1.0f), *value[2], *want_value = kt_floats(k);
                int32_t *index[2], *want_index = kt_ints(k);

                for (int64_t j = 0; j < R * ld; j++)
                    x[j] = (float)(int)(x[j] * 30.0f);          /* many ties */
                for (int t = 0; t < 2; t++) {
                    int64_t step = (C + pieces - 1) / pieces;

                    index[t] = kt_ints(R * k);
                    value[t] = kt_floats(R * k);
                    for (int p = 0; p < pieces; p++) {
                        int64_t from = p * step < C ? p * step : C;
                        struct sea_op_topk op = {
                            .x = x + from, .index = index[t], .value = value[t], .R = R,
                            .C = C - from < step ? C - from : step, .k = k, .ld = ld,
                            .col_base = from, .merge = p > 0 };

                        CHECK_INT(sea_cpu_ops.topk(kt_sets[d].dev[t], &op), 0);
                    }
                }
                kt_same("values, 1 and 3 threads", kt_sets[d].isa->name, value[0], value[1],
                        R * k);
                for (int64_t r = 0; r < R; r++) {
                    plain_topk(x + r * ld, C, k, want_index, want_value);
                    CHECK(!memcmp(want_index, index[0] + r * k, (size_t)k * sizeof(int32_t)));
                    CHECK(!memcmp(want_index, index[1] + r * k, (size_t)k * sizeof(int32_t)));
                    CHECK(!memcmp(want_value, value[0] + r * k, (size_t)k * sizeof(float)));
                }
                kt_done();
            }
}

static void
wrong_arguments_are_refused(void)
{
    float x[16] = { 0 };
    int32_t index[16] = { 0 };
    struct sea_op_xent xent = { .logits = x, .target = index, .weight = x, .loss = x, .R = 1,
                                .V = 4, .ld = 3 };
    struct sea_op_contrast contrast = { .cos = x, .loss = x, .scratch = x, .R = 2 };
    struct sea_op_topk topk = { .x = x, .index = index, .value = NULL, .R = 1, .C = 4, .k = 2,
                                .ld = 4 };
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(sea_cpu_ops.xent(dev, &xent), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.contrast(dev, &contrast), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.topk(dev, &topk), SEA_RC_ARGUMENT);
    topk.k = 0;
    CHECK_INT(sea_cpu_ops.topk(dev, &topk), 0);
}

SEA_TEST_MAIN("losses and top-k", TEST(cross_entropy_matches_the_twin),
              TEST(cross_entropy_survives_extremes),
              TEST(soft_caps_match_the_twin), TEST(contrast_matches_the_twin),
              TEST(contrast_of_one_pair_is_nothing), TEST(topk_lists_the_best_in_order),
              TEST(wrong_arguments_are_refused))
