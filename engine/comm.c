/* SPDX-License-Identifier: Apache-2.0 */
/*
 * comm.c - messages between ranks, and collectives made of them
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
#define OPS 1024                /* operations of one link and direction at a time */
#define COLLECTIVE ((uint64_t)1 << 63)  /* tags of our own, followed by a count */
#define SUM_FLOATS 65536        /* of a sum that is under way, per rank */
#define WORD 72

struct head {
    uint64_t tag, bytes;
};

struct op {
    struct head head;
    char *at;
    uint64_t moved;             /* of the head and the bytes */
    bool used, done;            /* a receive: in use; complete */
};

struct link {
    int fd;                     /* -1: our own place */
    struct op sends[OPS];       /* ring */
    size_t first, count;
    struct op recvs[OPS];       /* slots */
    size_t posted;
    struct head head;           /* of the message that comes in */
    size_t head_got;
    struct op *into;            /* where its bytes go; NULL: not asked for yet */
    int64_t heard_ms;           /* when a byte moved */
};

struct sea_comm {
    int rank, size;
    int64_t timeout_ms;
    uint64_t collectives;       /* so far */
    struct link *links;         // (size)
    float *terms;               // (size, SUM_FLOATS)
    int wake;                   /* eventfd: the caller has posted something */
    pthread_t thread;
    bool started;
    pthread_mutex_t lock;       /* of everything below, and of the links' queues */
    pthread_cond_t moved;
    bool closing, failed;
    struct sea_err err;
};

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

static struct op *
find_recv(struct link *link, uint64_t tag)
{
    for (size_t i = 0; link->posted && i < OPS; i++)
        if (link->recvs[i].used && !link->recvs[i].done && link->recvs[i].head.tag == tag)
            return &link->recvs[i];
    return NULL;
}

/* Under the lock: all bytes of the message at hand are there. */
static void
complete(struct sea_comm *comm, struct link *link)
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
    struct link *link = &comm->links[rank];

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
is_open(const struct link *link)
{
    return link->into || (link->posted && link->head_got < sizeof(link->head));
}

