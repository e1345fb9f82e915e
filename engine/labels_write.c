/* SPDX-License-Identifier: Apache-2.0 */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_node.h"
#include "engine/labels_int.h"
#include "engine/sea_safetensors.h"

struct sea_labels_writer {
    struct sea_labels_info info;
    struct sea_arena *arena;
    const char *dir;
    char words_sha256[SEA_SHA256_TEXT], images_sha256[SEA_SHA256_TEXT];
    char identity[SEA_SHA256_TEXT];
    int64_t next;               /* picture that add expects */
    int64_t held;               /* pictures in the buffers, the last ones before next */
    int32_t *index;             // (SHARD, m, top)
    float *score;               // (SHARD, m, top)
};

enum sea_status
sea_labels_info_check(const struct sea_labels_info *info, struct sea_err *err)
{
    const struct {
        const char *name;
        int64_t value, high;
    } fields[] = {
        { "top", info->top, 64 }, { "grid_h", info->grid_h, 4096 },
        { "grid_w", info->grid_w, 4096 }, { "images", info->images, (int64_t)1 << 40 },
        { "words", info->words, INT32_MAX },
    };
    size_t i;

    for (i = 0; i < sizeof(fields) / sizeof(fields[0]); i++)
        if (fields[i].value < 1 || fields[i].value > fields[i].high)
            return sea_fail(err, SEA_E_CONFIG, "label store has %s %lld, need 1 to %lld",
                            fields[i].name, (long long)fields[i].value,
                            (long long)fields[i].high);
    return SEA_OK;
}

void
sea_labels_identity(const struct sea_labels_info *info, const char *words_sha256,
                    const char *images_sha256, char out[SEA_SHA256_TEXT])
{
    struct sea_hash *hash = sea_hash_create();
    char text[256];

    snprintf(text, sizeof(text), "%lld %lld %lld %lld %lld", (long long)info->top,
             (long long)info->grid_h, (long long)info->grid_w, (long long)info->images,
             (long long)info->words);
    sea_hash_add_field(hash, text);
    sea_hash_add_field(hash, info->variant);
    sea_hash_add_field(hash, info->prompt);
    sea_hash_add_field(hash, info->tower);
    sea_hash_add_field(hash, words_sha256);
    sea_hash_add_field(hash, images_sha256);
    sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
}

enum sea_status
sea_labels_shard_path(const char *dir, int64_t shard, char out[SEA_PATH_MAX],
                      struct sea_err *err)
{
    char name[64];

    snprintf(name, sizeof(name), "shard-%05lld.safetensors", (long long)shard);
    return sea_path_join(out, dir, name, err);
}

enum sea_status
sea_labels_picture_check(const struct sea_labels_info *info, int64_t image,
                         const int32_t *index, const float *score, enum sea_status breach,
                         struct sea_err *err)
{
    int64_t m = sea_labels_patches(info), p, k;
    const char *what = NULL;

    for (p = 0; p < m; p++, index += info->top, score += info->top)
        for (k = 0; k < info->top; k++) {
            bool none = index[k] == SEA_LABELS_NONE;

            if (index[k] < SEA_LABELS_NONE || index[k] >= info->words)
                what = "a word outside the list";
            else if (none ? score[k] != 0 : !(score[k] > 0 && isfinite(score[k])))
                what = "a score that is not allowed";
            else if (k > 0 && !none && (index[k - 1] < 0 || score[k - 1] < score[k]))
                what = "a label that is not in order";
            if (what)
                return sea_fail(err, breach, "label %lld of patch %lld of picture %lld is %s "
                                "(word %d, score %g)", (long long)k, (long long)p,
                                (long long)image, what, index[k], (double)score[k]);
        }
    return SEA_OK;
}

