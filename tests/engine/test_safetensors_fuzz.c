/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_safetensors.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_safetensors.c"

#include "tests/fuzz/short_run.h"

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "tensors/kinds.safetensors", "tensors/shards/model-00002-of-00002.safetensors"
    };

    short_run(names, sizeof(names) / sizeof(names[0]), 4000, 100, 100);
}

SEA_TEST_MAIN("changed safetensors files", TEST(changed_files_are_refused_or_whole))
