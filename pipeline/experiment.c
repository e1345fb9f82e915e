/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_experiment.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/experiment_int.h"

static const char *const stage_names[] = { "foundation", "label", "align", "tune", "eval" };

struct resolving {
    const char *source;
    struct sea_arena *arena;
    struct sea_node *root;      /* a copy of the file's tree that overrides may change */
    struct sea_err *err;
};

/* ---- overrides ---- */

static void
mark_set(struct sea_node *node)
{
    struct sea_node *child;

    node->line = SEA_KEY_LINE_SET;
    for (child = node->first; child; child = child->next)
        mark_set(child);
}

static enum sea_status
refuse_set(struct resolving *r, const char *set, const char *path)
{
    char near[SEA_KEY_PATH_MAX];

    sea_fail(r->err, SEA_E_CONFIG, "--set \"%s\": unknown key \"%s\"", set, path);
    if (strcmp(path, "sweep") == 0)
        sea_hint(r->err, "A sweep is set key by key: --set 'sweep.align.lambda=[0, 1.0]'");
    else
        sea_hint(r->err, "Did you mean \"%s\"? `sea config doc` lists all keys.",
                 sea_key_nearest(near, path));
    return SEA_E_CONFIG;
}

static enum sea_status
apply_set(struct resolving *r, const char *set)
{
    const char *equals = strchr(set, '=');
    const struct sea_config_key *key;
    struct sea_node *value, *parent, *sweep;
    const char *path, *leaf;
    enum sea_status status;

    if (!equals || equals == set) {
        sea_fail(r->err, SEA_E_CONFIG, "--set \"%s\" is not KEY=VALUE", set);
        sea_hint(r->err, "For example: --set align.lambda=0.5");
        return SEA_E_CONFIG;
    }
    path = sea_arena_strndup(r->arena, set, (size_t)(equals - set));
    if (strncmp(path, "sweep.", 6) == 0) {
        path += 6;
        parent = sea_node_get(r->root, "sweep");
        if (!parent || parent->kind != SEA_NODE_MAP)
            parent = sea_node_put(r->arena, r->root, "sweep", SEA_NODE_MAP);
        leaf = path;
    } else {
        key = sea_key_find(path);
        if (!key)
            return refuse_set(r, set, path);
        sweep = sea_node_get(r->root, "sweep");
        if (sweep && sweep->kind == SEA_NODE_MAP) {
            sea_node_remove(sweep, key->path);
            if (strncmp(key->path, "stages.", 7) == 0)
                sea_node_remove(sweep, key->path + 7);
        }
        parent = sea_key_parent(r->arena, r->root, key->path, &leaf);
    }
    if (!equals[1])
        return sea_fail(r->err, SEA_E_CONFIG, "--set \"%s\" has no value", set);
    status = sea_yaml_parse(equals + 1, strlen(equals + 1), set, r->arena, &value, r->err);
    if (status) {
        sea_context(r->err, "in the value of --set %s", set);
        return status;
    }
    mark_set(sea_node_put_copy(r->arena, parent, leaf, value));
    return SEA_OK;
}

/* ---- which stages ---- */

bool
sea_experiment_uses_foundation(const struct sea_node *config)
{
    const char *vision = sea_node_text(sea_node_path(config, "model.vision.path"), "");
    const char *language = sea_node_text(sea_node_path(config, "model.language.path"), "");
    const char *other = sea_node_text(sea_node_path(config, "stages.label.transfer_tower"), "");

    return strncmp(vision, "@foundation", 11) == 0 || strncmp(language, "@foundation", 11) == 0
           || strncmp(other, "@foundation", 11) == 0;
}

