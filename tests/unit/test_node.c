/* SPDX-License-Identifier: Apache-2.0 */
#include <stdint.h>
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/base/sea_rng.h"
#include "tests/sea_test.h"

#define JSON_MAX ((size_t)64 << 20)

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

/* The structure of sea_node.h, at every place of the tree. */
static int
is_sound(const struct sea_node *node)
{
    const struct sea_node *child, *last = NULL;
    size_t count = 0;

    for (child = node->first; child; child = child->next) {
        if (!!child->key != (node->kind == SEA_NODE_MAP) || !is_sound(child))
            return 0;
        if (child->key && sea_node_get(node, child->key) != child)
            return 0;           /* keys are unique */
        last = child;
        count++;
    }
    if (node->kind == SEA_NODE_STRING && node->text[node->text_len])
        return 0;
    if (count && node->kind != SEA_NODE_MAP && node->kind != SEA_NODE_LIST)
        return 0;
    return node->count == count && node->last == last;
}

static struct sea_node *
parse(const char *text)
{
    struct sea_err err = { 0 };
    struct sea_node *node = NULL;

    CHECK_OK(sea_json_parse(text, strlen(text), "t.json", arena, &node, &err), err);
    CHECK(node && is_sound(node));
    return node;
}

static char *
written(const struct sea_node *node, enum sea_json_style style)
{
    struct sea_err err = { 0 };
    struct sea_buf buf;
    char *text;

    sea_buf_init(&buf, JSON_MAX);
    CHECK_OK(sea_json_write(node, style, &buf, &err), err);
    text = sea_arena_strdup(arena, buf.data);
    sea_buf_release(&buf);
    return text;
}

static void
values_have_their_kinds(void)
{
    const struct sea_node *node;

    start();
    node = parse("{\"n\":null,\"t\":true,\"f\":false,\"i\":-9223372036854775808,"
                 "\"r\":2.5,\"e\":1e3,\"s\":\"a\\u0000\\u00e9\\ud83d\\ude00\",\"l\":[1,[]],"
                 "\"m\":{\"x\":{\"y\":7}}}");
    CHECK_INT(node->kind, SEA_NODE_MAP);
    CHECK_INT(node->count, 9);
    CHECK_INT(node->line, 0);
    CHECK_INT(sea_node_get(node, "n")->kind, SEA_NODE_NULL);
    CHECK_INT(sea_node_bool(sea_node_get(node, "t"), false), 1);
    CHECK_INT(sea_node_bool(sea_node_get(node, "f"), true), 0);
    CHECK_INT(sea_node_int(sea_node_get(node, "i"), 0), INT64_MIN);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "i"), 0), -0x1p63, 0);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "r"), 0), 2.5, 0);
    CHECK_INT(sea_node_get(node, "e")->kind, SEA_NODE_REAL);
    CHECK_INT(sea_node_get(node, "s")->text_len, 8);
    CHECK(memcmp(sea_node_get(node, "s")->text, "a\0\xC3\xA9\xF0\x9F\x98\x80", 9) == 0);
    CHECK_INT(sea_node_get(node, "l")->count, 2);
    CHECK_INT(sea_node_int(sea_node_path(node, "m.x.y"), 0), 7);
    stop();
}

