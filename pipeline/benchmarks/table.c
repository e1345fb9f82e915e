/* SPDX-License-Identifier: Apache-2.0 */
/*
 * table.c - rows of published files, whatever holds them
 *
 * JSON Lines and JSON lists go through sea_records; a list or a map inside one JSON object,
 * TSV and CSV as pandas writes them, and spreadsheets, give the same nodes. Pictures in a column
 * "image" are not copied: they are pointed to in the mapped file.
 */
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"
#include "pipeline/benchmarks/xlsx_int.h"

#define CELLS_MAX 128
#define DOCUMENT_BYTES_MAX ((size_t)4 << 30)
#define PATH_LEN_MAX 512        /* a longer text in "image" is a picture */

/* ---- TSV and CSV ---- */

static bool
ends_cell(char c, char mark)
{
    return c == mark || c == '\n' || c == '\r';
}

/* A cell in quotes: "" stands for a quote; marks and newlines belong to it. */
static enum sea_status
quoted_cell(struct sea_bench_table *t, struct sea_arena *arena, const char **cell, size_t *len,
            struct sea_err *err)
{
    const char *start = t->rows.at + 1, *close = start;
    char *copy, *to;
    bool doubled = false;

    for (;;) {
        close = memchr(close, '"', (size_t)(t->rows.end - close));
        if (!close)
            return sea_records_fail(&t->rows, NULL, err, SEA_E_FORMAT,
                                    "a quoted cell does not end");
        if (close + 1 == t->rows.end || close[1] != '"')
            break;
        doubled = true;
        close += 2;
    }
    for (const char *c = start; (c = memchr(c, '\n', (size_t)(close - c))) != NULL; c++)
        t->lines++;
    *cell = start;
    *len = (size_t)(close - start);
    if (doubled) {
        *cell = copy = to = sea_arena_alloc(arena, (size_t)(close - start) + 1, 1);
        for (const char *c = start; c < close; c++) {
            *to++ = *c;
            c += *c == '"';
        }
        *len = (size_t)(to - copy);
    }
    t->rows.at = close + 1;
    return SEA_OK;
}

/* The cells of the next record; count is 0 at the end. */
static enum sea_status
next_cells(struct sea_bench_table *t, struct sea_arena *arena, const char *cells[CELLS_MAX],
           size_t lens[CELLS_MAX], size_t *count, struct sea_err *err)
{
    *count = 0;
    while (t->rows.at < t->rows.end && (*t->rows.at == '\n' || *t->rows.at == '\r'))
        t->lines += *t->rows.at++ == '\n';
    if (t->rows.at >= t->rows.end)
        return SEA_OK;
    t->rows.line = t->lines;
    for (;;) {
        enum sea_status status = SEA_OK;
        const char *at = t->rows.at;

        if (*count == CELLS_MAX)
            return sea_records_fail(&t->rows, NULL, err, SEA_E_FORMAT, "more than %d cells",
                                    CELLS_MAX);
        if (at < t->rows.end && *at == '"') {
            status = quoted_cell(t, arena, &cells[*count], &lens[*count], err);
            if (!status && t->rows.at < t->rows.end && !ends_cell(*t->rows.at, t->mark))
                status = sea_records_fail(&t->rows, NULL, err, SEA_E_FORMAT,
                                          "text behind the closing quote of cell %zu",
                                          *count + 1);
        } else {
            while (at < t->rows.end && !ends_cell(*at, t->mark))
                at++;
            cells[*count] = t->rows.at;
            lens[*count] = (size_t)(at - t->rows.at);
            t->rows.at = at;
        }
        if (status)
            return status;
        ++*count;
        if (t->rows.at >= t->rows.end || *t->rows.at != t->mark)
            return SEA_OK;
        t->rows.at++;
    }
}

