/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_optim.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/optim_int.h"
#include "engine/sea_comm.h"

#define PI 3.14159265358979323846

static const char *const schedule_names[] = { "cosine", "linear", "constant" };

struct sea_schedule
sea_schedule_make(enum sea_schedule_kind kind, int64_t steps, double ratio)
{
    struct sea_schedule schedule = { .kind = kind, .steps = steps };

    schedule.warmup = (int64_t)ceil(ratio * (double)steps);
    return schedule;
}

double
sea_schedule_factor(const struct sea_schedule *schedule, int64_t t)
{
    int64_t rest = schedule->steps - schedule->warmup;
    double u;

    if (t < schedule->warmup)
        return (double)t / (double)schedule->warmup;
    u = (double)(t - schedule->warmup) / (double)(rest > 1 ? rest : 1);
    switch (schedule->kind) {
    case SEA_SCHEDULE_COSINE:
        /* Beyond the end the cosine would rise again. */
        return u >= 1 ? 0 : fmax(0, 0.5 * (1 + cos(PI * u)));
    case SEA_SCHEDULE_LINEAR:
        return fmax(0, 1 - u);
    case SEA_SCHEDULE_CONSTANT:
        break;
    }
    return 1;
}

bool
sea_schedule_find(const char *name, enum sea_schedule_kind *out)
{
    size_t i;

    for (i = 0; i < sizeof(schedule_names) / sizeof(schedule_names[0]); i++)
        if (strcmp(name, schedule_names[i]) == 0) {
            *out = (enum sea_schedule_kind)i;
            return true;
        }
    return false;
}

struct sea_adamw_desc
sea_adamw_defaults(struct sea_schedule schedule)
{
    struct sea_adamw_desc desc = {
        .beta1 = 0.9, .beta2 = 0.999, .eps = 1e-8, .clip_norm = 1, .schedule = schedule,
    };

    return desc;
}

static enum sea_status
check_number(const char *name, double value, double low, double high, struct sea_err *err)
{
    if (value >= low && value <= high)
        return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG, "optimiser field \"%s\" is %g, need %g to %g", name,
                    value, low, high);
}

static enum sea_status
check_desc(const struct sea_adamw_desc *desc, struct sea_err *err)
{
    const struct sea_schedule *schedule = &desc->schedule;
    enum sea_status status;

    status = check_number("beta1", desc->beta1, 0, 0.999999, err);
    if (!status)
        status = check_number("beta2", desc->beta2, 0, 0.99999999, err);
    if (!status)
        status = check_number("eps", desc->eps, 1e-30, 1, err);
    if (!status)
        status = check_number("clip_norm", desc->clip_norm, 0, 1e30, err);
    if (!status)
        status = check_number("steps", (double)schedule->steps, 1, 1e15, err);
    if (!status)
        status = check_number("warmup", (double)schedule->warmup, 0,
                              (double)schedule->steps, err);
    return status;
}

static enum sea_status
check_part(const struct sea_adamw_part *parts, int64_t i, struct sea_err *err)
{
    const struct sea_adamw_part *part = &parts[i];
    enum sea_status status;
    int64_t k;

    if (!part->params->data || !part->params->grad)
        return sea_fail(err, SEA_E_INTERNAL, "part \"%s\" of the optimiser has no room for "
                        "gradients", part->name);
    for (k = 0; k < i; k++)
        if (strcmp(parts[k].name, part->name) == 0)
            return sea_fail(err, SEA_E_INTERNAL, "optimiser has two parts \"%s\"",
                            part->name);
    status = check_number("lr", part->lr, 0, 1e6, err);
    if (!status)
        status = check_number("weight_decay", part->weight_decay, 0, 1e6, err);
    sea_context(err, "while setting up part \"%s\" of the optimiser", part->name);
    return status;
}

