/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_exec.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"

#define EXEC_FAILED 126
#define CHUNK 16384
#define LOOK_MS 100             /* between two looks at *stop and at the child */
#define ENV_MAX 16
#define ENV_BYTES 4096

struct env {
    char text[ENV_MAX][ENV_BYTES];
    char *list[ENV_MAX + 1];
};

/* Made before the fork: setenv in the child of a threaded process is not safe. */
static void
make_env(struct env *env)
{
    static const char *const kept[] = { "PATH", "HOME", "USER", "LOGNAME", "TZ", "SLURM_CONF",
                                        "MUNGE_SOCKET" };
    size_t n = 0, i;

    for (i = 0; i < sizeof(kept) / sizeof(kept[0]); i++) {
        const char *value = getenv(kept[i]);

        if (value && snprintf(env->text[n], ENV_BYTES, "%s=%s", kept[i], value) < ENV_BYTES) {
            env->list[n] = env->text[n];
            n++;
        }
    }
    snprintf(env->text[n], ENV_BYTES, "LC_ALL=C");
    env->list[n] = env->text[n];
    env->list[n + 1] = NULL;
}

static bool
is_program(const char *folder, size_t len, const char *name, char out[SEA_PATH_MAX])
{
    return (size_t)snprintf(out, SEA_PATH_MAX, "%.*s/%s", (int)len, folder, name) < SEA_PATH_MAX &&
           access(out, X_OK) == 0 && sea_file_exists(out);
}

static enum sea_status
find_program(const struct sea_exec *call, char out[SEA_PATH_MAX], struct sea_err *err)
{
    const char *name = call->argv[0], *path = call->folder ? call->folder : getenv("PATH");
    size_t len;

    if (strchr(name, '/')) {
        if (is_program("", 0, name[0] == '/' ? name + 1 : name, out))
            return SEA_OK;
    } else if (call->folder) {
        if (is_program(path, strlen(path), name, out))
            return SEA_OK;
    } else {
        for (path = path ? path : "/usr/bin:/bin"; *path; path += len + (path[len] == ':')) {
            len = strcspn(path, ":");
            if (len && is_program(path, len, name, out))
                return SEA_OK;
        }
    }
    return sea_fail(err, SEA_E_SERVICE, "there is no program \"%s\" in %s", name,
                    call->folder ? call->folder : "PATH");
}

/* Between fork and exec only calls that are safe after a fork of a threaded process. */
static _Noreturn void
become(const char *program, char *const *argv, char *const *env, int out, int said)
{
    struct sigaction plain = { .sa_handler = SIG_DFL };
    sigset_t none;
    int fd, null = open("/dev/null", O_RDONLY);

    setpgid(0, 0);
    sigemptyset(&none);
    sigprocmask(SIG_SETMASK, &none, NULL);
    for (fd = 1; fd < 32; fd++)
        if (fd != SIGKILL && fd != SIGSTOP)
            sigaction(fd, &plain, NULL);
    if (null < 0 || dup2(null, 0) < 0 || dup2(out, 1) < 0 || dup2(said, 2) < 0)
        _exit(EXEC_FAILED);
    for (fd = 3; fd < 1024; fd++)
        close(fd);
    execve(program, argv, env);
    _exit(EXEC_FAILED);
}

/* What a descriptor has now. *open is false at its end. */
static enum sea_status
drain(int fd, struct sea_buf *to, bool *open, struct sea_err *err)
{
    char chunk[CHUNK];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof(chunk))) > 0)
        if (sea_buf_append(to, chunk, (size_t)n, err))
            return err->status;
    if (n == 0 || (errno != EAGAIN && errno != EINTR))
        *open = false;
    return SEA_OK;
}

static void
keep_said(const struct sea_buf *text, char *out, size_t room)
{
    char *at;

    snprintf(out, room, "%s", text->data ? text->data : "");
    for (at = out; *at; at++)
        if ((unsigned char)*at < ' ')
            *at = ' ';
    while (at > out && at[-1] == ' ')
        *--at = 0;
    sea_log_redact(out);
}

