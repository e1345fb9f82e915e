/* SPDX-License-Identifier: Apache-2.0 */
/* judge_bed.h - what the tests of judged benchmarks share: MM-Vet's files, a judge, a scoring.
 * Prompts and items are made here. */
#ifndef JUDGE_BED_H
#define JUDGE_BED_H

#include <math.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_benchmark.h"
#include "pipeline/sea_judge.h"
#include "tests/pipeline/judge_server.h"

#define KEY "sk-very-secret-key-0123456789"

/* The layout of the official script, with a prompt of our own. */
#define SCRIPT                                                                      \
    "import json  # don't mind the quote\n\n"                                       \
    "prompt = \"\"\"Grade the <AND> \"last\" row.\\n\n"                             \
    "Question | Truth | Prediction | Grade\n--- | --- | --- | ---\n\"\"\"\n\n"      \
    "def run():\n    try:\n        pass\n    except:\n"                             \
    "        q = prompt + \"\\n\" + \" | \".join([\"a\"]) + \"\\nOnly a number: \"\n"
#define TABLE "Grade the <AND> \"last\" row.\n\nQuestion | Truth | Prediction | Grade\n" \
    "--- | --- | --- | ---\n"

#define ITEMS                                                                       \
    "{\"v1_0\": {\"imagename\": \"a.png\", \"question\": \"What is x?\", "          \
    "\"answer\": \"-1<AND>-5\", \"capability\": [\"ocr\", \"math\"]}, "             \
    "\"v1_1\": {\"imagename\": \"b.png\", \"question\": \"Who?\", "                 \
    "\"answer\": \"Ann<OR>Bob\", \"capability\": [\"rec\"]}, "                      \
    "\"v1_2\": {\"imagename\": \"c.png\", \"question\": \"Why?\", "                 \
    "\"answer\": \"fun\", \"capability\": [\"know\", \"rec\"]}, "                   \
    "\"v1_3\": {\"imagename\": \"d.png\", \"question\": \"Where?\", "               \
    "\"answer\": \"left\", \"capability\": [\"ocr\", \"spat\"]}}"
#define ANSWERS                                                                     \
    "{\"v1_0\": \"grade 1.0\", \"v1_1\": \"grade 0.5\", \"v1_2\": \"grade 0.0\", "  \
    "\"v1_3\": \"grade 0.4\"}"

static struct sea_arena *arena;

static const char *
put_file(const char *dir, const char *name, const char *text)
{
    const char *path = sea_arena_printf(arena, "%s/%s", dir, name);
    struct sea_err err = { 0 };

    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
    return path;
}

/* Files of MM-Vet in a folder of their own. */
struct bed {
    const char *dir, *questions, *answers, *cache;
    struct sea_judge_options judge;
    struct sea_bench_options bench;
    struct sea_bench_result result;
    struct sea_err err;
    double seconds;
};

/* The time-out is one that a busy machine keeps, for tests count requests; a test about
 * time-outs sets its own. */
static struct bed
bed_create(const struct judge_server *server)
{
    static int number;
    struct bed bed = { .dir = NULL };
    struct sea_err err = { 0 };

    arena = arena ? arena : sea_arena_create(NULL, "test");
    bed.dir = sea_arena_printf(arena, "%s/%d", sea_test_dir(), ++number);
    CHECK_OK(sea_dir_create(bed.dir, &err), err);
    bed.questions = put_file(bed.dir, "mm-vet.json", ITEMS);
    bed.answers = put_file(bed.dir, "answers.json", ANSWERS);
    put_file(bed.dir, "mm-vet_evaluator.py", SCRIPT);
    bed.cache = sea_arena_printf(arena, "%s/cache", bed.dir);
    bed.judge = (struct sea_judge_options){ .url = server ? server->url : NULL,
                                            .model = "judge", .cache = bed.cache,
                                            .prompts = bed.dir, .timeout_ms = 60000,
                                            .pause_ms = 10 };
    bed.bench.resamples = 20;
    return bed;
}

static enum sea_status
bed_score(struct bed *bed)
{
    double start = sea_clock_seconds();
    enum sea_status status;

    memset(&bed->err, 0, sizeof(bed->err));
    memset(&bed->result, 0, sizeof(bed->result));
    status = sea_judge_create(&bed->bench.judge, &bed->judge, &bed->err);
    if (!status)
        status = sea_bench_score("mm-vet", bed->questions, bed->answers, NULL, 0, &bed->bench,
                                 arena, &bed->result, &bed->err);
    sea_judge_destroy(bed->bench.judge);
    bed->bench.judge = NULL;
    bed->seconds = sea_clock_seconds() - start;
    return status;
}

static double
value_of(const struct bed *bed, const char *name)
{
    const struct sea_bench_metric *metric = sea_bench_metric_find(&bed->result, name);

    CHECK_MSG(metric != NULL, "there is no metric \"%s\"", name);
    return metric ? metric->value : NAN;
}

static int64_t
count_of(const struct bed *bed, const char *name)
{
    return sea_node_int(sea_node_get(bed->result.judge, name), -1);
}

/* Says what the answer asks for: "grade 0.5" gets "0.5". */
static struct act
obedient(struct judge_server *server, const char *body, int number)
{
    static const char *const grades[] = { "1.0", "0.6", "0.5", "0.4", "0.0" };
    const char *at = strstr(body, "grade ");
    int i = 0;

    (void)server, (void)number;
    while (i < 4 && at && strncmp(at + 6, grades[i], 3) != 0)
        i++;
    return (struct act){ .text = grades[at ? i : 4] };
}

#endif
