/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_bench_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_cluster_guard.h"
#include "scheduler/sea_migrate.h"
#include "scheduler/sea_queue.h"
#include "scheduler/sea_scheduler.h"
#include "scheduler/sea_sql_text.h"
#include "scheduler/sea_supervisor.h"

#define CLIENTS 8
#define BATCH 32
#define ROUNDS 3                /* of what takes turns */
#define LATENCY_RUNS 200
#define RATE_MAX 6000           /* jobs/s that no machine of today exceeds one by one */
#define BATCHED_MAX 40000       /* and in batches */
#define CHUNK 50000             /* stage runs made by one statement */
#define LAST "{\"metrics\":[[\"loss\",1,0.5],[\"loss\",2,0.25],[\"rate\",2,10]],\"logs\":[]}"
#define METRICS "[[\"loss\",1,0.5],[\"loss\",2,0.25],[\"rate\",2,10]]"

struct part {                   /* jobs done within a time, and what they cost the log */
    double jobs, seconds, wal_bytes, wal_syncs;
};

struct bench {
    const struct sea_bench_queue_options *options;
    struct sea_cluster cluster;
    struct sea_db *db;
    int64_t seconds, queued, hold_s;    /* of one turn; in the long queue; of the snapshot */
    double syncs;                       /* of the disk, a second */
    double p50_ms, p99_ms;              /* from submit to start */
    struct part raw, next, batched;
    struct part few, many;              /* with a short queue, with a long one */
    struct part before, held, late;     /* without a snapshot, with it, its last tenth */
    struct sea_err scheduler;           /* what the scheduler beside it ended with */
};

struct client {
    struct bench *bench;
    int number, batch;          /* stage runs per call */
    int64_t until_ms, done;
    struct sea_err err;
};

static double
rate(const struct part *part)
{
    return part->seconds > 0 ? part->jobs / part->seconds : 0;
}

/* What the log of the server has come to. */
static enum sea_status
read_log(struct bench *b, double *bytes, double *syncs, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query_one(b->db, "bench_wal", SEA_NO_PARAMS, &rows, err);

    if (!status) {
        *bytes = sea_rows_real(rows, 0, "bytes", err);
        *syncs = sea_rows_real(rows, 0, "syncs", err);
        status = err->status;
    }
    sea_rows_close(rows);
    return status;
}

/* ---- the disk, and the fastest queue of the same server ---- */

static enum sea_status
measure_disk(struct bench *b, struct sea_err *err)
{
    double start = sea_clock_seconds(), took = 0;
    char path[SEA_PATH_MAX], block[8192] = "";
    enum sea_status status = sea_path_join(path, b->cluster.dir, "sync", err);
    int fd = status ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int64_t count = 0;

    if (status)
        return status;
    if (fd < 0)
        return sea_fail_errno(err, "could not create \"%s\"", path);
    while (!status && took < (b->options->quick ? 0.1 : 1)) {
        if (pwrite(fd, block, sizeof(block), (off_t)(count % 512) * 8192) < 0 || fdatasync(fd))
            status = sea_fail_errno(err, "could not write \"%s\"", path);
        took = sea_clock_seconds() - start;
        count++;
    }
    close(fd);
    b->syncs = (double)count / took;
    return status;
}

/* "tps = N (without ...)" in what pgbench said. */
static double
read_tps(const char *path)
{
    struct sea_err err = { 0 };
    struct sea_buf text;
    const char *at;
    double tps = 0;

    sea_buf_init(&text, 1 << 20);
    if (!sea_file_read(path, &text, &err) && (at = strstr(text.data, "tps = ")))
        tps = strtod(at + 6, NULL);
    sea_buf_release(&text);
    return tps;
}

/* One turn: two commits per job, nothing else. */
static enum sea_status
measure_raw(struct bench *b, struct sea_err *err)
{
    char script[SEA_PATH_MAX], log[SEA_PATH_MAX], program[SEA_PATH_MAX];
    char clients[16], seconds[16];
    char *argv[] = { program, "-n", "-h", b->cluster.socket, "-p", "5432", "-U", "sea", "-c",
                     clients, "-j", "4", "-T", seconds, "-f", script, "sea", NULL };
    const char *text = sea_sql_text("bench_pgbench_script");
    struct sea_child child;
    enum sea_status status = sea_path_join(script, b->cluster.dir, "raw.sql", err);
    double tps;

    snprintf(clients, sizeof(clients), "%d", CLIENTS);
    snprintf(seconds, sizeof(seconds), "%lld", (long long)b->seconds);
    if (!status)
        status = sea_path_join(log, b->cluster.dir, "pgbench.log", err);
    if (!status)
        status = sea_path_join(program, b->cluster.bin, "pgbench", err);
    if (!status)
        status = sea_file_replace(script, text, strlen(text), err);
    if (!status)
        status = sea_child_start(&child, argv, log, err);
    if (status)
        return status;
    while (!child.ended)
        sea_child_wait(&child, 1000);
    sea_child_reap(&child);
    tps = read_tps(log);
    b->raw.jobs += tps * (double)b->seconds;
    b->raw.seconds += (double)b->seconds;
    if (tps > 0)
        return SEA_OK;
    sea_fail(err, SEA_E_SERVICE, "pgbench gave no figure");
    sea_hint(err, "It comes with PostgreSQL: is \"%.300s\" there?", program);
    return err->status;
}

