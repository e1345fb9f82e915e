/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_digest_memo.h"

#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"
#include "engine/sea_lora.h"
#include "pipeline/parquet_int.h"
#include "pipeline/sea_dataset.h"
#include "pipeline/sea_stage_body.h"

#define ENTRIES_MAX 64
#define SETTLE_MS 5000
#define FRESH_MS 2000

struct entry {
    struct sea_arena *arena;    /* NULL: free */
    enum sea_digest_kind kind;
    const char *path, *images;
    const char **names;         /* of the pictures of a data set */
    size_t names_count;
    char state[SEA_SHA256_TEXT];        /* of the files, when they were read */
    char digest[SEA_SHA256_TEXT];
    int64_t looked_ms;
};

struct sea_digest_memo {
    int64_t settle_ms, fresh_ms;
    struct sea_digest_counts counts;
    struct entry entries[ENTRIES_MAX];
};

struct sea_digest_memo *
sea_digest_memo_create(int64_t settle_ms, int64_t fresh_ms)
{
    struct sea_digest_memo *memo = sea_xcalloc(1, sizeof(*memo));

    memo->settle_ms = settle_ms ? settle_ms : SETTLE_MS;
    memo->fresh_ms = fresh_ms ? fresh_ms : FRESH_MS;
    return memo;
}

static void
forget(struct entry *entry)
{
    sea_arena_destroy(entry->arena);
    *entry = (struct entry){ .arena = NULL };
}

void
sea_digest_memo_destroy(struct sea_digest_memo *memo)
{
    size_t i;

    for (i = 0; memo && i < ENTRIES_MAX; i++)
        forget(&memo->entries[i]);
    free(memo);
}

struct sea_digest_counts
sea_digest_memo_counts(const struct sea_digest_memo *memo)
{
    return memo->counts;
}

/* ---- the state of files ---- */

struct looking {
    const char *root;
    struct sea_hash *hash;
    int64_t newest_ns;          /* the latest change */
};

static int64_t
in_ns(struct timespec at)
{
    return (int64_t)at.tv_sec * 1000000000 + at.tv_nsec;
}

static enum sea_status
look_at(struct looking *l, const char *path, struct sea_err *err)
{
    struct stat info;
    int64_t state[5];

    if (stat(path, &info))
        return sea_fail_errno(err, "could not look at \"%s\"", path);
    state[0] = (int64_t)info.st_size;
    state[1] = in_ns(info.st_mtim);
    state[2] = in_ns(info.st_ctim);
    state[3] = (int64_t)info.st_ino;
    state[4] = (int64_t)info.st_dev;
    sea_hash_add_field(l->hash, path);
    sea_hash_add(l->hash, state, sizeof(state));
    if (l->newest_ns < state[1])
        l->newest_ns = state[1];
    if (l->newest_ns < state[2])
        l->newest_ns = state[2];
    return SEA_OK;
}

static enum sea_status
look_below(struct looking *l, const char *folder, const char *name, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, folder, name, err);

    return status ? status : look_at(l, path, err);
}

static enum sea_status
found_file(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct looking *l = arg;

    (void)bytes;
    return look_below(l, l->root, relative, err);
}

static enum sea_status
look_at_folder(struct looking *l, const char *path, struct sea_err *err)
{
    l->root = path;
    return sea_dir_walk(path, found_file, l, err);
}

static enum sea_status
look_at_parquet(struct looking *l, const char *path, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "files");
    const char **files = NULL;
    size_t count = 0, i;
    enum sea_status status = sea_pq_find(path, arena, &files, &count, err);

    for (i = 0; i < count && !status; i++)
        status = look_at(l, files[i], err);
    sea_arena_destroy(arena);
    return status;
}

/* An adapter is what it is with its base model, and LLaVA's own layout with its tower. */
static enum sea_status
look_at_model(struct looking *l, const char *path, struct sea_err *err)
{
    char base[SEA_PATH_MAX], tower[SEA_PATH_MAX];
    enum sea_status status = look_at_folder(l, path, err);

    if (!status && sea_lora_is_folder(path)) {
        status = sea_lora_base(path, base, err);
        if (!status)
            status = look_at_folder(l, base, err);
        path = base;
    }
    if (!status && sea_digest_tower(path, tower))
        status = look_at_folder(l, tower, err);
    return status;
}

