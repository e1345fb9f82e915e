/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_image.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/image_int.h"

#define CONFIG_BYTES_MAX ((size_t)1 << 20)
#define EDGE_MAX 8192           /* of a tower's picture */

struct sea_image_view
sea_image_view_defaults(int side)
{
    return (struct sea_image_view){
        .size = side, .crop_h = side, .crop_w = side,
        .do_resize = true, .do_crop = true, .do_rescale = true, .do_normalize = true,
        .resample = SEA_RESAMPLE_BICUBIC, .rescale = 1.0 / 255,
        .mean = { 0.48145466f, 0.4578275f, 0.40821073f },
        .std = { 0.26862954f, 0.26130258f, 0.27577711f },
        .fill = { 122, 116, 104 },
        .aspect = SEA_ASPECT_SQUARE,
    };
}

/* ---- preprocessor_config.json ---- */

/* Keys that are read here, or that change nothing about pixels. Any other key that asks for
 * something (neither null, false nor empty) is refused by name. */
static const char *const known_keys[] = {
    "image_processor_type", "feature_extractor_type", "processor_class", "size", "crop_size",
    "do_resize", "do_center_crop", "do_rescale", "do_normalize", "do_convert_rgb", "do_pad",
    "resample", "rescale_factor", "image_mean", "image_std", "default_to_square",
    "data_format", "input_data_format", "return_tensors", "device", "disable_grouping",
    "image_seq_length", "num_additional_image_tokens", "patch_size", "image_token",
    "vision_feature_select_strategy", "chat_template", "auto_map", "backend",
    "transformers_version", "_valid_processor_keys", "_name_or_path", "_commit_hash",
};

static enum sea_status
check_keys(const struct sea_node *root, const char *name, struct sea_err *err)
{
    const size_t known = sizeof(known_keys) / sizeof(known_keys[0]);
    const struct sea_node *node;
    size_t i;

    for (node = root->first; node; node = node->next) {
        bool asks = node->kind != SEA_NODE_NULL && (node->kind != SEA_NODE_BOOL || node->integer)
                    && ((node->kind != SEA_NODE_MAP && node->kind != SEA_NODE_LIST)
                        || node->count);

        for (i = 0; asks && i < known && strcmp(node->key, known_keys[i]); i++)
            continue;
        if (!asks || i < known)
            continue;
        sea_fail(err, SEA_E_FORMAT, "\"%s\": the option \"%s\" of an image processor is not known",
                 name, node->key);
        sea_hint(err, "Take it out when it changes nothing about the pixels of a tower.");
        return err->status;
    }
    return SEA_OK;
}

/* null is as good as absent. */
static enum sea_status
read_flag(const struct sea_node *root, const char *key, const char *name, bool *flag,
          struct sea_err *err)
{
    const struct sea_node *node = sea_node_get(root, key);

    if (!node || node->kind == SEA_NODE_NULL)
        return SEA_OK;
    if (node->kind != SEA_NODE_BOOL)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": \"%s\" is %s, must be true or false", name,
                        key, sea_node_kind_name(node->kind));
    *flag = node->integer != 0;
    return SEA_OK;
}

/* What a processor does where its file says nothing. */
static enum sea_status
defaults_of(const char *type, const char *name, struct sea_image_view *view, struct sea_err *err)
{
    *view = sea_image_view_defaults(224);
    if (!strncmp(type, "CLIP", 4) || !strncmp(type, "BitImageProcessor", 17) ||
        !strncmp(type, "LlavaImageProcessor", 19))
        return SEA_OK;
    if (!strncmp(type, "SiglipImageProcessor", 20)) {
        view->size = 0;
        view->resize_h = view->resize_w = 224;
        view->do_crop = false;
        for (int c = 0; c < 3; c++)
            view->mean[c] = view->std[c] = 0.5f;
        memset(view->fill, 127, sizeof(view->fill));
        return SEA_OK;
    }
    sea_fail(err, SEA_E_FORMAT, "\"%s\": image processor \"%s\" is not known", name, type);
    sea_hint(err, "Known are CLIPImageProcessor, SiglipImageProcessor, BitImageProcessor and "
                  "LlavaImageProcessor.");
    return err->status;
}

