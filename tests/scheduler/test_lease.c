/* SPDX-License-Identifier: Apache-2.0 */
/* Leases: renewed while they can be, the child killed in time when not; the relay beside. */
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>

#include "scheduler/sea_lease.h"
#include "scheduler/sea_relay.h"
#include "scheduler/sea_supervisor.h"
#include "tests/scheduler/service.h"

#define TTL_MS 1200

static struct sea_arena *arena;
static struct sea_claim claim;
static struct sea_child child;
static struct sea_lease *lease;
static char log_path[SEA_PATH_MAX];

/* Takes the place of the C library's for libpq, too: a resolver whose network is gone. */
int
getaddrinfo(const char *node, const char *service, const struct addrinfo *hints,
            struct addrinfo **out)
{
    (void)node, (void)service, (void)hints;
    *out = NULL;
    sea_clock_sleep_ms(2 * TTL_MS);
    return EAI_AGAIN;
}

/* A claimed stage run, a child that sleeps, and a lease that guards it. url: for its renewals. */
static void
begin_at(const char *url)
{
    char *argv[] = { "/bin/sleep", "60", NULL };
    struct sea_err err = { 0 };
    int64_t worker, sent;
    bool claimed;

    service_begin();
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    must(sea_path_join(log_path, sea_test_dir(), "child.log", &err), &err);
    worker = add_worker();
    submit("{\"name\":\"l\",\"seed\":1,\"stages\":{\"label\":{}}}", NULL);
    tick();
    sent = sea_clock_ms();
    CHECK_OK(sea_queue_claim(db, worker, "default", TTL_MS, arena, &claim, &claimed, &err), err);
    CHECK_OK(sea_child_start(&child, argv, log_path, &err), err);
    CHECK_OK(sea_lease_open(url ? url : cluster.url, &claim.fence, TTL_MS, sent, &lease, &err), err);
    sea_lease_guard(lease, child.pid);
}

static void
begin(void)
{
    begin_at(NULL);
}

/* Milliseconds until the child ended; -1 when it did not within ms. */
static int64_t
child_ends_after(int64_t ms)
{
    int64_t start = sea_clock_ms();

    while (!child.ended && sea_clock_ms() - start < ms)
        sea_child_wait(&child, 20);
    return child.ended ? sea_clock_ms() - start : -1;
}

static void
end(int want)
{
    sea_lease_guard(lease, 0);
    CHECK_INT(sea_child_reap(&child), want);
    sea_lease_close(lease);
}

static void
a_lease_lives_while_it_is_renewed(void)
{
    begin();
    sea_clock_sleep_ms(2 * TTL_MS);
    CHECK_INT(tick().rescued, 0);
    CHECK(!sea_lease_is_lost(lease));
    CHECK(!sea_lease_wants_cancel(lease));
    CHECK_STR(text("SELECT sea.cancel(1)"), "cancelling");
    sea_clock_sleep_ms(TTL_MS / 2);
    CHECK(sea_lease_wants_cancel(lease));
    CHECK(!child.ended);
    end(128 + SIGKILL);         /* the reap kills what is left */
}

static void
the_child_dies_when_the_database_says_so(void)
{
    int64_t took;

    begin();
    /* in one transaction, lest a renewal comes between */
    run_sql("DO $$ BEGIN UPDATE sea.lease SET expires_at = clock_timestamp() - interval '1 s';"
            " PERFORM sea.rescue(); END $$");
    CHECK_INT(number("SELECT count(*) FROM sea.lease"), 0);
    took = child_ends_after(2 * TTL_MS);
    printf("rescue to the child's end: %lld ms, TTL %d ms\n", (long long)took, TTL_MS);
    CHECK(took >= 0 && took < TTL_MS);
    CHECK(sea_lease_is_lost(lease));
    end(128 + SIGKILL);
}

