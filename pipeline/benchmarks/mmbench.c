/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mmbench.c - MMBench: multiple choice, each question in all rotations of its options
 *
 * The TSV holds questions and pictures. Rows with index = base + 1000000 * k are rotations
 * of one question, which counts only when every one of them is answered rightly. Variants:
 * "exact" takes a letter or the text of one option; "ladder" reads letters out of sentences
 * as VLMEvalKit does before it asks a judge. What neither resolves is wrong, and counted.
 */
#include <ctype.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/benchmarks/benchmarks_int.h"

#define ROTATION 1000000
#define CELLS_MAX 64
#define OPTIONS 4
#define REUSED_IMAGE_MAX 64     /* a picture cell this short is the index of another row */

struct record {                 /* sea_bench_question.extra */
    const char *options[OPTIONS];
    int choices;
    int pass;                   /* which rotation */
    const char *question, *group, *split;       /* group: l2-category */
};

/* ---- TSV ---- */

struct table {                  /* the file, one record at a time */
    struct sea_file_map map;
    const char *path, *at, *end;
    int64_t line, row;
    struct sea_arena *arena;
    const char *cells[CELLS_MAX];
    size_t lens[CELLS_MAX], count;
};

static void
table_close(void *arg)
{
    struct table *table = arg;

    sea_file_map_close(&table->map);
}

static enum sea_status
table_open(struct table *table, const char *path, struct sea_err *err)
{
    enum sea_status status = sea_file_map_open(&table->map, path, err);

    table->path = path;
    if (status)
        return status;
    table->at = table->map.data ? (const char *)table->map.data : "";
    table->end = table->at + table->map.bytes;
    table->line = 1;
    table->row = -1;
    if (table->map.bytes >= 3 && memcmp(table->at, "\xEF\xBB\xBF", 3) == 0)
        table->at += 3;
    return SEA_OK;
}

/* A cell in quotes: "" stands for a quote; tabs and newlines belong to it. */
static enum sea_status
quoted_cell(struct table *table, struct sea_err *err)
{
    const char *close = table->at + 1;
    char *copy, *to;

    for (;;) {
        close = memchr(close, '"', (size_t)(table->end - close));
        if (!close)
            return sea_fail(err, SEA_E_FORMAT,
                            "file \"%s\", line %lld: a quoted cell does not end", table->path,
                            (long long)table->line);
        if (close + 1 == table->end || close[1] != '"')
            break;
        close += 2;
    }
    copy = to = sea_arena_alloc(table->arena, (size_t)(close - table->at), 1);
    for (const char *c = table->at + 1; c < close; c++) {
        *to++ = *c;
        table->line += *c == '\n';
        c += *c == '"';
    }
    table->cells[table->count] = copy;
    table->lens[table->count] = (size_t)(to - copy);
    table->at = close + 1;
    return SEA_OK;
}

static bool
ends_cell(char c)
{
    return c == '\t' || c == '\n' || c == '\r';
}

/* The next record's cells; count is 0 at the end. */
static enum sea_status
table_next(struct table *table, struct sea_err *err)
{
    table->count = 0;
    while (table->at < table->end && (*table->at == '\n' || *table->at == '\r'))
        table->line += *table->at++ == '\n';
    if (table->at >= table->end)
        return SEA_OK;
    table->row++;
    for (;;) {
        enum sea_status status = SEA_OK;

        if (table->count == CELLS_MAX)
            return sea_fail(err, SEA_E_FORMAT, "file \"%s\", line %lld: more than %d cells",
                            table->path, (long long)table->line, CELLS_MAX);
        if (table->at < table->end && *table->at == '"') {
            /* NEEDSWORK: text between a closing quote and the tab is dropped; pandas
             * writes none. */
            status = quoted_cell(table, err);
        } else {
            table->cells[table->count] = table->at;
            while (table->at < table->end && !ends_cell(*table->at))
                table->at++;
            table->lens[table->count] = (size_t)(table->at - table->cells[table->count]);
        }
        if (status)
            return status;
        table->count++;
        while (table->at < table->end && !ends_cell(*table->at))
            table->at++;
        if (table->at >= table->end || *table->at != '\t')
            return SEA_OK;
        table->at++;
    }
}

