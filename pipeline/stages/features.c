/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/stages/stages_int.h"

#define CACHE_BYTES_MAX ((int64_t)6 << 30)
#define CHUNK 32                /* pictures that go through the tower at once */

static enum sea_status
compute(struct sea_features *features, const int64_t *numbers, int64_t count, float *out,
        struct sea_err *err)
{
    int64_t i, each = features->m * features->Dv;
    enum sea_status status = SEA_OK;

    for (i = 0; i < count && !status; i += features->chunk) {
        int64_t n = count - i < features->chunk ? count - i : features->chunk;

        status = sea_pictures_pixels(features->pictures, numbers + i, n, features->pixels, err);
        if (!status)
            status = sea_clip_features(features->clip, features->work, features->pixels, n,
                                       features->layer, features->with_class,
                                       (struct sea_clip_out){ .host = out + i * each }, err);
    }
    return status;
}

/* Ranks share the work: each computes its pictures, all get all. */
static enum sea_status
share(struct sea_features *features, struct sea_stage *stage, const int64_t *start,
      struct sea_err *err)
{
    size_t each = (size_t)(features->m * features->Dv) * sizeof(float);
    size_t bytes[SEA_RANKS_MAX + 1];

    for (int r = 0; r <= sea_comm_size(stage->comm); r++)
        bytes[r] = (size_t)start[r] * each;
    return sea_comm_all_gather(stage->comm, features->cache, bytes, err);
}

static enum sea_status
fill_cache(struct sea_features *features, struct sea_stage *stage, struct sea_err *err)
{
    int64_t count = features->pictures->count, each = features->m * features->Dv, i, k;
    int64_t numbers[CHUNK], start[SEA_RANKS_MAX + 1], first, end;
    enum sea_status status = SEA_OK;

    sea_comm_cut(sea_comm_size(stage->comm), count, 1, start);
    first = start[sea_comm_rank(stage->comm)];
    end = start[sea_comm_rank(stage->comm) + 1];
    features->cache = sea_xcalloc((size_t)count * (size_t)each, sizeof(float));
    for (i = first; i < end && !status; i += CHUNK) {
        int64_t n = end - i < CHUNK ? end - i : CHUNK;

        sea_events_progress(stage->events, i - first, end - first, "pictures");
        for (k = 0; k < n; k++)
            numbers[k] = i + k;
        status = compute(features, numbers, n, features->cache + i * each, err);
        if (!status && sea_stage_is_stopped())
            status = sea_stage_stop(stage, err);
    }
    if (!status)
        status = share(features, stage, start, err);
    if (!status)
        sea_events_progress(stage->events, end - first, end - first, "pictures");
    return status;
}

enum sea_status
sea_features_open(struct sea_features *features, struct sea_stage *stage,
                  const struct sea_clip *clip, int64_t layer, bool with_class,
                  const struct sea_pictures *pictures, struct sea_err *err)
{
    struct sea_clip_limits limits = { .images = CHUNK };
    int64_t side = clip->desc.vision.image;
    enum sea_status status;

    memset(features, 0, sizeof(*features));
    features->pictures = pictures;
    features->clip = clip;
    features->layer = layer;
    features->with_class = with_class;
    features->m = sea_clip_patch_count(&clip->desc) + (with_class ? 1 : 0);
    features->Dv = clip->desc.vision.D;
    features->chunk = CHUNK;
    if (pictures->view.crop_h != side || pictures->view.crop_w != side)
        return sea_fail(err, SEA_E_FORMAT, "preprocessor_config.json makes %d x %d pixels, the "
                        "vision tower takes %lld x %lld", pictures->view.crop_w,
                        pictures->view.crop_h, (long long)side, (long long)side);
    features->pixels = sea_xcalloc((size_t)(CHUNK * 3 * side * side), sizeof(float));
    status = sea_clip_work_create(&features->work, clip, &limits, err);
    if (!status && pictures->count * features->m * features->Dv * 4 <= CACHE_BYTES_MAX)
        status = fill_cache(features, stage, err);
    return status;
}

void
sea_features_close(struct sea_features *features)
{
    sea_clip_work_destroy(features->work);
    free(features->pixels);
    free(features->cache);
    memset(features, 0, sizeof(*features));
}

enum sea_status
sea_features_get(struct sea_features *features, const int64_t *numbers, int64_t count,
                 float *out, struct sea_err *err)
{
    size_t each = (size_t)(features->m * features->Dv);
    int64_t i;

    if (!features->cache)
        return compute(features, numbers, count, out, err);
    for (i = 0; i < count; i++)
        memcpy(out + (size_t)i * each, features->cache + (size_t)numbers[i] * each,
               each * sizeof(float));
    return SEA_OK;
}
