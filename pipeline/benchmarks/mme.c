/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mme.c - MME: yes or no, two questions to every picture, fourteen tasks
 *
 * A task's score is 100 * (share of right questions) + 100 * (share of pictures with both
 * right); perception sums ten tasks (2000 at most), cognition four (800). Questions and answers
 * are joined by (task, picture, question), so the order of lines means nothing; the official
 * script takes lines in pairs, so a picture without exactly two questions is refused.
 *
 * Variants: "mme-official"; "lmms" (lmms-eval: stripped, without periods, y and n) and
 * "vlmeval" (yes or no among the words).
 *
 * Questions: LLaVA's JSON Lines, the hub's rows, VLMEvalKit's table, or a folder of TASK.txt as in the official
 * calculation (file, question, gold, and in answers a fourth field). Gold: the release folder
 * or such a folder.
 */
#include <dirent.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define YES_NO "Please answer yes or no."
#define FILE_BYTES_MAX ((size_t)64 << 20)

static const char *const perception[] = { "existence", "count", "position", "color", "posters",
                                          "celebrity", "scene", "landmark", "artwork", "OCR",
                                          NULL };
static const char *const cognition[] = { "commonsense_reasoning", "numerical_calculation",
                                         "text_translation", "code_reasoning", NULL };

struct record {                 /* sea_bench_question.extra */
    bool is_perception;
};

static bool
is_in(const char *const *list, const char *name)
{
    for (; *list; list++)
        if (strcmp(*list, name) == 0)
            return true;
    return false;
}

/* ---- keys: "task/stem" and the question without any of its suffixes ---- */

static const char *
bare_question(const char *text, struct sea_arena *arena)
{
    size_t n = strcspn(text, "\n"), tail = strlen(YES_NO);
    const char *from = text;

    sea_text_strip(&from, &n);
    if (n >= tail && memcmp(from + n - tail, YES_NO, tail) == 0)
        n -= tail;
    sea_text_strip(&from, &n);
    return sea_arena_strndup(arena, from, n);
}

/* The task is the first part of an id, the stem is what the last part has before a period. */
static const char *
make_key(const char *task, size_t task_len, const char *file, const char *question,
         struct sea_arena *arena)
{
    const char *slash = strrchr(file, '/'), *stem = slash ? slash + 1 : file;

    return sea_arena_printf(arena, "%.*s/%.*s\n%s", (int)task_len, task,
                            (int)strcspn(stem, "."), stem, bare_question(question, arena));
}

static const char *
answer_key(const char *id, const char *prompt, struct sea_arena *arena)
{
    if (!prompt || !strchr(id, '/'))
        return NULL;
    return make_key(id, strcspn(id, "/"), id, prompt, arena);
}

/* ---- folders of TASK.txt ---- */

/* Called with the task, the file's name in the line (or the name of the text file), the
 * question, the gold answer and the prediction (NULL: the line has none). */
typedef enum sea_status line_fn(void *arg, const char *task, const char *const fields[4],
                                struct sea_err *err);

struct lines {
    line_fn *fn;
    void *arg;
    const char *path;           /* of the file at hand */
    const char *task, *file;    /* file NULL: the line names it */
    int64_t line;
    struct sea_hash *hash;      /* of everything read */
};

static enum sea_status
read_line(struct lines *l, char *text, struct sea_err *err)
{
    const char *fields[5] = { NULL }, *given[4];
    size_t n = 0, want = l->file ? 2 : 3;

    for (char *at = text; at && n < 5; n++) {
        char *tab = strchr(at, '\t');

        fields[n] = at;
        if (tab)
            *tab++ = 0;
        at = tab;
    }
    if (n != want && (l->file || n != 4))
        return sea_fail(err, SEA_E_FORMAT,
                        "file \"%s\", line %lld: %zu fields between tabs, expected %s", l->path,
                        (long long)l->line, n,
                        l->file ? "question and answer"
                                : "file, question, gold answer and prediction");
    given[0] = l->file ? l->file : fields[0];
    given[1] = fields[l->file ? 0 : 1];
    given[2] = fields[l->file ? 1 : 2];
    given[3] = n == 4 ? fields[3] : NULL;
    return l->fn(l->arg, l->task, given, err);
}

static enum sea_status
read_file(struct lines *l, struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, FILE_BYTES_MAX);
    status = sea_file_read(l->path, &text, err);
    if (!status && l->hash)
        sea_hash_add(l->hash, text.data, text.len);
    l->line = 0;
    for (char *at = text.data; !status && at && *at;) {
        char *end = at + strcspn(at, "\r\n"), *next = end;

        next += *next == '\r';
        next += *next == '\n';
        l->line++;
        *end = 0;
        if (*at)
            status = read_line(l, at, err);
        at = next;
    }
    sea_buf_release(&text);
    return status;
}