/* ---- questions ---- */

enum column { INDEX, QUESTION, HINT, A, B, C, D, ANSWER, CATEGORY, IMAGE, GROUP, SPLIT,
              COLUMNS };
static const char *const column_names[COLUMNS] = {
    "index", "question", "hint", "A", "B", "C", "D", "answer", "category", "image", "l2-category",
    "split",
};
static const bool column_needed[COLUMNS] = { [INDEX] = true, [QUESTION] = true, [A] = true,
                                             [B] = true, [IMAGE] = true };

static enum sea_status
find_columns(const struct table *table, int at[COLUMNS], struct sea_err *err)
{
    for (int c = 0; c < COLUMNS; c++) {
        at[c] = -1;
        for (size_t i = 0; i < table->count; i++)
            if (table->lens[i] == strlen(column_names[c]) &&
                strncasecmp(table->cells[i], column_names[c], table->lens[i]) == 0 &&
                (c < A || c > D || table->cells[i][0] == column_names[c][0]))
                at[c] = (int)i;
        if (at[c] < 0 && column_needed[c])
            return sea_fail(err, SEA_E_FORMAT,
                            "file \"%s\" has no column \"%s\", expected tab-separated columns "
                            "index, question, hint, A, B, C, D, answer, category, image, ...",
                            table->path, column_names[c]);
    }
    return SEA_OK;
}

/* A cell's text; NULL when it is missing, as pandas writes missing values. */
static const char *
cell(const struct table *table, const int at[COLUMNS], enum column c)
{
    static const char *const nothing[] = { "", "nan", "NaN", "None", "none" };
    const char *text;
    int i = at[c];

    if (i < 0 || (size_t)i >= table->count)
        return NULL;
    for (size_t k = 0; k < sizeof(nothing) / sizeof(nothing[0]); k++)
        if (table->lens[i] == strlen(nothing[k]) &&
            memcmp(table->cells[i], nothing[k], table->lens[i]) == 0)
            return NULL;
    text = sea_text_copy(table->arena, table->cells[i], table->lens[i]);
    return text;
}

static const char *
make_prompt(const struct record *record, const char *hint, struct sea_arena *arena)
{
    struct sea_buf text;
    const char *out;

    sea_buf_init(&text, 1 << 24);
    sea_buf_addf(&text, "%s%s%s", hint ? hint : "", hint ? "\n" : "", record->question);
    for (int o = 0; o < record->choices; o++)
        sea_buf_addf(&text, "\n%c. %s", 'A' + o, record->options[o]);
    sea_buf_puts(&text, SEA_BENCH_LETTER);
    out = sea_arena_strndup(arena, text.data, text.len);
    sea_buf_release(&text);
    return out;
}

static enum sea_status
read_question(struct sea_bench_questions *questions, const struct table *table,
              const int at[COLUMNS], struct sea_err *err)
{
    struct sea_arena *arena = questions->arena;
    struct record *record = sea_arena_alloc(arena, 1, sizeof(*record));
    const char *id = cell(table, at, INDEX), *question = cell(table, at, QUESTION), *gold;
    struct sea_bench_question *q;
    char *rest = NULL;
    long long index;

    index = id ? strtoll(id, &rest, 10) : -1;
    if (!id || *rest || index < 0 || !question)
        return sea_fail(err, SEA_E_FORMAT,
                        "file \"%s\", row %lld, line %lld: expected a whole number in column "
                        "\"index\" and a text in \"question\"", table->path,
                        (long long)table->row, (long long)table->line);
    for (int o = 0; o < OPTIONS; o++) {
        record->options[o] = cell(table, at, (enum column)(A + o));
        if (!record->options[o])
            break;
        record->choices++;
    }
    gold = cell(table, at, ANSWER);
    if (record->choices < 2 ||
        (gold && (gold[0] < 'A' || gold[0] >= 'A' + record->choices || gold[1])))
        return sea_fail(err, SEA_E_FORMAT,
                        "file \"%s\", row %lld (index %s), line %lld: %d options and answer "
                        "\"%.20s\", expected 2 to 4 options and the letter of one",
                        table->path, (long long)table->row, id, (long long)table->line,
                        record->choices, gold ? gold : "");
    record->pass = (int)(index / ROTATION);
    record->question = question;
    record->group = cell(table, at, GROUP);
    record->split = cell(table, at, SPLIT);
    q = sea_bench_add_question(questions);
    *q = (struct sea_bench_question){
        .id = id, .id_is_number = true, .has_image = true, .gold = gold, .row = table->row,
        .prompt = make_prompt(record, cell(table, at, HINT), arena),
        .cluster = sea_arena_printf(arena, "%lld", index % ROTATION),
        .category = cell(table, at, CATEGORY), .extra = record,
        .inline_image = table->cells[at[IMAGE]], .inline_len = table->lens[at[IMAGE]],
    };
    q->category = q->category ? q->category : "";
    return SEA_OK;
}

