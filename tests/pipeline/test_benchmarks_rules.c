/* SPDX-License-Identifier: Apache-2.0 */
/* The rules' edges, one test each, with values worked out by hand beside them. */
#include "tests/pipeline/bench_files.h"

/* ---- parsers of letters ---- */

static const struct sea_choice four = {
    .options = { "red car", "blue car", "a dog", "C3PO" }, .count = 4, .answer = 0,
};

struct reading {
    const char *text;
    int option;                 /* -1: none */
};

static void
check_parser(const char *name, const struct reading *cases, size_t n)
{
    sea_choice_parser *parse = sea_choice_find(name);

    CHECK_MSG(parse != NULL, "there is no parser \"%s\"", name);
    for (size_t i = 0; i < n; i++) {
        int got = parse(cases[i].text, &four);

        CHECK_MSG(got == cases[i].option, "%s reads \"%s\" as %d, want %d", name, cases[i].text,
                  got, cases[i].option);
    }
}
#define CHECK_PARSER(name, cases) check_parser(name, cases, sizeof(cases) / sizeof((cases)[0]))

static void
seed_wants_the_letter_alone(void)
{
    static const struct reading strict[] = { { "B", 1 }, { "B.", -1 }, { " B", -1 }, { "b", -1 },
                                             { "", -1 }, { "E", -1 } };
    static const struct reading first[] = { { "b. blue", 1 }, { "  C", 2 }, { "Both", 1 },
                                            { "(A)", -1 }, { "", -1 } };

    CHECK_PARSER("letter", strict);
    CHECK_PARSER("first", first);
}

static void
mmmu_reads_brackets_then_letters_then_texts(void)
{
    static const struct reading cases[] = {
        { "(B)", 1 },                       /* brackets before everything */
        { "A then (C) then (B)", 1 },       /* the last of them */
        { "B.", 1 },                        /* marks at the ends go */
        { "B or A", 0 },                    /* the last letter between blanks */
        { "Answer: B", 1 },
        { "Bold", -1 },                     /* no letter of its own, and not more than 5 words */
        { "it shows a red car", -1 },       /* 5 words: texts are not looked for */
        { "it clearly shows a red car", 0 },        /* 6 words */
        { "not a red car but a blue car", 1 },      /* the last text */
        { "THE BLUE CAR IS RIGHT, I AM SURE", 1 },  /* any case */
        { "", -1 },
    };

    CHECK_PARSER("mmmu", cases);
}

static void
extraction_prefers_start_end_phrase_and_brackets(void)
{
    static const struct reading cases[] = {
        { "B is right, not C", 1 },         /* start 10 before end 9 */
        { "I would say it is C", 2 },       /* end 9 */
        { "The answer is B because (A) and C. are wrong here", 2 }, /* phrase 7: B, A and C follow
                                                                       it; C stands last */
        { "it is (B) or so, C. no", 1 },    /* brackets 6 before "X." 5 */
        { "x B. y C: z", 1 },               /* 5 before 4 */
        { "x C: y B) z", 2 },               /* 4 before 3 */
        { "x B) y C z", 1 },                /* 3 before 2 */
        { "x B y C z", 2 },                 /* equal: the last */
        { "the answer is D not B, zz", 1 },         /* of two behind the phrase the last */
        { "xBy", 1 },                       /* any place when nothing else is there */
        { "\"B\"", 1 },                     /* marks at the ends go */
        { "nothing here", -1 },
        { "my choice is the Dog, surely", 3 },      /* D of Dog follows the phrase */
        { "", -1 },
    };

    CHECK_PARSER("extract", cases);
}

static void
tokens_take_a_for_an_article_in_long_answers(void)
{
    static const struct reading cases[] = {
        { "A", 0 }, { "I say A", 0 },       /* three words */
        { "I see A zebra", -1 },            /* four: A is an article, no option's text either */
        { "I see B here now", 1 }, { "(C).", 2 }, { ":B,", 1 }, { "B. or C.", -1 },
        { "B. or (C)", 1 },                 /* forms are tried in order: "B." comes first */
        { "it is the blue car", 1 },        /* one option's text */
        { "a dog in a red car", -1 },       /* two of them */
    };

    CHECK_PARSER("tokens", cases);
}

static void
the_ladder_refuses_and_counts_words(void)
{
    static const struct reading cases[] = {
        { "Cannot determine the answer, B", -1 },   /* a refusal */
        { "B is one of", 1 },                       /* fourth word from the end */
        { "B is one of four", -1 },                 /* fifth */
        { "the correct answer is **b**", 1 },
        { "answer is Dog", 3 },                     /* the letter behind the phrase, any word */
        { "A (B) A", -1 },                          /* two letters */
        { "C3PO", 3 },                              /* an option's text */
        { "", -1 },
    };

    CHECK_PARSER("ladder", cases);
}

static void
cvbench_takes_the_first_letter_of_any_word(void)
{
    static const struct reading cases[] = { { "(B) two", 1 }, { "apple", 0 }, { "Dog", 3 },
                                            { "the", -1 }, { "", -1 } };

    CHECK_PARSER("start", cases);
}

