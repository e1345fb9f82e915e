/* SPDX-License-Identifier: Apache-2.0 */
/* lm_step.c - forward, loss and backward of a packed batch */
#include "engine/lm_int.h"

#include <assert.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sea_shard.h"

/* Indices of one batch, prepared on the host and copied in one piece: (rows) each. */
struct indices {
    int32_t *ids, *pos;
    int32_t *live, *live_of, *target;   /* supervised rows, and the words they predict */
    int32_t *given;                     /* rows that come from outside */
    int32_t *order;                     /* rows by (id, row): for the embedding gradient */
};
#define INDICES 7

struct sea_lm_work {
    const struct sea_lm *lm;
    struct sea_plan plan;
    struct sea_stack_work *stack;
    struct sea_head head;
    int64_t rows_room;
    bool trained;
    float *x, *dx;              // (rows, D)
    float *hidden, *dhidden;    // (rows, D) after the final norm
    float *mean, *rstd;         // (rows) of the final norm
    float *weight;              // (rows), all equal to `weight_now`
    struct indices dev, host;
    int32_t *block_host;        /* the host indices in one piece */
    int32_t *starts;            // (rows + 1) copy of the batch's
    int32_t *buckets;           // (vocab + 1) counting sort
    struct sea_segments segments;
    int64_t supervised, given;  /* of the last forward */
    float weight_now;
    bool gradient;              /* the last forward prepared a backward */
    struct sea_head_rows late;  /* of the last forward; dmatrix NULL: nothing is left to do */
};

/* ---- pieces ---- */

/* Gemma: words are multiplied by sqrt(D); given rows are not. */
static enum sea_status
scale_words(const struct sea_lm *lm, float *x, int64_t R, struct sea_err *err)
{
    const struct sea_op_axpby scale = {
        .x = x, .out = x, .n = R * lm->desc.D, .a = sqrtf((float)lm->desc.D),
    };

    if (!(sea_lm_row(lm->desc.family)->options & SEA_LM_SCALED_WORDS))
        return SEA_OK;
    return sea_run(lm->device, err, axpby, &scale);
}

enum sea_status
sea_lm_embed(const struct sea_lm *lm, const int32_t *ids, int64_t R, float *x,
             struct sea_err *err)
{
    const struct sea_weight table = sea_lm_embeddings(lm);
    const struct sea_op_gather gather = {
        .inp = table.data, .inp_type = table.type, .idx = ids, .out = x, .R = R,
        .C = lm->desc.D, .ld_inp = lm->desc.D, .ld_out = lm->desc.D,
    };

    if (sea_run(lm->device, err, gather, &gather))
        return err->status;
    return scale_words(lm, x, R, err);
}

enum sea_status
sea_lm_give(const struct sea_lm *lm, const float *given, const int32_t *from, float *scratch,
            const int32_t *rows, int64_t n, float *x, struct sea_err *err)
{
    int64_t D = lm->desc.D;
    enum sea_status status = SEA_OK;
    const struct sea_op_gather gather = {
        .inp = given, .idx = from, .out = scratch, .R = n, .C = D, .ld_inp = D, .ld_out = D,
    };
    const struct sea_op_scatter scatter = {
        .inp = from ? scratch : given, .idx = rows, .out = x, .R = n, .C = D, .ld_inp = D,
        .ld_out = D,
    };

    if (from)
        status = sea_run(lm->device, err, gather, &gather);
    if (!status)
        status = sea_run(lm->device, err, scatter, &scatter);
    return status;
}

enum sea_status
sea_lm_norm(const struct sea_lm *lm, const float *x, float *y, float *mean, float *rstd,
            int64_t R, struct sea_err *err)
{
    return sea_stack_norm(&lm->stack, lm->norm, lm->norm_bias, x, y, mean, rstd, R, err);
}

/* ---- memory ---- */

static void
point_indices(struct indices *to, int32_t *block, int64_t rows)
{
    int32_t **const fields[INDICES] = { &to->ids, &to->pos, &to->live, &to->live_of,
                                        &to->target, &to->given, &to->order };

    for (int i = 0; i < INDICES; i++)
        *fields[i] = block + i * rows;
}

