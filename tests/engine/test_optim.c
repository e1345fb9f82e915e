/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The optimiser: schedule factors are Hugging Face's, updates equal AdamW in double
 * (Loshchilov and Hutter, algorithm 2) over several parts with their own learning rates and
 * decays, clipping is by the norm over all parts, and bad settings are refused.
 */
#include <stdlib.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_optim.h"
#include "tests/sea_test.h"

#define STEPS 25

static struct sea_device device;

/* Two parts: matrices and vectors in turn, odd sizes, so that padding lies between. */
struct model {
    struct sea_arena *arena;
    struct sea_params part[2];
};

static void
model_open(struct model *model)
{
    const int64_t matrix[2] = { 5, 7 }, cube[4] = { 3, 2, 2, 2 }, vector = 9, one = 1;
    struct sea_err err = { 0 };
    int i;

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, sea_test_device(), &err), err);
    model->arena = sea_arena_create(NULL, "test");
    for (i = 0; i < 2; i++) {
        struct sea_params *params = &model->part[i];

        sea_params_init(params, model->arena);
        if (i == 1)
            sea_params_add(params, "first.bias", 1, &vector, SEA_INIT_ZERO, 0);
        sea_params_add(params, "a.weight", 2, matrix, SEA_INIT_NORMAL, 0.5f);
        sea_params_add(params, "b.weight", 4, cube, SEA_INIT_UNIFORM, 0.5f);
        sea_params_add(params, "b.bias", 1, &vector, SEA_INIT_ONE, 0);
        sea_params_add(params, "scale", 1, &one, SEA_INIT_ONE, 0);
        sea_params_add(params, "c.weight", 2, matrix, SEA_INIT_NORMAL, 0.5f);
        CHECK_OK(sea_params_reserve(params, &device, true, &err), err);
        CHECK_OK(sea_params_fill(params, 3, i ? "one" : "zero", &err), err);
    }
}

static void
model_close(struct model *model)
{
    sea_params_release(&model->part[0]);
    sea_params_release(&model->part[1]);
    sea_arena_destroy(model->arena);
}

static float *
fetch(const struct sea_params *params, const float *from)
{
    float *host = sea_xcalloc((size_t)params->floats, sizeof(*host));
    struct sea_err err = { 0 };

    CHECK_OK(sea_device_get(params->device, host, from,
                            (size_t)params->floats * sizeof(*host), &err), err);
    return host;
}

/* Gradient of element i of a part at a step: some of it large, for the clipping. */
static float
gradient_at(int part, int64_t step, int64_t i)
{
    return (float)((step % 3 == 0 ? 3.0 : 0.01)
                   * sea_rng_normal_at(40 + (uint64_t)part, (uint64_t)step, (uint64_t)i));
}

static void
put_gradient(struct sea_params *params, int part, int64_t step)
{
    float *host = sea_xcalloc((size_t)params->floats, sizeof(*host));
    struct sea_err err = { 0 };
    int64_t t, i;

    for (t = 0; t < params->count; t++)
        for (i = params->list[t].offset; i < params->list[t].offset + params->list[t].count;
             i++)
            host[i] = gradient_at(part, step, i);
    CHECK_OK(sea_device_put(&device, params->grad, host,
                            (size_t)params->floats * sizeof(*host), &err), err);
    free(host);
}

/* Plain AdamW over one part, element by element. */
struct twin {
    double *p, *m, *v;
};

static void
twin_step(struct twin *twin, const struct sea_params *params, int part, int64_t step,
          double lr, double wd, double clip, const struct sea_adamw_desc *desc)
{
    int64_t t, i;

    for (t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];
        double decay = param->rank > 1 ? wd : 0;

        for (i = param->offset; i < param->offset + param->count; i++) {
            double g = gradient_at(part, step, i) * clip, mhat, vhat;

            twin->m[i] = desc->beta1 * twin->m[i] + (1 - desc->beta1) * g;
            twin->v[i] = desc->beta2 * twin->v[i] + (1 - desc->beta2) * g * g;
            mhat = twin->m[i] / (1 - pow(desc->beta1, (double)(step + 1)));
            vhat = twin->v[i] / (1 - pow(desc->beta2, (double)(step + 1)));
            twin->p[i] -= lr * (mhat / (sqrt(vhat) + desc->eps) + decay * twin->p[i]);
        }
    }
}

static double
twin_norm(const struct model *model, int64_t step)
{
    double sum = 0;
    int64_t t, i;
    int part;

    for (part = 0; part < 2; part++)
        for (t = 0; t < model->part[part].count; t++) {
            const struct sea_param *param = &model->part[part].list[t];

            for (i = param->offset; i < param->offset + param->count; i++)
                sum += pow(gradient_at(part, step, i), 2);
        }
    return sqrt(sum);
}

