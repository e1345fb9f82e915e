/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The store in a bucket: PREFIX/ab/abcdef... for blobs, PREFIX/checkpoint/NAME/PATH for
 * checkpoints. What was read or written lies in the store's folder, too.
 *
 * A blob that is at hand may be gone from the bucket, because another machine's collector
 * removed it: publishing asks the bucket each time, and never takes the folder's word.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_log.h"
#include "engine/base/sea_node.h"
#include "scheduler/sea_secret.h"
#include "scheduler/store_int.h"

#define SETTINGS_BYTES_MAX ((size_t)1 << 20)
#define KEYS_BYTES_MAX ((size_t)8192)
#define PART_MIB 64
#define PART_MIB_MIN 5          /* the protocol's own limit */
#define STALL_MS 30000
#define PAUSE_MS 200

/* ---- settings ---- */

static enum sea_status
put_text(char *out, size_t room, const char *what, const char *value, struct sea_err *err)
{
    if ((size_t)snprintf(out, room, "%s", value) < room && !strpbrk(value, "\r\n"))
        return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG, "%s of the store is longer than %zu bytes, or no single line",
                    what, room - 1);
}

/* "s3://bucket/a/prefix" */
static enum sea_status
read_url(const char *url, struct sea_s3_settings *out, struct sea_err *err)
{
    const char *name = url + 5;
    size_t bucket, rest;
    enum sea_status status;
    char text[128];

    if (strncmp(url, "s3://", 5) != 0)
        return sea_fail(err, SEA_E_CONFIG, "the store's address \"%.100s\" is not s3://BUCKET/PREFIX",
                        url);
    bucket = strcspn(name, "/");
    snprintf(text, sizeof(text), "%.*s", (int)(bucket < 127 ? bucket : 127), name);
    status = put_text(out->bucket, sizeof(out->bucket), "the bucket", text, err);
    if (!status && (bucket < 3 || bucket > 63 ||
                    strspn(text, "abcdefghijklmnopqrstuvwxyz0123456789.-") != bucket))
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\" is not the name of a bucket", text);
    name += bucket + (name[bucket] == '/');
    for (rest = strlen(name); rest && name[rest - 1] == '/'; rest--)
        ;
    if (!status && rest + 2 > sizeof(out->prefix))
        status = sea_fail(err, SEA_E_CONFIG, "the prefix of the store is longer than %zu bytes",
                          sizeof(out->prefix) - 2);
    if (!status)
        snprintf(out->prefix, sizeof(out->prefix), "%.*s%s", (int)rest, name, rest ? "/" : "");
    return status;
}

static enum sea_status
read_endpoint(const char *value, struct sea_s3_settings *out, struct sea_err *err)
{
    enum sea_status status = put_text(out->endpoint, sizeof(out->endpoint), "the endpoint", value,
                                      err);
    size_t len = strlen(out->endpoint);

    while (!status && len && out->endpoint[len - 1] == '/')
        out->endpoint[--len] = 0;
    if (!status && strncmp(out->endpoint, "http://", 7) != 0 &&
        strncmp(out->endpoint, "https://", 8) != 0)
        status = sea_fail(err, SEA_E_CONFIG, "the store's endpoint \"%s\" is not an http or https "
                          "address", out->endpoint);
    if (!status && strchr(strstr(out->endpoint, "://") + 3, '/'))
        status = sea_fail(err, SEA_E_CONFIG, "the store's endpoint \"%s\" has a path", out->endpoint);
    return status;
}

static enum sea_status
set_key(const char *name, const char *value, struct sea_s3_settings *out, struct sea_err *err)
{
    if (strcasecmp(name, "aws_access_key_id") == 0)
        return put_text(out->access, sizeof(out->access), "the access key", value, err);
    if (strcasecmp(name, "aws_secret_access_key") == 0)
        return put_text(out->secret, sizeof(out->secret), "the secret key", value, err);
    if (strcasecmp(name, "aws_session_token") == 0)
        return put_text(out->token, sizeof(out->token), "the session token", value, err);
    return SEA_OK;
}

