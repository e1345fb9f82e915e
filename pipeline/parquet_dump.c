/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_dump.c - Parquet as JSON and pictures, for people and for other programs
 *
 * Data sets of the hub repeat a picture in every row that asks about it; here it becomes one
 * file, so that its name says which questions are about the same picture.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_file.h"
#include "pipeline/sea_parquet.h"

#define ROW_BYTES_MAX ((size_t)1 << 30)
#define NAME_BYTES 128

struct known {                  /* a picture that was written */
    char digest[SEA_SHA256_TEXT], name[NAME_BYTES];
};
struct dumping {
    struct sea_parquet *parquet;
    const char *column;         /* of the row, at hand */
    int number;                 /* the column's, from 0 */
    int pictures;               /* of the row's column, so far */
    const char *images;         /* NULL: pictures are not written */
    struct known *known;        /* (room) open addressing; room is a power of two */
    size_t count, room;
};

static struct known *
find_known(struct known *known, size_t room, const char *digest)
{
    size_t at = strtoul((char[9]){ digest[0], digest[1], digest[2], digest[3], digest[4],
                                   digest[5], digest[6], digest[7], 0 }, NULL, 16) & (room - 1);

    while (known[at].name[0] && strcmp(known[at].digest, digest) != 0)
        at = (at + 1) & (room - 1);
    return &known[at];
}

static struct known *
known_picture(struct dumping *d, const char *digest)
{
    if (2 * (d->count + 1) > d->room) {
        size_t room = d->room ? 2 * d->room : 1024;
        struct known *more = sea_xcalloc(room, sizeof(*more));

        for (size_t i = 0; i < d->room; i++)
            if (d->known[i].name[0])
                *find_known(more, room, d->known[i].digest) = d->known[i];
        free(d->known);
        d->known = more;
        d->room = room;
    }
    return find_known(d->known, d->room, digest);
}

static const char *
extension(const char *bytes, size_t n)
{
    static const struct { const char *mark, *name; size_t at, n; } marks[] = {
        { "\xFF\xD8\xFF", "jpg", 0, 3 }, { "\x89PNG", "png", 0, 4 }, { "WEBP", "webp", 8, 4 },
        { "GIF8", "gif", 0, 4 },         { "BM", "bmp", 0, 2 },      { "II*", "tif", 0, 3 },
        { "MM", "tif", 0, 2 },
    };

    for (size_t i = 0; i < sizeof(marks) / sizeof(marks[0]); i++)
        if (n >= marks[i].at + marks[i].n &&
            memcmp(bytes + marks[i].at, marks[i].mark, marks[i].n) == 0)
            return marks[i].name;
    return "bin";
}

/* A name that no other picture has: row, column (by its number, too, where its name holds what
 * names of files had better not), and which of the column's. */
static void
plain_name(const struct dumping *d, const char *end, char out[NAME_BYTES])
{
    const char *column = d->column;
    char plain[64], which[16] = "", nth[16] = "";        /* together below NAME_BYTES */
    size_t n = 0;

    for (; column[n] && n + 1 < sizeof(plain); n++)
        plain[n] = (column[n] >= '0' && column[n] <= '9') || (column[n] >= 'a' && column[n] <= 'z') ||
                   (column[n] >= 'A' && column[n] <= 'Z') ? column[n] : '_';
    plain[n] = 0;
    if (strcmp(plain, column) != 0)
        snprintf(which, sizeof(which), ".%d", d->number);
    if (d->pictures)
        snprintf(nth, sizeof(nth), "-%d", d->pictures);
    snprintf(out, NAME_BYTES, "%08lld-%s%s%s.%s", (long long)sea_parquet_index(d->parquet), plain,
             which, nth, end);
}

/* Writes the picture unless one of equal bytes was written; name is the file's. */
static enum sea_status
keep_picture(struct dumping *d, const struct sea_buf *bytes, char name[NAME_BYTES],
             struct sea_err *err)
{
    char digest[SEA_SHA256_TEXT], path[SEA_PATH_MAX];
    struct known *known;
    enum sea_status status;

    sea_hash_bytes(bytes->data, bytes->len, digest);
    known = known_picture(d, digest);
    if (!known->name[0]) {
        plain_name(d, extension(bytes->data, bytes->len), name);
        status = sea_path_join(path, d->images, name, err);
        if (!status)
            status = sea_file_replace(path, bytes->data, bytes->len, err);
        if (status)
            return status;
        memcpy(known->digest, digest, sizeof(digest));
        memcpy(known->name, name, NAME_BYTES);
        d->count++;
    }
    memcpy(name, known->name, NAME_BYTES);
    return SEA_OK;
}