/* ---- ours ---- */

/* Makes so many stage runs ready, with a file and a flight each. */
static enum sea_status
fill(struct bench *b, int64_t count, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    while (count > 0 && !status) {
        status = sea_db_query(b->db, "bench_fill",
                              SEA_PARAMS(SEA_P_INT(count < CHUNK ? count : CHUNK)), NULL, err);
        count -= CHUNK;
    }
    return status ? status : sea_db_script(b->db, "bench_analyze_script", err);
}

static enum sea_status
count_ready(struct bench *b, int64_t *ready, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status = sea_db_query_one(b->db, "bench_ready", SEA_NO_PARAMS, &rows, err);

    *ready = status ? 0 : sea_rows_int(rows, 0, "ready", err);
    sea_rows_close(rows);
    return status ? status : err->status;
}

/* At least so many are ready afterwards. */
static enum sea_status
fill_up(struct bench *b, int64_t want, struct sea_err *err)
{
    int64_t ready;
    enum sea_status status = count_ready(b, &ready, err);

    return status || ready >= want ? status : fill(b, want - ready, err);
}

/* As a worker does it: a claim, then commits that claim the next one. The file's name and content
 * are the stage key's: bench_fill wrote its row as sea.prepare_commit would have. */
static enum sea_status
work_on(struct client *c, struct sea_db *db, int64_t worker, struct sea_err *err)
{
    struct sea_arena *arenas[2] = { sea_arena_create(NULL, "a"), sea_arena_create(NULL, "b") };
    struct sea_claimant who = { .worker_id = worker, .queue = "default", .ttl_ms = 30000 };
    struct sea_claim claim, next;
    bool claimed;
    int at = 0;
    enum sea_status status;

    sea_queue_secret(who.secret);
    status = sea_queue_claim_bare(db, &who, arenas[0], &claim, &claimed, err);
    while (!status && claimed && sea_clock_ms() < c->until_ms) {
        struct sea_artifact file = { .path = "result.json", .bytes = 4 };
        struct sea_commit what = { .files = &(struct sea_artifacts){ &file, 1 },
                                   .digest = claim.key, .scores = "[]", .last_number = 1,
                                   .last = LAST };
        const char *gone;

        snprintf(file.sha256, sizeof(file.sha256), "%s", claim.key);
        sea_queue_secret(who.secret);
        status = sea_queue_commit_next(db, &claim.fence, &what, &who, arenas[at], &gone,
                                       arenas[!at], &next, &claimed, err);
        c->done += !status;
        sea_arena_reset(arenas[at]);
        claim = next;
        at = !at;
    }
    if (!status && claimed)
        status = sea_queue_release(db, &claim.fence, "bench", 0, err);
    sea_arena_destroy(arenas[0]);
    sea_arena_destroy(arenas[1]);
    return status;
}

/* The same in batches. *claims: those of the call before, taken over. */
static enum sea_status
work_batch(struct client *c, struct sea_db *db, int64_t worker, struct sea_rows **claims,
           struct sea_err *err)
{
    char secret[SEA_SECRET_TEXT];
    struct sea_rows *rows = NULL;
    enum sea_status status;

    sea_queue_secret(secret);
    if (!*claims)
        return sea_db_query_one(db, "claim_batch",
                                SEA_PARAMS(SEA_P_INT(worker), SEA_P_TEXT("default"),
                                           SEA_P_INT(30000), SEA_P_INT(c->batch),
                                           SEA_P_TEXT(secret)), claims, err);
    status = sea_db_query_one(db, "bench_commit_next_batch",
                              SEA_PARAMS(SEA_P_TEXT(sea_rows_text(*claims, 0, "claims", err)),
                                         SEA_P_TEXT(METRICS), SEA_P_INT(worker),
                                         SEA_P_TEXT("default"), SEA_P_INT(30000),
                                         SEA_P_INT(c->batch), SEA_P_TEXT(secret)), &rows, err);
    if (!status)
        c->done += sea_rows_int(rows, 0, "committed", err);
    sea_rows_close(*claims);
    *claims = rows;
    return status ? status : err->status;
}

