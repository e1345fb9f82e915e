/* SPDX-License-Identifier: Apache-2.0 */
/* Edges of the rules about numbers and texts, with values worked out by hand beside them:
 * relaxed accuracy, ANLS, open answers, captions, numbers as Python has them. */
#include "tests/pipeline/bench_files.h"

/* ---- relaxed accuracy, ANLS, substrings ---- */

static double
chart(const char *said, const char *gold)
{
    struct sea_bench_result result;
    struct sea_buf question, text;
    struct sea_err err;

    sea_buf_init(&question, 4096);
    sea_buf_init(&text, 4096);
    sea_buf_puts(&question, "{\"question_id\": 1, \"query\": \"?\", \"imgname\": \"i.png\", \"label\": ");
    sea_json_quote(&question, gold, strlen(gold));
    sea_buf_puts(&question, "}\n");
    sea_buf_puts(&text, "{\"question_id\": 1, \"text\": ");
    sea_json_quote(&text, said, strlen(said));
    sea_buf_puts(&text, "}\n");
    result = score("chartqa", question.data, text.data, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    sea_buf_release(&question);
    sea_buf_release(&text);
    return err.status ? NAN : value_of(&result, "accuracy");
}

static void
five_per_cent_is_decided_in_doubles(void)
{
    CHECK_NEAR(chart("105", "100"), 1, 0);      /* 5/100 is 0.05 exactly as written */
    CHECK_NEAR(chart("1.05", "1"), 0, 0);       /* 1.05 - 1 is a little more */
    CHECK_NEAR(chart("94", "100"), 0, 0);
}

static void
percentages_are_hundredths(void)
{
    CHECK_NEAR(chart("50%", "0.5"), 1, 0);
    CHECK_NEAR(chart("50%", "50"), 0, 0);
    CHECK_NEAR(chart("5%%", "0.05"), 1, 0);     /* all signs at the end go */
}

static void
years_next_to_the_right_one_pass(void)
{
    CHECK_NEAR(chart("2014", "2013"), 1, 0);
    CHECK_NEAR(chart("1930", "2013"), 1, 0);    /* 83/2013 = 0.041 */
    CHECK_NEAR(chart("1900", "2013"), 0, 0);    /* 0.056 */
}

static void
zero_and_texts_need_equality(void)
{
    CHECK_NEAR(chart("0.01", "0"), 0, 0);
    CHECK_NEAR(chart("0", "0"), 1, 0);
    CHECK_NEAR(chart("0.0", "0"), 0, 0);        /* compared as texts */
    CHECK_NEAR(chart("1,000", "1000"), 0, 0);   /* a comma makes it a text */
    CHECK_NEAR(chart("1_000", "1000"), 1, 0);   /* Python's grammar of numbers */
    CHECK_NEAR(chart("nan", "5"), 0, 0);
    CHECK_NEAR(chart("YES", "yes"), 1, 0);
    CHECK_NEAR(chart("yes ", "yes"), 0, 0);     /* not stripped */
}

static void
anls_keeps_one_half_and_drops_less(void)
{
    static const char *const gold[] = { "abcd" };
    static const char *const two[] = { "xyz", "abcd" };
    static const char *const blank[] = { "" };
    static const char *const spaced[] = { "a b" };

    CHECK_NEAR(sea_text_anls(gold, 1, "abxx", 0.5, arena), 0.5, 0);     /* 2 of 4 differ: kept */
    CHECK_NEAR(sea_text_anls(gold, 1, "axxx", 0.5, arena), 0, 0);       /* 0.25 */
    CHECK_NEAR(sea_text_anls(two, 2, "ABCD", 0.5, arena), 1, 0);        /* the best counts */
    CHECK_NEAR(sea_text_anls(blank, 1, "", 0.5, arena), 1, 0);          /* two empty texts */
    /* white space collapses for the distance, but counts in the length */
    CHECK_NEAR(sea_text_anls(spaced, 1, " a  b ", 0.5, arena), 1, 0);
    CHECK_NEAR(sea_text_anls(spaced, 1, "a    c", 0.5, arena), 1 - 1.0 / 6, 1e-15);
    CHECK_NEAR(sea_text_distance("\xC3\xA9t\xC3\xA9", "ete"), 2, 0);    /* code points, not bytes */
}

static void
ocrbench_keeps_case_in_formulas_only(void)
{
    struct sea_bench_result result;
    struct sea_err err;
    const char *questions =
        "[{\"id\": \"0\", \"dataset_name\": \"HME100k\", \"question\": \"?\", \"answers\": \"X + 1\", "
        "\"image_path\": \"a.png\", \"type\": \"m\"}, {\"id\": \"1\", \"dataset_name\": \"svt\", "
        "\"question\": \"?\", \"answers\": [\"TEN\", \"10\"], \"image_path\": \"b.png\", \"type\": "
        "\"r\"}]";

    result = score("ocrbench", questions, "[{\"id\": \"0\", \"text\": \"x+1\"}, {\"id\": \"1\", "
                   "\"text\": \"It is ten.\"}]", NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "score") * sea_bench_metric_find(&result, "score")->scale, 1, 1e-15);
    result = score("ocrbench", questions, "[{\"id\": \"0\", \"text\": \"= X\\n+1\"}, {\"id\": \"1\", "
                   "\"text\": \"ELEVEN\"}]", NULL, NULL, &err);
    CHECK_NEAR(result.rows[0].score, 1, 0);
    CHECK_NEAR(result.rows[1].score, 0, 0);
}

