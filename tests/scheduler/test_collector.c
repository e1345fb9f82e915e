/* SPDX-License-Identifier: Apache-2.0 */
/* The collector: what is needed stays, what is not goes, whoever publishes meanwhile. */
#include <fcntl.h>
#include <pthread.h>
#include <stdatomic.h>

#include "scheduler/sea_collector.h"
#include "tests/scheduler/service.h"

#define PUBLISHERS 4
#define COLLECTORS 2
#define CONTENTS 5              /* different files that the publishers share */
#define RACE_MS 2500

static struct sea_arena *arena;
static struct sea_store store;
static char base[SEA_PATH_MAX];
static int64_t worker;

static void
fresh(const char *name)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    service_begin();
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    must(sea_path_join(base, sea_test_dir(), name, &err), &err);
    must(sea_path_join(path, base, "store", &err), &err);
    must(sea_store_open(&store, path, &err), &err);
    worker = add_worker();
}

static struct sea_claim
claim_new(int seed)
{
    struct sea_claim claim = { 0 };
    struct sea_err err = { 0 };
    char config[128];
    bool claimed;

    snprintf(config, sizeof(config), "{\"name\":\"c\",\"seed\":%d,\"stages\":{\"label\":{}}}", seed);
    submit(config, NULL);
    tick();
    CHECK_OK(sea_queue_claim(db, worker, "default", 60000, arena, &claim, &claimed, &err), err);
    CHECK(claimed);
    return claim;
}

/* A folder with one file of this content, and its description. */
static struct sea_artifact
make_file(const char *folder, const char *content, struct sea_err *err)
{
    struct sea_artifact file = { .path = "file", .bytes = strlen(content) };
    char path[SEA_PATH_MAX];

    sea_hash_bytes(content, strlen(content), file.sha256);
    if (!sea_dir_create(folder, err) && !sea_path_join(path, folder, "file", err))
        err->status = sea_file_replace(path, content, strlen(content), err);
    return file;
}

static bool
is_there(const char *sha256)
{
    char path[SEA_PATH_MAX + 80];

    snprintf(path, sizeof(path), "%s/%.2s/%s", store.root, sha256, sha256);
    return access(path, R_OK) == 0;
}

/* Publishes content under the claim. */
static struct sea_artifact
publish(const struct sea_claim *claim, const char *content)
{
    struct sea_err err = { 0 };
    char folder[SEA_PATH_MAX];
    struct sea_artifact file;
    int64_t condemned = 0;

    CHECK_OK(sea_path_join(folder, base, content, &err), err);
    file = make_file(folder, content, &err);
    CHECK_OK(err.status, err);
    CHECK_OK(sea_queue_prepare(db, &claim->fence, &(struct sea_artifacts){ &file, 1 }, "[]",
                               &condemned, &err), err);
    CHECK_INT(condemned, 0);
    CHECK_OK(sea_store_publish(&store, folder, &(struct sea_artifacts){ &file, 1 }, &err), err);
    return file;
}

static struct sea_collector_counts
collect(bool look_only)
{
    struct sea_collector_options options = { .look_only = look_only };
    struct sea_collector_counts counts;
    struct sea_err err = { 0 };

    CHECK_OK(sea_collector_run(db, &store, &options, &counts, &err), err);
    return counts;
}

static void
what_is_needed_stays(void)
{
    struct sea_claim done, running, failed;
    struct sea_artifact kept, pinned, lost;
    struct sea_err err = { 0 };
    struct sea_collector_options young = SEA_COLLECTOR_DEFAULTS;
    struct sea_collector_counts counts;
    const char *gone;

    fresh("needed");
    done = claim_new(1);
    kept = publish(&done, "kept");
    CHECK_OK(sea_queue_commit(db, &done.fence, &(struct sea_artifacts){ &kept, 1 }, kept.sha256,
                              "[]", NULL, arena, &gone, &err), err);
    running = claim_new(2);
    pinned = publish(&running, "pinned");
    failed = claim_new(3);
    lost = publish(&failed, "lost");
    CHECK_OK(sea_queue_release(db, &failed.fence, "pause", 60000, &err), err);
    CHECK_OK(sea_collector_run(db, &store, &young, &counts, &err), err);
    CHECK_INT(counts.blobs, 0);                 /* younger than the grace */
    counts = collect(true);
    CHECK_INT(counts.blobs, 1);
    CHECK_INT(counts.bytes, 4);
    CHECK(is_there(lost.sha256));
    counts = collect(false);
    CHECK_INT(counts.blobs, 1);
    CHECK_INT(counts.bytes, 4);
    CHECK(is_there(kept.sha256) && is_there(pinned.sha256) && !is_there(lost.sha256));
    CHECK_INT(number("SELECT count(*) FROM sea.artifact"), 2);
    CHECK_OK(sea_queue_release(db, &running.fence, "pause", 60000, &err), err);
    CHECK_INT(collect(false).blobs, 1);
    CHECK(is_there(kept.sha256) && !is_there(pinned.sha256));
    CHECK_INT(collect(false).blobs, 0);
}

