/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_benchmark.h - benchmarks: questions, answers and scores, in the published formats
 *
 * One const table entry per benchmark says how its question file is read, how answers are
 * parsed and what is reported; pipeline/benchmarks/README.md lists files and rules. The same
 * functions serve the eval stage (which makes the answers) and `sea score` (which takes an
 * existing answer file). docs/benchmarks.md tells users what each needs and how it scores.
 *
 * Invariants: (1) answers are joined to questions by a key that is unique (the id, or id and
 *                 question where ids repeat), never by position; the order of an answer file
 *                 changes nothing. Only POPE's own answer files, which have no ids, go by
 *                 line, and every line is compared;
 *             (2) missing, doubled and unknown ids are refused with their numbers and first
 *                 names (SEA_E_FORMAT); only missing ones can be allowed, they count as empty
 *                 answers;
 *             (3) label files must match the questions row by row where the benchmark joins
 *                 them so (POPE): counts and the first differing row are in the error;
 *             (4) values are fractions at full precision; tables show value * scale;
 *             (5) a result of part of the questions says complete = false.
 */
#ifndef SEA_BENCHMARK_H
#define SEA_BENCHMARK_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"
#include "engine/sea_image.h"

struct sea_bench_question;
struct sea_bench_questions;
struct sea_bench_scoring;
struct sea_bench_table;
struct sea_judge;
struct sea_parquet;

/* Fills one question from a row; leaves its id NULL when the row is not to be asked. A
 * cluster that is not set becomes the picture's name. */
typedef enum sea_status
sea_bench_row_fn(struct sea_bench_questions *questions, const struct sea_bench_table *table,
                 const struct sea_node *row, struct sea_bench_question *question,
                 struct sea_err *err);

struct sea_bench {              /* a benchmark; see benchmarks/benchmarks_int.h for the rest */
    const char *name;           /* "pope" */
    const char *about;          /* one line for people */
    const char *headline;       /* name of the metric that stands for it in tables */
    const char *scorer, *prompt;        /* names of the rules, part of every result */
    const char *suffix;         /* what the asked texts end with; a suite can replace it */
    const char *licence;        /* of the data, as far as we know; one line for people */
    const char *const *variants;        /* names of scorer variants, the default first, NULL at
                                           the end; NULL: there is one way only */
    int max_new_tokens;
    bool needs_annotations;     /* gold answers lie in files of their own */
    bool keys_repeat;           /* equal keys are told apart by their order */
    bool takes_folder;          /* questions can be a folder */
    bool needs_judge;           /* a model grades the answers */
    /* Paths below the benchmark's published folder; annotations may be NULL. */
    const char *questions_path, *annotations_path, *images_path;
    const char *export_name;    /* file (or folder) of sea_bench_export, NULL: none */
    sea_bench_row_fn *take_row; /* a row of the question file, or load where that is not all */
    enum sea_status (*load)(struct sea_bench_questions *questions, int64_t limit,
                            struct sea_err *err);
    enum sea_status (*score)(struct sea_bench_scoring *scoring, struct sea_err *err);
    enum sea_status (*dump)(struct sea_bench_scoring *scoring, struct sea_buf *out,
                            struct sea_err *err);
    /* Instead of dump where an export is a folder: its file number k; *name is NULL behind the
     * last one. */
    enum sea_status (*dump_file)(struct sea_bench_scoring *scoring, size_t k, const char **name,
                                 struct sea_buf *out, struct sea_err *err);
    /* The key of an answer with this id and prompt (which can be NULL); NULL: none can be
     * made. NULL instead of a function: the id. */
    const char *(*answer_key)(const char *id, const char *prompt, struct sea_arena *arena);
    const char *answer_fields;  /* names of an answer's text, the first there counts; NULL: the
                                   usual ones */
    /* SHA-256 of the grading prompts that scoring->prompts_path holds; with needs_judge. */
    enum sea_status (*prompts_digest)(struct sea_bench_scoring *scoring,
                                      char out[SEA_SHA256_TEXT], struct sea_err *err);
    /* Reads answer files in a form of the benchmark's own; *done false: it is none. */
    enum sea_status (*read_answers)(struct sea_bench_scoring *scoring, const char *path,
                                    bool *done, struct sea_err *err);
};
/* NULL at the end; the order is that of tables. */
const struct sea_bench *sea_bench_at(size_t i);
/* SEA_E_CONFIG with the name that is spelled most like it. */
SEA_MUST_CHECK enum sea_status
sea_bench_find(const char *name, const struct sea_bench **out, struct sea_err *err);

/* ---- questions ---- */

