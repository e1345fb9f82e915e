/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_supervisor.h - one child process that runs a stage
 *
 * The child gets its own process group, SIGKILL when the worker dies (PR_SET_PDEATHSIG, which
 * follows the thread that forked), a pipe for events, and nothing else of ours: every other
 * descriptor is closed on exec. Its standard output and error go to a file.
 */
#ifndef SEA_SUPERVISOR_H
#define SEA_SUPERVISOR_H

#include <stdbool.h>
#include <stdint.h>
#include <sys/types.h>

#include "engine/base/sea_err.h"

struct sea_child {
    pid_t pid;                  /* also its process group; 0: none */
    int events;                 /* read end of the pipe, not blocking; -1: closed */
    bool ended;                 /* exited; not reaped yet */
};

/* Descriptor of the event pipe inside the child. */
#define SEA_CHILD_EVENTS_FD 3

/* argv ends with NULL; argv[0] is the program's path. */
SEA_MUST_CHECK enum sea_status
sea_child_start(struct sea_child *child, char *const *argv, const char *log_path,
                struct sea_err *err);
/* With an environment of its own, which ends with NULL; env NULL: ours. */
SEA_MUST_CHECK enum sea_status
sea_child_start_env(struct sea_child *child, char *const *argv, char *const *env,
                    const char *log_path, struct sea_err *err);
/* Waits up to ms for an event byte or the end of the child. */
void sea_child_wait(struct sea_child *child, int64_t ms);
void sea_child_signal(const struct sea_child *child, int signal_number);   /* its group */
/* Kills what is left of the group and collects the leader: exit status, or 128 + signal. */
int sea_child_reap(struct sea_child *child);

#endif
