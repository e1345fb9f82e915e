/* SPDX-License-Identifier: Apache-2.0 */
/* Suites: paths, defaults, refusals, and a digest that follows contents. */
#include <stdlib.h>

#include "pipeline/sea_suite.h"
#include "tests/sea_test.h"

static struct sea_arena *arena;
static struct sea_err err;
static char root[512];

static const struct sea_node *
config(const char *text, const char *other_root)
{
    struct sea_node *map, *eval;
    char path[1024];

    sea_arena_destroy(arena);
    arena = sea_arena_create(NULL, "test");
    sea_err_clear(&err);
    snprintf(root, sizeof(root), "%s", sea_test_dir());
    snprintf(path, sizeof(path), "%s/suite.yaml", root);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
    map = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    eval = sea_node_put(arena, sea_node_put(arena, map, "stages", SEA_NODE_MAP), "eval",
                        SEA_NODE_MAP);
    sea_node_put_text(arena, eval, "suite", path);
    if (other_root)
        sea_node_put_text(arena, eval, "root", other_root);
    return map;
}

static void
paths_default_to_the_published_names(void)
{
    struct sea_suite suite;
    const struct sea_node *node =
        config("name: s\nroot: /r\nbenchmarks:\n  - {name: pope}\n"
               "  - {name: gqa, folder: g, questions: q.jsonl, images: i, "
               "annotations: [x, y], split: s, max_new: 3}\n", NULL);

    CHECK_OK(sea_suite_load(&suite, node, arena, &err), err);
    if (err.status)
        return;
    CHECK_STR(suite.name, "s");
    CHECK_INT(suite.count, 2);
    CHECK_STR(suite.items[0].questions, "/r/pope/llava_pope_test.jsonl");
    CHECK_INT(suite.items[0].max_new, suite.items[0].bench->max_new_tokens);
    CHECK_STR(suite.items[1].questions, "/r/g/q.jsonl");
    CHECK_STR(suite.items[1].images, "/r/g/i");
    CHECK_INT(suite.items[1].annotations_count, 2);
    CHECK_STR(suite.items[1].annotations[1], "/r/g/y");
    CHECK_STR(suite.items[1].split, "s");
    CHECK_INT(suite.items[1].max_new, 3);
}

static void
the_experiment_can_put_another_root(void)
{
    struct sea_suite suite;
    const struct sea_node *node = config("root: /r\nbenchmarks: [{name: pope}]\n", "/other");

    CHECK_OK(sea_suite_load(&suite, node, arena, &err), err);
    CHECK_STR(suite.items[0].questions, "/other/pope/llava_pope_test.jsonl");
}

