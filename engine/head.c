/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_head.h"

#include <assert.h>
#include <string.h>

/* Logits that still lie in a cache when the loss reads them; a whole number of GEMM tiles. But a
 * chunk reads the whole matrix and adds to all of its gradient, which with a large vocabulary
 * costs as much as 100 rows: chunks are not shorter than some of that. On a card they are as long
 * as 1 GiB of logits lets them be. */
#define CHUNK_FLOATS (1 << 20)
#define CHUNK_FLOATS_CARD (1 << 28)
#define CHUNK_STEP 64
#define CHUNK_LEAST 256

struct places {
    size_t logits, loss, sum, index, value;
};

static int64_t
chunk_rows(int64_t rows, int64_t V, bool is_card)
{
    int64_t most = is_card ? CHUNK_FLOATS_CARD : CHUNK_FLOATS;
    int64_t chunk = most / V / CHUNK_STEP * CHUNK_STEP;

    if (chunk < CHUNK_LEAST)
        chunk = CHUNK_LEAST;
    return chunk < rows ? chunk : rows;
}

static void
plan_head(struct sea_plan *plan, struct places *at, int64_t rows, int64_t chunk, int64_t V)
{
    sea_plan_init(plan);
    at->logits = sea_plan_add(plan, (size_t)chunk * (size_t)V, sizeof(float));
    at->loss = sea_plan_add(plan, (size_t)rows, sizeof(float));
    at->sum = sea_plan_add(plan, 1, sizeof(double));
    at->index = sea_plan_add(plan, (size_t)chunk * SEA_HEAD_BEST, sizeof(int32_t));
    at->value = sea_plan_add(plan, (size_t)chunk * SEA_HEAD_BEST, sizeof(float));
}

size_t
sea_head_bytes(int64_t rows, int64_t D, int64_t V)
{
    struct sea_plan plan;
    struct places at;

    (void)D;
    plan_head(&plan, &at, rows, chunk_rows(rows, V, false), V);
    return plan.bytes;
}

enum sea_status
sea_head_init(struct sea_head *head, const struct sea_device *device, int64_t rows, int64_t D,
              int64_t V, struct sea_err *err)
{
    int64_t chunk = chunk_rows(rows, V, strcmp(device->ops->name, "cpu") != 0);
    struct places at;

    assert(rows > 0 && D > 0 && V > 0);
    memset(head, 0, sizeof(*head));
    plan_head(&head->plan, &at, rows, chunk, V);
    if (sea_plan_reserve(&head->plan, device, err)) {
        sea_context(err, "while reserving logits of %lld words", (long long)V);
        return err->status;
    }
    head->device = device;
    head->D = D;
    head->V = V;
    head->rows = rows;
    head->chunk = chunk;
    head->logits = sea_plan_at(&head->plan, at.logits);
    head->loss = sea_plan_at(&head->plan, at.loss);
    head->sum = sea_plan_at(&head->plan, at.sum);
    head->index = sea_plan_at(&head->plan, at.index);
    head->value = sea_plan_at(&head->plan, at.value);
    return SEA_OK;
}

void
sea_head_release(struct sea_head *head)
{
    sea_plan_release(&head->plan);
    memset(head, 0, sizeof(*head));
}

/* head->logits (R, V) = hidden matrix^T. few: rows of answers, one each, not of a batch. */
static enum sea_status
project(struct sea_head *head, const float *hidden, const struct sea_head_words *words,
        int64_t R, bool rounded, bool few, struct sea_err *err)
{
    const struct sea_op_gemm gemm = {
        .a = hidden, .lda = head->D, .b = words->matrix.data, .b_type = words->matrix.type,
        .ldb = head->D, .trans_b = 1, .c = head->logits, .ldc = head->V, .bias = words->bias,
        .M = R, .N = head->V, .K = head->D, .alpha = 1.0f, .rounded = rounded, .few = few,
    };

    return sea_run(head->device, err, gemm, &gemm);
}

/* The soft cap of head->logits where nobody wants a gradient: the loss has its own. */
static enum sea_status
cap_logits(struct sea_head *head, const struct sea_head_words *words, int64_t R,
           struct sea_err *err)
{
    const struct sea_op_softcap cap = {
        .x = head->logits, .R = R, .C = head->V, .ld = head->V, .cap = words->softcap,
    };

    return words->softcap > 0 ? sea_run(head->device, err, softcap, &cap) : SEA_OK;
}

