/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_words.h - the word list of the labelling stage
 *
 * `words: auto` builds the list from the captions: which words do they use as names and
 * attributes? Each word is looked up in WordNet (Debian package wordnet-base): inflected
 * forms are led back to their lemma, and a word is kept when its most frequent sense is a
 * noun, an adjective or a verb. Names of up to three words ("fire engine") are kept when
 * WordNet has them, or when they occur as "a/the ADJECTIVE* NOUN". Not a parser: a word's
 * part of speech does not depend on its sentence.
 *
 * The list is frozen as a text file, one entry per line; the line's number from 0 is the
 * word's index everywhere.
 *
 * Invariants: (1) entries are lower case, unique, not empty, without tab or newline, single
 *                 blanks inside;
 *             (2) equal captions and dictionary give equal lists: by falling count, then
 *                 bytewise.
 */
#ifndef SEA_WORDS_H
#define SEA_WORDS_H

#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"

struct sea_word_list {          /* read freely */
    const char **items;
    size_t count;
};

struct sea_word_options {
    const char *wordnet;        /* folder with index.noun, noun.exc, ...; NULL: Debian's */
    int64_t count_min;          /* a word counts when it occurs so often (3) */
    int phrase_words;           /* longest name in words, 1 to 3 (3) */
};
void sea_word_options_defaults(struct sea_word_options *options);

/* Builds the list from captions. SEA_E_MISSING without the dictionary; SEA_E_FORMAT when no
 * word is left. */
SEA_MUST_CHECK enum sea_status
sea_word_list_build(struct sea_word_list *out, const char *const *captions, size_t count,
                    const struct sea_word_options *options, struct sea_arena *arena,
                    struct sea_err *err);
/* Reads a list: blank lines and repeated entries are errors that name their line. */
SEA_MUST_CHECK enum sea_status
sea_word_list_load(struct sea_word_list *out, const char *path, struct sea_arena *arena,
                   struct sea_err *err);

#endif
