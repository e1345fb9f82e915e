/* SPDX-License-Identifier: Apache-2.0 */
/* What a training file has seen of a benchmark: pictures by name, bytes and pixels; texts. */
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "engine/sea_image.h"
#include "pipeline/sea_overlap.h"
#include "tests/sea_test.h"

#define SIDE 64

static struct sea_arena *arena;
static const char *dir;

static const char *
put_file(const char *name, const char *text)
{
    const char *path = sea_arena_printf(arena, "%s/%s", dir, name);
    struct sea_err err = { 0 };

    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
    return path;
}

/* A pattern of its own for each seed; bright is added to every pixel, side its size. */
static void
put_picture(const char *name, int seed, int bright, int side)
{
    unsigned char *rgb = sea_xcalloc((size_t)side * (size_t)side * 3, 1);
    struct sea_err err = { 0 };
    struct sea_buf png;

    for (int y = 0; y < side; y++)
        for (int x = 0; x < side; x++) {
            int cell = x * 9 / side + 9 * (y * 8 / side) + 72 * seed;
            int value = seed < 0 ? 90 : (int)((unsigned)cell * 2654435761u >> 8) % 200;

            memset(rgb + 3 * (y * side + x), value + bright, 3);
        }
    sea_buf_init(&png, 1 << 20);
    CHECK_OK(sea_image_encode_png(rgb, side, side, &png, &err), err);
    CHECK_OK(sea_file_replace(sea_arena_printf(arena, "%s/%s", dir, name), png.data, png.len, &err),
             err);
    sea_buf_release(&png);
    free(rgb);
}

static struct sea_overlap_options
make_files(void)
{
    struct sea_err err = { 0 };

    arena = arena ? arena : sea_arena_create(NULL, "test");
    dir = sea_test_dir();
    CHECK_OK(sea_dir_create(sea_arena_printf(arena, "%s/t", dir), &err), err);
    CHECK_OK(sea_dir_create(sea_arena_printf(arena, "%s/b", dir), &err), err);
    put_picture("t/one.png", 1, 0, SIDE);
    put_picture("t/two.png", 2, 0, SIDE);
    put_picture("t/flat.png", -1, 0, SIDE);
    put_picture("b/a.png", 1, 0, SIDE);         /* the same bytes as t/one.png */
    put_picture("b/b.png", 2, 20, 2 * SIDE);    /* t/two.png, brighter and larger */
    put_picture("b/two.png", 3, 0, SIDE);       /* the name only */
    put_picture("b/flat.png", -1, 9, SIDE);     /* one colour is like none */
    return (struct sea_overlap_options){
        .bench = "ocrbench",                    /* plain rows, nothing behind the question */
        .train = put_file("train.json",
            "[{\"id\": \"1\", \"image\": \"one.png\", \"conversations\": [{\"from\": \"human\", "
            "\"value\": \"<image>\\nWhat colour is the cat?\\nAnswer the question using a single "
            "word or phrase.\"}, {\"from\": \"gpt\", \"value\": \"Black\"}]},"
            "{\"id\": \"2\", \"image\": \"two.png\", \"conversations\": [{\"from\": \"human\", "
            "\"value\": \"one two three four five six seven eight nine\\n<image>\"}, {\"from\": "
            "\"gpt\", \"value\": \"x\"}]},"
            "{\"id\": \"3\", \"image\": \"flat.png\", \"conversations\": [{\"from\": \"human\", "
            "\"value\": \"Is it flat?\"}, {\"from\": \"gpt\", \"value\": \"yes\"}]},"
            "{\"id\": \"4\", \"conversations\": [{\"from\": \"human\", \"value\": \"Who?\"}, "
            "{\"from\": \"gpt\", \"value\": \"me\"}]}]"),
        .train_images = sea_arena_printf(arena, "%s/t", dir),
        .questions = put_file("q.json",
            "[{\"id\": 0, \"image_path\": \"a.png\", \"question\": \"what COLOUR is the cat\", "
            "\"answers\": [\"x\"], \"type\": \"Regular Text Recognition\"},"
            "{\"id\": 1, \"image_path\": \"b.png\", \"question\": \"What colour is the cat?\", "
            "\"answers\": [\"x\"], \"type\": \"Regular Text Recognition\"},"
            "{\"id\": 2, \"image_path\": \"two.png\", \"question\": \"zero one two three four five six "
            "seven eight\", \"answers\": [\"x\"], \"type\": \"Regular Text Recognition\"},"
            "{\"id\": 3, \"image_path\": \"flat.png\", \"question\": \"Is it flat?\", "
            "\"answers\": [\"x\"], \"type\": \"Regular Text Recognition\"}]"),
        .images = sea_arena_printf(arena, "%s/b", dir),
    };
}

