/* SPDX-License-Identifier: Apache-2.0 */
/* cache.c - keys and values of earlier rows, and the forward that continues them */
#include "engine/transformer_int.h"

#include <assert.h>
#include <stdlib.h>

static size_t
row_bytes(const struct sea_cache *cache)
{
    size_t number = cache->type == SEA_STORE_BF16 ? sizeof(uint16_t) : sizeof(float);

    return (size_t)sea_block_keys(&cache->stack->desc) * number;
}

/* The first row of a layer, of k or of v. */
static char *
rows_of(const struct sea_cache *cache, void *base, int64_t layer)
{
    return (char *)base + row_bytes(cache) * (size_t)(cache->slots * cache->room * layer);
}

enum sea_status
sea_cache_create(struct sea_cache **out, const struct sea_stack *stack, int64_t slots,
                 int64_t room, struct sea_err *err)
{
    struct sea_cache *cache = sea_xcalloc(1, sizeof(*cache));
    const struct sea_device *device = stack->params->device;
    size_t rows, bytes;
    void *mem;

    *out = NULL;
    assert(slots > 0 && room > 0);
    cache->stack = stack;
    cache->slots = slots;
    cache->room = room;
    if (sea_params_rounds(stack->params) && (device->ops->stores & SEA_STORES_KEYS))
        cache->type = SEA_STORE_BF16;
    rows = (size_t)slots * (size_t)room * (size_t)stack->desc.layers;
    if (__builtin_mul_overflow(rows, 2 * row_bytes(cache), &bytes))
        bytes = SIZE_MAX;
    if (sea_device_alloc(device, bytes, &mem, err)) {
        sea_context(err, "while reserving keys and values of %lld sequences of %lld tokens",
                    (long long)slots, (long long)room);
        free(cache);
        return err->status;
    }
    cache->k = mem;
    cache->v = rows_of(cache, mem, stack->desc.layers);
    cache->len = sea_xcalloc((size_t)slots, sizeof(*cache->len));
    *out = cache;
    return SEA_OK;
}

void
sea_cache_destroy(struct sea_cache *cache)
{
    if (!cache)
        return;
    sea_device_free(cache->stack->params->device, cache->k);
    free(cache->len);
    free(cache);
}

enum sea_status
sea_cache_copy(struct sea_cache *cache, int64_t from, int64_t to, int64_t rows,
               struct sea_err *err)
{
    const struct sea_device *device = cache->stack->params->device;
    size_t slot = (size_t)cache->room * row_bytes(cache), bytes = (size_t)rows * row_bytes(cache);
    char *base;
    int rc = 0;

    assert(from >= 0 && from < cache->slots && to >= 0 && to < cache->slots);
    if (rows > cache->len[from])
        return sea_fail(err, SEA_E_INTERNAL, "%lld cached rows were asked for, %d are there",
                        (long long)rows, cache->len[from]);
    for (int64_t l = 0; l < cache->stack->desc.layers && !rc && from != to; l++) {
        base = rows_of(cache, cache->k, l);
        rc = device->ops->copy(device->dev, base + slot * (size_t)to,
                               base + slot * (size_t)from, bytes);
        base = rows_of(cache, cache->v, l);
        if (!rc)
            rc = device->ops->copy(device->dev, base + slot * (size_t)to,
                                   base + slot * (size_t)from, bytes);
    }
    cache->len[to] = (int32_t)rows;
    return sea_device_status(device, rc, "copy", err);
}

