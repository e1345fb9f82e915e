/* SPDX-License-Identifier: Apache-2.0 */
/* A tower's parts: laid out, filled, loaded, saved. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/clip_int.h"
#include "engine/sea_safetensors.h"

#define CONFIG_BYTES_MAX (1 << 20)

/* Adds "PREFIXname" and returns its offset. cols 0: a vector. */
static int64_t
add(struct sea_params *params, const char *prefix, const char *name, int64_t rows,
    int64_t cols, enum sea_init init, double scale)
{
    const int64_t shape[2] = { rows, cols };
    const char *full = sea_arena_printf(params->arena, "%s%s", prefix, name);

    return sea_params_add(params, full, cols > 0 ? 2 : 1, shape, init, (float)scale);
}

static void
add_norm(struct sea_params *params, const char *prefix, const char *name, int64_t D,
         int64_t *weight, int64_t *bias)
{
    char text[64];

    snprintf(text, sizeof(text), "%s.weight", name);
    *weight = add(params, prefix, text, D, 0, SEA_INIT_ONE, 0);
    snprintf(text, sizeof(text), "%s.bias", name);
    *bias = add(params, prefix, text, D, 0, SEA_INIT_ZERO, 0);
}

/* The same with `lead` dimensions of size 1 in front: (1, 1, D), (1, rows, D). A vector
 * stays one, whatever its file's shape. */
static int64_t
add_led(struct sea_params *params, const char *prefix, const char *name, int lead,
        int64_t rows, int64_t cols, double scale)
{
    const char *full = sea_arena_printf(params->arena, "%s%s", prefix, name);
    int64_t shape[4], at;
    int rank = 0;

    if (!lead)
        return add(params, prefix, name, rows, cols, SEA_INIT_NORMAL, scale);
    while (rank < lead || (!cols && rank < 2))
        shape[rank++] = 1;
    shape[rank++] = rows;
    if (cols)
        shape[rank++] = cols;
    at = sea_params_add(params, full, rank, shape, SEA_INIT_NORMAL, (float)scale);
    if (!cols)
        sea_params_mark_exact(params);
    return at;
}

/* A weight and its bias, as PyTorch's Linear makes them but for a bias of 0. */
static void
add_linear(struct sea_params *params, const char *prefix, const char *name,
           const char *bias_name, int64_t out, int64_t in, int64_t *weight, int64_t *bias)
{
    *weight = add(params, prefix, name, out, in, SEA_INIT_NORMAL, sqrt(1.0 / (3.0 * (double)in)));
    *bias = add(params, prefix, bias_name, out, 0, SEA_INIT_ZERO, 0);
}

static struct sea_block_desc
block_desc(int64_t D, int64_t layers, int64_t heads, int64_t F, enum sea_act act, float eps,
           bool causal)
{
    struct sea_block_desc desc = {
        .layers = layers, .D = D, .H = heads, .K = heads, .E = D / heads, .F = F,
        .norm = SEA_NORM_LAYER, .eps = eps, .act = act, .qkv_bias = true, .out_bias = true,
        .ffn_bias = true, .causal = causal,
        /* The deviation that a linear layer of D inputs has in PyTorch. */
        .init_scale = (float)sqrt(1.0 / (3.0 * (double)D)),
    };

    return desc;
}

static void
lay_out_pool(struct sea_clip *clip, const char *prefix)
{
    struct sea_clip_offsets *at = &clip->at;
    struct sea_params *to = &clip->vision;
    int64_t D = clip->desc.vision.D, F = clip->desc.vision.F;

    at->probe = add_led(to, prefix, "head.probe", 1, D, 0, 1);
    add_linear(to, prefix, "head.attention.in_proj_weight", "head.attention.in_proj_bias",
               3 * D, D, &at->pool_in, &at->pool_in_bias);
    add_linear(to, prefix, "head.attention.out_proj.weight", "head.attention.out_proj.bias",
               D, D, &at->pool_out, &at->pool_out_bias);
    add_norm(to, prefix, "head.layernorm", D, &at->pool_norm, &at->pool_norm_bias);
    add_linear(to, prefix, "head.mlp.fc1.weight", "head.mlp.fc1.bias", F, D, &at->pool_up,
               &at->pool_up_bias);
    add_linear(to, prefix, "head.mlp.fc2.weight", "head.mlp.fc2.bias", D, F, &at->pool_down,
               &at->pool_down_bias);
}

