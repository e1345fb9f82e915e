/* SPDX-License-Identifier: Apache-2.0 */
/* sea submit, sea run: experiments into the queue, and to their end. */
#include <pthread.h>
#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_log.h"
#include "pipeline/sea_experiment.h"
#include "scheduler/sea_args.h"
#include "scheduler/sea_command.h"
#include "scheduler/sea_follow.h"
#include "scheduler/sea_home.h"
#include "scheduler/sea_queue.h"
#include "scheduler/sea_role.h"
#include "scheduler/sea_scheduler.h"
#include "scheduler/sea_worker.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define SUITE_BYTES_MAX ((size_t)1 << 20)
#define SERVICE_AWAY_MS 60000   /* how long --wait waits for a database that went away */

static bool
names_path(const struct sea_config_key *key, const char *text)
{
    if (strcmp(key->path, "stages.label.words") == 0)
        return strcmp(text, "auto") != 0;
    return key->kind == SEA_KEY_FILE || key->kind == SEA_KEY_FOLDER
           || key->kind == SEA_KEY_MODEL || strcmp(key->path, "stages.eval.root") == 0;
}

/* Gives key the value folder/text. */
static enum sea_status
set_path(struct sea_node *config, const char *key, const char *folder, const char *text,
         struct sea_arena *arena, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    char *parent = sea_arena_strdup(arena, key), *dot = strrchr(parent, '.');
    enum sea_status status;

    while (text[0] == '.' && text[1] == '/')
        text += 2;
    status = sea_path_join(path, folder, text, err);
    if (dot)
        *dot = 0;
    if (!status)
        sea_node_put_text(arena, dot ? sea_node_path(config, parent) : config,
                          dot ? dot + 1 : key, path);
    return status;
}

/* A suite's file, found as stage eval finds it, and the folder that its benchmarks lie in,
 * which the file may name relative to the submitter's folder, too. A suite that is not there
 * is left as it is: it may be there where the workers run. */
static enum sea_status
make_suite_absolute(struct sea_node *config, const char *cwd, struct sea_arena *arena,
                    struct sea_err *err)
{
    const char *name = sea_node_text(sea_node_path(config, "stages.eval.suite"), "");
    const char *root = sea_node_text(sea_node_path(config, "stages.eval.root"), "");
    size_t len = strlen(name);
    bool is_path = strchr(name, '/') || (len > 5 && strcmp(name + len - 5, ".yaml") == 0);
    const char *file = is_path ? name : sea_arena_printf(arena, "configs/suites/%s.yaml", name);
    struct sea_node *map;
    enum sea_status status;

    if (!name[0] || (!is_path && !sea_file_exists(file)))
        return SEA_OK;
    status = set_path(config, "stages.eval.suite", cwd, file, arena, err);
    if (status || root[0] || !sea_file_exists(file))
        return status;
    status = sea_yaml_load(file, SUITE_BYTES_MAX, arena, &map, err);
    if (status)
        return status;
    root = sea_node_text(sea_node_get(map, "root"), "");
    return root[0] == '/' ? SEA_OK
                          : set_path(config, "stages.eval.root", cwd, root, arena, err);
}

/* Workers run elsewhere in the file system: what the file names relative to the folder of
 * the submitter goes into the queue as an absolute path. */
static enum sea_status
make_absolute(struct sea_node *config, struct sea_arena *arena, struct sea_err *err)
{
    const struct sea_config_key *keys;
    char cwd[SEA_PATH_MAX];
    enum sea_status status;
    size_t count, i;

    if (!getcwd(cwd, sizeof(cwd)))
        return sea_fail_errno(err, "could not tell the current folder");
    status = make_suite_absolute(config, cwd, arena, err);
    keys = sea_experiment_keys(&count);
    for (i = 0; i < count && !status; i++) {
        const char *text = sea_node_text(sea_node_path(config, keys[i].path), "");

        if (text[0] && text[0] != '/' && text[0] != '@' && names_path(&keys[i], text))
            status = set_path(config, keys[i].path, cwd, text, arena, err);
    }
    return status;
}

struct submitted {
    int64_t ids[SEA_EXPERIMENT_SWEEP_MAX];
    size_t count;
};

static enum sea_status
submit_all(struct sea_db *db, const struct sea_experiments *found, const char *key,
           struct sea_arena *arena, struct submitted *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct sea_buf text;
    size_t i;

    out->count = 0;
    sea_buf_init(&text, CONFIG_BYTES_MAX);
    for (i = 0; i < found->count && !status; i++) {
        const char *one = key;

        if (key && found->count > 1)    /* a key per experiment of a sweep */
            one = sea_arena_printf(arena, "%s#%s", key, found->list[i].name);
        sea_buf_clear(&text);
        status = make_absolute(found->list[i].config, arena, err);
        if (!status)
            status = sea_json_write(found->list[i].config, SEA_JSON_COMPACT, &text, err);
        if (!status)
            status = sea_queue_submit(db, text.data, one, &out->ids[i], err);
        if (!status)
            out->count++;
        else
            sea_context(err, "while submitting \"%s\" (%zu of %zu)", found->list[i].name, i + 1,
                        found->count);
    }
    sea_buf_release(&text);
    return status;
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
    if (result.failed + result.cancelled == 0)
        return SEA_OK;
    status = sea_fail(err, SEA_E_INTERNAL, "%zu experiment%s failed, %zu cancelled",
                      result.failed, result.failed == 1 ? "" : "s", result.cancelled);
    sea_hint(err, "`sea logs ID` tells why; `sea retry ID` queues the failed stages again.");
    return status;
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
    /* Also when a later one was refused: what is queued must be known. */
    if (done->count)
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
