/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/transformer_int.h"

#include <math.h>

/* Gradients of y (R, out) = x (R, in) W^T + bias: dx = dy W; dW and dbias are added to
 * when the parameters are trained. */
static enum sea_status
linear_dx(const struct sea_stack *stack, int64_t weight, const float *dy, float *dx,
          int64_t R, int64_t in, int64_t out, struct sea_err *err)
{
    const struct sea_op_gemm gemm = {
        .a = dy, .lda = out, .b = sea_weight_at(stack, weight), .ldb = in,
        .c = dx, .ldc = in, .M = R, .N = in, .K = out, .alpha = 1.0f,
    };

    return sea_run(stack->params->device, err, gemm, &gemm);
}

static enum sea_status
linear_dw(const struct sea_stack *stack, int64_t weight, int64_t bias, const float *x,
          const float *dy, int64_t R, int64_t in, int64_t out, struct sea_err *err)
{
    float *grad = stack->params->grad;
    enum sea_status status;
    const struct sea_op_gemm gemm = {
        .a = dy, .lda = out, .trans_a = 1, .b = x, .ldb = in, .c = grad + weight, .ldc = in,
        .M = out, .N = in, .K = R, .accumulate = 1, .alpha = 1.0f,
    };
    const struct sea_op_colsum colsum = {
        .x = dy, .out = bias < 0 ? NULL : grad + bias, .R = R, .C = out, .ld = out,
        .accumulate = 1,
    };

    status = sea_run(stack->params->device, err, gemm, &gemm);
    if (!status && bias >= 0)
        status = sea_run(stack->params->device, err, colsum, &colsum);
    return status;
}

/* dx (R, D) += gradient through norm `which` of dn. */
static enum sea_status
norm_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer, int which,
         const float *dn, float *dx, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_kept *kept = &work->kept[layer];
    float *grad = stack->params->grad;
    int64_t gamma = which == 1 ? at->norm1 : at->norm2;
    int64_t beta = which == 1 ? at->norm1_bias : at->norm2_bias;
    const float *x = which == 1 ? kept->x : kept->h;
    const float *rstd = which == 1 ? kept->rstd1 : kept->rstd2;

    if (desc->norm == SEA_NORM_LAYER) {
        const struct sea_op_layernorm_bwd bwd = {
            .x = x, .dy = dn, .gamma = sea_weight_at(stack, gamma),
            .mean = which == 1 ? kept->mean1 : kept->mean2, .rstd = rstd, .dx = dx,
            .dgamma = grad ? grad + gamma : NULL, .dbeta = grad ? grad + beta : NULL,
            .R = R, .C = desc->D, .add_dx = 1,
        };

        return sea_run(stack->params->device, err, layernorm_bwd, &bwd);
    }
    const struct sea_op_rmsnorm_bwd bwd = {
        .x = x, .dy = dn, .gamma = sea_weight_at(stack, gamma), .rstd = rstd, .dx = dx,
        .dgamma = grad ? grad + gamma : NULL, .R = R, .C = desc->D,
        .gamma_add = desc->norm_add, .add_dx = 1,
    };

    return sea_run(stack->params->device, err, rmsnorm_bwd, &bwd);
}

/* dx (R, D): through down, act, up and norm2. The activation and norm2's result exist only
 * for weight gradients, so that a frozen block does not recompute them. */
static enum sea_status
feed_forward_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                 float *dx, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_device *device = stack->params->device;
    const struct sea_kept *kept = &work->kept[layer];
    int64_t D = desc->D, F = desc->F, up = sea_block_up(desc);
    bool trained = stack->params->grad;
    enum sea_status status = SEA_OK;
    const struct sea_op_act act = {
        .x = kept->pre, .y = work->act, .R = R, .C = F, .act = desc->act,
        .gated = desc->gated,
    };
    const struct sea_op_act_bwd act_bwd = {
        .x = kept->pre, .dy = work->mid, .dx = work->wide, .R = R, .C = F, .act = desc->act,
        .gated = desc->gated,
    };

    if (trained)
        status = sea_run(device, err, act, &act);
    if (!status && trained)
        status = linear_dw(stack, at->down, at->down_bias, work->act, dx, R, F, D, err);
    if (!status)
        status = linear_dx(stack, at->down, dx, work->mid, R, F, D, err);
    if (!status)
        status = sea_run(device, err, act_bwd, &act_bwd);
    if (!status && trained)
        status = sea_block_norm(stack, layer, 2, kept->h, work->norm, NULL, NULL, R, err);
    if (!status && trained)
        status = linear_dw(stack, at->up, at->up_bias, work->norm, work->wide, R, D, up, err);
    if (!status)
        status = linear_dx(stack, at->up, work->wide, work->dnorm, R, D, up, err);
    if (!status)
        status = norm_bwd(stack, work, layer, 2, work->dnorm, dx, R, err);
    return status;
}

