/* SPDX-License-Identifier: Apache-2.0 */
#include "pipeline/sea_dataset.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "pipeline/sea_parquet.h"
#include "pipeline/sea_records.h"

#define ROWS_MAX 100000000
#define WHOLE_BYTES_MAX ((uint64_t)4 << 30)
#define EDGE_BYTES 4096

/* Rows that grow while a file is read; moved into the arena at its end. */
struct list {
    void *items;
    size_t count, room, size;
};

static void *
list_add(struct list *list)
{
    if (list->count == list->room) {
        list->room = list->room ? 2 * list->room : 1024;
        list->items = sea_xrealloc(list->items, list->room, list->size);
    }
    memset((char *)list->items + list->count * list->size, 0, list->size);
    return (char *)list->items + list->count++ * list->size;
}

static void *
list_take(struct list *list, struct sea_arena *arena)
{
    void *out = sea_arena_alloc(arena, list->count ? list->count : 1, list->size);

    if (list->count)
        memcpy(out, list->items, list->count * list->size);
    free(list->items);
    *list = (struct list){ .size = list->size };
    return out;
}

static bool
is_blank(char c)
{
    return c == ' ' || (c >= '\t' && c <= '\r');
}

/* The tag at either end of a question, blanks apart: there it stands for a picture. In the
 * middle of a text it may be a word like others (HTML, program text). */
static bool
asks_for_picture(const char *text, size_t len)
{
    const size_t n = strlen(SEA_IMAGE_TAG);

    while (len && is_blank(*text)) {
        text++;
        len--;
    }
    while (len && is_blank(text[len - 1]))
        len--;
    return len >= n && (memcmp(text, SEA_IMAGE_TAG, n) == 0 ||
                        memcmp(text + len - n, SEA_IMAGE_TAG, n) == 0);
}

struct tags {
    size_t turns;               /* that hold the tag, once or more often */
    bool at_end;                /* a question has it at one of its ends */
};

/* Field "conversations" as turns of invariant (3). */
static enum sea_status
read_turns(const struct sea_records *rows, const char *id, const struct sea_node *row,
           struct sea_arena *arena, struct sea_turn **turns, size_t *count, struct tags *tags,
           struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(row, "conversations"), *node;
    size_t n = 0, number = 0;

    *tags = (struct tags){ 0 };
    if (!list || list->kind != SEA_NODE_LIST)
        return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                "field \"conversations\" is %s, expected a list of turns",
                                list ? sea_node_kind_name(list->kind) : "missing");
    *turns = sea_arena_alloc(arena, list->count ? list->count : 1, sizeof(**turns));
    for (node = list->first; node; node = node->next, number++) {
        const char *from = sea_node_text(sea_node_get(node, "from"), NULL);
        const struct sea_node *value = sea_node_get(node, "value");
        bool human;

        if (!from)
            return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                    "field \"from\" of turn %zu is missing, expected \"human\" or "
                                    "\"gpt\"", number);
        if (strcmp(from, "human") != 0 && strcmp(from, "gpt") != 0)
            return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                    "turn %zu is from \"%.40s\", expected \"human\" or \"gpt\"",
                                    number, from);
        if (!value || value->kind != SEA_NODE_STRING)
            return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                    "field \"value\" of turn %zu is %s, expected a text", number,
                                    value ? sea_node_kind_name(value->kind) : "missing");
        human = strcmp(from, "human") == 0;
        if (number == 0 && !human)
            continue;
        if (human != (n % 2 == 0))
            return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                    "turn %zu is from \"%s\" like the one before, expected turns "
                                    "that alternate", number, from);
        tags->turns += strstr(value->text, SEA_IMAGE_TAG) != NULL;
        tags->at_end |= human && asks_for_picture(value->text, value->text_len);
        (*turns)[n].from = human ? "human" : "gpt";
        (*turns)[n].value = sea_arena_strndup(arena, value->text, value->text_len);
        (*turns)[n++].len = value->text_len;
    }
    if (n < 2 && list->count > n)
        return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                "the first turn is from \"gpt\" and is left out; behind it are %zu "
                                "turns, expected a question of \"human\" and an answer of \"gpt\"",
                                n);
    if (n < 2)
        return sea_records_fail(rows, id, err, SEA_E_FORMAT,
                                "field \"conversations\" has %zu turns, expected a question of "
                                "\"human\" and an answer of \"gpt\"", list->count);
    *count = n;
    return SEA_OK;
}

static enum sea_status
read_row(const struct sea_records *rows, enum sea_dataset_kind kind, const struct sea_node *node,
         struct sea_arena *arena, struct sea_row *row, struct sea_err *err)
{
    const struct sea_node *image = sea_node_get(node, "image");
    enum sea_status status;
    struct tags tags;

