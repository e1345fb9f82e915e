/* SPDX-License-Identifier: Apache-2.0 */
/* What judges labels: objects on patches, words that name them, other pictures as control. */
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "pipeline/stages/label_int.h"
#include "pipeline/stages/overlay_int.h"
#include "pipeline/stages/stages_int.h"
#include "tests/sea_test.h"

static void
a_patch_shows_the_smallest_box_around_its_centre(void)
{
    struct sea_box boxes[] = { { .category = 0, .x = 0, .y = 0, .w = 48, .h = 24 },
                               { .category = 1, .x = 12, .y = 0, .w = 12, .h = 12 } };
    struct sea_pictured pictured = { .width = 48, .height = 48, .boxes = boxes,
                                     .boxes_count = 2 };
    struct sea_image_view view = sea_image_view_defaults(48);
    static const int want[16] = { 0, 1, 0, 0, 0, 0, 0, 0, -1, -1, -1, -1, -1, -1, -1, -1 };
    int category[16], i;

    sea_patch_objects(&pictured, &view, 4, category);
    for (i = 0; i < 16; i++)
        CHECK_INT(category[i], want[i]);
}

static void
wide_pictures_are_cropped_or_padded(void)
{
    struct sea_box left = { .category = 0, .x = 0, .y = 0, .w = 100, .h = 100 };
    struct sea_pictured pictured = { .width = 200, .height = 100, .boxes = &left,
                                     .boxes_count = 1 };
    struct sea_image_view view = sea_image_view_defaults(40);
    static const int cropped[4] = { 0, -1, 0, -1 };
    static const int padded[16] = { -1, -1, -1, -1, 0, 0, -1, -1, 0, 0, -1, -1, -1, -1, -1, -1 };
    int category[16], i;

    view.aspect = SEA_ASPECT_SQUARE;    /* shows 50 .. 150 of 0 .. 200 */
    sea_patch_objects(&pictured, &view, 2, category);
    for (i = 0; i < 4; i++)
        CHECK_INT(category[i], cropped[i]);
    view.aspect = SEA_ASPECT_PAD;
    sea_patch_objects(&pictured, &view, 4, category);
    for (i = 0; i < 16; i++)
        CHECK_INT(category[i], padded[i]);
}

static void
words_name_things_their_kinds_and_parts_of_names(void)
{
    struct sea_category category = { .name = "fire engine", .supercategory = "vehicle" };

    CHECK(sea_word_names("fire engine", &category));
    CHECK(sea_word_names("Engine", &category));
    CHECK(sea_word_names("vehicle", &category));
    CHECK(!sea_word_names("engin", &category));
    CHECK(!sea_word_names("fire eng", &category));
    CHECK(!sea_word_names("", &category));
}

static void
nobody_keeps_the_own_picture(void)
{
    int64_t to[100], again[100], i, n;
    bool seen[100];

    for (n = 2; n <= 100; n += 7) {
        memset(seen, 0, sizeof(seen));
        sea_derange(to, n, 3);
        sea_derange(again, n, 3);
        for (i = 0; i < n; i++) {
            CHECK_MSG(to[i] != i, "picture %lld of %lld stays", (long long)i, (long long)n);
            CHECK_INT(again[i], to[i]);
            seen[to[i]] = true;
        }
        for (i = 0; i < n; i++)
            CHECK(seen[i]);
    }
}

static void
pictures_are_numbered_by_their_first_row(void)
{
    struct sea_row rows[] = { { .image = "b" }, { .image = NULL }, { .image = "a" },
                              { .image = "b" }, { .image = "c" }, { .image = "a" } };
    struct sea_dataset data = { .rows = rows, .count = 6, .images_count = 5 };
    struct sea_image_view view = sea_image_view_defaults(8);
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    static const int64_t want[] = { 0, -1, 1, 0, 2, 1 };
    struct sea_pictures pictures;
    int i;

    sea_pictures_init(&pictures, &data, &view, arena);
    CHECK_INT(pictures.count, 3);
    CHECK_STR(pictures.names[0], "b");
    CHECK_STR(pictures.names[2], "c");
    for (i = 0; i < 6; i++)
        CHECK_INT(pictures.of_row[i], want[i]);
    sea_arena_destroy(arena);
}

