/* SPDX-License-Identifier: Apache-2.0 */
#include "tests/sea_test.h"

#include <ftw.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>

int sea_test_skipped;

static const struct sea_test_case *running;
static char scratch[256];

/* CUnit runs functions without arguments; this one knows its case from `running`. */
static void
run_case(void)
{
    running->run();
}

int
sea_test_check(int ok, const char *file, int line, const char *fmt, ...)
{
    char text[1024];
    va_list args;

    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!ok)
        printf("FAIL %s %s:%d: %s\n", running ? running->name : "?", file, line, text);
    CU_assertImplementation(ok ? CU_TRUE : CU_FALSE, (unsigned)line, text, file, "", CU_FALSE);
    return ok;
}

const char *
sea_test_device(void)
{
    const char *name = getenv("SEA_TEST_DEVICE");

    return name && *name ? name : "cpu:2";
}

static int
is_wanted(const char *name, int argc, char **argv)
{
    int i;

    for (i = 1; i < argc; i++)
        if (strstr(name, argv[i]))
            return 1;
    return argc < 2;
}

int
sea_test_run(const char *about, const struct sea_test_case *cases, size_t count,
             int argc, char **argv)
{
    unsigned passed = 0, failed = 0, skipped = 0;
    CU_pSuite suite;
    size_t i;

    setvbuf(stdout, NULL, _IOLBF, 0);
    if (CU_initialize_registry() != CUE_SUCCESS)
        return 1;
    CU_set_error_action(CUEA_IGNORE);
    suite = CU_add_suite(about, NULL, NULL);
    for (i = 0; suite && i < count; i++) {
        CU_pTest test;
        unsigned before;

        if (!is_wanted(cases[i].name, argc, argv))
            continue;
        running = &cases[i];
        sea_test_skipped = 0;
        test = CU_add_test(suite, cases[i].name, run_case);
        if (!test) {
            printf("FAIL %s: CUnit refused the test: %s\n", cases[i].name,
                   CU_get_error_msg());
            failed++;
            continue;
        }
        CU_run_test(suite, test);
        before = CU_get_number_of_failure_records();   /* of this run alone */
        if (before)
            failed++;
        else if (sea_test_skipped)
            skipped++;
        else
            passed++;
    }
    CU_cleanup_registry();
    printf("%s: %u passed, %u failed, %u skipped\n", about, passed, failed, skipped);
    return failed || !suite ? 1 : 0;
}

static int
remove_entry(const char *path, const struct stat *st, int kind, struct FTW *at)
{
    (void)st, (void)kind, (void)at;
    return remove(path);
}

static void
remove_scratch(void)
{
    nftw(scratch, remove_entry, 16, FTW_DEPTH | FTW_PHYS);
}

const char *
sea_test_dir(void)
{
    const char *tmp = getenv("TMPDIR");

    if (!scratch[0]) {
        snprintf(scratch, sizeof(scratch), "%s/sea-test-XXXXXX", tmp ? tmp : "/tmp");
        if (!mkdtemp(scratch))
            abort();
        atexit(remove_scratch);
    }
    return scratch;
}

const char *
sea_test_root(void)
{
    const char *root = getenv("SEA_ROOT");

    return root ? root : ".";
}
