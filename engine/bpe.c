/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte-pair model: a word starts as its characters (or bytes) and the pair with the
 * lowest rank is merged until no pair has one; of equal ranks the leftmost first.
 *
 * SentencePiece's model is the same with other symbols: the pieces of its users are found
 * first and never merged, and a character that is no piece can still be merged into one.
 * Such symbols have ids behind those of the vocabulary (sea_bpe_symbol).
 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

/* ---- vocabulary ---- */

uint64_t
sea_word_hash(const char *bytes, size_t len)
{
    uint64_t hash = 14695981039346656037u;

    for (size_t i = 0; i < len; i++)
        hash = (hash ^ (unsigned char)bytes[i]) * 1099511628211u;
    return hash ^ hash >> 31;
}

void
sea_vocab_release(struct sea_vocab *vocab)
{
    free(vocab->words);
    free(vocab->lens);
    free(vocab->slots);
    *vocab = (struct sea_vocab){ 0 };
}

static bool
is_word(const struct sea_vocab *vocab, int32_t id, const char *word, size_t len)
{
    return vocab->lens[id] == len && memcmp(vocab->words[id], word, len) == 0;
}

static size_t
slot_of(const struct sea_vocab *vocab, const char *word, size_t len)
{
    size_t slot = sea_word_hash(word, len) & vocab->slot_mask;

    while (vocab->slots[slot] && !is_word(vocab, vocab->slots[slot] - 1, word, len))
        slot = (slot + 1) & vocab->slot_mask;
    return slot;
}

static void
vocab_grow(struct sea_vocab *vocab)
{
    size_t old_count = vocab->slots ? vocab->slot_mask + 1 : 0;
    size_t count = old_count ? 2 * old_count : 1024;
    int32_t *old = vocab->slots;

    vocab->slots = sea_xcalloc(count, sizeof(*vocab->slots));
    vocab->slot_mask = count - 1;
    for (size_t i = 0; i < old_count; i++)
        if (old[i]) {
            int32_t id = old[i] - 1;

            vocab->slots[slot_of(vocab, vocab->words[id], vocab->lens[id])] = old[i];
        }
    free(old);
}

bool
sea_vocab_add(struct sea_vocab *vocab, const char *word, size_t len, int32_t id)
{
    size_t slot, count = (size_t)vocab->count;

    if (!vocab->slots || 2 * (vocab->used + 1) > vocab->slot_mask)
        vocab_grow(vocab);
    slot = slot_of(vocab, word, len);
    if (vocab->slots[slot])
        return vocab->slots[slot] - 1 == id;
    if (id >= vocab->count) {
        size_t room = 1024;

        while (room <= (size_t)id)
            room *= 2;
        vocab->words = sea_xrealloc(vocab->words, room, sizeof(*vocab->words));
        vocab->lens = sea_xrealloc(vocab->lens, room, sizeof(*vocab->lens));
        for (; count <= (size_t)id; count++) {
            vocab->words[count] = NULL;
            vocab->lens[count] = 0;
        }
        vocab->count = id + 1;
    } else if (vocab->words[id]) {
        return false;
    }
    vocab->words[id] = word;
    vocab->lens[id] = (uint32_t)len;
    vocab->slots[slot] = id + 1;
    vocab->used++;
    return true;
}

int32_t
sea_vocab_find(const struct sea_vocab *vocab, const char *word, size_t len)
{
    return vocab->slots ? vocab->slots[slot_of(vocab, word, len)] - 1 : -1;
}

/* ---- merges ---- */

static size_t
merge_slot(const struct sea_bpe *bpe, uint64_t pair)
{
    uint64_t hash = pair * 0x9E3779B97F4A7C15u;
    size_t slot = (size_t)(hash >> 20) & bpe->merge_mask;

    while (bpe->merges[slot].pair != UINT64_MAX && bpe->merges[slot].pair != pair)
        slot = (slot + 1) & bpe->merge_mask;
    return slot;
}

void
sea_bpe_reserve(struct sea_bpe *bpe, size_t merges)
{
    size_t slots = 1024;

    while (slots < 2 * merges + 2)
        slots *= 2;
    bpe->merges = sea_xcalloc(slots, sizeof(*bpe->merges));
    bpe->merge_mask = slots - 1;
    for (size_t i = 0; i < slots; i++)
        bpe->merges[i].pair = UINT64_MAX;
}

