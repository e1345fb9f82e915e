/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_checkpoint.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_hash.h"
#include "engine/checkpoint_int.h"
#include "engine/sea_comm.h"
#include "engine/sea_shard.h"

#define NOTES_BYTES_MAX ((size_t)64 << 20)
#define DONE_BYTES_MAX ((size_t)1 << 16)
#define FOLDERS_MAX 4096
#define NOTHING ((int64_t)-1)    /* no checkpoint */

static const char *const files[] = { "state.safetensors", "state.json" };
#define FILES (sizeof(files) / sizeof(files[0]))

/* One folder step-N or step-N.tmp. */
struct folder {
    int64_t step;
    bool temp;
    char path[SEA_PATH_MAX];
};

void
sea_checkpoint_name(int64_t step, char out[64])
{
    snprintf(out, 64, "checkpoint/step-%08lld", (long long)step);
}

/* "step-NNNNNNNN" or "step-NNNNNNNN.tmp", nothing else. */
static bool
parse_name(const char *name, struct folder *folder)
{
    const char *digits = name + 5;
    char *end;

    if (strncmp(name, "step-", 5) != 0 || strspn(digits, "0123456789") < 8)
        return false;
    errno = 0;
    folder->step = strtoll(digits, &end, 10);
    folder->temp = strcmp(end, ".tmp") == 0;
    return errno == 0 && (folder->temp || *end == 0);
}

/* Newest first; of two with one step the finished name first. */
static int
compare_folders(const void *a, const void *b)
{
    const struct folder *x = a, *y = b;

    if (x->step != y->step)
        return x->step > y->step ? -1 : 1;
    return (int)x->temp - (int)y->temp;
}

static enum sea_status
list_folders(const char *out_dir, struct folder **out, size_t *count, struct sea_err *err)
{
    char root[SEA_PATH_MAX];
    struct dirent *entry;
    struct folder folder;
    enum sea_status status;
    DIR *dir;

    *out = NULL;
    *count = 0;
    status = sea_path_join(root, out_dir, "checkpoint", err);
    if (status)
        return status;
    dir = opendir(root);
    if (!dir && errno == ENOENT)
        return SEA_OK;
    if (!dir)
        return sea_fail_errno(err, "could not list folder \"%s\"", root);
    while (!status && *count < FOLDERS_MAX && (entry = readdir(dir)) != NULL) {
        if (!parse_name(entry->d_name, &folder))
            continue;
        status = sea_path_join(folder.path, root, entry->d_name, err);
        *out = sea_xrealloc(*out, *count + 1, sizeof(**out));
        (*out)[(*count)++] = folder;
    }
    closedir(dir);
    if (*count > 1)
        qsort(*out, *count, sizeof(**out), compare_folders);
    return status;
}

/* ---- saving ---- */

static void
put_part(struct sea_arena *arena, struct sea_node *list, const struct sea_adamw_part *part)
{
    struct sea_node *map = sea_node_put(arena, list, NULL, SEA_NODE_MAP);
    char layout[SEA_SHA256_TEXT];

    sea_checkpoint_layout(part->params, layout);
    sea_node_put_text(arena, map, "name", part->name);
    sea_node_put_int(arena, map, "floats", part->params->floats);
    sea_node_put_text(arena, map, "layout", layout);
}

static enum sea_status
write_tree(const char *dir, const char *name, const struct sea_node *root,
           enum sea_json_style style, size_t max, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct sea_buf text;
    enum sea_status status;

    sea_buf_init(&text, max);
    status = sea_json_write(root, style, &text, err);
    if (!status)
        status = sea_path_join(path, dir, name, err);
    if (!status)
        status = sea_file_replace(path, text.data, text.len, err);
    sea_buf_release(&text);
    return status;
}

static enum sea_status
write_state_json(const char *dir, const struct sea_adamw *adamw,
                 const struct sea_node *notes, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "checkpoint");
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list;
    enum sea_status status;
    int64_t i;

    sea_node_put_int(arena, root, "steps", sea_adamw_steps(adamw));
    list = sea_node_put(arena, root, "parts", SEA_NODE_LIST);
    for (i = 0; i < sea_adamw_count(adamw); i++)
        put_part(arena, list, sea_adamw_part(adamw, i));
    if (notes)
        sea_node_put_copy(arena, root, "notes", notes);
    else
        sea_node_put(arena, root, "notes", SEA_NODE_MAP);
    status = write_tree(dir, "state.json", root, SEA_JSON_CANONICAL, NOTES_BYTES_MAX, err);
    sea_arena_destroy(arena);
    return status;
}

