/* SPDX-License-Identifier: Apache-2.0 */
/* gpu_answer.c - evaluation: first words behind pictures, further words, words for patches */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_generate.h"
#include "engine/sea_labels.h"
#include "tests/bench/gpu.h"

/* ---- answers ---- */

#define QUESTION 64             /* words of a prompt, beside its picture */
#define CONTEXT 700             /* rows that decoding looks back at, about */
#define FEW 8
#define MANY 40                 /* words: a window is MANY - FEW steps */

struct answers {
    struct gpu_job *job;
    const struct gpu_model *model;
    struct sea_clip *clip;
    struct sea_clip_work *clip_work;
    struct sea_mllm mllm;
    struct sea_generator *generator;
    int64_t count, words, m;    /* prompts; rows of one; of its picture */
    int64_t max_new;
    struct sea_prompt *prompts;
    struct sea_answer *answers;
    int32_t *ids, *out;
    float *pixels, *features;   /* host */
};

static enum sea_status
open_answers(struct answers *a, const struct sea_generate_desc *limits, bool pictures,
             struct sea_err *err)
{
    struct sea_lm_desc desc = gpu_model_desc(a->model, a->job->layers);
    struct sea_clip_desc tower = gpu_tower_desc(a->model);
    struct sea_clip_limits most = { .images = a->count < 16 ? a->count : 16 };
    struct sea_device *dev = &a->job->dev;
    enum sea_status status;

    dev->store = SEA_STORE_BF16;
    status = sea_lm_create(&a->mllm.lm, dev, &desc, 1, false, err);
    if (!status && pictures)
        status = sea_adapter_create(&a->mllm.adapter, dev, SEA_ADAPTER_MLP2X_GELU,
                                    a->model->tower, a->model->D, 1, false, err);
    if (!status && pictures)
        status = sea_clip_create(&a->clip, dev, &tower, 1, false, err);
    if (!status && pictures)
        status = sea_clip_work_create(&a->clip_work, a->clip, &most, err);
    a->mllm.patches = pictures ? a->m : 0;
    if (!status)
        status = sea_generator_create(&a->generator, &a->mllm, limits, err);
    return status;
}

static void
close_answers(struct answers *a)
{
    sea_generator_destroy(a->generator);
    sea_clip_work_destroy(a->clip_work);
    sea_clip_destroy(a->clip);
    sea_adapter_destroy(a->mllm.adapter);
    sea_lm_destroy(a->mllm.lm);
    free(a->prompts);
    free(a->answers);
    free(a->ids);
    free(a->out);
    free(a->pixels);
    free(a->features);
}

static void
make_prompts(struct answers *a, bool pictures)
{
    int64_t side = gpu_tower_desc(a->model).vision.image, i, j;
    int64_t floats = pictures ? a->count * 3 * side * side : 0;
    struct sea_rng rng;

    sea_rng_init(&rng, 1, 5);
    a->prompts = sea_xcalloc((size_t)a->count, sizeof(*a->prompts));
    a->answers = sea_xcalloc((size_t)a->count, sizeof(*a->answers));
    a->ids = sea_xcalloc((size_t)(a->count * a->words), sizeof(int32_t));
    a->out = sea_xcalloc((size_t)(a->count * MANY), sizeof(int32_t));
    a->pixels = sea_xcalloc((size_t)floats + 1, sizeof(float));
    for (i = 0; i < floats; i++)
        a->pixels[i] = (float)(int)(sea_rng_u32(&rng) >> 16) / 16384.0f - 2.0f;
    if (pictures)
        a->features = sea_xcalloc((size_t)(a->count * a->m * a->model->tower), sizeof(float));
    for (i = 0; i < a->count; i++) {
        int32_t *ids = a->ids + i * a->words;

        for (j = 0; j < a->words; j++)
            ids[j] = (int32_t)sea_rng_below(&rng, (uint32_t)a->model->vocab);
        if (pictures)
            ids[1] = SEA_LM_GIVEN;
        a->prompts[i] = (struct sea_prompt){ .ids = ids, .count = a->words,
                                             .image = pictures ? i : -1, .id = i };
        a->answers[i].ids = a->out + i * MANY;
    }
}

static enum sea_status
answer(void *arg, double *waited, struct sea_err *err)
{
    static const int32_t none = -1;
    struct answers *a = arg;
    struct sea_sampling sampling = { .max_new = a->max_new, .eos = &none };
    struct sea_clip_out out = { .host = a->features };
    enum sea_status status = SEA_OK;

    (void)waited;
    if (a->clip)
        status = sea_clip_features(a->clip, a->clip_work, a->pixels, a->count, -2, false, out,
                                   err);
    if (!status)
        status = sea_generate(a->generator, a->prompts, a->count, a->features,
                              a->clip ? a->count : 0, &sampling, a->answers, err);
    return status;
}

