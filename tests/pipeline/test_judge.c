/* SPDX-License-Identifier: Apache-2.0 */
/* Benchmarks that a model grades: what it is asked, how replies are read, the cache, a
 * suite's key, and the command. What servers do wrong is in test_judge_faults.c. */
#include <fcntl.h>
#include <spawn.h>
#include <sys/wait.h>

#include "pipeline/sea_suite.h"
#include "tests/pipeline/judge_bed.h"

extern char **environ;

/* ---- MM-Vet ---- */

static void
mm_vet_is_asked_and_scored_as_published(void)
{
    struct judge_server server;
    struct bed bed;
    struct sea_node *request = NULL;
    const struct sea_node *message;

    judge_server_start(&server, obedient);
    bed = bed_create(&server);
    bed.judge.parallel = 1;     /* the last item is asked last */
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 4);
    /* (1.0 + 0.5 + 0.0 + 0.4) / 4 and so on, by hand */
    CHECK_NEAR(value_of(&bed, "total"), 0.475, 1e-12);
    CHECK_NEAR(value_of(&bed, "ocr"), 0.7, 1e-12);
    CHECK_NEAR(value_of(&bed, "rec"), 0.25, 1e-12);
    CHECK_NEAR(value_of(&bed, "math"), 1.0, 1e-12);
    CHECK_NEAR(value_of(&bed, "integration/rec_know"), 0.0, 1e-12);
    CHECK_NEAR(value_of(&bed, "integration/ocr_spat"), 0.4, 1e-12);
    CHECK_INT(bed.result.failed, 0);
    CHECK(bed.result.complete);
    CHECK(strncmp(bed.result.variant, "mm-vet-official@judge-2026-01-01#", 33) == 0);
    CHECK_INT(count_of(&bed, "tokens_in"), 400);
    CHECK_INT(count_of(&bed, "tokens_out"), 12);

    CHECK(strstr(server.last_head, "POST /v1/chat/completions HTTP/1.1") != NULL);
    CHECK_OK(sea_json_parse(server.last_body, strlen(server.last_body), "request", arena, &request,
                            &bed.err), bed.err);
    CHECK_STR(sea_node_text(sea_node_get(request, "model"), ""), "judge");
    CHECK_INT(sea_node_int(sea_node_get(request, "max_tokens"), 0), 3);
    CHECK_NEAR(sea_node_real(sea_node_get(request, "temperature"), 9), 0, 0);
    message = sea_node_get(request, "messages");
    CHECK_INT(message->count, 1);
    CHECK_STR(sea_node_text(sea_node_get(message->first, "content"), ""),
              TABLE "\nWhere? | left | grade 0.4 | ");
    judge_server_end(&server);
}

static struct act
stubborn(struct judge_server *server, const char *body, int number)
{
    if (strstr(body, "What is x?") && !strstr(body, "Only a number: \""))
        return (struct act){ .text = "The grade is 1.0" };
    if (strstr(body, "Who?"))
        return (struct act){ .text = "2.0" };   /* beyond 1 */
    return obedient(server, body, number);
}

static void
replies_that_cannot_be_read_are_asked_again_and_listed(void)
{
    struct judge_server server;
    struct bed bed;
    struct sea_node *invalid;

    judge_server_start(&server, stubborn);
    bed = bed_create(&server);
    bed.judge.parallel = 1;
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 2 + 5 + 1 + 1);      /* one reminder; five tries; two plain */
    CHECK_INT(bed.result.failed, 1);
    CHECK_NEAR(value_of(&bed, "total"), 1.4 / 4, 1e-12);
    CHECK_NEAR(value_of(&bed, "graded"), 1.4 / 3, 1e-12);
    invalid = sea_node_get(bed.result.judge, "invalid");
    CHECK_INT(invalid->count, 1);
    CHECK_STR(sea_node_text(invalid->first, ""), "v1_1");
    CHECK_STR(bed.result.rows[1].parsed, "invalid");
    CHECK_STR(bed.result.rows[1].judged[0], "2.0");
    CHECK_STR(bed.result.rows[0].parsed, "1.0");
    judge_server_end(&server);
}

static struct act
warming(struct judge_server *server, const char *body, int number)
{
    static const char *const heat[] = { "\"temperature\":0.0", "\"temperature\":0.0",
                                        "\"temperature\":0.5", "\"temperature\":1.0",
                                        "\"temperature\":1.5" };

    (void)server;
    if (number <= 5)
        CHECK_MSG(strstr(body, heat[number - 1]) != NULL, "try %d is not at %s: %s", number,
                  heat[number - 1], body);
    return (struct act){ .text = "none" };
}

