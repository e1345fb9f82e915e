/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_scheduler.h - the loop that moves stage runs which nobody holds
 *
 * Each tick: stage runs with expired leases are taken back (rescue), those whose pause is
 * over become ready, those that wait beyond a deadline fail, those whose parents are done get
 * their key and become cached, ready, or stay waiting for another stage run with the same key.
 * Every step is one transaction that any number of schedulers may attempt at once; there is no
 * leader.
 */
#ifndef SEA_SCHEDULER_H
#define SEA_SCHEDULER_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_stage.h"
#include "scheduler/sea_db.h"

/* The key of a stage; SEA_E_CONFIG, _FORMAT and _MISSING fail the stage run for good. */
typedef enum sea_status sea_key_fn(const char *stage, const struct sea_node *config,
                                   const struct sea_stage_input *inputs, size_t inputs_count,
                                   char out[SEA_SHA256_TEXT], struct sea_err *err);

struct sea_scheduler_options {
    const char *url;            /* of the database; NULL: environment */
    const char *data;           /* folder with store/, collected now and then; NULL: never */
    int64_t tick_ms;            /* 0: 250 */
    int64_t collect_ms;         /* between two collections; 0: 600000 */
    sea_key_fn *key;            /* NULL: sea_stage_key */
    struct sea_digest_memo *memo;       /* of sea_scheduler_tick: what ticks before it have read;
                                           NULL: nothing. The loop has its own. */
    const volatile sig_atomic_t *stop;  /* not 0: return; NULL: never */
};

struct sea_scheduler_counts {   /* of one tick */
    size_t rescued, woken, cached, readied, failed;
    size_t stopped;             /* experiments that were thinned out of a sweep */
    size_t timed_out;           /* stage runs that waited too long */
};

/* Runs until told to stop. May run in a thread. A database that goes away is waited for. */
SEA_MUST_CHECK enum sea_status
sea_scheduler_run(const struct sea_scheduler_options *options, struct sea_err *err);

/* One tick on a connection of the caller's: for tests and for `sea run`. */
SEA_MUST_CHECK enum sea_status
sea_scheduler_tick(struct sea_db *db, const struct sea_scheduler_options *options,
                   struct sea_scheduler_counts *out, struct sea_err *err);

#endif
