/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caption_scores.c - BLEU, ROUGE-L and CIDEr-D of captions against several references
 *
 * Words and n-grams become numbers; a caption is a short sorted list of (n-gram, count), so
 * that comparing two is a merge. Document frequencies of CIDEr-D count pictures, not captions.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define ORDERS 4
#define ROUGE_BETA 1.2
#define CIDER_SIGMA 6.0

struct grams {                  /* one text's n-grams of all orders */
    struct gram { uint32_t id; uint32_t count; } *at[ORDERS];
    size_t n[ORDERS];
    uint32_t *words;            // (length)
    size_t length;
};

struct table {                  /* from sequences of numbers to numbers, open addressing */
    uint64_t *keys;             /* (prefix's number << 32 | word) + 1; 0: free */
    uint32_t *ids;
    size_t room, used;
};

static uint64_t
mix(uint64_t key)
{
    key ^= key >> 31;
    key *= 0x9E3779B97F4A7C15ull;
    return key ^ key >> 29;
}

static uint32_t
number_of(struct table *t, uint64_t key)
{
    size_t at;

    if (2 * (t->used + 1) > t->room) {
        struct table more = { .room = t->room ? 2 * t->room : 1024 };

        more.keys = sea_xcalloc(more.room, sizeof(*more.keys));
        more.ids = sea_xcalloc(more.room, sizeof(*more.ids));
        more.used = t->used;
        for (size_t i = 0; i < t->room; i++) {
            if (!t->keys[i])
                continue;
            for (at = mix(t->keys[i]) & (more.room - 1); more.keys[at];)
                at = (at + 1) & (more.room - 1);
            more.keys[at] = t->keys[i];
            more.ids[at] = t->ids[i];
        }
        free(t->keys);
        free(t->ids);
        *t = more;
    }
    for (at = mix(key + 1) & (t->room - 1); t->keys[at]; at = (at + 1) & (t->room - 1))
        if (t->keys[at] == key + 1)
            return t->ids[at];
    t->keys[at] = key + 1;
    t->ids[at] = (uint32_t)t->used++;
    return t->ids[at];
}

struct scoring {
    struct table grams;         /* numbers of all n-grams, words among them */
    struct table letters;       /* a trie of the words' bytes: no two words share a number */
    uint32_t *frequency;        // (n-grams) pictures whose references have it
    uint32_t *last;             // (n-grams) the last such picture + 1
    size_t room;
    struct sea_arena *arena;
    double log_pictures;
};

static int
compare_numbers(const void *a, const void *b)
{
    uint32_t one = *(const uint32_t *)a, two = *(const uint32_t *)b;

    return (one > two) - (one < two);
}

static void
count_grams(struct scoring *s, struct grams *g, int order, uint32_t *ids, size_t n)
{
    size_t used = 0;

    qsort(ids, n, sizeof(*ids), compare_numbers);
    g->at[order] = sea_arena_alloc(s->arena, n + 1, sizeof(struct gram));
    for (size_t i = 0; i < n; i++) {
        if (used && g->at[order][used - 1].id == ids[i])
            g->at[order][used - 1].count++;
        else
            g->at[order][used++] = (struct gram){ ids[i], 1 };
    }
    g->n[order] = used;
}

/* Orders are told apart by an id of the empty prefix: n-grams begin with their order. */
static void
read_text(struct scoring *s, const char *text, struct grams *g)
{
    size_t words = 0, room = strlen(text) / 2 + 2;
    uint32_t *ids = sea_xcalloc(room, sizeof(*ids));

    *g = (struct grams){ .words = sea_arena_alloc(s->arena, room, sizeof(uint32_t)) };
    while (*text) {
        size_t n = strcspn(text, " ");
        uint64_t prefix = UINT32_MAX - 1;

        for (size_t i = 0; i < n; i++)
            prefix = number_of(&s->letters, prefix << 8 | (unsigned char)text[i]);
        if (n)
            g->words[words++] = (uint32_t)prefix;
        text += n + (text[n] == ' ');
    }
    g->length = words;
    for (int order = 0; order < ORDERS; order++) {
        size_t n = words > (size_t)order ? words - (size_t)order : 0;

        for (size_t i = 0; i < n; i++) {
            uint32_t prefix = UINT32_MAX;

            for (int k = 0; k <= order; k++)
                prefix = number_of(&s->grams, (uint64_t)prefix << 32 | g->words[i + (size_t)k]);
            ids[i] = prefix;
        }
        count_grams(s, g, order, ids, n);
    }
    free(ids);
}

