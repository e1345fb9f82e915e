/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normalize.c - the VQA answer normalisers, with their published bugs
 *
 * off  the official VQAv2 scorer; m4c  LLaVA's (TextVQA, VizWiz, VQAv2 uploads); vk
 * VLMEvalKit's. They share the steps: punctuation, periods, words; README.md tells where
 * they differ. A scoring calls this millions of times, so steps go from one array of bytes
 * to another and texts of ASCII take the short way.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PERIODS_MAX 32          /* a flag of the published code sits in the count argument */
#define SHORT 240               /* bytes that need no allocation */

/*
 * Words that change: numbers, and contractions without (or with misplaced) apostrophes. Sorted
 * by bytes. Left out are the published table's identities (let's, she's) and its keys with
 * capitals, which never meet lowered words; "somebody'd" is reversed there, too.
 */
// clang-format off
static const char *const words[][2] = {
    { "'ow'sat", "'ow's'at" }, { "'ows'at", "'ow's'at" }, { "aint", "ain't" },
    { "arent", "aren't" }, { "cant", "can't" }, { "couldn'tve", "couldn't've" },
    { "couldnt", "couldn't" }, { "couldnt've", "couldn't've" }, { "couldve", "could've" },
    { "didnt", "didn't" }, { "doesnt", "doesn't" }, { "dont", "don't" }, { "eight", "8" },
    { "five", "5" }, { "four", "4" }, { "hadn'tve", "hadn't've" }, { "hadnt", "hadn't" },
    { "hadnt've", "hadn't've" }, { "hasnt", "hasn't" }, { "havent", "haven't" },
    { "he'dve", "he'd've" }, { "hed", "he'd" }, { "hed've", "he'd've" }, { "hes", "he's" },
    { "howd", "how'd" }, { "howll", "how'll" }, { "hows", "how's" }, { "isnt", "isn't" },
    { "it'dve", "it'd've" }, { "itd", "it'd" }, { "itd've", "it'd've" }, { "itll", "it'll" },
    { "maam", "ma'am" }, { "mightn'tve", "mightn't've" }, { "mightnt", "mightn't" },
    { "mightnt've", "mightn't've" }, { "mightve", "might've" }, { "mustnt", "mustn't" },
    { "mustve", "must've" }, { "neednt", "needn't" }, { "nine", "9" }, { "none", "0" },
    { "notve", "not've" }, { "oclock", "o'clock" }, { "one", "1" }, { "oughtnt", "oughtn't" },
    { "ow's'at", "'ow's'at" }, { "seven", "7" }, { "shant", "shan't" }, { "she'dve", "she'd've" },
    { "shed've", "she'd've" }, { "shouldn'tve", "shouldn't've" }, { "shouldnt", "shouldn't" },
    { "shouldnt've", "shouldn't've" }, { "shouldve", "should've" }, { "six", "6" },
    { "somebody'd", "somebodyd" }, { "somebody'dve", "somebody'd've" },
    { "somebodyd've", "somebody'd've" }, { "somebodyll", "somebody'll" },
    { "somebodys", "somebody's" }, { "someone'dve", "someone'd've" }, { "someoned", "someone'd" },
    { "someoned've", "someone'd've" }, { "someonell", "someone'll" }, { "someones", "someone's" },
    { "something'dve", "something'd've" }, { "somethingd", "something'd" },
    { "somethingd've", "something'd've" }, { "somethingll", "something'll" }, { "ten", "10" },
    { "thats", "that's" }, { "there'dve", "there'd've" }, { "thered", "there'd" },
    { "thered've", "there'd've" }, { "therere", "there're" }, { "theres", "there's" },
    { "they'dve", "they'd've" }, { "theyd", "they'd" }, { "theyd've", "they'd've" },
    { "theyll", "they'll" }, { "theyre", "they're" }, { "theyve", "they've" }, { "three", "3" },
    { "twas", "'twas" }, { "two", "2" }, { "wasnt", "wasn't" }, { "we'dve", "we'd've" },
    { "wed've", "we'd've" }, { "werent", "weren't" }, { "weve", "we've" },
    { "whatll", "what'll" }, { "whatre", "what're" }, { "whats", "what's" },
    { "whatve", "what've" }, { "whens", "when's" }, { "whered", "where'd" },
    { "wheres", "where's" }, { "whereve", "where've" }, { "who'dve", "who'd've" },
    { "whod", "who'd" }, { "whod've", "who'd've" }, { "wholl", "who'll" }, { "whos", "who's" },
    { "whove", "who've" }, { "whyll", "why'll" }, { "whyre", "why're" }, { "whys", "why's" },
    { "wont", "won't" }, { "wouldn'tve", "wouldn't've" }, { "wouldnt", "wouldn't" },
    { "wouldnt've", "wouldn't've" }, { "wouldve", "would've" }, { "y'all'dve", "y'all'd've" },
    { "y'alld've", "y'all'd've" }, { "y'allll", "y'all'll" }, { "yall", "y'all" },
    { "yall'd've", "y'all'd've" }, { "yall'll", "y'all'll" }, { "you'dve", "you'd've" },
    { "youd", "you'd" }, { "youd've", "you'd've" }, { "youll", "you'll" }, { "youre", "you're" },
    { "youve", "you've" }, { "zero", "0" },
};
// clang-format on

