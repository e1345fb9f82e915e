/* SPDX-License-Identifier: Apache-2.0 */
/* Roles of a data folder: played once, stopped all at once, killed when they do not listen. */
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "scheduler/sea_role.h"
#include "tests/sea_test.h"

#define LINGER_MS 500           /* from SIGTERM to a role's end */

/* A process that plays the role, and lingers when told to stop. deaf: it is not told. */
static pid_t
play(const char *name, bool deaf)
{
    int64_t until = sea_clock_ms() + 5000;
    const char *dir = sea_test_dir();   /* made before the fork */
    struct sea_err err = { 0 };
    pid_t pid = fork();

    if (pid == 0) {
        if (sea_role_hold(dir, name, &err))
            _exit(sea_status_exit(err.status));
        if (deaf)
            signal(SIGTERM, SIG_IGN);
        while (!sea_role_stop && sea_clock_ms() < until + 15000)
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
    char name[16];
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

SEA_TEST_MAIN("roles of a data folder", TEST(a_role_is_played_once),
              TEST(all_are_asked_before_one_is_waited_for), TEST(who_does_not_listen_is_killed))
