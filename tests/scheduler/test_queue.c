/* SPDX-License-Identifier: Apache-2.0 */
/* Schema and functions: submissions, claims, the fence, promotion, cache, states. */
#include "pipeline/sea_digest_memo.h"
#include "scheduler/sea_sql_text.h"
#include "tests/scheduler/service.h"

#include <pthread.h>
#include <time.h>

#define FULL "\"model\":{\"vision\":{\"path\":\"@foundation/vision\"}},"                    \
             "\"stages\":{\"foundation\":{},\"label\":{},\"align\":{},\"tune\":{},\"eval\":{}}}"
#define ONE "{\"name\":\"one\",\"seed\":%d,\"stages\":{\"label\":{}}}"

static struct sea_arena *arena;
static int64_t worker, condemned;

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

static enum sea_status
commit_with(struct sea_db *on, const struct sea_claim *claim, const char *path,
            struct sea_err *err)
{
    struct sea_artifacts files = one_file(path);
    const char *gone;
    enum sea_status status = sea_queue_prepare(on, &claim->fence, &files, "[]", &condemned,
                                               err);

    return status ? status
                  : sea_queue_commit(on, &claim->fence, &files, files.at[0].sha256, "[]", NULL,
                                     arena, &gone, err);
}

static void
commit(const struct sea_claim *claim)
{
    struct sea_err err = { 0 };

    if (CHECK(claim->stage != NULL))
        CHECK_OK(commit_with(db, claim, claim->stage, &err), err);
}

static void
check_invariants(void)
{
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
}

/* ---- schema ---- */

