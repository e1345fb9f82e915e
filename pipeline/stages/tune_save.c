/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/stages/tune_int.h"

#include <stdlib.h>
#include <string.h>

#define JSON_BYTES_MAX ((size_t)256 << 20)
#define WORDS_STEP 64           /* vocabularies grow to a multiple */

/* ---- more words for the language model ---- */

static enum sea_status
copy_tensor(const struct sea_lm *lm, struct sea_lm *wide, const struct sea_param *to,
            struct sea_err *err)
{
    const struct sea_param *from = sea_params_find(&lm->params, to->name);
    float *host = sea_xcalloc((size_t)to->count, sizeof(float));
    enum sea_status status;

    if (!from || (to->rank > 1 && from->cols != to->cols) || from->count > to->count) {
        free(host);
        return sea_fail(err, SEA_E_INTERNAL, "tensor \"%s\" has no place in a wider model",
                        to->name);
    }
    status = sea_params_get(&lm->params, from, 0, from->count, host, err);
    if (!status)
        status = sea_params_put(&wide->params, to, 0, to->count, host, err);
    free(host);
    return status;
}

enum sea_status
sea_lm_widen(struct sea_lm **out, const struct sea_lm *lm, int64_t vocab, struct sea_err *err)
{
    struct sea_lm_desc desc = lm->desc;
    enum sea_status status;
    int64_t i;

    *out = NULL;
    desc.vocab = vocab;
    status = sea_lm_create(out, lm->device, &desc, 0, false, err);
    for (i = 0; !status && i < (*out)->params.count; i++)
        status = copy_tensor(lm, *out, &(*out)->params.list[i], err);
    if (status) {
        sea_lm_destroy(*out);
        *out = NULL;
    }
    return status;
}

/* ---- one more word for the tokenizer ---- */

static struct sea_node *
put_added(struct sea_arena *arena, struct sea_node *parent, const char *key)
{
    struct sea_node *map = sea_node_put(arena, parent, key, SEA_NODE_MAP);

    sea_node_put_text(arena, map, "content", SEA_IMAGE_TAG);
    sea_node_put_bool(arena, map, "single_word", false);
    sea_node_put_bool(arena, map, "lstrip", false);
    sea_node_put_bool(arena, map, "rstrip", false);
    sea_node_put_bool(arena, map, "normalized", false);
    sea_node_put_bool(arena, map, "special", true);
    return map;
}

/* "OUT/model/NAME" or "OUT/model/base/NAME". */
static const char *
name_in(const struct sea_tuned *tuned, const char *folder, const char *name)
{
    return sea_arena_printf(tuned->stage->arena, "%s/%s", folder, name);
}

static enum sea_status
load_copied(const struct sea_tuned *tuned, const char *name, struct sea_node **root,
            struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_stage_path(tuned->stage, name, path, err);

    return status ? status
                  : sea_json_load(path, JSON_BYTES_MAX, tuned->stage->arena, root, err);
}

static enum sea_status
add_image_word(const struct sea_tuned *tuned, const char *folder, int32_t id,
               struct sea_err *err)
{
    struct sea_stage *stage = tuned->stage;
    const char *file = name_in(tuned, folder, "tokenizer.json");
    struct sea_node *root, *list, *map;
    char path[SEA_PATH_MAX], number[16];
    enum sea_status status = load_copied(tuned, file, &root, err);

    if (status)
        return status;
    list = sea_node_get(root, "added_tokens");
    if (!list || list->kind != SEA_NODE_LIST)
        list = sea_node_put(stage->arena, root, "added_tokens", SEA_NODE_LIST);
    map = put_added(stage->arena, list, NULL);
    sea_node_put_int(stage->arena, map, "id", id);
    status = sea_stage_write_json(stage, file, root, err);
    file = name_in(tuned, folder, "tokenizer_config.json");
    if (!status)
        status = sea_stage_path(stage, file, path, err);
    if (status || !sea_file_exists(path))
        return status;
    status = load_copied(tuned, file, &root, err);
    if (status)
        return status;
    map = sea_node_get(root, "added_tokens_decoder");
    if (map && map->kind == SEA_NODE_MAP) {
        snprintf(number, sizeof(number), "%d", (int)id);
        put_added(stage->arena, map, number);
    }
    return sea_stage_write_json(stage, file, root, err);
}

/* ---- the folder ---- */

