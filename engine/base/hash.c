/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_hash.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <openssl/evp.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"

#define CHUNK_BYTES ((size_t)64 * 1024)

struct sea_hash {
    EVP_MD_CTX *ctx;
};

/* libcrypto fails here only without memory or with a broken installation; both end the
 * process, as all allocations do. */
static void
must(int ok)
{
    if (ok == 1)
        return;
    fprintf(stderr, "sea: SHA-256 of libcrypto does not work\n");
    exit(sea_status_exit(SEA_E_INTERNAL));
}

struct sea_hash *
sea_hash_create(void)
{
    struct sea_hash *hash = sea_xcalloc(1, sizeof(*hash));

    hash->ctx = EVP_MD_CTX_new();
    must(hash->ctx && EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL) == 1);
    return hash;
}

void
sea_hash_destroy(struct sea_hash *hash)
{
    if (!hash)
        return;
    EVP_MD_CTX_free(hash->ctx);
    free(hash);
}

void
sea_hash_add(struct sea_hash *hash, const void *bytes, size_t n)
{
    if (n)
        must(EVP_DigestUpdate(hash->ctx, bytes, n));
}

/* Eight bytes, lowest first, whatever the machine. */
static void
add_u64(struct sea_hash *hash, uint64_t value)
{
    unsigned char bytes[8];
    int i;

    for (i = 0; i < 8; i++)
        bytes[i] = (unsigned char)(value >> (8 * i));
    sea_hash_add(hash, bytes, sizeof(bytes));
}

void
sea_hash_add_field(struct sea_hash *hash, const char *text)
{
    size_t len = strlen(text);

    add_u64(hash, len);
    sea_hash_add(hash, text, len);
}

void
sea_hash_finish(struct sea_hash *hash, char out[SEA_SHA256_TEXT])
{
    static const char hex[] = "0123456789abcdef";
    unsigned char digest[EVP_MAX_MD_SIZE];
    unsigned i, n = 0;

    must(EVP_DigestFinal_ex(hash->ctx, digest, &n));
    must(n == 32);
    for (i = 0; i < n; i++) {
        out[2 * i] = hex[digest[i] >> 4];
        out[2 * i + 1] = hex[digest[i] & 15];
    }
    out[2 * n] = 0;
    must(EVP_DigestInit_ex(hash->ctx, EVP_sha256(), NULL));
}

void
sea_hash_bytes(const void *bytes, size_t n, char out[SEA_SHA256_TEXT])
{
    struct sea_hash *hash = sea_hash_create();

    sea_hash_add(hash, bytes, n);
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
}

enum sea_status
sea_hash_file(const char *path, char out[SEA_SHA256_TEXT], uint64_t *bytes,
              struct sea_err *err)
{
    struct sea_hash *hash = NULL;
    enum sea_status status = SEA_OK;
    unsigned char chunk[CHUNK_BYTES];
    uint64_t total = 0;
    ssize_t n;
    int fd;

    out[0] = 0;
    if (bytes)
        *bytes = 0;
    fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return sea_fail_errno(err, "could not open file \"%s\"", path);
    hash = sea_hash_create();
    while ((n = read(fd, chunk, sizeof(chunk))) != 0) {
        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0) {
            status = sea_fail_errno(err, "could not read file \"%s\"", path);
            goto out;
        }
        sea_hash_add(hash, chunk, (size_t)n);
        total += (uint64_t)n;
    }
    sea_hash_finish(hash, out);
    if (bytes)
        *bytes = total;
out:
    sea_hash_destroy(hash);
    close(fd);
    return status;
}

struct dir_hash {
    const char *root;
    struct sea_hash *hash;
};

static enum sea_status
add_file(void *arg, const char *relative, uint64_t seen, struct sea_err *err)
{
    struct dir_hash *dir = arg;
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    enum sea_status status;
    uint64_t bytes;

    (void)seen;                 /* the size that was read is the one that counts */
    status = sea_path_join(path, dir->root, relative, err);
    if (!status)
        status = sea_hash_file(path, digest, &bytes, err);
    if (status)
        return status;
    sea_hash_add_field(dir->hash, relative);
    add_u64(dir->hash, bytes);
    sea_hash_add_field(dir->hash, digest);
    return SEA_OK;
}

enum sea_status
sea_hash_dir(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct dir_hash dir = { path, sea_hash_create() };
    enum sea_status status;

    out[0] = 0;
    status = sea_dir_walk(path, add_file, &dir, err);
    if (!status)
        sea_hash_finish(dir.hash, out);
    sea_hash_destroy(dir.hash);
    return status;
}
