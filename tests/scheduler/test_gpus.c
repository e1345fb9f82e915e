/* SPDX-License-Identifier: Apache-2.0 */
/* GPUs are reserved with claims: never one twice, many at once without starvation, freed with the
 * lease whichever way it ends. */
#include <fcntl.h>

#include "scheduler/sea_gpus.h"
#include "tests/scheduler/service.h"

#define WORKERS 8               /* of two machines with four GPUs each */
#define STAGES 240
#define BATCH "'[{\"stage_id\": %lld, \"epoch\": %lld, \"secret\": \"%s\", \"files\": []," \
              " \"digest\": \"x\", \"metrics\": []}]'"

static struct sea_arena *arena;
static int seeds;
static const char *queue = "default";   /* that is submitted to and claimed from */

static void
fresh(void)
{
    service_begin();
    if (!arena)
        arena = sea_arena_create(NULL, "test");
}

static int64_t
add(const char *host, const char *gpus)
{
    struct sea_err err = { 0 };
    int64_t id = 0;

    CHECK_OK(sea_queue_register_gpus(db, host, getpid(), "auto", queue, 30000, gpus, &id, &err),
             err);
    return id;
}

/* An experiment of stage tune alone that asks for so many GPUs; -1: for a CPU. */
static int64_t
ask(int gpus)
{
    char config[200];

    snprintf(config, sizeof(config), "{\"name\":\"g%d\",\"seed\":%d,\"stages\":{\"tune\":{}},"
             "\"resources\":{\"gpus\":%d,\"device\":\"%s\",\"queue\":\"%s\"}}", gpus, ++seeds,
             gpus < 0 ? 1 : gpus, gpus < 0 ? "cpu:2" : "auto", queue);
    return submit(config, NULL);
}

static enum sea_status
try_claim(struct sea_db *at, int64_t worker, struct sea_claim *out, bool *claimed,
          struct sea_err *err)
{
    enum sea_status status = sea_queue_claim(at, worker, queue, 30000, arena, out, claimed, err);

    return status || !*claimed ? status : sea_queue_claim_gpus(at, arena, out, err);
}

static bool
claim_by(int64_t worker, struct sea_claim *out)
{
    struct sea_err err = { 0 };
    bool claimed = false;

    CHECK_OK(try_claim(db, worker, out, &claimed, &err), err);
    return claimed;
}

/* "0,1" of what a claim took; "-" when there was none. */
static const char *
take(int64_t worker, struct sea_claim *out)
{
    static struct sea_gpus all;
    struct sea_err err = { 0 };

    if (!all.count)
        CHECK_OK(sea_gpus_list("auto", 16, NULL, &all, &err), err);
    if (!claim_by(worker, out))
        return "-";
    return sea_gpus_visible(&all, out->gpus, out->gpus_count, arena);
}

static struct sea_artifacts
one_file(struct sea_artifact *file)
{
    *file = (struct sea_artifact){ .path = "x", .bytes = 1 };
    sea_hash_bytes("x", 1, file->sha256);
    return (struct sea_artifacts){ .at = file, .count = 1 };
}

/* next_worker: claims for it in the same transaction; 0: claims nothing. */
static enum sea_status
try_commit(struct sea_db *at, const struct sea_claim *claim, int64_t next_worker,
           struct sea_claim *next, bool *claimed, struct sea_err *err)
{
    struct sea_claimant who = { .worker_id = next_worker, .queue = queue, .ttl_ms = 30000 };
    struct sea_artifact file;
    struct sea_artifacts files = one_file(&file);
    struct sea_commit what = { .files = &files, .digest = file.sha256, .scores = "[]" };
    enum sea_status status;
    int64_t condemned;
    const char *gone;

    *claimed = false;
    sea_queue_secret(who.secret);
    status = sea_queue_prepare(at, &claim->fence, &files, "[]", &condemned, err);
    if (!status && !next_worker)
        status = sea_queue_commit_last(at, &claim->fence, &what, arena, &gone, err);
    else if (!status)
        status = sea_queue_commit_next(at, &claim->fence, &what, &who, arena, &gone, arena, next,
                                       claimed, err);
    /* The answer may have been lost: the secret finds the claim, and the claim its GPUs. */
    if (!status && *claimed)
        status = sea_queue_claimed(at, &who, arena, next, claimed, err);
    if (!status && *claimed)
        status = sea_queue_claim_gpus(at, arena, next, err);
    return status;
}

