/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_role.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"

#define START_MS 10000          /* a role that does not hold its lock by then has failed */
#define KILL_MS 5000            /* from SIGKILL to the end of the lock */
#define LOG_BYTES_MAX ((size_t)256 << 20)
#define TAKE_TRIES 100
#define ELSEWHERE (-1)

volatile sig_atomic_t sea_role_stop;

static void
on_signal(int number)
{
    (void)number;
    sea_role_stop = 1;
}

static enum sea_status
role_path(char out[SEA_PATH_MAX], const char *dir, const char *folder, const char *name,
          const char *suffix, struct sea_err *err)
{
    char file[128], parent[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_path_join(parent, dir, folder, err);
    snprintf(file, sizeof(file), "%s%s", name, suffix);
    return status ? status : sea_path_join(out, parent, file, err);
}

/* The same for a file that will be written. */
static enum sea_status
make_role_path(char out[SEA_PATH_MAX], const char *dir, const char *folder, const char *name,
               const char *suffix, struct sea_err *err)
{
    char parent[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(parent, dir, folder, err);

    if (!status)
        status = sea_dir_create(parent, err);
    return status ? status : role_path(out, dir, folder, name, suffix, err);
}

/* ---- the lock ---- */

/* True while a program from before the locks of today plays the role: it held one of the other
 * kind. The look is shared, so two that look do not hold up each other. */
static bool
is_held_as_before(int fd)
{
    if (flock(fd, LOCK_SH | LOCK_NB))
        return true;
    flock(fd, LOCK_UN);
    return false;
}

/* Who plays the role of an open file, 0: nobody. The kernel's word and not the file's: what stands
 * in the file may be the id of the last player, which is anybody's by now. ELSEWHERE: a process
 * that has no id here, of another machine or container. */
static int64_t
holder(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    char text[32] = "";
    ssize_t n;

    if (fcntl(fd, F_GETLK, &lock) == 0 && lock.l_type == F_WRLCK)
        return lock.l_pid > 0 ? lock.l_pid : ELSEWHERE;
    if (!is_held_as_before(fd))
        return 0;
    n = pread(fd, text, sizeof(text) - 1, 0);
    return n > 0 ? strtoll(text, NULL, 10) : 0;
}

/* On a network's file system the look of another is a lock for a moment. */
static bool
take(int fd)
{
    struct flock lock = { .l_type = F_WRLCK, .l_whence = SEEK_SET };
    int tries;

    for (tries = 0; tries < TAKE_TRIES; tries++) {
        if (holder(fd))
            return false;
        if (fcntl(fd, F_SETLK, &lock) == 0)
            return true;
        sea_clock_sleep_ms(10);
    }
    return false;
}

enum sea_status
sea_role_hold(const char *dir, const char *name, struct sea_err *err)
{
    struct sigaction action = { .sa_handler = on_signal };
    char path[SEA_PATH_MAX], text[32];
    enum sea_status status;
    int fd, len;

    sigaction(SIGTERM, &action, NULL);
    sigaction(SIGINT, &action, NULL);
    if (!name)
        return SEA_OK;
    status = make_role_path(path, dir, "run", name, ".pid", err);
    if (status)
        return status;
    fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0644);
    if (fd < 0)
        return sea_fail_errno(err, "could not open \"%s\"", path);
    if (!take(fd)) {
        close(fd);
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" is running already in \"%s\"", name, dir);
        sea_hint(err, "Stop it with `sea down` first.");
        return status;
    }
    len = snprintf(text, sizeof(text), "%ld\n", (long)getpid());
    if (ftruncate(fd, 0) || pwrite(fd, text, (size_t)len, 0) != len)
        return sea_fail_errno(err, "could not write \"%s\"", path);
    return SEA_OK;              /* fd stays open: the lock is the role */
}

int64_t
sea_role_pid(const char *dir, const char *name)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    int64_t pid;
    int fd;

    if (role_path(path, dir, "run", name, ".pid", &err))
        return 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return 0;
    pid = holder(fd);
    close(fd);
    return pid;
}

/* The last line of a log file, for the message about a process that did not come up. */
static void
last_line(const char *path, char *out, size_t room)
{
    struct sea_err err = { 0 };
    struct sea_buf text;
    char *end, *start;

    out[0] = 0;
    sea_buf_init(&text, LOG_BYTES_MAX);
    if (sea_file_read(path, &text, &err) == SEA_OK && text.len) {
        end = text.data + text.len;
        while (end > text.data && (end[-1] == '\n' || end[-1] == ' '))
            *--end = 0;
        start = strrchr(text.data, '\n');
        snprintf(out, room, "%s", start ? start + 1 : text.data);
    }
    sea_buf_release(&text);
}

/* In the child: its own session, input from nowhere, output into the log, and nothing else that is
 * open: the lock that a script holds around `sea up` is not ours to keep. */
