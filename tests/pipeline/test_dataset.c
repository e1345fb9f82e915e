/* SPDX-License-Identifier: Apache-2.0 */
/* Data files: rows are read as LLaVA writes them, broken ones are named by file, row, id and
 * field, missing pictures are counted, digests follow contents and nothing else. */
#include <fcntl.h>
#include <stdlib.h>
#include <unistd.h>

#include "pipeline/sea_dataset.h"
#include "pipeline/sea_records.h"
#include "tests/pipeline/scratch_files.h"

static const char *
put_images(void)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_dir_create(path_of("images/deep"), &err), err);
    put_file("images/a.png", "picture a");
    put_file("images/deep/b.png", "picture b");
    return path_of("images");
}

#define PAIR(human, gpt)                                                            \
    "{\"from\": \"human\", \"value\": \"" human "\"}, {\"from\": \"gpt\", \"value\": \"" gpt "\"}"

static void
rows_are_read_as_written(void)
{
    const char *images = put_images();
    const char *json = put_file("good.json",
        "\xEF\xBB\xBF[{\"id\": \"x\", \"image\": \"a.png\", \"conversations\": ["
        PAIR("<image>\\nWhat?", "a cat") ", " PAIR("And?", "a dog, \\u00e9\\\"") "]},\r\n"
        " {\"id\": 17, \"conversations\": [{\"from\": \"gpt\", \"value\": \"hello\"}, "
        PAIR("Hi", "ho") "]},\n"
        " {\"image\": \"deep/b.png\", \"extra\": [1, {\"a\": \"]}\"}], \"conversations\": ["
        PAIR("Look\\n<image>", "yes") "]}]\n");
    struct sea_dataset set;
    struct sea_err err = { 0 };

    CHECK_OK(sea_dataset_load(&set, SEA_DATASET_INSTRUCT, json, images, arena, &err), err);
    if (err.status)
        return;
    CHECK_INT(set.count, 3);
    CHECK_INT(set.images_count, 2);
    CHECK_STR(set.rows[0].id, "x");
    CHECK_INT(set.rows[0].turns_count, 4);
    CHECK_STR(set.rows[0].turns[3].value, "a dog, \xC3\xA9\"");
    CHECK_INT(set.rows[0].turns[3].len, 10);
    CHECK_STR(sea_row_caption(&set.rows[0]), "a cat");
    CHECK_STR(set.rows[1].id, "17");
    CHECK(set.rows[1].image == NULL);
    CHECK_INT(set.rows[1].turns_count, 2);      /* a first turn of gpt is dropped */
    CHECK_STR(set.rows[1].turns[0].value, "Hi");
    CHECK_STR(set.rows[2].id, "2");
    CHECK_STR(set.rows[2].image, "deep/b.png");
    CHECK_INT(set.rows[2].index, 2);
}

/* As LLaVA reads them: a tag twice in one turn is one picture, and without a picture the tag is
 * text. */
static void
tags_inside_texts_are_texts(void)
{
    const char *images = put_images();
    const char *json = put_file("tags.json",
        "[{\"image\": \"a.png\", \"conversations\": [" PAIR("<image>\\nWhat?\\n<image>", "a cat") "]},\n"
        " {\"conversations\": [" PAIR("Is <image> a tag of HTML?", "<image> is not, img is")
        "]}]\n");
    struct sea_dataset set;
    struct sea_err err = { 0 };

    CHECK_OK(sea_dataset_load(&set, SEA_DATASET_INSTRUCT, json, images, arena, &err), err);
    if (err.status)
        return;
    CHECK_INT(set.count, 2);
    CHECK_INT(set.images_count, 1);
    CHECK_STR(set.rows[1].turns[0].value, "Is <image> a tag of HTML?");
    CHECK(set.rows[1].image == NULL);
}

