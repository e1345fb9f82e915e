/* SPDX-License-Identifier: Apache-2.0 */
/*
 * ai2d.c - AI2D and Stanford Dogs: multiple choice, one accuracy
 *
 * AI2D: diagrams of school books; its masked and unmasked pictures give different scores, so
 * say in a suite's `split` which they are.
 *
 * Dogs: which of four breeds is it, as in the SEA paper, which does not publish its prompts nor
 * its wrong options. Questions are rows with options, or a text file of pictures
 * (n02085620-Chihuahua/n02085620_574.jpg, one per line): the breed is the folder's name, the
 * three others and the order are drawn from all breeds of the file by a fixed seed.
 */
#include <ctype.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_rng.h"
#include "pipeline/benchmarks/benchmarks_int.h"

#define LIST_BYTES_MAX ((size_t)256 << 20)
#define BREED_QUESTION "What is the breed of the dog in the image?"
#define DOGS_SEED 120

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    bool dogs = questions->bench == &sea_bench_dogs;
    struct sea_arena *arena = questions->arena;
    struct sea_choice *choice = sea_arena_alloc(arena, 1, sizeof(*choice));
    const char *question = sea_bench_field_text(row, "question text", arena);
    enum sea_status status = sea_bench_need_id(table, row, "question_id id index image", q, arena,
                                               err);

    if (!status)
        status = sea_bench_need_image(table, row, "image image_path", q, arena, err);
    if (!status && !question && !dogs)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &question, err);
    if (status)
        return status;
    sea_choice_read(choice, row, arena);
    choice->answer = sea_choice_answer(choice, row, "answer",
                                       sea_bench_field(row, "options choices") != NULL);
    if (choice->answer < 0)
        choice->answer = sea_choice_answer(choice, row, "answer", false);
    if (choice->count < 2 || choice->answer < 0)
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "%d options and answer \"%.20s\", expected 2 or more options and "
                                "the index or letter of one", choice->count,
                                sea_node_text(sea_node_get(row, "answer"), ""));
    q->prompt = sea_choice_prompt(choice, question ? question : BREED_QUESTION, false,
                                  SEA_BENCH_LETTER, arena);
    q->category = sea_bench_field_text(row, "category", arena);
    q->extra = choice;
    return SEA_OK;
}

/* ---- a list of pictures ---- */

