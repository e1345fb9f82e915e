/* SPDX-License-Identifier: Apache-2.0 */
/* Memory of a tower's work, and the steps that both towers share. */
#include <assert.h>
#include <stdlib.h>
#include <string.h>

#include "engine/clip_int.h"

enum sea_status
sea_clip_linear(const struct sea_device *device, struct sea_weight weight, const float *bias,
                const float *x, float *y, int64_t R, int64_t in, int64_t out, bool add,
                struct sea_err *err)
{
    const struct sea_op_gemm gemm = {
        .a = x, .lda = in, .b = weight.data, .b_type = weight.type, .ldb = in, .trans_b = 1,
        .c = y, .ldc = out, .bias = bias, .M = R, .N = out, .K = in, .accumulate = add,
        .alpha = 1,
    };

    return sea_run(device, err, gemm, &gemm);
}

enum sea_status
sea_clip_linear_bwd(const struct sea_device *device, struct sea_weight weight, float *dweight,
                    const float *x, const float *dy, float *dx, int64_t R, int64_t in,
                    int64_t out, struct sea_err *err)
{
    const struct sea_op_gemm to_input = {
        .a = dy, .lda = out, .b = weight.data, .b_type = weight.type, .ldb = in, .c = dx,
        .ldc = in, .M = R, .N = in, .K = out, .alpha = 1,
    };
    const struct sea_op_gemm to_weight = {
        .a = dy, .lda = out, .trans_a = 1, .b = x, .ldb = in, .c = dweight, .ldc = in,
        .M = out, .N = in, .K = R, .alpha = 1, .accumulate = 1,
    };
    enum sea_status status = SEA_OK;

    if (dweight)
        status = sea_run(device, err, gemm, &to_weight);
    if (!status && dx)
        status = sea_run(device, err, gemm, &to_input);
    return status;
}

enum sea_status
sea_clip_lookup(const struct sea_device *device, struct sea_weight table, const int32_t *idx,
                float *out, int64_t R, int64_t C, bool add, struct sea_err *err)
{
    const struct sea_op_gather gather = {
        .inp = table.data, .inp_type = table.type, .idx = idx, .out = out, .R = R, .C = C,
        .ld_inp = C, .ld_out = C, .add = add,
    };

    return sea_run(device, err, gather, &gather);
}

enum sea_status
sea_clip_gather(const struct sea_device *device, const float *inp, const int32_t *idx,
                float *out, int64_t R, int64_t C, bool add, struct sea_err *err)
{
    return sea_clip_lookup(device, sea_clip_floats(inp), idx, out, R, C, add, err);
}

enum sea_status
sea_clip_give(const struct sea_device *device, const float *rows, int64_t floats,
              struct sea_clip_out out, int64_t at, struct sea_err *err)
{
    size_t bytes = (size_t)floats * sizeof(*rows);
    enum sea_status status = SEA_OK;

    if (out.device)
        status = sea_device_status(device, device->ops->copy(device->dev, out.device + at,
                                                             rows, bytes), "copy", err);
    if (!status && out.host)
        status = sea_device_get(device, out.host + at, rows, bytes, err);
    return status;
}

enum sea_status
sea_clip_exit_forward(const struct sea_device *device, const struct sea_clip_exit *exit,
                      const float *rows, int64_t R, bool keep, struct sea_err *err)
{
    const struct sea_op_layernorm norm = {
        .x = rows, .gamma = exit->gamma, .beta = exit->beta, .y = exit->normed,
        .mean = keep ? exit->mean : NULL, .rstd = keep ? exit->rstd : NULL,
        .R = R, .C = exit->D, .eps = exit->eps,
    };
    const struct sea_op_l2norm unit = {
        .inp = exit->joint, .out = exit->joint, .rnorm = keep ? exit->rnorm : NULL,
        .R = R, .C = exit->J, .eps = SEA_CLIP_NORM_EPS,
    };
    enum sea_status status;

    status = sea_run(device, err, layernorm, &norm);
    if (!status)
        status = sea_clip_linear(device, exit->proj, exit->proj_bias, exit->normed,
                                 exit->joint, R, exit->D, exit->J, false, err);
    if (!status)
        status = sea_run(device, err, l2norm, &unit);
    return status;
}

