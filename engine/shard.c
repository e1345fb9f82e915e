/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_shard.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/nccl_int.h"
#include "engine/shard_int.h"

#define BLOCKS_MAX ((int64_t)1 << 16)
#define CUT_FLOATS 16           /* ranges are multiples of it, as offsets of tensors are */

static const struct sea_params *
params_of(const struct sea_shard *shard, int64_t part)
{
    return shard->adamw->parts[part].given.params;
}

/* Where the host finds a part's numbers at an offset: gradients, or weights, when direct. */
static float *
host_at(const struct sea_shard *shard, int64_t part, float *direct, int64_t from)
{
    return shard->direct ? direct + from : shard->mirror[part] + from;
}

/* ---- set-up ---- */

void
sea_shard_cut(struct sea_adamw *adamw)
{
    int size = sea_comm_size(adamw->desc.comm), rank = sea_comm_rank(adamw->desc.comm);
    int64_t *start = sea_xcalloc((size_t)size + 1, sizeof(*start));

    for (int64_t i = 0; i < adamw->count; i++) {
        sea_comm_cut(size, adamw->parts[i].given.params->floats, CUT_FLOATS, start);
        adamw->parts[i].from = start[rank];
        adamw->parts[i].n = start[rank + 1] - start[rank];
    }
    free(start);
}

/* The number of the layer that a tensor is named after ("model.layers.12.mlp..."), or -1. */
static int64_t
layer_of(const char *name)
{
    for (const char *at = strchr(name, '.'); at; at = strchr(at + 1, '.')) {
        size_t digits = strspn(at + 1, "0123456789");

        if (digits && digits < 9 && at[1 + digits] == '.')
            return strtol(at + 1, NULL, 10);
    }
    return -1;
}

/* Neighbours of one layer, or of none, become one block. */
static void
cut_blocks(struct sea_shard *shard, int64_t part)
{
    const struct sea_params *params = params_of(shard, part);
    int64_t last = -2;

    for (int64_t t = 0; t < params->count; t++) {
        int64_t layer = layer_of(params->list[t].name), from = params->list[t].offset;

        if (layer != last || shard->count == 0 || shard->blocks[shard->count - 1].part != part) {
            if (t)
                shard->blocks[shard->count - 1].n = from - shard->blocks[shard->count - 1].from;
            shard->blocks[shard->count++] = (struct sea_shard_block){ .part = part, .from = from,
                                                            .state = SEA_BLOCK_CLOSED };
        }
        last = layer;
    }
    if (params->count)
        shard->blocks[shard->count - 1].n = params->floats - shard->blocks[shard->count - 1].from;
}

enum sea_status
sea_shard_create(struct sea_adamw *adamw, struct sea_err *err)
{
    struct sea_arena *arena = adamw->arena;
    size_t parts = (size_t)adamw->count, tensors = 0;
    int size = sea_comm_size(adamw->desc.comm);
    struct sea_shard *shard;

    adamw->shard = NULL;
    if (size == 1)
        return SEA_OK;
    shard = sea_arena_alloc(arena, 1, sizeof(*shard));
    *shard = (struct sea_shard){ .adamw = adamw, .comm = adamw->desc.comm, .turn = -1 };
    shard->direct = strcmp(adamw->device->ops->name, "cpu") == 0;
    adamw->shard = shard;
    if (!shard->direct && sea_nccl_open(&shard->nccl, shard->comm, adamw->device, err))
        return err->status;
    shard->start = sea_arena_alloc(arena, parts, sizeof(*shard->start));
    shard->deferred = sea_arena_alloc(arena, parts, sizeof(*shard->deferred));
    shard->mirror = sea_arena_alloc(arena, parts, sizeof(*shard->mirror));
    shard->piece = sea_arena_alloc(arena, SEA_SHARD_STATE, sizeof(float));
    for (size_t i = 0; i < parts; i++)
        tensors += (size_t)adamw->parts[i].given.params->count;
    shard->blocks = sea_arena_alloc(arena, tensors + 1, sizeof(*shard->blocks));
    for (int64_t i = 0; i < adamw->count; i++) {
        struct sea_params *params = adamw->parts[i].given.params;

        shard->start[i] = sea_arena_alloc(arena, (size_t)size + 1, sizeof(int64_t));
        sea_comm_cut(size, params->floats, CUT_FLOATS, shard->start[i]);
        if (!shard->direct && !shard->nccl)
            shard->mirror[i] = sea_arena_alloc(arena, (size_t)params->floats, sizeof(float));
        cut_blocks(shard, i);
        params->shard = shard;
    }
    shard->names = sea_arena_alloc(arena, (size_t)shard->count + 1, sizeof(*shard->names));
    if (shard->count > BLOCKS_MAX)
        return sea_fail(err, SEA_E_INTERNAL, "%lld blocks of parameters are more than %lld",
                        (long long)shard->count, (long long)BLOCKS_MAX);
    return SEA_OK;
}