struct folder {
    struct lines lines;
    const char *root;
    struct sea_arena *arena;
    size_t files;
};

static bool
is_task(const char *name)
{
    return is_in(perception, name) || is_in(cognition, name);
}

/* The first folder of a path that has a task's name, NULL when none has. */
static const char *
task_folder(const char *relative, struct sea_arena *arena)
{
    const char *slash;

    for (; (slash = strchr(relative, '/')) != NULL; relative = slash + 1) {
        const char *name = sea_arena_strndup(arena, relative, (size_t)(slash - relative));

        if (is_task(name))
            return name;
    }
    return NULL;
}

/* TASK.txt, TASK/STEM.txt or TASK/questions_answers_YN/STEM.txt, also some folders deeper. */
static enum sea_status
visit(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct folder *f = arg;
    size_t n = strlen(relative);
    const char *slash = strrchr(relative, '/'), *folder = task_folder(relative, f->arena);
    const char *name = slash ? slash + 1 : relative;

    (void)bytes;
    if (n < 5 || strcmp(relative + n - 4, ".txt") != 0)
        return SEA_OK;
    f->lines.path = sea_arena_printf(f->arena, "%s/%s", f->root, relative);
    f->lines.task = folder ? folder : sea_arena_strndup(f->arena, name, strlen(name) - 4);
    f->lines.file = folder ? name : NULL;
    if (!is_task(f->lines.task))
        return SEA_OK;          /* a readme, say */
    f->files++;
    return read_file(&f->lines, err);
}

static enum sea_status
read_folder(const char *root, line_fn *fn, void *arg, struct sea_hash *hash,
            struct sea_arena *arena, struct sea_err *err)
{
    struct folder f = { .lines = { .fn = fn, .arg = arg, .hash = hash }, .root = root,
                        .arena = arena };
    enum sea_status status = sea_dir_walk(root, visit, &f, err);

    if (!status && f.files == 0)
        status = sea_fail(err, SEA_E_MISSING, "folder \"%s\" holds no TASK.txt or TASK/*.txt of "
                          "MME", root);
    return status;
}

/* ---- questions ---- */

static enum sea_status
check_task(const struct sea_bench_questions *questions, const char *task, const char *id,
           struct sea_err *err)
{
    if (is_in(perception, task) || is_in(cognition, task))
        return SEA_OK;
    return sea_fail(err, SEA_E_FORMAT,
                    "question \"%s\" of \"%s\" is of task \"%s\", which MME does not have", id,
                    questions->path, task);
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    const char *text = sea_bench_field_text(row, "text", arena), *question = NULL, *gold, *task, *file;
    enum sea_status status = sea_bench_need_id(table, row, "question_id index", q, arena, err);

    if (!status && !text)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &question, err);
    if (!status)
        status = sea_bench_need_image(table, row, "image", q, arena, err);
    if (status)
        return status;
    task = strchr(q->id, '/') ? NULL : sea_bench_field_text(row, "category", arena);
    file = task ? sea_bench_field_text(row, "image_path", arena) : NULL;
    q->category = task ? task : sea_arena_strndup(arena, q->id, strcspn(q->id, "/"));
    q->prompt = text ? text
                     : sea_arena_printf(arena, "%s" SEA_BENCH_SHORT,
                                        bare_question(question, arena));
    gold = sea_bench_field_text(row, "answer", arena);
    q->gold = gold ? sea_text_tidy(gold, true, true, arena) : NULL;
    q->key = file ? make_key(task, strlen(task), file, q->prompt, arena)
                  : answer_key(q->id, q->prompt, arena);
    q->cluster = sea_arena_strndup(arena, q->key ? q->key : "",
                                   strcspn(q->key ? q->key : "", "\n"));
    return check_task(questions, q->category, q->id, err);
}

static enum sea_status
take_question_line(void *arg, const char *task, const char *const fields[4], struct sea_err *err)
{
    struct sea_bench_questions *questions = arg;
    struct sea_arena *arena = questions->arena;
    struct sea_bench_question *q = sea_bench_add_question(questions);

    (void)err;
    q->id = sea_arena_printf(arena, "%s/%s", task, fields[0]);
    q->image = q->id;
    q->has_image = true;
    q->category = sea_arena_strdup(arena, task);
    q->prompt = sea_arena_printf(arena, "%s" SEA_BENCH_SHORT, bare_question(fields[1], arena));
    q->gold = sea_text_tidy(fields[2], true, true, arena);
    q->key = make_key(task, strlen(task), fields[0], fields[1], arena);
    q->cluster = sea_arena_strndup(arena, q->key, strcspn(q->key, "\n"));
    q->row = (int64_t)questions->count - 1;
    return SEA_OK;
}

