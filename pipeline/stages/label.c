/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label.c - names every patch of every picture with words
 *
 * Patches and words meet in the tower's own joint space; the n words of highest cosine are
 * kept. No random number of the experiment takes part, so that one store serves all seeds.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/sea_checkpoint.h"
#include "pipeline/stages/label_int.h"
#include "pipeline/stages/overlay_int.h"

#define SAVE_S 300              /* between two checkpoints; one is as large as a shard at most */

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

/* A checkpoint: the pictures of the open shard, too, are not lost. */
static enum sea_status
save(struct sea_labelling *run, struct sea_labels_writer *writer, struct sea_err *err)
{
    int64_t pictures = sea_labels_writer_next(writer);
    char name[64];
    enum sea_status status = sea_labels_writer_save(writer, err);

    sea_checkpoint_name(pictures, name);
    if (!status)
        sea_events_checkpoint(run->stage->events, name, pictures);
    return status;
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
    double saved = sea_clock_seconds();
    enum sea_status status = make_info(run, reading->variant, &info, err);

    if (!status)
        status = sea_labels_writer_open(&writer, stage->out, &info, run->words.items,
                                        run->pictures.names, err);
    if (!status && sea_labels_writer_next(writer))
        sea_events_log(stage->events, "info", "going on with the labels at picture %lld of %lld",
                       (long long)sea_labels_writer_next(writer), (long long)total);
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
        if (!status && (sea_stage_is_stopped() ||
                        (i + n < total && sea_clock_seconds() - saved > SAVE_S))) {
            status = save(run, writer, err);
            saved = sea_clock_seconds();
        }
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

enum sea_status
sea_stage_label(struct sea_stage *stage, struct sea_err *err)
{
    struct sea_labelling run = { .stage = stage };
    struct sea_node *figures = sea_node_put(stage->arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_reading reading = { 0 };
    enum sea_clip_variant variant;
    const char *wanted = sea_stage_text(stage, "variant");
    bool named = sea_clip_variant_find(wanted, &variant);
    enum sea_status status = sea_labelling_open(&run, err);

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
    sea_labelling_close(&run);
    return status;
}
