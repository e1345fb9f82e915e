/* SPDX-License-Identifier: Apache-2.0 */
/* align.c - the word table, SEA's loss over chosen pairs, and the read-out */
#include "engine/sea_align.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

/* Below every length that occurs, so that it only guards against 0. */
#define NORM_EPS 1e-12f
#define READ_ROWS 256           /* rows of the read-out at a time */
#define READ_WORDS 4096         /* words at a time */
#define NEAREST 64

struct sea_align {
    const struct sea_words *words;
    struct sea_align_desc desc;
    struct sea_plan plan;
    struct sea_params params;   /* theta */
    struct sea_arena *arena;
    float *left, *right;        // (pairs, D) unit tokens and unit words
    float *dleft;               // (pairs, D)
    float *rnorm;               // (pairs)
    float *cos;                 // (pairs, pairs)
    float *scratch;             // (4 pairs)
    float *loss;                // (1)
    float *dtheta;              // (1) of a joint loss, until it is added
    int32_t *index;             // (3, pairs) device: rows, words, 0..pairs-1
    int32_t *index_host;        // (2, pairs)
};

/* ---- the words ---- */

/* Means in double, then unit length: the frozen side needs neither its norms nor its scale. */
static enum sea_status
mean_rows(float *out, const float *embeddings, const struct sea_lm *lm, const int32_t *ids,
          const int64_t *start, int64_t count, struct sea_err *err)
{
    int64_t D = lm->desc.D;
    double *sum = sea_xcalloc((size_t)D, sizeof(*sum));
    enum sea_status status = SEA_OK;
    double square, scale;

    for (int64_t w = 0; w < count && !status; w++) {
        if (start[w + 1] <= start[w])
            status = sea_fail(err, SEA_E_FORMAT, "word %lld of the list has no sub-tokens in "
                              "the language model's tokenizer", (long long)w);
        memset(sum, 0, (size_t)D * sizeof(*sum));
        for (int64_t i = start[w]; i < start[w + 1] && !status; i++) {
            if (ids[i] < 0 || ids[i] >= lm->desc.vocab)
                status = sea_fail(err, SEA_E_FORMAT, "word %lld of the list has sub-token %d, "
                                  "the model has 0 to %lld", (long long)w, ids[i],
                                  (long long)lm->desc.vocab - 1);
            for (int64_t d = 0; d < D && !status; d++)
                sum[d] += (double)embeddings[ids[i] * D + d];
        }
        square = 0.0;
        for (int64_t d = 0; d < D; d++)
            square += sum[d] * sum[d];
        scale = square > 0.0 ? 1.0 / sqrt(square) : 0.0;
        for (int64_t d = 0; d < D; d++)
            out[w * D + d] = (float)(sum[d] * scale);
    }
    free(sum);
    return status;
}

enum sea_status
sea_words_create(struct sea_words *words, const struct sea_lm *lm, const int32_t *ids,
                 const int64_t *start, int64_t count, struct sea_err *err)
{
    size_t cells = (size_t)count * (size_t)lm->desc.D;
    size_t table = (size_t)(lm->desc.vocab * lm->desc.D) * sizeof(float), at;
    float *embeddings = NULL, *host = NULL;
    enum sea_status status;

    memset(words, 0, sizeof(*words));
    if (count < 1)
        return sea_fail(err, SEA_E_FORMAT, "the word list holds no words, need 1 or more");
    words->device = lm->device;
    words->count = count;
    words->D = lm->desc.D;
    sea_plan_init(&words->plan);
    at = sea_plan_add(&words->plan, cells, sizeof(float));
    status = sea_plan_reserve(&words->plan, lm->device, err);
    if (!status) {
        words->unit = sea_plan_at(&words->plan, at);
        embeddings = sea_xcalloc(table / sizeof(float), sizeof(float));
        host = sea_xcalloc(cells, sizeof(float));
        status = sea_params_get(&lm->params, sea_params_at(&lm->params, lm->embed), 0,
                                lm->desc.vocab * lm->desc.D, embeddings, err);
    }
    if (!status)
        status = mean_rows(host, embeddings, lm, ids, start, count, err);
    if (!status)
        status = sea_device_put(lm->device, words->unit, host, cells * sizeof(float), err);
    free(embeddings);
    free(host);
    if (status) {
        sea_context(err, "while making the table of %lld words", (long long)count);
        sea_words_release(words);
    }
    return status;
}

