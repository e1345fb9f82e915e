/* SPDX-License-Identifier: Apache-2.0 */
/* Scoring: joins by id whatever the order, refusals with counts, each benchmark's parser and
 * denominators. */
#include "tests/pipeline/bench_files.h"

#define TEXT_MAX ((size_t)64 << 20)

/* ---- gqa: joins, ids, line ends ---- */

static const char gqa_questions[] =
    "{\"question_id\": \"01\", \"image\": \"n1.jpg\", \"text\": \"What?\\nAnswer.\"}\n"
    "{\"question_id\": \"02\", \"image\": \"n1.jpg\", \"text\": \"Where?\\nAnswer.\"}\n"
    "{\"question_id\": \"3\", \"image\": \"n2.jpg\", \"text\": \"Is it?\\nAnswer.\"}\n";
static const char gqa_gold[] =
    "{\"01\": {\"answer\": \"cat\", \"isBalanced\": true, \"types\": {\"structural\": \"query\", "
    "\"semantic\": \"obj\"}}, \"02\": {\"answer\": \"table\", \"isBalanced\": true, \"types\": "
    "{\"structural\": \"query\", \"semantic\": \"rel\"}}, \"3\": {\"answer\": \"yes\", "
    "\"isBalanced\": true, \"types\": {\"structural\": \"verify\", \"semantic\": \"obj\"}}}";

static void
gqa_joins_by_id_and_strips_periods(void)
{
    const char *questions = put_file("gqa.jsonl", gqa_questions);
    const char *gold = put_file("gqa_gold.json", gqa_gold);
    struct sea_bench_result result;
    struct sea_err err;

    /* another order, a byte order mark, CRLF, a blank line, an id as a number */
    const char *answers = put_file("gqa_a.jsonl",
        "\xEF\xBB\xBF{\"question_id\": 3, \"prompt\": \"p\", \"text\": \"Yes..\"}\r\n"
        "\r\n{\"question_id\": \"02\", \"prompt\": \"p\", \"text\": \"chair\"}\r\n"
        "{\"question_id\": \"01\", \"prompt\": \"p\", \"text\": \"CAT\"}\r\n\r\n");

    result = score_with("gqa", questions, answers, gold, NULL, &err);
    CHECK_OK(err.status, err);
    if (err.status)
        return;
    CHECK_NEAR(value_of(&result, "accuracy"), 2.0 / 3, 1e-15);
    CHECK_NEAR(value_of(&result, "open"), 0.5, 1e-15);
    CHECK_NEAR(value_of(&result, "binary"), 1, 1e-15);
    CHECK_NEAR(value_of(&result, "structural/verify"), 1, 1e-15);
    CHECK_NEAR(value_of(&result, "semantic/obj"), 1, 1e-15);
    CHECK_NEAR(value_of(&result, "yes_share"), 1, 1e-15);
    CHECK_INT(result.metrics[0].clusters, 2);
    CHECK_STR(result.rows[2].parsed, "yes");
    CHECK_STR(result.rows[1].gold, "table");
    CHECK(result.complete);
}

static void
answers_that_do_not_fit_are_refused_with_counts(void)
{
    const char *questions = put_file("gqa.jsonl", gqa_questions);
    const char *gold = put_file("gqa_gold.json", gqa_gold);
    struct sea_bench_options options = { .allow_missing = true };
    struct sea_bench_result result;
    struct sea_err err;
    const char *answers = put_file("gqa_b.jsonl",
        "{\"question_id\": \"01\", \"text\": \"cat\"}\n{\"question_id\": \"01\", \"text\": \"x\"}\n"
        "{\"question_id\": \"9\", \"text\": \"cat\"}\n"
        "{\"question_id\": \"3\", \"text\": \"no\"}\n");

    score_with("gqa", questions, answers, gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "1 missing (\"02\"), 1 doubled (\"01\"), 1 unknown (\"9\")");
    score_with("gqa", questions, answers, gold, &options, &err);    /* only missing is allowed */
    CHECK_FAILS(err, SEA_E_FORMAT, "1 doubled");
    answers = put_file("gqa_c.jsonl", "{\"question_id\": \"01\", \"text\": \"cat\"}\n");
    score_with("gqa", questions, answers, gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "2 missing (\"02\", \"3\")");
    result = score_with("gqa", questions, answers, gold, &options, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1.0 / 3, 1e-15);
    CHECK_INT(result.missing, 2);
    CHECK(!result.complete);
    /* part of the questions: no missing answers, but not a full result either */
    options = (struct sea_bench_options){ .limit = 1 };
    result = score_with("gqa", questions, answers, gold, &options, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1, 1e-15);
    CHECK(!result.complete);
}

