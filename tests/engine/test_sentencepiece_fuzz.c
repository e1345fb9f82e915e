/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_sentencepiece.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_sentencepiece.c"

#include "tests/fuzz/short_run.h"

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "tokenizers/sentencepiece/tokenizer.model",
        "tokenizers/spm_unigram/tokenizer.model"
    };

    short_run(names, sizeof(names) / sizeof(names[0]), 600, 50, 10);
}

SEA_TEST_MAIN("changed tokenizer.model files", TEST(changed_files_are_refused_or_whole))
