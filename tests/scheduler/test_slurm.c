/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Stages as jobs of Slurm: the protocol against commands that fail in every way we know.
 *
 * tests/slurm/shim/slurm plays sbatch, squeue, sacct and scancel with processes of this machine;
 * the database, the driver, the jobs and their stages are real. Called as `test_slurm worker
 * --data D --job F` this program is the job's `sea`.
 */
#include <dirent.h>
#include <fcntl.h>
#include <pthread.h>

#include "scheduler/sea_backend_driver.h"
#include "scheduler/sea_backend_job.h"
#include "scheduler/sea_exec.h"
#include "tests/scheduler/service.h"

#define CONFIG "{\"name\":\"%s\",\"seed\":%d,\"mode\":\"%s\",\"steps\":%d,\"pause\":\"%s\"," \
               "\"resources\":{\"backend\":\"slurm\",\"gpus\":%d,\"partition\":\"%s\"}," \
               "\"stages\":{\"label\":{}}}"
#define SETTLE_MS 60
#define GRACE_MS 120

static char data[SEA_PATH_MAX], bin[SEA_PATH_MAX], state[SEA_PATH_MAX], self[SEA_PATH_MAX];
static struct sea_backend_settings settings;
static struct sea_backend_work driver;
static struct sea_arena *arena;

/* ---- the cluster of the test ---- */

static const char *
in_state(const char *name)
{
    static char path[2][SEA_PATH_MAX];
    static int turn;

    turn = !turn;
    snprintf(path[turn], SEA_PATH_MAX, "%.3000s/%.500s", state, name);
    return path[turn];
}

static void
put(const char *name, const char *bytes)
{
    struct sea_err err = { 0 };

    must(sea_file_replace(in_state(name), bytes, strlen(bytes), &err), &err);
}

/* One line from the controller's side; what it prints is kept until the next call. */
static const char *
ctl(const char *verb, const char *id, const char *word)
{
    static char said[16384];
    const char *argv[] = { "slurmctl", verb, id, word, NULL };
    struct sea_exec_answer answer;
    struct sea_err err = { 0 };

    CHECK_OK(sea_exec_run(&(struct sea_exec){ .argv = argv, .folder = bin, .limit_ms = 10000 },
                          1 << 20, &answer, &err), err);
    snprintf(said, sizeof(said), "%s", answer.out.len ? answer.out.data : "");
    sea_exec_release(&answer);
    return said;
}

/* What a file of the state holds, "" when it is not there. */
static const char *
read_state(const char *name)
{
    static char out[1 << 20];
    struct sea_err err = { 0 };
    struct sea_buf bytes;

    sea_buf_init(&bytes, sizeof(out) - 1);
    out[0] = 0;
    if (sea_file_exists(in_state(name)) && !sea_file_read(in_state(name), &bytes, &err))
        snprintf(out, sizeof(out), "%s", bytes.data);
    sea_buf_release(&bytes);
    return out;
}

static const char *
job_state(const char *id)
{
    static char word[64];
    char name[80], *end;

    snprintf(name, sizeof(name), "jobs/%.40s/state", id);
    snprintf(word, sizeof(word), "%.60s", read_state(name));
    end = strchr(word, '\n');
    if (end)
        *end = 0;
    return word;
}

