/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The patterns of GPT-2 and of Llama 3 (Qwen2's differs in the number of digits) by hand: they
 * cut nearly all the text that goes through here, and this is many times faster than an engine
 * for patterns. Each function gives the end of the match at `at`; every character is part of
 * one. Comments quote the alternative that is tried.
 */
#include "engine/tokenizer_int.h"

#include <string.h>

struct cut {
    const char *text;
    size_t len;
    const unsigned char *classes;
};

/* Class of the character at `at`, SEA_CLASS_END behind the text; *n bytes. */
static int
class_at(const struct cut *cut, size_t at, size_t *n)
{
    uint32_t code;

    *n = 0;
    if (at >= cut->len)
        return SEA_CLASS_END;
    if ((unsigned char)cut->text[at] < 0x80) {
        *n = 1;
        return cut->classes[(unsigned char)cut->text[at]];
    }
    *n = sea_utf8_next(cut->text + at, cut->len - at, &code);
    return code < SEA_CLASS_CODES ? cut->classes[code] : SEA_CLASS_OTHER;
}

static size_t
run_of(const struct cut *cut, size_t at, int class)
{
    size_t n;

    while (class_at(cut, at, &n) == class)
        at += n;
    return at;
}

/* 's|'t|'re|'ve|'m|'ll|'d: end of it, or at. The long s is an s, too, when case is blind. */
static size_t
contraction(const struct cut *cut, size_t at, bool blind)
{
    const char *text = cut->text + at;
    size_t left = cut->len - at;
    char a, b;

    if (left < 2 || text[0] != '\'')
        return at;
    if (blind && left > 2 && !memcmp(text + 1, "\xC5\xBF", 2))
        return at + 3;
    a = text[1];
    b = left > 2 ? text[2] : 0;
    if (blind && a >= 'A' && a <= 'Z')
        a = (char)(a + 32);
    if (blind && b >= 'A' && b <= 'Z')
        b = (char)(b + 32);
    if (a == 's' || a == 't' || a == 'm' || a == 'd')
        return at + 2;
    if ((a == 'r' && b == 'e') || (a == 'v' && b == 'e') || (a == 'l' && b == 'l'))
        return at + 3;
    return at;
}

/* \s+(?!\S)|\s+ of a run from at to end: the last blank belongs to what follows. */
static size_t
blanks(const struct cut *cut, size_t at, size_t end, size_t last)
{
    return end == cut->len || last == at ? end : last;
}

static size_t
next_gpt2(const struct cut *cut, size_t at)
{
    size_t end = contraction(cut, at, false), from = at, last = at, n;
    int class;

    if (end > at)
        return end;
    class = class_at(cut, at, &n);
    if (cut->text[at] == ' ') {
        class = class_at(cut, at + 1, &n);
        from++;
    }
    if (class == SEA_CLASS_LETTER || class == SEA_CLASS_NUMBER || class == SEA_CLASS_OTHER)
        return run_of(cut, from, class);        /* " ?" and a run of one class */
    for (end = at; (class = class_at(cut, end, &n)) == SEA_CLASS_SPACE || class == SEA_CLASS_LINE;
         end += n)
        last = end;
    return blanks(cut, at, end, last);
}

static size_t
next_llama3(const struct cut *cut, size_t at, int digits)
{
    size_t end = contraction(cut, at, true), from = at, last = at, line = at, n, m;
    int class, next;

    if (end > at)
        return end;
    class = class_at(cut, at, &n);
    if (class == SEA_CLASS_LETTER)
        return run_of(cut, at, class);
    next = class_at(cut, at + n, &m);
    if ((class == SEA_CLASS_SPACE || class == SEA_CLASS_OTHER) && next == SEA_CLASS_LETTER)
        return run_of(cut, at + n, next);       /* [^\r\n\p{L}\p{N}]?\p{L}+ */
    if (class == SEA_CLASS_NUMBER) {            /* \p{N}{1,digits} */
        for (end = at; digits-- && class_at(cut, end, &n) == SEA_CLASS_NUMBER; end += n)
            ;
        return end;
    }
    if (cut->text[at] == ' ' && next == SEA_CLASS_OTHER) {
        from++;
        class = next;
    }
    if (class == SEA_CLASS_OTHER)               /*  ?[^\s\p{L}\p{N}]+[\r\n]* */
        return run_of(cut, run_of(cut, from, class), SEA_CLASS_LINE);
    for (end = at; (class = class_at(cut, end, &n)) == SEA_CLASS_SPACE || class == SEA_CLASS_LINE;
         end += n) {
        last = end;
        line = class == SEA_CLASS_LINE ? end + n : line;
    }
    return line > at ? line : blanks(cut, at, end, last);       /* \s*[\r\n]+ */
}

/* \w+|[^\w\s]+ and single characters of a class. */
static void
find_class(enum sea_hand hand, const char *text, size_t len, struct sea_spans *out)
{
    size_t begun = 0, n;
    int class = 0;              /* of \w+|[^\w\s]+: 1 word, 2 other */
    uint32_t code;

    for (size_t at = 0; at < len; at += n) {
        int now = 0;

        n = sea_utf8_next(text + at, len - at, &code);
        if (hand != SEA_HAND_WORDS) {
            if (hand == SEA_HAND_SPACE ? sea_unicode_is_space(code) :
                hand == SEA_HAND_DIGIT ? sea_unicode_category(code)[0] == 'N' :
                                         sea_unicode_is_punctuation(code))
                sea_spans_add(out, at, at + n);
            continue;
        }
        now = sea_unicode_is_word(code) ? 1 : sea_unicode_is_space(code) ? 0 : 2;
        if (now != class) {
            if (class)
                sea_spans_add(out, begun, at);
            begun = at;
        }
        class = now;
    }
    if (class)
        sea_spans_add(out, begun, len);
}

enum sea_hand
sea_hand_of(const char *pattern, size_t len)
{
    static const struct {
        const char *pattern;
        enum sea_hand hand;
    } known[] = { { SEA_REGEX_GPT2, SEA_HAND_GPT2 }, { SEA_REGEX_LLAMA3, SEA_HAND_LLAMA3 },
                  { SEA_REGEX_QWEN2, SEA_HAND_QWEN2 } };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i].pattern) == len && !memcmp(known[i].pattern, pattern, len))
            return known[i].hand;
    return SEA_HAND_NONE;
}

void
sea_hand_find(enum sea_hand hand, const char *text, size_t len, struct sea_spans *out)
{
    struct cut cut = { text, len, sea_unicode_classes() };
    size_t end;

    if (hand >= SEA_HAND_WORDS) {
        find_class(hand, text, len, out);
        return;
    }
    for (size_t at = 0; at < len; at = end) {
        end = hand == SEA_HAND_GPT2 ? next_gpt2(&cut, at)
                                    : next_llama3(&cut, at, hand == SEA_HAND_QWEN2 ? 1 : 3);
        sea_spans_add(out, at, end);
    }
}
