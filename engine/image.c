/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_image.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/image_int.h"

void
sea_image_release(struct sea_image *image)
{
    if (!image)
        return;
    free(image->rgb);
    *image = (struct sea_image){ 0 };
}

enum sea_status
sea_image_check_size(long long width, long long height, const char *name, struct sea_err *err)
{
    if (width < 1 || height < 1)
        return sea_fail(err, SEA_E_FORMAT, "image \"%s\" says it is %lld x %lld pixels, need 1 "
                        "or more", name, width, height);
    if (width <= SEA_IMAGE_SIDE_MAX && height <= SEA_IMAGE_SIDE_MAX &&
        width * height <= SEA_IMAGE_PIXELS_MAX)
        return SEA_OK;
    sea_fail(err, SEA_E_FORMAT,
             "image \"%s\" says it is %lld x %lld pixels, allowed are %d on a side and %lld in all",
             name, width, height, SEA_IMAGE_SIDE_MAX, SEA_IMAGE_PIXELS_MAX);
    sea_hint(err, "Scale the picture down, or take its row out of the data.");
    return err->status;
}

enum sea_status
sea_image_refuse(const char *format, const char *name, const char *why, struct sea_err *err)
{
    sea_fail(err, SEA_E_FORMAT, "cannot decode %s image \"%s\": %s", format, name, why);
    sea_hint(err, "Fetch the file again, or take its row out of the data.");
    return err->status;
}

/* "jpeg", "png", "webp", or NULL when the bytes begin like none of them. */
static const char *
format_of(const void *bytes, size_t n)
{
    const unsigned char *b = bytes;

    if (n >= 3 && b[0] == 0xFF && b[1] == 0xD8 && b[2] == 0xFF)
        return "jpeg";
    if (n >= 8 && memcmp(b, "\x89PNG\r\n\x1a\n", 8) == 0)
        return "png";
    if (n >= 12 && memcmp(b, "RIFF", 4) == 0 && memcmp(b + 8, "WEBP", 4) == 0)
        return "webp";
    return NULL;
}

static enum sea_status
refuse_format(const void *bytes, size_t n, const char *name, struct sea_err *err)
{
    static const struct { size_t at; const char *magic, *words, *hint; } rows[] = {
        { 0, "GIF8", "a GIF image", "Convert it to PNG." },
        { 0, "BM", "a BMP image", "Convert it to PNG." },
        { 0, "II*", "a TIFF image", "Convert it to PNG." },
        { 0, "MM", "a TIFF image", "Convert it to PNG." },
        { 4, "ftypavi", "an AVIF image", "Convert it to PNG." },
        { 4, "ftyphei", "a HEIC image", "Convert it to JPEG." },
        { 4, "ftypmif1", "a HEIC image", "Convert it to JPEG." },
        { 0, "%PDF", "a PDF document", "Make a picture of its page." },
        { 0, "<", "text with tags", "Fetch it again: a web server's error page looks like this." },
    };
    const unsigned char *b = bytes;
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        size_t len = strlen(rows[i].magic);

        if (n >= rows[i].at + len && memcmp(b + rows[i].at, rows[i].magic, len) == 0) {
            sea_fail(err, SEA_E_FORMAT, "\"%s\" is %s, need JPEG, PNG or WebP", name,
                     rows[i].words);
            sea_hint(err, "%s", rows[i].hint);
            return err->status;
        }
    }
    sea_fail(err, SEA_E_FORMAT, "\"%s\" is no JPEG, PNG or WebP image (begins with %02x %02x)",
             name, b[0], n > 1 ? b[1] : 0u);
    sea_hint(err, "Fetch the file again, or take its row out of the data.");
    return err->status;
}

enum sea_status
sea_image_decode(struct sea_image *out, const void *bytes, size_t n, const char *name,
                 struct sea_err *err)
{
    const char *format = format_of(bytes, n);

    *out = (struct sea_image){ 0 };
    if (!n)
        return sea_image_refuse("an", name, "the file is empty", err);
    if (!format)
        return refuse_format(bytes, n, name, err);
    if (*format == 'j')
        return sea_image_decode_jpeg(out, bytes, n, name, err);
    if (*format == 'p')
        return sea_image_decode_png(out, bytes, n, name, err);
    return sea_image_decode_webp(out, bytes, n, name, err);
}

enum sea_status
sea_image_load(struct sea_image *out, const char *path, struct sea_err *err)
{
    enum sea_status status;
    struct sea_buf bytes;

    *out = (struct sea_image){ 0 };
    sea_buf_init(&bytes, SEA_IMAGE_FILE_MAX);
    status = sea_file_read(path, &bytes, err);
    if (status)
        goto out;
    status = sea_image_decode(out, bytes.data, bytes.len, path, err);
out:
    sea_buf_release(&bytes);
    return status;
}

enum sea_status
sea_image_write_png(const char *path, const unsigned char *rgb, int width, int height,
                    struct sea_err *err)
{
    enum sea_status status;
    struct sea_buf bytes;

    sea_buf_init(&bytes, SIZE_MAX / 2);
    status = sea_image_encode_png(rgb, width, height, &bytes, err);
    if (status)
        goto out;
    status = sea_file_replace(path, bytes.data, bytes.len, err);
out:
    if (status)
        sea_context(err, "while writing image \"%s\"", path);
    sea_buf_release(&bytes);
    return status;
}

enum sea_status
sea_image_resize(const struct sea_image *image, int width, int height,
                 enum sea_resample resample, struct sea_image *out, struct sea_err *err)
{
    enum sea_status status;

    *out = (struct sea_image){ 0 };
    status = sea_image_check_size(width, height, "resized", err);
    if (status)
        return status;
    out->rgb = sea_xcalloc((size_t)width * (size_t)height, 3);
    out->width = width;
    out->height = height;
    sea_resample(image->rgb, image->width, image->height, out->rgb, width, height, resample);
    return SEA_OK;
}