static void
updates_equal_adamw_in_double(void)
{
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_COSINE, STEPS, 0.1));
    struct sea_adamw_part parts[2] = {
        { .name = "tower", .lr = 2e-2, .weight_decay = 0.1 },
        { .name = "theta", .lr = 5e-3, .weight_decay = 0 },
    };
    struct sea_err err = { 0 };
    struct sea_adamw *adamw;
    struct twin twin[2];
    struct model model;
    double norm, error = 0, moved = 0;
    int64_t step, i;
    int part, clipped = 0;

    model_open(&model);
    parts[0].params = &model.part[0];
    parts[1].params = &model.part[1];
    CHECK_OK(sea_adamw_create(&adamw, &device, &desc, parts, 2, &err), err);
    for (part = 0; part < 2; part++) {
        size_t floats = (size_t)model.part[part].floats;
        float *host = fetch(&model.part[part], model.part[part].data);

        twin[part].p = sea_xcalloc(floats, sizeof(double));
        twin[part].m = sea_xcalloc(floats, sizeof(double));
        twin[part].v = sea_xcalloc(floats, sizeof(double));
        for (i = 0; i < (int64_t)floats; i++)
            twin[part].p[i] = host[i];
        free(host);
    }
    for (step = 0; step < STEPS; step++) {
        double want = twin_norm(&model, step), clip = want > 1 ? 1 / want : 1;
        double factor = sea_schedule_factor(&desc.schedule, step);

        clipped += want > 1;
        for (part = 0; part < 2; part++) {
            put_gradient(&model.part[part], part, step);
            twin_step(&twin[part], &model.part[part], part, step, parts[part].lr * factor,
                      parts[part].weight_decay, clip, &desc);
        }
        CHECK_NEAR(sea_adamw_lr(adamw, 0), 2e-2 * factor, 1e-15);
        CHECK_OK(sea_adamw_step(adamw, &norm, &err), err);
        CHECK_NEAR(norm, want, 1e-5 * want);
    }
    CHECK_INT(sea_adamw_steps(adamw), STEPS);
    CHECK(clipped > 5 && clipped < STEPS - 5);
    for (part = 0; part < 2; part++) {
        float *host = fetch(&model.part[part], model.part[part].data);

        for (i = 0; i < model.part[part].floats; i++) {
            error = fmax(error, fabs(host[i] - twin[part].p[i]));
            moved = fmax(moved, fabs(twin[part].p[i]));
        }
        free(host);
        free(twin[part].p);
        free(twin[part].m);
        free(twin[part].v);
    }
    printf("after %d steps: largest error %.2e of values up to %.2f, bound 2e-06\n", STEPS,
           error, moved);
    CHECK(error > 0 && error < 2e-6);
    sea_adamw_destroy(adamw);
    model_close(&model);
}

static void
padding_stays_zero_and_zero_clears(void)
{
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 3, 0));
    struct sea_adamw_part part = { .name = "all", .lr = 0.1, .weight_decay = 0.5 };
    struct sea_err err = { 0 };
    struct sea_adamw *adamw;
    struct model model;
    float *host;
    int64_t t, i;
    int step;

    model_open(&model);
    part.params = &model.part[1];
    CHECK_OK(sea_adamw_create(&adamw, &device, &desc, &part, 1, &err), err);
    for (step = 0; step < 3; step++) {
        put_gradient(&model.part[1], 1, step);
        CHECK_OK(sea_adamw_step(adamw, NULL, &err), err);
    }
    host = fetch(&model.part[1], model.part[1].data);
    for (t = 0; t + 1 < model.part[1].count; t++)
        for (i = model.part[1].list[t].offset + model.part[1].list[t].count;
             i < model.part[1].list[t + 1].offset; i++)
            CHECK(host[i] == 0);
    free(host);
    CHECK_OK(sea_adamw_zero(adamw, &err), err);
    host = fetch(&model.part[1], model.part[1].grad);
    for (i = 0; i < model.part[1].floats; i++)
        CHECK(host[i] == 0);
    free(host);
    sea_adamw_destroy(adamw);
    model_close(&model);
}

