/* SPDX-License-Identifier: Apache-2.0 */
/* Roles: every cell of (role, object, verb) is tried, allowed or 42501; tenants see and change
 * their own rows alone. */
#include "tests/scheduler/seed.h"

static struct sea_db *as;       /* a second connection, which plays the users */

static void
users_begin(void)
{
    seed_begin();
    sea_db_close(as);           /* the database before this one is gone */
    as = connect_more();
    run_sql("DO $$ DECLARE u text; BEGIN"
            " FOREACH u IN ARRAY ARRAY['alice', 'bob', 'researcher', 'worker', 'scheduler',"
            "  'viewer', 'auditor', 'stranger', 'sea_tenant_a', 'sea_tenant_b'] LOOP"
            "  IF to_regrole(u) IS NULL THEN EXECUTE format('CREATE ROLE %I LOGIN', u); END IF;"
            " END LOOP; END $$");
    run_sql("GRANT sea_researcher TO alice, bob, researcher");
    run_sql("GRANT sea_tenant_a TO alice, viewer");
    run_sql("GRANT sea_tenant_b TO bob");
    run_sql("GRANT sea_worker TO worker");
    run_sql("GRANT sea_scheduler TO scheduler");
    run_sql("GRANT sea_viewer TO viewer");
    run_sql("GRANT sea_auditor TO auditor");
}

static void
become(const char *user)
{
    struct sea_err err = { 0 };
    char sql[80];

    snprintf(sql, sizeof(sql), "SET SESSION AUTHORIZATION %s", user);
    CHECK_OK(sea_db_query_text(as, "RESET SESSION AUTHORIZATION", NULL, &err), err);
    CHECK_OK(sea_db_query_text(as, sql, NULL, &err), err);
}

/* The SQLSTATE as the current user; "" when it works, and the first cell in first (may be
 * NULL). */
static const char *
try(const char *sql, char *first, size_t room)
{
    static char state[16];
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    const char *cell;

    state[0] = 0;
    if (sea_db_query_text(as, sql, &rows, &err))
        snprintf(state, sizeof(state), "%.5s",
                 strncmp(err.cause, "sqlstate ", 9) == 0 ? err.cause + 9 : "?????");
    if (first) {
        cell = sea_rows_count(rows) ? sea_rows_cell(rows, 0, 0) : NULL;
        snprintf(first, room, "%s", cell ? cell : "");
    }
    sea_rows_close(rows);
    return state;
}

static const char *
as_text(const char *sql)
{
    static char out[4096];
    const char *state = try(sql, out, sizeof(out));

    return state[0] ? state : out;
}

/* ---- the matrix ---- */

/* role, object, verb, whether it is allowed, and a statement that shows it. Writing to a
 * table is allowed to nobody. */
static const char *const cells_sql =
    "WITH roles (role) AS (VALUES ('researcher'), ('worker'), ('scheduler'), ('viewer'),"
    "  ('auditor'), ('stranger')),"
    " tables AS (SELECT c.oid, c.relname, c.relkind FROM pg_class c"
    "  WHERE c.relnamespace = 'sea'::regnamespace AND c.relkind IN ('r', 'p', 'v')),"
    " verbs (verb) AS (VALUES ('SELECT'), ('INSERT'), ('UPDATE'), ('DELETE'), ('TRUNCATE'))"
    "SELECT r.role, t.relname AS object, v.verb,"
    "   v.verb = 'SELECT' AND coalesce(r.role = ANY (a.roles), false) AS allowed,"
    "   CASE v.verb WHEN 'SELECT' THEN format('SELECT count(*) FROM sea.%I WHERE false', t.relname)"
    "    WHEN 'INSERT' THEN format('INSERT INTO sea.%I DEFAULT VALUES', t.relname)"
    "    WHEN 'DELETE' THEN format('DELETE FROM sea.%I WHERE false', t.relname)"
    "    WHEN 'TRUNCATE' THEN format('TRUNCATE sea.%I', t.relname)"
    "    ELSE format('UPDATE sea.%I SET %2$I = NULL WHERE false', t.relname,"
    "     (SELECT attname FROM pg_attribute WHERE attrelid = t.oid AND attnum > 0"
    "       AND attidentity = '' AND NOT attisdropped ORDER BY attnum DESC LIMIT 1)) END AS sql"
    " FROM roles r CROSS JOIN tables t CROSS JOIN verbs v"
    " LEFT JOIN sea.access a ON a.object = t.relname AND a.kind <> 'function'"
    " WHERE t.relkind <> 'v' OR v.verb = 'SELECT'"
    " UNION ALL SELECT r.role, p.proname, 'EXECUTE', coalesce(r.role = ANY (a.roles), false),"
    "   format('SELECT sea.%I(%s)', p.proname, (SELECT string_agg('NULL::' ||"
    "    format_type(t, NULL), ', ' ORDER BY n) FROM unnest(p.proargtypes::oid[])"
    "    WITH ORDINALITY AS x (t, n)))"
    " FROM roles r CROSS JOIN pg_proc p"
    " LEFT JOIN sea.access a ON a.object = p.proname AND a.kind = 'function'"
    " WHERE p.pronamespace = 'sea'::regnamespace AND p.prorettype <> 'trigger'::regtype"
    " ORDER BY 1, 2, 3";

