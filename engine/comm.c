/* SPDX-License-Identifier: Apache-2.0 */
/*
 * comm.c - messages between ranks; comm_collect.c makes collectives of them
 *
 * The caller posts operations; the thread moves bytes. A link has a queue of sends, done in
 * order, and a set of receives, found by tag. On the wire a message is a head (tag, bytes)
 * and its bytes.
 */
#include "engine/comm_int.h"

#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"

#define TIMEOUT_MS 600000
#define WORD 72

static int64_t
now_ms(void)
{
    struct timespec now;

    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

static void
wake(struct sea_comm *comm)
{
    const uint64_t one = 1;
    ssize_t n = write(comm->wake, &one, sizeof(one));

    (void)n;                    /* full: it is awake already */
}

/* Under the lock. Shuts all links, so that every rank learns of it. */
static void
give_up(struct sea_comm *comm)
{
    comm->failed = true;
    for (int r = 0; r < comm->size; r++)
        if (comm->links[r].fd >= 0)
            shutdown(comm->links[r].fd, SHUT_RDWR);
    pthread_cond_broadcast(&comm->moved);
    wake(comm);
}

/* Under the lock. */
static void
lose(struct sea_comm *comm, int rank)
{
    if (comm->failed || comm->closing)
        return;
    sea_fail(&comm->err, SEA_E_SERVICE, "rank %d of %d has ended before its work was done",
             rank, comm->size);
    sea_hint(&comm->err, "What it said last tells why; started again, the stage goes on from "
             "its checkpoint.");
    give_up(comm);
}

/* ---- the thread ---- */

static struct sea_comm_op *
find_recv(struct sea_comm_link *link, uint64_t tag)
{
    for (size_t i = 0; link->posted && i < SEA_COMM_OPS; i++)
        if (link->recvs[i].used && !link->recvs[i].done && link->recvs[i].head.tag == tag)
            return &link->recvs[i];
    return NULL;
}

/* Under the lock: all bytes of the message at hand are there. */
static void
complete(struct sea_comm *comm, struct sea_comm_link *link)
{
    link->into->done = true;
    link->into = NULL;
    link->head_got = 0;
    link->posted--;
    pthread_cond_broadcast(&comm->moved);
}

/* Under the lock: the receive of the message whose head has come in. A message of 0 bytes is
 * complete with its head. */
static void
match(struct sea_comm *comm, int rank)
{
    struct sea_comm_link *link = &comm->links[rank];

    if (link->into || link->head_got < sizeof(link->head) || comm->failed)
        return;
    link->into = find_recv(link, link->head.tag);
    if (!link->into)
        return;
    if (link->into->head.bytes != link->head.bytes) {
        sea_fail(&comm->err, SEA_E_INTERNAL, "rank %d sent %llu bytes where %llu were expected",
                 rank, (unsigned long long)link->head.bytes,
                 (unsigned long long)link->into->head.bytes);
        give_up(comm);
    } else if (!link->head.bytes) {
        complete(comm, link);
    }
}

/* Whether bytes of a link are of use now. */
static bool
is_open(const struct sea_comm_link *link)
{
    return link->into || (link->posted && link->head_got < sizeof(link->head));
}

/* Under the lock. */
static short
wanted(struct sea_comm *comm, int rank)
{
    struct sea_comm_link *link = &comm->links[rank];
    short events = 0;

    if (link->fd < 0)
        return 0;
    match(comm, rank);
    if (link->count)
        events |= POLLOUT;
    if (is_open(link))
        events |= POLLIN;
    return events;
}

static ssize_t
push(struct sea_comm_link *link, struct sea_comm_op *op)
{
    struct iovec parts[2];
    struct msghdr message = { .msg_iov = parts };
    uint64_t body = op->moved > sizeof(op->head) ? op->moved - sizeof(op->head) : 0;

    if (op->moved < sizeof(op->head))
        parts[message.msg_iovlen++] = (struct iovec){ (char *)&op->head + op->moved,
                                                      sizeof(op->head) - op->moved };
    if (op->head.bytes)
        parts[message.msg_iovlen++] = (struct iovec){ op->at + body, op->head.bytes - body };
    return sendmsg(link->fd, &message, MSG_NOSIGNAL | MSG_DONTWAIT);
}

/* Writes until the link takes no more. Only the thread moves `first`, so the operation at the
 * head of the queue may be read without the lock. False: the rank is gone. */
static bool
send_some(struct sea_comm *comm, struct sea_comm_link *link)
{
    bool more = true;

    while (more) {
        struct sea_comm_op *op = &link->sends[link->first];
        ssize_t n = push(link, op);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        op->moved += (uint64_t)n;
        pthread_mutex_lock(&comm->lock);
        link->heard_ms = now_ms();
        if (op->moved == sizeof(op->head) + op->head.bytes) {
            link->first = (link->first + 1) % SEA_COMM_OPS;
            link->count--;
            pthread_cond_broadcast(&comm->moved);
        }
        more = link->count > 0;
        pthread_mutex_unlock(&comm->lock);
    }
    return true;
}

static ssize_t
pull(struct sea_comm_link *link)
{
    struct sea_comm_op *op = link->into;

    if (!op)
        return recv(link->fd, (char *)&link->head + link->head_got,
                    sizeof(link->head) - link->head_got, MSG_DONTWAIT);
    return recv(link->fd, op->at + op->moved, op->head.bytes - op->moved, MSG_DONTWAIT);
}

/* Reads as long as something comes that was asked for. False: the rank is gone. */
static bool
recv_some(struct sea_comm *comm, int rank)
{
    struct sea_comm_link *link = &comm->links[rank];
    bool more = true;

    while (more) {
        ssize_t n = pull(link);

        if (n < 0 && errno == EINTR)
            continue;
        if (n <= 0)
            return n < 0 && (errno == EAGAIN || errno == EWOULDBLOCK);
        pthread_mutex_lock(&comm->lock);
        link->heard_ms = now_ms();
        if (!link->into) {
            link->head_got += (size_t)n;
            match(comm, rank);
        } else {
            link->into->moved += (uint64_t)n;
            if (link->into->moved == link->into->head.bytes)
                complete(comm, link);
        }
        more = !comm->failed && is_open(link);
        pthread_mutex_unlock(&comm->lock);
    }
    return true;
}

/* One look at all links; false: it is time to end. */
static bool
look(struct sea_comm *comm, struct pollfd *at)
{
    bool alive;

    pthread_mutex_lock(&comm->lock);
    alive = !comm->closing && !comm->failed;
    for (int r = 0; r < comm->size && alive; r++) {
        at[r].events = wanted(comm, r);
        at[r].fd = at[r].events ? comm->links[r].fd : -1;
        at[r].revents = 0;
    }
    alive = alive && !comm->failed;
    pthread_mutex_unlock(&comm->lock);
    at[comm->size] = (struct pollfd){ .fd = comm->wake, .events = POLLIN };
    if (!alive)
        return false;
    if (poll(at, (nfds_t)comm->size + 1, -1) < 0)
        return errno == EINTR;
    return true;
}

static void *
run_thread(void *arg)
{
    struct sea_comm *comm = arg;
    struct pollfd *at = sea_xcalloc((size_t)comm->size + 1, sizeof(*at));
    uint64_t count;

    while (look(comm, at)) {
        if (at[comm->size].revents) {
            ssize_t n = read(comm->wake, &count, sizeof(count));

            (void)n;
        }
        for (int r = 0; r < comm->size; r++) {
            bool ok = true;

            if (at[r].fd < 0 || !at[r].revents)
                continue;
            if (at[r].events & POLLOUT)
                ok = send_some(comm, &comm->links[r]);
            if (ok && (at[r].events & POLLIN))
                ok = recv_some(comm, r);
            if (!ok) {
                pthread_mutex_lock(&comm->lock);
                lose(comm, r);
                pthread_mutex_unlock(&comm->lock);
            }
        }
    }
    free(at);
    pthread_mutex_lock(&comm->lock);
    comm->ended = true;
    pthread_cond_broadcast(&comm->moved);
    pthread_mutex_unlock(&comm->lock);
    return NULL;
}

/* ---- messages ---- */

/* Under the lock: the failure for the caller, who may release what it has lent then. So the
 * thread, which could be in the middle of a read, has to end first; it is on its way. */
static enum sea_status
tell(struct sea_comm *comm, struct sea_err *err)
{
    while (comm->started && !comm->ended)
        pthread_cond_wait(&comm->moved, &comm->lock);
    if (!err->status)
        *err = comm->err;
    return comm->err.status;
}

/* Under the lock: waits until something has moved. since: when the wait began. */
static enum sea_status
wait_moved(struct sea_comm *comm, int rank, int64_t since, struct sea_err *err)
{
    struct sea_comm_link *link = &comm->links[rank];
    int64_t from = link->heard_ms > since ? link->heard_ms : since;
    int64_t until = from + comm->timeout_ms;
    struct timespec at = { .tv_sec = until / 1000, .tv_nsec = until % 1000 * 1000000 };

    if (!comm->failed && now_ms() >= until) {
        sea_fail(&comm->err, SEA_E_SERVICE, "rank %d of %d has not answered for %lld s", rank,
                 comm->size, (long long)(comm->timeout_ms / 1000));
        sea_hint(&comm->err, "It hangs, or its machine is gone; SEA_RANK_TIMEOUT=SECONDS sets "
                 "how long a rank is waited for.");
        give_up(comm);
    }
    if (comm->failed)
        return tell(comm, err);
    pthread_cond_timedwait(&comm->moved, &comm->lock, &at);
    return SEA_OK;
}

/* Under the lock. */
static enum sea_status
check(struct sea_comm *comm, struct sea_err *err)
{
    return comm->failed ? tell(comm, err) : SEA_OK;
}

enum sea_status
sea_comm_send(struct sea_comm *comm, int to, uint64_t tag, const void *data, size_t bytes,
              struct sea_err *err)
{
    struct sea_comm_link *link = &comm->links[to];
    int64_t since = now_ms();
    enum sea_status status;

    pthread_mutex_lock(&comm->lock);
    status = check(comm, err);
    while (!status && link->count == SEA_COMM_OPS)
        status = wait_moved(comm, to, since, err);
    if (!status) {
        link->sends[(link->first + link->count) % SEA_COMM_OPS] = (struct sea_comm_op){
            .head = { tag, bytes }, .at = (char *)(uintptr_t)data };
        link->count++;
    }
    pthread_mutex_unlock(&comm->lock);
    wake(comm);
    return status;
}

enum sea_status
sea_comm_recv(struct sea_comm *comm, int from, uint64_t tag, void *data, size_t bytes,
              struct sea_err *err)
{
    struct sea_comm_link *link = &comm->links[from];
    enum sea_status status;
    size_t i = 0;

    pthread_mutex_lock(&comm->lock);
    status = check(comm, err);
    while (i < SEA_COMM_OPS && link->recvs[i].used)
        i++;
    if (!status && i == SEA_COMM_OPS)
        status = sea_fail(err, SEA_E_INTERNAL, "more than %d messages of rank %d are waited for",
                          SEA_COMM_OPS, from);
    if (!status) {
        link->recvs[i] = (struct sea_comm_op){ .head = { tag, bytes }, .at = data, .used = true };
        link->posted++;
    }
    pthread_mutex_unlock(&comm->lock);
    wake(comm);
    return status;
}

enum sea_status
sea_comm_wait(struct sea_comm *comm, int from, uint64_t tag, struct sea_err *err)
{
    struct sea_comm_link *link = &comm->links[from];
    int64_t since = now_ms();
    enum sea_status status = SEA_OK;
    struct sea_comm_op *op = NULL;

    pthread_mutex_lock(&comm->lock);
    for (size_t i = 0; i < SEA_COMM_OPS && !op; i++)
        if (link->recvs[i].used && link->recvs[i].head.tag == tag)
            op = &link->recvs[i];
    if (!op)
        status = sea_fail(err, SEA_E_INTERNAL, "a message of rank %d is waited for that nobody "
                          "asked for", from);
    while (!status && !op->done)
        status = wait_moved(comm, from, since, err);
    if (!status)
        op->used = false;
    pthread_mutex_unlock(&comm->lock);
    return status;
}

enum sea_status
sea_comm_flush(struct sea_comm *comm, struct sea_err *err)
{
    int64_t since = now_ms();
    enum sea_status status = SEA_OK;

    if (!comm)
        return SEA_OK;
    pthread_mutex_lock(&comm->lock);
    for (int r = 0; r < comm->size && !status; r++)
        while (!status && comm->links[r].count)
            status = wait_moved(comm, r, since, err);
    pthread_mutex_unlock(&comm->lock);
    return status;
}

/* ---- opening ---- */

static enum sea_status
start_thread(struct sea_comm *comm, struct sea_err *err)
{
    sigset_t all, before;
    int rc;

    /* Signals are the caller's. */
    sigfillset(&all);
    pthread_sigmask(SIG_SETMASK, &all, &before);
    rc = pthread_create(&comm->thread, NULL, run_thread, comm);
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    if (rc)
        return sea_fail(err, SEA_E_INTERNAL, "could not start a thread: %s", strerror(rc));
    comm->started = true;
    return SEA_OK;
}

static enum sea_status
compare_words(struct sea_comm *comm, const char *word, struct sea_err *err)
{
    size_t *start = sea_xcalloc((size_t)comm->size + 1, sizeof(*start));
    char *all = sea_xcalloc((size_t)comm->size, WORD);
    enum sea_status status;

    for (int r = 0; r <= comm->size; r++)
        start[r] = (size_t)r * WORD;
    snprintf(all + start[comm->rank], WORD, "%s", word);
    status = sea_comm_all_gather(comm, all, start, err);
    for (int r = 0; r < comm->size && !status; r++)
        if (memcmp(all + start[r], all + start[comm->rank], WORD) != 0) {
            status = sea_fail(err, SEA_E_CONFIG, "rank %d works on \"%.12s\", rank %d on "
                              "\"%.12s\"", r, all + start[r], comm->rank,
                              all + start[comm->rank]);
            sea_hint(err, "Start all ranks with the same program, experiment, data and inputs.");
        }
    free(start);
    free(all);
    return status;
}

static void
init_lock(struct sea_comm *comm)
{
    pthread_condattr_t attr;

    pthread_condattr_init(&attr);
    pthread_condattr_setclock(&attr, CLOCK_MONOTONIC);
    pthread_cond_init(&comm->moved, &attr);
    pthread_condattr_destroy(&attr);
    pthread_mutex_init(&comm->lock, NULL);
}

enum sea_status
sea_comm_open(struct sea_comm **out, const struct sea_comm_options *options,
              struct sea_err *err)
{
    struct sea_comm *comm = sea_xcalloc(1, sizeof(*comm));
    int *links = sea_xcalloc((size_t)options->size, sizeof(*links));
    enum sea_status status = SEA_OK;
    int r;

    *out = NULL;
    comm->rank = options->rank;
    comm->size = options->size;
    comm->timeout_ms = options->timeout_ms ? options->timeout_ms : TIMEOUT_MS;
    comm->links = sea_xcalloc((size_t)options->size, sizeof(*comm->links));
    comm->terms = sea_xcalloc((size_t)options->size, SEA_COMM_SUM * sizeof(float));
    init_lock(comm);
    comm->wake = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
    if (options->links)
        memcpy(links, options->links, (size_t)options->size * sizeof(*links));
    else
        status = sea_comm_meet(options, comm->timeout_ms, links, err);
    for (r = 0; r < options->size; r++)
        comm->links[r].fd = status || r == options->rank ? -1 : links[r];
    if (!status && comm->wake < 0)
        status = sea_fail_errno(err, "could not create an event descriptor");
    if (!status)
        status = start_thread(comm, err);
    if (!status && options->word)
        status = compare_words(comm, options->word, err);
    free(links);
    if (status)
        sea_comm_close(comm);
    else
        *out = comm;
    return status;
}

void
sea_comm_close(struct sea_comm *comm)
{
    if (!comm)
        return;
    pthread_mutex_lock(&comm->lock);
    comm->closing = true;
    pthread_mutex_unlock(&comm->lock);
    if (comm->started) {
        wake(comm);
        pthread_join(comm->thread, NULL);
    }
    for (int r = 0; r < comm->size; r++)
        if (comm->links[r].fd >= 0)
            close(comm->links[r].fd);
    if (comm->wake >= 0)
        close(comm->wake);
    pthread_cond_destroy(&comm->moved);
    pthread_mutex_destroy(&comm->lock);
    free(comm->links);
    free(comm->terms);
    free(comm);
}
