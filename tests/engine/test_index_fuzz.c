/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_index.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_index.c"

#include "tests/fuzz/short_run.h"

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "tensors/shards/model.safetensors.index.json"
    };

    short_run(names, sizeof(names) / sizeof(names[0]), 3000, 500, 50);
}

SEA_TEST_MAIN("changed index files", TEST(changed_files_are_refused_or_whole))
