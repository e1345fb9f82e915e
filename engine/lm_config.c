/* SPDX-License-Identifier: Apache-2.0 */
/* lm_config.c - a language model's config.json, read; lm_config_write.c writes it */
#include "engine/lm_int.h"

#include <string.h>

#include "engine/base/sea_file.h"

#define CONFIG_BYTES_MAX (1u << 20)

/* What the parse of one config looks at. */
struct reader {
    const struct sea_node *config;
    const char *name;           /* of the file */
    const struct sea_lm_row *row;
    struct sea_err *err;
};

/* A key that is there and not null. */
static const struct sea_node *
given(const struct reader *reader, const char *key)
{
    const struct sea_node *node = sea_node_get(reader->config, key);

    return node && node->kind != SEA_NODE_NULL ? node : NULL;
}

static int64_t
read_size(const struct reader *reader, const struct sea_node *map, const char *key,
          int64_t fallback, int64_t most)
{
    const struct sea_node *node = sea_node_get(map, key);

    if ((!node || node->kind == SEA_NODE_NULL) && fallback <= most)
        return fallback;        /* else the family's own does not go with the other sizes */
    if (!node || node->kind != SEA_NODE_INT || node->integer < 1 || node->integer > most) {
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
        ((node->kind != SEA_NODE_REAL && node->kind != SEA_NODE_INT) || !((float)value > 0) ||
         !((float)value < 1.0e30f)))    /* a float must hold it */
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
        if (strstr(reader->err->message, key))  /* and not of an earlier failure */
            sea_hint(reader->err, "Set it to null if the model has no such word.");
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

/* ---- what a family may have ---- */

/* Options that change what a model computes, and that we do not compute. */
static void
refuse_options(const struct reader *reader)
{
    static const char other[] = "Use a model without it; docs/models.md lists what is computed.";
    static const struct { const char *key, *hint; } off[] = {
        { "use_sliding_window", "Set it to false if the model was trained without windows." },
        { "quantization_config", "Use the model's float32, float16 or bfloat16 weights." },
        { "num_local_experts", other }, { "qk_layernorm", other },
        { "use_bidirectional_attention", other },
    };
    static const struct { const char *key, *hint; } zero[] = {
        { "attention_dropout", "Set it to 0: it means something in training only, and nothing is "
          "dropped here." },
        { "final_logit_softcapping", other }, { "attn_logit_softcapping", other },
    };
    const struct sea_lm_row *row = reader->row;
    const struct sea_node *node;

    for (size_t i = 0; i < sizeof(off) / sizeof(off[0]) && !reader->err->status; i++) {
        node = given(reader, off[i].key);
        if ((row->window_rule == SEA_LM_WINDOW_UPPER && i == 0) ||
            !node || (node->kind == SEA_NODE_BOOL && !node->integer))
            continue;
        sea_fail(reader->err, SEA_E_FORMAT, "%s: option \"%s\" is not supported for \"%s\"",
                 reader->name, off[i].key, row->name);
        sea_hint(reader->err, "%s", off[i].hint);
    }
    for (size_t i = 0; i < sizeof(zero) / sizeof(zero[0]) && !reader->err->status; i++) {
        if ((i > 0 && row->options & SEA_LM_SOFT_CAPS) ||
            sea_node_real(given(reader, zero[i].key), 0.0) == 0.0)
            continue;
        sea_fail(reader->err, SEA_E_FORMAT, "%s: option \"%s\" is not supported for "
                 "\"%s\", must be 0", reader->name, zero[i].key, row->name);
        sea_hint(reader->err, "%s", zero[i].hint);
    }
}

static const struct { const char *name; enum sea_act act; } acts[] = {
    { "silu", SEA_ACT_SILU }, { "swish", SEA_ACT_SILU },
    { "gelu_pytorch_tanh", SEA_ACT_GELU_TANH }, { "gelu_new", SEA_ACT_GELU_TANH },
};

const char *
sea_lm_act_name(const struct sea_lm_row *row)
{
    if (row->act == SEA_ACT_SILU)
        return "silu";
    return row->options & SEA_LM_EVERY_BIAS ? "gelu_new" : "gelu_pytorch_tanh";
}

static void
read_act(const struct reader *reader)
{
    const struct sea_lm_row *row = reader->row;
    const char *act = sea_node_text(sea_node_get(reader->config, "hidden_activation"), NULL);

    if (!act)
        act = sea_node_text(sea_node_get(reader->config, "hidden_act"), sea_lm_act_name(row));
    /* Gemma's first folders say "gelu" and mean the tanh form. */
    if (row->options & SEA_LM_TANH_ALIAS && !strcmp(act, "gelu"))
        return;
    for (size_t i = 0; i < sizeof(acts) / sizeof(acts[0]); i++)
        if (!strcmp(acts[i].name, act) && acts[i].act == row->act)
            return;
    sea_fail(reader->err, SEA_E_FORMAT, "%s: activation \"%s\" is not supported for \"%s\", "
             "must be \"%s\"", reader->name, act, row->name, sea_lm_act_name(row));
    if (strstr(reader->err->message, act))
        sea_hint(reader->err, "Use a model with the family's own activation.");
}

/* ---- rotation ---- */

/* Positions in training: beside the factors, at the top, or all there are. */
static int64_t
read_original(const struct reader *reader, const struct sea_node *map, int64_t fallback)
{
    const char *key = "original_max_position_embeddings";

    fallback = read_size(reader, reader->config, key, fallback, 1 << 24);
    return read_size(reader, map, key, fallback, 1 << 24);
}

static void
read_rope_scaling(const struct reader *reader, const struct sea_node *map,
                  struct sea_lm_desc *desc)
{
    struct sea_rope_scaling *scaling = &desc->rope_scaling;
    const char *type = sea_node_text(sea_node_get(map, "rope_type"), NULL);
    bool phi3 = reader->row->options & SEA_LM_LONG_ROPE;

    if (!type)
        type = sea_node_text(sea_node_get(map, "type"), "default");
    if (!strcmp(type, "default"))
        return;
    if (phi3 ? strcmp(type, "longrope") != 0 && strcmp(type, "su") != 0
             : strcmp(type, "linear") != 0 && strcmp(type, "llama3") != 0) {
        sea_fail(reader->err, SEA_E_FORMAT, "%s: rotation type \"%s\" is not supported for "
                 "\"%s\"", reader->name, type, reader->row->name);
        sea_hint(reader->err, phi3 ? "Supported are \"default\" and \"longrope\"."
                                   : "Supported are \"default\", \"linear\" and \"llama3\".");
        return;
    }
    if (phi3) {
        sea_lm_read_longrope(desc, map, read_original(reader, map, 4096), reader->name,
                             reader->err);
        return;
    }
    scaling->kind = strcmp(type, "linear") ? SEA_ROPE_LLAMA3 : SEA_ROPE_LINEAR;
    scaling->factor = read_real(reader, map, "factor", 0.0);
    if (!(scaling->factor > 0))
        sea_fail(reader->err, SEA_E_FORMAT, "%s: rotation type \"%s\" needs a \"factor\"",
                 reader->name, type);
    if (scaling->kind == SEA_ROPE_LINEAR)
        return;
    scaling->low = read_real(reader, map, "low_freq_factor", 0.0);
    scaling->high = read_real(reader, map, "high_freq_factor", 0.0);
    scaling->original = read_original(reader, map, desc->max_positions);
    if (!(scaling->low > 0) || !(scaling->high > scaling->low))
        sea_fail(reader->err, SEA_E_FORMAT, "%s: rotation type \"llama3\" needs "
                 "\"low_freq_factor\" above 0 and \"high_freq_factor\" above that",
                 reader->name);
}

/* "rope_theta", "rope_scaling" and "partial_rotary_factor", or the newer "rope_parameters"
 * with all of them. */
static void
read_rope(const struct reader *reader, struct sea_lm_desc *desc)
{
    const struct sea_node *map = given(reader, "rope_scaling");
    const struct sea_lm_row *row = reader->row;

    if (!map || (map->kind == SEA_NODE_MAP && !map->count))
        map = given(reader, "rope_parameters");
    if (map && (map->kind != SEA_NODE_MAP || sea_node_get(map, "full_attention") ||
                sea_node_get(map, "sliding_attention"))) {
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"rope_parameters\" by kind of layer are not "
                 "supported, must be one map", reader->name);
        return;
    }
    desc->rope_theta = read_real(reader, reader->config, "rope_theta", 10000.0);
    desc->rotary = read_real(reader, reader->config, "partial_rotary_factor", row->rotary);
    if (map) {
        desc->rope_theta = read_real(reader, map, "rope_theta", desc->rope_theta);
        desc->rotary = read_real(reader, map, "partial_rotary_factor", desc->rotary);
        read_rope_scaling(reader, map, desc);
    }
    if (!(row->options & SEA_LM_PARTIAL) && desc->rotary != 1.0)
        sea_fail(reader->err, SEA_E_FORMAT, "%s: option \"partial_rotary_factor\" is not "
                 "supported for \"%s\", must be 1", reader->name, row->name);
    if (desc->rotary > 1.0 || sea_lm_rope_dims(desc) < 2 || sea_lm_rope_dims(desc) % 2)
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"partial_rotary_factor\" %g rotates %lld of "
                 "a head's %lld numbers, must be an even number of them", reader->name,
                 desc->rotary, (long long)sea_lm_rope_dims(desc), (long long)desc->E);
}

