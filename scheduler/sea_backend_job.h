/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_backend_job.h - the inside of a job that a batch system started
 *
 * `sea worker --job FILE`: reads what the scheduler wrote for it (mode 0600), shows stage run,
 * epoch and secret as its first act, and then is a worker for that one attempt.
 *
 *     start accepted            works the attempt to its end
 *     refused, first start      0 at once: another job was first, or the attempt was given up
 *     refused, started again    asks for a new epoch, which shuts out the earlier process
 *
 * SIGTERM (cancel, preemption) and SIGUSR1 (the time limit is near): the stage writes its
 * checkpoint, the stage run goes back at no cost.
 */
#ifndef SEA_BACKEND_JOB_H
#define SEA_BACKEND_JOB_H

#include "engine/base/sea_err.h"

struct sea_backend_job_options {
    const char *file;           /* job.env */
    const char *data;           /* folder with store/ and tmp/ */
    const char *program;        /* called as PROGRAM stage NAME ... */
    const char *device;         /* NULL: as the experiment says */
};

/* From the main thread, as sea_worker_run. SEA_OK also when there was nothing to do. */
SEA_MUST_CHECK enum sea_status
sea_backend_job_run(const struct sea_backend_job_options *options, struct sea_err *err);

#endif
