/* SPDX-License-Identifier: Apache-2.0 */
/* scenes_int.h - what the parts of the demo world share: kinds, scenes, words, files.
 * Units: pixels. Pixels are RGB8 rows from the top; sprites are premultiplied RGBA8. */
#ifndef SEA_SCENES_INT_H
#define SEA_SCENES_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_node.h"
#include "engine/base/sea_rng.h"
#include "pipeline/sea_scenes.h"

#define SEA_SCENE_CELL 12
#define SEA_SCENE_OBJECTS 4
#define SEA_SPRITE_MIN 22       /* longer side of a sprite, smallest and largest */
#define SEA_SPRITE_MAX 26
#define SEA_SPRITE_SIZES (SEA_SPRITE_MAX - SEA_SPRITE_MIN + 1)
#define SEA_SCENE_COLORS 8
#define SEA_SCENE_TEXTURES 4

struct sea_sprite {
    int w, h;
    unsigned char *rgba;        // (h, w, 4), premultiplied
};

struct sea_kind {
    const char *name;           /* "cat", "hot dog": a-z and single spaces */
    const char *category;       /* "animal", "vehicle", ... */
    uint32_t code;              /* Unicode code point */
    struct sea_sprite sprite[SEA_SPRITE_SIZES];
};

struct sea_kinds {
    int count;
    struct sea_kind *items;
    bool *held_out;             // (count, count), symmetric: pair is held out
    int (*pairs)[2];            // (pairs_count, 2), the held-out pairs, lower kind first
    int pairs_count;
};

struct sea_object {
    int kind;
    int size;                   /* index into sprite[] */
    int x, y, w, h;             /* where the sprite is drawn */
};

struct sea_scene {
    int count;
    struct sea_object objects[SEA_SCENE_OBJECTS];       /* from left to right */
    int color, texture, shade;
};

/* ---- emoji.c: names from CLDR, bitmaps from the font; FreeType stays inside ---- */

/* Chooses options->kinds kinds by their looks and renders their sprites. */
SEA_MUST_CHECK enum sea_status
sea_kinds_load(const struct sea_scenes_options *options, struct sea_arena *arena,
               struct sea_kinds *kinds, struct sea_err *err);

/* ---- draw.c ---- */
extern const char *const sea_scene_colors[SEA_SCENE_COLORS];
/* Shrinks by exact areas in integers, so every machine gets the same bytes. */
void sea_sprite_shrink(const struct sea_sprite *from, struct sea_sprite *to);
/* rgb: (size, size, 3). */
void sea_scene_draw(const struct sea_scene *scene, const struct sea_kinds *kinds, int size,
                    unsigned char *rgb);

/* ---- world.c: which scenes there are ---- */

/* Fills held_out and pairs: one pair in five, each kind in about equally many. */
void sea_kinds_hold_out(struct sea_kinds *kinds, uint64_t seed, struct sea_arena *arena);
/* A scene of exactly count objects; held: with a held-out pair (count >= 2), else none. */
void sea_scene_sample(struct sea_rng *rng, const struct sea_kinds *kinds, int size, int count,
                      bool held, struct sea_scene *scene);
bool sea_scene_has(const struct sea_scene *scene, int kind);
/* May kind be asked for beside this scene's objects in training (invariant 2)? */
bool sea_scene_allows(const struct sea_scene *scene, const struct sea_kinds *kinds, int kind);
/* Object a stands clearly to the left of b. */
bool sea_object_is_left(const struct sea_object *a, const struct sea_object *b);

/* ---- language.c: all sentences; appended to buf ---- */
enum sea_ask { SEA_ASK_WORD, SEA_ASK_LETTER, SEA_ASK_FREE };   /* which answer-format line */
void sea_say_caption(struct sea_buf *buf, const struct sea_scene *scene,
                     const struct sea_kinds *kinds, bool with_color);
/* The words of the grid cells, row by row, equal neighbours in a row named once or twice. */
void sea_say_cells(struct sea_buf *buf, const struct sea_scene *scene,
                   const struct sea_kinds *kinds, int size, struct sea_rng *rng);
