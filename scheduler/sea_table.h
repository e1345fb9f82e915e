/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_table.h - rows of a query for people and for programs
 *
 * Every listing of the command line goes through here, so all of them take --json and look
 * alike: `table` has aligned columns and rounds for display, csv (RFC 4180) and json keep
 * full precision, md is a Markdown table. Column names are the query's. jsonl has one JSON
 * object per line and no brackets, for rows that go on and on.
 */
#ifndef SEA_TABLE_H
#define SEA_TABLE_H

#include <stdio.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"

enum sea_format { SEA_FORMAT_TABLE, SEA_FORMAT_CSV, SEA_FORMAT_JSON, SEA_FORMAT_MD,
                  SEA_FORMAT_JSONL };

/* "table", "csv", "json", "md", "jsonl"; SEA_E_CONFIG otherwise. */
SEA_MUST_CHECK enum sea_status
sea_format_find(const char *name, enum sea_format *out, struct sea_err *err);

/* empty is what people read when there are no rows. */
void sea_table_print(const struct sea_rows *rows, enum sea_format format, const char *empty,
                     FILE *to);

/* The rows of one query, printed at once. */
SEA_MUST_CHECK enum sea_status
sea_table_query(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
                enum sea_format format, const char *empty, FILE *to, struct sea_err *err);

/* A JSON list that arrives in several results: "[" before the first one and "]\n" after the
 * last are the caller's, done counts the rows written so far. */
void sea_table_print_more(const struct sea_rows *rows, size_t *done, FILE *to);

#endif
