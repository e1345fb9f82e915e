/* SPDX-License-Identifier: Apache-2.0 */
/*
 * python_random.c - Python's random.seed(n) and random.choice, bit for bit
 *
 * Published scorers draw an option where they find none (MMMU). Who wants their very number
 * needs their very draws: the Mersenne Twister MT19937, seeded by an array as Python does.
 * Nothing else of the program draws from it.
 */
#include "pipeline/benchmarks/benchmarks_int.h"

#define WORDS SEA_PY_RANDOM_WORDS
#define STEP 397

static void
seed_word(struct sea_py_random *r, uint32_t seed)
{
    r->word[0] = seed;
    for (uint32_t i = 1; i < WORDS; i++)
        r->word[i] = 1812433253u * (r->word[i - 1] ^ r->word[i - 1] >> 30) + i;
    r->next = WORDS;
}

void
sea_py_random_seed(struct sea_py_random *r, uint32_t seed)
{
    uint32_t i = 1;

    seed_word(r, 19650218u);
    for (uint32_t k = 0; k < WORDS; k++) {      /* an array of one word: its index is always 0 */
        r->word[i] = (r->word[i] ^ (r->word[i - 1] ^ r->word[i - 1] >> 30) * 1664525u) + seed;
        if (++i >= WORDS) {
            r->word[0] = r->word[WORDS - 1];
            i = 1;
        }
    }
    for (uint32_t k = 0; k < WORDS - 1; k++) {
        r->word[i] = (r->word[i] ^ (r->word[i - 1] ^ r->word[i - 1] >> 30) * 1566083941u) - i;
        if (++i >= WORDS) {
            r->word[0] = r->word[WORDS - 1];
            i = 1;
        }
    }
    r->word[0] = 0x80000000u;
}

static uint32_t
next_word(struct sea_py_random *r)
{
    uint32_t y;

    if (r->next >= WORDS) {
        for (uint32_t k = 0; k < WORDS; k++) {
            y = (r->word[k] & 0x80000000u) | (r->word[(k + 1) % WORDS] & 0x7FFFFFFFu);
            r->word[k] = r->word[(k + STEP) % WORDS] ^ y >> 1 ^ (y & 1 ? 0x9908B0DFu : 0);
        }
        r->next = 0;
    }
    y = r->word[r->next++];
    y ^= y >> 11;
    y ^= y << 7 & 0x9D2C5680u;
    y ^= y << 15 & 0xEFC60000u;
    return y ^ y >> 18;
}

/* Enough upper bits for n, drawn again until they are below it. */
uint32_t
sea_py_random_below(struct sea_py_random *r, uint32_t n)
{
    uint32_t value, bits = 0;

    while (bits < 32 && n >> bits)
        bits++;
    do
        value = next_word(r) >> (32 - bits);
    while (value >= n);
    return value;
}
