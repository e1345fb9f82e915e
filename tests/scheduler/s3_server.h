/* SPDX-License-Identifier: Apache-2.0 */
/*
 * s3_server.h - a bucket on the loopback, in memory, with faults on demand
 *
 * Speaks as much of S3 as the store uses, and checks what a real one checks: the signature, by a
 * canonical request made of the raw request line and the headers as they came, and the SHA-256 of
 * the body. Faults are taken from a list, one per request; then all is well.
 */
#ifndef S3_SERVER_H
#define S3_SERVER_H

#include <pthread.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include <microhttpd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_hash.h"
#include "tests/sea_test.h"

#define S3_BODY_MAX ((size_t)64 << 20)
#define S3_PAGE 3               /* keys per page of a list */
#define S3_ACCESS "AKIDTEST"
#define S3_SECRET "a/secret+of=tests"
#define S3_REGION "eu-test-1"

struct s3_object {
    char key[1024];
    char upload[40];            /* part of this upload; "": an object */
    int part;
    char *bytes;
    size_t len;
    time_t at;
    struct s3_object *next;
};

struct s3_server {
    struct MHD_Daemon *daemon;
    char endpoint[64];
    pthread_mutex_t lock;
    struct s3_object *objects;
    const char *faults[64];     /* "500", "503", "slow", "lost", "cut", "corrupt", "stall" */
    int faults_count, faults_met;
    int seen, refused, uploads; /* requests; signatures that were wrong; uploads begun */
    int age_s;                  /* objects look older by so much */
};

struct s3_call {                /* one request */
    char *uri;                  /* as it came */
    struct sea_buf body;
    bool begun;
};

static inline void *
s3_raw(void *arg, const char *uri, struct MHD_Connection *connection)
{
    struct s3_call *call = sea_xcalloc(1, sizeof(*call));

    (void)arg, (void)connection;
    call->uri = sea_xstrdup(uri);
    sea_buf_init(&call->body, S3_BODY_MAX);
    return call;
}

static inline void
s3_done(void *arg, struct MHD_Connection *connection, void **state,
        enum MHD_RequestTerminationCode how)
{
    struct s3_call *call = *state;

    (void)arg, (void)connection, (void)how;
    if (call) {
        free(call->uri);
        sea_buf_release(&call->body);
        free(call);
    }
    *state = NULL;
}

/* ---- the signature, once more ---- */

static inline void
s3_hmac(const unsigned char *key, size_t key_len, const char *text, unsigned char out[32])
{
    unsigned char pad[64] = { 0 }, inner[32];
    char hex[SEA_SHA256_TEXT];
    struct sea_hash *hash = sea_hash_create();
    int round, i;

    for (round = 0; round < 2; round++) {
        memset(pad, round ? 0x5c : 0x36, sizeof(pad));
        for (i = 0; i < (int)key_len && i < 64; i++)
            pad[i] ^= key[i];
        sea_hash_add(hash, pad, sizeof(pad));
        if (round)
            sea_hash_add(hash, inner, sizeof(inner));
        else
            sea_hash_add(hash, text, strlen(text));
        sea_hash_finish(hash, hex);
        for (i = 0; i < 32; i++) {
            unsigned byte;

            sscanf(hex + 2 * i, "%2x", &byte);
            (round ? out : inner)[i] = (unsigned char)byte;
        }
    }
    sea_hash_destroy(hash);
}

static inline int
s3_by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

