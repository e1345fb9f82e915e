/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_attempt.h - one attempt of one stage run, from the claim to the last write
 *
 *     claimed -> folder, inputs, checkpoint -> child -> its end -> commit, fail, release, or
 *     cancelled; or nothing at all when the lease was lost on the way.
 *
 * Part of the worker; see sea_worker.h for its invariants.
 */
#ifndef SEA_ATTEMPT_H
#define SEA_ATTEMPT_H

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_queue.h"
#include "scheduler/sea_store.h"
#include "scheduler/sea_worker.h"

/* The stage run after this one: the commit claims it in its own transaction. */
struct sea_attempt_next {
    struct sea_claimant who;            /* secret: a new one */
    struct sea_arena *arena;            /* for what was claimed: outlives the attempt */
    /* what came of it */
    bool claimed;
    struct sea_claim claim;             /* as sea_queue_claim_bare leaves it */
    int64_t claimed_ms;                 /* sea_clock_ms() before the commit was sent */
};

struct sea_attempt_options {
    const struct sea_worker_options *worker;    /* every default filled in */
    struct sea_db *db;                  /* the worker's; may be lost, reconnected here */
    const struct sea_store *store;
    const char *tmp;                    /* folder of attempts' folders */
    struct sea_arena *arena;            /* ends with the attempt */
    const struct sea_claim *claim;
    int64_t worker_id;
    int64_t claimed_ms;                 /* sea_clock_ms() before the claim was sent */
    struct sea_attempt_next *next;      /* NULL: the commit claims nothing */
};

/* Sees the attempt through. What goes wrong with it is recorded and logged, not returned. */
void sea_attempt_run(const struct sea_attempt_options *options);

#endif
