/* SPDX-License-Identifier: Apache-2.0 */
/* What clients ask: comparison against its formula, sweeps as a whole, curves, status. */
#include "pipeline/sea_stats.h"
#include "tests/scheduler/seed.h"

#define QUESTIONS 300

static double
real(const char *sql)
{
    return strtod(text(sql), NULL);
}

/* ---- distributions: SQL against C ---- */

static void
distributions_in_sql_are_those_in_c(void)
{
    static const double ts[] = { 0, 0.1, 0.7, 1.96, 3.5, 8 }, dfs[] = { 1, 2, 5, 29, 400, 20000 };
    static const double ps[] = { 0.025, 0.6, 0.95, 0.975, 0.99875, 0.999999 };
    double worst_p = 0, worst_q = 0, worst_z = 0;
    char sql[200];
    size_t i, j;

    service_begin();
    for (i = 0; i < 6; i++)
        for (j = 0; j < 6; j++) {
            double want = sea_stats_t_p(ts[i], dfs[j]), got;

            snprintf(sql, sizeof(sql), "SELECT sea.t_p_value(%.17g, %.17g)", ts[i], dfs[j]);
            got = real(sql);
            worst_p = fmax(worst_p, fabs(got - want) / fmax(want, 1e-12));
            want = sea_stats_t_quantile(ps[i], dfs[j]);
            snprintf(sql, sizeof(sql), "SELECT sea.t_quantile(%.17g, %.17g)", ps[i], dfs[j]);
            worst_q = fmax(worst_q, fabs(real(sql) - want) / fabs(want));
        }
    for (i = 0; i < 6; i++) {
        snprintf(sql, sizeof(sql), "SELECT sea.normal_quantile(%.17g)", ps[i]);
        worst_z = fmax(worst_z, fabs(real(sql) - sea_stats_normal_quantile(ps[i])));
    }
    printf("largest relative differences: p %.1e, t quantile %.1e; normal quantile %.1e\n",
           worst_p, worst_q, worst_z);
    CHECK(worst_p < 1e-9);
    CHECK(worst_q < 1e-9);
    CHECK(worst_z < 1e-9);
    CHECK_STR(text("SELECT sea.t_p_value(1, 0)"), "");
    CHECK_NEAR(real("SELECT sea.sign_test(1, 6)"), 2 * 8.0 / 128, 1e-12);
    CHECK_NEAR(real("SELECT sea.sign_test(10, 3)"), 2 * 378.0 / 8192, 1e-12);
    CHECK_NEAR(real("SELECT sea.sign_test(5, 5)"), 1, 0);
    CHECK_NEAR(real("SELECT sea.sign_test(0, 0)"), 1, 0);
}

/* ---- comparison ---- */

/* Answers of two experiments whose clusters have different sizes, from a small generator;
 * the same numbers go into the sandwich formula here. */
struct twins {
    double a[QUESTIONS], b[QUESTIONS];
    int cluster[QUESTIONS], clusters;
};

static void
make_twins(struct twins *t)
{
    uint64_t x = 88172645463325252u;
    int i, left = 0;

    t->clusters = 0;
    for (i = 0; i < QUESTIONS; i++) {
        x ^= x << 13, x ^= x >> 7, x ^= x << 17;
        if (left-- == 0) {
            t->clusters++;
            left = (int)(x % 7);
        }
        t->cluster[i] = t->clusters - 1;
        t->a[i] = (double)(x >> 20 & 3) / 3;
        t->b[i] = (x >> 30 & 7) < 5 ? t->a[i] : (x >> 40 & 3) > 0;
    }
}

static void
store_twins(const struct twins *t)
{
    struct sea_buf sql;
    int side, i;

    sea_buf_init(&sql, 1 << 20);
    for (side = 0; side < 2; side++) {
        sea_buf_clear(&sql);
        sea_buf_addf(&sql, "WITH e AS (SELECT seed.experiment('twin %d', 1) AS id)"
                     " INSERT INTO sea.answer (stage_id, epoch, benchmark_id, seq, item, cluster,"
                     " score) SELECT seed.stage(e.id), 1, seed.benchmark('pope'), r.seq, r.item,"
                     " r.cluster, r.score FROM e, (VALUES ", side);
        for (i = 0; i < QUESTIONS; i++)
            sea_buf_addf(&sql, "%s(%d, 'q%d', 'img%d', %.17g)", i ? "," : "", i, i, t->cluster[i],
                         side ? t->b[i] : t->a[i]);
        sea_buf_puts(&sql, ") AS r (seq, item, cluster, score)");
        run_sql(sql.data);
        snprintf(sql.data, 64, "SELECT seed.done(%d)", side + 1);
        run_sql(sql.data);
    }
    sea_buf_release(&sql);
}