static void
tries_get_warmer_as_in_the_official_script(void)
{
    struct judge_server server;
    struct bed bed;

    judge_server_start(&server, warming);
    bed = bed_create(&server);
    bed.judge.parallel = 1;
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(bed.result.failed, 4);
    CHECK_NEAR(value_of(&bed, "total"), 0, 0);
    CHECK(sea_bench_metric_find(&bed.result, "graded") == NULL);
    judge_server_end(&server);
}

static struct act
thinking(struct judge_server *server, const char *body, int number)
{
    (void)server, (void)number;
    CHECK(strstr(body, "\"max_tokens\":500") != NULL);
    return (struct act){ .text = "<think>0.9? No.\n0.1</think>\n\n0.5" };
}

static void
a_judge_may_think_aloud(void)
{
    struct judge_server server;
    struct bed bed;

    judge_server_start(&server, thinking);
    bed = bed_create(&server);
    bed.judge.max_tokens = 500;
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 4);
    CHECK_NEAR(value_of(&bed, "total"), 0.5, 1e-12);
    CHECK_STR(bed.result.variant + strlen(bed.result.variant) - 4, "+500");
    CHECK_STR(bed.result.rows[0].judged[0], "<think>0.9? No.\n0.1</think>\n\n0.5");
    judge_server_end(&server);
}

/* ---- the cache ---- */

static void
a_second_evaluation_calls_nobody(void)
{
    struct judge_server server;
    struct bed bed;

    judge_server_start(&server, obedient);
    bed = bed_create(&server);
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 4);
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 4);
    CHECK_INT(count_of(&bed, "calls"), 0);
    CHECK_INT(count_of(&bed, "cached"), 4);
    CHECK_NEAR(value_of(&bed, "total"), 0.475, 1e-12);

    bed.judge.model = "another";                /* each change asks again */
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 8);
    bed.judge.model = "judge";
    bed.judge.runs = 2;
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 12);
    CHECK_NEAR(value_of(&bed, "run_sd"), 0, 1e-12);
    bed.judge.runs = 1;
    put_file(bed.dir, "mm-vet.txt", "Other words | of a table\n");
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 16);
    bed.answers = put_file(bed.dir, "answers.json",
                           "{\"v1_0\": \"grade 1.0\", \"v1_1\": \"grade 0.6\", "
                           "\"v1_2\": \"grade 0.0\", \"v1_3\": \"grade 0.4\"}");
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 17);
    judge_server_end(&server);

    bed.judge.url = NULL;                       /* and without a network */
    bed.judge.offline = true;
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_NEAR(value_of(&bed, "total"), 0.5, 1e-12);
    bed.judge.model = "third";
    bed_score(&bed);
    CHECK_FAILS(bed.err, SEA_E_MISSING, "lacks 4 of 4 replies of judge \"third\"");
}

/* The same texts out of a notebook. */
static void
prompts_are_read_from_a_notebook(void)
{
    struct judge_server server;
    struct bed bed;
    struct sea_buf book;
    const char *line = SCRIPT;

    judge_server_start(&server, obedient);
    bed = bed_create(&server);
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 4);
    sea_buf_init(&book, 1 << 20);
    sea_buf_puts(&book, "{\"cells\": [{\"cell_type\": \"markdown\", \"source\": [\"prompt = 'no'\"]}, "
                 "{\"cell_type\": \"code\", \"source\": [");
    while (*line) {
        size_t n = strcspn(line, "\n") + 1;

        sea_json_quote(&book, line, n);
        line += n;
        sea_buf_puts(&book, *line ? ", " : "]}]}");
    }
    CHECK_INT(remove(sea_arena_printf(arena, "%s/mm-vet_evaluator.py", bed.dir)), 0);
    put_file(bed.dir, "mm-vet_evaluator.ipynb", book.data);
    sea_buf_release(&book);
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 4);                  /* the same prompts: all from the cache */
    judge_server_end(&server);
}

/* ---- LLaVA-Bench ---- */

static struct act
reviewer(struct judge_server *server, const char *body, int number)
{
    (void)server, (void)number;
    return (struct act){ .text = strstr(body, "Describe it.") ? "8 9\nWell done."
                                 : strstr(body, "How many?")  ? "7,3\nNot so."
                                 : strstr(body, "And why?")   ? "9 6.5"
                                                              : "8, 9" };
}

