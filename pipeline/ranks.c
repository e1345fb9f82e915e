/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_ranks.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/sea_comm.h"
#include "engine/sea_device.h"
#include "pipeline/sea_experiment.h"

#define LOOK_MS 20
#define AGAIN_MS 1000           /* between two requests to stop */
#define GRACE_MS 5000           /* for the others, once a rank has failed */
#define LINK_BYTES (4 << 20)    /* buffer of a link, where the system allows it */

struct child {
    pid_t pid;                  /* 0: collected */
    int exit_status;            /* 128 + signal for a killed one */
    bool killed;                /* by us */
    struct sea_err err;         /* what it said */
};

struct launch {
    const struct sea_stage_options *options;
    int ranks;
    struct sea_events *events;
    int *links;                 // (ranks, ranks) descriptors; a child closes other rows
    int said[2];                /* pipe of struct said */
    struct child *children;     // (ranks)
    int64_t kill_ms;            /* 0: nobody has failed */
};

struct said {                   /* one write of less than PIPE_BUF */
    int rank;
    struct sea_err err;
};

static volatile sig_atomic_t signals;

static void
on_signal(int number)
{
    (void)number;
    signals++;
}

/* ---- how many, and where ---- */

static long
processors(void)
{
    long n = sysconf(_SC_NPROCESSORS_ONLN);

    return n > 0 ? n : 1;
}

/* In a process of its own: a driver that was called before a fork is of no use behind it. */
int
sea_ranks_cuda_count(void)
{
    int how = 0;
    pid_t pid = fork();

    if (pid == 0) {
        int n = sea_device_cuda_count();

        _exit(n > 250 ? 250 : n);
    }
    while (pid > 0 && waitpid(pid, &how, 0) < 0 && errno == EINTR)
        ;
    return pid > 0 && WIFEXITED(how) ? WEXITSTATUS(how) : 0;
}

enum sea_status
sea_ranks_wanted(const struct sea_stage_options *options, int *out, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "ranks");
    struct sea_experiment experiment;
    struct sea_err ignored = { 0 };
    enum sea_status status = SEA_OK;
    const char *device = options->device;
    int64_t gpus, first = 0;
    int have;

    *out = 1;
    if (sea_experiment_one(options->config_path, arena, &experiment, &ignored))
        goto out;
    gpus = sea_node_int(sea_node_path(experiment.config, "resources.gpus"), 1);
    if (!device || !device[0])
        device = sea_node_text(sea_node_path(experiment.config, "resources.device"), "auto");
    if (gpus < 2)
        goto out;
    if (strncmp(device, "cpu", 3) == 0) {
        *out = (int)gpus;
        goto out;
    }
    have = sea_ranks_cuda_count();
    if (strcmp(device, "auto") == 0 && have == 0)
        goto out;
    if (strncmp(device, "cuda:", 5) == 0)
        first = strtol(device + 5, NULL, 10);
    if (first + gpus > have) {
        status = sea_fail(err, SEA_E_DEVICE, "the experiment wants %lld GPUs from number %lld "
                          "on, there are %d", (long long)gpus, (long long)first, have);
        sea_hint(err, "Set resources.gpus to what one machine has, or start one process per "
                 "GPU with srun and SEA_RENDEZVOUS.");
        goto out;
    }
    *out = (int)gpus;
out:
    sea_arena_destroy(arena);
    return status;
}

/* The device of one rank: its own GPU, or its share of the processors. */
static void
name_device(const struct launch *launch, int rank, char out[32])
{
    struct sea_arena *arena = sea_arena_create(NULL, "device");
    const char *device = launch->options->device;
    struct sea_experiment experiment;
    struct sea_err ignored = { 0 };
    long threads = processors(), first = 0;

    if ((!device || !device[0]) &&
        !sea_experiment_one(launch->options->config_path, arena, &experiment, &ignored))
        device = sea_node_text(sea_node_path(experiment.config, "resources.device"), "auto");
    if (!device || !device[0])
        device = "auto";
    if (strcmp(device, "auto") == 0)
        device = sea_device_cuda_count() >= launch->ranks ? "cuda" : "cpu";
    if (strncmp(device, "cuda", 4) == 0) {
        if (device[4] == ':')
            first = strtol(device + 5, NULL, 10);
        snprintf(out, 32, "cuda:%ld", first + rank);
    } else if (strncmp(device, "cpu", 3) == 0) {
        if (device[3] == ':')
            threads = strtol(device + 4, NULL, 10);
        threads /= launch->ranks;
        snprintf(out, 32, "cpu:%ld", threads > 1 ? threads : 1);
    } else {
        snprintf(out, 32, "%.31s", device);     /* refused by the one who opens it */
    }
    sea_arena_destroy(arena);
}

