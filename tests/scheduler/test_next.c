/* SPDX-License-Identifier: Apache-2.0 */
/* What follows a commit: the next claim in its transaction, the marks of queues, batches. */
#include "tests/scheduler/service.h"

#define ONE "{\"name\":\"one\",\"seed\":%d,\"stages\":{\"label\":{}}}"

static struct sea_arena *arena;
static int64_t worker, condemned;
static int keys_computed;

static void
fresh(void)
{
    service_begin();
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    worker = add_worker();
}

static bool
claim_ttl(struct sea_claim *claim, int64_t ttl_ms)
{
    struct sea_err err = { 0 };
    bool claimed = false;

    CHECK_OK(sea_queue_claim(db, worker, "default", ttl_ms, arena, claim, &claimed, &err), err);
    return claimed;
}

static struct sea_artifacts
one_file(const char *path)
{
    struct sea_artifacts files = { .at = sea_arena_alloc(arena, 1, sizeof(struct sea_artifact)),
                                   .count = 1 };

    files.at[0].path = path;
    files.at[0].bytes = 5;
    sea_hash_bytes(path, strlen(path), files.at[0].sha256);
    return files;
}

static void
check_invariants(void)
{
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
}

/* The mark of the default queue, in seconds before now; -1 for infinity, -2 for none. */
static int64_t
mark(void)
{
    return number("SELECT coalesce((SELECT CASE WHEN rank = 'infinity' THEN -1 ELSE"
                  " extract(epoch FROM clock_timestamp() - rank)::bigint END FROM sea.mark"
                  " WHERE queue = 'default' ORDER BY number DESC LIMIT 1), -2)");
}

