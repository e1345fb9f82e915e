/* SPDX-License-Identifier: Apache-2.0 */
/* sea nightly: schedules of evaluations, and what they found. The work is done by functions
 * of the database (sql/migrations/0006_nightly.sql and 0010); here files become calls and rows
 * become text. */
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_experiment.h"
#include "pipeline/sea_inputs.h"
#include "scheduler/sea_absolute.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_follow.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_table.h"

#define FILE_BYTES_MAX ((size_t)1 << 20)
#define JSON_BYTES_MAX ((size_t)16 << 20)
#define MODELS_MAX 64
#define AWAY_MS 60000
#define JUDGE_MS 60000          /* how long `run --wait` waits for a scheduler's verdict */

struct nightly {                /* the command's line */
    const char *data, *night, *format, *note;
    bool json, wait;
    struct sea_home_command home;
};

/* ---- add ---- */

enum kind { TEXT, NUMBER, MAP, TRUTH };

static const struct key {       /* of a schedule file */
    const char *name;
    enum kind kind;
    bool needed, passed;        /* passed: to the database as it is */
} keys[] = {
    { "name", TEXT, true, true },      { "cron", TEXT, true, true },
    { "suite", TEXT, true, false },    { "models", MAP, true, false },
    { "baseline", TEXT, false, true }, { "catch_up", TEXT, false, true },
    { "q", NUMBER, false, true },      { "delta", NUMBER, false, true },
    { "power", NUMBER, false, true },  { "eval", MAP, false, false },
    { "device", TEXT, false, false },  { "confirm", TRUTH, false, true },
};
#define KEYS_COUNT (sizeof(keys) / sizeof(keys[0]))

static bool
fits(const struct sea_node *node, enum kind kind)
{
    if (kind == MAP)
        return node->kind == SEA_NODE_MAP;
    if (kind == TRUTH)
        return node->kind == SEA_NODE_BOOL;
    if (kind == NUMBER)
        return node->kind == SEA_NODE_INT || node->kind == SEA_NODE_REAL;
    return node->kind == SEA_NODE_STRING || node->kind == SEA_NODE_INT;
}

static enum sea_status
check_keys(const struct sea_node *file, const char *path, struct sea_err *err)
{
    static const char *const words[] = { "a text", "a number", "a map", "true or false" };
    const struct sea_node *node;
    enum sea_status status = SEA_OK;
    size_t i;

    if (file->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\" is not a map of a schedule's keys", path);
    for (node = file->first; node && !status; node = node->next) {
        for (i = 0; i < KEYS_COUNT && strcmp(keys[i].name, node->key) != 0; i++)
            ;
        if (i == KEYS_COUNT)
            status = sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: a schedule has no key \"%s\"",
                              path, node->line, node->key);
        else if (!fits(node, keys[i].kind))
            status = sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: \"%s\" is %s, need %s", path,
                              node->line, node->key, sea_node_kind_name(node->kind),
                              words[keys[i].kind]);
    }
    for (i = 0; i < KEYS_COUNT && !status; i++)
        if (keys[i].needed && !sea_node_get(file, keys[i].name))
            status = sea_fail(err, SEA_E_CONFIG, "\"%s\" has no key \"%s\"", path, keys[i].name);
    sea_hint(err, "Keys: name, cron, suite, models; optionally baseline, catch_up, q, delta, "
                  "power, confirm, eval, device. configs/schedules has examples.");
    return status;
}

/* The experiment that evaluates one model, with absolute paths, below models. */
static enum sea_status
add_model(const struct sea_node *file, const char *path, const struct sea_node *model,
          struct sea_node *models, struct sea_arena *arena, struct sea_err *err)
{
    const char *device = sea_node_text(sea_node_get(file, "device"), NULL);
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *stages, *eval;
    const struct sea_node *more = sea_node_get(file, "eval"), *one;
    struct sea_err missing = { 0 };
    struct sea_experiments found;
    enum sea_status status;

