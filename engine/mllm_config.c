/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The config.json of a multimodal folder, in two layouts: LlavaForConditionalGeneration's
 * with "vision_config" and "text_config", and the original one of LLaVA-1.5, where the
 * language model's settings stand at the top and "mm_vision_tower" names another folder.
 */
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/clip_int.h"
#include "engine/mllm_int.h"
#include "engine/sea_image.h"
#include "engine/sea_lora.h"

#define CONFIG_BYTES_MAX (1u << 20)
#define LLAVA_IMAGE_TOKEN SEA_LM_GIVEN  /* the original layout has no word for pictures */

static enum sea_status
refuse(const char *path, const char *key, const char *value, const char *allowed,
       struct sea_err *err)
{
    return sea_fail(err, SEA_E_FORMAT, "%s: \"%s\" is \"%s\", must be %s", path, key, value,
                    allowed);
}

static enum sea_status
read_layer(struct sea_mllm_settings *settings, const struct sea_node *config, const char *key,
           const char *path, struct sea_err *err)
{
    const struct sea_node *layer = sea_node_get(config, key);

    if (layer && layer->kind == SEA_NODE_LIST && layer->count == 1)
        layer = layer->first;
    if (layer && layer->kind != SEA_NODE_INT) {
        sea_fail(err, SEA_E_FORMAT, "%s: \"%s\" is a %s, must be one whole number", path, key,
                 sea_node_kind_name(layer->kind));
        sea_hint(err, "Adapters over several layers at once are not computed.");
        return err->status;
    }
    settings->layer = sea_node_int(layer, -2);
    return SEA_OK;
}

/* "default" and "patch" leave out the first row, "full" and "cls_patch" keep all. */
static enum sea_status
set_rows(struct sea_mllm_settings *settings, bool all, const char *path, struct sea_err *err)
{
    settings->with_class = all && sea_clip_class_rows(&settings->clip) > 0;
    if (all || sea_clip_class_rows(&settings->clip) > 0)
        return SEA_OK;
    sea_fail(err, SEA_E_FORMAT, "%s: \"vision_feature_select_strategy\" is \"default\", which "
             "would leave out the first patch of a %s tower, must be \"full\"", path,
             sea_tower_name(settings->clip.tower));
    sea_hint(err, "Set it to \"full\": this tower has no class row.");
    return err->status;
}

static enum sea_status
parse_features(struct sea_mllm_settings *settings, const struct sea_node *config,
               bool *all, const char *path, struct sea_err *err)
{
    const struct sea_node *token = sea_node_get(config, "image_token_index");
    const char *act = sea_node_text(sea_node_get(config, "projector_hidden_act"), "gelu");
    const char *strategy = sea_node_text(sea_node_get(config,
                                         "vision_feature_select_strategy"), "default");

    if (!token)
        token = sea_node_get(config, "image_token_id");
    if (read_layer(settings, config, "vision_feature_layer", path, err))
        return err->status;
    if (strcmp(strategy, "full") && strcmp(strategy, "default"))
        return refuse(path, "vision_feature_select_strategy", strategy,
                      "\"default\" or \"full\"", err);
    if (!sea_clip_act_find(act, &settings->act))
        return refuse(path, "projector_hidden_act", act, "\"gelu\", \"gelu_pytorch_tanh\", "
                      "\"quick_gelu\" or \"silu\"", err);
    settings->image_token = (int32_t)sea_node_int(token, 32000);
    if (sea_node_int(token, 32000) < 0 || sea_node_int(token, 32000) > INT32_MAX)
        return sea_fail(err, SEA_E_FORMAT, "%s: \"image_token_index\" must be a word", path);
    *all = !strcmp(strategy, "full");
    return SEA_OK;
}

static enum sea_status
parse_llava(struct sea_mllm_settings *settings, const struct sea_node *config, const char *dir,
            const char *path, struct sea_err *err)
{
    const struct sea_node *text = sea_node_get(config, "text_config");
    enum sea_status status;
    bool all = false;

    if (!text)
        return sea_fail(err, SEA_E_FORMAT, "%s: there is no \"text_config\"", path);
    status = parse_features(settings, config, &all, path, err);
    if (!status)
        status = sea_clip_desc_parse(&settings->clip, config, path, err);
    if (!status)
        status = sea_clip_desc_size(&settings->clip, dir, err);
    if (!status)
        status = set_rows(settings, all, path, err);
    if (!status)
        status = sea_lm_desc_parse(&settings->lm, text, path, err);
    if (!status && sea_node_bool(sea_node_get(config, "tie_word_embeddings"), false))
        settings->lm.tied = true;
    return status;
}

