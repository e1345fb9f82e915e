/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_clip_twin.h - CLIP once more, plainly, in double
 *
 * No packing, no chunks, no shared code with the engine: one picture or text at a time,
 * attention as written in a textbook. Weights are copies of the model's flat parts.
 */
#ifndef TEST_CLIP_TWIN_H
#define TEST_CLIP_TWIN_H

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sea_clip.h"

struct twin {
    const struct sea_clip *clip;
    double *vision, *text, *head;
};

enum twin_path { TWIN_PLAIN, TWIN_MASKCLIP };

static inline double *
twin_copy(const struct sea_params *params)
{
    size_t count = (size_t)params->floats, i;
    float *host = sea_xcalloc(count, sizeof(*host));
    double *out = sea_xcalloc(count, sizeof(*out));
    struct sea_err err = { 0 };

    if (sea_device_get(params->device, host, params->data, count * sizeof(*host), &err))
        abort();
    for (i = 0; i < count; i++)
        out[i] = host[i];
    free(host);
    return out;
}

static inline void
twin_init(struct twin *twin, const struct sea_clip *clip)
{
    twin->clip = clip;
    twin->vision = twin_copy(&clip->vision);
    twin->text = twin_copy(&clip->text);
    twin->head = twin_copy(&clip->head);
}

static inline void
twin_release(struct twin *twin)
{
    free(twin->vision);
    free(twin->text);
    free(twin->head);
}

static inline void
twin_norm(const double *x, const double *gamma, const double *beta, double *y, int64_t R,
          int64_t C, double eps)
{
    int64_t r, c;

    for (r = 0; r < R; r++) {
        double mean = 0, var = 0;

        for (c = 0; c < C; c++)
            mean += x[r * C + c] / (double)C;
        for (c = 0; c < C; c++)
            var += (x[r * C + c] - mean) * (x[r * C + c] - mean) / (double)C;
        for (c = 0; c < C; c++)
            y[r * C + c] = (x[r * C + c] - mean) / sqrt(var + eps) * gamma[c] + beta[c];
    }
}

/* y (+)= x W' + b */
static inline void
twin_linear(const double *weight, const double *bias, const double *x, double *y, int64_t R,
            int64_t in, int64_t out, int add)
{
    int64_t r, i, o;

    for (r = 0; r < R; r++)
        for (o = 0; o < out; o++) {
            double sum = bias ? bias[o] : 0;

            for (i = 0; i < in; i++)
                sum += x[r * in + i] * weight[o * in + i];
            y[r * out + o] = sum + (add ? y[r * out + o] : 0);
        }
}

static inline double
twin_act(double x, enum sea_act act)
{
    if (act == SEA_ACT_QUICK_GELU)
        return x / (1 + exp(-1.702 * x));
    return 0.5 * x * (1 + erf(x / sqrt(2)));
}

static inline void
twin_attention(const double *q, const double *k, const double *v, double *out, int64_t N,
               int64_t D, int64_t H, int causal)
{
    int64_t E = D / H, h, i, j, e;
    double *p = sea_xcalloc((size_t)N, sizeof(*p));

    for (h = 0; h < H; h++)
        for (i = 0; i < N; i++) {
            int64_t end = causal ? i + 1 : N;
            double sum = 0;

            for (j = 0; j < end; j++) {
                double dot = 0;

                for (e = 0; e < E; e++)
                    dot += q[i * D + h * E + e] * k[j * D + h * E + e];
                p[j] = exp(dot / sqrt((double)E));
                sum += p[j];
            }
            for (e = 0; e < E; e++) {
                double value = 0;

                for (j = 0; j < end; j++)
                    value += p[j] / sum * v[j * D + h * E + e];
                out[i * D + h * E + e] = value;
            }
        }
    free(p);
}

struct twin_sizes {
    int64_t D, H, F;
    enum sea_act act;
    double eps;
    int causal;
};

/* One block over the N rows of x, in place. */
static inline void
twin_block(const double *w, const struct sea_block_offsets *at,
           const struct twin_sizes *sizes, double *x, int64_t N, enum twin_path path)
{
    int64_t D = sizes->D, F = sizes->F, i;
    double *norm = sea_xcalloc((size_t)(N * D), sizeof(*norm));
    double *qkv[3], *att = sea_xcalloc((size_t)(N * D), sizeof(*att));
    double *wide = sea_xcalloc((size_t)(N * F), sizeof(*wide));

    twin_norm(x, w + at->norm1, w + at->norm1_bias, norm, N, D, sizes->eps);
    for (i = 0; i < 3; i++) {
        qkv[i] = sea_xcalloc((size_t)(N * D), sizeof(double));
        twin_linear(w + at->qkv + i * D * D, w + at->qkv_bias + i * D, norm, qkv[i], N, D, D,
                    0);
    }
    if (path == TWIN_MASKCLIP)
        memcpy(att, qkv[2], (size_t)(N * D) * sizeof(*att));
    else
        twin_attention(qkv[0], qkv[1], qkv[2], att, N, D, sizes->H, sizes->causal);
    twin_linear(w + at->o, w + at->o_bias, att, x, N, D, D, 1);
    twin_norm(x, w + at->norm2, w + at->norm2_bias, norm, N, D, sizes->eps);
    twin_linear(w + at->up, w + at->up_bias, norm, wide, N, D, F, 0);
    for (i = 0; i < N * F; i++)
        wide[i] = twin_act(wide[i], sizes->act);
    twin_linear(w + at->down, w + at->down_bias, wide, x, N, F, D, 1);
    for (i = 0; i < 3; i++)
        free(qkv[i]);
    free(norm);
    free(att);
    free(wide);
}

