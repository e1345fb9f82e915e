/* SPDX-License-Identifier: Apache-2.0 */
/*
 * pope.c - POPE: is there a KIND in the image? Three splits of the same pictures
 *
 * Ids of the question file and of the label files differ, so question k of a split belongs
 * to label line k of that split; image and text of every pair are compared, since two
 * versions of the random split (2,910 and 3,000 rows) are in use.
 *
 * A label file is a question file, too: one split, with its labels. To it belong the answer
 * files of POPE's own script, {"question", "answer"} without ids: they go by line, and every
 * line's question is compared. VLMEvalKit's table has each question once, with all its splits
 * in the category ("adversarial,popular").
 *
 * Variants: "pope-official"; "lmms" (lmms-eval: the text is yes or no, or wrong) and "vlmeval"
 * (one of the two among the words), whose F1 is over all questions at once.
 */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define SPLITS_MAX 64

/* coco_pope_random.json is about "random". */
static const char *
split_of_path(const char *path, struct sea_arena *arena)
{
    const char *name = strstr(path, "_pope_");
    const char *start = name ? name + strlen("_pope_") : NULL;

    return start ? sea_arena_strndup(arena, start, strcspn(start, "./")) : "all";
}

/* A row of LLaVA's file, of a label file, or of a table with answers. */
static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    const char *gold = sea_bench_field_text(row, "label answer", arena), *text = NULL;
    enum sea_status status = sea_bench_need_id(table, row, "question_id index", q, arena, err);

    if (!status)
        status = sea_bench_need_text(table, row, q->id, "text question", arena, &text, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (status)
        return status;
    q->category = sea_bench_field_text(row, "category", arena);
    if (!q->category)
        q->category = split_of_path(questions->path, arena);
    q->gold = !gold ? NULL : strcasecmp(gold, "no") == 0 ? "no" : "yes";
    q->prompt = gold && !strchr(text, '\n') ? sea_arena_printf(arena, "%s" SEA_BENCH_SHORT, text)
                                            : text;
    return SEA_OK;
}

/* Line i answers question i. */
static enum sea_status
read_lines(struct sea_bench_scoring *s, struct sea_records *rows, struct sea_arena *scratch,
           struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t i = 0;

    for (;; i++) {
        struct sea_node *row;
        const char *question = NULL, *text = NULL;

        sea_arena_reset(scratch);
        status = sea_records_next(rows, scratch, &row, err);
        if (!status && !row)
            break;
        if (!status)
            status = sea_records_text(rows, NULL, row, "question", &question, err);
        if (!status)
            status = sea_records_text(rows, NULL, row, "answer", &text, err);
        if (status)
            return status;
        if (i < s->count &&
            strcmp(question, sea_bench_bare_question(s->rows[i].question, scratch)) != 0)
            return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                    "is about \"%.80s\", but question \"%s\" of \"%s\" is "
                                    "\"%.80s\"", question, s->rows[i].question->id,
                                    s->questions->path,
                                    sea_bench_bare_question(s->rows[i].question, scratch));
        if (i < s->count)
            sea_bench_answer_take(s, sea_bench_key(s->rows[i].question), text, strlen(text), NULL);
    }
    if (i == s->count || (s->questions->is_partial && i > s->count))
        return SEA_OK;
    sea_fail(err, SEA_E_FORMAT, "answer file \"%s\" has %zu lines, question file \"%s\" asks %zu "
             "questions; without ids they must go together line by line", rows->path, i,
             s->questions->path, s->count);
    sea_hint(err, "The random split has 2910 or 3000 rows, by version.");
    return SEA_E_FORMAT;
}

