/* SPDX-License-Identifier: Apache-2.0 */
/* What a worker does while something below it is away for longer than a lease: PostgreSQL, or the
 * room on a disk. Nothing is lost, nothing is written twice, nobody has to start anything again. */
#include <sys/mount.h>
#include <sys/statvfs.h>

#include "scheduler/sea_worker.h"
#include "tests/scheduler/service.h"

#define TTL_MS 900
#define AWAY_MS 1800
#define CONFIG "{\"name\":\"outage\",\"seed\":%d,\"mode\":\"%s\",\"steps\":%d,\"pause\":\"%s\"," \
               "\"bytes\":%d,\"stages\":{\"label\":{}}}"

static volatile sig_atomic_t stopped;
static char program[SEA_PATH_MAX], data[SEA_PATH_MAX];
static pid_t scheduler, worker;

static void
on_term(int number_of_signal)
{
    (void)number_of_signal;
    stopped = 1;
}

/* A role in a process of its own. */
static pid_t
start_role(bool is_scheduler)
{
    struct sigaction action = { .sa_handler = on_term };
    struct sea_err err = { 0 };
    pid_t pid = fork();
    enum sea_status status;

    if (pid)
        return pid;
    end_with_test();
    sigaction(SIGTERM, &action, NULL);
    if (is_scheduler)
        status = sea_scheduler_run(&(struct sea_scheduler_options){
            .url = cluster.url, .tick_ms = 50, .key = test_key, .stop = &stopped }, &err);
    else
        status = sea_worker_run(&(struct sea_worker_options){
            .url = cluster.url, .data = data, .stage_program = program, .ttl_ms = TTL_MS,
            .poll_ms = 100, .grace_ms = 1000, .stop = &stopped }, &err);
    if (status)
        sea_err_print(&err, is_scheduler ? "scheduler" : "worker", stderr);
    _exit(status != SEA_OK);
}

static void
begin(const char *name)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    service_begin();
    must(sea_path_join(path, sea_test_root(), "tests/scheduler/fake_stage.sh", &err), &err);
    if (!realpath(path, program))
        abort();
    must(sea_path_join(data, sea_test_dir(), name, &err), &err);
    must(sea_dir_create(data, &err), &err);
    scheduler = start_role(true);
}

/* The roles are those that were started first, and end well. */
static void
finish(void)
{
    int how = -1;

    kill(worker, SIGTERM);
    waitpid(worker, &how, 0);
    CHECK_INT(how, 0);
    kill(scheduler, SIGTERM);
    waitpid(scheduler, &how, 0);
    CHECK_INT(how, 0);
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
    CHECK_INT(number("SELECT count(*) FROM sea.lease"), 0);
}

static void
submit_one(int seed, const char *mode, int steps, const char *pause, int bytes)
{
    char config[512];

    snprintf(config, sizeof(config), CONFIG, seed, mode, steps, pause, bytes);
    submit(config, NULL);
}

static void
expect(const char *sql, const char *want, int64_t ms)
{
    int64_t until = sea_clock_ms() + PATIENCE * ms;

    while (strcmp(text(sql), want) != 0 && sea_clock_ms() < until)
        sea_clock_sleep_ms(20);
    CHECK_STR(text(sql), want);
}

/* Crashes the server and starts it again after ms. */
static void
outage(int64_t ms)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err), err);
    sea_clock_sleep_ms(ms);
    CHECK_OK(sea_cluster_start(&cluster, &err), err);
    CHECK_OK(sea_db_reconnect(db, &err), err);
}

#define ATTEMPTS "SELECT string_agg(epoch || ' ' || state, ', ' ORDER BY stage_id, epoch)" \
                 " FROM sea.attempt"

static void
check_curve(int experiment, int steps)
{
    char sql[300];

    snprintf(sql, sizeof(sql), "SELECT count(*) = %d AND min(step) = 1 AND max(step) = %d"
             " AND bool_and(value = step * (step + 1) / 2) FROM sea.metric_series"
             " WHERE experiment_id = %d", steps, steps, experiment);
    CHECK_MSG(number(sql) == 1, "the curve of %d steps is %s", steps,
              text("SELECT string_agg(step || ':' || value, ' ' ORDER BY experiment_id, step)"
                   " FROM sea.metric_series"));
}

/* One stage ends while nobody can be told: its worker waits, and commits it once. Another one has
 * to be killed before its lease is over: it goes on from its checkpoint, and that costs nothing. */
static void
stages_end_and_go_on_when_the_database_was_away(void)
{
    pid_t other;

    begin("away");
    worker = start_role(false);
    other = start_role(false);
    submit_one(1, "", 40, "0.05", 0);
    CHECK(wait_for("SELECT count(*) > 0 FROM sea.checkpoint", 1, 8000));
    submit_one(2, "", 7, "0.05", 0);
    CHECK(wait_for("SELECT count(*) FROM sea.attempt WHERE pid > 0", 2, 8000));
    outage(AWAY_MS);
    expect("SELECT string_agg(state, ' ') FROM sea.experiment", "succeeded succeeded", 12000);
    /* The long one was given back and resumed; on a slow machine the short one may be, too. */
    CHECK(number("SELECT count(*) FROM sea.attempt WHERE state = 'released'") >= 1);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'committed'"), 2);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt"
                     " WHERE state NOT IN ('committed', 'released')"), 0);
    CHECK_INT(number("SELECT sum(losses + failures) FROM sea.stage_run"), 0);
    CHECK(number("SELECT count(*) FROM sea.event WHERE text LIKE 'resumed at %'") >= 1);
    check_curve(1, 40);
    check_curve(2, 7);
    kill(other, SIGTERM);
    waitpid(other, NULL, 0);
    finish();
}

