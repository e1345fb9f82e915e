/* SPDX-License-Identifier: Apache-2.0 */
/* sea up, down, migrate, worker, scheduler, drain, gc: the long-running roles, their upkeep. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_log.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_backend_driver.h"
#include "scheduler/sea_backend_job.h"
#include "scheduler/sea_collector.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_gpus.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_migrate.h"
#include "scheduler/sea_notifier.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_scheduler.h"
#include "scheduler/sea_table.h"
#include "scheduler/sea_worker.h"

#define WORKERS_MAX 64
#define TTL_S 30
#define NO_VERSION INT64_MIN     /* --to was not given */
#define TTL_S_MAX 86400
#define DAYS_MAX 100000
#define MIGRATE_MS 3600000      /* one migration of a large database: an index, a scan */
#define PATIENCE_S_MAX 86400
#define ADDRESS_BYTES 2048      /* of a database, as it is shown */
#define STOP_MS 60000           /* a worker may finish a step and write a checkpoint */

static enum sea_status
migrate_home(const struct sea_home *home, const struct sea_migration_options *how,
             struct sea_migration_state *state, struct sea_err *err)
{
    struct sea_db_options options = { .url = home->url, .role = "sea migrate",
                                      .statement_ms = MIGRATE_MS };
    struct sea_db *db = NULL;
    enum sea_status status;

    status = sea_db_open(&options, &db, err);
    if (status)
        sea_hint(err, home->is_private ? "Start the service with `sea up`."
                                       : "Check SEA_DATABASE_URL or the PG* variables, and that "
                                         "the server runs.");
    if (!status)
        status = sea_migrate_to(db, how, state, err);
    sea_db_close(db);
    return status;
}

static enum sea_status
check_ttl(int64_t seconds, struct sea_err *err)
{
    if (seconds >= 1 && seconds <= TTL_S_MAX)
        return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG, "--ttl %lld is not in 1..%d", (long long)seconds,
                    TTL_S_MAX);
}

/* The scheduler, and workers worker-1 .. worker-N, as processes of their own. */
static enum sea_status
start_roles(const struct sea_call *call, const struct sea_home *home, int64_t workers,
            const char *device, int64_t gpus, int64_t ttl, struct sea_err *err)
{
    const char *scheduler[] = { call->program, "scheduler", "--data", home->dir, "--role",
                                "scheduler", NULL };
    enum sea_status status;
    bool started;
    int64_t i;

    status = sea_role_start(home->dir, "scheduler", call->program, scheduler, &started, err);
    if (!status)
        printf("scheduler: %s\n", started ? "started" : "runs already");
    for (i = 1; i <= workers && !status; i++) {
        char name[32], seconds[32], many[32];
        const char *worker[] = { call->program, "worker", "--data", home->dir, "--role", name,
                                 "--device", device, "--ttl", seconds,
                                 gpus == SEA_GPUS_ASK ? NULL : "--gpus", many, NULL };

        snprintf(seconds, sizeof(seconds), "%lld", (long long)ttl);
        snprintf(many, sizeof(many), "%lld", (long long)gpus);
        snprintf(name, sizeof(name), "worker-%d", (int)i);
        status = sea_role_start(home->dir, name, call->program, worker, &started, err);
        if (!status)
            printf("%s: %s%s\n", name, started ? "started on " : "runs already",
                   started ? device : "");
    }
    return status;
}

/* One that was given may hold a password. */
static void
print_address(const char *url)
{
    char text[ADDRESS_BYTES];

    snprintf(text, sizeof(text), "%s", url ? url : "as the environment says");
    sea_log_redact(text);
    printf("postgresql: %s\n", text);
}

