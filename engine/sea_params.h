/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_params.h - the named weights of one model part, in one flat piece of device memory
 *
 * A part (a tower, an adapter, a language model) adds its tensors once, in memory order,
 * under their Hugging Face names. Joined tensors lie one after another without a gap; the
 * block layout uses that to run q, k, v (and gate, up) as one GEMM, while files keep the
 * separate names.
 * Gradients and optimiser state are flat pieces of the same layout (same offsets).
 *
 * Invariants: (1) offsets are multiples of 16 floats, but for joined tensors; padding
 *                 between tensors is 0 and stays 0 (its gradient is 0);
 *             (2) tensors keep their order: it is part of checkpoints' and init's meaning.
 */
#ifndef SEA_PARAMS_H
#define SEA_PARAMS_H

#include "engine/base/sea_arena.h"
#include "engine/sea_device.h"

struct sea_tensors;             /* engine/sea_safetensors.h: the tensors of a folder */

enum sea_init { SEA_INIT_ZERO, SEA_INIT_ONE, SEA_INIT_NORMAL, SEA_INIT_UNIFORM };

struct sea_param {
    const char *name;           /* as in the file, without the part's prefix */
    int64_t rows, cols;         /* a vector has rows = 1; conv weights are (out, in*p*p) */
    int64_t shape[4];           /* as in the file */
    int rank;
    int64_t offset, count;      /* in floats */
    enum sea_init init;
    float scale;                /* NORMAL: deviation; UNIFORM: half-width */
    bool decay;                 /* weight decay applies (matrices, not norms or biases) */
};

struct sea_params {             /* read freely */
    struct sea_param *list;
    int64_t count, room;
    int64_t floats;             /* of the flat piece, padding included */
    float *data;                /* (floats) device, NULL before reserve */
    float *grad;                /* (floats) device, NULL when frozen */
    const struct sea_device *device;
    struct sea_arena *arena;    /* holds list and names */
};

/* arena must outlive params. */
void sea_params_init(struct sea_params *params, struct sea_arena *arena);
/* Frees device memory; the list goes with the arena. Accepts all-zero. */
void sea_params_release(struct sea_params *params);

/* Adds a tensor and returns its offset in floats. shape has rank numbers; rows is the
 * first, cols the product of the rest (rank 1: rows 1). */
int64_t sea_params_add(struct sea_params *params, const char *name, int rank,
                       const int64_t *shape, enum sea_init init, float scale);

/* The same, right behind the tensor before: both can be read as one. */
int64_t sea_params_join(struct sea_params *params, const char *name, int rank,
                        const int64_t *shape, enum sea_init init, float scale);

/* Allocates data (zeroed), and grad when trained. */
SEA_MUST_CHECK enum sea_status
sea_params_reserve(struct sea_params *params, const struct sea_device *device, bool trained,
                   struct sea_err *err);
/* Fills data by each tensor's init: element i of tensor t is a pure function of
 * (seed, part, t's name, i). part separates models that share names. */
SEA_MUST_CHECK enum sea_status
sea_params_fill(struct sea_params *params, uint64_t seed, const char *part,
                struct sea_err *err);
/* Reads every tensor PREFIX+name from the set, any float dtype. A missing tensor or
 * another shape is SEA_E_FORMAT with both shapes. */
SEA_MUST_CHECK enum sea_status
sea_params_load(struct sea_params *params, const struct sea_tensors *tensors,
                const char *prefix, struct sea_err *err);
SEA_MUST_CHECK enum sea_status sea_params_zero_grad(struct sea_params *params, struct sea_err *err);
/* Weights as operators take them, at an offset that sea_params_add gave; negative: NULL. */
struct sea_weight {
    const void *data;           /* device */
    enum sea_store type;
};
static inline struct sea_weight
sea_params_matrix(const struct sea_params *params, int64_t offset)
{
    return (struct sea_weight){ offset < 0 ? NULL : params->data + offset, SEA_STORE_F32 };
}

/* Vectors (norms, biases, gains) are float32 whatever the matrices are. */
static inline const float *
sea_params_vector(const struct sea_params *params, int64_t offset)
{
    return offset < 0 ? NULL : params->data + offset;
}

const struct sea_param *sea_params_find(const struct sea_params *params, const char *name);

/* Several parts written into one safetensors file, each with its prefix. */
struct sea_params_part {
    const struct sea_params *params;
    const char *prefix;
};
SEA_MUST_CHECK enum sea_status
sea_params_save(const char *path, const struct sea_params_part *parts, size_t count,
                struct sea_err *err);

#endif