/* ---- windows ---- */

static void
read_window_size(const struct reader *reader, struct sea_lm_desc *desc)
{
    const struct sea_lm_row *row = reader->row;
    const struct sea_node *node = sea_node_get(reader->config, "sliding_window");

    desc->windows.size = 0;
    if (row->window_rule == SEA_LM_NO_WINDOW || (node && node->kind == SEA_NODE_NULL) ||
        (row->window_rule == SEA_LM_WINDOW_UPPER &&
         !read_bool(reader, "use_sliding_window", false)))
        return;
    desc->windows.size = row->window;
    if (node)
        desc->windows.size = read_size(reader, reader->config, "sliding_window", 1, 1 << 24);
}

/* The family's own rule: all layers, those from max_window_layers on, or every other. */
static bool
is_windowed(const struct reader *reader, int64_t layer)
{
    switch (reader->row->window_rule) {
    case SEA_LM_NO_WINDOW:
        return false;
    case SEA_LM_WINDOW_ALL:
        return true;
    case SEA_LM_WINDOW_UPPER:
        return layer >= sea_node_int(given(reader, "max_window_layers"), 28);
    case SEA_LM_WINDOW_EVEN:
        return layer % 2 == 0;
    }
    return false;
}

static void
read_windows(const struct reader *reader, struct sea_lm_desc *desc)
{
    const struct sea_node *types = given(reader, "layer_types"), *type = NULL;
    bool fixed = reader->row->window_rule == SEA_LM_NO_WINDOW ||
                 reader->row->window_rule == SEA_LM_WINDOW_ALL;
    bool windowed, slides;

    read_window_size(reader, desc);
    if (types && (types->kind != SEA_NODE_LIST || types->count != (size_t)desc->layers)) {
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"layer_types\" must list one kind for each "
                 "of %lld layers", reader->name, (long long)desc->layers);
        return;
    }
    if (types)
        type = types->first;
    for (int64_t l = 0; l < desc->layers; l++, type = type ? type->next : NULL) {
        windowed = desc->windows.size && is_windowed(reader, l);
        slides = type && !strcmp(sea_node_text(type, ""), "sliding_attention");
        if (type && ((!slides && strcmp(sea_node_text(type, ""), "full_attention") != 0) ||
                     (slides && !desc->windows.size) || (fixed && slides != windowed))) {
            sea_fail(reader->err, SEA_E_FORMAT, "%s: layer %lld of kind \"%s\" in "
                     "\"layer_types\" is not supported for \"%s\" with this "
                     "\"sliding_window\"", reader->name, (long long)l, sea_node_text(type, ""),
                     reader->row->name);
            return;
        }
        if (type ? slides : windowed)
            sea_windows_set(&desc->windows, l);
    }
}

