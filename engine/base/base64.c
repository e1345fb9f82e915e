/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_base64.h"

#include <stdint.h>

void
sea_base64_write(char *text, const void *bytes, size_t n)
{
    static const char digits[] =
        "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    const unsigned char *at = bytes;

    for (size_t i = 0; i < n; i += 3) {
        uint32_t word = (uint32_t)at[i] << 16 | (i + 1 < n ? (uint32_t)at[i + 1] << 8 : 0u) |
                        (i + 2 < n ? at[i + 2] : 0u);

        *text++ = digits[word >> 18];
        *text++ = digits[word >> 12 & 63];
        *text++ = i + 1 < n ? digits[word >> 6 & 63] : '=';
        *text++ = i + 2 < n ? digits[word & 63] : '=';
    }
    *text = 0;
}

static int
digit_of(char c)
{
    return c >= 'A' && c <= 'Z' ? c - 'A' : c >= 'a' && c <= 'z' ? c - 'a' + 26 :
           c >= '0' && c <= '9' ? c - '0' + 52 : c == '+' || c == '-' ? 62 :
           c == '/' || c == '_' ? 63 : -1;
}

size_t
sea_base64_read(unsigned char *bytes, size_t *count, const char *text, size_t n)
{
    size_t digits = n;
    uint32_t bits = 0;
    int have = 0;

    *count = 0;
    while (digits && text[digits - 1] == '=')
        digits--;
    for (size_t i = 0; i < digits; i++) {
        int digit = digit_of(text[i]);

        if (digit < 0)
            return i;
        bits = bits << 6 | (uint32_t)digit;     /* what leaves at the top was written */
        have += 6;
        if (have >= 8) {
            have -= 8;
            bytes[(*count)++] = (unsigned char)(bits >> have & 0xFF);
        }
    }
    return n;
}
