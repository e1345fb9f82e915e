/* SPDX-License-Identifier: Apache-2.0 */
/*
 * labels_save.c - the open shard of a label store as a checkpoint, and back
 *
 * OUT/checkpoint/step-NNNNNNNN/ (N pictures) holds held.safetensors, the labels of those that no
 * whole shard has yet, state.json, and DONE, as those of trainings do (sea_checkpoint.h): so it is
 * kept and found in the same way. What is damaged or belongs to another store is passed over; then
 * the pictures behind the last whole shard are labelled again.
 */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_node.h"
#include "engine/labels_int.h"
#include "engine/sea_checkpoint.h"
#include "engine/sea_safetensors.h"

#define DONE_BYTES_MAX ((size_t)1 << 16)

static const char *const names[] = { "state.json", "held.safetensors" };

/* "OUT/checkpoint/step-NNNNNNNN", with a suffix. */
static enum sea_status
folder_path(const char *dir, int64_t step, const char *suffix, char out[SEA_PATH_MAX],
            struct sea_err *err)
{
    char name[64], whole[80];

    sea_checkpoint_name(step, name);
    snprintf(whole, sizeof(whole), "%s%s", name, suffix);
    return sea_path_join(out, dir, whole, err);
}

static enum sea_status
write_json(const char *folder, const char *name, const struct sea_node *root, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, DONE_BYTES_MAX);
    status = sea_json_write(root, SEA_JSON_PRETTY, &text, err);
    if (!status)
        status = sea_path_join(path, folder, name, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
write_done(const char *folder, int64_t files, struct sea_arena *arena, struct sea_err *err)
{
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_node *list = sea_node_put(arena, root, "files", SEA_NODE_LIST);
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    enum sea_status status = SEA_OK;
    uint64_t bytes;
    int64_t i;

    for (i = 0; i < files && !status; i++) {
        struct sea_node *map = sea_node_put(arena, list, NULL, SEA_NODE_MAP);

        status = sea_path_join(path, folder, names[i], err);
        if (!status)
            status = sea_hash_file(path, digest, &bytes, err);
        if (status)
            break;
        sea_node_put_text(arena, map, "path", names[i]);
        sea_node_put_int(arena, map, "bytes", (int64_t)bytes);
        sea_node_put_text(arena, map, "sha256", digest);
    }
    return status ? status : write_json(folder, "DONE", root, err);
}

static enum sea_status
write_folder(const char *folder, const struct sea_labels_held *held, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "label checkpoint");
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_dir_create(folder, err);

    sea_node_put_text(arena, root, "labels", held->identity);
    sea_node_put_int(arena, root, "pictures", held->next);
    sea_node_put_int(arena, root, "held", held->count);
    if (!status)
        status = write_json(folder, names[0], root, err);
    if (!status && held->count)
        status = sea_path_join(path, folder, names[1], err);
    if (!status && held->count)
        status = sea_labels_tensors_write(path, held, err);
    if (!status)
        status = write_done(folder, held->count ? 2 : 1, arena, err);
    if (!status)
        status = sea_dir_sync(folder, err);
    sea_arena_destroy(arena);
    return status;
}

/* The largest step below OUT/checkpoint that is not `but`; -1: none. */
static int64_t
find_step(const char *dir, int64_t but)
{
    struct sea_err ignored = { 0 };
    char root[SEA_PATH_MAX];
    struct dirent *entry;
    int64_t found = -1;
    DIR *list;

    if (sea_path_join(root, dir, "checkpoint", &ignored))
        return -1;
    list = opendir(root);
    while (list && (entry = readdir(list)) != NULL) {
        const char *digits = entry->d_name + 5;
        int64_t step;

        if (strncmp(entry->d_name, "step-", 5) != 0 || strlen(digits) > 18 ||
            strspn(digits, "0123456789") != strlen(digits))
            continue;
        step = strtoll(digits, NULL, 10);
        if (step > found && step != but)
            found = step;
    }
    if (list)
        closedir(list);
    return found;
}

