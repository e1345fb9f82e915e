/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/transformer_int.h"

#include <math.h>

enum sea_status
sea_linear(const struct sea_stack *stack, int64_t weight, int64_t bias, const float *x,
           float *y, int64_t R, int64_t in, int64_t out, bool add, struct sea_err *err)
{
    const struct sea_op_gemm gemm = {
        .a = x, .lda = in,
        .b = sea_weight_at(stack, weight), .ldb = in, .trans_b = 1,
        .c = y, .ldc = out, .bias = sea_weight_at(stack, bias),
        .M = R, .N = out, .K = in, .accumulate = add, .alpha = 1.0f,
    };

    return sea_run(stack->params->device, err, gemm, &gemm);
}

enum sea_status
sea_block_norm(const struct sea_stack *stack, int64_t layer, int which, const float *x,
               float *y, float *mean, float *rstd, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const float *gamma = sea_weight_at(stack, which == 1 ? at->norm1 : at->norm2);

    if (desc->norm == SEA_NORM_LAYER) {
        const struct sea_op_layernorm norm = {
            .x = x, .gamma = gamma, .y = y, .mean = mean, .rstd = rstd,
            .beta = sea_weight_at(stack, which == 1 ? at->norm1_bias : at->norm2_bias),
            .R = R, .C = desc->D, .eps = desc->eps,
        };

        return sea_run(stack->params->device, err, layernorm, &norm);
    }
    const struct sea_op_rmsnorm norm = {
        .x = x, .gamma = gamma, .y = y, .rstd = rstd, .R = R, .C = desc->D,
        .eps = desc->eps, .gamma_add = desc->norm_add,
    };

    return sea_run(stack->params->device, err, rmsnorm, &norm);
}

enum sea_status
sea_block_start(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                const float *x, const int32_t *pos, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    struct sea_kept *kept = &work->kept[layer];
    enum sea_status status;
    const struct sea_op_rope rope = {
        .x = kept->qkv, .cos_sin = stack->cos_sin, .pos = pos, .N = R,
        .heads = desc->H + desc->K, .E = desc->E, .rot = desc->rope_dims,
        .ld = sea_block_qkv(desc),
    };

    status = sea_block_norm(stack, layer, 1, x, work->norm, kept->mean1, kept->rstd1, R, err);
    if (!status)
        status = sea_linear(stack, at->qkv, at->qkv_bias, work->norm, kept->qkv, R, desc->D,
                            sea_block_qkv(desc), false, err);
    if (!status && stack->cos_sin)
        status = sea_run(stack->params->device, err, rope, &rope);
    return status;
}

enum sea_status
sea_block_finish(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                 const float *att, float *x, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_device *device = stack->params->device;
    struct sea_kept *kept = &work->kept[layer];
    enum sea_status status;
    const struct sea_op_act act = {
        .x = kept->pre, .y = work->act, .R = R, .C = desc->F, .act = desc->act,
        .gated = desc->gated,
    };

    status = sea_linear(stack, at->o, at->o_bias, att, x, R, sea_block_heads(desc), desc->D,
                        true, err);
    if (!status && kept->h)
        status = sea_device_status(device, device->ops->copy(device->dev, kept->h, x,
                                   (size_t)(R * desc->D) * sizeof(float)), "copy", err);
    if (!status)
        status = sea_block_norm(stack, layer, 2, x, work->norm, kept->mean2, kept->rstd2, R,
                                err);
    if (!status)
        status = sea_linear(stack, at->up, at->up_bias, work->norm, kept->pre, R, desc->D,
                            sea_block_up(desc), false, err);
    if (!status)
        status = sea_run(device, err, act, &act);
    if (!status)
        status = sea_linear(stack, at->down, at->down_bias, work->act, x, R, desc->F,
                            desc->D, true, err);
    return status;
}

enum sea_status
sea_block_pack(struct sea_stack_work *work, const struct sea_segments *segments,
               int64_t layer, float *x, struct sea_err *err)
{
    const struct sea_device *device = work->stack->params->device;
    int64_t D = work->stack->desc.D, heads = sea_block_heads(&work->stack->desc);
    int64_t R = segments->live_count;
    enum sea_status status;
    const struct sea_op_gather att = {
        .inp = work->kept[layer].att, .idx = segments->live, .out = work->att_live,
        .R = R, .C = heads, .ld_inp = heads, .ld_out = heads,
    };
    const struct sea_op_gather rows = {
        .inp = x, .idx = segments->live, .out = work->norm, .R = R, .C = D, .ld_inp = D,
        .ld_out = D,
    };

    status = sea_run(device, err, gather, &att);
    if (!status)
        status = sea_run(device, err, gather, &rows);
    if (!status)
        status = sea_device_status(device, device->ops->copy(device->dev, x, work->norm,
                                   (size_t)(R * D) * sizeof(float)), "copy", err);
    return status;
}

static enum sea_status
attend(struct sea_stack_work *work, const struct sea_segments *segments, int64_t layer,
       struct sea_err *err)
{
    const struct sea_block_desc *desc = &work->stack->desc;
    const struct sea_kept *kept = &work->kept[layer];
    int64_t heads = sea_block_heads(desc), keys = sea_block_keys(desc);
    const struct sea_op_attention attention = {
        .q = kept->qkv, .k = kept->qkv + heads, .v = kept->qkv + heads + keys,
        .out = kept->att, .lse = kept->lse,
        .q_start = segments->start, .k_start = segments->start, .k_len = work->k_len,
        .S = segments->count, .H = desc->H, .K = desc->K, .E = desc->E,
        .ld_q = sea_block_qkv(desc), .ld_kv = sea_block_qkv(desc), .ld_out = heads,
        .scale = 1.0f / sqrtf((float)desc->E), .causal = desc->causal,
    };

    return sea_run(work->stack->params->device, err, attention, &attention);
}

enum sea_status
sea_stack_forward(const struct sea_stack *stack, struct sea_stack_work *work,
                  const struct sea_segments *segments, int64_t layers, float *x,
                  struct sea_err *err)
{
    const struct sea_device *device = stack->params->device;
    size_t bytes = (size_t)(segments->rows * stack->desc.D) * sizeof(float);
    int64_t R = segments->rows;
    enum sea_status status = sea_work_check(work, segments, err);
    bool pack;

    for (int64_t s = 0; s < segments->count && !status; s++)
        work->k_len[s] = segments->start[s + 1] - segments->start[s];
    if (!layers)
        layers = stack->desc.layers;
    for (int64_t l = 0; l < layers && !status; l++) {
        struct sea_kept *kept = &work->kept[l];

        pack = segments->live && l == layers - 1;
        if (kept->x)
            status = sea_device_status(device, device->ops->copy(device->dev, kept->x, x,
                                       bytes), "copy", err);
        if (!status)
            status = sea_block_start(stack, work, l, x, segments->pos, R, err);
        if (!status)
            status = attend(work, segments, l, err);
        if (!status && pack) {
            status = sea_block_pack(work, segments, l, x, err);
            R = segments->live_count;
        }
        if (!status)
            status = sea_block_finish(stack, work, l, pack ? work->att_live : kept->att, x,
                                      R, err);
    }
    return status;
}
