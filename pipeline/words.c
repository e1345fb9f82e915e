/* SPDX-License-Identifier: Apache-2.0 */
/* words.c - the word list: counted from captions, or read; wordnet.c knows the words */
#include "pipeline/sea_words.h"

#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_file.h"
#include "pipeline/wordnet_int.h"

#define LIST_BYTES_MAX ((size_t)256 << 20)
#define TOKENS_MAX 512          /* of a run between punctuation marks; longer runs are cut */

static const char default_wordnet[] = "/usr/share/wordnet";

/* ---- counting ---- */

struct counting {
    const struct sea_word_options *options;
    struct sea_word_map wordnet, words, meanings;
};

static void
count_key(struct counting *c, const char *key)
{
    sea_word_add(&c->words, key, strlen(key))->count++;
}

/* sea_word_meaning_of, remembered: captions repeat their words. */
static struct sea_word_meaning
recall(struct counting *c, const char *word)
{
    struct sea_word_entry *entry = sea_word_add(&c->meanings, word, strlen(word));
    struct sea_word_meaning meaning;

    if (!entry->base[0]) {
        meaning = sea_word_meaning_of(&c->wordnet, word);
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
count_names(struct counting *c, const char *const *words, const struct sea_word_meaning *meanings,
            size_t count, size_t at)
{
    size_t most = (size_t)c->options->phrase_words, chunk = 0;
    char name[256];

    if (meanings[at].pos < 0)
        return;
    for (size_t n = 2; n <= most && at + n <= count; n++) {
        const struct sea_word_meaning *last = &meanings[at + n - 1];
        struct sea_word_entry *entry;

        if (last->pos < 0 || !join(name, sizeof(name), words + at, n, last->lemma))
            continue;
        entry = sea_word_find(&c->wordnet, name, strlen(name));
        if (entry && entry->is[SEA_NOUN])
            count_key(c, name);
    }
    /* determiner, then adjectives and nouns up to the last noun, and nothing behind it */
    if (at == 0 || !sea_word_is_determiner(words[at - 1]))
        return;
    while (at + chunk < count && (meanings[at + chunk].pos == SEA_NOUN ||
                                  meanings[at + chunk].pos == SEA_ADJECTIVE))
        chunk++;
    if (chunk < 2 || chunk > most || meanings[at + chunk - 1].pos != SEA_NOUN)
        return;
    if (join(name, sizeof(name), words + at, chunk, meanings[at + chunk - 1].lemma)) {
        struct sea_word_entry *entry = sea_word_find(&c->wordnet, name, strlen(name));

        if (!entry || !entry->is[SEA_NOUN])         /* else it is counted already */
            count_key(c, name);
    }
}

static void
count_run(struct counting *c, const char *const *words, size_t count)
{
    struct sea_word_meaning *meanings = sea_xcalloc(count + 1, sizeof(*meanings));

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
    const struct sea_word_entry *const *one = a, *const *two = b;

    if ((*one)->count != (*two)->count)
        return (*one)->count > (*two)->count ? -1 : 1;
    return strcmp((*one)->key, (*two)->key);
}

static enum sea_status
take_list(struct counting *c, struct sea_word_list *out, struct sea_arena *arena,
          struct sea_err *err)
{
    struct sea_word_entry **kept = sea_xcalloc(c->words.used + 1, sizeof(struct sea_word_entry *));
    size_t n = 0;

    for (size_t i = 0; i < c->words.room; i++) {
        struct sea_word_entry *entry = &c->words.slots[i];

        if (entry->key && entry->count >= c->options->count_min)
            kept[n++] = entry;
    }
    qsort(kept, n, sizeof(struct sea_word_entry *), by_count);
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
    const char *wordnet = options->wordnet ? options->wordnet : default_wordnet;
    struct sea_arena *scratch = sea_arena_create(NULL, "counting words");
    struct counting c = { .options = options, .wordnet.arena = scratch,
                          .words.arena = scratch, .meanings.arena = scratch };
    enum sea_status status;

    *out = (struct sea_word_list){ 0 };
    status = sea_wordnet_load(&c.wordnet, wordnet, err);
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
check_entry(const char *path, size_t line, const char *entry, size_t len, struct sea_word_map *seen,
            struct sea_err *err)
{
    struct sea_word_entry *there;

    if (len == 0)
        return sea_fail(err, SEA_E_FORMAT, "word list \"%s\", line %zu is blank, expected an "
                        "entry", path, line);
    if (entry[0] == ' ' || entry[len - 1] == ' ' || memchr(entry, '\t', len))
        return sea_fail(err, SEA_E_FORMAT, "word list \"%s\", line %zu has blanks around the "
                        "entry or a tab", path, line);
    there = sea_word_find(seen, entry, len);
    if (there)
        return sea_fail(err, SEA_E_FORMAT, "word list \"%s\", line %zu repeats \"%.*s\" of line "
                        "%lld", path, line, (int)(len < 80 ? len : 80), entry,
                        (long long)there->count);
    sea_word_add(seen, entry, len)->count = (int64_t)line;
    return SEA_OK;
}

enum sea_status
sea_word_list_load(struct sea_word_list *out, const char *path, struct sea_arena *arena,
                   struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "reading words");
    struct sea_word_map seen = { .arena = scratch };
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
