/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers_read.c - answer files in the many forms that are published
 *
 * Read are rows (JSON Lines, lists, TSV, CSV, spreadsheets) with an id and a text under any of
 * the names that scripts use, maps {id: text}, lmms-eval's logs of samples, and folders that
 * hold such files in parts. Rows without an id are joined by their picture, as in VizWiz's
 * uploads, or by the number of their row, as in lmms-eval's logs: then the question asked, or
 * the right answer, must be that row's.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define NAMED 3                 /* ids that a message names of each kind of trouble */
#define ID_FIELDS "question_id questionId id index image_id pid data_id idx"
#define TEXT_FIELDS "text prediction caption response output model_answer answer"

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

struct reading {
    struct sea_bench_scoring *s;
    struct sea_bench_lookup keys, images, ids;
    struct sea_bench_row *taken;        /* that the newest answer went to */
    struct trouble missing, doubled, unknown;
};

bool
sea_bench_answer_take(struct sea_bench_scoring *s, const char *key, const char *text, size_t len,
                      const char *prompt)
{
    struct reading *r = s->reading;
    int64_t found = -1;

    for (size_t nth = 0; nth == 0 || s->bench->keys_repeat; nth++) {
        found = sea_bench_lookup_find(&r->keys, key, nth);
        if (found < 0 || !s->rows[found].text)
            break;
    }
    if (found < 0 || s->rows[found].text) {
        bool known = sea_bench_lookup_find(&r->keys, key, 0) >= 0;

        add_trouble(known ? &r->doubled : &r->unknown, key);
        return false;
    }
    r->taken = &s->rows[found];
    r->taken->text = sea_text_copy(s->arena, text, len);
    s->prompts[found] = prompt ? sea_arena_strdup(s->arena, prompt) : NULL;
    return true;
}

/* The fields as they are: an answer "None" is an answer. */
static const struct sea_node *
first_of(const struct sea_node *row, const char *names)
{
    char name[32];

    while (*names) {
        size_t n = strcspn(names, " ");
        const struct sea_node *node;

        snprintf(name, sizeof(name), "%.*s", (int)n, names);
        node = sea_node_get(row, name);
        if (node)
            return node;
        names += n + (names[n] == ' ');
    }
    return NULL;
}

/* Tables of VLMEvalKit have an id of their own and no prompt: an id that only one question has
 * is enough then. */
static const char *
key_of_id(const struct reading *r, const char *id)
{
    int64_t found = sea_bench_lookup_find(&r->ids, id, 0);

    if (found < 0 || sea_bench_lookup_find(&r->ids, id, 1) >= 0)
        return NULL;
    return sea_bench_key(&r->s->questions->items[found]);
}

/* The key of an answer row; *key is NULL when its picture is not known. */
static enum sea_status
answer_key(struct reading *r, const struct sea_bench_table *table, const struct sea_node *row,
           const char **id, const char **key, struct sea_arena *arena, struct sea_err *err)
{
    const struct sea_bench *bench = r->s->bench;
    const struct sea_node *node = first_of(row, ID_FIELDS), *image = sea_node_get(row, "image");
    const char *prompt = sea_node_text(sea_node_get(row, "prompt"), NULL);
    int64_t found;

    if (!node && table->key) {
        *id = table->key;
    } else if (!node && image && image->kind == SEA_NODE_STRING) {
        *id = image->text;
        if (!r->images.order)   /* most files have ids */
            sea_bench_lookup_init(&r->images, r->s->questions, true, r->s->arena);
        found = sea_bench_lookup_find(&r->images, image->text, 0);
        *key = found < 0 ? NULL : sea_bench_key(&r->s->questions->items[found]);
        return SEA_OK;
    } else if (!node || (node->kind != SEA_NODE_STRING && node->kind != SEA_NODE_INT)) {
        return sea_records_fail(&table->rows, NULL, err, SEA_E_FORMAT,
                                "field \"question_id\" is %s, expected a text or a whole number",
                                node ? sea_node_kind_name(node->kind) : "missing");
    } else {
        *id = node->kind == SEA_NODE_INT
                  ? sea_arena_printf(arena, "%lld", (long long)node->integer) : node->text;
    }
    *key = *id;
    if (!bench->answer_key)
        return SEA_OK;
    *key = bench->answer_key(*id, prompt, arena);
    if (!*key)
        *key = key_of_id(r, *id);
    if (!*key)
        return sea_records_fail(&table->rows, *id, err, SEA_E_FORMAT,
                                "field \"prompt\" is %s, and answers of benchmark \"%s\" are told "
                                "apart by id and question", prompt ? "of an unknown form"
                                                                   : "missing", bench->name);
    return SEA_OK;
}