/* n += Wo softmax(v v' / sqrt(E)) v + b with v of this block from the plain path's x. */
static inline void
twin_value_path(const double *w, const struct sea_block_offsets *at,
                const struct twin_sizes *sizes, const double *x, double *n, int64_t N)
{
    int64_t D = sizes->D;
    double *norm = sea_xcalloc((size_t)(N * D), sizeof(*norm));
    double *v = sea_xcalloc((size_t)(N * D), sizeof(*v));
    double *att = sea_xcalloc((size_t)(N * D), sizeof(*att));

    twin_norm(x, w + at->norm1, w + at->norm1_bias, norm, N, D, sizes->eps);
    twin_linear(w + at->qkv + 2 * D * D, w + at->qkv_bias + 2 * D, norm, v, N, D, D, 0);
    twin_attention(v, v, v, att, N, D, sizes->H, 0);
    twin_linear(w + at->o, w + at->o_bias, att, n, N, D, D, 1);
    free(norm);
    free(v);
    free(att);
}

static inline struct twin_sizes
twin_vision_sizes(const struct sea_clip *clip)
{
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    struct twin_sizes sizes = { desc->D, desc->heads, desc->F, desc->act, desc->eps, 0 };

    return sizes;
}

/* Embeddings of one picture behind pre_layrnorm: (m + 1, D), allocated. */
static inline double *
twin_embed(const struct twin *twin, const float *pixels)
{
    const struct sea_clip_vision_desc *desc = &twin->clip->desc.vision;
    const struct sea_clip_offsets *at = &twin->clip->at;
    int64_t D = desc->D, P = desc->patch, S = desc->image, g = S / P, d, i, c, y, x;
    double *raw = sea_xcalloc((size_t)((g * g + 1) * D), sizeof(*raw));
    double *out = sea_xcalloc((size_t)((g * g + 1) * D), sizeof(*out));

    for (i = 0; i <= g * g; i++)
        for (d = 0; d < D; d++) {
            double sum = twin->vision[at->vision_pos + i * D + d];

            if (i == 0)
                sum += twin->vision[at->class_row + d];
            for (c = 0; i > 0 && c < desc->channels; c++)
                for (y = 0; y < P; y++)
                    for (x = 0; x < P; x++)
                        sum += pixels[(c * S + (i - 1) / g * P + y) * S + (i - 1) % g * P + x]
                               * twin->vision[at->patch + ((d * desc->channels + c) * P + y)
                                              * P + x];
            raw[i * D + d] = sum;
        }
    twin_norm(raw, twin->vision + at->pre, twin->vision + at->pre_bias, out, g * g + 1, D,
              desc->eps);
    free(raw);
    return out;
}

/* hidden_states[blocks] of one picture: (m + 1, D), allocated. */
static inline double *
twin_hidden(const struct twin *twin, const float *pixels, int64_t blocks)
{
    struct twin_sizes sizes = twin_vision_sizes(twin->clip);
    int64_t N = sea_clip_patch_count(&twin->clip->desc) + 1, l;
    double *x = twin_embed(twin, pixels);

    for (l = 0; l < blocks; l++)
        twin_block(twin->vision, &twin->clip->vision_stack.blocks[l], &sizes, x, N,
                   TWIN_PLAIN);
    return x;
}

/* Norm, projection, unit length of one row. */
static inline void
twin_exit(const double *gamma, const double *beta, const double *proj, const double *row,
          double *out, int64_t D, int64_t J, double eps)
{
    double *norm = sea_xcalloc((size_t)D, sizeof(*norm)), sum = 0;
    int64_t j;

    twin_norm(row, gamma, beta, norm, 1, D, eps);
    twin_linear(proj, NULL, norm, out, 1, D, J, 0);
    for (j = 0; j < J; j++)
        sum += out[j] * out[j];
    for (j = 0; j < J; j++)
        out[j] /= sqrt(sum);
    free(norm);
}

static inline void
twin_vision_exit(const struct twin *twin, const double *row, double *out)
{
    const struct sea_clip_offsets *at = &twin->clip->at;

    twin_exit(twin->vision + at->post, twin->vision + at->post_bias,
              twin->head + at->vision_proj, row, out, twin->clip->desc.vision.D,
              twin->clip->desc.joint, twin->clip->desc.vision.eps);
}

