/* SPDX-License-Identifier: Apache-2.0 */
/*
 * fault.c - runs of tiny stages, each with one seeded fault, and what became of them
 *
 *     fault [--runs N] [--seed S] [--seconds MAX] [--report FILE] [--points MAX]
 *
 * A run is one experiment whose stage is running in some worker when one fault is injected into
 * it or around it. Workers and schedulers are processes of the product; each worker reaches the
 * server through a proxy of its own and has the shim preloaded. The choice of faults, and where
 * they strike, follow from the seed and the number of the run. When all runs have ended,
 * history.c compares what the processes wrote with the database.
 *
 * --points: instead of chance, every crash point of a small experiment in turn. Its worker is
 * killed at the first call (statement sent, answer taken, fsync, link, rename), then at the
 * second, and so on until it ends before its turn to die; MAX bounds that.
 */
#include <fcntl.h>
#include <math.h>
#include <sys/mman.h>

#include "scheduler/sea_collector.h"
#include "scheduler/sea_worker.h"
#include "tests/fault/control.h"
#include "tests/fault/history.h"
#include "tests/fault/proxy.h"
#include "tests/scheduler/service.h"

#define TTL_MS 900
#define LANES 10                /* workers */
#define FLIGHTS 8               /* runs at once: fewer than workers, so that others take over */
#define SCHEDULERS 2
#define RUN_MS_MAX 60000        /* a run that has not ended by then is lost */
#define COLLECT_EVERY 97        /* runs between two collections of the store */
#define RESUBMITS 4
#define LIMIT 9                 /* stage runs at once */

enum kind {
    KILL_WORKER, KILL_SCHEDULER, KILL_CHILD, STOP_WORKER, TERM_WORKER, DRAIN_WORKER,
    TERMINATE_BACKENDS, RESTART_SERVER, BLACK_HOLE, SLOW_LINK, CUT_LINKS, LOSE_COMMIT_REPLY,
    FULL_DISK, FAIL_FSYNC, CRASH_POINT, JUMP_CLOCK, HOLD_SNAPSHOT, SUBMIT_AGAIN, CANCEL,
    KINDS
};

static const struct {
    const char *name;
    int weight;                 /* how often, of the sum */
} kinds[KINDS] = {
    { "SIGKILL worker", 6 }, { "SIGKILL scheduler", 6 }, { "SIGKILL stage", 6 },
    { "SIGSTOP past the TTL, SIGCONT", 6 }, { "SIGTERM worker", 6 }, { "drain worker", 4 },
    { "pg_terminate_backend", 6 }, { "immediate restart of the server", 1 },
    { "black hole", 6 }, { "slow link", 6 }, { "links cut", 6 },
    { "socket cut after COMMIT was sent", 8 }, { "ENOSPC", 6 }, { "EIO on fsync", 6 },
    { "crash at the n-th call", 10 }, { "wall clock jumps", 6 }, { "held snapshot", 4 },
    { "submitted again", 4 }, { "cancel", 4 } };

struct lane {                   /* one worker and what is around it */
    int number;
    pid_t pid;
    struct proxy proxy;
    struct fault_control *control;
    char control_path[SEA_PATH_MAX];
    char queue[16];
    int64_t experiment_id, point;       /* of --points; experiment 0: idle */
    pid_t stopped, stopped_child;
    int64_t continue_ms, mend_ms;       /* when SIGCONT, or a mended link, is due; 0: not */
};

enum phase { FREE, QUEUED, HIT, ENDED };

struct flight {                 /* one run */
    enum phase phase;
    int64_t number, experiment_id, begun_ms, seen_ms, delay_ms;
    uint64_t random;
    enum kind kind;
    struct lane *lane;          /* that was hit */
    int64_t before;             /* the lane's counter of this kind, before */
    bool happened;
    char key[48];
};

struct view {                   /* what the database says about a flight */
    bool ended, running;
    int64_t stage_id, epoch, worker_id;
    pid_t worker, child;
};

static struct {
    int64_t runs, seed, seconds, points;
    const char *report;
} options = { .runs = 200, .seed = 1, .seconds = 3600 };