/* Under the lock. */
static short
wanted(struct sea_comm *comm, int rank)
{
    struct link *link = &comm->links[rank];
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
push(struct link *link, struct op *op)
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
send_some(struct sea_comm *comm, struct link *link)
{
    bool more = true;

    while (more) {
        struct op *op = &link->sends[link->first];
        ssize_t n = push(link, op);

        if (n < 0 && errno == EINTR)
            continue;
        if (n < 0)
            return errno == EAGAIN || errno == EWOULDBLOCK;
        op->moved += (uint64_t)n;
        pthread_mutex_lock(&comm->lock);
        link->heard_ms = now_ms();
        if (op->moved == sizeof(op->head) + op->head.bytes) {
            link->first = (link->first + 1) % OPS;
            link->count--;
            pthread_cond_broadcast(&comm->moved);
        }
        more = link->count > 0;
        pthread_mutex_unlock(&comm->lock);
    }
    return true;
}

static ssize_t
pull(struct link *link)
{
    struct op *op = link->into;

    if (!op)
        return recv(link->fd, (char *)&link->head + link->head_got,
                    sizeof(link->head) - link->head_got, MSG_DONTWAIT);
    return recv(link->fd, op->at + op->moved, op->head.bytes - op->moved, MSG_DONTWAIT);
}

/* Reads as long as something comes that was asked for. False: the rank is gone. */
static bool
recv_some(struct sea_comm *comm, int rank)
{
    struct link *link = &comm->links[rank];
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
    return NULL;
}

/* ---- messages ---- */

/* Under the lock: waits until something has moved. since: when the wait began. */
static enum sea_status
wait_moved(struct sea_comm *comm, int rank, int64_t since, struct sea_err *err)
{
    struct link *link = &comm->links[rank];
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
    if (comm->failed) {
        if (!err->status)
            *err = comm->err;
        return comm->err.status;
    }
    pthread_cond_timedwait(&comm->moved, &comm->lock, &at);
    return SEA_OK;
}

/* Under the lock. */
static enum sea_status
check(const struct sea_comm *comm, struct sea_err *err)
{
    if (comm->failed && !err->status)
        *err = comm->err;
    return comm->failed ? comm->err.status : SEA_OK;
}

enum sea_status
sea_comm_send(struct sea_comm *comm, int to, uint64_t tag, const void *data, size_t bytes,
              struct sea_err *err)
{
    struct link *link = &comm->links[to];
    int64_t since = now_ms();
    enum sea_status status;

    pthread_mutex_lock(&comm->lock);
    status = check(comm, err);
    while (!status && link->count == OPS)
        status = wait_moved(comm, to, since, err);
    if (!status) {
        link->sends[(link->first + link->count) % OPS] = (struct op){
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
    struct link *link = &comm->links[from];
    enum sea_status status;
    size_t i = 0;

    pthread_mutex_lock(&comm->lock);
    status = check(comm, err);
    while (i < OPS && link->recvs[i].used)
        i++;
    if (!status && i == OPS)
        status = sea_fail(err, SEA_E_INTERNAL, "more than %d messages of rank %d are waited for",
                          OPS, from);
    if (!status) {
        link->recvs[i] = (struct op){ .head = { tag, bytes }, .at = data, .used = true };
        link->posted++;
    }
    pthread_mutex_unlock(&comm->lock);
    wake(comm);
    return status;
}

enum sea_status
sea_comm_wait(struct sea_comm *comm, int from, uint64_t tag, struct sea_err *err)
{
    struct link *link = &comm->links[from];
    int64_t since = now_ms();
    enum sea_status status = SEA_OK;
    struct op *op = NULL;

    pthread_mutex_lock(&comm->lock);
    for (size_t i = 0; i < OPS && !op; i++)
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

/* ---- collectives ---- */

int
sea_comm_rank(const struct sea_comm *comm)
{
    return comm ? comm->rank : 0;
}

int
sea_comm_size(const struct sea_comm *comm)
{
    return comm ? comm->size : 1;
}

void
sea_comm_cut(int size, int64_t n, int64_t unit, int64_t *start)
{
    int64_t units = (n + unit - 1) / unit;

    for (int r = 0; r <= size; r++) {
        int64_t at = units / size * r + units % size * r / size;

        start[r] = at * unit < n ? at * unit : n;
    }
}

enum sea_status
sea_comm_broadcast(struct sea_comm *comm, int root, void *data, size_t bytes,
                   struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    uint64_t tag;

    if (!comm || comm->size == 1)
        return SEA_OK;
    tag = COLLECTIVE | comm->collectives++;
    if (comm->rank != root) {
        status = sea_comm_recv(comm, root, tag, data, bytes, err);
        return status ? status : sea_comm_wait(comm, root, tag, err);
    }
    for (int r = 0; r < comm->size && !status; r++)
        if (r != root)
            status = sea_comm_send(comm, r, tag, data, bytes, err);
    return status ? status : sea_comm_flush(comm, err);
}

enum sea_status
sea_comm_all_gather(struct sea_comm *comm, void *data, const size_t *start,
                    struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    char *bytes = data;
    uint64_t tag;
    int r;

    if (!comm || comm->size == 1)
        return SEA_OK;
    tag = COLLECTIVE | comm->collectives++;
    for (r = 0; r < comm->size && !status; r++)
        if (r != comm->rank)
            status = sea_comm_recv(comm, r, tag, bytes + start[r], start[r + 1] - start[r], err);
    for (r = 0; r < comm->size && !status; r++)
        if (r != comm->rank)
            status = sea_comm_send(comm, r, tag, bytes + start[comm->rank],
                                   start[comm->rank + 1] - start[comm->rank], err);
    for (r = 0; r < comm->size && !status; r++)
        if (r != comm->rank)
            status = sea_comm_wait(comm, r, tag, err);
    return status ? status : sea_comm_flush(comm, err);
}

/* One piece of every rank's range: at most SUM_FLOATS from `from` on. */
static enum sea_status
reduce_piece(struct sea_comm *comm, float *data, const int64_t *start, int64_t from,
             struct sea_err *err)
{
    int64_t mine = start[comm->rank + 1] - start[comm->rank] - from, n;
    uint64_t tag = COLLECTIVE | comm->collectives++;
    float *own = data + start[comm->rank] + from;
    enum sea_status status = SEA_OK;
    int r;

    mine = mine < 0 ? 0 : mine < SUM_FLOATS ? mine : SUM_FLOATS;
    for (r = 0; r < comm->size && !status; r++)
        if (r != comm->rank)
            status = sea_comm_recv(comm, r, tag, comm->terms + r * SUM_FLOATS,
                                   (size_t)mine * sizeof(float), err);
    for (r = 0; r < comm->size && !status; r++) {
        n = start[r + 1] - start[r] - from;
        n = n < 0 ? 0 : n < SUM_FLOATS ? n : SUM_FLOATS;
        if (r != comm->rank)
            status = sea_comm_send(comm, r, tag, data + start[r] + (n ? from : 0),
                                   (size_t)n * sizeof(float), err);
    }
    for (r = 0; r < comm->size && !status; r++)
        if (r != comm->rank)
            status = sea_comm_wait(comm, r, tag, err);
    if (!status)
        status = sea_comm_flush(comm, err);
    if (status)
        return status;
    memcpy(comm->terms + comm->rank * SUM_FLOATS, own, (size_t)mine * sizeof(float));
    memcpy(own, comm->terms, (size_t)mine * sizeof(float));
    for (r = 1; r < comm->size; r++)
        for (int64_t i = 0; i < mine; i++)
            own[i] += comm->terms[r * SUM_FLOATS + i];
    return SEA_OK;
}

enum sea_status
sea_comm_reduce_scatter(struct sea_comm *comm, float *data, const int64_t *start,
                        struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t most = 0;

    if (!comm || comm->size == 1)
        return SEA_OK;
    for (int r = 0; r < comm->size; r++)
        if (start[r + 1] - start[r] > most)
            most = start[r + 1] - start[r];
    for (int64_t from = 0; from < most && !status; from += SUM_FLOATS)
        status = reduce_piece(comm, data, start, from, err);
    return status;
}

enum sea_status
sea_comm_all_reduce(struct sea_comm *comm, float *data, int64_t n, struct sea_err *err)
{
    int64_t *start;
    size_t *bytes;
    enum sea_status status;

    if (!comm || comm->size == 1)
        return SEA_OK;
    start = sea_xcalloc((size_t)comm->size + 1, sizeof(*start));
    bytes = sea_xcalloc((size_t)comm->size + 1, sizeof(*bytes));
    sea_comm_cut(comm->size, n, 16, start);
    for (int r = 0; r <= comm->size; r++)
        bytes[r] = (size_t)start[r] * sizeof(float);
    status = sea_comm_reduce_scatter(comm, data, start, err);
    if (!status)
        status = sea_comm_all_gather(comm, data, bytes, err);
    free(start);
    free(bytes);
    return status;
}

/* Everybody's numbers, (size, n) of 8 bytes each; NULL and err filled on failure. */
static void *
gather_numbers(struct sea_comm *comm, const void *numbers, int64_t n, struct sea_err *err)
{
    size_t each = (size_t)n * 8, *start = sea_xcalloc((size_t)comm->size + 1, sizeof(*start));
    char *all = sea_xcalloc((size_t)comm->size + 1, each ? each : 1);

    for (int r = 0; r <= comm->size; r++)
        start[r] = (size_t)r * each;
    memcpy(all + start[comm->rank], numbers, each);
    if (sea_comm_all_gather(comm, all, start, err)) {
        free(all);
        all = NULL;
    }
    free(start);
    return all;
}

enum sea_status
sea_comm_sum(struct sea_comm *comm, double *numbers, int64_t n, struct sea_err *err)
{
    double *all;

    if (!comm || comm->size == 1)
        return SEA_OK;
    all = gather_numbers(comm, numbers, n, err);
    if (!all)
        return err->status;
    memcpy(numbers, all, (size_t)n * sizeof(*numbers));
    for (int r = 1; r < comm->size; r++)
        for (int64_t i = 0; i < n; i++)
            numbers[i] += all[r * n + i];
    free(all);
    return SEA_OK;
}

enum sea_status
sea_comm_max(struct sea_comm *comm, int64_t *numbers, int64_t n, struct sea_err *err)
{
    int64_t *all;

    if (!comm || comm->size == 1)
        return SEA_OK;
    all = gather_numbers(comm, numbers, n, err);
    if (!all)
        return err->status;
    for (int r = 0; r < comm->size; r++)
        for (int64_t i = 0; i < n; i++)
            if (all[r * n + i] > numbers[i])
                numbers[i] = all[r * n + i];
    free(all);
    return SEA_OK;
}

enum sea_status
sea_comm_barrier(struct sea_comm *comm, struct sea_err *err)
{
    return sea_comm_max(comm, &(int64_t){ 0 }, 1, err);
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
    comm->terms = sea_xcalloc((size_t)options->size, SUM_FLOATS * sizeof(float));
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