void
sea_bpe_add(struct sea_bpe *bpe, int32_t left, int32_t right, int32_t id, uint32_t rank)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    struct sea_merge *merge = &bpe->merges[merge_slot(bpe, pair)];

    bpe->merge_count += merge->pair != pair;
    *merge = (struct sea_merge){ pair, rank, id };
}

static const struct sea_merge *
merge_of(const struct sea_bpe *bpe, int32_t left, int32_t right)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    const struct sea_merge *merge = &bpe->merges[merge_slot(bpe, pair)];

    return merge->pair == pair ? merge : NULL;
}

/* ---- one word ---- */

struct symbol {
    int32_t id;                 /* -1: merged into its left neighbour */
    int32_t before, after;      /* neighbours, -1 at the ends */
};

struct candidate {              /* a pair that may be merged, found at symbols[at] */
    uint32_t rank;
    int32_t at, id;
};

struct split {                  /* how an unused piece was made: it is taken apart again */
    int32_t id, left, right;
};

#define FEW 64                  /* symbols of most words: no allocation */

struct merger {
    struct symbol *symbols, few_symbols[FEW];
    struct candidate *heap, few_heap[2 * FEW];  /* lowest rank, then lowest place on top */
    size_t count, room, heap_count, heap_room;
    struct split *splits;
    size_t splits_count, splits_room;
    bool has_unknown;           /* an unknown word waits to be added */
};

static void
merger_init(struct merger *merger)
{
    merger->symbols = merger->few_symbols;
    merger->heap = merger->few_heap;
    merger->room = FEW;
    merger->heap_room = 2 * FEW;
    merger->count = merger->heap_count = merger->splits_count = merger->splits_room = 0;
    merger->splits = NULL;
    merger->has_unknown = false;
}

static void
merger_release(struct merger *merger)
{
    if (merger->symbols != merger->few_symbols)
        free(merger->symbols);
    if (merger->heap != merger->few_heap)
        free(merger->heap);
    free(merger->splits);
}

/* Doubles an array that begins inside the merger. */
static void *
grow(void *list, const void *few, size_t *room, size_t size)
{
    void *more;

    *room *= 2;
    if (list != few)
        return sea_xrealloc(list, *room, size);
    more = sea_xcalloc(*room, size);
    memcpy(more, list, *room / 2 * size);
    return more;
}

