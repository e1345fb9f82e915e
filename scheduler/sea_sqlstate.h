/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_sqlstate.h - what PostgreSQL's error codes mean for us
 *
 * One table: class or code, our status (so the exit status, and whether to try again), what
 * to tell the operator. db.c looks errors up here; docs/errors.md is printed from it.
 */
#ifndef SEA_SQLSTATE_H
#define SEA_SQLSTATE_H

#include <stddef.h>

#include "engine/base/sea_err.h"

struct sea_sqlstate {
    const char *code;           /* five characters, or the first two to four of a group */
    enum sea_status status;
    const char *words;
    const char *hint;           /* NULL: the message or its own hint says enough */
};

/* The row that fits best; E_INTERNAL without a hint when none does. Never NULL. */
const struct sea_sqlstate *sea_sqlstate_find(const char *code);
const struct sea_sqlstate *sea_sqlstates(size_t *count);

#endif
