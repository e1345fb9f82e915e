/* SPDX-License-Identifier: Apache-2.0 */
/*
 * comm_open.c - how ranks on several machines find each other
 *
 *   1. rank 0 listens at the rendezvous; every other rank opens a port of its own, connects
 *      to rank 0 (again and again until it is there) and says who it is and which port
 *   2. once all have come, rank 0 tells everybody where everybody listens
 *   3. rank r connects to ranks 1 .. r-1 and accepts those above
 * The network is trusted, as every such meeting trusts it: the page on training says so.
 */
#include "engine/comm_int.h"

#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_clock.h"

#define MAGIC "sea rank 1"
#define AGAIN_MS 100            /* between two tries to connect */

struct hello {
    char magic[16];
    int32_t rank, size;
    uint16_t port;              /* network order: where this rank listens */
    char pad[6];
};

struct place {                  /* where a rank listens */
    struct sockaddr_storage at;
    uint32_t len;
    uint32_t pad;
};

struct meeting {
    const struct sea_comm_options *options;
    int64_t until_ms;
    int *links;
    int listener;
    struct place *places;       // (size)
};

static int
left_ms(const struct meeting *m)
{
    int64_t left = m->until_ms - sea_clock_ms();

    return left < 0 ? 0 : left > 60000 ? 60000 : (int)left;
}

static enum sea_status
too_late(const struct meeting *m, struct sea_err *err)
{
    int missing = 0;

    for (int r = 0; r < m->options->size; r++)
        missing += r != m->options->rank && m->links[r] < 0;
    sea_fail(err, SEA_E_SERVICE, "rank %d could not meet the other %d ranks at \"%s\", %d are "
             "missing", m->options->rank, m->options->size - 1, m->options->rendezvous, missing);
    sea_hint(err, "Start all ranks at about the same time, with the address and a free port of "
             "rank 0's machine; SEA_RANK_TIMEOUT=SECONDS waits longer.");
    return err->status;
}

static enum sea_status
wait_for(const struct meeting *m, int fd, short events, struct sea_err *err)
{
    struct pollfd at = { .fd = fd, .events = events };

    while (poll(&at, 1, left_ms(m)) <= 0)
        if (sea_clock_ms() >= m->until_ms)
            return too_late(m, err);
    return SEA_OK;
}

/* Moves all bytes, either way. */
static enum sea_status
move(const struct meeting *m, int fd, void *data, size_t bytes, bool out, struct sea_err *err)
{
    char *at = data;
    enum sea_status status = SEA_OK;

    while (bytes && !status) {
        ssize_t n;

        status = wait_for(m, fd, out ? POLLOUT : POLLIN, err);
        if (status)
            break;
        n = out ? send(fd, at, bytes, MSG_NOSIGNAL | MSG_DONTWAIT)
                : recv(fd, at, bytes, MSG_DONTWAIT);
        if (n > 0) {
            at += n;
            bytes -= (size_t)n;
        } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
            status = sea_fail(err, SEA_E_SERVICE, "rank %d lost another rank while they met",
                              m->options->rank);
        }
    }
    return status;
}

static void
tune(int fd)
{
    const int on = 1;

    setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
    setsockopt(fd, SOL_SOCKET, SO_KEEPALIVE, &on, sizeof(on));
}

static enum sea_status
resolve(const char *rendezvous, bool passive, struct addrinfo **out, struct sea_err *err)
{
    struct addrinfo hints = { .ai_socktype = SOCK_STREAM, .ai_flags = passive ? AI_PASSIVE : 0 };
    const char *colon = strrchr(rendezvous, ':');
    char host[256];
    int rc;

    *out = NULL;
    if (!colon || colon == rendezvous || !colon[1] || colon - rendezvous >= 256) {
        sea_fail(err, SEA_E_CONFIG, "rendezvous \"%s\" is not HOST:PORT", rendezvous);
        sea_hint(err, "SEA_RENDEZVOUS names a machine and a free port of rank 0's machine.");
        return err->status;
    }
    snprintf(host, sizeof(host), "%.*s", (int)(colon - rendezvous), rendezvous);
    rc = getaddrinfo(host, colon + 1, &hints, out);
    if (rc)
        return sea_fail(err, SEA_E_SERVICE, "could not find \"%s\": %s", rendezvous,
                        gai_strerror(rc));
    return SEA_OK;
}

