/* SPDX-License-Identifier: Apache-2.0 */
/* clip_int.h - families and activations of towers, shared by the clip*.c files */
#ifndef SEA_CLIP_INT_H
#define SEA_CLIP_INT_H

#include "engine/sea_clip.h"
#include "engine/sea_plan.h"

#define SEA_CLIP_NORM_EPS 1e-12f        /* of unit lengths: only keeps 0 / 0 away */
#define SEA_CLIP_SCALE_MAX 100.0f       /* of exp(theta), as the published models trained */

/* What sets the families apart. Names are those of Hugging Face's files; the ones of the
 * vision tower stand behind `inner`. */
struct sea_tower_row {
    const char *name;           /* in messages */
    const char *type, *vision_type;     /* model_type of both towers (NULL: none), of one */
    const char *text_type;
    const char *architecture, *vision_architecture;
    const char *inner;          /* "vision_model." */
    const char *class_row, *patch, *positions;
    const char *post;           /* the norm behind the blocks */
    const struct sea_block_names *blocks, *gated_blocks;
    int lead;                   /* dimensions of size 1 before those of class row and table */
    bool pre_norm;              /* a norm before the blocks */
    bool patch_bias, layer_scale, pool, causal_text;
    struct sea_clip_vision_desc vision; /* where a config.json says nothing */
    struct sea_clip_text_desc text;
};
const struct sea_tower_row *sea_tower_row(enum sea_tower tower);
/* Activations by their Hugging Face names (clip_config.c). */
bool sea_clip_act_find(const char *name, enum sea_act *act);
const char *sea_clip_act_name(enum sea_act act);
/* The row with this model_type; *alone: it names the vision tower. NULL: none. */
const struct sea_tower_row *
sea_tower_find(const char *type, enum sea_tower *tower, bool *alone);

/* The way from a tower's rows to the joint space: norm, projection, unit length. SigLIP's
 * vision tower has no projection: clip_pool.c. */
struct sea_clip_exit {
    const float *gamma, *beta;  // (D)
    struct sea_weight proj;     // (J, D)
    const float *proj_bias;     // (J), NULL: none
    float *dgamma, *dbeta, *dproj;      /* gradients; NULL: frozen */
    int64_t D, J;
    float eps;
    float *normed;              // (rows, D)
    float *joint;               // (rows, J) the result
    float *mean, *rstd, *rnorm; // (rows) kept                          trained only
    float *dnormed;             // (rows, D)                            trained only
};

/*
 * N = images * (m + c) rows of the vision tower, M = images * m patches, R text rows,
 * T texts; m0 patches of the grid that positions were trained for. Index rows are made once;
 * they serve any smaller number of pictures, because pictures follow one another.
 */
struct sea_clip_eye {
    struct sea_stack_work *stack;
    float *pixels;              // (images, C, image, image)
    float *cells;               // (M, C*P*P) patches as rows
    float *cell_rows;           // (M, D) patches after their projection; then scratch
    float *raw;                 // (N, D) embeddings before pre_layrnorm; then scratch
    float *x;                   // (N, D) through the blocks
    float *mean, *rstd;         // (N) of pre_layrnorm
    float *spread;              // (m, m0) from trained positions to ours, NULL: the same
    float *positions;           // (m + c, D) interpolated, NULL: the table itself
    float *dpositions;          // (m + c, D)                           trained only
    int32_t *pos_of;            // (N) row of the position table
    int32_t *class_of;          // (N) 0 for class rows, else -1
    int32_t *cell_of;           // (N) patch number, -1 for class rows
    int32_t *class_place;       // (N) picture number for class rows, else -1
    int32_t *class_rows;        // (images) class rows; zeros when there are none
    int32_t *cell_at;           // (M) row of a patch
    int32_t *start, *k_len;     // (images + 1), (images) host
    int32_t *one_start;         // (images + 1) host: 0, 1, 2 ...
    struct sea_clip_exit exit;
    float *n, *norm, *v, *wide; // (N, D) three times, (N, F)           not trained only
    float *dx;                  // (N, D)                               trained only
    int64_t last_count, last_layers;    /* of the last features; count 0: none */
    bool last_class;
};

struct sea_clip_reader {
    struct sea_stack_work *stack;
    int32_t *ids, *pos;         // (R)
    int32_t *end_place;         // (R) text number for end rows, else -1
    int32_t *id_order, *pos_order;      // (R) for the scatters
    int32_t *end_rows;          // (T) rows of the end tokens
    float *x;                   // (R, D)
    struct sea_clip_exit exit;
    float *dx;                  // (R, D)                               trained only
    int32_t *host;              // (5 * R + T) host: goes into the rows above
    int64_t *sorted;            // (R) host
    int32_t *start;             // (T + 1) host
};

struct sea_clip_work {
    const struct sea_clip *clip;
    struct sea_clip_limits limits;
    struct sea_plan plan;
    struct sea_clip_eye eye;
    struct sea_clip_reader reader;
};

