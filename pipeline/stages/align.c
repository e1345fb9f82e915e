/* SPDX-License-Identifier: Apache-2.0 */
/*
 * align.c - trains the adapter: L = L_g + lambda L_a
 *
 * L_g is the loss of the caption behind the picture, L_a pulls chosen visual tokens to the
 * words of their patches. Tower, language model and its embeddings are frozen, so features
 * are computed once and the word table never changes.
 *
 * A step of `batch` pictures is cut into groups of `group_images`: L_a compares pairs
 * within a group only, and both losses are means over groups. The group is part of the
 * method, not of the hardware: ranks deal groups among them, they do not make others. With
 * `negatives: global` L_a compares all pairs of the batch (align_joint.c).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sea_labels.h"
#include "engine/sea_mllm.h"
#include "pipeline/stages/align_int.h"

#define CONTROL_EVERY 10        /* lambda 0: steps between two looks at L_a */

struct sums {                   /* of one group, and over the groups of a step */
    double text, words, scale;
    double pairs, patches, without;
};
#define SUMS ((int64_t)(sizeof(struct sums) / sizeof(double)))

static enum sea_status
choose(const struct sea_stage *stage, const char *key, const char *const *names, int *out)
{
    const char *name = sea_stage_text(stage, key);

    for (*out = 0; names[*out]; ++*out)
        if (strcmp(names[*out], name) == 0)
            return SEA_OK;
    return SEA_E_INTERNAL;      /* the table of keys lists the same names */
}

static enum sea_status
make_draw(struct sea_align_run *run, struct sea_err *err)
{
    static const char *const edges[] = { "ceil", "floor", NULL };
    static const char *const picks[] = { "uniform", "score", NULL };
    static const char *const draws[] = { "proportional", "best", "uniform", NULL };
    static const char *const dedups[] = { "random", "none", NULL };
    const struct sea_stage *stage = run->stage;
    int edge, pick, draw, dedup;

    if (choose(stage, "window_edge", edges, &edge) || choose(stage, "window_pick", picks, &pick) ||
        choose(stage, "draw", draws, &draw) || choose(stage, "dedup", dedups, &dedup))
        return sea_fail(err, SEA_E_INTERNAL, "a choice of stages.align has no meaning");
    run->draw = (struct sea_draw){
        .grid_h = run->labels->info.grid_h, .grid_w = run->labels->info.grid_w,
        .top = run->labels->info.top, .window = sea_stage_int(stage, "window"),
        .edge = (enum sea_window_edge)edge, .pick = (enum sea_window_pick)pick,
        .draw = (enum sea_label_draw)draw, .dedup = (enum sea_dedup)dedup, .seed = run->seed };
    return SEA_OK;
}

/* ---- words as vectors of the language model ---- */

static enum sea_status
make_words(struct sea_align_run *run, struct sea_err *err)
{
    bool space = sea_stage_bool(run->stage, "subtoken_space") &&
                 !sea_tokenizer_special(run->tokenizer)->marks_start;
    int64_t count = run->labels->info.words, i;
    int64_t *start = sea_xcalloc((size_t)count + 1, sizeof(*start));
    struct sea_ids ids = { 0 };
    struct sea_buf text;
    enum sea_status status = SEA_OK;

    sea_buf_init(&text, SEA_TOKENIZER_TEXT_MAX);
    for (i = 0; i < count && !status; i++) {
        sea_buf_clear(&text);
        sea_buf_addf(&text, "%s%s", space ? " " : "", run->labels->words[i]);
        status = sea_tokenizer_encode(run->tokenizer, text.data, text.len, false, &ids, err);
        start[i + 1] = (int64_t)ids.len;
    }
    if (!status)
        status = sea_words_create(&run->words, run->lm, ids.data, start, count, err);
    sea_buf_release(&text);
    sea_ids_release(&ids);
    free(start);
    return status;
}

/* ---- preparing ---- */

