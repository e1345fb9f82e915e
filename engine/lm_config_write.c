/* SPDX-License-Identifier: Apache-2.0 */
/* lm_config_write.c - a language model's config.json, as transformers reads it */
#include "engine/lm_int.h"

#include <stdio.h>

static void
put_word(struct sea_arena *arena, struct sea_node *map, const char *key, int32_t word)
{
    if (word >= 0)
        sea_node_put_int(arena, map, key, word);
    else
        sea_node_put(arena, map, key, SEA_NODE_NULL);
}

static void
put_eos(struct sea_arena *arena, struct sea_node *map, const struct sea_lm_desc *desc)
{
    struct sea_node *list;

    if (desc->eos_count < 2) {
        put_word(arena, map, "eos_token_id", desc->eos_count ? desc->eos[0] : -1);
        return;
    }
    list = sea_node_put(arena, map, "eos_token_id", SEA_NODE_LIST);
    for (int i = 0; i < desc->eos_count; i++)
        sea_node_put_int(arena, list, NULL, desc->eos[i]);
}

double
sea_lm_tidy(float value)
{
    char text[32];
    double real = (double)value;

    for (int digits = 1; digits < 10; digits++) {
        snprintf(text, sizeof(text), "%.*g", digits, (double)value);
        if (sscanf(text, "%lf", &real) == 1 && (float)real == value)
            return real;
    }
    return (double)value;
}

/* For releases 4 of transformers the keys of their own, for releases 5 "rope_parameters". */
static void
put_rope(struct sea_arena *arena, struct sea_node *map, const struct sea_lm_desc *desc)
{
    static const char *const kinds[] = { "default", "linear", "llama3" };
    const struct sea_rope_scaling *scaling = &desc->rope_scaling;
    const struct sea_lm_row *row = sea_lm_row(desc->family);
    double part = desc->rotary > 0 ? desc->rotary : row->rotary;
    bool scaled = scaling->kind != SEA_ROPE_PLAIN;
    struct sea_node *both[2];

    sea_node_put_real(arena, map, "rope_theta", desc->rope_theta);
    both[0] = sea_node_put(arena, map, "rope_parameters", SEA_NODE_MAP);
    sea_node_put_real(arena, both[0], "rope_theta", desc->rope_theta);
    if (row->options & SEA_LM_PARTIAL) {
        sea_node_put_real(arena, map, "partial_rotary_factor", part);
        sea_node_put_real(arena, both[0], "partial_rotary_factor", part);
    }
    both[1] = sea_node_put(arena, map, "rope_scaling", scaled ? SEA_NODE_MAP : SEA_NODE_NULL);
    for (int i = 0; i < (scaled ? 2 : 1); i++) {
        if (scaling->kind == SEA_ROPE_LONG) {
            sea_lm_put_longrope(desc, arena, both[i], i == 0);
            continue;
        }
        sea_node_put_text(arena, both[i], "rope_type", kinds[scaling->kind]);
        if (scaled)
            sea_node_put_real(arena, both[i], "factor", scaling->factor);
        if (scaling->kind != SEA_ROPE_LLAMA3)
            continue;
        sea_node_put_real(arena, both[i], "low_freq_factor", scaling->low);
        sea_node_put_real(arena, both[i], "high_freq_factor", scaling->high);
        sea_node_put_int(arena, both[i], "original_max_position_embeddings", scaling->original);
    }
}

static void
put_positions(struct sea_arena *arena, struct sea_node *map, const struct sea_lm_desc *desc)
{
    const struct sea_rope_scaling *scaling = &desc->rope_scaling;
    bool is_long = scaling->kind == SEA_ROPE_LONG;

    sea_node_put_int(arena, map, "max_position_embeddings", is_long ? scaling->most
                                                                    : desc->max_positions);
    if (is_long)
        sea_node_put_int(arena, map, "original_max_position_embeddings", scaling->original);
}