static double
answer_flops(const struct answers *a)
{
    struct sea_lm_desc desc = a->mllm.lm->desc;
    const struct sea_clip_desc *tower = &a->clip->desc;
    int64_t T = a->m + a->words - 1;
    double attention, lm = gpu_lm_flops(&desc, (struct gpu_work){ T, 1 }, &attention);

    return (double)a->count * (lm + gpu_head_flops(&desc, 1) +
                               gpu_tower_flops(tower, tower->vision.layers - 1) +
                               gpu_adapter_flops(a->model->tower, a->model->D, a->m));
}

/* "prefill": a picture and a question each, one word back. */
enum sea_status
gpu_job_answer(struct gpu_job *job, struct sea_err *err)
{
    struct answers a = { .job = job, .model = gpu_model_find(job->model), .words = QUESTION,
                         .max_new = 1 };
    struct sea_generate_desc limits = { .share = true };
    struct gpu_timing timing;
    double t_lim, traced, waited = 0;
    enum sea_status status;

    a.count = job->samples ? job->samples : 64;
    a.m = sea_clip_patch_count(&(struct sea_clip_desc){
        .vision = gpu_tower_desc(a.model).vision });
    limits.slots = a.count < 16 ? a.count : 16;
    limits.room = a.m + a.words + MANY;
    limits.batch_rows = job->rows ? job->rows : limits.slots * (a.m + a.words);
    make_prompts(&a, true);
    status = open_answers(&a, &limits, true, err);
    if (!status)
        status = gpu_measure(job, answer, &a, &timing, err);
    if (!status) {
        gpu_trace_start(&job->dev);
        status = answer(&a, &waited, err);
        gpu_trace_stop(&job->dev);
    }
    if (!status) {
        t_lim = gpu_trace_report(job, job->out, &traced);
        sea_node_put_int(job->arena, job->out, "prompts", a.count);
        sea_node_put_int(job->arena, job->out, "prompt_rows", a.m + a.words - 1);
        sea_node_put_real(job->arena, job->out, "images_per_s",
                          (double)a.count / timing.median);
        gpu_put_timing(job, &timing, answer_flops(&a), t_lim, traced);
    }
    close_answers(&a);
    return status;
}

/* Bytes that one step of decoding must read: weights once, and each answer's keys and values,
 * all as bfloat16. */
static double
decode_bytes(const struct answers *a)
{
    const struct sea_lm_desc *d = &a->mllm.lm->desc;
    double block = (double)(d->D * d->E * 2 * (d->H + d->K) + 3 * d->D * d->F);
    double context = (double)a->words + 0.5 * (FEW + MANY);

    return 2.0 * ((double)d->layers * block + (double)(d->D * d->vocab)) +
           (double)a->count * 4.0 * (double)(d->layers * d->K * d->E) * context;
}

/* "decode1", "decode64": what MANY words take longer than FEW. */
enum sea_status
gpu_job_decode(struct gpu_job *job, struct sea_err *err)
{
    struct answers a = { .job = job, .model = gpu_model_find(job->model) };
    struct sea_generate_desc limits = { .share = true };
    struct gpu_timing few, many;
    double each, bytes, t_lim, traced, waited = 0;
    enum sea_status status;

    a.count = job->samples ? job->samples : !strcmp(job->name, "decode1") ? 1 : 64;
    a.words = job->model[0] == 't' ? 24 : CONTEXT - (FEW + MANY) / 2;
    limits.slots = a.count;
    limits.room = a.words + MANY;
    limits.batch_rows = limits.room > 4096 ? limits.room : 4096;
    make_prompts(&a, false);
    status = open_answers(&a, &limits, false, err);
    a.max_new = FEW;
    if (!status)
        status = gpu_measure(job, answer, &a, &few, err);
    a.max_new = MANY;
    if (!status)
        status = gpu_measure(job, answer, &a, &many, err);
    if (!status) {
        gpu_trace_start(&job->dev);
        status = answer(&a, &waited, err);
        gpu_trace_stop(&job->dev);
    }
    if (!status) {
        struct sea_node *out = job->out;

        t_lim = gpu_trace_report(job, out, &traced);
        each = (many.median - few.median) / (MANY - FEW);
        bytes = decode_bytes(&a);
        sea_node_put_int(job->arena, out, "batch", a.count);
        sea_node_put_int(job->arena, out, "context", a.words + (FEW + MANY) / 2);
        sea_node_put_real(job->arena, out, "tokens_per_s", (double)a.count / each);
        sea_node_put_real(job->arena, out, "tokens_per_s_each", 1.0 / each);
        sea_node_put_real(job->arena, out, "gbyte_per_step", 1e-9 * bytes);
        if (job->limits.bandwidth > 0)
            sea_node_put_real(job->arena, out, "mbu", bytes / each / job->limits.bandwidth);
        sea_node_put_real(job->arena, out, "seconds", each);
        sea_node_put_int(job->arena, out, "windows", many.windows);
        /* Of MANY words and the prompt: what the launches cost beside the operators. */
        sea_node_put_real(job->arena, out, "traced_seconds", traced);
        sea_node_put_real(job->arena, out, "traced_predicted", t_lim);
        sea_node_put_real(job->arena, out, "untraced_seconds", many.median);
    }
    close_answers(&a);
    return status;
}

