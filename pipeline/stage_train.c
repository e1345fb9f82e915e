/* SPDX-License-Identifier: Apache-2.0 */
/* The training loop that all stages share: resume, step, save, stop. */
#include "pipeline/sea_stage_body.h"

#include <string.h>

#include "engine/sea_checkpoint.h"

static enum sea_status
load(struct sea_stage *stage, const struct sea_train *train, struct sea_err *err)
{
    struct sea_node *notes;
    struct sea_buf skipped;
    enum sea_status status;

    sea_buf_init(&skipped, (size_t)1 << 16);
    status = sea_checkpoint_load(stage->out, train->adamw, stage->arena, &notes, &skipped, err);
    if (!status && skipped.len)
        sea_events_log(stage->events, "warn", "%s", skipped.data);
    if (!status && notes)
        sea_events_log(stage->events, "info", "going on with %s at step %lld of %lld",
                       train->what, (long long)sea_adamw_steps(train->adamw),
                       (long long)train->steps);
    sea_buf_release(&skipped);
    return status;
}

static enum sea_status
save(struct sea_stage *stage, const struct sea_train *train, struct sea_err *err)
{
    struct sea_node *notes = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP);
    int64_t step = sea_adamw_steps(train->adamw);
    char name[64];
    enum sea_status status;

    sea_node_put_text(stage->arena, notes, "key", stage->key);
    sea_node_put_int(stage->arena, notes, "phase", stage->phase);
    status = sea_checkpoint_save(stage->out, train->adamw, notes, err);
    if (status || !sea_stage_is_first(stage))
        return status;
    sea_checkpoint_name(step, name);
    sea_events_checkpoint(stage->events, name, train->before + step);
    return SEA_OK;
}

/* Whether any rank was told to stop; all learn it behind the same step. */
static enum sea_status
look_for_stop(struct sea_stage *stage, bool *stopped, struct sea_err *err)
{
    int64_t stop = sea_stage_is_stopped();
    enum sea_status status = sea_comm_max(stage->comm, &stop, 1, err);

    *stopped = stop != 0;
    return status;
}

enum sea_status
sea_stage_train(struct sea_stage *stage, const struct sea_train *train, struct sea_err *err)
{
    enum sea_status status = load(stage, train, err);
    int64_t t, saved = sea_adamw_steps(train->adamw);

    for (t = saved; t < train->steps && !status; t++) {
        bool stopped;

        sea_events_progress(stage->events, t, train->steps, "steps");
        status = train->step(train->arg, t, err);
        if (!status)
            status = sea_events_check(stage->events, err);
        if (!status)
            status = look_for_stop(stage, &stopped, err);
        if (status)
            break;
        if (stopped || (t + 1 - saved >= train->every && t + 1 < train->steps)) {
            status = save(stage, train, err);
            saved = t + 1;
        }
        if (!status && stopped)
            status = sea_stage_stop(stage, err);
    }
    if (status && status != SEA_E_STOPPED)
        sea_context(err, "while training %s, step %lld", train->what, (long long)t);
    if (!status)
        sea_events_progress(stage->events, train->steps, train->steps, "steps");
    return status;
}
