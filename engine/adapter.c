/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_adapter.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/sea_safetensors.h"

/* The same weights under LLaVA's names and under Hugging Face's. */
struct naming {
    const char *prefix;
    const char *first, *second;     /* stems of both layers; second NULL: linear */
};
static const struct naming namings[] = {
    { "multi_modal_projector.", "linear_1", "linear_2" },
    { "model.multi_modal_projector.", "linear_1", "linear_2" },
    { "model.mm_projector.", "0", "2" },
    { "model.", "mm_projector", NULL },
};
#define LLAVA 2
#define LLAVA_LINEAR 3

static const char *const kind_names[] = {
    [SEA_ADAPTER_MLP2X_GELU] = "mlp2x_gelu", [SEA_ADAPTER_LINEAR] = "linear",
};

const char *
sea_adapter_kind_name(enum sea_adapter_kind kind)
{
    return kind_names[kind];
}

bool
sea_adapter_kind_find(const char *name, enum sea_adapter_kind *out)
{
    for (int i = 0; i < 2; i++)
        if (!strcmp(name, kind_names[i])) {
            *out = (enum sea_adapter_kind)i;
            return true;
        }
    return false;
}

static int64_t
add(struct sea_params *params, const char *stem, const char *ending, int64_t rows,
    int64_t cols, int64_t fan_in)
{
    const int64_t shape[2] = { rows, cols };
    const char *name = sea_arena_printf(params->arena, "%s%s", stem, ending);

    return sea_params_add(params, name, cols ? 2 : 1, shape, SEA_INIT_UNIFORM,
                          (float)(1.0 / sqrt((double)fan_in)));
}

/* The tensors under one naming; the layout in memory is the same for all of them. */
static void
add_tensors(struct sea_adapter *adapter, struct sea_params *params,
            const struct naming *naming)
{
    int64_t Dv = adapter->Dv, D = adapter->D;

    adapter->w1 = add(params, naming->first, ".weight", D, Dv, Dv);
    adapter->b1 = add(params, naming->first, ".bias", D, 0, Dv);
    adapter->w2 = adapter->b2 = -1;
    if (adapter->kind == SEA_ADAPTER_LINEAR)
        return;
    adapter->w2 = add(params, naming->second, ".weight", D, D, D);
    adapter->b2 = add(params, naming->second, ".bias", D, 0, D);
}

static enum sea_status
make(struct sea_adapter **out, const struct sea_device *device, enum sea_adapter_kind kind,
     int64_t Dv, int64_t D, bool trained, struct sea_err *err)
{
    struct sea_arena *arena;
    struct sea_adapter *adapter;
    enum sea_status status;

    *out = NULL;
    if (Dv < 1 || D < 1)
        return sea_fail(err, SEA_E_CONFIG, "an adapter from width %lld to %lld cannot be made",
                        (long long)Dv, (long long)D);
    arena = sea_arena_create(NULL, "adapter");
    adapter = sea_arena_alloc(arena, 1, sizeof(*adapter));
    adapter->arena = arena;
    adapter->kind = kind;
    adapter->Dv = Dv;
    adapter->D = D;
    adapter->device = device;
    sea_params_init(&adapter->params, arena);
    add_tensors(adapter, &adapter->params, &namings[0]);
    status = sea_params_reserve(&adapter->params, device, trained, err);
    if (status) {
        sea_adapter_destroy(adapter);
        return status;
    }
    *out = adapter;
    return SEA_OK;
}

enum sea_status
sea_adapter_create(struct sea_adapter **out, const struct sea_device *device,
                   enum sea_adapter_kind kind, int64_t Dv, int64_t D, uint64_t seed,
                   bool trained, struct sea_err *err)
{
    struct sea_adapter *adapter;

    *out = NULL;
    if (make(&adapter, device, kind, Dv, D, trained, err))
        return err->status;
    if (sea_params_fill(&adapter->params, seed, "adapter", err)) {
        sea_adapter_destroy(adapter);
        return err->status;
    }
    *out = adapter;
    return SEA_OK;
}

void
sea_adapter_destroy(struct sea_adapter *adapter)
{
    if (!adapter)
        return;
    sea_params_release(&adapter->params);
    sea_arena_destroy(adapter->arena);
}

/* A list of names that points at the adapter's own memory: for files only. */
static void
name_as(struct sea_adapter *adapter, struct sea_params *params, const struct naming *naming)
{
    struct sea_adapter same = *adapter;

    sea_params_init(params, adapter->arena);
    add_tensors(&same, params, naming);
    assert(params->floats == adapter->params.floats);
    params->data = adapter->params.data;
    params->device = adapter->device;
}