    row->index = rows->index;
    if (sea_node_get(node, "id")) {
        status = sea_records_id(rows, node, "id", arena, &row->id, NULL, err);
        if (status)
            return status;
    } else {
        row->id = sea_arena_printf(arena, "%lld", (long long)rows->index);
    }
    if (image && image->kind == SEA_NODE_STRING) {
        if (!image->text_len || !sea_path_is_inside(image->text))
            return sea_records_fail(rows, row->id, err, SEA_E_FORMAT,
                                    "field \"image\" is \"%.120s\", expected a relative name "
                                    "without \"..\"", image->text);
        row->image = sea_arena_strdup(arena, image->text);
    } else if (image && rows->parquet && image->kind == SEA_NODE_MAP) {
        sea_records_fail(rows, row->id, err, SEA_E_FORMAT,
                         "the picture is in the file, expected the name of one in field \"image\"");
        sea_hint(err, "Take the pictures out first: sea data parquet \"%s\" --out data.json "
                 "--images DIR.", rows->path);
        return SEA_E_FORMAT;
    } else if (image && image->kind != SEA_NODE_NULL) {
        return sea_records_fail(rows, row->id, err, SEA_E_FORMAT,
                                "field \"image\" is %s, expected the name of one file",
                                sea_node_kind_name(image->kind));
    }
    status = read_turns(rows, row->id, node, arena, &row->turns, &row->turns_count, &tags, err);
    if (status)
        return status;
    if (kind == SEA_DATASET_PRETRAIN && (!row->image || row->turns_count != 2))
        return sea_records_fail(rows, row->id, err, SEA_E_FORMAT,
                                "the row has %s and %zu turns, expected a picture and one "
                                "exchange", row->image ? "a picture" : "no field \"image\"",
                                row->turns_count);
    if (row->image && tags.turns != 1)
        return sea_records_fail(rows, row->id, err, SEA_E_FORMAT,
                                "the tag <image> stands in %zu turns, expected one, as the row has "
                                "a picture", tags.turns);
    if (!row->image && tags.at_end)
        return sea_records_fail(rows, row->id, err, SEA_E_FORMAT,
                                "a question has the tag <image>, expected none, as field \"image\" "
                                "is missing");
    return SEA_OK;
}

/* All pictures exist; rows share pictures, so equal neighbours are looked at once. */
static enum sea_status
check_images(const struct sea_dataset *set, struct sea_err *err)
{
    const struct sea_row *first = NULL;
    const char *before = NULL;
    enum sea_status status = SEA_OK;
    char path[SEA_PATH_MAX];
    int64_t missing = 0;

    if (set->images_count == 0)
        return SEA_OK;
    if (!set->images || !sea_dir_exists(set->images)) {
        status = sea_fail(err, SEA_E_MISSING, "folder of images \"%s\" does not exist",
                          set->images ? set->images : "");
        sea_hint(err, "Name the folder that the \"image\" fields of \"%s\" are relative to.",
                 set->json);
        return status;
    }
    for (int64_t i = 0; i < set->count; i++) {
        const struct sea_row *row = &set->rows[i];

        if (!row->image || (before && strcmp(before, row->image) == 0))
            continue;
        status = sea_path_join(path, set->images, row->image, err);
        if (status)
            return status;
        before = row->image;
        if (sea_file_exists(path))
            continue;
        missing++;
        first = first ? first : row;
    }
    if (!first)
        return SEA_OK;
    status = sea_fail(err, SEA_E_MISSING,
                      "image \"%s\" of row %lld (id \"%.80s\") in \"%s\" is not in \"%s\"; %lld "
                      "of %lld rows with images lack theirs", first->image,
                      (long long)first->index, first->id, set->json, set->images,
                      (long long)missing, (long long)set->images_count);
    sea_hint(err, "Finish the download, or name the folder that the \"image\" fields are "
             "relative to.");
    return status;
}

static enum sea_status
load_rows(struct sea_dataset *out, enum sea_dataset_kind kind, struct sea_arena *arena,
          struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(arena, "row");
    struct list list = { .size = sizeof(struct sea_row) };
    struct sea_records rows;
    enum sea_status status;

    status = sea_records_open(&rows, out->json, err);
    while (!status) {
        struct sea_node *node;
        struct sea_row *row;

        sea_arena_reset(scratch);
        status = sea_records_next(&rows, scratch, &node, err);
        if (status || !node)
            break;
        if (list.count >= ROWS_MAX) {
            status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" has more than %d rows",
                              out->json, ROWS_MAX);
            break;
        }
        row = list_add(&list);
        status = read_row(&rows, kind, node, arena, row, err);
        out->images_count += row->image != NULL;
    }
    if (!status && list.count == 0) {
        status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" holds 0 rows, expected at least 1",
                          out->json);
        sea_hint(err, "A data file is a JSON list of {\"id\", \"image\", \"conversations\"}.");
    }
    out->count = (int64_t)list.count;
    out->rows = list_take(&list, arena);
    sea_records_close(&rows);
    sea_arena_destroy(scratch);
    return status;
}

