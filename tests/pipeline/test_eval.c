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
    TEST(the_digest_is_of_contents))