static enum sea_status
read_edge(const struct sea_node *node, const char *key, const char *name, int *out,
          struct sea_err *err)
{
    if (node->kind != SEA_NODE_INT || node->integer < 1 || node->integer > EDGE_MAX)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": \"%s\" must be an integer in 1 .. %d", name,
                        key, EDGE_MAX);
    *out = (int)node->integer;
    return SEA_OK;
}

/* A number or {"height": H, "width": W}; shortest is set to -1 when it is neither, or to
 * S for {"shortest_edge": S}. */
static enum sea_status
read_size(const struct sea_node *node, const char *key, const char *name, int *h, int *w,
          int *shortest, struct sea_err *err)
{
    const struct sea_node *height = sea_node_get(node, "height");
    const struct sea_node *width = sea_node_get(node, "width");
    const struct sea_node *edge = sea_node_get(node, "shortest_edge");
    enum sea_status status;

    *h = *w = *shortest = 0;
    if (node->kind == SEA_NODE_INT)
        return read_edge(node, key, name, shortest, err);
    if (edge && !sea_node_get(node, "longest_edge"))
        return read_edge(edge, key, name, shortest, err);
    if (!height || !width) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\": \"%s\" has a form that is not known", name, key);
        sea_hint(err, "Known are a number, {\"shortest_edge\": N} and {\"height\": H, "
                      "\"width\": W}.");
        return err->status;
    }
    status = read_edge(height, key, name, h, err);
    return status ? status : read_edge(width, key, name, w, err);
}

static enum sea_status
read_sizes(const struct sea_node *root, const char *name, struct sea_image_view *view,
           struct sea_err *err)
{
    const struct sea_node *size = sea_node_get(root, "size");
    const struct sea_node *crop = sea_node_get(root, "crop_size");
    int h, w, shortest;
    bool square = view->size == 0;
    enum sea_status status = SEA_OK;

    if (size && size->kind != SEA_NODE_NULL) {
        status = read_size(size, "size", name, &h, &w, &shortest, err);
        if (status)
            return status;
        status = read_flag(root, "default_to_square", name, &square, err);
        if (status)
            return status;
        /* A plain number is a square in SigLIP's file, or where the file says so. */
        if (shortest && size->kind == SEA_NODE_INT && square)
            h = w = shortest, shortest = 0;
        view->size = shortest;
        view->resize_h = h;
        view->resize_w = w;
    }
    status = read_flag(root, "do_resize", name, &view->do_resize, err);
    if (!status)
        status = read_flag(root, "do_center_crop", name, &view->do_crop, err);
    if (status)
        return status;
    if (view->do_crop && crop && crop->kind != SEA_NODE_NULL) {
        status = read_size(crop, "crop_size", name, &h, &w, &shortest, err);
        view->crop_h = shortest ? shortest : h;
        view->crop_w = shortest ? shortest : w;
    } else if (!view->do_crop) {
        view->crop_h = view->resize_h;
        view->crop_w = view->resize_w;
    }
    if (!status && (view->crop_h < 1 || (!view->do_crop && !view->do_resize))) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\" gives pictures of different sizes", name);
        sea_hint(err, "A tower needs do_center_crop with crop_size, or size with height and "
                      "width.");
        return err->status;
    }
    return status;
}

static enum sea_status
read_triple(const struct sea_node *root, const char *key, const char *name, float out[3],
            unsigned char fill[3], struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(root, key), *item;
    int c = 0;

    if (!list || list->kind == SEA_NODE_NULL)
        return SEA_OK;
    if (list->kind == SEA_NODE_LIST && list->count == 3)
        for (item = list->first; item; item = item->next)
            if (item->kind == SEA_NODE_REAL || item->kind == SEA_NODE_INT) {
                double colour = item->real * 255;

                if (fill)
                    fill[c] = (unsigned char)(colour > 255 ? 255 : colour > 0 ? colour : 0);
                out[c++] = (float)item->real;
            }
    if (c != 3)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": \"%s\" must be a list of 3 numbers", name, key);
    return SEA_OK;
}

