/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/transformer_int.h"

#include "engine/sea_lora.h"
#include "engine/sea_shard.h"

static enum sea_status
linear_dx(const struct sea_stack_work *work, int64_t weight, const float *dy, float *dx,
          int64_t R, int64_t in, int64_t out, bool add, struct sea_err *err)
{
    const struct sea_stack *stack = work->stack;
    const struct sea_weight matrix = sea_params_matrix(stack->params, weight);
    const struct sea_op_gemm gemm = {
        .a = dy, .lda = out, .b = matrix.data, .b_type = matrix.type, .ldb = in,
        .c = dx, .ldc = in, .M = R, .N = in, .K = out, .accumulate = add, .alpha = 1.0f,
        .rounded = work->rounded,
    };

    return sea_run(stack->params->device, err, gemm, &gemm);
}

static enum sea_status
linear_dw(const struct sea_stack_work *work, int64_t weight, int64_t bias, const float *x,
          const float *dy, int64_t R, int64_t in, int64_t out, struct sea_err *err)
{
    const struct sea_stack *stack = work->stack;
    float *grad = stack->params->grad;
    enum sea_status status;
    const struct sea_op_gemm gemm = {
        .a = dy, .lda = out, .trans_a = 1, .b = x, .ldb = in, .c = grad + weight, .ldc = in,
        .M = out, .N = in, .K = R, .accumulate = 1, .alpha = 1.0f, .rounded = work->rounded,
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

/* One linear layer backward. */
struct linear_bwd {
    int64_t weight, bias;       /* offsets; bias -1: none */
    const float *x, *dy;        // (R, in); unused unless needs_inputs; (R, out)
    float *dx;                  // (R, in), added to when add
    int64_t R, in, out;
    bool add;
};

/* Whether a backward reads the inputs of linear layers again: a frozen stack without
 * adapters does not. */
static bool
needs_inputs(const struct sea_stack *stack)
{
    return stack->params->grad || stack->lora;
}

/* Gradients of y = x W^T + bias: dx [+]= dy W; dW and dbias are added to when the parameters
 * are trained, adapters' gradients when there are adapters. */
static enum sea_status
linear_bwd(const struct sea_stack_work *work, const struct linear_bwd *l, struct sea_err *err)
{
    const struct sea_stack *stack = work->stack;
    enum sea_status status = SEA_OK;

    if (stack->params->grad)
        status = linear_dw(work, l->weight, l->bias, l->x, l->dy, l->R, l->in, l->out, err);
    if (!status)
        status = linear_dx(work, l->weight, l->dy, l->dx, l->R, l->in, l->out, l->add, err);
    if (!status && stack->lora)
        status = sea_lora_backward(stack->lora, l->weight, l->x, l->dy, l->dx, l->R, l->in,
                                   l->out, err);
    return status;
}

enum sea_status
sea_stack_norm_backward(const struct sea_stack *stack, int64_t weight, int64_t bias,
                        const float *x, const float *dy, const float *mean, const float *rstd,
                        float *dx, bool add_dx, int64_t R, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const float *gamma = sea_params_vector(stack->params, weight);
    float *grad = stack->params->grad;

    if (desc->norm == SEA_NORM_LAYER) {
        const struct sea_op_layernorm_bwd bwd = {
            .x = x, .dy = dy, .gamma = gamma, .mean = mean, .rstd = rstd, .dx = dx,
            .dgamma = grad ? grad + weight : NULL, .dbeta = grad ? grad + bias : NULL,
            .R = R, .C = desc->D, .add_dx = add_dx,
        };

        return sea_run(stack->params->device, err, layernorm_bwd, &bwd);
    }
    const struct sea_op_rmsnorm_bwd bwd = {
        .x = x, .dy = dy, .gamma = gamma, .rstd = rstd, .dx = dx,
        .dgamma = grad ? grad + weight : NULL, .R = R, .C = desc->D,
        .gamma_add = desc->norm_add, .add_dx = add_dx,
    };

    return sea_run(stack->params->device, err, rmsnorm_bwd, &bwd);
}

/* Through norm `which` of the rows x. */
static enum sea_status
norm_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
         enum sea_block_norm which, const float *x, const float *dy, float *dx, bool add_dx,
         int64_t R, struct sea_err *err)
{
    const struct sea_kept *kept = &work->kept[layer];
    int64_t weight, bias;

    sea_block_norm_at(&stack->blocks[layer], which, &weight, &bias);
    return sea_stack_norm_backward(stack, weight, bias, x, dy, kept->mean[which],
                                   kept->rstd[which], dx, add_dx, R, err);
}

/* *out: gradient of what attention (SEA_POST1) or feed-forward (SEA_POST2) gave, before its
 * norm or gain; without them dy itself. */
static enum sea_status
part_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
         enum sea_block_norm which, const float *dy, const float **out, int64_t R,
         struct sea_err *err)
{
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_kept *kept = &work->kept[layer];
    const float *part = which == SEA_POST1 ? kept->part1 : kept->part2;
    int64_t gain = which == SEA_POST1 ? at->gain1 : at->gain2;
    float *grad = stack->params->grad;
    const struct sea_op_colscale_bwd scale = {
        .x = part, .dout = dy, .gain = sea_params_vector(stack->params, gain),
        .dx = work->dpart, .dgain = grad ? grad + gain : NULL, .R = R, .C = stack->desc.D,
    };

