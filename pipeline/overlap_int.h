/* SPDX-License-Identifier: Apache-2.0 */
/* overlap_int.h - what the files of the overlap of training and benchmarks share */
#ifndef OVERLAP_INT_H
#define OVERLAP_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/sea_image.h"
#include "pipeline/sea_benchmark.h"

#define SEA_OVERLAP_WORDS_MAX 4096

/* ---- words and an index from hashes to questions (overlap_words.c) ---- */

struct sea_overlap_words {
    uint64_t at[SEA_OVERLAP_WORDS_MAX];        /* a hash each */
    size_t count;
};
struct sea_overlap_entry {
    uint64_t hash;
    int64_t question;
};
struct sea_overlap_index {
    struct sea_overlap_entry *at;
    size_t count, room;
};

uint64_t sea_overlap_hash_text(const char *text);
/* Words of a text of len bytes, after those that are there; the tag <image> is none. */
void sea_overlap_add_words(struct sea_overlap_words *words, const char *text, size_t len);
uint64_t sea_overlap_hash_run(const uint64_t *words, size_t n);
/* A question without what every question of the benchmark ends in, and without options. */
size_t sea_overlap_question_length(const struct sea_bench *bench, const char *prompt);
void sea_overlap_index_add(struct sea_overlap_index *index, uint64_t hash, int64_t question);
void sea_overlap_index_sort(struct sea_overlap_index *index);
/* The first entry of this hash; the others follow it. count when there is none. */
size_t sea_overlap_index_find(const struct sea_overlap_index *index, uint64_t hash);

/* ---- pictures (overlap_pictures.c) ---- */

struct sea_overlap_picture {
    const char *name;           /* as its file names it */
    int64_t bytes;              /* -1: no file */
    uint64_t digest, signs;
    bool has_digest, has_signs, is_inline;
    int64_t found;              /* benchmark: the training picture, -1: none */
    const char *how;
};
struct sea_gallery {
    struct sea_overlap_picture *at;
    size_t count, room;
    const char *folder;
};

/* Signs of the differences between neighbours of a row; false: there is nothing to see. */
bool sea_overlap_signs(const struct sea_image *image, uint64_t *out);
/* Number of the picture, until sea_gallery_sort numbers all anew. */
int64_t sea_gallery_add(struct sea_gallery *gallery, const char *name, struct sea_arena *arena);
/* Sorts by name and drops doubles. */
void sea_gallery_sort(struct sea_gallery *gallery);
int64_t sea_gallery_find(const struct sea_gallery *gallery, const char *name);
/* Sizes of the files; a name that leads out of the folder has none. */
void sea_gallery_measure(struct sea_gallery *gallery);
/* Reads what is wanted of a picture; false when its file cannot be read. */
bool
sea_gallery_look(struct sea_gallery *gallery, struct sea_overlap_picture *picture, bool digest,
                 bool pixels);

#endif
