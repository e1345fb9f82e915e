/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The byte-pair model: a word starts as its characters (or bytes) and the pair with the
 * lowest rank is merged until no pair has one; of equal ranks the leftmost first. Words come
 * again and again, so short ones are remembered, up to a fixed amount of memory.
 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#define CACHE_WORDS ((size_t)1 << 16)
#define CACHE_WORD_BYTES 48     /* longer words are rare: not kept */

/* ---- vocabulary ---- */

static uint64_t
hash_bytes(const char *bytes, size_t len)
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
    size_t slot = hash_bytes(word, len) & vocab->slot_mask;

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

/* ---- words seen before ---- */

struct entry {
    const char *word;           /* NULL: free */
    uint32_t len, count;
    const int32_t *ids;
};

struct sea_bpe_cache {
    pthread_mutex_t lock;       /* held for a look or an addition, not while merging */
    struct sea_arena *arena;
    struct entry *slots;        // (2 * CACHE_WORDS)
    size_t used;
};

static struct sea_bpe_cache *
cache_create(void)
{
    struct sea_bpe_cache *cache = sea_xcalloc(1, sizeof(*cache));

    pthread_mutex_init(&cache->lock, NULL);
    cache->arena = sea_arena_create(NULL, "words of a tokenizer");
    cache->slots = sea_xcalloc(2 * CACHE_WORDS, sizeof(*cache->slots));
    return cache;
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
    bpe->cache = cache_create();
}

