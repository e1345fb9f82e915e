/* SPDX-License-Identifier: Apache-2.0 */
/*
 * service.h - a PostgreSQL of its own and short words for tests of the service
 *
 * One cluster per test program, started by the first test that asks and crashed at the end.
 */
#ifndef SEA_TEST_SERVICE_H
#define SEA_TEST_SERVICE_H

#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_cluster.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_migrate.h"
#include "scheduler/sea_queue.h"
#include "scheduler/sea_scheduler.h"
#include "scheduler/sea_store.h"
#include "tests/sea_test.h"

#define UNUSED __attribute__((unused))
#define PATIENCE 8              /* a busy machine takes so much longer */

static struct sea_cluster cluster;
static struct sea_db *db;       /* the test's own connection */
static pid_t service_owner, service_guard;

static UNUSED void
service_end(void)
{
    struct sea_err err = { 0 };

    if (getpid() != service_owner)
        return;
    sea_db_close(db);
    db = NULL;
    if (sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err))
        sea_err_print(&err, "test", stderr);
    kill(service_guard, SIGKILL);
    waitpid(service_guard, NULL, 0);
}

/* A process that stops the cluster when the test program is killed. */
static UNUSED void
service_watch(void)
{
    pid_t parent = getpid();
    struct sea_err err = { 0 };

    service_guard = fork();
    if (service_guard)
        return;
    setsid();
    if (!freopen("/dev/null", "w", stdout) || !freopen("/dev/null", "w", stderr))
        _exit(1);
    while (getppid() == parent)
        sea_clock_sleep_ms(200);
    _exit(sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err) ? 1 : 0);
}

/* For children of the test: they end with it. */
static UNUSED void
end_with_test(void)
{
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != service_owner)
        _exit(1);
}

static UNUSED void
must(enum sea_status status, const struct sea_err *err)
{
    if (!status)
        return;
    sea_err_print(err, "test", stdout);
    fflush(stdout);
    exit(1);
}

static UNUSED struct sea_db *
connect_more(void)
{
    struct sea_db *more = NULL;
    struct sea_err err = { 0 };

    must(sea_db_open(&(struct sea_db_options){ .url = cluster.url, .role = "test" }, &more, &err),
         &err);
    return more;
}

/* The cluster, and a migrated database to copy: migrations take longer than most tests. */
static UNUSED void
service_start(void)
{
    struct sea_migration_state state;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    chmod(sea_test_dir(), 0711);        /* the server's user passes through */
    service_owner = getpid();
    must(sea_path_join(dir, sea_test_dir(), "db", &err), &err);
    must(sea_cluster_open(&cluster, dir, &err), &err);
    service_watch();
    atexit(service_end);
    must(sea_cluster_start(&cluster, &err), &err);
    db = connect_more();
    must(sea_migrate(db, &state, &err), &err);
    sea_log_open("test", getenv("SEA_TEST_VERBOSE") ? SEA_LOG_DEBUG : SEA_LOG_ERROR, stderr);
}

/* Starts the cluster once; every call gives an empty, migrated database, and ends all
 * connections to the one before. */
static UNUSED void
service_begin(void)
{
    bool first = !db;
    struct sea_db *other = NULL;
    struct sea_err err = { 0 };
    char url[SEA_PATH_MAX];

    if (first)
        service_start();
    sea_db_close(db);
    snprintf(url, sizeof(url), "%s dbname=postgres", cluster.url);      /* the last one counts */
    must(sea_db_open(&(struct sea_db_options){ .url = url, .role = "test" }, &other, &err), &err);
    must(sea_db_query_text(other, first ? "ALTER DATABASE sea RENAME TO sea_migrated"
                                        : "DROP DATABASE IF EXISTS sea WITH (FORCE)", NULL, &err),
         &err);
    must(sea_db_query_text(other, "CREATE DATABASE sea TEMPLATE sea_migrated", NULL, &err), &err);
    sea_db_close(other);
    db = connect_more();
}

