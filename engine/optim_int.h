/* SPDX-License-Identifier: Apache-2.0 */
/* optim_int.h - the optimiser's state: optim.c (updates) and shard.c (ranks) */
#ifndef SEA_OPTIM_INT_H
#define SEA_OPTIM_INT_H

#include "engine/sea_optim.h"
#include "engine/sea_plan.h"

struct sea_shard;

struct sea_part_state {
    struct sea_adamw_part given;        /* name is ours */
    int64_t from, n;            /* floats that this rank updates: all of them without ranks */
    float *m, *v;               // (n)
};

struct sea_adamw {
    const struct sea_device *device;
    struct sea_adamw_desc desc;
    struct sea_arena *arena;
    struct sea_plan plan;
    struct sea_part_state *parts;
    int64_t count, steps;
    double *sumsq;              // (1) device
    float *gscale;              // (1) device
    struct sea_shard *shard;    /* NULL: one rank */
};

/* ---- shard.c ---- */

/* Cuts every part among the ranks: fills from and n. */
void sea_shard_cut(struct sea_adamw *adamw);
SEA_MUST_CHECK enum sea_status
sea_shard_create(struct sea_adamw *adamw, struct sea_err *err);
void sea_shard_destroy(struct sea_adamw *adamw);        /* accepts one without ranks */
/* True on the rank that has the sums of all gradients after the last turn. */
bool sea_shard_holds(const struct sea_adamw *adamw);
/* The sum of squares, from the rank that holds the gradients to all, on the device. */
SEA_MUST_CHECK enum sea_status
sea_shard_share_norm(struct sea_adamw *adamw, double *sumsq, struct sea_err *err);
/* Waits for the gradients of this rank's ranges. */
SEA_MUST_CHECK enum sea_status
sea_shard_collect(struct sea_adamw *adamw, struct sea_err *err);
/* Updated ranges of a part to all ranks. */
SEA_MUST_CHECK enum sea_status
sea_shard_spread(struct sea_adamw *adamw, int64_t part, struct sea_err *err);

#endif