/* Patches of one picture in the joint space: (m, J). */
static inline void
twin_patches(const struct twin *twin, const float *pixels, enum sea_clip_variant variant,
             double *out)
{
    struct twin_sizes sizes = twin_vision_sizes(twin->clip);
    const struct sea_block_offsets *blocks = twin->clip->vision_stack.blocks;
    int64_t m = sea_clip_patch_count(&twin->clip->desc), N = m + 1, D = sizes.D, l, i;
    int64_t layers = twin->clip->desc.vision.layers, plain = layers;
    double *x, *n = NULL;

    if (variant == SEA_CLIP_MASKCLIP)
        plain = layers - 1;
    if (variant == SEA_CLIP_SURGERY)
        plain = layers >= 6 ? layers - 6 : 0;
    x = twin_hidden(twin, pixels, plain);
    if (variant == SEA_CLIP_MASKCLIP)
        twin_block(twin->vision, &blocks[plain], &sizes, x, N, TWIN_MASKCLIP);
    if (variant == SEA_CLIP_SURGERY) {
        n = sea_xcalloc((size_t)(N * D), sizeof(*n));
        memcpy(n, x, (size_t)(N * D) * sizeof(*n));
        for (l = plain; l < layers; l++) {
            twin_value_path(twin->vision, &blocks[l], &sizes, x, n, N);
            twin_block(twin->vision, &blocks[l], &sizes, x, N, TWIN_PLAIN);
        }
    }
    for (i = 0; i < m; i++)
        twin_vision_exit(twin, (n ? n : x) + (i + 1) * D, out + i * twin->clip->desc.joint);
    free(x);
    free(n);
}

static inline void
twin_image(const struct twin *twin, const float *pixels, double *out)
{
    double *x = twin_hidden(twin, pixels, twin->clip->desc.vision.layers);

    twin_vision_exit(twin, x, out);
    free(x);
}

static inline void
twin_text(const struct twin *twin, const int32_t *ids, int64_t count, double *out)
{
    const struct sea_clip_text_desc *desc = &twin->clip->desc.text;
    const struct sea_clip_offsets *at = &twin->clip->at;
    struct twin_sizes sizes = { desc->D, desc->heads, desc->F, desc->act, desc->eps, 1 };
    double *x = sea_xcalloc((size_t)(count * desc->D), sizeof(*x));
    int64_t i, d, l, end = 0;

    for (i = 0; i < count; i++)
        for (d = 0; d < desc->D; d++)
            x[i * desc->D + d] = twin->text[at->token + ids[i] * desc->D + d]
                                 + twin->text[at->text_pos + i * desc->D + d];
    for (l = 0; l < desc->layers; l++)
        twin_block(twin->text, &twin->clip->text_stack.blocks[l], &sizes, x, count,
                   TWIN_PLAIN);
    while (ids[end] != desc->eos)
        end++;
    twin_exit(twin->text + at->final, twin->text + at->final_bias,
              twin->head + at->text_proj, x + end * desc->D, out, desc->D,
              twin->clip->desc.joint, desc->eps);
    free(x);
}

/* Symmetric InfoNCE of B pairs of unit vectors. */
static inline double
twin_contrast(const double *image, const double *text, double theta, int64_t B, int64_t J)
{
    double scale = exp(theta) < 100 ? exp(theta) : 100, loss = 0;
    double *z = sea_xcalloc((size_t)(B * B), sizeof(*z));
    int64_t i, j, k;

    for (i = 0; i < B; i++)
        for (j = 0; j < B; j++)
            for (k = 0; k < J; k++)
                z[i * B + j] += scale * image[i * J + k] * text[j * J + k];
    for (i = 0; i < B; i++) {
        double row = 0, column = 0;

        for (j = 0; j < B; j++) {
            row += exp(z[i * B + j]);
            column += exp(z[j * B + i]);
        }
        loss += (log(row) + log(column)) / 2 - z[i * B + i];
    }
    free(z);
    return loss / (double)B;
}

static inline double
twin_loss(const struct twin *twin, const float *pixels, const int32_t *ids,
          const int64_t *start, int64_t B)
{
    const struct sea_clip_vision_desc *desc = &twin->clip->desc.vision;
    int64_t J = twin->clip->desc.joint, picture = desc->channels * desc->image * desc->image;
    double *image = sea_xcalloc((size_t)(B * J), sizeof(*image));
    double *text = sea_xcalloc((size_t)(B * J), sizeof(*text)), loss;
    int64_t b;

    for (b = 0; b < B; b++) {
        twin_image(twin, pixels + b * picture, image + b * J);
        twin_text(twin, ids + start[b], start[b + 1] - start[b], text + b * J);
    }
    loss = twin_contrast(image, text, twin->head[twin->clip->at.scale], B, J);
    free(image);
    free(text);
    return loss;
}

#endif
