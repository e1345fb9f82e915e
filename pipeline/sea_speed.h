/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_speed.h - how fast this build computes here, beside what the machine could do
 *
 * Each benchmark runs an engine's function on random numbers made in memory and prints a
 * row per shape: its rate, the rate that the device's own limits allow, and the share of
 * it that is reached. The limits (multiply-adds in registers, bytes read from memory) are
 * measured before and after every round of every row, so that a neighbour on the machine
 * slows both; a share is the median over rounds. Not for comparisons with other programs:
 * `make bench` has those.
 *
 * Invariant: what is done in a row is fixed by its name; a row takes about a second.
 */
#ifndef SEA_SPEED_H
#define SEA_SPEED_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/sea_err.h"

struct sea_speed_run;           /* speed_int.h */

struct sea_speed {
    const char *name;           /* "gemm" */
    const char *about;          /* one line for people */
    enum sea_status (*run)(struct sea_speed_run *run, struct sea_err *err);
};
/* NULL at the end. */
const struct sea_speed *sea_speed_at(size_t i);

/* Runs one benchmark on a device ("auto", "cpu:2") and prints its table, or JSON:
 * {"benchmark", "device", "rows": [{"what", "unit", "rate", "limit", "share", "bound",
 * "gflops_limit", "read_gb_per_s", "rounds"}]}; limit, share and their parts are null on a
 * device that cannot measure its limits. */
SEA_MUST_CHECK enum sea_status
sea_speed_print(const struct sea_speed *speed, const char *device, bool json, FILE *to,
                struct sea_err *err);

#endif
