/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmmu.c - MMMU: college questions of thirty subjects, multiple choice and open
 *
 * Answers as the official scorer parses them. It draws an option at random where it finds
 * none; here such answers are wrong and counted. Variants: "official"; "parsed" takes the
 * answer to a multiple-choice question as the letter that it is, as the official script does
 * with {id: answer} files, and as "official" does where the options are not known; "random"
 * makes the official script's draws, from its seed and in its order.
 *
 * Questions: rows as on the hub (JSON Lines), a TSV, the official answer_dict
 * {id: {"question_type", "ground_truth"}}, or the official script's SUBJECT/output.json, one
 * or a folder of them, which hold answers, too. Only the first picture is shown, as LLaVA-1.5's
 * published numbers had it.
 */
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define SHORT "\n" SEA_BENCH_SHORT
#define LETTER "\n" SEA_BENCH_LETTER
#define SEED 42                 /* of the official script */

struct record {                 /* sea_bench_question.extra */
    struct sea_choice choice;
    struct sea_py_texts golds;
    bool is_open;
    const char *subject, *discipline;
};

static const struct { const char *name, *subjects; } disciplines[] = {
    { "Art and Design", " Art Art_Theory Design Music " },
    { "Business", " Accounting Economics Finance Manage Marketing " },
    { "Science", " Biology Chemistry Geography Math Physics " },
    { "Health and Medicine", " Basic_Medical_Science Clinical_Medicine "
                             "Diagnostics_and_Laboratory_Medicine Pharmacy Public_Health " },
    { "Humanities and Social Science", " History Literature Sociology Psychology " },
    { "Tech and Engineering", " Agriculture Architecture_and_Engineering Computer_Science "
                              "Electronics Energy_and_Power Materials Mechanical_Engineering " },
};

static const char *
discipline_of(const char *subject)
{
    char word[96];

    snprintf(word, sizeof(word), " %.90s ", subject);
    for (size_t i = 0; i < sizeof(disciplines) / sizeof(disciplines[0]); i++)
        if (strstr(disciplines[i].subjects, word))
            return disciplines[i].name;
    return "";
}

/* "validation_Art_Theory_12" is about Art_Theory. */
static const char *
subject_of(const char *id, struct sea_arena *arena)
{
    const char *first = strchr(id, '_'), *last = strrchr(id, '_');

    return first && last > first ? sea_arena_strndup(arena, first + 1,
                                                     (size_t)(last - first - 1)) : "";
}

/* ---- questions ---- */

static const char *
make_prompt(const struct record *record, const char *question, struct sea_arena *arena)
{
    if (record->is_open)
        return sea_arena_printf(arena, "%s" SHORT, question);
    return sea_choice_prompt(&record->choice, sea_arena_printf(arena, "%s\n", question), true,
                             LETTER, arena);
}

/* The official script's output files hold {"A": text, ...} beside each answer. */
static void
read_index2ans(struct record *record, const struct sea_node *row, struct sea_arena *arena)
{
    const struct sea_node *map = sea_node_get(row, "index2ans");

    for (int i = 0; map && map->kind == SEA_NODE_MAP && i < SEA_CHOICES_MAX; i++) {
        char letter[2] = { (char)('A' + i), 0 };
        const char *text = sea_node_text(sea_node_get(map, letter), NULL);

        if (!text)
            break;
        record->choice.options[record->choice.count++] = sea_arena_strdup(arena, text);
    }
}

static enum sea_status
take_row(struct sea_bench_questions *questions, const struct sea_bench_table *table,
         const struct sea_node *row, struct sea_bench_question *q, struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *type = sea_bench_field_text(row, "question_type", arena);
    const char *question = sea_bench_field_text(row, "question text", arena), *subject;
    enum sea_status status = sea_bench_need_id(table, row, "id question_id index", q, arena, err);

    if (!status)
        status = sea_bench_need_image(table, row, "image image_1", q, arena, err);
    if (status)
        return status;
    sea_choice_read(&record->choice, row, arena);
    if (record->choice.count == 0)
        read_index2ans(record, row, arena);
    /* the official answer file calls them "short-answer", the hub "open" */
    record->is_open = type ? strcmp(type, "multiple-choice") != 0 : record->choice.count == 0;
    sea_py_texts_of(sea_bench_field(row, "answer ground_truth"), arena, &record->golds);
    if (!record->is_open)
        record->choice.answer = sea_choice_answer(&record->choice, row, "answer ground_truth",
                                                  false);
    if (record->golds.count == 0 || (!record->is_open && record->choice.answer < 0))
        return sea_records_fail(&table->rows, q->id, err, SEA_E_FORMAT,
                                "field \"answer\" is \"%.40s\", expected %s",
                                record->golds.count ? record->golds.at[0] : "",
                                record->is_open ? "an answer or a list of answers"
                                                : "the letter of an option");
    subject = sea_bench_field_text(row, "subject category", arena);
    record->subject = subject ? subject : subject_of(q->id, arena);
    record->discipline = discipline_of(record->subject);
    q->category = record->subject;
    q->prompt = question ? make_prompt(record, question, arena) : "";   /* "": not to be asked */
    q->extra = record;
    return SEA_OK;
}

