/* SPDX-License-Identifier: Apache-2.0 */
/*
 * model_twin.h - the models once more, plainly and in double, for the tests of engine
 *
 * Written from the formulas, with loops only: no operator of ours, no packing tricks, no
 * cache. Finite differences of these functions are exact to about 1e-8, so gradients are
 * checked with tight bounds.
 */
#ifndef SEA_MODEL_TWIN_H
#define SEA_MODEL_TWIN_H

#include <stdlib.h>

#include "engine/base/sea_rng.h"
#include "engine/sea_adapter.h"
#include "engine/sea_lm.h"
#include "tests/sea_test.h"

#define TWIN_VOCAB 37

/* A language model that its twin can run through in no time. */
static inline struct sea_lm_desc
twin_small(enum sea_lm_family family, int64_t layers)
{
    struct sea_lm_desc desc = sea_lm_defaults();

    desc.family = family;
    desc.vocab = TWIN_VOCAB;
    desc.D = 16;
    desc.F = 32;
    desc.layers = layers;
    desc.H = 4;
    desc.K = 2;
    desc.E = 8;
    desc.max_positions = 64;
    desc.rope_theta = 50.0;
    desc.init_scale = 0.3f;
    return desc;
}

/* Parameters as doubles; free() them. */
static double *
twin_weights(const struct sea_params *params)
{
    float *host = calloc((size_t)params->floats, sizeof(*host));
    double *w = calloc((size_t)params->floats, sizeof(*w));
    struct sea_err err = { 0 };

    CHECK_OK(sea_device_get(params->device, host, params->data,
                            (size_t)params->floats * sizeof(float), &err), err);
    for (int64_t i = 0; i < params->floats; i++)
        w[i] = (double)host[i];
    free(host);
    return w;
}

static void
twin_linear(const double *w, const double *b, const double *x, double *y, int64_t in,
            int64_t out)
{
    for (int64_t o = 0; o < out; o++) {
        y[o] = b ? b[o] : 0.0;
        for (int64_t i = 0; i < in; i++)
            y[o] += w[o * in + i] * x[i];
    }
}

/* y may be x; width: D, or E for a head. */
static void
twin_norm_of(const struct sea_block_desc *desc, int64_t width, const double *gamma,
             const double *beta, const double *x, double *y)
{
    double mean = 0.0, square = 0.0;

    for (int64_t d = 0; d < width && desc->norm == SEA_NORM_LAYER; d++)
        mean += x[d] / (double)width;
    for (int64_t d = 0; d < width; d++)
        square += (x[d] - mean) * (x[d] - mean) / (double)width;
    for (int64_t d = 0; d < width; d++)
        y[d] = (x[d] - mean) / sqrt(square + (double)desc->eps) *
               (gamma[d] + (double)desc->norm_add) + (beta ? beta[d] : 0.0);
}

static void
twin_norm(const struct sea_block_desc *desc, const double *gamma, const double *beta,
          const double *x, double *y)
{
    twin_norm_of(desc, desc->D, gamma, beta, x, y);
}

static double
twin_cap(double x, double cap)
{
    return cap > 0 ? cap * tanh(x / cap) : x;
}

static double
twin_act(enum sea_act act, double x)
{
    switch (act) {
    case SEA_ACT_GELU:
        return 0.5 * x * (1 + erf(x * sqrt(0.5)));
    case SEA_ACT_GELU_TANH:
        return 0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));
    case SEA_ACT_QUICK_GELU:
        return x / (1 + exp(-1.702 * x));
    case SEA_ACT_SILU:
        return x / (1 + exp(-x));
    }
    return 0.0;
}

/* Llama 3: blended between the frequency and its share, by the length of its wave. */
static double
twin_frequency(const struct sea_block_desc *desc, int64_t i)
{
    const struct sea_rope_scaling *s = &desc->rope_scaling;
    double plain = pow(desc->rope_theta, -2.0 * (double)i / (double)desc->rope_dims), t;

    if (s->kind == SEA_ROPE_PLAIN)
        return plain;
    if (s->kind == SEA_ROPE_LINEAR)
        return plain / s->factor;
    t = ((double)s->original * plain / (2 * acos(-1.0)) - s->low) / (s->high - s->low);
    t = fmin(fmax(t, 0.0), 1.0);
    return (1 - t) * plain / s->factor + t * plain;
}

