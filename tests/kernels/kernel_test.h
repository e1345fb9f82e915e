/* SPDX-License-Identifier: Apache-2.0 */
/*
 * kernel_test.h - what every operator's test needs
 *
 * Devices: for each instruction set this processor runs, one device with 1 thread and one
 * with 3. An operator runs on both; their bits must agree, and their numbers must lie
 * within a bound of the twin's (twin.h, in double).
 * Buffers: kt_floats gives numbers between guards of 64 numbers; kt_done looks at every
 * guard and frees all buffers. A test ends with kt_done.
 */
#ifndef KERNEL_TEST_H
#define KERNEL_TEST_H

#include <float.h>
#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/cpu/cpu_int.h"
#include "tests/sea_test.h"

#define KT_GUARD 64
#define KT_GUARD_BITS 0x7fc5ea5eu       /* not a number: an operator that reads it shows it */
#define KT_UNIT (DBL_EPSILON * 268435456.0)     /* 2^-24: half an ulp of 1.0f */

struct kt_buffer {
    float *all;
    size_t n;
};
struct kt_set {
    const struct sea_cpu_isa *isa;
    void *dev[2];               /* 1 thread, 3 threads */
};

static struct kt_buffer kt_buffers[256];
static int kt_buffers_count;
static struct kt_set kt_sets[4];
static int kt_sets_count;
static uint64_t kt_state = 88172645463325252ull;

static inline uint64_t
kt_bits(void)
{
    kt_state ^= kt_state << 13;
    kt_state ^= kt_state >> 7;
    kt_state ^= kt_state << 17;
    return kt_state;
}

/* Uniform in [-1, 1). */
static inline float
kt_number(void)
{
    return (float)(int64_t)(kt_bits() >> 40) / 8388608.0f - 1.0f;
}

static inline float *
kt_floats(int64_t n)
{
    size_t total = (size_t)n + 2 * KT_GUARD;
    float *all = malloc(total * sizeof(float));

    if (!all || kt_buffers_count == 256)
        abort();
    for (size_t i = 0; i < total; i++)
        memcpy(&all[i], &(uint32_t){ KT_GUARD_BITS }, sizeof(float));
    kt_buffers[kt_buffers_count++] = (struct kt_buffer){ all, (size_t)n };
    return all + KT_GUARD;
}

static inline float *
kt_random(int64_t n, float size)
{
    float *x = kt_floats(n);

    for (int64_t i = 0; i < n; i++)
        x[i] = kt_number() * size;
    return x;
}

static inline float *
kt_zeros(int64_t n)
{
    float *x = kt_floats(n);

    for (int64_t i = 0; i < n; i++)
        x[i] = 0.0f;
    return x;
}

static inline float *
kt_copy(const float *from, int64_t n)
{
    return memcpy(kt_floats(n), from, (size_t)n * sizeof(float));
}

static inline int32_t *
kt_ints(int64_t n)
{
    return (int32_t *)(void *)kt_floats(n);
}

/* bfloat16 as the operators see it: the upper half of a float. Widening is exact. */
static inline float
kt_widen(uint16_t x)
{
    uint32_t bits = (uint32_t)x << 16;
    float wide;

    memcpy(&wide, &bits, sizeof(wide));
    return wide;
}

/* n bfloat16 at random; an odd n is followed by something that is not a number. */
static inline uint16_t *
kt_bf16(int64_t n, float size)
{
    uint16_t *x = (uint16_t *)(void *)kt_floats((n + 1) / 2);

    for (int64_t i = 0; i < n; i++) {
        float wide = kt_number() * size;
        uint32_t bits;

        memcpy(&bits, &wide, sizeof(bits));
        x[i] = (uint16_t)(bits >> 16);
    }
    return x;
}

/* Matrices of either type, for arguments that take both. */
static inline void *
kt_weights(enum sea_store type, int64_t n, float size)
{
    return type == SEA_STORE_BF16 ? (void *)kt_bf16(n, size) : (void *)kt_random(n, size);
}