/* ---- the original layout ---- */

struct sea_node *
sea_mllm_original_language(const struct sea_node *config, struct sea_arena *arena)
{
    const char *type = sea_node_text(sea_node_get(config, "model_type"), "");
    struct sea_node *copy;

    if (!sea_node_get(config, "mm_vision_tower") || sea_node_get(config, "text_config"))
        return NULL;
    copy = sea_node_put_copy(arena, NULL, NULL, config);
    if (!strcmp(type, "llava"))
        type = "llava_llama";
    if (!strncmp(type, "llava_", 6) && sea_lm_family_find(type + 6) >= 0) {
        sea_node_remove(copy, "model_type");
        sea_node_put_text(arena, copy, "model_type", type + 6);
    }
    return copy;
}

/* What later LLaVA models do with pictures and prompts, and we do not. */
static enum sea_status
check_options(const struct sea_node *config, const char *path, struct sea_err *err)
{
    const char *aspect = sea_node_text(sea_node_get(config, "image_aspect_ratio"), "square");
    const char *merge = sea_node_text(sea_node_get(config, "mm_patch_merge_type"), "flat");

    if (strcmp(aspect, "square") && strcmp(aspect, "pad"))
        return refuse(path, "image_aspect_ratio", aspect, "\"square\" or \"pad\"", err);
    if (strcmp(merge, "flat"))
        return refuse(path, "mm_patch_merge_type", merge, "\"flat\"", err);
    if (sea_node_bool(sea_node_get(config, "mm_use_im_start_end"), false))
        return refuse(path, "mm_use_im_start_end", "true", "false", err);
    return SEA_OK;
}

