/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_shard.h - a training step of several ranks, with the bits of one
 *
 * A step consists of turns: the parts that its samples are packed in, or the groups of an
 * alignment step. How many there are, and what each holds, is the same for any number of
 * ranks; turn p is worked by rank p modulo their number. All ranks have all weights; m and v
 * of the optimiser are cut among them (ZeRO, stage 1).
 *
 * One rank adds the gradients of turn after turn to one piece of memory, and every addition
 * rounds. So that several ranks round in the same places, that memory travels: a rank adds
 * its turn to what the turns before have left, block by block, and passes it on.
 *
 *     rank 0:  forward 0   layer 9  layer 8  layer 7 ...
 *     rank 1:  forward 1            layer 9  layer 8  layer 7 ...
 *     rank 2:  forward 2                     layer 9  layer 8 ...
 *
 * A block is a layer, or what lies before or behind the layers. Nobody waits for a whole
 * backward pass, only for the layer that it needs next; the bytes that a rank moves per turn
 * are those of one gradient, as in a reduce-scatter. The rank of the last turn has the sums:
 * it measures their norm, as one rank does, and sends each rank its range; each updates its
 * range, and all get all weights again.
 *
 *     sea_shard_start(adamw, turns);
 *     for (p = 0; p < turns; p++)
 *         if (sea_shard_has(adamw, p)) {
 *             sea_shard_begin(adamw, p);
 *             ... forward, backward: adds to gradients ...
 *             sea_shard_end(adamw);
 *         }
 *     sea_adamw_step(adamw, &norm);
 *
 * Invariants: (1) weights, m, v and norm have the bits of a single rank that works all turns
 *                 in order, for any number of ranks and any back end;
 *             (2) gradients may be touched between begin and end only, and those of blocks
 *                 that are deferred only after sea_shard_open;
 *             (3) memory behind another device than the CPU goes through NCCL where all ranks
 *                 find it (nccl_int.h), else through a mirror of the gradients on the host;
 *             (4) without ranks nothing here does, costs or allocates anything.
 */
#ifndef SEA_SHARD_H
#define SEA_SHARD_H

#include "engine/sea_optim.h"

/* A step of so many turns, 1 or more; without ranks this is sea_adamw_zero. */
SEA_MUST_CHECK enum sea_status
sea_shard_start(struct sea_adamw *adamw, int64_t turns, struct sea_err *err);
/* Whether turn p is this rank's. */
bool sea_shard_has(const struct sea_adamw *adamw, int64_t p);
/* Turns in ascending order. The first turn finds gradients of 0, the others what
 * the turn before has left; deferred blocks come later. */
SEA_MUST_CHECK enum sea_status
sea_shard_begin(struct sea_adamw *adamw, int64_t p, struct sea_err *err);
/* Passes on what has not been passed on yet. */
SEA_MUST_CHECK enum sea_status sea_shard_end(struct sea_adamw *adamw, struct sea_err *err);

/* The blocks of a part are not waited for in begin, but opened one by one. */
void sea_shard_defer(struct sea_adamw *adamw, const struct sea_params *params);
/* Waits for all blocks of a part that are not open. params without ranks: nothing to do. */
SEA_MUST_CHECK enum sea_status
sea_shard_open(const struct sea_params *params, struct sea_err *err);
/* The block that the number at an offset lies in: before its gradient is added to, and when
 * this turn adds no more. */
typedef enum sea_status sea_shard_pass(const struct sea_params *params, int64_t offset,
                                       struct sea_err *err);
sea_shard_pass sea_shard_open_at, sea_shard_close_at;

/*
 * Numbers of the state, for checkpoints: piece 0 is the weights, 1 is m, 2 is v. Rank 0 alone
 * reads and writes files; the others take part.
 * read: rank 0, from the first number of part 0's m to the last one of the last part's v, in
 * order; the others call serve once meanwhile.
 */
SEA_MUST_CHECK enum sea_status
sea_shard_read(struct sea_adamw *adamw, int64_t part, int piece, int64_t from, int64_t n,
               float *host, struct sea_err *err);
SEA_MUST_CHECK enum sea_status sea_shard_serve(struct sea_adamw *adamw, struct sea_err *err);
/* All ranks together, with equal arguments; host is read on rank 0 only, and scratch of at
 * least n numbers elsewhere. */
SEA_MUST_CHECK enum sea_status
sea_shard_write(struct sea_adamw *adamw, int64_t part, int piece, int64_t from, int64_t n,
                float *host, struct sea_err *err);

#endif