/* ---- lmms-eval's logs: {"doc_id", "target", "input", "filtered_resps"} ---- */

/* The first text of a text or of lists in lists. */
static const struct sea_node *
first_text(const struct sea_node *node)
{
    while (node && node->kind == SEA_NODE_LIST)
        node = node->first;
    return node;
}

static bool
holds(const char *text, const char *part)
{
    size_t n = strlen(part);

    for (; *text; text++)
        if (strncasecmp(text, part, n) == 0)
            return true;
    return n == 0;
}

/* Row doc_id of the question file, when it is about the same question: the log's input holds
 * its text, or its right answer is the log's. */
static enum sea_status
take_sample(struct reading *r, const struct sea_bench_table *table, const struct sea_node *row,
            struct sea_arena *scratch, struct sea_err *err)
{
    const struct sea_bench_questions *questions = r->s->questions;
    const struct sea_node *said = first_text(first_of(row, "filtered_resps resps"));
    const char *input = sea_node_text(first_text(first_of(row, "input arguments")), ""),
               *target = sea_node_text(sea_node_get(row, "target"), "");
    int64_t at = sea_node_int(sea_node_get(row, "doc_id"), -1);
    const struct sea_bench_question *q;

    if (!said || said->kind != SEA_NODE_STRING)
        return sea_records_fail(&table->rows, NULL, err, SEA_E_FORMAT,
                                "\"filtered_resps\" holds no text");
    if (at < 0 || (size_t)at >= questions->count || questions->items[at].row != at) {
        if (!questions->is_partial)
            add_trouble(&r->unknown, sea_arena_printf(scratch, "doc_id %lld", (long long)at));
        return SEA_OK;
    }
    q = &questions->items[at];
    if (!holds(input, sea_bench_bare_question(q, scratch)) &&
        !(q->gold && strcasecmp(q->gold, target) == 0)) {
        sea_records_fail(&table->rows, NULL, err, SEA_E_FORMAT,
                         "sample %lld asked \"%.80s\", but row %lld of \"%s\" is \"%.80s\"",
                         (long long)at, input, (long long)at, questions->path, q->prompt);
        sea_hint(err, "Samples are told apart by their rows: give the question file of that run.");
        return SEA_E_FORMAT;
    }
    sea_bench_answer_take(r->s, sea_bench_key(q), said->text, said->text_len,
                          input[0] ? input : NULL);
    return SEA_OK;
}

static enum sea_status
read_answer(struct reading *r, const struct sea_bench_table *table, const struct sea_node *row,
            struct sea_arena *scratch, struct sea_err *err)
{
    const char *fields = r->s->bench->answer_fields;
    const struct sea_node *text = first_of(row, fields ? fields : TEXT_FIELDS);
    const char *id = NULL, *key = NULL, *words;
    enum sea_status status;

    if (!text && sea_node_get(row, "doc_id") && first_of(row, "filtered_resps resps"))
        return take_sample(r, table, row, scratch, err);
    status = answer_key(r, table, row, &id, &key, scratch, err);
    if (status)
        return status;
    if (text && text->kind == SEA_NODE_BOOL)    /* a spreadsheet's TRUE */
        text = sea_node_put_text(scratch, NULL, NULL, text->integer ? "True" : "False");
    if (!text || (text->kind != SEA_NODE_STRING && text->kind != SEA_NODE_INT &&
                  text->kind != SEA_NODE_REAL))
        return sea_records_fail(&table->rows, id, err, SEA_E_FORMAT,
                                "field \"text\" is %s, expected a text",
                                text ? sea_node_kind_name(text->kind) : "missing");
    words = text->text;
    if (text->kind == SEA_NODE_INT)
        words = sea_arena_printf(scratch, "%lld", (long long)text->integer);
    else if (text->kind == SEA_NODE_REAL)
        words = sea_py_float_text(text->real, scratch);
    if (!key)
        add_trouble(&r->unknown, id);
    else if (sea_bench_answer_take(r->s, key, words,
                                   text->kind == SEA_NODE_STRING ? text->text_len : strlen(words),
                                   sea_node_text(sea_node_get(row, "prompt"), NULL)))
        r->taken->is_extracted = text->key && strcmp(text->key, "extraction") == 0;
    return SEA_OK;
}