/* Offsets first, then one allocation; m and v of a part are neighbours. */
static enum sea_status
reserve(struct sea_adamw *adamw, struct sea_err *err)
{
    size_t *at = sea_arena_alloc(adamw->arena, (size_t)adamw->count + 1, 2 * sizeof(*at));
    enum sea_status status;
    int64_t i;

    for (i = 0; i < adamw->count; i++) {
        size_t floats = (size_t)adamw->parts[i].n;

        at[2 * i] = sea_plan_add(&adamw->plan, floats, sizeof(float));
        at[2 * i + 1] = sea_plan_add(&adamw->plan, floats, sizeof(float));
    }
    at[2 * i] = sea_plan_add(&adamw->plan, 1, sizeof(double));
    at[2 * i + 1] = sea_plan_add(&adamw->plan, 1, sizeof(float));
    status = sea_plan_reserve(&adamw->plan, adamw->device, err);
    if (status)
        return status;
    for (i = 0; i < adamw->count; i++) {
        adamw->parts[i].m = sea_plan_at(&adamw->plan, at[2 * i]);
        adamw->parts[i].v = sea_plan_at(&adamw->plan, at[2 * i + 1]);
    }
    adamw->sumsq = sea_plan_at(&adamw->plan, at[2 * i]);
    adamw->gscale = sea_plan_at(&adamw->plan, at[2 * i + 1]);
    return SEA_OK;
}

enum sea_status
sea_adamw_create(struct sea_adamw **out, const struct sea_device *device,
                 const struct sea_adamw_desc *desc, const struct sea_adamw_part *parts,
                 int64_t count, struct sea_err *err)
{
    struct sea_adamw *adamw = NULL;
    enum sea_status status;
    int64_t i;

    *out = NULL;
    status = check_desc(desc, err);
    for (i = 0; !status && i < count; i++)
        status = check_part(parts, i, err);
    if (status)
        goto out;
    adamw = sea_xcalloc(1, sizeof(*adamw));
    adamw->device = device;
    adamw->desc = *desc;
    adamw->arena = sea_arena_create(NULL, "optimiser");
    adamw->count = count;
    adamw->parts = sea_arena_alloc(adamw->arena, (size_t)count, sizeof(*adamw->parts));
    for (i = 0; i < count; i++) {
        adamw->parts[i].given = parts[i];
        adamw->parts[i].given.name = sea_arena_strdup(adamw->arena, parts[i].name);
    }
    sea_plan_init(&adamw->plan);
    sea_shard_cut(adamw);
    status = reserve(adamw, err);
    if (!status)
        status = sea_shard_create(adamw, err);
    if (status)
        goto out;
    *out = adamw;
    adamw = NULL;
out:
    sea_adamw_destroy(adamw);
    return status;
}

void
sea_adamw_destroy(struct sea_adamw *adamw)
{
    if (!adamw)
        return;
    sea_shard_destroy(adamw);
    sea_plan_release(&adamw->plan);
    sea_arena_destroy(adamw->arena);
    free(adamw);
}

enum sea_status
sea_adamw_zero(struct sea_adamw *adamw, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t i;

    for (i = 0; !status && i < adamw->count && !adamw->shard; i++)
        status = sea_params_zero_grad(adamw->parts[i].given.params, err);
    return status;
}

/* Sum of squares of all gradients on the device, and the clip factor from it. */
static enum sea_status
measure(struct sea_adamw *adamw, double *norm, struct sea_err *err)
{
    struct sea_op_clip clip = {
        .sumsq = adamw->sumsq, .gscale = adamw->gscale,
        .max_norm = (float)adamw->desc.clip_norm,
    };
    enum sea_status status = SEA_OK;
    double sumsq;
    int64_t i;

    for (i = 0; !status && i < adamw->count && sea_shard_holds(adamw); i++) {
        struct sea_op_sum sum = {
            .x = adamw->parts[i].given.params->grad, .out = adamw->sumsq,
            .n = adamw->parts[i].given.params->floats, .square = 1, .accumulate = i > 0,
        };

        status = sea_run(adamw->device, err, sum, &sum);
    }
    if (!status && adamw->shard)
        status = sea_shard_share_norm(adamw, &sumsq, err);
    if (!status)
        status = sea_run(adamw->device, err, clip, &clip);
    if (status || !norm)
        return status;
    status = sea_device_get(adamw->device, &sumsq, adamw->sumsq, sizeof(sumsq), err);
    if (status)
        return status;
    *norm = sqrt(sumsq);
    if (!isfinite(*norm)) {
        status = sea_fail(err, SEA_E_INTERNAL, "norm of the gradients is %g after %lld steps",
                          *norm, (long long)adamw->steps);
        sea_hint(err, "Lower the learning rate; training has diverged.");
    }
    return status;
}

