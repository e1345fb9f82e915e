/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_meta.c - footer and page headers of Parquet files
 *
 * Both are structs of Thrift's compact protocol: fields with a number and a type, whole numbers
 * as variable-length ones. Fields that we do not need are skipped by their type. No size is
 * believed: lists can have no more elements than there are bytes left.
 */
#include <string.h>

#include "pipeline/parquet_int.h"

#define NESTING_MAX 24

enum { T_STOP, T_TRUE, T_FALSE, T_BYTE, T_I16, T_I32, T_I64, T_DOUBLE, T_BINARY, T_LIST, T_SET,
       T_MAP, T_STRUCT };

struct thrift {
    const unsigned char *at, *end;
    bool is_bad;                /* once set, everything read is 0 */
};

static void
give_up(struct thrift *t)
{
    t->is_bad = true;
    t->at = t->end;
}

static int
take_byte(struct thrift *t)
{
    if (t->at < t->end)
        return *t->at++;
    give_up(t);
    return 0;
}

static uint64_t
take_number(struct thrift *t)
{
    uint64_t value = 0;

    for (int shift = 0; shift < 64; shift += 7) {
        int byte = take_byte(t);

        value |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return t->is_bad ? 0 : value;
    }
    give_up(t);
    return 0;
}

static int64_t
take_int(struct thrift *t)
{
    uint64_t value = take_number(t);

    return (int64_t)(value >> 1 ^ (0 - (value & 1)));
}

static void
drop(struct thrift *t, uint64_t n)
{
    if (n > (uint64_t)(t->end - t->at))
        give_up(t);
    else
        t->at += n;
}

/* The next field of a struct; false at its end. *id is that of the field before. */
static bool
next_field(struct thrift *t, int *id, int *type)
{
    int byte = take_byte(t), delta = byte >> 4;

    *type = byte & 15;
    if (t->is_bad || *type == T_STOP)
        return false;
    *id = delta ? *id + delta : (int)(int16_t)take_int(t);
    return !t->is_bad;
}

static uint64_t
list_header(struct thrift *t, int *type)
{
    int byte = take_byte(t);
    uint64_t n = (uint64_t)byte >> 4;

    *type = byte & 15;
    if (n == 15)
        n = take_number(t);
    if (n > (uint64_t)(t->end - t->at))
        give_up(t);
    return t->is_bad ? 0 : n;
}

static void skip(struct thrift *t, int type, int depth);

static void
skip_elements(struct thrift *t, int key, int value, uint64_t n, int depth)
{
    for (; n > 0 && !t->is_bad; n--) {
        if (key)
            skip(t, key, depth);
        if (value == T_TRUE || value == T_FALSE)
            take_byte(t);       /* inside lists a boolean is a byte */
        else
            skip(t, value, depth);
    }
}

static void
skip(struct thrift *t, int type, int depth)
{
    int id = 0, value;
    uint64_t n;

    if (depth > NESTING_MAX) {
        give_up(t);
        return;
    }
    switch (type) {
    case T_TRUE: case T_FALSE:
        break;
    case T_BYTE:
        take_byte(t);
        break;
    case T_I16: case T_I32: case T_I64:
        take_number(t);
        break;
    case T_DOUBLE:
        drop(t, 8);
        break;
    case T_BINARY:
        drop(t, take_number(t));
        break;
    case T_LIST: case T_SET:
        n = list_header(t, &value);
        skip_elements(t, 0, value, n, depth + 1);
        break;
    case T_MAP:
        n = take_number(t);
        value = n ? take_byte(t) : 0;
        if (n > (uint64_t)(t->end - t->at))
            give_up(t);
        else
            skip_elements(t, value >> 4, value & 15, n, depth + 1);
        break;
    case T_STRUCT:
        while (next_field(t, &id, &value))
            skip(t, value, depth + 1);
        break;
    default:
        give_up(t);
    }
}

/* A whole number of any size, or what stands there is skipped and the file refused. */
static int64_t
int_field(struct thrift *t, int type)
{
    if (type == T_I32 || type == T_I64 || type == T_I16)
        return take_int(t);
    if (type == T_BYTE)
        return (int8_t)take_byte(t);
    give_up(t);
    return 0;
}

static bool
begins_struct(struct thrift *t, int type)
{
    if (type != T_STRUCT)
        give_up(t);
    return type == T_STRUCT;
}

