/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_suite.h"

#include <ctype.h>
#include <string.h>

#include "pipeline/sea_digest_memo.h"
#include "pipeline/sea_parquet.h"
#include "pipeline/sea_stage_body.h"

#define SUITE_BYTES_MAX ((size_t)1 << 20)

static const char *const suite_keys[] = { "name", "root", "benchmarks", "reference",
                                          "judge", NULL };
static const char *const item_keys[] = { "name", "folder", "questions", "annotations", "images",
                                         "split", "variant", "max_new", "prefix", "suffix",
                                         "prompt", "system", "aspect", NULL };
static const char *const judge_keys[] = { "url", "model", "prompts", "cache", "runs", "tokens",
                                          "parallel", "rate", "timeout_ms", "tries", "offline",
                                          NULL };
static const char *const reference_keys[] = { "model", "source", "scores", NULL };
/* Keys whose values are no texts. */
static const char *const other_kinds[] = { "benchmarks", "annotations", "max_new", "reference",
                                           "scores", "judge", "runs", "tokens", "parallel", "rate",
                                           "timeout_ms", "tries", "offline", NULL };

struct reading {
    const char *path, *root;
    struct sea_arena *arena;
    struct sea_err *err;
};

static bool
is_among(const char *const *list, const char *key)
{
    for (; *list; list++)
        if (strcmp(*list, key) == 0)
            return true;
    return false;
}

static enum sea_status
check_keys(const struct reading *r, const struct sea_node *map, const char *const *known)
{
    const struct sea_node *node;

    for (node = map->first; node; node = node->next) {
        if (!is_among(known, node->key)) {
            char list[256] = "";
            size_t used = 0;

            for (size_t i = 0; known[i] && used < sizeof(list); i++)
                used += (size_t)snprintf(list + used, sizeof(list) - used, "%s%s", i ? ", " : "",
                                         known[i]);
            sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: unknown key \"%s\"", r->path,
                     node->line, node->key);
            sea_hint(r->err, "Keys here are: %s.", list);
            return SEA_E_CONFIG;
        }
        if (node->kind != SEA_NODE_STRING && !is_among(other_kinds, node->key))
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

/* How questions are asked, where the suite says otherwise. */
static enum sea_status
read_asking(const struct reading *r, const struct sea_node *map, struct sea_suite_item *item)
{
    const char *aspect = sea_node_text(sea_node_get(map, "aspect"), NULL);

    item->ask.prefix = sea_node_text(sea_node_get(map, "prefix"), NULL);
    item->ask.suffix = sea_node_text(sea_node_get(map, "suffix"), NULL);
    item->prompt = sea_node_text(sea_node_get(map, "prompt"), NULL);
    item->system = sea_node_text(sea_node_get(map, "system"), NULL);
    item->aspect = !aspect ? -1 : strcmp(aspect, "pad") == 0 ? (int)SEA_ASPECT_PAD
                                                             : (int)SEA_ASPECT_SQUARE;
    if (aspect && strcmp(aspect, "pad") != 0 && strcmp(aspect, "square") != 0)
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: aspect is \"%s\", expected "
                        "pad or square", r->path, map->line, aspect);
    if ((item->ask.prefix || item->ask.suffix || item->system || aspect) && !item->prompt) {
        sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: benchmark %s is asked in a way of "
                 "the suite's own, which has no name", r->path, map->line, item->bench->name);
        sea_hint(r->err, "Add prompt: NAME, so that these scores are told from others.");
        return SEA_E_CONFIG;
    }
    return SEA_OK;
}

/* What tells these scores from others of the same benchmark: the split, and the way to ask. It
 * names files of answers, too. */
static enum sea_status
read_split(const struct reading *r, const struct sea_node *map, struct sea_suite_item *item)
{
    const char *split = sea_node_text(sea_node_get(map, "split"), ""), *at;

    item->split = !item->prompt ? split
                                : sea_arena_printf(r->arena, "%s%s%s", split,
                                                   split[0] ? "+" : "", item->prompt);
    for (at = item->split; *at; at++)
        if (!isalnum((unsigned char)*at) && !strchr("._-+", *at))
            return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: split or prompt of %s "
                            "holds '%c', expected letters, digits and . _ - +", r->path, map->line,
                            item->bench->name, *at);
    return SEA_OK;
}

