/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/s3_int.h"

#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"

/* ---- one object ---- */

enum sea_status
sea_s3_look(struct sea_s3 *s3, const char *key, bool *exists, uint64_t *bytes,
            struct sea_err *err)
{
    struct sea_s3_request r = { .method = "HEAD", .key = key, .sha256 = SEA_S3_EMPTY, .body = -1,
                                .target = -1 };
    struct sea_err mine = { 0 };
    enum sea_status status = sea_s3_send(s3, &r, &mine);

    *exists = !status;
    *bytes = status ? 0 : r.length;
    if (status && status != SEA_E_MISSING) {
        *err = mine;
        return status;
    }
    return SEA_OK;
}

enum sea_status
sea_s3_remove(struct sea_s3 *s3, const char *key, struct sea_err *err)
{
    struct sea_s3_request r = { .method = "DELETE", .key = key, .sha256 = SEA_S3_EMPTY, .body = -1,
                                .target = -1 };
    struct sea_err mine = { 0 };
    enum sea_status status = sea_s3_send(s3, &r, &mine);

    if (status && status != SEA_E_MISSING)
        *err = mine;
    return status == SEA_E_MISSING ? SEA_OK : status;
}

enum sea_status
sea_s3_get(struct sea_s3 *s3, const char *key, const char *path, const char *sha256,
           struct sea_err *err)
{
    struct sea_s3_request r = { .method = "GET", .key = key, .sha256 = SEA_S3_EMPTY, .body = -1 };
    char got[SEA_SHA256_TEXT] = "";
    enum sea_status status;

    r.target = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r.target < 0)
        return sea_fail_errno(err, "could not create \"%s\"", path);
    status = sea_s3_send(s3, &r, err);
    if (!status)
        sea_hash_finish(r.hash, got);
    if (!status && strcmp(got, sha256) != 0) {
        status = sea_fail(err, SEA_E_IO, "\"%s\" in bucket \"%s\" is corrupt: it hashes to %.12s..., "
                          "need %.12s...", key, s3->set.bucket, got, sha256);
        sea_hint(err, "Remove that object, then see docs/operations.md, Files that are lost.");
    }
    if (!status && fsync(r.target))
        status = sea_fail_errno(err, "could not write \"%s\" to disk", path);
    sea_hash_destroy(r.hash);
    close(r.target);
    if (status)
        unlink(path);
    return status;
}

/* ---- list ---- */

/* "2026-01-31T12:00:00.000Z" */
static time_t
read_time(const char *text)
{
    struct tm parts = { 0 };

    return strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) ? timegm(&parts) : 0;
}

/* One page of the list. *more gets the token of the next one, "" at the end. */
static enum sea_status
list_page(struct sea_s3 *s3, char *page, time_t date, sea_s3_fn *fn, void *arg, char more[1100],
          struct sea_err *err)
{
    size_t skip = strlen(s3->set.prefix);
    char key[1100], size[32], at_text[40];
    const char *at = page, *item, *end;
    enum sea_status status = SEA_OK;

    while (!status && (item = strstr(at, "<Contents>")) && (end = strstr(item, "</Contents>"))) {
        const char *a = item, *b = item, *c = item;
        time_t when;

        if (!sea_s3_xml(&a, end, "Key", key, sizeof(key)) ||
            !sea_s3_xml(&b, end, "Size", size, sizeof(size)) ||
            !sea_s3_xml(&c, end, "LastModified", at_text, sizeof(at_text)) || strlen(key) < skip)
            return sea_fail(err, SEA_E_SERVICE, "the store's list cannot be read");
        when = read_time(at_text);
        status = fn(arg, key + skip, strtoull(size, NULL, 10),
                    when && date ? ((int64_t)date - (int64_t)when) * 1000 : 0, err);
        at = end;
    }
    at = page;
    if (!sea_s3_xml(&at, page + strlen(page), "NextContinuationToken", more, 1100))
        more[0] = 0;
    return status;
}

enum sea_status
sea_s3_list(struct sea_s3 *s3, const char *prefix, sea_s3_fn *fn, void *arg,
            struct sea_err *err)
{
    char more[1100] = "", below[600];
    enum sea_status status;

    snprintf(below, sizeof(below), "%.250s%.300s", s3->set.prefix, prefix);
    do {
        struct sea_s3_request r = { .method = "GET", .sha256 = SEA_S3_EMPTY, .body = -1,
                                    .target = -1,
                                    .query = { { "list-type", "2" }, { "prefix", below },
                                               { "continuation-token", more } },
                                    .query_count = more[0] ? 3 : 2 };
        char *page;

        status = sea_s3_send(s3, &r, err);
        if (status)
            break;
        /* fn may use the session: the page is ours. */
        page = sea_xstrdup(s3->answer.len ? s3->answer.data : "");
        status = list_page(s3, page, r.date, fn, arg, more, err);
        free(page);
    } while (!status && more[0]);
    return status;
}
