/* SPDX-License-Identifier: Apache-2.0 */
/*
 * The sizes of a tower from its config.json; clip_config.c writes one. Old CLIP folders
 * repeat a tower's settings under "vision_config_dict"; where such a map stands, its keys
 * win, as they do in Hugging Face's reader.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/clip_int.h"
#include "engine/sea_image.h"

#define CONFIG_BYTES_MAX (1 << 20)

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
int_of(const struct source *from, const char *key, const struct sea_node *node,
       int64_t fallback, int64_t low, int64_t high)
{
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

static int64_t
read_int(const struct source *from, const char *key, int64_t fallback, int64_t low,
         int64_t high)
{
    return int_of(from, key, lookup(from, key), fallback, low, high);
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

static bool
read_bool(const struct source *from, const char *key, bool fallback)
{
    const struct sea_node *node = lookup(from, key);

    if (node && node->kind != SEA_NODE_BOOL)
        sea_fail(from->err, SEA_E_FORMAT, "\"%s\": key \"%s%s\" is %s, need true or false",
                 from->name, from->where, key, sea_node_kind_name(node->kind));
    return sea_node_bool(node, fallback);
}

/* Pixels: a number, or a list of two equal ones. */
static int64_t
read_side(const struct source *from, const char *key, int64_t fallback, int64_t high)
{
    const struct sea_node *node = lookup(from, key);

    if (!node || node->kind != SEA_NODE_LIST)
        return int_of(from, key, node, fallback, 1, high);
    if (node->count != 2 || node->first->kind != SEA_NODE_INT
        || node->last->kind != SEA_NODE_INT || node->first->integer != node->last->integer) {
        sea_fail(from->err, SEA_E_FORMAT, "\"%s\": key \"%s%s\" is no square: need one "
                 "number, or a list of two equal ones", from->name, from->where, key);
        return fallback;
    }
    return int_of(from, key, node->first, fallback, 1, high);
}

static enum sea_act
read_act(const struct source *from, enum sea_act fallback)
{
    const char *name = sea_node_text(lookup(from, "hidden_act"), sea_clip_act_name(fallback));
    enum sea_act act;

    if (sea_clip_act_find(name, &act))
        return act;
    sea_fail(from->err, SEA_E_FORMAT, "\"%s\": activation \"%s\" of key \"%shidden_act\" is "
             "not known", from->name, name, from->where);
    sea_hint(from->err, "Known activations are quick_gelu, gelu, gelu_new, "
             "gelu_pytorch_tanh and silu.");
    return fallback;
}

/* F of DINOv2 from its mlp_ratio: SwiGLU keeps two thirds, in steps of 8. */
static int64_t
feed_forward(const struct sea_clip_vision_desc *vision)
{
    int64_t F = vision->D * vision->ratio;

    return vision->gated ? (F * 2 / 3 + 7) / 8 * 8 : F;
}

static void
read_vision(const struct source *from, enum sea_tower tower,
            struct sea_clip_vision_desc *vision)
{
    *vision = sea_tower_row(tower)->vision;
    vision->D = read_int(from, "hidden_size", vision->D, 1, 1 << 16);
    vision->layers = read_int(from, "num_hidden_layers", vision->layers, 1, 1024);
    vision->heads = read_int(from, "num_attention_heads", vision->heads, 1, 1024);
    vision->image = read_side(from, "image_size", vision->image, 1 << 14);
    vision->patch = read_side(from, "patch_size", vision->patch, 1 << 10);
    vision->channels = read_int(from, "num_channels", vision->channels, 1, 16);
    vision->act = read_act(from, vision->act);
    vision->eps = read_real(from, "layer_norm_eps", (double)vision->eps, 1e-12, 1);
    if (tower == SEA_TOWER_SIGLIP)
        vision->pool = read_bool(from, "vision_use_head", true);
    if (tower != SEA_TOWER_DINOV2) {
        vision->F = read_int(from, "intermediate_size", vision->F, 1, 1 << 18);
        return;
    }
    vision->ratio = read_int(from, "mlp_ratio", vision->ratio, 1, 64);
    vision->gated = read_bool(from, "use_swiglu_ffn", false);
    if (vision->gated)
        vision->act = SEA_ACT_SILU;     /* whatever hidden_act says */
    vision->F = feed_forward(vision);
    vision->no_qkv_bias = !read_bool(from, "qkv_bias", true);
    vision->mask_token = read_bool(from, "use_mask_token", true);
}

