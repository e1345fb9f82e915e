/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_adapter.h"

#include <assert.h>
#include <math.h>
#include <string.h>

#include "engine/sea_safetensors.h"

/* The same weights under LLaVA's names and under Hugging Face's. A stem with a hole gets
 * the layer's number, first + step * layer. */
struct naming {
    const char *prefix, *stem;
    int first, step;
    bool linear;                /* for the kind that is linear, else for all others */
};
static const struct naming namings[] = {
    { "multi_modal_projector.", "linear_%d", 1, 1, false },
    { "model.multi_modal_projector.", "linear_%d", 1, 1, false },
    { "model.mm_projector.", "%d", 0, 2, false },
    { "model.", "mm_projector", 0, 0, true },
};
#define LLAVA 2
#define LLAVA_LINEAR 3

static const char *const kind_names[] = {
    "linear", "mlp1x_gelu", "mlp2x_gelu", "mlp3x_gelu", "mlp4x_gelu", "mlp5x_gelu",
    "mlp6x_gelu", "mlp7x_gelu", "mlp8x_gelu",
};
#define KINDS (int)(sizeof(kind_names) / sizeof(kind_names[0]))

const char *
sea_adapter_kind_name(enum sea_adapter_kind kind)
{
    return kind_names[kind];
}

bool
sea_adapter_kind_find(const char *name, enum sea_adapter_kind *out)
{
    for (int i = 0; i < KINDS; i++)
        if (!strcmp(name, kind_names[i])) {
            *out = (enum sea_adapter_kind)i;
            return true;
        }
    return false;
}

/* "linear_2.weight" of layer 1; ending begins with the point. */
static void
name_of(char name[64], const struct naming *naming, int layer, const char *ending)
{
    const char *hole = strstr(naming->stem, "%d");
    int number = naming->first + naming->step * layer;

    if (hole)
        snprintf(name, 64, "%.*s%d%s%s", (int)(hole - naming->stem), naming->stem, number,
                 hole + 2, ending);
    else
        snprintf(name, 64, "%s%s", naming->stem, ending);
}

static int64_t
add(struct sea_params *params, const char *name, int64_t rows, int64_t cols, int64_t fan_in)
{
    const int64_t shape[2] = { rows, cols };

    return sea_params_add(params, name, cols ? 2 : 1, shape, SEA_INIT_UNIFORM,
                          (float)(1.0 / sqrt((double)fan_in)));
}

/* The tensors under one naming; the layout in memory is the same for all of them. */
static void
add_tensors(struct sea_adapter *adapter, struct sea_params *params,
            const struct naming *naming, bool bias)
{
    int64_t D = adapter->D, in = adapter->Dv;
    char name[64];

    for (int l = 0; l < adapter->layers; l++, in = D) {
        name_of(name, naming, l, ".weight");
        adapter->w[l] = add(params, name, D, in, in);
        name_of(name, naming, l, ".bias");
        adapter->b[l] = bias ? add(params, name, D, 0, in) : -1;
    }
}

static enum sea_status
make(struct sea_adapter **out, const struct sea_device *device, enum sea_adapter_kind kind,
     bool bias, int64_t Dv, int64_t D, bool trained, struct sea_err *err)
{
    struct sea_arena *arena;
    struct sea_adapter *adapter;
    enum sea_status status;

    *out = NULL;
    if (Dv < 1 || D < 1)
        return sea_fail(err, SEA_E_CONFIG, "an adapter from width %lld to %lld cannot be made, "
                        "need 1 or more", (long long)Dv, (long long)D);
    arena = sea_arena_create(NULL, "adapter");
    adapter = sea_arena_alloc(arena, 1, sizeof(*adapter));
    adapter->arena = arena;
    adapter->kind = kind;
    adapter->act = SEA_ACT_GELU;
    adapter->layers = sea_adapter_kind_layers(kind);
    adapter->Dv = Dv;
    adapter->D = D;
    adapter->device = device;
    sea_params_init(&adapter->params, arena);
    add_tensors(adapter, &adapter->params, &namings[0], bias);
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
    if (make(&adapter, device, kind, true, Dv, D, trained, err))
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
    add_tensors(&same, params, naming, adapter->b[0] >= 0);
    assert(params->floats == adapter->params.floats);
    sea_params_alias(params, &adapter->params);
}