static enum sea_status
read_numbers(const struct sea_node *root, const char *name, bool square,
             struct sea_image_view *view, struct sea_err *err)
{
    const struct sea_node *filter = sea_node_get(root, "resample");
    const struct sea_node *factor = sea_node_get(root, "rescale_factor");
    int64_t resample = sea_node_int(filter, view->resample);
    bool pads = false;
    enum sea_status status;

    status = read_flag(root, "do_rescale", name, &view->do_rescale, err);
    if (!status)
        status = read_flag(root, "do_normalize", name, &view->do_normalize, err);
    if (!status)
        status = read_flag(root, "do_pad", name, &pads, err);
    if (status)
        return status;
    if (pads && !square) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\": \"do_pad\" of this image processor is not computed",
                 name);
        sea_hint(err, "Only LlavaImageProcessor's is: a square of the mean colour.");
        return err->status;
    }
    if (pads)
        view->aspect = SEA_ASPECT_PAD;
    if (factor && factor->kind != SEA_NODE_NULL && factor->kind != SEA_NODE_REAL &&
        factor->kind != SEA_NODE_INT)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": \"rescale_factor\" must be a number", name);
    view->rescale = sea_node_real(factor, view->rescale);
    if (filter && filter->kind != SEA_NODE_NULL && filter->kind != SEA_NODE_INT)
        resample = -1;
    if (resample < SEA_RESAMPLE_LANCZOS || resample > SEA_RESAMPLE_BICUBIC) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\": \"resample\" is %lld", name, (long long)resample);
        sea_hint(err, "Known are 1 (Lanczos), 2 (bilinear) and 3 (bicubic).");
        return err->status;
    }
    view->resample = (enum sea_resample)resample;
    status = read_triple(root, "image_mean", name, view->mean, view->fill, err);
    if (!status)
        status = read_triple(root, "image_std", name, view->std, NULL, err);
    for (int c = 0; c < 3 && !status; c++)
        if (!(view->std[c] > 0))
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\": \"image_std\" must be positive", name);
    return status;
}

/* The settings in dir and the file they stand in. processor_config.json goes first, when it
 * holds an image processor: newer releases write it, and may leave an old file beside it. */
static enum sea_status
find_settings(const char *dir, struct sea_arena *arena, struct sea_node **out,
              char path[SEA_PATH_MAX], struct sea_err *err)
{
    struct sea_node *root = NULL;
    enum sea_status status = sea_path_join(path, dir, "processor_config.json", err);

    *out = NULL;
    if (!status && sea_file_exists(path))
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, &root, err);
    if (status)
        return status;
    root = sea_node_get(root, "image_processor");
    if (root && root->kind != SEA_NODE_NULL) {
        *out = root;
        return SEA_OK;
    }
    status = sea_path_join(path, dir, "preprocessor_config.json", err);
    if (!status && sea_file_exists(path))
        status = sea_json_load(path, CONFIG_BYTES_MAX, arena, out, err);
    if (!status && *out && sea_node_get(*out, "image_processor"))
        *out = sea_node_get(*out, "image_processor");
    return status;
}

enum sea_status
sea_image_view_find(const char *dir, bool *found, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "image processor");
    struct sea_node *root;
    char path[SEA_PATH_MAX];
    enum sea_status status = find_settings(dir, arena, &root, path, err);

    *found = root != NULL;
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_image_view_load(struct sea_image_view *view, const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "image processor");
    char path[SEA_PATH_MAX];
    struct sea_node *root;
    const char *type;
    enum sea_status status = find_settings(dir, arena, &root, path, err);

    if (!status && !root) {
        status = sea_fail(err, SEA_E_MISSING, "\"%s\" is missing, nor is there an "
                          "\"image_processor\" in a processor_config.json", path);
        sea_hint(err, "Copy the file from the folder of the model's vision tower: it says how "
                      "pictures are prepared.");
    }
    if (status)
        goto out;
    type = sea_node_text(sea_node_get(root, "image_processor_type"), NULL);
    if (!type)
        type = sea_node_text(sea_node_get(root, "feature_extractor_type"), "CLIPImageProcessor");
    status = defaults_of(type, path, view, err);
    if (!status && root->kind != SEA_NODE_MAP)
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" is no map of settings", path);
    if (!status)
        status = check_keys(root, path, err);
    if (!status)
        status = read_sizes(root, path, view, err);
    if (!status)
        status = read_numbers(root, path, !strncmp(type, "Llava", 5), view, err);
