/* SPDX-License-Identifier: Apache-2.0 */
/* tools_int.h - between tools.c and tools_text.c */
#ifndef SEA_TOOLS_INT_H
#define SEA_TOOLS_INT_H

#include "engine/sea_image.h"
#include "pipeline/sea_tools.h"

/* "pad" or "square". */
SEA_MUST_CHECK enum sea_status
sea_aspect_parse(enum sea_aspect *out, const char *name, struct sea_err *err);

/* A picture as the tower of a folder sees it, (3, height, width); caller frees pixels. */
SEA_MUST_CHECK enum sea_status
sea_tool_pixels(const char *dir, const char *path, const char *aspect, float **pixels,
                int *height, int *width, struct sea_err *err);

#endif