static void
twin_rotate(const struct sea_block_desc *desc, double *x, int64_t heads, int32_t pos)
{
    int64_t half = desc->rope_dims / 2;

    for (int64_t h = 0; h < heads && desc->rope_theta > 0; h++)
        for (int64_t i = 0; i < half; i++) {
            double angle = (double)pos * twin_frequency(desc, i);
            double *a = x + h * desc->E + i, *b = a + half, a0 = *a, b0 = *b;

            *a = a0 * cos(angle) - b0 * sin(angle);
            *b = b0 * cos(angle) + a0 * sin(angle);
        }
}

/* One segment's attention: qkv (n, (H + 2K)E) -> out (n, HE). */
static void
twin_attend(const struct sea_block_desc *desc, int64_t layer, const double *qkv, double *out,
            int64_t n)
{
    int64_t E = desc->E, ld = (desc->H + 2 * desc->K) * E, HE = desc->H * E, first;
    int64_t window = sea_windows_at(&desc->windows, layer);
    double scale = desc->score_scale > 0 ? (double)desc->score_scale : 1 / sqrt((double)E);
    double *p = calloc((size_t)n, sizeof(*p));

    for (int64_t i = 0; i < n; i++)
        for (int64_t h = 0; h < desc->H; h++) {
            int64_t kh = h * desc->K / desc->H, seen = desc->causal ? i + 1 : n;
            const double *k = qkv + HE + kh * E, *v = k + desc->K * E;
            double most = -1e300, total = 0.0;

            first = window && seen > window ? seen - window : 0;
            for (int64_t j = first; j < seen; j++) {
                p[j] = 0.0;
                for (int64_t e = 0; e < E; e++)
                    p[j] += qkv[i * ld + h * E + e] * k[j * ld + e] * scale;
                p[j] = twin_cap(p[j], (double)desc->score_cap);
                most = p[j] > most ? p[j] : most;
            }
            for (int64_t j = first; j < seen; j++)
                total += p[j] = exp(p[j] - most);
            for (int64_t e = 0; e < E; e++) {
                out[i * HE + h * E + e] = 0.0;
                for (int64_t j = first; j < seen; j++)
                    out[i * HE + h * E + e] += p[j] / total * v[j * ld + e];
            }
        }
    free(p);
}

static const double *
twin_at(const double *w, int64_t offset)
{
    return offset < 0 ? NULL : w + offset;
}

/* x += part, through its norm or gain. */
static void
twin_add(const struct sea_block_desc *desc, const double *w, int64_t post, int64_t post_bias,
         int64_t gain, double *part, double *x)
{
    if (desc->post_norms)
        twin_norm(desc, w + post, twin_at(w, post_bias), part, part);
    for (int64_t d = 0; d < desc->D; d++)
        x[d] += part[d] * (desc->gains ? w[gain + d] : 1.0);
}

/* The feed-forward part of one row. */
static void
twin_feed_forward(const struct sea_block_desc *desc, const double *w,
                  const struct sea_block_offsets *at, const double *norm, double *row)
{
    int64_t F = desc->F, up = desc->gated ? 2 * F : F;
    double *pre = calloc((size_t)up, sizeof(double));

    twin_linear(w + at->up, twin_at(w, at->up_bias), norm, pre, desc->D, up);
    for (int64_t f = 0; f < F; f++)
        pre[f] = twin_act(desc->act, pre[f]) * (desc->gated ? pre[F + f] : 1.0);
    twin_linear(w + at->down, twin_at(w, at->down_bias), pre, row, F, desc->D);
    free(pre);
}

