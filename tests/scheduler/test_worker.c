/* SPDX-License-Identifier: Apache-2.0 */
/* The worker from claim to commit with a small stage program: kills, stops, outages. */
#include "scheduler/sea_worker.h"
#include "tests/scheduler/service.h"

#define TTL_MS 1500
#define LONG_TTL_MS 30000        /* where a slow machine must not make an outage a loss */
#define GPUS_CONFIG "{\"name\":\"gpus\",\"seed\":%d,\"mode\":\"gpus\",\"steps\":%d," \
                    "\"pause\":\"%s\",\"stages\":{\"tune\":{}}," \
                    "\"resources\":{\"gpus\":%d,\"device\":\"%s\"}}"
#define CONFIG "{\"name\":\"%s\",\"seed\":%d,\"mode\":\"%s\",\"steps\":%d,\"pause\":\"%s\"," \
               "\"model\":{\"vision\":{\"path\":\"@foundation/vision\"}},\"stages\":%s}"
#define LABEL "{\"label\":{}}"
#define ALL "{\"foundation\":{},\"label\":{},\"align\":{},\"tune\":{},\"eval\":{\"suite\":\"s\"}}"

static volatile sig_atomic_t stopped;
static char program[SEA_PATH_MAX], data[SEA_PATH_MAX];
static pid_t scheduler, workers[4];
static int workers_count;

static void
on_term(int number_of_signal)
{
    (void)number_of_signal;
    stopped = 1;
}

static void
catch_term(void)
{
    struct sigaction action = { .sa_handler = on_term };

    sigaction(SIGTERM, &action, NULL);
}

static pid_t
start_scheduler(void)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct sea_err err = { 0 };

        end_with_test();
        catch_term();
        if (sea_scheduler_run(&(struct sea_scheduler_options){
                .url = cluster.url, .tick_ms = 50, .key = test_key, .stop = &stopped }, &err))
            sea_err_print(&err, "scheduler", stderr);
        _exit(0);
    }
    return pid;
}

static pid_t
start_worker_gpus(int64_t ttl_ms, const struct sea_gpus *gpus)
{
    pid_t pid = fork();

    if (pid == 0) {
        struct sea_err err = { 0 };

        end_with_test();
        catch_term();
        if (sea_worker_run(&(struct sea_worker_options){
                .url = cluster.url, .data = data, .stage_program = program, .ttl_ms = ttl_ms,
                .gpus = gpus, .poll_ms = 100, .grace_ms = 1000, .stop = &stopped }, &err))
            sea_err_print(&err, "worker", stderr);
        _exit(0);
    }
    workers[workers_count++] = pid;
    return pid;
}

static pid_t
start_worker_ttl(int64_t ttl_ms)
{
    return start_worker_gpus(ttl_ms, NULL);
}

static pid_t
start_worker(void)
{
    return start_worker_ttl(TTL_MS);
}

static int
end_process(pid_t pid, int signal_number)
{
    int how = -1;

    if (pid > 0 && !kill(pid, signal_number))
        waitpid(pid, &how, 0);
    return how;
}

static void
begin(const char *name)
{
    struct sea_err err = { 0 };

    service_begin();
    must(sea_path_join(program, sea_test_root(), "tests/scheduler/fake_stage.sh", &err), &err);
    if (!realpath(program, data))
        abort();
    snprintf(program, sizeof(program), "%s", data);
    must(sea_path_join(data, sea_test_dir(), name, &err), &err);
    workers_count = 0;
    scheduler = start_scheduler();
}

static void
finish(void)
{
    while (workers_count)
        end_process(workers[--workers_count], SIGTERM);
    end_process(scheduler, SIGTERM);
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
}

static int64_t
submit_one(const char *name, int seed, const char *mode, int steps, const char *pause,
           const char *stages)
{
    char config[512];

    snprintf(config, sizeof(config), CONFIG, name, seed, mode, steps, pause, stages);
    return submit(config, NULL);
}

static void
expect_state(const char *want, int64_t ms)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "SELECT state = '%s' FROM sea.experiment WHERE id = 1", want);
    if (!wait_for(sql, 1, ms))
        CHECK_STR(text("SELECT stage_states || ' ' || state || ' ' || coalesce(reason, '')"
                       " FROM sea.experiment_status"), want);
}

