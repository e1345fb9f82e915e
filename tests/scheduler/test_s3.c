/* SPDX-License-Identifier: Apache-2.0 */
/* The store in a bucket: signatures against published values, one object through every fault,
 * and the store's own promises with nothing at hand. */
#include <netinet/in.h>
#include <pthread.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_s3.h"
#include "scheduler/sea_sigv4.h"
#include "scheduler/sea_store.h"
#include "scheduler/store_int.h"
#include "tests/scheduler/s3_server.h"

#define FAULTS(...) (const char *const[]){ __VA_ARGS__ }, \
    (int)(sizeof((const char *const[]){ __VA_ARGS__ }) / sizeof(const char *))

static struct s3_server server;
static struct sea_s3_settings settings;
static struct sea_arena *arena;

static const char *
file(const char *name)
{
    static char path[4][SEA_PATH_MAX];
    static int turn;

    turn = (turn + 1) % 4;
    snprintf(path[turn], SEA_PATH_MAX, "%.2000s/%.1000s", sea_test_dir(), name);
    return path[turn];
}

static void
begin(void)
{
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    sea_log_open("test", SEA_LOG_ERROR, stderr);
    s3_start(&server);
    settings = (struct sea_s3_settings){ .region = S3_REGION, .bucket = "bucket",
                                         .prefix = "a/b c/", .access = S3_ACCESS,
                                         .secret = S3_SECRET, .part_bytes = 1000,
                                         .stall_ms = 30000, .pause_ms = 5 };
    snprintf(settings.endpoint, sizeof(settings.endpoint), "%s", server.endpoint);
}

static void
end(void)
{
    CHECK_INT(server.refused, 0);
    s3_stop(&server);
}

static void
make(const char *path, size_t len)
{
    struct sea_err err = { 0 };
    char *bytes = sea_xcalloc(1, len + 1);
    size_t i;

    for (i = 0; i < len; i++)
        bytes[i] = (char)('a' + i % 23);
    CHECK_OK(sea_file_replace(path, bytes, len, &err), err);
    free(bytes);
}

/* ---- signatures ---- */

/* The values are those of the examples that AWS publishes for S3 (bucket examplebucket, keys
 * AKIAIOSFODNN7EXAMPLE), and for the last one of tests/oracle/sigv4.py. */
static void
signatures_are_those_that_are_published(void)
{
#define EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define HOST { "host", "examplebucket.s3.amazonaws.com" }
#define DATE { "x-amz-date", "20130524T000000Z" }
    static const struct sea_sigv4_keys keys = { "AKIAIOSFODNN7EXAMPLE",
        "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY", "us-east-1", "s3" };
    static const struct sea_sigv4_keys odd = { "me", "s3cr3t/+", "eu-west-3", "s3" };
    static const char body[] = "44ce7dd67c959e0d3524ffac1771dfbba87d2b6b4b4e99e42034a8b803f8b072";
    const struct {
        struct sea_sigv4_request request;
        const char *want;
    } rows[] = {
        { { "GET", "/test.txt", NULL, (const struct sea_sigv4_pair[]){ HOST, { "range", "bytes=0-9" },
            { "x-amz-content-sha256", EMPTY }, DATE }, 0, 4, EMPTY },
          "f0e8bdb87c964420e857bd35b5d6ed310bd44f0170aba48dd91039c6036bdb41" },
        { { "PUT", "/test$file.text", NULL, (const struct sea_sigv4_pair[]){ DATE, HOST,
            { "date", "Fri, 24 May 2013 00:00:00 GMT" }, { "x-amz-content-sha256", body },
            { "x-amz-storage-class", "REDUCED_REDUNDANCY" } }, 0, 5, body },
          "98ad721746da40c64f1a55b78f14c238d841ea1380cd77a1b5971af0ece108bd" },
        { { "GET", "/", (const struct sea_sigv4_pair[]){ { "lifecycle", "" } },
            (const struct sea_sigv4_pair[]){ HOST, { "x-amz-content-sha256", EMPTY }, DATE }, 1, 3,
            EMPTY }, "fea454ca298b7da1c68078a5d1bdbfbbe0d65c699e0f91ac7a200a0136783543" },
        { { "GET", "/", (const struct sea_sigv4_pair[]){ { "prefix", "J" }, { "max-keys", "2" } },
            (const struct sea_sigv4_pair[]){ HOST, { "x-amz-content-sha256", EMPTY }, DATE }, 2, 3,
            EMPTY }, "34b48302e7b5fa45bde8084f4b7868a86f0a534bc59db6670ed5711ef69dc6f7" },
        { { "PUT", "/bu/a b/\303\251+~%.txt",
            (const struct sea_sigv4_pair[]){ { "uploadId", "x/y=z+" }, { "partNumber", "10" } },
            (const struct sea_sigv4_pair[]){ { "host", "127.0.0.1:9000" },
            { "x-amz-content-sha256", body }, { "x-amz-date", "20261123T170501Z" },
            { "if-none-match", "*" }, { "x-amz-meta", "  two   blanks " } }, 2, 5, body },
          "d8934ba91bf055846f4575f3c1fe0eee4be421ee62360ded11c4f8a7f45784a3" },
    };
    char at[SEA_SIGV4_TIME];
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sea_err err = { 0 };
        struct sea_buf out;
        bool is_odd = i == 4;

        sea_buf_init(&out, 4096);
        CHECK_OK(sea_sigv4_sign(&rows[i].request, is_odd ? &odd : &keys,
                                is_odd ? "20261123T170501Z" : "20130524T000000Z", &out, &err), err);
        CHECK_MSG(out.len > 64 && strcmp(out.data + out.len - 64, rows[i].want) == 0,
                  "request %d: %s, want %s", (int)i, out.data, rows[i].want);
        sea_buf_release(&out);
    }
    sea_sigv4_time(1369353600, at);
    CHECK_STR(at, "20130524T000000Z");
}