static enum sea_status
read_answers(struct sea_bench_scoring *s, const char *path, bool *done, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(s->arena, "row");
    struct sea_err ignored = { 0 };
    struct sea_records rows;
    struct sea_node *row = NULL;
    enum sea_status status = SEA_OK;

    if (sea_dir_exists(path)) {
        sea_arena_destroy(scratch);
        return SEA_OK;
    }
    status = sea_records_open(&rows, path, err);
    if (!status && !sea_records_next(&rows, scratch, &row, &ignored) && row)
        *done = sea_node_get(row, "question") && sea_node_get(row, "answer") &&
                !sea_node_get(row, "question_id");
    sea_records_close(&rows);
    if (!status && *done) {
        status = sea_records_open(&rows, path, err);
        if (!status)
            status = read_lines(s, &rows, scratch, err);
        sea_records_close(&rows);
    }
    sea_arena_destroy(scratch);
    return status;
}

/* Words of the text before the first period, without commas, split at blanks: "No", "not" or
 * "no" among them means no, anything else yes. */
static const char *
parse(const char *text, struct sea_arena *arena)
{
    size_t n = strcspn(text, "."), used = 0;
    char *words = sea_arena_alloc(arena, n + 1, 1), *at = words;

    for (size_t i = 0; i < n; i++)
        if (text[i] != ',')
            words[used++] = text[i];
    while (*at) {
        size_t m = strcspn(at, " ");

        if ((m == 2 && (memcmp(at, "No", 2) == 0 || memcmp(at, "no", 2) == 0)) ||
            (m == 3 && memcmp(at, "not", 3) == 0))
            return "no";
        at += m + (at[m] == ' ');
    }
    return "yes";
}

static bool
is_of_split(const struct sea_bench_row *row, const void *split)
{
    const char *at = row->question->category;
    size_t n = split ? strlen(split) : 0;

    if (!split || strcmp(at, split) == 0)
        return true;
    for (; *at; at += strcspn(at, ","), at += *at == ',')
        if (strcspn(at, ",") == n && memcmp(at, split, n) == 0)
            return true;
    return false;
}

static bool
is_official(const struct sea_bench_scoring *s)
{
    return strcmp(s->variant, "pope-official") == 0;
}

static const char *
parse_variant(const struct sea_bench_scoring *s, const char *text)
{
    const char *plain;

    if (is_official(s))
        return parse(text, s->arena);
    if (strcmp(s->variant, "vlmeval") == 0)
        return sea_text_yes_no(text, s->arena);
    plain = sea_text_tidy(text, true, true, s->arena);
    return strcmp(plain, "yes") == 0 ? "yes" : strcmp(plain, "no") == 0 ? "no" : "";
}

/* Early releases of POPE ask "in the imange?", later ones "in the image?": the same question. */
static bool
is_same_question(const char *a, const char *b)
{
    static const char early[] = "imange", late[] = "image";

    while (*a || *b) {
        bool a_early = strncmp(a, early, strlen(early)) == 0;
        bool b_early = strncmp(b, early, strlen(early)) == 0;

        if ((a_early || strncmp(a, late, strlen(late)) == 0) &&
            (b_early || strncmp(b, late, strlen(late)) == 0)) {
            a += strlen(a_early ? early : late);
            b += strlen(b_early ? early : late);
        } else if (*a++ != *b++) {
            return false;
        }
    }
    return true;
}

/* Compares question `row` with its label line and takes the label. */
static enum sea_status
take_label(struct sea_bench_scoring *s, struct sea_bench_row *row,
           const struct sea_records *labels, const struct sea_node *label, struct sea_err *err)
{
    const struct sea_bench_question *q = row->question;
    const char *image = NULL, *text = NULL, *gold = NULL;
    enum sea_status status;

    status = sea_records_text(labels, NULL, label, "image", &image, err);
    if (!status)
        status = sea_records_text(labels, NULL, label, "text", &text, err);
    if (!status)
        status = sea_records_text(labels, NULL, label, "label", &gold, err);
    if (status)
        return status;
    if ((q->image && strcmp(image, q->image) != 0) ||
        !is_same_question(text, sea_bench_bare_question(q, s->arena))) {
        status = sea_records_fail(labels, NULL, err, SEA_E_FORMAT,
                                  "is about image \"%.60s\", \"%.60s\", but question \"%s\" asks "
                                  "about image \"%.60s\", \"%.60s\"", image, text, q->id,
                                  q->image ? q->image : "", sea_bench_bare_question(q, s->arena));
        sea_hint(err, "Label files and question file are of different versions of POPE.");
        return status;
    }
    row->gold = strcmp(gold, "no") == 0 ? "no" : "yes";
    return SEA_OK;
}

