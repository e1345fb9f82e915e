/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet.c - data sets of Parquet files: footers, rows in order, pictures
 *
 * All footers are read and checked when a data set is opened, so that what comes later can
 * rely on them: chunks lie inside the file and do not overlap, counts add up, the shards have
 * the same columns. What pages hold is checked as it is read.
 */
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "pipeline/parquet_int.h"

#define FOOTER_BYTES_MAX ((size_t)256 << 20)
#define MARK_BYTES 4
#define TAIL_BYTES 8            /* length of the footer, mark */
#define PICTURES_OF_A_ROW 0xFFFFFFFF

struct sea_parquet {
    struct sea_arena *arena;
    const char *path;
    struct sea_pq_file *files;
    size_t count, file;         /* file, group: of the row that comes next */
    int64_t rows, index, group, row_in_group;
    struct sea_pq_rows now;
    bool is_open;               /* now has the columns of file and group */
    pthread_mutex_t lock;       /* of what follows */
    struct sea_pq_column *shown;        // (leaves) columns of pictures
};

/* ---- one file ---- */

static enum sea_status
refuse(const struct sea_pq_file *file, struct sea_err *err, const char *wrong)
{
    sea_fail(err, SEA_E_FORMAT, "file \"%s\" is no Parquet file that can be read: %s", file->path,
             wrong);
    sea_hint(err, "Compare its size and checksum with those of its source, and fetch it again if "
             "they differ.");
    return err->status;
}

struct extent {
    int64_t start, end;
    int64_t group;
    int leaf;
};

static int
by_start(const void *a, const void *b)
{
    const struct extent *x = a, *y = b;

    return (x->start > y->start) - (x->start < y->start);
}

static enum sea_status
refuse_chunk(const struct sea_pq_file *file, int64_t group, int leaf, struct sea_err *err,
             const char *wrong)
{
    struct sea_pq_column column = { .file = file, .group = group, .leaf = file->leaves[leaf] };

    return sea_pq_column_fail(&column, err, "%s", wrong);
}

static const char *
check_chunk(const struct sea_pq_group *group, const struct sea_pq_field *leaf,
            struct sea_pq_chunk *chunk, int64_t end)
{
    const char *wrong = sea_pq_codec_refused(chunk->codec);

    if (chunk->type != (int64_t)leaf->type)
        return "its type is not the one of the schema";
    if (wrong)
        return wrong;
    if (chunk->values < 0 || chunk->values > SEA_PQ_ROWS_MAX ||
        (leaf->max_rep == 0 ? chunk->values != group->rows : chunk->values < group->rows))
        return "its number of entries does not fit the row group's number of rows";
    if (chunk->values == 0) {   /* where it would lie is not always said */
        chunk->start = MARK_BYTES;
        chunk->bytes = 0;
    }
    if (chunk->start < MARK_BYTES || chunk->bytes < 0 || chunk->start > end ||
        chunk->bytes > end - chunk->start)
        return "it lies outside of the file's data";
    return NULL;
}

static enum sea_status
check_groups(struct sea_pq_file *file, int64_t end, struct sea_arena *arena, struct sea_err *err)
{
    size_t leaves = (size_t)file->leaves_count, n = (size_t)file->groups_count * leaves;
    struct extent *extents;
    int64_t rows = 0;

    /* Before memory is taken for all of them: an empty group costs its writer one byte. */
    for (int64_t g = 0; g < file->groups_count; g++)
        if (file->groups[g].chunks_count != file->leaves_count)
            return refuse(file, err, "a row group has another number of columns than the schema");
    extents = sea_arena_alloc(arena, n + 1, sizeof(*extents));
    for (int64_t g = 0; g < file->groups_count; g++) {
        struct sea_pq_group *group = &file->groups[g];

        if (group->rows < 0 || group->rows > SEA_PQ_ROWS_MAX - rows)
            return refuse(file, err, "a row group has an impossible number of rows");
        group->first_row = rows;
        rows += group->rows;
        for (int i = 0; i < file->leaves_count; i++) {
            struct sea_pq_chunk *chunk = &group->chunks[i];
            const char *wrong = check_chunk(group, file->leaves[i], chunk, end);

            if (wrong)
                return refuse_chunk(file, g, i, err, wrong);
            extents[(size_t)g * leaves + (size_t)i] =
                (struct extent){ chunk->start, chunk->start + chunk->bytes, g, i };
        }
    }
    if (rows != file->rows)
        return refuse(file, err, "its number of rows is not the sum of its row groups");
    qsort(extents, n, sizeof(*extents), by_start);
    for (size_t i = 1; i < n; i++) {
        if (extents[i].start < extents[i - 1].end && extents[i].end > extents[i].start)
            return refuse_chunk(file, extents[i].group, extents[i].leaf, err,
                                "it lies over another column");
        if (extents[i].end < extents[i - 1].end)
            extents[i].end = extents[i - 1].end;
    }
    return SEA_OK;
}

