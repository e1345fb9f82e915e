/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mathvista.c - MathVista: mathematics in pictures, the part of its scorer without a judge
 *
 * Where rules do not find an answer in a text, the official script asks a language model.
 * Variants: "rules" adds rules of ours (the letter of an option as "exact" of choice.c reads
 * it; the only number in the text) before it gives up; "strict" has the published rules
 * alone. What remains is wrong and counted as failed. Answer files of the official script,
 * with a field "extraction", are taken by it.
 */
#include <ctype.h>
#include <math.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    const char *kind, *type;    /* question_type, answer_type */
    int precision;
    const char *source, *task, *context, *grade;
    struct sea_py_texts skills;
};

static const char *
hint_of(const struct record *record)
{
    if (record->choice.count)
        return "Please answer the question and provide the correct option letter, e.g., A, B, C, "
               "D, at the end.";
    if (strcmp(record->type, "integer") == 0)
        return "Please answer the question requiring an integer answer and provide the final "
               "value, e.g., 1, 2, 3, at the end.";
    if (strcmp(record->type, "float") == 0)
        return record->precision == 1
                   ? "Please answer the question requiring a floating-point number with one "
                     "decimal place and provide the final value, e.g., 1.2, 1.3, 1.4, at the end."
                   : "Please answer the question requiring a floating-point number with two "
                     "decimal places and provide the final value, e.g., 1.23, 1.34, 1.45, at the "
                     "end.";
    return "Please answer the question requiring a Python list as an answer and provide the final "
           "list, e.g., [1, 2, 3], [1.2, 1.3, 1.4], at the end.";
}

static const char *
make_prompt(const struct record *record, const struct sea_node *row, const char *question,
            struct sea_arena *arena)
{
    const char *unit = sea_bench_field_text(row, "unit", arena);

    question = sea_arena_printf(arena, "Hint: %s\nQuestion: %s%s%s%s%s", hint_of(record), question,
                                unit ? " (Unit: " : "", unit ? unit : "", unit ? ")" : "",
                                record->choice.count ? "\nChoices:" : "");
    return sea_choice_prompt(&record->choice, question, true, "", arena);
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const struct sea_node *meta = sea_node_get(row, "metadata");
    const char *question = NULL;
    enum sea_status status = sea_bench_need_id(table, row, "pid index question_id id", q, arena,
                                               err);

    meta = meta ? meta : row;
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &question, err);
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "question_type", arena, &record->kind,
                                     err);
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "answer_type", arena, &record->type, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    record->precision = (int)sea_node_real(sea_bench_field(row, "precision"), 0);
    q->gold = sea_bench_field_text(row, "answer", arena);
    record->source = sea_bench_field_text(meta, "source", arena);
    record->task = sea_bench_field_text(meta, "task", arena);
    record->context = sea_bench_field_text(meta, "context", arena);
    record->grade = sea_bench_field_text(meta, "grade", arena);
    sea_py_texts_of(sea_bench_field(meta, "skills"), arena, &record->skills);
    q->category = sea_bench_field_text(meta, "category", arena);
    q->prompt = sea_bench_field_text(row, "query", arena);
    if (!q->prompt)
        q->prompt = make_prompt(record, row, question, arena);
    q->extra = record;
    return SEA_OK;
}

/* ---- extraction ---- */

static bool
is_kind(const struct record *record, const char *kind)
{
    return strcmp(record->kind, kind) == 0;
}

/* What `The answer is "(.*)"\.` finds: up to the last such end on the line. */
static const char *
quoted_answer(const char *text, struct sea_arena *arena)
{
    static const char phrase[] = "The answer is \"";

    for (const char *at = text; (at = strstr(at, phrase)) != NULL; at++) {
        const char *from = at + sizeof(phrase) - 1, *last = NULL;

        for (const char *c = from; *c && *c != '\n'; c++)
            if (c[0] == '"' && c[1] == '.')
                last = c;
        if (last)
            return sea_arena_strndup(arena, from, (size_t)(last - from));
    }
    return NULL;
}

/* The only number that stands in the text, or NULL. */
static const char *
only_number(const char *text, struct sea_arena *arena)
{
    const char *found = NULL;

    for (const char *at = text; *at;) {
        const char *start = at;
        size_t n;

        at += *at == '-' && isdigit((unsigned char)at[1]);
        n = strspn(at, "0123456789");
        if (n == 0) {
            at = start + 1;
            continue;
        }
        at += n;
        if (*at == '.' && isdigit((unsigned char)at[1]))
            at += 1 + strspn(at + 1, "0123456789");
        if (found)
            return NULL;
        found = sea_arena_strndup(arena, start, (size_t)(at - start));
    }
    return found;
}

/* The answer inside a text; NULL when only a judge could tell. */
static const char *
extract(const struct record *record, const char *text, bool strict, struct sea_arena *arena)
{
    const char *quoted;
    double number;
    int64_t whole;

    if (!text[0])
        return "";
    for (int i = 0; i < record->choice.count; i++)
        if (is_kind(record, "multi_choice") && strcmp(record->choice.options[i], text) == 0)
            return text;
    if (strcmp(record->type, "integer") == 0 && sea_py_int(text, &whole))
        return sea_arena_printf(arena, "%lld", (long long)whole);
    if (strcmp(record->type, "float") == 0 && sea_py_float(text, &number))
        return sea_py_float_text(number, arena);
    quoted = quoted_answer(text, arena);
    if (quoted || strict)
        return quoted;
    if (is_kind(record, "multi_choice")) {
        int letter = sea_choice_find("exact")(text, &record->choice);
        const char *open = strchr(text, '(');

        if (letter >= 0)
            return record->choice.options[letter];
        return open && isalpha((unsigned char)open[1]) && open[2] == ')' ? text : NULL;
    }
    if (strcmp(record->type, "list") == 0)
        return text[0] == '[' ? text : NULL;
    return only_number(text, arena);
}

