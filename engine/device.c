/* SPDX-License-Identifier: Apache-2.0 */
#include "engine/sea_device.h"

#include <dlfcn.h>
#include <limits.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PLUGIN "libsea_cuda.so"
#define THREADS_MAX 1024

/* Digits after "KIND:"; -1 when text is no number from 0 to max. */
static long
number_of(const char *text, long max)
{
    char *end;
    long n;

    if (*text < '0' || *text > '9')
        return -1;
    n = strtol(text, &end, 10);
    return *end || n > max ? -1 : n;
}

/* Where the plugin is looked for: SEA_CUDA_PLUGIN, beside the program, in ../lib/sea of it (as
 * installed), then where the loader looks. The first that is there is the one: when it does
 * not load, dlerror tells why. */
static void *
open_plugin(void)
{
    static const char *const places[] = { "", "../lib/sea/" };
    const char *named = getenv("SEA_CUDA_PLUGIN");
    char dir[PATH_MAX], path[PATH_MAX + 32];
    ssize_t len = readlink("/proc/self/exe", dir, sizeof(dir) - 1);

    if (named)
        return dlopen(named, RTLD_NOW | RTLD_LOCAL);
    while (len > 0 && dir[len - 1] != '/')
        len--;
    dir[len > 0 ? len : 0] = 0;
    for (size_t i = 0; i < sizeof(places) / sizeof(places[0]) && len > 0; i++) {
        snprintf(path, sizeof(path), "%s%s%s", dir, places[i], PLUGIN);
        if (!access(path, F_OK))
            return dlopen(path, RTLD_NOW | RTLD_LOCAL);
    }
    return dlopen(PLUGIN, RTLD_NOW | RTLD_LOCAL);
}

/* The plugin stays open until the process ends: device code may run in its threads. */
static enum sea_status
load_plugin(const struct sea_ops **out, struct sea_err *err)
{
    static const struct sea_ops *loaded;
    const struct sea_ops *ops;
    const char *why;
    void *lib;

    *out = loaded;
    if (loaded)
        return SEA_OK;
    lib = open_plugin();
    if (!lib) {
        why = dlerror();
        sea_fail(err, SEA_E_DEVICE, "could not load the CUDA back end \"%s\": %s", PLUGIN,
                 why ? why : "no reason given");
        sea_hint(err, "Use --device cpu, or build the plugin: `make` does where nvcc is found.");
        return err->status;
    }
    ops = dlsym(lib, "sea_plugin_ops");
    if (!ops || ops->abi != SEA_OPS_ABI || ops->size != sizeof(*ops)) {
        sea_fail(err, SEA_E_DEVICE, "back end \"%s\" has operator table %u, need %u", PLUGIN,
                 ops ? ops->abi : 0u, SEA_OPS_ABI);
        sea_hint(err, "Install the program and its plugins from one build.");
        return err->status;
    }
    *out = loaded = ops;
    return SEA_OK;
}

static enum sea_status
open_on(struct sea_device *device, const struct sea_ops *ops, int index, int threads,
        struct sea_err *err)
{
    int rc = ops->dev_open(index, threads, &device->dev);

    if (rc)
        return sea_fail(err, SEA_E_DEVICE, "could not open device \"%s\": %s", device->name,
                        ops->rc_text(rc));
    device->ops = ops;
    return SEA_OK;
}

static enum sea_status
open_cuda(struct sea_device *device, long index, struct sea_err *err)
{
    const struct sea_ops *ops;
    enum sea_status status = load_plugin(&ops, err);
    int count = 0, rc;

    if (status)
        return status;
    rc = ops->dev_count(&count);
    if (rc) {
        sea_fail(err, SEA_E_DEVICE, "CUDA devices cannot be used: %s", ops->rc_text(rc));
        sea_hint(err, "Use --device cpu until then; nvidia-smi shows the driver.");
        return err->status;
    }
    if (index >= count) {
        sea_fail(err, SEA_E_DEVICE, "there is no CUDA device %ld, found %d", index, count);
        sea_hint(err, "Use --device cpu, or check the driver with nvidia-smi.");
        return err->status;
    }
    snprintf(device->name, sizeof(device->name), "cuda:%ld", index);
    return open_on(device, ops, (int)index, 0, err);
}

bool
sea_device_is_name(const char *name)
{
    return !strcmp(name, "auto") || !strcmp(name, "cpu") || !strcmp(name, "cuda") ||
           (!strncmp(name, "cpu:", 4) && number_of(name + 4, THREADS_MAX) >= 1) ||
           (!strncmp(name, "cuda:", 5) && number_of(name + 5, INT_MAX) >= 0);
}

