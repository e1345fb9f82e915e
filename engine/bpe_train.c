/* SPDX-License-Identifier: Apache-2.0 */
/*
 * A byte-level BPE tokenizer from texts. Words are counted once; then the most frequent pair
 * of neighbours is merged in every word that holds it, again and again. Counts of pairs are
 * kept exact by adding up what each merge changes; the heap holds old counts, too, and one
 * that is no longer true is put back with the true one when it comes up.
 *
 * Order is total (count, then lowest left id, then lowest right id) and nothing depends on
 * the order of texts or of hash tables: equal texts give equal bytes.
 */
#include "engine/tokenizer_int.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>

struct word {
    int64_t count;
    int32_t *ids;               /* -1: merged into the one before */
    uint32_t len;               /* of ids as long as the word was, in bytes */
};

struct pair {                   /* one slot of a hash table */
    uint64_t key;               /* left << 32 | right; UINT64_MAX: free */
    int64_t count;
    uint32_t *words;            /* those that held it at some time */
    uint32_t words_count, words_room;
};

struct waiting {
    int64_t count;
    uint64_t key;
};

struct trainer {
    const struct sea_tokenizer_train *options;
    struct sea_arena *arena;
    struct sea_vocab seen;      /* distinct words; id = index in words */
    struct word *words;
    size_t words_room;
    struct pair *pairs;
    size_t pair_mask, pairs_used;
    struct waiting *heap;
    size_t heap_count, heap_room;
    struct sea_vocab vocab;     /* of the result, in the byte characters */
    struct sea_buf merges;      /* JSON of the list */
    int64_t merges_count;
};

/* ---- pairs ---- */

static uint64_t
key_of(int32_t left, int32_t right)
{
    return (uint64_t)(uint32_t)left << 32 | (uint32_t)right;
}

static size_t
pair_slot(const struct trainer *trainer, uint64_t key)
{
    size_t slot = (size_t)((key * 0x9E3779B97F4A7C15u) >> 20) & trainer->pair_mask;

    while (trainer->pairs[slot].key != UINT64_MAX && trainer->pairs[slot].key != key)
        slot = (slot + 1) & trainer->pair_mask;
    return slot;
}

static void
pairs_grow(struct trainer *trainer)
{
    size_t old_count = trainer->pairs ? trainer->pair_mask + 1 : 0;
    size_t count = old_count ? 2 * old_count : 4096;
    struct pair *old = trainer->pairs;

    trainer->pairs = sea_xcalloc(count, sizeof(*trainer->pairs));
    trainer->pair_mask = count - 1;
    for (size_t i = 0; i < count; i++)
        trainer->pairs[i].key = UINT64_MAX;
    for (size_t i = 0; i < old_count; i++)
        if (old[i].key != UINT64_MAX)
            trainer->pairs[pair_slot(trainer, old[i].key)] = old[i];
    free(old);
}

static struct pair *
pair_get(struct trainer *trainer, uint64_t key)
{
    struct pair *pair;

    if (!trainer->pairs || 2 * (trainer->pairs_used + 1) > trainer->pair_mask)
        pairs_grow(trainer);
    pair = &trainer->pairs[pair_slot(trainer, key)];
    if (pair->key == UINT64_MAX) {
        *pair = (struct pair){ .key = key };
        trainer->pairs_used++;
    }
    return pair;
}

static void
pair_add(struct trainer *trainer, int32_t left, int32_t right, int64_t count, uint32_t word)
{
    struct pair *pair = pair_get(trainer, key_of(left, right));

    pair->count += count;
    if (count < 0 || (pair->words_count && pair->words[pair->words_count - 1] == word))
        return;
    if (pair->words_count == pair->words_room) {
        pair->words_room = pair->words_room ? 2 * pair->words_room : 4;
        pair->words = sea_xrealloc(pair->words, pair->words_room, sizeof(*pair->words));
    }
    pair->words[pair->words_count++] = word;
}

/* ---- the heap: highest count, then lowest key ---- */

static bool
is_better(struct waiting a, struct waiting b)
{
    return a.count != b.count ? a.count > b.count : a.key < b.key;
}

