/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_records.h - the rows of a JSON list or a JSON Lines file, one at a time
 *
 * For data files of any size: the file is mapped, one row is parsed at a time. Also reads
 * one list inside a JSON object ({"annotations": [...]}). Not for small documents
 * (sea_json_load), nor for rows of a query (scheduler/sea_db.h).
 *
 * A file that begins with '[' is a list; else every line that is not blank is a row. A byte
 * order mark, CRLF and blank lines are fine. Parquet (sea_parquet.h) gives its rows, too, as a
 * file, a folder or a pattern; their texts are made, and last until the next one.
 *
 * Invariants: (1) index counts rows from 0; line is the 1-based line where the row begins;
 *             (2) after an error, next must not be called again.
 */
#ifndef SEA_RECORDS_H
#define SEA_RECORDS_H

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_parquet.h"

struct sea_records {            /* all zero is closed; fields may be read */
    char path[SEA_PATH_MAX];
    struct sea_file_map map;
    const char *at, *end;       /* what is not read yet */
    const char *counted;        /* lines are counted up to here */
    bool is_list, is_top;       /* a list; one that is the whole file */
    bool is_done;
    int64_t index;              /* of the row that next gave last; -1 before the first */
    int64_t line;
    struct sea_parquet *parquet;        /* NULL: JSON */
    struct sea_buf made;        /* text of the row at hand, of Parquet */
};

SEA_MUST_CHECK enum sea_status
sea_records_open(struct sea_records *rows, const char *path, struct sea_err *err);
/* The list under a top-level key of the file's object; all rows of Parquet. SEA_E_FORMAT when
 * there is none. */
SEA_MUST_CHECK enum sea_status
sea_records_open_member(struct sea_records *rows, const char *path, const char *key,
                        struct sea_err *err);
void sea_records_close(struct sea_records *rows);       /* accepts NULL and all-zero */

/* The next row, parsed into arena; *row is NULL at the end. */
SEA_MUST_CHECK enum sea_status
sea_records_next(struct sea_records *rows, struct sea_arena *arena, struct sea_node **row,
                 struct sea_err *err);
/* The text of the next row, not parsed, borrowed until close; *len is 0 at the end. */
SEA_MUST_CHECK enum sea_status
sea_records_next_text(struct sea_records *rows, const char **text, size_t *len,
                      struct sea_err *err);

/*
 * For rows by the hundred thousand, where parsing what nobody reads takes most of the time:
 * pieces of a row's text, found by matching brackets and strings only.
 */
/* The value of a key of the object at text, not parsed; NULL when it is not found. */
const char *sea_records_raw(const char *text, size_t len, const char *key, size_t *value_len);
/* The next element of the list that *at stands in (at first: behind its "["); NULL at its
 * end, and *at is NULL when the list is broken. */
const char *sea_records_raw_next(const char **at, const char *end, size_t *len);
/* A piece that is a JSON string, as an arena copy without quotes and escapes; NULL for
 * another piece or broken text. */
const char *sea_records_raw_text(const char *piece, size_t len, struct sea_arena *arena);

/* Fails with "file "F", row 17 (id "x"), line 20: " before fmt; id NULL leaves it out. */
__attribute__((format(printf, 5, 6))) enum sea_status
sea_records_fail(const struct sea_records *rows, const char *id, struct sea_err *err,
                 enum sea_status status, const char *fmt, ...);

/* Checked members of a row, with such errors. text: a string that is not missing. id: a
 * string or an integer, as text; is_number may be NULL. */
SEA_MUST_CHECK enum sea_status
sea_records_text(const struct sea_records *rows, const char *id, const struct sea_node *row,
                 const char *key, const char **out, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_records_id(const struct sea_records *rows, const struct sea_node *row, const char *key,
               struct sea_arena *arena, const char **out, bool *is_number,
               struct sea_err *err);

#endif
