/* SPDX-License-Identifier: Apache-2.0 */
/*
 * DINOv2's positions for a grid other than the trained one. Interpolation is linear in the
 * table, so it is one matrix: positions = spread table, and its backward spread'.
 *
 * The filter is PyTorch's bicubic one (a = -0.75, no smoothing when the grid shrinks, edges
 * repeated), its places computed in float32 as there.
 */
#include <math.h>
#include <stdlib.h>

#include "engine/clip_int.h"

int64_t
sea_clip_trained_grid(const struct sea_clip_desc *desc)
{
    int64_t side = desc->vision.trained ? desc->vision.trained : desc->vision.image;

    return desc->vision.D > 0 ? side / desc->vision.patch : 0;
}

bool
sea_clip_interpolates(const struct sea_clip_desc *desc)
{
    return desc->vision.D > 0
           && sea_clip_trained_grid(desc) != desc->vision.image / desc->vision.patch;
}

/* Weight of a number at a distance of x, 0 <= x < 2. */
static double
cubic(double x)
{
    const double a = -0.75;

    if (x <= 1)
        return ((a + 2) * x - (a + 3)) * x * x + 1;
    return ((a * x - 5 * a) * x + 8 * a) * x - 4 * a;
}

/* One side: line (g, g0), zeroed. */
static void
fill_line(double *line, int64_t g, int64_t g0)
{
    float scale = (float)g0 / (float)g;
    int64_t o;
    int k;

    for (o = 0; o < g; o++) {
        float at = scale * ((float)o + 0.5f) - 0.5f, first = floorf(at);
        double t = (double)(at - first);
        const double weight[4] = { cubic(t + 1), cubic(t), cubic(1 - t), cubic(2 - t) };

        for (k = 0; k < 4; k++) {
            int64_t from = (int64_t)first - 1 + k;

            from = from < 0 ? 0 : from >= g0 ? g0 - 1 : from;
            line[o * g0 + from] += weight[k];
        }
    }
}

enum sea_status
sea_clip_spread_fill(const struct sea_clip *clip, struct sea_clip_eye *eye,
                     struct sea_err *err)
{
    int64_t g = clip->desc.vision.image / clip->desc.vision.patch, y, x, v, u;
    int64_t g0 = sea_clip_trained_grid(&clip->desc);
    double *line = sea_xcalloc((size_t)(g * g0), sizeof(*line));
    float *host = sea_xcalloc((size_t)(g * g * g0 * g0), sizeof(*host)), *to = host;
    enum sea_status status;

    fill_line(line, g, g0);
    for (y = 0; y < g; y++)
        for (x = 0; x < g; x++)
            for (v = 0; v < g0; v++)
                for (u = 0; u < g0; u++)
                    *to++ = (float)(line[y * g0 + v] * line[x * g0 + u]);
    status = sea_device_put(clip->device, eye->spread, host,
                            (size_t)(g * g * g0 * g0) * sizeof(*host), err);
    free(line);
    free(host);
    return status;
}

enum sea_status
sea_clip_positions(const struct sea_clip *clip, struct sea_clip_eye *eye, struct sea_err *err)
{
    int64_t D = clip->desc.vision.D, m = sea_clip_patch_count(&clip->desc);
    int64_t g0 = sea_clip_trained_grid(&clip->desc), c = sea_clip_class_rows(&clip->desc);
    struct sea_weight table = sea_params_matrix(&clip->vision, clip->at.vision_pos + c * D);
    const struct sea_op_gemm spread = {
        .a = eye->spread, .lda = g0 * g0, .b = table.data, .b_type = table.type, .ldb = D,
        .c = eye->positions + c * D, .ldc = D, .M = m, .N = D, .K = g0 * g0, .alpha = 1,
    };
    enum sea_status status;

    /* class_rows' first number is 0 in every tower: the row that is not interpolated. */
    status = sea_clip_lookup(clip->device,
                             sea_params_matrix(&clip->vision, clip->at.vision_pos),
                             eye->class_rows, eye->positions, c, D, false, err);
    return status ? status : sea_run(clip->device, err, gemm, &spread);
}

enum sea_status
sea_clip_positions_backward(const struct sea_clip *clip, struct sea_clip_eye *eye,
                            struct sea_err *err)
{
    int64_t D = clip->desc.vision.D, m = sea_clip_patch_count(&clip->desc);
    int64_t g0 = sea_clip_trained_grid(&clip->desc), c = sea_clip_class_rows(&clip->desc);
    float *grad = clip->vision.grad + clip->at.vision_pos;
    const struct sea_op_axpby class_row = {
        .x = grad, .y = eye->dpositions, .out = grad, .n = c * D, .a = 1, .b = 1,
    };
    const struct sea_op_gemm spread = {
        .a = eye->spread, .lda = g0 * g0, .trans_a = 1, .b = eye->dpositions + c * D,
        .ldb = D, .c = grad + c * D, .ldc = D, .M = g0 * g0, .N = D, .K = m, .alpha = 1,
        .accumulate = 1,
    };
    enum sea_status status = sea_run(clip->device, err, axpby, &class_row);

    return status ? status : sea_run(clip->device, err, gemm, &spread);
}
