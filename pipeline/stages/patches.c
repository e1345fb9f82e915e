/* SPDX-License-Identifier: Apache-2.0 */
/* Which object a patch shows: only for figures, never for training. */
#include <string.h>
#include <strings.h>

#include "pipeline/stages/stages_int.h"

/* A point of the view, in pixels of the picture: the way of sea_image_preprocess back. */
static void
unview(const struct sea_pictured *pictured, const struct sea_image_view *view, double x,
       double y, double *px, double *py)
{
    double w = pictured->width, h = pictured->height, left = 0, top = 0, sx, sy;

    if (view->aspect == SEA_ASPECT_PAD) {
        double side = w > h ? w : h;

        left = (side - w) / 2;
        top = (side - h) / 2;
        w = h = side;
    }
    if (view->size > 0) {
        sx = sy = view->size / (w < h ? w : h);
    } else {
        sx = view->resize_w / w;
        sy = view->resize_h / h;
    }
    if (!view->do_resize)
        sx = sy = 1;
    *px = (x + (w * sx - view->crop_w) / 2) / sx - left;
    *py = (y + (h * sy - view->crop_h) / 2) / sy - top;
}

void
sea_patch_objects(const struct sea_pictured *pictured, const struct sea_image_view *view,
                  int grid, int *category)
{
    int p;

    for (p = 0; p < grid * grid; p++) {
        int64_t row = p / grid, column = p % grid;
        double x, y, least = 0;
        size_t b;

        category[p] = -1;
        unview(pictured, view, ((double)column + 0.5) * view->crop_w / (double)grid,
               ((double)row + 0.5) * view->crop_h / (double)grid, &x, &y);
        for (b = 0; b < pictured->boxes_count; b++) {
            const struct sea_box *box = &pictured->boxes[b];

            if (x < box->x || y < box->y || x >= box->x + box->w || y >= box->y + box->h)
                continue;
            if (category[p] < 0 || box->w * box->h < least) {
                least = box->w * box->h;
                category[p] = box->category;
            }
        }
    }
}

bool
sea_word_names(const char *word, const struct sea_category *category)
{
    const char *at = category->name;
    size_t len = strlen(word);

    if (strcasecmp(word, category->name) == 0 || strcasecmp(word, category->supercategory) == 0)
        return true;
    while (len && *at) {
        size_t n = strcspn(at, " ");

        if (n == len && strncasecmp(at, word, len) == 0)
            return true;
        at += n;
        at += strspn(at, " ");
    }
    return false;
}
