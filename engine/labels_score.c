/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Scoring: cosines of patches and words, the best of each patch. The full table of
 * rows x words is never there: words come in chunks, and each chunk's scores are merged
 * into the running list of the best.
 */
#include <stdlib.h>

#include "engine/base/sea_arena.h"
#include "engine/sea_labels.h"
#include "engine/sea_plan.h"

#define WORDS_AT_ONCE 4096
#define TOP_MAX 64

struct sea_scorer {
    const struct sea_device *device;
    struct sea_plan plan;
    int64_t q, J, top, rows, chunk;
    float sign;
    float *words;               // (q, J)
    float *scores;              // (rows, chunk)
    int32_t *index;             // (rows, top)
    float *value;               // (rows, top)
};

enum sea_status
sea_scorer_create(struct sea_scorer **out, const struct sea_device *device,
                  const float *words, int64_t q, int64_t J, int64_t top, float sign,
                  int64_t rows, struct sea_err *err)
{
    struct sea_scorer *scorer = NULL;
    size_t words_at, scores, index, value;
    enum sea_status status;

    *out = NULL;
    if (q < 1 || q > INT32_MAX || top < 1 || top > TOP_MAX || top > q) {
        status = sea_fail(err, SEA_E_CONFIG, "label.top is %lld with %lld words, need 1 to "
                          "%d and no more than words", (long long)top, (long long)q, TOP_MAX);
        goto out;
    }
    scorer = sea_xcalloc(1, sizeof(*scorer));
    scorer->device = device;
    scorer->q = q;
    scorer->J = J;
    scorer->top = top;
    scorer->rows = rows > 0 ? rows : 1;
    scorer->sign = sign;
    scorer->chunk = q < WORDS_AT_ONCE ? q : WORDS_AT_ONCE;
    sea_plan_init(&scorer->plan);
    words_at = sea_plan_add(&scorer->plan, (size_t)q, (size_t)J * sizeof(float));
    scores = sea_plan_add(&scorer->plan, (size_t)scorer->rows,
                          (size_t)scorer->chunk * sizeof(float));
    index = sea_plan_add(&scorer->plan, (size_t)scorer->rows, (size_t)top * sizeof(int32_t));
    value = sea_plan_add(&scorer->plan, (size_t)scorer->rows, (size_t)top * sizeof(float));
    status = sea_plan_reserve(&scorer->plan, device, err);
    if (status)
        goto out;
    scorer->words = sea_plan_at(&scorer->plan, words_at);
    scorer->scores = sea_plan_at(&scorer->plan, scores);
    scorer->index = sea_plan_at(&scorer->plan, index);
    scorer->value = sea_plan_at(&scorer->plan, value);
    status = sea_device_put(device, scorer->words, words,
                            (size_t)q * (size_t)J * sizeof(float), err);
    if (status)
        goto out;
    *out = scorer;
    scorer = NULL;
out:
    sea_scorer_destroy(scorer);
    return status;
}

void
sea_scorer_destroy(struct sea_scorer *scorer)
{
    if (!scorer)
        return;
    sea_plan_release(&scorer->plan);
    free(scorer);
}

static enum sea_status
score_chunk(struct sea_scorer *scorer, const float *patches, int64_t R, int64_t first,
            struct sea_err *err)
{
    int64_t C = scorer->q - first < scorer->chunk ? scorer->q - first : scorer->chunk;
    const struct sea_op_gemm gemm = {
        .a = patches, .lda = scorer->J, .b = scorer->words + first * scorer->J,
        .ldb = scorer->J, .trans_b = 1, .c = scorer->scores, .ldc = scorer->chunk,
        .M = R, .N = C, .K = scorer->J, .alpha = scorer->sign,
    };
    const struct sea_op_topk topk = {
        .x = scorer->scores, .index = scorer->index, .value = scorer->value, .R = R, .C = C,
        .k = scorer->top, .ld = scorer->chunk, .col_base = first, .merge = first > 0,
    };
    enum sea_status status;

    status = sea_run(scorer->device, err, gemm, &gemm);
    if (!status)
        status = sea_run(scorer->device, err, topk, &topk);
    return status;
}

enum sea_status
sea_scorer_run(struct sea_scorer *scorer, const float *patches, int64_t rows,
               int32_t *index, float *score, struct sea_err *err)
{
    int64_t from, n, first, i;
    enum sea_status status = SEA_OK;

    for (from = 0; !status && from < rows; from += n) {
        size_t bytes;

        n = rows - from < scorer->rows ? rows - from : scorer->rows;
        bytes = (size_t)(n * scorer->top) * sizeof(float);
        for (first = 0; !status && first < scorer->q; first += scorer->chunk)
            status = score_chunk(scorer, patches + from * scorer->J, n, first, err);
        if (!status)
            status = sea_device_get(scorer->device, index + from * scorer->top,
                                    scorer->index, bytes, err);
        if (!status)
            status = sea_device_get(scorer->device, score + from * scorer->top,
                                    scorer->value, bytes, err);
    }
    /* A score of 0 is never drawn; what is no number never compares above it, either. */
    for (i = 0; !status && i < rows * scorer->top; i++)
        if (index[i] < 0 || !(score[i] > 0)) {
            index[i] = SEA_LABELS_NONE;
            score[i] = 0;
        }
    return status;
}
