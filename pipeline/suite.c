/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_suite.h"

#include <string.h>

#include "pipeline/sea_stage_body.h"

#define SUITE_BYTES_MAX ((size_t)1 << 20)

static const char *const suite_keys[] = { "name", "root", "benchmarks", NULL };
static const char *const item_keys[] = { "name", "folder", "questions", "annotations", "images",
                                         "split", "variant", "max_new", NULL };

struct reading {
    const char *path, *root;
    struct sea_arena *arena;
    struct sea_err *err;
};

static enum sea_status
check_keys(const struct reading *r, const struct sea_node *map, const char *const *known)
{
    const struct sea_node *node;
    size_t i;

    for (node = map->first; node; node = node->next) {
        for (i = 0; known[i] && strcmp(known[i], node->key) != 0; i++)
            ;
        if (!known[i]) {
            sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: unknown key \"%s\"", r->path,
                     node->line, node->key);
            sea_hint(r->err, "Keys of a benchmark: name, folder, questions, annotations, images, "
                             "split, variant, max_new.");
            return SEA_E_CONFIG;
        }
        if (node->kind != SEA_NODE_STRING && strcmp(node->key, "benchmarks") != 0 &&
            strcmp(node->key, "annotations") != 0 && strcmp(node->key, "max_new") != 0)
            return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: key \"%s\" is a %s, "
                            "expected a text", r->path, node->line, node->key,
                            sea_node_kind_name(node->kind));
    }
    return SEA_OK;
}

static enum sea_status
below(const struct reading *r, const char *folder, const char *name, const char **out)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, folder, name, r->err);

    if (!status)
        *out = sea_arena_strdup(r->arena, path);
    return status;
}

static enum sea_status
read_annotations(const struct reading *r, const struct sea_node *node, const char *folder,
                 struct sea_suite_item *item)
{
    const struct sea_node *file;
    enum sea_status status = SEA_OK;

    if (!node) {
        if (!item->bench->annotations_path)
            return SEA_OK;
        item->annotations_count = 1;
        return below(r, folder, item->bench->annotations_path, &item->annotations[0]);
    }
    if (node->kind != SEA_NODE_LIST || node->count > SEA_SUITE_FILES_MAX)
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: annotations is a %s, "
                        "expected a list of at most %d files", r->path, node->line,
                        sea_node_kind_name(node->kind), SEA_SUITE_FILES_MAX);
    for (file = node->first; file && !status; file = file->next)
        status = below(r, folder, sea_node_text(file, ""),
                       &item->annotations[item->annotations_count++]);
    return status;
}

static enum sea_status
read_item(const struct reading *r, const struct sea_node *map, struct sea_suite_item *item)
{
    const char *name = sea_node_text(sea_node_get(map, "name"), ""), *folder, *text;
    const struct sea_node *max_new = sea_node_get(map, "max_new");
    enum sea_status status = check_keys(r, map, item_keys);

    if (!status)
        status = sea_bench_find(name, &item->bench, r->err);
    if (!status)
        status = below(r, r->root, sea_node_text(sea_node_get(map, "folder"), name), &folder);
    if (status) {
        sea_context(r->err, "in suite \"%s\", line %d", r->path, map->line);
        return status;
    }
    item->split = sea_node_text(sea_node_get(map, "split"), "");
    item->variant = sea_node_text(sea_node_get(map, "variant"), NULL);
    item->max_new = sea_node_int(max_new, item->bench->max_new_tokens);
    if ((max_new && max_new->kind != SEA_NODE_INT) || item->max_new < 1)
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: max_new must be a whole "
                        "number from 1", r->path, map->line);
    text = sea_node_text(sea_node_get(map, "questions"), item->bench->questions_path);
    status = below(r, folder, text, &item->questions);
    text = sea_node_text(sea_node_get(map, "images"), item->bench->images_path);
    if (!status && text)
        status = below(r, folder, text, &item->images);
    return status ? status
                  : read_annotations(r, sea_node_get(map, "annotations"), folder, item);
}