enum sea_status
sea_clip_exit_backward(const struct sea_device *device, const struct sea_clip_exit *exit,
                       const float *rows, float *djoint, float *drows, int64_t R,
                       struct sea_err *err)
{
    const struct sea_op_l2norm_bwd unit = {
        .out = exit->joint, .dout = djoint, .rnorm = exit->rnorm, .dinp = djoint,
        .R = R, .C = exit->J,
    };
    const struct sea_op_layernorm_bwd norm = {
        .x = rows, .dy = exit->dnormed, .gamma = exit->gamma, .mean = exit->mean,
        .rstd = exit->rstd, .dx = drows, .dgamma = exit->dgamma, .dbeta = exit->dbeta,
        .R = R, .C = exit->D,
    };
    enum sea_status status;

    status = sea_run(device, err, l2norm_bwd, &unit);
    if (!status)
        status = sea_clip_linear_bwd(device, exit->proj, exit->dproj, exit->normed, djoint,
                                     exit->dnormed, R, exit->D, exit->J, err);
    if (!status)
        status = sea_run(device, err, layernorm_bwd, &norm);
    return status;
}

/* Buffers are laid out twice: to count bytes (base NULL), then to set pointers. */
struct layout {
    struct sea_plan plan;
    char *base;
};

static void *
take(struct layout *layout, int64_t rows, int64_t columns, size_t size)
{
    int64_t count;
    size_t at;

    if (__builtin_mul_overflow(rows, columns, &count))
        count = INT64_MAX;
    at = sea_plan_add(&layout->plan, (size_t)count, size);
    return layout->base ? layout->base + at : NULL;
}

static float *
floats(struct layout *layout, int64_t rows, int64_t columns)
{
    return take(layout, rows, columns, sizeof(float));
}

static int32_t *
ints(struct layout *layout, int64_t rows)
{
    return take(layout, rows, 1, sizeof(int32_t));
}

/* kept: rows whose backward may be asked for, 0: none. */
static void
lay_out_exit(struct layout *layout, struct sea_clip_exit *exit, int64_t rows, int64_t kept)
{
    exit->normed = floats(layout, rows, exit->D);
    exit->joint = floats(layout, rows, exit->J);
    if (kept > 0) {
        exit->mean = floats(layout, kept, 1);
        exit->rstd = floats(layout, kept, 1);
        exit->rnorm = floats(layout, kept, 1);
        exit->dnormed = floats(layout, kept, exit->D);
    }
}

static void
lay_out_eye(struct layout *layout, const struct sea_clip *clip, struct sea_clip_work *work)
{
    const struct sea_clip_vision_desc *desc = &clip->desc.vision;
    struct sea_clip_eye *eye = &work->eye;
    int64_t images = work->limits.images, D = desc->D;
    int64_t m = sea_clip_patch_count(&clip->desc), c = sea_clip_class_rows(&clip->desc);
    int64_t M = images * m, N = images * (m + c), g0 = sea_clip_trained_grid(&clip->desc);
    bool trained = work->limits.trained, joint = clip->desc.joint > 0;

    eye->pixels = floats(layout, images, desc->channels * desc->image * desc->image);
    eye->cells = floats(layout, M, desc->channels * desc->patch * desc->patch);
    eye->cell_rows = floats(layout, M, D);
    eye->raw = floats(layout, N, D);
    eye->x = floats(layout, N, D);
    eye->mean = floats(layout, N, 1);
    eye->rstd = floats(layout, N, 1);
    if (sea_clip_interpolates(&clip->desc)) {
        eye->spread = floats(layout, m, g0 * g0);
        eye->positions = floats(layout, m + c, D);
        if (trained)
            eye->dpositions = floats(layout, m + c, D);
    }
    eye->pos_of = ints(layout, N);
    eye->class_of = ints(layout, N);
    eye->cell_of = ints(layout, N);
    eye->class_place = ints(layout, N);
    eye->class_rows = ints(layout, images);
    eye->cell_at = ints(layout, M);
    if (joint)
        lay_out_exit(layout, &eye->exit, trained ? images : M, trained ? images : 0);
    if (trained) {
        eye->dx = floats(layout, N, D);
    } else if (joint) {
        eye->n = floats(layout, N, D);
        eye->norm = floats(layout, N, D);
        eye->v = floats(layout, N, D);
        eye->wide = floats(layout, N, desc->F);
    }
}

static void
lay_out_reader(struct layout *layout, const struct sea_clip *clip,
               struct sea_clip_work *work)
{
    struct sea_clip_reader *reader = &work->reader;
    int64_t R = work->limits.text_rows, T = work->limits.texts;

    reader->ids = ints(layout, R);
    reader->pos = ints(layout, R);
    reader->end_place = ints(layout, R);
    reader->id_order = ints(layout, R);
    reader->pos_order = ints(layout, R);
    reader->end_rows = ints(layout, T);
    reader->x = floats(layout, R, clip->desc.text.D);
    lay_out_exit(layout, &reader->exit, T, work->limits.trained ? T : 0);
    if (work->limits.trained)
        reader->dx = floats(layout, R, clip->desc.text.D);
}

