/* SPDX-License-Identifier: Apache-2.0 */
/* stage_body.c - values, folders and files that a stage's body asks its runtime for */
#include "pipeline/sea_stage_body.h"

#include <assert.h>
#include <string.h>

#define JSON_BYTES_MAX ((size_t)1 << 30)

static const struct sea_node *
value(const struct sea_stage *stage, const char *key)
{
    char path[256];

    if (strncmp(key, "model.", 6) == 0 || strncmp(key, "data.", 5) == 0 ||
        strncmp(key, "resources.", 10) == 0 || strcmp(key, "seed") == 0 ||
        strcmp(key, "name") == 0)
        return sea_node_path(stage->config, key);
    snprintf(path, sizeof(path), "stages.%s.%s", stage->def->name, key);
    return sea_node_path(stage->config, path);
}

void
sea_stage_warn(const struct sea_stage *stage, const struct sea_params *weights)
{
    if (weights->warning)
        sea_events_log(stage->events, "warn", "%s", weights->warning);
}

const char *
sea_stage_text(const struct sea_stage *stage, const char *key)
{
    return sea_node_text(value(stage, key), "");
}

int64_t
sea_stage_int(const struct sea_stage *stage, const char *key)
{
    const struct sea_node *node = value(stage, key);

    assert(node && node->kind == SEA_NODE_INT);
    return sea_node_int(node, 0);
}

double
sea_stage_real(const struct sea_stage *stage, const char *key)
{
    const struct sea_node *node = value(stage, key);

    assert(node && (node->kind == SEA_NODE_REAL || node->kind == SEA_NODE_INT));
    return sea_node_real(node, 0);
}

bool
sea_stage_bool(const struct sea_stage *stage, const char *key)
{
    const struct sea_node *node = value(stage, key);

    assert(node && node->kind == SEA_NODE_BOOL);
    return sea_node_bool(node, false);
}

const char *
sea_stage_input_dir(const struct sea_stage *stage, const char *key)
{
    size_t i;

    for (i = 0; i < stage->inputs_count; i++)
        if (strcmp(stage->inputs[i].key, key) == 0)
            return stage->inputs[i].dir;
    return NULL;
}

enum sea_status
sea_stage_model(const struct sea_stage *stage, const char *key, char out[SEA_PATH_MAX],
                struct sea_err *err)
{
    const char *path = sea_stage_text(stage, key), *slash = strchr(path, '/'), *dir;
    char input[64];
    enum sea_status status;

    if (path[0] != '@') {
        status = sea_path_join(out, ".", path, err);
    } else {
        snprintf(input, sizeof(input), "%.*s", slash ? (int)(slash - path - 1) : 60, path + 1);
        dir = sea_stage_input_dir(stage, input);
        if (!dir || !slash || !sea_path_is_inside(slash + 1)) {
            sea_fail(err, SEA_E_CONFIG, "key \"%s\": \"%s\" names no folder of an input", key,
                     path);
            sea_hint(err, "Use \"@foundation/vision\" or \"@foundation/language\", and give the "
                          "stage --in foundation=DIR.");
            return SEA_E_CONFIG;
        }
        status = sea_path_join(out, dir, slash + 1, err);
    }
    if (!status && !sea_dir_exists(out)) {
        status = sea_fail(err, SEA_E_MISSING, "model folder \"%s\" is not there", out);
        sea_hint(err, "Key \"%s\" of the experiment names it.", key);
    }
    return status;
}

enum sea_status
sea_stage_path(const struct sea_stage *stage, const char *name, char out[SEA_PATH_MAX],
               struct sea_err *err)
{
    return sea_path_join(out, stage->out, name, err);
}

enum sea_status
sea_stage_write_json(const struct sea_stage *stage, const char *name,
                     const struct sea_node *node, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, JSON_BYTES_MAX);
    status = sea_json_write(node, SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_stage_path(stage, name, path, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    return status;
}
