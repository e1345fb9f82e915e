/* SPDX-License-Identifier: Apache-2.0 */
#include <errno.h>
#include <signal.h>
#include <stdlib.h>
#include <sys/mount.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "tests/sea_test.h"

/* A path below the scratch folder; each call has one of four buffers. */
static const char *
at(const char *name)
{
    static char paths[4][SEA_PATH_MAX];
    static int next;
    char *path = paths[next++ % 4];

    snprintf(path, SEA_PATH_MAX, "%s/%s", sea_test_dir(), name);
    return path;
}

static void
put(const char *path, const char *text)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

static int
holds(const char *path, const char *text)
{
    struct sea_err err = { 0 };
    struct sea_buf buf;
    int same;

    sea_buf_init(&buf, 1 << 20);
    same = sea_file_read(path, &buf, &err) == SEA_OK && strcmp(buf.data, text) == 0;
    sea_buf_release(&buf);
    return same;
}

static enum sea_status
count_one(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    (void)relative, (void)bytes, (void)err;
    ++*(int *)arg;
    return SEA_OK;
}

static int
files_in(const char *folder)
{
    struct sea_err err = { 0 };
    int count = 0;

    CHECK_OK(sea_dir_walk(folder, count_one, &count, &err), err);
    return count;
}

static void
replace_and_read_come_back(void)
{
    size_t n = 1000003, i;
    char *bytes = malloc(n);
    struct sea_err err = { 0 };
    struct sea_buf buf;

    for (i = 0; i < n; i++)
        bytes[i] = (char)(i * 31 >> 2);
    CHECK_OK(sea_dir_create(at("r"), &err), err);
    CHECK_OK(sea_file_replace(at("r/f"), bytes, n, &err), err);
    sea_buf_init(&buf, n + 4);
    sea_buf_puts(&buf, "head");
    CHECK_OK(sea_file_read(at("r/f"), &buf, &err), err);
    CHECK_INT(buf.len, n + 4);
    CHECK(memcmp(buf.data, "head", 4) == 0 && memcmp(buf.data + 4, bytes, n) == 0);
    CHECK_INT(buf.data[buf.len], 0);
    CHECK_OK(sea_file_replace(at("r/f"), "", 0, &err), err);
    CHECK(holds(at("r/f"), ""));
    CHECK_INT(files_in(at("r")), 1);    /* nothing temporary is left */
    sea_buf_release(&buf);
    free(bytes);
}

