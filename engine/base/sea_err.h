/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_err.h - errors are values
 *
 * A function that can fail for an outside reason returns a status and fills the
 * struct sea_err that is its last parameter. Reports are made once, where a program
 * or a job ends (sea_err_print); a function returns or reports, never both.
 *
 * Invariants: (1) err->status == SEA_OK exactly when every text in it is empty;
 *             (2) the first failure wins: later sea_fail calls change nothing;
 *             (3) filling an error never allocates;
 *             (4) no text holds a control character: each has become '?'.
 * Asserts are for our own broken invariants, never for files, rows, users, devices.
 */
#ifndef SEA_ERR_H
#define SEA_ERR_H

#include <stdio.h>

#ifdef __cplusplus
extern "C" {
#endif

/* name, when to retry, exit status of a stage, words for the operator.
 * NEVER: trying again cannot help. LATER: try again with a pause. FREE: resume at no
 * cost to the retry budget. docs/errors.md and the database's failure classes follow
 * this map; tests/check compares them. */
#define SEA_STATUS_MAP(X)                                                           \
    X(E_CONFIG,   NEVER, 64, "the configuration or the command line cannot be used")\
    X(E_FORMAT,   NEVER, 65, "a file does not follow its format")                   \
    X(E_MISSING,  NEVER, 66, "an input is missing")                                 \
    X(E_DEVICE,   LATER, 69, "the device is not available or reported a fault")     \
    X(E_DEVMEM,   LATER, 69, "the device has too little free memory")               \
    X(E_SERVICE,  LATER, 69, "a service, such as PostgreSQL, is not available")     \
    X(E_INTERNAL, LATER, 70, "an invariant of the program was broken")              \
    X(E_LEASE,    LATER, 70, "the lease of this attempt has ended")                 \
    X(E_IO,       LATER, 74, "reading or writing failed")                           \
    X(E_STOPPED,  FREE,  75, "stopped on request after a checkpoint")

#define X(name, retry, code, words) SEA_##name,
enum sea_status { SEA_OK, SEA_STATUS_MAP(X) };
#undef X

enum sea_retry { SEA_RETRY_NEVER, SEA_RETRY_LATER, SEA_RETRY_FREE };

struct sea_err {                /* all zero is empty */
    enum sea_status status;
    char cause[48];             /* whose code: "errno 28", "sqlstate 40001" */
    char message[512];          /* one line: reason, object, value */
    char hint[384];             /* one sentence: what the operator can do */
    char context[512];          /* "while ...", innermost first */
};

#define SEA_MUST_CHECK __attribute__((warn_unused_result))
#define SEA_PRINTF(at) __attribute__((format(printf, at, at + 1)))

/* Fills err unless it is filled already. Returns err->status. */
SEA_PRINTF(3) enum sea_status
sea_fail(struct sea_err *err, enum sea_status status, const char *fmt, ...);

/* Like sea_fail, for a failed system call: records errno as cause and picks the status
 * (ENOENT, ENOTDIR: E_MISSING; all others: E_IO), and appends the system's words. */
SEA_PRINTF(2) enum sea_status
sea_fail_errno(struct sea_err *err, const char *fmt, ...);

/* Each does nothing when err is empty; hint and cause keep what is there already. */
SEA_PRINTF(2) void sea_hint(struct sea_err *err, const char *fmt, ...);
SEA_PRINTF(2) void sea_cause(struct sea_err *err, const char *fmt, ...);
SEA_PRINTF(2) void sea_context(struct sea_err *err, const char *fmt, ...);
void sea_err_clear(struct sea_err *err);

/* Static texts; an unknown status reads as E_INTERNAL. */
const char *sea_status_name(enum sea_status status);    /* "E_CONFIG", "OK" */
const char *sea_status_words(enum sea_status status);
int sea_status_exit(enum sea_status status);            /* 0 for SEA_OK */
enum sea_retry sea_status_retry(enum sea_status status);
/* The status that stands for an exit status of a stage; E_INTERNAL when unknown. */
enum sea_status sea_status_from_exit(int code);

/* "sea: MESSAGE\n  CONTEXT\n  hint: HINT\n": the one form in which people see errors. */
void sea_err_print(const struct sea_err *err, const char *program, FILE *to);

#ifdef __cplusplus
}
#endif
#endif
