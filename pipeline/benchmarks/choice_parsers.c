/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choice_parsers.c - which option an answer means, as each published scorer reads it
 *
 * README.md of this folder has the rules side by side. Words are what Python's str.split
 * leaves: white space is Unicode's.
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define TOKENS_LETTERS 5
#define NO_OPTION (-2)          /* a letter was found, of an option that there is not */

static int
letters(const struct sea_choice *choice)
{
    return choice->count ? choice->count : SEA_CHOICES_MAX;
}

/* Index of the option whose letter this is, or -1. */
static int
of_letter(char c, const struct sea_choice *choice)
{
    return c >= 'A' && c < 'A' + letters(choice) ? c - 'A' : -1;
}

/* ---- SEED, CV-Bench, ours ---- */

static int
parse_letter(const char *text, const struct sea_choice *choice)
{
    return text[0] && !text[1] ? of_letter(text[0], choice) : -1;
}

static int
parse_first(const char *text, const struct sea_choice *choice)
{
    size_t n = strlen(text);

    sea_text_strip(&text, &n);
    return n ? of_letter((char)toupper((unsigned char)text[0]), choice) : -1;
}

static int
parse_start(const char *text, const struct sea_choice *choice)
{
    for (const char *at = text; *text == '(' || sea_text_is_space(sea_text_next(&at)); at = text)
        text = *text == '(' ? text + 1 : at;
    return of_letter((char)toupper((unsigned char)text[0]), choice);
}

/* A letter alone, also with a period or in brackets, or exactly one option's text. */
static int
parse_exact(const char *text, const struct sea_choice *choice)
{
    size_t n = strlen(text);

    sea_text_strip(&text, &n);
    if (n == 3 && text[0] == '(' && text[2] == ')') {
        text++;
        n = 1;
    }
    if (n == 2 && (text[1] == '.' || text[1] == ')' || text[1] == ':'))
        n = 1;
    if (n == 1 && of_letter(text[0], choice) >= 0)
        return of_letter(text[0], choice);
    for (int o = 0; o < choice->count; o++)
        if (strlen(choice->options[o]) == n && strncasecmp(choice->options[o], text, n) == 0)
            return o;
    return -1;
}

/* ---- options' texts inside an answer ---- */

static const char *
lowered(const char *text, struct sea_buf *buf)
{
    sea_buf_init(buf, 4 * strlen(text) + 64);
    sea_text_lower(text, buf);
    return buf->data;
}

/* Exactly one option's text stands in the lowered answer. */
static int
single_text(const char *text, const struct sea_choice *choice)
{
    struct sea_buf whole, option;
    int found = -1, times = 0;

    lowered(text, &whole);
    for (int o = 0; o < choice->count; o++) {
        if (strstr(whole.data, lowered(choice->options[o], &option))) {
            found = o;
            times++;
        }
        sea_buf_release(&option);
    }
    sea_buf_release(&whole);
    return times == 1 ? found : -1;
}

/* ---- VLMEvalKit ---- */

static const char *const refusals[] = {
    "Sorry, I can't help with images of people yet.", "I can't process this file.",
    "I'm sorry, but without the image provided", "Cannot determine the answer", NULL,
};

static bool
is_cut(uint32_t code)
{
    return sea_text_is_space(code) || (code < 0x80 && strchr(".()[],:;!*#{}", (int)code));
}

/* Exactly one option letter among the words, and its first place among the last four. Sets
 * *refuses when there is no letter, but a Z. */
static int
single_letter(const char *text, const struct sea_choice *choice, bool *refuses)
{
    size_t count = 0, first = 0;
    bool several = false, has_z = false;
    int letter = -1;

    while (*text) {
        const char *at = text, *word = text;
        size_t n = 0;

        while (*at && !is_cut(sea_text_next(&at)))
            n = (size_t)(at - word);
        text = at;
        count += n > 0;
        has_z = has_z || (n == 1 && *word == 'Z');
        if (n != 1 || of_letter(*word, choice) < 0)
            continue;
        several = several || (letter >= 0 && letter != of_letter(*word, choice));
        first = letter < 0 ? count - 1 : first;
        letter = of_letter(*word, choice);
    }
    *refuses = letter < 0 && has_z;
    return letter >= 0 && !several && first + 4 >= count ? letter : -1;
}

/* Moves behind white space, at least one of it; false: there is none. */
static bool
skip_spaces(const char **at)
{
    const char *next = *at, *start = *at;

    while (*next && sea_text_is_space(sea_text_next(&next)))
        *at = next;
    return *at > start;
}

/* The first "answer is X", any case, A to D, asterisks before the letter allowed. */
static int
after_phrase(const char *text, const struct sea_choice *choice)
{
    for (; *text; text++) {
        const char *at;
        int letter;

        if (strncasecmp(text, "answer", 6) != 0)
            continue;
        at = text + 6;
        if (!skip_spaces(&at) || strncasecmp(at, "is", 2) != 0)
            continue;
        at += 2;
        if (!skip_spaces(&at))
            continue;
        while (*at == '*')
            at++;
        letter = toupper((unsigned char)*at);
        if (letter >= 'A' && letter <= 'D')
            return of_letter((char)letter, choice);
    }
    return -1;
}

