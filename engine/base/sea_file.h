/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_file.h - whole files, safe replacement, folders
 *
 * Everything the program leaves behind is written by sea_file_replace or by a
 * struct sea_file_writer: temporary name, write, fsync, rename, fsync of the folder.
 * A reader therefore sees the old file, the new file, or none; never half of one.
 * Not for tensors of gigabytes on the way in: sea_safetensors.h maps them.
 */
#ifndef SEA_FILE_H
#define SEA_FILE_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"

#define SEA_PATH_MAX 4096

/* Reads the whole file at the end of buf; its max is the limit. */
SEA_MUST_CHECK enum sea_status
sea_file_read(const char *path, struct sea_buf *buf, struct sea_err *err);

/* Puts bytes at path, atomically and durably. */
SEA_MUST_CHECK enum sea_status
sea_file_replace(const char *path, const void *bytes, size_t n, struct sea_err *err);

/*
 * A file written in pieces. open makes PATH.tmp.DIGITS; commit fsyncs and renames it
 * to PATH; close without commit removes it. The first failed write is kept and returned by
 * commit, so a writer may check only there.
 */
struct sea_file_writer {
    FILE *to;                   /* NULL when closed; borrowed by callers that need it */
    char path[SEA_PATH_MAX], temp[SEA_PATH_MAX];
};
SEA_MUST_CHECK enum sea_status
sea_file_writer_open(struct sea_file_writer *writer, const char *path, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_file_writer_add(struct sea_file_writer *writer, const void *bytes, size_t n,
                    struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_file_writer_commit(struct sea_file_writer *writer, struct sea_err *err);
void sea_file_writer_close(struct sea_file_writer *writer);     /* accepts all-zero */

/* A read-only memory map of a whole file. An empty file has data NULL, bytes 0. */
struct sea_file_map {
    const unsigned char *data;
    size_t bytes;
};
SEA_MUST_CHECK enum sea_status
sea_file_map_open(struct sea_file_map *map, const char *path, struct sea_err *err);
void sea_file_map_close(struct sea_file_map *map);      /* accepts NULL and all-zero */

/* Makes the folder and its parents; one that exists is fine. */
SEA_MUST_CHECK enum sea_status sea_dir_create(const char *path, struct sea_err *err);
/* Removes a tree; one that does not exist is fine. Follows no links. */
SEA_MUST_CHECK enum sea_status sea_dir_remove(const char *path, struct sea_err *err);
/* fsync of a folder, after renames in it. */
SEA_MUST_CHECK enum sea_status sea_dir_sync(const char *path, struct sea_err *err);

/* Calls fn for every regular file below root, in byte order of the relative path
 * (folders by '/'); stops at the first status that is not SEA_OK and returns it. What
 * somebody removes below root meanwhile is left out. */
typedef enum sea_status sea_dir_fn(void *arg, const char *relative, uint64_t bytes,
                                   struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_dir_walk(const char *root, sea_dir_fn *fn, void *arg, struct sea_err *err);

bool sea_file_exists(const char *path);         /* a regular file, links followed */
bool sea_dir_exists(const char *path);
/* path itself, or the first folder above it that exists: where it would be made. A relative path
 * with none is ".". */
void sea_dir_nearest(const char *path, char out[SEA_PATH_MAX]);

/* "a/b" from "a" and "b"; an absolute name replaces the folder. SEA_E_CONFIG when the
 * result is longer than SEA_PATH_MAX - 1. */
SEA_MUST_CHECK enum sea_status
sea_path_join(char out[SEA_PATH_MAX], const char *folder, const char *name,
              struct sea_err *err);
/* PATH.tmp.DIGITS: where what will be path lies until it is whole. A new name for every call, on
 * whatever machine: process ids are equal in two containers. */
SEA_MUST_CHECK enum sea_status
sea_path_temporary(char out[SEA_PATH_MAX], const char *path, struct sea_err *err);
/* True when name is relative and has no ".." part: safe below a folder. */
bool sea_path_is_inside(const char *name);

#endif