static void
a_condemned_file_is_waited_for(void)
{
    struct sea_claim claim;
    struct sea_artifact file;
    struct sea_err err = { 0 };
    int64_t condemned;

    fresh("condemned");
    claim = claim_new(1);
    file = publish(&claim, "again");
    CHECK_OK(sea_queue_release(db, &claim.fence, "pause", 0, &err), err);
    CHECK_INT(number("SELECT count(*) FROM sea.condemn(0, 1000, 10)"), 1);
    claim = claim_new(2);
    CHECK_OK(sea_queue_prepare(db, &claim.fence, &(struct sea_artifacts){ &file, 1 }, "[]",
                               &condemned, &err), err);
    CHECK_INT(condemned, 1);
    CHECK_INT(collect(false).blobs, 0);         /* another collector's, and fresh */
    run_sql("UPDATE sea.artifact SET condemned_at = condemned_at - interval '1 h'");
    CHECK_INT(collect(false).blobs, 1);         /* that one was killed: taken up, pin or not */
    CHECK(!is_there(file.sha256));
    publish(&claim, "again");
    CHECK(is_there(file.sha256));
    CHECK_INT(collect(false).blobs, 0);
}

static void
files_without_a_row_and_leftovers_go(void)
{
    struct sea_err err = { 0 };
    struct sea_claim claim;
    struct sea_artifact file;
    struct sea_collector_counts counts;
    char path[SEA_PATH_MAX], name[128], folder[SEA_PATH_MAX];

    fresh("unknown");
    claim = claim_new(1);
    CHECK_OK(sea_path_join(folder, base, "x", &err), err);
    file = make_file(folder, "x", &err);
    CHECK_OK(sea_store_publish(&store, folder, &(struct sea_artifacts){ &file, 1 }, &err), err);
    snprintf(name, sizeof(name), "%.2s/%s.tmp.123", file.sha256, file.sha256);
    CHECK_OK(sea_path_join(path, store.root, name, &err), err);
    CHECK_OK(sea_file_replace(path, "half", 4, &err), err);
    CHECK_OK(sea_path_join(path, store.root, "README", &err), err);
    CHECK_OK(sea_file_replace(path, "mine", 4, &err), err);
    CHECK_OK(sea_path_join(path, store.root, "checkpoint/77.1.5", &err), err);
    CHECK_OK(sea_dir_create(path, &err), err);
    snprintf(name, sizeof(name), "checkpoint/%lld.1.5", (long long)claim.fence.stage_id);
    CHECK_OK(sea_path_join(path, store.root, name, &err), err);
    CHECK_OK(sea_dir_create(path, &err), err);
    counts = collect(true);
    CHECK_INT(counts.blobs, 1);
    CHECK_INT(counts.leftovers, 2);
    counts = collect(false);
    CHECK_INT(counts.blobs, 1);
    CHECK_INT(counts.leftovers, 2);
    CHECK(!is_there(file.sha256));
    CHECK(sea_dir_exists(path));                /* its attempt lives and may record it */
    CHECK_OK(sea_path_join(path, store.root, "README", &err), err);
    CHECK(sea_file_exists(path));
    CHECK_INT(number("SELECT count(*) FROM sea.artifact"), 0);
}

/* A worker that is killed leaves the folder of its attempt, with checkpoints of gigabytes. */
static void
folders_of_attempts_that_are_over_go(void)
{
    struct sea_collector_options options = { .unfinished_ms = 60000 };
    struct sea_collector_counts counts;
    struct sea_claim dead, alive;
    struct sea_err err = { 0 };
    char folders[4][SEA_PATH_MAX], name[64];
    size_t i;

    fresh("attempts");
    dead = claim_new(1);
    alive = claim_new(2);
    for (i = 0; i < 4; i++) {
        const struct sea_fence *fence = i ? &alive.fence : &dead.fence;

        snprintf(name, sizeof(name), i < 2 ? "tmp/%lld.%lld" : i == 2 ? "tmp/999.1" : "tmp/mine",
                 (long long)fence->stage_id, (long long)fence->epoch);
        CHECK_OK(sea_path_join(folders[i], base, name, &err), err);
        CHECK_OK(sea_dir_create(folders[i], &err), err);
    }
    CHECK_OK(sea_queue_release(db, &dead.fence, "pause", 0, &err), err);
    CHECK_OK(sea_collector_run(db, &store, &options, &counts, &err), err);
    CHECK_INT(counts.leftovers, 0);             /* it may still be written to */
    run_sql("UPDATE sea.attempt SET ended_at = ended_at - interval '2 min'"
            " WHERE ended_at IS NOT NULL");
    options.look_only = true;
    CHECK_OK(sea_collector_run(db, &store, &options, &counts, &err), err);
    CHECK_INT(counts.leftovers, 1);
    CHECK(sea_dir_exists(folders[0]));
    options.look_only = false;
    CHECK_OK(sea_collector_run(db, &store, &options, &counts, &err), err);
    CHECK_INT(counts.leftovers, 1);
    CHECK(!sea_dir_exists(folders[0]));
    for (i = 1; i < 4; i++)                     /* alive, of another database, somebody's */
        CHECK(sea_dir_exists(folders[i]));
}

