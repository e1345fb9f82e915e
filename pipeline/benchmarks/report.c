/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - metrics with their intervals; results as JSON */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PERCENT 100.0

static struct sea_bench_metric *
add(struct sea_bench_scoring *s, const char *name)
{
    struct sea_bench_metric *metric;

    if (s->metrics_count == s->metrics_room)
        s->metrics = sea_arena_grow(s->arena, s->metrics, &s->metrics_room, 16,
                                    sizeof(*s->metrics));
    metric = &s->metrics[s->metrics_count++];
    *metric = (struct sea_bench_metric){ .name = sea_arena_strdup(s->arena, name), .value = NAN,
                                         .scale = PERCENT, .se = NAN, .clustered_se = NAN,
                                         .low = NAN, .high = NAN, .interval = "" };
    return metric;
}

static int64_t *
clusters_of(const struct sea_bench_scoring *s, const int64_t *which, size_t n)
{
    int64_t *cluster = sea_xcalloc(n + 1, sizeof(*cluster));

    for (size_t i = 0; i < n; i++)
        cluster[i] = s->cluster[which[i]];
    return cluster;
}

struct sea_bench_metric *
sea_bench_add_mean(struct sea_bench_scoring *s, const char *name, const double *values,
                   const int64_t *which, size_t n)
{
    struct sea_bench_metric *metric = add(s, name);
    int64_t *cluster = clusters_of(s, which, n);
    struct sea_mean mean = sea_stats_mean(values, cluster, n);
    bool binary = true;

    for (size_t i = 0; i < n; i++)
        binary = binary && (values[i] == 0 || values[i] == 1);
    metric->value = mean.mean;
    metric->n = mean.n;
    metric->clusters = mean.clusters;
    metric->se = mean.se;
    metric->clustered_se = mean.clustered_se;
    sea_stats_interval(&mean, values, n, SEA_BENCH_LEVEL, &metric->low, &metric->high);
    metric->interval = isnan(metric->low) ? "" : binary ? "wilson" : "t";
    free(cluster);
    return metric;
}

/* A subset of the rows, with a value each. */
struct subset {
    int64_t *which;
    double *values;
    size_t n;
};

static struct subset
subset_create(const struct sea_bench_scoring *s)
{
    return (struct subset){ .which = sea_xcalloc(s->count + 1, sizeof(int64_t)),
                            .values = sea_xcalloc(s->count + 1, sizeof(double)) };
}

static void
subset_release(struct subset *subset)
{
    free(subset->which);
    free(subset->values);
}

void
sea_bench_add_score(struct sea_bench_scoring *s, const char *name, sea_bench_keep_fn *keep,
                    const void *arg)
{
    struct subset subset = subset_create(s);

    for (size_t i = 0; i < s->count; i++)
        if (keep(&s->rows[i], arg)) {
            subset.values[subset.n] = s->rows[i].score;
            subset.which[subset.n++] = (int64_t)i;
        }
    if (subset.n)
        sea_bench_add_mean(s, name, subset.values, subset.which, subset.n);
    subset_release(&subset);
}

void
sea_bench_add_yes_share(struct sea_bench_scoring *s, const char *name, sea_bench_keep_fn *keep,
                        const void *arg)
{
    struct subset subset = subset_create(s);

    for (size_t i = 0; i < s->count; i++)
        if (keep(&s->rows[i], arg)) {
            subset.values[subset.n] = strcmp(s->rows[i].parsed, "yes") == 0;
            subset.which[subset.n++] = (int64_t)i;
        }
    if (subset.n)
        sea_bench_add_mean(s, name, subset.values, subset.which, subset.n);
    subset_release(&subset);
}

struct mapped {
    sea_stats_metric_fn *metric;
    void *arg;
    const int64_t *which;
    int64_t *rows;
    size_t room;
};

