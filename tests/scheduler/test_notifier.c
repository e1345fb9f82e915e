/* SPDX-License-Identifier: Apache-2.0 */
/* Notices: signatures, delivery at least once, servers that refuse, hang or are not there. */
#include "scheduler/sea_notifier.h"
#include "tests/scheduler/service.h"

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <sys/socket.h>

/* A receiver: answers each connection with the next status; 0 says nothing and hangs. */
struct receiver {
    int fd, port;
    const int *answers;
    int count, seen;
    char last[4096];            /* newest request */
    unsigned numbers;           /* of the notices that came, a bit each */
    pthread_t thread;
};

static void
receive_one(struct receiver *self, int fd)
{
    int status = self->answers[self->seen < self->count ? self->seen : self->count - 1];
    char reply[80];
    size_t len = 0;
    ssize_t n;

    while (len < sizeof(self->last) - 1
           && (n = read(fd, self->last + len, sizeof(self->last) - 1 - len)) > 0) {
        len += (size_t)n;
        self->last[len] = 0;
        if (strstr(self->last, "\r\n\r\n") && self->last[len - 1] == '}')
            break;
    }
    self->seen++;
    if (strstr(self->last, "X-Sea-Notice: "))
        self->numbers |= 1u << strtol(strstr(self->last, "X-Sea-Notice: ") + 14, NULL, 10);
    if (status == 0) {
        sea_clock_sleep_ms(2000);
    } else {
        n = snprintf(reply, sizeof(reply), "HTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n", status);
        if (write(fd, reply, (size_t)n) != n)
            printf("the sender went away\n");
    }
    close(fd);
}

static void *
receive(void *arg)
{
    struct receiver *self = arg;
    struct pollfd at = { .fd = self->fd, .events = POLLIN };
    int fd;

    while (self->seen < self->count && poll(&at, 1, 5000) > 0) {
        fd = accept(self->fd, NULL, NULL);
        if (fd >= 0)
            receive_one(self, fd);
    }
    return NULL;
}

static void
receiver_start(struct receiver *self, const int *answers, int count)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);

    *self = (struct receiver){ .answers = answers, .count = count };
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    self->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(self->fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    CHECK(listen(self->fd, 8) == 0);
    getsockname(self->fd, (struct sockaddr *)&at, &len);
    self->port = ntohs(at.sin_port);
    pthread_create(&self->thread, NULL, receive, self);
}

static void
receiver_end(struct receiver *self)
{
    pthread_join(self->thread, NULL);
    close(self->fd);
}

static void
a_notice(void)
{
    struct sea_err err = { 0 };

    service_begin();
    CHECK_OK(sea_webhook_init(&err), err);
    run_sql("INSERT INTO sea.notice (kind, body) VALUES ('opened', '{\"benchmark\": \"pope\"}')");
}

static size_t
deliver(const struct receiver *to, const char *secret, int64_t timeout_ms)
{
    struct sea_webhook hook = { .secret = secret, .timeout_ms = timeout_ms };
    struct sea_err err = { 0 };
    char url[64];
    size_t sent;

    snprintf(url, sizeof(url), "http://127.0.0.1:%d/sea?token=hidden", to->port);
    hook.url = url;
    CHECK_OK(sea_notifier_deliver(db, &hook, NULL, &sent, &err), err);
    return sent;
}

static void
signatures_are_those_of_rfc_4231(void)
{
    char key[132], out[65];

    sea_webhook_sign("Jefe", "what do ya want for nothing?", out);
    CHECK_STR(out, "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843");
    memset(key, 0xaa, 131);
    key[131] = 0;
    sea_webhook_sign(key, "Test Using Larger Than Block-Size Key - Hash Key First", out);
    CHECK_STR(out, "60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54");
}

static void
an_accepted_notice_is_sent_once_and_signed(void)
{
    static const int answers[] = { 204 };
    struct receiver to;
    char sign[65], *body;

    a_notice();
    receiver_start(&to, answers, 1);
    CHECK_INT(deliver(&to, "secret", 3000), 1);
    CHECK_INT(deliver(&to, "secret", 3000), 0);
    receiver_end(&to);
    CHECK_INT(to.seen, 1);
    CHECK(number("SELECT delivered_at IS NOT NULL AND error IS NULL FROM sea.notice"));
    CHECK(strstr(to.last, "POST /sea?token=hidden HTTP") != NULL);
    CHECK(strstr(to.last, "X-Sea-Notice: 1\r\n") != NULL);
    body = strstr(to.last, "\r\n\r\n");
    if (!CHECK(body != NULL))
        return;
    CHECK(strstr(body, "\"benchmark\": \"pope\"") && strstr(body, "\"id\": 1"));
    sea_webhook_sign("secret", body + 4, sign);
    CHECK_MSG(strstr(to.last, sign) != NULL, "%s lacks %s", to.last, sign);
}

