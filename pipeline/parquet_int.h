/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_int.h - what the files of the Parquet reader share
 *
 *   parquet_meta.c    Thrift's compact protocol: footer and page headers
 *   parquet_schema.c  the list of schema elements as a tree, and what its leaves mean
 *   parquet_codec.c   unpacking of pages (libsnappy, zlib, libzstd stay here)
 *   parquet_values.c  levels and values inside a page
 *   parquet_column.c  a column chunk: pages, then entries (repetition, definition, value)
 *   parquet_rows.c    rows from the entries of their columns
 *   parquet_find.c    which files a path means
 *   parquet.c         data sets: checked footers, rows in order, pictures
 *
 * Functions below the rows return NULL, or a text that says what is wrong; parquet.c and
 * parquet_column.c add file, row group and column.
 */
#ifndef SEA_PARQUET_INT_H
#define SEA_PARQUET_INT_H

#include "engine/base/sea_file.h"
#include "pipeline/sea_parquet.h"

#define SEA_PQ_DEPTH_MAX 32     /* of the schema */
#define SEA_PQ_FIELDS_MAX 10000
#define SEA_PQ_GROUPS_MAX 1000000
#define SEA_PQ_PICTURE "(picture)"    /* a member that no column is called */
#define SEA_PQ_ROWS_MAX ((int64_t)1 << 40)

enum sea_pq_type {              /* the format's numbers */
    SEA_PQ_BOOLEAN, SEA_PQ_INT32, SEA_PQ_INT64, SEA_PQ_INT96, SEA_PQ_FLOAT, SEA_PQ_DOUBLE,
    SEA_PQ_BYTES, SEA_PQ_FIXED
};
enum sea_pq_kind {              /* what a field is to us */
    SEA_PQ_STRUCT, SEA_PQ_LIST, SEA_PQ_MAP,
    SEA_PQ_BOOL, SEA_PQ_INT, SEA_PQ_UINT, SEA_PQ_REAL, SEA_PQ_HALF, SEA_PQ_DECIMAL,
    SEA_PQ_TEXT, SEA_PQ_BINARY, SEA_PQ_NANOSECONDS
};
enum sea_pq_repetition { SEA_PQ_REQUIRED, SEA_PQ_OPTIONAL, SEA_PQ_REPEATED };

struct sea_pq_field {
    const char *name;
    enum sea_pq_kind kind;
    enum sea_pq_repetition repetition;
    enum sea_pq_type type;      /* of a leaf */
    int width, scale;           /* of FIXED; of DECIMAL */
    int max_def, max_rep;       /* levels of an entry that is there */
    int leaf;                   /* number of the column; of a group -1 */
    int first_leaf, leaves;     /* columns below */
    bool is_picture;            /* a leaf that rows leave alone */
    struct sea_pq_field *parent, *first, *last, *next;
    int count;                  /* children */
};

/* ---- footer (parquet_meta.c, parquet_schema.c) ---- */

struct sea_pq_element {         /* of the footer's flat schema; -1: not given */
    const char *name;
    int64_t type, width, repetition, children, converted, scale, logical;
    bool is_signed;
};
struct sea_pq_chunk {
    int64_t start, bytes, values;
    int64_t codec, type;
};
struct sea_pq_group {
    int64_t rows, first_row;    /* of the file */
    struct sea_pq_chunk *chunks;        // (leaves)
    int64_t chunks_count;
};
struct sea_pq_file {
    const char *path;
    struct sea_file_map map;
    struct sea_pq_field *root;
    struct sea_pq_field **leaves;       // (leaves_count)
    int leaves_count;
    struct sea_pq_group *groups;
    int64_t groups_count, rows, first_row;
};
struct sea_pq_footer {          /* as it stands in the file */
    struct sea_pq_element *elements;
    int64_t elements_count, groups_count, rows;
    struct sea_pq_group *groups;
};
/* Reads the footer's bytes; everything lives in arena. */
SEA_MUST_CHECK const char *
sea_pq_footer_parse(const unsigned char *bytes, size_t n, struct sea_arena *arena,
                    struct sea_pq_footer *out);
/* Fills root and leaves. */
SEA_MUST_CHECK const char *
sea_pq_schema_build(const struct sea_pq_footer *footer, struct sea_arena *arena,
                    struct sea_pq_file *out);
/* The type of a leaf for people: "text", "int64", "list of ...". */
const char *sea_pq_type_name(const struct sea_pq_field *leaf);
/* "a.b.c" of a field. */
const char *sea_pq_field_path(const struct sea_pq_field *field, struct sea_arena *arena);

enum { SEA_PQ_PAGE_DATA, SEA_PQ_PAGE_INDEX, SEA_PQ_PAGE_DICTIONARY, SEA_PQ_PAGE_DATA_2 };
struct sea_pq_page {            /* a page's header; what was not given is -1 */
    int64_t type, unpacked, packed, crc, values, encoding, def_encoding, rep_encoding;
    int64_t def_bytes, rep_bytes;
    bool has_crc, is_packed;
};
/* *used: bytes of the header. */
SEA_MUST_CHECK const char *
sea_pq_page_parse(const unsigned char *bytes, size_t n, struct sea_pq_page *out, size_t *used);

/* ---- codecs ---- */

const char *sea_pq_codec_name(int64_t codec);
/* NULL, or why pages of this codec cannot be read. */
const char *sea_pq_codec_refused(int64_t codec);
/* Unpacks to exactly `want` bytes. */
SEA_MUST_CHECK const char *
sea_pq_unpack(int64_t codec, const unsigned char *bytes, size_t n, unsigned char *out,
              size_t want);
uint32_t sea_pq_crc(const unsigned char *bytes, size_t n);

