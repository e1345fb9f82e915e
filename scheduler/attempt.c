/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_attempt.h"

#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_lease.h"
#include "scheduler/sea_relay.h"
#include "scheduler/sea_scores.h"
#include "scheduler/sea_supervisor.h"

#define TAIL_BYTES 4000         /* of the child's output, shown when it fails */
#define ARGS_FIXED 16            /* arguments of a stage besides two for each input */
#define PAUSE_MS_MIN 50         /* between two tries while the database is away: doubles ... */
#define PAUSE_MS_MAX 2000       /* ... up to this */
#define TICK_MS 100

struct attempt {
    const struct sea_attempt_options *options;
    const struct sea_claim *claim;
    const struct sea_fence *fence;
    char folder[SEA_PATH_MAX], out[SEA_PATH_MAX], config[SEA_PATH_MAX], log[SEA_PATH_MAX];
    struct sea_lease *lease;
    struct sea_relay *relay;
    struct sea_child child;
    bool resumed;
    bool stopping, cancelling, late;    /* why the child got SIGTERM */
    bool told;                  /* the database knows that the worker drains */
    bool killed;                /* it did not end within the grace */
    bool ours;                  /* the stage was done, publishing it failed */
    int64_t kill_ms;            /* 0: no SIGTERM sent */
    int64_t started_ms;         /* the child's start */
    int64_t pid;                /* of the child, also after its end; 0: it never started */
    bool is_start_told;         /* the database knows of it, and of what it went on from */
    int64_t tell_start_ms;      /* when to try again */
    int tries;                  /* since the last call of patience() */
};

static bool
is_stopped(const struct attempt *a)
{
    return a->options->worker->stop && *a->options->worker->stop;
}

/* ---- before ---- */

static enum sea_status
make_paths(struct attempt *a, struct sea_err *err)
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
put_inputs(struct attempt *a, struct sea_err *err)
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
put_checkpoint(struct attempt *a, struct sea_err *err)
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
start_child(struct attempt *a, struct sea_err *err)
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

/* Without this row's checkpoint the curve would begin where this attempt did: it is told until
 * it is heard, and at the latest before the attempt ends. */
static enum sea_status
tell_start(struct attempt *a, struct sea_err *err)
{
    enum sea_status status;

    if (!a->pid || a->is_start_told)
        return SEA_OK;
    status = sea_queue_start(a->options->db, a->fence, a->pid, a->resumed, a->claim, err);
    a->is_start_told = status == SEA_OK;
    a->tell_start_ms = sea_clock_ms() + PAUSE_MS_MAX / 4;
    return status;
}

static enum sea_status
prepare(struct attempt *a, struct sea_err *err)
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
    status = tell_start(a, err);
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
tell_draining(struct attempt *a)
{
    struct sea_err ignored = { 0 };

    if (a->told || sea_db_is_lost(a->options->db))
        return;
    a->told = true;
    if (sea_queue_worker_state(a->options->db, a->options->worker_id, "draining", &ignored))
        sea_log_err(SEA_LOG_DEBUG, &ignored);
}

static void
ask_to_stop(struct attempt *a)
{
    int64_t now = sea_clock_ms();
    bool cancel = sea_lease_wants_cancel(a->lease);
    bool stop = is_stopped(a) || sea_lease_drain(a->lease) == SEA_DRAIN_CHECKPOINT;
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
    if (is_stopped(a))
        tell_draining(a);
}

/* Returns SEA_E_LEASE when the attempt is over for us; the child is dead then. */
static enum sea_status
watch(struct attempt *a, struct sea_err *err)
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

            status = tell_start(a, &mine);
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

/* ---- after ---- */

/* How long a worker goes on trying to write the end of an attempt: while the lease lives, and
 * for a while after that, because a lease that nobody took back still counts. */
static int64_t
patience(struct attempt *a)
{
    a->tries = 0;
    return sea_clock_ms() + 2 * a->options->worker->ttl_ms + 10000;
}

