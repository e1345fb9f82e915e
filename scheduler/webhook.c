/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_webhook.h"

#include <string.h>

#include <curl/curl.h>

#include "engine/base/sea_hash.h"

#define BLOCK 64                /* bytes that SHA-256 takes at a time */

static unsigned char
hex_value(char digit)
{
    return (unsigned char)(digit <= '9' ? digit - '0' : digit - 'a' + 10);
}

static void
digest_of(const void *first, size_t first_len, const void *second, size_t second_len,
          unsigned char out[32], char text[SEA_SHA256_TEXT])
{
    struct sea_hash *hash = sea_hash_create();
    int i;

    sea_hash_add(hash, first, first_len);
    sea_hash_add(hash, second, second_len);
    sea_hash_finish(hash, text);
    sea_hash_destroy(hash);
    for (i = 0; i < 32; i++)
        out[i] = (unsigned char)(hex_value(text[2 * i]) << 4 | hex_value(text[2 * i + 1]));
}

void
sea_webhook_sign(const char *secret, const char *body, char out[65])
{
    unsigned char key[BLOCK] = { 0 }, pad[BLOCK], inner[32];
    size_t len = strlen(secret), i;

    if (len > BLOCK)
        digest_of(secret, len, "", 0, key, out);
    else
        memcpy(key, secret, len);
    for (i = 0; i < BLOCK; i++)
        pad[i] = key[i] ^ 0x36;
    digest_of(pad, BLOCK, body, strlen(body), inner, out);
    for (i = 0; i < BLOCK; i++)
        pad[i] = key[i] ^ 0x5c;
    digest_of(pad, BLOCK, inner, sizeof(inner), key, out);
}

enum sea_status
sea_webhook_init(struct sea_err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return sea_fail(err, SEA_E_INTERNAL, "could not start libcurl");
    return SEA_OK;
}

/* The receiver's words are not for us. */
static size_t
discard(char *bytes, size_t size, size_t count, void *arg)
{
    (void)bytes, (void)arg;
    return size * count;
}

static int
keep_going(void *arg, curl_off_t all_down, curl_off_t down, curl_off_t all_up, curl_off_t up)
{
    const volatile sig_atomic_t *stop = arg;

    (void)all_down, (void)down, (void)all_up, (void)up;
    return stop && *stop;
}

static void
host_of(const char *url, char *out, size_t room)
{
    char *host = NULL;
    CURLU *parts = curl_url();

    snprintf(out, room, "the webhook");
    if (parts && !curl_url_set(parts, CURLUPART_URL, url, 0)
        && !curl_url_get(parts, CURLUPART_HOST, &host, 0)) {
        snprintf(out, room, "webhook %s", host);
        curl_free(host);
    }
    curl_url_cleanup(parts);
}

static struct curl_slist *
make_headers(const struct sea_webhook *to, int64_t notice, const char *body)
{
    struct curl_slist *headers = NULL;
    char line[128], sign[SEA_SHA256_TEXT];

    headers = curl_slist_append(headers, "Content-Type: application/json");
    snprintf(line, sizeof(line), "X-Sea-Notice: %lld", (long long)notice);
    headers = curl_slist_append(headers, line);
    if (to->secret) {
        sea_webhook_sign(to->secret, body, sign);
        snprintf(line, sizeof(line), "X-Sea-Signature: sha256=%s", sign);
        headers = curl_slist_append(headers, line);
    }
    return headers;
}

enum sea_status
sea_webhook_post(const struct sea_webhook *to, int64_t notice, const char *body,
                 const volatile sig_atomic_t *stop, struct sea_err *err)
{
    struct curl_slist *headers;
    CURL *call = curl_easy_init();
    char host[256];
    CURLcode code;
    long answer = 0;

    if (!call)
        return sea_fail(err, SEA_E_INTERNAL, "libcurl gave no handle");
    headers = make_headers(to, notice, body);
    curl_easy_setopt(call, CURLOPT_URL, to->url);
    curl_easy_setopt(call, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(call, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(call, CURLOPT_TIMEOUT_MS, (long)to->timeout_ms);
    curl_easy_setopt(call, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(call, CURLOPT_HTTPHEADER, headers);
    curl_easy_setopt(call, CURLOPT_WRITEFUNCTION, discard);
    curl_easy_setopt(call, CURLOPT_USERAGENT, "sea");
    curl_easy_setopt(call, CURLOPT_XFERINFOFUNCTION, keep_going);
    curl_easy_setopt(call, CURLOPT_XFERINFODATA, (void *)(uintptr_t)stop);
    curl_easy_setopt(call, CURLOPT_NOPROGRESS, 0L);
    code = curl_easy_perform(call);
    if (!code)
        curl_easy_getinfo(call, CURLINFO_RESPONSE_CODE, &answer);
    curl_slist_free_all(headers);
    curl_easy_cleanup(call);
    if (!code && answer >= 200 && answer < 300)
        return SEA_OK;
    host_of(to->url, host, sizeof(host));
    if (code)
        sea_fail(err, SEA_E_SERVICE, "%s was not reached: %s", host, curl_easy_strerror(code));
    else
        sea_fail(err, SEA_E_SERVICE, "%s answered with status %ld, need 2xx", host, answer);
    sea_hint(err, "It is told again after a pause, for three days.");
    return SEA_E_SERVICE;
}