static enum sea_status
read_item(const struct reading *r, const struct sea_node *map, struct sea_suite_item *item)
{
    const char *name = sea_node_text(sea_node_get(map, "name"), ""), *folder, *text;
    const struct sea_node *max_new = sea_node_get(map, "max_new");
    enum sea_status status = check_keys(r, map, item_keys);
    bool is_whole;

    if (!status)
        status = sea_bench_find(name, &item->bench, r->err);
    if (!status)
        status = below(r, r->root, sea_node_text(sea_node_get(map, "folder"), name), &folder);
    if (status) {
        sea_context(r->err, "in suite \"%s\", line %d", r->path, map->line);
        return status;
    }
    item->variant = sea_node_text(sea_node_get(map, "variant"), NULL);
    item->max_new = sea_node_int(max_new, item->bench->max_new_tokens);
    if ((max_new && max_new->kind != SEA_NODE_INT) || item->max_new < 1)
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: max_new must be a whole "
                        "number from 1", r->path, map->line);
    status = read_asking(r, map, item);
    if (!status)
        status = read_split(r, map, item);
    if (status)
        return status;
    text = sea_node_text(sea_node_get(map, "questions"), item->bench->questions_path);
    status = below(r, folder, text, &item->questions);
    if (!status && !sea_node_get(map, "questions") && !sea_file_exists(item->questions) &&
        !sea_dir_exists(item->questions) && sea_parquet_is(folder))
        item->questions = folder;
    /* Parquet holds questions, answers and pictures. */
    is_whole = !status && sea_parquet_is(item->questions);
    text = sea_node_text(sea_node_get(map, "images"), is_whole ? NULL : item->bench->images_path);
    if (!status && text)
        status = below(r, folder, text, &item->images);
    if (is_whole && !sea_node_get(map, "annotations"))
        return SEA_OK;
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

/* ---- the judge ---- */

static enum sea_status
read_number(const struct reading *r, const struct sea_node *map, const char *key, int64_t *out)
{
    const struct sea_node *node = sea_node_get(map, key);

    if (node && (node->kind != SEA_NODE_INT || node->integer < 0))
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: key \"%s\" must be a whole "
                        "number", r->path, node->line, key);
    *out = sea_node_int(node, 0);
    return SEA_OK;
}

static enum sea_status
read_judge(const struct reading *r, const struct sea_node *map, struct sea_suite *suite)
{
    struct sea_judge_options *judge = &suite->judge;
    const char *prompts = sea_node_text(sea_node_get(map, "prompts"), NULL),
               *cache = sea_node_text(sea_node_get(map, "cache"), NULL);
    enum sea_status status = SEA_OK;

    if (!map)
        return SEA_OK;
    if (map->kind != SEA_NODE_MAP)
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: judge is a %s, expected a "
                        "map with url, model, prompts and cache", r->path, map->line,
                        sea_node_kind_name(map->kind));
    status = check_keys(r, map, judge_keys);
    judge->url = sea_node_text(sea_node_get(map, "url"), NULL);
    judge->model = sea_node_text(sea_node_get(map, "model"), NULL);
    judge->offline = sea_node_bool(sea_node_get(map, "offline"), false);
    if (!status && (!judge->model || !prompts || !cache || (!judge->url && !judge->offline)))
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: judge has no key \"%s\"",
                        r->path, map->line, !judge->model ? "model" : !prompts ? "prompts"
                                            : !cache      ? "cache" : "url");
    if (!status)
        status = below(r, r->root, prompts, &judge->prompts);
    if (!status)
        status = below(r, r->root, cache, &judge->cache);
    if (!status)
        status = read_number(r, map, "runs", &judge->runs);
    if (!status)
        status = read_number(r, map, "tokens", &judge->max_tokens);
    if (!status)
        status = read_number(r, map, "parallel", &judge->parallel);
    if (!status)
        status = read_number(r, map, "rate", &judge->per_minute);
    if (!status)
        status = read_number(r, map, "timeout_ms", &judge->timeout_ms);
    return status ? status : read_number(r, map, "tries", &judge->tries);
}