static void
heap_push(struct trainer *trainer, struct waiting item)
{
    size_t at = trainer->heap_count++, up;

    if (at == trainer->heap_room) {
        trainer->heap_room = trainer->heap_room ? 2 * trainer->heap_room : 1024;
        trainer->heap = sea_xrealloc(trainer->heap, trainer->heap_room, sizeof(item));
    }
    for (; at; at = up) {
        up = (at - 1) / 2;
        if (!is_better(item, trainer->heap[up]))
            break;
        trainer->heap[at] = trainer->heap[up];
    }
    trainer->heap[at] = item;
}

static struct waiting
heap_pop(struct trainer *trainer)
{
    struct waiting top = trainer->heap[0], last = trainer->heap[--trainer->heap_count];
    size_t at = 0, down, count = trainer->heap_count;

    for (; (down = 2 * at + 1) < count; at = down) {
        if (down + 1 < count && is_better(trainer->heap[down + 1], trainer->heap[down]))
            down++;
        if (!is_better(trainer->heap[down], last))
            break;
        trainer->heap[at] = trainer->heap[down];
    }
    if (count)
        trainer->heap[at] = last;
    return top;
}

/* ---- counting words ---- */

static void
count_word(struct trainer *trainer, const char *text, size_t len, int32_t first_byte)
{
    int32_t id = sea_vocab_find(&trainer->seen, text, len);
    struct word *word;

    if (id < 0) {
        id = trainer->seen.count;
        sea_vocab_add(&trainer->seen, sea_arena_strndup(trainer->arena, text, len), len, id);
        if ((size_t)id == trainer->words_room) {
            trainer->words_room = trainer->words_room ? 2 * trainer->words_room : 1024;
            trainer->words = sea_xrealloc(trainer->words, trainer->words_room,
                                          sizeof(*trainer->words));
        }
        word = &trainer->words[id];
        *word = (struct word){ .len = (uint32_t)len };
        word->ids = sea_arena_alloc(trainer->arena, len, sizeof(*word->ids));
        for (size_t i = 0; i < len; i++)
            word->ids[i] = first_byte + (unsigned char)text[i];
    }
    trainer->words[id].count++;
}

/* The steps before the model, as the written file will have them. */
static enum sea_status
make_steps(struct trainer *trainer, struct sea_tokenizer *steps, struct sea_err *err)
{
    const char *pattern = trainer->options->split == SEA_SPLIT_LLAMA3 ? SEA_REGEX_LLAMA3
                                                                      : SEA_REGEX_GPT2;

    if (trainer->options->lowercase) {
        steps->norms[steps->norm_count++] = (struct sea_norm){ .kind = SEA_NORM_FORM };
        steps->norms[steps->norm_count++] = (struct sea_norm){ .kind = SEA_NORM_LOWER };
    }
    steps->pres[0] = (struct sea_pre){ .kind = SEA_PRE_SPLIT, .behavior = SEA_SPLIT_ISOLATED };
    steps->pre_count = 1;
    return sea_regex_create(&steps->pres[0].regex, pattern, strlen(pattern), false, err);
}

static enum sea_status
count_words(struct trainer *trainer, struct sea_err *err)
{
    const struct sea_tokenizer_train *options = trainer->options;
    struct sea_tokenizer *steps = sea_xcalloc(1, sizeof(*steps));
    enum sea_status status = make_steps(trainer, steps, err);
    struct sea_work work;
    const char *text;
    size_t len, good, row = 0;

    sea_work_init(&work);
    while (!status && options->next(options->arg, &text, &len)) {
        row++;
        good = sea_utf8_check(text, len);
        if (good < len)
            status = sea_fail(err, SEA_E_FORMAT, "text %zu is no UTF-8: byte %zu is 0x%02x", row,
                              good, (unsigned char)text[good]);
        if (!status)
            status = sea_text_normalize(steps, text, len, SEA_PIECE_FIRST, &work, err);
        work.words.count = 0;
        if (status || !work.text.len)
            continue;
        sea_spans_add(&work.words, 0, work.text.len);
        status = sea_text_split(steps, &work, SEA_PIECE_FIRST, err);
        for (size_t i = 0; i < work.words.count && !status; i++)
            count_word(trainer, work.text.data + work.words.list[i].at,
                       work.words.list[i].end - work.words.list[i].at,
                       (int32_t)options->special_count);
    }
    sea_work_release(&work);
    sea_regex_destroy(steps->pres[0].regex);
    free(steps);
    return status;
}