static void
commit(const struct sea_claim *claim)
{
    struct sea_err err = { 0 };
    bool claimed;

    CHECK_OK(try_commit(db, claim, 0, NULL, &claimed, &err), err);
}

static int64_t
held(void)
{
    return number("SELECT count(*) FROM sea.slot WHERE kind = 'gpu' AND stage_id IS NOT NULL");
}

static void
check_invariants(void)
{
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
}

/* ---- names ---- */

static void
devices_and_lists_name_gpus(void)
{
    static const struct {
        const char *device;
        int64_t many;
        const char *visible, *array, *all;  /* array NULL: refused */
    } cases[] = {
        { NULL, 2, NULL, "{0,1}", "0,1" },          { "auto", 0, NULL, "{}", "" },
        { "cuda", 3, NULL, "{0,1,2}", "0,1,2" },    { "cuda:1", 4, NULL, "{1}", "1" },
        { "cpu", 4, NULL, "{}", "" },               { "cpu:8", 4, NULL, "{}", "" },
        { "auto", 4, "2,3", "{2,3}", "2,3" },       { "cuda:1", 4, "6, 7", "{7}", "7" },
        { "auto", 1, "2,3", "{2}", "2" },           { "auto", 4, "", "{}", "" },
        { "auto", 4, "1,-1,2", "{1}", "1" },
        { "auto", 4, "GPU-a,GPU-b", "{0,1}", "GPU-a,GPU-b" },
        { "cuda:1", 4, "GPU-a,MIG-b", "{1}", "MIG-b" }, { "cuda:0", 0, NULL, "{}", "" },
        { "cuda:4", 4, NULL, NULL, NULL },          { "cuda", 4, "-1", NULL, NULL },
        { "cuda:x", 4, NULL, NULL, NULL },          { "gpu", 4, NULL, NULL, NULL },
        { "cpu:", 4, NULL, NULL, NULL },            { "auto", 251, NULL, NULL, NULL },
    };

    arena = arena ? arena : sea_arena_create(NULL, "test");
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sea_err err = { 0 };
        struct sea_gpus gpus;
        enum sea_status status = sea_gpus_list(cases[i].device, cases[i].many, cases[i].visible,
                                               &gpus, &err);

        CHECK_INT(status != SEA_OK, cases[i].array == NULL);
        CHECK_STR(sea_gpus_array(&gpus, arena), cases[i].array ? cases[i].array : "{}");
        if (cases[i].all)
            CHECK_STR(sea_gpus_visible(&gpus, gpus.number, (size_t)gpus.count, arena),
                      cases[i].all);
        if (status)
            CHECK(err.message[0]);
    }
}

static void
a_stage_gets_the_environment_with_its_gpus(void)
{
    char **env;
    int found = 0, others = 0;

    arena = arena ? arena : sea_arena_create(NULL, "test");
    CHECK_INT(setenv(SEA_GPUS_VARIABLE, "4,5", 1), 0);
    env = sea_gpus_environment("5", arena);
    CHECK_INT(unsetenv(SEA_GPUS_VARIABLE), 0);
    for (; *env; env++) {
        found += strcmp(*env, SEA_GPUS_VARIABLE "=5") == 0;
        others += strncmp(*env, "PATH=", 5) == 0;
        CHECK(strcmp(*env, SEA_GPUS_VARIABLE "=4,5") != 0);
    }
    CHECK_INT(found, 1);
    CHECK_INT(others, 1);
}

/* ---- what is needed ---- */