static void
broken_files_are_named_with_their_row(void)
{
    const char *questions = put_file("gqa.jsonl", gqa_questions);
    const char *gold = put_file("gqa_gold.json", gqa_gold);
    struct sea_buf long_one;
    struct sea_bench_result result;
    struct sea_err err;

    score_with("gqa", questions, put_file("a", "{\"question_id\": \"01\"}\n"), gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "row 0 (id \"01\"), line 1: field \"text\" is missing");
    score_with("gqa", questions,
               put_file("a", "\n{\"question_id\": \"01\", \"text\": \"x\"}\n{oops\n"), gold, NULL,
               &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "row 1, line 3: ");
    score_with("gqa", questions,
               put_file("a", "{\"question_id\": \"01\", \"text\": \"\xFF\"}\n"), gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "row 0, line 1: ");
    score_with("gqa", questions, path_of("none.jsonl"), gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_MISSING, "none.jsonl");
    score_with("gqa", questions, put_file("a", ""), NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_CONFIG, "needs annotations");
    score_with("cubism", questions, questions, gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_CONFIG, "unknown benchmark \"cubism\"");
    score_with("gqa", put_file("q", "{\"question_id\": 1, \"image\": \"../x\", \"text\": \"?\"}"),
               questions, gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "without \"..\"");
    score_with("gqa", put_file("q", "{\"question_id\": 1, \"image\": \"x\", \"text\": \"?\"}\n"
                                    "{\"question_id\": \"1\", \"image\": \"x\", \"text\": \"?\"}"),
               questions, gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "id \"1\" in row 0 and row 1");
    /* a NUL, an empty answer and a very long one are ordinary wrong answers */
    sea_buf_init(&long_one, TEXT_MAX);
    sea_buf_puts(&long_one, "{\"question_id\": \"01\", \"text\": \"cat\\u0000cat\"}\n"
                            "{\"question_id\": \"02\", \"text\": \"\"}\n"
                            "{\"question_id\": \"3\", \"text\": \"");
    for (int i = 0; i < 100000; i++)
        sea_buf_puts(&long_one, "yes, and so ");
    sea_buf_puts(&long_one, "\"}\n");
    result = score_with("gqa", questions, put_file("a", long_one.data), gold, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 0, 0);
    sea_buf_release(&long_one);
}

/* ---- pope ---- */

static const char pope_questions[] =
    "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a cat?\\nShort.\", "
    "\"category\": \"adversarial\"}\n"
    "{\"question_id\": 10000001, \"image\": \"a.jpg\", \"text\": \"Is there a cat?\\nShort.\", "
    "\"category\": \"random\"}\n"
    "{\"question_id\": 2, \"image\": \"a.jpg\", \"text\": \"Is there a dog?\\nShort.\", "
    "\"category\": \"adversarial\"}\n"
    "{\"question_id\": 10000002, \"image\": \"b.jpg\", \"text\": \"Is there a key?\\nShort.\", "
    "\"category\": \"random\"}\n";

static void
put_pope_labels(void)
{
    put_file("coco_pope_adversarial.json",
             "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a cat?\", \"label\": "
             "\"yes\"}\n{\"question_id\": 2, \"image\": \"a.jpg\", \"text\": \"Is there a dog?\", "
             "\"label\": \"no\"}\n");
    put_file("coco_pope_random.json",
             "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a cat?\", \"label\": "
             "\"yes\"}\n{\"question_id\": 2, \"image\": \"b.jpg\", \"text\": \"Is there a key?\", "
             "\"label\": \"no\"}\n");
}

