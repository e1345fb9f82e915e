/* SPDX-License-Identifier: Apache-2.0 */
/* mllm_files.c - LlavaForConditionalGeneration folders, in and out */
#include "engine/sea_mllm.h"

#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/sea_safetensors.h"

#define CONFIG_BYTES_MAX (1u << 20)

struct settings {               /* config.json */
    struct sea_clip_desc clip;
    struct sea_lm_desc lm;
};

static enum sea_status
parse_features(struct sea_mllm_folder *folder, const struct sea_node *config,
               const char *path, struct sea_err *err)
{
    const struct sea_node *layer = sea_node_get(config, "vision_feature_layer");
    const struct sea_node *token = sea_node_get(config, "image_token_index");
    const char *act = sea_node_text(sea_node_get(config, "projector_hidden_act"), "gelu");
    const char *strategy = sea_node_text(sea_node_get(config,
                                         "vision_feature_select_strategy"), "default");

    if (!token)
        token = sea_node_get(config, "image_token_id");
    if (layer && layer->kind != SEA_NODE_INT)
        return sea_fail(err, SEA_E_FORMAT, "%s: \"vision_feature_layer\" is a %s, must be one "
                        "whole number", path, sea_node_kind_name(layer->kind));
    folder->layer = sea_node_int(layer, -2);
    folder->with_class = !strcmp(strategy, "full");
    if (strcmp(strategy, "full") && strcmp(strategy, "default"))
        return sea_fail(err, SEA_E_FORMAT, "%s: \"vision_feature_select_strategy\" is \"%s\", "
                        "must be \"default\" or \"full\"", path, strategy);
    if (strcmp(act, "gelu"))
        return sea_fail(err, SEA_E_FORMAT, "%s: \"projector_hidden_act\" \"%s\" is not "
                        "supported, must be \"gelu\"", path, act);
    folder->image_token = (int32_t)sea_node_int(token, 32000);
    if (sea_node_int(token, 32000) < 0 || sea_node_int(token, 32000) > INT32_MAX)
        return sea_fail(err, SEA_E_FORMAT, "%s: \"image_token_index\" must be a word", path);
    return SEA_OK;
}

static enum sea_status
parse_config(struct sea_mllm_folder *folder, struct settings *settings,
             const struct sea_node *config, const char *path, struct sea_err *err)
{
    const char *type = sea_node_text(sea_node_get(config, "model_type"), "");
    const struct sea_node *text = sea_node_get(config, "text_config");
    enum sea_status status;

    if (strcmp(type, "llava")) {
        sea_fail(err, SEA_E_FORMAT, "%s: model_type is \"%s\", must be \"llava\"", path, type);
        sea_hint(err, "Use a LlavaForConditionalGeneration folder, such as the tune stage's.");
        return err->status;
    }
    if (!text)
        return sea_fail(err, SEA_E_FORMAT, "%s: there is no \"text_config\"", path);
    status = parse_features(folder, config, path, err);
    if (!status)
        status = sea_clip_desc_parse(&settings->clip, config, path, err);
    if (!status)
        status = sea_lm_desc_parse(&settings->lm, text, path, err);
    if (!status && sea_node_bool(sea_node_get(config, "tie_word_embeddings"), false))
        settings->lm.tied = true;
    return status;
}

/* Where the tower's names start in this folder. */
static const char *
tower_prefix(const struct sea_tensors *tensors)
{
    static const char *const newer[] = {
        "model.vision_tower.vision_model.embeddings.class_embedding",
        "model.vision_tower.embeddings.class_embedding",
    };

    for (size_t i = 0; i < sizeof(newer) / sizeof(newer[0]); i++)
        if (sea_tensors_find(tensors, newer[i]))
            return "model.vision_tower.";
    return "vision_tower.";
}

static enum sea_status
load_parts(struct sea_mllm_folder *folder, const struct settings *settings,
           const struct sea_device *device, const struct sea_tensors *tensors,
           struct sea_mllm_trained trained, struct sea_err *err)
{
    struct sea_lm_desc lm = settings->lm;
    enum sea_status status;

