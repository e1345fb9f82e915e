/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_sentencepiece.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_sentencepiece.c"

#include "tests/sea_test.h"

static uint8_t mutant[MUTANT_MAX + 16];

static void
changed_files_are_refused_or_whole(void)
{
    static const char *const names[] = {
        "tokenizers/sentencepiece/tokenizer.model",
        "tokenizers/spm_unigram/tokenizer.model"
    };
    const char *wrong;
    struct sea_err err = { 0 };
    char file[SEA_PATH_MAX];

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        sea_fuzz_accepted = sea_fuzz_refused = 0;
        snprintf(file, sizeof(file), "%s/tests/oracle/fixtures/%s", sea_test_root(), names[i]);
        wrong = run_file(file, 600, 1, mutant, &err);
        CHECK_OK(err.status, err);
        CHECK_MSG(!wrong, "%s: %s", names[i], wrong ? wrong : "");
        printf("  %s: %ld accepted, %ld refused\n", names[i], sea_fuzz_accepted,
               sea_fuzz_refused);
        CHECK(sea_fuzz_refused > 50 && sea_fuzz_accepted > 10);
    }
}

SEA_TEST_MAIN("changed tokenizer.model files", TEST(changed_files_are_refused_or_whole))
