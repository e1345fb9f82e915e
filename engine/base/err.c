/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_err.h"

#include <errno.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>

struct status_row {
    const char *name;
    enum sea_retry retry;
    int code;
    const char *words;
};

static const struct status_row status_rows[] = {
    { "OK", SEA_RETRY_NEVER, 0, "done" },
#define X(name, retry, code, words) { #name, SEA_RETRY_##retry, code, words },
    SEA_STATUS_MAP(X)
#undef X
};

static const struct status_row *
status_row(enum sea_status status)
{
    size_t at = (size_t)status;

    if (at >= sizeof(status_rows) / sizeof(status_rows[0]))
        at = SEA_E_INTERNAL;
    return &status_rows[at];
}

/* One line: names out of files of others must not end it, nor steer a terminal. */
static void
make_plain(char *text)
{
    for (; *text; text++)
        if ((unsigned char)*text < 0x20 || *text == 0x7f)
            *text = '?';
}

enum sea_status
sea_fail(struct sea_err *err, enum sea_status status, const char *fmt, ...)
{
    va_list args;

    if (err->status == SEA_OK) {
        err->status = status;
        va_start(args, fmt);
        vsnprintf(err->message, sizeof(err->message), fmt, args);
        va_end(args);
        make_plain(err->message);
    }
    return err->status;
}

enum sea_status
sea_fail_errno(struct sea_err *err, const char *fmt, ...)
{
    int code = errno;
    size_t len;
    va_list args;

    if (err->status != SEA_OK)
        return err->status;
    err->status = code == ENOENT || code == ENOTDIR ? SEA_E_MISSING : SEA_E_IO;
    va_start(args, fmt);
    vsnprintf(err->message, sizeof(err->message), fmt, args);
    va_end(args);
    len = strlen(err->message);
    snprintf(err->message + len, sizeof(err->message) - len, ": %s", strerror(code));
    make_plain(err->message);
    sea_cause(err, "errno %d", code);
    if (code == ENOSPC || code == EDQUOT)
        sea_hint(err, "Free space on that file system; the work continues from its last "
                      "checkpoint.");
    return err->status;
}

void
sea_hint(struct sea_err *err, const char *fmt, ...)
{
    va_list args;

    if (err->status == SEA_OK || err->hint[0])
        return;
    va_start(args, fmt);
    vsnprintf(err->hint, sizeof(err->hint), fmt, args);
    va_end(args);
    make_plain(err->hint);
}

void
sea_cause(struct sea_err *err, const char *fmt, ...)
{
    va_list args;

    if (err->status == SEA_OK || err->cause[0])
        return;
    va_start(args, fmt);
    vsnprintf(err->cause, sizeof(err->cause), fmt, args);
    va_end(args);
    make_plain(err->cause);
}

void
sea_context(struct sea_err *err, const char *fmt, ...)
{
    size_t len = strlen(err->context);
    va_list args;

    if (err->status == SEA_OK || len + 4 >= sizeof(err->context))
        return;
    if (len) {
        memcpy(err->context + len, ", ", 3);
        len += 2;
    }
    va_start(args, fmt);
    vsnprintf(err->context + len, sizeof(err->context) - len, fmt, args);
    va_end(args);
    make_plain(err->context);
}

void
sea_err_clear(struct sea_err *err)
{
    memset(err, 0, sizeof(*err));
}

const char *
sea_status_name(enum sea_status status)
{
    return status_row(status)->name;
}

const char *
sea_status_words(enum sea_status status)
{
    return status_row(status)->words;
}

int
sea_status_exit(enum sea_status status)
{
    return status_row(status)->code;
}

enum sea_retry
sea_status_retry(enum sea_status status)
{
    return status_row(status)->retry;
}

enum sea_status
sea_status_from_exit(int code)
{
    size_t at;

    for (at = 0; at < sizeof(status_rows) / sizeof(status_rows[0]); at++)
        if (status_rows[at].code == code)
            return (enum sea_status)at;
    return SEA_E_INTERNAL;
}

void
sea_err_print(const struct sea_err *err, const char *program, FILE *to)
{
    fprintf(to, "%s: %s\n", program, err->message[0] ? err->message
                                                     : sea_status_words(err->status));
    if (err->context[0])
        fprintf(to, "  %s\n", err->context);
    if (err->hint[0])
        fprintf(to, "  hint: %s\n", err->hint);
}