static void
migrations_apply_once_and_refuse_edits(void)
{
    struct sea_migration_state state;
    struct sea_err err = { 0 };

    fresh();
    CHECK_OK(sea_migrate(db, &state, &err), err);
    CHECK_INT(state.applied, 0);
    CHECK_INT(state.version, state.newest);
    CHECK_OK(sea_migrate_check(db, &state, &err), err);
    run_sql("UPDATE sea.migration SET sha256 = repeat('0', 64) WHERE version = 2");
    CHECK(sea_migrate(db, &state, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "0002_functions");
    sea_err_clear(&err);
    run_sql("DELETE FROM sea.migration WHERE version >= 2");
    CHECK(sea_migrate_check(db, &state, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "has version 1, need");
    sea_err_clear(&err);
    run_sql("INSERT INTO sea.migration (version, name, sha256) VALUES (9999, '9999_x', 'x')");
    CHECK(sea_migrate(db, &state, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "newer than this program");
}

static void
everything_has_a_comment(void)
{
    fresh();
    CHECK_STR(text("SELECT string_agg(c.relname, ', ') FROM pg_class c"
                   " WHERE c.relnamespace = 'sea'::regnamespace AND c.relkind IN ('r', 'v', 'p')"
                   " AND obj_description(c.oid, 'pg_class') IS NULL"), "");
    CHECK_STR(text("SELECT string_agg(c.relname || '.' || a.attname, ', ') FROM pg_class c"
                   " JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
                   " AND NOT a.attisdropped"
                   " WHERE c.relnamespace = 'sea'::regnamespace AND c.relkind IN ('r', 'v', 'p')"
                   " AND NOT c.relispartition"
                   " AND col_description(c.oid, a.attnum) IS NULL"), "");
    CHECK_STR(text("SELECT string_agg(p.proname, ', ') FROM pg_proc p"
                   " WHERE p.pronamespace = 'sea'::regnamespace"
                   " AND obj_description(p.oid, 'pg_proc') IS NULL"), "");
    CHECK_STR(text("SELECT string_agg(conname, ', ') FROM pg_constraint"
                   " WHERE connamespace = 'sea'::regnamespace AND conname ~ '_check[0-9]*$'"), "");
    CHECK(number("SELECT count(*) FROM pg_attribute a JOIN pg_class c ON c.oid = a.attrelid"
                 " WHERE c.relnamespace = 'sea'::regnamespace AND a.attnum > 0") > 150);
}

static void
every_named_query_fits_the_schema(void)
{
    struct sea_buf sql;
    size_t i, prepared = 0;

    fresh();
    sea_buf_init(&sql, 1 << 20);
    for (i = 0; i < sea_sql_count(); i++) {
        const char *name = sea_sql_name(i);
        struct sea_err err = { 0 };

        /* migrations, transactions and scripts cannot be prepared */
        if (strncmp(name, "migration", 9) == 0 || strcmp(name, "database_create") == 0 ||
            strstr(name, "_begin") || strstr(name, "_commit") || strstr(name, "_rollback") ||
            strstr(name, "_script"))
            continue;
        sea_buf_clear(&sql);
        sea_buf_addf(&sql, "PREPARE one AS %s", sea_sql_text(name));
        CHECK_MSG(sea_db_query_text(db, sql.data, NULL, &err) == SEA_OK, "%s: %s", name,
                  err.message);
        prepared++;
        run_sql("DEALLOCATE ALL");
    }
    CHECK(prepared > 20);
    sea_buf_release(&sql);
}

static void
every_transition_is_legal_or_refused(void)
{
    static const char *const states[] = { "blocked", "waiting", "ready", "running", "backoff",
        "quarantined", "done", "cached", "failed", "skipped", "cancelled" };
    int legal = 0, refused = 0;
    size_t i, j;

    fresh();
    submit("{\"name\":\"g\"," FULL, NULL);
    /* Transitions are judged before the rules of a row: 23514 means that the way is there. */
    for (i = 0; i < 11; i++)
        for (j = 0; j < 11; j++) {
            char sql[512];
            const char *got;

            if (i == j)
                continue;
            snprintf(sql, sizeof(sql),
                     "DO $$ BEGIN ALTER TABLE sea.stage_run DISABLE TRIGGER stage_run_guard;"
                     " UPDATE sea.stage_run SET state = '%s', ended_at = %s WHERE id = 1;"
                     " ALTER TABLE sea.stage_run ENABLE TRIGGER stage_run_guard; END $$",
                     states[i], i >= 6 ? "now()" : "NULL");
            run_sql(sql);
            snprintf(sql, sizeof(sql), "UPDATE sea.stage_run SET state = '%s' WHERE id = 1",
                     states[j]);
            got = sqlstate(sql);
            if (strcmp(got, "LF020") == 0)
                refused++;
            else if (!*got || strcmp(got, "23514") == 0)
                legal++;
            CHECK_MSG(i < 6 || *got, "%s -> %s was allowed", states[i], states[j]);
        }
    printf("transitions: %d legal, %d refused\n", legal, refused);
    CHECK_INT(legal, 21);
    CHECK_INT(refused, 89);
    CHECK_STR(sqlstate("UPDATE sea.stage_run SET last_epoch = -1 WHERE id = 2"), "LF020");
}

static void
tables_guard_their_states(void)
{
    static const struct {
        const char *table, *set, *rule;
    } broken[] = {
        { "stage_run", "unmet = -1 WHERE id = 1", "stage_run_unmet_not_negative" },
        { "stage_run", "unmet = 1 WHERE id = 1", "stage_run_started_has_no_unmet" },
        { "stage_run", "unmet = 0 WHERE id = 3", "stage_run_blocked_has_unmet" },
        { "stage_run", "state = 'ready' WHERE id = 1", "stage_run_ready_has_key" },
        { "stage_run", "state = 'ready', key = repeat('a', 64) WHERE id = 1",
          "stage_run_ready_has_time" },
        { "stage_run", "done_epoch = 0 WHERE id = 1", "stage_run_done_has_epoch" },
        { "stage_run", "output_digest = 'x' WHERE id = 1", "stage_run_output_when_done" },
        { "stage_run", "ended_at = now() WHERE id = 1", "stage_run_ended_is_terminal" },
        { "stage_run", "state = 'failed', ended_at = now() WHERE id = 1",
          "stage_run_failure_has_reason" },
        { "stage_run", "stage = 'dance' WHERE id = 1", "stage_run_stage_known" },
        { "stage_run", "timeout_ms = 0 WHERE id = 1", "stage_run_timeout_positive" },
        { "stage_run", "key = 'short' WHERE id = 1", "stage_run_key_is_sha256" },
        { "attempt", "state = 'committed'", "attempt_ended_is_terminal" },
        { "attempt", "state = 'failed', ended_at = now()", "attempt_class_when_failed" },
        { "attempt", "state = 'failed', class = 'bad', ended_at = now()", "attempt_class_known" },
        { "attempt", "state = 'mad'", "attempt_state_known" },
        { "attempt", "resumed_step = 1", "attempt_resumed_is_whole" },
        { "experiment", "state = 'succeeded'", "experiment_ended_is_terminal" },
        { "experiment", "state = 'cancelling'", "experiment_cancelling_was_asked" },
    };
    char sql[256];
    size_t i;

    fresh();
    submit("{\"name\":\"g\"," FULL, NULL);
    run_sql("INSERT INTO sea.attempt (stage_id, epoch, worker_id) VALUES (1, 1, 1)");
    CHECK_STR(sqlstate("UPDATE sea.stage_run SET unmet = -1 WHERE id = 1"), "23514");
    CHECK_STR(sqlstate("UPDATE sea.stage_run SET state = 'ready', ready_at = now() WHERE id = 1"),
              "23514");     /* no key */
    CHECK_STR(sqlstate("UPDATE sea.stage_run SET key = 'short' WHERE id = 1"), "23514");
    CHECK_STR(sqlstate("UPDATE sea.stage_run SET done_epoch = 1 WHERE id = 1"), "23514");
    /* An expression that would be true without its rule, for each rule. */
    for (i = 0; i < sizeof(broken) / sizeof(broken[0]); i++) {
        snprintf(sql, sizeof(sql), "UPDATE sea.%s SET %s", broken[i].table, broken[i].set);
        CHECK_STR(sqlstate(sql), "23514");
        snprintf(sql, sizeof(sql), "UPDATE sea.%s SET %s", broken[i].table, broken[i].set);
        CHECK_MSG(strstr(text(sql), broken[i].rule), "%s: not \"%s\" but %s", sql, broken[i].rule,
                  text(sql));
    }
    CHECK_STR(sqlstate("UPDATE sea.experiment SET state = 'succeeded'"), "23514");
    CHECK_STR(sqlstate("INSERT INTO sea.event (kind, text) VALUES ('gossip', 'x')"), "23514");
    CHECK_STR(sqlstate("INSERT INTO sea.artifact (sha256, bytes) VALUES (repeat('g', 64), 1)"),
              "23514");
    run_sql("INSERT INTO sea.artifact (sha256, bytes) VALUES (repeat('a', 64), 1)");
    CHECK_STR(sqlstate("INSERT INTO sea.manifest VALUES (1, 1, '../x', repeat('a', 64), 1)"),
              "23514");
    CHECK_STR(sqlstate("INSERT INTO sea.manifest VALUES (1, 1, 'x', repeat('b', 64), 1)"),
              "23503");
}

static void
partitions_are_made_ahead(void)
{
    fresh();
    run_sql("ALTER TABLE sea.stage_run ALTER COLUMN id RESTART WITH 60000");
    submit("{\"name\":\"g\"," FULL, NULL);
    run_sql("SELECT sea.maintain()");
    run_sql("SELECT sea.maintain()");
    CHECK_INT(number("SELECT count(*) FROM pg_inherits WHERE inhparent = 'sea.metric'::regclass"),
              2);
    run_sql("INSERT INTO sea.metric (stage_id, epoch, name, step, value)"
            " VALUES (150000, 1, 'x', 1, 1)");
    CHECK_INT(number("SELECT count(*) FROM sea.metric_1"), 1);
}

/* ---- submit ---- */

static void
submit_makes_the_graph(void)
{
    int64_t id;

    fresh();
    id = submit("{\"name\":\"full\"," FULL, NULL);
    CHECK_STR(text("SELECT string_agg(stage || ' ' || state || ' ' || unmet, ', ' ORDER BY id)"
                   " FROM sea.stage_run"),
              "foundation waiting 0, label blocked 1, align blocked 2, tune blocked 2, "
              "eval blocked 1");
    CHECK_STR(text("SELECT stage_states FROM sea.experiment_status WHERE experiment_id = 1"),
              "foundation:waiting label:blocked align:blocked tune:blocked eval:blocked");
    CHECK_INT(id, 1);
    submit("{\"name\":\"apart\",\"model\":{\"vision\":{\"path\":\"clip\"}},"
           "\"stages\":{\"foundation\":{},\"align\":{}}}", NULL);
    CHECK_STR(text("SELECT string_agg(stage || ' ' || state, ', ' ORDER BY id)"
                   " FROM sea.stage_run WHERE experiment_id = 2"),
              "foundation waiting, align waiting");
    submit("{\"name\":\"eval\",\"stages\":{\"eval\":{}}}", NULL);
    CHECK_STR(text("SELECT stage || ' ' || state FROM sea.stage_run WHERE experiment_id = 3"),
              "eval waiting");
}

static void
submit_refuses_what_it_cannot_run(void)
{
    struct sea_err err = { 0 };
    int64_t id;

    fresh();
    CHECK(sea_queue_submit(db, "[1]", NULL, &id, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "is not a map with a name");
    sea_err_clear(&err);
    CHECK(sea_queue_submit(db, "{\"name\":\"x\",\"stages\":{}}", NULL, &id, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "has no stages");
    sea_err_clear(&err);
    CHECK(sea_queue_submit(db, "{\"name\":\"x\",\"stages\":{\"train\":{}}}", NULL, &id, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "unknown stage \"train\"");
    CHECK(err.hint[0]);
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 0);
}

#define SUBMITTERS 20

static void *
submit_thread(void *arg)
{
    struct sea_db *mine = connect_more();
    struct sea_err err = { 0 };

    if (sea_queue_submit(mine, "{\"name\":\"same\"," FULL, "key", arg, &err))
        *(int64_t *)arg = -1;
    sea_db_close(mine);
    return NULL;
}

static void
submit_is_idempotent(void)
{
    struct sea_err err = { 0 };
    pthread_t threads[SUBMITTERS];
    int64_t ids[SUBMITTERS] = { 0 }, other;
    int i;

    fresh();
    for (i = 0; i < SUBMITTERS; i++)
        pthread_create(&threads[i], NULL, submit_thread, &ids[i]);
    for (i = 0; i < SUBMITTERS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < SUBMITTERS; i++)
        CHECK_MSG(ids[i] > 0 && ids[i] == ids[0], "submission %d got %lld", i, (long long)ids[i]);
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run"), 5);
    CHECK(sea_queue_submit(db, "{\"name\":\"other\"," FULL, "key", &other, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "with another configuration");
}

/* ---- claim ---- */

#define CLAIMERS 8
#define STAGES 200

static void *
claim_thread(void *arg)
{
    struct sea_db *mine = connect_more();
    struct sea_arena *own = sea_arena_create(NULL, "claims");
    struct sea_err err = { 0 };
    struct sea_claim claim;
    int64_t *count = arg;
    bool claimed = true;

    while (!err.status && claimed) {
        if (!sea_queue_claim(mine, worker, "default", 30000, own, &claim, &claimed, &err) &&
            claimed)
            ++*count;
    }
    if (err.status)
        *count = -1;
    sea_arena_destroy(own);
    sea_db_close(mine);
    return NULL;
}

static void
eight_workers_claim_each_stage_once(void)
{
    pthread_t threads[CLAIMERS];
    int64_t counts[CLAIMERS] = { 0 }, sum = 0;
    char config[128];
    int i;

    fresh();
    for (i = 0; i < STAGES; i++) {
        snprintf(config, sizeof(config), ONE, i);
        submit(config, NULL);
    }
    while (tick().readied)
        ;
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'ready'"), STAGES);
    for (i = 0; i < CLAIMERS; i++)
        pthread_create(&threads[i], NULL, claim_thread, &counts[i]);
    for (i = 0; i < CLAIMERS; i++)
        pthread_join(threads[i], NULL);
    for (i = 0; i < CLAIMERS; i++)
        sum += counts[i];
    CHECK_INT(sum, STAGES);
    CHECK_INT(number("SELECT count(*) FROM sea.lease"), STAGES);
    CHECK_INT(number("SELECT count(*) FROM sea.attempt WHERE epoch = 1"), STAGES);
    CHECK_INT(number("SELECT max(last_epoch) FROM sea.stage_run"), 1);
    check_invariants();
}

/* ---- the fence ---- */

/* Claims a stage of a new experiment, for which the key and the ready state are arranged. */
static struct sea_claim
claim_new(int seed, int64_t ttl_ms)
{
    struct sea_claim claim = { 0 };
    char config[128];

    snprintf(config, sizeof(config), ONE, seed);
    submit(config, NULL);
    tick();
    CHECK(claim_ttl(&claim, ttl_ms));
    return claim;
}

static void
expect_fenced(enum sea_status status, const struct sea_err *err, const char *what)
{
    CHECK_MSG(status == SEA_E_LEASE && strcmp(err->cause, "sqlstate LF001") == 0,
              "%s: status %d \"%s\", want E_LEASE with LF001", what, (int)status, err->message);
}

static void
check_fenced(const struct sea_claim *zombie)
{
    const struct sea_fence *fence = &zombie->fence;
    struct sea_artifacts files = one_file("zombie");
    struct sea_err why = { 0 };
    const char *names;
    char state[16];
    bool cancel;
    enum sea_drain drain;

    sea_fail(&why, SEA_E_IO, "disk");
#define FENCED(call)                                    \
    do {                                                \
        struct sea_err err = { 0 };                     \
        enum sea_status got = call;                     \
        expect_fenced(got, &err, #call);                \
    } while (0)
    FENCED(sea_queue_start(db, fence, 1, false, zombie, &err));
    FENCED(sea_queue_heartbeat(db, fence, 1000, &cancel, &drain, &err));
    FENCED(sea_queue_relay(db, fence, 99, "{\"metrics\":[[\"z\",1,1]]}", &err));
    FENCED(sea_queue_relay(db, fence, 99, "{\"progress\":[1,2,\"x\"]}", &err));
    FENCED(sea_queue_checkpoint(db, fence, 7, "1.1.7", &files, arena, &names, &err));
    FENCED(sea_queue_prepare(db, fence, &files, "[[\"b\",\"s\"]]", &condemned, &err));
    FENCED(sea_queue_answers(db, fence, "b", "s", false, 0, "[{\"id\":1}]", &err));
    FENCED(sea_queue_commit(db, fence, &files, files.at[0].sha256, "[]", NULL, arena, &names, &err));
    FENCED(sea_queue_fail(db, fence, "error", 70, &why, state, &err));
    FENCED(sea_queue_release(db, fence, "pause", 0, &err));
    FENCED(sea_queue_cancelled(db, fence, &err));
#undef FENCED
}

static void
a_zombie_can_write_nothing(void)
{
    struct sea_claim zombie, next, forged;
    struct sea_err err = { 0 };
    bool cancel;
    enum sea_drain drain;

    fresh();
    zombie = claim_new(1, 1);
    sea_clock_sleep_ms(20);
    CHECK_INT(tick().rescued, 1);
    CHECK_STR(text("SELECT state || ' ' || class FROM sea.attempt WHERE epoch = 1"), "lost lost");
    check_fenced(&zombie);              /* nobody holds it */
    tick();
    CHECK(claim_ttl(&next, 30000));
    CHECK_INT(next.fence.epoch, 2);
    check_fenced(&zombie);              /* somebody else holds it */
    forged = next;                      /* right epoch, another's secret */
    snprintf(forged.fence.secret, sizeof(forged.fence.secret), "%s", zombie.fence.secret);
    check_fenced(&forged);
    CHECK_OK(sea_queue_heartbeat(db, &next.fence, 30000, &cancel, &drain, &err), err);
    commit(&next);
    check_fenced(&next);                /* done */
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.manifest WHERE path = 'zombie'"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.benchmark"), 0);
    check_invariants();
}

static void
an_expired_lease_nobody_took_still_counts(void)
{
    struct sea_claim claim;
    struct sea_err err = { 0 };
    bool cancel;
    enum sea_drain drain;

    fresh();
    claim = claim_new(1, 1);
    sea_clock_sleep_ms(20);
    CHECK_OK(sea_queue_heartbeat(db, &claim.fence, 30000, &cancel, &drain, &err), err);
    CHECK_INT(tick().rescued, 0);
    commit(&claim);
    CHECK_STR(text("SELECT state FROM sea.experiment"), "succeeded");
}

struct race {
    struct sea_claim claim;
    struct sea_db *db;
    struct sea_arena *arena;
    enum sea_status status;
};

static void *
commit_thread(void *arg)
{
    struct race *race = arg;
    struct sea_artifact file = { .path = "race", .bytes = 5 };
    struct sea_artifacts files = { .at = &file, .count = 1 };
    struct sea_err err = { 0 };
    const char *gone;

    sea_hash_bytes("race", 4, file.sha256);
    race->status = sea_queue_commit(race->db, &race->claim.fence, &files, file.sha256, "[]", NULL,
                                    race->arena, &gone, &err);
    return NULL;
}

static void
rescue_and_commit_race_to_one_winner(void)
{
    struct race race = { .status = SEA_OK };
    struct sea_artifacts files;
    int i, committed = 0, rescued = 0;

    fresh();
    race.db = connect_more();
    race.arena = sea_arena_create(NULL, "race");
    files = one_file("race");
    for (i = 0; i < 60; i++) {
        struct sea_err err = { 0 };
        struct timespec pause = { .tv_nsec = i % 20 * 100000 };
        pthread_t thread;
        int64_t done, taken;
        char sql[128];

        race.claim = claim_new(i, 1);
        CHECK_OK(sea_queue_prepare(db, &race.claim.fence, &files, "[]", &condemned, &err), err);
        sea_clock_sleep_ms(3);
        pthread_create(&thread, NULL, commit_thread, &race);
        nanosleep(&pause, NULL);
        if (i == 0)
            pthread_join(thread, NULL);         /* the commit is first for certain */
        taken = number("SELECT sea.rescue()");
        if (i)
            pthread_join(thread, NULL);
        snprintf(sql, sizeof(sql), "SELECT state = 'done' FROM sea.stage_run WHERE id = %lld",
                 (long long)race.claim.fence.stage_id);
        done = number(sql);
        CHECK_MSG((race.status == SEA_OK) == (done == 1), "commit said %d, the row says %lld",
                  (int)race.status, (long long)done);
        CHECK_MSG((taken > 0) != (done == 1), "rescued %lld, done %lld", (long long)taken,
                  (long long)done);
        committed += done == 1;
        rescued += taken > 0;
        run_sql("SELECT sea.cancel(id) FROM sea.experiment WHERE ended_at IS NULL");
    }
    printf("races: %d committed, %d rescued\n", committed, rescued);
    CHECK_INT(committed + rescued, 60);
    sea_arena_destroy(race.arena);
    sea_db_close(race.db);
    check_invariants();
}

static void
a_lost_answer_is_resolved(void)
{
    struct sea_claim claim, second;
    enum sea_outcome outcome;
    struct sea_err err = { 0 };

    fresh();
    claim = claim_new(1, 30000);
    CHECK_OK(sea_queue_outcome(db, &claim.fence, &outcome, &err), err);
    CHECK_INT(outcome, SEA_OUTCOME_OPEN);
    commit(&claim);
    CHECK_OK(sea_queue_outcome(db, &claim.fence, &outcome, &err), err);
    CHECK_INT(outcome, SEA_OUTCOME_COMMITTED);
    second = claim_new(2, 1);
    sea_clock_sleep_ms(10);
    tick();
    CHECK_OK(sea_queue_outcome(db, &second.fence, &outcome, &err), err);
    CHECK_INT(outcome, SEA_OUTCOME_LOST);
}

/* ---- graph, cache, batches ---- */

static void
stages_follow_the_graph(void)
{
    static const char *const order[] = { "foundation", "label", "align", "tune", "eval" };
    struct sea_claim claim;
    size_t i;

    fresh();
    submit("{\"name\":\"g\",\"seed\":1," FULL, NULL);
    for (i = 0; i < 5; i++) {
        tick();
        CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'ready'"), 1);
        if (!CHECK(claim_ttl(&claim, 30000)))
            return;
        CHECK_STR(claim.stage, order[i]);
        CHECK_INT(claim.inputs_count, i == 0 ? 0 : i == 2 || i == 3 ? 2 : 1);
        if (i == 3) {
            CHECK_STR(claim.inputs[0].name, "foundation");
            CHECK_STR(claim.inputs[1].name, "align");
            CHECK_STR(claim.inputs[1].files.at[0].path, "align");
        }
        CHECK_STR(text("SELECT state FROM sea.experiment"), "running");
        commit(&claim);
    }
    CHECK_STR(text("SELECT state FROM sea.experiment"), "succeeded");
    check_invariants();
}

static void
the_same_work_is_done_once(void)
{
    struct sea_claim claim;
    int i;

    fresh();
    for (i = 0; i < 10; i++)
        submit("{\"name\":\"same\",\"seed\":7," FULL, NULL);
    tick();
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'ready'"), 1);
    CHECK_STR(text("SELECT reason FROM sea.why_pending WHERE experiment_id = 2 AND stage ="
                   " 'foundation'"),
              "stage run 1 of experiment 1 computes the same thing (ready)");
    for (i = 0; i < 5; i++) {
        CHECK(claim_ttl(&claim, 30000));
        commit(&claim);
        tick();
    }
    CHECK_INT(number("SELECT count(*) FROM sea.attempt"), 5);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'cached'"), 45);
    CHECK_INT(number("SELECT count(*) FROM sea.experiment WHERE state = 'succeeded'"), 10);
    CHECK_INT(number("SELECT count(*) FROM sea.flight"), 0);
    check_invariants();
}

static void
a_waiter_takes_over_when_the_owner_fails(void)
{
    struct sea_claim claim;
    struct sea_err why = { 0 }, err = { 0 };
    char state[16];

    fresh();
    submit("{\"name\":\"a\",\"seed\":7," FULL, NULL);
    submit("{\"name\":\"b\",\"seed\":7," FULL, NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    sea_fail(&why, SEA_E_FORMAT, "row 5 has no caption");
    CHECK_OK(sea_queue_fail(db, &claim.fence, "invalid", 65, &why, state, &err), err);
    CHECK_STR(state, "failed");
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY id) FROM sea.stage_run"
                   " WHERE experiment_id = 1"), "failed skipped skipped skipped skipped");
    CHECK_STR(text("SELECT state FROM sea.experiment WHERE id = 1"), "failed");
    CHECK_INT(tick().readied, 1);
    CHECK(claim_ttl(&claim, 30000));
    CHECK_INT(claim.experiment_id, 2);
    check_invariants();
}

static void
batches_arrive_once(void)
{
    const char *batch = "{\"metrics\":[[\"loss\",1,2.5],[\"loss\",2,null]],"
                        "\"logs\":[[\"info\",\"hello\"]],\"progress\":[2,10,\"steps\"]}";
    struct sea_claim claim;
    struct sea_err err = { 0 };

    fresh();
    claim = claim_new(1, 30000);
    CHECK_OK(sea_queue_relay(db, &claim.fence, 1, batch, &err), err);
    CHECK_OK(sea_queue_relay(db, &claim.fence, 1, batch, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 2);
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE kind = 'log'"), 1);
    CHECK_STR(text("SELECT value::text FROM sea.metric WHERE step = 2"), "NaN");
    CHECK_STR(text("SELECT done || '/' || total || ' ' || unit FROM sea.experiment_status"),
              "2/10 steps");
}

/* What only a living attempt needs goes with its lease, whichever way it ends. */
static void
an_ended_attempt_leaves_no_rows(void)
{
    struct sea_artifacts files;
    struct sea_claim claim;
    struct sea_err why = { 0 }, err = { 0 };
    char state[16];
    int i;

    fresh();
    files = one_file("x");
    sea_fail(&why, SEA_E_IO, "disk");
    for (i = 0; i < 4; i++) {
        claim = claim_new(i, i == 1 ? 1 : 30000);
        CHECK_OK(sea_queue_relay(db, &claim.fence, 1, "{\"metrics\":[[\"l\",1,1]]}", &err), err);
        CHECK_OK(sea_queue_prepare(db, &claim.fence, &files, "[[\"b\",\"s\"]]", &condemned, &err),
                 err);
        CHECK_OK(sea_queue_answers(db, &claim.fence, "b", "s", false, 0, "[{\"id\":1}]", &err),
                 err);
        CHECK_INT(number("SELECT count(*) FROM sea.pin"), 1);
        if (i == 0)
            commit(&claim);
        else if (i == 1) {
            sea_clock_sleep_ms(10);
            CHECK_INT(tick().rescued, 1);
        } else if (i == 2)
            CHECK_OK(sea_queue_fail(db, &claim.fence, "invalid", 65, &why, state, &err), err);
        else
            CHECK_OK(sea_queue_release(db, &claim.fence, "pause", 60000, &err), err);
        CHECK_INT(number("SELECT count(*) FROM sea.batch"), 0);
        CHECK_INT(number("SELECT count(*) FROM sea.pin"), 0);
        CHECK_INT(number("SELECT count(*) FROM sea.answer"), 1);        /* of the committed one */
        run_sql("SELECT sea.cancel(id) FROM sea.experiment WHERE ended_at IS NULL");
    }
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 4);
}

static void
limits_hold_for_queues_and_users(void)
{
    struct sea_claim claims[6];
    struct sea_err err = { 0 };
    char config[128];
    int i;

    fresh();
    run_sql("SELECT sea.set_limit('queue', 'default', 2)");
    for (i = 0; i < 6; i++) {
        snprintf(config, sizeof(config), ONE, i);
        submit(config, NULL);
    }
    tick();
    CHECK(claim_ttl(&claims[0], 30000));
    CHECK(claim_ttl(&claims[1], 1));
    CHECK(!claim_ttl(&claims[2], 30000));
    sea_clock_sleep_ms(10);
    CHECK_INT(tick().rescued, 1);       /* the zombie's place is free, once */
    CHECK(claim_ttl(&claims[2], 30000));
    CHECK(!claim_ttl(&claims[3], 30000));
    expect_fenced(sea_queue_release(db, &claims[1].fence, "late", 0, &err), &err, "zombie");
    CHECK(!claim_ttl(&claims[3], 30000));
    run_sql("SELECT sea.set_limit('queue', 'default', 3)");
    CHECK(claim_ttl(&claims[3], 30000));
    run_sql("SELECT sea.set_limit('queue', 'default', 1)");
    commit(&claims[0]);
    CHECK(!claim_ttl(&claims[4], 30000));
    commit(&claims[2]);
    CHECK(!claim_ttl(&claims[4], 30000));       /* one runs still */
    commit(&claims[3]);
    CHECK(claim_ttl(&claims[4], 30000));
    run_sql("SELECT sea.set_limit('queue', 'default', NULL)");
    /* a user whose place is taken does not hold up another, whatever the order */
    run_sql("UPDATE sea.stage_run SET owner = 'ann', priority = 9 WHERE ended_at IS NULL");
    run_sql("SELECT sea.set_limit('user', 'ann', 1)");
    submit("{\"name\":\"bob\",\"seed\":77,\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK(claim_ttl(&claims[5], 30000));
    CHECK_INT(claims[5].experiment_id, 7);
    CHECK(!claim_ttl(&claims[5], 30000));
    CHECK_INT(number("SELECT count(*) FROM sea.slot WHERE stage_id IS NOT NULL"), 1);
    commit(&claims[4]);
    CHECK(claim_ttl(&claims[5], 30000));
    CHECK_STR(sqlstate("SELECT sea.set_limit('planet', 'x', 1)"), "LF010");
    check_invariants();
}

static void
the_urgent_come_first_and_waiting_counts(void)
{
    struct sea_claim claim;
    struct sea_err err = { 0 };

    fresh();
    submit("{\"name\":\"a\",\"seed\":1,\"stages\":{\"label\":{}}}", NULL);
    submit("{\"name\":\"b\",\"seed\":2,\"stages\":{\"label\":{}},"
           "\"resources\":{\"priority\":3,\"hours\":0.5}}", NULL);
    submit("{\"name\":\"c\",\"seed\":3,\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK_INT(number("SELECT sea.set_priority(3, 2)"), 1);
    run_sql("UPDATE sea.stage_run SET ready_at = ready_at - interval '45 min' WHERE id = 1");
    tick();
    CHECK(claim_ttl(&claim, 30000));
    CHECK_INT(claim.experiment_id, 1);
    CHECK_INT(number("SELECT priority FROM sea.stage_run WHERE id = 1"), 0);
    CHECK(claim_ttl(&claim, 30000));
    CHECK_INT(claim.experiment_id, 2);
    CHECK_INT(claim.timeout_ms, 1800000);
    CHECK_OK(sea_queue_release(db, &claim.fence, "pause", 60000, &err), err);
    CHECK(claim_ttl(&claim, 30000));
    CHECK_INT(claim.experiment_id, 3);
    CHECK_INT(claim.timeout_ms, 0);
}

static void
a_draining_worker_gets_nothing_more(void)
{
    struct sea_claim claim;
    struct sea_err err = { 0 };
    enum sea_drain drain = SEA_DRAIN_NO;
    bool cancel;

    fresh();
    claim = claim_new(1, 30000);
    run_sql("SELECT sea.drain(1)");
    CHECK_OK(sea_queue_heartbeat(db, &claim.fence, 30000, &cancel, &drain, &err), err);
    CHECK_INT(drain, SEA_DRAIN_FINISH);
    submit("{\"name\":\"x\",\"seed\":9,\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK(!claim_ttl(&claim, 30000));
    run_sql("SELECT sea.drain(1, 'checkpoint')");
    CHECK_OK(sea_queue_worker_beat(db, worker, &drain, &err), err);
    CHECK_INT(drain, SEA_DRAIN_CHECKPOINT);
    CHECK_STR(sqlstate("SELECT sea.drain(99)"), "LF012");
    CHECK_STR(sqlstate("SELECT sea.drain(1, 'never')"), "LF010");
}

static void
the_curve_follows_the_resumed_attempts(void)
{
    struct sea_artifacts files;
    struct sea_claim claim;
    struct sea_err err = { 0 };
    const char *gone;

    fresh();
    claim = claim_new(1, 1);
    files = one_file("state");
    CHECK_OK(sea_queue_relay(db, &claim.fence, 1,
                             "{\"metrics\":[[\"l\",1,1],[\"l\",2,1],[\"l\",3,1]]}", &err), err);
    CHECK_OK(sea_queue_checkpoint(db, &claim.fence, 2, "1.1.2", &files, arena, &gone, &err), err);
    sea_clock_sleep_ms(10);
    CHECK_INT(tick().rescued, 1);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    CHECK_STR(claim.checkpoint.name, "1.1.2");
    CHECK_INT(claim.checkpoint.step, 2);
    CHECK_OK(sea_queue_start(db, &claim.fence, 5, true, &claim, &err), err);
    CHECK_OK(sea_queue_relay(db, &claim.fence, 1, "{\"metrics\":[[\"l\",3,2],[\"l\",4,2]]}", &err),
             err);
    CHECK_OK(sea_queue_checkpoint(db, &claim.fence, 4, "1.2.4", &files, arena, &gone, &err), err);
    CHECK_STR(gone, "[\"1.1.2\"]");
    CHECK_STR(text("SELECT string_agg(step || ':' || value, ' ' ORDER BY step)"
                   " FROM sea.metric_series WHERE experiment_id = 1 AND name = 'l'"),
              "1:1 2:1 3:2 4:2");
    commit(&claim);
    CHECK_STR(text("SELECT string_agg(step || ':' || value, ' ' ORDER BY step)"
                   " FROM sea.metric_series WHERE experiment_id = 1 AND name = 'l'"),
              "1:1 2:1 3:2 4:2");
    CHECK_INT(number("SELECT count(*) FROM sea.checkpoint"), 0);
}

/* Each attempt tells a figure of its own and one that the next tells again. */
static void
figures_without_a_step_outlive_their_attempts(void)
{
    struct sea_artifacts files;
    struct sea_claim claim;
    struct sea_err err = { 0 };
    const char *gone;
    char told[128], name[16];
    int i;

    fresh();
    submit("{\"name\":\"x\",\"seed\":1,\"stages\":{\"label\":{}}}", NULL);
    tick();
    for (i = 1; i <= 3; i++) {
        CHECK(claim_ttl(&claim, i < 3 ? 1 : 30000));
        files = one_file("state");
        CHECK_OK(sea_queue_start(db, &claim.fence, 5, i > 1, &claim, &err), err);
        snprintf(told, sizeof(told), "{\"metrics\":[[\"f%d\",0,%d],[\"g\",0,%d],[\"l\",%d,%d]]}",
                 i, i, i, 10 * i, i);
        CHECK_OK(sea_queue_relay(db, &claim.fence, 1, told, &err), err);
        if (i == 3)
            break;
        snprintf(name, sizeof(name), "1.%d.%d", i, 10 * i);
        CHECK_OK(sea_queue_checkpoint(db, &claim.fence, 10 * i, name, &files, arena, &gone, &err),
                 err);
        sea_clock_sleep_ms(10);
        CHECK_INT(tick().rescued, 1);
        tick();
    }
    CHECK_STR(text("SELECT string_agg(name || ':' || step || ':' || value, ' ' ORDER BY name, step)"
                   " FROM sea.metric_series WHERE experiment_id = 1"),
              "f1:0:1 f2:0:2 f3:0:3 g:0:3 l:10:1 l:20:2 l:30:3");
    commit(&claim);
    CHECK_STR(text("SELECT string_agg(name || ':' || step || ':' || value, ' ' ORDER BY name, step)"
                   " FROM sea.metric_series WHERE experiment_id = 1"),
              "f1:0:1 f2:0:2 f3:0:3 g:0:3 l:10:1 l:20:2 l:30:3");
}

/* ---- budgets, cancel, retry ---- */

static void
failures_and_losses_have_budgets(void)
{
    struct sea_err why = { 0 }, err = { 0 };
    struct sea_claim claim;
    char state[16];
    int i;

    fresh();
    sea_fail(&why, SEA_E_IO, "disk full");
    claim = claim_new(1, 30000);
    run_sql("UPDATE sea.stage_run SET backoff_ms = 1");
    for (i = 1; i <= 3; i++) {
        CHECK_OK(sea_queue_fail(db, &claim.fence, "error", 74, &why, state, &err), err);
        CHECK_STR(state, i < 3 ? "backoff" : "failed");
        sea_clock_sleep_ms(30);
        tick();
        if (i < 3 && !CHECK(claim_ttl(&claim, 30000)))
            return;
    }
    CHECK_STR(text("SELECT message FROM sea.attempt WHERE epoch = 3"), "disk full");
    CHECK_STR(text("SELECT reason FROM sea.stage_run"), "disk full");
    claim = claim_new(2, 1);
    for (i = 1; i <= 6; i++) {
        sea_clock_sleep_ms(10);
        CHECK_INT(tick().rescued, 1);
        CHECK_STR(text("SELECT state FROM sea.stage_run WHERE id = 2"),
                  i <= 5 ? "ready" : "quarantined");
        if (i <= 5 && !CHECK(claim_ttl(&claim, 1)))
            return;
    }
    CHECK_INT(number("SELECT failures FROM sea.stage_run WHERE id = 2"), 0);
    run_sql("SELECT sea.release_quarantine(2, 'the disk was replaced')");
    CHECK(claim_ttl(&claim, 30000));
    for (i = 0; i < 10; i++) {          /* a pause costs nothing */
        CHECK_OK(sea_queue_release(db, &claim.fence, "stopped", 0, &err), err);
        tick();
        if (!CHECK(claim_ttl(&claim, 30000)))
            return;
    }
    commit(&claim);
    check_invariants();
}

static void
cancel_reaches_every_state(void)
{
    struct sea_claim claim;
    struct sea_err err = { 0 };
    bool cancel = false;
    enum sea_drain drain;
    int64_t again;

    fresh();
    submit("{\"name\":\"queued\",\"seed\":1," FULL, NULL);
    tick();
    CHECK_STR(text("SELECT sea.cancel(1)"), "cancelled");
    CHECK_INT(number("SELECT count(*) FROM sea.flight"), 0);
    submit("{\"name\":\"running\",\"seed\":2," FULL, NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    CHECK_STR(text("SELECT sea.cancel(2)"), "cancelling");
    CHECK_OK(sea_queue_heartbeat(db, &claim.fence, 30000, &cancel, &drain, &err), err);
    CHECK(cancel);
    CHECK_OK(sea_queue_cancelled(db, &claim.fence, &err), err);
    CHECK_STR(text("SELECT state FROM sea.experiment WHERE id = 2"), "cancelled");
    CHECK_STR(text("SELECT sea.cancel(2)"), "cancelled");
    CHECK_STR(sqlstate("SELECT sea.cancel(77)"), "LF012");
    again = number("SELECT sea.retry(2)");
    CHECK_INT(again, 3);
    tick();
    CHECK(claim_ttl(&claim, 1));
    CHECK_STR(text("SELECT sea.cancel(3)"), "cancelling");
    sea_clock_sleep_ms(10);
    CHECK_INT(tick().rescued, 1);       /* the worker died before it could obey */
    CHECK_STR(text("SELECT state FROM sea.experiment WHERE id = 3"), "cancelled");
    submit("{\"name\":\"late\",\"seed\":3,\"stages\":{\"label\":{}}}", NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    CHECK_STR(text("SELECT sea.cancel(4)"), "cancelling");
    commit(&claim);                     /* too late */
    CHECK_STR(text("SELECT state FROM sea.experiment WHERE id = 4"), "succeeded");
    check_invariants();
}

static void
retry_finds_finished_stages_in_the_cache(void)
{
    struct sea_err why = { 0 }, err = { 0 };
    struct sea_claim claim;
    char state[16];

    fresh();
    submit("{\"name\":\"r\",\"seed\":1," FULL, NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    commit(&claim);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    sea_fail(&why, SEA_E_MISSING, "no words");
    CHECK_OK(sea_queue_fail(db, &claim.fence, "invalid", 66, &why, state, &err), err);
    CHECK_STR(sqlstate("SELECT sea.retry(99)"), "LF012");
    CHECK_INT(number("SELECT sea.retry(1)"), 2);
    tick();
    CHECK_STR(text("SELECT stage_states FROM sea.experiment_status WHERE experiment_id = 2"),
              "foundation:cached label:ready align:blocked tune:blocked eval:blocked");
    CHECK_STR(sqlstate("SELECT sea.retry(2)"), "LF012");
    CHECK_INT(number("SELECT retry_of FROM sea.experiment WHERE id = 2"), 1);
}

static void
a_key_that_cannot_be_computed_fails_the_stage(void)
{
    fresh();
    submit("{\"name\":\"n\",\"mode\":\"nokey\"," FULL, NULL);
    CHECK_INT(tick().failed, 1);
    CHECK_STR(text("SELECT state FROM sea.experiment"), "failed");
    CHECK_STR(text("SELECT reason FROM sea.stage_run WHERE id = 1"), "data is not there");
}

/* ---- scores ---- */

static void
answer_all(const struct sea_claim *claim, int flip, const char *value)
{
    struct sea_artifacts files = one_file(flip ? "b" : "a");
    struct sea_buf rows;
    struct sea_err err = { 0 };
    const char *gone;
    char scores[256];
    int i;

    sea_buf_init(&rows, 1 << 20);
    for (i = 0; i < 40; i++)
        sea_buf_addf(&rows, "%s{\"id\":%d,\"cluster\":\"img%d\",\"score\":%d}", i ? "," : "[", i,
                     i / 2, flip ? i % 4 != 0 : i % 2);
    sea_buf_puts(&rows, "]");
    snprintf(scores, sizeof(scores), "[{\"benchmark\":\"pope\",\"split\":\"random\",\"control\":"
             "false,\"metric\":\"accuracy\",\"value\":%s,\"n\":40,\"se\":0.1,\"low\":0.3,"
             "\"high\":0.9}]", value);
    CHECK_OK(sea_queue_prepare(db, &claim->fence, &files, "[[\"pope\",\"random\"]]",
                               &condemned, &err), err);
    CHECK_OK(sea_queue_answers(db, &claim->fence, "pope", "random", false, 0, rows.data, &err),
             err);
    CHECK_OK(sea_queue_answers(db, &claim->fence, "pope", "random", false, 0, rows.data, &err),
             err);
    CHECK_OK(sea_queue_commit(db, &claim->fence, &files, files.at[0].sha256, scores, NULL, arena, &gone,
                              &err), err);
    sea_buf_release(&rows);
}

static void
scores_reach_the_board_and_compare_in_pairs(void)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    struct sea_claim claim;

    fresh();
    submit("{\"name\":\"a\",\"seed\":1,\"stages\":{\"eval\":{\"suite\":\"demo\"}}}", NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    CHECK_INT(number("SELECT count(*) FROM sea.leaderboard"), 0);
    answer_all(&claim, 0, "0.5");
    submit("{\"name\":\"b\",\"seed\":2,\"stages\":{\"eval\":{\"suite\":\"demo\"}}}", NULL);
    tick();
    CHECK(claim_ttl(&claim, 30000));
    answer_all(&claim, 1, "0.75");
    CHECK_INT(number("SELECT count(*) FROM sea.answer"), 80);
    CHECK_STR(text("SELECT string_agg(experiment || ' ' || rank || ' ' || value, ', ' ORDER BY"
                   " rank) FROM sea.leaderboard WHERE suite = 'demo'"), "b 1 0.75, a 2 0.5");
    /* d is 1 for every fourth answer: per image pair sums 0 and 1, mean 0.25; the clustered
     * error is sqrt(20/19 * 20 * 0.25) / 40 = 0.0573539. */
    CHECK_OK(sea_db_query_text(db, "SELECT * FROM sea.compare(1, 2)", &rows, &err), err);
    if (!CHECK_INT(sea_rows_count(rows), 1))
        return;
    CHECK_INT(sea_rows_int(rows, 0, "n", &err), 40);
    CHECK_INT(sea_rows_int(rows, 0, "clusters", &err), 20);
    CHECK_NEAR(sea_rows_real(rows, 0, "difference", &err), 0.25, 1e-12);
    CHECK_NEAR(sea_rows_real(rows, 0, "se", &err), 0.05735393346764044, 1e-12);
    CHECK_NEAR(sea_rows_real(rows, 0, "low", &err), 0.25 - 2.0930240544 * 0.05735393346764044,
               1e-5);
    CHECK_NEAR(sea_rows_real(rows, 0, "p", &err), 0.000337882, 5e-6);  /* t = 4.3589, df 19 */
    CHECK_OK(err.status, err);
    sea_rows_close(rows);
}

/* Twenty stages that read one data set: it is hashed once, and once more when it has changed. */
static void
keys_of_many_stages_read_their_data_once(void)
{
    struct sea_scheduler_options options = { .memo = sea_digest_memo_create(50, -1) };
    struct sea_scheduler_counts counts;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX], config[SEA_PATH_MAX + 200];
    int i;

    fresh();
    must(sea_path_join(path, sea_test_dir(), "rows.json", &err), &err);
    CHECK_OK(sea_file_replace(path, "[]", 2, &err), err);
    sea_clock_sleep_ms(150);
    for (i = 0; i < 20; i++) {
        snprintf(config, sizeof(config), "{\"name\":\"many\",\"data\":{\"pretrain\":{\"json\":\"%s\","
                 "\"images\":\"%s\"}},\"stages\":{\"label\":{\"top\":%d}}}", path, sea_test_dir(), i);
        submit(config, NULL);
        if (i == 15) {
            CHECK_OK(sea_scheduler_tick(db, &options, &counts, &err), err);
            CHECK_INT(sea_digest_memo_counts(options.memo).computed, 1);
            CHECK_OK(sea_file_replace(path, "[ ]", 3, &err), err);
            sea_clock_sleep_ms(150);
        }
    }
    CHECK_OK(sea_scheduler_tick(db, &options, &counts, &err), err);
    CHECK_INT(number("SELECT count(DISTINCT key) FROM sea.stage_run"), 20);
    CHECK_INT(sea_digest_memo_counts(options.memo).computed, 2);
    CHECK_INT(sea_digest_memo_counts(options.memo).found, 18);
    sea_digest_memo_destroy(options.memo);
}

SEA_TEST_MAIN("queue: schema, fence, graph, cache, budgets",
              TEST(migrations_apply_once_and_refuse_edits), TEST(everything_has_a_comment),
              TEST(every_named_query_fits_the_schema),
              TEST(every_transition_is_legal_or_refused), TEST(tables_guard_their_states),
              TEST(partitions_are_made_ahead), TEST(submit_makes_the_graph),
              TEST(submit_refuses_what_it_cannot_run), TEST(submit_is_idempotent),
              TEST(eight_workers_claim_each_stage_once), TEST(a_zombie_can_write_nothing),
              TEST(an_expired_lease_nobody_took_still_counts),
              TEST(rescue_and_commit_race_to_one_winner), TEST(a_lost_answer_is_resolved),
              TEST(stages_follow_the_graph), TEST(the_same_work_is_done_once),
              TEST(a_waiter_takes_over_when_the_owner_fails), TEST(batches_arrive_once), TEST(an_ended_attempt_leaves_no_rows),
              TEST(limits_hold_for_queues_and_users),
              TEST(the_urgent_come_first_and_waiting_counts),
              TEST(a_draining_worker_gets_nothing_more),
              TEST(the_curve_follows_the_resumed_attempts),
              TEST(figures_without_a_step_outlive_their_attempts),
              TEST(failures_and_losses_have_budgets), TEST(cancel_reaches_every_state),
              TEST(retry_finds_finished_stages_in_the_cache),
              TEST(a_key_that_cannot_be_computed_fails_the_stage),
              TEST(keys_of_many_stages_read_their_data_once),
              TEST(scores_reach_the_board_and_compare_in_pairs))
