/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_supervisor.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"

extern char **environ;

#define EXEC_FAILED 126
#define LOOK_MS 50              /* between two looks for the child's end */

/* Between fork and exec only calls that are safe after a fork of a threaded process. */
static void
become_child(char *const *argv, char *const *env, int events, int log, pid_t parent)
{
    struct sigaction plain = { .sa_handler = SIG_DFL };
    sigset_t none;
    int fd, null, number;

    setpgid(0, 0);
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)    /* it died before the line above */
        _exit(EXEC_FAILED);
    /* First our handlers go, then signals come in: one that was sent meanwhile must not be spent
     * on the copy of a flag. */
    for (number = 1; number < 32; number++)
        if (number != SIGKILL && number != SIGSTOP)
            sigaction(number, &plain, NULL);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    null = open("/dev/null", O_RDONLY);
    if (null < 0 || dup2(null, 0) < 0 || dup2(log, 1) < 0 || dup2(log, 2) < 0)
        _exit(EXEC_FAILED);
    if (events != SEA_CHILD_EVENTS_FD) {
        if (dup2(events, SEA_CHILD_EVENTS_FD) < 0)
            _exit(EXEC_FAILED);
    } else if (fcntl(events, F_SETFD, 0) < 0) {
        _exit(EXEC_FAILED);
    }
    for (fd = SEA_CHILD_EVENTS_FD + 1; fd < 1024; fd++)
        close(fd);
    execve(argv[0], argv, env ? env : environ);
    _exit(EXEC_FAILED);
}

enum sea_status
sea_child_start(struct sea_child *child, char *const *argv, const char *log_path,
                struct sea_err *err)
{
    return sea_child_start_env(child, argv, NULL, log_path, err);
}

enum sea_status
sea_child_start_env(struct sea_child *child, char *const *argv, char *const *env,
                    const char *log_path, struct sea_err *err)
{
    pid_t parent = getpid();
    sigset_t all, before;
    int ends[2], log;

    *child = (struct sea_child){ .events = -1 };
    if (access(argv[0], X_OK))
        return sea_fail_errno(err, "could not start \"%s\"", argv[0]);
    log = open(log_path, O_WRONLY | O_CREAT | O_APPEND | O_CLOEXEC, 0600);
    if (log < 0)
        return sea_fail_errno(err, "could not create \"%s\"", log_path);
    if (pipe(ends)) {
        sea_fail_errno(err, "could not create a pipe");
        close(log);
        return err->status;
    }
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    child->pid = fork();
    if (child->pid == 0)
        become_child(argv, env, ends[1], log, parent);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    close(log);
    close(ends[1]);
    if (child->pid < 0) {
        child->pid = 0;
        close(ends[0]);
        return sea_fail_errno(err, "could not start \"%s\"", argv[0]);
    }
    /* Both sides set it: whoever comes first, the group exists from here on. */
    setpgid(child->pid, child->pid);
    child->events = ends[0];
    return SEA_OK;
}

static void
look(struct sea_child *child)
{
    siginfo_t info = { 0 };

    /* WNOWAIT: the id stays taken until the reap, so the group can still be killed. */
    if (!child->ended &&
        waitid(P_PID, (id_t)child->pid, &info, WEXITED | WNOHANG | WNOWAIT) == 0 &&
        info.si_pid == child->pid)
        child->ended = true;
}

void
sea_child_wait(struct sea_child *child, int64_t ms)
{
    struct pollfd at = { .fd = child->events, .events = POLLIN };
    int64_t until = sea_clock_ms() + ms, left;

    look(child);
    while (!child->ended && (left = until - sea_clock_ms()) > 0) {
        int n = poll(&at, 1, (int)(left < LOOK_MS ? left : LOOK_MS));

        look(child);
        if (n > 0 || (n < 0 && errno == EINTR))
            return;
    }
}

void
sea_child_signal(const struct sea_child *child, int signal_number)
{
    if (child->pid > 0)
        kill(-child->pid, signal_number);
}

int
sea_child_reap(struct sea_child *child)
{
    int how = 0;

    if (child->pid <= 0)
        return 0;
    kill(-child->pid, SIGKILL);
    while (waitpid(child->pid, &how, 0) < 0 && errno == EINTR)
        ;
    if (child->events >= 0)
        close(child->events);
    *child = (struct sea_child){ .events = -1 };
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}
