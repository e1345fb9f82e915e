/* SPDX-License-Identifier: Apache-2.0 */
/* Numbers of every dtype, and the writer. */
#include "engine/sea_safetensors.h"

#include <inttypes.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"

_Static_assert(sizeof(float) == 4 && sizeof(double) == 8, "IEEE numbers");
#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "safetensors data is little-endian, and is used as it lies"
#endif

/* ---- numbers ---- */

static uint32_t
bits_of(float value)
{
    uint32_t bits;

    memcpy(&bits, &value, sizeof(bits));
    return bits;
}

static float
float_of(uint32_t bits)
{
    float value;

    memcpy(&value, &bits, sizeof(value));
    return value;
}

uint16_t
sea_bf16_from_f32(float value)
{
    uint32_t bits = bits_of(value);

    if ((bits & 0x7FFFFFFFu) > 0x7F800000u)
        return (uint16_t)(bits >> 16 | 0x40u);
    return (uint16_t)((bits + 0x7FFFu + (bits >> 16 & 1u)) >> 16);
}

float
sea_bf16_to_f32(uint16_t bits)
{
    return float_of((uint32_t)bits << 16);
}

/* value = (-1)^sign * 2^(exponent - bias) * (1 + fraction), less when exponent is 0. */
static float
small_float(uint32_t bits, int exponent_bits, int fraction_bits)
{
    uint32_t fraction = bits & ((1u << fraction_bits) - 1);
    int bias = (1 << (exponent_bits - 1)) - 1;
    int exponent = (int)(bits >> fraction_bits & ((1u << exponent_bits) - 1));
    bool negative = bits >> (exponent_bits + fraction_bits) & 1u;
    float value;

    if (exponent)
        value = ldexpf((float)(fraction | 1u << fraction_bits), exponent - bias - fraction_bits);
    else
        value = ldexpf((float)fraction, 1 - bias - fraction_bits);
    return negative ? -value : value;
}

float
sea_f16_to_f32(uint16_t bits)
{
    uint32_t sign = (uint32_t)(bits & 0x8000u) << 16;

    if ((bits & 0x7C00u) == 0x7C00u)
        return float_of(sign | 0x7F800000u | (uint32_t)(bits & 0x3FFu) << 13);
    if (bits & 0x7C00u)         /* the common case: move the exponent's bias */
        return float_of(sign | (((uint32_t)(bits & 0x7FFFu) << 13) + (112u << 23)));
    return small_float(bits, 5, 10);
}

uint16_t
sea_f16_from_f32(float value)
{
    uint32_t bits = bits_of(value), sign = bits >> 16 & 0x8000u, rest = bits & 0x7FFFFFFFu;

    if (rest > 0x7F800000u)
        return (uint16_t)(sign | 0x7E00u | (rest >> 13 & 0x3FFu));
    if (rest >= 0x477FF000u)    /* 65520 and more round to infinity */
        return (uint16_t)(sign | 0x7C00u);
    if (rest >= 0x38800000u) {  /* a normal half */
        rest += 0xFFFu + (rest >> 13 & 1u);
        return (uint16_t)(sign | ((rest - (112u << 23)) >> 13));
    }
    /* Below 2^-14: units of 2^-24. Adding 0.5 rounds to them, ties to even. */
    return (uint16_t)(sign | (bits_of(float_of(rest) + 0.5f) - bits_of(0.5f)));
}

static float
f8_to_f32(unsigned char bits, bool e5m2)
{
    if (e5m2)
        return sea_f16_to_f32((uint16_t)(bits << 8));
    return (bits & 0x7Fu) == 0x7Fu ? NAN : small_float(bits, 4, 3);
}

static enum sea_status
check_read(const struct sea_tensor *tensor, int64_t from, int64_t count, struct sea_err *err)
{
    if (from >= 0 && count >= 0 && from <= tensor->count && count <= tensor->count - from)
        return SEA_OK;
    return sea_fail(err, SEA_E_INTERNAL,
                    "elements %" PRId64 " .. %" PRId64 " of tensor \"%s\", which has %" PRId64,
                    from, from + count, tensor->name, tensor->count);
}

enum sea_status
sea_tensor_read_f32(const struct sea_tensor *tensor, int64_t from, int64_t count, float *out,
                    struct sea_err *err)
{
    enum sea_status status = check_read(tensor, from, count, err);
    const unsigned char *data;
    uint16_t half;
    double wide;