/* ---- publishers and collectors at once ---- */

struct racer {
    int number;
    struct sea_db *db;
    struct sea_fence fence;
    int64_t done, waited, missing;
    struct sea_err err;
};
static atomic_bool over;

static void
publish_once(struct racer *r, unsigned turn)
{
    char folder[SEA_PATH_MAX], content[32], sql[160];
    struct sea_artifact file;
    int64_t condemned = 1;

    snprintf(content, sizeof(content), "content %u", (turn * 7 + (unsigned)r->number) % CONTENTS);
    snprintf(folder, sizeof(folder), "%.4000s/out-%d-%u", base, r->number, turn);
    file = make_file(folder, content, &r->err);
    while (!r->err.status && condemned) {
        r->err.status = sea_queue_prepare(r->db, &r->fence, &(struct sea_artifacts){ &file, 1 },
                                          "[]", &condemned, &r->err);
        r->waited += condemned != 0;
    }
    if (!r->err.status)
        r->err.status = sea_store_publish(&store, folder, &(struct sea_artifacts){ &file, 1 },
                                          &r->err);
    if (r->err.status)
        return;
    sea_clock_sleep_ms(turn % 3);
    r->missing += !is_there(file.sha256);
    r->done++;
    /* as the end of the attempt does */
    snprintf(sql, sizeof(sql), "DELETE FROM sea.pin WHERE stage_id = %lld",
             (long long)r->fence.stage_id);
    r->err.status = sea_db_query_text(r->db, sql, NULL, &r->err);
}

static void *
publisher(void *arg)
{
    struct racer *r = arg;
    unsigned turn;

    for (turn = 0; !over && !r->err.status; turn++)
        publish_once(r, turn);
    return NULL;
}

static void *
collector(void *arg)
{
    struct sea_collector_options options = { .unfinished_ms = 60000 };
    struct racer *r = arg;

    while (!over && !r->err.status) {
        struct sea_collector_counts counts;

        r->err.status = sea_collector_run(r->db, &store, &options, &counts, &r->err);
        r->done += counts.blobs;
    }
    return NULL;
}

static void
no_file_is_taken_from_a_publisher(void)
{
    struct racer racers[PUBLISHERS + COLLECTORS] = { 0 };
    pthread_t threads[PUBLISHERS + COLLECTORS];
    int64_t published = 0, waited = 0, missing = 0, collected = 0;
    int i;

    fresh("race");
    over = false;
    for (i = 0; i < PUBLISHERS + COLLECTORS; i++) {
        racers[i].number = i;
        racers[i].db = connect_more();
        if (i < PUBLISHERS)
            racers[i].fence = claim_new(i).fence;
        pthread_create(&threads[i], NULL, i < PUBLISHERS ? publisher : collector, &racers[i]);
    }
    sea_clock_sleep_ms(RACE_MS);
    over = true;
    for (i = 0; i < PUBLISHERS + COLLECTORS; i++) {
        pthread_join(threads[i], NULL);
        CHECK_OK(racers[i].err.status, racers[i].err);
        sea_db_close(racers[i].db);
        published += i < PUBLISHERS ? racers[i].done : 0;
        collected += i < PUBLISHERS ? 0 : racers[i].done;
        waited += racers[i].waited;
        missing += racers[i].missing;
    }
    printf("published %lld, collected %lld, waited for a removal %lld, live files lost %lld\n",
           (long long)published, (long long)collected, (long long)waited, (long long)missing);
    CHECK(published > 50 && collected > 10);
    CHECK_INT(missing, 0);
    run_sql("UPDATE sea.artifact SET condemned_at = condemned_at - interval '1 h'");
    collect(false);
    CHECK_INT(number("SELECT count(*) FROM sea.artifact"), 0);  /* nothing is left behind */
}

SEA_TEST_MAIN("collector: files that nothing refers to", TEST(what_is_needed_stays),
              TEST(a_condemned_file_is_waited_for), TEST(files_without_a_row_and_leftovers_go),
              TEST(folders_of_attempts_that_are_over_go),
              TEST(no_file_is_taken_from_a_publisher))
