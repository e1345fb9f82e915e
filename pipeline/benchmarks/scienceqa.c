/* SPDX-License-Identifier: Apache-2.0 */
/*
 * scienceqa.c - ScienceQA: multiple choice, with and without a picture
 *
 * The question file holds the right letter in its second turn; problems.json, when given,
 * decides instead and says how many options there are. The share over questions with a
 * picture follows the published script: a question counts there when the prompt in the
 * *answer* has the image tag. In answer files without any prompts the question decides.
 * Variants: "llava", "lmms" (lmms-eval's parser; the same model scores points more there).
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define DOCUMENT_BYTES_MAX ((size_t)4 << 30)
#define LETTERS 5               /* the published options are A to E */
#define TAG "<image>"

struct record {                 /* sea_bench_question.extra */
    int choices;                /* how many options */
    int answer;                 /* index of the right one */
};

static const char *const letters[LETTERS] = { "A", "B", "C", "D", "E" };

/* The turn's text without its tag, stripped, with LLaVA's suffix. */
static const char *
prompt_of(const char *value, struct sea_arena *arena)
{
    struct sea_buf text;
    const char *from, *out;
    size_t len;

    sea_buf_init(&text, strlen(value) + 256);
    for (const char *at = value; *at;) {
        if (strncmp(at, TAG, strlen(TAG)) == 0)
            at += strlen(TAG);
        else
            sea_buf_add(&text, at++, 1);
    }
    from = text.data;
    len = text.len;
    sea_text_strip(&from, &len);
    out = sea_arena_printf(arena, "%.*s" SEA_BENCH_LETTER, (int)len, from);
    sea_buf_release(&text);
    return out;
}

static enum sea_status
read_question(struct sea_bench_questions *questions, const struct sea_bench_table *table,
              const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    const struct sea_records *rows = &table->rows;
    const struct sea_node *turns = sea_node_get(row, "conversations");
    const struct sea_node *image = sea_node_get(row, "image");
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *value, *gold, *first;
    enum sea_status status;

    status = sea_records_id(rows, row, "id", arena, &q->id, &q->id_is_number, err);
    if (status)
        return status;
    value = sea_node_text(sea_node_get(turns ? turns->first : NULL, "value"), NULL);
    gold = sea_node_text(sea_node_get(turns && turns->first ? turns->first->next : NULL, "value"),
                         NULL);
    if (!value || !gold)
        return sea_records_fail(rows, q->id, err, SEA_E_FORMAT,
                                "field \"conversations\" does not hold a question and its "
                                "letter");
    if (table->hub && sea_hub_image(table, row, q, arena)) {
        q->has_image = true;
    } else if (image && image->kind == SEA_NODE_STRING) {
        if (!image->text[0] || !sea_path_is_inside(image->text))
            return sea_records_fail(rows, q->id, err, SEA_E_FORMAT,
                                    "field \"image\" is \"%.120s\", expected a relative name "
                                    "without \"..\"", image->text);
        q->image = sea_arena_strdup(arena, image->text);
        q->has_image = true;
    }
    q->prompt = prompt_of(value, arena);
    q->answer_prompt = q->has_image ? sea_arena_printf(arena, TAG "\n%s", q->prompt) : q->prompt;
    q->cluster = q->id;
    record->choices = (int)sea_text_options(q->prompt, &first);
    record->answer = gold[0] >= 'A' && gold[0] <= 'E' && !gold[1] ? gold[0] - 'A' : -1;
    if (record->choices < 1 || record->answer < 0 || record->answer >= record->choices)
        return sea_records_fail(rows, q->id, err, SEA_E_FORMAT,
                                "the answer is \"%.20s\" and there are %d options, expected a "
                                "letter of one of them", gold, record->choices);
    q->gold = letters[record->answer];
    q->extra = record;
    return SEA_OK;
}

