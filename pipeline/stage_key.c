/* SPDX-License-Identifier: Apache-2.0 */
/* The key of a stage: what decides its result, and nothing else. */
#include "pipeline/sea_digest_memo.h"
#include "pipeline/sea_stage_body.h"
#include "pipeline/sea_suite.h"

#include <string.h>

#include "engine/base/sea_version.h"
#include "pipeline/sea_dataset.h"
#include "pipeline/sea_manifest.h"

#define KEY_BYTES_MAX ((size_t)1 << 20)

/* The folder of pictures that goes with the JSON file of a key, else NULL. */
static const char *
images_of(const struct sea_node *config, const char *path)
{
    size_t len = strlen(path);
    char images[256];

    if (len < 5 || strcmp(path + len - 5, ".json") != 0)
        return NULL;
    snprintf(images, sizeof(images), "%.*simages", (int)(len - 4), path);
    return sea_node_text(sea_node_path(config, images), NULL);
}

/* A row or a picture that cannot be read: the reader of rows tells it better. */
static enum sea_status
explain(const char *key, const char *json, const char *images, struct sea_err *err)
{
    bool instruct = strcmp(key, "data.instruct.json") == 0;
    struct sea_arena *arena = sea_arena_create(NULL, "broken data");
    struct sea_err better = { 0 };
    struct sea_dataset data;

    if (sea_dataset_load(&data, instruct ? SEA_DATASET_INSTRUCT : SEA_DATASET_PRETRAIN, json,
                         images, arena, &better))
        *err = better;
    sea_arena_destroy(arena);
    return err->status;
}

/* images: digested together with the rows that name them. */
static enum sea_status
put_digest(struct sea_arena *arena, struct sea_node *map, const struct sea_config_key *key,
           const char *path, const char *images, struct sea_digest_memo *memo,
           struct sea_err *err)
{
    char digest[SEA_SHA256_TEXT];
    enum sea_status status;

    if (key->kind == SEA_KEY_MODEL && path[0] == '@') {
        sea_node_put_text(arena, map, key->path, path); /* the input's digest stands for it */
        return SEA_OK;
    }
    status = sea_digest_of(memo, images                        ? SEA_DIGEST_DATASET
                                 : key->kind == SEA_KEY_FILE ? SEA_DIGEST_FILE
                                                             : SEA_DIGEST_MODEL,
                           path, images, digest, err);
    if (status && images)
        status = explain(key->path, path, images, err);
    if (status) {
        sea_context(err, "while reading what key \"%s\" names", key->path);
        return status;
    }
    sea_node_put_text(arena, map, key->path, digest);
    return SEA_OK;
}

static enum sea_status
put_config(struct sea_arena *arena, struct sea_node *map, const struct sea_stage_def *def,
           const struct sea_node *config, struct sea_digest_memo *memo, struct sea_err *err)
{
    size_t i, count;
    const struct sea_config_key *keys = sea_experiment_keys(&count);
    enum sea_status status = SEA_OK;

    for (i = 0; i < count && !status; i++) {
        const struct sea_node *node = sea_node_path(config, keys[i].path);

        if (!(keys[i].stages & def->bit) || !node || keys[i].kind == SEA_KEY_FOLDER)
            continue;           /* a folder counts by what its JSON file names */
        if (keys[i].kind >= SEA_KEY_FILE)
            status = put_digest(arena, map, &keys[i], sea_node_text(node, ""),
                                images_of(config, keys[i].path), memo, err);
        else
            sea_node_put_copy(arena, map, keys[i].path, node);
    }
    return status;
}

/* What a key of plain text names after all. */
static enum sea_status
put_extras(struct sea_arena *arena, struct sea_node *map, const struct sea_stage_def *def,
           const struct sea_node *config, struct sea_digest_memo *memo, struct sea_err *err)
{
    char digest[SEA_SHA256_TEXT];
    enum sea_status status = SEA_OK;

    if (def->bit == SEA_BIT_LABEL) {
        const char *words = sea_node_text(sea_node_path(config, "stages.label.words"), "auto");

        if (strcmp(words, "auto") == 0)
            return SEA_OK;
        status = sea_digest_of(memo, SEA_DIGEST_FILE, words, NULL, digest, err);
        if (!status)
            sea_node_put_text(arena, map, "stages.label.words", digest);
    } else if (def->bit == SEA_BIT_EVAL) {
        status = sea_suite_digest_memo(config, memo, digest, err);
        if (!status)
            sea_node_put_text(arena, map, "stages.eval.suite", digest);
    }
    return status;
}

static enum sea_status
put_inputs(struct sea_arena *arena, struct sea_node *map, const struct sea_stage_input *inputs,
           size_t count, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < count && !status; i++) {
        struct sea_manifest manifest;

        if (inputs[i].digest) {
            sea_node_put_text(arena, map, inputs[i].key, inputs[i].digest);
            continue;
        }
        status = sea_manifest_load(inputs[i].dir, arena, &manifest, err);
        if (!status)
            sea_node_put_text(arena, map, inputs[i].key, manifest.digest);
    }
    return status;
}

const char *
sea_stage_precision(const struct sea_stage_def *def, const struct sea_node *config)
{
    const char *key = def->bit == SEA_BIT_LABEL ? "stages.label.precision" : "model.precision";

    if (!(def->bit & (SEA_BIT_LABEL | SEA_BIT_ALIGN | SEA_BIT_TUNE | SEA_BIT_EVAL)))
        return "f32";
    return sea_node_text(sea_node_path(config, key), "f32");
}

const char *
sea_stage_numerics(const struct sea_stage_def *def, const struct sea_node *config)
{
    return def->bit & (SEA_BIT_ALIGN | SEA_BIT_TUNE) &&
                   strcmp(sea_stage_precision(def, config), "bf16") == 0
               ? SEA_NUMERICS_BF16 : SEA_NUMERICS;
}

enum sea_status
sea_stage_key(const char *stage, const struct sea_node *config,
              const struct sea_stage_input *inputs, size_t inputs_count,
              char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    return sea_stage_key_memo(stage, config, inputs, inputs_count, NULL, out, err);
}

enum sea_status
sea_stage_key_memo(const char *stage, const struct sea_node *config,
                   const struct sea_stage_input *inputs, size_t inputs_count,
                   struct sea_digest_memo *memo, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    const struct sea_stage_def *def = sea_stage_find(stage);
    struct sea_arena *arena = sea_arena_create(NULL, "stage key");
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_node *map;
    struct sea_buf text;
    enum sea_status status;

    out[0] = 0;
    sea_buf_init(&text, KEY_BYTES_MAX);
    if (!def) {
        status = sea_fail(err, SEA_E_CONFIG, "unknown stage \"%s\"", stage);
        goto out;
    }
    sea_node_put_text(arena, root, "stage", stage);
    sea_node_put_text(arena, root, "numerics", sea_stage_numerics(def, config));
    sea_node_put_int(arena, root, "schema", SEA_SCHEMA_VERSION);
    map = sea_node_put(arena, root, "config", SEA_NODE_MAP);
    status = put_config(arena, map, def, config, memo, err);
    if (!status)
        status = put_extras(arena, map, def, config, memo, err);
    if (!status) {
        map = sea_node_put(arena, root, "inputs", SEA_NODE_MAP);
        status = put_inputs(arena, map, inputs, inputs_count, err);
    }
    if (!status)
        status = sea_json_write(root, SEA_JSON_CANONICAL, &text, err);
    if (!status)
        sea_hash_bytes(text.data, text.len, out);
out:
    if (status)
        sea_context(err, "while working out the key of stage %s", stage);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}
