/* SPDX-License-Identifier: Apache-2.0 */
/*
 * llavabench.c - LLaVA-Bench (in the wild): answers beside those of a model that read a
 * description of the picture, both graded from 1 to 10 by a judge
 *
 * The judge gets the picture's description (context.jsonl), the question, the reference
 * (answers_gpt4.jsonl), the answer, and the rule of the question's category (rule.json of
 * LLaVA's repository). The first line of its reply must be two numbers with one blank or comma
 * between. One that is not is asked for again, twice; the official script does not, and takes
 * -1 and -1 into its means, as the headline does here. "graded" leaves such items out.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define TRIES 3
#define TOKENS 1024
#define TEMPERATURE 0.2
#define FULL 10.0               /* the best grade */

struct rule {
    const char *category, *role, *text;
};
struct prompts {
    const char *system;
    const struct rule *rules;
    size_t count;
};
struct wild {                   /* s->extra */
    const char **context, **reference;  // (rows)
    const struct rule **rule;   // (rows)
    double (*pairs)[2];         // (rows) reference, answer; -1 where not valid
    bool *valid;                // (rows)
};

/* ---- context and reference ---- */

/* A caption, or captions, a line each. */
static const char *
caption_of(const struct sea_node *node, struct sea_arena *arena)
{
    const char *text = "";

    if (!node || node->kind != SEA_NODE_LIST)
        return sea_node_text(node, NULL);
    for (const struct sea_node *one = node->first; one; one = one->next)
        text = sea_arena_printf(arena, "%s%s%s", text, one == node->first ? "" : "\n",
                                sea_node_text(one, ""));
    return text;
}

static enum sea_status
take_context(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
             struct sea_arena *scratch, struct sea_err *err)
{
    struct sea_bench_scoring *s = arg;
    struct wild *wild = s->extra;
    const char *image = sea_node_text(sea_node_get(row, "image"), NULL),
               *caption = caption_of(sea_node_get(row, "caption"), s->arena);

    (void)scratch;
    if (!image || !caption)
        return sea_records_fail(&table->rows, NULL, err, SEA_E_FORMAT,
                                "expected \"image\" and \"caption\"");
    caption = sea_arena_strdup(s->arena, caption);
    for (size_t i = 0; i < s->count; i++)
        if (s->questions->items[i].image && strcmp(s->questions->items[i].image, image) == 0)
            wild->context[i] = caption;
    return SEA_OK;
}

static enum sea_status
take_reference(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
               struct sea_arena *scratch, struct sea_err *err)
{
    struct sea_bench_scoring *s = arg;
    struct wild *wild = s->extra;
    struct sea_bench_question found = { 0 };
    const char *text = NULL;
    enum sea_status status = sea_bench_need_id(table, row, "question_id", &found, s->arena, err);

    (void)scratch;
    if (!status)
        status = sea_bench_need_text(table, row, found.id, "text", s->arena, &text, err);
    for (size_t i = 0; i < s->count && !status; i++)
        if (strcmp(s->questions->items[i].id, found.id) == 0)
            wild->reference[i] = text;
    return status;
}

static enum sea_status
read_annotations(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct wild *wild = s->extra;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_bench_annotation(s, "context.jsonl", NULL, false, path, err);

    if (!status)
        status = sea_bench_each_row(path, NULL, take_context, s, NULL, err);
    if (!status)
        status = sea_bench_annotation(s, "answers_gpt4.jsonl", NULL, false, path, err);
    if (!status)
        status = sea_bench_each_row(path, NULL, take_reference, s, NULL, err);
    for (size_t i = 0; i < s->count && !status; i++)
        if (!wild->context[i] || !wild->reference[i])
            status = sea_fail(err, SEA_E_FORMAT, "question \"%s\" of \"%s\" has no %s",
                              s->questions->items[i].id, s->questions->path,
                              wild->context[i] ? "reference answer in answers_gpt4.jsonl"
                                               : "description in context.jsonl");
    return status;
}

/* ---- prompts ---- */

static enum sea_status
read_rules(const struct sea_bench_scoring *s, struct prompts *out, struct sea_err *err)
{
    static const char *const names[] = { "rule.json", "llava/eval/table/rule.json", NULL };
    struct sea_node *top, *node;
    struct rule *rules;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_judged_file(s, names, path, err);

    if (!status)
        status = sea_json_load(path, (size_t)16 << 20, s->arena, &top, err);
    if (status)
        return status;
    out->rules = rules = sea_arena_alloc(s->arena, top->count + 1, sizeof(*rules));
    for (node = top->first; node; node = node->next) {
        const char *role = sea_node_text(sea_node_get(node, "role"), NULL),
                   *text = sea_node_text(sea_node_get(node, "prompt"), NULL);

        if (node->key && role && text)
            rules[out->count++] = (struct rule){ node->key, role, text };
    }
    return SEA_OK;
}

