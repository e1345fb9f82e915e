/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a Parquet file. What must hold: a file is refused with one error, or its
 * rows can be read until the end or the first error; every picture that a row names can be
 * read or is refused; the same file read again gives the same rows. For usage see mutate.h.
 */
#include "tests/fuzz/mutate.h"

#include "pipeline/sea_parquet.h"

#define ROWS_LOOKED_AT 2000     /* a count of rows costs a few bytes in a file */

struct looking {
    struct sea_parquet *parquet;
    uint64_t sum;
};

static const char *
look_at_picture(struct looking *l, const struct sea_node *node)
{
    struct sea_err err = { 0 };
    struct sea_buf bytes;
    const char *path, *wrong = NULL;
    int64_t cell;

    if (sea_parquet_is_picture(node, &cell, &path)) {
        sea_buf_init(&bytes, SEA_PARQUET_PICTURE_MAX);
        if (sea_parquet_picture(l->parquet, sea_parquet_index(l->parquet), cell, &bytes, &err))
            wrong = check_refusal(&err);
        l->sum = l->sum * 31 + bytes.len + (bytes.len ? (unsigned char)bytes.data[bytes.len - 1] : 0);
        sea_buf_release(&bytes);
    }
    for (const struct sea_node *child = node->first; child && !wrong; child = child->next)
        wrong = look_at_picture(l, child);
    return wrong;
}

/* NULL or what is wrong; *rows: how many could be read; *refused: the first error. */
static const char *
read_all(struct looking *l, int64_t *rows, bool *refused)
{
    struct sea_arena *arena = sea_arena_create(NULL, "rows");
    const char *wrong = NULL;
    struct sea_buf text;

    sea_buf_init(&text, (size_t)1 << 30);
    *refused = false;
    l->sum = 0;
    for (*rows = 0; !wrong && *rows < ROWS_LOOKED_AT; ++*rows) {
        struct sea_err err = { 0 };
        struct sea_node *row;

        sea_arena_reset(arena);
        sea_buf_clear(&text);
        if (sea_parquet_next(l->parquet, arena, &row, &err)) {
            *refused = true;
            wrong = row ? "a refused row was given" : check_refusal(&err);
            break;
        }
        if (!row)
            break;
        if (sea_json_write(row, SEA_JSON_COMPACT, &text, &err))
            wrong = "a row cannot be written";
        for (size_t i = 0; i < text.len; i++)
            l->sum = l->sum * 31 + (unsigned char)text.data[i];
        if (!wrong)
            wrong = look_at_picture(l, row);
    }
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return wrong;
}

const char *
sea_fuzz_check(const uint8_t *data, size_t n)
{
    const char *wrong = fuzz_write("rows.parquet", data, n);
    int64_t rows[2] = { 0, 0 };
    uint64_t sums[2] = { 0, 0 };
    bool refused[2] = { false, false };

    for (int i = 0; i < 2 && !wrong; i++) {
        struct looking l = { 0 };
        struct sea_err err = { 0 };

        if (sea_parquet_open(&l.parquet, fuzz_path, &err)) {
            sea_fuzz_refused++;
            return l.parquet ? "a refused file left a data set" : check_refusal(&err);
        }
        wrong = read_all(&l, &rows[i], &refused[i]);
        if (!wrong && !refused[i] && rows[i] < ROWS_LOOKED_AT && rows[i] != sea_parquet_rows(l.parquet))
            wrong = "the rows are not as many as the file says";
        sums[i] = l.sum;
        sea_parquet_close(l.parquet);
    }
    if (!wrong && (rows[0] != rows[1] || sums[0] != sums[1] || refused[0] != refused[1]))
        wrong = "the same file gave other rows";
    if (refused[0])
        sea_fuzz_refused++;
    else
        sea_fuzz_accepted++;
    return wrong;
}

SEA_FUZZ_PROGRAM