/* The stage's process as recorded; waits until the attempt has started. */
static pid_t
child_of(int epoch)
{
    char sql[128];

    snprintf(sql, sizeof(sql), "SELECT pid > 0 FROM sea.attempt WHERE epoch = %d", epoch);
    CHECK(wait_for(sql, 1, 8000));
    snprintf(sql, sizeof(sql), "SELECT pid FROM sea.attempt WHERE epoch = %d", epoch);
    return (pid_t)number(sql);
}

static bool
is_gone(pid_t pid)
{
    int64_t until = sea_clock_ms() + PATIENCE * 2000;

    while (kill(pid, 0) == 0)
        if (sea_clock_ms() > until)
            return false;
        else
            sea_clock_sleep_ms(10);
    return true;
}

/* What every finished run of "label" with n steps must show, however often interrupted. */
static void
check_result(int steps)
{
    char sql[256];

    CHECK_INT(number("SELECT count(*) FROM sea.manifest"), 2);
    snprintf(sql, sizeof(sql), "SELECT count(*) = %d AND min(step) = 1 AND max(step) = %d"
             " AND bool_and(value = step * (step + 1) / 2) FROM sea.metric_series"
             " WHERE experiment_id = 1", steps, steps);
    CHECK_MSG(number(sql) == 1, "the curve is %s",
              text("SELECT string_agg(step || ':' || value, ' ' ORDER BY step, epoch)"
                   " FROM sea.metric_series WHERE experiment_id = 1"));
    CHECK_INT(number("SELECT count(*) FROM sea.checkpoint"), 0);
}

static void
no_leftovers(void)
{
    struct sea_err err = { 0 };
    struct sea_store store;
    char path[SEA_PATH_MAX];
    size_t checked, bad;

    must(sea_path_join(path, data, "store", &err), &err);
    must(sea_store_open(&store, path, &err), &err);
    CHECK_OK(sea_store_check(&store, &checked, &bad, &err), err);
    CHECK(checked > 0);
    CHECK_INT(bad, 0);
}

/* ---- tests ---- */

static void
an_experiment_runs_to_its_scores(void)
{
    begin("whole");
    start_worker();
    start_worker();
    submit_one("whole", 1, "", 12, "", ALL);
    submit_one("again", 1, "", 12, "", ALL);
    expect_state("succeeded", 15000);
    CHECK(wait_for("SELECT count(*) FROM sea.experiment WHERE state = 'succeeded'", 2, 3000));
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'committed'"), 5);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'cached'"), 5);
    CHECK_INT(number("SELECT count(*) FROM sea.answer"), 600);
    CHECK_INT(number("SELECT count(*) FROM sea.answer WHERE ascii(substr(text, 2, 1)) = 65533"),
              600);
    CHECK_INT(number("SELECT count(*) FROM sea.leaderboard"), 2);
    CHECK_STR(text("SELECT DISTINCT judge FROM sea.leaderboard"), "grader-2, prompts 0123456789ab");
    run_sql("UPDATE sea.benchmark SET judge = 'said later'");
    CHECK_STR(text("SELECT DISTINCT judge FROM sea.leaderboard"), "said later");
    CHECK_INT(number("SELECT count(*) FROM sea.score WHERE item_n = 600 AND clusters = 200"
                     " AND item_mean = 0.5"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 60);
    no_leftovers();
    finish();
    CHECK_INT(number("SELECT count(*) FROM sea.worker WHERE state = 'gone'"), 2);
}

static void
a_killed_worker_is_replaced_and_the_stage_resumes(void)
{
    pid_t first, child;
    int64_t killed;

    begin("kill");
    first = start_worker();
    submit_one("kill", 1, "", 30, "0.04", LABEL);
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint WHERE step >= 10", 1, 8000));
    child = child_of(1);
    CHECK(kill(child, 0) == 0);
    killed = sea_clock_ms();
    end_process(first, SIGKILL);
    CHECK_MSG(is_gone(child), "the orphan %d lives", (int)child);
    start_worker();
    CHECK(wait_for("SELECT max(epoch) FROM sea.attempt", 2, TTL_MS + 4000));
    printf("kill -9 of the worker to the next claim: %lld ms, TTL %d ms\n",
           (long long)(sea_clock_ms() - killed), TTL_MS);
    CHECK(sea_clock_ms() - killed < TTL_MS + PATIENCE * 2000);
    expect_state("succeeded", 8000);
    CHECK(number("SELECT resumed_step FROM sea.attempt WHERE epoch = 2") >= 10);
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE text LIKE 'resumed at %'"), 1);
    CHECK_INT(number("SELECT losses FROM sea.stage_run"), 1);
    check_result(30);
    finish();
}