static void
begin(const char *name)
{
    static const char *const links[] = { "sbatch", "squeue", "sacct", "scancel", "slurmctl" };
    char shim[SEA_PATH_MAX], path[SEA_PATH_MAX], stage[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    size_t i;

    if (!db) {
        service_begin();
    } else {                    /* quicker than the migrations again */
        run_sql("DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(format('sea.%I', relname), ', ')"
                " || ' RESTART IDENTITY CASCADE' FROM pg_class WHERE relnamespace = 'sea'::regnamespace"
                " AND relkind IN ('r', 'p') AND NOT relispartition"
                " AND relname NOT IN ('migration', 'access')); END $$");
    }
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    must(sea_path_join(shim, sea_test_root(), "tests/slurm/shim/slurm", &err), &err);
    if (!realpath(shim, path) || readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        abort();
    must(sea_path_join(data, sea_test_dir(), name, &err), &err);
    must(sea_path_join(bin, data, "bin", &err), &err);
    must(sea_path_join(state, bin, "slurm.state", &err), &err);
    must(sea_dir_create(state, &err), &err);
    for (i = 0; i < sizeof(links) / sizeof(links[0]); i++) {
        must(sea_path_join(shim, bin, links[i], &err), &err);
        if (symlink(path, shim))
            abort();
    }
    must(sea_path_join(stage, data, "stage", &err), &err);
    must(sea_path_join(shim, sea_test_root(), "tests/scheduler/fake_stage.sh", &err), &err);
    if (!realpath(shim, path) || symlink(path, stage))
        abort();
    settings = (struct sea_backend_settings){
        .backend = "slurm", .bin = bin, .program = self, .dir = data, .data = data,
        .gres = "gpu", .accounting = "sacct", .jobs_max = 500, .ttl_ms = 30000, .poll_ms = 50,
        .submit_ms = 1500, .command_ms = 1500, .settle_ms = SETTLE_MS, .grace_ms = GRACE_MS,
        .kill_ms = 500 };
    driver = (struct sea_backend_work){ .backend = &sea_backend_slurm, .settings = &settings,
                                        .url = cluster.url, .db = connect_more() };
}

static void
end(void)
{
    DIR *folder = opendir(in_state("jobs"));
    struct dirent *entry;

    while (folder && (entry = readdir(folder)))
        if (entry->d_name[0] != '.' && (strcmp(job_state(entry->d_name), "RUNNING") == 0))
            ctl("end", entry->d_name, "CANCELLED");
    if (folder)
        closedir(folder);
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
    sea_db_close(driver.db);
}

/* ---- steps ---- */

static struct sea_backend_counts
submit_jobs(void)
{
    struct sea_backend_counts counts;
    struct sea_err err = { 0 };

    tick();
    CHECK_OK(sea_backend_driver_submit(&driver, &counts, &err), err);
    return counts;
}

static struct sea_backend_counts
look(void)
{
    struct sea_backend_counts counts;
    struct sea_err err = { 0 };

    CHECK_OK(sea_backend_driver_look(&driver, &counts, &err), err);
    return counts;
}

static int64_t
add_gpus(const char *name, int seed, const char *mode, int steps, const char *pause, int gpus)
{
    char config[600];

    snprintf(config, sizeof(config), CONFIG, name, seed, mode, steps, pause, gpus, "main");
    return submit(config, NULL);
}

static int64_t
add(const char *name, int seed, const char *mode, int steps, const char *pause)
{
    return add_gpus(name, seed, mode, steps, pause, 1);
}

/* Looks, and submits what came back, until sql gives want. Pauses after failures are cut short:
 * their lengths are told elsewhere. */
static bool
work_until(const char *sql, int64_t want, int64_t ms)
{
    int64_t until = sea_clock_ms() + PATIENCE * ms;

    while (number(sql) != want) {
        if (sea_clock_ms() > until) {
            printf("  waited in vain for %s = %lld; stage runs: %s; jobs: %s\n", sql,
                   (long long)want,
                   text("SELECT string_agg(id || ' ' || state || ' ' || coalesce(reason, ''), ', ')"
                        " FROM sea.stage_run"), ctl("show", NULL, NULL));
            return false;
        }
        run_sql("UPDATE sea.stage_run SET run_at = clock_timestamp() WHERE state = 'backoff'");
        submit_jobs();
        look();
        sea_clock_sleep_ms(20);
    }
    return true;
}

/* No job is left in the cluster that waits or runs. */
static bool
is_quiet(int64_t ms)
{
    int64_t until = sea_clock_ms() + ms;
    const char *jobs = "";

    while (sea_clock_ms() < until) {
        look();
        jobs = ctl("show", NULL, NULL);
        if (!strstr(jobs, "PENDING") && !strstr(jobs, "RUNNING"))
            return true;
        sea_clock_sleep_ms(20);
    }
    printf("  still there: %s\n", jobs);
    return false;
}

/* ---- the plain way ---- */

static void
runs_a_stage_and_keeps_its_secret(void)
{
    char path[SEA_PATH_MAX], secret[64];
    struct sea_err err = { 0 };
    struct sea_buf env;
    struct stat info;

    begin("plain");
    put("hold", "");
    setenv("SEA_JUDGE_KEY", "k-4711", 1);
    add_gpus("one", 1, "ok", 3, "", 2);
    CHECK_INT(tick().readied, 1);
    CHECK_STR(text("SELECT queue FROM sea.stage_run"), "slurm/default");
    CHECK_INT(submit_jobs().submitted, 1);
    CHECK_STR(text("SELECT state || ' ' || job_id FROM sea.cluster_job"), "submitted 100");
    CHECK_INT(number("SELECT count(*) FROM sea.lease WHERE expires_at = 'infinity'"), 1);
    look();
    CHECK_STR(text("SELECT reason FROM sea.why_pending"),
              "waits in the cluster as job 100: pending (Resources)");
    snprintf(path, sizeof(path), "%.2000s/slurm/%.1000s/job.env", data,
             text("SELECT token FROM sea.cluster_job"));
    CHECK_INT(stat(path, &info), 0);
    CHECK_INT(info.st_mode & 0777, 0600);
    snprintf(secret, sizeof(secret), "%.50s", text("SELECT secret FROM sea.lease"));
    CHECK(strlen(secret) == 36);
    sea_buf_init(&env, 65536);
    CHECK_OK(sea_file_read(path, &env, &err), err);
    CHECK(env.data && strstr(env.data, "\nSEA_JUDGE_KEY=k-4711\n"));
    sea_buf_release(&env);
    unsetenv("SEA_JUDGE_KEY");
    CHECK(!strstr(read_state("sbatch.args"), secret));
    CHECK(!strstr(read_state("jobs/100/script"), secret));
    CHECK(strstr(read_state("sbatch.args"), "--gres=gpu:2") != NULL);
    CHECK(strstr(read_state("sbatch.args"), "--no-requeue") != NULL);
    CHECK(strstr(read_state("sbatch.args"), "--nodes=1") != NULL);
    CHECK(strstr(read_state("sbatch.args"), "--partition=main") != NULL);
    CHECK(strstr(read_state("sbatch.args"), "--signal=B:USR1@120") != NULL);
    CHECK(!strstr(read_state("sbatch.env"), "SEA_"));
    ctl("start", "100", NULL);
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state = 'done'", 1, 10000));
    CHECK(wait_for("SELECT count(*) FROM sea.worker WHERE state = 'gone'", 1, 5000));
    CHECK_STR(text("SELECT a.state || ' ' || w.state || ' ' || w.queue FROM sea.attempt a"
                   " JOIN sea.worker w ON w.id = a.worker_id"), "committed gone slurm/default");
    CHECK(is_quiet(3000));
    CHECK(access(path, F_OK) != 0);             /* and its secret is gone */
    CHECK_STR(job_state("100"), "COMPLETED");
    CHECK_INT(number("SELECT count(*) FROM sea.cluster_status WHERE is_alive"), 0);
    end();
}

/* ---- every answer of sbatch ---- */

static void
every_answer_of_sbatch_gives_one_commit(void)
{
    static const struct { const char *fault, *first; } kinds[] = {
        { "ok", "submitted" }, { "cluster", "submitted" }, { "slow", "submitted" },
        { "accepted-fail", "unknown" }, { "accepted-silent", "unknown" },
        { "accepted-hang", "unknown" }, { "twice", "submitted" }, { "twice-fail", "unknown" },
        { "id-fail", "unknown" }, { "cut", "unknown" }, { "refused", "unknown" },
        { "refused-used", "unknown" }, { "hang", "unknown" },
    };
    size_t i, count = sizeof(kinds) / sizeof(kinds[0]);
    struct dirent *entry;
    struct sea_buf list;
    DIR *folder;

    begin("answers");
    put("hold", "");
    sea_buf_init(&list, 4096);
    for (i = 0; i < count; i++) {
        sea_buf_addf(&list, "%s\n", kinds[i].fault);
        add("n", (int)i + 1, "ok", 2, "");
    }
    put("fault.sbatch", list.data);
    sea_buf_release(&list);
    submit_jobs();
    for (i = 0; i < count; i++) {
        char sql[120];

        snprintf(sql, sizeof(sql), "SELECT state FROM sea.cluster_job WHERE stage_id = %d",
                 (int)i + 1);
        CHECK_MSG(strcmp(text(sql), kinds[i].first) == 0, "%s: %s, want %s", kinds[i].fault,
                  text(sql), kinds[i].first);
    }
    look();
    remove(in_state("hold"));
    /* What waits starts now, several with one token at once. */
    folder = opendir(in_state("jobs"));
    while (folder && (entry = readdir(folder)))
        if (strcmp(job_state(entry->d_name), "PENDING") == 0)
            ctl("start", entry->d_name, NULL);
    closedir(folder);
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state <> 'done'", 0, 30000));
    CHECK(is_quiet(3000));
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'committed'"),
              (int64_t)count);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'done'"), (int64_t)count);
    /* Only those that were not there at all cost an attempt. */
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'lost'"), 3);
    printf("  %d kinds of answers, %lld attempts, 0 double commits\n", (int)count,
           (long long)number("SELECT count(*) FROM sea.attempt"));
    end();
}

/* ---- ghosts ---- */

static void
what_comes_late_or_twice_is_refused(void)
{
    begin("late");
    put("hold", "");
    add("late", 1, "ok", 2, "");
    submit_jobs();
    /* The controller forgets it; two looks do not show it: a new epoch. */
    ctl("forget", "100", NULL);
    CHECK(work_until("SELECT last_epoch FROM sea.stage_run", 2, 10000));
    CHECK_STR(text("SELECT state || ' ' || class FROM sea.attempt WHERE epoch = 1"), "lost infra");
    /* It was there all the time, and starts now. */
    if (rename(in_state("forgotten.100"), in_state("jobs/100")))
        abort();
    ctl("start", "100", NULL);
    CHECK(wait_for("SELECT 1", 1, 100));
    while (strcmp(job_state("100"), "RUNNING") == 0)
        sea_clock_sleep_ms(10);
    CHECK_STR(job_state("100"), "COMPLETED");
    CHECK(strstr(read_state("jobs/100/out"), "start refused") != NULL);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'started'"), 0);
    /* The second one starts, and once more with the same id: one of them works. */
    ctl("start", "101", NULL);
    ctl("twice", "101", NULL);
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state = 'done'", 1, 10000));
    CHECK(is_quiet(3000));
    CHECK(strstr(read_state("jobs/101/out"), "start refused") != NULL);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'committed'"), 1);
    end();
}

static void
a_waiting_ghost_is_cancelled_and_no_one_elses_job(void)
{
    begin("ghost");
    put("hold", "");
    add("ghost", 1, "ok", 2, "");
    submit_jobs();
    ctl("forget", "100", NULL);
    CHECK(work_until("SELECT last_epoch FROM sea.stage_run", 2, 10000));
    if (rename(in_state("forgotten.100"), in_state("jobs/100")))
        abort();
    CHECK_INT(look().ghosts, 1);
    CHECK_STR(job_state("100"), "CANCELLED");
    CHECK_STR(job_state("101"), "PENDING");
    CHECK(!strstr(read_state("scancel.args"), "902"));
    /* The id of a live attempt is another's by now: neither adopted nor cancelled. */
    put("jobs/101/name", "somebody-else\n");
    sea_clock_sleep_ms(SETTLE_MS);
    CHECK_INT(look().cancelled, 0);
    run_sql("SELECT sea.cancel(1)");
    look();
    CHECK_STR(job_state("101"), "PENDING");
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state = 'cancelled'", 1, 5000));
    end();
}

static void
a_job_started_again_gets_a_new_epoch(void)
{
    begin("again");
    settings.ttl_ms = 3000;
    add("again", 1, "ok", 40, "0.05");
    submit_jobs();
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint", 1, 10000));
    ctl("again", "100", NULL);          /* on another node, while the first one lives */
    CHECK(wait_for("SELECT last_epoch FROM sea.stage_run", 2, 5000));
    CHECK_STR(text("SELECT state || ' ' || class FROM sea.attempt WHERE epoch = 1"),
              "lost preempted");
    CHECK_INT(number("SELECT count(*) FROM sea.lease WHERE epoch = 2"), 1);
    ctl("again", "100", NULL);          /* the file has the secret of the second start */
    CHECK(wait_for("SELECT last_epoch FROM sea.stage_run", 3, 5000));
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state = 'done'", 1, 15000));
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY epoch) FROM sea.attempt"),
              "lost lost committed");
    CHECK_INT(number("SELECT losses FROM sea.stage_run"), 2);
    CHECK(number("SELECT resumed_step FROM sea.attempt WHERE epoch = 3") > 0);
    CHECK(is_quiet(3000));
    end();
}