/* The published rules; NULL when none applies. */
static const char *
parse(const char *text)
{
    static const char phrase[] = "The answer is ";
    const char *found = NULL;
    int times = 0;

    for (int i = 0; i < LETTERS; i++)
        if (strcmp(text, letters[i]) == 0)
            return letters[i];
    if (strlen(text) >= 3 && text[0] >= 'A' && text[0] <= 'E' && text[1] == '.' && text[2] == ' ')
        return letters[text[0] - 'A'];
    /* "The answer is ([A-Z])." with a dot that matches any character but a newline */
    for (const char *at = text; (at = strstr(at, phrase)) != NULL;) {
        const char *letter = at + sizeof(phrase) - 1;

        if (letter[0] >= 'A' && letter[0] <= 'Z' && letter[1] && letter[1] != '\n') {
            found = letter;
            times++;
            at = letter + 2;
        } else {
            at = letter;
        }
    }
    if (times != 1)
        return NULL;
    return *found <= 'E' ? letters[*found - 'A'] : "?";
}

/* lmms-eval's: the letter in any case, or a capital and a period at the beginning. */
static const char *
parse_lmms(const char *text)
{
    for (int i = 0; i < LETTERS; i++)
        if (strcasecmp(text, letters[i]) == 0)
            return letters[i];
    if (text[0] >= 'A' && text[0] <= 'Z' && text[1] == '.')
        return text[0] <= 'E' ? letters[text[0] - 'A'] : "?";
    return NULL;
}

/* What the published script writes beside its figures: {"correct": [...], "incorrect": [...]}
 * of {"question_id", "question" (the prompt), "pred"}. */
static enum sea_status
read_answers(struct sea_bench_scoring *s, const char *path, bool *done, struct sea_err *err)
{
    static const char *const lists[] = { "correct", "incorrect" };
    struct sea_arena *scratch = sea_arena_create(s->arena, "analysis");
    struct sea_err ignored = { 0 };
    struct sea_node *top = NULL, *row;
    enum sea_status status = SEA_OK;

    if (!sea_dir_exists(path) &&
        !sea_json_load(path, DOCUMENT_BYTES_MAX, scratch, &top, &ignored))
        *done = sea_node_get(sea_node_get(top, lists[0]) ? top : NULL, lists[1]) != NULL;
    for (size_t i = 0; i < 2 && *done; i++)
        for (row = sea_node_get(top, lists[i])->first; row && !status; row = row->next) {
            const char *id = sea_node_text(sea_node_get(row, "question_id"), NULL),
                       *text = sea_node_text(sea_node_get(row, "pred"), NULL);

            if (!id || !text)
                status = sea_fail(err, SEA_E_FORMAT, "file \"%s\": a row of \"%s\" has no "
                                  "\"question_id\" or no \"pred\"", path, lists[i]);
            else
                sea_bench_answer_take(s, id, text, strlen(text),
                                      sea_node_text(sea_node_get(row, "question"), NULL));
        }
    sea_arena_destroy(scratch);
    return status;
}

/* problems.json: gold answers and numbers of options. */
static enum sea_status
read_problems(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(NULL, "problems");
    char path[SEA_PATH_MAX];
    const struct sea_node *const *found;
    struct sea_node *top = NULL;
    enum sea_status status;

    status = sea_bench_annotation(s, "problems.json", NULL, false, path, err);
    if (!status)
        status = sea_json_load(path, DOCUMENT_BYTES_MAX, scratch, &top, err);
    found = sea_bench_members(s, status ? NULL : top, scratch);
    for (size_t i = 0; i < s->count && !status; i++) {
        struct sea_bench_question *q = &s->questions->items[i];
        const struct sea_node *problem = found[i];
        const struct sea_node *choices = sea_node_get(problem, "choices");
        int64_t answer = sea_node_int(sea_node_get(problem, "answer"), -1);
        struct record *record = q->extra;

        if (!choices || choices->kind != SEA_NODE_LIST || answer < 0 ||
            answer >= (int64_t)choices->count || answer >= LETTERS) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "file \"%s\" has no problem \"%s\" with \"choices\" and the index "
                              "of one of them as \"answer\"", path, q->id);
        } else if (answer != record->answer) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "problem \"%s\" has answer %s in \"%s\" and %s in \"%s\"", q->id,
                              letters[answer], path, q->gold, s->questions->path);
            sea_hint(err, "Question file and problems.json are of different versions.");
        } else {
            record->choices = (int)choices->count;
        }
    }
    sea_arena_destroy(scratch);
    return status;
}

