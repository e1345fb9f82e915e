/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_safetensors.h"

#include <inttypes.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"

#define HEADER_BYTES_MAX ((uint64_t)100 << 20)  /* as the reference implementation */
#define INDEX_BYTES_MAX ((size_t)64 << 20)
#define SHARDS_MAX 4096

/* ---- dtypes ---- */

static const struct dtype_row {
    const char *name;
    size_t bytes;
} dtype_rows[] = {
#define X(name, size) { #name, size },
    SEA_DTYPE_MAP(X)
#undef X
};

const char *
sea_dtype_name(enum sea_dtype dtype)
{
    return dtype_rows[dtype].name;
}

size_t
sea_dtype_bytes(enum sea_dtype dtype)
{
    return dtype_rows[dtype].bytes;
}

#define SHAPE_TEXT 192

/* "(2, 3)". */
static const char *
shape_text(char text[SHAPE_TEXT], int rank, const int64_t *shape)
{
    size_t len = 0;

    text[len++] = '(';
    for (int i = 0; i < rank && len + 24 < SHAPE_TEXT; i++)
        len += (size_t)snprintf(text + len, SHAPE_TEXT - len, "%s%" PRId64, i ? ", " : "",
                                shape[i]);
    snprintf(text + len, SHAPE_TEXT - len, ")");
    return text;
}

/* ---- reading ---- */

struct sea_tensors_own {
    struct sea_arena *arena;
    struct sea_tensor *list;
    size_t room;
    uint32_t *slots;            /* by hash of the name: index in list + 1, 0 is free */
    size_t slot_mask;
    struct sea_node *metadata;  /* of the first file that has any */
};

static uint64_t
hash_name(const char *name)
{
    uint64_t hash = 14695981039346656037u;      /* FNV-1a */

    for (; *name; name++)
        hash = (hash ^ (unsigned char)*name) * 1099511628211u;
    return hash ^ hash >> 29;
}

static void
close_map(void *map)
{
    sea_file_map_close(map);
}

static enum sea_status
read_shape(const struct sea_node *node, const char *path, struct sea_tensor *tensor,
           struct sea_err *err)
{
    const struct sea_node *item;

    tensor->count = 1;
    if (!node || node->kind != SEA_NODE_LIST)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" has no list \"shape\"", path,
                        tensor->name);
    if (node->count > SEA_TENSOR_RANK)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" has %zu dimensions, at most %d",
                        path, tensor->name, node->count, SEA_TENSOR_RANK);
    for (item = node->first; item; item = item->next) {
        if (item->kind != SEA_NODE_INT || item->integer < 0)
            return sea_fail(err, SEA_E_FORMAT,
                            "\"%s\": tensor \"%s\" has a shape of other things than counts", path,
                            tensor->name);
        if (__builtin_mul_overflow(tensor->count, item->integer, &tensor->count))
            return sea_fail(err, SEA_E_FORMAT, "\"%s\": the shape of tensor \"%s\" overflows", path,
                            tensor->name);
        tensor->shape[tensor->rank++] = item->integer;
    }
    return SEA_OK;
}

static enum sea_status
read_dtype(const struct sea_node *node, const char *path, struct sea_tensor *tensor,
           struct sea_err *err)
{
    const char *name = sea_node_text(node, "");

    for (size_t d = 0; d < SEA_DTYPES; d++)
        if (!strcmp(name, dtype_rows[d].name)) {
            tensor->dtype = (enum sea_dtype)d;
            return SEA_OK;
        }
    return sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" has dtype \"%s\", which is not known",
                    path, tensor->name, name);
}