/* ---- mme ---- */

static void
mme_pairs_are_pictures_not_lines(void)
{
    struct sea_bench_result result;
    struct sea_err err;
    const char *questions =
        "{\"question_id\": \"count/1.png\", \"image\": \"count/1.png\", \"text\": \"Two?\\nS\", "
        "\"answer\": \"Yes\"}\n"
        "{\"question_id\": \"count/2.png\", \"image\": \"count/2.png\", \"text\": \"Two?\\nS\", "
        "\"answer\": \"No\"}\n"
        "{\"question_id\": \"count/1.png\", \"image\": \"count/1.png\", \"text\": \"One?\\nS\", "
        "\"answer\": \"No\"}\n"
        "{\"question_id\": \"count/2.png\", \"image\": \"count/2.png\", \"text\": \"Nine?\\nS\", "
        "\"answer\": \"No\"}\n";

    /* picture 1: right and right; picture 2: right and other. acc 3/4, acc+ 1/2: 125 */
    result = score("mme", questions,
                   "{\"question_id\": \"count/2.png\", \"prompt\": \"Nine?\\nS\", \"text\": \"maybe"
                   "\"}\n{\"question_id\": \"count/1.png\", \"prompt\": \"One?\\nS\", \"text\": "
                   "\"No.\"}\n{\"question_id\": \"count/2.png\", \"prompt\": \"Two?\\nS\", \"text\": "
                   "\"no\"}\n{\"question_id\": \"count/1.png\", \"prompt\": \"Two?\\nS\", \"text\": "
                   "\"Yes\"}\n", NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "task/count") * 200, 125, 1e-12);
    CHECK_NEAR(value_of(&result, "perception") * 2000, 125, 1e-12);
    CHECK_NEAR(value_of(&result, "acc_plus/count"), 0.5, 1e-15);
    CHECK_INT(result.failed, 1);
    CHECK_INT((int)sea_bench_metric_find(&result, "perception")->scale, 2000);
    /* a picture with one question is refused */
    score("mme", "{\"question_id\": \"count/1.png\", \"image\": \"a\", \"text\": \"Two?\", \"answer\": "
          "\"Yes\"}\n", "{\"question_id\": \"count/1.png\", \"prompt\": \"Two?\", \"text\": \"y\"}\n",
          NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "has 1 questions, expected 2");
    score("mme", questions, "{\"question_id\": \"count/1.png\", \"text\": \"y\"}\n", NULL, NULL,
          &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "field \"prompt\" is missing");
    score("mme", "{\"question_id\": \"chess/1.png\", \"image\": \"a\", \"text\": \"Two?\"}\n", "",
          NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "task \"chess\", which MME does not have");
}

/* ---- textvqa ---- */

#define TEN(a, b) "[\"" a "\", \"" a "\", \"" a "\", \"" b "\", \"" b "\", \"" b "\", \"" b "\", \"" b \
                  "\", \"" b "\", \"" b "\"]"

static void
textvqa_joins_by_picture_and_question(void)
{
    const char *gold = put_file("gold.json",
        "{\"data\": [{\"question_id\": 1, \"image_id\": \"x\", \"question\": \"What Brand?\", "
        "\"answers\": " TEN("nokia", "moto") "}, {\"question_id\": 2, \"image_id\": \"x\", "
        "\"question\": \"What year?\", \"answers\": " TEN("1999", "2000") "}]}");
    const char *questions =
        "{\"question_id\": \"x\", \"image\": \"x.jpg\", \"text\": \"What Brand?\\nReference OCR "
        "token: \\nShort.\"}\n{\"question_id\": \"x\", \"image\": \"x.jpg\", \"text\": \"What "
        "year?\\nReference OCR token: 1999, a\\nShort.\"}\n";
    struct sea_bench_result result;
    struct sea_err err;

    /* three of ten said nokia: 0.9 (leave one out); "Nokia." is the same after normalising */
    result = score("textvqa", questions,
                   "{\"question_id\": \"x\", \"prompt\": \"What year?\\nReference OCR token: 1999, a"
                   "\\nShort.\", \"text\": \"2000\"}\n{\"question_id\": \"x\", \"prompt\": \"what "
                   "brand?\\nReference OCR token: \\nShort.\", \"text\": \"Nokia.\"}\n", gold, NULL,
                   &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), (0.9 + 1.0) / 2, 1e-15);
    CHECK_NEAR(result.rows[0].score, 0.9, 1e-15);
    score("textvqa-plain", questions,
          "{\"question_id\": \"x\", \"prompt\": \"What year?\\nReference OCR token: 1999, a\\nShort.\","
          " \"text\": \"2000\"}\n{\"question_id\": \"x\", \"prompt\": \"What Brand?\\nShort.\", "
          "\"text\": \"Nokia.\"}\n", gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "was asked with OCR words: that is benchmark \"textvqa\"");
    score("textvqa", questions,
          "{\"question_id\": \"x\", \"prompt\": \"What year?\\nShort.\", \"text\": \"2000\"}\n"
          "{\"question_id\": \"x\", \"prompt\": \"What Brand?\\nShort.\", \"text\": \"y\"}\n", gold,
          NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "was asked without OCR words");
    score("textvqa", questions, "{\"question_id\": \"x\", \"prompt\": \"What?\", \"text\": \"y\"}\n",
          gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "field \"prompt\" is of an unknown form");
    score("textvqa", "{\"question_id\": \"x\", \"image\": \"x.jpg\", \"text\": \"What?\\nShort.\"}\n",
          "", gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "has no line \"Reference OCR token: ");
    CHECK(strstr(err.hint, "textvqa-plain") != NULL);
    score("textvqa-plain", put_file("g9.json", "{\"data\": []}"), "", gold, NULL, &err);
    score("textvqa", questions,
          "{\"question_id\": \"x\", \"prompt\": \"What year?\\nReference OCR token: 1\\nS\", \"text\": "
          "\"2000\"}\n{\"question_id\": \"x\", \"prompt\": \"What Brand?\\nReference OCR token: 2\\nS\", "
          "\"text\": \"y\"}\n", put_file("nine.json",
          "{\"data\": [{\"image_id\": \"x\", \"question\": \"What year?\", \"answers\": [\"1\"]}]}"),
          NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "holds 1 answers, expected 10");
}

