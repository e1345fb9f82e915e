/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Patches in the joint space, in the four variants of sea_clip.h. The plain blocks run in
 * the stack; what the variants change is written here with operators over its offsets.
 */
#include <math.h>
#include <string.h>

#include "engine/clip_int.h"

static const struct variant_row {
    const char *name;
    float sign;
} variants[SEA_CLIP_VARIANTS] = {
    [SEA_CLIP_RAW_POS] = { "raw_pos", 1 },
    [SEA_CLIP_RAW_NEG] = { "raw_neg", -1 },
    [SEA_CLIP_MASKCLIP] = { "maskclip", 1 },
    [SEA_CLIP_SURGERY] = { "surgery", 1 },
};

const char *
sea_clip_variant_name(enum sea_clip_variant variant)
{
    return variants[variant].name;
}

bool
sea_clip_variant_find(const char *name, enum sea_clip_variant *out)
{
    int i;

    for (i = 0; i < SEA_CLIP_VARIANTS; i++)
        if (strcmp(name, variants[i].name) == 0) {
            *out = (enum sea_clip_variant)i;
            return true;
        }
    return false;
}

float
sea_clip_variant_sign(enum sea_clip_variant variant)
{
    return variants[variant].sign;
}

/* A block and the rows that go through it. */
struct step {
    const struct sea_clip *clip;
    struct sea_clip_work *work;
    const struct sea_block_offsets *block;
    int64_t count, N, D;
};

static struct sea_weight
matrix(const struct step *step, int64_t offset)
{
    return sea_params_matrix(&step->clip->vision, offset);
}

static const float *
vector(const struct step *step, int64_t offset)
{
    return sea_params_vector(&step->clip->vision, offset);
}

static enum sea_status
norm_rows(const struct step *step, const float *x, int64_t gamma, int64_t beta,
          struct sea_err *err)
{
    const struct sea_op_layernorm norm = {
        .x = x, .gamma = vector(step, gamma), .beta = vector(step, beta),
        .y = step->work->eye.norm, .R = step->N, .C = step->D,
        .eps = step->clip->desc.vision.eps,
    };

    return sea_run(step->clip->device, err, layernorm, &norm);
}

/* eye->v = Wv norm1(x) + bv. Heads are equal in number for q, k and v: the third D rows. */
static enum sea_status
values(const struct step *step, const float *x, struct sea_err *err)
{
    int64_t D = step->D;
    enum sea_status status;

    status = norm_rows(step, x, step->block->norm1, step->block->norm1_bias, err);
    if (!status)
        status = sea_clip_linear(step->clip->device,
                                 matrix(step, step->block->qkv + 2 * D * D),
                                 vector(step, step->block->qkv_bias + 2 * D),
                                 step->work->eye.norm, step->work->eye.v, step->N, D, D,
                                 false, err);
    return status;
}

/* to += Wo rows + bo. */
static enum sea_status
add_output(const struct step *step, const float *rows, float *to, struct sea_err *err)
{
    return sea_clip_linear(step->clip->device, matrix(step, step->block->o),
                           vector(step, step->block->o_bias), rows, to, step->N, step->D,
                           step->D, true, err);
}

/* x += feed-forward(norm2(x)). */
static enum sea_status
feed_forward(const struct step *step, float *x, struct sea_err *err)
{
    const struct sea_device *device = step->clip->device;
    struct sea_clip_eye *eye = &step->work->eye;
    int64_t F = step->clip->desc.vision.F;
    const struct sea_op_act act = {
        .x = eye->wide, .y = eye->wide, .R = step->N, .C = F,
        .act = step->clip->desc.vision.act,
    };
    enum sea_status status;

    status = norm_rows(step, x, step->block->norm2, step->block->norm2_bias, err);
    if (!status)
        status = sea_clip_linear(device, matrix(step, step->block->up),
                                 vector(step, step->block->up_bias), eye->norm, eye->wide,
                                 step->N, step->D, F, false, err);
    if (!status)
        status = sea_run(device, err, act, &act);
    if (!status)
        status = sea_clip_linear(device, matrix(step, step->block->down),
                                 vector(step, step->block->down_bias), eye->wide, x,
                                 step->N, F, step->D, true, err);
    return status;
}

/* eye->norm = softmax(v v' / sqrt(E)) v, per picture and head. */
static enum sea_status
attend_values(const struct step *step, struct sea_err *err)
{
    struct sea_clip_eye *eye = &step->work->eye;
    int64_t H = step->clip->desc.vision.heads, E = step->D / H;
    struct sea_op_attention attention = {
        .q = eye->v, .k = eye->v, .v = eye->v, .out = eye->norm, .q_start = eye->start,
        .k_start = eye->start, .k_len = eye->k_len, .S = step->count, .H = H, .K = H, .E = E,
        .ld_q = step->D, .ld_kv = step->D, .ld_out = step->D,
        .scale = (float)(1 / sqrt((double)E)),
    };

    return sea_run(step->clip->device, err, attention, &attention);
}

