/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cvbench.c - CV-Bench: counting, relations, depth and distance
 *
 * 2D = (accuracy on ADE20K + accuracy on COCO) / 2, 3D = accuracy on Omni3D, and the headline
 * is their mean; plain accuracies of both parts are reported, too.
 */
#include <math.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    const char *source, *task, *kind;   /* ADE20K...; Count...; 2D, 3D */
};

static const char *
make_prompt(const struct sea_node *row, const struct record *record, struct sea_arena *arena)
{
    const char *published = sea_bench_field_text(row, "prompt", arena);
    const char *question = sea_bench_field_text(row, "question", arena);
    struct sea_buf letters;
    const char *out;

    sea_buf_init(&letters, 1 << 20);
    for (int i = 0; i < record->choice.count; i++)
        sea_buf_addf(&letters, "%s%c", i ? ", " : "", 'A' + i);
    out = sea_arena_printf(arena, "Note: You only need to respond with %s without providing any "
                           "additional information.\n%s", letters.len ? letters.data : "",
                           published ? published
                                     : sea_choice_prompt(&record->choice,
                                                         question ? question : "", true, "",
                                                         arena));
    sea_buf_release(&letters);
    return out;
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    enum sea_status status = sea_bench_need_id(table, row, "idx index question_id", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "image filename image_path", q, arena, err);
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "source", arena, &record->source, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    record->choice.answer = sea_choice_answer(&record->choice, row, "answer", false);
    record->task = sea_bench_field_text(row, "task category", arena);
    record->kind = sea_bench_field_text(row, "type", arena);
    if (!record->kind)
        record->kind = strcmp(record->source, "Omni3D") == 0 ? "3D" : "2D";
    if (record->choice.count < 2 || record->choice.answer < 0)
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "%d choices and answer \"%.20s\", expected 2 or more and \"(A)\"",
                                record->choice.count,
                                sea_node_text(sea_node_get(row, "answer"), ""));
    q->prompt = make_prompt(row, record, arena);
    q->category = record->task;
    q->extra = record;
    return SEA_OK;
}

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static double
of_source(const struct sea_bench_scoring *s, const int64_t *rows, size_t n, const char *source)
{
    double right = 0, asked = 0;

    for (size_t i = 0; i < n; i++)
        if (strcmp(record_of(&s->rows[rows[i]])->source, source) == 0) {
            right += s->rows[rows[i]].score;
            asked++;
        }
    return asked > 0 ? right / asked : NAN;
}

static double
flat(void *arg, const int64_t *rows, size_t n)
{
    return (of_source(arg, rows, n, "ADE20K") + of_source(arg, rows, n, "COCO")) / 2;
}

static double
deep(void *arg, const int64_t *rows, size_t n)
{
    return of_source(arg, rows, n, "Omni3D");
}

static double
overall(void *arg, const int64_t *rows, size_t n)
{
    double two = flat(arg, rows, n), three = deep(arg, rows, n);

    return isnan(two) ? three : isnan(three) ? two : (two + three) / 2;
}

static const char *
kind_of(const struct sea_bench_row *row)
{
    return record_of(row)->kind;
}

static const char *
source_of(const struct sea_bench_row *row)
{
    return record_of(row)->source;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++)
        sea_choice_score(s, &s->rows[i], &record_of(&s->rows[i])->choice, s->variant);
    sea_bench_add_metric_all(s, "overall", overall);
    sea_bench_add_metric_all(s, "2d", flat);
    sea_bench_add_metric_all(s, "3d", deep);
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_groups(s, "plain", kind_of);
    sea_bench_add_groups(s, "source", source_of);
    sea_bench_add_groups(s, "task", sea_bench_category_of);
    return SEA_OK;
}

static const char *const variants[] = { "start", "extract", "exact", NULL };

const struct sea_bench sea_bench_cvbench = {
    .name = "cv-bench",
    .about = "counting, relations, depth and distance",
    .headline = "overall",
    .scorer = "cv-bench",
    .prompt = "lmms-eval",
    .licence = "Apache-2.0",
    .variants = variants,
    .max_new_tokens = 1024,
    .questions_path = "cv_bench.jsonl",
    .images_path = "images",
    .take_row = take_row,
    .score = score,
};
