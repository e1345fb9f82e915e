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
 * Questions: LLaVA's JSON Lines, the hub's rows, VLMEvalKit's table, or a folder of TASK.txt
 * as in the official calculation (file, question, gold, and in answers a fourth field). Gold:
 * the release folder or such a folder.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/mme_int.h"

/* The task is the first part of an id. */
static const char *
answer_key(const char *id, const char *prompt, struct sea_arena *arena)
{
    if (!prompt || !strchr(id, '/'))
        return NULL;
    return sea_mme_key(id, strcspn(id, "/"), id, prompt, arena);
}

/* ---- questions ---- */

static enum sea_status
check_task(const struct sea_bench_questions *questions, const char *task, const char *id,
           struct sea_err *err)
{
    if (sea_mme_is_task(task))
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
    const char *text = sea_bench_field_text(row, "text", arena), *question = NULL;
    const char *gold, *task, *file;
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
                                        sea_mme_bare_question(question, arena));
    gold = sea_bench_field_text(row, "answer", arena);
    q->gold = gold ? sea_text_tidy(gold, true, true, arena) : NULL;
    q->key = file ? sea_mme_key(task, strlen(task), file, q->prompt, arena)
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
    q->prompt = sea_arena_printf(arena, "%s" SEA_BENCH_SHORT,
                                 sea_mme_bare_question(fields[1], arena));
    q->gold = sea_text_tidy(fields[2], true, true, arena);
    q->key = sea_mme_key(task, strlen(task), fields[0], fields[1], arena);
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

        status = sea_mme_read_folder(questions->path, take_question_line, questions, hash,
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
    const char *key = sea_mme_key(task, strlen(task), fields[0], fields[1], s->arena);

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
    return *done ? sea_mme_read_folder(path, take_answer_line, s, NULL, s->arena, err) : SEA_OK;
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
        &g->lookup, sea_mme_key(task, strlen(task), fields[0], fields[1], g->scratch), 0);
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
    for (size_t i = 0; i < s->annotations_count && !status; i++)
        status = sea_mme_read_folder(s->annotations[i], take_gold_line, &g, s->hash, s->arena,
                                     err);
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

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    enum sea_status status = read_golds(s, err);

    if (!status)
        status = check_pairs(s, err);
    if (!status)
        sea_mme_score(s);
    return status;
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
    add_field(out, sea_arena_printf(arena, "%s " SEA_MME_YES_NO, strchr(q->key, '\n') + 1), '\t');
    add_field(out, q->gold[0] == 'y' ? "Yes" : "No", '\t');
    add_field(out, row->text, '\n');
}

/* A file per task, a picture's two lines beside each other. */
static enum sea_status
dump_file(struct sea_bench_scoring *s, size_t k, const char **name, struct sea_buf *out,
          struct sea_err *err)
{
    const char *const *lists[] = { sea_mme_perception, sea_mme_cognition };
    const char *task = NULL;
    size_t tasks = 0;
    bool *done;
    enum sea_status status = SEA_OK;

    for (size_t l = 0; l < 2; l++)
        for (size_t i = 0; lists[l][i] && !task; i++) {
            const char *list[] = { lists[l][i], NULL };

            if (sea_mme_has_task(s, list) && tasks++ == k)
                task = lists[l][i];
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
