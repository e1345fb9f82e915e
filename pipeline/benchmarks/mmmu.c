/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmmu.c - MMMU: college questions of thirty subjects, multiple choice and open
 *
 * Answers as the official scorer parses them. It draws an option at random where it finds
 * none; here such answers are wrong and counted. Variants: "official"; "parsed" takes the
 * answer to a multiple-choice question as the letter that it is, as the official script does
 * with {id: answer} files, and as "official" does where the options are not known.
 *
 * Questions: rows as on the hub (JSON Lines), a TSV, the official answer_dict
 * {id: {"question_type", "ground_truth"}}, or the official script's output.json, which is a
 * file of answers, too. Only the first picture is shown, as LLaVA-1.5's
 * published numbers had it.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define SHORT "\n" SEA_BENCH_SHORT
#define LETTER "\n" SEA_BENCH_LETTER
#define NUMBERS_MAX 64

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    struct sea_py_texts golds;
    bool is_open;
    const char *subject, *discipline;
};

static const struct { const char *name, *subjects; } disciplines[] = {
    { "Art and Design", " Art Art_Theory Design Music " },
    { "Business", " Accounting Economics Finance Manage Marketing " },
    { "Science", " Biology Chemistry Geography Math Physics " },
    { "Health and Medicine", " Basic_Medical_Science Clinical_Medicine "
                             "Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health " },
    { "Humanities and Social Science", " History Literature Sociology Psychology " },
    { "Tech and Engineering", " Agriculture Architecture_and_Engineering Computer_Science "
                              "Electronics Energy_and_Power Materials Mechanical_Engineering " },
};

static const char *
discipline_of(const char *subject)
{
    char word[96];

    snprintf(word, sizeof(word), " %.90s ", subject);
    for (size_t i = 0; i < sizeof(disciplines) / sizeof(disciplines[0]); i++)
        if (strstr(disciplines[i].subjects, word))
            return disciplines[i].name;
    return "";
}

/* "validation_Art_Theory_12" is about Art_Theory. */
static const char *
subject_of(const char *id, struct sea_arena *arena)
{
    const char *first = strchr(id, '_'), *last = strrchr(id, '_');

    return first && last > first ? sea_arena_strndup(arena, first + 1,
                                                     (size_t)(last - first - 1)) : "";
}

/* ---- questions ---- */

static const char *
make_prompt(const struct record *record, const char *question, struct sea_arena *arena)
{
    struct sea_buf text;
    const char *out;

    sea_buf_init(&text, 1 << 24);
    sea_buf_puts(&text, question);
    if (!record->is_open) {
        sea_buf_puts(&text, "\n");
        sea_choice_list(&record->choice, true, &text);
    }
    sea_buf_puts(&text, record->is_open ? SHORT : LETTER);
    out = sea_arena_strndup(arena, text.data, text.len);
    sea_buf_release(&text);
    return out;
}

/* The official script's output files hold {"A": text, ...} beside each answer. */
static void
read_index2ans(struct record *record, const struct sea_node *row, struct sea_arena *arena)
{
    const struct sea_node *map = sea_node_get(row, "index2ans");

    for (int i = 0; map && map->kind == SEA_NODE_MAP && i < SEA_CHOICES_MAX; i++) {
        char letter[2] = { (char)('A' + i), 0 };
        const char *text = sea_node_text(sea_node_get(map, letter), NULL);

        if (!text)
            break;
        record->choice.options[record->choice.count++] = sea_arena_strdup(arena, text);
    }
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *type = sea_bench_field_text(row, "question_type", arena);
    const char *question = sea_bench_field_text(row, "question text", arena), *subject;
    enum sea_status status = sea_bench_need_id(table, row, "id question_id index", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "image image_1", q, arena, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    if (record->choice.count == 0)
        read_index2ans(record, row, arena);
    record->is_open = type ? strcmp(type, "open") == 0 : record->choice.count == 0;
    sea_py_texts_of(sea_bench_field(row, "answer ground_truth"), arena, &record->golds);
    if (!record->is_open)
        record->choice.answer = sea_choice_answer(&record->choice, row, "answer ground_truth",
                                                  false);
    if (record->golds.count == 0 || (!record->is_open && record->choice.answer < 0))
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "field \"answer\" is \"%.40s\", expected %s",
                                record->golds.count ? record->golds.at[0] : "",
                                record->is_open ? "an answer or a list of answers"
                                                : "the letter of an option");
    subject = sea_bench_field_text(row, "subject category", arena);
    record->subject = subject ? subject : subject_of(q->id, arena);
    record->discipline = discipline_of(record->subject);
    q->category = record->subject;
    q->prompt = question ? make_prompt(record, question, arena) : "";   /* "": not to be asked */
    q->extra = record;
    return SEA_OK;
}

static enum sea_status
load(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    return sea_bench_load_rows(questions, limit, take_row, err);
}

