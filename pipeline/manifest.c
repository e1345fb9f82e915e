/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_manifest.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/sea_file.h"

#define MANIFEST_BYTES_MAX ((size_t)256 << 20)

static void
digest_add(struct sea_hash *hash, const char *path, const char *sha256, int64_t bytes)
{
    char number[32];
    int n = snprintf(number, sizeof(number), "%lld\n", (long long)bytes);

    sea_hash_add(hash, path, strlen(path) + 1);
    sea_hash_add(hash, sha256, strlen(sha256) + 1);
    sea_hash_add(hash, number, (size_t)n);
}

static bool
is_listed(const char *relative)
{
    return strcmp(relative, SEA_MANIFEST_NAME) != 0 && strcmp(relative, SEA_STAGE_MARK) != 0 &&
           strncmp(relative, "checkpoint/", 11) != 0;
}

struct writing {
    const char *dir;
    struct sea_arena *arena;
    struct sea_node *files;
    struct sea_hash *hash;
};

static enum sea_status
write_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct writing *w = arg;
    char path[SEA_PATH_MAX], sha256[SEA_SHA256_TEXT];
    struct sea_node *file;
    enum sea_status status;

    if (!is_listed(relative))
        return SEA_OK;
    status = sea_path_join(path, w->dir, relative, err);
    if (!status)
        status = sea_hash_file(path, sha256, &bytes, err);
    if (status)
        return status;
    file = sea_node_put(w->arena, w->files, NULL, SEA_NODE_MAP);
    sea_node_put_text(w->arena, file, "path", relative);
    sea_node_put_int(w->arena, file, "bytes", (int64_t)bytes);
    sea_node_put_text(w->arena, file, "sha256", sha256);
    digest_add(w->hash, relative, sha256, (int64_t)bytes);
    return SEA_OK;
}

enum sea_status
sea_manifest_write(const char *dir, const char *stage, const char *key,
                   const struct sea_node *provenance, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "manifest");
    struct writing w = { .dir = dir, .arena = arena };
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    char digest[SEA_SHA256_TEXT], path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, MANIFEST_BYTES_MAX);
    w.hash = sea_hash_create();
    sea_node_put_text(arena, root, "stage", stage);
    sea_node_put_text(arena, root, "key", key);
    sea_node_put_text(arena, root, "digest", "");
    w.files = sea_node_put(arena, root, "files", SEA_NODE_LIST);
    status = sea_dir_walk(dir, write_file, &w, err);
    if (status)
        goto out;
    sea_hash_finish(w.hash, digest);
    sea_node_put_text(arena, root, "digest", digest);
    if (provenance)
        sea_node_put_copy(arena, root, "provenance", provenance);
    status = sea_json_write(root, SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, dir, SEA_MANIFEST_NAME, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
out:
    if (status)
        sea_context(err, "while writing the manifest of \"%s\"", dir);
    sea_hash_destroy(w.hash);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}

static bool
is_sha256(const char *text)
{
    return text && strlen(text) == 64 && strspn(text, "0123456789abcdef") == 64;
}

static enum sea_status
parse_file(const struct sea_node *node, const char *name, size_t i,
           const struct sea_manifest_file *before, struct sea_manifest_file *out,
           struct sea_err *err)
{
    const struct sea_node *bytes = sea_node_get(node, "bytes");

    out->path = sea_node_text(sea_node_get(node, "path"), NULL);
    out->sha256 = sea_node_text(sea_node_get(node, "sha256"), NULL);
    out->bytes = sea_node_int(bytes, -1);
    if (!out->path || !sea_path_is_inside(out->path))
        return sea_fail(err, SEA_E_FORMAT, "manifest \"%s\": files[%zu] has no usable path", name,
                        i);
    if (!is_sha256(out->sha256) || !bytes || bytes->kind != SEA_NODE_INT || out->bytes < 0)
        return sea_fail(err, SEA_E_FORMAT,
                        "manifest \"%s\": file \"%s\" lacks \"bytes\" or \"sha256\"", name,
                        out->path);
    if (before && strcmp(before->path, out->path) >= 0)
        return sea_fail(err, SEA_E_FORMAT, "manifest \"%s\": file \"%s\" is out of order", name,
                        out->path);
    return SEA_OK;
}

enum sea_status
sea_manifest_load(const char *dir, struct sea_arena *arena, struct sea_manifest *out,
                  struct sea_err *err)
{
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    struct sea_node *root, *files, *node;
    struct sea_hash *hash = sea_hash_create();
    enum sea_status status;
    size_t i = 0;

    memset(out, 0, sizeof(*out));
    status = sea_path_join(path, dir, SEA_MANIFEST_NAME, err);
    if (!status)
        status = sea_json_load(path, MANIFEST_BYTES_MAX, arena, &root, err);
    if (status)
        goto out;
    out->stage = sea_node_text(sea_node_get(root, "stage"), NULL);
    out->key = sea_node_text(sea_node_get(root, "key"), NULL);
    out->digest = sea_node_text(sea_node_get(root, "digest"), NULL);
    out->provenance = sea_node_get(root, "provenance");
    files = sea_node_get(root, "files");
    if (!out->stage || !is_sha256(out->key) || !is_sha256(out->digest) || !files ||
        files->kind != SEA_NODE_LIST) {
        status = sea_fail(err, SEA_E_FORMAT, "manifest \"%s\" lacks stage, key, digest or files",
                          path);
        goto out;
    }
    out->files_count = files->count;
    out->files = sea_arena_alloc(arena, files->count + 1, sizeof(*out->files));
    for (node = files->first; node; node = node->next, i++) {
        status = parse_file(node, path, i, i ? &out->files[i - 1] : NULL, &out->files[i], err);
        if (status)
            goto out;
        digest_add(hash, out->files[i].path, out->files[i].sha256, out->files[i].bytes);
        out->bytes += out->files[i].bytes;
    }
    sea_hash_finish(hash, digest);
    if (strcmp(digest, out->digest) != 0)
        status = sea_fail(err, SEA_E_FORMAT, "manifest \"%s\": digest %s does not fit its files",
                          path, out->digest);
out:
    if (status)
        sea_hint(err, "The folder is not a finished stage; run that stage again.");
    sea_hash_destroy(hash);
    return status;
}

enum sea_status
sea_manifest_verify(const char *dir, const struct sea_manifest *manifest, bool deep,
                    struct sea_err *err)
{
    char path[SEA_PATH_MAX], sha256[SEA_SHA256_TEXT];
    enum sea_status status = SEA_OK;
    size_t i;

    for (i = 0; i < manifest->files_count && !status; i++) {
        const struct sea_manifest_file *file = &manifest->files[i];
        struct stat st;

        status = sea_path_join(path, dir, file->path, err);
        if (status)
            break;
        if (stat(path, &st) < 0) {
            status = sea_fail_errno(err, "could not find \"%s\"", path);
        } else if ((int64_t)st.st_size != file->bytes) {
            status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" has %lld bytes, its manifest says "
                              "%lld", path, (long long)st.st_size, (long long)file->bytes);
        } else if (deep) {
            status = sea_hash_file(path, sha256, NULL, err);
            if (!status && strcmp(sha256, file->sha256) != 0)
                status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" has changed: SHA-256 %s, its "
                                  "manifest says %s", path, sha256, file->sha256);
        }
    }
    if (status)
        sea_hint(err, "Something changed the folder after its stage had finished; run the stage "
                      "again into a new folder.");
    return status;
}