unsigned
sea_experiment_stages(const struct sea_node *config)
{
    const struct sea_node *stages = sea_node_get(config, "stages");
    unsigned bits = 0;
    size_t i;

    if (sea_node_text(sea_node_path(config, "model.path"), "")[0]) {
        if (!sea_node_path(config, "stages.tune"))
            return SEA_BIT_EVAL;
        return SEA_BIT_TUNE | (sea_node_path(config, "stages.eval") ? SEA_BIT_EVAL : 0u);
    }
    if (!stages || stages->kind != SEA_NODE_MAP || stages->count == 0)
        bits = SEA_BIT_EVAL;
    for (i = 0; i < 5 && stages; i++)
        if (sea_node_get(stages, stage_names[i]))
            bits |= 1u << i;
    if (bits & SEA_BIT_EVAL)
        bits |= SEA_BIT_TUNE;
    if (bits & SEA_BIT_TUNE)
        bits |= SEA_BIT_ALIGN;
    if (bits & SEA_BIT_ALIGN)
        bits |= SEA_BIT_LABEL;
    if (bits & ~(unsigned)SEA_BIT_FOUNDATION && sea_experiment_uses_foundation(config))
        bits |= SEA_BIT_FOUNDATION;
    return bits;
}

/* The stage a key belongs to by its path; 0 for the others. */
static unsigned
stage_of(const char *path)
{
    size_t i;

    if (strncmp(path, "stages.", 7) != 0)
        return 0;
    for (i = 0; i < 5; i++) {
        size_t len = strlen(stage_names[i]);

        if (strncmp(path + 7, stage_names[i], len) == 0 && path[7 + len] == '.')
            return 1u << i;
    }
    return 0;
}

/* ---- one experiment ---- */

static enum sea_status
missing_key(struct resolving *r, const struct sea_config_key *key, unsigned wanted)
{
    size_t i;
    unsigned needed = key->needed & wanted;

    for (i = 0; !(needed & 1u << i); i++)
        ;
    sea_fail(r->err, SEA_E_CONFIG, "%s: key \"%s\" is missing; stage %s needs it", r->source,
             key->path, stage_names[i]);
    sea_hint(r->err, "%s: %s.", key->path, key->about);
    return SEA_E_CONFIG;
}

static enum sea_status
put_fallback(struct resolving *r, const struct sea_config_key *key, struct sea_node *parent,
             const char *leaf)
{
    struct sea_node *node;
    enum sea_status status = sea_yaml_parse(key->fallback, strlen(key->fallback), key->path,
                                            r->arena, &node, r->err);

    return status ? status
                  : sea_key_convert(key, node, "default", r->arena, parent, leaf, r->err);
}

static enum sea_status
check_pairs(struct resolving *r, const struct sea_node *config)
{
    static const char *const folders[][2] = {
        { "data.heldout.json", "data.heldout.images" },
        { "data.heldout.images", "data.heldout.json" },
        { "data.heldout.objects", "data.heldout.json" },
    };
    size_t i;

    for (i = 0; i < sizeof(folders) / sizeof(folders[0]); i++)
        if (sea_node_path(config, folders[i][0]) && !sea_node_path(config, folders[i][1])) {
            sea_fail(r->err, SEA_E_CONFIG, "%s: key \"%s\" needs key \"%s\"", r->source,
                     folders[i][0], folders[i][1]);
            return SEA_E_CONFIG;
        }
    return SEA_OK;
}

/* What stages measure in their steps (docs/events.md): by another name nothing would ever be
 * compared, and nobody told. */
static bool
is_measured(const char *metric)
{
    static const char *const names[] = {
        "foundation.clip_loss", "foundation.clip_scale", "foundation.clip_grad_norm",
        "foundation.text_loss", "foundation.text_grad_norm", "align.loss_text",
        "align.loss_words", "align.pairs", "align.ln_pairs", "align.scale",
        "align.without_label", "align.grad_norm", "tune.loss", "tune.grad_norm", "tune.rows",
    };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], metric) == 0)
            return true;
    return false;
}

