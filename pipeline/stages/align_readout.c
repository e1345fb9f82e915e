/* SPDX-License-Identifier: Apache-2.0 */
/*
 * align_readout.c - does a visual token say what its patch shows?
 *
 * The word of the list whose vector is nearest to each visual token, on object patches of
 * held-out pictures: right when it names the object. Control: the objects of another
 * picture. Without held-out objects, the same against the labels of training pictures.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/align_int.h"

#define PICTURES_AT_ONCE 32
#define LABELLED_MAX 500        /* training pictures that are looked at */
#define CONTROL_SEED 21

/* Nearest words of all tokens of some pictures, (count, m). */
static enum sea_status
nearest(struct sea_align_run *run, struct sea_features *features, const int64_t *numbers,
        int64_t count, int32_t *index, struct sea_err *err)
{
    int64_t rows = PICTURES_AT_ONCE * run->m, i;
    size_t Dv = (size_t)features->Dv, D = (size_t)run->lm->desc.D, z_at, x_at;
    float *host = sea_xcalloc((size_t)rows * Dv, sizeof(float)), *z, *x;
    struct sea_adapter_work work = { 0 };
    struct sea_plan plan;
    enum sea_status status;

    sea_plan_init(&plan);
    z_at = sea_plan_add(&plan, (size_t)rows * Dv, sizeof(float));
    x_at = sea_plan_add(&plan, (size_t)rows * D, sizeof(float));
    status = sea_plan_reserve(&plan, &run->stage->device, err);
    if (!status)
        status = sea_adapter_work_init(&work, run->adapter, rows, false, err);
    z = sea_plan_at(&plan, z_at);
    x = sea_plan_at(&plan, x_at);
    for (i = 0; i < count && !status; i += PICTURES_AT_ONCE) {
        int64_t n = count - i < PICTURES_AT_ONCE ? count - i : PICTURES_AT_ONCE;

        status = sea_features_get(features, numbers + i, n, host, err);
        if (!status)
            status = sea_device_put(&run->stage->device, z, host,
                                    (size_t)(n * run->m) * Dv * sizeof(float), err);
        if (!status)
            status = sea_adapter_forward(run->adapter, &work, z, n * run->m, x, err);
        if (!status)
            status = sea_words_nearest(&run->words, x, n * run->m, 1, index + i * run->m, NULL,
                                       err);
    }
    sea_adapter_work_release(&work);
    sea_plan_release(&plan);
    free(host);
    return status;
}

struct hits {
    int64_t patches, right;
};

static struct hits
count_hits(const struct sea_align_run *run, const struct sea_pictures *pictures,
           const struct sea_objects *objects, const int32_t *index, const int64_t *objects_of)
{
    int grid = (int)run->labels->info.grid_h;
    int *category = sea_xcalloc((size_t)run->m, sizeof(int));
    struct hits hits = { 0 };
    int64_t i, p;

    for (i = 0; i < pictures->count; i++) {
        const struct sea_pictured *pictured = sea_objects_find(objects,
                                                               pictures->names[objects_of[i]]);

        if (!pictured)
            continue;
        sea_patch_objects(pictured, &pictures->view, grid, category);
        for (p = 0; p < run->m; p++) {
            if (category[p] < 0)
                continue;
            hits.patches++;
            hits.right += sea_word_names(run->labels->words[index[i * run->m + p]],
                                         &objects->categories[category[p]]);
        }
    }
    free(category);
    return hits;
}

static enum sea_status
on_objects(struct sea_align_run *run, struct sea_node *figures, struct sea_err *err)
{
    struct sea_stage *stage = run->stage;
    struct sea_dataset data;
    struct sea_objects objects;
    struct sea_pictures pictures;
    struct sea_features features = { 0 };
    struct hits real, shuffled;
    int64_t *same = NULL, *other = NULL, i;
    int32_t *index = NULL;
    enum sea_status status;

    status = sea_dataset_load(&data, SEA_DATASET_PRETRAIN,
                              sea_stage_text(stage, "data.heldout.json"),
                              sea_stage_text(stage, "data.heldout.images"), stage->arena, err);
    if (!status)
        status = sea_objects_load(&objects, sea_stage_text(stage, "data.heldout.objects"),
                                  stage->arena, err);
    if (status)
        return status;
    sea_pictures_init(&pictures, &data, &run->pictures.view, stage->arena);
    same = sea_xcalloc((size_t)pictures.count + 1, sizeof(*same));
    other = sea_xcalloc((size_t)pictures.count + 1, sizeof(*other));
    index = sea_xcalloc((size_t)(pictures.count * run->m) + 1, sizeof(*index));
    for (i = 0; i < pictures.count; i++)
        same[i] = i;
    sea_derange(other, pictures.count, CONTROL_SEED);
    status = sea_features_open(&features, stage, run->clip, run->features.layer, false, &pictures,
                               err);
    if (!status)
        status = nearest(run, &features, same, pictures.count, index, err);
    if (!status) {
        real = count_hits(run, &pictures, &objects, index, same);
        shuffled = count_hits(run, &pictures, &objects, index, other);
        if (real.patches && shuffled.patches) {
            sea_figure(stage, figures, "readout_hit", (double)real.right / (double)real.patches);
            sea_figure(stage, figures, "readout_hit_shuffled",
                       (double)shuffled.right / (double)shuffled.patches);
            sea_figure(stage, figures, "readout_patches", (double)real.patches);
        }
    }
    sea_features_close(&features);
    free(same);
    free(other);
    free(index);
    return status;
}

/* Share of tokens of training pictures whose nearest word is one of the patch's labels. */
static enum sea_status
on_labels(struct sea_align_run *run, struct sea_node *figures, struct sea_err *err)
{
    int64_t count = run->pictures.count < LABELLED_MAX ? run->pictures.count : LABELLED_MAX;
    int64_t top = run->labels->info.top, hits = 0, i, p, k;
    int64_t *numbers = sea_xcalloc((size_t)count + 1, sizeof(*numbers));
    int32_t *index = sea_xcalloc((size_t)(count * run->m) + 1, sizeof(*index));
    enum sea_status status;

    for (i = 0; i < count; i++)
        numbers[i] = i * run->pictures.count / count;
    status = nearest(run, &run->features, numbers, count, index, err);
    for (i = 0; i < count && !status; i++) {
        status = sea_labels_get(run->labels, run->label_of[numbers[i]], run->index, run->score,
                                err);
        for (p = 0; p < run->m && !status; p++)
            for (k = 0; k < top; k++)
                if (run->index[p * top + k] == index[i * run->m + p]) {
                    hits++;
                    break;
                }
    }
    if (!status)
        sea_figure(run->stage, figures, "readout_label_hit",
                   (double)hits / (double)(count * run->m));
    free(numbers);
    free(index);
    return status;
}

enum sea_status
sea_align_readout(struct sea_align_run *run, struct sea_node *figures, struct sea_err *err)
{
    double loss, scale;
    struct sea_pair none;
    enum sea_status status = on_labels(run, figures, err);

    if (!status && sea_stage_text(run->stage, "data.heldout.objects")[0])
        status = on_objects(run, figures, err);
    if (!status)                /* of no pairs: only for the scale as it stands now */
        status = sea_align_add(run->align, &none, 0, run->work->x, NULL, 0, err);
    if (!status)
        status = sea_align_loss(run->align, &loss, &scale, err);
    if (!status)
        sea_figure(run->stage, figures, "scale", scale);
    return status;
}