/* ---- suspicion ---- */

/* 25 looks without an answer in about 19 hours, as in skypilot-org/skypilot #10155, where each
 * of them restarted a job that was well. Hours become looks: one of them fails, then some are
 * answered, among them two that fail in a row. */
static void
looks_that_fail_move_nothing(void)
{
    static const char *const ways[] = { "fail", "timeout", "fail", "fail", "cut" };
    int i, suspects = 0;

    begin("suspect");
    settings.command_ms = 80;
    add("runs", 1, "ok", 1000, "0.02");
    submit_jobs();
    CHECK(wait_for("SELECT count(*) FROM sea.attempt WHERE state = 'started'", 1, 10000));
    put("hold", "");
    add("waits", 2, "ok", 1, "");
    submit_jobs();
    for (i = 0; i < 25; i++) {
        put("fault.squeue", ways[i % 5]);
        suspects += look().is_suspect;
        if (i == 12) {
            CHECK_INT(number("SELECT failures FROM sea.cluster_look"), 1);
            CHECK(strstr(text("SELECT reason FROM sea.why_pending WHERE experiment_id = 2"),
                         "the cluster has not answered 1 times: ") != NULL);
        }
        if (i % 6) {            /* and some answers in between */
            put("fault.squeue", "");    /* one cut off early may not have taken its fault */
            settings.command_ms = 20000;
            look();
            settings.command_ms = 80;
        }
    }
    CHECK_INT(suspects, 25);
    CHECK_INT(number("SELECT failures_ever FROM sea.cluster_look"), 25);
    CHECK_INT(number("SELECT max(last_epoch) FROM sea.stage_run"), 1);
    CHECK_INT(number("SELECT sum(losses) FROM sea.stage_run"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE ended_at IS NOT NULL"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'started'"), 1);
    printf("  25 looks without an answer: 0 recoveries\n");
    end();
}

