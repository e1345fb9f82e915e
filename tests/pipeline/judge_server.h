/* SPDX-License-Identifier: Apache-2.0 */
/*
 * judge_server.h - a small OpenAI-compatible server on the loopback, with faults on demand
 *
 * A test gives a function that looks at a request's body and says what to do. Each connection
 * has a thread, so that one that hangs holds up nobody else.
 */
#ifndef JUDGE_SERVER_H
#define JUDGE_SERVER_H

#include <arpa/inet.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_buf.h"
#include "engine/base/sea_clock.h"
#include "engine/base/sea_node.h"
#include "tests/sea_test.h"

enum fault {
    FAULT_NONE,
    FAULT_HANG,                 /* says nothing */
    FAULT_STATUS,               /* .status, with an error as OpenAI writes it */
    FAULT_CUT_OFF,              /* closes before Content-Length is reached */
    FAULT_CUT_JSON,             /* a length that fits, half a document */
    FAULT_SLOW,                 /* a byte each 50 ms, with no end */
    FAULT_EMPTY,                /* a reply without text */
    FAULT_HUGE                  /* 16 MiB */
};
struct act {
    enum fault fault;
    int status, retry_after;    /* 0: no Retry-After */
    const char *text;           /* of the reply; of the complaint */
};

struct judge_server;
/* number: of this request, from 1. body: the request's JSON. */
typedef struct act brain_fn(struct judge_server *server, const char *body, int number);

#define REQUEST_MAX 65536
struct judge_server {
    int fd, port;
    brain_fn *brain;
    const char *model;          /* as the server calls it */
    atomic_int seen, open;
    atomic_bool ending;
    char url[64];
    char last_head[2048], last_body[REQUEST_MAX];       /* newest request */
    pthread_t thread;
    pthread_mutex_t lock;
};

struct visit {
    struct judge_server *server;
    int fd;
};

static void
send_all(int fd, const char *bytes, size_t n)
{
    while (n > 0) {
        ssize_t sent = send(fd, bytes, n, MSG_NOSIGNAL);

        if (sent <= 0)
            return;             /* the client has gone: some tests make it */
        bytes += sent;
        n -= (size_t)sent;
    }
}

/* The whole request; false when the client goes first. */
static bool
read_request(int fd, char *text, char **body)
{
    size_t len = 0, want = 0;
    ssize_t n;

    *body = NULL;
    while ((n = read(fd, text + len, REQUEST_MAX - 1 - len)) > 0) {
        const char *length;

        len += (size_t)n;
        text[len] = 0;
        *body = strstr(text, "\r\n\r\n");
        length = strstr(text, "Content-Length: ");
        if (!*body || !length)
            continue;
        *body += 4;
        want = (size_t)strtol(length + 16, NULL, 10);
        if (len >= (size_t)(*body - text) + want)
            return true;
    }
    return false;
}

static void
put_reply(struct judge_server *server, const struct act *act, struct sea_buf *body)
{
    if (act->fault == FAULT_STATUS) {
        sea_buf_puts(body, "{\"error\": {\"message\": ");
        sea_json_quote(body, act->text ? act->text : "", act->text ? strlen(act->text) : 0);
        sea_buf_puts(body, "}}");
        return;
    }
    sea_buf_addf(body, "{\"id\": \"x\", \"object\": \"chat.completion\", \"model\": \"%s\", "
                 "\"choices\": [{\"index\": 0, \"finish_reason\": \"stop\", \"message\": "
                 "{\"role\": \"assistant\", \"content\": ", server->model);
    if (act->fault == FAULT_EMPTY)
        sea_buf_puts(body, "\"\"");
    else
        sea_json_quote(body, act->text, strlen(act->text));
    sea_buf_puts(body, "}}], \"usage\": {\"prompt_tokens\": 100, \"completion_tokens\": 3}}");
    if (act->fault == FAULT_CUT_JSON)
        body->data[body->len -= 40] = 0;
    for (size_t i = 0; act->fault == FAULT_HUGE && i < 16384; i++)
        sea_buf_addf(body, "%1024s", "");
}