/* One number, or -1 for NULL or no row. Prints what fails. */
static UNUSED int64_t
number(const char *sql)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    const char *cell;
    int64_t value = -1;

    if (sea_db_query_text(db, sql, &rows, &err)) {
        sea_err_print(&err, "test", stdout);
        return -2;
    }
    cell = sea_rows_count(rows) ? sea_rows_cell(rows, 0, 0) : NULL;
    if (cell)
        value = cell[0] == 't' ? 1 : cell[0] == 'f' ? 0 : strtoll(cell, NULL, 10);
    sea_rows_close(rows);
    return value;
}

/* One text, "" for NULL or no row; valid until the next call. */
static UNUSED const char *
text(const char *sql)
{
    static char out[4096];
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    const char *cell = NULL;

    if (sea_db_query_text(db, sql, &rows, &err))
        cell = err.message;
    else if (sea_rows_count(rows))
        cell = sea_rows_cell(rows, 0, 0);
    snprintf(out, sizeof(out), "%s", cell ? cell : "");
    sea_rows_close(rows);
    return out;
}

/* Runs SQL that must work. */
static UNUSED void
run_sql(const char *sql)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_db_query_text(db, sql, NULL, &err), err);
}

/* The SQLSTATE that this SQL fails with; "" when it does not. */
static UNUSED const char *
sqlstate(const char *sql)
{
    static char out[16];
    struct sea_err err = { 0 };

    out[0] = 0;
    if (sea_db_query_text(db, sql, NULL, &err) && strncmp(err.cause, "sqlstate ", 9) == 0)
        snprintf(out, sizeof(out), "%.5s", err.cause + 9);
    return out;
}

static UNUSED int64_t
submit(const char *config, const char *key)
{
    struct sea_err err = { 0 };
    int64_t id = 0;

    CHECK_OK(sea_queue_submit(db, config, key, &id, &err), err);
    return id;
}

/* A key like the pipeline's: from the stage, the config's seed, and the inputs. */
static UNUSED enum sea_status
test_key(const char *stage, const struct sea_node *config, const struct sea_stage_input *inputs,
         size_t inputs_count, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    char seed[32];
    size_t i;

    if (strcmp(sea_node_text(sea_node_get(config, "mode"), ""), "nokey") == 0) {
        sea_hash_destroy(hash);
        return sea_fail(err, SEA_E_MISSING, "data is not there");
    }
    snprintf(seed, sizeof(seed), "%lld", (long long)sea_node_int(sea_node_get(config, "seed"), 0));
    sea_hash_add_field(hash, stage);
    sea_hash_add_field(hash, seed);
    for (i = 0; i < inputs_count; i++) {
        sea_hash_add_field(hash, inputs[i].key);
        sea_hash_add_field(hash, inputs[i].digest);
    }
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    return SEA_OK;
}

static UNUSED struct sea_scheduler_counts
tick(void)
{
    struct sea_scheduler_options options = { .key = test_key };
    struct sea_scheduler_counts counts;
    struct sea_err err = { 0 };

    CHECK_OK(sea_scheduler_tick(db, &options, &counts, &err), err);
    return counts;
}

static UNUSED int64_t
add_worker(void)
{
    struct sea_err err = { 0 };
    int64_t id = 0;

    CHECK_OK(sea_queue_register(db, "host", getpid(), "cpu", "default", 30000, &id, &err), err);
    return id;
}

/* Waits until sql gives want; false when it takes PATIENCE times the ms that an idle machine may
 * take. What must be quick is measured where it is. */
static UNUSED bool
wait_for(const char *sql, int64_t want, int64_t ms)
{
    int64_t until = sea_clock_ms() + PATIENCE * ms;

    while (number(sql) != want) {
        if (sea_clock_ms() > until)
            return false;
        sea_clock_sleep_ms(20);
    }
    return true;
}

#endif
