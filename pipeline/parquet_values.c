/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_values.c - what stands inside a page: levels and values, in each encoding
 *
 * Everything is decoded one value at a time, so that a count which the page does not bear out
 * costs nothing. All numbers are little-endian; bits are taken from the low end of bytes.
 */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "pipeline/parquet_int.h"

#define LAST_BYTES_MAX ((size_t)256 << 20)
#define DICTIONARY_MAX ((int64_t)1 << 24)       /* entries; writers stop at a MiB or so */
#define JULIAN_1970 2440588
#define DAY_NANOSECONDS 86400000000000u

enum { PLAIN = 0, PLAIN_DICTIONARY = 2, RLE = 3, DELTA_INTS = 5, DELTA_LENGTHS = 6,
       DELTA_BYTES = 7, DICTIONARY = 8, SPLIT_BYTES = 9 };

static uint32_t
load32(const unsigned char *at)
{
    return (uint32_t)at[0] | (uint32_t)at[1] << 8 | (uint32_t)at[2] << 16 | (uint32_t)at[3] << 24;
}

static uint64_t
load64(const unsigned char *at)
{
    return (uint64_t)load32(at) | (uint64_t)load32(at + 4) << 32;
}

/* width bits from bit number `bit` on; the caller has checked that they are there. */
static uint64_t
load_bits(const unsigned char *at, uint64_t bit, int width)
{
    uint64_t value = 0;
    int have = 0;

    at += bit / 8;
    bit %= 8;
    while (have < width) {
        value |= (uint64_t)(*at++ >> bit) << have;
        have += 8 - (int)bit;
        bit = 0;
    }
    return width < 64 ? value & ((UINT64_C(1) << width) - 1) : value;
}

static bool
take_varint(const unsigned char **at, const unsigned char *end, uint64_t *out)
{
    *out = 0;
    for (int shift = 0; shift < 64 && *at < end; shift += 7) {
        unsigned char byte = *(*at)++;

        *out |= (uint64_t)(byte & 0x7F) << shift;
        if (!(byte & 0x80))
            return true;
    }
    return false;
}

/* ---- runs and packed groups ---- */

int
sea_pq_bits_width(int64_t most)
{
    int width = 0;

    while (most > 0) {
        width++;
        most >>= 1;
    }
    return width;
}

void
sea_pq_bits_init(struct sea_pq_bits *b, const unsigned char *bytes, size_t n, int width)
{
    *b = (struct sea_pq_bits){ .at = bytes, .end = bytes + n, .width = width };
}

static bool
next_run(struct sea_pq_bits *b)
{
    uint64_t header, bytes;

    if (!take_varint(&b->at, b->end, &header))
        return false;
    b->left = header >> 1;
    if (header & 1) {           /* groups of eight; the last ones may be cut off */
        if (b->left > UINT64_MAX / 64 / 32)
            return false;
        bytes = b->left * (uint64_t)b->width;
        b->left *= 8;
        b->run = b->at;
        b->bit = 0;
        if (bytes > (uint64_t)(b->end - b->at)) {
            bytes = (uint64_t)(b->end - b->at);
            b->left = bytes * 8 / (uint64_t)b->width;
        }
        b->at += bytes;
        return true;
    }
    bytes = (uint64_t)(b->width + 7) / 8;
    if (bytes > (uint64_t)(b->end - b->at))
        return false;
    b->run = NULL;
    b->value = bytes ? (uint32_t)load_bits(b->at, 0, (int)bytes * 8) : 0;
    b->at += bytes;
    return true;
}

bool
sea_pq_bits_next(struct sea_pq_bits *b, uint32_t *value)
{
    if (b->width == 0) {
        *value = 0;
        return true;
    }
    while (b->left == 0)
        if (!next_run(b))
            return false;
    b->left--;
    if (b->run) {
        *value = (uint32_t)load_bits(b->run, b->bit, b->width);
        b->bit += (uint64_t)b->width;
    } else {
        *value = b->value;
    }
    return true;
}

/* ---- differences ---- */