struct places {
    size_t x, dx, hidden, dhidden, mean, rstd, weight, indices;
};

static void
plan_work(struct sea_plan *plan, struct places *at, const struct sea_lm *lm,
          const struct sea_lm_limits *limits)
{
    size_t rows = (size_t)limits->rows, wide = rows * (size_t)lm->desc.D;

    sea_plan_init(plan);
    memset(at, 0, sizeof(*at));
    at->x = sea_plan_add(plan, wide, sizeof(float));
    at->hidden = sea_plan_add(plan, wide, sizeof(float));
    at->mean = sea_plan_add(plan, rows, sizeof(float));
    at->rstd = sea_plan_add(plan, rows, sizeof(float));
    at->weight = sea_plan_add(plan, rows, sizeof(float));
    at->indices = sea_plan_add(plan, INDICES * rows, sizeof(int32_t));
    if (limits->trained) {
        at->dx = sea_plan_add(plan, wide, sizeof(float));
        at->dhidden = sea_plan_add(plan, wide, sizeof(float));
    }
}

static enum sea_keep
keep_of(const struct sea_lm_limits *limits)
{
    if (!limits->trained)
        return SEA_KEEP_NONE;
    return limits->recompute ? SEA_KEEP_INPUTS : SEA_KEEP_ALL;
}

size_t
sea_lm_work_bytes(const struct sea_lm *lm, const struct sea_lm_limits *limits)
{
    size_t head = sea_head_bytes(limits->rows, lm->desc.D, lm->desc.vocab);
    size_t stack = sea_stack_work_bytes(&lm->stack, limits->rows, keep_of(limits));
    struct sea_plan plan;
    struct places at;
    size_t bytes;

    plan_work(&plan, &at, lm, limits);
    if (plan.bytes == SIZE_MAX || __builtin_add_overflow(plan.bytes, head, &bytes) ||
        __builtin_add_overflow(bytes, stack, &bytes))
        return SIZE_MAX;
    return bytes;
}

enum sea_status
sea_lm_work_create(struct sea_lm_work **out, const struct sea_lm *lm,
                   const struct sea_lm_limits *limits, struct sea_err *err)
{
    struct sea_lm_work *work = sea_xcalloc(1, sizeof(*work));
    size_t rows = (size_t)limits->rows;
    struct places at;

    *out = NULL;
    assert(limits->rows > 0);
    work->lm = lm;
    work->rows_room = limits->rows;
    work->trained = limits->trained;
    plan_work(&work->plan, &at, lm, limits);
    if (sea_plan_reserve(&work->plan, lm->device, err) ||
        sea_stack_work_create(&work->stack, &lm->stack, limits->rows, keep_of(limits), err) ||
        sea_head_init(&work->head, lm->device, limits->rows, lm->desc.D, lm->desc.vocab,
                      err)) {
        sea_lm_work_destroy(work);
        return err->status;
    }
    work->x = sea_plan_at(&work->plan, at.x);
    work->hidden = sea_plan_at(&work->plan, at.hidden);
    work->mean = sea_plan_at(&work->plan, at.mean);
    work->rstd = sea_plan_at(&work->plan, at.rstd);
    work->weight = sea_plan_at(&work->plan, at.weight);
    if (limits->trained) {
        work->dx = sea_plan_at(&work->plan, at.dx);
        work->dhidden = sea_plan_at(&work->plan, at.dhidden);
    }
    work->block_host = sea_xcalloc(INDICES * rows, sizeof(int32_t));
    point_indices(&work->host, work->block_host, limits->rows);
    point_indices(&work->dev, sea_plan_at(&work->plan, at.indices), limits->rows);
    work->starts = sea_xcalloc(rows + 1, sizeof(int32_t));
    work->buckets = sea_xcalloc((size_t)lm->desc.vocab + 1, sizeof(int32_t));
    *out = work;
    return SEA_OK;
}

void
sea_lm_work_destroy(struct sea_lm_work *work)
{
    if (!work)
        return;
    sea_head_release(&work->head);
    sea_stack_work_destroy(work->stack);
    sea_plan_release(&work->plan);
    free(work->block_host);
    free(work->starts);
    free(work->buckets);
    free(work);
}

