/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures decode, resize and become tensors bit for bit as with Pillow and Hugging Face's
 * processors; damaged and oversized files are refused, not half read. */
#include <stdlib.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"
#include "engine/sea_image.h"
#include "tests/sea_test.h"

#define FIXTURES "tests/oracle/fixtures/images"

static void
fixture_path(char path[SEA_PATH_MAX], const char *name)
{
    snprintf(path, SEA_PATH_MAX, "%s/" FIXTURES "/%s", sea_test_root(), name);
}

static int
same_sha(const void *bytes, size_t n, const struct sea_node *want)
{
    char digest[SEA_SHA256_TEXT];

    sea_hash_bytes(bytes, n, digest);
    return strcmp(digest, sea_node_text(want, "")) == 0;
}

static struct sea_image
load(const char *name)
{
    struct sea_image image;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    fixture_path(path, name);
    CHECK_OK(sea_image_load(&image, path, &err), err);
    return image;
}

static int
check_resizes(const struct sea_image *image, const struct sea_node *row)
{
    const struct sea_node *item = sea_node_get(row, "resized")->first;
    struct sea_err err = { 0 };
    struct sea_image small;
    int good = 0;

    for (; item; item = item->next) {
        int width = (int)sea_node_int(sea_node_get(item, "width"), 0);
        int height = (int)sea_node_int(sea_node_get(item, "height"), 0);
        int kind = (int)sea_node_int(sea_node_get(item, "kind"), 0);

        CHECK_OK(sea_image_resize(image, width, height, (enum sea_resample)kind, &small, &err),
                 err);
        good += CHECK_MSG(same_sha(small.rgb, (size_t)width * (size_t)height * 3,
                                   sea_node_get(item, "rgb")),
                          "%s: %d x %d with filter %d differs from Pillow",
                          sea_node_text(sea_node_get(row, "file"), ""), width, height, kind);
        sea_image_release(&small);
    }
    return good;
}

static int
check_views(const struct sea_image *image, const struct sea_node *row)
{
    const struct sea_node *item = sea_node_get(row, "views")->first;
    struct sea_err err = { 0 };
    float out[3 * 64 * 64];
    int good = 0;

    for (; item; item = item->next) {
        struct sea_image_view view =
            sea_image_view_defaults((int)sea_node_int(sea_node_get(item, "size"), 0));
        size_t side = (size_t)sea_node_int(sea_node_get(item, "crop"), 0);

        view.crop_h = view.crop_w = (int)side;
        view.aspect = sea_node_bool(sea_node_get(item, "pad"), false) ? SEA_ASPECT_PAD
                                                                      : SEA_ASPECT_SQUARE;
        CHECK_OK(sea_image_preprocess(image, &view, out, &err), err);
        good += CHECK_MSG(same_sha(out, 3 * side * side * sizeof(float),
                                   sea_node_get(item, "pixels")),
                          "%s: tensor of size %d, crop %zu, aspect %d differs; middle %.9g, "
                          "want %.9g",
                          sea_node_text(sea_node_get(row, "file"), ""), view.size, side,
                          (int)view.aspect, (double)out[side / 2 * side + side / 2],
                          sea_node_real(sea_node_get(item, "first"), 0));
    }
    return good;
}

static void
pictures_equal_pillow(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    int files = 0, decoded = 0, resized = 0, views = 0;
    struct sea_node *rows, *row;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct sea_image image;

    fixture_path(path, "images.json");
    if (!CHECK_OK(sea_json_load(path, 1 << 22, arena, &rows, &err), err))
        goto out;
    for (row = rows->first; row; row = row->next, files++) {
        const char *name = sea_node_text(sea_node_get(row, "file"), "");

        image = load(name);
        CHECK_INT(image.width, sea_node_int(sea_node_get(row, "width"), 0));
        CHECK_INT(image.height, sea_node_int(sea_node_get(row, "height"), 0));
        decoded += CHECK_MSG(same_sha(image.rgb, (size_t)image.width * (size_t)image.height * 3,
                                      sea_node_get(row, "rgb")),
                             "%s: pixels differ from Pillow's", name);
        resized += check_resizes(&image, row);
        views += check_views(&image, row);
        sea_image_release(&image);
    }
    printf("  %d files: %d decoded, %d resized, %d prepared bit for bit\n", files, decoded, resized,
           views);
    CHECK_INT(files, 17);
out:
    sea_arena_destroy(arena);
}