static void
look_ups_fall_back(void)
{
    const struct sea_node *node;

    start();
    node = parse("{\"a\":{\"b\":1,\"ab\":2},\"l\":[1],\"n\":null,\"s\":\"x\"}");
    CHECK(sea_node_get(NULL, "a") == NULL);
    CHECK(sea_node_get(sea_node_get(node, "l"), "a") == NULL);
    CHECK(sea_node_path(node, "a.c") == NULL);
    CHECK(sea_node_path(node, "a.b.c") == NULL);
    CHECK(sea_node_path(node, "a.") == NULL);
    CHECK(sea_node_path(node, "") == NULL);
    CHECK_INT(sea_node_int(sea_node_path(node, "a.ab"), 0), 2);
    CHECK_INT(sea_node_int(NULL, 5), 5);
    CHECK_INT(sea_node_int(sea_node_get(node, "s"), 5), 5);
    CHECK_INT(sea_node_int(sea_node_get(node, "n"), 5), 5);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "s"), 0.5), 0.5, 0);
    CHECK_STR(sea_node_text(sea_node_get(node, "l"), "fall"), "fall");
    CHECK_STR(sea_node_text(sea_node_get(node, "s"), "fall"), "x");
    CHECK_INT(sea_node_bool(sea_node_path(node, "a.b"), true), 1);
    CHECK_STR(sea_node_kind_name(SEA_NODE_LIST), "list");
    CHECK_STR(sea_node_kind_name((enum sea_node_kind)77), "unknown");
    stop();
}

static void
bad_documents_are_refused_with_their_place(void)
{
    static const struct { const char *text, *words; } rows[] = {
        { "", "line 1, column 0" }, { "   ", "line 1" }, { "{", "line 1" },
        { "{\"a\":1,\n \"a\":2}", "line 2, column 4: duplicate object key" },
        { "{\"a\":{\"b\":1,\"b\":1}}", "duplicate object key" },
        { "[1,]", "line 1, column 4" }, { "{\"a\":1,}", "line 1" }, { "[1 2]", "line 1" },
        { "[1]\n[2]", "line 2, column 1: end of file expected" }, { "{} x", "end of file" },
        { "[NaN]", "invalid token" }, { "[Infinity]", "invalid token" }, { "[01]", "line 1" },
        { "[1e999]", "real number overflow" }, { "['a']", "invalid token" },
        { "[\"a\nb\"]", "unexpected newline" }, { "[\"a\tb\"]", "control character" },
        { "[\"\\x\"]", "invalid escape" }, { "[\"\\ud800\"]", "invalid Unicode" },
        { "[\"\xff\"]", "UTF-8" }, { "[\"\xc0\xaf\"]", "UTF-8" },
        { "[\"\xed\xa0\x80\"]", "UTF-8" }, { "[\"\xf4\x90\x80\x80\"]", "UTF-8" },
        { "[\"\xe2\x82\"]", "UTF-8" }, { "\xff", "UTF-8" },
        { "{\"a\\u0000b\":1}", "NUL" }, { "[\"abc", "line 1" }, { "[\"abc\\", "line 1" },
        { "[-]", "line 1" }, { "]", "line 1" }, { "{1:2}", "line 1" }, { "[tru]", "line 1" },
    };
    size_t i;

    start();
    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        struct sea_node *node = arena ? (struct sea_node *)1 : NULL;
        struct sea_err err = { 0 };

        CHECK(sea_json_parse(rows[i].text, strlen(rows[i].text), "t.json", arena, &node, &err)
              == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, rows[i].words);
        CHECK(strstr(err.message, "\"t.json\"") != NULL);
        CHECK(strpbrk(err.message, "\n\t\r") == NULL);
        CHECK(node == NULL);
    }
    stop();
}

static void
zero_bytes_outside_strings_are_refused(void)
{
    static const char text[] = "[1]\0[2]", inside[] = "[\"a\0b\"]";
    struct sea_err err = { 0 };
    struct sea_node *node;

    start();
    CHECK(sea_json_parse(text, sizeof(text) - 1, "t", arena, &node, &err) == SEA_E_FORMAT);
    sea_err_clear(&err);
    CHECK(sea_json_parse(inside, sizeof(inside) - 1, "t", arena, &node, &err) == SEA_E_FORMAT);
    stop();
}

static char *
nested(const char *open, const char *middle, const char *close, int depth)
{
    struct sea_buf buf;
    char *text;
    int i;

    sea_buf_init(&buf, JSON_MAX);
    for (i = 0; i < depth; i++)
        sea_buf_puts(&buf, open);
    sea_buf_puts(&buf, middle);
    for (i = 0; i < depth; i++)
        sea_buf_puts(&buf, close);
    text = sea_arena_strdup(arena, buf.data);
    sea_buf_release(&buf);
    return text;
}