enum sea_status
sea_dataset_load(struct sea_dataset *out, enum sea_dataset_kind kind, const char *json,
                 const char *images, struct sea_arena *arena, struct sea_err *err)
{
    enum sea_status status;

    *out = (struct sea_dataset){ .json = sea_arena_strdup(arena, json),
                                 .images = images ? sea_arena_strdup(arena, images) : NULL };
    status = load_rows(out, kind, arena, err);
    if (!status)
        status = check_images(out, err);
    if (status)
        sea_context(err, "while loading %s data",
                    kind == SEA_DATASET_PRETRAIN ? "pretraining" : "instruction");
    return status;
}

const char *
sea_row_caption(const struct sea_row *row)
{
    return row->turns[1].value;
}

/* ---- digest ---- */

static int
by_text(const void *a, const void *b)
{
    return strcmp(*(const char *const *)a, *(const char *const *)b);
}

/* Names of all pictures, sorted, each once. */
static enum sea_status
read_names(const char *json, struct sea_arena *arena, const char ***names, size_t *count,
           struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(arena, "row");
    struct list list = { .size = sizeof(char *) };
    const char *last = NULL;
    struct sea_records rows;
    enum sea_status status;
    size_t n = 0;

    status = sea_records_open(&rows, json, err);
    while (!status) {
        struct sea_node *node;
        const char *name;

        sea_arena_reset(scratch);
        status = sea_records_next(&rows, scratch, &node, err);
        if (status || !node)
            break;
        name = sea_node_text(sea_node_get(node, "image"), NULL);
        if (name && sea_path_is_inside(name))
            *(const char **)list_add(&list) = sea_arena_strdup(arena, name);
    }
    if (list.count)
        qsort(list.items, list.count, sizeof(char *), by_text);
    *count = list.count;
    *names = list_take(&list, arena);
    for (size_t i = 0; i < *count; i++)
        if (!last || strcmp(last, (*names)[i]) != 0)
            last = (*names)[n++] = (*names)[i];
    *count = n;
    sea_records_close(&rows);
    sea_arena_destroy(scratch);
    return status;
}

static enum sea_status
add_whole(struct sea_hash *hash, const char *path, struct sea_err *err)
{
    struct sea_file_map map;
    enum sea_status status = sea_file_map_open(&map, path, err);
    char size[32];

    if (status)
        return status;
    snprintf(size, sizeof(size), "%zu", map.bytes);
    sea_hash_add_field(hash, size);
    sea_hash_add(hash, map.data, map.bytes);
    sea_file_map_close(&map);
    return SEA_OK;
}

/* Size and edges. Not mapped: a fault reads far around it, which for pictures comes to all of
 * them, and mapping hundreds of thousands of files costs more than the parsing of their names. */
static enum sea_status
add_edges(struct sea_hash *hash, const char *path, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    char bytes[2 * EDGE_BYTES], size[32];
    struct stat info = { 0 };
    size_t n = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    bool good = fd >= 0 && fstat(fd, &info) == 0;

    if (good && !S_ISREG(info.st_mode)) {
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" is not a regular file", path);
    } else if (good) {
        n = info.st_size < (off_t)sizeof(bytes) ? (size_t)info.st_size : sizeof(bytes);
        (void)posix_fadvise(fd, 0, 0, POSIX_FADV_RANDOM);
        errno = EIO;            /* when it is shorter than it was */
        if (n < sizeof(bytes))
            good = pread(fd, bytes, n, 0) == (ssize_t)n;
        else
            good = pread(fd, bytes, EDGE_BYTES, 0) == EDGE_BYTES &&
                   pread(fd, bytes + EDGE_BYTES, EDGE_BYTES, info.st_size - EDGE_BYTES) ==
                       EDGE_BYTES;
    }
    if (!good)
        status = sea_fail_errno(err, "could not read image \"%s\"", path);
    if (fd >= 0)
        close(fd);
    if (status)
        return status;
    snprintf(size, sizeof(size), "%lld", (long long)info.st_size);
    sea_hash_add_field(hash, size);
    sea_hash_add(hash, bytes, n);
    return SEA_OK;
}

static enum sea_status
total_bytes(const char *images, const char *const *names, size_t count, uint64_t *total,
            struct sea_err *err)
{
    char path[SEA_PATH_MAX];
    struct stat info;

    *total = 0;
    for (size_t i = 0; i < count; i++) {
        enum sea_status status = sea_path_join(path, images, names[i], err);

        if (status)
            return status;
        if (stat(path, &info))
            return sea_fail_errno(err, "could not read image \"%s\"", path);
        *total += (uint64_t)info.st_size;
    }
    return SEA_OK;
}