static void
png_comes_back(void)
{
    struct sea_image image = load("rgb.png"), again;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct sea_buf a, b;

    sea_buf_init(&a, 1 << 20);
    sea_buf_init(&b, 1 << 20);
    CHECK_OK(sea_image_encode_png(image.rgb, image.width, image.height, &a, &err), err);
    CHECK_OK(sea_image_encode_png(image.rgb, image.width, image.height, &b, &err), err);
    CHECK(a.len == b.len && memcmp(a.data, b.data, a.len) == 0);
    CHECK_OK(sea_image_decode(&again, a.data, a.len, "memory", &err), err);
    CHECK(again.width == image.width && again.height == image.height);
    CHECK(memcmp(again.rgb, image.rgb, (size_t)image.width * (size_t)image.height * 3) == 0);
    sea_image_release(&again);
    snprintf(path, sizeof(path), "%s/one.png", sea_test_dir());
    CHECK_OK(sea_image_write_png(path, image.rgb, 1, 1, &err), err);
    CHECK_OK(sea_image_load(&again, path, &err), err);
    CHECK_INT(again.width * again.height, 1);
    CHECK(memcmp(again.rgb, image.rgb, 3) == 0);
    sea_image_release(&again);
    CHECK(sea_image_write_png(path, image.rgb, 0, 1, &err) == SEA_E_FORMAT);
    sea_image_release(&image);
    sea_buf_release(&a);
    sea_buf_release(&b);
}

/* ---- damaged files ---- */

static void
check_bytes_refused(const void *bytes, size_t n, const char *words)
{
    struct sea_err err = { 0 };
    struct sea_image image;

    CHECK(sea_image_decode(&image, bytes, n, "bad file", &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, words);
    CHECK(strstr(err.message, "bad file"));
    CHECK(!image.rgb);
}

/* Every length shorter than the file: an error, or (behind the last pixel) the whole picture;
 * never part of one. Returns how many were refused. */
static size_t
cut_everywhere(const char *name, size_t step)
{
    struct sea_image whole = load(name), image;
    size_t refused = 0, pixels = (size_t)whole.width * (size_t)whole.height * 3;
    struct sea_buf bytes;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    fixture_path(path, name);
    sea_buf_init(&bytes, 1 << 20);
    CHECK_OK(sea_file_read(path, &bytes, &err), err);
    for (size_t n = 0; n < bytes.len; n += step) {
        struct sea_err cut = { 0 };
        char *copy = malloc(n + 1);     /* of its own, so that a sanitizer sees its end */

        memcpy(copy, bytes.data, n);
        if (sea_image_decode(&image, copy, n, name, &cut)) {
            CHECK_FAILS(cut, SEA_E_FORMAT, name);
            refused++;
        } else {
            CHECK_MSG(memcmp(image.rgb, whole.rgb, pixels) == 0,
                      "%s: %zu of %zu bytes give part of a picture", name, n, bytes.len);
            sea_image_release(&image);
        }
        free(copy);
    }
    printf("  %s: %zu lengths refused of %zu\n", name, refused, (bytes.len + step - 1) / step);
    CHECK(refused * step + 64 > bytes.len);
    sea_buf_release(&bytes);
    sea_image_release(&whole);
    return refused;
}

static void
cut_files_are_refused(void)
{
    CHECK(cut_everywhere("rgb.png", 37) > 0);
    CHECK(cut_everywhere("palette.png", 1) > 0);
    CHECK(cut_everywhere("sub420.jpg", 7) > 0);
    CHECK(cut_everywhere("progressive.jpg", 3) > 0);
    CHECK(cut_everywhere("lossy.webp", 3) > 0);
    CHECK(cut_everywhere("lossless.webp", 41) > 0);
}

static void
changed_bytes_are_refused(void)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct sea_image image;
    struct sea_buf bytes;

    sea_buf_init(&bytes, 1 << 20);
    fixture_path(path, "rgb.png");
    CHECK_OK(sea_file_read(path, &bytes, &err), err);
    bytes.data[bytes.len / 2] ^= 1;
    check_bytes_refused(bytes.data, bytes.len, "IDAT");
    /* Bytes between JPEG segments are harmless, as for Pillow. */
    sea_buf_clear(&bytes);
    fixture_path(path, "sub420.jpg");
    CHECK_OK(sea_file_read(path, &bytes, &err), err);
    CHECK_OK(sea_image_decode(&image, bytes.data, bytes.len, "jpeg", &err), err);
    sea_image_release(&image);
    sea_buf_release(&bytes);
}

