/* SPDX-License-Identifier: Apache-2.0 */
/*
 * tokenizer_int.h - the parts of a tokenizer, in the order in which text goes through them
 *
 *   tokenizer_added.c    cuts out added words ("</s>") before and after the normalizer
 *   tokenizer_text.c     normalizers, then pre-tokenizers: text becomes words (spans)
 *   tokenizer_cache.c    words seen before
 *   bpe.c, unigram.c     a word becomes ids: by merging pairs, by the best sum of scores
 *   tokenizer.c          the template around them, and the public calls
 *   tokenizer_decode.c   the way back
 *   tokenizer_parse.c    tokenizer.json into all of these: tokenizer_model.c its vocabulary,
 *                        tokenizer_steps.c its lists of steps
 *   tokenizer_config.c   words that are added by the files beside it
 *   tokenizer_spm.c      the same from SentencePiece's tokenizer.model; spm_text.c what it does
 *                        with text
 *   tokenizer_split.c    the best known patterns by hand;  tokenizer_regex.c  PCRE2
 *   tokenizer_unicode.c  UTF-8 and classes;  tokenizer_forms.c  normal forms;  both utf8proc
 *   tokenizer_charsmap.c SentencePiece's table of characters;  tokenizer_trie.c  words by bytes
 *   bpe_train.c          a new tokenizer from texts;  bpe_train_write.c  its files
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

struct sea_text {               /* borrowed bytes */
    const char *text;
    size_t len;
};

/* ---- tokenizer_tables.c: where `tokenizers` and the libraries differ ---- */

struct sea_codes {              /* code points first .. last; lists are sorted */
    uint32_t first, last;
};
struct sea_code_category {
    uint32_t first, last;
    char name[3];
};
struct sea_code_lower {
    uint32_t first, last;
    int32_t delta;
};
extern const struct sea_code_category sea_new_categories[];     /* newer than Unicode 14 */
extern const struct sea_code_lower sea_new_lower[];
extern const struct sea_codes sea_no_form[];    /* normal forms leave these as they are */
extern const struct sea_codes sea_no_accent[];  /* marks that StripAccents leaves in */
extern const struct sea_codes sea_no_punctuation[];
extern const size_t sea_new_categories_count, sea_new_lower_count, sea_no_form_count,
    sea_no_accent_count, sea_no_punctuation_count;

/* ---- tokenizer_unicode.c ---- */

bool sea_codes_hold(const struct sea_codes *list, size_t count, uint32_t code);
/* General category, two letters; "Cn": no character. */
const char *sea_unicode_category(uint32_t code);
bool sea_unicode_is_punctuation(uint32_t code);
bool sea_unicode_is_accent(uint32_t code);
enum sea_class {
    SEA_CLASS_OTHER, SEA_CLASS_LETTER, SEA_CLASS_NUMBER, SEA_CLASS_SPACE, SEA_CLASS_LINE,
    SEA_CLASS_END
};
#define SEA_CLASS_CODES 0x34000u        /* all above are SEA_CLASS_OTHER */
const unsigned char *sea_unicode_classes(void); // (SEA_CLASS_CODES)

/* Length of the character at text (which is valid UTF-8), and its code point. */
size_t sea_utf8_next(const char *text, size_t len, uint32_t *code);
size_t sea_utf8_put(char out[4], uint32_t code);
/* Position of the first byte that is no UTF-8; len when all are. */
size_t sea_utf8_check(const char *text, size_t len);
bool sea_unicode_is_space(uint32_t code);       /* White_Space */
bool sea_unicode_is_word(uint32_t code);        /* letter, mark, digit, connector */
/* GPT-2's table: each byte has a visible character. byte_of gives -1 for others. */
uint32_t sea_byte_char(unsigned char byte);
int sea_byte_of_char(uint32_t code);
int sea_hex_digit(char c);      /* -1: none */

/* ---- tokenizer_forms.c ---- */

