/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmmu_open.c - MMMU's open answers: what of a text may be an answer, and is one of it right
 *
 * Of each line the shortest tail behind an announcing word counts; else the whole text does.
 * Tails and the numbers in them are compared: numbers by value to two decimals, texts by being
 * contained. All of it is the official scorer's, with its surprises.
 */
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct value {                  /* a normalised answer: a number or a text */
    bool is_number;
    double number;
    const char *text;
};

struct values {
    struct value *at;
    size_t count, room;
    struct sea_arena *arena;
};

static struct value *
add_value(struct values *list)
{
    if (list->count == list->room)
        list->at = sea_arena_grow(list->arena, list->at, &list->room, 16, sizeof(*list->at));
    return &list->at[list->count++];
}

/* A number without its commas, of two decimals; else a lowered text; one character alone
 * becomes two texts with a blank, so that it matches no part of a word. */
static void
add_normalized(struct values *list, const char *text)
{
    const char *plain = sea_text_tidy(text, false, true, list->arena), *lower;
    char *bare = sea_arena_strdup(list->arena, plain), *to = bare;
    double number;

    for (const char *c = plain; *c; c++)
        if (*c != ',')
            *to++ = *c;
    *to = 0;
    if (sea_py_float(bare, &number)) {
        *add_value(list) = (struct value){ .is_number = true,
                                           .number = sea_py_round(number, 2) };
        return;
    }
    lower = sea_text_tidy(plain, true, false, list->arena);
    if (sea_text_length(lower) == 1) {
        *add_value(list) = (struct value){ .text = sea_arena_printf(list->arena, " %s", lower) };
        *add_value(list) = (struct value){ .text = sea_arena_printf(list->arena, "%s ", lower) };
    } else {
        *add_value(list) = (struct value){ .text = lower };
    }
}

/* Numbers are found by three patterns whose digits and words are Unicode's, so a tail is looked
 * at as code points: at[-1] of the first and at[0] behind the last are 0. */
static size_t
digits(const uint32_t *at)
{
    size_t n = 0;

    while (sea_text_is_digit(at[n]))
        n++;
    return n;
}

/* An exponent "e+5" at `at`; its length. */
static size_t
exponent(const uint32_t *at)
{
    size_t n = 1;

    if (*at != 'e' && *at != 'E')
        return 0;
    n += at[n] == '+' || at[n] == '-';
    return digits(at + n) ? n + digits(at + n) : 0;
}

/* 1,234,567 between word boundaries; the last boundary counts. */
static size_t
comma_number(const uint32_t *at)
{
    size_t sign = *at == '-', n = digits(at + sign), end = sign + n, last = 0;

    if (n < 1 || n > 3 || (!sign && sea_text_is_word(at[-1])))
        return 0;
    while (at[end] == ',' && digits(at + end + 1) >= 3) {
        end += 4;
        if (!sea_text_is_word(at[end]))
            last = end;
    }
    return last;
}

static size_t
scientific_number(const uint32_t *at)
{
    size_t n = *at == '-', d = digits(at + n), tail;

    if (d == 0)
        return 0;
    n += d;
    if (at[n] == '.' && digits(at + n + 1))
        n += 1 + digits(at + n + 1);
    tail = exponent(at + n);
    return tail ? n + tail : 0;
}

/* Whether a plain number may end here: no exponent, no comma and no digit follows. */
static bool
may_end(const uint32_t *at)
{
    return !exponent(at) && *at != ',' && !sea_text_is_digit(*at);
}

/* 12.5, .5 or 12, in this order. */
static size_t
plain_number(const uint32_t *at)
{
    size_t sign = *at == '-', whole = digits(at + sign), part;
    const uint32_t *point = at + sign + whole;

    part = *point == '.' ? digits(point + 1) : 0;
    if (part && may_end(point + 1 + part))
        return sign + whole + 1 + part;
    return whole && !sea_text_is_word(*point) && may_end(point) ? sign + whole : 0;
}