enum sea_status
sea_cmd_up(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL, *device = "auto";
    struct sea_gpus list;
    int64_t workers = 1, ttl = TTL_S, gpus = SEA_GPUS_ASK;
    const struct sea_migration_options newest = { .to = SEA_MIGRATE_NEWEST,
                                                  .patience_ms = SEA_MIGRATE_PATIENCE_MS };
    struct sea_migration_state state = { 0 };
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--workers", SEA_ARG_INT, &workers, "N", "workers of this machine (1)" },
        { "--device", SEA_ARG_TEXT, &device, "D", "of each worker: cpu, cpu:N, cuda:N, auto" },
        { "--ttl", SEA_ARG_INT, &ttl, "SECONDS", "a silent worker's stage is taken back (30)" },
        { "--gpus", SEA_ARG_INT, &gpus, "N", "GPUs of the machine (what the driver shows)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 5, .data = &data };
    const struct sea_home *home = &command.home;
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    status = check_ttl(ttl, err);
    if (!status && (workers < 0 || workers > WORKERS_MAX))
        status = sea_fail(err, SEA_E_CONFIG, "--workers %lld is not in 0..%d", (long long)workers,
                          WORKERS_MAX);
    if (!status && workers)     /* before anything is started */
        status = sea_gpus_find(device, gpus, &list, err);
    if (!status && home->is_private)
        status = sea_cluster_start(&command.home.cluster, err);
    if (!status)
        status = migrate_home(home, &newest, &state, err);
    if (status)
        return status;
    print_address(home->url);
    printf("schema: version %d%s\n", (int)state.version, state.applied ? ", just applied" : "");
    return start_roles(call, home, workers, device, gpus, ttl, err);
}

enum sea_status
sea_cmd_down(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL;
    int stopped = 0, more = 0;
    bool ran = false;           /* a PostgreSQL of ours */
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 1, .data = &data };
    const struct sea_home *home = &command.home;
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    status = sea_role_stop_all(home->dir, "worker", STOP_MS, &stopped, err);
    if (!status)
        status = sea_role_stop_all(home->dir, "", STOP_MS, &more, err);
    if (!status && home->is_private) {
        ran = sea_cluster_is_running(&command.home.cluster);
        status = sea_cluster_stop(&command.home.cluster, SEA_CLUSTER_FAST, err);
    }
    if (!status && stopped + more == 0 && !ran)
        printf("nothing runs in \"%s\"\n", home->dir);
    else if (!status)
        printf("stopped %d process%s%s\n", stopped + more, stopped + more == 1 ? "" : "es",
               ran ? " and PostgreSQL" : "");
    return status;
}

enum sea_status
sea_cmd_migrate(const struct sea_call *call, struct sea_err *err)
{
    struct sea_migration_options how = { .to = NO_VERSION };
    struct sea_migration_state state = { 0 };
    int64_t patience = SEA_MIGRATE_PATIENCE_MS / 1000;
    const char *data = NULL;
    bool json = false;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--to", SEA_ARG_INT, &how.to, "N", "this version, up or down (the newest)" },
        { "--lose-data", SEA_ARG_FLAG, &how.lose_data, NULL, "go down even where rows are lost" },
        { "--patience", SEA_ARG_INT, &patience, "SECONDS", "with locks of others (60)" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };
    struct sea_home_command command = { .table = table, .table_count = 5, .data = &data };
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    if (patience < 0 || patience > PATIENCE_S_MAX)
        return sea_fail(err, SEA_E_CONFIG, "--patience %lld is not in 0..%d", (long long)patience,
                        PATIENCE_S_MAX);
    if (how.to == NO_VERSION)
        how.to = SEA_MIGRATE_NEWEST;
    else if (how.to < 0)
        return sea_fail(err, SEA_E_CONFIG, "--to %lld is no version", (long long)how.to);
    how.patience_ms = patience * 1000;
    status = migrate_home(&command.home, &how, &state, err);
    if (status)
        return status;
    if (json)
        printf("{\"version\":%d,\"newest\":%d,\"applied\":%zu,\"removed\":%zu,\"waits\":%zu}\n",
               (int)state.version, (int)state.newest, state.applied, state.removed, state.waits);
    else
        printf("schema version %d, migrations applied now: %zu, taken back: %zu\n",
               (int)state.version, state.applied, state.removed);
    return SEA_OK;
}

