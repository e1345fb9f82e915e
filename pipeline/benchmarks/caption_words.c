/* SPDX-License-Identifier: Apache-2.0 */
/*
 * caption_words.c - captions as words, the way the official scorers' tokenizer cuts them
 *
 * Penn Treebank rules as far as captions have use for them: marks stand alone, contractions
 * come apart (do n't, it 's, can not, gon na), hyphenated and slashed words, numbers with
 * periods, commas and colons, abbreviations, addresses stay whole; then the scorers drop
 * quotes and . ? ! , : - -- ... ;  Brackets become -lrb-, -rrb- and so on and stay: the list of
 * what is dropped has them in capitals, but the tokenizer was told to lower what it writes.
 * So do runs of ? and !.
 *
 * NEEDSWORK: the original is a generated automaton of many hundred rules; SGML tags, telephone
 * numbers in brackets and the like are cut otherwise there. tests/oracle/caption_tokens.py
 * compares with the original where Java and its jar are at hand.
 */
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct lexer {
    const char *start, *at;
    struct sea_buf *out;
};

static uint32_t
peek(const char *at)
{
    return sea_text_next(&at);
}

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

/* A letter, a digit or an underscore at `at`: its bytes, else 0. */
static size_t
word_char(const char *at)
{
    const char *next = at;
    uint32_t code = sea_text_next(&next);

    if (code < 0x80)
        return is_digit(*at) || *at == '_' || sea_text_is_letter(code);
    return sea_text_is_letter(code) ? (size_t)(next - at) : 0;
}

static bool
is_letter_at(const char *at)
{
    return *at && sea_text_is_letter(peek(at));
}

static void
put(struct lexer *l, const char *word, size_t n)
{
    if (n == 0)
        return;
    if (l->out->len)
        sea_buf_puts(l->out, " ");
    sea_buf_add(l->out, word, n);
}

/* An apostrophe, straight or curly, at `at`: its bytes. */
static size_t
apostrophe(const char *at)
{
    if (*at == '\'')
        return 1;
    return strncmp(at, "\xE2\x80\x99", 3) == 0 ? 3 : 0;
}

/* One of the clitics 's 'm 'd 're 've 'll at `at`: bytes of its letters. */
static size_t
clitic(const char *at)
{
    static const char *const tails[] = { "re", "ve", "ll", "s", "m", "d" };
    size_t n = apostrophe(at);

    for (size_t i = 0; n && i < sizeof(tails) / sizeof(tails[0]); i++) {
        size_t m = strlen(tails[i]);

        if (strncasecmp(at + n, tails[i], m) == 0 && !word_char(at + n + m))
            return m;
    }
    return 0;
}

static void
put_clitics(struct lexer *l)
{
    size_t m;

    while ((m = clitic(l->at)) != 0) {
        l->at += apostrophe(l->at);
        put(l, "'", 1);
        sea_buf_add(l->out, l->at, m);
        l->at += m;
    }
}

/* ---- words ---- */

static bool
is_one_of(const char *const *list, const char *word, size_t n)
{
    for (; *list; list++)
        if (strlen(*list) == n && strncasecmp(*list, word, n) == 0)
            return true;
    return false;
}

/* Abbreviations keep their period; the second list only before a number. */
static const char *const abbreviations[] = {
    "mr", "mrs", "ms", "dr", "st", "jr", "sr", "prof", "vs", "etc", "inc", "co", "corp", "ltd",
    "ave", "blvd", "rd", "mt", "sen", "gov", "gen", "col", "capt", "lt", "rev", "jan", "feb",
    "mar", "apr", "jun", "jul", "aug", "sep", "sept", "oct", "nov", "dec", "mon", "tue", "tues",
    "wed", "thu", "thurs", "fri", "ft", "sq", "est", "bros", "bldg", "dept", "univ", "assn",
    "assoc", "intl", "natl", "mfg", "pres", "rep", "hon", "messrs", "mme", "mlle", "maj", "sgt",
    "cpl", "pvt", "adm", "cmdr", "comdr", "insp", "supt", "det", "atty", "esq", "al", "cf", "fla",
    "conn", "ind", "kan", "ky", "md", "mich", "minn", "mo", "mont", "neb", "nev", "okla", "penn",
    "tenn", "va", "vt", "wis", "wyo", "ala", "ariz", "calif", "colo", "ga", "ph", "tel", "ext",
    "ct", NULL,
};
static const char *const before_numbers[] = { "no", "nos", "fig", "figs", "pp", "art", "ca", "op",
                                              NULL };

/* The word keeps the period at `at` that ends it. */
static bool
keeps_period(const char *word, const char *at)
{
    size_t n = (size_t)(at - word);
    const char *next = at + 1;

    if (*at != '.' || n == 0 || is_digit(at[-1]))
        return false;
    while (*next == ' ')
        next++;
    if (is_one_of(before_numbers, word, n))
        return is_digit(*next);
    return (is_letter_at(word) && word_char(word) == n) || is_one_of(abbreviations, word, n) ||
           (n > 2 && at[-2] == '.' && is_letter_at(at - 1));
}

