/* SPDX-License-Identifier: Apache-2.0 */
/* bench_files.h - what the tests of benchmarks share: files written, scored, and asked about */
#ifndef BENCH_FILES_H
#define BENCH_FILES_H

#include <math.h>
#include <stdlib.h>

#include "pipeline/benchmarks/benchmarks_int.h"
#include "tests/pipeline/scratch_files.h"

/* Scores files; err tells what went wrong, and there are no rows then. */
static struct sea_bench_result
score_with(const char *bench, const char *questions, const char *answers, const char *annotation,
           const struct sea_bench_options *options, struct sea_err *err)
{
    struct sea_bench_result result = { 0 };
    const char *list[1] = { annotation };

    *err = (struct sea_err){ 0 };
    if (sea_bench_score(bench, questions, answers, list, annotation ? 1 : 0, options, arena,
                        &result, err))
        result.rows_count = 0;
    return result;
}

/* The same of a variant. */
static inline struct sea_bench_result
score_files(const char *bench, const char *questions, const char *answers, const char *annotation,
            const char *variant, struct sea_err *err)
{
    struct sea_bench_options options = { .variant = variant, .resamples = 20 };

    return score_with(bench, questions, answers, annotation, &options, err);
}

/* The same of texts given in place. */
static inline struct sea_bench_result
score(const char *bench, const char *questions, const char *answers, const char *annotation,
      const char *variant, struct sea_err *err)
{
    return score_files(bench, put_file("questions", questions), put_file("answers", answers),
                       annotation, variant, err);
}

static double
value_of(const struct sea_bench_result *result, const char *name)
{
    const struct sea_bench_metric *metric = sea_bench_metric_find(result, name);

    CHECK_MSG(metric != NULL, "there is no metric \"%s\"", name);
    return metric ? metric->value : NAN;
}

/* The questions that a text holds. */
static inline void
load_questions(const char *bench_name, const char *text, struct sea_bench_questions *out)
{
    const struct sea_bench *bench = NULL;
    struct sea_err err = { 0 };

    *out = (struct sea_bench_questions){ 0 };
    CHECK_OK(sea_bench_find(bench_name, &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, put_file("loaded", text), 0, arena, out, &err), err);
}

#endif