/* ---- mmmu, open ---- */

static double
open_answer(const char *said, const char *gold)
{
    struct sea_bench_result result;
    struct sea_buf question, text;
    struct sea_err err;

    sea_buf_init(&question, 4096);
    sea_buf_init(&text, 4096);
    sea_buf_puts(&question, "{\"validation_Math_1\": {\"question_type\": \"open\", \"ground_truth\": ");
    sea_json_quote(&question, gold, strlen(gold));
    sea_buf_puts(&question, "}}\n");
    sea_buf_puts(&text, "{\"validation_Math_1\": ");
    sea_json_quote(&text, said, strlen(said));
    sea_buf_puts(&text, "}\n");
    result = score("mmmu", question.data, text.data, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    sea_buf_release(&question);
    sea_buf_release(&text);
    return err.status ? NAN : value_of(&result, "accuracy");
}

static void
mmmu_numbers_and_their_tails(void)
{
    static const struct { const char *said, *gold; double score; } cases[] = {
        { "12.504", "12.5", 1 },            /* two decimals */
        { "12.51", "12.5", 0 },
        { "the answer is 3,600 dollars", "3600", 1 },
        { "x = 12.5", "12.5", 1 },          /* "=" counts in the last line */
        { "x = red", "x = red", 0 },        /* only what stands behind it is compared */
        { "x = red", "d", 0 },              /* one character: only beside a blank */
        { "option d or so", "d", 1 },
        { "1/2", "0.5", 0 },                /* no fractions */
        { "sunday", "Sun", 1 },             /* a part of a text: published so */
        { "first = 7\nthen it is 8", "7", 0 },      /* "=" only in the last line: tail "8" */
        { "so the result is green", "green", 1 },
        { "is so 12.5", "12.5", 1 }, { "12.5e3", "12500", 1 }, { "1,2345", "2345", 1 },
        { "", "5", 0 },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_MSG(open_answer(cases[i].said, cases[i].gold) == cases[i].score,
                  "\"%s\" against \"%s\" does not score %g", cases[i].said, cases[i].gold,
                  cases[i].score);
}

static void
mmmu_reads_the_official_output_file(void)
{
    const char *file =
        "[{\"id\": \"validation_Art_1\", \"question_type\": \"multiple-choice\", \"answer\": \"B\", "
        "\"all_choices\": [\"A\", \"B\"], \"index2ans\": {\"A\": \"a red car\", \"B\": \"a blue "
        "car\"}, \"response\": \"I am sure it is a blue car\"}, {\"id\": \"validation_Art_2\", "
        "\"question_type\": \"open\", \"answer\": [\"5\", \"five\"], \"response\": \"five.\"}]";
    struct sea_bench_result result;
    struct sea_err err;

    result = score("mmmu", file, file, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1, 0);
    CHECK_NEAR(value_of(&result, "discipline/Art and Design"), 1, 0);
}

/* ---- captions ---- */

static void
caption_words_are_the_tokenizers(void)
{
    static const char *const cases[][2] = {
        { "A man's dog doesn't sit.", "a man 's dog does n't sit" },
        { "You cannot \"see\" it!", "you can not see it" },
        { "a well-known player - in red; blue", "a well-known player in red blue" },
        { "Two dogs, one cat (black)", "two dogs one cat -lrb- black -rrb-" },
        { "black/white and/or 1/2", "black/white and/or 1/2" },
        { "at 5 a.m.", "at 5 a.m." }, { "a U.S. map of St. Paul.", "a u.s. map of st. paul" },
        { "a '90s car in '98 'quoted'", "a '90s car in '98 quoted" },
        { "$20 & #1", "$ 20 & # 1" },
        { "they're the boys' bikes", "they 're the boys bikes" },
        { "it's 5 o'clock at 12:30", "it 's 5 o'clock at 12:30" },
        { "1,000 people & a 2.5 lb bag", "1,000 people & a 2.5 lb bag" },
        { "a man\nwith a hat...", "a man with a hat" },
        { "don\xE2\x80\x99t", "do n't" },
        { "50% off", "50 % off" },
        { "", "" },
    };
    struct sea_buf out;

    sea_buf_init(&out, 4096);
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        sea_caption_words(cases[i][0], &out);
        CHECK_STR(out.len ? out.data : "", cases[i][1]);
    }
    sea_buf_release(&out);
}

static void
score_captions(const char *one, const char *reference, size_t pictures, double *cider,
               double *rouge, double bleu[4])
{
    const char *others[] = { "x y z w" }, *same[] = { reference };
    struct sea_caption captions[2] = { { one, same, 1 }, { "x y z w", others, 1 } };
    double c[2], r[2];
    struct sea_caption_scores scores = { .cider = c, .rouge = r };

    sea_caption_score(captions, pictures, &scores);
    *cider = c[0];
    *rouge = r[0];
    memcpy(bleu, scores.bleu, sizeof(scores.bleu));
}

static void
cider_has_a_length_penalty_and_clips(void)
{
    double cider, rouge, bleu[4];

    /* Two pictures, all words of one: every n-gram weighs count * log 2. The same text: each
     * order's cosine is 1, no penalty: 10. */
    score_captions("a b c d", "a b c d", 2, &cider, &rouge, bleu);
    CHECK_NEAR(cider, 10, 1e-12);
    CHECK_NEAR(rouge, 1, 1e-15);
    /* "a b" against "a b c d": orders 1 and 2 share 2 of 4 and 1 of 3 grams; cosines are
     * 2 / (sqrt 2 * sqrt 4), 1 / (1 * sqrt 3), 0, 0; bigrams 1 and 3: exp(-4 / 72). */
    score_captions("a b", "a b c d", 2, &cider, &rouge, bleu);
    CHECK_NEAR(cider, 10 * (2 / (sqrt(2) * 2) + 1 / sqrt(3)) / 4 * exp(-4.0 / 72), 1e-12);
    /* lcs 2: P = 1, R = 1/2: (1 + 1.44) P R / (R + 1.44 P) */
    CHECK_NEAR(rouge, 2.44 * 0.5 / (0.5 + 1.44), 1e-15);
    /* "a a" against "a b": counts 2 and 1, clipped to 1: 1 * 1 / (2 * sqrt 2); same lengths */
    score_captions("a a", "a b", 2, &cider, &rouge, bleu);
    CHECK_NEAR(cider, 10 * (1 / (2 * sqrt(2))) / 4, 1e-12);
    /* one picture: log 1 is 0, so is CIDEr */
    score_captions("a b c d", "a b c d", 1, &cider, &rouge, bleu);
    CHECK_NEAR(cider, 0, 0);
    CHECK_NEAR(bleu[3], 1, 1e-8);
    score_captions("", "a b", 1, &cider, &rouge, bleu);
    CHECK_NEAR(rouge, 0, 0);
}

static void
bleu_takes_the_closest_reference_and_the_shorter_of_two(void)
{
    /* Four words against references of three and five: three is chosen, no brevity penalty.
     * With five alone ratio is 4/5: exp(1 - 5/4). */
    const char *both[] = { "a b c d e", "a b c" }, *five[] = { "a b c d e" };
    struct sea_caption one = { "a b c d", both, 2 };
    double cider, rouge;
    struct sea_caption_scores scores = { .cider = &cider, .rouge = &rouge };

    sea_caption_score(&one, 1, &scores);
    CHECK_NEAR(scores.bleu[0], 1, 1e-8);
    one = (struct sea_caption){ "a b c d", five, 1 };
    sea_caption_score(&one, 1, &scores);
    CHECK_NEAR(scores.bleu[0], exp(-0.25), 1e-8);
}

/* ---- numbers as Python reads and writes them ---- */

static void
numbers_are_pythons(void)
{
    static const struct { const char *text; bool is; double value; } floats[] = {
        { " 1_000 ", true, 1000 }, { "1__0", false, 0 }, { "_1", false, 0 }, { "1_", false, 0 },
        { ".5", true, 0.5 }, { "5.", true, 5 }, { ".", false, 0 }, { "1e5", true, 1e5 },
        { "1e", false, 0 }, { "0x10", false, 0 }, { "-Infinity", true, -INFINITY },
        { "\xD9\xA5", true, 5 }, { "\xEF\xBC\x91.\xEF\xBC\x92", true, 1.2 }, { "", false, 0 },
        { "+-1", false, 0 }, { "1 2", false, 0 },
    };
    static const struct { double value; const char *text; } texts[] = {
        { 0.1, "0.1" }, { 5, "5.0" }, { 1e16, "1e+16" }, { 1e15, "1000000000000000.0" },
        { 0.0001, "0.0001" }, { 0.00001, "1e-05" }, { -2.5, "-2.5" }, { 1.0 / 3, "0.3333333333333333" },
        { 0.1 + 0.2, "0.30000000000000004" },
        { 123456.789, "123456.789" }, { 1.5e300, "1.5e+300" },
    };
    double value;

    for (size_t i = 0; i < sizeof(floats) / sizeof(floats[0]); i++) {
        bool is = sea_py_float(floats[i].text, &value);

        CHECK_MSG(is == floats[i].is && (!is || value == floats[i].value), "float(\"%s\")",
                  floats[i].text);
    }
    for (size_t i = 0; i < sizeof(texts) / sizeof(texts[0]); i++)
        CHECK_STR(sea_py_float_text(texts[i].value, arena), texts[i].text);
    CHECK_NEAR(sea_py_round(2.675, 2), 2.67, 0);        /* the binary value is below the half */
    CHECK_NEAR(sea_py_round(0.5, 0), 0, 0);             /* half to even */
    CHECK_NEAR(sea_py_round(1.205, 2), 1.21, 0);
}

static void
lists_are_pythons(void)
{
    struct sea_py_texts list;

    CHECK(sea_py_list("['it\\'s', \"say \\\"x\\\"\", 'a, b', '\\\\frac', 'caf\\xe9', 3.5]", arena,
                      &list));
    CHECK_INT(list.count, 6);
    CHECK_STR(list.at[0], "it's");
    CHECK_STR(list.at[1], "say \"x\"");
    CHECK_STR(list.at[2], "a, b");
    CHECK_STR(list.at[3], "\\frac");
    CHECK_STR(list.at[4], "caf\xC3\xA9");
    CHECK_STR(list.at[5], "3.5");
    CHECK(sea_py_list("[]", arena, &list) && list.count == 0);
    CHECK(!sea_py_list("['a", arena, &list));
    CHECK(!sea_py_list("red", arena, &list));
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("benchmark rules of numbers and texts",
              TEST(five_per_cent_is_decided_in_doubles), TEST(percentages_are_hundredths),
              TEST(years_next_to_the_right_one_pass), TEST(zero_and_texts_need_equality),
              TEST(anls_keeps_one_half_and_drops_less),
              TEST(ocrbench_keeps_case_in_formulas_only), TEST(mmmu_numbers_and_their_tails),
              TEST(mmmu_reads_the_official_output_file), TEST(caption_words_are_the_tokenizers),
              TEST(cider_has_a_length_penalty_and_clips),
              TEST(bleu_takes_the_closest_reference_and_the_shorter_of_two),
              TEST(numbers_are_pythons), TEST(lists_are_pythons))