static int
parse_ladder(const char *text, const struct sea_choice *choice)
{
    size_t total = 0, length;
    struct sea_buf lower;
    bool refuses = false;
    int letter;

    for (size_t i = 0; refusals[i]; i++)
        if (strstr(text, refusals[i]))
            return -1;
    letter = single_letter(text, choice, &refuses);
    if (letter < 0 && !refuses)
        letter = after_phrase(text, choice);
    if (letter >= 0 || refuses)
        return letter;
    for (int o = 0; o < choice->count; o++)
        total += sea_text_length(choice->options[o]);
    length = sea_text_length(lowered(text, &lower));
    sea_buf_release(&lower);
    return length > 2 * total ? -1 : single_text(text, choice);
}

/* ---- lmms-eval ---- */

/* Whether form, with the letter in it, is one of the words between white space. */
static bool
is_word(const char *text, const char *form)
{
    size_t m = strlen(form);

    while (*text) {
        const char *at = text, *word = text;
        size_t n = 0;

        while (*at && !sea_text_is_space(sea_text_next(&at)))
            n = (size_t)(at - word);
        if (n == m && memcmp(word, form, n) == 0)
            return true;
        text = at;
    }
    return false;
}

static size_t
count_words(const char *text)
{
    size_t count = 0;
    bool inside = false;

    while (*text) {
        bool space = sea_text_is_space(sea_text_next(&text));

        count += !space && !inside;
        inside = !space;
    }
    return count;
}

/* MMBench: one bare letter; one letter in one of the written forms; one option's text. The
 * letters are A to E, however many options there are. */
static int
parse_tokens(const char *text, const struct sea_choice *choice)
{
    static const char *const forms[][2] = {
        { "", "" }, { "", "." }, { "", "," }, { "", ":" }, { "", ")" }, { "", ")." },
        { "(", ")" }, { "(", ")." }, { ":", "" }, { ":", "," }, { ":", "." }, { ":", ")" },
        { ":", ")." },
    };

    for (size_t f = 0; f < sizeof(forms) / sizeof(forms[0]); f++) {
        int found = -1, times = 0;

        for (int o = 0; o < TOKENS_LETTERS; o++) {
            char form[8];

            snprintf(form, sizeof(form), "%s%c%s", forms[f][0], 'A' + o, forms[f][1]);
            if (is_word(text, form)) {
                found = o;
                times++;
            }
        }
        if (times == 1 && (f > 0 || !is_word(text, "A") || count_words(text) <= 3))
            return found < letters(choice) ? found : NO_OPTION;
    }
    return single_text(text, choice);
}

/* str.strip of one mark after another, then a blank on both sides. */
static void
strip_marks(const char *text, const char *marks, struct sea_buf *out)
{
    const char *start = text, *end = text + strlen(text);

    for (; *marks; marks++) {
        while (start < end && *start == *marks)
            start++;
        while (end > start && end[-1] == *marks)
            end--;
    }
    sea_buf_init(out, strlen(text) + 8);
    sea_buf_puts(out, " ");
    sea_buf_add(out, start, (size_t)(end - start));
    sea_buf_puts(out, " ");
}

struct candidate {
    int option, priority;
    const char *at;
};

static void
offer(struct candidate *best, int option, int priority, const char *at)
{
    if (option < 0 || priority < best->priority || (priority == best->priority && at < best->at))
        return;
    *best = (struct candidate){ option, priority, at };
}

/* Whether a letter stands before `at` (behind `from`), or at it. */
static bool
letter_before(const char *from, const char *at)
{
    const char *last = from;

    while (from < at) {
        last = from;
        sea_text_next(&from);
    }
    return last < at && sea_text_is_letter(sea_text_next(&last));
}

static bool
letter_at(const char *at)
{
    return *at && sea_text_is_letter(sea_text_next(&at));
}

/* Behind the first occurrence of a phrase, the first of each letter. The place is looked for in
 * the lowered text and counted in characters, whose number lowering can change. */
static void
offer_after(struct candidate *best, const char *text, const char *lower, const char *phrase,
            const struct sea_choice *choice)
{
    const char *found = strstr(lower, phrase), *from = text;

    if (!found)
        return;
    found += strlen(phrase);
    while (lower < found && *from) {
        sea_text_next(&lower);
        sea_text_next(&from);
    }
    for (int o = 0; o < letters(choice); o++) {
        const char *at = strchr(from, 'A' + o);

        if (at)
            offer(best, o, 7, at);
    }
}

