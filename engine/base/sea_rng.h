/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_rng.h - counter-based random numbers (Philox 4x32-10, Salmon et al. 2011)
 *
 * A number is a pure function of (seed, stream, counter): nothing is carried along, so a
 * resumed run, another thread count or another order of work draws the same numbers.
 * stream names the use (initialisation of tensor t, shuffle of epoch e, window draw of
 * step s), counter the element.
 */
#ifndef SEA_RNG_H
#define SEA_RNG_H

#include <stddef.h>
#include <stdint.h>

/* Four 32-bit words for one (key, counter). The plain function of the paper. */
void sea_philox(const uint32_t key[2], const uint32_t counter[4], uint32_t out[4]);

/* A cursor over one stream: convenient where numbers are drawn one after another. */
struct sea_rng {
    uint64_t seed, stream, next;
    uint32_t words[4];
    int left;                   /* words not handed out yet */
};
void sea_rng_init(struct sea_rng *rng, uint64_t seed, uint64_t stream);
uint32_t sea_rng_u32(struct sea_rng *rng);
uint32_t sea_rng_below(struct sea_rng *rng, uint32_t n);    /* 0..n-1, unbiased; n > 0 */
double sea_rng_uniform(struct sea_rng *rng);                /* [0, 1), 53 bits */
double sea_rng_normal(struct sea_rng *rng);                 /* Box-Muller, no carry */
void sea_rng_shuffle(struct sea_rng *rng, int64_t *items, size_t n);    /* Fisher-Yates */

/* Direct access: element i of a stream. */
double sea_rng_uniform_at(uint64_t seed, uint64_t stream, uint64_t i);
double sea_rng_normal_at(uint64_t seed, uint64_t stream, uint64_t i);

/* A stream number from words: FNV-1a over text, mixed with a and b. */
uint64_t sea_rng_stream(const char *text, uint64_t a, uint64_t b);

#endif