/* A picture's references have this n-gram: once per picture. */
static void
count_documents(struct scoring *s, const struct grams *references, size_t count, size_t picture)
{
    if (s->grams.used > s->room) {
        size_t room = 2 * s->grams.used;

        s->frequency = sea_xrealloc(s->frequency, room, sizeof(uint32_t));
        s->last = sea_xrealloc(s->last, room, sizeof(uint32_t));
        memset(s->frequency + s->room, 0, (room - s->room) * sizeof(uint32_t));
        memset(s->last + s->room, 0, (room - s->room) * sizeof(uint32_t));
        s->room = room;
    }
    for (size_t r = 0; r < count; r++)
        for (int order = 0; order < ORDERS; order++)
            for (size_t i = 0; i < references[r].n[order]; i++) {
                uint32_t id = references[r].at[order][i].id;

                if (s->last[id] == (uint32_t)picture + 1)
                    continue;
                s->last[id] = (uint32_t)picture + 1;
                s->frequency[id]++;
            }
}

static double
weight(const struct scoring *s, const struct gram *gram)
{
    double seen = gram->id < s->room && s->frequency[gram->id] > 1 ? s->frequency[gram->id] : 1;

    return gram->count * (s->log_pictures - log(seen));
}

static double
norm(const struct scoring *s, const struct grams *g, int order)
{
    double sum = 0;

    for (size_t i = 0; i < g->n[order]; i++)
        sum += pow(weight(s, &g->at[order][i]), 2);
    return sqrt(sum);
}

/* Lengths are numbers of bigrams, as the published code counts them. */
static size_t
bigrams(const struct grams *g)
{
    return g->length > 1 ? g->length - 1 : 0;
}

static double
cider_of(const struct scoring *s, const struct grams *said, const struct grams *references,
         size_t count)
{
    double sum = 0;

    for (size_t r = 0; r < count; r++) {
        double delta = (double)bigrams(said) - (double)bigrams(&references[r]);

        for (int order = 0; order < ORDERS; order++) {
            const struct gram *a = said->at[order], *b = references[r].at[order];
            double value = 0, one = norm(s, said, order), two = norm(s, &references[r], order);
            size_t i = 0, j = 0;

            while (i < said->n[order] && j < references[r].n[order]) {
                if (a[i].id < b[j].id) {
                    i++;
                } else if (a[i].id > b[j].id) {
                    j++;
                } else {
                    double h = weight(s, &a[i++]), w = weight(s, &b[j++]);

                    value += (h < w ? h : w) * w;
                }
            }
            if (one != 0 && two != 0)
                value /= one * two;
            sum += value * exp(-(delta * delta) / (2 * CIDER_SIGMA * CIDER_SIGMA));
        }
    }
    return sum / ORDERS / (double)count * 10;
}

/* Length of the longest common subsequence. */
static size_t
common(const struct grams *a, const struct grams *b)
{
    size_t *row = sea_xcalloc(b->length + 1, sizeof(*row)), result;

    for (size_t i = 0; i < a->length; i++) {
        size_t corner = 0;

        for (size_t j = 1; j <= b->length; j++) {
            size_t above = row[j];

            if (a->words[i] == b->words[j - 1])
                row[j] = corner + 1;
            else
                row[j] = above > row[j - 1] ? above : row[j - 1];
            corner = above;
        }
    }
    result = row[b->length];
    free(row);
    return result;
}