/* Doubles from try to try, and is different for each worker, so that a server that comes back
 * is not met by all of them at once. */
static int64_t
next_pause(struct attempt *a)
{
    int64_t pause = PAUSE_MS_MIN << (a->tries < 6 ? a->tries : 6);
    uint64_t mix = (uint64_t)sea_clock_ms() * 0x9e3779b97f4a7c15u ^ (uint64_t)a->fence->stage_id;

    a->tries++;
    if (pause > PAUSE_MS_MAX)
        pause = PAUSE_MS_MAX;
    return pause / 2 + (int64_t)((mix >> 33) % (uint64_t)(pause / 2 + 1));
}

/* Something failed because the database was away or busy: waits, connects, and says whether to
 * try again. Every try but the first costs a pause, whatever the reason. */
static bool
may_repeat(struct attempt *a, enum sea_status status, int64_t until_ms)
{
    struct sea_err ignored = { 0 };

    if (status != SEA_E_SERVICE || sea_clock_ms() > until_ms)
        return false;
    sea_clock_sleep_ms(next_pause(a));
    if (sea_db_is_lost(a->options->db) && sea_db_reconnect(a->options->db, &ignored))
        sea_log_err(SEA_LOG_DEBUG, &ignored);
    return true;
}

static void
remove_checkpoints(struct attempt *a, const char *names)
{
    struct sea_err err = { 0 };
    struct sea_node *list = NULL, *one;

    if (!names || sea_json_parse(names, strlen(names), "names", a->options->arena, &list, &err))
        return;
    for (one = list->first; one; one = one->next)
        if (sea_store_checkpoint_remove(a->options->store, sea_node_text(one, ""), &err))
            sea_log_err(SEA_LOG_WARN, &err);
}

static enum sea_status
flush_all(struct attempt *a, struct sea_err *err)
{
    int64_t until = patience(a);
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = sea_relay_flush(a->relay, true, &mine);
        if (!status)
            status = tell_start(a, &mine);
        if (!status)
            return SEA_OK;
        if (!may_repeat(a, status, until)) {
            *err = mine;
            return status;
        }
    }
}

/* Pins the blobs before they are published. One that the collector is just removing is waited
 * for: it comes back with our file. */
static enum sea_status
pin(struct attempt *a, const struct sea_artifacts *files, const struct sea_scores *scores,
    struct sea_err *err)
{
    const char *benchmarks = scores->benchmarks ? scores->benchmarks : "[]";
    int64_t until = patience(a), condemned = 0;
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = sea_queue_prepare(a->options->db, a->fence, files, benchmarks, &condemned, &mine);
        if (!status && condemned)
            status = sea_fail(&mine, SEA_E_SERVICE, "%lld files of the output are just being "
                              "removed from the store", (long long)condemned);
        if (!status)
            return SEA_OK;
        if (!may_repeat(a, status, until)) {
            *err = mine;
            return status;
        }
    }
}

static enum sea_status
send_answers(struct attempt *a, const struct sea_scores *scores, struct sea_err *err)
{
    int64_t until = patience(a);
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = sea_scores_send(scores, a->out, a->options->db, a->fence, &mine);
        if (!status)
            return SEA_OK;
        if (!may_repeat(a, status, until)) {
            *err = mine;
            return status;
        }
    }
}

/* What the commit carries of what the stage said; and its start, if nobody has heard of it. */
static enum sea_status
take_last(struct attempt *a, struct sea_commit *what, struct sea_err *err)
{
    int64_t until = patience(a);
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = sea_relay_last(a->relay, &what->last_number, &what->last, &mine);
        if (!status)
            status = tell_start(a, &mine);
        if (!status)
            return SEA_OK;
        if (!may_repeat(a, status, until)) {
            *err = mine;
            return status;
        }
    }
}

static bool
wants_next(struct attempt *a)
{
    return a->options->next && !is_stopped(a) && !sea_lease_drain(a->lease);
}

