/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_relay.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "engine/base/sea_node.h"

#define LINE_BYTES_MAX ((size_t)1 << 20)
#define KEPT_BYTES_MAX ((size_t)16 << 20)       /* unsent; beyond it the child waits */
#define TEXT_BYTES_MAX ((size_t)4000)           /* of one log line */
#define FLUSH_MS 500
#define FLUSH_BYTES ((size_t)256 << 10)
#define RETRY_MS 500
#define LAST_BYTES_MAX ((size_t)256 << 10)      /* that a commit carries */

struct sea_relay {
    struct sea_relay_options options;
    struct sea_arena *arena;            /* reset after each line */
    struct sea_buf line;                /* begun, no end yet */
    bool skip;                          /* the line is too long: drop the rest of it */
    int64_t skipped;                    /* lines that were too long */
    struct sea_buf metrics, logs;       /* JSON elements with commas between, not sent */
    char progress[160];                 /* newest one, a JSON list; "" none */
    struct sea_buf batch;               /* sent without an answer; len 0: none */
    int64_t number;                     /* of batch */
    int64_t sent_ms, retry_ms;
    struct {                            /* newest checkpoint event, not recorded yet */
        bool is_due;
        char path[128];
        int64_t step;
    } checkpoint;
    struct sea_err error;
};

struct sea_relay *
sea_relay_create(const struct sea_relay_options *options)
{
    struct sea_relay *relay = sea_xcalloc(1, sizeof(*relay));

    relay->options = *options;
    relay->arena = sea_arena_create(NULL, "relay");
    relay->number = 1;
    sea_buf_init(&relay->line, LINE_BYTES_MAX);
    sea_buf_init(&relay->metrics, KEPT_BYTES_MAX * 2);
    sea_buf_init(&relay->logs, KEPT_BYTES_MAX * 2);
    sea_buf_init(&relay->batch, KEPT_BYTES_MAX * 5);
    return relay;
}

void
sea_relay_destroy(struct sea_relay *relay)
{
    if (!relay)
        return;
    sea_buf_release(&relay->line);
    sea_buf_release(&relay->metrics);
    sea_buf_release(&relay->logs);
    sea_buf_release(&relay->batch);
    sea_arena_destroy(relay->arena);
    free(relay);
}

const struct sea_err *
sea_relay_error(const struct sea_relay *relay)
{
    return &relay->error;
}

bool
sea_relay_is_full(const struct sea_relay *relay)
{
    return relay->metrics.len + relay->logs.len > KEPT_BYTES_MAX;
}

/* ---- lines ---- */

void
sea_relay_log(struct sea_relay *relay, const char *level, const char *text)
{
    size_t len = strlen(text);

    if (relay->logs.len > KEPT_BYTES_MAX)
        return;
    if (len > TEXT_BYTES_MAX)
        for (len = TEXT_BYTES_MAX; len && ((unsigned char)text[len] & 0xc0) == 0x80; len--)
            ;
    sea_buf_puts(&relay->logs, relay->logs.len ? ",[" : "[");
    sea_json_quote(&relay->logs, level, strlen(level));
    sea_buf_puts(&relay->logs, ",");
    sea_json_quote(&relay->logs, text, len);
    sea_buf_puts(&relay->logs, "]");
}

static void
take_metric(struct sea_relay *relay, const struct sea_node *event)
{
    const char *name = sea_node_text(sea_node_get(event, "name"), "");
    const struct sea_node *value = sea_node_get(event, "value");

    if (!*name || strlen(name) > 200)
        return;
    sea_buf_puts(&relay->metrics, relay->metrics.len ? ",[" : "[");
    sea_json_quote(&relay->metrics, name, strlen(name));
    sea_buf_addf(&relay->metrics, ",%lld,",
                 (long long)sea_node_int(sea_node_get(event, "step"), 0));
    if (value && (value->kind == SEA_NODE_REAL || value->kind == SEA_NODE_INT))
        sea_buf_addf(&relay->metrics, "%.17g]", value->real);
    else
        sea_buf_puts(&relay->metrics, "null]");
}

static void
take_error(struct sea_relay *relay, const struct sea_node *event)
{
    const char *name = sea_node_text(sea_node_get(event, "status"), "");
    enum sea_status status = SEA_E_INTERNAL;
    int i;

    for (i = SEA_E_CONFIG; i <= SEA_E_STOPPED; i++)
        if (strcmp(sea_status_name((enum sea_status)i), name) == 0)
            status = (enum sea_status)i;
    sea_err_clear(&relay->error);
    sea_fail(&relay->error, status, "%s", sea_node_text(sea_node_get(event, "message"), ""));
    sea_hint(&relay->error, "%s", sea_node_text(sea_node_get(event, "hint"), ""));
    sea_context(&relay->error, "%s", sea_node_text(sea_node_get(event, "context"), ""));
    sea_cause(&relay->error, "%s", sea_node_text(sea_node_get(event, "cause"), ""));
    sea_relay_log(relay, "error", relay->error.message);
}

