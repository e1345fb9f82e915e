/* SPDX-License-Identifier: Apache-2.0 */
/* sea data overlap: which questions of a benchmark a training file has seen. */
#include <stdio.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_overlap.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"

#define ROWS_BYTES_MAX ((size_t)1 << 30)

static enum sea_status
write_rows(const struct sea_overlap *found, const char *path, struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, ROWS_BYTES_MAX);
    sea_overlap_rows(found, &text);
    status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    return status;
}

static void
print_found(const struct sea_overlap *found)
{
    printf("%zu questions against %lld rows with %lld pictures\n", found->count,
           (long long)found->train_rows, (long long)found->train_images);
    printf("  %8lld have a picture of the training data\n", (long long)found->pictures);
    printf("  %8lld have a text of it\n", (long long)found->texts);
    printf("  %8lld share half of their runs of words with it, or more\n", (long long)found->runs);
    printf("  %8lld have picture and text in one row: seen\n", (long long)found->seen);
    if (found->unreadable)
        printf("  %8lld pictures could not be read\n", (long long)found->unreadable);
}

enum sea_status
sea_cmd_overlap(const struct sea_call *call, struct sea_err *err)
{
    static const char usage[] = "data overlap --train F --bench NAME --questions F "
                                "[--train-images DIR --images DIR]";
    struct sea_overlap_options options = { .train = NULL };
    const char *rows = NULL;
    bool json = false, helped;
    struct sea_overlap found;
    struct sea_texts rest;
    struct sea_buf text;
    enum sea_status status;
    const struct sea_arg table[] = {
        { "--train", SEA_ARG_TEXT, &options.train, "F", "training data, LLaVA's JSON" },
        { "--train-images", SEA_ARG_TEXT, &options.train_images, "DIR", "its pictures" },
        { "--bench", SEA_ARG_TEXT, &options.bench, "NAME", "benchmark, as in sea score --list" },
        { "--questions", SEA_ARG_TEXT, &options.questions, "F", "its question file" },
        { "--images", SEA_ARG_TEXT, &options.images, "DIR", "its pictures" },
        { "--words", SEA_ARG_INT, &options.words, "N", "length of a run of words (8)" },
        { "--distance", SEA_ARG_INT, &options.distance, "N",
          "signs of 64 that near pictures may differ in (4); -1: only equal bytes" },
        { "--rows", SEA_ARG_TEXT, &rows, "F", "write a JSON line per question" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (!status)
        status = sea_args_need(options.train, "--train", usage, err);
    if (!status)
        status = sea_args_need(options.questions, "--questions", usage, err);
    if (!status)
        status = sea_args_need(options.bench, "--bench", usage, err);
    if (!status)
        status = sea_overlap_find(&options, call->arena, &found, err);
    if (!status && rows)
        status = write_rows(&found, rows, err);
    if (status)
        return status;
    if (!json) {
        print_found(&found);
        return SEA_OK;
    }
    sea_buf_init(&text, 65536);
    status = sea_json_write(sea_overlap_node(&found, call->arena), SEA_JSON_PRETTY, &text, err);
    if (!status)
        fwrite(text.data, 1, text.len, stdout);
    sea_buf_release(&text);
    return status;
}
