/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The reader is jansson; its values are turned into nodes and given back as soon as their
 * node exists, so that a large document is not held twice. jansson knows no depth limit
 * with a position and refuses integers beyond 64 bits, which model folders do contain
 * ("model_max_length": 1000000000000000019884624838656): one look over the text before
 * it settles both.
 */
#include "engine/base/sea_node.h"

#include <assert.h>
#include <ctype.h>
#include <errno.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <jansson.h>

#include "engine/base/node_int.h"
#include "engine/base/sea_file.h"

/* ---- reading ---- */

/* At the first digit (or '-') of a number: its length, and whether it is an integer that
 * int64_t cannot hold. */
static size_t
number_len(const char *text, size_t len, bool *is_big)
{
    size_t n = text[0] == '-' ? 1 : 0, digits_from = n;
    bool is_int = true;
    char digits[24];

    for (; n < len && (isalnum((unsigned char)text[n]) || strchr("+-.", text[n])); n++) {
        if (!text[n])
            break;
        if (!isdigit((unsigned char)text[n]))
            is_int = false;
    }
    *is_big = false;
    if (is_int && n - digits_from >= 19) {
        *is_big = n >= sizeof(digits);
        if (!*is_big) {
            memcpy(digits, text, n);
            digits[n] = 0;
            errno = 0;
            (void)strtoll(digits, NULL, 10);
            *is_big = errno == ERANGE;
        }
    }
    return n;
}

struct position {
    size_t line, column;
};

static void
step_over(struct position *at, const char *text, size_t n)
{
    for (; n; n--, text++) {
        if (*text == '\n') {
            at->line++;
            at->column = 0;
        } else if (((unsigned char)*text & 0xC0) != 0x80) {
            at->column++;       /* characters, as jansson counts */
        }
    }
}

/* Refuses what is nested too deeply, before jansson descends. Integers that do not fit
 * 64 bits get an exponent, which makes them reals: then *rewritten holds the new text,
 * else it stays empty. */
static enum sea_status
look_over(const char *text, size_t len, const char *name, struct sea_buf *rewritten,
          struct sea_err *err)
{
    struct position at = { 1, 0 };
    size_t i = 0, n, copied = 0;
    int depth = 0;
    bool is_big;

    for (; i < len; i += n) {
        n = 1;
        if (text[i] == '"') {
            while (i + n < len && text[i + n] != '"')
                n += text[i + n] == '\\' ? 2 : 1;
            n = i + n < len ? n + 1 : len - i;
        } else if (text[i] == '-' || isdigit((unsigned char)text[i])) {
            n = number_len(text + i, len - i, &is_big);
            if (is_big) {
                sea_buf_add(rewritten, text + copied, i + n - copied);
                sea_buf_puts(rewritten, "e0");
                copied = i + n;
            }
        } else if (text[i] == ']' || text[i] == '}') {
            depth--;
        } else if ((text[i] == '[' || text[i] == '{') && ++depth > SEA_NODE_DEPTH_MAX) {
            step_over(&at, text, i + 1);
            return sea_fail(err, SEA_E_FORMAT,
                            "\"%s\" line %zu, column %zu: nested deeper than %d lists or maps",
                            name, at.line, at.column, SEA_NODE_DEPTH_MAX);
        }
    }
    if (copied)
        sea_buf_add(rewritten, text + copied, len - copied);
    return SEA_OK;
}

static void
convert(struct sea_arena *arena, struct sea_node *node, json_t *value)
{
    struct sea_node *child;
    const char *key;
    json_t *item;
    size_t i;

    switch (json_typeof(value)) {
    case JSON_OBJECT:
        json_object_foreach(value, key, item) {
            child = sea_node_append(arena, node, sea_arena_strdup(arena, key), SEA_NODE_NULL);
            convert(arena, child, item);
        }
        node->kind = SEA_NODE_MAP;
        json_object_clear(value);
        break;
    case JSON_ARRAY:
        json_array_foreach(value, i, item)
            convert(arena, sea_node_append(arena, node, NULL, SEA_NODE_NULL), item);
        node->kind = SEA_NODE_LIST;
        json_array_clear(value);
        break;
    case JSON_STRING:
        node->kind = SEA_NODE_STRING;
        node->text_len = json_string_length(value);
        node->text = sea_arena_strndup(arena, json_string_value(value), node->text_len);
        break;
    case JSON_INTEGER:
        node->kind = SEA_NODE_INT;
        node->integer = json_integer_value(value);
        node->real = (double)node->integer;
        break;
    case JSON_REAL:
        node->kind = SEA_NODE_REAL;
        node->real = json_real_value(value);
        break;
    case JSON_TRUE:
    case JSON_FALSE:
        node->kind = SEA_NODE_BOOL;
        node->integer = json_is_true(value);
        break;
    case JSON_NULL:
        break;
    }
}

