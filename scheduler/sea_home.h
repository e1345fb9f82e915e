/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_home.h - which database, and where files are kept
 *
 * The database: SEA_DATABASE_URL; else PG* variables when PGHOST, PGSERVICE or PGDATABASE is
 * set; else the private server that `sea up` started in the data folder.
 * The data folder: --data, else SEA_DATA, else "./.sea". It holds pg/ (the private server),
 * store/ (artifacts), tmp/ (attempts), log/ and the process ids of what `sea up` started.
 */
#ifndef SEA_HOME_H
#define SEA_HOME_H

#include "engine/base/sea_err.h"
#include "engine/base/sea_file.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_cluster.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_db.h"

struct sea_home {
    char dir[SEA_PATH_MAX];     /* absolute data folder; need not exist */
    bool is_private;            /* the server belongs to this folder */
    const char *url;            /* for sea_db_open; NULL: libpq's environment */
    struct sea_cluster cluster; /* when is_private */
};

/* data NULL: by the environment. Starts and makes nothing: the folder comes with the first file
 * that somebody puts there. */
SEA_MUST_CHECK enum sea_status
sea_home_open(struct sea_home *home, const char *data, struct sea_err *err);

/* A connection with a schema of this program's version. A private server that does not run
 * is SEA_E_SERVICE with the hint `sea up`. */
SEA_MUST_CHECK enum sea_status
sea_home_connect(const struct sea_home *home, const char *role, struct sea_db **db,
                 struct sea_err *err);

/* What every command with a data folder does first. */
struct sea_home_command {
    const struct sea_arg *table;        /* of table_count options, --data among them */
    size_t table_count;
    size_t min, max;                    /* arguments besides options */
    const char *const *data;            /* where --data puts its value */
    const char *role;                   /* for the database: "sea gc" */
    struct sea_home home;               /* out, as what follows */
    struct sea_db *db;                  /* caller closes; NULL when helped, or not connected */
    struct sea_texts rest;
    bool helped;                        /* --help was given and answered: nothing to do */
};
/* Parses, checks the number of arguments, opens the data folder. For commands that start the
 * server themselves, or that look at their options before they connect. */
SEA_MUST_CHECK enum sea_status
sea_home_prepare(const struct sea_call *call, struct sea_home_command *command,
                 struct sea_err *err);
/* The same, and connects. */
SEA_MUST_CHECK enum sea_status
sea_home_begin(const struct sea_call *call, struct sea_home_command *command,
               struct sea_err *err);

#endif
