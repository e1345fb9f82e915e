/* SPDX-License-Identifier: Apache-2.0 */
/*
 * realworldqa.c - RealWorldQA: letters, words and numbers about street scenes
 *
 * The question ends with its own instruction and is asked as it stands. A gold letter is
 * compared with the letter in the answer ("extract" of choice.c); anything else with the
 * answer lowered, stripped and without periods at its end.
 */
#include <ctype.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    bool is_letter;
};

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *question = NULL;
    int letter;
    enum sea_status status =
        sea_bench_need_id(table, row, "question_id index id image_path image", q, arena, err);

    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &question, err);
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "answer", arena, &q->gold, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    q->gold = sea_text_tidy(q->gold, false, true, arena);
    letter = toupper((unsigned char)q->gold[0]);
    record->is_letter = letter >= 'A' && letter <= 'D' && !q->gold[1];
    if (record->choice.count == 0)
        record->choice.count = 4;
    record->choice.answer = record->is_letter ? letter - 'A' : -1;
    q->prompt = record->choice.options[0]
                    ? sea_choice_prompt(&record->choice, question, false, SEA_BENCH_LETTER, arena)
                    : question;
    q->extra = record;
    return SEA_OK;
}

/* Lowered, stripped, without periods at the end. */
static const char *
tidy(const char *text, struct sea_arena *arena)
{
    const char *plain = sea_text_tidy(text, true, true, arena);
    size_t n = strlen(plain);

    while (n && plain[n - 1] == '.')
        n--;
    return sea_arena_strndup(arena, plain, n);
}

static bool
is_kind(const struct sea_bench_row *row, const void *kind)
{
    return ((const struct record *)row->question->extra)->is_letter ==
           (strcmp(kind, "multiple_choice") == 0);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const struct record *record = row->question->extra;

        if (record->is_letter) {
            sea_choice_score(s, row, &record->choice, "extract");
            continue;
        }
        row->parsed = tidy(row->text, s->arena);
        row->gold = sea_text_tidy(row->question->gold, true, false, s->arena);
        row->score = strcmp(row->parsed, row->gold) == 0;
    }
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_score(s, "multiple_choice", is_kind, "multiple_choice");
    sea_bench_add_score(s, "open", is_kind, "open");
    return SEA_OK;
}

const struct sea_bench sea_bench_realworldqa = {
    .name = "realworldqa",
    .about = "letters, words and numbers about street scenes",
    .headline = "accuracy",
    .scorer = "realworldqa-lmms",
    .prompt = "as published",
    .licence = "CC BY-ND 4.0",
    .max_new_tokens = 16,
    .questions_path = "RealWorldQA.tsv",
    .images_path = "images",
    .take_row = take_row,
    .score = score,
};