static void
one_look_without_it_is_no_proof(void)
{
    begin("absent");
    put("hold", "");
    add("absent", 1, "ok", 1, "");
    submit_jobs();
    sea_clock_sleep_ms(SETTLE_MS + 10);
    put("fault.squeue", "empty\n");
    CHECK_INT(look().lost, 0);
    CHECK_INT(number("SELECT count(*) FROM sea.cluster_job WHERE absent_at IS NOT NULL"), 1);
    look();                             /* it is back: the next absence counts anew */
    CHECK_INT(number("SELECT count(*) FROM sea.cluster_job WHERE absent_at IS NOT NULL"), 0);
    sea_clock_sleep_ms(GRACE_MS + 10);
    put("fault.squeue", "empty\n");
    CHECK_INT(look().lost, 0);
    /* The books are asked before it is given up; without an answer of theirs nothing moves. */
    ctl("forget", "100", NULL);
    sea_clock_sleep_ms(GRACE_MS + 10);
    put("fault.sacct", "fail\n");
    CHECK_INT(look().lost, 0);
    put("books", "");
    CHECK_INT(look().lost, 1);
    end();
}

static void
a_dead_job_is_known_by_its_lease(void)
{
    char pid[32], wrapper[32];
    int64_t start;

    begin("dead");
    settings.ttl_ms = 1500;
    add("dead", 1, "ok", 40, "0.02");
    submit_jobs();
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint", 1, 10000));
    snprintf(pid, sizeof(pid), "%.20s", text("SELECT w.pid FROM sea.worker w JOIN sea.lease l ON"
                                             " l.worker_id = w.id"));
    /* The node goes with it: the cluster believes that it runs. */
    snprintf(wrapper, sizeof(wrapper), "%.20s", read_state("jobs/100/pid"));
    CHECK_INT(kill((pid_t)strtol(wrapper, NULL, 10), SIGKILL), 0);
    CHECK_INT(kill((pid_t)strtol(pid, NULL, 10), SIGKILL), 0);
    start = sea_clock_ms();
    CHECK(work_until("SELECT last_epoch FROM sea.stage_run", 2, 10000));
    printf("  killed: runs again after %lld ms, TTL %lld ms\n",
           (long long)(sea_clock_ms() - start), (long long)settings.ttl_ms);
    CHECK(sea_clock_ms() - start <= settings.ttl_ms + PATIENCE * 2000);
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state = 'done'", 1, 15000));
    end();
}

/* ---- ends that the cluster tells ---- */

static void
states_become_classes(void)
{
    static const struct { const char *state, *waiting, *running; } rows[] = {
        { "PREEMPTED", "lost preempted backoff", "lost preempted backoff" },
        { "NODE_FAIL", "lost infra backoff", "lost infra backoff" },
        { "BOOT_FAIL", "lost infra backoff", "lost infra backoff" },
        { "TIMEOUT", "lost timeout backoff", "lost timeout backoff" },
        { "OUT_OF_MEMORY", "lost oom backoff", "lost oom backoff" },
        { "FAILED", "lost infra backoff", "lost error backoff" },
        { "COMPLETED", "lost infra backoff", "lost infra backoff" },
        { "CANCELLED", "failed invalid failed", "lost preempted backoff" },
        { "DEADLINE", "failed invalid failed", "lost preempted backoff" },
    };
    static const char *const end_sql =
        "SELECT a.state || ' ' || coalesce(a.class, '') || ' ' || s.state FROM sea.attempt a"
        " JOIN sea.stage_run s ON s.id = a.stage_id ORDER BY s.id DESC LIMIT 1";
    char sql[400], job[80], name[80];
    size_t i, count = sizeof(rows) / sizeof(rows[0]), k;

    begin("states");
    put("hold", "");
    settings.grace_ms = 40;
    for (i = 0; i < 2 * count; i++) {
        bool has_started = i % 2;
        int epochs;

        add("s", (int)i + 1, "ok", 1, "");
        submit_jobs();
        snprintf(job, sizeof(job), "%.40s", text("SELECT job_id FROM sea.cluster_job ORDER BY"
                                                 " stage_id DESC LIMIT 1"));
        if (has_started) {      /* as a job would, and then it is silent */
            run_sql("SELECT sea.job_start(l.stage_id, l.epoch, l.secret, 'me', j.job_id, 'node1',"
                    " 1, 'cpu', 30000) FROM sea.lease l JOIN sea.cluster_job j"
                    " USING (stage_id, epoch)");
        }
        /* node1 does not take part twice in a row without a start */
        snprintf(name, sizeof(name), "node%d\n", (int)i);
        snprintf(sql, sizeof(sql), "jobs/%s/node", job);
        put(sql, name);
        ctl("end", job, rows[i / 2].state);
        epochs = look().lost;
        CHECK_MSG(epochs == !has_started, "%s: %d lost by the first look", rows[i / 2].state,
                  epochs);
        for (k = 0; k < 100 && number("SELECT count(*) FROM sea.lease") > 0; k++) {
            sea_clock_sleep_ms(10);
            look();
        }
        snprintf(sql, sizeof(sql), "%s", text(end_sql));
        CHECK_MSG(strcmp(sql, has_started ? rows[i / 2].running : rows[i / 2].waiting) == 0,
                  "%s, %s: %s", rows[i / 2].state, has_started ? "started" : "waiting", sql);
        run_sql("SELECT sea.cancel(max(id)) FROM sea.experiment");
    }
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE kind = 'worker' AND level = 'error'"),
              0);
    end();
}

static void
a_node_that_eats_jobs_is_named(void)
{
    int i;

    begin("node");
    put("hold", "");
    for (i = 0; i < 2; i++) {
        char id[16];

        add("n", i + 1, "ok", 1, "");
        submit_jobs();
        snprintf(id, sizeof(id), "%d", 100 + i);
        if (i == 0)
            put("jobs/100/node", "bad7\n");
        else
            put("jobs/101/node", "bad7\n");
        ctl("end", id, "COMPLETED");
        CHECK_INT(look().lost, 1);
        run_sql("SELECT sea.cancel(max(id)) FROM sea.experiment");
    }
    CHECK_STR(text("SELECT text FROM sea.event WHERE kind = 'worker' AND level = 'error'"),
              "node bad7 ended two jobs in a row before they started their stages");
    end();
}