static void
pope_parses_as_published(void)
{
    /* the answer to question 2, and whether it is read as "no" */
    static const struct { const char *text; bool no; } cases[] = {
        { "no", true }, { "No", true }, { "No, there is none", true }, { "It is not", true },
        { "I see no, dog. Yes.", true }, { "", false }, { "NO", false }, { "Nope", false },
        { "No!", false }, { "yes", false }, { "Yes. No.", false }, { "a\nno", false },
        { "no\n", false }, { ". no", false },
    };
    const char *questions = put_file("pope.jsonl", pope_questions);

    put_pope_labels();
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sea_bench_result result;
        struct sea_buf answers;
        struct sea_err err;

        sea_buf_init(&answers, TEXT_MAX);
        sea_buf_puts(&answers, "{\"question_id\": 10000002, \"text\": \"yes\"}\n"
                               "{\"question_id\": 1, \"text\": \"yes\"}\n"
                               "{\"question_id\": 10000001, \"text\": \"yes\"}\n"
                               "{\"question_id\": 2, \"text\": ");
        sea_json_quote(&answers, cases[i].text, strlen(cases[i].text));
        sea_buf_puts(&answers, "}\n");
        result = score_with("pope", questions, put_file("pope_a.jsonl", answers.data),
                            sea_test_dir(), NULL, &err);
        CHECK_OK(err.status, err);
        CHECK_MSG(strcmp(result.rows[2].parsed, cases[i].no ? "no" : "yes") == 0,
                  "\"%s\" is read as \"%s\"", cases[i].text, result.rows[2].parsed);
        sea_buf_release(&answers);
    }
}

static void
pope_figures_agree_with_hand_computed_ones(void)
{
    const char *questions = put_file("pope.jsonl", pope_questions), *answers;
    struct sea_bench_result result;
    struct sea_err err;

    put_pope_labels();
    answers = put_file("pope_a.jsonl", "{\"question_id\": 1, \"text\": \"yes\"}\n"
                                       "{\"question_id\": 2, \"text\": \"yes\"}\n"
                                       "{\"question_id\": 10000001, \"text\": \"yes\"}\n"
                                       "{\"question_id\": 10000002, \"text\": \"no\"}\n");
    result = score_with("pope", questions, answers, sea_test_dir(), NULL, &err);
    CHECK_OK(err.status, err);
    /* adversarial: tp 1, fp 1: precision 1/2, recall 1, f1 2/3; random: all right */
    CHECK_NEAR(value_of(&result, "adversarial/precision"), 0.5, 1e-15);
    CHECK_NEAR(value_of(&result, "adversarial/recall"), 1, 1e-15);
    CHECK_NEAR(value_of(&result, "adversarial/f1"), 2.0 / 3, 1e-15);
    CHECK_NEAR(value_of(&result, "random/f1"), 1, 1e-15);
    CHECK_NEAR(value_of(&result, "f1"), 5.0 / 6, 1e-15);
    CHECK_NEAR(value_of(&result, "f1_pooled"), 0.8, 1e-15);
    CHECK_NEAR(value_of(&result, "accuracy"), 0.75, 1e-15);
    CHECK_NEAR(value_of(&result, "yes_share"), 0.75, 1e-15);
    CHECK_INT(sea_bench_metric_find(&result, "accuracy")->clusters, 2);
    CHECK_STR(sea_bench_metric_find(&result, "f1")->interval, "bootstrap");
    answers = put_file("pope_a.jsonl", "{\"question_id\": 1, \"text\": \"no\"}\n"
                                       "{\"question_id\": 2, \"text\": \"no\"}\n"
                                       "{\"question_id\": 10000001, \"text\": \"no\"}\n"
                                       "{\"question_id\": 10000002, \"text\": \"no\"}\n");
    result = score_with("pope", questions, answers, sea_test_dir(), NULL, &err);
    CHECK_OK(err.status, err);
    CHECK(isnan(value_of(&result, "f1")));      /* no yes predicted: not defined, no crash */
    CHECK_NEAR(value_of(&result, "accuracy"), 0.5, 1e-15);
}