    if (status)
        return status;
    data = tensor->data + (size_t)from * sea_dtype_bytes(tensor->dtype);
    switch (tensor->dtype) {
    case SEA_F32:
        if (count)
            memcpy(out, data, (size_t)count * sizeof(float));
        return SEA_OK;
    case SEA_F16:
        for (int64_t i = 0; i < count; i++, data += 2) {
            memcpy(&half, data, 2);
            out[i] = sea_f16_to_f32(half);
        }
        return SEA_OK;
    case SEA_BF16:
        for (int64_t i = 0; i < count; i++, data += 2) {
            memcpy(&half, data, 2);
            out[i] = sea_bf16_to_f32(half);
        }
        return SEA_OK;
    case SEA_F64:
        for (int64_t i = 0; i < count; i++, data += 8) {
            memcpy(&wide, data, 8);
            out[i] = (float)wide;
        }
        return SEA_OK;
    case SEA_F8_E5M2:
    case SEA_F8_E4M3:
        for (int64_t i = 0; i < count; i++)
            out[i] = f8_to_f32(data[i], tensor->dtype == SEA_F8_E5M2);
        return SEA_OK;
    default:
        sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" is %s, need a kind of float",
                 tensor->path, tensor->name, sea_dtype_name(tensor->dtype));
        sea_hint(err, "Quantised weights are not supported: use the model's bf16 or fp16 files.");
        return err->status;
    }
}

const void *
sea_tensor_raw(const struct sea_tensor *tensor, enum sea_dtype dtype, int64_t from,
               int64_t count)
{
    if (tensor->dtype != dtype || from < 0 || count < 0 || from > tensor->count ||
        count > tensor->count - from)
        return NULL;
    return tensor->data + (size_t)from * sea_dtype_bytes(dtype);
}

static bool
read_int(enum sea_dtype dtype, const unsigned char *data, int64_t *out)
{
    uint64_t bits = 0;

    memcpy(&bits, data, sea_dtype_bytes(dtype));
    switch (dtype) {
    case SEA_BOOL: case SEA_U8: case SEA_U16: case SEA_U32: case SEA_U64: case SEA_I64:
        *out = (int64_t)bits;
        return true;
    case SEA_I8:
        *out = (int64_t)(bits ^ 0x80) - 0x80;
        return true;
    case SEA_I16:
        *out = (int64_t)(bits ^ 0x8000) - 0x8000;
        return true;
    case SEA_I32:
        *out = (int64_t)(bits ^ 0x80000000u) - 0x80000000ll;
        return true;
    default:
        return false;
    }
}

enum sea_status
sea_tensor_read_i64(const struct sea_tensor *tensor, int64_t from, int64_t count, int64_t *out,
                    struct sea_err *err)
{
    enum sea_status status = check_read(tensor, from, count, err);
    size_t size = sea_dtype_bytes(tensor->dtype);

    for (int64_t i = 0; i < count && !status; i++)
        if (!read_int(tensor->dtype, tensor->data + (size_t)(from + i) * size, &out[i]))
            status = sea_fail(err, SEA_E_FORMAT, "\"%s\": tensor \"%s\" is %s, need integers",
                              tensor->path, tensor->name, sea_dtype_name(tensor->dtype));
    return status;
}

/* ---- writing ---- */

static size_t
item_bytes(const struct sea_tensor_item *item)
{
    size_t bytes = sea_dtype_bytes(item->dtype);

    for (int i = 0; i < item->rank; i++)
        bytes *= (size_t)item->shape[i];
    return bytes;
}

struct place {
    const struct sea_tensor_item *item;
    size_t order;
};

static int
by_width(const void *a, const void *b)
{
    const struct place *x = a, *y = b;
    size_t wide_x = sea_dtype_bytes(x->item->dtype), wide_y = sea_dtype_bytes(y->item->dtype);

    if (wide_x != wide_y)
        return wide_x > wide_y ? -1 : 1;
    return (x->order > y->order) - (x->order < y->order);
}

static int
by_item_name(const void *a, const void *b)
{
    return strcmp(((const struct place *)a)->item->name, ((const struct place *)b)->item->name);
}