void
sea_shard_destroy(struct sea_adamw *adamw)
{
    for (int64_t i = 0; adamw->shard && i < adamw->count; i++)
        adamw->parts[i].given.params->shard = NULL;
    if (adamw->shard)
        sea_nccl_close(adamw->shard->nccl);
    adamw->shard = NULL;
}

void
sea_shard_defer(struct sea_adamw *adamw, const struct sea_params *params)
{
    for (int64_t i = 0; adamw->shard && i < adamw->count; i++)
        if (adamw->parts[i].given.params == params)
            adamw->shard->deferred[i] = true;
}

/* ---- turns ---- */

bool
sea_shard_has(const struct sea_adamw *adamw, int64_t p)
{
    return !adamw->shard ||
           p % sea_comm_size(adamw->shard->comm) == sea_comm_rank(adamw->shard->comm);
}

static int
rank_of(const struct sea_shard *shard, int64_t p)
{
    return (int)(p % sea_comm_size(shard->comm));
}

/* The message that holds a block as turn p finds it; p = turns: the sums. */
static uint64_t
tag_of(const struct sea_shard *shard, int64_t p, int64_t block)
{
    return (uint64_t)(shard->base + p) * (uint64_t)BLOCKS_MAX + (uint64_t)block;
}

/* nccl: takes blocks as the rank before sends them, until b is among them. */
static enum sea_status
take_blocks(struct sea_shard *shard, int64_t b, struct sea_err *err)
{
    int from = rank_of(shard, shard->turn - 1);
    enum sea_status status = SEA_OK;
    int64_t name = 0;

    while (!status && shard->blocks[b].state == SEA_BLOCK_WAITS) {
        uint64_t tag = tag_of(shard, shard->turn, shard->got++);
        struct sea_shard_block *block;

        status = sea_comm_recv(shard->comm, from, tag, &name, sizeof(name), err);
        if (!status)
            status = sea_comm_wait(shard->comm, from, tag, err);
        if (!status && (name < 0 || name >= shard->count ||
                        shard->blocks[name].state != SEA_BLOCK_WAITS))
            status = sea_fail(err, SEA_E_INTERNAL, "rank %d sent block %lld of %lld, which is "
                              "not waited for", from, (long long)name, (long long)shard->count);
        if (status)
            break;
        block = &shard->blocks[name];
        status = sea_nccl_recv(shard->nccl, params_of(shard, block->part)->grad + block->from,
                               block->n, err);
        block->state = SEA_BLOCK_OPEN;
    }
    return status;
}

/* nccl: to the rank of the next turn. */
static enum sea_status
send_block(struct sea_shard *shard, int64_t b, struct sea_err *err)
{
    const struct sea_shard_block *block = &shard->blocks[b];
    int64_t *name = &shard->names[shard->sent];
    enum sea_status status;

    *name = b;
    status = sea_comm_send(shard->comm, rank_of(shard, shard->turn + 1),
                           tag_of(shard, shard->turn + 1, shard->sent++), name, sizeof(*name),
                           err);
    return status ? status
                  : sea_nccl_send(shard->nccl, params_of(shard, block->part)->grad + block->from,
                                  block->n, err);
}

