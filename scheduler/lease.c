/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_lease.h"

#include <errno.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <time.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"

#define RENEW_MS_MAX 2000

struct sea_lease {
    struct sea_fence fence;
    int64_t ttl_ms;
    char *url;
    pthread_t keeper, watcher;
    bool keeps, watches;        /* these threads exist */
    pthread_mutex_t lock;       /* guards what follows */
    pthread_cond_t wake;
    int64_t accepted_ms;        /* when the last accepted renewal was sent */
    bool stop, lost, cancel;
    bool refused;               /* lost, by the database's word */
    enum sea_drain drain;
    pid_t group;
};

/* When the child must have been killed: a margin before the lease can have ended. The caller has
 * the lock. */
static int64_t
fence_at(const struct sea_lease *lease)
{
    return lease->accepted_ms + lease->ttl_ms - lease->ttl_ms / 6;
}

/* The caller has the lock. */
static void
lose(struct sea_lease *lease, const char *why)
{
    if (lease->lost || lease->stop)
        return;
    lease->lost = true;
    if (lease->group > 0)
        kill(-lease->group, SIGKILL);
    pthread_cond_broadcast(&lease->wake);
    sea_log(SEA_LOG_WARN, "lease lost stage=%lld epoch=%lld why=\"%s\"",
            (long long)lease->fence.stage_id, (long long)lease->fence.epoch, why);
}

/* Waits until at_ms, or until something changed. The caller has the lock. */
static void
wait_until(struct sea_lease *lease, int64_t at_ms)
{
    int64_t left = at_ms - sea_clock_ms();
    struct timespec until;

    if (left <= 0)
        return;
    clock_gettime(CLOCK_MONOTONIC, &until);
    until.tv_sec += left / 1000;
    until.tv_nsec += left % 1000 * 1000000;
    if (until.tv_nsec >= 1000000000) {
        until.tv_sec++;
        until.tv_nsec -= 1000000000;
    }
    pthread_cond_timedwait(&lease->wake, &lease->lock, &until);
}

/* The watcher: makes no call that could hold it up. Looking up a host's name has no deadline, and
 * hangs just when the network is what is wrong. */
static void *
watch(void *arg)
{
    struct sea_lease *lease = arg;

    pthread_mutex_lock(&lease->lock);
    while (!lease->stop && !lease->lost) {
        if (sea_clock_ms() >= fence_at(lease))
            lose(lease, "no renewal was accepted in time");
        else
            wait_until(lease, fence_at(lease));
    }
    pthread_mutex_unlock(&lease->lock);
    return NULL;
}

/* Sleeps until at_ms; false when there is nothing to renew any more. *fence_ms: until when. */
static bool
pause_until(struct sea_lease *lease, int64_t at_ms, int64_t *fence_ms)
{
    bool go_on;

    pthread_mutex_lock(&lease->lock);
    while (!lease->stop && !lease->lost && sea_clock_ms() < at_ms)
        wait_until(lease, at_ms);
    go_on = !lease->stop && !lease->lost;
    *fence_ms = fence_at(lease);
    pthread_mutex_unlock(&lease->lock);
    return go_on;
}

/* One renewal. *db is opened when needed and closed when lost. */
static enum sea_status
renew(struct sea_lease *lease, struct sea_db **db, int64_t fence_ms)
{
    struct sea_err err = { 0 };
    int64_t sent_ms, left = fence_ms - sea_clock_ms();
    enum sea_status status = SEA_OK;
    enum sea_drain drain = SEA_DRAIN_NO;
    bool cancel = false;

    /* What comes after the child was killed is of no use. */
    if (left < 50)
        left = 50;
    if (*db && sea_db_is_lost(*db)) {
        sea_db_close(*db);
        *db = NULL;
    }
    if (!*db)
        status = sea_db_open(&(struct sea_db_options){ .url = lease->url, .role = "sea lease",
                                                       .connect_ms = left }, db, &err);
    if (status)
        return status;
    sent_ms = sea_clock_ms();
    left = fence_ms - sent_ms;
    sea_db_set_statement_ms(*db, left < 50 ? 50 : left);
    status = sea_queue_heartbeat(*db, &lease->fence, lease->ttl_ms, &cancel, &drain, &err);
    if (status)
        return status;
    pthread_mutex_lock(&lease->lock);
    lease->accepted_ms = sent_ms;
    lease->cancel = lease->cancel || cancel;
    lease->drain = drain;
    pthread_mutex_unlock(&lease->lock);
    return SEA_OK;
}

