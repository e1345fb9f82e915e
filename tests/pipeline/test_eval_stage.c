/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The eval stage on a small multimodal model: the same answers whatever is decoded together, in
 * whatever order and after however many deaths; a picture is encoded once; controls; a judge
 * on the loopback; files that cannot be asked.
 */
#include <signal.h>
#include <sys/stat.h>
#include <time.h>

#include "pipeline/sea_judge.h"
#include "tests/pipeline/eval_world.h"
#include "tests/pipeline/judge_server.h"

/* The number in front of words in a run's log line about a benchmark; -1: there is none. */
static int64_t
said_count(const char *out, const char *bench, const char *words)
{
    char *text = take_file(sea_arena_printf(arena, "%s.events", out)), *line = NULL, *at;
    const char *head = sea_arena_printf(arena, "answers of %s: ", bench);

    for (at = text; (at = strstr(at, head)) != NULL; at++)
        line = at;              /* the newest */
    at = line ? strstr(line, words) : NULL;
    if (!at)
        return -1;
    while (at > line && at[-1] == ' ')
        at--;
    while (at > line && at[-1] >= '0' && at[-1] <= '9')
        at--;
    return strtoll(at, NULL, 10);
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Lines of a file, sorted. */
static const char *
sorted(const char *name, size_t *distinct)
{
    char *text = take_file(name);
    const char *lines[1024], *out = "";
    size_t n = 0;
    struct sea_buf all;

    for (char *at = text; *at && n < 1024;) {
        char *end = at + strcspn(at, "\n");

        lines[n++] = at;
        at = *end ? end + 1 : end;
        *end = 0;
    }
    qsort(lines, n, sizeof(*lines), by_text);
    sea_buf_init(&all, TEXT_MAX);
    *distinct = 0;
    for (size_t i = 0; i < n; i++) {
        const char *answer = strstr(lines[i], "\"text\": ");
        bool seen = false;

        for (size_t k = 0; k < i && !seen && answer; k++) {
            const char *other = strstr(lines[k], "\"text\": ");
            size_t len = strcspn(answer + 9, "\"");

            seen = other && strncmp(other, answer, len + 10) == 0;
        }
        *distinct += !seen;
        sea_buf_addf(&all, "%s\n", lines[i]);
    }
    out = sea_arena_strdup(arena, all.len ? all.data : "");
    sea_buf_release(&all);
    return out;
}

#define POPE "  - {name: pope, folder: ., questions: %s, annotations: [], images: pictures}\n"

static void
answers_are_the_same_in_batches_of_1_2_7_and_32_and_in_any_order(void)
{
    static const int batches[] = { 1, 2, 7, 32 };
    const char *first = NULL;
    size_t distinct = 0;

    put_world();
    put_suite("suite.yaml", sea_arena_printf(arena, POPE, "q.jsonl"), "");
    for (size_t i = 0; i < 4; i++) {
        const char *out = sea_arena_printf(arena, "batch%d", batches[i]), *answers;

        put_config("suite.yaml", batches[i], "");
        run_whole(out);
        answers = take_file(sea_arena_printf(arena, "%s/answers/pope.jsonl", out));
        first = first ? first : answers;
        CHECK_MSG(strcmp(answers, first) == 0, "answers in batches of %d differ from those of 1",
                  batches[i]);
    }
    put_suite("mixed.yaml", sea_arena_printf(arena, POPE, "mixed.jsonl"), "");
    put_config("mixed.yaml", 7, "");
    run_whole("mixed");
    /* model_id names the run, whose question file is another one */
    {
        const char *one = sorted("batch7/answers/pope.jsonl", &distinct),
                   *two = sorted("mixed/answers/pope.jsonl", &distinct);
        size_t cut = 0, lines = 0;

        for (; *one && *two; lines++) {
            size_t n = (size_t)(strstr(one, "\"model_id\"") - one);

            cut += strncmp(one, two, n) != 0;
            one = strchr(one, '\n') + 1;
            two = strchr(two, '\n') + 1;
        }
        CHECK_INT(cut, 0);
        CHECK_INT(lines, PICTURES * EACH);
    }
    printf("  %d questions, %zu distinct answers\n", PICTURES * EACH, distinct);
    CHECK_MSG(distinct > 20, "%zu distinct answers of %d cannot show a mistake", distinct,
              PICTURES * EACH);
}

/* Answers that the finished parts below a run's checkpoint hold. */
static int64_t
count_kept(const char *out)
{
    int64_t kept = 0;

    for (int first = 0; first < PICTURES * EACH; first++) {
        const char *path = path_of(sea_arena_printf(arena, "%s/checkpoint/answers/pope/part-%08d.json", out,
                                                    first));
        struct sea_node *list;
        struct sea_err err = { 0 };

        if (!sea_file_exists(path))
            continue;
        CHECK_OK(sea_json_load(path, TEXT_MAX, arena, &list, &err), err);
        kept += (int64_t)(err.status ? 0 : list->count);
    }
    return kept;
}

static void
a_killed_run_goes_on_and_asks_each_question_once(void)
{
    const struct timespec pause = { .tv_nsec = 100000 };
    int64_t kept = 0, before = -1;
    int deaths = 0;

    put_world();
    put_suite("suite.yaml", sea_arena_printf(arena, POPE, "q.jsonl"), "");
    put_config("suite.yaml", 2, "");
    run_whole("whole");
    CHECK_INT(said_count("whole", "pope", " asked"), PICTURES * EACH);
    for (int blow = 0; blow < 2; blow++) {
        pid_t pid = start("killed");
        int how;

        while (count_kept("killed") <= kept && waitpid(pid, &how, WNOHANG) == 0)
            nanosleep(&pause, NULL);
        kill(pid, SIGKILL);
        deaths += waitpid(pid, &how, 0) == pid && WIFSIGNALED(how);
        kept = count_kept("killed");
        CHECK_MSG(kept > before, "a second try lost answers: %lld after %lld", (long long)kept,
                  (long long)before);
        before = kept;
        CHECK(!sea_file_exists(path_of("killed/manifest.json")));
    }
    CHECK_INT(deaths, 2);
    run_whole("killed");
    CHECK_STR(take_file("killed/answers/pope.jsonl"), take_file("whole/answers/pope.jsonl"));
    CHECK_STR(take_file("killed/rows/pope.jsonl"), take_file("whole/rows/pope.jsonl"));
    CHECK_STR(take_file("killed/scores.json"), take_file("whole/scores.json"));
    printf("  killed with %lld of %d answers; %lld asked by the last try\n", (long long)kept,
           PICTURES * EACH, (long long)said_count("killed", "pope", " asked"));
    CHECK_INT(said_count("killed", "pope", " of an earlier"), kept);
    CHECK_INT(said_count("killed", "pope", " asked"), PICTURES * EACH - kept);
    CHECK(kept > 0 && kept < PICTURES * EACH);
}

static void
a_picture_is_seen_once_for_all_its_questions(void)
{
    put_world();
    put_suite("suite.yaml", sea_arena_printf(arena, POPE "  - {name: pope, split: one, folder: ., "
              "questions: one.jsonl, annotations: [], images: pictures}\n", "q.jsonl"), "");
    put_config("suite.yaml", 16, "\"controls\": [\"shuffle\", \"no-image\"]");
    run_whole("seen");
    CHECK_INT(said_count("seen", "pope", " pictures seen"), PICTURES);
    CHECK_INT(said_count("seen", "pope-one", " pictures seen"), 1);
    CHECK_INT(said_count("seen", "pope.shuffle", " pictures seen"), PICTURES);
    CHECK_INT(said_count("seen", "pope.no-image", " pictures seen"), 0);
}

/* Runs behind the test above: its answers with other pictures, and with none. */
static void
controls_change_what_is_seen_and_nothing_else(void)
{
    static const char *const kinds[] = { "shuffle", "no-image" };
    const char *plain = take_file("seen/answers/pope.jsonl");
    struct sea_node *scores, *one;
    struct sea_err err = { 0 };
    int controls = 0;

    for (int k = 0; k < 2; k++) {
        const char *a = plain,
                   *b = take_file(sea_arena_printf(arena, "seen/answers/pope.%s.jsonl", kinds[k]));
        int same = 0, lines = 0;

        for (; *a && *b; lines++) {
            size_t n = strcspn(a, "\n"), m = strcspn(b, "\n");
            const char *text = strstr(a, "\"text\": ");

            CHECK(text && strncmp(a, b, (size_t)(text - a)) == 0);      /* id and prompt */
            same += n == m && strncmp(a, b, n) == 0;
            a += n + (a[n] != 0);
            b += m + (b[m] != 0);
        }
        CHECK_INT(lines, PICTURES * EACH);
        printf("  %s: %d of %d answers stay\n", kinds[k], same, lines);
        CHECK_MSG(same < lines, "no picture was changed by %s", kinds[k]);
    }
    CHECK_OK(sea_json_load(path_of("seen/scores.json"), TEXT_MAX, arena, &scores, &err), err);
    for (one = err.status ? NULL : sea_node_get(scores, "benchmarks")->first; one; one = one->next)
        controls += sea_node_bool(sea_node_get(one, "control"), false);
    CHECK_INT(controls, 4);
}

/* ---- a judge ---- */

/* Grades by the length of what it is asked; the first item's reply is no grade, ever. */
static struct act
grade(struct judge_server *server, const char *body, int number)
{
    (void)server;
    if (number == 2)
        return (struct act){ .fault = FAULT_STATUS, .status = 500, .text = "tired" };
    if (strstr(body, "Why zero?"))
        return (struct act){ .text = "a fine answer" };
    return (struct act){ .text = strlen(body) % 2 ? "0.5" : "1.0" };
}

static void
put_judged(const char *url, const char *rest)
{
    put_file("eval/prompts/mm-vet.txt", "Grade.\nQuestion | Ground truth | Prediction | Score\n");
    put_file("eval/vet.json",
             "{\"v1_0\": {\"imagename\": \"0.png\", \"question\": \"Why zero?\", \"answer\": \"a\", "
             "\"capability\": [\"rec\"]}, \"v1_1\": {\"imagename\": \"1.png\", \"question\": \"Why "
             "one?\", \"answer\": \"b\", \"capability\": [\"ocr\"]}, \"v1_2\": {\"imagename\": "
             "\"2.png\", \"question\": \"Why two?\", \"answer\": \"c\", \"capability\": [\"rec\", "
             "\"ocr\"]}}");
    put_suite("judged.yaml", "  - {name: mm-vet, folder: ., questions: vet.json, annotations: "
              "[vet.json], images: pictures}\n",
              sea_arena_printf(arena, "judge: {url: %s, model: grader, prompts: prompts, cache: "
                               "cache, tries: 3%s}\n", url, rest));
}

static void
a_judged_benchmark_runs_in_the_stage_and_again_from_the_cache(void)
{
    struct judge_server server;
    struct sea_node *scores, *one, *judge;
    struct sea_err err = { 0 };
    int seen;

    put_world();
    CHECK_OK(sea_dir_create(path_of("eval/prompts"), &err), err);
    judge_server_start(&server, grade);
    setenv(SEA_JUDGE_KEY, "secret-of-the-test", 1);
    put_judged(server.url, "");
    put_config("judged.yaml", 4, "");
    run_whole("judged");
    seen = server.seen;
    CHECK_INT(seen, 1 + 5 + 2);         /* one 500; five tries for the first item; two more */
    CHECK(strstr(server.last_head, "Bearer secret-of-the-test") != NULL);
    CHECK_OK(sea_json_load(path_of("judged/scores.json"), TEXT_MAX, arena, &scores, &err), err);
    one = err.status ? NULL : sea_node_get(scores, "benchmarks")->first;
    judge = sea_node_get(one, "judge");
    CHECK_STR(sea_node_text(sea_node_get(judge, "model"), ""), "grader");
    CHECK_STR(sea_node_text(sea_node_get(judge, "served"), ""), "judge-2026-01-01");
    CHECK_STR(sea_node_text(sea_node_get(one, "split"), ""), "judge-2026-01-01");
    CHECK_INT(sea_node_get(judge, "invalid") ? sea_node_get(judge, "invalid")->count : 0, 1);
    CHECK(strstr(take_file("judged/rows/mm-vet.jsonl"), "a fine answer") != NULL);
    CHECK(strstr(take_file("judged.events"), "secret-of-the-test") == NULL);
    run_whole("judged_again");
    CHECK_INT(server.seen, seen);       /* no call */
    CHECK_STR(take_file("judged_again/scores.json"), take_file("judged/scores.json"));
    judge_server_end(&server);
    run_whole("judged_offline");        /* nobody listens any more */
    CHECK_STR(take_file("judged_offline/scores.json"), take_file("judged/scores.json"));
}

static struct act
refuse(struct judge_server *server, const char *body, int number)
{
    (void)server;
    (void)body;
    (void)number;
    return (struct act){ .fault = FAULT_STATUS, .status = 401, .text = "no such key" };
}

static void
a_judge_that_refuses_stops_the_stage_and_the_answers_stay(void)
{
    struct judge_server server;
    const char *answers;

    put_world();
    judge_server_start(&server, refuse);
    put_judged(server.url, "");
    put_file("eval/vet.json", "{\"v1_9\": {\"imagename\": \"9.png\", \"question\": \"Why nine?\", "
             "\"answer\": \"a\", \"capability\": [\"rec\"]}}");
    put_config("judged.yaml", 4, "");
    CHECK(run("refused") != 0);
    CHECK(strstr(take_file("refused.error"), "401") != NULL);
    CHECK(!sea_file_exists(path_of("refused/manifest.json")));
    answers = take_file("refused/answers/mm-vet.jsonl");
    CHECK(strstr(answers, "Why nine?") != NULL);
    server.brain = grade;
    run_whole("refused");
    CHECK_INT(said_count("refused", "mm-vet", " asked"), 0);    /* not the model, again */
    CHECK_STR(take_file("refused/answers/mm-vet.jsonl"), answers);
    judge_server_end(&server);
}

/* ---- files that cannot be asked ---- */

static void
check_refused(const char *out, int exit, const char *const words[3])
{
    const char *said;

    CHECK_INT(run(out), exit);
    said = take_file(sea_arena_printf(arena, "%s.error", out));
    for (int i = 0; i < 3 && words[i]; i++)
        CHECK_MSG(strstr(said, words[i]) != NULL, "no \"%s\" in \"%s\"", words[i], said);
    CHECK(!sea_file_exists(path_of(sea_arena_printf(arena, "%s/scores.json", out))));
}

static void
a_missing_picture_is_named_before_the_model_is_loaded(void)
{
    put_world();
    put_questions("eval/lost.jsonl", NULL, PICTURES + 1, PICTURES + 1);
    put_suite("suite.yaml", sea_arena_printf(arena, POPE, "lost.jsonl"), "");
    put_config("suite.yaml", 4, "");
    check_refused("lost", 66, (const char *const[3]){ "80.png", "question \"80\"",
                                                      "1 of 81 questions" });
}

static void
a_doubled_id_is_named_with_both_rows(void)
{
    put_world();
    put_file("eval/twice.jsonl",
             "{\"question_id\": 1, \"image\": \"0.png\", \"text\": \"a?\", \"label\": \"no\"}\n"
             "{\"question_id\": 1, \"image\": \"1.png\", \"text\": \"b?\", \"label\": \"no\"}\n");
    put_suite("suite.yaml", sea_arena_printf(arena, POPE, "twice.jsonl"), "");
    put_config("suite.yaml", 4, "");
    check_refused("twice", 65, (const char *const[3]){ "id \"1\"", "row 0", "row 1" });
}

static void
a_broken_base64_cell_names_its_question(void)
{
    struct sea_buf text;

    put_world();
    sea_buf_init(&text, TEXT_MAX);
    sea_buf_puts(&text, "index\tquestion\tA\tB\tanswer\timage\n7\tWhy?\tx\ty\tA\tiVBORw0KGgo*AAAAN");
    for (int i = 0; i < 60; i++)
        sea_buf_puts(&text, "AAAA");
    sea_buf_puts(&text, "\n");
    put_file("eval/cells.tsv", text.data);
    sea_buf_release(&text);
    put_suite("suite.yaml", "  - {name: mmbench, folder: ., questions: cells.tsv}\n", "");
    put_config("suite.yaml", 4, "");
    check_refused("cells", 65, (const char *const[3]){ "question \"7\"", "not base64",
                                                       "byte 11 of" });
}

static void
a_judged_suite_without_a_judge_is_refused_before_it_asks(void)
{
    put_world();
    put_suite("nobody.yaml", "  - {name: mm-vet, folder: ., questions: vet.json, annotations: "
              "[vet.json], images: pictures}\n", "");
    put_config("nobody.yaml", 4, "");
    check_refused("nobody", 64, (const char *const[3]){ "judge", "mm-vet", NULL });
    sea_arena_destroy(arena);
    arena = NULL;
}

SEA_TEST_MAIN("the eval stage",
              TEST(answers_are_the_same_in_batches_of_1_2_7_and_32_and_in_any_order),
              TEST(a_killed_run_goes_on_and_asks_each_question_once),
              TEST(a_picture_is_seen_once_for_all_its_questions),
              TEST(controls_change_what_is_seen_and_nothing_else),
              TEST(a_judged_benchmark_runs_in_the_stage_and_again_from_the_cache),
              TEST(a_judge_that_refuses_stops_the_stage_and_the_answers_stay),
              TEST(a_missing_picture_is_named_before_the_model_is_loaded),
              TEST(a_doubled_id_is_named_with_both_rows),
              TEST(a_broken_base64_cell_names_its_question),
              TEST(a_judged_suite_without_a_judge_is_refused_before_it_asks))
