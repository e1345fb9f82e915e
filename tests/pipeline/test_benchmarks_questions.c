/* SPDX-License-Identifier: Apache-2.0 */
/* Question files: ids, drawn options, other suffixes, official files, hidden test sets, tables of
 * every kind. */
#include "tests/pipeline/bench_files.h"

#define TEN(a, b) "[\"" a "\", \"" a "\", \"" a "\", \"" b "\", \"" b "\", \"" b "\", \"" b "\", \"" b \
                  "\", \"" b "\", \"" b "\"]"

static void
seed_ids_are_whole_numbers_where_they_can_be(void)
{
    const char *gold = put_file("SEED-Bench.json",
        "{\"questions\": [{\"question_id\": \"0007\", \"answer\": \"B\", \"data_type\": \"image\", "
        "\"question_type_id\": 1}, {\"question_id\": \"v7\", \"answer\": \"A\", \"data_type\": "
        "\"video\", \"question_type_id\": 10}]}");
    const char *questions = "{\"question_id\": 7, \"image\": \"a\", \"text\": \"?\"}\n"
                            "{\"question_id\": \"v7\", \"image\": \"b\", \"text\": \"?\"}\n";
    struct sea_bench_result result;
    struct sea_err err;

    result = score("seed", questions, "{\"question_id\": \"7\", \"text\": \"B\"}\n{\"question_id\": "
                   "\"v7\", \"text\": \"A.\"}\n", gold, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "image"), 1, 0);
    CHECK_NEAR(value_of(&result, "video"), 0, 0);
    CHECK_NEAR(value_of(&result, "type/action recognition"), 0, 0);
    score("seed", "{\"question_id\": 8, \"image\": \"a\", \"text\": \"?\"}\n",
          "{\"question_id\": 8, \"text\": \"B\"}\n", gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "there is no answer A to D for question \"8\"");
}

static void
dogs_are_drawn_the_same_every_time(void)
{
    const char *path = put_file("list.txt", "n1-Pug/a.jpg\nn2-Collie/b.jpg\r\nn3-Great_Dane/c.jpg\n"
                                            "n4-Boxer/d.jpg\nn5-Chow/e.jpg\nn1-Pug/f.jpg\n");
    const struct sea_bench *bench = NULL;
    struct sea_bench_questions one, two;
    struct sea_err err = { 0 };
    int firsts[4] = { 0 };

    CHECK_OK(sea_bench_find("dogs", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, path, 0, arena, &one, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, path, 0, arena, &two, &err), err);
    CHECK_INT(one.count, 6);
    for (size_t i = 0; i < one.count; i++) {
        const struct sea_choice *choice = one.items[i].extra;

        CHECK_STR(one.items[i].prompt, two.items[i].prompt);
        CHECK_INT(choice->count, 4);
        CHECK_STR(choice->options[choice->answer], one.items[i].category);
        for (int a = 0; a < 4; a++)
            for (int b = 0; b < a; b++)
                CHECK(strcmp(choice->options[a], choice->options[b]) != 0);
        firsts[choice->answer]++;
    }
    CHECK(firsts[0] < 6 && firsts[1] < 6 && firsts[2] < 6 && firsts[3] < 6);
    CHECK_STR(one.items[2].category, "Great Dane");
    err = (struct sea_err){ 0 };
    CHECK_INT(sea_bench_questions_load(bench, put_file("l2.txt", "n1-Pug/a.jpg\n"), 0, arena, &one,
                                       &err), SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "1 breeds, expected 4 or more");
}