static void
broken_suites_are_refused(void)
{
    static const struct {
        const char *text, *words;
    } cases[] = {
        { "benchmarks: [{name: pope, qestions: x}]\n", "line 1: unknown key \"qestions\"" },
        { "benchmark: []\n", "unknown key \"benchmark\"" },
        { "name: s\n", "has no list of benchmarks" },
        { "benchmarks: []\n", "has no list of benchmarks" },
        { "benchmarks: [pope]\n", "a benchmark is a map" },
        { "benchmarks: [{name: pop}]\n", "pop" },
        { "benchmarks: [{name: pope, max_new: 0}]\n", "max_new must be" },
        { "benchmarks: [{name: pope, annotations: x}]\n", "expected a list" },
        { "benchmarks: [{name: 3}]\n", "expected a text" },
        { "benchmarks: [{name: pope, prefix: \"Hi. \"}]\n", "which has no name" },
        { "benchmarks: [{name: pope, prompt: p, aspect: wide}]\n", "expected pad or square" },
        { "benchmarks: [{name: pope, split: ../up}]\n", "holds '/', expected letters" },
        { "benchmarks: [{name: gqa}, {name: pope}, {name: pope, variant: x}]\n",
          "lists pope twice" },
        { "benchmarks: [{name: gqa, split: val, prompt: p}, {name: gqa, split: val+p}]\n",
          "lists gqa, split val+p twice" },
        { "benchmarks: [{name: pope}]\nreference: {}\n", "expected a list of models" },
        { "benchmarks: [{name: pope}]\nreference: [{model: m}]\n", "with model and scores" },
        { "benchmarks: [{name: pope}]\nreference: [{model: m, scores: {pope: high}}]\n",
          "expected a number" },
        { "benchmarks: [{name: pope}]\nreference: [{model: m, score: 1, scores: {pope: 1}}]\n",
          "unknown key \"score\"" },
        { "benchmarks: [{name: mm-vet}]\n", "mm-vet needs a judge" },
        { "benchmarks: [{name: mm-vet}]\njudge: yes\n", "expected a map with url" },
        { "benchmarks: [{name: mm-vet}]\njudge: {url: http://x, prompts: p, cache: c}\n",
          "judge has no key \"model\"" },
        { "benchmarks: [{name: mm-vet}]\njudge: {model: m, prompts: p, cache: c}\n",
          "judge has no key \"url\"" },
        { "benchmarks: [{name: mm-vet}]\njudge: {model: m, key: sk-1}\n", "unknown key \"key\"" },
        { "benchmarks: [{name: mm-vet}]\n"
          "judge: {url: http://x, model: m, prompts: p, cache: c, runs: -1}\n",
          "key \"runs\" must be a whole number" },
    };
    struct sea_suite suite;
    size_t i;

    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct sea_node *node = config(cases[i].text, NULL);

        CHECK_INT(sea_suite_load(&suite, node, arena, &err), SEA_E_CONFIG);
        CHECK_FAILS(err, SEA_E_CONFIG, cases[i].words);
    }
}

static void
a_suite_can_ask_in_its_own_way(void)
{
    struct sea_suite suite;
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT], path[1024];
    const struct sea_node *node;

    node = config("root: /r\nbenchmarks: [{name: pope, prompt: brief, suffix: \"\\nBe brief.\", "
                  "aspect: pad, system: Hello.}, {name: gqa}, {name: pope}]\n", NULL);
    CHECK_OK(sea_suite_load(&suite, node, arena, &err), err);
    if (err.status)
        return;
    CHECK_STR(suite.items[0].ask.suffix, "\nBe brief.");
    CHECK(suite.items[0].ask.prefix == NULL);
    CHECK_STR(suite.items[0].prompt, "brief");
    CHECK_STR(suite.items[0].split, "brief");   /* told from other scores of the benchmark */
    CHECK_STR(suite.items[1].split, "");
    CHECK_STR(suite.items[0].system, "Hello.");
    CHECK_INT(suite.items[0].aspect, SEA_ASPECT_PAD);
    CHECK_INT(suite.items[1].aspect, -1);
    CHECK(suite.items[1].prompt == NULL);
    /* what is asked is part of the digest */
    for (int i = 0; i < 2; i++) {
        node = config(i ? "benchmarks: [{name: mmmu, prompt: p, prefix: \"b\"}]\n"
                        : "benchmarks: [{name: mmmu, prompt: p, prefix: \"a\"}]\n",
                      sea_test_dir());
        snprintf(path, sizeof(path), "%s/mmmu/images", root);
        CHECK_OK(sea_dir_create(path, &err), err);
        snprintf(path, sizeof(path), "%s/mmmu/mmmu_val.jsonl", root);
        CHECK_OK(sea_file_replace(path, "{}", 2, &err), err);
        CHECK_OK(sea_suite_digest(node, i ? two : one, &err), err);
    }
    CHECK(strcmp(one, two) != 0);
}

