/* SPDX-License-Identifier: Apache-2.0 */
/* report.c - metrics with their intervals; results as JSON */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PERCENT 100.0

static struct sea_bench_metric *
add(struct sea_bench_scoring *s, const char *name)
{
    struct sea_bench_metric *metric;

    if (s->metrics_count == s->metrics_room) {
        size_t room = s->metrics_room ? 2 * s->metrics_room : 16;
        struct sea_bench_metric *more = sea_arena_alloc(s->arena, room, sizeof(*more));

        if (s->metrics_count)
            memcpy(more, s->metrics, s->metrics_count * sizeof(*more));
        s->metrics = more;
        s->metrics_room = room;
    }
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

void
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

void
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
}

struct group_key {
    sea_bench_text_fn *text;
    const char *value;
};

static bool
is_of_group(const struct sea_bench_row *row, const void *arg)
{
    const struct group_key *key = arg;
    const char *value = key->text(row);

    return value && strcmp(value, key->value) == 0;
}

void
sea_bench_add_groups(struct sea_bench_scoring *s, const char *prefix, sea_bench_text_fn *text)
{
    const char **seen = sea_xcalloc(s->count + 1, sizeof(char *));
    size_t count = 0;

    for (size_t i = 0; i < s->count; i++) {
        struct group_key key = { text, text(&s->rows[i]) };
        size_t k = 0;

        if (!key.value || !key.value[0])
            continue;
        while (k < count && strcmp(seen[k], key.value) != 0)
            k++;
        if (k < count)
            continue;
        seen[count++] = key.value;
        sea_bench_add_score(s, sea_arena_printf(s->arena, "%s/%s", prefix, key.value),
                            is_of_group, &key);
    }
    free(seen);
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
    sea_node_put_text(arena, top, "prompt", result->bench->prompt);
    sea_node_put_bool(arena, top, "complete", result->complete);
    sea_node_put_int(arena, top, "n", (int64_t)result->rows_count);
    sea_node_put_int(arena, top, "missing", result->missing);
    sea_node_put_int(arena, top, "failed", result->failed);
    sea_node_put_text(arena, top, "questions_sha256", result->questions_digest);
    sea_node_put_text(arena, top, "annotations_sha256", result->annotations_digest);
    list = sea_node_put(arena, top, "metrics", SEA_NODE_LIST);
    for (size_t i = 0; i < result->metrics_count; i++) {
        const struct sea_bench_metric *m = &result->metrics[i];
        struct sea_node *node = sea_node_put(arena, list, NULL, SEA_NODE_MAP);

        sea_node_put_text(arena, node, "name", m->name);
        sea_node_put_real(arena, node, "value", m->value);
        sea_node_put_real(arena, node, "scale", m->scale);
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

static void
add_field(struct sea_buf *buf, const char *before, const char *text)
{
    sea_buf_puts(buf, before);
    sea_json_quote(buf, text, strlen(text));
}

void
sea_bench_rows_write(const struct sea_bench_result *result, struct sea_buf *buf)
{
    for (size_t i = 0; i < result->rows_count; i++) {
        const struct sea_bench_row *row = &result->rows[i];

        add_field(buf, "{\"id\": ", row->question->id);
        add_field(buf, ", \"cluster\": ", row->question->cluster);
        add_field(buf, ", \"category\": ", row->question->category);
        add_field(buf, ", \"prompt\": ", row->question->prompt);
        add_field(buf, ", \"text\": ", row->text);
        add_field(buf, ", \"parsed\": ", row->parsed);
        add_field(buf, ", \"gold\": ", row->gold);
        sea_buf_addf(buf, ", \"score\": %.17g, \"unit\": %s, \"missing\": %s, \"failed\": %s}\n",
                     row->score, row->is_unit ? "true" : "false",
                     row->is_missing ? "true" : "false", row->is_failed ? "true" : "false");
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
