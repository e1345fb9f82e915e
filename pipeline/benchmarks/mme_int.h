/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mme_int.h - between the files of MME
 *
 * mme.c is the benchmark: questions, answers, gold, the official files written. mme_files.c
 * knows the tasks and reads folders of TASK.txt; mme_scores.c reads answers and sums up.
 */
#ifndef SEA_MME_INT_H
#define SEA_MME_INT_H

#include "pipeline/benchmarks/benchmarks_int.h"

#define SEA_MME_YES_NO "Please answer yes or no."

/* ---- mme_files.c ---- */

extern const char *const sea_mme_perception[], *const sea_mme_cognition[];     /* NULL at the end */
bool sea_mme_is_in(const char *const *tasks, const char *name);
bool sea_mme_is_task(const char *name);

/* The question's first line without what asks for yes or no. */
const char *sea_mme_bare_question(const char *text, struct sea_arena *arena);
/* "task/stem", a newline, and the bare question: joins the lines of all files. */
const char *sea_mme_key(const char *task, size_t task_len, const char *file,
                        const char *question, struct sea_arena *arena);

/* Called with the task, the file's name in the line (or the name of the text file), the
 * question, the gold answer and the prediction (NULL: the line has none). */
typedef enum sea_status sea_mme_line_fn(void *arg, const char *task, const char *const fields[4],
                                        struct sea_err *err);
/* Every line of TASK.txt, TASK/STEM.txt or TASK/questions_answers_YN/STEM.txt; hash (NULL:
 * none) gets all that is read. SEA_E_MISSING: there is no such file. */
SEA_MUST_CHECK enum sea_status
sea_mme_read_folder(const char *root, sea_mme_line_fn *fn, void *arg, struct sea_hash *hash,
                    struct sea_arena *arena, struct sea_err *err);

/* ---- mme_scores.c ---- */

bool sea_mme_has_task(const struct sea_bench_scoring *s, const char *const *tasks);
/* Scores rows that have gold, two to each picture, and adds the metrics. */
void sea_mme_score(struct sea_bench_scoring *s);

#endif
