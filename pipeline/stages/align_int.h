/* SPDX-License-Identifier: Apache-2.0 */
/* align_int.h - between align.c (training) and align_readout.c (figures) */
#ifndef SEA_ALIGN_INT_H
#define SEA_ALIGN_INT_H

#include "engine/sea_align.h"
#include "engine/sea_labels.h"
#include "engine/sea_mllm.h"
#include "pipeline/stages/stages_int.h"

struct sea_align_run {
    struct sea_stage *stage;
    uint64_t seed;
    double lambda;
    int64_t batch, group;       /* pictures of a step, of a group */
    int64_t steps, total;       /* total: samples of the whole run */
    int64_t m;
    struct sea_dataset data;
    struct sea_pictures pictures;
    struct sea_labels *labels;
    int64_t *label_of;          // (pictures) place in the store
    struct sea_tokenizer *tokenizer;
    struct sea_clip *clip;
    struct sea_lm *lm;
    struct sea_adapter *adapter;
    struct sea_mllm mllm;
    struct sea_words words;
    struct sea_align *align;
    struct sea_features features;
    struct sea_samples samples;
    struct sea_order order;
    struct sea_draw draw;
    struct sea_adamw *adamw;
    struct sea_mllm_work *work;
    /* one group, host */
    struct sea_packed packed;
    float *features_of;         // (group, m, Dv)
    int64_t *numbers;           // (group) pictures
    double *sums;               // (groups, SUMS) figures of the step's groups
    struct sea_draw_image *images;      // (group)
    struct sea_pair *pairs;     // (group * windows)
    int32_t *index;             // (group, m, top)
    float *score;               // (group, m, top)
};

/* Figures after training: which word is nearest to a visual token. */
SEA_MUST_CHECK enum sea_status
sea_align_readout(struct sea_align_run *run, struct sea_node *figures, struct sea_err *err);

#endif
