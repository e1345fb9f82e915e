/* SPDX-License-Identifier: Apache-2.0 */
/* Reading a label store: word and picture lists in memory, shards mapped. */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_node.h"
#include "engine/labels_int.h"
#include "engine/sea_safetensors.h"

struct shard {
    struct sea_tensors *tensors;
    const struct sea_tensor *index, *score;
    const char *path, *sha256;
};

struct sea_labels_files {
    struct sea_arena *arena;
    char *words, *images;       /* texts of the lists, line ends replaced by 0 */
    const char *words_sha256, *images_sha256;
    struct shard *shards;
    int64_t count;
    int64_t *sorted;            // (images) numbers by id, for find
};

static enum sea_status
copy_text(const struct sea_node *root, const char *key, char *out, size_t room,
          struct sea_err *err)
{
    const struct sea_node *node = sea_node_get(root, key);

    if (!node || node->kind != SEA_NODE_STRING || node->text_len >= room)
        return sea_fail(err, SEA_E_FORMAT, "label.json has no usable text \"%s\"", key);
    memcpy(out, node->text, node->text_len + 1);
    return SEA_OK;
}

static enum sea_status
parse_info(const struct sea_node *root, struct sea_labels_info *info, struct sea_err *err)
{
    const struct sea_node *grid = sea_node_get(root, "grid");
    enum sea_status status;

    status = copy_text(root, "variant", info->variant, sizeof(info->variant), err);
    if (!status)
        status = copy_text(root, "prompt", info->prompt, sizeof(info->prompt), err);
    if (!status)
        status = copy_text(root, "tower", info->tower, sizeof(info->tower), err);
    if (status)
        return status;
    info->top = sea_node_int(sea_node_get(root, "top"), 0);
    info->grid_h = grid ? sea_node_int(grid->first, 0) : 0;
    info->grid_w = grid && grid->count == 2 ? sea_node_int(grid->last, 0) : 0;
    info->images = sea_node_int(sea_node_get(root, "images"), 0);
    info->words = sea_node_int(sea_node_get(root, "words"), 0);
    if (sea_labels_info_check(info, err))
        err->status = SEA_E_FORMAT;     /* here the values come from a file */
    return err->status;
}

/* Splits a list file into its lines; there must be `count` of them. */
static enum sea_status
read_lines(const char *dir, const char *name, int64_t count, struct sea_arena *arena,
           char **text, const char *const **out, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    const char **lines;
    struct sea_buf buf;
    enum sea_status status;
    int64_t found = 0;
    char *at, *end;

    sea_buf_init(&buf, SEA_LABELS_LINES_MAX);
    status = sea_path_join(path, dir, name, err);
    if (!status)
        status = sea_file_read(path, &buf, err);
    if (status)
        goto out;
    for (at = buf.data; (end = memchr(at, '\n', (size_t)(buf.data + buf.len - at))) != NULL;
         at = end + 1)
        found++;
    if (found != count || at != buf.data + buf.len || memchr(buf.data, 0, buf.len)) {
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" has %lld whole lines, need %lld", path,
                          (long long)found, (long long)count);
        goto out;
    }
    lines = sea_arena_alloc(arena, (size_t)count, sizeof(*lines));
    *text = at = sea_buf_take(&buf);
    for (found = 0; found < count; found++) {
        lines[found] = at;
        end = strchr(at, '\n');
        *end = 0;
        at = end + 1;
    }
    *out = lines;
out:
    sea_buf_release(&buf);
    return status;
}

