/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The vision tower: x = [class row, patch projections] + positions, CLIP's then normed,
 * blocks, and backwards. Pictures of a chunk lie one after another, m + c rows each.
 */
#include "engine/clip_int.h"
#include "engine/sea_shard.h"

enum sea_status
sea_clip_eye_embed(const struct sea_clip *clip, struct sea_clip_work *work,
                   const float *pixels, int64_t count, struct sea_err *err)
{
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    const struct sea_device *device = clip->device;
    const struct sea_params *params = &clip->vision;
    struct sea_weight positions = sea_params_matrix(params, clip->at.vision_pos);
    struct sea_clip_eye *eye = &work->eye;
    int64_t m = sea_clip_patch_count(&clip->desc), c = sea_clip_class_rows(&clip->desc);
    int64_t M = count * m, N = count * (m + c), D = desc->D;
    float *to = clip->at.pre < 0 ? eye->x : eye->raw;
    int64_t cell = desc->channels * desc->patch * desc->patch;
    const struct sea_op_patchify patchify = {
        .pixels = eye->pixels, .out = eye->cells, .B = count, .channels = desc->channels,
        .height = desc->image, .width = desc->image, .P = desc->patch,
    };
    const struct sea_op_layernorm norm = {
        .x = eye->raw, .gamma = sea_params_vector(params, clip->at.pre),
        .beta = sea_params_vector(params, clip->at.pre_bias), .y = eye->x, .mean = eye->mean,
        .rstd = eye->rstd, .R = N, .C = D, .eps = desc->eps,
    };
    size_t bytes = (size_t)(count * desc->channels * desc->image * desc->image)
                   * sizeof(*pixels);
    enum sea_status status;

    status = sea_device_put(device, eye->pixels, pixels, bytes, err);
    if (!status)
        status = sea_run(device, err, patchify, &patchify);
    if (!status)
        status = sea_clip_linear(device, sea_params_matrix(params, clip->at.patch),
                                 sea_params_vector(params, clip->at.patch_bias), eye->cells,
                                 eye->cell_rows, M, cell, D, false, err);
    if (!status && eye->positions) {
        status = sea_clip_positions(clip, eye, err);
        positions = sea_clip_floats(eye->positions);
    }
    if (!status)
        status = sea_clip_lookup(device, positions, eye->pos_of, to, N, D, false, err);
    if (!status && c)
        status = sea_clip_gather(device, sea_params_vector(params, clip->at.class_row),
                                 eye->class_of, to, N, D, true, err);
    if (!status)
        status = sea_clip_gather(device, eye->cell_rows, eye->cell_of, to, N, D, true, err);
    if (!status && to == eye->raw)
        status = sea_run(device, err, layernorm, &norm);
    return status;
}

static struct sea_segments
segments_of(const struct sea_clip *clip, const struct sea_clip_eye *eye, int64_t count,
            bool live)
{
    struct sea_segments segments = {
        .count = count, .start = eye->start,
        .rows = count * (sea_clip_patch_count(&clip->desc) + sea_clip_class_rows(&clip->desc)),
    };

    if (live) {
        segments.live_count = count;
        segments.live = eye->class_rows;
        segments.live_of = eye->class_place;
    }
    return segments;
}

enum sea_status
sea_clip_eye_blocks(const struct sea_clip *clip, struct sea_clip_work *work, int64_t count,
                    int64_t layers, bool live, struct sea_err *err)
{
    struct sea_segments segments = segments_of(clip, &work->eye, count, live);

    if (layers == 0)            /* to the stack 0 means all */
        return SEA_OK;
    return sea_stack_forward(&clip->vision_stack, work->eye.stack, &segments, layers,
                             work->eye.x, err);
}

