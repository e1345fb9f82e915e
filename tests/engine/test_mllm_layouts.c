/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Multimodal folders: over every family of towers they come back with equal bits, LLaVA-1.5's
 * original layout gives the same parts, and what neither layout can mean is refused by name.
 */
#include <math.h>
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "engine/sea_mllm.h"
#include "engine/sea_safetensors.h"
#include "tests/sea_test.h"

static struct sea_device device;
static const struct sea_mllm_trained none;

static struct sea_clip_desc
tower_desc(enum sea_tower tower)
{
    struct sea_clip_desc desc = {
        .tower = tower,
        .vision = { .D = 24, .layers = 2, .heads = 3, .F = 28, .image = 13, .patch = 4,
                    .channels = 3, .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f },
    };

    if (tower == SEA_TOWER_SIGLIP)
        desc.vision.pool = true;
    if (tower == SEA_TOWER_DINOV2) {
        desc.vision.ratio = 2;
        desc.vision.F = 48;
        desc.vision.mask_token = true;
    }
    return desc;
}

static void
make_folder(struct sea_mllm_folder *folder, enum sea_tower tower, enum sea_adapter_kind kind)
{
    struct sea_lm_desc lm = sea_lm_defaults();
    struct sea_clip_desc clip = tower_desc(tower);
    struct sea_err err = { 0 };

    memset(folder, 0, sizeof(*folder));
    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    lm.vocab = 19;
    lm.D = 16;
    lm.F = 20;
    lm.layers = 1;
    lm.H = lm.K = 2;
    lm.E = 8;
    lm.tied = false;
    CHECK_OK(sea_clip_create(&folder->clip, &device, &clip, 1, false, &err), err);
    CHECK_OK(sea_adapter_create(&folder->adapter, &device, kind, 24, 16, 2, false, &err), err);
    CHECK_OK(sea_lm_create(&folder->lm, &device, &lm, 3, false, &err), err);
    folder->layer = -2;
    folder->image_token = 18;
    folder->patches = 9;
}

static bool
same_bits(const struct sea_params *a, const struct sea_params *b)
{
    return a->floats == b->floats
           && !memcmp(a->data, b->data, (size_t)a->floats * sizeof(float));
}

static void
check_same(const struct sea_mllm_folder *a, const struct sea_mllm_folder *b)
{
    CHECK(same_bits(&a->clip->vision, &b->clip->vision));
    CHECK(same_bits(&a->adapter->params, &b->adapter->params));
    CHECK(same_bits(&a->lm->params, &b->lm->params));
    CHECK(a->adapter->act == b->adapter->act);
    CHECK_INT(b->layer, a->layer);
    CHECK_INT(b->patches, a->patches);
    CHECK(b->with_class == a->with_class);
}

static void
folders_over_all_towers_come_back(void)
{
    struct sea_mllm_folder folder, back;
    struct sea_err err = { 0 };
    char dir[600];

    for (int tower = 0; tower < SEA_TOWERS; tower++) {
        snprintf(dir, sizeof(dir), "%s/tower%d", sea_test_dir(), tower);
        make_folder(&folder, (enum sea_tower)tower, SEA_ADAPTER_MLP2X_GELU);
        folder.adapter->act = tower == 1 ? SEA_ACT_SILU : SEA_ACT_GELU;
        CHECK_OK(sea_mllm_save(&folder, dir, &err), err);
        if (CHECK_OK(sea_mllm_load(&back, &device, dir, none, &err), err)) {
            check_same(&folder, &back);
            CHECK(back.clip->desc.tower == (enum sea_tower)tower);
            CHECK_INT(back.image_token, 18);
            CHECK_STR(back.view, dir);
        }
        sea_mllm_release(&back);
        folder.image_token = SEA_LM_GIVEN;
        CHECK(sea_mllm_save(&folder, dir, &err) == SEA_E_CONFIG);
        CHECK_FAILS(err, SEA_E_CONFIG, "word for pictures");
        sea_err_clear(&err);
        sea_mllm_release(&folder);
    }
}