static inline float
kt_weight_at(enum sea_store type, const void *x, int64_t i)
{
    return type == SEA_STORE_BF16 ? kt_widen(((const uint16_t *)x)[i]) : ((const float *)x)[i];
}

/* The same numbers in double: kept until kt_done, without guards of interest. */
static inline double *
kt_wide(const float *from, int64_t n)
{
    double *x = (double *)(void *)(kt_floats(2 * n + 2));

    for (int64_t i = 0; i < n; i++)
        x[i] = from ? (double)from[i] : 0.0;
    return x;
}

static inline void
kt_done(void)
{
    for (int b = 0; b < kt_buffers_count; b++) {
        const struct kt_buffer *buffer = &kt_buffers[b];
        int spoilt = 0;

        for (size_t i = 0; i < KT_GUARD; i++) {
            uint32_t front, back;

            memcpy(&front, &buffer->all[i], sizeof(front));
            memcpy(&back, &buffer->all[KT_GUARD + buffer->n + i], sizeof(back));
            spoilt |= front != KT_GUARD_BITS || back != KT_GUARD_BITS;
        }
        CHECK_MSG(!spoilt, "guard of buffer %d (%zu numbers) was written", b, buffer->n);
        free(buffer->all);
    }
    kt_buffers_count = 0;
}

static inline void
kt_close(void)
{
    for (int i = 0; i < kt_sets_count; i++)
        for (int j = 0; j < 2; j++)
            sea_cpu_ops.dev_close(kt_sets[i].dev[j]);
    kt_sets_count = 0;
}

/* The instruction sets to test; opened once. */
static inline int
kt_open(void)
{
    const struct sea_cpu_isa *const *isa = sea_cpu_isas();

    if (kt_sets_count)
        return kt_sets_count;
    for (; *isa; isa++) {
        struct kt_set *set = &kt_sets[kt_sets_count];

        set->isa = *isa;
        if (sea_cpu_open(*isa, 1, &set->dev[0]) || sea_cpu_open(*isa, 3, &set->dev[1]))
            abort();
        kt_sets_count++;
    }
    atexit(kt_close);
    return kt_sets_count;
}

static inline void
kt_same(const char *what, const char *isa, const float *a, const float *b, int64_t n)
{
    int64_t i = 0;

    while (i < n && !memcmp(&a[i], &b[i], sizeof(float)))
        i++;
    CHECK_MSG(i == n, "%s (%s): number %lld is %.9g and %.9g", what, isa, (long long)i,
              (double)a[i < n ? i : 0], (double)b[i < n ? i : 0]);
}

/* Largest |got - want| / scale[i]; scale NULL: the largest |want|, at least 1e-30. A number
 * that is not one counts as infinite. */
static inline double
kt_error(const float *got, const double *want, const double *scale, int64_t n)
{
    double worst = 0.0, top = 1e-30;

    for (int64_t i = 0; i < n; i++)
        top = fmax(top, fabs(want[i]));
    for (int64_t i = 0; i < n; i++) {
        double error = fabs((double)got[i] - want[i]) / (scale ? scale[i] : top);

        worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
    }
    return worst;
}

/* Prints the error next to its bound and checks it. */
static inline void
kt_within(const char *what, const char *isa, double error, double bound)
{
    printf("  %-34s %-9s error %9.2e  bound %9.2e\n", what, isa, error, bound);
    CHECK_MSG(error <= bound, "%s (%s): error %.3g, bound %.3g", what, isa, error, bound);
}

/* d loss / d *at by central differences; loss reads what `at` points into. */
static inline double
kt_slope(double (*loss)(const void *), const void *args, double *at)
{
    double x = *at, h = 1e-5 * fmax(1.0, fabs(x)), up, down;

    *at = x + h;
    up = loss(args);
    *at = x - h;
    down = loss(args);
    *at = x;
    return (up - down) / (2.0 * h);
}

#endif
