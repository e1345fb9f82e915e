/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_attempt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "scheduler/attempt_int.h"

#define ARGS_FIXED 16            /* arguments of a stage besides two for each input */
#define TICK_MS 100
#define TELL_MS 500             /* between two tries to tell the start */

/* ---- before ---- */

static enum sea_status
make_paths(struct sea_attempt *a, struct sea_err *err)
{
    char name[64];
    enum sea_status status;

    snprintf(name, sizeof(name), "%lld.%lld", (long long)a->fence->stage_id,
             (long long)a->fence->epoch);
    status = sea_path_join(a->folder, a->options->tmp, name, err);
    if (!status)
        status = sea_path_join(a->out, a->folder, "out", err);
    if (!status)
        status = sea_path_join(a->config, a->folder, "config.json", err);
    if (!status)
        status = sea_path_join(a->log, a->folder, "output.log", err);
    if (!status)
        status = sea_dir_remove(a->folder, err);
    return status ? status : sea_dir_create(a->out, err);
}

static enum sea_status
put_inputs(struct sea_attempt *a, struct sea_err *err)
{
    char name[64], path[SEA_PATH_MAX];
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < a->claim->inputs_count && !status; i++) {
        snprintf(name, sizeof(name), "in/%s", a->claim->inputs[i].name);
        status = sea_path_join(path, a->folder, name, err);
        if (!status)
            status = sea_store_materialise(a->options->store, &a->claim->inputs[i].files, path,
                                           err);
    }
    return status;
}

/* A checkpoint that cannot be used is left aside: the stage starts anew. */
static enum sea_status
put_checkpoint(struct sea_attempt *a, struct sea_err *err)
{
    struct sea_err mine = { 0 };
    enum sea_status status;

    if (!a->claim->checkpoint.name)
        return SEA_OK;
    if (!sea_store_checkpoint_get(a->options->store, a->claim->checkpoint.name,
                                  &a->claim->checkpoint.files, a->out, &mine)) {
        a->resumed = true;
        return SEA_OK;
    }
    sea_log_err(SEA_LOG_WARN, &mine);
    sea_relay_log(a->relay, "warn", mine.message);
    sea_relay_log(a->relay, "warn", "the checkpoint is left aside, the stage starts anew");
    status = sea_dir_remove(a->out, err);
    return status ? status : sea_dir_create(a->out, err);
}

static enum sea_status
start_child(struct sea_attempt *a, struct sea_err *err)
{
    const struct sea_worker_options *worker = a->options->worker;
    struct sea_arena *arena = a->options->arena;
    char **argv = sea_arena_alloc(arena, ARGS_FIXED + 2 * a->claim->inputs_count, sizeof(*argv));
    const char *device = worker->device;
    char *events, **env = NULL;
    size_t n = 0, i;

    events = sea_arena_printf(arena, "%d", SEA_CHILD_EVENTS_FD);
    argv[n++] = sea_arena_strdup(arena, worker->stage_program);
    argv[n++] = sea_arena_strdup(arena, "stage");
    argv[n++] = sea_arena_strdup(arena, a->claim->stage);
    argv[n++] = sea_arena_strdup(arena, "--config");
    argv[n++] = a->config;
    for (i = 0; i < a->claim->inputs_count; i++) {
        const char *name = a->claim->inputs[i].name;

        argv[n++] = sea_arena_strdup(arena, "--in");
        argv[n++] = sea_arena_printf(arena, "%s=%s/in/%s", name, a->folder, name);
    }
    argv[n++] = sea_arena_strdup(arena, "--out");
    argv[n++] = a->out;
    argv[n++] = sea_arena_strdup(arena, "--events");
    argv[n++] = events;
    /* It sees what it holds, from 0; without any its experiment names the CPU. */
    if (worker->gpus && worker->gpus->count) {
        const char *visible = sea_gpus_visible(worker->gpus, a->claim->gpus, a->claim->gpus_count,
                                               arena);

        env = sea_gpus_environment(visible, arena);
        device = a->claim->gpus_count ? "cuda" : NULL;
        sea_log(SEA_LOG_INFO, "stage gets gpus=%s id=%lld epoch=%lld", visible,
                (long long)a->fence->stage_id, (long long)a->fence->epoch);
    }
    if (device) {
        argv[n++] = sea_arena_strdup(arena, "--device");
        argv[n++] = sea_arena_strdup(arena, device);
    }
    argv[n] = NULL;
    a->started_ms = sea_clock_ms();
    return sea_child_start_env(&a->child, argv, env, a->log, err);
}

enum sea_status
sea_attempt_tell_start(struct sea_attempt *a, struct sea_err *err)
{
    enum sea_status status;

    if (!a->pid || a->is_start_told)
        return SEA_OK;
    status = sea_queue_start(a->options->db, a->fence, a->pid, a->resumed, a->claim, err);
    a->is_start_told = status == SEA_OK;
    a->tell_start_ms = sea_clock_ms() + TELL_MS;
    return status;
}