/* One segment of n rows through the first `layers` blocks (0: all). */
static void
twin_segment(const struct sea_stack *stack, const double *w, int64_t layers, double *x,
             int64_t n)
{
    const struct sea_block_desc *desc = &stack->desc;
    int64_t D = desc->D, HE = desc->H * desc->E;
    int64_t ld = (desc->H + 2 * desc->K) * desc->E;
    double *norm = calloc((size_t)(n * D), sizeof(double));
    double *row = calloc((size_t)D, sizeof(double));
    double *qkv = calloc((size_t)(n * ld), sizeof(double));
    double *att = calloc((size_t)(n * HE), sizeof(double));

    for (int64_t l = 0; l < (layers ? layers : desc->layers); l++) {
        const struct sea_block_offsets *at = &stack->blocks[l];

        for (int64_t i = 0; i < n; i++) {
            twin_norm(desc, w + at->norm1, twin_at(w, at->norm1_bias), x + i * D, norm + i * D);
            twin_linear(w + at->qkv, twin_at(w, at->qkv_bias), norm + i * D, qkv + i * ld, D,
                        ld);
            for (int64_t h = 0; h < desc->H + desc->K && desc->head_norms; h++)
                twin_norm_of(desc, desc->E, w + (h < desc->H ? at->q_norm : at->k_norm), NULL,
                             qkv + i * ld + h * desc->E, qkv + i * ld + h * desc->E);
            twin_rotate(desc, qkv + i * ld, desc->H + desc->K, (int32_t)i);
        }
        twin_attend(desc, l, qkv, att, n);
        for (int64_t i = 0; i < n; i++) {
            twin_linear(w + at->o, twin_at(w, at->o_bias), att + i * HE, row, HE, D);
            twin_add(desc, w, at->post1, at->post1_bias, at->gain1, row, x + i * D);
            if (!desc->parallel)
                twin_norm(desc, w + at->norm2, twin_at(w, at->norm2_bias), x + i * D,
                          norm + i * D);
            twin_feed_forward(desc, w, at, norm + i * D, row);
            twin_add(desc, w, at->post2, at->post2_bias, at->gain2, row, x + i * D);
        }
    }
    free(norm);
    free(row);
    free(qkv);
    free(att);
}

/* Words, scaled as the family does, and given rows (in order) of a batch. */
static void
twin_embed(const struct sea_lm *lm, const double *w, const struct sea_lm_batch *batch,
           const double *given, double *x)
{
    int64_t D = lm->desc.D, g = 0;
    bool scaled = lm->desc.family == SEA_LM_GEMMA || lm->desc.family == SEA_LM_GEMMA2;
    double scale = scaled ? (double)sqrtf((float)D) : 1.0;

    for (int64_t t = 0; t < batch->rows; t++) {
        const double *row = batch->ids[t] < 0 ? given + D * g++
                                              : w + lm->embed + batch->ids[t] * D;

        for (int64_t d = 0; d < D; d++)
            x[t * D + d] = row[d] * (batch->ids[t] < 0 ? 1.0 : scale);
    }
}

/* Logits of one row after the last block. */
static void
twin_logits(const struct sea_lm *lm, const double *w, const double *x, double *logits)
{
    double *norm = calloc((size_t)lm->desc.D, sizeof(double));

    twin_norm(&lm->stack.desc, w + lm->norm, twin_at(w, lm->norm_bias), x, norm);
    twin_linear(w + lm->head, twin_at(w, lm->head_bias), norm, logits, lm->desc.D,
                lm->desc.vocab);
    for (int64_t v = 0; v < lm->desc.vocab; v++)
        logits[v] = twin_cap(logits[v], (double)lm->desc.final_cap);
    free(norm);
}

/* Sum of the losses of all supervised rows. */
__attribute__((unused)) static double
twin_lm_loss(const struct sea_lm *lm, const double *w, const struct sea_lm_batch *batch,
             const double *given)
{
    int64_t D = lm->desc.D, V = lm->desc.vocab;
    double *x = calloc((size_t)(batch->rows * D), sizeof(double));
    double *logits = calloc((size_t)V, sizeof(double)), loss = 0.0;

    twin_embed(lm, w, batch, given, x);
    for (int64_t s = 0; s < batch->segments; s++) {
        int32_t from = batch->start[s], to = batch->start[s + 1];

        twin_segment(&lm->stack, w, 0, x + from * D, to - from);
        for (int32_t t = from; t + 1 < to; t++) {
            double most = -1e300, total = 0.0;

            if (batch->labels[t + 1] == SEA_LM_IGNORE)
                continue;
            twin_logits(lm, w, x + t * D, logits);
            for (int64_t v = 0; v < V; v++)
                most = logits[v] > most ? logits[v] : most;
            for (int64_t v = 0; v < V; v++)
                total += exp(logits[v] - most);
            loss += log(total) + most - logits[batch->labels[t + 1]];
        }
    }
    free(x);
    free(logits);
    return loss;
}

