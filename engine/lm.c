/* SPDX-License-Identifier: Apache-2.0 */
/* lm.c - a language model's tensors; its step is in lm_step.c, the families in lm_desc.c */
#include "engine/lm_int.h"

#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/sea_safetensors.h"

#define CONFIG_BYTES_MAX (1u << 20)

/* Adds all tensors, in the folder's order. */
static enum sea_status
add_tensors(struct sea_lm *lm, struct sea_err *err)
{
    const struct sea_lm_desc *desc = &lm->desc;
    const struct sea_lm_row *row = sea_lm_row(desc->family);
    const struct sea_block_desc block = sea_lm_block(desc);
    int64_t shape[2] = { desc->vocab, desc->D };
    const char *name;

    if (desc->vocab < 2 || desc->D < 1)
        return sea_fail(err, SEA_E_CONFIG, "a language model of %lld words and width %lld "
                        "cannot be made, need 2 words and width 1 or more",
                        (long long)desc->vocab, (long long)desc->D);
    lm->embed = sea_params_add(&lm->params, "model.embed_tokens.weight", 2, shape,
                               SEA_INIT_NORMAL, desc->init_scale);
    if (sea_stack_init(&lm->stack, &block, row->names, "", &lm->params, err))
        return err->status;
    name = sea_arena_printf(lm->params.arena, "%s.weight", row->final_norm);
    lm->norm = sea_params_add(&lm->params, name, 1, &shape[1],
                              block.norm_add == 0.0f ? SEA_INIT_ONE : SEA_INIT_ZERO, 0.0f);
    lm->norm_bias = lm->head_bias = -1;
    name = sea_arena_printf(lm->params.arena, "%s.bias", row->final_norm);
    if (row->norm == SEA_NORM_LAYER)
        lm->norm_bias = sea_params_add(&lm->params, name, 1, &shape[1], SEA_INIT_ZERO, 0.0f);
    lm->head = lm->embed;
    if (!desc->tied)
        lm->head = sea_params_add(&lm->params, "lm_head.weight", 2, shape, SEA_INIT_NORMAL,
                                  desc->init_scale);
    if (row->options & SEA_LM_EVERY_BIAS && !desc->no_head_bias)
        lm->head_bias = sea_params_add(&lm->params, "lm_head.bias", 1, shape, SEA_INIT_ZERO,
                                       0.0f);
    return SEA_OK;
}

/* Laid out, without memory; false for a desc that cannot be. The arena is the caller's. */
static bool
lay_out(struct sea_lm *lm, const struct sea_lm_desc *desc, struct sea_arena *arena)
{
    struct sea_err ignored = { 0 };

    *lm = (struct sea_lm){ .desc = *desc };
    sea_params_init(&lm->params, arena);
    return !add_tensors(lm, &ignored);
}

int64_t
sea_lm_desc_floats(const struct sea_lm_desc *desc)
{
    struct sea_arena *arena = sea_arena_create(NULL, "sizes of a language model");
    struct sea_lm lm;
    int64_t floats = lay_out(&lm, desc, arena) ? lm.params.floats : 0;

    sea_arena_destroy(arena);
    return floats;
}

size_t
sea_lm_desc_bytes(const struct sea_lm_desc *desc, enum sea_store store, bool trained)
{
    struct sea_arena *arena = sea_arena_create(NULL, "sizes of a language model");
    struct sea_lm lm;
    size_t bytes = 0;

    if (lay_out(&lm, desc, arena)) {
        const struct sea_block_desc *block = &lm.stack.desc;

        bytes = sea_params_bytes(&lm.params, store, trained);
        if (block->rope_theta > 0)
            bytes += (size_t)(block->max_positions * block->rope_dims) * sizeof(float);
    }
    sea_arena_destroy(arena);
    return bytes;
}

size_t
sea_lm_desc_work_bytes(const struct sea_lm_desc *desc, const struct sea_lm_limits *limits)
{
    struct sea_arena *arena = sea_arena_create(NULL, "sizes of a language model");
    struct sea_lm lm;
    size_t bytes = lay_out(&lm, desc, arena) ? sea_lm_work_bytes(&lm, limits) : 0;

    sea_arena_destroy(arena);
    return bytes;
}

/* Reserved, not filled. */
static enum sea_status
make(struct sea_lm **out, const struct sea_device *device, const struct sea_lm_desc *desc,
     bool trained, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "language model");
    struct sea_lm *lm = sea_arena_alloc(arena, 1, sizeof(*lm));
    enum sea_status status;

    lm->arena = arena;
    lm->desc = *desc;
    lm->device = device;
    sea_params_init(&lm->params, arena);
    status = add_tensors(lm, err);
    if (!status)
        status = sea_params_reserve(&lm->params, device, trained, err);
    if (!status)
        status = sea_stack_reserve(&lm->stack, err);
    if (status) {
        sea_lm_destroy(lm);
        return status;
    }
    *out = lm;
    return SEA_OK;
}

