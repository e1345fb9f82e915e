/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vizwiz.c - VizWiz: questions of blind people, agreement with ten
 *
 * Variants: "llava" scores what LLaVA uploads (the text through its normaliser) as the
 * official scorer does, which normalises the answer but compares with what people wrote as it
 * stands; "off" takes the text as it is; "m4c" (lmms-eval) puts both sides through LLaVA's
 * normaliser. LLaVA's ids are its own; the official key is the picture's name.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define SUFFIX \
    "\nWhen the provided information is insufficient, respond with 'Unanswerable'." SEA_BENCH_SHORT

struct record {                 /* sea_bench_question.extra */
    struct sea_py_texts people;
    const char *answer_type;
    int answerable;             /* -1: the file does not say */
};

static enum sea_status
take_people(const struct sea_bench_table *table, const struct sea_node *row, const char *id,
            struct sea_arena *arena, struct record **out, struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(row, "answers"), *node;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));

    *out = NULL;
    if (!list)
        return SEA_OK;
    if (list->kind != SEA_NODE_LIST || list->count == 0)
        return sea_records_fail(&table->rows, id, err, SEA_E_FORMAT,
                                "field \"answers\" is not a list of answers");
    record->people.at = sea_arena_alloc(arena, list->count, sizeof(char *));
    for (node = list->first; node; node = node->next) {
        const char *text = sea_node_text(node, sea_node_text(sea_node_get(node, "answer"), NULL));

        if (!text)
            return sea_records_fail(&table->rows, id, err, SEA_E_FORMAT,
                                    "answer %zu of \"answers\" has no text \"answer\"",
                                    record->people.count);
        record->people.at[record->people.count++] = sea_arena_strdup(arena, text);
    }
    record->answer_type = sea_bench_field_text(row, "answer_type category", arena);
    record->answerable = (int)sea_node_int(sea_node_get(row, "answerable"), -1);
    *out = record;
    return SEA_OK;
}

/* A row of LLaVA's question file, or of the official test.json and val.json. */
static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    const char *text = sea_bench_field_text(row, "text", arena), *bare = NULL;
    struct record *record = NULL;
    enum sea_status status = sea_bench_need_id(table, row, "question_id image", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "image", q, arena, err);
    if (!status && !text)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &bare, err);
    if (!status)
        status = take_people(table, row, q->id, arena, &record, err);
    if (status)
        return status;
    q->prompt = text ? text : sea_arena_printf(arena, "%s" SUFFIX, bare);
    q->category = sea_bench_field_text(row, "category answer_type", arena);
    q->extra = record;
    return SEA_OK;
}

/* A row of val.json, joined by the picture. */
static enum sea_status
take_note(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
          struct sea_arena *scratch, struct sea_err *err)
{
    const struct sea_bench_notes *notes = arg;
    const char *image = sea_node_text(sea_node_get(row, "image"), "");
    struct record *record;
    enum sea_status status = take_people(table, row, image, notes->s->arena, &record, err);

    (void)scratch;
    for (size_t nth = 0; !status && record; nth++) {
        int64_t found = sea_bench_lookup_find(&notes->lookup, image, nth);

        if (found < 0)
            break;
        notes->s->questions->items[found].extra = record;
    }
    return status;
}

static enum sea_status
read_annotations(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct sea_bench_notes notes = { .s = s };
    char path[SEA_PATH_MAX];
    int64_t rows = 0;
    enum sea_status status = sea_bench_annotation(s, "val.json", NULL, true, path, err);

    sea_bench_lookup_init(&notes.lookup, s->questions, true, s->arena);
    if (!status)
        status = sea_bench_each_row(path, NULL, take_note, &notes, &rows, err);
    for (size_t i = 0; i < s->count && !status; i++) {
        const struct sea_bench_question *q = s->rows[i].question;

        if (q->extra)
            continue;
        status = sea_fail(err, SEA_E_FORMAT,
                          "annotation file \"%s\" (%lld rows) has no answers for image \"%s\" of "
                          "question \"%s\" of \"%s\" (%zu questions)", path,
                          (long long)rows, q->image ? q->image : "", q->id,
                          s->questions->path, s->count);
        sea_hint(err, "Answers of the test split are not public; use val.json, or export the "
                 "answers for the server.");
    }
    return status;
}

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static const char *
answer_type(const struct sea_bench_row *row)
{
    return record_of(row)->answer_type;
}

static bool
is_unanswerable(const char *parsed)
{
    return strcmp(parsed, "unanswerable") == 0;
}

