/* SPDX-License-Identifier: Apache-2.0 */
/* params_files.c - weights from files and into them, a piece at a time */
#include "engine/sea_params.h"

#include <stdlib.h>
#include <string.h>

#include "engine/sea_safetensors.h"

#define PIECE (1 << 20)         /* floats that pass through the host at a time */

/* NaN and infinity: all bits of the exponent. */
static int64_t
count_not_finite(const float *host, int64_t n)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++) {
        uint32_t bits;

        memcpy(&bits, &host[i], sizeof(bits));
        count += (bits & 0x7F800000u) == 0x7F800000u;
    }
    return count;
}

static int64_t
count_not_finite_half(const uint16_t *half, int64_t n)
{
    int64_t count = 0;

    for (int64_t i = 0; i < n; i++)
        count += (half[i] & 0x7F80u) == 0x7F80u;
    return count;
}

static bool
is_aligned(const void *at, size_t size)
{
    return (uintptr_t)at % size == 0;
}

/* n numbers at `at` (of the given type) from the host's, which are of another type: through
 * scratch on the device, where the back end converts them. */
static enum sea_status
put_cast(struct sea_params *params, void *at, enum sea_store type, const void *raw,
         enum sea_store raw_type, int64_t n, void *scratch, struct sea_err *err)
{
    const struct sea_op_cast cast = {
        .inp = scratch, .inp_type = raw_type, .out = at, .out_type = type, .n = n,
    };
    size_t size = raw_type == SEA_STORE_BF16 ? sizeof(uint16_t) : sizeof(float);

    if (sea_device_put(params->device, scratch, raw, (size_t)n * size, err))
        return err->status;
    return sea_run(params->device, err, cast, &cast);
}

/* Numbers as they lie in a file: float32 or bfloat16. A trained matrix has both forms. */
static enum sea_status
put_raw(struct sea_params *params, const struct sea_param *param, int64_t from, int64_t n,
        const void *raw, enum sea_store type, void *scratch, struct sea_err *err)
{
    float *data = params->data ? params->data + param->offset + from : NULL;
    uint16_t *half = params->half ? params->half + param->offset + from : NULL;
    enum sea_status status = SEA_OK;

    if (!data && param->exact) {
        data = params->vectors + param->place + from;
        half = NULL;
    }
    if (data && type == SEA_STORE_F32)
        status = sea_device_put(params->device, data, raw, (size_t)n * sizeof(float), err);
    else if (data)
        status = put_cast(params, data, SEA_STORE_F32, raw, type, n, scratch, err);
    if (!status && half && type == SEA_STORE_BF16)
        status = sea_device_put(params->device, half, raw, (size_t)n * sizeof(*half), err);
    else if (!status && half)
        status = put_cast(params, half, SEA_STORE_BF16, raw, type, n, scratch, err);
    return status;
}

/* What a load needs besides the file. */
struct loading {
    float *host;                // (PIECE)
    void *scratch;              // (PIECE) floats, device
};

/* One piece of a tensor. Numbers of the usual types are taken as they lie in the file; they
 * are put first and looked at afterwards, when they lie in a cache. */
static enum sea_status
load_piece(struct sea_params *params, const struct sea_param *param,
           const struct sea_tensor *tensor, int64_t from, int64_t n,
           const struct loading *loading, int64_t *not_finite, struct sea_err *err)
{
    const void *half = sea_tensor_raw(tensor, SEA_BF16, from, n);
    const void *wide = sea_tensor_raw(tensor, SEA_F32, from, n);
    enum sea_status status;

    if (half && is_aligned(half, sizeof(uint16_t))) {
        status = put_raw(params, param, from, n, half, SEA_STORE_BF16, loading->scratch, err);
        *not_finite += count_not_finite_half(half, n);
        return status;
    }
    if (wide && is_aligned(wide, sizeof(float))) {
        status = put_raw(params, param, from, n, wide, SEA_STORE_F32, loading->scratch, err);
        *not_finite += count_not_finite(wide, n);
        return status;
    }
    status = sea_tensor_read_f32(tensor, from, n, loading->host, err);
    if (status)
        return status;
    *not_finite += count_not_finite(loading->host, n);
    return sea_params_put(params, param, from, n, loading->host, err);
}

