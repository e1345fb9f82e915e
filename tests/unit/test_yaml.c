/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "tests/sea_test.h"

static struct sea_arena *arena;

static void
start(void)
{
    arena = sea_arena_create(NULL, "test");
}

static void
stop(void)
{
    sea_arena_destroy(arena);
}

static struct sea_node *
parse(const char *text)
{
    struct sea_err err = { 0 };
    struct sea_node *node = NULL;

    CHECK_OK(sea_yaml_parse(text, strlen(text), "t.yaml", arena, &node, &err), err);
    CHECK(node != NULL);
    return node;
}

/* The tree as compact JSON: short to compare with. */
static const char *
as_json(const char *text)
{
    struct sea_err err = { 0 };
    struct sea_node *node = parse(text);
    struct sea_buf buf;
    char *json;

    if (!node)
        return "";
    sea_buf_init(&buf, 1 << 20);
    CHECK_OK(sea_json_write(node, SEA_JSON_COMPACT, &buf, &err), err);
    json = sea_arena_strdup(arena, buf.data);
    sea_buf_release(&buf);
    return json;
}

static void
scalars_follow_the_core_schema(void)
{
    static const struct { const char *from, *want; } rows[] = {
        { "null", "null" }, { "Null", "null" }, { "NULL", "null" }, { "~", "null" },
        { "nULL", "\"nULL\"" }, { "none", "\"none\"" },
        { "true", "true" }, { "True", "true" }, { "TRUE", "true" }, { "false", "false" },
        { "False", "false" }, { "tRUE", "\"tRUE\"" },
        /* YAML 1.1 called these truth values; the country code and the sweep value are not */
        { "no", "\"no\"" }, { "yes", "\"yes\"" }, { "on", "\"on\"" }, { "y", "\"y\"" },
        { "0", "0" }, { "-0", "0" }, { "+12", "12" }, { "-34", "-34" }, { "007", "7" },
        { "0o17", "15" }, { "0x1F", "31" }, { "0x", "\"0x\"" }, { "0xG", "\"0xG\"" },
        { "0o8", "\"0o8\"" }, { "-0x1F", "\"-0x1F\"" }, { "1_000", "\"1_000\"" },
        { "9223372036854775807", "9223372036854775807" },
        { "-9223372036854775808", "-9223372036854775808" },
        { "1.5", "1.5" }, { ".5", "0.5" }, { "5.", "5.0" }, { "-1.0e-3", "-0.001" },
        { "1e3", "1000.0" }, { "1.0E+3", "1000.0" }, { "2.0e-5", "2e-05" },
        { ".", "\".\"" }, { "-", "null" }, { "+", "\"+\"" }, { "1e", "\"1e\"" },
        { "e5", "\"e5\"" }, { "1.5.2", "\"1.5.2\"" }, { "1 2", "\"1 2\"" },
        { "12:30:45", "\"12:30:45\"" }, { "2026-01-31", "\"2026-01-31\"" },
        { "\"12\"", "\"12\"" }, { "'true'", "\"true\"" }, { "''", "\"\"" },
        { "inf", "\"inf\"" }, { "nan", "\"nan\"" }, { "0b1", "\"0b1\"" },
        { "\"a\\u00e9\\0b\"", "\"a\xC3\xA9\\u0000b\"" },
        { "|\n  a\n  b\n", "\"a\\nb\\n\"" }, { ">-\n  a\n  b\n", "\"a b\"" },
    };
    size_t i;

    start();
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        char text[100], want[100];

        snprintf(text, sizeof(text), "k: %s\n", rows[i].from);
        snprintf(want, sizeof(want), "{\"k\":%s}", rows[i].want);
        if (strcmp(rows[i].from, "-") == 0)     /* opens a list with one empty entry */
            continue;
        CHECK_STR(as_json(text), want);
    }
    CHECK(isinf(parse(".inf")->real) && parse("-.INF")->real < 0 && parse("+.Inf")->real > 0);
    CHECK(isnan(parse(".nan")->real) && isnan(parse(".NaN")->real));
    CHECK_STR(as_json("k:\n"), "{\"k\":null}");
    CHECK_STR(as_json("- \n"), "[null]");
    stop();
}