static void
another_suffix_is_put_in_the_place_of_ours(void)
{
    const char *path = put_file("q.jsonl", "{\"question_id\": 1, \"image\": \"a\", \"text\": \"Why?\\n"
                                "Answer the question using a single word or phrase.\"}\n");
    struct sea_bench_ask ask = { .prefix = "Look. ", .suffix = "\nBe short." };
    const struct sea_bench *bench = NULL;
    struct sea_bench_questions questions;
    struct sea_err err = { 0 };

    CHECK_OK(sea_bench_find("gqa", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, path, 0, arena, &questions, &err), err);
    CHECK_OK(sea_bench_questions_ask(&questions, &ask, &err), err);
    CHECK_STR(questions.items[0].prompt, "Look. Why?\nBe short.");
    CHECK_INT(sea_bench_questions_ask(&questions, &ask, &err), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "does not end in the suffix of benchmark \"gqa\"");
    /* where answers are told apart by their prompts, a prefix would lose them */
    err = (struct sea_err){ 0 };
    CHECK_OK(sea_bench_find("mme", &bench, &err), err);
    path = put_file("m.jsonl", "{\"question_id\": \"count/1.png\", \"image\": \"a\", \"text\": \"Why?\\n"
                    "Answer the question using a single word or phrase.\"}\n");
    CHECK_OK(sea_bench_questions_load(bench, path, 0, arena, &questions, &err), err);
    CHECK_INT(sea_bench_questions_ask(&questions, &ask, &err), SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "tells its answers apart by their prompts");
}

static void
official_question_files_are_read_too(void)
{
    const char *val = "{\"data\": [{\"question_id\": 1, \"image_id\": \"x\", \"question\": \"What "
                      "Brand?\", \"answers\": " TEN("nokia", "moto") "}]}";
    const struct sea_bench *bench = NULL;
    struct sea_bench_questions questions;
    struct sea_bench_result result;
    struct sea_bench_ask ask = { 0 };
    struct sea_err err = { 0 };

    /* TextVQA: answers asked with OCR words are scored; the file cannot be asked with them */
    result = score("textvqa", val, "{\"question_id\": \"x\", \"prompt\": \"What Brand?\\nReference OCR "
                   "token: a\\nShort.\", \"text\": \"moto\"}\n", put_file("val9.json", val), NULL,
                   &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1, 0);
    CHECK_OK(sea_bench_find("textvqa", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, put_file("val9.json", val), 0, arena, &questions, &err),
             err);
    CHECK_INT(sea_bench_questions_ask(&questions, &ask, &err), SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "can be scored, but not made");
    /* VQAv2 and GQA: pictures are numbered or named without their ending */
    err = (struct sea_err){ 0 };
    CHECK_OK(sea_bench_find("vqav2", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, put_file("v2_OpenEnded_mscoco_val2014_questions.json",
             "{\"info\": {}, \"questions\": [{\"question_id\": 9, \"image_id\": 262148, \"question\": "
             "\"Where?\"}]}"), 0, arena, &questions, &err), err);
    CHECK_STR(questions.items[0].image, "COCO_val2014_000000262148.jpg");
    CHECK_STR(questions.items[0].prompt, "Where?\nAnswer the question using a single word or phrase.");
    CHECK_OK(sea_bench_find("gqa", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, put_file("g.json", "{\"0012\": {\"question\": \"Who?\", "
             "\"imageId\": \"n15\", \"answer\": \"cat\"}}"), 0, arena, &questions, &err), err);
    CHECK_STR(questions.items[0].id, "0012");
    CHECK_STR(questions.items[0].image, "n15.jpg");
}