/* The sentence of the message whose role is "system". */
static const char *
find_system(const char *code, struct sea_arena *arena)
{
    const char *text, *before = "", *last = "";

    while ((text = sea_py_literal(&code, arena)) != NULL) {
        if (strcmp(before, "system") == 0 && strcmp(last, "content") == 0)
            return text;
        before = last;
        last = text;
    }
    return NULL;
}

static enum sea_status
read_system(const struct sea_bench_scoring *s, struct prompts *out, struct sea_err *err)
{
    static const char *const names[] = { "llava-bench-system.txt", "eval_gpt_review_bench.py",
                                         "llava/eval/eval_gpt_review_bench.py", NULL };
    char path[SEA_PATH_MAX];
    const char *text = NULL;
    size_t n;
    enum sea_status status = sea_judged_file(s, names, path, err);

    if (!status)
        status = sea_judged_text(path, s->arena, &text, err);
    if (status)
        return status;
    n = strlen(path);
    out->system = strcmp(path + n - 3, ".py") == 0 ? find_system(text, s->arena)
                                                   : sea_text_tidy(text, false, true, s->arena);
    if (!out->system || !out->system[0])
        return sea_fail(err, SEA_E_FORMAT, "file \"%s\" holds no message of role \"system\"",
                        path);
    return SEA_OK;
}

static enum sea_status
match_rules(struct sea_bench_scoring *s, const struct prompts *prompts, struct sea_err *err)
{
    struct wild *wild = s->extra;

    for (size_t i = 0; i < s->count; i++) {
        const char *name = sea_arena_printf(s->arena, "llava_bench_%s",
                                            s->questions->items[i].category);

        for (size_t k = 0; k < prompts->count; k++)
            if (strcmp(prompts->rules[k].category, name) == 0)
                wild->rule[i] = &prompts->rules[k];
        if (!wild->rule[i])
            return sea_fail(err, SEA_E_FORMAT, "question \"%s\": rule.json has no rule \"%s\"",
                            s->questions->items[i].id, name);
    }
    return SEA_OK;
}

static void
digest_texts(const struct prompts *prompts, char out[SEA_SHA256_TEXT])
{
    struct sea_hash *hash = sea_hash_create();

    sea_hash_add_field(hash, prompts->system);
    for (size_t i = 0; i < prompts->count; i++)
        if (strncmp(prompts->rules[i].category, "llava_bench_", 12) == 0) {
            sea_hash_add_field(hash, prompts->rules[i].category);
            sea_hash_add_field(hash, prompts->rules[i].role);
            sea_hash_add_field(hash, prompts->rules[i].text);
        }
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
}

static enum sea_status
read_prompts(const struct sea_bench_scoring *s, struct prompts *out, char digest[SEA_SHA256_TEXT],
             struct sea_err *err)
{
    enum sea_status status = read_rules(s, out, err);

    if (!status)
        status = read_system(s, out, err);
    if (!status)
        digest_texts(out, digest);
    return status;
}

static enum sea_status
prompts_digest(struct sea_bench_scoring *s, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct prompts prompts = { 0 };

    return read_prompts(s, &prompts, out, err);
}
static void
ask(const struct sea_bench_scoring *s, const struct sea_grading *grading, size_t i, int attempt,
    struct sea_arena *arena, struct sea_judge_ask *out)
{
    const struct prompts *prompts = grading->prompts;
    const struct wild *wild = s->extra;
    const char *role = wild->rule[i]->role;

    (void)attempt;
    out->system = prompts->system;
    out->user = sea_arena_printf(arena, "[Context]\n%s\n\n[Question]\n%s\n\n"
                                 "[%s 1]\n%s\n\n[End of %s 1]\n\n"
                                 "[%s 2]\n%s\n\n[End of %s 2]\n\n"
                                 "[System]\n%s\n\n", wild->context[i],
                                 s->questions->items[i].prompt, role, wild->reference[i], role,
                                 role, s->rows[i].text, role, wild->rule[i]->text);
    out->temperature = TEMPERATURE;
    out->max_tokens = TOKENS;
}

/* Two numbers, exactly one blank or comma between; "8, 9" has two. */
static bool
parse(const char *reply, double values[2], struct sea_arena *arena)
{
    char *line = sea_arena_strndup(arena, reply, strcspn(reply, "\n")), *blank = NULL;

    for (char *c = line; *c; c++) {
        *c = *c == ',' ? ' ' : *c;
        if (*c == ' ' && blank)
            return false;
        if (*c == ' ')
            blank = c;
    }
    if (!blank)
        return false;
    *blank = 0;
    return sea_py_float(line, &values[0]) && sea_py_float(blank + 1, &values[1]) &&
           isfinite(values[0]) && isfinite(values[1]);
}

