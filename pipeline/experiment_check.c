/* SPDX-License-Identifier: Apache-2.0 */
/* Keys: finding them, guessing what a wrong one meant, converting values, what two of them
 * together make impossible. */
#include "pipeline/experiment_int.h"

#include <math.h>
#include <string.h>

#include "engine/sea_device.h"
#include "pipeline/sea_near.h"

#define WHOLE_MAX 9007199254740992.0    /* 2^53: every whole number up to here is a double */

const struct sea_config_key *
sea_key_find(const char *path)
{
    size_t i, count;
    const struct sea_config_key *keys = sea_experiment_keys(&count);

    for (i = 0; i < count; i++)
        if (strcmp(keys[i].path, path) == 0)
            return &keys[i];
    for (i = 0; i < count; i++)
        if (strncmp(keys[i].path, "stages.", 7) == 0 && strcmp(keys[i].path + 7, path) == 0)
            return &keys[i];
    return NULL;
}

/* True when some key starts with "PATH.". */
static bool
is_section(const char *path)
{
    size_t i, count, len = strlen(path);
    const struct sea_config_key *keys = sea_experiment_keys(&count);

    for (i = 0; i < count; i++)
        if (strncmp(keys[i].path, path, len) == 0 && keys[i].path[len] == '.')
            return true;
    return false;
}

/* How far path is from a key or section of n letters: from its whole name, from its name without
 * "stages.", or from its last word ("label" at the top of a file is meant for "stages.label"). */
static int
distance_from(const char *path, const char *key, size_t n, char name[SEA_KEY_PATH_MAX])
{
    const char *last;
    int least, d;

    snprintf(name, SEA_KEY_PATH_MAX, "%.*s", (int)n, key);
    last = strrchr(name, '.');
    least = sea_near_distance(path, name);
    if (strncmp(name, "stages.", 7) == 0 && (d = sea_near_distance(path, name + 7) + 1) < least)
        least = d;
    if (last && (d = sea_near_distance(path, last + 1) + 2) < least)
        least = d;
    return least;
}

const char *
sea_key_nearest(char out[SEA_KEY_PATH_MAX], const char *path)
{
    size_t i, count;
    const struct sea_config_key *keys = sea_experiment_keys(&count);
    char name[SEA_KEY_PATH_MAX];
    int least = sea_near_distance(path, "sweep"), d;

    snprintf(out, SEA_KEY_PATH_MAX, "sweep");
    for (i = 0; i < count; i++) {
        const char *key = keys[i].path, *end = key;

        while (end) {           /* its sections, outermost first, then the key itself */
            end = strchr(end, '.');
            d = distance_from(path, key, end ? (size_t)(end - key) : strlen(key), name);
            if (d < least) {
                least = d;
                snprintf(out, SEA_KEY_PATH_MAX, "%s", name);
            }
            end = end ? end + 1 : NULL;
        }
    }
    return out;
}

const char *
sea_key_place(char out[512], const char *source, const struct sea_node *node)
{
    if (node && node->line > 0)
        snprintf(out, 512, "%s:%d", source, node->line);
    else if (node && node->line == SEA_KEY_LINE_SET)
        snprintf(out, 512, "--set");
    else
        snprintf(out, 512, "%s", source);
    return out;
}

const char *
sea_key_show(char out[96], const struct sea_node *node)
{
    switch (node->kind) {
    case SEA_NODE_NULL:
        snprintf(out, 96, "null");
        break;
    case SEA_NODE_BOOL:
        snprintf(out, 96, "%s", node->integer ? "true" : "false");
        break;
    case SEA_NODE_INT:
        snprintf(out, 96, "%lld", (long long)node->integer);
        break;
    case SEA_NODE_REAL:
        snprintf(out, 96, "%.9g", node->real);
        break;
    case SEA_NODE_STRING:
        snprintf(out, 96, "\"%.80s\"", node->text);
        break;
    case SEA_NODE_LIST:
        snprintf(out, 96, "a list");
        break;
    case SEA_NODE_MAP:
        snprintf(out, 96, "a map");
        break;
    }
    return out;
}

static const char *
expected(char out[256], const struct sea_config_key *key)
{
    static const char *const names[] = { "a text", "a whole number", "a number",
                                         "true or false", "a list of texts", "the path of a file",
                                         "the path of a folder", "the path of a model folder" };

    if (key->choices)
        snprintf(out, 256, "%s%s", key->kind == SEA_KEY_LIST ? "a list of: " : "one of: ",
                 key->choices);
    else if ((key->kind == SEA_KEY_INT || key->kind == SEA_KEY_REAL) &&
             (key->min != 0 || key->max != 0))
        snprintf(out, 256, "%s from %.10g to %.10g", names[key->kind], key->min, key->max);
    else
        snprintf(out, 256, "%s", names[key->kind]);
    return out;
}