/* ---- one object ---- */

static struct sea_s3 *
session(void)
{
    struct sea_s3 *s3 = NULL;
    struct sea_err err = { 0 };

    CHECK_OK(sea_s3_open(&settings, &s3, &err), err);
    return s3;
}

static void
put_get(size_t len, bool *was_there)
{
    struct sea_s3 *s3 = session();
    struct sea_err err = { 0 };
    char sha256[SEA_SHA256_TEXT];
    uint64_t bytes = 0;
    bool exists = false;

    make(file("in"), len);
    CHECK_OK(sea_hash_file(file("in"), sha256, &bytes, &err), err);
    CHECK_OK(sea_s3_put(s3, "k/\303\274 +%&=.bin", file("in"), true, was_there, &err), err);
    CHECK_OK(sea_s3_look(s3, "k/\303\274 +%&=.bin", &exists, &bytes, &err), err);
    CHECK(exists);
    CHECK_INT(bytes, len);
    unlink(file("out"));
    CHECK_OK(sea_s3_get(s3, "k/\303\274 +%&=.bin", file("out"), sha256, &err), err);
    sea_s3_close(s3);
}

static void
objects_come_back_whole_and_in_parts(void)
{
    static const size_t sizes[] = { 0, 1, 1000, 1001, 2000, 7777 };
    size_t i;
    bool was_there;

    begin();
    for (i = 0; i < sizeof(sizes) / sizeof(sizes[0]); i++) {
        struct sea_s3 *s3 = session();
        struct sea_err err = { 0 };

        put_get(sizes[i], &was_there);
        CHECK(!was_there);
        CHECK_INT(s3_count(&server, true), 0);
        put_get(sizes[i], &was_there);
        CHECK(was_there);       /* the first one wins */
        CHECK_INT(s3_count(&server, true), 0);
        CHECK_OK(sea_s3_remove(s3, "k/\303\274 +%&=.bin", &err), err);
        CHECK_OK(sea_s3_remove(s3, "k/\303\274 +%&=.bin", &err), err);
        sea_s3_close(s3);
    }
    CHECK_INT(server.uploads, 6);
    end();
}