/* ---- a batch's indices ---- */

int64_t
sea_lm_supervised(const struct sea_lm_batch *batch)
{
    int64_t count = 0;

    for (int64_t s = 0; s < batch->segments && batch->labels; s++)
        for (int32_t t = batch->start[s] + 1; t < batch->start[s + 1]; t++)
            count += batch->labels[t] != SEA_LM_IGNORE;
    return count;
}

static enum sea_status
check_batch(const struct sea_lm_work *work, const struct sea_lm_batch *batch,
            struct sea_err *err)
{
    const struct sea_lm_desc *desc = &work->lm->desc;
    int64_t length;

    if (batch->rows < 1 || batch->rows > work->rows_room || batch->segments < 1 ||
        batch->segments > batch->rows || batch->start[0] ||
        batch->start[batch->segments] != batch->rows)
        return sea_fail(err, SEA_E_INTERNAL, "a batch of %lld rows in %lld segments does not "
                        "fit the room of %lld rows", (long long)batch->rows,
                        (long long)batch->segments, (long long)work->rows_room);
    for (int64_t s = 0; s < batch->segments; s++) {
        length = batch->start[s + 1] - batch->start[s];
        if (length < 1 || length > desc->max_positions)
            return sea_fail(err, SEA_E_INTERNAL, "segment %lld of a batch has %lld rows, must "
                            "be 1 to %lld", (long long)s, (long long)length,
                            (long long)desc->max_positions);
    }
    for (int64_t t = 0; t < batch->rows; t++) {
        if (batch->ids[t] != SEA_LM_GIVEN &&
            (batch->ids[t] < 0 || batch->ids[t] >= desc->vocab))
            return sea_fail(err, SEA_E_INTERNAL, "row %lld of a batch is word %d, the model "
                            "has 0 to %lld", (long long)t, batch->ids[t],
                            (long long)desc->vocab - 1);
        if (batch->labels && batch->labels[t] != SEA_LM_IGNORE &&
            (batch->labels[t] < 0 || batch->labels[t] >= desc->vocab))
            return sea_fail(err, SEA_E_INTERNAL, "row %lld of a batch has label %d, the model "
                            "has 0 to %lld", (long long)t, batch->labels[t],
                            (long long)desc->vocab - 1);
    }
    return SEA_OK;
}

/* Rows sorted by (id, row), given rows first: a counting sort. */
static void
sort_rows(struct sea_lm_work *work, int64_t rows)
{
    const int32_t *ids = work->host.ids;
    int32_t *buckets = work->buckets, at = 0, n;

    memset(buckets, 0, ((size_t)work->lm->desc.vocab + 1) * sizeof(*buckets));
    for (int64_t t = 0; t < rows; t++)
        buckets[ids[t] < 0 ? 0 : ids[t] + 1]++;
    for (int64_t v = 0; v <= work->lm->desc.vocab; v++) {
        n = buckets[v];
        buckets[v] = at;
        at += n;
    }
    for (int32_t t = 0; t < (int32_t)rows; t++)
        work->host.order[buckets[ids[t] < 0 ? 0 : ids[t] + 1]++] = t;
}

static void
list_rows(struct sea_lm_work *work, const struct sea_lm_batch *batch)
{
    struct indices *to = &work->host;
    int32_t end;

    work->given = work->supervised = 0;
    for (int64_t s = 0; s < batch->segments; s++) {
        end = batch->start[s + 1];
        for (int32_t t = batch->start[s]; t < end; t++) {
            to->ids[t] = batch->ids[t];
            to->pos[t] = t - batch->start[s];
            to->live_of[t] = -1;
            if (batch->ids[t] == SEA_LM_GIVEN)
                to->given[work->given++] = t;
            if (batch->labels && t + 1 < end && batch->labels[t + 1] != SEA_LM_IGNORE) {
                to->live_of[t] = (int32_t)work->supervised;
                to->live[work->supervised] = t;
                to->target[work->supervised++] = batch->labels[t + 1];
            }
        }
    }
}

static enum sea_status
put_batch(struct sea_lm_work *work, const struct sea_lm_batch *batch, bool gradient,
          struct sea_err *err)
{
    const struct sea_device *device = work->lm->device;
    enum sea_status status = check_batch(work, batch, err);

