/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_collector.h - removes files of the store that nothing refers to
 *
 * A blob is needed while a manifest names it or a running attempt has pinned it. One that is
 * not, and is older than the grace, goes in two phases: its row is marked as condemned, from
 * which moment publishers wait instead of using it; then, with the row locked, the file is
 * unlinked and the row deleted. Files without a row (of a crashed publisher, of an older
 * program) get a condemned row first. Checkpoints that no stage run can go on from, what
 * interrupted copies left, and the folders of attempts (ROOT/../tmp) that a killed worker left,
 * are removed as well.
 *
 * Invariants: (1) no blob with a manifest or a pin is removed;
 *             (2) any number of collectors may run, and be killed at any point: what one left
 *                 half done another takes up after AGAIN_MS;
 *             (3) an unlink happens within HOLD_MS of the answer that the row is locked, else
 *                 not at all: a collector that was suspended keeps off.
 * Threads: any, one connection each.
 */
#ifndef SEA_COLLECTOR_H
#define SEA_COLLECTOR_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_store.h"

struct sea_collector_options {
    int64_t grace_ms;           /* younger files stay; 0: none is too young */
    int64_t unfinished_ms;      /* copies, and folders of attempts that ended, younger than this
                                   may still be written */
    int64_t keep_ms;            /* checkpoints of ended stage runs stay this long */
    bool look_only;             /* counts, removes nothing */
};
#define SEA_COLLECTOR_DEFAULTS                                                      \
    { .grace_ms = 3600000, .unfinished_ms = 3600000, .keep_ms = (int64_t)14 * 86400 * 1000 }

struct sea_collector_counts {
    int64_t blobs, bytes;       /* removed, or that would be */
    int64_t leftovers;          /* unfinished copies, checkpoints and folders that nobody needs */
};

SEA_MUST_CHECK enum sea_status
sea_collector_run(struct sea_db *db, const struct sea_store *store,
                  const struct sea_collector_options *options,
                  struct sea_collector_counts *out, struct sea_err *err);

#endif
