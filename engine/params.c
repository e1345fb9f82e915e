/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_params.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_rng.h"
#include "engine/sea_safetensors.h"

#define GRAIN 16                /* floats: (1) */
#define PIECE (1 << 20)         /* floats that pass through the host at a time */

void
sea_params_init(struct sea_params *params, struct sea_arena *arena)
{
    memset(params, 0, sizeof(*params));
    params->arena = arena;
}

void
sea_params_release(struct sea_params *params)
{
    if (params->device) {
        sea_device_free(params->device, params->data);
        sea_device_free(params->device, params->grad);
    }
    memset(params, 0, sizeof(*params));
}

static int64_t
add_at(struct sea_params *params, const char *name, int rank, const int64_t *shape,
       enum sea_init init, float scale, int64_t offset)
{
    struct sea_param *param, *list;

    assert(rank >= 1 && rank <= 4 && !params->data);
    if (params->count == params->room) {
        params->room = params->room ? 2 * params->room : 32;
        list = sea_arena_alloc(params->arena, (size_t)params->room, sizeof(*list));
        if (params->count)
            memcpy(list, params->list, (size_t)params->count * sizeof(*list));
        params->list = list;
    }
    param = &params->list[params->count++];
    param->name = sea_arena_strdup(params->arena, name);
    param->rank = rank;
    param->rows = rank == 1 ? 1 : shape[0];
    param->count = 1;
    for (int i = 0; i < rank; i++) {
        param->shape[i] = shape[i];
        param->count *= shape[i];
    }
    param->cols = param->rows ? param->count / param->rows : 0;
    param->offset = offset;
    param->init = init;
    param->scale = scale;
    param->decay = rank > 1;
    params->floats = (offset + param->count + GRAIN - 1) / GRAIN * GRAIN;
    return param->offset;
}

int64_t
sea_params_add(struct sea_params *params, const char *name, int rank, const int64_t *shape,
               enum sea_init init, float scale)
{
    return add_at(params, name, rank, shape, init, scale, params->floats);
}

int64_t
sea_params_join(struct sea_params *params, const char *name, int rank, const int64_t *shape,
                enum sea_init init, float scale)
{
    const struct sea_param *last = &params->list[params->count - 1];

    assert(params->count);
    return add_at(params, name, rank, shape, init, scale, last->offset + last->count);
}

enum sea_status
sea_params_reserve(struct sea_params *params, const struct sea_device *device, bool trained,
                   struct sea_err *err)
{
    size_t bytes = (size_t)params->floats * sizeof(float);
    enum sea_status status;
    void *mem;

    assert(!params->data);
    params->device = device;
    status = sea_device_alloc(device, bytes, &mem, err);
    params->data = mem;
    if (!status && trained) {
        status = sea_device_alloc(device, bytes, &mem, err);
        params->grad = mem;
    }
    if (status)
        sea_context(err, "while reserving %lld weights", (long long)params->floats);
    return status;
}

static float
first_value(const struct sea_param *param, uint64_t seed, uint64_t stream, int64_t i)
{
    switch (param->init) {
    case SEA_INIT_ZERO:
        return 0.0f;
    case SEA_INIT_ONE:
        return 1.0f;
    case SEA_INIT_NORMAL:
        return (float)(param->scale * sea_rng_normal_at(seed, stream, (uint64_t)i));
    case SEA_INIT_UNIFORM:
        return (float)(param->scale *
                       (2 * sea_rng_uniform_at(seed, stream, (uint64_t)i) - 1));
    }
    return 0.0f;
}

enum sea_status
sea_params_fill(struct sea_params *params, uint64_t seed, const char *part, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    const struct sea_param *param;
    uint64_t stream, part_id = sea_rng_stream(part, 0, 0);
    int64_t most = 0;
    float *host;

    for (int64_t t = 0; t < params->count; t++)
        most = params->list[t].count > most ? params->list[t].count : most;
    host = sea_xcalloc((size_t)most + 1, sizeof(*host));
    for (int64_t t = 0; t < params->count && !status; t++) {
        param = &params->list[t];
        stream = sea_rng_stream(param->name, part_id, 0);
        for (int64_t i = 0; i < param->count; i++)
            host[i] = first_value(param, seed, stream, i);
        status = sea_device_put(params->device, params->data + param->offset, host,
                                (size_t)param->count * sizeof(*host), err);
    }
    free(host);
    return status;
}

