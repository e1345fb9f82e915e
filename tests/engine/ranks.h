/* SPDX-License-Identifier: Apache-2.0 */
/* ranks.h - processes that are joined as ranks, for test_comm.c and test_shard.c */
#ifndef TESTS_ENGINE_RANKS_H
#define TESTS_ENGINE_RANKS_H

#include <signal.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/sea_comm.h"
#include "tests/sea_test.h"

#define RANKS_MOST 5

struct rank_result {            /* of one rank, in memory that all see */
    struct sea_err err;
    int64_t wrong;              /* numbers that are not what they should be */
    int64_t ms;                 /* the rank's life */
};

struct ranks {
    int size;
    int64_t timeout_ms;
    const char *rendezvous;     /* NULL: pairs of sockets */
    const char *words[RANKS_MOST];
    void *shared;               /* the test's */
    struct rank_result *result; // (RANKS_MOST), shared
    pid_t pid[RANKS_MOST];
    int how[RANKS_MOST];        /* as waitpid tells */
};

typedef void rank_fn(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result);

static inline void *
shared_memory(size_t bytes)
{
    void *at = mmap(NULL, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

    CHECK(at != MAP_FAILED);
    return at;
}

static inline void
rank_main(struct ranks *ranks, int rank, const int *links, rank_fn *fn)
{
    struct rank_result *result = &ranks->result[rank];
    int64_t from = sea_clock_ms();
    struct sea_comm *comm;
    const struct sea_comm_options options = {
        .rank = rank, .size = ranks->size, .timeout_ms = ranks->timeout_ms, .links = links,
        .rendezvous = ranks->rendezvous, .word = ranks->words[rank],
    };

    if (!sea_comm_open(&comm, &options, &result->err)) {
        fn(ranks, comm, result);
        sea_comm_close(comm);
    }
    result->ms = sea_clock_ms() - from;
    _exit(result->err.status || result->wrong ? 1 : 0);
}

/* Starts ranks->size processes, runs fn in each, waits for all. kill_late: these are killed
 * when all others have ended. */
static inline void
run_ranks(struct ranks *ranks, rank_fn *fn, int kill_late)
{
    int links[RANKS_MOST][RANKS_MOST], ends[2], n = ranks->size, i, k;

    if (!ranks->result)
        ranks->result = shared_memory(RANKS_MOST * sizeof(*ranks->result));
    memset(ranks->result, 0, RANKS_MOST * sizeof(*ranks->result));
    for (i = 0; i < n; i++)
        for (k = i + 1; k < n; k++) {
            CHECK_INT(socketpair(AF_UNIX, SOCK_STREAM, 0, ends), 0);
            links[i][k] = ends[0];
            links[k][i] = ends[1];
        }
    fflush(NULL);
    for (i = 0; i < n; i++) {
        ranks->pid[i] = fork();
        if (ranks->pid[i] == 0) {
            for (k = 0; k < n * n; k++)
                if (k / n != i && k / n != k % n)
                    close(links[k / n][k % n]);
            rank_main(ranks, i, ranks->rendezvous ? NULL : links[i], fn);
        }
    }
    for (i = 0; i < n; i++)
        for (k = 0; k < n; k++)
            if (i != k)
                close(links[i][k]);
    for (i = 0; i < n; i++)
        if (!(kill_late >> i & 1))
            waitpid(ranks->pid[i], &ranks->how[i], 0);
    for (i = 0; i < n; i++)
        if (kill_late >> i & 1) {
            kill(ranks->pid[i], SIGKILL);
            waitpid(ranks->pid[i], &ranks->how[i], 0);
        }
}

static inline void
check_ranks(const struct ranks *ranks, const char *what)
{
    for (int r = 0; r < ranks->size; r++) {
        CHECK_MSG(!ranks->result[r].err.status && !ranks->how[r], "%s: rank %d of %d: %s", what,
                  r, ranks->size, ranks->result[r].err.message);
        CHECK_MSG(!ranks->result[r].wrong, "%s: rank %d of %d has %lld wrong numbers", what, r,
                  ranks->size, (long long)ranks->result[r].wrong);
    }
}

#endif
