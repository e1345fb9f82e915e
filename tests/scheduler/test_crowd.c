/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Many processes at one store: each sees whole files or none, and nothing is left behind.
 *
 * Processes and not threads, as workers are; some with one process id, as workers of several
 * machines or containers are that share the folder. The first failure is told, with a count.
 */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "scheduler/store_int.h"
#include "tests/sea_test.h"

#define CONTENTS 6
#define BYTES_MAX 90000
#define CROWD_MS 700
#define CROWD_MAX 16

/* What the processes tell. */
struct tally {
    atomic_int done, failed, missing, trees;
    char said[600];             /* by the first that failed */
};

struct member {
    const char *name;
    void (*act)(int number, int round);
    int count;
};

static struct sea_store store;
static struct sea_arena *arena;
static struct tally *tally;
static struct sea_artifacts files;      /* of folder "out" */
static char base[SEA_PATH_MAX];

/* ---- other machines ---- */

static pid_t pretended;         /* 0, or what getpid says */
static bool is_apart;           /* the store lies on another file system: no links */

pid_t
getpid(void)
{
    return pretended ? pretended : (pid_t)syscall(SYS_getpid);
}

int
link(const char *from, const char *to)
{
    if (is_apart) {
        errno = EXDEV;
        return -1;
    }
    return linkat(AT_FDCWD, from, AT_FDCWD, to, 0);
}

/* ---- a crowd ---- */

static void
path_of(char out[SEA_PATH_MAX], const char *name)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_path_join(out, base, name, &err), err);
}

static void
complain(const char *who, const char *what)
{
    if (atomic_fetch_add(&tally->failed, 1) == 0)
        snprintf(tally->said, sizeof(tally->said), "%s: %s", who, what);
}

/* No error, or one that counts. */
static bool
went_well(enum sea_status status, const char *who, const struct sea_err *err)
{
    if (status)
        complain(who, err->message);
    return !status;
}

static _Noreturn void
live(const struct member *member, int number, int64_t until_ms, pid_t parent)
{
    int round;

    prctl(PR_SET_PDEATHSIG, SIGKILL);
    if (getppid() != parent)
        _exit(1);
    for (round = 0; sea_clock_ms() < until_ms; round++) {
        member->act(number, round);
        atomic_fetch_add(&tally->done, 1);
    }
    _exit(0);
}

/* Lets the members act at the same time; same_id: all with one process id. */
static void
gather(const struct member *members, size_t count, bool same_id)
{
    int64_t until = sea_clock_ms() + CROWD_MS;
    pid_t pids[CROWD_MAX], parent = getpid();
    int n = 0, number, how;
    size_t i;

    memset(tally, 0, sizeof(*tally));
    for (i = 0; i < count; i++)
        for (number = 0; number < members[i].count && n < CROWD_MAX; number++, n++) {
            fflush(stdout);
            pids[n] = fork();
            if (pids[n] == 0) {
                pretended = same_id ? 42 : 0;
                live(&members[i], number, until, parent);
            }
        }
    while (n--) {
        CHECK_INT(waitpid(pids[n], &how, 0), pids[n]);
        CHECK_INT(how, 0);
    }
    printf("%d operations, %d of them found a file gone\n", tally->done, tally->missing);
    CHECK_MSG(tally->failed == 0, "%d operations failed: %s", tally->failed, tally->said);
    CHECK(tally->done > CROWD_MAX);
}

static enum sea_status
count_temporary(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    (void)bytes, (void)err;
    if (strstr(relative, ".tmp")) {
        if (!*(int *)arg)
            printf("left behind: %s\n", relative);
        ++*(int *)arg;
    }
    return SEA_OK;
}

/* Afterwards the store holds whole files and nothing else. */
static void
check_store(void)
{
    size_t checked, bad;
    struct sea_err err = { 0 };
    int left = 0;

    CHECK_OK(sea_store_check(&store, &checked, &bad, &err), err);
    CHECK_INT(bad, 0);
    CHECK_OK(sea_dir_walk(store.root, count_temporary, &left, &err), err);
    CHECK_INT(left, 0);
}

/* An empty store beside a folder "out" with some files. */
static void
begin(const char *name)
{
    static char content[BYTES_MAX];
    char path[SEA_PATH_MAX], file[32];
    struct sea_err err = { 0 };
    size_t i;

    if (!arena) {
        arena = sea_arena_create(NULL, "crowd");
        tally = mmap(NULL, sizeof(*tally), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
                     0);
    }
    is_apart = false;
    CHECK_OK(sea_path_join(base, sea_test_dir(), name, &err), err);
    path_of(path, "store");
    CHECK_OK(sea_store_open(&store, path, &err), err);
    path_of(path, "out");
    CHECK_OK(sea_dir_create(path, &err), err);
    files.count = CONTENTS;
    files.at = sea_arena_alloc(arena, CONTENTS, sizeof(*files.at));
    for (i = 0; i < CONTENTS; i++) {
        struct sea_artifact *one = &files.at[i];

        snprintf(file, sizeof(file), "out/f%zu", i);
        path_of(path, file);
        memset(content, 'a' + (int)i, sizeof(content));
        one->path = sea_arena_strdup(arena, file + 4);
        one->bytes = 10 + i * (BYTES_MAX - 10) / CONTENTS;
        CHECK_OK(sea_file_replace(path, content, one->bytes, &err), err);
        CHECK_OK(sea_hash_file(path, one->sha256, NULL, &err), err);
    }
}

