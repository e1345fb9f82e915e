/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_manifest.h - the last file of a finished folder
 *
 *     {"stage":"align","key":"<64 hex>","digest":"<64 hex>",
 *      "files":[{"path":"adapter.safetensors","bytes":1234,"sha256":"<64 hex>"}, ...],
 *      "provenance":{...}}
 *
 * Invariants: (1) manifest.json is written after all other files have reached the disk, so
 *                 a folder that has one is finished;
 *             (2) files are listed in byte order of their paths; the manifest itself, the
 *                 checkpoint folder and the marker of a running stage are not listed;
 *             (3) digest is the SHA-256 of the lines "PATH\0SHA256\0BYTES\n" of all files:
 *                 equal contents have equal digests, whoever made them and when.
 */
#ifndef SEA_MANIFEST_H
#define SEA_MANIFEST_H

#include <stdint.h>

#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"

#define SEA_MANIFEST_NAME "manifest.json"
#define SEA_STAGE_MARK ".stage.json"    /* says whose unfinished folder this is */

struct sea_manifest_file {
    const char *path;           /* below the folder */
    const char *sha256;
    int64_t bytes;
};

struct sea_manifest {           /* read freely; lives in the arena of its load */
    const char *stage, *key, *digest;
    struct sea_manifest_file *files;
    size_t files_count;
    int64_t bytes;              /* of all files */
    struct sea_node *provenance;
};

/* Hashes every file below dir and writes dir/manifest.json. provenance may be NULL. */
SEA_MUST_CHECK enum sea_status
sea_manifest_write(const char *dir, const char *stage, const char *key,
                   const struct sea_node *provenance, struct sea_err *err);

/* Reads dir/manifest.json and checks its form and its digest, not the files. No manifest:
 * SEA_E_MISSING. */
SEA_MUST_CHECK enum sea_status
sea_manifest_load(const char *dir, struct sea_arena *arena, struct sea_manifest *out,
                  struct sea_err *err);

/* Compares sizes, and contents when deep, with what the manifest says. A missing file is
 * SEA_E_MISSING, another size or content SEA_E_FORMAT. Files that are not listed are
 * ignored. */
SEA_MUST_CHECK enum sea_status
sea_manifest_verify(const char *dir, const struct sea_manifest *manifest, bool deep,
                    struct sea_err *err);

#endif