static void
references_are_points_of_metrics(void)
{
    struct sea_suite suite;
    struct sea_node *list;
    const struct sea_node *node = config(
        "benchmarks: [{name: pope}]\nreference:\n  - model: Paper\n    source: page 4\n    scores: "
        "{pope: 85.9, pope.random/f1: 87, mme: 1510.7, not-ours: 31.1}\n"
        "  - {model: B, scores: {gqa: 62}}\n", NULL);

    CHECK_OK(sea_suite_load(&suite, node, arena, &err), err);
    if (err.status)
        return;
    CHECK_INT(suite.references_count, 5);
    CHECK_STR(suite.references[0].metric, "f1");
    CHECK_STR(suite.references[0].source, "page 4");
    CHECK_NEAR(suite.references[0].points, 85.9, 0);
    CHECK_STR(suite.references[1].benchmark, "pope");
    CHECK_STR(suite.references[1].metric, "random/f1");
    CHECK_NEAR(suite.references[1].points, 87, 0);
    CHECK_STR(suite.references[2].metric, "perception");
    CHECK_STR(suite.references[3].metric, "headline");      /* none that we know */
    CHECK_STR(suite.references[4].model, "B");
    CHECK_STR(suite.references[4].source, "");
    list = sea_suite_reference_node(&suite, arena);
    CHECK_INT(list->count, 5);
    CHECK_STR(sea_node_get(list->first, "metric")->text, "f1");
}

/* Every suite in configs/suites loads, and its references are of benchmarks and metrics that
 * exist. */
static void
the_suites_of_the_tree_load(void)
{
    static const char *const names[] = { "llava-1.5", "sea-paper", "small", "scenes", "judged",
                                         "lmms" };
    size_t references = 0;

    arena = arena ? arena : sea_arena_create(NULL, "test");
    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++) {
        struct sea_suite suite = { 0 };
        char path[1024];

        sea_err_clear(&err);
        snprintf(path, sizeof(path), "%s/configs/suites/%s.yaml", sea_test_root(), names[i]);
        CHECK_OK(sea_suite_read(&suite, path, "", arena, &err), err);
        CHECK_STR(suite.name ? suite.name : "", names[i]);
        references += suite.references_count;
        for (size_t r = 0; r < suite.references_count; r++) {
            const struct sea_suite_reference *one = &suite.references[r];
            const struct sea_bench *bench;
            struct sea_err unknown = { 0 };
            bool known = sea_bench_find(one->benchmark, &bench, &unknown) == SEA_OK;

            CHECK_MSG(known, "suite %s has a score of \"%s\", which is no benchmark", names[i],
                      one->benchmark);
        }
    }
    printf("  %zu published scores\n", references);
    CHECK(references > 150);
}

static void
the_digest_is_of_contents(void)
{
    static const char *const text = "benchmarks: [{name: pope, annotations: [a.json]}]\n";
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT], path[1024];
    const struct sea_node *node = config(text, sea_test_dir());

    snprintf(path, sizeof(path), "%s/pope/val2014", root);
    CHECK_OK(sea_dir_create(path, &err), err);
    snprintf(path, sizeof(path), "%s/pope/a.json", root);
    CHECK_OK(sea_file_replace(path, "1", 1, &err), err);
    CHECK_INT(sea_suite_digest(node, one, &err), SEA_E_MISSING);
    sea_err_clear(&err);
    snprintf(path, sizeof(path), "%s/pope/llava_pope_test.jsonl", root);
    CHECK_OK(sea_file_replace(path, "{}", 2, &err), err);
    CHECK_OK(sea_suite_digest(node, one, &err), err);
    CHECK_OK(sea_suite_digest(node, two, &err), err);
    CHECK_STR(one, two);
    CHECK_OK(sea_file_replace(path, "[]", 2, &err), err);
    CHECK_OK(sea_suite_digest(node, two, &err), err);
    CHECK(strcmp(one, two) != 0);
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("suites of benchmarks",
    TEST(paths_default_to_the_published_names),
    TEST(the_experiment_can_put_another_root),
    TEST(broken_suites_are_refused),
    TEST(a_suite_can_ask_in_its_own_way),
    TEST(references_are_points_of_metrics),
    TEST(the_suites_of_the_tree_load),
    TEST(the_digest_is_of_contents))
