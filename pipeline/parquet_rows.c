/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_rows.c - rows from the entries of their columns
 *
 * The schema is walked for every row. At each field the first column below it says by its
 * definition level whether the field is there, and by its repetition level whether a list goes
 * on; all other columns below must agree, else the file is damaged. A picture's bytes are not
 * read: the column beside them says whether there is one.
 */
#include <math.h>
#include <string.h>

#include "engine/base/sea_base64.h"
#include "pipeline/parquet_int.h"

#define DECIMAL_BYTES_MAX 32
/* A run of a billion entries of a list, or as many times one value of a dictionary, cost their
 * writer a few bytes. */
#define ROW_ENTRIES_MAX ((int64_t)1 << 22)
#define ROW_BYTES_MAX ((size_t)1 << 30)

struct walk {
    struct sea_pq_rows *rows;
    struct sea_arena *arena;
    struct sea_err *err;
};

void
sea_pq_rows_choose(struct sea_pq_rows *rows)
{
    for (int i = 0; i < rows->file->leaves_count; i++) {
        const struct sea_pq_field *leaf = rows->file->leaves[i], *other;

        rows->wanted[i] = true;
        if (!leaf->is_picture)
            continue;
        for (other = leaf->parent->first; other; other = other->next)
            if (leaf->repetition != SEA_PQ_REPEATED && other->leaf >= 0 && !other->is_picture &&
                other->repetition != SEA_PQ_REPEATED && leaf->parent->parent)
                rows->wanted[i] = false;
    }
}

/* The first column below a field that is read; -1: none. */
static int
probe(const struct walk *w, const struct sea_pq_field *field)
{
    for (int i = field->first_leaf; i < field->first_leaf + field->leaves; i++)
        if (w->rows->wanted[i])
            return i;
    return -1;
}

static enum sea_status
disagree(const struct walk *w, int leaf)
{
    return sea_pq_column_fail(&w->rows->columns[leaf], w->err,
                              "row %lld: its levels do not fit those of the columns beside it",
                              (long long)w->rows->row);
}

static enum sea_status
take(const struct walk *w, int leaf, struct sea_pq_value *value)
{
    w->rows->taken[leaf]++;
    if (++w->rows->entries > ROW_ENTRIES_MAX)
        return sea_pq_column_fail(&w->rows->columns[leaf], w->err,
                                  "row %lld has more than %lld entries",
                                  (long long)w->rows->row, (long long)ROW_ENTRIES_MAX);
    return sea_pq_column_take(&w->rows->columns[leaf], value, w->err);
}

/* Takes the one entry that each column below a field has for what is not there. */
static enum sea_status
pass(const struct walk *w, const struct sea_pq_field *field, int rep, int def)
{
    enum sea_status status = SEA_OK;

    for (int i = field->first_leaf; i < field->first_leaf + field->leaves && !status; i++) {
        int r, d;

        if (!w->rows->wanted[i])
            continue;
        status = sea_pq_column_peek(&w->rows->columns[i], &r, &d, w->err);
        if (!status && (r != rep || d != def))
            status = disagree(w, i);
        if (!status)
            status = take(w, i, NULL);
    }
    return status;
}

/* ---- values ---- */

size_t
sea_pq_valid_length(const unsigned char *text, size_t n)
{
    size_t i = 0;

    while (i < n) {
        unsigned char c = text[i];
        size_t more = c < 0x80 ? 0 : c >= 0xC2 && c < 0xE0 ? 1 : (c & 0xF0) == 0xE0 ? 2
                      : c >= 0xF0 && c < 0xF5                                      ? 3
                                                                                   : n;

        if (more >= n - i)
            return i;
        for (size_t k = 1; k <= more; k++)
            if ((text[i + k] & 0xC0) != 0x80)
                return i;
        if ((c == 0xE0 && text[i + 1] < 0xA0) || (c == 0xED && text[i + 1] >= 0xA0) ||
            (c == 0xF0 && text[i + 1] < 0x90) || (c == 0xF4 && text[i + 1] >= 0x90))
            return i;
        i += more + 1;
    }
    return n;
}

