/* SPDX-License-Identifier: Apache-2.0 */
/* objects.c - COCO instances: which objects stand where in which picture */
#include <stdlib.h>
#include <string.h>

#include "pipeline/sea_dataset.h"
#include "pipeline/sea_records.h"

struct image {
    int64_t id;
    struct sea_pictured pictured;
    size_t first, filled;       /* its boxes among all boxes */
};

struct reading {
    struct sea_objects *out;
    struct sea_arena *arena, *scratch;
    struct image *images;
    size_t images_count, images_room;
    int64_t *category_ids;
    struct sea_category *categories;
    size_t categories_count, categories_room;
    struct sea_box *boxes;      /* in file order until they are dealt to the images */
    size_t *owners;
    size_t boxes_count, boxes_room;
};

typedef enum sea_status read_fn(struct reading *r, const struct sea_records *rows,
                                const struct sea_node *row, struct sea_err *err);

static enum sea_status
read_list(struct reading *r, const char *path, const char *key, read_fn *fn,
          struct sea_err *err)
{
    struct sea_records rows;
    enum sea_status status = sea_records_open_member(&rows, path, key, err);
    struct sea_node *row;

    if (status)
        return status;
    for (;;) {
        sea_arena_reset(r->scratch);
        status = sea_records_next(&rows, r->scratch, &row, err);
        if (!status && row)
            status = fn(r, &rows, row, err);
        if (status || !row)
            break;
    }
    if (status)
        sea_context(err, "in list \"%s\"", key);
    sea_records_close(&rows);
    return status;
}

static enum sea_status
read_number(const struct sea_records *rows, const struct sea_node *row, const char *key,
            int64_t *out, struct sea_err *err)
{
    const struct sea_node *node = sea_node_get(row, key);

    if (!node || node->kind != SEA_NODE_INT)
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "field \"%s\" is %s, expected a whole number", key,
                                node ? sea_node_kind_name(node->kind) : "missing");
    *out = node->integer;
    return SEA_OK;
}

static enum sea_status
read_category(struct reading *r, const struct sea_records *rows, const struct sea_node *row,
              struct sea_err *err)
{
    const char *name = NULL;
    enum sea_status status;
    int64_t id = 0;

    status = read_number(rows, row, "id", &id, err);
    if (!status)
        status = sea_records_text(rows, NULL, row, "name", &name, err);
    if (status)
        return status;
    if (r->categories_count == r->categories_room) {
        r->categories_room = r->categories_room ? 2 * r->categories_room : 128;
        r->categories = sea_xrealloc(r->categories, r->categories_room, sizeof(*r->categories));
        r->category_ids = sea_xrealloc(r->category_ids, r->categories_room, sizeof(int64_t));
    }
    r->category_ids[r->categories_count] = id;
    r->categories[r->categories_count++] = (struct sea_category){
        .name = sea_arena_strdup(r->arena, name),
        .supercategory = sea_arena_strdup(
            r->arena, sea_node_text(sea_node_get(row, "supercategory"), "")),
    };
    return SEA_OK;
}

static enum sea_status
read_image(struct reading *r, const struct sea_records *rows, const struct sea_node *row,
           struct sea_err *err)
{
    int64_t id = 0, width = 0, height = 0;
    const char *name = NULL, *ground;
    enum sea_status status;

    status = read_number(rows, row, "id", &id, err);
    if (!status)
        status = read_number(rows, row, "width", &width, err);
    if (!status)
        status = read_number(rows, row, "height", &height, err);
    if (!status)
        status = sea_records_text(rows, NULL, row, "file_name", &name, err);
    if (!status && (width < 1 || height < 1 || width > 1000000 || height > 1000000))
        status = sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                  "the image is %lld x %lld pixels, expected 1 to 1000000",
                                  (long long)width, (long long)height);
    if (status)
        return status;
    if (r->images_count == r->images_room) {
        r->images_room = r->images_room ? 2 * r->images_room : 4096;
        r->images = sea_xrealloc(r->images, r->images_room, sizeof(*r->images));
    }
    ground = sea_node_text(sea_node_get(row, "background"), NULL);
    r->images[r->images_count++] = (struct image){
        .id = id,
        .pictured = { .file_name = sea_arena_strdup(r->arena, name), .width = (int)width,
                      .height = (int)height,
                      .background = ground ? sea_arena_strdup(r->arena, ground) : NULL },
    };
    return SEA_OK;
}

static int
by_id(const void *a, const void *b)
{
    const struct image *one = a, *two = b;

    return (one->id > two->id) - (one->id < two->id);
}

static struct image *
image_of(const struct reading *r, int64_t id)
{
    struct image key = { .id = id };

    return r->images_count ? bsearch(&key, r->images, r->images_count, sizeof(key), by_id) : NULL;
}

