/* SPDX-License-Identifier: Apache-2.0 */
/* UTF-8 and classes of characters: utf8proc's (Unicode 15), and what is newer than that in
 * tokenizer_tables.c. */
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

/* ---- classes ---- */

bool
sea_codes_hold(const struct sea_codes *list, size_t count, uint32_t code)
{
    size_t low = 0, high = count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (code > list[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    return low < count && code >= list[low].first;
}

const char *
sea_unicode_category(uint32_t code)
{
    size_t low = 0, high = sea_new_categories_count;

    while (low < high) {
        size_t middle = (low + high) / 2;

        if (code > sea_new_categories[middle].last)
            low = middle + 1;
        else
            high = middle;
    }
    if (low < sea_new_categories_count && code >= sea_new_categories[low].first)
        return sea_new_categories[low].name;
    return utf8proc_category_string((utf8proc_int32_t)code);
}

bool
sea_unicode_is_space(uint32_t code)
{
    if (code < 0x80)
        return (code >= 9 && code <= 13) || code == ' ';
    return code == 0x85 || (code >= 0xA0 && sea_unicode_category(code)[0] == 'Z');
}

bool
sea_unicode_is_word(uint32_t code)
{
    const char *category = sea_unicode_category(code);

    if (*category == 'L' || *category == 'M' || !strcmp(category, "Nd") ||
        !strcmp(category, "Nl") || !strcmp(category, "Pc"))
        return true;
    return code == 0x200C || code == 0x200D || (code >= 0x24B6 && code <= 0x24E9) ||
           (code >= 0x1F130 && code <= 0x1F149) || (code >= 0x1F150 && code <= 0x1F169) ||
           (code >= 0x1F170 && code <= 0x1F189);
}

bool
sea_unicode_is_punctuation(uint32_t code)
{
    if (code < 0x80)
        return code > ' ' && code < 0x7F && !((code | 32) >= 'a' && (code | 32) <= 'z') &&
               !(code >= '0' && code <= '9');
    if (code == 0x166D || code == 0x111C9)
        return true;
    return utf8proc_category_string((utf8proc_int32_t)code)[0] == 'P' &&
           !sea_codes_hold(sea_no_punctuation, sea_no_punctuation_count, code);
}

bool
sea_unicode_is_accent(uint32_t code)
{
    if (code < 0x300)
        return false;
    return (utf8proc_category_string((utf8proc_int32_t)code)[0] == 'M' || code == 0x1CF2 ||
            code == 0x1CF3) && !sea_codes_hold(sea_no_accent, sea_no_accent_count, code);
}

/* ---- classes of the two patterns that are split by hand ---- */

static unsigned char classes[SEA_CLASS_CODES];
static pthread_once_t classes_once = PTHREAD_ONCE_INIT;

static void
make_classes(void)
{
    for (uint32_t code = 0; code < SEA_CLASS_CODES; code++) {
        char first = sea_unicode_category(code)[0];

        classes[code] = first == 'L' ? SEA_CLASS_LETTER : first == 'N' ? SEA_CLASS_NUMBER :
                        sea_unicode_is_space(code) ? SEA_CLASS_SPACE : SEA_CLASS_OTHER;
    }
    classes['\r'] = classes['\n'] = SEA_CLASS_LINE;
}

const unsigned char *
sea_unicode_classes(void)
{
    pthread_once(&classes_once, make_classes);
    return classes;
}

/* ---- GPT-2's bytes ---- */

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

int
sea_hex_digit(char c)
{
    return c >= '0' && c <= '9' ? c - '0' : c >= 'A' && c <= 'F' ? c - 'A' + 10 :
           c >= 'a' && c <= 'f' ? c - 'a' + 10 : -1;
}
