/* SPDX-License-Identifier: Apache-2.0 */
/* More edges of the published rules, one test each, with values worked out by hand beside
 * them: how others score, what a picture or a pair is, what a missing option ends. */
#include "tests/pipeline/bench_files.h"

/* ---- gqa, textvqa, vizwiz ---- */

static void
gqa_drops_periods_punctuation_or_nothing_by_variant(void)
{
    static const struct { const char *said; double llava, lmms, vlmeval; } cases[] = {
        { "T-shirt..", 0, 1, 0 },       /* llava: "t-shirt" is not "tshirt" */
        { "tshirt.", 1, 1, 0 },
        { " tshirt ", 0, 0, 1 },        /* only VLMEvalKit strips */
        { "TSHIRT", 1, 1, 1 },
    };
    const char *gold = put_file("gold.json", "{\"1\": {\"answer\": \"tshirt\", \"isBalanced\": true}}");
    const char *questions = "{\"question_id\": \"1\", \"image\": \"a\", \"text\": \"?\"}\n";
    struct sea_err err;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *said = sea_arena_printf(arena, "{\"1\": \"%s\"}", cases[i].said);
        const char *const variants[] = { "llava", "lmms", "vlmeval" };
        const double want[] = { cases[i].llava, cases[i].lmms, cases[i].vlmeval };

        for (int v = 0; v < 3; v++) {
            struct sea_bench_result result = score("gqa", questions, said, gold, variants[v], &err);

            CHECK_OK(err.status, err);
            CHECK_MSG(!err.status && result.rows[0].score == want[v], "gqa/%s of \"%s\" is not %g",
                      variants[v], cases[i].said, want[v]);
        }
    }
}

#define TEN(a) "[\"" a "\", \"" a "\", \"" a "\", \"" a "\", \"" a "\", \"" a "\", \"" a "\", \"" a \
               "\", \"" a "\", \"" a "\"]"

/* The question stands in one of four places of an answer's prompt. */
static void
textvqa_finds_the_question_in_each_form_of_prompt(void)
{
    static const char *const prompts[] = {
        "What Brand?\\nReference OCR token: a, b\\nAnswer briefly.",
        "Reference OCR token: a, b\\nWhat brand?\\nAnswer briefly.",
        "OCR tokens: a, b. Question: what BRAND? Short answer:",
    };
    const char *gold = put_file("gold.json", "{\"data\": [{\"image_id\": \"x\", \"question\": \"What "
                                "brand?\", \"answers\": " TEN("nokia") "}]}");
    const char *questions = "{\"question_id\": \"x\", \"image\": \"x.jpg\", \"text\": \"What Brand?\\n"
                            "Reference OCR token: a, b\\nAnswer briefly.\"}\n";
    struct sea_bench_result result;
    struct sea_err err;

    for (size_t i = 0; i < sizeof(prompts) / sizeof(prompts[0]); i++) {
        result = score("textvqa", questions,
                       sea_arena_printf(arena, "{\"question_id\": \"x\", \"prompt\": \"%s\", \"text\": "
                                        "\"Nokia\"}\n", prompts[i]), gold, NULL, &err);
        CHECK_OK(err.status, err);
        CHECK_NEAR(value_of(&result, "accuracy"), 1, 0);
    }
    result = score("textvqa-plain",
                   "{\"question_id\": \"x\", \"image\": \"x.jpg\", \"text\": \"What Brand?\\nShort.\"}\n",
                   "{\"question_id\": \"x\", \"prompt\": \"What Brand?\\nShort.\", \"text\": \"nokia\"}\n",
                   gold, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1, 0);
}

