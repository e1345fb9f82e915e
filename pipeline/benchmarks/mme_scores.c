/* SPDX-License-Identifier: Apache-2.0 */
/* mme_scores.c - how MME's answers are read, and what its tasks sum up to */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/mme_int.h"

/* Yes or no in the first four characters, lowered and not stripped; else "". */
static const char *
parse_official(const char *text, struct sea_arena *arena)
{
    const char *lower = sea_text_tidy(text, true, false, arena), *at = lower;
    char first[32];

    for (int i = 0; i < 4; i++)
        sea_text_next(&at);
    snprintf(first, sizeof(first), "%.*s", (int)(at - lower), lower);
    return strstr(first, "yes") ? "yes" : strstr(first, "no") ? "no" : "";
}

/* The same stripped and without periods; one character is y, n, or nothing. */
static const char *
parse_lmms(const char *text, struct sea_arena *arena)
{
    char *plain = sea_arena_strdup(arena, sea_text_tidy(text, true, true, arena)), *to = plain;

    for (const char *c = plain; *c; c++)
        if (*c != '.')
            *to++ = *c;
    *to = 0;
    if (sea_text_length(plain) == 1)
        return plain[0] == 'y' ? "yes" : plain[0] == 'n' ? "no" : "";
    return parse_official(plain, arena);
}

static const char *
parse(const struct sea_bench_scoring *s, const char *text)
{
    return strcmp(s->variant, "lmms") == 0      ? parse_lmms(text, s->arena)
           : strcmp(s->variant, "vlmeval") == 0 ? sea_text_yes_no(text, s->arena)
                                                : parse_official(text, s->arena);
}

/* acc + acc+ of the rows of one task, of 2. */
static double
task_score(const struct sea_bench_scoring *s, const int64_t *rows, size_t n, const char *task,
           bool plus_only)
{
    double right = 0, both = 0, asked = 0;

    for (size_t i = 0; i < n; i++) {
        const struct sea_bench_row *row = &s->rows[rows[i]];
        const int64_t *pair = s->extra;

        if (strcmp(row->question->category, task) != 0)
            continue;
        asked++;
        right += row->score;
        both += row->score > 0 && s->rows[pair[rows[i]]].score > 0;
    }
    if (asked == 0)
        return NAN;
    return plus_only ? both / asked : right / asked + both / asked;
}

static double
sum_of(const struct sea_bench_scoring *s, const int64_t *rows, size_t n,
       const char *const *tasks)
{
    double sum = 0;
    bool any = false;

    for (; *tasks; tasks++) {
        double one = task_score(s, rows, n, *tasks, false);

        any = any || !isnan(one);
        sum += isnan(one) ? 0 : one;
    }
    return any ? sum : NAN;
}

static double
perception_metric(void *arg, const int64_t *rows, size_t n)
{
    return sum_of(arg, rows, n, sea_mme_perception) / 20;
}

static double
cognition_metric(void *arg, const int64_t *rows, size_t n)
{
    return sum_of(arg, rows, n, sea_mme_cognition) / 8;
}

static double
total_metric(void *arg, const int64_t *rows, size_t n)
{
    double all = sum_of(arg, rows, n, sea_mme_perception);

    return (all + sum_of(arg, rows, n, sea_mme_cognition)) / 28;
}

static double
one_task(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;

    return n ? task_score(s, rows, n, s->rows[rows[0]].question->category, false) / 2 : NAN;
}

static double
one_task_plus(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;

    return n ? task_score(s, rows, n, s->rows[rows[0]].question->category, true) : NAN;
}

static bool
is_of_task(const struct sea_bench_row *row, const void *task)
{
    return strcmp(row->question->category, task) == 0;
}

static void
report_task(struct sea_bench_scoring *s, const char *task)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (is_of_task(&s->rows[i], task))
            which[n++] = (int64_t)i;
    if (n > 0) {
        sea_bench_add_metric(s, sea_arena_printf(s->arena, "task/%s", task), one_task, which,
                             n)->scale = 200;
        sea_bench_add_score(s, sea_arena_printf(s->arena, "acc/%s", task), is_of_task, task);
        sea_bench_add_metric(s, sea_arena_printf(s->arena, "acc_plus/%s", task), one_task_plus,
                             which, n);
    }
    free(which);
}

static void
add_sum(struct sea_bench_scoring *s, const char *name, sea_stats_metric_fn *metric,
        const char *const *tasks, double scale)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (sea_mme_is_in(tasks, s->rows[i].question->category))
            which[n++] = (int64_t)i;
    sea_bench_add_metric(s, name, metric, which, n)->scale = scale;
    free(which);
}

bool
sea_mme_has_task(const struct sea_bench_scoring *s, const char *const *tasks)
{
    for (size_t i = 0; i < s->count; i++)
        if (sea_mme_is_in(tasks, s->rows[i].question->category))
            return true;
    return false;
}

void
sea_mme_score(struct sea_bench_scoring *s)
{
    int64_t *pair = sea_arena_alloc(s->arena, s->count, sizeof(*pair));
    int64_t *first = sea_arena_alloc(s->arena, s->count, sizeof(*first));
    bool perceives, thinks;

    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        int64_t c = s->cluster[i];

        row->gold = row->question->gold;
        row->parsed = parse(s, row->text);
        row->is_failed = !row->parsed[0];
        row->score = strcmp(row->parsed, row->gold) == 0;
        if (first[c]) {         /* row + 1 of the picture's first question */
            pair[i] = first[c] - 1;
            pair[first[c] - 1] = (int64_t)i;
        } else {
            first[c] = (int64_t)i + 1;
        }
    }
    s->extra = pair;
    perceives = sea_mme_has_task(s, sea_mme_perception);
    thinks = sea_mme_has_task(s, sea_mme_cognition);
    if (perceives)
        add_sum(s, "perception", perception_metric, sea_mme_perception, 2000);
    if (thinks)
        add_sum(s, "cognition", cognition_metric, sea_mme_cognition, 800);
    if (perceives && thinks)
        sea_bench_add_metric_all(s, "total", total_metric)->scale = 2800;
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_yes_share(s, "yes_share", sea_bench_is_any, NULL);
    for (size_t i = 0; sea_mme_perception[i]; i++)
        report_task(s, sea_mme_perception[i]);
    for (size_t i = 0; sea_mme_cognition[i]; i++)
        report_task(s, sea_mme_cognition[i]);
}
