/* SPDX-License-Identifier: Apache-2.0 */
/* overlap_words.c - texts as words, runs of words as hashes, and questions found by them */
#include "pipeline/overlap_int.h"

#include <stdlib.h>
#include <string.h>

static uint64_t
mix(uint64_t hash, uint64_t value)
{
    hash = (hash ^ value) * UINT64_C(0x9E3779B97F4A7C15);
    return hash ^ hash >> 29;
}

static bool
is_word(unsigned char c)
{
    return (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

void
sea_overlap_add_words(struct sea_overlap_words *words, const char *text, size_t len)
{
    static const char tag[] = "<image>";

    for (size_t i = 0; i < len && words->count < SEA_OVERLAP_WORDS_MAX;) {
        uint64_t hash = 1469598103934665603u;
        size_t start = i;

        if (len - i >= sizeof(tag) - 1 && memcmp(text + i, tag, sizeof(tag) - 1) == 0) {
            i += sizeof(tag) - 1;
            continue;
        }
        for (; i < len && is_word((unsigned char)text[i]); i++) {
            unsigned char c = (unsigned char)text[i];

            hash = (hash ^ (c >= 'A' && c <= 'Z' ? c + 32u : c)) * 1099511628211u;
        }
        if (i > start)
            words->at[words->count++] = hash;
        else
            i++;
    }
}

uint64_t
sea_overlap_hash_run(const uint64_t *words, size_t n)
{
    uint64_t hash = n;

    for (size_t i = 0; i < n; i++)
        hash = mix(hash, words[i]);
    return hash;
}

size_t
sea_overlap_question_length(const struct sea_bench *bench, const char *prompt)
{
    static const char *const ends[] = { "\nA. ", "\n(A) ", "\nReference OCR token",
                                        "\nAnswer the question using", "\nWhen the provided" };
    size_t n = strlen(prompt), tail = bench->suffix ? strlen(bench->suffix) : 0;

    if (tail && n > tail && strcmp(prompt + n - tail, bench->suffix) == 0)
        n -= tail;
    for (size_t i = 0; i < sizeof(ends) / sizeof(ends[0]); i++) {
        const char *at = strstr(prompt, ends[i]);

        if (at && at > prompt && (size_t)(at - prompt) < n)
            n = (size_t)(at - prompt);
    }
    return n;
}

/* ---- an index from hashes to questions ---- */

void
sea_overlap_index_add(struct sea_overlap_index *index, uint64_t hash, int64_t question)
{
    if (index->count == index->room) {
        index->room = index->room ? 2 * index->room : 1024;
        index->at = sea_xrealloc(index->at, index->room, sizeof(*index->at));
    }
    index->at[index->count++] = (struct sea_overlap_entry){ hash, question };
}

static int
by_hash(const void *a, const void *b)
{
    const struct sea_overlap_entry *x = a, *y = b;

    if (x->hash != y->hash)
        return x->hash < y->hash ? -1 : 1;
    return (x->question > y->question) - (x->question < y->question);
}

void
sea_overlap_index_sort(struct sea_overlap_index *index)
{
    if (index->count)
        qsort(index->at, index->count, sizeof(*index->at), by_hash);
}

size_t
sea_overlap_index_find(const struct sea_overlap_index *index, uint64_t hash)
{
    size_t low = 0, high = index->count;

    while (low < high) {
        size_t middle = low + (high - low) / 2;

        if (index->at[middle].hash < hash)
            low = middle + 1;
        else
            high = middle;
    }
    return low < index->count && index->at[low].hash == hash ? low : index->count;
}

uint64_t
sea_overlap_hash_text(const char *text)
{
    uint64_t hash = 1469598103934665603u;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 1099511628211u;
    return mix(hash, 1);
}