static void
take_progress(struct sea_relay *relay, const struct sea_node *event)
{
    const char *unit = sea_node_text(sea_node_get(event, "unit"), "");
    struct sea_buf text;

    if (strlen(unit) > 32)
        return;
    sea_buf_init(&text, LINE_BYTES_MAX);
    sea_buf_addf(&text, "[%lld,%lld,", (long long)sea_node_int(sea_node_get(event, "done"), 0),
                 (long long)sea_node_int(sea_node_get(event, "total"), 0));
    sea_json_quote(&text, unit, strlen(unit));
    sea_buf_puts(&text, "]");
    if (text.len < sizeof(relay->progress))
        memcpy(relay->progress, text.data, text.len + 1);
    sea_buf_release(&text);
}

static void
take_line(struct sea_relay *relay)
{
    struct sea_err err = { 0 };
    struct sea_node *event = NULL;
    const char *type, *text;

    if (relay->line.len == 0)
        return;
    if (sea_json_parse(relay->line.data, relay->line.len, "event", relay->arena, &event, &err)) {
        sea_relay_log(relay, "warn", err.message);
    } else {
        type = sea_node_text(sea_node_get(event, "t"), "");
        text = sea_node_text(sea_node_get(event, "text"), "");
        if (strcmp(type, "metric") == 0)
            take_metric(relay, event);
        else if (strcmp(type, "progress") == 0)
            take_progress(relay, event);
        else if (strcmp(type, "log") == 0)
            sea_relay_log(relay, sea_node_text(sea_node_get(event, "level"), "info"), text);
        else if (strcmp(type, "error") == 0)
            take_error(relay, event);
        else if (strcmp(type, "checkpoint") == 0) {
            relay->checkpoint.is_due = true;
            relay->checkpoint.step = sea_node_int(sea_node_get(event, "step"), 0);
            snprintf(relay->checkpoint.path, sizeof(relay->checkpoint.path), "%s",
                     sea_node_text(sea_node_get(event, "path"), ""));
        }
    }
    sea_arena_reset(relay->arena);
}

/* Told once: a stage that writes such lines writes many of them. */
static void
skip_line(struct sea_relay *relay)
{
    char text[128];

    if (relay->skipped++)
        return;
    snprintf(text, sizeof(text), "event lines of more than %zu bytes are left out",
             LINE_BYTES_MAX);
    sea_log(SEA_LOG_WARN, "%s stage=%lld", text, (long long)relay->options.fence->stage_id);
    sea_relay_log(relay, "warn", text);
}

enum sea_status
sea_relay_read(struct sea_relay *relay, int fd, bool *closed, struct sea_err *err)
{
    char chunk[16384];
    ssize_t n;

    *closed = false;
    if (sea_relay_is_full(relay))
        sea_clock_sleep_ms(10);         /* the pipe stays readable: do not spin on it */
    while (!sea_relay_is_full(relay)) {
        const char *at = chunk, *end;

        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0 && errno == EAGAIN)
            return SEA_OK;
        if (n < 0)
            return sea_fail_errno(err, "could not read the stage's events");
        if (n == 0) {
            *closed = true;
            return SEA_OK;
        }
        while ((end = memchr(at, '\n', (size_t)(chunk + n - at)))) {
            if (!relay->skip && relay->line.len + (size_t)(end - at) < LINE_BYTES_MAX) {
                sea_buf_add(&relay->line, at, (size_t)(end - at));
                take_line(relay);
            } else if (!relay->skip) {
                skip_line(relay);
            }
            relay->skip = false;
            sea_buf_clear(&relay->line);
            at = end + 1;
        }
        if (relay->skip || relay->line.len + (size_t)(chunk + n - at) >= LINE_BYTES_MAX) {
            if (!relay->skip)
                skip_line(relay);
            relay->skip = true;
            sea_buf_clear(&relay->line);
        } else {
            sea_buf_add(&relay->line, at, (size_t)(chunk + n - at));
        }
    }
    return SEA_OK;
}

/* ---- sending ---- */

static bool
has_news(const struct sea_relay *relay)
{
    return relay->metrics.len || relay->logs.len || relay->progress[0];
}

static void
make_batch(struct sea_relay *relay)
{
    sea_buf_clear(&relay->batch);
    sea_buf_addf(&relay->batch, "{\"metrics\":[%s],\"logs\":[", relay->metrics.data
                 ? relay->metrics.data : "");
    if (relay->logs.len)
        sea_buf_add(&relay->batch, relay->logs.data, relay->logs.len);
    sea_buf_puts(&relay->batch, "]");
    if (relay->progress[0])
        sea_buf_addf(&relay->batch, ",\"progress\":%s", relay->progress);
    sea_buf_puts(&relay->batch, "}");
    sea_buf_clear(&relay->metrics);
    sea_buf_clear(&relay->logs);
    relay->progress[0] = 0;
}