/* "n02085620-Japanese_spaniel/x.jpg" shows a "Japanese spaniel". */
static const char *
breed_of(const char *path, struct sea_arena *arena)
{
    const char *end = strchr(path, '/'), *start = strchr(path, '-');
    char *name;

    if (!end)
        return NULL;
    start = start && start < end ? start + 1 : path;
    name = sea_arena_strndup(arena, start, (size_t)(end - start));
    for (char *c = name; *c; c++)
        *c = *c == '_' ? ' ' : *c;
    return name;
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Four options: the breed and three others, in an order that the row's number decides. */
static void
draw_options(struct sea_choice *choice, const char *const *breeds, size_t count, size_t right,
             uint64_t number)
{
    struct sea_rng rng;
    int64_t others[4] = { (int64_t)right, 0, 0, 0 }, order[4] = { 0, 1, 2, 3 };
    int n = count < 4 ? (int)count : 4;

    sea_rng_init(&rng, DOGS_SEED, number);
    for (int i = 1; i < n; i++)
        for (bool again = true; again;) {
            others[i] = (int64_t)sea_rng_below(&rng, (uint32_t)count);
            again = false;
            for (int k = 0; k < i; k++)
                again = again || others[k] == others[i];
        }
    sea_rng_shuffle(&rng, order, (size_t)n);
    choice->count = n;
    for (int i = 0; i < n; i++) {
        choice->options[i] = breeds[others[order[i]]];
        if (order[i] == 0)
            choice->answer = i;
    }
}

static enum sea_status
make_questions(struct sea_bench_questions *questions, char *text, int64_t limit,
               struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    size_t lines = 1, n = 0, count = 0;
    const char **paths, **breeds, **sorted;

    for (const char *c = text; *c; c++)
        lines += *c == '\n';
    paths = sea_arena_alloc(arena, lines, sizeof(char *));
    breeds = sea_arena_alloc(arena, lines, sizeof(char *));
    sorted = sea_arena_alloc(arena, lines, sizeof(char *));
    for (char *at = text; *at;) {
        size_t len = strcspn(at, "\r\n");

        paths[n] = sea_arena_strndup(arena, at, len);
        at += len;
        at += strspn(at, "\r\n");
        if (len == 0)
            continue;
        breeds[n] = breed_of(paths[n], arena);
        if (!breeds[n] || !sea_path_is_inside(paths[n]))
            return sea_fail(err, SEA_E_FORMAT, "file \"%s\", picture %zu is \"%.80s\", expected "
                            "BREED/NAME", questions->path, n, paths[n]);
        n++;
    }
    memcpy(sorted, breeds, n * sizeof(*sorted));
    qsort(sorted, n, sizeof(*sorted), by_text);
    for (size_t i = 0; i < n; i++)
        if (count == 0 || strcmp(sorted[count - 1], sorted[i]) != 0)
            sorted[count++] = sorted[i];
    if (count < 4)
        return sea_fail(err, SEA_E_FORMAT, "file \"%s\" names pictures of %zu breeds, expected 4 "
                        "or more", questions->path, count);
    questions->is_partial = limit && (int64_t)n > limit;
    for (size_t i = 0; i < n && (!limit || (int64_t)i < limit); i++) {
        struct sea_bench_question *q = sea_bench_add_question(questions);
        struct sea_choice *choice = sea_arena_alloc(arena, 1, sizeof(*choice));
        const char **right = bsearch(&breeds[i], sorted, count, sizeof(*sorted), by_text);

        draw_options(choice, sorted, count, (size_t)(right - sorted), i);
        *q = (struct sea_bench_question){
            .id = paths[i], .image = paths[i], .has_image = true, .cluster = paths[i],
            .category = breeds[i], .row = (int64_t)i, .extra = choice,
            .prompt = sea_choice_prompt(choice, BREED_QUESTION, false, SEA_BENCH_LETTER, arena),
        };
    }
    return SEA_OK;
}

static enum sea_status
load_dogs(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    struct sea_buf text;
    const char *line;
    enum sea_status status;

    sea_buf_init(&text, LIST_BYTES_MAX);
    status = sea_file_read(questions->path, &text, err);
    if (status) {
        sea_buf_release(&text);
        return status;
    }
    line = text.data + strspn(text.data, "\xEF\xBB\xBF \t\r\n");
    if (*line == '{' || *line == '[' || memchr(line, '\t', strcspn(line, "\n")) ||
        memchr(line, ',', strcspn(line, "\n")))
        status = sea_bench_load_rows(questions, limit, take_row, err);
    else
        status = make_questions(questions, text.data + (line - text.data), limit, err);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++)
        sea_choice_score(s, &s->rows[i], s->rows[i].question->extra, s->variant);
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_groups(s, s->bench == &sea_bench_dogs ? "breed" : "category",
                         sea_bench_category_of);
    return SEA_OK;
}

static const char *const variants[] = { "extract", "exact", "letter", "ladder", NULL };

const struct sea_bench sea_bench_ai2d = {
    .name = "ai2d",
    .about = "multiple choice about diagrams of school books",
    .headline = "accuracy",
    .scorer = "choice",
    .prompt = "lmms-eval",
    .suffix = SEA_BENCH_LETTER,
    .licence = "CC BY-SA 4.0 (confirm)",
    .variants = variants,
    .max_new_tokens = 16,
    .questions_path = "AI2D_TEST.tsv",
    .images_path = "images",
    .take_row = take_row,
    .score = score,
};

const struct sea_bench sea_bench_dogs = {
    .name = "dogs",
    .about = "which of four breeds is it: Stanford Dogs as multiple choice",
    .headline = "accuracy",
    .scorer = "choice",
    .prompt = "sea-ours",
    .suffix = SEA_BENCH_LETTER,
    .licence = "research only: ImageNet's terms (confirm)",
    .variants = variants,
    .max_new_tokens = 16,
    .questions_path = "test_list.txt",
    .images_path = "Images",
    .load = load_dogs,
    .score = score,
};