static int
compare_word(const void *word, const void *entry)
{
    return strcmp(word, ((const char *const *)entry)[0]);
}

static const char *
look_up(const char *word)
{
    const char *const *found =
        bsearch(word, words, sizeof(words) / sizeof(words[0]), sizeof(words[0]), compare_word);

    return found ? found[1] : word;
}

static bool
is_ascii(const char *text, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if ((unsigned char)text[i] >= 0x80)
            return false;
    return true;
}

/* Lower case; `to` has room for three bytes per byte. Returns the length. */
static size_t
lower(const char *text, size_t n, char *to)
{
    struct sea_buf buf;

    if (is_ascii(text, n)) {
        for (size_t i = 0; i < n; i++)
            to[i] = (char)(text[i] >= 'A' && text[i] <= 'Z' ? text[i] + 32 : text[i]);
        to[n] = 0;
        return n;
    }
    sea_buf_init(&buf, 3 * n + 16);
    sea_text_lower(text, &buf);
    n = buf.len;
    memcpy(to, buf.data, n + 1);
    sea_buf_release(&buf);
    return n;
}

/* ---- steps: each writes to `to` with a 0 behind and returns the length ---- */

/* Lower case, no "," and "?", "'s" apart; tmp is as large as to. */
static size_t
m4c_begin(const char *text, size_t n, char *tmp, char *to)
{
    size_t used = 0, kept = 0;

    n = lower(text, n, tmp);
    for (size_t i = 0; i < n; i++)
        if (tmp[i] != ',' && tmp[i] != '?')
            tmp[kept++] = tmp[i];
    tmp[kept] = 0;
    for (size_t i = 0; i < kept; i++) {
        if (tmp[i] == '\'' && tmp[i + 1] == 's')
            to[used++] = ' ';
        to[used++] = tmp[i];
    }
    to[used] = 0;
    return used;
}

/* Newline and tab become blanks; then the ends are stripped. In place. */
static size_t
fix_blanks(char *text, size_t n)
{
    const char *from = text;

    for (size_t i = 0; i < n; i++)
        if (text[i] == '\n' || text[i] == '\t')
            text[i] = ' ';
    sea_text_strip(&from, &n);
    memmove(text, from, n);
    text[n] = 0;
    return n;
}

/* digit, comma, digit stands somewhere */
static bool
has_comma_number(const char *text)
{
    uint32_t one = 0, two = 0, three;

    if (!strchr(text, ','))
        return false;
    while ((three = sea_text_next(&text)) != 0) {
        if (two == ',' && sea_text_is_digit(one) && sea_text_is_digit(three))
            return true;
        one = two;
        two = three;
    }
    return false;
}