static bool
is_tower(const char *path)
{
    char file[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    return !sea_path_join(file, path, "config.json", &err) && sea_file_exists(file);
}

/* Where the tower lies: as given, as named, below the model's folder by its whole name or by
 * the last part of it. */
static enum sea_status
find_tower(struct sea_mllm_settings *settings, const char *name, const char *dir,
           const char *tower, const char *path, struct sea_err *err)
{
    const char *slash = strrchr(name, '/');
    const char *inside[2] = { name, slash ? slash + 1 : name };
    char *to = settings->tower;

    if (tower)
        return sea_path_join(to, tower, "", err);
    if (is_tower(name))
        return sea_path_join(to, name, "", err);
    for (int i = 0; i < 2 && *name != '/'; i++) {
        if (sea_path_join(to, dir, inside[i], err))
            return err->status;
        if (is_tower(to))
            return SEA_OK;
    }
    sea_fail(err, SEA_E_MISSING, "%s: the vision tower \"%s\" is not there", path, name);
    sea_hint(err, "Give its folder with --tower, write it into \"mm_vision_tower\", or put it "
                  "at \"%s/%s\".", dir, inside[1]);
    return err->status;
}

/* Pictures are prepared as the tower says, unless the model's own folder does. */
static enum sea_status
find_view(struct sea_mllm_settings *settings, const char *dir, struct sea_err *err)
{
    bool found;
    enum sea_status status = sea_image_view_find(dir, &found, err);

    if (status)
        return status;
    return sea_path_join(settings->view, found ? dir : settings->tower, "", err);
}

static enum sea_status
parse_tower(struct sea_mllm_settings *settings, struct sea_arena *arena, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct sea_node *config;
    enum sea_status status = sea_path_join(path, settings->tower, "config.json", err);

    if (!status)
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
    if (!status)
        status = sea_clip_desc_parse(&settings->clip, config, path, err);
    return status ? status : sea_clip_desc_size(&settings->clip, settings->view, err);
}

static enum sea_status
parse_original(struct sea_mllm_settings *settings, const struct sea_node *config,
               const char *dir, const char *path, const char *tower, struct sea_arena *arena,
               struct sea_err *err)
{
    const struct sea_node *language = sea_mllm_original_language(config, arena);
    const char *name = sea_node_text(sea_node_get(config, "mm_vision_tower"), "");
    const char *kind = sea_node_text(sea_node_get(config, "mm_projector_type"), "linear");
    const char *select = sea_node_text(sea_node_get(config, "mm_vision_select_feature"),
                                       "patch");
    int64_t width = sea_node_int(sea_node_get(config, "mm_hidden_size"), 0);
    enum sea_status status;

    settings->original = true;
    settings->image_token = (int32_t)sea_node_int(sea_node_get(config, "image_token_index"),
                                                  LLAVA_IMAGE_TOKEN);
    settings->act = SEA_ACT_GELU;
    settings->pad = !strcmp(sea_node_text(sea_node_get(config, "image_aspect_ratio"), ""), "pad");
    if (!sea_adapter_kind_find(kind, &settings->kind))
        return refuse(path, "mm_projector_type", kind, "\"linear\" or \"mlp1x_gelu\" to "
                      "\"mlp8x_gelu\"", err);
    if (strcmp(select, "patch") && strcmp(select, "cls_patch"))
        return refuse(path, "mm_vision_select_feature", select, "\"patch\" or \"cls_patch\"",
                      err);
    status = check_options(config, path, err);
    if (!status)
        status = read_layer(settings, config, "mm_vision_select_layer", path, err);
    if (!status)
        status = sea_lm_desc_parse(&settings->lm, language, path, err);
    if (!status)
        status = find_tower(settings, name, dir, tower, path, err);
    if (!status)
        status = find_view(settings, dir, err);
    if (!status)
        status = parse_tower(settings, arena, err);
    if (!status && width && width != settings->clip.vision.D)
        status = sea_fail(err, SEA_E_FORMAT, "%s: \"mm_hidden_size\" is %lld, the vision tower "
                          "\"%s\" has %lld", path, (long long)width, settings->tower,
                          (long long)settings->clip.vision.D);
    return status ? status : set_rows(settings, !strcmp(select, "cls_patch"), path, err);
}

enum sea_status
sea_mllm_settings_load(struct sea_mllm_settings *settings, const char *dir, const char *tower,
                       struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "config of a multimodal model");
    struct sea_node *config;
    char path[SEA_PATH_MAX];
    const char *type;
    enum sea_status status;

    memset(settings, 0, sizeof(*settings));
    status = sea_path_join(settings->view, dir, "", err);
    if (!status)
        status = sea_path_join(path, dir, "config.json", err);
    if (!status)
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
    if (status)
        goto out;
    type = sea_node_text(sea_node_get(config, "model_type"), "");
    if (sea_mllm_original_language(config, arena)) {
        status = parse_original(settings, config, dir, path, tower, arena, err);
    } else if (strcmp(type, "llava")) {
        sea_fail(err, SEA_E_FORMAT, "%s: model_type is \"%s\", must be \"llava\"", path, type);
        sea_hint(err, "Use a LlavaForConditionalGeneration folder, such as the tune stage's, or "
                      "one of LLaVA-1.5.");
        status = err->status;
    } else if (tower) {
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" holds its own vision tower, \"%s\" cannot "
                          "replace it", dir, tower);
    } else {
        status = parse_llava(settings, config, dir, path, err);
    }
    if (!status)
        status = sea_lm_desc_generation(&settings->lm, dir, err);
    snprintf(settings->template_name, sizeof(settings->template_name), "%s",
             sea_node_text(sea_node_get(config, "conversation_template"), ""));
out:
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_mllm_describe(struct sea_mllm_about *about, const char *dir, const char *tower,
                  struct sea_err *err)
{
    struct sea_mllm_settings settings;
    char base[SEA_PATH_MAX];
    enum sea_status status = sea_lora_is_folder(dir) ? sea_lora_base(dir, base, err)
                                                     : sea_path_join(base, dir, "", err);

    if (!status)
        status = sea_mllm_settings_load(&settings, base, tower, err);
    if (status)
        return status;
    about->clip = settings.clip;
    about->lm = settings.lm;
    memcpy(about->tower, settings.tower, sizeof(about->tower));
    return SEA_OK;
}