static enum sea_status
open_file(struct sea_pq_file *file, const char *path, struct sea_arena *arena,
          struct sea_err *err)
{
    struct sea_arena *scratch;
    struct sea_pq_footer footer;
    const unsigned char *tail;
    const char *wrong;
    size_t n, bytes;
    enum sea_status status;

    file->path = sea_arena_strdup(arena, path);
    status = sea_file_map_open(&file->map, path, err);
    if (status)
        return status;
    n = file->map.bytes;
    if (n < MARK_BYTES + TAIL_BYTES || memcmp(file->map.data, "PAR1", MARK_BYTES) != 0)
        return refuse(file, err, "it does not begin with its mark PAR1");
    tail = file->map.data + n - TAIL_BYTES;
    if (memcmp(tail + 4, "PARE", MARK_BYTES) == 0)
        return refuse(file, err, "it is encrypted");
    if (memcmp(tail + 4, "PAR1", MARK_BYTES) != 0) {
        sea_fail(err, SEA_E_FORMAT, "file \"%s\" is no whole Parquet file: it does not end with its "
                 "mark PAR1", file->path);
        sea_hint(err, "It was not written or not downloaded to its end: fetch it again.");
        return err->status;
    }
    bytes = (size_t)tail[0] | (size_t)tail[1] << 8 | (size_t)tail[2] << 16 | (size_t)tail[3] << 24;
    if (bytes > FOOTER_BYTES_MAX || bytes > n - TAIL_BYTES - MARK_BYTES)
        return refuse(file, err, "its footer is longer than the file");
    wrong = sea_pq_footer_parse(tail - bytes, bytes, arena, &footer);
    if (!wrong)
        wrong = sea_pq_schema_build(&footer, arena, file);
    if (wrong)
        return refuse(file, err, wrong);
    file->groups = footer.groups;
    file->groups_count = footer.groups_count;
    file->rows = footer.rows;
    scratch = sea_arena_create(NULL, "extents");
    status = check_groups(file, (int64_t)(n - TAIL_BYTES - bytes), scratch, err);
    sea_arena_destroy(scratch);
    return status;
}

/* ---- data sets ---- */

static bool
same_field(const struct sea_pq_field *a, const struct sea_pq_field *b)
{
    const struct sea_pq_field *x = a->first, *y = b->first;

    if (strcmp(a->name, b->name) != 0 || a->kind != b->kind || a->leaf != b->leaf ||
        (a->repetition == SEA_PQ_REPEATED) != (b->repetition == SEA_PQ_REPEATED) ||
        (a->leaf >= 0 && (a->type != b->type || a->width != b->width)))
        return false;
    for (; x && y; x = x->next, y = y->next)
        if (!same_field(x, y))
            return false;
    return !x && !y;
}

static enum sea_status
same_columns(const struct sea_pq_file *a, const struct sea_pq_file *b, struct sea_err *err)
{
    const struct sea_pq_field *x = a->root->first, *y = b->root->first;

    for (; x && y; x = x->next, y = y->next)
        if (!same_field(x, y))
            break;
    if (!x && !y)
        return SEA_OK;
    sea_fail(err, SEA_E_FORMAT, "file \"%s\" has column \"%s\" where \"%s\" has \"%s\", or one of "
             "another type: they are no shards of one data set", b->path, y ? y->name : "", a->path,
             x ? x->name : "");
    sea_hint(err, "Name one of them, or a pattern that takes only those of one data set.");
    return err->status;
}

