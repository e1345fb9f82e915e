/* SPDX-License-Identifier: Apache-2.0 */
/* The rules' edges, one test each, with values worked out by hand beside them: letters, MME,
 * TextVQA, VizWiz. Numbers and texts are in test_benchmarks_numbers.c. */
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
    CHECK_FAILS(err, SEA_E_FORMAT, "1 missing (\"0\"), 1 unknown (\"v7.jpg\")");
}

static void
yes_and_no_are_found_behind_marks_and_periods(void)
{
    static const struct { const char *text, *means; } cases[] = {
        { "No.", "no" }, { "Yes.", "yes" }, { "(No)", "no" }, { "YES!", "yes" },
        { "No, it is not.", "no" }, { "The answer is no.", "no" },
        { "It is not.", "" },               /* "not" is another word */
        { "Yes and no.", "" }, { "no.\nyes", "" },  /* both */
        { "yes.no", "" },                   /* the period goes: "yesno" */
        { "no.5", "" },                     /* a digit beside it: the period stays */
        { "yes-no", "" },                   /* no blank beside "-": it becomes one, both */
        { "yes- sir", "yes" },              /* one beside it: it goes */
        { "................................ no.", "" },     /* the 33rd period stays */
        { "............................... no.", "no" },
        { "", "" },
    };

    struct sea_arena *texts = sea_arena_create(NULL, "texts");

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *got = sea_text_yes_no(cases[i].text, texts);

        CHECK_MSG(strcmp(got, cases[i].means) == 0, "\"%s\" means \"%s\", want \"%s\"",
                  cases[i].text, got, cases[i].means);
    }
    sea_arena_destroy(texts);
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

SEA_TEST_MAIN("benchmark rules",
              TEST(seed_wants_the_letter_alone),
              TEST(mmmu_reads_brackets_then_letters_then_texts),
              TEST(extraction_prefers_start_end_phrase_and_brackets),
              TEST(tokens_take_a_for_an_article_in_long_answers),
              TEST(the_ladder_refuses_and_counts_words),
              TEST(cvbench_takes_the_first_letter_of_any_word),
              TEST(mme_pairs_are_pictures_not_lines),
              TEST(textvqa_joins_by_picture_and_question),
              TEST(vizwiz_compares_with_raw_answers),
              TEST(yes_and_no_are_found_behind_marks_and_periods),
              TEST(consensus_of_one_answer_is_zero))
