/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_comm.h - processes that train one model together
 *
 * A communicator joins `size` processes, the ranks, each with a stream socket to every other
 * one: pairs made before a fork (one machine), or TCP after a meeting at rank 0 (several).
 * It moves host memory; what lies on a device is staged by its caller (sea_shard.h).
 *
 * One thread per communicator does all reading and writing, so that messages travel while
 * the caller computes. A message has a tag and finds the receive that was posted with it; a
 * message that nobody has asked for yet waits, and those behind it on its link, too.
 *
 * Invariants: (1) sums are taken in the order of ranks: x0 + x1 + ..., whatever arrives
 *                 first. Equal inputs give equal bits on every rank;
 *             (2) collectives are called by all ranks in the same order;
 *             (3) memory given to send is borrowed until flush returns, to recv until wait;
 *             (4) the first failure ends the communicator: its links are shut, so that the
 *                 others fail at once, and every later call returns the same error; what was
 *                 borrowed is given back then;
 *             (5) no wait lasts longer than timeout_ms without a byte from the rank that is
 *                 waited for. A rank that has ended is noticed at once.
 * A rank that is gone or silent is SEA_E_SERVICE: starting again may help.
 * Threads: one caller. NULL stands for a single rank: rank 0 of 1, collectives do nothing.
 */
#ifndef SEA_COMM_H
#define SEA_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_err.h"

#define SEA_RANKS_MAX 1024

struct sea_comm;

struct sea_comm_options {
    int rank, size;
    int64_t timeout_ms;         /* 0: ten minutes */
    /* (size) connected stream sockets, links[rank] unused; taken, also on failure. NULL: the
     * ranks meet at "HOST:PORT", where rank 0 listens. */
    const int *links;
    const char *rendezvous;
    /* All ranks must give the same text; NULL: no such check. Else SEA_E_CONFIG on every one. */
    const char *word;
};
SEA_MUST_CHECK enum sea_status
sea_comm_open(struct sea_comm **out, const struct sea_comm_options *options,
              struct sea_err *err);
/* What was not flushed may be lost. Accepts NULL. */
void sea_comm_close(struct sea_comm *comm);

int sea_comm_rank(const struct sea_comm *comm);
int sea_comm_size(const struct sea_comm *comm);
int64_t sea_comm_timeout_ms(const struct sea_comm *comm);       /* of one wait */

/* ---- messages ---- */

/* Tags: the caller's, below SEA_COMM_TAGS; unique among what is on its way on a link. */
#define SEA_COMM_TAGS ((uint64_t)1 << 62)

SEA_MUST_CHECK enum sea_status
sea_comm_send(struct sea_comm *comm, int to, uint64_t tag, const void *data, size_t bytes,
              struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_comm_recv(struct sea_comm *comm, int from, uint64_t tag, void *data, size_t bytes,
              struct sea_err *err);
/* Until the posted receive is complete. */
SEA_MUST_CHECK enum sea_status
sea_comm_wait(struct sea_comm *comm, int from, uint64_t tag, struct sea_err *err);
/* Until everything sent has left. */
SEA_MUST_CHECK enum sea_status sea_comm_flush(struct sea_comm *comm, struct sea_err *err);

/* ---- collectives ---- */

SEA_MUST_CHECK enum sea_status sea_comm_barrier(struct sea_comm *comm, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_comm_broadcast(struct sea_comm *comm, int root, void *data, size_t bytes,
                   struct sea_err *err);
/* Rank r gives bytes start[r] .. start[r + 1] - 1 of data, and gets all others. */
SEA_MUST_CHECK enum sea_status
sea_comm_all_gather(struct sea_comm *comm, void *data, const size_t *start,
                    struct sea_err *err);
/* data[start[r]] .. of rank r become the sums over all ranks; the rest stays as it is. */
SEA_MUST_CHECK enum sea_status
sea_comm_reduce_scatter(struct sea_comm *comm, float *data, const int64_t *start,
                        struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_comm_all_reduce(struct sea_comm *comm, float *data, int64_t n, struct sea_err *err);
/* The same for a few numbers in double, and their maxima. */
SEA_MUST_CHECK enum sea_status
sea_comm_sum(struct sea_comm *comm, double *numbers, int64_t n, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_comm_max(struct sea_comm *comm, int64_t *numbers, int64_t n, struct sea_err *err);

/* start (size + 1): n things cut into even ranges, all but the last a multiple of unit. */
void sea_comm_cut(int size, int64_t n, int64_t unit, int64_t *start);

/* ---- where the ranks of this process come from ---- */

struct sea_comm_place {
    int rank, size;             /* size 0: the environment says nothing */
    char rendezvous[256];       /* "HOST:PORT" */
    int64_t timeout_ms;
};
/*
 * SEA_RENDEZVOUS=HOST:PORT with SEA_RANK and SEA_RANKS, or without these two Slurm's
 * SLURM_PROCID and SLURM_NTASKS. Without SEA_RENDEZVOUS Slurm's variables mean nothing: they
 * are there in a batch script, too. SEA_RANK_TIMEOUT: seconds, always read.
 */
SEA_MUST_CHECK enum sea_status
sea_comm_place_read(struct sea_comm_place *place, struct sea_err *err);

#endif
