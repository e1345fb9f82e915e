/* SPDX-License-Identifier: Apache-2.0 */
/* image_int.h - what the picture files share: one decoder per format, one resampler */
#ifndef SEA_IMAGE_INT_H
#define SEA_IMAGE_INT_H

#include <stdint.h>

#include "engine/sea_image.h"

/* Refuses a size that passes the limits; called with the header's numbers. */
SEA_MUST_CHECK enum sea_status
sea_image_check_size(long long width, long long height, const char *name, struct sea_err *err);
/* "the file ends too early" and other words of a decoder, as one message with a hint. */
enum sea_status
sea_image_refuse(const char *format, const char *name, const char *why, struct sea_err *err);

/* Each gets bytes that begin like its format, and fills out, which is empty. */
SEA_MUST_CHECK enum sea_status
sea_image_decode_jpeg(struct sea_image *out, const unsigned char *bytes, size_t n,
                      const char *name, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_image_decode_png(struct sea_image *out, const unsigned char *bytes, size_t n,
                     const char *name, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_image_decode_webp(struct sea_image *out, const unsigned char *bytes, size_t n,
                      const char *name, struct sea_err *err);

/* in: (in_h, in_w, 3); out: (out_h, out_w, 3). Sizes are at least 1. */
void sea_resample(const unsigned char *in, int in_w, int in_h, unsigned char *out, int out_w,
                  int out_h, enum sea_resample kind);

#endif
