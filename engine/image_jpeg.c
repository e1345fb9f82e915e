/* SPDX-License-Identifier: Apache-2.0 */
/* JPEG in; TurboJPEG stays inside this file. Its default settings are those of Pillow: the
 * accurate integer transform and smooth upsampling. */
#include "engine/image_int.h"

#include <stdlib.h>
#include <string.h>

#include <turbojpeg.h>

#include "engine/base/sea_arena.h"

struct header {                 /* of the first frame */
    int width, height, components;
    bool adobe;                 /* an Adobe marker: four-component files are inverted */
};

static bool
is_frame(unsigned char marker)
{
    return marker >= 0xC0 && marker <= 0xCF && marker != 0xC4 && marker != 0xC8 &&
           marker != 0xCC;
}

/* Walks the markers to the frame's, so that sizes are known before the library allocates
 * for them. False: there is none. */
static bool
find_header(const unsigned char *b, size_t n, struct header *header)
{
    size_t at = 2, len;
    unsigned char marker;

    while (at + 4 <= n && b[at] == 0xFF) {
        marker = b[at + 1];
        if (marker == 0xFF || marker == 0x01 || (marker >= 0xD0 && marker <= 0xD8)) {
            at += marker == 0xFF ? 1 : 2;       /* filling, or a marker alone */
            continue;
        }
        len = (size_t)b[at + 2] << 8 | b[at + 3];
        if (len < 2 || marker == 0xD9 || marker == 0xDA)
            return false;
        if (is_frame(marker)) {
            if (at + 10 > n)
                return false;
            header->height = b[at + 5] << 8 | b[at + 6];
            header->width = b[at + 7] << 8 | b[at + 8];
            header->components = b[at + 9];
            return true;
        }
        if (marker == 0xEE && len >= 14 && at + 9 <= n && memcmp(b + at + 4, "Adobe", 5) == 0)
            header->adobe = true;
        at += 2 + len;
    }
    return false;
}

/* What Pillow reads without a word, too: bytes that belong to nothing, between segments. */
static bool
is_harmless(const char *words)
{
    return strstr(words, "extraneous bytes") || strstr(words, "Invalid SOS parameters");
}

static unsigned char
mul_255(int a, int b)
{
    int t = a * b + 128;

    return (unsigned char)(((t >> 8) + t) >> 8);
}

/* As Pillow's CMYK to RGB; cmyk is (count, 4), rgb (count, 3). */
static void
rgb_from_cmyk(const unsigned char *cmyk, size_t count, bool inverted, unsigned char *rgb)
{
    int flip = inverted ? 255 : 0, light;

    for (size_t i = 0; i < count; i++) {
        light = 255 - (cmyk[4 * i + 3] ^ flip);
        for (size_t c = 0; c < 3; c++)
            rgb[3 * i + c] =
                (unsigned char)(light - mul_255(cmyk[4 * i + c] ^ flip, light));
    }
}

static enum sea_status
decode(tjhandle turbo, const struct header *header, const unsigned char *bytes, size_t n,
       enum TJPF format, unsigned char *out, const char *name, struct sea_err *err)
{
    const char *words;

    if (!tjDecompress2(turbo, bytes, (unsigned long)n, out, header->width, 0, header->height,
                       format, TJFLAG_ACCURATEDCT))
        return SEA_OK;
    words = tjGetErrorStr2(turbo);
    if (tjGetErrorCode(turbo) == TJERR_WARNING && is_harmless(words))
        return SEA_OK;
    return sea_image_refuse("JPEG", name, words, err);
}

enum sea_status
sea_image_decode_jpeg(struct sea_image *out, const unsigned char *bytes, size_t n,
                      const char *name, struct sea_err *err)
{
    unsigned char *rgb = NULL, *cmyk = NULL;
    int width, height, sampling, colors;
    struct header header = { 0 };
    enum sea_status status;
    size_t pixels;
    tjhandle turbo;

    if (!find_header(bytes, n, &header))
        return sea_image_refuse("JPEG", name, "the file ends before its picture begins", err);
    status = sea_image_check_size(header.width, header.height, name, err);
    if (status)
        return status;
    pixels = (size_t)header.width * (size_t)header.height;
    turbo = tjInitDecompress();
    if (!turbo)
        return sea_fail(err, SEA_E_INTERNAL, "could not start TurboJPEG: %s", tjGetErrorStr());
    if (tjDecompressHeader3(turbo, bytes, (unsigned long)n, &width, &height, &sampling, &colors) &&
        tjGetErrorCode(turbo) != TJERR_WARNING) {
        status = sea_image_refuse("JPEG", name, tjGetErrorStr2(turbo), err);
        goto out;
    }
    if (width != header.width || height != header.height) {
        status = sea_image_refuse("JPEG", name, "it says two different sizes", err);
        goto out;
    }
    rgb = sea_xcalloc(pixels, 3);
    if (colors == TJCS_CMYK || colors == TJCS_YCCK) {
        cmyk = sea_xcalloc(pixels, 4);
        status = decode(turbo, &header, bytes, n, TJPF_CMYK, cmyk, name, err);
        if (!status)
            rgb_from_cmyk(cmyk, pixels, header.adobe, rgb);
    } else {
        status = decode(turbo, &header, bytes, n, TJPF_RGB, rgb, name, err);
    }
    if (status)
        goto out;
    *out = (struct sea_image){ width, height, rgb };
    rgb = NULL;
out:
    free(rgb);
    free(cmyk);
    tjDestroy(turbo);
    return status;
}