/* One try. *asked: it asked for the next stage run as well. */
static enum sea_status
send_commit(struct attempt *a, const struct sea_commit *what, bool with_next, bool *asked,
            struct sea_err *err)
{
    struct sea_attempt_next *next = a->options->next;
    struct sea_db *db = a->options->db;
    const char *checkpoints = NULL;
    enum sea_status status;

    sea_log(SEA_LOG_DEBUG, "commit sent id=%lld epoch=%lld next=%d", (long long)a->fence->stage_id,
            (long long)a->fence->epoch, with_next);
    if (with_next) {
        *asked = true;
        if (!next->claimed_ms)
            next->claimed_ms = sea_clock_ms();
        status = sea_queue_commit_next(db, a->fence, what, &next->who, a->options->arena,
                                       &checkpoints, next->arena, &next->claim, &next->claimed,
                                       err);
    } else {
        status = sea_queue_commit_last(db, a->fence, what, a->options->arena, &checkpoints, err);
    }
    if (!status)
        remove_checkpoints(a, checkpoints);
    return status;
}

/* The commit has landed and its answer was lost: so may have been what it claimed. */
static void
find_next(struct attempt *a, int64_t until)
{
    struct sea_attempt_next *next = a->options->next;
    enum sea_status status;

    do {
        struct sea_err mine = { 0 };

        status = sea_queue_claimed(a->options->db, &next->who, next->arena, &next->claim,
                                   &next->claimed, &mine);
        if (status)
            sea_log_err(SEA_LOG_DEBUG, &mine);
    } while (status && may_repeat(a, status, until));
}

/* Sends the commit until its outcome is known. Only the first try claims the next stage run: if
 * the claim were what is wrong with it, the others would fail, too. */
static enum sea_status
commit(struct attempt *a, struct sea_commit *what, struct sea_err *err)
{
    int64_t until = patience(a);
    bool with_next = wants_next(a), asked = false;
    enum sea_status status;

    sea_lease_stop(a->lease);
    for (;;) {
        enum sea_outcome outcome = SEA_OUTCOME_OPEN;
        struct sea_err mine = { 0 }, asking = { 0 };

        status = send_commit(a, what, with_next, &asked, &mine);
        if (!status)
            return SEA_OK;
        with_next = false;
        /* The answer was lost, or the lease is gone because an earlier one of our own
         * commits landed: the database knows. */
        while ((status == SEA_E_SERVICE || status == SEA_E_LEASE) &&
               sea_queue_outcome(a->options->db, a->fence, &outcome, &asking)) {
            if (!may_repeat(a, asking.status, until))
                break;
            sea_err_clear(&asking);
        }
        if (outcome == SEA_OUTCOME_COMMITTED) {
            if (asked)
                find_next(a, until);
            return SEA_OK;
        }
        /* A last batch that the database refuses must not undo the work whose words it holds:
         * by itself it is told of and dropped. */
        if (status == SEA_E_INTERNAL && what->last) {
            sea_log_err(SEA_LOG_WARN, &mine);
            what->last = NULL;
            status = flush_all(a, &asking);
            if (status) {
                *err = asking;
                return status;
            }
            continue;
        }
        if (outcome == SEA_OUTCOME_LOST || !may_repeat(a, status, until)) {
            *err = mine;
            return status;
        }
    }
}

static enum sea_status
finish_done(struct attempt *a, struct sea_err *err)
{
    struct sea_arena *arena = a->options->arena;
    char digest[SEA_SHA256_TEXT];
    struct sea_artifacts files;
    struct sea_commit what = { .files = &files, .digest = digest };
    struct sea_scores scores;
    enum sea_status status;

    status = sea_store_manifest(a->out, a->claim->stage, arena, &files, digest, err);
    if (!status)
        status = sea_scores_load(a->out, arena, &scores, err);
    if (!status)
        status = pin(a, &files, &scores, err);
    if (!status)
        status = sea_store_publish(a->options->store, a->out, &files, err);
    if (!status)
        status = send_answers(a, &scores, err);
    if (!status)
        status = take_last(a, &what, err);
    if (status)
        return status;
    what.scores = scores.rows ? scores.rows : "[]";
    return commit(a, &what, err);
}

