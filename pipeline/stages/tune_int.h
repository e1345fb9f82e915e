/* SPDX-License-Identifier: Apache-2.0 */
/* tune_int.h - between tune_prepare.c, tune.c (training) and tune_save.c (the model folder) */
#ifndef SEA_TUNE_INT_H
#define SEA_TUNE_INT_H

#include "engine/sea_conversation.h"
#include "engine/sea_lora.h"
#include "engine/sea_mllm.h"
#include "pipeline/stages/stages_int.h"

enum sea_tune_mode { SEA_TUNE_FULL, SEA_TUNE_LORA, SEA_TUNE_ADAPTER };

struct sea_tune_run {
    struct sea_stage *stage;
    enum sea_tune_mode mode;
    bool tower;                 /* the vision tower is trained, too */
    uint64_t seed;
    int64_t batch, steps, total;        /* total: samples of the whole run */
    int64_t m, layer;           /* rows of a picture, hidden state that they come from */
    bool with_class;            /* the class row is one of them */
    struct sea_dataset data;
    struct sea_pictures pictures;
    char vision[SEA_PATH_MAX], language[SEA_PATH_MAX];
    struct sea_tokenizer *tokenizer;
    enum sea_template template_kind;
    struct sea_clip *clip;
    struct sea_lm *lm;
    struct sea_lora *lora;
    struct sea_adapter *adapter;
    struct sea_mllm mllm;
    struct sea_features features;       /* frozen tower */
    struct sea_samples samples;
    struct sea_order order;
    int64_t *lengths;           // (samples) words, below 0 without a picture
    struct sea_adamw *adamw;
    struct sea_mllm_work *work;
    int64_t rows_max, images_max;       /* of one part */
    /* the samples of one step */
    int64_t *step_items, *step_rows, *step_part;        // (batch)
    double *losses;             // (batch) of the step's parts
    int64_t first;              /* number of the step's first sample in the run */
    /* one part, host */
    struct sea_packed packed;
    float *features_of;         // (images_max, m, Dv); a trained tower: NULL
    int64_t *numbers;           // (images_max) pictures of the part
    uint64_t *keys, *live_keys; // (rows_max) rows, for dropout
    int64_t live;
    /* a trained tower */
    struct sea_clip_work *tower_work;
    struct sea_plan tower_plan;
    float *pixels;              // (images_max, 3, side, side) host
    float *tower_out, *tower_grad;      // (images_max, m, Dv) device
};
/* Everything up to the first step (tune_prepare.c). */
SEA_MUST_CHECK enum sea_status
sea_tune_prepare(struct sea_tune_run *run, struct sea_err *err);
void sea_tune_release(struct sea_tune_run *run);        /* accepts all-zero */

struct sea_tuned {              /* all borrowed */
    struct sea_stage *stage;
    struct sea_clip *clip;
    struct sea_adapter *adapter;
    struct sea_lm *lm;
    struct sea_lora *lora;      /* to be written beside the model; NULL: none */
    int64_t layer;              /* of the tower's features */
    bool with_class;
    struct sea_tokenizer *tokenizer;
    struct sea_conversation conversation;       /* of the training data */
    const char *language;       /* folder that the tokenizer's files come from */
    const struct sea_image_view *view;
};
/*
 * Writes OUT/model, a LlavaForConditionalGeneration folder with tokenizer and processor. A
 * tokenizer without "<image>" gets the word behind its last one, and the language model
 * rows of zeros for it (to a multiple of 64 words), as Llava folders on the hub have it.
 * With lora, OUT/model is a PEFT folder (with tokenizer and processor, too), and the Llava
 * folder that it belongs to is OUT/model/base.
 */
SEA_MUST_CHECK enum sea_status
sea_tuned_save(const struct sea_tuned *tuned, struct sea_err *err);

/* A copy of a language model with room for more words; what is new is 0. Tested alone. */
SEA_MUST_CHECK enum sea_status
sea_lm_widen(struct sea_lm **out, const struct sea_lm *lm, int64_t vocab, struct sea_err *err);

#endif