out:
    sea_arena_destroy(arena);
    return status;
}

static void
put_size(struct sea_arena *arena, struct sea_node *root, const char *key, int h, int w)
{
    struct sea_node *size = sea_node_put(arena, root, key, SEA_NODE_MAP);

    sea_node_put_int(arena, size, "height", h);
    sea_node_put_int(arena, size, "width", w);
}

/* The shortest decimal that reads as the same float, as a double: 0.48145466, not its
 * neighbour with 17 digits. A mean that is a colour stays that colour: 57 / 255. */
static void
put_triple(struct sea_arena *arena, struct sea_node *root, const char *key, const float v[3],
           const unsigned char *fill)
{
    struct sea_node *list = sea_node_put(arena, root, key, SEA_NODE_LIST);
    char digits[32];

    for (int c = 0; c < 3; c++) {
        for (int precision = 6; precision <= 9; precision++) {
            snprintf(digits, sizeof(digits), "%.*g", precision, (double)v[c]);
            if (strtof(digits, NULL) == v[c])
                break;
        }
        if (fill && (float)(fill[c] / 255.0) == v[c])
            snprintf(digits, sizeof(digits), "%.17g", fill[c] / 255.0);
        sea_node_put_real(arena, list, NULL, strtod(digits, NULL));
    }
}

enum sea_status
sea_image_view_save(const struct sea_image_view *view, const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "image processor");
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    char path[SEA_PATH_MAX];
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, CONFIG_BYTES_MAX);
    if (view->do_crop)
        put_size(arena, root, "crop_size", view->crop_h, view->crop_w);
    sea_node_put_bool(arena, root, "do_center_crop", view->do_crop);
    sea_node_put_bool(arena, root, "do_convert_rgb", true);
    sea_node_put_bool(arena, root, "do_normalize", view->do_normalize);
    sea_node_put_bool(arena, root, "do_rescale", view->do_rescale);
    sea_node_put_bool(arena, root, "do_resize", view->do_resize);
    put_triple(arena, root, "image_mean", view->mean, view->fill);
    sea_node_put_text(arena, root, "image_processor_type",
                      view->size ? "CLIPImageProcessor" : "SiglipImageProcessor");
    put_triple(arena, root, "image_std", view->std, NULL);
    sea_node_put_int(arena, root, "resample", view->resample);
    sea_node_put_real(arena, root, "rescale_factor", view->rescale);
    if (view->size)
        sea_node_put_int(arena, sea_node_put(arena, root, "size", SEA_NODE_MAP), "shortest_edge",
                         view->size);
    else
        put_size(arena, root, "size", view->resize_h, view->resize_w);
    status = sea_json_write(root, SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, dir, "preprocessor_config.json", err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}

/* ---- pixels ---- */

/* A square of the mean colour with the picture in its middle. */
static void
pad(const struct sea_image *image, const struct sea_image_view *view, struct sea_image *out)
{
    int side = image->width > image->height ? image->width : image->height;
    size_t left = (size_t)(side - image->width) / 2, top = (size_t)(side - image->height) / 2;
    unsigned char *row;

    *out = (struct sea_image){ side, side, sea_xcalloc((size_t)side * (size_t)side, 3) };
    for (size_t i = 0; i < (size_t)side * (size_t)side; i++)
        memcpy(out->rgb + 3 * i, view->fill, 3);
    for (size_t y = 0; y < (size_t)image->height; y++) {
        row = out->rgb + ((y + top) * (size_t)side + left) * 3;
        memcpy(row, image->rgb + y * (size_t)image->width * 3, (size_t)image->width * 3);
    }
}

