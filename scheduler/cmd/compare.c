/* SPDX-License-Identifier: Apache-2.0 */
/* sea compare: two experiments on the same questions, paired and clustered by picture. The
 * statistics are sea.compare's (sql/migrations/0004_compare.sql). */
#include <stdio.h>

#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_table.h"

/* Both evaluated the same questions with the same gold answers, or the pair is refused. */
static enum sea_status
check_comparable(struct sea_db *db, int64_t a, int64_t b, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    status = sea_db_query(db, "cli_compare_check", SEA_PARAMS(SEA_P_INT(a), SEA_P_INT(b)), &rows,
                          err);
    if (!status && sea_rows_count(rows)) {
        status = sea_fail(err, SEA_E_CONFIG,
                          "experiments %lld and %lld are not comparable on %s: %lld questions "
                          "against %lld, not the same ones", (long long)a, (long long)b,
                          sea_rows_text(rows, 0, "benchmark", err),
                          (long long)sea_rows_int(rows, 0, "n_a", err),
                          (long long)sea_rows_int(rows, 0, "n_b", err));
        sea_hint(err, "Evaluate both with the same suite and the same benchmark files.");
    }
    sea_rows_close(rows);
    return status;
}

/* The two newest experiments with scores: what --last compares, older one first. */
static enum sea_status
newest_two(struct sea_db *db, int64_t *a, int64_t *b, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query(db, "cli_newest_scored", SEA_NO_PARAMS, &rows, err);

    if (!status && sea_rows_count(rows) < 2) {
        status = sea_fail(err, SEA_E_CONFIG, "%s has scores, --last needs two",
                          sea_rows_count(rows) ? "one experiment" : "no experiment");
        sea_hint(err, "`sea status` lists experiments.");
    } else if (!status) {
        *b = sea_rows_int(rows, 0, "experiment_id", err);
        *a = sea_rows_int(rows, 1, "experiment_id", err);
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* SEA_E_CONFIG when one of them does not exist. */
static enum sea_status
check_names(struct sea_db *db, int64_t a, int64_t b, bool print, struct sea_err *err)
{
    const int64_t ids[] = { a, b };
    enum sea_status status = SEA_OK;
    int i;

    for (i = 0; i < 2 && !status; i++) {
        struct sea_rows *rows = NULL;

        status = sea_db_query(db, "cli_experiment", SEA_PARAMS(SEA_P_INT(ids[i])), &rows, err);
        if (!status && sea_rows_count(rows) == 0) {
            status = sea_fail(err, SEA_E_CONFIG, "there is no experiment %lld",
                              (long long)ids[i]);
            sea_hint(err, "`sea status` lists experiments.");
        }
        if (!status && print)
            printf("%c = experiment %lld, %s\n", "AB"[i], (long long)ids[i],
                   sea_rows_text(rows, 0, "name", err));
        sea_rows_close(rows);
    }
    return status;
}

static enum sea_status
compare(struct sea_db *db, int64_t a, int64_t b, bool control, bool json, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;

    status = check_names(db, a, b, false, err);
    if (!status)
        status = check_comparable(db, a, b, err);
    if (!status)
        status = sea_db_query(db, json ? "cli_compare_all" : "cli_compare",
                              SEA_PARAMS(SEA_P_INT(a), SEA_P_INT(b), SEA_P_BOOL(control)), &rows,
                              err);
    if (!status && sea_rows_count(rows) == 0) {
        status = sea_fail(err, SEA_E_CONFIG, "experiments %lld and %lld share no scored question",
                          (long long)a, (long long)b);
        sea_hint(err, "`sea status ID` tells whether their eval stages are done.");
    }
    if (!status && !json)
        status = check_names(db, a, b, true, err);
    if (!status)
        sea_table_print(rows, json ? SEA_FORMAT_JSON : SEA_FORMAT_TABLE, "", stdout);
    sea_rows_close(rows);
    return status;
}

enum sea_status
sea_cmd_compare(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL;
    bool json = false, last = false, control = false;
    int64_t a = 0, b = 0;
    const struct sea_arg table[] = {
        { "--last", SEA_ARG_FLAG, &last, NULL, "the two newest experiments with scores" },
        { "--control", SEA_ARG_FLAG, &control, NULL, "their answers to shuffled pictures" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 4, .max = 2, .data = &data,
                                        .role = "sea compare" };
    const struct sea_texts *ids = &command.rest;
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    status = sea_args_count(ids, last ? 0 : 2, last ? 0 : 2, call->usage, err);
    if (!status && !last)
        status = sea_args_id(ids->at[0], "an experiment", &a, err);
    if (!status && !last)
        status = sea_args_id(ids->at[1], "an experiment", &b, err);
    if (!status)
        status = sea_home_connect(&command.home, command.role, &command.db, err);
    if (!status && last)
        status = newest_two(command.db, &a, &b, err);
    if (!status)
        status = compare(command.db, a, b, control, json, err);
    sea_db_close(command.db);
    return status;
}