static bool
is_mark(char c)
{
    static const bool marks[128] = {
        [';'] = true, ['/'] = true, ['['] = true, [']'] = true, ['"'] = true, ['{'] = true,
        ['}'] = true, ['('] = true, [')'] = true, ['='] = true, ['+'] = true, ['\\'] = true,
        ['_'] = true, ['-'] = true, ['>'] = true, ['<'] = true, ['@'] = true, ['`'] = true,
        [','] = true, ['?'] = true, ['!'] = true,
    };

    return (unsigned char)c < 128 && marks[(unsigned char)c];
}

/* Each mark is deleted everywhere when it stands beside a blank somewhere, else becomes a
 * blank; all tests look at the text before this step. */
static size_t
fix_marks(const char *text, size_t n, char *to)
{
    bool deleted[128] = { false }, found = false, numbered;
    size_t used = 0;

    for (size_t i = 0; i < n; i++)
        if (is_mark(text[i])) {
            found = true;
            if (text[i + 1] == ' ' || (i > 0 && text[i - 1] == ' '))
                deleted[(unsigned char)text[i]] = true;
        }
    if (!found) {
        memcpy(to, text, n + 1);
        return n;
    }
    numbered = has_comma_number(text);
    for (size_t i = 0; i < n; i++) {
        if (!is_mark(text[i]))
            to[used++] = text[i];
        else if (!numbered && !deleted[(unsigned char)text[i]])
            to[used++] = ' ';
    }
    to[used] = 0;
    return used;
}

static size_t
fix_periods(enum sea_vqa_variant variant, const char *text, size_t n, char *to)
{
    const char *at = text;
    uint32_t before = 0, code;
    int removed = 0;
    size_t used = 0;

    if (!memchr(text, '.', n)) {
        memcpy(to, text, n + 1);
        return n;
    }
    while (*at) {
        const char *here = at, *ahead;
        bool goes;

        code = sea_text_next(&at);
        ahead = at;
        goes = code == '.' && removed < PERIODS_MAX && !sea_text_is_digit(sea_text_next(&ahead));
        if (goes && variant == SEA_VQA_VK && sea_text_is_digit(before))
            goes = false;
        removed += goes;
        if (!goes) {
            memcpy(to + used, here, (size_t)(at - here));
            used += (size_t)(at - here);
        }
        before = code;
    }
    to[used] = 0;
    return used;
}

/* Cuts text, which is lowered, into words where it stands. */
static void
fix_words(char *text, struct sea_buf *out)
{
    const char *at = text;

    sea_buf_clear(out);
    while (*at) {
        const char *here = at, *next = at;
        char *end;

        while (*at && !sea_text_is_space(sea_text_next(&next)))
            at = next;
        end = text + (at - text);
        at = *at ? next : at;
        if (end == here)
            continue;
        *end = 0;
        if (strcmp(here, "a") == 0 || strcmp(here, "an") == 0 || strcmp(here, "the") == 0)
            continue;
        if (out->len)
            sea_buf_puts(out, " ");
        sea_buf_puts(out, look_up(here));
    }
}

void
sea_vqa_normalize(enum sea_vqa_variant variant, const char *text, struct sea_buf *out)
{
    char small[2][4 * SHORT + 16], *one = small[0], *two = small[1];
    size_t n = strlen(text);
    bool large = n > SHORT;

    if (large) {
        one = sea_xcalloc(4 * n + 16, 1);
        two = sea_xcalloc(4 * n + 16, 1);
    }
    if (variant == SEA_VQA_M4C)
        n = m4c_begin(text, n, two, one);
    else
        memcpy(one, text, n + 1);
    n = fix_blanks(one, n);
    n = fix_marks(one, n, two);
    n = fix_periods(variant, two, n, one);
    lower(one, n, two);
    fix_words(two, out);
    if (large) {
        free(one);
        free(two);
    }
}

void
sea_vqa_marks(const char *text, struct sea_buf *out)
{
    size_t n = strlen(text);
    char *one = sea_xcalloc(n + 1, 1), *two = sea_xcalloc(n + 1, 1);

    n = fix_marks(text, n, one);
    n = fix_periods(SEA_VQA_OFF, one, n, two);
    sea_buf_clear(out);
    sea_buf_add(out, two, n);
    free(one);
    free(two);
}
