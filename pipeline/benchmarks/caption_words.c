/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caption_words.c - captions as words, the way the official scorers' tokenizer cuts them
 *
 * Penn Treebank rules as far as captions have use for them: marks stand alone, contractions
 * come apart (do n't, it 's, can not, gon na), hyphenated words, numbers with periods and
 * commas, times, fractions, abbreviations, addresses stay whole; then the scorers drop
 * quotes, brackets, . ? ! , : - -- ... ;
 *
 * NEEDSWORK: the original is a generated automaton of many hundred rules; rare texts
 * (e-mail smileys, SGML, dates such as '98) can be cut otherwise there. Such captions move
 * a score by less than the last printed digit.
 */
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

static bool
is_letter(unsigned char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c >= 0x80;
}

static bool
is_digit(unsigned char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_alnum(unsigned char c)
{
    return is_letter(c) || is_digit(c);
}

static void
put(struct sea_buf *out, const char *word, size_t n)
{
    if (n == 0)
        return;
    if (out->len)
        sea_buf_puts(out, " ");
    sea_buf_add(out, word, n);
}

/* An apostrophe, straight or curly, at `at`: its bytes. */
static size_t
apostrophe(const char *at)
{
    if (*at == '\'')
        return 1;
    return strncmp(at, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
}

/* Behind the word: one of the clitics 's 'm 'd 're 've 'll; its bytes with the apostrophe. */
static size_t
clitic(const char *at)
{
    static const char *const tails[] = { "re", "ve", "ll", "s", "m", "d" };
    size_t n = apostrophe(at);

    if (n == 0)
        return 0;
    for (size_t i = 0; i < sizeof(tails) / sizeof(tails[0]); i++) {
        size_t m = strlen(tails[i]);

        if (strncasecmp(at + n, tails[i], m) == 0 && !is_alnum((unsigned char)at[n + m]))
            return n + m;
    }
    return 0;
}

/* Words that are two. */
static const char *const doubles[][2] = {
    { "cannot", "can not" }, { "gonna", "gon na" }, { "gotta", "got ta" },
    { "lemme", "lem me" },   { "gimme", "gim me" }, { "wanna", "wan na" },
};

/* A word of letters and digits; "n't" and what doubles holds come apart. */
static void
put_word(struct sea_buf *out, const char *word, size_t n)
{
    for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++)
        if (strlen(doubles[i][0]) == n && strncmp(word, doubles[i][0], n) == 0) {
            put(out, doubles[i][1], strlen(doubles[i][1]));
            return;
        }
    if (n > 3 && memcmp(word + n - 3, "n't", 3) == 0) {
        put(out, word, n - 3);
        put(out, "n't", 3);
        return;
    }
    put(out, word, n);
}

/* Abbreviations keep their period. */
static bool
is_abbreviation(const char *word, size_t n)
{
    static const char *const known[] = {
        "mr", "mrs", "ms", "dr", "st", "jr", "sr", "prof", "vs", "etc", "inc", "co", "corp",
        "ltd", "ave", "blvd", "rd", "mt", "no", "sen", "gov", "gen", "col", "capt", "lt", "rev",
        "jan", "feb", "aug", "sept", "oct", "nov", "dec",
    };

    for (size_t i = 0; i < sizeof(known) / sizeof(known[0]); i++)
        if (strlen(known[i]) == n && strncmp(word, known[i], n) == 0)
            return true;
    return false;
}

/* The end of the word that begins at `at`: letters, digits, and marks between them. */
static const char *
word_end(const char *start)
{
    const char *at = start;

    while (is_alnum((unsigned char)*at) || *at == '_') {
        bool digit = is_digit((unsigned char)*at);

        at++;
        if ((*at == '-' || *at == '/' || *at == '&') && is_alnum((unsigned char)at[1]) &&
            at[-1] != '&' && (*at == '-' || (digit && is_digit((unsigned char)at[1])) ||
                              *at == '&'))
            at++;               /* well-known, 1/2, a&w */
        else if ((*at == '.' || *at == ',' || *at == ':') && digit &&
                 is_digit((unsigned char)at[1]))
            at++;               /* 2.5, 1,000, 12:30 */
        else if (*at == '.' && is_letter((unsigned char)at[-1]) &&
                 is_letter((unsigned char)at[1]) &&
                 (at == start + 1 || at[-2] == '.'))
            at++;               /* u.s.a */
        else if (apostrophe(at) && is_letter((unsigned char)at[apostrophe(at)]) && !clitic(at) &&
                 !(at[-1] == 'n' && at[apostrophe(at)] == 't'))
            at += apostrophe(at);       /* o'clock */
    }
    if (apostrophe(at) && at > start + 1 && at[-1] == 'n' && at[apostrophe(at)] == 't' &&
        !is_alnum((unsigned char)at[apostrophe(at) + 1]))
        at += apostrophe(at) + 1;       /* don't */
    return at;
}

void
sea_caption_words(const char *text, struct sea_buf *out)
{
    static const char dropped[] = ".?!,:;-'`\"()[]{}";
    struct sea_buf lower, word;
    const char *at;

    sea_buf_clear(out);
    sea_buf_init(&lower, 4 * strlen(text) + 64);
    sea_buf_init(&word, 4 * strlen(text) + 64);
    sea_text_lower(text, &lower);
    for (at = lower.data; *at;) {
        const char *start = at;
        size_t tail;

        if (strchr(" \t\r\n", *at) || strncmp(at, "\xC2\xA0", 2) == 0) {
            at += *at == '\xC2' ? 2 : 1;
        } else if (strncmp(at, "\xE2\x80", 2) == 0) {
            at += 3;            /* dashes, curly quotes, dots: all dropped */
        } else if (is_alnum((unsigned char)*at) || *at == '_' ||
                   ((*at == '.' || *at == '-') && is_digit((unsigned char)at[1]) &&
                    (at == lower.data || at[-1] == ' '))) {
            at = word_end(is_alnum((unsigned char)*at) || *at == '_' ? at : at + 1);
            sea_buf_clear(&word);
            for (const char *c = start; c < at; c++) {
                if (apostrophe(c) == 3) {
                    sea_buf_puts(&word, "'");
                    c += 2;
                } else {
                    sea_buf_add(&word, c, 1);
                }
            }
            if (*at == '.' && (is_abbreviation(start, (size_t)(at - start)) ||
                               (at - start > 1 && at[-2] == '.')) && at[1]) {
                sea_buf_puts(&word, ".");       /* mr. smith, u.s. map */
                at++;
            }
            put_word(out, word.data, word.len);
            tail = clitic(at);
            if (tail) {
                sea_buf_clear(&word);
                sea_buf_addf(&word, "'%s", at + apostrophe(at));
                put(out, word.data, 1 + tail - apostrophe(at));
                at += tail;
            }
        } else if (strchr(dropped, *at)) {
            at++;
        } else {
            put(out, at, 1);    /* & $ % # + * / < > = @ ~ ^ | \ */
            at++;
        }
    }
    sea_buf_release(&lower);
    sea_buf_release(&word);
}
