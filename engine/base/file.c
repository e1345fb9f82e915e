/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"

#define CHUNK_BYTES ((size_t)64 * 1024)
#define WALK_DEPTH_MAX 64

static enum sea_status
fits(int printed, const char *path, struct sea_err *err)
{
    if (printed < 0 || printed >= SEA_PATH_MAX)
        return sea_fail(err, SEA_E_CONFIG, "path \"%.80s...\" is longer than %d bytes", path,
                        SEA_PATH_MAX - 1);
    return SEA_OK;
}

/* ---- whole files ---- */

static enum sea_status
open_to_read(const char *path, int *fd, struct stat *st, struct sea_err *err)
{
    *fd = open(path, O_RDONLY | O_CLOEXEC);
    if (*fd < 0)
        return sea_fail_errno(err, "could not open file \"%s\"", path);
    if (fstat(*fd, st))
        return sea_fail_errno(err, "could not look at file \"%s\"", path);
    if (S_ISDIR(st->st_mode))
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is a folder, need a file", path);
    return SEA_OK;
}

static enum sea_status
read_all(int fd, const char *path, struct sea_buf *buf, struct sea_err *err)
{
    char chunk[CHUNK_BYTES];
    ssize_t n;

    for (;;) {
        n = read(fd, chunk, sizeof(chunk));
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sea_fail_errno(err, "could not read file \"%s\"", path);
        if (n == 0)
            return SEA_OK;
        if ((size_t)n > buf->max - buf->len)
            return sea_fail(err, SEA_E_FORMAT, "file \"%s\" is larger than the limit of %zu bytes",
                            path, buf->max);
        sea_buf_add(buf, chunk, (size_t)n);
    }
}

enum sea_status
sea_file_read(const char *path, struct sea_buf *buf, struct sea_err *err)
{
    size_t before = buf->len;
    enum sea_status status;
    struct stat st;
    int fd = -1;

    status = open_to_read(path, &fd, &st, err);
    if (!status)
        status = read_all(fd, path, buf, err);
    if (fd >= 0)
        close(fd);
    if (status && buf->len > before) {
        buf->len = before;
        buf->data[before] = 0;
    }
    return status;
}

enum sea_status
sea_file_replace(const char *path, const void *bytes, size_t n, struct sea_err *err)
{
    struct sea_file_writer writer;
    enum sea_status status;

    status = sea_file_writer_open(&writer, path, err);
    if (!status)
        status = sea_file_writer_add(&writer, bytes, n, err);
    if (!status)
        status = sea_file_writer_commit(&writer, err);
    sea_file_writer_close(&writer);
    return status;
}

/* ---- the writer ---- */

enum sea_status
sea_file_writer_open(struct sea_file_writer *writer, const char *path, struct sea_err *err)
{
    enum sea_status status;
    int fd;

    *writer = (struct sea_file_writer){ 0 };
    status = fits(snprintf(writer->path, SEA_PATH_MAX, "%s", path), path, err);
    if (!status)
        status = fits(snprintf(writer->temp, SEA_PATH_MAX, "%s.tmp.%ld", path, (long)getpid()),
                      path, err);
    if (status)
        return status;
    /* Not O_EXCL: a file of a process that had this id and died is in nobody's way. */
    fd = open(writer->temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0)
        return sea_fail_errno(err, "could not create file \"%s\"", writer->temp);
    writer->to = fdopen(fd, "w");
    if (!writer->to) {
        status = sea_fail_errno(err, "could not create file \"%s\"", writer->temp);
        close(fd);
        unlink(writer->temp);
    }
    return status;
}

enum sea_status
sea_file_writer_add(struct sea_file_writer *writer, const void *bytes, size_t n,
                    struct sea_err *err)
{
    if (n && fwrite(bytes, 1, n, writer->to) != n)
        return sea_fail_errno(err, "could not write file \"%s\"", writer->path);
    return SEA_OK;
}

/* fsync of the folder in which path lies. */
static enum sea_status
sync_parent(const char *path, struct sea_err *err)
{
    char folder[SEA_PATH_MAX];
    const char *slash = strrchr(path, '/');
    size_t len = slash ? (size_t)(slash - path) : 0;

    if (!slash)
        return sea_dir_sync(".", err);
    memcpy(folder, path, len);
    folder[len] = 0;
    return sea_dir_sync(len ? folder : "/", err);
}

/* An earlier failure left its mark on the stream but not its errno, and the bytes are gone.
 * The file will be removed, so it may serve to meet the same trouble again: a full disk is
 * then called by its name. */
