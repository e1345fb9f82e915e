/* SPDX-License-Identifier: Apache-2.0 */
/* The connection and the private cluster: deadlines, losses, errors, start and stop. */
#include <pthread.h>

#include "scheduler/sea_cluster_guard.h"
#include "scheduler/sea_home.h"
#include "tests/scheduler/service.h"

static void
the_cluster_starts_once_and_stops(void)
{
    struct sea_cluster other;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];
    struct stat st;

    service_begin();
    CHECK(sea_cluster_is_running(&cluster));
    CHECK_OK(sea_cluster_start(&cluster, &err), err);          /* again is fine */
    CHECK(stat(cluster.socket, &st) == 0 && (st.st_mode & 0077) == 0);
    CHECK_STR(text("SHOW listen_addresses"), "");
    CHECK_STR(text("SHOW fsync"), "on");
    CHECK_STR(text("SHOW synchronous_commit"), "on");
    CHECK_STR(text("SHOW server_encoding"), "UTF8");
    CHECK_STR(text("SHOW lc_collate"), "C");
    /* a folder too long for a socket, by the relative name of another run */
    CHECK_OK(sea_path_join(dir, sea_test_dir(),
                           "a-folder-with-a-rather-long-name-so-that-no-socket-would-fit/"
                           "and-one-more-below-it-to-be-sure", &err), err);
    CHECK_OK(sea_cluster_open(&other, dir, &err), err);
    CHECK_MSG(strlen(other.socket) < 88, "socket folder \"%s\"", other.socket);
    CHECK(strncmp(other.socket, "/tmp/sea-", 9) == 0);
    CHECK(!sea_cluster_is_running(&other));
    CHECK_OK(sea_cluster_stop(&other, SEA_CLUSTER_FAST, &err), err);   /* nothing to do */
}

static void
opening_a_cluster_makes_nothing(void)
{
    struct sea_cluster other;
    struct sea_home home;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX], below[SEA_PATH_MAX];
    struct stat st;

    CHECK_OK(sea_path_join(dir, sea_test_dir(), "untouched", &err), err);
    CHECK_OK(sea_dir_create(dir, &err), err);
    CHECK(chmod(dir, 0700) == 0);       /* for root the data would lie in /var/lib */
    CHECK_OK(sea_path_join(below, dir, "new/folder", &err), err);
    CHECK_OK(sea_cluster_open(&other, below, &err), err);
    CHECK_STR(other.dir, below);
    CHECK(lstat(other.data, &st) != 0 && lstat(other.socket, &st) != 0);
    if (geteuid() == 0) {
        *strrchr(other.data, '/') = 0;
        CHECK_MSG(lstat(other.data, &st) != 0, "\"%s\" is there", other.data);
    }
    CHECK_OK(sea_home_open(&home, below, &err), err);
    CHECK_OK(sea_cluster_stop(&home.cluster, SEA_CLUSTER_FAST, &err), err);
    CHECK(lstat(below, &st) != 0);
    CHECK_INT(rmdir(dir), 0);           /* it is empty */
}

static void
a_guarded_cluster_leaves_nothing(void)
{
    struct sea_cluster_guard guard;
    struct sea_cluster other;
    struct sea_db *its = NULL;
    struct sea_err err = { 0 };

    CHECK_OK(sea_cluster_guard_open(&guard, "test", &other, &err), err);
    CHECK_OK(sea_cluster_start(&other, &err), err);
    CHECK_OK(sea_db_open(&(struct sea_db_options){ .url = other.url }, &its, &err), err);
    sea_db_close(its);
    CHECK_OK(sea_cluster_guard_close(&guard, &err), err);
    CHECK(!sea_dir_exists(other.dir));
    CHECK(sea_db_open(&(struct sea_db_options){ .url = other.url }, &its, &err));
    sea_err_clear(&err);
    CHECK_OK(sea_cluster_guard_close(&guard, &err), err);      /* again is fine */
    /* without its guard the end is the caller's alone */
    CHECK_OK(sea_cluster_guard_open(&guard, "test", &other, &err), err);
    CHECK_OK(sea_cluster_start(&other, &err), err);
    CHECK_INT(kill(guard.pid, SIGKILL), 0);
    CHECK_OK(sea_cluster_guard_close(&guard, &err), err);
    CHECK(!sea_dir_exists(other.dir));
    CHECK(!sea_cluster_is_running(&other));
}

static const char *
link_path(const char *dir)
{
    static char path[SEA_PATH_MAX + 4];

    snprintf(path, sizeof(path), "%s/pg", dir);
    return path;
}