    if (status)
        return status;
    list_rows(work, batch);
    if (gradient && work->lm->params.grad)
        sort_rows(work, batch->rows);
    memcpy(work->starts, batch->start, (size_t)(batch->segments + 1) * sizeof(int32_t));
    work->segments = (struct sea_segments){
        .count = batch->segments, .rows = batch->rows, .start = work->starts,
        .pos = work->dev.pos,
    };
    return sea_device_put(device, work->dev.ids, work->block_host,
                          INDICES * (size_t)work->rows_room * sizeof(int32_t), err);
}

/* Every row of the loss counts the same; the array is rewritten when that changes. */
static enum sea_status
put_weight(struct sea_lm_work *work, float weight, struct sea_err *err)
{
    float *host;
    enum sea_status status;

    if (weight == work->weight_now)
        return SEA_OK;
    host = (float *)(void *)work->block_host;   /* free again: put_batch copied it */
    for (int64_t r = 0; r < work->rows_room; r++)
        host[r] = weight;
    status = sea_device_put(work->lm->device, work->weight, host,
                            (size_t)work->rows_room * sizeof(float), err);
    work->weight_now = status ? 0.0f : weight;
    return status;
}

/* ---- the step ---- */

/*
 * With ranks, gradients of the head come from the rank before. A head of its own has them
 * soon: they went on when that rank's loss was done. A tied one has them at the very end of
 * that rank's backward, because the embeddings add to the same rows: so as not to wait so
 * long, its logits are computed once more behind the backward.
 */
static enum sea_status
open_head(const struct sea_lm *lm, struct sea_lm_work *work, struct sea_head_rows *rows,
          struct sea_err *err)
{
    work->late.dmatrix = NULL;
    if (!rows->dmatrix || !lm->params.shard)
        return SEA_OK;
    if (lm->head != lm->embed)
        return sea_shard_open_at(&lm->params, lm->head, err);
    work->late = *rows;
    work->late.dhidden = NULL;
    rows->dmatrix = rows->dbias = NULL;
    return SEA_OK;
}

/* A late head, and the embeddings, are next. */
static enum sea_status
finish_head(const struct sea_lm *lm, struct sea_lm_work *work, struct sea_err *err)
{
    enum sea_status status = sea_shard_open(&lm->params, err);

    if (status || !work->late.dmatrix)
        return status;
    return sea_head_loss(&work->head, &work->late, err);
}

/* x: embeddings and given rows through the stack. */
static enum sea_status
run_stack(const struct sea_lm *lm, struct sea_lm_work *work, const float *given,
          struct sea_err *err)
{
    int64_t rows = work->segments.rows;
    enum sea_status status;

    if (work->given && !given)
        return sea_fail(err, SEA_E_INTERNAL, "a batch asks for %lld given rows, none came",
                        (long long)work->given);
    status = sea_lm_embed(lm, work->dev.ids, rows, work->x, err);
    if (!status && work->given)
        status = sea_lm_give(lm, given, NULL, NULL, work->dev.given, work->given, work->x,
                             err);
    if (!status)
        status = sea_stack_forward(&lm->stack, work->stack, &work->segments, 0, work->x, err);
    return status;
}

enum sea_status
sea_lm_forward(const struct sea_lm *lm, struct sea_lm_work *work,
               const struct sea_lm_batch *batch, const float *given, float weight,
               bool gradient, struct sea_err *err)
{
    bool trained = gradient && lm->params.grad;
    struct sea_head_rows rows;
    enum sea_status status;

    assert(work->lm == lm && (!gradient || work->trained));
    work->gradient = false;
    status = put_batch(work, batch, gradient, err);
    if (!status)
        status = put_weight(work, weight, err);
    rows = (struct sea_head_rows){
        .hidden = work->hidden, .words = sea_lm_words(lm), .target = work->dev.target,
        .weight = work->weight, .R = work->supervised,
        .rounded = work->trained && sea_params_rounds(&lm->params),
        .dhidden = gradient ? work->dhidden : NULL,
        .dmatrix = trained ? lm->params.grad + lm->head : NULL,
        .dbias = trained && lm->head_bias >= 0 ? lm->params.grad + lm->head_bias : NULL,
    };
    if (!status && !work->supervised) {
        work->gradient = gradient;
        return sea_head_loss(&work->head, &rows, err);
    }
    work->segments.live_count = work->supervised;
    work->segments.live = work->dev.live;
    work->segments.live_of = work->dev.live_of;
    if (!status)
        status = run_stack(lm, work, given, err);
    if (!status)
        status = sea_lm_norm(lm, work->x, work->hidden, work->mean, work->rstd,
                             work->supervised, err);
    if (!status)
        status = open_head(lm, work, &rows, err);
    if (!status)
        status = sea_head_loss(&work->head, &rows, err);
    work->gradient = gradient && !status;
    return status;
}