static void
answer(struct judge_server *server, int fd, const struct act *act)
{
    struct sea_buf head, body;

    sea_buf_init(&head, 4096);
    sea_buf_init(&body, (size_t)32 << 20);
    put_reply(server, act, &body);
    sea_buf_addf(&head, "HTTP/1.1 %d X\r\nContent-Type: application/json\r\nConnection: close\r\n",
                 act->fault == FAULT_STATUS ? act->status : 200);
    if (act->retry_after)
        sea_buf_addf(&head, "Retry-After: %d\r\n", act->retry_after);
    sea_buf_addf(&head, "Content-Length: %zu\r\n\r\n",
                 act->fault == FAULT_SLOW ? (size_t)1000000 : body.len);
    send_all(fd, head.data, head.len);
    if (act->fault == FAULT_SLOW) {
        for (size_t i = 0; i < body.len && !server->ending; i++) {
            send_all(fd, body.data + i, 1);
            sea_clock_sleep_ms(50);
        }
    } else {
        send_all(fd, body.data, act->fault == FAULT_CUT_OFF ? body.len / 2 : body.len);
    }
    sea_buf_release(&head);
    sea_buf_release(&body);
}

static void *
serve_one(void *arg)
{
    struct visit *visit = arg;
    struct judge_server *server = visit->server;
    char *text = sea_xcalloc(REQUEST_MAX, 1), *body;
    struct act act;

    if (read_request(visit->fd, text, &body)) {
        int number = ++server->seen;

        pthread_mutex_lock(&server->lock);
        snprintf(server->last_body, sizeof(server->last_body), "%s", body);
        snprintf(server->last_head, sizeof(server->last_head), "%.*s", (int)(body - text), text);
        act = server->brain(server, body, number);
        pthread_mutex_unlock(&server->lock);
        for (int i = 0; act.fault == FAULT_HANG && i < 400 && !server->ending; i++)
            sea_clock_sleep_ms(25);
        if (act.fault != FAULT_HANG)
            answer(server, visit->fd, &act);
    }
    close(visit->fd);
    free(text);
    free(visit);
    server->open--;
    return NULL;
}

static void *
serve(void *arg)
{
    struct judge_server *server = arg;
    struct pollfd at = { .fd = server->fd, .events = POLLIN };

    while (!server->ending) {
        pthread_t thread;
        struct visit *visit;
        int fd = poll(&at, 1, 20) > 0 ? accept(server->fd, NULL, NULL) : -1;

        if (fd < 0)
            continue;
        visit = sea_xcalloc(1, sizeof(*visit));
        *visit = (struct visit){ server, fd };
        server->open++;
        if (pthread_create(&thread, NULL, serve_one, visit))
            abort();
        pthread_detach(thread);
    }
    return NULL;
}

/* Takes a port and does not listen: who calls is refused, and no other program gets it. The
 * caller closes fd. */
static void
judge_server_reserve(struct judge_server *server)
{
    struct sockaddr_in at = { .sin_family = AF_INET };
    socklen_t len = sizeof(at);

    memset(server, 0, sizeof(*server));
    at.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    server->fd = socket(AF_INET, SOCK_STREAM, 0);
    CHECK(bind(server->fd, (struct sockaddr *)&at, sizeof(at)) == 0);
    getsockname(server->fd, (struct sockaddr *)&at, &len);
    server->port = ntohs(at.sin_port);
    snprintf(server->url, sizeof(server->url), "http://127.0.0.1:%d/v1", server->port);
}

static void
judge_server_start(struct judge_server *server, brain_fn *brain)
{
    judge_server_reserve(server);
    server->brain = brain;
    server->model = "judge-2026-01-01";
    pthread_mutex_init(&server->lock, NULL);
    CHECK(listen(server->fd, 64) == 0);
    pthread_create(&server->thread, NULL, serve, server);
}

static void
judge_server_end(struct judge_server *server)
{
    server->ending = true;
    pthread_join(server->thread, NULL);
    while (server->open > 0)
        sea_clock_sleep_ms(5);
    close(server->fd);
}

#endif