static void
nesting_ends_at_64(void)
{
    static const int depths[] = { 65, 66, 3000, 1000000 };
    struct sea_err err = { 0 };
    struct sea_node *node;
    char *text;
    size_t i;

    start();
    parse(nested("[", "", "]", 64));
    parse(nested("{\"a\":", "1", "}", 64));
    parse(nested("[", "\"[[[[[[[[[[[[[[[[[[[[[[[[{{{{{\\\"[[[[\"", "]", 64));
    for (i = 0; i < 4; i++) {
        text = nested("[", "", "]", depths[i]);
        CHECK(sea_json_parse(text, strlen(text), "t", arena, &node, &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, "line 1, column 65: nested deeper than 64");
        sea_err_clear(&err);
    }
    text = nested("{\"\xC3\xA9\":\n", "1", "}", 65);
    CHECK(sea_json_parse(text, strlen(text), "t", arena, &node, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "line 65, column 1:");
    stop();
}

/* As tokenizer_config.json of many a language model: "no limit" in Python's words. */
static void
integers_beyond_64_bits_become_reals(void)
{
    const struct sea_node *node;

    start();
    node = parse("{\"max\":1000000000000000019884624838656,\"9223372036854775808\":"
                 "-9223372036854775809,\"ok\":9223372036854775807,\"s\":"
                 "\"1000000000000000019884624838656\\\"1000000000000000019884624838656\","
                 "\"r\":1000000000000000019884624838656.5,\"last\":18446744073709551616}");
    CHECK_INT(sea_node_get(node, "max")->kind, SEA_NODE_REAL);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "max"), 0), 1e30, 0);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "9223372036854775808"), 0), -0x1p63, 0);
    CHECK_INT(sea_node_get(node, "ok")->kind, SEA_NODE_INT);
    CHECK_INT(sea_node_int(sea_node_get(node, "ok"), 0), INT64_MAX);
    CHECK_INT(strlen(sea_node_text(sea_node_get(node, "s"), "")), 63);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "r"), 0), 1e30, 0);
    CHECK_NEAR(sea_node_real(sea_node_get(node, "last"), 0), 0x1p64, 0);
    node = parse("18446744073709551616");
    CHECK_NEAR(sea_node_real(node, 0), 0x1p64, 0);
    stop();
}

static void
marks_and_bare_values_are_taken(void)
{
    start();
    CHECK_INT(sea_node_int(parse("\xEF\xBB\xBF 12 \n"), 0), 12);
    CHECK_STR(sea_node_text(parse("\"x\""), ""), "x");
    CHECK_INT(parse("null")->kind, SEA_NODE_NULL);
    CHECK_INT(parse("[]")->kind, SEA_NODE_LIST);
    CHECK_INT(parse("{}")->kind, SEA_NODE_MAP);
    stop();
}

static void
megabyte_strings_come_through(void)
{
    size_t n = (size_t)3 << 20;
    char *text = malloc(n + 5), *back;
    const struct sea_node *node;

    start();
    memset(text, 'x', n + 4);
    text[0] = '[', text[1] = '"', text[n + 2] = '"', text[n + 3] = ']', text[n + 4] = 0;
    node = parse(text);
    CHECK_INT(node->first->text_len, n);
    back = written(node, SEA_JSON_COMPACT);
    CHECK(strcmp(back, text) == 0);
    free(text);
    stop();
}

