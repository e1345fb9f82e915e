/* SPDX-License-Identifier: Apache-2.0 */
/* The model of a tokenizer.json: its words, and merges or scores. */
#include "engine/tokenizer_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#define VOCAB_MAX ((int64_t)1 << 22)
#define PENALTY_MAX 1.0e30      /* sums of scores stay finite */

struct reader {
    struct sea_tokenizer *tokenizer;
    const char *path;
    struct sea_err *err;
};

#define BAD(reader, ...) sea_fail((reader)->err, SEA_E_FORMAT, __VA_ARGS__)

/* ---- BPE ---- */

static enum sea_status
read_vocab(struct reader *reader, const struct sea_node *node)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const struct sea_node *item;
    size_t len;

    if (!node || node->kind != SEA_NODE_MAP || !node->count)
        return BAD(reader, "\"%s\": the model has no \"vocab\"", reader->path);
    for (item = node->first; item; item = item->next) {
        if (item->kind != SEA_NODE_INT || item->integer < 0 || item->integer >= VOCAB_MAX)
            return BAD(reader, "\"%s\": word \"%.100s\" needs an id in 0 .. %lld", reader->path,
                       item->key, (long long)VOCAB_MAX - 1);
        len = strlen(item->key);
        if (!sea_vocab_add(&tokenizer->vocab, sea_arena_strndup(tokenizer->arena, item->key, len),
                           len, (int32_t)item->integer))
            return BAD(reader, "\"%s\": id %lld belongs to two words, one is \"%.100s\"",
                       reader->path, (long long)item->integer, item->key);
    }
    return SEA_OK;
}

struct piece {
    const char *text;
    size_t len;
};

/* "LEFT RIGHT" or ["LEFT", "RIGHT"] */
static bool
split_merge(const struct sea_node *item, struct piece *left, struct piece *right)
{
    const char *space;

    if (item->kind == SEA_NODE_LIST && item->count == 2 &&
        item->first->kind == SEA_NODE_STRING && item->last->kind == SEA_NODE_STRING) {
        *left = (struct piece){ item->first->text, item->first->text_len };
        *right = (struct piece){ item->last->text, item->last->text_len };
        return true;
    }
    if (item->kind != SEA_NODE_STRING || !(space = memchr(item->text, ' ', item->text_len)))
        return false;
    *left = (struct piece){ item->text, (size_t)(space - item->text) };
    *right = (struct piece){ space + 1, item->text_len - left->len - 1 };
    return !memchr(right->text, ' ', right->len);
}

static enum sea_status
read_merges(struct reader *reader, const struct sea_node *list)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const struct sea_vocab *vocab = &tokenizer->vocab;
    struct piece left = { 0 }, right = { 0 };
    const struct sea_node *item;
    struct sea_buf whole;
    uint32_t rank = 0;
    int32_t ids[3];

    if (!list || list->kind != SEA_NODE_LIST)
        return BAD(reader, "\"%s\": the model has no list \"merges\"", reader->path);
    sea_bpe_reserve(&tokenizer->bpe, list->count);
    sea_buf_init(&whole, SIZE_MAX / 2);
    for (item = list->first; item; item = item->next, rank++) {
        if (!split_merge(item, &left, &right)) {
            BAD(reader, "\"%s\": merge %u is no pair of words", reader->path, rank);
            break;
        }
        sea_buf_clear(&whole);
        sea_buf_add(&whole, left.text, left.len);
        sea_buf_add(&whole, right.text, right.len);
        ids[0] = sea_vocab_find(vocab, left.text, left.len);
        ids[1] = sea_vocab_find(vocab, right.text, right.len);
        ids[2] = sea_vocab_find(vocab, whole.data, whole.len);
        if (ids[0] < 0 || ids[1] < 0 || ids[2] < 0) {
            BAD(reader, "\"%s\": merge %u, \"%.80s\" with \"%.80s\", names a word that is not in "
                        "the vocabulary", reader->path, rank, left.text, right.text);
            break;
        }
        sea_bpe_add(&tokenizer->bpe, ids[0], ids[1], ids[2], rank);
    }
    sea_buf_release(&whole);
    return item ? reader->err->status : SEA_OK;
}

