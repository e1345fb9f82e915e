/* SPDX-License-Identifier: Apache-2.0 */
/* world.c - which scenes there are: held-out pairs, kinds, places, colours */
#include <assert.h>
#include <string.h>

#include "pipeline/scenes/scenes_int.h"

#define BOX 24                  /* an object's place: 2 x 2 cells */
#define TRIES 200               /* for a layout without overlaps; then it starts anew */

void
sea_kinds_hold_out(struct sea_kinds *kinds, uint64_t seed, struct sea_arena *arena)
{
    int n = kinds->count, all = n * (n - 1) / 2, wanted = all / 5;
    int64_t *order = sea_arena_alloc(arena, (size_t)all, sizeof(*order));
    int *degree = sea_arena_alloc(arena, (size_t)n, sizeof(*degree));
    struct sea_rng rng;

    kinds->held_out = sea_arena_alloc(arena, (size_t)(n * n), sizeof(bool));
    kinds->pairs = sea_arena_alloc(arena, (size_t)wanted, sizeof(*kinds->pairs));
    kinds->pairs_count = 0;
    for (int a = 0, i = 0; a < n; a++)
        for (int b = a + 1; b < n; b++)
            order[i++] = (int64_t)a * n + b;
    sea_rng_init(&rng, seed, sea_rng_stream("scenes held-out pairs", 0, 0));
    sea_rng_shuffle(&rng, order, (size_t)all);
    /* Each round lets a kind have one partner more, so that all end about equal. */
    for (int most = 1; kinds->pairs_count < wanted; most++)
        for (int i = 0; i < all && kinds->pairs_count < wanted; i++) {
            int a = (int)(order[i] / n), b = (int)(order[i] % n);

            if (kinds->held_out[a * n + b] || degree[a] >= most || degree[b] >= most)
                continue;
            kinds->held_out[a * n + b] = kinds->held_out[b * n + a] = true;
            kinds->pairs[kinds->pairs_count][0] = a;
            kinds->pairs[kinds->pairs_count++][1] = b;
            degree[a]++;
            degree[b]++;
        }
}

bool
sea_scene_has(const struct sea_scene *scene, int kind)
{
    for (int i = 0; i < scene->count; i++)
        if (scene->objects[i].kind == kind)
            return true;
    return false;
}

bool
sea_scene_allows(const struct sea_scene *scene, const struct sea_kinds *kinds, int kind)
{
    for (int i = 0; i < scene->count; i++)
        if (kinds->held_out[scene->objects[i].kind * kinds->count + kind])
            return false;
    return true;
}

/* Different kinds; with a held-out pair first, or without any. */
static void
draw_kinds(struct sea_rng *rng, const struct sea_kinds *kinds, int count, bool held,
           struct sea_scene *scene)
{
    int tries = 0;

    scene->count = 0;
    if (held && count >= 2) {
        const int *pair = kinds->pairs[sea_rng_below(rng, (uint32_t)kinds->pairs_count)];

        scene->objects[scene->count++].kind = pair[0];
        scene->objects[scene->count++].kind = pair[1];
    }
    while (scene->count < count) {
        int kind = (int)sea_rng_below(rng, (uint32_t)kinds->count);

        if (!held && ++tries > TRIES) {         /* a dead end: every kind is refused */
            scene->count = 0;
            tries = 0;
        }
        if (sea_scene_has(scene, kind) || (!held && !sea_scene_allows(scene, kinds, kind)))
            continue;
        scene->objects[scene->count++].kind = kind;
    }
}

static int
jitter(struct sea_rng *rng, int at, int length, int size)
{
    at += (int)sea_rng_below(rng, 3) - 1;
    return at < 0 ? 0 : at + length > size ? size - length : at;
}

static bool
overlaps(const struct sea_object *a, const struct sea_object *b)
{
    return a->x < b->x + b->w && b->x < a->x + a->w && a->y < b->y + b->h && b->y < a->y + a->h;
}

static bool
place(struct sea_rng *rng, const struct sea_kinds *kinds, int size, struct sea_scene *scene)
{
    uint32_t spots = (uint32_t)(size / SEA_SCENE_CELL - 1);

    for (int i = 0; i < scene->count; i++) {
        struct sea_object *object = &scene->objects[i];
        const struct sea_sprite *sprite = &kinds->items[object->kind].sprite[object->size];
        int tries = 0, hit;

        object->w = sprite->w;
        object->h = sprite->h;
        do {
            int column = (int)sea_rng_below(rng, spots), row = (int)sea_rng_below(rng, spots);

            object->x = jitter(rng, column * SEA_SCENE_CELL + (BOX - object->w) / 2, object->w,
                               size);
            object->y = jitter(rng, row * SEA_SCENE_CELL + (BOX - object->h) / 2, object->h,
                               size);
            hit = 0;
            for (int j = 0; j < i; j++)
                hit += overlaps(object, &scene->objects[j]);
        } while (hit && ++tries < TRIES);
        if (hit)
            return false;
    }
    return true;
}

static void
sort_by_place(struct sea_scene *scene)
{
    for (int i = 1; i < scene->count; i++)
        for (int j = i; j > 0; j--) {
            struct sea_object *a = &scene->objects[j - 1], *b = &scene->objects[j], swap;
            int xa = 2 * a->x + a->w, xb = 2 * b->x + b->w;

            if (xa < xb || (xa == xb && a->y <= b->y))
                break;
            swap = *a;
            *a = *b;
            *b = swap;
        }
}

void
sea_scene_sample(struct sea_rng *rng, const struct sea_kinds *kinds, int size, int count,
                 bool held, struct sea_scene *scene)
{
    assert(count >= 1 && count <= SEA_SCENE_OBJECTS);
    memset(scene, 0, sizeof(*scene));
    draw_kinds(rng, kinds, count, held, scene);
    for (int i = 0; i < count; i++)
        scene->objects[i].size = (int)sea_rng_below(rng, SEA_SPRITE_SIZES);
    while (!place(rng, kinds, size, scene))
        continue;
    sort_by_place(scene);
    scene->color = (int)sea_rng_below(rng, SEA_SCENE_COLORS);
    scene->texture = (int)sea_rng_below(rng, SEA_SCENE_TEXTURES);
    scene->shade = (int)sea_rng_below(rng, 13) - 6;
}

bool
sea_object_is_left(const struct sea_object *a, const struct sea_object *b)
{
    return 2 * a->x + a->w + 2 * SEA_SCENE_CELL <= 2 * b->x + b->w;
}