static void
passing_faults_are_waited_out(void)
{
    bool was_there;
    size_t n;

    begin();
    for (n = 500; n <= 2500; n += 2000) {       /* whole, and in three parts */
        struct sea_s3 *s3;
        struct sea_err err = { 0 };

        s3_faults(&server, FAULTS("500", "503", "slow", "drop", "ok", "500", "503", "ok", "drop",
                                  "cut", "500", "cut"));
        put_get(n, &was_there);
        CHECK_INT(server.faults_met, 12);
        /* Done, but the answer was lost: what is there is taken for an answer. */
        s3 = session();
        CHECK_OK(sea_s3_remove(s3, "k/\303\274 +%&=.bin", &err), err);
        s3_faults(&server, n == 500 ? (const char *const[]){ "lost" }
                           : (const char *const[]){ "ok", "lost", "ok", "ok", "ok", "lost" },
                  n == 500 ? 1 : 6);
        put_get(n, &was_there);
        CHECK_OK(sea_s3_remove(s3, "k/\303\274 +%&=.bin", &err), err);
        s3_faults(&server, FAULTS("ok", "ok", "ok", "ok", "lost"));
        make(file("in"), 2500);         /* without the condition the parts are gone instead */
        CHECK_OK(sea_s3_put(s3, "k/\303\274 +%&=.bin", file("in"), false, &was_there, &err), err);
        CHECK_OK(sea_s3_remove(s3, "k/\303\274 +%&=.bin", &err), err);
        CHECK_INT(s3_count(&server, true), 0);
        sea_s3_close(s3);
    }
    end();
}

static void
a_transfer_that_stands_still_is_cut(void)
{
    bool was_there;

    begin();
    settings.stall_ms = 300;
    s3_faults(&server, FAULTS("stall"));
    put_get(500, &was_there);
    /* The first one counts, and is done in the end. A busy machine may cut another one, too. */
    CHECK_MSG(server.seen >= 4, "%d requests: the one that stands still was not cut", server.seen);
    end();
}

static int
taken_port(char *endpoint, size_t size)
{
    struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(at);
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    if (fd < 0 || bind(fd, (struct sockaddr *)&at, len) ||
        getsockname(fd, (struct sockaddr *)&at, &len))
        abort();
    snprintf(endpoint, size, "http://127.0.0.1:%d", ntohs(at.sin_port));
    return fd;
}

