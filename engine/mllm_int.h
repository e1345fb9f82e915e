/* SPDX-License-Identifier: Apache-2.0 */
/* mllm_int.h - what a multimodal folder's config.json says, between the mllm_*.c files */
#ifndef SEA_MLLM_INT_H
#define SEA_MLLM_INT_H

#include "engine/sea_mllm.h"

struct sea_mllm_settings {
    struct sea_clip_desc clip;
    struct sea_lm_desc lm;
    int64_t layer;
    bool with_class;
    int32_t image_token;
    enum sea_act act;           /* of the adapter */
    bool original;              /* LLaVA's own layout */
    enum sea_adapter_kind kind; /* of the original layout */
    bool pad;                   /* pictures are padded to squares */
    char template_name[32];     /* "": not said */
    char tower[SEA_PATH_MAX];   /* original: the folder of its vision tower */
    char view[SEA_PATH_MAX];    /* the folder of preprocessor_config.json */
};

/* Reads dir's config.json. tower: a folder that replaces "mm_vision_tower", NULL: none. */
SEA_MUST_CHECK enum sea_status
sea_mllm_settings_load(struct sea_mllm_settings *settings, const char *dir, const char *tower,
                       struct sea_err *err);

#endif