/* scikit-learn: average_precision_score([1, 1, 0, 1], [1, 0, 1, 1]) is 0.6944444444444444 */
static void
vizwiz_unanswerable_has_its_f1_and_average_precision(void)
{
    struct sea_buf gold, questions, answers;
    const char *const said[] = { "red", "Unanswerable.", "blue", "red" };
    const int answerable[] = { 1, 1, 0, 1 };
    struct sea_bench_result result;
    struct sea_err err;

    sea_buf_init(&gold, 1 << 16);
    sea_buf_init(&questions, 1 << 16);
    sea_buf_init(&answers, 1 << 16);
    for (int i = 0; i < 4; i++) {
        sea_buf_addf(&gold, "%s{\"image\": \"%d.jpg\", \"answerable\": %d, \"answers\": [{\"answer\": "
                     "\"red\"}, {\"answer\": \"red\"}]}", i ? ", " : "[", i, answerable[i]);
        sea_buf_addf(&questions, "{\"question_id\": %d, \"image\": \"%d.jpg\", \"text\": \"?\"}\n", i,
                     i);
        sea_buf_addf(&answers, "{\"question_id\": %d, \"text\": \"%s\"}\n", i, said[i]);
    }
    sea_buf_puts(&gold, "]");
    result = score("vizwiz", questions.data, answers.data, put_file("val.json", gold.data), NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "answerable_ap"), 0.6944444444444444, 1e-15);
    CHECK_NEAR(value_of(&result, "unanswerable_f1"), 0, 0);     /* said of another picture */
    CHECK_NEAR(value_of(&result, "unanswerable_share"), 0.25, 0);
    sea_buf_release(&gold);
    sea_buf_release(&questions);
    sea_buf_release(&answers);
}

/* ---- scienceqa, seed ---- */

static void
scienceqa_of_lmms_eval_takes_any_case_and_a_capital_with_a_period(void)
{
    static const struct { const char *said; double llava, lmms; } cases[] = {
        { "B", 1, 1 }, { "b", 0, 1 }, { "B. blue", 1, 1 }, { "B.blue", 0, 1 }, { "b. blue", 0, 0 },
        { "The answer is B.", 1, 0 }, { "The answer is B", 0, 0 },  /* no character behind */
        { "The answer is Blue", 1, 0 },     /* the dot is any character: B, then "l" */
        { "E", 0, 0 },                      /* beyond the options */
    };
    const char *questions = "[{\"id\": \"1\", \"image\": \"1/image.png\", \"conversations\": [{\"from\": "
                            "\"human\", \"value\": \"<image>\\nWhy?\\nA. red\\nB. blue\"}, {\"from\": "
                            "\"gpt\", \"value\": \"B\"}]}]";
    struct sea_err err;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        for (int v = 0; v < 2; v++) {
            struct sea_bench_result result =
                score("scienceqa", questions, sea_arena_printf(arena, "{\"1\": \"%s\"}",
                                                               cases[i].said), NULL,
                      v ? "lmms" : "llava", &err);

            CHECK_OK(err.status, err);
            CHECK_MSG(!err.status && result.rows[0].score == (v ? cases[i].lmms : cases[i].llava),
                      "scienceqa/%s of \"%s\"", v ? "lmms" : "llava", cases[i].said);
        }
}

static void
seed_splits_images_from_videos_by_type(void)
{
    const char *gold = put_file("SEED-Bench.json",
        "{\"questions\": [{\"question_id\": \"1\", \"answer\": \"A\", \"data_type\": \"image\", "
        "\"question_type_id\": 1}, {\"question_id\": \"2\", \"answer\": \"A\", \"data_type\": "
        "\"image\", \"question_type_id\": 2}, {\"question_id\": \"v3\", \"answer\": \"A\", "
        "\"data_type\": \"video\", \"question_type_id\": 12}]}");
    const char *questions = "{\"question_id\": 1, \"image\": \"a\", \"text\": \"?\"}\n"
                            "{\"question_id\": 2, \"image\": \"b\", \"text\": \"?\"}\n"
                            "{\"question_id\": \"v3\", \"image\": \"c\", \"text\": \"?\"}\n";
    struct sea_bench_options missing = { .allow_missing = true, .resamples = 20 };
    const char *notes[] = { gold };
    struct sea_bench_result result;
    struct sea_err err = { 0 };

    /* a missing answer is wrong, as in LLaVA's script: 1 of 3, 1 of 2, 0 of 1 */
    CHECK_OK(sea_bench_score("seed", put_file("q", questions),
                             put_file("a", "{\"question_id\": \"1\", \"prediction\": \"A\"}\n"
                                           "{\"question_id\": \"2\", \"prediction\": \"a\"}\n"), notes, 1,
                             &missing, arena, &result, &err), err);
    CHECK_NEAR(value_of(&result, "accuracy"), 1.0 / 3, 1e-15);
    CHECK_NEAR(value_of(&result, "image"), 0.5, 0);
    CHECK_NEAR(value_of(&result, "video"), 0, 0);
    CHECK(!result.complete);
}