static enum sea_status
look(struct sea_digest_memo *memo, const struct entry *entry, char state[SEA_SHA256_TEXT],
     int64_t *newest_ns, struct sea_err *err)
{
    struct looking l = { .hash = sea_hash_create() };
    enum sea_status status = SEA_OK;
    size_t i;

    memo->counts.looks++;
    if (entry->kind == SEA_DIGEST_FOLDER)
        status = look_at_folder(&l, entry->path, err);
    else if (entry->kind == SEA_DIGEST_MODEL)
        status = look_at_model(&l, entry->path, err);
    else if (entry->kind == SEA_DIGEST_PARQUET || sea_parquet_is(entry->path))
        status = look_at_parquet(&l, entry->path, err);
    else
        status = look_at(&l, entry->path, err);
    for (i = 0; i < entry->names_count && !status; i++)
        status = look_below(&l, entry->images, entry->names[i], err);
    sea_hash_finish(l.hash, state);
    sea_hash_destroy(l.hash);
    *newest_ns = l.newest_ns;
    return status;
}

/* ---- remembering ---- */

static bool
is_same(const char *a, const char *b)
{
    return a && b ? strcmp(a, b) == 0 : a == b;
}

static struct entry *
find(struct sea_digest_memo *memo, enum sea_digest_kind kind, const char *path,
     const char *images)
{
    size_t i;

    for (i = 0; i < ENTRIES_MAX; i++) {
        struct entry *entry = &memo->entries[i];

        if (entry->arena && entry->kind == kind && is_same(entry->path, path) &&
            is_same(entry->images, images))
            return entry;
    }
    return NULL;
}

/* A free place, or the one that nobody has asked for longest. */
static struct entry *
make_room(struct sea_digest_memo *memo)
{
    struct entry *oldest = &memo->entries[0];
    size_t i;

    for (i = 0; i < ENTRIES_MAX; i++) {
        if (!memo->entries[i].arena)
            return &memo->entries[i];
        if (memo->entries[i].looked_ms < oldest->looked_ms)
            oldest = &memo->entries[i];
    }
    forget(oldest);
    return oldest;
}

static bool
still_holds(struct sea_digest_memo *memo, struct entry *entry)
{
    int64_t now = sea_clock_ms(), newest_ns;
    char state[SEA_SHA256_TEXT];
    struct sea_err ignored = { 0 };

    if (now - entry->looked_ms < memo->fresh_ms)
        return true;
    if (look(memo, entry, state, &newest_ns, &ignored) || strcmp(state, entry->state) != 0)
        return false;
    entry->looked_ms = now;
    return true;
}

static enum sea_status
compute(struct entry *entry, struct sea_err *err)
{
    switch (entry->kind) {
    case SEA_DIGEST_FOLDER:
        return sea_digest_folder(entry->path, entry->digest, err);
    case SEA_DIGEST_MODEL:
        return sea_digest_model(entry->path, entry->digest, err);
    case SEA_DIGEST_PARQUET:
        return sea_parquet_digest(entry->path, entry->digest, err);
    case SEA_DIGEST_DATASET:
        return sea_dataset_digest_names(entry->path, entry->images, entry->arena, &entry->names,
                                        &entry->names_count, entry->digest, err);
    default:
        return sea_digest_file(entry->path, entry->digest, err);
    }
}

enum sea_status
sea_digest_of(struct sea_digest_memo *memo, enum sea_digest_kind kind, const char *path,
              const char *images, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct entry *known = memo ? find(memo, kind, path, images) : NULL, fresh = { .kind = kind };
    struct sea_err ignored = { 0 };
    int64_t newest_ns = INT64_MAX, begun_ns;
    struct timespec now;
    enum sea_status status;

    if (known && still_holds(memo, known)) {
        memo->counts.found++;
        memcpy(out, known->digest, sizeof(known->digest));
        return SEA_OK;
    }
    if (known)
        forget(known);
    clock_gettime(CLOCK_REALTIME, &now);        /* as files have it */
    begun_ns = in_ns(now);
    fresh.arena = sea_arena_create(NULL, "digest");
    fresh.path = sea_arena_strdup(fresh.arena, path);
    fresh.images = images ? sea_arena_strdup(fresh.arena, images) : NULL;
    fresh.looked_ms = sea_clock_ms();
    status = compute(&fresh, err);
    memcpy(out, fresh.digest, sizeof(fresh.digest));
    if (memo)
        memo->counts.computed++;
    if (!status && memo && !look(memo, &fresh, fresh.state, &newest_ns, &ignored) &&
        newest_ns < begun_ns - memo->settle_ms * 1000000)
        *make_room(memo) = fresh;
    else
        sea_arena_destroy(fresh.arena);
    return status;
}