static void
cancelling_reaches_the_cluster(void)
{
    begin("cancel");
    put("hold", "");
    add("waits", 1, "ok", 1, "");
    submit_jobs();
    run_sql("SELECT sea.cancel(1)");
    CHECK(work_until("SELECT count(*) FROM sea.experiment WHERE state = 'cancelled'", 1, 5000));
    CHECK_STR(job_state("100"), "CANCELLED");
    CHECK_STR(text("SELECT state FROM sea.attempt"), "cancelled");
    /* While its answer is lost the token is what there is. */
    put("fault.sbatch", "accepted-fail\n");
    add("unknown", 2, "ok", 1, "");
    submit_jobs();
    run_sql("SELECT sea.cancel(2)");
    CHECK(work_until("SELECT count(*) FROM sea.experiment WHERE state = 'cancelled'", 2, 5000));
    CHECK_STR(job_state("101"), "CANCELLED");
    /* One that runs hears it with its renewal, and says itself that it has ended. */
    remove(in_state("hold"));
    settings.ttl_ms = 1500;
    add("runs", 3, "ok", 1000, "0.02");
    submit_jobs();
    CHECK(wait_for("SELECT count(*) FROM sea.attempt WHERE state = 'started'", 1, 10000));
    run_sql("SELECT sea.cancel(3)");
    CHECK(work_until("SELECT count(*) FROM sea.experiment WHERE state = 'cancelled'", 3, 10000));
    CHECK(is_quiet(3000));
    end();
}

static void
the_time_limit_costs_nothing(void)
{
    char pid[32];

    begin("limit");
    add("limit", 1, "ok", 30, "0.05");
    submit_jobs();
    CHECK(wait_for("SELECT count(*) FROM sea.checkpoint", 1, 10000));
    snprintf(pid, sizeof(pid), "%.20s", text("SELECT w.pid FROM sea.worker w JOIN sea.lease l ON"
                                             " l.worker_id = w.id"));
    CHECK_INT(kill((pid_t)strtol(pid, NULL, 10), SIGUSR1), 0);
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state = 'done'", 1, 15000));
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY epoch) FROM sea.attempt"),
              "released committed");
    CHECK_INT(number("SELECT losses + failures FROM sea.stage_run"), 0);
    CHECK(number("SELECT resumed_step FROM sea.attempt WHERE epoch = 2") >= 5);
    end();
}

static void
an_intent_without_its_driver_ends(void)
{
    begin("intent");
    settings.submit_ms = 100;
    add("intent", 1, "ok", 1, "");
    tick();
    run_sql("SELECT sea.register_worker('h', 1, 'slurm', 'slurm/default', 30000)");
    CHECK_INT(number("SELECT count(*) FROM sea.job_claim(1, 'slurm/default')"), 1);
    look();
    CHECK_STR(text("SELECT state FROM sea.cluster_job"), "intent");
    CHECK_STR(text("SELECT reason FROM sea.why_pending"), "is being submitted to the cluster");
    CHECK(wait_for("SELECT 1", 1, 10));
    sea_clock_sleep_ms(2 * settings.submit_ms);
    look();
    CHECK_STR(text("SELECT state FROM sea.cluster_job"), "unknown");
    settings.submit_ms = 1500;
    CHECK(work_until("SELECT count(*) FROM sea.stage_run WHERE state = 'done'", 1, 15000));
    end();
}

static void
what_cannot_be_asked_for_fails_at_once(void)
{
    begin("bad");
    submit("{\"name\":\"bad\",\"seed\":1,\"resources\":{\"backend\":\"slurm\",\"partition\":"
           "\"a b; rm -rf /\"},\"stages\":{\"label\":{}}}", NULL);
    CHECK_INT(submit_jobs().failed, 1);
    CHECK_STR(text("SELECT state || ': ' || reason FROM sea.stage_run"),
              "failed: resources.partition is \"a b; rm -rf /\": no word for the command line of "
              "Slurm");
    CHECK_STR(read_state("sbatch.args"), "");
    end();
}

/* ---- guards ---- */

/* Jobs 1 (started), 2 (submitted) and 3 (lost once, claimed again), and what must be refused of
 * them; one word per answer. */
/* clang-format off */
static const char *const attack_sql[] = {
"CREATE SCHEMA IF NOT EXISTS attack",
"CREATE OR REPLACE FUNCTION attack.try(p_sql text) RETURNS text LANGUAGE plpgsql AS $$"
" DECLARE answer text; BEGIN EXECUTE p_sql INTO answer; RETURN coalesce(answer, '-');"
" EXCEPTION WHEN OTHERS THEN RETURN SQLSTATE; END $$",
"CREATE OR REPLACE FUNCTION attack.run() RETURNS text LANGUAGE plpgsql AS $$"
" DECLARE j sea.cluster_job; i int; id bigint[]; s uuid[]; d bigint; old uuid; one record; said text[] := '{}'; q text;"
" BEGIN"
"  d := sea.register_worker('h', 1, 'slurm', 'slurm/default', 30000);"
"  FOR i IN 1 .. 3 LOOP"
"   SELECT c.stage_id, c.secret INTO one FROM sea.job_claim(d, 'slurm/default') c;"
"   id[i] := one.stage_id; s[i] := one.secret;"
"  END LOOP;"
"  old := s[3];"
"  PERFORM sea.job_submitted(id[1], 1, '5'), sea.job_submitted(id[2], 1, '6');"
"  PERFORM sea.job_start(id[1], 1, s[1], 'me', '5', 'h', 1, 'cpu', 30000);"
"  PERFORM sea.job_lost(id[3], 1, false, 'preempted', 'x'); PERFORM sea.wake();"
"  SELECT c.secret INTO one FROM sea.job_claim(d, 'slurm/default') c; s[3] := one.secret;"
"  FOREACH q IN ARRAY ARRAY["
"   format('SELECT sea.job_submitted(%s, 1, ''7'')', id[1]),"
"   format('SELECT sea.job_unknown(%s, 1, ''x'')', id[2]),"
"   'SELECT sea.job_overdue(3600000)',"
"   format('SELECT sea.job_absent(%s, 1, clock_timestamp(), 3600000, 0)', id[2]),"
"   format('SELECT sea.job_absent(%s, 1, clock_timestamp(), 3600000, 0)', id[2]),"
"   format('SELECT sea.job_absent(%s, 1, clock_timestamp(), 0, 3600000)', id[2]),"
"   format('SELECT sea.job_absent(%s, 1, clock_timestamp(), 0, 3600000)', id[2]),"
"   format('SELECT sea.job_lost(%s, 1, false, ''infra'', ''x'')', id[3]),"
"   format('SELECT sea.job_lost(%s, 1, false, ''infra'', ''x'')', id[1]),"
"   format('SELECT string_agg((token = (SELECT token FROM sea.cluster_job WHERE stage_id = %s AND epoch = 1))::text, '' '')"
"           FROM sea.job_ghosts((SELECT jsonb_agg(token) || ''[\"sea-1-1-theirs\"]'' FROM sea.cluster_job WHERE stage_id >= %s))', id[3], id[1]),"
"   format('SELECT stage FROM sea.job_start(%s, 1, gen_random_uuid(), ''x'', ''6'', ''h'', 1, ''cpu'', 30000)', id[2]),"
"   format('SELECT stage FROM sea.job_start(%s, 1, %L, ''x'', ''9'', ''h'', 1, ''cpu'', 30000)', id[3], old),"
"   format('SELECT stage FROM sea.job_start(%s, 1, %L, ''you'', ''5'', ''h'', 1, ''cpu'', 30000)', id[1], s[1]),"
"   format('SELECT stage FROM sea.job_restart(%s, 1, gen_random_uuid(), ''x'', ''5'', ''h'', 1, ''cpu'', 30000)', id[1]),"
"   format('SELECT stage FROM sea.job_restart(%s, 1, %L, ''x'', ''99'', ''h'', 1, ''cpu'', 30000)', id[1], s[1])]"
"  LOOP said := said || attack.try(q); END LOOP;"
"  RETURN array_to_string(said, ' '); END $$",
};
/* clang-format on */
#define REFUSED "false false 0 false false false false - - true LF001 LF001 LF001 LF001 LF001"