static inline bool
s3_is_signed(struct MHD_Connection *connection, const char *method, const char *uri)
{
    const char *said = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "Authorization");
    const char *date = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-amz-date");
    const char *digest = MHD_lookup_connection_value(connection, MHD_HEADER_KIND,
                                                     "x-amz-content-sha256");
    char names[200] = "", signature[80] = "", scope[200], copy[4096], day[16], hex[SEA_SHA256_TEXT];
    char to_sign[500], want[80], *parts[16], *at;
    unsigned char key[32];
    const char *query = strchr(uri, '?'), *name;
    struct sea_buf text;
    size_t count = 0, i;

    if (!said || !date || !digest ||
        sscanf(strstr(said, "SignedHeaders=") ? strstr(said, "SignedHeaders=") : "",
               "SignedHeaders=%199[^,],Signature=%79s", names, signature) != 2)
        return false;
    sea_buf_init(&text, 65536);
    sea_buf_addf(&text, "%s\n%.*s\n", method, (int)(query ? query - uri : (long)strlen(uri)), uri);
    snprintf(copy, sizeof(copy), "%s", query ? query + 1 : "");
    for (at = copy; *at && count < 16; at += strcspn(at, "&")) {
        if (*at == '&')
            *at++ = 0;
        parts[count++] = at;
    }
    qsort(parts, count, sizeof(*parts), s3_by_text);
    for (i = 0; i < count; i++)
        sea_buf_addf(&text, "%s%s", i ? "&" : "", parts[i]);
    sea_buf_puts(&text, "\n");
    for (name = names; *name; name += strcspn(name, ";") + (name[strcspn(name, ";")] == ';')) {
        char one[80];

        snprintf(one, sizeof(one), "%.*s", (int)strcspn(name, ";"), name);
        sea_buf_addf(&text, "%s:%s\n", one,
                     MHD_lookup_connection_value(connection, MHD_HEADER_KIND, one));
    }
    sea_buf_addf(&text, "\n%s\n%s", names, digest);
    sea_hash_bytes(text.data, text.len, hex);
    sea_buf_release(&text);
    snprintf(day, sizeof(day), "%.8s", date);
    snprintf(scope, sizeof(scope), "%s/" S3_REGION "/s3/aws4_request", day);
    snprintf(to_sign, sizeof(to_sign), "AWS4-HMAC-SHA256\n%s\n%s\n%s", date, scope, hex);
    s3_hmac((const unsigned char *)"AWS4" S3_SECRET, strlen("AWS4" S3_SECRET), day, key);
    s3_hmac(key, 32, S3_REGION, key);
    s3_hmac(key, 32, "s3", key);
    s3_hmac(key, 32, "aws4_request", key);
    s3_hmac(key, 32, to_sign, key);
    for (i = 0; i < 32; i++)
        snprintf(want + 2 * i, 3, "%02x", key[i]);
    return strcmp(want, signature) == 0 && strstr(said, "Credential=" S3_ACCESS "/") &&
           strstr(names, "host") && strstr(names, "x-amz-content-sha256");
}

/* ---- answers ---- */

static inline enum MHD_Result
s3_answer(struct MHD_Connection *connection, unsigned status, const char *bytes, size_t len,
          const char *etag)
{
    struct MHD_Response *response = MHD_create_response_from_buffer(len, (void *)(uintptr_t)bytes,
                                                                    MHD_RESPMEM_MUST_COPY);
    enum MHD_Result sent;

    if (etag)
        MHD_add_response_header(response, "ETag", etag);
    sent = MHD_queue_response(connection, status, response);
    MHD_destroy_response(response);
    return sent;
}

static inline enum MHD_Result
s3_code(struct MHD_Connection *connection, unsigned status, const char *code)
{
    char text[200];

    snprintf(text, sizeof(text), "<?xml version=\"1.0\"?><Error><Code>%s</Code></Error>", code);
    return s3_answer(connection, status, text, strlen(text), NULL);
}

/* Half of what the length promises, then the connection ends; or a byte that is not the one. */
static inline ssize_t
s3_half(void *arg, uint64_t at, char *to, size_t room)
{
    (void)arg;
    if (at >= 10)
        return MHD_CONTENT_READER_END_WITH_ERROR;
    memset(to, 'x', room < 10 ? room : 10);
    return room < 10 ? (ssize_t)room : 10;
}