static enum sea_status
chunk_loss(struct sea_head *head, const struct sea_head_rows *rows, int64_t from, int64_t R,
           struct sea_err *err)
{
    const float *hidden = rows->hidden + from * head->D;
    enum sea_status status;
    const struct sea_op_xent xent = {
        .logits = head->logits, .target = rows->target + from, .weight = rows->weight + from,
        .loss = head->loss + from, .R = R, .V = head->V, .ld = head->V,
        .grad = rows->dhidden || rows->dmatrix, .softcap = rows->words.softcap,
    };
    const struct sea_op_gemm dhidden = {
        .a = head->logits, .lda = head->V, .b = rows->words.matrix.data,
        .b_type = rows->words.matrix.type, .ldb = head->D,
        .c = rows->dhidden ? rows->dhidden + from * head->D : NULL, .ldc = head->D,
        .M = R, .N = head->D, .K = head->V, .alpha = 1.0f, .rounded = rows->rounded,
    };
    const struct sea_op_gemm dmatrix = {
        .a = head->logits, .lda = head->V, .trans_a = 1, .b = hidden, .ldb = head->D,
        .c = rows->dmatrix, .ldc = head->D, .M = head->V, .N = head->D, .K = R,
        .accumulate = 1, .alpha = 1.0f, .rounded = rows->rounded,
    };

    const struct sea_op_colsum dbias = {
        .x = head->logits, .out = rows->dbias, .R = R, .C = head->V, .ld = head->V,
        .accumulate = 1,
    };

    status = project(head, hidden, &rows->words, R, rows->rounded, false, err);
    if (!status)
        status = sea_run(head->device, err, xent, &xent);
    if (!status && rows->dhidden)
        status = sea_run(head->device, err, gemm, &dhidden);
    if (!status && rows->dmatrix)
        status = sea_run(head->device, err, gemm, &dmatrix);
    if (!status && rows->dbias)
        status = sea_run(head->device, err, colsum, &dbias);
    return status;
}

static int64_t
chunk_at(const struct sea_head *head, int64_t from, int64_t R)
{
    return R - from < head->chunk ? R - from : head->chunk;
}

enum sea_status
sea_head_loss(struct sea_head *head, const struct sea_head_rows *rows, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    const struct sea_op_sum sum = { .x = head->loss, .out = head->sum, .n = rows->R };

    assert(rows->R <= head->rows);
    if (!rows->R)
        return sea_device_zero(head->device, head->sum, sizeof(*head->sum), err);
    for (int64_t r = 0; r < rows->R && !status; r += head->chunk)
        status = chunk_loss(head, rows, r, chunk_at(head, r, rows->R), err);
    if (!status)
        status = sea_run(head->device, err, sum, &sum);
    return status;
}

enum sea_status
sea_head_read(struct sea_head *head, double *sum, struct sea_err *err)
{
    *sum = 0.0;
    return sea_device_get(head->device, sum, head->sum, sizeof(*sum), err);
}

enum sea_status
sea_head_logits(struct sea_head *head, const float *hidden, const struct sea_head_words *words,
                int64_t R, float *out_host, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    int64_t rows;

    for (int64_t r = 0; r < R && !status; r += head->chunk) {
        rows = chunk_at(head, r, R);
        status = project(head, hidden + r * head->D, words, rows, false, true, err);
        if (!status)
            status = cap_logits(head, words, rows, err);
        if (!status)
            status = sea_device_get(head->device, out_host + r * head->V, head->logits,
                                    (size_t)(rows * head->V) * sizeof(float), err);
    }
    return status;
}

enum sea_status
sea_head_best(struct sea_head *head, const float *hidden, const struct sea_head_words *words,
              int64_t R, int64_t k, int32_t *index, float *value, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct sea_op_topk topk = {
        .x = head->logits, .index = head->index, .value = head->value, .C = head->V, .k = k,
        .ld = head->V,
    };
    size_t cells;

    assert(k > 0 && k <= SEA_HEAD_BEST);
    for (int64_t r = 0; r < R && !status; r += head->chunk) {
        topk.R = chunk_at(head, r, R);
        cells = (size_t)(topk.R * k);
        status = project(head, hidden + r * head->D, words, topk.R, false, true, err);
        if (!status)
            status = cap_logits(head, words, topk.R, err);
        if (!status)
            status = sea_run(head->device, err, topk, &topk);
        if (!status)
            status = sea_device_get(head->device, index + r * k, head->index,
                                    cells * sizeof(*index), err);
        if (!status && value)
            status = sea_device_get(head->device, value + r * k, head->value,
                                    cells * sizeof(*value), err);
    }
    return status;
}
