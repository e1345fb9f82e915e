/* SPDX-License-Identifier: Apache-2.0 */
/*
 * seed.c - SEED-Bench: multiple choice about images and video frames, twelve types
 *
 * Variants: "letter" (LLaVA: the whole text is the letter), "first" (lmms-eval: the first
 * character, any case). Papers quote either number, so both stand in every result: `accuracy`
 * is over all questions that were asked, `image` and `video` over theirs.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    const char *kind;           /* "image", "video" */
    const char *type;           /* name of the question's type */
};

static const char *const types[] = {
    "", "scene understanding", "instance identity", "instance attributes", "instance location",
    "instance counting", "spatial relation", "instance interaction", "visual reasoning",
    "text understanding", "action recognition", "action prediction", "procedure understanding",
};

static const char *
type_name(const struct sea_node *row, struct sea_arena *arena)
{
    int64_t id = sea_node_int(sea_node_get(row, "question_type_id"), 0);

    if (id > 0 && id < (int64_t)(sizeof(types) / sizeof(types[0])))
        return types[id];
    return sea_bench_field_text(row, "category question_type", arena);
}

/* A row of LLaVA's file, of SEED-Bench.json, or of a TSV. */
static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *text = sea_bench_field_text(row, "text", arena), *question = NULL;
    enum sea_status status = sea_bench_need_id(table, row, "question_id index", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "image data_id", q, arena, err);
    if (!status && !text)
        status = sea_bench_need_text(table, row, q->id, "question", arena, &question, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    record->choice.answer = sea_choice_answer(&record->choice, row, "answer", false);
    record->kind = sea_bench_field_text(row, "data_type", arena);
    record->type = type_name(row, arena);
    q->category = record->type;
    q->prompt = text ? text : sea_choice_prompt(&record->choice, question, false,
                                                SEA_BENCH_LETTER, arena);
    q->extra = record;
    return SEA_OK;
}

/* A row of SEED-Bench.json; ids there are texts, in LLaVA's files whole numbers where they can
 * be. */
static enum sea_status
take_note(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
          struct sea_arena *scratch, struct sea_err *err)
{
    const struct sea_bench_notes *notes = arg;
    const char *id = sea_bench_field_text(row, "question_id", scratch);
    struct record *record;
    int64_t number, found;

    (void)table;
    (void)err;
    if (id && sea_py_int(id, &number))
        id = sea_arena_printf(scratch, "%lld", (long long)number);
    found = id ? sea_bench_lookup_find(&notes->lookup, id, 0) : -1;
    if (found < 0)
        return SEA_OK;
    record = notes->s->questions->items[found].extra;
    record->choice.answer = sea_choice_answer(&record->choice, row, "answer", false);
    record->kind = sea_bench_field_text(row, "data_type", notes->s->arena);
    record->type = type_name(row, notes->s->arena);
    return SEA_OK;
}

static enum sea_status
read_annotations(struct sea_bench_scoring *s, struct sea_err *err)
{
    static const char *const members[] = { "questions", NULL };
    struct sea_bench_notes notes = { .s = s };
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_bench_annotation(s, "SEED-Bench.json", NULL, true, path, err);

    sea_bench_lookup_init(&notes.lookup, s->questions, false, s->arena);
    for (size_t i = 0; i < s->count; i++)
        ((struct record *)s->rows[i].question->extra)->choice.answer = -1;
    return status ? status : sea_bench_each_row(path, members, take_note, &notes, NULL, err);
}

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static bool
is_kind(const struct sea_bench_row *row, const void *kind)
{
    return record_of(row)->kind && strcmp(record_of(row)->kind, kind) == 0;
}

static const char *
type_of(const struct sea_bench_row *row)
{
    return record_of(row)->type;
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    if (s->annotations_count > 0 || record_of(&s->rows[0])->choice.answer < 0)
        status = read_annotations(s, err);
    for (size_t i = 0; i < s->count && !status; i++) {
        struct sea_bench_row *row = &s->rows[i];
        struct record *record = row->question->extra;

        if (record->choice.answer < 0) {
            status = sea_fail(err, SEA_E_FORMAT, "there is no answer A to D for question \"%s\" of "
                              "\"%s\" (%zu questions)", row->question->id, s->questions->path,
                              s->count);
            sea_hint(err, "Question file and SEED-Bench.json are of different versions.");
        }
        if (record->choice.count == 0)
            record->choice.count = 4;
        sea_choice_score(s, row, &record->choice, s->variant);
    }
    if (status)
        return status;
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_score(s, "image", is_kind, "image");
    sea_bench_add_score(s, "video", is_kind, "video");
    sea_bench_add_groups(s, "type", type_of);
    return SEA_OK;
}

/* The leaderboard's lines {"question_id", "prediction"}. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        const struct sea_bench_question *q = s->rows[i].question;

        sea_buf_puts(out, "{\"question_id\": ");
        if (q->id_is_number)
            sea_buf_puts(out, q->id);
        else
            sea_json_quote(out, q->id, strlen(q->id));
        sea_buf_puts(out, ", \"prediction\": ");
        sea_json_quote(out, s->rows[i].text, strlen(s->rows[i].text));
        sea_buf_puts(out, "}\n");
    }
    return SEA_OK;
}

static const char *const variants[] = { "letter", "first", NULL };

const struct sea_bench sea_bench_seed = {
    .name = "seed",
    .about = "multiple choice about images and video frames, twelve types",
    .headline = "accuracy",
    .scorer = "seed-llava",
    .prompt = "llava-1.5",
    .suffix = SEA_BENCH_LETTER,
    .licence = "CC BY-NC 4.0",
    .variants = variants,
    .max_new_tokens = 128,
    .questions_path = "llava-seed-bench.jsonl",
    .annotations_path = "SEED-Bench.json",
    .export_name = "seed_upload.jsonl",
    .take_row = take_row,
    .score = score,
    .dump = dump,
};