static void
comparison_is_the_clustered_sandwich(void)
{
    static struct twins t;
    double mean = 0, squares = 0, sum[QUESTIONS] = { 0 }, se, half, g;
    int i, more = 0, less = 0;

    seed_begin();
    make_twins(&t);
    store_twins(&t);
    for (i = 0; i < QUESTIONS; i++) {
        mean += (t.b[i] - t.a[i]) / QUESTIONS;
        more += t.b[i] > t.a[i];
        less += t.b[i] < t.a[i];
    }
    for (i = 0; i < QUESTIONS; i++)
        sum[t.cluster[i]] += t.b[i] - t.a[i] - mean;
    for (i = 0; i < t.clusters; i++)
        squares += sum[i] * sum[i];
    g = t.clusters;
    se = sqrt(g / (g - 1) * squares) / QUESTIONS;
    half = sea_stats_t_quantile(0.975, g - 1) * se;
    printf("difference %.6f, clustered se %.6f, %d clusters\n", mean, se, t.clusters);
    CHECK(se > 0.01 && fabs(mean) > 0.01);
    CHECK_INT(number("SELECT n FROM sea.compare(1, 2)"), QUESTIONS);
    CHECK_INT(number("SELECT clusters FROM sea.compare(1, 2)"), t.clusters);
    CHECK_NEAR(real("SELECT difference FROM sea.compare(1, 2)"), mean, 1e-12);
    CHECK_NEAR(real("SELECT se FROM sea.compare(1, 2)"), se, 1e-12);
    CHECK_NEAR(real("SELECT low FROM sea.compare(1, 2)"), mean - half, 1e-9);
    CHECK_NEAR(real("SELECT high FROM sea.compare(1, 2)"), mean + half, 1e-9);
    CHECK_NEAR(real("SELECT p FROM sea.compare(1, 2)"), sea_stats_t_p(mean / se, g - 1), 1e-9);
    CHECK_INT(number("SELECT only_b FROM sea.compare(1, 2)"), more);
    CHECK_INT(number("SELECT only_a FROM sea.compare(1, 2)"), less);
    CHECK_NEAR(real("SELECT difference FROM sea.compare(2, 1)"), -mean, 1e-12);
    CHECK_NEAR(real("SELECT p FROM sea.compare(1, 1)"), 1, 0);
    CHECK_INT(number("SELECT count(*) FROM sea.questions(1) x JOIN sea.questions(2) y"
                     " USING (benchmark_id, n, digest)"), 1);
    run_sql("UPDATE sea.answer SET gold = '\"other\"' WHERE stage_id = 1 AND seq = 7");
    CHECK_INT(number("SELECT count(*) FROM sea.questions(1) x JOIN sea.questions(2) y"
                     " USING (benchmark_id, n, digest)"), 0);
}

static void
without_spread_or_clusters_nothing_is_claimed(void)
{
    seed_begin();
    run_sql("SELECT seed.experiment('a', 1), seed.experiment('b', 1)");
    run_sql("INSERT INTO sea.answer (stage_id, epoch, benchmark_id, seq, item, cluster, score)"
            " SELECT seed.stage(e), 1, seed.benchmark(b), i, i::text,"
            "        CASE b WHEN 'one picture' THEN 'img' ELSE i::text END,"
            "        CASE e WHEN 1 THEN 0 WHEN 2 THEN CASE b WHEN 'one picture' THEN i % 2"
            "                                          ELSE 1 END END"
            "   FROM generate_series(1, 2) e, generate_series(1, 8) i,"
            "        unnest(ARRAY['one picture', 'all better']) b");
    run_sql("SELECT seed.done(1), seed.done(2)");
    CHECK_STR(text("SELECT p FROM sea.compare(1, 2) WHERE benchmark = 'one picture'"), "");
    CHECK_NEAR(real("SELECT p FROM sea.compare(1, 2) WHERE benchmark = 'all better'"),
               2.0 / 256, 1e-12);
}

/* ---- sweeps ---- */

