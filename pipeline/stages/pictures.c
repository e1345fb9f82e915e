/* SPDX-License-Identifier: Apache-2.0 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_rng.h"
#include "pipeline/stages/stages_int.h"

#define DECODERS_MAX 32         /* threads */

struct named {
    const char *name;
    int64_t row;
};

static int
compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int c = strcmp(x->name, y->name);

    return c ? c : (x->row > y->row) - (x->row < y->row);
}

void
sea_pictures_init(struct sea_pictures *pictures, const struct sea_dataset *data,
                  const struct sea_image_view *view, struct sea_arena *arena)
{
    struct named *named = sea_xcalloc((size_t)data->images_count + 1, sizeof(*named));
    int64_t i, n = 0, *first = sea_xcalloc((size_t)data->count + 1, sizeof(*first));

    pictures->root = data->images ? data->images : ".";
    pictures->view = *view;
    pictures->again = false;
    pictures->count = 0;
    pictures->of_row = sea_arena_alloc(arena, (size_t)data->count + 1, sizeof(int64_t));
    pictures->names = sea_arena_alloc(arena, (size_t)data->images_count + 1, sizeof(char *));
    for (i = 0; i < data->count; i++)
        if (data->rows[i].image)
            named[n++] = (struct named){ data->rows[i].image, i };
    qsort(named, (size_t)n, sizeof(*named), compare_named);
    /* first[row]: the first row with the same picture */
    for (i = 0; i < n; i++)
        first[named[i].row] = i && strcmp(named[i].name, named[i - 1].name) == 0
                                  ? first[named[i - 1].row]
                                  : named[i].row;
    for (i = 0; i < data->count; i++) {
        if (!data->rows[i].image) {
            pictures->of_row[i] = -1;
        } else if (first[i] < i) {
            pictures->of_row[i] = pictures->of_row[first[i]];
        } else {
            pictures->names[pictures->count] = data->rows[i].image;
            pictures->of_row[i] = pictures->count++;
        }
    }
    free(named);
    free(first);
}

void
sea_pictures_see_again(struct sea_pictures *pictures, const struct sea_image_view *of, int side)
{
    pictures->again = true;
    pictures->second = *of;
    pictures->second.aspect = SEA_ASPECT_SQUARE;
    pictures->second.do_resize = true;
    pictures->second.do_crop = false;
    pictures->second.resample = SEA_RESAMPLE_BICUBIC;
    pictures->second.size = 0;
    pictures->second.resize_h = pictures->second.resize_w = side;
    pictures->second.crop_h = pictures->second.crop_w = side;
}

/* ---- several threads ---- */

struct share {                  /* of one thread: places from, from + step, ... */
    sea_picture_fn *fn;
    void *arg;
    int64_t from, step, count;
    struct sea_err err;
    int64_t failed;             /* place of its first failure, or count */
};

static void *
work_share(void *arg)
{
    struct share *share = arg;

    for (int64_t i = share->from; i < share->count; i += share->step)
        if (share->fn(share->arg, i, &share->err)) {
            share->failed = i;
            break;
        }
    return NULL;
}

enum sea_status
sea_each_picture(int64_t count, sea_picture_fn *fn, void *arg, struct sea_err *err)
{
    struct share all[DECODERS_MAX];
    pthread_t threads[DECODERS_MAX];
    bool started[DECODERS_MAX] = { false };
    int64_t i, first = count, used = count / 2 < DECODERS_MAX ? count / 2 : DECODERS_MAX;
    enum sea_status status = SEA_OK;
    long cpus = sysconf(_SC_NPROCESSORS_ONLN);

    used = used > cpus ? cpus : used;
    used = used < 1 ? 1 : used;
    for (i = 0; i < used; i++) {
        all[i] = (struct share){ .fn = fn, .arg = arg, .from = i, .step = used, .count = count,
                                 .failed = count };
        if (i > 0)
            started[i] = pthread_create(&threads[i], NULL, work_share, &all[i]) == 0;
    }
    for (i = 0; i < used; i++) {
        if (started[i])
            pthread_join(threads[i], NULL);
        else
            work_share(&all[i]);
    }
    for (i = 0; i < used; i++)  /* the failure that one thread alone would have met first */
        if (all[i].failed < first) {
            first = all[i].failed;
            *err = all[i].err;
            status = err->status;
        }
    return status;
}

/* ---- pixels ---- */

struct decoding {
    const struct sea_pictures *pictures;
    const int64_t *numbers;
    float *pixels;
    int64_t floats;
};

static enum sea_status
see(const struct sea_pictures *pictures, const struct sea_image *image, float *pixels,
    struct sea_err *err)
{
    struct sea_image seen = { 0 };
    enum sea_status status;

    if (!pictures->again)
        return sea_image_preprocess(image, &pictures->view, pixels, err);
    status = sea_image_view_rgb(image, &pictures->view, &seen, err);
    if (!status)
        status = sea_image_preprocess(&seen, &pictures->second, pixels, err);
    sea_image_release(&seen);
    return status;
}

static enum sea_status
decode(void *arg, int64_t i, struct sea_err *err)
{
    const struct decoding *d = arg;
    struct sea_image image = { 0 };
    char path[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_path_join(path, d->pictures->root, d->pictures->names[d->numbers[i]], err);
    if (!status)
        status = sea_image_load(&image, path, err);
    if (!status)
        status = see(d->pictures, &image, d->pixels + i * d->floats, err);
    sea_image_release(&image);
    return status;
}

enum sea_status
sea_pictures_pixels(const struct sea_pictures *pictures, const int64_t *numbers, int64_t count,
                    float *pixels, struct sea_err *err)
{
    const struct sea_image_view *view = pictures->again ? &pictures->second : &pictures->view;
    struct decoding decoding = { .pictures = pictures, .numbers = numbers, .pixels = pixels,
                                 .floats = (int64_t)3 * view->crop_h * view->crop_w };

    return sea_each_picture(count, decode, &decoding, err);
}

void
sea_derange(int64_t *to, int64_t count, uint64_t seed)
{
    struct sea_rng rng;
    int64_t i;

    /* Sattolo's shuffle: one cycle through all, so nobody stays. */
    sea_rng_init(&rng, seed, sea_rng_stream("derange", (uint64_t)count, 0));
    for (i = 0; i < count; i++)
        to[i] = i;
    for (i = count - 1; i > 0; i--) {
        int64_t j = (int64_t)sea_rng_below(&rng, (uint32_t)i), keep = to[i];

        to[i] = to[j];
        to[j] = keep;
    }
}
