/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_optim.h - AdamW over the parts of a model, with a learning-rate schedule
 *
 * One optimiser serves several sets of parameters (adapter, language model, temperature),
 * each with its own base learning rate and weight decay; the schedule's factor and the
 * clipping of the gradient's norm are common to all.
 *
 *     sea_adamw_zero(adamw);  forward, backward, ...;  sea_adamw_step(adamw, &norm);
 *
 * Invariants: (1) update t (0-based) uses the factor sea_schedule_factor(.., t), as Hugging
 *                 Face's trainer does: with warm-up the first update changes nothing;
 *             (2) the norm is summed over parts in their order, over blocks that do not
 *                 depend on the device's threads;
 *             (3) weight decay touches tensors whose `decay` is set (matrices), only;
 *             (4) state is m and v per part, flat, with the parameters' layout, and the
 *                 number of finished steps: equal state, equal gradients, equal bits.
 * Nothing allocates after create.
 */
#ifndef SEA_OPTIM_H
#define SEA_OPTIM_H

#include "engine/sea_params.h"

struct sea_comm;                /* engine/sea_comm.h */

enum sea_schedule_kind { SEA_SCHEDULE_COSINE, SEA_SCHEDULE_LINEAR, SEA_SCHEDULE_CONSTANT };

struct sea_schedule {
    enum sea_schedule_kind kind;
    int64_t steps;              /* of the whole run */
    int64_t warmup;             /* steps that rise linearly from 0 */
};
/* warmup = ceil(ratio * steps), as Hugging Face counts. */
struct sea_schedule sea_schedule_make(enum sea_schedule_kind kind, int64_t steps, double ratio);
/* The factor of update t, in [0, 1]: t / warmup while t < warmup, then with
 * u = (t - warmup) / (steps - warmup): cosine (1 + cos(pi u)) / 2, linear 1 - u, or 1. */
double sea_schedule_factor(const struct sea_schedule *schedule, int64_t t);
bool sea_schedule_find(const char *name, enum sea_schedule_kind *out);

struct sea_adamw_part {
    const char *name;           /* in checkpoints and messages, unique */
    struct sea_params *params;  /* borrowed; reserved, trained */
    double lr, weight_decay;
};

struct sea_adamw_desc {
    double beta1, beta2, eps;
    double clip_norm;           /* 0: gradients are not clipped */
    struct sea_schedule schedule;
    struct sea_comm *comm;      /* ranks that train together (sea_shard.h); borrowed; NULL: one */
};
/* 0.9, 0.999, 1e-8, clip 1, and the given schedule. */
struct sea_adamw_desc sea_adamw_defaults(struct sea_schedule schedule);

struct sea_adamw;
/* Checks ranges (SEA_E_CONFIG names the field). Names are copied. */
SEA_MUST_CHECK enum sea_status
sea_adamw_create(struct sea_adamw **out, const struct sea_device *device,
                 const struct sea_adamw_desc *desc, const struct sea_adamw_part *parts,
                 int64_t count, struct sea_err *err);
void sea_adamw_destroy(struct sea_adamw *adamw);        /* accepts NULL */

/* Sets the gradients of all parts to 0. With ranks the first turn does. */
SEA_MUST_CHECK enum sea_status sea_adamw_zero(struct sea_adamw *adamw, struct sea_err *err);
/* One update of every part. norm: of the gradients before clipping; NULL: not wanted, and
 * the device is not waited for. A norm that is not finite is SEA_E_INTERNAL when it is
 * asked for, and nothing is changed then. */
SEA_MUST_CHECK enum sea_status
sea_adamw_step(struct sea_adamw *adamw, double *norm, struct sea_err *err);
/* The learning rate that the next step will use for a part. */
double sea_adamw_lr(const struct sea_adamw *adamw, int64_t part);

/* For checkpoints. */
int64_t sea_adamw_count(const struct sea_adamw *adamw);         /* parts */
const struct sea_adamw_part *sea_adamw_part(const struct sea_adamw *adamw, int64_t part);
float *sea_adamw_m(const struct sea_adamw *adamw, int64_t part);        // (floats) device
float *sea_adamw_v(const struct sea_adamw *adamw, int64_t part);        // (floats) device
/* With ranks m and v are those of n floats from `from` on; without, all of them. */
void sea_adamw_range(const struct sea_adamw *adamw, int64_t part, int64_t *from, int64_t *n);
struct sea_comm *sea_adamw_comm(const struct sea_adamw *adamw);         /* NULL: one rank */
int64_t sea_adamw_steps(const struct sea_adamw *adamw);         /* finished */
void sea_adamw_set_steps(struct sea_adamw *adamw, int64_t steps);

#endif