static enum sea_status
count_rows(const char *path, size_t *count, struct sea_err *err)
{
    struct sea_records rows;
    enum sea_status status = sea_records_open(&rows, path, err);
    const char *text;
    size_t len = 1;

    *count = 0;
    while (!status && len) {
        status = sea_records_next_text(&rows, &text, &len, err);
        *count += !status && len;
    }
    sea_records_close(&rows);
    return status;
}

/* Joins a split with its label file by position. */
static enum sea_status
read_labels(struct sea_bench_scoring *s, const char *split, struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(s->arena, "row");
    char path[SEA_PATH_MAX], name[128];
    struct sea_records labels = { .index = 0 };
    size_t asked = 0, given = 0;
    enum sea_status status;

    for (size_t i = 0; i < s->count; i++)
        asked += is_of_split(&s->rows[i], split);
    snprintf(name, sizeof(name), "coco_pope_%.64s.json", split);
    status = sea_bench_annotation(s, name, "coco", false, path, err);
    if (!status)
        status = count_rows(path, &given, err);
    if (!status && (s->questions->is_partial ? given < asked : given != asked)) {
        status = sea_fail(err, SEA_E_FORMAT,
                          "label file \"%s\" has %zu rows, question file \"%s\" asks %zu "
                          "questions of category \"%s\"", path, given, s->questions->path, asked,
                          split);
        sea_hint(err, "Label files and question file are of different versions of POPE (the "
                 "random split has 2910 or 3000 rows).");
    }
    if (!status)
        status = sea_records_open(&labels, path, err);
    for (size_t i = 0; i < s->count && !status; i++) {
        struct sea_node *label;

        if (!is_of_split(&s->rows[i], split))
            continue;
        sea_arena_reset(scratch);
        status = sea_records_next(&labels, scratch, &label, err);
        if (!status && label)
            status = take_label(s, &s->rows[i], &labels, label, err);
    }
    sea_records_close(&labels);
    sea_arena_destroy(scratch);
    return status;
}

struct confusion {
    double tp, fp, tn, fn;
};

static struct confusion
count_confusion(const struct sea_bench_scoring *s, const int64_t *rows, size_t n,
                const char *split)
{
    struct confusion c = { 0 };

    for (size_t i = 0; i < n; i++) {
        const struct sea_bench_row *row = &s->rows[rows[i]];
        bool yes = row->parsed[0] == 'y', gold = row->gold[0] == 'y';

        if (!is_of_split(row, split) || (!row->parsed[0] && strcmp(s->variant, "lmms") == 0))
            continue;
        *(yes ? gold ? &c.tp : &c.fp : gold ? &c.fn : &c.tn) += 1;
    }
    return c;
}

static double
precision(struct confusion c)
{
    return c.tp + c.fp > 0 ? c.tp / (c.tp + c.fp) : NAN;
}

static double
recall(struct confusion c)
{
    return c.tp + c.fn > 0 ? c.tp / (c.tp + c.fn) : NAN;
}

static double
f1(struct confusion c)
{
    double p = precision(c), r = recall(c);

    return p + r > 0 ? 2 * p * r / (p + r) : NAN;
}