static void *
keep(void *arg)
{
    struct sea_lease *lease = arg;
    struct sea_db *db = NULL;
    int64_t every = lease->ttl_ms / 3 < RENEW_MS_MAX ? lease->ttl_ms / 3 : RENEW_MS_MAX;
    int64_t next = sea_clock_ms(), fence_ms;

    while (pause_until(lease, next, &fence_ms)) {
        enum sea_status status = renew(lease, &db, fence_ms);

        if (status == SEA_E_LEASE) {
            pthread_mutex_lock(&lease->lock);
            lease->refused = true;
            lose(lease, "the database says so");
            pthread_mutex_unlock(&lease->lock);
            break;
        }
        next = sea_clock_ms() + (status ? 200 : every);
        if (status)
            sea_log(SEA_LOG_DEBUG, "renewal failed stage=%lld",
                    (long long)lease->fence.stage_id);
    }
    sea_db_close(db);
    return NULL;
}

enum sea_status
sea_lease_open(const char *db_url, const struct sea_fence *fence, int64_t ttl_ms,
               int64_t claimed_ms, struct sea_lease **out, struct sea_err *err)
{
    struct sea_lease *lease = sea_xcalloc(1, sizeof(*lease));
    pthread_condattr_t how;
    sigset_t all, before;
    int rc;

    *out = NULL;
    lease->fence = *fence;
    lease->ttl_ms = ttl_ms;
    lease->url = db_url ? sea_xstrdup(db_url) : NULL;
    lease->accepted_ms = claimed_ms;
    pthread_mutex_init(&lease->lock, NULL);
    pthread_condattr_init(&how);
    pthread_condattr_setclock(&how, CLOCK_MONOTONIC);
    pthread_cond_init(&lease->wake, &how);
    pthread_condattr_destroy(&how);
    /* Signals are for the thread that waits for children. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&lease->keeper, NULL, keep, lease);
    lease->keeps = rc == 0;
    if (!rc)
        rc = pthread_create(&lease->watcher, NULL, watch, lease);
    lease->watches = rc == 0;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        errno = rc;
        sea_fail_errno(err, "could not start the threads that keep a lease");
        sea_lease_close(lease);
        return err->status;
    }
    *out = lease;
    return SEA_OK;
}

void
sea_lease_stop(struct sea_lease *lease)
{
    pthread_mutex_lock(&lease->lock);
    lease->stop = true;
    pthread_cond_broadcast(&lease->wake);
    pthread_mutex_unlock(&lease->lock);
    if (lease->keeps)
        pthread_join(lease->keeper, NULL);
    if (lease->watches)
        pthread_join(lease->watcher, NULL);
    lease->keeps = lease->watches = false;
}

void
sea_lease_close(struct sea_lease *lease)
{
    if (!lease)
        return;
    sea_lease_stop(lease);
    pthread_cond_destroy(&lease->wake);
    pthread_mutex_destroy(&lease->lock);
    free(lease->url);
    free(lease);
}

void
sea_lease_guard(struct sea_lease *lease, pid_t group)
{
    pthread_mutex_lock(&lease->lock);
    lease->group = group;
    if (lease->lost && group > 0)
        kill(-group, SIGKILL);
    pthread_mutex_unlock(&lease->lock);
}

bool
sea_lease_is_lost(struct sea_lease *lease)
{
    bool lost;

    pthread_mutex_lock(&lease->lock);
    lost = lease->lost;
    pthread_mutex_unlock(&lease->lock);
    return lost;
}

bool
sea_lease_was_refused(struct sea_lease *lease)
{
    bool refused;

    pthread_mutex_lock(&lease->lock);
    refused = lease->refused;
    pthread_mutex_unlock(&lease->lock);
    return refused;
}

bool
sea_lease_wants_cancel(struct sea_lease *lease)
{
    bool cancel;

    pthread_mutex_lock(&lease->lock);
    cancel = lease->cancel;
    pthread_mutex_unlock(&lease->lock);
    return cancel;
}

enum sea_drain
sea_lease_drain(struct sea_lease *lease)
{
    enum sea_drain drain;

    pthread_mutex_lock(&lease->lock);
    drain = lease->drain;
    pthread_mutex_unlock(&lease->lock);
    return drain;
}