static char self[SEA_PATH_MAX], folder[SEA_PATH_MAX], data[SEA_PATH_MAX], history[SEA_PATH_MAX];
static struct lane lanes[LANES];
static pid_t schedulers[SCHEDULERS];
static struct flight flights[FLIGHTS];
static struct sea_db *snapshot;         /* holds one, or NULL */
static int64_t snapshot_run;
static int64_t tried[KINDS], injected[KINDS], collected, respawned, trouble;
static volatile sig_atomic_t stop;

/* ---- chance ---- */

static uint64_t
mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

static int64_t
pick(struct flight *f, int64_t below)
{
    f->random = mix(f->random);
    return (int64_t)(f->random % (uint64_t)below);
}

static enum kind
pick_kind(struct flight *f)
{
    int sum = 0, at, i;

    for (i = 0; i < KINDS; i++)
        sum += kinds[i].weight;
    at = (int)pick(f, sum);
    for (i = 0; at >= kinds[i].weight; i++)
        at -= kinds[i].weight;
    return (enum kind)i;
}

/* ---- the runner's own questions: the server may be away at any time ---- */

static struct sea_rows *
ask(const char *sql)
{
    int64_t until = sea_clock_ms() + 30000;

    for (;;) {
        struct sea_rows *rows = NULL;
        struct sea_err err = { 0 };
        enum sea_status status = SEA_OK;

        if (sea_db_is_lost(db))
            status = sea_db_reconnect(db, &err);
        if (!status)
            status = sea_db_query_text(db, sql, &rows, &err);
        if (!status)
            return rows;
        if (status != SEA_E_SERVICE || sea_clock_ms() > until) {
            printf("the runner's own question failed: %s: %s\n", sql, err.message);
            trouble++;
            return NULL;
        }
        sea_clock_sleep_ms(50);
    }
}

static int64_t
ask_number(const char *sql)
{
    struct sea_rows *rows = ask(sql);
    const char *cell = sea_rows_count(rows) ? sea_rows_cell(rows, 0, 0) : NULL;
    int64_t value = cell ? strtoll(cell, NULL, 10) : -1;

    sea_rows_close(rows);
    return value;
}

/* ---- processes of the product ---- */

static void
on_term(int number_of_signal)
{
    (void)number_of_signal;
    stop = 1;
}

/* As the program `fault worker ...`: the product's loop, its log in a file of its own. */
static int
role_main(char **argv)
{
    struct sigaction action = { .sa_handler = on_term };
    bool is_worker = strcmp(argv[1], "worker") == 0;
    FILE *log = fopen(argv[4], "a");
    struct sea_err err = { 0 };
    enum sea_status status;

    sigaction(SIGTERM, &action, NULL);
    signal(SIGPIPE, SIG_IGN);
    if (!log || setvbuf(log, NULL, _IONBF, 0))
        return 1;
    sea_log_open(argv[1], SEA_LOG_DEBUG, log);
    if (is_worker)
        status = sea_worker_run(&(struct sea_worker_options){
            .url = argv[2], .data = argv[3], .stage_program = argv[5], .queue = argv[6],
            .ttl_ms = TTL_MS,
            .poll_ms = 50, .grace_ms = 400, .stop = &stop }, &err);
    else
        status = sea_scheduler_run(&(struct sea_scheduler_options){
            .url = argv[2], .tick_ms = 25, .key = test_key, .stop = &stop }, &err);
    if (status)
        sea_log_err(SEA_LOG_ERROR, &err);
    return status != SEA_OK;
}

static void
path_of(char out[SEA_PATH_MAX], const char *in, const char *name)
{
    struct sea_err err = { 0 };

    must(sea_path_join(out, in, name, &err), &err);
}

static pid_t
spawn(const char *role, const char *url, int number, const struct lane *lane)
{
    char log[SEA_PATH_MAX], program[SEA_PATH_MAX], shim[SEA_PATH_MAX], stages[SEA_PATH_MAX];
    char name[48];
    char queue[16] = "default";
    char *argv[] = { self, (char *)(uintptr_t)role, (char *)(uintptr_t)url, data, log, program,
                     queue, NULL };
    pid_t pid;

    if (lane)
        snprintf(queue, sizeof(queue), "%s", lane->queue);
    snprintf(name, sizeof(name), "%s-%d.log", role, number);
    path_of(log, history, name);
    path_of(stages, history, "stages.log");
    path_of(program, folder, "stage");
    path_of(shim, folder, "shim.so");
    pid = fork();
    if (pid == 0) {
        end_with_test();
        if (lane) {
            setenv("LD_PRELOAD", shim, 1);
            setenv(FAULT_CONTROL_VARIABLE, lane->control_path, 1);
            setenv("SEA_FAULT_HISTORY", stages, 1);
        }
        execv(self, argv);
        _exit(127);
    }
    return pid;
}

