/* SPDX-License-Identifier: Apache-2.0 */
/* speed_models.c - whole models with random weights: training, decoding, labelling */
#include <math.h>
#include <stdlib.h>

#include "engine/base/sea_rng.h"
#include "engine/sea_clip.h"
#include "engine/sea_generate.h"
#include "engine/sea_labels.h"
#include "engine/sea_mllm.h"
#include "engine/sea_optim.h"
#include "pipeline/speed_int.h"

static struct sea_lm_desc
language(int64_t D, int64_t F, int64_t layers, int64_t H, int64_t K, int64_t vocab)
{
    struct sea_lm_desc desc = sea_lm_defaults();

    desc.vocab = vocab;
    desc.D = D;
    desc.F = F;
    desc.layers = layers;
    desc.H = H;
    desc.K = K;
    desc.E = D / H;
    desc.max_positions = 1024;
    return desc;
}

/* Numbers in the matrices that every row of a block meets before its feed-forward part, and
 * in that part. */
static double
attention_numbers(const struct sea_lm_desc *desc)
{
    return (double)(desc->D * desc->E * 2 * (desc->H + desc->K));
}

static double
forward_numbers(const struct sea_lm_desc *desc)
{
    return 3.0 * (double)(desc->D * desc->F);
}

/* ---- train ---- */

enum { SEGMENTS = 8, WORDS = 160, ROWS = SEGMENTS * WORDS };

struct train_step {
    struct sea_lm *lm;
    struct sea_lm_work *work;
    struct sea_adamw *adamw;
    struct sea_lm_batch batch;
    int32_t start[SEGMENTS + 1], ids[ROWS], labels[ROWS];
    double loss;
};

static enum sea_status
train(void *args, struct sea_err *err)
{
    struct train_step *step = args;
    float weight = 1.0f / (float)sea_lm_supervised(&step->batch);
    enum sea_status status = sea_adamw_zero(step->adamw, err);

    if (!status)
        status = sea_lm_forward(step->lm, step->work, &step->batch, NULL, weight, true, err);
    if (!status)
        status = sea_lm_backward(step->lm, step->work, NULL, err);
    if (!status)
        status = sea_adamw_step(step->adamw, NULL, err);
    if (!status)
        status = sea_lm_loss(step->work, &step->loss, err);
    return status;
}

/* A multiply-add counts 2, a backward twice its forward, attention's scores once more. The
 * last block's feed-forward part and the head see supervised rows only. */
static double
train_flops(const struct sea_lm_desc *desc, double supervised)
{
    double pairs = SEGMENTS * 0.5 * WORDS * (WORDS + 1), layers = (double)desc->layers;
    double products = layers * attention_numbers(desc) * ROWS;

    products += forward_numbers(desc) * ((layers - 1.0) * ROWS + supervised);
    products += (double)(desc->D * desc->vocab) * supervised;
    return 6.0 * products + 14.0 * layers * pairs * (double)(desc->H * desc->E);
}

static enum sea_status
open_training(struct train_step *step, const struct sea_device *device,
              const struct sea_lm_desc *desc, struct sea_err *err)
{
    struct sea_lm_limits limits = { .rows = ROWS, .trained = true };
    struct sea_adamw_desc optim = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 1000, 0));
    struct sea_adamw_part part = { "language", NULL, 1e-4, 0 };
    enum sea_status status = sea_lm_create(&step->lm, device, desc, 1, true, err);
    struct sea_rng rng;
    int i;

    sea_rng_init(&rng, 1, 1);
    for (i = 0; i <= SEGMENTS; i++)
        step->start[i] = i * WORDS;
    for (i = 0; i < ROWS; i++) {
        step->ids[i] = (int32_t)sea_rng_below(&rng, (uint32_t)desc->vocab);
        step->labels[i] = i % WORDS >= WORDS * 4 / 5 ? step->ids[i] : SEA_LM_IGNORE;
    }
    step->batch = (struct sea_lm_batch){ .rows = ROWS, .segments = SEGMENTS,
                                         .start = step->start, .ids = step->ids,
                                         .labels = step->labels };
    if (!status)
        status = sea_lm_work_create(&step->work, step->lm, &limits, err);
    if (status)
        return status;
    part.params = &step->lm->params;
    return sea_adamw_create(&step->adamw, device, &optim, &part, 1, err);
}

