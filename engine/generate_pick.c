/* SPDX-License-Identifier: Apache-2.0 */
/* generate_pick.c - the next word of an answer, and the texts that end one */
#include "engine/generate_int.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_buf.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_tokenizer.h"

#define ANSWER_BYTES_MAX ((size_t)64 << 20)

/* A word and its logit. */
struct candidate {
    float value;
    int32_t word;
};

/* Best first, ties to the lowest word: the order in which cuts and draws go. */
static int
by_value(const void *left, const void *right)
{
    const struct candidate *a = left, *b = right;

    if (a->value != b->value)
        return a->value > b->value ? -1 : 1;
    return (a->word > b->word) - (a->word < b->word);
}

/* Draws one of n candidates in their order by u in [0, 1). The weights are exp((logit - best)
 * / temperature); after top_p of their sum the rest is cut off. */
static int32_t
draw(const struct sea_sampling *sampling, const struct candidate *list, int64_t n, float best,
     double *weight, double u)
{
    double total = 0.0, kept = 0.0;

    for (int64_t i = 0; i < n; i++) {
        weight[i] = exp(((double)list[i].value - (double)best) / sampling->temperature);
        total += weight[i];
    }
    if (sampling->top_p > 0.0 && sampling->top_p < 1.0) {
        int64_t most = n;

        for (n = 0; n < most && (n == 0 || kept < sampling->top_p * total); n++)
            kept += weight[n];
        total = kept;
    }
    u *= total;
    for (int64_t i = 0; i < n; i++) {
        if (u < weight[i])
            return list[i].word;
        u -= weight[i];
    }
    return list[n - 1].word;
}

/* A word of one row of all logits; -1 when they are not numbers. Without a cut the words
 * stay in their own order: sorting them all would cost more than the model does. */
static int32_t
draw_of_all(const struct sea_sampling *sampling, const float *logits, int64_t V, double u)
{
    struct candidate *list = sea_xcalloc((size_t)V, sizeof(*list));
    double *weight = sea_xcalloc((size_t)V, sizeof(*weight));
    bool cut = sampling->top_k > 0 || (sampling->top_p > 0.0 && sampling->top_p < 1.0);
    int64_t n = sampling->top_k > 0 && sampling->top_k < V ? sampling->top_k : V;
    float best = -INFINITY;
    bool numbers = true;
    int32_t word = -1;

    for (int64_t v = 0; v < V; v++) {
        list[v] = (struct candidate){ logits[v], (int32_t)v };
        best = logits[v] > best ? logits[v] : best;
        numbers = numbers && !isnan(logits[v]);
    }
    if (numbers && isfinite(best)) {
        if (cut)
            qsort(list, (size_t)V, sizeof(*list), by_value);
        word = draw(sampling, list, n, best, weight, u);
    }
    free(list);
    free(weight);
    return word;
}

/* The same of the k best words that the device found. */
static int32_t
draw_of_best(const struct sea_sampling *sampling, const int32_t *index, const float *value,
             int64_t k, double u)
{
    struct candidate list[SEA_HEAD_BEST];
    double weight[SEA_HEAD_BEST];
    int64_t n = 0;

    for (; n < k && index[n] >= 0; n++)
        list[n] = (struct candidate){ value[n], index[n] };
    return n ? draw(sampling, list, n, list[0].value, weight, u) : -1;
}

static enum sea_status
pick_of_all(struct sea_generator *generator, const struct sea_sampling *sampling, int64_t n,
            const double *u, int32_t *words, struct sea_err *err)
{
    const struct sea_lm *lm = generator->mllm->lm;
    const struct sea_head_words head = sea_lm_words(lm);
    int64_t V = lm->desc.vocab;
    float *logits = sea_xcalloc((size_t)(n * V), sizeof(*logits));
    enum sea_status status;

    status = sea_head_logits(&generator->head, generator->hidden, &head, n, logits, err);
    for (int64_t i = 0; i < n && !status; i++)
        words[i] = draw_of_all(sampling, logits + i * V, V, u[i]);
    free(logits);
    return status;
}