static enum sea_status
open_shard(struct sea_labels *labels, const char *dir, int64_t number,
           const struct sea_node *node, struct sea_err *err)
{
    struct sea_labels_files *files = labels->files;
    struct shard *shard = &files->shards[number];
    const int64_t shape[3] = {
        sea_labels_shard_images(&labels->info, number), sea_labels_patches(&labels->info),
        labels->info.top,
    };
    char path[SEA_PATH_MAX], identity[SEA_SHA256_TEXT];
    const char *found;
    enum sea_status status;

    status = sea_labels_shard_path(dir, number, path, err);
    if (status)
        return status;
    shard->path = sea_arena_strdup(files->arena, path);
    shard->sha256 = sea_node_text(sea_node_get(node, "sha256"), "");
    status = sea_tensors_open(&shard->tensors, path, err);
    if (!status)
        status = sea_tensors_need(shard->tensors, "index", 3, shape, &shard->index, err);
    if (!status)
        status = sea_tensors_need(shard->tensors, "score", 3, shape, &shard->score, err);
    if (status)
        return status;
    if (shard->index->dtype != SEA_I32 || shard->score->dtype != SEA_F32)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" has dtypes %s and %s, need I32 and F32",
                        path, sea_dtype_name(shard->index->dtype),
                        sea_dtype_name(shard->score->dtype));
    sea_labels_identity(&labels->info, files->words_sha256, files->images_sha256, identity);
    found = sea_tensors_metadata(shard->tensors, "labels");
    if (!found || strcmp(found, identity) != 0) {
        sea_fail(err, SEA_E_FORMAT, "\"%s\" belongs to another label store", path);
        sea_hint(err, "Remove the folder and run the label stage again.");
    }
    return err->status;
}

static enum sea_status
open_files(struct sea_labels *labels, const char *dir, const struct sea_node *root,
           struct sea_err *err)
{
    struct sea_labels_files *files = labels->files;
    const struct sea_node *list = sea_node_get(root, "shards"), *node;
    enum sea_status status;
    int64_t shard;

    files->words_sha256 = sea_node_text(sea_node_get(root, "words_sha256"), "");
    files->images_sha256 = sea_node_text(sea_node_get(root, "images_sha256"), "");
    files->count = sea_labels_shards(&labels->info);
    if (!list || (int64_t)list->count != files->count)
        return sea_fail(err, SEA_E_FORMAT, "label.json lists %lld shards, need %lld",
                        list ? (long long)list->count : 0, (long long)files->count);
    status = read_lines(dir, "words.txt", labels->info.words, files->arena, &files->words,
                        &labels->words, err);
    if (!status)
        status = read_lines(dir, "images.txt", labels->info.images, files->arena,
                            &files->images, &labels->images, err);
    files->shards = sea_arena_alloc(files->arena, (size_t)files->count,
                                    sizeof(*files->shards));
    node = list->first;
    for (shard = 0; !status && shard < files->count; shard++, node = node->next)
        status = open_shard(labels, dir, shard, node, err);
    return status;
}

/* qsort has no argument of its own: pairs carry what is compared. */
struct named {
    const char *id;
    int64_t number;
};

static int
compare_named(const void *a, const void *b)
{
    const struct named *x = a, *y = b;
    int order = strcmp(x->id, y->id);

    return order ? order : (x->number > y->number) - (x->number < y->number);
}

static void
sort_images(struct sea_labels *labels)
{
    size_t count = (size_t)labels->info.images, i;
    struct named *pairs = sea_xcalloc(count, sizeof(*pairs));

    for (i = 0; i < count; i++)
        pairs[i] = (struct named){ labels->images[i], (int64_t)i };
    qsort(pairs, count, sizeof(*pairs), compare_named);
    labels->files->sorted = sea_xcalloc(count, sizeof(int64_t));
    for (i = 0; i < count; i++)
        labels->files->sorted[i] = pairs[i].number;
    free(pairs);
}

enum sea_status
sea_labels_open(struct sea_labels **out, const char *dir, struct sea_err *err)
{
    struct sea_labels *labels = sea_xcalloc(1, sizeof(*labels));
    struct sea_node *root;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    *out = NULL;
    labels->files = sea_xcalloc(1, sizeof(*labels->files));
    labels->files->arena = sea_arena_create(NULL, "label store");
    status = sea_path_join(path, dir, "label.json", err);
    if (!status && !sea_file_exists(path)) {
        status = sea_fail(err, SEA_E_MISSING, "folder \"%s\" has no label.json", dir);
        sea_hint(err, "It is not a finished label store: let the label stage finish.");
    }
    if (!status)
        status = sea_json_load(path, SEA_LABELS_JSON_MAX, labels->files->arena, &root, err);
    if (!status)
        status = parse_info(root, &labels->info, err);
    if (!status)
        status = open_files(labels, dir, root, err);
    if (status)
        goto out;
    sort_images(labels);
    *out = labels;
    labels = NULL;
out:
    sea_context(err, "while opening the label store \"%s\"", dir);
    sea_labels_close(labels);
    return status;
}

