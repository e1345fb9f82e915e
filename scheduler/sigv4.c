/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_sigv4.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <openssl/crypto.h>
#include <openssl/evp.h>
#include <openssl/hmac.h>

#define CANONICAL_BYTES_MAX ((size_t)64 << 10)
#define PAIRS_MAX 32
#define MAC_BYTES 32

void
sea_sigv4_time(long long seconds, char out[SEA_SIGV4_TIME])
{
    time_t at = (time_t)seconds;
    struct tm parts;

    gmtime_r(&at, &parts);
    strftime(out, SEA_SIGV4_TIME, "%Y%m%dT%H%M%SZ", &parts);
}

enum sea_status
sea_sigv4_encode(const char *text, int keep_slash, struct sea_buf *out, struct sea_err *err)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";
    enum sea_status status = SEA_OK;

    for (; *text && !status; text++) {
        bool stays = strchr(plain, *text) || (*text == '/' && keep_slash);

        status = stays ? sea_buf_append(out, text, 1, err)
                       : sea_buf_printf(out, err, "%%%02X", (unsigned)(unsigned char)*text);
    }
    return status;
}

static int
by_name(const void *a, const void *b)
{
    const struct sea_sigv4_pair *x = a, *y = b;
    int order = strcmp(x->name, y->name);

    return order ? order : strcmp(x->value, y->value);
}

static enum sea_status
sorted(const struct sea_sigv4_pair *from, size_t count, struct sea_sigv4_pair to[PAIRS_MAX],
       struct sea_err *err)
{
    if (count > PAIRS_MAX)
        return sea_fail(err, SEA_E_INTERNAL, "%zu parameters or headers are more than %d", count,
                        PAIRS_MAX);
    if (count) {
        memcpy(to, from, count * sizeof(*to));
        qsort(to, count, sizeof(*to), by_name);
    }
    return SEA_OK;
}

enum sea_status
sea_sigv4_query(const struct sea_sigv4_pair *query, size_t count, struct sea_buf *out,
                struct sea_err *err)
{
    struct sea_sigv4_pair list[PAIRS_MAX];
    enum sea_status status = sorted(query, count, list, err);
    size_t i;

    for (i = 0; i < count && !status; i++) {
        status = sea_buf_append(out, "&", i > 0, err);
        if (!status)
            status = sea_sigv4_encode(list[i].name, 0, out, err);
        if (!status)
            status = sea_buf_append(out, "=", 1, err);
        if (!status)
            status = sea_sigv4_encode(list[i].value, 0, out, err);
    }
    return status;
}

/* Values lose their outer blanks, and runs of blanks become one. */
static enum sea_status
add_header(const struct sea_sigv4_pair *header, struct sea_buf *out, struct sea_err *err)
{
    const char *at = header->value + strspn(header->value, " ");
    enum sea_status status = sea_buf_printf(out, err, "%s:", header->name);

    while (*at && !status) {
        size_t word = strcspn(at, " "), blanks = strspn(at + word, " ");

        status = sea_buf_append(out, at, word, err);
        at += word + blanks;
        if (!status && *at)
            status = sea_buf_append(out, " ", 1, err);
    }
    return status ? status : sea_buf_append(out, "\n", 1, err);
}

/* "host;x-amz-date" of sorted headers. */
static enum sea_status
add_names(const struct sea_sigv4_pair *headers, size_t count, struct sea_buf *out,
          struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < count && !status; i++)
        status = sea_buf_printf(out, err, "%s%s", i ? ";" : "", headers[i].name);
    return status;
}

static enum sea_status
canonical(const struct sea_sigv4_request *request, const struct sea_sigv4_pair *headers,
          struct sea_buf *out, struct sea_err *err)
{
    enum sea_status status = sea_buf_printf(out, err, "%s\n", request->method);
    size_t i;

    if (!status)
        status = sea_sigv4_encode(request->path, 1, out, err);
    if (!status)
        status = sea_buf_append(out, "\n", 1, err);
    if (!status)
        status = sea_sigv4_query(request->query, request->query_count, out, err);
    if (!status)
        status = sea_buf_append(out, "\n", 1, err);
    for (i = 0; i < request->headers_count && !status; i++)
        status = add_header(&headers[i], out, err);
    if (!status)
        status = sea_buf_append(out, "\n", 1, err);
    if (!status)
        status = add_names(headers, request->headers_count, out, err);
    return status ? status : sea_buf_printf(out, err, "\n%s", request->payload_sha256);
}

static bool
mac(const unsigned char *key, size_t key_len, const char *text, unsigned char out[MAC_BYTES])
{
    unsigned len = 0;

    return HMAC(EVP_sha256(), key, (int)key_len, (const unsigned char *)text, strlen(text), out,
                &len) && len == MAC_BYTES;
}

/* The key of a day, region and service, out of the secret. */
static bool
day_key(const struct sea_sigv4_keys *keys, const char *day, unsigned char out[MAC_BYTES])
{
    char first[256];
    int len = snprintf(first, sizeof(first), "AWS4%s", keys->secret);
    bool ok = len > 0 && (size_t)len < sizeof(first);

    ok = ok && mac((const unsigned char *)first, (size_t)len, day, out) &&
         mac(out, MAC_BYTES, keys->region, out) && mac(out, MAC_BYTES, keys->service, out) &&
         mac(out, MAC_BYTES, "aws4_request", out);
    OPENSSL_cleanse(first, sizeof(first));
    return ok;
}

enum sea_status
sea_sigv4_sign(const struct sea_sigv4_request *request, const struct sea_sigv4_keys *keys,
               const char *time, struct sea_buf *out, struct sea_err *err)
{
    struct sea_sigv4_pair headers[PAIRS_MAX];
    unsigned char key[MAC_BYTES], signature[MAC_BYTES];
    char day[9], scope[200], digest[SEA_SHA256_TEXT], to_sign[400];
    struct sea_buf text;
    enum sea_status status;
    size_t i;

    sea_buf_init(&text, CANONICAL_BYTES_MAX);
    snprintf(day, sizeof(day), "%.8s", time);
    snprintf(scope, sizeof(scope), "%s/%.80s/%.40s/aws4_request", day, keys->region,
             keys->service);
    status = sorted(request->headers, request->headers_count, headers, err);
    if (!status)
        status = canonical(request, headers, &text, err);
    if (status)
        goto out;
    sea_hash_bytes(text.data, text.len, digest);
    snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s\n%s", time, scope, digest);
    if (!day_key(keys, day, key) || !mac(key, sizeof(key), to_sign, signature)) {
        status = sea_fail(err, SEA_E_CONFIG, "the secret key of the store cannot be used");
        goto out;
    }
    status = sea_buf_printf(out, err, "AWS4-HMAC-SHA256 Credential=%s/%s,SignedHeaders=",
                            keys->access, scope);
    if (!status)
        status = add_names(headers, request->headers_count, out, err);
    if (!status)
        status = sea_buf_printf(out, err, ",Signature=");
    for (i = 0; i < sizeof(signature) && !status; i++)
        status = sea_buf_printf(out, err, "%02x", signature[i]);
out:
    OPENSSL_cleanse(key, sizeof(key));
    sea_buf_release(&text);
    return status;
}
