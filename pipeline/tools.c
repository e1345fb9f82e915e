/* SPDX-License-Identifier: Apache-2.0 */
/* sea model inspect and logits; what tools_generate.c needs, too */
#include "pipeline/sea_tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_conversation.h"
#include "engine/sea_generate.h"
#include "engine/sea_lora.h"
#include "engine/sea_mllm.h"
#include "engine/sea_safetensors.h"
#include "pipeline/tools_int.h"

#define CONFIG_BYTES_MAX ((size_t)16 << 20)
#define IDS_MAX 1000000

static enum sea_status
load_config(const char *dir, struct sea_arena *arena, struct sea_node **out, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status;

    if (!sea_dir_exists(dir)) {
        sea_fail(err, SEA_E_MISSING, "model folder \"%s\" is not there", dir);
        sea_hint(err, "A model is a folder with config.json and model.safetensors.");
        return SEA_E_MISSING;
    }
    status = sea_path_join(path, dir, "config.json", err);
    return status ? status : sea_json_load(path, CONFIG_BYTES_MAX, arena, out, err);
}

/* ---- inspect ---- */

static int64_t
put_tensors(struct sea_arena *arena, struct sea_node *root, const struct sea_tensors *tensors,
            bool list)
{
    struct sea_node *all = NULL;
    int64_t parameters = 0;
    size_t i;
    int d;

    if (list)
        all = sea_node_put(arena, root, "tensors", SEA_NODE_LIST);
    for (i = 0; i < tensors->count; i++) {
        const struct sea_tensor *tensor = &tensors->list[i];
        struct sea_node *node, *shape;

        parameters += tensor->count;
        if (!list)
            continue;
        node = sea_node_put(arena, all, NULL, SEA_NODE_MAP);
        sea_node_put_text(arena, node, "name", tensor->name);
        sea_node_put_text(arena, node, "dtype", sea_dtype_name(tensor->dtype));
        shape = sea_node_put(arena, node, "shape", SEA_NODE_LIST);
        for (d = 0; d < tensor->rank; d++)
            sea_node_put_int(arena, shape, NULL, tensor->shape[d]);
    }
    return parameters;
}

static void
put_clip(struct sea_arena *arena, struct sea_node *root, const struct sea_clip_desc *desc)
{
    struct sea_node *map;

    if (desc->vision.D) {
        map = sea_node_put(arena, root, "vision", SEA_NODE_MAP);
        sea_node_put_text(arena, map, "family", sea_tower_name(desc->tower));
        sea_node_put_int(arena, map, "width", desc->vision.D);
        sea_node_put_int(arena, map, "layers", desc->vision.layers);
        sea_node_put_int(arena, map, "heads", desc->vision.heads);
        sea_node_put_int(arena, map, "image", desc->vision.image);
        sea_node_put_int(arena, map, "patch", desc->vision.patch);
        sea_node_put_int(arena, map, "patches", sea_clip_patch_count(desc));
    }
    if (desc->text.D) {
        map = sea_node_put(arena, root, "text", SEA_NODE_MAP);
        sea_node_put_int(arena, map, "width", desc->text.D);
        sea_node_put_int(arena, map, "layers", desc->text.layers);
        sea_node_put_int(arena, map, "words", desc->text.vocab);
        sea_node_put_int(arena, map, "positions", desc->text.positions);
    }
    if (desc->joint)
        sea_node_put_int(arena, root, "joint", desc->joint);
}

static void
put_lm(struct sea_arena *arena, struct sea_node *root, const struct sea_lm_desc *desc)
{
    struct sea_node *map = sea_node_put(arena, root, "language", SEA_NODE_MAP);

    sea_node_put_text(arena, map, "family", sea_lm_family_name(desc->family));
    sea_node_put_int(arena, map, "width", desc->D);
    sea_node_put_int(arena, map, "layers", desc->layers);
    sea_node_put_int(arena, map, "heads", desc->H);
    sea_node_put_int(arena, map, "key_heads", desc->K);
    sea_node_put_int(arena, map, "ffn", desc->F);
    sea_node_put_int(arena, map, "words", desc->vocab);
    sea_node_put_int(arena, map, "positions", desc->max_positions);
    sea_node_put_bool(arena, map, "tied", desc->tied);
}