/* What was claimed and not done when the time was over: else it lies there until its leases end,
 * in the middle of the next measurement. */
static enum sea_status
give_back(struct sea_db *db, const struct sea_rows *claims, struct sea_err *err)
{
    if (!claims || sea_rows_int(claims, 0, "claimed", err) <= 0)
        return err->status;
    return sea_db_query(db, "bench_release",
                        SEA_PARAMS(SEA_P_TEXT(sea_rows_text(claims, 0, "claims", err))), NULL, err);
}

static void *
client_run(void *arg)
{
    struct client *c = arg;
    struct sea_rows *claims = NULL;
    struct sea_db *db = NULL;
    int64_t worker;

    if (!sea_db_open(&(struct sea_db_options){ .url = c->bench->cluster.url }, &db, &c->err) &&
        !sea_queue_register(db, "bench", c->number + 1, "cpu", "default", 30000, &worker, &c->err)) {
        if (c->batch == 1 && work_on(c, db, worker, &c->err))
            c->until_ms = 0;
        while (c->batch > 1 && sea_clock_ms() < c->until_ms &&
               !work_batch(c, db, worker, &claims, &c->err) &&
               sea_rows_int(claims, 0, "claimed", &c->err) > 0)
            ;
        if (!sea_db_is_lost(db) && !c->err.status && give_back(db, claims, &c->err))
            c->until_ms = 0;
        if (!sea_db_is_lost(db) && !c->err.status &&
            sea_queue_worker_state(db, worker, "gone", &c->err))
            c->until_ms = 0;
    }
    sea_rows_close(claims);
    sea_db_close(db);
    return NULL;
}

/* One turn of all clients, added to what there was. */
static enum sea_status
measure_jobs(struct bench *b, int batch, double seconds, struct part *part, struct sea_err *err)
{
    struct client clients[CLIENTS] = { 0 };
    pthread_t threads[CLIENTS];
    double start, bytes = 0, syncs = 0;
    enum sea_status status = read_log(b, &bytes, &syncs, err);
    int i, started = 0;

    part->wal_bytes -= bytes;
    part->wal_syncs -= syncs;
    start = sea_clock_seconds();
    for (i = 0; i < CLIENTS && !status; i++) {
        clients[i] = (struct client){ .bench = b, .number = i, .batch = batch,
                                      .until_ms = sea_clock_ms() + (int64_t)(1000 * seconds) };
        if (pthread_create(&threads[i], NULL, client_run, &clients[i]))
            status = sea_fail(err, SEA_E_INTERNAL, "could not start a thread");
        else
            started++;
    }
    for (i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        part->jobs += (double)clients[i].done;
        if (clients[i].err.status && !status) {
            *err = clients[i].err;
            status = err->status;
        }
    }
    part->seconds += sea_clock_seconds() - start;
    if (!status)
        status = read_log(b, &bytes, &syncs, err);
    part->wal_bytes += bytes;
    part->wal_syncs += syncs;
    return status;
}

/* ---- from a submission to its start ---- */

static volatile sig_atomic_t over;

static enum sea_status
quick_key(const char *stage, const struct sea_node *config, const struct sea_stage_input *inputs,
          size_t inputs_count, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    const char *name = sea_node_text(sea_node_get(config, "name"), stage);

    (void)inputs;
    (void)inputs_count;
    (void)err;
    sea_hash_bytes(name, strlen(name), out);
    return SEA_OK;
}

static void *
scheduler_run(void *arg)
{
    struct bench *b = arg;

    if (sea_scheduler_run(&(struct sea_scheduler_options){
            .url = b->cluster.url, .key = quick_key, .stop = &over }, &b->scheduler))
        over = 1;
    return NULL;
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

/* Submits one experiment and claims it as an idle worker does: on a notification. */
static enum sea_status
submit_once(struct bench *b, struct sea_db *mine, int64_t worker, int number, double *ms,
            struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "latency");
    char config[128];
    double start;
    int64_t id;
    struct sea_claim claim;
    enum sea_status status;
    bool claimed = false;

    snprintf(config, sizeof(config), "{\"name\":\"latency %d\",\"stages\":{\"label\":{}}}", number);
    start = sea_clock_seconds();
    status = sea_queue_submit(b->db, config, NULL, &id, err);
    while (!status && !claimed) {
        if (sea_clock_seconds() - start > 10)
            status = sea_fail(err, SEA_E_SERVICE, "a submission did not start within 10 s");
        sea_db_wait(mine, 1000);
        if (!status)
            status = sea_queue_claim(mine, worker, "default", 30000, arena, &claim, &claimed, err);
    }
    *ms = 1000 * (sea_clock_seconds() - start);
    if (!status)
        status = sea_queue_release(mine, &claim.fence, "bench", 3600000, err);
    sea_arena_destroy(arena);
    return status;
}

