/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shim.c - faults inside a worker, by LD_PRELOAD
 *
 * Stands between the worker and libc and libpq: each statement sent, each answer taken, each
 * fsync, link and rename is a crash point. The product knows nothing of it. Processes that the
 * worker starts are left alone.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

#include "tests/fault/control.h"

typedef struct pg_conn PGconn;          /* of libpq: only passed on */
typedef struct pg_result PGresult;

static struct fault_control *control;

__attribute__((constructor)) static void
begin(void)
{
    const char *path = getenv(FAULT_CONTROL_VARIABLE);
    int fd = path ? open(path, O_RDWR | O_CLOEXEC) : -1;

    if (fd >= 0) {
        void *at = mmap(NULL, sizeof(*control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);

        control = at == MAP_FAILED ? NULL : at;
        close(fd);
    }
    unsetenv(FAULT_CONTROL_VARIABLE);
    unsetenv("LD_PRELOAD");
}

/* The next function of this name. The cast that ISO C does not know is POSIX's. */
#define NEXT(name)                                      \
    static __typeof__(name) *next;                      \
    if (!next)                                          \
        *(void **)&next = dlsym(RTLD_NEXT, #name)

/* True when the armed fault is of this kind and its turn has come. */
static bool
is_due(enum shim_fault kind)
{
    if (!control || atomic_load(&control->kind) != (int32_t)kind)
        return false;
    if (atomic_fetch_sub(&control->after, 1) > 0)
        return false;
    if (atomic_fetch_sub(&control->times, 1) <= 1)
        atomic_store(&control->kind, SHIM_NONE);
    atomic_fetch_add(&control->happened, 1);
    return true;
}

static void
point(void)
{
    if (!control)
        return;
    atomic_fetch_add(&control->points, 1);
    if (is_due(SHIM_CRASH))
        kill(getpid(), SIGKILL);
}

/* ---- files ---- */

static bool
is_full(void)
{
    if (!is_due(SHIM_ENOSPC))
        return false;
    errno = ENOSPC;
    return true;
}

int
fsync(int fd)
{
    NEXT(fsync);
    point();
    if (is_due(SHIM_EIO)) {
        errno = EIO;
        return -1;
    }
    return is_full() ? -1 : next(fd);
}

int
link(const char *from, const char *to)
{
    NEXT(link);
    point();
    return is_full() ? -1 : next(from, to);
}

int
rename(const char *from, const char *to)
{
    NEXT(rename);
    point();
    return is_full() ? -1 : next(from, to);
}

int
mkdir(const char *path, mode_t mode)
{
    NEXT(mkdir);
    return is_full() ? -1 : next(path, mode);
}

int
open(const char *path, int flags, ...)
{
    mode_t mode = 0;
    va_list args;
    NEXT(open);

    if (flags & O_CREAT) {
        va_start(args, flags);
        mode = va_arg(args, mode_t);
        va_end(args);
        if (is_full())
            return -1;
    }
    return next(path, flags, mode);
}

/* ---- the database ---- */

int PQflush(PGconn *conn);
int PQsocket(const PGconn *conn);
int PQsendQueryParams(PGconn *conn, const char *sql, int count, const unsigned *types,
                      const char *const *values, const int *lengths, const int *formats, int form);
PGresult *PQgetResult(PGconn *conn);

/* All of it is on its way before the socket ends: the server will commit. */
static void
cut(PGconn *conn)
{
    int tries;

    for (tries = 0; PQflush(conn) > 0 && tries < 1000; tries++)
        usleep(100);
    shutdown(PQsocket(conn), SHUT_RDWR);
}

int
PQsendQueryParams(PGconn *conn, const char *sql, int count, const unsigned *types,
                  const char *const *values, const int *lengths, const int *formats, int form)
{
    int sent;
    NEXT(PQsendQueryParams);

    point();
    sent = next(conn, sql, count, types, values, lengths, formats, form);
    /* With or without the claim of the next stage run; not the question what came of it. */
    if (sent && (strstr(sql, "sea.commit_stage") || strstr(sql, "sea.commit_next"))) {
        if (is_due(SHIM_CUT_COMMIT))
            cut(conn);
        if (is_due(SHIM_DIE_COMMIT)) {
            cut(conn);
            kill(getpid(), SIGKILL);
        }
    }
    return sent;
}

PGresult *
PQgetResult(PGconn *conn)
{
    PGresult *result;
    NEXT(PQgetResult);

    result = next(conn);
    if (result)
        point();
    return result;
}

/* ---- clocks: only the wall clock can jump ---- */

int
clock_gettime(clockid_t which, struct timespec *now)
{
    int rc;
    NEXT(clock_gettime);

    rc = next(which, now);
    if (!rc && control && which == CLOCK_REALTIME && atomic_load(&control->skew_ms)) {
        now->tv_sec += atomic_load(&control->skew_ms) / 1000;
        atomic_fetch_add(&control->skewed, 1);
    }
    return rc;
}

time_t
time(time_t *out)
{
    struct timespec now;

    clock_gettime(CLOCK_REALTIME, &now);
    if (out)
        *out = now.tv_sec;
    return now.tv_sec;
}

int
gettimeofday(struct timeval *restrict now, void *restrict zone)
{
    struct timespec precise;

    (void)zone;
    clock_gettime(CLOCK_REALTIME, &precise);
    now->tv_sec = precise.tv_sec;
    now->tv_usec = precise.tv_nsec / 1000;
    return 0;
}