struct key {
    const char *id;
    size_t index;
};

static int
by_id(const void *a, const void *b)
{
    return strcmp(((const struct key *)a)->id, ((const struct key *)b)->id);
}

/* Short picture cells name the row whose picture is meant. */
static enum sea_status
share_pictures(struct sea_bench_questions *questions, struct sea_err *err)
{
    struct key *keys = sea_xcalloc(questions->count + 1, sizeof(*keys));
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < questions->count; i++)
        keys[i] = (struct key){ questions->items[i].id, i };
    qsort(keys, questions->count, sizeof(*keys), by_id);
    for (size_t i = 0; i < questions->count && !status; i++) {
        struct sea_bench_question *q = &questions->items[i];
        char id[REUSED_IMAGE_MAX + 1];
        struct key key = { .id = id }, *found;

        if (q->inline_len > REUSED_IMAGE_MAX)
            continue;
        snprintf(id, sizeof(id), "%.*s", (int)q->inline_len, q->inline_image);
        found = bsearch(&key, keys, questions->count, sizeof(key), by_id);
        if (!found || questions->items[found->index].inline_len <= REUSED_IMAGE_MAX) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "file \"%s\", row %lld (index %s): column \"image\" is \"%s\", "
                              "expected base64 or the index of a row with a picture",
                              questions->path, (long long)q->row, q->id, id);
            break;
        }
        q->inline_image = questions->items[found->index].inline_image;
        q->inline_len = questions->items[found->index].inline_len;
    }
    free(keys);
    return status;
}

/* Keeps the first `limit` questions with all their rotations. */
static void
cut(struct sea_bench_questions *questions, int64_t limit)
{
    const char **clusters = sea_xcalloc(questions->count + 1, sizeof(char *));
    int64_t *number = sea_xcalloc(questions->count + 1, sizeof(*number));
    size_t kept = 0;

    for (size_t i = 0; i < questions->count; i++)
        clusters[i] = questions->items[i].cluster;
    sea_stats_number(clusters, questions->count, number);
    for (size_t i = 0; i < questions->count; i++)
        if (number[i] < limit)
            questions->items[kept++] = questions->items[i];
    questions->is_partial = kept < questions->count;
    questions->count = kept;
    free(clusters);
    free(number);
}

static enum sea_status
load(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err)
{
    struct table *table = sea_arena_alloc(questions->arena, 1, sizeof(*table));
    enum sea_status status;
    int at[COLUMNS];

    table->arena = questions->arena;
    sea_arena_on_reset(questions->arena, table_close, table);   /* pictures stay mapped */
    status = table_open(table, questions->path, err);
    if (!status)
        status = table_next(table, err);
    if (!status)
        status = find_columns(table, at, err);
    while (!status) {
        status = table_next(table, err);
        if (status || table->count == 0)
            break;
        if ((size_t)at[IMAGE] >= table->count) {
            status = sea_fail(err, SEA_E_FORMAT,
                              "file \"%s\", row %lld, line %lld: %zu cells, expected %d",
                              table->path, (long long)table->row, (long long)table->line,
                              table->count, at[IMAGE] + 1);
            break;
        }
        status = read_question(questions, table, at, err);
    }
    if (!status)
        status = share_pictures(questions, err);
    if (!status && limit)
        cut(questions, limit);
    return status;
}

/* ---- parsers ---- */