/* The bootstrap numbers rows of the subset; the metric wants rows of the scoring. */
static double
mapped_metric(void *arg, const int64_t *rows, size_t count)
{
    struct mapped *m = arg;

    if (count > m->room) {
        m->room = 2 * count;
        m->rows = sea_xrealloc(m->rows, m->room, sizeof(*m->rows));
    }
    for (size_t i = 0; i < count; i++)
        m->rows[i] = m->which[rows[i]];
    return m->metric(m->arg, m->rows, count);
}

struct sea_bench_metric *
sea_bench_add_metric(struct sea_bench_scoring *s, const char *name, sea_stats_metric_fn *metric,
                     const int64_t *which, size_t n)
{
    struct sea_bench_metric *out = add(s, name);
    struct mapped mapped = { .metric = metric, .arg = s, .which = which };
    int64_t *cluster = clusters_of(s, which, n);
    int resamples = s->options->resamples ? s->options->resamples : SEA_BENCH_RESAMPLES;
    struct sea_bootstrap boot = sea_stats_bootstrap(mapped_metric, &mapped, cluster, n,
                                                    SEA_BENCH_LEVEL, s->options->seed,
                                                    resamples);

    out->value = metric(s, which, n);
    out->n = (int64_t)n;
    out->clusters = boot.clusters;
    out->clustered_se = boot.se;
    out->low = boot.low;
    out->high = boot.high;
    out->interval = isnan(boot.low) ? "" : "bootstrap";
    free(mapped.rows);
    free(cluster);
    return out;
}

struct sea_bench_metric *
sea_bench_add_metric_all(struct sea_bench_scoring *s, const char *name,
                         sea_stats_metric_fn *metric)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    struct sea_bench_metric *out;
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (s->rows[i].is_unit)
            which[n++] = (int64_t)i;
    out = sea_bench_add_metric(s, name, metric, which, n);
    free(which);
    return out;
}

bool
sea_bench_is_any(const struct sea_bench_row *row, const void *unused)
{
    (void)row;
    (void)unused;
    return true;
}

bool
sea_bench_is_unit(const struct sea_bench_row *row, const void *unused)
{
    (void)unused;
    return row->is_unit;
}

bool
sea_bench_is_yes_no(const struct sea_bench_row *row, const void *unused)
{
    (void)unused;
    return row->is_unit &&
           (strcasecmp(row->gold, "yes") == 0 || strcasecmp(row->gold, "no") == 0);
}

const char *
sea_bench_category_of(const struct sea_bench_row *row)
{
    return row->is_unit ? row->question->category : NULL;
}

/* One pass over the rows for all groups: question types come by the hundred. */
void
sea_bench_add_groups(struct sea_bench_scoring *s, const char *prefix, sea_bench_text_fn *text)
{
    const char **names = sea_xcalloc(s->count + 1, sizeof(char *));
    int64_t *number = sea_xcalloc(s->count + 1, sizeof(*number)),
            *which = sea_xcalloc(s->count + 1, sizeof(*which));
    size_t *end = sea_xcalloc(s->count + 2, sizeof(*end)), groups;
    double *values = sea_xcalloc(s->count + 1, sizeof(*values));

    for (size_t i = 0; i < s->count; i++) {
        names[i] = text(&s->rows[i]);
        names[i] = names[i] ? names[i] : "";
    }
    groups = sea_stats_number(names, s->count, number);
    for (size_t i = 0; i < s->count; i++)
        end[number[i] + 1]++;
    for (size_t g = 0; g < groups; g++)
        end[g + 1] += end[g];
    for (size_t i = 0; i < s->count; i++)
        which[end[number[i]]++] = (int64_t)i;
    for (size_t g = 0; g < groups; g++) {
        size_t first = g ? end[g - 1] : 0, n = end[g] - first;

        if (!names[which[first]][0])
            continue;
        for (size_t i = 0; i < n; i++)
            values[i] = s->rows[which[first + i]].score;
        sea_bench_add_mean(s, sea_arena_printf(s->arena, "%s/%s", prefix, names[which[first]]),
                           values, which + first, n);
    }
    free(names);
    free(number);
    free(which);
    free(end);
    free(values);
}

