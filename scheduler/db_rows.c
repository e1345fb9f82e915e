/* SPDX-License-Identifier: Apache-2.0 */
/* db_rows.c - reading what a query gave */
#include "scheduler/db_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

void
sea_rows_close(struct sea_rows *rows)
{
    if (!rows)
        return;
    PQclear(rows->result);
    free(rows);
}

size_t
sea_rows_count(const struct sea_rows *rows)
{
    return rows ? (size_t)PQntuples(rows->result) : 0;
}

/* NULL for SQL's NULL and, with err filled, for what is not there. */
static const char *
cell(const struct sea_rows *rows, size_t row, const char *column, bool need,
     struct sea_err *err)
{
    int at = PQfnumber(rows->result, column);

    if (at < 0 || row >= sea_rows_count(rows)) {
        sea_fail(err, SEA_E_INTERNAL, "a result has no column \"%s\" in row %zu", column, row);
        return NULL;
    }
    if (PQgetisnull(rows->result, (int)row, at)) {
        if (need)
            sea_fail(err, SEA_E_INTERNAL, "column \"%s\" is null in row %zu", column, row);
        return NULL;
    }
    return PQgetvalue(rows->result, (int)row, at);
}

static int64_t
parse_int(const char *text, const char *column, struct sea_err *err)
{
    char *end;
    long long value;

    errno = 0;
    value = strtoll(text, &end, 10);
    if (errno || end == text || *end)
        sea_fail(err, SEA_E_INTERNAL, "column \"%s\" holds \"%s\", need a whole number", column,
                 text);
    return value;
}

static double
parse_real(const char *text, const char *column, struct sea_err *err)
{
    char *end;
    double value = strtod(text, &end);

    if (end == text || *end)
        sea_fail(err, SEA_E_INTERNAL, "column \"%s\" holds \"%s\", need a number", column, text);
    return value;
}

int64_t
sea_rows_int(const struct sea_rows *rows, size_t row, const char *column, struct sea_err *err)
{
    const char *text = cell(rows, row, column, true, err);

    return text ? parse_int(text, column, err) : 0;
}

double
sea_rows_real(const struct sea_rows *rows, size_t row, const char *column, struct sea_err *err)
{
    const char *text = cell(rows, row, column, true, err);

    return text ? parse_real(text, column, err) : 0;
}

bool
sea_rows_bool(const struct sea_rows *rows, size_t row, const char *column, struct sea_err *err)
{
    const char *text = cell(rows, row, column, true, err);

    return text && text[0] == 't';
}

const char *
sea_rows_text(const struct sea_rows *rows, size_t row, const char *column, struct sea_err *err)
{
    const char *text = cell(rows, row, column, true, err);

    return text ? text : "";
}

int64_t
sea_rows_int_or(const struct sea_rows *rows, size_t row, const char *column, int64_t fallback,
                struct sea_err *err)
{
    const char *text = cell(rows, row, column, false, err);

    return text ? parse_int(text, column, err) : fallback;
}

const char *
sea_rows_text_or(const struct sea_rows *rows, size_t row, const char *column,
                 const char *fallback, struct sea_err *err)
{
    const char *text = cell(rows, row, column, false, err);

    return text ? text : fallback;
}

size_t
sea_rows_columns_count(const struct sea_rows *rows)
{
    return (size_t)PQnfields(rows->result);
}

const char *
sea_rows_column(const struct sea_rows *rows, size_t column)
{
    return PQfname(rows->result, (int)column);
}

const char *
sea_rows_cell(const struct sea_rows *rows, size_t row, size_t column)
{
    return PQgetisnull(rows->result, (int)row, (int)column)
               ? NULL : PQgetvalue(rows->result, (int)row, (int)column);
}

enum sea_column_kind
sea_rows_column_kind(const struct sea_rows *rows, size_t column)
{
    switch (PQftype(rows->result, (int)column)) {     /* pg_type.oid, fixed since 1997 */
    case 16:
        return SEA_COLUMN_BOOL;
    case 20: case 21: case 23: case 700: case 701: case 1700:
        return SEA_COLUMN_NUMBER;
    case 114: case 3802:
        return SEA_COLUMN_JSON;
    default:
        return SEA_COLUMN_TEXT;
    }
}