static void
lane_spawn(struct lane *lane)
{
    char url[512];

    snprintf(url, sizeof(url), "host='%s' port=5432 user=sea dbname=sea application_name=w%d",
             lane->proxy.folder, lane->number);
    lane->pid = spawn("worker", url, lane->number, lane);
}

static void
disarm(struct lane *lane)
{
    atomic_store(&lane->control->kind, SHIM_NONE);
    atomic_store(&lane->control->skew_ms, 0);
}

static void
lane_open(struct lane *lane, int number)
{
    char name[32], path[SEA_PATH_MAX];
    int fd;

    lane->number = number;
    snprintf(lane->queue, sizeof(lane->queue), options.points ? "q%d" : "default", number);
    snprintf(name, sizeof(name), "p%d", number);
    path_of(path, sea_test_dir(), name);
    if (!proxy_start(&lane->proxy, path, cluster.socket))
        abort();
    snprintf(name, sizeof(name), "control-%d", number);
    path_of(lane->control_path, sea_test_dir(), name);
    fd = open(lane->control_path, O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0 || ftruncate(fd, sizeof(*lane->control)))
        abort();
    lane->control = mmap(NULL, sizeof(*lane->control), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    close(fd);
    if (lane->control == MAP_FAILED)
        abort();
    if (!options.points)
        lane_spawn(lane);
}

static void
begin(void)
{
    char *slash;
    int i;

    service_begin();
    sea_rows_close(ask("ALTER SYSTEM SET fsync = off"));    /* crashes of processes, not of the machine */
    sea_rows_close(ask("SELECT pg_reload_conf()"));
    sea_rows_close(ask("SELECT sea.set_limit('queue', 'default', 9)"));
    snprintf(folder, sizeof(folder), "%s", self);
    slash = strrchr(folder, '/');
    *slash = 0;
    path_of(data, sea_test_dir(), "data");
    path_of(history, sea_test_dir(), "history");
    if (mkdir(data, 0755) || mkdir(history, 0755))
        abort();
    for (i = 0; i < SCHEDULERS; i++)
        schedulers[i] = spawn("scheduler", cluster.url, i, NULL);
    for (i = 0; i < LANES; i++)
        lane_open(&lanes[i], i);
}

/* Whatever ended is started again. */
static void
respawn(void)
{
    int i;

    for (i = 0; i < LANES; i++)
        if (lanes[i].pid > 0 && waitpid(lanes[i].pid, NULL, WNOHANG) == lanes[i].pid) {
            respawned++;
            disarm(&lanes[i]);
            lane_spawn(&lanes[i]);
        }
    for (i = 0; i < SCHEDULERS; i++)
        if (waitpid(schedulers[i], NULL, WNOHANG) == schedulers[i]) {
            respawned++;
            schedulers[i] = spawn("scheduler", cluster.url, i, NULL);
        }
}

/* What was broken for a while is mended when its time has come. */
static void
mend(bool all)
{
    int64_t now = sea_clock_ms();
    int i;

    for (i = 0; i < LANES; i++) {
        struct lane *lane = &lanes[i];

        if (lane->continue_ms && (all || now >= lane->continue_ms)) {
            kill(lane->stopped, SIGCONT);
            kill(-lane->stopped_child, SIGCONT);
            lane->continue_ms = 0;
        }
        if (lane->mend_ms && (all || now >= lane->mend_ms)) {
            lane->proxy.mode = PROXY_PASS;
            lane->mend_ms = 0;
        }
    }
}

/* ---- runs ---- */

/* The key makes it safe to send again when the answer was lost. */
static int64_t
submit_config(const char *config, const char *key)
{
    int64_t until = sea_clock_ms() + 30000, id = 0;

    for (;;) {
        struct sea_err err = { 0 };
        enum sea_status status = sea_db_is_lost(db) ? sea_db_reconnect(db, &err) : SEA_OK;

        if (!status)
            status = sea_queue_submit(db, config, key, &id, &err);
        if (!status)
            return id;
        if (status != SEA_E_SERVICE || sea_clock_ms() > until) {
            printf("%s could not be submitted: %s\n", key, err.message);
            trouble++;
            return 0;
        }
        sea_clock_sleep_ms(50);
    }
}

static int64_t
submit_run(struct flight *f)
{
    char config[512];

    snprintf(config, sizeof(config),
             "{\"name\":\"run %lld\",\"seed\":%lld,\"steps\":%lld,\"pause\":%lld,"
             "\"model\":{\"vision\":{\"path\":\"@foundation\"}},\"stages\":{%s\"label\":{}}}",
             (long long)f->number, (long long)f->number, 4 + (long long)(f->number % 5),
             (f->kind == STOP_WORKER ? 25 : 1) * (8 + (long long)(f->number % 13)),
             f->number % 4 ? "" : "\"foundation\":{},");
    return submit_config(config, f->key);
}

/* Budgets that no run can spend: what is looked for is loss, not the end of patience. */
static void
make_patient(int64_t experiment_id)
{
    char sql[256];

    snprintf(sql, sizeof(sql), "UPDATE sea.stage_run SET backoff_ms = 20, failures_max = 10000,"
             " losses_max = 10000 WHERE experiment_id = %lld", (long long)experiment_id);
    sea_rows_close(ask(sql));
}

static void
start_run(struct flight *f, int64_t number)
{
    *f = (struct flight){ .phase = QUEUED, .number = number, .begun_ms = sea_clock_ms() };
    f->random = mix((uint64_t)options.seed) ^ mix((uint64_t)number + 0x5eed);
    f->kind = pick_kind(f);
    f->delay_ms = pick(f, 90);
    snprintf(f->key, sizeof(f->key), "run %lld", (long long)number);
    f->experiment_id = submit_run(f);
    make_patient(f->experiment_id);
}

static void
arm(struct flight *f, enum shim_fault fault, int64_t after, int64_t times)
{
    struct fault_control *control = f->lane->control;

    f->before = atomic_load(&control->happened);
    atomic_store(&control->after, (int32_t)after);
    atomic_store(&control->times, (int32_t)times);
    atomic_store(&control->kind, (int32_t)fault);
}

static void
break_link(struct flight *f, enum proxy_mode mode, int64_t ms)
{
    struct proxy *proxy = &f->lane->proxy;

    f->before = mode == PROXY_HOLE ? proxy->swallowed : mode == PROXY_SLOW ? proxy->delayed
                                                                           : proxy->cut;
    proxy->mode = (int)mode;
    f->lane->mend_ms = sea_clock_ms() + ms;
}

static void
restart_server(struct flight *f)
{
    struct sea_err err = { 0 };

    f->happened = !sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err);
    while (sea_cluster_start(&cluster, &err)) {
        printf("the server did not start: %s\n", err.message);
        sea_err_clear(&err);
        sea_clock_sleep_ms(200);
    }
}

