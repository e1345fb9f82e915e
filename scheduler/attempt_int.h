/* SPDX-License-Identifier: Apache-2.0 */
/* attempt_int.h - one attempt on its way; attempt.c starts and watches it, attempt_end.c ends it */
#ifndef SEA_ATTEMPT_INT_H
#define SEA_ATTEMPT_INT_H

#include "scheduler/sea_attempt.h"
#include "scheduler/sea_lease.h"
#include "scheduler/sea_relay.h"
#include "scheduler/sea_scores.h"
#include "scheduler/sea_supervisor.h"

struct sea_attempt {
    const struct sea_attempt_options *options;
    const struct sea_claim *claim;
    const struct sea_fence *fence;
    char folder[SEA_PATH_MAX], out[SEA_PATH_MAX], config[SEA_PATH_MAX], log[SEA_PATH_MAX];
    struct sea_lease *lease;
    struct sea_relay *relay;
    struct sea_child child;
    bool resumed;
    bool stopping, cancelling, late;    /* why the child got SIGTERM */
    bool told;                  /* the database knows that the worker drains */
    bool killed;                /* it did not end within the grace */
    bool ours;                  /* the stage was done or never began: what failed is around it */
    int64_t kill_ms;            /* 0: no SIGTERM sent */
    int64_t started_ms;         /* the child's start */
    int64_t pid;                /* of the child, also after its end; 0: it never started */
    bool is_start_told;         /* the database knows of it, and of what it went on from */
    int64_t tell_start_ms;      /* when to try again */
    unsigned tries;             /* since the last call of patience() */
    int64_t away_ms;            /* of these, how long the database could not be reached */
    int64_t stop_ms;            /* 0, or when that wait is over because the worker is to stop */
};

static inline bool
sea_attempt_is_stopped(const struct sea_attempt *a)
{
    return a->options->worker->stop && *a->options->worker->stop;
}

/* Without this row's checkpoint the curve would begin where this attempt did: it is told until
 * it is heard, and at the latest before the attempt ends. */
SEA_MUST_CHECK enum sea_status
sea_attempt_tell_start(struct sea_attempt *a, struct sea_err *err);

/* The child has ended by itself: the commit, or sea_attempt_settle. */
void sea_attempt_finish(struct sea_attempt *a, int exit_status);
/* The database was not heard for so long that the child was killed: what is still there is told, and
 * the stage run goes back at no cost, unless somebody has taken it. */
void sea_attempt_give_back(struct sea_attempt *a);
/* Writes the end of an attempt that has no commit: released, cancelled or failed, and why. */
void sea_attempt_settle(struct sea_attempt *a, int exit_status, const struct sea_err *why);

#endif