    if (model->kind != SEA_NODE_STRING)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: model \"%s\" is %s, need the path of "
                        "its folder", path, model->line, model->key,
                        sea_node_kind_name(model->kind));
    sea_node_put_text(arena, root, "name",
                      sea_arena_printf(arena, "%s/%s",
                                       sea_node_text(sea_node_get(file, "name"), ""), model->key));
    sea_node_put_text(arena, sea_node_put(arena, root, "model", SEA_NODE_MAP), "path",
                      model->text);
    stages = sea_node_put(arena, root, "stages", SEA_NODE_MAP);
    eval = sea_node_put(arena, stages, "eval", SEA_NODE_MAP);
    sea_node_put_text(arena, eval, "suite", sea_node_text(sea_node_get(file, "suite"), ""));
    for (one = more ? more->first : NULL; one; one = one->next)
        sea_node_put_copy(arena, eval, one->key, one);
    if (device)
        sea_node_put_text(arena, sea_node_put(arena, root, "resources", SEA_NODE_MAP), "device",
                          device);
    status = sea_experiment_resolve(root, path, NULL, 0, arena, &found, err);
    if (!status)
        status = sea_absolute_paths(found.list[0].config, arena, err);
    if (status)
        return status;
    sea_node_put_copy(arena, models, model->key, found.list[0].config);
    /* A model may come later than its schedule: said, not refused. */
    if (sea_inputs_check(found.list[0].config, NULL, &missing))
        fprintf(stderr, "note: nights will fail until this is mended: %s\n", missing.message);
    return SEA_OK;
}

static enum sea_status
read_schedule(const char *path, struct sea_arena *arena, struct sea_buf *json,
              struct sea_err *err)
{
    struct sea_node *file, *out = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *models;
    const struct sea_node *one;
    enum sea_status status;
    size_t i;

    status = sea_yaml_load(path, FILE_BYTES_MAX, arena, &file, err);
    if (!status)
        status = check_keys(file, path, err);
    if (!status && sea_node_get(file, "models")->count > MODELS_MAX)
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" names %zu models, at most %d", path,
                          sea_node_get(file, "models")->count, MODELS_MAX);
    if (status)
        return status;
    for (i = 0; i < KEYS_COUNT; i++)
        if (keys[i].passed && (one = sea_node_get(file, keys[i].name)))
            sea_node_put_copy(arena, out, keys[i].name, one);
    models = sea_node_put(arena, out, "models", SEA_NODE_MAP);
    for (one = sea_node_get(file, "models")->first; one && !status; one = one->next)
        status = add_model(file, path, one, models, arena, err);
    return status ? status : sea_json_write(out, SEA_JSON_COMPACT, json, err);
}

static enum sea_status
run_add(struct nightly *line, const struct sea_call *call, const char *path, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    struct sea_node *tree = NULL;
    struct sea_buf json;
    const char *name = "";
    enum sea_status status;

    sea_buf_init(&json, JSON_BYTES_MAX);
    status = read_schedule(path, call->arena, &json, err);
    if (!status)
        status = sea_db_query(line->home.db, "nightly_add", SEA_PARAMS(SEA_P_TEXT(json.data)),
                              NULL, err);
    if (!status)
        status = sea_json_parse(json.data, json.len, path, call->arena, &tree, err);
    if (!status) {
        name = sea_node_text(sea_node_get(tree, "name"), "");
        status = sea_db_query_one(line->home.db, "nightly_next", SEA_PARAMS(SEA_P_TEXT(name)),
                                  &rows, err);
    }
    if (!status && line->json)
        sea_table_print(rows, SEA_FORMAT_JSON, "", stdout);
    else if (!status)
        printf("schedule %s: next at %s\n", name, sea_rows_text(rows, 0, "next", err));
    if (status)
        sea_context(err, "while adding the schedule of \"%s\"", path);
    sea_rows_close(rows);
    sea_buf_release(&json);
    return status ? status : err->status;
}

