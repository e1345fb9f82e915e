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
 * for a while after that, because a lease that nobody took back still counts. */
static int64_t
patience(struct sea_attempt *a)
{
    a->tries = 0;
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
    struct sea_err ignored = { 0 };

    if (status != SEA_E_SERVICE || sea_clock_ms() > until_ms)
        return false;
    sea_clock_sleep_ms(next_pause(a));
    if (sea_db_is_lost(a->options->db) && sea_db_reconnect(a->options->db, &ignored))
        sea_log_err(SEA_LOG_DEBUG, &ignored);
    return true;
}

static void
remove_checkpoints(struct sea_attempt *a, const char *names)
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
flush_all(struct sea_attempt *a, struct sea_err *err)
{
    int64_t until = patience(a);
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = sea_relay_flush(a->relay, true, &mine);
        if (!status)
            status = sea_attempt_tell_start(a, &mine);
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
pin(struct sea_attempt *a, const struct sea_artifacts *files, const struct sea_scores *scores,
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
send_answers(struct sea_attempt *a, const struct sea_scores *scores, struct sea_err *err)
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
take_last(struct sea_attempt *a, struct sea_commit *what, struct sea_err *err)
{
    int64_t until = patience(a);
    enum sea_status status;

    for (;;) {
        struct sea_err mine = { 0 };

        status = sea_relay_last(a->relay, &what->last_number, &what->last, &mine);
        if (!status)
            status = sea_attempt_tell_start(a, &mine);
        if (!status)
            return SEA_OK;
        if (!may_repeat(a, status, until)) {
            *err = mine;
            return status;
        }
    }
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
        remove_checkpoints(a, checkpoints);
    return status;
}

/* The commit has landed and its answer was lost: so may have been what it claimed. */
static void
find_next(struct sea_attempt *a, int64_t until)
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
finish_done(struct sea_attempt *a, struct sea_err *err)
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
    if (why->status == SEA_E_SERVICE || why->status == SEA_E_DEVICE)
        return "infra";
    if (!a->ours && exit_status < 128 && sea_status_retry(why->status) == SEA_RETRY_NEVER)
        return "invalid";
    return "error";
}

/* Writes the end of an attempt that did not commit. */
void
sea_attempt_settle(struct sea_attempt *a, int exit_status, const struct sea_err *why)
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