static enum sea_status
write_generation_config(const struct sea_tuned *tuned, const char *folder, struct sea_err *err)
{
    struct sea_arena *arena = tuned->stage->arena;
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list;
    const struct sea_lm_desc *desc = &tuned->lm->desc;
    int32_t end = sea_conversation_end(&tuned->conversation, tuned->tokenizer);
    int i;

    if (desc->bos >= 0)
        sea_node_put_int(arena, root, "bos_token_id", desc->bos);
    list = sea_node_put(arena, root, "eos_token_id", SEA_NODE_LIST);
    for (i = 0; i < desc->eos_count; i++) {
        sea_node_put_int(arena, list, NULL, desc->eos[i]);
        if (desc->eos[i] == end)
            end = -1;
    }
    if (end >= 0)                       /* the template ends answers with a word of its own */
        sea_node_put_int(arena, list, NULL, end);
    if (desc->pad >= 0)
        sea_node_put_int(arena, root, "pad_token_id", desc->pad);
    return sea_stage_write_json(tuned->stage, name_in(tuned, folder, "generation_config.json"),
                                root, err);
}

static enum sea_status
write_processor_config(const struct sea_tuned *tuned, const char *folder, struct sea_err *err)
{
    struct sea_arena *arena = tuned->stage->arena;
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    int64_t class_rows = sea_clip_class_rows(&tuned->clip->desc);
    bool all = tuned->with_class || !class_rows;

    sea_node_put_text(arena, root, "processor_class", "LlavaProcessor");
    sea_node_put_text(arena, root, "image_token", SEA_IMAGE_TAG);
    sea_node_put_int(arena, root, "patch_size", tuned->clip->desc.vision.patch);
    sea_node_put_int(arena, root, "num_additional_image_tokens", class_rows);
    sea_node_put_text(arena, root, "vision_feature_select_strategy", all ? "full" : "default");
    return sea_stage_write_json(tuned->stage, name_in(tuned, folder, "processor_config.json"),
                                root, err);
}

/* What stands beside the weights. word: the id of "<image>" when the tokenizer has none. */
static enum sea_status
write_companions(const struct sea_tuned *tuned, const char *folder, int32_t word,
                 struct sea_err *err)
{
    char dir[SEA_PATH_MAX];
    enum sea_status status = sea_stage_path(tuned->stage, folder, dir, err);

    if (!status)
        status = sea_tokenizer_copy(tuned->language, dir, err);
    if (!status && word >= 0)
        status = add_image_word(tuned, folder, word, err);
    if (!status)
        status = sea_image_view_save(tuned->view, dir, err);
    if (!status)
        status = write_generation_config(tuned, folder, err);
    if (!status)
        status = write_processor_config(tuned, folder, err);
    return status;
}

/* The PEFT folder OUT/model, whose base model is written already. */
static enum sea_status
write_adapters(const struct sea_tuned *tuned, int32_t word, struct sea_err *err)
{
    struct sea_node *config;
    char dir[SEA_PATH_MAX];
    enum sea_status status = sea_stage_path(tuned->stage, "model", dir, err);

    if (!status)
        status = sea_lora_save(tuned->lora, dir, "base", true, &tuned->adapter->params, err);
    if (!status)
        status = load_copied(tuned, "model/base/config.json", &config, err);
    if (!status)
        status = sea_stage_write_json(tuned->stage, "model/config.json", config, err);
    return status ? status : write_companions(tuned, "model", word, err);
}

enum sea_status
sea_tuned_save(const struct sea_tuned *tuned, struct sea_err *err)
{
    struct sea_stage *stage = tuned->stage;
    const char *name = tuned->lora ? "model/base" : "model";
    struct sea_mllm_folder folder = {
        .clip = tuned->clip, .adapter = tuned->adapter, .lm = tuned->lm,
        .patches = sea_clip_patch_count(&tuned->clip->desc) + tuned->with_class,
        .layer = tuned->layer, .with_class = tuned->with_class,
        .image_token = sea_tokenizer_find(tuned->tokenizer, SEA_IMAGE_TAG) };
    struct sea_lm *wide = NULL;
    char dir[SEA_PATH_MAX];
    int32_t word = -1;
    enum sea_status status = sea_stage_path(stage, name, dir, err);

    snprintf(folder.template_name, sizeof(folder.template_name), "%s",
             sea_template_name(tuned->conversation.kind));
    if (folder.image_token < 0)
        word = folder.image_token = sea_tokenizer_count(tuned->tokenizer);
    if (!status && folder.image_token >= tuned->lm->desc.vocab) {
        int64_t words = (folder.image_token / WORDS_STEP + 1) * WORDS_STEP;

        status = sea_lm_widen(&wide, tuned->lm, words, err);
        folder.lm = wide;
    }
    if (!status)
        status = sea_mllm_save(&folder, dir, err);
    if (!status)
        status = write_companions(tuned, name, word, err);
    if (!status && tuned->lora)
        status = write_adapters(tuned, word, err);
    sea_lm_destroy(wide);
    return status;
}