    *out = part ? work->dpart : dy;
    if (!part)
        return SEA_OK;
    if (stack->desc.gains)
        return sea_run(stack->params->device, err, colscale_bwd, &scale);
    return norm_bwd(stack, work, layer, which, part, dy, work->dpart, false, R, err);
}

/* *out: what the feed-forward part read, once more, for its weight gradients. */
static enum sea_status
feed_forward_input(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                   const struct sea_segments *segments, bool pack, const float **out,
                   struct sea_err *err)
{
    const struct sea_kept *kept = &work->kept[layer];
    int64_t D = stack->desc.D, R = pack ? segments->live_count : segments->rows;
    enum sea_status status;
    const struct sea_op_gather gather = {
        .inp = work->norm, .idx = segments->live, .out = work->dnorm, .R = R, .C = D,
        .ld_inp = D, .ld_out = D,
    };

    *out = work->norm;
    if (!stack->desc.parallel)
        return sea_block_norm(stack, layer, SEA_NORM2, kept->h, work->norm, NULL, R, err);
    status = sea_block_norm(stack, layer, SEA_NORM1, kept->x, work->norm, NULL,
                            segments->rows, err);
    if (status || !pack)
        return status;
    *out = work->dnorm;
    return sea_run(stack->params->device, err, gather, &gather);
}

/* Rows (R, D) of live rows to (N, D), zero elsewhere; through work->norm. */
static enum sea_status
spread(const struct sea_stack *stack, struct sea_stack_work *work,
       const struct sea_segments *segments, float *rows, struct sea_err *err)
{
    const struct sea_device *device = stack->params->device;
    int64_t N = segments->rows, D = stack->desc.D;
    enum sea_status status;
    const struct sea_op_gather gather = {
        .inp = rows, .idx = segments->live_of, .out = work->norm, .R = N, .C = D, .ld_inp = D,
        .ld_out = D,
    };

    status = sea_run(device, err, gather, &gather);
    if (!status)
        status = sea_device_status(device, device->ops->copy(device->dev, rows, work->norm,
                                   (size_t)(N * D) * sizeof(float)), "copy", err);
    return status;
}

/* Through down, act, up and norm2: added to dx (R, D); in a parallel block, whose norm also
 * feeds attention, to work->dshared (N, D). The activation and the norm's result exist only
 * for weight gradients and adapters, so that a frozen block does not recompute them. */