static enum sea_status
refuse(const json_error_t *error, const char *name, struct sea_err *err)
{
    enum json_error_code code = json_error_code(error);
    char words[JSON_ERROR_TEXT_LENGTH];
    char *c;

    if (code == json_error_out_of_memory)
        return sea_fail(err, SEA_E_INTERNAL, "no host memory for JSON \"%s\"", name);
    snprintf(words, sizeof(words), "%.*s", (int)sizeof(words) - 1, error->text);
    for (c = words; *c; c++)            /* they quote the source, line ends included */
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    sea_fail(err, SEA_E_FORMAT, "\"%s\" line %d, column %d: %s%s", name,
             error->line < 1 ? 1 : error->line, error->column < 0 ? 0 : error->column, words,
             code == json_error_invalid_utf8 ? " (not UTF-8)" : "");
    if (code == json_error_duplicate_key)
        sea_hint(err, "Remove one of the two keys: which of them counts is not defined.");
    else if (code == json_error_premature_end_of_input)
        sea_hint(err, "The text ends too early: look whether it was copied or downloaded whole.");
    else if (code == json_error_invalid_utf8)
        sea_hint(err, "Convert the text to UTF-8, for example with iconv.");
    return err->status;
}

enum sea_status
sea_json_parse(const char *text, size_t len, const char *name, struct sea_arena *arena,
               struct sea_node **out, struct sea_err *err)
{
    enum sea_status status;
    struct sea_node *root;
    struct sea_buf rewritten;
    json_error_t error;
    json_t *value = NULL;

    *out = NULL;
    sea_buf_init(&rewritten, SIZE_MAX / 2);
    if (len >= 3 && memcmp(text, "\xEF\xBB\xBF", 3) == 0) {
        text += 3;              /* a byte order mark, as editors on Windows write it */
        len -= 3;
    }
    status = look_over(text, len, name, &rewritten, err);
    if (status)
        goto out;
    if (rewritten.len) {
        text = rewritten.data;
        len = rewritten.len;
    }
    value = json_loadb(text, len, JSON_REJECT_DUPLICATES | JSON_DECODE_ANY | JSON_ALLOW_NUL,
                       &error);
    if (!value) {
        status = refuse(&error, name, err);
        goto out;
    }
    sea_buf_release(&rewritten);        /* before the nodes need the room */
    root = sea_node_append(arena, NULL, NULL, SEA_NODE_NULL);
    convert(arena, root, value);
    *out = root;
out:
    json_decref(value);
    sea_buf_release(&rewritten);
    return status;
}

enum sea_status
sea_json_load(const char *path, size_t max, struct sea_arena *arena, struct sea_node **out,
              struct sea_err *err)
{
    return sea_node_load(sea_json_parse, path, max, arena, out, err);
}

/* ---- writing ---- */

struct writer {
    struct sea_buf *buf;
    enum sea_json_style style;
    enum sea_status status;     /* after a failure nothing is added */
    struct sea_err *err;
};

static void
add(struct writer *writer, const char *bytes, size_t n)
{
    if (!writer->status)
        writer->status = sea_buf_append(writer->buf, bytes, n, writer->err);
}

static void
line(struct writer *writer, int depth)
{
    if (writer->style != SEA_JSON_PRETTY)
        return;
    add(writer, "\n", 1);
    while (depth--)
        add(writer, "  ", 2);
}

/* Length of the UTF-8 character at text; 0 when it is none. */
static size_t
utf8_len(const unsigned char *text, size_t len)
{
    static const uint32_t least[] = { 0, 0, 0x80, 0x800, 0x10000 };
    uint32_t code;
    size_t n, i;

    if (text[0] < 0x80)
        return 1;
    n = text[0] >= 0xF0 ? 4 : text[0] >= 0xE0 ? 3 : 2;
    if (text[0] < 0xC2 || text[0] > 0xF4 || n > len)
        return 0;
    code = text[0] & (0x7Fu >> n);
    for (i = 1; i < n; i++) {
        if ((text[i] & 0xC0) != 0x80)
            return 0;
        code = code << 6 | (text[i] & 0x3Fu);
    }
    if (code < least[n] || code > 0x10FFFF || (code >= 0xD800 && code <= 0xDFFF))
        return 0;
    return n;
}

