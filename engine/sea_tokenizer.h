/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_tokenizer.h - text to ids and back, as the Hugging Face `tokenizers` library does it
 *
 * Reads a model folder's tokenizer.json, or the tokenizer.model (SentencePiece) of folders
 * that have no other: BPE over bytes (GPT-2, Llama 3, Qwen2, Phi-2, CLIP with its end-of-word
 * mark) or over characters with byte fallback (Llama 2, Vicuna, Gemma, Phi-3), and Unigram
 * (T5, SigLIP).
 * Special words come from tokenizer.json, tokenizer_config.json and special_tokens_map.json.
 * A component that is not computed here is SEA_E_FORMAT with its name: never wrong ids. The
 * sections "truncation" and "padding" are passed over: how long a text may be, and what fills
 * a batch, is decided by whoever asks (sea_tokenizer_encode_max).
 *
 * tokenizer.json gives what `tokenizers` gives; classes of characters and normal forms are
 * those of its version 0.23, also where they are older or newer than those of PCRE2 and
 * utf8proc (tokenizer_tables.c). tokenizer.model gives what `sentencepiece` gives, with two
 * habits of transformers: control pieces ("<s>") that stand in a text are found before the
 * text is cut, and BOS is put in front. Text after such a word gets a blank of its own when
 * add_dummy_prefix is set, unless tokenizer_config.json says "legacy": false.
 *
 * Text must be UTF-8 and may hold 0 bytes; invalid bytes are SEA_E_FORMAT with their position:
 * nothing is replaced silently.
 * Threads: any number may use one tokenizer; the cache of words is locked inside.
 */
#ifndef SEA_TOKENIZER_H
#define SEA_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"

#define SEA_TOKENIZER_TEXT_MAX ((size_t)16 << 20)       /* bytes of one text */

struct sea_ids {                /* ids that grow; all zero is empty; read freely */
    int32_t *data;
    size_t len, room;
};
void sea_ids_add(struct sea_ids *ids, int32_t id);
void sea_ids_clear(struct sea_ids *ids);        /* keeps the room */
void sea_ids_release(struct sea_ids *ids);      /* accepts NULL and all-zero */

struct sea_tokenizer;

/* dir is a model folder, or the path of a tokenizer.json or *.model file itself. */
SEA_MUST_CHECK enum sea_status
sea_tokenizer_load(struct sea_tokenizer **out, const char *dir, struct sea_err *err);
void sea_tokenizer_destroy(struct sea_tokenizer *tokenizer);    /* accepts NULL */
/* Copies the tokenizer's files of a model folder into another one, as they are. */
SEA_MUST_CHECK enum sea_status
sea_tokenizer_copy(const char *from_dir, const char *to_dir, struct sea_err *err);

/* Adds the ids of text to ids. add_special: with the template's BOS and EOS. */
SEA_MUST_CHECK enum sea_status
sea_tokenizer_encode(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                     bool add_special, struct sea_ids *ids, struct sea_err *err);
/* The same with specials, cut so that no more than max ids are added (specials included; the
 * text loses its end). For text towers with fixed positions. */
SEA_MUST_CHECK enum sea_status
sea_tokenizer_encode_max(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                         size_t max, struct sea_ids *ids, struct sea_err *err);
/* One piece of a longer text whose pieces are tokenised on their own, without specials.
 * It matters to tokenizers that mark the start of a text (Llama 2's blank):
 * FIRST: like a text of its own. AFTER_SPECIAL: a special word stands before it.
 * CONTINUES: other text stands before it; nothing is put in front. */
enum sea_piece { SEA_PIECE_FIRST, SEA_PIECE_AFTER_SPECIAL, SEA_PIECE_CONTINUES };
SEA_MUST_CHECK enum sea_status
sea_tokenizer_encode_piece(struct sea_tokenizer *tokenizer, const char *text, size_t len,
                           enum sea_piece piece, struct sea_ids *ids, struct sea_err *err);
/* Appends the text of ids to out, as tokenizers' decode does. Bytes of byte-level words
 * that are no UTF-8 become U+FFFD. An id outside the vocabulary adds nothing. */
SEA_MUST_CHECK enum sea_status
sea_tokenizer_decode(const struct sea_tokenizer *tokenizer, const int32_t *ids, size_t count,
                     bool skip_special, struct sea_buf *out, struct sea_err *err);

/* ---- the vocabulary ---- */

/* Largest id + 1: what an embedding table must hold at least. */
int32_t sea_tokenizer_count(const struct sea_tokenizer *tokenizer);
/* Id of a word in the file's own spelling ("</s>", "\u0120dog"); -1: none. */
int32_t sea_tokenizer_find(const struct sea_tokenizer *tokenizer, const char *word);
/* The spelling of an id; NULL: no such id. Valid until destroy. */
const char *sea_tokenizer_word(const struct sea_tokenizer *tokenizer, int32_t id);

struct sea_tokenizer_special {  /* ids, -1: none */
    int32_t bos, eos, unk, pad;
    bool adds_bos, adds_eos;    /* what add_special does */
    bool is_legacy;             /* tokenizer_config.json does not say "legacy": false */
    bool marks_start;           /* puts a blank before a text by itself: to get the ids of
                                   a word inside a sentence encode "word", else " word" */
};
const struct sea_tokenizer_special *
sea_tokenizer_special(const struct sea_tokenizer *tokenizer);

/* ---- training ---- */

enum sea_tokenizer_split {
    SEA_SPLIT_GPT2,             /* words with their leading blank, runs of digits, the rest */
    SEA_SPLIT_LLAMA3            /* also case-blind contractions and digits in threes */
};

struct sea_tokenizer_train {    /* all zero but vocab_size and next is usable */
    int32_t vocab_size;         /* with special words and 256 bytes; fewer when texts end */
    const char *const *special; /* ids 0 .. special_count - 1 in this order */
    size_t special_count;
    const char *bos, *eos, *unk, *pad;  /* each one of special, or NULL */
    bool add_bos, add_eos;      /* encode with add_special puts them around */
    bool lowercase;             /* text is NFC-normalised and lowered first (CLIP) */
    enum sea_tokenizer_split split;
    int64_t model_max_length;   /* 0: not said */
    int64_t min_count;          /* pairs rarer than this are not merged; 0: 2 */
    /* Gives the next text (borrowed until the next call) and true, or false at the end.
     * Called until false; texts are read once. */
    bool (*next)(void *arg, const char **text, size_t *len);
    void *arg;
};
/* Byte-level BPE: the most frequent pair is merged first, among equals the one with the
 * lowest ids. Equal texts give equal bytes. Writes tokenizer.json, tokenizer_config.json and
 * special_tokens_map.json into dir, which is made when absent. */
SEA_MUST_CHECK enum sea_status
sea_tokenizer_train(const struct sea_tokenizer_train *options, const char *dir,
                    struct sea_err *err);

#endif
