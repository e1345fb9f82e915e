/* SPDX-License-Identifier: Apache-2.0 */
/* The store as a folder: the whole of it, or what is at hand of a bucket. */
#include "scheduler/store_int.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_log.h"
#include "pipeline/sea_manifest.h"

#define COPY_BYTES ((size_t)1 << 20)
#define LINK_BYTES_MIN ((uint64_t)64 << 20)     /* files that nobody appends to any more */
#define LINK_TRIES 10
#define DONE_BYTES_MAX ((size_t)1 << 20)

/* ---- one file ---- */

static enum sea_status
parent_create(const char *path, struct sea_err *err)
{
    char folder[SEA_PATH_MAX];
    const char *slash = strrchr(path, '/');

    snprintf(folder, sizeof(folder), "%.*s", (int)(slash - path), path);
    return sea_dir_create(folder, err);
}

/* A worker that is told to stop is interrupted in the middle where the file system lets it be. */
static enum sea_status
write_all(int fd, const char *bytes, ssize_t n, const char *path, struct sea_err *err)
{
    ssize_t at = 0, wrote;

    while (at < n) {
        wrote = write(fd, bytes + at, (size_t)(n - at));
        if (wrote < 0 && errno != EINTR)
            return sea_fail_errno(err, "could not write \"%s\"", path);
        at += wrote > 0 ? wrote : 0;
    }
    return SEA_OK;
}

/* Opened while it changes owners or disappears: both ends are closed in any case. */
static enum sea_status
copy_file(const char *from, const char *to, struct sea_err *err)
{
    int in = open(from, O_RDONLY | O_CLOEXEC);
    int out = open(to, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600);
    char *chunk = sea_xcalloc(1, COPY_BYTES);
    enum sea_status status = SEA_OK;
    ssize_t n = 1;

    if (in < 0)
        status = sea_fail_errno(err, "could not open \"%s\"", from);
    else if (out < 0)
        status = sea_fail_errno(err, "could not create \"%s\"", to);
    while (!status && ((n = read(in, chunk, COPY_BYTES)) > 0 || (n < 0 && errno == EINTR)))
        status = write_all(out, chunk, n, to, err);
    if (!status && n < 0)
        status = sea_fail_errno(err, "could not read \"%s\"", from);
    if (!status && fsync(out))
        status = sea_fail_errno(err, "could not write \"%s\" to disk", to);
    if (in >= 0)
        close(in);
    if (out >= 0)
        close(out);
    free(chunk);
    if (status && out >= 0)
        unlink(to);
    return status;
}

/* A second name for the content, or a copy where there can be none. link(2) finds nothing when
 * another worker puts the same content in the place of `from` between its two looks. */
static enum sea_status
link_or_copy(const char *from, const char *to, struct sea_err *err)
{
    int try;

    for (try = 0; try < LINK_TRIES; try++) {
        if (link(from, to) == 0)
            return SEA_OK;
        if (errno != ENOENT && errno != ESTALE)
            break;
    }
    if (errno == EXDEV || errno == EPERM || errno == EMLINK || errno == ENOTSUP)
        return copy_file(from, to, err);
    return sea_fail_errno(err, "could not link \"%s\" to \"%s\"", from, to);
}

static enum sea_status
sync_file(const char *path, struct sea_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    enum sea_status status = SEA_OK;

    /* After a failed fsync the pages may be gone: the attempt fails, nobody tries again. */
    if (fd < 0 || fsync(fd))
        status = sea_fail_errno(err, "could not write \"%s\" to disk", path);
    if (fd >= 0)
        close(fd);
    return status;
}

enum sea_status
sea_folder_blob(const struct sea_store *store, const char *sha256, char out[SEA_PATH_MAX],
                struct sea_err *err)
{
    char name[SEA_SHA256_TEXT + 4];

    if (strlen(sha256) != 64 || strspn(sha256, "0123456789abcdef") != 64)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is not a SHA-256", sha256);
    snprintf(name, sizeof(name), "%.2s/%s", sha256, sha256);
    return sea_path_join(out, store->root, name, err);
}

