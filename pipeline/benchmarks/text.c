/* SPDX-License-Identifier: Apache-2.0 */
/* text.c - texts as Python 3 sees them; utf8proc stays inside this file */
#include <string.h>

#include <utf8proc.h>

#include "pipeline/benchmarks/benchmarks_int.h"

uint32_t
sea_text_next(const char **at)
{
    const unsigned char *b = (const unsigned char *)*at;
    size_t n = b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;
    uint32_t code = b[0] & (0x7Fu >> n);

    if (b[0] < 0x80) {
        *at += b[0] != 0;
        return b[0];
    }
    for (size_t i = 1; i < n; i++) {
        if (b[i] == 0) {        /* cut off: never in valid text */
            n = i;
            break;
        }
        code = code << 6 | (b[i] & 0x3Fu);
    }
    *at += n;
    return code;
}

bool
sea_text_is_space(uint32_t code)
{
    return (code >= 9 && code <= 13) || (code >= 0x1C && code <= 0x20) || code == 0x85 ||
           code == 0xA0 || code == 0x1680 || (code >= 0x2000 && code <= 0x200A) ||
           code == 0x2028 || code == 0x2029 || code == 0x202F || code == 0x205F ||
           code == 0x3000;
}

int
sea_text_digit(uint32_t code)
{
    uint32_t first = code;

    if (code < 0x80)
        return (int)(code - '0');
    if (code >= 0x1D7CE && code <= 0x1D7FF)     /* mathematical digits: five tens in a row */
        return (int)((code - 0x1D7CE) % 10);
    while (code - first < 9 && sea_text_is_digit(first - 1))
        first--;
    return (int)(code - first);
}

bool
sea_text_is_digit(uint32_t code)
{
    if (code < 0x80)
        return code >= '0' && code <= '9';
    return utf8proc_category((utf8proc_int32_t)code) == UTF8PROC_CATEGORY_ND;
}

bool
sea_text_is_letter(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);

    return category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO;
}

bool
sea_text_is_word(uint32_t code)
{
    utf8proc_category_t category = utf8proc_category((utf8proc_int32_t)code);

    return code == '_' || (category >= UTF8PROC_CATEGORY_LU && category <= UTF8PROC_CATEGORY_LO) ||
           (category >= UTF8PROC_CATEGORY_ND && category <= UTF8PROC_CATEGORY_NO);
}

static void
put(struct sea_buf *out, uint32_t code)
{
    utf8proc_uint8_t bytes[4];
    utf8proc_ssize_t n = utf8proc_encode_char((utf8proc_int32_t)code, bytes);

    sea_buf_add(out, bytes, (size_t)n);
}

void
sea_text_lower(const char *text, struct sea_buf *out)
{
    uint32_t before = 0, code;

    sea_buf_clear(out);
    while ((code = sea_text_next(&text)) != 0) {
        const char *ahead = text;

        if (code < 0x80) {
            char c = (char)(code >= 'A' && code <= 'Z' ? code + 32 : code);

            sea_buf_add(out, &c, 1);
        } else if (code == 0x130) {             /* dotted capital I: the only one that grows */
            put(out, 'i');
            put(out, 0x307);
        } else if (code == 0x3A3) {             /* capital sigma: final form at a word's end */
            bool ends = before && sea_text_is_letter(before) &&
                        !sea_text_is_letter(sea_text_next(&ahead));

            put(out, ends ? 0x3C2 : 0x3C3);
        } else {
            put(out, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
        }
        before = code;
    }
}

void
sea_text_strip(const char **text, size_t *len)
{
    const char *start = *text, *end = start + *len, *at = start, *last = NULL;
    bool inside = false;

    while (at < end) {
        const char *here = at;

        if (sea_text_is_space(sea_text_next(&at)))
            continue;
        if (!inside)
            *text = here;
        inside = true;
        last = at;
    }
    *len = inside ? (size_t)(last - *text) : 0;
}

const char *
sea_text_tidy(const char *text, bool lower, bool strip, struct sea_arena *arena)
{
    struct sea_buf buf;
    const char *from = text, *copy;
    size_t len = strlen(text);

    sea_buf_init(&buf, 4 * len + 64);
    if (lower) {
        sea_text_lower(text, &buf);
        from = buf.data;
        len = buf.len;
    }
    if (strip)
        sea_text_strip(&from, &len);
    copy = sea_arena_strndup(arena, len ? from : "", len);
    sea_buf_release(&buf);
    return copy;
}

size_t
sea_text_valid_length(const char *bytes, size_t left)
{
    const unsigned char *text = (const unsigned char *)bytes;
    size_t n = text[0] < 0x80 ? 1 : text[0] >= 0xC2 && text[0] < 0xE0 ? 2
             : text[0] >= 0xE0 && text[0] < 0xF0 ? 3
             : text[0] >= 0xF0 && text[0] < 0xF5 ? 4 : 0;

    if (n == 0 || n > left)
        return 0;
    for (size_t i = 1; i < n; i++)
        if ((text[i] & 0xC0) != 0x80)
            return 0;
    if ((text[0] == 0xE0 && text[1] < 0xA0) || (text[0] == 0xED && text[1] > 0x9F) ||
        (text[0] == 0xF0 && text[1] < 0x90) || (text[0] == 0xF4 && text[1] > 0x8F))
        return 0;
    return n;
}

bool
sea_text_is_valid(const char *text, size_t len)
{
    for (size_t i = 0; i < len;) {
        size_t n = text[i] ? sea_text_valid_length(text + i, len - i) : 0;

        if (n == 0)
            return false;
        i += n;
    }
    return true;
}

const char *
sea_text_copy(struct sea_arena *arena, const char *text, size_t len)
{
    char *copy = sea_arena_strndup(arena, text, len);

    for (size_t i = 0; i < len; i++)
        copy[i] = copy[i] ? copy[i] : ' ';
    return copy;
}

size_t
sea_text_options(const char *text, const char **first)
{
    size_t count = 0;

    *first = NULL;
    for (const char *at = text; (at = strchr(at, '\n')) != NULL;) {
        at++;
        if (at[0] == (char)('A' + count) && at[1] == '.' && at[2] == ' ' && count < 26) {
            if (count++ == 0)
                *first = at;
        }
    }
    return count;
}

/* Full upper case and full case folding have equally many characters but for these two. */
size_t
sea_text_upper_length(const char *text)
{
    size_t count = 0;

    while (*text) {
        uint32_t code = sea_text_next(&text);
        utf8proc_int32_t folded[8];
        utf8proc_ssize_t n = code < 0x80 || code == 0x130 || code == 0x1E9E
                                 ? 1 : utf8proc_decompose_char((utf8proc_int32_t)code, folded, 8,
                                                               UTF8PROC_CASEFOLD, NULL);

        count += n > 0 ? (size_t)n : 1;
    }
    return count;
}
