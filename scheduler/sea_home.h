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
#include "scheduler/sea_cluster.h"
#include "scheduler/sea_db.h"

struct sea_home {
    char dir[SEA_PATH_MAX];     /* absolute data folder */
    bool is_private;            /* the server belongs to this folder */
    const char *url;            /* for sea_db_open; NULL: libpq's environment */
    struct sea_cluster cluster; /* when is_private */
};

/* data NULL: by the environment. Starts and makes nothing but the folder. */
SEA_MUST_CHECK enum sea_status
sea_home_open(struct sea_home *home, const char *data, struct sea_err *err);

/* A connection with a schema of this program's version. A private server that does not run
 * is SEA_E_SERVICE with the hint `sea up`. */
SEA_MUST_CHECK enum sea_status
sea_home_connect(const struct sea_home *home, const char *role, struct sea_db **db,
                 struct sea_err *err);

#endif
