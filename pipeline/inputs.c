/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_inputs.h"

#include <glob.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/sea_image.h"
#include "engine/sea_lora.h"
#include "engine/sea_mllm.h"
#include "engine/sea_safetensors.h"
#include "engine/sea_tokenizer.h"
#include "pipeline/sea_experiment.h"
#include "pipeline/sea_suite.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)

/* A file, a folder, or a pattern that something fits. */
static bool
is_there(const char *path)
{
    glob_t found = { 0 };
    bool any;

    if (sea_file_exists(path) || sea_dir_exists(path))
        return true;
    if (!strpbrk(path, "*?["))
        return false;
    any = glob(path, GLOB_NOSORT, NULL, &found) == 0;
    globfree(&found);
    return any;
}

/* Tensors of other shapes than config.json asks for: the stage would tell it hours later. */
static enum sea_status
check_shapes(const char *key, const char *folder, const char *path,
             const struct sea_tensors *tensors, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "config of a model");
    struct sea_node *config;
    struct sea_clip_desc clip;
    struct sea_lm_desc lm;
    enum sea_status status;

    if (strcmp(key, "model.path") == 0) {
        status = sea_mllm_fits(folder, NULL, err);
    } else if (strcmp(key, "model.language.path") == 0) {
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
        if (!status)
            status = sea_lm_desc_parse(&lm, config, path, err);
        if (!status)
            status = sea_lm_desc_fits(&lm, tensors, "", err);
    } else {
        status = sea_clip_desc_load(&clip, folder, err);
        if (!status)
            status = sea_clip_desc_fits(&clip, tensors, "", err);
    }
    sea_arena_destroy(arena);
    return status;
}

/* A PEFT folder names its base, which is looked at when it is opened. */
static enum sea_status
check_model(const char *key, const char *folder, struct sea_err *err)
{
    bool language = strcmp(key, "model.language.path") == 0 || strcmp(key, "model.path") == 0;
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_tensors *tensors = NULL;
    struct sea_image_view view;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, folder, "config.json", err);

    if (status || sea_lora_is_folder(folder))
        return status;
    if (!sea_file_exists(path)) {
        status = sea_fail(err, SEA_E_MISSING, "%s: %s \"%s\"", key, sea_dir_exists(folder)
                          ? "no config.json is in folder" : "there is no model folder", folder);
        sea_hint(err, "A model is a folder with config.json, *.safetensors and tokenizer.json, as "
                      "on the Hugging Face hub.");
        return status;
    }
    status = sea_tensors_open_dir(&tensors, folder, err);
    if (!status && language)
        status = sea_tokenizer_load(&tokenizer, folder, err);
    if (!status && !language)
        status = sea_image_view_load(&view, folder, err);
    if (!status)
        status = check_shapes(key, folder, path, tensors, err);
    if (status)
        sea_context(err, "while looking at %s", key);
    sea_tokenizer_destroy(tokenizer);
    sea_tensors_close(tensors);
    return status;
}

/* What names the patches has to know texts. */
static enum sea_status
check_labelling(const struct sea_node *config, struct sea_err *err)
{
    const char *other = sea_node_text(sea_node_path(config, "stages.label.transfer_tower"), "");
    const char *own = sea_node_text(sea_node_path(config, "model.vision.path"), "");
    const char *folder = other[0] ? other : own;
    struct sea_clip_desc desc;
    enum sea_status status;

    if (!folder[0] || folder[0] == '@')
        return SEA_OK;
    status = sea_clip_desc_load(&desc, folder, err);
    if (status || (desc.joint && desc.text.D))
        return status;
    sea_fail(err, SEA_E_CONFIG, "%s: \"%s\" has no text tower, labels need one",
             other[0] ? "stages.label.transfer_tower" : "model.vision.path", folder);
    sea_hint(err, "Give a CLIPModel or a SiglipModel; beside another tower, name one with "
                  "stages.label.transfer_tower.");
    return SEA_E_CONFIG;
}

static enum sea_status
check_key(const struct sea_config_key *key, const char *path, struct sea_err *err)
{
    bool words = strcmp(key->path, "stages.label.words") == 0;

    if (!path[0] || path[0] == '@')
        return SEA_OK;
    if (key->kind == SEA_KEY_FILE || (words && strcmp(path, "auto") != 0)) {
        if (is_there(path))
            return SEA_OK;
    } else if (key->kind == SEA_KEY_FOLDER) {
        if (sea_dir_exists(path))
            return SEA_OK;
    } else {
        return key->kind == SEA_KEY_MODEL ? check_model(key->path, path, err) : SEA_OK;
    }
    sea_fail(err, SEA_E_MISSING, "%s: there is no %s \"%s\"", key->path,
             key->kind == SEA_KEY_FOLDER ? "folder" : "file", path);
    sea_hint(err, "%s: %s.", key->path, key->about);
    return SEA_E_MISSING;
}

/* The names of a suite's files start from its root, and that from the folder of the caller. */
static enum sea_status
check_file(const struct sea_suite *suite, const struct sea_suite_item *item, const char *path,
           struct sea_err *err)
{
    if (!path || is_there(path))
        return SEA_OK;
    sea_fail(err, SEA_E_MISSING, "suite \"%s\", benchmark %s: there is no \"%s\"", suite->path,
             item->bench->name, path);
    sea_hint(err, "Files lie below ROOT/FOLDER: folder is in the suite, root there or in "
                  "stages.eval.root; a relative root starts from the current folder.");
    return SEA_E_MISSING;
}

static enum sea_status
check_suite(const struct sea_node *config, struct sea_arena *arena, struct sea_err *err)
{
    struct sea_suite suite;
    enum sea_status status = sea_suite_load(&suite, config, arena, err);
    size_t i, k;

    for (i = 0; i < suite.count && !status; i++) {
        const struct sea_suite_item *item = &suite.items[i];

        status = check_file(&suite, item, item->questions, err);
        for (k = 0; k < item->annotations_count && !status; k++)
            status = check_file(&suite, item, item->annotations[k], err);
        if (!status)
            status = check_file(&suite, item, item->images, err);
    }
    return status;
}

/* Whether both give key the same text, or none. */
static bool
is_same(const struct sea_node *config, const struct sea_node *before, const char *key)
{
    return before && strcmp(sea_node_text(sea_node_path(config, key), ""),
                            sea_node_text(sea_node_path(before, key), "")) == 0;
}

enum sea_status
sea_inputs_check(const struct sea_node *config, const struct sea_node *before,
                 struct sea_err *err)
{
    unsigned wanted = sea_experiment_stages(config);
    enum sea_status status = SEA_OK;
    struct sea_arena *arena;
    size_t i, count;
    const struct sea_config_key *keys = sea_experiment_keys(&count);

    for (i = 0; i < count && !status; i++)
        if (keys[i].stages & wanted && !is_same(config, before, keys[i].path))
            status = check_key(&keys[i],
                               sea_node_text(sea_node_path(config, keys[i].path), ""), err);
    if (!status && wanted & SEA_BIT_LABEL)
        status = check_labelling(config, err);
    if (status || !(wanted & SEA_BIT_EVAL) || (is_same(config, before, "stages.eval.suite") &&
                                               is_same(config, before, "stages.eval.root")))
        return status;
    arena = sea_arena_create(NULL, "suite");
    status = check_suite(config, arena, err);
    sea_arena_destroy(arena);
    return status;
}
