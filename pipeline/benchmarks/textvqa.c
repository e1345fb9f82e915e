/* SPDX-License-Identifier: Apache-2.0 */
/*
 * textvqa.c - TextVQA: two benchmarks of one name, with and without OCR words in the question
 *
 * Ids are those of pictures and repeat, so answers are joined by (id, question), the question
 * found in the prompt as LLaVA's scorer finds it. Both sides go through LLaVA's normaliser.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define PEOPLE 10
#define OCR "Reference OCR token: "

/* The question in a prompt, lowered; NULL when it is in none of the three forms. */
static const char *
recover(const char *prompt, struct sea_arena *arena)
{
    const char *line = prompt, *next = strchr(prompt, '\n'), *end;
    size_t breaks = 0;

    for (const char *at = prompt; (at = strchr(at, '\n')) != NULL; at++)
        breaks++;
    if (strncmp(prompt, "OCR tokens: ", 12) == 0) {
        line = strstr(prompt, "Question: ");
        end = line ? strstr(line, " Short answer:") : NULL;
        if (!end)
            return NULL;
        line += strlen("Question: ");
        return sea_text_tidy(sea_arena_strndup(arena, line, (size_t)(end - line)), true, false,
                             arena);
    }
    if (strstr(prompt, OCR) && breaks == 2) {
        if (strncmp(prompt, "Reference OCR token:", 20) == 0)
            line = next + 1;
    } else if (breaks != 1) {
        return NULL;
    }
    end = strchr(line, '\n');
    return sea_text_tidy(sea_arena_strndup(arena, line,
                                           end ? (size_t)(end - line) : strlen(line)),
                         true, false, arena);
}

static const char *
answer_key(const char *id, const char *prompt, struct sea_arena *arena)
{
    const char *question = prompt ? recover(prompt, arena) : NULL;

    return question ? sea_arena_printf(arena, "%s\n%s", id, question) : NULL;
}

static bool
with_ocr(const struct sea_bench *bench)
{
    return bench == &sea_bench_textvqa;
}

/* The OCR words of a row of the hub's data set. */
static const char *
ocr_line(const struct sea_node *row, struct sea_arena *arena)
{
    const struct sea_node *list = sea_node_get(row, "ocr_tokens");
    struct sea_py_texts texts;
    struct sea_buf line;
    const char *out;

    if (!list)
        return NULL;
    sea_py_texts_of(list, arena, &texts);
    sea_buf_init(&line, SIZE_MAX / 2);  /* of texts that are in memory */
    for (size_t i = 0; i < texts.count; i++)
        sea_buf_addf(&line, "%s%s", i ? ", " : "", texts.at[i]);
    out = sea_arena_strndup(arena, line.len ? line.data : "", line.len);
    sea_buf_release(&line);
    return out;
}

/* What is asked: the file's text when it is of this benchmark, else made from the question. */
static enum sea_status
make_prompt(const struct sea_bench *bench, const struct sea_bench_table *table,
            const struct sea_node *row, struct sea_bench_question *q, struct sea_arena *arena,
            struct sea_err *err)
{
    const char *text = sea_bench_field_text(row, "text", arena), *question = NULL, *words = "";

    if (text && with_ocr(bench) == (strstr(text, OCR) != NULL)) {
        q->prompt = text;
        return SEA_OK;
    }
    if (with_ocr(bench)) {
        words = ocr_line(row, arena);
        if (!text && !words && sea_bench_field(row, "answers") && table->is_document) {
            q->prompt = "";     /* the official file: its answers can be scored, not made */
            return SEA_OK;
        }
        if (text || !words) {
            sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                             "the question has no line \"" OCR "...\"");
            sea_hint(err, "Questions without OCR words are benchmark \"textvqa-plain\".");
            return SEA_E_FORMAT;
        }
    }
    if (text)                   /* LLaVA's file, asked without its OCR line */
        question = sea_arena_strndup(arena, text, strcspn(text, "\n"));
    else if (sea_bench_need_text(table, row, q->id, "question", arena, &question, err))
        return err->status;
    q->prompt = with_ocr(bench)
                    ? sea_arena_printf(arena, "%s\n" OCR "%s" SEA_BENCH_SHORT, question, words)
                    : sea_arena_printf(arena, "%s" SEA_BENCH_SHORT, question);
    return SEA_OK;
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    bool official = !sea_bench_field(row, "text") && sea_bench_field(row, "image_id");
    const char *image_id = sea_bench_field_text(row, "image_id", arena);
    enum sea_status status =
        sea_bench_need_id(table, row, official ? "image_id" : "question_id index", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "image", q, arena, err);
    if (!status)
        status = make_prompt(questions->bench, table, row, q, arena, err);
    if (status)
        return status;
    if (!q->has_image && image_id) {
        q->image = sea_arena_printf(arena, "%s.jpg", image_id);
        q->has_image = true;
    }
    q->category = sea_bench_field_text(row, "category", arena);
    q->key = q->prompt[0] ? answer_key(q->id, q->prompt, arena)
                          : sea_arena_printf(arena, "%s\n%s", q->id,
                                             sea_text_tidy(sea_node_text(sea_node_get(row, "question"),
                                                                         ""), true, false, arena));
    if (!q->key)
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "field \"text\" is neither a question and its suffix nor the "
                                "same with a line of OCR words");
    return SEA_OK;
}

