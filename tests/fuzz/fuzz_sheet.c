/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a spreadsheet, or, where they do not begin like an archive, as the sheet
 * and the shared texts of one. What must hold: a refusal has one error; accepted rows are maps
 * whose texts are valid and can be written as JSON. For usage see mutate.h.
 */
#include "tests/fuzz/mutate.h"

#include "engine/base/sea_node.h"
#include "pipeline/benchmarks/benchmarks_int.h"
#include "pipeline/benchmarks/xlsx_int.h"

static const char *
check_rows(const char *at, size_t n)
{
    struct sea_arena *arena = sea_arena_create(NULL, "fuzz");
    struct sea_node *rows = NULL, *row;
    struct sea_err err = { 0 };
    const char *wrong = NULL;
    struct sea_buf text;

    sea_buf_init(&text, (size_t)1 << 30);
    if (sea_xlsx_read(at, n, "book.xlsx", arena, &rows, &err)) {
        wrong = rows ? "a refused file gave rows" : check_refusal(&err);
        sea_fuzz_refused++;
    } else {
        sea_fuzz_accepted++;
        for (row = rows->first; row && !wrong; row = row->next)
            if (row->kind != SEA_NODE_MAP)
                wrong = "a row is no map";
        if (!wrong && sea_json_write(rows, SEA_JSON_COMPACT, &text, &err))
            wrong = "rows cannot be written";
    }
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return wrong;
}

const char *
sea_fuzz_check(const uint8_t *data, size_t n)
{
    struct sea_zip_writer zip;
    struct sea_buf book;
    const char *wrong;

    if (sea_xlsx_is((const char *)data, n))
        return check_rows((const char *)data, n);
    sea_buf_init(&book, (size_t)1 << 30);
    sea_zip_begin(&zip, &book);
    sea_zip_add(&zip, "xl/worksheets/sheet1.xml", (const char *)data, n);
    sea_zip_add(&zip, "xl/sharedStrings.xml", (const char *)data, n);
    sea_zip_finish(&zip);
    wrong = check_rows(book.data, book.len);
    sea_buf_release(&book);
    return wrong;
}

SEA_FUZZ_PROGRAM