static void
lay_out_embeddings(struct sea_clip *clip, const char *prefix)
{
    const struct sea_tower_row *row = sea_tower_row(clip->desc.tower);
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    struct sea_clip_offsets *at = &clip->at;
    int64_t g0 = sea_clip_trained_grid(&clip->desc), P = desc->patch, D = desc->D;
    const int64_t conv[4] = { D, desc->channels, P, P }, mask[2] = { 1, D };
    double inputs = (double)(desc->channels * P * P), spread = 1 / sqrt((double)D);
    const char *name;

    if (row->class_row)
        at->class_row = add_led(&clip->vision, prefix, row->class_row, row->lead, D, 0, spread);
    if (desc->mask_token) {
        name = sea_arena_printf(clip->arena, "%sembeddings.mask_token", prefix);
        sea_params_add(&clip->vision, name, 2, mask, SEA_INIT_ZERO, 0);
    }
    name = sea_arena_printf(clip->arena, "%s%s.weight", prefix, row->patch);
    at->patch = sea_params_add(&clip->vision, name, 4, conv, SEA_INIT_NORMAL,
                               (float)(1 / sqrt(3 * inputs)));
    if (row->patch_bias) {
        name = sea_arena_printf(clip->arena, "%s.bias", row->patch);
        at->patch_bias = add(&clip->vision, prefix, name, D, 0, SEA_INIT_ZERO, 0);
    }
    at->vision_pos = add_led(&clip->vision, prefix, row->positions, row->lead,
                             g0 * g0 + sea_clip_class_rows(&clip->desc), D, spread);
    if (row->pre_norm)
        add_norm(&clip->vision, prefix, "pre_layrnorm", D, &at->pre, &at->pre_bias);
}

static enum sea_status
lay_out_vision(struct sea_clip *clip, const char *prefix, struct sea_err *err)
{
    const struct sea_tower_row *row = sea_tower_row(clip->desc.tower);
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    struct sea_block_desc block = block_desc(desc->D, desc->layers, desc->heads, desc->F,
                                             desc->act, desc->eps, false);
    enum sea_status status;

    block.qkv_bias = !desc->no_qkv_bias;
    lay_out_embeddings(clip, prefix);
    block.gains = row->layer_scale;
    block.gated = desc->gated;
    status = sea_stack_init(&clip->vision_stack, &block,
                            desc->gated ? row->gated_blocks : row->blocks, prefix,
                            &clip->vision, err);
    sea_context(err, "while laying out the vision tower");
    if (!status)
        add_norm(&clip->vision, prefix, row->post, desc->D, &clip->at.post,
                 &clip->at.post_bias);
    if (!status && desc->pool)
        lay_out_pool(clip, prefix);
    return status;
}

static enum sea_status
lay_out_text(struct sea_clip *clip, struct sea_err *err)
{
    const struct sea_clip_text_desc *desc = &clip->desc.text;
    struct sea_block_desc block = block_desc(desc->D, desc->layers, desc->heads, desc->F,
                                             desc->act, desc->eps,
                                             sea_tower_row(clip->desc.tower)->causal_text);
    struct sea_clip_offsets *at = &clip->at;
    const char *prefix = "text_model.";
    enum sea_status status;

    at->token = add(&clip->text, prefix, "embeddings.token_embedding.weight", desc->vocab,
                    desc->D, SEA_INIT_NORMAL, 0.02);
    at->text_pos = add(&clip->text, prefix, "embeddings.position_embedding.weight",
                       desc->positions, desc->D, SEA_INIT_NORMAL, 0.01);
    status = sea_stack_init(&clip->text_stack, &block, &sea_names_clip, prefix, &clip->text,
                            err);
    sea_context(err, "while laying out the text tower");
    if (!status)
        add_norm(&clip->text, prefix, "final_layer_norm", desc->D, &at->final,
                 &at->final_bias);
    if (!status && clip->desc.tower == SEA_TOWER_SIGLIP)
        add_linear(&clip->text, prefix, "head.weight", "head.bias", clip->desc.joint, desc->D,
                   &at->text_proj, &at->text_proj_bias);
    return status;
}

