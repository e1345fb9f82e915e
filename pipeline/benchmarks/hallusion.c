/* SPDX-License-Identifier: Apache-2.0 */
/*
 * hallusion.c - HallusionBench: yes or no about pictures that mislead
 *
 * Verdicts are read from the answer (VLMEvalKit's yes or no), not asked from a judge: right,
 * wrong, or unclear. A question about a known fact without its picture (VS, figure 0) is also
 * right when unclear. aAcc: questions; fAcc: figures with all their questions right; qAcc:
 * questions right on all their figures. Figures and questions are told apart by category, too, as
 * in the paper's script; VLMEvalKit's groups leave it out, so that its fAcc and qAcc differ where
 * VD and VS share a subcategory (ocr).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct record {                 /* sea_bench_question.extra */
    const char *category, *figure, *set;        /* VD, VS; keys of the groups */
    bool has_no_picture;        /* VS, figure 0 */
};

/* The last three parts of an index like "VD_chart_0_1_0". */
static bool
split_index(const char *id, char parts[3][32])
{
    size_t end = strlen(id);

    for (int p = 2; p >= 0; p--) {
        size_t start = end;

        while (start > 0 && id[start - 1] != '_')
            start--;
        if (start == end || end - start > 31 || (p > 0 && start == 0))
            return false;
        snprintf(parts[p], 32, "%.*s", (int)(end - start), id + start);
        end = start ? start - 1 : 0;
    }
    return true;
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *category = sea_bench_field_text(row, "category", arena);
    const char *sub = sea_bench_field_text(row, "subcategory l2-category", arena);
    const char *set = sea_bench_field_text(row, "set_id", arena);
    const char *figure = sea_bench_field_text(row, "figure_id", arena);
    const char *number = sea_bench_field_text(row, "question_id", arena);
    const char *gold = sea_bench_field_text(row, "gt_answer answer", arena);
    char parts[3][32];
    enum sea_status status = SEA_OK;

    if (sea_bench_field(row, "index"))
        status = sea_bench_need_id(table, row, "index", q, arena, err);
    if (!status && (!set || !figure || !number) && q->id && split_index(q->id, parts)) {
        set = sea_arena_strdup(arena, parts[0]);
        figure = sea_arena_strdup(arena, parts[1]);
        number = sea_arena_strdup(arena, parts[2]);
    }
    if (status)
        return status;
    if (!category || !set || !figure || !number || !gold)
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "expected fields category, subcategory, set_id, figure_id, "
                                "question_id and gt_answer");
    status = sea_bench_need_text(table, row, q->id, "question", arena, &q->prompt, err);
    if (!status)
        status = sea_bench_need_image(table, row, "filename image image_path", q, arena, err);
    if (status)
        return status;
    sub = sub ? sub : "";
    if (!q->id)
        q->id = sea_arena_printf(arena, "%s_%s_%s_%s_%s", category, sub, set, figure, number);
    record->category = category;
    record->set = sea_arena_printf(arena, "%s_%s_%s_q%s", category, sub, set, number);
    record->figure = sea_arena_printf(arena, "%s_%s_%s_f%s", category, sub, set, figure);
    record->has_no_picture = strcmp(category, "VS") == 0 && strcmp(figure, "0") == 0;
    if (record->has_no_picture) {
        q->has_image = false;
        q->image = NULL;
    }
    q->gold = strcmp(gold, "1") == 0 || strcasecmp(gold, "yes") == 0 ? "yes" : "no";
    q->category = category;
    q->cluster = record->figure;
    q->extra = record;
    return SEA_OK;
}

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

/* Mean over groups of "all of it right"; rows whose key is NULL are in none. */
static void
add_groups_right(struct sea_bench_scoring *s, const char *name, bool by_figure)
{
    const char **keys = sea_xcalloc(s->count + 1, sizeof(char *));
    int64_t *number = sea_xcalloc(s->count + 1, sizeof(*number)),
            *which = sea_xcalloc(s->count + 1, sizeof(*which)),
            *slot = sea_xcalloc(s->count + 1, sizeof(*slot));
    double *right = sea_xcalloc(s->count + 1, sizeof(*right));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        keys[i] = by_figure ? record_of(&s->rows[i])->figure : record_of(&s->rows[i])->set;
    sea_stats_number(keys, s->count, number);
    for (size_t i = 0; i < s->count; i++) {
        if (by_figure && record_of(&s->rows[i])->has_no_picture)
            continue;
        if (!slot[number[i]]) {
            which[n] = (int64_t)i;
            right[n++] = 1;
            slot[number[i]] = (int64_t)n;
        }
        if (s->rows[i].score == 0)
            right[slot[number[i]] - 1] = 0;
    }
    if (n)
        sea_bench_add_mean(s, name, right, which, n);
    free(keys);
    free(number);
    free(which);
    free(slot);
    free(right);
}

/* Share of yes said minus share of yes meant; unclear answers are no yes. */
static double
yes_bias(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;
    double said = 0, gold = 0;

    for (size_t i = 0; i < n; i++) {
        said += s->rows[rows[i]].parsed[0] == 'y';
        gold += s->rows[rows[i]].gold[0] == 'y';
    }
    return n ? (said - gold) / (double)n : NAN;
}

/* Of the wrong answers, the share that says yes. */
static double
fp_ratio(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;
    double wrong = 0, yes = 0;

    for (size_t i = 0; i < n; i++) {
        const struct sea_bench_row *row = &s->rows[rows[i]];

        wrong += row->score == 0;
        yes += row->score == 0 && row->parsed[0] == 'y';
    }
    return wrong > 0 ? yes / wrong : NAN;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];

        row->gold = row->question->gold;
        row->parsed = sea_text_yes_no(row->text, s->arena);
        row->is_failed = !row->parsed[0];
        row->score = strcmp(row->parsed, row->gold) == 0 ||
                     (row->is_failed && record_of(row)->has_no_picture);
    }
    sea_bench_add_score(s, "aAcc", sea_bench_is_any, NULL);
    add_groups_right(s, "fAcc", true);
    add_groups_right(s, "qAcc", false);
    sea_bench_add_yes_share(s, "yes_share", sea_bench_is_any, NULL);
    sea_bench_add_metric_all(s, "yes_bias", yes_bias);
    sea_bench_add_metric_all(s, "fp_ratio", fp_ratio);
    sea_bench_add_groups(s, "category", sea_bench_category_of);
    return SEA_OK;
}

const struct sea_bench sea_bench_hallusion = {
    .name = "hallusionbench",
    .about = "yes or no about pictures that mislead",
    .headline = "aAcc",
    .scorer = "hallusionbench-yes-no",
    .prompt = "as published",
    .licence = "BSD-3-Clause",
    .max_new_tokens = 128,
    .questions_path = "HallusionBench.json",
    .images_path = "hallusion_bench",
    .take_row = take_row,
    .score = score,
};
