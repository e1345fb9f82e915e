/* SPDX-License-Identifier: Apache-2.0 */
/* lm_desc.c - the table of language-model families, and what a desc means for the blocks */
#include "engine/lm_int.h"

#include <math.h>
#include <string.h>

static const struct sea_block_names names_gemma2 = {
    .norm1 = "model.layers.%d.input_layernorm",
    .post1 = "model.layers.%d.post_attention_layernorm",
    .norm2 = "model.layers.%d.pre_feedforward_layernorm",
    .post2 = "model.layers.%d.post_feedforward_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

static const struct sea_block_names names_phi = {
    .norm1 = "model.layers.%d.input_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .o = "model.layers.%d.self_attn.dense",
    .up = "model.layers.%d.mlp.fc1",
    .down = "model.layers.%d.mlp.fc2",
};

static const struct sea_block_names names_phi3 = {
    .norm1 = "model.layers.%d.input_layernorm",
    .norm2 = "model.layers.%d.post_attention_layernorm",
    .qkv = "model.layers.%d.self_attn.qkv_proj",
    .o = "model.layers.%d.self_attn.o_proj",
    .gate_up = "model.layers.%d.mlp.gate_up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

static const struct sea_block_names names_qwen3 = {
    .norm1 = "model.layers.%d.input_layernorm",
    .norm2 = "model.layers.%d.post_attention_layernorm",
    .q = "model.layers.%d.self_attn.q_proj",
    .k = "model.layers.%d.self_attn.k_proj",
    .v = "model.layers.%d.self_attn.v_proj",
    .q_norm = "model.layers.%d.self_attn.q_norm",
    .k_norm = "model.layers.%d.self_attn.k_norm",
    .o = "model.layers.%d.self_attn.o_proj",
    .gate = "model.layers.%d.mlp.gate_proj",
    .up = "model.layers.%d.mlp.up_proj",
    .down = "model.layers.%d.mlp.down_proj",
};

static const struct sea_lm_row rows[SEA_LM_FAMILIES] = {
    [SEA_LM_LLAMA] = {
        .name = "llama", .class_name = "LlamaForCausalLM",
        .vocab = 32000, .D = 4096, .F = 11008, .layers = 32, .H = 32, .max_positions = 2048,
        .bos = 1, .eos = 2, .pad = -1,
        .act = SEA_ACT_SILU, .gated = true,
        .norm = SEA_NORM_RMS, .eps_key = "rms_norm_eps", .eps = 1e-6,
        .names = &sea_names_llama, .final_norm = "model.norm", .rotary = 1.0,
        .options = SEA_LM_ATTENTION_BIAS | SEA_LM_MLP_BIAS,
    },
    [SEA_LM_QWEN2] = {
        .name = "qwen2", .class_name = "Qwen2ForCausalLM",
        .vocab = 151936, .D = 4096, .F = 22016, .layers = 32, .H = 32, .max_positions = 32768,
        .bos = -1, .eos = -1, .pad = -1,
        .act = SEA_ACT_SILU, .gated = true,
        .norm = SEA_NORM_RMS, .eps_key = "rms_norm_eps", .eps = 1e-6,
        .names = &sea_names_llama, .final_norm = "model.norm", .rotary = 1.0,
        .window_rule = SEA_LM_WINDOW_UPPER, .window = 4096,
        .options = SEA_LM_QKV_BIAS,
    },
    [SEA_LM_GEMMA] = {
        .name = "gemma", .class_name = "GemmaForCausalLM",
        .vocab = 256000, .D = 3072, .F = 24576, .layers = 28, .H = 16, .E = 256,
        .max_positions = 8192, .tied = true, .bos = 2, .eos = 1, .pad = 0,
        .act = SEA_ACT_GELU_TANH, .gated = true,
        .norm = SEA_NORM_RMS, .norm_add = 1.0f, .eps_key = "rms_norm_eps", .eps = 1e-6,
        .names = &sea_names_llama, .final_norm = "model.norm", .rotary = 1.0,
        .options = SEA_LM_ATTENTION_BIAS | SEA_LM_SCALED_WORDS | SEA_LM_TANH_ALIAS,
    },
    [SEA_LM_GEMMA2] = {
        .name = "gemma2", .class_name = "Gemma2ForCausalLM",
        .vocab = 256000, .D = 2304, .F = 9216, .layers = 26, .H = 8, .K = 4, .E = 256,
        .max_positions = 8192, .tied = true, .bos = 2, .eos = 1, .pad = 0,
        .act = SEA_ACT_GELU_TANH, .gated = true,
        .norm = SEA_NORM_RMS, .norm_add = 1.0f, .eps_key = "rms_norm_eps", .eps = 1e-6,
        .names = &names_gemma2, .final_norm = "model.norm", .rotary = 1.0,
        .window_rule = SEA_LM_WINDOW_EVEN, .window = 4096,
        .options = SEA_LM_ATTENTION_BIAS | SEA_LM_SCALED_WORDS | SEA_LM_SOFT_CAPS,
    },
    [SEA_LM_MISTRAL] = {
        .name = "mistral", .class_name = "MistralForCausalLM",
        .vocab = 32000, .D = 4096, .F = 14336, .layers = 32, .H = 32, .K = 8,
        .max_positions = 131072, .bos = 1, .eos = 2, .pad = -1,
        .act = SEA_ACT_SILU, .gated = true,
        .norm = SEA_NORM_RMS, .eps_key = "rms_norm_eps", .eps = 1e-6,
        .names = &sea_names_llama, .final_norm = "model.norm", .rotary = 1.0,
        .window_rule = SEA_LM_WINDOW_ALL, .window = 4096,
    },
    [SEA_LM_PHI] = {
        .name = "phi", .class_name = "PhiForCausalLM",
        .vocab = 51200, .D = 2048, .F = 8192, .layers = 24, .H = 32, .max_positions = 2048,
        .bos = 1, .eos = 2, .pad = -1,
        .act = SEA_ACT_GELU_TANH,
        .norm = SEA_NORM_LAYER, .eps_key = "layer_norm_eps", .eps = 1e-5,
        .names = &names_phi, .final_norm = "model.final_layernorm", .rotary = 0.5,
        .options = SEA_LM_EVERY_BIAS | SEA_LM_PARALLEL | SEA_LM_PARTIAL,
    },
    [SEA_LM_PHI3] = {
        .name = "phi3", .class_name = "Phi3ForCausalLM",
        .vocab = 32064, .D = 3072, .F = 8192, .layers = 32, .H = 32, .max_positions = 4096,
        .bos = 1, .eos = 32000, .pad = 32000,
        .act = SEA_ACT_SILU, .gated = true,
        .norm = SEA_NORM_RMS, .eps_key = "rms_norm_eps", .eps = 1e-5,
        .names = &names_phi3, .final_norm = "model.norm", .rotary = 1.0,
        .window_rule = SEA_LM_WINDOW_ALL,
        .options = SEA_LM_PARTIAL | SEA_LM_LONG_ROPE,
    },
    [SEA_LM_QWEN3] = {
        .name = "qwen3", .class_name = "Qwen3ForCausalLM",
        .vocab = 151936, .D = 4096, .F = 22016, .layers = 32, .H = 32, .K = 32, .E = 128,
        .max_positions = 32768, .bos = -1, .eos = -1, .pad = -1,
        .act = SEA_ACT_SILU, .gated = true,
        .norm = SEA_NORM_RMS, .eps_key = "rms_norm_eps", .eps = 1e-6,
        .names = &names_qwen3, .final_norm = "model.norm", .rotary = 1.0,
        .window_rule = SEA_LM_WINDOW_UPPER, .window = 4096,
        .options = SEA_LM_ATTENTION_BIAS | SEA_LM_HEAD_NORMS,
    },
    [SEA_LM_STABLELM] = {
        .name = "stablelm", .class_name = "StableLmForCausalLM",
        .vocab = 50304, .D = 2560, .F = 6912, .layers = 32, .H = 32, .max_positions = 4096,
        .bos = 0, .eos = 0, .pad = -1,
        .act = SEA_ACT_SILU, .gated = true,
        .norm = SEA_NORM_LAYER, .eps_key = "layer_norm_eps", .eps = 1e-5,
        .names = &sea_names_llama, .final_norm = "model.norm", .rotary = 0.25,
        .options = SEA_LM_USE_QKV_BIAS | SEA_LM_PARALLEL_KEY | SEA_LM_PARTIAL |
                   SEA_LM_EVEN_HEADS,
    },
};

const struct sea_lm_row *
sea_lm_row(enum sea_lm_family family)
{
    return &rows[family];
}

const char *
sea_lm_family_name(enum sea_lm_family family)
{
    return rows[family].name;
}

int
sea_lm_family_find(const char *name)
{
    for (int i = 0; i < SEA_LM_FAMILIES; i++)
        if (!strcmp(name, rows[i].name))
            return i;
    return -1;
}

struct sea_lm_desc
sea_lm_defaults(void)
{
    const struct sea_lm_desc desc = {
        .family = SEA_LM_LLAMA, .max_positions = 2048, .rope_theta = 10000.0, .eps = 1e-6f,
        .init_scale = 0.02f, .tied = true, .bos = -1, .pad = -1,
    };

    return desc;
}

int64_t
sea_lm_rope_dims(const struct sea_lm_desc *desc)
{
    double part = desc->rotary > 0 ? desc->rotary : rows[desc->family].rotary;

    return (int64_t)((double)desc->E * fmin(part, 1.0));
}

struct sea_block_desc
sea_lm_block(const struct sea_lm_desc *desc)
{
    const struct sea_lm_row *row = &rows[desc->family];
    unsigned options = row->options;
    bool every = options & SEA_LM_EVERY_BIAS, asked = desc->attention_bias;
    const struct sea_block_desc block = {
        .layers = desc->layers, .D = desc->D, .H = desc->H, .K = desc->K, .E = desc->E,
        .F = desc->F, .norm = row->norm, .eps = desc->eps, .norm_add = row->norm_add,
        .act = row->act, .gated = row->gated,
        .qkv_bias = every || options & SEA_LM_QKV_BIAS ||
                    (asked && options & (SEA_LM_ATTENTION_BIAS | SEA_LM_USE_QKV_BIAS)),
        .out_bias = every || (asked && options & SEA_LM_ATTENTION_BIAS),
        .ffn_bias = every || (desc->mlp_bias && options & SEA_LM_MLP_BIAS),
        .causal = true, .rope_theta = desc->rope_theta, .rope_dims = sea_lm_rope_dims(desc),
        .rope_scaling = desc->rope_scaling, .max_positions = desc->max_positions,
        .parallel = options & SEA_LM_PARALLEL ||
                    (desc->parallel && options & SEA_LM_PARALLEL_KEY),
        .head_norms = options & SEA_LM_HEAD_NORMS, .post_norms = options & SEA_LM_SOFT_CAPS,
        .score_scale = desc->query_scalar > 0 ? (float)(1 / sqrt(desc->query_scalar)) : 0.0f,
        .score_cap = desc->score_cap, .windows = desc->windows,
        .init_scale = desc->init_scale,
    };

    return block;
}
