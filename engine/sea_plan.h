/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_plan.h - sizes first, then one allocation
 *
 * A model adds every buffer that it needs for given limits; the plan says how many bytes
 * that takes (for `sea plan`), then one allocation serves all. The plan is a pure function
 * of its adds.
 *
 *     sea_plan_init(&plan);
 *     at = sea_plan_add(&plan, "logits", R * V, sizeof(float));
 *     status = sea_plan_reserve(&plan, device, err);       one mem_alloc, zeroed
 *     logits = sea_plan_at(&plan, at);
 *
 * Invariants: (1) offsets are multiples of 64; (2) an overflowing size stays at the largest
 * value, so that reserve fails; (3) nothing is added after reserve.
 */
#ifndef SEA_PLAN_H
#define SEA_PLAN_H

#include "engine/sea_device.h"

struct sea_plan {
    size_t bytes;               /* the sum so far, SIZE_MAX after an overflow */
    void *base;                 /* NULL until reserved */
    const struct sea_device *device;
};

void sea_plan_init(struct sea_plan *plan);
size_t sea_plan_add(struct sea_plan *plan, size_t count, size_t size);  /* an offset */
SEA_MUST_CHECK enum sea_status
sea_plan_reserve(struct sea_plan *plan, const struct sea_device *device, struct sea_err *err);
void *sea_plan_at(const struct sea_plan *plan, size_t offset);
void sea_plan_release(struct sea_plan *plan);   /* accepts all-zero */

#endif