static enum sea_status
put_picture(struct dumping *d, struct sea_arena *arena, struct sea_node *parent,
            const struct sea_node *node, struct sea_err *err)
{
    struct sea_buf bytes;
    char name[NAME_BYTES];
    const char *path = "";
    int64_t cell = 0;
    enum sea_status status;

    sea_parquet_is_picture(node, &cell, &path);
    sea_buf_init(&bytes, SEA_PARQUET_PICTURE_MAX);
    status = sea_parquet_picture(d->parquet, sea_parquet_index(d->parquet), cell, &bytes, err);
    if (!status && d->images) {
        status = keep_picture(d, &bytes, name, err);
        if (!status)
            sea_node_put_text(arena, parent, node->key, name);
    } else if (!status) {
        struct sea_node *map = sea_node_put(arena, parent, node->key, SEA_NODE_MAP);

        sea_node_put_text(arena, map, "path", path);
        sea_node_put_int(arena, map, "bytes", (int64_t)bytes.len);
    }
    d->pictures++;
    sea_buf_release(&bytes);
    return status;
}

/* The node below parent, with its pictures as above. */
static enum sea_status
put_node(struct dumping *d, struct sea_arena *arena, struct sea_node *parent,
         const struct sea_node *node, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    struct sea_node *copy;
    const char *path;
    int64_t cell;

    if (sea_parquet_is_picture(node, &cell, &path))
        return put_picture(d, arena, parent, node, err);
    if (node->kind != SEA_NODE_MAP && node->kind != SEA_NODE_LIST) {
        sea_node_put_copy(arena, parent, node->key, node);
        return SEA_OK;
    }
    copy = sea_node_put(arena, parent, node->key, node->kind);
    for (const struct sea_node *child = node->first; child && !status; child = child->next)
        status = put_node(d, arena, copy, child, err);
    return status;
}

/* The next row as it is shown, below list; *out is NULL at the end. */
static enum sea_status
next_row(struct dumping *d, struct sea_arena *arena, struct sea_node *list, struct sea_node **out,
         struct sea_err *err)
{
    struct sea_node *row, *map;
    enum sea_status status = sea_parquet_next(d->parquet, arena, &row, err);

    *out = NULL;
    if (status || !row)
        return status;
    map = sea_node_put(arena, list, NULL, SEA_NODE_MAP);
    d->number = 0;
    for (const struct sea_node *field = row->first; field && !status; field = field->next) {
        d->column = field->key;
        d->pictures = 0;
        status = put_node(d, arena, map, field, err);
        d->number++;
    }
    if (!status)
        *out = map;
    return status;
}

static enum sea_status
write_rows(struct dumping *d, int64_t most, bool as_list, struct sea_file_writer *writer,
           int64_t *rows, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "row");
    enum sea_status status = SEA_OK;
    struct sea_node *row;
    struct sea_buf text;

    sea_buf_init(&text, ROW_BYTES_MAX);
    if (as_list)
        status = sea_file_writer_add(writer, "[", 1, err);
    while (!status && (most < 0 || *rows < most)) {
        sea_arena_reset(arena);
        sea_buf_clear(&text);
        status = next_row(d, arena, NULL, &row, err);
        if (status || !row)
            break;
        if (as_list)
            sea_buf_puts(&text, *rows ? ",\n" : "\n");
        status = sea_json_write(row, SEA_JSON_COMPACT, &text, err);
        if (!status && !as_list)
            status = sea_buf_append(&text, "\n", 1, err);
        if (!status)
            status = sea_file_writer_add(writer, text.data, text.len, err);
        ++*rows;
    }
    if (!status && as_list)
        status = sea_file_writer_add(writer, "\n]\n", 3, err);
    sea_buf_release(&text);
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_parquet_write(const char *path, const struct sea_parquet_dump *dump, const char *out,
                  bool as_list, int64_t *rows, struct sea_err *err)
{
    struct dumping d = { .images = dump->images };
    struct sea_file_writer writer = { 0 };
    enum sea_status status = sea_parquet_open(&d.parquet, path, err);

    *rows = 0;
    if (!status && d.images)
        status = sea_dir_create(d.images, err);
    if (!status)
        status = sea_file_writer_open(&writer, out, err);
    if (!status)
        status = write_rows(&d, dump->rows, as_list, &writer, rows, err);
    if (!status)
        status = sea_file_writer_commit(&writer, err);
    sea_file_writer_close(&writer);
    sea_parquet_close(d.parquet);
    free(d.known);
    return status;
}

enum sea_status
sea_parquet_head(const char *path, int64_t rows, struct sea_arena *arena, struct sea_node **list,
                 struct sea_err *err)
{
    struct dumping d = { .images = NULL };
    struct sea_node *row;
    enum sea_status status = sea_parquet_open(&d.parquet, path, err);

    *list = sea_node_put(arena, NULL, NULL, SEA_NODE_LIST);
    for (int64_t i = 0; i < rows && !status; i++) {
        status = next_row(&d, arena, *list, &row, err);
        if (status || !row)
            break;
    }
    sea_parquet_close(d.parquet);
    return status;
}