static void
a_refused_notice_comes_again_with_its_number(void)
{
    static const int answers[] = { 500, 302, 200 };
    struct receiver to;
    int i;

    a_notice();
    receiver_start(&to, answers, 3);
    for (i = 0; i < 2; i++) {
        CHECK_INT(deliver(&to, NULL, 3000), 0);
        CHECK_INT(deliver(&to, NULL, 3000), 0);         /* not before its pause is over */
        CHECK(number("SELECT next_try_at > clock_timestamp() + interval '10 s' FROM sea.notice"));
        run_sql("UPDATE sea.notice SET next_try_at = clock_timestamp()");
    }
    CHECK_STR(text("SELECT error FROM sea.notice"),
              "webhook 127.0.0.1 answered with status 302, need 2xx");
    CHECK_INT(deliver(&to, NULL, 3000), 1);
    receiver_end(&to);
    CHECK_INT(to.seen, 3);
    CHECK(strstr(to.last, "X-Sea-Notice: 1\r\n") && !strstr(to.last, "X-Sea-Signature"));
    CHECK_INT(number("SELECT attempts FROM sea.notice"), 3);
}

static void
a_hanging_receiver_has_a_deadline(void)
{
    static const int answers[] = { 0 };
    struct receiver to;
    int64_t start, took;

    a_notice();
    receiver_start(&to, answers, 1);
    start = sea_clock_ms();
    CHECK_INT(deliver(&to, NULL, 300), 0);
    took = sea_clock_ms() - start;
    printf("gave up after %lld ms, deadline 300 ms\n", (long long)took);
    CHECK(took < 1500);
    CHECK(strstr(text("SELECT error FROM sea.notice"), "was not reached") != NULL);
    CHECK(strstr(text("SELECT error FROM sea.notice"), "token") == NULL);
    receiver_end(&to);
}

/* Nobody listens for a day: the clock of three notices is moved on, pause by pause. They come once
 * each, with their numbers, when somebody does; on the third day they would have been given up. */
static void
a_receiver_that_is_down_for_a_day_misses_nothing(void)
{
    static const int answers[] = { 200, 200, 200 };
    struct receiver nobody, to;
    int hour;

    a_notice();
    run_sql("INSERT INTO sea.notice (kind, body) VALUES ('resolved', '{}'), ('failed', '{}')");
    receiver_start(&nobody, answers, 0);
    receiver_end(&nobody);              /* its port is closed */
    for (hour = 0; hour < 24; hour++) {
        CHECK_INT(deliver(&nobody, NULL, 500), 0);
        CHECK_INT(number("SELECT count(*) FROM sea.notice WHERE next_try_at <= clock_timestamp()"
                         " + interval '1 hour 1 min' AND given_up_at IS NULL"), 3);
        run_sql("UPDATE sea.notice SET next_try_at = clock_timestamp(),"
                " created_at = created_at - interval '1 hour'");
    }
    CHECK_INT(number("SELECT count(*) FROM sea.notice WHERE delivered_at IS NULL"
                     " AND error LIKE '%was not reached%' AND attempts = 24"), 3);
    receiver_start(&to, answers, 3);
    CHECK_INT(deliver(&to, NULL, 3000), 3);
    CHECK_INT(deliver(&to, NULL, 3000), 0);
    receiver_end(&to);
    CHECK_INT(to.seen, 3);
    CHECK_INT(to.numbers, 1 << 1 | 1 << 2 | 1 << 3);
    CHECK_INT(number("SELECT count(*) FROM sea.notice WHERE delivered_at IS NOT NULL"
                     " AND error IS NULL AND given_up_at IS NULL"), 3);
}

static void
a_sender_that_dies_loses_nothing(void)
{
    a_notice();
    CHECK_INT(number("SELECT id FROM sea.claim_notice()"), 1);
    CHECK_INT(number("SELECT id FROM sea.claim_notice()"), -1);
    run_sql("UPDATE sea.notice SET next_try_at = clock_timestamp()");
    CHECK_INT(number("SELECT id FROM sea.claim_notice()"), 1);
    run_sql("UPDATE sea.notice SET next_try_at = clock_timestamp(),"
            " created_at = clock_timestamp() - interval '4 days'");
    CHECK_INT(number("SELECT id FROM sea.claim_notice()"), 1);      /* the last attempt */
    run_sql("UPDATE sea.notice SET next_try_at = clock_timestamp()");
    CHECK_INT(number("SELECT id FROM sea.claim_notice()"), -1);
    CHECK(number("SELECT given_up_at IS NOT NULL FROM sea.notice"));
}