static void
lay_out_head(struct sea_clip *clip)
{
    int64_t J = clip->desc.joint, one = 1;
    int64_t vision = clip->desc.vision.D, text = clip->desc.text.D;

    if (clip->desc.tower == SEA_TOWER_SIGLIP) {
        if (text < 1)
            return;
        clip->at.scale = sea_params_add(&clip->head, "logit_scale", 1, &one, SEA_INIT_ZERO, 0);
        clip->at.bias = sea_params_add(&clip->head, "logit_bias", 1, &one, SEA_INIT_ZERO, 0);
        return;
    }
    clip->at.vision_proj = add(&clip->head, "", "visual_projection.weight", J, vision,
                               SEA_INIT_NORMAL, 1 / sqrt((double)vision));
    if (text < 1)               /* a CLIPVisionModelWithProjection */
        return;
    clip->at.text_proj = add(&clip->head, "", "text_projection.weight", J, text,
                             SEA_INIT_NORMAL, 1 / sqrt((double)text));
    clip->at.scale = sea_params_add(&clip->head, "logit_scale", 1, &one, SEA_INIT_ZERO, 0);
    /* A number, not a vector of one: its shape in files is []. */
    clip->head.list[clip->head.count - 1].rank = 0;
}

static enum sea_status
reserve(struct sea_clip *clip, bool trained, struct sea_err *err)
{
    struct sea_params *parts[] = { &clip->vision, &clip->text, &clip->head };
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < sizeof(parts) / sizeof(parts[0]) && !status; i++)
        if (parts[i]->count > 0)
            status = sea_params_reserve(parts[i], clip->device, trained, err);
    if (!status && clip->desc.vision.D > 0)
        status = sea_stack_reserve(&clip->vision_stack, err);
    if (!status && clip->desc.text.D > 0)
        status = sea_stack_reserve(&clip->text_stack, err);
    return status;
}

/* Parts laid out and reserved, weights all zero. device NULL: laid out alone, without memory. */
static enum sea_status
prepare(struct sea_clip **out, const struct sea_device *device,
        const struct sea_clip_desc *desc, const char *vision_prefix, bool trained,
        struct sea_err *err)
{
    struct sea_clip *clip = NULL;
    enum sea_status status;

    *out = NULL;
    status = sea_clip_desc_check(desc, err);
    if (status)
        return status;
    clip = sea_xcalloc(1, sizeof(*clip));
    clip->desc = *desc;
    clip->device = device;
    memset(&clip->at, 0xff, sizeof(clip->at));  /* -1: absent */
    clip->arena = sea_arena_create(NULL, "clip");
    sea_params_init(&clip->vision, clip->arena);
    sea_params_init(&clip->text, clip->arena);
    sea_params_init(&clip->head, clip->arena);
    if (desc->vision.D > 0)
        status = lay_out_vision(clip, vision_prefix, err);
    if (!status && desc->text.D > 0)
        status = lay_out_text(clip, err);
    if (!status && desc->joint > 0)
        lay_out_head(clip);
    if (!status && device)
        status = reserve(clip, trained, err);
    if (status)
        sea_clip_destroy(clip);
    else
        *out = clip;
    return status;
}

enum sea_status
sea_clip_create(struct sea_clip **out, const struct sea_device *device,
                const struct sea_clip_desc *desc, uint64_t seed, bool trained,
                struct sea_err *err)
{
    struct sea_clip *clip;
    enum sea_status status;