/* Lines "name = value", as in ~/.aws/credentials; sections are passed over. */
static enum sea_status
read_keys(const char *path, struct sea_s3_settings *out, struct sea_err *err)
{
    char *line, *end, *equals, *value;
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, KEYS_BYTES_MAX);
    status = sea_secret_read(path, "the store's keys", &text, err);
    for (line = text.data; !status && line && *line; line = end) {
        end = line + strcspn(line, "\n");
        if (*end)
            *end++ = 0;
        equals = strchr(line, '=');
        if (!equals)
            continue;
        value = equals + 1 + strspn(equals + 1, " \t");
        while (equals > line && (equals[-1] == ' ' || equals[-1] == '\t'))
            equals--;
        *equals = 0;
        value[strcspn(value, " \t\r")] = 0;
        status = set_key(line + strspn(line, " \t"), value, out, err);
    }
    sea_buf_release(&text);
    return status;
}

static bool
is_number(const struct sea_node *node)
{
    return node->kind == SEA_NODE_INT || node->kind == SEA_NODE_REAL;
}

/* Gigabytes; 0: no limit. */
static bool
is_size(double number)
{
    return number >= 0 && number <= 1e9;
}

static enum sea_status
read_section(const struct sea_node *map, const char *path, struct sea_store *store,
             struct sea_err *err)
{
    struct sea_s3_settings *out = &store->s3;
    const struct sea_node *node;
    enum sea_status status = SEA_OK;

    for (node = map->first; node && !status; node = node->next) {
        const char *text = sea_node_text(node, "");
        double number = sea_node_real(node, 0);

        if (strcmp(node->key, "url") == 0)
            status = read_url(text, out, err);
        else if (strcmp(node->key, "endpoint") == 0)
            status = read_endpoint(text, out, err);
        else if (strcmp(node->key, "region") == 0)
            status = put_text(out->region, sizeof(out->region), "the region", text, err);
        else if (strcmp(node->key, "credentials_file") == 0)
            status = read_keys(text, out, err);
        else if (strcmp(node->key, "part_mib") == 0 && number >= PART_MIB_MIN && number <= 5120)
            out->part_bytes = (int64_t)number << 20;
        else if (strcmp(node->key, "stall") == 0 && number >= 1 && number <= 3600)
            out->stall_ms = (int64_t)(number * 1000);
        else if (strcmp(node->key, "cache_gb") == 0 && is_number(node) && is_size(number))
            store->cache_bytes = (uint64_t)(number * 1e9);
        else
            status = sea_fail(err, SEA_E_CONFIG, "store.%s is no setting, or not a value for it",
                              node->key);
        if (status)
            sea_context(err, "while reading \"%s\", line %d", path, node->line);
    }
    return status;
}

static enum sea_status
read_file(const char *path, struct sea_store *out, struct sea_err *err)
{
    struct sea_arena *arena;
    struct sea_node *file = NULL;
    const struct sea_node *node;
    enum sea_status status;

    if (!sea_file_exists(path))
        return SEA_OK;
    arena = sea_arena_create(NULL, "store");
    status = sea_yaml_load(path, SETTINGS_BYTES_MAX, arena, &file, err);
    node = status ? NULL : sea_node_get(file, "store");
    if (node && node->kind == SEA_NODE_MAP)
        status = read_section(node, path, out, err);
    else if (node && node->kind != SEA_NODE_NULL)
        status = sea_fail(err, SEA_E_CONFIG, "\"%s\", line %d: store is not a map", path,
                          node->line);
    sea_arena_destroy(arena);
    return status;
}

static const char *
variable(const char *name)
{
    const char *value = getenv(name);

    return value && value[0] ? value : NULL;
}

static enum sea_status
read_limit(const char *value, struct sea_store *store, struct sea_err *err)
{
    char *end;
    double number = strtod(value, &end);

    if (end == value || *end || !is_size(number))
        return sea_fail(err, SEA_E_CONFIG, "SEA_STORE_CACHE_GB is \"%.60s\", need a number of "
                        "gigabytes from 0 on", value);
    store->cache_bytes = (uint64_t)(number * 1e9);
    return SEA_OK;
}

