/* SPDX-License-Identifier: Apache-2.0 */
/* eval_world.h - a small model, pictures, questions about them, and runs of the eval stage */
#ifndef EVAL_WORLD_H
#define EVAL_WORLD_H

#include <unistd.h>

#include "engine/base/sea_rng.h"
#include "pipeline/sea_stage_body.h"
#include "tests/pipeline/scratch_files.h"
#include "tests/pipeline/small_model.h"

#define PICTURES 80             /* more than two parts hold */
#define EACH 2                  /* questions about a picture */
#define TEXT_MAX ((size_t)64 << 20)

static const char *model_dir;           /* NULL: the world is not made */
static char model_path[SEA_PATH_MAX];

static char *
take_file(const char *name)
{
    struct sea_err err = { 0 };
    struct sea_buf text;
    char *out;

    sea_buf_init(&text, TEXT_MAX);
    CHECK_OK(sea_file_read(path_of(name), &text, &err), err);
    out = sea_arena_strndup(arena, text.data, text.len);
    sea_buf_release(&text);
    return out;
}

/* ---- pictures and questions ---- */

static void
make_pictures(void)
{
    unsigned char rgb[8 * 8 * 3];
    struct sea_err err = { 0 };
    struct sea_rng rng;

    CHECK_OK(sea_dir_create(path_of("eval/pictures"), &err), err);
    sea_rng_init(&rng, 4, 0);
    for (int i = 0; i < PICTURES; i++) {
        struct sea_buf png;
        const char *name = sea_arena_printf(arena, "eval/pictures/%d.png", i);

        sea_buf_init(&png, 1 << 20);
        for (size_t k = 0; k < sizeof(rgb); k++)
            rgb[k] = (unsigned char)sea_rng_below(&rng, 256);
        CHECK_OK(sea_image_encode_png(rgb, 8, 8, &png, &err), err);
        CHECK_OK(sea_file_replace(path_of(name), png.data, png.len, &err), err);
        sea_buf_release(&png);
    }
}

/* POPE's rows with labels; order: of the lines. */
static void
put_questions(const char *name, const int *order, int count, int pictures)
{
    struct sea_buf text;

    sea_buf_init(&text, TEXT_MAX);
    for (int k = 0; k < count; k++) {
        int i = order ? order[k] : k;

        sea_buf_addf(&text, "{\"question_id\": %d, \"image\": \"%d.png\", \"text\": \"Is there %s "
                     "number %d?\", \"label\": \"%s\"}\n", i, i % pictures,
                     i % 3 ? "a cat on the long old wall of" : "dog", i, i % 2 ? "yes" : "no");
    }
    put_file(name, text.data);
    sea_buf_release(&text);
}

static void
put_world(void)
{
    int order[PICTURES * EACH];
    struct sea_rng rng;

    if (model_dir)
        return;
    model_dir = model_path;
    small_model_make(model_path, 0.3f);
    make_pictures();
    put_questions("eval/q.jsonl", NULL, PICTURES * EACH, PICTURES);
    sea_rng_init(&rng, 9, 0);
    for (int i = 0; i < PICTURES * EACH; i++)
        order[i] = i;
    for (int i = PICTURES * EACH - 1; i > 0; i--) {
        int k = (int)sea_rng_below(&rng, (uint32_t)i + 1), kept = order[i];

        order[i] = order[k];
        order[k] = kept;
    }
    put_questions("eval/mixed.jsonl", order, PICTURES * EACH, PICTURES);
    put_questions("eval/one.jsonl", NULL, 32, 1);
}

/* ---- runs ---- */

static void
put_config(const char *suite, int batch, const char *keys)
{
    put_file("config.json", sea_arena_printf(arena,
        "{\"name\": \"eval\", \"seed\": 1, \"model\": {\"path\": \"%s\"}, \"stages\": {\"eval\": "
        "{\"suite\": \"%s\", \"max_new\": 6, \"batch\": %d%s%s}}}\n", model_dir, path_of(suite), batch,
        keys[0] ? ", " : "", keys));
}

static void
put_suite(const char *name, const char *items, const char *rest)
{
    put_file(name, sea_arena_printf(arena, "name: test\nroot: %s\nbenchmarks:\n%s%s",
                                    path_of("eval"), items, rest));
}

static pid_t
start(const char *out)
{
    struct sea_stage_options options = { .name = "eval", .device = "cpu:1" };
    struct sea_err err = { 0 };
    enum sea_status status;
    pid_t pid;

    options.config_path = path_of("config.json");
    options.out_dir = path_of(out);
    options.events = path_of(sea_arena_printf(arena, "%s.events", out));
    fflush(NULL);
    pid = fork();
    if (pid)
        return pid;
    status = sea_stage_run(&options, &err);
    if (status) {
        FILE *said = fopen(path_of(sea_arena_printf(arena, "%s.error", out)), "w");

        if (said) {
            sea_err_print(&err, "eval", said);
            fclose(said);
        }
    }
    _exit(sea_status_exit(status));
}

static int
run(const char *out)
{
    return wait_for(start(out));
}

static void
run_whole(const char *out)
{
    int rc = run(out);

    CHECK_MSG(rc == 0, "the run ends with %d: %s", rc,
              rc ? take_file(sea_arena_printf(arena, "%s.error", out)) : "");
}

#endif