static enum sea_status
put_parts(struct sea_arena *arena, struct sea_node *root, const struct sea_node *config,
          const char *dir, struct sea_err *err)
{
    struct sea_clip_desc clip;
    struct sea_lm_desc lm;
    const struct sea_node *text = sea_node_get(config, "text_config");
    const struct sea_node *original = sea_mllm_original_language(config, arena);
    bool is_tower = sea_clip_is_model(config);
    enum sea_status status = SEA_OK;

    if (original) {
        text = original;
        sea_node_put_text(arena, root, "vision_tower",
                          sea_node_text(sea_node_get(config, "mm_vision_tower"), ""));
        sea_node_put_text(arena, root, "adapter",
                          sea_node_text(sea_node_get(config, "mm_projector_type"), "linear"));
    }
    if (is_tower || sea_node_get(config, "vision_config")) {
        status = sea_clip_desc_parse(&clip, config, dir, err);
        if (!status)
            status = sea_clip_desc_size(&clip, dir, err);
        if (!status)
            put_clip(arena, root, &clip);
    }
    if (!status && !is_tower) {
        status = sea_lm_desc_parse(&lm, text ? text : config, dir, err);
        if (!status)
            put_lm(arena, root, &lm);
    }
    return status;
}

static void
print_map(const struct sea_node *map, int indent, FILE *to)
{
    const struct sea_node *node;

    for (node = map->first; node; node = node->next) {
        fprintf(to, "%*s%s", indent, "", node->key ? node->key : "-");
        if (node->kind == SEA_NODE_MAP) {
            fputc('\n', to);
            print_map(node, indent + 2, to);
        } else if (node->kind == SEA_NODE_STRING) {
            fprintf(to, ": %s\n", node->text);
        } else if (node->kind == SEA_NODE_BOOL) {
            fprintf(to, ": %s\n", node->integer ? "yes" : "no");
        } else if (node->kind == SEA_NODE_INT) {
            fprintf(to, ": %lld\n", (long long)node->integer);
        } else {
            fputs(":\n", to);
        }
    }
}

static void
print_tensors(const struct sea_node *tensors, FILE *to)
{
    const struct sea_node *node, *size;

    for (node = tensors->first; node; node = node->next) {
        fprintf(to, "%-4s %s [", sea_node_text(sea_node_get(node, "dtype"), ""),
                sea_node_text(sea_node_get(node, "name"), ""));
        for (size = sea_node_get(node, "shape")->first; size; size = size->next)
            fprintf(to, "%lld%s", (long long)size->integer, size->next ? ", " : "");
        fputs("]\n", to);
    }
}

/* A PEFT folder: its adapter, and in model the folder that it belongs to; else dir itself. */
static enum sea_status
put_lora(struct sea_arena *arena, struct sea_node *root, const char *dir,
         char model[SEA_PATH_MAX], struct sea_err *err)
{
    struct sea_node *config, *map;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    snprintf(model, SEA_PATH_MAX, "%s", dir);
    if (!sea_lora_is_folder(dir))
        return SEA_OK;
    status = sea_path_join(path, dir, "adapter_config.json", err);
    if (!status)
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &config, err);
    if (!status)
        status = sea_lora_base(dir, model, err);
    if (status)
        return status;
    map = sea_node_put(arena, root, "peft", SEA_NODE_MAP);
    sea_node_put_text(arena, map, "kind", sea_node_text(sea_node_get(config, "peft_type"), "?"));
    sea_node_put_int(arena, map, "rank", sea_node_int(sea_node_get(config, "r"), 0));
    sea_node_put_text(arena, map, "base", model);
    return SEA_OK;
}

enum sea_status
sea_tool_inspect(const char *dir, bool json, bool tensors, FILE *to, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "inspect");
    struct sea_node *config, *list, *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_tensors *files = NULL;
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_buf text;
    char path[SEA_PATH_MAX], model[SEA_PATH_MAX];
    enum sea_status status;

    sea_buf_init(&text, (size_t)256 << 20);
    sea_node_put_text(arena, root, "folder", dir);
    status = put_lora(arena, root, dir, model, err);
    if (!status)
        status = load_config(model, arena, &config, err);
    if (status)
        goto out;
    sea_node_put_text(arena, root, "model_type",
                      sea_node_text(sea_node_get(config, "model_type"), "unknown"));
    status = put_parts(arena, root, config, model, err);
    if (!status)
        status = sea_tensors_open_dir(&files, model, err);
    if (status)
        goto out;
    sea_node_put_int(arena, root, "parameters", put_tensors(arena, root, files, tensors));
    status = sea_path_join(path, dir, "tokenizer.json", err);
    if (!status && !sea_file_exists(path))
        status = sea_path_join(path, model, "tokenizer.json", err);
    if (!status && sea_file_exists(path)) {
        *strrchr(path, '/') = 0;
        status = sea_tokenizer_load(&tokenizer, path, err);
        if (!status)
            sea_node_put_int(arena, root, "tokenizer_words", sea_tokenizer_count(tokenizer));
    }
    if (status)
        goto out;
    if (json) {
        status = sea_json_write(root, SEA_JSON_PRETTY, &text, err);
        fwrite(text.data, 1, text.len, to);
        goto out;
    }
    list = sea_node_get(root, "tensors");
    if (list)
        list = sea_node_put_copy(arena, NULL, NULL, list);
    sea_node_remove(root, "tensors");
    print_map(root, 0, to);
    if (list)
        print_tensors(list, to);