static bool
take_signed(struct sea_pq_delta *d, uint64_t *out)
{
    uint64_t value;

    if (!take_varint(&d->at, d->end, &value))
        return false;
    *out = value >> 1 ^ (0 - (value & 1));
    return true;
}

static bool
delta_begin(struct sea_pq_delta *d, const unsigned char *at, const unsigned char *end,
            int64_t count)
{
    uint64_t block;

    *d = (struct sea_pq_delta){ .at = at, .end = end };
    if (!take_varint(&d->at, end, &block) || !take_varint(&d->at, end, &d->minis) ||
        !take_varint(&d->at, end, &d->left) || !take_signed(d, &d->value))
        return false;
    if (block == 0 || block > 1 << 24 || d->minis == 0 || d->minis > block ||
        block % (d->minis * 8) != 0 || d->left > (uint64_t)count)
        return false;
    d->mini_size = block / d->minis;
    d->mini = d->minis;
    return true;
}

static bool
next_mini(struct sea_pq_delta *d)
{
    uint64_t bytes;

    if (d->mini == d->minis) {
        if (!take_signed(d, &d->least) || d->minis > (uint64_t)(d->end - d->at))
            return false;
        d->widths = d->at;
        d->at += d->minis;
        d->mini = 0;
    }
    d->width = d->widths[d->mini++];
    bytes = d->mini_size / 8 * (uint64_t)d->width;
    if (d->width > 64 || bytes > (uint64_t)(d->end - d->at))
        return false;
    d->packed = d->at;
    d->at += bytes;
    d->bit = 0;
    d->in_mini = d->mini_size;
    return true;
}

static bool
delta_next(struct sea_pq_delta *d, uint64_t *out)
{
    if (d->left == 0)
        return false;
    if (d->is_begun) {
        if (d->in_mini == 0 && !next_mini(d))
            return false;
        d->value += d->least + load_bits(d->packed, d->bit, d->width);
        d->bit += (uint64_t)d->width;
        d->in_mini--;
    }
    d->is_begun = true;
    d->left--;
    *out = d->value;
    return true;
}

/* Where the block of differences ends: behind its last value. */
static const unsigned char *
delta_end(struct sea_pq_delta d)
{
    uint64_t ignored;

    while (d.left > 0)
        if (!delta_next(&d, &ignored))
            return NULL;
    return d.at;
}

/* ---- values ---- */

static size_t
fixed_width(const struct sea_pq_field *leaf)
{
    switch (leaf->type) {
    case SEA_PQ_INT32: case SEA_PQ_FLOAT:
        return 4;
    case SEA_PQ_INT64: case SEA_PQ_DOUBLE:
        return 8;
    case SEA_PQ_INT96:
        return 12;
    case SEA_PQ_FIXED:
        return (size_t)leaf->width;
    default:
        return 0;
    }
}

static void
set_value(const struct sea_pq_field *leaf, const unsigned char *at, struct sea_pq_value *out)
{
    uint32_t word;
    uint64_t wide;
    float real;

    switch (leaf->type) {
    case SEA_PQ_INT32:
        out->integer = (int32_t)load32(at);
        break;
    case SEA_PQ_INT64:
        out->integer = (int64_t)load64(at);
        break;
    case SEA_PQ_FLOAT:
        word = load32(at);
        memcpy(&real, &word, sizeof(real));
        out->real = (double)real;
        break;
    case SEA_PQ_DOUBLE:
        wide = load64(at);
        memcpy(&out->real, &wide, sizeof(out->real));
        break;
    case SEA_PQ_INT96:          /* nanoseconds of the day, then the Julian day */
        out->integer = (int64_t)(((uint64_t)load32(at + 8) - JULIAN_1970) * DAY_NANOSECONDS +
                                 load64(at));
        break;
    default:
        out->bytes = at;
        out->len = (size_t)leaf->width;
    }
}