static const struct sea_tensor *
find_layer(const struct sea_tensors *tensors, const struct naming *naming, int layer,
           const char *ending)
{
    char name[64], full[128];

    name_of(name, naming, layer, ending);
    snprintf(full, sizeof(full), "%s%s", naming->prefix, name);
    return sea_tensors_find(tensors, full);
}

/* The naming that a file follows, NULL when it holds no adapter, and its kind. */
static const struct naming *
find_naming(const struct sea_tensors *tensors, enum sea_adapter_kind *kind)
{
    for (size_t i = 0; i < sizeof(namings) / sizeof(namings[0]); i++) {
        int layers = 0;

        while (layers < SEA_ADAPTER_LAYERS_MAX
               && find_layer(tensors, &namings[i], layers, ".weight")) {
            layers++;
            if (namings[i].linear)
                break;
        }
        *kind = namings[i].linear ? SEA_ADAPTER_LINEAR : (enum sea_adapter_kind)layers;
        if (layers)
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
    enum sea_adapter_kind kind;
    enum sea_status status;

    *out = NULL;
    naming = find_naming(tensors, &kind);
    if (!naming)
        return sea_fail(err, SEA_E_FORMAT, "there is no adapter: neither "
                        "\"multi_modal_projector.linear_1.weight\" nor "
                        "\"model.mm_projector.0.weight\"");
    first = find_layer(tensors, naming, 0, ".weight");
    if (first->rank != 2 || first->shape[0] < 1 || first->shape[1] < 1 ||
        (D && first->shape[0] != D) || (Dv && first->shape[1] != Dv)) {
        sea_fail(err, SEA_E_FORMAT, "the adapter leads from width %lld to %lld, need %lld to "
                 "%lld (0: any)", (long long)(first->rank == 2 ? first->shape[1] : 0),
                 (long long)first->shape[0], (long long)Dv, (long long)D);
        sea_hint(err, "Use the vision tower and the language model that it was made for.");
        return err->status;
    }
    status = make(&adapter, device, kind, find_layer(tensors, naming, 0, ".bias") != NULL,
                  first->shape[1], first->shape[0], trained, err);
    if (status)
        return status;
    assert(adapter);
    name_as(adapter, &params, naming);
    status = sea_params_load(&params, tensors, naming->prefix, err);
    adapter->params.warning = params.warning;
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

const char *
sea_adapter_name(const struct sea_adapter *adapter, struct sea_params *named,
                 struct sea_arena *arena)
{
    const struct naming *naming =
        &namings[adapter->kind == SEA_ADAPTER_LINEAR ? LLAVA_LINEAR : LLAVA];
    struct sea_adapter same = *adapter;

    same.arena = arena;
    name_as(&same, named, naming);
    return naming->prefix;
}

enum sea_status
sea_adapter_save(const struct sea_adapter *adapter, const char *path, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "adapter's names");
    struct sea_params params;
    struct sea_params_part part = { .params = &params };
    enum sea_status status;

    part.prefix = sea_adapter_name(adapter, &params, arena);
    status = sea_params_save(path, &part, 1, err);
    if (status)
        sea_context(err, "while saving the adapter \"%s\"", path);
    sea_arena_destroy(arena);
    return status;
}

/* ---- the step ---- */

static float *
take(struct sea_plan *plan, char *base, size_t count)
{
    size_t at = sea_plan_add(plan, count, sizeof(float));

    return base ? (float *)(void *)(base + at) : NULL;
}

/* Laid out twice: to count bytes (base NULL), then to set pointers. */
static void
lay_out(struct sea_adapter_work *work, struct sea_plan *plan, char *base,
        const struct sea_adapter *adapter, bool trained)
{
    size_t wide = (size_t)work->rows * (size_t)adapter->D;
    int last = adapter->layers - 1;

    sea_plan_init(plan);
    for (int l = 0; l < last; l++) {
        bool own = trained || l == 0;

        work->pre[l] = own ? take(plan, base, wide) : work->pre[0];
        work->act[l] = own ? take(plan, base, wide) : work->act[0];
    }
    for (int i = 0; trained && i < 2 && i < last; i++)
        work->dact[i] = take(plan, base, wide);
}

enum sea_status
sea_adapter_work_init(struct sea_adapter_work *work, const struct sea_adapter *adapter,
                      int64_t rows, bool trained, struct sea_err *err)
{
    struct sea_plan plan;

    memset(work, 0, sizeof(*work));
    work->rows = rows;
    if (rows < 1 || adapter->layers == 1)
        return SEA_OK;
    lay_out(work, &work->plan, NULL, adapter, trained);
    if (sea_plan_reserve(&work->plan, adapter->device, err)) {
        sea_context(err, "while reserving adapter outputs of %lld rows", (long long)rows);
        return err->status;
    }
    lay_out(work, &plan, work->plan.base, adapter, trained);
    assert(plan.bytes == work->plan.bytes);
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
linear(const struct sea_adapter *adapter, int layer, const float *x, float *y, int64_t R,
       struct sea_err *err)
{
    int64_t in = layer ? adapter->D : adapter->Dv;
    struct sea_weight weight = sea_params_matrix(&adapter->params, adapter->w[layer]);
    const struct sea_op_gemm gemm = {
        .a = x, .lda = in, .b = weight.data, .b_type = weight.type, .ldb = in, .trans_b = 1,
        .c = y, .ldc = adapter->D, .M = R, .N = adapter->D, .K = in, .alpha = 1.0f,
        .bias = sea_params_vector(&adapter->params, adapter->b[layer]),
    };

    return sea_run(adapter->device, err, gemm, &gemm);
}

/* dW += dy^T x, db += column sums of dy, dx = dy W (NULL: not wanted). */
static enum sea_status
linear_bwd(const struct sea_adapter *adapter, int layer, const float *x, const float *dy,
           float *dx, int64_t R, struct sea_err *err)
{
    int64_t in = layer ? adapter->D : adapter->Dv, D = adapter->D;
    struct sea_weight weight = sea_params_matrix(&adapter->params, adapter->w[layer]);
    float *grad = adapter->params.grad;
    enum sea_status status = SEA_OK;
    struct sea_op_gemm gemm = {
        .a = dy, .lda = D, .trans_a = 1, .b = x, .ldb = in, .ldc = in, .M = D, .N = in,
        .K = R, .accumulate = 1, .alpha = 1.0f,
    };
    struct sea_op_colsum colsum = { .x = dy, .R = R, .C = D, .ld = D, .accumulate = 1 };
    const struct sea_op_gemm back = {
        .a = dy, .lda = D, .b = weight.data, .b_type = weight.type, .ldb = in, .c = dx,
        .ldc = in, .M = R, .N = in, .K = D, .alpha = 1.0f,
    };

    if (grad) {
        gemm.c = grad + adapter->w[layer];
        status = sea_run(adapter->device, err, gemm, &gemm);
    }
    if (!status && grad && adapter->b[layer] >= 0) {
        colsum.out = grad + adapter->b[layer];
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
    const float *in = features;
    int last = adapter->layers - 1;
    enum sea_status status = SEA_OK;

    assert(R <= work->rows);
    for (int l = 0; l < last && !status; l++) {
        const struct sea_op_act act = {
            .x = work->pre[l], .y = work->act[l], .R = R, .C = adapter->D,
            .act = adapter->act,
        };

        status = linear(adapter, l, in, work->pre[l], R, err);
        if (!status)
            status = sea_run(adapter->device, err, act, &act);
        in = work->act[l];
    }
    return status ? status : linear(adapter, last, in, x, R, err);
}

enum sea_status
sea_adapter_backward(const struct sea_adapter *adapter, struct sea_adapter_work *work,
                     const float *features, int64_t R, const float *dx, float *dfeatures,
                     struct sea_err *err)
{
    const float *dy = dx;
    enum sea_status status = SEA_OK;

    assert(R <= work->rows && (work->dact[0] || adapter->layers == 1));
    for (int l = adapter->layers - 1; l > 0 && !status; l--) {
        float *to = work->dact[(adapter->layers - 1 - l) % 2];  /* not the one that is read */
        const struct sea_op_act_bwd act = {
            .x = work->pre[l - 1], .dy = to, .dx = to, .R = R, .C = adapter->D,
            .act = adapter->act,
        };

        status = linear_bwd(adapter, l, work->act[l - 1], dy, to, R, err);
        if (!status)
            status = sea_run(adapter->device, err, act_bwd, &act);
        dy = to;
    }
    return status ? status : linear_bwd(adapter, 0, features, dy, dfeatures, R, err);
}
