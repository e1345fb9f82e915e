/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_backend_driver.h - claims stages for a batch system, and watches their jobs
 *
 * Two threads beside the scheduler's, each with its own connection: one claims and submits,
 * which may take minutes while a controller is busy; the other looks.
 *
 *   1. job_claim commits the attempt, its epoch and a token. Only then is anything submitted.
 *   2. The secret goes into DATA/slurm/TOKEN/job.env, mode 0600; the script beside it holds none.
 *   3. An id answers: submitted. Anything else, our own death included: unknown, which is
 *      looked for by the token, and given up when two answered looks, a grace apart, and the
 *      books do not show it.
 *   4. The job's first act is the fenced start (sea_backend_job.h). Whatever comes second, or
 *      after the attempt was given up, is refused there and ends; jobs whose attempts are over
 *      are cancelled when they are seen.
 *   5. A look that fails moves nothing. It makes the cluster suspect, and is counted.
 *
 * Any number of schedulers may do this at once: each step is one transaction, and the ones
 * that end something take the lease's lock and look again.
 */
#ifndef SEA_BACKEND_DRIVER_H
#define SEA_BACKEND_DRIVER_H

#include <signal.h>
#include <stddef.h>

#include "engine/base/sea_err.h"
#include "scheduler/sea_backend.h"
#include "scheduler/sea_db.h"

struct sea_backend_driver;

/* Starts the threads when DIR/sea.yaml has a section slurm; *out is NULL without. url as for
 * sea_db_open, program is our own path. */
SEA_MUST_CHECK enum sea_status
sea_backend_driver_start(const char *dir, const char *url, const char *program,
                         struct sea_backend_driver **out, struct sea_err *err);
/* Waits for the calls under way, which are cut short. Accepts NULL. */
void sea_backend_driver_stop(struct sea_backend_driver *driver);

/* ---- the steps, on a connection of the caller's: for tests ---- */

struct sea_backend_work {
    const struct sea_backend *backend;
    const struct sea_backend_settings *settings;
    const char *url;            /* of the scheduler; goes into job.env unless settings has one */
    struct sea_db *db;
    int64_t driver_id;          /* worker row; 0: not registered yet */
    int64_t beat_ms;
    const volatile sig_atomic_t *stop;
};
struct sea_backend_counts {     /* of one step */
    size_t submitted, unknown, failed;          /* of claimed jobs */
    size_t lost, cancelled, ghosts;             /* seen by a look */
    bool is_suspect;                            /* the look was not answered */
};

SEA_MUST_CHECK enum sea_status
sea_backend_driver_submit(struct sea_backend_work *work, struct sea_backend_counts *out,
                          struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_backend_driver_look(struct sea_backend_work *work, struct sea_backend_counts *out,
                        struct sea_err *err);

#endif