static int
why_failed(int fd, int code)
{
    static const char probe[CHUNK_BYTES];
    int tries;

    for (tries = 0; tries < 2; tries++)         /* the first may fit in part */
        if (write(fd, probe, sizeof(probe)) < 0)
            return errno;
    return code ? code : EIO;
}

enum sea_status
sea_file_writer_commit(struct sea_file_writer *writer, struct sea_err *err)
{
    FILE *to = writer->to;
    enum sea_status status = SEA_OK;

    errno = 0;
    if (fflush(to) || ferror(to)) {
        errno = why_failed(fileno(to), errno);
        status = sea_fail_errno(err, "could not write file \"%s\"", writer->path);
    } else if (fsync(fileno(to))) {
        status = sea_fail_errno(err, "could not write file \"%s\" to disk", writer->path);
    }
    if (status)
        goto out;
    writer->to = NULL;
    if (fclose(to)) {
        status = sea_fail_errno(err, "could not close file \"%s\"", writer->path);
        goto out;
    }
    if (rename(writer->temp, writer->path)) {
        status = sea_fail_errno(err, "could not rename file \"%s\" to \"%s\"", writer->temp,
                                writer->path);
        goto out;
    }
    return sync_parent(writer->path, err);
out:
    sea_file_writer_close(writer);
    unlink(writer->temp);
    return status;
}

void
sea_file_writer_close(struct sea_file_writer *writer)
{
    if (!writer || !writer->to)
        return;
    fclose(writer->to);
    writer->to = NULL;
    unlink(writer->temp);
}

/* ---- maps ---- */

enum sea_status
sea_file_map_open(struct sea_file_map *map, const char *path, struct sea_err *err)
{
    enum sea_status status;
    struct stat st;
    void *data;
    int fd;

    *map = (struct sea_file_map){ 0 };
    status = open_to_read(path, &fd, &st, err);
    if (status)
        goto out;
    if (!S_ISREG(st.st_mode)) {
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" is not a regular file", path);
        goto out;
    }
    if (st.st_size == 0)
        goto out;
    data = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    if (data == MAP_FAILED) {
        status = sea_fail_errno(err, "could not map file \"%s\"", path);
        goto out;
    }
    map->data = data;
    map->bytes = (size_t)st.st_size;
out:
    if (fd >= 0)
        close(fd);
    return status;
}

void
sea_file_map_close(struct sea_file_map *map)
{
    if (!map)
        return;
    if (map->data)
        munmap((void *)map->data, map->bytes);
    *map = (struct sea_file_map){ 0 };
}

/* ---- folders ---- */

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

    status = fits(snprintf(prefix, sizeof(prefix), "%s", path), path, err);
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
        if (!status && unlinkat(fd, name, child >= 0 ? AT_REMOVEDIR : 0) && errno != ENOENT)
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
    enum sea_status status;
    int fd;

    if (unlink(path) == 0 || errno == ENOENT)
        return SEA_OK;
    fd = open(path, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0)
        return sea_fail_errno(err, "could not open folder \"%s\"", path);
    status = remove_entries(fd, path, err);
    if (!status && rmdir(path) && errno != ENOENT)
        status = sea_fail_errno(err, "could not remove folder \"%s\"", path);
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
    status = fits(snprintf(walk->path + len, room, "%s/", name) + (int)len, walk->path, err);
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
    status = fits(snprintf(walk->path, sizeof(walk->path), "%s/", root), root, err);
    walk->root_len = strlen(walk->path);
    if (!status)
        status = walk_folder(walk, walk->root_len, 0, err);
    free(walk);
    return status;
}

/* ---- paths ---- */

bool
sea_file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
}

bool
sea_dir_exists(const char *path)
{
    int before = errno;         /* callers ask between a failure and its report */
    struct stat st;
    bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);

    errno = before;
    return is_dir;
}

enum sea_status
sea_path_join(char out[SEA_PATH_MAX], const char *folder, const char *name,
              struct sea_err *err)
{
    char joined[SEA_PATH_MAX];  /* out may be folder or name */
    size_t len = strlen(folder);
    enum sea_status status;
    const char *slash = len && folder[len - 1] != '/' && *name ? "/" : "";

    if (*name == '/')
        status = fits(snprintf(joined, sizeof(joined), "%s", name), name, err);
    else
        status = fits(snprintf(joined, sizeof(joined), "%s%s%s", folder, slash, name), folder,
                      err);
    if (!status)
        memcpy(out, joined, strlen(joined) + 1);
    return status;
}

bool
sea_path_is_inside(const char *name)
{
    size_t len;

    if (!*name || *name == '/')
        return false;
    for (;; name += len + 1) {
        len = strcspn(name, "/");
        if (len == 2 && name[0] == '.' && name[1] == '.')
            return false;
        if (!name[len])
            return true;
    }
}