enum sea_status
sea_cmd_worker(const struct sea_call *call, struct sea_err *err)
{
    struct sea_worker_options options = { .stage_program = call->program };
    const char *data = NULL, *role = NULL, *job = NULL;
    int64_t ttl = TTL_S, many = SEA_GPUS_ASK;
    struct sea_gpus gpus;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--job", SEA_ARG_TEXT, &job, "FILE", "the one stage of a cluster's job (docs/slurm.md)" },
        { "--device", SEA_ARG_TEXT, &options.device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--gpus", SEA_ARG_INT, &many, "N", "GPUs of the machine (what the driver shows); 0: no "
          "account of them" },
        { "--queue", SEA_ARG_TEXT, &options.queue, "NAME", "claim from this queue (default)" },
        { "--ttl", SEA_ARG_INT, &ttl, "SECONDS", "life of a lease without heartbeat (30)" },
        { "--once", SEA_ARG_FLAG, &options.once, NULL, "one stage at most, then end" },
        { "--role", SEA_ARG_TEXT, &role, "NAME", "hold this role (used by `sea up`)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 8, .data = &data,
                                        .role = "sea worker" };
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    if (job) {
        sea_log_open("job", SEA_LOG_INFO, stderr);
        return sea_backend_job_run(&(struct sea_backend_job_options){
            .file = job, .data = command.home.dir, .program = call->program,
            .device = options.device }, err);
    }
    status = check_ttl(ttl, err);
    if (!status)
        status = sea_gpus_find(options.device, many, &gpus, err);
    options.gpus = &gpus;
    if (!status)
        status = sea_home_connect(&command.home, command.role, &command.db, err);
    sea_db_close(command.db);   /* a test that the service is there and fits */
    if (!status)
        status = sea_role_hold(command.home.dir, role, err);
    if (status)
        return status;
    sea_log_open("worker", SEA_LOG_INFO, stderr);
    options.url = command.home.url;
    options.data = command.home.dir;
    options.ttl_ms = ttl * 1000;
    options.stop = &sea_role_stop;
    return sea_worker_run(&options, err);
}

enum sea_status
sea_cmd_scheduler(const struct sea_call *call, struct sea_err *err)
{
    struct sea_scheduler_options options = { .stop = &sea_role_stop };
    const char *data = NULL, *role = NULL;
    struct sea_notifier *notifier = NULL;
    struct sea_backend_driver *driver = NULL;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--tick", SEA_ARG_INT, &options.tick_ms, "MS", "pause between two looks (250)" },
        { "--role", SEA_ARG_TEXT, &role, "NAME", "hold this role (used by `sea up`)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 3, .data = &data,
                                        .role = "sea scheduler" };
    const struct sea_home *home = &command.home;
    enum sea_status status = sea_home_begin(call, &command, err);

    if (status || command.helped)
        return status;
    sea_db_close(command.db);   /* a test that the service is there and fits */
    status = sea_role_hold(home->dir, role, err);
    if (status)
        return status;
    sea_log_open("scheduler", SEA_LOG_INFO, stderr);
    options.url = home->url;
    options.data = home->dir;
    status = sea_notifier_start(home->dir, home->url, &notifier, err);
    if (!status)
        status = sea_backend_driver_start(home->dir, home->url, call->program, &driver, err);
    if (!status)
        status = sea_scheduler_run(&options, err);
    sea_backend_driver_stop(driver);
    sea_notifier_stop(notifier);
    return status;
}

/* One worker by its number, or those of this host: 0. */
static enum sea_status
drain_workers(struct sea_db *db, int64_t id, const char *how, struct sea_err *err)
{
    struct sea_rows *rows = NULL;
    enum sea_status status;
    size_t i;

    if (id)
        return sea_db_query(db, "drain", SEA_PARAMS(SEA_P_INT(id), SEA_P_TEXT(how)), NULL, err);
    status = sea_db_query(db, "drain_list", SEA_NO_PARAMS, &rows, err);
    for (i = 0; i < sea_rows_count(rows) && !status; i++) {
        id = sea_rows_int(rows, i, "id", err);
        status = err->status ? err->status
                             : sea_db_query(db, "drain", SEA_PARAMS(SEA_P_INT(id),
                                                                    SEA_P_TEXT(how)), NULL, err);
        /* It left by itself meanwhile. */
        if (status == SEA_E_CONFIG) {
            sea_err_clear(err);
            status = SEA_OK;
        }
    }
    sea_rows_close(rows);
    return status;
}