static const char *
wild_files(const char *dir, const char **answers)
{
    put_file(dir, "context.jsonl",
             "{\"image\": \"1.jpg\", \"caption\": [\"A cat.\", \"A mat.\"]}\n"
             "{\"image\": \"2.jpg\", \"caption\": \"Two dogs.\"}\n");
    put_file(dir, "answers_gpt4.jsonl",
             "{\"question_id\": 3, \"text\": \"ref 3\"}\n{\"question_id\": 0, \"text\": \"ref 0\"}\n"
             "{\"question_id\": 1, \"text\": \"ref 1\"}\n{\"question_id\": 2, \"text\": \"ref 2\"}\n");
    put_file(dir, "rule.json",
             "{\"llava_bench_conv\": {\"role\": \"Helper\", \"prompt\": \"Rate both.\"}, "
             "\"llava_bench_detail\": {\"role\": \"Helper\", \"prompt\": \"Rate details.\"}}");
    put_file(dir, "eval_gpt_review_bench.py",
             "def f(content):  # it's short\n    return call(messages=[{\n        'role': 'system',\n"
             "        'content': 'You grade.'\n    }, {'role': 'user', 'content': content}])\n");
    *answers = put_file(dir, "a.jsonl",
                        "{\"question_id\": 0, \"text\": \"ans 0\"}\n"
                        "{\"question_id\": 1, \"text\": \"ans 1\"}\n"
                        "{\"question_id\": 2, \"text\": \"ans 2\"}\n"
                        "{\"question_id\": 3, \"text\": \"ans 3\"}\n");
    return put_file(dir, "questions.jsonl",
        "{\"question_id\": 0, \"image\": \"1.jpg\", \"text\": \"Describe it.\", \"category\": \"detail\"}\n"
        "{\"question_id\": 1, \"image\": \"2.jpg\", \"text\": \"How many?\", \"category\": \"conv\"}\n"
        "{\"question_id\": 2, \"image\": \"1.jpg\", \"text\": \"And why?\", \"category\": \"conv\"}\n"
        "{\"question_id\": 3, \"image\": \"2.jpg\", \"text\": \"Where?\", \"category\": \"conv\"}\n");
}

static enum sea_status
wild_score(struct bed *bed)
{
    const char *notes[] = { bed->dir };
    enum sea_status status = SEA_OK;

    memset(&bed->err, 0, sizeof(bed->err));
    memset(&bed->result, 0, sizeof(bed->result));
    if (!bed->bench.reviews)
        status = sea_judge_create(&bed->bench.judge, &bed->judge, &bed->err);
    if (!status)
        status = sea_bench_score("llava-bench", bed->questions, bed->answers, notes, 1,
                                 &bed->bench, arena, &bed->result, &bed->err);
    sea_judge_destroy(bed->bench.judge);
    bed->bench.judge = NULL;
    return status;
}

static void
llava_bench_is_asked_and_scored_as_published(void)
{
    struct judge_server server;
    struct bed bed;
    struct sea_node *request = NULL;
    const struct sea_node *message;

    judge_server_start(&server, reviewer);
    bed = bed_create(&server);
    bed.questions = wild_files(bed.dir, &bed.answers);
    bed.judge.parallel = 1;
    CHECK_OK(wild_score(&bed), bed.err);
    CHECK_INT(server.seen, 3 + 3);              /* the last reply is tried three times */
    /* By hand: all (8 + 7 + 9 - 1) / 4 = 5.75 against (9 + 3 + 6.5 - 1) / 4 = 4.375; conv
     * 15/3 = 5 against 8.5/3 = 2.833; without the failed one 8 against 18.5/3 = 6.167. */
    CHECK_NEAR(value_of(&bed, "relative"), 4.375 / 5.75, 1e-12);
    CHECK_NEAR(value_of(&bed, "reference"), 0.575, 1e-12);
    CHECK_NEAR(value_of(&bed, "answer"), 0.4375, 1e-12);
    CHECK_NEAR(value_of(&bed, "conv/relative"), 2.833 / 5, 1e-12);
    CHECK_NEAR(value_of(&bed, "detail/relative"), 9.0 / 8, 1e-12);
    CHECK_NEAR(value_of(&bed, "graded"), 6.167 / 8, 1e-12);
    CHECK_INT(bed.result.failed, 1);
    CHECK_STR(bed.result.rows[3].parsed, "invalid");
    CHECK_NEAR(bed.result.rows[1].score, 0.3, 1e-12);
    CHECK_OK(sea_json_parse(server.last_body, strlen(server.last_body), "request", arena, &request,
                            &bed.err), bed.err);
    message = sea_node_get(request, "messages");
    CHECK_STR(sea_node_text(sea_node_get(message->first, "content"), ""), "You grade.");
    CHECK_STR(sea_node_text(sea_node_get(message->last, "content"), ""),
              "[Context]\nTwo dogs.\n\n[Question]\nWhere?\n\n[Helper 1]\nref 3\n\n"
              "[End of Helper 1]\n\n[Helper 2]\nans 3\n\n[End of Helper 2]\n\n[System]\nRate both."
              "\n\n");
    CHECK_NEAR(sea_node_real(sea_node_get(request, "temperature"), 0), 0.2, 0);
    CHECK_INT(sea_node_int(sea_node_get(request, "max_tokens"), 0), 1024);
    judge_server_end(&server);
}