static void
pope_refuses_labels_of_another_version(void)
{
    const char *questions = put_file("pope.jsonl", pope_questions), *answers;
    struct sea_err err;

    put_pope_labels();
    answers = put_file("pope_a.jsonl", "{\"question_id\": 1, \"text\": \"yes\"}\n"
                                       "{\"question_id\": 2, \"text\": \"yes\"}\n"
                                       "{\"question_id\": 10000001, \"text\": \"yes\"}\n"
                                       "{\"question_id\": 10000002, \"text\": \"no\"}\n");
    put_file("coco_pope_random.json",
             "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a cat?\", \"label\": "
             "\"yes\"}\n");
    score_with("pope", questions, answers, sea_test_dir(), NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "has 1 rows");
    CHECK(strstr(err.message, "asks 2 questions of category \"random\"") != NULL);
    put_file("coco_pope_random.json",
             "{\"question_id\": 1, \"image\": \"a.jpg\", \"text\": \"Is there a cat?\", \"label\": "
             "\"yes\"}\n{\"question_id\": 2, \"image\": \"b.jpg\", \"text\": \"Is there a cup?\", "
             "\"label\": \"no\"}\n");
    score_with("pope", questions, answers, sea_test_dir(), NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "row 1, line 2: is about image \"b.jpg\", \"Is there a cup?\"");
    CHECK(sea_dir_exists(sea_test_dir()));
}

static void
pope_own_files_go_by_line_and_are_compared(void)
{
    const char *labels, *answers;
    struct sea_bench_result result;
    struct sea_err err;

    put_pope_labels();
    labels = path_of("coco_pope_random.json");
    answers = put_file("own.json", "{\"question\": \"Is there a cat?\", \"answer\": \"Yes, it is.\"}\n"
                       "{\"question\": \"Is there a key?\", \"answer\": \"There is not.\"}\n");
    result = score_with("pope", labels, answers, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "random/f1"), 1, 1e-15);
    CHECK_NEAR(value_of(&result, "f1"), 1, 1e-15);
    answers = put_file("own.json", "{\"question\": \"Is there a key?\", \"answer\": \"no\"}\n"
                       "{\"question\": \"Is there a cat?\", \"answer\": \"yes\"}\n");
    score_with("pope", labels, answers, NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "row 0, line 1: is about \"Is there a key?\", but question \"1\"");
    answers = put_file("own.json", "{\"question\": \"Is there a cat?\", \"answer\": \"yes\"}\n");
    score_with("pope", labels, answers, NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "has 1 lines");
}

/* ---- vqav2 ---- */

/* Ten answers: `a` times one, the rest another. */
static const char *
ten_answers(const char *one, int a, const char *other)
{
    struct sea_buf text;
    const char *out;

    sea_buf_init(&text, TEXT_MAX);
    sea_buf_puts(&text, "{\"annotations\": [{\"question_id\": 7, \"question_type\": \"what\", "
                        "\"answer_type\": \"other\", \"answers\": [");
    for (int i = 0; i < 10; i++)
        sea_buf_addf(&text, "%s{\"answer\": \"%s\", \"answer_id\": %d}", i ? ", " : "",
                     i < a ? one : other, i + 1);
    sea_buf_puts(&text, "]}]}");
    out = put_file("vqa_gold.json", text.data);
    sea_buf_release(&text);
    return out;
}

static double
vqa_score(const char *gold, const char *text, const char *variant)
{
    struct sea_bench_options options = { .variant = variant };
    const char *questions = put_file(
        "vqa.jsonl", "{\"question_id\": 7, \"image\": \"i.jpg\", \"text\": \"What?\\nShort.\"}\n");
    struct sea_bench_result result;
    struct sea_buf answers;
    struct sea_err err;

    sea_buf_init(&answers, TEXT_MAX);
    sea_buf_puts(&answers, "{\"question_id\": 7, \"text\": ");
    sea_json_quote(&answers, text, strlen(text));
    sea_buf_puts(&answers, "}\n");
    result = score_with("vqav2", questions, put_file("vqa_a.jsonl", answers.data), gold, &options,
                        &err);
    CHECK_OK(err.status, err);
    sea_buf_release(&answers);
    return err.status ? NAN : value_of(&result, "accuracy");
}

