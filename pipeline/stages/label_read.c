/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label_read.c - from pictures to the best words of their patches
 *
 * The labelling tower is the model's own, or another one (stages.label.transfer_tower) for a
 * tower without texts. Then it reads what the model's own tower sees in training: that
 * tower's view, resized to its size. Labels belong to the patches of the model's own tower;
 * where the grids differ, a patch takes the labels of the cell that its centre lies in.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/label_int.h"

#define TEXTS_AT_ONCE 64
#define ROWS_AT_ONCE 4096       /* patches that are scored at once */
#define PROMPT_MAX 1024

/* ---- reading patches ---- */

enum sea_status
sea_reading_open(struct sea_reading *reading, const struct sea_labelling *run,
                 enum sea_clip_variant variant, struct sea_err *err)
{
    int64_t rows = run->batch * run->read_grid * run->read_grid;

    reading->variant = variant;
    return sea_scorer_create(&reading->scorer, &run->stage->device, run->vectors,
                             (int64_t)run->words.count, run->clip->desc.joint, run->top,
                             sea_clip_variant_sign(variant),
                             rows < ROWS_AT_ONCE ? rows : ROWS_AT_ONCE, err);
}

void
sea_reading_close(struct sea_reading *reading)
{
    sea_scorer_destroy(reading->scorer);
    reading->scorer = NULL;
}

static void
drop_low(const struct sea_labelling *run, int32_t *index, float *score, int64_t n)
{
    int64_t i;

    for (i = 0; i < n; i++)
        if (index[i] >= 0 && score[i] < run->min_score) {
            index[i] = SEA_LABELS_NONE;
            score[i] = 0;
        }
}

/* Labels of n pictures from the labelling grid to the store's: the nearest cell's. */
static void
regrid(const struct sea_labelling *run, int64_t n, int32_t *index, float *score)
{
    int64_t g = run->grid, r = run->read_grid, top = run->top, i, y, x;

    for (i = 0; i < n; i++)
        for (y = 0; y < g; y++)
            for (x = 0; x < g; x++) {
                int64_t from = ((i * r + sea_label_cell(y, g, r)) * r
                                + sea_label_cell(x, g, r)) * top;
                int64_t to = ((i * g + y) * g + x) * top;

                memcpy(index + to, run->read_index + from, (size_t)top * sizeof(*index));
                memcpy(score + to, run->read_score + from, (size_t)top * sizeof(*score));
            }
}

enum sea_status
sea_reading_run(const struct sea_reading *reading, struct sea_labelling *run,
                const struct sea_pictures *pictures, const int64_t *numbers, int64_t count,
                int32_t *index, float *score, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t i, each = run->m * run->top, cells = (int64_t)run->read_grid * run->read_grid;

    for (i = 0; i < count && !status; i += run->batch) {
        int64_t n = count - i < run->batch ? count - i : run->batch;
        int32_t *to = run->read_index ? run->read_index : index + i * each;
        float *to_score = run->read_score ? run->read_score : score + i * each;

        status = sea_pictures_pixels(pictures, numbers + i, n, run->pixels, err);
        if (!status)
            status = sea_clip_patches(run->clip, run->work, run->pixels, n, reading->variant,
                                      (struct sea_clip_out){ .device = run->patches }, err);
        if (!status)
            status = sea_scorer_run(reading->scorer, run->patches, n * cells, to, to_score, err);
        if (!status && run->read_index)
            regrid(run, n, index + i * each, score + i * each);
        if (!status)
            drop_low(run, index + i * each, score + i * each, n * each);
    }
    return status;
}

/* ---- words ---- */

static enum sea_status
read_words(struct sea_labelling *run, struct sea_err *err)
{
    const char *words = sea_stage_text(run->stage, "words");
    struct sea_word_options options;
    const char **captions;
    enum sea_status status;
    int64_t i;

    if (strcmp(words, "auto") != 0)
        return sea_word_list_load(&run->words, words, run->stage->arena, err);
    captions = sea_xcalloc((size_t)run->data.count + 1, sizeof(*captions));
    for (i = 0; i < run->data.count; i++)
        captions[i] = sea_row_caption(&run->data.rows[i]);
    sea_word_options_defaults(&options);
    options.count_min = sea_stage_int(run->stage, "min_count");
    status = sea_word_list_build(&run->words, captions, (size_t)run->data.count, &options,
                                 run->stage->arena, err);
    free(captions);
    return status;
}

