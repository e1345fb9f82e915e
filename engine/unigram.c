/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The unigram model: of all ways to cut a text into words, the one with the highest sum of
 * scores. best[i] is the best way to cut the first i bytes; it is made from left to right.
 *
 * Two kinds of arithmetic are in the world and can differ in a near tie: `tokenizers` sums in
 * double, SentencePiece in float. Each file is computed the way of the library it belongs to.
 */
#include "engine/tokenizer_int.h"

#include <float.h>
#include <stdlib.h>
#include <string.h>

#define UNK_PENALTY 10.0

struct best {
    double score;
    int32_t from, id;           /* from -1: no way leads here yet */
};

void
sea_unigram_ready(struct sea_unigram *unigram)
{
    const struct sea_vocab *vocab = unigram->vocab;

    unigram->least = unigram->is_float ? FLT_MAX : DBL_MAX;
    unigram->most = FLT_MIN;
    for (int32_t id = 0; id < unigram->count; id++) {
        if (unigram->is_float && unigram->kinds[id] != SEA_WORD_NORMAL)
            continue;
        if (unigram->scores[id] < unigram->least)
            unigram->least = unigram->scores[id];
        if (unigram->scores[id] > unigram->most)
            unigram->most = unigram->scores[id];
    }
    for (int32_t id = 0; id < unigram->count; id++)
        if (!unigram->is_float || unigram->kinds[id] == SEA_WORD_NORMAL ||
            unigram->kinds[id] == SEA_WORD_USER)
            sea_trie_add(&unigram->trie, vocab->words[id], vocab->lens[id], id);
    sea_trie_freeze(&unigram->trie);
}

void
sea_unigram_release(struct sea_unigram *unigram)
{
    sea_trie_release(&unigram->trie);
    free(unigram->scores);
    free(unigram->kinds);
}

static void
offer(const struct sea_unigram *unigram, struct best *best, size_t from, size_t end, int32_t id,
      double score)
{
    double sum = score + best[from].score;

    if (unigram->is_float)
        sum = (double)(float)sum;
    if (best[end].from >= 0 && sum <= best[end].score)
        return;
    best[end] = (struct best){ sum, (int32_t)from, id };
}

/* A user's word is always taken: SentencePiece gives it more than any other way can get. */
static double
score_of(const struct sea_unigram *unigram, int32_t id, size_t len)
{
    if (unigram->is_float && unigram->kinds[id] == SEA_WORD_USER)
        return (double)((float)len * (float)unigram->most) - 0.1;
    return unigram->scores[id];
}

static void
find_best(const struct sea_unigram *unigram, const char *text, size_t len, struct best *best)
{
    double unk = unigram->least - UNK_PENALTY;
    uint32_t code;

    if (unigram->is_float)
        unk = (double)(float)unk;
    for (size_t i = 1; i <= len; i++)
        best[i].from = -1;
    best[0] = (struct best){ 0, 0, -1 };
    for (size_t at = 0, n; at < len; at += n) {
        bool has_single = false;
        int32_t node = 0, id;

        n = sea_utf8_next(text + at, len - at, &code);
        for (size_t end = at; end < len;) {
            node = sea_trie_walk(&unigram->trie, node, (unsigned char)text[end]);
            if (node < 0)
                break;
            end++;
            id = unigram->trie.cells[node].id;
            if (id < 0)
                continue;
            offer(unigram, best, at, end, id, score_of(unigram, id, end - at));
            has_single |= end - at == n;
        }
        if (!has_single)
            offer(unigram, best, at, at + n, unigram->unk, unk);
    }
}

/* What is no word: bytes, or the unknown word. */
static enum sea_status
put_unknown(const struct sea_unigram *unigram, const char *text, size_t len, struct sea_ids *ids,
            struct sea_err *err)
{
    bool all = unigram->byte_fallback;

    for (size_t i = 0; i < len && all; i++)
        all = unigram->bytes[(unsigned char)text[i]] >= 0;
    for (size_t i = 0; i < len && all; i++)
        sea_ids_add(ids, unigram->bytes[(unsigned char)text[i]]);
    if (all)
        return SEA_OK;
    if (unigram->unk < 0) {
        sea_fail(err, SEA_E_FORMAT, "\"%.*s\" is no word of the tokenizer, which has none for "
                                    "unknown ones", (int)(len < 40 ? len : 40), text);
        sea_hint(err, "Give the tokenizer an unk_id, or byte_fallback.");
        return err->status;
    }
    sea_ids_add(ids, unigram->unk);
    return SEA_OK;
}

/* A run of unknown ones is one; as a whole it may still be a word (of a low score). */
static enum sea_status
put_run(const struct sea_unigram *unigram, const char *text, size_t len, struct sea_ids *ids,
        struct sea_err *err)
{
    int32_t id = -1;

    if (!unigram->is_float)
        id = sea_vocab_find(unigram->vocab, text, len);
    if (id < 0 || id >= unigram->count)
        return put_unknown(unigram, text, len, ids, err);
    sea_ids_add(ids, id);
    return SEA_OK;
}

enum sea_status
sea_unigram_encode(const struct sea_unigram *unigram, const char *text, size_t len,
                   struct sea_ids *ids, struct sea_err *err)
{
    struct best *best = sea_xrealloc(NULL, len + 1, sizeof(*best));
    enum sea_status status = SEA_OK;
    size_t count = 0, at = len;

    find_best(unigram, text, len, best);
    /* The way back, turned round: best[] before `at` is read, what lies behind is free. */
    for (size_t end = len; end; end = at) {
        struct best word = best[end];

        at = (size_t)word.from;
        best[len - count++] = (struct best){ 0, (int32_t)at, word.id };
    }
    for (size_t i = 0; i < count && !status; i++) {
        struct best word = best[len - count + 1 + i];
        size_t end = i + 1 < count ? (size_t)best[len - count + 2 + i].from : len;

        /* SentencePiece spells unknown ones in bytes one by one: the same bytes. */
        while (word.id == unigram->unk && i + 1 < count &&
               best[len - count + 2 + i].id == unigram->unk) {
            i++;
            end = i + 1 < count ? (size_t)best[len - count + 2 + i].from : len;
        }
        if (word.id == unigram->unk)
            status = put_run(unigram, text + word.from, end - (size_t)word.from, ids, err);
        else
            sea_ids_add(ids, word.id);
    }
    free(best);
    return status;
}
