/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SigLIP's way to the joint space: n = post_layernorm(x), a learned query attends to all
 * rows of a picture, u = Wo attention + bo, u + MLP(norm(u)), unit length. Read densely,
 * each row is the only one that the query sees: attention is then the row's own value.
 * Forward only: these embeddings are not trained.
 */
#include <math.h>

#include "engine/clip_int.h"

static struct sea_weight
matrix(const struct sea_clip *clip, int64_t offset)
{
    return sea_params_matrix(&clip->vision, offset);
}

static const float *
vector(const struct sea_clip *clip, int64_t offset)
{
    return sea_params_vector(&clip->vision, offset);
}

/* Part `which` of query (0), key (1), value (2) of R rows. */
static enum sea_status
project(const struct sea_clip *clip, int which, const float *x, float *y, int64_t R,
        struct sea_err *err)
{
    int64_t D = clip->desc.vision.D;

    return sea_clip_linear(clip->device, matrix(clip, clip->at.pool_in + which * D * D),
                           vector(clip, clip->at.pool_in_bias + which * D), x, y, R, D, D,
                           false, err);
}

/* Attention's result of `count` pictures: eye->raw (count, D), from eye->exit.normed. */
static enum sea_status
attend(const struct sea_clip *clip, struct sea_clip_work *work, int64_t count,
       struct sea_err *err)
{
    struct sea_clip_eye *eye = &work->eye;
    int64_t D = clip->desc.vision.D, H = clip->desc.vision.heads, E = D / H;
    int64_t m = sea_clip_patch_count(&clip->desc);
    const struct sea_op_attention attention = {
        .q = eye->norm, .k = eye->n, .v = eye->v, .out = eye->raw, .q_start = eye->one_start,
        .k_start = eye->start, .k_len = eye->k_len, .S = count, .H = H, .K = H, .E = E,
        .ld_q = D, .ld_kv = D, .ld_out = D, .scale = (float)(1 / sqrt((double)E)),
    };
    enum sea_status status;

    status = sea_clip_gather(clip->device, vector(clip, clip->at.probe), eye->class_rows,
                             eye->raw, count, D, false, err);
    if (!status)
        status = project(clip, 0, eye->raw, eye->norm, count, err);
    if (!status)
        status = project(clip, 1, eye->exit.normed, eye->n, count * m, err);
    if (!status)
        status = project(clip, 2, eye->exit.normed, eye->v, count * m, err);
    if (!status)
        status = sea_run(clip->device, err, attention, &attention);
    return status;
}

/* u = eye->norm (R, D) to exit.joint: u + MLP(norm(u)), unit length. */
static enum sea_status
finish(const struct sea_clip *clip, struct sea_clip_work *work, int64_t R,
       struct sea_err *err)
{
    const struct sea_device *device = clip->device;
    struct sea_clip_eye *eye = &work->eye;
    int64_t D = clip->desc.vision.D, F = clip->desc.vision.F;
    struct sea_clip_out joint = { .device = eye->exit.joint };
    const struct sea_op_layernorm norm = {
        .x = eye->norm, .gamma = vector(clip, clip->at.pool_norm),
        .beta = vector(clip, clip->at.pool_norm_bias), .y = eye->exit.normed, .R = R, .C = D,
        .eps = clip->desc.vision.eps,
    };
    const struct sea_op_act act = {
        .x = eye->wide, .y = eye->wide, .R = R, .C = F, .act = clip->desc.vision.act,
    };
    const struct sea_op_l2norm unit = {
        .inp = eye->exit.joint, .out = eye->exit.joint, .R = R, .C = D,
        .eps = SEA_CLIP_NORM_EPS,
    };
    enum sea_status status = sea_run(device, err, layernorm, &norm);

    if (!status)
        status = sea_clip_linear(device, matrix(clip, clip->at.pool_up),
                                 vector(clip, clip->at.pool_up_bias), eye->exit.normed,
                                 eye->wide, R, D, F, false, err);
    if (!status)
        status = sea_run(device, err, act, &act);
    if (!status)
        status = sea_clip_give(device, eye->norm, R * D, joint, 0, err);
    if (!status)
        status = sea_clip_linear(device, matrix(clip, clip->at.pool_down),
                                 vector(clip, clip->at.pool_down_bias), eye->wide,
                                 eye->exit.joint, R, F, D, true, err);
    if (!status)
        status = sea_run(device, err, l2norm, &unit);
    return status;
}

enum sea_status
sea_clip_pool(const struct sea_clip *clip, struct sea_clip_work *work, const float *rows,
              int64_t count, bool dense, struct sea_err *err)
{
    struct sea_clip_eye *eye = &work->eye;
    int64_t D = clip->desc.vision.D, N = count * sea_clip_patch_count(&clip->desc);
    const struct sea_op_layernorm post = {
        .x = rows, .gamma = vector(clip, clip->at.post),
        .beta = vector(clip, clip->at.post_bias), .y = eye->exit.normed, .R = N, .C = D,
        .eps = clip->desc.vision.eps,
    };
    enum sea_status status = sea_run(clip->device, err, layernorm, &post);

    if (!status && dense)
        status = project(clip, 2, eye->exit.normed, eye->raw, N, err);
    else if (!status)
        status = attend(clip, work, count, err);
    if (!status)
        status = sea_clip_linear(clip->device, matrix(clip, clip->at.pool_out),
                                 vector(clip, clip->at.pool_out_bias), eye->raw, eye->norm,
                                 dense ? N : count, D, D, false, err);
    if (!status)
        status = finish(clip, work, dense ? N : count, err);
    return status;
}
