/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_args.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/sea_near.h"

/* A line for each of the forms "data scenes ... | data overlap ..." or "nightly add F | list". */
static void
print_usage(const char *usage)
{
    size_t word = strcspn(usage, " ");
    const char *at, *bar;

    for (at = usage; at; at = bar ? bar + 3 : NULL) {
        bool named = strncmp(at, usage, word) == 0 && (at[word] == ' ' || !at[word]);
        size_t len;

        bar = strstr(at, " | ");
        len = bar ? (size_t)(bar - at) : strlen(at);
        printf("%s sea %.*s%s%.*s\n", at == usage ? "usage:" : "      ", named ? 0 : (int)word,
               usage, named ? "" : " ", (int)len, at);
    }
}

static void
print_help(const char *usage, const struct sea_arg *table, size_t count)
{
    size_t i;

    print_usage(usage);
    for (i = 0; i < count; i++) {
        char left[64];

        snprintf(left, sizeof(left), "%s%s%s", table[i].name, table[i].value ? " " : "",
                 table[i].value ? table[i].value : "");
        printf("  %-28s %s\n", left, table[i].about);
    }
}

static const struct sea_arg *
find(const struct sea_arg *table, size_t count, const char *word, size_t len)
{
    size_t i;

    for (i = 0; i < count; i++)
        if (strlen(table[i].name) == len && memcmp(table[i].name, word, len) == 0)
            return &table[i];
    return NULL;
}

static enum sea_status
unknown_option(const struct sea_arg *table, size_t count, const char *word, size_t len,
               const char *usage, struct sea_err *err)
{
    char given[SEA_NEAR_MAX];
    const char *near = NULL;
    int least = 3, d;           /* farther words were not meant */
    size_t i;

    snprintf(given, sizeof(given), "%.*s", (int)len, word);
    for (i = 0; i < count; i++)
        if ((d = sea_near_distance(given, table[i].name)) < least) {
            least = d;
            near = table[i].name;
        }
    sea_fail(err, SEA_E_CONFIG, "unknown option \"%s\"", given);
    if (near)
        sea_hint(err, "Did you mean %s? --help lists the options.", near);
    else
        sea_hint(err, "Usage: sea %s; --help lists the options.", usage);
    return SEA_E_CONFIG;
}

static enum sea_status
set_value(const struct sea_arg *arg, const char *value, struct sea_err *err)
{
    struct sea_texts *list;
    char *end;

    errno = 0;
    switch (arg->kind) {
    case SEA_ARG_TEXT:
        *(const char **)arg->to = value;
        return SEA_OK;
    case SEA_ARG_LIST:
        list = arg->to;
        if (list->count == SEA_ARGS_MAX)
            return sea_fail(err, SEA_E_CONFIG, "more than %d values for %s", SEA_ARGS_MAX,
                            arg->name);
        list->at[list->count++] = value;
        return SEA_OK;
    case SEA_ARG_INT:
        *(int64_t *)arg->to = strtoll(value, &end, 10);
        break;
    case SEA_ARG_REAL:
        *(double *)arg->to = strtod(value, &end);
        break;
    default:
        return SEA_OK;
    }
    if (errno || end == value || *end)
        return sea_fail(err, SEA_E_CONFIG, "option %s: \"%s\" is not %s", arg->name, value,
                        arg->kind == SEA_ARG_INT ? "a whole number" : "a number");
    return SEA_OK;
}

enum sea_status
sea_args_parse(int argc, char **argv, const char *usage, const struct sea_arg *table,
               size_t count, struct sea_texts *rest, bool *helped, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    bool options = true;
    int i;

    rest->count = 0;
    *helped = false;
    for (i = 0; i < argc && !status; i++) {
        const char *word = argv[i];
        const char *equals = strchr(word, '=');
        size_t len = equals ? (size_t)(equals - word) : strlen(word);
        const struct sea_arg *arg;

        if (!options || word[0] != '-' || !word[1]) {
            if (rest->count == SEA_ARGS_MAX)
                return sea_fail(err, SEA_E_CONFIG, "more than %d arguments", SEA_ARGS_MAX);
            rest->at[rest->count++] = word;
            continue;
        }
        if (strcmp(word, "--") == 0) {
            options = false;
            continue;
        }
        if (strcmp(word, "--help") == 0 || strcmp(word, "-h") == 0) {
            print_help(usage, table, count);
            *helped = true;
            return SEA_OK;
        }
        arg = find(table, count, word, len);
        if (!arg) {
            status = unknown_option(table, count, word, len, usage, err);
        } else if (arg->kind == SEA_ARG_FLAG) {
            if (equals)
                status = sea_fail(err, SEA_E_CONFIG, "option %s takes no value", arg->name);
            *(bool *)arg->to = true;
        } else if (equals) {
            status = set_value(arg, equals + 1, err);
        } else if (i + 1 < argc) {
            status = set_value(arg, argv[++i], err);
        } else {
            status = sea_fail(err, SEA_E_CONFIG, "option %s needs a value: %s", arg->name,
                              arg->value);
        }
    }
    return status;
}

enum sea_status
sea_args_count(const struct sea_texts *rest, size_t min, size_t max, const char *usage,
               struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    if (rest->count < min)
        status = sea_fail(err, SEA_E_CONFIG, "an argument is missing: %zu of %zu given",
                          rest->count, min);
    else if (rest->count > max)
        status = sea_fail(err, SEA_E_CONFIG, "unexpected argument \"%s\"", rest->at[max]);
    sea_hint(err, "Usage: sea %s", usage);
    return status;
}

enum sea_status
sea_args_need(const char *value, const char *option, const char *usage, struct sea_err *err)
{
    if (value)
        return SEA_OK;
    sea_fail(err, SEA_E_CONFIG, "%s is missing", option);
    sea_hint(err, "Usage: sea %s", usage);
    return err->status;
}

enum sea_status
sea_args_id(const char *text, const char *what, int64_t *out, struct sea_err *err)
{
    char *end;

    errno = 0;
    *out = strtoll(text, &end, 10);
    if (errno || end == text || *end || *out <= 0)
        return sea_fail(err, SEA_E_CONFIG, "\"%s\" is not an id of %s: a number from 1 up", text,
                        what);
    return SEA_OK;
}
