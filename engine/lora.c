/* SPDX-License-Identifier: Apache-2.0 */
/* lora.c - adapters on linear layers: making, forward, backward, merging */
#include "engine/sea_lora.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_rng.h"

/* ---- layers ---- */

/* "q_proj" of "model.layers.0.self_attn.q_proj.weight", its length in *len; NULL for what
 * is no linear layer of a block. */
static const char *
layer_word(const struct sea_param *param, int *len)
{
    const char *end = strrchr(param->name, '.'), *at;

    if (param->rank != 2 || !end || strcmp(end, ".weight") || !strstr(param->name, "layers."))
        return NULL;
    for (at = end; at > param->name && at[-1] != '.';)
        at--;
    *len = (int)(end - at);
    return at;
}

static bool
is_target(const struct sea_lora_desc *desc, const struct sea_param *param)
{
    const char *word;
    int len = 0;

    word = layer_word(param, &len);
    if (!word || !desc->targets_count)
        return word != NULL;
    for (size_t i = 0; i < desc->targets_count; i++)
        if ((int)strlen(desc->targets[i]) == len && !strncmp(desc->targets[i], word, (size_t)len))
            return true;
    return false;
}

/* Every wanted name must be that of a layer. */
static enum sea_status
check_targets(const struct sea_lora_desc *desc, const struct sea_params *base,
              struct sea_err *err)
{
    struct sea_buf names;
    int len = 0;

    for (size_t i = 0; i < desc->targets_count; i++) {
        struct sea_lora_desc one = { .targets = &desc->targets[i], .targets_count = 1 };
        int64_t t = 0;

        while (t < base->count && !is_target(&one, &base->list[t]))
            t++;
        if (t < base->count)
            continue;
        sea_fail(err, SEA_E_CONFIG, "the language model has no layer \"%s\" for an adapter",
                 desc->targets[i]);
        sea_buf_init(&names, 200);
        for (t = 0; t < base->count && strstr(base->list[t].name, "layers.1.") == NULL; t++) {
            const char *word = layer_word(&base->list[t], &len);

            if (word)
                sea_buf_addf(&names, " %.*s", len, word);
        }
        sea_hint(err, "Its layers are%s.", names.data);
        sea_buf_release(&names);
        return err->status;
    }
    return SEA_OK;
}

static enum sea_status
check_desc(const struct sea_lora_desc *desc, struct sea_err *err)
{
    if (desc->rank < 1 || desc->rank > 65536)
        return sea_fail(err, SEA_E_CONFIG, "the rank of an adapter is %lld, must be 1 to 65536",
                        (long long)desc->rank);
    if (!(desc->dropout >= 0 && desc->dropout < 1))
        return sea_fail(err, SEA_E_CONFIG, "the dropout of an adapter is %g, must be 0 or more "
                        "and below 1", desc->dropout);
    if (!isfinite(desc->alpha))
        return sea_fail(err, SEA_E_CONFIG, "the alpha of an adapter is %g, must be finite",
                        desc->alpha);
    return SEA_OK;
}

static int64_t
add_matrix(struct sea_lora *lora, const struct sea_param *base, const char *which,
           int64_t rows, int64_t cols, bool join)
{
    const char *end = strrchr(base->name, '.');
    const char *name = sea_arena_printf(lora->arena, "%.*s.%s.weight",
                                        (int)(end - base->name), base->name, which);
    bool first = which[strlen(which) - 1] == 'A';
    int64_t shape[2] = { rows, cols }, at;

    at = (join ? sea_params_join : sea_params_add)(
        &lora->params, name, 2, shape, first ? SEA_INIT_UNIFORM : SEA_INIT_ZERO,
        first ? 1.0f / sqrtf((float)cols) : 0.0f);
    sea_params_mark_exact(&lora->params);
    return at;
}

/* Tensors of neighbouring layers: all A, then all B. */
static void
add_site(struct sea_lora *lora, struct sea_lora_pair *pairs, int64_t count)
{
    int64_t rank = lora->desc.rank, i;

    for (i = 0; i < count; i++)
        pairs[i].a = add_matrix(lora, pairs[i].base, "lora_A", rank, pairs[i].base->cols, i > 0);
    for (i = 0; i < count; i++)
        pairs[i].b = add_matrix(lora, pairs[i].base, "lora_B", pairs[i].base->rows, rank, false);
    if (lora->wide < count * rank)
        lora->wide = count * rank;
    if (lora->in_most < pairs->base->cols)
        lora->in_most = pairs->base->cols;
}