/* ---- mme, mmbench ---- */

static void
mme_sees_four_characters_and_gold_of_any_spacing(void)
{
    const char *questions =
        "{\"question_id\": \"OCR/1.jpg\", \"image\": \"a\", \"text\": \"a?\\nShort.\"}\n"
        "{\"question_id\": \"OCR/1.jpg\", \"image\": \"a\", \"text\": \"b?\\nShort.\"}\n";
    struct sea_bench_result result;
    struct sea_err err;
    const char *gold;

    arena = arena ? arena : sea_arena_create(NULL, "test");
    gold = sea_arena_printf(arena, "%s/release", sea_test_dir());
    CHECK_OK(sea_dir_create(sea_arena_printf(arena, "%s/OCR/questions_answers_YN", gold), &err), err);
    /* two blanks before "Please", CRLF, a file per picture */
    put_file("release/OCR/questions_answers_YN/1.txt",
             "a?  Please answer yes or no.\tYes\r\nb? Please answer yes or no.\tNo\r\n");
    result = score("mme", questions,
                   "{\"question_id\": \"OCR/1.jpg\", \"prompt\": \"a?\\nShort.\", \"text\": \"Ayes\"}\n"
                   "{\"question_id\": \"OCR/1.jpg\", \"prompt\": \"b?\\nShort.\", \"text\": \"Not "
                   "yes\"}\n", gold, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "task/OCR"), 1, 0);    /* "ayes" has yes, "not " has no */
    result = score("mme", questions,
                   "{\"question_id\": \"OCR/1.jpg\", \"prompt\": \"a?\\nShort.\", \"text\": \"  Yes\"}\n"
                   "{\"question_id\": \"OCR/1.jpg\", \"prompt\": \"b?\\nShort.\", \"text\": \"It is "
                   "no\"}\n", gold, NULL, &err);
    CHECK_NEAR(value_of(&result, "task/OCR"), 0, 0);    /* "  ye", "it i" */
    CHECK_INT(result.failed, 2);
}

/* As in configs/suites/lmms.yaml: the answer is found again though the prompt is another. */
static void
mme_can_be_asked_as_lmms_eval_does(void)
{
    struct sea_bench_ask ask = { .suffix = " Please answer yes or no." SEA_BENCH_SHORT };
    struct sea_bench_questions questions;
    struct sea_err err = { 0 };

    load_questions("mme", "{\"question_id\": \"OCR/1.jpg\", \"image\": \"a\", \"text\": \"Red?\\nAnswer the "
         "question using a single word or phrase.\", \"answer\": \"Yes\"}\n", &questions);
    CHECK_OK(sea_bench_questions_ask(&questions, &ask, &err), err);
    CHECK_STR(questions.count ? questions.items[0].prompt : "",
              "Red? Please answer yes or no.\nAnswer the question using a single word or phrase.");
}

static void
mmbench_options_end_at_the_first_missing_one(void)
{
    static const char *const missing[] = { "", "nan", "NaN", "None", "none", "N/A", "null" };
    struct sea_bench_questions questions;

    for (size_t i = 0; i < sizeof(missing) / sizeof(missing[0]); i++) {
        load_questions("mmbench", sea_arena_printf(arena,
                                         "index\tquestion\thint\tA\tB\tC\tD\tanswer\n"
                                         "1\tWhy?\tnan\tx\ty\t%s\tz\tB\n", missing[i]), &questions);
        CHECK_INT(questions.count, 1);
        if (questions.count)
            CHECK_STR(questions.items[0].prompt,
                      "Why?\nA. x\nB. y\nAnswer with the option's letter from the given choices "
                      "directly.");
    }
}

static void
mmbench_asks_with_its_hint_and_in_chinese(void)
{
    struct sea_bench_questions questions;

    load_questions("mmbench-cn", "index\tquestion\thint\tA\tB\tanswer\n1\tQ\tH\tx\ty\tB\n", &questions);
    CHECK_STR(questions.count ? questions.items[0].prompt : "",
              "H\nQ\nA. x\nB. y\n\xE8\xAF\xB7\xE7\x9B\xB4\xE6\x8E\xA5\xE5\x9B\x9E\xE7\xAD\x94\xE9\x80\x89"
              "\xE9\xA1\xB9\xE5\xAD\x97\xE6\xAF\x8D\xE3\x80\x82");
}