/* An empty caption has one (empty) word: "".split(" ") is a list of one. */
static double
words_of(const struct grams *g)
{
    return g->length ? (double)g->length : 1;
}

static double
rouge_of(const struct grams *said, const struct grams *references, size_t count)
{
    double precision = 0, recall = 0, b2 = ROUGE_BETA * ROUGE_BETA;

    for (size_t r = 0; r < count; r++) {
        double lcs = said->length == 0 && references[r].length == 0
                         ? 1 : (double)common(said, &references[r]);

        precision = fmax(precision, lcs / words_of(said));
        recall = fmax(recall, lcs / words_of(&references[r]));
    }
    if (precision == 0 || recall == 0)
        return 0;
    return (1 + b2) * precision * recall / (recall + b2 * precision);
}

struct bleu {
    double said, reference, guess[ORDERS], correct[ORDERS];
};

static void
bleu_add(struct bleu *sum, const struct grams *said, const struct grams *references, size_t count)
{
    size_t closest = references[0].length;

    for (size_t r = 1; r < count; r++) {
        double one = fabs((double)references[r].length - (double)said->length);
        double two = fabs((double)closest - (double)said->length);

        if (one < two || (one == two && references[r].length < closest))
            closest = references[r].length;
    }
    sum->said += (double)said->length;
    sum->reference += (double)closest;
    for (int order = 0; order < ORDERS; order++) {
        size_t guesses = said->length > (size_t)order ? said->length - (size_t)order : 0;

        sum->guess[order] += (double)guesses;
        for (size_t i = 0; i < said->n[order]; i++) {
            const struct gram *gram = &said->at[order][i];
            uint32_t most = 0;

            for (size_t r = 0; r < count; r++)
                for (size_t j = 0; j < references[r].n[order]; j++)
                    if (references[r].at[order][j].id == gram->id &&
                        references[r].at[order][j].count > most)
                        most = references[r].at[order][j].count;
            sum->correct[order] += most < gram->count ? most : gram->count;
        }
    }
}

static void
bleu_finish(const struct bleu *sum, double out[ORDERS])
{
    static const double tiny = 1e-15, small = 1e-9;
    double product = 1, ratio = (sum->said + tiny) / (sum->reference + small);

    for (int order = 0; order < ORDERS; order++) {
        product *= (sum->correct[order] + tiny) / (sum->guess[order] + small);
        out[order] = pow(product, 1.0 / (order + 1));
    }
    for (int order = 0; order < ORDERS && ratio < 1; order++)
        out[order] *= exp(1 - 1 / ratio);
}

void
sea_caption_score(const struct sea_caption *captions, size_t n, struct sea_caption_scores *out)
{
    struct scoring s = { .arena = sea_arena_create(NULL, "captions"),
                         .log_pictures = log((double)n) };
    struct grams *said = sea_xcalloc(n + 1, sizeof(*said)),
                 **references = sea_xcalloc(n + 1, sizeof(*references));
    struct bleu bleu = { 0 };

    for (size_t i = 0; i < n; i++) {
        references[i] = sea_arena_alloc(s.arena, captions[i].count + 1, sizeof(struct grams));
        for (size_t r = 0; r < captions[i].count; r++)
            read_text(&s, captions[i].references[r], &references[i][r]);
        count_documents(&s, references[i], captions[i].count, i);
        read_text(&s, captions[i].said, &said[i]);
        bleu_add(&bleu, &said[i], references[i], captions[i].count);
        out->rouge[i] = rouge_of(&said[i], references[i], captions[i].count);
    }
    for (size_t i = 0; i < n; i++)
        out->cider[i] = cider_of(&s, &said[i], references[i], captions[i].count);
    bleu_finish(&bleu, out->bleu);
    free(s.grams.keys);
    free(s.grams.ids);
    free(s.letters.keys);
    free(s.letters.ids);
    free(s.frequency);
    free(s.last);
    free(said);
    free(references);
    sea_arena_destroy(s.arena);
}