static void
the_mark_hides_nothing_that_is_ready(void)
{
    struct sea_claim claim;
    struct sea_err err = { 0 };

    fresh();
    submit("{\"name\":\"a\",\"seed\":1,\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    tick();
    CHECK_INT(mark(), -1);                      /* nothing is ready */
    CHECK_OK(sea_queue_release(db, &claim.fence, "pause", 0, &err), err);
    tick();
    CHECK(mark() >= 0);                         /* it came back */
    CHECK(claim_ttl(&claim, 30000));
    tick();
    submit("{\"name\":\"b\",\"seed\":2,\"stages\":{\"label\":{}}}", NULL);
    submit("{\"name\":\"c\",\"seed\":3,\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK_INT(number("SELECT sea.set_priority(3, 6)"), 1);
    CHECK(mark() >= 3600);                      /* more urgent than what it stood at */
    CHECK(claim_ttl(&claim, 30000));
    CHECK_INT(claim.experiment_id, 3);
    tick();
    CHECK(mark() < 3600 && mark() >= 0);        /* on to the other */
    run_sql("INSERT INTO sea.mark (queue, rank) VALUES ('default', 'infinity')");
    CHECK(!claim_ttl(&claim, 30000));           /* a mark that lies ... */
    CHECK_INT(number("SELECT sea.rescan()"), 1);
    CHECK_INT(number("SELECT sea.rescan()"), 0);
    CHECK(claim_ttl(&claim, 30000));            /* ... is found out */
    CHECK_INT(claim.experiment_id, 2);
    CHECK_INT(number("SELECT count(*) FROM sea.todo"), 0);
}

static struct sea_claimant
claimant(void)
{
    struct sea_claimant who = { .worker_id = worker, .queue = "default", .ttl_ms = 30000 };

    sea_queue_secret(who.secret);
    return who;
}

static void
a_commit_claims_the_next_one(void)
{
    struct sea_claimant who;
    struct sea_claim claim, next;
    struct sea_artifacts files;
    struct sea_commit what = { .digest = "d", .scores = "[]", .last_number = 7,
        .last = "{\"metrics\":[[\"loss\",9,0.5]],\"logs\":[[\"info\",\"bye\"]]}" };
    struct sea_err err = { 0 };
    const char *gone;
    bool claimed;
    int turn;

    fresh();
    for (turn = 1; turn <= 4; turn++) {
        char config[96];

        snprintf(config, sizeof(config), ONE, turn);
        submit(config, NULL);
    }
    tick();
    CHECK(claim_ttl(&claim, 30000));
    files = one_file("x");
    what.files = &files;
    CHECK_OK(sea_queue_prepare(db, &claim.fence, &files, "[]", &condemned, &err), err);
    /* the last batch had arrived by itself, and its answer was lost */
    CHECK_OK(sea_queue_relay(db, &claim.fence, 7, what.last, &err), err);
    who = claimant();
    CHECK_OK(sea_queue_commit_next(db, &claim.fence, &what, &who, arena, &gone, arena, &next,
                                   &claimed, &err), err);
    CHECK(claimed && next.fence.stage_id == 2 && strcmp(next.fence.secret, who.secret) == 0);
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE kind = 'log'"), 1);
    /* the answer lost: both outcomes are found, the claim by its secret and by no other */
    {
        struct sea_claim again;
        enum sea_outcome outcome;
        struct sea_claimant other = claimant();

        CHECK_OK(sea_queue_outcome(db, &claim.fence, &outcome, &err), err);
        CHECK_INT(outcome, SEA_OUTCOME_COMMITTED);
        CHECK_OK(sea_queue_claimed(db, &who, arena, &again, &claimed, &err), err);
        CHECK(claimed && again.fence.stage_id == 2 && again.fence.epoch == 1);
        CHECK_STR(again.config, next.config);
        CHECK_OK(sea_queue_claimed(db, &other, arena, &again, &claimed, &err), err);
        CHECK(!claimed);
    }
    /* sent again: refused, and nothing more is claimed */
    CHECK_INT(sea_queue_commit_next(db, &claim.fence, &what, &who, arena, &gone, arena, &next,
                                    &claimed, &err), SEA_E_LEASE);
    sea_err_clear(&err);
    CHECK_INT(number("SELECT count(*) FROM sea.lease"), 1);
    /* a claim that fails leaves the commit: every claim does, with this constraint */
    CHECK_OK(sea_queue_claimed(db, &who, arena, &claim, &claimed, &err), err);
    run_sql("ALTER TABLE sea.lease ADD CONSTRAINT no_more CHECK (stage_id < 3) NOT VALID");
    who = claimant();
    what.last_number = 8;
    CHECK_OK(sea_queue_commit_next(db, &claim.fence, &what, &who, arena, &gone, arena, &next,
                                   &claimed, &err), err);
    CHECK(!claimed);
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY id) FROM sea.stage_run"),
              "done done ready ready");
    run_sql("ALTER TABLE sea.lease DROP CONSTRAINT no_more");
    /* a worker that drains commits and gets nothing; so does one at a limit */
    CHECK(claim_ttl(&claim, 30000));
    run_sql("SELECT sea.drain(1)");
    who = claimant();
    CHECK_OK(sea_queue_commit_next(db, &claim.fence, &what, &who, arena, &gone, arena, &next,
                                   &claimed, &err), err);
    CHECK(!claimed);
    worker = add_worker();
    run_sql("SELECT sea.set_limit('queue', 'default', 1)");
    submit("{\"name\":\"one\",\"seed\":5,\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    who = claimant();
    CHECK_OK(sea_queue_commit_next(db, &claim.fence, &what, &who, arena, &gone, arena, &next,
                                   &claimed, &err), err);
    CHECK(claimed);             /* its own slot was free again, in the same transaction */
    CHECK_INT(number("SELECT count(*) FROM sea.slot WHERE stage_id IS NOT NULL"), 1);
    check_invariants();
}

static void
batches_commit_each_stage_by_its_own_fence(void)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    char sql[2400];
    int turn;

    fresh();
    run_sql("INSERT INTO sea.artifact (sha256, bytes) VALUES (repeat('a', 64), 4)");
    for (turn = 1; turn <= 6; turn++) {
        char config[96];

        snprintf(config, sizeof(config), ONE, turn);
        submit(config, NULL);
    }
    tick();
    CHECK_INT(number("SELECT count(*) FROM sea.claim_batch(1, 'default', 60000, 4)"), 4);
    run_sql("UPDATE sea.lease SET expires_at = now() - interval '1 s' WHERE stage_id = 2");
    CHECK_INT(number("SELECT sea.rescue()"), 2);
    /* 2 was lost, of 3 the secret is wrong, 1 and 4 are good; 1 is there twice */
    snprintf(sql, sizeof(sql),
             "SELECT committed::text AS committed, jsonb_array_length(claims) AS claimed FROM"
             " sea.commit_next_batch((SELECT jsonb_agg(jsonb_build_object('stage_id', s, 'epoch', 1,"
             " 'secret', CASE s WHEN 3 THEN gen_random_uuid() ELSE (SELECT secret FROM sea.lease"
             " LIMIT 1) END, 'files', '[[\"x\", \"%064d\", 4]]'::jsonb, 'digest', 'd', 'metrics',"
             " '[[\"m\", 1, 1]]'::jsonb) ORDER BY s DESC) FROM unnest(ARRAY[1, 2, 3, 4]) s), 1,"
             " 'default', 60000, 8, gen_random_uuid())", 0);
    memset(strstr(sql, "0000000"), 'a', 64);
    CHECK_OK(sea_db_query_text(db, sql, &rows, &err), err);
    CHECK_STR(sea_rows_text(rows, 0, "committed", &err), "{1,4}");
    CHECK_INT(sea_rows_int(rows, 0, "claimed", &err), 2);
    sea_rows_close(rows);
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY id) FROM sea.stage_run"),
              "done backoff running done running running");
    CHECK_INT(number("SELECT count(*) FROM sea.manifest"), 2);
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 2);
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY id) FROM sea.experiment"),
              "succeeded running running succeeded running running");
    check_invariants();
}