static void
pictures_and_texts_are_found(void)
{
    struct sea_overlap_options options = make_files();
    struct sea_overlap found;
    struct sea_err err = { 0 };

    CHECK_OK(sea_overlap_find(&options, arena, &found, &err), err);
    CHECK_INT(found.count, 4);
    if (err.status || found.count != 4)
        return;
    CHECK_INT(found.train_rows, 4);
    CHECK_INT(found.train_images, 3);
    CHECK_INT(found.unreadable, 0);
    CHECK_STR(found.questions[0].picture, "bytes");
    CHECK_STR(found.questions[0].train_image, "one.png");
    CHECK(found.questions[0].same_text && found.questions[0].seen);
    CHECK_STR(found.questions[1].picture, "near");
    CHECK_STR(found.questions[1].train_image, "two.png");
    CHECK(found.questions[1].same_text && !found.questions[1].seen);    /* of another picture */
    CHECK_STR(found.questions[2].picture, "");
    CHECK_INT(found.questions[2].runs, 2);
    CHECK_INT(found.questions[2].runs_found, 1);
    CHECK_STR(found.questions[3].picture, "");
    CHECK(found.questions[3].same_text && !found.questions[3].seen);
    CHECK_INT(found.pictures, 2);
    CHECK_INT(found.texts, 3);
    CHECK_INT(found.runs, 1);
    CHECK_INT(found.seen, 1);
    options.distance = -1;
    CHECK_OK(sea_overlap_find(&options, arena, &found, &err), err);
    CHECK_INT(found.pictures, 1);
}

static void
without_pictures_names_count(void)
{
    struct sea_overlap_options options = make_files();
    struct sea_overlap found;
    struct sea_err err = { 0 };
    struct sea_buf rows;

    options.images = options.train_images = NULL;
    CHECK_OK(sea_overlap_find(&options, arena, &found, &err), err);
    CHECK_INT(found.pictures, 2);               /* two.png and flat.png */
    CHECK_INT(found.seen, 1);                   /* "Is it flat?" */
    sea_buf_init(&rows, 65536);
    sea_overlap_rows(&found, &rows);
    CHECK(strstr(rows.data, "{\"id\": \"3\", \"picture\": \"name\", \"train_image\": \"flat.png\", "
                 "\"same_text\": true, \"runs\": 0, \"runs_found\": 0, \"seen\": true}") != NULL);
    sea_buf_release(&rows);
}

static void
bad_input_is_told(void)
{
    struct sea_overlap_options options = make_files();
    struct sea_overlap found;
    struct sea_err err = { 0 };

    options.train = put_file("none.json", "[{\"id\": 1}]");
    CHECK_INT(sea_overlap_find(&options, arena, &found, &err), SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "\"conversations\" is missing");
    sea_err_clear(&err);
    options.words = 1;
    CHECK_INT(sea_overlap_find(&options, arena, &found, &err), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "words must be 2 to 64");
    sea_err_clear(&err);
    options = make_files();
    CHECK_INT(remove(sea_arena_printf(arena, "%s/b/a.png", dir)), 0);
    CHECK_OK(sea_overlap_find(&options, arena, &found, &err), err);
    CHECK_INT(found.unreadable, 1);
    CHECK_INT(found.pictures, 1);
}

SEA_TEST_MAIN("questions that training has seen", TEST(pictures_and_texts_are_found),
              TEST(without_pictures_names_count), TEST(bad_input_is_told))
