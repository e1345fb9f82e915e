/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_parquet.h - rows of Parquet files, as data sets are published on the hub
 *
 * A reader of our own, since Debian has no library for C: nested columns (structs, lists),
 * data pages of both versions, every encoding of the format but the one for levels that it
 * dropped itself, and the codecs that writers use (none, Snappy, gzip, Zstandard). It does not
 * write, does not read indexes, statistics or encrypted files.
 *
 * A data set is one file, a folder of shards (SPLIT-00000-of-00003.parquet, in the order of
 * their names), or a pattern for such names ("data/test-*.parquet"). Files are mapped; a page
 * at a time is unpacked, and what has been read is given back to the system, so a shard of
 * gigabytes takes the memory of its largest page.
 *
 * A row is a map: struct -> map, list -> list, map -> list of {"key", "value"}; text,
 * whole numbers, reals, booleans; decimals as text; dates and times as their stored numbers;
 * bytes that are no text as base64. Pictures stay where they are: in the place of "bytes", the
 * struct {"bytes", "path"} of the hub has a number by which sea_parquet_picture finds them
 * later, without reading the others' bytes.
 *
 * Files come from strangers: offsets, counts and sizes are checked before they are used, pages
 * that would grow beyond reason are refused. Errors are SEA_E_FORMAT and name file, row group
 * and column.
 * Threads: sea_parquet_picture from any, everything else from one.
 */
#ifndef SEA_PARQUET_H
#define SEA_PARQUET_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"

#define SEA_PARQUET_PICTURE_MAX ((size_t)256 << 20)     /* bytes */

struct sea_parquet;

/* Whether path names Parquet: a file with its mark, a folder that holds files of that name, or
 * a pattern of such a name. */
bool sea_parquet_is(const char *path);
/* SEA_E_MISSING: no file, or a folder of several splits, which are named. */
SEA_MUST_CHECK enum sea_status
sea_parquet_open(struct sea_parquet **out, const char *path, struct sea_err *err);
void sea_parquet_close(struct sea_parquet *parquet);    /* accepts NULL */

int64_t sea_parquet_rows(const struct sea_parquet *parquet);
/* The next row; *row is NULL at the end. After an error it must not be called again. */
SEA_MUST_CHECK enum sea_status
sea_parquet_next(struct sea_parquet *parquet, struct sea_arena *arena, struct sea_node **row,
                 struct sea_err *err);
/* Number of the row that next gave last, -1 before the first; where it lies. */
int64_t sea_parquet_index(const struct sea_parquet *parquet);
const char *sea_parquet_file(const struct sea_parquet *parquet, int64_t row);

/* True for a picture's map; *cell is its number, *path its name ("": none). */
bool sea_parquet_is_picture(const struct sea_node *node, int64_t *cell, const char **path);
/* The bytes of a picture of this row, appended to out. Cheap for rows that come in order. */
SEA_MUST_CHECK enum sea_status
sea_parquet_picture(struct sea_parquet *parquet, int64_t row, int64_t cell, struct sea_buf *out,
                    struct sea_err *err);

/* What sea data parquet does. */
struct sea_parquet_dump {
    int64_t rows;               /* the first so many; -1: all */
    const char *images;         /* folder for pictures, made when it is not there; NULL: none are
                                   written, rows show {"path", "bytes": how many} */
};
/* Rows as JSON, a line each, or (as_list) as a list. Pictures become files named by their
 * row, equal ones once; a row then holds the file's name. Written when it is whole. */
SEA_MUST_CHECK enum sea_status
sea_parquet_write(const char *path, const struct sea_parquet_dump *dump, const char *out,
                  bool as_list, int64_t *rows, struct sea_err *err);
/* The first rows as a list of nodes. */
SEA_MUST_CHECK enum sea_status
sea_parquet_head(const char *path, int64_t rows, struct sea_arena *arena, struct sea_node **list,
                 struct sea_err *err);

/* What the data set is: the digest of its one file, or of its shards' digests in order. */
SEA_MUST_CHECK enum sea_status
sea_parquet_digest(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err);
/* {"files": [{"path", "rows", "row_groups", "bytes"}], "rows", "columns": [{"name", "type",
 * "codec", "picture"}]}; name is the path "a.b.list.element", type one for people. */
struct sea_node *sea_parquet_describe(const struct sea_parquet *parquet,
                                      struct sea_arena *arena);

#endif
