/* SPDX-License-Identifier: Apache-2.0 */
/* Roles of a data folder: played once, stopped all at once, killed when they do not listen; and
 * none is taken for another, whoever looks, begins or ends at the same moment. */
#include <signal.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "scheduler/sea_role.h"
#include "tests/sea_test.h"

#define LINGER_MS 500           /* from SIGTERM to a role's end */
#define LOOKERS 4
#define BEGINS 400

static int64_t write_ms;        /* how long a role takes from its lock to its id in the file */

int
ftruncate(int fd, off_t length)
{
    sea_clock_sleep_ms(write_ms);
    return (int)syscall(SYS_ftruncate, fd, length);
}

/* A process that plays the role, and lingers when told to stop. deaf: it is not told. */
static pid_t
play(const char *name, bool deaf)
{
    int64_t until = sea_clock_ms() + 30000;
    const char *dir = sea_test_dir();   /* made before the fork */
    struct sea_err err = { 0 };
    pid_t pid = fork();

    if (pid == 0) {
        if (sea_role_hold(dir, name, &err))
            _exit(sea_status_exit(err.status));
        if (deaf)
            signal(SIGTERM, SIG_IGN);
        while (!sea_role_stop && sea_clock_ms() < until)
            sea_clock_sleep_ms(10);
        sea_clock_sleep_ms(LINGER_MS);
        _exit(0);
    }
    while (sea_role_pid(dir, name) != pid && sea_clock_ms() < until)
        sea_clock_sleep_ms(5);
    CHECK_INT(sea_role_pid(dir, name), pid);
    return pid;
}

