/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/db_int.h"

#include <assert.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_sql_text.h"
#include "scheduler/sea_sqlstate.h"

#define PARAMS_MAX 16
#define TRIES_MAX 6             /* of a transaction that met 40001 or 40P01 */

/* ---- calls ---- */

static enum sea_status
fail_result(struct sea_db *db, const char *name, const PGresult *result, struct sea_err *err)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);
    const char *hint = PQresultErrorField(result, PG_DIAG_MESSAGE_HINT);
    const char *message = PQresultErrorField(result, PG_DIAG_MESSAGE_PRIMARY);
    const struct sea_sqlstate *known;
    enum sea_status status;
    char text[400];

    if (!state || sea_db_is_lost(db)) {
        sea_db_one_line(text, sizeof(text), PQerrorMessage(db->conn));
        status = sea_fail(err, SEA_E_SERVICE, "the connection to PostgreSQL was lost: %s", text);
        sea_cause(err, "sqlstate %s", state ? state : "08006");
        sea_hint(err, "See whether the server runs; work goes on when it is back.");
        sea_db_lose(db);
        return status;
    }
    sea_db_one_line(text, sizeof(text), message);
    known = sea_sqlstate_find(state);
    status = known->status;
    if (strncmp(state, "LF", 2) != 0 || status == SEA_E_INTERNAL)
        sea_fail(err, status, "PostgreSQL refused \"%s\": %s", name, text);
    else
        sea_fail(err, status, "%s", text);
    sea_cause(err, "sqlstate %s", state);
    /* The server guesses at types where we know of schemas; our own functions know best. */
    if (known->hint)
        sea_hint(err, "%s", known->hint);
    if (hint)
        sea_hint(err, "%s", hint);
    return status;
}

static bool
is_worth_repeating(const PGresult *result)
{
    const char *state = PQresultErrorField(result, PG_DIAG_SQLSTATE);

    return state && (strcmp(state, "40001") == 0 || strcmp(state, "40P01") == 0);
}

static enum sea_status
fail_late(struct sea_db *db, const char *name, struct sea_err *err)
{
    sea_fail(err, SEA_E_SERVICE, "PostgreSQL did not answer \"%s\" within %lld ms", name,
             (long long)db->statement_ms);
    sea_cause(err, "sqlstate 57014");
    sea_db_lose(db);
    return SEA_E_SERVICE;
}

/* Sends what was queued and collects the last result (a script has several); *result is
 * NULL when the deadline passed. */
static enum sea_status
collect(struct sea_db *db, const char *name, PGresult **result, struct sea_err *err)
{
    int64_t deadline = sea_clock_ms() + db->statement_ms;
    PGresult *next;

    *result = NULL;
    while (PQflush(db->conn) > 0)
        if (!sea_db_wait_socket(db->conn, POLLIN | POLLOUT, deadline) || !PQconsumeInput(db->conn))
            return fail_late(db, name, err);
    for (;;) {
        while (PQisBusy(db->conn)) {
            if (!sea_db_wait_socket(db->conn, POLLIN, deadline)) {
                PQclear(*result);
                *result = NULL;
                return fail_late(db, name, err);
            }
            if (!PQconsumeInput(db->conn))
                break;
        }
        next = PQgetResult(db->conn);
        if (!next)
            return SEA_OK;
        /* After an error nothing else of the script ran: that result tells. */
        if (*result && PQresultStatus(*result) == PGRES_FATAL_ERROR) {
            PQclear(next);
            continue;
        }
        PQclear(*result);
        *result = next;
    }
}

/* A pooler such as PgBouncer makes up the process id that a client is told. Behind one, in
 * transaction mode, what a session sets or prepares stays with a server process that serves
 * somebody else next. */
static bool
is_pooled(struct sea_db *db, struct sea_err *err)
{
    struct sea_rows *rows = NULL;

    if (db->way == SEA_WAY_UNKNOWN &&
        !sea_db_query_one(db, "backend_pid", SEA_NO_PARAMS, &rows, err))
        db->way = sea_rows_int(rows, 0, "pid", err) == PQbackendPID(db->conn) ? SEA_WAY_DIRECT
                                                                              : SEA_WAY_POOLED;
    sea_rows_close(rows);
    return db->way == SEA_WAY_POOLED;
}

