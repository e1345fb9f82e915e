/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mllm_write.c - multimodal folders out: LlavaForConditionalGeneration's layout, and for
 * adapters that have no place in it LLaVA's original one, with the tower in a folder below
 */
#include "engine/mllm_int.h"

#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/clip_int.h"
#include "engine/sea_safetensors.h"

#define CONFIG_BYTES_MAX (1u << 20)
#define TOWER_FOLDER "vision_tower"

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
    sea_node_put_text(arena, map, "projector_hidden_act",
                      sea_clip_act_name(folder->adapter->act));
    sea_node_put_bool(arena, map, "multimodal_projector_bias", folder->adapter->b[0] >= 0);
    sea_node_put_int(arena, map, "vision_feature_layer", folder->layer);
    sea_node_put_text(arena, map, "vision_feature_select_strategy",
                      folder->with_class || !sea_clip_class_rows(&vision) ? "full"
                                                                          : "default");
    sea_node_put_bool(arena, map, "tie_word_embeddings", folder->lm->desc.tied);
    sea_lm_desc_node(&folder->lm->desc, arena, map, "text_config");
    sea_node_put_copy(arena, map, "vision_config", sea_clip_desc_node(&vision, arena));
    sea_node_put_text(arena, map, "torch_dtype",
                      folder->lm->params.half ? "bfloat16" : "float32");
    if (folder->template_name[0])
        sea_node_put_text(arena, map, "conversation_template", folder->template_name);
    return map;
}

/* The original layout's: the language model's settings, and what LLaVA adds to them. */
static struct sea_node *
original_node(const struct sea_mllm_folder *folder, struct sea_arena *arena)
{
    const struct sea_adapter *adapter = folder->adapter;
    struct sea_node *map = sea_lm_desc_node(&folder->lm->desc, arena, NULL, NULL);
    const struct sea_node *list = sea_node_get(map, "architectures");
    const char *class_name = sea_node_text(list ? list->first : NULL, "");
    const char *family = sea_lm_family_name(folder->lm->desc.family);
    struct sea_node *classes;

    class_name = sea_arena_printf(arena, "Llava%s", class_name);
    sea_node_remove(map, "architectures");
    sea_node_remove(map, "model_type");
    sea_node_remove(map, "torch_dtype");
    classes = sea_node_put(arena, map, "architectures", SEA_NODE_LIST);
    sea_node_put_text(arena, classes, NULL, class_name);
    sea_node_put_text(arena, map, "model_type", sea_arena_printf(arena, "llava_%s", family));
    if (folder->template_name[0])
        sea_node_put_text(arena, map, "conversation_template", folder->template_name);
    sea_node_put_text(arena, map, "mm_vision_tower", TOWER_FOLDER);
    sea_node_put_text(arena, map, "mm_projector_type", sea_adapter_kind_name(adapter->kind));
    sea_node_put_int(arena, map, "mm_hidden_size", adapter->Dv);
    sea_node_put_int(arena, map, "mm_vision_select_layer", folder->layer);
    sea_node_put_text(arena, map, "mm_vision_select_feature",
                      folder->with_class || !sea_clip_class_rows(&folder->clip->desc)
                          ? "cls_patch" : "patch");
    sea_node_put_bool(arena, map, "mm_use_im_start_end", false);
    sea_node_put_bool(arena, map, "mm_use_im_patch_token", false);
    sea_node_put_bool(arena, map, "use_mm_proj", true);
    sea_node_put_int(arena, map, "image_token_index", folder->image_token);
    sea_node_put_text(arena, map, "torch_dtype",
                      folder->lm->params.half ? "bfloat16" : "float32");
    return map;
}

/* The vision tower without what else a model of both towers holds. */
static enum sea_status
save_tower(const struct sea_mllm_folder *folder, const char *dir, struct sea_err *err)
{
    struct sea_clip alone = *folder->clip;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, dir, TOWER_FOLDER, err);

    memset(&alone.desc.text, 0, sizeof(alone.desc.text));
    memset(&alone.text, 0, sizeof(alone.text));
    memset(&alone.head, 0, sizeof(alone.head));
    alone.desc.joint = 0;
    return status ? status : sea_clip_save(&alone, path, err);
}

static enum sea_status
write_files(const char *dir, const struct sea_params_part *parts, size_t count,
            const struct sea_node *config, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, CONFIG_BYTES_MAX);
    status = sea_path_join(path, dir, "model.safetensors", err);
    if (!status)
        status = sea_params_save(path, parts, count, err);
    if (!status)
        status = sea_json_write(config, SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, dir, "config.json", err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    return status;
}

enum sea_status
sea_mllm_save(const struct sea_mllm_folder *folder, const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "config of a multimodal model");
    struct sea_params_part parts[] = {
        { &folder->clip->vision, "vision_tower." },
        { &folder->adapter->params, "multi_modal_projector." },
        { &folder->lm->params, "language_model." },
    };
    bool original = folder->adapter->kind != SEA_ADAPTER_MLP2X_GELU;
    struct sea_params named;
    enum sea_status status = SEA_OK;

    if (folder->image_token < 0)
        status = sea_fail(err, SEA_E_CONFIG, "a Llava folder needs a word for pictures, %d is "
                          "none", (int)folder->image_token);
    if (!status && original && folder->adapter->act != SEA_ACT_GELU)
        status = sea_fail(err, SEA_E_CONFIG, "a \"%s\" adapter with \"%s\" has no place in a "
                          "Llava folder", sea_adapter_kind_name(folder->adapter->kind),
                          sea_clip_act_name(folder->adapter->act));
    if (!status)
        status = sea_dir_create(dir, err);
    if (!status && original) {
        parts[1].prefix = sea_adapter_name(folder->adapter, &named, arena);
        parts[1].params = &named;
        parts[2].prefix = "";
        status = save_tower(folder, dir, err);
        if (!status)
            status = write_files(dir, parts + 1, 2, original_node(folder, arena), err);
    } else if (!status) {
        status = write_files(dir, parts, 3, config_node(folder, arena), err);
    }
    if (status)
        sea_context(err, "while saving a multimodal model to \"%s\"", dir);
    sea_arena_destroy(arena);
    return status;
}
