/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all through the picture decoders. What must hold: a refused file gives no
 * pixels and one error; an accepted one gives a picture within the limits, whose every pixel
 * can be read, and which goes through a tower's view. For usage see mutate.h.
 */
#include "tests/fuzz/mutate.h"

#include "engine/sea_image.h"

#define PIXELS_MAX ((long long)1 << 22) /* larger ones are decoded, but not prepared */

const char *
sea_fuzz_check(const uint8_t *data, size_t n)
{
    struct sea_image_view view = sea_image_view_defaults(24);
    static float out[3 * 24 * 24];
    struct sea_image image;
    struct sea_err err = { 0 };
    const char *wrong = NULL;
    unsigned int sum = 0;

    if (sea_image_decode(&image, data, n, "fuzz", &err)) {
        sea_fuzz_refused++;
        return image.rgb ? "a refused file left pixels" : check_refusal(&err);
    }
    sea_fuzz_accepted++;
    if (image.width < 1 || image.height < 1 || image.width > SEA_IMAGE_SIDE_MAX ||
        image.height > SEA_IMAGE_SIDE_MAX)
        wrong = "an accepted picture passes the limits";
    for (size_t i = 0; !wrong && i < (size_t)image.width * (size_t)image.height * 3; i++)
        sum += image.rgb[i];
    if (!wrong && (long long)image.width * image.height <= PIXELS_MAX) {
        view.aspect = sum & 1 ? SEA_ASPECT_PAD : SEA_ASPECT_SQUARE;
        if (sea_image_preprocess(&image, &view, out, &err) && err.status != SEA_E_FORMAT)
            wrong = "a picture cannot be prepared";
    }
    sea_image_release(&image);
    return wrong;
}

SEA_FUZZ_PROGRAM