    /* Some folders say "tied" and hold a head of their own all the same. */
    if (lm.tied && (sea_tensors_find(tensors, "language_model.lm_head.weight") ||
                    sea_tensors_find(tensors, "lm_head.weight")))
        lm.tied = false;
    status = sea_clip_load_vision(&folder->clip, device, &settings->clip, tensors,
                                  tower_prefix(tensors), trained.clip, err);
    if (!status)
        status = sea_lm_load_tensors(&folder->lm, device, &lm, tensors, "language_model.",
                                     trained.lm, err);
    if (!status)
        status = sea_adapter_load_tensors(&folder->adapter, device, tensors,
                                          settings->clip.vision.D, lm.D, trained.adapter, err);
    return status;
}

enum sea_status
sea_mllm_load(struct sea_mllm_folder *folder, const struct sea_device *device,
              const char *dir, struct sea_mllm_trained trained, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "config of a multimodal model");
    struct sea_tensors *tensors = NULL;
    struct settings settings;
    struct sea_node *config;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    memset(folder, 0, sizeof(*folder));
    status = sea_path_join(path, dir, "config.json", err);
    if (!status)
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
    if (!status)
        status = parse_config(folder, &settings, config, path, err);
    if (!status)
        status = sea_tensors_open_dir(&tensors, dir, err);
    if (!status)
        status = load_parts(folder, &settings, device, tensors, trained, err);
    if (!status)
        folder->patches = sea_clip_patch_count(&folder->clip->desc) + folder->with_class;
    if (status) {
        sea_context(err, "while loading the model \"%s\"", dir);
        sea_mllm_release(folder);
    }
    sea_tensors_close(tensors);
    sea_arena_destroy(arena);
    return status;
}

void
sea_mllm_release(struct sea_mllm_folder *folder)
{
    sea_clip_destroy(folder->clip);
    sea_adapter_destroy(folder->adapter);
    sea_lm_destroy(folder->lm);
    memset(folder, 0, sizeof(*folder));
}

static struct sea_node *
config_node(const struct sea_mllm_folder *folder, struct sea_arena *arena)
{
    struct sea_node *map = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_node *list = sea_node_put(arena, map, "architectures", SEA_NODE_LIST);
    struct sea_clip_desc vision = folder->clip->desc;

    memset(&vision.text, 0, sizeof(vision.text));
    vision.joint = 0;
    sea_node_put_text(arena, list, NULL, "LlavaForConditionalGeneration");
    sea_node_put_text(arena, map, "model_type", "llava");
    sea_node_put_int(arena, map, "image_token_index", folder->image_token);
    sea_node_put_int(arena, map, "image_seq_length", folder->patches);
    sea_node_put_text(arena, map, "projector_hidden_act", "gelu");
    sea_node_put_bool(arena, map, "multimodal_projector_bias", true);
    sea_node_put_int(arena, map, "vision_feature_layer", folder->layer);
    sea_node_put_text(arena, map, "vision_feature_select_strategy",
                      folder->with_class ? "full" : "default");
    sea_node_put_bool(arena, map, "tie_word_embeddings", folder->lm->desc.tied);
    sea_lm_desc_node(&folder->lm->desc, arena, map, "text_config");
    sea_node_put_copy(arena, map, "vision_config", sea_clip_desc_node(&vision, arena));
    sea_node_put_text(arena, map, "torch_dtype", "float32");
    return map;
}

enum sea_status
sea_mllm_save(const struct sea_mllm_folder *folder, const char *dir, struct sea_err *err)
{
    const struct sea_params_part parts[] = {
        { &folder->clip->vision, "vision_tower." },
        { &folder->adapter->params, "multi_modal_projector." },
        { &folder->lm->params, "language_model." },
    };
    struct sea_arena *arena = sea_arena_create(NULL, "config of a multimodal model");
    char path[SEA_PATH_MAX];
    enum sea_status status = SEA_OK;
    struct sea_buf text;

    sea_buf_init(&text, CONFIG_BYTES_MAX);
    if (folder->adapter->kind != SEA_ADAPTER_MLP2X_GELU) {
        status = sea_fail(err, SEA_E_CONFIG, "a \"%s\" adapter has no place in a Llava folder",
                          sea_adapter_kind_name(folder->adapter->kind));
        sea_hint(err, "Set model.adapter to mlp2x_gelu.");
    }
    if (!status)
        status = sea_dir_create(dir, err);
    if (!status)
        status = sea_path_join(path, dir, "model.safetensors", err);
    if (!status)
        status = sea_params_save(path, parts, 3, err);
    if (!status)
        status = sea_json_write(config_node(folder, arena), SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, dir, "config.json", err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    if (status)
        sea_context(err, "while saving a multimodal model to \"%s\"", dir);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}
