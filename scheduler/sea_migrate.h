/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_migrate.h - brings schema sea to the version of this program
 *
 * Migrations are embedded (sql/migrations), applied in order of their number, one
 * transaction each, and recorded in sea.migration with the SHA-256 of their text. Several
 * programs may call this at once: one works, the others wait and find nothing to do.
 *
 * Refused with SEA_E_CONFIG: a database whose recorded text of a migration differs from
 * this program's (edited after release), or that is newer than the program.
 */
#ifndef SEA_MIGRATE_H
#define SEA_MIGRATE_H

#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"

struct sea_migration_state {
    int64_t version;            /* highest applied; 0: none */
    int64_t newest;             /* highest in this program */
    size_t applied;             /* applied by this call */
};

SEA_MUST_CHECK enum sea_status
sea_migrate(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err);

/* Reads only. SEA_E_CONFIG with the hint "sea migrate" when the schema is behind. */
SEA_MUST_CHECK enum sea_status
sea_migrate_check(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err);

#endif
