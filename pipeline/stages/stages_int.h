/* SPDX-License-Identifier: Apache-2.0 */
/*
 * stages_int.h - what the bodies of the stages share
 *
 * Numbers: a data set's distinct pictures are numbered in the order of their first row; a
 * picture has m = grid * grid patches, row by row.
 */
#ifndef SEA_STAGES_INT_H
#define SEA_STAGES_INT_H

#include "engine/sea_clip.h"
#include "engine/sea_conversation.h"
#include "engine/sea_image.h"
#include "engine/sea_lm.h"
#include "pipeline/sea_dataset.h"
#include "pipeline/sea_stage_body.h"

/* ---- pictures (pictures.c) ---- */

struct sea_pictures {           /* read freely */
    const char *root;
    const char **names;         /* (count), distinct, below root */
    int64_t count;
    int64_t *of_row;            /* (rows of the data set) number of its picture, -1: none */
    struct sea_image_view view;
    /* For a tower that reads what another one sees: of the view's pixels, seen again. */
    bool again;
    struct sea_image_view second;
};
/* The pictures of a data set, in the arena. view is copied. */
void sea_pictures_init(struct sea_pictures *pictures, const struct sea_dataset *data,
                       const struct sea_image_view *view, struct sea_arena *arena);
/* The same pixels for a tower of another size: the view's square is resized (bicubic) to
 * side x side; rescaling and colours are those of `of`. */
void sea_pictures_see_again(struct sea_pictures *pictures, const struct sea_image_view *of,
                            int side);
/* Calls fn(arg, i, err) for i from 0 to count - 1 on several threads, in no order; err is each
 * thread's own. Fails as the first i would that fails; what comes behind may be left out. */
