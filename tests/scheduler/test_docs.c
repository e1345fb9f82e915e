/* SPDX-License-Identifier: Apache-2.0 */
/* Documentation against the database: every query of docs/sql.md answers, everything has a
 * comment, and docs/schema.md is what the migrations make (SEA_UPDATE=1 writes it anew). */
#include "engine/base/sea_file.h"
#include "scheduler/sea_args.h"
#include "tests/scheduler/seed.h"

#define PAGE_BYTES_MAX ((size_t)4 << 20)

static const char *
root_path(const char *name)
{
    static char path[SEA_PATH_MAX];
    const char *root = getenv("SEA_ROOT");

    snprintf(path, sizeof(path), "%s/%s", root ? root : ".", name);
    return path;
}

/* ---- a world with two experiments, a sweep of lambda, and a night that got worse ---- */

/* clang-format off */
static const char *const world[] = {
"CREATE FUNCTION seed.whole(p_lambda float8) RETURNS bigint LANGUAGE plpgsql AS $$"
" DECLARE e bigint; r record; BEGIN"
" e := sea.submit(jsonb_build_object('name', 'demo/align.lambda=' || p_lambda, 'seed', 1,"
"   'model', '{\"vision\":{\"path\":\"@foundation/vision\"},"
"              \"language\":{\"path\":\"@foundation/language\"}}'::jsonb,"
"   'stages', jsonb_build_object('foundation', '{}'::jsonb, 'label', '{}'::jsonb,"
"     'align', jsonb_build_object('lambda', p_lambda), 'tune', '{}'::jsonb,"
"     'eval', '{\"suite\": \"/x/scenes.yaml\"}'::jsonb)));"
" FOR r IN SELECT * FROM sea.stage_run WHERE experiment_id = e ORDER BY id LOOP"
"   IF r.state = 'blocked' THEN"
"     UPDATE sea.stage_run SET state = 'waiting', unmet = 0 WHERE id = r.id; END IF;"
"   UPDATE sea.stage_run SET state = 'ready', ready_at = now(),"
"     key = encode(sha256(('w' || r.id)::bytea), 'hex') WHERE id = r.id;"
"   UPDATE sea.stage_run SET state = 'running', last_epoch = 1 WHERE id = r.id;"
"   INSERT INTO sea.attempt (stage_id, epoch, worker_id, state, claimed_at, started_at, ended_at)"
"   VALUES (r.id, 1, 1, 'committed', now() - interval '9 min', now() - interval '9 min', now());"
"   INSERT INTO sea.artifact VALUES (encode(sha256(('f' || r.id)::bytea), 'hex'), 5);"
"   INSERT INTO sea.manifest SELECT r.id, 1, r.stage || '.bin', sha256, 5 FROM sea.artifact"
"    WHERE sha256 = encode(sha256(('f' || r.id)::bytea), 'hex');"
"   INSERT INTO sea.metric (stage_id, epoch, name, step, value)"
"   SELECT r.id, 1, r.stage || n, s, 1.0 / s FROM unnest(ARRAY['.loss_text', '.loss_words']) n,"
"     generate_series(1, 101) s;"
"   IF r.stage = 'eval' THEN"
"     INSERT INTO sea.answer (stage_id, epoch, benchmark_id, control, seq, item, cluster, prompt,"
"       text, gold, score) SELECT r.id, 1, seed.benchmark(b), c, i, i, i / 4, 'What?', 'a',"
"       '\"b\"', (i * 7 % 10 < CASE WHEN c THEN 5 ELSE 6 + p_lambda END)::int"
"       FROM unnest(ARRAY['pope', 'scienceqa']) b, generate_series(1, 400) i,"
"       unnest(ARRAY[false, true]) c;"
"     INSERT INTO sea.score (stage_id, epoch, benchmark_id, control, metric, value, scale, n, se,"
"       low, high) SELECT r.id, 1, a.benchmark_id, a.control, m, avg(a.score), 100, 400, 0.02,"
"       avg(a.score) - 0.04, avg(a.score) + 0.04 FROM sea.answer a,"
"       unnest(ARRAY['accuracy', 'f1']) m WHERE a.stage_id = r.id"
"       GROUP BY a.benchmark_id, a.control, m;"
"   END IF;"
"   UPDATE sea.stage_run SET state = 'done', done_epoch = 1, output_stage_id = id,"
"     output_epoch = 1, output_digest = repeat('0', 64), ended_at = now() WHERE id = r.id;"
" END LOOP;"
" UPDATE sea.experiment SET state = 'succeeded', ended_at = now() WHERE id = e;"
" RETURN e; END $$",
"SELECT seed.whole(0)",
"SELECT seed.whole(1)",
"SELECT sea.register_worker('node1', 7, 'cuda', 'default', 30000, '{0,1}')",
"INSERT INTO sea.schedule (name, cron, config, next_at, confirm) VALUES ('nightly', '0 3 * * *',"
" '{}', 'infinity', false)",
"INSERT INTO sea.night (schedule_id, slot) VALUES (1, '2026-01-01 03:00Z')",
"INSERT INTO sea.night_run (schedule_id, slot, model, experiment_id, baseline_id)"
" VALUES (1, '2026-01-01 03:00Z', 'm', 1, 2)",
"SELECT sea.judge_night(1, '2026-01-01 03:00Z')",
};
/* clang-format on */

