/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_absolute.h"

#include <string.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_experiment.h"

#define SUITE_BYTES_MAX ((size_t)1 << 20)

static bool
names_path(const struct sea_config_key *key, const char *text)
{
    if (strcmp(key->path, "stages.label.words") == 0)
        return strcmp(text, "auto") != 0;
    return key->kind == SEA_KEY_FILE || key->kind == SEA_KEY_FOLDER
           || key->kind == SEA_KEY_MODEL || strcmp(key->path, "stages.eval.root") == 0;
}

/* Gives key the value folder/text. */
static enum sea_status
set_path(struct sea_node *config, const char *key, const char *folder, const char *text,
         struct sea_arena *arena, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    char *parent = sea_arena_strdup(arena, key), *dot = strrchr(parent, '.');
    enum sea_status status;

    while (text[0] == '.' && text[1] == '/')
        text += 2;
    status = sea_path_join(path, folder, text, err);
    if (dot)
        *dot = 0;
    if (!status)
        sea_node_put_text(arena, dot ? sea_node_path(config, parent) : config,
                          dot ? dot + 1 : key, path);
    return status;
}

/* A suite's file, found as stage eval finds it, and the folder that its benchmarks lie in,
 * which the file may name relative to the submitter's folder, too. A suite that is not there
 * is left as it is: it may be there where the workers run. */
static enum sea_status
make_suite_absolute(struct sea_node *config, const char *cwd, struct sea_arena *arena,
                    struct sea_err *err)
{
    const char *name = sea_node_text(sea_node_path(config, "stages.eval.suite"), "");
    const char *root = sea_node_text(sea_node_path(config, "stages.eval.root"), "");
    size_t len = strlen(name);
    bool is_path = strchr(name, '/') || (len > 5 && strcmp(name + len - 5, ".yaml") == 0);
    const char *file = is_path ? name : sea_arena_printf(arena, "configs/suites/%s.yaml", name);
    struct sea_node *map;
    enum sea_status status;

    if (!name[0] || (!is_path && !sea_file_exists(file)))
        return SEA_OK;
    status = set_path(config, "stages.eval.suite", cwd, file, arena, err);
    if (status || root[0] || !sea_file_exists(file))
        return status;
    status = sea_yaml_load(file, SUITE_BYTES_MAX, arena, &map, err);
    if (status)
        return status;
    root = sea_node_text(sea_node_get(map, "root"), "");
    return root[0] == '/' ? SEA_OK
                          : set_path(config, "stages.eval.root", cwd, root, arena, err);
}

enum sea_status
sea_absolute_paths(struct sea_node *config, struct sea_arena *arena, struct sea_err *err)
{
    const struct sea_config_key *keys;
    char cwd[SEA_PATH_MAX];
    enum sea_status status;
    size_t count, i;

    if (!getcwd(cwd, sizeof(cwd)))
        return sea_fail_errno(err, "could not tell the current folder");
    status = make_suite_absolute(config, cwd, arena, err);
    keys = sea_experiment_keys(&count);
    for (i = 0; i < count && !status; i++) {
        const char *text = sea_node_text(sea_node_path(config, keys[i].path), "");

        if (text[0] && text[0] != '/' && text[0] != '@' && names_path(&keys[i], text))
            status = set_path(config, keys[i].path, cwd, text, arena, err);
    }
    return status;
}