enum sea_status
sea_parquet_open(struct sea_parquet **out, const char *path, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "parquet");
    struct sea_parquet *p = sea_arena_alloc(arena, 1, sizeof(*p));
    const char **paths;
    size_t count = 0;
    enum sea_status status = sea_pq_find(path, arena, &paths, &count, err);

    *out = NULL;
    p->arena = arena;
    p->index = -1;
    pthread_mutex_init(&p->lock, NULL);
    p->files = sea_arena_alloc(arena, count + 1, sizeof(*p->files));
    for (size_t i = 0; i < count && !status; i++) {
        p->count++;
        p->files[i].first_row = p->rows;
        status = open_file(&p->files[i], paths[i], arena, err);
        if (!status)
            p->rows += p->files[i].rows;
        if (!status && i > 0)
            status = same_columns(&p->files[0], &p->files[i], err);
    }
    if (status) {
        sea_parquet_close(p);
        return status;
    }
    {
        size_t leaves = (size_t)p->files[0].leaves_count;

        p->path = sea_arena_strdup(arena, path);
        p->shown = sea_arena_alloc(arena, leaves, sizeof(*p->shown));
        p->now.columns = sea_arena_alloc(arena, leaves, sizeof(*p->now.columns));
        p->now.wanted = sea_arena_alloc(arena, leaves, sizeof(*p->now.wanted));
        p->now.taken = sea_arena_alloc(arena, leaves, sizeof(*p->now.taken));
        p->now.file = &p->files[0];
        sea_pq_rows_choose(&p->now);
    }
    *out = p;
    return SEA_OK;
}

static void
close_group(struct sea_parquet *p)
{
    for (int i = 0; p->now.columns && i < p->files[0].leaves_count; i++)
        sea_pq_column_close(&p->now.columns[i]);
    p->is_open = false;
}

void
sea_parquet_close(struct sea_parquet *p)
{
    if (!p)
        return;
    close_group(p);
    for (int i = 0; p->shown && i < p->files[0].leaves_count; i++)
        sea_pq_column_close(&p->shown[i]);
    for (size_t i = 0; i < p->count; i++)
        sea_file_map_close(&p->files[i].map);
    pthread_mutex_destroy(&p->lock);
    sea_arena_destroy(p->arena);
}

int64_t
sea_parquet_rows(const struct sea_parquet *p)
{
    return p->rows;
}

int64_t
sea_parquet_index(const struct sea_parquet *p)
{
    return p->index;
}

static size_t
file_of(const struct sea_parquet *p, int64_t row)
{
    size_t i = 0;

    while (i + 1 < p->count && row >= p->files[i + 1].first_row)
        i++;
    return i;
}

const char *
sea_parquet_file(const struct sea_parquet *p, int64_t row)
{
    return p->files[file_of(p, row)].path;
}

/* The group of the row that comes next; false at the end. */
static bool
open_group(struct sea_parquet *p)
{
    const struct sea_pq_file *file = &p->files[p->file];

    while (p->group == file->groups_count || file->groups[p->group].rows == 0) {
        if (p->group < file->groups_count) {
            p->group++;
            continue;
        }
        if (p->file + 1 == p->count)
            return false;
        file = &p->files[++p->file];
        p->group = 0;
    }
    if (!p->is_open) {
        p->now.file = file;
        for (int i = 0; i < file->leaves_count; i++)
            if (p->now.wanted[i])
                sea_pq_column_open(&p->now.columns[i], file, p->group, file->leaves[i]);
        p->is_open = true;
        p->row_in_group = 0;
    }
    return true;
}

enum sea_status
sea_parquet_next(struct sea_parquet *p, struct sea_arena *arena, struct sea_node **row,
                 struct sea_err *err)
{
    struct sea_node *node = NULL;
    enum sea_status status;

    *row = NULL;
    if (!open_group(p))
        return SEA_OK;
    p->index++;
    p->now.row = p->index;
    status = sea_pq_rows_take(&p->now, arena, &node, err);
    if (!status && ++p->row_in_group == p->now.file->groups[p->group].rows) {
        status = sea_pq_rows_end(&p->now, err);
        close_group(p);
        p->group++;
    }
    if (!status)
        *row = node;
    return status;
}

/* ---- pictures ---- */

bool
sea_parquet_is_picture(const struct sea_node *node, int64_t *cell, const char **path)
{
    const struct sea_node *bytes = sea_node_get(node, SEA_PQ_PICTURE);

    if (!bytes || bytes->kind != SEA_NODE_INT)
        return false;
    *cell = bytes->integer;
    *path = sea_node_text(sea_node_get(node, "path"), "");
    return true;
}