struct sea_bench_stored {       /* a picture that lies in a Parquet file */
    struct sea_parquet *parquet;        /* as long as the questions */
    int64_t row, cell;
};
struct sea_bench_question {
    const char *id;             /* as text */
    const char *key;            /* what answers are joined by; NULL: the id */
    bool id_is_number;          /* how the file writes it; kept in answer files */
    const char *prompt;         /* what the model is asked, with suffix, without image tag */
    const char *answer_prompt;  /* field "prompt" of an answer file; NULL: prompt */
    const char *image;          /* name below the folder of images; NULL: see has_image */
    bool has_image;             /* image NULL and this true: the picture is in the file */
    const char *inline_image;   /* its base64 text, borrowed from the file */
    size_t inline_len;
    const struct sea_bench_stored *stored;      /* NULL: it does not */
    const char *picture;        /* its name where image is NULL: equal names, one picture; NULL: it
                                   is this question's own */
    const char *cluster;        /* group for clustered errors: picture, or question group */
    const char *category;       /* "" when the file has none */
    const char *gold;           /* NULL when gold answers come with the annotations */
    int64_t row;                /* of the file, from 0 */
    void *extra;                /* the benchmark's own */
};
struct sea_bench_questions {    /* read freely; lives in its arena */
    const struct sea_bench *bench;
    struct sea_arena *arena;
    const char *path;
    char digest[SEA_SHA256_TEXT];       /* of the file */
    struct sea_bench_question *items;
    size_t count;
    bool is_partial;            /* cut by limit */
    const size_t *order;        // (count) by key, then by row
};
/* limit 0: all questions; else the first so many (of each group, where groups belong
 * together). */
SEA_MUST_CHECK enum sea_status
sea_bench_questions_load(const struct sea_bench *bench, const char *path, int64_t limit,
                         struct sea_arena *arena, struct sea_bench_questions *out,
                         struct sea_err *err);
/* How a suite asks otherwise than the benchmark does; NULL: as it does. */
struct sea_bench_ask {
    const char *prefix;         /* put before every text */
    const char *suffix;         /* put in the place of the benchmark's */
};
/* SEA_E_CONFIG when the texts do not end in the benchmark's suffix, or when answers could not
 * be joined any more. */
SEA_MUST_CHECK enum sea_status
sea_bench_questions_ask(struct sea_bench_questions *questions, const struct sea_bench_ask *ask,
                        struct sea_err *err);
/* Decodes a question's picture. images: folder, NULL when no question names a file. */
SEA_MUST_CHECK enum sea_status
sea_bench_image_load(const struct sea_bench_question *question, const char *images,
                     struct sea_image *out, struct sea_err *err);
/* All pictures that the questions name exist: SEA_E_MISSING with the number of those that
 * do not. */
SEA_MUST_CHECK enum sea_status
sea_bench_images_check(const struct sea_bench_questions *questions, const char *images,
                       struct sea_err *err);

/* ---- answers: LLaVA's JSON Lines ---- */

/* Appends a line {"question_id", "prompt", "text", "answer_id", "model_id", "metadata"}.
 * answer_id is made from id and text, so equal runs write equal files. Invalid UTF-8 in text
 * becomes U+FFFD. */
void sea_bench_answer_write(struct sea_buf *buf, const struct sea_bench_question *question,
                            const char *text, size_t len, const char *model_id);

/* ---- scores ---- */

struct sea_bench_options {      /* all zero is the default */
    bool allow_missing;         /* missing answers count as empty ones */
    int64_t limit;              /* as in questions_load */
    const char *variant;        /* scorer variant; NULL: the benchmark's first */
    const char *prompt;         /* name of the prompt variant; NULL: the benchmark's */
    uint64_t seed;              /* of the bootstrap */
    int resamples;              /* 0: 1000 */
    struct sea_judge *judge;    /* of benchmarks that need one; borrowed */
    const char *reviews;        /* file of gradings made earlier, in the place of a judge */
};

struct sea_bench_metric {
    const char *name;           /* "accuracy", "random/f1", "yes_share", ... */
    double value;               /* NaN: not defined (no yes was predicted, say) */
    double scale;               /* 100 for percent */
    int64_t n, clusters;        /* the denominator */
    double se, clustered_se;    /* NaN where there is none */
    double low, high;           /* 95 % */
    const char *interval;       /* "wilson", "t", "bootstrap", "" */
};

