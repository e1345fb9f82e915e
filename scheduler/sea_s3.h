/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_s3.h - a bucket: put, get, look, list, remove, with signatures, checksums and patience
 *
 * Speaks to anything that speaks S3 (path style: ENDPOINT/BUCKET/KEY). Each request is signed
 * with the SHA-256 of its body, so that the server refuses one that was damaged on the way; what
 * is read is hashed and compared by the caller's digest before it gets its name.
 *
 * Answers 500, 502, 503, 504, 429 and broken connections are tried again with growing pauses,
 * different for each process, TRIES times all together. 403 and 400 are not: SEA_E_CONFIG with
 * the server's code. Nothing that these functions write to messages holds a key or a signature.
 *
 * Threads: one session per thread; settings may be shared.
 */
#ifndef SEA_S3_H
#define SEA_S3_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"

struct sea_s3_settings {        /* plain values: copied with the store */
    char endpoint[256];         /* "https://s3.eu-west-1.amazonaws.com", without a final / */
    char region[64], bucket[128], prefix[256];          /* prefix: "" or "a/b/" */
    char access[160], secret[160], token[2048];         /* token "": none */
    int64_t part_bytes;         /* a larger file goes up in parts of this size */
    int64_t stall_ms;           /* a transfer that moves nothing for so long is cut */
    int64_t pause_ms;           /* the first one between two tries; doubles up to 64 times it */
};

struct sea_s3;                  /* a session: one connection, used again and again */
SEA_MUST_CHECK enum sea_status
sea_s3_open(const struct sea_s3_settings *settings, struct sea_s3 **out, struct sea_err *err);
void sea_s3_close(struct sea_s3 *s3);           /* accepts NULL */

/* keys are relative to the prefix. */

/* *exists, and its size. */
SEA_MUST_CHECK enum sea_status
sea_s3_look(struct sea_s3 *s3, const char *key, bool *exists, uint64_t *bytes,
            struct sea_err *err);
/* Puts a file. only_new: when there is one already it stays and *was_there is true: of several
 * that publish at once the first one wins. A failure leaves nothing behind, parts included. */
SEA_MUST_CHECK enum sea_status
sea_s3_put(struct sea_s3 *s3, const char *key, const char *path, bool only_new, bool *was_there,
           struct sea_err *err);
/* Writes the object to a new file at path, hashed on the way. SEA_E_MISSING when there is none,
 * SEA_E_IO when it does not hash to sha256 (the file is removed). */
SEA_MUST_CHECK enum sea_status
sea_s3_get(struct sea_s3 *s3, const char *key, const char *path, const char *sha256,
           struct sea_err *err);
/* None is fine. */
SEA_MUST_CHECK enum sea_status
sea_s3_remove(struct sea_s3 *s3, const char *key, struct sea_err *err);
/* Calls fn for every object below prefix (relative, as the key it gets), in byte order. age_ms
 * is by the server's clock. Stops at the first status that is not SEA_OK. */
typedef enum sea_status sea_s3_fn(void *arg, const char *key, uint64_t bytes, int64_t age_ms,
                                  struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_s3_list(struct sea_s3 *s3, const char *prefix, sea_s3_fn *fn, void *arg,
            struct sea_err *err);

#endif
