/* SPDX-License-Identifier: Apache-2.0 */
/* The driver's threads; what they do is in backend_submit.c and backend_look.c. */
#include "scheduler/sea_backend_driver.h"

#include <errno.h>
#include <pthread.h>
#include <stdlib.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"

#define SUBMIT_WAIT_MS 1000     /* between two looks at the queue, without a hint */
#define TELL_MS 10000           /* between two log lines about the same trouble */

typedef enum sea_status step_fn(struct sea_backend_work *work, struct sea_backend_counts *out,
                                struct sea_err *err);

struct half {
    struct sea_backend_work work;
    step_fn *step;
    int64_t wait_ms;
    pthread_t thread;
    bool started;
};

struct sea_backend_driver {
    struct sea_arena *arena;
    struct sea_backend_settings settings;
    struct half halves[2];
    volatile sig_atomic_t stop;
};

static void *
half_run(void *arg)
{
    struct half *half = arg;
    int64_t told_ms = -TELL_MS;

    while (!*half->work.stop) {
        struct sea_backend_counts counts;
        struct sea_err err = { 0 };
        enum sea_status status = SEA_OK;

        if (sea_db_is_lost(half->work.db))
            status = sea_db_reconnect(half->work.db, &err);
        if (!status)
            status = half->step(&half->work, &counts, &err);
        if (status && sea_clock_ms() - told_ms >= TELL_MS) {
            sea_log_err(SEA_LOG_WARN, &err);
            told_ms = sea_clock_ms();
        }
        if (!*half->work.stop)
            sea_db_wait(half->work.db, half->wait_ms);
    }
    return NULL;
}

static enum sea_status
half_start(struct half *half, const char *channel, struct sea_err *err)
{
    struct sea_db_options how = { .url = half->work.url, .role = "sea cluster" };
    sigset_t all, before;
    enum sea_status status = sea_db_open(&how, &half->work.db, err);
    int rc;

    if (!status && channel)
        status = sea_db_listen(half->work.db, channel, err);
    if (status)
        return status;
    sigfillset(&all);           /* signals are for the caller's thread */
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&half->thread, NULL, half_run, half);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc) {
        errno = rc;
        return sea_fail_errno(err, "could not start a thread of the cluster's driver");
    }
    half->started = true;
    return SEA_OK;
}

enum sea_status
sea_backend_driver_start(const char *dir, const char *url, const char *program,
                         struct sea_backend_driver **out, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "driver");
    struct sea_backend_driver *self = sea_arena_alloc(arena, 1, sizeof(*self));
    enum sea_status status;
    size_t i;

    *out = NULL;
    self->arena = arena;
    status = sea_backend_settings(dir, program, arena, &self->settings, err);
    if (status || !sea_backend_find(self->settings.backend)->submit) {
        sea_arena_destroy(arena);
        return status;
    }
    for (i = 0; i < 2; i++)
        self->halves[i].work = (struct sea_backend_work){
            .backend = sea_backend_find(self->settings.backend), .settings = &self->settings,
            .url = url, .stop = &self->stop };
    self->halves[0].step = sea_backend_driver_submit;
    self->halves[0].wait_ms = SUBMIT_WAIT_MS;
    self->halves[1].step = sea_backend_driver_look;
    self->halves[1].wait_ms = self->settings.poll_ms < 50 ? 50 : self->settings.poll_ms;
    status = half_start(&self->halves[0], "sea_ready", err);
    if (!status)
        status = half_start(&self->halves[1], NULL, err);
    if (status) {
        sea_backend_driver_stop(self);
        return status;
    }
    sea_log(SEA_LOG_INFO, "cluster driver started backend=%s", self->settings.backend);
    *out = self;
    return SEA_OK;
}

void
sea_backend_driver_stop(struct sea_backend_driver *driver)
{
    struct sea_err ignored = { 0 };
    size_t i;

    if (!driver)
        return;
    driver->stop = 1;
    for (i = 0; i < 2; i++) {
        struct half *half = &driver->halves[i];

        if (half->started)
            pthread_join(half->thread, NULL);
        if (half->work.driver_id && !sea_db_is_lost(half->work.db) &&
            sea_db_query(half->work.db, "worker_state",
                         SEA_PARAMS(SEA_P_INT(half->work.driver_id), SEA_P_TEXT("gone")), NULL,
                         &ignored))
            sea_log_err(SEA_LOG_DEBUG, &ignored);
        sea_db_close(half->work.db);
    }
    sea_arena_destroy(driver->arena);
}
