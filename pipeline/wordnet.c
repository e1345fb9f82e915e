/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/wordnet_int.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_file.h"

#define DICTIONARY_BYTES_MAX ((size_t)64 << 20)

/* ---- a map from texts to small records ---- */

static const char *const pos_files[SEA_WORD_POS_COUNT] = { "noun", "adj", "verb", "adv" };

static uint64_t
hash_of(const char *key, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)key[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static struct sea_word_entry *
slot_of(struct sea_word_map *map, const char *key, size_t len)
{
    size_t i = (size_t)hash_of(key, len) & (map->room - 1);

    while (map->slots[i].key &&
           (map->slots[i].len != len || memcmp(map->slots[i].key, key, len) != 0))
        i = (i + 1) & (map->room - 1);
    return &map->slots[i];
}

struct sea_word_entry *
sea_word_find(struct sea_word_map *map, const char *key, size_t len)
{
    struct sea_word_entry *entry = map->room ? slot_of(map, key, len) : NULL;

    return entry && entry->key ? entry : NULL;
}

struct sea_word_entry *
sea_word_add(struct sea_word_map *map, const char *key, size_t len)
{
    struct sea_word_entry *entry;

    if (2 * (map->used + 1) > map->room) {
        struct sea_word_entry *old = map->slots;
        size_t room = map->room;

        map->room = room ? 2 * room : 1024;
        map->slots = sea_xcalloc(map->room, sizeof(*map->slots));
        for (size_t i = 0; i < room; i++)
            if (old[i].key)
                *slot_of(map, old[i].key, old[i].len) = old[i];
        free(old);
    }
    entry = slot_of(map, key, len);
    if (!entry->key) {
        entry->key = sea_arena_strndup(map->arena, key, len);
        entry->len = len;
        map->used++;
    }
    return entry;
}

/* ---- WordNet ---- */

/* Calls fn for each line of FOLDER/NAME; lines are cut at their newline. */
static enum sea_status
each_line(const char *folder, const char *name, struct sea_word_map *map, enum sea_word_pos pos,
          void (*fn)(struct sea_word_map *map, enum sea_word_pos pos, char *line),
          struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, DICTIONARY_BYTES_MAX);
    status = sea_path_join(path, folder, name, err);
    if (!status)
        status = sea_file_read(path, &text, err);
    if (status)
        sea_hint(err, "Install the package wordnet-base, or give the word list as a file "
                 "instead of \"auto\".");
    for (char *at = text.data; !status && *at;) {
        char *end = at + strcspn(at, "\n"), *next = *end ? end + 1 : end;

        *end = 0;
        fn(map, pos, at);
        at = next;
    }
    sea_buf_release(&text);
    return status;
}

/* "fire_engine n 1 ...": the lemma. Lines of the licence begin with blanks. */
static void
add_lemma(struct sea_word_map *map, enum sea_word_pos pos, char *line)
{
    size_t n = strcspn(line, " ");

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        line[i] = line[i] == '_' ? ' ' : line[i];
    sea_word_add(map, line, n)->is[pos] = true;
}

/* "geese goose": an irregular form and its lemma. */
static void
add_irregular(struct sea_word_map *map, enum sea_word_pos pos, char *line)
{
    size_t n = strcspn(line, " ");
    char *base = line + n + (line[n] == ' ');
    struct sea_word_entry *entry;

    base[strcspn(base, " ")] = 0;
    if (n == 0 || !*base || strchr(line, '_'))
        return;
    entry = sea_word_add(map, line, n);
    if (!entry->base[pos])
        entry->base[pos] = sea_arena_strdup(map->arena, base);
}

/* "cat%1:05:00:: 1 18": how often a sense stands in the tagged texts. */
static void
add_tagged(struct sea_word_map *map, enum sea_word_pos unused, char *line)
{
    static const enum sea_word_pos by_type[] = { SEA_NOUN, SEA_NOUN, SEA_VERB, SEA_ADJECTIVE,
                                                 SEA_ADVERB, SEA_ADJECTIVE };
    size_t n = strcspn(line, "%");
    const char *count = strrchr(line, ' ');
    struct sea_word_entry *entry;
    int type;

    (void)unused;
    if (!line[n] || !count)
        return;
    for (size_t i = 0; i < n; i++)
        line[i] = line[i] == '_' ? ' ' : line[i];
    type = line[n + 1] - '0';
    entry = sea_word_find(map, line, n);
    if (entry && type >= 1 && type <= 5) {
        long long times = strtoll(count, NULL, 10);

        if (times > entry->tagged[by_type[type]])
            entry->tagged[by_type[type]] = times;
    }
}

enum sea_status
sea_wordnet_load(struct sea_word_map *map, const char *folder, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    char name[32];

    for (int pos = 0; pos < SEA_WORD_POS_COUNT && !status; pos++) {
        snprintf(name, sizeof(name), "index.%s", pos_files[pos]);
        status = each_line(folder, name, map, (enum sea_word_pos)pos, add_lemma, err);
    }
    for (int pos = 0; pos < SEA_WORD_POS_COUNT && !status; pos++) {
        snprintf(name, sizeof(name), "%s.exc", pos_files[pos]);
        status = each_line(folder, name, map, (enum sea_word_pos)pos, add_irregular, err);
    }
    if (!status)
        status = each_line(folder, "cntlist.rev", map, SEA_NOUN, add_tagged, err);
    return status;
}

/* ---- what a word is ---- */

