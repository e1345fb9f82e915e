/* SPDX-License-Identifier: Apache-2.0 */
/* sea_doctor.h - what this machine can compute on, for `sea doctor`. */
#ifndef SEA_DOCTOR_H
#define SEA_DOCTOR_H

#include <stddef.h>

#include "engine/base/sea_err.h"

/* Opens the device and describes it in one line. The errors are those of the device. */
SEA_MUST_CHECK enum sea_status
sea_doctor_device(const char *name, char *text, size_t room, struct sea_err *err);

/* Files outside the program that some stage reads, where Debian's packages put them. */
struct sea_doctor_file {
    const char *topic;          /* "wordnet" */
    const char *path;
    const char *package;        /* what installs it */
};
const struct sea_doctor_file *sea_doctor_files(size_t *count);

#endif