/* ---- the whole ---- */

/* "model_type"; a file without one may still name its class. */
static const char *
type_of(const struct sea_node *config)
{
    const struct sea_node *list = sea_node_get(config, "architectures");
    const char *class_name = sea_node_text(list ? list->first : NULL, NULL);
    const char *type = sea_node_text(sea_node_get(config, "model_type"), NULL);

    if (type || !class_name)
        return type ? type : "llama";
    for (int i = 0; i < SEA_LM_FAMILIES; i++)
        if (!strcmp(class_name, sea_lm_row((enum sea_lm_family)i)->class_name))
            return sea_lm_row((enum sea_lm_family)i)->name;
    return class_name;
}

static enum sea_status
find_family(struct reader *reader, struct sea_lm_desc *desc)
{
    const char *type = type_of(reader->config);
    int family = sea_lm_family_find(type);
    char list[192] = "";
    size_t len = 0;

    if (family >= 0) {
        desc->family = (enum sea_lm_family)family;
        reader->row = sea_lm_row(desc->family);
        return SEA_OK;
    }
    sea_fail(reader->err, SEA_E_FORMAT, "%s: model_type \"%s\" is not supported as a language "
             "model", reader->name, type);
    for (int i = 0; i < SEA_LM_FAMILIES && len < sizeof(list); i++)
        len += (size_t)snprintf(list + len, sizeof(list) - len, "%s%s", i ? ", " : "",
                                sea_lm_row((enum sea_lm_family)i)->name);
    sea_hint(reader->err, "Use a folder of one of these types: %s.", list);
    return reader->err->status;
}

