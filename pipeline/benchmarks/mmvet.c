/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmvet.c - MM-Vet: open questions, graded from 0 to 1 by a judge
 *
 * The judge gets the official prompt (instruction and worked rows of a table), and the item as
 * the table's last row, whose last cell it fills in. A reply counts when its text up to the
 * first blank is a number from 0 to 1. The second to fifth try add the official reminder,
 * the third to fifth at temperatures 0.5, 1.0 and 1.5. What cannot be read then is 0 in the
 * headline, as in the official script, left out of "graded", and counted.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define TRIES 5
#define TOKENS 3
#define CAPABILITIES 7
#define GRADES_BYTES_MAX ((size_t)1 << 30)

static const char *const capabilities[CAPABILITIES] = { "rec", "ocr", "know", "gen", "spat",
                                                        "math", "seq" };

struct item {                   /* of mm-vet.json */
    const char *question, *answer;
    unsigned mask;              /* of capabilities */
};
struct prompts {
    const char *table, *reminder;       /* reminder NULL: the file has none */
};

/* ---- files ---- */

static const char *
answer_key(const char *id, const char *prompt, struct sea_arena *arena)
{
    (void)prompt;
    return id[0] && strspn(id, "0123456789") == strlen(id) ? sea_arena_printf(arena, "v1_%s", id)
                                                           : id;
}

static enum sea_status
read_item(const struct sea_bench_table *table, const struct sea_node *row, const char *id,
          struct sea_arena *arena, struct item *item, struct sea_err *err)
{
    const struct sea_node *node = sea_bench_field(row, "capability");
    struct sea_py_texts texts = { 0 };
    enum sea_status status = sea_bench_need_text(table, row, id, "question", arena,
                                                 &item->question, err);

    if (!status)
        status = sea_bench_need_text(table, row, id, "answer", arena, &item->answer, err);
    if (!status && node)
        sea_py_texts_of(node, arena, &texts);
    for (size_t i = 0; i < texts.count && !status; i++) {
        int found = -1;

        for (int k = 0; k < CAPABILITIES; k++)
            if (strcmp(texts.at[i], capabilities[k]) == 0)
                found = k;
        if (found < 0)
            status = sea_records_fail(&table->rows, id, err, SEA_E_FORMAT,
                                      "capability \"%.40s\" is unknown, expected rec, ocr, know, "
                                      "gen, spat, math or seq", texts.at[i]);
        else
            item->mask |= 1u << found;
    }
    if (!status && item->mask == 0)
        status = sea_records_fail(&table->rows, id, err, SEA_E_FORMAT,
                                  "field \"capability\" is missing, expected a list of texts");
    return status;
}

static const char *
mask_name(unsigned mask, struct sea_arena *arena)
{
    const char *name = "";

    for (int k = 0; k < CAPABILITIES; k++)
        if (mask >> k & 1)
            name = sea_arena_printf(arena, "%s%s%s", name, name[0] ? "_" : "", capabilities[k]);
    return name;
}

static void
take_item(struct sea_bench_question *q, const struct item *item, struct sea_arena *arena)
{
    struct item *copy = sea_arena_alloc(arena, 1, sizeof(*copy));

    *copy = *item;
    q->extra = copy;
    q->gold = item->answer;
    q->category = mask_name(item->mask, arena);
}

/* A row of LLaVA's lines, or of mm-vet.json itself. */
static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct item item = { 0 };
    enum sea_status status = sea_bench_need_id(table, row, "question_id id index", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "image imagename", q, arena, err);
    if (!status)
        status = sea_bench_need_text(table, row, q->id, "text question", arena, &q->prompt, err);
    if (!status && sea_bench_field(row, "capability")) {
        status = read_item(table, row, q->id, arena, &item, err);
        if (!status)
            take_item(q, &item, arena);
    }
    if (!status)
        q->key = answer_key(q->id, NULL, arena);
    return status;
}