static enum sea_status
write_done(const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "checkpoint");
    struct sea_node *root = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    struct sea_node *list = sea_node_put(arena, root, "files", SEA_NODE_LIST);
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    enum sea_status status = SEA_OK;
    uint64_t bytes;
    size_t i;

    for (i = 0; !status && i < FILES; i++) {
        struct sea_node *map = sea_node_put(arena, list, NULL, SEA_NODE_MAP);

        status = sea_path_join(path, dir, files[i], err);
        if (!status)
            status = sea_hash_file(path, digest, &bytes, err);
        if (status)
            break;
        sea_node_put_text(arena, map, "path", files[i]);
        sea_node_put_int(arena, map, "bytes", (int64_t)bytes);
        sea_node_put_text(arena, map, "sha256", digest);
    }
    if (!status)
        status = write_tree(dir, "DONE", root, SEA_JSON_PRETTY, DONE_BYTES_MAX, err);
    sea_arena_destroy(arena);
    return status;
}

/* Step 1 of the header: a complete folder under its temporary name. */
static enum sea_status
write_folder(const char *temp, struct sea_adamw *adamw, const struct sea_node *notes,
             struct sea_err *err)
{
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_dir_remove(temp, err);
    if (!status)
        status = sea_dir_create(temp, err);
    if (!status)
        status = sea_path_join(path, temp, "state.safetensors", err);
    if (!status)
        status = sea_checkpoint_write_state(path, adamw, err);
    if (!status)
        status = write_state_json(temp, adamw, notes, err);
    if (!status)
        status = write_done(temp, err);
    if (!status)
        status = sea_dir_sync(temp, err);
    /* A half-written folder only takes the room that the next attempt needs. */
    if (status && sea_dir_remove(temp, &ignored))
        sea_err_clear(&ignored);
    return status;
}

/* Step 2: the folder gets its name. */
static enum sea_status
give_name(const char *temp, const char *final, struct sea_err *err)
{
    char root[SEA_PATH_MAX];
    enum sea_status status;

    snprintf(root, sizeof(root), "%s", final);
    *strrchr(root, '/') = 0;
    status = sea_dir_remove(final, err);
    if (!status && rename(temp, final) != 0)
        status = sea_fail_errno(err, "could not rename \"%s\"", temp);
    if (!status)
        status = sea_dir_sync(root, err);
    return status;
}

/* Step 3: all but the one that was just written. */
static enum sea_status
remove_others(const char *out_dir, const char *keep, struct sea_err *err)
{
    struct folder *list;
    enum sea_status status;
    size_t count, i;

    status = list_folders(out_dir, &list, &count, err);
    for (i = 0; !status && i < count; i++)
        if (strcmp(list[i].path, keep) != 0)
            status = sea_dir_remove(list[i].path, err);
    free(list);
    return status;
}

enum sea_status
sea_checkpoint_save(const char *out_dir, struct sea_adamw *adamw, const struct sea_node *notes,
                    struct sea_err *err)
{
    char name[64], temp_name[80], final[SEA_PATH_MAX], temp[SEA_PATH_MAX];
    enum sea_status status;

    if (sea_comm_rank(sea_adamw_comm(adamw)) != 0)
        return sea_shard_serve(adamw, err);
    sea_checkpoint_name(sea_adamw_steps(adamw), name);
    snprintf(temp_name, sizeof(temp_name), "%s.tmp", name);
    status = sea_path_join(final, out_dir, name, err);
    if (!status)
        status = sea_path_join(temp, out_dir, temp_name, err);
    if (!status)
        status = write_folder(temp, adamw, notes, err);
    if (!status)
        status = give_name(temp, final, err);
    if (!status)
        status = remove_others(out_dir, final, err);
    sea_context(err, "while saving checkpoint \"%s\" in \"%s\"", name, out_dir);
    return status;
}

/* ---- loading ---- */

/* DONE fits: every file is there with its size and digest. */
static enum sea_status
verify_folder(const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "checkpoint");
    char path[SEA_PATH_MAX], digest[SEA_SHA256_TEXT];
    const struct sea_node *list, *file;
    struct sea_node *done;
    enum sea_status status;
    uint64_t bytes;
    size_t i;

    status = sea_path_join(path, dir, "DONE", err);
    if (!status)
        status = sea_json_load(path, DONE_BYTES_MAX, arena, &done, err);
    if (status)
        goto out;
    list = sea_node_get(done, "files");
    file = list ? list->first : NULL;
    for (i = 0; !status && i < FILES; i++, file = file ? file->next : NULL) {
        if (strcmp(sea_node_text(sea_node_get(file, "path"), ""), files[i]) != 0) {
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\" does not list \"%s\"", path,
                              files[i]);
            break;
        }
        status = sea_path_join(path, dir, files[i], err);
        if (!status)
            status = sea_hash_file(path, digest, &bytes, err);
        if (!status && (int64_t)bytes != sea_node_int(sea_node_get(file, "bytes"), -1))
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\" has %llu bytes, need %lld", path,
                              (unsigned long long)bytes,
                              (long long)sea_node_int(sea_node_get(file, "bytes"), -1));
        if (!status && strcmp(digest, sea_node_text(sea_node_get(file, "sha256"), "")) != 0)
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\" has another SHA-256 than DONE "
                              "says", path);
    }
out:
    sea_arena_destroy(arena);
    return status;
}