static void
put_base64(const struct walk *w, struct sea_node *parent, const char *key,
           const unsigned char *bytes, size_t n)
{
    char *text = sea_arena_alloc(w->arena, sea_base64_length(n) + 1, 1);

    sea_base64_write(text, bytes, n);
    sea_node_put_textn(w->arena, parent, key, text, sea_base64_length(n));
}

/* A two's complement number, most significant byte first, as digits with a point. */
static void
put_decimal(const struct walk *w, struct sea_node *parent, const char *key,
            const unsigned char *bytes, size_t n, int scale)
{
    unsigned char work[DECIMAL_BYTES_MAX];
    char digits[DECIMAL_BYTES_MAX * 3 + 8];
    size_t count = 0;
    bool negative = n > 0 && bytes[0] & 0x80, more = true;
    int carry = negative;
    char *text;

    for (size_t i = n; i-- > 0;) {
        int byte = negative ? (unsigned char)~bytes[i] + carry : bytes[i];

        work[i] = (unsigned char)byte;
        carry = byte >> 8;
    }
    while (more) {
        unsigned rest = 0;

        more = false;
        for (size_t i = 0; i < n; i++) {
            rest = rest << 8 | work[i];
            work[i] = (unsigned char)(rest / 10);
            rest %= 10;
            more |= work[i] != 0;
        }
        digits[count++] = (char)('0' + rest);
    }
    text = sea_arena_alloc(w->arena, count + (size_t)scale + 4, 1);
    {
        char *to = text;

        if (negative)
            *to++ = '-';
        for (size_t i = count > (size_t)scale ? count : (size_t)scale + 1; i-- > 0;) {
            *to++ = i < count ? digits[i] : '0';
            if (scale > 0 && i == (size_t)scale)
                *to++ = '.';
        }
    }
    sea_node_put_text(w->arena, parent, key, text);
}

static double
half_value(const unsigned char *bytes)
{
    unsigned bits = (unsigned)bytes[0] | (unsigned)bytes[1] << 8;
    int exponent = bits >> 10 & 31;
    double fraction = bits & 0x3FF, value;

    if (exponent == 31)
        value = fraction > 0 ? (double)NAN : (double)INFINITY;
    else
        value = exponent ? ldexp(1024 + fraction, exponent - 25) : ldexp(fraction, -24);
    return bits >> 15 ? -value : value;
}