static inline struct s3_object **
s3_find(struct s3_server *s, const char *key, const char *upload, int part)
{
    struct s3_object **at = &s->objects;

    /* Sorted by key, so that lists are in order. */
    while (*at && (strcmp((*at)->key, key) < 0 ||
                   (strcmp((*at)->key, key) == 0 &&
                    (strcmp((*at)->upload, upload) != 0 || (*at)->part != part))))
        at = &(*at)->next;
    return at;
}

static inline bool
s3_is(const struct s3_object *o, const char *key, const char *upload, int part)
{
    return o && strcmp(o->key, key) == 0 && strcmp(o->upload, upload) == 0 && o->part == part;
}

static inline void
s3_store(struct s3_server *s, const char *key, const char *upload, int part, const char *bytes,
         size_t len)
{
    struct s3_object **at = s3_find(s, key, upload, part), *o = *at;

    if (!s3_is(o, key, upload, part)) {
        o = sea_xcalloc(1, sizeof(*o));
        snprintf(o->key, sizeof(o->key), "%s", key);
        snprintf(o->upload, sizeof(o->upload), "%s", upload);
        o->part = part;
        o->next = *at;
        *at = o;
    }
    free(o->bytes);
    o->bytes = sea_xcalloc(1, len + 1);
    if (len)
        memcpy(o->bytes, bytes, len);
    o->len = len;
    o->at = time(NULL);
}

/* Parts of an upload, or with upload "" the object. */
static inline int
s3_drop(struct s3_server *s, const char *key, const char *upload)
{
    struct s3_object **at = &s->objects, *o;
    int dropped = 0;

    while ((o = *at)) {
        if (strcmp(o->key, key) == 0 && strcmp(o->upload, upload) == 0) {
            *at = o->next;
            free(o->bytes);
            free(o);
            dropped++;
        } else {
            at = &o->next;
        }
    }
    return dropped;
}

static inline enum MHD_Result
s3_list(struct s3_server *s, struct MHD_Connection *connection)
{
    const char *prefix = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "prefix");
    const char *after = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND,
                                                    "continuation-token");
    struct s3_object *o;
    struct sea_buf text;
    enum MHD_Result sent;
    const char *last = "";
    int n = 0;

    sea_buf_init(&text, 1 << 20);
    sea_buf_puts(&text, "<?xml version=\"1.0\"?><ListBucketResult>");
    for (o = s->objects; o; o = o->next) {
        time_t at = o->at - s->age_s;
        struct tm parts;
        char when[40];

        if (o->upload[0] || strncmp(o->key, prefix, strlen(prefix)) != 0 ||
            (after && strcmp(o->key, after) <= 0))
            continue;
        if (n++ == S3_PAGE) {
            sea_buf_addf(&text, "<IsTruncated>true</IsTruncated><NextContinuationToken>%s"
                         "</NextContinuationToken>", last);
            break;
        }
        gmtime_r(&at, &parts);
        strftime(when, sizeof(when), "%Y-%m-%dT%H:%M:%S.000Z", &parts);
        sea_buf_addf(&text, "<Contents><Key>%s</Key><LastModified>%s</LastModified>"
                     "<Size>%zu</Size></Contents>", o->key, when, o->len);
        last = o->key;
    }
    sea_buf_puts(&text, "</ListBucketResult>");
    sent = s3_answer(connection, 200, text.data, text.len, NULL);
    sea_buf_release(&text);
    return sent;
}

static inline enum MHD_Result
s3_complete(struct s3_server *s, struct MHD_Connection *connection, const char *key,
            const char *upload, bool only_new)
{
    struct s3_object *o;
    struct sea_buf all;
    int parts = 0;

    if (only_new && s3_is(*s3_find(s, key, "", 0), key, "", 0))
        return s3_code(connection, 412, "PreconditionFailed");
    sea_buf_init(&all, S3_BODY_MAX);
    for (;; parts++) {
        o = *s3_find(s, key, upload, parts + 1);
        if (!s3_is(o, key, upload, parts + 1))
            break;
        sea_buf_add(&all, o->bytes, o->len);
    }
    if (parts) {
        s3_drop(s, key, upload);
        s3_store(s, key, "", 0, all.data, all.len);
    }
    sea_buf_release(&all);
    return parts ? s3_answer(connection, 200, "<CompleteMultipartUploadResult/>", 32, "\"whole\"")
                 : s3_code(connection, 404, "NoSuchUpload");
}

