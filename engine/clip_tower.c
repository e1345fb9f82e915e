/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The families of towers, one row each. What a row cannot say (SigLIP's pooling head,
 * DINOv2's interpolated positions) is in clip_pool.c and clip_positions.c.
 */
#include <string.h>

#include "engine/clip_int.h"

#define DINOV2_NAMES \
    .norm1 = "encoder.layer.%d.norm1", \
    .norm2 = "encoder.layer.%d.norm2", \
    .gain1 = "encoder.layer.%d.layer_scale1.lambda1", \
    .gain2 = "encoder.layer.%d.layer_scale2.lambda1", \
    .q = "encoder.layer.%d.attention.attention.query", \
    .k = "encoder.layer.%d.attention.attention.key", \
    .v = "encoder.layer.%d.attention.attention.value", \
    .o = "encoder.layer.%d.attention.output.dense"

static const struct sea_block_names names_dinov2 = {
    DINOV2_NAMES,
    .up = "encoder.layer.%d.mlp.fc1", .down = "encoder.layer.%d.mlp.fc2",
};

static const struct sea_block_names names_dinov2_gated = {
    DINOV2_NAMES,
    .gate_up = "encoder.layer.%d.mlp.weights_in", .down = "encoder.layer.%d.mlp.weights_out",
};

static const struct sea_tower_row rows[SEA_TOWERS] = {
    [SEA_TOWER_CLIP] = {
        .name = "CLIP", .type = "clip", .vision_type = "clip_vision_model",
        .text_type = "clip_text_model",
        .architecture = "CLIPModel", .vision_architecture = "CLIPVisionModel",
        .inner = "vision_model.", .class_row = "embeddings.class_embedding",
        .patch = "embeddings.patch_embedding",
        .positions = "embeddings.position_embedding.weight", .post = "post_layernorm",
        .blocks = &sea_names_clip, .pre_norm = true, .causal_text = true,
        .vision = { .D = 768, .layers = 12, .heads = 12, .F = 3072, .image = 224,
                    .patch = 32, .channels = 3, .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f },
        .text = { .D = 512, .layers = 12, .heads = 8, .F = 2048, .vocab = 49408,
                  .positions = 77, .bos = 49406, .eos = 49407, .pad = 1,
                  .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f },
    },
    [SEA_TOWER_SIGLIP] = {
        .name = "SigLIP", .type = "siglip", .vision_type = "siglip_vision_model",
        .text_type = "siglip_text_model",
        .architecture = "SiglipModel", .vision_architecture = "SiglipVisionModel",
        .inner = "vision_model.", .patch = "embeddings.patch_embedding",
        .positions = "embeddings.position_embedding.weight", .post = "post_layernorm",
        .blocks = &sea_names_clip, .patch_bias = true, .pool = true,
        .vision = { .D = 768, .layers = 12, .heads = 12, .F = 3072, .image = 224,
                    .patch = 16, .channels = 3, .act = SEA_ACT_GELU_TANH, .eps = 1e-6f,
                    .pool = true },
        .text = { .D = 768, .layers = 12, .heads = 12, .F = 3072, .vocab = 32000,
                  .positions = 64, .bos = 49406, .eos = 49407, .pad = 1,
                  .act = SEA_ACT_GELU_TANH, .eps = 1e-6f },
    },
    [SEA_TOWER_DINOV2] = {
        .name = "DINOv2", .vision_type = "dinov2", .vision_architecture = "Dinov2Model",
        .inner = "", .class_row = "embeddings.cls_token",
        .patch = "embeddings.patch_embeddings.projection",
        .positions = "embeddings.position_embeddings", .post = "layernorm",
        .blocks = &names_dinov2, .gated_blocks = &names_dinov2_gated, .lead = 1,
        .patch_bias = true, .layer_scale = true,
        .vision = { .D = 768, .layers = 12, .heads = 12, .ratio = 4, .image = 224,
                    .patch = 14, .channels = 3, .act = SEA_ACT_GELU, .eps = 1e-6f,
                    .mask_token = true },
    },
};

const struct sea_tower_row *
sea_tower_row(enum sea_tower tower)
{
    return &rows[tower];
}

const char *
sea_tower_name(enum sea_tower tower)
{
    return rows[tower].name;
}

const struct sea_tower_row *
sea_tower_find(const char *type, enum sea_tower *tower, bool *alone)
{
    int i;

    for (i = 0; i < SEA_TOWERS; i++) {
        *tower = (enum sea_tower)i;
        *alone = !strcmp(type, rows[i].vision_type);
        if (*alone || (rows[i].type && !strcmp(type, rows[i].type)))
            return &rows[i];
    }
    return NULL;
}