static const char *
attack(int *seed)
{
    static char said[400];
    int i;

    for (i = 0; i < 3; i++)
        add("attack", ++*seed, "ok", 1, "");
    tick();
    snprintf(said, sizeof(said), "%.390s", text("SELECT attack.run()"));
    run_sql("SELECT sea.cancel(id) FROM sea.experiment WHERE ended_at IS NULL");
    run_sql("UPDATE sea.lease SET expires_at = '-infinity'");
    tick();
    return said;
}

/* The function around a line, with the line's guard taken out: a RETURN says true, a WHERE
 * lets everything pass, of other lines what ends them stays. */
static void
without(const char *source, const char *line, char *out, size_t room)
{
    const char *end = strchr(line, '\n'), *mark = strstr(line, "-- guard: "), *start = line;
    const char *words = line + strspn(line, " "), *stop, *tail = "", *rest;

    while (start > source && strncmp(start, "\nCREATE FUNCTION ", 17) != 0)
        start--;
    stop = strstr(end, "$$;\n");
    for (rest = mark; rest > line && rest[-1] == ' '; rest--)
        ;
    if (strncmp(words, "RETURN ", 7) == 0)
        tail = "RETURN true;";
    else if (strncmp(words, "WHERE ", 6) == 0)
        tail = rest[-1] == ';' ? "WHERE true);" : "WHERE true";
    else if (rest - line > 4 && strncmp(rest - 4, "THEN", 4) == 0)
        tail = "THEN";
    else if (rest[-1] == ';' && strncmp(words, "PERFORM ", 8) != 0)
        tail = ";";
    snprintf(out, room, "CREATE OR REPLACE FUNCTION %.*s%s%.*s", (int)(line - start - 17),
             start + 17, tail, (int)(stop + 3 - end), end);
}

static void
each_guard_is_missed(void)
{
    static char changed[16384], whole[16384];
    char path[SEA_PATH_MAX], name[40];
    struct sea_err err = { 0 };
    struct sea_buf source;
    const char *line, *at;
    int seed = 0, red = 0, count = 0;
    size_t i;

    begin("guards");
    sea_buf_init(&source, 1 << 20);
    must(sea_path_join(path, sea_test_root(), "sql/migrations/0011_cluster_jobs.sql", &err), &err);
    must(sea_file_read(path, &source, &err), &err);
    for (i = 0; i < sizeof(attack_sql) / sizeof(attack_sql[0]); i++)
        run_sql(attack_sql[i]);
    CHECK_STR(attack(&seed), REFUSED);
    for (at = source.data; (at = strstr(at, "-- guard: ")); at++) {
        for (line = at; line[-1] != '\n'; line--)
            ;
        sscanf(at, "-- guard: %39s", name);
        count++;
        without(source.data, line, changed, sizeof(changed));
        run_sql(changed);
        at = strchr(at, '\n');
        if (CHECK_MSG(strcmp(attack(&seed), REFUSED) != 0, "nobody missed guard %s", name))
            red++;
        /* As it was: the same text with the line. */
        for (line = at; strncmp(line, "\nCREATE FUNCTION ", 17) != 0; line--)
            ;
        snprintf(whole, sizeof(whole), "CREATE OR REPLACE FUNCTION %.*s",
                 (int)(strstr(line + 1, "$$;\n") + 3 - line - 17), line + 17);
        run_sql(whole);
    }
    printf("  %d guards, %d red\n", count, red);
    CHECK(count >= 14);
    CHECK_STR(attack(&seed), REFUSED);
    sea_buf_release(&source);
    end();
}

/* ---- many, with faults in every command and in the jobs ---- */

static uint32_t dice = 1;

static int
roll(int sides)
{
    dice = dice * 1664525u + 1013904223u;
    return (int)((dice >> 8) % (unsigned)sides);
}

#define KINDS 24
#define GHOST_MS 5000           /* a job lives on so long after its attempt, at most */

struct kind {                   /* of a fault: "sbatch cut", "job twice" */
    char name[40];
    int met;
};

struct many {
    int runs, percent, kinds_count;
    bool slow;                  /* also faults that take a deadline each */
    struct kind kinds[KINDS];
    struct { char id[16]; int64_t since_ms; } ghosts[64];
    int ghosts_seen, outlived;
    int64_t longest_ms;
};

