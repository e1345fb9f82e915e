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
#include <sys/mman.h>

#include "scheduler/sea_collector.h"
#include "scheduler/sea_worker.h"
#include "tests/fault/history.h"
#include "tests/fault/runner.h"
#include "tests/scheduler/service.h"

struct runner_options wanted = { .runs = 200, .seed = 1, .seconds = 3600 };
struct lane lanes[LANES];
pid_t schedulers[SCHEDULERS];
int64_t tried[KINDS], injected[KINDS], trouble;

static char self[SEA_PATH_MAX], folder[SEA_PATH_MAX], data[SEA_PATH_MAX], history[SEA_PATH_MAX];
static struct flight flights[FLIGHTS];
static int64_t collected, respawned;
static volatile sig_atomic_t stop;

/* ---- the runner's own questions: the server may be away at any time ---- */

struct sea_rows *
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

int64_t
ask_number(const char *sql)
{
    struct sea_rows *rows = ask(sql);
    const char *cell = sea_rows_count(rows) ? sea_rows_cell(rows, 0, 0) : NULL;
    int64_t value = cell ? strtoll(cell, NULL, 10) : -1;

    sea_rows_close(rows);
    return value;
}

struct sea_db *
ask_more(void)
{
    return connect_more();
}

bool
restart_server(void)
{
    struct sea_err err = { 0 };
    bool stopped = !sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err);

    while (sea_cluster_start(&cluster, &err)) {
        printf("the server did not start: %s\n", err.message);
        sea_err_clear(&err);
        sea_clock_sleep_ms(200);
    }
    return stopped;
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

void
lane_spawn(struct lane *lane)
{
    char url[512];

    snprintf(url, sizeof(url), "host='%s' port=5432 user=sea dbname=sea application_name=w%d",
             lane->proxy.folder, lane->number);
    lane->pid = spawn("worker", url, lane->number, lane);
}

void
lane_disarm(struct lane *lane)
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
    snprintf(lane->queue, sizeof(lane->queue), wanted.points ? "q%d" : "default", number);
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
    if (!wanted.points)
        lane_spawn(lane);
}

/* What workers are started with lies beside this program. */
static bool
find_parts(void)
{
    static const char *const parts[] = { "stage", "shim.so" };
    char path[SEA_PATH_MAX];
    size_t i;

    snprintf(folder, sizeof(folder), "%s", self);
    *strrchr(folder, '/') = 0;
    for (i = 0; i < 2; i++) {
        path_of(path, folder, parts[i]);
        if (access(path, R_OK)) {
            fprintf(stderr, "fault: \"%s\" is not there; `make tests` builds it\n", path);
            return false;
        }
    }
    return true;
}

static void
begin(void)
{
    int i;

    service_begin();
    /* Processes crash here, not the machine. */
    sea_rows_close(ask("ALTER SYSTEM SET fsync = off"));
    sea_rows_close(ask("SELECT pg_reload_conf()"));
    sea_rows_close(ask("SELECT sea.set_limit('queue', 'default', 9)"));
    path_of(data, sea_test_dir(), "data");
    path_of(history, sea_test_dir(), "history");
    if (mkdir(data, 0755) || mkdir(history, 0755))
        abort();
    for (i = 0; i < SCHEDULERS; i++)
        schedulers[i] = spawn("scheduler", cluster.url, i, NULL);
    for (i = 0; i < LANES; i++)
        lane_open(&lanes[i], i);
}

void
respawn(void)
{
    int i;

    for (i = 0; i < LANES; i++)
        if (lanes[i].pid > 0 && waitpid(lanes[i].pid, NULL, WNOHANG) == lanes[i].pid) {
            respawned++;
            lane_disarm(&lanes[i]);
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

int64_t
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

int64_t
submit_run(const struct flight *f)
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

void
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
    kind_draw(f);
    snprintf(f->key, sizeof(f->key), "run %lld", (long long)number);
    f->experiment_id = submit_run(f);
    make_patient(f->experiment_id);
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
               kind_name(f->kind), RUN_MS_MAX / 1000);
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
        more = more && sum_of(injected) < wanted.runs &&
               sea_clock_ms() - start < wanted.seconds * 1000;
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

/* ---- the report ---- */

static void
report(FILE *to, int64_t runs, double seconds, const struct history_report *h, int64_t bad)
{
    int i;

    fprintf(to, "{\n  \"seed\": %lld,\n  \"runs\": %lld,\n  \"faults_injected\": %lld,\n"
            "  \"seconds\": %.0f,\n  \"ttl_ms\": %d,\n  \"workers\": %d,\n  \"schedulers\": %d,\n"
            "  \"faults\": {\n", (long long)wanted.seed, (long long)runs,
            (long long)sum_of(injected), seconds, TTL_MS, LANES, SCHEDULERS);
    for (i = 0; i < KINDS; i++)
        fprintf(to, "    \"%s\": {\"tried\": %lld, \"injected\": %lld}%s\n", kind_name((enum kind)i),
                (long long)tried[i], (long long)injected[i], i + 1 < KINDS ? "," : "");
    fprintf(to, "  },\n  \"stage_runs\": %lld,\n  \"attempts\": %lld,\n  \"commits\": %lld,\n"
            "  \"processes_started_again\": %lld,\n  \"files_collected\": %lld,\n"
            "  \"commits_that_claimed\": %lld,\n  \"commits_refused\": %lld,\n"
            "  \"overlapping_attempts\": %lld,\n  \"overlap_ms_max\": %lld,\n"
            "  \"double_commits\": %lld,\n  \"lost_stages\": %lld,\n  \"wrong_results\": %lld,\n"
            "  \"broken_promises\": %lld,\n  \"violations\": %lld\n}\n",
            (long long)h->stages, (long long)h->attempts, (long long)h->commits,
            (long long)respawned, (long long)collected, (long long)h->chained,
            (long long)h->late_commits,
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
            wanted.runs = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seed") == 0)
            wanted.seed = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--seconds") == 0)
            wanted.seconds = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--points") == 0)
            wanted.points = strtoll(argv[i + 1], NULL, 10);
        else if (strcmp(argv[i], "--report") == 0)
            wanted.report = argv[i + 1];
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
    if (!find_parts())
        return 66;
    signal(SIGPIPE, SIG_IGN);
    begin();
    start = sea_clock_ms();
    runs = wanted.points ? every_point() : fly();
    end();
    path_of(path, data, "store");
    must(sea_store_open(&store, path, &err), &err);
    if (sea_db_is_lost(db))
        must(sea_db_reconnect(db, &err), &err);
    sea_db_set_statement_ms(db, 600000);
    bad = history_check(db, &store, history, wanted.points ? 0 : LIMIT, &found) + trouble;
    report(stdout, runs, 1e-3 * (double)(sea_clock_ms() - start), &found, bad);
    if (wanted.report) {
        to = fopen(wanted.report, "w");
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
    return bad || (!wanted.points && kinds_hit < 12);
}
