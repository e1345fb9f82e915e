/* SPDX-License-Identifier: Apache-2.0 */
/*
 * sea_device.h - one open device: an operator table and its handle
 *
 * Turns the codes of kernels/sea_ops.h into statuses, so that engine code reads
 *     status = sea_run(device, err, gemm, &args);
 * Memory comes in a few large pieces (sea_plan.h), never inside a training step.
 */
#ifndef SEA_DEVICE_H
#define SEA_DEVICE_H

#include <stdbool.h>
#include <stdint.h>

#include "engine/base/sea_err.h"
#include "kernels/sea_ops.h"

struct sea_device {
    const struct sea_ops *ops;
    void *dev;
    char name[32];              /* "cpu", "cuda:0" */
    enum sea_store store;       /* of the matrices of parts that are reserved from now on
                                   (sea_params.h): float32 unless the opener sets it */
};

/* name: "cpu", "cpu:N" (N threads), "cuda:N" ("cuda" is "cuda:0"), or "auto" (the first CUDA
 * device, else the CPU; why there is no CUDA device is not told). SEA_E_DEVICE when it is not
 * there, SEA_E_CONFIG when the name is no device name. A CUDA device becomes the current one
 * of the calling thread: one of them at a time per thread. */
SEA_MUST_CHECK enum sea_status
sea_device_open(struct sea_device *device, const char *name, struct sea_err *err);
void sea_device_close(struct sea_device *device);       /* accepts all-zero */
/* Whether open would know what is meant; not whether the device is there. */
bool sea_device_is_name(const char *name);
/* CUDA devices of this machine; 0 without the plugin or a driver. Wakes the driver: a process
 * that forks afterwards cannot use it in its children. */
int sea_device_cuda_count(void);
/* Model, threads, kernel path; valid until close. */
const char *sea_device_text(const struct sea_device *device);

/* The status of a code of the device's table; op names the operator in the message. */
enum sea_status
sea_device_status(const struct sea_device *device, int rc, const char *op, struct sea_err *err);

/* Calls one operator: sea_run(device, err, gemm, &args). */
#define sea_run(device, err, op, args)                                               \
    sea_device_status((device), (device)->ops->op((device)->dev, (args)), #op, (err))

/* Device memory, 64-byte aligned, zeroed. SEA_E_DEVMEM with a hint when it is gone. */
SEA_MUST_CHECK enum sea_status
sea_device_alloc(const struct sea_device *device, size_t bytes, void **mem, struct sea_err *err);
/* The same, but pages may come only when they are written: for weights, which are filled
 * right away, so that nobody clears them twice. */
SEA_MUST_CHECK enum sea_status
sea_device_reserve(const struct sea_device *device, size_t bytes, void **mem,
                   struct sea_err *err);
void sea_device_free(const struct sea_device *device, void *mem);      /* accepts NULL */
/* Fills with 0; copies from the host, which may reuse its memory at once; copies to the host
 * and waits for it. 0 bytes are no work. */
SEA_MUST_CHECK enum sea_status
sea_device_zero(const struct sea_device *device, void *mem, size_t bytes, struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_device_put(const struct sea_device *device, void *to, const void *from_host, size_t bytes,
               struct sea_err *err);
SEA_MUST_CHECK enum sea_status
sea_device_get(const struct sea_device *device, void *to_host, const void *from, size_t bytes,
               struct sea_err *err);

#endif
