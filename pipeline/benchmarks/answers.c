/* SPDX-License-Identifier: Apache-2.0 */
/*
 * answers.c - answer files: LLaVA's JSON Lines written, and many published forms read
 *
 * Read are rows (JSON Lines, lists, TSV, CSV) with an id and a text under any of the names
 * that scripts use, and maps {id: text}. Rows without an id are joined by their picture, as in
 * VizWiz's uploads.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define NAMED 3                 /* ids that a message names of each kind of trouble */
#define ID_FIELDS "question_id questionId id index image_id pid data_id idx"
#define TEXT_FIELDS "text prediction caption response output model_answer answer"

static void
quote_valid(struct sea_buf *buf, const char *text, size_t len)
{
    struct sea_buf valid;

    sea_buf_init(&valid, 3 * len + 16);
    for (size_t i = 0; i < len;) {
        size_t n = sea_text_valid_length(text + i, len - i);

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

    sea_hash_add_field(hash, sea_bench_key(question));
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

/* ---- looking questions up ---- */

static const char *
lookup_name(const struct sea_bench_lookup *lookup, size_t i)
{
    const struct sea_bench_question *q = &lookup->questions->items[i];

    return lookup->by_image ? (q->image ? q->image : "") : sea_bench_key(q);
}

struct named {
    const char *name;
    size_t index;
};

static int
by_name(const void *a, const void *b)
{
    const struct named *one = a, *two = b;
    int order = strcmp(one->name, two->name);

    return order ? order : (one->index > two->index) - (one->index < two->index);
}

void
sea_bench_lookup_init(struct sea_bench_lookup *lookup,
                      const struct sea_bench_questions *questions, bool by_image,
                      struct sea_arena *arena)
{
    struct named *list = sea_xcalloc(questions->count + 1, sizeof(*list));

    *lookup = (struct sea_bench_lookup){ .questions = questions, .by_image = by_image };
    lookup->order = sea_arena_alloc(arena, questions->count + 1, sizeof(size_t));
    for (size_t i = 0; i < questions->count; i++)
        list[i] = (struct named){ lookup_name(lookup, i), i };
    qsort(list, questions->count, sizeof(*list), by_name);
    for (size_t i = 0; i < questions->count; i++)
        lookup->order[i] = list[i].index;
    free(list);
}

int64_t
sea_bench_lookup_find(const struct sea_bench_lookup *lookup, const char *key, size_t nth)
{
    size_t low = 0, high = lookup->questions->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (strcmp(lookup_name(lookup, lookup->order[middle]), key) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low + nth >= lookup->questions->count ||
        strcmp(lookup_name(lookup, lookup->order[low + nth]), key) != 0)
        return -1;
    return (int64_t)lookup->order[low + nth];
}

/* ---- reading ---- */

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
    struct sea_bench_lookup keys, images;
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
    s->rows[found].text = sea_text_copy(s->arena, text, len);
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
        return sea_records_fail(&table->rows, *id, err, SEA_E_FORMAT,
                                "field \"prompt\" is %s, and answers of benchmark \"%s\" are told "
                                "apart by id and question", prompt ? "of an unknown form"
                                                                   : "missing", bench->name);
    return SEA_OK;
}

static enum sea_status
read_answer(struct reading *r, const struct sea_bench_table *table, const struct sea_node *row,
            struct sea_arena *scratch, struct sea_err *err)
{
    const char *fields = r->s->bench->answer_fields;
    const struct sea_node *text = first_of(row, fields ? fields : TEXT_FIELDS);
    const char *id = NULL, *key = NULL, *words;
    enum sea_status status = answer_key(r, table, row, &id, &key, scratch, err);

    if (status)
        return status;
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
    else
        sea_bench_answer_take(r->s, key, words,
                              text->kind == SEA_NODE_STRING ? text->text_len : strlen(words),
                              sea_node_text(sea_node_get(row, "prompt"), NULL));
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

static enum sea_status
report(const struct reading *r, const char *path, struct sea_err *err)
{
    const struct trouble *missing = &r->missing, *doubled = &r->doubled, *unknown = &r->unknown;
    enum sea_status status;

    status = sea_fail(err, SEA_E_FORMAT,
                      "answer file \"%s\" does not fit the %zu questions of \"%s\": %lld missing "
                      "(%s), %lld doubled (%s), %lld unknown (%s)", path, r->s->count,
                      r->s->questions->path, (long long)missing->count, missing->names,
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
    struct reading r = { .s = s };
    enum sea_status status = SEA_OK;
    bool done = false;

    s->reading = &r;
    sea_bench_lookup_init(&r.keys, s->questions, false, s->arena);
    sea_bench_lookup_init(&r.images, s->questions, true, s->arena);
    if (s->bench->read_answers)
        status = s->bench->read_answers(s, path, &done, err);
    if (!status && !done)
        status = read_rows(&r, path, err);
    s->reading = NULL;
    if (s->questions->is_partial)
        r.unknown = (struct trouble){ 0 };      /* answers to questions beyond the limit */
    for (size_t i = 0; i < s->count && !status; i++)
        if (!s->rows[i].text) {
            add_trouble(&r.missing, s->questions->items[i].id);
            s->rows[i].text = "";
            s->rows[i].is_missing = true;
        }
    if (!status && ((r.missing.count && !s->options->allow_missing) || r.doubled.count ||
                    r.unknown.count))
        status = report(&r, path, err);
    return status;
}