static void
numbers_keep_their_text(void)
{
    const struct sea_node *node;

    start();
    node = parse("{a: 1.0e-3, b: 0x10, c: true}");
    CHECK_STR(sea_node_get(node, "a")->text, "1.0e-3");
    CHECK_STR(sea_node_get(node, "b")->text, "0x10");
    CHECK(sea_node_get(node, "c")->text == NULL);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "b"), 0), 16, 0);
    /* but a text that looks like a number is no number */
    CHECK_STR(sea_node_text(sea_node_get(node, "a"), "none"), "none");
    stop();
}

static void
an_experiment_file_parses(void)
{
    start();
    CHECK_STR(as_json("# a comment\n"
                      "name: scenes\n"
                      "model:\n"
                      "  vision:   {path: \"@foundation/vision\", layer: -2}  # and here\n"
                      "  adapter:  mlp2x_gelu\n"
                      "stages:\n"
                      "  label: {prompt: \"{}\", words: auto}\n"
                      "sweep: {align.lambda: [0, 1.0], seed: [1, 2]}\n"
                      "list:\n"
                      "- a\n"
                      "- b: 1\n"
                      "  c: 2\n"),
              "{\"name\":\"scenes\",\"model\":{\"vision\":{\"path\":\"@foundation/vision\","
              "\"layer\":-2},\"adapter\":\"mlp2x_gelu\"},\"stages\":{\"label\":{\"prompt\":"
              "\"{}\",\"words\":\"auto\"}},\"sweep\":{\"align.lambda\":[0,1.0],\"seed\":[1,2]},"
              "\"list\":[\"a\",{\"b\":1,\"c\":2}]}");
    CHECK_STR(as_json("{\"json\": [1, \"too\", null]}"), "{\"json\":[1,\"too\",null]}");
    CHECK_STR(as_json("%YAML 1.2\n---\na: 1\n...\n"), "{\"a\":1}");
    CHECK_STR(as_json("\xEF\xBB\xBF" "a: 1\r\nb: 2\r\n"), "{\"a\":1,\"b\":2}");
    stop();
}

static void
nodes_know_their_lines(void)
{
    const struct sea_node *node;

    start();
    node = parse("\n# x\na: 1\nb:\n  c: |\n    1\n    2\n  d:\n    - x\n    -\n      y\n\n"
                 "e: {f: 1,\n  g: 2}\n");
    CHECK_INT(node->line, 3);
    CHECK_INT(sea_node_path(node, "a")->line, 3);
    CHECK_INT(sea_node_path(node, "b")->line, 4);
    CHECK_INT(sea_node_path(node, "b.c")->line, 5);
    CHECK_INT(sea_node_path(node, "b.d")->line, 8);
    CHECK_INT(sea_node_path(node, "b.d")->first->line, 9);
    CHECK_INT(sea_node_path(node, "b.d")->last->line, 11);
    CHECK_INT(sea_node_path(node, "e")->line, 13);
    CHECK_INT(sea_node_path(node, "e.f")->line, 13);
    CHECK_INT(sea_node_path(node, "e.g")->line, 14);
    stop();
}

