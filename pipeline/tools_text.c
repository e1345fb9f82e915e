/* SPDX-License-Identifier: Apache-2.0 */
/* sea tokenize, sea detokenize, sea image. */
#include "pipeline/sea_tools.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>

#include "engine/base/sea_node.h"
#include "engine/sea_image.h"
#include "engine/sea_safetensors.h"
#include "engine/sea_tokenizer.h"
#include "pipeline/sea_stage_body.h"
#include "pipeline/tools_int.h"

#define LINE_BYTES_MAX ((size_t)64 << 20)

struct lines {                  /* one line at a time, its end taken off */
    FILE *from;
    char *text;
    size_t room, len;
    int64_t number;             /* of the line read last, from 1 */
};

/* False at the end of the input. */
static bool
next_line(struct lines *lines, enum sea_status *status, struct sea_err *err)
{
    ssize_t n;

    errno = 0;
    n = getline(&lines->text, &lines->room, lines->from);
    if (n < 0) {
        if (ferror(lines->from))
            *status = sea_fail_errno(err, "could not read line %lld",
                                     (long long)lines->number + 1);
        return false;
    }
    lines->number++;
    if (n > 0 && lines->text[n - 1] == '\n')
        lines->text[--n] = 0;
    lines->len = (size_t)n;
    return true;
}

/* The text of a line: itself, or the JSON string that it is. */
static enum sea_status
read_text(const struct lines *lines, bool json, struct sea_arena *arena, const char **text,
          size_t *len, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct sea_node *list;
    struct sea_buf buf;

    *text = lines->text;
    *len = lines->len;
    if (!json)
        return SEA_OK;
    sea_buf_init(&buf, SIZE_MAX / 2);   /* a document is a list or a map: it becomes one */
    sea_buf_puts(&buf, "[");
    sea_buf_add(&buf, lines->text, lines->len);
    sea_buf_puts(&buf, "]");
    status = sea_json_parse(buf.data, buf.len, "the input", arena, &list, err);
    sea_buf_release(&buf);
    if (!status && (list->count != 1 || list->first->kind != SEA_NODE_STRING))
        status = sea_fail(err, SEA_E_FORMAT, "a line is no JSON string");
    if (status)
        return status;
    *text = list->first->text;
    *len = list->first->text_len;
    return SEA_OK;
}

enum sea_status
sea_tool_tokenize(const struct sea_tool_texts *options, FILE *from, FILE *to,
                  struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "texts");
    struct lines lines = { .from = from };
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_ids ids = { 0 };
    enum sea_status status = sea_tokenizer_load(&tokenizer, options->dir, err);
    const char *text;
    size_t i, len;

    while (!status && next_line(&lines, &status, err)) {
        sea_ids_clear(&ids);
        sea_arena_reset(arena);
        status = read_text(&lines, options->json, arena, &text, &len, err);
        if (!status)
            status = sea_tokenizer_encode(tokenizer, text, len, !options->flip_special, &ids, err);
        if (status) {
            sea_context(err, "in line %lld of the input", (long long)lines.number);
            break;
        }
        fputc('[', to);
        for (i = 0; i < ids.len; i++)
            fprintf(to, "%s%d", i ? "," : "", (int)ids.data[i]);
        fputs("]\n", to);
    }
    sea_ids_release(&ids);
    sea_tokenizer_destroy(tokenizer);
    sea_arena_destroy(arena);
    free(lines.text);
    return status;
}

static enum sea_status
parse_ids(const struct lines *lines, int32_t words, struct sea_ids *ids, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "ids");
    struct sea_node *list, *node;
    enum sea_status status = sea_json_parse(lines->text, lines->len, "the input", arena, &list,
                                            err);

    if (!status && list->kind != SEA_NODE_LIST)
        status = sea_fail(err, SEA_E_FORMAT, "a line is a %s, expected a list of ids",
                          sea_node_kind_name(list->kind));
    for (node = status ? NULL : list->first; node && !status; node = node->next) {
        if (node->kind != SEA_NODE_INT)
            status = sea_fail(err, SEA_E_FORMAT, "a list of ids holds a %s",
                              sea_node_kind_name(node->kind));
        else if (node->integer < 0 || node->integer >= words)
            status = sea_fail(err, SEA_E_FORMAT, "id %lld is none of the tokenizer's %d words",
                              (long long)node->integer, (int)words);
        else
            sea_ids_add(ids, (int32_t)node->integer);
    }
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_tool_detokenize(const struct sea_tool_texts *options, FILE *from, FILE *to,
                    struct sea_err *err)
{
    struct lines lines = { .from = from };
    struct sea_tokenizer *tokenizer = NULL;
    struct sea_ids ids = { 0 };
    struct sea_buf text;
    enum sea_status status = sea_tokenizer_load(&tokenizer, options->dir, err);
    struct sea_buf quoted;
    size_t i;

