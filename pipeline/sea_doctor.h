/* SPDX-License-Identifier: Apache-2.0 */
/* sea_doctor.h - what this machine can compute on, for `sea doctor` and `sea bench`. */
#ifndef SEA_DOCTOR_H
#define SEA_DOCTOR_H

#include <stddef.h>
#include <stdbool.h>
#include <stdio.h>

#include "engine/base/sea_err.h"

/* Opens the device and describes it in one line. The errors are those of the device. */
SEA_MUST_CHECK enum sea_status
sea_doctor_device(const char *name, char *text, size_t room, struct sea_err *err);

/* Multiplies matrices for about a second and prints GFLOP/s per shape. The full comparison
 * with the FMA peak and with PyTorch is `make bench`. */
SEA_MUST_CHECK enum sea_status
sea_doctor_gemm(const char *device, bool json, FILE *to, struct sea_err *err);

#endif
