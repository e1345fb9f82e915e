/* SPDX-License-Identifier: Apache-2.0 */
/* eval_int.h - between eval.c (suite and scores) and eval_answer.c (making answers) */
#ifndef SEA_EVAL_INT_H
#define SEA_EVAL_INT_H

#include "engine/sea_conversation.h"
#include "engine/sea_generate.h"
#include "pipeline/stages/stages_int.h"
#include "pipeline/sea_suite.h"

struct sea_eval {
    struct sea_stage *stage;
    struct sea_mllm_folder folder;
    struct sea_mllm mllm;
    struct sea_tokenizer *tokenizer;
    struct sea_image_view view;
    struct sea_clip_work *work;
    float *pixels;              // (pictures at once, 3, side, side)
    float *features;            // (pictures at once, m, Dv)
    const char *model_id;       /* of answer files */
    struct sea_conversation conversation;       /* how questions are put */
    int32_t eos[SEA_LM_EOS + 1];        /* the model's end words, and the template's */
    int eos_count;
    int64_t slots;
    const struct sea_judge_options *judge;      /* NULL: no benchmark needs one */
    int64_t done, total;        /* questions of the whole suite */
    double told_s;              /* when a checkpoint was told; 0: none was due yet */
};

enum sea_control { SEA_CONTROL_NONE, SEA_CONTROL_SHUFFLE, SEA_CONTROL_NO_IMAGE };
#define SEA_EVAL_PICTURES 32    /* whose questions are answered together */

/* Answers every question of a benchmark, greedily, and writes them to path. name: of the
 * run, for its parts in the checkpoint folder. control: each question sees the picture of
 * another one, or none. */
SEA_MUST_CHECK enum sea_status
sea_eval_answer(struct sea_eval *eval, const struct sea_suite_item *item,
                const struct sea_bench_questions *questions, const char *name,
                enum sea_control control, const char *path, struct sea_err *err);

#endif
