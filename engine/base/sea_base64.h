/* SPDX-License-Identifier: Apache-2.0 */
/* sea_base64.h - bytes as text (RFC 4648, section 4: with padding, without line ends) */
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

#endif
