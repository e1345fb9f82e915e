/* SPDX-License-Identifier: Apache-2.0 */
/* Every benchmark against the second implementation in tests/oracle/bench_scores.py: metrics,
 * each row's score, counts of answers that could not be parsed, and the normalisers; and what
 * the published scorers said of answers made to be hard (tests/oracle/published_scorers.py). */
#include <math.h>
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "pipeline/benchmarks/benchmarks_int.h"
#include "tests/sea_test.h"

#define FOLDER "tests/oracle/fixtures/bench"
#define BOUND 1e-12             /* sums in another order; everything else is exact */

static struct sea_arena *arena;
static double worst;

static const char *
path_of(const char *name)
{
    return sea_arena_printf(arena, "%s/%s/%s", sea_test_root(), FOLDER, name);
}

static struct sea_node *
load(const char *name)
{
    struct sea_node *node = NULL;
    struct sea_err err = { 0 };

    arena = arena ? arena : sea_arena_create(NULL, "test");
    CHECK_OK(sea_json_load(path_of(name), (size_t)1 << 28, arena, &node, &err), err);
    return node;
}

static void
normalisers_agree_on_every_text(void)
{
    struct sea_node *rows = load("normalise.json"), *row;
    struct sea_buf out;
    size_t count = 0;

    sea_buf_init(&out, 1 << 20);
    for (row = rows ? rows->first : NULL; row; row = row->next, count++) {
        const char *variant = row->first->text, *text = row->first->next->text,
                   *want = row->first->next->next->text;

        sea_vqa_normalize(strcmp(variant, "m4c") == 0   ? SEA_VQA_M4C
                          : strcmp(variant, "off") == 0 ? SEA_VQA_OFF : SEA_VQA_VK, text, &out);
        CHECK_MSG(strcmp(out.data, want) == 0, "%s of \"%s\" is \"%s\", want \"%s\"", variant, text,
                  out.data, want);
    }
    printf("  %zu texts normalised as Python does\n", count);
    CHECK(count > 500);
    sea_buf_release(&out);
}

static void
compare_metrics(const struct sea_node *one, const char *name,
                const struct sea_bench_result *result)
{
    const struct sea_node *want;

    for (want = sea_node_get(one, "metrics")->first; want; want = want->next) {
        const struct sea_bench_metric *got = sea_bench_metric_find(result, want->key);

        CHECK_MSG(got != NULL, "%s has no metric \"%s\"", name, want->key);
        if (!got)
            continue;
        CHECK_MSG(fabs(got->value - want->real) <= BOUND, "%s, %s is %.17g, want %.17g", name,
                  want->key, got->value, want->real);
        worst = fmax(worst, fabs(got->value - want->real));
    }
}

static void
compare_rows(const struct sea_node *one, const char *name, const struct sea_bench_result *result)
{
    const struct sea_node *rows = sea_node_get(one, "rows"), *want;
    size_t i = 0;

    if (!rows || rows->kind != SEA_NODE_LIST)
        return;
    CHECK_INT(result->rows_count, rows->count);
    for (want = rows->first; want && i < result->rows_count; want = want->next, i++) {
        const struct sea_bench_row *row = &result->rows[i];

        CHECK_MSG(fabs(row->score - want->real) <= BOUND,
                  "%s, row %zu (id \"%s\"): \"%s\" against \"%s\" was read as \"%s\" and scores "
                  "%.17g, want %.17g", name, i, row->question->id, row->text, row->gold,
                  row->parsed, row->score, want->real);
    }
}

