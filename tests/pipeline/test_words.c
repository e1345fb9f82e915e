/* SPDX-License-Identifier: Apache-2.0 */
/* The word list: lemmas by WordNet's rules, names of several words, order, files. */
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_words.h"
#include "tests/sea_test.h"

static struct sea_arena *arena;

static bool
have_wordnet(void)
{
    if (!arena)
        arena = sea_arena_create(NULL, "test");
    return sea_file_exists("/usr/share/wordnet/index.noun");
}

#define NEED_WORDNET()                                                              \
    if (!have_wordnet()) {                                                          \
        SEA_SKIP("WordNet (package wordnet-base) is not installed");                \
        return;                                                                     \
    }

static struct sea_word_list
build(const char *const *captions, size_t count, int64_t count_min)
{
    struct sea_word_options options;
    struct sea_word_list list;
    struct sea_err err = { 0 };

    sea_word_options_defaults(&options);
    options.count_min = count_min;
    CHECK_OK(sea_word_list_build(&list, captions, count, &options, arena, &err), err);
    return list;
}

static bool
holds(const struct sea_word_list *list, const char *word)
{
    for (size_t i = 0; i < list->count; i++)
        if (strcmp(list->items[i], word) == 0)
            return true;
    return false;
}

static void
captions_become_lemmas_forms_and_names(void)
{
    static const char *const captions[] = {
        "Two geese and a wolf ran over the red bridges.",
        "a hot dog, a fire engine & the big wooden box",
        "the children's knives are rusting slowly; it's a rose",
        "an iPhone on 3 tables",
    };
    static const char *const want[] = {
        "goose", "geese", "wolf", "run", "ran", "red", "bridge", "bridges", "red bridge",
        "hot dog", "dog", "fire engine", "big wooden box", "box", "knife", "knives", "rust",
        "rusting", "rose", "iphone", "table", "tables",
    };
    static const char *const refused[] = { "a", "the", "and", "over", "slowly", "it's", "3", "on",
                                           "rise", "are", "wolf ran", "Red", "" };
    struct sea_word_list list;

    NEED_WORDNET();
    list = build(captions, 4, 1);
    for (size_t i = 0; i < sizeof(want) / sizeof(want[0]); i++)
        CHECK_MSG(holds(&list, want[i]), "\"%s\" is not in the list", want[i]);
    for (size_t i = 0; i < sizeof(refused) / sizeof(refused[0]); i++)
        CHECK_MSG(!holds(&list, refused[i]), "\"%s\" is in the list", refused[i]);
}

static void
rare_words_go_and_order_is_stable(void)
{
    static const char *const captions[] = { "a cat and a dog", "a dog", "a dog and a cow",
                                            "a cow", "a cow and a cat", "an owl" };
    static const char *const turned[] = { "an owl", "a cow and a cat", "a cow",
                                          "a dog and a cow", "a dog", "a cat and a dog" };
    struct sea_word_list list, other;

    NEED_WORDNET();
    list = build(captions, 6, 2);
    CHECK_INT(list.count, 3);
    CHECK_STR(list.items[0], "cow");            /* equal counts: by bytes */
    CHECK_STR(list.items[1], "dog");
    CHECK_STR(list.items[2], "cat");
    other = build(turned, 6, 2);
    CHECK_INT(other.count, list.count);
    for (size_t i = 0; i < list.count && i < other.count; i++)
        CHECK_STR(other.items[i], list.items[i]);
}

static void
lists_are_read_in_their_order(void)
{
    char path[512];
    struct sea_word_list list;
    struct sea_err err = { 0 };

    snprintf(path, sizeof(path), "%s/words.txt", sea_test_dir());
    CHECK_OK(sea_file_replace(path, "hot dog\ncat\nbee", 15, &err), err);
    CHECK_OK(sea_word_list_load(&list, path, arena, &err), err);
    if (!CHECK(list.count == 3))
        return;
    CHECK_STR(list.items[0], "hot dog");
    CHECK_STR(list.items[1], "cat");
    CHECK_STR(list.items[2], "bee");
}

static void
broken_lists_are_named_by_line(void)
{
    static const struct { const char *text, *words; } cases[] = {
        { "", "holds 0 words" }, { "cat\n\ndog\n", "line 2 is blank" },
        { "cat\ndog\ncat\n", "line 3 repeats \"cat\" of line 1" },
        { "cat\n dog\n", "line 2 has blanks around" }, { "a\tb\n", "line 1 has blanks around" },
    };
    struct sea_word_options options;
    struct sea_word_list list;
    struct sea_err err = { 0 };
    const char *caption = "the and of";
    char path[512];

    if (!arena)
        arena = sea_arena_create(NULL, "test");
    snprintf(path, sizeof(path), "%s/words.txt", sea_test_dir());
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        err = (struct sea_err){ 0 };
        CHECK_OK(sea_file_replace(path, cases[i].text, strlen(cases[i].text), &err), err);
        CHECK(sea_word_list_load(&list, path, arena, &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, cases[i].words);
    }
    err = (struct sea_err){ 0 };
    CHECK_OK(sea_file_replace(path, "cat\r\ndog", 8, &err), err);
    CHECK_OK(sea_word_list_load(&list, path, arena, &err), err);
    CHECK_INT(list.count, 2);
    sea_word_options_defaults(&options);
    options.wordnet = "/no/such/folder";
    CHECK(sea_word_list_build(&list, &caption, 1, &options, arena, &err) == SEA_E_MISSING);
    CHECK(strstr(err.hint, "wordnet-base") != NULL);
    err = (struct sea_err){ 0 };
    if (have_wordnet()) {
        options.wordnet = NULL;
        CHECK(sea_word_list_build(&list, &caption, 1, &options, arena, &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, "the captions hold 0 words");
    }
}

SEA_TEST_MAIN("word lists", TEST(captions_become_lemmas_forms_and_names),
              TEST(rare_words_go_and_order_is_stable), TEST(lists_are_read_in_their_order),
              TEST(broken_lists_are_named_by_line))
