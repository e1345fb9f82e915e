/* SPDX-License-Identifier: Apache-2.0 */
/* attempt_end.c - what an attempt leaves: its commit, or why there is none */
#include "scheduler/attempt_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"

#define TAIL_BYTES 4000         /* of the child's output, shown when it fails */
#define PAUSE_MS_MIN 50         /* between two tries while the database is away: doubles ... */
#define PAUSE_MS_MAX 2000       /* ... up to this */

/* How long a worker goes on trying to write the end of an attempt: while the lease lives, and
 * for a while after that, because a lease that nobody took back still counts. The time in which
 * the database cannot be reached is not counted: nobody takes anything back then, and the worker
 * has nothing else to do. */
static int64_t
patience(struct sea_attempt *a)
{
    a->tries = 0;
    a->away_ms = 0;
    return sea_clock_ms() + 2 * a->options->worker->ttl_ms + 10000;
}

/* Doubles from try to try, and is different for each worker, so that a server that comes back
 * is not met by all of them at once. */
static int64_t
next_pause(struct sea_attempt *a)
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
may_repeat(struct sea_attempt *a, enum sea_status status, int64_t until_ms)
{
    struct sea_err why = { 0 };
    int64_t start = sea_clock_ms();

    if (status != SEA_E_SERVICE || start > until_ms + a->away_ms)
        return false;
    if (sea_attempt_is_stopped(a) && !a->stop_ms)
        a->stop_ms = start + a->options->worker->grace_ms;
    if (a->stop_ms && start > a->stop_ms)
        return false;
    sea_clock_sleep_ms(next_pause(a));
    if (sea_db_is_lost(a->options->db) && sea_db_reconnect(a->options->db, &why)) {
        if (!a->away_ms)
            sea_log(SEA_LOG_WARN, "an attempt waits for the database id=%lld epoch=%lld: %s",
                    (long long)a->fence->stage_id, (long long)a->fence->epoch, why.message);
        a->away_ms += sea_clock_ms() - start;
    }
    return true;
}

typedef enum sea_status try_fn(struct sea_attempt *a, void *arg, struct sea_err *err);

/* Calls fn until it succeeds, fails for a reason that waiting does not mend, or until_ms. err gets
 * the failure of the last try. */
static enum sea_status
repeat(struct sea_attempt *a, int64_t until_ms, try_fn *fn, void *arg, struct sea_err *err)
{
    for (;;) {
        struct sea_err mine = { 0 };
        enum sea_status status = fn(a, arg, &mine);

        if (!status)
            return SEA_OK;
        if (!may_repeat(a, status, until_ms)) {
            *err = mine;
            return status;
        }
    }
}

static enum sea_status
try_flush(struct sea_attempt *a, void *arg, struct sea_err *err)
{
    enum sea_status status = sea_relay_flush(a->relay, true, err);

    (void)arg;
    return status ? status : sea_attempt_tell_start(a, err);
}

static enum sea_status
flush_all(struct sea_attempt *a, struct sea_err *err)
{
    return repeat(a, patience(a), try_flush, NULL, err);
}

struct output {                 /* of a stage that is done */
    struct sea_artifacts files;
    struct sea_scores scores;
};

/* Pins the blobs before they are published. One that the collector is just removing is waited
 * for: it comes back with our file. */
static enum sea_status
try_pin(struct sea_attempt *a, void *arg, struct sea_err *err)
{
    const struct output *output = arg;
    const char *benchmarks = output->scores.benchmarks ? output->scores.benchmarks : "[]";
    int64_t condemned = 0;
    enum sea_status status = sea_queue_prepare(a->options->db, a->fence, &output->files,
                                               benchmarks, &condemned, err);

    if (!status && condemned)
        status = sea_fail(err, SEA_E_SERVICE, "%lld files of the output are just being removed "
                          "from the store", (long long)condemned);
    return status;
}

static enum sea_status
try_answers(struct sea_attempt *a, void *arg, struct sea_err *err)
{
    const struct output *output = arg;

    return sea_scores_send(&output->scores, a->out, a->options->db, a->fence, err);
}

/* What the commit carries of what the stage said; and its start, if nobody has heard of it. */
static enum sea_status
try_last(struct sea_attempt *a, void *arg, struct sea_err *err)
{
    struct sea_commit *what = arg;
    enum sea_status status = sea_relay_last(a->relay, &what->last_number, &what->last, err);

    return status ? status : sea_attempt_tell_start(a, err);
}

static bool
wants_next(struct sea_attempt *a)
{
    return a->options->next && !sea_attempt_is_stopped(a) && !sea_lease_drain(a->lease);
}

/* One try. *asked: it asked for the next stage run as well. */
static enum sea_status
send_commit(struct sea_attempt *a, const struct sea_commit *what, bool with_next, bool *asked,
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
        sea_store_checkpoints_drop(a->options->store, checkpoints, a->options->arena);
    return status;
}

/* The commit has landed and its answer was lost: so may have been what it claimed. */
static enum sea_status
try_find_next(struct sea_attempt *a, void *arg, struct sea_err *err)
{
    struct sea_attempt_next *next = a->options->next;

    (void)arg;
    return sea_queue_claimed(a->options->db, &next->who, next->arena, &next->claim,
                             &next->claimed, err);
}

static enum sea_status
try_outcome(struct sea_attempt *a, void *arg, struct sea_err *err)
{
    return sea_queue_outcome(a->options->db, a->fence, arg, err);
}

/* Sends the commit until its outcome is known. Only the first try claims the next stage run: if
 * the claim were what is wrong with it, the others would fail, too. */
