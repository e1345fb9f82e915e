/* SPDX-License-Identifier: Apache-2.0 */
/* zip.c - the part of zip archives that spreadsheets use; wraps zlib */
#include <stdlib.h>
#include <string.h>
#include <zlib.h>

#include "pipeline/benchmarks/xlsx_int.h"

/* Begin of a local header, of a directory entry, of the directory's end; their sizes. */
#define LOCAL 0x04034B50u
#define ENTRY 0x02014B50u
#define END 0x06054B50u
#define LOCAL_BYTES 30
#define ENTRY_BYTES 46
#define END_BYTES 22
#define COMMENT_MAX 65535
#define STORED 0
#define PACKED 8
#define DAY 0x0021              /* the first day that the format knows */

static unsigned
get16(const char *at)
{
    const unsigned char *b = (const unsigned char *)at;

    return b[0] | (unsigned)b[1] << 8;
}

static size_t
get32(const char *at)
{
    return get16(at) | (size_t)get16(at + 2) << 16;
}

static enum sea_status
broken(const struct sea_zip *zip, const char *what, struct sea_err *err)
{
    enum sea_status status =
        sea_fail(err, SEA_E_FORMAT, "file \"%s\" begins like a zip archive (.xlsx), but %s",
                 zip->path, what);

    sea_hint(err, "Was it copied completely? Open it in a spreadsheet program and save it as .xlsx.");
    return status;
}

/* The first entry of the directory; NULL when there is no directory. */
static const char *
find_directory(const struct sea_zip *zip, size_t *count)
{
    size_t low, at;

    if (zip->len < END_BYTES)
        return NULL;
    low = zip->len > END_BYTES + COMMENT_MAX ? zip->len - END_BYTES - COMMENT_MAX : 0;
    for (at = zip->len - END_BYTES + 1; at-- > low;)
        if (get32(zip->at + at) == END && get32(zip->at + at + 16) <= at) {
            *count = get16(zip->at + at + 10);
            return zip->at + get32(zip->at + at + 16);
        }
    return NULL;
}

static enum sea_status
unpack(const struct sea_zip *zip, const char *packed, size_t packed_len, size_t len,
       struct sea_buf *out, struct sea_err *err)
{
    unsigned char *bytes = malloc(len + 1);
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)packed, .avail_in = (uInt)packed_len,
                        .next_out = bytes, .avail_out = (uInt)len + 1 };
    enum sea_status status = SEA_OK;
    int code;

    if (!bytes)
        return sea_fail(err, SEA_E_FORMAT, "file \"%s\": no memory for an entry of %zu bytes",
                        zip->path, len);
    code = inflateInit2(&stream, -MAX_WBITS);
    if (code == Z_OK) {
        code = inflate(&stream, Z_FINISH);
        inflateEnd(&stream);
    }
    if (code != Z_STREAM_END || stream.total_out != len)
        status = broken(zip, "an entry cannot be unpacked", err);
    else
        status = sea_buf_append(out, bytes, len, err);
    free(bytes);
    return status;
}

static enum sea_status
read_entry(const struct sea_zip *zip, const char *entry, struct sea_buf *out, struct sea_err *err)
{
    size_t packed = get32(entry + 20), len = get32(entry + 24), at = get32(entry + 42);
    size_t before = out->len;
    unsigned method = get16(entry + 10);
    enum sea_status status;

    if (at > zip->len || zip->len - at < LOCAL_BYTES || get32(zip->at + at) != LOCAL)
        return broken(zip, "its directory points beside the entries", err);
    at += LOCAL_BYTES + get16(zip->at + at + 26) + get16(zip->at + at + 28);
    if (at > zip->len || packed > zip->len - at)
        return broken(zip, "an entry ends behind the file's end", err);
    if (get16(entry + 8) & 1)
        return broken(zip, "it is encrypted", err);
    if (len > out->max - out->len)
        return broken(zip, "an entry is too large", err);
    if (method == PACKED)
        status = unpack(zip, zip->at + at, packed, len, out, err);
    else if (method == STORED && packed == len)
        status = sea_buf_append(out, zip->at + at, len, err);
    else
        return broken(zip, "an entry is packed in a way that spreadsheets do not use", err);
    if (!status && crc32(0, (const Bytef *)out->data + before, (uInt)len) != get32(entry + 16))
        status = broken(zip, "the checksum of an entry is wrong", err);
    return status;
}

