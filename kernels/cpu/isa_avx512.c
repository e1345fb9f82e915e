/* SPDX-License-Identifier: Apache-2.0 */
/* The operators for processors with AVX-512. */
#include "kernels/cpu/cpu_int.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

/* From here on every function may use these instructions; device.c asks the processor. */
#if defined(__clang__)
#pragma clang attribute push(                                                      \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma"))), apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx2,fma")
#endif

#define LANES 16
#define ISA sea_cpu_avx512
#define ISA_NAME "AVX-512"
#include "kernels/cpu/isa.inc"

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else
typedef int sea_cpu_not_this_processor;
#endif
