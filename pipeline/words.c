/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_file.h"

#define DICTIONARY_BYTES_MAX ((size_t)64 << 20)
#define LIST_BYTES_MAX ((size_t)256 << 20)
#define TOKENS_MAX 512          /* of a run between punctuation marks; longer runs are cut */

static const char default_wordnet[] = "/usr/share/wordnet";

/* ---- a map from texts to small records ---- */

enum pos { NOUN, ADJECTIVE, VERB, ADVERB, POS_COUNT };
static const char *const pos_files[POS_COUNT] = { "noun", "adj", "verb", "adv" };

struct entry {
    const char *key;            /* NULL: free */
    size_t len;
    int64_t count;
    const char *base[POS_COUNT];        /* irregular forms: their lemma */
    int64_t tagged[POS_COUNT];  /* dictionary: occurrences of its most frequent sense */
    bool is[POS_COUNT];
};

struct map {
    struct sea_arena *arena;
    struct entry *slots;
    size_t used, room;          /* room is a power of two */
};

static uint64_t
hash_of(const char *key, size_t len)
{
    uint64_t h = 0xcbf29ce484222325u;

    for (size_t i = 0; i < len; i++)
        h = (h ^ (unsigned char)key[i]) * 0x100000001b3u;
    return h ^ h >> 29;
}

static struct entry *
slot_of(struct map *map, const char *key, size_t len)
{
    size_t i = (size_t)hash_of(key, len) & (map->room - 1);

    while (map->slots[i].key &&
           (map->slots[i].len != len || memcmp(map->slots[i].key, key, len) != 0))
        i = (i + 1) & (map->room - 1);
    return &map->slots[i];
}

static struct entry *
map_find(struct map *map, const char *key, size_t len)
{
    struct entry *entry = map->room ? slot_of(map, key, len) : NULL;

    return entry && entry->key ? entry : NULL;
}