enum sea_status
sea_generate_pick(struct sea_generator *generator, const struct sea_sampling *sampling,
                  int64_t n, const double *u, int32_t *words, struct sea_err *err)
{
    const struct sea_head_words head = sea_lm_words(generator->mllm->lm);
    bool sampled = sampling->temperature > 0.0;
    int64_t k = sampled ? sampling->top_k : 1;
    enum sea_status status;

    if (sampled && (k <= 0 || k > SEA_HEAD_BEST))
        return pick_of_all(generator, sampling, n, u, words, err);
    /* Values only where they are drawn from: each copy from a card is a wait. */
    status = sea_head_best(&generator->head, generator->hidden, &head, n, k, generator->best,
                           sampled ? generator->value : NULL, err);
    for (int64_t i = 0; i < n && !status; i++)
        words[i] = sampled ? draw_of_best(sampling, generator->best + i * k,
                                          generator->value + i * k, k, u[i])
                           : generator->best[i];
    return status;
}

/* ---- texts that end an answer ---- */

/* The first place of any stop text; NULL: none. A text may hold any bytes, a stop no 0. */
static const char *
find_stop(const struct sea_sampling *sampling, const struct sea_buf *text)
{
    size_t len;

    for (size_t at = 0; at < text->len; at++)
        for (int i = 0; i < sampling->stop_count; i++) {
            len = strlen(sampling->stop[i]);
            if (len && len <= text->len - at &&
                !memcmp(text->data + at, sampling->stop[i], len))
                return text->data + at;
        }
    return NULL;
}

/* Words are few, and what one spells can depend on those before it: all are read again. */
enum sea_status
sea_generate_check_stop(const struct sea_sampling *sampling, struct sea_answer *answer,
                        struct sea_err *err)
{
    struct sea_buf text;
    enum sea_status status;

    if (!sampling->stop_count)
        return SEA_OK;
    sea_buf_init(&text, ANSWER_BYTES_MAX);
    status = sea_tokenizer_decode(sampling->tokenizer, answer->ids, (size_t)answer->count,
                                  false, &text, err);
    if (!status)
        answer->stopped = find_stop(sampling, &text);
    sea_buf_release(&text);
    return status;
}

/* A stop is looked for in what all words spell, special ones too; those before it are left
 * out of the text, so that its end is not at the same byte. */
static enum sea_status
text_before_stop(const struct sea_answer *answer, const struct sea_sampling *sampling,
                 const struct sea_tokenizer *tokenizer, struct sea_buf *out,
                 struct sea_err *err)
{
    size_t words = (size_t)answer->count, end, begun = 0;
    struct sea_buf all, part;
    const char *stop;
    enum sea_status status;

    sea_buf_init(&all, ANSWER_BYTES_MAX);
    sea_buf_init(&part, ANSWER_BYTES_MAX);
    status = sea_tokenizer_decode(tokenizer, answer->ids, words, false, &all, err);
    stop = status ? NULL : find_stop(sampling, &all);
    end = stop ? (size_t)(stop - all.data) : all.len;
    /* Whole words before the stop, and the part of the next one that is before it. */
    for (bool fits = false; !status && !fits && words > 0;) {
        sea_buf_clear(&part);
        status = sea_tokenizer_decode(tokenizer, answer->ids, --words, false, &part, err);
        fits = part.len <= end && !memcmp(part.data, all.data, part.len);
        begun = part.len;
    }
    if (!status)
        status = sea_tokenizer_decode(tokenizer, answer->ids, words, true, out, err);
    sea_buf_clear(&part);               /* stays empty for a special word */
    if (!status && begun < end)
        status = sea_tokenizer_decode(tokenizer, answer->ids + words, 1, true, &part, err);
    if (!status && part.len)
        status = sea_buf_append(out, all.data + begun, end - begun, err);
    sea_buf_release(&all);
    sea_buf_release(&part);
    return status;
}

enum sea_status
sea_answer_text(const struct sea_answer *answer, const struct sea_sampling *sampling,
                const struct sea_tokenizer *tokenizer, struct sea_buf *out, struct sea_err *err)
{
    if (answer->stopped)
        return text_before_stop(answer, sampling, tokenizer, out, err);
    return sea_tokenizer_decode(tokenizer, answer->ids, (size_t)answer->count, true, out, err);
}