static void
bad_documents_are_refused_with_their_place(void)
{
    static const struct { const char *text, *words, *hint; } rows[] = {
        { "", "is empty", "" }, { "# only\n", "is empty", "" }, { "\n\n", "is empty", "" },
        { "a: 1\nb: 2\na: 3\n", "line 3: key \"a\" stands in line 1 already", "Keep" },
        { "x: {b: 1, \"b\": 2}\n", "line 1: key \"b\"", "Keep" },
        { "a: &x 1\n", "line 1, column 4: anchor \"&x\"", "Write" },
        { "a: &x {b: 1}\n", "anchor \"&x\"", "Write" },
        { "a: &x [1]\n", "anchor \"&x\"", "Write" },
        { "&k a: 1\n", "anchor \"&k\"", "" },
        { "a: 1\nb: *x\n", "line 2, column 4: alias \"*x\"", "" },
        { "*x : 1\n", "alias \"*x\"", "" }, { "- *x\n", "alias \"*x\"", "" },
        { "<<: {a: 1}\n", "merge key", "" },
        { "a: !!int 1\n", "line 1, column 4: tag", "Remove" }, { "a: ! x\n", "tag \"!\"", "" },
        { "a: !!python/object:os.system x\n", "tag", "" },
        { "!x {a: 1}\n", "tag", "" }, { "- !x [1]\n", "tag", "" }, { "!k a: 1\n", "tag", "" },
        { "a: 1\n---\nb: 2\n", "line 2, column 1: a second document", "" },
        { "--- a\n--- b\n", "second document", "" },
        { "a:\n\tb: 1\n", "line 2", "spaces" }, { "a: 1\n \tb: 2\n", "line 2", "spaces" },
        { "a: 1\n  b: 2\n", "line 2, column 4: mapping values are not allowed", "" },
        { "a: [1, 2\nb: 3\n", "line 2", "" }, { "a: {b: 1\n", "line 2", "" },
        { "a: 'x\n", "line 2", "" },
        { "a: \"\\q\"\n", "line 1, column 5: found unknown escape", "" },
        { "? [1]\n: 2\n", "key must be plain text", "" },
        { "? {a: 1}\n: 2\n", "key must be plain text", "" },
        { "\"a\\0b\": 1\n", "zero byte", "" },
        { "a: 9223372036854775808\n", "line 1, column 4: integer", "quotes" },
        { "a: 0xFFFFFFFFFFFFFFFFFF\n", "does not fit 64 bits", "quotes" },
        { "a: 1e999\n", "out of range", "" },
        { "a: \xff\n", "line 1, column 4: ", "UTF-8" },
        { "a: 1\nb: \xc0\xaf\n", "line 2, column 4: ", "UTF-8" },
        { "a: \xed\xa0\x80\n", "line 1", "UTF-8" }, { "a: \xe2\x82", "line 1", "UTF-8" },
        { "a: b\x01\n", "control characters", "UTF-8" },
        { "a: \"\\ud800\"\n", "line 1", "" },
        { "%FOO\n--- a\n...\n%YAML 3.0\n--- a\n", "line", "" },
        { "a: @b\n", "line 1, column 4", "" }, { "a: `b`\n", "line 1, column 4", "" },
        { "a: %b\n", "line 1", "" }, { "- a\nb: 1\n", "line 2", "" },
    };
    size_t i;

    start();
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sea_node *node = (struct sea_node *)1;
        struct sea_err err = { 0 };
        int refused = sea_yaml_parse(rows[i].text, strlen(rows[i].text), "t.yaml", arena, &node,
                                     &err) == SEA_E_CONFIG;

        CHECK_MSG(refused, "row %zu was accepted: %s", i, rows[i].text);
        CHECK_FAILS(err, SEA_E_CONFIG, rows[i].words);
        CHECK(strstr(err.message, "\"t.yaml\"") != NULL);
        CHECK_MSG(strstr(err.hint, rows[i].hint) != NULL, "hint \"%s\", want \"%s\"", err.hint,
                  rows[i].hint);
        CHECK(node == NULL);
    }
    stop();
}

