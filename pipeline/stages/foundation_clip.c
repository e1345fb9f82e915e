/* SPDX-License-Identifier: Apache-2.0 */
/* The foundation's CLIP: tokenizer from the captions, contrastive training, retrieval. */
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/foundation_int.h"

#define PIXEL_CACHE_BYTES_MAX ((int64_t)2 << 30)
#define CLIP_SCALE_LOG 2.6592f  /* ln(1/0.07), CLIP's first scale */
#define LOG_EVERY 10            /* steps between two metrics */

struct clip_run {
    struct sea_stage *stage;
    const struct sea_dataset *data;
    struct sea_pictures pictures;
    struct sea_tokenizer *tokenizer;
    struct sea_ids ids;         /* of all captions */
    int64_t *start;             // (rows + 1) in ids
    float *cache;               // (pictures, 3, side, side), NULL: decoded each time
    int64_t floats;             /* of one picture */
    struct sea_clip *clip;
    struct sea_clip_trainer *trainer;
    struct sea_adamw *adamw;
    struct sea_order order;
    int64_t batch;
    float *pixels;              // (batch, 3, side, side)
    int64_t *numbers, *starts;  // (batch), (batch + 1)
    int32_t *batch_ids;
};

/* ---- tokenizer ---- */

struct captions {
    const struct sea_dataset *data;
    int64_t next;
};

static bool
next_caption(void *arg, const char **text, size_t *len)
{
    struct captions *captions = arg;

    if (captions->next >= captions->data->count)
        return false;
    *text = sea_row_caption(&captions->data->rows[captions->next++]);
    *len = strlen(*text);
    return true;
}

static enum sea_status
train_tokenizer(struct clip_run *run, const char *dir, struct sea_err *err)
{
    static const char *const special[] = { "<|startoftext|>", "<|endoftext|>" };
    struct captions captions = { .data = run->data };
    struct sea_tokenizer_train options = {
        .vocab_size = (int32_t)sea_stage_int(run->stage, "clip.vocab"),
        .special = special, .special_count = 2, .bos = special[0], .eos = special[1],
        .unk = special[1], .pad = special[1], .add_bos = true, .add_eos = true,
        .lowercase = true, .split = SEA_SPLIT_GPT2,
        .model_max_length = sea_stage_int(run->stage, "clip.positions"),
        .next = next_caption, .arg = &captions };
    enum sea_status status = sea_tokenizer_train(&options, dir, err);

    return status ? status : sea_tokenizer_load(&run->tokenizer, dir, err);
}

/* ids of all captions; *longest: of one. */
static enum sea_status
encode_captions(struct sea_tokenizer *tokenizer, const struct sea_dataset *data,
                int64_t positions, struct sea_ids *ids, int64_t *start, int64_t *longest,
                struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t i;

    *longest = 0;
    start[0] = 0;
    for (i = 0; i < data->count && !status; i++) {
        const char *caption = sea_row_caption(&data->rows[i]);

        status = sea_tokenizer_encode_max(tokenizer, caption, strlen(caption),
                                          (size_t)positions, ids, err);
        start[i + 1] = (int64_t)ids->len;
        if (start[i + 1] - start[i] > *longest)
            *longest = start[i + 1] - start[i];
    }
    return status;
}

/* ---- the model ---- */

static struct sea_clip_desc
make_desc(const struct clip_run *run)
{
    struct sea_stage *stage = run->stage;
    const struct sea_tokenizer_special *special = sea_tokenizer_special(run->tokenizer);
    int64_t D = sea_stage_int(stage, "clip.width"), Dt = sea_stage_int(stage, "clip.text_width");

    return (struct sea_clip_desc){
        .vision = { .D = D, .layers = sea_stage_int(stage, "clip.layers"),
                    .heads = sea_stage_int(stage, "clip.heads"), .F = 4 * D,
                    .image = sea_stage_int(stage, "clip.image"),
                    .patch = sea_stage_int(stage, "clip.patch"), .channels = 3,
                    .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f },
        .text = { .D = Dt, .layers = sea_stage_int(stage, "clip.text_layers"),
                  .heads = sea_stage_int(stage, "clip.text_heads"), .F = 4 * Dt,
                  .vocab = sea_tokenizer_count(run->tokenizer),
                  .positions = sea_stage_int(stage, "clip.positions"), .bos = special->bos,
                  .eos = special->eos, .pad = special->pad, .act = SEA_ACT_QUICK_GELU,
                  .eps = 1e-5f },
        .joint = sea_stage_int(stage, "clip.joint"), .logit_scale = CLIP_SCALE_LOG };
}