static enum sea_status
load(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    enum sea_status status;

    if (sea_dir_exists(questions->path)) {
        struct sea_hash *hash = sea_hash_create();

        status = read_folder(questions->path, take_question_line, questions, hash,
                             questions->arena, err);
        sea_hash_finish(hash, questions->digest);
        sea_hash_destroy(hash);
    } else {
        status = sea_bench_load_rows(questions, 0, take_row, err);
    }
    if (!status && limit)       /* whole pictures only */
        sea_bench_cut(questions, (limit + 1) / 2);
    return status;
}

/* ---- answers in the official form ---- */

static enum sea_status
take_answer_line(void *arg, const char *task, const char *const fields[4], struct sea_err *err)
{
    struct sea_bench_scoring *s = arg;
    const char *key = make_key(task, strlen(task), fields[0], fields[1], s->arena);

    if (!fields[3])
        return sea_fail(err, SEA_E_FORMAT, "answers of task \"%s\": a line about \"%s\" has no "
                        "fourth field, the prediction", task, fields[0]);
    sea_bench_answer_take(s, key, fields[3], strlen(fields[3]), NULL);
    return SEA_OK;
}

static enum sea_status
read_answers(struct sea_bench_scoring *s, const char *path, bool *done, struct sea_err *err)
{
    *done = sea_dir_exists(path);
    return *done ? read_folder(path, take_answer_line, s, NULL, s->arena, err) : SEA_OK;
}

/* ---- gold ---- */

struct golds {
    struct sea_bench_scoring *s;
    struct sea_bench_lookup lookup;
    struct sea_arena *scratch;
};

static enum sea_status
take_gold_line(void *arg, const char *task, const char *const fields[4], struct sea_err *err)
{
    struct golds *g = arg;
    int64_t found;

    (void)err;
    sea_arena_reset(g->scratch);
    found = sea_bench_lookup_find(
        &g->lookup, make_key(task, strlen(task), fields[0], fields[1], g->scratch), 0);
    if (found >= 0)
        g->s->questions->items[found].gold = sea_text_tidy(fields[2], true, true, g->s->arena);
    return SEA_OK;
}

static enum sea_status
read_golds(struct sea_bench_scoring *s, struct sea_err *err)
{
    struct golds g = { .s = s, .scratch = sea_arena_create(NULL, "gold") };
    enum sea_status status = SEA_OK;

    sea_bench_lookup_init(&g.lookup, s->questions, false, s->arena);
    for (size_t i = 0; i < s->annotations_count && !status; i++) {
        status = read_folder(s->annotations[i], take_gold_line, &g, s->hash, s->arena, err);
    }
    sea_arena_destroy(g.scratch);
    return status;
}

/* Every question has its yes or no, every picture its two questions. */
static enum sea_status
check_pairs(const struct sea_bench_scoring *s, struct sea_err *err)
{
    int64_t *asked = sea_xcalloc(s->count + 1, sizeof(*asked));
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < s->count; i++)
        asked[s->cluster[i]]++;
    for (size_t i = 0; i < s->count && !status; i++) {
        const struct sea_bench_question *q = s->rows[i].question;

        if (!q->gold) {
            status = sea_fail(err, SEA_E_FORMAT, "there is no gold answer for question \"%s\", "
                              "\"%.80s\"", q->id, q->prompt);
            sea_hint(err, "Name MME_Benchmark_release_version with --annotations.");
        } else if (strcmp(q->gold, "yes") != 0 && strcmp(q->gold, "no") != 0) {
            status = sea_fail(err, SEA_E_FORMAT, "the gold answer of question \"%s\" is \"%.40s\", "
                              "expected yes or no", q->id, q->gold);
        } else if (asked[s->cluster[i]] != 2) {
            status = sea_fail(err, SEA_E_FORMAT, "picture \"%s\" of \"%s\" has %lld questions, "
                              "expected 2", q->cluster, s->questions->path,
                              (long long)asked[s->cluster[i]]);
        }
    }
    free(asked);
    return status;
}

/* ---- scores ---- */

