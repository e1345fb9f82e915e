/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/file_int.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <stdint.h>
#include <sys/mman.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#define CHUNK_BYTES ((size_t)64 * 1024)

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
    status = sea_path_fits(snprintf(writer->path, SEA_PATH_MAX, "%s", path), path, err);
    if (!status)
        status = sea_path_temporary(writer->temp, path, err);
    if (status)
        return status;
    fd = open(writer->temp, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
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

/* ---- paths ---- */

enum sea_status
sea_path_fits(int printed, const char *path, struct sea_err *err)
{
    if (printed < 0 || printed >= SEA_PATH_MAX)
        return sea_fail(err, SEA_E_CONFIG, "path \"%.80s...\" is longer than %d bytes", path,
                        SEA_PATH_MAX - 1);
    return SEA_OK;
}

enum sea_status
sea_path_temporary(char out[SEA_PATH_MAX], const char *path, struct sea_err *err)
{
    struct timespec now;
    uint64_t dice;

    if (getrandom(&dice, sizeof(dice), GRND_NONBLOCK) != (ssize_t)sizeof(dice)) {
        clock_gettime(CLOCK_REALTIME, &now);    /* a machine that has just begun */
        dice = ((uint64_t)now.tv_nsec << 20 ^ (uint64_t)now.tv_sec ^ (uint64_t)getpid() << 44) *
               0x9e3779b97f4a7c15u;
    }
    return sea_path_fits(snprintf(out, SEA_PATH_MAX, "%s.tmp.%llu", path,
                                  (unsigned long long)(dice >> 16)), path, err);
}

bool
sea_file_exists(const char *path)
{
    struct stat st;

    return stat(path, &st) == 0 && S_ISREG(st.st_mode);
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
        status = sea_path_fits(snprintf(joined, sizeof(joined), "%s", name), name, err);
    else
        status = sea_path_fits(snprintf(joined, sizeof(joined), "%s%s%s", folder, slash, name),
                               folder, err);
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