static void
lay_out(struct layout *layout, const struct sea_clip *clip, struct sea_clip_work *work)
{
    if (work->limits.images > 0)
        lay_out_eye(layout, clip, work);
    if (work->limits.texts > 0)
        lay_out_reader(layout, clip, work);
}

static float *
grad_at(const struct sea_params *params, int64_t offset)
{
    return params->grad && offset >= 0 ? params->grad + offset : NULL;
}

static void
point_exits(const struct sea_clip *clip, struct sea_clip_work *work)
{
    const struct sea_clip_offsets *at = &clip->at;
    const struct sea_params *projection = clip->desc.tower == SEA_TOWER_CLIP ? &clip->head
                                                                             : &clip->text;
    struct sea_clip_exit *eye = &work->eye.exit, *reader = &work->reader.exit;

    eye->D = clip->desc.vision.D;
    reader->D = clip->desc.text.D;
    eye->J = reader->J = clip->desc.joint;
    eye->eps = clip->desc.vision.eps;
    reader->eps = clip->desc.text.eps;
    if (clip->desc.joint < 1)
        return;
    eye->gamma = sea_params_vector(&clip->vision, at->post);
    eye->beta = sea_params_vector(&clip->vision, at->post_bias);
    eye->proj = sea_params_matrix(&clip->head, at->vision_proj);
    eye->dgamma = grad_at(&clip->vision, at->post);
    eye->dbeta = grad_at(&clip->vision, at->post_bias);
    eye->dproj = grad_at(&clip->head, at->vision_proj);
    if (clip->desc.text.D < 1)
        return;
    reader->gamma = sea_params_vector(&clip->text, at->final);
    reader->beta = sea_params_vector(&clip->text, at->final_bias);
    reader->proj = sea_params_matrix(projection, at->text_proj);
    reader->proj_bias = sea_params_vector(projection, at->text_proj_bias);
    reader->dgamma = grad_at(&clip->text, at->final);
    reader->dbeta = grad_at(&clip->text, at->final_bias);
    reader->dproj = grad_at(projection, at->text_proj);
}

static enum sea_status
fill_rows(const struct sea_clip *clip, struct sea_clip_work *work, struct sea_err *err)
{
    struct sea_clip_eye *eye = &work->eye;
    int64_t images = work->limits.images, m = sea_clip_patch_count(&clip->desc);
    int64_t c = sea_clip_class_rows(&clip->desc), N = images * (m + c), M = images * m, row, b;
    int32_t *host = sea_xcalloc((size_t)(4 * N + images + M), sizeof(*host));
    int32_t *pos = host, *class_of = pos + N, *cell_of = class_of + N;
    int32_t *place = cell_of + N, *class_rows = place + N, *cell_at = class_rows + images;
    const struct {
        int32_t *to, *from;
        int64_t count;
    } copies[] = {
        { eye->pos_of, pos, N }, { eye->class_of, class_of, N },
        { eye->cell_of, cell_of, N }, { eye->class_place, place, N },
        { eye->class_rows, class_rows, images }, { eye->cell_at, cell_at, M },
    };
    enum sea_status status = SEA_OK;
    size_t i;

    eye->start = sea_xcalloc((size_t)images + 1, sizeof(*eye->start));
    eye->k_len = sea_xcalloc((size_t)images, sizeof(*eye->k_len));
    eye->one_start = sea_xcalloc((size_t)images + 1, sizeof(*eye->one_start));
    for (b = 0; b <= images; b++) {
        eye->start[b] = (int32_t)(b * (m + c));
        eye->one_start[b] = (int32_t)b;
    }
    for (b = 0; b < images; b++)
        eye->k_len[b] = (int32_t)(m + c);
    for (row = 0; row < N; row++) {
        int64_t p = row % (m + c);
        bool is_class = p < c;

        b = row / (m + c);
        pos[row] = (int32_t)p;
        class_of[row] = is_class ? 0 : -1;
        place[row] = is_class ? (int32_t)b : -1;
        cell_of[row] = is_class ? -1 : (int32_t)(b * m + p - c);
        if (is_class)
            class_rows[b] = (int32_t)row;
        else
            cell_at[b * m + p - c] = (int32_t)row;
    }
    for (i = 0; !status && i < sizeof(copies) / sizeof(copies[0]); i++)
        status = sea_device_put(clip->device, copies[i].to, copies[i].from,
                                (size_t)copies[i].count * sizeof(*host), err);
    free(host);
    if (!status && eye->spread)
        status = sea_clip_spread_fill(clip, eye, err);
    return status;
}

