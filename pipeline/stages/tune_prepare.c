/* SPDX-License-Identifier: Apache-2.0 */
/* tune_prepare.c - models, data and memory of the tune stage */
#include <stdlib.h>
#include <string.h>

#include "engine/sea_shard.h"
#include "pipeline/stages/tune_int.h"

#define TARGETS_MOST 64

static enum sea_status
read_mode(struct sea_tune_run *run, struct sea_err *err)
{
    static const char *const names[] = { "full", "lora", "adapter" };
    const char *name = sea_stage_text(run->stage, "mode");

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        if (!strcmp(name, names[i])) {
            run->mode = (enum sea_tune_mode)i;
            run->tower = sea_stage_real(run->stage, "tower_lr") > 0;
            return SEA_OK;
        }
    return sea_fail(err, SEA_E_INTERNAL, "unknown mode \"%s\"", name);
}

static enum sea_status
make_lora(struct sea_tune_run *run, struct sea_err *err)
{
    const struct sea_stage *stage = run->stage;
    const struct sea_node *list = sea_node_path(stage->config, "stages.tune.lora.targets");
    const struct sea_node *node = list ? list->first : NULL;
    const char *targets[TARGETS_MOST];
    struct sea_lora_desc desc = {
        .rank = sea_stage_int(stage, "lora.rank"), .alpha = sea_stage_real(stage, "lora.alpha"),
        .dropout = sea_stage_real(stage, "lora.dropout"), .targets = targets,
        .seed = run->seed };

    for (; node && desc.targets_count < TARGETS_MOST; node = node->next)
        targets[desc.targets_count++] = sea_node_text(node, "");
    return sea_lora_create(&run->lora, &run->lm->stack, &desc, true, err);
}

/* Towers, language model and adapter of their own, as they come from the stage align. */
static enum sea_status
load_parts(struct sea_tune_run *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    char adapter[SEA_PATH_MAX];
    enum sea_status status = sea_stage_model(stage, "model.vision.path", run->vision, err);

    if (!status)
        status = sea_stage_model(stage, "model.language.path", run->language, err);
    if (!status)
        status = sea_path_join(adapter, sea_stage_input_dir(stage, "align"),
                               "adapter.safetensors", err);
    if (!status)
        status = sea_clip_load(&run->clip, &stage->device, run->vision, run->tower, err);
    if (!status)
        status = sea_lm_load(&run->lm, &stage->device, run->language,
                             run->mode == SEA_TUNE_FULL, err);
    if (!status)
        status = sea_adapter_load(&run->adapter, &stage->device, adapter,
                                  run->clip->desc.vision.D, run->lm->desc.D, true, err);
    run->layer = sea_stage_int(stage, "model.vision.layer");
    return status;
}

/* A finished model, which is trained further. */
static enum sea_status
load_whole(struct sea_tune_run *run, struct sea_err *err)
{
    struct sea_mllm_trained trained = { .clip = run->tower, .adapter = true,
                                        .lm = run->mode == SEA_TUNE_FULL };
    struct sea_mllm_folder folder;
    enum sea_status status = sea_stage_model(run->stage, "model.path", run->language, err);

    if (status)
        return status;
    if (sea_lora_is_folder(run->language)) {
        sea_fail(err, SEA_E_CONFIG, "model \"%s\" is a PEFT folder, which cannot be tuned "
                 "further", run->language);
        sea_hint(err, "Merge it first, or tune with stages.tune.lora.merge: true.");
        return err->status;
    }
    status = sea_mllm_load(&folder, &run->stage->device, run->language, trained, err);
    if (status)
        return status;
    memcpy(run->vision, folder.view, sizeof(run->vision));
    run->clip = folder.clip;
    run->lm = folder.lm;
    run->adapter = folder.adapter;
    run->layer = folder.layer;
    run->with_class = folder.with_class;
    return SEA_OK;
}

static enum sea_status
load_models(struct sea_tune_run *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    struct sea_image_view view;
    enum sea_status status = sea_stage_text(stage, "model.path")[0] ? load_whole(run, err)
                                                                    : load_parts(run, err);

    if (!status) {
        sea_stage_warn(stage, &run->clip->vision);
        sea_stage_warn(stage, &run->adapter->params);
        sea_stage_warn(stage, &run->lm->params);
    }
    if (!status)
        status = sea_image_view_load(&view, run->vision, err);
    if (!status)
        status = sea_tokenizer_load(&run->tokenizer, run->language, err);
    if (!status && run->mode == SEA_TUNE_LORA)
        status = make_lora(run, err);
    if (status)
        return status;
    view.aspect = strcmp(sea_stage_text(stage, "aspect"), "pad") == 0 ? SEA_ASPECT_PAD
                                                                      : SEA_ASPECT_SQUARE;
    sea_pictures_init(&run->pictures, &run->data, &view, stage->arena);
    run->m = sea_clip_patch_count(&run->clip->desc) + run->with_class;
    run->mllm = (struct sea_mllm){ .lm = run->lm, .adapter = run->adapter, .patches = run->m };
    return SEA_OK;
}