static enum sea_status
take_people(const struct sea_bench_table *table, const struct sea_node *row,
            struct sea_arena *arena, struct sea_py_texts **out, struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(row, "answers");
    struct sea_py_texts raw;

    *out = sea_arena_alloc(arena, 1, sizeof(**out));
    sea_py_texts_of(list, arena, &raw);
    if (raw.count != PEOPLE)
        return sea_records_fail(&table->rows, NULL, err, SEA_E_FORMAT,
                                "field \"answers\" holds %zu answers, expected %d", raw.count,
                                PEOPLE);
    for (size_t i = 0; i < raw.count; i++)
        raw.at[i] = sea_vqa_copy(SEA_VQA_M4C, raw.at[i], arena);
    **out = raw;
    return SEA_OK;
}

static enum sea_status
take_note(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
          struct sea_arena *scratch, struct sea_err *err)
{
    const struct sea_bench_notes *notes = arg;
    const char *question = sea_node_text(sea_node_get(row, "question"), "");
    const char *key = sea_arena_printf(scratch, "%s\n%s",
                                       sea_node_text(sea_bench_field(row, "image_id"), ""),
                                       sea_text_tidy(question, true, false, scratch));
    struct sea_py_texts *people;
    enum sea_status status = take_people(table, row, notes->s->arena, &people, err);

    for (size_t nth = 0; !status; nth++) {
        int64_t found = sea_bench_lookup_find(&notes->lookup, key, nth);

        if (found < 0)
            break;
        notes->s->questions->items[found].extra = people;       /* the last one wins, as published */
    }
    return status;
}

static enum sea_status
read_annotations(struct sea_bench_scoring *s, struct sea_err *err)
{
    static const char *const members[] = { "data", NULL };
    struct sea_bench_notes notes = { .s = s };
    char path[SEA_PATH_MAX];
    int64_t rows = 0;
    enum sea_status status =
        sea_bench_annotation(s, "TextVQA_0.5.1_val.json", NULL, true, path, err);

    sea_bench_lookup_init(&notes.lookup, s->questions, false, s->arena);
    if (!status)
        status = sea_bench_each_row(path, members, take_note, &notes, &rows, err);
    for (size_t i = 0; i < s->count && !status; i++)
        if (!s->rows[i].question->extra) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "annotation file \"%s\" (%lld rows) has no answers for question "
                              "\"%s\" of \"%s\" (row %zu of %zu)", path,
                              (long long)rows, s->rows[i].question->id,
                              s->questions->path, i, s->count);
            sea_hint(err, "Question file and annotations are of different versions.");
        }
    return status;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    enum sea_status status = read_annotations(s, err);

    for (size_t i = 0; i < s->count && !status; i++) {
        struct sea_bench_row *row = &s->rows[i];
        const struct sea_py_texts *people = row->question->extra;

        if (s->prompts[i] && !with_ocr(s->bench) && strstr(s->prompts[i], OCR)) {
            status = sea_fail(err, SEA_E_FORMAT, "the answer to question \"%s\" was asked with OCR "
                              "words: that is benchmark \"textvqa\"", row->question->id);
            break;
        }
        if (s->prompts[i] && with_ocr(s->bench) && !strstr(s->prompts[i], OCR) &&
            strncmp(s->prompts[i], "OCR tokens: ", 12) != 0) {
            status = sea_fail(err, SEA_E_FORMAT, "the answer to question \"%s\" was asked without "
                              "OCR words: that is benchmark \"textvqa-plain\"",
                              row->question->id);
            break;
        }
        row->parsed = sea_vqa_copy(SEA_VQA_M4C, row->text, s->arena);
        row->gold = people->at[0];
        row->score = sea_vqa_agreement(people->at, people->count, row->parsed);
    }
    if (!status)
        sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    return status;
}

const struct sea_bench sea_bench_textvqa = {
    .name = "textvqa",
    .about = "reading text in photos, with OCR words in the question",
    .headline = "accuracy",
    .scorer = "textvqa-m4c",
    .prompt = "llava-1.5-ocr",
    .suffix = SEA_BENCH_SHORT,
    .licence = "CC BY 4.0 (confirm); images: Open Images",
    .max_new_tokens = 128,
    .needs_annotations = true,
    .keys_repeat = true,
    .questions_path = "llava_textvqa_val_v051_ocr.jsonl",
    .annotations_path = "TextVQA_0.5.1_val.json",
    .images_path = "train_images",
    .take_row = take_row,
    .score = score,
    .answer_key = answer_key,
};

const struct sea_bench sea_bench_textvqa_plain = {
    .name = "textvqa-plain",
    .about = "reading text in photos, the question alone",
    .headline = "accuracy",
    .scorer = "textvqa-m4c",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_SHORT,
    .licence = "CC BY 4.0 (confirm); images: Open Images",
    .max_new_tokens = 128,
    .needs_annotations = true,
    .keys_repeat = true,
    .questions_path = "TextVQA_0.5.1_val.json",
    .annotations_path = "TextVQA_0.5.1_val.json",
    .images_path = "train_images",
    .take_row = take_row,
    .score = score,
    .answer_key = answer_key,
};
