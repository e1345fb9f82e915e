/* SPDX-License-Identifier: Apache-2.0 */
/* sea status, logs, cancel, retry, why, workers, leaderboard: one query, one listing. */
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_suite.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_headlines.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_table.h"

#define LIST_BYTES_MAX ((size_t)65536)
#define STATUS_LIMIT 100       /* experiments that people see without asking for more */
#define LIMIT_NONE INT64_MIN

struct listing {                /* what every listing takes */
    const char *data, *format_name;
    bool json;
    enum sea_format format;     /* of both */
    int64_t id;                 /* of the experiment; 0: none was named */
    struct sea_home_command home;
};
#define LISTING_ARGS(listing)                                                        \
    { "--data", SEA_ARG_TEXT, &(listing).data, "DIR", "data folder (SEA_DATA, ./.sea)" }, \
    { "--json", SEA_ARG_FLAG, &(listing).json, NULL, "as JSON" }

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

/* Parses and checks what was given (an argument is an experiment's id), and connects. */
static enum sea_status
open_listing(const struct sea_call *call, const struct sea_arg *table, size_t count,
             size_t min, size_t max, struct listing *listing, struct sea_err *err)
{
    enum sea_status status;

    listing->home = (struct sea_home_command){ .table = table, .table_count = count, .min = min,
                                               .max = max, .data = &listing->data,
                                               .role = "sea" };
    listing->format = SEA_FORMAT_TABLE;
    status = sea_home_prepare(call, &listing->home, err);
    if (status || listing->home.helped)
        return status;
    if (listing->home.rest.count)
        status = sea_args_id(listing->home.rest.at[0], "an experiment", &listing->id, err);
    if (!status && listing->format_name)
        status = sea_format_find(listing->format_name, &listing->format, err);
    else if (listing->json)
        listing->format = SEA_FORMAT_JSON;
    if (!status)
        status = sea_home_connect(&listing->home.home, listing->home.role, &listing->home.db, err);
    if (!status && listing->id)
        status = check_experiment(listing->home.db, listing->id, err);
    if (status) {
        sea_db_close(listing->home.db);
        listing->home.db = NULL;
    }
    return status;
}

static enum sea_status
print_query(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
            const struct listing *listing, const char *empty, struct sea_err *err)
{
    return sea_table_query(db, name, params, count, listing->format, empty, stdout, err);
}

/* Experiments that the limit kept from the reader: said, not kept quiet about. */
static enum sea_status
print_left_out(struct sea_db *db, int64_t limit, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query_one(db, "cli_experiments_count", SEA_NO_PARAMS, &rows,
                                              err);
    int64_t count = status ? 0 : sea_rows_int(rows, 0, "n", err);

    sea_rows_close(rows);
    if (count > limit)
        printf("%lld older ones are not shown: `sea status --limit %lld`\n",
               (long long)(count - limit), (long long)count);
    return status ? status : err->status;
}

/* People see the newest ones, programs all of them, unless a limit is given. */
static enum sea_status
print_experiments(struct sea_db *db, int64_t limit, const struct listing *listing,
                  struct sea_err *err)
{
    int64_t shown = limit == LIMIT_NONE ? STATUS_LIMIT : limit;
    struct sea_param param = listing->json && limit == LIMIT_NONE ? SEA_P_NULL : SEA_P_INT(shown);
    enum sea_status status;

    status = print_query(db, listing->json ? "cli_experiments_all" : "cli_experiments", &param, 1,
                         listing, "no experiments yet: `sea submit FILE`", err);
    if (!status && !listing->json)
        status = print_left_out(db, shown, err);
    return status;
}

enum sea_status
sea_cmd_status(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    int64_t limit = LIMIT_NONE;
    const struct sea_arg table[] = {
        LISTING_ARGS(listing),
        { "--limit", SEA_ARG_INT, &limit, "N", "the newest N experiments (100; as JSON all)" },
    };
    enum sea_status status;

    status = open_listing(call, table, 3, 0, 1, &listing, err);
    if (status || listing.home.helped)
        return status;
    if (limit != LIMIT_NONE && limit < 1)
        status = sea_fail(err, SEA_E_CONFIG, "--limit %lld is below 1", (long long)limit);
    else if (!listing.id)
        status = print_experiments(listing.home.db, limit, &listing, err);
    else
        status = print_query(listing.home.db, listing.json ? "cli_stages_all" : "cli_stages",
                             SEA_PARAMS(SEA_P_INT(listing.id)), &listing, "no stages", err);
    sea_db_close(listing.home.db);
    return status;
}

