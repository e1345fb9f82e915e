/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_suite.h - suites: which benchmarks an eval runs, and where their files are
 *
 * A suite is a YAML file:
 *     name: scenes
 *     root: build/demo/data/eval     folder of the benchmarks' folders
 *     benchmarks:
 *       - name: pope                 as in sea_benchmark.h
 *         folder: pope               below root; default: the name
 *         questions: FILE            below folder; default: the published name
 *         annotations: [FILE, ...]   files or folders below folder; default: as published
 *         images: FOLDER             below folder; default: as published
 *         split: val                 shown beside the scores; default: none
 *         variant: NAME              of the scorer; default: the benchmark's first
 *         max_new: 128               words of an answer; default: the benchmark's
 *         prefix: TEXT               put before every question; default: none
 *         suffix: TEXT               in the place of the benchmark's; default: its own
 *         prompt: NAME               of this way to ask, shown beside the scores; needed with
 *                                    prefix or suffix, which make other scores
 *         system: TEXT               first words of the conversation; default: LLaVA's
 *         aspect: pad | square       how pictures become square; default: as the model says
 *     judge:                         grades the answers of benchmarks that need it
 *       url: https://HOST/v1         OpenAI-compatible; the key is in SEA_JUDGE_KEY
 *       model: NAME
 *       prompts: FOLDER              official grading prompts; below root
 *       cache: FOLDER                of its replies; below root
 *       runs: 1                      gradings of each answer
 *       tokens: 0                    of a reply; 0: as the benchmark asks
 *       parallel: 4, rate: 0, timeout_ms: 120000, tries: 6, offline: false
 *                                    as in sea_judge.h; rate is per minute
 *     reference:                     published scores, shown beside ours (not ranked)
 *       - model: LLaVA-1.5-7B        row of the table
 *         source: TEXT               where it stands
 *         scores: {pope: 85.9, mme.cognition: 350.36, ...}
 *                                    BENCHMARK or BENCHMARK.METRIC: points, as published (the
 *                                    value times its scale); without a metric the headline
 */
#ifndef SEA_SUITE_H
#define SEA_SUITE_H

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_judge.h"

#define SEA_SUITE_FILES_MAX 16

struct sea_suite_item {
    const struct sea_bench *bench;
    const char *split;                  /* with the prompt's name: "val+brief"; "": neither */
    const char *variant;                /* NULL when not given */
    const char *questions;
    const char *images;                 /* NULL: none */
    const char *annotations[SEA_SUITE_FILES_MAX];
    size_t annotations_count;
    int64_t max_new;
    struct sea_bench_ask ask;
    const char *prompt;                 /* NULL: the benchmark's own way */
    const char *system;                 /* NULL: the template's */
    int aspect;                         /* enum sea_aspect, -1: the model's */
};
struct sea_suite_reference {            /* one published score */
    const char *model, *source;
    const char *benchmark, *metric;     /* metric is never empty; "headline" when the benchmark
                                           is none that we know */
    double points;
};
struct sea_suite {
    const char *name, *path;
    struct sea_suite_item *items;
    size_t count;
    struct sea_suite_reference *references;
    size_t references_count;
    struct sea_judge_options judge;     /* model NULL: the suite has no judge */
    bool needs_judge;                   /* one of the benchmarks does */
};

/* A suite file by itself, say for its references. name: as in stages.eval.suite; root "" or
 * the folder that takes the place of the file's root. */
SEA_MUST_CHECK enum sea_status
sea_suite_read(struct sea_suite *suite, const char *name, const char *root,
               struct sea_arena *arena, struct sea_err *err);
/* Its references as JSON: [{"model", "source", "benchmark", "metric", "points"}]. */
struct sea_node *sea_suite_reference_node(const struct sea_suite *suite,
                                          struct sea_arena *arena);
/* The suite of a resolved experiment; paths are ready to be opened. SEA_E_CONFIG: a file
 * that is no suite; SEA_E_MISSING: no such suite. */
SEA_MUST_CHECK enum sea_status
sea_suite_load(struct sea_suite *suite, const struct sea_node *config, struct sea_arena *arena,
               struct sea_err *err);

/* The suite of a resolved experiment as contents: benchmarks, and the digests of all files
 * and folders that it names. */
SEA_MUST_CHECK enum sea_status
sea_suite_digest(const struct sea_node *config, char out[SEA_SHA256_TEXT], struct sea_err *err);
struct sea_digest_memo;
SEA_MUST_CHECK enum sea_status
sea_suite_digest_memo(const struct sea_node *config, struct sea_digest_memo *memo,
                      char out[SEA_SHA256_TEXT], struct sea_err *err);

#endif