/* Queries that begin with these words are prepared once per session: reading and planning the
 * call costs a tenth of a claim or commit. Not for queries whose best plan depends on values. */
#define KEPT "-- Kept"

/* The number of a prepared query; -1: it goes as text. */
static int
keep(struct sea_db *db, const char *name, const char *sql, int count)
{
    struct sea_err ignored = { 0 };
    PGresult *result = NULL;
    char statement[16];
    int i;

    for (i = 0; i < db->kept_count; i++)
        if (db->kept[i] == sql)
            return i;
    if (strncmp(sql, KEPT, strlen(KEPT)) || i == SEA_DB_KEPT_MAX || is_pooled(db, &ignored) ||
        ignored.status)
        return -1;
    snprintf(statement, sizeof(statement), "sea_%d", i);
    if (PQsendPrepare(db->conn, statement, sql, count, NULL) &&
        !collect(db, name, &result, &ignored) && PQresultStatus(result) == PGRES_COMMAND_OK)
        db->kept[db->kept_count++] = sql;
    else
        i = -1;
    PQclear(result);
    return i;
}

static int
send_query(struct sea_db *db, const char *name, const char *sql, const char *const *values,
           int count)
{
    int kept = keep(db, name, sql, count);
    char statement[16];

    if (sea_db_is_lost(db))
        return 0;
    snprintf(statement, sizeof(statement), "sea_%d", kept);
    return kept < 0 ? PQsendQueryParams(db->conn, sql, count, NULL, values, NULL, NULL, 0)
                    : PQsendQueryPrepared(db->conn, statement, count, values, NULL, NULL, 0);
}

static enum sea_status
run_once(struct sea_db *db, const char *name, const char *sql, const char *const *values,
         int count, bool script, PGresult **result, struct sea_err *err)
{
    ExecStatusType got;
    char text[300];
    int sent;

    *result = NULL;
    if (sea_db_is_lost(db)) {
        sea_fail(err, SEA_E_SERVICE, "there is no connection to PostgreSQL");
        sea_cause(err, "sqlstate 08003");
        return SEA_E_SERVICE;
    }
    sent = PQsetnonblocking(db->conn, 1) == 0 &&
           (script ? PQsendQuery(db->conn, sql) : send_query(db, name, sql, values, count));
    if (sent && collect(db, name, result, err))
        return err->status;
    if (!sent || !*result) {
        sea_db_one_line(text, sizeof(text), db->conn ? PQerrorMessage(db->conn) : "no answer");
        sea_fail(err, SEA_E_SERVICE, "the connection to PostgreSQL was lost: %s", text);
        sea_cause(err, "sqlstate 08006");
        sea_db_lose(db);
        return SEA_E_SERVICE;
    }
    got = PQresultStatus(*result);
    if (got == PGRES_TUPLES_OK || got == PGRES_COMMAND_OK)
        return SEA_OK;
    return fail_result(db, name, *result, err);
}

static enum sea_status
run(struct sea_db *db, const char *name, const char *sql, const char *const *values, int count,
    bool script, struct sea_rows **rows, struct sea_err *err)
{
    enum sea_status status;
    PGresult *result;
    int tries;

    for (tries = 1;; tries++) {
        struct sea_err mine = { 0 };

        status = run_once(db, name, sql, values, count, script, &result, &mine);
        if (status && !script && result && tries < TRIES_MAX && is_worth_repeating(result) &&
            !sea_db_is_lost(db) && PQtransactionStatus(db->conn) == PQTRANS_IDLE) {
            PQclear(result);
            sea_clock_sleep_ms(5 << tries);
            continue;
        }
        if (status && !err->status)
            *err = mine;
        break;
    }
    if (!status && rows) {
        *rows = sea_xcalloc(1, sizeof(**rows));
        (*rows)->result = result;
    } else {
        PQclear(result);
    }
    return status;
}

