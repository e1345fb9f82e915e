/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_migrate.h - brings schema sea to the version of this program, or back
 *
 * Migrations are embedded (sql/migrations), applied in order of their number, one
 * transaction each, and recorded in sea.migration with the SHA-256 of their text. Several
 * programs may call this at once: one works, the others wait and find nothing to do. Each has
 * a way down (sql/migrations/down), which refuses to lose rows unless that was asked for.
 *
 * Online: a migration waits two seconds for a lock, so that nobody waits longer behind it,
 * and is then tried again from its start, with pauses, until the patience is over.
 *
 * Refused with SEA_E_CONFIG: a database whose recorded text of a migration differs from
 * this program's (edited after release), and one with a migration that this program does not
 * know, unless that one said of itself that it breaks no older program.
 */
#ifndef SEA_MIGRATE_H
#define SEA_MIGRATE_H

#include <stdbool.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"

#define SEA_MIGRATE_NEWEST (-1)
#define SEA_MIGRATE_PATIENCE_MS 60000

struct sea_migration_options {
    int64_t to;                 /* version to go to, up or down; SEA_MIGRATE_NEWEST */
    bool lose_data;             /* a way down may lose rows */
    int64_t patience_ms;        /* with locks that others hold */
};

struct sea_migration_state {
    int64_t version;            /* highest applied; 0: none */
    int64_t newest;             /* highest in this program */
    size_t applied;             /* applied by this call */
    size_t removed;             /* taken back by this call */
    size_t waits;               /* tries that ended because somebody held a lock */
};

/* Up to the newest. */
SEA_MUST_CHECK enum sea_status
sea_migrate(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err);
/* What was done before a failure stays done: each step is a transaction of its own. */
SEA_MUST_CHECK enum sea_status
sea_migrate_to(struct sea_db *db, const struct sea_migration_options *options,
               struct sea_migration_state *out, struct sea_err *err);

/* Reads only. SEA_E_CONFIG with the hint "sea migrate" when the schema is behind. */
SEA_MUST_CHECK enum sea_status
sea_migrate_check(struct sea_db *db, struct sea_migration_state *out, struct sea_err *err);

#endif