static void
run_case(const struct sea_node *one)
{
    const char *bench = sea_node_get(one, "bench")->text, *notes[4], *name;
    const struct sea_node *list = sea_node_get(one, "annotations"), *node;
    struct sea_bench_options options = {
        .variant = sea_node_text(sea_node_get(one, "variant"), NULL), .resamples = 20,
    };
    const struct sea_node *failed = sea_node_get(one, "failed");
    struct sea_bench_result result;
    struct sea_err err = { 0 };
    size_t n = 0;

    name = sea_arena_printf(arena, "%s%s%s", bench, options.variant ? "/" : "",
                            options.variant ? options.variant : "");
    for (node = list->first; node && n < 4; node = node->next)
        notes[n++] = path_of(node->text);
    CHECK_OK(sea_bench_score(bench, path_of(sea_node_get(one, "questions")->text),
                             path_of(sea_node_get(one, "answers")->text), notes, n, &options,
                             arena, &result, &err), err);
    if (err.status)
        return;
    compare_metrics(one, name, &result);
    compare_rows(one, name, &result);
    CHECK(result.complete);
    if (failed && failed->kind == SEA_NODE_INT)
        CHECK_MSG(result.failed == failed->integer, "%s: %lld answers not parsed, want %lld", name,
                  (long long)result.failed, (long long)failed->integer);
}

/* The first of the case's metrics again, from the exported file (GQA's is in LLaVA's form). What is exported of VQAv2 and
 * VizWiz went through the normaliser: their variant "off" takes it as it is. */
static bool
export_and_score(const struct sea_node *one)
{
    const char *bench = sea_node_get(one, "bench")->text, *notes[4];
    const struct sea_node *list = sea_node_get(one, "annotations"), *node, *want;
    const char *variant = sea_node_text(sea_node_get(one, "variant"), NULL);
    struct sea_bench_options options = { .variant = variant, .resamples = 20 };
    const char *questions = path_of(sea_node_get(one, "questions")->text);
    const struct sea_bench *entry = NULL;
    const struct sea_bench_metric *got;
    struct sea_bench_result result;
    struct sea_err err = { 0 };
    struct sea_buf out;
    char path[512];
    size_t n = 0;

    CHECK_OK(sea_bench_find(bench, &entry, &err), err);
    if (!entry || !entry->dump || (variant && strcmp(variant, "m4c") == 0) ||
        (variant && strcmp(bench, "gqa") == 0 && strcmp(variant, "llava") != 0))
        return false;
    for (node = list->first; node && n < 4; node = node->next)
        notes[n++] = path_of(node->text);
    sea_buf_init(&out, (size_t)1 << 26);
    CHECK_OK(sea_bench_export(bench, questions, path_of(sea_node_get(one, "answers")->text), notes, n,
                              &options, &out, &err), err);
    snprintf(path, sizeof(path), "%s/%s", sea_test_dir(), entry->export_name);
    CHECK_OK(sea_file_replace(path, out.data, out.len, &err), err);
    if (variant && strcmp(variant, "llava") == 0 && strcmp(bench, "gqa") != 0 &&
        strcmp(bench, "scienceqa") != 0)
        options.variant = "off";
    CHECK_OK(sea_bench_score(bench, questions, path, notes, n, &options, arena, &result, &err), err);
    want = sea_node_get(one, "metrics")->first;
    got = err.status ? NULL : sea_bench_metric_find(&result, want->key);
    if (!variant || strcmp(variant, "off") != 0 || strcmp(bench, "seed") == 0)
        CHECK_MSG(got && fabs(got->value - want->real) <= BOUND,
                  "%s: the export scores %.17g in %s, want %.17g", bench, got ? got->value : NAN,
                  want->key, want->real);
    sea_buf_release(&out);
    return true;
}

/* A copy of a file with some bytes changed, doubled or cut off; NULL for folders. */
static const char *
damaged(const char *path, const char *name, struct sea_rng *rng)
{
    const char *out = sea_arena_printf(arena, "%s/%s", sea_test_dir(), name);
    struct sea_err err = { 0 };
    struct sea_buf text;

    if (!sea_file_exists(path))
        return NULL;
    sea_buf_init(&text, (size_t)1 << 26);
    CHECK_OK(sea_file_read(path, &text, &err), err);
    for (int i = 0; i < 2; i++)
        text.data[sea_rng_below(rng, (uint32_t)text.len)] =
            "\"{],\\\n\t\xC3" "0-eAbx9 .)"[sea_rng_below(rng, 18)];
    if (sea_rng_below(rng, 8) == 0)
        text.len = sea_rng_below(rng, (uint32_t)text.len);
    CHECK_OK(sea_file_replace(out, text.data, text.len, &err), err);
    sea_buf_release(&text);
    return out;
}