/* Writes one text per line and returns the file's digest. Texts are single lines. */
static enum sea_status
write_lines(const char *dir, const char *name, const char *const *lines, int64_t count,
            char digest[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    struct sea_file_writer writer = { 0 };
    char path[SEA_PATH_MAX];
    enum sea_status status;
    int64_t i;

    status = sea_path_join(path, dir, name, err);
    if (!status)
        status = sea_file_writer_open(&writer, path, err);
    for (i = 0; !status && i < count; i++) {
        size_t len = strlen(lines[i]);

        if (len == 0 || strchr(lines[i], '\n')) {
            status = sea_fail(err, SEA_E_FORMAT, "entry %lld of \"%s\" is empty or has a line "
                              "break", (long long)i, name);
            break;
        }
        status = sea_file_writer_add(&writer, lines[i], len, err);
        if (!status)
            status = sea_file_writer_add(&writer, "\n", 1, err);
        sea_hash_add(hash, lines[i], len);
        sea_hash_add(hash, "\n", 1);
    }
    if (!status)
        status = sea_file_writer_commit(&writer, err);
    sea_file_writer_close(&writer);
    sea_hash_finish(hash, digest);
    sea_hash_destroy(hash);
    return status;
}

/* How many shards from the first on are whole and belong to this store. The last shard of
 * a store counts, too: then nothing is left to add. */
static enum sea_status
count_shards(const struct sea_labels_writer *writer, int64_t *out, struct sea_err *err)
{
    int64_t shards = sea_labels_shards(&writer->info), shard;

    *out = 0;
    for (shard = 0; shard < shards; shard++) {
        struct sea_tensors *tensors = NULL;
        struct sea_err why = { 0 };
        char path[SEA_PATH_MAX];
        const char *identity;
        bool ours;

        if (sea_labels_shard_path(writer->dir, shard, path, err))
            return err->status;
        if (!sea_file_exists(path) || sea_tensors_open(&tensors, path, &why))
            return SEA_OK;
        identity = sea_tensors_metadata(tensors, "labels");
        ours = identity && strcmp(identity, writer->identity) == 0;
        sea_tensors_close(tensors);
        if (!ours)
            return SEA_OK;
        *out = shard + 1;
    }
    return SEA_OK;
}

static struct sea_labels_held
held_of(struct sea_labels_writer *writer)
{
    return (struct sea_labels_held){ .info = &writer->info, .identity = writer->identity,
                                     .next = writer->next, .count = writer->held,
                                     .index = writer->index, .score = writer->score };
}

enum sea_status
sea_labels_writer_open(struct sea_labels_writer **out, const char *dir,
                       const struct sea_labels_info *info, const char *const *words,
                       const char *const *images, struct sea_err *err)
{
    struct sea_labels_writer *writer = sea_xcalloc(1, sizeof(*writer));
    size_t labels;
    enum sea_status status;
    int64_t shards = 0;

    *out = NULL;
    writer->arena = sea_arena_create(NULL, "label store");
    writer->info = *info;
    writer->dir = sea_arena_strdup(writer->arena, dir);
    status = sea_labels_info_check(info, err);
    if (!status)
        status = sea_dir_create(dir, err);
    if (!status)
        status = write_lines(dir, "words.txt", words, info->words, writer->words_sha256,
                             err);
    if (!status)
        status = write_lines(dir, "images.txt", images, info->images, writer->images_sha256,
                             err);
    if (status)
        goto out;
    sea_labels_identity(info, writer->words_sha256, writer->images_sha256, writer->identity);
    status = count_shards(writer, &shards, err);
    if (status)
        goto out;
    writer->next = shards * SEA_LABELS_SHARD;
    if (writer->next > info->images)
        writer->next = info->images;
    labels = (size_t)(sea_labels_shard_images(info, 0) * sea_labels_patches(info)
                      * info->top);
    writer->index = sea_xcalloc(labels, sizeof(*writer->index));
    writer->score = sea_xcalloc(labels, sizeof(*writer->score));
    if (writer->next < info->images) {
        struct sea_labels_held held = held_of(writer);

        sea_labels_held_load(dir, &held);
        writer->next = held.next;
        writer->held = held.count;
    }
    *out = writer;
    writer = NULL;
out:
    sea_context(err, "while opening the label store \"%s\"", dir);
    sea_labels_writer_close(writer);
    return status;
}

int64_t
sea_labels_writer_next(const struct sea_labels_writer *writer)
{
    return writer->next;
}

enum sea_status
sea_labels_tensors_write(const char *path, const struct sea_labels_held *held, struct sea_err *err)
{
    const struct sea_labels_info *info = held->info;
    const struct sea_tensor_meta meta = { "labels", held->identity };
    struct sea_tensor_item items[2] = {
        { .name = "index", .dtype = SEA_I32, .rank = 3, .data = held->index },
        { .name = "score", .dtype = SEA_F32, .rank = 3, .data = held->score },
    };
    int i;

    for (i = 0; i < 2; i++) {
        items[i].shape[0] = held->count;
        items[i].shape[1] = sea_labels_patches(info);
        items[i].shape[2] = info->top;
    }
    return sea_tensors_write(path, items, 2, &meta, 1, err);
}

/* The pictures held become a shard. */
static enum sea_status
write_shard(struct sea_labels_writer *writer, struct sea_err *err)
{
    const struct sea_labels_held held = held_of(writer);
    char path[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_labels_shard_path(writer->dir, (writer->next - 1) / SEA_LABELS_SHARD, path,
                                   err);
    if (!status)
        status = sea_labels_tensors_write(path, &held, err);
    if (!status)
        writer->held = 0;
    return status;
}

enum sea_status
sea_labels_writer_save(struct sea_labels_writer *writer, struct sea_err *err)
{
    const struct sea_labels_held held = held_of(writer);

    return sea_labels_held_save(writer->dir, &held, err);
}

enum sea_status
sea_labels_writer_add(struct sea_labels_writer *writer, const int32_t *index,
                      const float *score, int64_t count, struct sea_err *err)
{
    const struct sea_labels_info *info = &writer->info;
    size_t each = (size_t)(sea_labels_patches(info) * info->top), i;
    enum sea_status status = SEA_OK;

    if (count > info->images - writer->next)
        return sea_fail(err, SEA_E_INTERNAL, "label store holds %lld pictures of %lld, %lld "
                        "more are too many", (long long)writer->next,
                        (long long)info->images, (long long)count);
    for (i = 0; !status && i < (size_t)count; i++) {
        status = sea_labels_picture_check(info, writer->next, index + i * each,
                                          score + i * each, SEA_E_INTERNAL, err);
        if (status)
            break;
        memcpy(writer->index + (size_t)writer->held * each, index + i * each,
               each * sizeof(*index));
        memcpy(writer->score + (size_t)writer->held * each, score + i * each,
               each * sizeof(*score));
        writer->held++;
        writer->next++;
        if (writer->next % SEA_LABELS_SHARD == 0 || writer->next == info->images)
            status = write_shard(writer, err);
    }
    return status;
}

static enum sea_status
put_shards(struct sea_labels_writer *writer, struct sea_node *root, struct sea_err *err)
{
    struct sea_node *list = sea_node_put(writer->arena, root, "shards", SEA_NODE_LIST);
    int64_t shards = sea_labels_shards(&writer->info), shard;
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    enum sea_status status = SEA_OK;
    uint64_t bytes;

    for (shard = 0; !status && shard < shards; shard++) {
        struct sea_node *map = sea_node_put(writer->arena, list, NULL, SEA_NODE_MAP);

        status = sea_labels_shard_path(writer->dir, shard, path, err);
        if (!status)
            status = sea_hash_file(path, digest, &bytes, err);
        if (status)
            break;
        sea_node_put_text(writer->arena, map, "path", strrchr(path, '/') + 1);
        sea_node_put_int(writer->arena, map, "bytes", (int64_t)bytes);
        sea_node_put_text(writer->arena, map, "sha256", digest);
    }
    return status;
}

enum sea_status
sea_labels_writer_finish(struct sea_labels_writer *writer, struct sea_err *err)
{
    const struct sea_labels_info *info = &writer->info;
    struct sea_arena *arena = writer->arena;
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *grid;
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status = SEA_OK;

    sea_buf_init(&text, SEA_LABELS_JSON_MAX);
    if (writer->next != info->images)
        status = sea_fail(err, SEA_E_INTERNAL, "label store ends after %lld of %lld pictures",
                          (long long)writer->next, (long long)info->images);
    sea_node_put_text(arena, root, "variant", info->variant);
    sea_node_put_text(arena, root, "prompt", info->prompt);
    sea_node_put_text(arena, root, "tower", info->tower);
    sea_node_put_int(arena, root, "top", info->top);
    grid = sea_node_put(arena, root, "grid", SEA_NODE_LIST);
    sea_node_put_int(arena, grid, NULL, info->grid_h);
    sea_node_put_int(arena, grid, NULL, info->grid_w);
    sea_node_put_int(arena, root, "images", info->images);
    sea_node_put_text(arena, root, "images_sha256", writer->images_sha256);
    sea_node_put_int(arena, root, "words", info->words);
    sea_node_put_text(arena, root, "words_sha256", writer->words_sha256);
    if (!status)
        status = put_shards(writer, root, err);
    if (!status)
        status = sea_json_write(root, SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, writer->dir, "label.json", err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_context(err, "while finishing the label store \"%s\"", writer->dir);
    sea_buf_release(&text);
    return status;
}

void
sea_labels_writer_close(struct sea_labels_writer *writer)
{
    if (!writer)
        return;
    free(writer->index);
    free(writer->score);
    sea_arena_destroy(writer->arena);
    free(writer);
}
