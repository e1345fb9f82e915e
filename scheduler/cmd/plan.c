/* SPDX-License-Identifier: Apache-2.0 */
/* sea plan: what an experiment would cost, and what of it is cached already; of a model
 * folder, the memory that it needs. */
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_experiment.h"
#include "pipeline/sea_inputs.h"
#include "pipeline/sea_plan_report.h"
#include "pipeline/sea_stage.h"
#include "pipeline/sea_tools.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"

#define JSON_BYTES_MAX ((size_t)16 << 20)

/* Follows the stages in their order: a stage whose parents are cached has a key, and its
 * output's digest gives the keys of its children. cached[i] becomes true for such a stage. */
static enum sea_status
look_up(struct sea_db *db, const struct sea_node *config, const struct sea_plan_report *report,
        struct sea_arena *arena, bool *cached, struct sea_err *err)
{
    const char *digest[SEA_PLAN_STAGES_MAX] = { NULL };
    enum sea_status status = SEA_OK;
    size_t i, p, q;

    for (i = 0; i < report->count && !status; i++) {
        const struct sea_stage_def *def = sea_stage_find(report->stages[i].name);
        const char *parents[SEA_STAGE_INPUTS_MAX];
        struct sea_stage_input inputs[SEA_STAGE_INPUTS_MAX];
        size_t count = sea_stage_parents(config, def, parents), known = 0;
        char key[SEA_SHA256_TEXT];
        struct sea_rows *rows = NULL;

        for (p = 0; p < count; p++)
            for (q = 0; q < i; q++)
                if (strcmp(report->stages[q].name, parents[p]) == 0 && digest[q])
                    inputs[known++] = (struct sea_stage_input){ .key = parents[p],
                                                                .digest = digest[q] };
        if (known < count)
            continue;
        status = sea_stage_key(report->stages[i].name, config, inputs, count, key, err);
        if (!status)
            status = sea_db_query(db, "cli_cached", SEA_PARAMS(SEA_P_TEXT(key)), &rows, err);
        if (!status && sea_rows_count(rows)) {
            digest[i] = sea_arena_strdup(arena, sea_rows_text(rows, 0, "output_digest", err));
            cached[i] = true;
        }
        sea_rows_close(rows);
    }
    return status;
}

/* The database is asked when it is there; a plan needs none. Why it was not asked is in
 * away. */
static enum sea_status
find_cached(const char *data, const struct sea_node *config,
            const struct sea_plan_report *report, struct sea_arena *arena, bool *cached,
            struct sea_err *away, struct sea_err *err)
{
    struct sea_home home;
    struct sea_db *db = NULL;
    enum sea_status status = SEA_OK;

    if (!sea_home_open(&home, data, away) && !sea_home_connect(&home, "sea plan", &db, away))
        status = look_up(db, config, report, arena, cached, err);
    sea_db_close(db);
    return status;
}

static enum sea_status
print_json(const struct sea_plan_report *report, const struct sea_node *config,
           const bool *cached, bool asked, struct sea_arena *arena, struct sea_err *err)
{
    struct sea_node *node = sea_plan_report_node(report, arena);
    struct sea_node *list = sea_node_put(arena, node, "cached", SEA_NODE_LIST);
    struct sea_buf text;
    enum sea_status status;
    size_t i;

    for (i = 0; asked && i < report->count; i++)
        if (cached[i])
            sea_node_put_text(arena, list, NULL, report->stages[i].name);
    sea_node_put_copy(arena, node, "experiment", config);
    sea_buf_init(&text, JSON_BYTES_MAX);
    status = sea_json_write(node, SEA_JSON_PRETTY, &text, err);
    if (!status)
        fputs(text.data, stdout);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
plan_one(const struct sea_node *config, const char *data, const char *device, bool json,
         struct sea_arena *arena, struct sea_err *err)
{
    struct sea_plan_report report;
    bool cached[SEA_PLAN_STAGES_MAX] = { false }, asked;
    struct sea_err away = { 0 };
    enum sea_status status = sea_inputs_check(config, NULL, err);
    size_t i;

    if (!status)
        status = sea_plan_report_make(config, device, arena, &report, err);
    if (!status)
        status = find_cached(data, config, &report, arena, cached, &away, err);
    if (status)
        return status;
    asked = away.status == SEA_OK;
    if (json)
        return print_json(&report, config, cached, asked, arena, err);
    sea_plan_report_print(&report, stdout);
    if (away.status == SEA_E_SERVICE)
        printf("cached: not known, no database is reachable\n");
    else if (!asked)
        printf("cached: not known, %s%s%s%s\n", away.message, away.hint[0] ? " (" : "",
               away.hint, away.hint[0] ? ")" : "");
    for (i = 0; asked && i < report.count; i++)
        if (cached[i])
            printf("cached: %s\n", report.stages[i].name);
    return SEA_OK;
}

enum sea_status
sea_cmd_plan(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL, *device = "auto";
    struct sea_tool_plan model = { .rows = 512, .precision = "f32" };
    struct sea_texts rest, sets = { .count = 0 };
    struct sea_experiments found;
    enum sea_status status;
    bool json = false, helped;
    size_t i;
    const struct sea_arg table[] = {
        { "--set", SEA_ARG_LIST, &sets, "KEY=VALUE", "override a key (repeat)" },
        { "--device", SEA_ARG_TEXT, &device, "D", "whose speed is measured (auto)" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON, with the resolved experiment" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--rows", SEA_ARG_INT, &model.rows, "N", "of a model folder: tokens at once (512)" },
        { "--pictures", SEA_ARG_INT, &model.pictures, "N", "of a model folder: among them" },
        { "--tower", SEA_ARG_TEXT, &model.tower, "DIR", "of LLaVA's own layout: the vision tower" },
        { "--precision", SEA_ARG_TEXT, &model.precision, "f32|bf16", "of a model folder (f32)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table,
                            sizeof(table) / sizeof(table[0]), &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (!status && sea_dir_exists(rest.at[0])) {
        model.dir = rest.at[0];
        model.json = json;
        return sea_tool_plan(&model, stdout, err);
    }
    if (!status)
        status = sea_experiment_load(rest.at[0], sets.at, sets.count, call->arena, &found, err);
    if (json && !status)
        printf("[");
    for (i = 0; !status && i < found.count; i++) {
        if (json && i)
            printf(",");
        status = plan_one(found.list[i].config, data, device, json, call->arena, err);
    }
    if (json && !status)
        printf("]\n");
    return status;
}
