/* SPDX-License-Identifier: Apache-2.0 */
/* judge_http.c - one POST of JSON; libcurl stays inside this file */
#include "pipeline/judge_int.h"

#include <stdlib.h>
#include <string.h>

#include <curl/curl.h>

#include "engine/base/sea_file.h"

#define CONNECT_MS 15000L
#define PATH "/chat/completions"

struct sea_judge_link {
    CURL *call;
    struct curl_slist *headers;
    bool (*is_stopped)(void);
    bool stopped;
    char *key;
    char words[CURL_ERROR_SIZE];
};

enum sea_status
sea_judge_link_init(struct sea_err *err)
{
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return sea_fail(err, SEA_E_INTERNAL, "could not start libcurl");
    return SEA_OK;
}

const char *
sea_judge_url_trouble(const char *url)
{
    CURLU *parts = curl_url();
    char *scheme = NULL, *user = NULL, *query = NULL;
    const char *trouble = NULL;

    if (!parts || curl_url_set(parts, CURLUPART_URL, url, CURLU_NON_SUPPORT_SCHEME) ||
        curl_url_get(parts, CURLUPART_SCHEME, &scheme, 0))
        trouble = "it is no address";
    else if (strcmp(scheme, "http") != 0 && strcmp(scheme, "https") != 0)
        trouble = "it must begin with http:// or https://";
    else if (!curl_url_get(parts, CURLUPART_USER, &user, 0))
        trouble = "a user or password does not belong into an address";
    else if (!curl_url_get(parts, CURLUPART_QUERY, &query, 0))
        trouble = "it must not have a \"?\"";
    curl_free(scheme);
    curl_free(user);
    curl_free(query);
    curl_url_cleanup(parts);
    return trouble;
}

/* ---- callbacks ---- */

static size_t
take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct sea_judge_answer *answer = arg;
    struct sea_err ignored = { 0 };

    if (sea_buf_append(&answer->body, bytes, size * count, &ignored))
        return 0;               /* libcurl ends the transfer */
    return size * count;
}

static int
keep_going(void *arg, curl_off_t all_down, curl_off_t down, curl_off_t all_up, curl_off_t up)
{
    struct sea_judge_link *link = arg;

    (void)all_down, (void)down, (void)all_up, (void)up;
    link->stopped = link->is_stopped && link->is_stopped();
    return link->stopped;
}

/* ---- a connection ---- */

