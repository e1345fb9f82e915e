/* SPDX-License-Identifier: Apache-2.0 */
/* A judge that hangs, refuses, cuts off, crawls or is gone, the key that is kept nowhere, and
 * options that cannot be. */
#include "tests/pipeline/judge_bed.h"

/* ---- the key ---- */

static enum sea_status
look_for_key(void *arg, const char *relative, uint64_t bytes, struct sea_err *err)
{
    struct sea_buf text;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, arg, relative, err);

    (void)bytes;
    sea_buf_init(&text, 1 << 20);
    if (!status)
        status = sea_file_read(path, &text, err);
    CHECK_MSG(!strstr(text.data, KEY), "file \"%s\" holds the key", relative);
    sea_buf_release(&text);
    return status;
}

static struct act
chatty(struct judge_server *server, const char *body, int number)
{
    (void)body, (void)number;
    if (strstr(server->last_head, "Authorization: Bearer " KEY) && strstr(body, "Why?"))
        return (struct act){ FAULT_STATUS, 401, 0, "Incorrect API key provided: " KEY };
    return (struct act){ .text = "0.5 " KEY };
}

static void
the_key_is_sent_and_kept_nowhere(void)
{
    struct judge_server server;
    struct bed bed;
    struct sea_err err = { 0 };

    judge_server_start(&server, chatty);
    bed = bed_create(&server);
    bed.judge.parallel = 1;
    setenv(SEA_JUDGE_KEY, KEY, 1);
    bed_score(&bed);
    unsetenv(SEA_JUDGE_KEY);
    CHECK(strstr(server.last_head, "Authorization: Bearer " KEY) != NULL);
    CHECK_FAILS(bed.err, SEA_E_CONFIG, "refused a request with status 401: Incorrect API key "
                "provided: *****");
    CHECK(!strstr(bed.err.message, "secret") && !strstr(bed.err.hint, "secret"));
    CHECK(strstr(bed.err.hint, SEA_JUDGE_KEY) != NULL);
    CHECK_INT(server.seen, 3);                  /* it stops at once */
    CHECK_OK(sea_dir_walk(bed.dir, look_for_key, (void *)(uintptr_t)bed.dir, &err), err);
    judge_server_end(&server);
}

/* ---- faults ---- */

static const struct act faults[] = {
    { FAULT_STATUS, 429, 1, "slow down" }, { FAULT_STATUS, 500, 0, "oops" },
    { FAULT_CUT_OFF, 0, 0, "1.0" },        { FAULT_CUT_JSON, 0, 0, "1.0" },
    { FAULT_SLOW, 0, 0, "1.0" },           { FAULT_HANG, 0, 0, "" },
    { FAULT_EMPTY, 0, 0, "" },             { FAULT_STATUS, 503, 0, NULL },
};
#define TIMEOUT_S 1.5           /* of the two that do not end */
#define FAULTS (int)(sizeof(faults) / sizeof(faults[0]))

static struct act
faulty(struct judge_server *server, const char *body, int number)
{
    return number <= FAULTS ? faults[number - 1] : obedient(server, body, number);
}

static void
every_fault_is_tried_again(void)
{
    struct judge_server server;
    struct bed bed;

    judge_server_start(&server, faulty);
    bed = bed_create(&server);
    bed.judge.parallel = 1;
    bed.judge.timeout_ms = (int64_t)(TIMEOUT_S * 1000);
    bed.judge.tries = FAULTS + 1;
    CHECK_OK(bed_score(&bed), bed.err);
    printf("  %d faults in %.2f s: Retry-After of 1 s, two time-outs of %.1f s\n", FAULTS,
           bed.seconds, TIMEOUT_S);
    CHECK_INT(server.seen, FAULTS + 4);
    CHECK_INT(count_of(&bed, "retries"), FAULTS);
    CHECK_NEAR(value_of(&bed, "total"), 0.475, 1e-12);
    CHECK(bed.seconds >= 1.0 + 2 * TIMEOUT_S && bed.seconds < 20);
    CHECK_OK(bed_score(&bed), bed.err);         /* none of it is in the cache */
    CHECK_INT(server.seen, FAULTS + 4);
    judge_server_end(&server);
}

static struct act
moody(struct judge_server *server, const char *body, int number)
{
    return strstr(body, "Who?") ? (struct act){ FAULT_STATUS, 500, 0, "no idea" }
                                : obedient(server, body, number);
}

static void
an_item_without_a_reply_is_listed(void)
{
    struct judge_server server;
    struct bed bed;
    struct sea_node *list;
    struct sea_buf rows;

    judge_server_start(&server, moody);
    bed = bed_create(&server);
    bed.judge.tries = 3;
    CHECK_OK(bed_score(&bed), bed.err);
    CHECK_INT(server.seen, 3 + 3);
    CHECK(!bed.result.complete);
    CHECK_INT(bed.result.unanswered, 1);
    list = sea_node_get(bed.result.judge, "unanswered");
    CHECK_INT(list->count, 1);
    CHECK_STR(sea_node_text(list->first, ""), "v1_1");
    CHECK_STR(bed.result.rows[1].parsed, "invalid: status 500: no idea");
    sea_buf_init(&rows, 1 << 20);
    sea_bench_rows_write(&bed.result, &rows);
    CHECK(strstr(rows.data, "\"failed\": true, \"judge\": [null]}") != NULL);
    CHECK(strstr(rows.data, "\"failed\": false, \"judge\": [\"1.0\"]}") != NULL);
    sea_buf_release(&rows);
    judge_server_end(&server);
}