void
sea_words_release(struct sea_words *words)
{
    sea_plan_release(&words->plan);
    memset(words, 0, sizeof(*words));
}

/* ---- the loss ---- */

static enum sea_status
reserve(struct sea_align *align, struct sea_err *err)
{
    size_t pairs = (size_t)align->desc.pairs, D = (size_t)align->words->D, at[9];
    struct sea_plan *plan = &align->plan;
    int32_t *host;
    enum sea_status status;

    sea_plan_init(plan);
    at[0] = sea_plan_add(plan, pairs * D, sizeof(float));
    at[1] = sea_plan_add(plan, pairs * D, sizeof(float));
    at[2] = sea_plan_add(plan, pairs * D, sizeof(float));
    at[3] = sea_plan_add(plan, pairs, sizeof(float));
    at[4] = sea_plan_add(plan, pairs * pairs, sizeof(float));
    at[5] = sea_plan_add(plan, 4 * pairs, sizeof(float));
    at[6] = sea_plan_add(plan, 1, sizeof(float));
    at[7] = sea_plan_add(plan, 3 * pairs, sizeof(int32_t));
    at[8] = sea_plan_add(plan, 1, sizeof(float));
    if (sea_plan_reserve(plan, align->words->device, err))
        return err->status;
    align->left = sea_plan_at(plan, at[0]);
    align->right = sea_plan_at(plan, at[1]);
    align->dleft = sea_plan_at(plan, at[2]);
    align->rnorm = sea_plan_at(plan, at[3]);
    align->cos = sea_plan_at(plan, at[4]);
    align->scratch = sea_plan_at(plan, at[5]);
    align->loss = sea_plan_at(plan, at[6]);
    align->index = sea_plan_at(plan, at[7]);
    align->dtheta = sea_plan_at(plan, at[8]);
    align->index_host = sea_xcalloc(2 * pairs, sizeof(int32_t));
    host = sea_xcalloc(pairs, sizeof(int32_t));
    for (size_t i = 0; i < pairs; i++)
        host[i] = (int32_t)i;
    status = sea_device_put(align->words->device, align->index + 2 * pairs, host,
                            pairs * sizeof(int32_t), err);
    free(host);
    return status;
}

enum sea_status
sea_align_create(struct sea_align **out, const struct sea_words *words,
                 const struct sea_align_desc *desc, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "alignment loss");
    struct sea_align *align = sea_arena_alloc(arena, 1, sizeof(*align));
    const int64_t one = 1;

    *out = NULL;
    assert(desc->pairs > 0);
    align->arena = arena;
    align->words = words;
    align->desc = *desc;
    sea_params_init(&align->params, arena);
    sea_params_add(&align->params, "theta", 1, &one, SEA_INIT_ZERO, 0.0f);
    if (reserve(align, err) ||
        sea_params_reserve(&align->params, words->device, desc->learn, err) ||
        sea_device_put(words->device, align->params.data, &desc->theta, sizeof(float), err)) {
        sea_context(err, "while reserving the alignment loss of %lld pairs",
                    (long long)desc->pairs);
        sea_align_destroy(align);
        return err->status;
    }
    *out = align;
    return SEA_OK;
}

void
sea_align_destroy(struct sea_align *align)
{
    if (!align)
        return;
    sea_plan_release(&align->plan);
    sea_params_release(&align->params);
    free(align->index_host);
    sea_arena_destroy(align->arena);
}

struct sea_params *
sea_align_params(struct sea_align *align)
{
    return &align->params;
}

static enum sea_status
put_pairs(struct sea_align *align, const struct sea_pair *pairs, int64_t count,
          struct sea_err *err)
{
    const struct sea_device *device = align->words->device;
    int64_t room = align->desc.pairs;
    size_t bytes = (size_t)count * sizeof(int32_t);
    enum sea_status status;

