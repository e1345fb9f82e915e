/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tune.c - instruction tuning: adapter and language model learn to answer
 *
 * Conversations are packed without padding and run in parts of at most micro_rows rows; the
 * loss of a step is the mean over all its supervised words, however it was cut.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/sea_mllm.h"
#include "pipeline/stages/tune_int.h"

struct tune_run {
    struct sea_stage *stage;
    uint64_t seed;
    int64_t batch, steps, total, m;
    struct sea_dataset data;
    struct sea_pictures pictures;
    char vision[SEA_PATH_MAX], language[SEA_PATH_MAX];
    struct sea_tokenizer *tokenizer;
    struct sea_clip *clip;
    struct sea_lm *lm;
    struct sea_adapter *adapter;
    struct sea_mllm mllm;
    struct sea_features features;
    struct sea_samples samples;
    struct sea_order order;
    struct sea_adamw *adamw;
    struct sea_mllm_work *work;
    struct sea_packed packed;
    int64_t rows_max, images_max;       /* of one part */
    float *features_of;         // (images_max, m, Dv) host
    int64_t *numbers;           // (images_max) pictures of the part
};

static enum sea_status
load_models(struct tune_run *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    struct sea_image_view view;
    char adapter[SEA_PATH_MAX];
    enum sea_status status = sea_stage_model(stage, "model.vision.path", run->vision, err);

    if (!status)
        status = sea_stage_model(stage, "model.language.path", run->language, err);
    if (!status)
        status = sea_path_join(adapter, sea_stage_input_dir(stage, "align"),
                               "adapter.safetensors", err);
    if (!status)
        status = sea_clip_load(&run->clip, &stage->device, run->vision, false, err);
    if (!status)
        status = sea_image_view_load(&view, run->vision, err);
    if (!status)
        status = sea_tokenizer_load(&run->tokenizer, run->language, err);
    if (!status)
        status = sea_lm_load(&run->lm, &stage->device, run->language, true, err);
    if (!status)
        status = sea_adapter_load(&run->adapter, &stage->device, adapter,
                                  run->clip->desc.vision.D, run->lm->desc.D, true, err);
    if (status)
        return status;
    view.aspect = strcmp(sea_stage_text(stage, "aspect"), "pad") == 0 ? SEA_ASPECT_PAD
                                                                      : SEA_ASPECT_SQUARE;
    sea_pictures_init(&run->pictures, &run->data, &view, stage->arena);
    run->m = sea_clip_patch_count(&run->clip->desc);
    run->mllm = (struct sea_mllm){ .lm = run->lm, .adapter = run->adapter, .patches = run->m };
    return SEA_OK;
}

static enum sea_status
make_work(struct tune_run *run, struct sea_err *err)
{
    struct sea_mllm_limits limits = { .text = { .trained = true } };

    run->rows_max = sea_stage_int(run->stage, "micro_rows");
    if (sea_samples_most(&run->samples, 1, run->m) > run->rows_max)
        run->rows_max = sea_samples_most(&run->samples, 1, run->m);
    run->images_max = run->rows_max / run->m;
    if (run->images_max > run->batch)
        run->images_max = run->batch;
    if (run->pictures.count == 0)
        run->images_max = 0;
    limits.text.rows = run->rows_max;
    limits.images = run->images_max;
    sea_packed_init(&run->packed, run->rows_max);
    run->numbers = sea_xcalloc((size_t)run->images_max + 1, sizeof(int64_t));
    run->features_of = sea_xcalloc((size_t)(run->images_max * run->m) *
                                   (size_t)run->clip->desc.vision.D + 1, sizeof(float));
    return sea_mllm_work_create(&run->work, &run->mllm, &limits, err);
}

static enum sea_status
make_optimiser(struct tune_run *run, struct sea_err *err)
{
    const struct sea_stage *stage = run->stage;
    double lr = sea_stage_real(stage, "lr"), wd = sea_stage_real(stage, "weight_decay");
    struct sea_adamw_part parts[] = { { "adapter", &run->adapter->params, lr, wd },
                                      { "language", &run->lm->params, lr, wd } };
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_COSINE, run->steps, sea_stage_real(stage, "warmup")));

    desc.clip_norm = sea_stage_real(stage, "clip");
    return sea_adamw_create(&run->adamw, &stage->device, &desc, parts, 2, err);
}

static enum sea_status
prepare(struct tune_run *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    enum sea_template kind;
    enum sea_status status;

    run->seed = (uint64_t)sea_stage_int(stage, "seed");
    run->batch = sea_stage_int(stage, "batch");
    status = sea_dataset_load(&run->data, SEA_DATASET_INSTRUCT,
                              sea_stage_text(stage, "data.instruct.json"),
                              sea_stage_text(stage, "data.instruct.images"), stage->arena, err);
    if (!status)
        status = load_models(run, err);
    if (!status)
        status = sea_template_parse(&kind, sea_stage_text(stage, "template"), err);
    if (!status)
        status = sea_samples_encode(&run->samples, stage, &run->data, run->tokenizer, kind,
                                    run->m, sea_stage_max_length(stage, run->lm), err);
    if (status)
        return status;
    run->steps = sea_run_steps(sea_stage_int(stage, "steps"), sea_stage_real(stage, "epochs"),
                               run->data.count, run->batch, &run->total);
    sea_order_init(&run->order, run->data.count, run->seed, "tune.order");
    status = make_work(run, err);
    if (!status)
        status = make_optimiser(run, err);
    if (!status)
        status = sea_features_open(&run->features, stage, run->clip,
                                   sea_stage_int(stage, "model.vision.layer"), false,
                                   &run->pictures, err);
    return status;
}

