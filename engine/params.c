/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_params.h"

#include <assert.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_rng.h"
#include "engine/sea_safetensors.h"

#define GRAIN 16                /* floats: (1) */
#define PIECE (1 << 20)         /* floats that pass through the host at a time */
#define FILLERS 4               /* threads that draw first values */
#define FILL_ALONE (1 << 16)    /* floats below which one thread does it */

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
        sea_device_free(params->device, params->half);
        sea_device_free(params->device, params->vectors);
    }
    memset(params, 0, sizeof(*params));
}

static int64_t
add_at(struct sea_params *params, const char *name, int rank, const int64_t *shape,
       enum sea_init init, float scale, int64_t offset)
{
    struct sea_param *param, *list;

    assert(rank >= 1 && rank <= 4 && !sea_params_is_reserved(params));
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
    param->exact = rank == 1;
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

void
sea_params_mark_exact(struct sea_params *params)
{
    assert(params->count && !sea_params_is_reserved(params));
    params->list[params->count - 1].exact = true;
}

/* Floats of the exact tensors, each at a multiple of GRAIN. */
static int64_t
place_exact(struct sea_params *params)
{
    int64_t floats = 0;

    for (int64_t t = 0; t < params->count; t++) {
        struct sea_param *param = &params->list[t];
        bool joined = t && param->offset == param[-1].offset + param[-1].count;

        if (!param->exact)
            continue;
        if (!joined || !param[-1].exact)
            floats = (floats + GRAIN - 1) / GRAIN * GRAIN;
        param->place = floats;
        floats += param->count;
    }
    return (floats + GRAIN - 1) / GRAIN * GRAIN;
}

static bool
has_matrix(const struct sea_params *params)
{
    for (int64_t t = 0; t < params->count; t++)
        if (!params->list[t].exact)
            return true;
    return false;
}

static int64_t
exact_floats(const struct sea_params *params)
{
    struct sea_params copy = *params;
    int64_t floats;

    copy.list = sea_xcalloc((size_t)params->count + 1, sizeof(*copy.list));
    memcpy(copy.list, params->list, (size_t)params->count * sizeof(*copy.list));
    floats = place_exact(&copy);
    free(copy.list);
    return floats;
}

size_t
sea_params_bytes(const struct sea_params *params, enum sea_store store, bool trained)
{
    size_t floats = (size_t)params->floats;

    if (store == SEA_STORE_F32 || !has_matrix(params))
        return floats * sizeof(float) * (trained ? 2 : 1);
    if (trained)
        return floats * (2 * sizeof(float) + sizeof(uint16_t));
    return floats * sizeof(uint16_t) + (size_t)exact_floats(params) * sizeof(float);
}

enum sea_status
sea_params_reserve(struct sea_params *params, const struct sea_device *device, bool trained,
                   struct sea_err *err)
{
    bool half = device->store == SEA_STORE_BF16 && has_matrix(params);
    size_t floats = (size_t)params->floats, exact = (size_t)place_exact(params);
    enum sea_status status = SEA_OK;
    void *mem = NULL;

