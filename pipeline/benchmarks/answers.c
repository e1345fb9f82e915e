/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers.c - answer files: LLaVA's JSON Lines, written and read
 *
 * Read are also JSON lists, and the two upload forms that we write ourselves: GQA's
 * {"questionId", "prediction"} and VQAv2's {"question_id", "answer"}.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define NAMED 3                 /* ids that a message names of each kind of trouble */

/* Length of the valid UTF-8 sequence at text, 0 when there is none. */
static size_t
utf8_length(const unsigned char *text, size_t left)
{
    size_t n = text[0] < 0x80 ? 1 : text[0] >= 0xC2 && text[0] < 0xE0 ? 2
             : text[0] >= 0xE0 && text[0] < 0xF0 ? 3
             : text[0] >= 0xF0 && text[0] < 0xF5 ? 4 : 0;

    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] > 0x9F) ||
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] > 0x8F))
        return 0;
    return n;
}

static void
quote_valid(struct sea_buf *buf, const char *text, size_t len)
{
    struct sea_buf valid;

    sea_buf_init(&valid, 3 * len + 16);
    for (size_t i = 0; i < len;) {
        size_t n = utf8_length((const unsigned char *)text + i, len - i);

        if (n == 0)
            sea_buf_puts(&valid, "\xEF\xBF\xBD");
        else
            sea_buf_add(&valid, text + i, n);
        i += n ? n : 1;
    }
    sea_json_quote(buf, valid.data, valid.len);
    sea_buf_release(&valid);
}

void
sea_bench_answer_write(struct sea_buf *buf, const struct sea_bench_question *question,
                       const char *text, size_t len, const char *model_id)
{
    const char *prompt = question->answer_prompt ? question->answer_prompt : question->prompt;
    struct sea_hash *hash = sea_hash_create();
    char digest[SEA_SHA256_TEXT];

    sea_hash_add_field(hash, question->id);
    sea_hash_add(hash, text, len);
    sea_hash_finish(hash, digest);
    sea_hash_destroy(hash);
    sea_buf_puts(buf, "{\"question_id\": ");
    if (question->id_is_number)
        sea_buf_puts(buf, question->id);
    else
        sea_json_quote(buf, question->id, strlen(question->id));
    sea_buf_puts(buf, ", \"prompt\": ");
    sea_json_quote(buf, prompt, strlen(prompt));
    sea_buf_puts(buf, ", \"text\": ");
    quote_valid(buf, text, len);
    sea_buf_addf(buf, ", \"answer_id\": \"%.22s\", \"model_id\": ", digest);
    sea_json_quote(buf, model_id, strlen(model_id));
    sea_buf_puts(buf, ", \"metadata\": {}}\n");
}

struct known {
    const char *id;
    size_t index;
};

static int
by_id(const void *a, const void *b)
{
    return strcmp(((const struct known *)a)->id, ((const struct known *)b)->id);
}

/* Ids in trouble: how many, and the first few. */
struct trouble {
    int64_t count;
    char names[256];
    size_t used;
};

static void
add_trouble(struct trouble *trouble, const char *id)
{
    if (trouble->count++ >= NAMED)
        return;
    if (trouble->used < sizeof(trouble->names))
        trouble->used += (size_t)snprintf(trouble->names + trouble->used,
                                          sizeof(trouble->names) - trouble->used, "%s\"%.40s\"",
                                          trouble->used ? ", " : "", id);
}

static const struct sea_node *
first_of(const struct sea_node *row, const char *one, const char *two, const char *three)
{
    const struct sea_node *node = sea_node_get(row, one);

    node = node ? node : sea_node_get(row, two);
    return node || !three ? node : sea_node_get(row, three);
}

static enum sea_status
read_answer(struct sea_bench_scoring *s, const struct sea_records *rows,
            const struct sea_node *row, const struct known *known, struct trouble *doubled,
            struct trouble *unknown, struct sea_err *err)
{
    const char *id_key = sea_node_get(row, "question_id") ? "question_id" : "questionId";
    const struct sea_node *text = first_of(row, "text", "prediction", "answer");
    const char *id = NULL, *prompt;
    const struct known *found;
    enum sea_status status;
    struct known key;

    status = sea_records_id(rows, row, id_key, s->arena, &id, NULL, err);
    if (status)
        return status;
    if (!text || text->kind != SEA_NODE_STRING)
        return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                "field \"text\" is %s, expected a text",
                                text ? sea_node_kind_name(text->kind) : "missing");
    key = (struct known){ .id = id };
    found = bsearch(&key, known, s->count, sizeof(key), by_id);
    if (!found) {
        add_trouble(unknown, id);
        return SEA_OK;
    }
    if (s->rows[found->index].text) {
        add_trouble(doubled, id);
        return SEA_OK;
    }
    s->rows[found->index].text = sea_text_copy(s->arena, text->text, text->text_len);
    prompt = sea_node_text(sea_node_get(row, "prompt"), NULL);
    s->prompts[found->index] = prompt ? sea_arena_strdup(s->arena, prompt) : NULL;
    return SEA_OK;
}

static enum sea_status
report(const struct sea_bench_scoring *s, const char *path, const struct trouble *missing,
       const struct trouble *doubled, const struct trouble *unknown, struct sea_err *err)
{
    enum sea_status status;

    status = sea_fail(err, SEA_E_FORMAT,
                      "answer file \"%s\" does not fit the %zu questions of \"%s\": %lld missing "
                      "(%s), %lld doubled (%s), %lld unknown (%s)", path, s->count,
                      s->questions->path, (long long)missing->count, missing->names,
                      (long long)doubled->count, doubled->names, (long long)unknown->count,
                      unknown->names);
    if (doubled->count + unknown->count == 0)
        sea_hint(err, "Finish the run, or count missing answers as empty ones with "
                 "--allow-missing.");
    else
        sea_hint(err, "Check that question file and answer file belong together, and that parts "
                 "of a run were merged once.");
    return status;
}

enum sea_status
sea_bench_answers_read(struct sea_bench_scoring *s, const char *path, struct sea_err *err)
{
    struct trouble missing = { 0 }, doubled = { 0 }, unknown = { 0 };
    struct sea_arena *scratch = sea_arena_create(s->arena, "row");
    struct known *known = sea_xcalloc(s->count, sizeof(*known));
    struct sea_records rows;
    enum sea_status status;

    for (size_t i = 0; i < s->count; i++)
        known[i] = (struct known){ s->questions->items[i].id, i };
    qsort(known, s->count, sizeof(*known), by_id);
    status = sea_records_open(&rows, path, err);
    while (!status) {
        struct sea_node *row;

        sea_arena_reset(scratch);
        status = sea_records_next(&rows, scratch, &row, err);
        if (status || !row)
            break;
        status = read_answer(s, &rows, row, known, &doubled, &unknown, err);
    }
    if (s->questions->is_partial)
        unknown = (struct trouble){ 0 };        /* answers to questions beyond the limit */
    for (size_t i = 0; i < s->count && !status; i++)
        if (!s->rows[i].text) {
            add_trouble(&missing, s->questions->items[i].id);
            s->rows[i].text = "";
            s->rows[i].is_missing = true;
        }
    if (!status && ((missing.count && !s->options->allow_missing) || doubled.count ||
                    unknown.count))
        status = report(s, path, &missing, &doubled, &unknown, err);
    sea_records_close(&rows);
    free(known);
    sea_arena_destroy(scratch);
    return status;
}
