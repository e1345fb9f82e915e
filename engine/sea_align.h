/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_align.h - SEA's loss: each chosen visual token is pulled to the word of its patch
 *
 * Three parts, used one after another in the alignment stage:
 *   - sea_align_draw    which (patch, word) pairs take part in this step (host, pure)
 *   - struct sea_words  the words as vectors of the language model: mean of sub-tokens
 *   - struct sea_align  symmetric InfoNCE over the pairs, with a learned scale
 * and a read-out: the word of the table nearest to each visual token.
 */
#ifndef SEA_ALIGN_H
#define SEA_ALIGN_H

#include "engine/sea_lm.h"

/* ---- which pairs ---- */

enum sea_window_edge { SEA_EDGE_CEIL, SEA_EDGE_FLOOR }; /* clipped edge windows, or none */
enum sea_window_pick { SEA_PICK_UNIFORM, SEA_PICK_SCORE };
enum sea_label_draw { SEA_DRAW_PROPORTIONAL, SEA_DRAW_BEST, SEA_DRAW_UNIFORM };
enum sea_dedup { SEA_DEDUP_RANDOM, SEA_DEDUP_NONE };

struct sea_draw {
    int64_t grid_h, grid_w;     /* patches of a picture, row by row */
    int64_t top;                /* labels per patch in the store */
    int64_t window;             /* side; 1: every patch */
    enum sea_window_edge edge;
    enum sea_window_pick pick;
    enum sea_label_draw draw;
    enum sea_dedup dedup;
    uint64_t seed;
};

struct sea_draw_image {         /* one picture of the contrastive group */
    int64_t id;                 /* its number in the data set: keys the random numbers */
    const int32_t *index;       // (grid_h * grid_w, top) words, negative: none
    const float *score;         // (grid_h * grid_w, top)
};

struct sea_pair {
    int32_t row;                /* of the adapter's output: image * m + patch */
    int32_t word;
    double key;                 /* scratch of the draw */
};

/* Windows of one picture: pairs at most, before words that occur twice are left out. */
int64_t sea_draw_windows(const struct sea_draw *draw);

/*
 * Draws the pairs of one step: per window one patch, of it one label, of each word one
 * patch. A window whose patch has no label gives nothing. Every choice is a function of
 * (seed, step, picture id, window), so neither order nor grouping of other work matters.
 * pairs has room for images * sea_draw_windows; rows come out ascending and distinct, and
 * words distinct too unless dedup is NONE. Returns the number of pairs.
 */
int64_t sea_align_draw(const struct sea_draw *draw, const struct sea_draw_image *images,
                       int64_t count, int64_t step, struct sea_pair *pairs);

/* ---- the words ---- */

struct sea_words {              /* read freely */
    const struct sea_device *device;
    int64_t count, D;
    float *unit;                // (count, D) device: means of sub-token rows, unit length
    struct sea_plan plan;
};
/* Word i has sub-tokens ids[start[i]] .. ids[start[i + 1] - 1] (host). A word without
 * sub-tokens is SEA_E_FORMAT. The table is frozen: make it anew when embeddings change. */
SEA_MUST_CHECK enum sea_status
sea_words_create(struct sea_words *words, const struct sea_lm *lm, const int32_t *ids,
                 const int64_t *start, int64_t count, struct sea_err *err);
void sea_words_release(struct sea_words *words);        /* accepts all-zero */

/* ---- the loss ---- */

struct sea_align;
struct sea_align_desc {
    float theta;                /* log of the scale at first */
    bool learn;                 /* theta is trained */
    float max_scale;            /* 100; 0: no limit */
    int64_t pairs;              /* per step at most */
};
/* words is borrowed. */
SEA_MUST_CHECK enum sea_status
sea_align_create(struct sea_align **out, const struct sea_words *words,
                 const struct sea_align_desc *desc, struct sea_err *err);
void sea_align_destroy(struct sea_align *align);        /* accepts NULL */
/* "theta", one number: for the optimiser (no weight decay) and checkpoints. */
struct sea_params *sea_align_params(struct sea_align *align);
/* Adds weight * gradient of the loss to dx (rows of x, device) and to theta's gradient.
 * pairs as sea_align_draw leaves them: rows ascending and distinct. Fewer than 2 pairs:
 * loss 0, no gradient. dx NULL: loss only. */
SEA_MUST_CHECK enum sea_status
sea_align_add(struct sea_align *align, const struct sea_pair *pairs, int64_t count,
              const float *x, float *dx, float weight, struct sea_err *err);
/*
 * The same loss over pairs of several batches, which are never in memory together: negatives
 * of all of them. pairs are those of the whole, rows counted from the first batch's first.
 *
 *     for each batch: adapter forward, sea_align_rows     rows of its pairs, to the host
 *     (ranks exchange rows)
 *     sea_align_joint                                     loss and gradients of all rows
 *     for each batch: forward, backward, sea_align_joint_rows, adapter backward
 *     once: sea_align_joint_theta
 *
 * A batch's pairs are neighbours; base is the number of its first row. Between joint and the
 * last joint_rows nothing else of this object is called. The bits are those of sea_align_add
 * over one batch that holds all rows.
 */
SEA_MUST_CHECK enum sea_status
sea_align_rows(struct sea_align *align, const struct sea_pair *pairs, int64_t count,
               int64_t base, const float *x, float *rows, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_align_joint(struct sea_align *align, const struct sea_pair *pairs, int64_t count,
                const float *rows, bool gradient, float weight, struct sea_err *err);
/* pairs: of the whole; those from first on, count of them, are the batch's. */
SEA_MUST_CHECK enum sea_status
sea_align_joint_rows(struct sea_align *align, const struct sea_pair *pairs, int64_t first,
                     int64_t count, int64_t base, float *dx, struct sea_err *err);
SEA_MUST_CHECK enum sea_status sea_align_joint_theta(struct sea_align *align, struct sea_err *err);
/* Loss of the last call, not weighted, and exp(theta) clamped. Waits for the device. */
SEA_MUST_CHECK enum sea_status
sea_align_loss(struct sea_align *align, double *loss, double *scale, struct sea_err *err);

/* ---- the read-out ---- */

/* The k (1..64) nearest words of each of R rows of x (device) by cosine, best first, to the
 * host: index (R, k), cosine (R, k) or NULL. Allocates; not for the training step. */
SEA_MUST_CHECK enum sea_status
sea_words_nearest(const struct sea_words *words, const float *x, int64_t R, int64_t k,
                  int32_t *index, float *cosine, struct sea_err *err);

#endif