static void
a_cluster_below_a_closed_folder_is_reachable(void)
{
    struct sea_cluster other;
    struct sea_db *its = NULL;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX], closed[SEA_PATH_MAX], moved[SEA_PATH_MAX], its_name[SEA_PATH_MAX];

    if (geteuid() != 0) {
        SEA_SKIP("only root runs the server as another user");
        return;
    }
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "closed", &err), err);
    CHECK_OK(sea_dir_create(dir, &err), err);
    CHECK(chmod(dir, 0700) == 0);
    snprintf(closed, sizeof(closed), "%s", dir);
    CHECK_OK(sea_path_join(dir, dir, "db", &err), err);
    CHECK_OK(sea_cluster_open(&other, dir, &err), err);
    CHECK(strncmp(other.data, "/var/lib/sea-", 13) == 0);
    if (CHECK_OK(sea_cluster_start(&other, &err), err)) {
        CHECK_OK(sea_db_open(&(struct sea_db_options){ .url = other.url }, &its, &err), err);
        sea_db_close(its);
        CHECK_OK(sea_cluster_open(&other, dir, &err), err);    /* found again by its folder */
        CHECK(sea_cluster_is_running(&other));
        CHECK_OK(sea_cluster_stop(&other, SEA_CLUSTER_FAST, &err), err);
        CHECK(!sea_cluster_is_running(&other));
        CHECK(chmod(closed, 0711) == 0);        /* opened: the same data through the link */
        CHECK_OK(sea_cluster_open(&other, dir, &err), err);
        CHECK_OK(sea_cluster_start(&other, &err), err);
        CHECK_OK(sea_db_open(&(struct sea_db_options){ .url = other.url }, &its, &err), err);
        sea_db_close(its);
        CHECK_OK(sea_cluster_stop(&other, SEA_CLUSTER_FAST, &err), err);
        CHECK_INT(readlink(other.data, moved, sizeof(moved)) > 0, 1);
    }
    if (!realpath(other.data, moved))
        return;
    *strrchr(moved, '/') = 0;
    /* closed again, and under another name: still the same data, not a new and empty server */
    CHECK(chmod(closed, 0700) == 0);
    CHECK_OK(sea_path_join(its_name, closed, "renamed", &err), err);
    CHECK(rename(dir, its_name) == 0);
    CHECK_OK(sea_cluster_open(&other, its_name, &err), err);
    CHECK_INT(strncmp(other.data, moved, strlen(moved)), 0);
    /* who else may write there could put a socket or data of their own in its place */
    CHECK(chmod(moved, 0777) == 0);
    CHECK(sea_cluster_open(&other, its_name, &err));
    CHECK_FAILS(err, SEA_E_SERVICE, "is not ours alone to write to");
    sea_err_clear(&err);
    CHECK_OK(sea_dir_remove(moved, &err), err);
    /* a copy with the data in it: no new and empty server beside it */
    CHECK(unlink(link_path(its_name)) == 0 && mkdir(link_path(its_name), 0700) == 0);
    CHECK(sea_cluster_open(&other, its_name, &err));
    CHECK_FAILS(err, SEA_E_SERVICE, "user cannot come to");
}

static void
a_socket_folder_of_somebody_else_is_refused(void)
{
    struct sea_cluster other;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    if (geteuid() != 0) {
        SEA_SKIP("only root could take over what belongs to others");
        return;
    }
    CHECK_OK(sea_path_join(dir, sea_test_dir(),
                           "another-folder-with-a-rather-long-name-so-that-no-socket-would-fit/"
                           "and-one-more-below-it-to-be-sure", &err), err);
    CHECK_OK(sea_cluster_open(&other, dir, &err), err);
    CHECK(mkdir(other.socket, 0777) == 0 && chown(other.socket, 12345, 12345) == 0);
    CHECK(sea_cluster_start(&other, &err));
    CHECK_FAILS(err, SEA_E_SERVICE, "belongs to user 12345");
    CHECK(rmdir(other.socket) == 0);
}