static enum sea_status
feed_forward_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
                 const struct sea_segments *segments, bool pack, float *dx,
                 struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_device *device = stack->params->device;
    const struct sea_kept *kept = &work->kept[layer];
    int64_t R = pack ? segments->live_count : segments->rows;
    int64_t D = desc->D, F = desc->F, up = sea_block_up(desc);
    bool inputs = needs_inputs(stack);
    const float *dy, *input = NULL;
    enum sea_status status;
    const struct sea_op_act act = {
        .x = kept->pre, .y = work->act, .R = R, .C = F, .act = desc->act,
        .gated = desc->gated,
    };
    const struct sea_op_act_bwd act_bwd = {
        .x = kept->pre, .dy = work->mid, .dx = work->wide, .R = R, .C = F, .act = desc->act,
        .gated = desc->gated,
    };

    status = part_bwd(stack, work, layer, SEA_POST2, dx, &dy, R, err);
    if (!status && inputs)
        status = sea_run(device, err, act, &act);
    if (!status)
        status = linear_bwd(work, &(struct linear_bwd){
                                .weight = at->down, .bias = at->down_bias, .x = work->act,
                                .dy = dy, .dx = work->mid, .R = R, .in = F, .out = D }, err);
    if (!status)
        status = sea_run(device, err, act_bwd, &act_bwd);
    if (!status && inputs)
        status = feed_forward_input(stack, work, layer, segments, pack, &input, err);
    if (!status)
        status = linear_bwd(work, &(struct linear_bwd){
                                .weight = at->up, .bias = at->up_bias, .x = input,
                                .dy = work->wide, .R = R, .in = D, .out = up,
                                .dx = desc->parallel ? work->dshared : work->dnorm }, err);
    if (!status && desc->parallel)
        return pack ? spread(stack, work, segments, work->dshared, err) : SEA_OK;
    if (!status)
        status = norm_bwd(stack, work, layer, SEA_NORM2, kept->h, work->dnorm, dx, true, R,
                          err);
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
    const float *dy;
    enum sea_status status = part_bwd(stack, work, layer, SEA_POST1, dx, &dy, R, err);
    const struct sea_op_gather spread_att = {
        .inp = work->act, .idx = segments->live_of, .out = work->mid, .R = N, .C = heads,
        .ld_inp = heads, .ld_out = heads,
    };

    if (!status)
        status = linear_bwd(work, &(struct linear_bwd){
                                .weight = at->o, .bias = at->o_bias, .dy = dy,
                                .x = pack ? work->att_live : work->kept[layer].att,
                                .dx = pack ? work->act : work->mid,
                                .R = R, .in = heads, .out = D }, err);
    if (status || !pack)
        return status;
    status = sea_run(device, err, gather, &spread_att);
    return status ? status : spread(stack, work, segments, dx, err);
}

/* work->wide: from q and k behind the head norms to those before them. */
static enum sea_status
norm_heads_bwd(const struct sea_stack *stack, struct sea_stack_work *work, int64_t layer,
               int64_t N, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    const struct sea_block_offsets *at = &stack->blocks[layer];
    const struct sea_kept *kept = &work->kept[layer];
    int64_t heads = sea_block_heads(desc), qkv = sea_block_qkv(desc);
    float *grad = stack->params->grad;
    enum sea_status status;
    const struct sea_op_rmsnorm_bwd q_bwd = {
        .x = kept->raw, .dy = work->wide, .dx = work->wide, .rstd = kept->q_rstd,
        .gamma = sea_params_vector(stack->params, at->q_norm),
        .dgamma = grad ? grad + at->q_norm : NULL, .R = N * desc->H, .C = desc->E,
        .gamma_add = desc->norm_add, .heads = desc->H, .ld = qkv,
    };
    const struct sea_op_rmsnorm_bwd k_bwd = {
        .x = kept->raw + heads, .dy = work->wide + heads, .dx = work->wide + heads,
        .rstd = kept->k_rstd, .gamma = sea_params_vector(stack->params, at->k_norm),
        .dgamma = grad ? grad + at->k_norm : NULL, .R = N * desc->K, .C = desc->E,
        .gamma_add = desc->norm_add, .heads = desc->K, .ld = qkv,
    };

    status = sea_run(stack->params->device, err, rmsnorm_bwd, &q_bwd);
    return status ? status : sea_run(stack->params->device, err, rmsnorm_bwd, &k_bwd);
}