/* ---- JSON ---- */

struct sea_node *
sea_bench_result_node(const struct sea_bench_result *result, struct sea_arena *arena)
{
    struct sea_node *top = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list;

    sea_node_put_text(arena, top, "benchmark", result->bench->name);
    sea_node_put_text(arena, top, "headline", result->bench->headline);
    sea_node_put_text(arena, top, "scorer", result->bench->scorer);
    sea_node_put_text(arena, top, "variant", result->variant);
    sea_node_put_text(arena, top, "prompt", result->prompt);
    sea_node_put_bool(arena, top, "complete", result->complete);
    sea_node_put_int(arena, top, "n", (int64_t)result->rows_count);
    sea_node_put_int(arena, top, "missing", result->missing);
    sea_node_put_int(arena, top, "failed", result->failed);
    sea_node_put_text(arena, top, "questions_sha256", result->questions_digest);
    sea_node_put_text(arena, top, "annotations_sha256", result->annotations_digest);
    if (result->judge)
        sea_node_put_copy(arena, top, "judge", result->judge);
    list = sea_node_put(arena, top, "metrics", SEA_NODE_LIST);
    for (size_t i = 0; i < result->metrics_count; i++) {
        const struct sea_bench_metric *m = &result->metrics[i];
        struct sea_node *node = sea_node_put(arena, list, NULL, SEA_NODE_MAP);

        sea_node_put_text(arena, node, "name", m->name);
        sea_node_put_real(arena, node, "value", m->value);
        sea_node_put_real(arena, node, "scale", m->scale);
        sea_node_put_real(arena, node, "points", m->value * m->scale);
        sea_node_put_int(arena, node, "n", m->n);
        sea_node_put_int(arena, node, "clusters", m->clusters);
        sea_node_put_real(arena, node, "se", m->se);
        sea_node_put_real(arena, node, "clustered_se", m->clustered_se);
        sea_node_put_real(arena, node, "low", m->low);
        sea_node_put_real(arena, node, "high", m->high);
        sea_node_put_text(arena, node, "interval", m->interval);
    }
    return top;
}

struct sea_node *
sea_bench_lmms_node(const struct sea_bench_result *result, struct sea_arena *arena)
{
    struct sea_node *top = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *node;
    const char *name = result->bench->name;

    node = sea_node_put(arena, sea_node_put(arena, top, "results", SEA_NODE_MAP), name,
                        SEA_NODE_MAP);
    sea_node_put_text(arena, node, "alias", name);
    for (size_t i = 0; i < result->metrics_count; i++) {
        const struct sea_bench_metric *m = &result->metrics[i];
        double se = isnan(m->clustered_se) ? m->se : m->clustered_se;

        sea_node_put_real(arena, node, sea_arena_printf(arena, "%s,none", m->name), m->value);
        sea_node_put_real(arena, node, sea_arena_printf(arena, "%s_stderr,none", m->name), se);
    }
    node = sea_node_put(arena, sea_node_put(arena, top, "configs", SEA_NODE_MAP), name,
                        SEA_NODE_MAP);
    sea_node_put_text(arena, node, "task", name);
    sea_node_put_text(arena, node, "scorer", result->bench->scorer);
    sea_node_put_text(arena, node, "variant", result->variant);
    sea_node_put_text(arena, node, "prompt", result->prompt);
    sea_node_put_text(arena, node, "questions_sha256", result->questions_digest);
    if (result->judge)
        sea_node_put_copy(arena, node, "judge", result->judge);
    sea_node_put_text(arena, sea_node_put(arena, top, "versions", SEA_NODE_MAP), name, "sea-1");
    sea_node_put_int(arena, sea_node_put(arena, top, "n-shot", SEA_NODE_MAP), name, 0);
    node = sea_node_put(arena, sea_node_put(arena, top, "higher_is_better", SEA_NODE_MAP), name,
                        SEA_NODE_MAP);
    sea_node_put_bool(arena, node, result->bench->headline, true);
    node = sea_node_put(arena, sea_node_put(arena, top, "n-samples", SEA_NODE_MAP), name,
                        SEA_NODE_MAP);
    sea_node_put_int(arena, node, "original", (int64_t)result->rows_count);
    sea_node_put_int(arena, node, "effective", (int64_t)result->rows_count - result->missing);
    return top;
}

