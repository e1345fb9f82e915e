/* SPDX-License-Identifier: Apache-2.0 */
/* sea model inspect, logits, generate. */
#include "pipeline/sea_tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_conversation.h"
#include "engine/sea_generate.h"
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
    const char *type = sea_node_text(sea_node_get(config, "model_type"), "");
    bool is_clip = strncmp(type, "clip", 4) == 0;
    enum sea_status status = SEA_OK;

    if (is_clip || sea_node_get(config, "vision_config")) {
        status = sea_clip_desc_parse(&clip, config, dir, err);
        if (!status)
            put_clip(arena, root, &clip);
    }
    if (!status && !is_clip) {
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

enum sea_status
sea_tool_inspect(const char *dir, bool json, bool tensors, FILE *to, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "inspect");
    struct sea_node *config, *list, *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_tensors *files = NULL;
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_buf text;
    char path[SEA_PATH_MAX];
    enum sea_status status = load_config(dir, arena, &config, err);

    sea_buf_init(&text, (size_t)256 << 20);
    if (status)
        goto out;
    sea_node_put_text(arena, root, "folder", dir);
    sea_node_put_text(arena, root, "model_type",
                      sea_node_text(sea_node_get(config, "model_type"), "unknown"));
    status = put_parts(arena, root, config, dir, err);
    if (!status)
        status = sea_tensors_open_dir(&files, dir, err);
    if (status)
        goto out;
    sea_node_put_int(arena, root, "parameters", put_tensors(arena, root, files, tensors));
    status = sea_path_join(path, dir, "tokenizer.json", err);
    if (!status && sea_file_exists(path)) {
        status = sea_tokenizer_load(&tokenizer, dir, err);
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

struct opened {
    struct sea_device device;
    struct sea_mllm_folder folder;
    struct sea_mllm mllm;
    float *features;            // (patches, Dv) of the one picture, host; NULL: none
};

static void
release_opened(struct opened *opened)
{
    free(opened->features);
    sea_mllm_release(&opened->folder);
    sea_device_close(&opened->device);
}

static enum sea_status
open_model(struct opened *opened, const char *dir, const char *device, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "model");
    struct sea_node *config;
    enum sea_status status = load_config(dir, arena, &config, err);

    if (!status)
        status = sea_device_open(&opened->device, device ? device : "auto", err);
    if (status)
        goto out;
    if (sea_node_get(config, "vision_config") && sea_node_get(config, "text_config") &&
        strcmp(sea_node_text(sea_node_get(config, "model_type"), ""), "clip") != 0) {
        status = sea_mllm_load(&opened->folder, &opened->device, dir,
                               (struct sea_mllm_trained){ 0 }, err);
    } else {
        opened->folder.image_token = -1;
        status = sea_lm_load(&opened->folder.lm, &opened->device, dir, false, err);
    }
    opened->mllm = (struct sea_mllm){ .lm = opened->folder.lm,
                                      .adapter = opened->folder.adapter,
                                      .patches = opened->folder.patches };
out:
    sea_arena_destroy(arena);
    return status;
}

static enum sea_status
open_picture(struct opened *opened, const char *dir, const char *image, const char *aspect,
             struct sea_err *err)
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
    status = sea_tool_pixels(dir, image, aspect, &pixels, &height, &width, err);
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

static enum sea_status
read_ids(const char *text, const struct opened *opened, bool picture, struct sea_ids *ids,
         struct sea_err *err)
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
            for (i = 0; i < opened->folder.patches; i++)
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
sea_tool_logits(const char *dir, const char *image, const char *ids_text, const char *out_path,
                const char *device, struct sea_err *err)
{
    struct opened opened = { 0 };
    struct sea_mllm_work *work = NULL;
    struct sea_ids ids = { 0 };
    struct sea_tensor_item item = { .name = "logits", .dtype = SEA_F32, .rank = 2 };
    float *logits = NULL;
    enum sea_status status = open_model(&opened, dir, device, err);

    if (!status)
        status = read_ids(ids_text, &opened, image != NULL, &ids, err);
    if (!status && image)
        status = open_picture(&opened, dir, image, "square", err);
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
    release_opened(&opened);
    return status;
}

/* ---- generate ---- */

/* Ids with SEA_LM_GIVEN once for the picture, as sea_generate takes them. */
static enum sea_status
encode_prompt(const struct sea_tool_generate *options, struct sea_tokenizer *tokenizer,
              struct sea_ids *ids, struct sea_err *err)
{
    struct sea_conversation conversation;
    enum sea_template kind;
    struct sea_buf text;
    enum sea_status status;

    if (!options->image && strstr(options->prompt, SEA_IMAGE_TAG))
        return sea_fail(err, SEA_E_CONFIG, "the prompt holds <image>, but no picture is given");
    if (options->template_name) {
        status = sea_template_parse(&kind, options->template_name, err);
        if (status)
            return status;
        conversation = sea_conversation_defaults(kind);
        return sea_conversation_prompt(&conversation, tokenizer, options->prompt,
                                       options->image != NULL, ids, err);
    }
    sea_buf_init(&text, SEA_TOKENIZER_TEXT_MAX);
    status = SEA_OK;
    if (options->image && !strstr(options->prompt, SEA_IMAGE_TAG))
        status = sea_buf_printf(&text, err, "%s\n", SEA_IMAGE_TAG);
    if (!status)
        status = sea_buf_append(&text, options->prompt, strlen(options->prompt), err);
    if (!status)
        status = sea_conversation_encode_text(tokenizer, text.data, text.len, ids, err);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
print_answer(const struct sea_tokenizer *tokenizer, const struct sea_answer *answer, bool ids,
             FILE *to, struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;
    int64_t i;

    if (ids) {
        fputc('[', to);
        for (i = 0; i < answer->count; i++)
            fprintf(to, "%s%d", i ? "," : "", (int)answer->ids[i]);
        fputs("]\n", to);
        return SEA_OK;
    }
    sea_buf_init(&text, (size_t)64 << 20);
    status = sea_tokenizer_decode(tokenizer, answer->ids, (size_t)answer->count, true, &text,
                                  err);
    if (!status)
        fprintf(to, "%s\n", text.data);
    sea_buf_release(&text);
    return status;
}

enum sea_status
sea_tool_generate(const struct sea_tool_generate *options, bool ids, FILE *to,
                  struct sea_err *err)
{
    struct opened opened = { 0 };
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_generator *generator = NULL;
    struct sea_ids prompt_ids = { 0 };
    struct sea_answer answer = { 0 };
    struct sea_sampling sampling = { .max_new = options->max_new > 0 ? options->max_new : 128 };
    const char *aspect = options->aspect ? options->aspect
                                         : options->template_name ? "pad" : "square";
    enum sea_status status = open_model(&opened, options->dir, options->device, err);

    if (!status)
        status = sea_tokenizer_load(&tokenizer, options->dir, err);
    if (!status && options->image)
        status = open_picture(&opened, options->dir, options->image, aspect, err);
    if (!status)
        status = encode_prompt(options, tokenizer, &prompt_ids, err);
    if (!status) {
        struct sea_prompt prompt = { .ids = prompt_ids.data, .count = (int64_t)prompt_ids.len,
                                     .image = options->image ? 0 : -1 };
        struct sea_generate_desc desc = { .slots = 1, .share = true,
                                          .room = (int64_t)prompt_ids.len + opened.folder.patches +
                                             sampling.max_new };

        if (desc.room > opened.folder.lm->desc.max_positions)
            desc.room = opened.folder.lm->desc.max_positions;
        answer.ids = sea_xcalloc((size_t)sampling.max_new, sizeof(int32_t));
        status = sea_generator_create(&generator, &opened.mllm, &desc, err);
        if (!status)
            status = sea_generate(generator, &prompt, 1, opened.features, options->image ? 1 : 0,
                                  &sampling, &answer, err);
    }
    if (!status)
        status = print_answer(tokenizer, &answer, ids, to, err);
    sea_generator_destroy(generator);
    free(answer.ids);
    sea_ids_release(&prompt_ids);
    sea_tokenizer_destroy(tokenizer);
    release_opened(&opened);
    return status;
}
