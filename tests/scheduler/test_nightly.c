/* SPDX-License-Identifier: Apache-2.0 */
/* Nightly evaluations: cron, slots, verdicts, regressions, a hundred simulated nights. */
#include "tests/scheduler/seed.h"

#include <pthread.h>

#define EVAL "{\"name\":\"n\",\"stages\":{\"eval\":{\"suite\":\"demo\"}}}"

static void
add(const char *name, const char *cron, const char *more)
{
    char sql[1000];

    snprintf(sql, sizeof(sql), "SELECT sea.add_schedule('{\"name\":\"%s\",\"cron\":\"%s\",%s"
             "\"models\":{\"m\":" EVAL "}}')", name, cron, more);
    run_sql(sql);
}

/* ---- cron ---- */

static void
cron_expressions_name_their_minutes(void)
{
    static const struct { const char *cron, *after, *next; } cases[] = {
        { "30 2 * * *", "2026-02-27 10:07", "2026-02-28 02:30" },
        { "30 2 * * *", "2026-02-27 02:30", "2026-02-28 02:30" },
        { "*/15 * * * *", "2026-02-27 10:07", "2026-02-27 10:15" },
        { "5/20 * * * *", "2026-02-27 10:26", "2026-02-27 10:45" },
        { "0 0 29 feb *", "2026-02-27 10:07", "2028-02-29 00:00" },
        { "0 0 29 2 *", "2096-03-01 00:00", "2104-02-29 00:00" },
        { "0 12 13 * FRI", "2026-02-27 10:07", "2026-02-27 12:00" },    /* either day */
        { "0 12 13 * *", "2026-02-27 10:07", "2026-03-13 12:00" },
        { "5 4 * * mon-fri", "2026-02-27 10:07", "2026-03-02 04:05" },
        { "0 0 * * 7", "2026-02-27 10:07", "2026-03-01 00:00" },
        { "0 0 * * 0,3", "2026-03-01 10:07", "2026-03-04 00:00" },
        { "0 0-23/6 1,15 jan,jul *", "2026-02-27 10:07", "2026-07-01 00:00" },
        { "59 23 31 12 *", "2026-12-31 23:59", "2027-12-31 23:59" },
        { " 1\t2  3 4 * ", "2026-01-01 00:00", "2026-04-03 02:01" },
        { "0 0 30 2 *", "2026-01-01 00:00", "" },
    };
    char sql[300];
    size_t i;

    service_begin();
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(sql, sizeof(sql), "SELECT to_char(sea.cron_next(sea.cron_parse('%s'),"
                 " '%sZ') AT TIME ZONE 'UTC', 'YYYY-MM-DD HH24:MI')", cases[i].cron,
                 cases[i].after);
        CHECK_MSG(strcmp(text(sql), cases[i].next) == 0, "\"%s\" after %s: %s, want %s",
                  cases[i].cron, cases[i].after, text(sql), cases[i].next);
    }
}

