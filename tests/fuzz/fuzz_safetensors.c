/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a safetensors file. What must hold: a refused file gives no set and one
 * error; in an accepted one every byte of every tensor can be read, names are found, and
 * the tensors fill the file behind its header. For usage see mutate.h.
 */
#include "tests/fuzz/mutate.h"

#include <unistd.h>

#include "engine/sea_safetensors.h"

static char path[64];           /* one file, written again and again */
static int fd = -1;

static void
drop_file(void)
{
    unlink(path);
}

static const char *
write_file(const uint8_t *data, size_t n)
{
    if (fd < 0) {
        snprintf(path, sizeof(path), "/tmp/fuzz-XXXXXX");
        fd = mkstemp(path);
        atexit(drop_file);
    }
    /* Never to length 0: some file systems write a file out that was emptied before. */
    if (fd < 0 || pwrite(fd, data, n, 0) != (ssize_t)n || ftruncate(fd, (off_t)n))
        return "could not write the file";
    return NULL;
}

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
    const char *wrong = write_file(data, n);
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    size_t total = 0, header = 0;

    if (wrong)
        return wrong;
    if (sea_tensors_open(&tensors, path, &err)) {
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
