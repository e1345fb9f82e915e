/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Pictures prepared as the processors of transformers prepare them, bit for bit: CLIP's,
 * SigLIP's, DINOv2's (Bit) and Llava's, from their own preprocessor_config.json. The values
 * come from tests/oracle/image_processors.py.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"
#include "engine/sea_image.h"
#include "tests/sea_test.h"

static struct sea_arena *arena;
static struct sea_node *fixture;

static void
path_of(char path[SEA_PATH_MAX], const char *name)
{
    snprintf(path, SEA_PATH_MAX, "%s/tests/oracle/fixtures/processors/%s", sea_test_root(), name);
}

static bool
open_fixture(void)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    if (fixture)
        return true;
    arena = sea_arena_create(NULL, "test");
    path_of(path, "processors.json");
    return CHECK_OK(sea_json_load(path, (size_t)4 << 20, arena, &fixture, &err), err);
}

/* The folder's processor over the row's picture: the SHA-256 of its pixels. */
static void
digest_view(const struct sea_node *row, char out[65])
{
    struct sea_node *config = sea_node_put_copy(arena, NULL, NULL, sea_node_get(row, "config"));
    struct sea_image_view view;
    struct sea_image image = { 0 };
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    float *pixels;
    size_t n;

    sea_buf_init(&text, 1 << 20);
    CHECK_OK(sea_path_join(path, sea_test_dir(), "preprocessor_config.json", &err), err);
    CHECK_OK(sea_json_write(config, SEA_JSON_PRETTY, &text, &err), err);
    CHECK_OK(sea_file_replace(path, text.data, text.len, &err), err);
    CHECK_OK(sea_image_view_load(&view, sea_test_dir(), &err), err);
    path_of(path, sea_node_text(sea_node_get(row, "file"), ""));
    CHECK_OK(sea_image_load(&image, path, &err), err);
    n = 3 * (size_t)view.crop_h * (size_t)view.crop_w;
    pixels = sea_xcalloc(n + 1, sizeof(*pixels));
    CHECK_OK(sea_image_preprocess(&image, &view, pixels, &err), err);
    sea_hash_bytes(pixels, n * sizeof(*pixels), out);
    free(pixels);
    sea_image_release(&image);
    sea_buf_release(&text);
}

static void
processors_equal_transformers(void)
{
    const struct sea_node *row;
    int count = 0, same = 0;
    char digest[65];

    if (!open_fixture())
        return;
    for (row = sea_node_get(fixture, "views")->first; row; row = row->next, count++) {
        digest_view(row, digest);
        same += CHECK_MSG(!strcmp(digest, sea_node_text(sea_node_get(row, "pixels"), "")),
                          "%s of %s differs", sea_node_text(sea_node_get(row, "name"), ""),
                          sea_node_text(sea_node_get(row, "file"), ""));
    }
    printf("  %d views, %d prepared bit for bit\n", count, same);
    CHECK(count > 40);
}

/* Another filter gives another digest: the test above can fail. */
static void
other_settings_give_other_pixels(void)
{
    const struct sea_node *row;
    struct sea_node *other, *config;
    char digest[65];

    if (!open_fixture())
        return;
    row = sea_node_get(fixture, "views")->first;
    other = sea_node_put_copy(arena, NULL, NULL, row);
    config = sea_node_get(other, "config");
    sea_node_remove(config, "resample");
    sea_node_put_int(arena, config, "resample", SEA_RESAMPLE_BILINEAR);
    digest_view(other, digest);
    CHECK(strcmp(digest, sea_node_text(sea_node_get(row, "pixels"), "")) != 0);
}

/* What sea_image.h says: of 16 bits the high byte stays, also of grey. */
static void
grey_of_16_bits_keeps_its_high_byte(void)
{
    const struct sea_node *value;
    struct sea_image image = { 0 };
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    size_t i = 0, wrong = 0;

    if (!open_fixture())
        return;
    path_of(path, "grey16.png");
    CHECK_OK(sea_image_load(&image, path, &err), err);
    CHECK_INT(sea_node_get(fixture, "grey16")->count, image.width * image.height);
    for (value = sea_node_get(fixture, "grey16")->first; value; value = value->next, i++)
        for (size_t c = 0; c < 3; c++)
            wrong += image.rgb[3 * i + c] != value->integer;
    CHECK_INT(wrong, 0);
    sea_image_release(&image);
}

/* A picture that says "turn me" stays as it lies in the file. */
static void
orientation_is_not_applied(void)
{
    struct sea_image image = { 0 };
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    path_of(path, "exif.jpg");
    CHECK_OK(sea_image_load(&image, path, &err), err);
    CHECK_INT(image.width, 53);
    CHECK_INT(image.height, 34);
    sea_image_release(&image);
    sea_arena_destroy(arena);
    arena = NULL;
    fixture = NULL;
}

SEA_TEST_MAIN("pictures are prepared as by transformers", TEST(processors_equal_transformers),
              TEST(other_settings_give_other_pixels), TEST(grey_of_16_bits_keeps_its_high_byte),
              TEST(orientation_is_not_applied))