enum sea_status
sea_db_query(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
             struct sea_rows **rows, struct sea_err *err)
{
    const char *sql = sea_sql_text(name);
    const char *values[PARAMS_MAX];
    char numbers[PARAMS_MAX][32];
    size_t i;

    if (rows)
        *rows = NULL;
    assert(sql && count <= PARAMS_MAX);
    for (i = 0; i < count; i++) {
        values[i] = numbers[i];
        switch (params[i].kind) {
        case SEA_PARAM_TEXT:
            values[i] = params[i].text;
            break;
        case SEA_PARAM_INT:
            snprintf(numbers[i], sizeof(numbers[i]), "%lld", (long long)params[i].integer);
            break;
        case SEA_PARAM_BOOL:
            values[i] = params[i].integer ? "true" : "false";
            break;
        default:
            values[i] = NULL;
        }
    }
    return run(db, name, sql, values, (int)count, false, rows, err);
}

enum sea_status
sea_db_query_one(struct sea_db *db, const char *name, const struct sea_param *params,
                 size_t count, struct sea_rows **rows, struct sea_err *err)
{
    enum sea_status status = sea_db_query(db, name, params, count, rows, err);

    if (!status && sea_rows_count(*rows) != 1) {
        status = sea_fail(err, SEA_E_INTERNAL, "query \"%s\" gave %zu rows, need 1", name,
                          sea_rows_count(*rows));
        sea_rows_close(*rows);
        *rows = NULL;
    }
    return status;
}

enum sea_status
sea_db_script(struct sea_db *db, const char *name, struct sea_err *err)
{
    const char *sql = sea_sql_text(name);

    assert(sql);
    return run(db, name, sql, NULL, 0, true, NULL, err);
}

enum sea_status
sea_db_query_text(struct sea_db *db, const char *sql, struct sea_rows **rows,
                  struct sea_err *err)
{
    if (rows)
        *rows = NULL;
    return run(db, "query", sql, NULL, 0, false, rows, err);
}

/* ---- notifications ---- */

static enum sea_status
listen_now(struct sea_db *db, const char *channel, struct sea_err *err)
{
    char sql[48];

    if (is_pooled(db, err)) {
        sea_log(SEA_LOG_INFO, "a pooler is between: looking at intervals channel=%s", channel);
        return SEA_OK;
    }
    if (err->status)
        return err->status;
    /* A channel is a name, not a value: it cannot be a parameter. */
    snprintf(sql, sizeof(sql), "LISTEN %s", channel);
    return sea_db_query_text(db, sql, NULL, err);
}

enum sea_status
sea_db_listen(struct sea_db *db, const char *channel, struct sea_err *err)
{
    size_t len = strlen(channel);

    assert(len < 32 && strspn(channel, "abcdefghijklmnopqrstuvwxyz_") == len);
    assert(db->channels_count < SEA_DB_CHANNELS_MAX);
    memcpy(db->channels[db->channels_count++], channel, len + 1);
    return listen_now(db, channel, err);
}

enum sea_status
sea_db_reconnect(struct sea_db *db, struct sea_err *err)
{
    enum sea_status status;
    size_t i;

    if (db->conn)
        sea_db_lose(db);
    status = sea_db_connect(db, err);
    for (i = 0; i < db->channels_count && !status; i++)
        status = listen_now(db, db->channels[i], err);
    return status;
}

static bool
take_notifications(struct sea_db *db)
{
    bool any = false;
    PGnotify *one;

    while ((one = PQnotifies(db->conn))) {
        PQfreemem(one);
        any = true;
    }
    return any;
}

bool
sea_db_wait(struct sea_db *db, int64_t ms)
{
    struct pollfd at = { .fd = -1, .events = POLLIN };
    bool lost = sea_db_is_lost(db);

    if (!lost && take_notifications(db))
        return true;
    at.fd = lost ? -1 : PQsocket(db->conn);     /* poll ignores -1 and waits */
    if (poll(&at, 1, (int)ms) <= 0 || lost)
        return false;
    if (!PQconsumeInput(db->conn))
        sea_db_lose(db);
    return !sea_db_is_lost(db) && take_notifications(db);
}
