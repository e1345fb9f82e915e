/* SPDX-License-Identifier: Apache-2.0 */
/* What functions of the schema say to arguments that cannot be meant: never an error code of
 * PostgreSQL's own, and never what belongs to another tenant. */
#include "tests/scheduler/seed.h"

static struct sea_db *as;       /* a second connection, which plays the users */

/* Argument lists that work, as far as the type of an argument does not say enough. */
static const char *const examples =
    "VALUES ('set_limit', 'kind', '''queue'''), ('set_limit', 'name', '''q'''),"
    " ('set_retention', 'what', '''event'''),"
    " ('release_quarantine', 'stage_id', '3'), ('give_up_quarantine', 'stage_id', '3'),"
    " ('drain', 'how', '''finish'''), ('mark_regression', 'new_state', '''muted'''),"
    " ('submit', 'config', :config), ('submit', 'retry_of', 'NULL'),"
    " ('submit_all', 'configs', 'jsonb_build_array(' || :config || ')'),"
    " ('check_config', 'p_config', :config), ('gpus_needed', 'p_config', :config),"
    " ('add_schedule', 'config', :schedule), ('cron_parse', 'cron', '''* * * * *'''),"
    " ('cron_mask', 'field', '''*'''), ('cron_mask', 'high', '7'),"
    " ('reproduce', 'benchmark', '''pope'''), ('reproduce', 'metric', '''accuracy'''),"
    " ('rank_intervals', 'benchmark', '''pope'''), ('resolve', 'p_key', 'repeat(''b'', 64)'),"
    " ('fail_attempt', 'p_class', '''error'''), ('worker_state', 'p_state', '''draining'''),"
    " ('job_lost', 'p_class', '''lost'''), ('register_worker', 'p_queue', '''q'''),"
    " ('retry', 'experiment_id', '4'), ('set_priority', 'experiment_id', '2')";
static const char *const config =
    "$q$'{\"name\": \"x\", \"seed\": 1, \"stages\": {\"eval\": {\"suite\": \"demo\"}}}'$q$";
static const char *const schedule =
    "$q$'{\"name\": \"x\", \"cron\": \"0 2 * * *\", \"suite\": \"demo\", \"models\":"
    " {\"m\": {\"name\": \"m\", \"stages\": {\"eval\": {\"suite\": \"demo\"}}}}}'$q$";

static void
a_service_with_everything(void)
{
    char sql[4300], table[4096];
    const char *at = examples;
    size_t n = 0;

    seed_begin();
    sea_db_close(as);
    as = connect_more();
    /* 1: done, with scores; 2, 3: open, 3 in quarantine; 4: failed. */
    run_sql("SELECT seed.experiment('e', 1)");
    run_sql("INSERT INTO sea.score (stage_id, epoch, benchmark_id, metric, value, n)"
            " SELECT id, 1, seed.benchmark('pope'), 'accuracy', 0.5, 4 FROM sea.stage_run");
    run_sql("SELECT seed.done(1)");
    for (; *at && n < sizeof(table) - 1; at++) {
        const char *in = strncmp(at, ":config", 7) == 0 ? config
                         : strncmp(at, ":schedule", 9) == 0 ? schedule : NULL;

        if (!in) {
            table[n++] = *at;
            continue;
        }
        n += (size_t)snprintf(table + n, sizeof(table) - n, "%s", in);
        at += in == config ? 6 : 8;
    }
    table[n < sizeof(table) ? n : sizeof(table) - 1] = 0;
    snprintf(sql, sizeof(sql), "CREATE TABLE seed.example (function, argument, value) AS %s", table);
    run_sql(sql);
    run_sql("DO $d$ DECLARE c jsonb; BEGIN"
            " EXECUTE 'SELECT ' || (SELECT value FROM seed.example WHERE function = 'submit'"
            "  AND argument = 'config') || '::jsonb' INTO c;"
            " PERFORM sea.submit(c), sea.submit(c || '{\"seed\": 2}'), sea.submit(c || '{\"seed\": 3}');"
            " END $d$");
    run_sql("UPDATE sea.stage_run SET key = repeat('a', 64), state = 'ready', ready_at = now()"
            " WHERE id = 3");
    run_sql("UPDATE sea.stage_run SET state = 'running', last_epoch = 1 WHERE id = 3");
    run_sql("UPDATE sea.stage_run SET state = 'quarantined', reason = 'lost' WHERE id = 3");
    run_sql("SELECT sea.resolve_failed(4, 'the data is not there')");
    run_sql("DO $d$ DECLARE c jsonb; BEGIN"
            " EXECUTE 'SELECT ' || (SELECT value FROM seed.example WHERE function = 'add_schedule')"
            "  || '::jsonb' INTO c; PERFORM sea.add_schedule(c); END $d$");
    run_sql("INSERT INTO sea.notice (kind, body) VALUES ('opened', '{}')");
}

