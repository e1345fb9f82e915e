/* SPDX-License-Identifier: Apache-2.0 */
/* align_int.h - between align.c (training), align_joint.c and align_readout.c (figures) */
#ifndef SEA_ALIGN_INT_H
#define SEA_ALIGN_INT_H

#include "engine/sea_align.h"
#include "engine/sea_labels.h"
#include "engine/sea_mllm.h"
#include "engine/sea_shard.h"
#include "pipeline/stages/stages_int.h"

/* Negatives of the whole batch: what a step knows of all its groups, host. */
struct sea_align_whole {
    struct sea_pair *pairs;     // (batch * windows)
    struct sea_draw_image *images;      // (batch)
    int32_t *index;             // (batch, m, top)
    float *score;               // (batch, m, top)
    float *rows;                // (pairs, D) the adapter's output
    int64_t count;              /* pairs of this step */
    double loss, scale;
};

struct sea_align_run {
    struct sea_stage *stage;
    uint64_t seed;
    double lambda;
    int64_t batch, group;       /* pictures of a step, of a group */
    bool global;                /* negatives of the whole batch */
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
    struct sea_align_whole whole;       /* with `global` only */
};

/* align_joint.c, for `global`. Pairs of a batch at most: the size of the loss. */
int64_t sea_align_joint_room(const struct sea_align_run *run);
void sea_align_joint_init(struct sea_align_run *run);
void sea_align_joint_release(struct sea_align_run *run);        /* accepts all-zero */
/* The loss over the n samples of step t, from number `first` of the run on. All ranks. */
SEA_MUST_CHECK enum sea_status
sea_align_joint_start(struct sea_align_run *run, int64_t t, int64_t first, int64_t n,
                      struct sea_err *err);
/* Pairs of group g; *first is the number of the first one. */
int64_t sea_align_joint_share(const struct sea_align_run *run, int64_t g, int64_t *first);
/* Adds group g's share of the gradient to the work's dx, behind its backward. */
SEA_MUST_CHECK enum sea_status
sea_align_joint_add(struct sea_align_run *run, int64_t g, struct sea_err *err);

/* Figures after training: which word is nearest to a visual token. */
SEA_MUST_CHECK enum sea_status
sea_align_readout(struct sea_align_run *run, struct sea_node *figures, struct sea_err *err);

#endif
