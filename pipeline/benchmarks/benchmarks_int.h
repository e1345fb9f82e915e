/* SPDX-License-Identifier: Apache-2.0 */
/* benchmarks_int.h - what the files of the benchmarks share */
#ifndef SEA_BENCHMARKS_INT_H
#define SEA_BENCHMARKS_INT_H

#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_judge.h"
#include "pipeline/sea_records.h"
#include "pipeline/sea_stats.h"

#define SEA_BENCH_LEVEL 0.95
#define SEA_BENCH_RESAMPLES 1000
#define SEA_BENCH_SHORT "\nAnswer the question using a single word or phrase."
#define SEA_BENCH_LETTER \
    "\nAnswer with the option's letter from the given choices directly."

/* ---- one scoring ---- */

struct sea_bench_scoring {      /* filled before bench->score is called */
    const struct sea_bench *bench;
    const struct sea_bench_questions *questions;
    const struct sea_bench_options *options;
    const char *variant;        /* "" when the benchmark has none */
    const char *const *annotations;
    size_t annotations_count;
    struct sea_arena *arena;
    struct sea_hash *hash;      /* of the annotation files that were read */
    struct sea_bench_row *rows; /* text and is_missing are set */
    const char **prompts;       /* of the answers; NULL: the answer has none */
    int64_t *cluster;           /* numbers of the questions' clusters */
    size_t count;
    struct sea_bench_metric *metrics;
    size_t metrics_count, metrics_room;
    void *reading;              /* answers.c */
    void *extra;                /* the benchmark's own */
    const char *prompts_path;   /* of the grading prompts; NULL: not given */
    struct sea_node *judge;     /* judged.c; NULL: no judge */
    const char *reviews;        /* gradings made earlier; NULL: none */
    int64_t unanswered;         /* items that no judge's reply was to be had for */
};

/* Reads an answer file and fills text, is_missing and prompts. */
SEA_MUST_CHECK enum sea_status
sea_bench_answers_read(struct sea_bench_scoring *scoring, const char *path,
                       struct sea_err *err);

/* Path of the annotation file called name: a file of the list whose last part is name, or a
 * file of this name in a folder of the list (also below sub, which may be NULL). any_name: a
 * list of one file is that file, whatever its name. The bytes enter the annotations' digest.
 * SEA_E_MISSING when there is none. */
SEA_MUST_CHECK enum sea_status
sea_bench_annotation(struct sea_bench_scoring *scoring, const char *name, const char *sub,
                     bool any_name, char path[SEA_PATH_MAX], struct sea_err *err);
/* The same, but false when there is none. */
bool sea_bench_annotation_find(const struct sea_bench_scoring *scoring, const char *name,
                               const char *sub, char path[SEA_PATH_MAX]);
SEA_MUST_CHECK enum sea_status
sea_bench_annotation_hash(struct sea_bench_scoring *scoring, const char *path,
                          struct sea_err *err);

/* Gives answer text (and prompt, which may be NULL) to the question of this key. False: there
 * is none, or it has its answer. Used by read_answers; sea_bench_answers_read checks that all
 * questions have theirs. */
bool sea_bench_answer_take(struct sea_bench_scoring *scoring, const char *key, const char *text,
                           size_t len, const char *prompt);

/* ---- metrics: the pointers are valid until the next metric is added ---- */

/* Mean of values[i] over rows which[i]; as a share (0/1 values) or a mean of scores. */
struct sea_bench_metric *
sea_bench_add_mean(struct sea_bench_scoring *scoring, const char *name, const double *values,
                   const int64_t *which, size_t n);
/* An export: the list of {ID_KEY: id, TEXT_KEY: answer as given}, a row a line; an id is a
 * number where the question file has one. */
void sea_bench_dump_texts(const struct sea_bench_scoring *scoring, const char *id_key,
                          const char *text_key, struct sea_buf *out);
/* The same as one map {key: answer as given}: the member dump of benchmarks that publish it so. */
SEA_MUST_CHECK enum sea_status
sea_bench_dump_map(struct sea_bench_scoring *scoring, struct sea_buf *out, struct sea_err *err);
/* Mean score of the rows for which keep(row, arg) holds; nothing is added when there are
 * none and name is optional. */
typedef bool sea_bench_keep_fn(const struct sea_bench_row *row, const void *arg);
void sea_bench_add_score(struct sea_bench_scoring *scoring, const char *name,
                         sea_bench_keep_fn *keep, const void *arg);