/* Words with an apostrophe inside that stay whole. */
static bool
is_apostrophe_word(const char *word, const char *at)
{
    static const char *const whole[] = { "ma'am", "cap'n", "c'mon", NULL };
    size_t n = (size_t)(at - word), m = 0;

    if (n == 1 && strchr("oOdDlL", *word))
        return true;            /* o'clock, d'or, l'eau */
    while (word_char(at + 1 + m))
        m += word_char(at + 1 + m);
    return is_one_of(whole, word, n + 1 + m);
}

/* Length of a number at `at`: digits with . , : between them. */
static size_t
number(const char *at)
{
    size_t n = 0;

    while (is_digit(at[n]) || (strchr(".,:", at[n]) && at[n] && is_digit(at[n + 1])))
        n++;
    return n;
}

/* Behind the word that begins at `start`. */
static const char *
word_end(const char *start)
{
    const char *at = start;
    size_t n = number(at), slashes = 0;

    if (n && strcspn(at, ".,:") < n && is_letter_at(at + n))
        return at + n;          /* 12:30 pm, written as one */
    at += n;
    for (;;) {
        while (word_char(at))
            at += word_char(at);
        if (at == start)
            return at;
        if (*at == '-' && word_char(at + 1))
            at++;
        else if (*at == '/' && word_char(at + 1) && slashes++ < 2)
            at++;
        else if ((*at == '.' || *at == '!') && is_letter_at(at + 1) && !is_digit(at[-1]))
            at++;               /* u.s., end.next, wait!what */
        else if (*at == '&' && at[-1] >= 'A' && at[-1] <= 'Z' && at[1] >= 'A' && at[1] <= 'Z')
            at++;               /* A&W */
        else if (*at == '@' && word_char(at + 1))
            at++;
        else if (strchr(".,:", *at) && *at && is_digit(at[-1]) && is_digit(at[1]))
            at++;
        else if (apostrophe(at) && is_letter_at(at + apostrophe(at)) && !clitic(at) &&
                 at[-1] != 'n' && at[-1] != 'N' && is_apostrophe_word(start, at))
            at += apostrophe(at);
        else if (*at == '\'' && (strncasecmp(start, "ma'am", 5) == 0 ||
                                 strncasecmp(start, "cap'n", 5) == 0) && at < start + 5)
            at++;
        else
            return at;
    }
}

static const char *const doubles[][2] = {
    { "cannot", "can not" }, { "gonna", "gon na" }, { "gotta", "got ta" },
    { "lemme", "lem me" },   { "gimme", "gim me" }, { "wanna", "wan na" },
};

/* "n't" behind the word that ends at `at`: bytes behind the n, else 0. */
static size_t
not_behind(const char *word, const char *at)
{
    size_t n = apostrophe(at);

    return n && at > word && (at[-1] == 'n' || at[-1] == 'N') &&
           (at[n] == 't' || at[n] == 'T') && !word_char(at + n + 1) ? n + 1 : 0;
}

/* A number, a blank and a fraction are one token with a fixed blank: 3 1/2. */
static bool
put_mixed(struct lexer *l, const char *word)
{
    const char *at = l->at + 1;
    size_t a, b;

    if (*l->at != ' ' || strspn(word, "0123456789") != (size_t)(l->at - word))
        return false;
    a = strspn(at, "0123456789");
    b = at[a] == '/' ? strspn(at + a + 1, "0123456789") : 0;
    if (!a || !b || word_char(at + a + 1 + b) || at[a + 1 + b] == '/')
        return false;
    put(l, word, (size_t)(l->at - word));
    sea_buf_puts(l->out, "\xC2\xA0");
    sea_buf_add(l->out, at, a + 1 + b);
    l->at = at + a + 1 + b;
    return true;
}

static void
take_word(struct lexer *l)
{
    const char *word = l->at;
    size_t n, behind;

    l->at = word_end(word + (*word == '+' || *word == '-'));
    if (keeps_period(word, l->at))
        l->at++;
    behind = not_behind(word, l->at);
    n = (size_t)(l->at - word);
    if (behind) {
        put(l, word, n - 1);
        put(l, "n't", 3);
        l->at += behind;
        put_clitics(l);
        return;
    }
    if (put_mixed(l, word))
        return;
    if (n == 1 && (*word == 'y' || *word == 'Y') && strncasecmp(l->at, "'all", 4) == 0 &&
        !word_char(l->at + 4)) {
        put(l, "y' all", 6);
        l->at += 4;
        put_clitics(l);
        return;
    }
    for (size_t i = 0; i < sizeof(doubles) / sizeof(doubles[0]); i++)
        if (strlen(doubles[i][0]) == n && strncasecmp(doubles[i][0], word, n) == 0) {
            put(l, doubles[i][1], strlen(doubles[i][1]));
            put_clitics(l);
            return;
        }
    put(l, word, n);
    put_clitics(l);
}

/* ---- what begins with an apostrophe, an address, a symbol ---- */