static void
a_sweep_is_queued_whole_or_not_at_all(void)
{
    seed_begin();
    CHECK_STR(sqlstate("SELECT * FROM sea.submit_all('[{\"name\":\"a\",\"stages\":{\"eval\":{}}},"
                       "{\"name\":\"b\",\"stages\":{\"nonsense\":{}}}]', 'k')"), "LF010");
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 0);
    CHECK_STR(sqlstate("SELECT * FROM sea.submit_all('{}')"), "LF010");
    CHECK_STR(text("SELECT string_agg(e.name, ' ' ORDER BY s.experiment_id) FROM sea.submit_all("
                   "'[{\"name\":\"a\",\"stages\":{\"eval\":{}}},"
                   "{\"name\":\"b\",\"stages\":{\"eval\":{}}}]', 'k') s"
                   " JOIN sea.experiment e ON e.id = s.experiment_id"), "");
    CHECK_STR(text("SELECT string_agg(name || ':' || submit_key, ' ' ORDER BY id)"
                   " FROM sea.experiment"), "a:k#a b:k#b");
    run_sql("SELECT * FROM sea.submit_all('[{\"name\":\"a\",\"stages\":{\"eval\":{}}},"
            "{\"name\":\"b\",\"stages\":{\"eval\":{}}}]', 'k')");
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 2);
}

/* ---- status and curves ---- */

static void
progress_is_of_one_stage(void)
{
    seed_begin();
    submit("{\"name\":\"two\",\"stages\":{\"foundation\":{},\"label\":{}}}", NULL);
    run_sql("UPDATE sea.stage_run SET key = repeat('a', 64) WHERE stage = 'foundation'");
    run_sql("UPDATE sea.stage_run SET key = repeat('b', 64) WHERE stage = 'label'");
    run_sql("UPDATE sea.stage_run SET state = 'ready', ready_at = now()");
    run_sql("UPDATE sea.stage_run SET state = 'running', last_epoch = 1");
    run_sql("INSERT INTO sea.lease (stage_id, epoch, worker_id, secret, expires_at, done, total,"
            " unit) SELECT id, 1, 1, gen_random_uuid(), now() + interval '1 hour',"
            " CASE stage WHEN 'label' THEN 90 ELSE 3 END,"
            " CASE stage WHEN 'label' THEN 100 ELSE 700 END,"
            " CASE stage WHEN 'label' THEN 'images' ELSE 'steps' END FROM sea.stage_run");
    CHECK_STR(text("SELECT running || ' ' || done || ' ' || total || ' ' || unit"
                   " FROM sea.experiment_status"), "foundation 3 700 steps");
}

static void
waiting_for_workers_names_the_reason(void)
{
    seed_begin();
    run_sql("DELETE FROM sea.worker");
    submit("{\"name\":\"one\",\"stages\":{\"label\":{}}}", NULL);
    run_sql("UPDATE sea.stage_run SET key = repeat('a', 64), state = 'ready', ready_at = now()");
    CHECK_STR(text("SELECT reason FROM sea.why_pending"),
              "no worker is there for queue \"default\"");
    run_sql("INSERT INTO sea.worker (host, pid, device, ttl_ms, state)"
            " VALUES ('h', 1, 'cpu', 1000, 'suspect'), ('h', 2, 'cpu', 1000, 'draining')");
    CHECK_STR(text("SELECT reason FROM sea.why_pending"),
              "no worker of queue \"default\" takes stages now: 1 silent, 1 draining");
    run_sql("INSERT INTO sea.worker (host, pid, device, ttl_ms) VALUES ('h', 3, 'cpu', 1000)");
    CHECK_STR(text("SELECT reason FROM sea.why_pending"),
              "a worker is free; 0 before it in the queue");
    run_sql("INSERT INTO sea.lease (stage_id, epoch, worker_id, secret, expires_at)"
            " SELECT 999, 1, max(id), gen_random_uuid(), now() FROM sea.worker");
    CHECK_STR(text("SELECT reason FROM sea.why_pending"),
              "all workers are busy; 0 before it in the queue");
}