static void
offer_after_phrases(struct candidate *best, const char *text, const struct sea_choice *choice)
{
    /* each also behind "the " */
    static const char *const verdicts[] = {
        "answer is", "correct answer is", "best answer is", "correct option is", "best option is",
        "choice is", "correct choice is",
    };
    static const char *const phrases[] = {
        "i choose", "i select", "i pick", "my answer is", "my choice is",
        "\xEC\x98\xB5\xEC\x85\x98", "\xEC\xA0\x95\xEB\x8B\xB5\xEC\x9D\x80",       /* ko */
        "\xEB\x8B\xB5\xEC\x9D\x80", "\xEB\x8B\xB5:",
        "\xE7\xAD\x94\xE6\xA1\x88\xE6\x98\xAF", "\xE7\xAD\x94\xE6\xA1\x88\xE4\xB8\xBA", /* zh */
        "\xE9\x80\x89", "\xE7\xAD\x94\xE3\x81\x88\xE3\x81\xAF",                      /* ja */
    };
    struct sea_buf lower;
    char the[32];

    lowered(text, &lower);
    for (size_t i = 0; i < sizeof(verdicts) / sizeof(verdicts[0]); i++) {
        snprintf(the, sizeof(the), "the %s", verdicts[i]);
        offer_after(best, text, lower.data, verdicts[i], choice);
        offer_after(best, text, lower.data, the, choice);
    }
    for (size_t i = 0; i < sizeof(phrases) / sizeof(phrases[0]); i++)
        offer_after(best, text, lower.data, phrases[i], choice);
    sea_buf_release(&lower);
}

/* Every written form has a priority; the highest wins, and the last of equals. */
static int
parse_extract(const char *text, const struct sea_choice *choice)
{
    struct candidate best = { -1, 0, NULL };
    size_t n = strlen(text);
    struct sea_buf whole, buf;
    const char *t, *inner;

    sea_text_strip(&text, &n);
    sea_buf_init(&whole, n + 1);
    sea_buf_add(&whole, text, n);
    strip_marks(n ? whole.data : "", ",.!?;:'\"", &buf);
    sea_buf_release(&whole);
    t = inner = buf.data;
    n = buf.len;
    sea_text_strip(&inner, &n);
    if (n && !letter_at(inner + 1))
        offer(&best, of_letter(inner[0], choice), 10, t);
    if (n && !letter_before(inner, inner + n - 1))
        offer(&best, of_letter(inner[n - 1], choice), 9, t + buf.len);
    offer_after_phrases(&best, t, choice);
    for (const char *at = t; *at; at++) {
        int option = of_letter(*at, choice);
        char after = at[1];

        if (option < 0)
            continue;
        if (at > t && at[-1] == '(' && after == ')')
            offer(&best, option, 6, at - 1);
        offer(&best, option, after == '.' ? 5 : after == ':' ? 4 : after == ')' ? 3
                           : after == ' ' ? 2 : 0, at);
    }
    sea_buf_release(&buf);
    return best.option;
}

/* MMBench without a judge, as lmms-eval's static task: what the tokens leave open is
 * extracted. */
static int
parse_static(const char *text, const struct sea_choice *choice)
{
    int found = parse_tokens(text, choice);

    return found == -1 ? parse_extract(text, choice) : found;
}

/* ---- MMMU ---- */

/* Last place of form in text; NULL when it is not there. */
static const char *
last_of(const char *text, const char *form)
{
    const char *found = NULL;

    if (!*form)
        return text + strlen(text);
    for (const char *at = text; (at = strstr(at, form)) != NULL; at++)
        found = at;
    return found;
}

/* The option whose form stands last. */
static int
last_form(const char *text, const char *before, const char *after,
          const struct sea_choice *choice)
{
    const char *last = NULL;
    int found = -1;

    for (int o = 0; o < letters(choice); o++) {
        const char *at;
        char form[8];

        snprintf(form, sizeof(form), "%s%c%s", before, 'A' + o, after);
        at = last_of(text, form);
        if (at && (!last || at > last)) {
            last = at;
            found = o;
        }
    }
    return found;
}

static int
parse_mmmu(const char *text, const struct sea_choice *choice)
{
    struct sea_buf buf, whole, option;
    const char *last = NULL;
    int found;

    strip_marks(text, ",.!?;:'", &buf);
    found = last_form(buf.data, "(", ")", choice);
    if (found < 0)
        found = last_form(buf.data, " ", " ", choice);
    if (found < 0 && count_words(buf.data) > 5) {
        lowered(buf.data, &whole);
        for (int o = 0; o < choice->count; o++) {
            const char *at = last_of(whole.data, lowered(choice->options[o], &option));

            if (at && (!last || at > last)) {
                last = at;
                found = o;
            }
            sea_buf_release(&option);
        }
        sea_buf_release(&whole);
    }
    sea_buf_release(&buf);
    return found;
}

/* ---- by name ---- */

sea_choice_parser *
sea_choice_find(const char *name)
{
    static const struct { const char *name; sea_choice_parser *parse; } parsers[] = {
        { "letter", parse_letter }, { "first", parse_first },     { "start", parse_start },
        { "exact", parse_exact },   { "ladder", parse_ladder },   { "tokens", parse_tokens },
        { "mmmu", parse_mmmu },     { "extract", parse_extract },
        { "static", parse_static },
    };

    for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++)
        if (strcmp(parsers[i].name, name) == 0)
            return parsers[i].parse;
    return NULL;
}
