/* SPDX-License-Identifier: Apache-2.0 */
/*
 * history.h - the checker: what processes wrote about themselves against what the database says
 *
 * Workers and stages append to files of their own; the database never sees those. Afterwards the
 * two are compared: every promise that a row could break is looked for from the outside.
 */
#ifndef SEA_TEST_FAULT_HISTORY_H
#define SEA_TEST_FAULT_HISTORY_H

#include <stdint.h>

#include "scheduler/sea_db.h"
#include "scheduler/sea_store.h"

struct history_report {
    int64_t stages, attempts, commits;          /* what was compared */
    int64_t double_commits, lost_stages, wrong_results, broken;
    int64_t overlaps, overlap_ms_max;           /* two attempts computing at once: allowed */
    int64_t chained;                            /* claimed by the commit before */
    int64_t late_commits;                       /* sent by attempts that did not win: refused */
};

/* folder: worker-*.log and stages.log. limit: running stage runs at once, 0 for none. Each
 * violation is a line on stdout; returns how many there are. */
int64_t history_check(struct sea_db *db, const struct sea_store *store, const char *folder,
                      int limit, struct history_report *out);

#endif
