/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_bench_queue.h"

#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "scheduler/sea_cluster.h"
#include "scheduler/sea_migrate.h"
#include "scheduler/sea_queue.h"
#include "scheduler/sea_scheduler.h"
#include "scheduler/sea_sql_text.h"
#include "scheduler/sea_supervisor.h"

#define CLIENTS 8
#define SECONDS 5
#define JOBS 60000              /* ready before each part: more than any can take */
#define BATCH 32
#define LATENCY_RUNS 200
#define METRICS "[[\"loss\",1,0.5],[\"loss\",2,0.25],[\"rate\",2,10]]"

struct bench {
    struct sea_cluster cluster;
    struct sea_db *db;
    char dir[SEA_PATH_MAX];
    double syncs, raw, jobs, batched;   /* a second */
    double p50_ms, p99_ms;              /* from submit to start */
};

struct client {
    struct bench *bench;
    int number, batch;          /* stage runs per call */
    int64_t until_ms, done;
    struct sea_err err;
};

/* ---- the disk, and the fastest queue of the same server ---- */

static enum sea_status
measure_disk(struct bench *b, struct sea_err *err)
{
    double start = sea_clock_seconds(), took = 0;
    char path[SEA_PATH_MAX], block[8192] = "";
    enum sea_status status = sea_path_join(path, b->dir, "sync", err);
    int fd = status ? -1 : open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    int64_t count = 0;

    if (status)
        return status;
    if (fd < 0)
        return sea_fail_errno(err, "could not create \"%s\"", path);
    for (; took < 1; took = sea_clock_seconds() - start, count++)
        if (pwrite(fd, block, sizeof(block), (off_t)(count % 512) * 8192) < 0 || fdatasync(fd)) {
            status = sea_fail_errno(err, "could not write \"%s\"", path);
            break;
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

/* Two commits per job, nothing else. */
static enum sea_status
measure_raw(struct bench *b, struct sea_err *err)
{
    char script[SEA_PATH_MAX], log[SEA_PATH_MAX], program[SEA_PATH_MAX];
    char clients[16], seconds[16];
    char *argv[] = { program, "-n", "-h", b->cluster.socket, "-p", "5432", "-U", "sea", "-c",
                     clients, "-j", "4", "-T", seconds, "-f", script, "sea", NULL };
    const char *text = sea_sql_text("bench_pgbench_script");
    struct sea_child child;
    enum sea_status status = sea_path_join(script, b->dir, "raw.sql", err);

    snprintf(clients, sizeof(clients), "%d", CLIENTS);
    snprintf(seconds, sizeof(seconds), "%d", SECONDS);
    if (!status)
        status = sea_path_join(log, b->dir, "pgbench.log", err);
    if (!status)
        status = sea_path_join(program, b->cluster.bin, "pgbench", err);
    if (!status)
        status = sea_file_replace(script, text, strlen(text), err);
    if (!status)
        status = sea_db_script(b->db, "bench_table_script", err);
    if (!status)
        status = sea_child_start(&child, argv, log, err);
    if (status)
        return status;
    while (!child.ended)
        sea_child_wait(&child, 1000);
    sea_child_reap(&child);
    b->raw = read_tps(log);
    if (b->raw > 0)
        return SEA_OK;
    sea_fail(err, SEA_E_SERVICE, "pgbench gave no figure");
    sea_hint(err, "It comes with PostgreSQL: is \"%.300s\" there?", program);
    return err->status;
}

/* ---- ours ---- */

static enum sea_status
fill(struct bench *b, const char *name, struct sea_err *err)
{
    enum sea_status status = sea_db_query(b->db, "bench_fill", SEA_PARAMS(SEA_P_INT(JOBS),
                                                                          SEA_P_TEXT(name)),
                                          NULL, err);

    return status ? status : sea_db_script(b->db, "bench_analyze_script", err);
}

static struct sea_artifact
the_file(void)
{
    struct sea_artifact file = { .path = "result.json", .bytes = 4 };

    sea_hash_bytes("file", 4, file.sha256);
    return file;
}

static enum sea_status
work_once(struct client *c, struct sea_db *db, int64_t worker, struct sea_arena *arena,
          bool *claimed, struct sea_err *err)
{
    struct sea_artifact file = the_file();
    struct sea_claim claim;
    const char *gone;
    enum sea_status status = sea_queue_claim_bare(db, worker, "default", 30000, arena, &claim,
                                                  claimed, err);

    if (status || !*claimed)
        return status;
    status = sea_queue_commit(db, &claim.fence, &(struct sea_artifacts){ &file, 1 }, file.sha256,
                              "[]", METRICS, arena, &gone, err);
    c->done += !status;
    return status;
}

static enum sea_status
work_batch(struct client *c, struct sea_db *db, int64_t worker, bool *claimed, struct sea_err *err)
{
    struct sea_artifact file = the_file();
    struct sea_rows *claims = NULL, *rows = NULL;
    char files[160];
    enum sea_status status;

    snprintf(files, sizeof(files), "[[\"%s\",\"%s\",4]]", file.path, file.sha256);
    status = sea_db_query_one(db, "claim_batch",
                              SEA_PARAMS(SEA_P_INT(worker), SEA_P_TEXT("default"),
                                         SEA_P_INT(30000), SEA_P_INT(c->batch)), &claims, err);
    *claimed = !status && sea_rows_int(claims, 0, "claimed", err) > 0;
    if (*claimed)
        status = sea_db_query_one(db, "commit_batch",
                                  SEA_PARAMS(SEA_P_TEXT(sea_rows_text(claims, 0, "claims", err)),
                                             SEA_P_TEXT(files), SEA_P_TEXT(file.sha256),
                                             SEA_P_TEXT(METRICS)), &rows, err);
    if (!status && *claimed) {
        c->done += sea_rows_int(rows, 0, "committed", err);
        status = err->status;
    }
    sea_rows_close(rows);
    sea_rows_close(claims);
    return status;
}

static void *
client_run(void *arg)
{
    struct client *c = arg;
    struct sea_arena *arena = sea_arena_create(NULL, "client");
    struct sea_db *db = NULL;
    bool claimed = true;
    int64_t worker;

    if (!sea_db_open(&(struct sea_db_options){ .url = c->bench->cluster.url }, &db, &c->err) &&
        !sea_queue_register(db, "bench", c->number + 1, "cpu", "default", 30000, &worker, &c->err))
        while (!c->err.status && claimed && sea_clock_ms() < c->until_ms) {
            enum sea_status status = c->batch > 1
                                         ? work_batch(c, db, worker, &claimed, &c->err)
                                         : work_once(c, db, worker, arena, &claimed, &c->err);

            sea_arena_reset(arena);
            if (status)
                break;
        }
    sea_db_close(db);
    sea_arena_destroy(arena);
    return NULL;
}

static enum sea_status
measure_jobs(struct bench *b, int batch, double *rate, struct sea_err *err)
{
    struct client clients[CLIENTS] = { 0 };
    pthread_t threads[CLIENTS];
    double start;
    enum sea_status status = fill(b, batch > 1 ? "batched" : "single", err);
    int i, started = 0;
    int64_t done = 0;

    start = sea_clock_seconds();
    for (i = 0; i < CLIENTS && !status; i++) {
        clients[i] = (struct client){ .bench = b, .number = i, .batch = batch,
                                      .until_ms = sea_clock_ms() + SECONDS * 1000 };
        if (pthread_create(&threads[i], NULL, client_run, &clients[i]))
            status = sea_fail(err, SEA_E_INTERNAL, "could not start a thread");
        else
            started++;
    }
    for (i = 0; i < started; i++) {
        pthread_join(threads[i], NULL);
        done += clients[i].done;
        if (clients[i].err.status && !status) {
            *err = clients[i].err;
            status = err->status;
        }
    }
    *rate = (double)done / (sea_clock_seconds() - start);
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
    struct sea_err err = { 0 };

    /* What goes wrong shows as submissions that do not start. */
    if (sea_scheduler_run(&(struct sea_scheduler_options){
            .url = b->cluster.url, .key = quick_key, .stop = &over }, &err))
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
    pthread_t thread;
    int64_t worker = 0;
    enum sea_status status;
    int i;

    over = 0;
    if (pthread_create(&thread, NULL, scheduler_run, b))
        return sea_fail(err, SEA_E_INTERNAL, "could not start a thread");
    status = sea_db_open(&(struct sea_db_options){ .url = b->cluster.url }, &mine, err);
    if (!status)
        status = sea_db_listen(mine, "sea_ready", err);
    if (!status)
        status = sea_queue_register(mine, "bench", 99, "cpu", "default", 30000, &worker, err);
    sea_clock_sleep_ms(500);            /* the scheduler connects */
    for (i = 0; i < LATENCY_RUNS && !status; i++)
        status = submit_once(b, mine, worker, i, &ms[i], err);
    over = 1;
    pthread_join(thread, NULL);
    sea_db_close(mine);
    if (status)
        return status;
    qsort(ms, LATENCY_RUNS, sizeof(ms[0]), by_value);
    b->p50_ms = ms[LATENCY_RUNS / 2];
    b->p99_ms = ms[LATENCY_RUNS * 99 / 100];
    return SEA_OK;
}

/* ---- all of it ---- */

static enum sea_status
measure(struct bench *b, struct sea_err *err)
{
    struct sea_migration_state schema;
    struct sea_artifact file = the_file();
    enum sea_status status = sea_cluster_start(&b->cluster, err);

    if (!status)
        status = sea_db_open(&(struct sea_db_options){ .url = b->cluster.url,
                                                       .statement_ms = 120000 }, &b->db, err);
    if (!status)
        status = sea_migrate(b->db, &schema, err);
    if (!status)
        status = sea_db_query(b->db, "bench_artifact", SEA_PARAMS(SEA_P_TEXT(file.sha256)), NULL,
                              err);
    if (!status)
        status = measure_disk(b, err);
    if (!status)
        status = measure_latency(b, err);
    if (!status)
        status = measure_raw(b, err);
    if (!status)
        status = measure_jobs(b, 1, &b->jobs, err);
    if (!status)
        status = measure_jobs(b, BATCH, &b->batched, err);
    return status;
}

static void
print(const struct bench *b, bool json, FILE *to)
{
    if (json) {
        fprintf(to, "{\"clients\":%d,\"fdatasync_per_s\":%.0f,\"raw_jobs_per_s\":%.0f,"
                "\"jobs_per_s\":%.0f,\"jobs_to_raw\":%.2f,\"batch\":%d,"
                "\"batched_jobs_per_s\":%.0f,\"batched_to_raw\":%.2f,"
                "\"submit_to_start_p50_ms\":%.1f,\"submit_to_start_p99_ms\":%.1f}\n", CLIENTS,
                b->syncs, b->raw, b->jobs, b->jobs / b->raw, BATCH, b->batched,
                b->batched / b->raw, b->p50_ms, b->p99_ms);
        return;
    }
    fprintf(to, "disk                          %8.0f fdatasync/s\n", b->syncs);
    fprintf(to, "pgbench, one table, %d clients %8.0f jobs/s (claim and complete: 2 commits)\n",
            CLIENTS, b->raw);
    fprintf(to, "sea, claim and commit         %8.0f jobs/s, %.2f of that (2 commits, fence, "
            "manifest, metrics, cache)\n", b->jobs, b->jobs / b->raw);
    fprintf(to, "sea, batches of %d            %8.0f jobs/s, %.2f of that (a fence per stage)\n",
            BATCH, b->batched, b->batched / b->raw);
    fprintf(to, "submit to start, idle worker  %8.1f ms median, %.1f ms at 99 %%\n", b->p50_ms,
            b->p99_ms);
}

enum sea_status
sea_bench_queue(bool json, FILE *to, struct sea_err *err)
{
    struct bench bench = { .db = NULL };
    struct sea_err ignored = { 0 };
    enum sea_status status;

    snprintf(bench.dir, sizeof(bench.dir), "/tmp/sea-bench-XXXXXX");
    if (!mkdtemp(bench.dir) || chmod(bench.dir, 0711))
        return sea_fail_errno(err, "could not create a folder in /tmp");
    status = sea_cluster_open(&bench.cluster, bench.dir, err);
    if (!status)
        status = measure(&bench, err);
    sea_db_close(bench.db);
    if (sea_cluster_stop(&bench.cluster, SEA_CLUSTER_FAST, &ignored) ||
        sea_dir_remove(bench.dir, &ignored))
        sea_err_print(&ignored, "sea", stderr);
    if (!status)
        print(&bench, json, to);
    return status;
}
