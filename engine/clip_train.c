/* SPDX-License-Identifier: Apache-2.0 */
/* Contrastive training of both towers: one batch of pairs per step. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clip_int.h"

struct sea_clip_trainer {
    struct sea_clip *clip;
    struct sea_clip_work *work;
    struct sea_plan plan;
    float *cos;                 // (B, B)
    float *dimage, *dtext;      // (B, J)
    float *loss;                // (1)
    float *scratch;             // (4 B)
};

enum sea_status
sea_clip_trainer_create(struct sea_clip_trainer **out, struct sea_clip *clip, int64_t batch,
                        int64_t text_rows, struct sea_err *err)
{
    const struct sea_clip_limits limits = {
        .images = batch, .texts = batch, .text_rows = text_rows, .trained = true,
    };
    size_t B = batch > 0 ? (size_t)batch : 0, J = (size_t)clip->desc.joint;
    struct sea_clip_trainer *trainer = sea_xcalloc(1, sizeof(*trainer));
    size_t cos, dimage, dtext, loss, scratch;
    enum sea_status status = SEA_OK;

    *out = NULL;
    trainer->clip = clip;
    if (clip->desc.tower != SEA_TOWER_CLIP)
        status = sea_fail(err, SEA_E_CONFIG, "a %s model cannot be trained on captions, need "
                          "a CLIP model", sea_tower_name(clip->desc.tower));
    else if (clip->desc.joint < 1 || !clip->vision.grad || !clip->text.grad || !clip->head.grad)
        status = sea_fail(err, SEA_E_INTERNAL, "this CLIP model was not made for training");
    else if (batch < 2 || batch > 1 << 16)
        status = sea_fail(err, SEA_E_CONFIG, "contrastive batch is %lld pairs, need 2 to "
                          "65536", (long long)batch);
    if (status)
        goto out;
    sea_plan_init(&trainer->plan);
    cos = sea_plan_add(&trainer->plan, B * B, sizeof(float));
    dimage = sea_plan_add(&trainer->plan, B * J, sizeof(float));
    dtext = sea_plan_add(&trainer->plan, B * J, sizeof(float));
    loss = sea_plan_add(&trainer->plan, 1, sizeof(float));
    scratch = sea_plan_add(&trainer->plan, 4 * B, sizeof(float));
    status = sea_plan_reserve(&trainer->plan, clip->device, err);
    if (!status)
        status = sea_clip_work_create(&trainer->work, clip, &limits, err);
    if (status)
        goto out;
    trainer->cos = sea_plan_at(&trainer->plan, cos);
    trainer->dimage = sea_plan_at(&trainer->plan, dimage);
    trainer->dtext = sea_plan_at(&trainer->plan, dtext);
    trainer->loss = sea_plan_at(&trainer->plan, loss);
    trainer->scratch = sea_plan_at(&trainer->plan, scratch);
    *out = trainer;
    trainer = NULL;
out:
    sea_clip_trainer_destroy(trainer);
    return status;
}

void
sea_clip_trainer_destroy(struct sea_clip_trainer *trainer)
{
    if (!trainer)
        return;
    sea_clip_work_destroy(trainer->work);
    sea_plan_release(&trainer->plan);
    free(trainer);
}

static enum sea_status
forward(struct sea_clip_trainer *trainer, const float *pixels, const int32_t *ids,
        const int64_t *start, int64_t count, struct sea_err *err)
{
    struct sea_clip *clip = trainer->clip;
    struct sea_clip_eye *eye = &trainer->work->eye;
    enum sea_status status;

    status = sea_clip_read(clip, trainer->work, ids, start, count, 0, err);
    if (!status)
        status = sea_clip_eye_embed(clip, trainer->work, pixels, count, err);
    if (!status)
        status = sea_clip_eye_blocks(clip, trainer->work, count, clip->desc.vision.layers,
                                     true, err);
    if (!status)
        status = sea_clip_exit_forward(clip->device, &eye->exit, eye->x, count, true, err);
    return status;
}

/* Cosines, loss, and the gradients of both sets of embeddings. */
static enum sea_status
contrast(struct sea_clip_trainer *trainer, int64_t B, struct sea_err *err)
{
    const struct sea_clip *clip = trainer->clip;
    const float *image = trainer->work->eye.exit.joint;
    const float *text = trainer->work->reader.exit.joint;
    int64_t J = clip->desc.joint;
    const struct sea_op_contrast loss = {
        .cos = trainer->cos, .theta = sea_params_vector(&clip->head, clip->at.scale),
        .loss = trainer->loss, .dtheta = clip->head.grad + clip->at.scale,
        .scratch = trainer->scratch, .R = B, .weight = 1, .max_scale = SEA_CLIP_SCALE_MAX,
    };
    const struct sea_op_gemm to_image = {
        .a = trainer->cos, .lda = B, .b = text, .ldb = J, .c = trainer->dimage, .ldc = J,
        .M = B, .N = J, .K = B, .alpha = 1,
    };
    const struct sea_op_gemm to_text = {
        .a = trainer->cos, .lda = B, .trans_a = 1, .b = image, .ldb = J,
        .c = trainer->dtext, .ldc = J, .M = B, .N = J, .K = B, .alpha = 1,
    };
    enum sea_status status;

    status = sea_clip_linear(clip->device, sea_clip_floats(text), NULL, image, trainer->cos, B,
                             J, B, false, err);
    if (!status)
        status = sea_run(clip->device, err, contrast, &loss);
    if (!status)
        status = sea_run(clip->device, err, gemm, &to_image);
    if (!status)
        status = sea_run(clip->device, err, gemm, &to_text);
    return status;
}

