/* SPDX-License-Identifier: Apache-2.0 */
/* sea submit, sea run: experiments into the queue, and to their end. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_log.h"
#include "pipeline/sea_experiment.h"
#include "scheduler/sea_absolute.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_follow.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_scheduler.h"
#include "scheduler/sea_worker.h"

#define CONFIGS_BYTES_MAX ((size_t)256 << 20)   /* all experiments of a sweep */
#define SERVICE_AWAY_MS 60000   /* how long --wait waits for a database that went away */

struct submitted {
    int64_t ids[SEA_EXPERIMENT_SWEEP_MAX];
    size_t count;
};

/* One call, one transaction: all experiments of a sweep are queued, or none. */
static enum sea_status
submit_all(struct sea_db *db, const struct sea_experiments *found, const char *key,
           struct sea_arena *arena, struct submitted *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct sea_rows *rows = NULL;
    struct sea_buf list;
    size_t i;

    out->count = 0;
    sea_buf_init(&list, CONFIGS_BYTES_MAX);
    for (i = 0; i < found->count && !status; i++) {
        sea_buf_puts(&list, i ? "," : "[");
        status = sea_absolute_paths(found->list[i].config, arena, err);
        if (!status)
            status = sea_json_write(found->list[i].config, SEA_JSON_COMPACT, &list, err);
        if (status)
            sea_context(err, "while submitting \"%s\" (%zu of %zu)", found->list[i].name, i + 1,
                        found->count);
    }
    sea_buf_puts(&list, "]");
    if (!status)
        status = sea_db_query(db, "submit_all",
                              SEA_PARAMS(SEA_P_TEXT(list.data), SEA_P_TEXT(key)), &rows, err);
    for (i = 0; i < sea_rows_count(rows) && i < SEA_EXPERIMENT_SWEEP_MAX; i++)
        out->ids[out->count++] = sea_rows_int(rows, i, "experiment_id", err);
    sea_rows_close(rows);
    sea_buf_release(&list);
    return status ? status : err->status;
}

static void
print_submitted(const struct sea_experiments *found, const struct submitted *done, bool json)
{
    size_t i;

    if (json) {
        printf("[");
        for (i = 0; i < done->count; i++)
            printf("%s%lld", i ? "," : "", (long long)done->ids[i]);
        printf("]\n");
        return;
    }
    for (i = 0; i < done->count; i++)
        printf("experiment %lld: %s\n", (long long)done->ids[i], found->list[i].name);
    fflush(stdout);
}

/* Follows the experiments and turns their end into a status. */
static enum sea_status
wait_for(struct sea_db *db, const struct submitted *done, struct sea_err *err)
{
    struct sea_follow_result result;
    enum sea_status status;

    status = sea_follow(db, done->ids, done->count, SERVICE_AWAY_MS, &sea_role_stop, stderr,
                        &result, err);
    if (status)
        return status;
    fprintf(stderr, "%zu experiment%s succeeded; %zu of %zu stages came from the cache\n",
            result.succeeded, result.succeeded == 1 ? "" : "s", result.cached, result.stages);
    return sea_follow_failure(db, done->ids, done->count, &result, err);
}

struct submit_options {
    const char *file, *key;
    struct sea_texts sets;
    bool wait, json;
};

static enum sea_status
submit_file(const struct sea_call *call, const struct submit_options *options,
            const struct sea_home *home, struct submitted *done, struct sea_db **db,
            struct sea_err *err)
{
    struct sea_experiments found;
    enum sea_status status;

    *db = NULL;
    done->count = 0;
    status = sea_experiment_load(options->file, options->sets.at, options->sets.count,
                                 call->arena, &found, err);
    if (!status)
        status = sea_home_connect(home, "sea submit", db, err);
    if (!status)
        status = submit_all(*db, &found, options->key, call->arena, done, err);
    if (!status)
        print_submitted(&found, done, options->json);
    return status;
}