static enum sea_status
measure_latency(struct bench *b, struct sea_err *err)
{
    double ms[LATENCY_RUNS];
    struct sea_db *mine = NULL;
    int64_t worker = 0;
    enum sea_status status;
    int i, runs = b->options->quick ? 20 : LATENCY_RUNS;

    status = sea_db_open(&(struct sea_db_options){ .url = b->cluster.url }, &mine, err);
    if (!status)
        status = sea_db_listen(mine, "sea_ready", err);
    if (!status)
        status = sea_queue_register(mine, "bench", 99, "cpu", "default", 30000, &worker, err);
    sea_clock_sleep_ms(500);            /* the scheduler connects */
    for (i = 0; i < runs && !status; i++)
        status = submit_once(b, mine, worker, i, &ms[i], err);
    sea_db_close(mine);
    if (status)
        return status;
    qsort(ms, (size_t)runs, sizeof(ms[0]), by_value);
    b->p50_ms = ms[runs / 2];
    b->p99_ms = ms[runs * 99 / 100];
    return SEA_OK;
}

/* ---- long queues, and snapshots that somebody holds ---- */

static enum sea_status
measure_many(struct bench *b, struct sea_err *err)
{
    double seconds = (double)b->seconds;
    enum sea_status status = fill_up(b, RATE_MAX * b->seconds, err);

    if (!status)
        status = measure_jobs(b, 1, seconds, &b->few, err);
    if (!status)
        status = fill_up(b, b->queued, err);
    return status ? status : measure_jobs(b, 1, seconds, &b->many, err);
}

static enum sea_status
measure_held(struct bench *b, struct sea_err *err)
{
    struct sea_db *holder = NULL;
    double hold = (double)b->hold_s;
    enum sea_status status = fill_up(b, (int64_t)(RATE_MAX * 0.5 * (hold + 2 * (double)b->seconds)),
                                     err);

    if (!status)
        status = measure_jobs(b, 1, (double)b->seconds, &b->before, err);
    if (!status)
        status = sea_db_open(&(struct sea_db_options){ .url = b->cluster.url }, &holder, err);
    if (!status)
        status = sea_db_script(holder, "bench_hold_script", err);
    if (!status)
        status = sea_db_query(holder, "bench_ready", SEA_NO_PARAMS, NULL, err);
    if (!status)
        status = measure_jobs(b, 1, hold * 0.9, &b->held, err);
    if (!status)
        status = measure_jobs(b, 1, hold * 0.1, &b->late, err);
    sea_db_close(holder);
    b->held.jobs += b->late.jobs;
    b->held.seconds += b->late.seconds;
    return status;
}

/* ---- all of it ---- */

/* Neighbours in time are compared: a machine is not equally busy for minutes. */
static enum sea_status
take_turns(struct bench *b, struct sea_err *err)
{
    enum sea_status status = sea_db_script(b->db, "bench_table_script", err);
    int i;

    for (i = 0; i < (b->options->quick ? 1 : ROUNDS) && !status; i++) {
        status = fill_up(b, (RATE_MAX + BATCHED_MAX) * b->seconds / (b->options->quick ? 4 : 2),
                         err);
        if (!status)
            status = measure_raw(b, err);
        if (!status)
            status = measure_jobs(b, 1, (double)b->seconds, &b->next, err);
        if (!status)
            status = measure_jobs(b, BATCH, (double)b->seconds, &b->batched, err);
    }
    return status;
}

static enum sea_status
measure(struct bench *b, struct sea_err *err)
{
    struct sea_migration_state schema;
    pthread_t thread;
    enum sea_status status = sea_cluster_start(&b->cluster, err);

    if (!status)
        status = sea_db_open(&(struct sea_db_options){ .url = b->cluster.url,
                                                       .statement_ms = 600000 }, &b->db, err);
    if (!status)
        status = sea_migrate(b->db, &schema, err);
    if (!status)
        status = measure_disk(b, err);
    if (status)
        return status;
    over = 0;                           /* the scheduler runs beside everything */
    if (pthread_create(&thread, NULL, scheduler_run, b))
        return sea_fail(err, SEA_E_INTERNAL, "could not start a thread");
    status = measure_latency(b, err);
    if (!status)
        status = take_turns(b, err);
    if (!status)
        status = measure_many(b, err);
    if (!status)
        status = measure_held(b, err);
    over = 1;
    pthread_join(thread, NULL);
    /* Without a scheduler nothing starts: that is why, whatever the measurement says. */
    if (b->scheduler.status) {
        *err = b->scheduler;
        status = err->status;
    }
    return status;
}