void
sea_bpe_add(struct sea_bpe *bpe, int32_t left, int32_t right, int32_t id, uint32_t rank)
{
    uint64_t pair = (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
    struct sea_merge *merge = &bpe->merges[merge_slot(bpe, pair)];

    bpe->merge_count += merge->pair != pair;
    *merge = (struct sea_merge){ pair, rank, id };
}

const struct sea_merge *
sea_bpe_find(const struct sea_bpe *bpe, int32_t left, int32_t right)
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

struct merger {
    struct symbol *symbols;
    struct candidate *heap;     /* lowest rank, then lowest place on top */
    size_t count, room, heap_count, heap_room;
};

static bool
is_sooner(const struct candidate *a, const struct candidate *b)
{
    return a->rank != b->rank ? a->rank < b->rank : a->at < b->at;
}

static void
heap_push(struct merger *merger, struct candidate candidate)
{
    size_t at = merger->heap_count++, up;

    if (at == merger->heap_room) {
        merger->heap_room = merger->heap_room ? 2 * merger->heap_room : 64;
        merger->heap = sea_xrealloc(merger->heap, merger->heap_room, sizeof(*merger->heap));
    }
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

    if (merger->count > merger->room) {
        merger->room = merger->room ? 2 * merger->room : 64;
        merger->symbols = sea_xrealloc(merger->symbols, merger->room, sizeof(*merger->symbols));
    }
    merger->symbols[at] = (struct symbol){ id, at - 1, -1 };
    if (at)
        merger->symbols[at - 1].after = at;
}

static void
offer(const struct sea_bpe *bpe, struct merger *merger, int32_t at)
{
    const struct symbol *symbol = &merger->symbols[at];
    const struct sea_merge *merge;

    if (symbol->after < 0)
        return;
    merge = sea_bpe_find(bpe, symbol->id, merger->symbols[symbol->after].id);
    if (merge)
        heap_push(merger, (struct candidate){ merge->rank, at, merge->id });
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
        merge = sea_bpe_find(bpe, left->id, right->id);
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
    if (!bpe->fuse_unk || !merger->count || merger->symbols[merger->count - 1].id != bpe->unk)
        add_symbol(merger, bpe->unk);
}

static void
add_characters(const struct sea_bpe *bpe, struct merger *merger, const char *word, size_t len)
{
    size_t suffix = strlen(bpe->suffix), n;
    char name[64];
    uint32_t code;
    int32_t id;

    for (size_t at = 0; at < len; at += n) {
        n = bpe->byte_level ? 1 : sea_utf8_next(word + at, len - at, &code);
        if (bpe->byte_level && !(suffix && at + n == len)) {
            id = bpe->bytes[(unsigned char)word[at]];
        } else if (suffix && at + n == len) {
            size_t name_len = n;

            if (bpe->byte_level)
                name_len = sea_utf8_put(name, sea_byte_char((unsigned char)word[at]));
            else
                memcpy(name, word + at, n);
            memcpy(name + name_len, bpe->suffix, suffix);
            id = sea_vocab_find(bpe->vocab, name, name_len + suffix);
        } else {
            id = sea_vocab_find(bpe->vocab, word + at, n);
        }
        if (id >= 0)
            add_symbol(merger, id);
        else
            add_unknown(bpe, merger, word + at, n);
    }
}

/* The id of the word as a whole, -1: it is none. */
static int32_t
whole_word(const struct sea_bpe *bpe, const char *word, size_t len)
{
    char name[2 * 256];
    size_t n = 0;

    if (!bpe->byte_level)
        return sea_vocab_find(bpe->vocab, word, len);
    if (len > 256)
        return -1;
    for (size_t i = 0; i < len; i++)
        n += sea_utf8_put(name + n, sea_byte_char((unsigned char)word[i]));
    return sea_vocab_find(bpe->vocab, name, n);
}

static void
encode_word(const struct sea_bpe *bpe, const char *word, size_t len, struct sea_ids *ids)
{
    struct merger merger = { 0 };
    int32_t id = bpe->ignore_merges ? whole_word(bpe, word, len) : -1;

    if (id >= 0) {
        sea_ids_add(ids, id);
        return;
    }
    add_characters(bpe, &merger, word, len);
    merge_all(bpe, &merger);
    for (size_t i = 0; i < merger.count; i++)
        if (merger.symbols[i].id >= 0)
            sea_ids_add(ids, merger.symbols[i].id);
    free(merger.symbols);
    free(merger.heap);
}

static struct entry *
cache_slot(struct sea_bpe_cache *cache, const char *word, size_t len)
{
    size_t slot = hash_bytes(word, len) & (2 * CACHE_WORDS - 1);
    struct entry *entry;

    for (;; slot = (slot + 1) & (2 * CACHE_WORDS - 1)) {
        entry = &cache->slots[slot];
        if (!entry->word || (entry->len == len && memcmp(entry->word, word, len) == 0))
            return entry;
    }
}

static void
cache_add(struct sea_bpe_cache *cache, const char *word, size_t len, const int32_t *ids,
          size_t count)
{
    struct entry *entry = cache_slot(cache, word, len);
    int32_t *copy;

    if (entry->word || cache->used == CACHE_WORDS)
        return;
    copy = sea_arena_alloc(cache->arena, count + 1, sizeof(*copy));
    if (ids && count)
        memcpy(copy, ids, count * sizeof(*copy));
    *entry = (struct entry){ sea_arena_strndup(cache->arena, word, len), (uint32_t)len,
                             (uint32_t)count, copy };
    cache->used++;
}

void
sea_bpe_encode(struct sea_bpe *bpe, const char *word, size_t len, struct sea_ids *ids)
{
    struct sea_bpe_cache *cache = bpe->cache;
    size_t before = ids->len;
    struct entry *entry;
    bool known;

    if (len > CACHE_WORD_BYTES) {
        encode_word(bpe, word, len, ids);
        return;
    }
    pthread_mutex_lock(&cache->lock);
    entry = cache_slot(cache, word, len);
    known = entry->word != NULL;
    for (uint32_t i = 0; known && i < entry->count; i++)
        sea_ids_add(ids, entry->ids[i]);
    pthread_mutex_unlock(&cache->lock);
    if (known)
        return;
    encode_word(bpe, word, len, ids);
    pthread_mutex_lock(&cache->lock);
    cache_add(cache, word, len, ids->data ? ids->data + before : NULL, ids->len - before);
    pthread_mutex_unlock(&cache->lock);
}

void
sea_bpe_release(struct sea_bpe *bpe)
{
    free(bpe->merges);
    if (bpe->cache) {
        pthread_mutex_destroy(&bpe->cache->lock);
        sea_arena_destroy(bpe->cache->arena);
        free(bpe->cache->slots);
        free(bpe->cache);
    }
    bpe->cache = NULL;
    bpe->merges = NULL;
}