static void
the_three_styles_look_as_promised(void)
{
    const struct sea_node *node;

    start();
    node = parse("{\"b\":[1,2.5,{}],\"a\":{\"x\":null,\"B\":[]},\"\":\"q\\\"\\\\\\n\\u0001/\"}");
    CHECK_STR(written(node, SEA_JSON_COMPACT),
              "{\"b\":[1,2.5,{}],\"a\":{\"x\":null,\"B\":[]},\"\":\"q\\\"\\\\\\n\\u0001/\"}");
    CHECK_STR(written(node, SEA_JSON_CANONICAL),
              "{\"\":\"q\\\"\\\\\\n\\u0001/\",\"a\":{\"B\":[],\"x\":null},\"b\":[1,2.5,{}]}");
    CHECK_STR(written(parse("{\"a\":[1,{\"b\":true}],\"c\":[]}"), SEA_JSON_PRETTY),
              "{\n  \"a\": [\n    1,\n    {\n      \"b\": true\n    }\n  ],\n  \"c\": []\n}\n");
    CHECK_STR(written(parse("[]"), SEA_JSON_PRETTY), "[]\n");
    stop();
}

static void
canonical_bytes_do_not_depend_on_the_order(void)
{
    const char *want;

    start();
    want = written(parse("{\"a\":1,\"aa\":2,\"Z\":3,\"\xC3\xA9\":4,\"z\":{\"y\":0.1,\"x\":1e300}}"),
                   SEA_JSON_CANONICAL);
    CHECK_STR(want, "{\"Z\":3,\"a\":1,\"aa\":2,\"z\":{\"x\":1.0000000000000001e+300,"
                    "\"y\":0.10000000000000001},\"\xC3\xA9\":4}");
    CHECK_STR(written(parse("{\"z\":{\"x\":1e300,\"y\":0.1},\"\\u00e9\":4,\"Z\":3,"
                            "\"aa\":2,\"a\":1}"), SEA_JSON_CANONICAL), want);
    CHECK_STR(written(parse(want), SEA_JSON_CANONICAL), want);
    stop();
}

static void
reals_come_back_as_the_same_reals(void)
{
    static const double special[] = { 0, -0.0, 1, -1, 100, 1e15, 1e16, 1e17, 1e22, 0.1, 1.0 / 3,
                                      5e-324, 2.2250738585072014e-308, 1.7976931348623157e308 };
    static const enum sea_json_style styles[] = { SEA_JSON_COMPACT, SEA_JSON_CANONICAL };
    struct sea_node *list, *back, *a, *b;
    struct sea_rng rng;
    size_t i;

    start();
    list = sea_node_put(arena, NULL, NULL, SEA_NODE_LIST);
    for (i = 0; i < sizeof(special) / sizeof(special[0]); i++)
        sea_node_put_real(arena, list, NULL, special[i]);
    sea_rng_init(&rng, 1, 1);
    for (i = 0; i < 20000; i++) {
        union { uint64_t bits; double real; } u;

        u.bits = (uint64_t)sea_rng_u32(&rng) << 32 | sea_rng_u32(&rng);
        if (isfinite(u.real))
            sea_node_put_real(arena, list, NULL, u.real);
    }
    for (i = 0; i < 2; i++) {
        back = parse(written(list, styles[i]));
        CHECK_INT(back->count, list->count);
        for (a = list->first, b = back->first; a && b; a = a->next, b = b->next)
            if (b->kind != SEA_NODE_REAL || memcmp(&a->real, &b->real, sizeof(double)) != 0) {
                CHECK_MSG(0, "%.17g came back as %.17g", a->real, b->real);
                break;
            }
    }
    CHECK_STR(written(sea_node_put_real(arena, NULL, NULL, 0.1), SEA_JSON_COMPACT), "0.1");
    CHECK_STR(written(sea_node_put_real(arena, NULL, NULL, 3), SEA_JSON_COMPACT), "3.0");
    CHECK_STR(written(sea_node_put_real(arena, NULL, NULL, (double)NAN), SEA_JSON_COMPACT), "null");
    CHECK_STR(written(sea_node_put_real(arena, NULL, NULL, -(double)INFINITY), SEA_JSON_CANONICAL),
              "null");
    stop();
}

