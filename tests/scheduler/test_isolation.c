/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Every order in which two transactions of the service can meet: begin, call, commit of one and
 * of the other, all interleavings, for each pair of calls about one running stage run whose lease
 * has expired. Nobody waits for ever, nobody deadlocks, one of two rivals wins, and no invariant
 * breaks.
 */
#include <pthread.h>
#include <sched.h>
#include <stdatomic.h>

#include "tests/scheduler/service.h"

#define STEPS 3                 /* begin, call, commit */
#define HANG_MS 5000

enum call { CLAIM, HEARTBEAT, RELAY, COMMIT, NEXT, FAIL, RESCUE, CANCEL, CALLS };
static const char *const names[CALLS] = { "claim", "heartbeat", "relay", "commit", "next", "fail",
                                          "rescue", "cancel" };

struct session {
    struct sea_db *db;
    int64_t pid;                /* of its backend */
    pthread_t thread;
    char sql[STEPS][1024];
    atomic_int asked, done;     /* steps */
    char state[16];             /* SQLSTATE of the call, "" when it worked */
    char answer[64];            /* first cell of the call's answer */
    bool end;
    pthread_mutex_t lock;
    pthread_cond_t wake;
};

static struct session sessions[2];
static int64_t worker;

/* ---- sessions: threads that do one step when told ---- */

static void
do_step(struct session *s, int step)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    const char *cell;

    if (sea_db_query_text(s->db, s->sql[step], &rows, &err)) {
        if (step == 1)
            snprintf(s->state, sizeof(s->state), "%.5s",
                     strncmp(err.cause, "sqlstate ", 9) == 0 ? err.cause + 9 : "?????");
        return;
    }
    cell = step == 1 && sea_rows_count(rows) ? sea_rows_cell(rows, 0, 0) : NULL;
    if (cell)
        snprintf(s->answer, sizeof(s->answer), "%s", cell);
    sea_rows_close(rows);
}

static void *
session_run(void *arg)
{
    struct session *s = arg;

    for (;;) {
        pthread_mutex_lock(&s->lock);
        while (!s->end && s->done == s->asked)
            pthread_cond_wait(&s->wake, &s->lock);
        pthread_mutex_unlock(&s->lock);
        if (s->end)
            return NULL;
        do_step(s, s->done);
        s->done++;
    }
}

static bool
is_waiting(const struct session *s)
{
    char sql[160];

    snprintf(sql, sizeof(sql), "SELECT count(*) FROM pg_stat_activity WHERE pid = %lld AND"
             " wait_event_type = 'Lock'", (long long)s->pid);
    return number(sql) > 0;
}

/* Tells a session its next step and returns when it has done all, or waits for a lock. */
static void
tell(struct session *s)
{
    int64_t until = sea_clock_ms() + HANG_MS;
    int turns = 0;

    pthread_mutex_lock(&s->lock);
    s->asked++;
    pthread_cond_signal(&s->wake);
    pthread_mutex_unlock(&s->lock);
    while (s->done < s->asked && sea_clock_ms() < until) {
        if (++turns % 8 == 0 && is_waiting(s))
            return;
        sched_yield();
        if (turns > 40)
            sea_clock_sleep_ms(1);
    }
}

static bool
both_end(void)
{
    int64_t until = sea_clock_ms() + HANG_MS;

    while (sessions[0].done < STEPS || sessions[1].done < STEPS) {
        if (sea_clock_ms() > until)
            return false;
        sched_yield();
    }
    return true;
}

/* ---- one meeting ---- */

static struct sea_claim
set_the_stage(struct sea_arena *arena, int turn)
{
    struct sea_artifact file = { .path = "x", .bytes = 1 };
    struct sea_claim claim = { 0 };
    struct sea_err err = { 0 };
    int64_t condemned;
    char config[128];
    bool claimed;

    snprintf(config, sizeof(config), "{\"name\":\"a\",\"seed\":%d,\"stages\":{\"foundation\":{},"
             "\"label\":{}},\"model\":{\"vision\":{\"path\":\"@foundation\"}}}", 2 * turn);
    submit(config, NULL);
    tick();
    CHECK_OK(sea_queue_claim(db, worker, "default", 60000, arena, &claim, &claimed, &err), err);
    CHECK(claimed);
    sea_hash_bytes("x", 1, file.sha256);
    CHECK_OK(sea_queue_prepare(db, &claim.fence, &(struct sea_artifacts){ &file, 1 }, "[]",
                               &condemned, &err), err);
    snprintf(config, sizeof(config), "{\"name\":\"b\",\"seed\":%d,\"stages\":{\"label\":{}}}",
             2 * turn + 1);
    submit(config, NULL);
    tick();
    run_sql("UPDATE sea.lease SET expires_at = clock_timestamp() - interval '1 s'");
    return claim;
}