/* One call per run of neighbouring tensors with the same weight decay, as far as the run lies
 * in this rank's range. */
static enum sea_status
update_part(struct sea_adamw *adamw, int64_t i, struct sea_err *err)
{
    const struct sea_part_state *part = &adamw->parts[i];
    const struct sea_params *params = part->given.params;
    struct sea_op_adamw op = {
        .gscale = adamw->desc.clip_norm > 0 ? adamw->gscale : NULL,
        .step = adamw->steps + 1, .lr = (float)sea_adamw_lr(adamw, i),
        .beta1 = (float)adamw->desc.beta1, .beta2 = (float)adamw->desc.beta2,
        .eps = (float)adamw->desc.eps,
    };
    enum sea_status status = SEA_OK;
    int64_t from = 0, t = 0, low, high;

    while (!status && from < params->floats) {
        bool decay = part->given.weight_decay > 0 && params->list[t].decay;
        int64_t end;

        while (t + 1 < params->count
               && (part->given.weight_decay > 0 && params->list[t + 1].decay) == decay)
            t++;
        t++;
        end = t < params->count ? params->list[t].offset : params->floats;
        low = from > part->from ? from : part->from;
        high = end < part->from + part->n ? end : part->from + part->n;
        from = end;
        if (low >= high)
            continue;
        op.p = params->data + low;
        op.m = part->m + (low - part->from);
        op.v = part->v + (low - part->from);
        op.g = params->grad + low;
        op.n = high - low;
        op.wd = decay ? (float)part->given.weight_decay : 0;
        status = sea_run(adamw->device, err, adamw, &op);
    }
    if (!status && adamw->shard)
        status = sea_shard_spread(adamw, i, err);
    return status ? status : sea_params_cast(part->given.params, err);
}

enum sea_status
sea_adamw_step(struct sea_adamw *adamw, double *norm, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t i;

    if (norm)
        *norm = 0;
    if (norm || adamw->desc.clip_norm > 0)
        status = measure(adamw, norm, err);
    if (!status && adamw->shard)
        status = sea_shard_collect(adamw, err);
    for (i = 0; !status && i < adamw->count; i++)
        status = update_part(adamw, i, err);
    if (!status)
        adamw->steps++;
    return status;
}

double
sea_adamw_lr(const struct sea_adamw *adamw, int64_t part)
{
    return adamw->parts[part].given.lr
           * sea_schedule_factor(&adamw->desc.schedule, adamw->steps);
}

int64_t
sea_adamw_count(const struct sea_adamw *adamw)
{
    return adamw->count;
}

const struct sea_adamw_part *
sea_adamw_part(const struct sea_adamw *adamw, int64_t part)
{
    assert(part >= 0 && part < adamw->count);
    return &adamw->parts[part].given;
}

float *
sea_adamw_m(const struct sea_adamw *adamw, int64_t part)
{
    assert(part >= 0 && part < adamw->count);
    return adamw->parts[part].m;
}

float *
sea_adamw_v(const struct sea_adamw *adamw, int64_t part)
{
    assert(part >= 0 && part < adamw->count);
    return adamw->parts[part].v;
}

void
sea_adamw_range(const struct sea_adamw *adamw, int64_t part, int64_t *from, int64_t *n)
{
    assert(part >= 0 && part < adamw->count);
    *from = adamw->parts[part].from;
    *n = adamw->parts[part].n;
}

struct sea_comm *
sea_adamw_comm(const struct sea_adamw *adamw)
{
    return adamw->desc.comm;
}

int64_t
sea_adamw_steps(const struct sea_adamw *adamw)
{
    return adamw->steps;
}

void
sea_adamw_set_steps(struct sea_adamw *adamw, int64_t steps)
{
    adamw->steps = steps;
}