static void
add_field(struct sea_buf *buf, const char *before, const char *text)
{
    sea_buf_puts(buf, before);
    sea_json_quote(buf, text, strlen(text));
}

/* The key where ids repeat: rows of two runs are paired by it. */
static void
add_id(struct sea_buf *buf, const struct sea_bench_question *question)
{
    char *id = sea_xstrdup(sea_bench_key(question));

    for (char *c = id; *c; c++)
        *c = *c == '\n' ? ' ' : *c;
    add_field(buf, "{\"id\": ", id);
    free(id);
}

void
sea_bench_rows_write(const struct sea_bench_result *result, struct sea_buf *buf)
{
    for (size_t i = 0; i < result->rows_count; i++) {
        const struct sea_bench_row *row = &result->rows[i];

        add_id(buf, row->question);
        add_field(buf, ", \"cluster\": ", row->question->cluster);
        add_field(buf, ", \"category\": ", row->question->category);
        add_field(buf, ", \"prompt\": ", row->asked ? row->asked : row->question->prompt);
        add_field(buf, ", \"text\": ", row->text);
        if (row->thoughts)
            add_field(buf, ", \"thoughts\": ", row->thoughts);
        add_field(buf, ", \"parsed\": ", row->parsed);
        add_field(buf, ", \"gold\": ", row->gold);
        sea_buf_addf(buf, ", \"score\": %.17g, \"unit\": %s, \"missing\": %s, \"failed\": %s",
                     row->score, row->is_unit ? "true" : "false",
                     row->is_missing ? "true" : "false", row->is_failed ? "true" : "false");
        for (size_t k = 0; k < row->judged_count; k++) {
            sea_buf_puts(buf, k ? ", " : ", \"judge\": [");
            if (row->judged[k])
                sea_json_quote(buf, row->judged[k], strlen(row->judged[k]));
            else
                sea_buf_puts(buf, "null");
        }
        sea_buf_puts(buf, row->judged_count ? "]}\n" : "}\n");
    }
}

const struct sea_bench_metric *
sea_bench_metric_find(const struct sea_bench_result *result, const char *name)
{
    for (size_t i = 0; i < result->metrics_count; i++)
        if (strcmp(result->metrics[i].name, name) == 0)
            return &result->metrics[i];
    return NULL;
}

void
sea_bench_dump_texts(const struct sea_bench_scoring *s, const char *id_key,
                     const char *text_key, struct sea_buf *out)
{
    for (size_t i = 0; i < s->count; i++) {
        const struct sea_bench_question *q = s->rows[i].question;

        sea_buf_addf(out, "%s\n{\"%s\": ", i ? "," : "[", id_key);
        if (q->id_is_number)
            sea_buf_puts(out, q->id);
        else
            sea_json_quote(out, q->id, strlen(q->id));
        sea_buf_addf(out, ", \"%s\": ", text_key);
        sea_json_quote(out, s->rows[i].text, strlen(s->rows[i].text));
        sea_buf_puts(out, "}");
    }
    sea_buf_puts(out, s->count ? "\n]\n" : "[\n]\n");
}

enum sea_status
sea_bench_dump_map(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        const char *key = sea_bench_key(s->rows[i].question);

        sea_buf_puts(out, i ? ",\n" : "{\n");
        sea_json_quote(out, key, strlen(key));
        sea_buf_puts(out, ": ");
        sea_json_quote(out, s->rows[i].text, strlen(s->rows[i].text));
    }
    sea_buf_puts(out, s->count ? "\n}\n" : "{\n}\n");
    return SEA_OK;
}