/* Early stopping needs a metric of a stage that runs and trains, and a first step. */
static enum sea_status
check_halving(struct resolving *r, const struct sea_node *config)
{
    const struct sea_node *halving = sea_node_get(config, "halving");
    const char *metric = sea_node_text(sea_node_get(halving, "metric"), "");
    static const char *const trained[] = { "stages.foundation", "stages.align", "stages.tune" };
    bool runs = false;
    size_t i;

    if (!halving)
        return SEA_OK;
    for (i = 0; i < sizeof(trained) / sizeof(trained[0]); i++) {
        const char *stage = trained[i] + strlen("stages.");
        size_t n = strlen(stage);

        runs = runs || (sea_node_path(config, trained[i]) && !strncmp(metric, stage, n) &&
                        metric[n] == '.' && metric[n + 1]);
    }
    if (!runs) {
        sea_fail(r->err, SEA_E_CONFIG, "%s: halving.metric \"%.80s\" is no metric of a stage "
                 "that runs and trains", r->source, metric);
        sea_hint(r->err, "Name the stage before the dot, as tune.loss or align.loss_text.");
        return SEA_E_CONFIG;
    }
    if (!is_measured(metric)) {
        sea_fail(r->err, SEA_E_CONFIG, "%s: halving.metric \"%.80s\" is measured in no step",
                 r->source, metric);
        sea_hint(r->err, "docs/events.md lists the metrics: tune.loss, align.loss_text, ...");
        return SEA_E_CONFIG;
    }
    if (!sea_node_get(halving, "first")) {
        sea_fail(r->err, SEA_E_CONFIG, "%s: key \"halving.metric\" needs key \"halving.first\"",
                 r->source);
        sea_hint(r->err, "It is the step of the first comparison, as 100.");
        return SEA_E_CONFIG;
    }
    return SEA_OK;
}

static enum sea_status
resolve_one(struct resolving *r, const struct sea_node *raw, struct sea_node **out)
{
    size_t i, count;
    const struct sea_config_key *keys = sea_experiment_keys(&count);
    unsigned wanted = sea_experiment_stages(raw);
    struct sea_node *config = sea_node_put(r->arena, NULL, NULL, SEA_NODE_MAP);
    enum sea_status status = SEA_OK;

    for (i = 0; i < count && !status; i++) {
        const struct sea_node *node = sea_node_path(raw, keys[i].path);
        unsigned stage = stage_of(keys[i].path);
        const char *leaf;

        if (stage && !(stage & wanted)) {
            continue;           /* the section of a stage that does not run */
        } else if (node && node->kind != SEA_NODE_NULL) {
            struct sea_node *parent = sea_key_parent(r->arena, config, keys[i].path, &leaf);

            status = sea_key_convert(&keys[i], node, r->source, r->arena, parent, leaf, r->err);
        } else if (keys[i].fallback) {
            struct sea_node *parent = sea_key_parent(r->arena, config, keys[i].path, &leaf);

            status = put_fallback(r, &keys[i], parent, leaf);
        } else if (keys[i].needed & wanted) {
            bool whole = sea_node_path(raw, "model.path") &&
                         strncmp(keys[i].path, "model.", 6) == 0;

            status = whole ? SEA_OK : missing_key(r, &keys[i], wanted);
        }
    }
    if (!status)
        status = sea_key_check_together(config, r->source, r->err);
    if (!status)
        status = check_pairs(r, config);
    if (!status)
        status = check_halving(r, config);
    *out = config;
    return status;
}

/* ---- sweeps ---- */

struct axis {
    const struct sea_config_key *key;
    const char *shown;          /* as the file writes it */
    const struct sea_node *values;
};

static const char *
show_scalar(struct sea_arena *arena, const struct sea_node *node)
{
    char text[64];
    int digits;

    switch (node->kind) {
    case SEA_NODE_REAL:
        for (digits = 1; digits <= 17; digits++) {
            snprintf(text, sizeof(text), "%.*g", digits, node->real);
            if (strtod(text, NULL) == node->real)
                break;
        }
        return sea_arena_strdup(arena, text);
    case SEA_NODE_INT:
        return sea_arena_printf(arena, "%lld", (long long)node->integer);
    case SEA_NODE_BOOL:
        return node->integer ? "true" : "false";
    default:
        return sea_node_text(node, "value");
    }
}