static enum sea_status
commit(struct sea_attempt *a, struct sea_commit *what, struct sea_err *err)
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
        if ((status == SEA_E_SERVICE || status == SEA_E_LEASE) &&
            repeat(a, until, try_outcome, &outcome, &asking))
            sea_log_err(SEA_LOG_DEBUG, &asking);
        if (outcome == SEA_OUTCOME_COMMITTED) {
            if (asked && repeat(a, until, try_find_next, NULL, &asking))
                sea_log_err(SEA_LOG_DEBUG, &asking);
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
finish_done(struct sea_attempt *a, struct sea_err *err)
{
    struct sea_arena *arena = a->options->arena;
    char digest[SEA_SHA256_TEXT];
    struct output output;
    struct sea_commit what = { .files = &output.files, .digest = digest };
    enum sea_status status;

    status = sea_store_manifest(a->out, a->claim->stage, arena, &output.files, digest, err);
    if (!status)
        status = sea_scores_load(a->out, arena, &output.scores, err);
    if (!status)
        status = repeat(a, patience(a), try_pin, &output, err);
    if (!status)
        status = sea_store_publish(a->options->store, a->out, &output.files, err);
    if (!status)
        status = repeat(a, patience(a), try_answers, &output, err);
    if (!status)
        status = repeat(a, patience(a), try_last, &what, err);
    if (status)
        return status;
    what.scores = output.scores.rows ? output.scores.rows : "[]";
    return commit(a, &what, err);
}

/* The end of what the child printed, in clean ASCII. */
static void
output_tail(const struct sea_attempt *a, char out[TAIL_BYTES])
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
explain(struct sea_attempt *a, int exit_status, struct sea_err *why)
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

/* A disk that is full, over its quota, read only now or broken. */
static bool
is_disk_trouble(const struct sea_err *why)
{
    static const int codes[] = { ENOSPC, EDQUOT, EROFS, EIO };
    char cause[32];
    size_t i;

    for (i = 0; i < sizeof(codes) / sizeof(codes[0]); i++) {
        snprintf(cause, sizeof(cause), "errno %d", codes[i]);
        if (why->status == SEA_E_IO && strcmp(why->cause, cause) == 0)
            return true;
    }
    return false;
}

/* Classes of failure: sql/README.md. A device or a service that is not there is no fault of the
 * stage; a device with too little memory is a matter between the two. */
static const char *
class_of(const struct sea_attempt *a, int exit_status, const struct sea_err *why)
{
    if (a->late)
        return "timeout";
    if (a->stopping && exit_status >= 128)
        return "preempted";
    if (why->status == SEA_E_DEVMEM || exit_status == 128 + SIGKILL)
        return "oom";
    if (why->status == SEA_E_SERVICE || why->status == SEA_E_DEVICE || is_disk_trouble(why))
        return "infra";
    if (!a->ours && exit_status < 128 && sea_status_retry(why->status) == SEA_RETRY_NEVER)
        return "invalid";
    return "error";
}

struct ending {                 /* of an attempt that did not commit */
    int exit_status;
    const struct sea_err *why;
    char state[16];             /* what the stage run is in afterwards */
};

static enum sea_status
try_settle(struct sea_attempt *a, void *arg, struct sea_err *err)
{
    struct ending *ending = arg;
    struct sea_db *db = a->options->db;

    if (a->cancelling) {
        snprintf(ending->state, sizeof(ending->state), "cancelled");
        return sea_queue_cancelled(db, a->fence, err);
    }
    if (!a->late && ending->exit_status == sea_status_exit(SEA_E_STOPPED)) {
        snprintf(ending->state, sizeof(ending->state), "backoff");
        return sea_queue_release(db, a->fence, a->stopping ? "the worker was stopped"
                                                           : "the stage asked for a pause",
                                 a->stopping ? 0 : 1000, err);
    }
    return sea_queue_fail(db, a->fence, class_of(a, ending->exit_status, ending->why),
                          ending->exit_status, ending->why, ending->state, err);
}

void
sea_attempt_settle(struct sea_attempt *a, int exit_status, const struct sea_err *why)
{
    struct ending ending = { .exit_status = exit_status, .why = why };
    int64_t until = patience(a);        /* for both: the lease does not live twice */
    struct sea_err err = { 0 };

    if (flush_all(a, &err) == SEA_E_LEASE) {
        sea_log_err(SEA_LOG_WARN, &err);
        return;
    }
    sea_lease_stop(a->lease);
    sea_err_clear(&err);
    if (repeat(a, until, try_settle, &ending, &err))
        sea_log_err(SEA_LOG_WARN, &err);
    else
        sea_log(SEA_LOG_INFO, "attempt ended stage=%s id=%lld epoch=%lld exit=%d state=%s",
                a->claim->stage, (long long)a->fence->stage_id, (long long)a->fence->epoch,
                exit_status, ending.state);
}

void
sea_attempt_give_back(struct sea_attempt *a)
{
    struct sea_err err = { 0 };
    int64_t until = patience(a);
    enum sea_status status = flush_all(a, &err);

    while (!status) {
        sea_err_clear(&err);
        status = sea_queue_release(a->options->db, a->fence,
                                   "the database was away for longer than the lease", 0, &err);
        if (!status) {
            sea_log(SEA_LOG_INFO, "stage given back stage=%s id=%lld epoch=%lld", a->claim->stage,
                    (long long)a->fence->stage_id, (long long)a->fence->epoch);
            return;
        }
        if (may_repeat(a, status, until))
            status = SEA_OK;
    }
    sea_log_err(SEA_LOG_WARN, &err);    /* the rescue takes it from here */
}

void
sea_attempt_finish(struct sea_attempt *a, int exit_status)
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
    sea_attempt_settle(a, exit_status, &err);
}
