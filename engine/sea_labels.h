/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_labels.h - words for patches: scoring them, and the store that keeps them
 *
 * A label store is a folder:
 *     label.json                  struct sea_labels_info, digests, written last
 *     words.txt                   one word per line; the line's number (from 0) is its index
 *     images.txt                  one picture id per line, in the store's order
 *     shard-00000.safetensors     "index" int32 (k, m, top) and "score" float32 (k, m, top)
 *                                 for pictures 4096 * shard and following; k <= 4096
 * Not for choosing the words (pipeline) nor for drawing labels in training (align).
 *
 * Invariants: (1) labels of a patch come best first; index -1 and score 0 fill the rest;
 *             (2) a kept score is finite and > 0, strictly: a zero would never be drawn;
 *             (3) a store with a label.json is complete; its digests cover every file.
 */
#ifndef SEA_LABELS_H
#define SEA_LABELS_H

#include "engine/base/sea_hash.h"
#include "engine/sea_device.h"

#define SEA_LABELS_SHARD 4096   /* pictures per shard */
#define SEA_LABELS_NONE (-1)

/* ---- scoring: the best words of each patch ---- */

struct sea_scorer;
/* words (q, J), host, unit length: copied to the device. rows: patches at once at most.
 * top: labels per patch, 1 .. min(q, 64). sign: +1 or -1 times the cosine. */
SEA_MUST_CHECK enum sea_status
sea_scorer_create(struct sea_scorer **out, const struct sea_device *device,
                  const float *words, int64_t q, int64_t J, int64_t top, float sign,
                  int64_t rows, struct sea_err *err);
void sea_scorer_destroy(struct sea_scorer *scorer);     /* accepts NULL */
/* The top words of `rows` patches (any number: cut into chunks): sign * cosine, best
 * first, ties to the lowest index, only those > 0. */
SEA_MUST_CHECK enum sea_status
sea_scorer_run(struct sea_scorer *scorer, const float *patches,  // (rows, J) device
               int64_t rows,
               int32_t *index, float *score,                     // (rows, top) host
               struct sea_err *err);

/* ---- the store ---- */

struct sea_labels_info {
    char variant[32];           /* sea_clip_variant_name */
    char prompt[256];           /* "{}" is the bare word */
    char tower[SEA_SHA256_TEXT];        /* sea_clip_digest of the labelling model */
    int64_t top;                /* labels per patch at most */
    int64_t grid_h, grid_w;     /* patches; m = grid_h * grid_w */
    int64_t images, words;      /* how many of each */
};

/*
 * Writing: pictures arrive in order. Full shards reach the disk as they fill up; a writer
 * that is opened on a folder with whole shards of the same info, words and images goes on
 * behind them (next > 0), and behind what was saved, which gives the same files as an
 * uninterrupted run, but for the folder of the checkpoint (sea_checkpoint_remove).
 */
struct sea_labels_writer;
SEA_MUST_CHECK enum sea_status
sea_labels_writer_open(struct sea_labels_writer **out, const char *dir,
                       const struct sea_labels_info *info,
                       const char *const *words, const char *const *images,
                       struct sea_err *err);
/* Number of the picture that add expects. */
int64_t sea_labels_writer_next(const struct sea_labels_writer *writer);
/* Labels of the next `count` pictures, (count, m, top) each. What breaks (1) or (2) is
 * SEA_E_INTERNAL. */
SEA_MUST_CHECK enum sea_status
sea_labels_writer_add(struct sea_labels_writer *writer, const int32_t *index,
                      const float *score, int64_t count, struct sea_err *err);
/* The pictures that no whole shard has yet, as checkpoint "step-NEXT" of sea_checkpoint_name;
 * the one before is removed. */
SEA_MUST_CHECK enum sea_status
sea_labels_writer_save(struct sea_labels_writer *writer, struct sea_err *err);
/* Writes the last shard and label.json; every picture must have come. */
SEA_MUST_CHECK enum sea_status
sea_labels_writer_finish(struct sea_labels_writer *writer, struct sea_err *err);
/* Without finish the store stays unfinished; whole shards and what was saved stay. Accepts NULL. */
void sea_labels_writer_close(struct sea_labels_writer *writer);

/* Reading. Shards are mapped, not read; open checks their sizes and shapes. */
struct sea_labels {             /* read freely */
    struct sea_labels_info info;
    const char *const *words;   /* (info.words) */
    const char *const *images;  /* (info.images) ids */
    struct sea_labels_files *files;     /* labels.c */
};
SEA_MUST_CHECK enum sea_status
sea_labels_open(struct sea_labels **out, const char *dir, struct sea_err *err);
void sea_labels_close(struct sea_labels *labels);       /* accepts NULL */
/* Copies one picture's labels, (m, top) each. SEA_E_FORMAT when (1) or (2) is broken. */
SEA_MUST_CHECK enum sea_status
sea_labels_get(const struct sea_labels *labels, int64_t image, int32_t *index, float *score,
               struct sea_err *err);
/* The number of a picture id, -1 when the store does not hold it. */
int64_t sea_labels_find(const struct sea_labels *labels, const char *image);
/* Reads everything: digests, and sea_labels_get of every picture. */
SEA_MUST_CHECK enum sea_status
sea_labels_check(const struct sea_labels *labels, struct sea_err *err);

#endif