static void
read_text(const struct source *from, enum sea_tower tower, struct sea_clip_text_desc *text)
{
    *text = sea_tower_row(tower)->text;
    text->D = read_int(from, "hidden_size", text->D, 1, 1 << 16);
    text->layers = read_int(from, "num_hidden_layers", text->layers, 1, 1024);
    text->heads = read_int(from, "num_attention_heads", text->heads, 1, 1024);
    text->F = read_int(from, "intermediate_size", text->F, 1, 1 << 18);
    text->vocab = read_int(from, "vocab_size", text->vocab, 1, 1 << 24);
    text->positions = read_int(from, "max_position_embeddings", text->positions, 1, 1 << 20);
    text->bos = (int32_t)read_int(from, "bos_token_id", text->bos, 0, 1 << 24);
    text->eos = (int32_t)read_int(from, "eos_token_id", text->eos, 0, 1 << 24);
    text->pad = (int32_t)read_int(from, "pad_token_id", text->pad, -1, 1 << 24);
    text->eos_is_largest = tower == SEA_TOWER_CLIP && text->eos == 2;
    text->act = read_act(from, text->act);
    text->eps = read_real(from, "layer_norm_eps", (double)text->eps, 1e-12, 1);
}

/* The family of the vision tower; parent: the family of a model with both towers, or NULL. */
static enum sea_status
find_tower(const struct source *from, const struct sea_tower_row *parent,
           enum sea_tower *tower)
{
    const char *fallback = parent ? parent->vision_type : "clip_vision_model";
    const char *type = sea_node_text(lookup(from, "model_type"), fallback);
    const struct sea_tower_row *row;
    bool alone;

    row = sea_tower_find(type, tower, &alone);
    if (row && alone && (!parent || row == parent))
        return SEA_OK;
    sea_fail(from->err, SEA_E_FORMAT, "\"%s\": vision tower is a \"%s\", need a \"%s\"%s",
             from->name, type, fallback, parent ? "" : ", \"siglip_vision_model\" or \"dinov2\"");
    if (strstr(type, "registers"))
        sea_hint(from->err, "Register rows are not computed; use the variant without them.");
    else
        sea_hint(from->err, "Give a CLIP, SigLIP or DINOv2 tower.");
    return from->err->status;
}

/* The joint space, and what stands beside the towers. */
static void
read_joint(const struct source *from, bool both, struct sea_clip_desc *desc)
{
    const struct sea_node *list = lookup(from, "architectures");
    const char *architecture = sea_node_text(list ? list->first : NULL, "");

    if (desc->tower == SEA_TOWER_SIGLIP && desc->vision.pool)
        desc->joint = desc->vision.D;
    if (desc->tower != SEA_TOWER_CLIP || (!both && !strstr(architecture, "WithProjection")))
        return;
    desc->joint = read_int(from, "projection_dim", 512, 1, 1 << 16);
    if (both)
        desc->logit_scale = read_real(from, "logit_scale_init_value", 2.6592, -20, 20);
}

/* SigLIP's texts end in the pooled picture's width. */
static void
check_projection(const struct source *from, const struct sea_clip_desc *desc)
{
    int64_t size = read_int(from, "projection_size", desc->text.D, 1, 1 << 16);

    if (desc->tower == SEA_TOWER_SIGLIP && desc->vision.pool && size != desc->vision.D)
        sea_fail(from->err, SEA_E_FORMAT, "\"%s\": key \"%sprojection_size\" is %lld, need the "
                 "vision tower's %lld", from->name, from->where, (long long)size,
                 (long long)desc->vision.D);
    if (desc->tower == SEA_TOWER_SIGLIP && !desc->vision.pool)
        sea_fail(from->err, SEA_E_FORMAT, "\"%s\": a SigLIP model of both towers without "
                 "\"vision_use_head\" has no joint space", from->name);
}

bool
sea_clip_is_model(const struct sea_node *config)
{
    enum sea_tower tower;
    bool alone;

    return sea_tower_find(sea_node_text(sea_node_get(config, "model_type"), ""), &tower,
                          &alone) != NULL;
}

enum sea_status
sea_clip_desc_parse(struct sea_clip_desc *desc, const struct sea_node *config,
                    const char *name, struct sea_err *err)
{
    const struct sea_node *vision = sea_node_get(config, "vision_config");
    const char *type = sea_node_text(sea_node_get(config, "model_type"), "clip");
    const struct source top = { .name = name, .where = "", .err = err, .map = config };
    const struct sea_tower_row *parent = NULL;
    struct source from = top;
    bool both = false;

    memset(desc, 0, sizeof(*desc));
    if (!config || config->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is no map of settings", name);
    if (vision || sea_node_get(config, "vision_config_dict")) {
        bool alone;

        parent = sea_tower_find(type, &desc->tower, &alone);
        both = parent != NULL;
        from.map = vision;
        from.winner = sea_node_get(config, "vision_config_dict");
        from.where = "vision_config.";
    } else if (strstr(type, "_vision_model") == NULL && strncmp(type, "dinov2", 6)) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\": model type \"%s\" without \"vision_config\" is "
                 "no vision model", name, type);
        sea_hint(err, "Give the folder of a CLIPModel, SiglipModel, Dinov2Model, of a vision "
                 "tower alone or of a Llava model.");
        return err->status;
    }
    if (find_tower(&from, parent, &desc->tower))
        return err->status;
    read_vision(&from, desc->tower, &desc->vision);
    if (both) {
        from.map = sea_node_get(config, "text_config");
        from.winner = sea_node_get(config, "text_config_dict");
        from.where = "text_config.";
        read_text(&from, desc->tower, &desc->text);
        check_projection(&from, desc);
    }
    if (both || !vision)
        read_joint(&top, both, desc);
    if (!err->status && sea_clip_desc_check(desc, err)) {
        err->status = SEA_E_FORMAT;     /* here the sizes come from a file */
        sea_context(err, "while reading \"%s\"", name);
    }
    return err->status;
}

