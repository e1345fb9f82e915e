/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_records.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#define ID_SHOWN 80             /* bytes of an id in a message */
#define ROW_BYTES_MAX ((size_t)1 << 30)

enum sea_status
sea_records_fail(const struct sea_records *rows, const char *id, struct sea_err *err,
                 enum sea_status status, const char *fmt, ...)
{
    char text[320], who[ID_SHOWN + 16] = "";
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (id)
        snprintf(who, sizeof(who), " (id \"%.*s\")", ID_SHOWN, id);
    if (rows->parquet)
        return sea_fail(err, status, "file \"%s\", row %lld%s: %s",
                        sea_parquet_file(rows->parquet, rows->index), (long long)rows->index, who,
                        text);
    return sea_fail(err, status, "file \"%s\", row %lld%s, line %lld: %s", rows->path,
                    (long long)rows->index, who, (long long)rows->line, text);
}

/* Brings line to the row that begins at text. */
static void
count_lines(struct sea_records *rows, const char *text)
{
    while (rows->counted < text && (rows->counted = memchr(rows->counted, '\n',
                                                           (size_t)(text - rows->counted)))) {
        rows->line++;
        rows->counted++;
    }
    rows->counted = text;
}

static bool
is_blank(char c)
{
    return c == ' ' || c == '\t' || c == '\r' || c == '\n';
}

static const char *
skip_blank(const char *at, const char *end)
{
    while (at < end && is_blank(*at))
        at++;
    return at;
}

/* Behind the string that opens at `at`; NULL when it does not end. */
static const char *
skip_string(const char *at, const char *end)
{
    for (at++; at < end; at++) {
        if (*at == '\\')
            at++;
        else if (*at == '"')
            return at + 1;
    }
    return NULL;
}

/* Behind the JSON value at `at`: brackets are matched by number, the parser does the rest.
 * NULL when it does not end. */
static const char *
skip_value(const char *at, const char *end)
{
    int64_t depth = 0;

    while (at < end) {
        if (*at == '"') {
            at = skip_string(at, end);
            if (!at || depth == 0)
                return at;
            continue;
        }
        if (*at == '[' || *at == '{') {
            depth++;
        } else if (*at == ']' || *at == '}') {
            if (depth == 0)
                return at;
            if (--depth == 0)
                return at + 1;
        } else if (depth == 0 && (*at == ',' || is_blank(*at))) {
            return at;
        }
        at++;
    }
    return depth == 0 ? at : NULL;
}

static enum sea_status
open_file(struct sea_records *rows, const char *path, struct sea_err *err)
{
    static const char mark[] = "\xEF\xBB\xBF";
    enum sea_status status;

    *rows = (struct sea_records){ .index = -1, .line = 1 };
    snprintf(rows->path, sizeof(rows->path), "%s", path);
    sea_buf_init(&rows->made, ROW_BYTES_MAX);
    if (sea_parquet_is(path)) {
        rows->at = rows->end = rows->counted = "";
        return sea_parquet_open(&rows->parquet, path, err);
    }
    status = sea_file_map_open(&rows->map, path, err);
    if (status)
        return status;
    rows->at = rows->map.data ? (const char *)rows->map.data : "";
    rows->end = rows->at + rows->map.bytes;
    rows->counted = rows->at;
    if (rows->map.bytes >= 3 && memcmp(rows->at, mark, 3) == 0)
        rows->at += 3;
    rows->at = skip_blank(rows->at, rows->end);
    return SEA_OK;
}

enum sea_status
sea_records_open(struct sea_records *rows, const char *path, struct sea_err *err)
{
    enum sea_status status = open_file(rows, path, err);

    if (status)
        return status;
    if (rows->at < rows->end && *rows->at == '[') {
        rows->is_list = rows->is_top = true;
        rows->at++;
    }
    return SEA_OK;
}