/* Another tower sees the view of the first one, in its own size and colours. */
static void
a_second_tower_reads_the_view_of_the_first(void)
{
    struct sea_row row = { .image = "wide.png" };
    struct sea_dataset data = { .rows = &row, .count = 1, .images_count = 1 };
    struct sea_image_view view = sea_image_view_defaults(24), other = sea_image_view_defaults(40);
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    float got[3 * 20 * 20], want[3 * 20 * 20], same[3 * 24 * 24], plain[3 * 24 * 24];
    struct sea_image image = { 0 }, seen = { 0 }, small = { 0 };
    struct sea_pictures pictures;
    struct sea_err err = { 0 };
    char root[512], path[600];
    int64_t number = 0;

    snprintf(root, sizeof(root), "%s/tests/oracle/fixtures/processors", sea_test_root());
    snprintf(path, sizeof(path), "%s/wide.png", root);
    data.images = root;
    other.mean[0] = 0.25f;
    sea_pictures_init(&pictures, &data, &view, arena);
    sea_pictures_see_again(&pictures, &other, 20);
    CHECK_OK(sea_pictures_pixels(&pictures, &number, 1, got, &err), err);
    CHECK_OK(sea_image_load(&image, path, &err), err);
    CHECK_OK(sea_image_view_rgb(&image, &view, &seen, &err), err);
    CHECK_OK(sea_image_resize(&seen, 20, 20, SEA_RESAMPLE_BICUBIC, &small, &err), err);
    other.do_resize = false;
    other.crop_h = other.crop_w = 20;
    CHECK_OK(sea_image_preprocess(&small, &other, want, &err), err);
    CHECK(memcmp(got, want, sizeof(got)) == 0);
    sea_pictures_see_again(&pictures, &view, 24);       /* its own size: nothing changes */
    CHECK_OK(sea_pictures_pixels(&pictures, &number, 1, same, &err), err);
    CHECK_OK(sea_image_preprocess(&image, &view, plain, &err), err);
    CHECK(memcmp(same, plain, sizeof(same)) == 0);
    sea_image_release(&image);
    sea_image_release(&seen);
    sea_image_release(&small);
    sea_arena_destroy(arena);
}

/* The cell that a patch's centre lies in. */
static void
patches_take_the_labels_of_the_nearest_cell(void)
{
    static const int finer[4] = { 0, 2, 3, 5 }, coarser[5] = { 0, 0, 1, 1, 1 };
    int i;

    for (i = 0; i < 4; i++)
        CHECK_INT(sea_label_cell(i, 4, 6), finer[i]);
    for (i = 0; i < 5; i++)
        CHECK_INT(sea_label_cell(i, 5, 2), coarser[i]);
    for (i = 0; i < 27; i++)
        CHECK_INT(sea_label_cell(i, 27, 27), i);
    CHECK_INT(sea_label_cell(26, 27, 24), 23);
}

static void
an_overlay_shows_words_where_patches_have_them(void)
{
    static unsigned char grey[8 * 8 * 3];
    struct sea_image image = { .width = 8, .height = 8, .rgb = grey }, shown = { 0 };
    const char *words[4] = { "cat", NULL, NULL, "fire engine" };
    struct sea_err err = { 0 };
    char path[512];
    int x, y, quarter, white[4] = { 0 };

    memset(grey, 128, sizeof(grey));
    snprintf(path, sizeof(path), "%s/overlay.png", sea_test_dir());
    CHECK_OK(sea_overlay_write(path, &image, 2, words, &err), err);
    CHECK_OK(sea_image_load(&shown, path, &err), err);
    if (err.status)
        return;
    CHECK_INT(shown.width, shown.height);
    for (y = 0; y < shown.height; y++)
        for (x = 0; x < shown.width; x++) {
            quarter = (y * 2 / shown.height) * 2 + x * 2 / shown.width;
            white[quarter] += shown.rgb[3 * (y * shown.width + x)] == 255;
        }
    CHECK_MSG(white[0] > 20, "%d white pixels in a patch with a word", white[0]);
    CHECK_INT(white[1], 0);
    CHECK_INT(white[2], 0);
    CHECK_MSG(white[3] > white[0], "%d white pixels in a longer word", white[3]);
    sea_image_release(&shown);
}

SEA_TEST_MAIN("labels judged",
    TEST(a_patch_shows_the_smallest_box_around_its_centre),
    TEST(wide_pictures_are_cropped_or_padded),
    TEST(words_name_things_their_kinds_and_parts_of_names),
    TEST(nobody_keeps_the_own_picture),
    TEST(pictures_are_numbered_by_their_first_row),
    TEST(a_second_tower_reads_the_view_of_the_first),
    TEST(patches_take_the_labels_of_the_nearest_cell),
    TEST(an_overlay_shows_words_where_patches_have_them))