static void
every_cell_is_allowed_or_refused(void)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };
    char role[32] = "";
    int allowed = 0, refused = 0;
    size_t i;

    users_begin();
    CHECK_OK(sea_db_query_text(db, cells_sql, &rows, &err), err);
    for (i = 0; i < sea_rows_count(rows); i++) {
        const char *user = sea_rows_text(rows, i, "role", &err);
        const char *sql = sea_rows_text(rows, i, "sql", &err);
        bool is_call = strcmp(sea_rows_text(rows, i, "verb", &err), "EXECUTE") == 0;
        bool may = sea_rows_bool(rows, i, "allowed", &err);
        const char *state;

        if (strcmp(role, user) != 0) {
            snprintf(role, sizeof(role), "%s", user);
            become(user);
        }
        /* An allowed call may fail for its arguments, or do something: it is begun, not kept. */
        if (is_call && may)
            (void)try("BEGIN", NULL, 0);
        state = try(sql, NULL, 0);
        if (may)
            CHECK_MSG(is_call ? strcmp(state, "42501") != 0 : !state[0], "%s: %s gave %s", user,
                      sql, state);
        else
            CHECK_MSG(strcmp(state, "42501") == 0, "%s: %s gave \"%s\", want 42501", user, sql,
                      state);
        if (is_call && may)
            (void)try("ROLLBACK", NULL, 0);
        allowed += may;
        refused += !may;
    }
    CHECK_OK(err.status, err);
    printf("cells: %d allowed, %d refused\n", allowed, refused);
    CHECK(allowed > 150 && refused > 700);
    sea_rows_close(rows);
    become("auditor");
    CHECK_STR(try("SELECT secret FROM sea.lease", NULL, 0), "42501");
    CHECK_STR(text("SELECT string_agg(p.proname, ', ') FROM pg_proc p JOIN sea.access a"
                   " ON a.object = p.proname AND a.kind = 'function' WHERE p.provolatile = 'v'"
                   " AND p.pronamespace = 'sea'::regnamespace"
                   " AND (NOT p.prosecdef OR p.proconfig IS NULL)"), "");
    CHECK_STR(text("SELECT string_agg(DISTINCT p.proname, ', ') FROM pg_depend d JOIN pg_proc p"
                   " ON d.refclassid = 'pg_proc'::regclass AND d.refobjid = p.oid"
                   " WHERE d.classid = 'pg_policy'::regclass AND p.proconfig IS NULL"
                   " AND p.pronamespace = 'sea'::regnamespace"), "");
    CHECK_STR(text("SELECT string_agg(c.relname, ', ') FROM pg_class c"
                   " WHERE c.relnamespace = 'sea'::regnamespace AND c.relkind = 'v'"
                   " AND NOT coalesce('security_invoker=true' = ANY (c.reloptions), false)"), "");
}

/* ---- tenants ---- */

#define BARE "'{\"name\":\"x\",\"stages\":{\"eval\":{}}}'"
#define EVAL "'{\"name\":\"%s\",\"seed\":%d,\"stages\":{\"eval\":{\"suite\":\"demo\"}}}'"

