/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_s3.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include <curl/curl.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_log.h"
#include "scheduler/sea_sigv4.h"

#define TRIES 7
#define ANSWER_BYTES_MAX ((size_t)64 << 20)     /* of XML */
#define CONNECT_MS 10000
#define HASH_CHUNK ((size_t)1 << 20)
#define PARTS_MAX 10000
#define EMPTY_SHA256 "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"
#define QUERY_MAX 4

struct sea_s3 {
    struct sea_s3_settings set;
    CURL *call;
    struct sea_buf answer;      /* the body, when it is not written to a file */
    uint32_t dice;
};

struct request {
    const char *method, *key;   /* key NULL: the bucket */
    struct sea_sigv4_pair query[QUERY_MAX];
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
    sea_buf_init(&s3->answer, ANSWER_BYTES_MAX);
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
    struct request *r = arg;
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
    struct request *r = arg;
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
    struct request *r = arg;
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
    struct request *r = arg;

    if (origin != SEEK_SET)
        return CURL_SEEKFUNC_CANTSEEK;
    r->sent = offset;
    return CURL_SEEKFUNC_OK;
}

/* libcurl's own limit is of a mean over seconds, which a fast beginning keeps up. */
static int
watch_stall(void *arg, curl_off_t all_down, curl_off_t down, curl_off_t all_up, curl_off_t up)
{
    struct request *r = arg;
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
prepare(struct sea_s3 *s3, const struct request *r, struct sea_buf *url, struct curl_slist **list,
        struct sea_err *err)
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
set_body(CURL *call, struct request *r)
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
send_once(struct sea_s3 *s3, struct request *r, CURLcode *code, struct sea_err *err)
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

/* ---- what the server says ---- */

/* The text of the first <TAG> after *at, up to end; false when there is none. */
static bool
xml_text(const char **at, const char *end, const char *tag, char *out, size_t room)
{
    static const struct { const char *name; char means; } entities[] = {
        { "&amp;", '&' }, { "&lt;", '<' }, { "&gt;", '>' }, { "&quot;", '"' }, { "&apos;", '\'' } };
    char open[40], close[40];
    const char *from, *to;
    size_t n = 0, i;

    snprintf(open, sizeof(open), "<%s>", tag);
    snprintf(close, sizeof(close), "</%s>", tag);
    from = strstr(*at, open);
    to = from ? strstr(from, close) : NULL;
    if (!to || to > end)
        return false;
    for (from += strlen(open); from < to && n + 1 < room; n++) {
        out[n] = *from++;
        for (i = 0; out[n] == '&' && i < sizeof(entities) / sizeof(entities[0]); i++)
            if (strncmp(from - 1, entities[i].name, strlen(entities[i].name)) == 0) {
                out[n] = entities[i].means;
                from += strlen(entities[i].name) - 1;
                break;
            }
    }
    out[n] = 0;
    *at = to + strlen(close);
    return true;
}

static void
server_code(const struct sea_s3 *s3, char out[80])
{
    const char *at = s3->answer.data;

    out[0] = 0;
    if (s3->answer.len && !xml_text(&at, s3->answer.data + s3->answer.len, "Code", out, 80))
        out[0] = 0;
}

static enum sea_status
fail_status(const struct sea_s3 *s3, const struct request *r, struct sea_err *err)
{
    char code[80];
    enum sea_status status;

    server_code(s3, code);
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
is_passing(const struct sea_s3 *s3, const struct request *r, CURLcode code)
{
    char said[80];

    if (!r->is_stalled && (code == CURLE_WRITE_ERROR || code == CURLE_ABORTED_BY_CALLBACK))
        return false;
    if (code)
        return true;
    server_code(s3, said);
    return r->status == 429 || r->status >= 500 || strcmp(said, "RequestTimeout") == 0 ||
           strcmp(said, "SlowDown") == 0;
}

/* Sends until there is an answer that stands. again resets what the request writes. */
static enum sea_status
send_request(struct sea_s3 *s3, struct request *r, struct sea_err *err)
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

/* ---- one object ---- */

enum sea_status
sea_s3_look(struct sea_s3 *s3, const char *key, bool *exists, uint64_t *bytes,
            struct sea_err *err)
{
    struct request r = { .method = "HEAD", .key = key, .sha256 = EMPTY_SHA256, .body = -1,
                         .target = -1 };
    struct sea_err mine = { 0 };
    enum sea_status status = send_request(s3, &r, &mine);

    *exists = !status;
    *bytes = status ? 0 : r.length;
    if (status && status != SEA_E_MISSING) {
        *err = mine;
        return status;
    }
    return SEA_OK;
}

enum sea_status
sea_s3_remove(struct sea_s3 *s3, const char *key, struct sea_err *err)
{
    struct request r = { .method = "DELETE", .key = key, .sha256 = EMPTY_SHA256, .body = -1,
                         .target = -1 };
    struct sea_err mine = { 0 };
    enum sea_status status = send_request(s3, &r, &mine);

    if (status && status != SEA_E_MISSING)
        *err = mine;
    return status == SEA_E_MISSING ? SEA_OK : status;
}

enum sea_status
sea_s3_get(struct sea_s3 *s3, const char *key, const char *path, const char *sha256,
           struct sea_err *err)
{
    struct request r = { .method = "GET", .key = key, .sha256 = EMPTY_SHA256, .body = -1 };
    char got[SEA_SHA256_TEXT] = "";
    enum sea_status status;

    r.target = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    if (r.target < 0)
        return sea_fail_errno(err, "could not create \"%s\"", path);
    status = send_request(s3, &r, err);
    if (!status)
        sea_hash_finish(r.hash, got);
    if (!status && strcmp(got, sha256) != 0) {
        status = sea_fail(err, SEA_E_IO, "\"%s\" in bucket \"%s\" is corrupt: it hashes to %.12s..., "
                          "need %.12s...", key, s3->set.bucket, got, sha256);
        sea_hint(err, "Remove that object and submit the experiment that made it again.");
    }
    if (!status && fsync(r.target))
        status = sea_fail_errno(err, "could not write \"%s\" to disk", path);
    sea_hash_destroy(r.hash);
    close(r.target);
    if (status)
        unlink(path);
    return status;
}

/* ---- put ---- */

static enum sea_status
hash_range(int fd, int64_t from, int64_t count, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    char *chunk = sea_xcalloc(1, HASH_CHUNK);
    enum sea_status status = SEA_OK;
    int64_t done = 0;

    while (done < count && !status) {
        int64_t left = count - done;
        ssize_t n = pread(fd, chunk, left < (int64_t)HASH_CHUNK ? (size_t)left : HASH_CHUNK,
                          from + done);

        if (n > 0) {
            sea_hash_add(hash, chunk, (size_t)n);
            done += n;
        } else if (n == 0 || errno != EINTR) {
            status = sea_fail(err, SEA_E_IO, "a file became shorter while it was stored");
        }
    }
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    free(chunk);
    return status;
}

/* Another one was first: 412 on the condition, 409 while it is still writing. */
static bool
was_first(const struct request *r, bool only_new)
{
    return only_new && (r->status == 412 || r->status == 409);
}

static enum sea_status
put_whole(struct sea_s3 *s3, const char *key, int fd, int64_t bytes, bool only_new,
          bool *was_there, struct sea_err *err)
{
    char sha256[SEA_SHA256_TEXT];
    struct request r = { .method = "PUT", .key = key, .sha256 = sha256, .body = fd, .count = bytes,
                         .only_new = only_new, .target = -1 };
    struct sea_err mine = { 0 };
    enum sea_status status = hash_range(fd, 0, bytes, sha256, err);

    if (!status) {
        status = send_request(s3, &r, &mine);
        *was_there = status && was_first(&r, only_new);
        if (*was_there)
            status = SEA_OK;
        else if (status)
            *err = mine;
    }
    return status;
}

static enum sea_status
begin_parts(struct sea_s3 *s3, const char *key, char id[400], struct sea_err *err)
{
    struct request r = { .method = "POST", .key = key, .sha256 = EMPTY_SHA256, .body = -1,
                         .text = "", .target = -1, .query = { { "uploads", "" } },
                         .query_count = 1 };
    enum sea_status status = send_request(s3, &r, err);
    const char *at = s3->answer.data;

    if (!status && (!s3->answer.len ||
                    !xml_text(&at, s3->answer.data + s3->answer.len, "UploadId", id, 400)))
        status = sea_fail(err, SEA_E_SERVICE, "the store gave no id for the parts of \"%s\"", key);
    return status;
}

static enum sea_status
put_part(struct sea_s3 *s3, const char *key, const char *id, int fd, int64_t from, int64_t count,
         int number, struct sea_buf *list, struct sea_err *err)
{
    char sha256[SEA_SHA256_TEXT], text[16];
    struct request r = { .method = "PUT", .key = key, .sha256 = sha256, .body = fd, .from = from,
                         .count = count, .target = -1,
                         .query = { { "partNumber", text }, { "uploadId", id } },
                         .query_count = 2 };
    enum sea_status status = hash_range(fd, from, count, sha256, err);

    snprintf(text, sizeof(text), "%d", number);
    if (!status)
        status = send_request(s3, &r, err);
    if (!status && (!r.etag[0] || strpbrk(r.etag, "<>&")))
        status = sea_fail(err, SEA_E_SERVICE, "the store named no part %d of \"%s\"", number, key);
    return status ? status
                  : sea_buf_printf(list, err, "<Part><PartNumber>%d</PartNumber><ETag>%s</ETag></Part>",
                                   number, r.etag);
}

static enum sea_status
end_parts(struct sea_s3 *s3, const char *key, const char *id, const char *list, bool only_new,
          bool *was_there, struct sea_err *err)
{
    char sha256[SEA_SHA256_TEXT], code[80];
    struct request r = { .method = "POST", .key = key, .sha256 = sha256, .body = -1, .text = list,
                         .only_new = only_new, .target = -1, .query = { { "uploadId", id } },
                         .query_count = 1 };
    struct sea_err mine = { 0 };
    enum sea_status status;

    sea_hash_bytes(list, strlen(list), sha256);
    status = send_request(s3, &r, &mine);
    server_code(s3, code);
    /* The status is sent before the work: a failure may stand in the text of a 200. */
    if (!status && code[0])
        status = sea_fail(&mine, SEA_E_SERVICE, "the store could not put the parts of \"%s\" "
                          "together: %s", key, code);
    *was_there = was_first(&r, only_new);
    if (status && !*was_there)
        *err = mine;
    return *was_there ? SEA_E_MISSING : status; /* the caller removes the parts */
}

static void
drop_parts(struct sea_s3 *s3, const char *key, const char *id)
{
    struct request r = { .method = "DELETE", .key = key, .sha256 = EMPTY_SHA256, .body = -1,
                         .target = -1, .query = { { "uploadId", id } }, .query_count = 1 };
    struct sea_err mine = { 0 };

    if (send_request(s3, &r, &mine) && mine.status != SEA_E_MISSING)
        sea_log_err(SEA_LOG_WARN, &mine);
}

static enum sea_status
put_parts(struct sea_s3 *s3, const char *key, int fd, int64_t bytes, bool only_new,
          bool *was_there, struct sea_err *err)
{
    int64_t size = s3->set.part_bytes, from;
    struct sea_buf list;
    char id[400];
    enum sea_status status;
    int number = 0;

    while ((bytes + size - 1) / size > PARTS_MAX)
        size *= 2;
    status = begin_parts(s3, key, id, err);
    if (status)
        return status;
    sea_buf_init(&list, ANSWER_BYTES_MAX);
    status = sea_buf_printf(&list, err, "<CompleteMultipartUpload>");
    for (from = 0; from < bytes && !status; from += size)
        status = put_part(s3, key, id, fd, from, bytes - from < size ? bytes - from : size,
                          ++number, &list, err);
    if (!status)
        status = sea_buf_printf(&list, err, "</CompleteMultipartUpload>");
    if (!status)
        status = end_parts(s3, key, id, list.data, only_new, was_there, err);
    if (status)
        drop_parts(s3, key, id);
    sea_buf_release(&list);
    if (status == SEA_E_MISSING && !*was_there) {
        struct sea_err asking = { 0 };
        uint64_t there = 0;
        bool exists = false;

        /* The parts are gone: an earlier try, whose answer was lost, had put them together. */
        if (!sea_s3_look(s3, key, &exists, &there, &asking) && exists && there == (uint64_t)bytes) {
            sea_err_clear(err);
            status = SEA_OK;
        }
    }
    return *was_there ? SEA_OK : status;
}

enum sea_status
sea_s3_put(struct sea_s3 *s3, const char *key, const char *path, bool only_new, bool *was_there,
           struct sea_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum sea_status status;
    struct stat st;

    *was_there = false;
    if (fd < 0 || fstat(fd, &st)) {
        sea_fail_errno(err, "could not open \"%s\"", path);
        if (fd >= 0)
            close(fd);
        return err->status;
    }
    status = st.st_size > s3->set.part_bytes
                 ? put_parts(s3, key, fd, st.st_size, only_new, was_there, err)
                 : put_whole(s3, key, fd, st.st_size, only_new, was_there, err);
    close(fd);
    return status;
}

/* ---- list ---- */

/* "2026-01-31T12:00:00.000Z" */
static time_t
read_time(const char *text)
{
    struct tm parts = { 0 };

    return strptime(text, "%Y-%m-%dT%H:%M:%S", &parts) ? timegm(&parts) : 0;
}

/* One page of the list. *more gets the token of the next one, "" at the end. */
static enum sea_status
list_page(struct sea_s3 *s3, char *page, time_t date, sea_s3_fn *fn, void *arg, char more[1100],
          struct sea_err *err)
{
    size_t skip = strlen(s3->set.prefix);
    char key[1100], size[32], at_text[40];
    const char *at = page, *item, *end;
    enum sea_status status = SEA_OK;

    while (!status && (item = strstr(at, "<Contents>")) && (end = strstr(item, "</Contents>"))) {
        const char *a = item, *b = item, *c = item;
        time_t when;

        if (!xml_text(&a, end, "Key", key, sizeof(key)) ||
            !xml_text(&b, end, "Size", size, sizeof(size)) ||
            !xml_text(&c, end, "LastModified", at_text, sizeof(at_text)) || strlen(key) < skip)
            return sea_fail(err, SEA_E_SERVICE, "the store's list cannot be read");
        when = read_time(at_text);
        status = fn(arg, key + skip, strtoull(size, NULL, 10),
                    when && date ? ((int64_t)date - (int64_t)when) * 1000 : 0, err);
        at = end;
    }
    at = page;
    if (!xml_text(&at, page + strlen(page), "NextContinuationToken", more, 1100))
        more[0] = 0;
    return status;
}

enum sea_status
sea_s3_list(struct sea_s3 *s3, const char *prefix, sea_s3_fn *fn, void *arg,
            struct sea_err *err)
{
    char more[1100] = "", below[600];
    enum sea_status status;

    snprintf(below, sizeof(below), "%.250s%.300s", s3->set.prefix, prefix);
    do {
        struct request r = { .method = "GET", .sha256 = EMPTY_SHA256, .body = -1, .target = -1,
                             .query = { { "list-type", "2" }, { "prefix", below },
                                        { "continuation-token", more } },
                             .query_count = more[0] ? 3 : 2 };
        char *page;

        status = send_request(s3, &r, err);
        if (status)
            break;
        /* fn may use the session: the page is ours. */
        page = sea_xstrdup(s3->answer.len ? s3->answer.data : "");
        status = list_page(s3, page, r.date, fn, arg, more, err);
        free(page);
    } while (!status && more[0]);
    return status;
}