static enum sea_status
last_block_maskclip(struct step *step, struct sea_err *err)
{
    struct sea_clip_eye *eye = &step->work->eye;
    enum sea_status status;

    step->block = &step->clip->vision_stack.blocks[step->clip->desc.vision.layers - 1];
    status = values(step, eye->x, err);
    if (!status)
        status = add_output(step, eye->v, eye->x, err);
    if (!status)
        status = feed_forward(step, eye->x, err);
    return status;
}

/* Blocks first .. layers - 1 on both paths; the result is eye->n. */
static enum sea_status
last_blocks_surgery(struct step *step, int64_t first, struct sea_err *err)
{
    const struct sea_clip *clip = step->clip;
    struct sea_clip_eye *eye = &step->work->eye;
    struct sea_clip_out to_n = { .device = eye->n };
    struct sea_segments segments = {
        .count = step->count, .rows = step->N, .start = eye->start,
    };
    struct sea_stack one = clip->vision_stack;  /* a stack of the block at hand */
    enum sea_status status;
    int64_t layer;

    one.desc.layers = 1;
    status = sea_clip_give(clip->device, eye->x, step->N * step->D, to_n, 0, err);
    for (layer = first; !status && layer < clip->desc.vision.layers; layer++) {
        step->block = one.blocks = &clip->vision_stack.blocks[layer];
        status = values(step, eye->x, err);
        if (!status)
            status = attend_values(step, err);
        if (!status)
            status = add_output(step, eye->norm, eye->n, err);
        /* The plain path's last block would not be read. */
        if (!status && layer + 1 < clip->desc.vision.layers)
            status = sea_stack_forward(&one, eye->stack, &segments, 1, eye->x, err);
    }
    return status;
}

/* One chunk: all patches in the joint space, eye->exit.joint. */
static enum sea_status
embed_patches(const struct sea_clip *clip, struct sea_clip_work *work, const float *pixels,
              int64_t count, enum sea_clip_variant variant, struct sea_err *err)
{
    struct sea_clip_eye *eye = &work->eye;
    int64_t layers = clip->desc.vision.layers, M = count * sea_clip_patch_count(&clip->desc);
    struct step step = {
        .clip = clip, .work = work, .count = count, .D = clip->desc.vision.D,
        .N = M + count * sea_clip_class_rows(&clip->desc),
    };
    const float *rows = eye->x;
    int64_t plain = layers;
    enum sea_status status;

    if (variant == SEA_CLIP_MASKCLIP)
        plain = layers - 1;
    if (variant == SEA_CLIP_SURGERY)
        plain = layers > SEA_CLIP_SURGERY_BLOCKS ? layers - SEA_CLIP_SURGERY_BLOCKS : 0;
    status = sea_clip_eye_embed(clip, work, pixels, count, err);
    if (!status)
        status = sea_clip_eye_blocks(clip, work, count, plain, false, err);
    if (!status && variant == SEA_CLIP_MASKCLIP)
        status = last_block_maskclip(&step, err);
    if (!status && variant == SEA_CLIP_SURGERY) {
        status = last_blocks_surgery(&step, plain, err);
        rows = eye->n;
    }
    if (!status && clip->desc.vision.pool)
        return sea_clip_pool(clip, work, rows, count, true, err);
    if (!status)
        status = sea_clip_gather(clip->device, rows, eye->cell_at, eye->cell_rows, M, step.D,
                                 false, err);
    if (!status)
        status = sea_clip_exit_forward(clip->device, &eye->exit, eye->cell_rows, M, false,
                                       err);
    return status;
}

enum sea_status
sea_clip_patches(const struct sea_clip *clip, struct sea_clip_work *work,
                 const float *pixels, int64_t count, enum sea_clip_variant variant,
                 struct sea_clip_out out, struct sea_err *err)
{
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    int64_t picture = desc->channels * desc->image * desc->image, from, n;
    int64_t m = sea_clip_patch_count(&clip->desc), J = clip->desc.joint;
    enum sea_status status = SEA_OK;

    if (J < 1)
        return sea_fail(err, SEA_E_CONFIG, "this %s model has no joint space",
                        sea_tower_name(clip->desc.tower));
    if (work->limits.images < 1 || work->limits.trained)
        return sea_fail(err, SEA_E_INTERNAL, "this work was made without room for patches");
    for (from = 0; !status && from < count; from += n) {
        n = count - from < work->limits.images ? count - from : work->limits.images;
        status = embed_patches(clip, work, pixels + from * picture, n, variant, err);
        if (!status)
            status = sea_clip_give(clip->device, work->eye.exit.joint, n * m * J, out,
                                   from * m * J, err);
    }
    return status;
}
