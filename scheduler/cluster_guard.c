/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_cluster_guard.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"

#define TRIES_MAX 50
#define PAUSE_MS 100

/* A folder without a server that it could be the folder of was never more than a folder. */
static enum sea_status
stop_and_remove(const char *dir, struct sea_err *err)
{
    struct sea_err ignored = { 0 };
    struct sea_cluster cluster;

    if (!sea_cluster_open(&cluster, dir, &ignored) &&
        sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, err))
        return err->status;
    return sea_dir_remove(dir, err);
}

/* Looks twice: a server that was just starting when its parent ended may come up, or write a
 * file, behind the first look. */
static enum sea_status
clean(const char *dir, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int tries, absent = 0;

    for (tries = 0; tries < TRIES_MAX && absent < 2; tries++) {
        if (tries)
            sea_clock_sleep_ms(PAUSE_MS);
        sea_err_clear(err);
        absent = sea_dir_exists(dir) ? 0 : absent + 1;
        status = absent ? SEA_OK : stop_and_remove(dir, err);
    }
    return status;
}

/* The child: returns never. */
static void
watch(const char *dir, int fd)
{
    struct sea_err err = { 0 };
    int null = open("/dev/null", O_RDWR);
    char byte;

    /* Whoever reads the parent's report must not wait for us. */
    if (setsid() < 0 || null < 0 || dup2(null, 0) < 0 || dup2(null, 1) < 0)
        _exit(1);
    while (read(fd, &byte, 1) < 0 && errno == EINTR)
        ;
    if (clean(dir, &err)) {
        sea_err_print(&err, "sea", stderr);
        _exit(1);
    }
    _exit(0);
}

enum sea_status
sea_cluster_guard_open(struct sea_cluster_guard *guard, const char *name,
                       struct sea_cluster *cluster, struct sea_err *err)
{
    enum sea_status status;
    int ends[2];

    *guard = (struct sea_cluster_guard){ .fd = -1 };
    if (pipe(ends))
        return sea_fail_errno(err, "could not create a pipe");
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    snprintf(guard->dir, sizeof(guard->dir), "/tmp/sea-%s-%ld-XXXXXX", name, (long)getpid());
    if (!mkdtemp(guard->dir)) {
        status = sea_fail_errno(err, "could not create a folder in /tmp");
        close(ends[0]);
        close(ends[1]);
        guard->dir[0] = 0;
        return status;
    }
    guard->pid = fork();
    if (guard->pid == 0) {
        close(ends[1]);
        watch(guard->dir, ends[0]);
    }
    close(ends[0]);
    guard->fd = ends[1];
    if (guard->pid < 0)
        status = sea_fail_errno(err, "could not start a process");
    else if (chmod(guard->dir, 0711))   /* for the server's user, when we are root */
        status = sea_fail_errno(err, "could not open folder \"%s\"", guard->dir);
    else
        status = sea_cluster_open(cluster, guard->dir, err);
    return status;
}

enum sea_status
sea_cluster_guard_close(struct sea_cluster_guard *guard, struct sea_err *err)
{
    enum sea_status status;

    if (!guard->dir[0])
        return SEA_OK;
    close(guard->fd);
    while (guard->pid > 0 && waitpid(guard->pid, NULL, 0) < 0 && errno == EINTR)
        ;
    /* The guard did it, unless somebody ended it. */
    status = clean(guard->dir, err);
    *guard = (struct sea_cluster_guard){ .fd = -1 };
    return status;
}