    if (count > room)
        return sea_fail(err, SEA_E_INTERNAL, "%lld pairs do not fit, there is room for %lld",
                        (long long)count, (long long)room);
    for (int64_t i = 0; i < count; i++) {
        if (pairs[i].word < 0 || pairs[i].word >= align->words->count || pairs[i].row < 0 ||
            (i && pairs[i].row <= pairs[i - 1].row))
            return sea_fail(err, SEA_E_INTERNAL, "pair %lld (row %d, word %d) is out of order "
                            "or outside the %lld words", (long long)i, pairs[i].row,
                            pairs[i].word, (long long)align->words->count);
        align->index_host[i] = pairs[i].row;
        align->index_host[room + i] = pairs[i].word;
    }
    status = sea_device_put(device, align->index, align->index_host, bytes, err);
    if (!status)
        status = sea_device_put(device, align->index + room, align->index_host + room, bytes,
                                err);
    return status;
}

/* The index holds the rows of pairs, counted from a row of their own. */
static enum sea_status
put_rows(struct sea_align *align, const struct sea_pair *pairs, int64_t count, int64_t base,
         struct sea_err *err)
{
    if (count > align->desc.pairs)
        return sea_fail(err, SEA_E_INTERNAL, "%lld pairs do not fit, there is room for %lld",
                        (long long)count, (long long)align->desc.pairs);
    for (int64_t i = 0; i < count; i++)
        align->index_host[i] = (int32_t)(pairs[i].row - base);
    return sea_device_put(align->words->device, align->index, align->index_host,
                          (size_t)count * sizeof(int32_t), err);
}

/* left, right: unit rows of the pairs; cos: their cosines. x NULL: left holds the rows. */
static enum sea_status
pair_cosines(struct sea_align *align, const float *x, int64_t count, struct sea_err *err)
{
    const struct sea_device *device = align->words->device;
    int64_t D = align->words->D;
    enum sea_status status;
    const struct sea_op_gather tokens = {
        .inp = x, .idx = align->index, .out = align->left, .R = count, .C = D, .ld_inp = D,
        .ld_out = D,
    };
    const struct sea_op_gather words = {
        .inp = align->words->unit, .idx = align->index + align->desc.pairs,
        .out = align->right, .R = count, .C = D, .ld_inp = D, .ld_out = D,
    };
    const struct sea_op_l2norm unit = {
        .inp = align->left, .out = align->left, .rnorm = align->rnorm, .R = count, .C = D,
        .eps = NORM_EPS,
    };
    const struct sea_op_gemm gemm = {
        .a = align->left, .lda = D, .b = align->right, .ldb = D, .trans_b = 1,
        .c = align->cos, .ldc = count, .M = count, .N = count, .K = D, .alpha = 1.0f,
    };

    status = x ? sea_run(device, err, gather, &tokens) : SEA_OK;
    if (!status)
        status = sea_run(device, err, gather, &words);
    if (!status)
        status = sea_run(device, err, l2norm, &unit);
    if (!status)
        status = sea_run(device, err, gemm, &gemm);
    return status;
}

/* From the gradient of the cosines to that of the pairs' rows, dleft. */
static enum sea_status
pairs_bwd(struct sea_align *align, int64_t count, struct sea_err *err)
{
    const struct sea_device *device = align->words->device;
    int64_t D = align->words->D;
    enum sea_status status;
    const struct sea_op_gemm gemm = {
        .a = align->cos, .lda = count, .b = align->right, .ldb = D, .c = align->dleft,
        .ldc = D, .M = count, .N = D, .K = count, .alpha = 1.0f,
    };
    const struct sea_op_l2norm_bwd unit = {
        .out = align->left, .dout = align->dleft, .rnorm = align->rnorm,
        .dinp = align->dleft, .R = count, .C = D,
    };

    status = sea_run(device, err, gemm, &gemm);
    return status ? status : sea_run(device, err, l2norm_bwd, &unit);
}