static _Noreturn void
become_role(const char *log, const char *program, const char *const *args)
{
    int null = open("/dev/null", O_RDONLY);
    int out = open(log, O_WRONLY | O_CREAT | O_APPEND, 0644);
    int fd;

    setsid();
    if (null >= 0)
        dup2(null, 0);
    if (out >= 0) {
        dup2(out, 1);
        dup2(out, 2);
    }
    for (fd = 3; fd < 1024; fd++)
        close(fd);
    execv(program, (char *const *)args);
    dprintf(2, "sea: could not start \"%s\": %s\n", program, strerror(errno));
    _exit(sea_status_exit(SEA_E_INTERNAL));
}

enum sea_status
sea_role_start(const char *dir, const char *name, const char *program, const char *const *args,
               bool *started, struct sea_err *err)
{
    char log[SEA_PATH_MAX], last[256];
    int64_t deadline = sea_clock_ms() + START_MS;
    enum sea_status status;
    int how = 0;
    pid_t pid;

    *started = false;
    if (sea_role_pid(dir, name))
        return SEA_OK;
    status = make_role_path(log, dir, "log", name, ".log", err);
    if (status)
        return status;
    pid = fork();
    if (pid < 0)
        return sea_fail_errno(err, "could not start the %s", name);
    if (pid == 0)
        become_role(log, program, args);
    while (!sea_role_pid(dir, name) && sea_clock_ms() < deadline) {
        if (waitpid(pid, &how, WNOHANG) == pid) {
            if (sea_role_pid(dir, name))
                return SEA_OK;  /* another `sea up` was faster */
            last_line(log, last, sizeof(last));
            status = sea_fail(err, SEA_E_SERVICE, "the %s ended at once: %s", name, last);
            sea_hint(err, "Its log is \"%s\".", log);
            return status;
        }
        sea_clock_sleep_ms(20);
    }
    *started = sea_role_pid(dir, name) == pid;  /* or another `sea up` was faster */
    if (!sea_role_pid(dir, name))
        return sea_fail(err, SEA_E_SERVICE, "the %s did not come up within %d s", name,
                        START_MS / 1000);
    return SEA_OK;
}

typedef void role_fn(int fd, int64_t pid, int64_t deadline_ms);

static void
ask_to_stop(int fd, int64_t pid, int64_t deadline_ms)
{
    (void)fd, (void)deadline_ms;
    kill((pid_t)pid, SIGTERM);
}

/* Waits for the lock until the deadline, then kills. Whoever plays the role after this one was not
 * asked to stop. */
static void
see_stopped(int fd, int64_t pid, int64_t deadline_ms)
{
    while (holder(fd) == pid && sea_clock_ms() < deadline_ms)
        sea_clock_sleep_ms(20);
    if (holder(fd) != pid)
        return;
    kill((pid_t)pid, SIGKILL);
    deadline_ms = sea_clock_ms() + KILL_MS;
    while (holder(fd) == pid && sea_clock_ms() < deadline_ms)
        sea_clock_sleep_ms(20);
}

/* Calls fn for every role that somebody plays and whose name starts with prefix. */
static enum sea_status
each_role(const char *dir, const char *prefix, role_fn *fn, int64_t deadline_ms, int *count,
          struct sea_err *err)
{
    char folder[SEA_PATH_MAX];
    struct dirent *entry;
    enum sea_status status;
    DIR *list;

    *count = 0;
    status = sea_path_join(folder, dir, "run", err);
    if (status)
        return status;
    list = opendir(folder);
    if (!list)
        return errno == ENOENT ? SEA_OK : sea_fail_errno(err, "could not read \"%s\"", folder);
    while ((entry = readdir(list))) {
        size_t len = strlen(entry->d_name);
        int64_t pid;
        int fd;

        if (len < 5 || strcmp(entry->d_name + len - 4, ".pid") != 0
            || strncmp(entry->d_name, prefix, strlen(prefix)) != 0)
            continue;
        fd = openat(dirfd(list), entry->d_name, O_RDONLY | O_CLOEXEC);
        pid = fd < 0 ? 0 : holder(fd);
        if (pid == ELSEWHERE)
            sea_log(SEA_LOG_WARN, "\"%s\" is played by a process of another machine: stop it there",
                    entry->d_name);
        if (pid > 0) {
            fn(fd, pid, deadline_ms);
            (*count)++;
        }
        if (fd >= 0)
            close(fd);
    }
    closedir(list);
    return SEA_OK;
}

enum sea_status
sea_role_stop_all(const char *dir, const char *prefix, int64_t grace_ms, int *stopped,
                  struct sea_err *err)
{
    int64_t deadline_ms = sea_clock_ms() + grace_ms;
    int left;
    /* All are asked before one is waited for: what one gives back no other one takes. */
    enum sea_status status = each_role(dir, prefix, ask_to_stop, deadline_ms, stopped, err);

    return status ? status : each_role(dir, prefix, see_stopped, deadline_ms, &left, err);
}