static void
earlier_gradings_need_no_judge(void)
{
    struct bed bed = bed_create(NULL);

    bed.questions = wild_files(bed.dir, &bed.answers);
    bed.bench.reviews = put_file(bed.dir, "review.jsonl",
        "{\"id\": 1, \"question_id\": 0, \"category\": \"llava_bench_detail\", \"tuple\": [8, 9]}\n"
        "{\"id\": 2, \"question_id\": 1, \"category\": \"llava_bench_conv\", \"tuple\": [7.0, 3.0]}\n"
        "{\"id\": 3, \"question_id\": 2, \"category\": \"llava_bench_conv\", \"tuple\": [9, 6.5]}\n"
        "{\"id\": 4, \"question_id\": 3, \"category\": \"llava_bench_conv\", \"tuple\": [-1, -1]}\n");
    CHECK_OK(wild_score(&bed), bed.err);
    CHECK_NEAR(value_of(&bed, "relative"), 4.375 / 5.75, 1e-12);
    CHECK_INT(bed.result.failed, 1);

    bed = bed_create(NULL);
    bed.bench.reviews = put_file(bed.dir, "grades.json",
        "{\"v1_0\": {\"model\": [\"g\", \"g\"], \"content\": [\"1.0\", \"1.0\"], \"score\": [1.0, 1.0]}, "
        "\"v1_1\": {\"model\": [\"g\", \"g\"], \"content\": [\"\", \"\"], \"score\": [0.5, 0.7]}, "
        "\"v1_2\": {\"model\": [\"g\", \"g\"], \"content\": [\"\", \"\"], \"score\": [0.0, 0.2]}, "
        "\"v1_3\": {\"model\": [\"g\", \"g\"], \"content\": [\"\", \"\"], \"score\": [0.4, 0.4]}}");
    CHECK_OK(sea_bench_score("mm-vet", bed.questions, bed.answers, NULL, 0, &bed.bench, arena,
                             &bed.result, &bed.err), bed.err);
    /* Runs: 1.9 / 4 and 2.3 / 4; their mean 0.525, spread 0.05 */
    CHECK_NEAR(value_of(&bed, "total"), 0.525, 1e-12);
    CHECK_NEAR(value_of(&bed, "run_sd"), 0.05, 1e-12);
    CHECK_NEAR(value_of(&bed, "rec"), 0.35, 1e-12);
    put_file(bed.dir, "grades.json", "{\"v1_0\": {\"score\": [1.0]}}");
    CHECK(sea_bench_score("mm-vet", bed.questions, bed.answers, NULL, 0, &bed.bench, arena,
                          &bed.result, &bed.err) != SEA_OK);
    CHECK_FAILS(bed.err, SEA_E_FORMAT, "item \"v1_1\"");
}

/* ---- suites ---- */

/* Digest of a suite with these words of the judge. */
static const char *
digest_of(const struct bed *bed, const char *judge)
{
    struct sea_node *config = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *eval;
    char *digest = sea_arena_alloc(arena, SEA_SHA256_TEXT, 1);
    struct sea_err err = { 0 };

    put_file(bed->dir, "s.yaml",
             sea_arena_printf(arena, "root: %s\njudge: {prompts: ., cache: cache, %s}\n"
                              "benchmarks:\n  - {name: mm-vet, folder: ., questions: mm-vet.json, "
                              "images: images}\n", bed->dir, judge));
    eval = sea_node_put(arena, sea_node_put(arena, config, "stages", SEA_NODE_MAP), "eval",
                        SEA_NODE_MAP);
    sea_node_put_text(arena, eval, "suite", sea_arena_printf(arena, "%s/s.yaml", bed->dir));
    CHECK_OK(sea_suite_digest(config, digest, &err), err);
    return digest;
}

