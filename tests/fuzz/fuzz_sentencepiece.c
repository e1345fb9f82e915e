/* SPDX-License-Identifier: Apache-2.0 */
/* Any bytes at all as a tokenizer.model. For usage see mutate.h. */
#include "tests/fuzz/tokenizer_file.h"

const char *
sea_fuzz_check(const uint8_t *data, size_t n)
{
    return check_tokenizer_file("tokenizer.model", data, n);
}

SEA_FUZZ_PROGRAM