static void
a_killed_child_is_started_again(void)
{
    begin("child");
    start_worker();
    submit_one("child", 1, "", 20, "0.03", LABEL);
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint", 1, 8000));
    run_sql("UPDATE sea.stage_run SET backoff_ms = 50");
    kill(-child_of(1), SIGKILL);
    expect_state("succeeded", 10000);
    CHECK_STR(text("SELECT class || ' ' || exit_status FROM sea.attempt WHERE epoch = 1"),
              "oom 137");
    CHECK(number("SELECT resumed_step FROM sea.attempt WHERE epoch = 2") >= 5);
    check_result(20);
    finish();
}

static void
a_stopped_worker_gives_back_after_a_checkpoint(void)
{
    pid_t first;

    begin("stop");
    first = start_worker();
    submit_one("stop", 1, "", 20, "0.05", LABEL);
    CHECK(wait_for("SELECT done >= 7 FROM sea.lease", 1, 8000));
    CHECK_INT(end_process(first, SIGTERM), 0);
    CHECK_STR(text("SELECT state FROM sea.attempt WHERE epoch = 1"), "released");
    CHECK_STR(text("SELECT state FROM sea.worker"), "gone");
    start_worker();
    expect_state("succeeded", 8000);
    CHECK(number("SELECT resumed_step FROM sea.attempt WHERE epoch = 2") >= 7);
    CHECK_INT(number("SELECT failures + losses FROM sea.stage_run"), 0);
    check_result(20);
    finish();
}

static void
a_paused_worker_wakes_up_as_a_zombie(void)
{
    pid_t first, child;

    begin("zombie");
    first = start_worker();
    submit_one("zombie", 1, "", 60, "0.05", LABEL);
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint", 1, 8000));
    child = child_of(1);
    kill(first, SIGSTOP);
    kill(-child, SIGSTOP);
    start_worker();
    CHECK(wait_for("SELECT max(epoch) FROM sea.attempt", 2, TTL_MS + 3000));
    kill(-child, SIGCONT);
    kill(first, SIGCONT);
    CHECK_MSG(is_gone(child), "the zombie's child %d lives", (int)child);
    expect_state("succeeded", 12000);
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY epoch) FROM sea.attempt"),
              "lost committed");
    check_result(60);
    no_leftovers();
    finish();
}

static void
cancel_ends_the_child(void)
{
    pid_t child;

    begin("cancel");
    start_worker();
    submit_one("cancel", 1, "", 1000, "0.05", ALL);
    child = child_of(1);
    CHECK_STR(text("SELECT sea.cancel(1)"), "cancelling");
    expect_state("cancelled", 5000);
    CHECK(is_gone(child));
    CHECK_STR(text("SELECT string_agg(DISTINCT state, ' ') FROM sea.stage_run"), "cancelled");
    CHECK_STR(text("SELECT state FROM sea.attempt"), "cancelled");     /* not lost */
    finish();
}

static void
a_deaf_child_is_killed_after_the_grace(void)
{
    pid_t child;

    begin("deaf");
    start_worker();
    submit_one("deaf", 1, "deaf", 1000, "0.05", LABEL);
    child = child_of(1);
    CHECK_STR(text("SELECT sea.cancel(1)"), "cancelling");
    expect_state("cancelled", 6000);
    CHECK(is_gone(child));
    CHECK_STR(text("SELECT state FROM sea.attempt"), "cancelled");
    finish();
}