static bool
is_choice(const char *choices, const char *text)
{
    size_t len = strlen(text);
    const char *at = strchr(text, '|') ? NULL : choices;

    while (at && len) {
        if (strncmp(at, text, len) == 0 && (at[len] == '|' || at[len] == 0))
            return true;
        at = strchr(at, '|');
        at = at ? at + 1 : NULL;
    }
    return false;
}

static bool
is_text(const struct sea_config_key *key, const struct sea_node *node)
{
    return node->kind == SEA_NODE_STRING && strlen(node->text) == node->text_len &&
           (!key->choices || is_choice(key->choices, node->text));
}

static bool
is_in_range(const struct sea_config_key *key, double value)
{
    return isfinite(value) &&
           ((key->min == 0 && key->max == 0) || (value >= key->min && value <= key->max));
}

/* 1000, and 1e3 as well. */
static bool
is_whole(const struct sea_node *node)
{
    return node->kind == SEA_NODE_INT ||
           (node->kind == SEA_NODE_REAL && fabs(node->real) <= WHOLE_MAX &&
            node->real == floor(node->real));
}

static bool
is_usable(const struct sea_config_key *key, const struct sea_node *node)
{
    const struct sea_node *item;

    switch (key->kind) {
    case SEA_KEY_INT:
        return is_whole(node) && is_in_range(key, node->real);
    case SEA_KEY_REAL:
        return (node->kind == SEA_NODE_INT || node->kind == SEA_NODE_REAL) &&
               is_in_range(key, node->real);
    case SEA_KEY_BOOL:
        return node->kind == SEA_NODE_BOOL;
    case SEA_KEY_LIST:
        if (node->kind != SEA_NODE_LIST)
            return false;
        for (item = node->first; item; item = item->next)
            if (!is_text(key, item))
                return false;
        return true;
    default:
        return is_text(key, node);
    }
}

/* The first item of a list that cannot be in it; NULL when the node is no list. */
static const struct sea_node *
bad_item(const struct sea_config_key *key, const struct sea_node *node)
{
    const struct sea_node *item = NULL;

    if (key->kind == SEA_KEY_LIST && node->kind == SEA_NODE_LIST)
        for (item = node->first; item && is_text(key, item); item = item->next)
            ;
    return item;
}

static enum sea_status
refuse_value(const struct sea_config_key *key, const struct sea_node *node, const char *source,
             struct sea_err *err)
{
    const struct sea_node *item = bad_item(key, node);
    char place[512], value[96], want[256];

    sea_fail(err, SEA_E_CONFIG, "%s: key \"%s\" %s %s, expected %s",
             sea_key_place(place, source, node), key->path, item ? "holds" : "is",
             sea_key_show(value, item ? item : node), expected(want, key));
    if (node->kind == SEA_NODE_LIST && key->kind != SEA_KEY_LIST) {
        const char *name = strncmp(key->path, "stages.", 7) ? key->path : key->path + 7;

        sea_hint(err, "Several values are a sweep: `sweep: {%s: [A, B]}` in the file, or --set "
                 "'sweep.%s=[A, B]'.", name, name);
    }
    sea_hint(err, "%s: %s.", key->path, key->about);
    return SEA_E_CONFIG;
}

enum sea_status
sea_key_convert(const struct sea_config_key *key, const struct sea_node *node,
                const char *source, struct sea_arena *arena, struct sea_node *parent,
                const char *name, struct sea_err *err)
{
    if (!is_usable(key, node))
        return refuse_value(key, node, source, err);
    switch (key->kind) {
    case SEA_KEY_INT:
        sea_node_put_int(arena, parent, name, node->kind == SEA_NODE_REAL ? (int64_t)node->real
                                                                          : node->integer);
        break;
    case SEA_KEY_REAL:
        sea_node_put_real(arena, parent, name, node->real);
        break;
    default:
        sea_node_put_copy(arena, parent, name, node);
    }
    return SEA_OK;
}

static enum sea_status
check_map(const struct sea_node *map, const char *path, const char *source, struct sea_err *err)
{
    const struct sea_node *node;
    char place[512], full[SEA_KEY_PATH_MAX], near[SEA_KEY_PATH_MAX];
    enum sea_status status = SEA_OK;

    for (node = map->first; node && !status; node = node->next) {
        const struct sea_config_key *key;

        if (snprintf(full, sizeof(full), "%s%s%s", path, path[0] ? "." : "", node->key) >=
            (int)sizeof(full))
            return sea_fail(err, SEA_E_CONFIG, "%s: a key is too long",
                            sea_key_place(place, source, node));
        if (!path[0] && strcmp(node->key, "sweep") == 0)
            continue;
        key = sea_key_find(full);
        if (key && strcmp(key->path, full) == 0)
            continue;
        if (is_section(full)) {
            if (node->kind == SEA_NODE_MAP)
                status = check_map(node, full, source, err);
            else if (node->kind != SEA_NODE_NULL) {
                status = sea_fail(err, SEA_E_CONFIG, "%s: key \"%s\" is a %s, expected a map",
                                  sea_key_place(place, source, node), full,
                                  sea_node_kind_name(node->kind));
                sea_hint(err, "Its keys go below it, indented; `sea config doc` lists them.");
            }
            continue;
        }
        status = sea_fail(err, SEA_E_CONFIG, "%s: unknown key \"%s\"",
                          sea_key_place(place, source, node), full);
        sea_hint(err, "Did you mean \"%s\"? `sea config doc` lists all keys.",
                 sea_key_nearest(near, full));
    }
    return status;
}

