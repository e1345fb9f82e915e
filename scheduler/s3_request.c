/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/s3_int.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include <curl/curl.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"

#define TRIES 7
#define CONNECT_MS 10000

/* ---- settings and session ---- */

enum sea_status
sea_s3_open(const struct sea_s3_settings *settings, struct sea_s3 **out, struct sea_err *err)
{
    struct sea_s3 *s3;

    *out = NULL;
    if (curl_global_init(CURL_GLOBAL_DEFAULT))
        return sea_fail(err, SEA_E_INTERNAL, "could not start libcurl");
    s3 = sea_xcalloc(1, sizeof(*s3));
    s3->set = *settings;
    s3->call = curl_easy_init();
    s3->dice = (uint32_t)getpid() * 2654435761u ^ (uint32_t)sea_clock_ms();
    sea_buf_init(&s3->answer, SEA_S3_ANSWER_MAX);
    if (!s3->call) {
        sea_s3_close(s3);
        return sea_fail(err, SEA_E_INTERNAL, "libcurl gave no handle");
    }
    *out = s3;
    return SEA_OK;
}

void
sea_s3_close(struct sea_s3 *s3)
{
    if (!s3)
        return;
    curl_easy_cleanup(s3->call);
    sea_buf_release(&s3->answer);
    memset(&s3->set, 0, sizeof(s3->set));
    free(s3);
}

/* ---- one request ---- */

static size_t
take_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct sea_s3_request *r = arg;
    struct sea_err ignored = { 0 };
    size_t n = size * count, at;

    /* What a failure says is text, also where an object was asked for. */
    if (r->target < 0 || r->status >= 300)
        return sea_buf_append(&r->s3->answer, bytes, n, &ignored) ? 0 : n;
    for (at = 0; at < n;) {
        ssize_t wrote = write(r->target, bytes + at, n - at);

        if (wrote < 0 && errno == EINTR)
            continue;
        if (wrote <= 0) {
            r->write_errno = errno;
            return 0;
        }
        at += (size_t)wrote;
    }
    sea_hash_add(r->hash, bytes, n);
    return n;
}

static size_t
take_header(char *bytes, size_t size, size_t count, void *arg)
{
    struct sea_s3_request *r = arg;
    size_t n = size * count;
    char line[512];

    snprintf(line, sizeof(line), "%.*s", (int)(n < sizeof(line) ? n : sizeof(line) - 1), bytes);
    line[strcspn(line, "\r\n")] = 0;
    if (strncasecmp(line, "HTTP/", 5) == 0)
        r->status = strtol(strchr(line, ' ') ? strchr(line, ' ') : line, NULL, 10);
    else if (strncasecmp(line, "ETag:", 5) == 0)
        snprintf(r->etag, sizeof(r->etag), "%.159s", line + 5 + strspn(line + 5, " "));
    else if (strncasecmp(line, "Date:", 5) == 0)
        r->date = curl_getdate(line + 5, NULL);
    else if (strncasecmp(line, "Content-Length:", 15) == 0)
        r->length = strtoull(line + 15, NULL, 10);
    return n;
}

static size_t
give_body(char *bytes, size_t size, size_t count, void *arg)
{
    struct sea_s3_request *r = arg;
    int64_t left = r->count - r->sent;
    size_t room = size * count;
    ssize_t n;

    if ((int64_t)room > left)
        room = (size_t)left;
    if (!room)
        return 0;
    n = pread(r->body, bytes, room, r->from + r->sent);
    if (n <= 0)
        return CURL_READFUNC_ABORT;
    r->sent += n;
    return (size_t)n;
}

static int
rewind_body(void *arg, curl_off_t offset, int origin)
{
    struct sea_s3_request *r = arg;

    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    r->sent = offset;
    return CURL_SEEKFUNC_OK;
}

/* libcurl's own limit is of a mean over seconds, which a fast beginning keeps up. */
static int
watch_stall(void *arg, curl_off_t all_down, curl_off_t down, curl_off_t all_up, curl_off_t up)
{
    struct sea_s3_request *r = arg;
    int64_t now = sea_clock_ms();

    (void)all_down, (void)all_up;
    if (down + up != r->moved || !r->moved_ms) {
        r->moved = down + up;
        r->moved_ms = now;
    }
    r->is_stalled = now - r->moved_ms > r->s3->set.stall_ms;
    return r->is_stalled;
}

static struct curl_slist *
append(struct curl_slist *list, const char *name, const char *value)
{
    char line[2300];

    snprintf(line, sizeof(line), "%s: %s", name, value);
    return curl_slist_append(list, line);
}