/* ---- merging ---- */

/* Id of the merged word; a new one unless another pair has made the same word before. */
static int32_t
merged_id(struct trainer *trainer, int32_t left, int32_t right)
{
    const struct sea_vocab *vocab = &trainer->vocab;
    size_t len = (size_t)vocab->lens[left] + vocab->lens[right];
    char *text = sea_arena_alloc(trainer->arena, len + 1, 1);
    int32_t id;

    memcpy(text, vocab->words[left], vocab->lens[left]);
    memcpy(text + vocab->lens[left], vocab->words[right], vocab->lens[right]);
    sea_buf_puts(&trainer->merges, trainer->merges_count++ ? ",\n      [" : "\n      [");
    sea_json_quote(&trainer->merges, text, vocab->lens[left]);
    sea_buf_puts(&trainer->merges, ", ");
    sea_json_quote(&trainer->merges, text + vocab->lens[left], vocab->lens[right]);
    sea_buf_puts(&trainer->merges, "]");
    id = sea_vocab_find(vocab, text, len);
    if (id < 0) {
        id = vocab->count;
        sea_vocab_add(&trainer->vocab, text, len, id);
    }
    return id;
}

/* Merges left right in one word; counts of the pairs around follow. */
static void
merge_in_word(struct trainer *trainer, uint32_t index, int32_t left, int32_t right, int32_t id)
{
    struct word *word = &trainer->words[index];
    uint32_t len = 0;
    int32_t *ids = word->ids;

    for (uint32_t i = 0; i < word->len; i++, len++) {
        ids[len] = ids[i];
        if (ids[i] != left || i + 1 == word->len || ids[i + 1] != right)
            continue;
        if (len) {
            pair_add(trainer, ids[len - 1], left, -word->count, index);
            pair_add(trainer, ids[len - 1], id, word->count, index);
        }
        if (i + 2 < word->len) {
            pair_add(trainer, right, ids[i + 2], -word->count, index);
            pair_add(trainer, id, ids[i + 2], word->count, index);
        }
        ids[len] = id;
        i++;
    }
    word->len = len;
}

static void
push_new_pairs(struct trainer *trainer, int32_t id, uint32_t index)
{
    const struct word *word = &trainer->words[index];

    for (uint32_t i = 0; i + 1 < word->len; i++)
        if (word->ids[i] == id || word->ids[i + 1] == id) {
            uint64_t key = key_of(word->ids[i], word->ids[i + 1]);

            heap_push(trainer, (struct waiting){ pair_get(trainer, key)->count, key });
        }
}

static void
merge_pair(struct trainer *trainer, uint64_t key)
{
    int32_t left = (int32_t)(key >> 32), right = (int32_t)(key & UINT32_MAX);
    struct pair *pair = pair_get(trainer, key);
    uint32_t *words = pair->words, count = pair->words_count;
    int32_t id = merged_id(trainer, left, right);

    pair->count = 0;
    pair->words = NULL;
    pair->words_count = pair->words_room = 0;
    for (uint32_t i = 0; i < count; i++)
        merge_in_word(trainer, words[i], left, right, id);
    pair_get(trainer, key)->count = 0;  /* of "aaa": a merge may have touched its own pair */
    for (uint32_t i = 0; i < count; i++)
        push_new_pairs(trainer, id, words[i]);
    free(words);
}