static enum sea_status
load_models(struct sea_align_run *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    const char *labels = sea_stage_input_dir(stage, "label");
    char vision[SEA_PATH_MAX], language[SEA_PATH_MAX], tower[SEA_SHA256_TEXT];
    enum sea_adapter_kind kind;
    struct sea_image_view view;
    enum sea_status status = sea_stage_model(stage, "model.vision.path", vision, err);

    if (!status)
        status = sea_stage_model(stage, "model.language.path", language, err);
    if (!status)
        status = sea_labels_open(&run->labels, labels, err);
    if (!status)
        status = sea_clip_load(&run->clip, &stage->device, vision, false, err);
    if (!status)
        status = sea_image_view_load(&view, vision, err);
    if (!status)
        status = sea_tokenizer_load(&run->tokenizer, language, err);
    if (!status)
        status = sea_lm_load(&run->lm, &stage->device, language, false, err);
    if (!status)
        status = sea_clip_digest(run->clip, tower, err);
    if (status)
        return status;
    sea_stage_warn(stage, &run->clip->vision);
    sea_stage_warn(stage, &run->lm->params);
    if (strcmp(tower, run->labels->info.tower) != 0)
        sea_events_log(stage->events, "info", "the labels were made by another tower");
    view.aspect = SEA_ASPECT_SQUARE;
    sea_pictures_init(&run->pictures, &run->data, &view, stage->arena);
    run->m = sea_clip_patch_count(&run->clip->desc);
    if (run->m != run->labels->info.grid_h * run->labels->info.grid_w)
        return sea_fail(err, SEA_E_FORMAT, "label store \"%s\" has %lld x %lld patches, the tower "
                        "makes %lld", labels, (long long)run->labels->info.grid_h,
                        (long long)run->labels->info.grid_w, (long long)run->m);
    if (!sea_adapter_kind_find(sea_stage_text(stage, "model.adapter"), &kind))
        return sea_fail(err, SEA_E_INTERNAL, "unknown adapter");
    status = sea_adapter_create(&run->adapter, &stage->device, kind, run->clip->desc.vision.D,
                                run->lm->desc.D, run->seed, true, err);
    run->mllm = (struct sea_mllm){ .lm = run->lm, .adapter = run->adapter, .patches = run->m };
    return status;
}

/* The place of every picture in the label store. */
static enum sea_status
find_labels(struct sea_align_run *run, struct sea_err *err)
{
    int64_t i;

    run->label_of = sea_xcalloc((size_t)run->pictures.count + 1, sizeof(int64_t));
    for (i = 0; i < run->pictures.count; i++) {
        run->label_of[i] = sea_labels_find(run->labels, run->pictures.names[i]);
        if (run->label_of[i] < 0) {
            sea_fail(err, SEA_E_FORMAT, "the label store has no labels for picture \"%s\"",
                     run->pictures.names[i]);
            sea_hint(err, "Label the same data that the alignment reads.");
            return SEA_E_FORMAT;
        }
    }
    return SEA_OK;
}

static enum sea_status
make_optimiser(struct sea_align_run *run, struct sea_err *err)
{
    const struct sea_stage *stage = run->stage;
    double lr = sea_stage_real(stage, "lr");
    struct sea_adamw_part parts[2] = {
        { "adapter", &run->adapter->params, lr, sea_stage_real(stage, "weight_decay") },
    };
    enum sea_schedule_kind kind;
    struct sea_adamw_desc desc;
    int64_t count = 1;

    if (!sea_schedule_find(sea_stage_text(stage, "schedule"), &kind))
        return sea_fail(err, SEA_E_INTERNAL, "unknown schedule");
    desc = sea_adamw_defaults(sea_schedule_make(kind, run->steps,
                                                sea_stage_real(stage, "warmup")));
    if (sea_stage_bool(stage, "tau.learn") && run->lambda > 0)
        parts[count++] = (struct sea_adamw_part){ "theta", sea_align_params(run->align), lr, 0 };
    desc.clip_norm = sea_stage_real(stage, "clip");
    desc.comm = stage->comm;
    if (sea_adamw_create(&run->adamw, &stage->device, &desc, parts, count, err))
        return err->status;
    sea_shard_defer(run->adamw, &run->adapter->params);
    sea_shard_defer(run->adamw, sea_align_params(run->align));
    return SEA_OK;
}

