/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gqa.c - GQA: exact match over the balanced questions
 *
 * Variants: "llava" (periods at the end go, lower case), "lmms" (lower case and no ASCII
 * punctuation, on both sides), "vlmeval" (stripped, lower case: a period at the end is wrong).
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define DOCUMENT_BYTES_MAX ((size_t)4 << 30)

struct record {                 /* sea_bench_question.extra */
    const char *structural, *semantic;
    bool is_balanced;
};

/* A row of LLaVA's file, or a record of the official question file. */
static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    const char *text = sea_bench_field_text(row, "text", arena), *question = NULL;
    const char *picture = sea_bench_field_text(row, "imageId", arena);
    enum sea_status status = sea_bench_need_id(table, row, "question_id index", q, arena, err);

    if (!status && !text)
        status = sea_bench_need_text(table, row, q->id, table->key ? "question" : "text question",
                                     arena, &question, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (status)
        return status;
    if (!q->has_image && picture) {
        q->image = sea_arena_printf(arena, "%s.jpg", picture);
        q->has_image = true;
    }
    if (q->image && !sea_path_is_inside(q->image))
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "field \"imageId\" is \"%.120s\", expected a name", picture);
    q->prompt = text ? text : sea_arena_printf(arena, "%s" SEA_BENCH_SHORT, question);
    q->category = sea_bench_field_text(row, "category", arena);
    return SEA_OK;
}

/* LLaVA's converter: no periods at the end, lower case. */
static const char *
parse(const char *text, struct sea_arena *arena)
{
    size_t n = strlen(text);
    struct sea_buf lower;
    const char *out;

    while (n > 0 && text[n - 1] == '.')
        n--;
    sea_buf_init(&lower, 4 * n + 64);
    sea_text_lower(sea_arena_strndup(arena, text, n), &lower);
    out = sea_arena_strndup(arena, lower.data, lower.len);
    sea_buf_release(&lower);
    return out;
}

/* Lower case without ASCII punctuation. */
static const char *
without_marks(const char *text, struct sea_arena *arena)
{
    char *out = sea_arena_strdup(arena, sea_text_tidy(text, true, false, arena)), *to = out;

    for (const char *c = out; *c; c++)
        if ((unsigned char)*c >= 0x80 || !ispunct((unsigned char)*c))
            *to++ = *c;
    *to = 0;
    return out;
}

static enum sea_status
read_records(struct sea_bench_scoring *s, struct record *records, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "gqa records");
    const struct sea_node *const *found;
    char path[SEA_PATH_MAX];
    struct sea_node *top = NULL;
    enum sea_status status;

    status = sea_bench_annotation(s, "testdev_balanced_questions.json", "data", true, path, err);
    if (!status)
        status = sea_hub_document(path, DOCUMENT_BYTES_MAX, scratch, &top, err);
    if (!status && top->kind != SEA_NODE_MAP)
        status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" is a %s, expected {id: record, ...}",
                          path, sea_node_kind_name(top->kind));
    found = sea_bench_members(s, status ? NULL : top, scratch);
    for (size_t i = 0; i < s->count && !status; i++) {
        const char *answer = sea_node_text(sea_node_get(found[i], "answer"), NULL);

        if (!answer) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "file \"%s\" (%zu records) has no answer for question \"%s\" of "
                              "\"%s\" (%zu questions)", path, top->count,
                              s->rows[i].question->id, s->questions->path, s->count);
            sea_hint(err, "Question file and annotations are of different versions.");
            break;
        }
        s->rows[i].gold = sea_arena_strdup(s->arena, answer);
        records[i] = (struct record){
            .structural = sea_arena_strdup(
                s->arena, sea_node_text(sea_node_path(found[i], "types.structural"), "")),
            .semantic = sea_arena_strdup(
                s->arena, sea_node_text(sea_node_path(found[i], "types.semantic"), "")),
            .is_balanced = sea_node_bool(sea_node_get(found[i], "isBalanced"), true),
        };
        s->questions->items[i].extra = &records[i];
    }
    sea_arena_destroy(scratch);
    return status;
}

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static bool
is_open(const struct sea_bench_row *row, const void *unused)
{
    (void)unused;
    return row->is_unit && strcmp(record_of(row)->structural, "query") == 0;
}

static bool
is_binary(const struct sea_bench_row *row, const void *unused)
{
    return row->is_unit && !is_open(row, unused);
}

static const char *
structural(const struct sea_bench_row *row)
{
    return row->is_unit ? record_of(row)->structural : NULL;
}

static const char *
semantic(const struct sea_bench_row *row)
{
    return row->is_unit ? record_of(row)->semantic : NULL;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct record *records = sea_arena_alloc(s->arena, s->count, sizeof(*records));
    enum sea_status status = read_records(s, records, err);

    if (status)
        return status;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const char *gold = row->gold;

        if (strcmp(s->variant, "lmms") == 0) {
            row->parsed = without_marks(row->text, s->arena);
            gold = without_marks(gold, s->arena);
        } else if (strcmp(s->variant, "vlmeval") == 0) {
            row->parsed = sea_text_tidy(row->text, true, true, s->arena);
            gold = sea_text_tidy(gold, true, true, s->arena);
        } else {
            row->parsed = parse(row->text, s->arena);
        }
        row->score = strcmp(row->parsed, gold) == 0;
        row->is_unit = records[i].is_balanced;
    }
    sea_bench_add_score(s, "accuracy", sea_bench_is_unit, NULL);
    sea_bench_add_score(s, "open", is_open, NULL);
    sea_bench_add_score(s, "binary", is_binary, NULL);
    sea_bench_add_yes_share(s, "yes_share", sea_bench_is_yes_no, NULL);
    sea_bench_add_groups(s, "structural", structural);
    sea_bench_add_groups(s, "semantic", semantic);
    return SEA_OK;
}

/* testdev_balanced_predictions.json for the official eval.py. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    (void)err;
    sea_buf_puts(out, "[");
    for (size_t i = 0; i < s->count; i++) {
        const char *id = s->rows[i].question->id, *word = parse(s->rows[i].text, s->arena);

        sea_buf_puts(out, i ? ",\n{\"questionId\": " : "\n{\"questionId\": ");
        sea_json_quote(out, id, strlen(id));
        sea_buf_puts(out, ", \"prediction\": ");
        sea_json_quote(out, word, strlen(word));
        sea_buf_puts(out, "}");
    }
    sea_buf_puts(out, "\n]\n");
    return SEA_OK;
}

static const char *const variants[] = { "llava", "lmms", "vlmeval", NULL };

const struct sea_bench sea_bench_gqa = {
    .name = "gqa",
    .about = "short answers about scenes, exact match",
    .headline = "accuracy",
    .scorer = "gqa-official",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_SHORT,
    .licence = "CC BY 4.0 (confirm)",
    .variants = variants,
    .max_new_tokens = 128,
    .needs_annotations = true,
    .questions_path = "llava_gqa_testdev_balanced.jsonl",
    .annotations_path = "data/testdev_balanced_questions.json",
    .images_path = "data/images",
    .export_name = "testdev_balanced_predictions.json",
    .take_row = take_row,
    .score = score,
    .dump = dump,
};