static void
vqa_agreement_follows_the_leave_one_out_rule(void)
{
    static const double want[] = { 0, 0.3, 0.6, 0.9, 1.0, 1.0 };
    struct sea_err err;
    struct sea_bench_options options = { .variant = "nonsense" };

    for (int c = 0; c <= 5; c++)
        CHECK_NEAR(vqa_score(ten_answers("cat", c, "dog"), "cat", NULL), want[c], 1e-15);
    /* people differ: both sides are normalised */
    CHECK_NEAR(vqa_score(ten_answers("Two", 5, "dog"), "2", "off"), 1, 1e-15);
    CHECK_NEAR(vqa_score(ten_answers("the cat.", 5, "dog"), "Cat", "off"), 1, 1e-15);
    /* people agree: exact comparison, with case */
    CHECK_NEAR(vqa_score(ten_answers("cat", 10, ""), "Cat", "off"), 0, 0);
    CHECK_NEAR(vqa_score(ten_answers("cat", 10, ""), "cat", "off"), 1, 1e-15);
    CHECK_NEAR(vqa_score(ten_answers("cat", 10, ""), "The Cat.", "llava"), 1, 1e-15);
    CHECK_NEAR(vqa_score(ten_answers("two", 10, ""), "two", "llava"), 0, 0);   /* becomes 2 */
    score_with("vqav2", path_of("vqa.jsonl"), path_of("vqa_a.jsonl"), path_of("vqa_gold.json"),
               &options, &err);
    CHECK_FAILS(err, SEA_E_CONFIG, "no scorer variant \"nonsense\", knows: llava, off");
}

/* ---- scienceqa ---- */

static void
scienceqa_parses_as_published(void)
{
    /* the right letter is B of three options */
    static const struct { const char *text, *parsed; double score; } cases[] = {
        { "B", "B", 1 },           { "B. the dog", "B", 1 },      { "A", "A", 0 },
        { "b", "FAILED", 0 },      { "B.", "FAILED", 0 },         { "(B)", "FAILED", 0 },
        { "The answer is B.", "B", 1 }, { "The answer is B", "FAILED", 0 },
        { "The answer is Blue", "B", 1 },       /* the dot matches any character */
        { "The answer is B. The answer is C.", "FAILED", 0 },
        { "So The answer is A. Fine", "A", 0 }, { "D", "D", 0 }, { "", "FAILED", 0 },
        { "The answer is B\n", "FAILED", 0 },
    };
    const char *questions = put_file("sqa.json",
        "[{\"id\": \"5\", \"image\": \"5/image.png\", \"conversations\": [{\"from\": \"human\", "
        "\"value\": \"<image>\\nWhich?\\nA. cat\\nB. dog\\nC. cow\"}, {\"from\": \"gpt\", "
        "\"value\": \"B\"}]}]");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sea_bench_result result;
        struct sea_buf answers;
        struct sea_err err;

        sea_buf_init(&answers, TEXT_MAX);
        sea_buf_puts(&answers, "{\"question_id\": \"5\", \"prompt\": \"<image>\\nx\", \"text\": ");
        sea_json_quote(&answers, cases[i].text, strlen(cases[i].text));
        sea_buf_puts(&answers, "}\n");
        result = score_with("scienceqa", questions, put_file("sqa_a.jsonl", answers.data), NULL,
                            NULL, &err);
        CHECK_OK(err.status, err);
        if (!err.status) {
            CHECK_STR(result.rows[0].parsed, cases[i].parsed);
            CHECK_NEAR(value_of(&result, "img_accuracy"), cases[i].score, 0);
        }
        sea_buf_release(&answers);
    }
}