/* Address and signed headers of a request, for this very second. */
static enum sea_status
prepare(struct sea_s3 *s3, const struct sea_s3_request *r, struct sea_buf *url,
        struct curl_slist **list, struct sea_err *err)
{
    const struct sea_s3_settings *set = &s3->set;
    struct sea_sigv4_keys keys = { set->access, set->secret, set->region, "s3" };
    const char *host = strstr(set->endpoint, "://");
    char path[SEA_PATH_MAX], at[SEA_SIGV4_TIME];
    struct sea_sigv4_pair headers[5] = {
        { "host", host ? host + 3 : set->endpoint }, { "x-amz-content-sha256", r->sha256 },
        { "x-amz-date", at } };
    struct sea_sigv4_request sign = { .method = r->method, .path = path, .query = r->query,
        .query_count = r->query_count, .headers = headers, .headers_count = 3,
        .payload_sha256 = r->sha256 };
    struct sea_buf value;
    enum sea_status status;
    size_t i;

    if (r->only_new)
        headers[sign.headers_count++] = (struct sea_sigv4_pair){ "if-none-match", "*" };
    if (set->token[0])
        headers[sign.headers_count++] = (struct sea_sigv4_pair){ "x-amz-security-token",
                                                                 set->token };
    snprintf(path, sizeof(path), "/%s%s%s%s", set->bucket, r->key ? "/" : "",
             r->key ? set->prefix : "", r->key ? r->key : "");
    sea_sigv4_time((long long)time(NULL), at);
    sea_buf_init(&value, 4096);
    status = sea_sigv4_sign(&sign, &keys, at, &value, err);
    if (!status)
        status = sea_buf_printf(url, err, "%s", set->endpoint);
    if (!status)
        status = sea_sigv4_encode(path, 1, url, err);
    if (!status && r->query_count)
        status = sea_buf_append(url, "?", 1, err);
    if (!status)
        status = sea_sigv4_query(r->query, r->query_count, url, err);
    for (i = 0; i < sign.headers_count && !status; i++)
        *list = append(*list, headers[i].name, headers[i].value);
    if (!status) {
        *list = append(*list, "Authorization", value.data);
        *list = curl_slist_append(*list, "Expect:");
        *list = curl_slist_append(*list, "Content-Type:");
    }
    sea_buf_release(&value);
    return status;
}

static void
set_body(CURL *call, struct sea_s3_request *r)
{
    if (r->body >= 0) {
        curl_easy_setopt(call, CURLOPT_UPLOAD, 1L);
        curl_easy_setopt(call, CURLOPT_READFUNCTION, give_body);
        curl_easy_setopt(call, CURLOPT_READDATA, r);
        curl_easy_setopt(call, CURLOPT_SEEKFUNCTION, rewind_body);
        curl_easy_setopt(call, CURLOPT_SEEKDATA, r);
        curl_easy_setopt(call, CURLOPT_INFILESIZE_LARGE, (curl_off_t)r->count);
    } else if (r->text) {
        curl_easy_setopt(call, CURLOPT_POSTFIELDS, r->text);
        curl_easy_setopt(call, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)strlen(r->text));
    } else if (strcmp(r->method, "HEAD") == 0) {
        curl_easy_setopt(call, CURLOPT_NOBODY, 1L);
    }
    curl_easy_setopt(call, CURLOPT_CUSTOMREQUEST, r->method);
}

