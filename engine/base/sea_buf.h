/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_buf.h - bytes that grow, up to a maximum
 *
 * For text whose length is known only at the end: event lines, files read whole.
 * Not for tensors, nor for many small objects that end together (sea_arena.h).
 *
 * Invariants: (1) len <= max;
 *             (2) data is never NULL and data[len] == 0, also when empty;
 *             (3) after a failed append the contents are as before the call.
 * Threads: one at a time per buffer. Fields may be read, not written.
 */
#ifndef SEA_BUF_H
#define SEA_BUF_H

#include <stddef.h>

#include "engine/base/sea_err.h"

struct sea_buf {
    char *data;
    size_t len, room;   /* bytes used, the final 0 not counted; bytes allocated */
    size_t max;         /* set at init, never raised */
};

void sea_buf_init(struct sea_buf *buf, size_t max);     /* allocates nothing */
void sea_buf_release(struct sea_buf *buf);      /* accepts NULL and all-zero */
void sea_buf_clear(struct sea_buf *buf);        /* len = 0, keeps the room */

/* Copies n bytes. SEA_E_FORMAT when len + n would pass max. */
SEA_MUST_CHECK enum sea_status
sea_buf_append(struct sea_buf *buf, const void *bytes, size_t n, struct sea_err *err);
SEA_PRINTF(3) SEA_MUST_CHECK enum sea_status
sea_buf_printf(struct sea_buf *buf, struct sea_err *err, const char *fmt, ...);

/* For text built by the program itself: passing max is a broken invariant (assert). */
void sea_buf_add(struct sea_buf *buf, const void *bytes, size_t n);
void sea_buf_puts(struct sea_buf *buf, const char *text);
SEA_PRINTF(2) void sea_buf_addf(struct sea_buf *buf, const char *fmt, ...);

/* Caller owns the result and releases it with free(); buf is empty afterwards. */
char *sea_buf_take(struct sea_buf *buf);

#endif