static void
add_numbers(struct values *list, const char *text, size_t (*match)(const uint32_t *at))
{
    uint32_t *codes = sea_arena_alloc(list->arena, sea_text_length(text) + 2, sizeof(*codes)), *at;
    const char *next = text;

    for (at = codes + 1; *next; at++)
        *at = sea_text_next(&next);
    for (at = codes + 1, next = text; *at;) {
        const char *start = next;
        size_t n = match(at);

        for (size_t i = 0; i < (n ? n : 1); i++, at++)
            sea_text_next(&next);
        if (n)
            add_normalized(list, sea_arena_strndup(list->arena, start, (size_t)(next - start)));
    }
}

/* The shortest tail behind one of the words that announce an answer; "" when there is none.
 * An empty tail counts as none found yet. */
static const char *
shortest_tail(const char *piece, bool is_last, struct sea_arena *arena)
{
    static const char *const words[] = { "could be ", "so ", "is ", "thus ", "therefore ",
                                         "final ", "answer ", "result ", "=" };
    const char *best = "";

    for (size_t i = 0; i < sizeof(words) / sizeof(words[0]) - !is_last; i++) {
        const char *behind = NULL, *tail;

        for (const char *at = piece; (at = strstr(at, words[i])) != NULL;)
            behind = at += strlen(words[i]);    /* split: occurrences do not overlap */
        if (!behind)
            continue;
        tail = sea_text_tidy(behind, false, true, arena);
        if (!best[0] || sea_text_length(tail) < sea_text_length(best))
            best = tail;
    }
    return best;
}

static void
parse_open(const char *answer, struct values *out)
{
    const char *text = sea_text_tidy(answer, false, true, out->arena), *from = text, *piece;
    size_t n = strlen(text);
    struct sea_py_texts tails = { 0 };

    while (n && *from == '.') {
        from++;
        n--;
    }
    while (n && from[n - 1] == '.')
        n--;
    text = sea_text_tidy(sea_arena_strndup(out->arena, from, n), true, false, out->arena);
    tails.at = sea_arena_alloc(out->arena, n + 2, sizeof(char *));
    for (const char *at = text;; at++) {
        size_t len = strcspn(at, "\n");

        piece = shortest_tail(sea_arena_strndup(out->arena, at, len), !at[len], out->arena);
        if (piece[0] && (piece[1] || !strchr(":,.!?;'", piece[0])))
            tails.at[tails.count++] = piece;
        at += len;
        if (!*at)
            break;
    }
    if (tails.count == 0)
        tails.at[tails.count++] = text;
    for (size_t i = 0; i < tails.count; i++)
        add_normalized(out, tails.at[i]);
    for (size_t i = 0; i < tails.count; i++) {
        add_numbers(out, tails.at[i], comma_number);
        add_numbers(out, tails.at[i], scientific_number);
        add_numbers(out, tails.at[i], plain_number);
    }
}

/* A number equals a gold number; a gold text stands in a text. */
static bool
matches(const struct values *said, const struct values *golds)
{
    for (size_t i = 0; i < said->count; i++)
        for (size_t g = 0; g < golds->count; g++) {
            const struct value *a = &said->at[i], *b = &golds->at[g];

            if (a->is_number ? b->is_number && a->number == b->number
                             : !b->is_number && strstr(a->text, b->text))
                return true;
        }
    return false;
}

bool
sea_mmmu_open(const char *text, const struct sea_py_texts *accepted, struct sea_arena *arena,
              const char **parsed)
{
    struct sea_arena *scratch = sea_arena_create(arena, "row");
    struct values said = { .arena = scratch }, golds = { .arena = scratch };
    bool right;

    parse_open(text, &said);
    for (size_t i = 0; i < accepted->count; i++)
        add_normalized(&golds, accepted->at[i]);
    right = matches(&said, &golds);
    *parsed = "";
    if (said.count)
        *parsed = said.at[0].is_number ? sea_py_float_text(said.at[0].number, arena)
                                       : sea_arena_strdup(arena, said.at[0].text);
    sea_arena_destroy(scratch);
    return right;
}