static enum sea_status
make_work(struct sea_align_run *run, struct sea_err *err)
{
    const struct sea_stage *stage = run->stage;
    int64_t G = run->group, top = run->labels->info.top, pairs = G * sea_draw_windows(&run->draw);
    struct sea_mllm_limits limits = {
        .text = { .rows = sea_samples_most(&run->samples, G, run->m), .trained = true },
        .images = G };
    struct sea_align_desc desc = {
        .theta = (float)sea_stage_real(stage, "tau.init"),
        .learn = sea_stage_bool(stage, "tau.learn") && run->lambda > 0,
        .max_scale = (float)sea_stage_real(stage, "tau.max_scale"),
        .pairs = run->global ? sea_align_joint_room(run) : pairs };
    enum sea_status status = sea_mllm_work_create(&run->work, &run->mllm, &limits, err);

    if (!status)
        status = sea_align_create(&run->align, &run->words, &desc, err);
    if (status)
        return status;
    sea_packed_init(&run->packed, limits.text.rows);
    run->features_of = sea_xcalloc((size_t)(G * run->m) * (size_t)run->clip->desc.vision.D,
                                   sizeof(float));
    run->numbers = sea_xcalloc((size_t)G, sizeof(int64_t));
    run->sums = sea_xcalloc((size_t)((run->batch / G + 1) * SUMS), sizeof(*run->sums));
    run->images = sea_xcalloc((size_t)G, sizeof(*run->images));
    run->pairs = sea_xcalloc((size_t)pairs, sizeof(*run->pairs));
    if (run->global)
        sea_align_joint_init(run);
    run->index = sea_xcalloc((size_t)(G * run->m * top), sizeof(int32_t));
    run->score = sea_xcalloc((size_t)(G * run->m * top), sizeof(float));
    return SEA_OK;
}

