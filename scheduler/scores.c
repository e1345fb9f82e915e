/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_scores.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"

#define SCORES_BYTES_MAX ((size_t)64 << 20)
#define BATCH_ROWS 500
#define BATCH_BYTES ((size_t)1 << 20)
#define LINE_BYTES_MAX ((size_t)8 << 20)

static const char *
text_of(const struct sea_node *map, const char *key)
{
    return sea_node_text(sea_node_get(map, key), "");
}

static bool
is_number(const struct sea_node *node)
{
    return node && (node->kind == SEA_NODE_INT || node->kind == SEA_NODE_REAL);
}

static void
add_number(struct sea_buf *to, const char *key, const struct sea_node *node)
{
    if (is_number(node))
        sea_buf_addf(to, ",\"%s\":%.17g", key, node->real);
}

static enum sea_status
add_metric(struct sea_buf *to, const struct sea_node *benchmark, const struct sea_node *metric,
           struct sea_err *err)
{
    const struct sea_node *n = sea_node_get(metric, "n");
    const char *name = text_of(benchmark, "name"), *split = text_of(benchmark, "split");

    if (!*text_of(metric, "name"))
        return sea_fail(err, SEA_E_FORMAT, "scores.json: a metric of \"%s\" has no name", name);
    /* A score of nothing, say accuracy over no question, is no score. */
    if (!is_number(sea_node_get(metric, "value")) || (n && sea_node_int(n, 0) <= 0))
        return SEA_OK;
    sea_buf_puts(to, to->len > 1 ? ",{\"benchmark\":" : "{\"benchmark\":");
    sea_json_quote(to, name, strlen(name));
    sea_buf_puts(to, ",\"split\":");
    sea_json_quote(to, split, strlen(split));
    sea_buf_addf(to, ",\"control\":%s,\"metric\":",
                 sea_node_bool(sea_node_get(benchmark, "control"), false) ? "true" : "false");
    sea_json_quote(to, text_of(metric, "name"), strlen(text_of(metric, "name")));
    add_number(to, "value", sea_node_get(metric, "value"));
    add_number(to, "scale", sea_node_get(metric, "scale"));
    sea_buf_addf(to, ",\"n\":%lld",
                 (long long)sea_node_int(n, sea_node_int(sea_node_get(benchmark, "n"), 0)));
    add_number(to, "se", sea_node_get(metric, "se"));
    add_number(to, "low", sea_node_get(metric, "low"));
    add_number(to, "high", sea_node_get(metric, "high"));
    sea_buf_puts(to, "}");
    return SEA_OK;
}

static enum sea_status
convert(struct sea_scores *scores, struct sea_arena *arena, struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(scores->root, "benchmarks"), *one, *metric;
    struct sea_buf names, rows;
    enum sea_status status = SEA_OK;

    if (!list || list->kind != SEA_NODE_LIST)
        return sea_fail(err, SEA_E_FORMAT, "scores.json has no list \"benchmarks\"");
    sea_buf_init(&names, SCORES_BYTES_MAX);
    sea_buf_init(&rows, SCORES_BYTES_MAX);
    sea_buf_puts(&names, "[");
    sea_buf_puts(&rows, "[");
    for (one = list->first; one && !status; one = one->next) {
        const char *name = text_of(one, "name"), *split = text_of(one, "split");

        if (!*name) {
            status = sea_fail(err, SEA_E_FORMAT, "scores.json: a benchmark has no name");
            break;
        }
        sea_buf_puts(&names, names.len > 1 ? ",[" : "[");
        sea_json_quote(&names, name, strlen(name));
        sea_buf_puts(&names, ",");
        sea_json_quote(&names, split, strlen(split));
        sea_buf_puts(&names, "]");
        metric = sea_node_get(one, "metrics");
        for (metric = metric ? metric->first : NULL; metric && !status; metric = metric->next)
            status = add_metric(&rows, one, metric, err);
    }
    sea_buf_puts(&names, "]");
    sea_buf_puts(&rows, "]");
    scores->benchmarks = sea_arena_strdup(arena, names.data);
    scores->rows = sea_arena_strdup(arena, rows.data);
    sea_buf_release(&names);
    sea_buf_release(&rows);
    return status;
}