static bool
is_sooner(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void
heap_push(struct merger *merger, struct candidate candidate)
{
    size_t at = merger->heap_count++, up;

    if (at == merger->heap_room)
        merger->heap = grow(merger->heap, merger->few_heap, &merger->heap_room,
                            sizeof(*merger->heap));
    for (; at; at = up) {
        up = (at - 1) / 2;
        if (!is_sooner(&candidate, &merger->heap[up]))
            break;
        merger->heap[at] = merger->heap[up];
    }
    merger->heap[at] = candidate;
}

static struct candidate
heap_pop(struct merger *merger)
{
    struct candidate top = merger->heap[0], last = merger->heap[--merger->heap_count];
    size_t at = 0, down, count = merger->heap_count;

    for (; (down = 2 * at + 1) < count; at = down) {
        if (down + 1 < count && is_sooner(&merger->heap[down + 1], &merger->heap[down]))
            down++;
        if (!is_sooner(&merger->heap[down], &last))
            break;
        merger->heap[at] = merger->heap[down];
    }
    if (count)
        merger->heap[at] = last;
    return top;
}

static void
add_symbol(struct merger *merger, int32_t id)
{
    int32_t at = (int32_t)merger->count++;

    if (merger->count > merger->room)
        merger->symbols = grow(merger->symbols, merger->few_symbols, &merger->room,
                               sizeof(*merger->symbols));
    merger->symbols[at] = (struct symbol){ id, at - 1, -1 };
    if (at)
        merger->symbols[at - 1].after = at;
}

/* The pair that was offered last says how an unused piece is taken apart. */
static void
keep_split(struct merger *merger, struct split split)
{
    for (size_t i = 0; i < merger->splits_count; i++)
        if (merger->splits[i].id == split.id) {
            merger->splits[i] = split;
            return;
        }
    if (merger->splits_count == merger->splits_room) {
        merger->splits_room = merger->splits_room ? 2 * merger->splits_room : 16;
        merger->splits = sea_xrealloc(merger->splits, merger->splits_room,
                                      sizeof(*merger->splits));
    }
    merger->splits[merger->splits_count++] = split;
}

static void
offer(const struct sea_bpe *bpe, struct merger *merger, int32_t at)
{
    const struct symbol *symbol = &merger->symbols[at];
    const struct sea_merge *merge;
    int32_t right;

    if (symbol->after < 0)
        return;
    right = merger->symbols[symbol->after].id;
    merge = merge_of(bpe, symbol->id, right);
    if (!merge)
        return;
    heap_push(merger, (struct candidate){ merge->rank, at, merge->id });
    if (bpe->symbols && bpe->unused[merge->id])
        keep_split(merger, (struct split){ merge->id, symbol->id, right });
}

static void
merge_all(const struct sea_bpe *bpe, struct merger *merger)
{
    const struct sea_merge *merge;
    struct symbol *left, *right;
    struct candidate top;

    for (size_t i = 0; i + 1 < merger->count; i++)
        offer(bpe, merger, (int32_t)i);
    while (merger->heap_count) {
        top = heap_pop(merger);
        left = &merger->symbols[top.at];
        if (left->id < 0 || left->after < 0)
            continue;
        right = &merger->symbols[left->after];
        merge = merge_of(bpe, left->id, right->id);
        if (!merge || merge->id != top.id)      /* the pair has changed since */
            continue;
        left->id = merge->id;
        right->id = -1;
        left->after = right->after;
        if (left->after >= 0)
            merger->symbols[left->after].before = top.at;
        if (left->before >= 0)
            offer(bpe, merger, left->before);
        offer(bpe, merger, top.at);
    }
}

/* Unknown words wait until something else comes, as in `tokenizers`: it puts the bytes of a
 * later character before them, and makes one of several with fuse_unk. */
static void
end_unknown(const struct sea_bpe *bpe, struct merger *merger)
{
    if (merger->has_unknown)
        add_symbol(merger, bpe->unk);
    merger->has_unknown = false;
}

/* A character that is no word: its bytes, or the unknown word, or nothing. */
static void
add_unknown(const struct sea_bpe *bpe, struct merger *merger, const char *text, size_t len)
{
    bool all = bpe->byte_fallback;

    for (size_t i = 0; i < len && all; i++)
        all = bpe->bytes[(unsigned char)text[i]] >= 0;
    for (size_t i = 0; i < len && all; i++)
        add_symbol(merger, bpe->bytes[(unsigned char)text[i]]);
    if (all || bpe->unk < 0)
        return;
    if (!bpe->fuse_unk)
        end_unknown(bpe, merger);
    merger->has_unknown = true;
}

/* The id of a word of the model itself: added words are in the vocabulary, too. */
static int32_t
find_own(const struct sea_bpe *bpe, const char *text, size_t len)
{
    int32_t id = sea_vocab_find(bpe->vocab, text, len);

    return id < bpe->own_count && !(id >= 0 && bpe->hidden && bpe->hidden[id]) ? id : -1;
}

/* The last character, which carries the end-of-word mark: its spelling and id. */
static int32_t
find_last(const struct sea_bpe *bpe, const char *text, size_t n, char name[64], size_t *len)
{
    size_t suffix = strlen(bpe->suffix);

    if (bpe->byte_level)
        *len = sea_utf8_put(name, sea_byte_char((unsigned char)*text));
    else
        memcpy(name, text, *len = n);
    memcpy(name + *len, bpe->suffix, suffix);
    *len += suffix;
    return find_own(bpe, name, *len);
}

static void
add_characters(const struct sea_bpe *bpe, struct merger *merger, const char *word, size_t len)
{
    char name[64];
    uint32_t code;
    int32_t id;

    for (size_t at = 0, n; at < len; at += n) {
        const char *text = word + at;
        size_t text_len;

        n = text_len = bpe->byte_level ? 1 : sea_utf8_next(word + at, len - at, &code);
        if (bpe->suffix[0] && at + n == len) {
            id = find_last(bpe, word + at, n, name, &text_len);
            text = name;
        } else if (bpe->byte_level) {
            id = bpe->bytes[(unsigned char)word[at]];
        } else {
            id = find_own(bpe, word + at, n);
        }
        if (id >= 0) {
            end_unknown(bpe, merger);
            add_symbol(merger, id);
        } else {
            add_unknown(bpe, merger, text, text_len);
        }
    }
    end_unknown(bpe, merger);
}

/* SentencePiece: pieces of the user, then characters. One in no piece is never merged. */
static void
add_symbols(const struct sea_bpe *bpe, struct merger *merger, const char *word, size_t len)
{
    uint32_t code;
    int32_t id;

    for (size_t at = 0, n; at < len; at += n) {
        n = sea_trie_longest(&bpe->users, word + at, len - at, &id);
        if (!n) {
            n = sea_utf8_next(word + at, len - at, &code);
            (void)sea_trie_longest(&bpe->characters, word + at, n, &id);
        }
        if (id >= 0)
            add_symbol(merger, id);
        for (size_t i = 0; i < n && id < 0 && bpe->byte_fallback; i++)
            add_symbol(merger, bpe->bytes[(unsigned char)word[at + i]]);
        if (id < 0 && !bpe->byte_fallback && bpe->unk >= 0)
            add_symbol(merger, bpe->unk);
    }
}

/* A text that is no piece that may be used. Of a run of unknown words one is left. */
static void
put_unknown(const struct sea_bpe *bpe, const char *text, size_t len, size_t from,
            struct sea_ids *ids)
{
    for (size_t i = 0; i < len && bpe->byte_fallback; i++)
        sea_ids_add(ids, bpe->bytes[(unsigned char)text[i]]);
    if (!bpe->byte_fallback && (ids->len == from || ids->data[ids->len - 1] != bpe->unk))
        sea_ids_add(ids, bpe->unk);
}

/* Ids of one of SentencePiece's symbols. from: where the text's ids begin. */
static void
put_symbol(const struct sea_bpe *bpe, const struct merger *merger, int32_t id, size_t from,
           struct sea_ids *ids)
{
    size_t i = 0;

    if (id >= bpe->own_count) {
        const struct sea_bpe_symbol *symbol = &bpe->symbols[id - bpe->own_count];

        if (symbol->id >= 0)
            sea_ids_add(ids, symbol->id);
        else
            put_unknown(bpe, symbol->text, symbol->len, from, ids);
        return;
    }
    if (!bpe->unused[id]) {
        if (id != bpe->unk || ids->len == from || ids->data[ids->len - 1] != id)
            sea_ids_add(ids, id);
        return;
    }
    while (i < merger->splits_count && merger->splits[i].id != id)
        i++;
    if (i < merger->splits_count) {
        put_symbol(bpe, merger, merger->splits[i].left, from, ids);
        put_symbol(bpe, merger, merger->splits[i].right, from, ids);
    } else {
        put_unknown(bpe, bpe->vocab->words[id], bpe->vocab->lens[id], from, ids);
    }
}

/* The id of the word as a whole, -1: it is none. */
static int32_t
whole_word(const struct sea_bpe *bpe, const char *word, size_t len)
{
    char name[2 * 256];
    size_t n = 0;

    if (!bpe->byte_level)
        return find_own(bpe, word, len);
    if (len > 256)
        return -1;
    for (size_t i = 0; i < len; i++)
        n += sea_utf8_put(name + n, sea_byte_char((unsigned char)word[i]));
    return find_own(bpe, name, n);
}

void
sea_bpe_encode(const struct sea_bpe *bpe, const char *word, size_t len, struct sea_ids *ids)
{
    int32_t id = bpe->ignore_merges ? whole_word(bpe, word, len) : -1;
    size_t from = ids->len;
    struct merger merger;

    if (id >= 0) {
        sea_ids_add(ids, id);
        return;
    }
    merger_init(&merger);
    if (bpe->symbols)
        add_symbols(bpe, &merger, word, len);
    else
        add_characters(bpe, &merger, word, len);
    merge_all(bpe, &merger);
    for (size_t i = 0; i < merger.count; i++) {
        id = merger.symbols[i].id;
        if (id >= 0 && bpe->symbols)
            put_symbol(bpe, &merger, id, from, ids);
        else if (id >= 0)
            sea_ids_add(ids, id);
    }
    merger_release(&merger);
}

void
sea_bpe_release(struct sea_bpe *bpe)
{
    free(bpe->merges);
    bpe->merges = NULL;
    sea_trie_release(&bpe->users);
    sea_trie_release(&bpe->characters);
    free(bpe->symbols);
    free(bpe->unused);
    free(bpe->hidden);
}
