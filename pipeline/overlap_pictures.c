/* SPDX-License-Identifier: Apache-2.0 */
/* overlap_pictures.c - pictures by name, by bytes and by what they show */
#include "pipeline/overlap_int.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"

#define GRID_W 9
#define GRID_H 8
#define FLAT   6 /* fewer signs of one kind: nothing to see */

/* Mean brightness of a cell of the grid. */
static double
cell_mean(const struct sea_image *image, int x, int y)
{
    int x0 = x * image->width / GRID_W, x1 = (x + 1) * image->width / GRID_W,
        y0 = y * image->height / GRID_H, y1 = (y + 1) * image->height / GRID_H;
    double sum = 0;

    x1 = x1 > x0 ? x1 : x0 + 1;
    y1 = y1 > y0 ? y1 : y0 + 1;
    for (int r = y0; r < y1; r++)
        for (int c = x0; c < x1; c++) {
            const unsigned char *p =
                image->rgb + ((size_t)r * (size_t)image->width + (size_t)c) * 3;

            sum += 299 * p[0] + 587 * p[1] + 114 * p[2];
        }
    return sum / ((double)(x1 - x0) * (y1 - y0));
}

bool
sea_overlap_signs(const struct sea_image *image, uint64_t *out)
{
    *out = 0;
    if (image->width < GRID_W || image->height < GRID_H)
        return false;
    for (int y = 0; y < GRID_H; y++)
        for (int x = 0; x + 1 < GRID_W; x++)
            *out = *out << 1 | (cell_mean(image, x, y) < cell_mean(image, x + 1, y));
    return __builtin_popcountll(*out) >= FLAT && __builtin_popcountll(*out) <= 64 - FLAT;
}

int64_t
sea_gallery_add(struct sea_gallery *gallery, const char *name, struct sea_arena *arena)
{
    if (gallery->count == gallery->room) {
        gallery->room = gallery->room ? 2 * gallery->room : 1024;
        gallery->at = sea_xrealloc(gallery->at, gallery->room, sizeof(*gallery->at));
    }
    gallery->at[gallery->count] = (struct sea_overlap_picture){
        .name = sea_arena_strdup(arena, name), .bytes = -1, .found = -1, .how = ""
    };
    return (int64_t)gallery->count++;
}

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct sea_overlap_picture *)a)->name,
                  ((const struct sea_overlap_picture *)b)->name);
}

void
sea_gallery_sort(struct sea_gallery *gallery)
{
    size_t kept = 0;

    if (gallery->count)
        qsort(gallery->at, gallery->count, sizeof(*gallery->at), by_name);
    for (size_t i = 0; i < gallery->count; i++)
        if (kept == 0 || strcmp(gallery->at[kept - 1].name, gallery->at[i].name) != 0)
            gallery->at[kept++] = gallery->at[i];
    gallery->count = kept;
}

int64_t
sea_gallery_find(const struct sea_gallery *gallery, const char *name)
{
    struct sea_overlap_picture key = { .name = name }, *found;

    if (gallery->count == 0)
        return -1;
    found = bsearch(&key, gallery->at, gallery->count, sizeof(key), by_name);
    return found ? found - gallery->at : -1;
}

void
sea_gallery_measure(struct sea_gallery *gallery)
{
    for (size_t i = 0; i < gallery->count && gallery->folder; i++) {
        struct sea_err ignored = { 0 };
        char path[SEA_PATH_MAX];
        struct stat info;

        if (!gallery->at[i].is_inline && sea_path_is_inside(gallery->at[i].name) &&
            !sea_path_join(path, gallery->folder, gallery->at[i].name, &ignored) &&
            stat(path, &info) == 0 && S_ISREG(info.st_mode))
            gallery->at[i].bytes = (int64_t)info.st_size;
    }
}

bool
sea_gallery_look(struct sea_gallery *gallery, struct sea_overlap_picture *picture, bool digest,
                 bool pixels)
{
    struct sea_image image = { 0 };
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX], hex[SEA_SHA256_TEXT];

    if (picture->bytes < 0)
        return gallery->folder == NULL;
    if (sea_path_join(path, gallery->folder, picture->name, &ignored))
        return false;
    if (digest) {
        if (sea_hash_file(path, hex, NULL, &ignored))
            return false;
        hex[16] = 0;
        picture->digest = strtoull(hex, NULL, 16);
        picture->has_digest = true;
    }
    if (pixels) {
        if (sea_image_load(&image, path, &ignored))
            return false;
        picture->has_signs = sea_overlap_signs(&image, &picture->signs);
        sea_image_release(&image);
    }
    return true;
}