static void
read_sizes(const struct reader *reader, struct sea_lm_desc *desc)
{
    const struct sea_lm_row *row = reader->row;
    const struct sea_node *config = reader->config, *keys;
    const int64_t most = 1 << 20;
    int64_t even;

    desc->vocab = read_size(reader, config, "vocab_size", row->vocab, 1 << 22);
    desc->D = read_size(reader, config, "hidden_size", row->D, most);
    desc->F = read_size(reader, config, "intermediate_size", row->F, most);
    desc->layers = read_size(reader, config, "num_hidden_layers", row->layers, SEA_LAYERS_MAX);
    desc->H = read_size(reader, config, "num_attention_heads", row->H, 4096);
    keys = sea_node_get(config, "num_key_value_heads");
    desc->K = keys || !row->K ? desc->H : row->K;
    desc->K = read_size(reader, config, "num_key_value_heads", desc->K, desc->H);
    even = desc->D / desc->H;
    desc->E = read_size(reader, config, "head_dim", row->E ? row->E : even, 4096);
    if (row->options & SEA_LM_EVEN_HEADS && desc->E != even)
        sea_fail(reader->err, SEA_E_FORMAT, "%s: \"head_dim\" %lld is not supported for "
                 "\"%s\", must be hidden_size / num_attention_heads (%lld)", reader->name,
                 (long long)desc->E, row->name, (long long)even);
    desc->max_positions = read_size(reader, config, "max_position_embeddings",
                                    row->max_positions, 1 << 24);
}

/* A soft cap: absent is the family's, null is none. */
static float
read_cap(const struct reader *reader, const char *key, double fallback)
{
    const struct sea_node *node = sea_node_get(reader->config, key);

    if (node && node->kind == SEA_NODE_NULL)
        return 0.0f;
    return (float)read_real(reader, reader->config, key, fallback);
}

enum sea_status
sea_lm_desc_parse(struct sea_lm_desc *desc, const struct sea_node *config, const char *name,
                  struct sea_err *err)
{
    struct reader reader = { .config = config, .name = name, .err = err };
    const struct sea_lm_row *row;

    *desc = sea_lm_defaults();
    if (!config || config->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_FORMAT, "%s: the config of a language model must be a map",
                        name);
    if (find_family(&reader, desc))
        return err->status;
    row = reader.row;
    read_sizes(&reader, desc);
    desc->eps = (float)read_real(&reader, config, row->eps_key, row->eps);
    desc->init_scale = (float)read_real(&reader, config, "initializer_range", 0.02);
    desc->tied = read_bool(&reader, "tie_word_embeddings", row->tied);
    desc->attention_bias = read_bool(&reader, row->options & SEA_LM_USE_QKV_BIAS
                                     ? "use_qkv_bias" : "attention_bias", false);
    desc->mlp_bias = read_bool(&reader, "mlp_bias", false);
    if (row->options & SEA_LM_PARALLEL_KEY)
        desc->parallel = read_bool(&reader, "use_parallel_residual", false);
    if (row->options & SEA_LM_SOFT_CAPS) {
        desc->query_scalar = read_real(&reader, config, "query_pre_attn_scalar", 256.0);
        desc->score_cap = read_cap(&reader, "attn_logit_softcapping", 50.0);
        desc->final_cap = read_cap(&reader, "final_logit_softcapping", 30.0);
    }
    desc->bos = read_word(&reader, "bos_token_id", desc->vocab, row->bos);
    desc->pad = read_word(&reader, "pad_token_id", desc->vocab, row->pad);
    read_eos(&reader, desc, row->eos);
    read_rope(&reader, desc);
    read_windows(&reader, desc);
    read_act(&reader);
    refuse_options(&reader);
    if (err->status)
        sea_context(err, "while reading the config of a language model");
    return err->status;
}

enum sea_status
sea_lm_desc_generation(struct sea_lm_desc *desc, const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "generation config");
    struct reader reader = { .err = err };
    struct sea_node *config = NULL;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, dir, "generation_config.json", err);

    if (!status && sea_file_exists(path)) {
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
        reader.config = config;
        reader.name = path;
        if (!status && given(&reader, "eos_token_id"))
            read_eos(&reader, desc, -1);
        status = err->status;
    }
    sea_arena_destroy(arena);
    return status;
}