/* "scenes" is configs/suites/scenes.yaml; with a slash or ".yaml" it is a path. */
static enum sea_status
find_file(const char *name, struct sea_arena *arena, const char **path, struct sea_err *err)
{
    size_t len = strlen(name);

    *path = strchr(name, '/') || (len > 5 && strcmp(name + len - 5, ".yaml") == 0)
                ? name
                : sea_arena_printf(arena, "configs/suites/%s.yaml", name);
    if (sea_file_exists(*path))
        return SEA_OK;
    sea_fail(err, SEA_E_MISSING, "suite \"%s\": there is no file \"%s\"", name, *path);
    sea_hint(err, "Give stages.eval.suite the path of a suite file, or start in the folder that "
                  "holds configs/suites.");
    return SEA_E_MISSING;
}

enum sea_status
sea_suite_load(struct sea_suite *suite, const struct sea_node *config, struct sea_arena *arena,
               struct sea_err *err)
{
    const char *name = sea_node_text(sea_node_path(config, "stages.eval.suite"), "");
    const char *root = sea_node_text(sea_node_path(config, "stages.eval.root"), "");
    struct reading r = { .arena = arena, .err = err };
    struct sea_node *map, *list, *node;
    enum sea_status status;

    memset(suite, 0, sizeof(*suite));
    status = find_file(name, arena, &r.path, err);
    if (!status)
        status = sea_yaml_load(r.path, SUITE_BYTES_MAX, arena, &map, err);
    if (!status)
        status = check_keys(&r, map, suite_keys);
    if (status)
        return status;
    suite->path = r.path;
    suite->name = sea_node_text(sea_node_get(map, "name"), name);
    r.root = root[0] ? root : sea_node_text(sea_node_get(map, "root"), ".");
    list = sea_node_get(map, "benchmarks");
    if (!list || list->kind != SEA_NODE_LIST || list->count == 0)
        return sea_fail(err, SEA_E_CONFIG, "suite \"%s\" has no list of benchmarks", r.path);
    suite->items = sea_arena_alloc(arena, list->count, sizeof(*suite->items));
    for (node = list->first; node && !status; node = node->next)
        status = node->kind == SEA_NODE_MAP
                     ? read_item(&r, node, &suite->items[suite->count++])
                     : sea_fail(err, SEA_E_CONFIG, "suite \"%s\", line %d: a benchmark is a map "
                                "with a name", r.path, node->line);
    return status;
}

static enum sea_status
add_path(struct sea_hash *hash, const char *path, struct sea_err *err)
{
    char digest[SEA_SHA256_TEXT];
    enum sea_status status;

    if (sea_dir_exists(path))
        status = sea_digest_folder(path, digest, err);
    else
        status = sea_digest_file(path, digest, err);
    if (!status)
        sea_hash_add_field(hash, digest);
    return status;
}

enum sea_status
sea_suite_digest(const struct sea_node *config, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "suite");
    struct sea_hash *hash = sea_hash_create();
    struct sea_suite suite;
    enum sea_status status = sea_suite_load(&suite, config, arena, err);
    char number[32];
    size_t i, k;

    for (i = 0; i < suite.count && !status; i++) {
        const struct sea_suite_item *item = &suite.items[i];

        snprintf(number, sizeof(number), "%lld", (long long)item->max_new);
        sea_hash_add_field(hash, item->bench->name);
        sea_hash_add_field(hash, item->split);
        sea_hash_add_field(hash, item->variant ? item->variant : "");
        sea_hash_add_field(hash, item->bench->scorer);
        sea_hash_add_field(hash, number);
        status = add_path(hash, item->questions, err);
        for (k = 0; k < item->annotations_count && !status; k++)
            status = add_path(hash, item->annotations[k], err);
        if (!status && item->images)
            status = add_path(hash, item->images, err);
        if (status)
            sea_context(err, "benchmark %s of suite \"%s\"", item->bench->name, suite.path);
    }
    if (!status)
        sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    sea_arena_destroy(arena);
    return status;
}
