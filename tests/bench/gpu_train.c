/* SPDX-License-Identifier: Apache-2.0 */
/*
 * gpu_train.c - steps of training: "align" (SEA's pretraining of the adapter), "tune" (all of
 * the language model) and "lora" (rank 16), each behind the vision tower
 *
 * A step packs `samples` samples into micro-batches as full as the card's memory allows and
 * ends with one update. What does not fit is made smaller in this order: rows of a
 * micro-batch, what is kept for the backward, blocks of the language model; the line says so.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_align.h"
#include "engine/sea_optim.h"
#include "tests/bench/gpu.h"

enum kind { ALIGN, TUNE, LORA };
#define RANK 16
#define WORDS 4096              /* of the word list */
#define TOP 10
#define TOWER_IMAGES 16         /* through the tower at a time */

struct train {
    struct gpu_job *job;
    const struct gpu_model *model;
    enum kind kind;
    enum gpu_data data;
    int64_t layers, rows, samples;      /* blocks; rows of a micro-batch; samples of a step */
    bool recompute;
    int64_t m, images;          /* rows of a picture; pictures of a micro-batch at most */
    struct sea_clip *clip;
    struct sea_clip_work *clip_work;
    struct sea_mllm mllm;
    struct sea_lora *lora;
    struct sea_mllm_work *work;
    struct sea_adamw *adamw;
    struct sea_words words;
    struct sea_align *align;
    struct sea_draw draw;
    struct sea_draw_image *drawn;
    struct sea_pair *pairs;
    int64_t pairs_count;        /* of the step's micro-batches, summed; and of their squares */
    double pairs_squared;
    int32_t *start, *ids, *labels, *index;
    float *score, *pixels, *features;   /* features: device */
    int64_t next;               /* sample that comes next */
    struct sea_mllm_batch batch;
    double rows_used, micro;    /* of the last step */
};

/* ---- memory ---- */

static enum sea_status
open_tower(struct train *t, struct sea_err *err)
{
    struct sea_clip_desc desc = gpu_tower_desc(t->model);
    struct sea_clip_limits limits = {
        .images = t->images < TOWER_IMAGES ? t->images : TOWER_IMAGES };
    enum sea_status status = sea_clip_create(&t->clip, &t->job->dev, &desc, 1, false, err);
    void *mem = NULL;

    if (!status)
        status = sea_clip_work_create(&t->clip_work, t->clip, &limits, err);
    if (!status)
        status = sea_device_alloc(&t->job->dev, (size_t)(t->images * t->m * desc.vision.D) *
                                  sizeof(float), &mem, err);
    t->features = mem;
    return status;
}

static enum sea_status
open_align(struct train *t, struct sea_err *err)
{
    struct sea_align_desc desc = { .theta = 2.0f, .learn = true, .max_scale = 100.0f };
    int32_t *ids = sea_xcalloc(WORDS, sizeof(*ids));
    int64_t *start = sea_xcalloc(WORDS + 1, sizeof(*start));
    int64_t words = t->model->vocab < WORDS ? t->model->vocab : WORDS;
    enum sea_status status;

    for (int64_t i = 0; i < words; i++) {
        ids[i] = (int32_t)i;
        start[i + 1] = i + 1;
    }
    desc.pairs = t->images * sea_draw_windows(&t->draw);
    status = sea_words_create(&t->words, t->mllm.lm, ids, start, words, err);
    if (!status)
        status = sea_align_create(&t->align, &t->words, &desc, err);
    free(ids);
    free(start);
    return status;
}

static enum sea_status
open_optimiser(struct train *t, struct sea_err *err)
{
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 100000, 0));
    struct sea_adamw_part parts[3] = { { "adapter", &t->mllm.adapter->params, 1e-4, 0 } };
    int64_t count = 1;

    if (t->kind == TUNE)
        parts[count++] = (struct sea_adamw_part){ "language", &t->mllm.lm->params, 2e-5, 0 };
    if (t->kind == LORA)
        parts[count++] = (struct sea_adamw_part){ "lora", &t->lora->params, 1e-4, 0 };
    if (t->kind == ALIGN)
        parts[count++] = (struct sea_adamw_part){ "theta", sea_align_params(t->align), 1e-4, 0 };
    return sea_adamw_create(&t->adamw, &t->job->dev, &desc, parts, count, err);
}

