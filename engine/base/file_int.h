/* SPDX-License-Identifier: Apache-2.0 */
/* file_int.h - what files and folders share */
#ifndef SEA_FILE_INT_H
#define SEA_FILE_INT_H

#include "engine/base/sea_file.h"

/* For snprintf into SEA_PATH_MAX bytes: SEA_E_CONFIG when path did not fit. */
SEA_MUST_CHECK enum sea_status sea_path_fits(int printed, const char *path, struct sea_err *err);

#endif
