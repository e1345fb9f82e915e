/* SPDX-License-Identifier: Apache-2.0 */
/* Upkeep: partitions are there before they are needed, what is old goes and nothing else. */
#include "tests/scheduler/seed.h"

#define PARTITIONS "SELECT string_agg(low / 100000 || '', ' ' ORDER BY low)" \
                   " FROM sea.metric_partitions()"

/* A finished experiment whose stage run has this id, ended so many days ago. */
static void
add_run(int64_t id, int days)
{
    char sql[300];

    snprintf(sql, sizeof(sql), "ALTER TABLE sea.stage_run ALTER COLUMN id RESTART WITH %lld",
             (long long)id);
    run_sql(sql);
    snprintf(sql, sizeof(sql), "SELECT seed.done(seed.experiment('e%lld', 1))", (long long)id);
    run_sql(sql);
    /* What has ended stays as it is, but for this. */
    run_sql("ALTER TABLE sea.stage_run DISABLE TRIGGER stage_run_guard");
    snprintf(sql, sizeof(sql), "UPDATE sea.stage_run SET ended_at = clock_timestamp()"
             " - interval '%d days' WHERE id = %lld", days, (long long)id);
    run_sql(sql);
    snprintf(sql, sizeof(sql), "INSERT INTO sea.metric (stage_id, epoch, name, step, value)"
             " VALUES (%lld, 1, 'x', 1, 1)", (long long)id);
    run_sql(sql);
}

static void
partitions_are_made_ahead(void)
{
    seed_begin();
    CHECK_STR(text(PARTITIONS), "0");
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "0 1");
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "0 1");
    /* As many as a partition holds may be submitted before the next look. */
    add_run(100001, 0);
    CHECK_STR(text(PARTITIONS), "0 1");
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "0 1 2");
    add_run(299999, 0);
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "0 1 2 3");
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 2);
    CHECK_STR(text("SELECT obj_description('sea.metric_3'::regclass)"),
              "Points of stage runs 300000 to 399999");
    CHECK_STR(text("SELECT string_agg(tgname, ' ') FROM pg_trigger WHERE tgrelid ="
                   " 'sea.metric_3'::regclass"), "");
    CHECK_INT(number("SELECT count(*) FROM pg_index WHERE indrelid = 'sea.metric_3'::regclass"), 1);
}

static void
old_curves_go_with_their_partition(void)
{
    seed_begin();
    add_run(5, 100);
    add_run(99999, 40);
    run_sql("SELECT sea.maintain()");
    add_run(100000, 100);
    run_sql("SELECT sea.maintain()");
    add_run(200000, 1);
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "0 1 2 3");
    /* For ever, unless somebody says otherwise. */
    CHECK_STR(sqlstate("SELECT sea.set_retention('metric', 0)"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.set_retention('metric', 2147483647)"), "LF010");
    CHECK_STR(sqlstate("SELECT sea.set_retention('answers', 5)"), "LF010");
    run_sql("SELECT sea.set_retention('metric', 50)");
    /* 99999 ended 40 days ago and keeps its partition; what uses an output counts, too. */
    run_sql("UPDATE sea.stage_run SET output_stage_id = 100000 WHERE id = 200000");
    run_sql("INSERT INTO sea.reuse VALUES (100000, 200000, 1)");
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "0 1 2 3");
    run_sql("UPDATE sea.stage_run SET output_stage_id = 200000 WHERE id = 200000");
    run_sql("DELETE FROM sea.reuse");
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "0 2 3");
    CHECK(strstr(text("SELECT text FROM sea.event ORDER BY id DESC LIMIT 1"),
                 "dropped the curves of stage runs 100000 to 199999") != NULL);
    run_sql("SELECT sea.set_retention('metric', 30)");
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "2 3");
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run"), 4);
    /* Those that are made ahead go on where they were. */
    add_run(300000, 100);
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "2 3 4");
}

static void
a_partition_that_is_read_is_dropped_later(void)
{
    struct sea_db *reader;
    struct sea_err err = { 0 };
    int64_t start;

    seed_begin();
    add_run(5, 100);
    run_sql("SELECT sea.maintain()");
    add_run(100000, 1);
    run_sql("SELECT sea.set_retention('metric', 30)");
    run_sql("INSERT INTO sea.event (kind, text, at) VALUES ('log', 'old', '2020-01-01Z')");
    reader = connect_more();
    CHECK_OK(sea_db_query_text(reader, "BEGIN", NULL, &err), err);
    CHECK_OK(sea_db_query_text(reader, "SELECT count(*) FROM sea.metric", NULL, &err), err);
    start = sea_clock_ms();
    run_sql("SELECT sea.maintain()");
    printf("maintain beside a reader: %lld ms\n", (long long)(sea_clock_ms() - start));
    CHECK(sea_clock_ms() - start < PATIENCE * 5000);
    CHECK_STR(text(PARTITIONS), "0 1 2");
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE text = 'old'"), 0);
    CHECK_OK(sea_db_query_text(reader, "COMMIT", NULL, &err), err);
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text(PARTITIONS), "1 2");
    sea_db_close(reader);
}

static void
events_and_notices_go_when_they_are_old(void)
{
    seed_begin();
    run_sql("INSERT INTO sea.event (kind, text, at) SELECT 'log', 'old', clock_timestamp()"
            " - interval '366 days' FROM generate_series(1, 12000)");
    run_sql("INSERT INTO sea.event (kind, text, at) SELECT 'log', 'young', clock_timestamp()"
            " - interval '364 days' FROM generate_series(1, 100)");
    run_sql("INSERT INTO sea.notice (kind, body, created_at, delivered_at) VALUES"
            " ('opened', '{\"n\": 1}', '2020-01-01Z', '2020-01-01Z'),"
            " ('opened', '{\"n\": 2}', '2020-01-01Z', NULL),"
            " ('opened', '{\"n\": 3}', clock_timestamp(), clock_timestamp())");
    run_sql("SELECT sea.maintain()");
    CHECK_INT(number("SELECT count(*) FROM sea.event"), 2100);
    run_sql("SELECT sea.maintain()");
    run_sql("SELECT sea.maintain()");
    CHECK_STR(text("SELECT count(*) || min(text) || max(text) FROM sea.event"), "100youngyoung");
    CHECK_STR(text("SELECT string_agg(body ->> 'n', ' ' ORDER BY id) FROM sea.notice"), "2 3");
    run_sql("SELECT sea.set_retention('event', NULL)");
    run_sql("UPDATE sea.event SET at = '2000-01-01Z'");
    run_sql("SELECT sea.maintain()");
    CHECK_INT(number("SELECT count(*) FROM sea.event"), 100);
}

SEA_TEST_MAIN("retention: partitions ahead, what is old goes", TEST(partitions_are_made_ahead),
              TEST(old_curves_go_with_their_partition),
              TEST(a_partition_that_is_read_is_dropped_later),
              TEST(events_and_notices_go_when_they_are_old))