static void
what_is_no_picture_is_said(void)
{
    struct sea_err err = { 0 };
    struct sea_image image;
    char path[SEA_PATH_MAX];

    check_bytes_refused("", 0, "empty");
    check_bytes_refused("<html>not found</html>", 22, "is text with tags, need JPEG, PNG or WebP");
    check_bytes_refused("GIF89a", 6, "is a GIF image, need JPEG, PNG or WebP");
    check_bytes_refused("\0\0\0\x20" "ftypavif", 12, "is an AVIF image");
    check_bytes_refused("\0\0\0\x20" "ftypisom", 12, "no JPEG, PNG or WebP image (begins with 00 00)");
    check_bytes_refused("\xFF", 1, "no JPEG");
    check_bytes_refused("\xFF\xD8\xFF", 3, "ends before");
    check_bytes_refused("\xFF\xD8\xFF\xE0\0\0\0\0", 8, "ends before");
    check_bytes_refused("\x89PNG\r\n\x1a\n", 8, "header");
    check_bytes_refused("RIFF\x10\0\0\0WEBP", 12, "header");
    snprintf(path, sizeof(path), "%s/none.jpg", sea_test_dir());
    CHECK(sea_image_load(&image, path, &err) == SEA_E_MISSING);
}

static void
put_32(unsigned char *to, uint32_t value)
{
    for (int i = 0; i < 4; i++)
        to[i] = (unsigned char)(value >> (24 - 8 * i));
}

static void
size_is_checked_before_decoding(void)
{
    unsigned char png[45] = "\x89PNG\r\n\x1a\n\0\0\0\rIHDR";
    unsigned char jpeg[] = { 0xFF, 0xD8, 0xFF, 0xC0, 0, 17, 8, 0xFF, 0xFF, 0xFF, 0xFF, 3,
                             1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 0xFF, 0xDA, 0, 0 };

    png[24] = 8;
    png[25] = 2;
    put_32(png + 16, 100000);
    put_32(png + 20, 100000);
    check_bytes_refused(png, sizeof(png), "100000 x 100000 pixels");
    put_32(png + 16, 20000);
    put_32(png + 20, 20000);
    check_bytes_refused(png, sizeof(png), "178956970 in all");
    put_32(png + 16, 0x80000001u);
    put_32(png + 20, 1);
    check_bytes_refused(png, sizeof(png), "2147483649 x 1");
    put_32(png + 16, 0);
    check_bytes_refused(png, sizeof(png), "0 x 1");
    check_bytes_refused(jpeg, sizeof(jpeg), "65535 x 65535 pixels");
}

/* ---- views ---- */