/* data: the file's data part, of data_bytes. */
static enum sea_status
read_entry(const struct sea_node *node, const char *path, const unsigned char *data,
           uint64_t data_bytes, struct sea_tensor *tensor, struct sea_err *err)
{
    const struct sea_node *offsets = sea_node_get(node, "data_offsets");
    enum sea_status status;
    int64_t begin, end;
    uint64_t bytes;

    *tensor = (struct sea_tensor){ .name = node->key, .path = path };
    if (node->kind != SEA_NODE_MAP || node->count != 3)
        return sea_fail(err, SEA_E_FORMAT,
                        "\"%s\": tensor \"%s\" must have dtype, shape and data_offsets, only",
                        path, node->key);
    status = read_dtype(sea_node_get(node, "dtype"), path, tensor, err);
    if (!status)
        status = read_shape(sea_node_get(node, "shape"), path, tensor, err);
    if (status)
        return status;
    if (!offsets || offsets->kind != SEA_NODE_LIST || offsets->count != 2 ||
        offsets->first->kind != SEA_NODE_INT || offsets->last->kind != SEA_NODE_INT)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" needs two data_offsets", path,
                        node->key);
    begin = offsets->first->integer;
    end = offsets->last->integer;
    if (begin < 0 || end < begin || (uint64_t)end > data_bytes) {
        sea_fail(err, SEA_E_FORMAT,
                 "\"%s\": tensor \"%s\" lies at bytes %" PRId64 " .. %" PRId64
                 ", the file holds %" PRIu64 " bytes of data",
                 path, node->key, begin, end, data_bytes);
        sea_hint(err, "The file looks cut off: fetch or copy it again.");
        return err->status;
    }
    if (__builtin_mul_overflow((uint64_t)tensor->count, sea_dtype_bytes(tensor->dtype), &bytes) ||
        bytes != (uint64_t)(end - begin)) {
        char shape[SHAPE_TEXT];

        return sea_fail(err, SEA_E_FORMAT,
                        "\"%s\": tensor \"%s\" is %s %s but has %" PRId64 " bytes", path, node->key,
                        sea_dtype_name(tensor->dtype),
                        shape_text(shape, tensor->rank, tensor->shape), end - begin);
    }
    tensor->data = data + begin;
    tensor->bytes = (size_t)bytes;
    return SEA_OK;
}

static int
by_data(const void *a, const void *b)
{
    const struct sea_tensor *x = *(const struct sea_tensor *const *)a;
    const struct sea_tensor *y = *(const struct sea_tensor *const *)b;

    if (x->data != y->data)
        return x->data < y->data ? -1 : 1;
    return (x->bytes > y->bytes) - (x->bytes < y->bytes);
}

/* The tensors must cover the data part without gap or overlap. */
static enum sea_status
check_cover(const struct sea_tensor *list, size_t count, const char *path,
            const unsigned char *data, uint64_t data_bytes, struct sea_err *err)
{
    const struct sea_tensor **sorted = sea_xcalloc(count + 1, sizeof(*sorted));
    const unsigned char *at = data;
    enum sea_status status = SEA_OK;

    for (size_t i = 0; i < count; i++)
        sorted[i] = &list[i];
    qsort(sorted, count, sizeof(*sorted), by_data);
    for (size_t i = 0; i < count && !status; i++) {
        if (sorted[i]->data < at)
            status = sea_fail(err, SEA_E_FORMAT,
                              "\"%s\": tensors \"%s\" and \"%s\" overlap at byte %td of the data",
                              path, sorted[i - 1]->name, sorted[i]->name, sorted[i]->data - data);
        else if (sorted[i]->data > at)
            status = sea_fail(err, SEA_E_FORMAT,
                              "\"%s\": %td bytes before tensor \"%s\" belong to no tensor", path,
                              sorted[i]->data - at, sorted[i]->name);
        at = sorted[i]->data + sorted[i]->bytes;
    }
    if (!status && (uint64_t)(at - data) != data_bytes)
        status = sea_fail(err, SEA_E_FORMAT,
                          "\"%s\": the last %" PRIu64 " of %" PRIu64
                          " bytes of data belong to no tensor",
                          path, data_bytes - (uint64_t)(at - data), data_bytes);
    free(sorted);
    return status;
}