static enum sea_status
file_path(const char *folder, const struct sea_artifact *file, char out[SEA_PATH_MAX],
          struct sea_err *err)
{
    if (!sea_path_is_inside(file->path))
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is not a path below its folder", file->path);
    return sea_path_join(out, folder, file->path, err);
}

/* ---- publish ---- */

static enum sea_status
publish_one(const struct sea_store *store, const char *folder, const struct sea_artifact *file,
            struct sea_err *err)
{
    char from[SEA_PATH_MAX], to[SEA_PATH_MAX], temp[SEA_PATH_MAX];
    char sha256[SEA_SHA256_TEXT];
    enum sea_status status;
    uint64_t bytes;

    status = file_path(folder, file, from, err);
    if (!status)
        status = sea_folder_blob(store, file->sha256, to, err);
    if (!status)
        status = sea_hash_file(from, sha256, &bytes, err);
    if (status)
        return status;
    if (bytes != file->bytes || strcmp(sha256, file->sha256) != 0)
        return sea_fail(err, SEA_E_FORMAT, "file \"%s\" has SHA-256 %.12s... and %llu bytes, its "
                        "manifest says %.12s... and %llu", from, sha256,
                        (unsigned long long)bytes, file->sha256,
                        (unsigned long long)file->bytes);
    if (sea_file_exists(to))
        return SEA_OK;
    status = parent_create(to, err);
    if (!status)
        status = sync_file(from, err);
    if (!status)
        status = sea_path_temporary(temp, to, err);
    if (!status)
        status = link_or_copy(from, temp, err);
    if (status)
        return status;
    if (chmod(temp, 0444) || rename(temp, to))
        status = sea_fail_errno(err, "could not put \"%s\" into the store", from);
    /* Also afterwards: rename leaves both names where they are of one file. */
    unlink(temp);
    return status;
}

enum sea_status
sea_folder_publish(const struct sea_store *store, const char *folder,
                   const struct sea_artifacts *artifacts, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    char path[SEA_PATH_MAX], *slash;
    size_t i;

    for (i = 0; i < artifacts->count && !status; i++)
        status = publish_one(store, folder, &artifacts->at[i], err);
    /* The names must be on disk before the database refers to them. */
    for (i = 0; i < artifacts->count && !status; i++) {
        status = sea_folder_blob(store, artifacts->at[i].sha256, path, err);
        slash = strrchr(path, '/');
        if (!status && slash) {
            *slash = 0;
            status = sea_dir_sync(path, err);
        }
    }
    if (!status)
        status = sea_dir_sync(store->root, err);
    if (status)
        sea_context(err, "while publishing \"%s\"", folder);
    return status;
}

/* ---- materialise ---- */

/* Never SEA_E_MISSING: the stage is not to blame, and tried again. */
static enum sea_status
fail_lost(const char *path, const struct sea_artifact *file, struct sea_err *err)
{
    sea_err_clear(err);
    sea_fail(err, SEA_E_IO, "\"%s\" is missing in the store: \"%s\"", file->path, path);
    sea_hint(err, "Is the store's folder the one that the worker published to? If the file is "
                  "lost: docs/operations.md, Files that are lost.");
    return SEA_E_IO;
}

static enum sea_status
check_blob(const char *path, const struct sea_artifact *file, struct sea_err *err)
{
    char sha256[SEA_SHA256_TEXT];
    enum sea_status status;
    uint64_t bytes;

    if (!sea_file_exists(path))
        return fail_lost(path, file, err);
    status = sea_hash_file(path, sha256, &bytes, err);
    if (status == SEA_E_MISSING)
        return fail_lost(path, file, err);      /* removed between the two looks */
    if (!status && strcmp(sha256, file->sha256) != 0) {
        status = sea_fail(err, SEA_E_IO, "\"%s\" is corrupt in the store: \"%s\" hashes to "
                          "%.12s...", file->path, path, sha256);
        sea_hint(err, "Remove that file, then see docs/operations.md, Files that are lost.");
    }
    return status;
}

static enum sea_status
materialise_one(const char *from, const struct sea_artifact *file, const char *folder,
                struct sea_err *err)
{
    char to[SEA_PATH_MAX];
    enum sea_status status = file_path(folder, file, to, err);