/* A key's bias, where heads are not rotated, adds the same to all scores of a query: nothing
 * depends on it. Its gradient is 0 and not the rounding that was summed, of which Adam would
 * make whole steps. */
static enum sea_status
still_key_bias(const struct sea_stack *stack, int64_t layer, struct sea_err *err)
{
    const struct sea_block_desc *desc = &stack->desc;
    int64_t bias = stack->blocks[layer].qkv_bias, still = desc->E - desc->rope_dims, at;
    enum sea_status status = SEA_OK;

    if (!stack->params->grad || bias < 0 || !stack->cos_sin || !still || desc->score_cap > 0 ||
        desc->head_norms)
        return SEA_OK;
    for (int64_t k = 0; k < desc->K && !status; k++) {
        at = bias + sea_block_heads(desc) + k * desc->E + desc->rope_dims;
        status = sea_device_zero(stack->params->device, stack->params->grad + at,
                                 (size_t)still * sizeof(float), err);
    }
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
    float *dnorm = desc->parallel ? work->dshared : work->dnorm;
    enum sea_status status;
    struct sea_op_attention_bwd bwd = {
        .fwd = sea_block_attention(stack, layer), .dout = work->mid, .delta = work->delta,
        .dq = work->wide, .dk = work->wide + heads, .dv = work->wide + heads + keys,
    };
    const struct sea_op_rope rope = {
        .x = work->wide, .cos_sin = stack->cos_sin, .pos = segments->pos, .N = N,
        .heads = desc->H + desc->K, .E = desc->E, .rot = desc->rope_dims, .ld = qkv,
        .inverse = 1,
    };

    bwd.fwd.q = kept->qkv;
    bwd.fwd.k = kept->qkv + heads;
    bwd.fwd.v = kept->qkv + heads + keys;
    bwd.fwd.out = kept->att;
    bwd.fwd.lse = kept->lse;
    bwd.fwd.q_start = bwd.fwd.k_start = segments->start;
    bwd.fwd.k_len = work->k_len;
    bwd.fwd.S = segments->count;
    status = sea_run(device, err, attention_bwd, &bwd);
    if (!status && stack->cos_sin)
        status = sea_run(device, err, rope, &rope);
    if (!status && desc->head_norms)
        status = norm_heads_bwd(stack, work, layer, N, err);
    if (!status && needs_inputs(stack))
        status = sea_block_norm(stack, layer, SEA_NORM1, kept->x, work->norm, NULL, N, err);
    if (!status)
        status = linear_bwd(work, &(struct linear_bwd){
                                .weight = at->qkv, .bias = at->qkv_bias, .x = work->norm,
                                .dy = work->wide, .dx = dnorm, .R = N, .in = D, .out = qkv,
                                .add = desc->parallel }, err);
    if (!status)
        status = still_key_bias(stack, layer, err);
    if (!status)
        status = norm_bwd(stack, work, layer, SEA_NORM1, kept->x, dnorm, dx, true, N, err);
    return status;
}

/* With ranks: a layer's gradients are waited for, or go to the next rank. */
static enum sea_status
pass_layer(const struct sea_stack *stack, int64_t layer, sea_shard_pass *pass,
           struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    if (stack->params->shard)
        status = pass(stack->params, stack->blocks[layer].qkv, err);
    return status || !stack->lora ? status : sea_lora_pass(stack->lora, layer, pass, err);
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
        if (work->redo && l < layers - 1)       /* the last one is as the forward left it */
            status = sea_block_redo(stack, work, l, segments, err);
        if (!status)
            status = pass_layer(stack, l, sea_shard_open_at, err);
        if (!status)
            status = feed_forward_bwd(stack, work, l, segments, pack, dx, err);
        if (!status)
            status = attention_out_bwd(stack, work, l, segments, pack, dx, err);
        if (!status)
            status = attention_bwd(stack, work, l, segments, dx, err);
        if (!status)
            status = pass_layer(stack, l, sea_shard_close_at, err);
    }
    return status;
}
