/* SPDX-License-Identifier: Apache-2.0 */
/* The config.json of a tower, as Hugging Face's classes write it. */
#include <stdlib.h>
#include <string.h>

#include "engine/clip_int.h"

static const struct act_name {
    const char *name;
    enum sea_act act;
} act_names[] = {
    { "quick_gelu", SEA_ACT_QUICK_GELU },
    { "gelu", SEA_ACT_GELU },
    { "gelu_pytorch_tanh", SEA_ACT_GELU_TANH },
    { "gelu_new", SEA_ACT_GELU_TANH },
    { "gelu_fast", SEA_ACT_GELU_TANH },
    { "silu", SEA_ACT_SILU },
};
#define ACT_NAMES (sizeof(act_names) / sizeof(act_names[0]))

bool
sea_clip_act_find(const char *name, enum sea_act *act)
{
    size_t i;

    for (i = 0; i < ACT_NAMES; i++)
        if (strcmp(name, act_names[i].name) == 0) {
            *act = act_names[i].act;
            return true;
        }
    return false;
}

const char *
sea_clip_act_name(enum sea_act act)
{
    size_t i;

    for (i = 0; i < ACT_NAMES; i++)
        if (act_names[i].act == act)
            return act_names[i].name;
    return "gelu";
}

/* A float as the shortest decimal that reads back as the same float: 1e-05, not
 * 9.9999997473787516e-06. */
static double
shortest(float value)
{
    char text[32];
    int digits;

    for (digits = 1; digits < 9; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        if (strtof(text, NULL) == value)
            return strtod(text, NULL);
    }
    return (double)value;
}

static void
put_dinov2(struct sea_arena *arena, struct sea_node *map,
           const struct sea_clip_vision_desc *vision)
{
    sea_node_put_int(arena, map, "mlp_ratio", vision->ratio);
    sea_node_put_bool(arena, map, "qkv_bias", !vision->no_qkv_bias);
    sea_node_put_bool(arena, map, "use_mask_token", vision->mask_token);
    sea_node_put_bool(arena, map, "use_swiglu_ffn", vision->gated);
}

static void
put_vision(struct sea_arena *arena, struct sea_node *map, const struct sea_clip_desc *desc,
           int64_t joint)
{
    const struct sea_clip_vision_desc *vision = &desc->vision;
    /* SwiGLU's activation is not the one that this key means. */
    const char *act = vision->gated ? "gelu" : sea_clip_act_name(vision->act);

    sea_node_put_text(arena, map, "model_type", sea_tower_row(desc->tower)->vision_type);
    sea_node_put_int(arena, map, "hidden_size", vision->D);
    if (desc->tower == SEA_TOWER_DINOV2)
        put_dinov2(arena, map, vision);
    else
        sea_node_put_int(arena, map, "intermediate_size", vision->F);
    sea_node_put_int(arena, map, "num_hidden_layers", vision->layers);
    sea_node_put_int(arena, map, "num_attention_heads", vision->heads);
    sea_node_put_int(arena, map, "num_channels", vision->channels);
    sea_node_put_int(arena, map, "image_size", vision->trained ? vision->trained
                                                               : vision->image);
    sea_node_put_int(arena, map, "patch_size", vision->patch);
    sea_node_put_text(arena, map, "hidden_act", act);
    sea_node_put_real(arena, map, "layer_norm_eps", shortest(vision->eps));
    if (desc->tower == SEA_TOWER_SIGLIP)
        sea_node_put_bool(arena, map, "vision_use_head", vision->pool);
    if (desc->tower == SEA_TOWER_CLIP && joint > 0)
        sea_node_put_int(arena, map, "projection_dim", joint);
}

static void
put_text(struct sea_arena *arena, struct sea_node *map, const struct sea_clip_desc *desc)
{
    const struct sea_clip_text_desc *text = &desc->text;

    sea_node_put_text(arena, map, "model_type", sea_tower_row(desc->tower)->text_type);
    sea_node_put_int(arena, map, "hidden_size", text->D);
    sea_node_put_int(arena, map, "intermediate_size", text->F);
    sea_node_put_int(arena, map, "num_hidden_layers", text->layers);
    sea_node_put_int(arena, map, "num_attention_heads", text->heads);
    sea_node_put_int(arena, map, "vocab_size", text->vocab);
    sea_node_put_int(arena, map, "max_position_embeddings", text->positions);
    sea_node_put_text(arena, map, "hidden_act", sea_clip_act_name(text->act));
    sea_node_put_real(arena, map, "layer_norm_eps", shortest(text->eps));
    sea_node_put_int(arena, map, "bos_token_id", text->bos);
    sea_node_put_int(arena, map, "eos_token_id", text->eos);
    if (text->pad >= 0)
        sea_node_put_int(arena, map, "pad_token_id", text->pad);
    sea_node_put_int(arena, map, desc->tower == SEA_TOWER_CLIP ? "projection_dim"
                                                               : "projection_size",
                     desc->joint);
}

struct sea_node *
sea_clip_desc_node(const struct sea_clip_desc *desc, struct sea_arena *arena)
{
    const struct sea_tower_row *row = sea_tower_row(desc->tower);
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_node *list = sea_node_put(arena, root, "architectures", SEA_NODE_LIST);
    bool clip = desc->tower == SEA_TOWER_CLIP, both = desc->text.D > 0;

    if (!both) {
        sea_node_put_text(arena, list, NULL, clip && desc->joint > 0
                          ? "CLIPVisionModelWithProjection" : row->vision_architecture);
        put_vision(arena, root, desc, desc->joint);
        sea_node_put_text(arena, root, "torch_dtype", "float32");
        return root;
    }
    sea_node_put_text(arena, list, NULL, row->architecture);
    sea_node_put_text(arena, root, "model_type", row->type);
    if (clip) {
        sea_node_put_int(arena, root, "projection_dim", desc->joint);
        sea_node_put_real(arena, root, "logit_scale_init_value", shortest(desc->logit_scale));
    }
    sea_node_put_text(arena, root, "torch_dtype", "float32");
    put_text(arena, sea_node_put(arena, root, "text_config", SEA_NODE_MAP), desc);
    put_vision(arena, sea_node_put(arena, root, "vision_config", SEA_NODE_MAP), desc,
               desc->joint);
    return root;
}