    if (!status)
        status = parent_create(to, err);
    if (!status)
        status = link_or_copy(from, to, err);
    return status == SEA_E_MISSING ? fail_lost(from, file, err) : status;
}

enum sea_status
sea_folder_materialise(const struct sea_store *store, const struct sea_artifacts *artifacts,
                       const char *folder, struct sea_err *err)
{
    enum sea_status status = sea_dir_create(folder, err);
    char path[SEA_PATH_MAX];
    size_t i;

    for (i = 0; i < artifacts->count && !status; i++) {
        status = sea_folder_blob(store, artifacts->at[i].sha256, path, err);
        if (!status)
            status = check_blob(path, &artifacts->at[i], err);
        if (!status)
            status = materialise_one(path, &artifacts->at[i], folder, err);
    }
    if (status)
        sea_context(err, "while putting inputs into \"%s\"", folder);
    return status;
}

/* ---- check ---- */

struct checking {
    const struct sea_store *store;
    size_t checked, bad;
};

static enum sea_status
check_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct checking *c = arg;
    char path[SEA_PATH_MAX], sha256[SEA_SHA256_TEXT];
    const char *name = strrchr(relative, '/');
    enum sea_status status;

    if (!name || strncmp(relative, "checkpoint/", 11) == 0 || strlen(name + 1) != 64)
        return SEA_OK;
    status = sea_path_join(path, c->store->root, relative, err);
    if (!status)
        status = sea_hash_file(path, sha256, &bytes, err);
    if (status == SEA_E_MISSING) {
        sea_err_clear(err);
        return SEA_OK;          /* collected meanwhile */
    }
    if (status)
        return status;
    c->checked++;
    if (strcmp(sha256, name + 1) != 0) {
        c->bad++;
        sea_log(SEA_LOG_ERROR, "blob is corrupt path=%s sha256=%s", path, sha256);
    }
    return SEA_OK;
}

enum sea_status
sea_folder_check(const struct sea_store *store, size_t *checked, size_t *bad,
                 struct sea_err *err)
{
    struct checking c = { .store = store };
    enum sea_status status = sea_dir_walk(store->root, check_file, &c, err);

    *checked = c.checked;
    *bad = c.bad;
    return status;
}

enum sea_status
sea_folder_remove(const struct sea_store *store, const char *sha256, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_folder_blob(store, sha256, path, err);

    if (!status && unlink(path) && errno != ENOENT)
        status = sea_fail_errno(err, "could not remove \"%s\"", path);
    return status;
}

/* ---- checkpoints ---- */

enum sea_status
sea_folder_checkpoint(const struct sea_store *store, const char *name, char out[SEA_PATH_MAX],
                      struct sea_err *err)
{
    char relative[128];

    if (!*name || strspn(name, "0123456789.") != strlen(name) || strlen(name) > 80)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is not the name of a checkpoint", name);
    snprintf(relative, sizeof(relative), "checkpoint/%s", name);
    return sea_path_join(out, store->root, relative, err);
}

/*
 * The stage goes on while its files are copied, and may remove the checkpoint: the next one
 * takes its place. So the checkpoint's own files, which nobody changes, are linked first and
 * looked at afterwards; then the rest is copied, and counts when the stage's mark is still
 * the one that was there before, because a checkpoint belongs to one phase of a stage.
 */
struct keeping {
    const char *out, *checkpoint, *to;
    bool finished;              /* at the checkpoint's own files */
    struct sea_arena *arena;
    struct sea_artifacts *files;
    size_t room;
};