/* Lets a schedule rest, or go on. */
static enum sea_status
run_enable(struct nightly *line, const char *name, bool enabled, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query_one(line->home.db, "nightly_enable",
                                              SEA_PARAMS(SEA_P_TEXT(name), SEA_P_BOOL(enabled)),
                                              &rows, err);

    if (!status && line->json)
        sea_table_print(rows, SEA_FORMAT_JSON, "", stdout);
    else if (!status)
        printf("schedule %s: %s%s\n", name, enabled ? "next at " : "rests",
               sea_rows_text_or(rows, 0, "next", "", err));
    sea_rows_close(rows);
    return status ? status : err->status;
}

/* ---- report ---- */

/* Nights one by one, then what is still worse than before. */
static enum sea_status
print_report(struct sea_db *db, const char *name, const char *night, bool markdown,
             struct sea_err *err)
{
    enum sea_format format = markdown ? SEA_FORMAT_MD : SEA_FORMAT_TABLE;
    struct sea_rows *nights = NULL;
    enum sea_status status;
    size_t i;

    status = sea_db_query(db, "nightly_nights", SEA_PARAMS(SEA_P_TEXT(name), SEA_P_TEXT(night)),
                          &nights, err);
    if (!status && sea_rows_count(nights) == 0)
        printf("no nights%s%s%s%s%s: `sea nightly list` lists schedules, `sea nightly run NAME` "
               "starts a night\n", name ? " of \"" : "", name ? name : "", name ? "\"" : "",
               night ? " on " : "", night ? night : "");
    for (i = 0; i < sea_rows_count(nights) && !status; i++) {
        const char *schedule = sea_rows_text(nights, i, "name", err);

        printf("%s%s%s, night of %s%s%s", i ? "\n" : "", markdown ? "## " : "", schedule,
               sea_rows_text(nights, i, "night", err),
               sea_rows_bool(nights, i, "judged", err) ? "" : ", still running",
               markdown ? "\n\n" : "\n");
        status = sea_table_query(db, "nightly_verdicts",
                                 SEA_PARAMS(SEA_P_TEXT(schedule),
                                            SEA_P_TEXT(sea_rows_text(nights, i, "slot", err))),
                                 format, "no models", stdout, err);
    }
    sea_rows_close(nights);
    if (!status) {
        printf("\n%sregressions that are not resolved%s", markdown ? "## " : "",
               markdown ? "\n\n" : ":\n");
        status = sea_table_query(db, "nightly_open", SEA_PARAMS(SEA_P_TEXT(name)), format, "none",
                                 stdout, err);
    }
    return status ? status : err->status;
}

static enum sea_status
run_report(struct nightly *line, const char *name, struct sea_err *err)
{
    struct sea_db *db = line->home.db;
    const char *format = line->json ? "json" : line->format ? line->format : "text";

    if (strcmp(format, "json") == 0)
        return sea_table_query(db, "nightly_report_all",
                               SEA_PARAMS(SEA_P_TEXT(name), SEA_P_TEXT(line->night)),
                               SEA_FORMAT_JSON, "", stdout, err);
    if (strcmp(format, "text") != 0 && strcmp(format, "md") != 0)
        return sea_fail(err, SEA_E_CONFIG, "unknown format \"%s\", know: text, md, json", format);
    return print_report(db, name, line->night, strcmp(format, "md") == 0, err);
}

/* ---- run ---- */

/* A night that looks bad is evaluated a second time: follows those experiments to their ends.
 * *any when there were some. */
static enum sea_status
follow_second_runs(struct sea_db *db, const char *name, const char *slot, bool *any,
                   struct sea_err *err)
{
    struct sea_follow_result result;
    struct sea_rows *rows = NULL;
    int64_t ids[MODELS_MAX];
    enum sea_status status;
    size_t i, count;

