/* SPDX-License-Identifier: Apache-2.0 */
/* scenes.c - the whole demo world: options, the folder, scenes.json */
#include "pipeline/sea_scenes.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/sea_image.h"
#include "pipeline/scenes/scenes_int.h"

#define WORLD_BYTES_MAX (16u << 20)

void
sea_scenes_defaults(struct sea_scenes_options *options)
{
    *options = (struct sea_scenes_options){
        .train = 3000, .eval = 200, .seed = 1, .kinds = 40, .image_size = 72,
        .objects_max = 4, .turns = 8, .text_rows = 10,
    };
}

static enum sea_status
check_range(const char *name, int64_t value, int64_t low, int64_t high, struct sea_err *err)
{
    if (value >= low && value <= high)
        return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG, "option \"%s\" is %lld, expected %lld to %lld", name,
                    (long long)value, (long long)low, (long long)high);
}

static enum sea_status
check_options(const struct sea_scenes_options *options, struct sea_err *err)
{
    const struct { const char *name; int64_t value, low, high; } ranges[] = {
        { "train", options->train, 1, 1000000 },
        { "eval", options->eval, 8, 10000 },
        { "kinds", options->kinds, 12, 2000 },
        { "image_size", options->image_size, 72, 480 },
        { "objects_max", options->objects_max, 2, SEA_SCENE_OBJECTS },
        { "turns", options->turns, 1, 8 },
        { "text_rows", options->text_rows, 0, 100 },
    };
    enum sea_status status = SEA_OK;

    if (!options->out || !options->out[0]) {
        status = sea_fail(err, SEA_E_CONFIG, "option \"out\" names no folder");
        sea_hint(err, "Name the folder to make, for example --out build/scenes.");
        return status;
    }
    for (size_t i = 0; i < sizeof(ranges) / sizeof(ranges[0]) && !status; i++)
        status = check_range(ranges[i].name, ranges[i].value, ranges[i].low, ranges[i].high,
                             err);
    if (!status && options->image_size % SEA_SCENE_CELL)
        status = sea_fail(err, SEA_E_CONFIG, "option \"image_size\" is %d, expected a multiple "
                          "of %d", options->image_size, SEA_SCENE_CELL);
    return status;
}

enum sea_status
sea_scenes_write(struct sea_scenes_job *job, const char *folder, const char *name,
                 const void *bytes, size_t n, struct sea_err *err)
{
    char dir[SEA_PATH_MAX], path[SEA_PATH_MAX];
    enum sea_status status;
    FILE *to = NULL;

    status = sea_path_join(dir, job->root, folder, err);
    if (!status)
        status = sea_dir_create(dir, err);
    if (!status)
        status = sea_path_join(path, dir, name, err);
    if (status)
        return status;
    to = fopen(path, "wb");
    if (!to)
        return sea_fail_errno(err, "could not create file \"%s\"", path);
    if (fwrite(bytes, 1, n, to) != n)
        status = sea_fail_errno(err, "could not write file \"%s\"", path);
    if (fclose(to) && !status)
        status = sea_fail_errno(err, "could not write file \"%s\"", path);
    return status;
}

enum sea_status
sea_scenes_picture(struct sea_scenes_job *job, const struct sea_scene *scene,
                   struct sea_buf *png, struct sea_err *err)
{
    int size = job->options->image_size;
    unsigned char *rgb = sea_xcalloc((size_t)size * (size_t)size, 3);
    enum sea_status status;

    sea_scene_draw(scene, &job->kinds, size, rgb);
    status = sea_image_encode_png(rgb, size, size, png, err);
    free(rgb);
    job->done++;
    if (job->progress && !status)
        job->progress(job->progress_arg, job->done, job->total);
    return status;
}

enum sea_status
sea_scenes_picture_at(struct sea_scenes_job *job, const struct sea_scene *scene,
                      const char *folder, const char *name, struct sea_err *err)
{
    enum sea_status status;
    struct sea_buf png;

    sea_buf_init(&png, 1 << 24);
    status = sea_scenes_picture(job, scene, &png, err);
    if (!status)
        status = sea_scenes_write(job, folder, name, png.data, png.len, err);
    sea_buf_release(&png);
    return status;
}

