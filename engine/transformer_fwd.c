/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/transformer_int.h"

#include <math.h>

#include "engine/sea_lora.h"

/* y (R, out) [+]= x (R, in) W^T + bias. */
static enum sea_status
linear(const struct sea_stack_work *work, int64_t weight, int64_t bias, const float *x,
       float *y, int64_t R, int64_t in, int64_t out, bool add, struct sea_err *err)
{
    const struct sea_stack *stack = work->stack;
    const struct sea_weight matrix = sea_params_matrix(stack->params, weight);
    const struct sea_op_gemm gemm = {
        .a = x, .lda = in, .b = matrix.data, .b_type = matrix.type, .ldb = in, .trans_b = 1,
        .c = y, .ldc = out, .bias = sea_params_vector(stack->params, bias),
        .M = R, .N = out, .K = in, .accumulate = add, .alpha = 1.0f,
        .rounded = work->rounded, .few = work->few,
    };
    enum sea_status status = sea_run(stack->params->device, err, gemm, &gemm);

    if (!status && stack->lora)
        status = sea_lora_forward(stack->lora, weight, x, y, R, in, out, err);
    return status;
}

enum sea_status
sea_stack_norm(const struct sea_stack *stack, int64_t weight, int64_t bias, const float *x,
               float *y, float *mean, float *rstd, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const float *gamma = sea_params_vector(stack->params, weight);

    if (desc->norm == SEA_NORM_LAYER) {
        const struct sea_op_layernorm norm = {
            .x = x, .gamma = gamma, .beta = sea_params_vector(stack->params, bias), .y = y,
            .mean = mean, .rstd = rstd, .R = R, .C = desc->D, .eps = desc->eps,
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
sea_block_norm(const struct sea_stack *stack, int64_t layer, enum sea_block_norm which,
               const float *x, float *y, struct sea_kept *kept, int64_t R,
               struct sea_err *err)
{
    int64_t weight, bias;

    sea_block_norm_at(&stack->blocks[layer], which, &weight, &bias);
    return sea_stack_norm(stack, weight, bias, x, y, kept ? kept->mean[which] : NULL,
                          kept ? kept->rstd[which] : NULL, R, err);
}

struct sea_op_attention
sea_block_attention(const struct sea_stack *stack, int64_t layer)
{
    const struct sea_block_desc *desc = &stack->desc;

    return (struct sea_op_attention){
        .H = desc->H, .K = desc->K, .E = desc->E, .ld_q = sea_block_qkv(desc),
        .ld_kv = sea_block_qkv(desc), .ld_out = sea_block_heads(desc),
        .scale = desc->score_scale > 0 ? desc->score_scale : 1.0f / sqrtf((float)desc->E),
        .causal = desc->causal, .window = sea_windows_at(&desc->windows, layer),
        .softcap = desc->score_cap, .rounded = sea_params_rounds(stack->params),
    };
}

/* q and k in place; kept->raw gets what they were. */
static enum sea_status
norm_heads(const struct sea_stack *stack, const struct sea_block_offsets *at,
           const struct sea_kept *kept, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_device *device = stack->params->device;
    int64_t qkv = sea_block_qkv(desc);
    float *k = kept->qkv + sea_block_heads(desc);
    enum sea_status status = SEA_OK;
    const struct sea_op_rmsnorm q_norm = {
        .x = kept->qkv, .y = kept->qkv, .gamma = sea_params_vector(stack->params, at->q_norm),
        .rstd = kept->q_rstd, .R = R * desc->H, .C = desc->E, .eps = desc->eps,
        .gamma_add = desc->norm_add, .heads = desc->H, .ld = qkv,
    };
    const struct sea_op_rmsnorm k_norm = {
        .x = k, .y = k, .gamma = sea_params_vector(stack->params, at->k_norm),
        .rstd = kept->k_rstd, .R = R * desc->K, .C = desc->E, .eps = desc->eps,
        .gamma_add = desc->norm_add, .heads = desc->K, .ld = qkv,
    };

    if (kept->raw)
        status = sea_device_status(device, device->ops->copy(device->dev, kept->raw, kept->qkv,
                                   (size_t)(R * qkv) * sizeof(float)), "copy", err);
    if (!status)
        status = sea_run(device, err, rmsnorm, &q_norm);
    if (!status)
        status = sea_run(device, err, rmsnorm, &k_norm);
    return status;
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

    status = sea_block_norm(stack, layer, SEA_NORM1, x, work->norm, kept, R, err);
    if (!status)
        status = linear(work, at->qkv, at->qkv_bias, work->norm, kept->qkv, R, desc->D,
                        sea_block_qkv(desc), false, err);
    if (!status && desc->head_norms)
        status = norm_heads(stack, at, kept, R, err);
    if (!status && stack->cos_sin)
        status = sea_run(stack->params->device, err, rope, &rope);
    return status;
}

/* x += what is in `part` (R, D), through its norm (SEA_POST1, SEA_POST2) or gain. */
static enum sea_status
add_part(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
         enum sea_block_norm which, float *x, int64_t R, struct sea_err *err)
{
    const struct sea_device *device = stack->params->device;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    struct sea_kept *kept = &work->kept[layer];
    const float *part = which == SEA_POST1 ? kept->part1 : kept->part2;
    enum sea_status status;
    const struct sea_op_axpby add = {
        .x = x, .y = work->norm, .out = x, .n = R * stack->desc.D, .a = 1.0f, .b = 1.0f,
    };
    const struct sea_op_colscale gain = {
        .x = part, .base = x, .out = x, .R = R, .C = stack->desc.D,
        .gain = sea_params_vector(stack->params, which == SEA_POST1 ? at->gain1 : at->gain2),
    };

    if (stack->desc.gains)
        return sea_run(device, err, colscale, &gain);
    status = sea_block_norm(stack, layer, which, part, work->norm, kept, R, err);
    return status ? status : sea_run(device, err, axpby, &add);
}

/* Up to the activation. */
static enum sea_status
finish_first(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
             const float *att, float *x, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_device *device = stack->params->device;
    struct sea_kept *kept = &work->kept[layer];
    bool parts = desc->post_norms || desc->gains;
    enum sea_status status = SEA_OK;
    const struct sea_op_act act = {
        .x = kept->pre, .y = work->act, .R = R, .C = desc->F, .act = desc->act,
        .gated = desc->gated,
    };

    /* Packing used work->norm; x is still the block's input. */
    if (desc->parallel && att == work->att_live)
        status = sea_block_norm(stack, layer, SEA_NORM1, x, work->norm, NULL, R, err);
    if (!status)
        status = linear(work, at->o, at->o_bias, att, parts ? kept->part1 : x, R,
                        sea_block_heads(desc), desc->D, !parts, err);
    if (!status && parts)
        status = add_part(stack, work, layer, SEA_POST1, x, R, err);
    if (!status && kept->h)
        status = sea_device_status(device, device->ops->copy(device->dev, kept->h, x,
                                   (size_t)(R * desc->D) * sizeof(float)), "copy", err);
    if (!status && !desc->parallel)
        status = sea_block_norm(stack, layer, SEA_NORM2, x, work->norm, kept, R, err);
    if (!status)
        status = linear(work, at->up, at->up_bias, work->norm, kept->pre, R, desc->D,
                        sea_block_up(desc), false, err);
    if (!status)
        status = sea_run(device, err, act, &act);
    return status;
}

/* The product down, and what follows it. */
static enum sea_status
finish_last(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
            float *x, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    bool parts = desc->post_norms || desc->gains;
    enum sea_status status;

    status = linear(work, at->down, at->down_bias, work->act,
                    parts ? work->kept[layer].part2 : x, R, desc->F, desc->D, !parts, err);
    if (!status && parts)
        status = add_part(stack, work, layer, SEA_POST2, x, R, err);
    return status;
}

enum sea_status
sea_block_finish(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                 const float *att, float *x, int64_t R, struct sea_err *err)
{
    enum sea_status status = finish_first(stack, work, layer, att, x, R, err);

    return status ? status : finish_last(stack, work, layer, x, R, err);
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
    struct sea_op_attention attention = sea_block_attention(work->stack, layer);

    attention.q = kept->qkv;
    attention.k = kept->qkv + sea_block_heads(desc);
    attention.v = kept->qkv + sea_block_heads(desc) + sea_block_keys(desc);
    attention.out = kept->att;
    attention.lse = kept->lse;
    attention.q_start = attention.k_start = segments->start;
    attention.k_len = work->k_len;
    attention.S = segments->count;
    return sea_run(work->stack->params->device, err, attention, &attention);
}

enum sea_status
sea_block_redo(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
               const struct sea_segments *segments, struct sea_err *err)
{
    const struct sea_device *device = stack->params->device;
    const struct sea_kept *kept = &work->kept[layer];
    int64_t R = segments->rows;
    enum sea_status status;

    status = sea_device_status(device, device->ops->copy(device->dev, work->redo, kept->x,
                               (size_t)(R * stack->desc.D) * sizeof(float)), "copy", err);
    if (!status)
        status = sea_block_start(stack, work, layer, work->redo, segments->pos, R, err);
    if (!status)
        status = attend(work, segments, layer, err);
    if (!status)
        status = finish_first(stack, work, layer, kept->att, work->redo, R, err);
    /* The product down is read by the backward only before a norm or a gain. */
    if (!status && kept->part2)
        status = finish_last(stack, work, layer, work->redo, R, err);
    return status;
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
