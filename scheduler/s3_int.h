/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_int.h - one request to a bucket, behind sea_s3.h
 *
 * s3_request.c signs and sends by libcurl, with patience; s3_answer.c reads what servers write;
 * s3.c is one object at a time and lists, s3_put.c is putting, whole and in parts.
 */
#ifndef S3_INT_H
#define S3_INT_H

#include <time.h>

#include "engine/base/sea_buf.h"
#include "scheduler/sea_s3.h"
#include "scheduler/sea_sigv4.h"

#define SEA_S3_ANSWER_MAX ((size_t)64 << 20)    /* of XML */
#define SEA_S3_EMPTY "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define SEA_S3_QUERY_MAX 4

struct sea_s3 {
    struct sea_s3_settings set;
    void *call;                 /* libcurl's */
    struct sea_buf answer;      /* the body, when it is not written to a file */
    uint32_t dice;
};

struct sea_s3_request {
    const char *method, *key;   /* key NULL: the bucket */
    struct sea_sigv4_pair query[SEA_S3_QUERY_MAX];
    size_t query_count;
    const char *sha256;         /* of the body */
    const char *text;           /* a body in memory, or NULL */
    int body;                   /* a file to send, -1: none */
    int64_t from, count;        /* which part of it */
    bool only_new;
    int target;                 /* where the answer goes, -1: s3->answer */
    /* what came */
    struct sea_hash *hash;      /* of the answer, when target is used */
    long status;
    uint64_t length;
    char etag[160];
    time_t date;
    struct sea_s3 *s3;
    int64_t sent;
    int64_t moved, moved_ms;    /* bytes up and down, and when they changed last */
    bool is_stalled;
    int write_errno;
};

/* Sends until there is an answer that stands; what the request writes begins anew each time. */
SEA_MUST_CHECK enum sea_status
sea_s3_send(struct sea_s3 *s3, struct sea_s3_request *r, struct sea_err *err);

/* The text of the first <TAG> after *at, up to end; false when there is none. */
bool sea_s3_xml(const char **at, const char *end, const char *tag, char *out, size_t room);
/* The <Code> of s3->answer, "" when there is none. */
void sea_s3_code(const struct sea_s3 *s3, char out[80]);

#endif