enum sea_status
sea_scores_load(const char *out, struct sea_arena *arena, struct sea_scores *scores,
                struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status;

    *scores = (struct sea_scores){ .benchmarks = NULL };
    status = sea_path_join(path, out, "scores.json", err);
    if (status || !sea_file_exists(path))
        return status;
    status = sea_json_load(path, SCORES_BYTES_MAX, arena, &scores->root, err);
    if (!status)
        status = convert(scores, arena, err);
    if (status)
        sea_context(err, "while reading \"%s\"", path);
    return status;
}

/* PostgreSQL's text cannot hold the character 0, which JSON may spell: it becomes U+FFFD,
 * which has the same length. */
static void
replace_zero(char *line)
{
    char *at;

    for (at = line; (at = strchr(at, '\\')); at += at[1] ? 2 : 1)
        if (strncmp(at, "\\u0000", 6) == 0)
            memcpy(at, "\\ufffd", 6);
}

static enum sea_status
send_file(const struct sea_node *benchmark, const char *path, struct sea_db *db,
          const struct sea_fence *fence, struct sea_err *err)
{
    bool control = sea_node_bool(sea_node_get(benchmark, "control"), false);
    int64_t first = 0, count = 0;
    enum sea_status status = SEA_OK;
    size_t room = 0;
    struct sea_buf rows;
    char *line = NULL;
    FILE *from = fopen(path, "re");
    ssize_t n = 0;

    if (!from)
        return sea_fail_errno(err, "could not open \"%s\"", path);
    sea_buf_init(&rows, BATCH_BYTES + LINE_BYTES_MAX + 16);
    while (!status && n >= 0) {
        n = getline(&line, &room, from);
        while (n > 0 && (line[n - 1] == '\n' || line[n - 1] == '\r'))
            line[--n] = 0;
        if (n == 0)
            continue;
        if (n > (ssize_t)LINE_BYTES_MAX) {
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\": answer %lld has more than %zu bytes",
                              path, (long long)(first + count), LINE_BYTES_MAX);
            break;
        }
        if (n > 0) {
            replace_zero(line);
            sea_buf_puts(&rows, count ? "," : "[");
            sea_buf_add(&rows, line, (size_t)n);
            count++;
        }
        if (count == 0 || (n >= 0 && count < BATCH_ROWS && rows.len < BATCH_BYTES))
            continue;
        sea_buf_puts(&rows, "]");
        status = sea_queue_answers(db, fence, text_of(benchmark, "name"),
                                   text_of(benchmark, "split"), control, first, rows.data, err);
        first += count;
        count = 0;
        sea_buf_clear(&rows);
    }
    if (!status && ferror(from))
        status = sea_fail_errno(err, "could not read \"%s\"", path);
    fclose(from);
    free(line);
    sea_buf_release(&rows);
    return status;
}

/* "gpt-4-0613, prompts 0123456789ab": as the judge names itself, and the version of its rubric. */
static enum sea_status
send_judge(const struct sea_node *benchmark, struct sea_db *db, const struct sea_fence *fence,
           struct sea_err *err)
{
    const struct sea_node *judge = sea_node_get(benchmark, "judge");
    const char *who = text_of(judge, "served"), *prompts = text_of(judge, "prompts_sha256");
    char text[256];

    if (!*who)
        who = text_of(judge, "model");
    if (!*who)
        return SEA_OK;
    snprintf(text, sizeof(text), "%.200s%s%.12s", who, *prompts ? ", prompts " : "", prompts);
    return sea_db_query(db, "judge_add",
                        SEA_PARAMS(SEA_P_INT(fence->stage_id), SEA_P_INT(fence->epoch),
                                   SEA_P_TEXT(fence->secret),
                                   SEA_P_TEXT(text_of(benchmark, "name")),
                                   SEA_P_TEXT(text_of(benchmark, "split")), SEA_P_TEXT(text)),
                        NULL, err);
}

enum sea_status
sea_scores_send(const struct sea_scores *scores, const char *out, struct sea_db *db,
                const struct sea_fence *fence, struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(scores->root, "benchmarks"), *one;
    enum sea_status status = SEA_OK;
    char path[SEA_PATH_MAX];

    for (one = list ? list->first : NULL; one && !status; one = one->next) {
        const char *rows = text_of(one, "rows");

        status = send_judge(one, db, fence, err);
        if (status || !*rows)
            continue;
        if (!sea_path_is_inside(rows))
            return sea_fail(err, SEA_E_FORMAT, "scores.json: rows \"%s\" lie outside the folder",
                            rows);
        status = sea_path_join(path, out, rows, err);
        if (!status)
            status = send_file(one, path, db, fence, err);
    }
    return status;
}
