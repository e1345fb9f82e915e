/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_follow.h"

#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"

#define LOOK_MS 500
#define LINE_MS 10000           /* in a pipe: a running stage is mentioned this often */
#define IDS_BYTES_MAX ((size_t)1 << 20)

struct seen {                   /* of one stage run, between two looks */
    int64_t id;
    char state[16];
    int64_t total;              /* another one: the stage has begun a new phase */
    int64_t first_done, first_ms, told_ms;
};

struct follow {
    struct seen *list;
    size_t count, room;
    bool terminal;
    size_t drawn;               /* lines of the block on the terminal */
    FILE *to;
};

static struct seen *
seen_stage(struct follow *follow, int64_t id)
{
    size_t i;

    for (i = 0; i < follow->count; i++)
        if (follow->list[i].id == id)
            return &follow->list[i];
    if (follow->count == follow->room) {
        follow->room = follow->room ? 2 * follow->room : 16;
        follow->list = sea_xrealloc(follow->list, follow->room, sizeof(*follow->list));
    }
    follow->list[follow->count] = (struct seen){ .id = id, .first_done = -1 };
    return &follow->list[follow->count++];
}

static void
describe_rate(const struct seen *seen, int64_t done, int64_t total, char *out, size_t room)
{
    double seconds = (double)(sea_clock_ms() - seen->first_ms) / 1000;
    double rate = seconds > 0 ? (double)(done - seen->first_done) / seconds : 0;

    out[0] = 0;
    if (rate > 0 && total > done)
        snprintf(out, room, "  %.1f/s, %.0f s left", rate, (double)(total - done) / rate);
    else if (rate > 0)
        snprintf(out, room, "  %.1f/s", rate);
}

static void
bar(FILE *to, int64_t done, int64_t total)
{
    int i, full = total > 0 ? (int)(24 * done / total) : 0;

    for (i = 0; i < 24; i++)
        fputs(i < full ? "█" : "░", to);
}

static void
show_row(struct follow *follow, const struct sea_rows *rows, size_t row, struct sea_err *err)
{
    const char *name = sea_rows_text(rows, row, "name", err);
    const char *stage = sea_rows_text(rows, row, "stage", err);
    const char *state = sea_rows_text(rows, row, "state", err);
    const char *reason = sea_rows_text_or(rows, row, "reason", "", err);
    int64_t id = sea_rows_int(rows, row, "experiment_id", err);
    int64_t done = sea_rows_int_or(rows, row, "done", 0, err);
    int64_t total = sea_rows_int_or(rows, row, "total", 0, err);
    const char *unit = sea_rows_text_or(rows, row, "unit", "", err);
    struct seen *seen = seen_stage(follow, sea_rows_int(rows, row, "stage_id", err));
    bool changed = strcmp(seen->state, state) != 0, running = strcmp(state, "running") == 0;
    char rate[64] = "";

    if (changed || seen->first_done < 0 || done < seen->first_done || total != seen->total) {
        seen->total = total;
        seen->first_done = done;
        seen->first_ms = sea_clock_ms();
    }
    if (running)
        describe_rate(seen, done, total, rate, sizeof(rate));
    if (changed) {
        snprintf(seen->state, sizeof(seen->state), "%s", state);
        if (strcmp(state, "blocked") != 0 && strcmp(state, "waiting") != 0)
            fprintf(follow->to, "[%lld %s] %s: %s%s%s\n", (long long)id, name, stage, state,
                    reason[0] ? ": " : "", reason);
        seen->told_ms = sea_clock_ms();
    } else if (!follow->terminal && running && sea_clock_ms() - seen->told_ms >= LINE_MS) {
        fprintf(follow->to, "[%lld %s] %s: %lld of %lld %s%s\n", (long long)id, name, stage,
                (long long)done, (long long)total, unit, rate);
        seen->told_ms = sea_clock_ms();
    }
}

/* The block of running stages, below the lines about changes. */
static void
draw_block(struct follow *follow, const struct sea_rows *rows, struct sea_err *err)
{
    size_t row;

    for (row = 0; row < sea_rows_count(rows); row++) {
        int64_t done = sea_rows_int_or(rows, row, "done", 0, err);
        int64_t total = sea_rows_int_or(rows, row, "total", 0, err);
        char rate[64];

        if (strcmp(sea_rows_text(rows, row, "state", err), "running") != 0)
            continue;
        describe_rate(seen_stage(follow, sea_rows_int(rows, row, "stage_id", err)), done, total,
                      rate, sizeof(rate));
        fprintf(follow->to, "\033[2K  %4lld %-10s ",
                (long long)sea_rows_int(rows, row, "experiment_id", err),
                sea_rows_text(rows, row, "stage", err));
        bar(follow->to, done, total);
        fprintf(follow->to, " %lld/%lld %s%s\n", (long long)done, (long long)total,
                sea_rows_text_or(rows, row, "unit", "", err), rate);
        follow->drawn++;
    }
    fflush(follow->to);
}

static void
count_ends(const struct sea_rows *rows, struct sea_follow_result *out, size_t *open,
           struct sea_err *err)
{
    size_t row;
    int64_t last = 0;