/* at NULL: any address, any port. */
static enum sea_status
listen_at(struct meeting *m, const struct addrinfo *at, struct sea_err *err)
{
    struct sockaddr_in any = { .sin_family = AF_INET };
    const int on = 1;
    int rc;

    m->listener = socket(at ? at->ai_family : AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (m->listener < 0)
        return sea_fail_errno(err, "could not create a socket");
    setsockopt(m->listener, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
    rc = at ? bind(m->listener, at->ai_addr, at->ai_addrlen)
            : bind(m->listener, (struct sockaddr *)&any, sizeof(any));
    if (rc || listen(m->listener, m->options->size)) {
        sea_fail(err, SEA_E_SERVICE, "rank %d could not listen at \"%s\": %s", m->options->rank,
                 at ? m->options->rendezvous : "any port", strerror(errno));
        sea_hint(err, "SEA_RENDEZVOUS names an address of rank 0's machine and a free port.");
        return err->status;
    }
    return SEA_OK;
}

static enum sea_status
connect_to(struct meeting *m, const struct sockaddr *at, socklen_t len, int *out,
           struct sea_err *err)
{
    for (;;) {
        int fd = socket(at->sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);

        if (fd < 0)
            return sea_fail_errno(err, "could not create a socket");
        if (!connect(fd, at, len)) {
            tune(fd);
            *out = fd;
            return SEA_OK;
        }
        close(fd);
        if (sea_clock_ms() >= m->until_ms)
            return too_late(m, err);
        sea_clock_sleep_ms(AGAIN_MS);
    }
}

static enum sea_status
say_hello(struct meeting *m, int fd, uint16_t port, struct sea_err *err)
{
    struct hello hello = { .magic = MAGIC, .rank = m->options->rank, .size = m->options->size,
                           .port = port };

    return move(m, fd, &hello, sizeof(hello), true, err);
}

/* Takes one caller in. Who is no rank of ours is sent away. */
static enum sea_status
take_in(struct meeting *m, struct sea_err *err)
{
    struct sea_err not_ours = { 0 };
    struct hello hello;
    struct place place = { .len = sizeof(place.at) };
    struct meeting soon = *m;
    enum sea_status status;
    int fd;

    /* However many strangers come, and whatever accept says: not for ever. */
    if (sea_clock_ms() >= m->until_ms)
        return too_late(m, err);
    status = wait_for(m, m->listener, POLLIN, err);
    if (status)
        return status;
    fd = accept(m->listener, (struct sockaddr *)&place.at, &place.len);
    if (fd < 0) {
        if (errno != EINTR && errno != EAGAIN && errno != ECONNABORTED)
            sea_clock_sleep_ms(AGAIN_MS);       /* no descriptors: others may give some back */
        return SEA_OK;
    }
    (void)fcntl(fd, F_SETFD, FD_CLOEXEC);
    /* A stranger that says nothing must not hold up the others for long. */
    if (soon.until_ms > sea_clock_ms() + 5000)
        soon.until_ms = sea_clock_ms() + 5000;
    if (move(&soon, fd, &hello, sizeof(hello), false, &not_ours) ||
        memcmp(hello.magic, MAGIC, sizeof(MAGIC)) != 0) {
        close(fd);
        return SEA_OK;
    }
    if (hello.size != m->options->size || hello.rank < 0 || hello.rank >= hello.size ||
        hello.rank == m->options->rank || m->links[hello.rank] >= 0) {
        close(fd);
        sea_fail(err, SEA_E_CONFIG, "a process says that it is rank %d of %d, which does not "
                 "fit rank %d of %d", (int)hello.rank, (int)hello.size, m->options->rank,
                 m->options->size);
        sea_hint(err, "Every process needs a SEA_RANK of its own, all the same SEA_RANKS.");
        return err->status;
    }
    if (place.at.ss_family == AF_INET6)
        ((struct sockaddr_in6 *)&place.at)->sin6_port = hello.port;
    else
        ((struct sockaddr_in *)&place.at)->sin_port = hello.port;
    tune(fd);
    m->links[hello.rank] = fd;
    m->places[hello.rank] = place;
    return SEA_OK;
}

static enum sea_status
host(struct meeting *m, const struct addrinfo *at, struct sea_err *err)
{
    size_t bytes = (size_t)m->options->size * sizeof(*m->places);
    enum sea_status status = listen_at(m, at, err);
    int have = 0, r;

    while (!status && have < m->options->size - 1) {
        status = take_in(m, err);
        for (have = 0, r = 0; r < m->options->size; r++)
            have += m->links[r] >= 0;
    }
    for (r = 1; r < m->options->size && !status; r++)
        status = move(m, m->links[r], m->places, bytes, true, err);
    return status;
}

static enum sea_status
visit(struct meeting *m, const struct addrinfo *at, struct sea_err *err)
{
    size_t bytes = (size_t)m->options->size * sizeof(*m->places);
    struct sockaddr_in mine = { 0 };
    socklen_t len = sizeof(mine);
    enum sea_status status = listen_at(m, NULL, err);
    int have = 0, r;

    if (!status && getsockname(m->listener, (struct sockaddr *)&mine, &len))
        status = sea_fail_errno(err, "could not ask for a port");
    if (!status)
        status = connect_to(m, at->ai_addr, at->ai_addrlen, &m->links[0], err);
    if (!status)
        status = say_hello(m, m->links[0], mine.sin_port, err);
    if (!status)
        status = move(m, m->links[0], m->places, bytes, false, err);
    for (r = 1; r < m->options->rank && !status; r++) {
        status = connect_to(m, (struct sockaddr *)&m->places[r].at, m->places[r].len,
                            &m->links[r], err);
        if (!status)
            status = say_hello(m, m->links[r], mine.sin_port, err);
    }
    while (!status && have < m->options->size - 1) {
        for (have = 0, r = 0; r < m->options->size; r++)
            have += m->links[r] >= 0;
        if (have < m->options->size - 1)
            status = take_in(m, err);
    }
    return status;
}

enum sea_status
sea_comm_meet(const struct sea_comm_options *options, int64_t timeout_ms, int *links,
              struct sea_err *err)
{
    struct meeting m = { .options = options, .until_ms = sea_clock_ms() + timeout_ms,
                         .links = links, .listener = -1 };
    struct addrinfo *at;
    enum sea_status status;

    for (int r = 0; r < options->size; r++)
        links[r] = -1;
    if (options->size == 1)
        return SEA_OK;
    m.places = sea_xcalloc((size_t)options->size, sizeof(*m.places));
    status = resolve(options->rendezvous, options->rank == 0, &at, err);
    if (!status)
        status = options->rank == 0 ? host(&m, at, err) : visit(&m, at, err);
    if (at)
        freeaddrinfo(at);
    if (m.listener >= 0)
        close(m.listener);
    for (int r = 0; r < options->size && status; r++)
        if (links[r] >= 0)
            close(links[r]);
    free(m.places);
    return status;
}

/* ---- the environment ---- */

static enum sea_status
read_number(const char *name, int64_t low, int64_t high, int64_t *out, struct sea_err *err)
{
    const char *text = getenv(name);
    char *end;

    if (!text || !*text)
        return SEA_OK;
    errno = 0;
    *out = strtoll(text, &end, 10);
    if (errno || *end || *out < low || *out > high)
        return sea_fail(err, SEA_E_CONFIG, "%s is \"%.40s\", need a number from %lld to %lld",
                        name, text, (long long)low, (long long)high);
    return SEA_OK;
}

enum sea_status
sea_comm_place_read(struct sea_comm_place *place, struct sea_err *err)
{
    const char *rendezvous = getenv("SEA_RENDEZVOUS");
    int64_t rank = -1, size = -1, seconds = 0;
    bool slurm = !getenv("SEA_RANK") && !getenv("SEA_RANKS");
    enum sea_status status;

    memset(place, 0, sizeof(*place));
    status = read_number("SEA_RANK_TIMEOUT", 1, 1000000, &seconds, err);
    place->timeout_ms = seconds * 1000;
    if (status || !rendezvous || !*rendezvous)
        return status;
    status = read_number(slurm ? "SLURM_NTASKS" : "SEA_RANKS", 1, SEA_RANKS_MAX, &size, err);
    if (!status)
        status = read_number(slurm ? "SLURM_PROCID" : "SEA_RANK", 0, SEA_RANKS_MAX - 1, &rank,
                             err);
    if (status)
        return status;
    if (rank < 0 || size < 0 || rank >= size) {
        sea_fail(err, SEA_E_CONFIG, "SEA_RENDEZVOUS is set, but not which rank of how many "
                 "this is");
        sea_hint(err, "Set SEA_RANK (0 to SEA_RANKS - 1) and SEA_RANKS, or start with srun.");
        return err->status;
    }
    if (strlen(rendezvous) >= sizeof(place->rendezvous))
        return sea_fail(err, SEA_E_CONFIG, "SEA_RENDEZVOUS is longer than %zu characters",
                        sizeof(place->rendezvous) - 1);
    snprintf(place->rendezvous, sizeof(place->rendezvous), "%s", rendezvous);
    place->rank = (int)rank;
    place->size = (int)size;
    return SEA_OK;
}
