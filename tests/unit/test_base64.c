/* SPDX-License-Identifier: Apache-2.0 */
/* Base64: the vectors of RFC 4648 there and back, and that nothing is written behind the end. */
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

static void
what_was_written_is_read(void)
{
    unsigned char bytes[64], back[64];
    char text[128];
    size_t count;

    for (size_t n = 0; n < sizeof(bytes) - 3; n++) {
        for (size_t i = 0; i < n; i++)
            bytes[i] = (unsigned char)(197 * i + 31 * n);
        sea_base64_write(text, bytes, n);
        for (size_t len = strlen(text); ; len--) {      /* also without its padding */
            memset(back, '#', sizeof(back));
            CHECK_INT(sea_base64_read(back, &count, text, len), len);
            CHECK_INT(count, n);
            CHECK(count <= sea_base64_room(len));
            CHECK(memcmp(back, bytes, n) == 0 && back[n] == '#');
            if (!len || text[len - 1] != '=')
                break;
        }
    }
    CHECK_INT(sea_base64_read(back, &count, "-__-", 4), 4);
    CHECK(count == 3 && memcmp(back, "\xFB\xFF\xFE", 3) == 0);
}

static void
the_first_that_is_no_digit_is_named(void)
{
    static const struct { const char *text; size_t at; } cases[] = {
        { "Zm9v!mFy", 4 }, { "\nZm9v", 0 }, { "Zm9v\n", 4 }, { "Zm=9", 2 }, { "Zm9v\xC3\xA4", 4 },
    };
    unsigned char back[16];
    size_t count;

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++)
        CHECK_INT(sea_base64_read(back, &count, cases[i].text, strlen(cases[i].text)),
                  cases[i].at);
}

SEA_TEST_MAIN("base64", TEST(the_published_vectors_come_out),
              TEST(what_was_written_is_read), TEST(the_first_that_is_no_digit_is_named))