    *out = NULL;
    status = prepare(&clip, device, desc, sea_tower_row(desc->tower)->inner, trained, err);
    if (!status && desc->vision.D > 0)
        status = sea_params_fill(&clip->vision, seed, "clip.vision", err);
    if (!status && desc->text.D > 0)
        status = sea_params_fill(&clip->text, seed, "clip.text", err);
    if (!status && clip->head.count > 0)
        status = sea_params_fill(&clip->head, seed, "clip.head", err);
    if (!status && clip->at.scale >= 0)
        status = sea_params_put(&clip->head, sea_params_at(&clip->head, clip->at.scale), 0, 1,
                                &desc->logit_scale, err);
    if (!status && clip->at.bias >= 0)
        status = sea_params_put(&clip->head, sea_params_at(&clip->head, clip->at.bias), 0, 1,
                                &desc->logit_bias, err);
    if (status)
        sea_clip_destroy(clip);
    else
        *out = clip;
    return status;
}

void
sea_clip_destroy(struct sea_clip *clip)
{
    if (!clip)
        return;
    sea_stack_release(&clip->vision_stack);
    sea_stack_release(&clip->text_stack);
    sea_params_release(&clip->vision);
    sea_params_release(&clip->text);
    sea_params_release(&clip->head);
    sea_arena_destroy(clip->arena);
    free(clip);
}

static bool
is_there(const struct sea_tensors *tensors, const char *prefix, const char *inner,
         const char *name)
{
    char full[512];

    snprintf(full, sizeof(full), "%s%s%s", prefix, inner, name);
    return sea_tensors_find(tensors, full) != NULL;
}

bool
sea_clip_is_at(const struct sea_clip_desc *desc, const struct sea_tensors *tensors,
               const char *prefix)
{
    const struct sea_tower_row *row = sea_tower_row(desc->tower);

    return is_there(tensors, prefix, row->inner, row->positions)
           || is_there(tensors, prefix, "", row->positions);
}

/* Without a text tower: the vision part under either naming, and what follows from desc. */
static enum sea_status
load_alone(struct sea_clip **out, const struct sea_device *device, struct sea_clip_desc *desc,
           const struct sea_tensors *tensors, const char *prefix, bool trained,
           struct sea_err *err)
{
    const struct sea_tower_row *row = sea_tower_row(desc->tower);
    const char *probe = row->positions, *inner = row->inner;
    struct sea_clip *clip;
    enum sea_status status;
    int64_t t;

    /* Under neither naming: the message names the usual one. */
    if (!is_there(tensors, prefix, inner, probe) && is_there(tensors, prefix, "", probe))
        inner = "";
    desc->vision.pool = desc->vision.pool && is_there(tensors, prefix, inner, "head.probe");
    if (desc->tower == SEA_TOWER_SIGLIP && !desc->vision.pool)
        desc->joint = 0;
    desc->vision.mask_token = desc->vision.mask_token
                              && is_there(tensors, prefix, inner, "embeddings.mask_token");
    status = prepare(&clip, device, desc, inner, trained, err);
    if (!status)
        status = device ? sea_params_load(&clip->vision, tensors, prefix, err)
                        : sea_params_fit(&clip->vision, tensors, prefix, err);
    if (!status && clip->head.count > 0)
        status = device ? sea_params_load(&clip->head, tensors, prefix, err)
                        : sea_params_fit(&clip->head, tensors, prefix, err);
    for (t = 0; !status && inner != row->inner && t < clip->vision.count; t++)
        clip->vision.list[t].name = sea_arena_printf(clip->arena, "%s%s", row->inner,
                                                     clip->vision.list[t].name);
    *out = clip;
    return status;
}

enum sea_status
sea_clip_desc_fits(const struct sea_clip_desc *desc, const struct sea_tensors *tensors,
                   const char *prefix, struct sea_err *err)
{
    struct sea_clip_desc alone = *desc;
    struct sea_clip *clip;
    enum sea_status status;

    memset(&alone.text, 0, sizeof(alone.text));
    alone.joint = 0;
    status = load_alone(&clip, NULL, &alone, tensors, prefix, false, err);
    sea_clip_destroy(clip);
    return status;
}