/* The distinct splits of the questions, in order; NULL ends. */
static const char **
splits_of(const struct sea_bench_scoring *s)
{
    const char **splits = sea_arena_alloc(s->arena, SPLITS_MAX + 1, sizeof(char *));
    size_t count = 0;

    for (size_t i = 0; i < s->count; i++) {
        const char *at = s->rows[i].question->category;

        do {
            size_t n = strcspn(at, ","), k = 0;

            while (k < count && (strlen(splits[k]) != n || memcmp(splits[k], at, n) != 0))
                k++;
            if (k == count && count < SPLITS_MAX)
                splits[count++] = sea_arena_strndup(s->arena, at, n);
            at += n + (at[n] == ',');
        } while (*at);
    }
    return splits;
}

/* The published number: the mean of the splits' F1. */
static double
mean_f1(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;
    const char *const *splits = s->extra;
    double sum = 0;
    int count = 0;

    for (; splits[count]; count++)
        sum += f1(count_confusion(s, rows, n, splits[count]));
    return count ? sum / count : NAN;
}

static double
whole_precision(void *arg, const int64_t *rows, size_t n)
{
    return precision(count_confusion(arg, rows, n, NULL));
}

static double
whole_recall(void *arg, const int64_t *rows, size_t n)
{
    return recall(count_confusion(arg, rows, n, NULL));
}

static double
whole_f1(void *arg, const int64_t *rows, size_t n)
{
    return f1(count_confusion(arg, rows, n, NULL));
}

static void
report_split(struct sea_bench_scoring *s, const char *split)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (is_of_split(&s->rows[i], split))
            which[n++] = (int64_t)i;
    sea_bench_add_metric(s, sea_arena_printf(s->arena, "%s/f1", split), whole_f1, which, n);
    sea_bench_add_score(s, sea_arena_printf(s->arena, "%s/accuracy", split), is_of_split, split);
    sea_bench_add_metric(s, sea_arena_printf(s->arena, "%s/precision", split), whole_precision,
                         which, n);
    sea_bench_add_metric(s, sea_arena_printf(s->arena, "%s/recall", split), whole_recall, which,
                         n);
    sea_bench_add_yes_share(s, sea_arena_printf(s->arena, "%s/yes_share", split), is_of_split,
                            split);
    free(which);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    const char **splits = splits_of(s);
    enum sea_status status = SEA_OK;
    bool labelled = s->annotations_count == 0;
    int64_t *all;

    for (size_t i = 0; i < s->count; i++) {
        labelled = labelled && s->rows[i].question->gold;
        s->rows[i].gold = s->rows[i].question->gold ? s->rows[i].question->gold : "";
    }
    for (size_t k = 0; splits[k] && !status && !labelled; k++)
        status = read_labels(s, splits[k], err);
    if (status)
        return status;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];

        row->parsed = parse_variant(s, row->text);
        row->is_failed = !row->parsed[0];
        row->score = strcmp(row->parsed, row->gold) == 0;
    }
    all = sea_xcalloc(s->count + 1, sizeof(*all));
    for (size_t i = 0; i < s->count; i++)
        all[i] = (int64_t)i;
    s->extra = splits;
    sea_bench_add_metric(s, "f1", is_official(s) ? mean_f1 : whole_f1, all, s->count);
    sea_bench_add_score(s, "accuracy", is_of_split, NULL);
    sea_bench_add_yes_share(s, "yes_share", is_of_split, NULL);
    sea_bench_add_metric(s, "f1_pooled", whole_f1, all, s->count);
    for (size_t k = 0; splits[k]; k++)
        report_split(s, splits[k]);
    free(all);
    return SEA_OK;
}

static const char *const variants[] = { "pope-official", "lmms", "vlmeval", NULL };

const struct sea_bench sea_bench_pope = {
    .name = "pope",
    .about = "is there a KIND in the image: yes or no, three splits",
    .headline = "f1",
    .scorer = "pope-official",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_SHORT,
    .licence = "MIT; images: COCO",
    .variants = variants,
    .max_new_tokens = 128,
    .questions_path = "llava_pope_test.jsonl",
    .annotations_path = "coco",
    .images_path = "val2014",
    .take_row = take_row,
    .score = score,
    .read_answers = read_answers,
};
