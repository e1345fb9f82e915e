/* SPDX-License-Identifier: Apache-2.0 */
/*
 * What is at hand of a bucket, kept below a limit: the files that were not used for longest go.
 *
 * Whoever reads or writes files of the folder holds a shared lock on ROOT/cache.lock; whoever
 * removes some holds it alone, and does not wait for it: the last one that uses files is the one
 * that finds it free. A file with a second name is in the inputs or outputs of an attempt that
 * runs; to remove it would free nothing, so it stays.
 *
 * A use is noted as the file's access time, set by hand, because many file systems do not.
 */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/sea_log.h"
#include "scheduler/store_int.h"

#define STALE_S 3600            /* a copy that nobody finished in so long was left by a killed one */

static bool
is_limited(const struct sea_store *store)
{
    return store->s3.bucket[0] && store->cache_bytes;
}

static enum sea_status
lock_open(const struct sea_store *store, int *fd, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, store->root, "cache.lock", err);

    *fd = -1;
    if (status)
        return status;
    *fd = open(path, O_RDWR | O_CREAT | O_CLOEXEC, 0666);
    return *fd < 0 ? sea_fail_errno(err, "could not open \"%s\"", path) : SEA_OK;
}

enum sea_status
sea_cache_use(const struct sea_store *store, int *use, struct sea_err *err)
{
    enum sea_status status;
    int rc;

    *use = -1;
    /* Also without a limit of our own: another worker may have one. */
    if (!store->s3.bucket[0])
        return SEA_OK;
    status = lock_open(store, use, err);
    if (status)
        return status;
    do
        rc = flock(*use, LOCK_SH);
    while (rc && errno == EINTR);
    return rc ? sea_fail_errno(err, "could not lock \"%s/cache.lock\"", store->root) : SEA_OK;
}

void
sea_cache_leave(int use)
{
    if (use >= 0)
        close(use);
}

void
sea_cache_touch(const struct sea_store *store, const char *path)
{
    const struct timespec times[2] = { { .tv_nsec = UTIME_NOW }, { .tv_nsec = UTIME_OMIT } };

    /* Only the order of removal depends on it. */
    if (is_limited(store) && utimensat(AT_FDCWD, path, times, 0) && errno != ENOENT)
        sea_log(SEA_LOG_DEBUG, "could not note the use of path=%s", path);
}

/* ---- making room ---- */

struct entry {
    char *path;                 /* relative */
    int64_t used_ns;
    uint64_t bytes;
};

struct trim {
    const struct sea_store *store;
    struct entry *at;
    size_t count, room;
    uint64_t bytes;             /* of all files, also of those that stay */
    time_t now;
};

static int64_t
nanoseconds(struct timespec t)
{
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

static enum sea_status
note_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct trim *t = arg;
    char path[SEA_PATH_MAX];
    int64_t read_ns, written_ns;
    struct stat st;
    enum sea_status status = sea_path_join(path, t->store->root, relative, err);

    (void)bytes;
    if (status || !strchr(relative, '/') || lstat(path, &st))
        return status;          /* ours lie in folders; what went meanwhile is none */
    t->bytes += (uint64_t)st.st_size;
    if (st.st_nlink > 1 || (strstr(relative, ".tmp") && t->now - st.st_ctim.tv_sec < STALE_S))
        return SEA_OK;
    if (t->count == t->room) {
        t->room = t->room ? 2 * t->room : 256;
        t->at = sea_xrealloc(t->at, t->room, sizeof(*t->at));
    }
    read_ns = nanoseconds(st.st_atim);
    written_ns = nanoseconds(st.st_mtim);
    t->at[t->count++] = (struct entry){ .path = sea_xstrdup(relative),
                                        .used_ns = read_ns > written_ns ? read_ns : written_ns,
                                        .bytes = (uint64_t)st.st_size };
    return SEA_OK;
}

static int
by_use(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;

    if (x->used_ns != y->used_ns)
        return x->used_ns < y->used_ns ? -1 : 1;
    return strcmp(x->path, y->path);
}

static enum sea_status
remove_oldest(struct trim *t, uint64_t target, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = SEA_OK;
    uint64_t gone = 0;
    size_t i;

    if (t->count)
        qsort(t->at, t->count, sizeof(*t->at), by_use);
    for (i = 0; i < t->count && t->bytes > target && !status; i++) {
        status = sea_path_join(path, t->store->root, t->at[i].path, err);
        if (!status && unlink(path) && errno != ENOENT)
            status = sea_fail_errno(err, "could not remove \"%s\"", path);
        if (!status) {
            t->bytes -= t->at[i].bytes;
            gone += t->at[i].bytes;
        }
    }
    if (gone)
        sea_log(SEA_LOG_DEBUG, "made room at hand of the bucket files=%zu bytes=%llu left=%llu", i,
                (unsigned long long)gone, (unsigned long long)t->bytes);
    return status;
}

enum sea_status
sea_cache_trim(const struct sea_store *store, uint64_t room, struct sea_err *err)
{
    struct trim t = { .store = store, .now = time(NULL) };
    enum sea_status status;
    size_t i;
    int fd;

    if (!is_limited(store))
        return SEA_OK;
    status = lock_open(store, &fd, err);
    if (status)
        return status;
    if (flock(fd, LOCK_EX | LOCK_NB) == 0) {
        status = sea_dir_walk(store->root, note_file, &t, err);
        if (!status)
            status = remove_oldest(&t, room < store->cache_bytes ? store->cache_bytes - room : 0,
                                   err);
    }
    for (i = 0; i < t.count; i++)
        free(t.at[i].path);
    free(t.at);
    close(fd);
    return status;
}