static void
read_refuses_what_it_cannot_take(void)
{
    struct sea_err err = { 0 };
    struct sea_buf buf;

    sea_buf_init(&buf, 5);
    sea_buf_puts(&buf, "a");
    put(at("five"), "12345");
    CHECK(sea_file_read(at("five"), &buf, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "larger than the limit of 5 bytes");
    CHECK_STR(buf.data, "a");
    sea_err_clear(&err);
    CHECK(sea_file_read(at("none"), &buf, &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, at("none"));
    sea_err_clear(&err);
    CHECK(sea_file_read(sea_test_dir(), &buf, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "is a folder");
    sea_err_clear(&err);
    CHECK(sea_file_read("/dev/zero", &buf, &err) == SEA_E_FORMAT);      /* without an end */
    CHECK_STR(buf.data, "a");
    sea_err_clear(&err);
    sea_buf_clear(&buf);
    CHECK_OK(sea_file_read(at("five"), &buf, &err), err);
    CHECK_STR(buf.data, "12345");
    sea_buf_release(&buf);
}

static void
a_writer_shows_nothing_before_commit(void)
{
    struct sea_file_writer writer;
    struct sea_err err = { 0 };
    int i;

    put(at("w"), "old");
    CHECK_OK(sea_file_writer_open(&writer, at("w"), &err), err);
    CHECK(sea_file_exists(writer.temp));
    for (i = 0; i < 3; i++)
        CHECK_OK(sea_file_writer_add(&writer, "new", 3, &err), err);
    fprintf(writer.to, "%d", 5);
    CHECK_OK(sea_file_writer_add(&writer, "", 0, &err), err);
    CHECK(holds(at("w"), "old"));
    CHECK_OK(sea_file_writer_commit(&writer, &err), err);
    CHECK(writer.to == NULL);
    CHECK(holds(at("w"), "newnewnew5"));
    CHECK(!sea_file_exists(writer.temp));
    sea_file_writer_close(&writer);     /* after commit it does nothing */
    CHECK(holds(at("w"), "newnewnew5"));
    sea_file_writer_close(NULL);
    sea_file_writer_close(&(struct sea_file_writer){ 0 });
}

static void
close_without_commit_leaves_the_old_file(void)
{
    struct sea_file_writer writer;
    struct sea_err err = { 0 };

    put(at("c"), "old");
    CHECK_OK(sea_file_writer_open(&writer, at("c"), &err), err);
    CHECK_OK(sea_file_writer_add(&writer, "new", 3, &err), err);
    sea_file_writer_close(&writer);
    CHECK(holds(at("c"), "old"));
    CHECK(!sea_file_exists(writer.temp));
    sea_file_writer_close(&writer);
}

static void
a_left_over_temporary_file_is_in_nobodys_way(void)
{
    struct sea_file_writer writer;
    struct sea_err err = { 0 };

    CHECK_OK(sea_file_writer_open(&writer, at("l"), &err), err);
    sea_file_writer_close(&writer);
    put(writer.temp, "left by a process that had this id, and longer than the new text");
    CHECK_OK(sea_file_replace(at("l"), "new", 3, &err), err);
    CHECK(holds(at("l"), "new"));
}

/* Writes too much to path, whose file system has too little room; the old text stays. */
static void
meet_a_full_disk(const char *path, int wanted_errno)
{
    static char chunk[100000];
    struct sea_file_writer writer;
    struct sea_err err = { 0 }, second = { 0 };
    char cause[48];
    int i;

    snprintf(cause, sizeof(cause), "errno %d", wanted_errno);
    CHECK_OK(sea_file_writer_open(&writer, path, &err), err);
    for (i = 0; i < 20; i++)
        if (sea_file_writer_add(&writer, chunk, sizeof(chunk), &err) != SEA_OK)
            break;
    CHECK_INT(err.status, SEA_E_IO);
    CHECK_STR(err.cause, cause);
    /* checked only at commit: a fresh error learns of it, too */
    CHECK(sea_file_writer_commit(&writer, &second) == SEA_E_IO);
    CHECK_STR(second.cause, cause);
    CHECK_FAILS(second, SEA_E_IO, path);
    CHECK_INT(second.hint[0] != 0, wanted_errno == ENOSPC);
    CHECK(!sea_file_exists(writer.temp));
    CHECK(holds(path, "old"));
    sea_err_clear(&err);
    CHECK(sea_file_replace(path, chunk, sizeof(chunk), &err) == SEA_E_IO);
    CHECK_STR(err.cause, cause);
    CHECK(!sea_file_exists(writer.temp));
    CHECK(holds(path, "old"));
}

static void
a_file_that_may_not_grow_is_never_half_there(void)
{
    struct rlimit before, less;

    put(at("limited"), "old");
    signal(SIGXFSZ, SIG_IGN);
    CHECK(getrlimit(RLIMIT_FSIZE, &before) == 0);
    less = before;
    less.rlim_cur = 50000;
    CHECK(setrlimit(RLIMIT_FSIZE, &less) == 0);
    meet_a_full_disk(at("limited"), EFBIG);
    CHECK(setrlimit(RLIMIT_FSIZE, &before) == 0);
}

static void
a_full_disk_is_reported_with_a_hint(void)
{
    struct sea_err err = { 0 };
    const char *folder = at("tmpfs");

    CHECK_OK(sea_dir_create(folder, &err), err);
    if (mount("sea-test", folder, "tmpfs", 0, "size=64k")) {
        SEA_SKIP("cannot mount a small file system here");
        return;
    }
    put(at("tmpfs/f"), "old");
    meet_a_full_disk(at("tmpfs/f"), ENOSPC);
    CHECK(umount(folder) == 0);
}

/* Needs no rights: the stream of the writer is swapped for one that is always full. */
static void
a_stream_that_is_full_fails_at_commit(void)
{
    struct sea_file_writer writer;
    struct sea_err err = { 0 };

    put(at("full"), "old");
    CHECK_OK(sea_file_writer_open(&writer, at("full"), &err), err);
    CHECK(freopen("/dev/full", "w", writer.to) != NULL);
    CHECK_OK(sea_file_writer_add(&writer, "new", 3, &err), err);        /* buffered */
    CHECK(sea_file_writer_commit(&writer, &err) == SEA_E_IO);
    CHECK_STR(err.cause, "errno 28");
    CHECK(err.hint[0] != 0);
    CHECK(holds(at("full"), "old"));
    CHECK(!sea_file_exists(writer.temp));
}

static void
a_writer_without_a_folder_says_so(void)
{
    struct sea_file_writer writer;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX + 10];

    CHECK(sea_file_writer_open(&writer, at("no/such/folder"), &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "no/such/folder");
    sea_file_writer_close(&writer);
    sea_err_clear(&err);
    memset(path, 'x', sizeof(path));
    path[sizeof(path) - 1] = 0;
    CHECK(sea_file_writer_open(&writer, path, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "longer than 4095 bytes");
    sea_file_writer_close(&writer);
    sea_err_clear(&err);
    CHECK_OK(sea_dir_create(at("isdir"), &err), err);
    CHECK(sea_file_replace(at("isdir"), "x", 1, &err) == SEA_E_IO);
    CHECK(sea_dir_exists(at("isdir")));
}

static void
a_map_shows_the_file(void)
{
    struct sea_file_map map;
    struct sea_err err = { 0 };

    put(at("m"), "mapped");
    CHECK_OK(sea_file_map_open(&map, at("m"), &err), err);
    CHECK_INT(map.bytes, 6);
    CHECK(memcmp(map.data, "mapped", 6) == 0);
    sea_file_map_close(&map);
    CHECK(map.data == NULL && map.bytes == 0);
    sea_file_map_close(&map);
    sea_file_map_close(NULL);
    put(at("m"), "");
    CHECK_OK(sea_file_map_open(&map, at("m"), &err), err);
    CHECK(map.data == NULL && map.bytes == 0);
    sea_file_map_close(&map);
    CHECK(sea_file_map_open(&map, at("none"), &err) == SEA_E_MISSING);
    sea_err_clear(&err);
    CHECK(sea_file_map_open(&map, sea_test_dir(), &err) == SEA_E_FORMAT);
    sea_err_clear(&err);
    CHECK(sea_file_map_open(&map, "/dev/null", &err) == SEA_E_FORMAT);
}

static void
folders_are_made_with_their_parents(void)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_dir_create(at("d/e//f/"), &err), err);
    CHECK(sea_dir_exists(at("d/e/f")));
    CHECK_OK(sea_dir_create(at("d/e/f"), &err), err);
    CHECK_OK(sea_dir_create("/", &err), err);
    CHECK_OK(sea_dir_create(".", &err), err);
    CHECK_OK(sea_dir_sync(at("d"), &err), err);
    put(at("d/file"), "x");
    CHECK(sea_dir_create(at("d/file"), &err) == SEA_E_IO);
    CHECK_FAILS(err, SEA_E_IO, "is a file, need a folder");
    sea_err_clear(&err);
    CHECK(sea_dir_create(at("d/file/below"), &err) == SEA_E_IO);
    CHECK_FAILS(err, SEA_E_IO, "is a file, need a folder");
    sea_err_clear(&err);
    CHECK(sea_dir_sync(at("nowhere"), &err) == SEA_E_MISSING);
}

static void
remove_takes_trees_and_leaves_what_links_point_to(void)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_dir_create(at("keep"), &err), err);
    put(at("keep/f"), "kept");
    CHECK_OK(sea_dir_create(at("gone/a/b"), &err), err);
    put(at("gone/a/b/f"), "x");
    put(at("gone/f"), "x");
    CHECK(symlink(at("keep"), at("gone/a/link")) == 0);
    CHECK(symlink("nowhere", at("gone/dangling")) == 0);
    CHECK(chmod(at("gone/f"), 0) == 0);
    CHECK_OK(sea_dir_remove(at("gone"), &err), err);
    CHECK(!sea_dir_exists(at("gone")));
    CHECK(holds(at("keep/f"), "kept"));
    CHECK_OK(sea_dir_remove(at("gone"), &err), err);
    CHECK(symlink(at("keep"), at("link")) == 0);
    CHECK_OK(sea_dir_remove(at("link"), &err), err);    /* the link itself */
    CHECK(holds(at("keep/f"), "kept"));
    CHECK_OK(sea_dir_remove(at("keep/f"), &err), err);  /* a file, too */
    CHECK_INT(files_in(at("keep")), 0);
}

