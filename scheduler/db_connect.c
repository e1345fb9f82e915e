/* SPDX-License-Identifier: Apache-2.0 */
/* db_connect.c - sessions: opened within a deadline, refused with a reason, lost, closed */
#include "scheduler/db_int.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_sqlstate.h"

#define CONNECT_MS 5000
#define STATEMENT_MS 30000

static void
quiet(void *arg, const PGresult *result)
{
    (void)arg;
    (void)result;
}

void
sea_db_lose(struct sea_db *db)
{
    PQfinish(db->conn);
    db->conn = NULL;
    db->kept_count = 0;
    db->way = SEA_WAY_UNKNOWN;
}

void
sea_db_one_line(char *out, size_t room, const char *text)
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
    sea_db_one_line(text, sizeof(text), raw);
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
        sea_db_lose(db);
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
    sea_db_one_line(text, sizeof(text), why);
    PQfreemem(why);
    sea_fail(err, SEA_E_CONFIG, "the address of the database cannot be read: %s", text);
    sea_hint(err, "SEA_DATABASE_URL is postgresql://USER@HOST:PORT/DATABASE, or host=... "
                  "port=... user=... dbname=...");
    return SEA_E_CONFIG;
}

bool
sea_db_wait_socket(PGconn *conn, short events, int64_t deadline)
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

enum sea_status
sea_db_connect(struct sea_db *db, struct sea_err *err)
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
        short wanted = next == PGRES_POLLING_READING ? POLLIN : POLLOUT;

        if (!sea_db_wait_socket(db->conn, wanted, deadline))
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
    if (sea_db_connect(db, err)) {
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
