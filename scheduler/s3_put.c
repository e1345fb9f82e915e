/* SPDX-License-Identifier: Apache-2.0 */
/* Putting: whole, or in parts. A part is hashed before it goes, as a whole file is. */
#include "scheduler/s3_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_log.h"

#define HASH_CHUNK ((size_t)1 << 20)
#define PARTS_MAX 10000

static enum sea_status
hash_range(int fd, int64_t from, int64_t count, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    char *chunk = sea_xcalloc(1, HASH_CHUNK);
    enum sea_status status = SEA_OK;
    int64_t done = 0;

    while (done < count && !status) {
        int64_t left = count - done;
        ssize_t n = pread(fd, chunk, left < (int64_t)HASH_CHUNK ? (size_t)left : HASH_CHUNK,
                          from + done);

        if (n > 0) {
            sea_hash_add(hash, chunk, (size_t)n);
            done += n;
        } else if (n == 0 || errno != EINTR) {
            status = sea_fail(err, SEA_E_IO, "a file became shorter while it was stored");
        }
    }
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    free(chunk);
    return status;
}

/* Another one was first: 412 on the condition, 409 while it is still writing. */
static bool
was_first(const struct sea_s3_request *r, bool only_new)
{
    return only_new && (r->status == 412 || r->status == 409);
}

static enum sea_status
put_whole(struct sea_s3 *s3, const char *key, int fd, int64_t bytes, bool only_new,
          bool *was_there, struct sea_err *err)
{
    char sha256[SEA_SHA256_TEXT];
    struct sea_s3_request r = { .method = "PUT", .key = key, .sha256 = sha256, .body = fd,
                                .count = bytes, .only_new = only_new, .target = -1 };
    struct sea_err mine = { 0 };
    enum sea_status status = hash_range(fd, 0, bytes, sha256, err);

    if (!status) {
        status = sea_s3_send(s3, &r, &mine);
        *was_there = status && was_first(&r, only_new);
        if (*was_there)
            status = SEA_OK;
        else if (status)
            *err = mine;
    }
    return status;
}

/* ---- in parts ---- */

struct upload {                 /* between its beginning and its end */
    struct sea_s3 *s3;
    const char *key;
    int fd;
    char id[400];               /* the store's name for it */
    int number;                 /* of the last part */
    struct sea_buf list;        /* of the parts, as the end takes it */
};

static enum sea_status
begin_parts(struct upload *u, struct sea_err *err)
{
    struct sea_s3 *s3 = u->s3;
    struct sea_s3_request r = { .method = "POST", .key = u->key, .sha256 = SEA_S3_EMPTY,
                                .body = -1, .text = "", .target = -1,
                                .query = { { "uploads", "" } }, .query_count = 1 };
    enum sea_status status = sea_s3_send(s3, &r, err);
    const char *at = s3->answer.data;

    if (!status && (!s3->answer.len || !sea_s3_xml(&at, s3->answer.data + s3->answer.len,
                                                   "UploadId", u->id, sizeof(u->id))))
        status = sea_fail(err, SEA_E_SERVICE, "the store gave no id for the parts of \"%s\"",
                          u->key);
    return status;
}

static enum sea_status
put_part(struct upload *u, int64_t from, int64_t count, struct sea_err *err)
{
    char sha256[SEA_SHA256_TEXT], text[16];
    struct sea_s3_request r = { .method = "PUT", .key = u->key, .sha256 = sha256, .body = u->fd,
                                .from = from, .count = count, .target = -1,
                                .query = { { "partNumber", text }, { "uploadId", u->id } },
                                .query_count = 2 };
    enum sea_status status = hash_range(u->fd, from, count, sha256, err);

    snprintf(text, sizeof(text), "%d", ++u->number);
    if (!status)
        status = sea_s3_send(u->s3, &r, err);
    if (!status && (!r.etag[0] || strpbrk(r.etag, "<>&")))
        status = sea_fail(err, SEA_E_SERVICE, "the store named no part %d of \"%s\"", u->number,
                          u->key);
    if (!status)
        status = sea_buf_printf(&u->list, err,
                                "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>",
                                u->number, r.etag);
    return status;
}