static enum sea_status
keep_file(void *arg, const char *name, uint64_t bytes, struct sea_err *err)
{
    struct keeping *k = arg;
    char from[SEA_PATH_MAX], to[SEA_PATH_MAX], relative[SEA_PATH_MAX];
    struct sea_artifact *file;
    enum sea_status status;

    if (!k->finished && (strncmp(name, "checkpoint/", 11) == 0 || strstr(name, ".tmp")))
        return SEA_OK;
    status = sea_path_join(relative, k->finished ? k->checkpoint : "", name, err);
    if (!status)
        status = sea_path_join(from, k->out, relative, err);
    if (!status)
        status = sea_path_join(to, k->to, relative, err);
    if (!status)
        status = parent_create(to, err);
    if (!status)
        status = k->finished || bytes >= LINK_BYTES_MIN ? link_or_copy(from, to, err)
                                                        : copy_file(from, to, err);
    if (status)
        return status;
    if (k->files->count == k->room)
        k->files->at = sea_arena_grow(k->arena, k->files->at, &k->room, 64,
                                      sizeof(*k->files->at));
    file = &k->files->at[k->files->count++];
    file->path = sea_arena_strdup(k->arena, relative);
    return SEA_OK;
}

static enum sea_status
hash_kept(const struct keeping *k, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    char path[SEA_PATH_MAX];
    size_t i;

    for (i = 0; i < k->files->count && !status; i++) {
        struct sea_artifact *file = &k->files->at[i];

        status = sea_path_join(path, k->to, file->path, err);
        if (!status)
            status = sea_hash_file(path, file->sha256, &file->bytes, err);
        if (!status)
            status = sync_file(path, err);
    }
    return status;
}

static const struct sea_artifact *
find_kept(const struct keeping *k, const char *folder, const char *name)
{
    char path[SEA_PATH_MAX];
    size_t i;

    snprintf(path, sizeof(path), "%s%s%s", folder, *folder ? "/" : "", name);
    for (i = 0; i < k->files->count; i++)
        if (strcmp(k->files->at[i].path, path) == 0)
            return &k->files->at[i];
    return NULL;
}

/* *whole: DONE was copied, and every file that it lists, as it lists them. */
static enum sea_status
check_done(const struct keeping *k, bool *whole, struct sea_err *err)
{
    const struct sea_node *list, *one;
    char path[SEA_PATH_MAX];
    struct sea_node *done;
    enum sea_status status;

    *whole = false;
    if (!find_kept(k, k->checkpoint, "DONE"))
        return SEA_OK;
    status = sea_path_join(path, k->to, k->checkpoint, err);
    if (!status)
        status = sea_path_join(path, path, "DONE", err);
    if (!status)
        status = sea_json_load(path, DONE_BYTES_MAX, k->arena, &done, err);
    if (status)
        return status;
    list = sea_node_get(done, "files");
    if (!list || list->kind != SEA_NODE_LIST || !list->count)
        return sea_fail(err, SEA_E_FORMAT, "\"%s/%s/DONE\" lists no files", k->out,
                        k->checkpoint);
    for (one = list->first; one; one = one->next) {
        const char *sha256 = sea_node_text(sea_node_get(one, "sha256"), "");
        const struct sea_artifact *file = find_kept(k, k->checkpoint,
                                                    sea_node_text(sea_node_get(one, "path"), ""));

        if (!file || (int64_t)file->bytes != sea_node_int(sea_node_get(one, "bytes"), -1) ||
            (*sha256 && strcmp(sha256, file->sha256) != 0))
            return SEA_OK;
    }
    *whole = true;
    return SEA_OK;
}

/* The stage's mark, "" while there is none. */
static enum sea_status
hash_mark(const struct keeping *k, char sha256[SEA_SHA256_TEXT], struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, k->out, SEA_STAGE_MARK, err);
    uint64_t bytes;

    sha256[0] = 0;
    return status || !sea_file_exists(path) ? status
                                            : sea_hash_file(path, sha256, &bytes, err);
}

/* Fills k->to. Not *whole: the checkpoint was replaced meanwhile. */
static enum sea_status
copy_all(struct keeping *k, bool *whole, struct sea_err *err)
{
    char folder[SEA_PATH_MAX], mark[SEA_SHA256_TEXT];
    const struct sea_artifact *kept;
    enum sea_status status = hash_mark(k, mark, err);

    *whole = false;
    if (!status)
        status = sea_path_join(folder, k->out, k->checkpoint, err);
    k->finished = true;
    if (!status)
        status = sea_dir_walk(folder, keep_file, k, err);
    k->finished = false;
    if (!status)
        status = sea_dir_walk(k->out, keep_file, k, err);
    if (!status)
        status = hash_kept(k, err);
    if (!status)
        status = check_done(k, whole, err);
    kept = find_kept(k, "", SEA_STAGE_MARK);
    if (!status && *whole && strcmp(kept ? kept->sha256 : "", mark) != 0)
        *whole = false;
    if (status == SEA_E_MISSING) {      /* what was there a moment ago */
        sea_err_clear(err);
        *whole = false;
        status = SEA_OK;
    }
    return status;
}

