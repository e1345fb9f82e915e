/* SPDX-License-Identifier: Apache-2.0 */
/* comm_collect.c - collectives: messages with tags of their own, sums in the order of ranks */
#include "engine/comm_int.h"

#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"

#define COLLECTIVE ((uint64_t)1 << 63)  /* a tag of ours, followed by a count */

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

int64_t
sea_comm_timeout_ms(const struct sea_comm *comm)
{
    return comm ? comm->timeout_ms : 0;
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

/* One piece of every rank's range: at most SEA_COMM_SUM from `from` on. */
static enum sea_status
reduce_piece(struct sea_comm *comm, float *data, const int64_t *start, int64_t from,
             struct sea_err *err)
{
    int64_t mine = start[comm->rank + 1] - start[comm->rank] - from, n;
    uint64_t tag = COLLECTIVE | comm->collectives++;
    float *own = data + start[comm->rank] + from;
    enum sea_status status = SEA_OK;
    int r;

    mine = mine < 0 ? 0 : mine < SEA_COMM_SUM ? mine : SEA_COMM_SUM;
    for (r = 0; r < comm->size && !status; r++)
        if (r != comm->rank)
            status = sea_comm_recv(comm, r, tag, comm->terms + r * SEA_COMM_SUM,
                                   (size_t)mine * sizeof(float), err);
    for (r = 0; r < comm->size && !status; r++) {
        n = start[r + 1] - start[r] - from;
        n = n < 0 ? 0 : n < SEA_COMM_SUM ? n : SEA_COMM_SUM;
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
    memcpy(comm->terms + comm->rank * SEA_COMM_SUM, own, (size_t)mine * sizeof(float));
    memcpy(own, comm->terms, (size_t)mine * sizeof(float));
    for (r = 1; r < comm->size; r++)
        for (int64_t i = 0; i < mine; i++)
            own[i] += comm->terms[r * SEA_COMM_SUM + i];
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
    for (int64_t from = 0; from < most && !status; from += SEA_COMM_SUM)
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
