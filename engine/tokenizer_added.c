/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

/* By first byte; longer ones first, so that the first hit is the longest. */
static int
by_match(const void *a, const void *b)
{
    const struct sea_added *x = *(const struct sea_added *const *)a;
    const struct sea_added *y = *(const struct sea_added *const *)b;
    unsigned char first_x = (unsigned char)x->match[0], first_y = (unsigned char)y->match[0];

    if (first_x != first_y)
        return first_x < first_y ? -1 : 1;
    if (x->match_len != y->match_len)
        return x->match_len > y->match_len ? -1 : 1;
    return x < y ? -1 : x > y;
}

void
sea_added_set_init(struct sea_added_set *set, const struct sea_added *all, size_t count,
                   bool normalized, struct sea_arena *arena)
{
    size_t at = 0;

    set->list = sea_arena_alloc(arena, count + 1, sizeof(*set->list));
    set->count = 0;
    for (size_t i = 0; i < count; i++)
        if (all[i].normalized == normalized && all[i].match_len)
            set->list[set->count++] = &all[i];
    if (set->count)
        qsort(set->list, set->count, sizeof(*set->list), by_match);
    for (unsigned int b = 0; b <= 256; b++) {
        while (at < set->count && (unsigned char)set->list[at]->match[0] < b)
            at++;
        set->first[b] = at;
    }
    set->first[256] = set->count;
}

static bool
has_word_around(const char *text, size_t len, struct sea_span span)
{
    uint32_t code;
    size_t at;

    if (span.end < len) {
        sea_utf8_next(text + span.end, len - span.end, &code);
        if (sea_unicode_is_word(code))
            return true;
    }
    if (!span.at)
        return false;
    for (at = span.at - 1; at && ((unsigned char)text[at] & 0xC0) == 0x80;)
        at--;
    sea_utf8_next(text + at, len - at, &code);
    return sea_unicode_is_word(code);
}

/* Takes the blanks beside the span into it. */
static void
take_blanks(const struct sea_added *added, const char *text, size_t len, struct sea_span *span)
{
    uint32_t code;
    size_t at, n;

    while (added->rstrip && span->end < len) {
        n = sea_utf8_next(text + span->end, len - span->end, &code);
        if (!sea_unicode_is_space(code))
            break;
        span->end += n;
    }
    while (added->lstrip && span->at) {
        for (at = span->at - 1; at && ((unsigned char)text[at] & 0xC0) == 0x80;)
            at--;
        sea_utf8_next(text + at, len - at, &code);
        if (!sea_unicode_is_space(code))
            break;
        span->at = at;
    }
}

/* The longest word that stands at a place, NULL: none. */
static const struct sea_added *
word_at(const struct sea_added_set *set, const char *text, size_t left)
{
    unsigned char byte = (unsigned char)*text;

    for (size_t i = set->first[byte]; i < set->first[byte + 1u]; i++)
        if (set->list[i]->match_len <= left &&
            memcmp(text, set->list[i]->match, set->list[i]->match_len) == 0)
            return set->list[i];
    return NULL;
}

const struct sea_added *
sea_added_next(const struct sea_added_set *set, const char *text, size_t len,
               struct sea_added_scan *scan, struct sea_span *out)
{
    for (size_t at = scan->search; set->count && at < len; at++) {
        const struct sea_added *added = word_at(set, text + at, len - at);

        if (!added)
            continue;
        *out = (struct sea_span){ at, at + added->match_len };
        if (added->single_word && has_word_around(text, len, *out)) {
            at += added->match_len - 1; /* what begins inside it is not tried */
            continue;
        }
        scan->search = out->end;
        take_blanks(added, text, len, out);
        if (out->at < scan->done)
            out->at = scan->done;       /* an earlier word has taken these blanks */
        scan->done = out->end;
        return added;
    }
    scan->search = len;
    return NULL;
}