/* The state belongs to a model with these parts, tensor by tensor. */
static enum sea_status
check_parts(const struct sea_node *state, const struct sea_adamw *adamw, struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(state, "parts");
    const struct sea_node *map = list ? list->first : NULL;
    char layout[SEA_SHA256_TEXT];
    int64_t i;

    if (!list || (int64_t)list->count != sea_adamw_count(adamw)) {
        sea_fail(err, SEA_E_CONFIG, "checkpoint has %lld trained parts, need %lld",
                 list ? (long long)list->count : 0, (long long)sea_adamw_count(adamw));
        goto out;
    }
    for (i = 0; i < sea_adamw_count(adamw); i++, map = map->next) {
        const struct sea_adamw_part *part = sea_adamw_part(adamw, i);

        sea_checkpoint_layout(part->params, layout);
        if (strcmp(sea_node_text(sea_node_get(map, "name"), ""), part->name) != 0
            || strcmp(sea_node_text(sea_node_get(map, "layout"), ""), layout) != 0) {
            sea_fail(err, SEA_E_CONFIG, "checkpoint's part \"%s\" has other tensors than the "
                     "model's part \"%s\"", sea_node_text(sea_node_get(map, "name"), "?"),
                     part->name);
            goto out;
        }
    }
out:
    sea_hint(err, "The output folder belongs to another configuration: use a new one, or "
             "remove its checkpoint folder to start afresh.");
    return err->status;
}

/* From rank 0, to those that wait in follow: the step whose state comes, or NOTHING. */
static enum sea_status
tell_others(struct sea_adamw *adamw, int64_t step, struct sea_err *err)
{
    return sea_comm_broadcast(sea_adamw_comm(adamw), 0, &step, sizeof(step), err);
}

/* What the ranks do that do not look at the folder. */
static enum sea_status
follow(struct sea_adamw *adamw, struct sea_err *err)
{
    int64_t step;
    enum sea_status status = sea_comm_broadcast(sea_adamw_comm(adamw), 0, &step, sizeof(step),
                                                err);

    if (status || step == NOTHING)
        return status;
    status = sea_checkpoint_read_state(NULL, adamw, err);
    if (!status)
        sea_adamw_set_steps(adamw, step);
    return status;
}

static enum sea_status
load_folder(const struct folder *folder, struct sea_adamw *adamw, struct sea_arena *arena,
            struct sea_node **notes, struct sea_err *err)
{
    struct sea_node *state, *found;
    char path[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_path_join(path, folder->path, "state.json", err);
    if (!status)
        status = sea_json_load(path, NOTES_BYTES_MAX, arena, &state, err);
    if (status)
        return status;
    found = sea_node_get(state, "notes");
    if (!found || sea_node_int(sea_node_get(state, "steps"), -1) != folder->step)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" is not the state of step %lld", path,
                        (long long)folder->step);
    status = check_parts(state, adamw, err);
    if (!status)
        status = sea_path_join(path, folder->path, "state.safetensors", err);
    if (!status)
        status = tell_others(adamw, folder->step, err);
    if (!status)
        status = sea_checkpoint_read_state(path, adamw, err);
    if (status)
        return status;
    sea_adamw_set_steps(adamw, folder->step);
    *notes = found;
    return SEA_OK;
}

/* A crash in step 2 of the header left the complete folder under its temporary name. */
static enum sea_status
finish_name(struct folder *folder, struct sea_err *err)
{
    char final[SEA_PATH_MAX];
    enum sea_status status;

    snprintf(final, sizeof(final), "%s", folder->path);
    final[strlen(final) - strlen(".tmp")] = 0;
    status = give_name(folder->path, final, err);
    if (!status)
        snprintf(folder->path, sizeof(folder->path), "%s", final);
    return status;
}

enum sea_status
sea_checkpoint_load(const char *out_dir, struct sea_adamw *adamw, struct sea_arena *arena,
                    struct sea_node **notes, struct sea_buf *skipped, struct sea_err *err)
{
    struct folder *list = NULL;
    enum sea_status status;
    size_t count, i;

    *notes = NULL;
    if (sea_comm_rank(sea_adamw_comm(adamw)) != 0)
        return follow(adamw, err);
    status = list_folders(out_dir, &list, &count, err);
    for (i = 0; !status && i < count; i++) {
        struct sea_err why = { 0 };

        if (verify_folder(list[i].path, &why)) {
            sea_buf_addf(skipped, "checkpoint \"%s\" is not complete: %s\n", list[i].path,
                         why.message);
            continue;
        }
        if (list[i].temp)
            status = finish_name(&list[i], err);
        if (!status)
            status = load_folder(&list[i], adamw, arena, notes, err);
        break;
    }
    if (!status && !*notes)
        status = tell_others(adamw, NOTHING, err);
    sea_context(err, "while loading a checkpoint of \"%s\"", out_dir);
    free(list);
    return status;
}

enum sea_status
sea_checkpoint_remove(const char *out_dir, struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_path_join(path, out_dir, "checkpoint", err);
    if (!status)
        status = sea_dir_remove(path, err);
    return status;
}
