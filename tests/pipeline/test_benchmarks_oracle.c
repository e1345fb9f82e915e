/* SPDX-License-Identifier: Apache-2.0 */
/* Every benchmark against the second implementation in tests/oracle/bench_scores.py: metrics,
 * each row's score, counts of answers that could not be parsed, and the normalisers. */
#include <math.h>
#include <stdlib.h>

#include "engine/base/sea_file.h"
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
        seen = false;
        for (one = cases ? cases->first : NULL; one; one = one->next)
            seen = seen || strcmp(sea_node_get(one, "bench")->text, sea_bench_at(i)->name) == 0;
        CHECK_MSG(seen, "benchmark \"%s\" has no case", sea_bench_at(i)->name);
    }
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("benchmarks against a second implementation",
              TEST(normalisers_agree_on_every_text), TEST(scores_agree_for_every_benchmark))