static void
write_call(struct session *s, enum call call, const struct sea_claim *claim)
{
    const struct sea_fence *f = &claim->fence;
    char fence[128], sha256[SEA_SHA256_TEXT];

    sea_hash_bytes("x", 1, sha256);
    snprintf(fence, sizeof(fence), "%lld, %lld, '%s'", (long long)f->stage_id,
             (long long)f->epoch, f->secret);
    snprintf(s->sql[0], sizeof(s->sql[0]), "BEGIN");
    snprintf(s->sql[2], sizeof(s->sql[2]), "COMMIT");
    switch (call) {
    case CLAIM:
        snprintf(s->sql[1], sizeof(s->sql[1]),
                 "SELECT stage_id FROM sea.claim(%lld, 'default', 60000)", (long long)worker);
        break;
    case HEARTBEAT:
        snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT cancel FROM sea.heartbeat(%s, 60000)",
                 fence);
        break;
    case RELAY:
        snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT sea.relay(%s, %d, '{\"metrics\": [[\"m\","
                 " 1, 1]], \"logs\": []}')", fence, s == &sessions[0] ? 1 : 2);
        break;
    case COMMIT:
        snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT sea.commit_stage(%s, '[[\"x\", \"%s\", 1]]',"
                 " '%s', '[]')", fence, sha256, sha256);
        break;
    case NEXT:
        snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT stage_id FROM sea.commit_next(%s, '[[\"x\","
                 " \"%s\", 1]]', '%s', '[]', 1, '{\"metrics\": [], \"logs\": []}', %lld, 'default',"
                 " 60000, gen_random_uuid())", fence, sha256, sha256, (long long)worker);
        break;
    case FAIL:
        snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT sea.fail_attempt(%s, 'error', 70, 'm', 'h',"
                 " '', '')", fence);
        break;
    case RESCUE:
        snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT sea.rescue()");
        break;
    default:
        snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT sea.cancel(%lld)",
                 (long long)claim->experiment_id);
    }
}

/* What must be true afterwards, whoever was first. */
static void
judge(const enum call calls[2], const struct sea_claim *claim, const char *order)
{
    int64_t id = claim->fence.stage_id;
    int ended = 0, i;
    char sql[256];

    for (i = 0; i < 2; i++) {
        const struct session *s = &sessions[i];

        CHECK_MSG(!*s->state || strcmp(s->state, "LF001") == 0, "%s with %s, %s: %s got %s",
                  names[calls[0]], names[calls[1]], order, names[calls[i]], s->state);
        if (!*s->state && (calls[i] == COMMIT || calls[i] == NEXT || calls[i] == FAIL ||
                           (calls[i] == RESCUE && strtoll(s->answer, NULL, 10) == id)))
            ended++;
    }
    CHECK_MSG(ended <= 1, "%s with %s, %s: both ended the attempt", names[calls[0]],
              names[calls[1]], order);
    snprintf(sql, sizeof(sql), "SELECT count(*) FROM sea.attempt WHERE stage_id = %lld AND epoch ="
             " %lld AND (ended_at IS NOT NULL) = %s", (long long)id, (long long)claim->fence.epoch,
             ended ? "true" : "false");
    CHECK_MSG(number(sql) == 1, "%s with %s, %s: %d ended it, the attempt says otherwise",
              names[calls[0]], names[calls[1]], order, ended);
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
    if (calls[0] == CLAIM && calls[1] == CLAIM)
        CHECK_MSG(strcmp(sessions[0].answer, sessions[1].answer) != 0, "%s: both got %s", order,
                  sessions[0].answer);
}

static void
clear_away(void)
{
    run_sql("DELETE FROM sea.checkpoint");
    run_sql("SELECT sea.cancel(id) FROM sea.experiment WHERE ended_at IS NULL");
    run_sql("UPDATE sea.lease SET expires_at = clock_timestamp() - interval '1 s'");
    while (number("SELECT sea.rescue()") > 0)
        ;
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE ended_at IS NULL"), 0);
}

/* order: six letters, which session moves. */
static void
meet(const enum call calls[2], const char *order, struct sea_arena *arena, int turn)
{
    struct sea_claim claim = set_the_stage(arena, turn);
    int i;

    for (i = 0; i < 2; i++) {
        sessions[i].asked = sessions[i].done = 0;
        sessions[i].state[0] = sessions[i].answer[0] = 0;
        write_call(&sessions[i], calls[i], &claim);
    }
    for (i = 0; i < 2 * STEPS; i++)
        tell(&sessions[order[i] == 'B']);
    if (CHECK_MSG(both_end(), "%s with %s, %s: somebody waits for ever", names[calls[0]],
                  names[calls[1]], order))
        judge(calls, &claim, order);
    clear_away();
    sea_arena_reset(arena);
}

