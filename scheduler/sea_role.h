/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_role.h - long-running processes of one data folder: who runs, start, stop
 *
 * A role (scheduler, worker-1, ...) has a file DIR/run/NAME.pid. The running process holds
 * a lock on it for as long as it lives, kill -9 included, and the kernel says whose lock it is;
 * the process id in the file is for people. So a stale file never looks alive, two processes
 * never play one role, and no process is signalled that has the id of an earlier player.
 *
 * The lock is lost when its process closes any descriptor of the file: a player must not ask for
 * its own role.
 */
#ifndef SEA_ROLE_H
#define SEA_ROLE_H

#include <signal.h>
#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_err.h"

/* Set by SIGTERM and SIGINT once sea_role_hold was called. */
extern volatile sig_atomic_t sea_role_stop;

/* Called by the process that plays the role: takes the lock until the process ends and
 * catches the signals. SEA_E_CONFIG when another one plays it. name NULL: signals only. */
SEA_MUST_CHECK enum sea_status
sea_role_hold(const char *dir, const char *name, struct sea_err *err);

/* The process id of whoever plays the role, 0: nobody; less than 0: a process of another machine
 * or container, which has no id here. */
int64_t sea_role_pid(const char *dir, const char *name);

/* Starts PROGRAM ARGS... detached, with its output in DIR/log/NAME.log, and waits until it
 * plays the role. One that is played already is fine (*started false). args ends with NULL.
 * SEA_E_SERVICE with the log's last line when the process ends early. */
SEA_MUST_CHECK enum sea_status
sea_role_start(const char *dir, const char *name, const char *program, const char *const *args,
               bool *started, struct sea_err *err);

/* SIGTERM, and SIGKILL after grace_ms, to every role of the folder whose name starts with
 * prefix, to all of them at once; waits until they have ended. *stopped counts them. */
SEA_MUST_CHECK enum sea_status
sea_role_stop_all(const char *dir, const char *prefix, int64_t grace_ms, int *stopped,
                  struct sea_err *err);

#endif