static const char *
text_field(struct thrift *t, int type, struct sea_arena *arena)
{
    uint64_t n = type == T_BINARY ? take_number(t) : 0;
    const unsigned char *text = t->at;

    if (type != T_BINARY)
        give_up(t);
    drop(t, n);
    return t->is_bad ? "" : sea_arena_strndup(arena, (const char *)text, (size_t)n);
}

/* ---- footer ---- */

/* LogicalType is a union: the number of its one field is the type. */
static void
read_logical(struct thrift *t, struct sea_pq_element *e)
{
    int id = 0, type;

    while (next_field(t, &id, &type)) {
        int inner = 0, kind;

        e->logical = id;
        if (!begins_struct(t, type))
            return;
        while (next_field(t, &inner, &kind)) {
            if (id == 5 && inner == 1)          /* DECIMAL: scale */
                e->scale = int_field(t, kind);
            else if (id == 10 && inner == 2)    /* INTEGER: isSigned */
                e->is_signed = kind == T_TRUE;
            else
                skip(t, kind, 0);
        }
    }
}

static void
read_element(struct thrift *t, struct sea_arena *arena, struct sea_pq_element *e)
{
    int id = 0, type;

    *e = (struct sea_pq_element){ .name = "", .type = -1, .width = -1, .repetition = -1,
                                  .children = -1, .converted = -1, .logical = -1,
                                  .is_signed = true };
    while (next_field(t, &id, &type)) {
        switch (id) {
        case 1: e->type = int_field(t, type); break;
        case 2: e->width = int_field(t, type); break;
        case 3: e->repetition = int_field(t, type); break;
        case 4: e->name = text_field(t, type, arena); break;
        case 5: e->children = int_field(t, type); break;
        case 6: e->converted = int_field(t, type); break;
        case 7: e->scale = int_field(t, type); break;
        case 10:
            if (begins_struct(t, type))
                read_logical(t, e);
            break;
        default: skip(t, type, 0);
        }
    }
}

static void
read_chunk_meta(struct thrift *t, struct sea_pq_chunk *chunk)
{
    int64_t data = -1, dictionary = -1;
    int id = 0, type;

    while (next_field(t, &id, &type)) {
        switch (id) {
        case 1: chunk->type = int_field(t, type); break;
        case 4: chunk->codec = int_field(t, type); break;
        case 5: chunk->values = int_field(t, type); break;
        case 7: chunk->bytes = int_field(t, type); break;
        case 9: data = int_field(t, type); break;
        case 11: dictionary = int_field(t, type); break;
        default: skip(t, type, 0);
        }
    }
    /* Some writers leave a 0 where there is no dictionary. */
    chunk->start = dictionary > 0 && dictionary < data ? dictionary : data;
}

static const char *
read_chunk(struct thrift *t, struct sea_pq_chunk *chunk)
{
    const char *wrong = "a column chunk has no metadata";
    int id = 0, type;

    *chunk = (struct sea_pq_chunk){ .codec = -1, .type = -1, .start = -1, .bytes = -1,
                                    .values = -1 };
    while (next_field(t, &id, &type)) {
        if (id == 3 && begins_struct(t, type)) {
            read_chunk_meta(t, chunk);
            wrong = NULL;
        } else if (id == 1) {
            return "a column chunk lies in another file";
        } else if (id == 8 || id == 9) {
            return "a column is encrypted";
        } else {
            skip(t, type, 0);
        }
    }
    return wrong;
}

static const char *
read_group(struct thrift *t, struct sea_arena *arena, struct sea_pq_group *group)
{
    const char *wrong = NULL;
    int id = 0, type, element;

    group->rows = -1;
    while (!wrong && next_field(t, &id, &type)) {
        if (id == 1 && type == T_LIST) {
            group->chunks_count = (int64_t)list_header(t, &element);
            if (group->chunks_count > SEA_PQ_FIELDS_MAX)
                return "a row group has more than 10000 columns";
            group->chunks = sea_arena_alloc(arena, (size_t)group->chunks_count + 1,
                                            sizeof(*group->chunks));
            for (int64_t i = 0; i < group->chunks_count && !wrong && begins_struct(t, element); i++)
                wrong = read_chunk(t, &group->chunks[i]);
        } else if (id == 3) {
            group->rows = int_field(t, type);
        } else {
            skip(t, type, 0);
        }
    }
    return wrong;
}