/* What Hugging Face's layout has no place for is written in LLaVA's. */
static void
other_adapters_are_written_in_the_original_layout(void)
{
    struct sea_mllm_folder folder, back;
    struct sea_err err = { 0 };
    char dir[600], path[700];

    for (int kind = 0; kind <= SEA_ADAPTER_LAYERS_MAX; kind++) {
        enum sea_tower tower = (enum sea_tower)(kind % SEA_TOWERS);

        snprintf(dir, sizeof(dir), "%s/adapter%d", sea_test_dir(), kind);
        snprintf(path, sizeof(path), "%s/vision_tower/config.json", dir);
        make_folder(&folder, tower, (enum sea_adapter_kind)kind);
        CHECK_OK(sea_mllm_save(&folder, dir, &err), err);
        CHECK(sea_file_exists(path) == (kind != SEA_ADAPTER_MLP2X_GELU));
        if (CHECK_OK(sea_mllm_load(&back, &device, dir, none, &err), err)) {
            check_same(&folder, &back);
            CHECK(back.adapter->kind == (enum sea_adapter_kind)kind);
            CHECK(back.clip->desc.tower == tower);
            CHECK_INT(back.image_token, 18);
        }
        sea_mllm_release(&back);
        sea_mllm_release(&folder);
    }
}

/* In both layouts the end words of generation_config.json stand before config.json's. */
static void
end_words_come_from_the_generation_config(void)
{
    static const char text[] = "{\"eos_token_id\": [2, 7, 9]}";
    struct sea_mllm_folder folder, back;
    struct sea_err err = { 0 };
    char dir[600], path[700];

    for (int kind = SEA_ADAPTER_LINEAR; kind <= SEA_ADAPTER_MLP2X_GELU; kind++) {
        snprintf(dir, sizeof(dir), "%s/ends%d", sea_test_dir(), kind);
        snprintf(path, sizeof(path), "%s/generation_config.json", dir);
        make_folder(&folder, SEA_TOWER_CLIP, (enum sea_adapter_kind)kind);
        CHECK_OK(sea_mllm_save(&folder, dir, &err), err);
        CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
        if (CHECK_OK(sea_mllm_load(&back, &device, dir, none, &err), err)) {
            CHECK_INT(back.lm->desc.eos_count, 3);
            CHECK_INT(back.lm->desc.eos[1], 7);
        }
        sea_mllm_release(&back);
        sea_mllm_release(&folder);
    }
}

/* A number that is not finite is told of with file and tensor, in the tower and the adapter. */
static void
broken_numbers_are_named(void)
{
    struct sea_mllm_folder folder, back;
    struct sea_err err = { 0 };
    const float nan = NAN;
    char dir[600];

    snprintf(dir, sizeof(dir), "%s/nan", sea_test_dir());
    make_folder(&folder, SEA_TOWER_CLIP, SEA_ADAPTER_MLP2X_GELU);
    folder.clip->vision.data[folder.clip->vision.list[3].offset] = nan;
    folder.adapter->params.data[folder.adapter->w[1]] = nan;
    CHECK_OK(sea_mllm_save(&folder, dir, &err), err);
    if (CHECK_OK(sea_mllm_load(&back, &device, dir, none, &err), err)) {
        if (CHECK(back.clip->vision.warning && back.adapter->params.warning)) {
            CHECK(strstr(back.clip->vision.warning, folder.clip->vision.list[3].name));
            CHECK(strstr(back.clip->vision.warning, "1 numbers"));
            CHECK(strstr(back.adapter->params.warning, "nan/model.safetensors"));
            CHECK(strstr(back.adapter->params.warning, "linear_2.weight"));
        }
        CHECK(!back.lm->params.warning);
    }
    sea_mllm_release(&back);
    sea_mllm_release(&folder);
}