static void
check_same_view(const struct sea_image_view *view, const struct sea_image_view *want)
{
    CHECK_INT(view->size, want->size);
    CHECK_INT(view->resize_h, want->resize_h);
    CHECK_INT(view->resize_w, want->resize_w);
    CHECK_INT(view->crop_h, want->crop_h);
    CHECK_INT(view->crop_w, want->crop_w);
    CHECK_INT(view->do_crop, want->do_crop);
    CHECK_INT(view->resample, want->resample);
    CHECK_INT(view->aspect, want->aspect);
    CHECK_NEAR(view->rescale, want->rescale, 0);
    for (int c = 0; c < 3; c++) {
        CHECK_NEAR(view->mean[c], want->mean[c], 0);
        CHECK_NEAR(view->std[c], want->std[c], 0);
        CHECK_INT(view->fill[c], want->fill[c]);
    }
}

static void
check_view_text(const char *json, const struct sea_image_view *want, const char *words)
{
    struct sea_image_view view;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/preprocessor_config.json", sea_test_dir());
    CHECK_OK(sea_file_replace(path, json, strlen(json), &err), err);
    if (!want) {
        CHECK(sea_image_view_load(&view, sea_test_dir(), &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, words);
        return;
    }
    CHECK_OK(sea_image_view_load(&view, sea_test_dir(), &err), err);
    check_same_view(&view, want);
}

static void
write_beside(const char *name, const char *json)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/%s", sea_test_dir(), name);
    if (json)
        CHECK_OK(sea_file_replace(path, json, strlen(json), &err), err);
    else
        remove(path);
}