/* Gradient of attention's result: work->mid (N, HE). With live rows dx becomes (N, D). */
static enum sea_status
attention_out_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                  const struct sea_segments *segments, bool pack, float *dx,
                  struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_device *device = stack->params->device;
    int64_t D = desc->D, N = segments->rows, heads = sea_block_heads(desc);
    int64_t R = pack ? segments->live_count : N;
    enum sea_status status = SEA_OK;
    const struct sea_op_gather spread_att = {
        .inp = work->act, .idx = segments->live_of, .out = work->mid, .R = N, .C = heads,
        .ld_inp = heads, .ld_out = heads,
    };
    const struct sea_op_gather spread_dx = {
        .inp = dx, .idx = segments->live_of, .out = work->norm, .R = N, .C = D, .ld_inp = D,
        .ld_out = D,
    };

    if (stack->params->grad)
        status = linear_dw(stack, at->o, at->o_bias,
                           pack ? work->att_live : work->kept[layer].att, dx, R, heads, D,
                           err);
    if (!status)
        status = linear_dx(stack, at->o, dx, pack ? work->act : work->mid, R, heads, D, err);
    if (status || !pack)
        return status;
    status = sea_run(device, err, gather, &spread_att);
    if (!status)
        status = sea_run(device, err, gather, &spread_dx);
    if (!status)
        status = sea_device_status(device, device->ops->copy(device->dev, dx, work->norm,
                                   (size_t)(N * D) * sizeof(float)), "copy", err);
    return status;
}

static enum sea_status
attention_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
              const struct sea_segments *segments, float *dx, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_device *device = stack->params->device;
    const struct sea_kept *kept = &work->kept[layer];
    int64_t heads = sea_block_heads(desc), keys = sea_block_keys(desc);
    int64_t N = segments->rows, D = desc->D, qkv = sea_block_qkv(desc);
    enum sea_status status;
    const struct sea_op_attention_bwd bwd = {
        .fwd = {
            .q = kept->qkv, .k = kept->qkv + heads, .v = kept->qkv + heads + keys,
            .out = kept->att, .lse = kept->lse, .q_start = segments->start,
            .k_start = segments->start, .k_len = work->k_len, .S = segments->count,
            .H = desc->H, .K = desc->K, .E = desc->E, .ld_q = qkv, .ld_kv = qkv,
            .ld_out = heads, .scale = 1.0f / sqrtf((float)desc->E), .causal = desc->causal,
        },
        .dout = work->mid, .delta = work->delta,
        .dq = work->wide, .dk = work->wide + heads, .dv = work->wide + heads + keys,
    };
    const struct sea_op_rope rope = {
        .x = work->wide, .cos_sin = stack->cos_sin, .pos = segments->pos, .N = N,
        .heads = desc->H + desc->K, .E = desc->E, .rot = desc->rope_dims, .ld = qkv,
        .inverse = 1,
    };

    status = sea_run(device, err, attention_bwd, &bwd);
    if (!status && stack->cos_sin)
        status = sea_run(device, err, rope, &rope);
    if (!status && stack->params->grad)
        status = sea_block_norm(stack, layer, 1, kept->x, work->norm, NULL, NULL, N, err);
    if (!status && stack->params->grad)
        status = linear_dw(stack, at->qkv, at->qkv_bias, work->norm, work->wide, N, D, qkv,
                           err);
    if (!status)
        status = linear_dx(stack, at->qkv, work->wide, work->dnorm, N, D, qkv, err);
    if (!status)
        status = norm_bwd(stack, work, layer, 1, work->dnorm, dx, N, err);
    return status;
}

enum sea_status
sea_stack_backward(const struct sea_stack *stack, struct sea_stack_work *work,
                   const struct sea_segments *segments, int64_t layers, float *dx,
                   struct sea_err *err)
{
    enum sea_status status = sea_work_check(work, segments, err);
    bool pack;

    if (!status && !work->trained)
        return sea_fail(err, SEA_E_INTERNAL, "activations without gradients cannot be used "
                        "for a backward pass");
    if (!layers)
        layers = stack->desc.layers;
    for (int64_t s = 0; s < segments->count && !status; s++)
        work->k_len[s] = segments->start[s + 1] - segments->start[s];
    for (int64_t l = layers - 1; l >= 0 && !status; l--) {
        pack = segments->live && l == layers - 1;
        status = feed_forward_bwd(stack, work, l, dx,
                                  pack ? segments->live_count : segments->rows, err);
        if (!status)
            status = attention_out_bwd(stack, work, l, segments, pack, dx, err);
        if (!status)
            status = attention_bwd(stack, work, l, segments, dx, err);
    }
    return status;
}