/* ---- what they do ---- */

static void
publish(int number, int round)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    (void)number, (void)round;
    path_of(path, "out");
    went_well(sea_store_publish(&store, path, &files, &err), "publish", &err);
}

/* A file that is gone is told as the store's loss, which is tried again, never as bad input. */
static void
fetch(int number, int round)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX], name[32];
    enum sea_status status;

    (void)round;
    snprintf(name, sizeof(name), "in-%d", number);
    path_of(path, name);
    status = sea_store_materialise(&store, &files, path, &err);
    if (status == SEA_E_IO && strstr(err.message, "missing in the store")) {
        atomic_fetch_add(&tally->missing, 1);
        sea_err_clear(&err);
        status = SEA_OK;
    }
    if (went_well(status, "materialise", &err))
        went_well(sea_dir_remove(path, &err), "materialise", &err);
}

static void
collect(int number, int round)
{
    struct sea_err err = { 0 };

    went_well(sea_store_remove(&store, files.at[(number + round) % CONTENTS].sha256, &err),
              "remove", &err);
}

static void
look(int number, int round)
{
    struct sea_err err = { 0 };
    size_t checked, bad = 0;

    (void)number, (void)round;
    if (went_well(sea_store_check(&store, &checked, &bad, &err), "check", &err) && bad)
        complain("check", "a file is corrupt");
}

static void
files_come_whole_and_go_whole(void)
{
    const struct member crowd[] = { { "publish", publish, 3 }, { "fetch", fetch, 3 },
                                    { "collect", collect, 2 }, { "look", look, 1 } };

    begin("crowd");
    gather(crowd, 4, false);
    check_store();
}

static void
workers_of_several_machines_share_a_folder(void)
{
    const struct member crowd[] = { { "publish", publish, 4 }, { "fetch", fetch, 2 },
                                    { "collect", collect, 1 } };

    begin("machines");
    gather(crowd, 3, true);
    check_store();
}

static void
a_store_on_another_disk_holds_whole_files(void)
{
    const struct member crowd[] = { { "publish", publish, 4 }, { "fetch", fetch, 2 },
                                    { "collect", collect, 1 }, { "look", look, 1 } };

    begin("disks");
    is_apart = true;
    gather(crowd, 4, true);
    check_store();
}

/* ---- one file, as the replies of a judge that are shared ---- */

static void
replace(int number, int round)
{
    static char content[BYTES_MAX];
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    memset(content, 'a' + (number + round) % 20, sizeof(content));
    path_of(path, "shared");
    went_well(sea_file_replace(path, content, sizeof(content), &err), "replace", &err);
}

static void
read_whole(int number, int round)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    size_t i;

    (void)number, (void)round;
    sea_buf_init(&text, BYTES_MAX);
    path_of(path, "shared");
    if (went_well(sea_file_read(path, &text, &err), "read", &err)) {
        for (i = 1; i < text.len && text.data[i] == text.data[0]; i++)
            ;
        if (i != BYTES_MAX)
            complain("read", "the file is not of one writer alone");
    }
    sea_buf_release(&text);
}

static void
a_file_is_always_of_one_writer(void)
{
    const struct member crowd[] = { { "replace", replace, 4 }, { "read", read_whole, 2 } };

    begin("replace");
    replace(0, 0);
    gather(crowd, 2, true);
    check_store();
}

/* ---- checkpoints ---- */

/* Each worker's own, which two collectors want to remove meanwhile. */
static void
keep(int number, int round)
{
    char out[SEA_PATH_MAX], path[SEA_PATH_MAX], name[64];
    struct sea_artifacts kept = { 0 };
    struct sea_err err = { 0 };

    (void)round;
    snprintf(name, sizeof(name), "work-%d", number);
    path_of(out, name);
    snprintf(name, sizeof(name), "%d.1.1", number + 1);
    if (!went_well(sea_store_checkpoint_keep(&store, out, "checkpoint/step", name, arena, &kept,
                                             &err), "keep", &err))
        return;
    if (kept.count != 2)
        complain("keep", "nothing was kept");
    snprintf(name, sizeof(name), "again-%d", number);
    path_of(path, name);
    went_well(sea_dir_remove(path, &err), "remove", &err);
}

