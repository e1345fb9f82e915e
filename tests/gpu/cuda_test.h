/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_test.h - what the files of test_cuda share
 *
 *     devices, buffers, comparing .. test_cuda.c
 *     products, attention .......... cuda_products.c
 *     norms to losses .............. cuda_rows.c
 *     moves, updates, memory ....... cuda_memory.c
 *
 * An operator runs on the CPU once and on the device twice, from the same buffers; the
 * device's bits must agree with each other and its numbers lie within a bound of the CPU's,
 * relative to the largest. A test adds its buffers, compares, and has none left then.
 */
#ifndef SEA_TESTS_GPU_CUDA_TEST_H
#define SEA_TESTS_GPU_CUDA_TEST_H

#include <stdint.h>

#include "kernels/sea_ops.h"
#include "tests/sea_test.h"

enum { CPU, GPU };              /* of every pair below */

extern const struct sea_ops *ops[2];
extern void *dev[2];

/* Each file's tests, in the order in which they run; an entry without a name ends them. */
extern const struct sea_test_case cuda_products[], cuda_rows[], cuda_memory[];
extern const struct sea_test_case cuda_full_memory[];   /* cuda_memory.c, on a card alone */

/* ---- buffers that exist on both devices; each add returns the buffer's number ---- */

float number(float size);       /* random, from -size to size */
int add(const void *start, size_t bytes);
int add_random(int64_t n, float size);
/* The numbers of a buffer in bfloat16: as weights are stored. */
int add_bf16(int64_t n, float size);
/* Numbers that bfloat16 holds, as float32. */
int add_short(int64_t n, float size);
int add_ints(const int32_t *x, int64_t n);

void *start_of(int b);          /* what it holds before every run; may be changed */
void *at(int b, int d);         /* on device d. A negative number stands for no buffer: NULL */
void reset(int d);              /* all buffers of device d hold their start */
void *fetch(int b, int d);      /* a copy, to be freed */
void done(void);                /* all buffers are given back */

/* Runs on both; checks the buffers outs[0..n-1], floats, against each other. n: 8 at most. */
void compare(const char *what, int (*run)(int d, const void *op), const void *op,
             const int *outs, int n, double bound);

/* ---- one product (cuda_products.c) ---- */

struct product {
    struct sea_op_gemm op;      /* all but its pointers */
    int a, b, c, bias;          /* buffers */
};
int run_gemm(int d, const void *product);

#endif