static struct entry *
map_add(struct map *map, const char *key, size_t len)
{
    struct entry *entry;

    if (2 * (map->used + 1) > map->room) {
        struct entry *old = map->slots;
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
each_line(const char *folder, const char *name, struct map *map, enum pos pos,
          void (*fn)(struct map *map, enum pos pos, char *line), struct sea_err *err)
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
add_lemma(struct map *map, enum pos pos, char *line)
{
    size_t n = strcspn(line, " ");

    if (n == 0)
        return;
    for (size_t i = 0; i < n; i++)
        line[i] = line[i] == '_' ? ' ' : line[i];
    map_add(map, line, n)->is[pos] = true;
}

/* "geese goose": an irregular form and its lemma. */
static void
add_irregular(struct map *map, enum pos pos, char *line)
{
    size_t n = strcspn(line, " ");
    char *base = line + n + (line[n] == ' ');
    struct entry *entry;

    base[strcspn(base, " ")] = 0;
    if (n == 0 || !*base || strchr(line, '_'))
        return;
    entry = map_add(map, line, n);
    if (!entry->base[pos])
        entry->base[pos] = sea_arena_strdup(map->arena, base);
}

/* "cat%1:05:00:: 1 18": how often a sense stands in the tagged texts. */
static void
add_tagged(struct map *map, enum pos unused, char *line)
{
    static const enum pos by_type[] = { NOUN, NOUN, VERB, ADJECTIVE, ADVERB, ADJECTIVE };
    size_t n = strcspn(line, "%");
    const char *count = strrchr(line, ' ');
    struct entry *entry;
    int type;

    (void)unused;
    if (!line[n] || !count)
        return;
    for (size_t i = 0; i < n; i++)
        line[i] = line[i] == '_' ? ' ' : line[i];
    type = line[n + 1] - '0';
    entry = map_find(map, line, n);
    if (entry && type >= 1 && type <= 5) {
        long long times = strtoll(count, NULL, 10);

        if (times > entry->tagged[by_type[type]])
            entry->tagged[by_type[type]] = times;
    }
}

static enum sea_status
load_wordnet(struct map *map, const char *folder, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    char name[32];

    for (int pos = 0; pos < POS_COUNT && !status; pos++) {
        snprintf(name, sizeof(name), "index.%s", pos_files[pos]);
        status = each_line(folder, name, map, (enum pos)pos, add_lemma, err);
    }
    for (int pos = 0; pos < POS_COUNT && !status; pos++) {
        snprintf(name, sizeof(name), "%s.exc", pos_files[pos]);
        status = each_line(folder, name, map, (enum pos)pos, add_irregular, err);
    }
    if (!status)
        status = each_line(folder, "cntlist.rev", map, NOUN, add_tagged, err);
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

struct meaning {
    int pos;                    /* enum pos; -1: function word, adverb, number */
    char lemma[128];
};

static bool
set_lemma(struct meaning *meaning, const char *text, size_t len)
{
    if (len >= sizeof(meaning->lemma))
        return false;
    memcpy(meaning->lemma, text, len);
    meaning->lemma[len] = 0;
    return true;
}

/* WordNet's endings: what stands for the ending once it is taken off. */
static const struct {
    enum pos pos;
    const char *ending, *instead;
} detachments[] = {
    { NOUN, "s", "" },      { NOUN, "ses", "s" },   { NOUN, "xes", "x" },  { NOUN, "zes", "z" },
    { NOUN, "ches", "ch" }, { NOUN, "shes", "sh" }, { NOUN, "men", "man" }, { NOUN, "ies", "y" },
    { VERB, "s", "" },      { VERB, "ies", "y" },   { VERB, "es", "e" },   { VERB, "es", "" },
    { VERB, "ed", "e" },    { VERB, "ed", "" },     { VERB, "ing", "e" },  { VERB, "ing", "" },
    { ADJECTIVE, "er", "" }, { ADJECTIVE, "est", "" }, { ADJECTIVE, "er", "e" },
    { ADJECTIVE, "est", "e" },
};

/* Keeps the analysis when its sense is more frequent than the best so far. */
static void
offer(struct map *wordnet, struct meaning *best, int64_t *times, enum pos pos, const char *lemma)
{
    struct entry *entry = map_find(wordnet, lemma, strlen(lemma));

    if (entry && entry->is[pos] && entry->tagged[pos] > *times &&
        set_lemma(best, lemma, entry->len)) {
        *times = entry->tagged[pos];
        best->pos = (int)pos;
    }
}

/* A word that stands in tagged texts as a lemma is taken as that ("rose" is no form of
 * "rise"); else irregular forms and endings may lead to a more frequent one ("bridges" is a
 * surname, too). */
static struct meaning
meaning_of(struct map *wordnet, const char *word)
{
    struct entry *entry = map_find(wordnet, word, strlen(word));
    struct meaning best = { .pos = -1 };
    size_t n = strlen(word);
    int64_t times = -1;

    if (AMONG(function_words, word) || (word[0] >= '0' && word[0] <= '9') || strchr(word, '\''))
        return best;
    for (int pos = 0; pos < POS_COUNT; pos++)
        offer(wordnet, &best, &times, (enum pos)pos, word);
    if (times <= 0) {
        for (int pos = 0; pos < POS_COUNT && entry; pos++)
            if (entry->base[pos])
                offer(wordnet, &best, &times, (enum pos)pos, entry->base[pos]);
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
        best.pos = NOUN;        /* not in the dictionary: a name */
    if (best.pos == ADVERB)
        best.pos = -1;
    return best;
}

/* ---- counting ---- */

struct counting {
    const struct sea_word_options *options;
    struct map wordnet, words, meanings;
};

static void
count_key(struct counting *c, const char *key)
{
    map_add(&c->words, key, strlen(key))->count++;
}

/* meaning_of, remembered: captions repeat their words. */
static struct meaning
recall(struct counting *c, const char *word)
{
    struct entry *entry = map_add(&c->meanings, word, strlen(word));
    struct meaning meaning;

    if (!entry->base[0]) {
        meaning = meaning_of(&c->wordnet, word);
        entry->base[0] = sea_arena_strdup(c->meanings.arena, meaning.lemma);
        entry->count = meaning.pos;
        return meaning;
    }
    meaning.pos = (int)entry->count;
    snprintf(meaning.lemma, sizeof(meaning.lemma), "%s", entry->base[0]);
    return meaning;
}

/* Words at .. at + n - 1, the last one as it stands or as its lemma. */
static bool
join(char *out, size_t room, const char *const *words, size_t n, const char *last)
{
    size_t used = 0;

    for (size_t i = 0; i < n; i++) {
        const char *word = i + 1 == n ? last : words[i];
        int wrote = snprintf(out + used, room - used, "%s%s", i ? " " : "", word);

        if (wrote < 0 || (size_t)wrote >= room - used)
            return false;
        used += (size_t)wrote;
    }
    return true;
}

/* Names of several words that begin at word `at`. */
static void
count_names(struct counting *c, const char *const *words, const struct meaning *meanings,
            size_t count, size_t at)
{
    size_t most = (size_t)c->options->phrase_words, chunk = 0;
    char name[256];

    if (meanings[at].pos < 0)
        return;
    for (size_t n = 2; n <= most && at + n <= count; n++) {
        const struct meaning *last = &meanings[at + n - 1];
        struct entry *entry;

        if (last->pos < 0 || !join(name, sizeof(name), words + at, n, last->lemma))
            continue;
        entry = map_find(&c->wordnet, name, strlen(name));
        if (entry && entry->is[NOUN])
            count_key(c, name);
    }
    /* determiner, then adjectives and nouns up to the last noun, and nothing behind it */
    if (at == 0 || !AMONG(determiners, words[at - 1]))
        return;
    while (at + chunk < count && (meanings[at + chunk].pos == NOUN ||
                                  meanings[at + chunk].pos == ADJECTIVE))
        chunk++;
    if (chunk < 2 || chunk > most || meanings[at + chunk - 1].pos != NOUN)
        return;
    if (join(name, sizeof(name), words + at, chunk, meanings[at + chunk - 1].lemma)) {
        struct entry *entry = map_find(&c->wordnet, name, strlen(name));

        if (!entry || !entry->is[NOUN])         /* else it is counted already */
            count_key(c, name);
    }
}

static void
count_run(struct counting *c, const char *const *words, size_t count)
{
    struct meaning *meanings = sea_xcalloc(count + 1, sizeof(*meanings));

    for (size_t i = 0; i < count; i++) {
        meanings[i] = recall(c, words[i]);
        if (meanings[i].pos < 0)
            continue;
        count_key(c, meanings[i].lemma);
        if (strcmp(meanings[i].lemma, words[i]) != 0)
            count_key(c, words[i]);
    }
    for (size_t i = 0; i < count; i++)
        count_names(c, words, meanings, count, i);
    free(meanings);
}

static bool
is_word_byte(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || (unsigned char)c >= 0x80;
}

static const char breaks[] = ".,;:!?()[]{}\"/|<>\n\t";    /* end a run of words */

/* Takes the word at text[*at]: its end becomes 0, a possessive 's is cut off. */
static void
take_word(char *text, size_t *at)
{
    size_t start = *at, end;

    while (is_word_byte(text[*at]) ||
           ((text[*at] == '\'' || text[*at] == '-') && is_word_byte(text[*at + 1])))
        ++*at;
    end = *at;
    if (end - start > 2 && text[end - 1] == 's' && text[end - 2] == '\'')
        text[end - 2] = 0;
}

/* Words in lower case, in runs between punctuation marks. */
static void
count_caption(struct counting *c, const char *caption)
{
    size_t n = strlen(caption), count = 0, i = 0;
    char *text = sea_xcalloc(n + 2, 1);
    const char *words[TOKENS_MAX];

    for (size_t k = 0; k < n; k++)
        text[k] = caption[k] >= 'A' && caption[k] <= 'Z' ? (char)(caption[k] + 32) : caption[k];
    while (i < n) {
        bool ends = strchr(breaks, text[i]) != NULL;

        if (is_word_byte(text[i])) {
            words[count++] = text + i;
            take_word(text, &i);
            ends = count == TOKENS_MAX || (text[i] && strchr(breaks, text[i]));
            text[i] = 0;
        }
        if (ends) {
            count_run(c, words, count);
            count = 0;
        }
        i++;
    }
    count_run(c, words, count);
    free(text);
}

/* ---- the list ---- */

static int
by_count(const void *a, const void *b)
{
    const struct entry *const *one = a, *const *two = b;

    if ((*one)->count != (*two)->count)
        return (*one)->count > (*two)->count ? -1 : 1;
    return strcmp((*one)->key, (*two)->key);
}

static enum sea_status
take_list(struct counting *c, struct sea_word_list *out, struct sea_arena *arena,
          struct sea_err *err)
{
    struct entry **kept = sea_xcalloc(c->words.used + 1, sizeof(struct entry *));
    size_t n = 0;

    for (size_t i = 0; i < c->words.room; i++) {
        struct entry *entry = &c->words.slots[i];

        if (entry->key && entry->count >= c->options->count_min)
            kept[n++] = entry;
    }
    qsort(kept, n, sizeof(struct entry *), by_count);
    out->items = sea_arena_alloc(arena, n + 1, sizeof(char *));
    out->count = n;
    for (size_t i = 0; i < n; i++)
        out->items[i] = sea_arena_strdup(arena, kept[i]->key);
    free(kept);
    if (n == 0) {
        sea_fail(err, SEA_E_FORMAT, "the captions hold 0 words that occur %lld times",
                 (long long)c->options->count_min);
        sea_hint(err, "Give the word list as a file, or use more captions.");
        return SEA_E_FORMAT;
    }
    return SEA_OK;
}

void
sea_word_options_defaults(struct sea_word_options *options)
{
    *options = (struct sea_word_options){ .count_min = 3, .phrase_words = 3 };
}

enum sea_status
sea_word_list_build(struct sea_word_list *out, const char *const *captions, size_t count,
                    const struct sea_word_options *options, struct sea_arena *arena,
                    struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "counting words");
    struct counting c = { .options = options, .wordnet.arena = scratch,
                          .words.arena = scratch, .meanings.arena = scratch };
    enum sea_status status;

    *out = (struct sea_word_list){ 0 };
    status = load_wordnet(&c.wordnet, options->wordnet ? options->wordnet : default_wordnet, err);
    for (size_t i = 0; i < count && !status; i++)
        count_caption(&c, captions[i]);
    if (!status)
        status = take_list(&c, out, arena, err);
    if (status)
        sea_context(err, "while building the word list");
    free(c.wordnet.slots);
    free(c.words.slots);
    free(c.meanings.slots);
    sea_arena_destroy(scratch);
    return status;
}

static enum sea_status
check_entry(const char *path, size_t line, const char *entry, size_t len, struct map *seen,
            struct sea_err *err)
{
    struct entry *there;

    if (len == 0)
        return sea_fail(err, SEA_E_FORMAT, "word list \"%s\", line %zu is blank, expected an "
                        "entry", path, line);
    if (entry[0] == ' ' || entry[len - 1] == ' ' || memchr(entry, '\t', len))
        return sea_fail(err, SEA_E_FORMAT, "word list \"%s\", line %zu has blanks around the "
                        "entry or a tab", path, line);
    there = map_find(seen, entry, len);
    if (there)
        return sea_fail(err, SEA_E_FORMAT, "word list \"%s\", line %zu repeats \"%.*s\" of line "
                        "%lld", path, line, (int)(len < 80 ? len : 80), entry,
                        (long long)there->count);
    map_add(seen, entry, len)->count = (int64_t)line;
    return SEA_OK;
}

enum sea_status
sea_word_list_load(struct sea_word_list *out, const char *path, struct sea_arena *arena,
                   struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "reading words");
    struct map seen = { .arena = scratch };
    enum sea_status status;
    struct sea_buf text;
    size_t lines = 0;

    *out = (struct sea_word_list){ 0 };
    sea_buf_init(&text, LIST_BYTES_MAX);
    status = sea_file_read(path, &text, err);
    for (size_t i = 0; i < text.len && !status; i++)
        lines += text.data[i] == '\n' || i + 1 == text.len;
    if (!status && lines == 0)
        status = sea_fail(err, SEA_E_FORMAT, "word list \"%s\" holds 0 words, need >= 1", path);
    out->items = sea_arena_alloc(arena, lines + 1, sizeof(char *));
    for (const char *at = text.data, *end = text.data + text.len; at < end && !status;) {
        const char *newline = memchr(at, '\n', (size_t)(end - at));
        size_t len = (size_t)((newline ? newline : end) - at), kept = len;

        kept -= kept > 0 && at[kept - 1] == '\r';
        status = check_entry(path, out->count + 1, at, kept, &seen, err);
        if (!status)
            out->items[out->count++] = sea_arena_strndup(arena, at, kept);
        at += len + 1;
    }
    sea_buf_release(&text);
    free(seen.slots);
    sea_arena_destroy(scratch);
    if (status)
        *out = (struct sea_word_list){ 0 };
    return status;
}
