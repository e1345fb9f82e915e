/* SPDX-License-Identifier: Apache-2.0 */
/* sea up, down, migrate, worker, scheduler: the long-running roles. */
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_log.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_migrate.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_scheduler.h"
#include "scheduler/sea_worker.h"

#define WORKERS_MAX 64
#define STOP_MS 60000           /* a worker may finish a step and write a checkpoint */

static enum sea_status
migrate_home(const struct sea_home *home, struct sea_migration_state *state, struct sea_err *err)
{
    struct sea_db_options options = { .url = home->url, .role = "sea migrate" };
    struct sea_db *db = NULL;
    enum sea_status status;

    status = sea_db_open(&options, &db, err);
    if (!status)
        status = sea_migrate(db, state, err);
    sea_db_close(db);
    return status;
}

/* The scheduler, and workers worker-1 .. worker-N, as processes of their own. */
static enum sea_status
start_roles(const struct sea_call *call, const struct sea_home *home, int64_t workers,
            const char *device, const char *ttl, struct sea_err *err)
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
        char name[32];
        const char *worker[] = { call->program, "worker", "--data", home->dir, "--role", name,
                                 "--device", device, "--ttl", ttl, NULL };

        snprintf(name, sizeof(name), "worker-%d", (int)i);
        status = sea_role_start(home->dir, name, call->program, worker, &started, err);
        if (!status)
            printf("%s: %s on %s\n", name, started ? "started" : "runs already", device);
    }
    return status;
}

enum sea_status
sea_cmd_up(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL, *device = "auto", *ttl = "30";
    int64_t workers = 1;
    struct sea_migration_state state = { 0 };
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--workers", SEA_ARG_INT, &workers, "N", "workers of this machine (1)" },
        { "--device", SEA_ARG_TEXT, &device, "D", "of each worker: cpu, cpu:N, cuda:N, auto" },
        { "--ttl", SEA_ARG_TEXT, &ttl, "SECONDS", "a silent worker's stage is taken back (30)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 4, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status && (workers < 0 || workers > WORKERS_MAX))
        status = sea_fail(err, SEA_E_CONFIG, "--workers %d is not in 0..%d", (int)workers,
                          WORKERS_MAX);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (!status && home.is_private)
        status = sea_cluster_start(&home.cluster, err);
    if (!status)
        status = migrate_home(&home, &state, err);
    if (status)
        return status;
    printf("postgresql: %s\n", home.url ? home.url : "as the environment says");
    printf("schema: version %d%s\n", (int)state.version, state.applied ? ", just applied" : "");
    return start_roles(call, &home, workers, device, ttl, err);
}

enum sea_status
sea_cmd_down(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL;
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    int stopped = 0, more = 0;
    bool helped;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 1, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (!status)
        status = sea_role_stop_all(home.dir, "worker", STOP_MS, &stopped, err);
    if (!status)
        status = sea_role_stop_all(home.dir, "", STOP_MS, &more, err);
    if (!status && home.is_private)
        status = sea_cluster_stop(&home.cluster, SEA_CLUSTER_FAST, err);
    if (!status)
        printf("stopped %d process%s%s\n", stopped + more, stopped + more == 1 ? "" : "es",
               home.is_private ? " and PostgreSQL" : "");
    return status;
}

enum sea_status
sea_cmd_migrate(const struct sea_call *call, struct sea_err *err)
{
    const char *data = NULL;
    struct sea_migration_state state = { 0 };
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped, json = false;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--json", SEA_ARG_FLAG, &json, NULL, "as JSON" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 2, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (!status)
        status = migrate_home(&home, &state, err);
    if (status)
        return status;
    if (json)
        printf("{\"version\":%d,\"newest\":%d,\"applied\":%zu}\n", (int)state.version,
               (int)state.newest, state.applied);
    else
        printf("schema version %d, migrations applied now: %zu\n", (int)state.version,
               state.applied);
    return SEA_OK;
}

enum sea_status
sea_cmd_worker(const struct sea_call *call, struct sea_err *err)
{
    struct sea_worker_options options = { .stage_program = call->program };
    const char *data = NULL, *role = NULL;
    int64_t ttl = 30;
    struct sea_db *db = NULL;
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--device", SEA_ARG_TEXT, &options.device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--queue", SEA_ARG_TEXT, &options.queue, "NAME", "claim from this queue (default)" },
        { "--ttl", SEA_ARG_INT, &ttl, "SECONDS", "life of a lease without heartbeat (30)" },
        { "--once", SEA_ARG_FLAG, &options.once, NULL, "one stage at most, then end" },
        { "--role", SEA_ARG_TEXT, &role, "NAME", "hold this role (used by `sea up`)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 6, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status && (ttl < 1 || ttl > 86400))
        status = sea_fail(err, SEA_E_CONFIG, "--ttl %d is not in 1..86400", (int)ttl);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (!status)
        status = sea_home_connect(&home, "sea worker", &db, err);
    sea_db_close(db);           /* a test that the service is there and fits */
    if (!status)
        status = sea_role_hold(home.dir, role, err);
    if (status)
        return status;
    sea_log_open("worker", SEA_LOG_INFO, stderr);
    options.url = home.url;
    options.data = home.dir;
    options.ttl_ms = ttl * 1000;
    options.stop = &sea_role_stop;
    return sea_worker_run(&options, err);
}

enum sea_status
sea_cmd_scheduler(const struct sea_call *call, struct sea_err *err)
{
    struct sea_scheduler_options options = { .stop = &sea_role_stop };
    const char *data = NULL, *role = NULL;
    struct sea_db *db = NULL;
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
        { "--tick", SEA_ARG_INT, &options.tick_ms, "MS", "pause between two looks (250)" },
        { "--role", SEA_ARG_TEXT, &role, "NAME", "hold this role (used by `sea up`)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 3, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 0, 0, call->usage, err);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (!status)
        status = sea_home_connect(&home, "sea scheduler", &db, err);
    sea_db_close(db);
    if (!status)
        status = sea_role_hold(home.dir, role, err);
    if (status)
        return status;
    sea_log_open("scheduler", SEA_LOG_INFO, stderr);
    options.url = home.url;
    return sea_scheduler_run(&options, err);
}