void
sea_labels_close(struct sea_labels *labels)
{
    struct sea_labels_files *files;
    int64_t i;

    if (!labels)
        return;
    files = labels->files;
    for (i = 0; files->shards && i < files->count; i++)
        sea_tensors_close(files->shards[i].tensors);
    free(files->words);
    free(files->images);
    free(files->sorted);
    sea_arena_destroy(files->arena);
    free(files);
    free(labels);
}

enum sea_status
sea_labels_get(const struct sea_labels *labels, int64_t image, int32_t *index, float *score,
               struct sea_err *err)
{
    const struct shard *shard;
    size_t each, at;

    if (image < 0 || image >= labels->info.images)
        return sea_fail(err, SEA_E_INTERNAL, "label store has no picture %lld, need 0 to %lld",
                        (long long)image, (long long)labels->info.images - 1);
    shard = &labels->files->shards[image / SEA_LABELS_SHARD];
    each = (size_t)(sea_labels_patches(&labels->info) * labels->info.top) * sizeof(*index);
    at = (size_t)(image % SEA_LABELS_SHARD) * each;
    memcpy(index, shard->index->data + at, each);
    memcpy(score, shard->score->data + at, each);
    if (sea_labels_picture_check(&labels->info, image, index, score, SEA_E_FORMAT, err))
        sea_context(err, "while reading \"%s\"", shard->path);
    return err->status;
}

int64_t
sea_labels_find(const struct sea_labels *labels, const char *image)
{
    const int64_t *sorted = labels->files->sorted;
    int64_t low = 0, high = labels->info.images;

    while (low < high) {        /* the first that is not before image */
        int64_t middle = low + (high - low) / 2;

        if (strcmp(labels->images[sorted[middle]], image) < 0)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < labels->info.images && strcmp(labels->images[sorted[low]], image) == 0)
        return sorted[low];
    return -1;
}

/* Digest of a list as its file has it. */
static enum sea_status
check_lines(const char *const *lines, int64_t count, const char *want, const char *name,
            struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    char digest[SEA_SHA256_TEXT];
    int64_t i;

    for (i = 0; i < count; i++) {
        sea_hash_add(hash, lines[i], strlen(lines[i]));
        sea_hash_add(hash, "\n", 1);
    }
    sea_hash_finish(hash, digest);
    sea_hash_destroy(hash);
    if (strcmp(digest, want) == 0)
        return SEA_OK;
    return sea_fail(err, SEA_E_FORMAT, "\"%s\" has SHA-256 %s, label.json says \"%s\"", name,
                    digest, want);
}

enum sea_status
sea_labels_check(const struct sea_labels *labels, struct sea_err *err)
{
    const struct sea_labels_files *files = labels->files;
    size_t each = (size_t)(sea_labels_patches(&labels->info) * labels->info.top);
    int32_t *index = sea_xcalloc(each, sizeof(*index));
    float *score = sea_xcalloc(each, sizeof(*score));
    char digest[SEA_SHA256_TEXT];
    enum sea_status status;
    uint64_t bytes;
    int64_t i;

    status = check_lines(labels->words, labels->info.words, files->words_sha256,
                         "words.txt", err);
    if (!status)
        status = check_lines(labels->images, labels->info.images, files->images_sha256,
                             "images.txt", err);
    for (i = 0; !status && i < files->count; i++) {
        status = sea_hash_file(files->shards[i].path, digest, &bytes, err);
        if (!status && strcmp(digest, files->shards[i].sha256) != 0)
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\" has SHA-256 %s, label.json says "
                              "\"%s\"", files->shards[i].path, digest,
                              files->shards[i].sha256);
    }
    for (i = 0; !status && i < labels->info.images; i++)
        status = sea_labels_get(labels, i, index, score, err);
    free(index);
    free(score);
    return status;
}