__attribute__((unused)) static void
twin_adapter(const struct sea_adapter *adapter, const double *w, const double *features,
             int64_t R, double *x)
{
    double *act = calloc((size_t)adapter->D, sizeof(double));
    double *wide = calloc((size_t)adapter->D, sizeof(double));

    for (int64_t r = 0; r < R; r++) {
        const double *in = features + r * adapter->Dv;

        for (int l = 0; l < adapter->layers; l++) {
            twin_linear(w + adapter->w[l], w + adapter->b[l], in, wide,
                        l ? adapter->D : adapter->Dv, adapter->D);
            for (int64_t d = 0; d < adapter->D; d++)
                act[d] = twin_act(SEA_ACT_GELU, wide[d]);
            in = act;
        }
        memcpy(x + r * adapter->D, wide, (size_t)adapter->D * sizeof(double));
    }
    free(act);
    free(wide);
}

/*
 * Checks gradients of params against central differences of loss(arg, w): `each` elements of
 * every tensor. An error may be bound times the largest gradient of the tensor, plus 5e-7 of
 * the largest of all: rounding (a key's bias moves nothing, its gradient is rounding only).
 * Returns the largest error seen, relative to what is allowed times bound.
 */
typedef double twin_loss(const void *arg, const double *w);
__attribute__((unused)) static double
twin_check_gradients(const char *what, const struct sea_params *params, const float *grad,
                     int each, double bound, twin_loss *loss, const void *arg)
{
    double *w = twin_weights(params), worst = 0.0, all = 0.0;
    struct sea_rng rng;

    for (int64_t i = 0; i < params->floats; i++)
        all = fmax(all, fabs((double)grad[i]));
    sea_rng_init(&rng, 7, 7);
    for (int64_t t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];
        double most = 0.0, off = 0.0;

        for (int64_t i = 0; i < param->count; i++)
            most = fmax(most, fabs((double)grad[param->offset + i]));
        CHECK_MSG(most > 0, "%s: \"%s\" has no gradient at all", what, param->name);
        for (int k = 0; k < each; k++) {
            int64_t i = param->offset + sea_rng_below(&rng, (uint32_t)param->count);
            double old = w[i], step = 1e-4, up, down;

            if (k == 0)                         /* the largest one is always looked at */
                for (int64_t j = 0; j < param->count; j++)
                    if (fabs((double)grad[param->offset + j]) >= most)
                        i = param->offset + j;
            old = w[i];
            w[i] = old + step;
            up = loss(arg, w);
            w[i] = old - step;
            down = loss(arg, w);
            w[i] = old;
            off = fmax(off, fabs((up - down) / (2 * step) - (double)grad[i]));
        }
        off /= most + 5e-7 * all / bound;
        CHECK_MSG(off <= bound, "%s: gradient of \"%s\" is off by %.3g of its largest, bound "
                  "%.3g", what, param->name, off, bound);
        worst = fmax(worst, off);
    }
    printf("%s: gradients within %.2g of the largest of each tensor (bound %.2g)\n", what,
           worst, bound);
    free(w);
    return worst;
}

/* A gradient piece on the host; free() it. */
__attribute__((unused)) static float *
twin_host(const struct sea_device *device, const float *data, int64_t n)
{
    float *host = calloc((size_t)n + 1, sizeof(*host));
    struct sea_err err = { 0 };

    CHECK_OK(sea_device_get(device, host, data, (size_t)n * sizeof(float), &err), err);
    return host;
}

#endif
