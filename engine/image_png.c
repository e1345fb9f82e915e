/* SPDX-License-Identifier: Apache-2.0 */
/*
 * PNG in and out; libpng stays inside this file. Reading uses its classic calls although they
 * jump: the simplified ones apply the gamma of a file and round 16-bit samples, and would
 * give other pixels than Pillow. All that lives across the jump is in struct decoder, and no
 * function between setjmp and the calls owns anything.
 */
#include "engine/image_int.h"

#include <setjmp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <png.h>

#include "engine/base/sea_arena.h"

struct decoder {
    const unsigned char *bytes;
    size_t n, at;
    png_structp png;
    png_infop info;
    png_bytep *rows;
    unsigned char *rgb;
    int width, height;
    char why[128];
    jmp_buf back;
};

/* libpng gives no length: copies what fits. */
static void
keep_words(char to[128], const char *words)
{
    snprintf(to, 128, "%s", words);
}

static _Noreturn void
on_error(png_structp png, png_const_charp words)
{
    struct decoder *decoder = png_get_error_ptr(png);

    keep_words(decoder->why, words);
    longjmp(decoder->back, 1);
}

static void
on_warning(png_structp png, png_const_charp words)
{
    (void)png;
    (void)words;
}

static void
on_read(png_structp png, png_bytep to, size_t n)
{
    struct decoder *decoder = png_get_io_ptr(png);

    if (n > decoder->n - decoder->at)
        png_error(png, "the file ends too early");
    memcpy(to, decoder->bytes + decoder->at, n);
    decoder->at += n;
}

/* All layouts end as 8-bit RGB, without alpha, whatever the file says about gamma; of 16 bits
 * the high byte stays. */
static void
ask_for_rgb(struct decoder *decoder)
{
    png_structp png = decoder->png;
    int color = png_get_color_type(png, decoder->info);
    int depth = png_get_bit_depth(png, decoder->info);

    if (color == PNG_COLOR_TYPE_PALETTE)
        png_set_palette_to_rgb(png);
    if (!(color & PNG_COLOR_MASK_COLOR) && depth < 8)
        png_set_expand_gray_1_2_4_to_8(png);
    if (depth == 16)
        png_set_strip_16(png);
    if ((color & PNG_COLOR_MASK_ALPHA) || png_get_valid(png, decoder->info, PNG_INFO_tRNS))
        png_set_strip_alpha(png);       /* a palette's transparency would become alpha */
    if (!(color & PNG_COLOR_MASK_COLOR))
        png_set_gray_to_rgb(png);
    png_set_interlace_handling(png);
    png_read_update_info(png, decoder->info);
}

/* True, or false with decoder->why. */
static bool
read_all(struct decoder *decoder)
{
    size_t stride = (size_t)decoder->width * 3;

    if (setjmp(decoder->back))
        return false;
    png_set_read_fn(decoder->png, decoder, on_read);
    png_set_user_limits(decoder->png, SEA_IMAGE_SIDE_MAX, SEA_IMAGE_SIDE_MAX);
    png_read_info(decoder->png, decoder->info);
    ask_for_rgb(decoder);
    if (png_get_rowbytes(decoder->png, decoder->info) != stride)
        png_error(decoder->png, "unexpected sample layout");
    for (int y = 0; y < decoder->height; y++)
        decoder->rows[y] = decoder->rgb + (size_t)y * stride;
    png_read_image(decoder->png, decoder->rows);
    png_read_end(decoder->png, NULL);
    return true;
}

static uint32_t
big_endian(const unsigned char *b)
{
    return (uint32_t)b[0] << 24 | (uint32_t)b[1] << 16 | (uint32_t)b[2] << 8 | b[3];
}

enum sea_status
sea_image_decode_png(struct sea_image *out, const unsigned char *bytes, size_t n,
                     const char *name, struct sea_err *err)
{
    struct decoder *decoder;
    enum sea_status status;

    if (n < 33 || memcmp(bytes + 12, "IHDR", 4) != 0)
        return sea_image_refuse("PNG", name, "the file ends in its header", err);
    status = sea_image_check_size(big_endian(bytes + 16), big_endian(bytes + 20), name, err);
    if (status)
        return status;
    decoder = sea_xcalloc(1, sizeof(*decoder));
    decoder->bytes = bytes;
    decoder->n = n;
    decoder->width = (int)big_endian(bytes + 16);
    decoder->height = (int)big_endian(bytes + 20);
    decoder->rows = sea_xcalloc((size_t)decoder->height, sizeof(*decoder->rows));
    decoder->rgb = sea_xcalloc((size_t)decoder->width * (size_t)decoder->height, 3);
    decoder->png = png_create_read_struct(PNG_LIBPNG_VER_STRING, decoder, on_error, on_warning);
    decoder->info = decoder->png ? png_create_info_struct(decoder->png) : NULL;
    if (!decoder->info) {
        status = sea_fail(err, SEA_E_INTERNAL, "could not start libpng %s",
                          PNG_LIBPNG_VER_STRING);
        goto out;
    }
    if (!read_all(decoder)) {
        status = sea_image_refuse("PNG", name, decoder->why, err);
        goto out;
    }
    *out = (struct sea_image){ decoder->width, decoder->height, decoder->rgb };
    decoder->rgb = NULL;
out:
    png_destroy_read_struct(&decoder->png, &decoder->info, NULL);
    free(decoder->rows);
    free(decoder->rgb);
    free(decoder);
    return status;
}

enum sea_status
sea_image_encode_png(const unsigned char *rgb, int width, int height, struct sea_buf *out,
                     struct sea_err *err)
{
    png_image image = { .version = PNG_IMAGE_VERSION, .width = (png_uint_32)width,
                        .height = (png_uint_32)height, .format = PNG_FORMAT_RGB,
                        .flags = PNG_IMAGE_FLAG_FAST };
    enum sea_status status;
    png_alloc_size_t size;
    void *bytes = NULL;

    status = sea_image_check_size(width, height, "to be written", err);
    if (status)
        return status;
    /* One pass into room that is always enough, instead of one to measure. */
    size = PNG_IMAGE_PNG_SIZE_MAX(image);
    bytes = sea_xcalloc(size, 1);
    if (!png_image_write_to_memory(&image, bytes, &size, 0, rgb, 0, NULL)) {
        status = sea_fail(err, SEA_E_INTERNAL, "could not encode %d x %d pixels as PNG: %s", width,
                          height, image.message);
        goto out;
    }
    status = sea_buf_append(out, bytes, size, err);
out:
    png_image_free(&image);
    free(bytes);
    return status;
}
