/* SPDX-License-Identifier: Apache-2.0 */
/* Processes that are just beginning: clusters that several want to start, children that are told
 * to stop before they are what they will be. */
#include <errno.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "scheduler/sea_cluster_guard.h"
#include "scheduler/sea_db.h"
#include "scheduler/sea_supervisor.h"
#include "tests/sea_test.h"

#define STARTERS 3
#define SLOW_MS 400

static bool is_slow;            /* a child takes SLOW_MS from the fork to its first step */

int
setpgid(pid_t pid, pid_t group)
{
    if (is_slow && pid == 0)
        sea_clock_sleep_ms(SLOW_MS);
    return (int)syscall(SYS_setpgid, pid, group);
}

static int
end_of(pid_t pid)
{
    int how = -1;

    CHECK_INT(waitpid(pid, &how, 0), pid);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

/* Two `sea up`, or a test beside a user, in a folder where nothing is yet. */
static void
several_start_one_cluster(void)
{
    struct sea_cluster_guard guard;
    struct sea_cluster cluster;
    struct sea_err err = { 0 };
    struct sea_db *db = NULL;
    pid_t starters[STARTERS], parent = getpid();
    int i;

    CHECK_OK(sea_cluster_guard_open(&guard, "start", &cluster, &err), err);
    for (i = 0; i < STARTERS && !err.status; i++) {
        fflush(stdout);
        starters[i] = fork();
        if (starters[i] == 0) {
            prctl(PR_SET_PDEATHSIG, SIGKILL);
            if (getppid() == parent && sea_cluster_start(&cluster, &err))
                sea_err_print(&err, "test", stdout);
            fflush(stdout);
            _exit(err.status != SEA_OK);
        }
    }
    while (i--)
        CHECK_INT(end_of(starters[i]), 0);
    CHECK_OK(sea_db_open(&(struct sea_db_options){ .url = cluster.url }, &db, &err), err);
    sea_db_close(db);
    CHECK_OK(sea_cluster_guard_close(&guard, &err), err);
}

static volatile sig_atomic_t told;

static void
on_signal(int number)
{
    (void)number;
    told = 1;
}

/* A busy machine takes its time between fork and exec. The signal that comes then is the child's:
 * the copy of our handler that it still has must not take it. */
static void
a_child_hears_what_it_is_told_before_it_begins(void)
{
    char program[] = "/bin/sleep", seconds[] = "20", *argv[] = { program, seconds, NULL };
    struct sigaction ours = { .sa_handler = on_signal }, before;
    char log[SEA_PATH_MAX];
    struct sea_child child;
    struct sea_err err = { 0 };
    int64_t start = sea_clock_ms();

    CHECK_OK(sea_path_join(log, sea_test_dir(), "log", &err), err);
    sigaction(SIGTERM, &ours, &before);
    is_slow = true;
    CHECK_OK(sea_child_start(&child, argv, log, &err), err);
    is_slow = false;
    sea_child_signal(&child, SIGTERM);
    while (!child.ended && sea_clock_ms() - start < 10000)
        sea_child_wait(&child, 100);
    printf("told %d ms before it began, a child ended after %lld ms\n", SLOW_MS,
           (long long)(sea_clock_ms() - start));
    CHECK(child.ended);
    CHECK_INT(sea_child_reap(&child), 128 + SIGTERM);
    CHECK_INT(told, 0);
    sigaction(SIGTERM, &before, NULL);
}

SEA_TEST_MAIN("processes that are just beginning", TEST(several_start_one_cluster),
              TEST(a_child_hears_what_it_is_told_before_it_begins))
