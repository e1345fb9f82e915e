/* SPDX-License-Identifier: Apache-2.0 */
#include <regex.h>
#include <stdlib.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_log.h"
#include "tests/sea_test.h"

static char *text;
static size_t text_len;
static FILE *to;

static void
start(enum sea_log_level most)
{
    to = open_memstream(&text, &text_len);
    sea_log_open("worker", most, to);
}

static void
stop(void)
{
    sea_log_open("worker", SEA_LOG_ERROR, NULL);
    fclose(to);
    free(text);
}

static int
matches(const char *pattern)
{
    regex_t regex;
    int rc;

    if (regcomp(&regex, pattern, REG_EXTENDED | REG_NOSUB))
        return 0;
    rc = regexec(&regex, text, 0, NULL, 0);
    regfree(&regex);
    return rc == 0;
}

static void
a_line_has_time_level_role_and_text(void)
{
    start(SEA_LOG_INFO);
    sea_log(SEA_LOG_INFO, "took over stage_run=%d", 12);
    CHECK_MSG(matches("^20[0-9]{2}-[01][0-9]-[0-3][0-9]T[0-2][0-9]:[0-5][0-9]:[0-6][0-9]"
                      "\\.[0-9]{3}Z INFO worker\\[[0-9]+\\] took over stage_run=12\n$"),
              "the line is \"%s\"", text);
    stop();
}

static void
levels_above_the_chosen_one_are_silent(void)
{
    start(SEA_LOG_WARN);
    sea_log(SEA_LOG_DEBUG, "one");
    sea_log(SEA_LOG_INFO, "two");
    fflush(to);
    CHECK_INT(text_len, 0);
    sea_log(SEA_LOG_WARN, "three");
    sea_log(SEA_LOG_ERROR, "four");
    CHECK(matches("WARN .*three\n.*ERROR .*four\n$"));
    stop();
}

static void
a_line_stays_one_line_and_has_an_end(void)
{
    char *long_text = malloc(100001);

    memset(long_text, 'x', 100000);
    long_text[100000] = 0;
    start(SEA_LOG_INFO);
    sea_log(SEA_LOG_INFO, "a\nb\rc\033d");
    CHECK(matches("a b c d\n$"));
    sea_log(SEA_LOG_INFO, "%s", long_text);
    CHECK(text_len < 4500);
    CHECK(matches("x\\.\\.\\.\n$"));
    stop();
    free(long_text);
}

static void
an_error_becomes_one_line(void)
{
    struct sea_err err = { 0 };

    start(SEA_LOG_INFO);
    sea_fail(&err, SEA_E_SERVICE, "could not connect");
    sea_log_err(SEA_LOG_WARN, &err);
    CHECK(matches("\\] E_SERVICE: could not connect\n$"));
    sea_context(&err, "while polling");
    sea_hint(&err, "Start it.");
    sea_cause(&err, "errno 111");
    sea_log_err(SEA_LOG_WARN, &err);
    CHECK(matches("E_SERVICE: could not connect; while polling; hint: Start it.; "
                  "cause: errno 111\n$"));
    stop();
}

static void
secrets_are_hidden(void)
{
    static const struct { const char *from, *want; } rows[] = {
        { "postgres://sea:hunter22@db/sea", "postgres://sea:***@db/sea" },
        { "at postgresql://u:p%40ss@h:5432/d?x=1, then",
          "at postgresql://u:***@h:5432/d?x=1, then" },
        { "postgres://u:with/slash@h", "postgres://u:***@h" },
        { "postgres://u:with@sign@h", "postgres://u:***@h" },
        { "postgres://:nameless@h", "postgres://:***@h" },
        { "a://u:one11@h b://u:two22@h", "a://u:***@h b://u:***@h" },
        { "postgres://u:ab@h", "postgres://u:**@h" },
        { "postgres://u@h:5432/d", "postgres://u@h:5432/d" },
        { "http://localhost:8080/", "http://localhost:8080/" },
        { "host=h password=hunter22 user=u", "host=h password=*** user=u" },
        { "PGPASSWORD=hunter22", "PGPASSWORD=***" },
        { "password = hunter22 user=u", "password = *** user=u" },
        { "password='it\\'s a secret' user=u", "password=*** user=u" },
        { "password=\"two words\" x", "password=*** x" },
        { "password='never closed", "password=***" },
        { "?token=abcdef&x=1", "?token=***&x=1" },
        { "(secret=abcdef)", "(secret=***)" },
        { "api_key=abcdef, x", "api_key=***, x" },
        { "Token=abcdef", "Token=***" },
        { "token=abcdef token=ghijkl", "token=*** token=***" },
        { "password=", "password=" },
        { "password", "password" },
        { "token count 5", "token count 5" },
        { "tokens=5", "tokens=5" },
        { "", "" },
        { "://", "://" },
        { "postgres://u:p@h?password=hunter22", "postgres://u:*@h?password=***" },
    };
    char line[128];
    size_t i;

    for (i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        snprintf(line, sizeof(line), "%s", rows[i].from);
        sea_log_redact(line);
        CHECK_STR(line, rows[i].want);
        sea_log_redact(line);   /* a second time changes nothing */
        CHECK_STR(line, rows[i].want);
    }
    start(SEA_LOG_INFO);
    sea_log(SEA_LOG_INFO, "connect to %s", "postgres://sea:hunter22@db/sea");
    CHECK(strstr(text, "hunter22") == NULL);
    CHECK(matches("connect to postgres://sea:\\*\\*\\*@db/sea\n$"));
    stop();
}

static void
clocks_go_forward(void)
{
    int64_t from = sea_clock_ms(), took;
    double seconds = sea_clock_seconds();
    char when[32];

    sea_clock_sleep_ms(30);
    sea_clock_sleep_ms(0);
    sea_clock_sleep_ms(-5);
    took = sea_clock_ms() - from;
    seconds = sea_clock_seconds() - seconds;
    printf("  a pause of 30 ms took %lld ms, %.4f s\n", (long long)took, seconds);
    CHECK(took >= 29 && took < 5000);
    CHECK(seconds >= 0.0299 && seconds < 5);
    sea_clock_utc(when);
    CHECK_INT(strlen(when), 24);
    CHECK_INT(when[23], 'Z');
}

SEA_TEST_MAIN("log lines are whole and keep secrets",
              TEST(a_line_has_time_level_role_and_text),
              TEST(levels_above_the_chosen_one_are_silent),
              TEST(a_line_stays_one_line_and_has_an_end),
              TEST(an_error_becomes_one_line),
              TEST(secrets_are_hidden),
              TEST(clocks_go_forward))