static void
values_come_back_as_they_went(void)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };

    service_begin();
    CHECK_OK(sea_db_query_text(db, "SELECT 5::bigint AS i, 2.5 AS r, NULL AS n, 'x' AS t,"
                               " true AS b, '{}'::jsonb AS j", &rows, &err), err);
    CHECK_INT(sea_rows_int(rows, 0, "i", &err), 5);
    CHECK_NEAR(sea_rows_real(rows, 0, "r", &err), 2.5, 0);
    CHECK_STR(sea_rows_text(rows, 0, "t", &err), "x");
    CHECK(sea_rows_bool(rows, 0, "b", &err));
    CHECK_STR(sea_rows_text_or(rows, 0, "n", "none", &err), "none");
    CHECK_INT(sea_rows_column_kind(rows, 0), SEA_COLUMN_NUMBER);
    CHECK_INT(sea_rows_column_kind(rows, 4), SEA_COLUMN_BOOL);
    CHECK_INT(sea_rows_column_kind(rows, 5), SEA_COLUMN_JSON);
    CHECK_OK(err.status, err);
    sea_rows_int(rows, 0, "n", &err);
    CHECK_FAILS(err, SEA_E_INTERNAL, "\"n\" is null");
    sea_err_clear(&err);
    sea_rows_int(rows, 0, "missing", &err);
    CHECK_FAILS(err, SEA_E_INTERNAL, "no column \"missing\"");
    sea_err_clear(&err);
    sea_rows_int(rows, 0, "t", &err);
    CHECK_FAILS(err, SEA_E_INTERNAL, "need a whole number");
    sea_rows_close(rows);
}

static void
a_late_answer_is_an_error_in_time(void)
{
    struct sea_db *mine;
    struct sea_err err = { 0 };
    int64_t start;

    service_begin();
    mine = connect_more();
    sea_db_set_statement_ms(mine, 200);
    start = sea_clock_ms();
    CHECK(sea_db_query_text(mine, "SELECT pg_sleep(10)", NULL, &err));
    CHECK_FAILS(err, SEA_E_SERVICE, "did not answer");
    CHECK_MSG(sea_clock_ms() - start < 1000, "took %lld ms", (long long)(sea_clock_ms() - start));
    CHECK(sea_db_is_lost(mine));
    sea_err_clear(&err);
    CHECK(sea_db_query_text(mine, "SELECT 1", NULL, &err) == SEA_E_SERVICE);
    sea_err_clear(&err);
    CHECK_OK(sea_db_reconnect(mine, &err), err);
    CHECK_OK(sea_db_query_text(mine, "SELECT 1", NULL, &err), err);
    sea_db_close(mine);
}

static void
a_lost_session_is_told_and_revived(void)
{
    struct sea_db *mine;
    struct sea_err err = { 0 };

    service_begin();
    mine = connect_more();
    CHECK_OK(sea_db_listen(mine, "sea_ready", &err), err);
    run_sql("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE pid <>"
            " pg_backend_pid() AND application_name = 'test'");
    CHECK(sea_db_query_text(mine, "SELECT 1", NULL, &err));
    CHECK_INT(err.status, SEA_E_SERVICE);
    sea_err_clear(&err);
    CHECK_OK(sea_db_reconnect(mine, &err), err);
    run_sql("SELECT pg_notify('sea_ready', '')");       /* still listened to */
    CHECK(sea_db_wait(mine, 2000));
    CHECK(!sea_db_wait(mine, 20));
    sea_db_close(mine);
}

static void
no_server_is_one_clear_error(void)
{
    struct sea_db *none = NULL;
    struct sea_err err = { 0 };

    CHECK(sea_db_open(&(struct sea_db_options){
        .url = "postgresql://me:hunter2@/sea?host=/nowhere" }, &none, &err));
    CHECK_FAILS(err, SEA_E_SERVICE, "could not connect to PostgreSQL");
    CHECK(strstr(err.message, "hunter2") == NULL);
    CHECK(none == NULL);
    CHECK_STR(err.hint, "");    /* whose server it is, the caller knows */
}

/* The hint fits the server: the private one is started, somebody else's is looked for. */
static void
the_hint_tells_whose_server_it_is(void)
{
    struct sea_home home;
    struct sea_db *none = NULL;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    unsetenv("PGHOST");
    unsetenv("PGSERVICE");
    unsetenv("PGDATABASE");
    unsetenv("SEA_DATABASE_URL");
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "home", &err), err);
    CHECK_OK(sea_home_open(&home, dir, &err), err);
    CHECK(home.is_private);
    CHECK(sea_home_connect(&home, "test", &none, &err));
    CHECK_MSG(strstr(err.hint, "`sea up`") != NULL, "hint \"%s\"", err.hint);
    sea_err_clear(&err);
    setenv("SEA_DATABASE_URL", "host=/nowhere dbname=x", 1);
    CHECK_OK(sea_home_open(&home, dir, &err), err);
    CHECK(sea_home_connect(&home, "test", &none, &err));
    CHECK_MSG(strstr(err.hint, "Check SEA_DATABASE_URL") != NULL, "hint \"%s\"", err.hint);
    unsetenv("SEA_DATABASE_URL");
}