    *any = false;
    status = sea_db_query(db, "nightly_second_runs", SEA_PARAMS(SEA_P_TEXT(name), SEA_P_TEXT(slot)),
                          &rows, err);
    count = sea_rows_count(rows) < MODELS_MAX ? sea_rows_count(rows) : MODELS_MAX;
    for (i = 0; i < count; i++)
        ids[i] = sea_rows_int(rows, i, "experiment_id", err);
    sea_rows_close(rows);
    if (!status)
        status = err->status;
    if (status || count == 0)
        return status;
    *any = true;
    fprintf(stderr, "something got worse: a second run decides whether anybody is told\n");
    return sea_follow(db, ids, count, AWAY_MS, &sea_role_stop, stderr, &result, err);
}

/* The schedulers judge a night when its last experiment has ended. */
static enum sea_status
wait_for_verdict(struct sea_db *db, const char *name, const char *slot, struct sea_err *err)
{
    int64_t deadline = sea_clock_ms() + JUDGE_MS;

    while (!sea_role_stop) {
        struct sea_rows *rows = NULL;
        enum sea_status status = sea_db_query_one(db, "nightly_judged",
                                                  SEA_PARAMS(SEA_P_TEXT(name), SEA_P_TEXT(slot)),
                                                  &rows, err);
        bool judged = !status && sea_rows_bool(rows, 0, "judged", err), again = false;

        sea_rows_close(rows);
        if (!status && !judged)
            status = follow_second_runs(db, name, slot, &again, err);
        if (status || judged)
            return status;
        if (again)
            deadline = sea_clock_ms() + JUDGE_MS;
        if (sea_clock_ms() > deadline) {
            sea_fail(err, SEA_E_SERVICE, "nobody judged the night within %d s", JUDGE_MS / 1000);
            sea_hint(err, "See whether a scheduler runs: `sea doctor`.");
            return err->status;
        }
        sea_clock_sleep_ms(200);
    }
    return sea_fail(err, SEA_E_STOPPED, "stopped watching; the night goes on");
}

static enum sea_status
run_now(struct nightly *line, const char *name, struct sea_err *err)
{
    struct sea_rows *night = NULL, *runs = NULL;
    struct sea_follow_result result;
    int64_t ids[MODELS_MAX];
    const char *slot = "";
    enum sea_status status;
    size_t i, count;

    status = sea_db_query_one(line->home.db, "nightly_run", SEA_PARAMS(SEA_P_TEXT(name)), &night,
                              err);
    if (!status) {
        slot = sea_rows_text(night, 0, "night", err);
        status = sea_db_query(line->home.db, "nightly_experiments",
                              SEA_PARAMS(SEA_P_TEXT(name), SEA_P_TEXT(slot)), &runs, err);
    }
    count = sea_rows_count(runs) < MODELS_MAX ? sea_rows_count(runs) : MODELS_MAX;
    for (i = 0; i < count; i++)
        ids[i] = sea_rows_int(runs, i, "experiment_id", err);
    if (!status && line->json)
        sea_table_print(runs, SEA_FORMAT_JSON, "", stdout);
    for (i = 0; i < count && !line->json; i++)
        printf("experiment %lld: %s/%s\n", (long long)ids[i], name,
               sea_rows_text(runs, i, "model", err));
    fflush(stdout);
    if (!status && line->wait)
        status = sea_role_hold(line->home.home.dir, NULL, err);
    if (!status && line->wait)
        status = sea_follow(line->home.db, ids, count, AWAY_MS, &sea_role_stop, stderr, &result,
                            err);
    if (!status && line->wait)
        status = wait_for_verdict(line->home.db, name, slot, err);
    if (!status && line->wait && !line->json)
        status = run_report(line, name, err);
    if (!status && line->wait)
        status = sea_follow_failure(line->home.db, ids, count, &result, err);
    sea_rows_close(runs);
    sea_rows_close(night);
    return status ? status : err->status;
}

