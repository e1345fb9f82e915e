/* SPDX-License-Identifier: Apache-2.0 */
/*
 * short_run.h - a fuzz program's check over changed fixtures, the same in each build
 *
 * For tests/engine/test_*_fuzz.c: include the program with SEA_FUZZ_NO_MAIN, then this.
 */
#ifndef SEA_TESTS_SHORT_RUN_H
#define SEA_TESTS_SHORT_RUN_H

#include "tests/fuzz/mutate.h"
#include "tests/sea_test.h"

/* `changes` changes of each fixture, of which more than so many must be refused, and accepted:
 * a run that only refuses, or only accepts, shows little. */
static inline void
short_run(const char *const *names, size_t count, long changes, long refused, long accepted)
{
    static uint8_t mutant[MUTANT_MAX + 16];
    struct sea_err err = { 0 };
    char file[SEA_PATH_MAX];
    const char *wrong;

    for (size_t i = 0; i < count; i++) {
        sea_fuzz_accepted = sea_fuzz_refused = 0;
        snprintf(file, sizeof(file), "%s/tests/oracle/fixtures/%s", sea_test_root(), names[i]);
        wrong = run_file(file, changes, 1, mutant, &err);
        CHECK_OK(err.status, err);
        CHECK_MSG(!wrong, "%s: %s", names[i], wrong ? wrong : "");
        printf("  %s: %ld accepted, %ld refused\n", names[i], sea_fuzz_accepted,
               sea_fuzz_refused);
        CHECK_INT(sea_fuzz_accepted + sea_fuzz_refused, changes);
        CHECK(sea_fuzz_refused > refused && sea_fuzz_accepted > accepted);
    }
}

#endif
