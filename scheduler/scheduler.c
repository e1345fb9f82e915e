/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_scheduler.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "pipeline/sea_digest_memo.h"
#include "scheduler/sea_collector.h"
#include "scheduler/sea_migrate.h"

#define MAINTAIN_MS 60000
#define COLLECT_MS 600000
#define LOOK_SHARE 20           /* looking for ended leases takes one part of so many, */
#define LOOK_MS 1000            /* but is put off no longer than this */
#define SETTLE_MS 3000          /* workers tell first what they have after an outage, */
                                /* but no longer than it took: no rescues meanwhile */
#define TELL_MS 10000          /* between two log lines about the same trouble */

/* ---- keys ---- */

struct waiting {
    int64_t id;
    const char *stage, *key;    /* key: known already, or NULL */
    const char *config;
    struct sea_stage_input inputs[SEA_STAGE_INPUTS_MAX];
    size_t inputs_count;
};

/* Collects the rows of one waiting stage run, from row *at on. */
static enum sea_status
read_waiting(const struct sea_rows *rows, size_t *at, struct waiting *out, struct sea_err *err)
{
    *out = (struct waiting){ .id = sea_rows_int(rows, *at, "id", err) };
    out->stage = sea_rows_text(rows, *at, "stage", err);
    out->key = sea_rows_text_or(rows, *at, "key", NULL, err);
    out->config = sea_rows_text(rows, *at, "config", err);
    for (; !err->status && *at < sea_rows_count(rows) &&
           sea_rows_int(rows, *at, "id", err) == out->id; ++*at) {
        const char *parent = sea_rows_text_or(rows, *at, "parent", NULL, err);

        if (!parent)
            continue;
        if (out->inputs_count == SEA_STAGE_INPUTS_MAX)
            return sea_fail(err, SEA_E_INTERNAL, "stage run %lld has more than %d parents",
                            (long long)out->id, SEA_STAGE_INPUTS_MAX);
        out->inputs[out->inputs_count++] = (struct sea_stage_input){
            .key = parent, .digest = sea_rows_text(rows, *at, "digest", err) };
    }
    return err->status;
}

/* How keys are worked out. */
struct keys {
    sea_key_fn *fn;                     /* NULL: sea_stage_key_memo, with ... */
    struct sea_digest_memo *memo;       /* what earlier ticks have read; NULL: nothing */
};

static enum sea_status
compute_key(const struct waiting *one, const struct keys *keys, char key[SEA_SHA256_TEXT],
            struct sea_err *err)
{
    struct sea_arena *arena;
    struct sea_node *config = NULL;
    enum sea_status status;

    if (one->key) {
        snprintf(key, SEA_SHA256_TEXT, "%s", one->key);
        return SEA_OK;
    }
    arena = sea_arena_create(NULL, "key");
    status = sea_json_parse(one->config, strlen(one->config), "config", arena, &config, err);
    if (!status && keys->fn)
        status = keys->fn(one->stage, config, one->inputs, one->inputs_count, key, err);
    else if (!status)
        status = sea_stage_key_memo(one->stage, config, one->inputs, one->inputs_count,
                                    keys->memo, key, err);
    sea_arena_destroy(arena);
    return status;
}

/* later keeps the first key that could not be computed now: the others do not wait for it, and
 * the next tick tries again. */
static enum sea_status
resolve_one(struct sea_db *db, const struct waiting *one, const struct keys *keys,
            struct sea_scheduler_counts *out, struct sea_err *later, struct sea_err *err)
{
    char key[SEA_SHA256_TEXT], reason[1100];
    struct sea_err mine = { 0 };
    struct sea_rows *rows = NULL;
    const char *state;
    enum sea_status status;

