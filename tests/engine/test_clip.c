/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLIP: features, the four kinds of patch embeddings and text embeddings equal a plain
 * double implementation; every gradient of contrastive training equals its finite
 * difference; chunks and batches change no bits; folders come back as they were.
 */
#include "engine/sea_optim.h"
#include "engine/sea_safetensors.h"
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

static void
check_same_weights(const struct sea_params *a, const struct sea_params *b)
{
    float *x = sea_xcalloc((size_t)a->floats, sizeof(*x));
    float *y = sea_xcalloc((size_t)a->floats, sizeof(*y));
    size_t bytes = (size_t)a->floats * sizeof(*x);
    struct sea_err err = { 0 };

    CHECK_INT(a->floats, b->floats);
    CHECK_OK(sea_device_get(&device, x, a->data, bytes, &err), err);
    CHECK_OK(sea_device_get(&device, y, b->data, bytes, &err), err);
    CHECK(memcmp(x, y, bytes) == 0);
    free(x);
    free(y);
}

static void
folders_come_back(void)
{
    struct sea_clip *again;
    struct sea_err err = { 0 };
    struct sea_tensors *tensors;
    const struct sea_tensor *scale;
    char dir[512], path[600], first[65], second[65], other[65];
    struct world world;

    world_open(&world, &tiny, false);
    snprintf(dir, sizeof(dir), "%s/clip", sea_test_dir());
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    CHECK_OK(sea_clip_save(world.clip, dir, &err), err);
    if (!CHECK_OK(sea_clip_load(&again, &device, dir, false, &err), err))
        return;
    CHECK_INT(again->desc.text.eos, tiny.text.eos);
    CHECK(again->desc.text.act == tiny.text.act && again->desc.vision.eps == 1e-5f
          && again->desc.logit_scale == tiny.logit_scale);
    check_same_weights(&world.clip->vision, &again->vision);
    check_same_weights(&world.clip->text, &again->text);
    check_same_weights(&world.clip->head, &again->head);
    CHECK_OK(sea_clip_digest(world.clip, first, &err), err);
    CHECK_OK(sea_clip_digest(again, second, &err), err);
    CHECK_STR(second, first);
    shake(&again->head, 9);
    CHECK_OK(sea_clip_digest(again, other, &err), err);
    CHECK(strcmp(other, first) != 0);
    CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
    scale = sea_tensors_find(tensors, "logit_scale");
    CHECK(scale && scale->rank == 0);
    CHECK_INT(tensors->count, 78);
    sea_tensors_close(tensors);
    sea_clip_destroy(again);
    CHECK(sea_clip_load(&again, &device, sea_test_dir(), false, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "config.json");
    world_close(&world);
}

/* The tower inside a Llava file under both kinds of names, and as a folder of its own. */
static void
vision_towers_load_alone(void)
{
    static const char *const prefixes[] = { "vision_tower.", "" };
    struct sea_params shorter;
    struct sea_clip *alone, *again;
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[600], dir[600];
    struct world world;
    int64_t t;
    int i;

    world_open(&world, &tiny, false);
    snprintf(path, sizeof(path), "%s/tower.safetensors", sea_test_dir());
    snprintf(dir, sizeof(dir), "%s/alone", sea_test_dir());
    shorter = world.clip->vision;
    shorter.list = sea_arena_alloc(world.clip->arena, (size_t)shorter.count,
                                   sizeof(*shorter.list));
    memcpy(shorter.list, world.clip->vision.list,
           (size_t)shorter.count * sizeof(*shorter.list));
    for (t = 0; t < shorter.count; t++)
        shorter.list[t].name += strlen("vision_model.");
    for (i = 0; i < 4; i++) {
        struct sea_params_part part = { i % 2 ? &shorter : &world.clip->vision,
                                        prefixes[i / 2] };

        CHECK_OK(sea_params_save(path, &part, 1, &err), err);
        CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
        if (!CHECK_OK(sea_clip_load_vision(&alone, &device, &tiny, tensors, part.prefix,
                                           false, &err), err))
            return;
        check_same_weights(&world.clip->vision, &alone->vision);
        CHECK_STR(alone->vision.list[0].name, "vision_model.embeddings.class_embedding");
        sea_tensors_close(tensors);
        CHECK_OK(sea_clip_save(alone, dir, &err), err);
        CHECK_OK(sea_clip_load(&again, &device, dir, false, &err), err);
        check_same_weights(&world.clip->vision, &again->vision);
        CHECK(again->desc.text.D == 0 && again->desc.joint == 0);
        sea_clip_destroy(again);
        sea_clip_destroy(alone);
    }
    CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
    CHECK(sea_clip_load_vision(&alone, &device, &tiny, tensors, "tower.", false, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "tower.vision_model.embeddings");
    CHECK(alone == NULL);
    sea_tensors_close(tensors);
    world_close(&world);
}

/* Without a joint space there are features, and nothing else. */
static void
a_vision_tower_has_no_joint_space(void)
{
    struct sea_clip_desc desc = { .vision = tiny.vision };
    float got[5 * 24];
    struct sea_clip_out out = { .host = got };
    struct sea_clip_limits texts = { .texts = 1, .text_rows = 4 };
    struct sea_clip_work *work;
    struct sea_err err = { 0 };
    struct world world;

    world_open(&world, &desc, false);
    work = make_work(world.clip, 1, 0, 0, false);
    CHECK_OK(sea_clip_features(world.clip, work, world.pixels, 1, -2, true, out, &err), err);
    CHECK(sea_clip_patches(world.clip, work, world.pixels, 1, SEA_CLIP_SURGERY, out, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "no joint space");
    sea_err_clear(&err);
    CHECK(sea_clip_images(world.clip, work, world.pixels, 1, out, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "no joint space");
    sea_err_clear(&err);
    sea_clip_work_destroy(work);
    CHECK(sea_clip_work_create(&work, world.clip, &texts, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "no text tower");
    world_close(&world);
}

static void
bad_folders_are_refused(void)
{
    static const struct {
        const char *text, *words;
    } configs[] = {
        { "[]", "no map" },
        { "{\"model_type\": \"llama\"}", "\"llama\"" },
        { "{\"model_type\": \"clip\", \"vision_config\": {\"hidden_size\": -1}}",
          "vision_config.hidden_size" },
        { "{\"model_type\": \"clip\", \"vision_config\": {\"hidden_size\": 100}}", "12 heads" },
        { "{\"model_type\": \"clip\", \"vision_config\": {\"hidden_act\": \"sin\"}}", "\"sin\"" },
        { "{\"model_type\": \"siglip\", \"vision_config\": {\"model_type\": "
          "\"siglip_vision_model\"}}", "siglip_vision_model" },
        { "{\"model_type\": \"clip\", \"vision_config\": {\"image_size\": 8}}", "image_size" },
    };
    struct sea_clip_desc desc;
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_node *node;
    size_t i;

    for (i = 0; i < sizeof(configs) / sizeof(configs[0]); i++) {
        struct sea_err err = { 0 };

        CHECK_OK(sea_json_parse(configs[i].text, strlen(configs[i].text), "config.json",
                                arena, &node, &err), err);
        CHECK(sea_clip_desc_parse(&desc, node, "config.json", &err));
        CHECK_FAILS(err, SEA_E_FORMAT, configs[i].words);
    }
    for (i = 0; i < 3; i++) {
        static const char *const names[] = {
            "{\"model_type\": \"clip\", \"vision_config\": {}, \"text_config\": {}}",
            "{\"model_type\": \"llava\", \"vision_config\": {\"hidden_size\": 1536}}",
            "{\"model_type\": \"clip_vision_model\", \"layer_norm_eps\": 1e-6}",
        };
        struct sea_err err = { 0 };

        CHECK_OK(sea_json_parse(names[i], strlen(names[i]), "config.json", arena, &node,
                                &err), err);
        CHECK_OK(sea_clip_desc_parse(&desc, node, "config.json", &err), err);
        CHECK_INT(desc.vision.D, i == 1 ? 1536 : 768);
        CHECK_INT(desc.text.D, i == 0 ? 512 : 0);
        CHECK_INT(desc.joint, i == 0 ? 512 : 0);
        CHECK(desc.vision.eps == (i == 2 ? 1e-6f : 1e-5f));
    }
    sea_arena_destroy(arena);
}

static void
bad_texts_and_sizes_are_named(void)
{
    static const struct {
        int32_t ids[9];
        int64_t count;
        const char *words;
    } texts[] = {
        { { 17, 18 }, 0, "text 1 has 0 ids" },
        { { 17, 1, 2, 3, 4, 5, 6, 18 }, 8, "text 1 has 8 ids" },
        { { 17, 19, 18 }, 3, "holds id 19" },
        { { 17, -1, 18 }, 3, "holds id -1" },
        { { 17, 3, 3 }, 3, "no end token 18" },
    };
    float got[2 * 12];
    struct sea_clip_out out = { .host = got };
    struct sea_clip_desc desc = tiny;
    struct sea_clip_work *work;
    struct sea_clip *clip;
    struct world world;
    size_t i;

    world_open(&world, &tiny, false);
    work = make_work(world.clip, 1, 4, 32, false);
    for (i = 0; i < sizeof(texts) / sizeof(texts[0]); i++) {
        int32_t ids[16] = { 17, 18 };
        int64_t start[3] = { 0, 2, 2 + texts[i].count };
        struct sea_err err = { 0 };

        memcpy(ids + 2, texts[i].ids, sizeof(texts[i].ids));
        CHECK(sea_clip_texts(world.clip, work, ids, start, 2, out, &err));
        CHECK_FAILS(err, SEA_E_FORMAT, texts[i].words);
    }
    for (i = 0; i < 4; i++) {
        struct sea_err err = { 0 };

        desc = tiny;
        if (i == 0)
            desc.text.eos = 2;
        if (i == 1)
            desc.vision.heads = 5;
        if (i == 2)
            desc.text.eos = 19;
        if (i == 3)
            desc.vision.patch = 10;
        CHECK(sea_clip_create(&clip, &device, &desc, 1, false, &err));
        CHECK_FAILS(err, SEA_E_CONFIG, "");
        CHECK(clip == NULL);
    }
    sea_clip_work_destroy(work);
    world_close(&world);
}

SEA_TEST_MAIN("clip",
    TEST(features_equal_the_twin),
    TEST(patches_of_all_variants_equal_the_twin),
    TEST(images_and_texts_equal_the_twin),
    TEST(chunks_change_no_bits),
    TEST(every_gradient_equals_its_finite_difference),
    TEST(features_have_a_backward),
    TEST(training_learns_its_pairs),
    TEST(folders_come_back),
    TEST(vision_towers_load_alone),
    TEST(a_vision_tower_has_no_joint_space),
    TEST(bad_folders_are_refused),
    TEST(bad_texts_and_sizes_are_named))
