/* SPDX-License-Identifier: Apache-2.0 */
/* lm_desc.c - a language model's config.json, in and out */
#include "engine/sea_lm.h"

#include <string.h>

struct family {
    const char *name, *class_name, *act;
    int64_t vocab, D, F, layers, H, E, max_positions;   /* Hugging Face's defaults; E 0: D/H */
    bool tied;
    int32_t bos, eos, pad;
};

static const struct family families[] = {
    [SEA_LM_LLAMA] = { "llama", "LlamaForCausalLM", "silu", 32000, 4096, 11008, 32, 32, 0,
                       2048, false, 1, 2, -1 },
    [SEA_LM_QWEN2] = { "qwen2", "Qwen2ForCausalLM", "silu", 151936, 4096, 22016, 32, 32, 0,
                       32768, false, -1, -1, -1 },
    [SEA_LM_GEMMA] = { "gemma", "GemmaForCausalLM", "gelu_pytorch_tanh", 256000, 3072, 24576,
                       28, 16, 256, 8192, true, 2, 1, 0 },
};
#define FAMILIES ((int)(sizeof(families) / sizeof(families[0])))

struct sea_lm_desc
sea_lm_defaults(void)
{
    const struct sea_lm_desc desc = {
        .family = SEA_LM_LLAMA, .max_positions = 2048, .rope_theta = 10000.0, .eps = 1e-6f,
        .init_scale = 0.02f, .tied = true, .bos = -1, .pad = -1,
    };

    return desc;
}

/* What the parse of one config looks at. */
struct reader {
    const struct sea_node *config;
    const char *name;
    struct sea_err *err;
};

static int64_t
read_size(const struct reader *reader, const char *key, int64_t fallback, int64_t most)
{
    const struct sea_node *node = sea_node_get(reader->config, key);

    if (!node || node->kind == SEA_NODE_NULL)
        return fallback;
    if (node->kind != SEA_NODE_INT || node->integer < 1 || node->integer > most) {
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"%s\" must be a whole number from 1 to %lld",
                 reader->name, key, (long long)most);
        return fallback;
    }
    return node->integer;
}

static double
read_real(const struct reader *reader, const struct sea_node *map, const char *key,
          double fallback)
{
    const struct sea_node *node = sea_node_get(map, key);
    double value = sea_node_real(node, fallback);

    if (node && node->kind != SEA_NODE_NULL &&
        ((node->kind != SEA_NODE_REAL && node->kind != SEA_NODE_INT) || !(value > 0)))
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"%s\" must be a number above 0",
                 reader->name, key);
    return value;
}

static bool
read_bool(const struct reader *reader, const char *key, bool fallback)
{
    const struct sea_node *node = sea_node_get(reader->config, key);

    if (node && node->kind != SEA_NODE_NULL && node->kind != SEA_NODE_BOOL)
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"%s\" must be true or false, is a %s",
                 reader->name, key, sea_node_kind_name(node->kind));
    return sea_node_bool(node, fallback);
}

/* A word id, -1 when the key is absent; out of the vocabulary is refused. */
static int32_t
check_word(const struct reader *reader, const struct sea_node *node, const char *key,
           int64_t vocab)
{
    /* -1 stands for "none" in some folders. */
    if (node->kind == SEA_NODE_INT && node->integer == -1)
        return -1;
    if (node->kind != SEA_NODE_INT || node->integer < 0 || node->integer >= vocab) {
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"%s\" must be a word from 0 to %lld",
                 reader->name, key, (long long)vocab - 1);
        return -1;
    }
    return (int32_t)node->integer;
}

static int32_t
read_word(const struct reader *reader, const char *key, int64_t vocab, int32_t fallback)
{
    const struct sea_node *node = sea_node_get(reader->config, key);

    if (!node)
        return fallback < vocab ? fallback : -1;
    return node->kind == SEA_NODE_NULL ? -1 : check_word(reader, node, key, vocab);
}