    *out = (struct sea_follow_result){ 0 };
    *open = 0;
    for (row = 0; row < sea_rows_count(rows); row++) {
        int64_t id = sea_rows_int(rows, row, "experiment_id", err);
        const char *state = sea_rows_text(rows, row, "experiment_state", err);

        out->stages++;
        out->cached += strcmp(sea_rows_text(rows, row, "state", err), "cached") == 0;
        if (id == last)
            continue;
        last = id;
        out->succeeded += strcmp(state, "succeeded") == 0;
        out->failed += strcmp(state, "failed") == 0;
        out->cancelled += strcmp(state, "cancelled") == 0;
        *open += strcmp(state, "queued") == 0 || strcmp(state, "running") == 0
                 || strcmp(state, "cancelling") == 0;
    }
}

/* The rows of all stages, waiting for a database that went away. */
static enum sea_status
look(struct sea_db *db, const char *ids, int64_t wait_ms, struct sea_rows **rows,
     struct sea_err *err)
{
    int64_t deadline = sea_clock_ms() + wait_ms;

    for (;;) {
        enum sea_status status = sea_db_query(db, "cli_follow", SEA_PARAMS(SEA_P_TEXT(ids)),
                                              rows, err);

        if (status != SEA_E_SERVICE || sea_clock_ms() >= deadline)
            return status;
        sea_err_clear(err);
        sea_clock_sleep_ms(LOOK_MS);
        if (sea_db_is_lost(db) && sea_db_reconnect(db, err))
            sea_err_clear(err);
    }
}

/* "{1,2,3}" */
static void
add_ids(struct sea_buf *list, const int64_t *ids, size_t count)
{
    size_t i;

    sea_buf_puts(list, "{");
    for (i = 0; i < count; i++)
        sea_buf_addf(list, "%s%lld", i ? "," : "", (long long)ids[i]);
    sea_buf_puts(list, "}");
}

enum sea_status
sea_follow(struct sea_db *db, const int64_t *ids, size_t count, int64_t wait_ms,
           const volatile sig_atomic_t *stop, FILE *to, struct sea_follow_result *out,
           struct sea_err *err)
{
    struct follow follow = { .to = to, .terminal = isatty(fileno(to)) == 1 };
    enum sea_status status = SEA_OK;
    struct sea_buf list;
    size_t i, open = 1;

    *out = (struct sea_follow_result){ 0 };
    sea_buf_init(&list, IDS_BYTES_MAX);
    add_ids(&list, ids, count);
    while (open && !status) {
        struct sea_rows *rows = NULL;

        status = look(db, list.data, wait_ms, &rows, err);
        if (status)
            break;
        if (follow.terminal && follow.drawn)
            fprintf(to, "\033[%zuA\033[J", follow.drawn);
        follow.drawn = 0;
        for (i = 0; i < sea_rows_count(rows); i++)
            show_row(&follow, rows, i, err);
        if (follow.terminal)
            draw_block(&follow, rows, err);
        fflush(to);
        count_ends(rows, out, &open, err);
        sea_rows_close(rows);
        status = err->status;
        if (!status && stop && *stop)
            status = sea_fail(err, SEA_E_STOPPED, "stopped watching; the experiments go on");
        if (open && !status)
            sea_clock_sleep_ms(LOOK_MS);
    }
    sea_buf_release(&list);
    free(follow.list);
    return status;
}

/* A stage that never ran, because its key could not be computed, lacks an input. */
static enum sea_status
fail_as_stage(const struct sea_rows *rows, const struct sea_follow_result *result,
              struct sea_err *err)
{
    int64_t code = sea_rows_int_or(rows, 0, "exit_status", sea_status_exit(SEA_E_MISSING), err);
    const char *stage = sea_rows_text(rows, 0, "stage", err);
    const char *reason = sea_rows_text_or(rows, 0, "reason", "", err);
    const char *hint = sea_rows_text_or(rows, 0, "hint", "", err);
    int64_t id = sea_rows_int(rows, 0, "experiment_id", err);

    if (err->status)
        return err->status;
    sea_fail(err, sea_status_from_exit((int)code), "%zu experiment%s failed; %s of %lld: %s",
             result->failed, result->failed == 1 ? "" : "s", stage, (long long)id, reason);
    if (*hint)
        sea_hint(err, "%s", hint);
    sea_hint(err, "`sea logs %lld` tells more; `sea retry %lld` submits it again as a new "
             "experiment, in which finished stages come from the cache.", (long long)id,
             (long long)id);
    return err->status;
}

enum sea_status
sea_follow_failure(struct sea_db *db, const int64_t *ids, size_t count,
                   const struct sea_follow_result *result, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    struct sea_buf list;
    enum sea_status status;

    if (result->failed == 0 && result->cancelled == 0)
        return SEA_OK;
    if (result->failed == 0) {
        status = sea_fail(err, SEA_E_STOPPED, "%zu experiment%s cancelled", result->cancelled,
                          result->cancelled == 1 ? " was" : "s were");
        sea_hint(err, "`sea retry ID` submits it again as a new experiment.");
        return status;
    }
    sea_buf_init(&list, IDS_BYTES_MAX);
    add_ids(&list, ids, count);
    status = sea_db_query(db, "cli_failure", SEA_PARAMS(SEA_P_TEXT(list.data)), &rows, err);
    if (!status && sea_rows_count(rows))
        status = fail_as_stage(rows, result, err);
    else if (!status)
        status = sea_fail(err, SEA_E_INTERNAL, "%zu experiment%s failed", result->failed,
                          result->failed == 1 ? "" : "s");
    sea_rows_close(rows);
    sea_buf_release(&list);
    return status;
}