static void
needs_come_from_the_experiment(void)
{
    fresh();
    submit("{\"name\":\"a\",\"seed\":1,\"stages\":{\"label\":{},\"align\":{},\"tune\":{},"
           "\"eval\":{\"suite\":\"s\"}},\"resources\":{\"gpus\":4}}", NULL);
    CHECK_STR(text("SELECT string_agg(stage || ' ' || gpus, ', ' ORDER BY id) FROM sea.stage_run"),
              "label 1, align 4, tune 4, eval 1");
    CHECK_STR(text("SELECT string_agg(sea.gpus_needed('tune', c::jsonb)::text, ' ' ORDER BY n)"
                   " FROM unnest(ARRAY['{}',"
                   " '{\"resources\": {\"device\": \"cpu:4\", \"gpus\": 4}}',"
                   " '{\"resources\": {\"gpus\": 0}}',"
                   " '{\"resources\": {\"gpus\": 0, \"device\": \"cuda\"}}',"
                   " '{\"resources\": {\"gpus\": \"many\"}}', '{\"resources\": {\"gpus\": 1e9}}',"
                   " '{\"resources\": {\"gpus\": -3}}']) WITH ORDINALITY AS x (c, n)"),
              "1 0 0 1 1 1024 0");
    ask(3);
    tick();
    CHECK_STR(text("SELECT string_agg(gpus::text, ' ' ORDER BY stage_id) FROM sea.todo"
                   " WHERE list = 'ready'"), "1 3");
}

/* ---- taking and freeing ---- */

static void
no_gpu_is_given_out_twice(void)
{
    struct sea_claim claims[6];
    int64_t a, b;

    fresh();
    a = add("a", "{0,1,2,3}");
    b = add("b", "{0,1}");
    for (int i = 0; i < 4; i++)
        ask(2);
    tick();
    CHECK_STR(take(a, &claims[0]), "0,1");
    CHECK_STR(take(a, &claims[1]), "2,3");
    CHECK_STR(take(a, &claims[2]), "-");
    CHECK_STR(take(b, &claims[2]), "0,1");
    CHECK_STR(take(b, &claims[3]), "-");
    check_invariants();
    commit(&claims[0]);
    CHECK_STR(take(a, &claims[3]), "0,1");
    CHECK_STR(take(a, &claims[4]), "-");
    check_invariants();
    CHECK_STR(text("SELECT string_agg(host || gpu || coalesce(':' || experiment_id, ''), ' '"
                   " ORDER BY host, gpu) FROM sea.gpu_status"), "a0:4 a1:4 a2:2 a3:2 b0:3 b1:3");
}

static void
a_pinned_worker_takes_its_own_gpu_alone(void)
{
    struct sea_claim claims[4];
    int64_t all, pinned;

    fresh();
    all = add("a", "{0,1,2,3}");
    pinned = add("a", "{2}");
    ask(2);
    ask(1);
    ask(1);
    tick();
    CHECK_STR(take(pinned, &claims[0]), "2");   /* the first one does not fit it */
    CHECK_STR(take(pinned, &claims[1]), "-");
    CHECK_STR(take(all, &claims[1]), "0,1");
    CHECK_STR(take(all, &claims[2]), "3");
    check_invariants();
}

static void
who_has_no_gpus_claims_as_before(void)
{
    struct sea_claim claims[4];
    int64_t with, without;

    fresh();
    with = add("a", "{0}");
    without = add("a", "{}");
    ask(1);
    ask(4);
    ask(-1);
    tick();
    CHECK_STR(take(with, &claims[0]), "0");
    CHECK_STR(take(with, &claims[1]), "");      /* for the CPU, over one that needs four */
    CHECK_INT(claims[1].experiment_id, 3);
    CHECK_STR(take(without, &claims[2]), "");
    CHECK_INT(claims[2].experiment_id, 2);
    CHECK_INT(held(), 1);
    check_invariants();
}

