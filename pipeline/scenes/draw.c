/* SPDX-License-Identifier: Apache-2.0 */
/* draw.c - pixels of a scene: ground, texture, sprites. Integers only. */
#include <string.h>

#include "pipeline/scenes/scenes_int.h"

#define TEXTURE_STEP 9          /* how much lighter or darker a texture is than its ground */

const char *const sea_scene_colors[SEA_SCENE_COLORS] = {
    "red", "orange", "yellow", "green", "blue", "purple", "pink", "gray",
};

static const unsigned char ground[SEA_SCENE_COLORS][3] = {
    { 206, 84, 78 },  { 230, 144, 72 },  { 236, 214, 100 }, { 108, 172, 100 },
    { 88, 140, 210 }, { 146, 106, 188 }, { 242, 172, 200 }, { 158, 158, 158 },
};

/* Overlap of source pixel s with target pixel t, both lines cut into from * to parts. */
static int64_t
overlap(int64_t s, int64_t t, int64_t from, int64_t to)
{
    int64_t low = s * to > t * from ? s * to : t * from;
    int64_t high = (s + 1) * to < (t + 1) * from ? (s + 1) * to : (t + 1) * from;

    return high > low ? high - low : 0;
}

void
sea_sprite_shrink(const struct sea_sprite *from, struct sea_sprite *to)
{
    int64_t area = (int64_t)from->w * from->h;

    for (int ty = 0; ty < to->h; ty++)
        for (int tx = 0; tx < to->w; tx++) {
            int64_t sum[4] = { 0 };
            int y0 = ty * from->h / to->h, x0 = tx * from->w / to->w;

            for (int sy = y0; sy < from->h && overlap(sy, ty, from->h, to->h); sy++) {
                int64_t wy = overlap(sy, ty, from->h, to->h), wx;

                for (int sx = x0; sx < from->w && (wx = overlap(sx, tx, from->w, to->w));
                     sx++)
                    for (int c = 0; c < 4; c++)
                        sum[c] += wy * wx * from->rgba[4 * (sy * from->w + sx) + c];
            }
            for (int c = 0; c < 4; c++)
                to->rgba[4 * (ty * to->w + tx) + c] =
                    (unsigned char)((2 * sum[c] + area) / (2 * area));
        }
}

static int
texture_at(int texture, int x, int y)
{
    switch (texture) {
    case 1:                     /* diagonal stripes */
        return (x + y) / 4 % 2 ? TEXTURE_STEP : -TEXTURE_STEP;
    case 2:                     /* checks */
        return (x / 6 + y / 6) % 2 ? TEXTURE_STEP : -TEXTURE_STEP;
    case 3:                     /* dots */
        return x % 8 < 3 && y % 8 < 3 ? 2 * TEXTURE_STEP : 0;
    default:
        return 0;
    }
}

static unsigned char
clip(int value)
{
    return (unsigned char)(value < 0 ? 0 : value > 255 ? 255 : value);
}

static void
put_sprite(const struct sea_sprite *sprite, int left, int top, int size, unsigned char *rgb)
{
    for (int y = 0; y < sprite->h; y++)
        for (int x = 0; x < sprite->w; x++) {
            const unsigned char *from = sprite->rgba + 4 * (y * sprite->w + x);
            unsigned char *to = rgb + 3 * ((y + top) * size + x + left);

            for (int c = 0; c < 3; c++)
                to[c] = clip(from[c] + (to[c] * (255 - from[3]) + 127) / 255);
        }
}

void
sea_scene_draw(const struct sea_scene *scene, const struct sea_kinds *kinds, int size,
               unsigned char *rgb)
{
    for (int y = 0; y < size; y++)
        for (int x = 0; x < size; x++) {
            int shade = scene->shade + texture_at(scene->texture, x, y);

            for (int c = 0; c < 3; c++)
                rgb[3 * (y * size + x) + c] = clip(ground[scene->color][c] + shade);
        }
    for (int i = 0; i < scene->count; i++) {
        const struct sea_object *object = &scene->objects[i];

        put_sprite(&kinds->items[object->kind].sprite[object->size], object->x, object->y,
                   size, rgb);
    }
}