static bool
has_tag(const struct sea_bench_row *row, const void *arg)
{
    const struct sea_bench_scoring *s = arg;
    const char *prompt = s->prompts[row - s->rows];

    if (s->extra)               /* no answer has a prompt */
        return row->question->has_image && !row->is_missing;
    return prompt && strstr(prompt, TAG) != NULL;
}

static bool
lacks_tag(const struct sea_bench_row *row, const void *arg)
{
    return !has_tag(row, arg);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    char path[SEA_PATH_MAX];
    bool pictures = false, prompts = false, lmms = strcmp(s->variant, "lmms") == 0;

    for (size_t i = 0; i < s->count; i++)
        prompts = prompts || s->prompts[i];
    s->extra = prompts ? NULL : s;
    if (s->annotations_count > 0 &&
        (s->annotations_count > 1 || sea_bench_annotation_find(s, "problems.json", NULL, path) ||
         !sea_dir_exists(s->annotations[0])))
        status = read_problems(s, err);
    if (status)
        return status;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const struct record *record = row->question->extra;
        const char *letter = lmms ? parse_lmms(row->text) : parse(row->text);

        row->gold = row->question->gold;
        row->is_failed = !letter;
        row->parsed = letter ? letter : "FAILED";
        row->score = letter && letter[0] != '?' && letter[0] - 'A' < record->choices &&
                     letter[0] - 'A' == record->answer;
        row->is_unit = has_tag(row, s);
        pictures = pictures || row->is_unit;
    }
    for (size_t i = 0; i < s->count && !pictures; i++)
        s->rows[i].is_unit = true;
    if (pictures)
        sea_bench_add_score(s, "img_accuracy", has_tag, s);
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    if (pictures)
        sea_bench_add_score(s, "text_accuracy", lacks_tag, s);
    return SEA_OK;
}

/* LLaVA's output file: {acc, correct, count, results, outputs}. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    enum sea_status status = score(s, err);
    double correct = 0;

    if (status)
        return status;
    for (size_t i = 0; i < s->count; i++)
        correct += s->rows[i].score;
    sea_buf_addf(out, "{\"acc\": %.17g, \"correct\": %.0f, \"count\": %zu,\n\"results\": {",
                 correct / (double)s->count * 100, correct, s->count);
    for (size_t i = 0; i < s->count; i++) {
        const struct sea_bench_row *row = &s->rows[i];
        const struct record *record = row->question->extra;
        int index = row->is_failed || row->parsed[0] == '?' ? -1 : row->parsed[0] - 'A';

        sea_buf_puts(out, i ? ",\n" : "\n");
        sea_json_quote(out, row->question->id, strlen(row->question->id));
        sea_buf_addf(out, ": %d", index < record->choices ? index : -1);
    }
    sea_buf_puts(out, "\n},\n\"outputs\": {");
    for (size_t i = 0; i < s->count; i++) {
        sea_buf_puts(out, i ? ",\n" : "\n");
        sea_json_quote(out, s->rows[i].question->id, strlen(s->rows[i].question->id));
        sea_buf_puts(out, ": ");
        sea_json_quote(out, s->rows[i].text, strlen(s->rows[i].text));
    }
    sea_buf_puts(out, "\n}}\n");
    return SEA_OK;
}

static const char *const variants[] = { "llava", "lmms", NULL };

const struct sea_bench sea_bench_scienceqa = {
    .name = "scienceqa",
    .about = "multiple choice with and without a picture",
    .headline = "img_accuracy",
    .scorer = "llava-scienceqa",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_LETTER,
    .licence = "CC BY-NC-SA 4.0 (confirm)",
    .variants = variants,
    .max_new_tokens = 1024,
    .questions_path = "llava_test_CQM-A.json",
    .annotations_path = "problems.json",
    .images_path = "images/test",
    .export_name = "scienceqa_output.json",
    .take_row = read_question,
    .score = score,
    .dump = dump,
    .read_answers = read_answers,
};