/* F1 of saying "unanswerable" where the file says that nobody could answer. */
static double
unanswerable_f1(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;
    double tp = 0, said = 0, truth = 0;

    for (size_t i = 0; i < n; i++) {
        const struct sea_bench_row *row = &s->rows[rows[i]];
        bool gold = record_of(row)->answerable == 0;

        said += is_unanswerable(row->parsed);
        truth += gold;
        tp += gold && is_unanswerable(row->parsed);
    }
    return said + truth > 0 ? 2 * tp / (said + truth) : NAN;
}

/* Average precision of "can be answered". A text says 1 or 0 and nothing between, so the curve
 * has two points: what it calls answerable, and everything. */
static double
answerable_ap(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;
    double right = 0, said = 0, truth = 0, recall;

    for (size_t i = 0; i < n; i++) {
        const struct sea_bench_row *row = &s->rows[rows[i]];
        bool gold = record_of(row)->answerable != 0;

        said += !is_unanswerable(row->parsed);
        truth += gold;
        right += gold && !is_unanswerable(row->parsed);
    }
    if (truth == 0)
        return NAN;
    recall = right / truth;
    return (said > 0 ? recall * right / said : 0) + (1 - recall) * truth / (double)n;
}

static void
score_row(const struct sea_bench_scoring *s, struct sea_bench_row *row)
{
    const struct record *record = record_of(row);
    const char **people = record->people.at;
    bool both = strcmp(s->variant, "m4c") == 0;

    row->parsed = row->text;
    if (strcmp(s->variant, "off") != 0)
        row->parsed = sea_vqa_copy(SEA_VQA_M4C, row->parsed, s->arena);
    if (!both)
        row->parsed = sea_vqa_copy(SEA_VQA_OFF, row->parsed, s->arena);
    if (both) {
        people = sea_arena_alloc(s->arena, record->people.count, sizeof(char *));
        for (size_t i = 0; i < record->people.count; i++)
            people[i] = sea_vqa_copy(SEA_VQA_M4C, record->people.at[i], s->arena);
    }
    row->gold = people[0];
    row->score = sea_vqa_agreement(people, record->people.count, row->parsed);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    int64_t *which = sea_arena_alloc(s->arena, s->count, sizeof(*which));
    double *said = sea_arena_alloc(s->arena, s->count, sizeof(*said));
    enum sea_status status = SEA_OK;
    bool known = true;

    if (s->annotations_count > 0 || !s->rows[0].question->extra)
        status = read_annotations(s, err);
    if (status)
        return status;
    for (size_t i = 0; i < s->count; i++) {
        score_row(s, &s->rows[i]);
        known = known && record_of(&s->rows[i])->answerable >= 0;
        said[i] = is_unanswerable(s->rows[i].parsed);
        which[i] = (int64_t)i;
    }
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_mean(s, "unanswerable_share", said, which, s->count);
    if (known) {
        sea_bench_add_metric(s, "unanswerable_f1", unanswerable_f1, which, s->count);
        sea_bench_add_metric(s, "answerable_ap", answerable_ap, which, s->count);
    }
    sea_bench_add_groups(s, "answer_type", answer_type);
    return SEA_OK;
}

/* The upload: [{"image", "answer"}] in the order of the questions, answers normalised. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    sea_buf_puts(out, "[");
    for (size_t i = 0; i < s->count; i++) {
        const struct sea_bench_question *q = s->rows[i].question;
        const char *answer = sea_vqa_copy(SEA_VQA_M4C, s->rows[i].text, s->arena);
        const char *image = q->image ? q->image : q->picture;

        if (!image)
            return sea_fail(err, SEA_E_FORMAT, "question \"%s\" has no name of a picture, which "
                            "uploads are about", q->id);
        sea_buf_puts(out, i ? ", {\"image\": " : "{\"image\": ");
        sea_json_quote(out, image, strlen(image));
        sea_buf_puts(out, ", \"answer\": ");
        sea_json_quote(out, answer, strlen(answer));
        sea_buf_puts(out, "}");
    }
    sea_buf_puts(out, "]\n");
    return SEA_OK;
}

static const char *const variants[] = { "llava", "off", "m4c", NULL };

const struct sea_bench sea_bench_vizwiz = {
    .name = "vizwiz",
    .about = "questions of blind people about their photos, agreement with ten",
    .headline = "accuracy",
    .scorer = "vizwiz-official",
    .prompt = "llava-1.5",
    .suffix = SUFFIX,
    .licence = "CC BY 4.0 (confirm)",
    .variants = variants,
    .max_new_tokens = 128,
    .questions_path = "llava_test.jsonl",
    .images_path = "test",
    .export_name = "vizwiz_upload.json",
    .take_row = take_row,
    .score = score,
    .dump = dump,
};