/* scenes.json names what determines all other bytes; it also marks a finished folder. */
static void
describe_world(const struct sea_scenes_options *o, const struct sea_kinds *kinds,
               struct sea_buf *text)
{
    sea_buf_addf(text,
                 "{\n\"format\": \"sea scenes 1\",\n\"options\": {\"train\": %lld, \"eval\": "
                 "%lld, \"seed\": %llu, \"kinds\": %d, \"image_size\": %d, \"objects_max\": %d, "
                 "\"turns\": %d, \"text_rows\": %d},\n\"kinds\": [",
                 (long long)o->train, (long long)o->eval, (unsigned long long)o->seed, o->kinds,
                 o->image_size, o->objects_max, o->turns, o->text_rows);
    for (int k = 0; k < kinds->count; k++)
        sea_buf_addf(text, "%s\n  {\"name\": \"%s\", \"category\": \"%s\", \"code\": \"U+%04X\"}",
                     k ? "," : "", kinds->items[k].name, kinds->items[k].category,
                     (unsigned)kinds->items[k].code);
    sea_buf_puts(text, "\n],\n\"held_out\": [");
    for (int p = 0; p < kinds->pairs_count; p++)
        sea_buf_addf(text, "%s\n  [\"%s\", \"%s\"]", p ? "," : "",
                     kinds->items[kinds->pairs[p][0]].name,
                     kinds->items[kinds->pairs[p][1]].name);
    sea_buf_puts(text, "\n]\n}\n");
}

/* *same: out holds exactly this world already. Anything else at out is an error. */
static enum sea_status
look_at_out(const char *out, const struct sea_buf *world, bool *same, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status;
    struct sea_buf there;

    *same = false;
    if (access(out, F_OK) != 0 || rmdir(out) == 0)     /* an empty folder is fine, too */
        return SEA_OK;
    sea_buf_init(&there, WORLD_BYTES_MAX);
    status = sea_path_join(path, out, "scenes.json", err);
    if (!status && sea_file_exists(path))
        status = sea_file_read(path, &there, err);
    if (!status) {
        *same = there.len == world->len && memcmp(there.data, world->data, there.len) == 0;
        if (!*same) {
            status = sea_fail(err, SEA_E_CONFIG, "\"%s\" already exists and holds %s", out,
                              there.len ? "scenes made with other options" : "something else");
            sea_hint(err, "Remove it or name another folder.");
        }
    }
    sea_buf_release(&there);
    return status;
}

static enum sea_status
write_world(struct sea_scenes_job *job, const struct sea_buf *world, struct sea_err *err)
{
    enum sea_status status;

    status = sea_dir_remove(job->root, err);
    if (!status)
        status = sea_scenes_write_train(job, err);
    if (!status)
        status = sea_scenes_write_heldout(job, err);
    if (!status)
        status = sea_scenes_write_exams(job, err);
    if (!status)
        status = sea_scenes_write(job, ".", "scenes.json", world->data, world->len, err);
    if (!status && rename(job->root, job->options->out))
        status = sea_fail_errno(err, "could not rename \"%s\" to \"%s\"", job->root,
                                job->options->out);
    if (status) {
        struct sea_err ignored = { 0 };         /* the first failure is the one to tell */

        if (sea_dir_remove(job->root, &ignored))
            sea_hint(err, "Remove what is left in \"%s\".", job->root);
    }
    return status;
}

static const char *
partial_name(struct sea_arena *arena, const char *out)
{
    size_t n = strlen(out);

    while (n > 1 && out[n - 1] == '/')
        n--;
    return sea_arena_printf(arena, "%.*s.partial", (int)n, out);
}

enum sea_status
sea_scenes_make(const struct sea_scenes_options *options, sea_scenes_progress_fn *progress,
                void *arg, bool *made, struct sea_err *err)
{
    struct sea_scenes_job job = { .options = options, .progress = progress,
                                  .progress_arg = arg };
    enum sea_status status;
    struct sea_buf world;
    bool same;

    *made = false;
    sea_buf_init(&world, WORLD_BYTES_MAX);
    job.arena = sea_arena_create(NULL, "scenes");
    status = check_options(options, err);
    if (status)
        goto out;
    status = sea_kinds_load(options, job.arena, &job.kinds, err);
    if (status)
        goto out;
    sea_kinds_hold_out(&job.kinds, options->seed, job.arena);
    describe_world(options, &job.kinds, &world);
    status = look_at_out(options->out, &world, &same, err);
    if (status || same)
        goto out;
    job.root = partial_name(job.arena, options->out);
    job.total = options->train + 6 * options->eval;
    status = write_world(&job, &world, err);
    if (status)
        goto out;
    *made = true;
out:
    if (status)
        sea_context(err, "while making scenes");
    sea_buf_release(&world);
    sea_arena_destroy(job.arena);
    return status;
}