enum sea_status
sea_cmd_why(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const struct sea_arg table[] = { LISTING_ARGS(listing) };
    char ended[128];
    enum sea_status status;

    status = open_listing(call, table, 2, 1, 1, &listing, err);
    if (status || listing.home.helped)
        return status;
    snprintf(ended, sizeof(ended), "nothing of it is pending: `sea status %lld` tells how it ended",
             (long long)listing.id);
    status = print_query(listing.home.db, "cli_why", SEA_PARAMS(SEA_P_INT(listing.id)), &listing,
                         ended, err);
    sea_db_close(listing.home.db);
    return status;
}

enum sea_status
sea_cmd_workers(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const struct sea_arg table[] = { LISTING_ARGS(listing) };
    enum sea_status status = open_listing(call, table, 2, 0, 0, &listing, err);

    if (status || listing.home.helped)
        return status;
    status = print_query(listing.home.db, "cli_workers", SEA_NO_PARAMS, &listing,
                         "no workers: `sea up`, `sea worker`", err);
    sea_db_close(listing.home.db);
    return status;
}

/* What the answer of the database means for people. */
static void
print_answer(int64_t id, bool cancel, const char *result)
{
    if (!cancel)
        printf("experiment %lld: queued again as experiment %s\n", (long long)id, result);
    else if (strcmp(result, "succeeded") == 0 || strcmp(result, "failed") == 0)
        printf("experiment %lld: had ended before, it %s\n", (long long)id, result);
    else
        printf("experiment %lld: %s%s\n", (long long)id, result,
               strcmp(result, "cancelling") == 0 ? ", what runs is told to stop" : "");
}

/* cancel and retry: one function of the database, one answer. */
static enum sea_status
call_on_experiment(const struct sea_call *call, const char *query, bool cancel,
                   struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const struct sea_arg table[] = { LISTING_ARGS(listing) };
    struct sea_rows *rows = NULL;
    enum sea_status status;

    status = open_listing(call, table, 2, 1, 1, &listing, err);
    if (status || listing.home.helped)
        return status;
    status = sea_db_query_one(listing.home.db, query, SEA_PARAMS(SEA_P_INT(listing.id)), &rows,
                              err);
    if (!status && listing.json)
        sea_table_print(rows, SEA_FORMAT_JSON, "", stdout);
    else if (!status)
        print_answer(listing.id, cancel, sea_rows_text_or(rows, 0, "result", "", err));
    sea_rows_close(rows);
    sea_db_close(listing.home.db);
    return status ? status : err->status;
}

enum sea_status
sea_cmd_cancel(const struct sea_call *call, struct sea_err *err)
{
    return call_on_experiment(call, "cli_cancel", true, err);
}

enum sea_status
sea_cmd_retry(const struct sea_call *call, struct sea_err *err)
{
    return call_on_experiment(call, "cli_retry", false, err);
}

struct reader {                 /* of one experiment's log */
    int64_t id, last;           /* experiment; newest event printed */
    enum sea_format format;     /* TABLE: lines for people, JSON: one list, JSONL */
    size_t done;
};

/* Prints one page of events and moves on; *more when there may be another one. */
static enum sea_status
print_page(struct sea_db *db, struct reader *reader, bool *more, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    size_t i, count;

    status = sea_db_query(db, "cli_events",
                          SEA_PARAMS(SEA_P_INT(reader->id), SEA_P_INT(reader->last)), &rows, err);
    count = sea_rows_count(rows);
    *more = count > 0;
    if (reader->format == SEA_FORMAT_JSON && !status)
        sea_table_print_more(rows, &reader->done, stdout);
    else if (reader->format == SEA_FORMAT_JSONL && !status)
        sea_table_print(rows, SEA_FORMAT_JSONL, "", stdout);
    for (i = 0; i < count && reader->format == SEA_FORMAT_TABLE; i++)
        printf("%s %-10s %-5s %s\n", sea_rows_text(rows, i, "at", err),
               sea_rows_text_or(rows, i, "stage", "-", err), sea_rows_text(rows, i, "level", err),
               sea_rows_text(rows, i, "text", err));
    if (count)
        reader->last = sea_rows_int(rows, count - 1, "id", err);
    sea_rows_close(rows);
    return status ? status : err->status;
}

