/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLIP: features, the four kinds of patch embeddings and text embeddings equal a plain
 * double implementation; every gradient of contrastive training equals its finite
 * difference; chunks and batches change no bits.
 */
#include "engine/clip_int.h"
#include "engine/sea_optim.h"
#include "tests/engine/test_clip_twin.h"
#include "tests/engine/test_clip_world.h"

static double
worst(const float *got, const double *want, int64_t count)
{
    double most = 0;
    int64_t i;

    for (i = 0; i < count; i++)
        most = fmax(most, fabs((double)got[i] - want[i]));
    return most;
}

static void
features_equal_the_twin(void)
{
    int64_t m = sea_clip_patch_count(&tiny), D = tiny.vision.D, layer, b;
    float *got = sea_xcalloc((size_t)(PICTURES * (m + 1) * D), sizeof(*got));
    double error = 0;
    struct sea_clip_out out = { .host = got };
    struct sea_clip_work *work;
    struct sea_err err = { 0 };
    struct world world;
    struct twin twin;
    int with_class;

    world_open(&world, &tiny, false);
    twin_init(&twin, world.clip);
    work = make_work(world.clip, 2, 0, 0, false);
    CHECK_INT(m, 4);
    for (layer = -3; layer <= 2; layer++)
        for (with_class = 0; with_class < 2; with_class++) {
            CHECK_OK(sea_clip_features(world.clip, work, world.pixels, PICTURES, layer,
                                       with_class, out, &err), err);
            for (b = 0; b < PICTURES; b++) {
                double *want = twin_hidden(&twin, world.pixels + b * 243,
                                           layer < 0 ? 3 + layer : layer);

                error = fmax(error, worst(got + b * (m + with_class) * D,
                                          want + (with_class ? 0 : D),
                                          (m + with_class) * D));
                free(want);
            }
        }
    printf("hidden states: largest error %.2e, bound 1e-05\n", error);
    CHECK(error > 0 && error < 1e-5);
    CHECK(sea_clip_features(world.clip, work, world.pixels, 1, 3, false, out, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "vision layer 3");
    free(got);
    sea_clip_work_destroy(work);
    twin_release(&twin);
    world_close(&world);
}

static void
check_variants(int64_t layers)
{
    struct sea_clip_desc desc = tiny;
    int64_t m = sea_clip_patch_count(&tiny), J = tiny.joint, b;
    float *got = sea_xcalloc((size_t)(PICTURES * m * J), sizeof(*got));
    float *raw = sea_xcalloc((size_t)(PICTURES * m * J), sizeof(*raw));
    double *want = sea_xcalloc((size_t)(m * J), sizeof(*want));
    struct sea_clip_out out = { .host = got };
    struct sea_clip_work *work;
    struct sea_err err = { 0 };
    struct world world;
    struct twin twin;
    int variant;

    desc.vision.layers = layers;
    world_open(&world, &desc, false);
    twin_init(&twin, world.clip);
    work = make_work(world.clip, 3, 0, 0, false);
    for (variant = 0; variant < SEA_CLIP_VARIANTS; variant++) {
        double error = 0, apart = 0;
        int64_t i;

        CHECK_OK(sea_clip_patches(world.clip, work, world.pixels, PICTURES,
                                  (enum sea_clip_variant)variant, out, &err), err);
        for (b = 0; b < PICTURES; b++) {
            twin_patches(&twin, world.pixels + b * 243, (enum sea_clip_variant)variant,
                         want);
            error = fmax(error, worst(got + b * m * J, want, m * J));
        }
        if (variant == SEA_CLIP_RAW_POS)
            memcpy(raw, got, (size_t)(PICTURES * m * J) * sizeof(*raw));
        for (i = 0; i < PICTURES * m * J; i++)
            apart = fmax(apart, fabs((double)(got[i] - raw[i])));
        printf("%s, %d layers: largest error %.2e, bound 1e-05; from raw_pos %.2e\n",
               sea_clip_variant_name((enum sea_clip_variant)variant), (int)layers, error,
               apart);
        CHECK(error > 0 && error < 1e-5);
        CHECK((apart > 0.01) == (variant >= SEA_CLIP_MASKCLIP));
    }
    free(got);
    free(raw);
    free(want);
    sea_clip_work_destroy(work);
    twin_release(&twin);
    world_close(&world);
}

static void
patches_of_all_variants_equal_the_twin(void)
{
    enum sea_clip_variant variant;

    check_variants(2);          /* fewer blocks than surgery wants */
    check_variants(8);          /* two plain ones before it */
    CHECK(sea_clip_variant_find("surgery", &variant) && variant == SEA_CLIP_SURGERY);
    CHECK(!sea_clip_variant_find("auto", &variant));
    CHECK(sea_clip_variant_sign(SEA_CLIP_RAW_NEG) == -1.0f);
    CHECK(sea_clip_variant_sign(SEA_CLIP_SURGERY) == 1.0f);
}

static void
images_and_texts_equal_the_twin(void)
{
    int64_t J = tiny.joint, b;
    float *got = sea_xcalloc((size_t)(PICTURES * J), sizeof(*got));
    double *want = sea_xcalloc((size_t)(PICTURES * J), sizeof(*want)), error;
    struct sea_clip_out out = { .host = got };
    struct sea_clip_work *work;
    struct sea_err err = { 0 };
    struct world world;
    struct twin twin;

    world_open(&world, &tiny, false);
    twin_init(&twin, world.clip);
    work = make_work(world.clip, 2, 2, 9, false);
    CHECK_OK(sea_clip_images(world.clip, work, world.pixels, PICTURES, out, &err), err);
    for (b = 0; b < PICTURES; b++)
        twin_image(&twin, world.pixels + b * 243, want + b * J);
    error = worst(got, want, PICTURES * J);
    printf("images: largest error %.2e, bound 1e-05\n", error);
    CHECK(error > 0 && error < 1e-5);
    CHECK_OK(sea_clip_texts(world.clip, work, world.ids, world.start, PICTURES, out, &err),
             err);
    for (b = 0; b < PICTURES; b++)
        twin_text(&twin, world.ids + world.start[b], world.start[b + 1] - world.start[b],
                  want + b * J);
    error = worst(got, want, PICTURES * J);
    printf("texts: largest error %.2e, bound 1e-05\n", error);
    CHECK(error > 0 && error < 1e-5);
    free(got);
    free(want);
    sea_clip_work_destroy(work);
    twin_release(&twin);
    world_close(&world);
}

static void
chunks_change_no_bits(void)
{
    int64_t m = sea_clip_patch_count(&tiny), J = tiny.joint, n = PICTURES * m * J;
    float *one = sea_xcalloc((size_t)n, sizeof(*one)), *all = sea_xcalloc((size_t)n, sizeof(*all));
    struct sea_clip_work *small, *large;
    struct sea_clip_out to_one = { .host = one }, to_all = { .host = all };
    struct sea_err err = { 0 };
    struct world world;
    int variant;

    world_open(&world, &tiny, false);
    small = make_work(world.clip, 1, 1, 7, false);
    large = make_work(world.clip, PICTURES + 2, PICTURES, IDS_MAX, false);
    for (variant = 0; variant < SEA_CLIP_VARIANTS; variant++) {
        CHECK_OK(sea_clip_patches(world.clip, small, world.pixels, PICTURES,
                                  (enum sea_clip_variant)variant, to_one, &err), err);
        CHECK_OK(sea_clip_patches(world.clip, large, world.pixels, PICTURES,
                                  (enum sea_clip_variant)variant, to_all, &err), err);
        CHECK(memcmp(one, all, (size_t)n * sizeof(*one)) == 0);
    }
    memset(one, 0, (size_t)n * sizeof(*one));
    CHECK_OK(sea_clip_texts(world.clip, small, world.ids, world.start, PICTURES, to_one,
                            &err), err);
    CHECK_OK(sea_clip_texts(world.clip, large, world.ids, world.start, PICTURES, to_all,
                            &err), err);
    CHECK(memcmp(one, all, (size_t)(PICTURES * J) * sizeof(*one)) == 0);
    free(one);
    free(all);
    sea_clip_work_destroy(small);
    sea_clip_work_destroy(large);
    world_close(&world);
}

/* The analytic gradient of every tensor against central differences of the twin's loss,
 * up to 12 elements of each, and the sum over all of it in a random direction. */
static void
check_part(const char *part, struct twin *twin, const struct world *world,
           const struct sea_params *params, double *weights, int64_t B)
{
    const double h = 1e-5;
    double *grad, largest = 0, size = 0;
    struct sea_params shadow = *params;
    int64_t t, k;

    shadow.data = params->grad;
    grad = twin_copy(&shadow);
    for (t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];
        int64_t tries = param->count < 12 ? param->count : 12;
        double norm = 0, worst_here = 0;

        for (k = 0; k < param->count; k++)
            norm = fmax(norm, fabs(grad[param->offset + k]));
        for (k = 0; k < tries; k++) {
            int64_t i = param->offset + (int64_t)(sea_rng_uniform_at(8, (uint64_t)t,
                                                  (uint64_t)k) * (double)param->count);
            double keep = weights[i], up, down, error;

            weights[i] = keep + h;
            up = twin_loss(twin, world->pixels, world->ids, world->start, B);
            weights[i] = keep - h;
            down = twin_loss(twin, world->pixels, world->ids, world->start, B);
            weights[i] = keep;
            error = fabs((up - down) / (2 * h) - grad[i]);
            worst_here = fmax(worst_here, error);
            size = fmax(size, fabs(grad[i]));
        }
        /* The key's bias shifts all scores of a query alike: its gradient is 0. */
        if (!strstr(param->name, "k_proj.bias"))
            CHECK_MSG(norm > 1e-6, "gradient of \"%s\" is 0", param->name);
        CHECK_MSG(worst_here <= 1e-6 + 2e-5 * norm, "gradient of \"%s\" is wrong by %.2e of "
                  "%.2e", param->name, worst_here, norm);
        largest = fmax(largest, worst_here);
    }
    printf("%s: %d tensors, largest error %.2e of gradients up to %.2e\n", part,
           (int)params->count, largest, size);
    free(grad);
}