/* Reads both outputs until they are closed and the child has ended. */
static enum sea_status
attend(const struct sea_exec *call, pid_t pid, int out, int said, struct sea_exec_answer *answer,
       int *how, struct sea_err *err)
{
    int64_t until = sea_clock_ms() + call->limit_ms;
    bool out_open = true, said_open = true, ended = false;
    enum sea_status status = SEA_OK;
    struct sea_err ignored = { 0 };
    struct sea_buf words;

    sea_buf_init(&words, (size_t)1 << 20);
    while (!status && (out_open || said_open || !ended)) {
        struct pollfd at[2] = { { .fd = out_open ? out : -1, .events = POLLIN },
                                { .fd = said_open ? said : -1, .events = POLLIN } };
        int64_t left = until - sea_clock_ms();
        bool had_ended = ended;

        if (left <= 0 || (call->stop && *call->stop)) {
            status = sea_fail(err, SEA_E_SERVICE, left <= 0 ? "\"%s\" did not end within %lld s"
                              : "\"%s\" was cut short (limit %lld s)", call->argv[0],
                              (long long)(call->limit_ms / 1000));
            break;
        }
        poll(at, 2, (int)(left < LOOK_MS ? left : ended ? 1 : LOOK_MS));
        if (out_open)
            status = drain(out, &answer->out, &out_open, err);
        /* Who talks without end is not listened to. */
        if (said_open && drain(said, &words, &said_open, &ignored))
            said_open = false;
        if (!ended)
            ended = waitpid(pid, how, WNOHANG) == pid;
        /* A grandchild may hold the outputs open for ever: the command itself has ended. */
        if (had_ended && !at[0].revents && !at[1].revents)
            break;
    }
    keep_said(&words, answer->said, sizeof(answer->said));
    sea_buf_release(&words);
    if (!ended) {
        kill(-pid, SIGKILL);
        kill(pid, SIGKILL);
        while (waitpid(pid, how, 0) < 0 && errno == EINTR)
            ;
    }
    return status;
}

static enum sea_status
make_pipe(int ends[2], struct sea_err *err)
{
    if (pipe(ends))
        return sea_fail_errno(err, "could not create a pipe");
    (void)fcntl(ends[0], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[1], F_SETFD, FD_CLOEXEC);
    (void)fcntl(ends[0], F_SETFL, O_NONBLOCK);
    return SEA_OK;
}

static void
close_pipe(const int ends[2])
{
    if (ends[0] >= 0)
        close(ends[0]);
    if (ends[1] >= 0)
        close(ends[1]);
}

enum sea_status
sea_exec_run(const struct sea_exec *call, size_t bytes_max, struct sea_exec_answer *answer,
             struct sea_err *err)
{
    int out[2] = { -1, -1 }, said[2] = { -1, -1 }, how = 0;
    char program[SEA_PATH_MAX];
    struct env env;
    enum sea_status status;
    pid_t pid;

    memset(answer, 0, sizeof(*answer));
    sea_buf_init(&answer->out, bytes_max);
    status = find_program(call, program, err);
    if (!status)
        status = make_pipe(out, err);
    if (!status)
        status = make_pipe(said, err);
    if (status)
        goto out;
    make_env(&env);
    pid = fork();
    if (pid == 0)
        become(program, (char *const *)(uintptr_t)call->argv, env.list, out[1], said[1]);
    close(out[1]);
    close(said[1]);
    out[1] = said[1] = -1;
    if (pid < 0) {
        status = sea_fail(err, SEA_E_SERVICE, "could not start \"%s\": %s", program,
                          strerror(errno));
        goto out;
    }
    setpgid(pid, pid);
    status = attend(call, pid, out[0], said[0], answer, &how, err);
    answer->exit_status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
    if (!status && answer->exit_status == EXEC_FAILED && !answer->said[0])
        snprintf(answer->said, sizeof(answer->said), "could not be started");
out:
    close_pipe(out);
    close_pipe(said);
    return status;
}

void
sea_exec_release(struct sea_exec_answer *answer)
{
    sea_buf_release(&answer->out);
}
