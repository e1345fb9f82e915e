/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_schema.c - the schema of a Parquet file as a tree
 *
 * The footer lists elements depth first, each with its number of children. Lists are groups of
 * three levels (list, its repeated group, the element) or, from old writers, of two; either
 * way a row shows a plain list.
 */
#include <string.h>
#include <strings.h>

#include "pipeline/parquet_int.h"

enum { C_UTF8, C_MAP, C_MAP_KEY_VALUE, C_LIST, C_ENUM, C_DECIMAL, C_UINT_8 = 11, C_UINT_64 = 14,
       C_JSON = 19 };
enum { L_STRING = 1, L_MAP, L_LIST, L_ENUM, L_DECIMAL, L_INTEGER = 10, L_JSON = 12,
       L_FLOAT16 = 15 };

struct builder {
    const struct sea_pq_footer *footer;
    struct sea_arena *arena;
    struct sea_pq_file *out;
    int64_t next;
    const char *wrong;
};

static enum sea_pq_kind
leaf_kind(const struct sea_pq_element *e)
{
    bool decimal = e->converted == C_DECIMAL || e->logical == L_DECIMAL;

    switch (e->type) {
    case SEA_PQ_BOOLEAN:
        return SEA_PQ_BOOL;
    case SEA_PQ_INT32: case SEA_PQ_INT64:
        if (decimal)
            return SEA_PQ_DECIMAL;
        return (e->converted >= C_UINT_8 && e->converted <= C_UINT_64) ||
                       (e->logical == L_INTEGER && !e->is_signed) ? SEA_PQ_UINT : SEA_PQ_INT;
    case SEA_PQ_INT96:
        return SEA_PQ_NANOSECONDS;
    case SEA_PQ_FLOAT: case SEA_PQ_DOUBLE:
        return SEA_PQ_REAL;
    default:
        if (decimal)
            return SEA_PQ_DECIMAL;
        if (e->logical == L_FLOAT16 && e->type == SEA_PQ_FIXED && e->width == 2)
            return SEA_PQ_HALF;
        return e->converted == C_UTF8 || e->converted == C_ENUM || e->converted == C_JSON ||
                       e->logical == L_STRING || e->logical == L_ENUM || e->logical == L_JSON
                   ? SEA_PQ_TEXT : SEA_PQ_BINARY;
    }
}

/* Bytes called after a picture, at the top or in a list. */
static bool
has_picture_name(const struct sea_pq_field *field)
{
    static const char *const names[] = { "image", "img", "picture", "jpg", "jpeg", "png", "webp" };

    for (; field->parent; field = field->parent) {
        if (field->kind == SEA_PQ_STRUCT && field->leaf < 0 &&
            field->repetition != SEA_PQ_REPEATED)
            return false;
        for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
            if (strncasecmp(field->name, names[i], strlen(names[i])) == 0)
                return true;
    }
    return false;
}

/* The hub's pictures are {"bytes", "path"}. */
static void
mark_pictures(struct sea_pq_file *file)
{
    for (int i = 0; i < file->leaves_count; i++) {
        struct sea_pq_field *leaf = file->leaves[i], *other;

        if (leaf->kind != SEA_PQ_BINARY || leaf->type != SEA_PQ_BYTES)
            continue;
        leaf->is_picture = has_picture_name(leaf);
        if (strcmp(leaf->name, "bytes") == 0)
            for (other = leaf->parent->first; other; other = other->next)
                leaf->is_picture |= strcmp(other->name, "path") == 0;
    }
}

static void
build_leaf(struct builder *b, const struct sea_pq_element *e, struct sea_pq_field *field)
{
    if (e->type < 0 || e->type > SEA_PQ_FIXED) {
        b->wrong = "a column has an unknown type";
        return;
    }
    if (e->type == SEA_PQ_FIXED && (e->width < 1 || e->width > 1 << 20)) {
        b->wrong = "a column of fixed length is not 1 to 1048576 bytes wide";
        return;
    }
    field->type = (enum sea_pq_type)e->type;
    field->kind = leaf_kind(e);
    field->width = e->type == SEA_PQ_FIXED ? (int)e->width : 0;
    field->scale = e->scale > 0 && e->scale < 1000 ? (int)e->scale : 0;
    field->leaf = b->out->leaves_count;
    b->out->leaves[b->out->leaves_count++] = field;
}

static bool
is_list(const struct sea_pq_element *e, const struct sea_pq_field *field)
{
    return (e->converted == C_LIST || e->logical == L_LIST) && field->count == 1 &&
           field->first->repetition == SEA_PQ_REPEATED;
}

