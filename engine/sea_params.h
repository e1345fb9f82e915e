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
 * Storage: on a device that says so (sea_device.h, `store`), matrices are bfloat16. A frozen
 * part then has them in that form only (2 bytes per weight, the file's bytes go straight
 * there); a trained part has float32 masters, which the optimiser moves, and a bfloat16
 * copy, which the operators read and sea_params_cast renews. Vectors, gradients and
 * optimiser state are float32 always. Engine code reads weights through sea_params_matrix
 * and sea_params_vector, which give the right piece.
 *
 * Invariants: (1) offsets are multiples of 16 floats, but for joined tensors; padding
 *                 between tensors is 0 and stays 0 (its gradient is 0);
 *             (2) tensors keep their order: it is part of checkpoints' and init's meaning;
 *             (3) the bfloat16 copy is the masters rounded to nearest, ties to even, after
 *                 every function of this header and every step of the optimiser.
 */
#ifndef SEA_PARAMS_H
#define SEA_PARAMS_H

#include "engine/base/sea_arena.h"
#include "engine/sea_device.h"

struct sea_tensors;             /* engine/sea_safetensors.h: the tensors of a folder */
struct sea_shard;               /* engine/sea_shard.h: gradients that pass through ranks */

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
    bool exact;                 /* float32 in every storage: vectors, and what is marked */
    int64_t place;              /* in floats of `vectors`, for exact tensors */
};

struct sea_params {             /* read freely */
    struct sea_param *list;
    int64_t count, room;
    int64_t floats;             /* of the flat piece, padding included */
    enum sea_store store;       /* of matrices: the device's at reserve */
    float *data;                /* (floats) device; NULL before reserve, and in a frozen part
                                   of bfloat16 */
    float *grad;                /* (floats) device, NULL when frozen */
    uint16_t *half;             /* (floats) device: bfloat16 matrices at the same offsets,
                                   NULL in float32 storage */
    float *vectors;             /* device: exact tensors of a frozen part of bfloat16 */
    const char *warning;        /* file, tensor and number of what load found that is not
                                   finite, for people; or NULL */
    struct sea_shard *shard;    /* set while an optimiser of several ranks has it, else NULL */
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

/* The tensor added last is float32 in every storage, although it is a matrix: for operators
 * that read no other (a table of positions that is added). Read it with sea_params_vector. */
void sea_params_mark_exact(struct sea_params *params);

/* Allocates the weights (zeroed) in the device's storage, and grad when trained. */
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
/* Whether load would find them all, in their shapes; reads no numbers, needs no reserve. */
SEA_MUST_CHECK enum sea_status
sea_params_fit(const struct sea_params *params, const struct sea_tensors *tensors,
               const char *prefix, struct sea_err *err);
SEA_MUST_CHECK enum sea_status sea_params_zero_grad(struct sea_params *params, struct sea_err *err);

/* Weights as operators take them, at an offset that sea_params_add gave (or within that
 * tensor); negative: NULL. */
struct sea_weight {
    const void *data;           /* device */
    enum sea_store type;
};
static inline struct sea_weight
sea_params_matrix(const struct sea_params *params, int64_t offset)
{
    if (offset < 0)
        return (struct sea_weight){ NULL, SEA_STORE_F32 };
    if (params->half)
        return (struct sea_weight){ params->half + offset, SEA_STORE_BF16 };
    return (struct sea_weight){ params->data + offset, SEA_STORE_F32 };
}

/* Whether training may round what it multiplies to bfloat16 (struct sea_op_gemm): where the
 * matrices are bfloat16 anyway. Masters, gradients, moments, norms, softmax and all sums stay
 * float32. Logits and answers do without: a row's digits there must not depend on how many
 * rows are computed, and few rows gain nothing. */
static inline bool
sea_params_rounds(const struct sea_params *params)
{
    return params->half != NULL;
}

/* Vectors (norms, biases, gains) are float32 whatever the matrices are. */
const float *sea_params_exact(const struct sea_params *params, int64_t offset);
static inline const float *
sea_params_vector(const struct sea_params *params, int64_t offset)
{
    if (offset < 0)
        return NULL;
    return params->data ? params->data + offset : sea_params_exact(params, offset);
}

static inline bool
sea_params_is_reserved(const struct sea_params *params)
{
    return params->data || params->half;
}

/* The tensor that an offset lies in. */
const struct sea_param *sea_params_at(const struct sea_params *params, int64_t offset);
/* Numbers from .. from + n - 1 of a tensor, to and from the host, as float32 whatever the
 * storage is. */
SEA_MUST_CHECK enum sea_status
sea_params_get(const struct sea_params *params, const struct sea_param *param, int64_t from,
               int64_t n, float *host, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_params_put(struct sea_params *params, const struct sea_param *param, int64_t from,
               int64_t n, const float *host, struct sea_err *err);
/* After masters were written by other means: renews the bfloat16 copy, where there is one. */
SEA_MUST_CHECK enum sea_status sea_params_cast(struct sea_params *params, struct sea_err *err);
/* Bytes that reserve takes on a device of that storage. */
size_t sea_params_bytes(const struct sea_params *params, enum sea_store store, bool trained);
/* names has the tensors of params, in the same order, under other names: it reads and writes
 * params' memory from now on, and must not be released. */
void sea_params_alias(struct sea_params *names, const struct sea_params *params);

const struct sea_param *sea_params_find(const struct sea_params *params, const char *name);

/* Several parts written into one safetensors file, each with its prefix. Matrices of a part
 * of bfloat16 storage are written as BF16, all else as F32. */
struct sea_params_part {
    const struct sea_params *params;
    const char *prefix;
};
SEA_MUST_CHECK enum sea_status
sea_params_save(const char *path, const struct sea_params_part *parts, size_t count,
                struct sea_err *err);

#endif
