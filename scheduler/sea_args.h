/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_args.h - the options of one command, from a table
 *
 * A command describes its options once; parsing, `--help` and the messages about unknown or
 * incomplete options follow from the table. "--name VALUE" and "--name=VALUE" are the same;
 * "--" ends the options; everything else is a positional argument.
 */
#ifndef SEA_ARGS_H
#define SEA_ARGS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/sea_err.h"

#define SEA_ARGS_MAX 64         /* positional arguments, and values of one LIST option */

struct sea_texts {
    const char *at[SEA_ARGS_MAX];
    size_t count;
};

enum sea_arg_kind { SEA_ARG_FLAG, SEA_ARG_TEXT, SEA_ARG_INT, SEA_ARG_REAL, SEA_ARG_LIST };

struct sea_arg {
    const char *name;           /* "--json", or "-f" for one letter */
    enum sea_arg_kind kind;
    void *to;                   /* bool, const char *, int64_t, double, struct sea_texts */
    const char *value;          /* how help calls the value: "FILE"; NULL for a flag */
    const char *about;          /* one line */
};

/*
 * Parses argv[0..argc-1] (program and command name already taken off). rest gets the
 * positional arguments; texts are borrowed from argv. "--help" prints usage and the table to
 * stdout and sets *helped: the command then returns SEA_OK without doing anything.
 */
SEA_MUST_CHECK enum sea_status
sea_args_parse(int argc, char **argv, const char *usage, const struct sea_arg *table,
               size_t count, struct sea_texts *rest, bool *helped, struct sea_err *err);

/* SEA_E_CONFIG unless min <= rest->count <= max; usage is shown in the hint. */
SEA_MUST_CHECK enum sea_status
sea_args_count(const struct sea_texts *rest, size_t min, size_t max, const char *usage,
               struct sea_err *err);

/* SEA_E_CONFIG unless the option that must be given was: value is not NULL. */
SEA_MUST_CHECK enum sea_status
sea_args_need(const char *value, const char *option, const char *usage, struct sea_err *err);

/* A positive id from text; what names it in the message ("experiment"). */
SEA_MUST_CHECK enum sea_status
sea_args_id(const char *text, const char *what, int64_t *out, struct sea_err *err);

#endif
