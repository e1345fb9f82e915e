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
