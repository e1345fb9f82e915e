/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_parquet.c, the same in each build: files of codecs that every
 * build has. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_parquet.c"

#include "tests/fuzz/short_run.h"

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "parquet/none-v1-dictionary.parquet", "parquet/none-v2-split.parquet",
        "parquet/gzip-v2-plain.parquet", "parquet/hub/pope.parquet",
    };

    short_run(names, sizeof(names) / sizeof(names[0]), 1500, 500, 10);
}

SEA_TEST_MAIN("changed Parquet files", TEST(changed_files_are_refused_or_whole))
