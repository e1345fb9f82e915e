/* SPDX-License-Identifier: Apache-2.0 */
/*
 * choice.c - multiple choice: options as they are written, and the parsers of answers
 *
 * One answer gives different letters in different parsers, so a parser's name is part of
 * every score. What none resolves is wrong and counted; nothing is drawn at random.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

/* ---- options ---- */

void
sea_choice_read(struct sea_choice *choice, const struct sea_node *row, struct sea_arena *arena)
{
    const struct sea_node *list = sea_bench_field(row, "options choices");
    struct sea_py_texts texts;

    *choice = (struct sea_choice){ .answer = -1 };
    if (list) {
        sea_py_texts_of(list, arena, &texts);
        for (size_t i = 0; i < texts.count && i < SEA_CHOICES_MAX; i++)
            choice->options[choice->count++] = texts.at[i];
        return;
    }
    for (int i = 0; i < SEA_CHOICES_MAX; i++) {
        char names[32];

        snprintf(names, sizeof(names), "%c choice_%c", 'A' + i, 'a' + i);
        choice->options[i] = sea_bench_cell_text(row, names, arena);
        if (!choice->options[i])
            break;
        choice->count++;
    }
}

int
sea_choice_answer(const struct sea_choice *choice, const struct sea_node *row, const char *names,
                  bool from_index)
{
    const struct sea_node *node = sea_bench_field(row, names);
    const char *text = sea_node_text(node, "");
    int64_t index = -1;

    if (!node)
        return -1;
    if (from_index && node->kind == SEA_NODE_INT)
        return node->integer >= 0 && node->integer < choice->count ? (int)node->integer : -1;
    if (from_index && sea_py_int(text, &index))
        return index >= 0 && index < choice->count ? (int)index : -1;
    text += *text == '(';
    if (!text[0] || (text[1] && strcmp(text + 1, ")") != 0 && strcmp(text + 1, ".") != 0))
        return -1;
    index = toupper((unsigned char)text[0]) - 'A';
    return index >= 0 && index < (choice->count ? choice->count : SEA_CHOICES_MAX) ? (int)index
                                                                                   : -1;
}

void
sea_choice_list(const struct sea_choice *choice, bool bracketed, struct sea_buf *out)
{
    for (int i = 0; i < choice->count; i++)
        sea_buf_addf(out, bracketed ? "\n(%c) %s" : "\n%c. %s", 'A' + i, choice->options[i]);
}

const char *
sea_choice_prompt(const struct sea_choice *choice, const char *question, bool bracketed,
                  const char *suffix, struct sea_arena *arena)
{
    struct sea_buf text;
    const char *out;

    sea_buf_init(&text, 1 << 24);
    sea_buf_puts(&text, question);
    sea_choice_list(choice, bracketed, &text);
    sea_buf_puts(&text, suffix);
    out = sea_arena_strndup(arena, text.len ? text.data : "", text.len);
    sea_buf_release(&text);
    return out;
}

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
    size_t n = strlen(text);

    sea_text_strip(&text, &n);
    if (n && *text == '(')
        text++;
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

/* Exactly one option letter among the words, and its first place among the last four. */
static int
single_letter(const char *text, const struct sea_choice *choice)
{
    size_t count = 0, first = 0;
    int letter = -1;

    for (const char *at = text; *at;) {
        size_t n = strcspn(at, " \t\n\r.()[],:;!*#{}");

        if (n == 1 && of_letter(*at, choice) >= 0) {
            if (letter >= 0 && letter != of_letter(*at, choice))
                return -1;
            first = letter < 0 ? count : first;
            letter = of_letter(*at, choice);
        }
        count += n > 0;
        at += n + (at[n] != 0);
    }
    return letter >= 0 && first + 4 >= count ? letter : -1;
}

/* "answer is X", any case, A to D, asterisks around the letter allowed. */
static int
after_phrase(const char *text, const struct sea_choice *choice)
{
    static const char phrase[] = "answer is ";
    size_t n = sizeof(phrase) - 1;

    for (const char *at = text; *at; at++) {
        const char *letter = at + n;
        int found;

        if (strncasecmp(at, phrase, n) != 0)
            continue;
        while (*letter == '*')
            letter++;
        found = of_letter((char)toupper((unsigned char)*letter), choice);
        if (found >= 0 && found < 4)
            return found;
    }
    return -1;
}

static int
parse_ladder(const char *text, const struct sea_choice *choice)
{
    size_t total = 0;
    int letter;

    for (size_t i = 0; refusals[i]; i++)
        if (strstr(text, refusals[i]))
            return -1;
    letter = single_letter(text, choice);
    if (letter < 0)
        letter = after_phrase(text, choice);
    if (letter >= 0)
        return letter;
    for (int o = 0; o < choice->count; o++)
        total += sea_text_length(choice->options[o]);
    return sea_text_length(text) > 2 * total ? -1 : single_text(text, choice);
}

