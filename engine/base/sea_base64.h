/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_base64.h - bytes as text (RFC 4648, without line ends)
 *
 * Written as in section 4, with padding. What others wrote is read with or without padding, and
 * in either of the two alphabets, that of section 5 with '-' and '_' too.
 */
#ifndef SEA_BASE64_H
#define SEA_BASE64_H

#include <stddef.h>

/* Characters that n bytes become, the final 0 not counted. */
static inline size_t
sea_base64_length(size_t n)
{
    return (n + 2) / 3 * 4;
}

/* Writes them and a final 0: text has room for sea_base64_length(n) + 1. */
void sea_base64_write(char *text, const void *bytes, size_t n);

/* Bytes that n characters hold at the most. */
static inline size_t
sea_base64_room(size_t n)
{
    return n / 4 * 3 + 3;
}

/* Reads n characters into bytes, which have room for sea_base64_room(n); *count: how many they
 * were. Returns the place of the first character that is no digit, n when there is none. */
size_t sea_base64_read(unsigned char *bytes, size_t *count, const char *text, size_t n);

#endif