/* From the gradient of the stack's input to the embedding table. */
static enum sea_status
embed_bwd(const struct sea_lm *lm, struct sea_lm_work *work, struct sea_err *err)
{
    int64_t D = lm->desc.D;
    const struct sea_op_scatter scatter = {
        .inp = work->dx, .idx = work->dev.ids, .order = work->dev.order,
        .out = lm->params.grad + lm->embed, .R = work->segments.rows, .C = D, .ld_inp = D,
        .ld_out = D, .add = 1,
    };

    if (scale_words(lm, work->dx, work->segments.rows, err))
        return err->status;
    return sea_run(lm->device, err, scatter, &scatter);
}

enum sea_status
sea_lm_backward(const struct sea_lm *lm, struct sea_lm_work *work, float *dgiven,
                struct sea_err *err)
{
    int64_t D = lm->desc.D;
    float *grad = lm->params.grad;
    enum sea_status status;
    const struct sea_op_gather gather = {
        .inp = work->dx, .idx = work->dev.given, .out = dgiven, .R = work->given, .C = D,
        .ld_inp = D, .ld_out = D,
    };

    assert(work->lm == lm);
    if (!work->gradient)
        return sea_fail(err, SEA_E_INTERNAL, "a backward pass was asked for before a forward "
                        "with gradients");
    work->gradient = false;
    if (!work->supervised)
        return dgiven ? sea_device_zero(lm->device, dgiven, (size_t)(work->given * D) *
                                        sizeof(float), err) : SEA_OK;
    status = grad ? sea_shard_open_at(&lm->params, lm->norm, err) : SEA_OK;
    if (status)
        return status;
    status = sea_stack_norm_backward(&lm->stack, lm->norm, lm->norm_bias, work->x,
                                     work->dhidden, work->mean, work->rstd, work->dx, false,
                                     work->supervised, err);
    if (!status && grad && lm->head != lm->embed)
        status = sea_shard_close_at(&lm->params, lm->norm, err);
    if (!status)
        status = sea_stack_backward(&lm->stack, work->stack, &work->segments, 0, work->dx,
                                    err);
    if (!status && dgiven && work->given)
        status = sea_run(lm->device, err, gather, &gather);
    if (!status && grad)
        status = finish_head(lm, work, err);
    if (!status && grad)
        status = embed_bwd(lm, work, err);
    return status;
}

enum sea_status
sea_lm_loss(struct sea_lm_work *work, double *sum, struct sea_err *err)
{
    enum sea_status status = sea_head_read(&work->head, sum, err);

    if (!status && work->supervised)
        *sum /= (double)work->weight_now;
    return status;
}

enum sea_status
sea_lm_logits(const struct sea_lm *lm, struct sea_lm_work *work,
              const struct sea_lm_batch *batch, const float *given, float *out_host,
              struct sea_err *err)
{
    const struct sea_head_words words = sea_lm_words(lm);
    enum sea_status status;

    assert(work->lm == lm);
    work->gradient = false;
    status = put_batch(work, batch, false, err);
    if (!status)
        status = run_stack(lm, work, given, err);
    if (!status)
        status = sea_lm_norm(lm, work->x, work->hidden, NULL, NULL, batch->rows, err);
    if (!status)
        status = sea_head_logits(&work->head, work->hidden, &words, batch->rows, out_host,
                                 err);
    return status;
}