/* A SigLIP tower's first row is a patch: "default" would leave it out. */
static void
default_rows_of_a_siglip_tower_are_refused(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_mllm_folder folder, back;
    struct sea_err err = { 0 };
    struct sea_node *config;
    struct sea_buf text;
    char dir[600], path[700];

    snprintf(dir, sizeof(dir), "%s/default", sea_test_dir());
    snprintf(path, sizeof(path), "%s/config.json", dir);
    make_folder(&folder, SEA_TOWER_SIGLIP, SEA_ADAPTER_MLP2X_GELU);
    CHECK_OK(sea_mllm_save(&folder, dir, &err), err);
    CHECK_OK(sea_json_load(path, 1 << 20, arena, &config, &err), err);
    CHECK(sea_node_remove(config, "vision_feature_select_strategy"));
    sea_node_put_text(arena, config, "vision_feature_select_strategy", "default");
    sea_buf_init(&text, 1 << 20);
    CHECK_OK(sea_json_write(config, SEA_JSON_PRETTY, &text, &err), err);
    CHECK_OK(sea_file_replace(path, text.data, text.len, &err), err);
    CHECK(sea_mllm_load(&back, &device, dir, none, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "first patch of a SigLIP tower");
    sea_buf_release(&text);
    sea_mllm_release(&folder);
    sea_arena_destroy(arena);
}

/* ---- LLaVA-1.5's layout ---- */

#define LANGUAGE \
    "\"model_type\": \"llava_llama\", \"hidden_size\": 16, \"intermediate_size\": 20, " \
    "\"num_hidden_layers\": 1, \"num_attention_heads\": 2, \"vocab_size\": 19, " \
    "\"rms_norm_eps\": 1e-6, \"max_position_embeddings\": 64, \"tie_word_embeddings\": false"
#define TOWER "\"mm_vision_tower\": \"openai/tower\", \"mm_hidden_size\": 24, " \
    "\"mm_vision_select_layer\": -2"

static void
write_config(const char *dir, const char *text)
{
    struct sea_err err = { 0 };
    char path[700];

    snprintf(path, sizeof(path), "%s/config.json", dir);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

/* Weights as LLaVA names them; with_adapter: else its file is elsewhere. */
static void
write_original(const struct sea_mllm_folder *folder, const char *dir, bool with_adapter)
{
    struct sea_params_part parts[2] = { { &folder->lm->params, "" }, { NULL, "" } };
    struct sea_tensors *tensors = NULL;
    struct sea_err err = { 0 };
    struct sea_params named;
    char path[700], own[700];

    CHECK_OK(sea_dir_create(dir, &err), err);
    snprintf(own, sizeof(own), "%s/adapter", sea_test_dir());
    CHECK_OK(sea_adapter_save(folder->adapter, own, &err), err);
    CHECK_OK(sea_tensors_open(&tensors, own, &err), err);
    sea_params_init(&named, folder->adapter->arena);
    for (int64_t t = 0; t < folder->adapter->params.count; t++) {
        const struct sea_param *param = &folder->adapter->params.list[t];
        const char *names[] = { "model.mm_projector.0.weight", "model.mm_projector.0.bias",
                                "model.mm_projector.2.weight", "model.mm_projector.2.bias" };

        CHECK(sea_tensors_find(tensors, names[t]) != NULL);
        sea_params_add(&named, names[t], param->rank, param->shape, param->init, param->scale);
    }
    sea_tensors_close(tensors);
    sea_params_alias(&named, &folder->adapter->params);
    parts[1].params = &named;
    snprintf(path, sizeof(path), "%s/model.safetensors", dir);
    CHECK_OK(sea_params_save(path, parts, with_adapter ? 2 : 1, &err), err);
}

static void
the_original_layout_is_read(void)
{
    struct sea_mllm_folder folder, back;
    struct sea_mllm_about about;
    struct sea_err err = { 0 };
    char dir[600], tower[700], text[900];

    snprintf(dir, sizeof(dir), "%s/original", sea_test_dir());
    snprintf(tower, sizeof(tower), "%s/elsewhere", sea_test_dir());
    make_folder(&folder, SEA_TOWER_CLIP, SEA_ADAPTER_MLP2X_GELU);
    write_original(&folder, dir, true);
    snprintf(text, sizeof(text), "{" LANGUAGE ", " TOWER ", \"mm_projector_type\": "
             "\"mlp2x_gelu\", \"image_aspect_ratio\": \"pad\"}");
    write_config(dir, text);
    CHECK(sea_mllm_load(&back, &device, dir, none, &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "\"openai/tower\" is not there");
    CHECK(strstr(err.hint, "--tower") != NULL);
    sea_err_clear(&err);
    CHECK_OK(sea_clip_save(folder.clip, tower, &err), err);
    CHECK_OK(sea_mllm_load_tower(&back, &device, dir, tower, none, &err), err);
    check_same(&folder, &back);
    CHECK(back.pad);
    CHECK_STR(back.view, tower);
    CHECK_INT(back.image_token, SEA_LM_GIVEN);
    sea_mllm_release(&back);
    snprintf(tower, sizeof(tower), "%s/tower", dir);    /* the last part of its name */
    CHECK_OK(sea_clip_save(folder.clip, tower, &err), err);
    CHECK_OK(sea_mllm_load(&back, &device, dir, none, &err), err);
    check_same(&folder, &back);
    /* What is said of it without loading. */
    CHECK_OK(sea_mllm_describe(&about, dir, NULL, &err), err);
    CHECK_STR(about.tower, tower);
    CHECK_INT(about.clip.vision.D, folder.clip->desc.vision.D);
    CHECK_INT(about.lm.D, folder.lm->desc.D);
    CHECK_OK(sea_mllm_fits(dir, NULL, &err), err);
    *strstr(text, "19") = '2';                  /* words that the files do not have */
    write_config(dir, text);
    CHECK(sea_mllm_fits(dir, NULL, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "is (19, 16), need (29, 16)");
    sea_mllm_release(&back);
    sea_mllm_release(&folder);
}

static void
what_the_original_layout_cannot_mean_is_refused(void)
{
    static const struct {
        const char *rest, *words;
    } cases[] = {
        { "\"mm_projector_type\": \"identity\"", "identity" },
        { "\"mm_projector_type\": \"mlp3x_gelu\"", "holds a \"mlp2x_gelu\"" },
        { "\"mm_projector_type\": \"mlp2x_gelu\", \"image_aspect_ratio\": \"anyres\"", "anyres" },
        { "\"mm_projector_type\": \"mlp2x_gelu\", \"mm_patch_merge_type\": \"spatial_unpad\"",
          "spatial_unpad" },
        { "\"mm_projector_type\": \"mlp2x_gelu\", \"mm_use_im_start_end\": true",
          "mm_use_im_start_end" },
        { "\"mm_projector_type\": \"mlp2x_gelu\", \"mm_vision_select_feature\": \"slice\"",
          "slice" },
    };
    struct sea_mllm_folder folder, back;
    struct sea_err err = { 0 };
    char dir[600], path[700], text[900];

    snprintf(dir, sizeof(dir), "%s/refused", sea_test_dir());
    make_folder(&folder, SEA_TOWER_CLIP, SEA_ADAPTER_MLP2X_GELU);
    write_original(&folder, dir, true);
    snprintf(path, sizeof(path), "%s/tower", dir);
    CHECK_OK(sea_clip_save(folder.clip, path, &err), err);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(text, sizeof(text), "{" LANGUAGE ", " TOWER ", %s}", cases[i].rest);
        write_config(dir, text);
        CHECK(sea_mllm_load(&back, &device, dir, none, &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, cases[i].words);
        sea_err_clear(&err);
    }
    snprintf(text, sizeof(text), "{\"model_type\": \"llava_mpt\", \"mm_vision_tower\": \"x\"}");
    write_config(dir, text);
    CHECK(sea_mllm_load(&back, &device, dir, none, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "llava_mpt");
    sea_err_clear(&err);
    snprintf(text, sizeof(text),
             "{" LANGUAGE ", " TOWER ", \"mm_projector_type\": \"mlp2x_gelu\"}");
    write_config(dir, text);
    write_original(&folder, dir, false);
    snprintf(path, sizeof(path), "%s/mm_projector.bin", dir);
    CHECK_OK(sea_file_replace(path, "PK", 2, &err), err);
    CHECK(sea_mllm_load(&back, &device, dir, none, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "no adapter");
    CHECK_MSG(strstr(err.hint, "mm_projector.bin") != NULL, "hint \"%s\"", err.hint);
    sea_mllm_release(&folder);
}

SEA_TEST_MAIN("layouts of multimodal folders",
    TEST(folders_over_all_towers_come_back),
    TEST(other_adapters_are_written_in_the_original_layout),
    TEST(end_words_come_from_the_generation_config),
    TEST(broken_numbers_are_named),
    TEST(default_rows_of_a_siglip_tower_are_refused),
    TEST(the_original_layout_is_read),
    TEST(what_the_original_layout_cannot_mean_is_refused))
