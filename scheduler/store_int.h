/* SPDX-License-Identifier: Apache-2.0 */
/*
 * store_int.h - the two kinds of store behind sea_store.h
 *
 * Every store has a folder (store_folder.c). With a bucket (store_s3.c) the folder is what is at
 * hand: a name in it may be missing, and the bucket is what counts. The functions of the folder
 * have the contracts of their namesakes in sea_store.h.
 */
#ifndef STORE_INT_H
#define STORE_INT_H

#include "scheduler/sea_store.h"

SEA_MUST_CHECK enum sea_status
sea_folder_publish(const struct sea_store *store, const char *folder,
                   const struct sea_artifacts *artifacts, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_folder_materialise(const struct sea_store *store, const struct sea_artifacts *artifacts,
                       const char *folder, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_folder_check(const struct sea_store *store, size_t *checked, size_t *bad,
                 struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_folder_remove(const struct sea_store *store, const char *sha256, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_folder_checkpoint_keep(const struct sea_store *store, const char *out, const char *checkpoint,
                           const char *name, struct sea_arena *arena,
                           struct sea_artifacts *files, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_folder_checkpoint_get(const struct sea_store *store, const char *name,
                          const struct sea_artifacts *files, const char *out,
                          struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_folder_checkpoint_remove(const struct sea_store *store, const char *name,
                             struct sea_err *err);
/* Paths: of a blob, and of a checkpoint's folder. SEA_E_FORMAT for what is no name. */
SEA_MUST_CHECK enum sea_status
sea_folder_blob(const struct sea_store *store, const char *sha256, char out[SEA_PATH_MAX],
                struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_folder_checkpoint(const struct sea_store *store, const char *name, char out[SEA_PATH_MAX],
                      struct sea_err *err);

/* ---- the bucket ---- */

/* Puts blobs that the folder holds into the bucket; those that are there stay. */
SEA_MUST_CHECK enum sea_status
sea_bucket_publish(const struct sea_store *store, const struct sea_artifacts *artifacts,
                   struct sea_err *err);
/* Gets those that the folder does not hold. */
SEA_MUST_CHECK enum sea_status
sea_bucket_fetch(const struct sea_store *store, const struct sea_artifacts *artifacts,
                 struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bucket_check(const struct sea_store *store, size_t *checked, size_t *bad,
                 struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bucket_remove(const struct sea_store *store, const char *sha256, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bucket_has(const struct sea_store *store, const char *sha256, bool *has, uint64_t *bytes,
               struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bucket_checkpoint_put(const struct sea_store *store, const char *name,
                          const struct sea_artifacts *files, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bucket_checkpoint_get(const struct sea_store *store, const char *name,
                          const struct sea_artifacts *files, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bucket_checkpoint_remove(const struct sea_store *store, const char *name,
                             struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bucket_walk(const struct sea_store *store, sea_store_fn *fn, void *arg,
                struct sea_err *err);

/* Settings: SEA_STORE and its companions, else section `store` of path. out->s3.bucket is "" when
 * there are none. */
SEA_MUST_CHECK enum sea_status
sea_bucket_settings(const char *path, struct sea_store *out, struct sea_err *err);

/* ---- what is at hand of a bucket, with a limit (store_cache.c); nothing happens without one ---- */

/* From here to sea_cache_leave nobody removes files of the folder. *use: what to leave, also after
 * a failure. */
SEA_MUST_CHECK enum sea_status
sea_cache_use(const struct sea_store *store, int *use, struct sea_err *err);
void sea_cache_leave(int use);
/* A file is used now: it is removed after those that were not. */
void sea_cache_touch(const struct sea_store *store, const char *path);
/* Removes files until the rest and room bytes more are below the limit, as far as they are in no
 * use: not when somebody is between use and leave, and none with a second name. */
SEA_MUST_CHECK enum sea_status
sea_cache_trim(const struct sea_store *store, uint64_t room, struct sea_err *err);

#endif
