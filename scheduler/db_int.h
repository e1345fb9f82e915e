/* SPDX-License-Identifier: Apache-2.0 */
/* db_int.h - what db*.c know of libpq; nobody else does */
#ifndef SEA_DB_INT_H
#define SEA_DB_INT_H

#include <libpq-fe.h>

#include "scheduler/sea_db.h"

#define SEA_DB_CHANNELS_MAX 4
#define SEA_DB_KEPT_MAX 8       /* queries marked with KEPT, in db.c */

struct sea_db {
    PGconn *conn;               /* NULL: lost */
    char *url;
    char role[64];
    int64_t connect_ms, statement_ms;
    char channels[SEA_DB_CHANNELS_MAX][32];
    size_t channels_count;
    const char *kept[SEA_DB_KEPT_MAX]; /* texts that this session has prepared, as "sea_0", ... */
    int kept_count;
    enum { SEA_WAY_UNKNOWN, SEA_WAY_DIRECT, SEA_WAY_POOLED } way;
};

struct sea_rows {
    PGresult *result;
};

/* ---- db_connect.c ---- */

/* db->conn is NULL, and is a session afterwards, or NULL again. */
SEA_MUST_CHECK enum sea_status sea_db_connect(struct sea_db *db, struct sea_err *err);
void sea_db_lose(struct sea_db *db);
/* Waits for the socket; false when the deadline passed. */
bool sea_db_wait_socket(PGconn *conn, short events, int64_t deadline);
/* libpq's texts have several lines and end with one; passwords are taken out, too. */
void sea_db_one_line(char *out, size_t room, const char *text);

#endif
