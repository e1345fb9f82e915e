/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_int.h - the parts of a tokenizer, in the order in which text goes through them
 *
 *   tokenizer_added.c    cuts out added words ("</s>") before and after the normalizer
 *   tokenizer_text.c     normalizers, then pre-tokenizers: text becomes words (spans)
 *   bpe.c                a word becomes ids, by merging pairs
 *   tokenizer.c          the template around them, and the public calls
 *   tokenizer_decode.c   the way back
 *   tokenizer_parse.c    tokenizer.json into all of these; tokenizer_steps.c its lists of steps
 *   tokenizer_spm.c      the same from SentencePiece's tokenizer.model
 *   tokenizer_regex.c    PCRE2;  tokenizer_unicode.c  utf8proc
 *   bpe_train.c          a new tokenizer from texts
 */
#ifndef SEA_TOKENIZER_INT_H
#define SEA_TOKENIZER_INT_H

#include <pthread.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_node.h"
#include "engine/sea_tokenizer.h"

struct sea_span {               /* bytes at .. end - 1 of some text */
    size_t at, end;
};
struct sea_spans {              /* all zero is empty */
    struct sea_span *list;
    size_t count, room;
};
void sea_spans_add(struct sea_spans *spans, size_t at, size_t end);
void sea_spans_release(struct sea_spans *spans);

/* ---- tokenizer_unicode.c ---- */