/* Brings the column to the picture: on from where it stands, or anew from its group's begin. */
static enum sea_status
find_picture(struct sea_pq_column *column, const struct sea_pq_file *file, int64_t row, int leaf,
             int64_t nth, struct sea_pq_value *value, struct sea_err *err)
{
    enum sea_status status;
    int64_t group = 0;
    int rep = 0, def = 0;

    while (row >= file->groups[group].first_row + file->groups[group].rows)
        group++;
    row -= file->groups[group].first_row;
    if (column->file != file || column->group != group || column->row > row) {
        sea_pq_column_close(column);
        sea_pq_column_open(column, file, group, file->leaves[leaf]);
    }
    status = sea_pq_column_seek(column, row, err);
    for (int64_t i = 0; i <= nth && !status; i++) {
        status = sea_pq_column_peek(column, &rep, &def, err);
        if (!status && i > 0 && rep <= 0)
            status = sea_pq_column_fail(column, err, "row %lld has no picture %lld",
                                        (long long)row, (long long)nth);
        if (!status)
            status = sea_pq_column_take(column, value, err);
    }
    if (!status && def < file->leaves[leaf]->max_def)
        status = sea_pq_column_fail(column, err, "row %lld names a picture but does not hold it",
                                    (long long)row);
    return status;
}

enum sea_status
sea_parquet_picture(struct sea_parquet *p, int64_t row, int64_t cell, struct sea_buf *out,
                    struct sea_err *err)
{
    const struct sea_pq_file *file = &p->files[file_of(p, row)];
    int64_t nth = cell & PICTURES_OF_A_ROW;
    int leaf = (int)(cell >> 32);
    struct sea_pq_value value = { 0 };
    enum sea_status status;

    if (row < 0 || row >= p->rows || leaf < 0 || leaf >= file->leaves_count ||
        !file->leaves[leaf]->is_picture)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\" has no picture %lld in row %lld", p->path,
                        (long long)cell, (long long)row);
    pthread_mutex_lock(&p->lock);
    status = find_picture(&p->shown[leaf], file, row - file->first_row, leaf, nth, &value, err);
    if (!status && value.len > SEA_PARQUET_PICTURE_MAX)
        status = sea_pq_column_fail(&p->shown[leaf], err, "a picture has %zu bytes, more than 256 "
                                    "MiB", value.len);
    if (!status)
        status = sea_buf_append(out, value.bytes, value.len, err);
    if (status)
        sea_pq_column_close(&p->shown[leaf]);   /* it may stand inside a row */
    pthread_mutex_unlock(&p->lock);
    return status;
}

/* ---- what it is ---- */

enum sea_status
sea_parquet_digest(const char *path, char out[SEA_SHA256_TEXT], struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "files");
    struct sea_hash *hash = sea_hash_create();
    char digest[SEA_SHA256_TEXT];
    const char **files;
    size_t count;
    enum sea_status status = sea_pq_find(path, arena, &files, &count, err);

    for (size_t i = 0; i < count && !status; i++) {
        status = sea_hash_file(files[i], digest, NULL, err);
        if (!status)
            sea_hash_add_field(hash, digest);
    }
    if (!status && count == 1)
        memcpy(out, digest, sizeof(digest));
    else if (!status)
        sea_hash_finish(hash, out);
    sea_hash_destroy(hash);
    sea_arena_destroy(arena);
    return status;
}

struct sea_node *
sea_parquet_describe(const struct sea_parquet *p, struct sea_arena *arena)
{
    struct sea_node *top = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP), *list, *item;

    list = sea_node_put(arena, top, "files", SEA_NODE_LIST);
    for (size_t i = 0; i < p->count; i++) {
        item = sea_node_put(arena, list, NULL, SEA_NODE_MAP);
        sea_node_put_text(arena, item, "path", p->files[i].path);
        sea_node_put_int(arena, item, "rows", p->files[i].rows);
        sea_node_put_int(arena, item, "row_groups", p->files[i].groups_count);
        sea_node_put_int(arena, item, "bytes", (int64_t)p->files[i].map.bytes);
    }
    sea_node_put_int(arena, top, "rows", p->rows);
    list = sea_node_put(arena, top, "columns", SEA_NODE_LIST);
    for (int i = 0; i < p->files[0].leaves_count; i++) {
        const struct sea_pq_field *leaf = p->files[0].leaves[i];
        const struct sea_pq_file *file = &p->files[0];

        item = sea_node_put(arena, list, NULL, SEA_NODE_MAP);
        sea_node_put_text(arena, item, "name", sea_pq_field_path(leaf, arena));
        sea_node_put_text(arena, item, "type", sea_pq_type_name(leaf));
        sea_node_put_text(arena, item, "codec",
                          file->groups_count
                              ? sea_pq_codec_name(file->groups[0].chunks[i].codec) : "none");
        sea_node_put_bool(arena, item, "picture", leaf->is_picture);
    }
    return top;
}