enum sea_status
sea_speed_train(struct sea_speed_run *run, struct sea_err *err)
{
    static const struct {
        const char *what;
        int64_t D, F, layers, H, K, vocab;
    } sizes[] = { { "width 128, 3 blocks", 128, 352, 3, 4, 4, 768 },
                  { "width 384, 4 blocks", 384, 1024, 4, 6, 6, 4096 } };
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]) && !status; i++) {
        struct sea_lm_desc desc = language(sizes[i].D, sizes[i].F, sizes[i].layers, sizes[i].H,
                                           sizes[i].K, sizes[i].vocab);
        struct train_step *step = sea_xcalloc(1, sizeof(*step));
        struct sea_speed_row row = { .what = sizes[i].what, .unit = "tokens", .amount = ROWS };

        status = open_training(step, &run->device, &desc, err);
        row.flops = train_flops(&desc, (double)sea_lm_supervised(&step->batch));
        if (!status)
            status = sea_speed_row(run, &row, train, step, err);
        sea_adamw_destroy(step->adamw);
        sea_lm_work_destroy(step->work);
        sea_lm_destroy(step->lm);
        free(step);
    }
    return status;
}

/* ---- generate ---- */

enum { PROMPT = 8, ANSWER = 16, SLOTS = 8 };

struct generate_step {
    struct sea_generator *generator;
    int64_t slots;
    int32_t words[SLOTS][PROMPT], out[SLOTS][ANSWER];
    struct sea_prompt prompts[SLOTS];
    struct sea_answer answers[SLOTS];
};

static enum sea_status
generate(void *args, struct sea_err *err)
{
    static const int32_t none = -1;
    struct generate_step *step = args;
    struct sea_sampling sampling = { .max_new = ANSWER, .eos = &none };

    return sea_generate(step->generator, step->prompts, step->slots, NULL, 0, &sampling,
                        step->answers, err);
}

static enum sea_status
generate_row(struct sea_speed_run *run, struct sea_lm *lm, int64_t slots, struct sea_err *err)
{
    const struct sea_lm_desc *desc = &lm->desc;
    struct sea_mllm mllm = { .lm = lm };
    struct sea_generate_desc limits = { .slots = slots, .room = PROMPT + ANSWER };
    struct generate_step *step = sea_xcalloc(1, sizeof(*step));
    double size = lm->params.store == SEA_STORE_BF16 ? 2.0 : 4.0, numbers;
    char what[64];
    struct sea_speed_row row = { .what = what, .unit = "tokens",
                                 .amount = (double)(slots * ANSWER) };
    enum sea_status status = sea_generator_create(&step->generator, &mllm, &limits, err);
    int64_t i, j;

    step->slots = slots;
    for (i = 0; i < slots; i++) {
        for (j = 0; j < PROMPT; j++)
            step->words[i][j] = (int32_t)((i * 31 + j * 17 + 5) % desc->vocab);
        step->prompts[i] = (struct sea_prompt){ .ids = step->words[i], .count = PROMPT,
                                                .image = -1, .id = i };
        step->answers[i].ids = step->out[i];
    }
    numbers = (double)desc->layers * (attention_numbers(desc) + forward_numbers(desc)) +
              (double)(desc->D * desc->vocab);
    snprintf(what, sizeof(what), "%s, %.0f MB, %d answer%s", size < 4.0 ? "bf16" : "f32",
             1e-6 * size * numbers, (int)slots, slots > 1 ? "s" : "");
    /* Every word, the prompt's among them, is a pass over all weights; its rows are few. */
    row.bytes = ANSWER * numbers * size;
    row.flops = 2.0 * numbers * (double)(slots * (PROMPT + ANSWER - 1));
    if (!status)
        status = sea_speed_row(run, &row, generate, step, err);
    sea_generator_destroy(step->generator);
    free(step);
    return status;
}

enum sea_status
sea_speed_generate(struct sea_speed_run *run, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int store;

    for (store = SEA_STORE_F32; store <= SEA_STORE_BF16 && !status; store++) {
        struct sea_lm_desc desc = language(768, 2048, store == SEA_STORE_BF16 ? 8 : 4, 12, 4,
                                           4096);
        struct sea_lm *lm = NULL;

        run->device.store = (enum sea_store)store;
        status = sea_lm_create(&lm, &run->device, &desc, 1, false, err);
        if (!status)
            status = generate_row(run, lm, 1, err);
        if (!status)
            status = generate_row(run, lm, SLOTS, err);
        sea_lm_destroy(lm);
    }
    run->device.store = SEA_STORE_F32;
    return status;
}

/* ---- label ---- */