static void
world_begin(void)
{
    size_t i;

    seed_begin();
    for (i = 0; i < sizeof(world) / sizeof(world[0]); i++)
        run_sql(world[i]);
}

/* Runs one statement of a page; it must give rows. */
static void
run_statement(const char *page, const char *sql)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };

    CHECK_MSG(sea_db_query_text(db, sql, &rows, &err) == SEA_OK, "%s: %s\n%s", page, err.message,
              sql);
    CHECK_MSG(sea_rows_count(rows) > 0 || err.status, "%s: no rows from\n%s", page, sql);
    sea_rows_close(rows);
}

/* Runs what stands in ```sql blocks, statement by statement; returns how many. */
static int
run_page(const char *name)
{
    struct sea_err err = { 0 };
    struct sea_buf page, sql;
    char *line, *next;
    bool inside = false;
    int count = 0;

    sea_buf_init(&page, PAGE_BYTES_MAX);
    sea_buf_init(&sql, PAGE_BYTES_MAX);
    CHECK_OK(sea_file_read(root_path(name), &page, &err), err);
    for (line = page.data; line && *line; line = next) {
        next = strchr(line, '\n');
        if (next)
            *next++ = 0;
        if (strncmp(line, "```", 3) == 0) {
            inside = strcmp(line, "```sql") == 0;
            continue;
        }
        if (!inside)
            continue;
        sea_buf_addf(&sql, "%s\n", line);
        if (strlen(line) == 0 || line[strlen(line) - 1] != ';')
            continue;
        run_statement(name, sql.data);
        sea_buf_clear(&sql);
        count++;
    }
    CHECK_MSG(sql.len == 0, "%s: a statement without an end: %s", name, sql.data);
    sea_buf_release(&page);
    sea_buf_release(&sql);
    return count;
}

/* What `sea nightly` asks, about a night that has something to tell. */
static void
a_regression_is_reported(void)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };

    world_begin();
    CHECK_OK(sea_db_query(db, "nightly_open", SEA_PARAMS(SEA_P_TEXT("nightly")), &rows, &err), err);
    if (CHECK_INT(sea_rows_count(rows), 2)) {
        CHECK_STR(sea_rows_text(rows, 0, "benchmark", &err), "pope");
        CHECK_STR(sea_rows_text(rows, 0, "state", &err), "open");
        CHECK_STR(sea_rows_text(rows, 0, "difference", &err), "-10.00");
        CHECK_STR(sea_rows_text(rows, 0, "first_bad", &err), "2026-01-01 03:00Z");
    }
    sea_rows_close(rows);
    CHECK_OK(sea_db_query(db, "nightly_verdicts",
                          SEA_PARAMS(SEA_P_TEXT("nightly"), SEA_P_TEXT("2026-01-01 03:00Z")), &rows,
                          &err), err);
    if (CHECK_INT(sea_rows_count(rows), 2)) {
        CHECK_STR(sea_rows_text(rows, 0, "verdict", &err), "regressed");
        CHECK_STR(sea_rows_text(rows, 0, "q", &err), "< 0.001");
        CHECK(*sea_rows_text(rows, 0, "detectable", &err) != 0);
    }
    sea_rows_close(rows);
    CHECK_OK(sea_db_query(db, "nightly_list", SEA_NO_PARAMS, &rows, &err), err);
    CHECK_INT(sea_rows_int(rows, 0, "regressions", &err), 2);
    sea_rows_close(rows);
    CHECK_OK(err.status, err);
}

static void
every_query_of_the_pages_answers(void)
{
    int count;

    world_begin();
    count = run_page("docs/sql.md");
    printf("docs/sql.md: %d queries\n", count);
    CHECK(count >= 25);
    world_begin();
    CHECK(run_page("docs/quickstart.md") >= 2);
}

/* ---- the schema's page ---- */

static void
add_rows(struct sea_buf *page, const char *sql)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    size_t i;

    CHECK_OK(sea_db_query_text(db, sql, &rows, &err), err);
    for (i = 0; i < sea_rows_count(rows); i++)
        sea_buf_addf(page, "%s\n", sea_rows_cell(rows, i, 0));
    sea_rows_close(rows);
}