static void
lasting_faults_end_with_one_error(void)
{
    struct sea_err err = { 0 };
    struct sea_s3 *s3;
    char sha256[SEA_SHA256_TEXT];
    uint64_t bytes;
    bool there;
    int nobody;

    begin();
    make(file("in"), 2500);
    CHECK_OK(sea_hash_file(file("in"), sha256, &bytes, &err), err);
    s3 = session();
    /* The second part cannot be put: the first one goes, too. */
    s3_faults(&server, FAULTS("ok", "ok", "500", "500", "500", "500", "500", "500", "500"));
    CHECK(sea_s3_put(s3, "x", file("in"), true, &there, &err));
    CHECK_FAILS(err, SEA_E_SERVICE, "status 500, InternalError");
    CHECK_INT(s3_count(&server, false) + s3_count(&server, true), 0);
    sea_err_clear(&err);
    CHECK_OK(sea_s3_put(s3, "x", file("in"), true, &there, &err), err);
    s3_faults(&server, FAULTS("corrupt"));
    CHECK(sea_s3_get(s3, "x", file("bad"), sha256, &err));
    CHECK_FAILS(err, SEA_E_IO, "is corrupt");
    CHECK(!sea_file_exists(file("bad")));
    sea_err_clear(&err);
    CHECK(sea_s3_get(s3, "y", file("bad"), sha256, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "is not in bucket");
    CHECK(!sea_file_exists(file("bad")));
    sea_s3_close(s3);
    /* A wrong key is no passing fault, and is not in the message. */
    sea_err_clear(&err);
    snprintf(settings.secret, sizeof(settings.secret), "another");
    s3 = session();
    server.seen = 0;
    CHECK(sea_s3_get(s3, "x", file("bad"), sha256, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "status 403, SignatureDoesNotMatch");
    CHECK(!strstr(err.message, "another") && !strstr(err.hint, "another"));
    CHECK_INT(server.seen, 1);
    CHECK_INT(server.refused, 1);
    server.refused = 0;
    sea_s3_close(s3);
    end();
    /* Nobody is there: a port of our own, on which nobody listens and which nobody can take. */
    sea_err_clear(&err);
    nobody = taken_port(settings.endpoint, sizeof(settings.endpoint));
    s3 = session();
    CHECK(sea_s3_get(s3, "x", file("bad"), sha256, &err));
    CHECK_FAILS(err, SEA_E_SERVICE, "the store at http://127.0.0.1:");
    sea_s3_close(s3);
    close(nobody);
}

struct names {
    char all[400];
    int count;
    int64_t age_ms;
};

static enum sea_status
add_name(void *arg, const char *key, uint64_t bytes, int64_t age_ms, struct sea_err *err)
{
    struct names *names = arg;
    size_t len = strlen(names->all);

    (void)err;
    snprintf(names->all + len, sizeof(names->all) - len, "%s=%d ", key, (int)bytes);
    names->count++;
    names->age_ms = age_ms;
    return SEA_OK;
}

static void
lists_have_all_pages(void)
{
    struct sea_err err = { 0 };
    struct names names = { .count = 0 };
    struct sea_s3 *s3;
    char key[20];
    bool there;
    int i;

    begin();
    s3 = session();
    server.age_s = 100;
    for (i = 0; i < 2 * S3_PAGE + 1; i++) {
        snprintf(key, sizeof(key), "%s/%d", i == 3 ? "m" : "l", i);
        make(file("in"), (size_t)i);
        CHECK_OK(sea_s3_put(s3, key, file("in"), false, &there, &err), err);
    }
    s3_faults(&server, FAULTS("ok", "503", "ok"));
    CHECK_OK(sea_s3_list(s3, "l/", add_name, &names, &err), err);
    CHECK_STR(names.all, "l/0=0 l/1=1 l/2=2 l/4=4 l/5=5 l/6=6 ");
    CHECK(names.age_ms >= 99000 && names.age_ms <= 110000);
    sea_s3_close(s3);
    end();
}

/* ---- the store ---- */

static struct sea_artifacts
artifact(const char *path, const char *bytes_of)
{
    struct sea_artifacts list = { sea_arena_alloc(arena, 1, sizeof(*list.at)), 1 };
    struct sea_err err = { 0 };

    list.at->path = path;
    CHECK_OK(sea_hash_file(bytes_of, list.at->sha256, &list.at->bytes, &err), err);
    return list;
}

static void
open_store(struct sea_store *store, const char *name)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%.2000s/store", file(name));
    CHECK_OK(sea_store_open(store, path, &err), err);
    store->s3.pause_ms = 5;
}

static void
set_env(void)
{
    setenv("SEA_STORE", "s3://bucket/pre/fix/", 1);
    setenv("SEA_STORE_ENDPOINT", server.endpoint, 1);
    setenv("SEA_STORE_REGION", S3_REGION, 1);
    setenv("AWS_ACCESS_KEY_ID", S3_ACCESS, 1);
    setenv("AWS_SECRET_ACCESS_KEY", S3_SECRET, 1);
}

static void
clear_env(void)
{
    unsetenv("SEA_STORE");
    unsetenv("SEA_STORE_ENDPOINT");
    unsetenv("SEA_STORE_REGION");
    unsetenv("AWS_ACCESS_KEY_ID");
    unsetenv("AWS_SECRET_ACCESS_KEY");
}

static void
another_machine_gets_what_one_published(void)
{
    struct sea_store one, two;
    struct sea_err err = { 0 };
    struct sea_artifacts list;
    size_t checked = 0, bad = 0;
    char path[SEA_PATH_MAX];
    uint64_t bytes;
    bool has;

    begin();
    set_env();
    CHECK_OK(sea_dir_create(file("out1"), &err), err);
    make(file("out1/f"), 3000);
    list = artifact("f", file("out1/f"));
    open_store(&one, "one");
    open_store(&two, "two");
    CHECK_STR(one.s3.prefix, "pre/fix/");
    CHECK_OK(sea_store_publish(&one, file("out1"), &list, &err), err);
    CHECK_INT(s3_count(&server, false), 1);
    CHECK_OK(sea_store_materialise(&two, &list, file("in2"), &err), err);
    CHECK_STR(artifact("f", file("in2/f")).at->sha256, list.at->sha256);
    CHECK_OK(sea_store_check(&two, &checked, &bad, &err), err);
    CHECK_INT(checked, 1);
    CHECK_INT(bad, 0);
    /* At hand and damaged: fetched again. */
    snprintf(path, sizeof(path), "%.2000s/%.2s/%s", two.root, list.at->sha256, list.at->sha256);
    CHECK_INT(chmod(path, 0600), 0);
    make(path, 2999);
    CHECK_OK(sea_store_materialise(&two, &list, file("in3"), &err), err);
    CHECK_STR(artifact("f", file("in3/f")).at->sha256, list.at->sha256);
    /* Removed by another machine: who publishes it again puts it there again. */
    CHECK_OK(sea_store_remove(&two, list.at->sha256, &err), err);
    CHECK_OK(sea_store_has(&one, list.at->sha256, &has, &bytes, &err), err);
    CHECK(!has);
    CHECK_OK(sea_store_publish(&one, file("out1"), &list, &err), err);
    CHECK_OK(sea_store_has(&two, list.at->sha256, &has, &bytes, &err), err);
    CHECK(has);
    CHECK_INT(bytes, 3000);
    /* Damaged in the bucket: nobody reads it, and the check counts it. */
    server.objects->bytes[7] ^= 1;
    CHECK(sea_store_materialise(&two, &list, file("in4"), &err));
    CHECK_FAILS(err, SEA_E_IO, "is corrupt");
    sea_err_clear(&err);
    sea_log_open("test", SEA_LOG_ERROR, fopen("/dev/null", "w"));
    CHECK_OK(sea_store_check(&two, &checked, &bad, &err), err);
    CHECK_INT(bad, 1);
    clear_env();
    end();
}

static void
checkpoints_go_to_another_machine(void)
{
    static const char done[] = "{\"files\":[{\"path\":\"state\",\"bytes\":1200}]}";
    struct sea_store one, two;
    struct sea_artifacts list;
    struct sea_err err = { 0 };

    begin();
    set_env();
    open_store(&one, "c1");
    open_store(&two, "c2");
    CHECK_OK(sea_dir_create(file("w/checkpoint/step-00000010"), &err), err);
    make(file("w/checkpoint/step-00000010/state"), 1200);
    CHECK_OK(sea_file_replace(file("w/checkpoint/step-00000010/DONE"), done, strlen(done), &err), err);
    make(file("w/log.txt"), 10);
    CHECK_OK(sea_store_checkpoint_keep(&one, file("w"), "checkpoint/step-00000010", "5.1.10", arena,
                                       &list, &err), err);
    CHECK_INT(list.count, 3);
    CHECK_INT(s3_count(&server, false), 3);
    CHECK_OK(sea_store_checkpoint_get(&two, "5.1.10", &list, file("v"), &err), err);
    CHECK_STR(artifact("s", file("v/checkpoint/step-00000010/state")).at->sha256,
              artifact("s", file("w/checkpoint/step-00000010/state")).at->sha256);
    /* What was kept is at hand, and makes room like anything else: it comes back. */
    one.cache_bytes = 1;
    CHECK_OK(sea_cache_trim(&one, 1, &err), err);
    CHECK(!sea_file_exists(file("c1/store/checkpoint/5.1.10/log.txt")));
    CHECK_OK(sea_store_checkpoint_get(&one, "5.1.10", &list, file("v1"), &err), err);
    CHECK_STR(artifact("s", file("v1/checkpoint/step-00000010/state")).at->sha256,
              artifact("s", file("w/checkpoint/step-00000010/state")).at->sha256);
    CHECK_OK(sea_store_checkpoint_remove(&two, "5.1.10", &err), err);
    CHECK_INT(s3_count(&server, false), 0);
    clear_env();
    end();
}

/* ---- what is at hand, with a limit ---- */

static uint64_t
at_hand(const struct sea_store *store, const struct sea_artifacts *list)
{
    char path[SEA_PATH_MAX];
    struct stat st;

    snprintf(path, sizeof(path), "%.2000s/%.2s/%s", store->root, list->at->sha256,
             list->at->sha256);
    return stat(path, &st) ? 0 : (uint64_t)st.st_size;
}

/* Publishes a file of so many bytes from a folder of its own, which is removed as an attempt's. */
static struct sea_artifacts
publish(const struct sea_store *store, const char *name, size_t bytes)
{
    struct sea_artifacts list;
    struct sea_err err = { 0 };
    char path[80];

    CHECK_OK(sea_dir_create(file(name), &err), err);
    snprintf(path, sizeof(path), "%.60s/f", name);
    make(file(path), bytes);
    list = artifact("f", file(path));
    CHECK_OK(sea_store_publish(store, file(name), &list, &err), err);
    CHECK_OK(sea_dir_remove(file(name), &err), err);
    return list;
}

static void
the_limit_removes_what_was_not_used_for_longest(void)
{
    struct sea_artifacts list[5];
    struct sea_store store, other;
    struct sea_err err = { 0 };
    char name[20];
    uint64_t sum = 0, bytes;
    int i, use, gets;
    bool has;

    begin();
    set_env();
    setenv("SEA_STORE_CACHE_GB", "0.00001", 1);         /* 10,000 bytes */
    open_store(&store, "small");
    open_store(&other, "small");
    CHECK_INT((int64_t)store.cache_bytes, 10000);
    for (i = 0; i < 3; i++) {
        snprintf(name, sizeof(name), "p%d", i);
        list[i] = publish(&store, name, 3000 + (size_t)i);
    }
    CHECK(at_hand(&store, &list[0]) && at_hand(&store, &list[1]) && at_hand(&store, &list[2]));
    /* A stage that runs reads the first one: it has a second name. The second one is next. */
    CHECK_OK(sea_store_materialise(&store, &list[0], file("reads"), &err), err);
    list[3] = publish(&store, "p3", 3003);
    list[4] = publish(&store, "p4", 3004);
    CHECK_OK(sea_store_materialise(&store, &list[4], file("reads4"), &err), err);
    CHECK_INT((int64_t)at_hand(&store, &list[0]), 3000);
    CHECK_INT((int64_t)at_hand(&store, &list[1]), 0);
    CHECK_INT((int64_t)at_hand(&store, &list[2]), 0);
    for (i = 0; i < 5; i++)
        sum += at_hand(&store, &list[i]);
    CHECK_MSG(sum <= 10000, "%llu bytes at hand, limit 10000", (unsigned long long)sum);
    CHECK_INT(s3_count(&server, false), 5);
    /* What is gone is fetched again; what is in use stays, limit or not. */
    gets = server.seen;
    CHECK_OK(sea_store_materialise(&store, &list[1], file("reads1"), &err), err);
    CHECK(server.seen > gets);
    CHECK_STR(artifact("f", file("reads1/f")).at->sha256, list[1].at->sha256);
    CHECK_INT((int64_t)at_hand(&store, &list[0]), 3000);
    /* Somebody between a file's arrival and its link: nobody removes anything. */
    CHECK_OK(sea_dir_remove(file("reads"), &err), err);
    CHECK_OK(sea_dir_remove(file("reads1"), &err), err);
    CHECK_OK(sea_dir_remove(file("reads4"), &err), err);
    sum = at_hand(&store, &list[0]) + at_hand(&store, &list[1]) + at_hand(&store, &list[4]);
    CHECK_INT((int64_t)sum, 9005);
    CHECK_OK(sea_cache_use(&other, &use, &err), err);
    CHECK_OK(sea_cache_trim(&store, 10000, &err), err);
    CHECK_INT((int64_t)at_hand(&store, &list[0]), 3000);
    sea_cache_leave(use);
    CHECK_OK(sea_cache_trim(&store, 10000, &err), err);
    for (i = 0; i < 5; i++) {
        CHECK_INT((int64_t)at_hand(&store, &list[i]), 0);
        CHECK_OK(sea_store_has(&store, list[i].at->sha256, &has, &bytes, &err), err);
        CHECK(has);
    }
    setenv("SEA_STORE_CACHE_GB", "x", 1);
    CHECK(sea_store_open(&other, store.root, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "SEA_STORE_CACHE_GB is \"x\"");
    unsetenv("SEA_STORE_CACHE_GB");
    clear_env();
    end();
}

struct crowd {
    const struct sea_store *store;
    const struct sea_artifacts *list;
    int number, rounds, bad;
};

static void *
crowd_run(void *arg)
{
    struct crowd *c = arg;
    char name[40];
    int i;

    for (i = 0; i < c->rounds; i++) {
        struct sea_artifacts one = c->list[(c->number + i) % 5];
        struct sea_err err = { 0 };
        char folder[SEA_PATH_MAX];

        snprintf(name, sizeof(name), "crowd%d", c->number);
        snprintf(folder, sizeof(folder), "%.2000s/%.30s", sea_test_dir(), name);
        if (sea_store_materialise(c->store, &one, folder, &err)) {
            c->bad++;
            sea_err_print(&err, "test", stdout);
        }
        sea_err_clear(&err);
        if (sea_dir_remove(folder, &err))
            c->bad++;
    }
    return NULL;
}

#define READS 250               /* of each */

/* Room for one file, four readers that want five: each round fetches, and nobody's is taken. */
static void
readers_under_a_tiny_limit_lose_nothing(void)
{
    struct sea_artifacts list[5];
    struct crowd crowd[4];
    struct sea_store store;
    pthread_t threads[4];
    char name[20];
    int i, before;

    begin();
    set_env();
    setenv("SEA_STORE_CACHE_GB", "0.000004", 1);
    open_store(&store, "tiny");
    for (i = 0; i < 5; i++) {
        snprintf(name, sizeof(name), "q%d", i);
        list[i] = publish(&store, name, 3000 + (size_t)i);
    }
    before = server.seen;
    for (i = 0; i < 4; i++) {
        crowd[i] = (struct crowd){ .store = &store, .list = list, .number = i, .rounds = READS };
        if (pthread_create(&threads[i], NULL, crowd_run, &crowd[i]))
            abort();
    }
    for (i = 0; i < 4; i++) {
        pthread_join(threads[i], NULL);
        CHECK_INT(crowd[i].bad, 0);
    }
    printf("  %d reads of 4 threads under a limit of one file: %d requests, 0 files lost\n",
           4 * READS, server.seen - before);
    CHECK(server.seen - before > 5);
    unsetenv("SEA_STORE_CACHE_GB");
    clear_env();
    end();
}

/* ---- settings ---- */

static void
settings_are_checked(void)
{
    static const struct { const char *yaml, *words; } rows[] = {
        { "store: {url: file:///x}", "is not s3://BUCKET/PREFIX" },
        { "store: {url: 's3://Bucket'}", "is not the name of a bucket" },
        { "store: {url: s3://bucket}", "there are no keys for bucket" },
        { "store: {url: s3://bucket, endpoint: localhost}", "is not an http or https address" },
        { "store: {url: s3://bucket, part_mib: 1}", "store.part_mib is no setting" },
        { "store: {url: s3://bucket, cache_gb: -1}", "store.cache_gb is no setting" },
        { "store: {url: s3://bucket, cache_gb: much}", "store.cache_gb is no setting" },
        { "store: {url: s3://bucket, secret: x}", "store.secret is no setting" },
        { "store: 5", "store is not a map" },
    };
    struct sea_store store;
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sea_err err = { 0 };

        CHECK_OK(sea_dir_create(file("set"), &err), err);
        CHECK_OK(sea_file_replace(file("set/sea.yaml"), rows[i].yaml, strlen(rows[i].yaml), &err),
                 err);
        CHECK(sea_store_open(&store, file("set/store"), &err));
        CHECK_FAILS(err, SEA_E_CONFIG, rows[i].words);
    }
    for (i = 0; i < 2; i++) {
        struct sea_err err = { 0 };
        char yaml[3000];

        CHECK_OK(sea_file_replace(file("keys"), "[default]\naws_access_key_id = A\n"
                                  "aws_secret_access_key= B/C+\n", 59, &err), err);
        CHECK_INT(chmod(file("keys"), i ? 0600 : 0644), 0);
        snprintf(yaml, sizeof(yaml), "store: {url: s3://bucket/p, credentials_file: %.2000s}",
                 file("keys"));
        CHECK_OK(sea_file_replace(file("set/sea.yaml"), yaml, strlen(yaml), &err), err);
        if (i) {
            CHECK_OK(sea_store_open(&store, file("set/store"), &err), err);
            CHECK_STR(store.s3.secret, "B/C+");
            CHECK_STR(store.s3.endpoint, "https://s3.us-east-1.amazonaws.com");
        } else {
            CHECK(sea_store_open(&store, file("set/store"), &err));
            CHECK_FAILS(err, SEA_E_CONFIG, "can be read by others");
        }
    }
}

SEA_TEST_MAIN("s3: a bucket as the store", TEST(signatures_are_those_that_are_published),
              TEST(objects_come_back_whole_and_in_parts), TEST(passing_faults_are_waited_out),
              TEST(a_transfer_that_stands_still_is_cut),
              TEST(lasting_faults_end_with_one_error), TEST(lists_have_all_pages),
              TEST(another_machine_gets_what_one_published),
              TEST(checkpoints_go_to_another_machine),
              TEST(the_limit_removes_what_was_not_used_for_longest),
              TEST(readers_under_a_tiny_limit_lose_nothing), TEST(settings_are_checked))