static enum sea_status
open_all(struct train *t, struct sea_err *err)
{
    struct sea_lm_desc desc = gpu_model_desc(t->model, t->layers);
    struct sea_lora_desc lora = { .rank = RANK, .alpha = 2 * RANK, .seed = 1 };
    struct sea_mllm_limits limits = {
        .text = { .rows = t->rows, .trained = true, .recompute = t->recompute } };
    enum sea_status status;

    t->images = limits.images = t->rows / (t->m + 1);
    status = open_tower(t, err);
    if (!status)
        status = sea_lm_create(&t->mllm.lm, &t->job->dev, &desc, 1, t->kind == TUNE, err);
    if (!status && t->kind == LORA)
        status = sea_lora_create(&t->lora, &t->mllm.lm->stack, &lora, true, err);
    if (!status)
        status = sea_adapter_create(&t->mllm.adapter, &t->job->dev, SEA_ADAPTER_MLP2X_GELU,
                                    t->model->tower, t->model->D, 1, true, err);
    t->mllm.patches = t->m;
    if (!status && t->kind == ALIGN)
        status = open_align(t, err);
    if (!status)
        status = open_optimiser(t, err);
    if (!status)
        status = sea_mllm_work_create(&t->work, &t->mllm, &limits, err);
    return status;
}

static void
close_all(struct train *t)
{
    sea_mllm_work_destroy(t->work);
    sea_adamw_destroy(t->adamw);
    sea_align_destroy(t->align);
    sea_words_release(&t->words);
    sea_adapter_destroy(t->mllm.adapter);
    sea_lora_destroy(t->lora);
    sea_lm_destroy(t->mllm.lm);
    sea_device_free(&t->job->dev, t->features);
    sea_clip_work_destroy(t->clip_work);
    sea_clip_destroy(t->clip);
    t->work = NULL;
    t->adamw = NULL;
    t->align = NULL;
    t->mllm = (struct sea_mllm){ 0 };
    t->lora = NULL;
    t->features = NULL;
    t->clip_work = NULL;
    t->clip = NULL;
}

/* Without trying: the language model, its optimiser and its activations. */
static bool
is_too_large(const struct train *t, size_t room)
{
    struct sea_lm_desc desc = gpu_model_desc(t->model, t->layers);
    struct sea_lm_limits limits = { .rows = t->rows, .trained = true,
                                    .recompute = t->recompute };
    size_t bytes = sea_lm_desc_bytes(&desc, SEA_STORE_BF16, t->kind == TUNE);
    size_t work = sea_lm_desc_work_bytes(&desc, &limits);

    if (t->kind == TUNE)
        bytes += (size_t)sea_lm_desc_floats(&desc) * 2 * sizeof(float);
    return room && (work > room || bytes > room - work);
}

/* Room is left that the back end takes later: libraries, and rounded operands, the widest of which
 * is the feed-forward part's. */
static enum sea_status
try_open(struct train *t, struct sea_err *err)
{
    size_t operands = (size_t)(4 * t->rows * 2 * t->model->F) * sizeof(uint16_t);
    size_t room = 0, spare;
    enum sea_status status;
    void *kept = NULL;

    if (t->job->dev.ops->mem_room)
        (void)t->job->dev.ops->mem_room(t->job->dev.dev, &room);
    spare = room ? room / 24 + operands : 0;
    if (spare > room / 2)
        spare = room / 2;
    memset(err, 0, sizeof(*err));
    if (is_too_large(t, room - spare))
        return sea_fail(err, SEA_E_DEVMEM, "%lld rows do not fit", (long long)t->rows);
    status = spare ? sea_device_alloc(&t->job->dev, spare, &kept, err) : SEA_OK;
    if (!status)
        status = open_all(t, err);
    sea_device_free(&t->job->dev, kept);
    if (status)
        close_all(t);
    return status;
}

static enum sea_status
open_what_fits(struct train *t, struct sea_err *err)
{
    int64_t most = t->job->rows ? t->job->rows : 32768;
    int64_t layers = t->job->layers ? t->job->layers : t->model->layers;
    int64_t least = most < 4096 ? most : 4096;
    enum sea_status status = SEA_E_DEVMEM;

    for (int quarter = 4; quarter > 0 && status == SEA_E_DEVMEM; quarter--)
        for (int recompute = 0; recompute < 2 && status == SEA_E_DEVMEM; recompute++)
            for (int64_t rows = most; rows >= least && status == SEA_E_DEVMEM;
                 rows = rows > least && rows * 3 / 4 < least ? least : rows * 3 / 4) {
                t->layers = layers * quarter / 4 > 0 ? layers * quarter / 4 : 1;
                t->rows = rows;
                t->recompute = recompute;
                status = try_open(t, err);
                if (rows == least)
                    break;
            }
    return status;
}

/* ---- data ---- */