enum sea_status
sea_zip_read(const struct sea_zip *zip, const char *name, struct sea_buf *out, bool *found,
             struct sea_err *err)
{
    size_t count = 0, n = strlen(name);
    const char *end = zip->at + zip->len, *at = find_directory(zip, &count);

    *found = false;
    if (!at)
        return broken(zip, "has no directory at its end", err);
    for (size_t i = 0; i < count; i++) {
        size_t name_len;

        if (end - at < ENTRY_BYTES || get32(at) != ENTRY)
            return broken(zip, "its directory is broken", err);
        name_len = get16(at + 28);
        if ((size_t)(end - at) - ENTRY_BYTES < name_len)
            return broken(zip, "its directory is broken", err);
        if (name_len == n && memcmp(at + ENTRY_BYTES, name, n) == 0) {
            *found = true;
            return read_entry(zip, at, out, err);
        }
        name_len += ENTRY_BYTES + get16(at + 30) + get16(at + 32);
        if ((size_t)(end - at) < name_len)
            return broken(zip, "its directory is broken", err);
        at += name_len;
    }
    return SEA_OK;
}

/* ---- writing ---- */

static void
put16(struct sea_buf *out, unsigned value)
{
    const char bytes[2] = { (char)(value & 0xFF), (char)(value >> 8 & 0xFF) };

    sea_buf_add(out, bytes, 2);
}

static void
put32(struct sea_buf *out, size_t value)
{
    put16(out, (unsigned)(value & 0xFFFF));
    put16(out, (unsigned)(value >> 16 & 0xFFFF));
}

void
sea_zip_begin(struct sea_zip_writer *writer, struct sea_buf *out)
{
    *writer = (struct sea_zip_writer){ .out = out, .begin = out->len };
    sea_buf_init(&writer->directory, 1 << 20);
}

/* What local header and directory entry share, from "version needed" on. */
static void
put_facts(struct sea_buf *out, const char *name, const char *bytes, size_t packed, size_t len)
{
    put16(out, 20);             /* version 2.0 */
    put16(out, 0);
    put16(out, PACKED);
    put16(out, 0);
    put16(out, DAY);
    put32(out, crc32(0, (const Bytef *)bytes, (uInt)len));
    put32(out, packed);
    put32(out, len);
    put16(out, (unsigned)strlen(name));
    put16(out, 0);
}

void
sea_zip_add(struct sea_zip_writer *writer, const char *name, const char *bytes, size_t len)
{
    size_t at = writer->out->len - writer->begin, room = compressBound((uLong)len) + 64;
    Bytef *packed = sea_xcalloc(room, 1);
    z_stream stream = { .next_in = (Bytef *)(uintptr_t)bytes, .avail_in = (uInt)len,
                        .next_out = packed, .avail_out = (uInt)room };

    deflateInit2(&stream, 6, Z_DEFLATED, -MAX_WBITS, 8, Z_DEFAULT_STRATEGY);
    deflate(&stream, Z_FINISH); /* cannot fail: there is room for the worst case */
    deflateEnd(&stream);
    put32(writer->out, LOCAL);
    put_facts(writer->out, name, bytes, stream.total_out, len);
    sea_buf_puts(writer->out, name);
    sea_buf_add(writer->out, packed, stream.total_out);
    put32(&writer->directory, ENTRY);
    put16(&writer->directory, 20);
    put_facts(&writer->directory, name, bytes, stream.total_out, len);
    put16(&writer->directory, 0);       /* no comment; disk 0; attributes */
    put16(&writer->directory, 0);
    put16(&writer->directory, 0);
    put32(&writer->directory, 0);
    put32(&writer->directory, at);
    sea_buf_puts(&writer->directory, name);
    writer->count++;
    free(packed);
}

void
sea_zip_finish(struct sea_zip_writer *writer)
{
    size_t at = writer->out->len - writer->begin;

    sea_buf_add(writer->out, writer->directory.data, writer->directory.len);
    put32(writer->out, END);
    put32(writer->out, 0);      /* this disk and the directory's */
    put16(writer->out, (unsigned)writer->count);
    put16(writer->out, (unsigned)writer->count);
    put32(writer->out, writer->directory.len);
    put32(writer->out, at);
    put16(writer->out, 0);
    sea_buf_release(&writer->directory);
}