static void
every_gradient_equals_its_finite_difference(void)
{
    struct sea_clip_trainer *trainer;
    struct sea_err err = { 0 };
    struct world world;
    struct twin twin;
    double loss, want;

    world_open(&world, &tiny, true);
    CHECK_OK(sea_clip_trainer_create(&trainer, world.clip, PICTURES + 1, IDS_MAX, &err),
             err);
    CHECK_OK(sea_clip_trainer_step(trainer, world.pixels, world.ids, world.start, PICTURES,
                                   &loss, &err), err);
    twin_init(&twin, world.clip);
    want = twin_loss(&twin, world.pixels, world.ids, world.start, PICTURES);
    printf("loss %.7f, twin %.7f\n", loss, want);
    CHECK_NEAR(loss, want, 2e-6);
    check_part("vision", &twin, &world, &world.clip->vision, twin.vision, PICTURES);
    check_part("text", &twin, &world, &world.clip->text, twin.text, PICTURES);
    check_part("head", &twin, &world, &world.clip->head, twin.head, PICTURES);
    sea_clip_trainer_destroy(trainer);
    twin_release(&twin);
    world_close(&world);
}

static void
gradients_add_up(void)
{
    struct sea_clip_trainer *trainer;
    struct sea_err err = { 0 };
    struct world world;
    double error = 0;
    int part;

    world_open(&world, &tiny, true);
    CHECK_OK(sea_clip_trainer_create(&trainer, world.clip, PICTURES, IDS_MAX, &err), err);
    for (part = 0; part < 3; part++) {
        struct sea_params shadow[] = { world.clip->vision, world.clip->text,
                                       world.clip->head };
        const struct sea_params *params = &shadow[part];
        double *once, *twice;
        int64_t t, i;
        int p;

        for (p = 0; p < 3; p++) {
            CHECK_OK(sea_params_zero_grad(&shadow[p], &err), err);
            shadow[p].data = shadow[p].grad;
        }
        CHECK_OK(sea_clip_trainer_step(trainer, world.pixels, world.ids, world.start,
                                       PICTURES, NULL, &err), err);
        once = twin_copy(params);
        CHECK_OK(sea_clip_trainer_step(trainer, world.pixels, world.ids, world.start,
                                       PICTURES, NULL, &err), err);
        twice = twin_copy(params);
        for (t = 0; t < params->count; t++) {
            const struct sea_param *param = &params->list[t];

            for (i = param->offset; i < param->offset + param->count; i++)
                error = fmax(error, fabs(twice[i] - 2 * once[i]));
        }
        free(once);
        free(twice);
    }
    printf("two steps against twice one: largest difference %.2e, bound 1e-07\n", error);
    CHECK(error < 1e-7);
    sea_clip_trainer_destroy(trainer);
    world_close(&world);
}

