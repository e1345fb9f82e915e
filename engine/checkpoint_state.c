/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The tensors of a checkpoint: flat pieces between device and file, a few MiB at a time,
 * so that no second copy of a model is needed on the host.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/checkpoint_int.h"
#include "engine/sea_safetensors.h"
#include "engine/sea_shard.h"

#define PIECES 3                /* data, m, v */
#define PIECE_FLOATS ((int64_t)(SEA_TENSOR_PIECE / sizeof(float)))

static const char *const endings[PIECES] = { "data", "m", "v" };

void
sea_checkpoint_layout(const struct sea_params *params, char out[SEA_SHA256_TEXT])
{
    struct sea_hash *hash = sea_hash_create();
    char text[256];
    int64_t t;
    int d;

    for (t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];

        sea_hash_add_field(hash, param->name);
        snprintf(text, sizeof(text), "%lld %lld %d", (long long)param->offset,
                 (long long)param->count, param->rank);
        sea_hash_add_field(hash, text);
        for (d = 0; d < param->rank; d++) {
            snprintf(text, sizeof(text), "%lld", (long long)param->shape[d]);
            sea_hash_add_field(hash, text);
        }
    }
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
}

struct piece {
    struct sea_adamw *adamw;
    int64_t part;
    int which;                  /* of endings */
};

static enum sea_status
fill(void *arg, size_t at, void *out, size_t n, struct sea_err *err)
{
    const struct piece *piece = arg;

    return sea_shard_read(piece->adamw, piece->part, piece->which,
                          (int64_t)(at / sizeof(float)), (int64_t)(n / sizeof(float)), out, err);
}

enum sea_status
sea_checkpoint_write_state(const char *path, struct sea_adamw *adamw, struct sea_err *err)
{
    size_t parts = (size_t)sea_adamw_count(adamw), count = parts * PIECES, i;
    struct sea_arena *arena = sea_arena_create(NULL, "checkpoint");
    struct sea_tensor_item *items = sea_arena_alloc(arena, count + 1, sizeof(*items));
    struct piece *pieces = sea_arena_alloc(arena, count + 1, sizeof(*pieces));
    enum sea_status status;

    for (i = 0; i < count; i++) {
        const struct sea_adamw_part *part = sea_adamw_part(adamw, (int64_t)(i / PIECES));

        pieces[i] = (struct piece){ adamw, (int64_t)(i / PIECES), (int)(i % PIECES) };
        items[i].name = sea_arena_printf(arena, "%s.%s", part->name, endings[i % PIECES]);
        items[i].dtype = SEA_F32;
        items[i].rank = 1;
        items[i].shape[0] = part->params->floats;
        items[i].fill = fill;
        items[i].arg = &pieces[i];
    }
    status = sea_tensors_write(path, items, count, NULL, 0, err);
    sea_arena_destroy(arena);
    return status;
}

/* tensor NULL: another rank reads the file. */
static enum sea_status
read_piece(struct sea_adamw *adamw, const struct sea_tensor *tensor, int64_t part, int which,
           float *host, struct sea_err *err)
{
    int64_t floats = sea_adamw_part(adamw, part)->params->floats, from, n;
    enum sea_status status = SEA_OK;

    for (from = 0; !status && from < floats; from += n) {
        n = floats - from < PIECE_FLOATS ? floats - from : PIECE_FLOATS;
        if (tensor)
            status = sea_tensor_read_f32(tensor, from, n, host, err);
        if (!status)
            status = sea_shard_write(adamw, part, which, from, n, host, err);
    }
    return status;
}

enum sea_status
sea_checkpoint_read_state(const char *path, struct sea_adamw *adamw, struct sea_err *err)
{
    size_t count = (size_t)sea_adamw_count(adamw) * PIECES, i;
    float *host = sea_xcalloc((size_t)PIECE_FLOATS, sizeof(*host));
    struct sea_tensors *tensors = NULL;
    enum sea_status status = SEA_OK;
    char name[256];

    if (path)
        status = sea_tensors_open(&tensors, path, err);
    for (i = 0; !status && i < count; i++) {
        const struct sea_adamw_part *part = sea_adamw_part(adamw, (int64_t)(i / PIECES));
        const struct sea_tensor *tensor = NULL;

        snprintf(name, sizeof(name), "%s.%s", part->name, endings[i % PIECES]);
        if (path)
            status = sea_tensors_need(tensors, name, 1, &part->params->floats, &tensor, err);
        if (!status)
            status = read_piece(adamw, tensor, (int64_t)(i / PIECES), (int)(i % PIECES), host,
                                err);
        if (!status && i % PIECES == 0)
            status = sea_params_cast(part->params, err);
    }
    sea_tensors_close(tensors);
    free(host);
    return status;
}