static enum sea_status
check_metadata(const struct sea_node *node, const char *path, struct sea_err *err)
{
    const struct sea_node *child;

    if (node->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": \"__metadata__\" is no map", path);
    for (child = node->first; child; child = child->next)
        if (child->kind != SEA_NODE_STRING)
            return sea_fail(err, SEA_E_FORMAT, "\"%s\": metadata \"%s\" is no text", path,
                            child->key);
    return SEA_OK;
}

static struct sea_tensor *
next_entry(struct sea_tensors *tensors)
{
    struct sea_tensors_own *own = tensors->own;

    if (tensors->count == own->room) {
        own->room = own->room ? 2 * own->room : 256;
        own->list = sea_xrealloc(own->list, own->room, sizeof(*own->list));
        tensors->list = own->list;
    }
    return &own->list[tensors->count];
}

static enum sea_status
read_header(struct sea_tensors *tensors, const char *path, const struct sea_file_map *map,
            struct sea_err *err)
{
    const unsigned char *b = map->data;
    struct sea_node *root, *node;
    size_t first = tensors->count;
    enum sea_status status;
    uint64_t header = 0;

    if (map->bytes < 8)
        return sea_fail(err, SEA_E_FORMAT,
                        "\"%s\" has %zu bytes, a safetensors file has at least 10", path,
                        map->bytes);
    for (int i = 7; i >= 0; i--)
        header = header << 8 | b[i];
    if (header > HEADER_BYTES_MAX || header > map->bytes - 8) {
        sea_fail(err, SEA_E_FORMAT,
                 "\"%s\": header of %" PRIu64 " bytes in a file of %zu, allowed are %" PRIu64, path,
                 header, map->bytes, HEADER_BYTES_MAX);
        sea_hint(err, "It is no safetensors file, or it is cut off: a Git LFS pointer looks like "
                      "this, too.");
        return err->status;
    }
    status = sea_json_parse((const char *)b + 8, (size_t)header, path, tensors->own->arena, &root,
                            err);
    if (status)
        return status;
    if (root->kind != SEA_NODE_MAP)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": the header is no map", path);
    b += 8 + header;
    for (node = root->first; node && !status; node = node->next) {
        if (!strcmp(node->key, "__metadata__")) {
            status = check_metadata(node, path, err);
            if (!tensors->own->metadata)
                tensors->own->metadata = node;
            continue;
        }
        status = read_entry(node, path, b, map->bytes - 8 - header, next_entry(tensors), err);
        if (!status)
            tensors->count++;
    }
    if (status)
        return status;
    return check_cover(tensors->own->list + first, tensors->count - first, path, b,
                       map->bytes - 8 - header, err);
}

static struct sea_tensors *
create(const char *path)
{
    struct sea_tensors *tensors = sea_xcalloc(1, sizeof(*tensors));

    tensors->own = sea_xcalloc(1, sizeof(*tensors->own));
    tensors->own->arena = sea_arena_create(NULL, "safetensors");
    tensors->path = sea_arena_strdup(tensors->own->arena, path);
    return tensors;
}

static enum sea_status
add_file(struct sea_tensors *tensors, const char *path, struct sea_err *err)
{
    struct sea_arena *arena = tensors->own->arena;
    struct sea_file_map *map = sea_arena_alloc(arena, 1, sizeof(*map));
    enum sea_status status;

    status = sea_file_map_open(map, path, err);
    if (status)
        return status;
    sea_arena_on_reset(arena, close_map, map);
    return read_header(tensors, sea_arena_strdup(arena, path), map, err);
}