/* A back end may sum equal ids in the given order without looking at them again. */
static void
embedding_rows_are_sorted_for_the_scatter(void)
{
    int32_t value[2][IDS_MAX], order[2][IDS_MAX];
    struct sea_clip_work *work;
    struct sea_err err = { 0 };
    struct world world;
    size_t rows, bytes, r;
    int which;

    world_open(&world, &tiny, true);
    work = make_work(world.clip, 0, PICTURES, IDS_MAX, true);
    rows = (size_t)world.start[PICTURES];
    bytes = rows * sizeof(int32_t);
    CHECK_OK(sea_clip_read(world.clip, work, world.ids, world.start, PICTURES, 0, &err), err);
    CHECK_OK(sea_device_get(&device, value[0], work->reader.ids, bytes, &err), err);
    CHECK_OK(sea_device_get(&device, value[1], work->reader.pos, bytes, &err), err);
    CHECK_OK(sea_device_get(&device, order[0], work->reader.id_order, bytes, &err), err);
    CHECK_OK(sea_device_get(&device, order[1], work->reader.pos_order, bytes, &err), err);
    for (which = 0; which < 2; which++)
        for (r = 1; r < rows; r++) {
            int32_t a = order[which][r - 1], b = order[which][r];

            CHECK(value[which][a] < value[which][b]
                  || (value[which][a] == value[which][b] && a < b));
        }
    sea_clip_work_destroy(work);
    world_close(&world);
}