static void
set_up(struct sea_judge_link *link, const struct sea_judge_options *options, const char *url)
{
    long timeout = (long)options->timeout_ms;

    curl_easy_setopt(link->call, CURLOPT_URL, url);
    curl_easy_setopt(link->call, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(link->call, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(link->call, CURLOPT_FOLLOWLOCATION, 0L);
    curl_easy_setopt(link->call, CURLOPT_TIMEOUT_MS, timeout);
    curl_easy_setopt(link->call, CURLOPT_CONNECTTIMEOUT_MS,
                     timeout < CONNECT_MS ? timeout : CONNECT_MS);
    curl_easy_setopt(link->call, CURLOPT_HTTPHEADER, link->headers);
    curl_easy_setopt(link->call, CURLOPT_WRITEFUNCTION, take_body);
    curl_easy_setopt(link->call, CURLOPT_USERAGENT, "sea");
    curl_easy_setopt(link->call, CURLOPT_ERRORBUFFER, link->words);
    curl_easy_setopt(link->call, CURLOPT_XFERINFOFUNCTION, keep_going);
    curl_easy_setopt(link->call, CURLOPT_XFERINFODATA, (void *)link);
    curl_easy_setopt(link->call, CURLOPT_NOPROGRESS, 0L);
}

enum sea_status
sea_judge_link_open(struct sea_judge_link **out, const struct sea_judge_options *options,
                    const char *key, struct sea_err *err)
{
    struct sea_judge_link *link = sea_xcalloc(1, sizeof(*link));
    size_t len = strlen(options->url), tail = strlen(PATH);
    struct sea_buf text;

    link->call = curl_easy_init();
    if (!link->call) {
        free(link);
        return sea_fail(err, SEA_E_INTERNAL, "libcurl gave no handle");
    }
    link->is_stopped = options->is_stopped;
    sea_buf_init(&text, SEA_PATH_MAX);
    /* No "Expect: 100-continue": small servers do not know it. */
    link->headers = curl_slist_append(NULL, "Content-Type: application/json");
    link->headers = curl_slist_append(link->headers, "Expect:");
    if (key) {
        link->key = sea_xstrdup(key);
        sea_buf_addf(&text, "Authorization: Bearer %s", key);
        link->headers = curl_slist_append(link->headers, text.data);
        memset(text.data, 0, text.len);
        sea_buf_clear(&text);
    }
    while (len > 0 && options->url[len - 1] == '/')
        len--;
    sea_buf_addf(&text, "%.*s", (int)len, options->url);
    if (len < tail || strcmp(text.data + len - tail, PATH) != 0)
        sea_buf_puts(&text, PATH);
    set_up(link, options, text.data);
    sea_buf_release(&text);
    *out = link;
    return SEA_OK;
}

void
sea_judge_link_close(struct sea_judge_link *link)
{
    if (!link)
        return;
    curl_easy_cleanup(link->call);
    curl_slist_free_all(link->headers);
    if (link->key)
        memset(link->key, 0, strlen(link->key));
    free(link->key);
    free(link);
}

/* A server's complaint can quote the key. */
static void
blot_out(struct sea_buf *body, const char *key)
{
    size_t n = key ? strlen(key) : 0;

    for (size_t i = 0; n > 0 && i + n <= body->len; i++)
        if (memcmp(body->data + i, key, n) == 0)
            memset(body->data + i, '*', n);
}

/* Faults that stay however often one tries. */
static bool
is_final(CURLcode code)
{
    switch (code) {
    case CURLE_URL_MALFORMAT:
    case CURLE_UNSUPPORTED_PROTOCOL:
    case CURLE_PEER_FAILED_VERIFICATION:
    case CURLE_SSL_CACERT_BADFILE:
    case CURLE_SSL_CERTPROBLEM:
    case CURLE_WRITE_ERROR:     /* larger than SEA_JUDGE_BODY_MAX */
        return true;
    default:
        return false;
    }
}

enum sea_status
sea_judge_link_post(struct sea_judge_link *link, const char *body, size_t len,
                    struct sea_judge_answer *answer, struct sea_err *err)
{
    curl_off_t after = 0;
    CURLcode code;
    long status = 0;

    sea_buf_clear(&answer->body);
    answer->status = answer->retry_after_ms = 0;
    answer->final = false;
    answer->trouble[0] = link->words[0] = 0;
    curl_easy_setopt(link->call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    curl_easy_setopt(link->call, CURLOPT_POSTFIELDS, body);
    curl_easy_setopt(link->call, CURLOPT_WRITEDATA, answer);
    code = curl_easy_perform(link->call);
    if (link->stopped)
        return sea_fail(err, SEA_E_STOPPED, "stopped while asking the judge");
    if (code) {
        snprintf(answer->trouble, sizeof(answer->trouble), "%s",
                 code == CURLE_WRITE_ERROR ? "the answer is larger than 8 MiB"
                 : link->words[0]          ? link->words : curl_easy_strerror(code));
        answer->final = is_final(code);
        return SEA_OK;
    }
    blot_out(&answer->body, link->key);
    curl_easy_getinfo(link->call, CURLINFO_RESPONSE_CODE, &status);
    curl_easy_getinfo(link->call, CURLINFO_RETRY_AFTER, &after);
    answer->status = status;
    answer->retry_after_ms = after > 1000000 ? INT64_C(1000000000) : (int64_t)after * 1000;
    return SEA_OK;
}