static void
submit_as(const char *user, int seed)
{
    char sql[200];

    become(user);
    snprintf(sql, sizeof(sql), "SELECT sea.submit(" EVAL ")", user, seed);
    CHECK_STR(try(sql, NULL, 0), "");
}

static void
tenants_see_their_own_rows(void)
{
    users_begin();
    submit_as("alice", 1);
    submit_as("bob", 2);
    CHECK_STR(text("SELECT string_agg(tenant || ' ' || submitted_by, ', ' ORDER BY id)"
                   " FROM sea.experiment"), "a alice, b bob");
    run_sql("UPDATE sea.stage_run SET key = encode(sha256(id::text::bytea), 'hex'),"
            " state = 'ready', ready_at = now()");
    run_sql("UPDATE sea.stage_run SET state = 'running', last_epoch = 1");
    run_sql("INSERT INTO sea.answer (stage_id, epoch, benchmark_id, seq, item, score)"
            " SELECT s.id, 1, seed.benchmark('pope'), i, i, i % 2 FROM sea.stage_run s,"
            " generate_series(1, 4) i");
    run_sql("INSERT INTO sea.score (stage_id, epoch, benchmark_id, metric, value, n)"
            " SELECT id, 1, seed.benchmark('pope'), 'accuracy', 0.5, 4 FROM sea.stage_run");
    run_sql("INSERT INTO sea.metric (stage_id, epoch, name, step, value)"
            " SELECT id, 1, 'm', 1, 1 FROM sea.stage_run");
    run_sql("SELECT seed.done(1), seed.done(2)");
    become("alice");
    CHECK_STR(as_text("SELECT string_agg(name, ' ') FROM sea.experiment"), "alice");
    CHECK_STR(as_text("SELECT string_agg(name, ' ') FROM sea.experiment_status"), "alice");
    CHECK_STR(as_text("SELECT string_agg(experiment, ' ') FROM sea.leaderboard"), "alice");
    CHECK_STR(as_text("SELECT count(*) FROM sea.answer"), "4");
    CHECK_STR(as_text("SELECT count(*) FROM sea.score"), "1");
    CHECK_STR(as_text("SELECT string_agg(experiment_id::text, ' ') FROM sea.metric_series"), "1");
    CHECK_STR(as_text("SELECT count(*) FROM sea.event WHERE experiment_id = 2"), "0");
    CHECK_STR(as_text("SELECT count(*) FROM sea.compare(1, 2)"), "0");
    CHECK_STR(as_text("SELECT count(*) FROM sea.compare(1, 1)"), "1");
    become("viewer");
    CHECK_STR(as_text("SELECT string_agg(name, ' ') FROM sea.experiment"), "alice");
    become("bob");
    CHECK_STR(as_text("SELECT count(*) FROM sea.answer"), "4");
    /* What a stage run of his found in the cache is his, too, whoever made it. */
    run_sql("INSERT INTO sea.reuse (output_stage_id, stage_id, experiment_id) VALUES (1, 2, 2)");
    CHECK_STR(as_text("SELECT count(*) FROM sea.answer"), "8");
    become("alice");
    CHECK_STR(as_text("SELECT count(*) FROM sea.answer"), "4");
    run_sql("DELETE FROM sea.reuse");
    become("researcher");
    CHECK_STR(as_text("SELECT count(*) FROM sea.experiment"), "0");
    become("auditor");
    CHECK_STR(as_text("SELECT count(*) FROM sea.experiment"), "2");
    CHECK_STR(as_text("SELECT count(*) FROM sea.answer"), "8");
}

static void
tenants_change_their_own_rows(void)
{
    users_begin();
    submit_as("alice", 1);
    become("bob");
    CHECK_STR(try("SELECT sea.cancel(1)", NULL, 0), "LF012");
    CHECK_STR(text("SELECT state FROM sea.stage_run"), "waiting");
    become("alice");
    CHECK_STR(as_text("SELECT sea.cancel(1)"), "cancelled");
    become("bob");
    CHECK_STR(try("SELECT sea.retry(1)", NULL, 0), "LF012");
    CHECK_STR(try("SELECT sea.submit(" BARE ", NULL, 1)", NULL, 0), "LF012");
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 1);
    become("alice");
    CHECK_STR(as_text("SELECT sea.retry(1) > 1"), "t");
    become("worker");
    CHECK_STR(as_text("SELECT count(*) FROM sea.experiment"), "2");
    CHECK_STR(try("SELECT sea.submit(" BARE ")", NULL, 0), "42501");
}