static void
open_data(struct train *t)
{
    int64_t side = gpu_tower_desc(t->model).vision.image, floats = t->images * 3 * side * side;
    size_t cells = (size_t)(t->images * t->m * TOP);
    struct sea_rng rng;

    sea_rng_init(&rng, 1, 2);
    t->start = sea_xcalloc((size_t)t->images + 1, sizeof(int32_t));
    t->ids = sea_xcalloc((size_t)t->rows, sizeof(int32_t));
    t->labels = sea_xcalloc((size_t)t->rows, sizeof(int32_t));
    t->pixels = sea_xcalloc((size_t)floats, sizeof(float));
    for (int64_t i = 0; i < floats; i++)
        t->pixels[i] = (float)(int)(sea_rng_u32(&rng) >> 16) / 16384.0f - 2.0f;
    t->pairs = sea_xcalloc((size_t)(t->images * sea_draw_windows(&t->draw)), sizeof(*t->pairs));
    t->drawn = sea_xcalloc((size_t)t->images, sizeof(*t->drawn));
    t->index = sea_xcalloc(cells, sizeof(int32_t));
    t->score = sea_xcalloc(cells, sizeof(float));
    for (size_t i = 0; i < cells; i++) {
        t->index[i] = (int32_t)sea_rng_below(&rng, t->model->vocab < WORDS
                                                       ? (uint32_t)t->model->vocab : WORDS);
        t->score[i] = 0.3f;
    }
}

static void
close_data(struct train *t)
{
    free(t->start);
    free(t->ids);
    free(t->labels);
    free(t->pixels);
    free(t->pairs);
    free(t->drawn);
    free(t->index);
    free(t->score);
    t->start = t->ids = t->labels = t->index = NULL;
    t->pixels = t->score = NULL;
    t->pairs = NULL;
    t->drawn = NULL;
}

/* The next samples, as many as fit and are left of the step; their model FLOPs. */
static double
pack(struct train *t, int64_t left, double *adapter_rows)
{
    const struct sea_lm_desc *desc = &t->mllm.lm->desc;
    double flops = 0, attention, lm, head, rank;
    int64_t rows = 0, n = 0;

    for (; n < left && n < t->images; n++) {
        struct gpu_sample sample = gpu_sample_at(t->data, t->next);
        int64_t length = t->m + 1 + sample.text, at = rows;

        if (rows + length > t->rows)
            break;
        for (int64_t i = 0; i < length; i++, at++) {
            t->ids[at] = i > 0 && i <= t->m ? SEA_LM_GIVEN
                                            : (int32_t)((at * 7919 + t->next) % desc->vocab);
            t->labels[at] = i >= length - sample.supervised ? t->ids[at] : SEA_LM_IGNORE;
        }
        rows = at;
        t->start[n + 1] = (int32_t)rows;
        t->drawn[n] = (struct sea_draw_image){ .id = t->next, .index = t->index,
                                               .score = t->score };
        t->next++;
        lm = gpu_lm_flops(desc, (struct gpu_work){ length, sample.supervised }, &attention);
        head = gpu_head_flops(desc, sample.supervised);
        rank = 6.0 * RANK * (double)desc->layers * (double)length *
               (double)(3 * (desc->D + desc->F) + 2 * (desc->D + desc->H * desc->E) +
                        2 * (desc->D + desc->K * desc->E));
        flops += t->kind == TUNE ? 3.0 * (lm + head) : 2.0 * (lm + head) + attention;
        flops += t->kind == LORA ? rank : 0.0;
    }
    *adapter_rows = (double)(n * t->m);
    t->rows_used += (double)rows;
    t->batch = (struct sea_mllm_batch){
        .text = { .rows = rows, .segments = n, .start = t->start, .ids = t->ids,
                  .labels = t->labels },
        .images = n, .features = t->features, .features_on_device = true };
    return flops;
}

/* ---- the step ---- */

static enum sea_status
micro_batch(struct train *t, double *waited, struct sea_err *err)
{
    float weight = 1.0f / (float)sea_lm_supervised(&t->batch.text);
    struct sea_clip_out out = { .device = t->features };
    enum sea_status status;
    int64_t count = 0;
    double start;

    status = sea_clip_features(t->clip, t->clip_work, t->pixels, t->batch.images, -2, false,
                               out, err);
    if (!status)
        status = sea_mllm_forward(&t->mllm, t->work, &t->batch, weight, true, err);
    if (!status)
        status = sea_mllm_backward(&t->mllm, t->work, err);
    if (!status && t->kind == ALIGN) {
        start = sea_clock_seconds();
        count = sea_align_draw(&t->draw, t->drawn, t->batch.images, t->next, t->pairs);
        *waited += sea_clock_seconds() - start;
        status = sea_align_add(t->align, t->pairs, count, t->work->x, t->work->dx, 1.0f, err);
    }
    t->pairs_count += count;
    t->pairs_squared += (double)count * (double)count;
    if (!status)
        status = sea_mllm_backward_adapter(&t->mllm, t->work, NULL, err);
    return status;
}

struct step_arg {
    struct train *t;
    double flops;               /* of the last step */
};