/* Every function that anybody but its owner may call, with an example of each argument; then one of
 * them is NULL, as small or as empty as can be, or larger than anybody needs. What machines alone
 * call is tried with NULL. */
static const char *const calls_sql =
    "WITH f AS (SELECT p.oid, p.proname, p.proargtypes::oid[] AS types, p.proargnames AS names,"
    "   p.pronargs AS args, CASE WHEN 'researcher' = ANY (a.roles) THEN 'researcher'"
    "    WHEN 'scheduler' = ANY (a.roles) THEN 'scheduler' ELSE 'worker' END AS role"
    "  FROM sea.access a JOIN pg_proc p ON p.proname = a.object"
    "   AND p.pronamespace = 'sea'::regnamespace WHERE a.kind = 'function'),"
    " v (type, examples) AS (VALUES"
    "  ('text', ARRAY['''x''', 'NULL', '''''', 'repeat(''x'', 5000)']),"
    "  ('bigint', ARRAY['1', 'NULL', '''-9223372036854775808''', '9223372036854775807']),"
    "  ('integer', ARRAY['1', 'NULL', '''-2147483648''', '2147483647']),"
    "  ('jsonb', ARRAY['''[]''', 'NULL', '''{}''', '''1e30''']),"
    "  ('boolean', ARRAY['true', 'NULL', 'false', 'true']),"
    "  ('double precision', ARRAY['0.5', 'NULL', '''-Infinity''', '''NaN''']),"
    "  ('timestamp with time zone',"
    "   ARRAY['clock_timestamp()', 'NULL', '''-infinity''', '''infinity''']),"
    "  ('uuid', array_fill('gen_random_uuid()'::text, ARRAY[4])),"
    "  ('text[]', ARRAY['''{x}''', 'NULL', '''{}''', '''{NULL}''']),"
    "  ('bigint[]', ARRAY['''{1}''', 'NULL', '''{}''', '''{NULL}''']),"
    "  ('integer[]', ARRAY['''{1}''', 'NULL', '''{}''', '''{NULL}''']),"
    "  ('double precision[]', ARRAY['''{1,2}''', 'NULL', '''{}''', '''{NULL,Infinity}''']))"
    "SELECT f.role, k.how, format('SELECT sea.%I(%s)', f.proname, (SELECT string_agg("
    "   CASE WHEN t.n = g.n AND k.how = 2 THEN 'NULL' WHEN t.n = g.n THEN v.examples[k.how]"
    "    ELSE coalesce(e.value, v.examples[1]) END || '::' || format_type(t.oid, NULL), ', '"
    "   ORDER BY t.n)"
    "   FROM unnest(f.types) WITH ORDINALITY AS t (oid, n)"
    "   LEFT JOIN seed.example e ON e.function = f.proname AND e.argument = f.names[t.n]"
    "   LEFT JOIN v ON v.type = format_type(t.oid, NULL))) AS sql"
    " FROM f CROSS JOIN generate_series(1, 4) AS k (how)"
    " CROSS JOIN LATERAL generate_series(least(k.how - 1, 1), CASE k.how WHEN 1 THEN 0 ELSE f.args"
    "  END) AS g (n)"
    " WHERE k.how <= 2 OR f.role = 'researcher'"
    "  OR f.role = 'scheduler' AND f.proname !~ '^(job_|condemn|resolve)' ORDER BY 1, 3";

static void
become(const char *user)
{
    struct sea_err err = { 0 };
    char sql[80];

    snprintf(sql, sizeof(sql), "SET SESSION AUTHORIZATION %s", user);
    CHECK_OK(sea_db_query_text(as, "RESET SESSION AUTHORIZATION", NULL, &err), err);
    CHECK_OK(sea_db_query_text(as, sql, NULL, &err), err);
    CHECK_OK(sea_db_query_text(as, "SET statement_timeout = '1s'", NULL, &err), err);
}

