/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/base/sea_rng.h"

#include <assert.h>
#include <math.h>

#define TAU 6.283185307179586476925286766559

void
sea_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4])
{
    uint32_t k0 = key[0], k1 = key[1];
    uint32_t c0 = counter[0], c1 = counter[1], c2 = counter[2], c3 = counter[3];
    int round;

    for (round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0;
        uint64_t p1 = (uint64_t)0xCD9E8D57u * c2;

        c0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0;
        c1 = (uint32_t)p1;
        c2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c3 = (uint32_t)p0;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

/* Block i of a stream: the key is the seed, the counter is (i, stream). */
static void
block_at(uint64_t seed, uint64_t stream, uint64_t i, uint32_t out[4])
{
    const uint32_t key[2] = { (uint32_t)seed, (uint32_t)(seed >> 32) };
    const uint32_t counter[4] = { (uint32_t)i, (uint32_t)(i >> 32), (uint32_t)stream,
                                  (uint32_t)(stream >> 32) };

    sea_philox(key, counter, out);
}

static double
unit(uint32_t high, uint32_t low)
{
    return (double)(((uint64_t)high << 32 | low) >> 11) * 0x1p-53;
}

/* u1 and u2 in [0, 1); 1 - u1 is never 0. */
static double
box_muller(double u1, double u2)
{
    return sqrt(-2.0 * log(1.0 - u1)) * cos(TAU * u2);
}

void
sea_rng_init(struct sea_rng *rng, uint64_t seed, uint64_t stream)
{
    *rng = (struct sea_rng){ .seed = seed, .stream = stream };
}

uint32_t
sea_rng_u32(struct sea_rng *rng)
{
    if (rng->left == 0) {
        block_at(rng->seed, rng->stream, rng->next++, rng->words);
        rng->left = 4;
    }
    return rng->words[4 - rng->left--];
}

/* Lemire 2019: the high half of a product, and the few low halves that would make some
 * results likelier than others are drawn again. */
uint32_t
sea_rng_below(struct sea_rng *rng, uint32_t n)
{
    uint64_t product;
    uint32_t least;

    assert(n > 0);
    product = (uint64_t)sea_rng_u32(rng) * n;
    if ((uint32_t)product < n) {
        least = (0u - n) % n;
        while ((uint32_t)product < least)
            product = (uint64_t)sea_rng_u32(rng) * n;
    }
    return (uint32_t)(product >> 32);
}

double
sea_rng_uniform(struct sea_rng *rng)
{
    uint32_t high = sea_rng_u32(rng);

    return unit(high, sea_rng_u32(rng));
}

double
sea_rng_normal(struct sea_rng *rng)
{
    double u1 = sea_rng_uniform(rng);

    return box_muller(u1, sea_rng_uniform(rng));
}

void
sea_rng_shuffle(struct sea_rng *rng, int64_t *items, size_t n)
{
    size_t i;

    assert(n <= UINT32_MAX);
    for (i = n; i > 1; i--) {
        uint32_t j = sea_rng_below(rng, (uint32_t)i);
        int64_t item = items[i - 1];

        items[i - 1] = items[j];
        items[j] = item;
    }
}

double
sea_rng_uniform_at(uint64_t seed, uint64_t stream, uint64_t i)
{
    uint32_t words[4];

    block_at(seed, stream, i, words);
    return unit(words[0], words[1]);
}

double
sea_rng_normal_at(uint64_t seed, uint64_t stream, uint64_t i)
{
    uint32_t words[4];

    block_at(seed, stream, i, words);
    return box_muller(unit(words[0], words[1]), unit(words[2], words[3]));
}

uint64_t
sea_rng_stream(const char *text, uint64_t a, uint64_t b)
{
    uint64_t hash = 0xCBF29CE484222325u;
    int i;

    for (; *text; text++)
        hash = (hash ^ (unsigned char)*text) * 0x100000001B3u;
    for (i = 0; i < 8; i++)
        hash = (hash ^ (a >> (8 * i) & 0xFF)) * 0x100000001B3u;
    for (i = 0; i < 8; i++)
        hash = (hash ^ (b >> (8 * i) & 0xFF)) * 0x100000001B3u;
    return hash;
}