enum sea_status
sea_params_zero_grad(struct sea_params *params, struct sea_err *err)
{
    if (!params->grad)
        return SEA_OK;
    return sea_device_zero(params->device, params->grad,
                           (size_t)params->floats * sizeof(float), err);
}

const struct sea_param *
sea_params_find(const struct sea_params *params, const char *name)
{
    for (int64_t t = 0; t < params->count; t++)
        if (!strcmp(params->list[t].name, name))
            return &params->list[t];
    return NULL;
}

/* Reads one tensor through the host, a piece at a time. */
static enum sea_status
load_one(struct sea_params *params, const struct sea_param *param,
         const struct sea_tensor *tensor, float *host, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t n;

    for (int64_t i = 0; i < param->count && !status; i += n) {
        n = param->count - i < PIECE ? param->count - i : PIECE;
        status = sea_tensor_read_f32(tensor, i, n, host, err);
        if (!status)
            status = sea_device_put(params->device, params->data + param->offset + i, host,
                                    (size_t)n * sizeof(*host), err);
    }
    return status;
}

enum sea_status
sea_params_load(struct sea_params *params, const struct sea_tensors *tensors,
                const char *prefix, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "names of tensors");
    float *host = sea_xcalloc(PIECE, sizeof(*host));
    const struct sea_tensor *tensor;
    const struct sea_param *param;
    enum sea_status status = SEA_OK;
    const char *name;

    for (int64_t t = 0; t < params->count && !status; t++) {
        param = &params->list[t];
        name = sea_arena_printf(arena, "%s%s", prefix, param->name);
        status = sea_tensors_need(tensors, name, param->rank, param->shape, &tensor, err);
        if (!status)
            status = load_one(params, param, tensor, host, err);
    }
    free(host);
    sea_arena_destroy(arena);
    return status;
}

/* What a tensor's fill needs to find its bytes. */
struct source {
    const struct sea_params *params;
    const struct sea_param *param;
};

static enum sea_status
fill_piece(void *arg, size_t at, void *out, size_t n, struct sea_err *err)
{
    const struct source *source = arg;

    return sea_device_get(source->params->device, out,
                          source->params->data + source->param->offset + at / sizeof(float),
                          n, err);
}

enum sea_status
sea_params_save(const char *path, const struct sea_params_part *parts, size_t count,
                struct sea_err *err)
{
    static const struct sea_tensor_meta format = { "format", "pt" };
    struct sea_arena *arena = sea_arena_create(NULL, "tensors to save");
    struct sea_tensor_item *items;
    struct source *sources;
    size_t total = 0, at = 0;
    enum sea_status status;

    for (size_t i = 0; i < count; i++)
        total += (size_t)parts[i].params->count;
    items = sea_arena_alloc(arena, total + 1, sizeof(*items));
    sources = sea_arena_alloc(arena, total + 1, sizeof(*sources));
    for (size_t i = 0; i < count; i++)
        for (int64_t t = 0; t < parts[i].params->count; t++, at++) {
            const struct sea_param *param = &parts[i].params->list[t];

            sources[at].params = parts[i].params;
            sources[at].param = param;
            items[at].name = sea_arena_printf(arena, "%s%s", parts[i].prefix, param->name);
            items[at].dtype = SEA_F32;
            items[at].rank = param->rank;
            memcpy(items[at].shape, param->shape, sizeof(param->shape));
            items[at].fill = fill_piece;
            items[at].arg = &sources[at];
        }
    status = sea_tensors_write(path, items, total, &format, 1, err);
    sea_arena_destroy(arena);
    return status;
}