/* ---- one step ---- */

static int64_t
count_supervised(const struct sea_samples *samples, int64_t i)
{
    int64_t at, n = 0;

    for (at = samples->start[i] + 1; at < samples->start[i + 1]; at++)
        n += samples->on[at];
    return n;
}

/* Packs samples from `at` on until the part is full; returns the first that is left. */
static int64_t
fill_part(struct tune_run *run, int64_t at, int64_t end)
{
    sea_packed_clear(&run->packed);
    for (; at < end; at++) {
        int64_t row = sea_order_at(&run->order, at);
        int64_t images = run->packed.images;

        if (run->packed.rows + sea_samples_rows(&run->samples, row, run->m) > run->rows_max)
            break;
        sea_packed_add(&run->packed, &run->samples, row, run->m);
        if (run->packed.images > images)
            run->numbers[images] = run->pictures.of_row[row];
    }
    return at;
}

static enum sea_status
run_part(struct tune_run *run, int64_t supervised, double *loss, struct sea_err *err)
{
    struct sea_mllm_batch batch = { .text = sea_packed_batch(&run->packed),
                                    .images = run->packed.images,
                                    .features = run->features_of };
    double sum;
    enum sea_status status = sea_features_get(&run->features, run->numbers, batch.images,
                                              run->features_of, err);

    if (!status)
        status = sea_mllm_forward(&run->mllm, run->work, &batch,
                                  supervised ? 1.0f / (float)supervised : 0.0f, true, err);
    if (!status)
        status = sea_mllm_loss(run->work, &sum, err);
    if (!status)
        status = sea_mllm_backward(&run->mllm, run->work, err);
    if (!status)
        status = sea_mllm_backward_adapter(&run->mllm, run->work, NULL, err);
    if (!status)
        *loss += sum;
    return status;
}

static enum sea_status
step(void *arg, int64_t t, struct sea_err *err)
{
    struct tune_run *run = arg;
    struct sea_events *events = run->stage->events;
    int64_t first = t * run->batch, end = first + run->batch, at, supervised = 0, rows = 0;
    double loss = 0, norm;
    enum sea_status status = sea_adamw_zero(run->adamw, err);

    end = end > run->total ? run->total : end;
    for (at = first; at < end; at++)
        supervised += count_supervised(&run->samples, sea_order_at(&run->order, at));
    for (at = first; at < end && !status;) {
        at = fill_part(run, at, end);
        rows += run->packed.rows;
        status = run_part(run, supervised, &loss, err);
    }
    if (!status)
        status = sea_adamw_step(run->adamw, &norm, err);
    if (status)
        return status;
    sea_events_metric(events, "tune.loss", t + 1, loss / (double)(supervised ? supervised : 1));
    sea_events_metric(events, "tune.grad_norm", t + 1, norm);
    sea_events_metric(events, "tune.rows", t + 1, (double)rows);
    return SEA_OK;
}

static enum sea_status
save(struct tune_run *run, struct sea_err *err)
{
    struct sea_tuned tuned = { .stage = run->stage, .clip = run->clip, .adapter = run->adapter,
                               .lm = run->lm, .tokenizer = run->tokenizer,
                               .language = run->language, .view = &run->pictures.view };

    /* The folder may need a wider copy of the language model: make room for it. */
    sea_adamw_destroy(run->adamw);
    sea_mllm_work_destroy(run->work);
    run->adamw = NULL;
    run->work = NULL;
    return sea_tuned_save(&tuned, err);
}

static void
release(struct tune_run *run)
{
    sea_adamw_destroy(run->adamw);
    sea_mllm_work_destroy(run->work);
    sea_features_close(&run->features);
    sea_adapter_destroy(run->adapter);
    sea_lm_destroy(run->lm);
    sea_clip_destroy(run->clip);
    sea_tokenizer_destroy(run->tokenizer);
    sea_samples_release(&run->samples);
    sea_packed_release(&run->packed);
    sea_order_release(&run->order);
    free(run->features_of);
    free(run->numbers);
}

enum sea_status
sea_stage_tune(struct sea_stage *stage, struct sea_err *err)
{
    struct tune_run *run = sea_xcalloc(1, sizeof(*run));
    struct sea_train train = { .every = sea_stage_int(stage, "checkpoint_every"), .step = step,
                               .arg = run, .what = "adapter and language model" };
    enum sea_status status;

    run->stage = stage;
    status = prepare(run, err);
    train.adamw = run->adamw;
    train.steps = run->steps;
    if (!status)
        status = sea_stage_train(stage, &train, err);
    if (!status)
        status = save(run, err);
    release(run);
    free(run);
    return status;
}