/* Builds the table of names; a doubled name is an error. */
static enum sea_status
index_names(struct sea_tensors *tensors, struct sea_err *err)
{
    struct sea_tensors_own *own = tensors->own;
    size_t slots = 16, slot;

    while (slots < 2 * tensors->count)
        slots *= 2;
    own->slots = sea_xcalloc(slots, sizeof(*own->slots));
    own->slot_mask = slots - 1;
    for (size_t i = 0; i < tensors->count; i++) {
        const struct sea_tensor *tensor = &tensors->list[i], *other;

        slot = hash_name(tensor->name) & own->slot_mask;
        for (; own->slots[slot]; slot = (slot + 1) & own->slot_mask) {
            other = &tensors->list[own->slots[slot] - 1];
            if (!strcmp(other->name, tensor->name))
                return sea_fail(err, SEA_E_FORMAT, "tensor \"%s\" is in \"%s\" and in \"%s\"",
                                tensor->name, other->path, tensor->path);
        }
        own->slots[slot] = (uint32_t)i + 1;
    }
    return SEA_OK;
}

static enum sea_status
open_end(struct sea_tensors *tensors, enum sea_status status, struct sea_tensors **out,
         struct sea_err *err)
{
    if (!status)
        status = index_names(tensors, err);
    if (status) {
        sea_context(err, "while opening weights \"%s\"", tensors->path);
        sea_tensors_close(tensors);
        tensors = NULL;
    }
    *out = tensors;
    return status;
}

enum sea_status
sea_tensors_open(struct sea_tensors **out, const char *path, struct sea_err *err)
{
    struct sea_tensors *tensors = create(path);

    return open_end(tensors, add_file(tensors, path, err), out, err);
}

static enum sea_status
add_shard(struct sea_tensors *tensors, const char *dir, const char *name,
          const char *index_path, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status;

    if (!sea_path_is_inside(name))
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" names the file \"%s\" outside its folder",
                        index_path, name);
    status = sea_path_join(path, dir, name, err);
    if (!status && !sea_file_exists(path)) {
        status = sea_fail(err, SEA_E_MISSING, "weights file \"%s\" is missing, \"%s\" names it",
                          path, index_path);
        sea_hint(err, "Fetch the whole model folder again.");
    }
    return status ? status : add_file(tensors, path, err);
}

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Is path DIR/name? */
static bool
ends_with(const char *path, const char *name)
{
    size_t len = strlen(path), n = strlen(name);

    return len > n && path[len - n - 1] == '/' && !strcmp(path + len - n, name);
}

/* All shards in the order of their names; then each name must be where the map says. */
static enum sea_status
add_index(struct sea_tensors *tensors, const char *dir, const char *index_path,
          struct sea_err *err)
{
    struct sea_arena *arena = tensors->own->arena;
    struct sea_node *root, *map, *node;
    const char **names = NULL;
    enum sea_status status;
    size_t count = 0, files = 0;

    status = sea_json_load(index_path, INDEX_BYTES_MAX, arena, &root, err);
    if (status)
        return status;
    map = sea_node_get(root, "weight_map");
    if (!map || map->kind != SEA_NODE_MAP || !map->count)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" has no map \"weight_map\"", index_path);
    names = sea_arena_alloc(arena, map->count, sizeof(*names));
    for (node = map->first; node; node = node->next) {
        if (node->kind != SEA_NODE_STRING)
            return sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" has no file name", index_path,
                            node->key);
        names[count++] = node->text;
    }
    qsort(names, count, sizeof(*names), by_text);
    for (size_t i = 0; i < count && !status; i++) {
        if (i && !strcmp(names[i], names[i - 1]))
            continue;
        if (++files > SHARDS_MAX)
            return sea_fail(err, SEA_E_FORMAT, "\"%s\" names more than %d files", index_path,
                            SHARDS_MAX);
        status = add_shard(tensors, dir, names[i], index_path, err);
    }
    if (!status)
        status = index_names(tensors, err);
    for (node = map->first; node && !status; node = node->next) {
        const struct sea_tensor *tensor = sea_tensors_find(tensors, node->key);

        if (!tensor)
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" is not in \"%s\"",
                              index_path, node->key, node->text);
        else if (!ends_with(tensor->path, node->text))
            status = sea_fail(err, SEA_E_FORMAT,
                              "\"%s\": tensor \"%s\" is not in \"%s\" but in \"%s\"",
                              index_path, node->key, node->text, tensor->path);
    }
    free(tensors->own->slots);
    tensors->own->slots = NULL;
    return status;
}

