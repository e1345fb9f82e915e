/* SPDX-License-Identifier: Apache-2.0 */
/* Words come again and again: the ids of short ones are remembered, up to a fixed amount of
 * memory, for every kind of model. */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#define WORDS ((size_t)1 << 16)
#define WORD_BYTES 48           /* longer words are rare: not kept */

struct entry {
    const char *word;           /* NULL: free */
    uint32_t len, count;
    const int32_t *ids;
};

struct sea_seen {
    pthread_mutex_t lock;       /* held for a look or an addition, not while a word is cut */
    struct sea_arena *arena;
    struct entry *slots;        // (2 * WORDS)
    size_t used;
};

struct sea_seen *
sea_seen_create(void)
{
    struct sea_seen *words = sea_xcalloc(1, sizeof(*words));

    pthread_mutex_init(&words->lock, NULL);
    words->arena = sea_arena_create(NULL, "words of a tokenizer");
    words->slots = sea_xcalloc(2 * WORDS, sizeof(*words->slots));
    return words;
}

void
sea_seen_destroy(struct sea_seen *words)
{
    if (!words)
        return;
    pthread_mutex_destroy(&words->lock);
    sea_arena_destroy(words->arena);
    free(words->slots);
    free(words);
}

static struct entry *
find(struct sea_seen *words, const char *word, size_t len, uint64_t hash)
{
    size_t slot = hash & (2 * WORDS - 1);
    struct entry *entry;

    for (;; slot = (slot + 1) & (2 * WORDS - 1)) {
        entry = &words->slots[slot];
        if (!entry->word || (entry->len == len && memcmp(entry->word, word, len) == 0))
            return entry;
    }
}

static void
add(struct sea_seen *words, const char *word, size_t len, uint64_t hash, const int32_t *ids,
    size_t count)
{
    struct entry *entry = find(words, word, len, hash);
    int32_t *copy;

    if (entry->word || words->used == WORDS)
        return;
    copy = sea_arena_alloc(words->arena, count + 1, sizeof(*copy));
    if (ids && count)
        memcpy(copy, ids, count * sizeof(*copy));
    *entry = (struct entry){ sea_arena_strndup(words->arena, word, len), (uint32_t)len,
                             (uint32_t)count, copy };
    words->used++;
}

static enum sea_status
encode(struct sea_tokenizer *tokenizer, const char *word, size_t len, struct sea_ids *ids,
       struct sea_err *err)
{
    if (tokenizer->kind == SEA_MODEL_UNIGRAM)
        return sea_unigram_encode(&tokenizer->unigram, word, len, ids, err);
    sea_bpe_encode(&tokenizer->bpe, word, len, ids);
    return SEA_OK;
}

enum sea_status
sea_word_encode(struct sea_tokenizer *tokenizer, const char *word, size_t len,
                struct sea_ids *ids, struct sea_err *err)
{
    struct sea_seen *words = tokenizer->words;
    size_t before = ids->len;
    enum sea_status status;
    struct entry *entry;
    uint64_t hash;
    bool known;

    if (len > WORD_BYTES)
        return encode(tokenizer, word, len, ids, err);
    hash = sea_word_hash(word, len);
    pthread_mutex_lock(&words->lock);
    entry = find(words, word, len, hash);
    known = entry->word != NULL;
    for (uint32_t i = 0; known && i < entry->count; i++)
        sea_ids_add(ids, entry->ids[i]);
    pthread_mutex_unlock(&words->lock);
    if (known)
        return SEA_OK;
    status = encode(tokenizer, word, len, ids, err);
    if (status)
        return status;
    pthread_mutex_lock(&words->lock);
    add(words, word, len, hash, ids->data ? ids->data + before : NULL, ids->len - before);
    pthread_mutex_unlock(&words->lock);
    return SEA_OK;
}
