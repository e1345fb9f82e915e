/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_test.h - CUnit with values in its messages and one closing line
 *
 * A test program includes this, defines functions `static void name_in_words(void)` and
 *
 *     SEA_TEST_MAIN("what the file proves", TEST(name_in_words), TEST(other))
 *
 * It prints one line per failed check (both values) and "N passed, N failed, N skipped"
 * at the end; the exit status is 1 when a check or the set-up failed. A test that cannot
 * run here calls SEA_SKIP("why") and returns: it counts as skipped, not as passed.
 * Arguments: names (or parts of names) of tests to run.
 */
#ifndef SEA_TEST_H
#define SEA_TEST_H

#include <math.h>
#include <stdio.h>
#include <string.h>

#include <CUnit/CUnit.h>
#include <CUnit/TestRun.h>

struct sea_test_case {
    const char *name;
    void (*run)(void);
};
#define TEST(name) { #name, name }

extern int sea_test_skipped;    /* set by SEA_SKIP, read by the runner */

#define SEA_TEST_MAIN(about, ...)                                                   \
    int main(int argc, char **argv)                                                 \
    {                                                                               \
        static const struct sea_test_case cases[] = { __VA_ARGS__ };                \
        return sea_test_run(about, cases, sizeof(cases) / sizeof(cases[0]),         \
                            argc, argv);                                            \
    }
int sea_test_run(const char *about, const struct sea_test_case *cases, size_t count,
                 int argc, char **argv);

/* Prints a failed check and records it with CUnit. Returns ok. */
int sea_test_check(int ok, const char *file, int line, const char *fmt, ...)
    __attribute__((format(printf, 4, 5)));

/* The device that tests of numbers run on: SEA_TEST_DEVICE (a card: make test-gpu), else two
 * threads of the processor. */
const char *sea_test_device(void);

static inline int
sea_test_int(long long got, long long want, const char *got_text, const char *want_text,
             const char *file, int line)
{
    return sea_test_check(got == want, file, line, "%s is %lld, want %s = %lld", got_text, got,
                          want_text, want);
}

static inline int
sea_test_str(const char *got, const char *want, const char *got_text, const char *file, int line)
{
    return sea_test_check(strcmp(got, want) == 0, file, line, "%s is \"%s\", want \"%s\"",
                          got_text, got, want);
}

static inline int
sea_test_near(double got, double want, double tol, const char *got_text,
              const char *want_text, const char *file, int line)
{
    return sea_test_check(fabs(got - want) <= tol, file, line,
                          "%s is %.9g, want %s = %.9g within %.3g", got_text, got, want_text,
                          want, tol);
}

#define CHECK(cond) sea_test_check(!!(cond), __FILE__, __LINE__, "%s", #cond)
#define CHECK_MSG(cond, ...) sea_test_check(!!(cond), __FILE__, __LINE__, __VA_ARGS__)
/* Each argument is evaluated once. */
#define CHECK_INT(got, want) sea_test_int(got, want, #got, #want, __FILE__, __LINE__)
#define CHECK_STR(got, want) sea_test_str(got, want, #got, __FILE__, __LINE__)
#define CHECK_NEAR(got, want, tol)                                                  \
    sea_test_near((double)(got), (double)(want), tol, #got, #want, __FILE__, __LINE__)
/* status must be SEA_OK; prints the error's message otherwise. err is a struct sea_err. */
#define CHECK_OK(status, err)                                                       \
    sea_test_check((status) == 0, __FILE__, __LINE__, "%s failed: %s %s", #status,  \
                   (err).message, (err).context)
/* err must hold this status and a message that contains words. */
#define CHECK_FAILS(err, want, words)                                               \
    sea_test_check((err).status == (want) && strstr((err).message, (words)),        \
                   __FILE__, __LINE__, "status %d \"%s\", want %d with \"%s\"",     \
                   (int)(err).status, (err).message, (int)(want), (words))

#define SEA_SKIP(why)                                                               \
    do {                                                                            \
        printf("SKIP %s: %s\n", __func__, why);                                     \
        sea_test_skipped = 1;                                                       \
    } while (0)

/* A fresh empty folder below $TMPDIR, removed at exit. */
const char *sea_test_dir(void);
/* The root of the source tree (where tests/ lies): $SEA_ROOT or ".". */
const char *sea_test_root(void);

#endif
