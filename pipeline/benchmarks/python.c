/* SPDX-License-Identifier: Apache-2.0 */
/*
 * python.c - numbers and literals as the published scorers, all Python 3, read them
 *
 * float() takes blanks around, "_" between digits, "inf", "nan" and every script's decimal
 * digits, but no hexadecimal; str(float) is the shortest text that reads back; a list can
 * come as the text of a Python list.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define NUMBER_MAX 400          /* longer texts are no numbers that anybody wrote */

/* The text in ASCII digits, stripped; false when another character stands in it. */
static bool
to_ascii(const char *text, char out[NUMBER_MAX])
{
    size_t len = strlen(text), used = 0;
    const char *at = text, *end;

    sea_text_strip(&at, &len);
    end = at + len;
    while (at < end) {
        uint32_t code = sea_text_next(&at);

        if (used + 1 >= NUMBER_MAX)
            return false;
        if (sea_text_is_digit(code))
            out[used++] = (char)('0' + sea_text_digit(code));
        else if (code < 0x80)
            out[used++] = (char)code;
        else
            return false;
    }
    out[used] = 0;
    return used > 0;
}

/* Digits with single "_" between them go to out; how many characters were read. */
static size_t
take_digits(const char *at, char **out)
{
    size_t n = 0;

    while (isdigit((unsigned char)at[n]) ||
           (n > 0 && at[n] == '_' && isdigit((unsigned char)at[n - 1]) &&
            isdigit((unsigned char)at[n + 1]))) {
        if (at[n] != '_')
            *(*out)++ = at[n];
        n++;
    }
    return n;
}

bool
sea_py_int(const char *text, int64_t *out)
{
    char ascii[NUMBER_MAX] = "", clean[NUMBER_MAX] = "", *to = clean, *rest;
    const char *at = ascii;
    size_t n;

    if (!to_ascii(text, ascii))
        return false;
    if (*at == '+' || *at == '-')
        *to++ = *at++;
    n = take_digits(at, &to);
    *to = 0;
    if (n == 0 || at[n])
        return false;
    *out = strtoll(clean, &rest, 10);
    return true;
}

bool
sea_py_float(const char *text, double *out)
{
    char ascii[NUMBER_MAX] = "", clean[NUMBER_MAX + 2] = "", *to = clean;
    const char *at = ascii;
    size_t whole, part = 0;

    if (!to_ascii(text, ascii))
        return false;
    if (*at == '+' || *at == '-')
        *to++ = *at++;
    if (strcasecmp(at, "inf") == 0 || strcasecmp(at, "infinity") == 0) {
        *out = clean[0] == '-' && to > clean ? -INFINITY : INFINITY;
        return true;
    }
    if (strcasecmp(at, "nan") == 0) {
        *out = NAN;
        return true;
    }
    at += whole = take_digits(at, &to);
    if (*at == '.') {
        *to++ = *at++;
        at += part = take_digits(at, &to);
    }
    if (whole + part == 0)
        return false;
    if (*at == 'e' || *at == 'E') {
        *to++ = *at++;
        if (*at == '+' || *at == '-')
            *to++ = *at++;
        part = take_digits(at, &to);
        if (part == 0)
            return false;
        at += part;
    }
    if (*at)
        return false;
    *to = 0;
    *out = strtod(clean, NULL);
    return true;
}

double
sea_py_round(double value, int digits)
{
    char text[NUMBER_MAX];

    if (!isfinite(value) || fabs(value) > 1e200)
        return value;
    snprintf(text, sizeof(text), "%.*f", digits, value);
    return strtod(text, NULL);
}

const char *
sea_py_float_text(double value, struct sea_arena *arena)
{
    char text[64], digits[40];
    int precision, exponent;
    size_t n = 0;
    struct sea_buf out;
    const char *copy;

    if (isnan(value))
        return "nan";
    if (isinf(value))
        return value > 0 ? "inf" : "-inf";
    for (precision = 0; precision < 17; precision++) {
        snprintf(text, sizeof(text), "%.*e", precision, value);
        if (strtod(text, NULL) == value)
            break;
    }
    snprintf(text, sizeof(text), "%.*e", precision, value);
    for (const char *c = text; *c && *c != 'e'; c++)
        if (isdigit((unsigned char)*c))
            digits[n++] = *c;
    digits[n] = 0;
    exponent = (int)strtol(strchr(text, 'e') + 1, NULL, 10);
    sea_buf_init(&out, 512);
    sea_buf_puts(&out, text[0] == '-' ? "-" : "");
    if (exponent < -4 || exponent >= 16) {
        sea_buf_addf(&out, "%c%s%se%c%02d", digits[0], n > 1 ? "." : "", digits + 1,
                     exponent < 0 ? '-' : '+', abs(exponent));
    } else if (exponent < 0) {
        sea_buf_addf(&out, "0.%.*s%s", -exponent - 1, "0000", digits);
    } else {
        for (int i = 0; i <= exponent || i < (int)n; i++) {
            char c = i < (int)n ? digits[i] : '0';

            sea_buf_puts(&out, i == exponent + 1 ? "." : "");
            sea_buf_add(&out, &c, 1);
        }
        sea_buf_puts(&out, (int)n <= exponent + 1 ? ".0" : "");
    }
    copy = sea_arena_strdup(arena, out.data);
    sea_buf_release(&out);
    return copy;
}