enum sea_status
sea_device_open(struct sea_device *device, const char *name, struct sea_err *err)
{
    struct sea_err ignored = { 0 };
    long n = 0;

    memset(device, 0, sizeof(*device));
    if (!strcmp(name, "auto")) {
        if (!open_cuda(device, 0, &ignored))
            return SEA_OK;
        memset(device, 0, sizeof(*device));
        name = "cpu";
    }
    snprintf(device->name, sizeof(device->name), "%s", name);
    if (!strcmp(name, "cpu"))
        return open_on(device, &sea_cpu_ops, 0, 0, err);
    if (!strncmp(name, "cpu:", 4) && (n = number_of(name + 4, THREADS_MAX)) >= 1)
        return open_on(device, &sea_cpu_ops, 0, (int)n, err);
    if (!strcmp(name, "cuda"))
        return open_cuda(device, 0, err);
    if (!strncmp(name, "cuda:", 5) && (n = number_of(name + 5, INT_MAX)) >= 0)
        return open_cuda(device, n, err);
    memset(device, 0, sizeof(*device));
    sea_fail(err, SEA_E_CONFIG, "\"%s\" is no device name", name);
    sea_hint(err, "Use cpu, cpu:N with 1 to %d threads, cuda:N, or auto.", THREADS_MAX);
    return err->status;
}

int
sea_device_cuda_count(void)
{
    struct sea_err ignored = { 0 };
    const struct sea_ops *ops;
    int count = 0;

    if (load_plugin(&ops, &ignored) || ops->dev_count(&count))
        return 0;
    return count;
}

void
sea_device_close(struct sea_device *device)
{
    if (device->ops)
        device->ops->dev_close(device->dev);
    memset(device, 0, sizeof(*device));
}

const char *
sea_device_text(const struct sea_device *device)
{
    return device->ops->dev_text(device->dev);
}

enum sea_status
sea_device_status(const struct sea_device *device, int rc, const char *op, struct sea_err *err)
{
    const char *text;

    if (!rc)
        return SEA_OK;
    text = device->ops->rc_text(rc);
    if (rc == SEA_RC_ARGUMENT)
        return sea_fail(err, SEA_E_INTERNAL, "operator %s of device \"%s\" was called with "
                        "arguments that it refuses", op, device->name);
    if (rc == SEA_RC_UNSUPPORTED)
        return sea_fail(err, SEA_E_CONFIG, "device \"%s\" does not offer operator %s for "
                        "this model", device->name, op);
    sea_fail(err, rc == SEA_RC_MEMORY ? SEA_E_DEVMEM : SEA_E_DEVICE,
             "operator %s failed on device \"%s\": %s", op, device->name, text);
    sea_cause(err, "%s %d", device->ops->name, rc);
    return err->status;
}

static enum sea_status
fail_alloc(const struct sea_device *device, size_t bytes, int rc, struct sea_err *err)
{
    size_t room = 0;

    if (rc != SEA_RC_MEMORY)
        return sea_device_status(device, rc, "mem_alloc", err);
    if (device->ops->mem_room && !device->ops->mem_room(device->dev, &room))
        sea_fail(err, SEA_E_DEVMEM, "device \"%s\" could not give %.1f MiB, %.1f MiB are "
                 "free", device->name, (double)bytes / 1048576, (double)room / 1048576);
    else
        sea_fail(err, SEA_E_DEVMEM, "device \"%s\" could not give %.1f MiB",
                 device->name, (double)bytes / 1048576);
    sea_hint(err, "Use smaller batches or a smaller model, or free the device's memory.");
    return err->status;
}

enum sea_status
sea_device_alloc(const struct sea_device *device, size_t bytes, void **mem, struct sea_err *err)
{
    int rc;

    *mem = NULL;
    rc = bytes == SIZE_MAX ? SEA_RC_MEMORY : device->ops->mem_alloc(device->dev, bytes, mem);
    if (rc) {
        *mem = NULL;
        return fail_alloc(device, bytes, rc, err);
    }
    if (!sea_device_zero(device, *mem, bytes, err))
        return SEA_OK;
    sea_device_free(device, *mem);
    *mem = NULL;
    return err->status;
}

enum sea_status
sea_device_reserve(const struct sea_device *device, size_t bytes, void **mem,
                   struct sea_err *err)
{
    int rc;

    if (!device->ops->mem_alloc_zeroed || bytes == SIZE_MAX)
        return sea_device_alloc(device, bytes, mem, err);
    *mem = NULL;
    rc = device->ops->mem_alloc_zeroed(device->dev, bytes, mem);
    if (!rc)
        return SEA_OK;
    *mem = NULL;
    return fail_alloc(device, bytes, rc, err);
}

void
sea_device_free(const struct sea_device *device, void *mem)
{
    if (device && device->ops)
        device->ops->mem_free(device->dev, mem);
}

enum sea_status
sea_device_zero(const struct sea_device *device, void *mem, size_t bytes, struct sea_err *err)
{
    if (!bytes)
        return SEA_OK;
    return sea_device_status(device, device->ops->mem_zero(device->dev, mem, bytes),
                             "mem_zero", err);
}

enum sea_status
sea_device_put(const struct sea_device *device, void *to, const void *from_host, size_t bytes,
               struct sea_err *err)
{
    if (!bytes)
        return SEA_OK;
    return sea_device_status(device, device->ops->copy_in(device->dev, to, from_host, bytes),
                             "copy_in", err);
}

enum sea_status
sea_device_get(const struct sea_device *device, void *to_host, const void *from, size_t bytes,
               struct sea_err *err)
{
    if (!bytes)
        return SEA_OK;
    return sea_device_status(device, device->ops->copy_out(device->dev, to_host, from, bytes),
                             "copy_out", err);
}
