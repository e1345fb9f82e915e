/* SPDX-License-Identifier: Apache-2.0 */
/* sea status, logs, cancel, retry, why, leaderboard, nightly: one query, one listing. */
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_headlines.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_table.h"

#define LIST_BYTES_MAX ((size_t)65536)

struct listing {                /* what every listing takes */
    const char *data, *format;
    bool json;
    struct sea_texts rest;
    bool helped;
};
#define LISTING_ARGS(listing)                                                        \
    { "--data", SEA_ARG_TEXT, &(listing).data, "DIR", "data folder (SEA_DATA, ./.sea)" }, \
    { "--json", SEA_ARG_FLAG, &(listing).json, NULL, "as JSON" }

/* Parses, checks the number of arguments, and connects. */
static enum sea_status
open_listing(const struct sea_call *call, const struct sea_arg *table, size_t count,
             size_t min, size_t max, struct listing *listing, struct sea_home *home,
             struct sea_db **db, struct sea_err *err)
{
    enum sea_status status;

    *db = NULL;
    status = sea_args_parse(call->argc, call->argv, call->usage, table, count, &listing->rest,
                            &listing->helped, err);
    if (status || listing->helped)
        return status;
    status = sea_args_count(&listing->rest, min, max, call->usage, err);
    if (!status)
        status = sea_home_open(home, listing->data, err);
    if (!status)
        status = sea_home_connect(home, "sea", db, err);
    return status;
}

static enum sea_status
print_query(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
            const struct listing *listing, const char *empty, struct sea_err *err)
{
    enum sea_format format = listing->json ? SEA_FORMAT_JSON : SEA_FORMAT_TABLE;
    struct sea_rows *rows = NULL;
    enum sea_status status = SEA_OK;

    if (listing->format)
        status = sea_format_find(listing->format, &format, err);
    if (!status)
        status = sea_db_query(db, name, params, count, &rows, err);
    if (!status)
        sea_table_print(rows, format, empty, stdout);
    sea_rows_close(rows);
    return status;
}

/* SEA_E_CONFIG when there is no experiment of this id. */
static enum sea_status
check_experiment(struct sea_db *db, int64_t id, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query(db, "cli_experiment", SEA_PARAMS(SEA_P_INT(id)), &rows,
                                          err);

    if (!status && sea_rows_count(rows) == 0) {
        status = sea_fail(err, SEA_E_CONFIG, "there is no experiment %lld", (long long)id);
        sea_hint(err, "`sea status` lists experiments.");
    }
    sea_rows_close(rows);
    return status;
}

static enum sea_status
take_id(struct sea_db *db, const char *text, int64_t *id, struct sea_err *err)
{
    enum sea_status status = sea_args_id(text, "experiment", id, err);

    return status ? status : check_experiment(db, *id, err);
}

enum sea_status
sea_cmd_status(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const struct sea_arg table[] = { LISTING_ARGS(listing) };
    struct sea_home home;
    struct sea_db *db;
    enum sea_status status;
    int64_t id;

    status = open_listing(call, table, 2, 0, 1, &listing, &home, &db, err);
    if (status || listing.helped)
        return status;
    if (listing.rest.count == 0) {
        status = print_query(db, listing.json ? "cli_experiments_all" : "cli_experiments",
                             SEA_NO_PARAMS, &listing,
                             "no experiments yet: `sea submit FILE`", err);
    } else {
        status = take_id(db, listing.rest.at[0], &id, err);
        if (!status)
            status = print_query(db, listing.json ? "cli_stages_all" : "cli_stages",
                                 SEA_PARAMS(SEA_P_INT(id)), &listing, "no stages", err);
    }
    sea_db_close(db);
    return status;
}

enum sea_status
sea_cmd_why(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const struct sea_arg table[] = { LISTING_ARGS(listing) };
    struct sea_home home;
    struct sea_db *db;
    enum sea_status status;
    int64_t id;

    status = open_listing(call, table, 2, 1, 1, &listing, &home, &db, err);
    if (status || listing.helped)
        return status;
    status = take_id(db, listing.rest.at[0], &id, err);
    if (!status)
        status = print_query(db, "cli_why", SEA_PARAMS(SEA_P_INT(id)), &listing,
                             "nothing of it is pending", err);
    sea_db_close(db);
    return status;
}

/* cancel and retry: one function of the database, one answer. */
static enum sea_status
call_on_experiment(const struct sea_call *call, const char *query, const char *words,
                   struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const struct sea_arg table[] = { LISTING_ARGS(listing) };
    struct sea_rows *rows = NULL;
    struct sea_home home;
    struct sea_db *db;
    enum sea_status status;
    int64_t id;

    status = open_listing(call, table, 2, 1, 1, &listing, &home, &db, err);
    if (status || listing.helped)
        return status;
    status = take_id(db, listing.rest.at[0], &id, err);
    if (!status)
        status = sea_db_query_one(db, query, SEA_PARAMS(SEA_P_INT(id)), &rows, err);
    if (!status && listing.json)
        sea_table_print(rows, SEA_FORMAT_JSON, "", stdout);
    else if (!status)
        printf("experiment %lld: %s %s\n", (long long)id, words,
               sea_rows_text_or(rows, 0, "result", "", err));
    sea_rows_close(rows);
    sea_db_close(db);
    return status ? status : err->status;
}

