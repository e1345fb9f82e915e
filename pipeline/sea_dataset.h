/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_dataset.h - training data as users have it: LLaVA JSON, COCO objects, lines of text
 *
 * A data set is a JSON file and the folder that its pictures' names are relative to. All
 * rows are read and checked before any work starts, so that a broken row is found in
 * seconds and not in the middle of a night. Pictures are looked for, not decoded.
 *
 * pretrain: every row has a picture and one exchange, human then gpt; gpt's value is the
 * caption. instruct: any number of exchanges; a row without a picture is text only. JSON is
 * LLaVA's list, or one row per line; or the same columns as Parquet, pictures as names.
 *
 * Invariants: (1) rows keep the order of the file; index is the row's number there, from 0;
 *             (2) image is a relative name without "..", or NULL;
 *             (3) turns alternate human, gpt (a first turn of gpt is dropped, as LLaVA
 *                 does), and there is at least one of each; the tag <image> stands in
 *                 exactly one turn when there is a picture (more than once in it counts as
 *                 once, as in LLaVA); when there is none, no question begins or ends with it:
 *                 elsewhere it is text, and shared dialogues about HTML do hold it;
 *             (4) everything lives in the arena given to load.
 * Errors name file, row, id, line, field and what was expected: SEA_E_FORMAT; a picture that
 * does not exist: SEA_E_MISSING, with the number of all missing ones.
 */
#ifndef SEA_DATASET_H
#define SEA_DATASET_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"
#include "engine/sea_conversation.h"

struct sea_row {
    const char *id;             /* as text; the row's number when the file gives none */
    int64_t index;
    const char *image;          /* NULL: text only */
    struct sea_turn *turns;
    size_t turns_count;
};

struct sea_dataset {            /* read freely */
    const char *json, *images;  /* paths as given */
    struct sea_row *rows;
    int64_t count;
    int64_t images_count;       /* rows with a picture */
};

enum sea_dataset_kind { SEA_DATASET_PRETRAIN, SEA_DATASET_INSTRUCT };

/* images may be NULL for a file without pictures. */
SEA_MUST_CHECK enum sea_status
sea_dataset_load(struct sea_dataset *out, enum sea_dataset_kind kind, const char *json,
                 const char *images, struct sea_arena *arena, struct sea_err *err);
/* The caption: value of the first gpt turn. */
const char *sea_row_caption(const struct sea_row *row);

/*
 * What the data is, as 64 hex digits: bytes of the JSON file, and name and content of every
 * picture that it names, in the order of names. Where pictures and files lie does not
 * matter. Pictures of more than 4 GiB together enter by size and first and last 4 KiB each,
 * so that large sets are not read whole before every run.
 */
SEA_MUST_CHECK enum sea_status
sea_dataset_digest(const char *json, const char *images, char out[SEA_SHA256_TEXT],
                   struct sea_err *err);
/* The same; names: of the pictures, sorted, in the arena. */
SEA_MUST_CHECK enum sea_status
sea_dataset_digest_names(const char *json, const char *images, struct sea_arena *arena,
                         const char ***names, size_t *count, char out[SEA_SHA256_TEXT],
                         struct sea_err *err);

/* ---- objects: COCO instances ---- */

struct sea_box {
    int category;               /* index into categories */
    double x, y, w, h;          /* pixels of the file's picture */
};
struct sea_pictured {           /* one picture's objects */
    const char *file_name;
    int width, height;
    const char *background;     /* demo world: name of the ground's colour, else NULL */
    struct sea_box *boxes;
    size_t boxes_count;
};
struct sea_category {
    const char *name, *supercategory;   /* "" when not given */
};
struct sea_objects {            /* read freely */
    struct sea_pictured *images;        /* by file_name, bytewise ascending */
    size_t images_count;
    struct sea_category *categories;
    size_t categories_count;
};
SEA_MUST_CHECK enum sea_status
sea_objects_load(struct sea_objects *out, const char *json, struct sea_arena *arena,
                 struct sea_err *err);
/* NULL when the picture is not listed. */
const struct sea_pictured *sea_objects_find(const struct sea_objects *objects,
                                            const char *file_name);

/* ---- text: for a language model alone ---- */

/* A row is a text, or a conversation (turns_count > 0). File: JSON Lines of {"text": ...} and
 * {"conversations": [...]}, the latter with "template": "bare" where the values are to be
 * taken as they stand, without a template's words around them; or, when it does not begin with
 * '{', a text per line. */
struct sea_text_row {
    const char *text;           /* NULL for a conversation */
    size_t text_len;
    struct sea_turn *turns;
    size_t turns_count;
    bool is_bare;
};
struct sea_text_set {
    struct sea_text_row *rows;
    int64_t count;
};
SEA_MUST_CHECK enum sea_status
sea_text_load(struct sea_text_set *out, const char *path, struct sea_arena *arena,
              struct sea_err *err);

#endif