/* Newer releases write processor_config.json and may leave an older file beside it. */
static void
the_processor_of_newer_releases_goes_first(void)
{
    struct sea_image_view view;
    struct sea_err err = { 0 };
    bool found = true;

    write_beside("preprocessor_config.json", NULL);
    write_beside("processor_config.json", "{\"processor_class\":\"LlavaProcessor\","
                                          "\"patch_size\":14}");
    CHECK_OK(sea_image_view_find(sea_test_dir(), &found, &err), err);
    CHECK(!found);
    CHECK(sea_image_view_load(&view, sea_test_dir(), &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "preprocessor_config.json");
    sea_err_clear(&err);
    write_beside("preprocessor_config.json", "{\"size\":300,\"crop_size\":48}");
    CHECK_OK(sea_image_view_load(&view, sea_test_dir(), &err), err);
    CHECK_INT(view.size, 300);
    write_beside("processor_config.json", "{\"image_processor\":{\"size\":64,\"crop_size\":48,"
                                          "\"default_to_square\":true}}");
    CHECK_OK(sea_image_view_load(&view, sea_test_dir(), &err), err);
    CHECK_INT(view.size, 0);
    CHECK_INT(view.resize_h, 64);
    CHECK_INT(view.resize_w, 64);
    CHECK_INT(view.crop_h, 48);
    write_beside("processor_config.json", NULL);
}

static void
processor_files_are_read(void)
{
    struct sea_image_view view = sea_image_view_defaults(336), saved;
    struct sea_err err = { 0 };

    check_view_text("{\"crop_size\":{\"height\":336,\"width\":336},\"do_center_crop\":true,"
                    "\"image_mean\":[0.48145466,0.4578275,0.40821073],\"image_processor_type\":"
                    "\"CLIPImageProcessor\",\"image_std\":[0.26862954,0.26130258,0.27577711],"
                    "\"resample\":3,\"rescale_factor\":0.00392156862745098,\"size\":"
                    "{\"shortest_edge\":336}}", &view, NULL);
    check_view_text("{\"crop_size\":336,\"size\":336,\"feature_extractor_type\":"
                    "\"CLIPFeatureExtractor\",\"resample\":3}", &view, NULL);
    view.crop_h = 224;
    view.crop_w = 200;
    CHECK_OK(sea_image_view_save(&view, sea_test_dir(), &err), err);
    CHECK_OK(sea_image_view_load(&saved, sea_test_dir(), &err), err);
    check_same_view(&saved, &view);
    view = sea_image_view_defaults(0);
    view.resize_h = view.resize_w = view.crop_h = view.crop_w = 384;
    view.do_crop = false;
    for (int c = 0; c < 3; c++)
        view.mean[c] = view.std[c] = 0.5f;
    memset(view.fill, 127, sizeof(view.fill));
    check_view_text("{\"image_processor_type\":\"SiglipImageProcessor\",\"size\":{\"height\":384,"
                    "\"width\":384},\"image_mean\":[0.5,0.5,0.5],\"image_std\":[0.5,0.5,0.5],"
                    "\"resample\":3,\"do_resize\":true}", &view, NULL);
    CHECK_OK(sea_image_view_save(&view, sea_test_dir(), &err), err);
    CHECK_OK(sea_image_view_load(&saved, sea_test_dir(), &err), err);
    check_same_view(&saved, &view);
    check_view_text("{\"image_processor_type\":\"ViltImageProcessor\"}", NULL,
                    "ViltImageProcessor");
    check_view_text("{\"size\":{\"longest_edge\":3,\"shortest_edge\":3}}", NULL, "\"size\"");
    check_view_text("{\"size\":{\"shortest_edge\":0}}", NULL, "1 .. 8192");
    check_view_text("{\"resample\":7}", NULL, "\"resample\"");
    check_view_text("{\"image_mean\":[1,2]}", NULL, "3 numbers");
    check_view_text("{\"image_std\":[1,2,0]}", NULL, "positive");
    check_view_text("{\"do_center_crop\":false}", NULL, "different sizes");
    check_view_text("{\"do_pad\":true}", NULL, "\"do_pad\"");
    check_view_text("{\"do_resize\":1}", NULL, "true or false");
    check_view_text("{\"rescale_factor\":\"1/255\"}", NULL, "rescale_factor");
    check_view_text("{\"resample\":\"bicubic\"}", NULL, "\"resample\"");
    check_view_text("{\"size\":[224,224]}", NULL, "\"size\"");
    check_view_text("{\"do_flip_channel_order\":true}", NULL, "do_flip_channel_order");
    check_view_text("{\"crop_pct\":0.875}", NULL, "crop_pct");
    check_view_text("[1]", NULL, "no map");
    view = sea_image_view_defaults(224);
    check_view_text("{\"do_flip_channel_order\":false,\"crop_pct\":null,\"do_pad\":null}", &view,
                    NULL);
    view.aspect = SEA_ASPECT_PAD;
    check_view_text("{\"image_processor_type\":\"LlavaImageProcessorFast\",\"do_pad\":true}", &view,
                    NULL);
    view = sea_image_view_defaults(224);
    view.size = 256;            /* DINOv2's */
    view.resample = SEA_RESAMPLE_BILINEAR;
    check_view_text("{\"image_processor_type\":\"BitImageProcessor\",\"size\":"
                    "{\"shortest_edge\":256},\"crop_size\":{\"height\":224,\"width\":224},"
                    "\"resample\":2,\"do_convert_rgb\":true}", &view, NULL);
}

static void
a_very_long_picture_is_refused(void)
{
    struct sea_image image = { 30000, 1, calloc(30000, 3) };
    struct sea_image_view view = sea_image_view_defaults(32);
    struct sea_err err = { 0 };
    struct sea_image out;

    CHECK(sea_image_view_rgb(&image, &view, &out, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "960000 x 32");
    sea_image_release(&image);
}

SEA_TEST_MAIN("pictures are read as Pillow reads them", TEST(pictures_equal_pillow),
              TEST(png_comes_back), TEST(cut_files_are_refused), TEST(changed_bytes_are_refused),
              TEST(what_is_no_picture_is_said), TEST(size_is_checked_before_decoding),
              TEST(processor_files_are_read), TEST(the_processor_of_newer_releases_goes_first),
              TEST(a_very_long_picture_is_refused))