enum sea_status
sea_cmd_cancel(const struct sea_call *call, struct sea_err *err)
{
    return call_on_experiment(call, "cli_cancel", "cancelled, state is now", err);
}

enum sea_status
sea_cmd_retry(const struct sea_call *call, struct sea_err *err)
{
    return call_on_experiment(call, "cli_retry", "queued again as experiment", err);
}

/* Prints events after *last and moves it on. */
static enum sea_status
print_events(struct sea_db *db, int64_t id, int64_t *last, bool json, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    size_t i;

    status = sea_db_query(db, "cli_events", SEA_PARAMS(SEA_P_INT(id), SEA_P_INT(*last)), &rows,
                          err);
    if (!status && json)
        sea_table_print(rows, SEA_FORMAT_JSON, "", stdout);
    for (i = 0; !status && i < sea_rows_count(rows); i++) {
        if (!json)
            printf("%s %-10s %-5s %s\n", sea_rows_text(rows, i, "at", err),
                   sea_rows_text_or(rows, i, "stage", "-", err),
                   sea_rows_text(rows, i, "level", err), sea_rows_text(rows, i, "text", err));
        *last = sea_rows_int(rows, i, "id", err);
    }
    fflush(stdout);
    sea_rows_close(rows);
    return status ? status : err->status;
}

static bool
has_ended(struct sea_db *db, int64_t id, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    bool ended = true;

    if (sea_db_query(db, "cli_experiment", SEA_PARAMS(SEA_P_INT(id)), &rows, err) == SEA_OK)
        ended = sea_rows_count(rows) == 0 || sea_rows_bool(rows, 0, "ended", err);
    sea_rows_close(rows);
    return ended;
}

enum sea_status
sea_cmd_logs(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    bool follow = false, ended = false;
    int64_t id, last = 0;
    const struct sea_arg table[] = {
        LISTING_ARGS(listing),
        { "-f", SEA_ARG_FLAG, &follow, NULL, "go on until the experiment has ended" },
    };
    struct sea_home home;
    struct sea_db *db;
    enum sea_status status;

    status = open_listing(call, table, 3, 1, 1, &listing, &home, &db, err);
    if (status || listing.helped)
        return status;
    status = take_id(db, listing.rest.at[0], &id, err);
    if (!status)
        status = sea_role_hold(home.dir, NULL, err);
    while (!status) {
        /* Asked first: what is logged before the end is printed after it. */
        ended = !follow || has_ended(db, id, err);
        status = print_events(db, id, &last, listing.json, err);
        if (ended || sea_role_stop)
            break;
        sea_clock_sleep_ms(500);
    }
    sea_db_close(db);
    return status;
}

enum sea_status
sea_cmd_leaderboard(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const char *suite = NULL, *benchmark = NULL;
    struct sea_buf metrics;
    bool whole;
    const struct sea_arg table[] = {
        LISTING_ARGS(listing),
        { "--suite", SEA_ARG_TEXT, &suite, "S", "of this suite alone" },
        { "--benchmark", SEA_ARG_TEXT, &benchmark, "B", "of this benchmark alone" },
        { "--format", SEA_ARG_TEXT, &listing.format, "F", "table, csv, json or md" },
    };
    struct sea_home home;
    struct sea_db *db;
    enum sea_status status;

    status = open_listing(call, table, 5, 0, 0, &listing, &home, &db, err);
    if (status || listing.helped)
        return status;
    /* People get the metrics that matter; programs get every score at full precision. */
    whole = listing.json || (listing.format && (strcmp(listing.format, "json") == 0
                                                || strcmp(listing.format, "csv") == 0));
    sea_buf_init(&metrics, LIST_BYTES_MAX);
    sea_headlines(&metrics);
    status = print_query(db, whole ? "cli_scores" : "cli_leaderboard",
                         (const struct sea_param[]){ SEA_P_TEXT(suite), SEA_P_TEXT(benchmark),
                                                     SEA_P_TEXT(metrics.data) },
                         whole ? 2 : 3, &listing, "no scores yet: `sea submit FILE --wait`", err);
    sea_buf_release(&metrics);
    sea_db_close(db);
    return status;
}

enum sea_status
sea_cmd_nightly(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const struct sea_arg table[] = { LISTING_ARGS(listing) };
    struct sea_home home;
    struct sea_db *db;
    enum sea_status status;

    status = open_listing(call, table, 2, 1, 1, &listing, &home, &db, err);
    if (status || listing.helped)
        return status;
    if (strcmp(listing.rest.at[0], "list") == 0)
        status = print_query(db, "cli_schedules", SEA_NO_PARAMS, &listing, "no schedules", err);
    else if (strcmp(listing.rest.at[0], "report") == 0)
        status = print_query(db, "cli_nightly", SEA_NO_PARAMS, &listing, "no nightly runs yet",
                             err);
    else
        status = sea_fail(err, SEA_E_CONFIG, "\"nightly %s\" is not a command, know: list, report",
                          listing.rest.at[0]);
    sea_db_close(db);
    return status;
}