enum sea_status
sea_bucket_settings(const char *path, struct sea_store *store, struct sea_err *err)
{
    static const char *const keys[] = { "AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY",
                                        "AWS_SESSION_TOKEN" };
    struct sea_s3_settings *out = &store->s3;
    const char *limit = variable("SEA_STORE_CACHE_GB");
    enum sea_status status;
    size_t i;

    store->cache_bytes = 0;
    *out = (struct sea_s3_settings){ .region = "us-east-1", .part_bytes = (int64_t)PART_MIB << 20,
                                     .stall_ms = STALL_MS, .pause_ms = PAUSE_MS };
    status = read_file(path, store, err);
    if (!status && variable("SEA_STORE"))
        status = read_url(variable("SEA_STORE"), out, err);
    if (!status && variable("SEA_STORE_ENDPOINT"))
        status = read_endpoint(variable("SEA_STORE_ENDPOINT"), out, err);
    if (!status && variable("SEA_STORE_REGION"))
        status = put_text(out->region, sizeof(out->region), "the region",
                          variable("SEA_STORE_REGION"), err);
    if (!status && limit)
        status = read_limit(limit, store, err);
    if (status || !out->bucket[0])
        return status;
    for (i = 0; i < 3 && !status; i++)
        if (variable(keys[i]))
            status = set_key(keys[i], variable(keys[i]), out, err);
    if (!status && (!out->access[0] || !out->secret[0])) {
        status = sea_fail(err, SEA_E_CONFIG, "there are no keys for bucket \"%s\"", out->bucket);
        sea_hint(err, "Set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY, or name a file of mode "
                      "0600 in store.credentials_file.");
    }
    if (!status && !out->endpoint[0])
        snprintf(out->endpoint, sizeof(out->endpoint), "https://s3.%s.amazonaws.com", out->region);
    return status;
}

/* ---- blobs ---- */

static enum sea_status
blob_key(const char *sha256, char out[SEA_SHA256_TEXT + 4], struct sea_err *err)
{
    if (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64)
        return sea_fail(err, SEA_E_FORMAT, "\"%.80s\" is not a SHA-256", sha256);
    snprintf(out, SEA_SHA256_TEXT + 4, "%.2s/%s", sha256, sha256);
    return SEA_OK;
}

static enum sea_status
publish_one(const struct sea_store *store, struct sea_s3 *s3, const struct sea_artifact *file,
            struct sea_err *err)
{
    char key[SEA_SHA256_TEXT + 4], path[SEA_PATH_MAX];
    bool there = false, was_there;
    uint64_t bytes = 0;
    enum sea_status status = blob_key(file->sha256, key, err);

    if (!status)
        status = sea_folder_blob(store, file->sha256, path, err);
    if (!status)
        status = sea_s3_look(s3, key, &there, &bytes, err);
    if (!status && there && bytes != file->bytes)
        return sea_fail(err, SEA_E_IO, "\"%s\" has %llu bytes in the bucket, need %llu", key,
                        (unsigned long long)bytes, (unsigned long long)file->bytes);
    return status || there ? status : sea_s3_put(s3, key, path, true, &was_there, err);
}

enum sea_status
sea_bucket_publish(const struct sea_store *store, const struct sea_artifacts *artifacts,
                   struct sea_err *err)
{
    struct sea_s3 *s3 = NULL;
    enum sea_status status = sea_s3_open(&store->s3, &s3, err);
    size_t i;

    for (i = 0; i < artifacts->count && !status; i++)
        status = publish_one(store, s3, &artifacts->at[i], err);
    sea_s3_close(s3);
    return status;
}

/* Gets an object to path, which is complete when it has its name. */
static enum sea_status
get_to(struct sea_s3 *s3, const char *key, const char *path, const char *sha256, mode_t mode,
       struct sea_err *err)
{
    char temp[SEA_PATH_MAX], folder[SEA_PATH_MAX];
    const char *slash = strrchr(path, '/');
    enum sea_status status;

    snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    status = sea_dir_create(folder, err);
    if (!status)
        status = sea_path_temporary(temp, path, err);
    if (status)
        return status;
    status = sea_s3_get(s3, key, temp, sha256, err);
    if (!status && (chmod(temp, mode) || rename(temp, path))) {
        status = sea_fail_errno(err, "could not put \"%s\" into the store's folder", key);
        unlink(temp);
    }
    return status;
}

enum sea_status
sea_bucket_fetch(const struct sea_store *store, const struct sea_artifacts *artifacts,
                 struct sea_err *err)
{
    char path[SEA_PATH_MAX], key[SEA_SHA256_TEXT + 4];
    struct sea_err mine = { 0 };
    struct sea_s3 *s3 = NULL;
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < artifacts->count && !status; i++) {
        const struct sea_artifact *file = &artifacts->at[i];

        status = sea_folder_blob(store, file->sha256, path, &mine);
        if (status || sea_file_exists(path))
            continue;
        if (!s3)
            status = sea_s3_open(&store->s3, &s3, &mine);
        if (!status)
            status = blob_key(file->sha256, key, &mine);
        if (!status)
            status = get_to(s3, key, path, file->sha256, 0444, &mine);
        /* As with a folder: the store lost it, the stage is not to blame. */
        if (status == SEA_E_MISSING) {
            status = sea_fail(err, SEA_E_IO, "\"%s\" is missing in the store: \"%s\" of bucket \"%s\"",
                              file->path, key, store->s3.bucket);
            sea_hint(err, "If it is lost: docs/operations.md, Files that are lost.");
        } else if (status) {
            *err = mine;
        }
    }
    if (status && !err->status)
        *err = mine;
    sea_s3_close(s3);
    return status;
}

enum sea_status
sea_bucket_has(const struct sea_store *store, const char *sha256, bool *has, uint64_t *bytes,
               struct sea_err *err)
{
    char key[SEA_SHA256_TEXT + 4];
    struct sea_s3 *s3 = NULL;
    enum sea_status status = blob_key(sha256, key, err);

    if (!status)
        status = sea_s3_open(&store->s3, &s3, err);
    if (!status)
        status = sea_s3_look(s3, key, has, bytes, err);
    sea_s3_close(s3);
    return status;
}

enum sea_status
sea_bucket_remove(const struct sea_store *store, const char *sha256, struct sea_err *err)
{
    char key[SEA_SHA256_TEXT + 4];
    struct sea_s3 *s3 = NULL;
    enum sea_status status = blob_key(sha256, key, err);

    if (!status)
        status = sea_s3_open(&store->s3, &s3, err);
    if (!status)
        status = sea_s3_remove(s3, key, err);
    sea_s3_close(s3);
    return status;
}

/* ---- the whole bucket ---- */

enum sea_status
sea_bucket_walk(const struct sea_store *store, sea_store_fn *fn, void *arg, struct sea_err *err)
{
    struct sea_s3 *s3 = NULL;
    enum sea_status status = sea_s3_open(&store->s3, &s3, err);

    if (!status)
        status = sea_s3_list(s3, "", fn, arg, err);
    sea_s3_close(s3);
    return status;
}

struct checking {
    struct sea_s3 *s3;          /* another session: the list's is busy */
    char path[SEA_PATH_MAX];
    size_t checked, bad;
};

static enum sea_status
check_one(void *arg, const char *key, uint64_t bytes, int64_t age_ms, struct sea_err *err)
{
    struct checking *c = arg;
    struct sea_err mine = { 0 };
    enum sea_status status;

    (void)bytes, (void)age_ms;
    if (strlen(key) != 67 || key[2] != '/' || strspn(key + 3, "0123456789abcdef") != 64)
        return SEA_OK;
    status = sea_s3_get(c->s3, key, c->path, key + 3, &mine);
    if (status && status != SEA_E_IO && status != SEA_E_MISSING) {
        *err = mine;
        return status;
    }
    if (status != SEA_E_MISSING)
        c->checked++;
    if (status == SEA_E_IO) {
        c->bad++;
        sea_log_err(SEA_LOG_ERROR, &mine);
    }
    unlink(c->path);
    return SEA_OK;
}