enum sea_status
sea_folder_checkpoint_keep(const struct sea_store *store, const char *out, const char *checkpoint,
                           const char *name, struct sea_arena *arena,
                           struct sea_artifacts *files, struct sea_err *err)
{
    char path[SEA_PATH_MAX], temp[SEA_PATH_MAX + 8];
    struct keeping k = { .out = out, .checkpoint = checkpoint, .to = temp, .arena = arena,
                         .files = files };
    enum sea_status status = sea_folder_checkpoint(store, name, path, err);
    struct sea_err ignored = { 0 };
    bool whole = false;

    *files = (struct sea_artifacts){ 0 };
    if (!status && (!sea_path_is_inside(checkpoint) || strncmp(checkpoint, "checkpoint/", 11) != 0))
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" is not a checkpoint's folder", checkpoint);
    if (status)
        return status;
    snprintf(temp, sizeof(temp), "%s.tmp", path);
    status = sea_dir_remove(temp, err);
    if (!status)
        status = copy_all(&k, &whole, err);
    if (!status && whole)
        status = sea_folder_checkpoint_remove(store, name, err);
    if (!status && whole && rename(temp, path))
        status = sea_fail_errno(err, "could not keep checkpoint \"%s\"", name);
    if (!status && whole) {
        *strrchr(path, '/') = 0;
        return sea_dir_sync(path, err);
    }
    *files = (struct sea_artifacts){ 0 };
    if (!status)
        sea_log(SEA_LOG_DEBUG, "checkpoint was replaced before it was kept path=%s/%s", out,
                checkpoint);
    if (sea_dir_remove(temp, &ignored))
        sea_context(err, "and \"%s\" could not be removed", temp);
    sea_context(err, "while keeping checkpoint \"%s/%s\"", out, checkpoint);
    return status;
}

enum sea_status
sea_folder_checkpoint_get(const struct sea_store *store, const char *name,
                          const struct sea_artifacts *files, const char *out,
                          struct sea_err *err)
{
    char folder[SEA_PATH_MAX], from[SEA_PATH_MAX], to[SEA_PATH_MAX], sha256[SEA_SHA256_TEXT];
    enum sea_status status = sea_folder_checkpoint(store, name, folder, err);
    uint64_t bytes;
    size_t i;

    for (i = 0; i < files->count && !status; i++) {
        const struct sea_artifact *file = &files->at[i];

        status = file_path(folder, file, from, err);
        if (!status)
            status = sea_hash_file(from, sha256, &bytes, err);
        if (!status && strcmp(sha256, file->sha256) != 0)
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\" of checkpoint \"%s\" has changed",
                              file->path, name);
        if (!status)
            status = file_path(out, file, to, err);
        if (!status)
            status = parent_create(to, err);
        /* Copies: the child may append to what it finds, and the kept files must not change. */
        if (!status)
            status = strncmp(file->path, "checkpoint/", 11) == 0 ? link_or_copy(from, to, err)
                                                                : copy_file(from, to, err);
    }
    return status;
}

enum sea_status
sea_folder_checkpoint_remove(const struct sea_store *store, const char *name,
                             struct sea_err *err)
{
    char path[SEA_PATH_MAX], going[SEA_PATH_MAX];
    enum sea_status status = sea_folder_checkpoint(store, name, path, err);

    /* Under another name first: half of one never bears the name, whoever keeps or gets it. */
    if (!status)
        status = sea_path_temporary(going, path, err);
    if (status || (rename(path, going) && errno == ENOENT))
        return status;
    status = sea_dir_remove(going, err);
    return status ? status : sea_dir_remove(path, err);
}