static void
hold_snapshot(struct flight *f)
{
    struct sea_err err = { 0 };

    if (snapshot)
        return;
    snapshot = connect_more();
    snapshot_run = f->number;
    f->happened =
        !sea_db_query_text(snapshot, "BEGIN ISOLATION LEVEL REPEATABLE READ", NULL, &err) &&
        !sea_db_query_text(snapshot, "SELECT count(*) FROM sea.lease", NULL, &err);
}

static void
submit_again(struct flight *f)
{
    int i;

    for (i = 0; i < RESUBMITS; i++)
        if (submit_run(f) != f->experiment_id) {
            printf("VIOLATION run %lld was submitted twice\n", (long long)f->number);
            trouble++;
        }
    f->happened = true;
}

static void
inject(struct flight *f, const struct view *view)
{
    struct lane *lane = f->lane;
    char sql[256];

    tried[f->kind]++;
    switch (f->kind) {
    case KILL_WORKER:
        f->happened = kill(lane->pid, SIGKILL) == 0;
        break;
    case KILL_SCHEDULER:
        f->happened = kill(schedulers[pick(f, SCHEDULERS)], SIGKILL) == 0;
        break;
    case KILL_CHILD:
        f->happened = kill(-view->child, SIGKILL) == 0;
        break;
    case STOP_WORKER:
        if (lane->continue_ms)
            break;
        lane->stopped = lane->pid;
        lane->stopped_child = view->child;
        lane->continue_ms = sea_clock_ms() + TTL_MS + 200 + pick(f, 600);
        f->happened = kill(lane->stopped, SIGSTOP) == 0;
        if (pick(f, 2))         /* else the stage computes on: its zombie's words are refused */
            kill(-lane->stopped_child, SIGSTOP);
        break;
    case TERM_WORKER:
        f->happened = kill(lane->pid, SIGTERM) == 0;
        break;
    case DRAIN_WORKER:
        snprintf(sql, sizeof(sql), "SELECT sea.drain(%lld, '%s'), 1 FROM sea.worker WHERE id = %lld"
                 " AND ended_at IS NULL", (long long)view->worker_id,
                 pick(f, 2) ? "finish" : "checkpoint", (long long)view->worker_id);
        f->happened = ask_number(sql) >= -1;
        break;
    case TERMINATE_BACKENDS:
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM (SELECT pg_terminate_backend(pid) AS ok"
                 " FROM pg_stat_activity WHERE application_name = 'w%d') x WHERE ok", lane->number);
        f->happened = ask_number(sql) > 0;
        break;
    case RESTART_SERVER:
        restart_server(f);
        break;
    case BLACK_HOLE:
        break_link(f, PROXY_HOLE, 100 + pick(f, 2 * TTL_MS));
        break;
    case SLOW_LINK:
        break_link(f, PROXY_SLOW, 300 + pick(f, 700));
        break;
    case CUT_LINKS:
        break_link(f, PROXY_CUT, 50);
        break;
    case LOSE_COMMIT_REPLY:
        arm(f, SHIM_CUT_COMMIT, 0, 1);
        break;
    case FULL_DISK:
        arm(f, SHIM_ENOSPC, pick(f, 8), 1 + pick(f, 12));
        break;
    case FAIL_FSYNC:
        arm(f, SHIM_EIO, pick(f, 5), 1);
        break;
    case CRASH_POINT:
        arm(f, SHIM_CRASH, pick(f, 40), 1);
        break;
    case JUMP_CLOCK:
        f->before = atomic_load(&lane->control->skewed);
        atomic_store(&lane->control->skew_ms, (pick(f, 2) ? 1 : -1) * (3600000 + pick(f, 9000)));
        break;
    case HOLD_SNAPSHOT:
        hold_snapshot(f);
        break;
    case SUBMIT_AGAIN:
        submit_again(f);
        break;
    default:
        snprintf(sql, sizeof(sql), "SELECT sea.cancel(%lld), 1", (long long)f->experiment_id);
        sea_rows_close(ask(sql));
        f->happened = true;
    }
}