static void
scienceqa_counts_pictures_by_the_answers_prompt(void)
{
    const char *questions = put_file("sqa.json",
        "[{\"id\": \"5\", \"image\": \"5/image.png\", \"conversations\": [{\"from\": \"human\", "
        "\"value\": \"<image>\\nWhich?\\nA. cat\\nB. dog\"}, {\"from\": \"gpt\", \"value\": "
        "\"B\"}]}, {\"id\": \"6\", \"conversations\": [{\"from\": \"human\", \"value\": "
        "\"Context: x\\nWhich?\\nA. cat\\nB. dog\"}, {\"from\": \"gpt\", \"value\": \"A\"}]}]");
    struct sea_bench_options options = { .allow_missing = true };
    const struct sea_bench *bench = NULL;
    struct sea_bench_questions loaded;
    struct sea_bench_result result;
    struct sea_buf answers;
    struct sea_err err = { 0 };

    CHECK_OK(sea_bench_find("scienceqa", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, questions, 0, arena, &loaded, &err), err);
    CHECK_STR(loaded.items[0].prompt, "Which?\nA. cat\nB. dog\nAnswer with the option's letter "
                                      "from the given choices directly.");
    sea_buf_init(&answers, TEXT_MAX);
    sea_bench_answer_write(&answers, &loaded.items[0], "A", 1, "m");
    sea_bench_answer_write(&answers, &loaded.items[1], "A", 1, "m");
    CHECK(strstr(answers.data, "\"prompt\": \"<image>\\nWhich?") != NULL);
    result = score_with("scienceqa", questions, put_file("sqa_a.jsonl", answers.data), NULL, NULL,
                        &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 0.5, 1e-15);
    CHECK_NEAR(value_of(&result, "img_accuracy"), 0, 0);
    CHECK_INT(result.metrics[0].n, 1);
    CHECK(result.rows[0].is_unit && !result.rows[1].is_unit);
    /* a missing answer with a picture leaves the picture denominator, as published */
    put_file("sqa_a.jsonl", strchr(answers.data, '\n') + 1);
    result = score_with("scienceqa", questions, path_of("sqa_a.jsonl"), NULL, &options, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 0.5, 1e-15);
    CHECK(sea_bench_metric_find(&result, "img_accuracy") == NULL);
    score_with("scienceqa", questions, path_of("sqa_a.jsonl"),
               put_file("problems.json",
                        "{\"5\": {\"choices\": [\"cat\", \"dog\"], \"answer\": 0}}"),
               &options, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "problem \"5\" has answer A");
    sea_buf_release(&answers);
}

/* ---- mmbench ---- */

static const char mmbench_tsv[] =
    "index\tquestion\thint\tA\tB\tC\tD\tanswer\tcategory\timage\tsource\tl2-category\n"
    "1\tWhich?\tlook\tcat\tdog\t\t\tB\tkind\tiVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAIAAACQd1PeAAAADElE"
    "QVR4nGP4z8AAAAMBAQDJ/pLvAAAAAElFTkSuQmCC\ts\tAR\n"
    "2\t\"Say \"\"x\"\"\twith\nbreaks\"\t\tone\ttwo\tthree\tfour\tA\tkind\t1\ts\tLR\n"
    "1000001\tWhich?\tlook\tdog\tcat\tnan\tnan\tA\tkind\t1\ts\tAR\n"
    "1000002\tTurned\t\ttwo\tthree\tfour\tone\tD\tkind\t1\ts\tLR\n";