static struct act
broken(struct judge_server *server, const char *body, int number)
{
    (void)server, (void)body, (void)number;
    return (struct act){ FAULT_STATUS, 502, 0, NULL };
}

static struct act
resting(struct judge_server *server, const char *body, int number)
{
    (void)server, (void)body, (void)number;
    return (struct act){ FAULT_STATUS, 429, 3600, "come back tomorrow" };
}

static struct act
huge(struct judge_server *server, const char *body, int number)
{
    (void)server, (void)body, (void)number;
    return (struct act){ FAULT_HUGE, 0, 0, "1.0" };
}

static void
a_server_that_is_gone_ends_the_scoring(void)
{
    brain_fn *brains[] = { broken, resting, huge };
    const char *words[] = { "nothing for 3 items in a row", "asks to wait 3600 s",
                            "larger than 8 MiB" };
    const int seen[] = { 6, 3, 1 };

    for (int i = 0; i < 3; i++) {
        struct judge_server server;
        struct bed bed;

        judge_server_start(&server, brains[i]);
        bed = bed_create(&server);
        bed.judge.parallel = 1;
        bed.judge.tries = 2;
        bed_score(&bed);
        CHECK_FAILS(bed.err, SEA_E_SERVICE, words[i]);
        CHECK_INT(server.seen, seen[i]);
        CHECK(bed.seconds < 5);
        judge_server_end(&server);
    }
}

static void
a_port_where_nobody_listens_ends_the_scoring(void)
{
    struct judge_server server;
    struct bed bed;

    judge_server_reserve(&server);
    bed = bed_create(&server);
    bed.judge.tries = 2;
    bed_score(&bed);
    CHECK_FAILS(bed.err, SEA_E_SERVICE, "items in a row");
    close(server.fd);
}

static atomic_bool stopping;

static bool
is_stopping(void)
{
    return stopping;
}

static struct act
sleeper(struct judge_server *server, const char *body, int number)
{
    (void)server, (void)body, (void)number;
    stopping = true;
    return (struct act){ .fault = FAULT_HANG };
}

static void
a_stop_ends_a_request_that_hangs(void)
{
    struct judge_server server;
    struct bed bed;

    stopping = false;
    judge_server_start(&server, sleeper);
    bed = bed_create(&server);
    bed.judge.timeout_ms = 30000;
    bed.judge.is_stopped = is_stopping;
    bed_score(&bed);
    CHECK_INT(bed.err.status, SEA_E_STOPPED);
    printf("  stopped after %.2f s of a time-out of 30 s\n", bed.seconds);
    CHECK(bed.seconds < 5);
    judge_server_end(&server);
}

static void
the_rate_is_kept(void)
{
    struct judge_server server;
    struct bed bed;

    judge_server_start(&server, obedient);
    bed = bed_create(&server);
    bed.judge.per_minute = 300;                 /* one each 200 ms */
    CHECK_OK(bed_score(&bed), bed.err);
    printf("  4 requests at 300 per minute took %.2f s\n", bed.seconds);
    CHECK(bed.seconds >= 0.6 && bed.seconds < 5);
    judge_server_end(&server);
}

/* ---- what is given wrongly ---- */

static void
wrong_options_are_told(void)
{
    struct judge_server server;
    struct bed bed;
    static const char *const urls[][2] = {
        { "ftp://x/v1", "must begin with http" },
        { "http://me:secret@x/v1", "a user or password does not belong" },
        { "nonsense", "cannot be used" },
        { "http://x/v1?key=secret", "must not have a" },
    };

    judge_server_start(&server, obedient);
    bed = bed_create(&server);
    for (size_t i = 0; i < sizeof(urls) / sizeof(urls[0]); i++) {
        bed.judge.url = urls[i][0];
        bed_score(&bed);
        CHECK_FAILS(bed.err, SEA_E_CONFIG, urls[i][1]);
        CHECK(!strstr(bed.err.message, "secret"));
    }
    bed.judge.url = server.url;
    bed.judge.prompts = NULL;
    bed_score(&bed);
    CHECK_FAILS(bed.err, SEA_E_CONFIG, "the grading prompts of benchmark \"mm-vet\" were not given");
    CHECK(strstr(bed.err.hint, "mm-vet_evaluator.ipynb") != NULL);
    bed.judge.prompts = bed.cache;
    bed_score(&bed);
    CHECK_FAILS(bed.err, SEA_E_MISSING, "the grading prompts of benchmark \"mm-vet\" are not in");
    bed.judge.model = NULL;
    bed_score(&bed);
    CHECK_FAILS(bed.err, SEA_E_CONFIG, "the judge has no model");
    memset(&bed.err, 0, sizeof(bed.err));
    CHECK_INT(sea_bench_score("mm-vet", bed.questions, bed.answers, NULL, 0, NULL, arena,
                              &bed.result, &bed.err), SEA_E_CONFIG);
    CHECK_FAILS(bed.err, SEA_E_CONFIG, "needs a judge");
    CHECK_INT(server.seen, 0);
    judge_server_end(&server);
}

SEA_TEST_MAIN("judges that fail",
              TEST(the_key_is_sent_and_kept_nowhere), TEST(every_fault_is_tried_again),
              TEST(an_item_without_a_reply_is_listed),
              TEST(a_server_that_is_gone_ends_the_scoring),
              TEST(a_port_where_nobody_listens_ends_the_scoring),
              TEST(a_stop_ends_a_request_that_hangs), TEST(the_rate_is_kept),
              TEST(wrong_options_are_told))