/* The end of what the child printed, in clean ASCII. */
static void
output_tail(const struct attempt *a, char out[TAIL_BYTES])
{
    FILE *from = fopen(a->log, "re");
    size_t n, i;

    out[0] = 0;
    if (!from)
        return;
    if (fseek(from, -(TAIL_BYTES - 1), SEEK_END))
        rewind(from);
    n = fread(out, 1, TAIL_BYTES - 1, from);
    fclose(from);
    while (n && (out[n - 1] == '\n' || out[n - 1] == ' '))
        n--;
    out[n] = 0;
    for (i = 0; i < n; i++)
        if ((unsigned char)out[i] >= 127 || ((unsigned char)out[i] < 32 && out[i] != '\n'))
            out[i] = '?';
}

static void
explain(struct attempt *a, int exit_status, struct sea_err *why)
{
    const struct sea_err *said = sea_relay_error(a->relay);
    char tail[TAIL_BYTES];
    const char *last;

    output_tail(a, tail);
    if (tail[0])
        sea_relay_log(a->relay, "error", tail);
    if (said->status) {
        *why = *said;
        return;
    }
    last = strrchr(tail, '\n');
    last = last ? last + 1 : tail;
    if (exit_status > 128)
        sea_fail(why, SEA_E_INTERNAL, "stage \"%s\" was ended by signal %d%s%.300s",
                 a->claim->stage, exit_status - 128, *last ? ": " : "", last);
    else
        sea_fail(why, sea_status_from_exit(exit_status),
                 "stage \"%s\" ended with exit status %d%s%.300s", a->claim->stage, exit_status,
                 *last ? ": " : "", last);
    if (exit_status == 128 + SIGKILL)
        sea_hint(why, "The system may have been out of memory: see the kernel's log.");
}

/* Classes of failure: sql/README.md. A device or a service that is not there is no fault of the
 * stage; a device with too little memory is a matter between the two. */
static const char *
class_of(const struct attempt *a, int exit_status, const struct sea_err *why)
{
    if (a->late)
        return "timeout";
    if (a->stopping && exit_status >= 128)
        return "preempted";
    if (why->status == SEA_E_DEVMEM || exit_status == 128 + SIGKILL)
        return "oom";
    if (why->status == SEA_E_SERVICE || why->status == SEA_E_DEVICE)
        return "infra";
    if (!a->ours && exit_status < 128 && sea_status_retry(why->status) == SEA_RETRY_NEVER)
        return "invalid";
    return "error";
}

/* Writes the end of an attempt that did not commit. */
static void
settle(struct attempt *a, int exit_status, const struct sea_err *why)
{
    struct sea_db *db = a->options->db;
    const char *class = class_of(a, exit_status, why);
    struct sea_err err = { 0 };
    int64_t until = patience(a);
    char state[16] = "cancelled";
    enum sea_status status;

    if (flush_all(a, &err) == SEA_E_LEASE) {
        sea_log_err(SEA_LOG_WARN, &err);
        return;
    }
    sea_lease_stop(a->lease);
    do {
        sea_err_clear(&err);
        if (a->cancelling) {
            status = sea_queue_cancelled(db, a->fence, &err);
        } else if (!a->late && exit_status == sea_status_exit(SEA_E_STOPPED)) {
            snprintf(state, sizeof(state), "backoff");
            status = sea_queue_release(db, a->fence, a->stopping ? "the worker was stopped"
                                                                 : "the stage asked for a pause",
                                       a->stopping ? 0 : 1000, &err);
        } else {
            status = sea_queue_fail(db, a->fence, class, exit_status, why, state, &err);
        }
    } while (status && may_repeat(a, status, until));
    if (status)
        sea_log_err(SEA_LOG_WARN, &err);
    else
        sea_log(SEA_LOG_INFO, "attempt ended stage=%s id=%lld epoch=%lld exit=%d state=%s",
                a->claim->stage, (long long)a->fence->stage_id, (long long)a->fence->epoch,
                exit_status, state);
}

