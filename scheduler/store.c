/* SPDX-License-Identifier: Apache-2.0 */
#include "scheduler/sea_store.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "engine/base/sea_log.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_manifest.h"
#include "scheduler/store_int.h"

#define FETCH_TRIES 4           /* of inputs that are corrupt where they are at hand */

static bool
has_bucket(const struct sea_store *store)
{
    return store->s3.bucket[0] != 0;
}

enum sea_status
sea_store_open(struct sea_store *store, const char *root, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_dir_create(root, err);

    memset(&store->s3, 0, sizeof(store->s3));
    store->cache_bytes = 0;
    if (!status && !realpath(root, store->root))
        status = sea_fail_errno(err, "could not resolve folder \"%s\"", root);
    if (!status)
        status = sea_path_join(path, store->root, "../sea.yaml", err);
    return status ? status : sea_bucket_settings(path, store, err);
}

enum sea_status
sea_store_manifest(const char *folder, const char *stage, struct sea_arena *arena,
                   struct sea_artifacts *out, char digest[SEA_SHA256_TEXT],
                   struct sea_err *err)
{
    struct sea_manifest manifest;
    char path[SEA_PATH_MAX];
    struct sea_artifact *own;
    enum sea_status status;
    size_t i;

    *out = (struct sea_artifacts){ 0 };
    digest[0] = 0;
    status = sea_manifest_load(folder, arena, &manifest, err);
    if (!status && strcmp(manifest.stage, stage) != 0)
        status = sea_fail(err, SEA_E_FORMAT, "folder \"%s\" holds stage \"%s\", need \"%s\"",
                          folder, manifest.stage, stage);
    if (status)
        return status;
    out->at = sea_arena_alloc(arena, manifest.files_count + 1, sizeof(*out->at));
    for (i = 0; i < manifest.files_count; i++) {
        out->at[i].path = manifest.files[i].path;
        out->at[i].bytes = (uint64_t)manifest.files[i].bytes;
        snprintf(out->at[i].sha256, SEA_SHA256_TEXT, "%s", manifest.files[i].sha256);
    }
    own = &out->at[i];
    own->path = SEA_MANIFEST_NAME;
    status = sea_path_join(path, folder, own->path, err);
    if (!status)
        status = sea_hash_file(path, own->sha256, &own->bytes, err);
    if (status)
        return status;
    out->count = manifest.files_count + 1;
    snprintf(digest, SEA_SHA256_TEXT, "%s", manifest.digest);
    return SEA_OK;
}

/* The files are no longer needed here: others may make room, and so may we. A limit that cannot
 * be kept stops nobody's work. */
static void
leave(const struct sea_store *store, int use)
{
    struct sea_err err = { 0 };

    sea_cache_leave(use);
    if (sea_cache_trim(store, 0, &err))
        sea_log_err(SEA_LOG_WARN, &err);
}

enum sea_status
sea_store_publish(const struct sea_store *store, const char *folder,
                  const struct sea_artifacts *artifacts, struct sea_err *err)
{
    int use;
    enum sea_status status = sea_cache_use(store, &use, err);

    if (!status)
        status = sea_folder_publish(store, folder, artifacts, err);
    if (!status && has_bucket(store)) {
        status = sea_bucket_publish(store, artifacts, err);
        if (status)
            sea_context(err, "while publishing \"%s\"", folder);
    }
    leave(store, use);
    return status;
}

/* What is at hand and does not hash to its name is thrown away: the bucket has it whole. */
static enum sea_status
drop_corrupt(const struct sea_store *store, const struct sea_artifacts *artifacts,
             struct sea_err *err)
{
    char path[SEA_PATH_MAX], sha256[SEA_SHA256_TEXT];
    enum sea_status status = SEA_OK;
    uint64_t bytes;
    size_t i;

    for (i = 0; i < artifacts->count && !status; i++) {
        status = sea_folder_blob(store, artifacts->at[i].sha256, path, err);
        if (status || !sea_file_exists(path))
            continue;
        status = sea_hash_file(path, sha256, &bytes, err);
        if (status == SEA_E_MISSING) {
            sea_err_clear(err);         /* another worker was faster */
            status = SEA_OK;
            continue;
        }
        if (!status && strcmp(sha256, artifacts->at[i].sha256) != 0) {
            sea_log(SEA_LOG_WARN, "a file at hand was corrupt and is fetched again path=%s", path);
            status = sea_folder_remove(store, artifacts->at[i].sha256, err);
        }
    }
    return status;
}

/* As sea_store_materialise, while nobody makes room. Tried again, because another worker may throw
 * a corrupt file away that this one has just fetched again. */