void sea_say_exists(struct sea_buf *buf, const char *name);
void sea_say_beside(struct sea_buf *buf, bool left, const char *name);
void sea_say_relation(struct sea_buf *buf, bool left, const char *a, const char *b);
#define SEA_SAY_COLOR "What color is the background?"
#define SEA_SAY_COUNT "How many objects are in the image?"
#define SEA_SAY_WHICH "Which of these is in the image?"
#define SEA_SAY_CAPTION "Provide a one-sentence caption for the provided image."
#define SEA_SAY_SHORT "\nAnswer the question using a single word or phrase."
#define SEA_SAY_LETTER \
    "\nAnswer with the option's letter from the given choices directly."

/* A multiple-choice question: four options, the right one at answer. */
enum sea_choice_about { SEA_CHOICE_WHICH, SEA_CHOICE_COLOR, SEA_CHOICE_COUNT };
struct sea_choice {
    enum sea_choice_about about;
    const char *question;
    const char *options[4];
    int answer;
};
/* in_training: options obey invariant 2. False when the scene has too few such kinds. */
bool sea_choice_make(struct sea_choice *choice, enum sea_choice_about about, int answer,
                     const struct sea_scene *scene, const struct sea_kinds *kinds,
                     bool in_training, struct sea_rng *rng);
void sea_say_options(struct sea_buf *buf, const struct sea_choice *choice);

/* ---- talk.c: conversations for training ---- */
struct sea_talk {               /* balances yes and no for each kind over all rows */
    const struct sea_kinds *kinds;
    const struct sea_scenes_options *options;
    int64_t *yes, *no;          // (kinds->count)
};
/* Appends the JSON list of turns. head stands before the first question, at its line's
 * start: "<image>\n", or words and "\n". caption: may be asked for; colour: is known. */
struct sea_talk_about {
    const char *head;
    int turns;
    bool caption, color, place;
    bool only_existence;        /* nothing else is asked, */
    bool is_short;              /* in one word: "axe?", */
    bool is_bare;               /* and without a template: "axe? yes. fox? no" */
};
/* False when nothing could be asked; buf is unchanged then. */
bool sea_talk_write(struct sea_talk *talk, const struct sea_talk_about *about,
                    const struct sea_scene *scene, struct sea_rng *rng, struct sea_buf *buf);

/* ---- files ---- */
struct sea_scenes_job {
    const struct sea_scenes_options *options;
    struct sea_kinds kinds;
    struct sea_arena *arena;
    const char *root;           /* folder being written */
    sea_scenes_progress_fn *progress;
    void *progress_arg;
    int64_t done, total;
};
/* Writes root/FOLDER/NAME, making the folder. No fsync: the whole tree is renamed. */
SEA_MUST_CHECK enum sea_status
sea_scenes_write(struct sea_scenes_job *job, const char *folder, const char *name,
                 const void *bytes, size_t n, struct sea_err *err);
/* Draws and encodes a scene into png; counts progress. */
SEA_MUST_CHECK enum sea_status
sea_scenes_picture(struct sea_scenes_job *job, const struct sea_scene *scene,
                   struct sea_buf *png, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_scenes_picture_at(struct sea_scenes_job *job, const struct sea_scene *scene,
                      const char *folder, const char *name, struct sea_err *err);

/* Bytes of a file of texts at most. */
#define SEA_SCENES_TEXT_MAX ((size_t)4 << 30)
/* deck[i] = i % values, shuffled: each value equally often among n; in job's arena. */
int64_t *
sea_scenes_deal(struct sea_scenes_job *job, const char *what, int64_t n, int64_t values);
/* Appends before, then text in quotes. */
void sea_scenes_field(struct sea_buf *buf, const char *before, const char *text);

/* train.c: train/ and heldout/. exams.c: eval/. */
SEA_MUST_CHECK enum sea_status
sea_scenes_write_train(struct sea_scenes_job *job, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_scenes_write_heldout(struct sea_scenes_job *job, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_scenes_write_exams(struct sea_scenes_job *job, struct sea_err *err);
/* exams_choice.c: two of them. */
SEA_MUST_CHECK enum sea_status
sea_scenes_write_scienceqa(struct sea_scenes_job *job, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_scenes_write_mmbench(struct sea_scenes_job *job, struct sea_err *err);

#endif