typedef enum sea_status sea_picture_fn(void *arg, int64_t i, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_each_picture(int64_t count, sea_picture_fn *fn, void *arg, struct sea_err *err);
/* Pixels of count pictures, (count, 3, side, side) host; decoded by several threads. */
SEA_MUST_CHECK enum sea_status
sea_pictures_pixels(const struct sea_pictures *pictures, const int64_t *numbers, int64_t count,
                    float *pixels, struct sea_err *err);
/* Shuffled so that no picture keeps its place: to[i] != i (count >= 2). A function of
 * (count, seed) alone. */
void sea_derange(int64_t *to, int64_t count, uint64_t seed);

/* ---- features of the tower, kept in host memory where they fit (features.c) ---- */

struct sea_features {           /* read freely */
    const struct sea_pictures *pictures;
    const struct sea_clip *clip;
    int64_t layer, m, Dv;
    bool with_class;
    float *cache;               // (count, m, Dv), NULL: computed when asked for
    struct sea_clip_work *work;
    float *pixels;              // (chunk, 3, side, side)
    int64_t chunk;
};
/* Fills the cache at once when it needs no more than 6 GiB, showing progress. */
SEA_MUST_CHECK enum sea_status
sea_features_open(struct sea_features *features, struct sea_stage *stage,
                  const struct sea_clip *clip, int64_t layer, bool with_class,
                  const struct sea_pictures *pictures, struct sea_err *err);
void sea_features_close(struct sea_features *features); /* accepts all-zero */
/* Features of count pictures, (count, m, Dv), to the host. */
SEA_MUST_CHECK enum sea_status
sea_features_get(struct sea_features *features, const int64_t *numbers, int64_t count,
                 float *out, struct sea_err *err);

/* ---- objects on patches (patches.c) ---- */

/* For each of grid * grid patches of the view of a picture, the category of the smallest box
 * that holds the patch's centre, -1: none. */
void sea_patch_objects(const struct sea_pictured *pictured, const struct sea_image_view *view,
                       int grid, int *category);
/* True when a word names the category: its name, its kind of things, or, for a name of
 * several words, one of them. */
bool sea_word_names(const char *word, const struct sea_category *category);

/* ---- rows as ids (samples.c) ---- */

struct sea_samples {            /* all zero is empty; read freely */
    int32_t *ids;               /* of all samples; SEA_IMAGE_ID once where a picture stands */
    unsigned char *on;          /* supervised */
    int64_t *start;             // (count + 1)
    int64_t count, room, ids_room;
    int64_t cut, silent;        /* samples that lost their end; without supervised words */
    int64_t masked;             /* of which LLaVA would learn nothing; see llava_skips */
};
void sea_samples_release(struct sea_samples *samples);
/* Adds one sample, cut so that it is at most max_length rows once its picture is `patches`
 * rows. */
void sea_samples_add(struct sea_samples *samples, const struct sea_sample *sample,
                     int64_t patches, int64_t max_length);
/* Encodes every row of a data set. Rows: as the template has them. */
SEA_MUST_CHECK enum sea_status
sea_samples_encode(struct sea_samples *samples, struct sea_stage *stage,
                   const struct sea_dataset *data, struct sea_tokenizer *tokenizer,
                   enum sea_template kind, int64_t patches, int64_t max_length,
                   struct sea_err *err);
/* The stage's "max_length", or what the model can take when that is less. */
int64_t sea_stage_max_length(const struct sea_stage *stage, const struct sea_lm *lm);
/* Rows of sample i with its picture expanded. */
int64_t sea_samples_rows(const struct sea_samples *samples, int64_t i, int64_t patches);
/* Upper bound for the rows of any n different samples together: the n longest. */
int64_t sea_samples_most(const struct sea_samples *samples, int64_t n, int64_t patches);

/* One packed batch under construction; host memory. */
struct sea_packed {
    int32_t *start, *ids, *labels;
    int64_t rows, segments, images, supervised, rows_room;
};
void sea_packed_init(struct sea_packed *packed, int64_t rows_room);
void sea_packed_release(struct sea_packed *packed);     /* accepts all-zero */
void sea_packed_clear(struct sea_packed *packed);
/* Appends sample i with its picture expanded; it must fit. */
void sea_packed_add(struct sea_packed *packed, const struct sea_samples *samples, int64_t i,
                    int64_t patches);
struct sea_lm_batch sea_packed_batch(const struct sea_packed *packed);

/* ---- order of samples, and how a step is packed (order.c) ---- */

enum sea_order_kind {
    SEA_ORDER_SHUFFLE,
    SEA_ORDER_LENGTH,           /* samples of like length in one step */
    SEA_ORDER_MODALITY          /* that, and all with or all without a picture: LLaVA's
                                   group_by_modality_length */
};

/* Sample number `at` of a run that passes over count samples again and again, each pass in
 * its own random order: a function of (seed, at) alone. Keeps one pass in memory. */
struct sea_order {
    int64_t *items, count, pass;
    uint64_t seed;
    const char *use;            /* names the random stream */
    enum sea_order_kind kind;
    const int64_t *lengths;     // (count), below 0: without a picture; borrowed
    int64_t batch, chunk;       /* samples of a step, and of the chunks that it is dealt to */
};
void sea_order_init(struct sea_order *order, int64_t count, uint64_t seed, const char *use);
/* Orders by length. Each pass: a random permutation is cut into batches, a batch is sorted by
 * falling length and dealt to batch / chunk chunks, each sample to the shortest chunk that
 * has room. By modality: this is done for both kinds apart, the whole batches of both are
 * shuffled, and what is left of both comes last. */
void sea_order_group(struct sea_order *order, enum sea_order_kind kind, const int64_t *lengths,
                     int64_t batch, int64_t chunk);
void sea_order_release(struct sea_order *order);        /* accepts all-zero */
int64_t sea_order_at(struct sea_order *order, int64_t at);
/* Steps of a run: `steps` when given, else enough for `epochs` passes; *samples is how many
 * are used in all (the last step may be smaller). */
int64_t sea_run_steps(int64_t steps, double epochs, int64_t count, int64_t batch,
                      int64_t *samples);
/* Deals n samples of rows[i] rows each to parts of at most room rows: longest first, each to
 * the fullest part that still takes it. part[i] is its part; returns how many there are.
 * Samples that all fit together are one part; none may be longer than room. */
int64_t sea_pack_parts(const int64_t *rows, int64_t n, int64_t room, int64_t *part);

/* ---- figures ---- */

/* Notes a figure in the map and sends it as the metric "STAGE.NAME". */
void sea_figure(struct sea_stage *stage, struct sea_node *figures, const char *name,
                double value);

#endif
