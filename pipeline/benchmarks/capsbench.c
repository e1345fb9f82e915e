/* SPDX-License-Identifier: Apache-2.0 */
/*
 * capsbench.c - yes or no about what is in a picture, in the style of CapsBench
 *
 * CapsBench lets a judge answer its questions from a caption. The SEA paper reports it without
 * its prompts. Here the model is asked each question itself, and its yes, no or n/a is
 * compared: a figure of its own, to be compared among our runs only.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

static const char *
word_of(const char *text, struct sea_arena *arena)
{
    const char *lower = sea_text_tidy(text, true, true, arena);

    if (strcmp(lower, "y") == 0 || strcmp(lower, "true") == 0)
        return "yes";
    if (strcmp(lower, "n") == 0 || strcmp(lower, "false") == 0)
        return "no";
    if (strcmp(lower, "n/a") == 0 || strcmp(lower, "n/a.") == 0)
        return "n/a";
    return sea_text_yes_no(lower, arena);
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    const char *question = NULL, *gold = NULL;
    enum sea_status status = sea_bench_need_id(table, row, "question_id id index", q, arena, err);

    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question text", arena, &question, err);
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "answer", arena, &gold, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_name image_path", q, arena, err);
    if (status)
        return status;
    q->gold = word_of(gold, arena);
    if (!q->gold[0])
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "field \"answer\" is \"%.40s\", expected yes, no or n/a", gold);
    q->category = sea_bench_field_text(row, "category", arena);
    q->prompt = sea_arena_printf(arena, "%s" SEA_BENCH_SHORT, question);
    return SEA_OK;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];

        row->gold = row->question->gold;
        row->parsed = word_of(row->text, s->arena);
        row->is_failed = !row->parsed[0];
        row->score = strcmp(row->parsed, row->gold) == 0;
    }
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_yes_share(s, "yes_share", sea_bench_is_yes_no, NULL);
    sea_bench_add_groups(s, "category", sea_bench_category_of);
    return SEA_OK;
}

const struct sea_bench sea_bench_capsbench = {
    .name = "capsbench",
    .about = "yes or no about what is in a picture, asked directly",
    .headline = "accuracy",
    .scorer = "capsbench-yes-no",
    .prompt = "sea-ours",
    .suffix = SEA_BENCH_SHORT,
    .licence = "see the publisher (confirm)",
    .max_new_tokens = 16,
    .questions_path = "capsbench.jsonl",
    .images_path = "images",
    .take_row = take_row,
    .score = score,
};