static enum sea_status
open_block(struct sea_shard *shard, int64_t b, struct sea_err *err)
{
    struct sea_shard_block *block = &shard->blocks[b];
    const struct sea_params *params = params_of(shard, block->part);
    size_t bytes = (size_t)block->n * sizeof(float);
    enum sea_status status;

    if (block->state != SEA_BLOCK_WAITS)
        return SEA_OK;
    if (shard->nccl)
        return take_blocks(shard, b, err);
    status = sea_comm_wait(shard->comm, rank_of(shard, shard->turn - 1),
                           tag_of(shard, shard->turn, b), err);
    if (!status && !shard->direct)
        status = sea_device_put(params->device, params->grad + block->from,
                                shard->mirror[block->part] + block->from, bytes, err);
    block->state = SEA_BLOCK_OPEN;
    return status;
}

/* The part of a block that a rank updates: *from and its length. */
static int64_t
share_of(const struct sea_shard *shard, const struct sea_shard_block *block, int rank,
         int64_t *from)
{
    const int64_t *start = shard->start[block->part];
    int64_t low = block->from > start[rank] ? block->from : start[rank];
    int64_t end = block->from + block->n;

    end = end < start[rank + 1] ? end : start[rank + 1];
    *from = low;
    return end > low ? end - low : 0;
}

static enum sea_status
send_shares(struct sea_shard *shard, int64_t b, struct sea_err *err)
{
    const struct sea_shard_block *block = &shard->blocks[b];
    const struct sea_params *params = params_of(shard, block->part);
    enum sea_status status = SEA_OK;
    int64_t from;

    for (int r = 0; r < sea_comm_size(shard->comm) && !status; r++) {
        int64_t n = share_of(shard, block, r, &from);

        if (n && r != sea_comm_rank(shard->comm))
            status = sea_comm_send(shard->comm, r, tag_of(shard, shard->turns, b),
                                   host_at(shard, block->part, params->grad, from),
                                   (size_t)n * sizeof(float), err);
    }
    return status;
}

static enum sea_status
close_block(struct sea_shard *shard, int64_t b, struct sea_err *err)
{
    struct sea_shard_block *block = &shard->blocks[b];
    const struct sea_params *params = params_of(shard, block->part);
    size_t bytes = (size_t)block->n * sizeof(float);
    enum sea_status status = SEA_OK;

    if (block->state == SEA_BLOCK_CLOSED)
        return SEA_OK;
    status = open_block(shard, b, err);
    block->state = SEA_BLOCK_CLOSED;
    if (!status && shard->nccl)
        return shard->turn + 1 == shard->turns ? SEA_OK : send_block(shard, b, err);
    if (!status && !shard->direct)
        status = sea_device_get(params->device, shard->mirror[block->part] + block->from,
                                params->grad + block->from, bytes, err);
    if (status)
        return status;
    if (shard->turn + 1 == shard->turns)
        return send_shares(shard, b, err);
    return sea_comm_send(shard->comm, rank_of(shard, shard->turn + 1),
                         tag_of(shard, shard->turn + 1, b),
                         host_at(shard, block->part, params->grad, block->from), bytes, err);
}

/* Until what this rank has passed on has left its memory. */
static enum sea_status
flush(struct sea_shard *shard, struct sea_err *err)
{
    enum sea_status status = sea_comm_flush(shard->comm, err);

    return status || !shard->nccl ? status : sea_nccl_flush(shard->nccl, err);
}

/* Asks for the sums of this rank's ranges, once it has passed on all it has worked. A message
 * that nobody has asked for holds up those behind it: this must not wait for the update. */
