/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_cluster.h - a private PostgreSQL below one folder
 *
 * For `sea up` and for tests. Not for a server that somebody else runs: that one is named
 * by SEA_DATABASE_URL or PG*, and this file is not used.
 *
 * DIR/pg holds the data, DIR/pg.log what the server says. It listens on a Unix socket only
 * (DIR/run, or /tmp/sea-UID-HASH where the path would be too long for a socket), in a
 * folder that only its owner may enter, and writes durably.
 *
 * PostgreSQL refuses to run as root. Started by root, it runs as user postgres (nobody where
 * there is none), who then owns DIR/pg and the socket folder. Where that user cannot reach
 * DIR (a folder below /root), the data lies in /var/lib/sea-HASH and DIR/pg is a link.
 */
#ifndef SEA_CLUSTER_H
#define SEA_CLUSTER_H

#include <stdbool.h>
#include <sys/types.h>

#include "engine/base/sea_err.h"
#include "engine/base/sea_file.h"

struct sea_cluster {            /* filled by sea_cluster_open; read freely */
    char dir[SEA_PATH_MAX];     /* absolute */
    char data[SEA_PATH_MAX];
    char log[SEA_PATH_MAX];
    char socket[108];           /* folder of the socket */
    char bin[SEA_PATH_MAX];     /* folder of initdb, pg_ctl, postgres */
    char url[256];              /* for sea_db_open, once it runs */
    uid_t uid;                  /* who the server runs as */
    gid_t gid;
};

/* Finds PostgreSQL 15 or newer and says where things lie, or would lie once dir exists; makes and
 * starts nothing. SEA_E_SERVICE with the package to install when there is none. */
SEA_MUST_CHECK enum sea_status
sea_cluster_open(struct sea_cluster *cluster, const char *dir, struct sea_err *err);

/* Creates dir, the cluster and database sea where missing and starts the server; one that runs
 * already is fine, and so are several callers at once. Returns once it accepts connections. A dir
 * that did not exist may change what sea_cluster_open said. */
SEA_MUST_CHECK enum sea_status
sea_cluster_start(struct sea_cluster *cluster, struct sea_err *err);

/* fast ends sessions and writes a checkpoint; immediate is a crash on purpose, for tests.
 * A server that does not run is fine. */
enum sea_cluster_stop { SEA_CLUSTER_FAST, SEA_CLUSTER_IMMEDIATE };
SEA_MUST_CHECK enum sea_status
sea_cluster_stop(struct sea_cluster *cluster, enum sea_cluster_stop how, struct sea_err *err);

bool sea_cluster_is_running(struct sea_cluster *cluster);

#endif
