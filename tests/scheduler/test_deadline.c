/* SPDX-License-Identifier: Apache-2.0 */
/* Deadlines of stage runs that wait, in every state; and what configurations wish for that is
 * none of the numbers that they need. */
#include "tests/scheduler/service.h"

#define HOUR "0.00005"          /* 180 ms */
#define WAIT "\"resources\":{\"wait_hours\":" HOUR "}"
#define TOTAL "\"resources\":{\"total_hours\":" HOUR "}"
#define CHAIN "\"model\":{\"vision\":{\"path\":\"@foundation\"}}," \
              "\"stages\":{\"foundation\":{},\"label\":{}}"
#define PAUSE_MS 250

static struct sea_arena *arena;

static void
begin(void)
{
    service_begin();
    if (!arena)
        arena = sea_arena_create(NULL, "test");
}

static void
end(void)
{
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
}

static struct sea_claim
take(int64_t worker)
{
    struct sea_claim claim = { 0 };
    struct sea_err err = { 0 };
    bool claimed = false;

    CHECK_OK(sea_queue_claim(db, worker, "default", 60000, arena, &claim, &claimed, &err), err);
    CHECK(claimed);
    return claim;
}

static void
commit(const struct sea_claim *claim)
{
    struct sea_artifact file = { .path = "x", .bytes = 1 };
    struct sea_artifacts files = { .at = &file, .count = 1 };
    struct sea_err err = { 0 };
    int64_t condemned;
    const char *gone;

    sea_hash_bytes("x", 1, file.sha256);
    CHECK_OK(sea_queue_prepare(db, &claim->fence, &files, "[]", &condemned, &err), err);
    CHECK_OK(sea_queue_commit(db, &claim->fence, &files, file.sha256, "[]", NULL, arena, &gone,
                              &err), err);
}

static const char *
states(void)
{
    return text("SELECT string_agg(s.state, ' ' ORDER BY s.id) || ', ' || max(e.state)"
                " FROM sea.stage_run s JOIN sea.experiment e ON e.id = s.experiment_id");
}

