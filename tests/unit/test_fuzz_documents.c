/* SPDX-License-Identifier: Apache-2.0 */
/* A short run of tests/fuzz/fuzz_documents.c, the same in each build. */
#define SEA_FUZZ_NO_MAIN
#include "tests/fuzz/fuzz_documents.c"

#include "tests/sea_test.h"

static char text[DOCUMENT_MAX + 16];

static void
the_documents_themselves_are_accepted(void)
{
    size_t i;
    long before;

    for (i = 0; i < COUNT(seeds); i++) {
        before = accepted[1];
        CHECK(LLVMFuzzerTestOneInput((const uint8_t *)seeds[i], strlen(seeds[i])) == 0);
        /* YAML takes JSON, too; the integer of the second one passes 64 bits. */
        CHECK_INT(accepted[1] - before, i != 1);
    }
}

static void
changed_documents_are_refused_or_come_back(void)
{
    const char *wrong;
    size_t len = 0;
    long i;

    accepted[0] = accepted[1] = refused[0] = refused[1] = 0;
    wrong = run_changes(20000, 1, text, &len);
    printf("  JSON: %ld accepted, %ld refused; YAML: %ld accepted, %ld refused\n", accepted[0],
           refused[0], accepted[1], refused[1]);
    CHECK_MSG(!wrong, "%s: \"%.*s\"", wrong ? wrong : "", (int)len, text);
    for (i = 0; i < 2; i++)     /* a run that only refuses, or only accepts, shows little */
        CHECK(accepted[i] > 1000 && refused[i] > 1000);
}

SEA_TEST_MAIN("changed JSON and YAML documents",
              TEST(the_documents_themselves_are_accepted),
              TEST(changed_documents_are_refused_or_come_back))
