/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.c - names every patch of every picture with words
 *
 * Patches and words meet in the tower's own joint space; the n words of highest cosine are
 * kept. No random number of the experiment takes part, so that one store serves all seeds.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/label_int.h"
#include "pipeline/stages/overlay_int.h"

#define TEXTS_AT_ONCE 64
#define ROWS_AT_ONCE 4096       /* patches that are scored at once */
#define PROMPT_MAX 1024

/* ---- reading patches ---- */

enum sea_status
sea_reading_open(struct sea_reading *reading, const struct sea_labelling *run,
                 enum sea_clip_variant variant, struct sea_err *err)
{
    int64_t rows = run->batch * run->m;

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

enum sea_status
sea_reading_run(const struct sea_reading *reading, struct sea_labelling *run,
                const struct sea_pictures *pictures, const int64_t *numbers, int64_t count,
                int32_t *index, float *score, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t i, each = run->m * run->top;

    for (i = 0; i < count && !status; i += run->batch) {
        int64_t n = count - i < run->batch ? count - i : run->batch;

        status = sea_pictures_pixels(pictures, numbers + i, n, run->pixels, err);
        if (!status)
            status = sea_clip_patches(run->clip, run->work, run->pixels, n, reading->variant,
                                      (struct sea_clip_out){ .device = run->patches }, err);
        if (!status)
            status = sea_scorer_run(reading->scorer, run->patches, n * run->m, index + i * each,
                                    score + i * each, err);
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

static enum sea_status
check_tower(const struct sea_labelling *run, const struct sea_image_view *view, const char *dir,
            struct sea_err *err)
{
    const struct sea_clip_desc *desc = &run->clip->desc;

    if (!desc->joint || !desc->text.D) {
        sea_fail(err, SEA_E_FORMAT, "model \"%s\" has no text tower", dir);
        sea_hint(err, "Labels need both towers: a CLIPModel folder, not a CLIPVisionModel.");
        return SEA_E_FORMAT;
    }
    if (view->crop_h != desc->vision.image || view->crop_w != desc->vision.image)
        return sea_fail(err, SEA_E_FORMAT, "preprocessor_config.json of \"%s\" makes %d x %d "
                        "pixels, its tower takes %lld x %lld", dir, view->crop_w, view->crop_h,
                        (long long)desc->vision.image, (long long)desc->vision.image);
    return SEA_OK;
}

static enum sea_status
make_work(struct sea_labelling *run, struct sea_err *err)
{
    const struct sea_clip_desc *desc = &run->clip->desc;
    struct sea_clip_limits limits = { .images = run->batch, .texts = TEXTS_AT_ONCE,
                                      .text_rows = TEXTS_AT_ONCE * desc->text.positions };
    size_t at;
    enum sea_status status = sea_clip_work_create(&run->work, run->clip, &limits, err);

    if (status)
        return status;
    sea_plan_init(&run->plan);
    at = sea_plan_add(&run->plan, (size_t)(run->batch * run->m) * (size_t)desc->joint,
                      sizeof(float));
    status = sea_plan_reserve(&run->plan, &run->stage->device, err);
    run->patches = sea_plan_at(&run->plan, at);
    run->pixels = sea_xcalloc((size_t)(run->batch * 3 * desc->vision.image *
                                       desc->vision.image), sizeof(float));
    return status;
}

static enum sea_status
prepare(struct sea_labelling *run, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_image_view view;
    char dir[SEA_PATH_MAX];
    enum sea_status status = load_set(stage, "pretrain", &run->data, &run->objects, err);

    if (!status)
        status = load_set(stage, "heldout", &run->heldout, &run->heldout_objects, err);
    if (!status)
        status = sea_stage_model(stage, "model.vision.path", dir, err);
    if (!status)
        status = sea_clip_load(&run->clip, &stage->device, dir, false, err);
    if (!status)
        status = sea_image_view_load(&view, dir, err);
    if (!status)
        status = check_tower(run, &view, dir, err);
    if (!status)
        status = read_words(run, err);
    if (status)
        return status;
    view.aspect = SEA_ASPECT_SQUARE;    /* the view of the alignment stage */
    sea_pictures_init(&run->pictures, &run->data, &view, stage->arena);
    sea_pictures_init(&run->heldout_pictures, &run->heldout, &view, stage->arena);
    run->grid = (int)(run->clip->desc.vision.image / run->clip->desc.vision.patch);
    run->m = (int64_t)run->grid * run->grid;
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

/* ---- the store ---- */

static enum sea_status
make_info(const struct sea_labelling *run, enum sea_clip_variant variant,
          struct sea_labels_info *info, struct sea_err *err)
{
    *info = (struct sea_labels_info){ .top = run->top, .grid_h = run->grid, .grid_w = run->grid,
                                      .images = run->pictures.count,
                                      .words = (int64_t)run->words.count };
    snprintf(info->variant, sizeof(info->variant), "%s", sea_clip_variant_name(variant));
    if (strlen(sea_stage_text(run->stage, "prompt")) >= sizeof(info->prompt))
        return sea_fail(err, SEA_E_CONFIG, "stages.label.prompt is longer than %zu bytes",
                        sizeof(info->prompt) - 1);
    snprintf(info->prompt, sizeof(info->prompt), "%s", sea_stage_text(run->stage, "prompt"));
    return sea_clip_digest(run->clip, info->tower, err);
}

static enum sea_status
write_store(struct sea_labelling *run, const struct sea_reading *reading, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    struct sea_labels_writer *writer = NULL;
    struct sea_labels_info info;
    int64_t each = run->m * run->top, i, k, total = run->pictures.count;
    int64_t *numbers = sea_xcalloc((size_t)run->batch, sizeof(*numbers));
    int32_t *index = sea_xcalloc((size_t)(run->batch * each), sizeof(*index));
    float *score = sea_xcalloc((size_t)(run->batch * each), sizeof(*score));
    enum sea_status status = make_info(run, reading->variant, &info, err);

    if (!status)
        status = sea_labels_writer_open(&writer, stage->out, &info, run->words.items,
                                        run->pictures.names, err);
    for (i = status ? total : sea_labels_writer_next(writer); i < total && !status;
         i += run->batch) {
        int64_t n = total - i < run->batch ? total - i : run->batch;

        sea_events_progress(stage->events, i, total, "pictures");
        for (k = 0; k < n; k++)
            numbers[k] = i + k;
        status = sea_reading_run(reading, run, &run->pictures, numbers, n, index, score, err);
        if (!status)
            status = sea_labels_writer_add(writer, index, score, n, err);
        if (!status)
            status = sea_events_check(stage->events, err);
        if (!status && sea_stage_is_stopped())
            status = sea_stage_stop(stage, err);
    }
    if (!status)
        status = sea_labels_writer_finish(writer, err);
    if (!status)
        sea_events_progress(stage->events, total, total, "pictures");
    sea_labels_writer_close(writer);
    free(numbers);
    free(index);
    free(score);
    return status;
}

/* ---- pictures for people ---- */

static enum sea_status
draw_overlay(struct sea_labelling *run, const struct sea_reading *reading,
             const struct sea_pictures *pictures, int64_t number, struct sea_err *err)
{
    int32_t *index = sea_xcalloc((size_t)(run->m * run->top), sizeof(*index));
    float *score = sea_xcalloc((size_t)(run->m * run->top), sizeof(*score));
    const char **words = sea_xcalloc((size_t)run->m, sizeof(*words));
    struct sea_image image = { 0 }, view = { 0 };
    char path[SEA_PATH_MAX], name[64];
    int64_t p;
    enum sea_status status = sea_reading_run(reading, run, pictures, &number, 1, index, score,
                                             err);

    for (p = 0; p < run->m; p++)
        if (index[p * run->top] >= 0)
            words[p] = run->words.items[index[p * run->top]];
    if (!status)
        status = sea_path_join(path, pictures->root, pictures->names[number], err);
    if (!status)
        status = sea_image_load(&image, path, err);
    if (!status)
        status = sea_image_view_rgb(&image, &pictures->view, &view, err);
    snprintf(name, sizeof(name), "overlays/%05lld.png", (long long)number);
    if (!status)
        status = sea_stage_path(run->stage, name, path, err);
    if (!status)
        status = sea_overlay_write(path, &view, run->grid, words, err);
    sea_image_release(&image);
    sea_image_release(&view);
    free(words);
    free(index);
    free(score);
    return status;
}

static enum sea_status
draw_overlays(struct sea_labelling *run, const struct sea_reading *reading, struct sea_err *err)
{
    const struct sea_pictures *pictures = run->heldout.count ? &run->heldout_pictures
                                                             : &run->pictures;
    int64_t wanted = sea_stage_int(run->stage, "overlays"), i;
    char dir[SEA_PATH_MAX];
    enum sea_status status = SEA_OK;

    if (wanted > pictures->count)
        wanted = pictures->count;
    if (wanted > 0)
        status = sea_stage_path(run->stage, "overlays", dir, err);
    if (wanted > 0 && !status)
        status = sea_dir_create(dir, err);
    for (i = 0; i < wanted && !status; i++)
        status = draw_overlay(run, reading, pictures, i * pictures->count / wanted, err);
    return status;
}

static void
release(struct sea_labelling *run)
{
    sea_clip_work_destroy(run->work);
    sea_plan_release(&run->plan);
    sea_clip_destroy(run->clip);
    free(run->vectors);
    free(run->pixels);
}

enum sea_status
sea_stage_label(struct sea_stage *stage, struct sea_err *err)
{
    struct sea_labelling run = { .stage = stage };
    struct sea_node *figures = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_reading reading = { 0 };
    enum sea_clip_variant variant;
    const char *wanted = sea_stage_text(stage, "variant");
    bool named = sea_clip_variant_find(wanted, &variant);
    enum sea_status status = prepare(&run, err);

    if (!status)
        sea_figure(stage, figures, "words", (double)run.words.count);
    if (!status)
        status = sea_label_choose(&run, named ? (int)variant : -1, figures, &variant, err);
    if (!status)
        status = sea_reading_open(&reading, &run, variant, err);
    if (!status)
        status = write_store(&run, &reading, err);
    if (!status)
        status = draw_overlays(&run, &reading, err);
    if (!status)
        status = sea_stage_write_json(stage, "figures.json", figures, err);
    sea_reading_close(&reading);
    release(&run);
    return status;
}
