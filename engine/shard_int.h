/* SPDX-License-Identifier: Apache-2.0 */
/* shard_int.h - one rank's view of a step: shard.c (turns, updates), shard_state.c (files) */
#ifndef SEA_SHARD_INT_H
#define SEA_SHARD_INT_H

#include "engine/optim_int.h"
#include "engine/sea_comm.h"
#include "engine/sea_shard.h"

#define SEA_SHARD_STATE ((int64_t)1 << 20)      /* floats of one message of state */

enum sea_block_state { SEA_BLOCK_WAITS, SEA_BLOCK_OPEN, SEA_BLOCK_CLOSED };

struct sea_shard_block {
    int64_t part, from, n;      /* floats of a part */
    enum sea_block_state state;
};

struct sea_shard {
    struct sea_adamw *adamw;
    struct sea_comm *comm;
    bool direct;                /* device memory is host memory */
    struct sea_nccl *nccl;      /* device memory goes to other devices; NULL: it does not */
    int64_t **start;            // (parts)(size + 1) ranges of the ranks
    bool *deferred;             // (parts)
    float **mirror;             // (parts)(floats) host; NULL: direct, or nccl
    struct sea_shard_block *blocks;
    int64_t count;
    int64_t base;               /* number of this step's first turn, over all steps */
    int64_t turn, turns;        /* the one at hand, -1: none; of this step */
    /* nccl: messages have no names there, so their blocks' numbers go over the sockets. */
    int64_t *names;             // (blocks) what this turn has sent, in order
    int64_t sent, got;          /* blocks of this turn */
    /* The piece of another rank's state that read has at hand. */
    float *piece;               // (SEA_SHARD_STATE)
    uint64_t piece_tag;         /* 0: none */
    int piece_rank;
};

#endif