static enum sea_status
open_cells(struct sea_bench_table *t, struct sea_err *err)
{
    const char *cells[CELLS_MAX] = { NULL }, *end;
    size_t lens[CELLS_MAX] = { 0 }, n, first;
    enum sea_status status;

    t->is_cells = true;
    t->lines = 1;
    first = t->rows.end - t->rows.at > 1 << 20 ? 1 << 20 : (size_t)(t->rows.end - t->rows.at);
    end = memchr(t->rows.at, '\n', first);
    n = end ? (size_t)(end - t->rows.at) : first;
    t->mark = memchr(t->rows.at, '\t', n) ? '\t' : ',';
    status = next_cells(t, t->arena, cells, lens, &n, err);
    if (status)
        return status;
    t->columns = sea_arena_alloc(t->arena, n + 1, sizeof(char *));
    t->image_column = -1;
    for (size_t i = 0; i < n; i++) {
        t->columns[i] = sea_arena_strndup(t->arena, cells[i], lens[i]);
        if (strcmp(t->columns[i], "image") == 0)
            t->image_column = (int)i;
    }
    t->columns_count = n;
    if (n < 2)
        return sea_fail(err, SEA_E_FORMAT,
                        "file \"%s\" is neither JSON nor a table with tabs or commas",
                        t->rows.path);
    return SEA_OK;
}

static enum sea_status
next_record(struct sea_bench_table *t, struct sea_arena *arena, struct sea_node **row,
            struct sea_err *err)
{
    const char *cells[CELLS_MAX] = { NULL };
    size_t lens[CELLS_MAX] = { 0 }, n;
    enum sea_status status;

    t->rows.index++;
    status = next_cells(t, arena, cells, lens, &n, err);
    if (status || n == 0) {
        t->rows.index -= n == 0;
        return status;
    }
    if (n > t->columns_count || (t->image_column >= 0 && (size_t)t->image_column >= n))
        return sea_records_fail(&t->rows, NULL, err, SEA_E_FORMAT,
                                "%zu cells, expected %zu as in the first line", n,
                                t->columns_count);
    *row = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    for (size_t i = 0; i < n; i++) {
        if ((int)i == t->image_column) {
            t->image = cells[i];
            t->image_len = lens[i];
        } else if (!sea_text_is_valid(cells[i], lens[i])) {
            return sea_records_fail(&t->rows, NULL, err, SEA_E_FORMAT,
                                    "column \"%s\" is not valid UTF-8", t->columns[i]);
        } else {
            sea_node_put_textn(arena, *row, t->columns[i], cells[i], lens[i]);
        }
    }
    return SEA_OK;
}

/* ---- one JSON object ---- */

/* Whether the object at rows.at is all there is in the file. */
static bool
is_one_object(const struct sea_bench_table *t)
{
    int64_t depth = 0;
    const char *at = t->rows.at, *end = t->rows.end;

    for (; at < end; at++) {
        if (*at == '"') {
            for (at++; at < end && *at != '"'; at++)
                at += *at == '\\';
        } else if (*at == '{' || *at == '[') {
            depth++;
        } else if ((*at == '}' || *at == ']') && --depth == 0) {
            break;
        }
    }
    for (at += at < end; at < end; at++)
        if (!strchr(" \t\r\n", *at))
            return false;
    return true;
}

/* {id: record}, {id: text}, {member: [record, ...]}, {member: {id: ...}}, or one row. */
static void
open_object(struct sea_bench_table *t, const char *path, const char *const *members)
{
    struct sea_node *top;
    size_t maps = 0, texts = 0, count = 0;
    struct sea_err inner = { 0 };

    if (sea_json_load(path, DOCUMENT_BYTES_MAX, t->arena, &top, &inner))
        return;                 /* the reader of rows says where it is broken */
    for (size_t i = 0; members && members[i]; i++) {
        const struct sea_node *list = sea_node_get(top, members[i]);

        if (list && (list->kind == SEA_NODE_LIST || list->kind == SEA_NODE_MAP)) {
            t->is_document = true;
            t->is_keyed = list->kind == SEA_NODE_MAP;
            t->next = list->first;
            return;
        }
    }
    for (const struct sea_node *node = top->first; node; node = node->next, count++) {
        maps += node->kind == SEA_NODE_MAP;
        texts += node->kind == SEA_NODE_STRING;
    }
    t->is_document = true;
    t->next = top->first;
    t->is_keyed = true;
    if (count == 0 || maps == count ||
        (texts == count && !sea_bench_field(top, SEA_BENCH_ID_FIELDS)))
        return;
    t->next = top;              /* one row */
    t->is_keyed = false;
}

/* A spreadsheet: its rows become a list. */
static enum sea_status
open_sheet(struct sea_bench_table *t, const char *path, struct sea_err *err)
{
    struct sea_node *rows;
    enum sea_status status =
        sea_xlsx_read(t->rows.at, (size_t)(t->rows.end - t->rows.at), path, t->arena, &rows, err);

    t->is_document = true;
    t->next = status ? NULL : rows->first;
    return status;
}