/* A limit that keeps a stage from starting is told, exactly when a claim is refused for it. */
static void
waiting_for_a_limit_is_told(void)
{
    const char *claim = "SELECT count(*) FROM sea.claim((SELECT max(id) FROM sea.worker),"
                        " 'default', 60000)";
    const char *reason = "SELECT replace(w.reason, s.owner, 'ann') FROM sea.why_pending AS w"
                         " JOIN sea.stage_run AS s ON s.id = w.stage_id"
                         " WHERE s.state = 'ready' ORDER BY s.id LIMIT 1";

    seed_begin();
    run_sql("DELETE FROM sea.worker");
    for (int i = 0; i < 4; i++)
        submit("{\"name\":\"one\",\"stages\":{\"label\":{}}}", NULL);
    run_sql("UPDATE sea.stage_run SET key = repeat('a', 63) || id, state = 'ready',"
            " ready_at = now()");
    run_sql("INSERT INTO sea.worker (host, pid, device, ttl_ms) VALUES ('h', 3, 'cpu', 60000)");
    run_sql("SELECT sea.set_limit('queue', 'default', 2)");
    CHECK_STR(text(reason), "a worker is free; 0 before it in the queue");
    CHECK_INT(number(claim), 1);
    CHECK_INT(number(claim), 1);
    CHECK_STR(text(reason), "queue \"default\" is at its limit: 2 of 2 run; all workers are busy;"
                            " 0 before it in the queue");
    CHECK_INT(number(claim), 0);
    run_sql("SELECT sea.set_limit('user', session_user::text, 0)");
    CHECK_STR(text(reason), "queue \"default\" is at its limit: 2 of 2 run; user \"ann\" is held:"
                            " its limit is 0; all workers are busy; 0 before it in the queue");
    run_sql("SELECT sea.set_limit('queue', 'default', NULL)");
    CHECK_INT(number(claim), 0);
    /* Lowered to 2 while place 3 is held; the others are free since. */
    run_sql("SELECT sea.set_limit('user', session_user::text, 2)");
    run_sql("UPDATE sea.slot SET number = 3 WHERE number = 2");
    run_sql("UPDATE sea.slot SET stage_id = NULL, epoch = NULL WHERE number = 1");
    CHECK_STR(text(reason), "user \"ann\" waits for a stage from before its limit was lowered to 2;"
                            " all workers are busy; 0 before it in the queue");
    CHECK_INT(number(claim), 0);
    run_sql("SELECT sea.set_limit('user', session_user::text, NULL)");
    CHECK_STR(text(reason), "all workers are busy; 0 before it in the queue");
    CHECK_INT(number(claim), 1);
}

/* The plan of a question, one line; costs left out. */
static const char *
plan_of(const char *sql)
{
    static char out[8192];
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    struct sea_buf whole;
    size_t i;

    sea_buf_init(&whole, sizeof(out) - 1);
    sea_buf_addf(&whole, "EXPLAIN (COSTS OFF) %s", sql);
    CHECK_OK(sea_db_query_text(db, whole.data, &rows, &err), err);
    sea_buf_clear(&whole);
    for (i = 0; i < sea_rows_count(rows); i++)
        sea_buf_addf(&whole, "%s; ", sea_rows_cell(rows, i, 0));
    snprintf(out, sizeof(out), "%s", whole.data);
    sea_buf_release(&whole);
    sea_rows_close(rows);
    return out;
}

static void
questions_about_one_experiment_read_one(void)
{
    const char *plan;

    seed_begin();
    run_sql("SELECT seed.experiment('e' || i, i) FROM generate_series(1, 3000) i");
    run_sql("INSERT INTO sea.metric (stage_id, epoch, name, step, value)"
            " SELECT i, 1, 'align.loss', s, 1.0 / s FROM generate_series(1, 3000) i,"
            " generate_series(1, 20) s");
    run_sql("ANALYZE");
    plan = plan_of("SELECT step, value FROM sea.metric_series WHERE experiment_id = 77"
                   " AND name = 'align.loss' ORDER BY step");
    CHECK_MSG(!strstr(plan, "Seq Scan"), "curve: %s", plan);
    CHECK_MSG(strstr(plan, "metric_0_stage_id_epoch_name_step_value_at_idx") != NULL, "curve: %s",
              plan);
    plan = plan_of("SELECT * FROM sea.experiment_status ORDER BY experiment_id DESC LIMIT 100");
    CHECK_MSG(!strstr(plan, "Seq Scan on stage_run") && !strstr(plan, "Hash"), "status: %s", plan);
    plan = plan_of("SELECT * FROM sea.stage_timeline WHERE experiment_id = 77");
    CHECK_MSG(!strstr(plan, "Seq Scan on stage_run"), "timeline: %s", plan);
    CHECK_INT(number("SELECT count(*) FROM sea.metric_series WHERE experiment_id = 77"), 20);
}