enum sea_status
sea_clip_load_vision(struct sea_clip **out, const struct sea_device *device,
                     const struct sea_clip_desc *desc, const struct sea_tensors *tensors,
                     const char *prefix, bool trained, struct sea_err *err)
{
    struct sea_clip_desc alone = *desc;
    struct sea_clip *clip;
    enum sea_status status;

    *out = NULL;
    memset(&alone.text, 0, sizeof(alone.text));
    alone.joint = 0;
    status = load_alone(&clip, device, &alone, tensors, prefix, trained, err);
    if (status)
        sea_clip_destroy(clip);
    else
        *out = clip;
    return status;
}

enum sea_status
sea_clip_load(struct sea_clip **out, const struct sea_device *device, const char *dir,
              bool trained, struct sea_err *err)
{
    struct sea_tensors *tensors = NULL;
    struct sea_clip *clip = NULL;
    struct sea_clip_desc desc;
    enum sea_status status;

    *out = NULL;
    status = sea_clip_desc_load(&desc, dir, err);
    if (!status)
        status = sea_tensors_open_dir(&tensors, dir, err);
    if (status)
        goto out;
    if (desc.text.D < 1) {
        status = load_alone(&clip, device, &desc, tensors, "", trained, err);
    } else {
        status = prepare(&clip, device, &desc, sea_tower_row(desc.tower)->inner, trained, err);
        if (!status)
            status = sea_params_load(&clip->vision, tensors, "", err);
        if (!status)
            status = sea_params_load(&clip->text, tensors, "", err);
        if (!status)
            status = sea_params_load(&clip->head, tensors, "", err);
    }
    if (status)
        goto out;
    *out = clip;
    clip = NULL;
out:
    sea_context(err, "while loading the vision model \"%s\"", dir);
    sea_clip_destroy(clip);
    sea_tensors_close(tensors);
    return status;
}

enum sea_status
sea_clip_save(const struct sea_clip *clip, const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "clip config");
    struct sea_params_part parts[3];
    size_t count = 0;
    struct sea_buf text;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    sea_buf_init(&text, CONFIG_BYTES_MAX);
    if (clip->desc.vision.D > 0)
        parts[count++] = (struct sea_params_part){ &clip->vision, "" };
    if (clip->desc.text.D > 0)
        parts[count++] = (struct sea_params_part){ &clip->text, "" };
    if (clip->head.count > 0)
        parts[count++] = (struct sea_params_part){ &clip->head, "" };
    status = sea_dir_create(dir, err);
    if (!status)
        status = sea_path_join(path, dir, "model.safetensors", err);
    if (!status)
        status = sea_params_save(path, parts, count, err);
    if (!status)
        status = sea_json_write(sea_clip_desc_node(&clip->desc, arena), SEA_JSON_PRETTY,
                                &text, err);
    if (!status)
        status = sea_path_join(path, dir, "config.json", err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_context(err, "while saving the vision model \"%s\"", dir);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}

static enum sea_status
digest_part(struct sea_hash *hash, const struct sea_params *params, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    float *host = NULL;
    int64_t t;

    for (t = 0; !status && t < params->count; t++) {
        const struct sea_param *param = &params->list[t];
        size_t bytes = (size_t)param->count * sizeof(*host);

        host = sea_xrealloc(host, (size_t)param->count, sizeof(*host));
        status = sea_params_get(params, param, 0, param->count, host, err);
        if (status)
            break;
        sea_hash_add_field(hash, param->name);
        sea_hash_add(hash, host, bytes);
    }
    free(host);
    return status;
}

enum sea_status
sea_clip_digest(const struct sea_clip *clip, char out[65], struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "clip digest");
    struct sea_hash *hash = sea_hash_create();
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, CONFIG_BYTES_MAX);
    status = sea_json_write(sea_clip_desc_node(&clip->desc, arena), SEA_JSON_CANONICAL,
                            &text, err);
    sea_hash_add_field(hash, text.data);
    if (!status)
        status = digest_part(hash, &clip->vision, err);
    if (!status)
        status = digest_part(hash, &clip->text, err);
    if (!status)
        status = digest_part(hash, &clip->head, err);
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}