struct sea_bench_row {
    const struct sea_bench_question *question;
    const char *text;           /* the answer as given, without thoughts */
    const char *thoughts;       /* "<think>...</think>" in front of it; NULL: none */
    const char *asked;          /* the answer's field "prompt"; NULL: it has none */
    const char *parsed;         /* what the scorer made of it; "" when nothing */
    const char *gold;
    double score;               /* 0 to 1 */
    bool is_unit;               /* the headline is about these rows' scores */
    bool is_missing, is_failed; /* no answer; could not be parsed */
    bool is_extracted;          /* text is what an earlier step took out of the answer */
    const char *const *judged;  /* the judge's words, one per run; NULL: none came */
    size_t judged_count;
};

struct sea_bench_result {
    const struct sea_bench *bench;
    const char *variant, *prompt;
    struct sea_bench_metric *metrics;   /* the headline first */
    size_t metrics_count;
    struct sea_bench_row *rows;         /* in the order of the question file */
    size_t rows_count;
    int64_t missing, failed;
    bool complete;              /* all questions of the file, none missing */
    char questions_digest[SEA_SHA256_TEXT], annotations_digest[SEA_SHA256_TEXT];
    struct sea_node *judge;     /* who judged, what it took; NULL: nobody did */
    int64_t unanswered;         /* items without a judge's reply; they make it incomplete */
};

/*
 * Scores an answer file. name: of the benchmark. annotations: label files, or one folder
 * that holds them; see benchmarks/README.md. SEA_E_CONFIG: unknown name or variant;
 * SEA_E_MISSING, SEA_E_FORMAT: files, with row and reason.
 */
SEA_MUST_CHECK enum sea_status
sea_bench_score(const char *name, const char *questions, const char *answers,
                const char *const *annotations, size_t annotations_count,
                const struct sea_bench_options *options, struct sea_arena *arena,
                struct sea_bench_result *out, struct sea_err *err);
/* SHA-256 of the grading prompts of a benchmark that needs_judge, as results show it: of the
 * texts, whatever file holds them. path: file or folder; NULL is an error, too. */
SEA_MUST_CHECK enum sea_status
sea_bench_prompts_digest(const struct sea_bench *bench, const char *path,
                         char out[SEA_SHA256_TEXT], struct sea_err *err);
/* The answers in the form that the benchmark's server or official script takes; gold answers
 * are not needed. answers is checked as in score. SEA_E_CONFIG when the benchmark has no such form. */
SEA_MUST_CHECK enum sea_status
sea_bench_export(const char *name, const char *questions, const char *answers,
                 const char *const *annotations, size_t annotations_count,
                 const struct sea_bench_options *options, struct sea_buf *out,
                 struct sea_err *err);

/* The same, written to a file; where an export is many files (MME), to a folder, which is made
 * when it is missing. SEA_E_IO and the like: it could not be written. */
SEA_MUST_CHECK enum sea_status
sea_bench_export_to(const char *name, const char *questions, const char *answers,
                    const char *const *annotations, size_t annotations_count,
                    const struct sea_bench_options *options, const char *path,
                    struct sea_err *err);

/* {"benchmark", "scorer", "variant", "prompt", "complete", "n", "missing", "failed",
 * "questions_sha256", "annotations_sha256", "metrics": [{"name", "value", "scale", "n",
 * "points" (value * scale), "clusters", "se", "clustered_se", "low", "high", "interval"}]};
 * undefined numbers are null. Judged ones have "judge": {"model", "served", "prompts_sha256",
 * "runs", "calls", "cached", "retries", "tokens_in", "tokens_out", "cost", "invalid": [ID],
 * "unanswered": [ID]}. */
struct sea_node *sea_bench_result_node(const struct sea_bench_result *result,
                                       struct sea_arena *arena);
/* The same as lmms-eval writes its results: {"results": {NAME: {"METRIC,none", ...}}, ...}. */
struct sea_node *sea_bench_lmms_node(const struct sea_bench_result *result,
                                     struct sea_arena *arena);
/* A line per row: {"id", "cluster", "category", "prompt", "text", "parsed", "gold", "score",
 * "unit", "missing", "failed"}, "thoughts" where a model thought aloud, and "judge": [TEXT per
 * run] where one judged. */
void sea_bench_rows_write(const struct sea_bench_result *result, struct sea_buf *buf);
/* NULL when there is none of this name. */
const struct sea_bench_metric *sea_bench_metric_find(const struct sea_bench_result *result,
                                                     const char *name);

/* ---- normalisers of short answers (exported for tests) ---- */

enum sea_vqa_variant { SEA_VQA_M4C, SEA_VQA_OFF, SEA_VQA_VK };
/* text is UTF-8; out is cleared first. */
void sea_vqa_normalize(enum sea_vqa_variant variant, const char *text, struct sea_buf *out);

#endif
