/* SPDX-License-Identifier: Apache-2.0 */
/* Every event in every state of a stage run: it moves as the table says, or nothing moves. */
#include "tests/scheduler/service.h"

#define GRAPH "{\"name\":\"g\",\"seed\":1,\"model\":{\"vision\":{\"path\":\"@foundation\"}}," \
              "\"stages\":{\"foundation\":{},\"label\":{}}}"
#define ONE "{\"name\":\"one\",\"seed\":1,\"stages\":{\"label\":{}}}"

enum state { BLOCKED, WAITING, READY, RUNNING, BACKOFF, QUARANTINED, DONE, CACHED, FAILED, SKIPPED,
             CANCELLED, STATES };
static const char *const state_names[STATES] = { "blocked", "waiting", "ready", "running",
    "backoff", "quarantined", "done", "cached", "failed", "skipped", "cancelled" };

/* @fence: stage_id, epoch, 'secret' of the attempt, or of none. */
static const struct {
    const char *name, *sql;
} events[] = {
    { "claim", "SELECT * FROM sea.claim(1, 'default', 60000)" },
    { "claim_batch", "SELECT * FROM sea.claim_batch(1, 'default', 60000, 8)" },
    { "start", "SELECT sea.start_attempt(@fence, 7, NULL, NULL, NULL)" },
    { "heartbeat", "SELECT * FROM sea.heartbeat(@fence, 60000)" },
    { "relay", "SELECT sea.relay(@fence, 1, '{\"metrics\": [], \"logs\": []}')" },
    { "checkpoint", "SELECT sea.add_checkpoint(@fence, 3, '1.1.3', '[]')" },
    { "prepare", "SELECT sea.prepare_commit(@fence, '[]', '[]')" },
    { "answers", "SELECT sea.add_answers(@fence, 'b', 's', false, 0, '[]')" },
    { "commit", "SELECT sea.commit_stage(@fence, '[]', repeat('a', 64), '[]')" },
    { "commit next", "SELECT * FROM sea.commit_next(@fence, '[]', repeat('a', 64), '[]', NULL, NULL,"
                     " 1, 'default', 60000, gen_random_uuid())" },
    { "fail error", "SELECT sea.fail_attempt(@fence, 'error', 70, 'm', '', '', '')" },
    { "fail oom", "SELECT sea.fail_attempt(@fence, 'oom', 69, 'm', '', '', '')" },
    { "fail timeout", "SELECT sea.fail_attempt(@fence, 'timeout', 75, 'm', '', '', '')" },
    { "fail infra", "SELECT sea.fail_attempt(@fence, 'infra', 69, 'm', '', '', '')" },
    { "fail preempted", "SELECT sea.fail_attempt(@fence, 'preempted', 137, 'm', '', '', '')" },
    { "fail invalid", "SELECT sea.fail_attempt(@fence, 'invalid', 65, 'm', '', '', '')" },
    { "snooze", "SELECT sea.release_attempt(@fence, 'pause', 60000)" },
    { "acknowledge cancel", "SELECT sea.ack_cancel(@fence)" },
    { "rescue", "SELECT sea.rescue()" },
    { "wake", "SELECT sea.wake()" },
    { "resolve", "SELECT sea.resolve(@stage, repeat('b', 64))" },
    { "resolve failed", "SELECT sea.resolve_failed(@stage, 'no data')" },
    { "resolve later", "SELECT sea.resolve_later(@stage, 'busy')" },
    { "rescan", "SELECT sea.rescan()" },
    { "cancel", "SELECT sea.cancel(@experiment)" },
    { "release quarantine", "SELECT sea.release_quarantine(@stage, 'mended')" },
    { "give up quarantine", "SELECT sea.give_up_quarantine(@stage, 'no use')" },
    { "set priority", "SELECT sea.set_priority(@experiment, 5)" },
    { "sweep", "SELECT sea.sweep()" },
};
#define EVENTS (sizeof(events) / sizeof(events[0]))