static enum sea_status
make_optimiser(struct clip_run *run, int64_t steps, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    double lr = sea_stage_real(stage, "clip.lr"), wd = sea_stage_real(stage, "clip.weight_decay");
    struct sea_adamw_part parts[] = {
        { "vision", &run->clip->vision, lr, wd },
        { "text", &run->clip->text, lr, wd },
        { "head", &run->clip->head, lr, wd },
    };
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_COSINE, steps, sea_stage_real(stage, "clip.warmup")));

    desc.beta2 = sea_stage_real(stage, "clip.beta2");
    return sea_adamw_create(&run->adamw, &stage->device, &desc, parts, 3, err);
}

static enum sea_status
fill_pixel_cache(struct clip_run *run, struct sea_err *err)
{
    int64_t count = run->pictures.count, i, numbers[64], k;
    enum sea_status status = SEA_OK;

    if (count * run->floats * 4 > PIXEL_CACHE_BYTES_MAX)
        return SEA_OK;
    run->cache = sea_xcalloc((size_t)(count * run->floats), sizeof(float));
    for (i = 0; i < count && !status; i += 64) {
        int64_t n = count - i < 64 ? count - i : 64;

        for (k = 0; k < n; k++)
            numbers[k] = i + k;
        status = sea_pictures_pixels(&run->pictures, numbers, n, run->cache + i * run->floats,
                                     err);
    }
    return status;
}

static enum sea_status
prepare(struct clip_run *run, const char *dir, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    int64_t positions = sea_stage_int(stage, "clip.positions"), longest;
    int side = (int)sea_stage_int(stage, "clip.image");
    struct sea_image_view view = sea_image_view_defaults(side);
    struct sea_clip_desc desc;
    enum sea_status status = train_tokenizer(run, dir, err);

    run->batch = sea_stage_int(stage, "clip.batch");
    run->floats = (int64_t)3 * side * side;
    if (!status)
        status = sea_image_view_save(&view, dir, err);
    if (status)
        return status;
    sea_pictures_init(&run->pictures, run->data, &view, stage->arena);
    if (run->data->count < run->batch) {
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" has %lld rows, a CLIP batch takes %lld",
                          run->data->json, (long long)run->data->count, (long long)run->batch);
        sea_hint(err, "Use more data or a smaller stages.foundation.clip.batch.");
        return status;
    }
    run->start = sea_xcalloc((size_t)run->data->count + 1, sizeof(int64_t));
    status = encode_captions(run->tokenizer, run->data, positions, &run->ids, run->start,
                             &longest, err);
    if (status)
        return status;
    desc = make_desc(run);
    status = sea_clip_create(&run->clip, &stage->device, &desc,
                             (uint64_t)sea_stage_int(stage, "seed"), true, err);
    if (!status)
        status = sea_clip_trainer_create(&run->trainer, run->clip, run->batch,
                                         run->batch * longest, err);
    if (!status)
        status = make_optimiser(run, sea_stage_int(stage, "clip.steps"), err);
    run->pixels = sea_xcalloc((size_t)(run->batch * run->floats), sizeof(float));
    run->numbers = sea_xcalloc((size_t)run->batch, sizeof(int64_t));
    run->starts = sea_xcalloc((size_t)run->batch + 1, sizeof(int64_t));
    run->batch_ids = sea_xcalloc((size_t)(run->batch * longest), sizeof(int32_t));
    sea_order_init(&run->order, run->data->count, (uint64_t)sea_stage_int(stage, "seed"),
                   "foundation.clip.order");
    return status ? status : fill_pixel_cache(run, err);
}

static enum sea_status
fill_batch(struct clip_run *run, int64_t t, struct sea_err *err)
{
    int64_t i;

    for (i = 0; i < run->batch; i++) {
        int64_t row = sea_order_at(&run->order, t * run->batch + i);
        int64_t len = run->start[row + 1] - run->start[row];

        run->numbers[i] = run->pictures.of_row[row];
        memcpy(run->batch_ids + run->starts[i], run->ids.data + run->start[row],
               (size_t)len * sizeof(int32_t));
        run->starts[i + 1] = run->starts[i] + len;
        if (run->cache)
            memcpy(run->pixels + i * run->floats, run->cache + run->numbers[i] * run->floats,
                   (size_t)run->floats * sizeof(float));
    }
    return run->cache ? SEA_OK
                      : sea_pictures_pixels(&run->pictures, run->numbers, run->batch,
                                            run->pixels, err);
}

static enum sea_status
step(void *arg, int64_t t, struct sea_err *err)
{
    struct clip_run *run = arg;
    double loss, norm, scale;
    enum sea_status status = fill_batch(run, t, err);

    if (!status)
        status = sea_adamw_zero(run->adamw, err);
    if (!status)
        status = sea_clip_trainer_step(run->trainer, run->pixels, run->batch_ids, run->starts,
                                       run->batch, &loss, err);
    if (!status)
        status = sea_adamw_step(run->adamw, &norm, err);
    if (!status && (t % LOG_EVERY == 0 || t + 1 == sea_stage_int(run->stage, "clip.steps"))) {
        status = sea_clip_scale(run->clip, &scale, err);
        sea_events_metric(run->stage->events, "foundation.clip_loss", t + 1, loss);
        sea_events_metric(run->stage->events, "foundation.clip_scale", t + 1, scale);
        sea_events_metric(run->stage->events, "foundation.clip_grad_norm", t + 1, norm);
    }
    return status;
}