struct seen {
    char names[64][64];
    uint64_t bytes;
    int count, stop_at;
};

static enum sea_status
see(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct seen *seen = arg;

    if (seen->count == seen->stop_at)
        return sea_fail(err, SEA_E_STOPPED, "enough");
    snprintf(seen->names[seen->count++], sizeof(seen->names[0]), "%s", relative);
    seen->bytes += bytes;
    return SEA_OK;
}

static void
a_walk_goes_in_byte_order_of_whole_paths(void)
{
    static const char *const order[] = {
        "a!x", "a-b", "a.txt", "a/b/c", "a/z", "a0", "aa", "b/a", "b0", "\xC3\xA9",
    };
    struct seen *seen = calloc(1, sizeof(*seen));
    struct sea_err err = { 0 };
    int i;

    CHECK_OK(sea_dir_create(at("walk/a/b"), &err), err);
    CHECK_OK(sea_dir_create(at("walk/b"), &err), err);
    CHECK_OK(sea_dir_create(at("walk/empty"), &err), err);
    for (i = 9; i >= 0; i--) {
        char name[64];

        snprintf(name, sizeof(name), "walk/%s", order[i]);
        put(at(name), "xyz");
    }
    seen->stop_at = 64;
    CHECK_OK(sea_dir_walk(at("walk"), see, seen, &err), err);
    CHECK_INT(seen->count, 10);
    CHECK_INT(seen->bytes, 30);
    for (i = 0; i < seen->count; i++) {
        CHECK_STR(seen->names[i], order[i]);
        CHECK(i == 0 || strcmp(seen->names[i - 1], seen->names[i]) < 0);
    }
    *seen = (struct seen){ .stop_at = 4 };
    CHECK(sea_dir_walk(at("walk"), see, seen, &err) == SEA_E_STOPPED);
    CHECK_FAILS(err, SEA_E_STOPPED, "enough");
    CHECK_INT(seen->count, 4);
    sea_err_clear(&err);
    CHECK(sea_dir_walk(at("nowhere"), see, seen, &err) == SEA_E_MISSING);
    free(seen);
}

