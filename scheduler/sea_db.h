/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_db.h - a connection to PostgreSQL that never hangs
 *
 * The only place that knows libpq. A call names a query of sql/queries, gives its
 * parameters, and gets rows. Everything that changes the state of the service is one
 * function of schema sea, so one call is one transaction.
 *
 * Invariants: (1) every call returns within its deadline (connect_ms, statement_ms); a
 *                 connection that missed it is lost;
 *             (2) a call on a lost connection fails at once; sea_db_reconnect revives it;
 *             (3) 40001 and 40P01 are tried again, a few times, with a pause;
 *             (4) after SEA_E_SERVICE the transaction may have happened. The callers'
 *                 functions can be sent again, or say how to find out (sea_queue.h).
 *
 * Statuses follow the SQLSTATE by one table (sea_sqlstate.h): SEA_E_LEASE, SEA_E_CONFIG (what
 * was asked cannot be done, or not by this user or on this schema), SEA_E_SERVICE (not
 * reachable, shut down, out of something, too late), SEA_E_INTERNAL for the rest. cause holds
 * the SQLSTATE.
 * Threads: one at a time per connection. A connection does not survive fork.
 */
#ifndef SEA_DB_H
#define SEA_DB_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_err.h"

struct sea_db;
struct sea_rows;

struct sea_db_options {
    const char *url;            /* URL or keywords as libpq takes them; NULL: environment */
    const char *role;           /* application_name: "sea worker"; NULL: "sea" */
    int64_t connect_ms;         /* 0: 5000 */
    int64_t statement_ms;       /* 0: 30000 */
};

/* *out is NULL on failure. Caller closes. Texts of options are copied. */
SEA_MUST_CHECK enum sea_status
sea_db_open(const struct sea_db_options *options, struct sea_db **out, struct sea_err *err);
void sea_db_close(struct sea_db *db);           /* accepts NULL */

bool sea_db_is_lost(const struct sea_db *db);
/* A new connection with the options of sea_db_open; channels are listened to again. */
SEA_MUST_CHECK enum sea_status sea_db_reconnect(struct sea_db *db, struct sea_err *err);
/* From now on calls end after this many milliseconds. */
void sea_db_set_statement_ms(struct sea_db *db, int64_t ms);

/* ---- parameters: $1, $2, ... ---- */

enum sea_param_kind { SEA_PARAM_NULL, SEA_PARAM_TEXT, SEA_PARAM_INT, SEA_PARAM_BOOL };
struct sea_param {
    enum sea_param_kind kind;
    const char *text;           /* borrowed during the call; NULL becomes SQL's NULL */
    int64_t integer;
};
#define SEA_P_NULL      ((struct sea_param){ .kind = SEA_PARAM_NULL })
#define SEA_P_TEXT(v)   ((struct sea_param){ .kind = SEA_PARAM_TEXT, .text = (v) })
#define SEA_P_INT(v)    ((struct sea_param){ .kind = SEA_PARAM_INT, .integer = (v) })
#define SEA_P_BOOL(v)   ((struct sea_param){ .kind = SEA_PARAM_BOOL, .integer = (v) })
/* sea_db_query(db, "claim", SEA_PARAMS(SEA_P_INT(worker), SEA_P_TEXT(queue)), &rows, err) */
#define SEA_PARAMS(...)                                                             \
    (const struct sea_param[]){ __VA_ARGS__ },                                      \
    sizeof((const struct sea_param[]){ __VA_ARGS__ }) / sizeof(struct sea_param)
#define SEA_NO_PARAMS NULL, 0

/* ---- calls ---- */

/* Runs the named query. *rows is NULL on failure; caller closes it. rows may be NULL when
 * they are of no interest. */
SEA_MUST_CHECK enum sea_status
sea_db_query(struct sea_db *db, const char *name, const struct sea_param *params, size_t count,
             struct sea_rows **rows, struct sea_err *err);
/* As sea_db_query, and exactly one row: none is SEA_E_INTERNAL. */
SEA_MUST_CHECK enum sea_status
sea_db_query_one(struct sea_db *db, const char *name, const struct sea_param *params,
                 size_t count, struct sea_rows **rows, struct sea_err *err);
/* Runs a named script of several statements, without parameters, in one transaction of the
 * server's making unless the script or an open transaction says otherwise. Never repeated:
 * after SEA_E_SERVICE it may have happened, COMMIT included, and the caller looks before it
 * sends it again. sea_migrate reads sea.migration under its lock first, the collector's
 * statements can be sent twice, and a database that exists already is told apart by 42P04. */
SEA_MUST_CHECK enum sea_status
sea_db_script(struct sea_db *db, const char *name, struct sea_err *err);
/* SQL that a user typed or a test made. Product code names its queries instead. */
SEA_MUST_CHECK enum sea_status
sea_db_query_text(struct sea_db *db, const char *sql, struct sea_rows **rows,
                  struct sea_err *err);

/* ---- rows ---- */

void sea_rows_close(struct sea_rows *rows);     /* accepts NULL */
size_t sea_rows_count(const struct sea_rows *rows);     /* 0 for NULL */

/* Values by column name. A column that is missing, is NULL, or does not parse fills err
 * and gives 0 or ""; look at err->status once after the last one. Texts are borrowed until
 * sea_rows_close. The _or forms give the fallback for NULL. */
int64_t sea_rows_int(const struct sea_rows *rows, size_t row, const char *column,
                     struct sea_err *err);
double sea_rows_real(const struct sea_rows *rows, size_t row, const char *column,
                     struct sea_err *err);
bool sea_rows_bool(const struct sea_rows *rows, size_t row, const char *column,
                   struct sea_err *err);
const char *sea_rows_text(const struct sea_rows *rows, size_t row, const char *column,
                          struct sea_err *err);
int64_t sea_rows_int_or(const struct sea_rows *rows, size_t row, const char *column,
                        int64_t fallback, struct sea_err *err);
const char *sea_rows_text_or(const struct sea_rows *rows, size_t row, const char *column,
                             const char *fallback, struct sea_err *err);

/* Any result, column by column: for tables and JSON that follow the query. */
size_t sea_rows_columns_count(const struct sea_rows *rows);
const char *sea_rows_column(const struct sea_rows *rows, size_t column);
const char *sea_rows_cell(const struct sea_rows *rows, size_t row, size_t column);  /* NULL */
enum sea_column_kind { SEA_COLUMN_TEXT, SEA_COLUMN_NUMBER, SEA_COLUMN_BOOL, SEA_COLUMN_JSON };
enum sea_column_kind sea_rows_column_kind(const struct sea_rows *rows, size_t column);

/* ---- notifications: a hint to look now; looking at intervals is the truth ---- */

/* channel is a lower-case word. Behind a pooler nothing is listened to, and sea_db_wait waits
 * its time out: polling alone. */
SEA_MUST_CHECK enum sea_status
sea_db_listen(struct sea_db *db, const char *channel, struct sea_err *err);
/* Waits until a notification came (true), ms passed, or a signal arrived. A lost
 * connection waits the time out, so that loops with it do not spin. */
bool sea_db_wait(struct sea_db *db, int64_t ms);

#endif