/* A tree at random: what the property below is checked on. */
static void
grow_tree(struct sea_node *parent, struct sea_rng *rng, int depth)
{
    uint32_t n = sea_rng_below(rng, 6), i, j;

    for (i = 0; i < n; i++) {
        char key[16], text[40];
        const char *name = parent->kind == SEA_NODE_MAP ? key : NULL;
        size_t len = sea_rng_below(rng, 12), at = 0;

        snprintf(key, sizeof(key), "k\"%u", sea_rng_below(rng, 8));
        for (j = 0; j < len; j++) {
            static const char *const pieces[] = { "\"", "\\", "\n", "a", "\xC3\xA9", "\x7F",
                                                  "\x01", "\xE2\x82\xAC" };
            const char *piece = pieces[sea_rng_below(rng, 8)];

            memcpy(text + at, piece, strlen(piece));
            at += strlen(piece);
        }
        switch (sea_rng_below(rng, depth > 0 ? 7 : 5)) {
        case 0: sea_node_put(arena, parent, name, SEA_NODE_NULL); break;
        case 1: sea_node_put_bool(arena, parent, name, sea_rng_below(rng, 2)); break;
        case 2: sea_node_put_int(arena, parent, name, (int32_t)sea_rng_u32(rng)); break;
        case 3: sea_node_put_real(arena, parent, name, sea_rng_normal(rng)); break;
        case 4: sea_node_put_textn(arena, parent, name, text, at); break;
        case 5: grow_tree(sea_node_put(arena, parent, name, SEA_NODE_LIST), rng, depth - 1); break;
        default: grow_tree(sea_node_put(arena, parent, name, SEA_NODE_MAP), rng, depth - 1);
        }
    }
}

static void
random_trees_survive_the_round_trip(void)
{
    static const enum sea_json_style styles[] = { SEA_JSON_COMPACT, SEA_JSON_PRETTY,
                                                  SEA_JSON_CANONICAL };
    struct sea_rng rng;
    int round, s, wrong = 0;

    sea_rng_init(&rng, 4, 4);
    for (round = 0; round < 300; round++) {
        struct sea_node *root, *copy;
        const char *want;

        start();
        root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
        grow_tree(root, &rng, 5);
        wrong += !is_sound(root);
        want = written(root, SEA_JSON_CANONICAL);
        copy = sea_node_put_copy(arena, NULL, NULL, root);
        wrong += !is_sound(copy) || strcmp(written(copy, SEA_JSON_CANONICAL), want) != 0;
        for (s = 0; s < 3; s++)
            wrong += strcmp(written(parse(written(root, styles[s])), SEA_JSON_CANONICAL),
                            want) != 0;
        stop();
    }
    CHECK_INT(wrong, 0);
}

static void
put_replaces_in_place_and_remove_closes_the_gap(void)
{
    struct sea_node *map, *list;

    start();
    map = parse("{\"a\":1,\"b\":{\"x\":2},\"c\":3}");
    sea_node_put_text(arena, map, "b", "new");
    CHECK(is_sound(map));
    CHECK_STR(written(map, SEA_JSON_COMPACT), "{\"a\":1,\"b\":\"new\",\"c\":3}");
    sea_node_put_text(arena, map, "b", sea_node_text(sea_node_get(map, "b"), "") + 1);
    CHECK_STR(written(map, SEA_JSON_COMPACT), "{\"a\":1,\"b\":\"ew\",\"c\":3}");
    sea_node_put_real(arena, map, "d", 0.5);
    CHECK(sea_node_remove(map, "b"));
    CHECK(is_sound(map));
    CHECK(!sea_node_remove(map, "b"));
    CHECK(sea_node_remove(map, "d"));
    CHECK(is_sound(map));
    CHECK(sea_node_remove(map, "a"));
    CHECK_STR(written(map, SEA_JSON_COMPACT), "{\"c\":3}");
    CHECK(sea_node_remove(map, "c"));
    CHECK(is_sound(map));
    CHECK_STR(written(map, SEA_JSON_COMPACT), "{}");
    list = sea_node_put(arena, map, "l", SEA_NODE_LIST);
    sea_node_put_bool(arena, list, NULL, true);
    sea_node_put_int(arena, list, NULL, 5);
    CHECK(!sea_node_remove(list, "l"));
    sea_node_put_copy(arena, map, "l2", list);
    sea_node_put_int(arena, list, NULL, 6);
    CHECK_STR(written(map, SEA_JSON_COMPACT), "{\"l\":[true,5,6],\"l2\":[true,5]}");
    sea_node_put_copy(arena, map, "l", sea_node_get(map, "l")->first);  /* part of itself */
    CHECK_STR(written(map, SEA_JSON_COMPACT), "{\"l\":true,\"l2\":[true,5]}");
    sea_node_put_copy(arena, map, "l2", map);                   /* and the whole */
    CHECK(is_sound(map));
    CHECK_STR(written(map, SEA_JSON_COMPACT), "{\"l\":true,\"l2\":{\"l\":true,\"l2\":[true,5]}}");
    stop();
}

