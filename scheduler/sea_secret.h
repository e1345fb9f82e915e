/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_secret.h - files that nobody but us may read
 *
 * Keys of a bucket, the webhook's secret, the address of a database with its password, the
 * settings of a cluster's job. A file that others can read or that belongs to another user is
 * refused, not warned of: what it holds is no secret any more, or not ours.
 * Not for writing such a file: whoever makes one creates it with mode 0600.
 */
#ifndef SEA_SECRET_H
#define SEA_SECRET_H

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"

/* Reads the whole file at the end of out, whose max is the limit; out is as before when that
 * fails. what names it in messages, article included: "the store's keys". Links are followed.
 * SEA_E_CONFIG when it is no file, is larger, can be read by others or belongs to another user. */
SEA_MUST_CHECK enum sea_status
sea_secret_read(const char *path, const char *what, struct sea_buf *out, struct sea_err *err);

/* A text of at most 4096 bytes, its last line ends taken off; empty is SEA_E_CONFIG. */
SEA_MUST_CHECK enum sea_status
sea_secret_text(const char *path, const char *what, struct sea_arena *arena, const char **out,
                struct sea_err *err);

#endif