/* A question of two options has two passes, one of three has three; each needs all. */
static void
mmbench_groups_are_as_many_passes_as_there_are_rows(void)
{
    const char *questions = "index\tquestion\tA\tB\tC\tanswer\tcategory\tl2-category\n"
                            "1\tQ\tx\ty\t\tA\tc\tLR\n1000001\tQ\ty\tx\t\tB\tc\tLR\n"
                            "2\tQ\tx\ty\tz\tA\tc\tRR\n1000002\tQ\tz\tx\ty\tB\tc\tRR\n"
                            "2000002\tQ\ty\tz\tx\tC\tc\tRR\n";
    struct sea_bench_result result;
    struct sea_err err;

    result = score("mmbench", questions, "{\"1\": \"A\", \"1000001\": \"B\", \"2\": \"A\", \"1000002\": "
                   "\"B\", \"2000002\": \"B\"}", NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "circular_accuracy"), 0.5, 0);
    CHECK_NEAR(value_of(&result, "vanilla_accuracy"), 1, 0);
    CHECK_NEAR(value_of(&result, "l2/LR"), 1, 0);
    CHECK_NEAR(value_of(&result, "l2/RR"), 0, 0);
}

/* ---- mmmu, ai2d, mmstar, realworldqa ---- */

static void
mmmu_asks_with_brackets_and_shows_the_first_picture(void)
{
    struct sea_bench_questions questions;

    load_questions("mmmu",
         "{\"id\": \"validation_Art_1\", \"question\": \"<image 1> Why?\", \"options\": \"['it\\\\'s', "
         "\\\"say\\\"]\", \"question_type\": \"multiple-choice\", \"answer\": \"B\", \"image_1\": "
         "{\"path\": \"one.png\"}, \"image_2\": {\"path\": \"two.png\"}}\n"
         "{\"id\": \"validation_Art_2\", \"question\": \"How many?\", \"options\": \"[]\", "
         "\"question_type\": \"open\", \"answer\": \"['2', 'two']\", \"image_1\": {\"path\": "
         "\"one.png\"}}\n", &questions);
    CHECK_INT(questions.count, 2);
    if (questions.count < 2)
        return;
    CHECK_STR(questions.items[0].prompt, "<image 1> Why?\n\n(A) it's\n(B) say\n\nAnswer with the "
              "option's letter from the given choices directly.");
    CHECK_STR(questions.items[0].image, "one.png");
    CHECK_STR(questions.items[1].prompt, "How many?\n\nAnswer the question using a single word or "
              "phrase.");
    CHECK_STR(questions.items[1].category, "Art");
}

static void
mmmu_disciplines_weigh_subjects_by_questions(void)
{
    struct sea_bench_result result;
    struct sea_err err;

    /* Art & Design: Art 1 of 2, Music 1 of 1: 2/3. Science: Math 0 of 1. All: 2/4 */
    result = score("mmmu",
                   "{\"validation_Art_1\": {\"question_type\": \"multiple-choice\", \"ground_truth\": "
                   "\"A\"}, \"validation_Art_2\": {\"question_type\": \"multiple-choice\", "
                   "\"ground_truth\": \"B\"}, \"validation_Music_1\": {\"question_type\": "
                   "\"multiple-choice\", \"ground_truth\": \"E\"}, \"validation_Math_1\": "
                   "{\"question_type\": \"short-answer\", \"ground_truth\": \"7\"}}",
                   "{\"validation_Art_1\": \"A\", \"validation_Art_2\": \"A\", \"validation_Music_1\": "
                   "\"E\", \"validation_Math_1\": \"8\"}", NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 0.5, 0);
    CHECK_NEAR(value_of(&result, "discipline/Art and Design"), 2.0 / 3, 1e-15);
    CHECK_NEAR(value_of(&result, "discipline/Science"), 0, 0);
    CHECK_NEAR(value_of(&result, "subject/Art"), 0.5, 0);
}