static void
a_suite_depends_on_the_judge_and_its_prompts(void)
{
    struct bed bed = bed_create(NULL);
    struct sea_err err = { 0 };
    const char *first;

    CHECK_OK(sea_dir_create(sea_arena_printf(arena, "%s/images", bed.dir), &err), err);
    first = digest_of(&bed, "url: http://a/v1, model: m");
    CHECK_STR(digest_of(&bed, "url: http://b/v1, model: m, parallel: 9"), first);
    CHECK(strcmp(digest_of(&bed, "url: http://a/v1, model: n"), first) != 0);
    CHECK(strcmp(digest_of(&bed, "url: http://a/v1, model: m, runs: 5"), first) != 0);
    put_file(bed.dir, "mm-vet.txt", "Other words | of a table\n");
    CHECK(strcmp(digest_of(&bed, "url: http://a/v1, model: m"), first) != 0);
}

/* ---- the command ---- */

/* Runs sea with these words (NULL at the end); what it says goes to text. */
static int
run_sea(const char *const *words, char *text, size_t room)
{
    const char *out = sea_arena_printf(arena, "%s/said", sea_test_dir());
    posix_spawn_file_actions_t actions;
    int rc = -1, fd;
    ssize_t n = 0;
    pid_t pid;

    posix_spawn_file_actions_init(&actions);
    posix_spawn_file_actions_addopen(&actions, 1, out, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    posix_spawn_file_actions_adddup2(&actions, 1, 2);
    if (posix_spawn(&pid, words[0], &actions, NULL, (char **)(uintptr_t)words, environ) == 0)
        waitpid(pid, &rc, 0);
    posix_spawn_file_actions_destroy(&actions);
    fd = open(out, O_RDONLY);
    if (fd >= 0) {
        n = read(fd, text, room - 1);
        close(fd);
    }
    text[n > 0 ? n : 0] = 0;
    return rc;
}

static void
the_command_scores_and_replays(void)
{
    const char *build = getenv("SEA_BUILD");
    const char *sea = sea_arena_printf(arena, "%s/sea", build ? build : "build/dev");
    struct judge_server server;
    struct bed bed;
    char text[8192];

    if (!sea_file_exists(sea)) {
        SEA_SKIP("the program is not built");
        return;
    }
    judge_server_start(&server, stubborn);
    bed = bed_create(&server);
    setenv(SEA_JUDGE_KEY, KEY, 1);
    for (int turn = 0; turn < 2; turn++) {
        const char *words[] = { sea, "score", "mm-vet", "--questions", bed.questions, "--answers",
                                bed.answers, "--judge", server.url, "--judge-model", "judge",
                                "--judge-prompts", bed.dir, "--judge-cache", bed.cache,
                                "--judge-price-in", "10", "--judge-price-out", "100",
                                turn ? "--judge-offline" : NULL, NULL };

        CHECK_MSG(run_sea(words, text, sizeof(text)) == 0, "it ended with %s", text);
        CHECK_MSG(strstr(text, "total") && strstr(text, " 35.00 "), "no total in %s", text);
        CHECK_MSG(strstr(text, turn ? "0 calls, 9 from the cache" : "9 calls, 0 from the cache"),
                  "no counts in %s", text);
        CHECK_MSG(strstr(text, "1 replies could not be parsed: v1_1") != NULL, "no list in %s",
                  text);
        CHECK_MSG(strstr(text, turn ? "cost 0.0000" : "cost 0.0117") != NULL, "no cost in %s",
                  text);
        CHECK(!strstr(text, KEY));
    }
    unsetenv(SEA_JUDGE_KEY);
    CHECK_INT(server.seen, 9);
    judge_server_end(&server);
}

SEA_TEST_MAIN("answers graded by a model",
              TEST(mm_vet_is_asked_and_scored_as_published),
              TEST(replies_that_cannot_be_read_are_asked_again_and_listed),
              TEST(tries_get_warmer_as_in_the_official_script), TEST(a_judge_may_think_aloud),
              TEST(a_second_evaluation_calls_nobody), TEST(prompts_are_read_from_a_notebook),
              TEST(llava_bench_is_asked_and_scored_as_published),
              TEST(earlier_gradings_need_no_judge),
              TEST(a_suite_depends_on_the_judge_and_its_prompts),
              TEST(the_command_scores_and_replays))