static void
open_sessions(void)
{
    int i;

    for (i = 0; i < 2; i++) {
        struct sea_rows *rows = NULL;
        struct sea_err err = { 0 };

        sessions[i] = (struct session){ .db = connect_more() };
        CHECK_OK(sea_db_query_text(sessions[i].db, "SELECT pg_backend_pid() AS pid", &rows, &err),
                 err);
        sessions[i].pid = sea_rows_int(rows, 0, "pid", &err);
        sea_rows_close(rows);
        pthread_mutex_init(&sessions[i].lock, NULL);
        pthread_cond_init(&sessions[i].wake, NULL);
        pthread_create(&sessions[i].thread, NULL, session_run, &sessions[i]);
    }
}

static void
close_sessions(void)
{
    int i;

    for (i = 0; i < 2; i++) {
        pthread_mutex_lock(&sessions[i].lock);
        sessions[i].end = true;
        pthread_cond_signal(&sessions[i].wake);
        pthread_mutex_unlock(&sessions[i].lock);
        pthread_join(sessions[i].thread, NULL);
        sea_db_close(sessions[i].db);
    }
}

static void
every_order_of_every_pair(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    enum call calls[2];
    int i, bits, met = 0;

    service_begin();
    run_sql("ALTER SYSTEM SET fsync = off");
    run_sql("SELECT pg_reload_conf()");
    worker = add_worker();
    open_sessions();
    for (calls[0] = CLAIM; calls[0] < CALLS; calls[0]++)
        for (calls[1] = calls[0]; calls[1] < CALLS; calls[1]++)
            for (bits = 0; bits < 64; bits++) {
                char order[2 * STEPS + 1] = "";

                if (__builtin_popcount((unsigned)bits) != STEPS)
                    continue;
                for (i = 0; i < 2 * STEPS; i++)
                    order[i] = bits >> i & 1 ? 'B' : 'A';
                meet(calls, order, arena, met++);
            }
    printf("%d orders of %d pairs of calls\n", met, CALLS * (CALLS + 1) / 2);
    CHECK_INT(met, 20 * CALLS * (CALLS + 1) / 2);
    close_sessions();
    sea_arena_destroy(arena);
}

/* The marks of several queues are locked in one order, whatever the order of the stage runs: the
 * one with the smaller id is in the queue whose mark comes last. */
static void
wakes_of_several_queues_do_not_deadlock(void)
{
    struct session *s = &sessions[0];
    int64_t until = sea_clock_ms() + HANG_MS;

    service_begin();
    open_sessions();
    run_sql("SELECT sea.submit(jsonb_build_object('name', q, 'stages', '{\"label\": {}}'::jsonb,"
            " 'resources', jsonb_build_object('queue', q)))"
            " FROM unnest(ARRAY['one', 'two']) AS q ORDER BY hashtext(q) DESC");
    run_sql("UPDATE sea.stage_run SET key = repeat(id::text, 64), state = 'ready', ready_at = now()");
    run_sql("UPDATE sea.stage_run SET state = 'running', last_epoch = 1");
    run_sql("UPDATE sea.stage_run SET state = 'backoff', run_at = now() - interval '1 s'");
    CHECK_INT(number("SELECT count(*) FROM sea.todo WHERE list = 'backoff'"), 2);
    snprintf(s->sql[0], sizeof(s->sql[0]), "BEGIN");
    snprintf(s->sql[1], sizeof(s->sql[1]), "SELECT sea.wake()");
    snprintf(s->sql[2], sizeof(s->sql[2]), "COMMIT");
    run_sql("BEGIN");
    run_sql("SELECT pg_advisory_xact_lock(1935819115, least(hashtext('one'), hashtext('two')))");
    tell(s);
    tell(s);
    CHECK(is_waiting(s));
    run_sql("SELECT pg_advisory_xact_lock(1935819115, greatest(hashtext('one'), hashtext('two')))");
    run_sql("COMMIT");
    while (s->done < 2 && sea_clock_ms() < until)
        sched_yield();
    tell(s);
    CHECK_INT(s->done, STEPS);
    CHECK_STR(s->state, "");
    CHECK_STR(s->answer, "2");
    close_sessions();
}

SEA_TEST_MAIN("isolation: two transactions in every order", TEST(every_order_of_every_pair),
              TEST(wakes_of_several_queues_do_not_deadlock))