/* Reads one tensor a piece at a time; the file's pages leave memory behind it. */
static enum sea_status
load_one(struct sea_params *params, const struct sea_param *param,
         const struct sea_tensor *tensor, const struct loading *loading, int64_t *not_finite,
         struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t n;

    for (int64_t i = 0; i < param->count && !status; i += n) {
        n = param->count - i < PIECE ? param->count - i : PIECE;
        status = load_piece(params, param, tensor, i, n, loading, not_finite, err);
        sea_tensor_forget(tensor, i, n);
    }
    return status;
}

enum sea_status
sea_params_load(struct sea_params *params, const struct sea_tensors *tensors,
                const char *prefix, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "names of tensors");
    struct loading loading = { .scratch = NULL };
    const struct sea_tensor *tensor;
    const struct sea_param *param;
    const struct sea_tensor *odd = NULL;        /* the first with numbers that are not finite */
    int64_t not_finite = 0;
    const char *name, *odd_name = NULL;
    enum sea_status status;

    status = sea_device_alloc(params->device, PIECE * sizeof(float), &loading.scratch, err);
    loading.host = sea_xcalloc(PIECE, sizeof(*loading.host));
    for (int64_t t = 0; t < params->count && !status; t++) {
        param = &params->list[t];
        name = sea_arena_printf(arena, "%s%s", prefix, param->name);
        status = sea_tensors_need(tensors, name, param->rank, param->shape, &tensor, err);
        if (!status)
            status = load_one(params, param, tensor, &loading, &not_finite, err);
        if (!status && not_finite && !odd) {
            odd = tensor;
            odd_name = name;
        }
    }
    if (!status && odd)
        params->warning = sea_arena_printf(params->arena, "%s: tensor \"%s\" is the first of "
                                           "those that hold %lld numbers which are not finite",
                                           odd->path, odd_name, (long long)not_finite);
    free(loading.host);
    sea_device_free(params->device, loading.scratch);
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_params_fit(const struct sea_params *params, const struct sea_tensors *tensors,
               const char *prefix, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "names of tensors");
    const struct sea_tensor *tensor;
    enum sea_status status = SEA_OK;

    for (int64_t t = 0; t < params->count && !status; t++) {
        const struct sea_param *param = &params->list[t];

        status = sea_tensors_need(tensors, sea_arena_printf(arena, "%s%s", prefix, param->name),
                                  param->rank, param->shape, &tensor, err);
    }
    sea_arena_destroy(arena);
    return status;
}

/* What a tensor's fill needs to find its bytes. */
struct source {
    const struct sea_params *params;
    const struct sea_param *param;
};

static bool
saves_half(const struct sea_params *params, const struct sea_param *param)
{
    return params->half && !param->exact;
}

static enum sea_status
fill_piece(void *arg, size_t at, void *out, size_t n, struct sea_err *err)
{
    const struct source *source = arg;
    const struct sea_params *params = source->params;
    const struct sea_param *param = source->param;

    if (saves_half(params, param))
        return sea_device_get(params->device, out,
                              params->half + param->offset + at / sizeof(uint16_t), n, err);
    return sea_params_get(params, param, (int64_t)(at / sizeof(float)),
                          (int64_t)(n / sizeof(float)), out, err);
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
            items[at].dtype = saves_half(parts[i].params, param) ? SEA_BF16 : SEA_F32;
            items[at].rank = param->rank;
            memcpy(items[at].shape, param->shape, sizeof(param->shape));
            items[at].fill = fill_piece;
            items[at].arg = &sources[at];
        }
    status = sea_tensors_write(path, items, total, &format, 1, err);
    sea_arena_destroy(arena);
    return status;
}
