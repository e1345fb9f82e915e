/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_image.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_image.c"

#include "tests/fuzz/short_run.h"

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "images/rgb.png", "images/palette_alpha.png", "images/sub420.jpg",
        "images/progressive.jpg", "images/cmyk.jpg", "images/lossy.webp",
        "images/lossless.webp"
    };

    short_run(names, sizeof(names) / sizeof(names[0]), 1500, 100, 20);
}

SEA_TEST_MAIN("changed pictures", TEST(changed_files_are_refused_or_whole))