/* A letter alone, also with a period or in brackets, or exactly one option's text. */
static int
parse_exact(const char *text, const struct record *record)
{
    size_t n = strlen(text);

    sea_text_strip(&text, &n);
    if (n == 3 && text[0] == '(' && text[2] == ')') {
        text++;
        n = 1;
    }
    if (n == 2 && (text[1] == '.' || text[1] == ')' || text[1] == ':'))
        n = 1;
    if (n == 1 && text[0] >= 'A' && text[0] < 'A' + record->choices)
        return text[0] - 'A';
    for (int o = 0; o < record->choices; o++)
        if (strlen(record->options[o]) == n && strncasecmp(record->options[o], text, n) == 0)
            return o;
    return -1;
}

/* "answer is X", any case, asterisks around the letter allowed. */
static int
after_phrase(const char *text, int choices)
{
    static const char phrase[] = "answer is ";
    size_t n = sizeof(phrase) - 1;

    for (const char *at = text; *at; at++) {
        const char *letter = at + n;

        if (strncasecmp(at, phrase, n) != 0)
            continue;
        while (*letter == '*')
            letter++;
        if (toupper((unsigned char)*letter) >= 'A' &&
            toupper((unsigned char)*letter) < 'A' + choices)
            return toupper((unsigned char)*letter) - 'A';
    }
    return -1;
}

/* Exactly one option letter among the words, and its first place among the last four. */
static int
single_letter(const char *text, int choices)
{
    size_t count = 0, first = 0;
    int letter = -1;

    for (const char *at = text; *at;) {
        size_t n = strcspn(at, " \t\n\r.()[],:;!*#{}");

        if (n == 1 && *at >= 'A' && *at < 'A' + choices) {
            if (letter >= 0 && letter != *at - 'A')
                return -1;
            first = letter < 0 ? count : first;
            letter = *at - 'A';
        }
        count += n > 0;
        at += n + (at[n] != 0);
    }
    return letter >= 0 && first + 4 >= count ? letter : -1;
}

/* The answer, not longer than twice all options, contains exactly one option's text. */
static int
single_text(const char *text, const struct record *record)
{
    struct sea_buf lower, option;
    size_t total = 0;
    int found = -1, times = 0;

    for (int o = 0; o < record->choices; o++)
        total += strlen(record->options[o]);
    if (strlen(text) > 2 * total)
        return -1;
    sea_buf_init(&lower, 4 * strlen(text) + 64);
    sea_buf_init(&option, 4 * total + 64);
    sea_text_lower(text, &lower);
    for (int o = 0; o < record->choices; o++) {
        sea_text_lower(record->options[o], &option);
        if (strstr(lower.data, option.data)) {
            found = o;
            times++;
        }
    }
    sea_buf_release(&lower);
    sea_buf_release(&option);
    return times == 1 ? found : -1;
}

static int
parse_ladder(const char *text, const struct record *record)
{
    int letter = single_letter(text, record->choices);

    if (letter < 0)
        letter = after_phrase(text, record->choices);
    return letter >= 0 ? letter : single_text(text, record);
}

/* ---- scores ---- */

static const struct record *
record_of(const struct sea_bench_row *row)
{
    return row->question->extra;
}

static bool
is_unit(const struct sea_bench_row *row, const void *unused)
{
    (void)unused;
    return row->is_unit;
}

static const char *
group_of(const struct sea_bench_row *row)
{
    return row->is_unit ? record_of(row)->group : NULL;
}

static const char *
category_of(const struct sea_bench_row *row)
{
    return row->is_unit ? row->question->category : NULL;
}

/* The first pass of each question stands for it: its score becomes "every pass right". */
static void
join_passes(struct sea_bench_scoring *s)
{
    size_t *unit = sea_xcalloc(s->count + 1, sizeof(*unit));
    bool *seen = sea_xcalloc(s->count + 1, sizeof(*seen)),
         *wrong = sea_xcalloc(s->count + 1, sizeof(*wrong));

    for (size_t i = 0; i < s->count; i++) {
        size_t c = (size_t)s->cluster[i];

        wrong[c] |= s->rows[i].score == 0;
        s->rows[i].is_unit = false;
        if (!seen[c] || record_of(&s->rows[i])->pass < record_of(&s->rows[unit[c]])->pass)
            unit[c] = i;
        seen[c] = true;
    }
    for (size_t c = 0; c < s->count && seen[c]; c++) {
        s->rows[unit[c]].is_unit = true;
        s->rows[unit[c]].score = !wrong[c];
    }
    free(unit);
    free(seen);
    free(wrong);
}

