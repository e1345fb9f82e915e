/* SPDX-License-Identifier: Apache-2.0 */
/* foundation_int.h - the two trainings of the foundation stage */
#ifndef SEA_FOUNDATION_INT_H
#define SEA_FOUNDATION_INT_H

#include "pipeline/stages/stages_int.h"

/* Trains tokenizer and CLIP, saves OUT/vision, adds figures of held-out pictures (heldout
 * with count 0: none). */
SEA_MUST_CHECK enum sea_status
sea_foundation_clip(struct sea_stage *stage, const struct sea_dataset *data,
                    const struct sea_dataset *heldout, struct sea_node *figures,
                    struct sea_err *err);

/* Trains tokenizer and language model, saves OUT/language, adds figures of held-out texts. */
SEA_MUST_CHECK enum sea_status
sea_foundation_text(struct sea_stage *stage, const struct sea_text_set *texts,
                    const struct sea_dataset *captions, struct sea_node *figures,
                    struct sea_err *err);

#endif