    status = compute_key(one, keys, key, &mine);
    if (status && sea_status_retry(status) == SEA_RETRY_NEVER) {
        /* No attempt can succeed: what the stage reads is not there or is not understood. */
        snprintf(reason, sizeof(reason), "%s%s%s", mine.message, mine.hint[0] ? " Hint: " : "",
                 mine.hint);
        out->failed++;
        return sea_db_query(db, "resolve_failed", SEA_PARAMS(SEA_P_INT(one->id),
                                                             SEA_P_TEXT(reason)), NULL, err);
    }
    if (status) {
        sea_context(&mine, "while computing the key of stage run %lld", (long long)one->id);
        if (!later->status)
            *later = mine;
        /* Tried again after a pause: hashing what is not there yet costs as much each time. */
        return sea_db_query(db, "resolve_later", SEA_PARAMS(SEA_P_INT(one->id),
                                                            SEA_P_TEXT(mine.message)), NULL, err);
    }
    status = sea_db_query_one(db, "resolve", SEA_PARAMS(SEA_P_INT(one->id), SEA_P_TEXT(key)), &rows,
                              err);
    if (status)
        return status;
    state = sea_rows_text(rows, 0, "state", err);
    out->cached += strcmp(state, "cached") == 0;
    out->readied += strcmp(state, "ready") == 0;
    sea_rows_close(rows);
    return err->status;
}

static enum sea_status
resolve_all(struct sea_db *db, const struct keys *keys, struct sea_scheduler_counts *out,
            struct sea_err *later, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    struct waiting one;
    enum sea_status status;
    size_t at = 0;

    status = sea_db_query(db, "waiting", SEA_NO_PARAMS, &rows, err);
    while (!status && at < sea_rows_count(rows)) {
        status = read_waiting(rows, &at, &one, err);
        if (!status)
            status = resolve_one(db, &one, keys, out, later, err);
    }
    sea_rows_close(rows);
    return status;
}

/* ---- ticks ---- */

