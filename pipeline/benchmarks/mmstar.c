/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmstar.c - MMStar: multiple choice that cannot be answered without the picture
 *
 * Headline `average`: the mean over eighteen detailed categories, as lmms-eval reports;
 * `accuracy` over questions is VLMEvalKit's. The gain that the picture brings is this score
 * minus the one of a run without pictures (control "no-image").
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define SUFFIX "\nAnswer with the option's letter from the given choices directly"

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    const char *detail;         /* l2_category */
};

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *question = NULL;
    enum sea_status status = sea_bench_need_id(table, row, "index question_id id", q, arena, err);

    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &question, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    if (record->choice.count == 0)
        record->choice.count = 4;       /* the options stand in the question */
    record->choice.answer = sea_choice_answer(&record->choice, row, "answer", false);
    if (record->choice.answer < 0)
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "field \"answer\" is not the letter of an option");
    record->detail = sea_bench_field_text(row, "l2_category l2-category", arena);
    q->category = sea_bench_field_text(row, "category", arena);
    q->prompt = record->choice.options[0]
                    ? sea_choice_prompt(&record->choice, question, false, SUFFIX, arena)
                    : sea_arena_printf(arena, "%s" SUFFIX, question);
    for (int i = 0; i < record->choice.count; i++)
        if (!record->choice.options[i])
            record->choice.options[i] = "";
    q->extra = record;
    return SEA_OK;
}

static const char *
detail_of(const struct sea_bench_row *row)
{
    return ((const struct record *)row->question->extra)->detail;
}

/* Mean of the details' means. */
static double
average(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;
    const char *seen[64];
    double sum[64] = { 0 }, asked[64] = { 0 }, total = 0;
    size_t count = 0;

    for (size_t i = 0; i < n; i++) {
        const char *detail = detail_of(&s->rows[rows[i]]);
        size_t k = 0;

        detail = detail ? detail : "";
        while (k < count && strcmp(seen[k], detail) != 0)
            k++;
        if (k == 64)
            continue;
        if (k == count)
            seen[count++] = detail;
        sum[k] += s->rows[rows[i]].score;
        asked[k]++;
    }
    for (size_t k = 0; k < count; k++)
        total += sum[k] / asked[k];
    return count ? total / (double)count : NAN;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        const struct record *record = s->rows[i].question->extra;

        sea_choice_score(s, &s->rows[i], &record->choice, s->variant);
    }
    sea_bench_add_metric_all(s, "average", average);
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_groups(s, "category", sea_bench_category_of);
    sea_bench_add_groups(s, "l2", detail_of);
    return SEA_OK;
}

static const char *const variants[] = { "extract", "exact", "letter", "ladder", NULL };

const struct sea_bench sea_bench_mmstar = {
    .name = "mmstar",
    .about = "multiple choice that needs the picture, eighteen categories",
    .headline = "average",
    .scorer = "mmstar",
    .prompt = "lmms-eval",
    .suffix = SUFFIX,
    .licence = "Apache-2.0 (confirm)",
    .variants = variants,
    .max_new_tokens = 16,
    .questions_path = "MMStar.tsv",
    .images_path = "images",
    .take_row = take_row,
    .score = score,
};