static enum sea_status
read_axes(struct resolving *r, struct axis **out, size_t *out_count, size_t *combinations)
{
    const struct sea_node *sweep = sea_node_get(r->root, "sweep"), *node, *value;
    char place[512], near[SEA_KEY_PATH_MAX], shown[96];
    struct axis *axes;
    size_t n = 0;

    *out = NULL;
    *out_count = 0;
    *combinations = 1;
    if (!sweep || sweep->kind == SEA_NODE_NULL)
        return SEA_OK;
    if (sweep->kind != SEA_NODE_MAP)
        return sea_fail(r->err, SEA_E_CONFIG, "%s: sweep is a %s, expected a map from keys to "
                        "lists", sea_key_place(place, r->source, sweep),
                        sea_node_kind_name(sweep->kind));
    axes = sea_arena_alloc(r->arena, sweep->count + 1, sizeof(*axes));
    for (node = sweep->first; node; node = node->next) {
        struct axis *axis = &axes[n++];

        sea_key_place(place, r->source, node);
        axis->key = sea_key_find(node->key);
        axis->shown = node->key;
        axis->values = node;
        if (!axis->key || strcmp(axis->key->path, "name") == 0) {
            sea_fail(r->err, SEA_E_CONFIG, "%s: sweep over unknown key \"%s\"", place, node->key);
            sea_hint(r->err, "Did you mean \"%s\"? `sea config doc` lists all keys.",
                     sea_key_nearest(near, node->key));
            return SEA_E_CONFIG;
        }
        if (node->kind != SEA_NODE_LIST || node->count == 0) {
            sea_fail(r->err, SEA_E_CONFIG, "%s: sweep over \"%s\" is %s, expected a list of values",
                     place, node->key,
                     node->kind == SEA_NODE_LIST ? "empty" : sea_key_show(shown, node));
            return SEA_E_CONFIG;
        }
        for (value = node->first; value; value = value->next)
            if (value->kind == SEA_NODE_NULL)
                return sea_fail(r->err, SEA_E_CONFIG, "%s: sweep over \"%s\" holds null, expected "
                                "a list of values", place, node->key);
        *combinations *= node->count;
        if (*combinations > SEA_EXPERIMENT_SWEEP_MAX)
            return sea_fail(r->err, SEA_E_CONFIG, "%s: the sweep has more than %d combinations",
                            place, SEA_EXPERIMENT_SWEEP_MAX);
    }
    *out = axes;
    *out_count = n;
    return SEA_OK;
}

static const struct sea_node *
list_at(const struct sea_node *list, size_t i)
{
    const struct sea_node *node = list->first;

    while (i-- > 0)
        node = node->next;
    return node;
}

static enum sea_status
expand(struct resolving *r, struct sea_experiments *out)
{
    struct axis *axes;
    size_t axes_count, combinations, i, a;
    enum sea_status status = read_axes(r, &axes, &axes_count, &combinations);
    const char *base = sea_node_text(sea_node_get(r->root, "name"), "");

    if (!status && axes_count)
        status = sea_key_check_name(base, r->source, r->err);
    if (status)
        return status;
    out->list = sea_arena_alloc(r->arena, combinations, sizeof(*out->list));
    for (i = 0; i < combinations && !status; i++) {
        struct sea_node *raw = sea_node_put_copy(r->arena, NULL, NULL, r->root);
        const char *name = base;
        size_t rest = i, step = combinations;

        sea_node_remove(raw, "sweep");
        if (sea_node_path(raw, "halving.metric") && !sea_node_path(raw, "halving.study"))
            sea_node_put_text(r->arena, sea_node_get(raw, "halving"), "study", base);
        for (a = 0; a < axes_count; a++) {
            const struct sea_node *value;
            struct sea_node *parent, *put;
            const char *leaf;

            step /= axes[a].values->count;
            value = list_at(axes[a].values, rest / step);
            rest %= step;
            parent = sea_key_parent(r->arena, raw, axes[a].key->path, &leaf);
            put = sea_node_put_copy(r->arena, parent, leaf, value);
            put->line = value->line;
            name = sea_arena_printf(r->arena, "%s%s%s=%s", name, a ? "," : "/", axes[a].shown,
                                    show_scalar(r->arena, value));
        }
        if (axes_count)
            sea_node_put_text(r->arena, raw, "name", name);
        status = resolve_one(r, raw, &out->list[i].config);
        if (!status)
            out->list[i].name = sea_node_text(sea_node_get(out->list[i].config, "name"), "");
    }
    for (i = 0; i < combinations && !status; i++)
        for (a = 0; a < i && !status; a++)
            if (strcmp(out->list[i].name, out->list[a].name) == 0)
                status = sea_fail(r->err, SEA_E_CONFIG, "%s: the sweep gives \"%s\" twice",
                                  r->source, out->list[i].name);
    if (!status)
        out->count = combinations;
    return status;
}