static enum sea_status
backward(struct sea_clip_trainer *trainer, int64_t text_rows, int64_t count,
         struct sea_err *err)
{
    struct sea_clip *clip = trainer->clip;
    struct sea_clip_eye *eye = &trainer->work->eye;
    enum sea_status status;

    status = sea_clip_read_backward(clip, trainer->work, trainer->dtext, text_rows, count,
                                    err);
    if (!status)
        status = sea_clip_exit_backward(clip->device, &eye->exit, eye->x, trainer->dimage,
                                        eye->dx, count, err);
    if (!status)
        status = sea_clip_eye_backward(clip, trainer->work, count,
                                       clip->desc.vision.layers, true, err);
    return status;
}

enum sea_status
sea_clip_trainer_step(struct sea_clip_trainer *trainer, const float *pixels,
                      const int32_t *ids, const int64_t *start, int64_t count, double *loss,
                      struct sea_err *err)
{
    float value;
    enum sea_status status;

    if (count < 2 || count > trainer->work->limits.images)
        return sea_fail(err, SEA_E_INTERNAL, "batch of %lld pairs, need 2 to %lld",
                        (long long)count, (long long)trainer->work->limits.images);
    status = forward(trainer, pixels, ids, start, count, err);
    if (!status)
        status = contrast(trainer, count, err);
    if (!status)
        status = backward(trainer, start[count] - start[0], count, err);
    if (status || !loss)
        return status;
    status = sea_device_get(trainer->clip->device, &value, trainer->loss, sizeof(value),
                            err);
    if (!status)
        *loss = value;
    return status;
}

enum sea_status
sea_clip_scale(const struct sea_clip *clip, double *scale, struct sea_err *err)
{
    float theta = 0;
    enum sea_status status;

    *scale = 0;
    if (clip->at.scale < 0)
        return sea_fail(err, SEA_E_CONFIG, "this %s model has no joint space",
                        sea_tower_name(clip->desc.tower));
    status = sea_device_get(clip->device, &theta, sea_params_vector(&clip->head, clip->at.scale),
                            sizeof(theta), err);
    if (!status)
        *scale = fmin(exp((double)theta), SEA_CLIP_SCALE_MAX);
    return status;
}
