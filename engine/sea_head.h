/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_head.h - from hidden rows to words: logits, cross-entropy, best words
 *
 * Logits are the largest tensor of a small language model, and nobody needs all of them at
 * once: rows go through the head matrix a chunk at a time, in one buffer, where the loss
 * turns them into their own gradient. Callers give only the rows that are supervised.
 *
 * Invariants: (1) a row's logits, loss and gradient do not depend on the other rows nor on
 *                 the chunk; dW is summed in row order, chunk after chunk;
 *             (2) nothing allocates after init.
 */
#ifndef SEA_HEAD_H
#define SEA_HEAD_H

#include "engine/sea_params.h"
#include "engine/sea_plan.h"

#define SEA_HEAD_BEST 64        /* words per row at most in sea_head_best */

struct sea_head {
    const struct sea_device *device;
    struct sea_plan plan;
    int64_t D, V;               /* width of hidden rows, words */
    int64_t rows;               /* per call at most */
    int64_t chunk;              /* rows of logits at a time */
    float *logits;              // (chunk, V)
    float *loss;                // (rows) of the last sea_head_loss, weighted
    double *sum;                // (1) sum of loss
    int32_t *index;             // (chunk, SEA_HEAD_BEST)
    float *value;               // (chunk, SEA_HEAD_BEST)
};

SEA_MUST_CHECK enum sea_status
sea_head_init(struct sea_head *head, const struct sea_device *device, int64_t rows, int64_t D,
              int64_t V, struct sea_err *err);
void sea_head_release(struct sea_head *head);   /* accepts all-zero */
/* On the CPU; a card's logits take up to 1 GiB. */
size_t sea_head_bytes(int64_t rows, int64_t D, int64_t V);

struct sea_head_words {         /* what turns hidden rows into words */
    struct sea_weight matrix;   // (V, D)
    const float *bias;          // (V), NULL: none
    float softcap;              /* > 0: logits are cap * tanh(logit / cap); 0: none */
};

struct sea_head_rows {          /* all device memory */
    const float *hidden;        // (R, D) after the final norm
    struct sea_head_words words;
    const int32_t *target;      // (R) words
    const float *weight;        // (R) of each row's loss, 1/supervised in training
    float *dhidden;             // (R, D), overwritten; NULL: loss only
    float *dmatrix;             // (V, D), added to; NULL: frozen
    float *dbias;               // (V), added to; NULL: frozen or none
    int64_t R;
    bool rounded;               /* products may be: sea_params_rounds */
};
/* Cross-entropy and, when wanted, its gradients. */
SEA_MUST_CHECK enum sea_status
sea_head_loss(struct sea_head *head, const struct sea_head_rows *rows, struct sea_err *err);
/* Sum of the weighted losses of the last call (0 rows: 0). Waits for the device. */
SEA_MUST_CHECK enum sea_status
sea_head_read(struct sea_head *head, double *sum, struct sea_err *err);

/* logits (R, V) to the host. */
SEA_MUST_CHECK enum sea_status
sea_head_logits(struct sea_head *head, const float *hidden, const struct sea_head_words *words,
                int64_t R, float *out_host, struct sea_err *err);
/* The k best words of each row to the host, best first, ties to the lowest word:
 * index (R, k), value (R, k) or NULL. */
SEA_MUST_CHECK enum sea_status
sea_head_best(struct sea_head *head, const float *hidden, const struct sea_head_words *words,
              int64_t R, int64_t k, int32_t *index, float *value, struct sea_err *err);

#endif
