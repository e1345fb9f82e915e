/* SPDX-License-Identifier: Apache-2.0 */
/* align_draw.c - which patches meet which words in one step: windows, labels, duplicates */
#include "engine/sea_align.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>

#include "engine/base/sea_rng.h"

static int64_t
windows_along(int64_t grid, int64_t window, enum sea_window_edge edge)
{
    return edge == SEA_EDGE_CEIL ? (grid + window - 1) / window : grid / window;
}

int64_t
sea_draw_windows(const struct sea_draw *draw)
{
    return windows_along(draw->grid_h, draw->window, draw->edge) *
           windows_along(draw->grid_w, draw->window, draw->edge);
}

static bool
is_label(const struct sea_draw_image *image, int64_t at)
{
    return image->index[at] >= 0 && image->score[at] > 0.0f && isfinite(image->score[at]);
}

/* The best score of a patch, 0 without labels. */
static float
best_score(const struct sea_draw *draw, const struct sea_draw_image *image, int64_t patch)
{
    float best = 0.0f;

    for (int64_t k = patch * draw->top; k < (patch + 1) * draw->top; k++)
        if (is_label(image, k) && image->score[k] > best)
            best = image->score[k];
    return best;
}

/* The patch of window (wy, wx); u is uniform in [0, 1). */
static int64_t
pick_patch(const struct sea_draw *draw, const struct sea_draw_image *image, int64_t wy,
           int64_t wx, double u)
{
    int64_t y = wy * draw->window, x = wx * draw->window, at, best = -1;
    int64_t h = draw->grid_h - y < draw->window ? draw->grid_h - y : draw->window;
    int64_t w = draw->grid_w - x < draw->window ? draw->grid_w - x : draw->window;
    float score, most = -1.0f;

    if (draw->pick == SEA_PICK_UNIFORM) {
        at = (int64_t)(u * (double)(h * w));
        return (y + at / w) * draw->grid_w + x + at % w;
    }
    for (int64_t i = 0; i < h * w; i++) {
        at = (y + i / w) * draw->grid_w + x + i % w;
        score = best_score(draw, image, at);
        if (score > most) {
            most = score;
            best = at;
        }
    }
    return best;
}

/* The label's place in the store, -1 when the patch has none. */
static int64_t
pick_label(const struct sea_draw *draw, const struct sea_draw_image *image, int64_t patch,
           double u)
{
    int64_t from = patch * draw->top, to = from + draw->top, last = -1;
    double total = 0.0, weight, target;
    float best = 0.0f;

    if (draw->draw == SEA_DRAW_BEST) {
        for (int64_t k = from; k < to; k++)
            if (is_label(image, k) && image->score[k] > best) {
                best = image->score[k];
                last = k;
            }
        return last;
    }
    for (int64_t k = from; k < to; k++)
        if (is_label(image, k))
            total += draw->draw == SEA_DRAW_UNIFORM ? 1.0 : (double)image->score[k];
    target = u * total;
    for (int64_t k = from; k < to; k++) {
        if (!is_label(image, k))
            continue;
        weight = draw->draw == SEA_DRAW_UNIFORM ? 1.0 : (double)image->score[k];
        last = k;
        if (target < weight)
            break;
        target -= weight;
    }
    return last;
}

/* By word, then the highest key, then the lowest row. */
static int
by_word(const void *left, const void *right)
{
    const struct sea_pair *a = left, *b = right;

    if (a->word != b->word)
        return a->word < b->word ? -1 : 1;
    if (a->key != b->key)
        return a->key > b->key ? -1 : 1;
    return (a->row > b->row) - (a->row < b->row);
}

static int
by_row(const void *left, const void *right)
{
    const struct sea_pair *a = left, *b = right;

    return (a->row > b->row) - (a->row < b->row);
}

int64_t
sea_align_draw(const struct sea_draw *draw, const struct sea_draw_image *images,
               int64_t count, int64_t step, struct sea_pair *pairs)
{
    int64_t m = draw->grid_h * draw->grid_w, n = 0, kept = 0, patch, label;
    int64_t across = windows_along(draw->grid_w, draw->window, draw->edge);
    int64_t windows = sea_draw_windows(draw);
    uint64_t pick, choose, keep;

    assert(draw->window > 0 && draw->top > 0);
    for (int64_t i = 0; i < count; i++) {
        pick = sea_rng_stream("window", (uint64_t)step, (uint64_t)images[i].id);
        choose = sea_rng_stream("label", (uint64_t)step, (uint64_t)images[i].id);
        keep = sea_rng_stream("keep", (uint64_t)step, (uint64_t)images[i].id);
        for (int64_t w = 0; w < windows; w++) {
            patch = pick_patch(draw, &images[i], w / across, w % across,
                               sea_rng_uniform_at(draw->seed, pick, (uint64_t)w));
            label = pick_label(draw, &images[i], patch,
                               sea_rng_uniform_at(draw->seed, choose, (uint64_t)w));
            if (label < 0)
                continue;
            pairs[n].row = (int32_t)(i * m + patch);
            pairs[n].word = images[i].index[label];
            pairs[n++].key = sea_rng_uniform_at(draw->seed, keep, (uint64_t)w);
        }
    }
    if (draw->dedup == SEA_DEDUP_RANDOM && n) {
        qsort(pairs, (size_t)n, sizeof(*pairs), by_word);
        for (int64_t i = 0; i < n; i++)
            if (!i || pairs[i].word != pairs[kept - 1].word)
                pairs[kept++] = pairs[i];
        n = kept;
    }
    if (n)
        qsort(pairs, (size_t)n, sizeof(*pairs), by_row);
    return n;
}