/* The option meant by an extraction: by its letter, else the least different one. */
static const char *
nearest_option(const struct record *record, const char *text, struct sea_arena *arena)
{
    const char *plain = sea_text_tidy(text, false, true, arena), *open = plain;
    size_t best = 0, least = SIZE_MAX;

    while ((open = strchr(open, '(')) != NULL &&
           !(isalpha((unsigned char)open[1]) && open[2] == ')'))
        open++;
    if (open)
        plain = sea_arena_printf(arena, "%c", toupper((unsigned char)open[1]));
    if (plain[0] >= 'A' && plain[0] < 'A' + record->choice.count && !plain[1])
        return record->choice.options[plain[0] - 'A'];
    for (int i = 0; i < record->choice.count; i++) {
        size_t distance = sea_text_distance(plain, record->choice.options[i]);

        if (distance < least) {
            least = distance;
            best = (size_t)i;
        }
    }
    return record->choice.count ? record->choice.options[best] : NULL;
}

static const char *
normalize(const struct record *record, const char *text, struct sea_arena *arena)
{
    double number;

    if (is_kind(record, "multi_choice"))
        return nearest_option(record, text, arena);
    if (strcmp(record->type, "integer") == 0)
        return sea_py_float(text, &number) && isfinite(number)
                   ? sea_arena_printf(arena, "%.0f", trunc(number)) : NULL;
    if (strcmp(record->type, "float") == 0)
        return sea_py_float(text, &number)
                   ? sea_py_float_text(sea_py_round(number, record->precision), arena) : NULL;
    return text;
}

/* ---- scores ---- */

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

#define GROUP(name, field)                                                                      \
    static const char *name(const struct sea_bench_row *row)                                    \
    {                                                                                           \
        return record_of(row)->field;                                                           \
    }
GROUP(kind_of, kind)
GROUP(type_of, type)
GROUP(source_of, source)
GROUP(task_of, task)
GROUP(context_of, context)
GROUP(grade_of, grade)

static bool
has_skill(const struct sea_bench_row *row, const void *skill)
{
    const struct sea_py_texts *skills = &record_of(row)->skills;

    for (size_t i = 0; i < skills->count; i++)
        if (strcmp(skills->at[i], skill) == 0)
            return true;
    return false;
}

static void
report_skills(struct sea_bench_scoring *s)
{
    const char *seen[64];
    size_t count = 0;

    for (size_t i = 0; i < s->count; i++) {
        const struct sea_py_texts *skills = &record_of(&s->rows[i])->skills;

        for (size_t k = 0; k < skills->count; k++) {
            size_t j = 0;

            while (j < count && strcmp(seen[j], skills->at[k]) != 0)
                j++;
            if (j < count || count == 64)
                continue;
            seen[count++] = skills->at[k];
            sea_bench_add_score(s, sea_arena_printf(s->arena, "skill/%s", skills->at[k]),
                                has_skill, skills->at[k]);
        }
    }
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    bool strict = strcmp(s->variant, "strict") == 0;

    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const char *found = row->is_extracted
                                ? row->text
                                : extract(record_of(row), row->text, strict, s->arena), *plain;

        if (!row->question->gold) {
            sea_fail(err, SEA_E_FORMAT, "question \"%s\" of \"%s\" has no answer",
                     row->question->id, s->questions->path);
            sea_hint(err, "Answers of the test split are not public; use testmini.");
            return SEA_E_FORMAT;
        }
        plain = found && found[0] ? normalize(record_of(row), found, s->arena) : NULL;
        row->gold = row->question->gold;
        row->is_failed = !found;
        row->parsed = plain ? plain : "";
        row->score = plain && strcmp(sea_text_tidy(plain, false, true, s->arena),
                                     sea_text_tidy(row->gold, false, true, s->arena)) == 0;
    }
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_groups(s, "question_type", kind_of);
    sea_bench_add_groups(s, "answer_type", type_of);
    sea_bench_add_groups(s, "category", sea_bench_category_of);
    sea_bench_add_groups(s, "task", task_of);
    sea_bench_add_groups(s, "context", context_of);
    sea_bench_add_groups(s, "grade", grade_of);
    sea_bench_add_groups(s, "source", source_of);
    report_skills(s);
    return SEA_OK;
}

static const char *const variants[] = { "rules", "strict", NULL };

const struct sea_bench sea_bench_mathvista = {
    .name = "mathvista",
    .about = "mathematics in pictures, without the judge that reads long answers",
    .headline = "accuracy",
    .scorer = "mathvista-rules",
    .prompt = "mathvista-official",
    .licence = "CC BY-SA 4.0",
    .variants = variants,
    .max_new_tokens = 1024,
    .questions_path = "testmini.json",
    .images_path = ".",
    .take_row = take_row,
    .score = score,
    .answer_fields = "extraction text prediction response output model_answer answer",
};