static void
hidden_test_sets_are_exported_without_gold(void)
{
    const char *questions = put_file("t.jsonl",
        "{\"question_id\": 1, \"image\": \"a\", \"text\": \"Why?\\nS\"}\n"
        "{\"question_id\": 2, \"image\": \"b\", \"text\": \"Who?\\nS\"}\n");
    const char *answers = put_file("ta.jsonl", "{\"question_id\": 2, \"text\": \"The Cat's.\"}\n");
    struct sea_bench_options options = { .allow_missing = true };
    struct sea_err err = { 0 };
    struct sea_buf out;

    sea_buf_init(&out, 1 << 20);
    CHECK_OK(sea_bench_export("vqav2", questions, answers, NULL, 0, &options, &out, &err), err);
    CHECK_STR(out.data, "[{\"question_id\": 1, \"answer\": \"\"}, {\"question_id\": 2, \"answer\": "
                        "\"cat 's\"}]\n");
    sea_buf_clear(&out);
    CHECK_OK(sea_bench_export("vizwiz", questions, answers, NULL, 0, &options, &out, &err), err);
    CHECK_STR(out.data, "[{\"image\": \"a\", \"answer\": \"\"}, {\"image\": \"b\", \"answer\": "
                        "\"cat 's\"}]\n");
    sea_buf_clear(&out);
    questions = put_file("t.tsv", "index\tquestion\tA\tB\timage\tsplit\n1\tWhy?\tx\ty\tiVBOR\ttest\n");
    answers = put_file("tb.jsonl", "{\"question_id\": 1, \"text\": \"B\\t\"}\n");
    sea_buf_clear(&out);
    CHECK_INT(sea_bench_export("mmbench", questions, answers, NULL, 0, NULL, &out, &err),
              SEA_E_FORMAT);         /* the short picture cell names no row */
    err = (struct sea_err){ 0 };
    questions = put_file("t.tsv", "index\tquestion\tA\tB\timage\tsplit\n1\tWhy?\tx\ty\t"
                         "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElEQVR4nGP4z8AAAAMBAQDJ/pLv\t"
                         "test\n");
    CHECK_OK(sea_bench_export("mmbench", questions, answers, NULL, 0, NULL, &out, &err), err);
    CHECK(out.len > 4 && memcmp(out.data, "PK", 2) == 0);       /* its cells: test_benchmarks_files */
    sea_buf_release(&out);
}

static void
tables_of_every_kind_are_read_and_broken_ones_named(void)
{
    static const char *const forms[] = {
        "index\tquestion\tanswer\n1\tWhy?\tYes\n2\t\"a\n\"\"b\"\"\"\tNo\n",
        "index,question,answer\r\n1,Why?,Yes\r\n2,\"a\n\"\"b\"\"\",No\r\n",
        "\xEF\xBB\xBF[{\"index\": 1, \"question\": \"Why?\", \"answer\": \"Yes\"}, {\"index\": 2, "
        "\"question\": \"a\\n\\\"b\\\"\", \"answer\": \"No\"}]",
        "{\"data\": [{\"index\": 1, \"question\": \"Why?\", \"answer\": \"Yes\"}, {\"index\": 2, "
        "\"question\": \"a\\n\\\"b\\\"\", \"answer\": \"No\"}]}",
        "{\"1\": {\"question\": \"Why?\", \"answer\": \"Yes\"}, \"2\": {\"question\": "
        "\"a\\n\\\"b\\\"\", \"answer\": \"No\"}}",
    };
    struct sea_bench_result result;
    struct sea_err err;

    for (size_t i = 0; i < sizeof(forms) / sizeof(forms[0]); i++) {
        result = score("realworldqa", forms[i], "{\"1\": \"yes.\", \"2\": \"yes\"}", NULL, NULL, &err);
        CHECK_OK(err.status, err);
        CHECK_INT(result.rows_count, 2);
        CHECK_NEAR(value_of(&result, "accuracy"), 0.5, 0);
        if (result.rows_count == 2)
            CHECK_STR(result.rows[1].question->prompt, "a\n\"b\"");
    }
    score("realworldqa", "index\tquestion\tanswer\n1\t\"Why?\"x\tYes\n", "{}", NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "row 0, line 2: text behind the closing quote of cell 2");
    score("realworldqa", "index\tquestion\tanswer\n1\tWhy?\tYes\tmore\n", "{}", NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "4 cells, expected 3");
    score("realworldqa", "index\tquestion\tanswer\n1\t\xFF\tYes\n", "{}", NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "column \"question\" is not valid UTF-8");
    score("realworldqa", "only one column\n", "{}", NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "neither JSON nor a table");
    score("realworldqa", forms[0], "index\tprediction\n1\tNone\n2\tNo\n", NULL, NULL, &err);
    CHECK_OK(err.status, err);          /* an answer "None" is an answer */
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("questions of benchmarks", TEST(seed_ids_are_whole_numbers_where_they_can_be),
              TEST(dogs_are_drawn_the_same_every_time),
              TEST(another_suffix_is_put_in_the_place_of_ours),
              TEST(official_question_files_are_read_too),
              TEST(hidden_test_sets_are_exported_without_gold),
              TEST(tables_of_every_kind_are_read_and_broken_ones_named))
