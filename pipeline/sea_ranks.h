/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_ranks.h - a stage as several processes that train together
 *
 * The stages align and tune take any number of ranks, with the same bits (sea_shard.h); the
 * others run as one process whatever is asked for. Ranks come to be in one of two ways:
 *
 *     here        sea_ranks_run forks them, joined by pairs of sockets, one per device
 *     elsewhere   somebody starts each of them (srun): SEA_RENDEZVOUS, see sea_comm.h
 *
 * What a launcher promises: rank 0 has the events and the output folder; a signal to stop
 * reaches every rank; when one of them fails the others end within seconds, nothing stays
 * behind, and one error is told: the one that the others follow from. The ranks end when the
 * launcher does, however it ends.
 *
 * Which error: of a rank that was killed (SEA_E_INTERNAL, retried), else a cause that no
 * retry mends, else any but "another rank has ended", which comes last.
 */
#ifndef SEA_RANKS_H
#define SEA_RANKS_H

#include "pipeline/sea_events.h"
#include "pipeline/sea_stage.h"

struct sea_rank {               /* the place of a process among the ranks; all zero: alone */
    int rank, size;
    const int *links;           /* to the others; NULL: they meet */
    const char *rendezvous;
    int64_t timeout_ms;
    struct sea_events *events;  /* of rank 0, borrowed; NULL: opened as the options say */
    bool quiet;                 /* the launcher tells errors */
};
/* One rank of a stage, in this process (stage.c). */
SEA_MUST_CHECK enum sea_status
sea_stage_run_rank(const struct sea_stage_options *options, const struct sea_rank *rank,
                   struct sea_err *err);

/* GPUs that the driver shows, asked in a process of its own: call it before there are threads. */
int sea_ranks_cuda_count(void);

/* How many ranks the experiment asks for here: resources.gpus, where the device is a CUDA
 * device or named; 1 for "auto" without a GPU, and where the file cannot be read (the stage
 * will say why). More than there are CUDA devices is SEA_E_DEVICE. */
SEA_MUST_CHECK enum sea_status
sea_ranks_wanted(const struct sea_stage_options *options, int *out, struct sea_err *err);
/* Starts the ranks and waits for their end. */
SEA_MUST_CHECK enum sea_status
sea_ranks_run(const struct sea_stage_options *options, int ranks, struct sea_err *err);

#endif