static void
mmbench_needs_every_rotation(void)
{
    const char *questions = put_file("mm.tsv", mmbench_tsv), *answers;
    const struct sea_bench *bench = NULL;
    struct sea_bench_questions loaded;
    struct sea_bench_result result;
    struct sea_image image = { 0 };
    struct sea_err err = { 0 };

    CHECK_OK(sea_bench_find("mmbench", &bench, &err), err);
    CHECK_OK(sea_bench_questions_load(bench, questions, 0, arena, &loaded, &err), err);
    CHECK_INT(loaded.count, 4);
    CHECK_STR(loaded.items[0].prompt, "look\nWhich?\nA. cat\nB. dog\nAnswer with the option's "
                                      "letter from the given choices directly.");
    CHECK(strncmp(loaded.items[1].prompt, "Say \"x\"\twith\nbreaks\nA. one\n", 26) == 0);
    CHECK(strstr(loaded.items[2].prompt, "C.") == NULL);
    CHECK_STR(loaded.items[2].cluster, "1");
    CHECK_OK(sea_bench_image_load(&loaded.items[3], NULL, &image, &err), err);
    CHECK_INT(image.width, 1);
    sea_image_release(&image);
    answers = put_file("mm_a.jsonl", "{\"question_id\": 1, \"text\": \"B\"}\n"
                                     "{\"question_id\": 2, \"text\": \"A.\"}\n"
                                     "{\"question_id\": 1000002, \"text\": \"one\"}\n"
                                     "{\"question_id\": 1000001, \"text\": \"I say B\"}\n");
    result = score_with("mmbench", questions, answers, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "circular_accuracy"), 0.5, 1e-15);
    CHECK_NEAR(value_of(&result, "vanilla_accuracy"), 1, 1e-15);
    CHECK_NEAR(value_of(&result, "l2/AR"), 0, 0);
    CHECK_NEAR(value_of(&result, "l2/LR"), 1, 1e-15);
    CHECK_INT(result.metrics[0].n, 2);
    CHECK_INT(result.failed, 1);
    result = score_with("mmbench", questions, answers, NULL,
                        &(struct sea_bench_options){ .variant = "ladder" }, &err);
    CHECK_INT(result.failed, 0);                /* B: read, and wrong all the same */
    CHECK_NEAR(value_of(&result, "circular_accuracy"), 0.5, 1e-15);
    result = score_with("mmbench", questions, answers, NULL,
                        &(struct sea_bench_options){ .limit = 1 }, &err);
    CHECK_OK(err.status, err);
    CHECK_INT(result.rows_count, 2);            /* one question, two rotations */
    score_with("mmbench", put_file("mm2.tsv", "index\tquestion\n1\tx\n"), answers, NULL, NULL,
               &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "has no column \"A\"");
    score_with("mmbench", put_file("mm2.tsv", "index\tquestion\tA\tB\timage\n1\t\"x\ta\tb\tc\n"),
               answers, NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "a quoted cell does not end");
}

static void
mmbench_ladder_reads_letters_out_of_sentences(void)
{
    static const struct { const char *text, *parsed; } cases[] = {
        { "(C)", "C" }, { "The right one is C.", "C" }, { "C is what I would take here", "" },
        { "Both A and B", "" }, { "the answer is **d**", "D" }, { "It shows three", "C" },
        { "one or two", "" }, { "", "" },
    };
    const char *questions = put_file("mm.tsv", mmbench_tsv);

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct sea_bench_options options = { .variant = "ladder", .allow_missing = true };
        struct sea_bench_result result;
        struct sea_buf answers;
        struct sea_err err;

        sea_buf_init(&answers, TEXT_MAX);
        sea_buf_puts(&answers, "{\"question_id\": 2, \"text\": ");
        sea_json_quote(&answers, cases[i].text, strlen(cases[i].text));
        sea_buf_puts(&answers, "}\n");
        result = score_with("mmbench", questions, put_file("mm_a.jsonl", answers.data), NULL,
                            &options, &err);
        CHECK_OK(err.status, err);
        CHECK_MSG(strcmp(result.rows[1].parsed, cases[i].parsed) == 0, "\"%s\" is read as \"%s\"",
                  cases[i].text, result.rows[1].parsed);
        sea_buf_release(&answers);
    }
}

SEA_TEST_MAIN("benchmarks",
              TEST(gqa_joins_by_id_and_strips_periods),
              TEST(answers_that_do_not_fit_are_refused_with_counts),
              TEST(broken_files_are_named_with_their_row), TEST(pope_parses_as_published),
              TEST(pope_figures_agree_with_hand_computed_ones),
              TEST(pope_refuses_labels_of_another_version),
              TEST(pope_own_files_go_by_line_and_are_compared),
              TEST(vqa_agreement_follows_the_leave_one_out_rule),
              TEST(scienceqa_parses_as_published),
              TEST(scienceqa_counts_pictures_by_the_answers_prompt),
              TEST(mmbench_needs_every_rotation),
              TEST(mmbench_ladder_reads_letters_out_of_sentences))