/* ---- gradings made earlier: lines {"question_id", "content", "tuple"} ---- */

/* Reviews can stand in the place of the answers that they are about. */
static enum sea_status
read_answers(struct sea_bench_scoring *s, const char *path, bool *done, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(s->arena, "reviews");
    struct sea_bench_table table;
    struct sea_node *row = NULL;
    struct sea_bench_question found;
    enum sea_status status =
        sea_dir_exists(path) ? SEA_OK : sea_bench_table_open(&table, path, NULL, scratch, err);

    if (status || sea_dir_exists(path)) {
        sea_arena_destroy(scratch);
        return status;
    }
    while (!(status = sea_bench_table_next(&table, scratch, &row, err)) && row) {
        if (!sea_node_get(row, "tuple") || sea_node_get(row, "text"))
            break;
        found = (struct sea_bench_question){ 0 };
        status = sea_bench_need_id(&table, row, "question_id", &found, scratch, err);
        if (status)
            break;
        *done = true;
        sea_bench_answer_take(s, found.id, "", 0, NULL);
    }
    sea_bench_table_close(&table);
    sea_arena_destroy(scratch);
    if (*done && !s->reviews)
        s->reviews = path;
    return status;
}

static enum sea_status
take_review(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
            struct sea_arena *scratch, struct sea_err *err)
{
    struct sea_bench_scoring *s = arg;
    struct wild *wild = s->extra;
    const struct sea_node *pair = sea_node_get(row, "tuple");
    struct sea_bench_question found = { 0 };
    enum sea_status status = sea_bench_need_id(table, row, "question_id", &found, s->arena, err);

    (void)scratch;
    if (status)
        return status;
    if (!pair || pair->kind != SEA_NODE_LIST || pair->count != 2)
        return sea_records_fail(&table->rows, found.id, err, SEA_E_FORMAT,
                                "field \"tuple\" is %s, expected two numbers",
                                pair ? sea_node_kind_name(pair->kind) : "missing");
    for (size_t i = 0; i < s->count; i++)
        if (strcmp(s->questions->items[i].id, found.id) == 0) {
            if (wild->pairs[i][0] != 0)
                return sea_records_fail(&table->rows, found.id, err, SEA_E_FORMAT,
                                        "the question was reviewed before");
            wild->pairs[i][0] = sea_node_real(pair->first, -1);
            wild->pairs[i][1] = sea_node_real(pair->last, -1);
        }
    return SEA_OK;
}

static enum sea_status
read_reviews(struct sea_bench_scoring *s, struct sea_grading *grading, struct sea_err *err)
{
    struct wild *wild = s->extra;
    enum sea_status status = sea_bench_each_row(s->reviews, NULL, take_review, s, NULL, err);

    sea_bench_grades_alloc(s, grading, 1);
    for (size_t i = 0; i < s->count && !status; i++) {
        struct sea_grade *grade = sea_grade_at(s, grading, 0, i);

        if (wild->pairs[i][0] == 0)
            status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" has no review of question \"%s\"",
                              s->reviews, s->questions->items[i].id);
        grade->values[0] = wild->pairs[i][0];
        grade->values[1] = wild->pairs[i][1];
        grade->is_valid = grade->values[0] != -1 || grade->values[1] != -1;
    }
    return status;
}

/* ---- scores ---- */

static double
mean_of(const struct sea_bench_scoring *s, const int64_t *rows, size_t n, int which)
{
    const struct wild *wild = s->extra;
    double sum = 0;

    for (size_t i = 0; i < n; i++)
        sum += wild->pairs[rows[i]][which];
    return n ? sum / (double)n : 0;
}

/* The means are rounded to three decimals before they are divided. */
static double
relative(void *arg, const int64_t *rows, size_t n)
{
    double reference = sea_py_round(mean_of(arg, rows, n, 0), 3),
           answer = sea_py_round(mean_of(arg, rows, n, 1), 3);

    return n && reference != 0 ? answer / reference : NAN;
}

static double
reference_mean(void *arg, const int64_t *rows, size_t n)
{
    return sea_py_round(mean_of(arg, rows, n, 0), 3) / FULL;
}

static double
answer_mean(void *arg, const int64_t *rows, size_t n)
{
    return sea_py_round(mean_of(arg, rows, n, 1), 3) / FULL;
}

