/* SPDX-License-Identifier: Apache-2.0 */
/* overlay_int.h - a picture with a word on each patch, for people who judge labels */
#ifndef SEA_OVERLAY_INT_H
#define SEA_OVERLAY_INT_H

#include "engine/sea_image.h"

/* Enlarges the picture until a word of ten letters fits a patch, writes words[p] (row by
 * row; NULL: none) into each of grid x grid patches, and saves a PNG. Blanks break lines. */
SEA_MUST_CHECK enum sea_status
sea_overlay_write(const char *path, const struct sea_image *image, int grid,
                  const char *const *words, struct sea_err *err);

#endif
