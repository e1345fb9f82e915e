/* SPDX-License-Identifier: Apache-2.0 */
/*
 * normalize.c - the VQA answer normalisers, with their published bugs
 *
 * off  the official VQAv2 scorer; m4c  LLaVA's (TextVQA, VizWiz, VQAv2 uploads); vk
 * VLMEvalKit's. They share the steps: punctuation, periods, words; README.md tells where
 * they differ.
 */
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PERIODS_MAX 32          /* a flag of the published code sits in the count argument */

/* ---- the contraction table ---- */

/* Keyed by the value without its apostrophe. */
static const char *const contractions[] = {
    "'twas", "ain't", "aren't", "can't", "could've", "couldn't", "didn't", "doesn't", "don't",
    "hadn't", "hasn't", "haven't", "he'd", "he's", "how'd", "how'll", "how's", "isn't", "it'd",
    "it'll", "ma'am", "might've", "mightn't", "must've", "mustn't", "needn't", "not've",
    "o'clock", "oughtn't", "shan't", "should've", "shouldn't", "somebody'll", "somebody's",
    "someone'd", "someone'll", "someone's", "something'd", "something'll", "that's", "there'd",
    "there're", "there's", "they'd", "they'll", "they're", "they've", "wasn't", "we've",
    "weren't", "what'll", "what're", "what's", "what've", "when's", "where'd", "where's",
    "where've", "who'd", "who'll", "who's", "who've", "why'll", "why're", "why's", "won't",
    "would've", "wouldn't", "y'all", "you'd", "you'll", "you're", "you've",
};

/* Keys that are written otherwise. Keys with capitals never meet lowered words. */
// clang-format off
static const char *const spelled[][2] = {
    { "couldn'tve", "couldn't've" },   { "couldnt've", "couldn't've" },
    { "hadnt've", "hadn't've" },       { "hadn'tve", "hadn't've" },
    { "hed've", "he'd've" },           { "he'dve", "he'd've" },
    { "itd've", "it'd've" },           { "it'dve", "it'd've" },
    { "mightnt've", "mightn't've" },   { "mightn'tve", "mightn't've" },
    { "shed've", "she'd've" },         { "she'dve", "she'd've" },
    { "shouldnt've", "shouldn't've" }, { "shouldn'tve", "shouldn't've" },
    { "somebodyd've", "somebody'd've" }, { "somebody'dve", "somebody'd've" },
    { "someoned've", "someone'd've" }, { "someone'dve", "someone'd've" },
    { "somethingd've", "something'd've" }, { "something'dve", "something'd've" },
    { "thered've", "there'd've" },     { "there'dve", "there'd've" },
    { "theyd've", "they'd've" },       { "they'dve", "they'd've" },
    { "wed've", "we'd've" },           { "we'dve", "we'd've" },
    { "whod've", "who'd've" },         { "who'dve", "who'd've" },
    { "wouldnt've", "wouldn't've" },   { "wouldn'tve", "wouldn't've" },
    { "youd've", "you'd've" },         { "you'dve", "you'd've" },
    { "yall'll", "y'all'll" },         { "y'allll", "y'all'll" },
    { "yall'd've", "y'all'd've" },     { "y'alld've", "y'all'd've" },
    { "y'all'dve", "y'all'd've" },
    { "ow's'at", "'ow's'at" },         { "'ows'at", "'ow's'at" },
    { "'ow'sat", "'ow's'at" },
    { "somebody'd", "somebodyd" },      /* reversed in the published table */
};

static const char *const numbers[][2] = {
    { "none", "0" }, { "zero", "0" }, { "one", "1" },   { "two", "2" },   { "three", "3" },
    { "four", "4" }, { "five", "5" }, { "six", "6" },   { "seven", "7" }, { "eight", "8" },
    { "nine", "9" }, { "ten", "10" },
};
// clang-format on

/* word equals value without its apostrophe */
static bool
is_bare_form(const char *word, const char *value)
{
    for (; *value; value++) {
        if (*value == '\'')
            continue;
        if (*word++ != *value)
            return false;
    }
    return *word == 0;
}

static const char *
look_up(const char *word)
{
    for (size_t i = 0; i < sizeof(numbers) / sizeof(numbers[0]); i++)
        if (strcmp(word, numbers[i][0]) == 0)
            return numbers[i][1];
    for (size_t i = 0; i < sizeof(contractions) / sizeof(contractions[0]); i++)
        if (is_bare_form(word, contractions[i]))
            return contractions[i];
    for (size_t i = 0; i < sizeof(spelled) / sizeof(spelled[0]); i++)
        if (strcmp(word, spelled[i][0]) == 0)
            return spelled[i][1];
    return word;
}

/* ---- steps ---- */