static enum sea_status
prepare(struct sea_align_run *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    enum sea_status status;

    run->seed = (uint64_t)sea_stage_int(stage, "seed");
    run->lambda = sea_stage_real(stage, "lambda");
    run->batch = sea_stage_int(stage, "batch");
    run->group = sea_stage_int(stage, "group_images");
    if (run->group > run->batch)
        run->group = run->batch;
    run->global = strcmp(sea_stage_text(stage, "negatives"), "global") == 0;
    status = sea_dataset_load(&run->data, SEA_DATASET_PRETRAIN,
                              sea_stage_text(stage, "data.pretrain.json"),
                              sea_stage_text(stage, "data.pretrain.images"), stage->arena, err);
    if (!status)
        status = load_models(run, err);
    if (!status)
        status = find_labels(run, err);
    if (!status)
        status = make_draw(run, err);
    if (!status)
        status = make_words(run, err);
    if (!status)
        status = sea_samples_encode(&run->samples, stage, &run->data, run->tokenizer,
                                    SEA_TEMPLATE_PLAIN, run->m,
                                    sea_stage_max_length(stage, run->lm), err);
    if (status)
        return status;
    run->steps = sea_run_steps(sea_stage_int(stage, "steps"), sea_stage_real(stage, "epochs"),
                               run->data.count, run->batch, &run->total);
    sea_order_init(&run->order, run->data.count, run->seed, "align.order");
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

static enum sea_status
fill_group(struct sea_align_run *run, int64_t first, int64_t n, struct sums *sums,
           struct sea_err *err)
{
    int64_t i, p, each = run->m * run->labels->info.top;
    enum sea_status status = SEA_OK;

    sea_packed_clear(&run->packed);
    for (i = 0; i < n && !status; i++) {
        int64_t row = sea_order_at(&run->order, first + i);
        int32_t *index = run->index + i * each;
        float *score = run->score + i * each;

        run->numbers[i] = run->pictures.of_row[row];
        sea_packed_add(&run->packed, &run->samples, row, run->m);
        status = sea_labels_get(run->labels, run->label_of[run->numbers[i]], index, score, err);
        run->images[i] = (struct sea_draw_image){ .id = run->numbers[i], .index = index,
                                                  .score = score };
        for (p = 0; p < run->m && !status; p++)
            sums->without += index[p * run->labels->info.top] < 0;
        sums->patches += (double)run->m;
    }
    return status ? status
                  : sea_features_get(&run->features, run->numbers, n, run->features_of, err);
}

/* Whether a step looks at L_a. */
static bool
has_words(const struct sea_align_run *run, int64_t t)
{
    return run->lambda > 0 || t % CONTROL_EVERY == 0;
}

/* The contrastive part of group g, whose backward has run. */
static enum sea_status
add_words(struct sea_align_run *run, int64_t t, int64_t g, int64_t n, int64_t groups,
          struct sums *sums, struct sea_err *err)
{
    int64_t count;
    double loss, scale;
    enum sea_status status;

    if (run->global) {
        sums->scale = run->whole.scale;
        sums->words = run->whole.loss;  /* every group is told the same: their mean is it */
        sums->pairs = (double)run->whole.count;
        return sea_align_joint_add(run, g, err);
    }
    count = sea_align_draw(&run->draw, run->images, n, t, run->pairs);
    status = sea_shard_open(sea_align_params(run->align), err);
    if (!status)
        status = sea_align_add(run->align, run->pairs, count, run->work->x,
                               run->lambda > 0 ? run->work->dx : NULL,
                               (float)(run->lambda / (double)groups), err);
    if (!status)
        status = sea_align_loss(run->align, &loss, &scale, err);
    if (status)
        return status;
    sums->words += loss;
    sums->scale = scale;
    sums->pairs += (double)count;
    return SEA_OK;
}

static enum sea_status
run_group(struct sea_align_run *run, int64_t t, int64_t g, int64_t first, int64_t n,
          int64_t groups, struct sums *sums, struct sea_err *err)
{
    struct sea_mllm_batch batch;
    double loss;
    enum sea_status status = fill_group(run, first, n, sums, err);

    batch = (struct sea_mllm_batch){ .text = sea_packed_batch(&run->packed), .images = n,
                                     .features = run->features_of };
    if (!status)
        status = sea_mllm_forward(&run->mllm, run->work, &batch,
                                  run->packed.supervised
                                      ? 1.0f / (float)(groups * run->packed.supervised)
                                      : 0.0f, true, err);
    if (!status)
        status = sea_mllm_loss(run->work, &loss, err);
    if (!status)
        status = sea_mllm_backward(&run->mllm, run->work, err);
    if (!status && has_words(run, t))
        status = add_words(run, t, g, n, groups, sums, err);
    if (!status)
        status = sea_shard_open(&run->adapter->params, err);
    if (!status)
        status = sea_mllm_backward_adapter(&run->mllm, run->work, NULL, err);
    if (!status)
        sums->text += loss / (double)(run->packed.supervised ? run->packed.supervised : 1);
    return status;
}

static void
send_metrics(const struct sea_align_run *run, int64_t t, int64_t groups_count,
             const struct sums *sums, double norm)
{
    struct sea_events *events = run->stage->events;
    double groups = (double)groups_count, pairs = sums->pairs / groups;

    sea_events_metric(events, "align.loss_text", t + 1, sums->text / groups);
    if (has_words(run, t)) {
        sea_events_metric(events, "align.loss_words", t + 1, sums->words / groups);
        sea_events_metric(events, "align.pairs", t + 1, pairs);
        sea_events_metric(events, "align.ln_pairs", t + 1, pairs > 0 ? log(pairs) : 0);
        sea_events_metric(events, "align.scale", t + 1, sums->scale);
    }
    sea_events_metric(events, "align.without_label", t + 1, sums->without / sums->patches);
    sea_events_metric(events, "align.grad_norm", t + 1, norm);
}

/* Sums over groups, in their order, of what the ranks have found. */
static enum sea_status
add_up(struct sea_align_run *run, int64_t groups, struct sums *total, struct sea_err *err)
{
    enum sea_status status = sea_comm_sum(run->stage->comm, run->sums, groups * SUMS, err);

    *total = (struct sums){ 0 };
    for (int64_t g = 0; g < groups; g++) {
        struct sums one;

        memcpy(&one, run->sums + g * SUMS, sizeof(one));
        total->text += one.text;
        total->words += one.words;
        total->scale = one.scale;
        total->pairs += one.pairs;
        total->patches += one.patches;
        total->without += one.without;
    }
    return status;
}

/* Groups are turns: this rank works its own, every one behind the one before it. */
static enum sea_status
step(void *arg, int64_t t, struct sea_err *err)
{
    struct sea_align_run *run = arg;
    int64_t first = t * run->batch, end = first + run->batch, groups, g;
    struct sums total;
    double norm;
    enum sea_status status;

    end = end > run->total ? run->total : end;
    groups = (end - first + run->group - 1) / run->group;
    status = sea_shard_start(run->adamw, groups, err);
    if (!status && run->global && has_words(run, t))
        status = sea_align_joint_start(run, t, first, end - first, err);
    memset(run->sums, 0, (size_t)(groups * SUMS) * sizeof(*run->sums));
    for (g = 0; g < groups && !status; g++) {
        int64_t at = first + g * run->group, n = end - at < run->group ? end - at : run->group;
        struct sums one = { 0 };

        if (!sea_shard_has(run->adamw, g))
            continue;
        status = sea_shard_begin(run->adamw, g, err);
        if (!status)
            status = run_group(run, t, g, at, n, groups, &one, err);
        if (!status)
            status = sea_shard_end(run->adamw, err);
        memcpy(run->sums + g * SUMS, &one, sizeof(one));
    }
    if (!status)
        status = add_up(run, groups, &total, err);
    if (!status)
        status = sea_adamw_step(run->adamw, &norm, err);
    if (!status)
        send_metrics(run, t, groups, &total, norm);
    return status;
}

static void
release(struct sea_align_run *run)
{
    sea_adamw_destroy(run->adamw);
    sea_align_destroy(run->align);
    sea_mllm_work_destroy(run->work);
    sea_features_close(&run->features);
    sea_words_release(&run->words);
    sea_adapter_destroy(run->adapter);
    sea_lm_destroy(run->lm);
    sea_clip_destroy(run->clip);
    sea_tokenizer_destroy(run->tokenizer);
    sea_labels_close(run->labels);
    sea_samples_release(&run->samples);
    sea_packed_release(&run->packed);
    sea_order_release(&run->order);
    free(run->label_of);
    free(run->features_of);
    free(run->numbers);
    free(run->sums);
    free(run->images);
    free(run->pairs);
    free(run->index);
    free(run->score);
    sea_align_joint_release(run);
}

enum sea_status
sea_stage_align(struct sea_stage *stage, struct sea_err *err)
{
    struct sea_align_run run = { .stage = stage };
    struct sea_node *figures = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_train train = { .every = sea_stage_int(stage, "checkpoint_every"), .step = step,
                               .arg = &run, .what = "the adapter" };
    char path[SEA_PATH_MAX];
    enum sea_status status = prepare(&run, err);

    train.adamw = run.adamw;
    train.steps = run.steps;
    if (!status)
        status = sea_stage_train(stage, &train, err);
    if (status || !sea_stage_is_first(stage))
        goto out;
    stage->comm = NULL;
    status = sea_align_readout(&run, figures, err);
    if (!status)
        status = sea_stage_path(stage, "adapter.safetensors", path, err);
    if (!status)
        status = sea_adapter_save(run.adapter, path, err);
    if (!status)
        status = sea_stage_write_json(stage, "figures.json", figures, err);
out:
    release(&run);
    return status;
}