/* *code is libcurl's word. */
static enum sea_status
send_once(struct sea_s3 *s3, struct sea_s3_request *r, CURLcode *code, struct sea_err *err)
{
    struct curl_slist *list = NULL;
    struct sea_buf url;
    enum sea_status status;

    r->s3 = s3;
    r->status = 0;
    r->sent = r->moved = r->moved_ms = 0;
    r->is_stalled = false;
    r->etag[0] = 0;
    sea_buf_clear(&s3->answer);
    sea_buf_init(&url, 16384);
    status = prepare(s3, r, &url, &list, err);
    if (!status) {
        curl_easy_reset(s3->call);      /* keeps the connection */
        curl_easy_setopt(s3->call, CURLOPT_URL, url.data);
        curl_easy_setopt(s3->call, CURLOPT_PATH_AS_IS, 1L);
        curl_easy_setopt(s3->call, CURLOPT_PROTOCOLS_STR, "http,https");
        curl_easy_setopt(s3->call, CURLOPT_NOSIGNAL, 1L);
        curl_easy_setopt(s3->call, CURLOPT_CONNECTTIMEOUT_MS, (long)CONNECT_MS);
        curl_easy_setopt(s3->call, CURLOPT_XFERINFOFUNCTION, watch_stall);
        curl_easy_setopt(s3->call, CURLOPT_XFERINFODATA, r);
        curl_easy_setopt(s3->call, CURLOPT_NOPROGRESS, 0L);
        curl_easy_setopt(s3->call, CURLOPT_HTTPHEADER, list);
        curl_easy_setopt(s3->call, CURLOPT_HEADERFUNCTION, take_header);
        curl_easy_setopt(s3->call, CURLOPT_HEADERDATA, r);
        curl_easy_setopt(s3->call, CURLOPT_WRITEFUNCTION, take_body);
        curl_easy_setopt(s3->call, CURLOPT_WRITEDATA, r);
        curl_easy_setopt(s3->call, CURLOPT_USERAGENT, "sea");
        set_body(s3->call, r);
        *code = curl_easy_perform(s3->call);
    }
    curl_slist_free_all(list);
    sea_buf_release(&url);
    return status;
}

/* ---- patience ---- */

static enum sea_status
fail_status(const struct sea_s3 *s3, const struct sea_s3_request *r, struct sea_err *err)
{
    char code[80];
    enum sea_status status;

    sea_s3_code(s3, code);
    if (r->status == 404) {
        status = sea_fail(err, SEA_E_MISSING, "\"%s\" is not in bucket \"%s\"",
                          r->key ? r->key : "", s3->set.bucket);
    } else {
        status = sea_fail(err, r->status == 400 || r->status == 401 || r->status == 403
                               ? SEA_E_CONFIG : SEA_E_SERVICE,
                          "the store answered %s of \"%s\" with status %ld%s%s", r->method,
                          r->key ? r->key : s3->set.bucket, r->status, *code ? ", " : "", code);
        sea_hint(err, strcmp(code, "RequestTimeTooSkewed") == 0
                      ? "This machine's clock is wrong by more than the store allows."
                      : r->status == 403 ? "Check the access key, its rights to the bucket, and "
                      "store.region." : "It was tried several times; see the store's own log.");
    }
    return status;
}

static bool
is_passing(const struct sea_s3 *s3, const struct sea_s3_request *r, CURLcode code)
{
    char said[80];

    if (!r->is_stalled && (code == CURLE_WRITE_ERROR || code == CURLE_ABORTED_BY_CALLBACK))
        return false;
    if (code)
        return true;
    sea_s3_code(s3, said);
    return r->status == 429 || r->status >= 500 || strcmp(said, "RequestTimeout") == 0 ||
           strcmp(said, "SlowDown") == 0;
}

enum sea_status
sea_s3_send(struct sea_s3 *s3, struct sea_s3_request *r, struct sea_err *err)
{
    int64_t pause = s3->set.pause_ms;
    CURLcode code = CURLE_OK;
    enum sea_status status;
    int try;

    for (try = 1;; try++) {
        if (r->target >= 0 && (ftruncate(r->target, 0) || lseek(r->target, 0, SEEK_SET)))
            return sea_fail_errno(err, "could not begin the file of \"%s\" anew", r->key);
        sea_hash_destroy(r->hash);
        r->hash = r->target >= 0 ? sea_hash_create() : NULL;
        status = send_once(s3, r, &code, err);
        if (status || try == TRIES || !is_passing(s3, r, code))
            break;
        sea_log(SEA_LOG_DEBUG, "store: %s of \"%s\" again after %s, status %ld", r->method,
                r->key ? r->key : "", curl_easy_strerror(code), r->status);
        s3->dice = s3->dice * 1664525u + 1013904223u;
        sea_clock_sleep_ms(pause / 2 + (int64_t)((s3->dice >> 8) % (uint32_t)(pause / 2 + 1)));
        pause = pause < 32 * s3->set.pause_ms ? 2 * pause : pause;
    }
    if (status || (!code && r->status < 300))
        return status;
    if (r->write_errno) {
        errno = r->write_errno;
        return sea_fail_errno(err, "could not write \"%s\"", r->key);
    }
    if (code) {
        status = sea_fail(err, SEA_E_SERVICE, "the store at %s: %s", s3->set.endpoint,
                          r->is_stalled ? "nothing moved any more" : curl_easy_strerror(code));
        sea_hint(err, "It was tried %d times. Check store.endpoint, and that the store runs.", try);
        return status;
    }
    return fail_status(s3, r, err);
}