static void
broken_rows_are_named(void)
{
#define GOOD "{\"id\": \"ok\", \"image\": \"a.png\", \"conversations\": [" PAIR("<image>", "x") "]}"
    static const struct { const char *row, *words; enum sea_dataset_kind kind; } cases[] = {
        { "{\"id\": \"x\", \"image\": \"a.png\"}",
          "row 1 (id \"x\"), line 2: field \"conversations\" is missing", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": {}}", "field \"conversations\" is map",
          SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": []}", "has 0 turns", SEA_DATASET_INSTRUCT },
        { "{\"id\": [], \"conversations\": []}", "row 1, line 2: field \"id\" is list",
          SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": [{\"from\": \"human\", \"value\": 3}]}",
          "field \"value\" of turn 0 is", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": [{\"from\": \"robot\", \"value\": \"\"}]}",
          "turn 0 is from \"robot\", expected \"human\" or \"gpt\"", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": [" PAIR("a", "b") ", {\"from\": \"gpt\", \"value\": "
          "\"\"}]}", "turn 2 is from \"gpt\" like the one before", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"image\": \"a.png\", \"conversations\": [" PAIR("a", "b") "]}",
          "the tag <image> stands in 0 turns", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"image\": \"a.png\", \"conversations\": ["
          PAIR("<image>", "b") ", " PAIR("and <image>?", "b") "]}",
          "the tag <image> stands in 2 turns", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": [" PAIR("<image>", "b") "]}",
          "a question has the tag <image>", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": [" PAIR("What is this?\\n<image> ", "b") "]}",
          "a question has the tag <image>", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"image\": \"../a.png\", \"conversations\": []}",
          "without \"..\"", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"image\": [\"a.png\"], \"conversations\": []}",
          "field \"image\" is list", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": [" PAIR("a", "b") "]}",
          "the row has no field \"image\"", SEA_DATASET_PRETRAIN },
        { "{\"id\": \"x\", \"conversations\": [{\"role\": \"user\"}]}",
          "field \"from\" of turn 0 is missing", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"conversations\": [{\"from\": \"gpt\", \"value\": \"a\"}, "
          "{\"from\": \"human\", \"value\": \"b\"}]}",
          "the first turn is from \"gpt\" and is left out; behind it are 1", SEA_DATASET_INSTRUCT },
        { "1", "a row is a number, expected an object", SEA_DATASET_INSTRUCT },
        { "[1]", "a row is a list, expected an object", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", \"id\": \"y\"}", "row 1, line 2: ", SEA_DATASET_INSTRUCT },
        { "{\"id\": \"x\", [1", "the file ends inside this row", SEA_DATASET_INSTRUCT },
        { "nonsense", "row 1, line 2: ", SEA_DATASET_INSTRUCT },
    };
    const char *images = put_images();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *text = sea_arena_printf(arena, "[" GOOD ",\n%s]", cases[i].row);
        struct sea_dataset set;
        struct sea_err err = { 0 };

        CHECK(sea_dataset_load(&set, cases[i].kind, put_file("bad.json", text), images, arena,
                               &err) != SEA_OK);
        CHECK_FAILS(err, SEA_E_FORMAT, cases[i].words);
        CHECK(strstr(err.message, "bad.json") != NULL);
        CHECK(strstr(err.context, "while loading") != NULL);
    }
}

static void
lists_that_are_cut_are_refused(void)
{
    static const struct { const char *text, *words; } cases[] = {
        { "", "holds 0 rows" }, { "[]", "holds 0 rows" }, { "[", "the file ends inside the list" },
        { "[" GOOD, "the file ends inside the list" },
        { "[" GOOD ",", "the file ends inside the list" },
        { "[" GOOD "] {}", "goes on behind the \"]\"" },
        { "[" GOOD " " GOOD "]", "expected a row, then \",\" or \"]\"" },
        { "[,]", "expected a row" },
    };
    const char *images = put_images();

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sea_dataset set;
        struct sea_err err = { 0 };

        CHECK(sea_dataset_load(&set, SEA_DATASET_INSTRUCT, put_file("cut.json", cases[i].text),
                               images, arena, &err) != SEA_OK);
        CHECK_FAILS(err, SEA_E_FORMAT, cases[i].words);
    }
}