/* Yes or no in the first four characters, lowered and not stripped; else "". */
static const char *
parse_official(const char *text, struct sea_arena *arena)
{
    const char *lower = sea_text_tidy(text, true, false, arena), *at = lower;
    char first[32];

    for (int i = 0; i < 4; i++)
        sea_text_next(&at);
    snprintf(first, sizeof(first), "%.*s", (int)(at - lower), lower);
    return strstr(first, "yes") ? "yes" : strstr(first, "no") ? "no" : "";
}

/* The same stripped and without periods; one character is y, n, or nothing. */
static const char *
parse_lmms(const char *text, struct sea_arena *arena)
{
    char *plain = sea_arena_strdup(arena, sea_text_tidy(text, true, true, arena)), *to = plain;

    for (const char *c = plain; *c; c++)
        if (*c != '.')
            *to++ = *c;
    *to = 0;
    if (sea_text_length(plain) == 1)
        return plain[0] == 'y' ? "yes" : plain[0] == 'n' ? "no" : "";
    return parse_official(plain, arena);
}

static const char *
parse(const struct sea_bench_scoring *s, const char *text)
{
    return strcmp(s->variant, "lmms") == 0      ? parse_lmms(text, s->arena)
           : strcmp(s->variant, "vlmeval") == 0 ? sea_text_yes_no(text, s->arena)
                                                : parse_official(text, s->arena);
}

/* acc + acc+ of the rows of one task, of 2. */
static double
task_score(const struct sea_bench_scoring *s, const int64_t *rows, size_t n, const char *task,
           bool plus_only)
{
    double right = 0, both = 0, asked = 0;

    for (size_t i = 0; i < n; i++) {
        const struct sea_bench_row *row = &s->rows[rows[i]];
        const int64_t *pair = s->extra;

        if (strcmp(row->question->category, task) != 0)
            continue;
        asked++;
        right += row->score;
        both += row->score > 0 && s->rows[pair[rows[i]]].score > 0;
    }
    if (asked == 0)
        return NAN;
    return plus_only ? both / asked : right / asked + both / asked;
}

static double
sum_of(const struct sea_bench_scoring *s, const int64_t *rows, size_t n,
       const char *const *tasks)
{
    double sum = 0;
    bool any = false;

    for (; *tasks; tasks++) {
        double one = task_score(s, rows, n, *tasks, false);

        any = any || !isnan(one);
        sum += isnan(one) ? 0 : one;
    }
    return any ? sum : NAN;
}

static double
perception_metric(void *arg, const int64_t *rows, size_t n)
{
    return sum_of(arg, rows, n, perception) / 20;
}

static double
cognition_metric(void *arg, const int64_t *rows, size_t n)
{
    return sum_of(arg, rows, n, cognition) / 8;
}

static double
total_metric(void *arg, const int64_t *rows, size_t n)
{
    return (sum_of(arg, rows, n, perception) + sum_of(arg, rows, n, cognition)) / 28;
}

static double
one_task(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;

    return n ? task_score(s, rows, n, s->rows[rows[0]].question->category, false) / 2 : NAN;
}

static double
one_task_plus(void *arg, const int64_t *rows, size_t n)
{
    const struct sea_bench_scoring *s = arg;

    return n ? task_score(s, rows, n, s->rows[rows[0]].question->category, true) : NAN;
}

static bool
is_of_task(const struct sea_bench_row *row, const void *task)
{
    return strcmp(row->question->category, task) == 0;
}

static void
report_task(struct sea_bench_scoring *s, const char *task)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (is_of_task(&s->rows[i], task))
            which[n++] = (int64_t)i;
    if (n > 0) {
        sea_bench_add_metric(s, sea_arena_printf(s->arena, "task/%s", task), one_task, which,
                             n)->scale = 200;
        sea_bench_add_score(s, sea_arena_printf(s->arena, "acc/%s", task), is_of_task, task);
        sea_bench_add_metric(s, sea_arena_printf(s->arena, "acc_plus/%s", task), one_task_plus,
                             which, n);
    }
    free(which);
}

static void
add_sum(struct sea_bench_scoring *s, const char *name, sea_stats_metric_fn *metric,
        const char *const *tasks, double scale)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (is_in(tasks, s->rows[i].question->category))
            which[n++] = (int64_t)i;
    sea_bench_add_metric(s, name, metric, which, n)->scale = scale;
    free(which);
}