/* ---- the request ---- */

static inline enum MHD_Result
s3_serve(struct s3_server *s, struct MHD_Connection *connection, const char *method,
         const char *path, const struct sea_buf *body)
{
    const char *upload = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND, "uploadId");
    const char *number = MHD_lookup_connection_value(connection, MHD_GET_ARGUMENT_KIND,
                                                     "partNumber");
    bool only_new = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "If-None-Match");
    const char *key = strchr(path + 1, '/');
    struct s3_object *o;
    char id[40], text[200];

    key = key ? key + 1 : "";
    o = *s3_find(s, key, "", 0);
    o = s3_is(o, key, "", 0) ? o : NULL;
    if (strcmp(method, "POST") == 0 && upload)
        return s3_complete(s, connection, key, upload, only_new);
    if (strcmp(method, "POST") == 0) {
        snprintf(id, sizeof(id), "up+/%d=", ++s->uploads);
        snprintf(text, sizeof(text), "<R><UploadId>%s</UploadId></R>", id);
        return s3_answer(connection, 200, text, strlen(text), NULL);
    }
    if (strcmp(method, "PUT") == 0 && number) {
        s3_store(s, key, upload, (int)strtol(number, NULL, 10), body->data, body->len);
        return s3_answer(connection, 200, "", 0, "\"part\"");
    }
    if (strcmp(method, "PUT") == 0) {
        if (only_new && o)
            return s3_code(connection, 412, "PreconditionFailed");
        s3_store(s, key, "", 0, body->len ? body->data : "", body->len);
        return s3_answer(connection, 200, "", 0, "\"whole\"");
    }
    if (strcmp(method, "DELETE") == 0) {
        s3_drop(s, key, upload ? upload : "");
        return s3_answer(connection, 204, "", 0, NULL);
    }
    if (!*key)
        return s3_list(s, connection);
    return o ? s3_answer(connection, 200, o->bytes, o->len, "\"whole\"")
             : s3_code(connection, 404, "NoSuchKey");
}

/* Moves nothing until somebody asks again; the caller has the lock, and gets it back. */
static inline void
s3_stall(struct s3_server *s)
{
    int seen = s->seen, turn;

    for (turn = 0; turn < 6000 && s->seen == seen; turn++) {
        pthread_mutex_unlock(&s->lock);
        sea_clock_sleep_ms(5);
        pthread_mutex_lock(&s->lock);
    }
}

/* *sent when the fault took the place of the answer. */
static inline enum MHD_Result
s3_fault(struct s3_server *s, struct MHD_Connection *connection, const char *fault, bool *sent)
{
    struct MHD_Response *response;
    enum MHD_Result result = MHD_YES;

    *sent = true;
    if (strcmp(fault, "500") == 0)
        return s3_code(connection, 500, "InternalError");
    if (strcmp(fault, "503") == 0)
        return s3_answer(connection, 503, "", 0, NULL);
    if (strcmp(fault, "slow") == 0)
        return s3_code(connection, 503, "SlowDown");
    if (strcmp(fault, "drop") == 0)
        return MHD_NO;
    if (strcmp(fault, "cut") == 0) {
        response = MHD_create_response_from_callback(1000, 512, s3_half, s, NULL);
        result = MHD_queue_response(connection, 200, response);
        MHD_destroy_response(response);
        return result;
    }
    if (strcmp(fault, "corrupt") == 0)
        return s3_answer(connection, 200, "not what was asked for", 22, "\"whole\"");
    if (strcmp(fault, "stall") == 0)
        s3_stall(s);
    *sent = false;
    return result;
}

