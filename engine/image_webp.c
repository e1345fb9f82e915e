/* SPDX-License-Identifier: Apache-2.0 */
/* WebP in; libwebp stays inside this file. */
#include "engine/image_int.h"

#include <stdlib.h>

#include <webp/decode.h>

#include "engine/base/sea_arena.h"

enum sea_status
sea_image_decode_webp(struct sea_image *out, const unsigned char *bytes, size_t n,
                      const char *name, struct sea_err *err)
{
    WebPBitstreamFeatures features;
    enum sea_status status;
    unsigned char *rgb;
    size_t size;

    if (WebPGetFeatures(bytes, n, &features) != VP8_STATUS_OK)
        return sea_image_refuse("WebP", name, "its header is damaged or ends too early", err);
    status = sea_image_check_size(features.width, features.height, name, err);
    if (status)
        return status;
    if (features.has_animation) {
        sea_fail(err, SEA_E_FORMAT, "WebP image \"%s\" is an animation, need a still picture",
                 name);
        sea_hint(err, "Save one of its frames as PNG or JPEG.");
        return err->status;
    }
    size = (size_t)features.width * (size_t)features.height * 3;
    rgb = sea_xcalloc(size, 1);
    if (!WebPDecodeRGBInto(bytes, n, rgb, size, features.width * 3)) {
        free(rgb);
        return sea_image_refuse("WebP", name, "it is damaged or ends too early", err);
    }
    *out = (struct sea_image){ features.width, features.height, rgb };
    return SEA_OK;
}