/* ---- starting ---- */

static enum sea_status
make_links(struct launch *launch, struct sea_err *err)
{
    const int bytes = LINK_BYTES;
    int n = launch->ranks, ends[2];

    launch->links = sea_xcalloc((size_t)n * (size_t)n, sizeof(int));
    for (int i = 0; i < n * n; i++)
        launch->links[i] = -1;
    for (int i = 0; i < n; i++)
        for (int k = i + 1; k < n; k++) {
            if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends)) {
                sea_fail_errno(err, "could not join %d ranks", n);
                sea_hint(err, "They need %d descriptors: raise ulimit -n.", n * (n - 1));
                return err->status;
            }
            for (int e = 0; e < 2; e++) {
                setsockopt(ends[e], SOL_SOCKET, SO_SNDBUF, &bytes, sizeof(bytes));
                setsockopt(ends[e], SOL_SOCKET, SO_RCVBUF, &bytes, sizeof(bytes));
            }
            launch->links[i * n + k] = ends[0];
            launch->links[k * n + i] = ends[1];
        }
    return SEA_OK;
}

/* Closes the ends of all ranks but one (-1: of all). */
static void
close_links(struct launch *launch, int but)
{
    int n = launch->ranks;

    for (int i = 0; launch->links && i < n * n; i++)
        if (i / n != but && launch->links[i] >= 0)
            close(launch->links[i]);
}

static void
be_rank(struct launch *launch, int rank, int64_t timeout_ms, pid_t parent)
{
    struct sea_stage_options options = *launch->options;
    struct said said = { .rank = rank };
    struct sea_rank place = {
        .rank = rank, .size = launch->ranks, .links = launch->links + rank * launch->ranks,
        .timeout_ms = timeout_ms, .events = rank ? NULL : launch->events, .quiet = true };
    char device[32];
    enum sea_status status;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)    /* it died before the line above */
        _exit(sea_status_exit(SEA_E_INTERNAL));
    close(launch->said[0]);
    close_links(launch, rank);
    name_device(launch, rank, device);
    options.device = device;
    status = sea_stage_run_rank(&options, &place, &said.err);
    if (status) {
        ssize_t n = write(launch->said[1], &said, sizeof(said));

        (void)n;                /* the exit status says it, too */
    }
    fflush(NULL);
    _exit(sea_status_exit(status));
}

static enum sea_status
start(struct launch *launch, int64_t timeout_ms, struct sea_err *err)
{
    pid_t parent = getpid();

    fflush(NULL);
    for (int r = 0; r < launch->ranks; r++) {
        pid_t pid = fork();

        if (pid == 0)
            be_rank(launch, r, timeout_ms, parent);
        if (pid < 0)
            return sea_fail_errno(err, "could not start rank %d", r);
        launch->children[r].pid = pid;
    }
    return SEA_OK;
}

/* ---- watching ---- */

static void
signal_all(struct launch *launch, int number)
{
    for (int r = 0; r < launch->ranks; r++) {
        if (!launch->children[r].pid)
            continue;
        if (number == SIGKILL)
            launch->children[r].killed = true;
        kill(launch->children[r].pid, number);
    }
}

static void
listen_to(struct launch *launch)
{
    struct said said;

    while (read(launch->said[0], &said, sizeof(said)) == (ssize_t)sizeof(said))
        if (said.rank >= 0 && said.rank < launch->ranks)
            launch->children[said.rank].err = said.err;
}

/* Collects who has ended; returns how many are left. */
static int
collect(struct launch *launch)
{
    int left = 0, how;

    for (int r = 0; r < launch->ranks; r++) {
        struct child *child = &launch->children[r];

        if (!child->pid)
            continue;
        if (waitpid(child->pid, &how, WNOHANG) != child->pid) {
            left++;
            continue;
        }
        child->pid = 0;
        child->exit_status = WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
        /* Who stopped on request is ahead of rank 0, which still writes the checkpoint. */
        if (child->exit_status && child->exit_status != sea_status_exit(SEA_E_STOPPED) &&
            !launch->kill_ms)
            launch->kill_ms = sea_clock_ms() + GRACE_MS;
    }
    return left;
}

