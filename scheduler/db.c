/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/db_int.h"

#include <assert.h>
#include <errno.h>
#include <fcntl.h>
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
#define CHANNELS_MAX 4
#define CONNECT_MS 5000
#define STATEMENT_MS 30000
#define KEPT_MAX 8              /* queries marked with KEPT, below */

struct sea_db {
    PGconn *conn;               /* NULL: lost */
    char *url;
    char role[64];
    int64_t connect_ms, statement_ms;
    char channels[CHANNELS_MAX][32];
    size_t channels_count;
    const char *kept[KEPT_MAX]; /* texts that this session has prepared, as "sea_0", ... */
    int kept_count;
    enum { UNKNOWN, DIRECT, POOLED } way;
};

/* ---- connecting ---- */

static void
quiet(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

static void
lose(struct sea_db *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
    db->kept_count = 0;
    db->way = UNKNOWN;
}

/* libpq's texts have several lines and end with one. */
static void
one_line(char *out, size_t room, const char *text)
{
    size_t len;
    char *at;

    snprintf(out, room, "%.*s", (int)room - 1, text ? text : "");
    for (at = out; *at; at++)
        if (*at == '\n' || *at == '\t')
            *at = ' ';
    len = strlen(out);
    while (len && out[len - 1] == ' ')
        out[--len] = 0;
    sea_log_redact(out);
}

/* libpq tells the SQLSTATE of a refused connection in its verbose text alone: "...: FATAL:
 * 28P01: ...", and after it lines about the server's source. Takes both out of the text. */
static void
take_state(char *text, char state[6])
{
    char *at, *end = strstr(text, "\nLOCATION:");

    state[0] = 0;
    if (end)
        *end = 0;
    for (at = strstr(text, ":  "); at; at = strstr(at + 1, ":  "))
        if (strspn(at + 3, "0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZ") == 5 &&
            strncmp(at + 8, ": ", 2) == 0) {
            memcpy(state, at + 3, 5);
            state[5] = 0;
            memmove(at + 2, at + 10, strlen(at + 10) + 1);
            at[1] = ' ';
            return;
        }
}

static enum sea_status
fail_connect(struct sea_db *db, const char *why, struct sea_err *err)
{
    char raw[1024], text[400], state[6] = "";
    const struct sea_sqlstate *known;

    snprintf(raw, sizeof(raw), "%s",
             why ? why : db->conn ? PQerrorMessage(db->conn) : "no memory");
    take_state(raw, state);
    one_line(text, sizeof(text), raw);
    if (!state[0] && db->conn && PQconnectionNeedsPassword(db->conn))
        memcpy(state, "28P01", 6);
    known = sea_sqlstate_find(state[0] ? state : "08001");
    if (known->status == SEA_E_INTERNAL)
        known = sea_sqlstate_find("08001");
    sea_fail(err, known->status, "could not connect to PostgreSQL: %s", text);
    sea_cause(err, "sqlstate %s", state[0] ? state : "08001");
    /* Without an answer no hint: whose server it is, and how to start it, the caller knows. */
    if (state[0] && known->hint)
        sea_hint(err, "%s", known->hint);
    if (db->conn)
        lose(db);
    return err->status;
}

/* An address with a typing error is no service that is away. */
static enum sea_status
check_url(const char *url, struct sea_err *err)
{
    PQconninfoOption *options;
    char *why = NULL, text[300];

    if (!url || (!strchr(url, '=') && !strstr(url, "://")))
        return SEA_OK;          /* the name of a database, or libpq's environment */
    options = PQconninfoParse(url, &why);
    if (options) {
        PQconninfoFree(options);
        return SEA_OK;
    }
    one_line(text, sizeof(text), why);
    PQfreemem(why);
    sea_fail(err, SEA_E_CONFIG, "the address of the database cannot be read: %s", text);
    sea_hint(err, "SEA_DATABASE_URL is postgresql://USER@HOST:PORT/DATABASE, or host=... "
                  "port=... user=... dbname=...");
    return SEA_E_CONFIG;
}

/* Waits for the socket; false when the deadline passed. */
static bool
wait_socket(PGconn *conn, short events, int64_t deadline)
{
    struct pollfd at = { .fd = PQsocket(conn), .events = events };
    int64_t left;
    int n;

    do {
        left = deadline - sea_clock_ms();
        if (left < 0)
            return false;
        n = poll(&at, 1, (int)left);
    } while (n < 0 && errno == EINTR);
    return n > 0;
}

static enum sea_status
connect_now(struct sea_db *db, struct sea_err *err)
{
    /* expand_dbname: the last dbname may be a whole URL. Keywords of the URL win. */
    const char *keys[] = { "connect_timeout", "keepalives_idle", "tcp_user_timeout",
                           "fallback_application_name", "dbname", NULL };
    const char *values[] = { "5", "15", "15000", db->role, db->url, NULL };
    int64_t deadline = sea_clock_ms() + db->connect_ms;
    PostgresPollingStatusType next = PGRES_POLLING_WRITING;

    if (check_url(db->url, err))
        return err->status;
    db->conn = PQconnectStartParams(keys, values, 1);
    if (db->conn)
        PQsetErrorVerbosity(db->conn, PQERRORS_VERBOSE);    /* for take_state */
    if (!db->conn || PQstatus(db->conn) == CONNECTION_BAD)
        return fail_connect(db, NULL, err);
    while (next != PGRES_POLLING_OK) {
        if (!wait_socket(db->conn, next == PGRES_POLLING_READING ? POLLIN : POLLOUT, deadline))
            return fail_connect(db, "no answer in time", err);
        next = PQconnectPoll(db->conn);
        if (next == PGRES_POLLING_FAILED)
            return fail_connect(db, NULL, err);
    }
    PQsetErrorVerbosity(db->conn, PQERRORS_DEFAULT);
    PQsetNoticeReceiver(db->conn, quiet, NULL);
    /* The stage's process must not inherit the session. */
    (void)fcntl(PQsocket(db->conn), F_SETFD, FD_CLOEXEC);
    return SEA_OK;
}

enum sea_status
sea_db_open(const struct sea_db_options *options, struct sea_db **out, struct sea_err *err)
{
    struct sea_db *db = sea_xcalloc(1, sizeof(*db));

    *out = NULL;
    db->url = options->url ? sea_xstrdup(options->url) : NULL;
    snprintf(db->role, sizeof(db->role), "%s", options->role ? options->role : "sea");
    db->connect_ms = options->connect_ms ? options->connect_ms : CONNECT_MS;
    db->statement_ms = options->statement_ms ? options->statement_ms : STATEMENT_MS;
    if (connect_now(db, err)) {
        sea_db_close(db);
        return err->status;
    }
    *out = db;
    return SEA_OK;
}

void
sea_db_close(struct sea_db *db)
{
    if (!db)
        return;
    PQfinish(db->conn);
    free(db->url);
    free(db);
}

bool
sea_db_is_lost(const struct sea_db *db)
{
    return !db->conn || PQstatus(db->conn) == CONNECTION_BAD;
}

void
sea_db_set_statement_ms(struct sea_db *db, int64_t ms)
{
    db->statement_ms = ms;
}

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
        one_line(text, sizeof(text), PQerrorMessage(db->conn));
        status = sea_fail(err, SEA_E_SERVICE, "the connection to PostgreSQL was lost: %s", text);
        sea_cause(err, "sqlstate %s", state ? state : "08006");
        sea_hint(err, "See whether the server runs; work goes on when it is back.");
        lose(db);
        return status;
    }
    one_line(text, sizeof(text), message);
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
    lose(db);
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
        if (!wait_socket(db->conn, POLLIN | POLLOUT, deadline) || !PQconsumeInput(db->conn))
            return fail_late(db, name, err);
    for (;;) {
        while (PQisBusy(db->conn)) {
            if (!wait_socket(db->conn, POLLIN, deadline)) {
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

    if (db->way == UNKNOWN && !sea_db_query_one(db, "backend_pid", SEA_NO_PARAMS, &rows, err))
        db->way = sea_rows_int(rows, 0, "pid", err) == PQbackendPID(db->conn) ? DIRECT : POOLED;
    sea_rows_close(rows);
    return db->way == POOLED;
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
    if (strncmp(sql, KEPT, strlen(KEPT)) || i == KEPT_MAX || is_pooled(db, &ignored) ||
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
        one_line(text, sizeof(text), db->conn ? PQerrorMessage(db->conn) : "no answer");
        sea_fail(err, SEA_E_SERVICE, "the connection to PostgreSQL was lost: %s", text);
        sea_cause(err, "sqlstate 08006");
        lose(db);
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
    assert(db->channels_count < CHANNELS_MAX);
    memcpy(db->channels[db->channels_count++], channel, len + 1);
    return listen_now(db, channel, err);
}

enum sea_status
sea_db_reconnect(struct sea_db *db, struct sea_err *err)
{
    enum sea_status status;
    size_t i;

    if (db->conn)
        lose(db);
    status = connect_now(db, err);
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
        lose(db);
    return !sea_db_is_lost(db) && take_notifications(db);
}