static enum sea_status
take_note(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
          struct sea_arena *scratch, struct sea_err *err)
{
    const struct sea_bench_notes *notes = arg;
    struct sea_bench_question found = { 0 };
    struct item item = { 0 };
    int64_t at;
    enum sea_status status =
        sea_bench_need_id(table, row, "question_id id index", &found, scratch, err);

    if (!status)
        status = read_item(table, row, found.id, notes->s->arena, &item, err);
    if (status)
        return status;
    at = sea_bench_lookup_find(&notes->lookup, answer_key(found.id, NULL, scratch), 0);
    if (at >= 0)
        take_item(&notes->s->questions->items[at], &item, notes->s->arena);
    return SEA_OK;
}

/* Gold answers of questions that came without. */
static enum sea_status
read_golds(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct sea_bench_notes notes = { .s = s };
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_bench_annotation(s, "mm-vet.json", NULL, true, path, err);

    sea_bench_lookup_init(&notes.lookup, s->questions, false, s->arena);
    if (!status)
        status = sea_bench_each_row(path, NULL, take_note, &notes, NULL, err);
    for (size_t i = 0; i < s->count && !status; i++)
        if (!s->questions->items[i].extra)
            status = sea_fail(err, SEA_E_FORMAT, "question \"%s\" of \"%s\" is not in \"%s\"",
                              s->questions->items[i].id, s->questions->path, path);
    return status;
}

/* ---- the prompt ---- */

/* Behind the first "except" of the script: the literal that begins with a newline and goes
 * on. */
static const char *
find_reminder(const char *code, struct sea_arena *arena)
{
    const char *at = strstr(code, "except"), *text;

    while (at && (text = sea_py_literal(&at, arena)) != NULL)
        if (text[0] == '\n' && text[1])
            return text;
    return NULL;
}

static enum sea_status
read_prompts(const struct sea_bench_scoring *s, struct prompts *out, struct sea_err *err)
{
    static const char *const names[] = { "mm-vet.txt", "mm-vet_evaluator.py",
                                         "mm-vet_evaluator.ipynb", NULL };
    char path[SEA_PATH_MAX], beside[SEA_PATH_MAX];
    const char *text = NULL;
    size_t n;
    enum sea_status status = sea_judged_file(s, names, path, err);

    if (!status)
        status = sea_judged_text(path, s->arena, &text, err);
    if (status)
        return status;
    n = strlen(path);
    if (strcmp(path + n - 4, ".txt") == 0) {
        out->table = text;
        snprintf(beside, sizeof(beside), "%.*s-reminder.txt", (int)n - 4, path);
        if (sea_file_exists(beside))
            status = sea_judged_text(beside, s->arena, &out->reminder, err);
    } else {
        out->table = sea_py_assigned(text, "prompt", s->arena);
        out->reminder = find_reminder(text, s->arena);
    }
    if (!status && (!out->table || !strchr(out->table, '|'))) {
        status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" holds no grading prompt: expected %s",
                          path, out->table ? "a table with \" | \" between its columns"
                                           : "prompt = \"\"\"...\"\"\"");
        sea_hint(err, "Take the file from the benchmark's own repository, unchanged.");
    }
    return status;
}

static enum sea_status
prompts_digest(struct sea_bench_scoring *s, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct prompts *prompts = sea_arena_alloc(s->arena, 1, sizeof(*prompts));
    enum sea_status status = read_prompts(s, prompts, err);
    struct sea_hash *hash;

    if (status)
        return status;
    hash = sea_hash_create();
    sea_hash_add_field(hash, prompts->table);
    sea_hash_add_field(hash, prompts->reminder ? prompts->reminder : "");
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    s->extra = prompts;
    return SEA_OK;
}

