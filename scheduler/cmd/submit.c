/* SPDX-License-Identifier: Apache-2.0 */
/* sea submit, sea run: experiments into the queue, and to their end. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>

#include "engine/base/sea_log.h"
#include "pipeline/sea_experiment.h"
#include "pipeline/sea_inputs.h"
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

struct submit_options {
    const char *file, *key;
    struct sea_texts sets;
    bool wait, json, unchecked;
};

/* One call, one transaction: all experiments of a sweep are queued, or none. */
static enum sea_status
submit_all(struct sea_db *db, const struct sea_experiments *found,
           const struct submit_options *options, struct sea_arena *arena, struct submitted *out,
           struct sea_err *err)
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
        if (!status && !options->unchecked)
            status = sea_inputs_check(found->list[i].config,
                                      i ? found->list[i - 1].config : NULL, err);
        if (!status)
            status = sea_json_write(found->list[i].config, SEA_JSON_COMPACT, &list, err);
        if (status)
            sea_context(err, "while submitting \"%s\" (%zu of %zu)", found->list[i].name, i + 1,
                        found->count);
    }
    sea_buf_puts(&list, "]");
    if (!status)
        status = sea_db_query(db, "submit_all", SEA_PARAMS(SEA_P_TEXT(list.data),
                              SEA_P_TEXT(options->key)), &rows, err);
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

static enum sea_status
submit_file(const struct sea_call *call, const struct submit_options *options,
            struct sea_home_command *command, struct submitted *done, struct sea_err *err)
{
    struct sea_experiments found;
    enum sea_status status;

    done->count = 0;
    status = sea_experiment_load(options->file, options->sets.at, options->sets.count,
                                 call->arena, &found, err);
    if (!status)
        status = sea_home_connect(&command->home, command->role, &command->db, err);
    if (!status)
        status = submit_all(command->db, &found, options, call->arena, done, err);
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
    const struct sea_arg table[] = {
        { "--set", SEA_ARG_LIST, &options.sets, "KEY=VALUE", "override a key (repeat)" },
        { "--key", SEA_ARG_TEXT, &options.key, "K", "the same key again queues nothing twice" },
        { "--wait", SEA_ARG_FLAG, &options.wait, NULL, "follow it to its end" },
        { "--json", SEA_ARG_FLAG, &options.json, NULL, "ids as a JSON list" },
        { "--unchecked", SEA_ARG_FLAG, &options.unchecked, NULL,
          "its files are where the workers are, not here" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 6, .min = 1, .max = 1,
                                        .data = &data, .role = "sea submit" };
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    options.file = command.rest.at[0];
    status = submit_file(call, &options, &command, &done, err);
    if (!status && options.wait)
        status = sea_role_hold(command.home.dir, NULL, err);    /* Ctrl-C ends the watching only */
    if (!status && options.wait)
        status = wait_for(command.db, &done, err);
    sea_db_close(command.db);
    return status;
}

/* ---- run: a scheduler and the follower as threads, the worker in the main thread ---- */

struct run_thread {
    const struct sea_home *home;
    struct sea_db *db;
    struct submitted *done;
    enum sea_status status;
    bool stopped;               /* by Ctrl-C, before the experiments had ended */
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
    thread->stopped = sea_role_stop;
    sea_role_stop = 1;
    return NULL;
}

/* Waits for a thread; its status, unless something else went wrong before. */
static enum sea_status
join(pthread_t id, const struct run_thread *thread, enum sea_status status, struct sea_err *err)
{
    pthread_join(id, NULL);
    if (status || !thread->status)
        return status;
    *err = thread->err;
    return thread->status;
}

enum sea_status
sea_cmd_run(const struct sea_call *call, struct sea_err *err)
{
    struct submit_options options = { .file = NULL };
    struct sea_gpus gpus;
    struct sea_worker_options worker = { .stage_program = call->program, .gpus = &gpus };
    const char *data = NULL;
    static struct submitted done;
    struct run_thread scheduler = { 0 }, follower = { 0 };
    pthread_t scheduler_id, follower_id;
    const struct sea_arg table[] = {
        { "--set", SEA_ARG_LIST, &options.sets, "KEY=VALUE", "override a key (repeat)" },
        { "--device", SEA_ARG_TEXT, &worker.device, "D", "cpu, cpu:N, cuda:N or auto" },
        { "--data", SEA_ARG_TEXT, &data, "DIR", "data folder (SEA_DATA, ./.sea)" },
    };
    struct sea_home_command command = { .table = table, .table_count = 3, .min = 1, .max = 1,
                                        .data = &data, .role = "sea submit" };
    enum sea_status status = sea_home_prepare(call, &command, err);

    if (status || command.helped)
        return status;
    options.file = command.rest.at[0];
    status = sea_gpus_find(worker.device, SEA_GPUS_ASK, &gpus, err);
    if (status)
        return status;
    /* The stages run here, whatever the experiment says: the last word counts. */
    if (options.sets.count < SEA_ARGS_MAX)
        options.sets.at[options.sets.count++] = "resources.backend=local";
    status = submit_file(call, &options, &command, &done, err);
    if (!status)
        status = sea_role_hold(command.home.dir, NULL, err);
    if (status)
        goto out;
    sea_log_open("run", SEA_LOG_WARN, stderr);
    scheduler.home = follower.home = &command.home;
    follower.db = command.db;
    follower.done = &done;
    worker.url = command.home.url;
    worker.data = command.home.dir;
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
    status = join(scheduler_id, &scheduler, status, err);
    status = join(follower_id, &follower, status, err);
    if (status == SEA_E_STOPPED && follower.stopped) {
        sea_err_clear(err);
        (void)sea_fail(err, SEA_E_STOPPED, "stopped before the end; what is not done stays queued");
        sea_hint(err, "The same command again, or any worker (`sea up`), goes on from there; `sea "
                 "cancel %lld` ends it.", (long long)done.ids[0]);
    }
out:
    sea_db_close(command.db);
    return status;
}
