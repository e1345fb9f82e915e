/* SPDX-License-Identifier: Apache-2.0 */
/* labels_int.h - what writer and reader of a label store share */
#ifndef SEA_LABELS_INT_H
#define SEA_LABELS_INT_H

#include "engine/base/sea_file.h"
#include "engine/sea_labels.h"

#define SEA_LABELS_JSON_MAX ((size_t)16 << 20)
#define SEA_LABELS_LINES_MAX ((size_t)2 << 30)  /* of words.txt and images.txt */

static inline int64_t
sea_labels_shards(const struct sea_labels_info *info)
{
    return (info->images + SEA_LABELS_SHARD - 1) / SEA_LABELS_SHARD;
}

static inline int64_t
sea_labels_shard_images(const struct sea_labels_info *info, int64_t shard)
{
    int64_t rest = info->images - shard * SEA_LABELS_SHARD;

    return rest < SEA_LABELS_SHARD ? rest : SEA_LABELS_SHARD;
}

static inline int64_t
sea_labels_patches(const struct sea_labels_info *info)
{
    return info->grid_h * info->grid_w;
}

/* Sizes and counts that a store can have; SEA_E_CONFIG names the field. */
SEA_MUST_CHECK enum sea_status
sea_labels_info_check(const struct sea_labels_info *info, struct sea_err *err);
/* Digest of info, words and images: what a shard belongs to. */
void sea_labels_identity(const struct sea_labels_info *info, const char *words_sha256,
                         const char *images_sha256, char out[SEA_SHA256_TEXT]);
SEA_MUST_CHECK enum sea_status
sea_labels_shard_path(const char *dir, int64_t shard, char out[SEA_PATH_MAX],
                      struct sea_err *err);
/* One picture's labels keep invariants (1) and (2); status is what a breach is called. */
SEA_MUST_CHECK enum sea_status
sea_labels_picture_check(const struct sea_labels_info *info, int64_t image,
                         const int32_t *index, const float *score, enum sea_status breach,
                         struct sea_err *err);

/* Pictures that no whole shard has yet. */
struct sea_labels_held {
    const struct sea_labels_info *info;
    const char *identity;
    int64_t next;               /* the picture behind them */
    int64_t count;              /* they are the last ones before next */
    int32_t *index;             // (count, m, top)
    float *score;
};
SEA_MUST_CHECK enum sea_status
sea_labels_tensors_write(const char *path, const struct sea_labels_held *held,
                         struct sea_err *err);
/* A checkpoint of them below dir; older ones go. */
SEA_MUST_CHECK enum sea_status
sea_labels_held_save(const char *dir, const struct sea_labels_held *held, struct sea_err *err);
/* next: behind the last whole shard; index and score have room for a shard. Fills both, and moves
 * next and count, when a checkpoint fits. */
void sea_labels_held_load(const char *dir, struct sea_labels_held *held);

#endif
