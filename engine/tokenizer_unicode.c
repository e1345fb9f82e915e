/* SPDX-License-Identifier: Apache-2.0 */
/* utf8proc stays inside this file. */
#include "engine/tokenizer_int.h"

#include <stdlib.h>
#include <string.h>

#include <utf8proc.h>

size_t
sea_utf8_next(const char *text, size_t len, uint32_t *code)
{
    const unsigned char *b = (const unsigned char *)text;
    size_t n = b[0] < 0x80 ? 1 : b[0] < 0xE0 ? 2 : b[0] < 0xF0 ? 3 : 4;

    n = n > len ? len : n;      /* never on valid text */
    *code = n == 1 ? b[0] : b[0] & (0x7Fu >> n);
    for (size_t i = 1; i < n; i++)
        *code = *code << 6 | (b[i] & 0x3Fu);
    return n;
}

size_t
sea_utf8_put(char out[4], uint32_t code)
{
    return (size_t)utf8proc_encode_char((utf8proc_int32_t)code, (utf8proc_uint8_t *)out);
}

size_t
sea_utf8_check(const char *text, size_t len)
{
    utf8proc_int32_t code;
    size_t at = 0;

    while (at < len) {
        utf8proc_ssize_t left = (utf8proc_ssize_t)(len - at);
        utf8proc_ssize_t n;

        if ((unsigned char)text[at] < 0x80) {
            at++;
            continue;
        }
        n = utf8proc_iterate((const utf8proc_uint8_t *)text + at, left, &code);
        if (n <= 0)
            return at;
        at += (size_t)n;
    }
    return len;
}

bool
sea_unicode_is_space(uint32_t code)
{
    utf8proc_category_t category;

    if (code < 0x80)
        return (code >= 9 && code <= 13) || code == ' ';
    category = utf8proc_category((utf8proc_int32_t)code);
    return code == 0x85 || category == UTF8PROC_CATEGORY_ZS ||
           category == UTF8PROC_CATEGORY_ZL || category == UTF8PROC_CATEGORY_ZP;
}

bool
sea_unicode_is_word(uint32_t code)
{
    switch (utf8proc_category((utf8proc_int32_t)code)) {
    case UTF8PROC_CATEGORY_LU: case UTF8PROC_CATEGORY_LL: case UTF8PROC_CATEGORY_LT:
    case UTF8PROC_CATEGORY_LM: case UTF8PROC_CATEGORY_LO: case UTF8PROC_CATEGORY_MN:
    case UTF8PROC_CATEGORY_MC: case UTF8PROC_CATEGORY_ME: case UTF8PROC_CATEGORY_ND:
    case UTF8PROC_CATEGORY_NL: case UTF8PROC_CATEGORY_PC:
        return true;
    default:
        return false;
    }
}

enum sea_status
sea_unicode_normalize(enum sea_unicode_form form, const char *text, size_t len,
                      struct sea_buf *out, struct sea_err *err)
{
    static const utf8proc_option_t options[] = {
        [SEA_FORM_NFC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE,
        [SEA_FORM_NFD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE,
        [SEA_FORM_NFKC] = UTF8PROC_STABLE | UTF8PROC_COMPOSE | UTF8PROC_COMPAT,
        [SEA_FORM_NFKD] = UTF8PROC_STABLE | UTF8PROC_DECOMPOSE | UTF8PROC_COMPAT,
    };
    utf8proc_uint8_t *mapped = NULL;
    enum sea_status status;
    utf8proc_ssize_t n;
    size_t plain = 0;

    while (plain < len && (unsigned char)text[plain] < 0x80)
        plain++;
    if (plain == len)           /* ASCII is its own normal form */
        return sea_buf_append(out, text, len, err);
    n = utf8proc_map((const utf8proc_uint8_t *)text, (utf8proc_ssize_t)len, &mapped,
                     options[form]);
    if (n < 0)
        return sea_fail(err, SEA_E_FORMAT, "could not normalise text: %s", utf8proc_errmsg(n));
    status = sea_buf_append(out, mapped, (size_t)n, err);
    free(mapped);
    return status;
}

enum sea_status
sea_unicode_lower(const char *text, size_t len, struct sea_buf *out, struct sea_err *err)
{
    enum sea_status status = SEA_OK;
    size_t at = 0, n;
    uint32_t code;
    char put[4];

    while (at < len && !status) {
        at += sea_utf8_next(text + at, len - at, &code);
        if (code == 0x130) {    /* the one character that becomes two */
            status = sea_buf_append(out, "i\xCC\x87", 3, err);
            continue;
        }
        n = sea_utf8_put(put, (uint32_t)utf8proc_tolower((utf8proc_int32_t)code));
        status = sea_buf_append(out, put, n, err);
    }
    return status;
}

static bool
is_visible(unsigned int byte)
{
    return (byte >= '!' && byte <= '~') || (byte >= 0xA1 && byte <= 0xAC) || byte >= 0xAE;
}

/* Visible Latin-1 bytes stand for themselves, the other 68 for U+0100 and up, in order. */
uint32_t
sea_byte_char(unsigned char byte)
{
    uint32_t code = 0x100;

    if (is_visible(byte))
        return byte;
    for (unsigned int b = 0; b < byte; b++)
        code += !is_visible(b);
    return code;
}

int
sea_byte_of_char(uint32_t code)
{
    if (code < 0x100)
        return is_visible(code) ? (int)code : -1;
    if (code <= 0x120)          /* bytes 0 .. 32 */
        return (int)(code - 0x100);
    if (code <= 0x142)          /* 127 .. 160 */
        return (int)(code - 0x121 + 127);
    return code == 0x143 ? 173 : -1;
}