/* Folders with end token 2 are read out at the largest id; here that is the end, too. */
static void
old_folders_read_out_the_largest_id(void)
{
    struct sea_clip_desc old = tiny;
    float got[2][PICTURES * 12];
    struct sea_err err = { 0 };
    int i;

    old.text.eos = 2;
    old.text.eos_is_largest = true;
    for (i = 0; i < 2; i++) {
        struct sea_clip_out out = { .host = got[i] };
        struct sea_clip_work *work;
        struct world world;

        world_open(&world, i ? &old : &tiny, false);
        world.ids[1] = 2;       /* no end there */
        work = make_work(world.clip, 0, PICTURES, IDS_MAX, false);
        CHECK_OK(sea_clip_texts(world.clip, work, world.ids, world.start, PICTURES, out,
                                &err), err);
        sea_clip_work_destroy(work);
        world_close(&world);
    }
    CHECK(memcmp(got[0], got[1], sizeof(got[0])) == 0);
}

/* sum(w * features) in the twin: what features_backward differentiates. */
static double
weighed_features(const struct twin *twin, const struct world *world, int64_t count,
                 int64_t blocks, int with_class, const float *w)
{
    int64_t m = sea_clip_patch_count(&tiny), D = tiny.vision.D, b, i;
    double sum = 0;

    for (b = 0; b < count; b++) {
        double *x = twin_hidden(twin, world->pixels + b * 243, blocks);

        for (i = 0; i < (m + with_class) * D; i++)
            sum += w[b * (m + with_class) * D + i] * x[i + (with_class ? 0 : D)];
        free(x);
    }
    return sum;
}