/* Tries a call and takes it back. The SQLSTATE, "" when it worked; the message in message. */
static const char *
try(const char *sql, char message[512])
{
    static char state[16];
    struct sea_err err = { 0 }, ignored = { 0 };

    state[0] = message[0] = 0;
    if (sea_db_query_text(as, "BEGIN", NULL, &ignored))
        return "BEGIN";
    if (sea_db_query_text(as, sql, NULL, &err)) {
        snprintf(state, sizeof(state), "%.5s",
                 strncmp(err.cause, "sqlstate ", 9) == 0 ? err.cause + 9 : "?????");
        snprintf(message, 512, "%s", err.message);
    }
    if (sea_db_query_text(as, "ROLLBACK", NULL, &ignored))
        return "ROLLBACK";
    return state;
}

static void
no_argument_brings_up_an_error_of_postgresqls(void)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    char role[32] = "", message[512];
    int calls = 0, worked = 0, refused = 0, examples_refused = 0;
    size_t i;

    a_service_with_everything();
    run_sql("DO $$ DECLARE u text; BEGIN"
            " FOREACH u IN ARRAY ARRAY['researcher', 'worker', 'scheduler'] LOOP"
            "  IF to_regrole(u) IS NULL THEN EXECUTE format('CREATE ROLE %I LOGIN', u); END IF;"
            "  EXECUTE format('GRANT %I TO %I', 'sea_' || u, u);"
            " END LOOP; END $$");
    run_sql("UPDATE sea.experiment SET tenant = 'default'");
    CHECK_OK(sea_db_query_text(db, calls_sql, &rows, &err), err);
    for (i = 0; i < sea_rows_count(rows); i++) {
        const char *user = sea_rows_text(rows, i, "role", &err);
        const char *sql = sea_rows_text(rows, i, "sql", &err);
        bool is_example = sea_rows_int(rows, i, "how", &err) == 1;
        const char *state;

        if (strcmp(role, user) != 0) {
            snprintf(role, sizeof(role), "%s", user);
            become(user);
        }
        state = try(sql, message);
        calls++;
        worked += !state[0];
        refused += state[0] != 0;
        examples_refused += is_example && state[0];
        CHECK_MSG(!state[0] || (strncmp(state, "LF0", 3) == 0 && strcmp(state, "LF020") != 0),
                  "%s: %s gave %s %s", user, sql, state, message);
        CHECK_MSG(!state[0] || strlen(message) > 15, "%s says only \"%s\"", sql, message);
    }
    CHECK_OK(err.status, err);
    sea_rows_close(rows);
    printf("calls: %d worked, %d refused; examples refused: %d\n", worked, refused,
           examples_refused);
    CHECK(calls > 300 && worked > 100);
}

/* Whatever state it is in, and whatever is asked: the words for another tenant's experiment are those
 * for one that does not exist. */
static void
what_is_another_tenants_does_not_exist(void)
{
    static const struct {
        const char *before, *behind;    /* of the number */
    } calls[] = {
        { "SELECT sea.cancel(", ")" },
        { "SELECT sea.retry(", ")" },
        { "SELECT sea.submit('{\"name\": \"y\", \"stages\": {\"eval\": {}}}', NULL, ", ")" },
        { "SELECT sea.reproduce(", ", 'pope', 'accuracy')" },
    };
    char sql[200], found[512], missing[512], state[16];
    size_t i;
    int id;

    a_service_with_everything();
    run_sql("DO $$ BEGIN IF to_regrole('carol') IS NULL THEN CREATE ROLE carol LOGIN;"
            " CREATE ROLE sea_tenant_c; GRANT sea_researcher, sea_tenant_c TO carol; END IF; END $$");
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY id) FROM sea.experiment"),
              "succeeded queued queued failed");
    become("carol");
    for (i = 0; i < sizeof(calls) / sizeof(calls[0]); i++) {
        snprintf(sql, sizeof(sql), "%s9%s", calls[i].before, calls[i].behind);
        snprintf(state, sizeof(state), "%s", try(sql, missing));
        CHECK_STR(state, "LF012");
        for (id = 1; id <= 4; id++) {
            char *number;

            snprintf(sql, sizeof(sql), "%s%d%s", calls[i].before, id, calls[i].behind);
            CHECK_STR(try(sql, found), state);
            number = strstr(found, "experiment ");
            if (CHECK_MSG(number != NULL, "%s says \"%s\"", sql, found))
                number[strlen("experiment ")] = '9';
            CHECK_STR(found, missing);
        }
    }
    CHECK_STR(text("SELECT string_agg(state, ' ' ORDER BY id) FROM sea.experiment"),
              "succeeded queued queued failed");
}

SEA_TEST_MAIN("refusals", TEST(no_argument_brings_up_an_error_of_postgresqls),
              TEST(what_is_another_tenants_does_not_exist))
