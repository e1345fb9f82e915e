/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_overlap.h - which questions of a benchmark a training file has seen
 *
 * Pictures: the same file name, the same bytes, or (near) nearly the same pixels: the signs of
 * 64 differences of brightness on a grid of 9 x 8, at most `distance` of them other. Texts: the
 * question's words are one line, or the whole, of a turn of a training conversation, or share
 * runs of `words` words with turns. Words are lower case, marks and the benchmark's suffix
 * aside. A question counts as seen when one training row has its picture and its text: texts
 * alone repeat ("Is there a dog?"), and so do pictures with other questions.
 *
 * Invariants: (1) results do not depend on the order of either file;
 *             (2) a picture that one colour fills, or nearly so, is near to none.
 */
#ifndef SEA_OVERLAP_H
#define SEA_OVERLAP_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_node.h"

struct sea_overlap_options {
    const char *train;          /* LLaVA's JSON */
    const char *train_images;   /* its folder; NULL: names of pictures only */
    const char *bench, *questions;
    const char *images;         /* folder of the benchmark's pictures; NULL: as above */
    int64_t words;              /* of a run; 0: 8 */
    int64_t distance;           /* of 64; 0: 4; -1: pixels are not looked at */
};

struct sea_overlap_question {
    const char *id;
    const char *picture;        /* "name", "bytes", "near", "" */
    const char *train_image;    /* that it was found as; "" */
    bool same_text, seen;
    int64_t runs, runs_found;   /* of words */
};
struct sea_overlap {
    struct sea_overlap_question *questions;
    size_t count;
    int64_t train_rows, train_images, unreadable;       /* pictures that could not be read */
    int64_t pictures, texts, runs, seen;        /* questions with each; runs: half or more */
};
SEA_MUST_CHECK enum sea_status
sea_overlap_find(const struct sea_overlap_options *options, struct sea_arena *arena,
                 struct sea_overlap *out, struct sea_err *err);
struct sea_node *sea_overlap_node(const struct sea_overlap *overlap, struct sea_arena *arena);
/* A JSON line per question. */
void sea_overlap_rows(const struct sea_overlap *overlap, struct sea_buf *out);

#endif
