/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sizes of a CLIP model and its config.json. Old folders repeat a tower's settings
 * under "vision_config_dict"; where such a map stands, its keys win, as they do in
 * Hugging Face's reader.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/clip_int.h"

static const struct act_name {
    const char *name;
    enum sea_act act;
} act_names[] = {
    { "quick_gelu", SEA_ACT_QUICK_GELU },
    { "gelu", SEA_ACT_GELU },
    { "gelu_new", SEA_ACT_GELU_TANH },
    { "gelu_pytorch_tanh", SEA_ACT_GELU_TANH },
    { "silu", SEA_ACT_SILU },
};
#define ACT_NAMES (sizeof(act_names) / sizeof(act_names[0]))

/* One tower's settings: a map, and a map whose keys win. */
struct source {
    const struct sea_node *map, *winner;
    const char *name, *where;   /* file; "vision_config." and so on */
    struct sea_err *err;
};

static const struct sea_node *
lookup(const struct source *from, const char *key)
{
    const struct sea_node *node = sea_node_get(from->winner, key);

    if (!node || node->kind == SEA_NODE_NULL)
        node = sea_node_get(from->map, key);
    return node && node->kind != SEA_NODE_NULL ? node : NULL;
}

static int64_t
read_int(const struct source *from, const char *key, int64_t fallback, int64_t low,
         int64_t high)
{
    const struct sea_node *node = lookup(from, key);

    if (!node)
        return fallback;
    if (node->kind != SEA_NODE_INT || node->integer < low || node->integer > high) {
        sea_fail(from->err, SEA_E_FORMAT, "\"%s\": key \"%s%s\" is %s, need an integer "
                 "from %lld to %lld", from->name, from->where, key,
                 node->kind == SEA_NODE_INT ? "out of range" : sea_node_kind_name(node->kind),
                 (long long)low, (long long)high);
        return fallback;
    }
    return node->integer;
}

static float
read_real(const struct source *from, const char *key, double fallback, double low,
          double high)
{
    const struct sea_node *node = lookup(from, key);

    if (!node)
        return (float)fallback;
    if ((node->kind != SEA_NODE_INT && node->kind != SEA_NODE_REAL)
        || !(node->real >= low && node->real <= high)) {
        sea_fail(from->err, SEA_E_FORMAT, "\"%s\": key \"%s%s\" is no number from %g to %g",
                 from->name, from->where, key, low, high);
        return (float)fallback;
    }
    return (float)node->real;
}

static enum sea_act
read_act(const struct source *from)
{
    const char *name = sea_node_text(lookup(from, "hidden_act"), "quick_gelu");
    size_t i;

    for (i = 0; i < ACT_NAMES; i++)
        if (strcmp(name, act_names[i].name) == 0)
            return act_names[i].act;
    sea_fail(from->err, SEA_E_FORMAT, "\"%s\": activation \"%s\" of key \"%shidden_act\" is "
             "not known", from->name, name, from->where);
    sea_hint(from->err, "Known activations are quick_gelu, gelu, gelu_new, "
             "gelu_pytorch_tanh and silu.");
    return SEA_ACT_QUICK_GELU;
}

static void
read_vision(const struct source *from, struct sea_clip_vision_desc *vision)
{
    const char *type = sea_node_text(lookup(from, "model_type"), "clip_vision_model");

    if (strncmp(type, "clip", 4) != 0) {
        sea_fail(from->err, SEA_E_FORMAT, "\"%s\": vision tower is a \"%s\", need a CLIP "
                 "tower", from->name, type);
        sea_hint(from->err, "Give a CLIP model such as openai/clip-vit-large-patch14-336.");
    }
    vision->D = read_int(from, "hidden_size", 768, 1, 1 << 16);
    vision->layers = read_int(from, "num_hidden_layers", 12, 1, 1024);
    vision->heads = read_int(from, "num_attention_heads", 12, 1, 1024);
    vision->F = read_int(from, "intermediate_size", 3072, 1, 1 << 18);
    vision->image = read_int(from, "image_size", 224, 1, 1 << 14);
    vision->patch = read_int(from, "patch_size", 32, 1, 1 << 10);
    vision->channels = read_int(from, "num_channels", 3, 1, 16);
    vision->act = read_act(from);
    vision->eps = read_real(from, "layer_norm_eps", 1e-5, 1e-12, 1);
}