/* At the run's end: whether what was armed has struck; what it left is put right. */
static void
settle(struct flight *f)
{
    struct lane *lane = f->lane;
    struct sea_err err = { 0 };

    switch (f->kind) {
    case BLACK_HOLE:
        f->happened = lane->proxy.swallowed > f->before;
        break;
    case SLOW_LINK:
        f->happened = lane->proxy.delayed > f->before;
        break;
    case CUT_LINKS:
        f->happened = lane->proxy.cut > f->before;
        break;
    case LOSE_COMMIT_REPLY:
    case FULL_DISK:
    case FAIL_FSYNC:
    case CRASH_POINT:
        f->happened = atomic_load(&lane->control->happened) > f->before;
        atomic_store(&lane->control->kind, SHIM_NONE);
        break;
    case JUMP_CLOCK:
        f->happened = atomic_load(&lane->control->skewed) > f->before;
        atomic_store(&lane->control->skew_ms, 0);
        break;
    case HOLD_SNAPSHOT:
        if (snapshot && snapshot_run == f->number) {
            /* A server that was restarted meanwhile has ended it already. */
            if (sea_db_query_text(snapshot, "COMMIT", NULL, &err))
                sea_log_err(SEA_LOG_DEBUG, &err);
            sea_db_close(snapshot);
            snapshot = NULL;
        }
        break;
    default:
        break;
    }
    injected[f->kind] += f->happened;
}