static enum sea_status
prepare(struct sea_attempt *a, struct sea_err *err)
{
    enum sea_status status;

    status = put_inputs(a, err);
    if (!status)
        status = put_checkpoint(a, err);
    if (!status)
        status = sea_file_replace(a->config, a->claim->config, strlen(a->claim->config), err);
    if (!status && sea_lease_is_lost(a->lease))
        status = sea_fail(err, SEA_E_LEASE, "the lease was lost before the stage started");
    if (!status)
        status = start_child(a, err);
    if (status)
        return status;
    a->pid = a->child.pid;
    sea_lease_guard(a->lease, a->child.pid);
    status = sea_attempt_tell_start(a, err);
    /* Without a database the child goes on; whether it may is the lease's business. */
    if (status == SEA_E_SERVICE) {
        sea_err_clear(err);
        status = SEA_OK;
    }
    return status;
}

/* ---- while the child runs ---- */

/* An operator sees that the worker takes no more. Only a courtesy: without an answer the
 * database finds out when the worker is gone. */
static void
tell_draining(struct sea_attempt *a)
{
    struct sea_err ignored = { 0 };

    if (a->told || sea_db_is_lost(a->options->db))
        return;
    a->told = true;
    if (sea_queue_worker_state(a->options->db, a->options->worker_id, "draining", &ignored))
        sea_log_err(SEA_LOG_DEBUG, &ignored);
}

static void
ask_to_stop(struct sea_attempt *a)
{
    int64_t now = sea_clock_ms();
    bool cancel = sea_lease_wants_cancel(a->lease);
    bool stop = sea_attempt_is_stopped(a) || sea_lease_drain(a->lease) == SEA_DRAIN_CHECKPOINT;
    bool late = a->claim->timeout_ms && now - a->started_ms >= a->claim->timeout_ms;

    if (a->kill_ms && now >= a->kill_ms && !a->killed) {
        a->killed = true;
        sea_child_signal(&a->child, SIGKILL);
    }
    if (a->kill_ms || (!cancel && !stop && !late))
        return;
    a->cancelling = cancel;
    a->stopping = stop;
    a->late = late;
    a->kill_ms = now + a->options->worker->grace_ms;
    sea_child_signal(&a->child, SIGTERM);
    if (sea_attempt_is_stopped(a))
        tell_draining(a);
}

/* Returns SEA_E_LEASE when the attempt is over for us; the child is dead then. */
static enum sea_status
watch(struct sea_attempt *a, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    bool closed = false, ended;

    do {
        /* Once it is closed, the pipe would wake the wait at once, again and again. */
        if (closed)
            sea_clock_sleep_ms(10);
        sea_child_wait(&a->child, closed ? 0 : TICK_MS);
        ended = a->child.ended;
        ask_to_stop(a);
        if (!closed)
            status = sea_relay_read(a->relay, a->child.events, &closed, err);
        if (!status)
            status = sea_relay_flush(a->relay, false, err);
        if (!status && !a->is_start_told && sea_clock_ms() >= a->tell_start_ms &&
            !sea_db_is_lost(a->options->db)) {
            struct sea_err mine = { 0 };

            status = sea_attempt_tell_start(a, &mine);
            if (status == SEA_E_SERVICE)
                status = SEA_OK;
            else if (status)
                *err = mine;
        }
        if (!status && sea_lease_is_lost(a->lease))
            status = sea_fail(err, SEA_E_LEASE, "the lease was lost while the stage ran");
        /* What a child said last waits in the pipe while the relay is full. */
    } while (!status && (!ended || sea_relay_is_full(a->relay)));
    return status;
}

void
sea_attempt_run(const struct sea_attempt_options *options)
{
    struct sea_attempt a = { .options = options, .claim = options->claim,
                             .fence = &options->claim->fence, .child = { .events = -1 } };
    struct sea_err err = { 0 }, ignored = { 0 };
    enum sea_status status;
    int exit_status;

    sea_log(SEA_LOG_INFO, "stage claimed stage=%s id=%lld epoch=%lld experiment=%lld",
            a.claim->stage, (long long)a.fence->stage_id, (long long)a.fence->epoch,
            (long long)a.claim->experiment_id);
    a.relay = sea_relay_create(&(struct sea_relay_options){
        .db = options->db, .fence = a.fence, .store = options->store, .out = a.out });
    status = sea_lease_open(options->worker->url, a.fence, options->worker->ttl_ms,
                            options->claimed_ms, &a.lease, &err);
    if (status) {
        sea_log_err(SEA_LOG_ERROR, &err);       /* the lease runs out */
        goto out;
    }
    status = make_paths(&a, &err);
    if (!status)
        status = prepare(&a, &err);
    if (status && !a.child.pid && status != SEA_E_LEASE) {
        a.ours = true;          /* the stage has not been asked yet: another try may do */
        sea_attempt_settle(&a, sea_status_exit(status), &err);
        goto out;
    }
    if (!status)
        status = watch(&a, &err);
    if (status)
        sea_child_signal(&a.child, SIGKILL);
    sea_lease_guard(a.lease, 0);
    exit_status = sea_child_reap(&a.child);
    if (status == SEA_E_LEASE) {
        sea_log_err(SEA_LOG_WARN, &err);
        if (sea_lease_is_lost(a.lease) && !sea_lease_was_refused(a.lease))
            sea_attempt_give_back(&a);
    } else if (status) {
        sea_attempt_settle(&a, sea_status_exit(status), &err);
    } else {
        sea_attempt_finish(&a, exit_status);
    }
out:
    sea_lease_close(a.lease);
    sea_relay_destroy(a.relay);
    if (sea_dir_remove(a.folder, &ignored))
        sea_log_err(SEA_LOG_WARN, &ignored);
}