/* Tables and views with their columns, then functions; all words are the comments'. */
static void
write_page(struct sea_buf *page)
{
    sea_buf_puts(page, "# The schema\n\nTables, views and functions of schema `sea`, as the "
                 "migrations make them. Written by\n`SEA_UPDATE=1` and "
                 "tests/scheduler/test_docs, which also compares.\n");
    add_rows(page,
        "SELECT line FROM ("
        " SELECT c.relkind = 'v' AS is_view, c.relname, 0 AS n,"
        "   E'\\n## ' || CASE c.relkind WHEN 'v' THEN 'View' ELSE 'Table' END || ' `sea.' || relname"
        "   || E'`\\n\\n' || obj_description(c.oid, 'pg_class')"
        "   || E'\\n\\n| column | type | means |\\n|---|---|---|'"
        "   AS line"
        "  FROM pg_class c WHERE c.relnamespace = 'sea'::regnamespace"
        "   AND c.relkind IN ('r', 'p', 'v') AND NOT c.relispartition"
        " UNION ALL"
        " SELECT c.relkind = 'v', c.relname, a.attnum, '| `' || a.attname || '` | '"
        "   || format_type(a.atttypid, a.atttypmod) || CASE WHEN a.attnotnull THEN '' ELSE"
        "      CASE c.relkind WHEN 'v' THEN '' ELSE ', may be null' END END"
        "   || ' | ' || replace(coalesce(col_description(c.oid, a.attnum), ''), '|', '\\|') || ' |'"
        "  FROM pg_class c JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0"
        "   AND NOT a.attisdropped"
        "  WHERE c.relnamespace = 'sea'::regnamespace AND c.relkind IN ('r', 'p', 'v')"
        "   AND NOT c.relispartition) x ORDER BY is_view, relname, n");
    sea_buf_puts(page, "\n## Functions\n\n| function | gives | does |\n|---|---|---|\n");
    add_rows(page,
        "SELECT '| `' || p.proname || '(' || pg_get_function_identity_arguments(p.oid) || ')` | '"
        "   || pg_get_function_result(p.oid) || ' | '"
        "   || replace(coalesce(obj_description(p.oid, 'pg_proc'), ''), '|', '\\|') || ' |'"
        "  FROM pg_proc p WHERE p.pronamespace = 'sea'::regnamespace"
        "  ORDER BY p.proname, pg_get_function_identity_arguments(p.oid)");
}

static void
the_schema_is_the_one_described(void)
{
    struct sea_err err = { 0 };
    struct sea_buf page, known;
    FILE *file;

    service_begin();
    sea_buf_init(&page, PAGE_BYTES_MAX);
    sea_buf_init(&known, PAGE_BYTES_MAX);
    write_page(&page);
    if (getenv("SEA_UPDATE")) {
        file = fopen(root_path("docs/schema.md"), "w");
        CHECK(file && fputs(page.data, file) >= 0 && fclose(file) == 0);
    }
    CHECK_OK(sea_file_read(root_path("docs/schema.md"), &known, &err), err);
    CHECK_MSG(strcmp(page.data, known.data) == 0, "docs/schema.md is not what the migrations make; "
              "SEA_UPDATE=1 %s writes it", "tests/scheduler/test_docs");
    sea_buf_release(&page);
    sea_buf_release(&known);
}

static void
everything_is_commented(void)
{
    service_begin();
    CHECK_STR(text("SELECT string_agg(c.relname || coalesce('.' || a.attname, ''), ', ')"
                   " FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid"
                   " AND a.attnum > 0 AND NOT a.attisdropped"
                   " WHERE c.relnamespace = 'sea'::regnamespace"
                   " AND c.relkind IN ('r', 'v', 'p', 'm') AND NOT c.relispartition AND (obj_description(c.oid, 'pg_class') IS NULL"
                   " OR col_description(c.oid, a.attnum) IS NULL)"), "");
    CHECK_STR(text("SELECT string_agg(p.proname, ', ') FROM pg_proc p"
                   " WHERE p.pronamespace = 'sea'::regnamespace"
                   " AND obj_description(p.oid, 'pg_proc') IS NULL"), "");
    CHECK_STR(text("SELECT string_agg(t.tgname, ', ') FROM pg_trigger t"
                   " JOIN pg_class c ON c.oid = t.tgrelid WHERE NOT t.tgisinternal"
                   " AND c.relnamespace = 'sea'::regnamespace"
                   " AND obj_description(t.oid, 'pg_trigger') IS NULL"), "");
    CHECK(number("SELECT count(*) FROM pg_proc WHERE pronamespace = 'sea'::regnamespace") > 50);
}

SEA_TEST_MAIN("docs: queries of the pages, the schema, comments",
              TEST(a_regression_is_reported), TEST(every_query_of_the_pages_answers),
              TEST(the_schema_is_the_one_described),
              TEST(everything_is_commented))