static enum sea_status
read_rows(struct reading *r, const char *path, struct sea_err *err)
{
    static const char *const members[] = { "outputs", NULL };   /* LLaVA's ScienceQA results */
    struct sea_arena *scratch = sea_arena_create(r->s->arena, "row"),
                     *whole = sea_arena_create(r->s->arena, "answers");
    struct sea_bench_table table;
    enum sea_status status = sea_bench_table_open(&table, path, members, whole, err);

    while (!status) {
        struct sea_node *row;

        sea_arena_reset(scratch);
        status = sea_bench_table_next(&table, scratch, &row, err);
        if (status || !row)
            break;
        status = read_answer(r, &table, row, scratch, err);
    }
    sea_bench_table_close(&table);
    sea_arena_destroy(scratch);
    sea_arena_destroy(whole);
    return status;
}

/* A file, or all files of a folder that holds it in parts. */
static enum sea_status
read_path(struct reading *r, const char *path, struct sea_err *err)
{
    struct sea_py_texts parts;
    enum sea_status status;

    if (!sea_dir_exists(path))
        return read_rows(r, path, err);
    status = sea_bench_parts(path, r->s->arena, &parts, err);
    for (size_t i = 0; i < parts.count && !status; i++)
        status = read_rows(r, parts.at[i], err);
    return status;
}

/* What a model that thinks aloud says in the end is its answer; parsers get no more than that. */
static void
part_thoughts(struct sea_bench_scoring *s, struct sea_bench_row *row)
{
    static const char begin[] = "<think>", end[] = "</think>";
    const char *start = row->text + strspn(row->text, " \t\r\n"), *behind;
    size_t n;

    if (strncmp(start, begin, sizeof(begin) - 1) != 0 || !(behind = strstr(start, end)))
        return;
    behind += sizeof(end) - 1;
    n = strlen(behind);
    row->thoughts = sea_arena_strndup(s->arena, row->text, (size_t)(behind - row->text));
    sea_text_strip(&behind, &n);
    row->text = sea_arena_strndup(s->arena, n ? behind : "", n);
}

/* Such as: 2 missing ("02", "3"). */
static void
add_words(struct sea_buf *text, const struct trouble *trouble, const char *words)
{
    if (trouble->count)
        sea_buf_addf(text, "%s%lld %s (%s%s)", text->len ? ", " : "", (long long)trouble->count,
                     words, trouble->names, trouble->count > NAMED ? ", ..." : "");
}

static enum sea_status
report(const struct reading *r, const char *path, struct sea_err *err)
{
    const struct trouble *missing = &r->missing, *doubled = &r->doubled, *unknown = &r->unknown;
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, 4096);
    add_words(&text, missing, "missing");
    add_words(&text, doubled, "doubled");
    add_words(&text, unknown, "unknown");
    status = sea_fail(err, SEA_E_FORMAT,
                      "answer file \"%s\" does not fit the %zu questions of \"%s\": %s", path,
                      r->s->count, r->s->questions->path, text.data);
    sea_buf_release(&text);
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
    struct reading r = { .s = s };
    enum sea_status status = SEA_OK;
    bool done = false;

    s->reading = &r;
    sea_bench_lookup_init(&r.keys, s->questions, false, s->arena);
    if (s->bench->answer_key)
        sea_bench_lookup_ids(&r.ids, s->questions, s->arena);
    if (s->bench->read_answers)
        status = s->bench->read_answers(s, path, &done, err);
    if (!status && !done)
        status = read_path(&r, path, err);
    s->reading = NULL;
    if (s->questions->is_partial)
        r.unknown = (struct trouble){ 0 };      /* answers to questions beyond the limit */
    for (size_t i = 0; i < s->count && !status; i++)
        if (!s->rows[i].text) {
            add_trouble(&r.missing, s->questions->items[i].id);
            s->rows[i].text = "";
            s->rows[i].is_missing = true;
        } else {
            part_thoughts(s, &s->rows[i]);
        }
    if (!status && ((r.missing.count && !s->options->allow_missing) || r.doubled.count ||
                    r.unknown.count))
        status = report(&r, path, err);
    return status;
}
