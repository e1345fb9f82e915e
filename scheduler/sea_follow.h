/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_follow.h - watching experiments until they end
 *
 * On a terminal one block of lines is redrawn: each running stage with a bar, rate and
 * remaining time. In a pipe a line is written when a stage changes its state, and now and
 * then while it runs. Reads the database only; what it shows is what psql would show.
 */
#ifndef SEA_FOLLOW_H
#define SEA_FOLLOW_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"

struct sea_follow_result {
    size_t succeeded, failed, cancelled;
    size_t stages, cached;      /* stage runs of all experiments; found in the cache */
};

/* Returns when all experiments have ended, or *stop is set (SEA_E_STOPPED). A database
 * that goes away is waited for, for wait_ms at most. */
SEA_MUST_CHECK enum sea_status
sea_follow(struct sea_db *db, const int64_t *ids, size_t count, int64_t wait_ms,
           const volatile sig_atomic_t *stop, FILE *to, struct sea_follow_result *out,
           struct sea_err *err);

/* The status of watched experiments: SEA_OK when all succeeded; the status that the first
 * failed stage ended with, and its words; SEA_E_STOPPED when some were only cancelled. */
SEA_MUST_CHECK enum sea_status
sea_follow_failure(struct sea_db *db, const int64_t *ids, size_t count,
                   const struct sea_follow_result *result, struct sea_err *err);

#endif