/* A benchmark that cannot be scored is told before its answers are made. */
static enum sea_status
check_judged(const struct reading *r, struct sea_suite *suite)
{
    const char *name = NULL;

    for (size_t i = 0; i < suite->count; i++)
        if (suite->items[i].bench->needs_judge)
            name = suite->items[i].bench->name;
    suite->needs_judge = name != NULL;
    if (!name || suite->judge.model)
        return SEA_OK;
    sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\": benchmark %s needs a judge, the suite has none",
             r->path, name);
    sea_hint(r->err, "Add judge: {url: ..., model: ..., prompts: FOLDER, cache: FOLDER}.");
    return SEA_E_CONFIG;
}

/* ---- published scores ---- */

/* "mme.cognition" is metric cognition of mme. */
static enum sea_status
read_reference(const struct reading *r, const struct sea_node *score,
               struct sea_suite_reference *out)
{
    const char *point = strchr(score->key, '.');
    const struct sea_bench *bench;
    struct sea_err ignored = { 0 };

    if (score->kind != SEA_NODE_INT && score->kind != SEA_NODE_REAL)
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: the score of \"%s\" is a %s, "
                        "expected a number", r->path, score->line, score->key,
                        sea_node_kind_name(score->kind));
    out->points = score->real;
    out->benchmark = point ? sea_arena_strndup(r->arena, score->key,
                                               (size_t)(point - score->key)) : score->key;
    out->metric = point ? point + 1 : "headline";
    /* Papers report benchmarks that we may not have: their rows are shown all the same. */
    if (!sea_bench_find(out->benchmark, &bench, &ignored) && !point)
        out->metric = bench->headline;
    return SEA_OK;
}

static enum sea_status
read_references(const struct reading *r, const struct sea_node *list, struct sea_suite *suite)
{
    const struct sea_node *one, *score;
    size_t count = 0;
    enum sea_status status = SEA_OK;

    if (!list)
        return SEA_OK;
    if (list->kind != SEA_NODE_LIST)
        return sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\", line %d: reference is a %s, expected "
                        "a list of models", r->path, list->line, sea_node_kind_name(list->kind));
    for (one = list->first; one && !status; one = one->next) {
        const struct sea_node *scores = sea_node_get(one, "scores");

        if (one->kind != SEA_NODE_MAP || !sea_node_text(sea_node_get(one, "model"), NULL) ||
            !scores || scores->kind != SEA_NODE_MAP)
            return sea_fail(r->err, SEA_E_CONFIG,
                            "suite \"%s\", line %d: a reference is a map with model and scores",
                            r->path, one->line);
        status = check_keys(r, one, reference_keys);
        count += scores->count;
    }
    suite->references = sea_arena_alloc(r->arena, count + 1, sizeof(*suite->references));
    for (one = list->first; one && !status; one = one->next)
        for (score = sea_node_get(one, "scores")->first; score && !status; score = score->next) {
            struct sea_suite_reference *out = &suite->references[suite->references_count++];

            out->model = sea_node_text(sea_node_get(one, "model"), "");
            out->source = sea_node_text(sea_node_get(one, "source"), "");
            status = read_reference(r, score, out);
        }
    return status;
}

struct sea_node *
sea_suite_reference_node(const struct sea_suite *suite, struct sea_arena *arena)
{
    struct sea_node *list = sea_node_put(arena, NULL, NULL, SEA_NODE_LIST);

    for (size_t i = 0; i < suite->references_count; i++) {
        const struct sea_suite_reference *one = &suite->references[i];
        struct sea_node *node = sea_node_put(arena, list, NULL, SEA_NODE_MAP);

        sea_node_put_text(arena, node, "model", one->model);
        sea_node_put_text(arena, node, "source", one->source);
        sea_node_put_text(arena, node, "benchmark", one->benchmark);
        sea_node_put_text(arena, node, "metric", one->metric);
        sea_node_put_real(arena, node, "points", one->points);
    }
    return list;
}

enum sea_status
sea_suite_load(struct sea_suite *suite, const struct sea_node *config, struct sea_arena *arena,
               struct sea_err *err)
{
    return sea_suite_read(suite, sea_node_text(sea_node_path(config, "stages.eval.suite"), ""),
                          sea_node_text(sea_node_path(config, "stages.eval.root"), ""), arena,
                          err);
}