static void
zero_bytes_and_utf_16_are_refused(void)
{
    static const char text[] = "a: b\0c\n", wide[] = "\xFF\xFE" "a\0:\0 \0" "1\0";
    struct sea_err err = { 0 };
    struct sea_node *node;

    start();
    CHECK(sea_yaml_parse(text, sizeof(text) - 1, "t", arena, &node, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "line 1, column 5");
    sea_err_clear(&err);
    CHECK(sea_yaml_parse(wide, sizeof(wide) - 1, "t", arena, &node, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "line 1, column 1");
    CHECK(strstr(err.hint, "UTF-8") != NULL);
    stop();
}

static void
nesting_ends_at_64(void)
{
    static const int depths[] = { 64, 65, 5000, 200000 };
    size_t i, j;

    start();
    for (i = 0; i < 4; i++) {
        size_t n = (size_t)depths[i];
        struct sea_err err = { 0 };
        struct sea_node *node;
        char *text = malloc(2 * n + 1);
        double from = sea_clock_seconds();

        for (j = 0; j < n; j++) {
            text[j] = '[';
            text[n + j] = ']';
        }
        if (depths[i] == 64)
            CHECK_OK(sea_yaml_parse(text, 2 * n, "t", arena, &node, &err), err);
        else
            CHECK(sea_yaml_parse(text, 2 * n, "t", arena, &node, &err) == SEA_E_CONFIG);
        if (depths[i] == 65)
            CHECK_FAILS(err, SEA_E_CONFIG, "column 65: nested deeper than 64");
        printf("  %zu open brackets: %.3f s\n", n, sea_clock_seconds() - from);
        CHECK(sea_clock_seconds() - from < 2);
        free(text);
    }
    stop();
}

static void
megabyte_scalars_and_wide_maps_come_through(void)
{
    enum { KEYS = 50000 };
    size_t n = (size_t)1 << 20;
    struct sea_err err = { 0 };
    struct sea_node *node = NULL;
    struct sea_buf buf;
    double from;
    int i;

    start();
    sea_buf_init(&buf, 4 * n);
    sea_buf_puts(&buf, "k: \"");
    for (i = 0; i < 1 << 20; i++)
        sea_buf_puts(&buf, "x");
    sea_buf_puts(&buf, "\"\n");
    CHECK_OK(sea_yaml_parse(buf.data, buf.len, "t", arena, &node, &err), err);
    CHECK_INT(sea_node_get(node, "k")->text_len, n);
    sea_buf_clear(&buf);
    for (i = 0; i < KEYS; i++)
        sea_buf_addf(&buf, "key%d: %d\n", i, i);
    from = sea_clock_seconds();
    CHECK_OK(sea_yaml_parse(buf.data, buf.len, "t", arena, &node, &err), err);
    printf("  %d keys: %.3f s\n", KEYS, sea_clock_seconds() - from);
    CHECK_INT(node->count, KEYS);
    sea_buf_puts(&buf, "key777: again\n");
    CHECK(sea_yaml_parse(buf.data, buf.len, "t", arena, &node, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "line 50001: key \"key777\" stands in line 778 already");
    sea_buf_release(&buf);
    stop();
}

static void
load_reads_and_names_files(void)
{
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    struct sea_node *node;

    start();
    snprintf(path, sizeof(path), "%s/f.yaml", sea_test_dir());
    CHECK_OK(sea_file_replace(path, "a: [1\n", 6, &err), err);
    CHECK(sea_yaml_load(path, 100, arena, &node, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, path);
    sea_err_clear(&err);
    CHECK_OK(sea_file_replace(path, "a: [1]\n", 7, &err), err);
    CHECK_OK(sea_yaml_load(path, 100, arena, &node, &err), err);
    CHECK_INT(sea_node_get(node, "a")->count, 1);
    CHECK(sea_yaml_load("/nowhere.yaml", 8, arena, &node, &err) == SEA_E_MISSING);
    stop();
}

SEA_TEST_MAIN("YAML documents",
              TEST(scalars_follow_the_core_schema),
              TEST(numbers_keep_their_text),
              TEST(an_experiment_file_parses),
              TEST(nodes_know_their_lines),
              TEST(bad_documents_are_refused_with_their_place),
              TEST(zero_bytes_and_utf_16_are_refused),
              TEST(nesting_ends_at_64),
              TEST(megabyte_scalars_and_wide_maps_come_through),
              TEST(load_reads_and_names_files))