static const char *
read_groups(struct thrift *t, struct sea_arena *arena, struct sea_pq_footer *out)
{
    const char *wrong = NULL;
    int element;

    out->groups_count = (int64_t)list_header(t, &element);
    if (out->groups_count > SEA_PQ_GROUPS_MAX)
        return "there are more than a million row groups";
    out->groups = sea_arena_alloc(arena, (size_t)out->groups_count + 1, sizeof(*out->groups));
    for (int64_t i = 0; i < out->groups_count && !wrong && begins_struct(t, element); i++)
        wrong = read_group(t, arena, &out->groups[i]);
    return wrong;
}

const char *
sea_pq_footer_parse(const unsigned char *bytes, size_t n, struct sea_arena *arena,
                    struct sea_pq_footer *out)
{
    struct thrift t = { bytes, bytes + n, false };
    const char *wrong = NULL;
    int id = 0, type, element;

    *out = (struct sea_pq_footer){ .rows = -1 };
    while (!wrong && next_field(&t, &id, &type)) {
        if (id == 2 && type == T_LIST && !out->elements) {
            out->elements_count = (int64_t)list_header(&t, &element);
            if (out->elements_count > SEA_PQ_FIELDS_MAX)
                return "the schema has more than 10000 elements";
            out->elements = sea_arena_alloc(arena, (size_t)out->elements_count + 1,
                                            sizeof(*out->elements));
            for (int64_t i = 0; i < out->elements_count && begins_struct(&t, element); i++)
                read_element(&t, arena, &out->elements[i]);
        } else if (id == 3) {
            out->rows = int_field(&t, type);
        } else if (id == 4 && type == T_LIST && !out->groups) {
            wrong = read_groups(&t, arena, out);
        } else if (id == 8) {
            wrong = "the file is encrypted";
        } else {
            skip(&t, type, 0);
        }
    }
    if (!wrong && t.is_bad)
        wrong = "the footer is damaged";
    if (!wrong && (!out->elements || !out->groups || out->rows < 0))
        wrong = "the footer lacks the schema, the row groups or the number of rows";
    return wrong;
}

/* ---- page headers ---- */

/* Of a data page of version 1, or (which has no levels) of a dictionary. */
static void
read_data_header(struct thrift *t, struct sea_pq_page *page, bool has_levels)
{
    int id = 0, type;

    while (next_field(t, &id, &type)) {
        if (id == 1)
            page->values = int_field(t, type);
        else if (id == 2)
            page->encoding = int_field(t, type);
        else if (id == 3 && has_levels)
            page->def_encoding = int_field(t, type);
        else if (id == 4 && has_levels)
            page->rep_encoding = int_field(t, type);
        else
            skip(t, type, 0);
    }
}

static void
read_data_header_2(struct thrift *t, struct sea_pq_page *page)
{
    int id = 0, type;

    while (next_field(t, &id, &type)) {
        switch (id) {
        case 1: page->values = int_field(t, type); break;
        case 4: page->encoding = int_field(t, type); break;
        case 5: page->def_bytes = int_field(t, type); break;
        case 6: page->rep_bytes = int_field(t, type); break;
        case 7: page->is_packed = type == T_TRUE; break;
        default: skip(t, type, 0);
        }
    }
}

const char *
sea_pq_page_parse(const unsigned char *bytes, size_t n, struct sea_pq_page *out, size_t *used)
{
    struct thrift t = { bytes, bytes + n, false };
    int id = 0, type;

    *out = (struct sea_pq_page){ .type = -1, .unpacked = -1, .packed = -1, .values = -1,
                                 .encoding = -1, .def_encoding = -1, .rep_encoding = -1,
                                 .def_bytes = -1, .rep_bytes = -1, .is_packed = true };
    while (next_field(&t, &id, &type)) {
        switch (id) {
        case 1: out->type = int_field(&t, type); break;
        case 2: out->unpacked = int_field(&t, type); break;
        case 3: out->packed = int_field(&t, type); break;
        case 4:
            out->crc = int_field(&t, type);
            out->has_crc = true;
            break;
        case 5: case 7:
            if (begins_struct(&t, type))
                read_data_header(&t, out, id == 5);
            break;
        case 8:
            if (begins_struct(&t, type))
                read_data_header_2(&t, out);
            break;
        default: skip(&t, type, 0);
        }
    }
    *used = (size_t)(t.at - bytes);
    if (t.is_bad)
        return "a page header is damaged";
    if (out->type < 0 || out->unpacked < 0 || out->packed < 0)
        return "a page header lacks its type or its sizes";
    return NULL;
}