/* One linear layer over R rows: y = x W' (+ bias), W (out, in); bias NULL: none. */
SEA_MUST_CHECK enum sea_status
sea_clip_linear(const struct sea_device *device, struct sea_weight weight, const float *bias,
                const float *x, float *y, int64_t R, int64_t in, int64_t out, bool add,
                struct sea_err *err);
/* Its backward: dx (R, in) overwritten, dweight (out, in) added to; NULL: not wanted. */
SEA_MUST_CHECK enum sea_status
sea_clip_linear_bwd(const struct sea_device *device, struct sea_weight weight, float *dweight,
                    const float *x, const float *dy, float *dx, int64_t R, int64_t in,
                    int64_t out, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_clip_gather(const struct sea_device *device, const float *inp, const int32_t *idx,
                float *out, int64_t R, int64_t C, bool add, struct sea_err *err);
/* The same from a table of weights. */
SEA_MUST_CHECK enum sea_status
sea_clip_lookup(const struct sea_device *device, struct sea_weight table, const int32_t *idx,
                float *out, int64_t R, int64_t C, bool add, struct sea_err *err);
/* A number's shape in memory: weights that are float32 although they look like a matrix
 * (activations in place of weights). */
static inline struct sea_weight
sea_clip_floats(const float *data)
{
    return (struct sea_weight){ data, SEA_STORE_F32 };
}
/* Copies `floats` numbers to both places of out, `at` floats behind their starts. */
SEA_MUST_CHECK enum sea_status
sea_clip_give(const struct sea_device *device, const float *rows, int64_t floats,
              struct sea_clip_out out, int64_t at, struct sea_err *err);

/* rows (R, D) to exit->joint; keep: what the backward needs. */
SEA_MUST_CHECK enum sea_status
sea_clip_exit_forward(const struct sea_device *device, const struct sea_clip_exit *exit,
                      const float *rows, int64_t R, bool keep, struct sea_err *err);
/* djoint (R, J) is changed; drows (R, D) is overwritten. */
SEA_MUST_CHECK enum sea_status
sea_clip_exit_backward(const struct sea_device *device, const struct sea_clip_exit *exit,
                       const float *rows, float *djoint, float *drows, int64_t R,
                       struct sea_err *err);

/* SigLIP's pooling head (clip_pool.c), from eye->x (count * m, D) to eye->exit.joint:
 * dense: each row alone, (count * m, J); else each picture, (count, J). rows: eye->x or
 * eye->n. Not for trained works. */
SEA_MUST_CHECK enum sea_status
sea_clip_pool(const struct sea_clip *clip, struct sea_clip_work *work, const float *rows,
              int64_t count, bool dense, struct sea_err *err);

/* Interpolated positions (clip_positions.c). The grid's side that they were trained for. */
int64_t sea_clip_trained_grid(const struct sea_clip_desc *desc);
bool sea_clip_interpolates(const struct sea_clip_desc *desc);
/* Fills eye->spread; then, per step, eye->positions from the weights. */
SEA_MUST_CHECK enum sea_status
sea_clip_spread_fill(const struct sea_clip *clip, struct sea_clip_eye *eye,
                     struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_clip_positions(const struct sea_clip *clip, struct sea_clip_eye *eye, struct sea_err *err);
/* Adds eye->dpositions to the table's gradient. */
SEA_MUST_CHECK enum sea_status
sea_clip_positions_backward(const struct sea_clip *clip, struct sea_clip_eye *eye,
                            struct sea_err *err);

/* Embeddings of count <= images pictures (host pixels) into eye->x, ready for block 0. */
SEA_MUST_CHECK enum sea_status
sea_clip_eye_embed(const struct sea_clip *clip, struct sea_clip_work *work,
                   const float *pixels, int64_t count, struct sea_err *err);
/* The first `layers` blocks (0: none) over eye->x; live: only class rows are wanted from
 * the last one and lie at the front of eye->x then. */
SEA_MUST_CHECK enum sea_status
sea_clip_eye_blocks(const struct sea_clip *clip, struct sea_clip_work *work, int64_t count,
                    int64_t layers, bool live, struct sea_err *err);
/* From eye->dx, the gradient of eye_blocks' result, to the vision part's gradients. */
SEA_MUST_CHECK enum sea_status
sea_clip_eye_backward(const struct sea_clip *clip, struct sea_clip_work *work, int64_t count,
                      int64_t layers, bool live, struct sea_err *err);

/* Texts that fit one chunk into reader->exit.joint. first: number of the first of them,
 * for messages. */
SEA_MUST_CHECK enum sea_status
sea_clip_read(const struct sea_clip *clip, struct sea_clip_work *work, const int32_t *ids,
              const int64_t *start, int64_t count, int64_t first, struct sea_err *err);
/* From the gradient of reader->exit.joint (count, J), which it changes. */
SEA_MUST_CHECK enum sea_status
sea_clip_read_backward(const struct sea_clip *clip, struct sea_clip_work *work,
                       float *djoint, int64_t rows, int64_t count, struct sea_err *err);

#endif