static inline enum MHD_Result
s3_handle(void *arg, struct MHD_Connection *connection, const char *url, const char *method,
          const char *version, const char *bytes, size_t *len, void **state)
{
    struct s3_server *s = arg;
    struct s3_call *call = *state;
    const char *fault = NULL, *digest;
    struct sea_err err = { 0 };
    char hex[SEA_SHA256_TEXT];
    enum MHD_Result result;
    bool sent = false;

    (void)version;
    if (!call->begun) {
        call->begun = true;
        return MHD_YES;
    }
    if (*len) {
        if (sea_buf_append(&call->body, bytes, *len, &err))
            return MHD_NO;
        *len = 0;
        return MHD_YES;
    }
    digest = MHD_lookup_connection_value(connection, MHD_HEADER_KIND, "x-amz-content-sha256");
    pthread_mutex_lock(&s->lock);
    s->seen++;
    if (s->faults_met < s->faults_count)
        fault = s->faults[s->faults_met++];
    sea_hash_bytes(call->body.len ? call->body.data : "", call->body.len, hex);
    if (!s3_is_signed(connection, method, call->uri)) {
        s->refused++;
        result = s3_code(connection, 403, "SignatureDoesNotMatch");
    } else if (strcmp(hex, digest) != 0) {
        result = s3_code(connection, 400, "XAmzContentSHA256Mismatch");
    } else if (fault && strcmp(fault, "lost") == 0) {
        /* Done, and never told: the answer goes to a connection that is closed. */
        s3_serve(s, connection, method, url, &call->body);
        result = MHD_NO;
    } else {
        result = fault ? s3_fault(s, connection, fault, &sent) : MHD_YES;
        if (!sent)
            result = s3_serve(s, connection, method, url, &call->body);
    }
    pthread_mutex_unlock(&s->lock);
    return result;
}

static inline void
s3_start(struct s3_server *s)
{
    const union MHD_DaemonInfo *info;

    memset(s, 0, sizeof(*s));
    pthread_mutex_init(&s->lock, NULL);
    s->daemon = MHD_start_daemon(MHD_USE_THREAD_PER_CONNECTION | MHD_USE_INTERNAL_POLLING_THREAD, 0,
                                 NULL, NULL, s3_handle, s,
                                 MHD_OPTION_URI_LOG_CALLBACK, s3_raw, s,
                                 MHD_OPTION_NOTIFY_COMPLETED, s3_done, s, MHD_OPTION_END);
    info = s->daemon ? MHD_get_daemon_info(s->daemon, MHD_DAEMON_INFO_BIND_PORT) : NULL;
    if (!info)
        abort();
    snprintf(s->endpoint, sizeof(s->endpoint), "http://127.0.0.1:%u", (unsigned)info->port);
}

static inline void
s3_stop(struct s3_server *s)
{
    MHD_stop_daemon(s->daemon);
    while (s->objects) {
        struct s3_object *o = s->objects;

        s->objects = o->next;
        free(o->bytes);
        free(o);
    }
}

/* The next requests meet these, one each. */
static inline void
s3_faults(struct s3_server *s, const char *const *faults, int count)
{
    int i;

    pthread_mutex_lock(&s->lock);
    for (i = 0; i < count; i++)
        s->faults[i] = faults[i];
    s->faults_count = count;
    s->faults_met = 0;
    pthread_mutex_unlock(&s->lock);
}

static inline int
s3_count(struct s3_server *s, bool parts)
{
    struct s3_object *o;
    int n = 0;

    pthread_mutex_lock(&s->lock);
    for (o = s->objects; o; o = o->next)
        n += (o->upload[0] != 0) == parts;
    pthread_mutex_unlock(&s->lock);
    return n;
}

#endif