static enum sea_status
read_annotation(struct reading *r, const struct sea_records *rows, const struct sea_node *row,
                struct sea_err *err)
{
    const struct sea_node *list = sea_node_get(row, "bbox"), *node;
    int64_t image_id = 0, category_id = 0;
    size_t category = 0, n = 0;
    enum sea_status status;
    struct image *image;
    double box[4];

    status = read_number(rows, row, "image_id", &image_id, err);
    if (!status)
        status = read_number(rows, row, "category_id", &category_id, err);
    if (status)
        return status;
    image = image_of(r, image_id);
    while (category < r->categories_count && r->category_ids[category] != category_id)
        category++;
    if (!image || category == r->categories_count)
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "field \"%s\" is %lld, which is not in list \"%s\"",
                                image ? "category_id" : "image_id",
                                (long long)(image ? category_id : image_id),
                                image ? "categories" : "images");
    for (node = list ? list->first : NULL; node && n < 4; node = node->next)
        if (node->kind == SEA_NODE_INT || node->kind == SEA_NODE_REAL)
            box[n++] = node->real;
    if (n != 4 || list->count != 4)
        return sea_records_fail(rows, NULL, err, SEA_E_FORMAT,
                                "field \"bbox\" is not a list of 4 numbers [x, y, width, height]");
    if (r->boxes_count == r->boxes_room) {
        r->boxes_room = r->boxes_room ? 2 * r->boxes_room : 4096;
        r->boxes = sea_xrealloc(r->boxes, r->boxes_room, sizeof(*r->boxes));
        r->owners = sea_xrealloc(r->owners, r->boxes_room, sizeof(*r->owners));
    }
    image->pictured.boxes_count++;
    r->owners[r->boxes_count] = (size_t)(image - r->images);
    r->boxes[r->boxes_count++] = (struct sea_box){ (int)category, box[0], box[1], box[2],
                                                   box[3] };
    return SEA_OK;
}

static int
by_file_name(const void *a, const void *b)
{
    const struct sea_pictured *one = a, *two = b;

    return strcmp(one->file_name, two->file_name);
}

/* Deals the boxes to their images and sorts the images by name. */
static void
settle(struct reading *r)
{
    struct sea_objects *out = r->out;
    struct sea_box *boxes =
        sea_arena_alloc(r->arena, r->boxes_count ? r->boxes_count : 1, sizeof(*boxes));
    size_t at = 0;

    out->images = sea_arena_alloc(r->arena, r->images_count ? r->images_count : 1,
                                  sizeof(*out->images));
    out->images_count = r->images_count;
    for (size_t i = 0; i < r->images_count; i++) {
        r->images[i].pictured.boxes = boxes + at;
        at += r->images[i].pictured.boxes_count;
    }
    for (size_t b = 0; b < r->boxes_count; b++) {
        struct image *image = &r->images[r->owners[b]];

        image->pictured.boxes[image->filled++] = r->boxes[b];
    }
    for (size_t i = 0; i < r->images_count; i++)
        out->images[i] = r->images[i].pictured;
    qsort(out->images, out->images_count, sizeof(*out->images), by_file_name);
    out->categories = sea_arena_alloc(r->arena, r->categories_count ? r->categories_count : 1,
                                      sizeof(*out->categories));
    if (r->categories_count)
        memcpy(out->categories, r->categories, r->categories_count * sizeof(*r->categories));
    out->categories_count = r->categories_count;
}

enum sea_status
sea_objects_load(struct sea_objects *out, const char *json, struct sea_arena *arena,
                 struct sea_err *err)
{
    struct reading r = { .out = out, .arena = arena,
                         .scratch = sea_arena_create(arena, "row") };
    enum sea_status status;

    *out = (struct sea_objects){ 0 };
    status = read_list(&r, json, "categories", read_category, err);
    if (!status)
        status = read_list(&r, json, "images", read_image, err);
    if (!status && r.images_count)
        qsort(r.images, r.images_count, sizeof(*r.images), by_id);
    if (!status)
        status = read_list(&r, json, "annotations", read_annotation, err);
    if (!status)
        settle(&r);
    free(r.images);
    free(r.category_ids);
    free(r.categories);
    free(r.boxes);
    free(r.owners);
    sea_arena_destroy(r.scratch);
    if (status)
        sea_context(err, "while loading objects");
    return status;
}

const struct sea_pictured *
sea_objects_find(const struct sea_objects *objects, const char *file_name)
{
    struct sea_pictured key = { .file_name = file_name };

    if (objects->images_count == 0)
        return NULL;
    return bsearch(&key, objects->images, objects->images_count, sizeof(key), by_file_name);
}
