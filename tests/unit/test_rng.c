/* SPDX-License-Identifier: Apache-2.0 */
#include <stdlib.h>

#include "engine/base/sea_rng.h"
#include "tests/sea_test.h"

/* The known answers that come with the paper's code (Random123, philox4x32, 10 rounds). */
static void
philox_gives_the_published_answers(void)
{
    static const struct { uint32_t counter[4], key[2], want[4]; } rows[] = {
        { { 0, 0, 0, 0 }, { 0, 0 },
          { 0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8 } },
        { { 0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff }, { 0xffffffff, 0xffffffff },
          { 0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd } },
        { { 0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344 }, { 0xa4093822, 0x299f31d0 },
          { 0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1 } },
    };
    uint32_t out[4];
    size_t i, j;

    for (i = 0; i < 3; i++) {
        sea_philox(rows[i].key, rows[i].counter, out);
        for (j = 0; j < 4; j++)
            CHECK_MSG(out[j] == rows[i].want[j], "row %zu word %zu is %08x, want %08x", i, j,
                      out[j], rows[i].want[j]);
    }
}

static void
a_cursor_walks_the_blocks_of_its_stream(void)
{
    const uint64_t seed = 0x0123456789abcdef, stream = 0xfedcba9876543210;
    const uint32_t key[2] = { 0x89abcdef, 0x01234567 };
    struct sea_rng rng, again;
    uint32_t out[4], i;

    sea_rng_init(&rng, seed, stream);
    for (i = 0; i < 40; i++) {
        const uint32_t counter[4] = { i / 4, 0, 0x76543210, 0xfedcba98 };
        uint32_t word = sea_rng_u32(&rng);

        sea_philox(key, counter, out);
        CHECK_INT(word, out[i % 4]);
    }
    sea_rng_init(&again, seed, stream);
    again.next = 10;            /* what a resumed run does: nothing else is carried */
    CHECK(sea_rng_u32(&rng) == sea_rng_u32(&again));
}

static void
numbers_are_a_function_of_seed_stream_and_place(void)
{
    /* From a few lines of Python. A change here changes the results of every stage. */
    CHECK_NEAR(sea_rng_uniform_at(0, 0, 0), 0x1.989fa35785a70p-2, 0);
    CHECK_NEAR(sea_rng_uniform_at(1, 2, 3), 0x1.bc117ea4cc7dfp-1, 0);
    CHECK_NEAR(sea_rng_normal_at(1, 2, 3), -1.977265873615718, 1e-15);
    CHECK(sea_rng_stream("init", 1, 2) == 0x6a4ab6fcc65f1250);
    CHECK(sea_rng_uniform_at(1, 2, 3) != sea_rng_uniform_at(1, 3, 2));
    CHECK(sea_rng_uniform_at(1, 2, 3) != sea_rng_uniform_at(2, 2, 3));
    CHECK(sea_rng_uniform_at(1, 2, 3) != sea_rng_uniform_at(1, 2, (uint64_t)3 << 32));
}

static void
uniform_has_the_moments_and_range(void)
{
    enum { N = 200000 };
    double sum = 0, squares = 0, least = 1, most = 0;
    int i;

    for (i = 0; i < N; i++) {
        double x = sea_rng_uniform_at(7, 1, (uint64_t)i);

        sum += x;
        squares += x * x;
        least = x < least ? x : least;
        most = x > most ? x : most;
    }
    printf("  uniform: mean %.5f (want 0.5 +- 0.0033), square %.5f (1/3 +- 0.0034), "
           "range %.2g to 1 - %.2g\n", sum / N, squares / N, least, 1 - most);
    CHECK_NEAR(sum / N, 0.5, 5 * sqrt(1.0 / 12 / N));
    CHECK_NEAR(squares / N, 1.0 / 3, 5 * sqrt(4.0 / 45 / N));
    CHECK(least >= 0 && most < 1);
}

static void
normal_has_the_moments(void)
{
    enum { N = 200000 };
    double moments[5] = { 0 }, from_cursor = 0;
    struct sea_rng rng;
    int i;

    sea_rng_init(&rng, 9, 9);
    for (i = 0; i < N; i++) {
        double x = sea_rng_normal_at(9, 1, (uint64_t)i);

        moments[1] += x / N;
        moments[2] += x * x / N;
        moments[3] += x * x * x / N;
        moments[4] += x * x * x * x / N;
        from_cursor += sea_rng_normal(&rng) / N;
    }
    printf("  normal: %.4f %.4f %.4f %.4f (want 0 1 0 3), cursor mean %.4f\n", moments[1],
           moments[2], moments[3], moments[4], from_cursor);
    CHECK_NEAR(moments[1], 0, 5 * sqrt(1.0 / N));
    CHECK_NEAR(moments[2], 1, 5 * sqrt(2.0 / N));
    CHECK_NEAR(moments[3], 0, 5 * sqrt(15.0 / N));
    CHECK_NEAR(moments[4], 3, 5 * sqrt(96.0 / N));
    CHECK_NEAR(from_cursor, 0, 5 * sqrt(1.0 / N));
}

