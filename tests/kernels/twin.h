/* SPDX-License-Identifier: Apache-2.0 */
/*
 * twin.h - every operator again, plainly, in double
 *
 * Written from the formulas in sea_ops.h, one element after the other, sharing nothing with
 * the operators. Backward twins exist where differences would be too slow; the tests check
 * them against differences first.
 */
#ifndef TWIN_H
#define TWIN_H

#include <math.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/sea_ops.h"

static inline void
twin_layernorm(int64_t R, int64_t C, const double *x, const double *gamma, const double *beta,
               double eps, double *y)
{
    for (int64_t r = 0; r < R; r++) {
        double mean = 0.0, var = 0.0;

        for (int64_t c = 0; c < C; c++)
            mean += x[r * C + c] / (double)C;
        for (int64_t c = 0; c < C; c++)
            var += (x[r * C + c] - mean) * (x[r * C + c] - mean) / (double)C;
        for (int64_t c = 0; c < C; c++)
            y[r * C + c] = (x[r * C + c] - mean) / sqrt(var + eps) * gamma[c] +
                           (beta ? beta[c] : 0.0);
    }
}

static inline void
twin_rmsnorm(int64_t R, int64_t C, const double *x, const double *gamma, double gamma_add,
             double eps, double *y)
{
    for (int64_t r = 0; r < R; r++) {
        double square = 0.0;

        for (int64_t c = 0; c < C; c++)
            square += x[r * C + c] * x[r * C + c] / (double)C;
        for (int64_t c = 0; c < C; c++)
            y[r * C + c] = x[r * C + c] / sqrt(square + eps) * (gamma[c] + gamma_add);
    }
}

static inline void
twin_l2norm(int64_t R, int64_t C, const double *x, double eps, double *y)
{
    for (int64_t r = 0; r < R; r++) {
        double square = eps;

        for (int64_t c = 0; c < C; c++)
            square += x[r * C + c] * x[r * C + c];
        for (int64_t c = 0; c < C; c++)
            y[r * C + c] = x[r * C + c] / sqrt(square);
    }
}

static inline double
twin_act(enum sea_act act, double x)
{
    switch (act) {
    case SEA_ACT_GELU:
        return x * 0.5 * erfc(-x * sqrt(0.5));
    case SEA_ACT_GELU_TANH:
        return x / (1.0 + exp(-2.0 * sqrt(2.0 / 3.14159265358979323846) *
                              (x + 0.044715 * x * x * x)));
    case SEA_ACT_QUICK_GELU:
        return x / (1.0 + exp(-1.702 * x));
    case SEA_ACT_SILU:
        break;
    }
    return x / (1.0 + exp(-x));
}

/* One query against keys first .. keys - 1: p (keys) is the softmax, slope (keys) what the
 * soft cap multiplies gradients by; returns the log-sum-exp. */
static inline double
twin_softmax(const double *q, const double *k, int64_t ld, int64_t first, int64_t keys, int64_t E,
             double scale, double cap, double *p, double *slope)
{
    double max = -INFINITY, sum = 0.0;

    for (int64_t j = first; j < keys; j++) {
        p[j] = 0.0;
        for (int64_t e = 0; e < E; e++)
            p[j] += scale * q[e] * k[j * ld + e];
        slope[j] = 1.0;
        if (cap > 0.0) {
            slope[j] = 1.0 / (cosh(p[j] / cap) * cosh(p[j] / cap));
            p[j] = cap * tanh(p[j] / cap);
        }
        max = fmax(max, p[j]);
    }
    for (int64_t j = first; j < keys; j++)
        sum += p[j] = exp(p[j] - max);
    for (int64_t j = first; j < keys; j++)
        p[j] /= sum;
    return max + log(sum);
}

/* Attention of an op's sizes on double copies of its inputs. When dout is given, its
 * gradients as well. */
struct twin_attention {
    const struct sea_op_attention *op;          /* sizes, starts, strides */
    double *q, *k, *v, *out, *lse;
    const double *dout;
    double *dq, *dk, *dv;                       /* zero at the start */
};

