/* SPDX-License-Identifier: Apache-2.0 */
/* The artifact store: what goes in comes out, whatever is wrong is refused. */
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "pipeline/sea_manifest.h"
#include "scheduler/sea_store.h"
#include "tests/sea_test.h"

#define KEY "0000000000000000000000000000000000000000000000000000000000000000"

static struct sea_store store;
static struct sea_arena *arena;
static char base[SEA_PATH_MAX];

static void
path_of(char out[SEA_PATH_MAX], const char *name)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_path_join(out, base, name, &err), err);
}

static void
blob_of(char out[SEA_PATH_MAX], const struct sea_artifact *file)
{
    char name[128];

    snprintf(name, sizeof(name), "store/%.2s/%s", file->sha256, file->sha256);
    path_of(out, name);
}

static void
put(const char *name, const char *content)
{
    char path[SEA_PATH_MAX], folder[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    path_of(path, name);
    snprintf(folder, sizeof(folder), "%s", path);
    *strrchr(folder, '/') = 0;
    CHECK_OK(sea_dir_create(folder, &err), err);
    CHECK_OK(sea_file_replace(path, content, strlen(content), &err), err);
}

static void
expect(const char *name, const char *content)
{
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    struct sea_buf got;

    path_of(path, name);
    sea_buf_init(&got, 1 << 20);
    CHECK_OK(sea_file_read(path, &got, &err), err);
    if (!err.status)
        CHECK_STR(got.data, content);
    sea_buf_release(&got);
}

/* A finished folder of stage "label" and the list of its files. */
static struct sea_artifacts
finished(const char *name)
{
    char path[SEA_PATH_MAX], sub[256], digest[SEA_SHA256_TEXT];
    struct sea_artifacts files = { 0 };
    struct sea_err err = { 0 };

    snprintf(sub, sizeof(sub), "%s/a.txt", name);
    put(sub, "first");
    snprintf(sub, sizeof(sub), "%s/deep/b.txt", name);
    put(sub, "second");
    path_of(path, name);
    CHECK_OK(sea_manifest_write(path, "label", KEY, NULL, &err), err);
    CHECK_OK(sea_store_manifest(path, "label", arena, &files, digest, &err), err);
    CHECK_INT(strlen(digest), 64);
    return files;
}

static void
begin(const char *name)
{
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    if (!arena)
        arena = sea_arena_create(NULL, "test");
    CHECK_OK(sea_path_join(base, sea_test_dir(), name, &err), err);
    path_of(path, "store");
    CHECK_OK(sea_store_open(&store, path, &err), err);
}

static void
what_goes_in_comes_out(void)
{
    char from[SEA_PATH_MAX], to[SEA_PATH_MAX], blob[SEA_PATH_MAX];
    struct sea_artifacts files;
    struct sea_err err = { 0 };
    size_t checked, bad;
    struct stat st;

    begin("in-out");
    files = finished("one");
    CHECK_INT(files.count, 3);
    CHECK_STR(files.at[2].path, "manifest.json");
    path_of(from, "one");
    CHECK_OK(sea_store_publish(&store, from, &files, &err), err);
    CHECK_OK(sea_store_publish(&store, from, &files, &err), err);      /* again is fine */
    CHECK_OK(sea_dir_remove(from, &err), err);
    path_of(to, "copy");
    CHECK_OK(sea_store_materialise(&store, &files, to, &err), err);
    expect("copy/a.txt", "first");
    expect("copy/deep/b.txt", "second");
    blob_of(blob, &files.at[0]);
    CHECK(stat(blob, &st) == 0 && (st.st_mode & 0222) == 0);
    CHECK_INT(st.st_nlink, 2);
    CHECK_OK(sea_store_check(&store, &checked, &bad, &err), err);
    CHECK_INT(checked, 3);
    CHECK_INT(bad, 0);
}

static void
equal_content_is_stored_once(void)
{
    char from[SEA_PATH_MAX];
    struct sea_artifacts files;
    struct sea_err err = { 0 };
    size_t checked, bad;

    begin("once");
    files = finished("one");
    path_of(from, "one");
    CHECK_OK(sea_store_publish(&store, from, &files, &err), err);
    files = finished("two");
    path_of(from, "two");
    CHECK_OK(sea_store_publish(&store, from, &files, &err), err);
    CHECK_OK(sea_store_check(&store, &checked, &bad, &err), err);
    CHECK_INT(checked, 3);
}

static void
a_file_that_changed_is_not_published(void)
{
    char from[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    struct sea_artifacts files;
    struct sea_err err = { 0 };

    begin("changed");
    files = finished("one");
    put("one/a.txt", "other");
    path_of(from, "one");
    CHECK(sea_store_publish(&store, from, &files, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "its manifest says");
    sea_err_clear(&err);
    CHECK(sea_store_manifest(from, "align", arena, &files, digest, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "holds stage \"label\", need \"align\"");
    sea_err_clear(&err);
    path_of(from, "nothing");
    CHECK(sea_store_manifest(from, "label", arena, &files, digest, &err));
    CHECK_INT(err.status, SEA_E_MISSING);
}

static void
a_corrupt_or_missing_blob_is_refused(void)
{
    char from[SEA_PATH_MAX], to[SEA_PATH_MAX], blob[SEA_PATH_MAX];
    struct sea_artifacts files;
    struct sea_err err = { 0 };
    size_t checked, bad;
    FILE *file;

    begin("corrupt");
    files = finished("one");
    path_of(from, "one");
    path_of(to, "copy");
    CHECK_OK(sea_store_publish(&store, from, &files, &err), err);
    blob_of(blob, &files.at[1]);
    chmod(blob, 0600);
    file = fopen(blob, "w");
    if (CHECK(file != NULL)) {
        fputs("secone", file);
        fclose(file);
    }
    CHECK(sea_store_materialise(&store, &files, to, &err));
    CHECK_FAILS(err, SEA_E_IO, "is corrupt in the store");
    CHECK(err.hint[0]);
    sea_err_clear(&err);
    CHECK_OK(sea_store_check(&store, &checked, &bad, &err), err);
    CHECK_INT(bad, 1);
    unlink(blob);
    CHECK_OK(sea_dir_remove(to, &err), err);
    CHECK(sea_store_materialise(&store, &files, to, &err));
    CHECK_FAILS(err, SEA_E_IO, "is missing in the store");
}

static void
paths_stay_below_their_folder(void)
{
    struct sea_artifact file = { .path = "../escape", .bytes = 1 };
    struct sea_artifacts files = { .at = &file, .count = 1 };
    char folder[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    begin("paths");
    snprintf(file.sha256, sizeof(file.sha256), "%s", KEY);
    path_of(folder, "x");
    CHECK(sea_store_publish(&store, folder, &files, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "is not a path below its folder");
    sea_err_clear(&err);
    snprintf(file.sha256, sizeof(file.sha256), "../../../etc/passwd");
    file.path = "x";
    CHECK(sea_store_materialise(&store, &files, folder, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "is not a SHA-256");
    sea_err_clear(&err);
    CHECK(sea_store_checkpoint_remove(&store, "../ab", &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "is not the name of a checkpoint");
}

/* With a DONE as the engine writes it, less the hashes. */
static void
put_checkpoint(const char *state)
{
    char done[128];

    snprintf(done, sizeof(done), "{\"files\":[{\"path\":\"state\",\"bytes\":%zu}]}",
             strlen(state));
    put("out/checkpoint/step-00000010/state", state);
    put("out/checkpoint/step-00000010/DONE", done);
}

static void
a_checkpoint_that_is_replaced_meanwhile_replaces_nothing(void)
{
    static const char *const harm[] = { "DONE", "state" };
    static const char step[] = "checkpoint/step-00000010", name[] = "3.1.10";
    char out[SEA_PATH_MAX], path[SEA_PATH_MAX], sub[128];
    struct sea_artifacts files;
    struct sea_err err = { 0 };
    size_t i;

    begin("replaced");
    put("out/.stage.json", "{\"phase\":1}");
    put_checkpoint("good");
    path_of(out, "out");
    CHECK_OK(sea_store_checkpoint_keep(&store, out, step, name, arena, &files, &err), err);
    CHECK_INT(files.count, 3);
    for (i = 0; i < 2; i++) {           /* half removed */
        put_checkpoint("newer");
        snprintf(sub, sizeof(sub), "out/%s/%s", step, harm[i]);
        path_of(path, sub);
        CHECK_OK(sea_dir_remove(path, &err), err);
        CHECK_OK(sea_store_checkpoint_keep(&store, out, step, name, arena, &files, &err), err);
        CHECK_INT(files.count, 0);
    }
    put_checkpoint("newer");            /* not the size that DONE says */
    put("out/checkpoint/step-00000010/state", "new");
    CHECK_OK(sea_store_checkpoint_keep(&store, out, step, name, arena, &files, &err), err);
    CHECK_INT(files.count, 0);
    path_of(path, "out/checkpoint");    /* removed, and the folder with it */
    CHECK_OK(sea_dir_remove(path, &err), err);
    CHECK_OK(sea_store_checkpoint_keep(&store, out, step, name, arena, &files, &err), err);
    CHECK_INT(files.count, 0);
    CHECK_OK(sea_dir_remove(out, &err), err);
    CHECK_OK(sea_store_checkpoint_keep(&store, out, step, name, arena, &files, &err), err);
    CHECK_INT(files.count, 0);
    expect("store/checkpoint/3.1.10/checkpoint/step-00000010/state", "good");
    path_of(path, "store/checkpoint/3.1.10.tmp");
    CHECK(!sea_dir_exists(path));
    put_checkpoint("newer");
    CHECK_OK(sea_store_checkpoint_keep(&store, out, step, name, arena, &files, &err), err);
    CHECK_INT(files.count, 2);
    expect("store/checkpoint/3.1.10/checkpoint/step-00000010/state", "newer");
    put("out/checkpoint/step-00000010/DONE", "{}");
    CHECK(sea_store_checkpoint_keep(&store, out, step, name, arena, &files, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "lists no files");
}

/* A writer replaces checkpoints as fast as it can: what is kept is always whole. */
static void
checkpoints_are_kept_while_they_are_replaced(void)
{
    static const char script[] =
        "cd \"$0\" && i=0; while [ -e go ]; do i=$((i + 1)); d=out/checkpoint/step-00000010;"
        " mkdir -p $d.tmp; echo $i > $d.tmp/state; printf "
        "'{\"files\":[{\"path\":\"state\",\"bytes\":%d}]}' $(wc -c < $d.tmp/state) > $d.tmp/DONE;"
        " rm -rf $d; mv $d.tmp $d; done";
    char out[SEA_PATH_MAX], path[SEA_PATH_MAX];
    int kept = 0, missed = 0, failed = 0;
    int64_t end;
    pid_t pid;

    begin("busy");
    put("go", "");
    put("out/.stage.json", "{\"phase\":1}");
    path_of(out, "out");
    pid = fork();
    if (pid == 0) {
        execl("/bin/sh", "sh", "-c", script, base, (char *)NULL);
        _exit(127);
    }
    for (end = sea_clock_ms() + 10000; kept < 100 && sea_clock_ms() < end;) {
        struct sea_artifacts files;
        struct sea_err err = { 0 };

        if (sea_store_checkpoint_keep(&store, out, "checkpoint/step-00000010", "3.1.10", arena,
                                      &files, &err))
            failed++;
        else if (files.count) {
            kept++;
            CHECK_INT(files.count, 3);
        } else {
            missed++;
        }
        CHECK_STR(err.message, "");
    }
    path_of(path, "go");
    unlink(path);
    waitpid(pid, NULL, 0);
    printf("kept %d, replaced before that %d, errors %d\n", kept, missed, failed);
    CHECK(kept >= 100);
    CHECK_INT(failed, 0);
}

static void
checkpoints_are_kept_whole_and_checked(void)
{
    char out[SEA_PATH_MAX], to[SEA_PATH_MAX], kept[SEA_PATH_MAX];
    struct sea_artifacts files;
    struct sea_err err = { 0 };

    begin("checkpoints");
    put("out/.stage.json", "{\"phase\":1}");
    put("out/vision/model.safetensors", "phase 0");
    put("out/half.tmp.77", "not yet");
    put("out/checkpoint/step-00000005/state", "old");
    put_checkpoint("new");
    path_of(out, "out");
    CHECK_OK(sea_store_checkpoint_keep(&store, out, "checkpoint/step-00000010", "3.1.10", arena,
                                       &files, &err), err);
    CHECK_INT(files.count, 4);
    put("out/.stage.json", "{\"phase\":2}");    /* the child goes on */
    CHECK_OK(sea_dir_remove(out, &err), err);
    path_of(to, "again");
    CHECK_OK(sea_store_checkpoint_get(&store, "3.1.10", &files, to, &err), err);
    expect("again/.stage.json", "{\"phase\":1}");
    expect("again/vision/model.safetensors", "phase 0");
    expect("again/checkpoint/step-00000010/state", "new");
    path_of(kept, "store/checkpoint/3.1.10/vision/model.safetensors");
    CHECK_OK(sea_file_replace(kept, "phase x", 7, &err), err);
    path_of(to, "third");
    CHECK(sea_store_checkpoint_get(&store, "3.1.10", &files, to, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "has changed");
    sea_err_clear(&err);
    CHECK_OK(sea_store_checkpoint_remove(&store, "3.1.10", &err), err);
    CHECK_OK(sea_store_checkpoint_remove(&store, "3.1.10", &err), err);
    CHECK(!sea_file_exists(kept));
    CHECK(sea_store_checkpoint_keep(&store, base, "../store", "3.1.11", arena, &files, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "is not a checkpoint's folder");
}

SEA_TEST_MAIN("store: publish, materialise, check, checkpoints", TEST(what_goes_in_comes_out),
              TEST(equal_content_is_stored_once), TEST(a_file_that_changed_is_not_published),
              TEST(a_corrupt_or_missing_blob_is_refused), TEST(paths_stay_below_their_folder),
              TEST(checkpoints_are_kept_whole_and_checked),
              TEST(a_checkpoint_that_is_replaced_meanwhile_replaces_nothing),
              TEST(checkpoints_are_kept_while_they_are_replaced))