static void
the_child_dies_before_the_lease_can_end(void)
{
    struct sea_err err = { 0 };
    int64_t took;

    begin();
    CHECK(wait_for("SELECT expires_at > clock_timestamp() + interval '1 s' FROM sea.lease", 1,
                   TTL_MS));
    CHECK_OK(sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err), err);
    took = child_ends_after(2 * TTL_MS);
    printf("outage to the child's end: %lld ms, TTL %d ms\n", (long long)took, TTL_MS);
    CHECK(took >= 0 && took < TTL_MS);
    CHECK(sea_lease_is_lost(lease));
    end(128 + SIGKILL);
    CHECK_OK(sea_cluster_start(&cluster, &err), err);
    CHECK_OK(sea_db_reconnect(db, &err), err);
}

static void
the_child_dies_in_time_while_a_name_is_looked_up(void)
{
    int64_t took;

    begin_at("host=database.invalid port=5432 user=sea dbname=sea");
    took = child_ends_after(2 * TTL_MS);
    printf("no resolver to the child's end: %lld ms, TTL %d ms\n", (long long)took, TTL_MS);
    CHECK(took >= 0 && took < TTL_MS);
    CHECK(sea_lease_is_lost(lease));
    end(128 + SIGKILL);
}

static void
a_dead_child_is_not_waited_for(void)
{
    char *argv[] = { "/nonexistent/sea", "stage", NULL };
    struct sea_child none;
    struct sea_err err = { 0 };

    begin();
    kill(-child.pid, SIGTERM);
    CHECK(child_ends_after(1000) >= 0);
    end(128 + SIGTERM);
    CHECK(sea_child_start(&none, argv, log_path, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "could not start \"/nonexistent/sea\"");
    CHECK_INT(none.pid, 0);
}

static void
feed(struct sea_relay *relay, int fds[2], const char *lines)
{
    struct sea_err err = { 0 };
    bool closed;

    CHECK_INT(write(fds[1], lines, strlen(lines)), strlen(lines));
    CHECK_OK(sea_relay_read(relay, fds[0], &closed, &err), err);
    CHECK(!closed);
}

/* More than a line may have. */
static void
feed_long(struct sea_relay *relay, int fds[2])
{
    static char text[32768];
    int i;

    memset(text, 'x', sizeof(text) - 1);
    for (i = 0; i < 40; i++)
        feed(relay, fds, text);
    feed(relay, fds, "\n");
}

static void
figures_survive_an_outage_once(void)
{
    struct sea_store store = { .root = "/nowhere" };
    struct sea_relay *relay;
    struct sea_err err = { 0 };
    char line[128];
    int fds[2], i;

    begin();
    relay = sea_relay_create(&(struct sea_relay_options){
        .db = db, .fence = &claim.fence, .store = &store, .out = "/nowhere" });
    CHECK_INT(pipe(fds), 0);
    CHECK_INT(fcntl(fds[0], F_SETFL, O_NONBLOCK), 0);
    feed(relay, fds, "{\"t\":\"metric\",\"name\":\"l\",\"step\":1,\"value\":1}\n");
    CHECK_OK(sea_relay_flush(relay, true, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.metric"), 1);
    run_sql("UPDATE sea.lease SET expires_at = 'infinity'");
    sea_lease_stop(lease);
    run_sql("ALTER TABLE sea.metric ADD CONSTRAINT refuse CHECK (value >= 0)");
    CHECK_OK(sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err), err);
    for (i = 2; i <= 500; i++) {
        snprintf(line, sizeof(line), "{\"t\":\"metric\",\"name\":\"l\",\"step\":%d,\"value\":1}\n",
                 i);
        feed(relay, fds, line);
        if (i % 100 == 0)
            CHECK_OK(sea_relay_flush(relay, false, &err), err);
    }
    CHECK(sea_relay_flush(relay, true, &err) == SEA_E_SERVICE);
    sea_err_clear(&err);
    feed(relay, fds, "{\"t\":\"error\",\"status\":\"E_FORMAT\",\"message\":\"bad\"}\n"
         "{\"t\":\"log\"");
    CHECK_OK(sea_cluster_start(&cluster, &err), err);
    CHECK_OK(sea_relay_flush(relay, true, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.metric WHERE name = 'l'"), 500);
    CHECK_INT(number("SELECT count(DISTINCT step) FROM sea.metric WHERE name = 'l'"), 500);
    CHECK_INT(sea_relay_error(relay)->status, SEA_E_FORMAT);
    /* a checkpoint that cannot be kept is told and does not stop anything */
    feed(relay, fds, ",\"level\":\"info\",\"text\":\"two halves\"}\n"
         "{\"t\":\"checkpoint\",\"path\":\"checkpoint/step-1\",\"step\":1}\n");
    CHECK_OK(sea_relay_flush(relay, true, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE text = 'two halves'"), 1);
    CHECK_INT(number("SELECT count(*) FROM sea.checkpoint"), 0);
    /* a line that is too long is told once, and what follows it arrives */
    feed_long(relay, fds);
    feed_long(relay, fds);
    feed(relay, fds, "{\"t\":\"metric\",\"name\":\"after\",\"step\":1,\"value\":1}\n");
    CHECK_OK(sea_relay_flush(relay, true, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.metric WHERE name = 'after'"), 1);
    /* a batch that waited for the database and is refused by it takes nothing along */
    CHECK_OK(sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err), err);
    feed(relay, fds, "{\"t\":\"metric\",\"name\":\"bad\",\"step\":1,\"value\":-1}\n");
    CHECK(sea_relay_flush(relay, true, &err) == SEA_E_SERVICE);
    sea_err_clear(&err);
    feed(relay, fds, "{\"t\":\"metric\",\"name\":\"next\",\"step\":1,\"value\":1}\n");
    CHECK_OK(sea_cluster_start(&cluster, &err), err);
    CHECK_OK(sea_db_reconnect(db, &err), err);
    CHECK_OK(sea_relay_flush(relay, true, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.metric WHERE name = 'bad'"), 0);
    CHECK_INT(number("SELECT count(*) FROM sea.metric WHERE name = 'next'"), 1);
    /* a checkpoint is recorded after all that came before it, not after a part */
    CHECK_OK(sea_cluster_stop(&cluster, SEA_CLUSTER_IMMEDIATE, &err), err);
    feed(relay, fds, "{\"t\":\"metric\",\"name\":\"one\",\"step\":1,\"value\":1}\n");
    CHECK(sea_relay_flush(relay, true, &err) == SEA_E_SERVICE);
    sea_err_clear(&err);
    feed(relay, fds, "{\"t\":\"metric\",\"name\":\"two\",\"step\":2,\"value\":1}\n"
         "{\"t\":\"checkpoint\",\"path\":\"checkpoint/step-2\",\"step\":2}\n");
    CHECK_OK(sea_cluster_start(&cluster, &err), err);
    CHECK_OK(sea_db_reconnect(db, &err), err);
    CHECK_OK(sea_relay_flush(relay, false, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.metric WHERE name IN ('one', 'two')"), 2);
    CHECK_INT(number("SELECT count(*) FROM sea.event WHERE level = 'warn' AND text LIKE"
                     " 'event lines of more than%'"), 1);
    run_sql("DELETE FROM sea.lease");
    feed(relay, fds, "{\"t\":\"progress\",\"done\":1,\"total\":2,\"unit\":\"x\"}\n");
    CHECK(sea_relay_flush(relay, true, &err) == SEA_E_LEASE);
    close(fds[0]);
    close(fds[1]);
    sea_relay_destroy(relay);
    end(128 + SIGKILL);
}

SEA_TEST_MAIN("lease: renewal, self-fence, relay", TEST(a_lease_lives_while_it_is_renewed),
              TEST(the_child_dies_when_the_database_says_so),
              TEST(the_child_dies_before_the_lease_can_end),
              TEST(the_child_dies_in_time_while_a_name_is_looked_up),
              TEST(a_dead_child_is_not_waited_for), TEST(figures_survive_an_outage_once))
