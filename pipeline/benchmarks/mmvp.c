/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmvp.c - MMVP: pairs of pictures that CLIP takes for the same
 *
 * Rows 2k-1 and 2k of Questions.csv are a pair, which counts only when both are answered
 * rightly. Where the official script asks a judge whether an answer means (a) or (b), ours
 * reads the letter; what it cannot read is wrong and counted.
 */
#include <ctype.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

static const char *const letters[] = { "a", "b", "c", "d" };

/* "(a) Open (b) Closed" as options. */
static void
read_options(const char *text, struct sea_choice *choice, struct sea_arena *arena)
{
    choice->count = 0;
    for (const char *at = text; (at = strchr(at, '(')) != NULL; at++) {
        const char *end;

        if (tolower((unsigned char)at[1]) != 'a' + choice->count || at[2] != ')' ||
            choice->count == 4)
            continue;
        end = strchr(at + 1, '(');
        while (end && !(tolower((unsigned char)end[1]) == 'b' + choice->count && end[2] == ')'))
            end = strchr(end + 1, '(');
        choice->options[choice->count++] =
            sea_text_tidy(sea_arena_strndup(arena, at + 3,
                                            end ? (size_t)(end - at - 3) : strlen(at + 3)),
                          false, true, arena);
    }
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct sea_choice *choice = sea_arena_alloc(arena, 1, sizeof(*choice));
    const char *question = NULL, *options = sea_bench_field_text(row, "Options", arena);
    int64_t number = 0;
    enum sea_status status =
        sea_bench_need_id(table, row, "Index index question_id lineNumber", q, arena, err);

    if (!status)
        status = sea_bench_need_text(table, row, q->id, "Question question", arena, &question,
                                     err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (!status && (!sea_py_int(q->id, &number) || number < 0))
        status = sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                  "expected a whole number as index");
    if (status)
        return status;
    sea_choice_read(choice, row, arena);
    if (options && choice->count < 2)
        read_options(options, choice, arena);
    choice->answer = sea_choice_answer(choice, row, "answer", false);
    if (choice->answer < 0) {
        struct sea_node *copy = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);

        sea_node_put_text(arena, copy, "answer",
                          sea_node_text(sea_bench_field(row, "Correct_Answer"),
                                        sea_node_text(sea_node_get(row, "Correct Answer"), "")));
        choice->answer = sea_choice_answer(choice, copy, "answer", false);
    }
    if (choice->count < 2 || choice->answer < 0)
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "%d options, expected \"(a) x (b) y\" and \"(a)\" or \"(b)\" as "
                                "correct answer", choice->count);
    if (!q->has_image) {
        q->image = sea_arena_printf(arena, "%lld.jpg", (long long)number);
        q->has_image = true;
    }
    q->prompt = options ? sea_arena_printf(arena, "%s %s", question, options)
                        : sea_choice_prompt(choice, question, false, SEA_BENCH_LETTER, arena);
    q->cluster = sea_arena_printf(arena, "pair %lld", (long long)table->rows.index / 2 + 1);
    q->extra = choice;
    return SEA_OK;
}

static enum sea_status
load(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    enum sea_status status = sea_bench_load_rows(questions, 0, take_row, err);

    if (!status && questions->count % 2)
        status = sea_fail(err, SEA_E_FORMAT, "question file \"%s\" holds %zu questions, expected "
                          "pairs", questions->path, questions->count);
    if (!status && limit)
        sea_bench_cut(questions, (limit + 1) / 2);
    return status;
}

/* (a), a), a., the letter alone, or exactly one option's text; any case. */
static int
parse(const char *text, const struct sea_choice *choice, struct sea_arena *arena)
{
    const char *lower = sea_text_tidy(text, true, true, arena), *at = lower;
    int found = -1, times = 0;

    at += *at == '(';
    if (*at >= 'a' && *at < 'a' + choice->count && (!at[1] || strchr(").:,", at[1])))
        return *at - 'a';
    for (int i = 0; i < choice->count; i++) {
        char form[4] = { '(', (char)('a' + i), ')', 0 };

        if (strstr(lower, form)) {
            found = i;
            times++;
        }
    }
    if (times == 1)
        return found;
    times = 0;
    for (int i = 0; i < choice->count; i++)
        if (strstr(lower, sea_text_tidy(choice->options[i], true, true, arena))) {
            found = i;
            times++;
        }
    return times == 1 ? found : -1;
}

/* Share of pairs with both right. */
static double
pairs_right(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += ((const double *)s->extra)[rows[i]];
    return n ? sum / (double)n : 0;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    double *wrong = sea_arena_alloc(s->arena, s->count, sizeof(*wrong)),
           *both = sea_arena_alloc(s->arena, s->count, sizeof(*both));

    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const struct sea_choice *choice = row->question->extra;
        int letter = parse(row->text, choice, s->arena);

        row->is_failed = letter < 0;
        row->parsed = letter < 0 ? "" : letters[letter];
        row->gold = letters[choice->answer];
        row->score = letter == choice->answer;
        wrong[s->cluster[i]] += row->score == 0;
    }
    for (size_t i = 0; i < s->count; i++)
        both[i] = wrong[s->cluster[i]] == 0;
    s->extra = both;
    sea_bench_add_metric_all(s, "pair_accuracy", pairs_right);
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    return SEA_OK;
}

const struct sea_bench sea_bench_mmvp = {
    .name = "mmvp",
    .about = "pairs of pictures that CLIP takes for the same",
    .headline = "pair_accuracy",
    .scorer = "mmvp-letters",
    .prompt = "mmvp-official",
    .licence = "MIT (confirm)",
    .max_new_tokens = 64,
    .questions_path = "Questions.csv",
    .images_path = "MMVP Images",
    .load = load,
    .score = score,
};