/* Prints all events that there are now. */
static enum sea_status
print_events(struct sea_db *db, struct reader *reader, struct sea_err *err)
{
    enum sea_status status;
    bool more;

    do
        status = print_page(db, reader, &more, err);
    while (!status && more && !sea_role_stop);
    fflush(stdout);
    return status;
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
    struct reader reader = { .format = SEA_FORMAT_TABLE };
    bool follow = false, ended = false;
    const struct sea_arg table[] = {
        LISTING_ARGS(listing),
        { "-f", SEA_ARG_FLAG, &follow, NULL, "go on until the experiment has ended" },
    };
    enum sea_status status;

    status = open_listing(call, table, 3, 1, 1, &listing, err);
    if (status || listing.home.helped)
        return status;
    if (listing.json)           /* what has no end is no list */
        reader.format = follow ? SEA_FORMAT_JSONL : SEA_FORMAT_JSON;
    reader.id = listing.id;
    status = sea_role_hold(listing.home.home.dir, NULL, err);
    if (!status && reader.format == SEA_FORMAT_JSON)
        printf("[");
    while (!status) {
        /* Asked first: what is logged before the end is printed after it. */
        ended = !follow || has_ended(listing.home.db, reader.id, err);
        status = print_events(listing.home.db, &reader, err);
        if (ended || sea_role_stop)
            break;
        sea_clock_sleep_ms(500);
    }
    if (!status && reader.format == SEA_FORMAT_JSON)
        printf(reader.done ? "\n]\n" : "]\n");
    sea_db_close(listing.home.db);
    return status;
}

/* What papers say about the suite's benchmarks, for cli_leaderboard. Empty without a suite file
 * here: experiments may have been submitted from another folder. */
static enum sea_status
add_published(const char *name, struct sea_buf *out, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "published scores");
    struct sea_suite suite;
    struct sea_err missing = { 0 };
    enum sea_status status = sea_suite_read(&suite, name, "", arena, &missing);

    if (status == SEA_E_MISSING)
        status = SEA_OK;
    else if (status)
        *err = missing;
    else
        status = sea_json_write(sea_suite_reference_node(&suite, arena), SEA_JSON_COMPACT, out,
                                err);
    sea_arena_destroy(arena);
    return status;
}

/* What is said instead of a board without rows. */
static const char *
no_scores(char out[512], const char *suite, const char *benchmark)
{
    if (!suite && !benchmark)
        return "no scores yet: `sea submit FILE --wait`";
    if (benchmark)
        snprintf(out, 512, "no scores of benchmark \"%.80s\"%s%.80s%s: `sea leaderboard` lists all",
                 benchmark, suite ? " in suite \"" : "", suite ? suite : "", suite ? "\"" : "");
    else
        snprintf(out, 512, "no scores of suite \"%.80s\": `sea leaderboard` lists all; a suite is "
                 "called as its file is, without .yaml", suite);
    return out;
}

enum sea_status
sea_cmd_leaderboard(const struct sea_call *call, struct sea_err *err)
{
    struct listing listing = { .data = NULL };
    const char *suite = NULL, *benchmark = NULL;
    char empty[512];
    struct sea_buf metrics, published;
    bool whole;
    const struct sea_arg table[] = {
        LISTING_ARGS(listing),
        { "--suite", SEA_ARG_TEXT, &suite, "S", "of this suite alone, beside published scores" },
        { "--benchmark", SEA_ARG_TEXT, &benchmark, "B", "of this benchmark alone" },
        { "--format", SEA_ARG_TEXT, &listing.format_name, "F", "table, csv, json, jsonl or md" },
    };
    enum sea_status status;

    status = open_listing(call, table, 5, 0, 0, &listing, err);
    if (status || listing.home.helped)
        return status;
    /* People get the metrics that matter; programs get every score at full precision. */
    whole = listing.json || (listing.format != SEA_FORMAT_TABLE &&
                             listing.format != SEA_FORMAT_MD);
    sea_buf_init(&metrics, LIST_BYTES_MAX);
    sea_buf_init(&published, LIST_BYTES_MAX);
    sea_headlines(&metrics);
    if (suite && !whole)
        status = add_published(suite, &published, err);
    if (!status)
        status = print_query(listing.home.db, whole ? "cli_scores" : "cli_leaderboard",
                             (const struct sea_param[]){
                                 SEA_P_TEXT(suite), SEA_P_TEXT(benchmark), SEA_P_TEXT(metrics.data),
                                 published.len ? SEA_P_TEXT(published.data) : SEA_P_NULL,
                                 SEA_P_NULL },
                             whole ? 2 : 5, &listing, no_scores(empty, suite, benchmark), err);
    sea_buf_release(&published);
    sea_buf_release(&metrics);
    sea_db_close(listing.home.db);
    return status;
}