/* Between two looks of a scheduler, too: else each claim walks over what a snapshot keeps. */
static void
claims_move_the_mark_themselves(void)
{
    static const char passed[] =
        "SELECT count(*) FROM sea.stage_run s WHERE s.state <> 'ready' AND s.ready_at <"
        " (SELECT rank FROM sea.mark WHERE queue = 'default' ORDER BY number DESC LIMIT 1)";
    static const char hidden[] =
        "SELECT count(*) FROM sea.todo WHERE list = 'ready' AND rank <"
        " (SELECT rank FROM sea.mark WHERE queue = 'default' ORDER BY number DESC LIMIT 1)";
    struct sea_err err = { 0 };
    int64_t before;

    fresh();
    CHECK_OK(sea_db_query(db, "bench_fill", SEA_PARAMS(SEA_P_INT(1500)), NULL, &err), err);
    run_sql("UPDATE sea.stage_run SET ready_at = now() - (2000 - id) * interval '1 ms'");
    tick();
    before = number(passed);
    CHECK_INT(number("SELECT count(*) FROM sea.claim_batch(1, 'default', 60000, 128)"), 128);
    CHECK_INT(number(passed), before + 128);
    CHECK_INT(number(hidden), 0);
    run_sql("SELECT setseed(0)");
    run_sql("DO $$BEGIN FOR i IN 1 .. 1000 LOOP"
            " PERFORM FROM sea.claim(1, 'default', 60000); END LOOP; END$$");
    printf("of 1,000 claims the mark passed %lld\n", (long long)number(passed) - 128);
    CHECK(number(passed) >= before + 128 + 500);
    CHECK_INT(number(hidden), 0);
}

static enum sea_status
fickle_key(const char *stage, const struct sea_node *config, const struct sea_stage_input *inputs,
           size_t inputs_count, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    (void)stage;
    (void)config;
    (void)inputs;
    (void)inputs_count;
    (void)out;
    keys_computed++;
    return sea_fail(err, SEA_E_IO, "the disk is busy");
}

static void
a_key_that_fails_for_now_is_tried_after_pauses(void)
{
    struct sea_scheduler_options options = { .key = fickle_key };
    struct sea_scheduler_counts counts;
    struct sea_err err = { 0 };
    int i;

    fresh();
    submit("{\"name\":\"n\",\"seed\":1,\"stages\":{\"label\":{}}}", NULL);
    for (i = 0; i < 4; i++)
        CHECK_OK(sea_scheduler_tick(db, &options, &counts, &err), err);
    CHECK_INT(keys_computed, 1);
    CHECK_STR(text("SELECT reason FROM sea.why_pending"),
              "its key cannot be computed now: the disk is busy");
    /* an hour later: the pause is a minute */
    run_sql("UPDATE sea.stage_run SET created_at = created_at - interval '1 hour', run_at = now()");
    CHECK_OK(sea_scheduler_tick(db, &options, &counts, &err), err);
    CHECK_INT(keys_computed, 2);
    CHECK_INT(number("SELECT round(extract(epoch FROM run_at - clock_timestamp()) / 10)"
                     " FROM sea.stage_run"), 6);
    run_sql("UPDATE sea.stage_run SET run_at = now()");
    tick();
    CHECK_STR(text("SELECT state FROM sea.stage_run"), "ready");
}

SEA_TEST_MAIN("next: claims after commits, marks, batches", TEST(the_mark_hides_nothing_that_is_ready),
              TEST(a_commit_claims_the_next_one), TEST(batches_commit_each_stage_by_its_own_fence),
              TEST(claims_move_the_mark_themselves),
              TEST(a_key_that_fails_for_now_is_tried_after_pauses))