enum sea_status
sea_bench_table_open(struct sea_bench_table *t, const char *path, const char *const *members,
                     struct sea_arena *arena, struct sea_err *err)
{
    enum sea_status status;

    *t = (struct sea_bench_table){ .arena = arena, .image_column = -1 };
    status = sea_records_open(&t->rows, path, err);
    if (status || t->rows.is_list || t->rows.at >= t->rows.end)
        return status;
    if (sea_xlsx_is(t->rows.at, (size_t)(t->rows.end - t->rows.at)))
        status = open_sheet(t, path, err);
    else if (*t->rows.at != '{')
        status = open_cells(t, err);
    else if (is_one_object(t))
        open_object(t, path, members);
    if (status)
        sea_bench_table_close(t);
    return status;
}

enum sea_status
sea_bench_need_column(const struct sea_bench_table *t, const char *name, struct sea_err *err)
{
    for (size_t i = 0; i < t->columns_count; i++)
        if (strcmp(t->columns[i], name) == 0)
            return SEA_OK;
    return t->is_cells ? sea_fail(err, SEA_E_FORMAT,
                                  "file \"%s\" has no column \"%s\" in its first line",
                                  t->rows.path, name)
                       : SEA_OK;
}

void
sea_bench_table_close(struct sea_bench_table *t)
{
    if (t && !t->keeps_map)
        sea_records_close(&t->rows);
}

enum sea_status
sea_bench_table_next(struct sea_bench_table *t, struct sea_arena *arena, struct sea_node **row,
                     struct sea_err *err)
{
    struct sea_node *node;

    *row = NULL;
    t->key = NULL;
    t->image = NULL;
    t->image_len = 0;
    if (t->is_cells)
        return next_record(t, arena, row, err);
    if (!t->is_document)
        return sea_records_next(&t->rows, arena, row, err);
    node = t->next;
    if (!node)
        return SEA_OK;
    t->rows.index++;
    t->rows.line = node->line ? node->line : t->rows.line;
    t->next = node->next;
    if (t->is_keyed)
        t->key = node->key;
    if (node->kind == SEA_NODE_MAP) {
        *row = node;
    } else if (t->is_keyed) {
        *row = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
        sea_node_put_text(arena, *row, "question_id", node->key);
        sea_node_put_copy(arena, *row, "text", node);
    } else {
        return sea_records_fail(&t->rows, NULL, err, SEA_E_FORMAT,
                                "a row is a %s, expected an object {...}",
                                sea_node_kind_name(node->kind));
    }
    return SEA_OK;
}

enum sea_status
sea_bench_each_row(const char *path, const char *const *members, sea_bench_each_fn *fn, void *arg,
                   int64_t *count, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "rows");
    struct sea_bench_table table = { .image_column = -1 };
    struct sea_node *row = NULL;
    int64_t rows = 0;
    enum sea_status status = sea_bench_table_open(&table, path, members, scratch, err);

    while (!status) {
        status = sea_bench_table_next(&table, scratch, &row, err);
        if (status || !row)
            break;
        status = fn(arg, &table, row, scratch, err);
        rows++;
    }
    sea_bench_table_close(&table);
    sea_arena_destroy(scratch);
    if (count)
        *count = rows;
    return status;
}

/* ---- fields ---- */

static const struct sea_node *
find_field(const struct sea_node *row, const char *names)
{
    char name[64];

    while (*names) {
        size_t n = strcspn(names, " ");
        const struct sea_node *found;

        snprintf(name, sizeof(name), "%.*s", (int)n, names);
        found = sea_node_get(row, name);
        if (found && found->kind != SEA_NODE_NULL &&
            (found->kind != SEA_NODE_STRING || found->text_len > 0))
            return found;
        names += n + (names[n] == ' ');
    }
    return NULL;
}

const struct sea_node *
sea_bench_field(const struct sea_node *row, const char *names)
{
    return find_field(row, names);
}