static void
a_submit_key_is_its_tenants(void)
{
    users_begin();
    become("alice");
    CHECK_STR(as_text("SELECT sea.submit(" BARE ", 'k')"), "1");
    CHECK_STR(as_text("SELECT sea.submit(" BARE ", 'k')"), "1");
    become("bob");
    CHECK_STR(as_text("SELECT sea.submit(" BARE ", 'k')"), "2");
    become("alice");
    CHECK_STR(try("SELECT sea.submit('{\"name\":\"y\",\"stages\":{\"eval\":{}}}', 'k')", NULL, 0),
              "LF011");
    become("bob");
    CHECK_STR(as_text("SELECT sea.submit(" BARE ", 'k')"), "2");
    CHECK_INT(number("SELECT count(*) FROM sea.experiment"), 2);
}

/* PostgreSQL looks for a table among temporary ones first. What a policy asks must not be fooled
 * by a table that the user made for it. */
static void
nobody_becomes_another_tenant_by_temporary_tables(void)
{
    users_begin();
    submit_as("bob", 2);
    become("alice");
    CHECK_STR(try("CREATE TEMP TABLE pg_roles (oid oid, rolname name)", NULL, 0), "");
    CHECK_STR(try("CREATE TEMP TABLE pg_auth_members (roleid oid, member oid)", NULL, 0), "");
    CHECK_STR(try("INSERT INTO pg_roles VALUES (1, 'alice'), (2, 'sea_tenant_b')", NULL, 0), "");
    CHECK_STR(try("INSERT INTO pg_auth_members VALUES (2, 1)", NULL, 0), "");
    CHECK_STR(as_text("SELECT sea.own_tenant()"), "a");
    CHECK_STR(as_text("SELECT count(*) FROM sea.experiment"), "0");
    CHECK_STR(as_text("SELECT count(*) FROM sea.stage_run"), "0");
    submit_as("alice", 1);
    CHECK_STR(text("SELECT tenant FROM sea.experiment WHERE submitted_by = 'alice'"), "a");
}

/* A worker and a scheduler with no right but their role's do a stage run from end to end. */
static void
roles_suffice_for_the_work(void)
{
    char claim[200], sql[300];

    users_begin();
    submit_as("alice", 1);
    become("scheduler");
    CHECK_STR(as_text("SELECT sea.resolve(1, repeat('a', 64))"), "ready");
    CHECK_STR(try("SELECT sea.fire_schedules(), sea.rescue(), sea.wake()", NULL, 0), "");
    become("worker");
    CHECK_STR(try("SELECT sea.register_worker('h', 7, 'cpu', 'default', 30000)", NULL, 0), "");
    CHECK_STR(try("SELECT epoch || ', ''' || secret || '''' FROM sea.claim("
                  "(SELECT max(id) FROM sea.worker), 'default', 30000)", claim, sizeof(claim)), "");
    snprintf(sql, sizeof(sql), "SELECT sea.start_attempt(1, %s, 5, NULL, NULL, NULL)", claim);
    CHECK_STR(try(sql, NULL, 0), "");
    snprintf(sql, sizeof(sql), "SELECT sea.relay(1, %s, 1, '{\"logs\":[[\"info\",\"hello\"]]}')",
             claim);
    CHECK_STR(try(sql, NULL, 0), "");
    snprintf(sql, sizeof(sql), "SELECT sea.fail_attempt(1, %s, 'invalid', 65, 'm', 'h', 'c', 'x')",
             claim);
    CHECK_STR(as_text(sql), "failed");
    become("alice");
    CHECK_STR(as_text("SELECT state FROM sea.experiment_status"), "failed");
    CHECK_STR(as_text("SELECT count(*) FROM sea.event WHERE text = 'hello'"), "1");
}

SEA_TEST_MAIN("roles: the matrix, tenants", TEST(every_cell_is_allowed_or_refused),
              TEST(tenants_see_their_own_rows), TEST(tenants_change_their_own_rows),
              TEST(a_submit_key_is_its_tenants),
              TEST(nobody_becomes_another_tenant_by_temporary_tables),
              TEST(roles_suffice_for_the_work))