/* Every way in which an attempt ends, and what the next claim then gets. */
static void
every_end_frees_the_gpus(void)
{
    static const char *const ways[] = { "commit", "next", "batch", "fail", "release", "cancel",
                                        "rescue" };
    struct sea_err err = { 0 }, why = { 0 };
    struct sea_claim claim, next;
    char sql[400], state[16];
    int64_t worker;
    bool claimed;

    fresh();
    worker = add("a", "{0,1,2,3}");
    sea_fail(&why, SEA_E_IO, "disk");
    for (size_t i = 0; i < sizeof(ways) / sizeof(ways[0]); i++) {
        const char *way = ways[i];
        int64_t experiment = ask(4);

        tick();
        CHECK(claim_by(worker, &claim));
        CHECK_INT(claim.experiment_id, experiment);
        CHECK_INT(held(), 4);
        ask(4);
        tick();
        CHECK(!claim_by(worker, &next));
        claimed = false;
        if (strcmp(way, "commit") == 0) {
            commit(&claim);
        } else if (strcmp(way, "next") == 0) {
            CHECK_OK(try_commit(db, &claim, worker, &next, &claimed, &err), err);
            CHECK(claimed);
            CHECK_INT(next.gpus_count, 4);
        } else if (strcmp(way, "batch") == 0) {
            snprintf(sql, sizeof(sql), "SELECT cardinality(sea.commit_batch(" BATCH "))",
                     (long long)claim.fence.stage_id, (long long)claim.fence.epoch,
                     claim.fence.secret);
            CHECK_INT(number(sql), 1);
        } else if (strcmp(way, "fail") == 0) {
            CHECK_OK(sea_queue_fail(db, &claim.fence, "error", 70, &why, state, &err), err);
        } else if (strcmp(way, "release") == 0) {
            CHECK_OK(sea_queue_release(db, &claim.fence, "pause", 60000, &err), err);
        } else if (strcmp(way, "cancel") == 0) {
            snprintf(sql, sizeof(sql), "SELECT sea.cancel(%lld)", (long long)experiment);
            run_sql(sql);
            CHECK_OK(sea_queue_cancelled(db, &claim.fence, &err), err);
        } else {
            run_sql("UPDATE sea.lease SET expires_at = clock_timestamp() - interval '1 s'");
            CHECK_INT(tick().rescued, 1);
        }
        CHECK_INT(held(), claimed ? 4 : 0);
        if (!claimed)
            CHECK_MSG(claim_by(worker, &next), "nothing fits after %s", way);
        CHECK_INT(next.gpus_count, 4);
        commit(&next);
        CHECK_INT(held(), 0);
        run_sql("SELECT sea.cancel(id) FROM sea.experiment WHERE ended_at IS NULL");
    }
    CHECK_INT(number("SELECT count(*) FROM sea.gpu_hold h WHERE NOT"
                     " sea.hold_is_void(h.host, h.stage_id)"), 0);
}

/* ---- many at once ---- */

static void
gpu_file(char out[SEA_PATH_MAX], const char *host, int gpu)
{
    snprintf(out, SEA_PATH_MAX, "%s/gpu-%s-%d", sea_test_dir(), host, gpu);
}

/* As many GPUs as asked for, and nobody else's: a file per GPU while it is held. */
static int
use_gpus(const char *host, const struct sea_claim *claim, int64_t ms)
{
    const char *name = strstr(claim->config, "\"name\": \"g");
    char path[SEA_PATH_MAX];
    int bad = !name || claim->gpus_count != (size_t)strtol(name + 10, NULL, 10);

    for (size_t i = 0; i < claim->gpus_count; i++) {
        int fd;

        gpu_file(path, host, claim->gpus[i]);
        fd = open(path, O_WRONLY | O_CREAT | O_EXCL, 0600);
        bad += fd < 0;
        if (fd >= 0)
            close(fd);
    }
    sea_clock_sleep_ms(ms);
    for (size_t i = 0; i < claim->gpus_count; i++) {
        gpu_file(path, host, claim->gpus[i]);
        bad += unlink(path) != 0;
    }
    return bad;
}

/* Claims and commits until nothing is left, every other worker by commits that claim. Returns how
 * often something was wrong. */
static int
work_along(int index, int64_t worker)
{
    int64_t until = sea_clock_ms() + 60000;
    const char *host = index % 2 ? "a" : "b";
    struct sea_claim claim, next;
    struct sea_err err = { 0 };
    bool claimed = false;
    int bad = 0;

    db = connect_more();
    while (sea_clock_ms() < until && !bad) {
        bad += !claimed && try_claim(db, worker, &claim, &claimed, &err);
        if (!bad && claimed) {
            bad += use_gpus(host, &claim, 2 + index);
            bad += try_commit(db, &claim, index % 4 < 2 ? worker : 0, &next, &claimed, &err) !=
                   SEA_OK;
            claim = next;
        } else if (number("SELECT count(*) FROM sea.experiment WHERE ended_at IS NULL") == 0) {
            return bad;
        } else {
            sea_clock_sleep_ms(2 + index);
        }
    }
    if (err.status)
        sea_err_print(&err, "worker", stdout);
    fflush(stdout);
    return bad + 1;
}

