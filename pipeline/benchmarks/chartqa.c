/* SPDX-License-Identifier: Apache-2.0 */
/*
 * chartqa.c - ChartQA: relaxed accuracy, numbers may be five per cent off
 *
 * Both texts are read as numbers, one that ends in "%" as a hundredth; where both are and the
 * gold number is not 0, |p - t| / |t| <= 0.05 decides, in doubles; else equality of the lowered
 * texts. So a year that is next to the right one passes, "1,000" is a text, and "50%" equals
 * 0.5 but not 50. Variants: "lmms" takes the answer as it is, "stripped" (VLMEvalKit) without
 * white space at its ends.
 *
 * Questions: a folder with test_human.json and test_augmented.json, one such file, or rows
 * with "type".
 */
#include <math.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define SUFFIX "\nAnswer the question with a single word."
#define TOLERANCE 0.05

static const char *
kind_of_file(const char *path)
{
    const char *slash = strrchr(path, '/'), *name = slash ? slash + 1 : path;

    return strstr(name, "human") ? "human" : strstr(name, "augmented") ? "augmented" : NULL;
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    const char *kind = sea_bench_field_text(row, "type split", arena), *question = NULL;
    enum sea_status status;

    if (!kind)
        kind = kind_of_file(table->rows.path);
    else if (strstr(kind, "human") || strstr(kind, "augmented"))
        kind = strstr(kind, "human") ? "human" : "augmented";
    q->category = kind;
    if (sea_bench_field(row, "question_id id index")) {
        status = sea_bench_need_id(table, row, "question_id id index", q, arena, err);
    } else {                    /* the published files have no ids */
        q->id = sea_arena_printf(arena, "%s%s%lld", kind ? kind : "", kind ? "/" : "",
                                 (long long)table->rows.index);
        status = SEA_OK;
    }
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "query question", arena, &question, err);
    if (!status && !sea_node_get(row, "label") && !sea_node_get(row, "answer"))
        status = sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                  "field \"label\" is missing, expected a text");
    if (!status)
        status = sea_bench_need_image(table, row, "imgname image image_path", q, arena, err);
    if (status)
        return status;
    q->gold = sea_bench_field_text(row, "label answer", arena);
    if (!q->gold)               /* "" can be an answer */
        q->gold = "";
    q->prompt = sea_arena_printf(arena, "%s" SUFFIX, question);
    return SEA_OK;
}

static enum sea_status
load(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    static const char *const files[] = { "test_human.json", "test_augmented.json" };
    const char *folder = questions->path;
    struct sea_hash *hash;
    enum sea_status status = SEA_OK;

    if (!sea_dir_exists(folder))
        return sea_bench_load_rows(questions, limit, take_row, err);
    hash = sea_hash_create();
    for (int i = 0; i < 2 && !status; i++) {
        char digest[SEA_SHA256_TEXT];

        questions->path = sea_arena_printf(questions->arena, "%s/%s", folder, files[i]);
        status = sea_hash_file(questions->path, digest, NULL, err);
        if (!status)
            sea_hash_add_field(hash, digest);
        if (!status)            /* of each kind the first so many */
            status = sea_bench_load_rows(questions, limit ? limit + (int64_t)questions->count : 0,
                                         take_row, err);
    }
    questions->path = folder;
    sea_hash_finish(hash, questions->digest);
    sea_hash_destroy(hash);
    return status;
}

static bool
to_number(const char *text, struct sea_arena *arena, double *out)
{
    size_t n = strlen(text);
    bool percent = n && text[n - 1] == '%';

    while (percent && n && text[n - 1] == '%')
        n--;
    if (!sea_py_float(sea_arena_strndup(arena, text, n), out))
        return false;
    *out = percent ? *out / 100.0 : *out;
    return true;
}

static bool
is_close(const char *said, const char *gold, struct sea_arena *arena)
{
    double p, t;

    if (to_number(said, arena, &p) && to_number(gold, arena, &t) && t != 0)
        return fabs(p - t) / fabs(t) <= TOLERANCE;
    return strcmp(sea_text_tidy(said, true, false, arena),
                  sea_text_tidy(gold, true, false, arena)) == 0;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    bool strip = strcmp(s->variant, "stripped") == 0;

    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];

        row->parsed = strip ? sea_text_tidy(row->text, false, true, s->arena) : row->text;
        row->gold = row->question->gold;
        row->score = is_close(row->parsed, row->gold, s->arena);
    }
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_groups(s, "type", sea_bench_category_of);
    return SEA_OK;
}

static const char *const variants[] = { "lmms", "stripped", NULL };

const struct sea_bench sea_bench_chartqa = {
    .name = "chartqa",
    .about = "charts, numbers may be five per cent off",
    .headline = "accuracy",
    .scorer = "chartqa-relaxed",
    .prompt = "lmms-eval",
    .suffix = SUFFIX,
    .licence = "GPL-3.0",
    .variants = variants,
    .max_new_tokens = 16,
    .takes_folder = true,
    .questions_path = "test",
    .images_path = "test/png",
    .load = load,
    .score = score,
};
