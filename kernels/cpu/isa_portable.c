/* SPDX-License-Identifier: Apache-2.0 */
/* The operators for any processor: vectors of 4 that the compiler maps to what it has. */
#include "kernels/cpu/cpu_int.h"

#include <math.h>
#include <string.h>

#define LANES 4
#define ISA sea_cpu_portable
#define ISA_NAME "portable"
#include "kernels/cpu/isa.inc"