/* Length of the character at text (which is valid UTF-8), and its code point. */
size_t sea_utf8_next(const char *text, size_t len, uint32_t *code);
size_t sea_utf8_put(char out[4], uint32_t code);
/* Position of the first byte that is no UTF-8; len when all are. */
size_t sea_utf8_check(const char *text, size_t len);
bool sea_unicode_is_space(uint32_t code);       /* White_Space */
bool sea_unicode_is_word(uint32_t code);        /* letter, mark, digit, connector */
enum sea_unicode_form { SEA_FORM_NFC, SEA_FORM_NFD, SEA_FORM_NFKC, SEA_FORM_NFKD };
/* out is appended to. */
SEA_MUST_CHECK enum sea_status
sea_unicode_normalize(enum sea_unicode_form form, const char *text, size_t len,
                      struct sea_buf *out, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_unicode_lower(const char *text, size_t len, struct sea_buf *out, struct sea_err *err);
/* GPT-2's table: each byte has a visible character. byte_of gives -1 for others. */
uint32_t sea_byte_char(unsigned char byte);
int sea_byte_of_char(uint32_t code);

/* ---- tokenizer_regex.c ---- */

struct sea_regex;
/* literal: the pattern is plain text. */
SEA_MUST_CHECK enum sea_status
sea_regex_create(struct sea_regex **out, const char *pattern, size_t len, bool literal,
                 struct sea_err *err);
void sea_regex_destroy(struct sea_regex *regex);        /* accepts NULL */
/* Adds the spans of all matches that are not empty. */
SEA_MUST_CHECK enum sea_status
sea_regex_find(const struct sea_regex *regex, const char *text, size_t len,
               struct sea_spans *out, struct sea_err *err);

/* ---- tokenizer_text.c ---- */

enum sea_norm_kind {
    SEA_NORM_FORM, SEA_NORM_LOWER, SEA_NORM_REPLACE, SEA_NORM_PREPEND, SEA_NORM_STRIP
};
struct sea_norm {
    enum sea_norm_kind kind;
    enum sea_unicode_form form;
    struct sea_regex *regex;    /* REPLACE */
    const char *text;           /* REPLACE, PREPEND */
    size_t len;
    bool left, right;           /* STRIP */
};

enum sea_split_behavior {
    SEA_SPLIT_REMOVED, SEA_SPLIT_ISOLATED, SEA_SPLIT_WITH_PREVIOUS, SEA_SPLIT_WITH_NEXT,
    SEA_SPLIT_CONTIGUOUS
};
enum sea_pre_kind { SEA_PRE_SPLIT, SEA_PRE_PREFIX_SPACE, SEA_PRE_METASPACE };
enum sea_prepend { SEA_PREPEND_NEVER, SEA_PREPEND_FIRST, SEA_PREPEND_ALWAYS };
struct sea_pre {
    enum sea_pre_kind kind;
    struct sea_regex *regex;    /* SPLIT */
    enum sea_split_behavior behavior;
    bool invert;
    const char *mark;           /* METASPACE: what stands for a blank */
    enum sea_prepend prepend;
};

struct sea_work {               /* text on its way; all zero but text */
    struct sea_buf text, other;
    struct sea_spans words, next, matches;
};
void sea_work_init(struct sea_work *work);
void sea_work_release(struct sea_work *work);

struct sea_tokenizer;
/* text into work->text. */
SEA_MUST_CHECK enum sea_status
sea_text_normalize(const struct sea_tokenizer *tokenizer, const char *text, size_t len,
                   enum sea_piece piece, struct sea_work *work, struct sea_err *err);
/* work->words, which holds one span, into words; the text may change, too. */
SEA_MUST_CHECK enum sea_status
sea_text_split(const struct sea_tokenizer *tokenizer, struct sea_work *work,
               enum sea_piece piece, struct sea_err *err);

/* ---- tokenizer_added.c ---- */

struct sea_added {
    const char *content;        /* as written */
    const char *match;          /* what is looked for: normalized when the file says so */
    size_t match_len;
    int32_t id;
    bool special, normalized, lstrip, rstrip, single_word;
};
struct sea_added_set {          /* those that are looked for in one pass */
    const struct sea_added **list;      /* by first byte, then longest first */
    size_t count;
    size_t first[257];          /* list[first[b] .. first[b + 1]) begin with byte b */
};
void sea_added_set_init(struct sea_added_set *set, const struct sea_added *all, size_t count,
                        bool normalized, struct sea_arena *arena);
/* The next added word in text[from..len): its span, with the blanks it strips. NULL: none. */
const struct sea_added *
sea_added_next(const struct sea_added_set *set, const char *text, size_t len, size_t from,
               struct sea_span *out);

/* ---- bpe.c ---- */

struct sea_vocab {              /* words by id and ids by word */
    const char **words;         // (count), NULL where an id has no word
    uint32_t *lens;             // (count)
    int32_t count;              /* largest id + 1 */
    int32_t *slots;             /* id + 1 by hash, 0 is free */
    size_t slot_mask, used;
};
void sea_vocab_release(struct sea_vocab *vocab);
/* word is borrowed for the life of the vocabulary. False: the word has another id. */
bool sea_vocab_add(struct sea_vocab *vocab, const char *word, size_t len, int32_t id);
int32_t sea_vocab_find(const struct sea_vocab *vocab, const char *word, size_t len);

struct sea_merge {              /* pair -> id of the merged word; low rank first */
    uint64_t pair;              /* left << 32 | right; UINT64_MAX: free slot */
    uint32_t rank;
    int32_t id;
};
struct sea_bpe_cache;
struct sea_bpe {
    const struct sea_vocab *vocab;
    struct sea_merge *merges;   /* hashed by pair */
    size_t merge_mask, merge_count;
    int32_t bytes[256];         /* byte_level: id of the byte's character; else of <0xNN> */
    bool byte_level, byte_fallback, fuse_unk, ignore_merges;
    const char *suffix;         /* end_of_word_suffix, "" when none */
    int32_t unk;                /* -1: unknown characters are left out */
    struct sea_bpe_cache *cache;
};
void sea_bpe_reserve(struct sea_bpe *bpe, size_t merges);       /* before the first add */
/* A pair that is there already gets the new rank and id, as in tokenizers. */
void sea_bpe_add(struct sea_bpe *bpe, int32_t left, int32_t right, int32_t id, uint32_t rank);
const struct sea_merge *sea_bpe_find(const struct sea_bpe *bpe, int32_t left, int32_t right);
void sea_bpe_release(struct sea_bpe *bpe);
/* Adds the ids of one word. */
void sea_bpe_encode(struct sea_bpe *bpe, const char *word, size_t len, struct sea_ids *ids);

/* ---- tokenizer_decode.c ---- */

enum sea_dec_kind {
    SEA_DEC_BYTE_LEVEL, SEA_DEC_REPLACE, SEA_DEC_BYTE_FALLBACK, SEA_DEC_FUSE, SEA_DEC_STRIP,
    SEA_DEC_METASPACE, SEA_DEC_SUFFIX
};
struct sea_dec {
    enum sea_dec_kind kind;
    struct sea_regex *regex;    /* REPLACE */
    const char *text;           /* REPLACE, STRIP: a character, METASPACE: mark, SUFFIX */
    size_t len;
    int64_t start, stop;        /* STRIP */
    bool drops_first;           /* METASPACE: no blank at the very start */
};

/* ---- all of it ---- */

#define SEA_TOKENIZER_STEPS 32

struct sea_tokenizer {
    struct sea_arena *arena;
    struct sea_vocab vocab;
    struct sea_bpe bpe;
    struct sea_norm norms[SEA_TOKENIZER_STEPS];
    struct sea_pre pres[SEA_TOKENIZER_STEPS];
    struct sea_dec decs[SEA_TOKENIZER_STEPS];
    size_t norm_count, pre_count, dec_count;
    struct sea_added *added;
    size_t added_count;
    struct sea_added_set raw, normal;
    bool *special;              // (vocab.count)
    struct sea_ids prefix, suffix;      /* what add_special puts around */
    struct sea_tokenizer_special ids;
};
/* The steps of a tokenizer.json, each a part of it: tokenizer_steps.c. path is for messages. */
SEA_MUST_CHECK enum sea_status
sea_steps_parse(struct sea_tokenizer *tokenizer, const struct sea_node *root, const char *path,
                struct sea_err *err);
/* Vocabulary and merges of a SentencePiece file; *out is what tokenizer.json would say about
 * the rest (its BOS stands in prefix already). tokenizer_spm.c */
SEA_MUST_CHECK enum sea_status
sea_spm_read(struct sea_tokenizer *tokenizer, const char *path, const char *dir,
             struct sea_arena *arena, struct sea_node **out, struct sea_err *err);
/* Fills a tokenizer that has its arena. path is tokenizer.json or tokenizer.model, dir its
 * folder or NULL. */
SEA_MUST_CHECK enum sea_status
sea_tokenizer_parse(struct sea_tokenizer *tokenizer, const char *path, const char *dir,
                    struct sea_err *err);

#define SEA_REGEX_GPT2 \
    "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+"
#define SEA_REGEX_LLAMA3 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}|" \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#endif