static void
ai2d_answers_are_indices_or_letters(void)
{
    static const char *const golds[] = { "\"2\"", "2", "\"C\"" };
    struct sea_bench_result result;
    struct sea_err err;

    for (int i = 0; i < 3; i++) {
        const char *questions =
            sea_arena_printf(arena, "{\"question_id\": 1, \"question\": \"?\", \"options\": [\"a\", "
                             "\"b\", \"c\", \"d\"], \"answer\": %s, \"image\": \"x.png\"}\n", golds[i]);

        result = score("ai2d", questions, "{\"question_id\": 1, \"text\": \"C\"}\n", NULL, NULL, &err);
        CHECK_OK(err.status, err);
        CHECK_NEAR(value_of(&result, "accuracy"), 1, 0);
    }
}

static void
mmstar_averages_details_and_asks_without_a_period(void)
{
    const char *questions =
        "index\tquestion\tanswer\tcategory\tl2_category\n1\tWhy? Options: A: x, B: y\tA\tm\tone\n"
        "2\tQ\tA\tm\tone\n3\tQ\tA\tm\tone\n4\tQ\tB\tm\ttwo\n";
    struct sea_bench_questions loaded;
    struct sea_bench_result result;
    struct sea_err err;

    /* details: 1/3 and 1: mean 2/3; questions: 2/4 */
    result = score("mmstar", questions, "{\"1\": \"A\", \"2\": \"B\", \"3\": \"C\", \"4\": \"B\"}", NULL,
                   NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "average"), 2.0 / 3, 1e-15);
    CHECK_NEAR(value_of(&result, "accuracy"), 0.5, 0);
    load_questions("mmstar", questions, &loaded);
    CHECK_STR(loaded.count ? loaded.items[0].prompt : "", "Why? Options: A: x, B: y\nAnswer with the "
              "option's letter from the given choices directly");
}