/* Rows that anybody has read of the large tables from end to end so far. */
static int64_t
rows_scanned(void)
{
    run_sql("SELECT pg_stat_force_next_flush()");
    run_sql("SELECT pg_stat_clear_snapshot()");
    return number("SELECT sum(seq_tup_read) FROM pg_stat_user_tables WHERE schemaname = 'sea'"
                  " AND (relname IN ('stage_run', 'attempt', 'experiment', 'event', 'manifest',"
                  " 'score', 'answer', 'stage_cache', 'reuse', 'board') OR relname LIKE 'metric%')");
}

/* What schedulers and workers do again and again costs what is open, not what ever was. */
static void
what_is_done_again_and_again_reads_no_history(void)
{
    static const char *const asked[] = {
        "expired", "wake", "sweep", "waiting", "fire_schedules", "halve", "expire", "maintain",
        "metrics_now", "claim_notice",
        "SELECT sea.rescue()", "SELECT * FROM sea.claim(1, 'default', 60000)",
        "SELECT sea.set_limit('queue', 'default', 3)", "SELECT sea.set_limit('user', 'ann', 3)",
        "SELECT sea.resolve_later(77, 'x')", "SELECT sea.cancel(77)",
        "SELECT * FROM sea.drop_checkpoints(1)", "SELECT * FROM sea.gpu_status",
        "SELECT * FROM sea.stage_timeline WHERE experiment_id = 77" };
    size_t i, count = sizeof(asked) / sizeof(asked[0]);
    int64_t before, read;

    seed_begin();
    /* Without triggers: what a history of months would have left. */
    run_sql("SET session_replication_role = replica");
    run_sql("INSERT INTO sea.experiment (name, config, config_digest, state, started_at, ended_at)"
            " SELECT 'e', '{\"name\": \"e\", \"stages\": {\"label\": {}}}', 'x', 'succeeded', now(), now()"
            " FROM generate_series(1, 20000)");
    run_sql("INSERT INTO sea.stage_run (experiment_id, stage, state, unmet, key, last_epoch, done_epoch,"
            " output_stage_id, output_epoch, output_digest, ended_at, ready_at)"
            " SELECT i, 'label', 'done', 0, encode(sha256(i::text::bytea), 'hex'), 1, 1, i, 1,"
            " repeat('0', 64), now() - interval '1 year', now() FROM generate_series(1, 20000) i");
    run_sql("INSERT INTO sea.attempt (stage_id, epoch, worker_id, state, claimed_at, ended_at)"
            " SELECT i, 1, 1, 'committed', now(), now() FROM generate_series(1, 20000) i");
    run_sql("INSERT INTO sea.event (experiment_id, stage_id, kind, text)"
            " SELECT i, i, 'state', 'x' FROM generate_series(1, 20000) i");
    run_sql("INSERT INTO sea.metric (stage_id, epoch, name, step, value)"
            " SELECT i, 1, 'label.x', 1, 1 FROM generate_series(1, 20000) i");
    run_sql("RESET session_replication_role");
    run_sql("SELECT sea.set_retention('metric', 30)");
    submit("{\"name\":\"open\",\"stages\":{\"label\":{}}}", NULL);
    run_sql("ANALYZE");
    for (i = 0; i < count; i++) {
        struct sea_err err = { 0 };

        before = rows_scanned();
        if (strchr(asked[i], ' '))
            CHECK_OK(sea_db_query_text(db, asked[i], NULL, &err), err);
        else
            CHECK_OK(sea_db_query(db, asked[i], SEA_NO_PARAMS, NULL, &err), err);
        read = rows_scanned() - before;
        CHECK_MSG(read < 2000, "%s reads %lld rows of tables that grow for ever", asked[i],
                  (long long)read);
    }
    printf("  %d statements, tables of 20,000 rows: none is read from end to end\n", (int)count);
}

SEA_TEST_MAIN("client: comparison, sweeps, curves, status",
              TEST(distributions_in_sql_are_those_in_c),
              TEST(comparison_is_the_clustered_sandwich),
              TEST(without_spread_or_clusters_nothing_is_claimed),
              TEST(a_sweep_is_queued_whole_or_not_at_all), TEST(progress_is_of_one_stage),
              TEST(waiting_for_workers_names_the_reason), TEST(waiting_for_a_limit_is_told),
              TEST(questions_about_one_experiment_read_one),
              TEST(what_is_done_again_and_again_reads_no_history))