static void
put_windows(struct sea_arena *arena, struct sea_node *map, const struct sea_lm_desc *desc)
{
    const struct sea_lm_row *row = sea_lm_row(desc->family);
    struct sea_node *types;
    int64_t first = desc->layers;
    bool slides;

    if (row->window_rule == SEA_LM_NO_WINDOW)
        return;
    if (desc->windows.size)
        sea_node_put_int(arena, map, "sliding_window", desc->windows.size);
    else
        sea_node_put(arena, map, "sliding_window", SEA_NODE_NULL);
    if (row->window_rule == SEA_LM_WINDOW_ALL)
        return;
    types = sea_node_put(arena, map, "layer_types", SEA_NODE_LIST);
    for (int64_t l = 0; l < desc->layers; l++) {
        slides = sea_windows_at(&desc->windows, l);
        if (slides && first == desc->layers)
            first = l;
        sea_node_put_text(arena, types, NULL, slides ? "sliding_attention" : "full_attention");
    }
    if (row->window_rule == SEA_LM_WINDOW_UPPER) {
        sea_node_put_bool(arena, map, "use_sliding_window", desc->windows.size > 0);
        sea_node_put_int(arena, map, "max_window_layers", first);
    }
}

static void
put_cap(struct sea_arena *arena, struct sea_node *map, const char *key, float cap)
{
    if (cap > 0)
        sea_node_put_real(arena, map, key, sea_lm_tidy(cap));
    else
        sea_node_put(arena, map, key, SEA_NODE_NULL);
}

static void
put_options(struct sea_arena *arena, struct sea_node *map, const struct sea_lm_desc *desc)
{
    unsigned options = sea_lm_row(desc->family)->options;
    double scalar;

    if (options & SEA_LM_USE_QKV_BIAS)
        sea_node_put_bool(arena, map, "use_qkv_bias", desc->attention_bias);
    if (options & SEA_LM_ATTENTION_BIAS)
        sea_node_put_bool(arena, map, "attention_bias", desc->attention_bias);
    if (options & SEA_LM_MLP_BIAS)
        sea_node_put_bool(arena, map, "mlp_bias", desc->mlp_bias);
    if (options & SEA_LM_PARALLEL_KEY)
        sea_node_put_bool(arena, map, "use_parallel_residual", desc->parallel);
    if (!(options & SEA_LM_SOFT_CAPS))
        return;
    scalar = desc->query_scalar > 0 ? desc->query_scalar : (double)desc->E;
    if (scalar < 1e9 && scalar == (double)(int64_t)scalar)      /* releases 5 want it whole */
        sea_node_put_int(arena, map, "query_pre_attn_scalar", (int64_t)scalar);
    else
        sea_node_put_real(arena, map, "query_pre_attn_scalar", scalar);
    put_cap(arena, map, "attn_logit_softcapping", desc->score_cap);
    put_cap(arena, map, "final_logit_softcapping", desc->final_cap);
}

struct sea_node *
sea_lm_desc_node(const struct sea_lm_desc *desc, struct sea_arena *arena,
                 struct sea_node *parent, const char *key)
{
    const struct sea_lm_row *row = sea_lm_row(desc->family);
    struct sea_node *map = sea_node_put(arena, parent, key, SEA_NODE_MAP);
    struct sea_node *list = sea_node_put(arena, map, "architectures", SEA_NODE_LIST);

    sea_node_put_text(arena, list, NULL, row->class_name);
    sea_node_put_text(arena, map, "model_type", row->name);
    sea_node_put_int(arena, map, "vocab_size", desc->vocab);
    sea_node_put_int(arena, map, "hidden_size", desc->D);
    sea_node_put_int(arena, map, "intermediate_size", desc->F);
    sea_node_put_int(arena, map, "num_hidden_layers", desc->layers);
    sea_node_put_int(arena, map, "num_attention_heads", desc->H);
    sea_node_put_int(arena, map, "num_key_value_heads", desc->K);
    if (!(row->options & SEA_LM_EVEN_HEADS))
        sea_node_put_int(arena, map, "head_dim", desc->E);
    put_positions(arena, map, desc);
    sea_node_put_text(arena, map, "hidden_act", sea_lm_act_name(row));
    if (row->options & SEA_LM_SCALED_WORDS)
        sea_node_put_text(arena, map, "hidden_activation", sea_lm_act_name(row));
    sea_node_put_real(arena, map, row->eps_key, sea_lm_tidy(desc->eps));
    put_rope(arena, map, desc);
    sea_node_put_real(arena, map, "initializer_range", sea_lm_tidy(desc->init_scale));
    sea_node_put_bool(arena, map, "tie_word_embeddings", desc->tied);
    put_windows(arena, map, desc);
    put_options(arena, map, desc);
    put_word(arena, map, "bos_token_id", desc->bos);
    put_eos(arena, map, desc);
    put_word(arena, map, "pad_token_id", desc->pad);
    sea_node_put_text(arena, map, "torch_dtype", "float32");
    sea_node_put_bool(arena, map, "use_cache", true);
    return map;
}