enum sea_status
sea_clip_desc_size(struct sea_clip_desc *desc, const char *dir, struct sea_err *err)
{
    struct sea_image_view view;
    enum sea_status status;
    bool found;

    if (desc->tower != SEA_TOWER_DINOV2)
        return SEA_OK;
    status = sea_image_view_find(dir, &found, err);
    if (status || !found)
        return status;
    status = sea_image_view_load(&view, dir, err);
    if (status)
        return status;
    if (view.crop_h != view.crop_w || view.crop_h < desc->vision.patch)
        return sea_fail(err, SEA_E_FORMAT, "the image processor of \"%s\" makes %d x %d pixels, "
                        "need a square of at least one patch of %lld", dir, view.crop_w, view.crop_h,
                        (long long)desc->vision.patch);
    if (!desc->vision.trained)
        desc->vision.trained = desc->vision.image;
    desc->vision.image = view.crop_h;
    return SEA_OK;
}

enum sea_status
sea_clip_desc_load(struct sea_clip_desc *desc, const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "vision config");
    char path[SEA_PATH_MAX];
    struct sea_node *config;
    enum sea_status status = sea_path_join(path, dir, "config.json", err);

    memset(desc, 0, sizeof(*desc));
    if (!status)
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
    if (!status)
        status = sea_clip_desc_parse(desc, config, path, err);
    if (!status)
        status = sea_clip_desc_size(desc, dir, err);
    sea_arena_destroy(arena);
    return status;
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
    if (!status && sea_clip_interpolates(desc) && desc->tower != SEA_TOWER_DINOV2)
        status = sea_fail(err, SEA_E_CONFIG, "positions of a %s tower are for %lld pixels, not "
                          "for %lld", sea_tower_name(desc->tower), (long long)vision->trained,
                          (long long)vision->image);
    if (!status && vision->D > 0 && sea_clip_trained_grid(desc) < 1)
        status = sea_fail(err, SEA_E_CONFIG, "positions are for %lld pixels, need at least "
                          "one patch of %lld", (long long)vision->trained,
                          (long long)vision->patch);
    if (!status && text->D > 0)
        status = check_tower("text", text->D, text->heads, text->layers, text->F, err);
    if (!status && text->D > 0 && (text->vocab < 1 || text->positions < 1))
        status = sea_fail(err, SEA_E_CONFIG, "text tower has a vocabulary of %lld and %lld "
                          "positions, need at least 1 of each", (long long)text->vocab,
                          (long long)text->positions);
    if (!status && text->D > 0 && desc->tower == SEA_TOWER_SIGLIP
        && (text->pad < 0 || text->pad >= text->vocab))
        status = sea_fail(err, SEA_E_CONFIG, "pad_token_id is %d, need 0 to %lld", text->pad,
                          (long long)text->vocab - 1);
    if (!status && text->D > 0 && desc->tower == SEA_TOWER_CLIP && !text->eos_is_largest
        && (text->eos < 0 || text->eos >= text->vocab))
        status = sea_fail(err, SEA_E_CONFIG, "eos_token_id is %d, need 0 to %lld", text->eos,
                          (long long)text->vocab - 1);
    if (!status && text->D > 0 && desc->tower == SEA_TOWER_CLIP
        && (text->eos == 2) != text->eos_is_largest) {
        status = sea_fail(err, SEA_E_CONFIG, "eos_token_id is 2, which every reader of CLIP "
                          "folders takes for \"the largest id\"");
        sea_hint(err, "Give the end token another id.");
    }
    if (!status && desc->joint > 0 && vision->D < 1)
        status = sea_fail(err, SEA_E_CONFIG, "projection_dim is %lld, need a vision tower for "
                          "a joint space", (long long)desc->joint);
    if (!status && desc->tower == SEA_TOWER_SIGLIP && desc->joint > 0
        && (!vision->pool || desc->joint != vision->D))
        status = sea_fail(err, SEA_E_CONFIG, "the joint space of a SigLIP tower is that of "
                          "its pooling head, need %lld", (long long)vision->D);
    return status;
}