static void
meet(struct many *m, const char *name)
{
    int i;

    for (i = 0; i < m->kinds_count && strcmp(m->kinds[i].name, name) != 0; i++)
        ;
    if (i == KINDS)
        return;
    if (i == m->kinds_count)
        snprintf(m->kinds[m->kinds_count++].name, sizeof(m->kinds[i].name), "%.39s",
                 name);
    m->kinds[i].met++;
}

/* A line per call to come: a fault in so many of a hundred. */
static void
plan_faults(const struct many *m, const char *file, const char *const *names, int count, int calls)
{
    struct sea_buf list;
    int i;

    sea_buf_init(&list, 1 << 20);
    for (i = 0; i < calls; i++)
        sea_buf_addf(&list, "%s\n", roll(100) < m->percent ? names[roll(count)] : "ok");
    put(file, list.data);
    sea_buf_release(&list);
}

/* Something befalls a job that runs: its node dies, it is preempted, Slurm starts it again with
 * or without saying so, or forgets it. */
static void
befall(struct many *m, const char *id)
{
    static const char *const blows[] = { "NODE_FAIL", "PREEMPTED", "again", "twice" };
    const char *blow = blows[roll(4)];
    char name[40];

    if (strcmp(blow, "again") == 0 || strcmp(blow, "twice") == 0)
        ctl(blow, id, NULL);
    else
        ctl("end", id, blow);
    snprintf(name, sizeof(name), "job %s", blow);
    meet(m, name);
}

/* Since when a job runs whose attempt is over. */
static void
note_ghost(struct many *m, const char *id, bool is_ghost)
{
    int64_t now = sea_clock_ms();
    size_t i, free_at = 64;

    for (i = 0; i < 64; i++) {
        if (strcmp(m->ghosts[i].id, id) == 0)
            break;
        if (!m->ghosts[i].id[0])
            free_at = i;
    }
    if (i < 64 && now - m->ghosts[i].since_ms > m->longest_ms)
        m->longest_ms = now - m->ghosts[i].since_ms;
    if (i < 64 && !is_ghost) {
        m->outlived += now - m->ghosts[i].since_ms > GHOST_MS;
        m->ghosts[i].id[0] = 0;
    } else if (i == 64 && is_ghost && CHECK(free_at < 64)) {
        snprintf(m->ghosts[free_at].id, sizeof(m->ghosts[0].id), "%.15s", id);
        m->ghosts[free_at].since_ms = now;
        m->ghosts_seen++;
    }
}

/* All jobs of the cluster beside the attempts that are alive, seen from outside. */
static void
watch_jobs(struct many *m, bool with_blows)
{
    static char alive[1 << 16];
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    struct dirent *entry;
    char name[80], file[100];
    struct sea_buf list;
    size_t i;
    DIR *folder = opendir(in_state("jobs"));

    /* First the jobs, then who is alive: one that ended in between is no ghost. */
    sea_buf_init(&list, sizeof(alive) - 1);
    CHECK_OK(sea_db_query_text(db, "SELECT j.token FROM sea.cluster_job j JOIN sea.lease l"
                               " ON l.stage_id = j.stage_id AND l.epoch = j.epoch", &rows, &err),
             err);
    for (i = 0; i < sea_rows_count(rows); i++)
        sea_buf_addf(&list, "%s\n", sea_rows_cell(rows, i, 0));
    snprintf(alive, sizeof(alive), "%s", list.len ? list.data : "");
    sea_rows_close(rows);
    sea_buf_release(&list);
    while (folder && (entry = readdir(folder))) {
        bool runs = strcmp(job_state(entry->d_name), "RUNNING") == 0;

        if (entry->d_name[0] == '.')
            continue;
        snprintf(file, sizeof(file), "jobs/%.20s/name", entry->d_name);
        snprintf(name, sizeof(name), "%.70s", read_state(file));
        note_ghost(m, entry->d_name, runs && name[0] && !strstr(alive, name));
        if (runs && with_blows && roll(1000) < 2 * m->percent)
            befall(m, entry->d_name);
    }
    if (folder)
        closedir(folder);
}

static void
count_met(struct many *m)
{
    static char all[1 << 20];
    char *line, *end;

    snprintf(all, sizeof(all), "%s", read_state("faults"));
    for (line = all; *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = 0;
        meet(m, line);
    }
}

static void
report(const struct many *m, const char *path, double seconds)
{
    FILE *to = fopen(path, "w");
    int i, all = 0;

    if (!CHECK(to != NULL))
        return;
    for (i = 0; i < m->kinds_count; i++)
        all += m->kinds[i].met;
    fprintf(to, "{\n  \"stages\": %d,\n  \"submissions\": %lld,\n  \"fault_percent\": %d,\n"
            "  \"faults\": %d,\n  \"kinds\": {\n", m->runs,
            (long long)number("SELECT count(*) FROM sea.cluster_job"), m->percent, all);
    for (i = 0; i < m->kinds_count; i++)
        fprintf(to, "    \"%s\": %d%s\n", m->kinds[i].name, m->kinds[i].met,
                i + 1 < m->kinds_count ? "," : "");
    fprintf(to, "  },\n  \"attempts\": %lld,\n  \"attempts_lost\": %lld,\n"
            "  \"stages_done\": %lld,\n  \"duplicate_commits\": %lld,\n"
            "  \"jobs_beyond_their_attempt\": %d,\n  \"longest_beyond_ms\": %lld,\n"
            "  \"beyond_limit_ms\": %d,\n  \"allocations_outliving_the_grace\": %d,\n"
            "  \"broken_invariants\": %lld,\n  \"seconds\": %.0f\n}\n",
            (long long)number("SELECT count(*) FROM sea.attempt"),
            (long long)number("SELECT count(*) FROM sea.attempt WHERE state = 'lost'"),
            (long long)number("SELECT count(*) FROM sea.stage_run WHERE state = 'done'"),
            (long long)number("SELECT count(*) - count(DISTINCT stage_id) FROM sea.attempt"
                              " WHERE state = 'committed'"),
            m->ghosts_seen, (long long)m->longest_ms, GHOST_MS, m->outlived,
            (long long)number("SELECT count(*) FROM sea.broken_invariant"), seconds);
    fclose(to);
}

