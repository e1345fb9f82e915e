/* SPDX-License-Identifier: Apache-2.0 */
/* tune_int.h - between tune.c (training) and tune_save.c (the model folder) */
#ifndef SEA_TUNE_INT_H
#define SEA_TUNE_INT_H

#include "engine/sea_mllm.h"
#include "pipeline/stages/stages_int.h"

struct sea_tuned {              /* all borrowed */
    struct sea_stage *stage;
    struct sea_clip *clip;
    struct sea_adapter *adapter;
    struct sea_lm *lm;
    struct sea_tokenizer *tokenizer;
    const char *language;       /* folder that the tokenizer's files come from */
    const struct sea_image_view *view;
};
/*
 * Writes OUT/model, a LlavaForConditionalGeneration folder with tokenizer and processor. A
 * tokenizer without "<image>" gets the word behind its last one, and the language model
 * rows of zeros for it (to a multiple of 64 words), as Llava folders on the hub have it.
 */
SEA_MUST_CHECK enum sea_status
sea_tuned_save(const struct sea_tuned *tuned, struct sea_err *err);

/* A copy of a language model with room for more words; what is new is 0. Tested alone. */
SEA_MUST_CHECK enum sea_status
sea_lm_widen(struct sea_lm **out, const struct sea_lm *lm, int64_t vocab, struct sea_err *err);

#endif
