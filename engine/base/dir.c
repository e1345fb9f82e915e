/* SPDX-License-Identifier: Apache-2.0 */
/* dir.c - folders: made, removed, walked; sea_file.h is their header, too */
#include "engine/base/file_int.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"

#define WALK_DEPTH_MAX 64
#define REMOVE_TRIES 10         /* of a folder that somebody still writes into */

bool
sea_dir_exists(const char *path)
{
    int before = errno;         /* callers ask between a failure and its report */
    struct stat st;
    bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

    errno = before;
    return is_dir;
}

void
sea_dir_nearest(const char *path, char out[SEA_PATH_MAX])
{
    char *slash;

    snprintf(out, SEA_PATH_MAX, "%s", path);
    while (!sea_dir_exists(out) && (slash = strrchr(out, '/')))
        slash[slash == out] = 0;
    if (!sea_dir_exists(out))
        snprintf(out, SEA_PATH_MAX, ".");
}

static enum sea_status
make_one(const char *path, struct sea_err *err)
{
    if (mkdir(path, 0777) == 0 || sea_dir_exists(path))
        return SEA_OK;
    if (errno == EEXIST)
        return sea_fail(err, SEA_E_IO, "\"%s\" is a file, need a folder", path);
    return sea_fail_errno(err, "could not create folder \"%s\"", path);
}

enum sea_status
sea_dir_create(const char *path, struct sea_err *err)
{
    char prefix[SEA_PATH_MAX];
    enum sea_status status;
    char *slash;

    status = sea_path_fits(snprintf(prefix, sizeof(prefix), "%s", path), path, err);
    for (slash = prefix; !status && (slash = strchr(slash + 1, '/'));) {
        *slash = 0;
        status = make_one(prefix, err);
        *slash = '/';
    }
    return status ? status : make_one(path, err);
}

/* Empties the open folder fd and closes it. path is for messages. */
static enum sea_status
remove_entries(int fd, const char *path, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct dirent *entry;
    DIR *dir = fdopendir(fd);

    if (!dir) {
        close(fd);
        return sea_fail_errno(err, "could not read folder \"%s\"", path);
    }
    while (!status && (errno = 0, entry = readdir(dir))) {
        const char *name = entry->d_name;
        int child;

        if (strcmp(name, ".") == 0 || strcmp(name, "..") == 0 || unlinkat(fd, name, 0) == 0)
            continue;
        child = openat(fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (child >= 0)
            status = remove_entries(child, path, err);
        /* One that was filled again keeps its folder, too: the caller looks again. */
        if (!status && unlinkat(fd, name, child >= 0 ? AT_REMOVEDIR : 0) && errno != ENOENT &&
            errno != ENOTEMPTY && errno != EEXIST)
            status = sea_fail_errno(err, "could not remove \"%s\" in \"%s\"", name, path);
    }
    if (!status && errno)
        status = sea_fail_errno(err, "could not read folder \"%s\"", path);
    closedir(dir);
    return status;
}

enum sea_status
sea_dir_remove(const char *path, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int try, fd;

    if (unlink(path) == 0 || errno == ENOENT)
        return SEA_OK;
    for (try = 1; !status; try++) {
        fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
        if (fd < 0 && errno == ENOENT)
            return SEA_OK;      /* somebody else removes it, too */
        if (fd < 0)
            return sea_fail_errno(err, "could not open folder \"%s\"", path);
        status = remove_entries(fd, path, err);
        if (!status && (rmdir(path) == 0 || errno == ENOENT))
            return SEA_OK;
        if (!status && ((errno != ENOTEMPTY && errno != EEXIST) || try == REMOVE_TRIES))
            status = sea_fail_errno(err, "could not remove folder \"%s\"", path);
    }
    return status;
}

enum sea_status
sea_dir_sync(const char *path, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);

    if (fd < 0)
        return sea_fail_errno(err, "could not open folder \"%s\"", path);
    /* Some network file systems do not know fsync of a folder: nothing to be had there. */
    if (fsync(fd) && errno != EINVAL && errno != ENOTSUP)
        status = sea_fail_errno(err, "could not write folder \"%s\" to disk", path);
    close(fd);
    return status;
}

/* ---- walking ---- */

struct entry {
    char *name;                 /* of a folder with '/' at the end: gives the order */
    uint64_t bytes;
};

struct entries {
    struct entry *list;
    size_t count, room;
};

struct walk {
    sea_dir_fn *fn;
    void *arg;
    char path[SEA_PATH_MAX];    /* the file or folder at hand */
    size_t root_len;            /* path + root_len is the relative path */
    struct { dev_t dev; ino_t ino; } above[WALK_DEPTH_MAX];     /* finds loops of links */
};

static int
by_name(const void *a, const void *b)
{
    return strcmp(((const struct entry *)a)->name, ((const struct entry *)b)->name);
}