enum sea_status
sea_cmd_drain(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL;
    bool now = false, json = false;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--now", SEA_ARG_FLAG, &now, NULL, "give the stage back after a checkpoint" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };
    struct sea_home_command command = { .table = table, .table_count = 3, .max = 1, .data = &data,
                                        .role = "sea drain" };
    enum sea_status status = sea_home_prepare(call, &command, err);
    const char *which = NULL;
    int64_t id = 0;

    if (status || command.helped)
        return status;
    if (command.rest.count)
        which = command.rest.at[0];
    if (which && strcmp(which, "all") != 0)
        status = sea_args_id(which, "a worker (nor all)", &id, err);
    if (!status && now && !which) {
        status = sea_fail(err, SEA_E_CONFIG, "--now needs a worker");
        sea_hint(err, "`sea drain` lists them; `sea drain all --now` empties the service.");
    }
    if (!status)
        status = sea_home_connect(&command.home, command.role, &command.db, err);
    if (!status && which)
        status = drain_workers(command.db, id, now ? "checkpoint" : "finish", err);
    if (!status)
        status = sea_table_query(command.db, "drain_list", SEA_NO_PARAMS,
                                 json ? SEA_FORMAT_JSON : SEA_FORMAT_TABLE, "no workers", stdout,
                                 err);
    sea_db_close(command.db);
    return status;
}

enum sea_status
sea_cmd_gc(const struct sea_call *call, struct sea_err *err)
{
    struct sea_collector_options options = SEA_COLLECTOR_DEFAULTS;
    const char *data = NULL;
    int64_t minutes = options.grace_ms / 60000, days = options.keep_ms / 86400000;
    bool json = false;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--dry-run", SEA_ARG_FLAG, &options.look_only, NULL, "tell, remove nothing" },
        { "--grace", SEA_ARG_INT, &minutes, "MINUTES", "younger files stay (60)" },
        { "--keep", SEA_ARG_INT, &days, "DAYS", "checkpoints of ended stages stay (14)" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };
    struct sea_home_command command = { .table = table, .table_count = 5, .data = &data,
                                        .role = "sea gc" };
    struct sea_collector_counts counts = { 0 };
    struct sea_store store;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    if (minutes < 0 || days < 0 || days > DAYS_MAX || minutes > DAYS_MAX * (int64_t)1440)
        status = sea_fail(err, SEA_E_CONFIG, "--grace %lld minutes, --keep %lld days: expected "
                          "0 to %d days", (long long)minutes, (long long)days, DAYS_MAX);
    if (!status)
        status = sea_home_connect(&command.home, command.role, &command.db, err);
    if (!status)
        status = sea_path_join(path, command.home.dir, "store", err);
    if (!status) {
        options.grace_ms = minutes * 60000;
        options.keep_ms = days * 86400000;
    }
    if (!status)
        status = sea_store_open(&store, path, err);
    if (!status)
        status = sea_collector_run(command.db, &store, &options, &counts, err);
    sea_db_close(command.db);
    if (status)
        return status;
    if (json)
        printf("{\"files\":%lld,\"bytes\":%lld,\"leftovers\":%lld,\"removed\":%s}\n",
               (long long)counts.blobs, (long long)counts.bytes, (long long)counts.leftovers,
               options.look_only ? "false" : "true");
    else
        printf("%s %lld files of %.1f MiB, and %lld leftovers\n",
               options.look_only ? "would remove" : "removed", (long long)counts.blobs,
               (double)counts.bytes / (1 << 20), (long long)counts.leftovers);
    return SEA_OK;
}