enum sea_status
sea_cmd_submit(const struct sea_call *call, struct sea_err *err)
{
    struct submit_options options = { .file = NULL };
    const char *data = NULL;
    static struct submitted done;
    struct sea_db *db = NULL;
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--set", SEA_ARG_LIST, &options.sets, "KEY=VALUE", "override a key (repeat)" },
        { "--key", SEA_ARG_TEXT, &options.key, "K", "the same key again queues nothing twice" },
        { "--wait", SEA_ARG_FLAG, &options.wait, NULL, "follow it to its end" },
        { "--json", SEA_ARG_FLAG, &options.json, NULL, "ids as a JSON list" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 5, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (status)
        return status;
    options.file = rest.at[0];
    status = submit_file(call, &options, &home, &done, &db, err);
    if (!status && options.wait)
        status = sea_role_hold(home.dir, NULL, err);    /* Ctrl-C ends the watching only */
    if (!status && options.wait)
        status = wait_for(db, &done, err);
    sea_db_close(db);
    return status;
}

/* ---- run: a scheduler and the follower as threads, the worker in the main thread ---- */

struct run_thread {
    const struct sea_home *home;
    struct sea_db *db;
    struct submitted *done;
    enum sea_status status;
    struct sea_err err;
};

static void *
run_scheduler(void *arg)
{
    struct run_thread *thread = arg;
    struct sea_scheduler_options options = { .url = thread->home->url, .stop = &sea_role_stop };

    thread->status = sea_scheduler_run(&options, &thread->err);
    sea_role_stop = 1;          /* a scheduler that ends early ends the run */
    return NULL;
}

static void *
run_follower(void *arg)
{
    struct run_thread *thread = arg;

    thread->status = wait_for(thread->db, thread->done, &thread->err);
    sea_role_stop = 1;
    return NULL;
}

enum sea_status
sea_cmd_run(const struct sea_call *call, struct sea_err *err)
{
    struct submit_options options = { .file = NULL };
    struct sea_worker_options worker = { .stage_program = call->program };
    const char *data = NULL;
    static struct submitted done;
    struct run_thread scheduler = { 0 }, follower = { 0 };
    pthread_t scheduler_id, follower_id;
    struct sea_db *db = NULL;
    struct sea_home home;
    struct sea_texts rest;
    enum sea_status status;
    bool helped;
    const struct sea_arg table[] = {
        { "--set", SEA_ARG_LIST, &options.sets, "KEY=VALUE", "override a key (repeat)" },
        { "--device", SEA_ARG_TEXT, &worker.device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };

    status = sea_args_parse(call->argc, call->argv, call->usage, table, 3, &rest, &helped, err);
    if (status || helped)
        return status;
    status = sea_args_count(&rest, 1, 1, call->usage, err);
    if (!status)
        status = sea_home_open(&home, data, err);
    if (status)
        return status;
    options.file = rest.at[0];
    status = submit_file(call, &options, &home, &done, &db, err);
    if (!status)
        status = sea_role_hold(home.dir, NULL, err);
    if (status)
        goto out;
    sea_log_open("run", SEA_LOG_WARN, stderr);
    scheduler.home = follower.home = &home;
    follower.db = db;
    follower.done = &done;
    worker.url = home.url;
    worker.data = home.dir;
    worker.stop = &sea_role_stop;
    if (pthread_create(&scheduler_id, NULL, run_scheduler, &scheduler)) {
        status = sea_fail(err, SEA_E_INTERNAL, "could not start a thread");
        goto out;
    }
    if (pthread_create(&follower_id, NULL, run_follower, &follower)) {
        sea_role_stop = 1;
        pthread_join(scheduler_id, NULL);
        status = sea_fail(err, SEA_E_INTERNAL, "could not start a thread");
        goto out;
    }
    status = sea_worker_run(&worker, err);
    sea_role_stop = 1;
    pthread_join(follower_id, NULL);
    pthread_join(scheduler_id, NULL);
    if (!status && follower.status) {
        *err = follower.err;
        status = follower.status;
    }
out:
    sea_db_close(db);
    return status;
}
