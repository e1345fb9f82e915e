/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_cluster_guard.h - a private PostgreSQL for a while, that nobody has to clean up after
 *
 * For measurements and trials: its folder and its server go with the process that asked for
 * them, however that ends. Not for data that anybody wants to see again (sea_cluster.h).
 *
 * A child process waits for the end of its parent (Ctrl-C, SIGTERM, a crash, SIGKILL; in a
 * session of its own, so that what the terminal sends reaches the parent alone), then stops the
 * server and removes the folder. It does so within moments of that end, not before it.
 */
#ifndef SEA_CLUSTER_GUARD_H
#define SEA_CLUSTER_GUARD_H

#include <sys/types.h>

#include "scheduler/sea_cluster.h"

struct sea_cluster_guard {      /* all zero: none */
    char dir[SEA_PATH_MAX];     /* /tmp/sea-NAME-PID-XXXXXX */
    pid_t pid;
    int fd;                     /* the guard reads its other end; never written to */
};

/* Makes a folder in /tmp, starts its guard, and opens a cluster there: sea_cluster_start is the
 * caller's. Before any thread, because it forks. */
SEA_MUST_CHECK enum sea_status
sea_cluster_guard_open(struct sea_cluster_guard *guard, const char *name,
                       struct sea_cluster *cluster, struct sea_err *err);

/* The end without a hurry: returns once server and folder are gone. Accepts all-zero. */
SEA_MUST_CHECK enum sea_status
sea_cluster_guard_close(struct sea_cluster_guard *guard, struct sea_err *err);

#endif
