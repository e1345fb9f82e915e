/* SPDX-License-Identifier: Apache-2.0 */
/*
 * control.h - what the fault runner tells the shim inside a worker
 *
 * A file that both map. The runner arms one fault; the shim counts down, makes it happen once
 * and says so in happened, which is what "really injected" means for these kinds.
 */
#ifndef SEA_TEST_FAULT_CONTROL_H
#define SEA_TEST_FAULT_CONTROL_H

#include <stdatomic.h>
#include <stdint.h>

/* Where the file is, for the shim; read once, when the worker starts. */
#define FAULT_CONTROL_VARIABLE "SEA_FAULT_CONTROL"

enum shim_fault {
    SHIM_NONE,
    SHIM_CRASH,                 /* SIGKILL to itself at the after-th crash point */
    SHIM_ENOSPC,                /* creating, linking, renaming, syncing: the disk is full */
    SHIM_EIO,                   /* fsync fails */
    SHIM_CUT_COMMIT,            /* the commit is sent whole, the answer never comes */
    SHIM_DIE_COMMIT             /* SIGKILL to itself once the commit is sent whole */
};

struct fault_control {
    _Atomic int32_t kind;       /* enum shim_fault */
    _Atomic int32_t after;      /* calls of its kind to let pass first */
    _Atomic int32_t times;      /* calls that fail then (ENOSPC) */
    _Atomic int32_t happened;
    _Atomic int64_t points;     /* crash points passed so far */
    _Atomic int64_t skew_ms;    /* added to the wall clock */
    _Atomic int64_t skewed;     /* times that a skewed clock was read */
};

#endif
