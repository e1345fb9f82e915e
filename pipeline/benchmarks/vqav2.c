/* SPDX-License-Identifier: Apache-2.0 */
/*
 * vqav2.c - VQAv2: agreement with ten people
 *
 * Variants: "llava" scores what LLaVA uploads (the text through its normaliser), "off" the
 * text as it is. Both then follow the official scorer, which compares exactly when all
 * people agree and normalises both sides when they do not.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PEOPLE_MAX 64

struct record {                 /* sea_bench_question.extra */
    const char **answers;       // (count)
    size_t count;
    const char *answer_type, *question_type;
};

/* A row of LLaVA's file, or of the official one, whose pictures are numbered. */
static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    static const char *const subsets[] = { "val2014", "train2014", "test2015" };
    struct sea_arena *arena = questions->arena;
    const char *text = sea_bench_field_text(row, "text", arena), *question = NULL;
    int64_t number = sea_node_int(sea_node_get(row, "image_id"), -1);
    enum sea_status status = sea_bench_need_id(table, row, "question_id index", q, arena, err);

    if (!status && !text)
        status = sea_bench_need_text(table, row, q->id, number >= 0 ? "question" : "text question",
                                     arena, &question, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (status)
        return status;
    for (size_t i = 0; i < 3 && !q->has_image && number >= 0; i++)
        if (strstr(questions->path, subsets[i])) {
            q->image = sea_arena_printf(arena, "COCO_%s_%012lld.jpg", subsets[i],
                                        (long long)number);
            q->has_image = true;
        }
    q->prompt = text ? text : sea_arena_printf(arena, "%s" SEA_BENCH_SHORT, question);
    q->category = sea_bench_field_text(row, "category", arena);
    if (number >= 0 && !q->has_image)
        q->cluster = sea_arena_printf(arena, "%lld", (long long)number);
    return SEA_OK;
}

/* Newline and tab become blanks, the ends are stripped. */
static const char *
tidy(const char *text, struct sea_arena *arena)
{
    size_t n = strlen(text);
    char *copy = sea_arena_strndup(arena, text, n);
    const char *from = copy;

    for (size_t i = 0; i < n; i++)
        copy[i] = copy[i] == '\n' || copy[i] == '\t' ? ' ' : copy[i];
    sea_text_strip(&from, &n);
    return sea_arena_strndup(arena, from, n);
}

/* People say the same: one copy of it is enough. */
static const char *
known_answer(const struct record *record, const char *answer)
{
    for (size_t i = 0; i < record->count; i++)
        if (strcmp(record->answers[i], answer) == 0)
            return record->answers[i];
    return NULL;
}

/* The same from the row's text, without parsing it whole; false: let the parser look. */
static bool
read_people_fast(const char *text, size_t len, struct sea_arena *arena, struct sea_arena *scratch,
                 struct record *record)
{
    const char *at, *end, *piece, *type, *question;
    size_t n, type_len, question_len;

    at = sea_records_raw(text, len, "answers", &n);
    type = sea_records_raw(text, len, "answer_type", &type_len);
    question = sea_records_raw(text, len, "question_type", &question_len);
    if (!at || *at != '[' || !type || !question)
        return false;
    end = at++ + n;
    record->answers = sea_arena_alloc(arena, 10, sizeof(char *));
    while ((piece = sea_records_raw_next(&at, end, &n)) != NULL) {
        const char *raw = sea_records_raw(piece, n, "answer", &n), *answer;

        answer = raw ? sea_records_raw_text(raw, n, scratch) : NULL;
        if (!answer || record->count == 10)
            return false;
        record->answers[record->count] = known_answer(record, answer);
        if (!record->answers[record->count])
            record->answers[record->count] = tidy(answer, arena);
        record->count++;
    }
    record->answer_type = sea_records_raw_text(type, type_len, arena);
    record->question_type = sea_records_raw_text(question, question_len, arena);
    return at && record->count > 0 && record->answer_type && record->question_type;
}