static struct lane *
lane_of(pid_t worker)
{
    int i;

    for (i = 0; i < LANES; i++)
        if (lanes[i].pid == worker)
            return &lanes[i];
    return NULL;
}

/* All runs in flight, by one question. */
static void
look(struct view views[FLIGHTS])
{
    struct sea_err err = { 0 };
    struct sea_rows *rows;
    char sql[1400];
    size_t row;
    int i, len;

    len = snprintf(sql, sizeof(sql),
                   "SELECT e.id, e.ended_at IS NOT NULL AS ended, s.id AS stage_id, l.epoch,"
                   " l.worker_id, w.pid AS worker, CASE WHEN a.state = 'started' THEN a.pid END AS"
                   " child FROM sea.experiment e LEFT JOIN sea.stage_run s ON s.experiment_id ="
                   " e.id AND s.state = 'running' LEFT JOIN sea.lease l ON l.stage_id = s.id LEFT"
                   " JOIN sea.worker w ON w.id = l.worker_id LEFT JOIN sea.attempt a ON a.stage_id"
                   " = l.stage_id AND a.epoch = l.epoch WHERE e.id IN (0");
    for (i = 0; i < FLIGHTS; i++) {
        views[i] = (struct view){ 0 };
        if (flights[i].phase != FREE)
            len += snprintf(sql + len, sizeof(sql) - (size_t)len, ",%lld",
                            (long long)flights[i].experiment_id);
    }
    snprintf(sql + len, sizeof(sql) - (size_t)len, ")");
    rows = ask(sql);
    for (row = 0; row < sea_rows_count(rows); row++) {
        int64_t id = sea_rows_int(rows, row, "id", &err);

        for (i = 0; i < FLIGHTS && (flights[i].phase == FREE || flights[i].experiment_id != id); i++)
            ;
        if (i == FLIGHTS)
            continue;
        views[i].ended = sea_rows_bool(rows, row, "ended", &err);
        views[i].stage_id = sea_rows_int_or(rows, row, "stage_id", 0, &err);
        views[i].epoch = sea_rows_int_or(rows, row, "epoch", 0, &err);
        views[i].worker_id = sea_rows_int_or(rows, row, "worker_id", 0, &err);
        views[i].worker = (pid_t)sea_rows_int_or(rows, row, "worker", 0, &err);
        views[i].child = (pid_t)sea_rows_int_or(rows, row, "child", 0, &err);
        views[i].running = views[i].child > 0;
    }
    sea_rows_close(rows);
}

static void
advance(struct flight *f, const struct view *view)
{
    int64_t now = sea_clock_ms();
    bool quiet;

    if (f->phase == QUEUED && view->running && !f->seen_ms)
        f->seen_ms = now;
    if (f->phase == QUEUED && view->running && now >= f->seen_ms + f->delay_ms) {
        f->lane = lane_of(view->worker);
        /* One fault at a time for each worker: else one would undo the other. */
        if (f->lane && !f->lane->continue_ms && !f->lane->mend_ms &&
            atomic_load(&f->lane->control->kind) == SHIM_NONE) {
            inject(f, view);
            f->phase = HIT;
        }
    }
    quiet = !f->lane || f->kind != STOP_WORKER || !f->lane->continue_ms;
    if (view->ended && quiet) {
        if (f->phase == HIT)
            settle(f);
        f->phase = FREE;
    } else if (now - f->begun_ms > RUN_MS_MAX) {
        printf("VIOLATION run %lld (%s) has not ended after %d s\n", (long long)f->number,
               kinds[f->kind].name, RUN_MS_MAX / 1000);
        trouble++;
        if (f->phase == HIT)
            settle(f);
        f->phase = FREE;
    }
}

static void
collect(void)
{
    struct sea_collector_options how = { .grace_ms = 0, .unfinished_ms = 60000,
                                         .keep_ms = 3600000 };
    struct sea_collector_counts counts;
    struct sea_err err = { 0 };
    struct sea_store store;
    char path[SEA_PATH_MAX];

    path_of(path, data, "store");
    /* A server that goes away ends one collection; the next one finishes it. */
    if (!sea_store_open(&store, path, &err) && !sea_db_is_lost(db) &&
        !sea_collector_run(db, &store, &how, &counts, &err))
        collected += counts.blobs;
    else
        sea_log_err(SEA_LOG_DEBUG, &err);
}