/* ---- inside a page (parquet_values.c) ---- */

struct sea_pq_bits {            /* runs and packed groups of small numbers */
    const unsigned char *at, *end;
    const unsigned char *run;   /* of packed ones */
    uint64_t bit, run_bits;
    int width;                  /* 0: every number is 0 */
    uint64_t left;
    uint32_t value;
};
void sea_pq_bits_init(struct sea_pq_bits *bits, const unsigned char *bytes, size_t n, int width);
bool sea_pq_bits_next(struct sea_pq_bits *bits, uint32_t *value);      /* false: at the end */
int sea_pq_bits_width(int64_t most);    /* of numbers 0 to most */

struct sea_pq_delta {           /* DELTA_BINARY_PACKED */
    const unsigned char *at, *end;
    const unsigned char *widths, *packed;
    uint64_t left, minis, mini_size, mini, in_mini, bit, least, value;
    int width;
    bool is_begun;
};

struct sea_pq_value {
    int64_t integer;            /* BOOLEAN, INT32, INT64; nanoseconds of INT96 */
    double real;                /* FLOAT, DOUBLE */
    const unsigned char *bytes; /* BYTES, FIXED; until the next value */
    size_t len;
};
struct sea_pq_dictionary {
    struct sea_pq_value *values;        /* malloc */
    size_t count;
};
struct sea_pq_values {          /* the values of a page */
    const struct sea_pq_field *leaf;
    int64_t encoding;
    const unsigned char *at, *end;
    uint64_t bit, index, count;
    struct sea_pq_bits bits;
    struct sea_pq_delta ints, prefixes;
    const struct sea_pq_dictionary *dictionary;
    unsigned char *last;        /* malloc; DELTA_BYTE_ARRAY */
    size_t last_len, last_room;
};
/* count: entries of the page, nulls too. */
SEA_MUST_CHECK const char *
sea_pq_values_begin(struct sea_pq_values *values, const struct sea_pq_field *leaf,
                    int64_t encoding, const unsigned char *bytes, size_t n, int64_t count,
                    const struct sea_pq_dictionary *dictionary);
SEA_MUST_CHECK const char *
sea_pq_values_next(struct sea_pq_values *values, struct sea_pq_value *out);
void sea_pq_values_end(struct sea_pq_values *values);
SEA_MUST_CHECK const char *
sea_pq_dictionary_read(struct sea_pq_dictionary *dictionary, const struct sea_pq_field *leaf,
                       const unsigned char *bytes, size_t n, int64_t count);

/* ---- a column chunk ---- */

struct sea_pq_column {          /* all zero is closed */
    const struct sea_pq_file *file;
    const struct sea_pq_field *leaf;
    int64_t group;
    const unsigned char *at, *end;      /* pages not read yet */
    const unsigned char *kept;  /* the mapping is given back up to here */
    int64_t ahead, in_page;     /* entries behind the page, and left in it */
    struct sea_pq_bits reps, defs;
    struct sea_pq_values values;
    struct sea_pq_dictionary dictionary;
    unsigned char *page, *dictionary_page;      /* malloc: unpacked */
    size_t page_room;
    bool is_ready;              /* rep and def are those of the entry ahead */
    int rep, def;
    int64_t row;                /* entries with rep 0 that were taken */
};
void sea_pq_column_open(struct sea_pq_column *column, const struct sea_pq_file *file,
                        int64_t group, const struct sea_pq_field *leaf);
void sea_pq_column_close(struct sea_pq_column *column);
/* Looks at the entry ahead; *rep is -1 at the end of the chunk. */
SEA_MUST_CHECK enum sea_status
sea_pq_column_peek(struct sea_pq_column *column, int *rep, int *def, struct sea_err *err);
/* Takes it; value may be NULL, and is left alone when the entry is null. */
SEA_MUST_CHECK enum sea_status
sea_pq_column_take(struct sea_pq_column *column, struct sea_pq_value *value,
                   struct sea_err *err);
/* Skips to the entry that begins this row of the group; pages before it are not unpacked
 * where the column has no lists. */
SEA_MUST_CHECK enum sea_status
sea_pq_column_seek(struct sea_pq_column *column, int64_t row, struct sea_err *err);
SEA_PRINTF(3) enum sea_status
sea_pq_column_fail(const struct sea_pq_column *column, struct sea_err *err, const char *fmt, ...);

/* ---- rows ---- */

/* Length of the first part of text that is UTF-8. */
size_t sea_pq_valid_length(const unsigned char *text, size_t n);

struct sea_pq_rows {            /* one row group at a time */
    const struct sea_pq_file *file;
    struct sea_pq_column *columns;      // (leaves) those that are wanted are open
    bool *wanted;               // (leaves)
    int64_t *taken;             // (leaves) entries of the row at hand
    int64_t row;                /* of the data set, for messages */
    int64_t entries;            /* of the row at hand, over all columns */
    size_t bytes;               /* of its values */
};
/* Marks the columns that rows are made of. */
void sea_pq_rows_choose(struct sea_pq_rows *rows);
/* The next row of the group as a map. */
SEA_MUST_CHECK enum sea_status
sea_pq_rows_take(struct sea_pq_rows *rows, struct sea_arena *arena, struct sea_node **out,
                 struct sea_err *err);
/* Fails when a column has more entries than the group's rows need. */
SEA_MUST_CHECK enum sea_status
sea_pq_rows_end(struct sea_pq_rows *rows, struct sea_err *err);

/* ---- files ---- */

/* The files of a data set, in order. */
SEA_MUST_CHECK enum sea_status
sea_pq_find(const char *path, struct sea_arena *arena, const char ***files, size_t *count,
            struct sea_err *err);

#endif