static enum sea_status
materialise(const struct sea_store *store, const struct sea_artifacts *artifacts,
            const char *folder, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int try;

    if (!has_bucket(store))
        return sea_folder_materialise(store, artifacts, folder, err);
    for (try = 1;; try++) {
        struct sea_err mine = { 0 };

        status = sea_bucket_fetch(store, artifacts, err);
        if (status) {
            sea_context(err, "while putting inputs into \"%s\"", folder);
            return status;
        }
        status = sea_folder_materialise(store, artifacts, folder, &mine);
        if (status && (status != SEA_E_IO || try == FETCH_TRIES))
            *err = mine;
        if (status != SEA_E_IO || try == FETCH_TRIES)
            return status;
        status = drop_corrupt(store, artifacts, err);
        if (!status)
            status = sea_dir_remove(folder, err);
        if (status)
            return status;
    }
}

/* Bytes of these files that are not at hand; the others are used now. */
static uint64_t
to_fetch(const struct sea_store *store, const struct sea_artifacts *artifacts)
{
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX];
    uint64_t bytes = 0;
    size_t i;

    for (i = 0; i < artifacts->count; i++) {
        if (sea_folder_blob(store, artifacts->at[i].sha256, path, &ignored))
            continue;           /* told where it is read */
        if (sea_file_exists(path))
            sea_cache_touch(store, path);
        else
            bytes += artifacts->at[i].bytes;
    }
    return bytes;
}

enum sea_status
sea_store_materialise(const struct sea_store *store, const struct sea_artifacts *artifacts,
                      const char *folder, struct sea_err *err)
{
    enum sea_status status;
    int use = -1;

    if (store->cache_bytes) {
        status = sea_cache_trim(store, to_fetch(store, artifacts), err);
        if (status)
            return status;
    }
    status = sea_cache_use(store, &use, err);
    if (!status)
        status = materialise(store, artifacts, folder, err);
    leave(store, use);
    return status;
}

enum sea_status
sea_store_check(const struct sea_store *store, size_t *checked, size_t *bad,
                struct sea_err *err)
{
    return has_bucket(store) ? sea_bucket_check(store, checked, bad, err)
                             : sea_folder_check(store, checked, bad, err);
}

enum sea_status
sea_store_has(const struct sea_store *store, const char *sha256, bool *has, uint64_t *bytes,
              struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct stat st;
    enum sea_status status;

    *has = false;
    *bytes = 0;
    if (has_bucket(store))
        return sea_bucket_has(store, sha256, has, bytes, err);
    status = sea_folder_blob(store, sha256, path, err);
    if (!status && stat(path, &st) == 0) {
        *has = true;
        *bytes = (uint64_t)st.st_size;
    }
    return status;
}

enum sea_status
sea_store_remove(const struct sea_store *store, const char *sha256, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    if (has_bucket(store))
        status = sea_bucket_remove(store, sha256, err);
    return status ? status : sea_folder_remove(store, sha256, err);
}

enum sea_status
sea_store_walk(const struct sea_store *store, sea_store_fn *fn, void *arg, struct sea_err *err)
{
    return has_bucket(store) ? sea_bucket_walk(store, fn, arg, err) : SEA_OK;
}

enum sea_status
sea_store_checkpoint_keep(const struct sea_store *store, const char *out, const char *checkpoint,
                          const char *name, struct sea_arena *arena,
                          struct sea_artifacts *files, struct sea_err *err)
{
    int use;
    enum sea_status status = sea_cache_use(store, &use, err);

    if (!status)
        status = sea_folder_checkpoint_keep(store, out, checkpoint, name, arena, files, err);
    if (!status && files->count && has_bucket(store))
        status = sea_bucket_checkpoint_put(store, name, files, err);
    if (status)
        *files = (struct sea_artifacts){ 0 };
    leave(store, use);
    return status;
}

enum sea_status
sea_store_checkpoint_get(const struct sea_store *store, const char *name,
                         const struct sea_artifacts *files, const char *out,
                         struct sea_err *err)
{
    int use;
    enum sea_status status = sea_cache_use(store, &use, err);

    if (!status && has_bucket(store))
        status = sea_bucket_checkpoint_get(store, name, files, err);
    if (!status)
        status = sea_folder_checkpoint_get(store, name, files, out, err);
    leave(store, use);
    return status;
}

enum sea_status
sea_store_checkpoint_remove(const struct sea_store *store, const char *name,
                            struct sea_err *err)
{
    enum sea_status status = sea_folder_checkpoint_remove(store, name, err);

    return status || !has_bucket(store) ? status : sea_bucket_checkpoint_remove(store, name, err);
}

void
sea_store_checkpoints_drop(const struct sea_store *store, const char *names,
                           struct sea_arena *arena)
{
    struct sea_err err = { 0 };
    struct sea_node *list = NULL, *one;

    if (!names || sea_json_parse(names, strlen(names), "names", arena, &list, &err))
        return;
    for (one = list->first; one; one = one->next) {
        if (sea_store_checkpoint_remove(store, sea_node_text(one, ""), &err))
            sea_log_err(SEA_LOG_WARN, &err);
        sea_err_clear(&err);
    }
}