static void
the_database_crashes_in_mid_run(void)
{
    struct sea_err err = { 0 };
    char gate[SEA_PATH_MAX];
    pid_t child;

    CHECK_OK(sea_path_join(gate, sea_test_dir(), "gate", &err), err);
    CHECK_INT(setenv("FAKE_STAGE_GATE", gate, 1), 0);
    begin("outage");
    start_worker_ttl(LONG_TTL_MS);
    submit_one("outage", 1, "gate", 40, "0.02", LABEL);
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint", 1, 8000));
    child = child_of(1);
    CHECK_OK(sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err), err);
    sea_clock_sleep_ms(300);
    CHECK_OK(sea_cluster_start(&cluster, &err), err);
    CHECK_OK(sea_db_reconnect(db, &err), err);
    CHECK(kill(child, 0) == 0);         /* it went on meanwhile */
    CHECK_OK(sea_file_replace(gate, "", 0, &err), err);
    expect_state("succeeded", 12000);
    CHECK_STR(text("SELECT string_agg(state, ' ') FROM sea.attempt"), "committed");
    check_result(40);
    finish();
}

static void
failures_are_told_by_class(void)
{
    begin("fail");
    start_worker();
    submit_one("a", 1, "invalid", 5, "", LABEL);
    expect_state("failed", 5000);
    CHECK_STR(text("SELECT class || ' ' || exit_status || ' ' || message || ' ' || hint"
                   " FROM sea.attempt"), "invalid 65 row 5 has no caption Mend it.");
    submit_one("b", 2, "error", 5, "", LABEL);
    CHECK(wait_for("SELECT state = 'backoff' FROM sea.stage_run WHERE id = 2", 1, 5000));
    CHECK_STR(text("SELECT class || ' ' || exit_status || ' ' || message FROM sea.attempt"
                   " WHERE stage_id = 2"),
              "error 74 stage \"label\" ended with exit status 74: the disk is full");
    submit_one("i", 6, "noservice", 5, "", LABEL);
    CHECK(wait_for("SELECT state = 'backoff' FROM sea.stage_run WHERE id = 3", 1, 5000));
    CHECK_STR(text("SELECT class || ' ' || exit_status FROM sea.attempt WHERE stage_id = 3"),
              "infra 69");
    CHECK_INT(number("SELECT failures FROM sea.stage_run WHERE id = 3"), 0);
    CHECK_INT(number("SELECT losses FROM sea.stage_run WHERE id = 3"), 1);
    submit_one("c", 3, "corrupt", 5, "", LABEL);
    CHECK(wait_for("SELECT state = 'backoff' FROM sea.stage_run WHERE id = 4", 1, 5000));
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE stage_id = 4 AND message LIKE"
                     " '%its manifest says%'"), 1);
    submit_one("d", 4, "nomanifest", 5, "", LABEL);
    CHECK(wait_for("SELECT state = 'backoff' FROM sea.stage_run WHERE id = 5", 1, 5000));
    submit_one("e", 5, "garbage", 5, "", LABEL);
    CHECK(wait_for("SELECT state = 'done' FROM sea.stage_run WHERE id = 6", 1, 5000));
    CHECK(number("SELECT count(*) FROM sea.event WHERE stage_id = 6 AND level = 'warn'") >= 2);
    CHECK_INT(number("SELECT count(*) FROM sea.manifest WHERE stage_id <> 6"), 0);
    finish();
}

/* An upgrade takes the program away for a moment: no stage is to blame, and none is lost. */
static void
a_program_that_is_being_replaced_costs_a_try(void)
{
    char real[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    begin("replaced");
    memcpy(real, program, sizeof(real));
    CHECK_OK(sea_path_join(program, sea_test_dir(), "upgraded", &err), err);
    start_worker();
    submit_one("a", 1, "", 5, "", LABEL);
    CHECK(wait_for("SELECT state = 'backoff' FROM sea.stage_run", 1, 2000));
    CHECK_INT(symlink(real, program), 0);
    expect_state("succeeded", 15000);
    CHECK_STR(text("SELECT class || ' ' || exit_status FROM sea.attempt WHERE epoch = 1"),
              "error 66");
    finish();
}

static void
a_stage_that_takes_too_long_is_a_timeout(void)
{
    begin("late");
    start_worker();
    submit_one("late", 1, "", 1000, "0.05", LABEL);
    run_sql("UPDATE sea.stage_run SET timeout_ms = 1500, backoff_ms = 50, failures_max = 2");
    expect_state("failed", 15000);
    CHECK_STR(text("SELECT string_agg(class, ' ' ORDER BY epoch) FROM sea.attempt"),
              "timeout timeout");
    CHECK(number("SELECT resumed_step FROM sea.attempt WHERE epoch = 2") >= 5);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE message LIKE '%did not end within%'"),
              2);
    finish();
}