/* Finds the value of a key of the object at `at`; NULL when it is not there. */
static const char *
find_member(const char *at, const char *end, const char *key)
{
    size_t n = strlen(key);

    if (at >= end || *at != '{')
        return NULL;
    at++;
    for (;;) {
        const char *name = skip_blank(at, end), *after;

        if (name >= end || *name != '"' || !(after = skip_string(name, end)))
            return NULL;
        at = skip_blank(after, end);
        if (at >= end || *at != ':')
            return NULL;
        at = skip_blank(at + 1, end);
        if ((size_t)(after - name) == n + 2 && memcmp(name + 1, key, n) == 0)
            return at;
        at = skip_value(at, end);
        if (!at)
            return NULL;
        at = skip_blank(at, end);
        if (at >= end || *at != ',')
            return NULL;
        at++;
    }
}

enum sea_status
sea_records_open_member(struct sea_records *rows, const char *path, const char *key,
                        struct sea_err *err)
{
    enum sea_status status = open_file(rows, path, err);
    const char *value;

    if (status || rows->parquet)
        return status;
    value = find_member(rows->at, rows->end, key);
    if (!value || value >= rows->end || *value != '[') {
        status = sea_fail(err, SEA_E_FORMAT,
                          "file \"%s\" has no list \"%s\", expected {\"%s\": [...], ...}", path,
                          key, key);
        sea_records_close(rows);
        return status;
    }
    rows->at = value + 1;
    rows->is_list = true;
    return SEA_OK;
}

void
sea_records_close(struct sea_records *rows)
{
    if (!rows)
        return;
    sea_file_map_close(&rows->map);
    sea_parquet_close(rows->parquet);
    sea_buf_release(&rows->made);
    rows->parquet = NULL;
    rows->at = rows->end = rows->counted = NULL;
}

/* One element of a list, and the comma behind it. */
static enum sea_status
next_element(struct sea_records *rows, const char **text, size_t *len, struct sea_err *err)
{
    const char *at = skip_blank(rows->at, rows->end), *after;

    if (at < rows->end && *at == ']') {
        rows->is_done = true;
        if (rows->is_top && skip_blank(at + 1, rows->end) < rows->end)
            return sea_fail(err, SEA_E_FORMAT,
                            "file \"%s\" goes on behind the \"]\" that ends its list",
                            rows->path);
        return SEA_OK;
    }
    rows->index++;
    count_lines(rows, at < rows->end ? at : rows->end);
    if (at >= rows->end)
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "the file ends inside the list, expected \"]\"");
    after = skip_value(at, rows->end);
    if (!after)
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT, "the file ends inside this row");
    *text = at;
    *len = (size_t)(after - at);
    at = skip_blank(after, rows->end);
    if (*len == 0 || (at < rows->end && *at != ',' && *at != ']'))
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "expected a row, then \",\" or \"]\"");
    rows->at = at < rows->end && *at == ',' ? at + 1 : at;
    return SEA_OK;
}

/* The next row of Parquet. */
static enum sea_status
next_stored(struct sea_records *rows, struct sea_arena *arena, struct sea_node **row,
            struct sea_err *err)
{
    enum sea_status status = sea_parquet_next(rows->parquet, arena, row, err);

    rows->index = sea_parquet_index(rows->parquet);
    return status;
}

static enum sea_status
make_text(struct sea_records *rows, const char **text, size_t *len, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "row");
    struct sea_node *row;
    enum sea_status status = next_stored(rows, arena, &row, err);

    sea_buf_clear(&rows->made);
    if (!status && row)
        status = sea_json_write(row, SEA_JSON_COMPACT, &rows->made, err);
    if (!status && row) {
        *text = rows->made.data;
        *len = rows->made.len;
    }
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_records_next_text(struct sea_records *rows, const char **text, size_t *len, struct sea_err *err)
{
    const char *at, *newline;

    *text = NULL;
    *len = 0;
    if (rows->parquet)
        return make_text(rows, text, len, err);
    if (rows->is_list)
        return rows->is_done ? SEA_OK : next_element(rows, text, len, err);
    at = skip_blank(rows->at, rows->end);
    rows->at = at;
    if (at >= rows->end)
        return SEA_OK;
    rows->index++;
    count_lines(rows, at);
    newline = memchr(at, '\n', (size_t)(rows->end - at));
    rows->at = newline ? newline + 1 : rows->end;
    newline = newline ? newline : rows->end;
    while (newline > at && is_blank(newline[-1]))
        newline--;
    *text = at;
    *len = (size_t)(newline - at);
    return SEA_OK;
}

