/* SPDX-License-Identifier: Apache-2.0 */
/* The three answer normalisers, byte for byte, with their published quirks. */
#include <stdlib.h>

#include "pipeline/benchmarks/benchmarks_int.h"
#include "tests/sea_test.h"

static struct sea_buf out;

static const char *
run(enum sea_vqa_variant variant, const char *text)
{
    if (!out.max)
        sea_buf_init(&out, 1 << 24);
    sea_vqa_normalize(variant, text, &out);
    return out.data;
}

static void
variants_differ_where_published(void)
{
    static const struct { const char *text, *m4c, *off, *vk; } cases[] = {
        { "7.", "7", "7", "7." },
        { "2.75.", "2.75", "2.75", "2.75." },
        { "he's", "he 's", "he's", "he's" },
        { "cats,dogs", "catsdogs", "cats dogs", "cats dogs" },
        { "six,seven", "sixseven", "6 7", "6 7" },
        { "t-shirts", "t shirts", "t shirts", "t shirts" },
        { "2,500 t-shirts", "2500 t shirts", "2500 tshirts", "2500 tshirts" },
        { "Hes", "he's", "he's", "he's" },
        { "zero.five", "zerofive", "zerofive", "zerofive" },
        { "a-b , c-d", "b c d", "b c d", "b c d" },
        { "15:45", "15:45", "15:45", "15:45" },
        { "$3.99", "$3.99", "$3.99", "$3.99" },
        { "the", "", "", "" },
        { "", "", "", "" },
        { ".5", ".5", ".5", ".5" },
        { "one\ttwo\nten", "1 2 10", "1 2 10", "1 2 10" },
        { "None", "0", "0", "0" },
        { "Really?", "really", "really", "really" },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        CHECK_STR(run(SEA_VQA_M4C, cases[i].text), cases[i].m4c);
        CHECK_STR(run(SEA_VQA_OFF, cases[i].text), cases[i].off);
        CHECK_STR(run(SEA_VQA_VK, cases[i].text), cases[i].vk);
    }
    /* "/" stands beside no blank: it becomes one; "(" stands behind a blank, ")" does not */
    CHECK_STR(run(SEA_VQA_OFF, "cat/dog (old)"), "cat dog old");
    CHECK_STR(run(SEA_VQA_OFF, "cat/dog / cow"), "catdog cow");  /* one blank decides for all */
    CHECK_STR(run(SEA_VQA_OFF, "it's 1,000 a/b"), "it's 1000 ab");
}

static void
contractions_come_back_once(void)
{
    static const char *const pairs[][2] = {
        { "dont", "don't" }, { "WONT", "won't" }, { "twas", "'twas" }, { "oclock", "o'clock" },
        { "couldntve", "couldntve" }, { "couldnt've", "couldn't've" },
        { "ow's'at", "'ow's'at" }, { "yalld've", "yalld've" }, { "y'alld've", "y'all'd've" },
        { "somebody'd", "somebodyd" }, { "somebodyd", "somebodyd" }, { "Im", "im" },
        { "ive", "ive" }, { "lets", "lets" }, { "let's", "let's" }, { "wed", "wed" },
        { "well", "well" }, { "shes", "shes" }, { "weve", "we've" }, { "ill", "ill" },
    };

    for (size_t i = 0; i < sizeof(pairs) / sizeof(pairs[0]); i++)
        CHECK_STR(run(SEA_VQA_OFF, pairs[i][0]), pairs[i][1]);
    CHECK_STR(run(SEA_VQA_M4C, "that's"), "that 's");
    CHECK_STR(run(SEA_VQA_M4C, "thats"), "that's");
}

static void
at_most_32_periods_go(void)
{
    char text[128], want[128];

    memset(text, 0, sizeof(text));
    memset(want, 0, sizeof(want));
    for (int i = 0; i < 40; i++)
        text[i] = '.';
    for (int i = 0; i < 8; i++)
        want[i] = '.';
    CHECK_STR(run(SEA_VQA_OFF, text), want);
    CHECK_STR(run(SEA_VQA_M4C, text), want);
    CHECK_STR(run(SEA_VQA_VK, text), want);
    text[32] = 0;
    CHECK_STR(run(SEA_VQA_OFF, text), "");
}

static void
unicode_is_pythons(void)
{
    CHECK_STR(run(SEA_VQA_OFF, "\xC3\x89" "COLE"), "\xC3\xA9" "cole");
    CHECK_STR(run(SEA_VQA_OFF, "\xC4\xB0"), "i\xCC\x87");          /* dotted I: two */
    CHECK_STR(run(SEA_VQA_OFF, "\xCE\x9F\xCE\xA3"), "\xCE\xBF\xCF\x82");    /* final sigma */
    CHECK_STR(run(SEA_VQA_OFF, "the\xC2\xA0" "cat"), "cat");        /* NBSP splits */
    CHECK_STR(run(SEA_VQA_OFF, "\xC2\xA0 cat \xE3\x80\x80"), "cat");
    /* Arabic digits are digits: the period stays, the comma makes all marks go */
    CHECK_STR(run(SEA_VQA_OFF, "x.\xD9\xA5"), "x.\xD9\xA5");
    CHECK_STR(run(SEA_VQA_OFF, "\xD9\xA1,\xD9\xA2 a-b"), "\xD9\xA1\xD9\xA2 ab");
    CHECK_STR(run(SEA_VQA_OFF, "\xE4\xB8\xAD\xE6\x96\x87"), "\xE4\xB8\xAD\xE6\x96\x87");
}

static void
long_answers_do_not_hurt(void)
{
    size_t n = (size_t)1 << 20;
    char *text = calloc(n + 1, 1);

    for (size_t i = 0; i < n; i++)
        text[i] = "a.-'s, "[i % 7];
    CHECK(strlen(run(SEA_VQA_M4C, text)) > 0);
    free(text);
    sea_buf_release(&out);
}

SEA_TEST_MAIN("answer normalisers", TEST(variants_differ_where_published),
              TEST(contractions_come_back_once), TEST(at_most_32_periods_go),
              TEST(unicode_is_pythons), TEST(long_answers_do_not_hurt))