enum sea_status
sea_lm_create(struct sea_lm **out, const struct sea_device *device,
              const struct sea_lm_desc *desc, uint64_t seed, bool trained, struct sea_err *err)
{
    struct sea_lm *lm = NULL;
    enum sea_status status;

    *out = NULL;
    status = make(&lm, device, desc, trained, err);
    if (status)
        return status;
    status = sea_params_fill(&lm->params, seed, "language", err);
    if (status) {
        sea_lm_destroy(lm);
        return status;
    }
    *out = lm;
    return SEA_OK;
}

/* Llava folders of newer releases: "model.language_model.layers...", "lm_head.weight". */
#define OLDER "model."
#define NEWER "model.language_model."

static bool
is_newer(const struct sea_tensors *tensors, const char *prefix)
{
    return *prefix && sea_tensors_find(tensors, NEWER "embed_tokens.weight");
}

/* The same weights in the same memory under those names. */
static struct sea_params
newer_names(struct sea_lm *lm)
{
    struct sea_params params = lm->params;
    size_t stem = sizeof(OLDER) - 1;

    params.list = sea_arena_alloc(lm->arena, (size_t)params.count, sizeof(*params.list));
    memcpy(params.list, lm->params.list, (size_t)params.count * sizeof(*params.list));
    for (int64_t t = 0; t < params.count; t++)
        if (!strncmp(params.list[t].name, OLDER, stem))
            params.list[t].name = sea_arena_printf(lm->arena, NEWER "%s",
                                                   params.list[t].name + stem);
    return params;
}

/* The model that a Llava folder (prefix not empty) holds: its head is a plain matrix. */
static struct sea_lm_desc
desc_in_folder(const struct sea_lm_desc *desc, const struct sea_tensors *tensors,
               const char *prefix)
{
    struct sea_lm_desc found = *desc;
    char name[256];

    if (!*prefix)
        return found;
    snprintf(name, sizeof(name), "%slm_head.bias", prefix);
    found.final_cap = 0.0f;
    found.no_head_bias = !sea_tensors_find(tensors, name) &&
                         !sea_tensors_find(tensors, "lm_head.bias");
    return found;
}

enum sea_status
sea_lm_load_tensors(struct sea_lm **out, const struct sea_device *device,
                    const struct sea_lm_desc *given, const struct sea_tensors *tensors,
                    const char *prefix, bool trained, struct sea_err *err)
{
    const struct sea_lm_desc desc = desc_in_folder(given, tensors, prefix);
    struct sea_lm *lm = NULL;
    struct sea_params newer;
    enum sea_status status;

    *out = NULL;
    status = make(&lm, device, &desc, trained, err);
    if (status)
        return status;
    newer = newer_names(lm);
    status = is_newer(tensors, prefix) ? sea_params_load(&newer, tensors, "", err)
                                       : sea_params_load(&lm->params, tensors, prefix, err);
    if (status) {
        sea_lm_destroy(lm);
        return status;
    }
    if (newer.warning)
        lm->params.warning = newer.warning;
    *out = lm;
    return SEA_OK;
}

enum sea_status
sea_lm_load(struct sea_lm **out, const struct sea_device *device, const char *dir,
            bool trained, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "config of a language model");
    struct sea_tensors *tensors = NULL;
    struct sea_node *config;
    struct sea_lm_desc desc;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    *out = NULL;
    status = sea_path_join(path, dir, "config.json", err);
    if (!status)
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
    if (!status)
        status = sea_lm_desc_parse(&desc, config, path, err);
    if (!status)
        status = sea_lm_desc_generation(&desc, dir, err);
    if (!status)
        status = sea_tensors_open_dir(&tensors, dir, err);
    if (!status)
        status = sea_lm_load_tensors(out, device, &desc, tensors, "", trained, err);
    if (status)
        sea_context(err, "while loading the language model \"%s\"", dir);
    sea_tensors_close(tensors);
    sea_arena_destroy(arena);
    return status;
}

void
sea_lm_destroy(struct sea_lm *lm)
{
    if (!lm)
        return;
    sea_stack_release(&lm->stack);
    sea_params_release(&lm->params);
    sea_arena_destroy(lm->arena);
}

enum sea_status
sea_lm_save(const struct sea_lm *lm, const char *dir, struct sea_err *err)
{
    const struct sea_params_part part = { .params = &lm->params, .prefix = "" };
    struct sea_arena *arena = sea_arena_create(NULL, "config of a language model");
    char path[SEA_PATH_MAX];
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, CONFIG_BYTES_MAX);
    status = sea_dir_create(dir, err);
    if (!status)
        status = sea_path_join(path, dir, "model.safetensors", err);
    if (!status)
        status = sea_params_save(path, &part, 1, err);
    if (!status)
        status = sea_json_write(sea_lm_desc_node(&lm->desc, arena, NULL, NULL),
                                SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, dir, "config.json", err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    if (status)
        sea_context(err, "while saving a language model to \"%s\"", dir);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}