enum sea_status
sea_records_next(struct sea_records *rows, struct sea_arena *arena, struct sea_node **row,
                 struct sea_err *err)
{
    struct sea_err inner = { 0 };
    enum sea_status status;
    const char *text;
    size_t len;

    *row = NULL;
    if (rows->parquet)
        return next_stored(rows, arena, row, err);
    status = sea_records_next_text(rows, &text, &len, err);
    if (status || len == 0)
        return status;
    status = sea_json_parse(text, len, "row", arena, row, &inner);
    if (status)
        return sea_records_fail(rows, NULL, err, status, "%s", inner.message);
    if ((*row)->kind != SEA_NODE_MAP)
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "a row is a %s, expected an object {...}",
                                (*row)->kind == SEA_NODE_INT ? "number"
                                                             : sea_node_kind_name((*row)->kind));
    return SEA_OK;
}

const char *
sea_records_raw(const char *text, size_t len, const char *key, size_t *value_len)
{
    const char *value = find_member(text, text + len, key), *end;

    end = value ? skip_value(value, text + len) : NULL;
    *value_len = end ? (size_t)(end - value) : 0;
    return end && end > value ? value : NULL;
}

const char *
sea_records_raw_next(const char **at, const char *end, size_t *len)
{
    const char *piece = skip_blank(*at, end), *after;

    if (piece < end && *piece == ',')
        piece = skip_blank(piece + 1, end);
    if (piece < end && *piece == ']')
        return NULL;
    after = piece < end ? skip_value(piece, end) : NULL;
    *at = after && after > piece ? after : NULL;
    *len = *at ? (size_t)(after - piece) : 0;
    return *at ? piece : NULL;
}

const char *
sea_records_raw_text(const char *piece, size_t len, struct sea_arena *arena)
{
    struct sea_err ignored = { 0 };
    struct sea_node *node;

    if (len < 2 || piece[0] != '"' || piece[len - 1] != '"')
        return NULL;
    for (size_t i = 1; i + 1 < len; i++)
        if (piece[i] == '\\' || (unsigned char)piece[i] >= 0x80 || (unsigned char)piece[i] < ' ')
            return sea_json_parse(piece, len, "text", arena, &node, &ignored)
                       ? NULL : sea_node_text(node, NULL);
    return sea_arena_strndup(arena, piece + 1, len - 2);
}

enum sea_status
sea_records_text(const struct sea_records *rows, const char *id, const struct sea_node *row,
                 const char *key, const char **out, struct sea_err *err)
{
    const struct sea_node *node = sea_node_get(row, key);

    if (!node || node->kind != SEA_NODE_STRING)
        return sea_records_fail(rows, id, err, SEA_E_FORMAT, "field \"%s\" is %s, expected a text",
                                key, node ? sea_node_kind_name(node->kind) : "missing");
    *out = node->text;
    return SEA_OK;
}

enum sea_status
sea_records_id(const struct sea_records *rows, const struct sea_node *row, const char *key,
               struct sea_arena *arena, const char **out, bool *is_number, struct sea_err *err)
{
    const struct sea_node *node = sea_node_get(row, key);

    if (node && node->kind == SEA_NODE_STRING) {
        *out = sea_arena_strdup(arena, node->text);
    } else if (node && node->kind == SEA_NODE_INT) {
        *out = sea_arena_printf(arena, "%lld", (long long)node->integer);
    } else {
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "field \"%s\" is %s, expected a text or a whole number", key,
                                node ? sea_node_kind_name(node->kind) : "missing");
    }
    if (is_number)
        *is_number = node->kind == SEA_NODE_INT;
    return SEA_OK;
}
