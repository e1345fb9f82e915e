/* SPDX-License-Identifier: Apache-2.0 */
/* sea data parquet: what a Parquet data set holds, and the same as JSON and pictures. */
#include <stdio.h>
#include <string.h>

#include "pipeline/sea_parquet.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"

#define HEAD_ROWS 3
#define TEXT_BYTES_MAX ((size_t)1 << 30)

static enum sea_status
print_json(struct sea_node *about, const struct sea_node *head, struct sea_arena *arena,
           struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;

    sea_node_put_copy(arena, about, "head", head);
    sea_buf_init(&text, TEXT_BYTES_MAX);
    status = sea_json_write(about, SEA_JSON_PRETTY, &text, err);
    if (!status)
        fputs(text.data, stdout);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
print_plain(const struct sea_node *about, const struct sea_node *head, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct sea_buf text;

    for (const struct sea_node *file = sea_node_get(about, "files")->first; file; file = file->next)
        printf("%s: %lld rows in %lld row groups, %lld bytes\n",
               sea_node_text(sea_node_get(file, "path"), ""),
               (long long)sea_node_int(sea_node_get(file, "rows"), 0),
               (long long)sea_node_int(sea_node_get(file, "row_groups"), 0),
               (long long)sea_node_int(sea_node_get(file, "bytes"), 0));
    for (const struct sea_node *column = sea_node_get(about, "columns")->first; column;
         column = column->next)
        printf("  %-40s %-10s %s\n", sea_node_text(sea_node_get(column, "name"), ""),
               sea_node_text(sea_node_get(column, "type"), ""),
               sea_node_text(sea_node_get(column, "codec"), ""));
    sea_buf_init(&text, TEXT_BYTES_MAX);
    for (const struct sea_node *row = head->first; row && !status; row = row->next) {
        sea_buf_clear(&text);
        status = sea_json_write(row, SEA_JSON_COMPACT, &text, err);
        if (!status)
            puts(text.data);
    }
    sea_buf_release(&text);
    return status;
}

static enum sea_status
show(const char *path, int64_t rows, bool json, struct sea_arena *arena, struct sea_err *err)
{
    struct sea_parquet *parquet;
    struct sea_node *about = NULL, *head;
    enum sea_status status = sea_parquet_open(&parquet, path, err);

    if (status)
        return status;
    about = sea_parquet_describe(parquet, arena);
    sea_parquet_close(parquet);
    status = sea_parquet_head(path, rows, arena, &head, err);
    if (status)
        return status;
    return json ? print_json(about, head, arena, err) : print_plain(about, head, err);
}

enum sea_status
sea_cmd_parquet(const struct sea_call *call, struct sea_err *err)
{
    struct sea_parquet_dump dump = { .rows = -1 };
    const char *out = NULL;
    bool json = false, helped;
    struct sea_texts rest;
    enum sea_status status;
    int64_t rows = 0;
    size_t n;
    const struct sea_arg table[] = {
        { "--head", SEA_ARG_INT, &dump.rows, "N", "rows to show (3) or to write (all)" },
        { "--out", SEA_ARG_TEXT, &out, "F", "write the rows: F.jsonl a line each, F.json a list" },
        { "--images", SEA_ARG_TEXT, &dump.images, "DIR",
          "with --out: write the pictures, equal ones once" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 2, 2, call->usage, err);
    if (!status && dump.rows < -1)
        status = sea_fail(err, SEA_E_CONFIG, "--head is %lld, expected 0 or more",
                          (long long)dump.rows);
    if (!status && dump.images && !out)
        status = sea_fail(err, SEA_E_CONFIG, "--images needs --out, which names its pictures");
    if (status)
        return status;
    if (!out)
        return show(rest.at[1], dump.rows < 0 ? HEAD_ROWS : dump.rows, json, call->arena, err);
    n = strlen(out);
    status = sea_parquet_write(rest.at[1], &dump, out,
                               n > 5 && strcmp(out + n - 5, ".json") == 0, &rows, err);
    if (!status)
        printf("%s: %lld rows\n", out, (long long)rows);
    return status;
}
