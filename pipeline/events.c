/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_events.h"

#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_node.h"

#define LINE_MAX_BYTES ((size_t)1 << 20)
#define PROGRESS_EVERY_S 0.5    /* between two progress events, and redraws of the bar */
#define PLAIN_EVERY_S 5.0       /* between two plain progress lines */
#define BAR_WIDTH 28

struct sea_events {
    int fd;                     /* -1: people */
    bool owned;                 /* fd is closed with us */
    bool terminal;              /* people mode on a terminal */
    bool bar;                   /* a bar is on the current line */
    struct sea_buf line;
    struct sea_err failed;
    double first_s, last_s;     /* of the progress of this unit */
    int64_t first_done;
    char unit[32];
    char metric[64];            /* the newest metric, shown beside the bar */
};

enum sea_status
sea_events_open(struct sea_events **out, const char *to, struct sea_err *err)
{
    struct sea_events *events;
    size_t i, len = to ? strlen(to) : 0;
    bool digits = len > 0 && len < 10;

    *out = NULL;
    for (i = 0; i < len; i++)
        digits = digits && isdigit((unsigned char)to[i]);
    events = sea_xcalloc(1, sizeof(*events));
    events->fd = -1;
    sea_buf_init(&events->line, LINE_MAX_BYTES);
    if (!to) {
        events->terminal = isatty(STDERR_FILENO) == 1;
    } else if (digits) {
        events->fd = (int)strtol(to, NULL, 10);
        if (fcntl(events->fd, F_GETFD) < 0) {
            sea_fail(err, SEA_E_CONFIG, "events: file descriptor %s is not open", to);
            sea_hint(err, "Give --events a file, or a descriptor that the caller opened.");
            sea_events_close(events);
            return err->status;
        }
    } else {
        events->fd = open(to, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0666);
        if (events->fd < 0) {
            sea_fail_errno(err, "could not open \"%s\" for events", to);
            sea_events_close(events);
            return err->status;
        }
        events->owned = true;
    }
    *out = events;
    return SEA_OK;
}

void
sea_events_close(struct sea_events *events)
{
    if (!events)
        return;
    if (events->bar)
        fputc('\n', stderr);
    if (events->owned)
        close(events->fd);
    sea_buf_release(&events->line);
    free(events);
}

static bool
is_json(const struct sea_events *events)
{
    return events->fd >= 0;
}

static void
begin(struct sea_events *events, const char *type)
{
    sea_buf_clear(&events->line);
    sea_buf_addf(&events->line, "{\"t\":\"%s\"", type);
}

static void
add_text(struct sea_events *events, const char *key, const char *text)
{
    sea_buf_addf(&events->line, ",\"%s\":", key);
    sea_json_quote(&events->line, text, strlen(text));
}

static void
add_int(struct sea_events *events, const char *key, int64_t value)
{
    sea_buf_addf(&events->line, ",\"%s\":%lld", key, (long long)value);
}

/* One write call: a pipe takes a line up to PIPE_BUF whole, a longer one in turns. */
static void
end(struct sea_events *events)
{
    const char *at;
    size_t left;

    sea_buf_puts(&events->line, "}\n");
    if (events->failed.status)
        return;
    at = events->line.data;
    left = events->line.len;
    while (left > 0) {
        ssize_t n = write(events->fd, at, left);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            sea_fail_errno(&events->failed, "could not write an event");
            return;
        }
        at += n;
        left -= (size_t)n;
    }
}

static void
clear_bar(struct sea_events *events)
{
    if (events->bar)
        fputs("\r\033[K", stderr);
    events->bar = false;
}

static void
format_seconds(char out[32], double seconds)
{
    int64_t s = (int64_t)(seconds + 0.5);

    if (s < 60)
        snprintf(out, 32, "%lld s", (long long)s);
    else if (s < 3600)
        snprintf(out, 32, "%lld:%02lld min", (long long)(s / 60), (long long)(s % 60));
    else
        snprintf(out, 32, "%lld:%02lld h", (long long)(s / 3600), (long long)(s / 60 % 60));
}