static bool
is_map(const struct sea_pq_element *e, const struct sea_pq_field *field)
{
    return (e->converted == C_MAP || e->converted == C_MAP_KEY_VALUE || e->logical == L_MAP) &&
           field->count == 1 && field->first->repetition == SEA_PQ_REPEATED;
}

static void build_field(struct builder *b, struct sea_pq_field *parent, int depth);

static void
build_children(struct builder *b, const struct sea_pq_element *e, struct sea_pq_field *field,
               int depth)
{
    for (int64_t i = 0; i < e->children && !b->wrong; i++) {
        build_field(b, field, depth + 1);
        for (struct sea_pq_field *other = field->first; other && other != field->last;
             other = other->next)
            if (strcmp(other->name, field->last->name) == 0)
                b->wrong = "two columns of one group have the same name";
    }
}

static void
build_field(struct builder *b, struct sea_pq_field *parent, int depth)
{
    struct sea_pq_field *field = sea_arena_alloc(b->arena, 1, sizeof(*field));
    const struct sea_pq_element *e = &b->footer->elements[b->next];

    if (b->next >= b->footer->elements_count || depth > SEA_PQ_DEPTH_MAX) {
        b->wrong = depth > SEA_PQ_DEPTH_MAX ? "the schema is nested more than 32 deep"
                                            : "the schema ends too early";
        return;
    }
    b->next++;
    *field = (struct sea_pq_field){ .name = e->name, .parent = parent, .leaf = -1,
                                    .first_leaf = b->out->leaves_count };
    if (parent) {
        if (e->repetition < SEA_PQ_REQUIRED || e->repetition > SEA_PQ_REPEATED) {
            b->wrong = "a column does not say whether it is optional or repeated";
            return;
        }
        field->repetition = (enum sea_pq_repetition)e->repetition;
        field->max_def = parent->max_def + (e->repetition != SEA_PQ_REQUIRED);
        field->max_rep = parent->max_rep + (e->repetition == SEA_PQ_REPEATED);
        parent->count++;
        if (parent->last)
            parent->last->next = field;
        else
            parent->first = field;
        parent->last = field;
    } else {
        b->out->root = field;
    }
    if (sea_pq_valid_length((const unsigned char *)e->name, strlen(e->name)) != strlen(e->name)) {
        b->wrong = "the name of a column is not UTF-8";
    } else if (parent && e->children <= 0 && e->type >= 0) {
        build_leaf(b, e, field);
    } else if (e->children <= 0 || e->type >= 0) {
        b->wrong = "a group of the schema has no columns";
    } else {
        build_children(b, e, field, depth);
        if (!b->wrong && parent && is_list(e, field))
            field->kind = SEA_PQ_LIST;
        else if (!b->wrong && parent && is_map(e, field))
            field->kind = SEA_PQ_MAP;
    }
    field->leaves = b->out->leaves_count - field->first_leaf;
}

const char *
sea_pq_schema_build(const struct sea_pq_footer *footer, struct sea_arena *arena,
                    struct sea_pq_file *out)
{
    struct builder b = { .footer = footer, .arena = arena, .out = out };

    out->leaves = sea_arena_alloc(arena, (size_t)footer->elements_count + 1, sizeof(*out->leaves));
    build_field(&b, NULL, 0);
    if (!b.wrong && b.next != footer->elements_count)
        b.wrong = "the schema has elements that belong to nothing";
    if (!b.wrong)
        mark_pictures(out);
    return b.wrong;
}

/* ---- for people ---- */

const char *
sea_pq_field_path(const struct sea_pq_field *field, struct sea_arena *arena)
{
    if (!field->parent || !field->parent->parent)
        return field->name;
    return sea_arena_printf(arena, "%s.%s", sea_pq_field_path(field->parent, arena), field->name);
}

const char *
sea_pq_type_name(const struct sea_pq_field *leaf)
{
    static const char *const physical[] = { "boolean", "int32", "int64", "int96", "float",
                                            "double", "bytes", "bytes of fixed length" };

    if (leaf->is_picture)
        return "picture";
    switch (leaf->kind) {
    case SEA_PQ_TEXT:
        return "text";
    case SEA_PQ_DECIMAL:
        return "decimal";
    case SEA_PQ_HALF:
        return "half";
    case SEA_PQ_UINT:
        return leaf->type == SEA_PQ_INT32 ? "uint32" : "uint64";
    default:
        return physical[leaf->type];
    }
}