/* Adds count rows of dleft, from pair `first` on, to the rows of dx that the index names. */
static enum sea_status
scatter_rows(struct sea_align *align, int64_t first, int64_t count, float *dx,
             struct sea_err *err)
{
    int64_t D = align->words->D;
    const struct sea_op_scatter scatter = {
        .inp = align->dleft + first * D, .idx = align->index,
        .order = align->index + 2 * align->desc.pairs, .out = dx, .R = count, .C = D,
        .ld_inp = D, .ld_out = D, .add = 1,
    };

    return sea_run(align->words->device, err, scatter, &scatter);
}

enum sea_status
sea_align_add(struct sea_align *align, const struct sea_pair *pairs, int64_t count,
              const float *x, float *dx, float weight, struct sea_err *err)
{
    const struct sea_device *device = align->words->device;
    enum sea_status status;
    const struct sea_op_contrast contrast = {
        .cos = align->cos, .theta = align->params.data, .loss = align->loss,
        .dtheta = dx ? align->params.grad : NULL, .scratch = align->scratch, .R = count,
        .weight = weight, .max_scale = align->desc.max_scale,
    };

    if (count < 2)
        return sea_device_zero(device, align->loss, sizeof(float), err);
    status = put_pairs(align, pairs, count, err);
    if (!status)
        status = pair_cosines(align, x, count, err);
    if (!status)
        status = sea_run(device, err, contrast, &contrast);
    if (!status && dx)
        status = pairs_bwd(align, count, err);
    if (!status && dx)
        status = scatter_rows(align, 0, count, dx, err);
    return status;
}

/* ---- the loss over several batches ---- */

enum sea_status
sea_align_rows(struct sea_align *align, const struct sea_pair *pairs, int64_t count,
               int64_t base, const float *x, float *rows, struct sea_err *err)
{
    const struct sea_device *device = align->words->device;
    int64_t D = align->words->D;
    const struct sea_op_gather gather = {
        .inp = x, .idx = align->index, .out = align->left, .R = count, .C = D, .ld_inp = D,
        .ld_out = D,
    };
    enum sea_status status = put_rows(align, pairs, count, base, err);

    if (!status)
        status = sea_run(device, err, gather, &gather);
    if (!status)
        status = sea_device_get(device, rows, align->left, (size_t)(count * D) * sizeof(float),
                                err);
    return status;
}

enum sea_status
sea_align_joint(struct sea_align *align, const struct sea_pair *pairs, int64_t count,
                const float *rows, bool gradient, float weight, struct sea_err *err)
{
    const struct sea_device *device = align->words->device;
    size_t bytes = (size_t)(count * align->words->D) * sizeof(float);
    enum sea_status status;
    const struct sea_op_contrast contrast = {
        .cos = align->cos, .theta = align->params.data, .loss = align->loss,
        .dtheta = gradient ? align->dtheta : NULL, .scratch = align->scratch, .R = count,
        .weight = weight, .max_scale = align->desc.max_scale,
    };

    status = sea_device_zero(device, align->dtheta, sizeof(float), err);
    if (!status && count < 2) {
        status = sea_device_zero(device, align->dleft, bytes, err);
        return status ? status : sea_device_zero(device, align->loss, sizeof(float), err);
    }
    if (!status)
        status = put_pairs(align, pairs, count, err);
    if (!status)
        status = sea_device_put(device, align->left, rows, bytes, err);
    if (!status)
        status = pair_cosines(align, NULL, count, err);
    if (!status)
        status = sea_run(device, err, contrast, &contrast);
    if (!status && gradient)
        status = pairs_bwd(align, count, err);
    return status;
}

enum sea_status
sea_align_joint_rows(struct sea_align *align, const struct sea_pair *pairs, int64_t first,
                     int64_t count, int64_t base, float *dx, struct sea_err *err)
{
    enum sea_status status = put_rows(align, pairs + first, count, base, err);

    return status ? status : scatter_rows(align, first, count, dx, err);
}

enum sea_status
sea_align_joint_theta(struct sea_align *align, struct sea_err *err)
{
    const struct sea_op_axpby add = {
        .x = align->params.grad, .y = align->dtheta, .out = align->params.grad, .n = 1,
        .a = 1.0f, .b = 1.0f,
    };

    if (!align->params.grad)
        return SEA_OK;
    return sea_run(align->words->device, err, axpby, &add);
}