static void
missing_pictures_are_counted(void)
{
    const char *images = put_images();
    const char *json = put_file("missing.json",
        "[" GOOD ", {\"id\": \"q\", \"image\": \"c.png\", \"conversations\": ["
        PAIR("<image>", "x") "]}, {\"id\": \"r\", \"image\": \"d.png\", \"conversations\": ["
        PAIR("<image>", "x") "]}]");
    struct sea_dataset set;
    struct sea_err err = { 0 };

    CHECK(sea_dataset_load(&set, SEA_DATASET_PRETRAIN, json, images, arena, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "image \"c.png\" of row 1 (id \"q\")");
    CHECK(strstr(err.message, "2 of 3 rows with images lack theirs") != NULL);
    err = (struct sea_err){ 0 };
    CHECK(sea_dataset_load(&set, SEA_DATASET_PRETRAIN, json, path_of("nowhere"), arena, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "nowhere\" does not exist");
    err = (struct sea_err){ 0 };
    CHECK(sea_dataset_load(&set, SEA_DATASET_PRETRAIN, path_of("no.json"), images, arena, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "no.json");
}

static void
digests_follow_contents_alone(void)
{
    const char *images = put_images();
    const char *text = "[" GOOD ", {\"id\": \"q\", \"image\": \"deep/b.png\", "
                       "\"conversations\": []}]";
    const char *json = put_file("one.json", text);
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT];
    struct sea_err err = { 0 };

    CHECK_OK(sea_dataset_digest(json, images, one, &err), err);
    CHECK_INT(strlen(one), 64);
    CHECK_OK(sea_dir_create(path_of("elsewhere/deep"), &err), err);
    put_file("elsewhere/a.png", "picture a");
    put_file("elsewhere/deep/b.png", "picture b");
    put_file("elsewhere/unused.png", "never named");
    CHECK_OK(sea_dataset_digest(put_file("two.json", text), path_of("elsewhere"), two, &err), err);
    CHECK_STR(two, one);
    put_file("elsewhere/deep/b.png", "picture B");
    CHECK_OK(sea_dataset_digest(path_of("two.json"), path_of("elsewhere"), two, &err), err);
    CHECK(strcmp(one, two) != 0);
    put_file("two.json", sea_arena_printf(arena, "%s\n", text));
    CHECK_OK(sea_dataset_digest(path_of("two.json"), images, two, &err), err);
    CHECK(strcmp(one, two) != 0);
    unlink(path_of("elsewhere/a.png"));
    CHECK(sea_dataset_digest(json, path_of("elsewhere"), two, &err) == SEA_E_MISSING);
    CHECK(strstr(err.message, "a.png") != NULL);
}

/* Digest of the set after byte `at` of its large picture was set to c. */
static const char *
digest_with(const char *json, const char *images, off_t at, char c)
{
    char *out = sea_arena_alloc(arena, 1, SEA_SHA256_TEXT);
    int fd = open(path_of("large/a.png"), O_WRONLY);
    struct sea_err err = { 0 };

    CHECK(fd >= 0 && pwrite(fd, &c, 1, at) == 1 && close(fd) == 0);
    CHECK_OK(sea_dataset_digest(json, images, out, &err), err);
    return out;
}

static void
large_sets_are_known_by_sizes_and_edges(void)
{
    const off_t size = ((off_t)4 << 30) + 100;
    const char *json = put_file("one.json", "[" GOOD ", {\"id\": \"q\", \"image\": \"deep/b.png\", "
                                            "\"conversations\": []}]");
    const char *images = path_of("large"), *first;
    struct sea_err err = { 0 };

    CHECK_OK(sea_dir_create(path_of("large/deep"), &err), err);
    put_file("large/a.png", "");
    put_file("large/deep/b.png", "picture b");
    CHECK(truncate(path_of("large/a.png"), size) == 0);         /* takes no room */
    first = digest_with(json, images, 0, 0);
    CHECK_STR(digest_with(json, images, 4096, 1), first);       /* in the middle: not looked at */
    CHECK_STR(digest_with(json, images, size - 4097, 1), first);
    CHECK(strcmp(digest_with(json, images, 4095, 1), first) != 0);
    CHECK_STR(digest_with(json, images, 4095, 0), first);
    CHECK(strcmp(digest_with(json, images, size - 4096, 1), first) != 0);
    CHECK_STR(digest_with(json, images, size - 4096, 0), first);
    CHECK(strcmp(digest_with(json, images, size, 0), first) != 0);      /* a byte longer */
    CHECK(truncate(path_of("large/a.png"), size) == 0);
    put_file("large/deep/b.png", "picture B");                  /* small ones are read whole */
    CHECK(strcmp(digest_with(json, images, 0, 0), first) != 0);
}

static void
objects_belong_to_their_pictures(void)
{
    const char *json = put_file("objects.json",
        "{\"info\": {\"x\": \"[{\"}, \"annotations\": [{\"id\": 1, \"image_id\": 9, "
        "\"category_id\": 3, \"bbox\": [1, 2.5, 3, 4]}, {\"id\": 2, "
        "\"image_id\": 5, \"category_id\": 1, \"bbox\": [0, 0, 1, 1]}, "
        "{\"id\": 3, \"image_id\": 9, \"category_id\": 1, \"bbox\": [5, 5, 2, 2], "
        "\"segmentation\": [[1, 2]]}], \"images\": [{\"id\": 9, \"file_name\": \"z.png\", "
        "\"width\": 8, \"height\": 9}, {\"id\": 5, \"file_name\": \"a.png\", "
        "\"width\": 8, \"height\": 8, \"background\": \"blue\"}], "
        "\"categories\": [{\"id\": 1, \"name\": \"cat\", "
        "\"supercategory\": \"animal\"}, {\"id\": 3, \"name\": \"key\"}]}");
    const struct sea_pictured *image;
    struct sea_objects objects;
    struct sea_err err = { 0 };

    CHECK_OK(sea_objects_load(&objects, json, arena, &err), err);
    CHECK_INT(objects.images_count, 2);
    image = sea_objects_find(&objects, "z.png");
    CHECK(image && image->boxes_count == 2 && image->height == 9);
    if (image) {
        CHECK_STR(objects.categories[image->boxes[0].category].name, "key");
        CHECK_NEAR(image->boxes[0].y, 2.5, 0);
        CHECK_STR(objects.categories[image->boxes[1].category].supercategory, "animal");
    }
    image = sea_objects_find(&objects, "a.png");
    CHECK(image && image->boxes_count == 1 && strcmp(image->background, "blue") == 0);
    CHECK(sea_objects_find(&objects, "b.png") == NULL);
    CHECK(sea_objects_load(&objects, put_file("o.json", "{\"images\": []}"), arena, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "has no list \"categories\"");
    err = (struct sea_err){ 0 };
    CHECK(sea_objects_load(&objects, put_file("o.json", "{\"images\": [], \"categories\": [], "
                           "\"annotations\": [{\"image_id\": 4, \"category_id\": 1}]}"), arena,
                           &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "field \"image_id\" is 4, which is not in list \"images\"");
    CHECK(strstr(err.context, "in list \"annotations\"") != NULL);
}

static void
text_comes_in_three_forms(void)
{
    struct sea_text_set set;
    struct sea_err err = { 0 };

    CHECK_OK(sea_text_load(&set, put_file("t.jsonl", "{\"text\": \"a cat\"}\n\n"
                           "{\"conversations\": [" PAIR("a cat\\nIs there?", "yes") "]}\n"),
                           arena, &err), err);
    CHECK_INT(set.count, 2);
    CHECK_STR(set.rows[0].text, "a cat");
    CHECK(set.rows[1].text == NULL && set.rows[1].turns_count == 2);
    CHECK_OK(sea_text_load(&set, put_file("t.txt", "one line\r\n\r\n  another [line\n"), arena,
                           &err), err);
    CHECK_INT(set.count, 2);
    CHECK_STR(set.rows[1].text, "another [line");
    CHECK(sea_text_load(&set, put_file("t.jsonl", "{\"text\": \"a\"}\n{\"words\": \"a\"}\n"), arena,
                        &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "row 1, line 2: the row has neither a text");
    err = (struct sea_err){ 0 };
    CHECK(sea_text_load(&set, put_file("t.jsonl", "\n"), arena, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "holds 0 rows of text");
}

SEA_TEST_MAIN("data sets", TEST(rows_are_read_as_written), TEST(broken_rows_are_named),
              TEST(tags_inside_texts_are_texts),
              TEST(lists_that_are_cut_are_refused), TEST(missing_pictures_are_counted),
              TEST(digests_follow_contents_alone),
              TEST(large_sets_are_known_by_sizes_and_edges), TEST(objects_belong_to_their_pictures),
              TEST(text_comes_in_three_forms))
