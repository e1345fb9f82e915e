/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_store.h - files by content: what attempts publish and stages read
 *
 * ROOT/ab/abcdef... is a read-only file whose name is its SHA-256. Publishing checks the
 * hash, syncs, and links the file in; the same content is stored once. Nothing here knows
 * who refers to a blob: that is the manifest in the database, written under the fence.
 *
 * ROOT/checkpoint/STAGE.EPOCH.STEP/ holds checkpoints of unfinished attempts, by name and
 * not by content: they are large, rarely equal, and are removed one by one.
 *
 * Invariants: (1) a name in ROOT/ab/ is complete and durable: written, hashed, synced, then
 *                 renamed;
 *             (2) an attempt writes only what carries its own STAGE.EPOCH, or new blobs;
 *             (3) files handed out by materialise were hashed again on the way.
 * Threads and processes: any number may publish and materialise at once, on several machines or
 * containers that share the folder, too: no temporary name is given out twice.
 *
 * With a bucket (SEA_STORE=s3://BUCKET/PREFIX, or section `store` of the sea.yaml beside ROOT;
 * docs/store.md) the bucket holds both, under the same names, and ROOT is what is at hand of
 * it. Then (1) holds for the bucket: what sea_store_publish returned for is there. With a limit
 * (store.cache_gb) the files of ROOT that were not used for longest make room for others.
 */
#ifndef SEA_STORE_H
#define SEA_STORE_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "scheduler/sea_s3.h"

struct sea_store {
    char root[SEA_PATH_MAX];    /* absolute */
    struct sea_s3_settings s3;  /* bucket "": the folder is all there is */
    uint64_t cache_bytes;       /* with a bucket: of what is at hand, at most; 0: no limit */
};

struct sea_artifact {
    const char *path;           /* relative to its folder; safe below it */
    char sha256[SEA_SHA256_TEXT];
    uint64_t bytes;
};

struct sea_artifacts {
    struct sea_artifact *at;
    size_t count;
};

SEA_MUST_CHECK enum sea_status
sea_store_open(struct sea_store *store, const char *root, struct sea_err *err);

/* The files of a finished folder, from its manifest.json, which is itself the last artifact
 * of the list. digest gets the manifest's digest. SEA_E_FORMAT when the manifest is of another
 * stage or does not follow its format; the files are checked by publish. */
SEA_MUST_CHECK enum sea_status
sea_store_manifest(const char *folder, const char *stage, struct sea_arena *arena,
                   struct sea_artifacts *out, char digest[SEA_SHA256_TEXT],
                   struct sea_err *err);

/* Puts the named files of folder into the store. SEA_E_FORMAT when a file's hash or size is
 * not the one in artifacts. folder keeps its files (linked where the file system allows), and
 * they become read-only. */
SEA_MUST_CHECK enum sea_status
sea_store_publish(const struct sea_store *store, const char *folder,
                  const struct sea_artifacts *artifacts, struct sea_err *err);

/* Makes folder hold exactly these files, read-only: links, or copies across file systems.
 * A blob that is missing or does not hash to its name is SEA_E_IO with what to do. */
SEA_MUST_CHECK enum sea_status
sea_store_materialise(const struct sea_store *store, const struct sea_artifacts *artifacts,
                      const char *folder, struct sea_err *err);

/* Every blob hashed again. *bad counts those that differ from their names; each is logged. */
SEA_MUST_CHECK enum sea_status
sea_store_check(const struct sea_store *store, size_t *checked, size_t *bad,
                struct sea_err *err);

/* Whether a blob is there, and its size. */
SEA_MUST_CHECK enum sea_status
sea_store_has(const struct sea_store *store, const char *sha256, bool *has, uint64_t *bytes,
              struct sea_err *err);

/* What lies in the bucket, by its name below ROOT, in byte order; age_ms by the bucket's clock.
 * Nothing without a bucket: walk the folder then. */
typedef sea_s3_fn sea_store_fn;
SEA_MUST_CHECK enum sea_status
sea_store_walk(const struct sea_store *store, sea_store_fn *fn, void *arg, struct sea_err *err);

/* Removes a blob; one that is not there is fine. Only the collector may (sea_collector.h). */
SEA_MUST_CHECK enum sea_status
sea_store_remove(const struct sea_store *store, const char *sha256, struct sea_err *err);

/* ---- checkpoints ---- */

/*
 * Keeps what a child needs to go on from checkpoint (a folder below out, as its event names
 * it): all of out except other checkpoints and files being written. What may still grow is
 * copied, what is finished is linked. files get the list with hashes.
 *
 * The stage may replace the checkpoint meanwhile. Then nothing is kept, files are empty, and
 * what name held before is still there: only a copy that holds all that the checkpoint's
 * DONE lists takes its place.
 */
SEA_MUST_CHECK enum sea_status
sea_store_checkpoint_keep(const struct sea_store *store, const char *out, const char *checkpoint,
                          const char *name, struct sea_arena *arena,
                          struct sea_artifacts *files, struct sea_err *err);
/* Puts the kept files into out after hashing them; SEA_E_FORMAT when they differ. */
SEA_MUST_CHECK enum sea_status
sea_store_checkpoint_get(const struct sea_store *store, const char *name,
                         const struct sea_artifacts *files, const char *out,
                         struct sea_err *err);
/* A name that does not exist is fine. */
SEA_MUST_CHECK enum sea_status
sea_store_checkpoint_remove(const struct sea_store *store, const char *name,
                            struct sea_err *err);
/* Removes those of names, a JSON list that the database gave because nothing refers to them any
 * more; NULL is none. What cannot be removed is logged and left to the collector. Its memory is
 * in the arena. */
void sea_store_checkpoints_drop(const struct sea_store *store, const char *names,
                                struct sea_arena *arena);

#endif