static void
drop(int number, int round)
{
    struct sea_err err = { 0 };
    char name[64];

    (void)number;
    snprintf(name, sizeof(name), "%d.1.1", round % 2 + 1);
    went_well(sea_store_checkpoint_remove(&store, name, &err), "remove a checkpoint", &err);
}

static void
two_may_remove_one_checkpoint(void)
{
    const struct member crowd[] = { { "keep", keep, 2 }, { "drop", drop, 4 } };
    static const char done[] = "{\"files\":[{\"path\":\"state\",\"bytes\":5}]}";
    char path[SEA_PATH_MAX], name[64];
    struct sea_err err = { 0 };
    int i;

    begin("checkpoints");
    for (i = 0; i < 2; i++) {
        snprintf(name, sizeof(name), "work-%d/checkpoint/step", i);
        path_of(path, name);
        CHECK_OK(sea_dir_create(path, &err), err);
        snprintf(name, sizeof(name), "work-%d/checkpoint/step/state", i);
        path_of(path, name);
        CHECK_OK(sea_file_replace(path, "state", 5, &err), err);
        snprintf(name, sizeof(name), "work-%d/checkpoint/step/DONE", i);
        path_of(path, name);
        CHECK_OK(sea_file_replace(path, done, sizeof(done) - 1, &err), err);
    }
    gather(crowd, 2, false);
    check_store();
}

/* ---- a folder that several remove, as collectors do that of a killed attempt ---- */

static void
plant(int number, int round)
{
    char path[SEA_PATH_MAX], tree[SEA_PATH_MAX], name[64];
    struct sea_err err = { 0 };
    enum sea_status status = SEA_OK;
    int i;

    (void)number, (void)round;
    path_of(path, "seedling");
    for (i = 0; i < 4 && !status; i++) {
        snprintf(name, sizeof(name), "seedling/%d/deep", i);
        path_of(tree, name);
        status = sea_dir_create(tree, &err);
    }
    snprintf(name, sizeof(name), "tree-%d", round);
    path_of(tree, name);
    if (!went_well(status, "plant", &err))
        return;
    if (rename(path, tree))
        complain("plant", strerror(errno));
    atomic_store(&tally->trees, round);
    for (i = 0; i < 100000 && sea_dir_exists(tree); i++)        /* the last one stays */
        ;
}

static void
fell(int number, int round)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX], name[32];

    (void)number, (void)round;
    snprintf(name, sizeof(name), "tree-%d", tally->trees);
    path_of(path, name);
    went_well(sea_dir_remove(path, &err), "remove a folder", &err);
}

static void
several_may_remove_one_folder(void)
{
    const struct member crowd[] = { { "plant", plant, 1 }, { "fell", fell, 4 } };

    begin("trees");
    gather(crowd, 2, false);
}

/* ---- a folder with a limit ---- */

/* As sea_store_publish with a bucket, less the bucket. */
static void
publish_in_use(int number, int round)
{
    struct sea_store mine = store;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    bool has = true;
    size_t i;
    int use;

    (void)round;
    mine.cache_bytes = (uint64_t)number;        /* the first has no limit itself */
    path_of(path, "out");
    if (!went_well(sea_cache_use(&mine, &use, &err), "use", &err))
        return;
    if (went_well(sea_folder_publish(&store, path, &files, &err), "publish", &err))
        for (i = 0; i < files.count && has; i++) {
            if (sea_folder_blob(&store, files.at[i].sha256, path, &err) || !sea_file_exists(path))
                has = false;
        }
    if (!has)
        complain("publish", "a file was removed that is in use");
    sea_cache_leave(use);
}

static void
trim(int number, int round)
{
    struct sea_err err = { 0 };

    (void)number, (void)round;
    went_well(sea_cache_trim(&store, 0, &err), "trim", &err);
}

/* One worker has a limit, the other none: what the one removes, the other still uses. */
static void
a_limit_of_one_worker_holds_for_the_others_files(void)
{
    const struct member crowd[] = { { "publish", publish_in_use, 3 }, { "trim", trim, 2 } };

    begin("limit");
    is_apart = true;            /* with second names nothing would go */
    snprintf(store.s3.bucket, sizeof(store.s3.bucket), "bucket");
    store.cache_bytes = 1;
    gather(crowd, 2, false);
    store.s3.bucket[0] = 0;
    check_store();
}

SEA_TEST_MAIN("store: many processes at once", TEST(files_come_whole_and_go_whole),
              TEST(workers_of_several_machines_share_a_folder),
              TEST(a_store_on_another_disk_holds_whole_files),
              TEST(a_file_is_always_of_one_writer), TEST(two_may_remove_one_checkpoint),
              TEST(several_may_remove_one_folder),
              TEST(a_limit_of_one_worker_holds_for_the_others_files))