static void
cron_nonsense_is_refused_with_its_place(void)
{
    static const struct { const char *cron; int at; } cases[] = {
        { "", 1 }, { "* * * *", 8 }, { "* * * * * *", 11 }, { "61 * * * *", 1 },
        { "* 24 * * *", 3 }, { "* * 0 * *", 5 }, { "* * * 13 *", 7 }, { "* * * * 8", 9 },
        { "a * * * *", 1 }, { "5-1 * * * *", 1 }, { "*/0 * * * *", 1 }, { "1,,2 * * * *", 3 },
        { "1,2,60 * * * *", 5 }, { "* * * * foo", 9 }, { "* * mon * *", 5 }, { "-1 * * * *", 1 },
        { "* 99999 * * *", 3 }, { "1-2-3 * * * *", 1 }, { "* * * * *; DROP", 9 },
        { "@daily", 1 }, { "1.5 * * * *", 1 },
    };
    char sql[300], want[80];
    size_t i;

    service_begin();
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        snprintf(sql, sizeof(sql), "SELECT sea.cron_parse('%s')", cases[i].cron);
        CHECK_STR(sqlstate(sql), "LF010");
        snprintf(want, sizeof(want), "cron \"%s\", character %d: ", cases[i].cron, cases[i].at);
        CHECK_MSG(strncmp(text(sql), want, strlen(want)) == 0, "%s, want %s", text(sql), want);
    }
    CHECK_STR(sqlstate("SELECT sea.cron_parse(repeat('*', 1000000))"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.cron_parse(NULL)"), "LF010");
}

/* ---- slots ---- */

static void
schedules_are_checked(void)
{
    service_begin();
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"x; DROP\",\"models\":{}}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"a\",\"cron\":\"* * * * *\"}')"),
              "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"a\",\"cron\":\"* * * * *\","
                       "\"models\":{\"m\":{\"stages\":{\"tune\":{},\"eval\":{}}}}}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"a\",\"cron\":\"0 0 31 4 *\","
                       "\"models\":{\"m\":" EVAL "}}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"a\",\"cron\":\"* * * * *\",\"q\":2,"
                       "\"models\":{\"m\":" EVAL "}}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"a\",\"cron\":\"* * * * *\","
                       "\"baseline\":\"best\",\"models\":{\"m\":" EVAL "}}')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.run_schedule('none')"), "LF012");
    CHECK_INT(number("SELECT count(*) FROM sea.schedule"), 0);
    add("a", "0 3 * * *", "");
    add("a", "0 4 * * *", "\"q\":0.05,");
    CHECK_STR(text("SELECT cron || ' ' || q FROM sea.schedule"), "0 4 * * * 0.05");
    CHECK(number("SELECT next_at > clock_timestamp() FROM sea.schedule"));
    CHECK_STR(text("SELECT sea.enable_schedule('a', false)"), "");
    run_sql("UPDATE sea.schedule SET next_at = '2026-01-01 04:00Z'");
    CHECK_INT(number("SELECT sea.fire_schedules()"), 0);
    CHECK(number("SELECT sea.enable_schedule('a', true) > clock_timestamp()"));
    CHECK_INT(number("SELECT sea.fire_schedules()"), 0);
    CHECK_STR(sqlstate("SELECT sea.enable_schedule('none', true)"), "LF012");
}

static void
missed_slots_follow_the_policy(void)
{
    static const char *const policies[] = { "last", "all", "skip" };
    static const int fired[] = { 1, 48, 0 };
    char more[80], sql[200];
    size_t i;

    for (i = 0; i < 3; i++) {
        service_begin();
        snprintf(more, sizeof(more), "\"catch_up\":\"%s\",", policies[i]);
        add("a", "0 * * * *", more);
        run_sql("UPDATE sea.schedule SET next_at = '2026-01-01 00:00Z'");
        run_sql("SELECT sea.fire_schedules('2026-01-02 23:30Z')");
        snprintf(sql, sizeof(sql), "SELECT count(*) FROM sea.night");
        CHECK_MSG(number(sql) == fired[i], "%s: %lld nights, want %d", policies[i],
                  (long long)number(sql), fired[i]);
        CHECK_STR(text("SELECT next_at = '2026-01-03 00:00Z' FROM sea.schedule"), "t");
        run_sql("SELECT sea.fire_schedules('2026-01-03 00:00:30Z')");
        CHECK_INT(number(sql), fired[i] + 1);
        run_sql("SELECT sea.fire_schedules('2026-01-03 00:00:59Z')");
        CHECK_INT(number(sql), fired[i] + 1);
    }
}

static void *
fire_many(void *arg)
{
    struct sea_db *mine = connect_more();
    struct sea_err err = { 0 };
    char sql[200];
    int i;

    (void)arg;
    for (i = 0; i < 60; i++) {
        snprintf(sql, sizeof(sql), "SELECT sea.fire_schedules(timestamptz '2026-01-01 00:00:10Z' +"
                 " interval '1 minute' * %d)", 5 * i);
        CHECK_OK(sea_db_query_text(mine, sql, NULL, &err), err);
    }
    sea_db_close(mine);
    return NULL;
}