/* Where each row goes in the cache, its position, and what each segment may see. */
enum sea_status
sea_extend_place(struct sea_stack_work *work, const struct sea_cache *cache,
                 const int32_t *slot, const struct sea_segments *segments, struct sea_err *err)
{
    const struct sea_device *device = cache->stack->params->device;
    const struct sea_block_desc *desc = &cache->stack->desc;
    size_t bytes = (size_t)segments->rows * sizeof(int32_t);
    size_t ends = 2 * (size_t)segments->count * sizeof(int32_t);
    enum sea_status status = sea_work_check(work, segments, err);
    int32_t rows, len;

    if (status)
        return status;
    for (int64_t s = 0; s < segments->count; s++) {
        assert(slot[s] >= 0 && slot[s] < cache->slots);
        rows = segments->start[s + 1] - segments->start[s];
        len = cache->len[slot[s]];
        if (len + rows > cache->room ||
            (cache->stack->cos_sin && len + rows > desc->max_positions))
            return sea_fail(err, SEA_E_INTERNAL, "%d rows after %d cached ones pass the room "
                            "of %lld rows", rows, len, (long long)cache->room);
        work->k_start[s] = (int32_t)(slot[s] * cache->room);
        work->k_len[s] = len + rows;
        work->k_host[s] = work->k_start[s];
        work->k_host[segments->count + s] = work->k_len[s];
        for (int32_t j = 0; j < rows; j++) {
            work->index_host[segments->start[s] + j] = work->k_start[s] + len + j;
            work->pos_host[segments->start[s] + j] = len + j;
        }
    }
    status = sea_device_put(device, work->index, work->index_host, bytes, err);
    if (!status)
        status = sea_device_put(device, work->pos, work->pos_host, bytes, err);
    if (!status)
        status = sea_device_put(device, work->k_device, work->k_host, ends, err);
    return status;
}

static enum sea_status
append_and_attend(struct sea_stack_work *work, const struct sea_cache *cache, int64_t layer,
                  const struct sea_segments *segments, struct sea_err *err)
{
    const struct sea_block_desc *desc = &cache->stack->desc;
    const struct sea_device *device = cache->stack->params->device;
    const struct sea_kept *kept = &work->kept[layer];
    int64_t heads = sea_block_heads(desc), keys = sea_block_keys(desc);
    int64_t qkv = sea_block_qkv(desc);
    void *k = rows_of(cache, cache->k, layer), *v = rows_of(cache, cache->v, layer);
    enum sea_status status;
    struct sea_op_scatter put = {
        .inp = kept->qkv + heads, .idx = work->index, .out = k, .out_type = cache->type,
        .R = segments->rows, .C = keys, .ld_inp = qkv, .ld_out = keys,
    };
    struct sea_op_attention attention = sea_block_attention(cache->stack, layer);

    attention.q = kept->qkv;
    attention.k = k;
    attention.v = v;
    attention.kv_type = cache->type;
    attention.out = kept->att;
    attention.q_start = segments->start;
    attention.k_start = work->k_start;
    attention.k_len = work->k_len;
    attention.k_device = work->k_device;
    attention.S = segments->count;
    attention.ld_kv = keys;
    attention.few = work->few;
    status = sea_run(device, err, scatter, &put);
    put.inp = kept->qkv + heads + keys;
    put.out = v;
    if (!status)
        status = sea_run(device, err, scatter, &put);
    if (!status)
        status = sea_run(device, err, attention, &attention);
    return status;
}

enum sea_status
sea_extend_run(struct sea_stack_work *work, const struct sea_cache *cache,
               const struct sea_segments *segments, float *x, struct sea_err *err)
{
    const struct sea_stack *stack = cache->stack;
    int64_t layers = stack->desc.layers, R = segments->rows;
    enum sea_status status = SEA_OK;
    bool pack;

    work->few = segments->few;
    for (int64_t l = 0; l < layers && !status; l++) {
        pack = segments->live && l == layers - 1;
        status = sea_block_start(stack, work, l, x, work->pos, R, err);
        if (!status)
            status = append_and_attend(work, cache, l, segments, err);
        if (!status && pack) {
            status = sea_block_pack(work, segments, l, x, err);
            R = segments->live_count;
        }
        if (!status)
            status = sea_block_finish(stack, work, l,
                                      pack ? work->att_live : work->kept[l].att, x, R, err);
    }
    work->few = false;
    return status;
}

void
sea_extend_count(struct sea_cache *cache, const int32_t *slot,
                 const struct sea_segments *segments)
{
    for (int64_t s = 0; s < segments->count; s++)
        cache->len[slot[s]] += segments->start[s + 1] - segments->start[s];
}

enum sea_status
sea_stack_extend(const struct sea_stack *stack, struct sea_stack_work *work,
                 struct sea_cache *cache, const int32_t *slot,
                 const struct sea_segments *segments, float *x, struct sea_err *err)
{
    enum sea_status status;

    assert(stack->desc.causal && cache->stack == stack);
    status = sea_extend_place(work, cache, slot, segments, err);
    if (!status)
        status = sea_extend_run(work, cache, segments, x, err);
    if (!status)
        sea_extend_count(cache, slot, segments);
    return status;
}