static const char *
begin_delta_bytes(struct sea_pq_values *v, int64_t count)
{
    if (v->encoding == DELTA_BYTES) {
        if (!delta_begin(&v->prefixes, v->at, v->end, count))
            return "lengths of prefixes are damaged";
        v->at = delta_end(v->prefixes);
    }
    if (!v->at || !delta_begin(&v->ints, v->at, v->end, count))
        return "lengths of values are damaged";
    v->at = delta_end(v->ints);
    return v->at ? NULL : "lengths of values are damaged";
}

static bool
is_allowed(int64_t encoding, enum sea_pq_type type)
{
    switch (encoding) {
    case PLAIN: case PLAIN_DICTIONARY: case DICTIONARY:
        return true;
    case RLE:
        return type == SEA_PQ_BOOLEAN;
    case DELTA_INTS:
        return type == SEA_PQ_INT32 || type == SEA_PQ_INT64;
    case DELTA_LENGTHS:
        return type == SEA_PQ_BYTES;
    case DELTA_BYTES:
        return type == SEA_PQ_BYTES || type == SEA_PQ_FIXED;
    case SPLIT_BYTES:
        return type != SEA_PQ_BOOLEAN && type != SEA_PQ_BYTES && type != SEA_PQ_INT96;
    default:
        return false;
    }
}

const char *
sea_pq_values_begin(struct sea_pq_values *v, const struct sea_pq_field *leaf, int64_t encoding,
                    const unsigned char *bytes, size_t n, int64_t count,
                    const struct sea_pq_dictionary *dictionary)
{
    size_t width = fixed_width(leaf);

    v->leaf = leaf;
    v->encoding = encoding == PLAIN_DICTIONARY ? DICTIONARY : encoding;
    v->at = bytes;
    v->end = bytes + n;
    v->bit = v->index = v->count = 0;
    v->ints = v->prefixes = (struct sea_pq_delta){ 0 };
    v->last_len = 0;
    v->dictionary = dictionary;
    if (!is_allowed(encoding, leaf->type))
        return "a page's encoding is unknown, or not one for the column's type";
    if (n == 0)                 /* nothing but nulls */
        return NULL;
    switch (v->encoding) {
    case DICTIONARY:
        if (!dictionary->values)
            return "a page refers to a dictionary that is not there";
        if (bytes[0] > 32)
            return "numbers of dictionary entries have more than 32 bits";
        sea_pq_bits_init(&v->bits, bytes + 1, n - 1, bytes[0]);
        return NULL;
    case RLE:
        if (n < 4 || load32(bytes) > n - 4)
            return "a page of booleans is too short";
        sea_pq_bits_init(&v->bits, bytes + 4, load32(bytes), 1);
        return NULL;
    case DELTA_INTS:
        return delta_begin(&v->ints, bytes, v->end, count) ? NULL : "differences are damaged";
    case DELTA_LENGTHS: case DELTA_BYTES:
        return begin_delta_bytes(v, count);
    case SPLIT_BYTES:
        v->count = n / width;
        return n % width ? "a page of split bytes has a part of a value" : NULL;
    default:
        return NULL;
    }
}

void
sea_pq_values_end(struct sea_pq_values *v)
{
    free(v->last);
    *v = (struct sea_pq_values){ 0 };
}

static const char *
next_plain(struct sea_pq_values *v, struct sea_pq_value *out)
{
    size_t width = fixed_width(v->leaf), left = (size_t)(v->end - v->at);

    if (v->leaf->type == SEA_PQ_BOOLEAN) {
        if (v->bit / 8 >= left)
            return "a page has fewer values than it says";
        out->integer = v->at[v->bit / 8] >> v->bit % 8 & 1;
        v->bit++;
        return NULL;
    }
    if (v->leaf->type == SEA_PQ_BYTES) {
        if (left < 4 || load32(v->at) > left - 4)
            return "a value is longer than its page";
        out->len = load32(v->at);
        out->bytes = v->at + 4;
        v->at += 4 + out->len;
        return NULL;
    }
    if (left < width)
        return "a page has fewer values than it says";
    set_value(v->leaf, v->at, out);
    v->at += width;
    return NULL;
}

