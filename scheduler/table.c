/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_table.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_node.h"

#define CELL_BYTES_MAX ((size_t)1 << 24)

enum sea_status
sea_format_find(const char *name, enum sea_format *out, struct sea_err *err)
{
    static const char *const names[] = { "table", "csv", "json", "md", "jsonl" };
    size_t i;

    for (i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (strcmp(names[i], name) == 0) {
            *out = (enum sea_format)i;
            return SEA_OK;
        }
    return sea_fail(err, SEA_E_CONFIG, "unknown format \"%s\", know: table, csv, json, md, jsonl",
                    name);
}

/* Columns on a terminal: code points, counted as UTF-8 lead bytes. */
static size_t
shown_width(const char *text)
{
    size_t n = 0;

    for (; *text; text++)
        n += ((unsigned char)*text & 0xc0) != 0x80;
    return n;
}

/* What people see of a cell: numbers with at most four decimals, no line ends. */
static char *
shown(const struct sea_rows *rows, size_t row, size_t column)
{
    const char *cell = sea_rows_cell(rows, row, column);
    char *text;
    char *at;

    if (!cell)
        return sea_xstrdup("");
    if (sea_rows_column_kind(rows, column) == SEA_COLUMN_BOOL)
        return sea_xstrdup(cell[0] == 't' ? "yes" : "no");
    if (sea_rows_column_kind(rows, column) == SEA_COLUMN_NUMBER && strpbrk(cell, ".e")) {
        char number[40];

        snprintf(number, sizeof(number), "%.4g", strtod(cell, NULL));
        if (strtod(cell, NULL) >= 1000 || strtod(cell, NULL) <= -1000)
            snprintf(number, sizeof(number), "%.0f", strtod(cell, NULL));
        return sea_xstrdup(number);
    }
    text = sea_xstrdup(cell);
    for (at = text; *at; at++)
        if (*at == '\n' || *at == '\t' || *at == '\r')
            *at = ' ';
    return text;
}

static void
pad(FILE *to, const char *text, size_t width, bool right)
{
    size_t have = shown_width(text), fill = have < width ? width - have : 0;

    if (right)
        fprintf(to, "%*s", (int)fill, "");
    fputs(text, to);
    if (!right)
        fprintf(to, "%*s", (int)fill, "");
}

static void
print_aligned(const struct sea_rows *rows, bool markdown, FILE *to)
{
    size_t columns = sea_rows_columns_count(rows), count = sea_rows_count(rows), r, c;
    size_t *width = sea_xcalloc(columns, sizeof(*width));
    char **cells = sea_xcalloc(columns * count, sizeof(*cells));
    const char *gap = markdown ? " | " : "  ";

    for (c = 0; c < columns; c++)
        width[c] = shown_width(sea_rows_column(rows, c));
    for (r = 0; r < count; r++)
        for (c = 0; c < columns; c++) {
            char *text = cells[r * columns + c] = shown(rows, r, c);

            if (shown_width(text) > width[c])
                width[c] = shown_width(text);
        }
    for (c = 0; c < columns; c++) {
        fputs(c ? gap : markdown ? "| " : "", to);
        pad(to, sea_rows_column(rows, c), width[c],
            sea_rows_column_kind(rows, c) == SEA_COLUMN_NUMBER);
    }
    fputs(markdown ? " |\n" : "\n", to);
    for (c = 0; c < columns; c++) {
        size_t i;

        fputs(c ? gap : markdown ? "| " : "", to);
        for (i = 0; i < width[c]; i++)
            fputc('-', to);
    }
    fputs(markdown ? " |\n" : "\n", to);
    for (r = 0; r < count; r++) {
        for (c = 0; c < columns; c++) {
            fputs(c ? gap : markdown ? "| " : "", to);
            pad(to, cells[r * columns + c], width[c],
                sea_rows_column_kind(rows, c) == SEA_COLUMN_NUMBER);
            free(cells[r * columns + c]);
        }
        fputs(markdown ? " |\n" : "\n", to);
    }
    free(cells);
    free(width);
}

static void
csv_cell(const char *text, FILE *to)
{
    if (!strpbrk(text, ",\"\r\n")) {
        fputs(text, to);
        return;
    }
    fputc('"', to);
    for (; *text; text++) {
        if (*text == '"')
            fputc('"', to);
        fputc(*text, to);
    }
    fputc('"', to);
}

static void
print_csv(const struct sea_rows *rows, FILE *to)
{
    size_t columns = sea_rows_columns_count(rows), r, c;

    for (c = 0; c < columns; c++) {
        fputs(c ? "," : "", to);
        csv_cell(sea_rows_column(rows, c), to);
    }
    fputs("\r\n", to);
    for (r = 0; r < sea_rows_count(rows); r++) {
        for (c = 0; c < columns; c++) {
            const char *cell = sea_rows_cell(rows, r, c);

            fputs(c ? "," : "", to);
            csv_cell(cell ? cell : "", to);
        }
        fputs("\r\n", to);
    }
}

/* One object. NaN and infinities of the database have no JSON: null. */
static void
json_row(const struct sea_rows *rows, size_t r, struct sea_buf *text, FILE *to)
{
    size_t columns = sea_rows_columns_count(rows), c;

    fputs("{", to);
    for (c = 0; c < columns; c++) {
        const char *cell = sea_rows_cell(rows, r, c), *name = sea_rows_column(rows, c);
        enum sea_column_kind kind = sea_rows_column_kind(rows, c);

        sea_buf_clear(text);
        sea_json_quote(text, name, strlen(name));
        sea_buf_puts(text, ":");
        if (!cell || (kind == SEA_COLUMN_NUMBER && strpbrk(cell, "NI")))
            sea_buf_puts(text, "null");
        else if (kind == SEA_COLUMN_NUMBER || kind == SEA_COLUMN_JSON)
            sea_buf_puts(text, cell);
        else if (kind == SEA_COLUMN_BOOL)
            sea_buf_puts(text, cell[0] == 't' ? "true" : "false");
        else
            sea_json_quote(text, cell, strlen(cell));
        fprintf(to, "%s%s", c ? "," : "", text->data);
    }
    fputs("}", to);
}

void
sea_table_print_more(const struct sea_rows *rows, size_t *done, FILE *to)
{
    struct sea_buf text;
    size_t r;

    sea_buf_init(&text, CELL_BYTES_MAX);
    for (r = 0; r < sea_rows_count(rows); r++) {
        fputs((*done)++ ? ",\n " : "\n ", to);
        json_row(rows, r, &text, to);
    }
    sea_buf_release(&text);
}

static void
print_json(const struct sea_rows *rows, FILE *to)
{
    size_t done = 0;

    fputs("[", to);
    sea_table_print_more(rows, &done, to);
    fputs(done ? "\n]\n" : "]\n", to);
}

static void
print_json_lines(const struct sea_rows *rows, FILE *to)
{
    struct sea_buf text;
    size_t r;

    sea_buf_init(&text, CELL_BYTES_MAX);
    for (r = 0; r < sea_rows_count(rows); r++) {
        json_row(rows, r, &text, to);
        fputs("\n", to);
    }
    sea_buf_release(&text);
}

void
sea_table_print(const struct sea_rows *rows, enum sea_format format, const char *empty, FILE *to)
{
    if (format == SEA_FORMAT_JSON)
        print_json(rows, to);
    else if (format == SEA_FORMAT_JSONL)
        print_json_lines(rows, to);
    else if (format == SEA_FORMAT_CSV)
        print_csv(rows, to);
    else if (sea_rows_count(rows) == 0)
        fprintf(to, "%s\n", empty);
    else
        print_aligned(rows, format == SEA_FORMAT_MD, to);
}

enum sea_status
sea_table_query(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
                enum sea_format format, const char *empty, FILE *to, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query(db, name, params, count, &rows, err);

    if (!status)
        sea_table_print(rows, format, empty, to);
    sea_rows_close(rows);
    return status;
}