/* places in order of the data; checks the names on the way. */
static enum sea_status
place_items(const struct sea_tensor_item *items, size_t count, struct place *places,
            struct sea_err *err)
{
    for (size_t i = 0; i < count; i++)
        places[i] = (struct place){ &items[i], i };
    qsort(places, count, sizeof(*places), by_item_name);
    for (size_t i = 0; i < count; i++) {
        const char *name = places[i].item->name;

        if (!strcmp(name, "__metadata__") || (i && !strcmp(name, places[i - 1].item->name)))
            return sea_fail(err, SEA_E_INTERNAL, "tensor name \"%s\" is taken already", name);
    }
    qsort(places, count, sizeof(*places), by_width);
    return SEA_OK;
}

static void
write_header(const struct place *places, size_t count, const struct sea_tensor_meta *metadata,
             size_t metadata_count, struct sea_buf *text)
{
    size_t at = 0, bytes;

    sea_buf_puts(text, "{");
    for (size_t i = 0; i < metadata_count; i++) {
        sea_buf_puts(text, i ? "," : "\"__metadata__\":{");
        sea_json_quote(text, metadata[i].key, strlen(metadata[i].key));
        sea_buf_puts(text, ":");
        sea_json_quote(text, metadata[i].text, strlen(metadata[i].text));
    }
    if (metadata_count)
        sea_buf_puts(text, count ? "}," : "}");
    for (size_t i = 0; i < count; i++) {
        const struct sea_tensor_item *item = places[i].item;

        bytes = item_bytes(item);
        sea_buf_puts(text, i ? "," : "");
        sea_json_quote(text, item->name, strlen(item->name));
        sea_buf_addf(text, ":{\"dtype\":\"%s\",\"shape\":[", sea_dtype_name(item->dtype));
        for (int d = 0; d < item->rank; d++)
            sea_buf_addf(text, "%s%" PRId64, d ? "," : "", item->shape[d]);
        sea_buf_addf(text, "],\"data_offsets\":[%zu,%zu]}", at, at + bytes);
        at += bytes;
    }
    sea_buf_puts(text, "}");
    while (text->len % 8)
        sea_buf_puts(text, " ");
}

static enum sea_status
write_item(struct sea_file_writer *writer, const struct sea_tensor_item *item,
           unsigned char *piece, struct sea_err *err)
{
    size_t bytes = item_bytes(item), n;
    enum sea_status status = SEA_OK;

    if (item->data)
        return sea_file_writer_add(writer, item->data, bytes, err);
    for (size_t at = 0; at < bytes && !status; at += n) {
        n = bytes - at < SEA_TENSOR_PIECE ? bytes - at : SEA_TENSOR_PIECE;
        status = item->fill(item->arg, at, piece, n, err);
        if (!status)
            status = sea_file_writer_add(writer, piece, n, err);
    }
    if (status)
        sea_context(err, "while writing tensor \"%s\"", item->name);
    return status;
}

enum sea_status
sea_tensors_write(const char *path, const struct sea_tensor_item *items, size_t count,
                  const struct sea_tensor_meta *metadata, size_t metadata_count,
                  struct sea_err *err)
{
    struct place *places = sea_xcalloc(count + 1, sizeof(*places));
    unsigned char *piece = sea_xcalloc(SEA_TENSOR_PIECE, 1), length[8];
    struct sea_file_writer writer = { 0 };
    enum sea_status status;
    struct sea_buf text;

    sea_buf_init(&text, SIZE_MAX / 2);
    status = place_items(items, count, places, err);
    if (status)
        goto out;
    write_header(places, count, metadata, metadata_count, &text);
    for (size_t i = 0; i < 8; i++)
        length[i] = (unsigned char)((uint64_t)text.len >> (8 * i));
    status = sea_file_writer_open(&writer, path, err);
    if (!status)
        status = sea_file_writer_add(&writer, length, sizeof(length), err);
    if (!status)
        status = sea_file_writer_add(&writer, text.data, text.len, err);
    for (size_t i = 0; i < count && !status; i++)
        status = write_item(&writer, places[i].item, piece, err);
    if (!status)
        status = sea_file_writer_commit(&writer, err);
out:
    if (status)
        sea_context(err, "while writing tensors \"%s\"", path);
    sea_file_writer_close(&writer);
    sea_buf_release(&text);
    free(places);
    free(piece);
    return status;
}
