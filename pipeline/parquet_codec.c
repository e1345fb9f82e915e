/* SPDX-License-Identifier: Apache-2.0 */
/*
 * parquet_codec.c - unpacking of Parquet pages
 *
 * The only file that knows libsnappy, zlib and libzstd. Snappy and Zstandard are left out where
 * their headers are not installed; files that need them are then refused by name.
 */
#include <string.h>

#include <zlib.h>

#include "pipeline/parquet_int.h"

#ifdef SEA_HAVE_SNAPPY
#include <snappy-c.h>
#endif
#ifdef SEA_HAVE_ZSTD
#include <zstd.h>
#endif

enum { NONE, SNAPPY, GZIP, LZO, BROTLI, LZ4, ZSTD, LZ4_RAW, CODECS };

static const char *const names[CODECS] = { "none", "Snappy", "gzip", "LZO", "Brotli", "LZ4",
                                           "Zstandard", "LZ4 (raw)" };

const char *
sea_pq_codec_name(int64_t codec)
{
    return codec >= 0 && codec < CODECS ? names[codec] : "unknown";
}

const char *
sea_pq_codec_refused(int64_t codec)
{
    switch (codec) {
    case NONE: case GZIP:
        return NULL;
    case SNAPPY:
#ifdef SEA_HAVE_SNAPPY
        return NULL;
#else
        return "is packed with Snappy, and this program was built without libsnappy-dev";
#endif
    case ZSTD:
#ifdef SEA_HAVE_ZSTD
        return NULL;
#else
        return "is packed with Zstandard, and this program was built without libzstd-dev";
#endif
    case LZO:
        return "is packed with LZO; Snappy, gzip, Zstandard and none can be read";
    case BROTLI:
        return "is packed with Brotli; Snappy, gzip, Zstandard and none can be read";
    case LZ4: case LZ4_RAW:
        return "is packed with LZ4; Snappy, gzip, Zstandard and none can be read";
    default:
        return "is packed with an unknown codec";
    }
}

/* One or several gzip members. */
static const char *
unpack_gzip(const unsigned char *bytes, size_t n, unsigned char *out, size_t want)
{
    z_stream z = { .next_in = (z_const Bytef *)bytes, .avail_in = (uInt)n,
                   .next_out = out, .avail_out = (uInt)want };
    int rc = n <= UINT32_MAX && want <= UINT32_MAX ? inflateInit2(&z, 15 + 32) : Z_DATA_ERROR;

    if (rc != Z_OK)
        return "gzip could not begin";
    do {
        rc = inflate(&z, Z_FINISH);
        if (rc == Z_STREAM_END && z.avail_in > 0 && z.avail_out > 0)
            rc = inflateReset(&z);
        else
            break;
    } while (rc == Z_OK);
    inflateEnd(&z);
    return rc == Z_STREAM_END && z.avail_out == 0 ? NULL : "a page is not what gzip wrote";
}

const char *
sea_pq_unpack(int64_t codec, const unsigned char *bytes, size_t n, unsigned char *out,
              size_t want)
{
    if (codec == NONE) {
        if (n != want)
            return "a page that is not packed has two sizes";
        memcpy(out, bytes, n);
        return NULL;
    }
    if (codec == GZIP)
        return unpack_gzip(bytes, n, out, want);
#ifdef SEA_HAVE_SNAPPY
    if (codec == SNAPPY) {
        size_t len = 0;

        if (snappy_uncompressed_length((const char *)bytes, n, &len) != SNAPPY_OK || len != want ||
            snappy_uncompress((const char *)bytes, n, (char *)out, &len) != SNAPPY_OK ||
            len != want)
            return "a page is not what Snappy wrote";
        return NULL;
    }
#endif
#ifdef SEA_HAVE_ZSTD
    if (codec == ZSTD) {
        size_t len = ZSTD_decompress(out, want, bytes, n);

        return !ZSTD_isError(len) && len == want ? NULL : "a page is not what Zstandard wrote";
    }
#endif
    return "a page is packed in an unknown way";
}

uint32_t
sea_pq_crc(const unsigned char *bytes, size_t n)
{
    return (uint32_t)crc32_z(crc32(0, Z_NULL, 0), bytes, n);
}