/* Two machines with four GPUs each, four workers on each; stage runs that need one, two or four. */
static void
work_together(const char *what)
{
    pid_t pids[WORKERS];
    int64_t began, most = 0, looks = 0;
    int how;

    for (int i = 0; i < STAGES; i++)
        ask(i % 8 == 0 ? 4 : i % 3 == 0 ? 2 : 1);
    for (int i = 0; i < 8; i++)
        tick();
    began = sea_clock_ms();
    for (int i = 0; i < WORKERS; i++) {
        int64_t worker = add(i % 2 ? "a" : "b", "{0,1,2,3}");

        pids[i] = fork();
        if (pids[i] == 0) {
            end_with_test();
            _exit(work_along(i, worker));
        }
    }
    while (number("SELECT count(*) FROM sea.experiment WHERE ended_at IS NULL") > 0 &&
           sea_clock_ms() - began < 60000) {
        int64_t now = number("SELECT coalesce(max(n), 0) FROM (SELECT sum(s.gpus) AS n"
                             " FROM sea.lease l JOIN sea.worker w ON w.id = l.worker_id"
                             " JOIN sea.stage_run s ON s.id = l.stage_id GROUP BY w.host) x");

        most = now > most ? now : most;
        looks++;
        check_invariants();
        sea_clock_sleep_ms(5);
    }
    for (int i = 0; i < WORKERS; i++) {
        waitpid(pids[i], &how, 0);
        CHECK_MSG(WIFEXITED(how) && WEXITSTATUS(how) == 0, "worker %d shared a GPU or failed", i);
    }
    printf("%s: %d stage runs on 8 GPUs of two machines in %lld ms, %lld looks: at most %lld GPUs"
           " of a machine were held\n", what, STAGES, (long long)(sea_clock_ms() - began),
           (long long)looks, (long long)most);
    CHECK(looks > 10);
    CHECK(most > 0 && most <= 4);
    CHECK_INT(held(), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'done'"), STAGES);
}

static void
concurrent_claims_share_nothing(void)
{
    fresh();
    work_together("patient");
    fresh();
    run_sql("ALTER TABLE sea.gpu_hold ALTER holds_at SET DEFAULT clock_timestamp()");
    work_together("without patience");
    CHECK_INT(number("SELECT count(*) FROM sea.gpu_hold h WHERE NOT"
                     " sea.hold_is_void(h.host, h.stage_id)"), 0);
}

/* ---- patience ---- */

/* Lets a stream of stage runs that take one GPU pass on four workers of machine a: each commits in
 * turn and takes the next one. Returns the number of commits before experiment want was claimed, or
 * most. */
static int
stream(const int64_t workers[4], struct sea_claim claims[4], bool busy[4], int64_t want, int most)
{
    for (int n = 0; n < most; n++) {
        int w = n % 4;

        ask(1);
        tick();
        if (busy[w])
            commit(&claims[w]);
        busy[w] = claim_by(workers[w], &claims[w]);
        if (busy[w] && claims[w].experiment_id == want)
            return n + 1;
    }
    return most;
}

static void
many_gpus_are_got_beside_a_stream_of_single_ones(void)
{
    struct sea_claim claims[4];
    int64_t workers[4], want;
    bool busy[4] = { false };
    int commits;

    fresh();
    for (int i = 0; i < 4; i++)
        workers[i] = add("a", "{0,1,2,3}");
    ask(1);
    ask(1);
    tick();
    for (int i = 0; i < 2; i++)
        busy[i] = claim_by(workers[i], &claims[i]);
    want = ask(4);
    tick();
    CHECK_INT(stream(workers, claims, busy, want, 20), 20);     /* it is passed */
    CHECK_INT(number("SELECT count(*) FROM sea.gpu_hold"), 1);
    CHECK(number("SELECT extract(epoch FROM holds_at - clock_timestamp())::bigint"
                 " FROM sea.gpu_hold") > 50);
    CHECK_STR(text("SELECT reason FROM sea.why_pending WHERE experiment_id = 3"),
              "waits for 4 free GPUs of one machine; all workers are busy;"
              " 0 before it in the queue");
    run_sql("UPDATE sea.gpu_hold SET holds_at = clock_timestamp()");       /* a minute later */
    CHECK_STR(text("SELECT split_part(reason, '; ', 2) FROM sea.why_pending"
                   " WHERE experiment_id = 3"), "machine \"a\" is kept for it");
    CHECK_STR(text("SELECT string_agg(DISTINCT kept_for::text, ' ') FROM sea.gpu_status"), "3");
    commits = stream(workers, claims, busy, want, 20);
    printf("four GPUs beside a stream of single ones: claimed with the commit number %d after"
           " the hold began\n", commits);
    CHECK(commits <= 4);
    CHECK_INT(held(), 4);
    CHECK_INT(number("SELECT count(*) FROM sea.gpu_hold"), 0);
    check_invariants();
}

/* A commit that claims takes its own GPU again: without patience another queue never gets it. */
static void
a_gpu_goes_from_queue_to_queue(void)
{
    struct sea_claim claim, next;
    struct sea_err err = { 0 };
    int64_t mine, other;
    bool claimed;

    fresh();
    mine = add("a", "{0}");
    ask(1);
    tick();
    queue = "other";
    other = add("a", "{0}");
    queue = "default";
    CHECK_STR(take(mine, &claim), "0");
    queue = "other";
    ask(1);
    tick();
    CHECK_STR(take(other, &next), "-");
    queue = "default";
    for (int i = 0; i < 5; i++) {
        ask(1);
        tick();
        CHECK_OK(try_commit(db, &claim, mine, &next, &claimed, &err), err);
        CHECK(claimed);
        claim = next;
    }
    run_sql("UPDATE sea.gpu_hold SET holds_at = clock_timestamp()");
    ask(1);
    tick();
    CHECK_OK(try_commit(db, &claim, mine, &next, &claimed, &err), err);
    CHECK(!claimed);
    queue = "other";
    CHECK_STR(take(other, &next), "0");
    queue = "default";
    check_invariants();
}

/* Machine a is kept for an experiment with four GPUs; one GPU is in use. */
static void
arrange_hold(int64_t *one, struct sea_claim *claim)
{
    struct sea_claim more;

    fresh();
    *one = add("a", "{0,1,2,3}");
    ask(1);
    tick();
    CHECK_STR(take(*one, claim), "0");
    ask(4);
    tick();
    CHECK_STR(take(*one, &more), "-");
    run_sql("UPDATE sea.gpu_hold SET holds_at = clock_timestamp()");
    ask(1);
    ask(-1);
    tick();
}

static void
a_kept_machine_is_kept_from_all_its_workers(void)
{
    int64_t one, other, pinned;
    struct sea_claim claim, more;

    arrange_hold(&one, &claim);
    pinned = add("a", "{3}");
    other = add("b", "{0}");
    CHECK_STR(take(pinned, &more), "");         /* what needs no GPU is not held up */
    CHECK_INT(more.experiment_id, 4);
    CHECK_STR(take(pinned, &more), "-");
    CHECK_STR(take(one, &more), "-");
    CHECK_STR(take(other, &more), "0");         /* nor is another machine */
    CHECK_INT(more.experiment_id, 3);
    ask(1);
    tick();
    run_sql("SELECT sea.set_priority(5, 9)");   /* what is more urgent goes on */
    CHECK_STR(take(pinned, &more), "3");
    commit(&more);
    ask(1);
    tick();
    CHECK_STR(text("SELECT reason FROM sea.why_pending WHERE experiment_id = 6"),
              "machine \"a\" is kept for stage run 2; all workers are busy;"
              " 1 before it in the queue");
    commit(&claim);
    CHECK_STR(take(pinned, &more), "-");        /* all are free: not for this one */
    CHECK_STR(take(one, &more), "0,1,2,3");
    CHECK_INT(more.experiment_id, 2);
    check_invariants();
}

static void
a_void_hold_holds_nothing(void)
{
    static const char *const ends[] = {
        "SELECT sea.cancel(2)", "SELECT sea.set_limit('user', session_user::text, 1)",
        "SELECT sea.set_limit('queue', 'default', 0)",
        "UPDATE sea.worker SET state = 'lost', ended_at = clock_timestamp() WHERE id = 1",
        "SELECT sea.drain(1)",
    };
    struct sea_claim claim, more;
    int64_t one, next;

    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        arrange_hold(&one, &claim);
        CHECK_INT(number("SELECT sea.hold_is_void(host, stage_id) FROM sea.gpu_hold"), 0);
        run_sql(ends[i]);
        CHECK_INT(number("SELECT sea.hold_is_void(host, stage_id) FROM sea.gpu_hold"), 1);
        run_sql("SELECT sea.set_limit('user', session_user::text, NULL)");
        run_sql("SELECT sea.set_limit('queue', 'default', NULL)");
        if (number("SELECT sea.hold_is_void(host, stage_id) FROM sea.gpu_hold") == 0)
            continue;
        next = add("a", "{1,2}");
        CHECK_STR(take(next, &more), "1");
        CHECK_INT(more.experiment_id, 3);
    }
    /* the machine is gone: another one that is passed by takes the hold over */
    arrange_hold(&one, &claim);
    next = add("b", "{0,1,2,3}");
    run_sql("INSERT INTO sea.slot VALUES ('gpu', 'b', 1, 1, 1) ON CONFLICT (kind, name, number)"
            " DO UPDATE SET stage_id = 1, epoch = 1");
    run_sql("UPDATE sea.worker SET state = 'lost', ended_at = clock_timestamp() WHERE id = 1");
    CHECK_STR(take(next, &more), "1");
    CHECK_STR(text("SELECT host || ' ' || stage_id FROM sea.gpu_hold"), "b 2");
}

