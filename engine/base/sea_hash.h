/* SPDX-License-Identifier: Apache-2.0 */
/* sea_hash.h - SHA-256 of bytes and files, as 64 lower-case hex digits. libcrypto stays
 * inside hash.c. */
#ifndef SEA_HASH_H
#define SEA_HASH_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_err.h"

#define SEA_SHA256_TEXT 65      /* 64 hex digits and the final 0 */

struct sea_hash;                /* a running SHA-256 */
struct sea_hash *sea_hash_create(void);
void sea_hash_destroy(struct sea_hash *hash);   /* accepts NULL */
void sea_hash_add(struct sea_hash *hash, const void *bytes, size_t n);
/* Length, then bytes, then nothing more: for fields that must not run together. */
void sea_hash_add_field(struct sea_hash *hash, const char *text);
/* Ends the run; hash starts afresh. */
void sea_hash_finish(struct sea_hash *hash, char out[SEA_SHA256_TEXT]);

void sea_hash_bytes(const void *bytes, size_t n, char out[SEA_SHA256_TEXT]);
SEA_MUST_CHECK enum sea_status
sea_hash_file(const char *path, char out[SEA_SHA256_TEXT], uint64_t *bytes,
              struct sea_err *err);
/* Digest of a folder: names, sizes and contents of all regular files, in path order. */
SEA_MUST_CHECK enum sea_status
sea_hash_dir(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err);

#endif