static enum sea_status
put_value(const struct walk *w, const struct sea_pq_field *leaf, struct sea_node *parent,
          const char *key, const struct sea_pq_value *value)
{
    unsigned char word[8];
    size_t good;

    switch (leaf->kind) {
    case SEA_PQ_BOOL:
        sea_node_put_bool(w->arena, parent, key, value->integer != 0);
        break;
    case SEA_PQ_INT: case SEA_PQ_NANOSECONDS:
        sea_node_put_int(w->arena, parent, key, value->integer);
        break;
    case SEA_PQ_UINT:
        if (leaf->type == SEA_PQ_INT32)
            sea_node_put_int(w->arena, parent, key, (int64_t)(uint32_t)value->integer);
        else if (value->integer >= 0)
            sea_node_put_int(w->arena, parent, key, value->integer);
        else                    /* no node holds it as a number */
            sea_node_put_text(w->arena, parent, key,
                              sea_arena_printf(w->arena, "%llu",
                                               (unsigned long long)value->integer));
        break;
    case SEA_PQ_REAL:
        sea_node_put_real(w->arena, parent, key, value->real);
        break;
    case SEA_PQ_HALF:
        sea_node_put_real(w->arena, parent, key, half_value(value->bytes));
        break;
    case SEA_PQ_DECIMAL:
        if (leaf->type == SEA_PQ_INT32 || leaf->type == SEA_PQ_INT64) {
            for (int i = 0; i < 8; i++)
                word[i] = (unsigned char)((uint64_t)value->integer >> (56 - 8 * i));
            put_decimal(w, parent, key, word, 8, leaf->scale);
        } else if (value->len <= DECIMAL_BYTES_MAX) {
            put_decimal(w, parent, key, value->bytes, value->len, leaf->scale);
        } else {
            return sea_pq_column_fail(&w->rows->columns[leaf->leaf], w->err,
                                      "row %lld: a decimal has %zu bytes, 32 can be read",
                                      (long long)w->rows->row, value->len);
        }
        break;
    default:
        if (value->len > ROW_BYTES_MAX - w->rows->bytes)
            return sea_pq_column_fail(&w->rows->columns[leaf->leaf], w->err,
                                      "row %lld has more than 1 GiB of values",
                                      (long long)w->rows->row);
        w->rows->bytes += value->len;
        good = sea_pq_valid_length(value->bytes, value->len);
        if (good == value->len)
            sea_node_put_textn(w->arena, parent, key, (const char *)value->bytes, value->len);
        else if (leaf->kind == SEA_PQ_BINARY)
            put_base64(w, parent, key, value->bytes, value->len);
        else
            return sea_pq_column_fail(&w->rows->columns[leaf->leaf], w->err,
                                      "row %lld: byte %zu of a text of %zu bytes is not UTF-8",
                                      (long long)w->rows->row, good, value->len);
    }
    return SEA_OK;
}

/* ---- fields ---- */

static enum sea_status build(const struct walk *w, const struct sea_pq_field *field,
                             struct sea_node *parent, const char *key, int rep);

/* Which entry of the row the picture is, for sea_parquet_picture. */
static void
put_picture(const struct walk *w, const struct sea_pq_field *leaf, struct sea_node *map,
            int64_t nth)
{
    sea_node_put_int(w->arena, map, SEA_PQ_PICTURE, (int64_t)leaf->leaf << 32 | nth);
}

static enum sea_status
build_leaf(const struct walk *w, const struct sea_pq_field *leaf, struct sea_node *parent,
           const char *key)
{
    struct sea_pq_value value = { 0 };
    enum sea_status status;

    if (leaf->is_picture) {     /* without a name beside it */
        struct sea_node *map = sea_node_put(w->arena, parent, key, SEA_NODE_MAP);

        put_picture(w, leaf, map, w->rows->taken[leaf->leaf]);
        return take(w, leaf->leaf, NULL);
    }
    status = take(w, leaf->leaf, &value);
    return status ? status : put_value(w, leaf, parent, key, &value);
}

/* How many of this struct the row has had so far: a plain column of it has one entry for each.
 * One is there wherever a picture is left alone (sea_pq_rows_choose). */
static int64_t
count_before(const struct walk *w, const struct sea_pq_field *field)
{
    for (const struct sea_pq_field *child = field->first; child; child = child->next)
        if (child->leaf >= 0 && child->repetition != SEA_PQ_REPEATED &&
            w->rows->wanted[child->leaf])
            return w->rows->taken[child->leaf];
    return 0;
}

static enum sea_status
build_struct(const struct walk *w, const struct sea_pq_field *field, struct sea_node *map, int rep)
{
    enum sea_status status = SEA_OK;
    int64_t nth = count_before(w, field);

    for (const struct sea_pq_field *child = field->first; child && !status; child = child->next) {
        if (child->is_picture && !w->rows->wanted[child->leaf])
            put_picture(w, child, map, nth);
        else
            status = build(w, child, map, child->name, rep);
    }
    return status;
}

