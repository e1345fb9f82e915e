/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: the vectors of RFC 4648, and that nothing is written behind the final 0. */
#include "engine/base/sea_base64.h"
#include "tests/sea_test.h"

static void
the_published_vectors_come_out(void)
{
    static const struct { const char *bytes, *text; } cases[] = {
        { "", "" }, { "f", "Zg==" }, { "fo", "Zm8=" }, { "foo", "Zm9v" }, { "foob", "Zm9vYg==" },
        { "fooba", "Zm9vYmE=" }, { "foobar", "Zm9vYmFy" }, { "\xFB\xFF\xFE", "+//+" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        size_t n = strlen(cases[i].bytes);
        char text[16];

        memset(text, '#', sizeof(text));
        sea_base64_write(text, cases[i].bytes, n);
        CHECK_STR(text, cases[i].text);
        CHECK_INT(sea_base64_length(n), strlen(text));
        CHECK_INT(text[strlen(text) + 1], '#');
    }
}

SEA_TEST_MAIN("base64", TEST(the_published_vectors_come_out))
