/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_bench_queue.h - how fast the queue is, beside the fastest queue that the same server has
 *
 * On a private PostgreSQL that writes durably, in one run: fdatasync a second of the disk;
 * pgbench with a one-table queue (claim, complete: two commits); our claim and commit with lease,
 * fence, manifest, metrics, cache, history (two commits); the same in batches of 32; and the time
 * from a submission until an idle worker has the stage.
 */
#ifndef SEA_BENCH_QUEUE_H
#define SEA_BENCH_QUEUE_H

#include <stdbool.h>
#include <stdio.h>

#include "engine/base/sea_err.h"

/* Takes about half a minute; what it made is removed. */
SEA_MUST_CHECK enum sea_status sea_bench_queue(bool json, FILE *to, struct sea_err *err);

#endif