/* ---- retrieval on held-out pictures ---- */

static double
dot(const float *a, const float *b, int64_t n)
{
    double sum = 0;
    int64_t i;

    for (i = 0; i < n; i++)
        sum += (double)a[i] * b[i];
    return sum;
}

/* Share of pictures whose nearest caption is their own (or reads the same). */
static double
recall_at_1(const struct sea_dataset *data, const int64_t *of_row, const float *images,
            const float *texts, int64_t J)
{
    int64_t i, j, hits = 0;

    for (i = 0; i < data->count; i++) {
        int64_t best = 0;
        double most = -2;

        for (j = 0; j < data->count; j++) {
            double cos = dot(images + of_row[i] * J, texts + j * J, J);

            if (cos > most) {
                most = cos;
                best = j;
            }
        }
        hits += best == i || strcmp(sea_row_caption(&data->rows[i]),
                                    sea_row_caption(&data->rows[best])) == 0;
    }
    return (double)hits / (double)data->count;
}

static enum sea_status
measure(struct clip_run *run, const struct sea_dataset *heldout, struct sea_node *figures,
        struct sea_err *err)
{
    struct sea_clip_limits limits = { .images = 32, .texts = 64 };
    struct sea_pictures pictures;
    struct sea_clip_work *work = NULL;
    struct sea_ids ids = { 0 };
    int64_t J = run->clip->desc.joint, longest, i, k, numbers[32];
    int64_t *start = sea_xcalloc((size_t)heldout->count + 1, sizeof(int64_t));
    float *images = NULL, *texts = NULL, *pixels = NULL;
    enum sea_status status;

    sea_pictures_init(&pictures, heldout, &run->pictures.view, run->stage->arena);
    status = encode_captions(run->tokenizer, heldout, run->clip->desc.text.positions, &ids,
                             start, &longest, err);
    limits.text_rows = 64 * longest;
    images = sea_xcalloc((size_t)(pictures.count * J), sizeof(float));
    texts = sea_xcalloc((size_t)(heldout->count * J), sizeof(float));
    pixels = sea_xcalloc((size_t)(32 * run->floats), sizeof(float));
    if (!status)
        status = sea_clip_work_create(&work, run->clip, &limits, err);
    if (!status)
        status = sea_clip_texts(run->clip, work, ids.data, start, heldout->count,
                                (struct sea_clip_out){ .host = texts }, err);
    for (i = 0; i < pictures.count && !status; i += 32) {
        int64_t n = pictures.count - i < 32 ? pictures.count - i : 32;

        for (k = 0; k < n; k++)
            numbers[k] = i + k;
        status = sea_pictures_pixels(&pictures, numbers, n, pixels, err);
        if (!status)
            status = sea_clip_images(run->clip, work, pixels, n,
                                     (struct sea_clip_out){ .host = images + i * J }, err);
    }
    if (!status) {
        sea_figure(run->stage, figures, "clip_recall_at_1",
                   recall_at_1(heldout, pictures.of_row, images, texts, J));
        sea_figure(run->stage, figures, "clip_recall_among", (double)heldout->count);
    }
    sea_clip_work_destroy(work);
    sea_ids_release(&ids);
    free(start);
    free(images);
    free(texts);
    free(pixels);
    return status;
}

static void
release(struct clip_run *run)
{
    sea_adamw_destroy(run->adamw);
    sea_clip_trainer_destroy(run->trainer);
    sea_clip_destroy(run->clip);
    sea_tokenizer_destroy(run->tokenizer);
    sea_order_release(&run->order);
    sea_ids_release(&run->ids);
    free(run->start);
    free(run->cache);
    free(run->pixels);
    free(run->numbers);
    free(run->starts);
    free(run->batch_ids);
}

enum sea_status
sea_foundation_clip(struct sea_stage *stage, const struct sea_dataset *data,
                    const struct sea_dataset *heldout, struct sea_node *figures,
                    struct sea_err *err)
{
    struct clip_run run = { .stage = stage, .data = data };
    struct sea_train train = { .steps = sea_stage_int(stage, "clip.steps"),
                               .every = sea_stage_int(stage, "checkpoint_every"), .step = step,
                               .arg = &run, .what = "the foundation's CLIP" };
    char dir[SEA_PATH_MAX];
    enum sea_status status = sea_stage_path(stage, "vision", dir, err);

    if (!status)
        status = prepare(&run, dir, err);
    train.adamw = run.adamw;
    if (!status)
        status = sea_stage_train(stage, &train, err);
    if (!status && heldout->count > 1)
        status = measure(&run, heldout, figures, err);
    if (!status)
        status = sea_clip_save(run.clip, dir, err);
    release(&run);
    return status;
}