static void
a_full_buffer_is_left_as_it_was(void)
{
    struct sea_err err = { 0 };
    struct sea_buf buf;

    start();
    sea_buf_init(&buf, 20);
    sea_buf_puts(&buf, "before ");
    CHECK(sea_json_write(parse("[1,2,3,4,5,6,7,8,9]"), SEA_JSON_COMPACT, &buf, &err)
          == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "limit of 20");
    CHECK_STR(buf.data, "before ");
    sea_buf_release(&buf);
    stop();
}

static void
quotes_are_json_whatever_the_bytes(void)
{
    struct sea_rng rng;
    struct sea_buf buf;
    int round;

    start();
    sea_buf_init(&buf, 1000);
    sea_json_quote(&buf, "a\0\xFF\xC3\xA9\xC3", 6);
    CHECK_STR(buf.data, "\"a\\u0000\xEF\xBF\xBD\xC3\xA9\xEF\xBF\xBD\"");
    sea_rng_init(&rng, 6, 6);
    for (round = 0; round < 2000; round++) {
        char bytes[40];
        size_t i, n = sea_rng_below(&rng, sizeof(bytes));

        for (i = 0; i < n; i++)
            bytes[i] = (char)sea_rng_u32(&rng);
        sea_buf_clear(&buf);
        sea_json_quote(&buf, bytes, n);
        if (parse(buf.data)->kind != SEA_NODE_STRING) {
            CHECK_MSG(0, "no string: %s", buf.data);
            break;
        }
    }
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
    snprintf(path, sizeof(path), "%s/f.json", sea_test_dir());
    CHECK_OK(sea_file_replace(path, "{\"a\": 1}\n", 9, &err), err);
    CHECK_OK(sea_json_load(path, 9, arena, &node, &err), err);
    CHECK_INT(sea_node_int(sea_node_get(node, "a"), 0), 1);
    CHECK(sea_json_load(path, 8, arena, &node, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "larger than the limit of 8 bytes");
    CHECK(node == NULL);
    sea_err_clear(&err);
    CHECK(sea_json_load("/nowhere.json", 8, arena, &node, &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "/nowhere.json");
    stop();
}

SEA_TEST_MAIN("JSON and the node tree",
              TEST(values_have_their_kinds),
              TEST(look_ups_fall_back),
              TEST(bad_documents_are_refused_with_their_place),
              TEST(zero_bytes_outside_strings_are_refused),
              TEST(nesting_ends_at_64),
              TEST(integers_beyond_64_bits_become_reals),
              TEST(marks_and_bare_values_are_taken),
              TEST(megabyte_strings_come_through),
              TEST(the_three_styles_look_as_promised),
              TEST(canonical_bytes_do_not_depend_on_the_order),
              TEST(reals_come_back_as_the_same_reals),
              TEST(random_trees_survive_the_round_trip),
              TEST(put_replaces_in_place_and_remove_closes_the_gap),
              TEST(a_full_buffer_is_left_as_it_was),
              TEST(quotes_are_json_whatever_the_bytes),
              TEST(load_reads_and_names_files))
