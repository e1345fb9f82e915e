/* SPDX-License-Identifier: Apache-2.0 */
/* lint_model.h - what an analyser cannot see from one file; tests/check/lint.sh includes
 * it before each file but err.c. After a failure err->status is not SEA_OK, and a hint
 * leaves it alone: without this, every path after `if (status)` counts as one where
 * nothing has been filled in. */
#ifndef SEA_LINT_MODEL_H
#define SEA_LINT_MODEL_H

#include "engine/base/sea_err.h"

static inline enum sea_status
sea_lint_fail(struct sea_err *err, enum sea_status status)
{
    if (err->status == SEA_OK)
        err->status = status == SEA_OK ? SEA_E_INTERNAL : status;
    return err->status;
}

/* Still looks at the arguments. */
SEA_PRINTF(1) void sea_lint_text(const char *fmt, ...);

#define sea_fail(err, status, ...) (sea_lint_text(__VA_ARGS__), sea_lint_fail(err, status))
#define sea_fail_errno(err, ...) (sea_lint_text(__VA_ARGS__), sea_lint_fail(err, SEA_E_IO))
#define sea_hint(err, ...) ((void)(err), sea_lint_text(__VA_ARGS__))
#define sea_cause(err, ...) ((void)(err), sea_lint_text(__VA_ARGS__))
#define sea_context(err, ...) ((void)(err), sea_lint_text(__VA_ARGS__))

#endif