struct clash {
    const char *first, *second;
    enum sea_status status;
};

static void *
clash_thread(void *arg)
{
    struct clash *clash = arg;
    struct sea_db *mine = connect_more();
    struct sea_err err = { 0 };
    char sql[512];

    snprintf(sql, sizeof(sql), "DO $$ BEGIN UPDATE clash SET n = n + 1 WHERE id = %s;"
             " PERFORM pg_sleep(0.1); UPDATE clash SET n = n + 1 WHERE id = %s; END $$",
             clash->first, clash->second);
    clash->status = sea_db_query_text(mine, sql, NULL, &err);
    sea_db_close(mine);
    return NULL;
}

static void
a_deadlock_is_tried_again(void)
{
    struct clash one = { .first = "1", .second = "2" }, two = { .first = "2", .second = "1" };
    pthread_t a, b;

    service_begin();
    run_sql("ALTER DATABASE sea SET deadlock_timeout = '100ms'");
    run_sql("CREATE TABLE clash (id int PRIMARY KEY, n int NOT NULL)");
    run_sql("INSERT INTO clash VALUES (1, 0), (2, 0)");
    pthread_create(&a, NULL, clash_thread, &one);
    pthread_create(&b, NULL, clash_thread, &two);
    pthread_join(a, NULL);
    pthread_join(b, NULL);
    CHECK_INT(one.status, SEA_OK);
    CHECK_INT(two.status, SEA_OK);
    CHECK_INT(number("SELECT sum(n) FROM clash"), 4);
    CHECK(number("SELECT deadlocks FROM pg_stat_database WHERE datname = 'sea'") >= 0);
    run_sql("DROP TABLE clash");
}

/* A claim of a worker that nobody knows: no rows, and nothing changes. */
static void
claim_nothing(int64_t worker)
{
    struct sea_rows *rows = NULL;
    struct sea_err err = { 0 };

    if (CHECK_OK(sea_db_query(db, "claim",
                              SEA_PARAMS(SEA_P_INT(worker), SEA_P_TEXT("default"),
                                         SEA_P_INT(1000),
                                         SEA_P_TEXT("00000000-0000-0000-0000-000000000000")),
                              &rows, &err), err))
        CHECK_INT(sea_rows_count(rows), 0);
    sea_rows_close(rows);
}

static void
marked_queries_are_prepared_once_per_session(void)
{
    struct sea_err err = { 0 };

    service_begin();
    CHECK_OK(sea_db_reconnect(db, &err), err);
    CHECK_INT(number("SELECT count(*) FROM pg_prepared_statements"), 0);
    claim_nothing(-1);
    claim_nothing(-2);
    CHECK_INT(number("SELECT count(*) FROM pg_prepared_statements"), 1);
    CHECK_INT(number("SELECT generic_plans + custom_plans FROM pg_prepared_statements"), 2);
    /* A new session knows nothing of the old one's. */
    CHECK_OK(sea_db_reconnect(db, &err), err);
    CHECK_INT(number("SELECT count(*) FROM pg_prepared_statements"), 0);
    claim_nothing(-3);
    CHECK_INT(number("SELECT count(*) FROM pg_prepared_statements"), 1);
    /* The function changes under a prepared call, as migrations change it. */
    run_sql("ALTER FUNCTION sea.claim(bigint, text, integer, uuid) RENAME TO claim_before");
    run_sql("ALTER FUNCTION sea.claim_before(bigint, text, integer, uuid) RENAME TO claim");
    claim_nothing(-4);
}

SEA_TEST_MAIN("db: connection and private cluster", TEST(the_cluster_starts_once_and_stops),
              TEST(opening_a_cluster_makes_nothing), TEST(a_guarded_cluster_leaves_nothing),
              TEST(a_cluster_below_a_closed_folder_is_reachable),
              TEST(a_socket_folder_of_somebody_else_is_refused),
              TEST(values_come_back_as_they_went), TEST(a_late_answer_is_an_error_in_time),
              TEST(a_lost_session_is_told_and_revived), TEST(no_server_is_one_clear_error),
              TEST(the_hint_tells_whose_server_it_is),
              TEST(a_deadlock_is_tried_again),
              TEST(marked_queries_are_prepared_once_per_session))