static void
a_drained_worker_finishes_and_leaves(void)
{
    pid_t first;
    int how = -1;

    begin("drain");
    first = start_worker();
    submit_one("drain", 1, "", 30, "0.03", LABEL);
    child_of(1);
    run_sql("SELECT sea.drain(1)");
    submit_one("next", 2, "", 5, "", LABEL);
    waitpid(first, &how, 0);
    workers_count = 0;
    CHECK_INT(how, 0);
    CHECK_STR(text("SELECT state FROM sea.worker"), "gone");
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY id) FROM sea.experiment"),
              "succeeded queued");
    first = start_worker();
    CHECK(wait_for("SELECT count(*) FROM sea.experiment WHERE state = 'succeeded'", 2, 5000));
    submit_one("long", 3, "", 1000, "0.05", LABEL);
    CHECK(wait_for("SELECT count(*) FROM sea.attempt WHERE stage_id = 3 AND state = 'started'", 1,
                   5000));
    run_sql("SELECT sea.drain(2, 'checkpoint')");
    waitpid(first, &how, 0);
    workers_count = 0;
    CHECK_INT(how, 0);
    CHECK_STR(text("SELECT state FROM sea.attempt WHERE stage_id = 3"), "released");
    finish();
}

static void
submit_gpus(int seed, int steps, const char *pause, int gpus, const char *device)
{
    char config[512];

    snprintf(config, sizeof(config), GPUS_CONFIG, seed, steps, pause, gpus, device);
    submit(config, NULL);
}

static const char *
seen_by(int experiment, int epoch)
{
    char sql[160];

    snprintf(sql, sizeof(sql), "SELECT text FROM sea.event WHERE text LIKE 'sees %%'"
             " AND experiment_id = %d AND epoch = %d", experiment, epoch);
    return text(sql);
}

/* Of four GPUs, the last ones of CUDA_VISIBLE_DEVICES. */
static void
a_stage_sees_its_gpus_and_a_killed_worker_gives_them_back(void)
{
    struct sea_gpus four, pinned;
    struct sea_err err = { 0 };
    pid_t first;

    CHECK_OK(sea_gpus_list("auto", 4, "4,5,6,7", &four, &err), err);
    CHECK_OK(sea_gpus_list("cuda:1", 4, "4,5,6,7", &pinned, &err), err);
    begin("gpus");
    first = start_worker_gpus(TTL_MS, &four);
    submit_gpus(1, 400, "0.02", 3, "auto");
    child_of(1);
    CHECK(wait_for("SELECT count(*) FROM sea.event WHERE text LIKE 'sees %'", 1, 5000));
    CHECK_STR(seen_by(1, 1), "sees 4,5,6 as cuda");
    CHECK_STR(text("SELECT string_agg(gpu::text, ' ' ORDER BY gpu) FROM sea.gpu_status"
                   " WHERE experiment_id = 1"), "4 5 6");
    start_worker_gpus(TTL_MS, &pinned);
    CHECK(wait_for("SELECT count(*) FROM sea.worker", 2, 5000));
    submit_gpus(2, 5, "", 1, "cuda:3");         /* the number is the service's to choose */
    submit_gpus(3, 5, "", 4, "cpu:2");
    CHECK(wait_for("SELECT count(*) FROM sea.experiment WHERE state = 'succeeded'", 1, 8000));
    CHECK_STR(seen_by(3, 1), "sees  as ");
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE stage_id = 2"), 0); /* 5 is taken */
    end_process(first, SIGKILL);
    CHECK(wait_for("SELECT count(*) FROM sea.slot WHERE kind = 'gpu' AND stage_id = 1", 0,
                   TTL_MS + 4000));
    CHECK(wait_for("SELECT count(*) FROM sea.experiment WHERE state = 'succeeded'", 2, 8000));
    CHECK_STR(seen_by(2, 1), "sees 5 as cuda");
    CHECK(wait_for("SELECT reason LIKE 'needs 3 GPUs: the largest machine of its queue has 1; %'"
                   " FROM sea.why_pending", 1, 3 * TTL_MS + 5000));        /* once it is lost */
    run_sql("SELECT sea.cancel(1)");
    expect_state("cancelled", 5000);
    CHECK_INT(number("SELECT count(*) FROM sea.slot WHERE stage_id IS NOT NULL"), 0);
    finish();
}