enum { PICTURES = 4, LABELS = 1000, TOP = 5 };

struct label_step {
    struct sea_clip *clip;
    struct sea_clip_work *work;
    struct sea_scorer *scorer;
    enum sea_clip_variant variant;
    int64_t rows;
    float *pixels, *patches, *score;    /* patches on the device */
    int32_t *index;
};

static enum sea_status
label(void *args, struct sea_err *err)
{
    struct label_step *step = args;
    struct sea_clip_out out = { .device = step->patches };
    enum sea_status status = sea_clip_patches(step->clip, step->work, step->pixels, PICTURES,
                                              step->variant, out, err);

    if (!status)
        status = sea_scorer_run(step->scorer, step->patches, step->rows, step->index,
                                step->score, err);
    return status;
}

static struct sea_clip_desc
tower(void)
{
    struct sea_clip_desc desc = { .tower = SEA_TOWER_CLIP, .joint = 256, .logit_scale = 2.66f };

    desc.vision = (struct sea_clip_vision_desc){ .D = 384, .layers = 6, .heads = 6, .F = 1536,
                                                 .image = 168, .patch = 14, .channels = 3,
                                                 .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f };
    return desc;
}

/* Products only: of a picture's blocks, and of its patches with the words. */
static double
label_flops(const struct sea_clip_desc *desc, double m)
{
    double D = (double)desc->vision.D, F = (double)desc->vision.F, rows = m + 1.0;
    double block = rows * (4.0 * D * D + 2.0 * D * F) + 2.0 * rows * rows * D;
    double side = (double)(desc->vision.patch * desc->vision.patch * desc->vision.channels);

    return 2.0 * PICTURES * ((double)desc->vision.layers * block + m * side * D +
                             m * (double)desc->joint * (D + LABELS));
}

static enum sea_status
open_labelling(struct label_step *step, struct sea_speed_run *run,
               const struct sea_clip_desc *desc, struct sea_err *err)
{
    struct sea_clip_limits limits = { .images = PICTURES };
    int64_t side = desc->vision.image, floats = PICTURES * 3 * side * side, i;
    float *words = sea_xcalloc((size_t)(LABELS * desc->joint), sizeof(*words));
    void *mem = NULL;
    struct sea_rng rng;
    enum sea_status status = sea_clip_create(&step->clip, &run->device, desc, 1, false, err);

    step->rows = PICTURES * sea_clip_patch_count(desc);
    step->pixels = sea_xcalloc((size_t)floats, sizeof(*step->pixels));
    step->index = sea_xcalloc((size_t)(step->rows * TOP), sizeof(*step->index));
    step->score = sea_xcalloc((size_t)(step->rows * TOP), sizeof(*step->score));
    sea_rng_init(&rng, 1, 2);
    for (i = 0; i < floats; i++)
        step->pixels[i] = (float)sea_rng_uniform(&rng);
    for (i = 0; i < LABELS * desc->joint; i++)
        words[i] = (float)(sea_rng_normal(&rng) / sqrt((double)desc->joint));
    if (!status)
        status = sea_clip_work_create(&step->work, step->clip, &limits, err);
    if (!status)
        status = sea_scorer_create(&step->scorer, &run->device, words, LABELS, desc->joint, TOP,
                                   1.0f, step->rows, err);
    if (!status)
        status = sea_device_alloc(&run->device,
                                  (size_t)(step->rows * desc->joint) * sizeof(float), &mem, err);
    step->patches = mem;
    free(words);
    return status;
}

static void
close_labelling(struct label_step *step, struct sea_speed_run *run)
{
    sea_device_free(&run->device, step->patches);
    sea_scorer_destroy(step->scorer);
    sea_clip_work_destroy(step->work);
    sea_clip_destroy(step->clip);
    free(step->pixels);
    free(step->index);
    free(step->score);
}

enum sea_status
sea_speed_label(struct sea_speed_run *run, struct sea_err *err)
{
    struct sea_clip_desc desc = tower();
    struct label_step step = { .variant = SEA_CLIP_RAW_POS };
    double m = (double)sea_clip_patch_count(&desc);
    struct sea_speed_row row = { .what = "width 384, 6 blocks, 1000 words", .unit = "patches",
                                 .amount = PICTURES * m, .flops = label_flops(&desc, m) };
    enum sea_status status = open_labelling(&step, run, &desc, err);

    if (!status)
        status = sea_speed_row(run, &row, label, &step, err);
    close_labelling(&step, run);
    return status;
}