/* ---- lists ---- */

static void
put_code(struct sea_buf *out, unsigned long code)
{
    char bytes[4];
    size_t n = code < 0x80 ? 1 : code < 0x800 ? 2 : code < 0x10000 ? 3 : 4;
    static const unsigned char first[] = { 0, 0, 0xC0, 0xE0, 0xF0 };

    for (size_t i = n; i-- > 1; code >>= 6)
        bytes[i] = (char)(0x80 | (code & 0x3F));
    bytes[0] = (char)(first[n] | code);
    sea_buf_add(out, bytes, n);
}

/* A backslash at *at and what belongs to it. */
static void
take_escape(const char **at, struct sea_buf *out)
{
    static const char from[] = "ntr\\'\"abfv0", to[] = "\n\t\r\\'\"\a\b\f\v";
    const char *c = *at + 1, *known = *c ? strchr(from, *c) : NULL;
    int digits = *c == 'x' ? 2 : *c == 'u' ? 4 : *c == 'U' ? 8 : 0;
    char hex[9] = "";

    for (int i = 0; i < digits && isxdigit((unsigned char)c[1 + i]); i++)
        hex[i] = c[1 + i];
    if (digits && strlen(hex) == (size_t)digits) {
        put_code(out, strtoul(hex, NULL, 16) & 0x1FFFFF);
        *at = c + 1 + digits;
    } else if (known && *known != '0') {
        sea_buf_add(out, &to[known - from], 1);
        *at = c + 1;
    } else {                    /* Python keeps the backslash of what it does not know */
        sea_buf_add(out, *at, *c ? 2 : 1);
        *at = c + (*c != 0);
    }
}

bool
sea_py_list(const char *text, struct sea_arena *arena, struct sea_py_texts *out)
{
    const char *at = text;
    struct sea_buf item;
    bool closed = false;

    *out = (struct sea_py_texts){ 0 };
    while (isspace((unsigned char)*at))
        at++;
    if (*at++ != '[')
        return false;
    sea_buf_init(&item, 4 * strlen(text) + 16);
    out->at = sea_arena_alloc(arena, strlen(text) + 1, sizeof(char *));
    while (*at && !closed) {
        bool quoted;

        while (isspace((unsigned char)*at) || *at == ',')
            at++;
        if (*at == ']') {
            closed = true;
            break;
        }
        sea_buf_clear(&item);
        quoted = *at == '\'' || *at == '"';
        if (quoted) {
            char quote = *at++;

            while (*at && *at != quote) {
                if (*at == '\\')
                    take_escape(&at, &item);
                else
                    sea_buf_add(&item, at++, 1);
            }
            if (*at++ != quote)
                break;
        } else {
            while (*at && *at != ',' && *at != ']')
                sea_buf_add(&item, at++, 1);
            while (item.len && isspace((unsigned char)item.data[item.len - 1]))
                item.len--;
        }
        out->at[out->count++] = sea_arena_strndup(arena, item.len ? item.data : "", item.len);
    }
    sea_buf_release(&item);
    return closed;
}

void
sea_py_texts_of(const struct sea_node *node, struct sea_arena *arena, struct sea_py_texts *out)
{
    *out = (struct sea_py_texts){ 0 };
    if (!node)
        return;
    if (node->kind == SEA_NODE_LIST) {
        out->at = sea_arena_alloc(arena, node->count + 1, sizeof(char *));
        for (const struct sea_node *one = node->first; one; one = one->next) {
            const char *text = sea_node_text(one, NULL);

            if (one->kind == SEA_NODE_INT)
                text = sea_arena_printf(arena, "%lld", (long long)one->integer);
            else if (one->kind == SEA_NODE_REAL)
                text = sea_py_float_text(one->real, arena);
            if (text)
                out->at[out->count++] = sea_arena_strdup(arena, text);
        }
    } else if (node->kind == SEA_NODE_STRING &&
               (node->text[0] != '[' || !sea_py_list(node->text, arena, out))) {
        out->at = sea_arena_alloc(arena, 1, sizeof(char *));
        out->at[0] = sea_arena_strdup(arena, node->text);
        out->count = 1;
    } else if (node->kind == SEA_NODE_INT || node->kind == SEA_NODE_REAL) {
        out->at = sea_arena_alloc(arena, 1, sizeof(char *));
        out->at[0] = node->kind == SEA_NODE_INT
                         ? sea_arena_printf(arena, "%lld", (long long)node->integer)
                         : sea_py_float_text(node->real, arena);
        out->count = 1;
    }
}