/* Accuracy of the passes number 0 alone: the number that is uploaded by mistake. */
static void
add_vanilla(struct sea_bench_scoring *s)
{
    int64_t *which = sea_xcalloc(s->count + 1, sizeof(*which));
    double *right = sea_xcalloc(s->count + 1, sizeof(*right));
    size_t n = 0;

    for (size_t i = 0; i < s->count; i++)
        if (record_of(&s->rows[i])->pass == 0) {
            right[n] = s->rows[i].gold[0] && strcmp(s->rows[i].parsed, s->rows[i].gold) == 0;
            which[n++] = (int64_t)i;
        }
    if (n)
        sea_bench_add_mean(s, "vanilla_accuracy", right, which, n);
    free(which);
    free(right);
}

static enum sea_status
score(struct sea_bench_scoring *s, struct sea_err *err)
{
    bool exact = strcmp(s->variant, "exact") == 0;

    for (size_t i = 0; i < s->count; i++) {
        struct sea_bench_row *row = &s->rows[i];
        int letter = exact ? parse_exact(row->text, record_of(row))
                           : parse_ladder(row->text, record_of(row));

        if (!row->question->gold) {
            enum sea_status status =
                sea_fail(err, SEA_E_FORMAT,
                         "question \"%s\" of \"%s\" has no answer in column \"answer\"",
                         row->question->id, s->questions->path);

            sea_hint(err, "Answers of the test split are not public; use the dev split, or "
                     "export the answers for the server.");
            return status;
        }
        row->gold = row->question->gold;
        row->is_failed = letter < 0;
        row->parsed = letter < 0 ? "" : sea_arena_printf(s->arena, "%c", 'A' + letter);
        row->score = letter == row->gold[0] - 'A';
    }
    join_passes(s);
    sea_bench_add_score(s, "circular_accuracy", is_unit, NULL);
    add_vanilla(s);
    sea_bench_add_groups(s, "l2", group_of);
    sea_bench_add_groups(s, "category", category_of);
    return SEA_OK;
}

static void
add_cell(struct sea_buf *out, const char *text, const char *tail)
{
    if (text && strpbrk(text, "\t\n\r\"")) {
        sea_buf_puts(out, "\"");
        for (; *text; text++) {
            if (*text == '"')
                sea_buf_puts(out, "\"");
            sea_buf_add(out, text, 1);
        }
        sea_buf_puts(out, "\"");
    } else if (text) {
        sea_buf_puts(out, text);
    }
    sea_buf_puts(out, tail);
}

/* The columns that the server wants, as TSV. */
static enum sea_status
dump(struct sea_bench_scoring *s, struct sea_buf *out, struct sea_err *err)
{
    (void)err;
    sea_buf_puts(out, "index\tquestion\tA\tB\tC\tD\tprediction\tanswer\tsplit\n");
    for (size_t i = 0; i < s->count; i++) {
        const struct sea_bench_row *row = &s->rows[i];
        const struct record *record = record_of(row);

        add_cell(out, row->question->id, "\t");
        add_cell(out, record->question, "\t");
        for (int o = 0; o < OPTIONS; o++)
            add_cell(out, o < record->choices ? record->options[o] : NULL, "\t");
        add_cell(out, row->text, "\t");
        add_cell(out, row->question->gold, "\t");
        add_cell(out, record->split, "\n");
    }
    return SEA_OK;
}

const struct sea_bench sea_bench_mmbench = {
    .name = "mmbench",
    .about = "multiple choice, right only in every rotation of the options",
    .headline = "circular_accuracy",
    .scorer = "mmbench-circular",
    .prompt = "llava-1.5",
    .max_new_tokens = 1024,
    .questions_path = "mmbench_dev_20230712.tsv",
    .export_name = "mmbench_upload.tsv",
    .load = load,
    .score = score,
    .dump = dump,
};