/* ---- reading ---- */

enum sea_status
sea_experiment_resolve(const struct sea_node *root, const char *source,
                       const char *const *sets, size_t sets_count, struct sea_arena *arena,
                       struct sea_experiments *out, struct sea_err *err)
{
    struct resolving r = { .source = source, .arena = arena, .err = err };
    enum sea_status status;
    size_t i;

    memset(out, 0, sizeof(*out));
    status = sea_key_check_tree(root, source, err);
    if (status)
        return status;
    r.root = sea_node_put_copy(arena, NULL, NULL, root);
    for (i = 0; i < sets_count && !status; i++)
        status = apply_set(&r, sets[i]);
    return status ? status : expand(&r, out);
}

enum sea_status
sea_experiment_parse(const char *text, size_t len, const char *source, const char *const *sets,
                     size_t sets_count, struct sea_arena *arena, struct sea_experiments *out,
                     struct sea_err *err)
{
    size_t n = strlen(source);
    bool json = n > 5 && strcmp(source + n - 5, ".json") == 0;
    struct sea_node *root;
    enum sea_status status;

    memset(out, 0, sizeof(*out));
    status = json ? sea_json_parse(text, len, source, arena, &root, err)
                  : sea_yaml_parse(text, len, source, arena, &root, err);
    if (status == SEA_E_FORMAT) /* an experiment is configuration, whatever it is written in */
        status = err->status = SEA_E_CONFIG;
    return status ? status
                  : sea_experiment_resolve(root, source, sets, sets_count, arena, out, err);
}

enum sea_status
sea_experiment_load(const char *path, const char *const *sets, size_t sets_count,
                    struct sea_arena *arena, struct sea_experiments *out, struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;

    memset(out, 0, sizeof(*out));
    sea_buf_init(&text, SEA_EXPERIMENT_BYTES_MAX);
    status = sea_file_read(path, &text, err);
    if (status == SEA_E_FORMAT)     /* larger than any configuration */
        status = err->status = SEA_E_CONFIG;
    if (status)
        sea_context(err, "while reading the experiment file");
    else
        status = sea_experiment_parse(text.data, text.len, path, sets, sets_count, arena, out,
                                      err);
    sea_buf_release(&text);
    return status;
}

enum sea_status
sea_experiment_one(const char *path, struct sea_arena *arena, struct sea_experiment *out,
                   struct sea_err *err)
{
    struct sea_experiments all;
    enum sea_status status = sea_experiment_load(path, NULL, 0, arena, &all, err);

    if (status)
        return status;
    if (all.count != 1) {
        sea_fail(err, SEA_E_CONFIG, "%s: its sweep stands for %zu experiments, a stage runs one",
                 path, all.count);
        sea_hint(err, "Write one out: sea config check FILE --set KEY=VALUE --json > one.json");
        return SEA_E_CONFIG;
    }
    *out = all.list[0];
    return SEA_OK;
}
