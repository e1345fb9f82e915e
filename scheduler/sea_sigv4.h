/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_sigv4.h - the signature of a request to S3 (AWS Signature Version 4)
 *
 * Pure: no clock, no network. Query parameters and headers are given in any order, unencoded
 * and with names in lower case; they are sorted and encoded here. For services other than S3
 * the path would be encoded twice; here it is encoded once.
 *
 * The signature covers method, path, parameters, the named headers and the SHA-256 of the body.
 * With one key it is the same for the same request and second.
 */
#ifndef SEA_SIGV4_H
#define SEA_SIGV4_H

#include <stddef.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"

struct sea_sigv4_pair {
    const char *name, *value;   /* value is a text without line breaks; "" for none */
};

struct sea_sigv4_request {
    const char *method;         /* "GET" */
    const char *path;           /* "/bucket/a key"; not encoded */
    const struct sea_sigv4_pair *query, *headers;       /* headers: host and x-amz-date, at least */
    size_t query_count, headers_count;
    const char *payload_sha256; /* 64 hex digits, or "UNSIGNED-PAYLOAD" */
};

struct sea_sigv4_keys {
    const char *access, *secret, *region, *service;     /* service: "s3" */
};

#define SEA_SIGV4_TIME 17       /* "20130524T000000Z" */
/* The time of a request, seconds since 1970, as x-amz-date has it. */
void sea_sigv4_time(long long seconds, char out[SEA_SIGV4_TIME]);

/* Appends the value of the header Authorization. time as from sea_sigv4_time. */
SEA_MUST_CHECK enum sea_status
sea_sigv4_sign(const struct sea_sigv4_request *request, const struct sea_sigv4_keys *keys,
               const char *time, struct sea_buf *out, struct sea_err *err);

/* Percent-encodes all but letters, digits and "-_.~", and '/' too unless keep_slash. */
SEA_MUST_CHECK enum sea_status
sea_sigv4_encode(const char *text, int keep_slash, struct sea_buf *out, struct sea_err *err);
/* "a=1&b=" as it is signed, and as it has to stand in the address. */
SEA_MUST_CHECK enum sea_status
sea_sigv4_query(const struct sea_sigv4_pair *query, size_t count, struct sea_buf *out,
                struct sea_err *err);

#endif