static void
features_have_a_backward(void)
{
    int64_t m = sea_clip_patch_count(&tiny), D = tiny.vision.D, n = 3 * m * D, t;
    float *w = sea_xcalloc((size_t)n, sizeof(*w));
    struct sea_clip_out nowhere = { 0 };
    double *grad, error = 0, largest = 0;
    struct sea_clip_work *work;
    struct sea_err err = { 0 };
    struct sea_params shadow;
    struct world world;
    struct twin twin;
    void *dout;

    for (t = 0; t < n; t++)
        w[t] = (float)sea_rng_normal_at(11, 0, (uint64_t)t);
    world_open(&world, &tiny, true);
    twin_init(&twin, world.clip);
    work = make_work(world.clip, 3, 0, 0, true);
    CHECK_OK(sea_device_alloc(&device, (size_t)n * sizeof(*w), &dout, &err), err);
    CHECK_OK(sea_device_put(&device, dout, w, (size_t)n * sizeof(*w), &err), err);
    CHECK_OK(sea_clip_features(world.clip, work, world.pixels, 3, -2, false, nowhere, &err),
             err);
    CHECK_OK(sea_clip_features_backward(world.clip, work, dout, &err), err);
    shadow = world.clip->vision;
    shadow.data = shadow.grad;
    grad = twin_copy(&shadow);
    for (t = 0; t < shadow.count; t++) {
        int64_t i = shadow.list[t].offset + shadow.list[t].count / 2;
        double keep = twin.vision[i], up, down;

        twin.vision[i] = keep + 1e-5;
        up = weighed_features(&twin, &world, 3, 1, 0, w);
        twin.vision[i] = keep - 1e-5;
        down = weighed_features(&twin, &world, 3, 1, 0, w);
        twin.vision[i] = keep;
        error = fmax(error, fabs((up - down) / 2e-5 - grad[i]) / (1 + fabs(grad[i])));
        largest = fmax(largest, fabs(grad[i]));
    }
    printf("features' gradients: largest relative error %.2e, bound 1e-04, up to %.2e\n",
           error, largest);
    CHECK(error < 1e-4 && largest > 0.1);
    CHECK(sea_clip_features_backward(world.clip, work, dout, &err));
    CHECK_FAILS(err, SEA_E_INTERNAL, "no backward");
    sea_device_free(&device, dout);
    free(grad);
    free(w);
    sea_clip_work_destroy(work);
    twin_release(&twin);
    world_close(&world);
}

static void
training_learns_its_pairs(void)
{
    struct sea_adamw_part parts[3] = {
        { .name = "vision", .lr = 3e-3, .weight_decay = 0.05 },
        { .name = "text", .lr = 3e-3, .weight_decay = 0.05 },
        { .name = "head", .lr = 3e-3, .weight_decay = 0.05 },
    };
    struct sea_schedule schedule = sea_schedule_make(SEA_SCHEDULE_COSINE, 60, 0.1);
    struct sea_adamw_desc desc = sea_adamw_defaults(schedule);
    struct sea_clip_trainer *trainer;
    struct sea_adamw *adamw;
    struct sea_err err = { 0 };
    struct world world;
    double first = 0, loss = 0, norm, scale;
    int step;

    world_open(&world, &tiny, true);
    parts[0].params = &world.clip->vision;
    parts[1].params = &world.clip->text;
    parts[2].params = &world.clip->head;
    CHECK_OK(sea_clip_trainer_create(&trainer, world.clip, PICTURES, IDS_MAX, &err), err);
    CHECK_OK(sea_adamw_create(&adamw, &device, &desc, parts, 3, &err), err);
    for (step = 0; step < 60 && !err.status; step++) {
        CHECK_OK(sea_adamw_zero(adamw, &err), err);
        CHECK_OK(sea_clip_trainer_step(trainer, world.pixels, world.ids, world.start,
                                       PICTURES, &loss, &err), err);
        CHECK_OK(sea_adamw_step(adamw, &norm, &err), err);
        if (step == 0)
            first = loss;
    }
    CHECK_OK(sea_clip_scale(world.clip, &scale, &err), err);
    printf("loss of five pairs: %.4f, after 60 steps %.4f, scale %.3f\n", first, loss,
           scale);
    CHECK(first > 1 && loss < 0.2);
    sea_adamw_destroy(adamw);
    sea_clip_trainer_destroy(trainer);
    world_close(&world);
}

SEA_TEST_MAIN("clip",
    TEST(features_equal_the_twin),
    TEST(patches_of_all_variants_equal_the_twin),
    TEST(images_and_texts_equal_the_twin),
    TEST(chunks_change_no_bits),
    TEST(every_gradient_equals_its_finite_difference),
    TEST(gradients_add_up),
    TEST(embedding_rows_are_sorted_for_the_scatter),
    TEST(old_folders_read_out_the_largest_id),
    TEST(features_have_a_backward),
    TEST(training_learns_its_pairs))