static bool
has_task(const struct sea_bench_scoring *s, const char *const *tasks)
{
    for (size_t i = 0; i < s->count; i++)
        if (is_in(tasks, s->rows[i].question->category))
            return true;
    return false;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    int64_t *pair = sea_arena_alloc(s->arena, s->count, sizeof(*pair));
    int64_t *first = sea_arena_alloc(s->arena, s->count, sizeof(*first));
    enum sea_status status = read_golds(s, err);
    bool perceives, thinks;

    if (!status)
        status = check_pairs(s, err);
    if (status)
        return status;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        int64_t c = s->cluster[i];

        row->gold = row->question->gold;
        row->parsed = parse(s, row->text);
        row->is_failed = !row->parsed[0];
        row->score = strcmp(row->parsed, row->gold) == 0;
        if (first[c]) {         /* row + 1 of the picture's first question */
            pair[i] = first[c] - 1;
            pair[first[c] - 1] = (int64_t)i;
        } else {
            first[c] = (int64_t)i + 1;
        }
    }
    s->extra = pair;
    perceives = has_task(s, perception);
    thinks = has_task(s, cognition);
    if (perceives)
        add_sum(s, "perception", perception_metric, perception, 2000);
    if (thinks)
        add_sum(s, "cognition", cognition_metric, cognition, 800);
    if (perceives && thinks)
        sea_bench_add_metric_all(s, "total", total_metric)->scale = 2800;
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_yes_share(s, "yes_share", sea_bench_is_any, NULL);
    for (size_t i = 0; perception[i]; i++)
        report_task(s, perception[i]);
    for (size_t i = 0; cognition[i]; i++)
        report_task(s, cognition[i]);
    return SEA_OK;
}

/* ---- the official script's TASK.txt ---- */

/* A tab or a newline in an answer would break the line apart. */
static void
add_field(struct sea_buf *out, const char *text, char end)
{
    for (; *text; text++)
        sea_buf_add(out, *text == '\t' || *text == '\n' || *text == '\r' ? " " : text, 1);
    sea_buf_add(out, &end, 1);
}

static void
add_line(struct sea_buf *out, const struct sea_bench_row *row, struct sea_arena *arena)
{
    const struct sea_bench_question *q = row->question;
    const char *slash = strrchr(q->cluster, '/');

    add_field(out, sea_arena_printf(arena, "%s.txt", slash ? slash + 1 : q->cluster), '\t');
    add_field(out, sea_arena_printf(arena, "%s " YES_NO, strchr(q->key, '\n') + 1), '\t');
    add_field(out, q->gold[0] == 'y' ? "Yes" : "No", '\t');
    add_field(out, row->text, '\n');
}

/* A file per task, a picture's two lines beside each other. */
static enum sea_status
dump_file(struct sea_bench_scoring *s, size_t k, const char **name, struct sea_buf *out,
          struct sea_err *err)
{
    size_t tasks = 0, count = sizeof(perception) / sizeof(perception[0]) - 1;
    const char *task = NULL;
    bool *done;
    enum sea_status status = SEA_OK;

    for (size_t i = 0; !task && i < count + sizeof(cognition) / sizeof(cognition[0]) - 1; i++) {
        const char *one = i < count ? perception[i] : cognition[i - count];
        const char *list[] = { one, NULL };

        if (has_task(s, list) && tasks++ == k)
            task = one;
    }
    if (k == 0)
        status = read_golds(s, err);
    if (!status && k == 0)
        status = check_pairs(s, err);
    *name = task && !status ? sea_arena_printf(s->arena, "%s.txt", task) : NULL;
    if (!*name)
        return status;
    done = sea_xcalloc(s->count + 1, sizeof(*done));
    for (size_t i = 0; i < s->count; i++) {
        if (done[i] || strcmp(s->rows[i].question->category, task) != 0)
            continue;
        for (size_t j = i; j < s->count; j++)
            if (s->cluster[j] == s->cluster[i]) {
                add_line(out, &s->rows[j], s->arena);
                done[j] = true;
            }
    }
    free(done);
    return SEA_OK;
}

static const char *const variants[] = { "mme-official", "lmms", "vlmeval", NULL };

const struct sea_bench sea_bench_mme = {
    .name = "mme",
    .about = "yes or no, two questions to a picture, fourteen tasks",
    .headline = "perception",
    .scorer = "mme-official",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_SHORT,
    .licence = "academic research only, images on request",
    .variants = variants,
    .max_new_tokens = 128,
    .takes_folder = true,
    .questions_path = "llava_mme.jsonl",
    .annotations_path = "MME_Benchmark_release_version",
    .images_path = "MME_Benchmark_release_version",
    .export_name = "mme_results",
    .load = load,
    .score = score,
    .dump_file = dump_file,
    .answer_key = answer_key,
    .read_answers = read_answers,
};