static void
finish(struct attempt *a, int exit_status)
{
    struct sea_err err = { 0 };
    enum sea_status status = SEA_OK;

    if (exit_status == 0) {
        status = finish_done(a, &err);
        if (!status) {
            sea_log(SEA_LOG_INFO, "stage done stage=%s id=%lld epoch=%lld", a->claim->stage,
                    (long long)a->fence->stage_id, (long long)a->fence->epoch);
            if (a->options->next && a->options->next->claimed)
                sea_log(SEA_LOG_DEBUG, "commit claimed id=%lld epoch=%lld after=%lld",
                        (long long)a->options->next->claim.fence.stage_id,
                        (long long)a->options->next->claim.fence.epoch,
                        (long long)a->fence->stage_id);
            return;
        }
        sea_log_err(SEA_LOG_WARN, &err);
        if (status == SEA_E_LEASE || status == SEA_E_SERVICE)
            return;     /* the rescue takes it from here */
        sea_relay_log(a->relay, "error", err.message);
        a->cancelling = false;
        a->ours = true;
        exit_status = sea_status_exit(err.status);
    } else if (a->late) {
        sea_fail(&err, SEA_E_INTERNAL, "stage \"%s\" did not end within its %lld s",
                 a->claim->stage, (long long)(a->claim->timeout_ms / 1000));
        sea_hint(&err, "The next attempt goes on from its checkpoint. Allow more with "
                       "resources.hours, or find out what it waited for.");
        sea_relay_log(a->relay, "error", err.message);
    } else {
        explain(a, exit_status, &err);
    }
    settle(a, exit_status, &err);
}

void
sea_attempt_run(const struct sea_attempt_options *options)
{
    struct attempt a = { .options = options, .claim = options->claim,
                         .fence = &options->claim->fence, .child = { .events = -1 } };
    struct sea_err err = { 0 }, ignored = { 0 };
    enum sea_status status;
    int exit_status;

    sea_log(SEA_LOG_INFO, "stage claimed stage=%s id=%lld epoch=%lld experiment=%lld",
            a.claim->stage, (long long)a.fence->stage_id, (long long)a.fence->epoch,
            (long long)a.claim->experiment_id);
    status = make_paths(&a, &err);
    a.relay = sea_relay_create(&(struct sea_relay_options){
        .db = options->db, .fence = a.fence, .store = options->store, .out = a.out });
    if (!status)
        status = sea_lease_open(options->worker->url, a.fence, options->worker->ttl_ms,
                                options->claimed_ms, &a.lease, &err);
    if (status && !a.lease) {
        sea_log_err(SEA_LOG_ERROR, &err);       /* the lease runs out */
        goto out;
    }
    status = prepare(&a, &err);
    if (status && !a.child.pid && status != SEA_E_LEASE) {
        settle(&a, sea_status_exit(status), &err);
        goto out;
    }
    if (!status)
        status = watch(&a, &err);
    if (status)
        sea_child_signal(&a.child, SIGKILL);
    sea_lease_guard(a.lease, 0);
    exit_status = sea_child_reap(&a.child);
    if (status == SEA_E_LEASE)
        sea_log_err(SEA_LOG_WARN, &err);
    else if (status)
        settle(&a, sea_status_exit(status), &err);
    else
        finish(&a, exit_status);
out:
    sea_lease_close(a.lease);
    sea_relay_destroy(a.relay);
    if (sea_dir_remove(a.folder, &ignored))
        sea_log_err(SEA_LOG_WARN, &ignored);
}