static void
ready_too_long_fails_and_says_why(void)
{
    begin();
    submit("{\"name\":\"a\",\"seed\":1," WAIT "," CHAIN "}", NULL);
    CHECK_INT(tick().timed_out, 0);
    CHECK_STR(states(), "ready blocked, queued");
    sea_clock_sleep_ms(PAUSE_MS);
    CHECK_INT(tick().timed_out, 1);
    CHECK_STR(states(), "failed skipped, failed");
    CHECK_STR(text("SELECT reason FROM sea.stage_run WHERE stage = 'foundation'"),
              "timed out: waited 0 s for its start, may wait 0 s (resources.wait_hours); no worker "
              "is there for queue \"default\"");
    CHECK_STR(text("SELECT reason FROM sea.stage_run WHERE stage = 'label'"),
              "foundation was failed");
    CHECK_INT(number("SELECT count(*) FROM sea.todo"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.flight"), 0);
    end();
}

static void
the_wait_counts_from_the_parents_end(void)
{
    struct sea_claim claim;
    int64_t worker;

    begin();
    worker = add_worker();
    submit("{\"name\":\"a\",\"seed\":1," WAIT "," CHAIN "}", NULL);
    tick();
    claim = take(worker);
    sea_clock_sleep_ms(PAUSE_MS);
    CHECK_INT(tick().timed_out, 0);             /* it runs, and its child is blocked */
    CHECK_STR(states(), "running blocked, running");
    commit(&claim);
    CHECK_INT(tick().timed_out, 0);             /* long after its submission */
    CHECK_STR(states(), "done ready, running");
    sea_clock_sleep_ms(PAUSE_MS + 1000);        /* an attempt is looked at again after a second */
    CHECK_INT(tick().timed_out, 1);
    CHECK_STR(states(), "done failed, failed");
    CHECK(strstr(text("SELECT reason FROM sea.stage_run WHERE stage = 'label'"),
                 "; a worker is free; 0 before it in the queue") != NULL);
    end();
}

static void
behind_a_quarantined_owner_of_its_key_nobody_waits_for_ever(void)
{
    struct sea_err err = { 0 }, why = { 0 };
    struct sea_claim claim;
    int64_t worker;
    char state[16];

    begin();
    worker = add_worker();
    submit("{\"name\":\"owner\",\"seed\":1,\"stages\":{\"label\":{}}}", NULL);
    run_sql("UPDATE sea.stage_run SET losses_max = 0");
    tick();
    claim = take(worker);
    sea_fail(&why, SEA_E_SERVICE, "gone");
    CHECK_OK(sea_queue_fail(db, &claim.fence, "infra", 69, &why, state, &err), err);
    CHECK_STR(state, "quarantined");
    submit("{\"name\":\"waiter\",\"seed\":1," WAIT ",\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK_STR(text("SELECT state FROM sea.stage_run WHERE id = 2"), "waiting");
    sea_clock_sleep_ms(PAUSE_MS);
    CHECK_INT(tick().timed_out, 1);
    CHECK_STR(text("SELECT state FROM sea.stage_run WHERE id = 2"), "failed");
    CHECK(strstr(text("SELECT reason FROM sea.stage_run WHERE id = 2"),
                 "waiting: stage run 1 of experiment 1 computes the same thing (quarantined") != NULL);
    CHECK_STR(text("SELECT state FROM sea.stage_run WHERE id = 1"), "quarantined");
    end();
}

/* The end of the whole experiment, with its stage in every state. */
static void
the_end_of_an_experiment_reaches_every_state(void)
{
    static const char *const wants[] = { "waiting", "ready", "backoff", "quarantined", "running" };
    struct sea_err err = { 0 }, why = { 0 };
    size_t i;

    for (i = 0; i < sizeof(wants) / sizeof(wants[0]); i++) {
        struct sea_claim claim = { 0 };
        int64_t worker;
        char state[16];

        begin();
        worker = add_worker();
        sea_err_clear(&why);
        sea_fail(&why, SEA_E_SERVICE, "gone");
        submit("{\"name\":\"a\",\"seed\":1," TOTAL "," CHAIN "}", NULL);
        run_sql(i == 3 ? "UPDATE sea.stage_run SET losses_max = 0"
                       : "UPDATE sea.stage_run SET backoff_ms = 600000");
        if (i > 0)
            tick();
        if (i > 1)
            claim = take(worker);
        if (i == 2 || i == 3)
            CHECK_OK(sea_queue_fail(db, &claim.fence, "infra", 69, &why, state, &err), err);
        CHECK_STR(text("SELECT state FROM sea.stage_run WHERE id = 1"), wants[i]);
        sea_clock_sleep_ms(PAUSE_MS);
        CHECK_INT(number("SELECT count(*) FROM generate_series(1, 4) g,"
                         " LATERAL (SELECT (sea.expire()).result WHERE g > 0) e"
                         " WHERE result = 'timed out'"), 1);
        if (i < 4) {
            CHECK_STR(states(), "failed skipped, failed");
            CHECK(strstr(text("SELECT reason FROM sea.stage_run WHERE id = 1"),
                         "timed out: the experiment had to end within 0 s (resources.total_hours)")
                  != NULL);
            end();
            continue;
        }
        CHECK_STR(states(), "running blocked, running");
        CHECK_INT(number("SELECT cancel FROM sea.heartbeat(1, 1, (SELECT secret FROM sea.lease),"
                         " 60000)"), 1);
        CHECK_OK(sea_queue_cancelled(db, &claim.fence, &err), err);
        CHECK_STR(states(), "cancelled skipped, failed");
        CHECK_INT(number("SELECT count(*) FROM sea.event WHERE text LIKE"
                         " 'foundation is asked to end: timed out: the experiment had to end%'"), 1);
        end();
    }
}

static void
rows_go_with_their_stage_runs(void)
{
    struct sea_claim claim;
    int64_t worker;

    begin();
    worker = add_worker();
    submit("{\"name\":\"plain\",\"seed\":1,\"resources\":{\"wait_hours\":0},\"stages\":{\"label\":{}}}",
           NULL);
    CHECK_INT(number("SELECT count(*) FROM sea.deadline"), 0);
    submit("{\"name\":\"a\",\"seed\":2,\"resources\":{\"wait_hours\":" HOUR ",\"total_hours\":9},"
           "\"stages\":{\"label\":{}}}", NULL);
    CHECK_INT(number("SELECT count(*) FROM sea.deadline"), 1);
    tick();
    claim = take(worker);
    commit(&claim);
    claim = take(worker);
    commit(&claim);
    sea_clock_sleep_ms(PAUSE_MS);
    CHECK_INT(tick().timed_out, 0);
    CHECK_INT(number("SELECT count(*) FROM sea.deadline"), 0);
    CHECK_STR(states(), "done done, succeeded");
    end();
}

/* ---- odd values ---- */

static void
odd_values_give_one_error_with_a_hint(void)
{
    static const struct { const char *part, *words; } rows[] = {
        { "\"name\":5", "name of experiment \"5\" is 5, need a text" },
        { "\"resources\":5", "resources of experiment \"x\" is 5, need a map" },
        { "\"resources\":{\"priority\":1.5}",
          "resources.priority of experiment \"x\" is 1.5, need a whole number from -1000000 to 1000000" },
        { "\"resources\":{\"priority\":\"high\"}", "resources.priority of experiment \"x\" is \"high\"" },
        { "\"resources\":{\"priority\":99999999999}", "need a whole number from -1000000" },
        { "\"resources\":{\"priority\":{}}", "is {}, need a whole number" },
        { "\"resources\":{\"hours\":\"long\"}", "resources.hours of experiment \"x\" is \"long\", need a number from 0 to 100000" },
        { "\"resources\":{\"hours\":-1}", "is -1, need a number from 0" },
        { "\"resources\":{\"hours\":1e300}", "need a number from 0 to 100000" },
        { "\"resources\":{\"hours\":1e-9}", "is less than a millisecond" },
        { "\"resources\":{\"wait_hours\":true}", "resources.wait_hours of experiment \"x\" is true" },
        { "\"resources\":{\"queue\":5}", "resources.queue of experiment \"x\" is 5, need a text" },
        { "\"resources\":{\"queue\":\"\"}", "is \"\", need a text" },
        { "\"resources\":{\"gpus\":1.5}", "resources.gpus of experiment \"x\" is 1.5" },
        { "\"resources\":{\"backend\":\"k8s\"}", "is \"k8s\", need one of local, slurm" },
        { "\"halving\":5", "halving of experiment \"x\" is 5, need a map" },
        { "\"halving\":{\"metric\":\"tune.loss\",\"first\":1.5}", "halving.first of experiment \"x\" is 1.5, need a whole number from 1 to 9223372036854775807" },
        { "\"halving\":{\"metric\":\"tune.loss\",\"first\":\"many\"}", "halving.first of experiment \"x\" is \"many\"" },
        { "\"halving\":{\"metric\":\"tune.loss\",\"first\":1e30}", "halving.first of" },
        { "\"halving\":{\"metric\":\"tune.loss\",\"first\":9,\"eta\":2.5}", "halving.eta of experiment \"x\" is 2.5, need a whole number from 2" },
        { "\"halving\":{\"metric\":\"tune.loss\",\"first\":9,\"mode\":7}", "need one of min, max" },
        { "\"halving\":{\"metric\":\"tune.loss\",\"first\":9,\"study\":{}}", "halving.study of experiment \"x\" is {}, need a text" },
        { "\"stages\":{\"tune\":5}", "stages.tune of experiment \"x\" is 5, need a map" },
    };
    char sql[1000];
    size_t i;

    begin();
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sea_err err = { 0 };

        snprintf(sql, sizeof(sql), "SELECT sea.submit('{\"name\":\"x\",\"stages\":{\"tune\":{}},%s}')",
                 rows[i].part);
        CHECK_MSG(sea_db_query_text(db, sql, NULL, &err) != SEA_OK, "accepted %s", rows[i].part);
        CHECK_MSG(strstr(err.message, rows[i].words) && err.hint[0] && strstr(err.cause, "LF010"),
                  "%s: %s, %s, %s", rows[i].part, err.cause, err.message, err.hint);
    }
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 0);
    CHECK_STR(sqlstate("SELECT sea.submit('{\"name\":\"x\",\"stages\":{\"label\":{}}}', NULL, 77)"),
              "LF012");
    CHECK_STR(sqlstate("SELECT sea.submit('{\"name\":\"x\",\"stages\":{\"label\":{}}}', '')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.set_limit(NULL, 'x', 1)"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.set_limit('queue', NULL, 1)"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.set_limit('queue', 'x', 2147483647)"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"n\",\"cron\":\"0 2 * * *\",\"models\":"
                       "{\"a\":{\"name\":\"a\",\"stages\":5}}}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"n\",\"cron\":\"0 2 * * *\",\"models\":"
                       "{\"a\":{\"name\":\"a\",\"stages\":{\"eval\":{}},\"resources\":"
                       "{\"hours\":\"x\"}}}}')"), "LF010");
}

/* One that was written before it was checked keeps neither other schedules nor the tick from going on. */
static void
a_schedule_that_cannot_start_stops_no_other(void)
{
    begin();
    run_sql("SELECT sea.add_schedule('{\"name\":\"bad\",\"cron\":\"* * * * *\",\"models\":{\"a\":"
            "{\"name\":\"a\",\"stages\":{\"eval\":{}}}}}')");
    run_sql("SELECT sea.add_schedule('{\"name\":\"good\",\"cron\":\"* * * * *\",\"models\":{\"a\":"
            "{\"name\":\"a\",\"stages\":{\"eval\":{}}}}}')");
    run_sql("UPDATE sea.schedule SET config = jsonb_set(config, '{models,a,resources}',"
            " '{\"hours\": \"x\"}') WHERE name = 'bad'");
    run_sql("UPDATE sea.schedule SET next_at = date_trunc('minute', clock_timestamp())");
    CHECK_INT(number("SELECT sea.fire_schedules()"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 1);
    CHECK(strstr(text("SELECT text FROM sea.event WHERE text LIKE 'schedule bad could not start%'"),
                 "resources.hours of experiment \"a\" is \"x\"") != NULL);
}

/* ---- leases that ended, many of them ---- */

static void
many_silent_workers_are_one_look(void)
{
    struct sea_claim claim;
    int64_t worker, start;
    int i;

    begin();
    worker = add_worker();
    for (i = 0; i < 40; i++) {
        char config[120];

        snprintf(config, sizeof(config), "{\"name\":\"a\",\"seed\":%d,\"stages\":{\"label\":{}}}", i);
        submit(config, NULL);
    }
    tick();
    for (i = 0; i < 40; i++)
        claim = take(worker);
    (void)claim;
    run_sql("UPDATE sea.lease SET expires_at = '-infinity' WHERE stage_id % 2 = 0");
    run_sql("INSERT INTO sea.lease (stage_id, epoch, worker_id, secret, expires_at)"
            " SELECT -g, 1, 1, gen_random_uuid(), 'infinity' FROM generate_series(1, 50000) g");
    start = sea_clock_ms();
    CHECK_INT(tick().rescued, 20);
    printf("  20 of 50,040 leases taken back in %lld ms\n", (long long)(sea_clock_ms() - start));
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'ready'"), 20);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'running'"), 20);
    CHECK_INT(number("SELECT sea.rescue()"), -1);
}

SEA_TEST_MAIN("deadline: stage runs that wait, wishes that are none",
              TEST(ready_too_long_fails_and_says_why), TEST(the_wait_counts_from_the_parents_end),
              TEST(behind_a_quarantined_owner_of_its_key_nobody_waits_for_ever),
              TEST(the_end_of_an_experiment_reaches_every_state),
              TEST(rows_go_with_their_stage_runs), TEST(odd_values_give_one_error_with_a_hint),
              TEST(a_schedule_that_cannot_start_stops_no_other),
              TEST(many_silent_workers_are_one_look))