/* ---- vizwiz ---- */

static void
vizwiz_compares_with_raw_answers(void)
{
    const char *gold = put_file("val.json",
        "[{\"image\": \"v1.jpg\", \"answerable\": 1, \"answers\": [{\"answer\": \"The Can\"}, "
        "{\"answer\": \"The Can\"}, {\"answer\": \"The Can\"}, {\"answer\": \"The Can\"}, "
        "{\"answer\": \"can\"}]}]");
    const char *questions = "{\"question_id\": 0, \"image\": \"v1.jpg\", \"text\": \"What?\"}\n";
    struct sea_bench_result result;
    struct sea_err err;

    /* the answer becomes "can", people stay as they wrote: one match of five. Leaving that one
     * out 0 others said it, leaving out another one did: (4 * 1/3) / 5 */
    result = score("vizwiz", questions, "[{\"image\": \"v1.jpg\", \"answer\": \"The Can\"}]", gold,
                   "llava", &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 4.0 / 15, 1e-15);
    /* both sides: all five say "can" */
    result = score("vizwiz", questions, "{\"question_id\": 0, \"text\": \"The Can\"}", gold, "m4c",
                   &err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1, 1e-15);
    score("vizwiz", questions, "{\"question_id\": 0, \"text\": \"x\"}", NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_MISSING, "\"val.json\" of benchmark \"vizwiz\" was not given");
    score("vizwiz", "{\"question_id\": 0, \"image\": \"v2.jpg\", \"text\": \"What?\"}\n",
          "{\"question_id\": 0, \"text\": \"x\"}", gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "has no answers for image \"v2.jpg\"");
    score("vizwiz", questions, "[{\"image\": \"v7.jpg\", \"answer\": \"x\"}]", gold, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "1 missing (\"0\"), 0 doubled (), 1 unknown (\"v7.jpg\")");
}

static void
consensus_of_one_answer_is_zero(void)
{
    static const char *const one[] = { "cat" };
    static const char *const three[] = { "cat", "cat", "dog" };

    CHECK_NEAR(sea_vqa_agreement(one, 1, "cat"), 0, 0);
    /* leave out a cat: 1/3, the other: 1/3, the dog: 2/3 */
    CHECK_NEAR(sea_vqa_agreement(three, 3, "cat"), 4.0 / 9, 1e-15);
}

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

SEA_TEST_MAIN("benchmark rules", TEST(seed_wants_the_letter_alone),
              TEST(mmmu_reads_brackets_then_letters_then_texts),
              TEST(extraction_prefers_start_end_phrase_and_brackets),
              TEST(tokens_take_a_for_an_article_in_long_answers),
              TEST(the_ladder_refuses_and_counts_words),
              TEST(cvbench_takes_the_first_letter_of_any_word),
              TEST(mme_pairs_are_pictures_not_lines), TEST(textvqa_joins_by_picture_and_question),
              TEST(vizwiz_compares_with_raw_answers), TEST(consensus_of_one_answer_is_zero),
              TEST(five_per_cent_is_decided_in_doubles), TEST(percentages_are_hundredths),
              TEST(years_next_to_the_right_one_pass), TEST(zero_and_texts_need_equality),
              TEST(anls_keeps_one_half_and_drops_less), TEST(ocrbench_keeps_case_in_formulas_only),
              TEST(mmmu_numbers_and_their_tails), TEST(mmmu_reads_the_official_output_file),
              TEST(caption_words_are_the_tokenizers), TEST(cider_has_a_length_penalty_and_clips),
              TEST(bleu_takes_the_closest_reference_and_the_shorter_of_two),
              TEST(numbers_are_pythons), TEST(lists_are_pythons))
