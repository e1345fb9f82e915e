/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_exec.h - one short command of the system, with a deadline and without a shell
 *
 * For tools whose answer is read, such as those of a batch system. Not for stages
 * (sea_supervisor.h) and not for roles (sea_role.h).
 *
 * The child gets its own process group, no input, no descriptor of ours, and an environment
 * of a few names (PATH, HOME, USER, LOGNAME, TZ, SLURM_CONF, MUNGE_SOCKET; LC_ALL is C):
 * what holds passwords in ours stays here. Arguments are seen by every user of a machine:
 * never a secret among them.
 *
 * A command that misses its deadline, or that *stop cuts short, is killed with its group;
 * whether it has done its work by then nobody knows, and the caller decides what that means.
 * Threads: any number at once.
 */
#ifndef SEA_EXEC_H
#define SEA_EXEC_H

#include <signal.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"

struct sea_exec {
    const char *const *argv;    /* ends with NULL; argv[0] is a path, or a name in PATH */
    const char *folder;         /* looked in for a plain argv[0] instead of PATH; NULL: PATH */
    int64_t limit_ms;           /* of the whole call */
    const volatile sig_atomic_t *stop;  /* not 0: give up; NULL: never */
};

struct sea_exec_answer {
    struct sea_buf out;         /* standard output */
    char said[400];             /* the beginning of standard error, on one line */
    int exit_status;            /* or 128 + signal */
};

/* bytes_max limits the output; more is SEA_E_FORMAT. Caller releases answer, also on failure.
 * SEA_E_SERVICE: it could not be started, or did not end in time. Any exit status is SEA_OK. */
SEA_MUST_CHECK enum sea_status
sea_exec_run(const struct sea_exec *call, size_t bytes_max, struct sea_exec_answer *answer,
             struct sea_err *err);
void sea_exec_release(struct sea_exec_answer *answer);  /* accepts all-zero */

#endif