static void
show_progress(struct sea_events *events, int64_t done, int64_t total, const char *unit,
              double now)
{
    double took = now - events->first_s;
    double rate = took > 0 ? (double)(done - events->first_done) / took : 0;
    char bar[BAR_WIDTH + 1], left[32] = "?";
    int64_t full = total > 0 ? done * BAR_WIDTH / total : 0;
    int i;

    if (rate > 0 && total >= done)
        format_seconds(left, (double)(total - done) / rate);
    if (!events->terminal) {
        fprintf(stderr, "%lld of %lld %s, %.3g %s/s, %s left%s%s\n", (long long)done,
                (long long)total, unit, rate, unit, left, events->metric[0] ? ", " : "",
                events->metric);
        return;
    }
    for (i = 0; i < BAR_WIDTH; i++)
        bar[i] = i < full ? '#' : '.';
    bar[BAR_WIDTH] = 0;
    fprintf(stderr, "\r\033[K[%s] %lld/%lld %s  %.3g/s  %s left  %s", bar, (long long)done,
            (long long)total, unit, rate, left, events->metric);
    fflush(stderr);
    events->bar = true;
    if (done == total) {
        fputc('\n', stderr);
        events->bar = false;
    }
}

void
sea_events_progress(struct sea_events *events, int64_t done, int64_t total, const char *unit)
{
    double now, every;

    if (!events)
        return;
    now = sea_clock_seconds();
    if (strcmp(unit, events->unit) != 0 || done < events->first_done || events->first_s <= 0) {
        snprintf(events->unit, sizeof(events->unit), "%s", unit);
        events->first_s = now;
        events->first_done = done;
        events->last_s = 0;
    }
    every = is_json(events) || events->terminal ? PROGRESS_EVERY_S : PLAIN_EVERY_S;
    if (done != total && events->last_s > 0 && now - events->last_s < every)
        return;
    events->last_s = now;
    if (!is_json(events)) {
        show_progress(events, done, total, unit, now);
        return;
    }
    begin(events, "progress");
    add_int(events, "done", done);
    add_int(events, "total", total);
    add_text(events, "unit", unit);
    end(events);
}

void
sea_events_metric(struct sea_events *events, const char *name, int64_t step, double value)
{
    if (!events)
        return;
    if (!is_json(events)) {
        snprintf(events->metric, sizeof(events->metric), "%.40s %.4g", name, value);
        return;
    }
    begin(events, "metric");
    add_text(events, "name", name);
    add_int(events, "step", step);
    if (isfinite(value))
        sea_buf_addf(&events->line, ",\"value\":%.9g", value);
    else
        sea_buf_puts(&events->line, ",\"value\":null");
    end(events);
}

void
sea_events_log(struct sea_events *events, const char *level, const char *fmt, ...)
{
    char text[2048];
    va_list args;

    if (!events)
        return;
    va_start(args, fmt);
    vsnprintf(text, sizeof(text), fmt, args);
    va_end(args);
    if (!is_json(events)) {
        clear_bar(events);
        fprintf(stderr, "%s%s\n", strcmp(level, "info") == 0 ? "" : "warning: ", text);
        return;
    }
    begin(events, "log");
    add_text(events, "level", level);
    add_text(events, "text", text);
    end(events);
}

void
sea_events_artifact(struct sea_events *events, const char *path)
{
    if (!events)
        return;
    if (!is_json(events)) {
        clear_bar(events);
        fprintf(stderr, "wrote %s\n", path);
        return;
    }
    begin(events, "artifact");
    add_text(events, "path", path);
    end(events);
}

void
sea_events_checkpoint(struct sea_events *events, const char *path, int64_t step)
{
    if (!events)
        return;
    if (!is_json(events)) {
        clear_bar(events);
        fprintf(stderr, "checkpoint at step %lld: %s\n", (long long)step, path);
        return;
    }
    begin(events, "checkpoint");
    add_text(events, "path", path);
    add_int(events, "step", step);
    end(events);
}

void
sea_events_error(struct sea_events *events, const struct sea_err *failed)
{
    if (!events)
        return;
    if (!is_json(events)) {
        clear_bar(events);
        return;
    }
    begin(events, "error");
    add_text(events, "status", sea_status_name(failed->status));
    add_text(events, "message", failed->message);
    add_text(events, "hint", failed->hint);
    add_text(events, "context", failed->context);
    add_text(events, "cause", failed->cause);
    end(events);
}

enum sea_status
sea_events_check(const struct sea_events *events, struct sea_err *err)
{
    if (events && events->failed.status && !err->status)
        *err = events->failed;
    return events ? events->failed.status : SEA_OK;
}