enum sea_status
sea_labels_held_save(const char *dir, const struct sea_labels_held *held, struct sea_err *err)
{
    char temp[SEA_PATH_MAX], final[SEA_PATH_MAX], root[SEA_PATH_MAX];
    struct sea_err ignored = { 0 };
    int64_t old;
    enum sea_status status = folder_path(dir, held->next, ".tmp", temp, err);

    if (!status)
        status = folder_path(dir, held->next, "", final, err);
    if (!status)
        status = sea_dir_remove(temp, err);
    if (!status)
        status = write_folder(temp, held, err);
    if (!status)
        status = sea_dir_remove(final, err);
    if (!status && rename(temp, final))
        status = sea_fail_errno(err, "could not rename \"%s\"", temp);
    if (!status)
        status = sea_path_join(root, dir, "checkpoint", err);
    if (!status)
        status = sea_dir_sync(root, err);
    while (!status && (old = find_step(dir, held->next)) >= 0) {
        status = folder_path(dir, old, "", temp, err);
        if (!status)
            status = sea_dir_remove(temp, err);
    }
    if (status && sea_dir_remove(temp, &ignored))       /* half of one only takes room */
        sea_err_clear(&ignored);
    sea_context(err, "while saving the labels of %lld pictures in \"%s\"", (long long)held->next,
                dir);
    return status;
}

/* A file of the checkpoint is as DONE says. */
static bool
is_as_listed(const char *folder, const struct sea_node *file)
{
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    struct sea_err ignored = { 0 };

    return !sea_path_join(path, folder, sea_node_text(sea_node_get(file, "path"), ""), &ignored) &&
           !sea_hash_file(path, digest, NULL, &ignored) &&
           strcmp(digest, sea_node_text(sea_node_get(file, "sha256"), "")) == 0;
}

/* state.json is this store's, and says how many pictures are held behind `first`. */
static bool
check_folder(const char *folder, const struct sea_labels_held *held, int64_t step, int64_t first)
{
    struct sea_arena *arena = sea_arena_create(NULL, "label checkpoint");
    const struct sea_node *list, *file;
    struct sea_node *done = NULL, *state = NULL;
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX];
    bool good;

    good = !sea_path_join(path, folder, "DONE", &ignored) &&
           !sea_json_load(path, DONE_BYTES_MAX, arena, &done, &ignored) &&
           !sea_path_join(path, folder, names[0], &ignored) &&
           !sea_json_load(path, DONE_BYTES_MAX, arena, &state, &ignored);
    list = good ? sea_node_get(done, "files") : NULL;
    good = good && list && list->count == 2;
    for (file = good ? list->first : NULL; file && good; file = file->next)
        good = is_as_listed(folder, file);
    good = good && strcmp(sea_node_text(sea_node_get(state, "labels"), ""), held->identity) == 0 &&
           sea_node_int(sea_node_get(state, "pictures"), 0) == step &&
           sea_node_int(sea_node_get(state, "held"), 0) == step - first;
    sea_arena_destroy(arena);
    return good;
}

/* Copies count pictures out of the tensors; each keeps the promises of a store. */
static bool
read_held(const char *path, struct sea_labels_held *held, int64_t first, int64_t count)
{
    const struct sea_labels_info *info = held->info;
    const int64_t shape[3] = { count, sea_labels_patches(info), info->top };
    size_t each = (size_t)(shape[1] * shape[2]);
    const struct sea_tensor *index, *score;
    struct sea_tensors *tensors = NULL;
    struct sea_err ignored = { 0 };
    int64_t i;
    bool good = !sea_tensors_open(&tensors, path, &ignored) &&
                !sea_tensors_need(tensors, "index", 3, shape, &index, &ignored) &&
                !sea_tensors_need(tensors, "score", 3, shape, &score, &ignored) &&
                index->dtype == SEA_I32 && score->dtype == SEA_F32;

    if (good) {
        memcpy(held->index, index->data, (size_t)count * each * sizeof(*held->index));
        memcpy(held->score, score->data, (size_t)count * each * sizeof(*held->score));
    }
    for (i = 0; i < count && good; i++)
        good = !sea_labels_picture_check(info, first + i, held->index + (size_t)i * each,
                                         held->score + (size_t)i * each, SEA_E_FORMAT, &ignored);
    sea_tensors_close(tensors);
    return good;
}

void
sea_labels_held_load(const char *dir, struct sea_labels_held *held)
{
    int64_t first = held->next, step = find_step(dir, -1);
    char folder[SEA_PATH_MAX], path[SEA_PATH_MAX];
    struct sea_err ignored = { 0 };

    held->count = 0;
    if (step <= first || step - first >= sea_labels_shard_images(held->info,
                                                                 first / SEA_LABELS_SHARD) ||
        folder_path(dir, step, "", folder, &ignored) ||
        sea_path_join(path, folder, names[1], &ignored) ||
        !check_folder(folder, held, step, first) || !read_held(path, held, first, step - first))
        return;
    held->count = step - first;
    held->next = step;
}