static enum sea_status
ask_for_sums(struct sea_shard *shard, struct sea_err *err)
{
    int rank = sea_comm_rank(shard->comm), holder = rank_of(shard, shard->turns - 1);
    enum sea_status status = SEA_OK;
    int64_t from;

    if (shard->nccl)            /* they come in the update */
        return SEA_OK;
    if (rank != holder)
        status = flush(shard, err);
    for (int64_t b = 0; b < shard->count && !status && rank != holder; b++) {
        int64_t part = shard->blocks[b].part, n = share_of(shard, &shard->blocks[b], rank, &from);

        if (n)
            status = sea_comm_recv(shard->comm, holder, tag_of(shard, shard->turns, b),
                                   host_at(shard, part, params_of(shard, part)->grad, from),
                                   (size_t)n * sizeof(float), err);
    }
    return status;
}

enum sea_status
sea_shard_start(struct sea_adamw *adamw, int64_t turns, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    enum sea_status status;

    if (!shard)
        return sea_adamw_zero(adamw, err);
    assert(turns > 0 && shard->turn == -1);
    shard->turns = turns;
    /* What the last step left may still be on its way out of this memory. */
    status = flush(shard, err);
    for (int64_t i = 0; i < adamw->count && !status && sea_shard_has(adamw, 0); i++)
        status = sea_params_zero_grad(adamw->parts[i].given.params, err);
    if (!status && sea_comm_rank(shard->comm) >= turns)
        status = ask_for_sums(shard, err);
    return status;
}

enum sea_status
sea_shard_begin(struct sea_adamw *adamw, int64_t p, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    enum sea_status status;

    if (!shard)
        return SEA_OK;
    assert(shard->turn == -1 && p < shard->turns && sea_shard_has(adamw, p));
    shard->turn = p;
    shard->sent = shard->got = 0;
    /* What the turn before left may still be on its way out of this memory. */
    status = flush(shard, err);
    for (int64_t b = 0; b < shard->count && !status; b++) {
        struct sea_shard_block *block = &shard->blocks[b];

        block->state = p ? SEA_BLOCK_WAITS : SEA_BLOCK_OPEN;
        if (p && !shard->nccl)
            status = sea_comm_recv(shard->comm, rank_of(shard, p - 1), tag_of(shard, p, b),
                                   host_at(shard, block->part,
                                           params_of(shard, block->part)->grad, block->from),
                                   (size_t)block->n * sizeof(float), err);
    }
    for (int64_t b = 0; b < shard->count && !status; b++)
        if (!shard->deferred[shard->blocks[b].part])
            status = open_block(shard, b, err);
    return status;
}

enum sea_status
sea_shard_end(struct sea_adamw *adamw, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    enum sea_status status = SEA_OK;

    if (!shard)
        return SEA_OK;
    for (int64_t b = 0; b < shard->count && !status; b++)
        status = close_block(shard, b, err);
    if (!status && shard->turn + sea_comm_size(shard->comm) >= shard->turns)
        status = ask_for_sums(shard, err);
    shard->turn = -1;
    return status;
}

enum sea_status
sea_shard_open(const struct sea_params *params, struct sea_err *err)
{
    struct sea_shard *shard = params->shard;
    enum sea_status status = SEA_OK;

    for (int64_t b = 0; shard && b < shard->count && !status; b++)
        if (params_of(shard, shard->blocks[b].part) == params)
            status = open_block(shard, b, err);
    return status;
}

static int64_t
find_block(const struct sea_shard *shard, const struct sea_params *params, int64_t offset)
{
    int64_t b = 0;

    while (b < shard->count && (params_of(shard, shard->blocks[b].part) != params ||
                                offset < shard->blocks[b].from ||
                                offset >= shard->blocks[b].from + shard->blocks[b].n))
        b++;
    assert(b < shard->count);
    return b;
}

enum sea_status
sea_shard_open_at(const struct sea_params *params, int64_t offset, struct sea_err *err)
{
    struct sea_shard *shard = params->shard;

    if (!shard || shard->turn < 0)
        return SEA_OK;
    return open_block(shard, find_block(shard, params, offset), err);
}