/* As in a scheduler: a submission that hangs keeps nobody from looking. */
static void *
submit_always(void *arg)
{
    struct sea_backend_work *work = arg;

    while (!*work->stop) {
        struct sea_backend_counts counts;
        struct sea_err err = { 0 };

        CHECK_OK(sea_backend_driver_submit(work, &counts, &err), err);
        sea_clock_sleep_ms(20);
    }
    return NULL;
}

/* In waves, so that as many jobs are alive as one machine can run. */
static bool
work_many(struct many *m, int64_t ms)
{
    int64_t until = sea_clock_ms() + ms;

    while (number("SELECT count(*) FROM sea.stage_run WHERE state <> 'done'") != 0) {
        if (sea_clock_ms() > until) {
            printf("  waited in vain: %s; jobs: %.2000s\n",
                   text("SELECT string_agg(id || ' ' || state || ' ' || coalesce(reason, ''), ', ')"
                        " FROM sea.stage_run WHERE state <> 'done'"), ctl("show", NULL, NULL));
            return false;
        }
        run_sql("UPDATE sea.stage_run SET run_at = clock_timestamp() WHERE state = 'backoff'");
        tick();
        look();
        watch_jobs(m, true);
        sea_clock_sleep_ms(20);
    }
    return true;
}

static void
many_jobs_with_faults(void)
{
    static const char *const answers[] = { "accepted-fail", "accepted-silent", "twice",
                                           "twice-fail", "id-fail", "cut", "refused",
                                           "refused-used", "hang", "accepted-hang" };
    static const char *const looks[] = { "fail", "empty", "cut", "timeout" };
    static const char *const books[] = { "fail", "timeout" };
    const char *wish = getenv("SEA_SLURM_RUNS"), *percent = getenv("SEA_SLURM_FAULTS");
    const char *path = getenv("SEA_SLURM_REPORT");
    struct many m = { .runs = wish ? (int)strtol(wish, NULL, 10) : 16,
                      .percent = percent ? (int)strtol(percent, NULL, 10) : wish ? 10 : 33,
                      .slow = wish != NULL };
    double start = sea_clock_seconds();
    volatile sig_atomic_t stop = 0;
    struct sea_backend_work submitter;
    int i, injected = 0;
    pthread_t thread;
    bool quiet;

    begin("many");
    settings.ttl_ms = 10000;
    settings.jobs_max = 24;
    plan_faults(&m, "fault.sbatch", answers, m.slow ? 10 : 8, 4 * m.runs);
    plan_faults(&m, "fault.squeue", looks, m.slow ? 4 : 3, 20000);
    plan_faults(&m, "fault.sacct", books, m.slow ? 2 : 1, 20000);
    for (i = 0; i < m.runs; i++)
        add("many", i + 1, "ok", 2, "0.05");
    submitter = driver;
    submitter.db = connect_more();
    submitter.stop = &stop;
    if (pthread_create(&thread, NULL, submit_always, &submitter))
        abort();
    CHECK(work_many(&m, 30000 + 2000 * m.runs));
    stop = 1;
    pthread_join(thread, NULL);
    sea_db_close(submitter.db);
    for (quiet = false; !quiet && sea_clock_seconds() - start < 60 + 3 * m.runs;) {
        const char *jobs;

        look();
        watch_jobs(&m, false);
        jobs = ctl("show", NULL, NULL);
        quiet = !strstr(jobs, "PENDING") && !strstr(jobs, "RUNNING");
    }
    CHECK(quiet);
    watch_jobs(&m, false);
    count_met(&m);
    for (i = 0; i < m.kinds_count; i++)
        injected += m.kinds[i].met;
    CHECK(injected > 0);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'done'"), m.runs);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE state = 'committed'"), m.runs);
    CHECK_INT(number("SELECT count(DISTINCT stage_id) FROM sea.attempt WHERE state = 'committed'"),
              m.runs);
    CHECK_INT(m.outlived, 0);
    printf("  %d stages, %lld submissions, %d faults of %d kinds met, %lld attempts lost, "
           "0 double commits; %d jobs outlived their attempts, by %lld ms at most, need <= %d\n",
           m.runs, (long long)number("SELECT count(*) FROM sea.cluster_job"), injected,
           m.kinds_count, (long long)number("SELECT count(*) FROM sea.attempt WHERE state = 'lost'"),
           m.ghosts_seen, (long long)m.longest_ms, GHOST_MS);
    if (path)
        report(&m, path, sea_clock_seconds() - start);
    end();
}

/* ---- the job itself ---- */

static int
be_a_job(int argc, char **argv)
{
    struct sea_backend_job_options options = { .device = "cpu" };
    char stage[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    int i;

    for (i = 2; i + 1 < argc; i += 2) {
        if (strcmp(argv[i], "--data") == 0)
            options.data = argv[i + 1];
        else if (strcmp(argv[i], "--job") == 0)
            options.file = argv[i + 1];
    }
    if (!options.data || !options.file || sea_path_join(stage, options.data, "stage", &err))
        return 64;
    options.program = stage;
    sea_log_open("job", SEA_LOG_DEBUG, stderr);
    if (sea_backend_job_run(&options, &err)) {
        sea_err_print(&err, "job", stderr);
        return sea_status_exit(err.status);
    }
    return 0;
}

int
main(int argc, char **argv)
{
    static const struct sea_test_case cases[] = {
        TEST(runs_a_stage_and_keeps_its_secret),
        TEST(every_answer_of_sbatch_gives_one_commit),
        TEST(what_comes_late_or_twice_is_refused),
        TEST(a_waiting_ghost_is_cancelled_and_no_one_elses_job),
        TEST(a_job_started_again_gets_a_new_epoch),
        TEST(looks_that_fail_move_nothing),
        TEST(one_look_without_it_is_no_proof),
        TEST(a_dead_job_is_known_by_its_lease),
        TEST(states_become_classes),
        TEST(a_node_that_eats_jobs_is_named),
        TEST(cancelling_reaches_the_cluster),
        TEST(the_time_limit_costs_nothing),
        TEST(an_intent_without_its_driver_ends),
        TEST(what_cannot_be_asked_for_fails_at_once),
        TEST(each_guard_is_missed),
        TEST(many_jobs_with_faults),
    };

    if (argc > 1 && strcmp(argv[1], "worker") == 0)
        return be_a_job(argc, argv);
    return sea_test_run("slurm: safe submission against a cluster that lies", cases,
                        sizeof(cases) / sizeof(cases[0]), argc, argv);
}
