/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_config.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_config.c"

#include "tests/fuzz/short_run.h"

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "models/llama/config.json", "models/gemma2/config.json",
        "models/phi3/config.json", "towers/siglip_vision/config.json",
        "towers/dinov2_swiglu/config.json"
    };

    short_run(names, sizeof(names) / sizeof(names[0]), 2000, 200, 100);
}

SEA_TEST_MAIN("changed config.json files", TEST(changed_files_are_refused_or_whole))
