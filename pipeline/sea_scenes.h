/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_scenes.h - the demo world: small pictures, captions and questions, made here
 *
 * A scene is one square picture: a coloured, textured ground with 1 to 4 different
 * objects (emoji, 22 to 26 pixels high or wide) on a grid of 12 pixels. Texts say what is
 * in it. Everything needed for a whole experiment is written, in the layouts that
 * published data has, so the same readers serve the demo world and real data. Not a
 * benchmark of anything but this program.
 *
 * Invariants: (1) equal options give byte-identical files (given the same font file);
 *             (2) one pair of kinds in five is held out: no training scene and no training
 *                 text shows both kinds of such a pair, nor asks for one beside the other;
 *                 every held-out or evaluation scene with two objects or more has one;
 *             (3) the answers of every evaluation file are balanced: without looking at
 *                 the picture, no fixed answer is right more often than chance;
 *             (4) OUT appears whole or not at all (written beside it, renamed at the end).
 *
 * Files below OUT:
 *   scenes.json                 options, kinds (name, category, code point), held-out pairs
 *   train/images/NNNNNN.png
 *   train/pretrain.json         LLaVA pretraining rows; a caption lists all objects from
 *                               left to right: "a cat, a banana and a rocket"; one in ten
 *                               adds "on a blue background"
 *   train/instruct.json         LLaVA conversations of at most `turns` rounds, each question
 *                               with its answer-format line; one row in ten has no picture
 *                               but a first line "Scene: a cat and a dog."
 *   train/objects.json          COCO instances; an image also has "background"
 *   train/text.jsonl            for a language model alone, easy rows first; three forms:
 *       {"text": "a cat, a banana and a rocket"}                     a caption
 *       {"conversations": [...], "template": "bare"}    most rows: the values one after
 *                                   another read "a cat and a dog. fox? no. cat? yes"
 *       {"conversations": [...]}    as in instruct.json, but where <image> would stand are
 *                                   words: a caption, or the words of the picture's cells
 *                                   row by row ("blue cat cat dog blue")
 *   heldout/...                 images, pretrain.json, objects.json of held-out scenes
 *   eval/{pope,gqa,vqav2,scienceqa,mmbench}/   question, label and image files in the
 *                               published layouts (pipeline/benchmarks/README.md)
 */
#ifndef SEA_SCENES_H
#define SEA_SCENES_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_err.h"

struct sea_scenes_options {
    const char *out;            /* folder to make; its parent is made, too */
    int64_t train;              /* training scenes, >= 1 */
    int64_t eval;               /* scenes of heldout and of each benchmark, >= 8 */
    uint64_t seed;
    int kinds;                  /* >= 12; an error names how many there are */
    int image_size;             /* pixels, a multiple of 12 from 72 to 480 */
    int objects_max;            /* 1 to 4 in training scenes, 2 at least */
    int turns;                  /* rounds of a conversation at most, 1 to 8 */
    int text_rows;              /* rows of text.jsonl for each training scene, 0 to 100 */
    const char *font;           /* NotoColorEmoji.ttf; NULL: where Debian puts it */
    const char *names;          /* CLDR annotations en.xml; NULL: where Debian puts it */
};

/* out NULL, train 3000, eval 200, seed 1, kinds 40, size 72, objects 4, turns 8, rows 10. */
void sea_scenes_defaults(struct sea_scenes_options *options);

/* Called after each picture; done <= total. */
typedef void sea_scenes_progress_fn(void *arg, int64_t done, int64_t total);

/*
 * Makes the folder. When OUT already holds scenes made with equal options, nothing is
 * done and *made is false. OUT that holds anything else is SEA_E_CONFIG; impossible
 * options too; a missing font or name file is SEA_E_MISSING. progress may be NULL.
 */
SEA_MUST_CHECK enum sea_status
sea_scenes_make(const struct sea_scenes_options *options, sea_scenes_progress_fn *progress,
                void *arg, bool *made, struct sea_err *err);

#endif