enum sea_status
sea_shard_close_at(const struct sea_params *params, int64_t offset, struct sea_err *err)
{
    struct sea_shard *shard = params->shard;

    if (!shard || shard->turn < 0)
        return SEA_OK;
    return close_block(shard, find_block(shard, params, offset), err);
}

/* ---- the update ---- */

bool
sea_shard_holds(const struct sea_adamw *adamw)
{
    const struct sea_shard *shard = adamw->shard;

    return !shard || rank_of(shard, shard->turns - 1) == sea_comm_rank(shard->comm);
}

enum sea_status
sea_shard_share_norm(struct sea_adamw *adamw, double *sumsq, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    enum sea_status status = SEA_OK;

    if (sea_shard_holds(adamw))
        status = sea_device_get(adamw->device, sumsq, adamw->sumsq, sizeof(*sumsq), err);
    if (!status)
        status = sea_comm_broadcast(shard->comm, rank_of(shard, shard->turns - 1), sumsq,
                                    sizeof(*sumsq), err);
    if (!status)
        status = sea_device_put(adamw->device, adamw->sumsq, sumsq, sizeof(*sumsq), err);
    return status;
}

static enum sea_status
collect_directly(struct sea_adamw *adamw, int holder, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    enum sea_status status = flush(shard, err);

    for (int64_t i = 0; i < adamw->count && !status; i++)
        status = sea_nccl_share(shard->nccl, holder, params_of(shard, i)->grad, shard->start[i],
                                err);
    shard->base += shard->turns + 1;
    return status;
}

enum sea_status
sea_shard_collect(struct sea_adamw *adamw, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    int rank = sea_comm_rank(shard->comm), from_rank = rank_of(shard, shard->turns - 1);
    enum sea_status status = SEA_OK;
    int64_t b, from, n;

    if (shard->nccl)
        return collect_directly(adamw, from_rank, err);
    for (b = 0; b < shard->count && !status && rank != from_rank; b++) {
        const struct sea_params *params = params_of(shard, shard->blocks[b].part);

        n = share_of(shard, &shard->blocks[b], rank, &from);
        if (n)
            status = sea_comm_wait(shard->comm, from_rank, tag_of(shard, shard->turns, b), err);
        if (n && !status && !shard->direct)
            status = sea_device_put(adamw->device, params->grad + from,
                                    shard->mirror[shard->blocks[b].part] + from,
                                    (size_t)n * sizeof(float), err);
    }
    shard->base += shard->turns + 1;
    return status;
}

enum sea_status
sea_shard_spread(struct sea_adamw *adamw, int64_t part, struct sea_err *err)
{
    struct sea_shard *shard = adamw->shard;
    const struct sea_part_state *state = &adamw->parts[part];
    const struct sea_params *params = state->given.params;
    int size = sea_comm_size(shard->comm);
    int64_t end = state->from + state->n;
    enum sea_status status = SEA_OK;
    size_t *bytes;
    float *host;

    if (shard->nccl)
        return sea_nccl_gather(shard->nccl, params->data, shard->start[part], err);
    bytes = sea_xcalloc((size_t)size + 1, sizeof(*bytes));
    host = host_at(shard, part, params->data, 0);
    for (int r = 0; r <= size; r++)
        bytes[r] = (size_t)shard->start[part][r] * sizeof(float);
    if (!shard->direct)
        status = sea_device_get(adamw->device, host + state->from, params->data + state->from,
                                (size_t)state->n * sizeof(float), err);
    if (!status)
        status = sea_comm_all_gather(shard->comm, host, bytes, err);
    if (!status && !shard->direct)
        status = sea_device_put(adamw->device, params->data, host,
                                (size_t)state->from * sizeof(float), err);
    if (!status && !shard->direct)
        status = sea_device_put(adamw->device, params->data + end, host + end,
                                (size_t)(params->floats - end) * sizeof(float), err);
    free(bytes);
    return status;
}