/* One batch: the one without an answer, else a new one. */
static enum sea_status
send_batch(struct sea_relay *relay, struct sea_err *err)
{
    struct sea_err mine = { 0 };
    enum sea_status status;

    if (relay->batch.len == 0 && !has_news(relay))
        return SEA_OK;
    if (relay->batch.len == 0)
        make_batch(relay);
    status = sea_queue_relay(relay->options.db, relay->options.fence, relay->number,
                             relay->batch.data, &mine);
    if (status == SEA_E_INTERNAL) {
        /* A batch that the database refuses is told once and dropped: it must not stop the
         * training whose figures it carries, nor what comes after it. */
        sea_log_err(SEA_LOG_ERROR, &mine);
    } else if (status) {
        *err = mine;
        return status;
    }
    sea_buf_clear(&relay->batch);
    relay->number++;
    relay->sent_ms = sea_clock_ms();
    return SEA_OK;
}

/* A checkpoint that cannot be kept costs time after a crash and nothing else: the stage goes
 * on. Only a lost lease or connection comes out. */
static enum sea_status
send_checkpoint(struct sea_relay *relay, struct sea_err *err)
{
    const struct sea_fence *fence = relay->options.fence;
    struct sea_artifacts files;
    struct sea_err mine = { 0 };
    const char *replaced = "[]";
    enum sea_status status;
    char name[96];

    snprintf(name, sizeof(name), "%lld.%lld.%lld", (long long)fence->stage_id,
             (long long)fence->epoch, (long long)relay->checkpoint.step);
    status = sea_store_checkpoint_keep(relay->options.store, relay->options.out,
                                       relay->checkpoint.path, name, relay->arena, &files, &mine);
    /* Without files the stage has replaced it: the event of the next one is on its way. */
    if (!status && files.count) {
        status = sea_queue_checkpoint(relay->options.db, fence, relay->checkpoint.step, name,
                                      &files, relay->arena, &replaced, &mine);
        if (status == SEA_E_SERVICE || status == SEA_E_LEASE) {
            *err = mine;
            goto out;
        }
    }
    relay->checkpoint.is_due = false;
    if (status) {
        sea_log_err(SEA_LOG_WARN, &mine);
        sea_relay_log(relay, "warn", mine.message);
    } else {
        sea_store_checkpoints_drop(relay->options.store, replaced, relay->arena);
    }
    status = SEA_OK;
out:
    sea_arena_reset(relay->arena);
    return status;
}

enum sea_status
sea_relay_flush(struct sea_relay *relay, bool final, struct sea_err *err)
{
    int64_t now = sea_clock_ms();
    bool due = final || relay->checkpoint.is_due || relay->batch.len ||
               relay->metrics.len + relay->logs.len > FLUSH_BYTES ||
               (has_news(relay) && now - relay->sent_ms >= FLUSH_MS);
    struct sea_err mine = { 0 };
    enum sea_status status = SEA_OK;

    if (!due || (!final && now < relay->retry_ms))
        return SEA_OK;
    if (sea_db_is_lost(relay->options.db))
        status = sea_db_reconnect(relay->options.db, &mine);
    if (!status)
        status = send_batch(relay, &mine);
    /* An attempt that goes on from a checkpoint does not tell again what was told before it: all
     * that was read before the checkpoint arrives first, also what came while an earlier batch
     * was without an answer. */
    while (!status && (final || relay->checkpoint.is_due) && (relay->batch.len || has_news(relay)))
        status = send_batch(relay, &mine);
    if (!status && relay->checkpoint.is_due)
        status = send_checkpoint(relay, &mine);
    if (!status && final)               /* what the checkpoint itself gave rise to */
        status = send_batch(relay, &mine);
    if (status == SEA_E_SERVICE && !final) {
        relay->retry_ms = sea_clock_ms() + RETRY_MS;
        return SEA_OK;
    }
    if (status)
        *err = mine;
    return status;
}

enum sea_status
sea_relay_last(struct sea_relay *relay, int64_t *number, const char **payload,
               struct sea_err *err)
{
    struct sea_err mine = { 0 };
    enum sea_status status = SEA_OK;

    *number = 0;
    *payload = NULL;
    if (sea_db_is_lost(relay->options.db))
        status = sea_db_reconnect(relay->options.db, &mine);
    while (!status && (relay->batch.len || relay->metrics.len + relay->logs.len > LAST_BYTES_MAX))
        status = send_batch(relay, &mine);
    if (status) {
        *err = mine;
        return status;
    }
    /* Progress alone goes with the lease. */
    if (!relay->metrics.len && !relay->logs.len)
        return SEA_OK;
    make_batch(relay);
    *number = relay->number;
    *payload = relay->batch.data;
    return SEA_OK;
}
