/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tune.c - instruction tuning: adapter and language model learn to answer
 *
 * Conversations are packed without padding into parts of at most micro_rows rows; the loss of
 * a step is the mean over all its supervised words, however it was cut. What is trained
 * besides the adapter is the mode's: the language model, low-rank adapters of it, or nothing;
 * and the vision tower when it has a learning rate.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/sea_shard.h"
#include "pipeline/stages/tune_int.h"

#define KEY_ROWS 20             /* bits of a dropout key that number the rows of a sample */

static int64_t
count_supervised(const struct sea_samples *samples, int64_t i)
{
    int64_t at, n = 0;

    for (at = samples->start[i] + 1; at < samples->start[i + 1]; at++)
        n += samples->on[at];
    return n;
}

/* The step's samples, dealt to parts; returns how many parts. */
static int64_t
deal_step(struct sea_tune_run *run, int64_t t, int64_t *count, int64_t *supervised)
{
    int64_t end = (t + 1) * run->batch, i;

    run->first = t * run->batch;
    *count = (end < run->total ? end : run->total) - run->first;
    *supervised = 0;
    for (i = 0; i < *count; i++) {
        run->step_items[i] = sea_order_at(&run->order, run->first + i);
        run->step_rows[i] = sea_samples_rows(&run->samples, run->step_items[i], run->m);
        *supervised += count_supervised(&run->samples, run->step_items[i]);
    }
    return sea_pack_parts(run->step_rows, *count, run->rows_max, run->step_part);
}

/* Keys of the rows of a sample that was just packed, for dropout: its number in the run and
 * the place in it, wherever it was packed. */
static void
add_keys(struct sea_tune_run *run, int64_t number, int64_t from)
{
    const struct sea_packed *packed = &run->packed;

    for (int64_t r = from; r < packed->rows; r++) {
        run->keys[r] = (uint64_t)number << KEY_ROWS | (uint64_t)(r - from);
        if (r + 1 < packed->rows && packed->labels[r + 1] != SEA_LM_IGNORE)
            run->live_keys[run->live++] = run->keys[r];
    }
}

static void
fill_part(struct sea_tune_run *run, int64_t part, int64_t count)
{
    run->live = 0;
    sea_packed_clear(&run->packed);
    for (int64_t i = 0; i < count; i++) {
        int64_t images = run->packed.images, from = run->packed.rows;

        if (run->step_part[i] != part)
            continue;
        sea_packed_add(&run->packed, &run->samples, run->step_items[i], run->m);
        if (run->packed.images > images)
            run->numbers[images] = run->pictures.of_row[run->step_items[i]];
        add_keys(run, run->first + i, from);
    }
}

/* Features of the part's pictures: kept ones, or fresh ones of a tower that is trained. */
static enum sea_status
read_pictures(struct sea_tune_run *run, struct sea_mllm_batch *batch, struct sea_err *err)
{
    struct sea_clip_out out = { .device = run->tower_out };
    enum sea_status status;

    batch->images = run->packed.images;
    if (!run->tower) {
        batch->features = run->features_of;
        return sea_features_get(&run->features, run->numbers, batch->images, run->features_of,
                                err);
    }
    batch->features = run->tower_out;
    batch->features_on_device = true;
    if (!batch->images)
        return SEA_OK;
    status = sea_pictures_pixels(&run->pictures, run->numbers, batch->images, run->pixels, err);
    if (!status)
        status = sea_clip_features(run->clip, run->tower_work, run->pixels, batch->images,
                                   run->layer, run->with_class, out, err);
    return status;
}

static enum sea_status
run_part(struct sea_tune_run *run, int64_t t, int64_t supervised, double *loss,
         struct sea_err *err)
{
    struct sea_mllm_batch batch = { .text = sea_packed_batch(&run->packed) };
    bool tower = run->tower && run->packed.images;
    enum sea_status status = read_pictures(run, &batch, err);