/* The size after the resize: the short edge as asked, the long one in proportion, cut. */
static void
resized(const struct sea_image_view *view, int width, int height, long long *to_w,
        long long *to_h)
{
    bool is_tall = width <= height;
    long long other;

    *to_w = view->resize_w;
    *to_h = view->resize_h;
    if (!view->size)
        return;
    other = (long long)((double)((long long)view->size * (is_tall ? height : width)) /
                        (is_tall ? width : height));
    *to_w = is_tall ? view->size : other;
    *to_h = is_tall ? other : view->size;
}

static int
floor_half(int n)
{
    return n >= 0 ? n / 2 : -((1 - n) / 2);
}

/* The middle crop_h x crop_w; what lies outside the picture stays 0. */
static void
crop(const struct sea_image *in, const struct sea_image_view *view, struct sea_image *out)
{
    int left = floor_half(in->width - view->crop_w), top = floor_half(in->height - view->crop_h);
    int from = left < 0 ? -left : 0;
    int to = in->width - left < view->crop_w ? in->width - left : view->crop_w;
    unsigned char *row;

    *out = (struct sea_image){ view->crop_w, view->crop_h,
                               sea_xcalloc((size_t)view->crop_w * (size_t)view->crop_h, 3) };
    for (int y = 0; y < view->crop_h; y++) {
        if (y + top < 0 || y + top >= in->height)
            continue;
        row = out->rgb + ((size_t)y * (size_t)view->crop_w + (size_t)from) * 3;
        memcpy(row, in->rgb + ((size_t)(y + top) * (size_t)in->width + (size_t)(from + left)) * 3,
               (size_t)(to - from) * 3);
    }
}

enum sea_status
sea_image_view_rgb(const struct sea_image *image, const struct sea_image_view *view,
                   struct sea_image *out, struct sea_err *err)
{
    struct sea_image padded = { 0 }, scaled = { 0 };
    enum sea_status status = SEA_OK;
    long long width, height;

    *out = (struct sea_image){ 0 };
    if (view->aspect == SEA_ASPECT_PAD && image->width != image->height) {
        int side = image->width > image->height ? image->width : image->height;

        status = sea_image_check_size(side, side, "padded", err);
        if (status)
            goto out;
        pad(image, view, &padded);
        image = &padded;
    }
    if (view->do_resize) {
        resized(view, image->width, image->height, &width, &height);
        width = width > INT_MAX ? INT_MAX : width;      /* is refused below, as others are */
        height = height > INT_MAX ? INT_MAX : height;
        status = sea_image_resize(image, (int)width, (int)height, view->resample, &scaled, err);
        if (status)
            goto out;
        image = &scaled;
    }
    crop(image, view, out);
out:
    sea_image_release(&padded);
    sea_image_release(&scaled);
    return status;
}

enum sea_status
sea_image_preprocess(const struct sea_image *image, const struct sea_image_view *view,
                     float *out, struct sea_err *err)
{
    float table[3][256];
    struct sea_image seen;
    enum sea_status status;
    size_t pixels;

    status = sea_image_view_rgb(image, view, &seen, err);
    if (status)
        return status;
    for (int c = 0; c < 3; c++)
        for (int v = 0; v < 256; v++) {
            table[c][v] = view->do_rescale ? (float)(v * view->rescale) : (float)v;
            if (view->do_normalize)
                table[c][v] = (table[c][v] - view->mean[c]) / view->std[c];
        }
    pixels = (size_t)seen.width * (size_t)seen.height;
    for (size_t i = 0; i < pixels; i++)
        for (size_t c = 0; c < 3; c++)
            out[c * pixels + i] = table[c][seen.rgb[3 * i + c]];
    sea_image_release(&seen);
    return SEA_OK;
}
