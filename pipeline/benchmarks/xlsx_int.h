/* SPDX-License-Identifier: Apache-2.0 */
/*
 * xlsx_int.h - spreadsheets (.xlsx): a zip archive of XML, as MMBench and VLMEvalKit use them
 *
 * Read is the first sheet of a workbook, its first row as names of columns; written is one
 * sheet of plain cells. Not for styles, formulas (their stored values are read) or dates.
 */
#ifndef SEA_XLSX_INT_H
#define SEA_XLSX_INT_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_node.h"

/* ---- zip archives (zip.c wraps zlib) ---- */

struct sea_zip {                /* borrowed bytes of an archive */
    const char *at;
    size_t len;
    const char *path;           /* for messages */
};
/* Appends the entry of this name to out, unpacked and compared with its checksum; *found is
 * false, and out as it was, when there is none. SEA_E_FORMAT: no archive, a broken one, or an
 * entry larger than out may become. */
SEA_MUST_CHECK enum sea_status
sea_zip_read(const struct sea_zip *zip, const char *name, struct sea_buf *out, bool *found,
             struct sea_err *err);

struct sea_zip_writer {
    struct sea_buf *out;        /* caller's */
    struct sea_buf directory;
    size_t begin, count;
};
void sea_zip_begin(struct sea_zip_writer *writer, struct sea_buf *out);
/* A packed entry. Equal bytes give equal archives: there is no date in them. */
void sea_zip_add(struct sea_zip_writer *writer, const char *name, const char *bytes, size_t len);
void sea_zip_finish(struct sea_zip_writer *writer);

/* ---- sheets ---- */

/* Whether a file that begins with these bytes is an archive, and so a spreadsheet. */
bool sea_xlsx_is(const char *at, size_t len);
/* The first sheet as a list of maps: {column: text, whole number, number or bool}, "" for an
 * empty cell, node->line the row's number. Rows without any cell are left out. */
SEA_MUST_CHECK enum sea_status
sea_xlsx_read(const char *at, size_t len, const char *path, struct sea_arena *arena,
              struct sea_node **out, struct sea_err *err);

struct sea_xlsx_writer {
    struct sea_buf sheet;
    size_t row, column;
};
void sea_xlsx_begin(struct sea_xlsx_writer *writer);
void sea_xlsx_row(struct sea_xlsx_writer *writer);
void sea_xlsx_text(struct sea_xlsx_writer *writer, const char *text);   /* NULL: empty */
void sea_xlsx_number(struct sea_xlsx_writer *writer, const char *digits);
/* Appends the workbook to out and releases the writer. */
void sea_xlsx_finish(struct sea_xlsx_writer *writer, struct sea_buf *out);

#endif
