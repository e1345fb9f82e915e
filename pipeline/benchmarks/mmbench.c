/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmbench.c - MMBench, English and Chinese: each question in all rotations of its options
 *
 * The TSV holds questions and pictures. Rows with index = base + 1000000 * k are rotations
 * of one question, which counts only when every one of them is answered rightly. Variants are
 * parsers of choice.c: "exact", "ladder" (VLMEvalKit before its judge), "tokens" (lmms-eval
 * before its judge), "static" (lmms-eval without one). What they do not resolve is wrong, and counted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"
#include "pipeline/benchmarks/xlsx_int.h"

#define ROTATION 1000000
#define OPTIONS 4
#define CHINESE "\n\xE8\xAF\xB7\xE7\x9B\xB4\xE6\x8E\xA5\xE5\x9B\x9E\xE7\xAD\x94\xE9\x80\x89\xE9" \
                "\xA1\xB9\xE5\xAD\x97\xE6\xAF\x8D\xE3\x80\x82"

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    int pass;                   /* which rotation */
    const char *question, *group, *split;       /* group: l2-category */
};

static const char *
make_prompt(const struct sea_bench *bench, const struct record *record, const char *hint,
            struct sea_arena *arena)
{
    const char *question = record->question;

    if (hint)
        question = sea_arena_printf(arena, "%s\n%s", hint, question);
    return sea_choice_prompt(&record->choice, question, false, bench->suffix, arena);
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    static const char *const letters[] = { "A", "B", "C", "D" };
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *gold = sea_bench_cell_text(row, "answer", arena);
    int64_t index = -1;
    enum sea_status status = sea_bench_need_column(table, "A", err);

    if (!status)
        status = sea_bench_need_id(table, row, "index", q, arena, err);
    if (!status && (!sea_py_int(q->id, &index) || index < 0))
        status = sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                  "expected a whole number in column \"index\"");
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &record->question,
                                     err);
    if (!status)
        status = sea_bench_need_image(table, row, "image", q, arena, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    record->choice.answer = gold ? sea_choice_answer(&record->choice, row, "answer", false) : -1;
    if (record->choice.count < 2 || record->choice.count > OPTIONS ||
        (gold && record->choice.answer < 0))
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "%d options and answer \"%.20s\", expected 2 to 4 options and "
                                "the letter of one", record->choice.count, gold ? gold : "");
    record->pass = (int)(index / ROTATION);
    record->group = sea_bench_cell_text(row, "l2-category L2-category l2_category", arena);
    record->split = sea_bench_cell_text(row, "split", arena);
    q->gold = record->choice.answer < 0 ? NULL : letters[record->choice.answer];
    q->prompt = make_prompt(questions->bench, record,
                            sea_bench_cell_text(row, "hint", arena), arena);
    q->cluster = sea_arena_printf(arena, "%lld", (long long)(index % ROTATION));
    q->category = sea_bench_cell_text(row, "category", arena);
    q->extra = record;
    return SEA_OK;
}

static enum sea_status
load(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    enum sea_status status = sea_bench_load_rows(questions, 0, take_row, err);

    if (!status && limit)
        sea_bench_cut(questions, limit);
    return status;
}

/* ---- scores ---- */

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static const char *
group_of(const struct sea_bench_row *row)
{
    return row->is_unit ? record_of(row)->group : NULL;
}

/* The first pass of each question stands for it: its score becomes "every pass right". */
static void
join_passes(struct sea_bench_scoring *s)
{
    size_t *unit = sea_xcalloc(s->count + 1, sizeof(*unit));
    bool *seen = sea_xcalloc(s->count + 1, sizeof(*seen)),
         *wrong = sea_xcalloc(s->count + 1, sizeof(*wrong));

    for (size_t i = 0; i < s->count; i++) {
        size_t c = (size_t)s->cluster[i];

        wrong[c] |= s->rows[i].score == 0;
        s->rows[i].is_unit = false;
        if (!seen[c] || record_of(&s->rows[i])->pass < record_of(&s->rows[unit[c]])->pass)
            unit[c] = i;
        seen[c] = true;
    }
    for (size_t c = 0; c < s->count && seen[c]; c++) {
        s->rows[unit[c]].is_unit = true;
        s->rows[unit[c]].score = !wrong[c];
    }
    free(unit);
    free(seen);
    free(wrong);
}