static void
schedules_are_hugging_faces(void)
{
    /* get_cosine_schedule_with_warmup(warmup 3, total 13) and its linear sister, by hand:
     * (1 + cos(pi k / 10)) / 2 and 1 - k / 10 from step 3 on. */
    static const double cosine[] = { 0, 1.0 / 3, 2.0 / 3, 1, 0.97552825814758, 0.904508497187474,
        0.793892626146237, 0.654508497187474, 0.5, 0.345491502812526, 0.206107373853763,
        0.0954915028125262, 0.0244717418524232, 0 };
    struct sea_schedule schedule = { SEA_SCHEDULE_COSINE, 13, 3 };
    enum sea_schedule_kind kind;
    int64_t t;

    for (t = 0; t <= 13; t++) {
        schedule.kind = SEA_SCHEDULE_COSINE;
        CHECK_NEAR(sea_schedule_factor(&schedule, t), cosine[t], 1e-14);
        schedule.kind = SEA_SCHEDULE_LINEAR;
        CHECK_NEAR(sea_schedule_factor(&schedule, t),
                   t < 3 ? cosine[t] : 1 - (double)(t - 3) / 10, 1e-14);
        schedule.kind = SEA_SCHEDULE_CONSTANT;
        CHECK_NEAR(sea_schedule_factor(&schedule, t), t < 3 ? cosine[t] : 1, 1e-14);
    }
    schedule.kind = SEA_SCHEDULE_COSINE;
    CHECK(sea_schedule_factor(&schedule, 20) == 0);
    CHECK_INT(sea_schedule_make(SEA_SCHEDULE_COSINE, 2181, 0.03).warmup, 66);
    CHECK_INT(sea_schedule_make(SEA_SCHEDULE_COSINE, 100, 0).warmup, 0);
    CHECK_INT(sea_schedule_make(SEA_SCHEDULE_COSINE, 100, 1).warmup, 100);
    schedule = sea_schedule_make(SEA_SCHEDULE_COSINE, 100, 0);
    CHECK(sea_schedule_factor(&schedule, 0) == 1);
    CHECK(sea_schedule_find("linear", &kind) && kind == SEA_SCHEDULE_LINEAR);
    CHECK(!sea_schedule_find("step", &kind));
}

static void
bad_settings_are_refused(void)
{
    struct sea_adamw_part part = { .name = "all", .lr = 0.1 }, twice[2];
    struct sea_adamw *adamw;
    struct model model;
    int i;

    model_open(&model);
    part.params = &model.part[0];
    for (i = 0; i < 7; i++) {
        struct sea_adamw_desc desc = sea_adamw_defaults(
            sea_schedule_make(SEA_SCHEDULE_CONSTANT, i == 3 ? 0 : 3, 0));
        struct sea_adamw_part bad = part;
        struct sea_err err = { 0 };
        static const char *const words[] = { "beta1", "eps", "lr", "steps", "weight_decay",
                                             "clip_norm", "beta2" };

        if (i == 0)
            desc.beta1 = 1;
        if (i == 1)
            desc.eps = 0;
        if (i == 2)
            bad.lr = NAN;
        if (i == 4)
            bad.weight_decay = -1;
        if (i == 5)
            desc.clip_norm = -1;
        if (i == 6)
            desc.beta2 = -0.5;
        CHECK(sea_adamw_create(&adamw, &device, &desc, &bad, 1, &err));
        CHECK_FAILS(err, SEA_E_CONFIG, words[i]);
        CHECK(adamw == NULL);
    }
    twice[0] = twice[1] = part;
    twice[1].params = &model.part[1];
    {
        struct sea_adamw_desc desc = sea_adamw_defaults(
            sea_schedule_make(SEA_SCHEDULE_CONSTANT, 3, 0));
        struct sea_err err = { 0 };

        CHECK(sea_adamw_create(&adamw, &device, &desc, twice, 2, &err));
        CHECK_FAILS(err, SEA_E_INTERNAL, "two parts \"all\"");
    }
    model_close(&model);
}

static void
a_diverged_gradient_changes_nothing(void)
{
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 3, 0));
    struct sea_adamw_part part = { .name = "all", .lr = 0.1 };
    struct sea_err err = { 0 };
    struct sea_adamw *adamw;
    struct model model;
    float *before, *after, bad = NAN;
    double norm;

    model_open(&model);
    part.params = &model.part[0];
    CHECK_OK(sea_adamw_create(&adamw, &device, &desc, &part, 1, &err), err);
    put_gradient(&model.part[0], 0, 0);
    CHECK_OK(sea_device_put(&device, model.part[0].grad + 4, &bad, sizeof(bad), &err), err);
    before = fetch(&model.part[0], model.part[0].data);
    CHECK(sea_adamw_step(adamw, &norm, &err));
    CHECK_FAILS(err, SEA_E_INTERNAL, "norm of the gradients is");
    after = fetch(&model.part[0], model.part[0].data);
    CHECK(memcmp(before, after, (size_t)model.part[0].floats * sizeof(*after)) == 0);
    CHECK_INT(sea_adamw_steps(adamw), 0);
    free(before);
    free(after);
    sea_adamw_destroy(adamw);
    model_close(&model);
}

SEA_TEST_MAIN("optim",
    TEST(schedules_are_hugging_faces),
    TEST(updates_equal_adamw_in_double),
    TEST(padding_stays_zero_and_zero_clears),
    TEST(a_diverged_gradient_changes_nothing),
    TEST(bad_settings_are_refused))
