/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tools_plan.c - how much memory a model folder needs, before it is opened
 *
 * Weights follow from the headers of the files, activations from config.json by the same
 * plans that the work is allocated with. The program itself is what this process has now.
 */
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_clip.h"
#include "engine/sea_lm.h"
#include "engine/sea_lora.h"
#include "engine/sea_mllm.h"
#include "engine/sea_safetensors.h"
#include "pipeline/tools_int.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define ROWS_MAX (1 << 20)
#define PICTURES_MAX 4096
#define LOAD_BYTES ((size_t)8 << 20)    /* pieces of a file on their way in */
/* The CPU back end's packed panels and the stacks of its threads. */
#define SCRATCH_BYTES ((size_t)8 << 20)

struct parts {
    size_t weights, activations, result, program;
};

/* Resident bytes of this process; 0 where the system does not tell. */
static size_t
resident_bytes(void)
{
    unsigned long long size = 0, resident = 0;
    FILE *from = fopen("/proc/self/statm", "r");

    if (!from)
        return 0;
    if (fscanf(from, "%llu %llu", &size, &resident) != 2)
        resident = 0;
    fclose(from);
    return (size_t)resident * (size_t)sysconf(_SC_PAGESIZE);
}

/* Every tensor of the folder, as it is stored in memory. only_tower: not those of a CLIP's texts;
 * *tower: some are a vision tower's inside of a larger model. */
static enum sea_status
count_weights(const char *dir, enum sea_store store, bool only_tower, size_t *bytes, bool *tower,
              struct sea_err *err)
{
    struct sea_tensors *tensors;
    enum sea_status status = sea_tensors_open_dir(&tensors, dir, err);

    if (status)
        return status;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct sea_tensor *tensor = &tensors->list[i];
        bool half = store == SEA_STORE_BF16 && tensor->rank > 1;

        *tower = *tower || strstr(tensor->name, "vision_tower.");
        if (!only_tower || strncmp(tensor->name, "text_", 5) != 0)
            *bytes += (size_t)tensor->count * (half ? 2 : 4);
    }
    sea_tensors_close(tensors);
    return SEA_OK;
}

/* Adapter inputs, outputs and inner rows, and the tower's one picture at a time. */
static size_t
picture_bytes(const struct sea_clip_desc *clip, int64_t D, int64_t pictures)
{
    const struct sea_clip_vision_desc *v = &clip->vision;
    size_t m = (size_t)sea_clip_patch_count(clip) + 1, rows = m * (size_t)pictures;
    size_t tower = m * (size_t)(9 * v->D + 2 * v->F) +
                   (size_t)(2 * v->channels * v->image) * (size_t)v->image;

    return (rows * (size_t)(2 * v->D + 3 * D) + tower) * sizeof(float);
}

/* LLaVA's own layout. */
static bool
is_original(const struct sea_node *config)
{
    struct sea_arena *arena = sea_arena_create(NULL, "config of a language model");
    bool original = sea_mllm_original_language(config, arena) != NULL;

    sea_arena_destroy(arena);
    return original;
}

static enum sea_status
fits(const struct sea_lm_desc *lm, const char *dir, struct sea_err *err)
{
    struct sea_tensors *tensors = NULL;
    enum sea_status status = sea_tensors_open_dir(&tensors, dir, err);

    if (!status)
        status = sea_lm_desc_fits(lm, tensors, "", err);
    sea_tensors_close(tensors);
    return status;
}

/* path: of dir's config. */
static enum sea_status
count_work(const struct sea_node *config, const char *path, const char *dir,
           enum sea_store store, const struct sea_tool_plan *options, struct parts *parts,
           struct sea_err *err)
{
    struct sea_lm_limits limits = { .rows = options->rows };
    struct sea_mllm_about about = { .tower = "" };
    const struct sea_lm_desc *lm = &about.lm;
    bool pictures = sea_node_get(config, "text_config") || is_original(config), inside = false;
    enum sea_status status;

    if (sea_clip_is_model(config))
        return sea_fail(err, SEA_E_CONFIG, "model \"%s\" is a vision tower, need a language "
                        "model", dir);
    if (options->tower && !pictures)
        return sea_fail(err, SEA_E_CONFIG, "--tower is for models that take pictures, \"%s\" is a "
                        "language model", dir);
    status = pictures ? sea_mllm_describe(&about, dir, options->tower, err)
                      : sea_lm_desc_parse(&about.lm, config, path, err);
    if (!status)
        status = pictures ? sea_mllm_fits(dir, options->tower, err) : fits(lm, dir, err);
    if (!status)
        status = count_weights(dir, store, false, &parts->weights, &inside, err);
    if (!status && about.tower[0] && !inside)
        status = count_weights(about.tower, store, true, &parts->weights, &inside, err);
    if (status)
        return status;
    parts->weights += sea_lm_desc_bytes(lm, SEA_STORE_F32, false) -
                      (size_t)sea_lm_desc_floats(lm) * sizeof(float);   /* rotations */
    parts->activations = sea_lm_desc_work_bytes(lm, &limits);
    if (pictures && options->pictures)
        parts->activations += picture_bytes(&about.clip, lm->D, options->pictures);
    parts->result = (size_t)(options->rows * lm->vocab) * sizeof(float);
    return SEA_OK;
}

static void
print_parts(const struct parts *parts, size_t total, bool json, FILE *to)
{
    const struct {
        const char *name, *about;
        size_t bytes;
    } lines[] = {
        { "weights", "weights and tables", parts->weights },
        { "activations", "activations and scratch", parts->activations },
        { "result", "logits on the host", parts->result },
        { "program", "the program", parts->program },
        { "total", "together", total },
    };
    size_t i, count = sizeof(lines) / sizeof(lines[0]);

    if (json)
        fputc('{', to);
    for (i = 0; i < count; i++) {
        if (json)
            fprintf(to, "%s\"%s_bytes\":%zu", i ? "," : "", lines[i].name, lines[i].bytes);
        else
            fprintf(to, "%-24s %10.1f MiB\n", lines[i].about, (double)lines[i].bytes / 1048576);
    }
    if (json)
        fputs("}\n", to);
}

enum sea_status
sea_tool_plan(const struct sea_tool_plan *options, FILE *to, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "plan of a model");
    struct parts parts = { .program = resident_bytes() };
    char base[SEA_PATH_MAX], path[SEA_PATH_MAX];
    struct sea_node *config;
    enum sea_store store;
    size_t total;
    enum sea_status status = sea_tool_precision(&store, options->precision, err);

    if (options->rows < 1 || options->rows > ROWS_MAX || options->pictures < 0 ||
        options->pictures > PICTURES_MAX)
        status = sea_fail(err, SEA_E_CONFIG, "%lld rows with %lld pictures cannot be planned, "
                          "need 1 to %d rows and 0 to %d pictures", (long long)options->rows,
                          (long long)options->pictures, ROWS_MAX, PICTURES_MAX);
    if (!status)
        status = sea_lora_is_folder(options->dir) ? sea_lora_base(options->dir, base, err)
                                                  : sea_path_join(base, options->dir, "", err);
    if (!status)
        status = sea_path_join(path, base, "config.json", err);
    if (!status)
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
    if (!status)
        status = count_work(config, path, base, store, options, &parts, err);
    if (!status) {
        parts.program += LOAD_BYTES + SCRATCH_BYTES;
        total = parts.weights + parts.activations + parts.result + parts.program;
        print_parts(&parts, total, options->json, to);
    }
    sea_arena_destroy(arena);
    return status;
}