/* Accuracy of the passes number 0 alone: the number that is uploaded by mistake. */
static void
add_vanilla(struct sea_bench_scoring *s)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    double *right = sea_xcalloc(s->count + 1, sizeof(*right));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (record_of(&s->rows[i])->pass == 0) {
            right[n] = s->rows[i].gold[0] && strcmp(s->rows[i].parsed, s->rows[i].gold) == 0;
            which[n++] = (int64_t)i;
        }
    if (n)
        sea_bench_add_mean(s, "vanilla_accuracy", right, which, n);
    free(which);
    free(right);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        enum sea_status status;

        sea_choice_score(s, row, &record_of(row)->choice, s->variant);
        if (row->question->gold)
            continue;
        status = sea_fail(err, SEA_E_FORMAT,
                          "question \"%s\" of \"%s\" has no answer in column \"answer\"",
                          row->question->id, s->questions->path);
        sea_hint(err, "Answers of the test split are not public; use the dev split, or export "
                 "the answers for the server.");
        return status;
    }
    join_passes(s);
    sea_bench_add_score(s, "circular_accuracy", sea_bench_is_unit, NULL);
    add_vanilla(s);
    sea_bench_add_groups(s, "l2", group_of);
    sea_bench_add_groups(s, "category", sea_bench_category_of);
    return SEA_OK;
}

/* The workbook that the server takes: the table's columns about question, options and split,
 * with the prediction before the right answer, which test splits do not have. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    static const char *const names[] = { "index", "question", "A", "B", "C", "D", "prediction" };
    struct sea_xlsx_writer sheet;
    bool answered = false, split = false;

    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        answered = answered || s->rows[i].question->gold;
        split = split || record_of(&s->rows[i])->split;
    }
    sea_xlsx_begin(&sheet);
    sea_xlsx_row(&sheet);
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        sea_xlsx_text(&sheet, names[i]);
    if (answered)
        sea_xlsx_text(&sheet, "answer");
    if (split)
        sea_xlsx_text(&sheet, "split");
    for (size_t i = 0; i < s->count; i++) {
        const struct sea_bench_row *row = &s->rows[i];
        const struct record *record = record_of(row);

        sea_xlsx_row(&sheet);
        sea_xlsx_number(&sheet, row->question->id);
        sea_xlsx_text(&sheet, record->question);
        for (int o = 0; o < OPTIONS; o++)
            sea_xlsx_text(&sheet, o < record->choice.count ? record->choice.options[o] : NULL);
        sea_xlsx_text(&sheet, row->text);
        if (answered)
            sea_xlsx_text(&sheet, row->question->gold);
        if (split)
            sea_xlsx_text(&sheet, record->split);
    }
    sea_xlsx_finish(&sheet, out);
    return SEA_OK;
}

static const char *const variants[] = { "exact", "ladder", "tokens", "static", NULL };

const struct sea_bench sea_bench_mmbench = {
    .name = "mmbench",
    .about = "multiple choice, right only in every rotation of the options",
    .headline = "circular_accuracy",
    .scorer = "mmbench-circular",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_LETTER,
    .licence = "Apache-2.0",
    .variants = variants,
    .max_new_tokens = 1024,
    .questions_path = "mmbench_dev_20230712.tsv",
    .export_name = "mmbench_upload.xlsx",
    .load = load,
    .score = score,
    .dump = dump,
};

const struct sea_bench sea_bench_mmbench_cn = {
    .name = "mmbench-cn",
    .about = "MMBench in Chinese",
    .headline = "circular_accuracy",
    .scorer = "mmbench-circular",
    .prompt = "llava-1.5",
    .suffix = CHINESE,
    .licence = "Apache-2.0",
    .variants = variants,
    .max_new_tokens = 1024,
    .questions_path = "mmbench_dev_cn_20231003.tsv",
    .export_name = "mmbench_cn_upload.xlsx",
    .load = load,
    .score = score,
    .dump = dump,
};