/* ---- scores ---- */

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static const char *
discipline(const struct sea_bench_row *row)
{
    return record_of(row)->discipline;
}

static bool
is_kind(const struct sea_bench_row *row, const void *kind)
{
    return record_of(row)->is_open == (strcmp(kind, "open") == 0);
}

/* The rows in the order of the official script: by subject, then as the file has them. */
static int
by_subject(const void *a, const void *b)
{
    const struct sea_bench_row *const *one = a, *const *two = b;
    int order = strcmp(record_of(*one)->subject, record_of(*two)->subject);

    return order ? order : (*one > *two) - (*one < *two);
}

/* Draws the options that the official script draws where it finds none: it sets the seed once
 * and goes through the subjects by name. */
static void
draw_missing(struct sea_bench_scoring *s)
{
    struct sea_bench_row **list = sea_xcalloc(s->count + 1, sizeof(*list));
    struct sea_py_random random;

    sea_py_random_seed(&random, SEED);
    for (size_t i = 0; i < s->count; i++)
        list[i] = &s->rows[i];
    qsort(list, s->count, sizeof(*list), by_subject);
    for (size_t i = 0; i < s->count; i++) {
        const struct record *record = record_of(list[i]);
        int drawn;

        if (record->is_open || !list[i]->is_failed || record->choice.count == 0)
            continue;
        drawn = (int)sea_py_random_below(&random, (uint32_t)record->choice.count);
        list[i]->score = drawn == record->choice.answer;
        list[i]->parsed = sea_arena_printf(s->arena, "%c (drawn)", 'A' + drawn);
    }
    free(list);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    bool parsed = strcmp(s->variant, "parsed") == 0;

    (void)err;
    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];

        if (record_of(row)->is_open) {
            row->gold = record_of(row)->golds.at[0];
            row->score = sea_mmmu_open(row->text, &record_of(row)->golds, s->arena, &row->parsed);
            continue;
        }
        sea_choice_score(s, row, &record_of(row)->choice,
                         parsed || record_of(row)->choice.count == 0 ? "letter" : "mmmu");
    }
    if (strcmp(s->variant, "random") == 0)
        draw_missing(s);
    sea_bench_add_score(s, "accuracy", sea_bench_is_any, NULL);
    sea_bench_add_score(s, "multiple_choice", is_kind, "multiple-choice");
    sea_bench_add_score(s, "open", is_kind, "open");
    sea_bench_add_groups(s, "discipline", discipline);
    sea_bench_add_groups(s, "subject", sea_bench_category_of);
    return SEA_OK;
}

/* The script's output.json of all subjects, in its order. */
static enum sea_status
load_folder(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    const char *folder = questions->path;
    struct sea_hash *hash = sea_hash_create();
    struct sea_py_texts parts;
    char digest[SEA_SHA256_TEXT];
    enum sea_status status = sea_bench_parts(folder, questions->arena, &parts, err);

    for (size_t i = 0; i < parts.count && !status; i++) {
        questions->path = parts.at[i];
        status = sea_hash_file(parts.at[i], digest, NULL, err);
        if (!status)
            sea_hash_add_field(hash, digest);
        if (!status)
            status = sea_bench_load_rows(questions, limit, take_row, err);
    }
    questions->path = folder;
    sea_hash_finish(hash, questions->digest);
    sea_hash_destroy(hash);
    return status;
}

static enum sea_status
load(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    return sea_dir_exists(questions->path) ? load_folder(questions, limit, err)
                                           : sea_bench_load_rows(questions, limit, take_row, err);
}

static const char *const variants[] = { "official", "parsed", "random", NULL };

const struct sea_bench sea_bench_mmmu = {
    .name = "mmmu",
    .about = "college questions of thirty subjects, multiple choice and open",
    .headline = "accuracy",
    .scorer = "mmmu-official",
    .prompt = "mmmu-official",
    .licence = "Apache-2.0",
    .variants = variants,
    .max_new_tokens = 128,
    .takes_folder = true,
    .questions_path = "mmmu_val.jsonl",
    .images_path = "images",
    .export_name = "mmmu_output.json",
    .load = load,
    .score = score,
    .dump = sea_bench_dump_map,        /* of variant "parsed" what it scores */
};