static void
read_eos(const struct reader *reader, struct sea_lm_desc *desc, int32_t fallback)
{
    const struct sea_node *node = sea_node_get(reader->config, "eos_token_id");
    int32_t word;

    desc->eos_count = 0;
    if (!node && fallback >= 0 && fallback < desc->vocab)
        desc->eos[desc->eos_count++] = fallback;
    if (!node || node->kind == SEA_NODE_NULL)
        return;
    if (node->kind == SEA_NODE_LIST && node->count > SEA_LM_EOS) {
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"eos_token_id\" lists %zu words, at most %d "
                 "are supported", reader->name, node->count, SEA_LM_EOS);
        return;
    }
    if (node->kind == SEA_NODE_LIST)
        node = node->first;
    for (; node; node = node->next) {
        word = check_word(reader, node, "eos_token_id", desc->vocab);
        if (word >= 0)
            desc->eos[desc->eos_count++] = word;
        if (!node->key)
            continue;
        break;                          /* a single value: its siblings are other keys */
    }
}

/* Options that change what a model computes, and that we do not compute. */
static void
refuse_options(const struct reader *reader)
{
    static const char *const off[] = { "use_sliding_window", "quantization_config",
                                       "num_local_experts" };
    static const char *const zero[] = { "attention_dropout", "final_logit_softcapping",
                                        "attn_logit_softcapping" };
    const struct sea_node *node;

    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]); i++) {
        node = sea_node_get(reader->config, off[i]);
        if (node && node->kind != SEA_NODE_NULL &&
            !(node->kind == SEA_NODE_BOOL && !node->integer))
            sea_fail(reader->err, SEA_E_FORMAT, "%s: option \"%s\" is not supported",
                     reader->name, off[i]);
    }
    for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]); i++) {
        node = sea_node_get(reader->config, zero[i]);
        if (sea_node_real(node, 0.0) != 0.0)
            sea_fail(reader->err, SEA_E_FORMAT, "%s: option \"%s\" is not supported, must be 0",
                     reader->name, zero[i]);
    }
    if (sea_node_real(sea_node_get(reader->config, "partial_rotary_factor"), 1.0) != 1.0)
        sea_fail(reader->err, SEA_E_FORMAT, "%s: option \"partial_rotary_factor\" is not "
                 "supported, must be 1", reader->name);
}

/* Rotation: "rope_theta" and "rope_scaling", or the newer "rope_parameters" with both. */
static void
read_rope(const struct reader *reader, struct sea_lm_desc *desc)
{
    const struct sea_node *both = sea_node_get(reader->config, "rope_parameters");
    const struct sea_node *scaling = sea_node_get(reader->config, "rope_scaling");
    const struct sea_node *maps[2] = { both, scaling };
    const char *type;

    desc->rope_theta = read_real(reader, reader->config, "rope_theta", 10000.0);
    if (both)
        desc->rope_theta = read_real(reader, both, "rope_theta", desc->rope_theta);
    for (int i = 0; i < 2; i++) {
        type = sea_node_text(sea_node_get(maps[i], "rope_type"), NULL);
        if (!type)
            type = sea_node_text(sea_node_get(maps[i], "type"), "default");
        if (strcmp(type, "default"))
            sea_fail(reader->err, SEA_E_FORMAT, "%s: rotation type \"%s\" is not supported, "
                     "must be \"default\"", reader->name, type);
    }
}

static void
read_act(const struct reader *reader, const struct family *family)
{
    const char *act = sea_node_text(sea_node_get(reader->config, "hidden_activation"), NULL);

    if (!act)
        act = sea_node_text(sea_node_get(reader->config, "hidden_act"), family->act);
    /* Gemma's first folders say "gelu" and mean the tanh form. */
    if (family == &families[SEA_LM_GEMMA] && !strcmp(act, "gelu"))
        return;
    if (strcmp(act, family->act))
        sea_fail(reader->err, SEA_E_FORMAT, "%s: activation \"%s\" is not supported for "
                 "\"%s\", must be \"%s\"", reader->name, act, family->name, family->act);
}

static enum sea_status
find_family(const struct reader *reader, struct sea_lm_desc *desc)
{
    const char *type = sea_node_text(sea_node_get(reader->config, "model_type"), "llama");

    for (int i = 0; i < FAMILIES; i++)
        if (!strcmp(type, families[i].name)) {
            desc->family = (enum sea_lm_family)i;
            return SEA_OK;
        }
    sea_fail(reader->err, SEA_E_FORMAT, "%s: model_type \"%s\" is not supported as a language "
             "model", reader->name, type);
    sea_hint(reader->err, "Use a llama, qwen2 or gemma folder.");
    return reader->err->status;
}

enum sea_status
sea_lm_desc_parse(struct sea_lm_desc *desc, const struct sea_node *config, const char *name,
                  struct sea_err *err)
{
    const struct reader reader = { .config = config, .name = name, .err = err };
    const struct family *family;
    const int64_t most = 1 << 20;