static void
realworldqa_compares_words_without_their_last_periods(void)
{
    const char *questions = "index\tquestion\tanswer\n1\tQ\tDownhill\n2\tQ\t3\n3\tQ\tB\n";
    struct sea_bench_result result;
    struct sea_err err;

    result = score("realworldqa", questions, "{\"1\": \" downhill.. \", \"2\": \"3.0\", \"3\": \"(B) the "
                   "red one\"}", NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(result.rows[0].score, 1, 0);
    CHECK_NEAR(result.rows[1].score, 0, 0);
    CHECK_NEAR(result.rows[2].score, 1, 0);
    CHECK_NEAR(value_of(&result, "multiple_choice"), 1, 0);
    CHECK_NEAR(value_of(&result, "open"), 0.5, 0);
}

/* ---- cv-bench, mmvp, hallusionbench ---- */

static void
cv_bench_averages_sources_then_dimensions(void)
{
    static const struct { const char *type, *source; int right; } rows[] = {
        { "2D", "ADE20K", 1 }, { "2D", "ADE20K", 1 }, { "2D", "ADE20K", 0 }, { "2D", "COCO", 0 },
        { "3D", "Omni3D", 1 }, { "3D", "Omni3D", 0 },
    };
    struct sea_buf questions, answers;
    struct sea_bench_result result;
    struct sea_err err;

    sea_buf_init(&questions, 1 << 16);
    sea_buf_init(&answers, 1 << 16);
    for (int i = 0; i < 6; i++) {
        sea_buf_addf(&questions, "{\"idx\": %d, \"type\": \"%s\", \"task\": \"Count\", \"source\": "
                     "\"%s\", \"question\": \"?\", \"choices\": [\"1\", \"2\"], \"answer\": \"(A)\", "
                     "\"prompt\": \"P\", \"image\": \"x.png\"}\n", i, rows[i].type, rows[i].source);
        sea_buf_addf(&answers, "{\"question_id\": %d, \"text\": \"%s\"}\n", i,
                     rows[i].right ? "A" : "B");
    }
    result = score("cv-bench", questions.data, answers.data, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    /* 2D: (2/3 + 0) / 2 = 1/3; 3D: 1/2; their mean 5/12 */
    CHECK_NEAR(value_of(&result, "overall"), 5.0 / 12, 1e-15);
    sea_buf_release(&questions);
    sea_buf_release(&answers);
}

static void
mmvp_pairs_are_neighbours_and_need_both(void)
{
    const char *questions = "Index,Question,Options,Correct Answer\n1,Q?,(a) Open (b) Closed,(a)\n"
                            "2,Q?,(a) Open (b) Closed,(b)\n3,Q?,(a) One (b) Two,(a)\n"
                            "4,Q?,(a) One (b) Two,(b)\n";
    struct sea_bench_result result;
    struct sea_err err;

    result = score("mmvp", questions, "{\"1\": \"(a)\", \"2\": \"(b)\", \"3\": \"(a)\", \"4\": \"(a)\"}",
                   NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "pair_accuracy"), 0.5, 0);
    CHECK_NEAR(value_of(&result, "accuracy"), 0.75, 0);
}

static void
hallusionbench_groups_figures_and_questions(void)
{
    static const struct { const char *category, *figure, *question, *gold, *said, *file; } rows[] = {
        { "VD", "0", "0", "1", "Yes", "a.png" },        /* right */
        { "VD", "1", "0", "0", "Yes", "b.png" },        /* wrong: the question fails its figures */
        { "VD", "0", "1", "1", "yes", "a.png" },        /* right: figure VD 0 has both */
        { "VS", "0", "0", "1", "Hard to say", "" },     /* no picture: unclear is right */
        { "VS", "1", "0", "0", "Hard to say", "c.png" },        /* with one it is not */
    };
    struct sea_buf questions, answers;
    struct sea_bench_result result;
    struct sea_err err;

    sea_buf_init(&questions, 1 << 16);
    sea_buf_init(&answers, 1 << 16);
    for (int i = 0; i < 5; i++) {
        sea_buf_addf(&questions, "%s{\"category\": \"%s\", \"subcategory\": \"s\", \"visual_input\": "
                     "\"%d\", \"set_id\": \"0\", \"figure_id\": \"%s\", \"question_id\": \"%s\", "
                     "\"question\": \"?\", \"gt_answer\": \"%s\", \"filename\": %s%s%s}", i ? ", " : "[",
                     rows[i].category, rows[i].file[0] ? 1 : 0, rows[i].figure, rows[i].question,
                     rows[i].gold, rows[i].file[0] ? "\"" : "", rows[i].file[0] ? rows[i].file : "null",
                     rows[i].file[0] ? "\"" : "");
        sea_buf_addf(&answers, "%s\"%s_s_0_%s_%s\": \"%s\"", i ? ", " : "{", rows[i].category,
                     rows[i].figure, rows[i].question, rows[i].said);
    }
    sea_buf_puts(&questions, "]");
    sea_buf_puts(&answers, "}");
    result = score("hallusionbench", questions.data, answers.data, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "aAcc"), 3.0 / 5, 1e-15);
    CHECK_NEAR(value_of(&result, "fAcc"), 1.0 / 3, 1e-15);      /* VD 0, VD 1, VS 1; not VS 0 */
    CHECK_NEAR(value_of(&result, "qAcc"), 1.0 / 3, 1e-15);      /* VD 0, VD 1, VS 0 */
    sea_buf_release(&questions);
    sea_buf_release(&answers);
}

/* ---- docvqa, ocrbench, mathvista ---- */

static void
docvqa_lengths_are_those_of_capitals(void)
{
    static const char *const gold[] = { "stra\xC3\x9F" "e" };

    arena = arena ? arena : sea_arena_create(NULL, "test");
    /* one letter differs; "STRASSE" has seven: 1 - 1/7 */
    CHECK_NEAR(sea_text_anls(gold, 1, "stra\xC3\x9F" "x", 0.5, arena), 1 - 1.0 / 7, 1e-15);
    CHECK_INT(sea_text_upper_length("\xEF\xAC\x81"), 2);        /* the ligature fi */
    CHECK_INT(sea_text_upper_length("\xC4\xB0"), 1);            /* dotted I stays one */
    CHECK_INT(sea_text_upper_length("\xE1\xBA\x9E"), 1);        /* so does the capital sharp s */
}