/* ---- order ---- */

static int64_t
count_words(const char *at)
{
    int64_t words = 0;

    while (*at) {
        at += strspn(at, " \t\n\v\f\r");
        words += *at != 0;
        at += strcspn(at, " \t\n\v\f\r");
    }
    return words;
}

static int64_t *
measure_rows(const struct sea_dataset *data)
{
    int64_t *lengths = sea_xcalloc((size_t)data->count + 1, sizeof(*lengths));

    for (int64_t i = 0; i < data->count; i++) {
        for (size_t t = 0; t < data->rows[i].turns_count; t++)
            lengths[i] += count_words(data->rows[i].turns[t].value);
        if (!lengths[i])
            lengths[i] = 1;
        if (!data->rows[i].image)
            lengths[i] = -lengths[i];
    }
    return lengths;
}

static enum sea_status
make_order(struct sea_tune_run *run, struct sea_err *err)
{
    static const char *const names[] = { "shuffle", "length", "modality_length" };
    const char *name = sea_stage_text(run->stage, "order");
    int64_t chunk = sea_stage_int(run->stage, "chunk");
    int kind = 0;

    sea_order_init(&run->order, run->data.count, run->seed, "tune.order");
    while (kind < SEA_ORDER_MODALITY && strcmp(names[kind], name) != 0)
        kind++;
    if (kind == SEA_ORDER_SHUFFLE)
        return SEA_OK;
    if (chunk > run->batch)
        chunk = run->batch;
    if (run->batch % chunk) {
        sea_fail(err, SEA_E_CONFIG, "key \"stages.tune.chunk\" is %lld, which does not divide "
                 "the batch of %lld", (long long)chunk, (long long)run->batch);
        sea_hint(err, "Set stages.tune.chunk to a divisor of stages.tune.batch.");
        return err->status;
    }
    run->lengths = measure_rows(&run->data);
    sea_order_group(&run->order, (enum sea_order_kind)kind, run->lengths, run->batch, chunk);
    return SEA_OK;
}

/* ---- memory ---- */

static enum sea_status
make_tower_work(struct sea_tune_run *run, struct sea_err *err)
{
    struct sea_clip_limits limits = { .images = run->images_max, .trained = true };
    const struct sea_clip_vision_desc *vision = &run->clip->desc.vision;
    size_t floats = (size_t)(run->images_max * run->m * vision->D), out, grad;
    enum sea_status status;

    if (!run->images_max)
        return SEA_OK;
    sea_plan_init(&run->tower_plan);
    out = sea_plan_add(&run->tower_plan, floats, sizeof(float));
    grad = sea_plan_add(&run->tower_plan, floats, sizeof(float));
    status = sea_plan_reserve(&run->tower_plan, &run->stage->device, err);
    if (status)
        return status;
    run->tower_out = sea_plan_at(&run->tower_plan, out);
    run->tower_grad = sea_plan_at(&run->tower_plan, grad);
    run->pixels = sea_xcalloc((size_t)(run->images_max * 3 * vision->image) *
                              (size_t)vision->image, sizeof(float));
    return sea_clip_work_create(&run->tower_work, run->clip, &limits, err);
}

static enum sea_status
make_work(struct sea_tune_run *run, struct sea_err *err)
{
    struct sea_mllm_limits limits = { .text = { .trained = true } };
    size_t batch = (size_t)run->batch + 1;
    enum sea_status status = SEA_OK;

    run->rows_max = sea_stage_int(run->stage, "micro_rows");
    if (sea_samples_most(&run->samples, 1, run->m) > run->rows_max)
        run->rows_max = sea_samples_most(&run->samples, 1, run->m);
    run->images_max = run->rows_max / run->m;
    if (run->images_max > run->batch)
        run->images_max = run->batch;
    if (run->pictures.count == 0)
        run->images_max = 0;
    limits.text.rows = run->rows_max;
    limits.text.recompute = sea_stage_bool(run->stage, "recompute");
    limits.images = run->images_max;
    sea_packed_init(&run->packed, run->rows_max);
    run->step_items = sea_xcalloc(batch, sizeof(int64_t));
    run->step_rows = sea_xcalloc(batch, sizeof(int64_t));
    run->step_part = sea_xcalloc(batch, sizeof(int64_t));
    run->losses = sea_xcalloc(batch, sizeof(*run->losses));
    run->numbers = sea_xcalloc((size_t)run->images_max + 1, sizeof(int64_t));
    run->keys = sea_xcalloc((size_t)run->rows_max, sizeof(*run->keys));
    run->live_keys = sea_xcalloc((size_t)run->rows_max, sizeof(*run->live_keys));
    if (run->tower)
        status = make_tower_work(run, err);
    else
        run->features_of = sea_xcalloc((size_t)(run->images_max * run->m) *
                                       (size_t)run->clip->desc.vision.D + 1, sizeof(float));
    return status ? status : sea_mllm_work_create(&run->work, &run->mllm, &limits, err);
}

