/* SPDX-License-Identifier: Apache-2.0 */
/* shard_state.c - the optimiser's state between the ranks and the one that has the files */
#include "engine/shard_int.h"

#include <stdlib.h>
#include <string.h>

#define STATE_TAG ((uint64_t)1 << 60)   /* turns count below it */

static float *
state_at(const struct sea_adamw *adamw, int64_t part, int piece)
{
    const struct sea_part_state *state = &adamw->parts[part];

    return piece == 0 ? state->given.params->data : piece == 1 ? state->m : state->v;
}

static uint64_t
state_tag(int64_t part, int piece, int64_t number)
{
    return STATE_TAG | (uint64_t)part << 48 | (uint64_t)piece << 44 | (uint64_t)number;
}

static int64_t
piece_floats(int64_t range, int64_t number)
{
    int64_t left = range - number * SEA_SHARD_STATE;

    return left < SEA_SHARD_STATE ? left : SEA_SHARD_STATE;
}

enum sea_status
sea_shard_serve(struct sea_adamw *adamw, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    enum sea_status status = SEA_OK;

    for (int64_t i = 0; i < adamw->count * 2 && !status; i++) {
        const struct sea_part_state *state = &adamw->parts[i / 2];
        int piece = 1 + (int)(i % 2);

        for (int64_t k = 0; k * SEA_SHARD_STATE < state->n && !status; k++) {
            float *from = state_at(adamw, i / 2, piece) + k * SEA_SHARD_STATE;
            size_t bytes = (size_t)piece_floats(state->n, k) * sizeof(float);

            if (!shard->direct)
                status = sea_device_get(adamw->device, shard->piece, from, bytes, err);
            if (!status)
                status = sea_comm_send(shard->comm, 0, state_tag(i / 2, piece, k),
                                       shard->direct ? from : shard->piece, bytes, err);
            if (!status && !shard->direct)
                status = sea_comm_flush(shard->comm, err);
        }
    }
    return status ? status : sea_comm_flush(shard->comm, err);
}

/* At most n numbers of another rank's range, `at` numbers behind its start; *got of them. */
static enum sea_status
read_other(struct sea_shard *shard, int rank, int64_t part, int piece, int64_t at, int64_t n,
           float *host, int64_t *got, struct sea_err *err)
{
    const int64_t *start = shard->start[part];
    int64_t number = at / SEA_SHARD_STATE, in = at % SEA_SHARD_STATE;
    int64_t floats = piece_floats(start[rank + 1] - start[rank], number);
    uint64_t tag = state_tag(part, piece, number);
    enum sea_status status = SEA_OK;

    if (shard->piece_tag != tag || shard->piece_rank != rank) {
        status = sea_comm_recv(shard->comm, rank, tag, shard->piece,
                               (size_t)floats * sizeof(float), err);
        if (!status)
            status = sea_comm_wait(shard->comm, rank, tag, err);
        shard->piece_tag = tag;
        shard->piece_rank = rank;
    }
    *got = floats - in < n ? floats - in : n;
    if (!status)
        memcpy(host, shard->piece + in, (size_t)*got * sizeof(float));
    /* The next checkpoint has messages of the same tags. */
    if (in + *got == floats)
        shard->piece_tag = 0;
    return status;
}

enum sea_status
sea_shard_read(struct sea_adamw *adamw, int64_t part, int piece, int64_t from, int64_t n,
               float *host, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    const float *data = state_at(adamw, part, piece);
    enum sea_status status = SEA_OK;
    int64_t got;

    if (!shard || piece == 0)
        return sea_device_get(adamw->device, host, data + from, (size_t)n * sizeof(float), err);
    for (int r = 0; n > 0 && !status; ) {
        const int64_t *start = shard->start[part];

        while (from >= start[r + 1])
            r++;
        got = start[r + 1] - from < n ? start[r + 1] - from : n;
        if (r == 0)
            status = sea_device_get(adamw->device, host, data + from,
                                    (size_t)got * sizeof(float), err);
        else
            status = read_other(shard, r, part, piece, from - start[r], n, host, &got, err);
        host += got;
        from += got;
        n -= got;
    }
    return status;
}

/* One rank's share of a range of m or v, from rank 0. */
static enum sea_status
write_share(struct sea_adamw *adamw, int rank, int64_t part, int piece, int64_t from, int64_t n,
            float *host, struct sea_err *err)
{
    struct sea_comm *comm = adamw->shard->comm;
    const int64_t *start = adamw->shard->start[part];
    int64_t low = from > start[rank] ? from : start[rank];
    int64_t end = from + n < start[rank + 1] ? from + n : start[rank + 1];
    size_t bytes = end > low ? (size_t)(end - low) * sizeof(float) : 0;
    uint64_t tag = state_tag(part, piece, from);
    float *at = host + (low - from);
    enum sea_status status = SEA_OK;

    if (!bytes)
        return SEA_OK;
    if (sea_comm_rank(comm) == 0 && rank)
        return sea_comm_send(comm, rank, tag, at, bytes, err);
    if (rank != sea_comm_rank(comm))
        return SEA_OK;
    if (rank)
        status = sea_comm_recv(comm, 0, tag, at, bytes, err);
    if (rank && !status)
        status = sea_comm_wait(comm, 0, tag, err);
    if (!status)
        status = sea_device_put(adamw->device, state_at(adamw, part, piece) + low - start[rank],
                                at, bytes, err);
    return status;
}

enum sea_status
sea_shard_write(struct sea_adamw *adamw, int64_t part, int piece, int64_t from, int64_t n,
                float *host, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    size_t bytes = (size_t)n * sizeof(float);
    enum sea_status status = SEA_OK;

    if (shard && piece) {
        for (int r = 0; r < sea_comm_size(shard->comm) && !status; r++)
            status = write_share(adamw, r, part, piece, from, n, host, err);
        return status ? status : sea_comm_flush(shard->comm, err);
    }
    if (shard)
        status = sea_comm_broadcast(shard->comm, 0, host, bytes, err);
    if (!status)
        status = sea_device_put(adamw->device, state_at(adamw, part, piece) + from, host, bytes,
                                err);
    return status;
}
