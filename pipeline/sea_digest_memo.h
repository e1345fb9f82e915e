/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_digest_memo.h - digests of data and models that need not be computed again
 *
 * For the scheduler, which works out the keys of many stages that read the same data. Not for
 * stages, nor for anything that checks what it reads.
 *
 * What is remembered holds as long as every file that was read has the same path, size, times of
 * change (contents and inode), inode and device, and folders have the same files. What changed
 * shortly before it was read is not remembered: a second change within the resolution of the clock
 * would not be seen. What was looked at a moment ago is not looked at again: a tick that works out
 * a hundred keys asks for the state of half a million pictures once.
 *
 * Threads: one at a time per memo.
 */
#ifndef SEA_DIGEST_MEMO_H
#define SEA_DIGEST_MEMO_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"

struct sea_digest_memo;

/* settle_ms: files must be older than that when they are read, 0: 5 s. fresh_ms: for how long
 * nobody looks again, 0: 2 s, below 0: looks every time. */
struct sea_digest_memo *sea_digest_memo_create(int64_t settle_ms, int64_t fresh_ms);
void sea_digest_memo_destroy(struct sea_digest_memo *memo);     /* accepts NULL */

struct sea_digest_counts {
    size_t computed, found;     /* digests: read from the files, and remembered */
    size_t looks;               /* how often the state of files was asked for */
};
struct sea_digest_counts sea_digest_memo_counts(const struct sea_digest_memo *memo);

enum sea_digest_kind {
    SEA_DIGEST_FILE,
    SEA_DIGEST_FOLDER,          /* sea_digest_folder */
    SEA_DIGEST_MODEL,           /* sea_digest_model */
    SEA_DIGEST_PARQUET,         /* sea_parquet_digest */
    SEA_DIGEST_DATASET          /* sea_dataset_digest, with its images */
};

/* The digest of path; images: NULL but for a data set. Without a memo it is always computed. */
SEA_MUST_CHECK enum sea_status
sea_digest_of(struct sea_digest_memo *memo, enum sea_digest_kind kind, const char *path,
              const char *images, char out[SEA_SHA256_TEXT], struct sea_err *err);

#endif