static void
watch(struct launch *launch)
{
    int64_t tell_ms = 0;

    while (collect(launch)) {
        listen_to(launch);
        /* Again and again: a rank that had only just begun may have missed it. */
        if (signals && sea_clock_ms() >= tell_ms) {
            signal_all(launch, SIGTERM);
            tell_ms = sea_clock_ms() + AGAIN_MS;
        }
        if (launch->kill_ms && sea_clock_ms() >= launch->kill_ms)
            signal_all(launch, SIGKILL);
        sea_clock_sleep_ms(LOOK_MS);
    }
    listen_to(launch);
}

/* ---- the outcome ---- */

/* How much an end tells about the cause; 0: nothing. */
static int
weight_of(const struct child *child)
{
    if (child->exit_status == 0 || child->killed)
        return 0;
    if (child->exit_status >= 128)
        return 7;
    if (child->err.status && sea_status_retry(child->err.status) == SEA_RETRY_NEVER)
        return 6;
    switch (child->err.status) {
    case SEA_E_SERVICE:         /* "another rank has ended" is one of these */
        return 1;
    case SEA_E_STOPPED:
        return 2;
    case SEA_E_IO:
        return 5;
    default:
        return 4;
    }
}

static enum sea_status
judge(const struct launch *launch, struct sea_err *err)
{
    int which = -1, most = 0;
    bool killed = false;

    for (int r = 0; r < launch->ranks; r++) {
        int weight = weight_of(&launch->children[r]);

        killed = killed || launch->children[r].killed;
        if (weight > most) {
            most = weight;
            which = r;
        }
    }
    if (which < 0 && !killed)
        return SEA_OK;
    if (which < 0)
        return sea_fail(err, SEA_E_STOPPED, "all %d ranks were ended on request",
                        launch->ranks);
    if (launch->children[which].exit_status >= 128) {
        int number = launch->children[which].exit_status - 128;

        sea_fail(err, SEA_E_INTERNAL, "rank %d of %d was ended by signal %d", which,
                 launch->ranks, number);
        if (number == SIGKILL)
            sea_hint(err, "The system may have been out of memory: see the kernel's log. "
                     "Started again, the stage goes on from its checkpoint.");
    } else if (launch->children[which].err.status) {
        *err = launch->children[which].err;
        if (err->status != SEA_E_STOPPED)
            sea_context(err, "while working as rank %d of %d", which, launch->ranks);
    } else {
        sea_fail(err, sea_status_from_exit(launch->children[which].exit_status),
                 "rank %d of %d ended with exit status %d", which, launch->ranks,
                 launch->children[which].exit_status);
    }
    return err->status;
}

static void
catch_signals(struct sigaction before[2])
{
    struct sigaction action = { .sa_handler = on_signal };

    signals = 0;
    sigemptyset(&action.sa_mask);
    sigaction(SIGTERM, &action, &before[0]);
    sigaction(SIGINT, &action, &before[1]);
}

enum sea_status
sea_ranks_run(const struct sea_stage_options *options, int ranks, struct sea_err *err)
{
    struct launch launch = { .options = options, .ranks = ranks, .said = { -1, -1 } };
    struct sigaction before[2];
    struct sea_comm_place place;
    enum sea_status status = sea_comm_place_read(&place, err);

    _Static_assert(sizeof(struct said) <= 4096, "a pipe takes it whole");
    launch.children = sea_xcalloc((size_t)ranks, sizeof(*launch.children));
    catch_signals(before);
    if (!status)
        status = sea_events_open(&launch.events, options->events, err);
    if (!status)
        status = make_links(&launch, err);
    if (!status && pipe(launch.said))
        status = sea_fail_errno(err, "could not create a pipe");
    for (int i = 0; i < 2 && !status; i++)
        (void)fcntl(launch.said[i], F_SETFD, FD_CLOEXEC);
    if (!status)
        (void)fcntl(launch.said[0], F_SETFL, O_NONBLOCK);
    if (!status)
        status = start(&launch, place.timeout_ms, err);
    close_links(&launch, -1);
    if (launch.said[1] >= 0)
        close(launch.said[1]);
    if (status)
        signal_all(&launch, SIGKILL);
    watch(&launch);
    if (!status)
        status = judge(&launch, err);
    if (status)
        sea_events_error(launch.events, err);
    if (launch.said[0] >= 0)
        close(launch.said[0]);
    sea_events_close(launch.events);
    sigaction(SIGTERM, &before[0], NULL);
    sigaction(SIGINT, &before[1], NULL);
    free(launch.links);
    free(launch.children);
    return status;
}