/* "<AND>" and "<OR>" with blanks around. */
static const char *
pad_marks(const char *answer, struct sea_arena *arena)
{
    struct sea_buf out;
    const char *copy;

    sea_buf_init(&out, 3 * strlen(answer) + 16);
    while (*answer) {
        size_t n = strncmp(answer, "<AND>", 5) == 0 ? 5 : strncmp(answer, "<OR>", 4) == 0 ? 4 : 0;

        if (n)
            sea_buf_addf(&out, " %.*s ", (int)n, answer);
        else
            sea_buf_add(&out, answer, 1);
        answer += n ? n : 1;
    }
    copy = sea_arena_strdup(arena, out.data);
    sea_buf_release(&out);
    return copy;
}

static void
ask(const struct sea_bench_scoring *s, const struct sea_grading *grading, size_t i, int attempt,
    struct sea_arena *arena, struct sea_judge_ask *out)
{
    const struct prompts *prompts = grading->prompts;
    const struct item *item = s->questions->items[i].extra;

    out->user = sea_arena_printf(arena, "%s\n%s | %s | %s | %s", prompts->table, item->question,
                                 pad_marks(item->answer, arena), s->rows[i].text,
                                 attempt && prompts->reminder ? prompts->reminder : "");
    out->temperature = attempt > 1 ? 0.5 * (attempt - 1) : 0.0;
    out->max_tokens = TOKENS;
}

static bool
parse(const char *reply, double values[2], struct sea_arena *arena)
{
    const char *first = sea_arena_strndup(arena, reply, strcspn(reply, " "));

    return sea_py_float(first, &values[0]) && values[0] >= 0 && values[0] <= 1;
}

/* ---- gradings made earlier: {"v1_0": {"model": [], "content": [], "score": []}} ---- */

/* A file of grades can stand in the place of the answers that they are about. */
static enum sea_status
read_answers(struct sea_bench_scoring *s, const char *path, bool *done, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(s->arena, "grades");
    struct sea_err ignored = { 0 };
    struct sea_node *top = NULL, *node;

    (void)err;                  /* what is no such file is read as answers, with its errors */
    if (!sea_dir_exists(path) && !sea_json_load(path, GRADES_BYTES_MAX, scratch, &top, &ignored) &&
        top->kind == SEA_NODE_MAP && top->first && sea_node_get(top->first, "score")) {
        *done = true;
        for (node = top->first; node; node = node->next)
            sea_bench_answer_take(s, answer_key(node->key, NULL, scratch), "", 0, NULL);
        s->reviews = s->reviews ? s->reviews : path;
    }
    sea_arena_destroy(scratch);
    return SEA_OK;
}

static enum sea_status
read_reviews(struct sea_bench_scoring *s, struct sea_grading *grading, struct sea_err *err)
{
    const char *path = s->reviews;
    struct sea_node *top;
    const struct sea_node *list;
    enum sea_status status = sea_json_load(path, GRADES_BYTES_MAX, s->arena, &top, err);

    for (size_t i = 0; i < s->count && !status; i++) {
        const char *key = sea_bench_key(&s->questions->items[i]);
        int64_t run = 0;

        list = sea_node_path(sea_node_get(top, key), "score");
        if (!list || list->kind != SEA_NODE_LIST || list->count == 0 ||
            (grading->runs && (int64_t)list->count != grading->runs))
            return sea_fail(err, SEA_E_FORMAT, "file \"%s\", item \"%s\": expected a list "
                            "\"score\" with one number per run, as many as other items have",
                            path, key);
        if (!grading->runs)
            sea_bench_grades_alloc(s, grading, (int64_t)list->count);
        for (list = list->first; list; list = list->next, run++) {
            struct sea_grade *grade = sea_grade_at(s, grading, run, i);

            grade->values[0] = sea_node_real(list, -1);
            grade->is_valid = grade->values[0] >= 0 && grade->values[0] <= 1;
        }
    }
    return status;
}

/* ---- scores ---- */

static bool
has_capability(const struct sea_bench_row *row, const void *arg)
{
    const struct item *item = row->question->extra;

    return item && item->mask >> *(const int *)arg & 1;
}

