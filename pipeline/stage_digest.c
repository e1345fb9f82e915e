/* SPDX-License-Identifier: Apache-2.0 */
/* Digests of data and models: exact where that is affordable, else by what a change would
 * have to keep equal by accident. */
#include "pipeline/sea_stage_body.h"

#include <string.h>

#include "engine/sea_lora.h"
#include "engine/sea_mllm.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define FOLDER_WHOLE_MAX ((uint64_t)1 << 30)    /* bytes of a folder that is read whole */
#define MODEL_WHOLE_MAX ((uint64_t)64 << 20)    /* bytes of a model file that is read whole */
#define SAMPLES 64
#define SAMPLE_BYTES ((size_t)64 << 10)

struct walking {
    const char *root;
    struct sea_hash *hash;
    uint64_t bytes;
    bool contents;              /* hash contents, not only names and sizes */
};

enum sea_status
sea_digest_file(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    return sea_hash_file(path, out, NULL, err);
}

static enum sea_status
add_size(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct walking *w = arg;

    (void)relative;
    (void)err;
    w->bytes += bytes;
    return SEA_OK;
}

static enum sea_status
add_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct walking *w = arg;
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT], number[32];
    enum sea_status status;

    snprintf(number, sizeof(number), "%llu", (unsigned long long)bytes);
    sea_hash_add_field(w->hash, relative);
    sea_hash_add_field(w->hash, number);
    if (!w->contents)
        return SEA_OK;
    status = sea_path_join(path, w->root, relative, err);
    if (!status)
        status = sea_hash_file(path, digest, NULL, err);
    if (!status)
        sea_hash_add_field(w->hash, digest);
    return status;
}

enum sea_status
sea_digest_folder(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct walking w = { .root = path };
    enum sea_status status = sea_dir_walk(path, add_size, &w, err);

    if (status)
        return status;
    w.contents = w.bytes <= FOLDER_WHOLE_MAX;
    w.hash = sea_hash_create();
    sea_hash_add_field(w.hash, w.contents ? "contents" : "names and sizes");
    status = sea_dir_walk(path, add_file, &w, err);
    if (!status)
        sea_hash_finish(w.hash, out);
    sea_hash_destroy(w.hash);
    return status;
}

/* Beginning, end and evenly spaced pieces: a training step changes nearly every weight, so
 * any of them tells. */
static enum sea_status
add_samples(struct sea_hash *hash, const char *path, struct sea_err *err)
{
    struct sea_file_map map;
    enum sea_status status = sea_file_map_open(&map, path, err);
    size_t i;

    if (status)
        return status;
    for (i = 0; i < SAMPLES; i++) {
        size_t at = (map.bytes - SAMPLE_BYTES) / (SAMPLES - 1) * i;

        if (i == SAMPLES - 1)
            at = map.bytes - SAMPLE_BYTES;
        sea_hash_add(hash, map.data + at, SAMPLE_BYTES);
    }
    sea_file_map_close(&map);
    return SEA_OK;
}

static bool
is_model_file(const char *relative)
{
    const char *dot = strrchr(relative, '.');

    return !strchr(relative, '/') && dot &&
           (strcmp(dot, ".json") == 0 || strcmp(dot, ".safetensors") == 0 ||
            strcmp(dot, ".txt") == 0 || strcmp(dot, ".model") == 0) &&
           strcmp(relative, "manifest.json") != 0;
}

static enum sea_status
add_model_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct walking *w = arg;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    if (!is_model_file(relative))
        return SEA_OK;
    w->contents = bytes <= MODEL_WHOLE_MAX;
    status = add_file(w, relative, bytes, err);
    if (status || w->contents)
        return status;
    status = sea_path_join(path, w->root, relative, err);
    return status ? status : add_samples(w->hash, path, err);
}

/* A PEFT folder is what it is together with its base model. */
static enum sea_status
add_base(struct sea_hash *hash, const char *path, struct sea_err *err)
{
    char base[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    enum sea_status status = sea_lora_base(path, base, err);

    if (!status && sea_lora_is_folder(base))
        status = sea_fail(err, SEA_E_FORMAT, "base model \"%s\" of adapter \"%s\" is an adapter "
                          "itself", base, path);
    if (!status)
        status = sea_digest_model(base, digest, err);
    if (!status)
        sea_hash_add_field(hash, digest);
    return status;
}

bool
sea_digest_tower(const char *path, char tower[SEA_PATH_MAX])
{
    struct sea_arena *arena = sea_arena_create(NULL, "config of a model");
    struct sea_mllm_about about = { .tower = "" };
    struct sea_err ignored = { 0 };
    struct sea_node *config;
    char file[SEA_PATH_MAX];

    if (!sea_path_join(file, path, "config.json", &ignored) && sea_file_exists(file) &&
        !sea_json_load(file, CONFIG_BYTES_MAX, arena, &config, &ignored) &&
        sea_mllm_original_language(config, arena) &&
        sea_mllm_describe(&about, path, NULL, &ignored))
        about.tower[0] = 0;
    memcpy(tower, about.tower, SEA_PATH_MAX);
    sea_arena_destroy(arena);
    return tower[0] != 0;
}

/* The same of the original layout and the folder of its tower, which files of the model only name. */
static enum sea_status
add_tower(struct sea_hash *hash, const char *path, struct sea_err *err)
{
    char tower[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    enum sea_status status;

    if (!sea_digest_tower(path, tower))
        return SEA_OK;
    status = sea_digest_model(tower, digest, err);
    if (!status)
        sea_hash_add_field(hash, digest);
    return status;
}

enum sea_status
sea_digest_model(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct walking w = { .root = path };
    enum sea_status status;

    if (!sea_dir_exists(path)) {
        sea_fail(err, SEA_E_MISSING, "model folder \"%s\" is not there", path);
        sea_hint(err, "A model is a folder with config.json, *.safetensors and tokenizer.json, as "
                      "on the Hugging Face hub.");
        return SEA_E_MISSING;
    }
    w.hash = sea_hash_create();
    status = sea_dir_walk(path, add_model_file, &w, err);
    if (!status && sea_lora_is_folder(path))
        status = add_base(w.hash, path, err);
    if (!status)
        status = add_tower(w.hash, path, err);
    if (!status)
        sea_hash_finish(w.hash, out);
    sea_hash_destroy(w.hash);
    return status;
}