static void
a_walk_follows_links_but_not_in_circles(void)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_dir_create(at("ln/real"), &err), err);
    CHECK_OK(sea_dir_create(at("ln/tree"), &err), err);
    put(at("ln/real/f"), "x");
    CHECK(symlink("../real/f", at("ln/tree/file")) == 0);
    CHECK(symlink("../real", at("ln/tree/folder")) == 0);
    CHECK(mkfifo(at("ln/tree/pipe"), 0600) == 0);       /* no regular file: left out */
    CHECK_INT(files_in(at("ln/tree")), 2);
    CHECK(symlink("..", at("ln/tree/loop")) == 0);
    CHECK(sea_dir_walk(at("ln/tree"), count_one, &(int){ 0 }, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "is a link to a folder above it");
    sea_err_clear(&err);
    CHECK(unlink(at("ln/tree/loop")) == 0);
    CHECK(symlink("nowhere", at("ln/tree/dangling")) == 0);
    CHECK(sea_dir_walk(at("ln/tree"), count_one, &(int){ 0 }, &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "ln/tree/dangling");
    CHECK(err.hint[0] != 0);
}

static void
a_walk_of_a_deep_tree_ends(void)
{
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    int i;

    snprintf(path, sizeof(path), "%s", at("deep"));
    for (i = 0; i < 63; i++)
        memcpy(path + strlen(path), "/d", 3);
    CHECK_OK(sea_dir_create(path, &err), err);
    CHECK_INT(files_in(at("deep")), 0);
    memcpy(path + strlen(path), "/d", 3);
    CHECK_OK(sea_dir_create(path, &err), err);
    CHECK(sea_dir_walk(at("deep"), count_one, &(int){ 0 }, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "deeper than 64");
    sea_err_clear(&err);
    CHECK_OK(sea_dir_remove(at("deep"), &err), err);
}

static void
existence_follows_links(void)
{
    put(at("ex"), "x");
    CHECK(symlink("ex", at("exlink")) == 0);
    CHECK(symlink("none", at("exdangling")) == 0);
    CHECK(sea_file_exists(at("ex")) && sea_file_exists(at("exlink")));
    CHECK(!sea_file_exists(at("exdangling")) && !sea_file_exists(sea_test_dir()));
    CHECK(sea_dir_exists(sea_test_dir()) && !sea_dir_exists(at("ex")));
    CHECK(!sea_dir_exists("") && !sea_file_exists(""));
}

static void
paths_join(void)
{
    static const struct { const char *folder, *name, *want; } rows[] = {
        { "a", "b", "a/b" }, { "a/", "b", "a/b" }, { "/", "b", "/b" }, { "", "b", "b" },
        { "a", "/b", "/b" }, { "a", "b/c", "a/b/c" }, { "a", "", "a" },
    };
    char out[SEA_PATH_MAX], longest[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_OK(sea_path_join(out, rows[i].folder, rows[i].name, &err), err);
        CHECK_STR(out, rows[i].want);
    }
    snprintf(out, sizeof(out), "a");
    CHECK_OK(sea_path_join(out, out, "b", &err), err);  /* in place */
    CHECK_STR(out, "a/b");
    memset(longest, 'x', sizeof(longest));
    longest[SEA_PATH_MAX - 3] = 0;
    CHECK_OK(sea_path_join(out, longest, "y", &err), err);
    CHECK_INT(strlen(out), SEA_PATH_MAX - 1);
    CHECK(sea_path_join(out, longest, "yz", &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "longer than 4095 bytes");
}

static void
inside_means_no_way_out(void)
{
    static const char *const in[] = { "a", "a/b", "..a", "a..", "a/..b/c", "...", "./a", "a//b" };
    static const char *const out[] = { "", "/", "/a", "..", "../a", "a/..", "a/../../b", "a/b/.." };
    size_t i;

    for (i = 0; i < 8; i++) {
        CHECK_MSG(sea_path_is_inside(in[i]), "\"%s\" is inside", in[i]);
        CHECK_MSG(!sea_path_is_inside(out[i]), "\"%s\" is not inside", out[i]);
    }
}

static void
the_nearest_folder_is_where_one_would_be_made(void)
{
    char out[SEA_PATH_MAX];

    sea_dir_nearest(at("not/yet/there"), out);
    CHECK_STR(out, sea_test_dir());
    sea_dir_nearest(sea_test_dir(), out);
    CHECK_STR(out, sea_test_dir());
    sea_dir_nearest("/no-such-folder/below", out);
    CHECK_STR(out, "/");
    sea_dir_nearest("no-such-folder/below", out);
    CHECK_STR(out, ".");
    put(at("plain"), "a file is no folder");
    sea_dir_nearest(at("plain/below"), out);
    CHECK_STR(out, sea_test_dir());
}

SEA_TEST_MAIN("files, folders and paths",
              TEST(replace_and_read_come_back),
              TEST(read_refuses_what_it_cannot_take),
              TEST(a_writer_shows_nothing_before_commit),
              TEST(close_without_commit_leaves_the_old_file),
              TEST(a_left_over_temporary_file_is_in_nobodys_way),
              TEST(a_file_that_may_not_grow_is_never_half_there),
              TEST(a_full_disk_is_reported_with_a_hint),
              TEST(a_stream_that_is_full_fails_at_commit),
              TEST(a_writer_without_a_folder_says_so),
              TEST(a_map_shows_the_file),
              TEST(folders_are_made_with_their_parents),
              TEST(remove_takes_trees_and_leaves_what_links_point_to),
              TEST(a_walk_goes_in_byte_order_of_whole_paths),
              TEST(a_walk_follows_links_but_not_in_circles),
              TEST(a_walk_of_a_deep_tree_ends),
              TEST(existence_follows_links),
              TEST(paths_join),
              TEST(inside_means_no_way_out),
              TEST(the_nearest_folder_is_where_one_would_be_made))