static enum sea_status
make_optimiser(struct sea_tune_run *run, struct sea_err *err)
{
    const struct sea_stage *stage = run->stage;
    double lr = sea_stage_real(stage, "lr"), wd = sea_stage_real(stage, "weight_decay");
    double adapter_lr = sea_stage_real(stage, "adapter_lr");
    struct sea_adamw_part parts[3] = {
        { "adapter", &run->adapter->params, adapter_lr > 0 ? adapter_lr : lr, wd },
    };
    enum sea_schedule_kind kind;
    struct sea_adamw_desc desc;
    int64_t count = 1;

    if (!sea_schedule_find(sea_stage_text(stage, "schedule"), &kind))
        return sea_fail(err, SEA_E_INTERNAL, "unknown schedule");
    if (run->mode == SEA_TUNE_FULL)
        parts[count++] = (struct sea_adamw_part){ "language", &run->lm->params, lr, wd };
    if (run->mode == SEA_TUNE_LORA)
        parts[count++] = (struct sea_adamw_part){ "lora", &run->lora->params, lr, wd };
    if (run->tower)
        parts[count++] = (struct sea_adamw_part){ "vision", &run->clip->vision,
                                                  sea_stage_real(stage, "tower_lr"), wd };
    desc = sea_adamw_defaults(sea_schedule_make(kind, run->steps,
                                                sea_stage_real(stage, "warmup")));
    desc.clip_norm = sea_stage_real(stage, "clip");
    desc.comm = stage->comm;
    if (sea_adamw_create(&run->adamw, &stage->device, &desc, parts, count, err))
        return err->status;
    sea_shard_defer(run->adamw, &run->adapter->params);
    sea_shard_defer(run->adamw, &run->clip->vision);
    sea_shard_defer(run->adamw, &run->lm->params);
    if (run->lora)
        sea_shard_defer(run->adamw, &run->lora->params);
    return SEA_OK;
}

enum sea_status
sea_tune_prepare(struct sea_tune_run *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    enum sea_status status = read_mode(run, err);

    run->seed = (uint64_t)sea_stage_int(stage, "seed");
    run->batch = sea_stage_int(stage, "batch");
    if (!status)
        status = sea_dataset_load(&run->data, SEA_DATASET_INSTRUCT,
                                  sea_stage_text(stage, "data.instruct.json"),
                                  sea_stage_text(stage, "data.instruct.images"), stage->arena,
                                  err);
    if (!status)
        status = make_order(run, err);
    if (!status)
        status = load_models(run, err);
    if (!status)
        status = sea_template_parse(&run->template_kind, sea_stage_text(stage, "template"), err);
    if (!status)
        status = sea_samples_encode(&run->samples, stage, &run->data, run->tokenizer,
                                    run->template_kind, run->m,
                                    sea_stage_max_length(stage, run->lm), err);
    if (status)
        return status;
    run->steps = sea_run_steps(sea_stage_int(stage, "steps"), sea_stage_real(stage, "epochs"),
                               run->data.count, run->batch, &run->total);
    status = make_work(run, err);
    if (!status)
        status = make_optimiser(run, err);
    if (!status && !run->tower)
        status = sea_features_open(&run->features, stage, run->clip, run->layer,
                                   run->with_class, &run->pictures, err);
    return status;
}

void
sea_tune_release(struct sea_tune_run *run)
{
    sea_adamw_destroy(run->adamw);
    sea_mllm_work_destroy(run->work);
    sea_clip_work_destroy(run->tower_work);
    sea_plan_release(&run->tower_plan);
    sea_features_close(&run->features);
    sea_adapter_destroy(run->adapter);
    sea_lora_destroy(run->lora);
    sea_lm_destroy(run->lm);
    sea_clip_destroy(run->clip);
    sea_tokenizer_destroy(run->tokenizer);
    sea_samples_release(&run->samples);
    sea_packed_release(&run->packed);
    sea_order_release(&run->order);
    free(run->lengths);
    free(run->step_items);
    free(run->step_rows);
    free(run->step_part);
    free(run->losses);
    free(run->features_of);
    free(run->numbers);
    free(run->keys);
    free(run->live_keys);
    free(run->pixels);
}