/* The naming that a file follows, NULL when it holds no adapter. */
static const struct naming *
find_naming(const struct sea_tensors *tensors, const struct sea_tensor **first)
{
    char name[128];

    for (size_t i = 0; i < sizeof(namings) / sizeof(namings[0]); i++) {
        snprintf(name, sizeof(name), "%s%s.weight", namings[i].prefix, namings[i].first);
        *first = sea_tensors_find(tensors, name);
        if (*first)
            return &namings[i];
    }
    return NULL;
}

enum sea_status
sea_adapter_load_tensors(struct sea_adapter **out, const struct sea_device *device,
                         const struct sea_tensors *tensors, int64_t Dv, int64_t D,
                         bool trained, struct sea_err *err)
{
    const struct naming *naming;
    struct sea_adapter *adapter = NULL;
    struct sea_params params;
    const struct sea_tensor *first;
    enum sea_status status;

    *out = NULL;
    naming = find_naming(tensors, &first);
    if (!naming)
        return sea_fail(err, SEA_E_FORMAT, "there is no adapter: neither \"%s%s.weight\" nor "
                        "\"%s%s.weight\"", namings[0].prefix, namings[0].first,
                        namings[LLAVA].prefix, namings[LLAVA].first);
    if (first->rank != 2 || first->shape[0] < 1 || first->shape[1] < 1 ||
        (D && first->shape[0] != D) || (Dv && first->shape[1] != Dv)) {
        sea_fail(err, SEA_E_FORMAT, "the adapter leads from width %lld to %lld, need %lld to "
                 "%lld (0: any)", (long long)(first->rank == 2 ? first->shape[1] : 0),
                 (long long)first->shape[0], (long long)Dv, (long long)D);
        sea_hint(err, "Use the vision tower and the language model that it was made for.");
        return err->status;
    }
    status = make(&adapter, device,
                  naming->second ? SEA_ADAPTER_MLP2X_GELU : SEA_ADAPTER_LINEAR,
                  first->shape[1], first->shape[0], trained, err);
    if (status)
        return status;
    assert(adapter);
    name_as(adapter, &params, naming);
    status = sea_params_load(&params, tensors, naming->prefix, err);
    if (status)
        sea_adapter_destroy(adapter);
    else
        *out = adapter;
    return status;
}

enum sea_status
sea_adapter_load(struct sea_adapter **out, const struct sea_device *device, const char *path,
                 int64_t Dv, int64_t D, bool trained, struct sea_err *err)
{
    struct sea_tensors *tensors = NULL;
    enum sea_status status;

    *out = NULL;
    status = sea_tensors_open(&tensors, path, err);
    if (!status)
        status = sea_adapter_load_tensors(out, device, tensors, Dv, D, trained, err);
    if (status)
        sea_context(err, "while loading the adapter \"%s\"", path);
    sea_tensors_close(tensors);
    return status;
}

enum sea_status
sea_adapter_save(const struct sea_adapter *adapter, const char *path, struct sea_err *err)
{
    const struct naming *naming =
        &namings[adapter->kind == SEA_ADAPTER_LINEAR ? LLAVA_LINEAR : LLAVA];
    struct sea_arena *arena = sea_arena_create(NULL, "adapter's names");
    struct sea_adapter same = *adapter;
    struct sea_params params;
    struct sea_params_part part;
    enum sea_status status;

    same.arena = arena;
    name_as(&same, &params, naming);
    part.params = &params;
    part.prefix = naming->prefix;
    status = sea_params_save(path, &part, 1, err);
    if (status)
        sea_context(err, "while saving the adapter \"%s\"", path);
    sea_arena_destroy(arena);
    return status;
}

/* ---- the step ---- */

enum sea_status
sea_adapter_work_init(struct sea_adapter_work *work, const struct sea_adapter *adapter,
                      int64_t rows, bool trained, struct sea_err *err)
{
    size_t wide = (size_t)rows * (size_t)adapter->D, pre, act, dact = 0;

    memset(work, 0, sizeof(*work));
    if (rows < 1 || adapter->kind == SEA_ADAPTER_LINEAR) {
        work->rows = rows;
        return SEA_OK;
    }
    sea_plan_init(&work->plan);
    pre = sea_plan_add(&work->plan, wide, sizeof(float));
    act = sea_plan_add(&work->plan, wide, sizeof(float));
    if (trained)
        dact = sea_plan_add(&work->plan, wide, sizeof(float));
    if (sea_plan_reserve(&work->plan, adapter->device, err)) {
        sea_context(err, "while reserving adapter outputs of %lld rows", (long long)rows);
        return err->status;
    }
    work->rows = rows;
    work->pre = sea_plan_at(&work->plan, pre);
    work->act = sea_plan_at(&work->plan, act);
    work->dact = trained ? sea_plan_at(&work->plan, dact) : NULL;
    return SEA_OK;
}

