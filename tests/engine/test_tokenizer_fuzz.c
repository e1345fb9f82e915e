/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_tokenizer.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_tokenizer.c"

#include "tests/fuzz/short_run.h"

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "tokenizers/gpt2/tokenizer.json", "tokenizers/gemma/tokenizer.json",
        "tokenizers/clip/tokenizer.json", "tokenizers/unigram/tokenizer.json"
    };

    short_run(names, sizeof(names) / sizeof(names[0]), 250, 50, 10);
}

SEA_TEST_MAIN("changed tokenizer.json files", TEST(changed_files_are_refused_or_whole))
