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
    pthread_t thread;
    bool started;               /* the thread exists */
    int64_t accepted_ms;        /* when the last accepted renewal was sent; no lock: after the
                                   thread's start only the thread knows it */
    pthread_mutex_t lock;       /* guards what follows */
    pthread_cond_t wake;
    bool stop, lost, cancel;
    enum sea_drain drain;
    pid_t group;
};

/* The pause before TTL in which the child must have been killed. */
static int64_t
margin_ms(const struct sea_lease *lease)
{
    return lease->ttl_ms / 6;
}

static void
lose(struct sea_lease *lease, const char *why)
{
    pthread_mutex_lock(&lease->lock);
    if (!lease->lost && !lease->stop) {
        lease->lost = true;
        if (lease->group > 0)
            kill(-lease->group, SIGKILL);
        sea_log(SEA_LOG_WARN, "lease lost stage=%lld epoch=%lld why=\"%s\"",
                (long long)lease->fence.stage_id, (long long)lease->fence.epoch, why);
    }
    pthread_mutex_unlock(&lease->lock);
}

/* Sleeps until at_ms or until told to stop; false when told. */
static bool
pause_until(struct sea_lease *lease, int64_t at_ms)
{
    bool go_on;

    pthread_mutex_lock(&lease->lock);
    while (!lease->stop) {
        int64_t left = at_ms - sea_clock_ms();
        struct timespec until;

        if (left <= 0)
            break;
        clock_gettime(CLOCK_MONOTONIC, &until);
        until.tv_sec += left / 1000;
        until.tv_nsec += left % 1000 * 1000000;
        if (until.tv_nsec >= 1000000000) {
            until.tv_sec++;
            until.tv_nsec -= 1000000000;
        }
        pthread_cond_timedwait(&lease->wake, &lease->lock, &until);
    }
    go_on = !lease->stop;
    pthread_mutex_unlock(&lease->lock);
    return go_on;
}

/* One renewal. *db is opened when needed and closed when lost. */
static enum sea_status
renew(struct sea_lease *lease, struct sea_db **db, int64_t fence_at_ms)
{
    struct sea_err err = { 0 };
    int64_t sent_ms, left = fence_at_ms - sea_clock_ms();
    enum sea_status status = SEA_OK;
    enum sea_drain drain = SEA_DRAIN_NO;
    bool cancel = false;

    /* No call may outlast the moment at which the child has to be killed. */
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
    left = fence_at_ms - sent_ms;
    sea_db_set_statement_ms(*db, left < 50 ? 50 : left);
    status = sea_queue_heartbeat(*db, &lease->fence, lease->ttl_ms, &cancel, &drain, &err);
    if (status)
        return status;
    lease->accepted_ms = sent_ms;
    pthread_mutex_lock(&lease->lock);
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
    int64_t next = sea_clock_ms();

    for (;;) {
        int64_t fence_at = lease->accepted_ms + lease->ttl_ms - margin_ms(lease);
        int64_t now;
        enum sea_status status;

        if (!pause_until(lease, next < fence_at ? next : fence_at))
            break;
        if (sea_clock_ms() >= fence_at) {
            lose(lease, "no renewal was accepted in time");
            break;
        }
        status = renew(lease, &db, fence_at);
        if (status == SEA_E_LEASE) {
            lose(lease, "the database says so");
            break;
        }
        now = sea_clock_ms();
        next = now + (status ? 200 : every);
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
    rc = pthread_create(&lease->thread, NULL, keep, lease);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        errno = rc;
        sea_fail_errno(err, "could not start the thread that renews leases");
        sea_lease_close(lease);
        return err->status;
    }
    lease->started = true;
    *out = lease;
    return SEA_OK;
}

void
sea_lease_stop(struct sea_lease *lease)
{
    if (!lease->started)
        return;
    pthread_mutex_lock(&lease->lock);
    lease->stop = true;
    pthread_cond_signal(&lease->wake);
    pthread_mutex_unlock(&lease->lock);
    pthread_join(lease->thread, NULL);
    lease->started = false;
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