static void
the_reason_is_told(void)
{
    struct sea_claim claim;
    int64_t worker;

    fresh();
    worker = add("a", "{0,1}");
    add("b", "{0}");
    ask(4);
    ask(1);
    tick();
    CHECK_STR(text("SELECT reason FROM sea.why_pending WHERE experiment_id = 1"),
              "needs 4 GPUs: the largest machine of its queue has 2; a worker is free;"
              " 0 before it in the queue");
    CHECK_STR(take(worker, &claim), "0");
    CHECK_STR(take(worker, &claim), "-");
    CHECK_INT(number("SELECT count(*) FROM sea.gpu_hold"), 0);  /* it will never fit */
    run_sql("UPDATE sea.worker SET state = 'draining', drain = 'finish' WHERE host = 'b'");
    ask(1);
    ask(1);
    tick();
    CHECK_STR(take(worker, &claim), "1");
    CHECK_STR(text("SELECT split_part(reason, ';', 1) FROM sea.why_pending"
                   " WHERE experiment_id = 4"), "waits for a free GPU");
    add("c", "{}");          /* takes whatever comes */
    CHECK_STR(text("SELECT split_part(reason, ';', 1) FROM sea.why_pending"
                   " WHERE experiment_id = 1"), "a worker is free");
    CHECK_STR(sqlstate("SELECT sea.set_limit('gpu', 'a', 1)"), "LF010");
}

SEA_TEST_MAIN("gpus: reserved with claims",
              TEST(devices_and_lists_name_gpus), TEST(a_stage_gets_the_environment_with_its_gpus),
              TEST(needs_come_from_the_experiment), TEST(no_gpu_is_given_out_twice),
              TEST(a_pinned_worker_takes_its_own_gpu_alone),
              TEST(who_has_no_gpus_claims_as_before), TEST(every_end_frees_the_gpus),
              TEST(concurrent_claims_share_nothing),
              TEST(many_gpus_are_got_beside_a_stream_of_single_ones),
              TEST(a_gpu_goes_from_queue_to_queue),
              TEST(a_kept_machine_is_kept_from_all_its_workers), TEST(a_void_hold_holds_nothing),
              TEST(the_reason_is_told))