/* All that moves; what is not here leaves the state as it is. */
static const struct {
    enum state from;
    const char *event;
    enum state to;
} moves[] = {
    { READY, "claim", RUNNING }, { READY, "claim_batch", RUNNING },
    { RUNNING, "commit", DONE }, { RUNNING, "commit next", DONE },
    { RUNNING, "fail error", BACKOFF },
    { RUNNING, "fail oom", BACKOFF }, { RUNNING, "fail timeout", BACKOFF },
    { RUNNING, "fail infra", BACKOFF }, { RUNNING, "fail preempted", BACKOFF },
    { RUNNING, "fail invalid", FAILED }, { RUNNING, "snooze", BACKOFF },
    { RUNNING, "rescue", BACKOFF }, { BACKOFF, "wake", READY }, { WAITING, "resolve", READY },
    { WAITING, "resolve failed", FAILED }, { BLOCKED, "cancel", CANCELLED },
    { WAITING, "cancel", CANCELLED }, { READY, "cancel", CANCELLED },
    { BACKOFF, "cancel", CANCELLED }, { QUARANTINED, "cancel", CANCELLED },
    { QUARANTINED, "release quarantine", READY }, { QUARANTINED, "give up quarantine", FAILED },
};

/* Calls that a running attempt makes without moving. */
static bool
is_fenced(const char *sql)
{
    return strstr(sql, "@fence") != NULL;
}

static struct sea_claim claim;
static struct sea_arena *arena;

static void
take(int64_t ttl_ms)
{
    struct sea_err err = { 0 };
    bool claimed;

    CHECK_OK(sea_queue_claim(db, 1, "default", ttl_ms, arena, &claim, &claimed, &err), err);
    CHECK(claimed);
}

static void
finish(const char *class)
{
    struct sea_artifact file = { .path = "x", .bytes = 1 };
    struct sea_artifacts files = { .at = &file, .count = 1 };
    struct sea_err err = { 0 }, why = { 0 };
    int64_t condemned;
    const char *gone;
    char state[16];

    sea_hash_bytes("x", 1, file.sha256);
    sea_fail(&why, SEA_E_IO, "disk");
    if (class) {
        CHECK_OK(sea_queue_fail(db, &claim.fence, class, 70, &why, state, &err), err);
        return;
    }
    CHECK_OK(sea_queue_prepare(db, &claim.fence, &files, "[]", &condemned, &err), err);
    CHECK_OK(sea_queue_commit(db, &claim.fence, &files, file.sha256, "[]", NULL, arena, &gone,
                              &err), err);
}

static void
empty_tables(void)
{
    run_sql("DO $$ BEGIN EXECUTE (SELECT 'TRUNCATE ' || string_agg(oid::regclass::text, ', ') ||"
            " ' RESTART IDENTITY' FROM pg_class WHERE relnamespace = 'sea'::regnamespace AND"
            " relkind IN ('r', 'p') AND relname <> 'migration'); END $$");
    add_worker();
    claim = (struct sea_claim){ 0 };
}

/* Brings one stage run into the state, by events alone; returns its id. */
static int64_t
arrange(enum state state)
{
    empty_tables();
    submit(state == BLOCKED || state == SKIPPED ? GRAPH : ONE, NULL);
    if (state != WAITING)
        tick();
    run_sql("UPDATE sea.stage_run SET backoff_ms = 600000");
    switch (state) {
    case RUNNING:
        take(60000);
        break;
    case BACKOFF:
        take(60000);
        finish("error");
        break;
    case QUARANTINED:
        run_sql("UPDATE sea.stage_run SET losses_max = 0");
        take(1);
        sea_clock_sleep_ms(3);
        CHECK(number("SELECT sea.rescue()") > 0);
        break;
    case DONE:
        take(60000);
        finish(NULL);
        break;
    case CACHED:
        take(60000);
        finish(NULL);
        submit(ONE, NULL);
        tick();
        return 2;
    case FAILED:
        take(60000);
        finish("invalid");
        break;
    case SKIPPED:
        take(60000);
        finish("invalid");
        return 2;
    case CANCELLED:
        run_sql("SELECT sea.cancel(1)");
        break;
    default:
        break;
    }
    return state == BLOCKED ? 2 : 1;
}