static void
merge_all(struct trainer *trainer)
{
    int64_t least = trainer->options->min_count ? trainer->options->min_count : 2;
    struct waiting top;
    int64_t count;

    for (int32_t w = 0; w < trainer->seen.count; w++)
        for (uint32_t i = 0; i + 1 < trainer->words[w].len; i++)
            pair_add(trainer, trainer->words[w].ids[i], trainer->words[w].ids[i + 1],
                     trainer->words[w].count, (uint32_t)w);
    for (size_t i = 0; trainer->pairs && i <= trainer->pair_mask; i++)
        if (trainer->pairs[i].key != UINT64_MAX)
            heap_push(trainer, (struct waiting){ trainer->pairs[i].count, trainer->pairs[i].key });
    while (trainer->heap_count && trainer->vocab.count < trainer->options->vocab_size) {
        top = heap_pop(trainer);
        count = pair_get(trainer, top.key)->count;
        if (count < least)
            continue;
        if (count != top.count)
            heap_push(trainer, (struct waiting){ count, top.key });
        else
            merge_pair(trainer, top.key);
    }
}

/* ---- all of it ---- */

static enum sea_status
check_word(const struct sea_tokenizer_train *options, const char *key, const char *word,
           struct sea_err *err)
{
    for (size_t i = 0; word && i < options->special_count; i++)
        if (!strcmp(options->special[i], word))
            return SEA_OK;
    if (!word)
        return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG, "%s \"%s\" is none of the tokenizer's special words", key,
                    word);
}

/* Special words, then the 256 bytes. */
static enum sea_status
start_vocab(struct trainer *trainer, struct sea_err *err)
{
    const struct sea_tokenizer_train *options = trainer->options;
    int32_t id = 0;
    char name[4];
    size_t n;

    if (options->vocab_size < (int64_t)options->special_count + 256)
        return sea_fail(err, SEA_E_CONFIG,
                        "vocabulary of %" PRId32 " words, need >= %zu: %zu special words and 256 "
                        "bytes", options->vocab_size, options->special_count + 256,
                        options->special_count);
    for (size_t i = 0; i < options->special_count; i++)
        if (!*options->special[i] ||
            !sea_vocab_add(&trainer->vocab, options->special[i], strlen(options->special[i]),
                           id++))
            return sea_fail(err, SEA_E_CONFIG, "special word \"%s\" is empty or given twice",
                            options->special[i]);
    for (unsigned int b = 0; b < 256; b++) {
        n = sea_utf8_put(name, sea_byte_char((unsigned char)b));
        if (!sea_vocab_add(&trainer->vocab, sea_arena_strndup(trainer->arena, name, n), n, id++))
            return sea_fail(err, SEA_E_CONFIG, "special word \"%.4s\" is a single byte", name);
    }
    return SEA_OK;
}

enum sea_status
sea_tokenizer_train(const struct sea_tokenizer_train *options, const char *dir,
                    struct sea_err *err)
{
    struct trainer trainer = { .options = options };
    enum sea_status status;

    trainer.arena = sea_arena_create(NULL, "tokenizer training");
    sea_buf_init(&trainer.merges, SIZE_MAX / 2);
    status = start_vocab(&trainer, err);
    if (!status)
        status = check_word(options, "bos", options->bos, err);
    if (!status)
        status = check_word(options, "eos", options->eos, err);
    if (!status)
        status = check_word(options, "unk", options->unk, err);
    if (!status)
        status = check_word(options, "pad", options->pad, err);
    if (!status)
        status = count_words(&trainer, err);
    if (!status) {
        merge_all(&trainer);
        status = sea_bpe_trained_write(&(struct sea_bpe_trained){
            .options = options, .vocab = &trainer.vocab, .merges = &trainer.merges,
            .merges_count = trainer.merges_count }, dir, trainer.arena, err);
    }
    if (status)
        sea_context(err, "while training a tokenizer for \"%s\"", dir);
    for (size_t i = 0; trainer.pairs && i <= trainer.pair_mask; i++)
        free(trainer.pairs[i].words);
    free(trainer.pairs);
    free(trainer.heap);
    free(trainer.words);
    sea_vocab_release(&trainer.seen);
    sea_vocab_release(&trainer.vocab);
    sea_buf_release(&trainer.merges);
    sea_arena_destroy(trainer.arena);
    return status;
}