/* ---- full disks ---- */

/* A disk of 1 MiB below the data folder. False where nobody may mount one. */
static bool
small_disk(const char *name, char path[SEA_PATH_MAX])
{
    struct sea_err err = { 0 };

    must(sea_path_join(path, data, name, &err), &err);
    must(sea_dir_create(path, &err), &err);
    return mount("none", path, "tmpfs", 0, "size=1m") == 0;
}

static void
fill(const char *disk, int64_t bytes)
{
    static char zeros[4096];
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    FILE *to;

    must(sea_path_join(path, disk, "filler", &err), &err);
    to = fopen(path, "w");
    for (; to && bytes > 0; bytes -= (int64_t)sizeof(zeros))
        if (fwrite(zeros, 1, sizeof(zeros), to) != sizeof(zeros))
            break;
    if (to)
        fclose(to);
}

static void
empty(const char *disk)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    must(sea_path_join(path, disk, "filler", &err), &err);
    CHECK(unlink(path) == 0);
}

static enum sea_status
count_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    (void)bytes, (void)err;
    *(int *)arg += strcmp(relative, "filler") != 0;
    return SEA_OK;
}

static int
files_in(const char *dir)
{
    struct sea_err err = { 0 };
    int count = 0;

    CHECK_OK(sea_dir_walk(dir, count_file, &count, &err), err);
    return count;
}

static void
an_output_that_the_store_has_no_room_for_is_made_again(void)
{
    char store[SEA_PATH_MAX];

    begin("store");
    if (!small_disk("store", store)) {
        worker = start_role(false);
        finish();
        SEA_SKIP("nobody here may mount a small disk");
    }
    fill(store, 700 << 10);
    worker = start_role(false);
    submit_one(3, "", 5, "", 600 << 10);
    expect("SELECT state || ' ' || coalesce(class, '') FROM sea.attempt ORDER BY epoch LIMIT 1",
           "failed infra", 8000);
    CHECK(strstr(text("SELECT message FROM sea.attempt WHERE epoch = 1"), "No space left"));
    CHECK(text("SELECT hint FROM sea.attempt WHERE epoch = 1")[0] != 0);
    CHECK_INT(number("SELECT failures FROM sea.stage_run"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.manifest"), 0);
    empty(store);
    expect("SELECT state FROM sea.experiment", "succeeded", 12000);
    CHECK_INT(files_in(store), 2);
    CHECK_INT(number("SELECT sum(bytes) > 600000 FROM sea.manifest"), 1);
    finish();
    CHECK(umount2(store, MNT_DETACH) == 0);
}

static void
a_stage_whose_own_disk_is_full_is_tried_again(void)
{
    char tmp[SEA_PATH_MAX];

    begin("tmp");
    if (!small_disk("tmp", tmp)) {
        worker = start_role(false);
        finish();
        SEA_SKIP("nobody here may mount a small disk");
    }
    fill(tmp, 700 << 10);
    worker = start_role(false);
    submit_one(4, "nospace", 12, "", 600 << 10);
    expect("SELECT state || ' ' || coalesce(class, '') FROM sea.attempt ORDER BY epoch LIMIT 1",
           "failed infra", 8000);
    CHECK_INT(number("SELECT failures FROM sea.stage_run"), 0);
    for (int i = 0; i < 500 && files_in(tmp); i++)      /* they go behind the report */
        sea_clock_sleep_ms(10);
    CHECK_INT(files_in(tmp), 0);
    empty(tmp);
    expect("SELECT state FROM sea.experiment", "succeeded", 12000);
    check_curve(1, 12);
    finish();
    CHECK_INT(files_in(tmp), 0);
    CHECK(umount2(tmp, MNT_DETACH) == 0);
}

/* Nobody claims what could not be kept: a disk that stays full costs no stage run its losses. */
static void
a_worker_without_room_claims_nothing(void)
{
    char store[SEA_PATH_MAX];

    begin("full");
    if (!small_disk("store", store)) {
        worker = start_role(false);
        finish();
        SEA_SKIP("nobody here may mount a small disk");
    }
    fill(store, 2 << 20);
    worker = start_role(false);
    submit_one(5, "", 5, "", 0);
    CHECK(wait_for("SELECT count(*) FROM sea.stage_run WHERE state = 'ready'", 1, 5000));
    CHECK(wait_for("SELECT count(*) FROM sea.worker WHERE state = 'active'", 1, 5000));
    CHECK(wait_for("SELECT count(*) FROM sea.why_pending WHERE reason LIKE 'no worker of queue"
                   " \"default\" takes stages now: worker % says: the disk of its store has %'",
                   1, 5000));
    CHECK_INT(number("SELECT count(*) FROM sea.attempt"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.worker WHERE state = 'active'"), 1);
    empty(store);
    expect("SELECT state FROM sea.experiment", "succeeded", 8000);
    CHECK_INT(number("SELECT count(*) FROM sea.worker WHERE trouble IS NULL"), 1);
    CHECK_STR(text(ATTEMPTS), "1 committed");
    finish();
    CHECK(umount2(store, MNT_DETACH) == 0);
}

SEA_TEST_MAIN("outages", TEST(stages_end_and_go_on_when_the_database_was_away),
              TEST(an_output_that_the_store_has_no_room_for_is_made_again),
              TEST(a_stage_whose_own_disk_is_full_is_tried_again),
              TEST(a_worker_without_room_claims_nothing))