/* ---- open answers ---- */

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
    if (list->count == list->room) {
        size_t room = list->room ? 2 * list->room : 16;
        struct value *more = sea_arena_alloc(list->arena, room, sizeof(*more));

        if (list->count)
            memcpy(more, list->at, list->count * sizeof(*more));
        list->at = more;
        list->room = room;
    }
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

static bool
is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool
is_word(char c)
{
    return isalnum((unsigned char)c) || c == '_' || (unsigned char)c >= 0x80;
}

static size_t
digits(const char *at)
{
    size_t n = 0;

    while (is_digit(at[n]))
        n++;
    return n;
}

/* An exponent "e+5" at `at`; its length. */
static size_t
exponent(const char *at)
{
    size_t n = 1;

    if (*at != 'e' && *at != 'E')
        return 0;
    n += at[n] == '+' || at[n] == '-';
    return digits(at + n) ? n + digits(at + n) : 0;
}

/* 1,234,567 between word boundaries; the last boundary counts. */
static size_t
comma_number(const char *text, const char *at)
{
    size_t sign = *at == '-', n = digits(at + sign), end = sign + n, last = 0;

    if (n < 1 || n > 3 || (!sign && at > text && is_word(at[-1])))
        return 0;
    while (at[end] == ',' && digits(at + end + 1) >= 3) {
        end += 4;
        if (!is_word(at[end]))
            last = end;
    }
    return last;
}

static size_t
scientific_number(const char *text, const char *at)
{
    size_t n = *at == '-', d = digits(at + n), tail;

    (void)text;
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
may_end(const char *at)
{
    return !exponent(at) && *at != ',' && !is_digit(*at);
}

/* 12.5, .5 or 12, in this order. */
static size_t
plain_number(const char *text, const char *at)
{
    size_t sign = *at == '-', whole = digits(at + sign), part;
    const char *point = at + sign + whole;

    (void)text;
    part = *point == '.' ? digits(point + 1) : 0;
    if (part && may_end(point + 1 + part))
        return sign + whole + 1 + part;
    return whole && !is_word(*point) && may_end(point) ? sign + whole : 0;
}

static void
add_numbers(struct values *list, const char *text,
            size_t (*match)(const char *text, const char *at))
{
    for (const char *at = text; at && *at;) {
        size_t n = match(text, at);

        if (n)
            add_normalized(list, sea_arena_strndup(list->arena, at, n));
        at += n ? n : 1;
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
    for (const char *at = text; at; at = strchr(at, '\n') ? strchr(at, '\n') + 1 : NULL) {
        size_t len = strcspn(at, "\n");

        piece = shortest_tail(sea_arena_strndup(out->arena, at, len), !at[len], out->arena);
        if (piece[0] && (piece[1] || !strchr(":,.!?;'", piece[0])))
            tails.at[tails.count++] = piece;
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

/* ---- scores ---- */

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static const char *
discipline(const struct sea_bench_row *row)
{
    return record_of(row)->discipline;
}

static bool
is_kind(const struct sea_bench_row *row, const void *kind)
{
    return record_of(row)->is_open == (strcmp(kind, "open") == 0);
}

static void
score_open(const struct sea_bench_scoring *s, struct sea_bench_row *row)
{
    const struct record *record = record_of(row);
    struct sea_arena *scratch = sea_arena_create(s->arena, "row");
    struct values said = { .arena = scratch }, golds = { .arena = scratch };

    parse_open(row->text, &said);
    for (size_t i = 0; i < record->golds.count; i++)
        add_normalized(&golds, record->golds.at[i]);
    row->gold = record->golds.at[0];
    row->score = matches(&said, &golds);
    if (said.count)
        row->parsed = said.at[0].is_number
                          ? sea_py_float_text(said.at[0].number, s->arena)
                          : sea_arena_strdup(s->arena, said.at[0].text);
    sea_arena_destroy(scratch);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    bool parsed = strcmp(s->variant, "parsed") == 0;

    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];

        if (record_of(row)->is_open)
            score_open(s, row);
        else
            sea_choice_score(s, row, &record_of(row)->choice,
                             parsed || record_of(row)->choice.count == 0 ? "letter" : "mmmu");
    }
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_score(s, "multiple_choice", is_kind, "multiple-choice");
    sea_bench_add_score(s, "open", is_kind, "open");
    sea_bench_add_groups(s, "discipline", discipline);
    sea_bench_add_groups(s, "subject", sea_bench_category_of);
    return SEA_OK;
}

static const char *const variants[] = { "official", "parsed", NULL };

const struct sea_bench sea_bench_mmmu = {
    .name = "mmmu",
    .about = "college questions of thirty subjects, multiple choice and open",
    .headline = "accuracy",
    .scorer = "mmmu-official",
    .prompt = "mmmu-official",
    .licence = "Apache-2.0",
    .variants = variants,
    .max_new_tokens = 128,
    .questions_path = "mmmu_val.jsonl",
    .images_path = "images",
    .load = load,
    .score = score,
};
