/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_log.h"

#include <ctype.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <string.h>
#include <strings.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"

#define LINE_BYTES 4096

/* Set once by sea_log_open, before there are threads. */
static char log_role[32] = "sea";
static enum sea_log_level log_most = SEA_LOG_INFO;
static FILE *log_to;            /* NULL: stderr */

void
sea_log_open(const char *role, enum sea_log_level most, FILE *to)
{
    snprintf(log_role, sizeof(log_role), "%s", role);
    log_most = most;
    log_to = to;
}

/* One call, one line, one write: lines of several threads or processes do not mix. */
static void
write_line(enum sea_log_level level, char *text)
{
    static const char *const names[] = { "ERROR", "WARN", "INFO", "DEBUG" };
    FILE *to = log_to ? log_to : stderr;
    char line[LINE_BYTES + 128], when[32];
    char *c;
    int len;

    sea_log_redact(text);
    for (c = text; *c; c++)
        if (iscntrl((unsigned char)*c))
            *c = ' ';
    sea_clock_utc(when);
    len = snprintf(line, sizeof(line), "%s %s %s[%ld] %s\n", when, names[level], log_role,
                   (long)getpid(), text);
    fwrite(line, 1, (size_t)len, to);
    fflush(to);
}

void
sea_log(enum sea_log_level level, const char *fmt, ...)
{
    char text[LINE_BYTES];
    va_list args;
    int len;

    if (level > log_most)
        return;
    va_start(args, fmt);
    len = vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (len >= (int)sizeof(text))
        memcpy(text + sizeof(text) - 4, "...", 4);
    write_line(level, text);
}

void
sea_log_err(enum sea_log_level level, const struct sea_err *err)
{
    sea_log(level, "%s: %s%s%s%s%s%s%s", sea_status_name(err->status),
            err->message[0] ? err->message : sea_status_words(err->status),
            err->context[0] ? "; " : "", err->context,
            err->hint[0] ? "; hint: " : "", err->hint,
            err->cause[0] ? "; cause: " : "", err->cause);
}

/* ---- secrets ---- */

/* Replaces the bytes [from, to) by "***", by fewer stars where they are fewer than three
 * (the text must not grow), and returns what follows them. */
static char *
hide(char *from, char *to)
{
    size_t n = (size_t)(to - from), stars = n < 3 ? n : 3;

    memset(from, '*', stars);
    memmove(from + stars, to, strlen(to) + 1);
    return from + stars;
}

/* The password of scheme://user:PASSWORD@host. It may hold '/' and '@' itself: up to the
 * last '@' of the word counts, rather too much than too little. */
static void
hide_in_urls(char *text)
{
    char *at = text;

    while ((at = strstr(at, "://"))) {
        char *end, *colon, *c, *last = NULL;

        at += 3;
        end = at + strcspn(at, " \t\r\n\"'<>");
        colon = memchr(at, ':', (size_t)(end - at));
        for (c = at; c < end; c++)
            if (*c == '@')
                last = c;
        if (colon && last && colon < last)
            at = hide(colon + 1, last);
    }
}

/* Where the value that starts here ends; quotes are as in libpq's connection strings. */
static char *
value_end(char *from)
{
    char mark = *from;
    char *at = from;

    if (mark != '\'' && mark != '"')
        return from + strcspn(from, " \t\r\n&;,\"')}]");
    for (at++; *at && *at != mark; at++)
        if (*at == '\\' && at[1])
            at++;
    return *at ? at + 1 : at;
}

static void
hide_after(char *text, const char *name)
{
    size_t len = strlen(name);
    char *at = text;

    while (*at) {
        char *eq, *value;

        if (strncasecmp(at, name, len) != 0) {
            at++;
            continue;
        }
        at += len;
        eq = at + strspn(at, " \t");
        if (*eq != '=')
            continue;
        value = eq + 1;
        if (eq != at)           /* "password = x": blanks around the sign */
            value += strspn(value, " \t");
        at = hide(value, value_end(value));
    }
}

void
sea_log_redact(char *text)
{
    hide_in_urls(text);
    hide_after(text, "password");
    hide_after(text, "secret");
    hide_after(text, "token");
    hide_after(text, "key");
}