/* One look finds them, then each has a transaction of its own. */
static enum sea_status
rescue_all(struct sea_db *db, struct sea_scheduler_counts *out, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query(db, "expired", SEA_NO_PARAMS, &rows, err);
    size_t i;

    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        struct sea_rows *one = NULL;
        int64_t id = sea_rows_int(rows, i, "stage_id", err);

        status = err->status;
        if (!status)
            status = sea_db_query_one(db, "rescue", SEA_PARAMS(SEA_P_INT(id)), &one, err);
        if (!status && sea_rows_int_or(one, 0, "stage_id", 0, err)) {
            out->rescued++;
            sea_log(SEA_LOG_WARN, "stage run taken back id=%lld", (long long)id);
        }
        sea_rows_close(one);
        if (!status)
            status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* Stage runs that wait beyond their deadline, one per transaction. */
static enum sea_status
expire_all(struct sea_db *db, struct sea_scheduler_counts *out, struct sea_err *err)
{
    enum sea_status status;
    int64_t id = 1;

    do {
        struct sea_rows *rows = NULL;

        status = sea_db_query_one(db, "expire", SEA_NO_PARAMS, &rows, err);
        if (status)
            return status;
        id = sea_rows_int_or(rows, 0, "stage_id", 0, err);
        if (id && strcmp(sea_rows_text(rows, 0, "result", err), "timed out") == 0) {
            out->timed_out++;
            sea_log(SEA_LOG_WARN, "stage run timed out id=%lld", (long long)id);
        }
        sea_rows_close(rows);
    } while (id && !err->status);
    return err->status;
}

/* Trials that are not among the best of their study, one per transaction. */
static enum sea_status
halve_all(struct sea_db *db, struct sea_scheduler_counts *out, struct sea_err *err)
{
    enum sea_status status;
    int64_t id = 1;

    do {
        struct sea_rows *rows = NULL;

        status = sea_db_query_one(db, "halve", SEA_NO_PARAMS, &rows, err);
        if (status)
            return status;
        id = sea_rows_int_or(rows, 0, "experiment_id", 0, err);
        sea_rows_close(rows);
        if (id) {
            out->stopped++;
            sea_log(SEA_LOG_INFO, "experiment stopped early id=%lld", (long long)id);
        }
    } while (id && !err->status);
    return err->status;
}

/* What must not wait: leases that ended, pauses and deadlines that are over. *look_ms: when leases
 * are looked at next. Looking reads all of them, so it takes a share of the time at most, and is
 * never put off for longer than LOOK_MS: a worker's death is known within its TTL and that. */
static enum sea_status
tick_leases(struct sea_db *db, int64_t *look_ms, struct sea_scheduler_counts *out,
            struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    int64_t start = sea_clock_ms(), pause;
    enum sea_status status = SEA_OK;

    if (start >= *look_ms) {
        status = rescue_all(db, out, err);
        pause = LOOK_SHARE * (sea_clock_ms() - start);
        *look_ms = sea_clock_ms() + (pause < LOOK_MS ? pause : LOOK_MS);
    }
    if (!status)
        status = expire_all(db, out, err);
    if (!status)
        status = sea_db_query_one(db, "wake", SEA_NO_PARAMS, &rows, err);
    if (!status) {
        out->woken = (size_t)sea_rows_int(rows, 0, "woken", err);
        status = err->status;
    }
    sea_rows_close(rows);
    if (!status)
        status = sea_db_query(db, "sweep", SEA_NO_PARAMS, NULL, err);
    if (!status && out->woken)
        status = sea_db_query(db, "notify_ready", SEA_NO_PARAMS, NULL, err);
    return status;
}

/* What may take long: keys are hashes of data. */
static enum sea_status
tick_keys(struct sea_db *db, const struct keys *keys, struct sea_scheduler_counts *out,
          struct sea_err *later, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t moved;

    /* A cached stage run lets its children wait: they are looked at in the same tick. */
    do {
        moved = out->cached;
        status = resolve_all(db, keys, out, later, err);
    } while (!status && out->cached > moved);
    if (!status && out->readied)
        status = sea_db_query(db, "notify_ready", SEA_NO_PARAMS, NULL, err);
    /* Here and not beside the rescues: judging a night compares many answers. */
    if (!status)
        status = sea_db_query(db, "fire_schedules", SEA_NO_PARAMS, NULL, err);
    return status ? status : halve_all(db, out, err);
}

enum sea_status
sea_scheduler_tick(struct sea_db *db, const struct sea_scheduler_options *options,
                   struct sea_scheduler_counts *out, struct sea_err *err)
{
    struct sea_err later = { 0 };
    enum sea_status status;
    int64_t look_ms = 0;

    *out = (struct sea_scheduler_counts){ 0 };
    status = tick_leases(db, &look_ms, out, err);
    if (!status)
        status = tick_keys(db, &(struct keys){ .fn = options->key, .memo = options->memo }, out,
                           &later, err);
    if (later.status)
        sea_log_err(SEA_LOG_WARN, &later);
    return status;
}

static enum sea_status
collect(struct sea_db *db, const char *data, struct sea_err *err)
{
    const struct sea_collector_options options = SEA_COLLECTOR_DEFAULTS;
    struct sea_collector_counts counts;
    struct sea_store store;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, data, "store", err);

    if (!status)
        status = sea_store_open(&store, path, err);
    if (!status)
        status = sea_collector_run(db, &store, &options, &counts, err);
    if (!status && (counts.blobs || counts.leftovers))
        sea_log(SEA_LOG_INFO, "collected blobs=%lld bytes=%lld leftovers=%lld",
                (long long)counts.blobs, (long long)counts.bytes, (long long)counts.leftovers);
    return status;
}

/* ---- the loop: three threads, each with its connection, so that neither a long hash of data
 * nor a walk through the store holds up a rescue ---- */

enum duty { LEASES, KEYS, STORE };

struct loop {
    const struct sea_scheduler_options *options;
    struct sea_db *db;
    enum duty duty;
    struct keys keys;           /* KEYS: for the whole life of the process */
    int64_t look_ms;            /* LEASES: when leases are looked at next */
    int64_t heard_ms;           /* when the database answered last */
    const atomic_bool *done;    /* tells the threads besides the caller's to end; else NULL */
    pthread_t thread;
    bool started;
};

static bool
is_stopped(const struct loop *loop)
{
    return loop->done ? *loop->done : loop->options->stop && *loop->options->stop;
}

/* The database is back. Leases have run out meanwhile whose workers are alive, and wait to commit
 * or to give back: each needs a moment to connect again. */
static void
settle(struct loop *loop)
{
    int64_t now = sea_clock_ms(), away = loop->heard_ms ? now - loop->heard_ms : 0;

    loop->look_ms = now + (away < SETTLE_MS ? away : SETTLE_MS);
    if (loop->duty == LEASES)
        sea_log(SEA_LOG_INFO, "connected again away_ms=%lld", (long long)away);
}