static void
several_schedulers_start_each_slot_once(void)
{
    pthread_t threads[3];
    int i;

    service_begin();
    for (i = 0; i < 4; i++) {
        char name[16];

        snprintf(name, sizeof(name), "s%d", i);
        add(name, i % 2 ? "*/5 * * * *" : "* * * * *", "\"catch_up\":\"all\",");
    }
    run_sql("UPDATE sea.schedule SET next_at = '2026-01-01 00:00Z'");
    for (i = 0; i < 3; i++)
        pthread_create(&threads[i], NULL, fire_many, NULL);
    for (i = 0; i < 3; i++)
        pthread_join(threads[i], NULL);
    run_sql("SELECT sea.fire_schedules('2026-01-01 04:55:10Z')");
    /* 296 minutes and 60 multiples of five, each on two schedules */
    CHECK_INT(number("SELECT count(*) FROM sea.night"), 2 * (296 + 60));
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 2 * (296 + 60));
    CHECK_INT(number("SELECT count(DISTINCT submit_key) FROM sea.experiment"), 2 * (296 + 60));
    CHECK_INT(number("SELECT count(*) FROM sea.night_run"), 2 * (296 + 60));
}

static void
a_schedule_that_cannot_start_holds_up_no_other(void)
{
    service_begin();
    add("bad", "* * * * *", "");
    add("good", "* * * * *", "");
    run_sql("UPDATE sea.schedule SET config = jsonb_set(config, '{models,m,stages}',"
            " '{\"nonsense\":{}}') WHERE name = 'bad'");
    run_sql("UPDATE sea.schedule SET next_at = '2026-01-01 00:00Z'");
    run_sql("SELECT sea.fire_schedules('2026-01-01 00:00:10Z')");
    CHECK_STR(text("SELECT string_agg(s.name, ' ') FROM sea.night JOIN sea.schedule s"
                   " ON s.id = schedule_id"), "good");
    CHECK(strstr(text("SELECT text FROM sea.event WHERE level = 'error'"), "schedule bad") != NULL);
    CHECK_INT(number("SELECT count(*) FROM sea.schedule WHERE next_at = '2026-01-01 00:01Z'"), 2);
}

/* ---- verdicts ---- */

/* Answers of one evaluation. Every question of a benchmark has a base answer that depends on
 * its number alone; a night flips answers of either kind, as many to the good as to the bad,
 * and `lost` of the right ones of benchmark `hurt` besides. */
static const char *const simulation[] = {
"CREATE TABLE seed.world (benchmark_id bigint, name text, n int)",
"INSERT INTO seed.world SELECT seed.benchmark(name), name, n FROM (VALUES"
" ('pope', 2400), ('gqa', 400), ('vqav2', 400), ('scienceqa', 300)) AS w (name, n)",
"CREATE FUNCTION seed.base(b bigint, i int) RETURNS boolean LANGUAGE sql IMMUTABLE AS"
" 'SELECT (hashint8extended(b * 1000003 + i, 7) & 1023) < 717'",     /* 70 % */
"CREATE FUNCTION seed.evaluate(p_experiment bigint, noise float8, hurt text, lost float8)"
" RETURNS void LANGUAGE plpgsql AS $$ BEGIN"
" UPDATE sea.stage_run SET key = encode(sha256(('n' || p_experiment)::bytea), 'hex'),"
"   state = 'ready', ready_at = now() WHERE experiment_id = p_experiment AND state = 'waiting';"
" UPDATE sea.stage_run SET state = 'running', last_epoch = 1"
"   WHERE experiment_id = p_experiment AND state = 'ready';"
" INSERT INTO sea.answer (stage_id, epoch, benchmark_id, seq, item, cluster, score)"
" SELECT seed.stage(p_experiment), 1, w.benchmark_id, i, i, i / 2,"
"   CASE WHEN seed.base(w.benchmark_id, i)"
"        THEN random() >= 0.3 * noise + CASE WHEN w.name = hurt THEN lost / 0.7 ELSE 0 END"
"        ELSE random() < 0.7 * noise END::int"
" FROM seed.world w, generate_series(1, w.n) i;"
" PERFORM seed.done(p_experiment);"
" UPDATE sea.experiment SET state = 'succeeded', ended_at = clock_timestamp()"
"  WHERE id = p_experiment AND ended_at IS NULL;"
" END $$",
/* Starts a night of a schedule, answers it, and lets the schedulers judge; the second run that
 * they may ask for is like the first (again "same"), without the damage ("healed"), or
 * cancelled. */
"CREATE FUNCTION seed.night(p_schedule text, p_slot timestamptz, noise float8, hurt text,"
"                           lost float8, again text DEFAULT 'same') RETURNS void"
" LANGUAGE plpgsql AS $$ DECLARE one sea.night_run; BEGIN"
" PERFORM sea.fire_slot((SELECT id FROM sea.schedule WHERE name = p_schedule), p_slot);"
" SELECT r.* INTO one FROM sea.night_run r JOIN sea.schedule s ON s.id = r.schedule_id"
"  WHERE s.name = p_schedule AND r.slot = p_slot;"
" PERFORM seed.evaluate(one.experiment_id, noise, hurt, lost);"
" PERFORM sea.fire_schedules('2000-01-01Z');"
" SELECT * INTO one FROM sea.night_run WHERE experiment_id = one.experiment_id;"
" IF one.confirm_id IS NULL THEN RETURN; END IF;"
" IF again = 'cancelled' THEN PERFORM sea.cancel(one.confirm_id);"
" ELSE PERFORM seed.evaluate(one.confirm_id, noise, CASE again WHEN 'same' THEN hurt END, lost);"
" END IF;"
" PERFORM sea.fire_schedules('2000-01-01Z');"
" END $$",
};