/* Whether a tensor may run in one product with the one before it: without a gap, and of the
 * same inputs. Some that do so by chance never meet: their A lie together for nothing. */
static bool
follows(const struct sea_param *param)
{
    const struct sea_param *last = param - 1;

    return last->rank == 2 && param->rank == 2 && param->cols == last->cols &&
           param->offset == last->offset + last->count;
}

static void
add_pairs(struct sea_lora *lora)
{
    const struct sea_params *base = lora->stack->params;
    int64_t t, first = 0;

    lora->pairs = sea_arena_alloc(lora->arena, (size_t)base->count + 1, sizeof(*lora->pairs));
    for (t = 0; t < base->count; t++) {
        if (t && !follows(&base->list[t]) && lora->count > first) {
            add_site(lora, &lora->pairs[first], lora->count - first);
            first = lora->count;
        }
        if (is_target(&lora->desc, &base->list[t]))
            lora->pairs[lora->count++].base = &base->list[t];
    }
    if (lora->count > first)
        add_site(lora, &lora->pairs[first], lora->count - first);
}

static enum sea_status
make_scratch(struct sea_lora *lora, bool trained, struct sea_err *err)
{
    size_t wide = SEA_LORA_ROWS * (size_t)lora->wide, in = SEA_LORA_ROWS * (size_t)lora->in_most;
    size_t h, dh = 0, dropped = 0, dx = 0;

    sea_plan_init(&lora->plan);
    h = sea_plan_add(&lora->plan, wide, sizeof(float));
    if (trained)
        dh = sea_plan_add(&lora->plan, wide, sizeof(float));
    if (trained && lora->desc.dropout > 0) {
        dropped = sea_plan_add(&lora->plan, in, sizeof(float));
        dx = sea_plan_add(&lora->plan, in, sizeof(float));
        lora->host = sea_xcalloc(in, sizeof(float));
    }
    if (sea_plan_reserve(&lora->plan, lora->stack->params->device, err))
        return err->status;
    lora->h = sea_plan_at(&lora->plan, h);
    lora->dh = sea_plan_at(&lora->plan, dh);
    lora->dropped = sea_plan_at(&lora->plan, dropped);
    lora->dx = sea_plan_at(&lora->plan, dx);
    return SEA_OK;
}

enum sea_status
sea_lora_create(struct sea_lora **out, struct sea_stack *stack,
                const struct sea_lora_desc *desc, bool trained, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "low-rank adapters");
    struct sea_lora *lora = sea_arena_alloc(arena, 1, sizeof(*lora));
    enum sea_status status = check_desc(desc, err);

    *out = NULL;
    lora->arena = arena;
    lora->desc = *desc;
    lora->stack = stack;
    sea_params_init(&lora->params, arena);
    if (!status)
        status = check_targets(desc, stack->params, err);
    if (!status) {
        add_pairs(lora);
        status = sea_params_reserve(&lora->params, stack->params->device, trained, err);
    }
    if (!status)
        status = sea_params_fill(&lora->params, desc->seed, "lora", err);
    if (!status)
        status = make_scratch(lora, trained, err);
    if (status) {
        sea_lora_destroy(lora);
        return status;
    }
    lora->desc.targets = NULL;  /* the caller's; the pairs say it now */
    lora->desc.targets_count = 0;
    stack->lora = lora;
    *out = lora;
    return SEA_OK;
}

void
sea_lora_destroy(struct sea_lora *lora)
{
    if (!lora)
        return;
    if (lora->stack->lora == lora)
        lora->stack->lora = NULL;
    sea_plan_release(&lora->plan);
    sea_params_release(&lora->params);
    free(lora->host);
    sea_arena_destroy(lora->arena);
}

void
sea_lora_set_rows(struct sea_lora *lora, int64_t step, struct sea_lora_keys rows,
                  struct sea_lora_keys live)
{
    lora->step = step;
    lora->rows = rows;
    lora->live = live;
}

/* ---- dropout ---- */

