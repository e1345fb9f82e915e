/* SPDX-License-Identifier: Apache-2.0 */
/* test_clip_world.h - a tiny CLIP model with five pictures and captions, for its tests */
#ifndef TEST_CLIP_WORLD_H
#define TEST_CLIP_WORLD_H

#include <stdlib.h>

#include "engine/base/sea_rng.h"
#include "engine/sea_clip.h"
#include "tests/sea_test.h"

#define PICTURES 5
#define IDS_MAX 64

static struct sea_device device;

static const struct sea_clip_desc tiny = {
    .vision = { .D = 24, .layers = 2, .heads = 3, .F = 28, .image = 9, .patch = 4,
                .channels = 3, .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f },
    .text = { .D = 20, .layers = 2, .heads = 2, .F = 42, .vocab = 19, .positions = 7,
              .bos = 17, .eos = 18, .pad = 18, .act = SEA_ACT_GELU, .eps = 1e-5f },
    .joint = 12, .logit_scale = 1.2f,
};

struct world {
    struct sea_clip *clip;
    float *pixels;              // (PICTURES, 3, 9, 9)
    int32_t ids[IDS_MAX];
    int64_t start[PICTURES + 1];
};

/* Every weight gets noise, so that no bias is 0 and no norm's gamma is 1. */
static inline void
shake(struct sea_params *params, uint64_t seed)
{
    float *host = sea_xcalloc((size_t)params->floats, sizeof(*host));
    size_t bytes = (size_t)params->floats * sizeof(*host);
    struct sea_err err = { 0 };
    int64_t t, i;

    CHECK_OK(sea_device_get(params->device, host, params->data, bytes, &err), err);
    for (t = 0; t < params->count; t++)
        for (i = 0; i < params->list[t].count; i++)
            host[params->list[t].offset + i] += (float)(0.15
                * sea_rng_normal_at(seed, (uint64_t)t, (uint64_t)i));
    CHECK_OK(sea_device_put(params->device, params->data, host, bytes, &err), err);
    free(host);
}

static inline void
world_open(struct world *world, const struct sea_clip_desc *desc, bool trained)
{
    static const int8_t lengths[PICTURES] = { 4, 7, 2, 5, 4 };
    size_t picture = (size_t)(3 * desc->vision.image * desc->vision.image), i;
    struct sea_err err = { 0 };
    int64_t b, k;

    memset(world, 0, sizeof(*world));
    if (!device.ops)
        CHECK_OK(sea_device_open(&device, sea_test_device(), &err), err);
    CHECK_OK(sea_clip_create(&world->clip, &device, desc, 7, trained, &err), err);
    if (!world->clip)
        exit(1);
    shake(&world->clip->vision, 1);
    if (desc->text.D > 0)
        shake(&world->clip->text, 2);
    if (desc->joint > 0)
        shake(&world->clip->head, 3);
    world->pixels = sea_xcalloc(PICTURES * picture, sizeof(float));
    for (i = 0; i < PICTURES * picture; i++)
        world->pixels[i] = (float)sea_rng_normal_at(5, 0, i);
    for (b = 0; b < PICTURES; b++) {
        world->start[b + 1] = world->start[b] + lengths[b];
        for (k = world->start[b]; k < world->start[b + 1]; k++)
            world->ids[k] = (int32_t)(sea_rng_uniform_at(6, 0, (uint64_t)k) * 17);
        world->ids[world->start[b]] = 17;
        world->ids[world->start[b + 1] - 1] = 18;
    }
}

static inline void
world_close(struct world *world)
{
    sea_clip_destroy(world->clip);
    free(world->pixels);
}

static inline struct sea_clip_work *
make_work(const struct sea_clip *clip, int64_t images, int64_t texts, int64_t rows,
          bool trained)
{
    struct sea_clip_limits limits = { images, texts, rows, trained };
    struct sea_clip_work *work;
    struct sea_err err = { 0 };

    CHECK_OK(sea_clip_work_create(&work, clip, &limits, &err), err);
    return work;
}

#endif
