/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_bench_queue.h - how fast the queue is, beside the fastest queue that the same server has
 *
 * On a private PostgreSQL that writes durably, in one run: fdatasync a second of the disk;
 * pgbench with a one-table queue (claim, complete: two commits); our commit that claims the next
 * stage run, with lease, fence, manifest, metrics, cache, history (one commit); the same in batches
 * of 32; the time from a submission until an idle worker has the stage; the claim with a million
 * stage runs in the queue; and all of it while a snapshot is held. What is compared takes turns.
 */
#ifndef SEA_BENCH_QUEUE_H
#define SEA_BENCH_QUEUE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/sea_err.h"

struct sea_bench_queue_options {
    bool json;
    bool quick;                 /* every part for a moment only: for tests of the program */
    int64_t hold_s;             /* of the snapshot; 0: a minute, 2 s when quick */
};

/* Takes about four minutes, and as much longer as a longer hold says; what it made is removed. */
SEA_MUST_CHECK enum sea_status
sea_bench_queue(const struct sea_bench_queue_options *options, FILE *to, struct sea_err *err);

#endif
