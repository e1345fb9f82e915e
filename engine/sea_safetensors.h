/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_safetensors.h - named tensors in files that other programs read, too
 *
 * A file is: 8 bytes, the header's length as little-endian uint64; the header, a JSON map
 * {"NAME": {"dtype": "F32", "shape": [2, 3], "data_offsets": [BEGIN, END]}, ...,
 * "__metadata__": {"KEY": "TEXT"}}, padded with blanks to a multiple of 8; the data, where
 * offsets count from its first byte. A large model is split into several files beside a
 * model.safetensors.index.json that says which file holds which name.
 *
 * Reading maps the files: nothing is copied before somebody asks. Every rule of the format is
 * checked at the opening (bounds, order, gaps, overlaps, sizes, doubled names); a file that
 * breaks one is SEA_E_FORMAT with file, tensor and numbers. Not for files that somebody
 * shortens while they are open: writers here replace files, they never cut them.
 *
 * Invariants: (1) bytes = product(shape) * size of dtype, and data[0..bytes) is mapped;
 *             (2) names are unique over all files of the set;
 *             (3) data of our own files is aligned to its dtype; of others maybe not: read
 *                 through sea_tensor_read_f32 and friends, or with memcpy.
 * Threads: an open set may be read by any number of threads.
 */
#ifndef SEA_SAFETENSORS_H
#define SEA_SAFETENSORS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "engine/base/sea_err.h"

#define SEA_TENSOR_RANK 8       /* dimensions at most */

/* name, bytes of one element */
#define SEA_DTYPE_MAP(X)                                                              \
    X(BOOL, 1) X(U8, 1) X(I8, 1) X(F8_E5M2, 1) X(F8_E4M3, 1) X(I16, 2) X(U16, 2)      \
    X(F16, 2) X(BF16, 2) X(I32, 4) X(U32, 4) X(F32, 4) X(F64, 8) X(I64, 8) X(U64, 8)
#define X(name, size) SEA_##name,
enum sea_dtype { SEA_DTYPE_MAP(X) SEA_DTYPES };
#undef X

const char *sea_dtype_name(enum sea_dtype dtype);       /* "F32" */
size_t sea_dtype_bytes(enum sea_dtype dtype);           /* 4 */

struct sea_tensor {             /* of an open set; read freely */
    const char *name;
    enum sea_dtype dtype;
    int rank;                   /* 0: a single number */
    int64_t shape[SEA_TENSOR_RANK];
    int64_t count;              /* product(shape) */
    const unsigned char *data;  /* little-endian, valid until the set is closed */
    size_t bytes;
    const char *path;           /* the file it lies in, for messages */
};

struct sea_tensors {            /* read freely */
    const struct sea_tensor *list;      /* in the order of the files' headers */
    size_t count;
    const char *path;           /* what was opened */
    struct sea_tensors_own *own;        /* private */
};

/* Opens one file. */
SEA_MUST_CHECK enum sea_status
sea_tensors_open(struct sea_tensors **out, const char *path, struct sea_err *err);
/* Opens DIR/model.safetensors, or else all files that DIR/model.safetensors.index.json names.
 * SEA_E_MISSING when there is neither (the hint tells of pytorch_model.bin). */
SEA_MUST_CHECK enum sea_status
sea_tensors_open_dir(struct sea_tensors **out, const char *dir, struct sea_err *err);
void sea_tensors_close(struct sea_tensors *tensors);    /* accepts NULL */

/* NULL: no such tensor. */
const struct sea_tensor *sea_tensors_find(const struct sea_tensors *tensors, const char *name);
/* The same, but SEA_E_FORMAT when it is absent or its shape is another one. */
SEA_MUST_CHECK enum sea_status
sea_tensors_need(const struct sea_tensors *tensors, const char *name, int rank,
                 const int64_t *shape, const struct sea_tensor **out, struct sea_err *err);
/* Text of the metadata map; NULL when absent. */
const char *sea_tensors_metadata(const struct sea_tensors *tensors, const char *key);

/* Elements from .. from + count - 1 as float32: F16, BF16, F32, F64 and the F8 kinds (their
 * values are exact in float32, but for F64, which is rounded). Another dtype is
 * SEA_E_FORMAT. */
SEA_MUST_CHECK enum sea_status
sea_tensor_read_f32(const struct sea_tensor *tensor, int64_t from, int64_t count, float *out,
                    struct sea_err *err);
/* Elements as they lie in the file, without a copy; NULL when they are of another dtype. */
const void *sea_tensor_raw(const struct sea_tensor *tensor, enum sea_dtype dtype, int64_t from,
                           int64_t count);
/* The elements have been read for now: their pages may leave memory, so that a large file
 * does not count twice. Reading them again brings them back from the file. */
void sea_tensor_forget(const struct sea_tensor *tensor, int64_t from, int64_t count);
/* Elements as int64: all integer dtypes and BOOL. */
SEA_MUST_CHECK enum sea_status
sea_tensor_read_i64(const struct sea_tensor *tensor, int64_t from, int64_t count, int64_t *out,
                    struct sea_err *err);
/* float32 to the nearest half and bfloat16 and back, ties to even; NaN stays NaN. */
uint16_t sea_f16_from_f32(float value);
float sea_f16_to_f32(uint16_t bits);
uint16_t sea_bf16_from_f32(float value);
float sea_bf16_to_f32(uint16_t bits);

/* ---- writing ---- */

/* One tensor to be written: bytes at data, or, with data NULL, pieces that fill delivers:
 * it puts the n bytes that start at byte offset `at` of the tensor into out; pieces come in
 * order, are at most SEA_TENSOR_PIECE long and whole elements. */
#define SEA_TENSOR_PIECE ((size_t)4 << 20)
struct sea_tensor_item {
    const char *name;
    enum sea_dtype dtype;
    int rank;
    int64_t shape[SEA_TENSOR_RANK];
    const void *data;           /* borrowed until the write returns; NULL: see fill */
    enum sea_status (*fill)(void *arg, size_t at, void *out, size_t n, struct sea_err *err);
    void *arg;
};
struct sea_tensor_meta {
    const char *key, *text;
};
/* Writes the file through sea_file_writer: whole or not at all, equal input gives equal
 * bytes. Items keep their order within one element size; wider ones come first, so that
 * all data is aligned without the gaps that the format forbids. metadata may be NULL with
 * count 0; {"format": "pt"} is what transformers asks for. Doubled names are
 * SEA_E_INTERNAL. */
SEA_MUST_CHECK enum sea_status
sea_tensors_write(const char *path, const struct sea_tensor_item *items, size_t count,
                  const struct sea_tensor_meta *metadata, size_t metadata_count,
                  struct sea_err *err);

#endif