/* Keys of a call with R rows: the last block's rows are fewer, or the same. */
static const uint64_t *
keys_of(const struct sea_lora *lora, int64_t R)
{
    if (lora->desc.dropout <= 0 || !lora->rows.count)
        return NULL;
    return R == lora->rows.count ? lora->rows.keys : lora->live.keys;
}

/* One row times its mask: four columns per draw. */
static void
drop_row(const struct sea_lora *lora, uint64_t stream, uint64_t key, float *row, int64_t n)
{
    float keep = (float)(1.0 / (1.0 - lora->desc.dropout));
    uint32_t limit = (uint32_t)(lora->desc.dropout * 4294967296.0), words[4];
    uint64_t mixed = lora->desc.seed ^ stream;
    const uint32_t philox_key[2] = { (uint32_t)mixed, (uint32_t)(mixed >> 32) };

    for (int64_t i = 0; i < n; i += 4) {
        const uint32_t counter[4] = { (uint32_t)i, (uint32_t)key, (uint32_t)(key >> 32),
                                      (uint32_t)lora->step };

        sea_philox(philox_key, counter, words);
        for (int64_t k = 0; k < 4 && i + k < n; k++)
            row[i + k] *= words[k] < limit ? 0.0f : keep;
    }
}

/* to = from with masks; both (R, in) on the device, and may be the same. */
static enum sea_status
drop_rows(struct sea_lora *lora, const struct sea_lora_pair *site, const uint64_t *keys,
          const float *from, float *to, int64_t R, int64_t in, struct sea_err *err)
{
    const struct sea_device *device = lora->params.device;
    uint64_t stream = sea_rng_stream("lora dropout", (uint64_t)site->a, 0);
    size_t bytes = (size_t)(R * in) * sizeof(float);
    enum sea_status status = sea_device_get(device, lora->host, from, bytes, err);

    for (int64_t r = 0; r < R && !status; r++)
        drop_row(lora, stream, keys[r], lora->host + r * in, in);
    return status ? status : sea_device_put(device, to, lora->host, bytes, err);
}

/* ---- the products ---- */

struct site {                   /* one call: the layers of one product */
    struct sea_lora *lora;
    const struct sea_lora_pair *pairs;
    int64_t count, weight, in, out;
    const uint64_t *keys;       /* of all rows of the call; NULL: nothing is dropped */
};

/* The layers whose weights lie within weight .. weight + in * out; pairs are in order. */
static struct site
find_site(struct sea_lora *lora, int64_t weight, int64_t R, int64_t in, int64_t out)
{
    struct site site = { .lora = lora, .weight = weight, .in = in, .out = out };
    int64_t low = 0, high = lora->count;

    while (low < high) {
        int64_t mid = low + (high - low) / 2;

        if (lora->pairs[mid].base->offset < weight)
            low = mid + 1;
        else
            high = mid;
    }
    site.pairs = &lora->pairs[low];
    while (low + site.count < lora->count &&
           site.pairs[site.count].base->offset < weight + in * out)
        site.count++;
    site.keys = keys_of(lora, R);
    return site;
}

static const float *
matrix(const struct sea_lora *lora, int64_t offset)
{
    return sea_params_vector(&lora->params, offset);
}

static float
scale_of(const struct sea_lora *lora)
{
    return (float)(lora->desc.alpha / (double)lora->desc.rank);
}

/* h (R, count * rank) = x A^T of all layers of the site. */
static enum sea_status
project(const struct site *site, const float *x, int64_t R, struct sea_err *err)
{
    struct sea_lora *lora = site->lora;
    int64_t wide = site->count * lora->desc.rank;
    const struct sea_op_gemm gemm = {
        .a = x, .lda = site->in, .b = matrix(lora, site->pairs->a), .ldb = site->in,
        .trans_b = 1, .c = lora->h, .ldc = wide, .M = R, .N = wide, .K = site->in,
        .alpha = 1.0f,
    };

    return sea_run(lora->params.device, err, gemm, &gemm);
}

/* Where a layer's outputs stand in a row of the site's. */
static int64_t
column_of(const struct site *site, int64_t i)
{
    return (site->pairs[i].base->offset - site->weight) / site->in;
}