/* WordNet has most of these as chemical symbols, letters or units. */
static const char *const function_words[] = {
    "a", "about", "above", "across", "after", "against", "all", "along", "also", "although",
    "am", "among", "an", "and", "any", "are", "around", "as", "at", "be", "because", "been",
    "before", "behind", "being", "below", "beneath", "beside", "besides", "between", "both",
    "but", "by", "can", "could", "did", "do", "does", "doing", "done", "down", "during",
    "each", "either", "else", "etc", "every", "few", "for", "from", "had", "has", "have",
    "having", "he", "her", "hers", "herself", "him", "himself", "his", "how", "i", "if",
    "in", "inside", "into", "is", "it", "its", "itself", "just", "less", "like", "many",
    "may", "me", "might", "mine", "more", "most", "much", "must", "my", "myself", "near",
    "neither", "no", "none", "nor", "not", "of", "off", "on", "onto", "or", "other",
    "others", "our", "ours", "out", "outside", "over", "own", "per", "same", "shall", "she",
    "should", "since", "so", "some", "such", "than", "that", "the", "their", "theirs",
    "them", "themselves", "then", "there", "these", "they", "this", "those", "though",
    "through", "to", "too", "toward", "towards", "under", "until", "up", "upon", "us", "very",
    "via", "was", "we", "were", "what", "when", "where", "which", "while", "who", "whom",
    "whose", "why", "will", "with", "within", "without", "would", "yet", "you", "your",
    "yours", "yourself",
};
static const char *const determiners[] = {
    "a", "an", "another", "any", "each", "every", "five", "four", "her", "his", "its", "my",
    "our", "some", "that", "the", "their", "these", "this", "those", "three", "two", "your",
};

static bool
is_among(const char *const *list, size_t count, const char *word)
{
    for (size_t i = 0; i < count; i++)
        if (strcmp(list[i], word) == 0)
            return true;
    return false;
}
#define AMONG(list, word) is_among(list, sizeof(list) / sizeof((list)[0]), word)

bool
sea_word_is_determiner(const char *word)
{
    return AMONG(determiners, word);
}

static bool
set_lemma(struct sea_word_meaning *meaning, const char *text, size_t len)
{
    if (len >= sizeof(meaning->lemma))
        return false;
    memcpy(meaning->lemma, text, len);
    meaning->lemma[len] = 0;
    return true;
}

/* WordNet's endings: what stands for the ending once it is taken off. */
static const struct {
    enum sea_word_pos pos;
    const char *ending, *instead;
} detachments[] = {
    { SEA_NOUN, "s", "" },       { SEA_NOUN, "ses", "s" },   { SEA_NOUN, "xes", "x" },
    { SEA_NOUN, "zes", "z" },    { SEA_NOUN, "ches", "ch" }, { SEA_NOUN, "shes", "sh" },
    { SEA_NOUN, "men", "man" },  { SEA_NOUN, "ies", "y" },
    { SEA_VERB, "s", "" },       { SEA_VERB, "ies", "y" },   { SEA_VERB, "es", "e" },
    { SEA_VERB, "es", "" },      { SEA_VERB, "ed", "e" },    { SEA_VERB, "ed", "" },
    { SEA_VERB, "ing", "e" },    { SEA_VERB, "ing", "" },
    { SEA_ADJECTIVE, "er", "" }, { SEA_ADJECTIVE, "est", "" },
    { SEA_ADJECTIVE, "er", "e" }, { SEA_ADJECTIVE, "est", "e" },
};

/* Keeps the analysis when its sense is more frequent than the best so far. */
static void
offer(struct sea_word_map *wordnet, struct sea_word_meaning *best, int64_t *times,
      enum sea_word_pos pos, const char *lemma)
{
    struct sea_word_entry *entry = sea_word_find(wordnet, lemma, strlen(lemma));

    if (entry && entry->is[pos] && entry->tagged[pos] > *times &&
        set_lemma(best, lemma, entry->len)) {
        *times = entry->tagged[pos];
        best->pos = (int)pos;
    }
}

struct sea_word_meaning
sea_word_meaning_of(struct sea_word_map *wordnet, const char *word)
{
    struct sea_word_entry *entry = sea_word_find(wordnet, word, strlen(word));
    struct sea_word_meaning best = { .pos = -1 };
    size_t n = strlen(word);
    int64_t times = -1;

    if (AMONG(function_words, word) || (word[0] >= '0' && word[0] <= '9') || strchr(word, '\''))
        return best;
    for (int pos = 0; pos < SEA_WORD_POS_COUNT; pos++)
        offer(wordnet, &best, &times, (enum sea_word_pos)pos, word);
    if (times <= 0) {
        for (int pos = 0; pos < SEA_WORD_POS_COUNT && entry; pos++)
            if (entry->base[pos])
                offer(wordnet, &best, &times, (enum sea_word_pos)pos, entry->base[pos]);
        for (size_t i = 0; i < sizeof(detachments) / sizeof(detachments[0]) && n < 64; i++) {
            size_t m = strlen(detachments[i].ending);
            char base[80];

            if (n <= m + 1 || strcmp(word + n - m, detachments[i].ending) != 0)
                continue;
            snprintf(base, sizeof(base), "%.*s%s", (int)(n - m), word, detachments[i].instead);
            offer(wordnet, &best, &times, detachments[i].pos, base);
        }
    }
    if (times < 0 && n >= 3 && set_lemma(&best, word, n))
        best.pos = SEA_NOUN;        /* not in the dictionary: a name */
    if (best.pos == SEA_ADVERB)
        best.pos = -1;
    return best;
}