out:
    sea_tokenizer_destroy(tokenizer);
    sea_tensors_close(files);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}

/* ---- a model, opened for logits or generation ---- */

enum sea_status
sea_tool_precision(enum sea_store *out, const char *name, struct sea_err *err)
{
    *out = name && !strcmp(name, "bf16") ? SEA_STORE_BF16 : SEA_STORE_F32;
    if (!name || !strcmp(name, "bf16") || !strcmp(name, "f32"))
        return SEA_OK;
    return sea_fail(err, SEA_E_CONFIG, "precision \"%s\" is not known, must be f32 or bf16",
                    name);
}

void
sea_opened_release(struct sea_opened *opened)
{
    free(opened->features);
    sea_mllm_release(&opened->folder);
    sea_device_close(&opened->device);
}

/* What loading found, once. */
static void
warn(const struct sea_params *weights)
{
    if (weights && weights->warning)
        fprintf(stderr, "warning: %s\n", weights->warning);
}

enum sea_status
sea_opened_model(struct sea_opened *opened, const char *dir, const char *tower, const char *device,
                 const char *precision, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "model");
    char base[SEA_PATH_MAX];
    struct sea_node *config;
    bool lora = sea_lora_is_folder(dir);
    enum sea_status status = lora ? sea_lora_base(dir, base, err)
                                  : sea_path_join(base, dir, "", err);

    if (!status)
        status = load_config(base, arena, &config, err);
    if (!status)
        status = sea_device_open(&opened->device, device ? device : "auto", err);
    if (!status)
        status = sea_tool_precision(&opened->device.store, precision, err);
    if (status)
        goto out;
    if (tower || sea_mllm_original_language(config, arena) ||
        (sea_node_get(config, "vision_config") && sea_node_get(config, "text_config") &&
         !sea_clip_is_model(config))) {
        status = sea_mllm_load_tower(&opened->folder, &opened->device, dir, tower,
                                     (struct sea_mllm_trained){ 0 }, err);
    } else {
        opened->folder.image_token = -1;
        status = sea_lm_load(&opened->folder.lm, &opened->device, base, false, err);
        if (!status && lora)
            status = sea_mllm_add_lora(&opened->folder, dir, err);
    }
    if (!status) {
        const struct sea_mllm_folder *folder = &opened->folder;

        warn(folder->clip ? &folder->clip->vision : NULL);
        warn(folder->adapter ? &folder->adapter->params : NULL);
        warn(&folder->lm->params);
        warn(folder->lora ? &folder->lora->params : NULL);
    }
    opened->mllm = (struct sea_mllm){ .lm = opened->folder.lm,
                                      .adapter = opened->folder.adapter,
                                      .patches = opened->folder.patches };
out:
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_opened_picture(struct sea_opened *opened, const char *dir, const char *image,
                   const char *aspect, struct sea_err *err)
{
    struct sea_clip_limits limits = { .images = 1 };
    const struct sea_clip *clip = opened->folder.clip;
    struct sea_clip_work *work = NULL;
    float *pixels = NULL;
    int height, width;
    enum sea_status status;

    if (!clip) {
        sea_fail(err, SEA_E_CONFIG, "model \"%s\" reads no pictures", dir);
        sea_hint(err, "Leave --image out, or give a LlavaForConditionalGeneration folder.");
        return SEA_E_CONFIG;
    }
    status = sea_tool_pixels(opened->folder.view, image, aspect, &pixels, &height, &width, err);
    if (!status && (height != clip->desc.vision.image || width != clip->desc.vision.image))
        status = sea_fail(err, SEA_E_FORMAT, "preprocessor_config.json of \"%s\" makes %d x %d "
                          "pixels, its tower takes %lld x %lld", dir, width, height,
                          (long long)clip->desc.vision.image, (long long)clip->desc.vision.image);
    if (!status)
        status = sea_clip_work_create(&work, clip, &limits, err);
    if (status)
        goto out;
    opened->features = sea_xcalloc((size_t)(opened->folder.patches * clip->desc.vision.D),
                                   sizeof(float));
    status = sea_clip_features(clip, work, pixels, 1, opened->folder.layer,
                               opened->folder.with_class,
                               (struct sea_clip_out){ .host = opened->features }, err);
out:
    sea_clip_work_destroy(work);
    free(pixels);
    return status;
}

