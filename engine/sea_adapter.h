/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_adapter.h - from tower features to rows of the language model
 *
 * linear: x = W1 z + b1. mlpNx_gelu, N from 1 to 8, as LLaVA counts them: N linear layers
 * with exact (erf) GELU between them; mlp1x_gelu is linear under another name. First weights
 * are uniform in +-1/sqrt(fan_in), biases too, as PyTorch's Linear makes them.
 *
 * Files: adapter.safetensors has LLaVA's names, "model.mm_projector.0.weight", ".2." and so
 * on (a linear adapter: "model.mm_projector.weight"); a Llava folder has
 * "multi_modal_projector.linear_1.weight", which newer files put behind "model.", and knows
 * two layers only. Any of them is read.
 */
#ifndef SEA_ADAPTER_H
#define SEA_ADAPTER_H

#include "engine/sea_params.h"
#include "engine/sea_plan.h"

#define SEA_ADAPTER_LAYERS_MAX 8

enum sea_adapter_kind {         /* but for linear, the number of layers */
    SEA_ADAPTER_LINEAR = 0,
    SEA_ADAPTER_MLP1X_GELU = 1, SEA_ADAPTER_MLP2X_GELU = 2,
    SEA_ADAPTER_MLP8X_GELU = SEA_ADAPTER_LAYERS_MAX
};
const char *sea_adapter_kind_name(enum sea_adapter_kind kind);  /* "mlp2x_gelu", "linear" */
bool sea_adapter_kind_find(const char *name, enum sea_adapter_kind *out);
static inline int
sea_adapter_kind_layers(enum sea_adapter_kind kind)
{
    return kind == SEA_ADAPTER_LINEAR ? 1 : (int)kind;
}

struct sea_adapter {            /* read freely */
    enum sea_adapter_kind kind;
    enum sea_act act;           /* GELU, unless a Llava folder says another */
    int64_t Dv, D;              /* width of features, of the language model */
    int layers;
    const struct sea_device *device;
    struct sea_params params;   /* "linear_1.weight", ... */
    int64_t w[SEA_ADAPTER_LAYERS_MAX];  // offsets of (D, Dv), (D, D), ...
    int64_t b[SEA_ADAPTER_LAYERS_MAX];  // of (D); -1: no bias
    struct sea_arena *arena;
};

SEA_MUST_CHECK enum sea_status
sea_adapter_create(struct sea_adapter **out, const struct sea_device *device,
                   enum sea_adapter_kind kind, int64_t Dv, int64_t D, uint64_t seed,
                   bool trained, struct sea_err *err);
/* Kind, sizes and biases follow from the tensors found; D and Dv 0: any, else checked. */
SEA_MUST_CHECK enum sea_status
sea_adapter_load_tensors(struct sea_adapter **out, const struct sea_device *device,
                         const struct sea_tensors *tensors, int64_t Dv, int64_t D,
                         bool trained, struct sea_err *err);
/* path: a safetensors file. */
SEA_MUST_CHECK enum sea_status
sea_adapter_load(struct sea_adapter **out, const struct sea_device *device, const char *path,
                 int64_t Dv, int64_t D, bool trained, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_adapter_save(const struct sea_adapter *adapter, const char *path, struct sea_err *err);
void sea_adapter_destroy(struct sea_adapter *adapter);  /* accepts NULL */

/* The adapter's tensors under LLaVA's names, for files: they point at its memory, names are
 * in the arena. Returns what stands before the names. */
const char *sea_adapter_name(const struct sea_adapter *adapter, struct sea_params *named,
                             struct sea_arena *arena);

struct sea_adapter_work {       /* activations of at most `rows` rows */
    struct sea_plan plan;
    int64_t rows;
    /* (rows, D) before and after GELU, of all layers but the last. Not trained: one of each
     * serves all. */
    float *pre[SEA_ADAPTER_LAYERS_MAX], *act[SEA_ADAPTER_LAYERS_MAX];
    float *dact[2];             // (rows, D), trained only
};
SEA_MUST_CHECK enum sea_status
sea_adapter_work_init(struct sea_adapter_work *work, const struct sea_adapter *adapter,
                      int64_t rows, bool trained, struct sea_err *err);
void sea_adapter_work_release(struct sea_adapter_work *work);   /* accepts all-zero */

/* x (R, D) = adapter of features (R, Dv), all on the device. */
SEA_MUST_CHECK enum sea_status
sea_adapter_forward(const struct sea_adapter *adapter, struct sea_adapter_work *work,
                    const float *features, int64_t R, float *x, struct sea_err *err);
/* After the forward of the same rows: adds to the gradients; dx (R, D). dfeatures (R, Dv)
 * is overwritten; NULL: not wanted (a frozen tower). */
SEA_MUST_CHECK enum sea_status
sea_adapter_backward(const struct sea_adapter *adapter, struct sea_adapter_work *work,
                     const float *features, int64_t R, const float *dx, float *dfeatures,
                     struct sea_err *err);

#endif
