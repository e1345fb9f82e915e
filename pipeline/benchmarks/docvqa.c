/* SPDX-License-Identifier: Apache-2.0 */
/*
 * docvqa.c - DocVQA: questions about scanned pages, ANLS
 *
 * A gold answer counts 1 - distance / length, and 0 below one half; the best of the gold
 * answers counts. Variants: "lmms" (also VLMEvalKit) collapses white space for the distance
 * and takes the longer of the raw texts as length; "official" uses the stripped and lowered
 * texts for both.
 */
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define THRESHOLD 0.5

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct sea_py_texts *golds = sea_arena_alloc(arena, 1, sizeof(*golds));
    const char *question = NULL;
    enum sea_status status =
        sea_bench_need_id(table, row, "questionId question_id index id", q, arena, err);

    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &question, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (status)
        return status;
    sea_py_texts_of(sea_bench_field(row, "answers answer"), arena, golds);
    q->gold = golds->count ? golds->at[0] : NULL;
    q->prompt = sea_arena_printf(arena, "%s" SEA_BENCH_SHORT, question);
    q->extra = golds;
    return SEA_OK;
}

static double
official(const struct sea_py_texts *golds, const char *text, struct sea_arena *arena)
{
    const char *said = sea_text_tidy(text, true, true, arena);
    double best = 0;

    for (size_t i = 0; i < golds->count; i++) {
        const char *gold = sea_text_tidy(golds->at[i], true, true, arena);
        size_t one = sea_text_length(gold), two = sea_text_length(said);
        size_t longest = one > two ? one : two;
        double score =
            longest ? 1 - (double)sea_text_distance(gold, said) / (double)longest : 1;

        best = score > best ? score : best;
    }
    return best < THRESHOLD ? 0 : best;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(s->arena, "row");
    bool lmms = strcmp(s->variant, "lmms") == 0;

    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const struct sea_py_texts *golds = row->question->extra;

        if (golds->count == 0) {
            sea_fail(err, SEA_E_FORMAT, "question \"%s\" of \"%s\" has no answers",
                     row->question->id, s->questions->path);
            sea_hint(err, "Answers of the test split are not public; use the val split, or "
                     "export the answers for the server.");
            sea_arena_destroy(scratch);
            return SEA_E_FORMAT;
        }
        sea_arena_reset(scratch);
        row->parsed = row->text;
        row->gold = golds->at[0];
        row->score = lmms ? sea_text_anls(golds->at, golds->count, row->text, THRESHOLD, scratch)
                          : official(golds, row->text, scratch);
    }
    sea_arena_destroy(scratch);
    sea_bench_add_score(s, "anls", sea_bench_is_any, NULL);
    return SEA_OK;
}

/* The portal's list [{"questionId", "answer"}]. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    (void)err;
    sea_bench_dump_texts(s, "questionId", "answer", out);
    return SEA_OK;
}

static const char *const variants[] = { "lmms", "official", NULL };

const struct sea_bench sea_bench_docvqa = {
    .name = "docvqa",
    .about = "questions about scanned pages, edit distance",
    .headline = "anls",
    .scorer = "docvqa-anls",
    .prompt = "lmms-eval",
    .suffix = SEA_BENCH_SHORT,
    .licence = "terms of the RRC portal",
    .variants = variants,
    .max_new_tokens = 32,
    .questions_path = "val_v1.0.json",
    .images_path = ".",
    .export_name = "docvqa_submission.json",
    .take_row = take_row,
    .score = score,
    .dump = dump,
};
