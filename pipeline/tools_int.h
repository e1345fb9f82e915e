/* SPDX-License-Identifier: Apache-2.0 */
/* tools_int.h - between the files of tools*.c */
#ifndef SEA_TOOLS_INT_H
#define SEA_TOOLS_INT_H

#include "engine/sea_device.h"
#include "engine/sea_image.h"
#include "engine/sea_mllm.h"
#include "engine/sea_tokenizer.h"
#include "pipeline/sea_tools.h"

/* "f32" (or NULL), "bf16". */
SEA_MUST_CHECK enum sea_status
sea_tool_precision(enum sea_store *out, const char *name, struct sea_err *err);

/* A picture as the tower of a folder sees it, (3, height, width); aspect is "pad" or
 * "square"; caller frees pixels. */
SEA_MUST_CHECK enum sea_status
sea_tool_pixels(const char *dir, const char *path, const char *aspect, float **pixels,
                int *height, int *width, struct sea_err *err);

/* A model, opened for logits or generation. */
struct sea_opened {
    struct sea_device device;
    struct sea_mllm_folder folder;
    struct sea_mllm mllm;
    float *features;            // (patches, Dv) of the one picture, host; NULL: none
};
SEA_MUST_CHECK enum sea_status
sea_opened_model(struct sea_opened *opened, const char *dir, const char *tower,
                 const char *device, const char *precision, struct sea_err *err);
/* Features of the one picture. */
SEA_MUST_CHECK enum sea_status
sea_opened_picture(struct sea_opened *opened, const char *dir, const char *image,
                   const char *aspect, struct sea_err *err);
/* "1,2,3": the model's image token stands for the picture, and is as many SEA_LM_GIVEN as
 * it has patches, or, whole_pictures, one. */
SEA_MUST_CHECK enum sea_status
sea_opened_ids(const char *text, const struct sea_opened *opened, bool picture,
               bool whole_pictures, struct sea_ids *ids, struct sea_err *err);
void sea_opened_release(struct sea_opened *opened);

#endif