static enum sea_status
put_in_prompt(const char *prompt, const char *word, char out[PROMPT_MAX], struct sea_err *err)
{
    const char *at = strstr(prompt, "{}");
    int n = snprintf(out, PROMPT_MAX, "%.*s%s%s", (int)(at - prompt), prompt, word, at + 2);

    if (n >= PROMPT_MAX)
        return sea_fail(err, SEA_E_CONFIG, "word \"%.60s\" in prompt \"%.60s\" is too long", word,
                        prompt);
    return SEA_OK;
}

static enum sea_status
embed_words(struct sea_labelling *run, struct sea_tokenizer *tokenizer, struct sea_err *err)
{
    const char *prompt = sea_stage_text(run->stage, "prompt");
    int64_t *start = sea_xcalloc(run->words.count + 1, sizeof(*start));
    struct sea_ids ids = { 0 };
    char text[PROMPT_MAX];
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < run->words.count && !status; i++) {
        status = put_in_prompt(prompt, run->words.items[i], text, err);
        if (!status)
            status = sea_tokenizer_encode_max(tokenizer, text, strlen(text),
                                              (size_t)run->clip->desc.text.positions, &ids, err);
        start[i + 1] = (int64_t)ids.len;
    }
    run->vectors = sea_xcalloc(run->words.count * (size_t)run->clip->desc.joint, sizeof(float));
    if (!status)
        status = sea_clip_texts(run->clip, run->work, ids.data, start, (int64_t)run->words.count,
                                (struct sea_clip_out){ .host = run->vectors }, err);
    sea_ids_release(&ids);
    free(start);
    return status;
}

/* ---- preparing ---- */

static enum sea_status
load_set(struct sea_stage *stage, const char *which, struct sea_dataset *data,
         struct sea_objects *objects, struct sea_err *err)
{
    char json[64], images[64], boxes[64];
    enum sea_status status;

    snprintf(json, sizeof(json), "data.%s.json", which);
    snprintf(images, sizeof(images), "data.%s.images", which);
    snprintf(boxes, sizeof(boxes), "data.%s.objects", which);
    if (!sea_stage_text(stage, json)[0])
        return SEA_OK;
    status = sea_dataset_load(data, SEA_DATASET_PRETRAIN, sea_stage_text(stage, json),
                              sea_stage_text(stage, images), stage->arena, err);
    if (!status && sea_stage_text(stage, boxes)[0])
        status = sea_objects_load(objects, sea_stage_text(stage, boxes), stage->arena, err);
    return status;
}

/* The view must make what its tower takes. */
static enum sea_status
check_view(const struct sea_clip_desc *desc, const struct sea_image_view *view, const char *dir,
           struct sea_err *err)
{
    if (view->crop_h == desc->vision.image && view->crop_w == desc->vision.image)
        return SEA_OK;
    return sea_fail(err, SEA_E_FORMAT, "preprocessor_config.json of \"%s\" makes %d x %d pixels, "
                    "its tower takes %lld x %lld", dir, view->crop_w, view->crop_h,
                    (long long)desc->vision.image, (long long)desc->vision.image);
}

static enum sea_status
check_texts(const struct sea_clip_desc *desc, const char *dir, bool transferred,
            struct sea_err *err)
{
    if (desc->joint && desc->text.D)
        return SEA_OK;
    sea_fail(err, SEA_E_FORMAT, "model \"%s\" has no text tower", dir);
    if (transferred)
        sea_hint(err, "stages.label.transfer_tower needs both towers: a CLIPModel or a "
                      "SiglipModel folder.");
    else
        sea_hint(err, "Labels need both towers: give a CLIPModel or a SiglipModel, or name one "
                      "with stages.label.transfer_tower.");
    return SEA_E_FORMAT;
}

