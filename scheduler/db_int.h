/* SPDX-License-Identifier: Apache-2.0 */
/* db_int.h - what db.c and db_rows.c know of libpq; nobody else does */
#ifndef SEA_DB_INT_H
#define SEA_DB_INT_H

#include <libpq-fe.h>

#include "scheduler/sea_db.h"

struct sea_rows {
    PGresult *result;
};

#endif
