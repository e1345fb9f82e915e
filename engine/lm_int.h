/* SPDX-License-Identifier: Apache-2.0 */
/* lm_int.h - pieces of the language model that lm.c, lm_step.c and generate.c share */
#ifndef SEA_LM_INT_H
#define SEA_LM_INT_H

#include "engine/sea_lm.h"

/* Rows of embeddings for ids (device, (R)), as they enter the stack; 0 where an id is
 * negative. */
SEA_MUST_CHECK enum sea_status
sea_lm_embed(const struct sea_lm *lm, const int32_t *ids, int64_t R, float *x,
             struct sea_err *err);
/* x[rows[i]] = given[from[i]] for n given rows (device); from NULL: given[i]. scratch
 * (n, D) is used with from. */
SEA_MUST_CHECK enum sea_status
sea_lm_give(const struct sea_lm *lm, const float *given, const int32_t *from, float *scratch,
            const int32_t *rows, int64_t n, float *x, struct sea_err *err);
/* The norm before the head; rstd NULL: not kept. */
SEA_MUST_CHECK enum sea_status
sea_lm_norm(const struct sea_lm *lm, const float *x, float *y, float *rstd, int64_t R,
            struct sea_err *err);

#endif
