/* SPDX-License-Identifier: Apache-2.0 */
/* benchmarks_int.h - what the files of the benchmarks share */
#ifndef SEA_BENCHMARKS_INT_H
#define SEA_BENCHMARKS_INT_H

#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_records.h"
#include "pipeline/sea_stats.h"

#define SEA_BENCH_LEVEL 0.95
#define SEA_BENCH_RESAMPLES 1000
#define SEA_BENCH_SHORT "\nAnswer the question using a single word or phrase."
#define SEA_BENCH_LETTER \
    "\nAnswer with the option's letter from the given choices directly."

/* ---- one scoring ---- */

struct sea_bench_scoring {      /* filled before bench->score is called */
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

/* ---- metrics ---- */

/* Mean of values[i] over rows which[i]; as a share (0/1 values) or a mean of scores. */
void sea_bench_add_mean(struct sea_bench_scoring *scoring, const char *name,
                        const double *values, const int64_t *which, size_t n);
/* Mean score of the rows for which keep(row, arg) holds; nothing is added when there are
 * none and name is optional. */
typedef bool sea_bench_keep_fn(const struct sea_bench_row *row, const void *arg);
void sea_bench_add_score(struct sea_bench_scoring *scoring, const char *name,
                         sea_bench_keep_fn *keep, const void *arg);
/* A metric that is no mean, over rows which[0..n-1]; interval by bootstrap over clusters. */
void sea_bench_add_metric(struct sea_bench_scoring *scoring, const char *name,
                          sea_stats_metric_fn *metric, const int64_t *which, size_t n);
/* One metric per value of text(row), named PREFIX/VALUE, in order of first appearance. */
typedef const char *sea_bench_text_fn(const struct sea_bench_row *row);
void sea_bench_add_groups(struct sea_bench_scoring *scoring, const char *prefix,
                          sea_bench_text_fn *text);
/* Share of rows whose parsed answer is "yes", among rows that keep holds for. */
void sea_bench_add_yes_share(struct sea_bench_scoring *scoring, const char *name,
                             sea_bench_keep_fn *keep, const void *arg);

/* ---- question files ---- */

/* LLaVA's JSON Lines {"question_id", "image", "text", "category"}; each question's cluster
 * is its image. */
SEA_MUST_CHECK enum sea_status
sea_bench_load_lines(struct sea_bench_questions *questions, int64_t limit, struct sea_err *err);
/* Room for one question more. */
struct sea_bench_question *sea_bench_add_question(struct sea_bench_questions *questions);
/* The question without the suffix that LLaVA appends: up to the first newline. */
const char *sea_bench_bare_question(const struct sea_bench_question *question,
                                    struct sea_arena *arena);

/* ---- text ---- */

/* Python's str.lower and str.strip for valid UTF-8; out is cleared first. */
void sea_text_lower(const char *text, struct sea_buf *out);
void sea_text_strip(const char **text, size_t *len);
bool sea_text_is_space(uint32_t code);          /* as str.split sees it */
bool sea_text_is_digit(uint32_t code);          /* \d of Python 3 */
uint32_t sea_text_next(const char **at);        /* one code point; 0 at the end */
/* Text as an arena copy whose 0 bytes are blanks. */
const char *sea_text_copy(struct sea_arena *arena, const char *text, size_t len);
/* How many options "A. x" stand in lines of text, A first, no gaps. */
size_t sea_text_options(const char *text, const char **first);

/* The benchmarks. */
extern const struct sea_bench sea_bench_pope, sea_bench_gqa, sea_bench_vqav2,
    sea_bench_scienceqa, sea_bench_mmbench;

#endif