/* A metric that is no mean, over rows which[0..n-1]; interval by bootstrap over clusters. */
struct sea_bench_metric *
sea_bench_add_metric(struct sea_bench_scoring *scoring, const char *name,
                     sea_stats_metric_fn *metric, const int64_t *which, size_t n);
/* The same over all units. */
struct sea_bench_metric *
sea_bench_add_metric_all(struct sea_bench_scoring *scoring, const char *name,
                         sea_stats_metric_fn *metric);
bool sea_bench_is_any(const struct sea_bench_row *row, const void *unused);
bool sea_bench_is_unit(const struct sea_bench_row *row, const void *unused);
/* The row's gold answer is yes or no, in any case. */
bool sea_bench_is_yes_no(const struct sea_bench_row *row, const void *unused);
const char *sea_bench_category_of(const struct sea_bench_row *row);     /* of units */
/* One metric per value of text(row), named PREFIX/VALUE, in order of first appearance. */
typedef const char *sea_bench_text_fn(const struct sea_bench_row *row);
void sea_bench_add_groups(struct sea_bench_scoring *scoring, const char *prefix,
                          sea_bench_text_fn *text);
/* Share of rows whose parsed answer is "yes", among rows that keep holds for. */
void sea_bench_add_yes_share(struct sea_bench_scoring *scoring, const char *name,
                             sea_bench_keep_fn *keep, const void *arg);

/* ---- rows of published files ---- */

/*
 * JSON Lines, a JSON list, one JSON object ({id: record}, {id: text}, or a list below one of
 * `members`), TSV or CSV, a spreadsheet, Parquet. rows.path, index and line serve messages, as
 * in sea_records_fail.
 */
struct sea_bench_table {
    struct sea_records rows;
    struct sea_arena *arena;    /* of what lives as long as the table */
    bool is_cells, is_document, is_keyed, keeps_map;
    char mark;                  /* between cells */
    const char **columns;
    size_t columns_count;
    int image_column;
    int64_t lines;
    struct sea_node *next;
    const char *key;            /* of a map's record; NULL elsewhere */
    const char *image;          /* the cell "image", borrowed from the file; len 0: none */
    size_t image_len;
    struct sea_hub *hub;        /* of Parquet (hub.c) */
    const struct sea_node *picture;     /* the row's, of Parquet */
};
SEA_MUST_CHECK enum sea_status
sea_bench_table_open(struct sea_bench_table *table, const char *path,
                     const char *const *members, struct sea_arena *arena, struct sea_err *err);
/* *row is NULL at the end; it lives in arena or in the table's. */
SEA_MUST_CHECK enum sea_status
sea_bench_table_next(struct sea_bench_table *table, struct sea_arena *arena,
                     struct sea_node **row, struct sea_err *err);
/* A TSV or CSV has this column; anything else is fine. */
SEA_MUST_CHECK enum sea_status
sea_bench_need_column(const struct sea_bench_table *table, const char *name,
                      struct sea_err *err);
void sea_bench_table_close(struct sea_bench_table *table);      /* accepts NULL */