/* ---- logits ---- */

enum sea_status
sea_opened_ids(const char *text, const struct sea_opened *opened, bool picture,
               bool whole_pictures, struct sea_ids *ids, struct sea_err *err)
{
    const char *at = text;
    int pictures = 0;
    int64_t i;

    while (*at) {
        char *end;
        long long id;

        if (strchr(", \t\n[]", *at)) {
            at++;
            continue;
        }
        errno = 0;
        id = strtoll(at, &end, 10);
        if (errno || end == at || ids->len > IDS_MAX)
            return sea_fail(err, SEA_E_CONFIG, "ids: \"%.20s\" is not an id", at);
        at = end;
        if (id == opened->folder.image_token && opened->folder.clip) {
            pictures++;
            for (i = 0; i < (whole_pictures ? 1 : opened->folder.patches); i++)
                sea_ids_add(ids, SEA_LM_GIVEN);
        } else if (id < 0 || id >= opened->folder.lm->desc.vocab) {
            return sea_fail(err, SEA_E_CONFIG, "id %lld is outside the model's %lld words", id,
                            (long long)opened->folder.lm->desc.vocab);
        } else {
            sea_ids_add(ids, (int32_t)id);
        }
    }
    if (ids->len == 0)
        return sea_fail(err, SEA_E_CONFIG, "no ids are given");
    if (pictures != (picture ? 1 : 0)) {
        sea_fail(err, SEA_E_CONFIG, "the ids hold %d image tokens, %s picture is given", pictures,
                 picture ? "one" : "no");
        sea_hint(err, "The model's image token is %d.", (int)opened->folder.image_token);
        return SEA_E_CONFIG;
    }
    if ((int64_t)ids->len > opened->folder.lm->desc.max_positions)
        return sea_fail(err, SEA_E_CONFIG, "%zu ids are more than the model's %lld positions",
                        ids->len, (long long)opened->folder.lm->desc.max_positions);
    return SEA_OK;
}

enum sea_status
sea_tool_logits(const char *dir, const char *tower, const char *image, const char *ids_text,
                const char *out_path, const char *device, const char *precision,
                struct sea_err *err)
{
    struct sea_opened opened = { 0 };
    struct sea_mllm_work *work = NULL;
    struct sea_ids ids = { 0 };
    struct sea_tensor_item item = { .name = "logits", .dtype = SEA_F32, .rank = 2 };
    float *logits = NULL;
    enum sea_status status = sea_opened_model(&opened, dir, tower, device, precision, err);

    if (!status)
        status = sea_opened_ids(ids_text, &opened, image != NULL, false, &ids, err);
    if (!status && image)
        status = sea_opened_picture(&opened, dir, image, opened.folder.pad ? "pad" : "square", err);
    if (!status) {
        int32_t start[2] = { 0, (int32_t)ids.len };
        struct sea_mllm_limits limits = { .text = { .rows = (int64_t)ids.len },
                                          .images = image ? 1 : 0 };
        struct sea_mllm_batch batch = {
            .text = { .rows = (int64_t)ids.len, .segments = 1, .start = start, .ids = ids.data },
            .images = image ? 1 : 0, .features = opened.features };

        item.shape[0] = (int64_t)ids.len;
        item.shape[1] = opened.folder.lm->desc.vocab;
        logits = sea_xcalloc(ids.len * (size_t)item.shape[1], sizeof(float));
        status = sea_mllm_work_create(&work, &opened.mllm, &limits, err);
        if (!status)
            status = sea_mllm_logits(&opened.mllm, work, &batch, logits, err);
    }
    item.data = logits;
    if (!status)
        status = sea_tensors_write(out_path, &item, 1, NULL, 0, err);
    sea_mllm_work_destroy(work);
    free(logits);
    sea_ids_release(&ids);
    sea_opened_release(&opened);
    return status;
}