static void
ocrbench_folds_full_width_forms_by_variant(void)
{
    const char *questions = "[{\"id\": \"0\", \"dataset_name\": \"svt\", \"question\": \"?\", \"answers\": "
                            "[\"No 1\"], \"image_path\": \"a.png\", \"type\": \"r\"}]";
    const char *answers = "{\"0\": \"\xEF\xBC\xAE\xEF\xBD\x8F\xE3\x80\x80\xEF\xBC\x91\"}";
    struct sea_bench_result result;
    struct sea_err err;

    result = score("ocrbench", questions, answers, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(result.rows[0].score, 0, 0);
    result = score("ocrbench", questions, answers, NULL, "lmms", &err);
    CHECK_NEAR(result.rows[0].score, 1, 0);
}

static void
mathvista_normalises_by_the_answers_type(void)
{
    static const struct { const char *more, *gold, *said; double score; } cases[] = {
        { "\"question_type\": \"multi_choice\", \"answer_type\": \"text\", \"choices\": [\"red\", "
          "\"blue\"]", "blue", "(B)", 1 },                      /* the letter's choice */
        { "\"question_type\": \"multi_choice\", \"answer_type\": \"text\", \"choices\": [\"red\", "
          "\"blue\"]", "blue", "blues", 1 },                    /* the nearest choice */
        { "\"question_type\": \"free_form\", \"answer_type\": \"integer\"", "7", "7.9", 1 },
        { "\"question_type\": \"free_form\", \"answer_type\": \"float\", \"precision\": 1", "1.2",
          "1.249", 1 },                                         /* rounded to one decimal */
        { "\"question_type\": \"free_form\", \"answer_type\": \"float\", \"precision\": 2", "1.2",
          "1.249", 0 },
        { "\"question_type\": \"free_form\", \"answer_type\": \"list\"", "[1, 2]", "[1, 2]", 1 },
    };
    struct sea_bench_result result;
    struct sea_err err;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const char *questions =
            sea_arena_printf(arena, "{\"1\": {\"question\": \"?\", \"image\": \"a.png\", %s, \"answer\": "
                             "\"%s\", \"metadata\": {\"source\": \"s\", \"task\": \"t\", \"context\": \"c\","
                             " \"grade\": \"g\", \"skills\": [\"k\"]}}}", cases[i].more, cases[i].gold);
        const char *answers = sea_arena_printf(arena, "{\"1\": {\"extraction\": \"%s\", \"response\": "
                                               "\"x\"}}", cases[i].said);

        result = score("mathvista", questions, answers, NULL, "strict", &err);
        CHECK_OK(err.status, err);
        CHECK_MSG(!err.status && result.rows[0].score == cases[i].score, "\"%s\" against \"%s\" is "
                  "not %g", cases[i].said, cases[i].gold, cases[i].score);
    }
}

/* ---- captions, thoughts ---- */

static void
captions_belong_to_pictures_that_are_known(void)
{
    const char *questions = "{\"images\": [{\"id\": 1, \"file_name\": \"1.jpg\"}], \"annotations\": "
                            "[{\"image_id\": 1, \"id\": 5, \"caption\": \"a cat\"}]}";
    const char *notes = put_file("captions_val2014.json", questions);
    struct sea_err err;

    score("coco-caption", questions, "[{\"image_id\": 1, \"caption\": \"a cat\"}]", notes, NULL, &err);
    CHECK_OK(err.status, err);
    score("coco-caption", questions, "[{\"image_id\": 2, \"caption\": \"a cat\"}]", notes, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "1 missing (\"1\"), 1 unknown (\"2\")");
    score("coco-caption", questions, "[{\"image_id\": 1, \"caption\": \"a\"}, {\"image_id\": 1, "
          "\"caption\": \"b\"}]", notes, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "1 doubled (\"1\")");
}