static enum sea_status
forward_rows(const struct site *site, const uint64_t *keys, const float *x, float *y,
             int64_t R, struct sea_err *err)
{
    struct sea_lora *lora = site->lora;
    int64_t rank = lora->desc.rank;
    enum sea_status status = SEA_OK;

    if (keys) {
        status = drop_rows(lora, site->pairs, keys, x, lora->dropped, R, site->in, err);
        x = lora->dropped;
    }
    if (!status)
        status = project(site, x, R, err);
    for (int64_t i = 0; i < site->count && !status; i++) {
        const struct sea_op_gemm gemm = {
            .a = lora->h + i * rank, .lda = site->count * rank,
            .b = matrix(lora, site->pairs[i].b), .ldb = rank, .trans_b = 1,
            .c = y + column_of(site, i), .ldc = site->out,
            .M = R, .N = site->pairs[i].base->rows, .K = rank, .accumulate = 1,
            .alpha = scale_of(lora),
        };

        status = sea_run(lora->params.device, err, gemm, &gemm);
    }
    return status;
}

enum sea_status
sea_lora_forward(struct sea_lora *lora, int64_t weight, const float *x, float *y, int64_t R,
                 int64_t in, int64_t out, struct sea_err *err)
{
    const struct site site = find_site(lora, weight, R, in, out);
    enum sea_status status = SEA_OK;
    int64_t n;

    for (int64_t r = 0; r < R && site.count && !status; r += n) {
        n = R - r < SEA_LORA_ROWS ? R - r : SEA_LORA_ROWS;
        status = forward_rows(&site, site.keys ? site.keys + r : NULL, x + r * in, y + r * out,
                              n, err);
    }
    return status;
}

/* dB and dh of one layer. */
static enum sea_status
backward_b(const struct site *site, int64_t i, const float *dy, int64_t R, struct sea_err *err)
{
    struct sea_lora *lora = site->lora;
    const struct sea_device *device = lora->params.device;
    int64_t rank = lora->desc.rank, wide = site->count * rank;
    int64_t rows = site->pairs[i].base->rows;
    float *grad = lora->params.grad;
    enum sea_status status = SEA_OK;
    const struct sea_op_gemm db = {
        .a = dy + column_of(site, i), .lda = site->out, .trans_a = 1,
        .b = lora->h + i * rank, .ldb = wide,
        .c = grad ? grad + site->pairs[i].b : NULL, .ldc = rank,
        .M = rows, .N = rank, .K = R, .accumulate = 1, .alpha = scale_of(lora),
    };
    const struct sea_op_gemm dh = {
        .a = dy + column_of(site, i), .lda = site->out,
        .b = matrix(lora, site->pairs[i].b), .ldb = rank,
        .c = lora->dh + i * rank, .ldc = wide, .M = R, .N = rank, .K = rows,
        .alpha = scale_of(lora),
    };

    if (grad)
        status = sea_run(device, err, gemm, &db);
    return status ? status : sea_run(device, err, gemm, &dh);
}

static enum sea_status
backward_rows(const struct site *site, const uint64_t *keys, const float *x, const float *dy,
              float *dx, int64_t R, struct sea_err *err)
{
    struct sea_lora *lora = site->lora;
    const struct sea_device *device = lora->params.device;
    int64_t wide = site->count * lora->desc.rank, in = site->in;
    float *grad = lora->params.grad;
    enum sea_status status = SEA_OK;
    struct sea_op_gemm da = {
        .a = lora->dh, .lda = wide, .trans_a = 1, .b = x, .ldb = in,
        .c = grad ? grad + site->pairs->a : NULL, .ldc = in, .M = wide, .N = in, .K = R,
        .accumulate = 1, .alpha = 1.0f,
    };
    const struct sea_op_gemm back = {
        .a = lora->dh, .lda = wide, .b = matrix(lora, site->pairs->a), .ldb = in,
        .c = keys ? lora->dx : dx, .ldc = in, .M = R, .N = in, .K = wide,
        .accumulate = !keys, .alpha = 1.0f,
    };
    const struct sea_op_axpby add = {
        .x = lora->dx, .y = dx, .out = dx, .n = R * in, .a = 1.0f, .b = 1.0f,
    };

    if (keys) {
        status = drop_rows(lora, site->pairs, keys, x, lora->dropped, R, in, err);
        x = da.b = lora->dropped;
    }
    if (!status && grad)
        status = project(site, x, R, err);
    for (int64_t i = 0; i < site->count && !status; i++)
        status = backward_b(site, i, dy, R, err);
    if (!status && grad)
        status = sea_run(device, err, gemm, &da);
    if (!status)
        status = sea_run(device, err, gemm, &back);
    if (!status && keys)
        status = drop_rows(lora, site->pairs, keys, lora->dx, lora->dx, R, in, err);
    if (!status && keys)
        status = sea_run(device, err, axpby, &add);
    return status;
}