    assert(!sea_params_is_reserved(params));
    params->device = device;
    params->store = half ? SEA_STORE_BF16 : SEA_STORE_F32;
    if (!half || trained) {
        status = sea_device_reserve(device, floats * sizeof(float), &mem, err);
        params->data = mem;
    }
    if (!status && half) {
        status = sea_device_reserve(device, floats * sizeof(uint16_t), &mem, err);
        params->half = mem;
    }
    if (!status && half && !trained && exact) {
        status = sea_device_reserve(device, exact * sizeof(float), &mem, err);
        params->vectors = mem;
    }
    if (!status && trained) {
        status = sea_device_reserve(device, floats * sizeof(float), &mem, err);
        params->grad = mem;
    }
    if (status)
        sea_context(err, "while reserving %lld weights", (long long)params->floats);
    return status;
}

void
sea_params_alias(struct sea_params *names, const struct sea_params *params)
{
    assert(names->count == params->count && names->floats == params->floats);
    names->store = params->store;
    names->data = params->data;
    names->half = params->half;
    names->vectors = params->vectors;
    names->device = params->device;
    for (int64_t t = 0; t < names->count; t++) {
        assert(names->list[t].offset == params->list[t].offset);
        names->list[t].exact = params->list[t].exact;
        names->list[t].place = params->list[t].place;
    }
}

/* ---- access ---- */

const struct sea_param *
sea_params_at(const struct sea_params *params, int64_t offset)
{
    int64_t low = 0, high = params->count;

    while (high - low > 1) {
        int64_t mid = low + (high - low) / 2;

        if (params->list[mid].offset <= offset)
            low = mid;
        else
            high = mid;
    }
    return &params->list[low];
}

const float *
sea_params_exact(const struct sea_params *params, int64_t offset)
{
    const struct sea_param *param = sea_params_at(params, offset);

    assert(param->exact && params->vectors);
    return params->vectors + param->place + (offset - param->offset);
}

/* Where number `from` of a tensor lies, and in which form. */
static void *
address(const struct sea_params *params, const struct sea_param *param, int64_t from,
        enum sea_store *type)
{
    *type = SEA_STORE_F32;
    if (params->data)
        return params->data + param->offset + from;
    if (param->exact)
        return params->vectors + param->place + from;
    *type = SEA_STORE_BF16;
    return params->half + param->offset + from;
}

enum sea_status
sea_params_get(const struct sea_params *params, const struct sea_param *param, int64_t from,
               int64_t n, float *host, struct sea_err *err)
{
    const struct sea_device *device = params->device;
    enum sea_store type;
    const void *at = address(params, param, from, &type);
    uint16_t *half = (uint16_t *)(void *)host;
    enum sea_status status;

    if (type == SEA_STORE_F32)
        return sea_device_get(device, host, at, (size_t)n * sizeof(*host), err);
    status = sea_device_get(device, half, at, (size_t)n * sizeof(*half), err);
    /* Widened in place, from the end: 2 i <= 4 i. */
    for (int64_t i = n - 1; i >= 0 && !status; i--) {
        uint16_t bits;

        memcpy(&bits, (const char *)host + 2 * i, sizeof(bits));
        host[i] = sea_bf16_to_f32(bits);
    }
    return status;
}

static enum sea_status
put_half(struct sea_params *params, const struct sea_param *param, int64_t from, int64_t n,
         const float *host, struct sea_err *err)
{
    uint16_t *half = sea_xcalloc(PIECE, sizeof(*half));
    enum sea_status status = SEA_OK;
    int64_t at, m;

    for (at = 0; at < n && !status; at += m) {
        m = n - at < PIECE ? n - at : PIECE;
        for (int64_t i = 0; i < m; i++)
            half[i] = sea_bf16_from_f32(host[at + i]);
        status = sea_device_put(params->device, params->half + param->offset + from + at, half,
                                (size_t)m * sizeof(*half), err);
    }
    free(half);
    return status;
}

enum sea_status
sea_params_put(struct sea_params *params, const struct sea_param *param, int64_t from,
               int64_t n, const float *host, struct sea_err *err)
{
    enum sea_store type;
    void *at = address(params, param, from, &type);
    enum sea_status status = SEA_OK;

    if (type == SEA_STORE_F32)
        status = sea_device_put(params->device, at, host, (size_t)n * sizeof(*host), err);
    if (!status && params->half)
        status = put_half(params, param, from, n, host, err);
    return status;
}

enum sea_status
sea_params_cast(struct sea_params *params, struct sea_err *err)
{
    const struct sea_op_cast cast = {
        .inp = params->data, .inp_type = SEA_STORE_F32, .out = params->half,
        .out_type = SEA_STORE_BF16, .n = params->floats,
    };

    if (!params->half || !params->data)
        return SEA_OK;
    return sea_run(params->device, err, cast, &cast);
}

/* ---- first values ---- */

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

/* A share of one piece: first values are pure functions, so that threads may share them. */
struct filling {
    const struct sea_param *param;
    uint64_t seed, stream;
    float *host;
    int64_t first, n;           /* number of host[0] in the tensor */
    pthread_t thread;
    bool started;
};

static void *
fill_share(void *arg)
{
    const struct filling *f = arg;

    for (int64_t i = 0; i < f->n; i++)
        f->host[i] = first_value(f->param, f->seed, f->stream, f->first + i);
    return NULL;
}

static void
fill_piece_of(const struct sea_param *param, uint64_t seed, uint64_t stream, int64_t first,
              int64_t n, float *host)
{
    struct filling shares[FILLERS];
    int64_t each = (n + FILLERS - 1) / FILLERS, at = 0;

    if (n < FILL_ALONE || param->init == SEA_INIT_ZERO || param->init == SEA_INIT_ONE)
        each = n;
    for (int i = 0; i < FILLERS; i++, at += each) {
        shares[i] = (struct filling){ .param = param, .seed = seed, .stream = stream,
                                      .host = host + (at < n ? at : n), .first = first + at };
        shares[i].n = n - at < each ? (n > at ? n - at : 0) : each;
        shares[i].started = i && shares[i].n &&
                            !pthread_create(&shares[i].thread, NULL, fill_share, &shares[i]);
        if (i && !shares[i].started)
            fill_share(&shares[i]);
    }
    fill_share(&shares[0]);
    for (int i = 1; i < FILLERS; i++)
        if (shares[i].started)
            pthread_join(shares[i].thread, NULL);
}

enum sea_status
sea_params_fill(struct sea_params *params, uint64_t seed, const char *part, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    const struct sea_param *param;
    uint64_t stream, part_id = sea_rng_stream(part, 0, 0);
    float *host = sea_xcalloc(PIECE, sizeof(*host));
    int64_t n;

    for (int64_t t = 0; t < params->count && !status; t++) {
        param = &params->list[t];
        stream = sea_rng_stream(param->name, part_id, 0);
        for (int64_t at = 0; at < param->count && !status; at += n) {
            n = param->count - at < PIECE ? param->count - at : PIECE;
            fill_piece_of(param, seed, stream, at, n, host);
            status = sea_params_put(params, param, at, n, host, err);
        }
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
