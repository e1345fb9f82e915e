/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_worker.h"

#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_attempt.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_migrate.h"
#include "scheduler/sea_queue.h"
#include "scheduler/sea_store.h"

#define ROOM_BYTES 67108864.0   /* less than this, or than a hundredth of the disk, is full */

struct worker {
    struct sea_worker_options options;  /* every default filled in */
    struct sea_db *db;
    struct sea_store store;
    char tmp[SEA_PATH_MAX];
    int64_t id;
    int64_t beat_ms;            /* when it was heard last */
    enum sea_drain drain;       /* an operator wants it to leave */
    struct sea_claimant who;    /* secret not "": a claim has no answer yet ... */
    int64_t sent_ms;            /* ... since then */
    bool has_told;              /* the database, that there is no room */
};

struct turn {                   /* one attempt */
    struct sea_arena *arena;
    struct sea_claim claim;
    int64_t claimed_ms;
};

static bool
is_stopped(const struct worker *worker)
{
    return worker->drain || (worker->options.stop && *worker->options.stop);
}

static bool
has_gpus(const struct worker *worker)
{
    return worker->options.gpus && worker->options.gpus->count;
}

static enum sea_status
open_folders(struct worker *worker, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, worker->options.data, "store", err);

    if (!status)
        status = sea_store_open(&worker->store, path, err);
    if (!status)
        status = sea_path_join(worker->tmp, worker->options.data, "tmp", err);
    return status ? status : sea_dir_create(worker->tmp, err);
}

static enum sea_status
enter(struct worker *worker, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "registration");
    const char *gpus = has_gpus(worker) ? sea_gpus_array(worker->options.gpus, arena) : "{}";
    char host[256] = "unknown";
    enum sea_status status;

    (void)gethostname(host, sizeof(host) - 1);
    status = sea_queue_register_gpus(worker->db, host, getpid(),
                                     worker->options.device ? worker->options.device : "auto",
                                     worker->options.queue, worker->options.ttl_ms, gpus,
                                     &worker->id, err);
    worker->beat_ms = sea_clock_ms();
    worker->has_told = false;
    if (!status)
        sea_log(SEA_LOG_INFO, "worker registered id=%lld gpus=%s", (long long)worker->id, gpus);
    sea_arena_destroy(arena);
    return status;
}

/* Says that it lives, now and then; registers again where it was given up. */
static enum sea_status
beat(struct worker *worker, struct sea_err *err)
{
    int64_t now = sea_clock_ms();
    enum sea_status status;

    if (now - worker->beat_ms < worker->options.ttl_ms / 3)
        return SEA_OK;
    status = sea_queue_worker_beat(worker->db, worker->id, &worker->drain, err);
    worker->beat_ms = now;
    if (worker->drain)
        sea_log(SEA_LOG_INFO, "worker drains id=%lld", (long long)worker->id);
    if (status == SEA_E_LEASE) {
        sea_err_clear(err);
        status = enter(worker, err);
    }
    return status;
}

/* The rest of a claim. */
static enum sea_status
fetch(struct worker *worker, struct turn *turn, struct sea_err *err)
{
    enum sea_status status = sea_queue_claim_files(worker->db, turn->arena, &turn->claim, err);

    if (!status && has_gpus(worker))
        status = sea_queue_claim_gpus(worker->db, turn->arena, &turn->claim, err);
    return status;
}

/* Claims. One whose answer was lost may have happened: the secret finds its lease, which would
 * otherwise stand until its end. */
static enum sea_status
take(struct worker *worker, struct turn *turn, bool *claimed, struct sea_err *err)
{
    struct sea_claimant *who = &worker->who;
    enum sea_status status = SEA_OK;

    *claimed = false;
    if (who->secret[0])
        status = sea_queue_claimed(worker->db, who, turn->arena, &turn->claim, claimed, err);
    if (!status && !*claimed) {
        who->worker_id = worker->id;
        who->queue = worker->options.queue;
        who->ttl_ms = worker->options.ttl_ms;
        sea_queue_secret(who->secret);
        worker->sent_ms = sea_clock_ms();
        status = sea_queue_claim_bare(worker->db, who, turn->arena, &turn->claim, claimed, err);
    }
    turn->claimed_ms = worker->sent_ms;
    if (!status && *claimed)
        status = fetch(worker, turn, err);
    if (status != SEA_E_SERVICE)
        who->secret[0] = 0;
    *claimed = *claimed && !status;
    return status;
}

/* What a commit claimed is worked next, unless the worker is to leave. False: it is not, and
 * another one takes it. */
static bool
go_on(struct worker *worker, struct turn *turn)
{
    int64_t until = turn->claimed_ms + worker->options.ttl_ms / 2;
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = sea_db_is_lost(worker->db) ? sea_db_reconnect(worker->db, &mine) : SEA_OK;
        if (!status && is_stopped(worker))
            status = sea_queue_release(worker->db, &turn->claim.fence, "the worker was stopped", 0,
                                       &mine);
        else if (!status)
            status = fetch(worker, turn, &mine);
        if (!status)
            return !is_stopped(worker);
        if (status != SEA_E_SERVICE || sea_clock_ms() > until) {
            sea_log_err(SEA_LOG_WARN, &mine);   /* the lease runs out */
            return false;
        }
        sea_clock_sleep_ms(50);
    }
}