/* The three figures of the rows of a category; NULL: of all. */
static void
add_figures(struct sea_bench_scoring *s, const char *category, bool graded)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    const struct wild *wild = s->extra;
    const char *before = category ? category : "", *slash = category ? "/" : "";
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if ((!category || strcmp(s->questions->items[i].category, category) == 0) &&
            (!graded || wild->valid[i]))
            which[n++] = (int64_t)i;
    if (graded && n > 0)
        sea_bench_add_metric(s, "graded", relative, which, n);
    if (!graded) {
        sea_bench_add_metric(s, sea_arena_printf(s->arena, "%s%srelative", before, slash),
                             relative, which, n);
        sea_bench_add_metric(s, sea_arena_printf(s->arena, "%s%sreference", before, slash),
                             reference_mean, which, n);
        sea_bench_add_metric(s, sea_arena_printf(s->arena, "%s%sanswer", before, slash),
                             answer_mean, which, n);
    }
    free(which);
}

static void
add_categories(struct sea_bench_scoring *s)
{
    const struct sea_bench_question *items = s->questions->items;

    for (size_t i = 0; i < s->count; i++) {
        bool seen = !items[i].category[0];

        for (size_t k = 0; k < i && !seen; k++)
            seen = strcmp(items[k].category, items[i].category) == 0;
        if (!seen)
            add_figures(s, items[i].category, false);
    }
}

/* Several runs: the mean of their grades; one that is not valid makes the row so. */
static void
score_rows(struct sea_bench_scoring *s, const struct sea_grading *grading)
{
    struct wild *wild = s->extra;

    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        double sums[2] = { 0, 0 };

        wild->valid[i] = true;
        for (int64_t run = 0; run < grading->runs; run++) {
            const struct sea_grade *grade = sea_grade_at(s, grading, run, i);

            for (int k = 0; k < 2; k++)
                sums[k] += grade->is_valid ? grade->values[k] : -1;
            wild->valid[i] = wild->valid[i] && grade->is_valid;
        }
        for (int k = 0; k < 2; k++)
            wild->pairs[i][k] = sums[k] / (double)grading->runs;
        row->gold = wild->reference[i] ? wild->reference[i] : "";
        row->parsed = sea_arena_printf(s->arena, "%s %s",
                                       sea_py_float_text(wild->pairs[i][0], s->arena),
                                       sea_py_float_text(wild->pairs[i][1], s->arena));
        row->score = wild->valid[i] ? fmin(fmax(wild->pairs[i][1] / FULL, 0), 1) : 0;
    }
}

static enum sea_status
prepare(struct sea_bench_scoring *s, struct prompts *prompts, char digest[SEA_SHA256_TEXT],
        struct sea_err *err)
{
    enum sea_status status = read_annotations(s, err);

    if (!status)
        status = read_prompts(s, prompts, digest, err);
    return status ? status : match_rules(s, prompts, err);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct prompts prompts = { 0 };
    struct sea_grading grading = { .prompts = &prompts, .tries = TRIES, .ask = ask,
                                   .parse = parse };
    struct wild wild = { 0 };
    char digest[SEA_SHA256_TEXT] = "";
    enum sea_status status = SEA_OK;

    s->extra = &wild;
    wild.context = sea_arena_alloc(s->arena, s->count, sizeof(*wild.context));
    wild.reference = sea_arena_alloc(s->arena, s->count, sizeof(*wild.reference));
    wild.rule = sea_arena_alloc(s->arena, s->count, sizeof(*wild.rule));
    wild.pairs = sea_arena_alloc(s->arena, s->count, sizeof(*wild.pairs));
    wild.valid = sea_arena_alloc(s->arena, s->count, sizeof(*wild.valid));
    if (s->reviews) {
        status = read_reviews(s, &grading, err);
    } else {
        if (s->options->judge)
            status = prepare(s, &prompts, digest, err);
        grading.prompts_digest = digest;
        if (!status)
            status = sea_bench_grade(s, &grading, err);
    }
    if (!status) {
        score_rows(s, &grading);
        sea_bench_grades_finish(s, &grading);
        add_figures(s, NULL, false);
        add_figures(s, NULL, true);
        add_categories(s);
    }
    s->extra = NULL;
    return status;
}

const struct sea_bench sea_bench_llava_bench = {
    .name = "llava-bench",
    .about = "open questions about pictures found in the wild, graded by a judge",
    .headline = "relative",
    .scorer = "llava-bench-official",
    .prompt = "llava-1.5",
    .licence = "Apache-2.0; GPT-4's texts: OpenAI's terms (confirm)",
    .max_new_tokens = 1024,
    .needs_judge = true,
    .questions_path = "questions.jsonl",
    .annotations_path = ".",
    .images_path = "images",
    .load = sea_bench_load_lines,
    .score = score,
    .read_answers = read_answers,
    .prompts_digest = prompts_digest,
};