static enum sea_status
make_work(struct sea_labelling *run, struct sea_err *err)
{
    const struct sea_clip_desc *desc = &run->clip->desc;
    struct sea_clip_limits limits = { .images = run->batch, .texts = TEXTS_AT_ONCE,
                                      .text_rows = TEXTS_AT_ONCE * desc->text.positions };
    size_t at, cells = (size_t)(run->batch * run->read_grid * run->read_grid);
    enum sea_status status = sea_clip_work_create(&run->work, run->clip, &limits, err);

    if (status)
        return status;
    sea_plan_init(&run->plan);
    at = sea_plan_add(&run->plan, cells * (size_t)desc->joint, sizeof(float));
    status = sea_plan_reserve(&run->plan, &run->stage->device, err);
    run->patches = sea_plan_at(&run->plan, at);
    run->pixels = sea_xcalloc((size_t)(run->batch * 3 * desc->vision.image *
                                       desc->vision.image), sizeof(float));
    if (run->read_grid != run->grid) {
        run->read_index = sea_xcalloc(cells * (size_t)run->top, sizeof(int32_t));
        run->read_score = sea_xcalloc(cells * (size_t)run->top, sizeof(float));
    }
    return status;
}

/* The towers, and how pictures reach the labelling one. */
static enum sea_status
open_towers(struct sea_labelling *run, char dir[SEA_PATH_MAX], struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    bool transferred = sea_stage_text(stage, "transfer_tower")[0] != 0;
    struct sea_image_view view, other;
    struct sea_clip_desc own;
    enum sea_status status = sea_stage_model(stage, "model.vision.path", dir, err);

    if (!status)
        status = sea_clip_desc_load(&own, dir, err);
    if (!status)
        status = sea_image_view_load(&view, dir, err);
    if (!status)
        status = check_view(&own, &view, dir, err);
    if (!status && transferred)
        status = sea_stage_model(stage, "transfer_tower", dir, err);
    if (!status)
        status = sea_clip_load(&run->clip, &stage->device, dir, false, err);
    if (!status)
        status = check_texts(&run->clip->desc, dir, transferred, err);
    if (!status)
        status = sea_image_view_load(&other, dir, err);
    if (status)
        return status;
    sea_stage_warn(stage, &run->clip->vision);
    sea_stage_warn(stage, &run->clip->text);
    sea_stage_warn(stage, &run->clip->head);
    view.aspect = SEA_ASPECT_SQUARE;    /* the view of the alignment stage */
    sea_pictures_init(&run->pictures, &run->data, &view, stage->arena);
    sea_pictures_init(&run->heldout_pictures, &run->heldout, &view, stage->arena);
    if (transferred) {
        sea_pictures_see_again(&run->pictures, &other, (int)run->clip->desc.vision.image);
        sea_pictures_see_again(&run->heldout_pictures, &other,
                               (int)run->clip->desc.vision.image);
    }
    run->grid = (int)(own.vision.image / own.vision.patch);
    run->read_grid = (int)(run->clip->desc.vision.image / run->clip->desc.vision.patch);
    run->m = (int64_t)run->grid * run->grid;
    if (transferred && run->read_grid != run->grid)
        sea_events_log(stage->events, "info", "labels: %d x %d cells are read for %d x %d "
                       "patches", run->read_grid, run->read_grid, run->grid, run->grid);
    return SEA_OK;
}

enum sea_status
sea_labelling_open(struct sea_labelling *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    struct sea_tokenizer *tokenizer = NULL;
    char dir[SEA_PATH_MAX];
    enum sea_status status = load_set(stage, "pretrain", &run->data, &run->objects, err);

    if (!status)
        status = load_set(stage, "heldout", &run->heldout, &run->heldout_objects, err);
    if (!status)
        status = open_towers(run, dir, err);
    if (!status)
        status = read_words(run, err);
    if (status)
        return status;
    run->batch = sea_stage_int(stage, "batch");
    run->min_score = (float)sea_stage_real(stage, "min_score");
    run->top = sea_stage_int(stage, "top");
    if (run->top > (int64_t)run->words.count)
        run->top = (int64_t)run->words.count;
    status = make_work(run, err);
    if (!status)
        status = sea_tokenizer_load(&tokenizer, dir, err);
    if (!status)
        status = embed_words(run, tokenizer, err);
    sea_tokenizer_destroy(tokenizer);
    return status;
}

void
sea_labelling_close(struct sea_labelling *run)
{
    sea_clip_work_destroy(run->work);
    sea_plan_release(&run->plan);
    sea_clip_destroy(run->clip);
    free(run->vectors);
    free(run->pixels);
    free(run->read_index);
    free(run->read_score);
}
