/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLIP folders: what is saved comes back, towers load from Llava files under both kinds of
 * names, and folders, texts and sizes that cannot be used are refused by name.
 */
#include "engine/sea_safetensors.h"
#include "tests/engine/test_clip_world.h"

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
        { "{\"model_type\": \"siglip2\", \"vision_config\": {\"model_type\": "
          "\"siglip2_vision_model\"}}", "siglip2_vision_model" },
        { "{\"model_type\": \"clip\", \"vision_config\": {\"model_type\": "
          "\"siglip_vision_model\"}}", "siglip_vision_model" },
        { "{\"model_type\": \"dinov2_with_registers\"}", "dinov2_with_registers" },
        { "{\"model_type\": \"dinov2\", \"image_size\": [8, 16]}", "no square" },
        { "{\"model_type\": \"siglip\", \"vision_config\": {\"hidden_size\": 24}}",
          "projection_size" },
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

SEA_TEST_MAIN("clip files",
    TEST(folders_come_back),
    TEST(vision_towers_load_alone),
    TEST(a_vision_tower_has_no_joint_space),
    TEST(bad_folders_are_refused),
    TEST(bad_texts_and_sizes_are_named))
