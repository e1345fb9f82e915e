/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_buf.h"

#include <assert.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"

static char nothing[1];         /* what data points to before the first byte */

void
sea_buf_init(struct sea_buf *buf, size_t max)
{
    *buf = (struct sea_buf){ .data = nothing, .max = max };
}

void
sea_buf_release(struct sea_buf *buf)
{
    if (!buf)
        return;
    if (buf->room)
        free(buf->data);
    sea_buf_init(buf, buf->max);
}

void
sea_buf_clear(struct sea_buf *buf)
{
    buf->len = 0;
    if (buf->room)
        buf->data[0] = 0;
}

static bool
grow(struct sea_buf *buf, size_t n)
{
    size_t room = buf->room ? buf->room : 64;

    if (n > buf->max - buf->len)
        return false;
    if (buf->room && buf->len + n < buf->room)
        return true;
    while (room <= buf->len + n)
        room *= 2;
    buf->data = sea_xrealloc(buf->room ? buf->data : NULL, room, 1);
    buf->data[buf->len] = 0;
    buf->room = room;
    return true;
}

enum sea_status
sea_buf_append(struct sea_buf *buf, const void *bytes, size_t n, struct sea_err *err)
{
    if (!grow(buf, n))
        return sea_fail(err, SEA_E_FORMAT, "%zu bytes pass the limit of %zu",
                        buf->len + n, buf->max);
    if (n)
        memcpy(buf->data + buf->len, bytes, n);
    buf->len += n;
    buf->data[buf->len] = 0;
    return SEA_OK;
}

/* Returns false when the text does not fit. */
__attribute__((format(printf, 2, 0))) static bool
add_formatted(struct sea_buf *buf, const char *fmt, va_list args)
{
    va_list again;
    int n;

    va_copy(again, args);
    n = vsnprintf(NULL, 0, fmt, again);
    va_end(again);
    if (n < 0 || !grow(buf, (size_t)n))
        return false;
    vsnprintf(buf->data + buf->len, (size_t)n + 1, fmt, args);
    buf->len += (size_t)n;
    return true;
}

enum sea_status
sea_buf_printf(struct sea_buf *buf, struct sea_err *err, const char *fmt, ...)
{
    va_list args;
    bool fits;

    va_start(args, fmt);
    fits = add_formatted(buf, fmt, args);
    va_end(args);
    if (!fits)
        return sea_fail(err, SEA_E_FORMAT, "text passes the limit of %zu bytes", buf->max);
    return SEA_OK;
}

void
sea_buf_add(struct sea_buf *buf, const void *bytes, size_t n)
{
    bool fits = grow(buf, n);

    assert(fits);
    if (fits && n) {
        memcpy(buf->data + buf->len, bytes, n);
        buf->len += n;
        buf->data[buf->len] = 0;
    }
}

void
sea_buf_puts(struct sea_buf *buf, const char *text)
{
    sea_buf_add(buf, text, strlen(text));
}

void
sea_buf_addf(struct sea_buf *buf, const char *fmt, ...)
{
    va_list args;
    bool fits;

    va_start(args, fmt);
    fits = add_formatted(buf, fmt, args);
    va_end(args);
    assert(fits);
    (void)fits;
}

char *
sea_buf_take(struct sea_buf *buf)
{
    char *data = buf->room ? buf->data : sea_xcalloc(1, 1);

    sea_buf_init(buf, buf->max);
    return data;
}