enum sea_status
sea_align_loss(struct sea_align *align, double *loss, double *scale, struct sea_err *err)
{
    const struct sea_device *device = align->words->device;
    float value = 0.0f, theta = 0.0f;
    enum sea_status status;

    status = sea_device_get(device, &value, align->loss, sizeof(value), err);
    if (!status)
        status = sea_device_get(device, &theta, align->params.data, sizeof(theta), err);
    *loss = (double)value;
    *scale = exp((double)theta);
    if (align->desc.max_scale > 0.0f && *scale > (double)align->desc.max_scale)
        *scale = (double)align->desc.max_scale;
    return status;
}

/* ---- the read-out ---- */

struct readout {
    struct sea_plan plan;
    float *rows, *cosine, *value;
    int32_t *index;
};

/* The best words of `rows` unit rows, over all words in pieces. */
static enum sea_status
nearest_rows(const struct sea_words *words, const struct readout *at, int64_t rows, int64_t k,
             struct sea_err *err)
{
    int64_t D = words->D;
    enum sea_status status = SEA_OK;
    struct sea_op_gemm gemm = {
        .a = at->rows, .lda = D, .ldb = D, .trans_b = 1, .c = at->cosine, .ldc = READ_WORDS,
        .M = rows, .K = D, .alpha = 1.0f,
    };
    struct sea_op_topk topk = {
        .x = at->cosine, .index = at->index, .value = at->value, .R = rows, .k = k,
        .ld = READ_WORDS,
    };

    for (int64_t w = 0; w < words->count && !status; w += READ_WORDS) {
        gemm.b = words->unit + w * D;
        gemm.N = topk.C = words->count - w < READ_WORDS ? words->count - w : READ_WORDS;
        topk.col_base = w;
        topk.merge = w > 0;
        status = sea_run(words->device, err, gemm, &gemm);
        if (!status)
            status = sea_run(words->device, err, topk, &topk);
    }
    return status;
}

enum sea_status
sea_words_nearest(const struct sea_words *words, const float *x, int64_t R, int64_t k,
                  int32_t *index, float *cosine, struct sea_err *err)
{
    const struct sea_device *device = words->device;
    int64_t D = words->D, rows;
    struct readout at;
    size_t places[4], cells;
    enum sea_status status;

    assert(k > 0 && k <= NEAREST);
    sea_plan_init(&at.plan);
    places[0] = sea_plan_add(&at.plan, READ_ROWS * (size_t)D, sizeof(float));
    places[1] = sea_plan_add(&at.plan, READ_ROWS * READ_WORDS, sizeof(float));
    places[2] = sea_plan_add(&at.plan, READ_ROWS * NEAREST, sizeof(float));
    places[3] = sea_plan_add(&at.plan, READ_ROWS * NEAREST, sizeof(int32_t));
    status = sea_plan_reserve(&at.plan, device, err);
    if (status)
        return status;
    at.rows = sea_plan_at(&at.plan, places[0]);
    at.cosine = sea_plan_at(&at.plan, places[1]);
    at.value = sea_plan_at(&at.plan, places[2]);
    at.index = sea_plan_at(&at.plan, places[3]);
    for (int64_t r = 0; r < R && !status; r += READ_ROWS) {
        rows = R - r < READ_ROWS ? R - r : READ_ROWS;
        cells = (size_t)(rows * k);
        const struct sea_op_l2norm unit = {
            .inp = x + r * D, .out = at.rows, .R = rows, .C = D, .eps = NORM_EPS,
        };

        status = sea_run(device, err, l2norm, &unit);
        if (!status)
            status = nearest_rows(words, &at, rows, k, err);
        if (!status)
            status = sea_device_get(device, index + r * k, at.index, cells * sizeof(*index),
                                    err);
        if (!status && cosine)
            status = sea_device_get(device, cosine + r * k, at.value,
                                    cells * sizeof(*cosine), err);
    }
    sea_plan_release(&at.plan);
    return status;
}
