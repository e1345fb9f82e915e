/* SPDX-License-Identifier: Apache-2.0 */
/* mllm.c - adapter and language model as one step; folders are in mllm_files.c */
#include "engine/sea_mllm.h"

#include <assert.h>
#include <stdlib.h>
#include <string.h>

struct places {
    size_t staged, x, dx;
};

static void
plan_work(struct sea_plan *plan, struct places *at, const struct sea_mllm *mllm,
          const struct sea_mllm_limits *limits)
{
    size_t rows = (size_t)limits->images * (size_t)mllm->patches;

    sea_plan_init(plan);
    memset(at, 0, sizeof(*at));
    if (!rows)
        return;
    at->staged = sea_plan_add(plan, rows * (size_t)mllm->adapter->Dv, sizeof(float));
    at->x = sea_plan_add(plan, rows * (size_t)mllm->adapter->D, sizeof(float));
    if (limits->text.trained)
        at->dx = sea_plan_add(plan, rows * (size_t)mllm->adapter->D, sizeof(float));
}

enum sea_status
sea_mllm_work_create(struct sea_mllm_work **out, const struct sea_mllm *mllm,
                     const struct sea_mllm_limits *limits, struct sea_err *err)
{
    struct sea_mllm_work *work = sea_xcalloc(1, sizeof(*work));
    struct places at;

    *out = NULL;
    assert(!limits->images || (mllm->adapter && mllm->patches > 0));
    assert(!mllm->adapter || mllm->adapter->D == mllm->lm->desc.D);
    work->images_room = limits->images;
    work->trained = limits->text.trained;
    if (sea_lm_work_create(&work->text, mllm->lm, &limits->text, err))
        goto out;
    if (limits->images) {
        plan_work(&work->plan, &at, mllm, limits);
        if (sea_plan_reserve(&work->plan, mllm->lm->device, err) ||
            sea_adapter_work_init(&work->adapter, mllm->adapter,
                                  limits->images * mllm->patches, work->trained, err))
            goto out;
        work->staged = sea_plan_at(&work->plan, at.staged);
        work->x = sea_plan_at(&work->plan, at.x);
        work->dx = work->trained ? sea_plan_at(&work->plan, at.dx) : NULL;
    }
    *out = work;
out:
    if (err->status)
        sea_mllm_work_destroy(work);
    return err->status;
}

void
sea_mllm_work_destroy(struct sea_mllm_work *work)
{
    if (!work)
        return;
    sea_lm_work_destroy(work->text);
    sea_adapter_work_release(&work->adapter);
    sea_plan_release(&work->plan);
    free(work);
}

/* work->x from the batch's features. */
static enum sea_status
adapt(const struct sea_mllm *mllm, struct sea_mllm_work *work,
      const struct sea_mllm_batch *batch, struct sea_err *err)
{
    int64_t rows = batch->images * mllm->patches, given = 0;
    enum sea_status status = SEA_OK;

    for (int64_t t = 0; t < batch->text.rows; t++)
        given += batch->text.ids[t] == SEA_LM_GIVEN;
    if (batch->images > work->images_room || given != rows)
        return sea_fail(err, SEA_E_INTERNAL, "a batch with %lld picture rows and %lld pictures "
                        "of %lld rows does not fit (room for %lld pictures)", (long long)given,
                        (long long)batch->images, (long long)mllm->patches,
                        (long long)work->images_room);
    work->images = batch->images;
    work->features = batch->features;
    if (!rows)
        return SEA_OK;
    if (!batch->features_on_device) {
        work->features = work->staged;
        status = sea_device_put(mllm->lm->device, work->staged, batch->features,
                                (size_t)(rows * mllm->adapter->Dv) * sizeof(float), err);
    }
    if (!status)
        status = sea_adapter_forward(mllm->adapter, &work->adapter, work->features, rows,
                                     work->x, err);
    return status;
}

enum sea_status
sea_mllm_adapt(const struct sea_mllm *mllm, struct sea_mllm_work *work, const float *features,
               int64_t images, struct sea_err *err)
{
    int64_t rows = images * mllm->patches;
    enum sea_status status;

    if (images < 1 || images > work->images_room)
        return sea_fail(err, SEA_E_INTERNAL, "%lld pictures do not fit, there is room for %lld",
                        (long long)images, (long long)work->images_room);
    work->images = 0;           /* no backward follows */
    status = sea_device_put(mllm->lm->device, work->staged, features,
                            (size_t)(rows * mllm->adapter->Dv) * sizeof(float), err);
    return status ? status : sea_adapter_forward(mllm->adapter, &work->adapter, work->staged,
                                                 rows, work->x, err);
}

enum sea_status
sea_mllm_forward(const struct sea_mllm *mllm, struct sea_mllm_work *work,
                 const struct sea_mllm_batch *batch, float weight, bool gradient,
                 struct sea_err *err)
{
    enum sea_status status = adapt(mllm, work, batch, err);

    if (!status)
        status = sea_lm_forward(mllm->lm, work->text, &batch->text, work->x, weight, gradient,
                                err);
    return status;
}

enum sea_status
sea_mllm_backward(const struct sea_mllm *mllm, struct sea_mllm_work *work, struct sea_err *err)
{
    return sea_lm_backward(mllm->lm, work->text, work->images ? work->dx : NULL, err);
}

enum sea_status
sea_mllm_backward_adapter(const struct sea_mllm *mllm, struct sea_mllm_work *work,
                          float *dfeatures, struct sea_err *err)
{
    if (!work->images)
        return SEA_OK;
    return sea_adapter_backward(mllm->adapter, &work->adapter, work->features,
                                work->images * mllm->patches, work->dx, dfeatures, err);
}

enum sea_status
sea_mllm_logits(const struct sea_mllm *mllm, struct sea_mllm_work *work,
                const struct sea_mllm_batch *batch, float *out_host, struct sea_err *err)
{
    enum sea_status status = adapt(mllm, work, batch, err);

    if (!status)
        status = sea_lm_logits(mllm->lm, work->text, &batch->text, work->x, out_host, err);
    return status;
}