static void
simulation_begin(void)
{
    size_t i;

    seed_begin();
    for (i = 0; i < sizeof(simulation) / sizeof(simulation[0]); i++)
        run_sql(simulation[i]);
    run_sql("SELECT setseed(0.42)");
}

static void
a_regression_opens_once_and_resolves(void)
{
    simulation_begin();
    add("a", "0 3 * * *", "");
    run_sql("SELECT seed.night('a', '2026-01-01 03:00Z', 0, NULL, 0)");
    CHECK_STR(text("SELECT verdict FROM sea.nightly_report"), "baseline");
    run_sql("SELECT seed.night('a', '2026-01-02 03:00Z', 0, NULL, 0)");
    CHECK_STR(text("SELECT string_agg(DISTINCT verdict, ' ') FROM sea.verdict"), "not worse");
    CHECK_STR(text("SELECT DISTINCT baseline_id::text FROM sea.night_run"
                   " WHERE baseline_id IS NOT NULL"), "1");
    run_sql("SELECT seed.night('a', '2026-01-03 03:00Z', 0.02, 'gqa', 0.15)");
    CHECK_STR(text("SELECT string_agg(benchmark, ' ') FROM sea.nightly_report"
                   " WHERE verdict = 'regressed'"), "gqa");
    CHECK_STR(text("SELECT state || ' ' || kind || ' ' || (first_bad = '2026-01-03 03:00Z') || ' '"
                   " || (last_good = '2026-01-02 03:00Z') FROM sea.regression"),
              "open drop true true");
    run_sql("SELECT sea.mark_regression(1, 'acknowledged', 'known')");
    CHECK_STR(sqlstate("SELECT sea.mark_regression(1, 'gone')"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.mark_regression(2, 'muted')"), "LF012");
    run_sql("SELECT seed.night('a', '2026-01-04 03:00Z', 0.02, 'gqa', 0.15)");
    CHECK_INT(number("SELECT count(*) FROM sea.regression"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.notice"), 1);
    run_sql("SELECT seed.night('a', '2026-01-05 03:00Z', 0, NULL, 0)");
    CHECK_STR(text("SELECT state || ' ' || note FROM sea.regression"), "resolved known");
    CHECK_STR(text("SELECT string_agg(kind || ' ' || (body ->> 'benchmark'), ', ' ORDER BY id)"
                   " FROM sea.notice"), "opened gqa, resolved gqa");
    run_sql("SELECT seed.night('a', '2026-01-06 03:00Z', 0.02, 'gqa', 0.15)");
    CHECK_INT(number("SELECT count(*) FROM sea.regression WHERE state = 'open'"), 1);
    run_sql("SELECT sea.mark_regression(max(id), 'muted') FROM sea.regression");
    run_sql("SELECT seed.night('a', '2026-01-07 03:00Z', 0, NULL, 0)");
    CHECK_INT(number("SELECT count(*) FROM sea.regression WHERE state <> 'resolved'"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.notice"), 3);    /* nobody is told of muted ones */
}

static void
nobody_is_told_before_a_second_run(void)
{
    simulation_begin();
    add("a", "0 3 * * *", "");
    run_sql("SELECT seed.night('a', '2026-01-01 03:00Z', 0, NULL, 0)");
    /* Started and answered; the second run is asked for and waits. */
    run_sql("SELECT sea.fire_slot(1, '2026-01-02 03:00Z')");
    run_sql("SELECT seed.evaluate(2, 0.02, 'gqa', 0.15)");
    run_sql("SELECT sea.fire_schedules('2000-01-01Z')");
    CHECK_INT(number("SELECT confirm_id FROM sea.night_run WHERE experiment_id = 2"), 3);
    CHECK_STR(text("SELECT config #>> '{stages,eval,repeat}' FROM sea.experiment WHERE id = 3"),
              "1");
    CHECK_STR(text("SELECT verdict FROM sea.nightly_report WHERE benchmark = 'gqa'"
                   " AND candidate_id = 2"), "regressed");
    CHECK_INT(number("SELECT count(*) FROM sea.regression"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.notice"), 0);
    run_sql("SELECT sea.fire_schedules('2000-01-01Z')");
    CHECK_INT(number("SELECT count(*) FROM sea.night WHERE judged_at IS NULL"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 3);
    run_sql("SELECT seed.evaluate(3, 0.02, 'gqa', 0.15)");
    run_sql("SELECT sea.fire_schedules('2000-01-01Z')");
    CHECK_STR(text("SELECT confirmed || ' ' || (confirm_difference < -0.1) || ' ' || confirm_id"
                   " FROM sea.nightly_report WHERE verdict = 'regressed'"), "true true 3");
    CHECK_STR(text("SELECT state FROM sea.regression"), "open");
    CHECK_STR(text("SELECT body ->> 'confirm_experiment' FROM sea.notice"), "3");
    /* A loss that is known is not asked about again. */
    run_sql("SELECT seed.night('a', '2026-01-03 03:00Z', 0.02, 'gqa', 0.15)");
    CHECK_INT(number("SELECT count(*) FROM sea.night_run WHERE confirm_id IS NOT NULL"), 1);
}

static void
the_second_run_decides(void)
{
    simulation_begin();
    add("a", "0 3 * * *", "");
    run_sql("SELECT seed.night('a', '2026-01-01 03:00Z', 0, NULL, 0)");
    run_sql("SELECT seed.night('a', '2026-01-02 03:00Z', 0.02, 'gqa', 0.15, 'healed')");
    CHECK_STR(text("SELECT verdict || ' ' || confirmed FROM sea.verdict"
                   " WHERE verdict = 'regressed'"), "regressed false");
    CHECK_INT(number("SELECT count(*) FROM sea.regression"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.notice"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.night WHERE judged_at IS NULL"), 0);
    /* One that does not come leaves the first one standing. */
    run_sql("SELECT seed.night('a', '2026-01-03 03:00Z', 0.02, 'pope', 0.15, 'cancelled')");
    CHECK_STR(text("SELECT benchmark || coalesce(confirmed::text, ' unknown')"
                   " FROM sea.nightly_report WHERE verdict = 'regressed' AND regression = 'open'"),
              "pope unknown");
    CHECK_INT(number("SELECT count(*) FROM sea.notice"), 1);
    /* And none is asked for where nobody wants one. */
    add("b", "0 3 * * *", "\"confirm\":false,");
    run_sql("SELECT seed.night('b', '2026-01-01 03:00Z', 0, NULL, 0)");
    run_sql("SELECT seed.night('b', '2026-01-02 03:00Z', 0.02, 'gqa', 0.15)");
    CHECK_INT(number("SELECT count(*) FROM sea.night_run r JOIN sea.schedule s"
                     " ON s.id = r.schedule_id WHERE s.name = 'b' AND confirm_id IS NOT NULL"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.regression WHERE schedule_id = (SELECT id FROM"
                     " sea.schedule WHERE name = 'b')"), 1);
    CHECK_STR(sqlstate("SELECT sea.add_schedule('{\"name\":\"c\",\"cron\":\"* * * * *\","
                       "\"confirm\":\"perhaps\",\"models\":{\"m\":" EVAL "}}')"), "LF010");
}

static void
previous_means_the_last_good_night(void)
{
    simulation_begin();
    add("a", "0 3 * * *", "\"baseline\":\"previous\",");
    run_sql("SELECT seed.night('a', '2026-01-01 03:00Z', 0, NULL, 0)");
    run_sql("SELECT seed.night('a', '2026-01-02 03:00Z', 0, NULL, 0)");
    run_sql("SELECT seed.night('a', '2026-01-03 03:00Z', 0.02, 'pope', 0.2)");
    run_sql("SELECT seed.night('a', '2026-01-04 03:00Z', 0, NULL, 0)");
    CHECK_STR(text("SELECT string_agg(coalesce(baseline_id, 0)::text, ' ' ORDER BY slot)"
                   " FROM sea.night_run"), "0 1 2 2");
}

static void
what_differs_is_not_compared(void)
{
    simulation_begin();
    add("a", "0 3 * * *", "");
    run_sql("SELECT seed.night('a', '2026-01-01 03:00Z', 0, NULL, 0)");
    run_sql("UPDATE sea.answer SET gold = '\"no\"' WHERE stage_id = 1 AND seq = 3"
            " AND benchmark_id = (SELECT benchmark_id FROM seed.world WHERE name = 'gqa')");
    run_sql("SELECT seed.night('a', '2026-01-02 03:00Z', 0, NULL, 0)");
    CHECK_STR(text("SELECT verdict || ': ' || reason FROM sea.nightly_report"
                   " WHERE night = '2026-01-02 03:00Z'"),
              "not comparable: other questions in gqa");
    add("a", "0 3 * * *", "");
    run_sql("UPDATE sea.schedule SET config = jsonb_set(config, '{models,m,stages,eval,limit}',"
            " '7')");
    run_sql("SELECT seed.night('a', '2026-01-03 03:00Z', 0, NULL, 0)");
    CHECK_STR(text("SELECT reason FROM sea.nightly_report WHERE night = '2026-01-03 03:00Z'"),
              "experiments 1 and 3 were evaluated with other settings");
    run_sql("SELECT sea.fire_slot(1, '2026-01-04 03:00Z')");
    run_sql("SELECT sea.cancel(4)");
    run_sql("SELECT sea.fire_schedules('2000-01-01Z')");
    CHECK_STR(text("SELECT verdict || ': ' || reason FROM sea.nightly_report"
                   " WHERE night = '2026-01-04 03:00Z'"), "failed: experiment 4 cancelled");
    CHECK_STR(text("SELECT string_agg(kind, ' ' ORDER BY id) FROM sea.notice"),
              "failed failed failed");
    CHECK_INT(number("SELECT count(*) FROM sea.verdict"), 0);
}

static void
steps_are_found_where_they_are(void)
{
    simulation_begin();
    CHECK_STR(text("SELECT at || ' ' || round(difference::numeric, 3) FROM sea.change_point("
                   "ARRAY[.70,.71,.70,.69,.70,.71,.66,.65,.66,.67,.66], 0.001)"), "7 -0.042");
    CHECK_STR(text("SELECT at FROM sea.change_point(ARRAY[.5,.5,.5,.5,.5,.5], 0.001)"), "");
    CHECK_STR(text("SELECT at FROM sea.change_point(ARRAY[.5,.6], 0.001)"), "");
    CHECK_STR(text("SELECT at FROM sea.change_point('{}', 0.001)"), "");
    CHECK_STR(text("SELECT at FROM sea.change_point(ARRAY[.5,.5,.5,.4,.4,.4], 0.001)"), "4");
    CHECK_STR(text("SELECT at || ' ' || round(difference::numeric, 2) FROM sea.last_step("
                   "ARRAY[.5,.5,.5,.5,.5,.5,.5,.6,.6,.6,.6,.6,.6,.6,.55,.55,.55,.55,.55], 0.001)"),
              "15 -0.05");
    /* noise alone: a thousand series of forty nights */
    CHECK_INT(number("SELECT count(*) <= 5 FROM (SELECT s, array_agg(0.7 + 0.01 * (random() +"
                     " random() + random() + random() - 2) ORDER BY i) AS series"
                     " FROM generate_series(1, 1000) s, generate_series(1, 40) i GROUP BY s) x,"
                     " LATERAL sea.change_point(series, 0.001)"), 1);
}

/* Calls it for i from 1 to 100, a few at a time: a statement has a deadline. */
static void
nights(const char *call)
{
    char sql[300];
    int i;

    for (i = 1; i <= 100; i += 10) {
        snprintf(sql, sizeof(sql), "%s FROM generate_series(%d, %d) i", call, i, i + 9);
        run_sql(sql);
    }
}

static void
a_hundred_damaged_nights_are_all_seen(void)
{
    int64_t exact, seen;

    simulation_begin();
    run_sql("SELECT seed.evaluate(seed.experiment('base', 1), 0, NULL, 0)");
    run_sql("SELECT sea.add_schedule(jsonb_build_object('name', 's' || i, 'cron', '0 3 * * *',"
            " 'baseline', '1', 'models', jsonb_build_object('m', '" EVAL "'::jsonb)))"
            " FROM generate_series(1, 100) i");
    nights("SELECT count(seed.night('s' || i, '2026-01-01 03:00Z', 0.1, 'pope', 0.03))");
    exact = number("SELECT count(*) FROM (SELECT schedule_id FROM sea.regression g"
                   " JOIN sea.benchmark b ON b.id = g.benchmark_id GROUP BY schedule_id"
                   " HAVING string_agg(b.name, ' ') = 'pope') x");
    seen = number("SELECT count(*) FROM sea.regression");
    printf("3 points lost on pope, 100 nights: %lld told exactly that, %lld regressions in all; "
           "detectable %s points at 95 %% power\n", (long long)exact, (long long)seen,
           text("SELECT round(100 * max(mde)::numeric, 2) FROM sea.nightly_report"
                " WHERE benchmark = 'pope'"));
    CHECK(number("SELECT max(mde) < 0.03 FROM sea.nightly_report WHERE benchmark = 'pope'"));
    CHECK(exact >= 95);
}

static void
a_hundred_undamaged_nights_are_quiet(void)
{
    int64_t alarms;

    simulation_begin();
    run_sql("SELECT seed.evaluate(seed.experiment('base', 1), 0, NULL, 0)");
    add("quiet", "0 3 * * *", "\"baseline\":\"1\",");
    nights("SELECT count(seed.night('quiet', timestamptz '2026-01-01 03:00Z'"
           " + interval '1 day' * i, 0.1, NULL, 0))");
    alarms = number("SELECT count(*) FROM sea.regression");
    printf("nothing lost, 100 nights of 4 benchmarks: %lld false alarms, smallest q %s\n",
           (long long)alarms, text("SELECT round(min(q)::numeric, 4) FROM sea.verdict"));
    CHECK_INT(number("SELECT count(*) FROM sea.verdict"), 400);
    CHECK(alarms <= 5);
    CHECK_INT(number("SELECT count(*) FROM sea.notice"), alarms);
}

SEA_TEST_MAIN("nightly: cron, slots, verdicts, regressions",
              TEST(cron_expressions_name_their_minutes),
              TEST(cron_nonsense_is_refused_with_its_place), TEST(schedules_are_checked),
              TEST(missed_slots_follow_the_policy), TEST(several_schedulers_start_each_slot_once),
              TEST(a_schedule_that_cannot_start_holds_up_no_other),
              TEST(a_regression_opens_once_and_resolves),
              TEST(nobody_is_told_before_a_second_run), TEST(the_second_run_decides),
              TEST(previous_means_the_last_good_night), TEST(what_differs_is_not_compared),
              TEST(steps_are_found_where_they_are), TEST(a_hundred_damaged_nights_are_all_seen),
              TEST(a_hundred_undamaged_nights_are_quiet))