/* No damage to questions or answers does more than an error: run with the sanitizers. */
static void
damaged_files_are_scored_or_refused(void)
{
    struct sea_node *cases = load("cases.json"), *one;
    struct sea_bench_options options = { .allow_missing = true, .resamples = 2 };
    int refused = 0, scored = 0;
    struct sea_rng rng;

    sea_rng_init(&rng, 7, 0);
    for (one = cases ? cases->first : NULL; one; one = one->next)
        for (int turn = 0; turn < 6; turn++) {
            const char *questions = path_of(sea_node_get(one, "questions")->text),
                       *answers = path_of(sea_node_get(one, "answers")->text),
                       *bad = damaged(turn % 2 ? questions : answers, "damaged", &rng), *notes[4];
            const struct sea_node *list = sea_node_get(one, "annotations"), *node;
            struct sea_bench_result result;
            struct sea_err err = { 0 };
            size_t n = 0;

            for (node = list->first; node && n < 4; node = node->next)
                notes[n++] = path_of(node->text);
            if (!bad)
                continue;
            if (sea_bench_score(sea_node_get(one, "bench")->text, turn % 2 ? bad : questions,
                                turn % 2 ? answers : bad, notes, n, &options, arena, &result, &err)) {
                refused++;
                CHECK_MSG(err.message[0] && err.status, "a refusal without words");
            } else {
                scored++;
            }
        }
    printf("  %d damaged files refused, %d scored\n", refused, scored);
    CHECK(refused > 50);
}

static void
exports_score_the_same(void)
{
    struct sea_node *cases = load("cases.json"), *one;
    int count = 0;

    for (one = cases ? cases->first : NULL; one; one = one->next)
        count += export_and_score(one);
    printf("  %d exports read again\n", count);
    CHECK(count >= 12);
}

static void
published_scorers_said_the_same(void)
{
    struct sea_node *cases = load("../published/cases.json"), *one;
    size_t count = 0, rows = 0;

    worst = 0;
    for (one = cases ? cases->first : NULL; one; one = one->next, count++) {
        const struct sea_node *list = sea_node_get(one, "rows");

        run_case(one);
        rows += list ? list->count : 0;
    }
    printf("  %zu cases, %zu rows of the published scorers, largest difference %.3g\n", count, rows,
           worst);
    CHECK(count >= 15 && rows >= 1500);
}

static void
scores_agree_for_every_benchmark(void)
{
    struct sea_node *cases = load("cases.json"), *one;
    size_t count = 0;
    bool seen;

    for (one = cases ? cases->first : NULL; one; one = one->next, count++)
        run_case(one);
    printf("  %zu cases, largest difference of a metric %.3g (bound %.3g)\n", count, worst, BOUND);
    for (size_t i = 0; sea_bench_at(i); i++) {
        seen = sea_bench_at(i)->needs_judge;    /* tests/pipeline/test_judge.c has these */
        for (one = cases ? cases->first : NULL; one; one = one->next)
            seen = seen || strcmp(sea_node_get(one, "bench")->text, sea_bench_at(i)->name) == 0;
        CHECK_MSG(seen, "benchmark \"%s\" has no case", sea_bench_at(i)->name);
    }
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("benchmarks against a second implementation",
              TEST(normalisers_agree_on_every_text), TEST(exports_score_the_same),
              TEST(damaged_files_are_scored_or_refused), TEST(published_scorers_said_the_same),
              TEST(scores_agree_for_every_benchmark))