/* What pandas reads as missing, and what LLaVA takes for it ("nan", "none" in any case). */
static bool
is_missing(const char *text)
{
    static const char *const pandas[] = {
        "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN",
        "<NA>", "N/A", "NA", "NULL", "n/a", "null",
    };

    for (size_t i = 0; i < sizeof(pandas) / sizeof(pandas[0]); i++)
        if (strcmp(text, pandas[i]) == 0)
            return true;
    return strcasecmp(text, "nan") == 0 || strcasecmp(text, "none") == 0;
}

const char *
sea_bench_cell_text(const struct sea_node *row, const char *names, struct sea_arena *arena)
{
    const char *text = sea_bench_field_text(row, names, arena);

    return text && !is_missing(text) ? text : NULL;
}

const char *
sea_bench_field_text(const struct sea_node *row, const char *names, struct sea_arena *arena)
{
    const struct sea_node *node = sea_bench_field(row, names);

    if (!node)
        return NULL;
    switch (node->kind) {
    case SEA_NODE_STRING:
        return sea_text_copy(arena, node->text, node->text_len);
    case SEA_NODE_INT:
        return sea_arena_printf(arena, "%lld", (long long)node->integer);
    case SEA_NODE_REAL:
        return sea_py_float_text(node->real, arena);
    case SEA_NODE_BOOL:
        return node->integer ? "True" : "False";
    default:
        return NULL;
    }
}

enum sea_status
sea_bench_need_text(const struct sea_bench_table *t, const struct sea_node *row, const char *id,
                    const char *names, struct sea_arena *arena, const char **out,
                    struct sea_err *err)
{
    size_t n = strcspn(names, " ");

    *out = sea_bench_field_text(row, names, arena);
    if (*out)
        return SEA_OK;
    return sea_records_fail(&t->rows, id, err, SEA_E_FORMAT,
                            "field \"%.*s\" is missing, expected a text", (int)n, names);
}

enum sea_status
sea_bench_need_id(const struct sea_bench_table *t, const struct sea_node *row, const char *names,
                  struct sea_bench_question *q, struct sea_arena *arena, struct sea_err *err)
{
    const struct sea_node *node = sea_bench_field(row, names);
    size_t n = strcspn(names, " ");

    if (!node && t->key) {
        q->id = sea_arena_strdup(arena, t->key);
        return SEA_OK;
    }
    if (!node || (node->kind != SEA_NODE_INT && node->kind != SEA_NODE_STRING))
        return sea_records_fail(&t->rows, NULL, err, SEA_E_FORMAT,
                                "field \"%.*s\" is %s, expected a text or a whole number", (int)n,
                                names, node ? sea_node_kind_name(node->kind) : "missing");
    q->id = sea_bench_field_text(row, names, arena);
    q->id_is_number = node->kind == SEA_NODE_INT;
    if (t->is_cells)
        q->id_is_number = q->id[0] && strspn(q->id, "0123456789") == strlen(q->id) &&
                          strlen(q->id) < 18;
    return SEA_OK;
}

enum sea_status
sea_bench_need_image(const struct sea_bench_table *t, const struct sea_node *row,
                     const char *names, struct sea_bench_question *q, struct sea_arena *arena,
                     struct sea_err *err)
{
    const struct sea_node *node = sea_bench_field(row, names);

    if (t->hub && sea_hub_image(t, row, q, arena))
        return SEA_OK;
    if (t->image_len > 0) {
        q->has_image = true;
        q->inline_image = t->image;
        q->inline_len = t->image_len;
        return SEA_OK;
    }
    if (node && node->kind == SEA_NODE_MAP && sea_bench_field(node, "path file_name"))
        node = sea_bench_field(node, "path file_name");
    if (!node)
        return SEA_OK;
    if (node->kind != SEA_NODE_STRING)
        return sea_records_fail(&t->rows, q->id, err, SEA_E_FORMAT,
                                "field \"image\" is a %s, expected a file name or base64",
                                sea_node_kind_name(node->kind));
    q->has_image = true;
    if (node->text_len > PATH_LEN_MAX) {
        q->inline_image = sea_arena_strndup(arena, node->text, node->text_len);
        q->inline_len = node->text_len;
        return SEA_OK;
    }
    if (!sea_path_is_inside(node->text))
        return sea_records_fail(&t->rows, q->id, err, SEA_E_FORMAT,
                                "field \"image\" is \"%.120s\", expected a relative name without "
                                "\"..\"", node->text);
    q->image = sea_arena_strdup(arena, node->text);
    return SEA_OK;
}