enum sea_status
sea_key_check_tree(const struct sea_node *root, const char *source, struct sea_err *err)
{
    char place[512];

    if (root->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_CONFIG, "%s: an experiment is a map of keys, this is a %s",
                        sea_key_place(place, source, root), sea_node_kind_name(root->kind));
    return check_map(root, "", source, err);
}

struct sea_node *
sea_key_parent(struct sea_arena *arena, struct sea_node *root, const char *path,
               const char **leaf)
{
    struct sea_node *map = root;
    const char *dot;

    while ((dot = strchr(path, '.')) != NULL) {
        const char *word = sea_arena_strndup(arena, path, (size_t)(dot - path));
        struct sea_node *next = sea_node_get(map, word);

        if (!next || next->kind != SEA_NODE_MAP)
            next = sea_node_put(arena, map, word, SEA_NODE_MAP);
        map = next;
        path = dot + 1;
    }
    *leaf = path;
    return map;
}

enum sea_status
sea_key_check_name(const char *name, const char *source, struct sea_err *err)
{
    if (name[0] && strlen(name) <= 200 &&
        strspn(name, "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
                     "._-+=,/@") == strlen(name))
        return SEA_OK;
    sea_fail(err, SEA_E_CONFIG, "%s: name \"%.80s\" cannot be used", source, name);
    sea_hint(err, "Use letters, digits and . _ - + = , / @, at most 200.");
    return SEA_E_CONFIG;
}

/* Widths that heads share, and pictures that patches share, evenly. */
static enum sea_status
check_multiples(const struct sea_node *config, const char *source, struct sea_err *err)
{
    static const char *const towers[][2] = {
        { "stages.foundation.clip.width", "stages.foundation.clip.heads" },
        { "stages.foundation.clip.text_width", "stages.foundation.clip.text_heads" },
        { "stages.foundation.language.width", "stages.foundation.language.heads" },
        { "stages.foundation.clip.image", "stages.foundation.clip.patch" },
    };
    size_t i;

    for (i = 0; i < sizeof(towers) / sizeof(towers[0]); i++) {
        int64_t whole = sea_node_int(sea_node_path(config, towers[i][0]), 0);
        int64_t part = sea_node_int(sea_node_path(config, towers[i][1]), 1);

        if (whole % part != 0)
            return sea_fail(err, SEA_E_CONFIG, "%s: %s = %lld is not a multiple of %s = %lld",
                            source, towers[i][0], (long long)whole, towers[i][1],
                            (long long)part);
    }
    return SEA_OK;
}

/* Asked again by the stage, which would tell it hours later. */
static enum sea_status
check_chunk(const struct sea_node *config, const char *source, struct sea_err *err)
{
    const char *order = sea_node_text(sea_node_path(config, "stages.tune.order"), "shuffle");
    int64_t batch = sea_node_int(sea_node_path(config, "stages.tune.batch"), 1);
    int64_t chunk = sea_node_int(sea_node_path(config, "stages.tune.chunk"), 1);

    if (strcmp(order, "shuffle") == 0 || chunk > batch || batch % chunk == 0)
        return SEA_OK;
    sea_fail(err, SEA_E_CONFIG, "%s: stages.tune.chunk = %lld does not divide stages.tune.batch "
             "= %lld", source, (long long)chunk, (long long)batch);
    sea_hint(err, "Order \"%s\" cuts a batch into equal chunks.", order);
    return SEA_E_CONFIG;
}

enum sea_status
sea_key_check_together(const struct sea_node *config, const char *source, struct sea_err *err)
{
    const char *prompt = sea_node_text(sea_node_path(config, "stages.label.prompt"), "{}");
    const char *device = sea_node_text(sea_node_path(config, "resources.device"), "auto");
    enum sea_status status;

    status = sea_key_check_name(sea_node_text(sea_node_get(config, "name"), ""), source, err);
    if (!status)
        status = check_multiples(config, source, err);
    if (!status)
        status = check_chunk(config, source, err);
    if (!status && !strstr(prompt, "{}")) {
        status = sea_fail(err, SEA_E_CONFIG, "%s: stages.label.prompt \"%.80s\" has no {}", source,
                          prompt);
        sea_hint(err, "{} stands for the word, as in \"a photo of a {}.\".");
    }
    if (!status && !sea_device_is_name(device)) {
        status = sea_fail(err, SEA_E_CONFIG, "%s: resources.device \"%.80s\" is no device", source,
                          device);
        sea_hint(err, "Devices are auto, cpu, cpu:THREADS and cuda:NUMBER.");
    }
    return status;
}