    sea_buf_init(&quoted, SIZE_MAX / 2);
    sea_buf_init(&text, LINE_BYTES_MAX);
    while (!status && next_line(&lines, &status, err)) {
        sea_ids_clear(&ids);
        sea_buf_clear(&text);
        status = parse_ids(&lines, sea_tokenizer_count(tokenizer), &ids, err);
        if (!status)
            status = sea_tokenizer_decode(tokenizer, ids.data, ids.len, !options->flip_special,
                                          &text, err);
        if (status) {
            sea_context(err, "in line %lld of the input", (long long)lines.number);
            break;
        }
        sea_buf_clear(&quoted);
        if (options->json) {
            sea_json_quote(&quoted, text.data, text.len);
            sea_buf_puts(&quoted, "\n");
            fwrite(quoted.data, 1, quoted.len, to);
            continue;
        }
        for (i = 0; i < text.len; i++)
            if (text.data[i] == '\n')
                fputs("\\n", to);
            else
                fputc(text.data[i], to);
        fputc('\n', to);
    }
    sea_buf_release(&quoted);
    sea_buf_release(&text);
    sea_ids_release(&ids);
    sea_tokenizer_destroy(tokenizer);
    free(lines.text);
    return status;
}

static enum sea_status
parse_aspect(enum sea_aspect *out, const char *name, struct sea_err *err)
{
    *out = strcmp(name, "pad") == 0 ? SEA_ASPECT_PAD : SEA_ASPECT_SQUARE;
    if (strcmp(name, "pad") != 0 && strcmp(name, "square") != 0)
        return sea_fail(err, SEA_E_CONFIG, "aspect \"%s\" is unknown; expected pad or square",
                        name);
    return SEA_OK;
}

enum sea_status
sea_tool_pixels(const char *dir, const char *path, const char *aspect, float **pixels,
                int *height, int *width, struct sea_err *err)
{
    struct sea_image image = { 0 };
    struct sea_image_view view;
    enum sea_status status = sea_image_view_load(&view, dir, err);

    *pixels = NULL;
    if (!status)
        status = parse_aspect(&view.aspect, aspect, err);
    if (!status)
        status = sea_image_load(&image, path, err);
    if (status)
        goto out;
    *height = view.crop_h;
    *width = view.crop_w;
    *pixels = sea_xcalloc((size_t)3 * (size_t)view.crop_h * (size_t)view.crop_w, sizeof(float));
    status = sea_image_preprocess(&image, &view, *pixels, err);
out:
    if (status) {
        free(*pixels);
        *pixels = NULL;
    }
    sea_image_release(&image);
    return status;
}

enum sea_status
sea_tool_image(const char *dir, const char *image, const char *aspect, const char *out_path,
               struct sea_err *err)
{
    struct sea_tensor_item item = { .name = "pixel_values", .dtype = SEA_F32, .rank = 3 };
    float *pixels;
    char tower[SEA_PATH_MAX];
    int height, width;
    bool found;
    enum sea_status status = sea_image_view_find(dir, &found, err);

    if (!status && !found && sea_digest_tower(dir, tower))
        dir = tower;            /* LLaVA's own layout: as its tower says */
    if (!status)
        status = sea_tool_pixels(dir, image, aspect ? aspect : "square", &pixels, &height, &width,
                                 err);
    if (status)
        return status;
    item.shape[0] = 3;
    item.shape[1] = height;
    item.shape[2] = width;
    item.data = pixels;
    status = sea_tensors_write(out_path, &item, 1, NULL, 0, err);
    free(pixels);
    return status;
}
