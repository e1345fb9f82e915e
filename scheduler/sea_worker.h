/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_worker.h - claims stage runs and sees each through to its end
 *
 * For each attempt: a folder DATA/tmp/STAGE.EPOCH, the inputs and the newest committed
 * checkpoint from the store, a child process that runs the stage, a thread that renews the
 * lease, a relay from the child's events to PostgreSQL, and the commit. The child knows
 * nothing of the database.
 *
 * Invariants: (1) no write to the database or the store's names without the fence;
 *             (2) the child ends before its lease can have ended: without an accepted
 *                 renewal it is killed at TTL - margin after the last one was sent;
 *             (3) the child ends when the worker does (kill -9 included).
 * Threads: sea_worker_run forks, so its thread must live as long as its children: call it
 * from the main thread, one per process.
 */
#ifndef SEA_WORKER_H
#define SEA_WORKER_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_gpus.h"

struct sea_worker_options {
    const char *url;            /* of the database; NULL: environment */
    const char *data;           /* folder with store/ and tmp/ */
    const char *stage_program;  /* called as PROGRAM stage NAME --config ... */
    const char *device;         /* "cpu", "cuda:0", ...; NULL: "auto" */
    const struct sea_gpus *gpus;        /* that it may use; stages get what they need of them,
                                   and the device is theirs. NULL, none: every stage gets
                                   device and environment as they are */
    const char *queue;          /* NULL: "default" */
    int64_t ttl_ms;             /* of leases; 0: 30000 */
    int64_t poll_ms;            /* looks at the queue this often without a hint; 0: 1000 */
    int64_t grace_ms;           /* between SIGTERM and SIGKILL of a child; 0: 30000 */
    bool once;                  /* one attempt, then return; SEA_OK also when there was none */
    const volatile sig_atomic_t *stop;  /* not 0: drain and return; NULL: never */
};

/* Runs until told to stop. A database that goes away is waited for; SEA_E_SERVICE only when
 * it cannot be reached at the start. */
SEA_MUST_CHECK enum sea_status
sea_worker_run(const struct sea_worker_options *options, struct sea_err *err);

#endif