/* Gradients of what embed adds up, from dx (N, D) of the first block's input. */
static enum sea_status
embed_backward(const struct sea_clip *clip, struct sea_clip_work *work, int64_t count,
               struct sea_err *err)
{
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    const struct sea_device *device = clip->device;
    struct sea_clip_eye *eye = &work->eye;
    float *grads = clip->vision.grad;
    int64_t m = sea_clip_patch_count(&clip->desc), M = count * m, D = desc->D;
    int64_t cell = desc->channels * desc->patch * desc->patch;
    int64_t each = (m + sea_clip_class_rows(&clip->desc)) * D;
    bool interpolated = eye->dpositions != NULL;
    const struct sea_op_layernorm_bwd norm = {
        .x = eye->raw, .dy = eye->dx, .gamma = sea_params_vector(&clip->vision, clip->at.pre),
        .mean = eye->mean, .rstd = eye->rstd, .dx = eye->dx,
        .dgamma = grads + clip->at.pre, .dbeta = grads + clip->at.pre_bias,
        .R = count * each / D, .C = D,
    };
    const struct sea_op_colsum positions = {
        .x = eye->dx, .out = interpolated ? eye->dpositions : grads + clip->at.vision_pos,
        .R = count, .C = each, .ld = each, .accumulate = !interpolated,
    };
    const struct sea_op_colsum class_row = {
        .x = eye->dx, .out = grads + clip->at.class_row, .R = count, .C = D, .ld = each,
        .accumulate = 1,
    };
    const struct sea_op_colsum bias = {
        .x = eye->cell_rows, .out = grads + clip->at.patch_bias, .R = M, .C = D, .ld = D,
        .accumulate = 1,
    };
    enum sea_status status = SEA_OK;

    if (clip->at.pre >= 0)
        status = sea_run(device, err, layernorm_bwd, &norm);
    if (!status)
        status = sea_run(device, err, colsum, &positions);
    if (!status && interpolated)
        status = sea_clip_positions_backward(clip, eye, err);
    if (!status && clip->at.class_row >= 0)
        status = sea_run(device, err, colsum, &class_row);
    if (!status)
        status = sea_clip_gather(device, eye->dx, eye->cell_at, eye->cell_rows, M, D, false,
                                 err);
    if (!status)
        status = sea_clip_linear_bwd(device, sea_clip_floats(NULL), grads + clip->at.patch,
                                     eye->cells, eye->cell_rows, NULL, M, cell, D, err);
    if (!status && clip->at.patch_bias >= 0)
        status = sea_run(device, err, colsum, &bias);
    return status;
}

enum sea_status
sea_clip_eye_backward(const struct sea_clip *clip, struct sea_clip_work *work, int64_t count,
                      int64_t layers, bool live, struct sea_err *err)
{
    struct sea_segments segments = segments_of(clip, &work->eye, count, live);
    enum sea_status status = SEA_OK;

    if (layers > 0)
        status = sea_stack_backward(&clip->vision_stack, work->eye.stack, &segments, layers,
                                    work->eye.dx, err);
    if (!status && clip->vision.grad)
        status = sea_shard_open(&clip->vision, err);
    if (!status && clip->vision.grad)
        status = embed_backward(clip, work, count, err);
    return status;
}

/* Number of blocks behind hidden_states[layer], -1 when there is no such layer. */
static int64_t
blocks_of(const struct sea_clip *clip, int64_t layer)
{
    int64_t layers = clip->desc.vision.layers;
    int64_t blocks = layer < 0 ? layers + 1 + layer : layer;

    return blocks >= 0 && blocks <= layers ? blocks : -1;
}

static enum sea_status
check_work(const struct sea_clip_work *work, struct sea_err *err)
{
    if (work->limits.images > 0)
        return SEA_OK;
    return sea_fail(err, SEA_E_INTERNAL, "this work was made without pictures");
}

enum sea_status
sea_clip_features(const struct sea_clip *clip, struct sea_clip_work *work,
                  const float *pixels, int64_t count, int64_t layer, bool with_class,
                  struct sea_clip_out out, struct sea_err *err)
{
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    struct sea_clip_eye *eye = &work->eye;
    int64_t m = sea_clip_patch_count(&clip->desc), D = desc->D, from, n;
    int64_t picture = desc->channels * desc->image * desc->image;
    int64_t blocks = blocks_of(clip, layer), c = sea_clip_class_rows(&clip->desc);
    enum sea_status status = check_work(work, err);