static int64_t
sum_of(const int64_t *counts)
{
    int64_t sum = 0;
    int i;

    for (i = 0; i < KINDS; i++)
        sum += counts[i];
    return sum;
}

/* Runs until enough faults have struck, or the time is over. Returns how many runs there were. */
static int64_t
fly(void)
{
    int64_t number = 0, start = sea_clock_ms(), told = start, flying;
    struct view views[FLIGHTS];
    bool more = true;
    int i;

    do {
        respawn();
        mend(false);
        more = more && sum_of(injected) < options.runs &&
               sea_clock_ms() - start < options.seconds * 1000;
        for (i = 0, flying = 0; i < FLIGHTS; i++) {
            if (flights[i].phase == FREE && more) {
                start_run(&flights[i], ++number);
                if (number % COLLECT_EVERY == 0)
                    collect();
            }
            flying += flights[i].phase != FREE;
        }
        look(views);
        for (i = 0; i < FLIGHTS; i++)
            if (flights[i].phase != FREE)
                advance(&flights[i], &views[i]);
        if (sea_clock_ms() - told > 10000) {
            told = sea_clock_ms();
            printf("%lld runs, %lld faults, %.1f a second\n", (long long)number,
                   (long long)sum_of(injected),
                   1000.0 * (double)sum_of(injected) / (double)(told - start));
            fflush(stdout);
        }
        sea_clock_sleep_ms(8);
    } while (flying);
    return number;
}

/* ---- every crash point in turn ---- */

static void
start_point(struct lane *lane, int64_t point)
{
    char config[384], key[48];

    lane->point = point;
    snprintf(config, sizeof(config), "{\"name\":\"point %lld\",\"seed\":%lld,\"steps\":5,"
             "\"pause\":5,\"model\":{\"vision\":{\"path\":\"@foundation\"}},\"resources\":"
             "{\"queue\":\"%s\"},\"stages\":{\"foundation\":{},\"label\":{}}}",
             (long long)point, (long long)point, lane->queue);
    snprintf(key, sizeof(key), "point %lld", (long long)point);
    lane->experiment_id = submit_config(config, key);
    make_patient(lane->experiment_id);
    atomic_store(&lane->control->happened, 0);
    atomic_store(&lane->control->after, (int32_t)point);
    atomic_store(&lane->control->times, 1);
    atomic_store(&lane->control->kind, SHIM_CRASH);
    lane_spawn(lane);
}

/* True when the lane's worker was killed at its point; false when it ended before that. */
static bool
end_point(struct lane *lane)
{
    kill(lane->pid, SIGTERM);
    waitpid(lane->pid, NULL, 0);
    lane->pid = 0;
    lane->experiment_id = 0;
    disarm(lane);
    return atomic_load(&lane->control->happened) > 0;
}

/* Returns how many points there were. */
static int64_t
every_point(void)
{
    int64_t next = 0, struck = 0, begun_ms = sea_clock_ms();
    bool more = true, busy = true;
    char sql[128];
    int i;

    while (busy && sea_clock_ms() - begun_ms < options.seconds * 1000) {
        respawn();
        for (i = 0, busy = false; i < LANES; i++) {
            struct lane *lane = &lanes[i];

            if (!lane->experiment_id && more && next < options.points)
                start_point(lane, next++);
            if (!lane->experiment_id)
                continue;
            busy = true;
            snprintf(sql, sizeof(sql), "SELECT (ended_at IS NOT NULL)::int FROM sea.experiment"
                     " WHERE id = %lld", (long long)lane->experiment_id);
            if (ask_number(sql) != 1)
                continue;
            if (end_point(lane))
                struck++;
            else
                more = false;
        }
        sea_clock_sleep_ms(5);
    }
    if (busy) {
        printf("VIOLATION an experiment that was killed at a point has not ended\n");
        trouble++;
    }
    tried[CRASH_POINT] = next;
    injected[CRASH_POINT] = struck;
    return next;
}

/* ---- the report ---- */

