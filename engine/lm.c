/* SPDX-License-Identifier: Apache-2.0 */
/* lm.c - a language model's tensors; its step is in lm_step.c, the families in lm_desc.c */
#include "engine/lm_int.h"

#include <stdlib.h>
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
#define EMBED "embed_tokens.weight"
#define HEAD "lm_head.weight"

static bool
is_newer(const struct sea_tensors *tensors, const char *prefix)
{
    return *prefix && (sea_tensors_find(tensors, NEWER EMBED) ||
                       sea_tensors_find(tensors, NEWER "layers.0.input_layernorm.weight"));
}

/* Saved without the class around it: "layers...". */
static bool
is_bare(const struct sea_tensors *tensors, const char *prefix)
{
    return !*prefix && sea_tensors_find(tensors, EMBED) &&
           !sea_tensors_find(tensors, OLDER EMBED);
}

/* The name that a tensor has in the file. */
static const char *
name_in(struct sea_arena *arena, const struct sea_tensors *tensors, const char *prefix,
        const char *name)
{
    size_t stem = sizeof(OLDER) - 1;
    const char *full;

    if (is_bare(tensors, prefix) && !strncmp(name, OLDER, stem))
        return name + stem;
    if (is_newer(tensors, prefix) && !strncmp(name, OLDER, stem))
        return sea_arena_printf(arena, NEWER "%s", name + stem);
    full = sea_arena_printf(arena, "%s%s", prefix, name);
    /* The head of a newer folder has no prefix. */
    return sea_tensors_find(tensors, full) || !sea_tensors_find(tensors, name) ? full : name;
}

/* The same weights in the same memory under the file's names. */
static struct sea_params
names_in(struct sea_lm *lm, const struct sea_tensors *tensors, const char *prefix)
{
    struct sea_params params = lm->params;
    const char *head = name_in(lm->arena, tensors, prefix, HEAD), *name;

    params.list = sea_arena_alloc(lm->arena, (size_t)params.count, sizeof(*params.list));
    memcpy(params.list, lm->params.list, (size_t)params.count * sizeof(*params.list));
    for (int64_t t = 0; t < params.count; t++) {
        name = name_in(lm->arena, tensors, prefix, params.list[t].name);
        /* Of two equal tensors a writer may have kept the head alone. */
        if (lm->desc.tied && params.list[t].offset == lm->embed &&
            !sea_tensors_find(tensors, name) && sea_tensors_find(tensors, head))
            name = head;
        params.list[t].name = name;
    }
    return params;
}

#define COMPARED 65536          /* numbers at once */

static enum sea_status
compare_tensors(const struct sea_tensor *a, const struct sea_tensor *b, bool *equal,
                struct sea_err *err)
{
    float *left = sea_xcalloc(2 * COMPARED, sizeof(*left)), *right = left + COMPARED;
    enum sea_status status = SEA_OK;
    int64_t n;

    *equal = a->count == b->count;
    for (int64_t at = 0; at < a->count && *equal && !status; at += n) {
        n = a->count - at < COMPARED ? a->count - at : COMPARED;
        status = sea_tensor_read_f32(a, at, n, left, err);
        if (!status)
            status = sea_tensor_read_f32(b, at, n, right, err);
        *equal = !status && !memcmp(left, right, (size_t)n * sizeof(*left));
    }
    free(left);
    return status;
}

/* A file with a head that is not the words is right, whatever its config says. */
static enum sea_status
find_own_head(struct sea_lm_desc *desc, const struct sea_tensors *tensors, const char *prefix,
              bool *found, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "names of the head");
    const struct sea_tensor *words, *head;
    enum sea_status status = SEA_OK;
    bool equal = true;

    words = sea_tensors_find(tensors, name_in(arena, tensors, prefix, OLDER EMBED));
    head = sea_tensors_find(tensors, name_in(arena, tensors, prefix, HEAD));
    if (desc->tied && words && head)
        status = compare_tensors(words, head, &equal, err);
    *found = !status && !equal;
    desc->tied = desc->tied && !*found;
    sea_arena_destroy(arena);
    return status;
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

/* What to do about a head that is missing. */
static void
hint_at_head(const struct sea_lm_desc *desc, const struct sea_tensors *tensors,
             const char *prefix, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "name of the head");

    if (!desc->tied && !sea_tensors_find(tensors, name_in(arena, tensors, prefix, HEAD)))
        sea_hint(err, "If the head is the table of words, set \"tie_word_embeddings\" to true.");
    sea_arena_destroy(arena);
}

enum sea_status
sea_lm_load_tensors(struct sea_lm **out, const struct sea_device *device,
                    const struct sea_lm_desc *given, const struct sea_tensors *tensors,
                    const char *prefix, bool trained, struct sea_err *err)
{
    struct sea_lm_desc desc = desc_in_folder(given, tensors, prefix);
    struct sea_lm *lm = NULL;
    struct sea_params named;
    enum sea_status status;
    bool own_head = false;

    *out = NULL;
    status = find_own_head(&desc, tensors, prefix, &own_head, err);
    if (!status)
        status = make(&lm, device, &desc, trained, err);
    if (status)
        return status;
    named = names_in(lm, tensors, prefix);
    status = sea_params_load(&named, tensors, "", err);
    if (status) {
        hint_at_head(&desc, tensors, prefix, err);
        sea_lm_destroy(lm);
        return status;
    }
    lm->params.warning = named.warning;
    if (own_head && !named.warning)
        lm->params.warning = sea_arena_printf(lm->arena, "%s: \"tie_word_embeddings\" is true, "
                                              "but the file holds a head that is not its words; "
                                              "the head is used", tensors->path);
    *out = lm;
    return SEA_OK;
}

enum sea_status
sea_lm_desc_fits(const struct sea_lm_desc *given, const struct sea_tensors *tensors,
                 const char *prefix, struct sea_err *err)
{
    struct sea_lm_desc desc = desc_in_folder(given, tensors, prefix);
    struct sea_arena *arena = sea_arena_create(NULL, "shapes of a language model");
    struct sea_params named;
    struct sea_lm lm;
    bool own_head;
    enum sea_status status = find_own_head(&desc, tensors, prefix, &own_head, err);

    if (!status && lay_out(&lm, &desc, arena)) {
        lm.arena = arena;
        named = names_in(&lm, tensors, prefix);
        status = sea_params_fit(&named, tensors, "", err);
        if (status)
            hint_at_head(&desc, tensors, prefix, err);
    }
    sea_arena_destroy(arena);
    return status;
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
