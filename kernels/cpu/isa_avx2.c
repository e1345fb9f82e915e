/* SPDX-License-Identifier: Apache-2.0 */
/* The operators for processors with AVX2. */
#include "kernels/cpu/cpu_int.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

/* From here on every function may use these instructions; device.c asks the processor. */
#if defined(__clang__)
#pragma clang attribute push(__attribute__((target("avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx2,fma")
#endif

#define LANES 8
#define ISA sea_cpu_avx2
#define ISA_NAME "AVX2"
#include "kernels/cpu/isa.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int sea_cpu_not_this_processor;
#endif
