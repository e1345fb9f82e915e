/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a safetensors file. What must hold: a refused file gives no set and one
 * error; in an accepted one every byte of every tensor can be read, names are found, and
 * the tensors fill the file behind its header. For usage see mutate.h.
 */
#include "tests/fuzz/mutate.h"

#include "engine/sea_safetensors.h"

static const char *
check_tensor(const struct sea_tensors *tensors, const struct sea_tensor *tensor, size_t *total)
{
    struct sea_err err = { 0 };
    volatile unsigned char sum = 0;
    float numbers[8];
    int64_t count = tensor->count < 8 ? tensor->count : 8;

    for (size_t i = 0; i < tensor->bytes; i++)
        sum = (unsigned char)(sum + tensor->data[i]);
    *total += tensor->bytes;
    if (sea_tensors_find(tensors, tensor->name) != tensor)
        return "a tensor is not found by its name";
    if (tensor->bytes != (size_t)tensor->count * sea_dtype_bytes(tensor->dtype))
        return "bytes and shape do not agree";
    if (sea_tensor_read_f32(tensor, tensor->count - count, count, numbers, &err) &&
        err.status != SEA_E_FORMAT)
        return "the last numbers cannot be read";
    return NULL;
}

const char *
sea_fuzz_check(const uint8_t *data, size_t n)
{
    const char *wrong = fuzz_write("model.safetensors", data, n);
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    size_t total = 0, header = 0;

    if (wrong)
        return wrong;
    if (sea_tensors_open(&tensors, fuzz_path, &err)) {
        sea_fuzz_refused++;
        return tensors ? "a refused file left a set" : check_refusal(&err);
    }
    sea_fuzz_accepted++;
    for (size_t i = 0; i < tensors->count && !wrong; i++)
        wrong = check_tensor(tensors, &tensors->list[i], &total);
    for (size_t i = 0; i < 8; i++)
        header |= (size_t)data[i] << (8 * i);
    if (!wrong && 8 + header + total != n)
        wrong = "tensors do not fill the file";
    sea_tensors_close(tensors);
    return wrong;
}

SEA_FUZZ_PROGRAM