static void
report(FILE *to, int64_t runs, double seconds, const struct history_report *h, int64_t bad)
{
    int i;

    fprintf(to, "{\n  \"seed\": %lld,\n  \"runs\": %lld,\n  \"faults_injected\": %lld,\n"
            "  \"seconds\": %.0f,\n  \"ttl_ms\": %d,\n  \"workers\": %d,\n  \"schedulers\": %d,\n"
            "  \"faults\": {\n", (long long)options.seed, (long long)runs,
            (long long)sum_of(injected), seconds, TTL_MS, LANES, SCHEDULERS);
    for (i = 0; i < KINDS; i++)
        fprintf(to, "    \"%s\": {\"tried\": %lld, \"injected\": %lld}%s\n", kinds[i].name,
                (long long)tried[i], (long long)injected[i], i + 1 < KINDS ? "," : "");
    fprintf(to, "  },\n  \"stage_runs\": %lld,\n  \"attempts\": %lld,\n  \"commits\": %lld,\n"
            "  \"processes_started_again\": %lld,\n  \"files_collected\": %lld,\n"
            "  \"commits_refused\": %lld,\n"
            "  \"overlapping_attempts\": %lld,\n  \"overlap_ms_max\": %lld,\n"
            "  \"double_commits\": %lld,\n  \"lost_stages\": %lld,\n  \"wrong_results\": %lld,\n"
            "  \"broken_promises\": %lld,\n  \"violations\": %lld\n}\n",
            (long long)h->stages, (long long)h->attempts, (long long)h->commits,
            (long long)respawned, (long long)collected, (long long)h->late_commits,
            (long long)h->overlaps, (long long)h->overlap_ms_max, (long long)h->double_commits,
            (long long)h->lost_stages, (long long)h->wrong_results, (long long)h->broken,
            (long long)bad);
}

static void
end(void)
{
    int i;

    mend(true);
    for (i = 0; i < LANES; i++) {
        if (lanes[i].pid > 0) {
            kill(lanes[i].pid, SIGTERM);
            waitpid(lanes[i].pid, NULL, 0);
        }
        proxy_stop(&lanes[i].proxy);
    }
    for (i = 0; i < SCHEDULERS; i++) {
        kill(schedulers[i], SIGTERM);
        waitpid(schedulers[i], NULL, 0);
    }
}

static int
parse(int argc, char **argv)
{
    int i;

    for (i = 1; i + 1 < argc; i += 2)
        if (strcmp(argv[i], "--runs") == 0)
            options.runs = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            options.seed = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            options.seconds = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--points") == 0)
            options.points = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--report") == 0)
            options.report = argv[i + 1];
        else
            break;
    return i == argc;
}

int
main(int argc, char **argv)
{
    struct history_report found;
    struct sea_err err = { 0 };
    struct sea_store store;
    char path[SEA_PATH_MAX];
    int64_t runs, bad, kinds_hit = 0, start;
    FILE *to;
    int i;

    if (readlink("/proc/self/exe", self, sizeof(self) - 1) < 0)
        return 1;
    if (argc == 7 && (strcmp(argv[1], "worker") == 0 || strcmp(argv[1], "scheduler") == 0))
        return role_main(argv);
    if (!parse(argc, argv)) {
        fprintf(stderr, "usage: fault [--runs N] [--seed S] [--seconds MAX] [--report FILE]"
                        " [--points MAX]\n");
        return 64;
    }
    signal(SIGPIPE, SIG_IGN);
    begin();
    start = sea_clock_ms();
    runs = options.points ? every_point() : fly();
    end();
    path_of(path, data, "store");
    must(sea_store_open(&store, path, &err), &err);
    if (sea_db_is_lost(db))
        must(sea_db_reconnect(db, &err), &err);
    sea_db_set_statement_ms(db, 600000);
    bad = history_check(db, &store, history, options.points ? 0 : LIMIT, &found) + trouble;
    report(stdout, runs, 1e-3 * (double)(sea_clock_ms() - start), &found, bad);
    if (options.report) {
        to = fopen(options.report, "w");
        if (!to)
            return 74;
        report(to, runs, 1e-3 * (double)(sea_clock_ms() - start), &found, bad);
        if (fclose(to))
            return 74;
    }
    for (i = 0; i < KINDS; i++)
        kinds_hit += injected[i] > 0;
    printf("fault: %lld runs, %lld faults of %lld kinds injected, %lld violations\n",
           (long long)runs, (long long)sum_of(injected), (long long)kinds_hit, (long long)bad);
    return bad || (!options.points && kinds_hit < 12);
}