static void
thoughts_are_kept_and_not_parsed(void)
{
    const char *questions = "index\tquestion\tanswer\n1\tQ\tno\n2\tQ\tno\n";
    struct sea_bench_result result;
    struct sea_err err;
    struct sea_buf rows;

    result = score("realworldqa", questions, "{\"1\": \"<think>yes?\\n</think>\\n No.\", \"2\": \"<think>"
                   "cut off: no\"}", NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(result.rows[0].score, 1, 0);
    CHECK_STR(result.rows[0].text, "No.");
    CHECK_NEAR(result.rows[1].score, 0, 0);     /* no end, no answer */
    sea_buf_init(&rows, 1 << 20);
    sea_bench_rows_write(&result, &rows);
    CHECK(strstr(rows.data, "\"thoughts\": \"<think>yes?\\n</think>\"") != NULL);
    sea_buf_release(&rows);
}

/* Bytes that a text should not hold, and a megabyte of it. */
static void
odd_answers_are_scored_or_refused_with_words(void)
{
    const char *questions = "index\tquestion\tanswer\n1\tQ\tno\n";
    struct sea_bench_result result;
    struct sea_err err;
    struct sea_buf long_one;

    result = score("realworldqa", questions, "{\"question_id\": 1, \"text\": \"no\\u0000\"}\n", NULL, NULL,
                   &err);
    CHECK(err.status == SEA_OK || err.message[0]);
    score("realworldqa", questions, "{\"question_id\": 1, \"text\": \"\xFF\"}\n", NULL, NULL, &err);
    CHECK_FAILS(err, SEA_E_FORMAT, "row 0, line 1");
    result = score("realworldqa", questions, "{\"question_id\": 1, \"text\": \"\"}\n", NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 0, 0);    /* an empty answer is wrong, not missing */
    CHECK_INT(result.missing, 0);
    sea_buf_init(&long_one, (size_t)4 << 20);
    sea_buf_puts(&long_one, "{\"question_id\": 1, \"text\": \"");
    for (int i = 0; i < 1 << 18; i++)
        sea_buf_puts(&long_one, "no. ");
    sea_buf_puts(&long_one, "\"}\n");
    result = score("realworldqa", questions, long_one.data, NULL, NULL, &err);
    CHECK_OK(err.status, err);
    CHECK_NEAR(value_of(&result, "accuracy"), 0, 0);
    sea_buf_release(&long_one);
    sea_arena_destroy(arena);
    arena = NULL;
}

/* Prompts are made of texts of any length: no limit of a buffer stands in the way. */
static void
questions_of_any_length_are_asked(void)
{
    size_t n = (size_t)18 << 20;
    char *text = sea_xcalloc(n + 512, 1);
    struct sea_bench_questions questions;
    int head = snprintf(text, 64, "index\tquestion\tA\tB\tanswer\n1\t");

    memset(text + head, 'q', n);
    snprintf(text + (size_t)head + n, 64, "\tone\ttwo\tA\n");
    load_questions("mmbench", text, &questions);
    CHECK_INT(questions.count, 1);
    if (questions.count)
        CHECK(strlen(questions.items[0].prompt) > n);
    free(text);
}

SEA_TEST_MAIN("edges of the benchmarks' rules",
              TEST(gqa_drops_periods_punctuation_or_nothing_by_variant),
              TEST(textvqa_finds_the_question_in_each_form_of_prompt),
              TEST(vizwiz_unanswerable_has_its_f1_and_average_precision),
              TEST(scienceqa_of_lmms_eval_takes_any_case_and_a_capital_with_a_period),
              TEST(seed_splits_images_from_videos_by_type),
              TEST(mme_sees_four_characters_and_gold_of_any_spacing),
              TEST(mme_can_be_asked_as_lmms_eval_does),
              TEST(mmbench_options_end_at_the_first_missing_one),
              TEST(mmbench_asks_with_its_hint_and_in_chinese),
              TEST(mmbench_groups_are_as_many_passes_as_there_are_rows),
              TEST(mmmu_asks_with_brackets_and_shows_the_first_picture),
              TEST(mmmu_disciplines_weigh_subjects_by_questions),
              TEST(ai2d_answers_are_indices_or_letters),
              TEST(mmstar_averages_details_and_asks_without_a_period),
              TEST(realworldqa_compares_words_without_their_last_periods),
              TEST(cv_bench_averages_sources_then_dimensions),
              TEST(mmvp_pairs_are_neighbours_and_need_both),
              TEST(hallusionbench_groups_figures_and_questions),
              TEST(docvqa_lengths_are_those_of_capitals),
              TEST(ocrbench_folds_full_width_forms_by_variant),
              TEST(mathvista_normalises_by_the_answers_type),
              TEST(captions_belong_to_pictures_that_are_known),
              TEST(thoughts_are_kept_and_not_parsed),
              TEST(questions_of_any_length_are_asked),
              TEST(odd_answers_are_scored_or_refused_with_words))