/* Calls fn for every row of a file; scratch lives until the last. count: of rows; may be NULL. */
typedef enum sea_status
sea_bench_each_fn(void *arg, const struct sea_bench_table *table, const struct sea_node *row,
                  struct sea_arena *scratch, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_bench_each_row(const char *path, const char *const *members, sea_bench_each_fn *fn, void *arg,
                   int64_t *count, struct sea_err *err);

#define SEA_BENCH_ID_FIELDS \
    "question_id questionId id index image_id pid data_id idx Index image"

/* The first of the fields (names with blanks between) that is there and neither null nor "".
 * text: also numbers, as text; NULL: none. cell: NULL also for what pandas reads as missing
 * ("nan", "None", "N/A", ...), which options and hints of tables hold. */
const struct sea_node *sea_bench_field(const struct sea_node *row, const char *names);
const char *sea_bench_field_text(const struct sea_node *row, const char *names,
                                 struct sea_arena *arena);
const char *sea_bench_cell_text(const struct sea_node *row, const char *names,
                                struct sea_arena *arena);
/* The same where it must be there; messages name the first of the names. */
SEA_MUST_CHECK enum sea_status
sea_bench_need_text(const struct sea_bench_table *table, const struct sea_node *row,
                    const char *id, const char *names, struct sea_arena *arena,
                    const char **out, struct sea_err *err);
/* Fills id and id_is_number; a map's key stands in for a missing id. */
SEA_MUST_CHECK enum sea_status
sea_bench_need_id(const struct sea_bench_table *table, const struct sea_node *row,
                  const char *names, struct sea_bench_question *question,
                  struct sea_arena *arena, struct sea_err *err);
/* Fills the picture's fields, from the table's cell "image" or from a field that holds a
 * name, base64, or {"path"}; a row without a picture is fine. */
SEA_MUST_CHECK enum sea_status
sea_bench_need_image(const struct sea_bench_table *table, const struct sea_node *row,
                     const char *names, struct sea_bench_question *question,
                     struct sea_arena *arena, struct sea_err *err);

/* ---- Parquet (hub.c) ---- */

/* Before the first row; does nothing when the table is not Parquet. */
SEA_MUST_CHECK enum sea_status
sea_hub_open(struct sea_bench_questions *questions, struct sea_bench_table *table,
             struct sea_err *err);
/* Brings a row into the form that the benchmark's reader takes. */
void sea_hub_row(struct sea_bench_table *table, struct sea_node *row, struct sea_arena *arena);
/* Gives the question its picture; false: the row has none inside. */
bool sea_hub_image(const struct sea_bench_table *table, const struct sea_node *row,
                   struct sea_bench_question *question, struct sea_arena *arena);
/* Decodes a stored picture. */
SEA_MUST_CHECK enum sea_status
sea_hub_load(const struct sea_bench_question *question, struct sea_image *out,
             struct sea_err *err);
/* sea_json_load, or the rows of Parquet as {id: row}. */
SEA_MUST_CHECK enum sea_status
sea_hub_document(const char *path, size_t bytes_max, struct sea_arena *arena,
                 struct sea_node **top, struct sea_err *err);

/* ---- question files ---- */

/* What load does where there is only take_row. */
SEA_MUST_CHECK enum sea_status
sea_bench_load_rows(struct sea_bench_questions *questions, int64_t limit, sea_bench_row_fn *take,
                    struct sea_err *err);
/* LLaVA's JSON Lines {"question_id", "image", "text", "category"}. */
SEA_MUST_CHECK enum sea_status
sea_bench_load_lines(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err);
/* Keeps the questions of the first so many clusters. */
void sea_bench_cut(struct sea_bench_questions *questions, int64_t limit);
/* Room for one question more. */
struct sea_bench_question *sea_bench_add_question(struct sea_bench_questions *questions);
/* The question without the suffix that LLaVA appends: up to the first newline. */
const char *sea_bench_bare_question(const struct sea_bench_question *question,
                                    struct sea_arena *arena);
static inline const char *
sea_bench_key(const struct sea_bench_question *question)
{
    return question->key ? question->key : question->id;
}
/* The question with this key, NULL when there is none; sorts on the first call. */
struct sea_bench_lookup {
    const struct sea_bench_questions *questions;
    const size_t *order;
    bool by_image, by_id;       /* look for pictures' names, or ids, instead */
};
void sea_bench_lookup_init(struct sea_bench_lookup *lookup,
                           const struct sea_bench_questions *questions, bool by_image,
                           struct sea_arena *arena);
void sea_bench_lookup_ids(struct sea_bench_lookup *lookup,
                          const struct sea_bench_questions *questions, struct sea_arena *arena);
/* Index of the nth question of this key, or -1. */
int64_t sea_bench_lookup_find(const struct sea_bench_lookup *lookup, const char *key, size_t nth);

/* For each row of the scoring the member of map that its question's id names, or NULL; in the
 * arena. One pass: sea_node_get would look through all members for every question. */
const struct sea_node *const *
sea_bench_members(const struct sea_bench_scoring *scoring, const struct sea_node *map,
                  struct sea_arena *arena);

/* What readers of annotations need: the argument of their sea_bench_each_fn. */
struct sea_bench_notes {
    struct sea_bench_scoring *s;
    struct sea_bench_lookup lookup;
};

/* ---- multiple choice ---- */

#define SEA_CHOICES_MAX 26
struct sea_choice {
    const char *options[SEA_CHOICES_MAX];       /* NULL: unknown */
    int count;
    int answer;                 /* -1: not known */
};
/* Options from cells A, B, ..., from a list "options" or "choices" (also as the text of a
 * Python list), or from choice_a, choice_b, ... They end at the first missing one. */
void sea_choice_read(struct sea_choice *choice, const struct sea_node *row,
                     struct sea_arena *arena);
/* The right one: a letter, "(A)", or an index when from_index. -1: none of the options. */
int sea_choice_answer(const struct sea_choice *choice, const struct sea_node *row,
                      const char *names, bool from_index);
/* "\nA. x\nB. y" appended; "(A) x" when bracketed. */
void sea_choice_list(const struct sea_choice *choice, bool bracketed, struct sea_buf *out);
/* Question, options and suffix as an arena copy. */
const char *sea_choice_prompt(const struct sea_choice *choice, const char *question,
                              bool bracketed, const char *suffix, struct sea_arena *arena);
/* A parser of answers: the option meant, or a negative number. */
typedef int sea_choice_parser(const char *text, const struct sea_choice *choice);
/* "letter" "first" "exact" "ladder" "tokens" "extract" "static" "mmmu" "start"; README.md has
 * the rules. */
sea_choice_parser *sea_choice_find(const char *name);
/* Parses a row's answer with the scoring's variant, fills parsed, gold, score, is_failed. */
void sea_choice_score(struct sea_bench_scoring *scoring, struct sea_bench_row *row,
                      const struct sea_choice *choice, const char *parser);

/* ---- text ---- */

/* Python's str.lower and str.strip for valid UTF-8; out is cleared first. */
void sea_text_lower(const char *text, struct sea_buf *out);
void sea_text_strip(const char **text, size_t *len);
bool sea_text_is_space(uint32_t code);          /* as str.split sees it */
bool sea_text_is_letter(uint32_t code);
bool sea_text_is_digit(uint32_t code);          /* \d of Python 3 */
bool sea_text_is_word(uint32_t code);           /* \w of Python 3 */
uint32_t sea_text_next(const char **at);        /* one code point; 0 at the end */
bool sea_text_is_valid(const char *text, size_t len);   /* UTF-8 without 0 bytes */
/* Length of the valid UTF-8 sequence at text, 0 when there is none. */
size_t sea_text_valid_length(const char *text, size_t left);
int sea_text_digit(uint32_t code);              /* value of a \d */
size_t sea_text_length(const char *text);       /* code points */
size_t sea_text_upper_length(const char *text);     /* of str.upper's result */
size_t sea_text_distance(const char *one, const char *two);     /* Levenshtein */
/* Best 1 - distance / length over the gold answers, 0 below the threshold; white space is
 * collapsed for the distance and counts in the length. */
double sea_text_anls(const char *const *golds, size_t count, const char *text, double threshold,
                     struct sea_arena *arena);
/* Lower case, stripped, as an arena copy; either can be left out. */
const char *sea_text_tidy(const char *text, bool lower, bool strip, struct sea_arena *arena);
/* The text through a normaliser, as an arena copy. */
const char *sea_vqa_copy(enum sea_vqa_variant variant, const char *text, struct sea_arena *arena);
/* The steps of SEA_VQA_OFF that treat punctuation marks and periods, which VLMEvalKit's yes or
 * no takes over; out is cleared first. */
void sea_vqa_marks(const char *text, struct sea_buf *out);
/* yes and no as VLMEvalKit tells them: "yes", "no", or "" when neither or both stand there. */
const char *sea_text_yes_no(const char *text, struct sea_arena *arena);
/* Mean over people of min(1, m / 3), m: how many others said the same as text. */
double sea_vqa_agreement(const char *const *answers, size_t count, const char *text);
/* Text as an arena copy whose 0 bytes are blanks. */
const char *sea_text_copy(struct sea_arena *arena, const char *text, size_t len);
/* How many options "A. x" stand in lines of text, A first, no gaps. */
size_t sea_text_options(const char *text, const char **first);

/* ---- captions ---- */

/* Words as the official scorers' tokenizer leaves them: lowered, contractions apart, without
 * the marks that they drop; blanks between. out is cleared first. */
void sea_caption_words(const char *text, struct sea_buf *out);

struct sea_caption {            /* one picture's */
    const char *said;           /* through sea_caption_words, as are the references */
    const char **references;
    size_t count;
};
struct sea_caption_scores {     /* each over the set */
    double bleu[4];             /* corpus BLEU-1 to BLEU-4 */
    double *rouge, *cider;      // (n) caller's, one per picture
};
/* CIDEr-D takes its document frequencies from this set. */
void sea_caption_score(const struct sea_caption *captions, size_t n,
                       struct sea_caption_scores *out);

/* ---- judged benchmarks (judged.c) ---- */

struct sea_grade {              /* of one item in one run */
    double values[2];
    const char *reply;          /* the judge's last words; NULL: none came */
    const char *model;          /* who said them; "" */
    const char *trouble;        /* why none came; NULL */
    bool is_valid;
};
struct sea_grading {
    const char *prompts_digest; /* of all texts that come from the user's files */
    const void *prompts;        /* the benchmark's own */
    int tries;                  /* replies asked for until one can be parsed */
    /* The request for row i; called in several threads. */
    void (*ask)(const struct sea_bench_scoring *scoring, const struct sea_grading *grading,
                size_t i, int attempt, struct sea_arena *arena, struct sea_judge_ask *out);
    bool (*parse)(const char *reply, double values[2], struct sea_arena *arena);
    int64_t runs;
    struct sea_grade *grades;   // (runs, rows)
};
static inline struct sea_grade *
sea_grade_at(const struct sea_bench_scoring *s, const struct sea_grading *grading, int64_t run,
             size_t i)
{
    return &grading->grades[(size_t)run * s->count + i];
}
/* Asks the judge about every row and every run; fills runs and grades. SEA_E_CONFIG: there is
 * no judge; SEA_E_MISSING: offline, and the cache lacks replies. */
SEA_MUST_CHECK enum sea_status
sea_bench_grade(struct sea_bench_scoring *scoring, struct sea_grading *grading,
                struct sea_err *err);
/* Room for grades that a file holds. */
void sea_bench_grades_alloc(struct sea_bench_scoring *scoring, struct sea_grading *grading,
                            int64_t runs);
/* Fills the rows' judged, parsed and is_failed, and who judged. */
void sea_bench_grades_finish(struct sea_bench_scoring *scoring,
                             const struct sea_grading *grading);

/* Path of the first of the names (NULL at the end) below the user's grading prompts; the
 * prompts may be one file with one of these names. SEA_E_MISSING with what was looked for. */
SEA_MUST_CHECK enum sea_status
sea_judged_file(const struct sea_bench_scoring *scoring, const char *const *names,
                char path[SEA_PATH_MAX], struct sea_err *err);
/* The text of a file; of a notebook (.ipynb) its code. */
SEA_MUST_CHECK enum sea_status
sea_judged_text(const char *path, struct sea_arena *arena, const char **out, struct sea_err *err);
/* Literals of Python code in their order: *at moves behind the next one, whose value is
 * returned; NULL at the end. */
const char *sea_py_literal(const char **at, struct sea_arena *arena);
/* Value of `name = "..."` at the begin of a line; NULL: there is none. */
const char *sea_py_assigned(const char *code, const char *name, struct sea_arena *arena);

/* ---- Python's numbers and lists ---- */
bool sea_py_int(const char *text, int64_t *out);        /* false: int() would raise */
bool sea_py_float(const char *text, double *out);
double sea_py_round(double value, int digits);          /* half to even on the binary value */
const char *sea_py_float_text(double value, struct sea_arena *arena);   /* str(float) */
struct sea_py_texts {
    const char **at;
    size_t count;
};
/* random.seed(seed), and the draw in random.choice of n things: one of 0 to n - 1. */
#define SEA_PY_RANDOM_WORDS 624
struct sea_py_random {
    uint32_t word[SEA_PY_RANDOM_WORDS], next;
};
void sea_py_random_seed(struct sea_py_random *random, uint32_t seed);
uint32_t sea_py_random_below(struct sea_py_random *random, uint32_t n);
/* The text of a Python list of texts or numbers; false when it is none. */
bool sea_py_list(const char *text, struct sea_arena *arena, struct sea_py_texts *out);
/* The files of a folder that holds answers (or questions) in parts: LLaVA's chunks or what was
 * merged of them, MMMU's SUBJECT/output.json. SEA_E_MISSING: none of these. */
SEA_MUST_CHECK enum sea_status
sea_bench_parts(const char *folder, struct sea_arena *arena, struct sea_py_texts *out,
                struct sea_err *err);
/* A node as texts: a list, the text of a list, or one text or number. */
void sea_py_texts_of(const struct sea_node *node, struct sea_arena *arena,
                     struct sea_py_texts *out);

/* MMMU's open answers: whether one that the text may mean is among those accepted. parsed: the
 * first that it may mean. */
bool sea_mmmu_open(const char *text, const struct sea_py_texts *accepted, struct sea_arena *arena,
                   const char **parsed);

/* The benchmarks; benchmark.c has them in the order of tables. */
#define SEA_BENCHES(X) \
    X(vqav2) X(gqa) X(vizwiz) X(scienceqa) X(textvqa) X(textvqa_plain) X(pope) X(mme) X(mmbench) \
    X(mmbench_cn) X(seed) X(mmmu) X(coco_caption) X(nocaps) X(flickr30k) X(ai2d) \
    X(mmstar) X(realworldqa) X(cvbench) X(mmvp) X(chartqa) X(docvqa) X(ocrbench) X(mathvista) \
    X(hallusion) X(capsbench) X(dogs) X(mmvet) X(llava_bench)
#define X(name) extern const struct sea_bench sea_bench_##name;
SEA_BENCHES(X)
#undef X

#endif