static enum sea_status
read_people(const struct sea_records *rows, const char *id, const struct sea_node *row,
            struct sea_arena *arena, struct record *record, struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(row, "answers"), *node;

    if (!list || list->kind != SEA_NODE_LIST || list->count < 1 || list->count > PEOPLE_MAX)
        return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                "field \"answers\" is not a list of 1 to %d answers", PEOPLE_MAX);
    record->answers = sea_arena_alloc(arena, list->count, sizeof(char *));
    for (node = list->first; node; node = node->next) {
        const char *answer = sea_node_text(sea_node_get(node, "answer"), NULL);

        if (!answer)
            return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                    "answer %zu of \"answers\" has no text \"answer\"",
                                    record->count);
        record->answers[record->count] = known_answer(record, answer);
        if (!record->answers[record->count])
            record->answers[record->count] = tidy(answer, arena);
        record->count++;
    }
    record->answer_type =
        sea_arena_strdup(arena, sea_node_text(sea_node_get(row, "answer_type"), ""));
    record->question_type =
        sea_arena_strdup(arena, sea_node_text(sea_node_get(row, "question_type"), ""));
    return SEA_OK;
}

struct key {
    const char *id;
    size_t index;
};

static int
by_id(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->id, ((const struct key *)b)->id);
}

static enum sea_status
read_annotation(struct sea_bench_scoring *s, const struct sea_records *rows, const char *text,
                size_t len, const struct key *keys, struct record *records,
                struct sea_arena *scratch, struct sea_err *err)
{
    struct sea_err inner = { 0 };
    struct sea_node *row;
    struct key key = { NULL, 0 }, *found;
    size_t n;
    const char *raw = sea_records_raw(text, len, "question_id", &n);
    enum sea_status status = SEA_OK;
    bool simple = raw && n < 18 && strspn(raw, "0123456789") == n;

    if (simple) {
        key.id = sea_arena_strndup(scratch, raw, n);
    } else {
        status = sea_json_parse(text, len, "row", scratch, &row, &inner);
        if (status)
            return sea_records_fail(rows, NULL, err, status, "%s", inner.message);
        status = sea_records_id(rows, row, "question_id", scratch, &key.id, NULL, err);
        if (status)
            return status;
    }
    found = bsearch(&key, keys, s->count, sizeof(key), by_id);
    if (!found || records[found->index].count ||
        read_people_fast(text, len, s->arena, scratch, &records[found->index]))
        return SEA_OK;
    records[found->index] = (struct record){ 0 };
    status = sea_json_parse(text, len, "row", scratch, &row, &inner);
    if (status)
        return sea_records_fail(rows, NULL, err, status, "%s", inner.message);
    return read_people(rows, key.id, row, s->arena, &records[found->index], err);
}

static enum sea_status
read_annotations(struct sea_bench_scoring *s, struct record *records, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(s->arena, "row");
    struct key *keys = sea_xcalloc(s->count + 1, sizeof(*keys));
    struct sea_records rows = { .index = 0 };
    char path[SEA_PATH_MAX];
    enum sea_status status;

    for (size_t i = 0; i < s->count; i++)
        keys[i] = (struct key){ s->rows[i].question->id, i };
    qsort(keys, s->count, sizeof(*keys), by_id);
    status = sea_bench_annotation(s, "v2_mscoco_val2014_annotations.json", NULL, true, path, err);
    if (!status)
        status = sea_records_open_member(&rows, path, "annotations", err);
    while (!status) {
        const char *text;
        size_t len;

        sea_arena_reset(scratch);
        status = sea_records_next_text(&rows, &text, &len, err);
        if (status || len == 0)
            break;
        status = read_annotation(s, &rows, text, len, keys, records, scratch, err);
    }
    for (size_t i = 0; i < s->count && !status; i++) {
        if (records[i].count) {
            s->questions->items[i].extra = &records[i];
            continue;
        }
        status = sea_fail(err, SEA_E_FORMAT,
                          "annotation file \"%s\" (%lld rows) has no answers for question \"%s\" "
                          "of \"%s\" (%zu questions)", path, (long long)rows.index + 1,
                          s->rows[i].question->id, s->questions->path, s->count);
        sea_hint(err, "Answers of test-dev are not public; use the val2014 questions and "
                 "annotations.");
    }
    sea_records_close(&rows);
    free(keys);
    sea_arena_destroy(scratch);
    return status;
}