    if (run->lora)
        sea_lora_set_rows(run->lora, t,
                          (struct sea_lora_keys){ run->keys, run->packed.rows },
                          (struct sea_lora_keys){ run->live_keys, run->live });
    if (!status)
        status = sea_mllm_forward(&run->mllm, run->work, &batch,
                                  supervised ? 1.0f / (float)supervised : 0.0f, true, err);
    if (!status)
        status = sea_mllm_loss(run->work, loss, err);
    if (!status)
        status = sea_mllm_backward(&run->mllm, run->work, err);
    if (!status)
        status = sea_shard_open(&run->adapter->params, err);
    if (!status)
        status = sea_mllm_backward_adapter(&run->mllm, run->work,
                                           tower ? run->tower_grad : NULL, err);
    if (!status && tower)
        status = sea_clip_features_backward(run->clip, run->tower_work, run->tower_grad, err);
    return status;
}

/* Parts are turns: this rank works its own, every one behind the one before it. */
static enum sea_status
run_parts(struct sea_tune_run *run, int64_t t, int64_t parts, int64_t count, int64_t supervised,
          struct sea_err *err)
{
    enum sea_status status = sea_shard_start(run->adamw, parts, err);

    memset(run->losses, 0, (size_t)parts * sizeof(*run->losses));
    for (int64_t p = 0; p < parts && !status; p++) {
        if (!sea_shard_has(run->adamw, p))
            continue;
        fill_part(run, p, count);
        status = sea_shard_begin(run->adamw, p, err);
        if (!status)
            status = run_part(run, t, supervised, &run->losses[p], err);
        if (!status)
            status = sea_shard_end(run->adamw, err);
    }
    return status ? status : sea_comm_sum(run->stage->comm, run->losses, parts, err);
}

static enum sea_status
step(void *arg, int64_t t, struct sea_err *err)
{
    struct sea_tune_run *run = arg;
    struct sea_events *events = run->stage->events;
    int64_t count, supervised, parts = deal_step(run, t, &count, &supervised), rows = 0, i;
    double loss = 0, norm;
    enum sea_status status = run_parts(run, t, parts, count, supervised, err);

    if (!status)
        status = sea_adamw_step(run->adamw, &norm, err);
    if (status)
        return status;
    for (i = 0; i < parts; i++)
        loss += run->losses[i];
    for (i = 0; i < count; i++)
        rows += run->step_rows[i];
    sea_events_metric(events, "tune.loss", t + 1, loss / (double)(supervised ? supervised : 1));
    sea_events_metric(events, "tune.grad_norm", t + 1, norm);
    sea_events_metric(events, "tune.rows", t + 1, (double)rows);
    return SEA_OK;
}

static enum sea_status
save(struct sea_tune_run *run, struct sea_err *err)
{
    struct sea_tuned tuned = { .stage = run->stage, .clip = run->clip, .adapter = run->adapter,
                               .lm = run->lm, .tokenizer = run->tokenizer,
                               .layer = run->layer, .with_class = run->with_class,
                               .language = run->language, .view = &run->pictures.view,
                               .conversation = sea_conversation_defaults(run->template_kind) };

    /* The folder may need a wider copy of the language model: make room for it. */
    sea_adamw_destroy(run->adamw);
    sea_mllm_work_destroy(run->work);
    run->adamw = NULL;
    run->work = NULL;
    if (run->lora && sea_stage_bool(run->stage, "lora.merge")) {
        enum sea_status status = sea_lora_merge(run->lora, err);

        if (status)
            return status;
    } else {
        tuned.lora = run->lora;
    }
    return sea_tuned_save(&tuned, err);
}

enum sea_status
sea_stage_tune(struct sea_stage *stage, struct sea_err *err)
{
    static const char *const what[] = { "adapter and language model",
                                        "adapter and low-rank adapters", "the adapter" };
    struct sea_tune_run *run = sea_xcalloc(1, sizeof(*run));
    struct sea_train train = { .every = sea_stage_int(stage, "checkpoint_every"), .step = step,
                               .arg = run };
    enum sea_status status;

    run->stage = stage;
    status = sea_tune_prepare(run, err);
    train.adamw = run->adamw;
    train.steps = run->steps;
    train.what = what[run->mode];
    if (!status)
        status = sea_stage_train(stage, &train, err);
    if (!status && sea_stage_is_first(stage))
        status = save(run, err);
    sea_tune_release(run);
    free(run);
    return status;
}