static int64_t
rows_of(const struct sea_clip *clip, int64_t images)
{
    return images * (sea_clip_patch_count(&clip->desc) + sea_clip_class_rows(&clip->desc));
}

static enum sea_status
check_limits(const struct sea_clip *clip, const struct sea_clip_limits *limits,
             struct sea_err *err)
{
    int64_t rows = rows_of(clip, limits->images);
    bool padded = clip->desc.tower == SEA_TOWER_SIGLIP;

    if (limits->images > 0 && clip->desc.vision.D < 1)
        return sea_fail(err, SEA_E_CONFIG, "this %s model has no vision tower",
                        sea_tower_name(clip->desc.tower));
    if (limits->texts > 0 && (clip->desc.text.D < 1 || clip->desc.joint < 1))
        return sea_fail(err, SEA_E_CONFIG, "this %s model has no text tower",
                        sea_tower_name(clip->desc.tower));
    if (limits->texts > 0 && padded && limits->text_rows < clip->desc.text.positions)
        return sea_fail(err, SEA_E_CONFIG, "limits of %lld ids cannot be used, a padded text "
                        "has %lld", (long long)limits->text_rows,
                        (long long)clip->desc.text.positions);
    if (limits->images < 0 || limits->images > 1 << 20 || rows > INT32_MAX
        || limits->texts < 0 || limits->text_rows < limits->texts
        || limits->text_rows > INT32_MAX)
        return sea_fail(err, SEA_E_CONFIG, "limits of %lld pictures, %lld texts and %lld ids "
                        "cannot be used", (long long)limits->images,
                        (long long)limits->texts, (long long)limits->text_rows);
    return SEA_OK;
}

static enum sea_status
create_stacks(struct sea_clip_work *work, struct sea_err *err)
{
    const struct sea_clip *clip = work->clip;
    const struct sea_clip_limits *limits = &work->limits;
    struct sea_clip_reader *reader = &work->reader;
    size_t R = (size_t)limits->text_rows, T = (size_t)limits->texts;
    enum sea_status status = SEA_OK;

    if (limits->images > 0) {
        int64_t rows = rows_of(clip, limits->images);

        status = sea_stack_work_create(&work->eye.stack, &clip->vision_stack, rows,
                                       limits->trained, err);
        if (!status)
            status = fill_rows(clip, work, err);
    }
    if (!status && limits->texts > 0) {
        status = sea_stack_work_create(&reader->stack, &clip->text_stack, limits->text_rows,
                                       limits->trained, err);
        reader->host = sea_xcalloc(5 * R + T, sizeof(*reader->host));
        reader->sorted = sea_xcalloc(R, sizeof(*reader->sorted));
        reader->start = sea_xcalloc(T + 1, sizeof(*reader->start));
    }
    return status;
}

enum sea_status
sea_clip_work_create(struct sea_clip_work **out, const struct sea_clip *clip,
                     const struct sea_clip_limits *limits, struct sea_err *err)
{
    struct sea_clip_work *work = NULL;
    struct layout layout = { .base = NULL };
    enum sea_status status;

    *out = NULL;
    status = check_limits(clip, limits, err);
    if (status)
        goto out;
    work = sea_xcalloc(1, sizeof(*work));
    work->clip = clip;
    work->limits = *limits;
    point_exits(clip, work);
    sea_plan_init(&layout.plan);
    lay_out(&layout, clip, work);
    work->plan = layout.plan;
    status = sea_plan_reserve(&work->plan, clip->device, err);
    if (status)
        goto out;
    sea_plan_init(&layout.plan);
    layout.base = work->plan.base;
    lay_out(&layout, clip, work);
    assert(layout.plan.bytes == work->plan.bytes);
    status = create_stacks(work, err);
    if (status)
        goto out;
    *out = work;
    work = NULL;
out:
    sea_clip_work_destroy(work);
    return status;
}

void
sea_clip_work_destroy(struct sea_clip_work *work)
{
    if (!work)
        return;
    sea_stack_work_destroy(work->eye.stack);
    sea_stack_work_destroy(work->reader.stack);
    free(work->eye.start);
    free(work->eye.k_len);
    free(work->eye.one_start);
    free(work->reader.host);
    free(work->reader.sorted);
    free(work->reader.start);
    sea_plan_release(&work->plan);
    free(work);
}
