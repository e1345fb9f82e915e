/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_secret.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#define TEXT_BYTES_MAX ((size_t)4096)

/* Asked of the open file, so that nobody can put another one in its place in between. */
static enum sea_status
check(int fd, const char *path, const char *what, struct sea_err *err)
{
    struct stat info;

    if (fstat(fd, &info))
        return sea_fail_errno(err, "could not look at %s \"%s\"", what, path);
    if (!S_ISREG(info.st_mode))
        return sea_fail(err, SEA_E_CONFIG, "%s \"%s\" is a folder or a device, need a file", what,
                        path);
    if (info.st_mode & 077) {
        sea_fail(err, SEA_E_CONFIG, "%s \"%s\" can be read by others: mode %03o, need 600", what,
                 path, (unsigned)(info.st_mode & 0777));
        sea_hint(err, "Give it mode 0600, and change what it held.");
        return err->status;
    }
    if (info.st_uid != geteuid()) {
        sea_fail(err, SEA_E_CONFIG, "%s \"%s\" belongs to user %lu, need user %lu", what, path,
                 (unsigned long)info.st_uid, (unsigned long)geteuid());
        sea_hint(err, "Give it to the user that sea runs as.");
        return err->status;
    }
    return SEA_OK;
}

static enum sea_status
read_all(int fd, const char *path, const char *what, struct sea_buf *out, struct sea_err *err)
{
    char chunk[4096];
    ssize_t n;

    while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return sea_fail_errno(err, "could not read %s \"%s\"", what, path);
        if ((size_t)n > out->max - out->len)
            return sea_fail(err, SEA_E_CONFIG, "%s \"%s\" is larger than the limit of %zu bytes",
                            what, path, out->max);
        sea_buf_add(out, chunk, (size_t)n);
    }
    return SEA_OK;
}

enum sea_status
sea_secret_read(const char *path, const char *what, struct sea_buf *out, struct sea_err *err)
{
    size_t before = out->len;
    enum sea_status status;
    /* A pipe without a writer is refused by check, not waited for. */
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);

    if (fd < 0)
        return sea_fail_errno(err, "could not open %s \"%s\"", what, path);
    status = check(fd, path, what, err);
    if (!status)
        status = read_all(fd, path, what, out, err);
    close(fd);
    if (status && out->len > before) {
        out->len = before;
        out->data[before] = 0;
    }
    return status;
}

enum sea_status
sea_secret_text(const char *path, const char *what, struct sea_arena *arena, const char **out,
                struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, TEXT_BYTES_MAX);
    status = sea_secret_read(path, what, &text, err);
    while (text.len && (text.data[text.len - 1] == '\n' || text.data[text.len - 1] == '\r'))
        text.data[--text.len] = 0;
    if (!status && text.len == 0)
        status = sea_fail(err, SEA_E_CONFIG, "%s \"%s\" is empty", what, path);
    if (!status)
        *out = sea_arena_strdup(arena, text.data);
    sea_buf_release(&text);
    return status;
}