static enum sea_status
step(void *arg, double *waited, struct sea_err *err)
{
    struct step_arg *a = arg;
    struct train *t = a->t;
    const struct sea_clip_desc *tower = &t->clip->desc;
    enum sea_status status = sea_adamw_zero(t->adamw, err);
    int64_t left = t->samples;
    double loss, rows, start, D = (double)t->model->D;

    a->flops = t->rows_used = t->micro = t->pairs_squared = 0;
    t->pairs_count = 0;
    t->next = 0;                /* every step does the same work */
    while (left > 0 && !status) {
        start = sea_clock_seconds();
        a->flops += pack(t, left, &rows);
        *waited += sea_clock_seconds() - start;
        a->flops += (double)t->batch.images * gpu_tower_flops(tower, tower->vision.layers - 1);
        a->flops += 2.0 * gpu_adapter_flops(t->model->tower, t->model->D, (int64_t)rows) +
                    2.0 * rows * D * D;
        left -= t->batch.images;
        t->micro++;
        if (!t->batch.images)
            return sea_fail(err, SEA_E_INTERNAL, "a sample does not fit into %lld rows",
                            (long long)t->rows);
        status = micro_batch(t, waited, err);
    }
    a->flops += 4.0 * t->pairs_squared * D;
    if (!status)
        status = sea_adamw_step(t->adamw, NULL, err);
    if (!status)
        status = sea_mllm_loss(t->work, &loss, err);
    if (!status && !isfinite(loss))
        status = sea_fail(err, SEA_E_INTERNAL, "the loss is %g", loss);
    return status;
}

static void
put_facts(const struct train *t, double seconds)
{
    struct sea_node *out = t->job->out;
    struct sea_arena *arena = t->job->arena;
    int64_t supervised = 0;

    for (int64_t i = 0; i < t->samples; i++)
        supervised += gpu_sample_at(t->data, i).supervised;
    sea_node_put_int(arena, out, "layers", t->layers);
    sea_node_put_int(arena, out, "layers_of_model", t->model->layers);
    sea_node_put_int(arena, out, "samples", t->samples);
    sea_node_put_int(arena, out, "micro_batches", (int64_t)t->micro);
    sea_node_put_int(arena, out, "micro_batch_rows", t->rows);
    sea_node_put_bool(arena, out, "recompute", t->recompute);
    sea_node_put_real(arena, out, "packing", t->rows_used / (t->micro * (double)t->rows));
    sea_node_put_real(arena, out, "samples_per_s", (double)t->samples / seconds);
    sea_node_put_real(arena, out, "tokens_per_s", t->rows_used / seconds);
    sea_node_put_real(arena, out, "supervised_per_s", (double)supervised / seconds);
    if (t->kind == ALIGN)
        sea_node_put_real(arena, out, "pairs", (double)t->pairs_count / t->micro);
}

/* A step that runs out of memory after all is tried with three quarters of the rows. */
static enum sea_status
open_and_measure(struct train *t, struct step_arg *arg, struct gpu_timing *timing,
                 struct sea_err *err)
{
    enum sea_status status = SEA_E_DEVMEM;

    for (int attempt = 0; attempt < 4 && status == SEA_E_DEVMEM; attempt++) {
        if (attempt) {
            t->job->rows = t->rows * 3 / 4;
            close_data(t);
            close_all(t);
        }
        status = open_what_fits(t, err);
        if (status)
            return status;
        open_data(t);
        status = gpu_measure(t->job, step, arg, timing, err);
    }
    return status;
}

enum sea_status
gpu_job_train(struct gpu_job *job, struct sea_err *err)
{
    struct train t = { .job = job, .model = gpu_model_find(job->model) };
    struct step_arg arg = { .t = &t };
    struct gpu_timing timing;
    enum sea_status status;
    double t_lim, traced, waited = 0;

    t.kind = !strcmp(job->name, "align") ? ALIGN : !strcmp(job->name, "tune") ? TUNE : LORA;
    t.data = t.kind == ALIGN ? GPU_CAPTIONS : GPU_TALKS;
    t.samples = job->samples ? job->samples : 32;
    job->dev.store = SEA_STORE_BF16;
    t.m = (int64_t)(gpu_tower_desc(t.model).vision.image / 14);
    t.draw = (struct sea_draw){ .grid_h = t.m, .grid_w = t.m, .top = TOP, .window = 2,
                                .seed = 1 };
    t.m *= t.m;
    status = open_and_measure(&t, &arg, &timing, err);
    if (!status) {
        gpu_trace_start(&job->dev);
        status = step(&arg, &waited, err);
        gpu_trace_stop(&job->dev);
    }
    if (!status) {
        t_lim = gpu_trace_report(job, job->out, &traced);
        put_facts(&t, timing.median);
        gpu_put_timing(job, &timing, arg.flops, t_lim, traced);
    }
    close_data(&t);
    close_all(&t);
    return status;
}