/* True when something was taken. */
static bool
take_apostrophe(struct lexer *l)
{
    static const char *const kept[] = { "em", "til", "cause", "n", NULL };
    size_t n = apostrophe(l->at), m = 0;
    const char *word = l->at + n;
    bool fresh = l->at == l->start || !word_char(l->at - 1);

    if (n == 0)
        return false;
    while (word_char(word + m))
        m += word_char(word + m);
    if (clitic(l->at) && fresh) {
        put_clitics(l);
        return true;
    }
    if (m == 1 && (*word == 'n' || *word == 'N') && apostrophe(word + 1)) {
        put(l, "'n'", 3);       /* rock 'n' roll */
        l->at = word + 1 + apostrophe(word + 1);
        return true;
    }
    if (fresh && m > 1 && (*word == 't' || *word == 'T') &&
        (strncasecmp(word, "tis", m) == 0 || strncasecmp(word, "twas", m) == 0) && m >= 3) {
        put(l, "'t", 2);
        put(l, word + 1, m - 1);
        l->at = word + m;
        return true;
    }
    if ((fresh && is_one_of(kept, word, m)) ||
        (is_digit(word[0]) && is_digit(word[1]) && word[m] != '"' &&
         (m == 2 || (m == 3 && word[2] == 's')))) {
        put(l, "'", 1);         /* '90s */
        sea_buf_add(l->out, word, m);
        l->at = word + m;
        return true;
    }
    l->at += n;
    return true;
}

/* http://..., www....: to the next blank, without marks at its end. */
static bool
take_address(struct lexer *l)
{
    size_t n;

    if (strncasecmp(l->at, "http://", 7) != 0 && strncasecmp(l->at, "https://", 8) != 0 &&
        strncasecmp(l->at, "www.", 4) != 0)
        return false;
    n = strcspn(l->at, " \t\r\n");
    while (n && strchr(".,;:!?)'\"", l->at[n - 1]))
        n--;
    put(l, l->at, n);
    l->at += n;
    return true;
}

static const struct { uint32_t code; const char *text; } symbols[] = {
    { 0xBC, "1/4" }, { 0xBD, "1/2" }, { 0xBE, "3/4" }, { 0xA3, "#" }, { 0x20AC, "$" },
    { 0xA2, "cents" }, { '(', "-lrb-" }, { ')', "-rrb-" }, { '[', "-lsb-" }, { ']', "-rsb-" },
    { '{', "-lcb-" }, { '}', "-rcb-" },
};

/* Code points that leave nothing behind: dropped marks, fixed blanks, emoji. */
static bool
is_dropped(uint32_t code)
{
    return (code < 0x80 && strchr(".?!,:;-`\"", (int)code)) || sea_text_is_space(code) ||
           code == 0xAD || (code >= 0x2000 && code <= 0x206F) || code >= 0x1F000;
}

static void
take_symbol(struct lexer *l)
{
    const char *here = l->at;
    uint32_t code = sea_text_next(&l->at);
    size_t n;

    if (code == '?' || code == '!') {
        n = strspn(here, "?!");
        if (n > 1)
            put(l, here, n);
        l->at = here + n;
        return;
    }
    if (code == '*') {
        n = strspn(here, "*");
        put(l, here, n);
        l->at = here + n;
        return;
    }
    for (size_t i = 0; i < sizeof(symbols) / sizeof(symbols[0]); i++)
        if (symbols[i].code == code) {
            put(l, symbols[i].text, strlen(symbols[i].text));
            return;
        }
    if (is_dropped(code))
        return;
    put(l, here, (size_t)(l->at - here));
    if (code == '&' && strncmp(l->at, "amp;", 4) == 0)
        l->at += 4;
}

/* A word begins here: also "+5", ".5", "@home" and "#tag". */
static bool
starts_word(const struct lexer *l)
{
    bool fresh = l->at == l->start || l->at[-1] == ' ';

    if (word_char(l->at))
        return true;
    return fresh && (*l->at == '+' || *l->at == '-') && is_digit(l->at[1]);
}

void
sea_caption_words(const char *text, struct sea_buf *out)
{
    struct sea_buf raw;
    struct lexer l = { .start = text, .at = text, .out = &raw };

    sea_buf_init(&raw, 8 * strlen(text) + 64);
    while (*l.at) {
        size_t n = 0;

        if (take_address(&l)) {
            continue;
        } else if (starts_word(&l)) {
            take_word(&l);
        } else if (strchr(".,:", *l.at) && is_digit(l.at[1])) {
            put(&l, l.at, 1 + number(l.at + 1));
            l.at += 1 + number(l.at + 1);
        } else if ((*l.at == '#' || *l.at == '@') && is_letter_at(l.at + 1)) {
            for (n = 1; *l.at == '#' ? is_letter_at(l.at + n) : word_char(l.at + n) > 0;)
                n += word_char(l.at + n);
            put(&l, l.at, n);
            l.at += n;
        } else if (!take_apostrophe(&l)) {
            take_symbol(&l);
        }
    }
    sea_text_lower(raw.len ? raw.data : "", out);
    sea_buf_release(&raw);
}
