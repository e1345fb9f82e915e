/* SPDX-License-Identifier: Apache-2.0 */
/* sea stage: one stage alone, by hand or as the child of a worker. */
#include <string.h>

#include "pipeline/sea_stage.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"

#define RANKS_MOST 64           /* on one machine */

/* "KEY=DIR" into an input; the key is copied into the arena. */
static enum sea_status
parse_input(const char *text, struct sea_arena *arena, struct sea_stage_input *out,
            struct sea_err *err)
{
    const char *equals = strchr(text, '=');

    if (!equals || equals == text || !equals[1]) {
        sea_fail(err, SEA_E_CONFIG, "--in \"%s\" is not KEY=DIR", text);
        sea_hint(err, "KEY is the stage that made the folder: --in label=out/label");
        return err->status;
    }
    out->key = sea_arena_strndup(arena, text, (size_t)(equals - text));
    out->dir = equals + 1;
    out->digest = NULL;
    return SEA_OK;
}

enum sea_status
sea_cmd_stage(const struct sea_call *call, struct sea_err *err)
{
    struct sea_stage_options options = { .name = NULL };
    struct sea_stage_input inputs[SEA_ARGS_MAX];
    struct sea_texts rest, in = { .count = 0 };
    enum sea_status status;
    int64_t ranks = 0;
    bool helped;
    size_t i;
    const struct sea_arg table[] = {
        { "--config", SEA_ARG_TEXT, &options.config_path, "FILE", "a resolved experiment" },
        { "--in", SEA_ARG_LIST, &in, "KEY=DIR", "folder of an earlier stage (repeat)" },
        { "--out", SEA_ARG_TEXT, &options.out_dir, "DIR", "output; an unfinished one continues" },
        { "--events", SEA_ARG_TEXT, &options.events, "FD|FILE", "JSON Lines instead of a bar" },
        { "--device", SEA_ARG_TEXT, &options.device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--ranks", SEA_ARG_INT, &ranks, "N", "processes that align or tune together" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (!status && !sea_stage_find(rest.at[0]))
        status = sea_fail(err, SEA_E_CONFIG, "there is no stage \"%s\", know: foundation, label, "
                          "align, tune, eval", rest.at[0]);
    if (!status)
        status = sea_args_need(options.config_path, "--config", call->usage, err);
    if (!status)
        status = sea_args_need(options.out_dir, "--out", call->usage, err);
    if (!status && (ranks < 0 || ranks > RANKS_MOST))
        status = sea_fail(err, SEA_E_CONFIG, "--ranks is %lld, need 1 to %d, or 0 for what the "
                          "experiment says", (long long)ranks, RANKS_MOST);
    for (i = 0; !status && i < in.count; i++)
        status = parse_input(in.at[i], call->arena, &inputs[i], err);
    if (status)
        return status;
    options.name = rest.at[0];
    options.ranks = (int)ranks;
    options.inputs = inputs;
    options.inputs_count = in.count;
    return sea_stage_run(&options, err);
}