void
sea_adapter_work_release(struct sea_adapter_work *work)
{
    sea_plan_release(&work->plan);
    memset(work, 0, sizeof(*work));
}

/* y (R, out) = x (R, in) W^T + b. */
static enum sea_status
linear(const struct sea_adapter *adapter, int64_t w, int64_t b, const float *x, float *y,
       int64_t R, int64_t in, struct sea_err *err)
{
    const float *data = adapter->params.data;
    const struct sea_op_gemm gemm = {
        .a = x, .lda = in, .b = data + w, .ldb = in, .trans_b = 1, .c = y,
        .ldc = adapter->D, .bias = data + b, .M = R, .N = adapter->D, .K = in,
        .alpha = 1.0f,
    };

    return sea_run(adapter->device, err, gemm, &gemm);
}

/* dW += dy^T x, db += column sums of dy, dx = dy W (NULL: not wanted). */
static enum sea_status
linear_bwd(const struct sea_adapter *adapter, int64_t w, int64_t b, const float *x,
           const float *dy, float *dx, int64_t R, int64_t in, struct sea_err *err)
{
    const float *data = adapter->params.data;
    float *grad = adapter->params.grad;
    int64_t D = adapter->D;
    enum sea_status status = SEA_OK;
    struct sea_op_gemm gemm = {
        .a = dy, .lda = D, .trans_a = 1, .b = x, .ldb = in, .ldc = in, .M = D, .N = in,
        .K = R, .accumulate = 1, .alpha = 1.0f,
    };
    struct sea_op_colsum colsum = { .x = dy, .R = R, .C = D, .ld = D, .accumulate = 1 };
    const struct sea_op_gemm back = {
        .a = dy, .lda = D, .b = data + w, .ldb = in, .c = dx, .ldc = in, .M = R, .N = in,
        .K = D, .alpha = 1.0f,
    };

    if (grad) {
        gemm.c = grad + w;
        colsum.out = grad + b;
        status = sea_run(adapter->device, err, gemm, &gemm);
        if (!status)
            status = sea_run(adapter->device, err, colsum, &colsum);
    }
    if (!status && dx)
        status = sea_run(adapter->device, err, gemm, &back);
    return status;
}

enum sea_status
sea_adapter_forward(const struct sea_adapter *adapter, struct sea_adapter_work *work,
                    const float *features, int64_t R, float *x, struct sea_err *err)
{
    enum sea_status status;
    const struct sea_op_act gelu = {
        .x = work->pre, .y = work->act, .R = R, .C = adapter->D, .act = SEA_ACT_GELU,
    };

    assert(R <= work->rows);
    if (adapter->kind == SEA_ADAPTER_LINEAR)
        return linear(adapter, adapter->w1, adapter->b1, features, x, R, adapter->Dv, err);
    status = linear(adapter, adapter->w1, adapter->b1, features, work->pre, R, adapter->Dv,
                    err);
    if (!status)
        status = sea_run(adapter->device, err, act, &gelu);
    if (!status)
        status = linear(adapter, adapter->w2, adapter->b2, work->act, x, R, adapter->D, err);
    return status;
}

enum sea_status
sea_adapter_backward(const struct sea_adapter *adapter, struct sea_adapter_work *work,
                     const float *features, int64_t R, const float *dx, float *dfeatures,
                     struct sea_err *err)
{
    enum sea_status status;
    const struct sea_op_act_bwd gelu = {
        .x = work->pre, .dy = work->dact, .dx = work->dact, .R = R, .C = adapter->D,
        .act = SEA_ACT_GELU,
    };

    assert(R <= work->rows);
    if (adapter->kind == SEA_ADAPTER_LINEAR)
        return linear_bwd(adapter, adapter->w1, adapter->b1, features, dx, dfeatures, R,
                          adapter->Dv, err);
    assert(work->dact);
    status = linear_bwd(adapter, adapter->w2, adapter->b2, work->act, dx, work->dact, R,
                        adapter->D, err);
    if (!status)
        status = sea_run(adapter->device, err, act_bwd, &gelu);
    if (!status)
        status = linear_bwd(adapter, adapter->w1, adapter->b1, features, work->dact,
                            dfeatures, R, adapter->Dv, err);
    return status;
}