static void
read_text(const struct source *from, struct sea_clip_text_desc *text)
{
    text->D = read_int(from, "hidden_size", 512, 1, 1 << 16);
    text->layers = read_int(from, "num_hidden_layers", 12, 1, 1024);
    text->heads = read_int(from, "num_attention_heads", 8, 1, 1024);
    text->F = read_int(from, "intermediate_size", 2048, 1, 1 << 18);
    text->vocab = read_int(from, "vocab_size", 49408, 1, 1 << 24);
    text->positions = read_int(from, "max_position_embeddings", 77, 1, 1 << 20);
    text->bos = (int32_t)read_int(from, "bos_token_id", 49406, 0, 1 << 24);
    text->eos = (int32_t)read_int(from, "eos_token_id", 49407, 0, 1 << 24);
    text->pad = (int32_t)read_int(from, "pad_token_id", 1, -1, 1 << 24);
    text->eos_is_largest = text->eos == 2;
    text->act = read_act(from);
    text->eps = read_real(from, "layer_norm_eps", 1e-5, 1e-12, 1);
}

enum sea_status
sea_clip_desc_parse(struct sea_clip_desc *desc, const struct sea_node *config,
                    const char *name, struct sea_err *err)
{
    const struct sea_node *vision = sea_node_get(config, "vision_config");
    const struct sea_node *text = sea_node_get(config, "text_config");
    const char *type = sea_node_text(sea_node_get(config, "model_type"), "clip");
    struct source from = { .name = name, .where = "", .err = err, .map = config };

    memset(desc, 0, sizeof(*desc));
    if (!config || config->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is no map of settings", name);
    if (!vision && !sea_node_get(config, "vision_config_dict")) {
        if (strcmp(type, "clip_vision_model") != 0) {
            sea_fail(err, SEA_E_FORMAT, "\"%s\": model type \"%s\" without \"vision_config\" "
                     "is no CLIP model", name, type);
            sea_hint(err, "Give the folder of a CLIPModel, a CLIPVisionModel or a Llava "
                     "model.");
            return err->status;
        }
        read_vision(&from, &desc->vision);
    } else {
        from.map = vision;
        from.winner = sea_node_get(config, "vision_config_dict");
        from.where = "vision_config.";
        read_vision(&from, &desc->vision);
    }
    if (strcmp(type, "clip") == 0) {
        from.map = text;
        from.winner = sea_node_get(config, "text_config_dict");
        from.where = "text_config.";
        read_text(&from, &desc->text);
        from = (struct source){ .map = config, .name = name, .where = "", .err = err };
        desc->joint = read_int(&from, "projection_dim", 512, 1, 1 << 16);
        desc->logit_scale = read_real(&from, "logit_scale_init_value", 2.6592, -20, 20);
    }
    if (!err->status && sea_clip_desc_check(desc, err)) {
        err->status = SEA_E_FORMAT;     /* here the sizes come from a file */
        sea_context(err, "while reading \"%s\"", name);
    }
    return err->status;
}

static enum sea_status
check_tower(const char *tower, int64_t D, int64_t heads, int64_t layers, int64_t F,
            struct sea_err *err)
{
    if (layers < 1 || F < 1 || heads < 1)
        return sea_fail(err, SEA_E_CONFIG, "%s tower has %lld layers, %lld heads and a "
                        "feed-forward width of %lld, need at least 1 of each", tower,
                        (long long)layers, (long long)heads, (long long)F);
    if (D % heads != 0)
        return sea_fail(err, SEA_E_CONFIG, "hidden_size of the %s tower is %lld, need a "
                        "multiple of its %lld heads", tower, (long long)D,
                        (long long)heads);
    return SEA_OK;
}

enum sea_status
sea_clip_desc_check(const struct sea_clip_desc *desc, struct sea_err *err)
{
    const struct sea_clip_vision_desc *vision = &desc->vision;
    const struct sea_clip_text_desc *text = &desc->text;
    enum sea_status status = SEA_OK;

    if (vision->D < 1 && text->D < 1)
        return sea_fail(err, SEA_E_CONFIG, "model has neither a vision nor a text tower");
    if (vision->D > 0)
        status = check_tower("vision", vision->D, vision->heads, vision->layers, vision->F,
                             err);
    if (!status && vision->D > 0 && (vision->patch < 1 || vision->image < vision->patch))
        status = sea_fail(err, SEA_E_CONFIG, "image_size is %lld, need at least one patch of "
                          "%lld", (long long)vision->image, (long long)vision->patch);
    if (!status && text->D > 0)
        status = check_tower("text", text->D, text->heads, text->layers, text->F, err);
    if (!status && text->D > 0 && (text->vocab < 1 || text->positions < 1))
        status = sea_fail(err, SEA_E_CONFIG, "text tower has a vocabulary of %lld and %lld "
                          "positions, need at least 1 of each", (long long)text->vocab,
                          (long long)text->positions);
    if (!status && text->D > 0 && !text->eos_is_largest
        && (text->eos < 0 || text->eos >= text->vocab))
        status = sea_fail(err, SEA_E_CONFIG, "eos_token_id is %d, need 0 to %lld", text->eos,
                          (long long)text->vocab - 1);
    if (!status && text->D > 0 && (text->eos == 2) != text->eos_is_largest) {
        status = sea_fail(err, SEA_E_CONFIG, "eos_token_id is 2, which every reader of CLIP "
                          "folders takes for \"the largest id\"");
        sea_hint(err, "Give the end token another id.");
    }
    if (!status && desc->joint > 0 && (vision->D < 1 || text->D < 1))
        status = sea_fail(err, SEA_E_CONFIG, "projection_dim is %lld, need both towers for "
                          "a joint space", (long long)desc->joint);
    return status;
}

static const char *
act_text(enum sea_act act)
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
put_vision(struct sea_arena *arena, struct sea_node *map,
           const struct sea_clip_vision_desc *vision, int64_t joint)
{
    sea_node_put_text(arena, map, "model_type", "clip_vision_model");
    sea_node_put_int(arena, map, "hidden_size", vision->D);
    sea_node_put_int(arena, map, "intermediate_size", vision->F);
    sea_node_put_int(arena, map, "num_hidden_layers", vision->layers);
    sea_node_put_int(arena, map, "num_attention_heads", vision->heads);
    sea_node_put_int(arena, map, "num_channels", vision->channels);
    sea_node_put_int(arena, map, "image_size", vision->image);
    sea_node_put_int(arena, map, "patch_size", vision->patch);
    sea_node_put_text(arena, map, "hidden_act", act_text(vision->act));
    sea_node_put_real(arena, map, "layer_norm_eps", shortest(vision->eps));
    if (joint > 0)
        sea_node_put_int(arena, map, "projection_dim", joint);
}

static void
put_text(struct sea_arena *arena, struct sea_node *map,
         const struct sea_clip_text_desc *text, int64_t joint)
{
    sea_node_put_text(arena, map, "model_type", "clip_text_model");
    sea_node_put_int(arena, map, "hidden_size", text->D);
    sea_node_put_int(arena, map, "intermediate_size", text->F);
    sea_node_put_int(arena, map, "num_hidden_layers", text->layers);
    sea_node_put_int(arena, map, "num_attention_heads", text->heads);
    sea_node_put_int(arena, map, "vocab_size", text->vocab);
    sea_node_put_int(arena, map, "max_position_embeddings", text->positions);
    sea_node_put_text(arena, map, "hidden_act", act_text(text->act));
    sea_node_put_real(arena, map, "layer_norm_eps", shortest(text->eps));
    sea_node_put_int(arena, map, "bos_token_id", text->bos);
    sea_node_put_int(arena, map, "eos_token_id", text->eos);
    if (text->pad >= 0)
        sea_node_put_int(arena, map, "pad_token_id", text->pad);
    sea_node_put_int(arena, map, "projection_dim", joint);
}

struct sea_node *
sea_clip_desc_node(const struct sea_clip_desc *desc, struct sea_arena *arena)
{
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_node *list = sea_node_put(arena, root, "architectures", SEA_NODE_LIST);
    bool both = desc->joint > 0;

    sea_node_put_text(arena, list, NULL, both ? "CLIPModel" : "CLIPVisionModel");
    if (!both) {
        put_vision(arena, root, &desc->vision, 0);
        sea_node_put_text(arena, root, "torch_dtype", "float32");
        return root;
    }
    sea_node_put_text(arena, root, "model_type", "clip");
    sea_node_put_int(arena, root, "projection_dim", desc->joint);
    sea_node_put_real(arena, root, "logit_scale_init_value", shortest(desc->logit_scale));
    sea_node_put_text(arena, root, "torch_dtype", "float32");
    put_text(arena, sea_node_put(arena, root, "text_config", SEA_NODE_MAP), &desc->text,
             desc->joint);
    put_vision(arena, sea_node_put(arena, root, "vision_config", SEA_NODE_MAP),
               &desc->vision, desc->joint);
    return root;
}