static inline void
twin_attention_row(const struct twin_attention *t, int64_t s, int64_t j, int64_t h, double *p,
                   double *slope)
{
    const struct sea_op_attention *op = t->op;
    int64_t E = op->E, q_len = op->q_start[s + 1] - op->q_start[s], n = op->q_start[s] + j;
    int64_t keys = op->causal ? op->k_len[s] - q_len + j + 1 : op->k_len[s];
    int64_t kv = op->k_start[s] * op->ld_kv + h / (op->H / op->K) * E, first;
    double *q = t->q + n * op->ld_q + h * E, *out = t->out + n * op->ld_out + h * E;

    keys = keys < 0 ? 0 : keys;
    first = op->window && keys > op->window ? keys - op->window : 0;
    t->lse[n * op->H + h] = twin_softmax(q, t->k + kv, op->ld_kv, first, keys, E,
                                         (double)op->scale, (double)op->softcap, p, slope);
    for (int64_t e = 0; e < E; e++) {
        out[e] = 0.0;
        for (int64_t i = first; i < keys; i++)
            out[e] += p[i] * t->v[kv + i * op->ld_kv + e];
    }
    for (int64_t i = first; t->dout && i < keys; i++) {
        const double *dout = t->dout + n * op->ld_out + h * E;
        int64_t at = kv + i * op->ld_kv;
        double dp = 0.0, ds;

        for (int64_t e = 0; e < E; e++)
            dp += dout[e] * (t->v[at + e] - out[e]);
        ds = p[i] * dp * slope[i] * (double)op->scale;
        for (int64_t e = 0; e < E; e++) {
            t->dq[n * op->ld_q + h * E + e] += ds * t->k[at + e];
            t->dk[at + e] += ds * q[e];
            t->dv[at + e] += p[i] * dout[e];
        }
    }
}

static inline void
twin_attention(const struct twin_attention *t)
{
    const struct sea_op_attention *op = t->op;
    double *p;

    for (int64_t s = 0; s < op->S; s++) {
        p = malloc(2 * (size_t)(op->k_len[s] + 1) * sizeof(double));
        for (int64_t j = 0; p && j < op->q_start[s + 1] - op->q_start[s]; j++)
            for (int64_t h = 0; h < op->H; h++)
                twin_attention_row(t, s, j, h, p, p + op->k_len[s] + 1);
        free(p);
    }
}

/* Nearest bfloat16 of a number that is one, by trying both neighbours. */
static inline uint16_t
twin_bf16(float x)
{
    uint32_t bits, low, high;
    float below, above;
    double down, up;

    memcpy(&bits, &x, sizeof(bits));
    low = bits & 0xffff0000u;
    high = low + 0x10000u;
    if (bits == low)
        return (uint16_t)(low >> 16);
    memcpy(&below, &low, sizeof(below));
    memcpy(&above, &high, sizeof(above));
    /* Beyond the largest number the next step up stands for infinity. */
    down = fabs((double)x - (double)below);
    up = fabs((isinf(above) ? copysign(ldexp(1.0, 128), (double)x) : (double)above) - (double)x);
    if (down < up || (!(up < down) && !(low >> 16 & 1)))
        return (uint16_t)(low >> 16);
    return (uint16_t)(high >> 16);
}

static inline double
twin_softcap(double x, double cap)
{
    return cap > 0.0 ? cap * tanh(x / cap) : x;
}

static inline double
twin_xent(const double *logits, int64_t V, int64_t target, double cap)
{
    double max = -INFINITY, sum = 0.0;

    for (int64_t c = 0; c < V; c++)
        max = fmax(max, twin_softcap(logits[c], cap));
    for (int64_t c = 0; c < V; c++)
        sum += exp(twin_softcap(logits[c], cap) - max);
    return max + log(sum) - twin_softcap(logits[target], cap);
}

static inline double
twin_contrast(const double *cosine, int64_t R, double theta, double max_scale)
{
    double scale = exp(theta), loss = 0.0;

    if (max_scale > 0.0 && scale > max_scale)
        scale = max_scale;
    for (int64_t i = 0; i < R; i++) {
        double row = 0.0, column = 0.0;

        for (int64_t j = 0; j < R; j++) {
            row += exp(scale * (cosine[i * R + j] - cosine[i * R + i]));
            column += exp(scale * (cosine[j * R + i] - cosine[i * R + i]));
        }
        loss += (log(row) + log(column)) / (2.0 * (double)R);
    }
    return loss;
}

/* One parameter's step; m and v move, too. */
static inline double
twin_adamw(const struct sea_op_adamw *op, double p, double g, double *m, double *v)
{
    double b1 = (double)op->beta1, b2 = (double)op->beta2, mhat, vhat;

    *m = b1 * *m + (1.0 - b1) * g;
    *v = b2 * *v + (1.0 - b2) * g * g;
    mhat = *m / (1.0 - pow(b1, (double)op->step));
    vhat = *v / (1.0 - pow(b2, (double)op->step));
    return p - (double)op->lr * (mhat / (sqrt(vhat) + (double)op->eps) + (double)op->wd * p);
}

#endif