static void
the_thread_delivers_and_ends(void)
{
    static const int answers[] = { 200 };
    struct sea_notifier *notifier;
    struct sea_err err = { 0 };
    struct receiver to;
    char path[SEA_PATH_MAX], yaml[200];
    FILE *file;

    a_notice();
    receiver_start(&to, answers, 1);
    CHECK_OK(sea_path_join(path, sea_test_dir(), "sea.yaml", &err), err);
    snprintf(yaml, sizeof(yaml), "webhook: {url: \"http://127.0.0.1:%d/\", timeout_ms: 2000}\n",
             to.port);
    file = fopen(path, "w");
    fputs(yaml, file);
    fclose(file);
    CHECK_OK(sea_notifier_start(sea_test_dir(), cluster.url, &notifier, &err), err);
    CHECK(wait_for("SELECT delivered_at IS NOT NULL FROM sea.notice", 1, 5000));
    sea_notifier_stop(notifier);
    receiver_end(&to);
    unlink(path);
    CHECK_OK(sea_notifier_start(sea_test_dir(), cluster.url, &notifier, &err), err);
    CHECK(notifier == NULL);
}

static void
settings_are_checked(void)
{
    static const struct { const char *yaml, *message; } cases[] = {
        { "webhok: {url: x}\n", "line 1: there is no setting \"webhok\"" },
        { "webhook: {url: \"file:///etc/passwd\"}\n", "webhook.url is not an http" },
        { "webhook:\n  url: http://x/\n  uri: y\n", "line 3: webhook has no key \"uri\"" },
        { "webhook: {url: http://x/, timeout_ms: 5}\n", "timeout_ms 5 is not in 100..60000" },
        { "webhook: {url: http://x/, secret_file: /nowhere}\n", "could not open the webhook's secret" },
        { "webhook: {url: http://x/, secret_file: /etc/passwd}\n", "can be read by others" },
        { "webhook: 7\n", "webhook is not a map" }, { "- 1\n", "not a map of settings" },
    };
    struct sea_arena *arena = sea_arena_create(NULL, "settings");
    struct sea_webhook to;
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };
    FILE *file;
    size_t i;

    CHECK_OK(sea_path_join(path, sea_test_dir(), "sea.yaml", &err), err);
    for (i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        file = fopen(path, "w");
        fputs(cases[i].yaml, file);
        fclose(file);
        CHECK(sea_notifier_settings(sea_test_dir(), arena, &to, &err) != SEA_OK);
        CHECK_MSG(strstr(err.message, cases[i].message) != NULL, "%s, want %s", err.message,
                  cases[i].message);
        CHECK(to.url == NULL);
        sea_err_clear(&err);
    }
    unlink(path);
    sea_arena_destroy(arena);
}

/* configs/sea.yaml is what people copy. */
static void
the_example_can_be_used(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "settings");
    const char *root = getenv("SEA_ROOT");
    char from[SEA_PATH_MAX], to_path[SEA_PATH_MAX];
    struct sea_webhook to = { .url = NULL };
    struct sea_err err = { 0 };
    struct sea_buf text_of;
    FILE *file;

    sea_buf_init(&text_of, 1 << 20);
    CHECK_OK(sea_path_join(from, root ? root : ".", "configs/sea.yaml", &err), err);
    CHECK_OK(sea_path_join(to_path, sea_test_dir(), "sea.yaml", &err), err);
    CHECK_OK(sea_file_read(from, &text_of, &err), err);
    file = fopen(to_path, "w");
    fputs(text_of.data, file);
    fclose(file);
    CHECK_OK(sea_notifier_settings(sea_test_dir(), arena, &to, &err), err);
    if (CHECK(to.url != NULL))
        CHECK_STR(to.url, "http://127.0.0.1:9099/sea");
    CHECK_INT(to.timeout_ms, 10000);
    unlink(to_path);
    sea_buf_release(&text_of);
    sea_arena_destroy(arena);
}

SEA_TEST_MAIN("notifier: signatures, delivery, deadlines, settings",
              TEST(signatures_are_those_of_rfc_4231),
              TEST(an_accepted_notice_is_sent_once_and_signed),
              TEST(a_refused_notice_comes_again_with_its_number),
              TEST(a_hanging_receiver_has_a_deadline), TEST(a_receiver_that_is_down_for_a_day_misses_nothing),
              TEST(a_sender_that_dies_loses_nothing),
              TEST(the_thread_delivers_and_ends), TEST(settings_are_checked),
              TEST(the_example_can_be_used))
