/* SPDX-License-Identifier: Apache-2.0 */
/* Two machines that share no folder, one database and one bucket: each runs a stage of the same
 * experiment, and the collector keeps the bucket clean. */
#include "scheduler/sea_collector.h"
#include "scheduler/sea_worker.h"
#include "tests/scheduler/s3_server.h"
#include "tests/scheduler/service.h"

#define CONFIG "{\"name\":\"two\",\"seed\":1,\"mode\":\"ok\",\"steps\":7,\"pause\":\"\"," \
               "\"model\":{\"vision\":{\"path\":\"@foundation/vision\"}}," \
               "\"stages\":{\"foundation\":{},\"label\":{},\"align\":{}}}"

static struct s3_server server;

static void
work_once(const char *machine)
{
    char program[SEA_PATH_MAX], real[SEA_PATH_MAX], data[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    must(sea_path_join(program, sea_test_root(), "tests/scheduler/fake_stage.sh", &err), &err);
    must(sea_path_join(data, sea_test_dir(), machine, &err), &err);
    if (!realpath(program, real))
        abort();
    tick();
    CHECK_OK(sea_worker_run(&(struct sea_worker_options){ .url = cluster.url, .data = data,
                                .stage_program = real, .once = true }, &err), err);
}

static void
open_store(struct sea_store *store, const char *machine)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%.2000s/%.100s/store", sea_test_dir(), machine);
    CHECK_OK(sea_store_open(store, path, &err), err);
}

static void
two_machines_share_a_bucket(void)
{
    struct sea_collector_options options = SEA_COLLECTOR_DEFAULTS;
    struct sea_collector_counts counts;
    struct sea_artifact alone = { .path = "f" };
    struct sea_err err = { 0 };
    struct sea_store store;
    char folder[SEA_PATH_MAX], path[SEA_PATH_MAX];
    size_t checked = 0, bad = 0;

    service_begin();
    s3_start(&server);
    setenv("SEA_STORE", "s3://bucket/sea", 1);
    setenv("SEA_STORE_ENDPOINT", server.endpoint, 1);
    setenv("SEA_STORE_REGION", S3_REGION, 1);
    setenv("AWS_ACCESS_KEY_ID", S3_ACCESS, 1);
    setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET, 1);
    submit(CONFIG, NULL);
    work_once("one");
    work_once("two");           /* reads what the other made */
    work_once("one");
    CHECK_INT(number("SELECT count(*) FROM sea.stage_run WHERE state = 'done'"), 3);
    CHECK_INT(number("SELECT count(DISTINCT sha256) FROM sea.manifest"), s3_count(&server, false));
    open_store(&store, "three");
    CHECK_OK(sea_store_check(&store, &checked, &bad, &err), err);
    CHECK_INT(checked, s3_count(&server, false));
    CHECK_INT(bad, 0);
    /* A publisher that died leaves an object, an attempt a checkpoint; both are old. */
    must(sea_path_join(folder, sea_test_dir(), "dead", &err), &err);
    must(sea_dir_create(folder, &err), &err);
    must(sea_path_join(path, folder, "f", &err), &err);
    must(sea_file_replace(path, "nobody's", 8, &err), &err);
    must(sea_hash_file(path, alone.sha256, &alone.bytes, &err), &err);
    CHECK_OK(sea_store_publish(&store, folder, &(struct sea_artifacts){ &alone, 1 }, &err), err);
    pthread_mutex_lock(&server.lock);
    s3_store(&server, "sea/checkpoint/99.1.5/state", "", 0, "x", 1);
    s3_store(&server, "sea/checkpoint/99.1.5/DONE", "", 0, "x", 1);
    s3_store(&server, "sea/README", "", 0, "x", 1);     /* somebody's: stays */
    pthread_mutex_unlock(&server.lock);
    CHECK_OK(sea_collector_run(db, &store, &options, &counts, &err), err);
    CHECK_INT(counts.blobs + counts.leftovers, 0);      /* too young */
    server.age_s = 7200;
    options.look_only = true;
    CHECK_OK(sea_collector_run(db, &store, &options, &counts, &err), err);
    CHECK_INT(counts.leftovers, 1);
    options.look_only = false;
    CHECK_OK(sea_collector_run(db, &store, &options, &counts, &err), err);
    CHECK_INT(counts.blobs, 1);
    CHECK_INT(counts.leftovers, 1);
    CHECK_INT(s3_count(&server, false), (int)checked + 1);
    CHECK_OK(sea_store_check(&store, &checked, &bad, &err), err);
    CHECK_INT(bad, 0);
    CHECK_INT(server.refused, 0);
    printf("  %d requests, %d objects of 3 stages from 2 machines\n", server.seen, (int)checked);
    CHECK_STR(text("SELECT string_agg(stage_id || ': ' || what, ', ') FROM sea.broken_invariant"),
              "");
    s3_stop(&server);
}

SEA_TEST_MAIN("bucket: machines without a common folder", TEST(two_machines_share_a_bucket))