/* ---- lmms-eval ---- */

/* Whether form, with the letter in it, is one of the words between white space. */
static bool
is_word(const char *text, const char *form)
{
    size_t n = strlen(form);

    for (const char *at = text; (at = strstr(at, form)) != NULL; at++)
        if ((at == text || isspace((unsigned char)at[-1])) &&
            (!at[n] || isspace((unsigned char)at[n])))
            return true;
    return false;
}

static size_t
count_words(const char *text)
{
    size_t count = 0;

    for (const char *at = text; *at; at++)
        count += !isspace((unsigned char)*at) &&
                 (at == text || isspace((unsigned char)at[-1]));
    return count;
}

/* MMBench: one bare letter; one letter in one of the written forms; one option's text. */
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

        for (int o = 0; o < letters(choice); o++) {
            char form[8];

            snprintf(form, sizeof(form), "%s%c%s", forms[f][0], 'A' + o, forms[f][1]);
            if (is_word(text, form)) {
                found = o;
                times++;
            }
        }
        if (times == 1 && (f > 0 || !is_word(text, "A") || count_words(text) <= 3))
            return found;
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

static void
offer_after_phrases(struct candidate *best, const char *text, const struct sea_choice *choice)
{
    static const char *const phrases[] = {
        "answer is", "answer:", "answer :", "choice is", "option is", "i choose", "i select",
        "i pick", "\xEC\xA0\x95\xEB\x8B\xB5\xEC\x9D\x80" /* ko */,
        "\xE7\xAD\x94\xE6\xA1\x88\xE6\x98\xAF" /* zh */,
        "\xE7\xAD\x94\xE3\x81\x88\xE3\x81\xAF" /* ja */,
    };

    for (size_t p = 0; p < sizeof(phrases) / sizeof(phrases[0]); p++) {
        size_t n = strlen(phrases[p]);

        for (const char *at = text; *at; at++)
            if (strncasecmp(at, phrases[p], n) == 0)
                for (int o = 0; o < letters(choice); o++) {
                    const char *found = strchr(at + n, 'A' + o);

                    if (found)
                        offer(best, o, 7, found);
                }
    }
}

/* Every written form has a priority; the highest wins, and the last of equals. */
static int
parse_extract(const char *text, const struct sea_choice *choice)
{
    struct candidate best = { -1, 0, NULL };
    struct sea_buf buf;
    const char *t;
    size_t n;

    strip_marks(text, ",.!?;:'\"", &buf);
    t = buf.data;
    n = strspn(t, " \t\r\n");
    if (t[n] && !isalpha((unsigned char)t[n + 1]))
        offer(&best, of_letter(t[n], choice), 10, t + n);
    n = buf.len;
    while (n > 1 && isspace((unsigned char)t[n - 1]))
        n--;
    if (n > 1 && !isalpha((unsigned char)t[n - 2]))
        offer(&best, of_letter(t[n - 1], choice), 9, t + n - 1);
    offer_after_phrases(&best, t, choice);
    for (const char *at = t; *at; at++) {
        int option = of_letter(*at, choice);
        char after = at[1];

        if (option < 0)
            continue;
        if (at > t && at[-1] == '(' && after == ')')
            offer(&best, option, 6, at);
        offer(&best, option, after == '.' ? 5 : after == ':' ? 4 : after == ')' ? 3
                           : after == ' ' ? 2 : 0, at);
    }
    sea_buf_release(&buf);
    return best.option;
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
    };

    for (size_t i = 0; i < sizeof(parsers) / sizeof(parsers[0]); i++)
        if (strcmp(parsers[i].name, name) == 0)
            return parsers[i].parse;
    return NULL;
}

void
sea_choice_score(struct sea_bench_scoring *s, struct sea_bench_row *row,
                 const struct sea_choice *choice, const char *parser)
{
    static const char names[] = "A\0B\0C\0D\0E\0F\0G\0H\0I\0J\0K\0L\0M\0N\0O\0P\0Q\0R\0S\0T\0U\0V\0"
                                "W\0X\0Y\0Z";
    int letter = sea_choice_find(parser)(row->text, choice);

    (void)s;
    row->is_failed = letter < 0;
    row->parsed = letter < 0 ? "" : names + 2 * letter;
    row->gold = choice->answer < 0 ? "" : names + 2 * choice->answer;
    row->score = letter >= 0 && letter == choice->answer;
}