/* Lower case, no "," and "?", "'s" apart. */
static void
m4c_begin(struct sea_buf *text, struct sea_buf *work)
{
    sea_text_lower(text->data, work);
    sea_buf_clear(text);
    for (const char *at = work->data; *at; at++) {
        if (*at == ',' || *at == '?')
            continue;
        sea_buf_add(text, at, 1);
    }
    sea_buf_clear(work);
    for (const char *at = text->data; *at; at++) {
        if (at[0] == '\'' && at[1] == 's')
            sea_buf_puts(work, " ");
        sea_buf_add(work, at, 1);
    }
    sea_buf_clear(text);
    sea_buf_add(text, work->data, work->len);
}

/* Newline and tab become blanks; then the ends are stripped. */
static void
fix_blanks(struct sea_buf *text, struct sea_buf *work)
{
    const char *from = text->data;
    size_t len = text->len;

    for (size_t i = 0; i < len; i++)
        if (text->data[i] == '\n' || text->data[i] == '\t')
            text->data[i] = ' ';
    sea_text_strip(&from, &len);
    sea_buf_clear(work);
    sea_buf_add(work, from, len);
    sea_buf_clear(text);
    sea_buf_add(text, work->data, work->len);
}

/* digit, comma, digit stands somewhere */
static bool
has_comma_number(const char *text)
{
    uint32_t one = 0, two = 0, three;

    while ((three = sea_text_next(&text)) != 0) {
        if (two == ',' && sea_text_is_digit(one) && sea_text_is_digit(three))
            return true;
        one = two;
        two = three;
    }
    return false;
}

/* Each mark is deleted everywhere when it stands beside a blank somewhere, else becomes a
 * blank; all tests look at the text before this step. */
static void
fix_marks(struct sea_buf *text, struct sea_buf *work)
{
    static const char marks[] = ";/[]\"{}()=+\\_-><@`,?!";
    bool deleted[sizeof(marks)];
    bool numbered = has_comma_number(text->data);

    for (size_t m = 0; marks[m]; m++) {
        char after[3] = { marks[m], ' ', 0 }, before[3] = { ' ', marks[m], 0 };

        deleted[m] = numbered || strstr(text->data, after) || strstr(text->data, before);
    }
    sea_buf_clear(work);
    for (const char *at = text->data; *at; at++) {
        const char *mark = strchr(marks, *at);

        if (!mark)
            sea_buf_add(work, at, 1);
        else if (!deleted[mark - marks])
            sea_buf_puts(work, " ");
    }
    sea_buf_clear(text);
    sea_buf_add(text, work->data, work->len);
}

static void
fix_periods(enum sea_vqa_variant variant, struct sea_buf *text, struct sea_buf *work)
{
    const char *at = text->data;
    uint32_t before = 0, code;
    int removed = 0;

    sea_buf_clear(work);
    while (*at) {
        const char *here = at, *ahead;
        bool goes;

        code = sea_text_next(&at);
        ahead = at;
        goes = code == '.' && removed < PERIODS_MAX && !sea_text_is_digit(sea_text_next(&ahead));
        if (goes && variant == SEA_VQA_VK && sea_text_is_digit(before))
            goes = false;
        removed += goes;
        if (!goes)
            sea_buf_add(work, here, (size_t)(at - here));
        before = code;
    }
    sea_buf_clear(text);
    sea_buf_add(text, work->data, work->len);
}

static void
fix_words(const char *text, struct sea_buf *work, struct sea_buf *out)
{
    struct sea_buf word;
    const char *at;

    sea_text_lower(text, work);
    sea_buf_clear(out);
    sea_buf_init(&word, work->len + 1);
    at = work->data;
    while (*at) {
        const char *here = at;

        if (!sea_text_is_space(sea_text_next(&at))) {
            sea_buf_add(&word, here, (size_t)(at - here));
            if (*at)
                continue;
        }
        if (word.len && strcmp(word.data, "a") != 0 && strcmp(word.data, "an") != 0 &&
            strcmp(word.data, "the") != 0) {
            if (out->len)
                sea_buf_puts(out, " ");
            sea_buf_puts(out, look_up(word.data));
        }
        sea_buf_clear(&word);
    }
    sea_buf_release(&word);
}

void
sea_vqa_normalize(enum sea_vqa_variant variant, const char *text, struct sea_buf *out)
{
    struct sea_buf now, work;
    size_t max = 4 * strlen(text) + 64;         /* lowering and "'s" lengthen it a little */

    sea_buf_init(&now, max);
    sea_buf_init(&work, max);
    sea_buf_puts(&now, text);
    if (variant == SEA_VQA_M4C)
        m4c_begin(&now, &work);
    fix_blanks(&now, &work);
    fix_marks(&now, &work);
    fix_periods(variant, &now, &work);
    fix_words(now.data, &work, out);
    sea_buf_release(&now);
    sea_buf_release(&work);
}