/* What is due now; *at_ms is when upkeep or collection was done last. */
static enum sea_status
loop_once(struct loop *loop, int64_t *at_ms, struct sea_err *err)
{
    int64_t collect_ms = loop->options->collect_ms ? loop->options->collect_ms : COLLECT_MS;
    struct sea_scheduler_counts counts = { 0 };
    struct sea_err later = { 0 };
    int64_t now = sea_clock_ms();
    enum sea_status status = SEA_OK;

    if (sea_db_is_lost(loop->db)) {
        status = sea_db_reconnect(loop->db, err);
        if (!status)
            settle(loop);
    }
    if (status)
        return status;
    switch (loop->duty) {
    case KEYS:
        status = tick_keys(loop->db, &loop->keys, &counts, &later, err);
        if (!status && later.status) {
            *err = later;       /* told now and then, not at every tick */
            status = later.status;
        }
        return status;
    case STORE:
        if (now - *at_ms < collect_ms)
            return SEA_OK;
        *at_ms = now;
        return collect(loop->db, loop->options->data, err);
    default:
        if (now - *at_ms >= MAINTAIN_MS) {
            status = sea_db_query(loop->db, "maintain", SEA_NO_PARAMS, NULL, err);
            *at_ms = now;
        }
        return status ? status : tick_leases(loop->db, &loop->look_ms, &counts, err);
    }
}

static void
loop_run(struct loop *loop)
{
    int64_t tick_ms = loop->options->tick_ms ? loop->options->tick_ms : 250;
    int64_t at_ms = loop->duty == STORE ? sea_clock_ms() : -MAINTAIN_MS, told_ms = -TELL_MS;

    while (!is_stopped(loop)) {
        struct sea_err err = { 0 };
        enum sea_status status = loop_once(loop, &at_ms, &err);
        int64_t now = sea_clock_ms();

        if (!status)
            loop->heard_ms = now;
        if (status && now - told_ms >= TELL_MS) {
            sea_log_err(SEA_LOG_WARN, &err);
            told_ms = now;
        }
        sea_db_wait(loop->db, status ? 500 : tick_ms);
    }
}

static void *
loop_thread(void *arg)
{
    loop_run(arg);
    return NULL;
}

static enum sea_status
loop_open(struct loop *loop, struct sea_err *err)
{
    struct sea_db_options how = { .url = loop->options->url, .role = "sea scheduler" };
    struct sea_migration_state schema;
    enum sea_status status = sea_db_open(&how, &loop->db, err);

    if (!status)
        status = sea_migrate_check(loop->db, &schema, err);
    if (!status && loop->duty == KEYS)
        status = sea_db_listen(loop->db, "sea_submit", err);
    return status;
}

/* In a thread of its own. */
static enum sea_status
loop_start(struct loop *loop, struct sea_err *err)
{
    enum sea_status status = loop_open(loop, err);
    sigset_t all, before;
    int rc;

    if (status)
        return status;
    sigfillset(&all);           /* signals are for the caller's thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&loop->thread, NULL, loop_thread, loop);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        errno = rc;
        return sea_fail_errno(err, "could not start a thread of the scheduler");
    }
    loop->started = true;
    return SEA_OK;
}

enum sea_status
sea_scheduler_run(const struct sea_scheduler_options *options, struct sea_err *err)
{
    atomic_bool done = false;
    struct loop leases = { .options = options };
    struct sea_digest_memo *memo = options->key ? NULL : sea_digest_memo_create(0, 0);
    struct loop others[] = { { .options = options, .duty = KEYS, .done = &done,
                               .keys = { .fn = options->key, .memo = memo } },
                             { .options = options, .duty = STORE, .done = &done } };
    enum sea_status status = loop_open(&leases, err);
    size_t i;

    for (i = 0; i < 2 && !status; i++)
        if (others[i].duty != STORE || options->data)
            status = loop_start(&others[i], err);
    if (!status)
        loop_run(&leases);
    done = true;
    for (i = 0; i < 2; i++) {
        if (others[i].started)
            pthread_join(others[i].thread, NULL);
        sea_db_close(others[i].db);
    }
    sea_db_close(leases.db);
    sea_digest_memo_destroy(memo);
    return status;
}