static void
entries_release(struct entries *entries)
{
    size_t i;

    for (i = 0; i < entries->count; i++)
        free(entries->list[i].name);
    free(entries->list);
}

/* Adds the entry name of the folder in walk->path[0..len), unless it is neither a file
 * nor a folder. */
static enum sea_status
entries_add(struct entries *entries, struct walk *walk, size_t len, const char *name,
            struct sea_err *err)
{
    enum sea_status status;
    struct stat st, link;
    size_t room = sizeof(walk->path) - len, size = strlen(name) + 2;
    char *copy;

    /* The slash that a folder will get must fit, too. */
    status = sea_path_fits(snprintf(walk->path + len, room, "%s/", name) + (int)len, walk->path,
                           err);
    if (status)
        return status;
    walk->path[len + strlen(name)] = 0;
    if (stat(walk->path, &st)) {
        int code = errno;

        if (code == ENOENT && lstat(walk->path, &link) && errno == ENOENT)
            return SEA_OK;      /* removed meanwhile */
        errno = code;
        sea_fail_errno(err, "could not look at \"%s\"", walk->path);
        sea_hint(err, "If it is a link, let it point to something that exists, or remove it.");
        return err->status;
    }
    if (!S_ISREG(st.st_mode) && !S_ISDIR(st.st_mode))
        return SEA_OK;
    if (entries->count == entries->room) {
        entries->room = entries->room ? 2 * entries->room : 16;
        entries->list = sea_xrealloc(entries->list, entries->room, sizeof(*entries->list));
    }
    copy = sea_xcalloc(size, 1);
    snprintf(copy, size, "%s%s", name, S_ISDIR(st.st_mode) ? "/" : "");
    entries->list[entries->count++] = (struct entry){ copy, (uint64_t)st.st_size };
    return SEA_OK;
}

static enum sea_status
entries_read(struct entries *entries, struct walk *walk, size_t len, int depth,
             struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct dirent *entry;
    struct stat st;
    DIR *dir;
    int i;

    walk->path[len] = 0;
    dir = opendir(walk->path);
    if (!dir && depth && errno == ENOENT)
        return SEA_OK;          /* removed meanwhile */
    if (!dir)
        return sea_fail_errno(err, "could not open folder \"%s\"", walk->path);
    if (fstat(dirfd(dir), &st)) {
        status = sea_fail_errno(err, "could not look at folder \"%s\"", walk->path);
        goto out;
    }
    for (i = 0; i < depth; i++)
        if (walk->above[i].dev == st.st_dev && walk->above[i].ino == st.st_ino) {
            status = sea_fail(err, SEA_E_FORMAT, "folder \"%s\" is a link to a folder above it",
                              walk->path);
            goto out;
        }
    walk->above[depth].dev = st.st_dev;
    walk->above[depth].ino = st.st_ino;
    while (!status && (errno = 0, entry = readdir(dir)))
        if (strcmp(entry->d_name, ".") != 0 && strcmp(entry->d_name, "..") != 0)
            status = entries_add(entries, walk, len, entry->d_name, err);
    if (!status && errno) {
        walk->path[len] = 0;
        status = sea_fail_errno(err, "could not read folder \"%s\"", walk->path);
    }
out:
    closedir(dir);
    return status;
}

/* The folder is walk->path[0..len), len counting its final slash. */
static enum sea_status
walk_folder(struct walk *walk, size_t len, int depth, struct sea_err *err)
{
    struct entries entries = { 0 };
    enum sea_status status;
    size_t i;

    if (depth == WALK_DEPTH_MAX)
        return sea_fail(err, SEA_E_FORMAT, "folder \"%s\" lies deeper than %d folders",
                        walk->path, WALK_DEPTH_MAX);
    status = entries_read(&entries, walk, len, depth, err);
    if (!status && entries.count)
        qsort(entries.list, entries.count, sizeof(*entries.list), by_name);
    for (i = 0; !status && i < entries.count; i++) {
        const struct entry *entry = &entries.list[i];
        size_t size = strlen(entry->name);

        memcpy(walk->path + len, entry->name, size + 1);
        if (entry->name[size - 1] == '/')
            status = walk_folder(walk, len + size, depth + 1, err);
        else
            status = walk->fn(walk->arg, walk->path + walk->root_len, entry->bytes, err);
    }
    entries_release(&entries);
    return status;
}

enum sea_status
sea_dir_walk(const char *root, sea_dir_fn *fn, void *arg, struct sea_err *err)
{
    struct walk *walk = sea_xcalloc(1, sizeof(*walk));
    enum sea_status status;

    walk->fn = fn;
    walk->arg = arg;
    status = sea_path_fits(snprintf(walk->path, sizeof(walk->path), "%s/", root), root, err);
    walk->root_len = strlen(walk->path);
    if (!status)
        status = walk_folder(walk, walk->root_len, 0, err);
    free(walk);
    return status;
}