static void
print_json(const struct bench *b, FILE *to)
{
    fprintf(to, "{\"clients\":%d,\"fdatasync_per_s\":%.0f,\"raw_jobs_per_s\":%.0f,"
            "\"jobs_per_s\":%.0f,\"jobs_to_raw\":%.2f,\"commits_per_job\":1,"
            "\"wal_bytes_per_job\":%.0f,\"log_syncs_per_job\":%.2f,\"batch\":%d,"
            "\"batched_jobs_per_s\":%.0f,\"batched_to_raw\":%.2f,"
            "\"batched_wal_bytes_per_job\":%.0f,",
            CLIENTS, b->syncs, rate(&b->raw), rate(&b->next), rate(&b->next) / rate(&b->raw),
            b->next.wal_bytes / b->next.jobs, b->next.wal_syncs / b->next.jobs, BATCH,
            rate(&b->batched), rate(&b->batched) / rate(&b->raw),
            b->batched.wal_bytes / b->batched.jobs);
    fprintf(to, "\"submit_to_start_p50_ms\":%.1f,\"submit_to_start_p99_ms\":%.1f,"
            "\"queued\":%lld,\"queued_to_few\":%.2f,\"hold_s\":%lld,\"held_to_before\":%.2f,"
            "\"held_end_to_before\":%.2f}\n", b->p50_ms, b->p99_ms, (long long)b->queued,
            rate(&b->many) / rate(&b->few), (long long)b->hold_s,
            rate(&b->held) / rate(&b->before), rate(&b->late) / rate(&b->before));
}

static void
print(const struct bench *b, FILE *to)
{
    fprintf(to, "disk                          %8.0f fdatasync/s\n", b->syncs);
    fprintf(to, "pgbench, one table, %d clients %8.0f jobs/s (claim and complete: 2 commits)\n",
            CLIENTS, rate(&b->raw));
    fprintf(to, "sea, commit and claim         %8.0f jobs/s, %.2f of that (1 commit, fence, "
            "manifest, metrics, cache, history; %.0f bytes of log and %.2f syncs a job)\n",
            rate(&b->next), rate(&b->next) / rate(&b->raw), b->next.wal_bytes / b->next.jobs,
            b->next.wal_syncs / b->next.jobs);
    fprintf(to, "sea, batches of %d            %8.0f jobs/s, %.2f of that (a fence per stage; %.0f "
            "bytes of log a job)\n", BATCH, rate(&b->batched), rate(&b->batched) / rate(&b->raw),
            b->batched.wal_bytes / b->batched.jobs);
    fprintf(to, "submit to start, idle worker  %8.1f ms median, %.1f ms at 99 %%\n", b->p50_ms,
            b->p99_ms);
    fprintf(to, "%7lld stages in the queue   %8.0f jobs/s, %.2f of what it was before\n",
            (long long)b->queued, rate(&b->many), rate(&b->many) / rate(&b->few));
    fprintf(to, "snapshot held for %4lld s     %8.0f jobs/s, %.2f of what it was before, %.2f in the "
            "last tenth\n", (long long)b->hold_s, rate(&b->held),
            rate(&b->held) / rate(&b->before), rate(&b->late) / rate(&b->before));
}

enum sea_status
sea_bench_queue(const struct sea_bench_queue_options *options, FILE *to, struct sea_err *err)
{
    struct bench bench = { .options = options, .seconds = options->quick ? 1 : 5,
                           .queued = options->quick ? 20000 : 1000000,
                           .hold_s = options->hold_s ? options->hold_s : options->quick ? 2 : 60 };
    struct sea_err ignored = { 0 };
    struct sea_cluster_guard guard;     /* whatever ends this process: nothing is left of it */
    enum sea_status status;

    /* What the scheduler in this process does to stage runs is no news here: the report is. */
    sea_log_open("bench", SEA_LOG_ERROR, stderr);
    status = sea_cluster_guard_open(&guard, "bench", &bench.cluster, err);
    if (!status)
        status = measure(&bench, err);
    sea_db_close(bench.db);
    if (sea_cluster_guard_close(&guard, &ignored))
        sea_err_print(&ignored, "sea", stderr);
    if (!status)
        (options->json ? print_json : print)(&bench, to);
    return status;
}