static void
quote(struct writer *writer, const char *text, size_t len)
{
    static const char from[] = "\"\\\n\t\r\b\f", to[] = "\"\\ntrbf";
    size_t done = 0, i = 0, n;
    char escape[8];

    add(writer, "\"", 1);
    while (i < len) {
        unsigned char c = (unsigned char)text[i];
        const char *known = c ? strchr(from, c) : NULL;

        n = utf8_len((const unsigned char *)text + i, len - i);
        if (n && c >= 0x20 && !known) {
            i += n;
            continue;
        }
        add(writer, text + done, i - done);
        if (known)
            snprintf(escape, sizeof(escape), "\\%c", to[known - from]);
        else if (n)
            snprintf(escape, sizeof(escape), "\\u%04x", c);
        else                    /* not UTF-8, as in a message that was cut: U+FFFD */
            snprintf(escape, sizeof(escape), "\xEF\xBF\xBD");
        add(writer, escape, strlen(escape));
        done = ++i;
    }
    add(writer, text + done, len - done);
    add(writer, "\"", 1);
}

static void
write_real(struct writer *writer, double value)
{
    char digits[40];
    int precision;

    if (!isfinite(value)) {
        add(writer, "null", 4);
        return;
    }
    /* The fewest digits that come back as the same bits; canonical text always has 17. */
    for (precision = writer->style == SEA_JSON_CANONICAL ? 17 : 15;; precision++) {
        snprintf(digits, sizeof(digits), "%.*g", precision, value);
        if (precision >= 17 || strtod(digits, NULL) == value)
            break;
    }
    add(writer, digits, strlen(digits));
    if (!strpbrk(digits, ".e"))
        add(writer, ".0", 2);
}

static int
by_key(const void *a, const void *b)
{
    return strcmp((*(const struct sea_node *const *)a)->key,
                  (*(const struct sea_node *const *)b)->key);
}

static void write_node(struct writer *writer, const struct sea_node *node, int depth);

static void
write_member(struct writer *writer, const struct sea_node *child, bool is_first, int depth)
{
    if (!is_first)
        add(writer, ",", 1);
    line(writer, depth);
    if (child->key) {
        quote(writer, child->key, strlen(child->key));
        add(writer, ": ", writer->style == SEA_JSON_PRETTY ? 2 : 1);
    }
    write_node(writer, child, depth);
}

static void
write_members(struct writer *writer, const struct sea_node *node, int depth)
{
    const struct sea_node *child, **sorted;
    size_t i = 0;

    if (writer->style != SEA_JSON_CANONICAL || node->kind != SEA_NODE_MAP) {
        for (child = node->first; child; child = child->next)
            write_member(writer, child, child == node->first, depth);
        return;
    }
    sorted = sea_xcalloc(node->count, sizeof(*sorted));
    for (child = node->first; child; child = child->next)
        sorted[i++] = child;
    qsort(sorted, node->count, sizeof(*sorted), by_key);
    for (i = 0; i < node->count; i++)
        write_member(writer, sorted[i], i == 0, depth);
    free(sorted);
}

static void
write_node(struct writer *writer, const struct sea_node *node, int depth)
{
    char digits[24];

    switch (node->kind) {
    case SEA_NODE_NULL:
        add(writer, "null", 4);
        break;
    case SEA_NODE_BOOL:
        add(writer, node->integer ? "true" : "false", node->integer ? 4 : 5);
        break;
    case SEA_NODE_INT:
        snprintf(digits, sizeof(digits), "%lld", (long long)node->integer);
        add(writer, digits, strlen(digits));
        break;
    case SEA_NODE_REAL:
        write_real(writer, node->real);
        break;
    case SEA_NODE_STRING:
        quote(writer, node->text, node->text_len);
        break;
    case SEA_NODE_LIST:
    case SEA_NODE_MAP:
        add(writer, node->kind == SEA_NODE_MAP ? "{" : "[", 1);
        write_members(writer, node, depth + 1);
        if (node->first)
            line(writer, depth);
        add(writer, node->kind == SEA_NODE_MAP ? "}" : "]", 1);
        break;
    }
}

enum sea_status
sea_json_write(const struct sea_node *node, enum sea_json_style style, struct sea_buf *buf,
               struct sea_err *err)
{
    struct writer writer = { .buf = buf, .style = style, .err = err };
    size_t before = buf->len;

    write_node(&writer, node, 0);
    if (style == SEA_JSON_PRETTY)
        add(&writer, "\n", 1);
    if (writer.status && buf->room) {   /* all of it or nothing */
        buf->len = before;
        buf->data[before] = 0;
    }
    return writer.status;
}

void
sea_json_quote(struct sea_buf *buf, const char *text, size_t len)
{
    struct sea_err err = { 0 };
    struct writer writer = { .buf = buf, .err = &err };

    quote(&writer, text, len);
    assert(!writer.status);
}