static enum sea_status
read_options(struct reader *reader, const struct sea_node *model)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    const char *prefix = sea_node_text(sea_node_get(model, "continuing_subword_prefix"), "");
    const char *suffix = sea_node_text(sea_node_get(model, "end_of_word_suffix"), "");
    const char *unk = sea_node_text(sea_node_get(model, "unk_token"), NULL);

    if (*prefix)
        return BAD(reader, "\"%s\": continuing_subword_prefix \"%s\" is not supported",
                   reader->path, prefix);
    if (strlen(suffix) > 32)
        return BAD(reader, "\"%s\": end_of_word_suffix is longer than 32 bytes", reader->path);
    if (sea_node_real(sea_node_get(model, "dropout"), 0) > 0)
        return BAD(reader, "\"%s\": BPE with \"dropout\" is not supported", reader->path);
    tokenizer->bpe.suffix = sea_arena_strdup(tokenizer->arena, suffix);
    tokenizer->bpe.fuse_unk = sea_node_bool(sea_node_get(model, "fuse_unk"), false);
    tokenizer->bpe.byte_fallback = sea_node_bool(sea_node_get(model, "byte_fallback"), false);
    tokenizer->bpe.ignore_merges = sea_node_bool(sea_node_get(model, "ignore_merges"), false);
    tokenizer->bpe.unk = unk ? sea_vocab_find(&tokenizer->vocab, unk, strlen(unk)) : -1;
    if (unk && tokenizer->bpe.unk < 0 && !tokenizer->bpe.byte_level)    /* bytes need none */
        return BAD(reader, "\"%s\": unk_token \"%.60s\" is not in the vocabulary", reader->path,
                   unk);
    return SEA_OK;
}

void
sea_model_find_bytes(const struct sea_vocab *vocab, bool byte_level, int32_t bytes[256])
{
    char name[8];
    size_t n;

    for (unsigned int b = 0; b < 256; b++) {
        if (byte_level)
            n = sea_utf8_put(name, sea_byte_char((unsigned char)b));
        else
            n = (size_t)snprintf(name, sizeof(name), "<0x%02X>", b);
        bytes[b] = sea_vocab_find(vocab, name, n);
    }
}

/* Can a text be cut before each U+2581 that follows another character, and the parts be
 * merged alone? Then no word may span such a place, and the mark itself must be a word. */
static bool
cuts_at_mark(const struct sea_bpe *bpe)
{
    if (bpe->byte_level || bpe->suffix[0] || sea_vocab_find(bpe->vocab, SEA_SPM_MARK, 3) < 0)
        return false;
    for (size_t i = 0; bpe->merge_count && i <= bpe->merge_mask; i++) {
        const struct sea_merge *merge = &bpe->merges[i];
        const char *word = merge->pair == UINT64_MAX ? NULL : bpe->vocab->words[merge->id];

        for (const char *at = word; at && (at = strstr(at, SEA_SPM_MARK)); at += 3)
            if (at > word && (at < word + 3 || memcmp(at - 3, SEA_SPM_MARK, 3) != 0))
                return false;
    }
    return true;
}

static enum sea_status
read_bpe(struct reader *reader, const struct sea_node *model)
{
    struct sea_bpe *bpe = &reader->tokenizer->bpe;
    enum sea_status status = read_vocab(reader, sea_node_get(model, "vocab"));

    bpe->vocab = &reader->tokenizer->vocab;
    if (!status)
        status = read_options(reader, model);
    if (!status)
        status = read_merges(reader, sea_node_get(model, "merges"));
    if (status)
        return status;
    sea_model_find_bytes(bpe->vocab, bpe->byte_level, bpe->bytes);
    bpe->cuts_at_mark = cuts_at_mark(bpe);
    bpe->own_count = bpe->vocab->count;
    return SEA_OK;
}