/* Sees one attempt through. True: its commit claimed the next one, which is in turn now. */
static bool
work_turn(struct worker *worker, struct turn *turn)
{
    struct sea_attempt_next next = { .who = { .worker_id = worker->id,
                                              .queue = worker->options.queue,
                                              .ttl_ms = worker->options.ttl_ms } };

    sea_queue_secret(next.who.secret);
    next.arena = sea_arena_create(NULL, "attempt");
    sea_attempt_run(&(struct sea_attempt_options){
        .worker = &worker->options, .db = worker->db, .store = &worker->store,
        .tmp = worker->tmp, .arena = turn->arena, .claim = &turn->claim,
        .worker_id = worker->id, .claimed_ms = turn->claimed_ms,
        .next = worker->options.once ? NULL : &next });
    sea_arena_destroy(turn->arena);
    *turn = (struct turn){ .arena = next.arena, .claim = next.claim,
                           .claimed_ms = next.claimed_ms };
    return next.claimed && go_on(worker, turn);
}

/* Claims and works stage runs, one after the other. *worked: there was one. */
static enum sea_status
work_once(struct worker *worker, bool *worked, struct sea_err *err)
{
    struct turn turn = { .arena = sea_arena_create(NULL, "attempt") };
    enum sea_status status = take(worker, &turn, worked, err);

    if (!status && *worked) {
        while (work_turn(worker, &turn))
            ;
        worker->beat_ms = 0;
    }
    sea_arena_destroy(turn.arena);
    return status;
}

/* Bytes that the disk of a folder has left, and how many it must have. */
static enum sea_status
look_at_disk(const char *folder, double *room, double *need, struct sea_err *err)
{
    struct statvfs fs;

    if (statvfs(folder, &fs))
        return sea_fail_errno(err, "could not look at the disk of \"%s\"", folder);
    *room = (double)fs.f_bavail * (double)fs.f_frsize;
    *need = (double)fs.f_blocks * (double)fs.f_frsize / 100;
    if (*need > ROOM_BYTES)
        *need = ROOM_BYTES;
    return SEA_OK;
}

/* Where no stage could keep its output none is claimed: each try would be one of its losses.
 * The database is told when that begins and when it ends. */
static enum sea_status
check_room(struct worker *worker, struct sea_err *err)
{
    const char *folders[] = { worker->tmp, worker->store.root };
    char words[160] = "";
    size_t i;

    for (i = 0; i < 2 && !words[0]; i++) {
        double room = 0, need = 0;
        enum sea_status status = look_at_disk(folders[i], &room, &need, err);

        if (status)
            return status;
        if (room < need)
            snprintf(words, sizeof(words), "the disk of its %s has %.1f MiB left, need %.1f",
                     i ? "store" : "scratch folder", room / 1048576, need / 1048576);
    }
    if (worker->has_told != (words[0] != 0)) {
        enum sea_status status = sea_queue_worker_trouble(worker->db, worker->id,
                                                          words[0] ? words : NULL, err);

        if (status)
            return status;
        worker->has_told = words[0] != 0;
    }
    if (!words[0])
        return SEA_OK;
    sea_fail(err, SEA_E_IO, "no stage is claimed: %s (\"%s\")", words, folders[i - 1]);
    sea_hint(err, "Free space there; `sea gc --dry-run` tells what the store need not keep.");
    return SEA_E_IO;
}

/* One round: a sign of life, a claim. */
static enum sea_status
round_once(struct worker *worker, bool *worked, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    *worked = false;
    if (sea_db_is_lost(worker->db))
        status = sea_db_reconnect(worker->db, err);
    if (!status)
        status = beat(worker, err);
    if (!status)
        status = check_room(worker, err);
    if (!status && !is_stopped(worker))
        status = work_once(worker, worked, err);
    return status;
}

static enum sea_status
work(struct worker *worker, struct sea_err *err)
{
    bool worked;
    int64_t quiet_ms = 0;       /* 0, or when a trouble was told last */

    while (!is_stopped(worker)) {
        struct sea_err mine = { 0 };
        enum sea_status status = round_once(worker, &worked, &mine);

        if (status == SEA_E_CONFIG) {
            *err = mine;
            return status;
        }
        if (status && sea_clock_ms() - quiet_ms > 10000) {
            sea_log_err(SEA_LOG_WARN, &mine);
            quiet_ms = sea_clock_ms();
        }
        if (worker->options.once && !status)
            return SEA_OK;
        if (!worked)
            sea_db_wait(worker->db, status ? 500 : worker->options.poll_ms);
    }
    return SEA_OK;
}

enum sea_status
sea_worker_run(const struct sea_worker_options *options, struct sea_err *err)
{
    struct worker worker = { .options = *options };
    struct sea_migration_state schema;
    struct sea_err ignored = { 0 };
    enum sea_status status;

    worker.options.queue = options->queue ? options->queue : "default";
    worker.options.ttl_ms = options->ttl_ms ? options->ttl_ms : 30000;
    worker.options.poll_ms = options->poll_ms ? options->poll_ms : 1000;
    worker.options.grace_ms = options->grace_ms ? options->grace_ms : 30000;
    status = open_folders(&worker, err);
    if (!status)
        status = sea_db_open(&(struct sea_db_options){ .url = options->url, .role = "sea worker" },
                             &worker.db, err);
    if (!status)
        status = sea_migrate_check(worker.db, &schema, err);
    if (!status)
        status = sea_db_listen(worker.db, "sea_ready", err);
    if (!status)
        status = enter(&worker, err);
    if (!status) {
        status = work(&worker, err);
        if (sea_queue_worker_state(worker.db, worker.id, "gone", &ignored))
            sea_log_err(SEA_LOG_WARN, &ignored);
    }
    sea_db_close(worker.db);
    return status;
}