    if (!status && blocks < 0) {
        status = sea_fail(err, SEA_E_CONFIG, "vision layer %lld does not exist, need %lld to "
                          "%lld", (long long)layer, (long long)-desc->layers - 1,
                          (long long)desc->layers);
        sea_hint(err, "LLaVA reads layer -2.");
    }
    if (!status && with_class && !c)
        status = sea_fail(err, SEA_E_CONFIG, "a %s tower has no class row",
                          sea_tower_name(clip->desc.tower));
    for (from = 0; !status && from < count; from += n) {
        int64_t rows;

        n = count - from < work->limits.images ? count - from : work->limits.images;
        rows = n * (m + with_class);
        status = sea_clip_eye_embed(clip, work, pixels + from * picture, n, err);
        if (!status)
            status = sea_clip_eye_blocks(clip, work, n, blocks, false, err);
        if (!status && with_class != (bool)c)
            status = sea_clip_gather(clip->device, eye->x, eye->cell_at, eye->cell_rows,
                                     rows, D, false, err);
        if (!status)
            status = sea_clip_give(clip->device, with_class == (bool)c ? eye->x
                                                                       : eye->cell_rows,
                                   rows * D, out, from * (m + with_class) * D, err);
        eye->last_count = n;
    }
    eye->last_layers = blocks;
    eye->last_class = with_class;
    if (status || count > work->limits.images)
        eye->last_count = 0;
    return status;
}

enum sea_status
sea_clip_features_backward(const struct sea_clip *clip, struct sea_clip_work *work,
                           const float *dout, struct sea_err *err)
{
    struct sea_clip_eye *eye = &work->eye;
    int64_t count = eye->last_count, D = clip->desc.vision.D;
    int64_t c = sea_clip_class_rows(&clip->desc);
    int64_t N = count * (sea_clip_patch_count(&clip->desc) + c);
    struct sea_clip_out into = { .device = eye->dx };
    enum sea_status status;

    if (!work->limits.trained || count < 1 || !clip->vision.grad)
        return sea_fail(err, SEA_E_INTERNAL, "vision features have no backward: the work or "
                        "the model is not trained, or the last call took several chunks");
    if (eye->last_class == (bool)c)
        status = sea_clip_give(clip->device, dout, N * D, into, 0, err);
    else
        status = sea_clip_gather(clip->device, dout, eye->cell_of, eye->dx, N, D, false,
                                 err);
    if (!status)
        status = sea_clip_eye_backward(clip, work, count, eye->last_layers, false, err);
    eye->last_count = 0;
    return status;
}

enum sea_status
sea_clip_images(const struct sea_clip *clip, struct sea_clip_work *work, const float *pixels,
                int64_t count, struct sea_clip_out out, struct sea_err *err)
{
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    struct sea_clip_eye *eye = &work->eye;
    int64_t picture = desc->channels * desc->image * desc->image, from, n;
    int64_t J = clip->desc.joint;
    bool pooled = clip->desc.vision.pool;
    enum sea_status status = check_work(work, err);

    if (!status && J < 1)
        status = sea_fail(err, SEA_E_CONFIG, "this %s model has no joint space",
                          sea_tower_name(clip->desc.tower));
    if (!status && pooled && work->limits.trained)
        status = sea_fail(err, SEA_E_INTERNAL, "a trained work has no room for pooling");
    for (from = 0; !status && from < count; from += n) {
        n = count - from < work->limits.images ? count - from : work->limits.images;
        status = sea_clip_eye_embed(clip, work, pixels + from * picture, n, err);
        if (!status)
            status = sea_clip_eye_blocks(clip, work, n, desc->layers, !pooled, err);
        if (!status && pooled)
            status = sea_clip_pool(clip, work, eye->x, n, false, err);
        if (!status && !pooled)
            status = sea_clip_exit_forward(clip->device, &eye->exit, eye->x, n,
                                           work->limits.trained, err);
        if (!status)
            status = sea_clip_give(clip->device, eye->exit.joint, n * J, out, from * J, err);
    }
    eye->last_count = 0;
    return status;
}