static void
below_is_unbiased(void)
{
    enum { N = 120000, SIDES = 12 };
    long counts[SIDES] = { 0 }, low = 0, threes = 0;
    double chi = 0, want = (double)N / SIDES;
    struct sea_rng rng;
    int i;

    sea_rng_init(&rng, 11, 0);
    for (i = 0; i < N; i++)
        counts[sea_rng_below(&rng, SIDES)]++;
    for (i = 0; i < SIDES; i++)
        chi += pow((double)counts[i] - want, 2) / want;
    printf("  chi-squared over %d sides: %.2f (below 33.1 at 1 in 2000)\n", SIDES, chi);
    CHECK(chi < 33.1);
    /* Three quarters of 2^32: without drawing again, four words fall on three results, and
     * the multiples of 3 come twice as often as the others; a plain remainder would favour
     * the low third. */
    for (i = 0; i < N; i++) {
        uint32_t x = sea_rng_below(&rng, 0xC0000000u);

        low += x < 0x40000000u;
        threes += x % 3 == 0;
    }
    printf("  of 3 * 2^30: low third %.4f, multiples of three %.4f (want 0.3333 +- 0.0068)\n",
           (double)low / N, (double)threes / N);
    CHECK_NEAR((double)low / N, 1.0 / 3, 5 * sqrt(2.0 / 9 / N));
    CHECK_NEAR((double)threes / N, 1.0 / 3, 5 * sqrt(2.0 / 9 / N));
    for (i = 0; i < 100; i++)
        CHECK(sea_rng_below(&rng, 1) == 0);
}

static void
shuffle_is_a_permutation_and_a_fair_one(void)
{
    enum { N = 1000, TRIES = 24000 };
    long places[4][4] = { { 0 } }, seen = 0;
    int64_t items[N];
    struct sea_rng rng;
    char has[N] = { 0 };
    double chi = 0, want = TRIES / 4.0;
    int i, j;

    sea_rng_init(&rng, 5, 5);
    for (i = 0; i < N; i++)
        items[i] = i;
    sea_rng_shuffle(&rng, items, N);
    for (i = 0; i < N; i++) {
        has[items[i]] = 1;
        seen += items[i] == i;
    }
    CHECK(memchr(has, 0, N) == NULL);
    CHECK_MSG(seen < 10, "%ld of %d items did not move", seen, N);
    for (i = 0; i < TRIES; i++) {
        int64_t four[4] = { 0, 1, 2, 3 };

        sea_rng_shuffle(&rng, four, 4);
        for (j = 0; j < 4; j++)
            places[four[j]][j]++;
    }
    for (i = 0; i < 4; i++)
        for (j = 0; j < 4; j++)
            chi += pow((double)places[i][j] - want, 2) / want;
    printf("  places of four items: chi-squared %.2f (below 29.7 at 1 in 2000)\n", chi);
    CHECK(chi < 29.7);
    sea_rng_shuffle(&rng, items, 0);
    sea_rng_shuffle(&rng, items, 1);
}

static int
by_value(const void *a, const void *b)
{
    uint64_t one = *(const uint64_t *)a, two = *(const uint64_t *)b;

    return (one > two) - (one < two);
}

static void
streams_of_different_words_differ(void)
{
    static const char *const texts[] = { "", "a", "init", "shuffle", "window", "windox" };
    static uint64_t streams[6 * 20 * 20];
    size_t n = 0, i;
    uint64_t a, b;

    for (i = 0; i < 6; i++)
        for (a = 0; a < 20; a++)
            for (b = 0; b < 20; b++)
                streams[n++] = sea_rng_stream(texts[i], a, b);
    CHECK_INT(streams[0], sea_rng_stream("", 0, 0));
    qsort(streams, n, sizeof(streams[0]), by_value);
    for (i = 1; i < n; i++)
        CHECK(streams[i - 1] != streams[i]);
}

SEA_TEST_MAIN("random numbers by place",
              TEST(philox_gives_the_published_answers),
              TEST(a_cursor_walks_the_blocks_of_its_stream),
              TEST(numbers_are_a_function_of_seed_stream_and_place),
              TEST(uniform_has_the_moments_and_range),
              TEST(normal_has_the_moments),
              TEST(below_is_unbiased),
              TEST(shuffle_is_a_permutation_and_a_fair_one),
              TEST(streams_of_different_words_differ))