/* What the entries of a repeated field are: of a list with three levels its one child. */
static const struct sea_pq_field *
element_of(const struct sea_pq_field *repeated)
{
    size_t n = strlen(repeated->name);

    if (repeated->parent->kind != SEA_PQ_LIST || repeated->count != 1 ||
        strcmp(repeated->name, "array") == 0 ||
        (n > 6 && strcmp(repeated->name + n - 6, "_tuple") == 0 &&
         strncmp(repeated->name, repeated->parent->name, n - 6) == 0))
        return repeated;
    return repeated->first;
}

static enum sea_status
build_elements(const struct walk *w, const struct sea_pq_field *repeated, struct sea_node *list,
               int rep)
{
    const struct sea_pq_field *element = element_of(repeated);
    int first = probe(w, repeated), r = rep, d;
    enum sea_status status = sea_pq_column_peek(&w->rows->columns[first], &r, &d, w->err);

    if (status)
        return status;
    if (d < repeated->max_def)
        return pass(w, repeated, rep, d);
    for (r = rep; !status; r = repeated->max_rep) {
        if (element != repeated)
            status = build(w, element, list, NULL, r);
        else if (repeated->leaf >= 0)
            status = build_leaf(w, repeated, list, NULL);
        else
            status = build_struct(w, repeated, sea_node_put(w->arena, list, NULL, SEA_NODE_MAP),
                                  r);
        if (!status)
            status = sea_pq_column_peek(&w->rows->columns[first], &r, &d, w->err);
        if (r != repeated->max_rep)
            break;
        if (!status && d < repeated->max_def)
            status = disagree(w, first);
    }
    return status;
}

static enum sea_status
build(const struct walk *w, const struct sea_pq_field *field, struct sea_node *parent,
      const char *key, int rep)
{
    int first = probe(w, field), r, d;
    enum sea_status status;
    struct sea_node *node;

    if (first < 0)
        return SEA_OK;
    status = sea_pq_column_peek(&w->rows->columns[first], &r, &d, w->err);
    if (status)
        return status;
    if (r < 0)
        return sea_pq_column_fail(&w->rows->columns[first], w->err,
                                  "it ends before row %lld", (long long)w->rows->row);
    if (r != rep || d < field->parent->max_def)
        return disagree(w, first);
    if (field->repetition == SEA_PQ_REPEATED)   /* a list without its outer group */
        return build_elements(w, field, sea_node_put(w->arena, parent, key, SEA_NODE_LIST), rep);
    if (d < field->max_def) {
        sea_node_put(w->arena, parent, key, SEA_NODE_NULL);
        return pass(w, field, rep, d);
    }
    if (field->leaf >= 0)
        return build_leaf(w, field, parent, key);
    node = sea_node_put(w->arena, parent, key,
                        field->kind == SEA_PQ_STRUCT ? SEA_NODE_MAP : SEA_NODE_LIST);
    return field->kind == SEA_PQ_STRUCT ? build_struct(w, field, node, rep)
                                        : build_elements(w, field->first, node, rep);
}

enum sea_status
sea_pq_rows_take(struct sea_pq_rows *rows, struct sea_arena *arena, struct sea_node **out,
                 struct sea_err *err)
{
    struct walk w = { rows, arena, err };

    *out = sea_node_put(arena, NULL, NULL, SEA_NODE_MAP);
    rows->entries = 0;
    rows->bytes = 0;
    memset(rows->taken, 0, (size_t)rows->file->leaves_count * sizeof(*rows->taken));
    return build_struct(&w, rows->file->root, *out, 0);
}

enum sea_status
sea_pq_rows_end(struct sea_pq_rows *rows, struct sea_err *err)
{
    enum sea_status status = SEA_OK;

    for (int i = 0; i < rows->file->leaves_count && !status; i++) {
        int rep, def;

        if (!rows->wanted[i])
            continue;
        status = sea_pq_column_peek(&rows->columns[i], &rep, &def, err);
        if (!status && rep >= 0)
            status = sea_pq_column_fail(&rows->columns[i], err,
                                        "it has more entries than the row group has rows");
    }
    return status;
}