/* ---- labels ---- */

#define LABEL_WORDS 8192
#define LABEL_TOP 10

struct labels {
    struct sea_clip *clip;
    struct sea_clip_work *work;
    struct sea_scorer *scorer;
    int64_t images, rows;
    float *pixels, *patches, *score;    /* patches: device */
    int32_t *index;
};

static enum sea_status
label(void *arg, double *waited, struct sea_err *err)
{
    struct labels *l = arg;
    struct sea_clip_out out = { .device = l->patches };
    enum sea_status status = sea_clip_patches(l->clip, l->work, l->pixels, l->images,
                                              SEA_CLIP_RAW_POS, out, err);

    (void)waited;
    if (!status)
        status = sea_scorer_run(l->scorer, l->patches, l->rows, l->index, l->score, err);
    return status;
}

static enum sea_status
open_labels(struct labels *l, struct gpu_job *job, const struct sea_clip_desc *desc,
            struct sea_err *err)
{
    struct sea_clip_limits limits = { .images = l->images < 16 ? l->images : 16 };
    int64_t side = desc->vision.image, floats = l->images * 3 * side * side;
    float *words = sea_xcalloc((size_t)(LABEL_WORDS * desc->joint), sizeof(*words));
    struct sea_rng rng;
    enum sea_status status;
    void *mem = NULL;

    sea_rng_init(&rng, 1, 6);
    job->dev.store = SEA_STORE_BF16;
    l->rows = l->images * sea_clip_patch_count(desc);
    l->pixels = sea_xcalloc((size_t)floats, sizeof(float));
    l->index = sea_xcalloc((size_t)(l->rows * LABEL_TOP), sizeof(int32_t));
    l->score = sea_xcalloc((size_t)(l->rows * LABEL_TOP), sizeof(float));
    for (int64_t i = 0; i < floats; i++)
        l->pixels[i] = (float)(int)(sea_rng_u32(&rng) >> 16) / 16384.0f - 2.0f;
    for (int64_t i = 0; i < LABEL_WORDS * desc->joint; i++)
        words[i] = (float)(sea_rng_normal(&rng) / sqrt((double)desc->joint));
    status = sea_clip_create(&l->clip, &job->dev, desc, 1, false, err);
    if (!status)
        status = sea_clip_work_create(&l->work, l->clip, &limits, err);
    if (!status)
        status = sea_scorer_create(&l->scorer, &job->dev, words, LABEL_WORDS, desc->joint,
                                   LABEL_TOP, 1.0f, l->rows, err);
    if (!status)
        status = sea_device_alloc(&job->dev, (size_t)(l->rows * desc->joint) * sizeof(float),
                                  &mem, err);
    l->patches = mem;
    free(words);
    return status;
}

enum sea_status
gpu_job_label(struct gpu_job *job, struct sea_err *err)
{
    struct sea_clip_desc desc = gpu_tower_desc(gpu_model_find(job->model));
    struct labels l = { .images = job->samples ? job->samples : 64 };
    double J = (double)desc.joint, D = (double)desc.vision.D, t_lim, traced, waited = 0, flops;
    enum sea_status status = open_labels(&l, job, &desc, err);
    struct gpu_timing timing;

    if (!status)
        status = gpu_measure(job, label, &l, &timing, err);
    if (!status) {
        gpu_trace_start(&job->dev);
        status = label(&l, &waited, err);
        gpu_trace_stop(&job->dev);
    }
    if (!status) {
        flops = (double)l.images * gpu_tower_flops(&desc, desc.vision.layers) +
                2.0 * (double)l.rows * J * (D + LABEL_WORDS);
        t_lim = gpu_trace_report(job, job->out, &traced);
        sea_node_put_int(job->arena, job->out, "words", LABEL_WORDS);
        sea_node_put_real(job->arena, job->out, "images_per_s",
                          (double)l.images / timing.median);
        gpu_put_timing(job, &timing, flops, t_lim, traced);
    }
    sea_device_free(&job->dev, l.patches);
    sea_scorer_destroy(l.scorer);
    sea_clip_work_destroy(l.work);
    sea_clip_destroy(l.clip);
    free(l.pixels);
    free(l.index);
    free(l.score);
    return status;
}