enum sea_status
sea_dataset_digest_names(const char *json, const char *images, struct sea_arena *arena,
                         const char ***names_out, size_t *count_out, char out[SEA_SHA256_TEXT],
                         struct sea_err *err)
{
    struct sea_hash *hash = sea_hash_create();
    char path[SEA_PATH_MAX], of_json[SEA_SHA256_TEXT];
    enum sea_status status;
    const char **names = NULL;
    uint64_t total = 0;
    size_t count = 0;

    out[0] = 0;
    status = sea_parquet_is(json) ? sea_parquet_digest(json, of_json, err)
                                  : sea_hash_file(json, of_json, NULL, err);
    if (!status)
        status = read_names(json, arena, &names, &count, err);
    if (!status && count && !images)
        status = sea_fail(err, SEA_E_CONFIG, "data \"%s\" names images but no folder of images "
                          "was given", json);
    if (!status && count)
        status = total_bytes(images, names, count, &total, err);
    if (!status) {
        sea_hash_add_field(hash, total <= WHOLE_BYTES_MAX ? "whole" : "edges");
        sea_hash_add_field(hash, of_json);
    }
    for (size_t i = 0; i < count && !status; i++) {
        sea_hash_add_field(hash, names[i]);
        status = sea_path_join(path, images, names[i], err);
        if (!status)
            status = total <= WHOLE_BYTES_MAX ? add_whole(hash, path, err)
                                              : add_edges(hash, path, err);
    }
    if (!status)
        sea_hash_finish(hash, out);
    else
        sea_context(err, "while hashing data \"%s\"", json);
    sea_hash_destroy(hash);
    *names_out = names;
    *count_out = count;
    return status;
}

enum sea_status
sea_dataset_digest(const char *json, const char *images, char out[SEA_SHA256_TEXT],
                   struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "digest of a data set");
    const char **names;
    size_t count;
    enum sea_status status = sea_dataset_digest_names(json, images, arena, &names, &count, out,
                                                      err);

    sea_arena_destroy(arena);
    return status;
}

/* ---- text ---- */

static enum sea_status
read_text_row(const struct sea_records *rows, const struct sea_node *node, struct sea_arena *arena,
              struct sea_text_row *row, struct sea_err *err)
{
    const struct sea_node *text = sea_node_get(node, "text");
    const char *template_name = sea_node_text(sea_node_get(node, "template"), "");
    enum sea_status status;
    struct tags tags;

    if (text && text->kind == SEA_NODE_STRING) {
        row->text = sea_arena_strndup(arena, text->text, text->text_len);
        row->text_len = text->text_len;
        return SEA_OK;
    }
    if (!sea_node_get(node, "conversations"))
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "the row has neither a text in \"text\" nor \"conversations\"");
    row->is_bare = strcmp(template_name, "bare") == 0;
    if (template_name[0] && !row->is_bare)
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "unknown \"template\" \"%s\", know: bare", template_name);
    status = read_turns(rows, NULL, node, arena, &row->turns, &row->turns_count, &tags, err);
    if (!status && tags.at_end)
        status = sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                  "the tag <image> stands in a row of text");
    return status;
}

enum sea_status
sea_text_load(struct sea_text_set *out, const char *path, struct sea_arena *arena,
              struct sea_err *err)
{
    struct sea_arena *scratch = sea_arena_create(arena, "row");
    struct list list = { .size = sizeof(struct sea_text_row) };
    struct sea_records rows;
    enum sea_status status;
    bool plain;

    *out = (struct sea_text_set){ 0 };
    status = sea_records_open(&rows, path, err);
    plain = !status && rows.at < rows.end && *rows.at != '{' && !rows.is_list;
    while (!status) {
        struct sea_text_row *row;
        struct sea_node *node = NULL;
        const char *text = NULL;
        size_t len = 0;

        sea_arena_reset(scratch);
        status = plain ? sea_records_next_text(&rows, &text, &len, err)
                       : sea_records_next(&rows, scratch, &node, err);
        if (status || (!node && !len))
            break;
        row = list_add(&list);
        if (plain) {
            row->text = sea_arena_strndup(arena, text, len);
            row->text_len = len;
        } else {
            status = read_text_row(&rows, node, arena, row, err);
        }
    }
    if (!status && list.count == 0)
        status = sea_fail(err, SEA_E_FORMAT, "file \"%s\" holds 0 rows of text", path);
    out->count = (int64_t)list.count;
    out->rows = list_take(&list, arena);
    sea_records_close(&rows);
    sea_arena_destroy(scratch);
    if (status)
        sea_context(err, "while loading text");
    return status;
}