/* Which checkpoint an attempt went on from is told until it is heard: the curve hangs on it. */
static void
a_start_that_was_not_heard_is_told_again(void)
{
    pid_t first;

    begin("start");
    first = start_worker();
    submit_one("start", 1, "", 20, "0.04", LABEL);
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint WHERE step >= 5", 1, 8000));
    run_sql("CREATE SEQUENCE sea.starts");
    run_sql("ALTER FUNCTION sea.start_attempt RENAME TO start_heard");
    run_sql("CREATE FUNCTION sea.start_attempt(a bigint, b bigint, c uuid, d bigint, e bigint,"
            " f bigint, g bigint) RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
            " IF nextval('sea.starts') % 2 = 1 THEN"
            " RAISE EXCEPTION 'not now' USING ERRCODE = '55P03'; END IF;"
            " PERFORM sea.start_heard(a, b, c, d, e, f, g); END $$");
    end_process(first, SIGKILL);
    start_worker();
    expect_state("succeeded", 12000);
    CHECK(number("SELECT last_value FROM sea.starts") >= 2);
    CHECK(number("SELECT resumed_step FROM sea.attempt WHERE epoch = 2") >= 5);
    check_result(20);
    finish();
}

/* A database that answers "not now" is asked again with pauses, not in a loop. */
static void
a_busy_database_is_not_asked_without_pause(void)
{
    int64_t tries;

    begin("busy");
    run_sql("CREATE SEQUENCE sea.tries");
    run_sql("CREATE TABLE sea.kept AS SELECT replace(pg_get_functiondef(p.oid), 'CREATE FUNCTION',"
            " 'CREATE OR REPLACE FUNCTION') AS source FROM pg_proc p"
            " WHERE p.proname = 'prepare_commit'");
    run_sql("CREATE OR REPLACE FUNCTION sea.prepare_commit(p_stage_id bigint, p_epoch bigint,"
            " p_secret uuid, p_files jsonb, p_benchmarks jsonb) RETURNS bigint LANGUAGE plpgsql"
            " AS $$ BEGIN PERFORM nextval('sea.tries'); RAISE EXCEPTION 'not now' USING ERRCODE ="
            " '55P03'; END $$");
    start_worker();
    submit_one("busy", 1, "", 3, "", LABEL);
    CHECK(wait_for("SELECT is_called FROM sea.tries", 1, 5000));
    sea_clock_sleep_ms(1000);
    tries = number("SELECT last_value FROM sea.tries");
    printf("tries within a second of refusals: %lld\n", (long long)tries);
    CHECK(tries >= 3 && tries <= 8);
    run_sql("DO $$ BEGIN EXECUTE (SELECT source FROM sea.kept); END $$");
    expect_state("succeeded", 8000);
    finish();
}

SEA_TEST_MAIN("worker: claim to commit, kills, stops, outages",
              TEST(an_experiment_runs_to_its_scores),
              TEST(a_killed_worker_is_replaced_and_the_stage_resumes),
              TEST(a_killed_child_is_started_again),
              TEST(a_stopped_worker_gives_back_after_a_checkpoint),
              TEST(a_paused_worker_wakes_up_as_a_zombie), TEST(cancel_ends_the_child),
              TEST(a_deaf_child_is_killed_after_the_grace),
              TEST(the_database_crashes_in_mid_run), TEST(failures_are_told_by_class),
              TEST(a_program_that_is_being_replaced_costs_a_try),
              TEST(a_stage_that_takes_too_long_is_a_timeout),
              TEST(a_drained_worker_finishes_and_leaves),
              TEST(a_stage_sees_its_gpus_and_a_killed_worker_gives_them_back),
              TEST(a_start_that_was_not_heard_is_told_again),
              TEST(a_busy_database_is_not_asked_without_pause))