enum sea_status
sea_tensors_open_dir(struct sea_tensors **out, const char *dir, struct sea_err *err)
{
    struct sea_tensors *tensors = create(dir);
    char path[SEA_PATH_MAX], bin[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_path_join(path, dir, "model.safetensors", err);
    if (!status && sea_file_exists(path)) {
        status = add_file(tensors, path, err);
        return open_end(tensors, status, out, err);
    }
    if (!status)
        status = sea_path_join(path, dir, "model.safetensors.index.json", err);
    if (!status)
        status = sea_path_join(bin, dir, "pytorch_model.bin", err);
    if (!status && sea_file_exists(path)) {
        status = add_index(tensors, dir, path, err);
    } else if (!status) {
        status = sea_fail(err, SEA_E_MISSING,
                          "model folder \"%s\" has neither model.safetensors nor "
                          "model.safetensors.index.json", dir);
        if (sea_file_exists(bin))
            sea_hint(err, "It holds pytorch_model.bin, which runs code when it is read: save the "
                          "model again with safe_serialization=True.");
        else
            sea_hint(err, "Check the folder's path in the experiment file.");
    }
    return open_end(tensors, status, out, err);
}

void
sea_tensors_close(struct sea_tensors *tensors)
{
    if (!tensors)
        return;
    free(tensors->own->list);
    free(tensors->own->slots);
    sea_arena_destroy(tensors->own->arena);
    free(tensors->own);
    free(tensors);
}

const struct sea_tensor *
sea_tensors_find(const struct sea_tensors *tensors, const char *name)
{
    const struct sea_tensors_own *own = tensors->own;
    size_t slot = hash_name(name) & own->slot_mask;

    for (; own->slots[slot]; slot = (slot + 1) & own->slot_mask)
        if (!strcmp(tensors->list[own->slots[slot] - 1].name, name))
            return &tensors->list[own->slots[slot] - 1];
    return NULL;
}

enum sea_status
sea_tensors_need(const struct sea_tensors *tensors, const char *name, int rank,
                 const int64_t *shape, const struct sea_tensor **out, struct sea_err *err)
{
    const struct sea_tensor *tensor = sea_tensors_find(tensors, name);
    char has[SHAPE_TEXT], needs[SHAPE_TEXT];

    *out = NULL;
    shape_text(needs, rank, shape);
    if (!tensor)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" has no tensor \"%s\" %s", tensors->path, name,
                        needs);
    if (tensor->rank != rank ||
        (rank && memcmp(tensor->shape, shape, (size_t)rank * sizeof(*shape)) != 0))
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" is %s, need %s", tensor->path,
                        name, shape_text(has, tensor->rank, tensor->shape), needs);
    *out = tensor;
    return SEA_OK;
}

void
sea_tensor_forget(const struct sea_tensor *tensor, int64_t from, int64_t count)
{
    size_t each = sea_dtype_bytes(tensor->dtype), page = (size_t)sysconf(_SC_PAGESIZE);
    uintptr_t begin, end;

    if (from < 0 || count <= 0 || from > tensor->count || count > tensor->count - from)
        return;
    begin = (uintptr_t)tensor->data + (size_t)from * each;
    end = (begin + (size_t)count * each + page - 1) / page * page;
    begin = begin / page * page;
    /* Only advice: a system that does not take it keeps the pages. */
    (void)madvise((void *)begin, end - begin, MADV_DONTNEED);
}

const char *
sea_tensors_metadata(const struct sea_tensors *tensors, const char *key)
{
    return sea_node_text(sea_node_get(tensors->own->metadata, key), NULL);
}