    *desc = sea_lm_defaults();
    if (!config || config->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_FORMAT, "%s: the config of a language model must be a map",
                        name);
    if (find_family(&reader, desc))
        return err->status;
    family = &families[desc->family];
    desc->vocab = read_size(&reader, "vocab_size", family->vocab, 1 << 22);
    desc->D = read_size(&reader, "hidden_size", family->D, most);
    desc->F = read_size(&reader, "intermediate_size", family->F, most);
    desc->layers = read_size(&reader, "num_hidden_layers", family->layers, 1024);
    desc->H = read_size(&reader, "num_attention_heads", family->H, 4096);
    desc->K = read_size(&reader, "num_key_value_heads", desc->H, desc->H);
    desc->E = read_size(&reader, "head_dim", family->E ? family->E : desc->D / desc->H, 4096);
    desc->max_positions = read_size(&reader, "max_position_embeddings",
                                    family->max_positions, 1 << 24);
    desc->eps = (float)read_real(&reader, config, "rms_norm_eps", 1e-6);
    desc->init_scale = (float)read_real(&reader, config, "initializer_range", 0.02);
    desc->tied = read_bool(&reader, "tie_word_embeddings", family->tied);
    desc->attention_bias = read_bool(&reader, "attention_bias", false);
    desc->mlp_bias = read_bool(&reader, "mlp_bias", false);
    desc->bos = read_word(&reader, "bos_token_id", desc->vocab, family->bos);
    desc->pad = read_word(&reader, "pad_token_id", desc->vocab, family->pad);
    read_eos(&reader, desc, family->eos);
    read_rope(&reader, desc);
    read_act(&reader, family);
    refuse_options(&reader);
    if (err->status)
        sea_context(err, "while reading the config of a language model");
    return err->status;
}

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

/* The shortest decimal that reads back as this float: 1e-06, not 9.99999997e-07. */
static double
tidy(float value)
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

struct sea_node *
sea_lm_desc_node(const struct sea_lm_desc *desc, struct sea_arena *arena,
                 struct sea_node *parent, const char *key)
{
    const struct family *family = &families[desc->family];
    struct sea_node *map = sea_node_put(arena, parent, key, SEA_NODE_MAP);
    struct sea_node *list = sea_node_put(arena, map, "architectures", SEA_NODE_LIST);

    sea_node_put_text(arena, list, NULL, family->class_name);
    sea_node_put_text(arena, map, "model_type", family->name);
    sea_node_put_int(arena, map, "vocab_size", desc->vocab);
    sea_node_put_int(arena, map, "hidden_size", desc->D);
    sea_node_put_int(arena, map, "intermediate_size", desc->F);
    sea_node_put_int(arena, map, "num_hidden_layers", desc->layers);
    sea_node_put_int(arena, map, "num_attention_heads", desc->H);
    sea_node_put_int(arena, map, "num_key_value_heads", desc->K);
    sea_node_put_int(arena, map, "head_dim", desc->E);
    sea_node_put_int(arena, map, "max_position_embeddings", desc->max_positions);
    sea_node_put_text(arena, map, "hidden_act", family->act);
    if (desc->family == SEA_LM_GEMMA)
        sea_node_put_text(arena, map, "hidden_activation", family->act);
    sea_node_put_real(arena, map, "rms_norm_eps", tidy(desc->eps));
    sea_node_put_real(arena, map, "rope_theta", desc->rope_theta);
    sea_node_put_real(arena, map, "initializer_range", tidy(desc->init_scale));
    sea_node_put_bool(arena, map, "tie_word_embeddings", desc->tied);
    sea_node_put_bool(arena, map, "attention_bias", desc->attention_bias);
    if (desc->family == SEA_LM_LLAMA)
        sea_node_put_bool(arena, map, "mlp_bias", desc->mlp_bias);
    if (desc->family == SEA_LM_QWEN2)
        sea_node_put_bool(arena, map, "use_sliding_window", false);
    put_word(arena, map, "bos_token_id", desc->bos);
    put_eos(arena, map, desc);
    put_word(arena, map, "pad_token_id", desc->pad);
    sea_node_put_text(arena, map, "torch_dtype", "float32");
    sea_node_put_bool(arena, map, "use_cache", true);
    return map;
}