static enum sea_status
end_parts(struct upload *u, bool only_new, bool *was_there, struct sea_err *err)
{
    char sha256[SEA_SHA256_TEXT], code[80];
    struct sea_s3_request r = { .method = "POST", .key = u->key, .sha256 = sha256, .body = -1,
                                .text = u->list.data, .only_new = only_new, .target = -1,
                                .query = { { "uploadId", u->id } }, .query_count = 1 };
    struct sea_err mine = { 0 };
    enum sea_status status;

    sea_hash_bytes(u->list.data, u->list.len, sha256);
    status = sea_s3_send(u->s3, &r, &mine);
    sea_s3_code(u->s3, code);
    /* The status is sent before the work: a failure may stand in the text of a 200. */
    if (!status && code[0])
        status = sea_fail(&mine, SEA_E_SERVICE, "the store could not put the parts of \"%s\" "
                          "together: %s", u->key, code);
    *was_there = was_first(&r, only_new);
    if (status && !*was_there)
        *err = mine;
    return *was_there ? SEA_E_MISSING : status; /* the caller removes the parts */
}

static void
drop_parts(const struct upload *u)
{
    struct sea_s3_request r = { .method = "DELETE", .key = u->key, .sha256 = SEA_S3_EMPTY,
                                .body = -1, .target = -1, .query = { { "uploadId", u->id } },
                                .query_count = 1 };
    struct sea_err mine = { 0 };

    if (sea_s3_send(u->s3, &r, &mine) && mine.status != SEA_E_MISSING)
        sea_log_err(SEA_LOG_WARN, &mine);
}

/* Parts that are gone: an earlier try, whose answer was lost, may have put them together. */
static bool
is_whole(const struct upload *u, int64_t bytes)
{
    struct sea_err ignored = { 0 };
    uint64_t there = 0;
    bool exists = false;

    return !sea_s3_look(u->s3, u->key, &exists, &there, &ignored) && exists &&
           there == (uint64_t)bytes;
}

static enum sea_status
put_parts(struct sea_s3 *s3, const char *key, int fd, int64_t bytes, bool only_new,
          bool *was_there, struct sea_err *err)
{
    struct upload u = { .s3 = s3, .key = key, .fd = fd };
    int64_t size = s3->set.part_bytes, from;
    enum sea_status status;

    while ((bytes + size - 1) / size > PARTS_MAX)
        size *= 2;
    status = begin_parts(&u, err);
    if (status)
        return status;
    sea_buf_init(&u.list, SEA_S3_ANSWER_MAX);
    status = sea_buf_printf(&u.list, err, "<CompleteMultipartUpload>");
    for (from = 0; from < bytes && !status; from += size)
        status = put_part(&u, from, bytes - from < size ? bytes - from : size, err);
    if (!status)
        status = sea_buf_printf(&u.list, err, "</CompleteMultipartUpload>");
    if (!status)
        status = end_parts(&u, only_new, was_there, err);
    if (status)
        drop_parts(&u);
    sea_buf_release(&u.list);
    if (status == SEA_E_MISSING && !*was_there && is_whole(&u, bytes)) {
        sea_err_clear(err);
        status = SEA_OK;
    }
    return *was_there ? SEA_OK : status;
}

enum sea_status
sea_s3_put(struct sea_s3 *s3, const char *key, const char *path, bool only_new, bool *was_there,
           struct sea_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum sea_status status;
    struct stat st;

    *was_there = false;
    if (fd < 0 || fstat(fd, &st)) {
        sea_fail_errno(err, "could not open \"%s\"", path);
        if (fd >= 0)
            close(fd);
        return err->status;
    }
    status = st.st_size > s3->set.part_bytes
                 ? put_parts(s3, key, fd, st.st_size, only_new, was_there, err)
                 : put_whole(s3, key, fd, st.st_size, only_new, was_there, err);
    close(fd);
    return status;
}