enum sea_unicode_form { SEA_FORM_NFC, SEA_FORM_NFD, SEA_FORM_NFKC, SEA_FORM_NFKD };
/* out is appended to. */
SEA_MUST_CHECK enum sea_status
sea_unicode_normalize(enum sea_unicode_form form, const char *text, size_t len,
                      struct sea_buf *out, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_unicode_lower(const char *text, size_t len, struct sea_buf *out, struct sea_err *err);
/* Bytes of the cluster that text begins with: a character and what belongs to it. */
size_t sea_grapheme_next(const char *text, size_t len);

/* ---- tokenizer_split.c ---- */

enum sea_hand {                 /* matches that need no engine for patterns */
    SEA_HAND_NONE, SEA_HAND_GPT2, SEA_HAND_LLAMA3, SEA_HAND_QWEN2,
    SEA_HAND_WORDS,             /* \w+|[^\w\s]+ */
    SEA_HAND_SPACE, SEA_HAND_DIGIT, SEA_HAND_PUNCTUATION        /* each one alone */
};
enum sea_hand sea_hand_of(const char *pattern, size_t len);
void sea_hand_find(enum sea_hand hand, const char *text, size_t len, struct sea_spans *out);

/* ---- tokenizer_regex.c ---- */

struct sea_regex;
/* literal: the pattern is plain text. */
SEA_MUST_CHECK enum sea_status
sea_regex_create(struct sea_regex **out, const char *pattern, size_t len, bool literal,
                 struct sea_err *err);
struct sea_regex *sea_regex_by_hand(enum sea_hand hand);
void sea_regex_destroy(struct sea_regex *regex);        /* accepts NULL */
/* Adds the spans of all matches that are not empty. */
SEA_MUST_CHECK enum sea_status
sea_regex_find(const struct sea_regex *regex, const char *text, size_t len,
               struct sea_spans *out, struct sea_err *err);

/* ---- tokenizer_trie.c ---- */

struct sea_trie_cell {
    int32_t base;               /* the step by byte b leads to cell base + b, */
    int32_t check;              /* if that cell's parent is this one; -1: free */
    int32_t id;                 /* -1: no word ends here */
};
struct sea_trie {               /* all zero is empty; node 0 is the root */
    uint64_t *keys;             /* node << 8 | byte, plus 1; 0 is free */
    int32_t *next;              /* the node they lead to */
    size_t mask, room;
    int32_t *ids;               // (count), -1: no word ends here
    int32_t count;
    struct sea_trie_cell *cells;        /* after freeze, instead of all above */
};
/* Lays the trie out anew, for walks of one look a byte: nodes have other numbers then, and
 * only sea_trie_walk reads it. Nothing can be added. */
void sea_trie_freeze(struct sea_trie *trie);
/* The node that a byte leads to in a frozen trie, -1: none; its word is cells[node].id. */
static inline int32_t
sea_trie_walk(const struct sea_trie *trie, int32_t node, unsigned char byte)
{
    int32_t to = trie->cells[node].base + byte;

    return trie->cells[to].check == node ? to : -1;
}
void sea_trie_add(struct sea_trie *trie, const char *word, size_t len, int32_t id);
int32_t sea_trie_step(const struct sea_trie *trie, int32_t node, unsigned char byte);
/* Bytes of the longest word that text begins with, 0: none; *id is its id, or -1. */
size_t sea_trie_longest(const struct sea_trie *trie, const char *text, size_t len, int32_t *id);
void sea_trie_release(struct sea_trie *trie);

/* ---- tokenizer_charsmap.c ---- */

struct sea_charsmap;
/* Lives in the arena. */
SEA_MUST_CHECK enum sea_status
sea_charsmap_read(const struct sea_charsmap **out, const unsigned char *bytes, size_t len,
                  struct sea_arena *arena, const char *path, struct sea_err *err);
/* Bytes of the longest (or shortest) entry that text begins with, 0: none. */
size_t sea_charsmap_find(const struct sea_charsmap *map, const char *text, size_t len,
                         bool longest, struct sea_text *to);
/* Whether an entry begins with these bytes; those of a damaged table may lead nowhere. */
bool sea_charsmap_begins(const struct sea_charsmap *map, const char *text, size_t len);
/* As the normalizer "Precompiled" of `tokenizers` does it, which is not SentencePiece's way. */
SEA_MUST_CHECK enum sea_status
sea_charsmap_apply(const struct sea_charsmap *map, const char *text, size_t len,
                   struct sea_buf *out, struct sea_err *err);

/* ---- spm_text.c ---- */

struct sea_spm_text {           /* what tokenizer.model says about text */
    const struct sea_charsmap *map;     /* NULL: none */
    struct sea_trie users;      /* pieces of the user: left as they are */
    bool add_prefix, strips, escapes, suffix_mode;
    bool is_legacy;             /* text after a special word also gets its blank */
    int32_t unk;
    const unsigned char *kinds; // (count), enum sea_word_kind
    int32_t count;
    const char *unk_surface;    /* what the unknown word is written as */
    bool plain[128];            /* ASCII that is left as it is where ASCII or nothing follows */
};
/* Finds what is plain; map and users are complete. */
void sea_spm_ready(struct sea_spm_text *spm);
SEA_MUST_CHECK enum sea_status
sea_spm_normalize(const struct sea_spm_text *spm, const char *text, size_t len,
                  enum sea_piece piece, struct sea_buf *out, struct sea_err *err);

/* ---- tokenizer_text.c ---- */

enum sea_norm_kind {
    SEA_NORM_FORM, SEA_NORM_LOWER, SEA_NORM_REPLACE, SEA_NORM_PREPEND, SEA_NORM_STRIP,
    SEA_NORM_ACCENTS, SEA_NORM_CHARSMAP, SEA_NORM_NMT, SEA_NORM_SPM
};
struct sea_norm {
    enum sea_norm_kind kind;
    enum sea_unicode_form form;
    struct sea_regex *regex;    /* REPLACE */
    const char *text;           /* REPLACE, PREPEND */
    size_t len;
    bool left, right;           /* STRIP */
    const struct sea_charsmap *map;     /* CHARSMAP */
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
    struct sea_buf text, other, part;
    struct sea_spans words, next, matches;
    size_t front;               /* bytes at the start of text that come from its first
                                   character: words that begin there are the start of a text to
                                   Metaspace's "first"; 0 when a normalizer dropped them all */
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
struct sea_added_scan {         /* all zero at the start of a text */
    size_t search;              /* the next word is looked for from here */
    size_t done;                /* text up to here is taken; a word that was found inside
                                   blanks taken before can begin earlier */
};
/* The next added word in text: its span, with the blanks it strips. NULL: none. */
const struct sea_added *
sea_added_next(const struct sea_added_set *set, const char *text, size_t len,
               struct sea_added_scan *scan, struct sea_span *out);

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
uint64_t sea_word_hash(const char *bytes, size_t len);

struct sea_merge {              /* pair -> id of the merged word; low rank first */
    uint64_t pair;              /* left << 32 | right; UINT64_MAX: free slot */
    uint32_t rank;
    int32_t id;
};
struct sea_bpe_symbol {         /* of SentencePiece: with an id behind the vocabulary's */
    const char *text;
    size_t len;
    int32_t id;                 /* of its piece, -1: none, a character that can be merged */
};
struct sea_bpe {
    const struct sea_vocab *vocab;
    struct sea_merge *merges;   /* hashed by pair */
    size_t merge_mask, merge_count;
    int32_t bytes[256];         /* byte_level: id of the byte's character; else of <0xNN> */
    bool byte_level, byte_fallback, fuse_unk, ignore_merges;
    bool cuts_at_mark;          /* no word goes from another character to U+2581 */
    const char *suffix;         /* end_of_word_suffix, "" when none */
    int32_t unk;                /* -1: unknown characters are left out */
    int32_t own_count;          /* ids of the model itself; added words can have more */
    bool *hidden;               // (own_count), NULL: none; ids among them of added words
    /* SentencePiece; symbols is NULL otherwise */
    struct sea_bpe_symbol *symbols;     /* ids own_count and up */
    struct sea_trie users, characters;  /* text to id of a symbol */
    bool *unused;               // (own_count) pieces that are taken apart again
};
void sea_bpe_reserve(struct sea_bpe *bpe, size_t merges);       /* before the first add */
/* A pair that is there already gets the new rank and id, as in tokenizers. */
void sea_bpe_add(struct sea_bpe *bpe, int32_t left, int32_t right, int32_t id, uint32_t rank);
void sea_bpe_release(struct sea_bpe *bpe);
/* Adds the ids of one word. */
void sea_bpe_encode(const struct sea_bpe *bpe, const char *word, size_t len, struct sea_ids *ids);

/* ---- unigram.c ---- */

enum sea_word_kind {            /* as SentencePiece numbers them */
    SEA_WORD_NORMAL = 1, SEA_WORD_UNKNOWN, SEA_WORD_CONTROL, SEA_WORD_USER, SEA_WORD_UNUSED,
    SEA_WORD_BYTE
};
struct sea_unigram {
    const struct sea_vocab *vocab;      /* its first `count` words have scores */
    int32_t count, unk;         /* unk -1: none */
    double *scores;             // (count)
    unsigned char *kinds;       // (count), with is_float only
    bool is_float;              /* SentencePiece's arithmetic and kinds, else `tokenizers`' */
    bool byte_fallback;
    int32_t bytes[256];         /* of <0xNN> */
    double least, most;         /* scores */
    struct sea_trie trie;
};
void sea_unigram_ready(struct sea_unigram *unigram);    /* once all above trie is set */
void sea_unigram_release(struct sea_unigram *unigram);
/* Adds the ids of one word. SEA_E_FORMAT: it needs an unknown word, there is none. */
SEA_MUST_CHECK enum sea_status
sea_unigram_encode(const struct sea_unigram *unigram, const char *text, size_t len,
                   struct sea_ids *ids, struct sea_err *err);

/* ---- tokenizer_cache.c ---- */

struct sea_seen;
struct sea_seen *sea_seen_create(void);
void sea_seen_destroy(struct sea_seen *words);        /* accepts NULL */
/* Adds the ids of one word, by the tokenizer's model. */
SEA_MUST_CHECK enum sea_status
sea_word_encode(struct sea_tokenizer *tokenizer, const char *word, size_t len,
                struct sea_ids *ids, struct sea_err *err);

/* ---- tokenizer_decode.c ---- */

enum sea_dec_kind {
    SEA_DEC_BYTE_LEVEL, SEA_DEC_REPLACE, SEA_DEC_BYTE_FALLBACK, SEA_DEC_FUSE, SEA_DEC_STRIP,
    SEA_DEC_METASPACE, SEA_DEC_SUFFIX, SEA_DEC_WORDPIECE
};
struct sea_dec {
    enum sea_dec_kind kind;
    struct sea_regex *regex;    /* REPLACE */
    const char *text;           /* REPLACE, STRIP: a character, METASPACE: mark, SUFFIX,
                                   WORDPIECE: prefix */
    size_t len;
    int64_t start, stop;        /* STRIP */
    bool drops_first;           /* METASPACE: no blank at the very start */
    bool cleans;                /* WORDPIECE: no blanks before marks */
};

/* ---- all of it ---- */

#define SEA_TOKENIZER_STEPS 32

enum sea_model_kind { SEA_MODEL_BPE, SEA_MODEL_UNIGRAM };

struct sea_tokenizer {
    struct sea_arena *arena;
    struct sea_vocab vocab;
    enum sea_model_kind kind;
    struct sea_bpe bpe;
    struct sea_unigram unigram;
    bool is_spm;                /* from tokenizer.model: spm says what is done with text */
    struct sea_spm_text spm;
    struct sea_seen *words;
    struct sea_norm norms[SEA_TOKENIZER_STEPS];
    struct sea_pre pres[SEA_TOKENIZER_STEPS];
    struct sea_dec decs[SEA_TOKENIZER_STEPS];
    size_t norm_count, pre_count, dec_count;
    struct sea_added *added;
    size_t added_count;
    struct sea_added_set raw, normal;
    bool *special;              // (vocab.count)
    struct sea_text *shown;     // (vocab.count) what decoding starts from; an added word that
                                // is looked for in normalized text shows in that form
    struct sea_ids prefix, suffix;      /* what add_special puts around */
    struct sea_tokenizer_special ids;
};
/* The steps of a tokenizer.json, each a part of it: tokenizer_steps.c. path is for messages. */
SEA_MUST_CHECK enum sea_status
sea_steps_parse(struct sea_tokenizer *tokenizer, const struct sea_node *root, const char *path,
                struct sea_err *err);
/* The model of a tokenizer.json, or NULL: vocabulary, merges, scores. tokenizer_model.c */
SEA_MUST_CHECK enum sea_status
sea_model_parse(struct sea_tokenizer *tokenizer, const struct sea_node *model, const char *path,
                struct sea_err *err);
void sea_model_find_bytes(const struct sea_vocab *vocab, bool byte_level, int32_t bytes[256]);
/* All of a SentencePiece file; *out holds what tokenizer.json would say about added words (its
 * BOS stands in prefix already). tokenizer_spm.c */
SEA_MUST_CHECK enum sea_status
sea_spm_read(struct sea_tokenizer *tokenizer, const char *path, const char *dir,
             struct sea_arena *arena, struct sea_node **out, struct sea_err *err);
struct sea_token_files {        /* of the folder, NULL where there is none */
    struct sea_node *config;    /* tokenizer_config.json */
    struct sea_node *map;       /* special_tokens_map.json */
    struct sea_node *more;      /* added_tokens.json */
};
/* Adds to root's "added_tokens" what the files beside it know more. tokenizer_config.c */
void sea_added_complete(struct sea_tokenizer *tokenizer, struct sea_node *root,
                        const struct sea_token_files *files, struct sea_arena *arena);
/* What SentencePiece writes for these ids. spm_text.c */
SEA_MUST_CHECK enum sea_status
sea_spm_decode(const struct sea_tokenizer *tokenizer, const int32_t *ids, size_t count,
               bool skip_special, struct sea_buf *out, struct sea_err *err);
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

#define SEA_REGEX_QWEN2 \
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}|" \
    " ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+"

#define SEA_SPM_MARK "\xE2\x96\x81"     /* what stands for a blank */

/* ---- bpe_train_write.c ---- */

struct sea_bpe_trained {        /* borrowed */
    const struct sea_tokenizer_train *options;
    const struct sea_vocab *vocab;      /* in the byte characters, special words first */
    const struct sea_buf *merges;       /* JSON: the pairs in their order, without brackets */
    int64_t merges_count;
};
/* tokenizer.json and its companions in dir, which is made. */
SEA_MUST_CHECK enum sea_status
sea_bpe_trained_write(const struct sea_bpe_trained *trained, const char *dir,
                      struct sea_arena *arena, struct sea_err *err);

#endif
