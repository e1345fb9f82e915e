/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ocrbench.c - OCRBench: is one of the answers a part of what the model wrote
 *
 * Lowered, stripped, newlines as blanks; for handwritten formulas (HME100k) case counts and
 * all blanks go. The headline counts right answers, 0 to 1000. Variants: "official"; "lmms"
 * folds full-width forms to ASCII first (not for formulas).
 */
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct record {                 /* sea_bench_question.extra */
    struct sea_py_texts golds;
    bool is_formula;
};

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *source = sea_bench_field_text(row, "dataset_name dataset", arena);
    const char *kind = sea_bench_field_text(row, "type question_type category", arena);
    enum sea_status status = SEA_OK;

    if (sea_bench_field(row, "question_id id index"))
        status = sea_bench_need_id(table, row, "question_id id index", q, arena, err);
    else
        q->id = sea_arena_printf(arena, "%lld", (long long)table->rows.index);
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &q->prompt, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image_path image", q, arena, err);
    if (status)
        return status;
    sea_py_texts_of(sea_bench_field(row, "answers answer"), arena, &record->golds);
    if (record->golds.count == 0)
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "field \"answers\" is missing, expected a text or a list");
    record->is_formula = source ? strcmp(source, "HME100k") == 0
                                : kind && strstr(kind, "Mathematical Expression");
    q->category = kind;
    q->gold = record->golds.at[0];
    q->extra = record;
    return SEA_OK;
}

/* Full-width ASCII and the ideographic blank become ASCII. */
static const char *
fold(const char *text, struct sea_arena *arena)
{
    char *out = sea_arena_alloc(arena, strlen(text) + 1, 1), *to = out;

    while (*text) {
        const char *here = text;
        uint32_t code = sea_text_next(&text);

        if (code >= 0xFF01 && code <= 0xFF5E) {
            *to++ = (char)(code - 0xFEE0);
        } else if (code == 0x3000) {
            *to++ = ' ';
        } else {
            memcpy(to, here, (size_t)(text - here));
            to += text - here;
        }
    }
    return out;
}

static const char *
tidy(const char *text, const struct record *record, bool folds, struct sea_arena *arena)
{
    char *copy, *to;

    if (!record->is_formula && folds)
        text = fold(text, arena);
    text = sea_text_tidy(text, !record->is_formula, true, arena);
    copy = to = sea_arena_strdup(arena, text);
    for (const char *c = text; *c; c++)
        if (!record->is_formula)
            *to++ = *c == '\n' ? ' ' : *c;
        else if (*c != '\n' && *c != ' ')
            *to++ = *c;
    *to = 0;
    return copy;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    bool folds = strcmp(s->variant, "lmms") == 0;
    double *right = sea_arena_alloc(s->arena, s->count, sizeof(*right));
    int64_t *which = sea_arena_alloc(s->arena, s->count, sizeof(*which));

    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const struct record *record = row->question->extra;

        row->parsed = tidy(row->text, record, folds, s->arena);
        row->gold = record->golds.at[0];
        for (size_t g = 0; g < record->golds.count; g++)
            if (strstr(row->parsed, tidy(record->golds.at[g], record, folds, s->arena)))
                row->score = 1;
        right[i] = row->score;
        which[i] = (int64_t)i;
    }
    sea_bench_add_mean(s, "score", right, which, s->count)->scale = (double)s->count;
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_groups(s, "type", sea_bench_category_of);
    return SEA_OK;
}

static const char *const variants[] = { "official", "lmms", NULL };

const struct sea_bench sea_bench_ocrbench = {
    .name = "ocrbench",
    .about = "reading text of ten kinds, a thousand questions",
    .headline = "score",
    .scorer = "ocrbench",
    .prompt = "as published",
    .licence = "MIT",
    .variants = variants,
    .max_new_tokens = 128,
    .questions_path = "OCRBench.json",
    .images_path = "OCRBench_Images",
    .take_row = take_row,
    .score = score,
};