/* Equal names would write into one file of answers and into one row of scores. */
static enum sea_status
check_doubled(const struct reading *r, const struct sea_suite *suite)
{
    for (size_t i = 0; i < suite->count; i++)
        for (size_t k = 0; k < i; k++)
            if (suite->items[i].bench == suite->items[k].bench &&
                strcmp(suite->items[i].split, suite->items[k].split) == 0) {
                sea_fail(r->err, SEA_E_CONFIG, "suite \"%s\" lists %s%s%s twice", r->path,
                         suite->items[i].bench->name, suite->items[i].split[0] ? ", split " : "",
                         suite->items[i].split);
                sea_hint(r->err, "Give one of them a split or a prompt of its own.");
                return SEA_E_CONFIG;
            }
    return SEA_OK;
}

enum sea_status
sea_suite_read(struct sea_suite *suite, const char *name, const char *root,
               struct sea_arena *arena, struct sea_err *err)
{
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
    if (!status)
        status = check_doubled(&r, suite);
    if (!status)
        status = read_judge(&r, sea_node_get(map, "judge"), suite);
    if (!status)
        status = check_judged(&r, suite);
    return status ? status : read_references(&r, sea_node_get(map, "reference"), suite);
}

static enum sea_status
add_path(struct sea_hash *hash, struct sea_digest_memo *memo, const char *path,
         struct sea_err *err)
{
    enum sea_digest_kind kind = sea_dir_exists(path)   ? SEA_DIGEST_FOLDER
                                : sea_parquet_is(path) ? SEA_DIGEST_PARQUET : SEA_DIGEST_FILE;
    char digest[SEA_SHA256_TEXT];
    enum sea_status status = sea_digest_of(memo, kind, path, NULL, digest, err);

    if (!status)
        sea_hash_add_field(hash, digest);
    return status;
}

/* What changes the questions; a suite that says nothing has the digest it always had. */
static void
add_asking(struct sea_hash *hash, const struct sea_suite_item *item)
{
    const char *texts[] = { item->ask.prefix, item->ask.suffix, item->system,
                            item->aspect < 0                   ? NULL
                            : item->aspect == SEA_ASPECT_PAD ? "pad" : "square" };

    if (!item->prompt)
        return;
    sea_hash_add_field(hash, item->prompt);
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        sea_hash_add_field(hash, texts[i] ? texts[i] : "");
}

/* What the grades depend on, the address and the cache left out. */
static enum sea_status
add_judge(struct sea_hash *hash, const struct sea_suite *suite, const struct sea_bench *bench,
          struct sea_err *err)
{
    char digest[SEA_SHA256_TEXT], numbers[64];
    enum sea_status status = sea_bench_prompts_digest(bench, suite->judge.prompts, digest, err);

    if (status)
        return status;
    snprintf(numbers, sizeof(numbers), "%lld %lld", (long long)suite->judge.runs,
             (long long)suite->judge.max_tokens);
    sea_hash_add_field(hash, suite->judge.model);
    sea_hash_add_field(hash, digest);
    sea_hash_add_field(hash, numbers);
    return SEA_OK;
}

enum sea_status
sea_suite_digest(const struct sea_node *config, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    return sea_suite_digest_memo(config, NULL, out, err);
}

enum sea_status
sea_suite_digest_memo(const struct sea_node *config, struct sea_digest_memo *memo,
                      char out[SEA_SHA256_TEXT], struct sea_err *err)
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
        add_asking(hash, item);
        sea_hash_add_field(hash, number);
        status = add_path(hash, memo, item->questions, err);
        if (!status && item->bench->needs_judge)
            status = add_judge(hash, &suite, item->bench, err);
        for (k = 0; k < item->annotations_count && !status; k++)
            status = add_path(hash, memo, item->annotations[k], err);
        if (!status && item->images)
            status = add_path(hash, memo, item->images, err);
        if (status)
            sea_context(err, "benchmark %s of suite \"%s\"", item->bench->name, suite.path);
    }
    if (!status)
        sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    sea_arena_destroy(arena);
    return status;
}