/* ---- unigram ---- */

/* [["WORD", score], ...]; a word's place is its id. */
static enum sea_status
read_scores(struct reader *reader, const struct sea_node *list)
{
    struct sea_tokenizer *tokenizer = reader->tokenizer;
    struct sea_unigram *unigram = &tokenizer->unigram;
    const struct sea_node *item;

    if (!list || list->kind != SEA_NODE_LIST || !list->count || list->count > (size_t)VOCAB_MAX)
        return BAD(reader, "\"%s\": the model has no list \"vocab\"", reader->path);
    unigram->scores = sea_xcalloc(list->count, sizeof(*unigram->scores));
    for (item = list->first; item; item = item->next) {
        const struct sea_node *word = item->first, *score = item->last;

        if (item->kind != SEA_NODE_LIST || item->count != 2 || word->kind != SEA_NODE_STRING ||
            (score->kind != SEA_NODE_REAL && score->kind != SEA_NODE_INT) ||
            !(fabs(score->real) < PENALTY_MAX))
            return BAD(reader, "\"%s\": word %d of the vocabulary is no pair of a text and a score",
                       reader->path, (int)unigram->count);
        if (!sea_vocab_add(&tokenizer->vocab,
                           sea_arena_strndup(tokenizer->arena, word->text, word->text_len),
                           word->text_len, unigram->count))
            return BAD(reader, "\"%s\": word \"%.100s\" is in the vocabulary twice", reader->path,
                       word->text);
        unigram->scores[unigram->count++] = score->real;
    }
    return SEA_OK;
}

static enum sea_status
read_unigram(struct reader *reader, const struct sea_node *model)
{
    struct sea_unigram *unigram = &reader->tokenizer->unigram;
    int64_t unk = sea_node_int(sea_node_get(model, "unk_id"), -1);
    enum sea_status status = read_scores(reader, sea_node_get(model, "vocab"));

    if (status)
        return status;
    if (unk < -1 || unk >= unigram->count)
        return BAD(reader, "\"%s\": unk_id %lld is none of the %d words", reader->path,
                   (long long)unk, (int)unigram->count);
    reader->tokenizer->kind = SEA_MODEL_UNIGRAM;
    unigram->vocab = &reader->tokenizer->vocab;
    unigram->unk = (int32_t)unk;
    unigram->byte_fallback = sea_node_bool(sea_node_get(model, "byte_fallback"), false);
    sea_model_find_bytes(unigram->vocab, false, unigram->bytes);
    sea_unigram_ready(unigram);
    if (reader->tokenizer->bpe.byte_level)
        return BAD(reader, "\"%s\": a Unigram model behind ByteLevel is not supported",
                   reader->path);
    return SEA_OK;
}

/* ---- both ---- */

enum sea_status
sea_model_parse(struct sea_tokenizer *tokenizer, const struct sea_node *model, const char *path,
                struct sea_err *err)
{
    struct reader reader = { tokenizer, path, err };
    const struct sea_node *vocab = sea_node_get(model, "vocab");
    const char *type = vocab && vocab->kind == SEA_NODE_LIST ? "Unigram" : "BPE";

    if (!model || model->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" has no \"model\"", path);
    type = sea_node_text(sea_node_get(model, "type"), type);
    tokenizer->bpe.suffix = "";
    tokenizer->bpe.unk = -1;
    if (!strcmp(type, "BPE"))
        return read_bpe(&reader, model);
    if (!strcmp(type, "Unigram"))
        return read_unigram(&reader, model);
    sea_fail(err, SEA_E_FORMAT, "\"%s\": tokenizer model \"%.60s\" is not supported, need BPE or "
                                "Unigram", path, type);
    sea_hint(err, "Use a model of the Llama, Qwen, Gemma, Phi, CLIP, SigLIP or T5 families.");
    return err->status;
}
