/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_plan.h"

#include <assert.h>
#include <stdint.h>
#include <string.h>

#define ALIGN 64u

void
sea_plan_init(struct sea_plan *plan)
{
    memset(plan, 0, sizeof(*plan));
}

size_t
sea_plan_add(struct sea_plan *plan, size_t count, size_t size)
{
    size_t at = plan->bytes, bytes;

    assert(!plan->base);                        /* (3) */
    if (plan->bytes == SIZE_MAX || __builtin_mul_overflow(count, size, &bytes) ||
        __builtin_add_overflow(bytes, ALIGN - 1, &bytes) ||
        __builtin_add_overflow(plan->bytes, bytes / ALIGN * ALIGN, &plan->bytes)) {
        plan->bytes = SIZE_MAX;                 /* (2) */
        return 0;
    }
    return at;
}

enum sea_status
sea_plan_reserve(struct sea_plan *plan, const struct sea_device *device, struct sea_err *err)
{
    enum sea_status status;

    assert(!plan->base);
    status = sea_device_alloc(device, plan->bytes ? plan->bytes : ALIGN, &plan->base, err);
    if (!status)
        plan->device = device;
    return status;
}

void *
sea_plan_at(const struct sea_plan *plan, size_t offset)
{
    assert(plan->base && offset <= plan->bytes);
    return (char *)plan->base + offset;
}

void
sea_plan_release(struct sea_plan *plan)
{
    if (plan->device)
        sea_device_free(plan->device, plan->base);
    memset(plan, 0, sizeof(*plan));
}