static int
ends_with(pid_t pid)
{
    int how = -1;

    CHECK_INT(waitpid(pid, &how, 0), pid);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

static void
a_role_is_played_once(void)
{
    struct sea_err err = { 0 };
    pid_t pid = play("worker-1", false), second = fork();
    int stopped;

    if (second == 0)
        _exit(sea_status_exit(sea_role_hold(sea_test_dir(), "worker-1", &err)));
    CHECK_INT(ends_with(second), sea_status_exit(SEA_E_CONFIG));
    kill(pid, SIGKILL);
    CHECK_INT(ends_with(pid), 128 + SIGKILL);
    CHECK_INT(sea_role_pid(sea_test_dir(), "worker-1"), 0);     /* its file is still there */
    CHECK_OK(sea_role_stop_all(sea_test_dir(), "", 1000, &stopped, &err), err);
    CHECK_INT(stopped, 0);
}

static void
all_are_asked_before_one_is_waited_for(void)
{
    struct sea_err err = { 0 };
    pid_t workers[4], other = play("scheduler", false);
    char name[32];
    int64_t start;
    int i, stopped;

    for (i = 0; i < 4; i++) {
        snprintf(name, sizeof(name), "worker-%d", i + 1);
        workers[i] = play(name, false);
    }
    start = sea_clock_ms();
    CHECK_OK(sea_role_stop_all(sea_test_dir(), "worker", 10000, &stopped, &err), err);
    CHECK_INT(stopped, 4);
    printf("4 roles that need %d ms each: %lld ms\n", LINGER_MS, (long long)(sea_clock_ms() - start));
    CHECK(sea_clock_ms() - start < 3 * LINGER_MS);
    for (i = 0; i < 4; i++)
        CHECK_INT(ends_with(workers[i]), 0);
    CHECK_INT(sea_role_pid(sea_test_dir(), "scheduler"), other);
    CHECK_OK(sea_role_stop_all(sea_test_dir(), "", 10000, &stopped, &err), err);
    CHECK_INT(stopped, 1);
    CHECK_INT(ends_with(other), 0);
}

static void
who_does_not_listen_is_killed(void)
{
    struct sea_err err = { 0 };
    pid_t deaf = play("worker-1", true);
    int stopped;

    CHECK_OK(sea_role_stop_all(sea_test_dir(), "worker", 200, &stopped, &err), err);
    CHECK_INT(stopped, 1);
    CHECK_INT(ends_with(deaf), 128 + SIGKILL);
}

/* `sea up` and `sea status` look at roles that are just beginning. */
static void
a_look_holds_up_nobody(void)
{
    const char *dir = sea_test_dir();
    pid_t lookers[LOOKERS], parent = getpid();
    int i, refused = 0;

    for (i = 0; i < LOOKERS; i++) {
        lookers[i] = fork();
        if (lookers[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            while (getppid() == parent)
                (void)sea_role_pid(dir, "looked-at");
            _exit(0);
        }
    }
    for (i = 0; i < BEGINS; i++) {
        struct sea_err err = { 0 };
        pid_t pid = fork();

        if (pid == 0)
            _exit(sea_status_exit(sea_role_hold(dir, "looked-at", &err)));
        refused += ends_with(pid) != 0;
    }
    for (i = 0; i < LOOKERS; i++) {
        kill(lookers[i], SIGKILL);
        (void)ends_with(lookers[i]);
    }
    printf("%d of %d roles were refused while others looked\n", refused, BEGINS);
    CHECK_INT(refused, 0);
}

/* The file of a role holds the id of who played it last until its next player has written its
 * own: that process may be anybody's by now. */
static void
who_played_it_before_is_left_alone(void)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX], old[32];
    pid_t other = fork(), player;
    int64_t until;
    int stopped;

    if (other == 0) {
        signal(SIGTERM, SIG_DFL);
        pause();
        _exit(0);
    }
    snprintf(old, sizeof(old), "%ld\n", (long)other);
    CHECK_OK(sea_path_join(path, sea_test_dir(), "run/late.pid", &err), err);
    CHECK_OK(sea_file_replace(path, old, strlen(old), &err), err);
    player = fork();
    if (player == 0) {
        write_ms = 2000;
        if (sea_role_hold(sea_test_dir(), "late", &err))
            _exit(1);
        for (until = sea_clock_ms() + 15000; !sea_role_stop && sea_clock_ms() < until;)
            sea_clock_sleep_ms(10);
        _exit(sea_role_stop ? 0 : 2);
    }
    for (until = sea_clock_ms() + 10000;
         !sea_role_pid(sea_test_dir(), "late") && sea_clock_ms() < until;)
        sea_clock_sleep_ms(5);
    CHECK_OK(sea_role_stop_all(sea_test_dir(), "late", 10000, &stopped, &err), err);
    CHECK_INT(stopped, 1);
    CHECK_INT(ends_with(player), 0);
    CHECK_INT(waitpid(other, NULL, WNOHANG), 0);        /* it lives */
    kill(other, SIGKILL);
    (void)ends_with(other);
}

/* `sea up` beside `sea down`: who comes after the one that was asked to stop was not asked. */
static void
who_plays_it_next_is_not_waited_for(void)
{
    const char *dir = sea_test_dir();
    struct sea_err err = { 0 };
    pid_t first = play("heir", false), next = fork();
    int64_t start = sea_clock_ms();
    int stopped;

    if (next == 0) {
        while (sea_role_hold(dir, "heir", &err))
            sea_err_clear(&err);
        for (start = sea_clock_ms(); sea_clock_ms() - start < 20000 && !sea_role_stop;)
            sea_clock_sleep_ms(5);
        _exit(0);
    }
    CHECK_OK(sea_role_stop_all(dir, "heir", 6000, &stopped, &err), err);
    printf("a role that ends after %d ms was waited for %lld ms\n", LINGER_MS,
           (long long)(sea_clock_ms() - start));
    CHECK(sea_clock_ms() - start < 40000);     /* the busiest of machines */
    CHECK_INT(stopped, 1);
    CHECK_INT(ends_with(first), 0);
    CHECK_INT(waitpid(next, NULL, WNOHANG), 0);         /* it lives */
    kill(next, SIGKILL);
    (void)ends_with(next);
}

SEA_TEST_MAIN("roles of a data folder", TEST(a_role_is_played_once),
              TEST(all_are_asked_before_one_is_waited_for), TEST(who_does_not_listen_is_killed),
              TEST(a_look_holds_up_nobody), TEST(who_played_it_before_is_left_alone),
              TEST(who_plays_it_next_is_not_waited_for))
