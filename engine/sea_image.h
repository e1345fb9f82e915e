/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_image.h - pictures in, the vision tower's pixels out
 *
 * Decodes JPEG, PNG and WebP by content (the file's name does not matter) to 8-bit RGB the
 * way Pillow's convert("RGB") does: palettes and grey are expanded, alpha is dropped, 16-bit
 * samples keep their high byte (of grey ones, too, which Pillow clips at 255), EXIF
 * orientation is not applied. Then prepares the tensor of
 * a CLIP-like tower: pad or not, resize (Pillow's bicubic, bit for bit), centre crop, rescale,
 * normalise.
 *
 * Files come from strangers. Size is checked from the header before anything is decoded; a
 * file that ends too early or is damaged is SEA_E_FORMAT, never half a picture.
 * Threads: all functions may run in several threads at once.
 */
#ifndef SEA_IMAGE_H
#define SEA_IMAGE_H

#include <stdbool.h>
#include <stddef.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_err.h"

#define SEA_IMAGE_SIDE_MAX 65536                        /* pixels */
#define SEA_IMAGE_PIXELS_MAX ((long long)178956970)     /* as Pillow's limit */
#define SEA_IMAGE_FILE_MAX ((size_t)256 << 20)          /* bytes of a file */

struct sea_image {              /* all zero is empty */
    int width, height;
    unsigned char *rgb;         // (height, width, 3)
};
void sea_image_release(struct sea_image *image);        /* accepts NULL and all-zero */

/* name is what messages call the picture, usually its path. */
SEA_MUST_CHECK enum sea_status
sea_image_decode(struct sea_image *out, const void *bytes, size_t n, const char *name,
                 struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_image_load(struct sea_image *out, const char *path, struct sea_err *err);

/* PNG, RGB8; equal pixels give equal bytes. encode appends to out. */
SEA_MUST_CHECK enum sea_status
sea_image_encode_png(const unsigned char *rgb, int width, int height, struct sea_buf *out,
                     struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_image_write_png(const char *path, const unsigned char *rgb, int width, int height,
                    struct sea_err *err);

/* ---- what the tower sees ---- */

enum sea_aspect {
    SEA_ASPECT_SQUARE,          /* as the processor's file says: shortest edge, crop */
    SEA_ASPECT_PAD              /* first onto a square of the mean colour, centred */
};
enum sea_resample {             /* Pillow's numbers, as the processors' files write them */
    SEA_RESAMPLE_LANCZOS = 1, SEA_RESAMPLE_BILINEAR = 2, SEA_RESAMPLE_BICUBIC = 3
};

struct sea_image_view {
    int size;                   /* shortest edge after the resize; 0: resize_h, resize_w */
    int resize_h, resize_w;     /* exact size (SigLIP's); 0 when size is set */
    int crop_h, crop_w;         /* of the result, cut out of the middle, 0 (black) outside */
    bool do_resize, do_crop, do_rescale, do_normalize;
    enum sea_resample resample;
    double rescale;             /* 1/255 */
    float mean[3], std[3];
    unsigned char fill[3];      /* the mean colour, of PAD: cut, from the file's digits */
    enum sea_aspect aspect;
};
/* CLIP's: SQUARE, shortest edge side, crop side x side, bicubic, CLIP's mean and deviation. */
struct sea_image_view sea_image_view_defaults(int side);
/* Reads "image_processor" of DIR/processor_config.json where there is one, else
 * DIR/preprocessor_config.json, in the layouts of CLIPImageProcessor, SiglipImageProcessor,
 * BitImageProcessor and LlavaImageProcessor. aspect is PAD when Llava's says do_pad, else SQUARE; the experiment
 * may set it. Options that we do not compute are SEA_E_FORMAT and named. */
SEA_MUST_CHECK enum sea_status
sea_image_view_load(struct sea_image_view *view, const char *dir, struct sea_err *err);
/* Whether dir has either; a file that is no JSON is an error. */
SEA_MUST_CHECK enum sea_status
sea_image_view_find(const char *dir, bool *found, struct sea_err *err);
/* Writes DIR/preprocessor_config.json. */
SEA_MUST_CHECK enum sea_status
sea_image_view_save(const struct sea_image_view *view, const char *dir, struct sea_err *err);

/* out: (3, crop_h, crop_w) floats. A picture whose resized edge passes SEA_IMAGE_SIDE_MAX is
 * SEA_E_FORMAT. */
SEA_MUST_CHECK enum sea_status
sea_image_preprocess(const struct sea_image *image, const struct sea_image_view *view,
                     float *out, struct sea_err *err);
/* The steps before rescaling, as RGB of crop_w x crop_h: what the tower sees, for people. */
SEA_MUST_CHECK enum sea_status
sea_image_view_rgb(const struct sea_image *image, const struct sea_image_view *view,
                   struct sea_image *out, struct sea_err *err);
/* Pillow's Image.resize on RGB. */
SEA_MUST_CHECK enum sea_status
sea_image_resize(const struct sea_image *image, int width, int height,
                 enum sea_resample resample, struct sea_image *out, struct sea_err *err);

#endif