enum sea_status
sea_bucket_check(const struct sea_store *store, size_t *checked, size_t *bad, struct sea_err *err)
{
    struct checking c = { .s3 = NULL };
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, store->root, "check", err);

    if (!status)
        status = sea_path_temporary(c.path, path, err);
    if (!status)
        status = sea_s3_open(&store->s3, &c.s3, err);
    if (!status)
        status = sea_bucket_walk(store, check_one, &c, err);
    sea_s3_close(c.s3);
    *checked = c.checked;
    *bad = c.bad;
    return status;
}

/* ---- checkpoints ---- */

static enum sea_status
checkpoint_key(const char *name, const char *path, char out[SEA_PATH_MAX], struct sea_err *err)
{
    if (!sea_path_is_inside(path) ||
        snprintf(out, SEA_PATH_MAX, "checkpoint/%s/%s", name, path) >= 900)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" of checkpoint \"%s\" is no name for a bucket",
                        path, name);
    return SEA_OK;
}

enum sea_status
sea_bucket_checkpoint_put(const struct sea_store *store, const char *name,
                          const struct sea_artifacts *files, struct sea_err *err)
{
    char folder[SEA_PATH_MAX], path[SEA_PATH_MAX], key[SEA_PATH_MAX];
    struct sea_s3 *s3 = NULL;
    bool was_there;
    enum sea_status status = sea_folder_checkpoint(store, name, folder, err);
    size_t i;

    if (!status)
        status = sea_s3_open(&store->s3, &s3, err);
    for (i = 0; i < files->count && !status; i++) {
        status = checkpoint_key(name, files->at[i].path, key, err);
        if (!status)
            status = sea_path_join(path, folder, files->at[i].path, err);
        if (!status)
            status = sea_s3_put(s3, key, path, false, &was_there, err);
    }
    sea_s3_close(s3);
    if (status)
        sea_context(err, "while keeping checkpoint \"%s\" in bucket \"%s\"", name,
                    store->s3.bucket);
    return status;
}

enum sea_status
sea_bucket_checkpoint_get(const struct sea_store *store, const char *name,
                          const struct sea_artifacts *files, struct sea_err *err)
{
    char folder[SEA_PATH_MAX], path[SEA_PATH_MAX], key[SEA_PATH_MAX];
    struct sea_s3 *s3 = NULL;
    enum sea_status status = sea_folder_checkpoint(store, name, folder, err);
    size_t i;

    for (i = 0; i < files->count && !status; i++) {
        status = checkpoint_key(name, files->at[i].path, key, err);
        if (!status)
            status = sea_path_join(path, folder, files->at[i].path, err);
        if (status || sea_file_exists(path))
            continue;
        if (!s3)
            status = sea_s3_open(&store->s3, &s3, err);
        if (!status)
            status = get_to(s3, key, path, files->at[i].sha256, 0600, err);
    }
    sea_s3_close(s3);
    return status;
}

static enum sea_status
remove_one(void *arg, const char *key, uint64_t bytes, int64_t age_ms, struct sea_err *err)
{
    (void)bytes, (void)age_ms;
    return sea_s3_remove(arg, key, err);
}

enum sea_status
sea_bucket_checkpoint_remove(const struct sea_store *store, const char *name, struct sea_err *err)
{
    struct sea_s3 *list = NULL, *s3 = NULL;
    char below[SEA_PATH_MAX];
    enum sea_status status = sea_folder_checkpoint(store, name, below, err);

    snprintf(below, sizeof(below), "checkpoint/%s/", name);
    if (!status)
        status = sea_s3_open(&store->s3, &list, err);
    if (!status)
        status = sea_s3_open(&store->s3, &s3, err);
    if (!status)
        status = sea_s3_list(list, below, remove_one, s3, err);
    sea_s3_close(list);
    sea_s3_close(s3);
    return status;
}
