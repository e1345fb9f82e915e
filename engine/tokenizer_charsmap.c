/* SPDX-License-Identifier: Apache-2.0 */
/*
 * SentencePiece's table of characters: what a text's characters are replaced by before it is
 * cut into words. The table is a size (4 bytes), so many bytes of a double-array trie, and
 * texts that end with 0. A unit of the trie, 32 bits, little end first:
 *
 *   leaf (bit 31 set)   bits 0..30: where the replacement begins
 *   inner               bits 0..7: the byte that leads here, bit 8: a leaf follows,
 *                       bits 10..30: offset to the children, times 256 when bit 9 is set
 *
 * A child of node p by byte b is p ^ offset ^ b. A damaged table leads nowhere: each step is
 * checked against the size.
 */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

struct sea_charsmap {
    uint32_t *units;
    size_t count;
    const char *texts;          /* in the arena */
    size_t len;
};

static size_t
offset_of(uint32_t unit)
{
    return (size_t)(unit >> 10) << ((unit & 1u << 9) >> 6);
}

static uint32_t
number_at(const unsigned char *bytes)
{
    return (uint32_t)bytes[0] | (uint32_t)bytes[1] << 8 | (uint32_t)bytes[2] << 16 |
           (uint32_t)bytes[3] << 24;
}

enum sea_status
sea_charsmap_read(const struct sea_charsmap **out, const unsigned char *bytes, size_t len,
                  struct sea_arena *arena, const char *path, struct sea_err *err)
{
    struct sea_charsmap *map = sea_arena_alloc(arena, 1, sizeof(*map));
    size_t size = len >= 4 ? number_at(bytes) : 0;

    if (len < 4 || size % 4 || size < 4 || size > len - 4)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": the table of characters is damaged: its trie "
                                           "has %zu of %zu bytes", path, size, len);
    map->count = size / 4;
    map->units = sea_arena_alloc(arena, map->count, sizeof(*map->units));
    for (size_t i = 0; i < map->count; i++)
        map->units[i] = number_at(bytes + 4 + 4 * i);
    map->len = len - 4 - size;
    map->texts = sea_arena_strndup(arena, (const char *)bytes + 4 + size, map->len);
    if (sea_utf8_check(map->texts, map->len) != map->len)
        return sea_fail(err, SEA_E_FORMAT, "\"%s\": the table of characters holds text that is no "
                                           "UTF-8", path);
    *out = map;
    return SEA_OK;
}

/* The text that a leaf leads to. */
static bool
text_of(const struct sea_charsmap *map, uint32_t unit, struct sea_text *to)
{
    size_t at = unit & 0x7FFFFFFFu;

    if (!(unit & 1u << 31) || at >= map->len || ((unsigned char)map->texts[at] & 0xC0) == 0x80)
        return false;
    *to = (struct sea_text){ map->texts + at, strlen(map->texts + at) };
    return true;
}

size_t
sea_charsmap_find(const struct sea_charsmap *map, const char *text, size_t len, bool longest,
                  struct sea_text *to)
{
    size_t node = offset_of(map->units[0]), found = 0;
    int results = 0;

    for (size_t i = 0; i < len && results < 32; i++) {
        unsigned char byte = (unsigned char)text[i];
        uint32_t unit;

        node ^= byte;
        if (!byte || node >= map->count)
            break;
        unit = map->units[node];
        if ((unit & (1u << 31 | 0xFFu)) != byte)
            break;
        node ^= offset_of(unit);
        if (node >= map->count)
            break;
        if (!(unit & 1u << 8))
            continue;
        results++;
        if (text_of(map, map->units[node], to))
            found = i + 1;
        if (!longest && found)
            break;
    }
    return found;
}

bool
sea_charsmap_begins(const struct sea_charsmap *map, const char *text, size_t len)
{
    size_t node = offset_of(map->units[0]);

    for (size_t i = 0; i < len; i++) {
        unsigned char byte = (unsigned char)text[i];

        node ^= byte;
        if (!byte || node >= map->count || (map->units[node] & (1u << 31 | 0xFFu)) != byte)
            return false;
        node ^= offset_of(map->units[node]);
    }
    return true;
}

/* ---- as `tokenizers` applies it ---- */

/* Short clusters (an e with its accent) are looked up as a whole first; of what begins alike
 * the shortest entry counts, and replaces all of it. */
static size_t
replace_cluster(const struct sea_charsmap *map, const char *text, size_t len,
                struct sea_buf *out, struct sea_err *err)
{
    size_t end = sea_grapheme_next(text, len), at = 0, n;
    struct sea_text to;
    uint32_t code;

    if (end < 6 && sea_charsmap_find(map, text, end, false, &to))
        return sea_buf_append(out, to.text, to.len, err) ? 0 : end;
    for (; at < end; at += n) {
        n = sea_utf8_next(text + at, end - at, &code);
        if (!sea_charsmap_find(map, text + at, n, false, &to))
            to = (struct sea_text){ text + at, n };
        if (sea_buf_append(out, to.text, to.len, err))
            return 0;
    }
    return end;
}

enum sea_status
sea_charsmap_apply(const struct sea_charsmap *map, const char *text, size_t len,
                   struct sea_buf *out, struct sea_err *err)
{
    for (size_t at = 0, n; at < len; at += n) {
        n = replace_cluster(map, text + at, len - at, out, err);
        if (!n)
            return err->status;
    }
    return SEA_OK;
}