/* The most frequent answer, the first among equals: shown as gold. */
static const char *
most_frequent(const struct record *record)
{
    size_t best = 0, most = 0;

    for (size_t i = 0; i < record->count; i++) {
        size_t times = 0;

        for (size_t j = 0; j < record->count; j++)
            times += strcmp(record->answers[i], record->answers[j]) == 0;
        if (times > most) {
            most = times;
            best = i;
        }
    }
    return record->answers[best];
}

/* What people said, each through the normaliser once. */
static void
normalize_people(const struct record *record, const char *out[PEOPLE_MAX],
                 struct sea_arena *arena)
{
    for (size_t i = 0; i < record->count; i++) {
        size_t j = 0;

        while (record->answers[j] != record->answers[i])
            j++;
        out[i] = j < i ? out[j] : sea_vqa_copy(SEA_VQA_OFF, record->answers[i], arena);
    }
}

static void
score_row(struct sea_bench_scoring *s, struct sea_bench_row *row, struct sea_arena *scratch)
{
    const struct record *record = row->question->extra;
    const char *text = row->text, *people[PEOPLE_MAX];
    bool differ = false;

    if (strcmp(s->variant, "llava") == 0)
        text = sea_vqa_copy(SEA_VQA_M4C, text, s->arena);
    text = tidy(text, s->arena);
    for (size_t i = 1; i < record->count; i++)
        differ |= strcmp(record->answers[i], record->answers[0]) != 0;
    row->parsed = differ ? sea_vqa_copy(SEA_VQA_OFF, text, s->arena) : text;
    row->gold = most_frequent(record);
    if (differ)
        normalize_people(record, people, scratch);
    row->score = sea_vqa_agreement(differ ? people : record->answers, record->count, row->parsed);
}

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static bool
is_yes_no(const struct sea_bench_row *row, const void *unused)
{
    (void)unused;
    return strcmp(record_of(row)->answer_type, "yes/no") == 0;
}

static const char *
answer_type(const struct sea_bench_row *row)
{
    return record_of(row)->answer_type;
}

static const char *
question_type(const struct sea_bench_row *row)
{
    return record_of(row)->question_type;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct record *records = sea_arena_alloc(s->arena, s->count, sizeof(*records));
    struct sea_arena *scratch = sea_arena_create(s->arena, "row");
    enum sea_status status = read_annotations(s, records, err);

    if (!status) {
        for (size_t i = 0; i < s->count; i++) {
            sea_arena_reset(scratch);
            score_row(s, &s->rows[i], scratch);
        }
        sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
        sea_bench_add_groups(s, "answer_type", answer_type);
        sea_bench_add_yes_share(s, "yes_share", is_yes_no, NULL);
        sea_bench_add_groups(s, "question_type", question_type);
    }
    sea_arena_destroy(scratch);
    return status;
}

/* The upload: every question of the file once, answers through LLaVA's normaliser. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    (void)err;
    sea_buf_puts(out, "[");
    for (size_t i = 0; i < s->count; i++) {
        const struct sea_bench_question *q = s->rows[i].question;
        const char *answer = sea_vqa_copy(SEA_VQA_M4C, s->rows[i].text, s->arena);

        sea_buf_puts(out, i ? ", {\"question_id\": " : "{\"question_id\": ");
        if (q->id_is_number)
            sea_buf_puts(out, q->id);
        else
            sea_json_quote(out, q->id, strlen(q->id));
        sea_buf_puts(out, ", \"answer\": ");
        sea_json_quote(out, answer, strlen(answer));
        sea_buf_puts(out, "}");
    }
    sea_buf_puts(out, "]\n");
    return SEA_OK;
}

static const char *const variants[] = { "llava", "off", NULL };

const struct sea_bench sea_bench_vqav2 = {
    .name = "vqav2",
    .about = "open questions, agreement with ten people",
    .headline = "accuracy",
    .scorer = "vqa-official",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_SHORT,
    .licence = "CC BY 4.0; images: COCO",
    .variants = variants,
    .max_new_tokens = 128,
    .needs_annotations = true,
    .questions_path = "llava_vqav2_mscoco_val2014.jsonl",
    .annotations_path = "v2_mscoco_val2014_annotations.json",
    .images_path = "val2014",
    .export_name = "vqav2_upload.json",
    .take_row = take_row,
    .score = score,
    .dump = dump,
};