static void
fill_in(char *out, size_t room, const char *sql, int64_t id)
{
    char fence[160], stage[24], experiment[96];
    const char *at;
    size_t n = 0;

    snprintf(stage, sizeof(stage), "%lld", (long long)id);
    snprintf(experiment, sizeof(experiment), "(SELECT experiment_id FROM sea.stage_run WHERE id ="
             " %lld)", (long long)id);
    snprintf(fence, sizeof(fence), "%lld, %lld, '%s'", (long long)id,
             (long long)(claim.fence.epoch ? claim.fence.epoch : 1),
             claim.fence.secret[0] ? claim.fence.secret : "00000000-0000-0000-0000-000000000000");
    for (at = sql; *at && n + 1 < room;) {
        const char *put = strncmp(at, "@fence", 6) == 0        ? fence
                          : strncmp(at, "@stage", 6) == 0      ? stage
                          : strncmp(at, "@experiment", 11) == 0 ? experiment
                                                                : NULL;

        if (!put) {
            out[n++] = *at++;
            continue;
        }
        n += (size_t)snprintf(out + n, room - n, "%s", put);
        at += put == experiment ? 11 : 6;
    }
    out[n] = 0;
}

static void
every_event_in_every_state(void)
{
    char sql[600], ask[96];
    int moved = 0, refused = 0, nothing = 0;
    size_t e, i;
    int64_t id;
    int s;

    service_begin();
    run_sql("ALTER SYSTEM SET fsync = off");
    run_sql("SELECT pg_reload_conf()");
    arena = sea_arena_create(NULL, "test");
    for (s = 0; s < STATES; s++) {
        id = arrange((enum state)s);
        snprintf(ask, sizeof(ask), "SELECT state FROM sea.stage_run WHERE id = %lld",
                 (long long)id);
        CHECK_STR(text(ask), state_names[s]);
        for (e = 0; e < EVENTS; e++) {
            enum state want = (enum state)s;
            const char *got, *code;

            for (i = 0; i < sizeof(moves) / sizeof(moves[0]); i++)
                if ((int)moves[i].from == s && strcmp(moves[i].event, events[e].name) == 0)
                    want = moves[i].to;
            fill_in(sql, sizeof(sql), events[e].sql, id);
            run_sql("BEGIN");           /* the next event meets the same state */
            /* what time would bring about */
            if (strcmp(events[e].name, "rescue") == 0)
                run_sql("UPDATE sea.lease SET expires_at = clock_timestamp() - interval '1 s'");
            if (strcmp(events[e].name, "wake") == 0)
                run_sql("UPDATE sea.stage_run SET run_at = clock_timestamp() WHERE state ="
                        " 'backoff'");
            code = sqlstate(sql);
            CHECK_MSG(!*code || strncmp(code, "LF0", 3) == 0, "%s in %s: sqlstate %s",
                      events[e].name, state_names[s], code);
            if (is_fenced(events[e].sql) && s != RUNNING)
                CHECK_MSG(strcmp(code, "LF001") == 0, "%s in %s was not refused but \"%s\"",
                          events[e].name, state_names[s], code);
            moved += (int)want != s;
            refused += *code != 0;
            nothing += (int)want == s && !*code;
            if (*code)
                run_sql("ROLLBACK");
            got = text(ask);
            CHECK_MSG(strcmp(got, state_names[want]) == 0, "%s in %s leads to %s, want %s",
                      events[e].name, state_names[s], got, state_names[want]);
            if (!*code)
                run_sql("ROLLBACK");
        }
    }
    printf("%d states, %zu events: %d pairs moved, %d were refused, %d changed nothing\n", STATES,
           EVENTS, moved, refused, nothing);
    CHECK_INT(moved, (int)(sizeof(moves) / sizeof(moves[0])));
    sea_arena_destroy(arena);
}

SEA_TEST_MAIN("states: every event in every state", TEST(every_event_in_every_state))
