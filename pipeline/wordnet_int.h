/* SPDX-License-Identifier: Apache-2.0 */
/*
 * wordnet_int.h - what WordNet knows of a word: its part of speech and its lemma
 *
 * The dictionary is a map from texts to small records; whoever counts words uses the same map
 * for counts of their own.
 */
#ifndef SEA_WORDNET_INT_H
#define SEA_WORDNET_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_err.h"

enum sea_word_pos { SEA_NOUN, SEA_ADJECTIVE, SEA_VERB, SEA_ADVERB, SEA_WORD_POS_COUNT };

struct sea_word_entry {
    const char *key;            /* NULL: free */
    size_t len;
    int64_t count;
    const char *base[SEA_WORD_POS_COUNT];       /* irregular forms: their lemma */
    int64_t tagged[SEA_WORD_POS_COUNT]; /* dictionary: occurrences of its most frequent sense */
    bool is[SEA_WORD_POS_COUNT];
};

struct sea_word_map {           /* all zero but for the arena is empty */
    struct sea_arena *arena;    /* of the keys */
    struct sea_word_entry *slots;       /* caller releases with free() */
    size_t used, room;          /* room is a power of two */
};

/* Valid until the next add. find: NULL when there is none; add: the one that is there, or a new
 * one, all zero but for its key. */
struct sea_word_entry *
sea_word_find(struct sea_word_map *map, const char *key, size_t len);
struct sea_word_entry *
sea_word_add(struct sea_word_map *map, const char *key, size_t len);

/* WordNet's files index.*, *.exc and cntlist.rev of a folder. */
SEA_MUST_CHECK enum sea_status
sea_wordnet_load(struct sea_word_map *map, const char *folder, struct sea_err *err);

struct sea_word_meaning {
    int pos;                    /* enum sea_word_pos; -1: function word, adverb, number */
    char lemma[128];
};

/* A word that stands in tagged texts as a lemma is taken as that ("rose" is no form of
 * "rise"); else irregular forms and endings may lead to a more frequent one ("bridges" is a
 * surname, too). What is not in the dictionary is taken for a name. */
struct sea_word_meaning
sea_word_meaning_of(struct sea_word_map *wordnet, const char *word);
bool sea_word_is_determiner(const char *word);

#endif
