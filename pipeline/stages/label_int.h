/* SPDX-License-Identifier: Apache-2.0 */
/*
 * label_int.h - between label.c (the store), label_read.c (towers, words, patches) and
 * label_figures.c (comparing variants)
 */
#ifndef SEA_LABEL_INT_H
#define SEA_LABEL_INT_H

#include "engine/sea_labels.h"
#include "pipeline/sea_words.h"
#include "pipeline/stages/stages_int.h"

struct sea_labelling {
    struct sea_stage *stage;
    struct sea_dataset data, heldout;   /* heldout.count 0: none */
    struct sea_objects objects, heldout_objects;        /* images_count 0: none */
    struct sea_pictures pictures, heldout_pictures;
    struct sea_word_list words;
    struct sea_clip *clip;
    struct sea_clip_work *work;
    float *vectors;             // (words, J) unit length, host
    float *patches;             // (batch * read_grid^2, J) device, in plan
    struct sea_plan plan;
    float *pixels;              // (batch, 3, side, side)
    int32_t *read_index;        // (batch * read_grid^2, top) when the grids differ, else NULL
    float *read_score;          // the same
    int64_t batch, m, top;
    int grid, read_grid;        /* patches per side of the store, of the labelling tower */
    float min_score;
};

/* One reading of the tower: a variant and its scorer. */
struct sea_reading {
    enum sea_clip_variant variant;
    struct sea_scorer *scorer;
};
SEA_MUST_CHECK enum sea_status
sea_reading_open(struct sea_reading *reading, const struct sea_labelling *run,
                 enum sea_clip_variant variant, struct sea_err *err);
void sea_reading_close(struct sea_reading *reading);
/* Labels of count pictures (any number), (count, m, top) each. */
SEA_MUST_CHECK enum sea_status
sea_reading_run(const struct sea_reading *reading, struct sea_labelling *run,
                const struct sea_pictures *pictures, const int64_t *numbers, int64_t count,
                int32_t *index, float *score, struct sea_err *err);

/* Place along one side of the labelling grid (read cells) of place `at` of a grid of g. */
static inline int64_t
sea_label_cell(int64_t at, int64_t g, int64_t read)
{
    return (2 * at + 1) * read / (2 * g);
}

/* Loads towers, pictures and words, and makes room: label_read.c. */
SEA_MUST_CHECK enum sea_status
sea_labelling_open(struct sea_labelling *run, struct sea_err *err);
void sea_labelling_close(struct sea_labelling *run);

/* Compares the variants (all four, or the one given) on a sample, writes figures and chooses.
 * only: -1 for all. */
SEA_MUST_CHECK enum sea_status
sea_label_choose(struct sea_labelling *run, int only, struct sea_node *figures,
                 enum sea_clip_variant *chosen, struct sea_err *err);

#endif