static bool
is_graded(const struct sea_bench_row *row, const void *unused)
{
    (void)unused;
    return !row->is_failed;
}

/* Standard deviation of the runs' totals, as the population. */
static void
add_spread(struct sea_bench_scoring *s, const struct sea_grading *grading)
{
    double *totals = sea_xcalloc((size_t)grading->runs, sizeof(*totals)), mean = 0, sum = 0;
    int64_t none = 0;
    struct sea_bench_metric *metric;

    for (int64_t run = 0; run < grading->runs; run++) {
        for (size_t i = 0; i < s->count; i++)
            totals[run] += sea_grade_at(s, grading, run, i)->values[0] / (double)s->count;
        mean += totals[run] / (double)grading->runs;
    }
    for (int64_t run = 0; run < grading->runs; run++)
        sum += (totals[run] - mean) * (totals[run] - mean);
    metric = sea_bench_add_mean(s, "run_sd", totals, &none, 1);
    metric->value = sqrt(sum / (double)grading->runs);
    metric->n = grading->runs;
    metric->low = metric->high = metric->se = metric->clustered_se = NAN;
    metric->interval = "";
    free(totals);
}

static void
score_rows(struct sea_bench_scoring *s, const struct sea_grading *grading)
{
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const char *parsed = "";

        row->gold = row->question->gold ? row->question->gold : "";
        for (int64_t run = 0; run < grading->runs; run++) {
            struct sea_grade *grade = sea_grade_at(s, grading, run, i);

            if (!grade->is_valid)
                grade->values[0] = 0;
            row->score += grade->values[0] / (double)grading->runs;
            parsed = sea_arena_printf(s->arena, "%s%s%s", parsed, run ? " " : "",
                                      sea_py_float_text(grade->values[0], s->arena));
        }
        row->parsed = parsed;
    }
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct sea_grading grading = { .tries = TRIES, .ask = ask, .parse = parse };
    char digest[SEA_SHA256_TEXT];
    enum sea_status status = SEA_OK;

    /* grades give the total without mm-vet.json, which has the capabilities */
    for (size_t i = 0; i < s->count && (!s->reviews || s->annotations_count); i++)
        if (!s->questions->items[i].extra) {
            status = read_golds(s, err);
            break;
        }
    if (!status && s->reviews) {
        status = read_reviews(s, &grading, err);
    } else if (!status && s->options->judge) {
        status = prompts_digest(s, digest, err);
        grading.prompts = s->extra;
        grading.prompts_digest = digest;
    }
    if (!status && !s->reviews)
        status = sea_bench_grade(s, &grading, err);
    if (status)
        return status;
    score_rows(s, &grading);
    sea_bench_grades_finish(s, &grading);
    sea_bench_add_score(s, "total", sea_bench_is_any, NULL);
    sea_bench_add_score(s, "graded", is_graded, NULL);
    for (int k = 0; k < CAPABILITIES; k++)
        sea_bench_add_score(s, capabilities[k], has_capability, &k);
    if (s->questions->items[0].extra)
        sea_bench_add_groups(s, "integration", sea_bench_category_of);
    if (grading.runs > 1)
        add_spread(s, &grading);
    return SEA_OK;
}

const struct sea_bench sea_bench_mmvet = {
    .name = "mm-vet",
    .about = "open questions of six abilities, graded by a judge",
    .headline = "total",
    .scorer = "mm-vet-official",
    .prompt = "llava-1.5",
    .licence = "CC BY-NC 4.0 (confirm)",
    .max_new_tokens = 1024,
    .needs_judge = true,
    .questions_path = "llava-mm-vet.jsonl",
    .annotations_path = "mm-vet.json",
    .images_path = "images",
    .export_name = "mm-vet_results.json",
    .take_row = take_row,
    .score = score,
    .dump = sea_bench_dump_map,
    .read_answers = read_answers,
    .answer_key = answer_key,
    .prompts_digest = prompts_digest,
};
