/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_gpus.h - which GPUs of its machine a worker may use, and how a stage is given some
 *
 * A worker registers numbers; the database reserves them by machine and number, so all workers
 * of a machine have to mean the same GPU by one number. The numbers are the driver's. Where
 * CUDA_VISIBLE_DEVICES lists numbers, those are they; where it lists UUIDs, the place in the list
 * counts, and workers of one machine need one list.
 *
 * A stage gets CUDA_VISIBLE_DEVICES with what was reserved for it and counts from 0.
 */
#ifndef SEA_GPUS_H
#define SEA_GPUS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"

#define SEA_GPUS_MAX 250        /* of one machine */
#define SEA_GPUS_VARIABLE "CUDA_VISIBLE_DEVICES"
#define SEA_GPUS_ASK (-1)       /* as many as the driver shows */

struct sea_gpus {               /* all zero: none, and no account of any */
    int count;
    int number[SEA_GPUS_MAX];
    char name[SEA_GPUS_MAX][64];        /* in SEA_GPUS_VARIABLE */
};

/* device: as workers take it (NULL is "auto"): "auto" and "cuda" are all GPUs, "cuda:K" the one at
 * place K, "cpu" none. many: how many the machine has, or SEA_GPUS_ASK; 0 keeps no account.
 * visible: value of SEA_GPUS_VARIABLE, NULL when it is not set.
 * SEA_E_CONFIG for a device of no such name, SEA_E_DEVICE when a named one is not there. */
SEA_MUST_CHECK enum sea_status
sea_gpus_list(const char *device, int64_t many, const char *visible, struct sea_gpus *out,
              struct sea_err *err);
/* The same with this process's environment. Asks the driver in a child: call it before there are
 * threads. */
SEA_MUST_CHECK enum sea_status
sea_gpus_find(const char *device, int64_t many, struct sea_gpus *out, struct sea_err *err);

/* "{0,1,2}" of SQL, in the arena. */
const char *sea_gpus_array(const struct sea_gpus *gpus, struct sea_arena *arena);
/* "2,3": the value of SEA_GPUS_VARIABLE for some of them, by their numbers; "" for none. */
const char *sea_gpus_visible(const struct sea_gpus *gpus, const int *numbers, size_t count,
                             struct sea_arena *arena);
/* This process's environment with that value instead of its own; ends with NULL, in the arena. */
char **sea_gpus_environment(const char *visible, struct sea_arena *arena);

#endif