static enum sea_status
run_mark(struct nightly *line, const char *regression, const char *state, struct sea_err *err)
{
    int64_t id;
    enum sea_status status = sea_args_id(regression, "a regression", &id, err);

    if (!status)
        status = sea_db_query(line->home.db, "nightly_mark",
                              SEA_PARAMS(SEA_P_INT(id), SEA_P_TEXT(state),
                                         SEA_P_TEXT(line->note)), NULL, err);
    if (!status)
        printf("regression %lld: %s\n", (long long)id, state);
    return status;
}

/* Before anything is connected to. */
static enum sea_status
check_form(const struct sea_texts *rest, const struct sea_call *call, struct sea_err *err)
{
    static const struct { const char *name; size_t min, max; } forms[] = {
        { "add", 1, 1 }, { "list", 0, 0 }, { "enable", 1, 1 }, { "disable", 1, 1 },
        { "run", 1, 1 }, { "report", 0, 1 }, { "mark", 2, 2 },
    };
    size_t i;

    for (i = 0; i < sizeof(forms) / sizeof(forms[0]); i++)
        if (strcmp(rest->at[0], forms[i].name) == 0)
            return sea_args_count(rest, 1 + forms[i].min, 1 + forms[i].max, call->usage, err);
    sea_fail(err, SEA_E_CONFIG, "\"nightly %s\" is not a command", rest->at[0]);
    sea_hint(err, "Usage: sea %s", call->usage);
    return SEA_E_CONFIG;
}

static enum sea_status
run_form(struct nightly *line, const struct sea_call *call, struct sea_err *err)
{
    const struct sea_texts *rest = &line->home.rest;
    const char *form = rest->at[0];

    if (strcmp(form, "add") == 0)
        return run_add(line, call, rest->at[1], err);
    if (strcmp(form, "list") == 0)
        return sea_table_query(line->home.db, "nightly_list", SEA_NO_PARAMS,
                               line->json ? SEA_FORMAT_JSON : SEA_FORMAT_TABLE,
                               "no schedules: `sea nightly add FILE`", stdout, err);
    if (strcmp(form, "enable") == 0 || strcmp(form, "disable") == 0)
        return run_enable(line, rest->at[1], form[0] == 'e', err);
    if (strcmp(form, "run") == 0)
        return run_now(line, rest->at[1], err);
    if (strcmp(form, "report") == 0)
        return run_report(line, rest->count == 2 ? rest->at[1] : NULL, err);
    return run_mark(line, rest->at[1], rest->at[2], err);
}

enum sea_status
sea_cmd_nightly(const struct sea_call *call, struct sea_err *err)
{
    struct nightly line = { .data = NULL };
    const struct sea_arg table[] = {
        { "--wait", SEA_ARG_FLAG, &line.wait, NULL, "run: follow the night to its verdicts" },
        { "--night", SEA_ARG_TEXT, &line.night, "DATE", "report: nights of this date, UTC" },
        { "--format", SEA_ARG_TEXT, &line.format, "F", "report: text, md or json" },
        { "--note", SEA_ARG_TEXT, &line.note, "TEXT", "mark: why" },
        { "--json", SEA_ARG_FLAG, &line.json, NULL, "as JSON" },
        { "--data", SEA_ARG_TEXT, &line.data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };
    enum sea_status status;

    line.home = (struct sea_home_command){ .table = table, .table_count = 6, .min = 1, .max = 3,
                                           .data = &line.data, .role = "sea nightly" };
    status = sea_home_prepare(call, &line.home, err);
    if (status || line.home.helped)
        return status;
    status = check_form(&line.home.rest, call, err);
    if (!status)
        status = sea_home_connect(&line.home.home, line.home.role, &line.home.db, err);
    if (!status)
        status = run_form(&line, call, err);
    sea_db_close(line.home.db);
    return status;
}