enum sea_status
sea_lora_backward(struct sea_lora *lora, int64_t weight, const float *x, const float *dy,
                  float *dx, int64_t R, int64_t in, int64_t out, struct sea_err *err)
{
    const struct site site = find_site(lora, weight, R, in, out);
    enum sea_status status = SEA_OK;
    int64_t n;

    for (int64_t r = 0; r < R && site.count && !status; r += n) {
        n = R - r < SEA_LORA_ROWS ? R - r : SEA_LORA_ROWS;
        status = backward_rows(&site, site.keys ? site.keys + r : NULL, x + r * in,
                               dy + r * out, dx + r * in, n, err);
    }
    return status;
}

/* ---- merging ---- */

/* One layer, through float32 memory of its own where the weights are bfloat16. */
static enum sea_status
merge_pair(struct sea_lora *lora, const struct sea_lora_pair *pair, float *device_sum,
           float *host, struct sea_err *err)
{
    const struct sea_device *device = lora->params.device;
    struct sea_params *base = lora->stack->params;
    const struct sea_param *param = pair->base;
    size_t bytes = (size_t)param->count * sizeof(float);
    enum sea_status status;
    const struct sea_op_gemm gemm = {
        .a = matrix(lora, pair->b), .lda = lora->desc.rank,
        .b = matrix(lora, pair->a), .ldb = param->cols,
        .c = device_sum, .ldc = param->cols, .M = param->rows, .N = param->cols,
        .K = lora->desc.rank, .accumulate = 1, .alpha = scale_of(lora),
    };

    status = sea_params_get(base, param, 0, param->count, host, err);
    if (!status)
        status = sea_device_put(device, device_sum, host, bytes, err);
    if (!status)
        status = sea_run(device, err, gemm, &gemm);
    if (!status)
        status = sea_device_get(device, host, device_sum, bytes, err);
    if (!status)
        status = sea_params_put(base, param, 0, param->count, host, err);
    return status;
}

enum sea_status
sea_lora_pass(struct sea_lora *lora, int64_t layer,
              enum sea_status (*pass)(const struct sea_params *, int64_t, struct sea_err *),
              struct sea_err *err)
{
    const struct sea_stack *stack = lora->stack;
    int64_t from = stack->blocks[layer].qkv, end = INT64_MAX;
    enum sea_status status = SEA_OK;

    /* q, k, v are the first matrices of a block. */
    if (layer + 1 < stack->desc.layers)
        end = stack->blocks[layer + 1].qkv;
    for (int64_t i = 0; i < lora->count && lora->params.shard && !status; i++) {
        const struct sea_lora_pair *pair = &lora->pairs[i];

        if (pair->base->offset < from || pair->base->offset >= end)
            continue;
        status = pass(&lora->params, pair->a, err);
        if (!status)
            status = pass(&lora->params, pair->b, err);
    }
    return status;
}

enum sea_status
sea_lora_merge(struct sea_lora *lora, struct sea_err *err)
{
    const struct sea_device *device = lora->params.device;
    enum sea_status status;
    int64_t most = 1, i;
    float *host;
    void *mem;

    for (i = 0; i < lora->count; i++)
        most = lora->pairs[i].base->count > most ? lora->pairs[i].base->count : most;
    status = sea_device_alloc(device, (size_t)most * sizeof(float), &mem, err);
    if (status)
        return status;
    host = sea_xcalloc((size_t)most, sizeof(*host));
    for (i = 0; i < lora->count && !status; i++)
        status = merge_pair(lora, &lora->pairs[i], mem, host, err);
    free(host);
    sea_device_free(device, mem);
    return status;
}
