/* SPDX-License-Identifier: Apache-2.0 */
/* sea data: make data sets (one kind so far: the demo world's scenes), and look at some. */
#include <stdio.h>
#include <string.h>

#include "pipeline/sea_events.h"
#include "pipeline/sea_scenes.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"

static void
show_progress(void *arg, int64_t done, int64_t total)
{
    sea_events_progress(arg, done, total, "pictures");
}

struct range {                  /* a limit of sea_scenes.h, by its option's name */
    const char *option;
    int64_t value, min, max;
};

static enum sea_status
check_ranges(const struct range *range, size_t count, struct sea_err *err)
{
    for (; count > 0; range++, count--)
        if (range->value < range->min || range->value > range->max)
            return sea_fail(err, SEA_E_CONFIG, "%s is %lld, expected %lld to %lld", range->option,
                            (long long)range->value, (long long)range->min,
                            (long long)range->max);
    return SEA_OK;
}

struct scenes {                 /* options as they are parsed, and what they become */
    struct sea_scenes_options options;
    int64_t seed, kinds, size, turns, text_rows;
};

static enum sea_status
check_scenes(const struct sea_call *call, const struct scenes *scenes,
             const struct sea_texts *rest, struct sea_err *err)
{
    const struct range ranges[] = {
        { "--train", scenes->options.train, 1, 1000000 },
        { "--eval", scenes->options.eval, 8, 10000 },
        { "--seed", scenes->seed, 0, INT64_MAX }, { "--kinds", scenes->kinds, 12, 2000 },
        { "--size", scenes->size, 72, 480 }, { "--turns", scenes->turns, 1, 8 },
        { "--text-rows", scenes->text_rows, 0, 100 },
    };
    enum sea_status status = sea_args_count(rest, 1, 1, call->usage, err);

    if (!status && strcmp(rest->at[0], "scenes") != 0)
        status = sea_fail(err, SEA_E_CONFIG, "unknown data set \"%s\", know: scenes; or overlap, "
                          "parquet", rest->at[0]);
    if (!status)
        status = sea_args_need(scenes->options.out, "--out", call->usage, err);
    return status ? status : check_ranges(ranges, sizeof(ranges) / sizeof(ranges[0]), err);
}

static enum sea_status
make_scenes(struct scenes *scenes, struct sea_err *err)
{
    struct sea_scenes_options *options = &scenes->options;
    struct sea_events *events = NULL;
    enum sea_status status;
    bool made = false;

    options->seed = (uint64_t)scenes->seed;
    options->kinds = (int)scenes->kinds;
    options->image_size = (int)scenes->size;
    options->turns = (int)scenes->turns;
    options->text_rows = (int)scenes->text_rows;
    status = sea_events_open(&events, NULL, err);
    if (!status)
        status = sea_scenes_make(options, show_progress, events, &made, err);
    sea_events_close(events);
    if (!status)
        printf("%s: %s\n", options->out,
               made ? "made" : "is there already, made with these options");
    return status;
}

static enum sea_status
run_scenes(const struct sea_call *call, struct sea_err *err)
{
    struct scenes scenes;
    struct sea_scenes_options *options = &scenes.options;
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--out", SEA_ARG_TEXT, &options->out, "DIR", "folder to make" },
        { "--train", SEA_ARG_INT, &options->train, "N", "training scenes (3000)" },
        { "--eval", SEA_ARG_INT, &options->eval, "N", "scenes per benchmark (200)" },
        { "--kinds", SEA_ARG_INT, &scenes.kinds, "K", "kinds of objects (40)" },
        { "--seed", SEA_ARG_INT, &scenes.seed, "S", "seed of everything (1)" },
        { "--size", SEA_ARG_INT, &scenes.size, "PIXELS", "side of a picture (72)" },
        { "--turns", SEA_ARG_INT, &scenes.turns, "N", "rounds of a conversation (8)" },
        { "--text-rows", SEA_ARG_INT, &scenes.text_rows, "N",
          "rows of language-model text per scene (10)" },
        { "--font", SEA_ARG_TEXT, &options->font, "FILE", "NotoColorEmoji.ttf" },
        { "--names", SEA_ARG_TEXT, &options->names, "FILE", "CLDR annotations, en.xml" },
    };

    sea_scenes_defaults(options);
    scenes.seed = (int64_t)options->seed;
    scenes.kinds = options->kinds;
    scenes.size = options->image_size;
    scenes.turns = options->turns;
    scenes.text_rows = options->text_rows;
    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    status = check_scenes(call, &scenes, &rest, err);
    return status ? status : make_scenes(&scenes, err);
}

enum sea_status
sea_cmd_data(const struct sea_call *call, struct sea_err *err)
{
    if (call->argc > 0 && strcmp(call->argv[0], "overlap") == 0)
        return sea_cmd_overlap(call, err);
    if (call->argc > 0 && strcmp(call->argv[0], "parquet") == 0)
        return sea_cmd_parquet(call, err);
    return run_scenes(call, err);
}