static const char *
next_split(struct sea_pq_values *v, struct sea_pq_value *out)
{
    size_t width = fixed_width(v->leaf);

    if (v->index == v->count)
        return "a page has fewer values than it says";
    if (v->last_room < width) {
        v->last = sea_xrealloc(v->last, width, 1);
        v->last_room = width;
    }
    for (size_t i = 0; i < width; i++)
        v->last[i] = v->at[i * v->count + v->index];
    v->index++;
    set_value(v->leaf, v->last, out);
    return NULL;
}

/* The value's own bytes, behind the first ones of the value before it. */
static const char *
next_delta_bytes(struct sea_pq_values *v, struct sea_pq_value *out)
{
    uint64_t prefix = 0, len;

    if (!delta_next(&v->ints, &len) || len > (uint64_t)(v->end - v->at) ||
        (v->encoding == DELTA_BYTES && !delta_next(&v->prefixes, &prefix)))
        return "a value is longer than its page, or one is lacking";
    if (prefix > v->last_len)
        return "a value shares more with the one before than that one has";
    out->bytes = v->at;
    out->len = (size_t)len;
    v->at += len;
    if (v->encoding == DELTA_BYTES) {
        size_t whole = (size_t)(prefix + len);

        if (whole > LAST_BYTES_MAX)
            return "a value is longer than 256 MiB";
        if (whole > v->last_room) {
            v->last = sea_xrealloc(v->last, 2 * whole, 1);
            v->last_room = 2 * whole;
        }
        if (len)
            memcpy(v->last + prefix, out->bytes, (size_t)len);
        v->last_len = out->len = whole;
        out->bytes = whole ? v->last : v->at;
    }
    if (v->leaf->type == SEA_PQ_FIXED && out->len != (size_t)v->leaf->width)
        return "a value has another length than its column says";
    return NULL;
}

const char *
sea_pq_values_next(struct sea_pq_values *v, struct sea_pq_value *out)
{
    uint64_t number;
    uint32_t index;

    switch (v->encoding) {
    case DICTIONARY:
        if (v->end == v->at || !sea_pq_bits_next(&v->bits, &index))
            return "a page has fewer values than it says";
        if (index >= v->dictionary->count)
            return "a page refers to an entry that its dictionary does not have";
        *out = v->dictionary->values[index];
        return NULL;
    case RLE:
        if (v->end == v->at || !sea_pq_bits_next(&v->bits, &index))
            return "a page has fewer values than it says";
        out->integer = index & 1;
        return NULL;
    case DELTA_INTS:
        if (!delta_next(&v->ints, &number))
            return "a page has fewer values than it says";
        out->integer = v->leaf->type == SEA_PQ_INT32 ? (int32_t)(uint32_t)number
                                                     : (int64_t)number;
        return NULL;
    case DELTA_LENGTHS: case DELTA_BYTES:
        return next_delta_bytes(v, out);
    case SPLIT_BYTES:
        return next_split(v, out);
    default:
        return next_plain(v, out);
    }
}

const char *
sea_pq_dictionary_read(struct sea_pq_dictionary *dictionary, const struct sea_pq_field *leaf,
                       const unsigned char *bytes, size_t n, int64_t count)
{
    struct sea_pq_values v = { 0 };
    size_t least = leaf->type == SEA_PQ_BYTES ? 4 : fixed_width(leaf);
    const char *wrong;

    if (leaf->type == SEA_PQ_BOOLEAN || least == 0)
        return "a column of this type cannot have a dictionary";
    if (count < 0 || (uint64_t)count > n / least)
        return "a dictionary has fewer entries than it says";
    if (count > DICTIONARY_MAX)
        return "a dictionary has more than 16777216 entries";
    wrong = sea_pq_values_begin(&v, leaf, PLAIN, bytes, n, count, NULL);
    dictionary->values = sea_xcalloc((size_t)count + 1, sizeof(*dictionary->values));
    dictionary->count = (size_t)count;
    for (size_t i = 0; i < dictionary->count && !wrong; i++)
        wrong = sea_pq_values_next(&v, &dictionary->values[i]);
    return wrong;
}
