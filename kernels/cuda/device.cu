/* SPDX-License-Identifier: Apache-2.0 */
/* device.cu - the plugin's table: devices, memory, codes */
#include "kernels/cuda/cuda_int.h"

#include <stdio.h>
#include <stdlib.h>

static int
code(cudaError_t error)
{
    return error == cudaSuccess ? SEA_RC_OK :
           error == cudaErrorMemoryAllocation ? SEA_RC_MEMORY : SEA_CUDA_RC + (int)error;
}

int
sea_cuda_launched(void)
{
    return code(cudaGetLastError());
}

/* Without a driver the call fails and leaves its argument alone: that is no device. */
static int
cuda_count(int *count)
{
    int found = 0;

    if (!count)
        return SEA_RC_ARGUMENT;
    *count = cudaGetDeviceCount(&found) == cudaSuccess ? found : 0;
    (void)cudaGetLastError();
    return SEA_RC_OK;
}

static void
cuda_close(void *dev)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda)
        return;
    sea_cuda_blas_close(cuda);
    if (cuda->reduce)
        cudaFree(cuda->reduce);
    if (cuda->stream)
        cudaStreamDestroy(cuda->stream);
    free(cuda);
}

/* threads is for back ends that have some. */
static int
cuda_open(int index, int threads, void **dev)
{
    struct sea_cuda *cuda = (struct sea_cuda *)calloc(1, sizeof(*cuda));
    cudaDeviceProp properties;
    int rc;

    (void)threads;
    if (!dev || !cuda) {
        free(cuda);
        return dev ? SEA_RC_MEMORY : SEA_RC_ARGUMENT;
    }
    *dev = NULL;
    cuda->index = index;
    rc = code(cudaSetDevice(index));
    if (!rc)
        rc = code(cudaGetDeviceProperties(&properties, index));
    if (!rc)
        rc = code(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking));
    if (!rc)
        rc = code(cudaMalloc((void **)&cuda->reduce, SEA_CUDA_REDUCE * sizeof(float)));
    if (!rc)
        rc = sea_cuda_blas_open(cuda);
    if (rc) {
        cuda_close(cuda);
        return rc;
    }
    snprintf(cuda->text, sizeof(cuda->text), "%s, compute capability %d.%d, %d SMs, %.1f GiB, "
             "products by %s", properties.name, properties.major, properties.minor,
             properties.multiProcessorCount,
             (double)properties.totalGlobalMem / (double)(1 << 30), sea_cuda_blas_name(cuda));
    *dev = cuda;
    return SEA_RC_OK;
}

static const char *
cuda_text(void *dev)
{
    return dev ? ((const struct sea_cuda *)dev)->text : "";
}

static int
cuda_room(void *dev, size_t *bytes)
{
    size_t total;

    return dev && bytes ? code(cudaMemGetInfo(bytes, &total)) : SEA_RC_ARGUMENT;
}

static int
cuda_alloc(void *dev, size_t bytes, void **mem)
{
    int rc;

    if (!dev || !mem)
        return SEA_RC_ARGUMENT;
    *mem = NULL;
    rc = code(cudaMalloc(mem, bytes ? bytes : 64));
    (void)cudaGetLastError();           /* a refusal is told once, not at the next launch */
    return rc;
}

static void
cuda_free(void *dev, void *mem)
{
    (void)dev;
    cudaFree(mem);
}

static int
cuda_zero(void *dev, void *mem, size_t bytes)
{
    if (!dev || (bytes && !mem))
        return SEA_RC_ARGUMENT;
    return bytes ? code(cudaMemsetAsync(mem, 0, bytes, ((struct sea_cuda *)dev)->stream)) :
           SEA_RC_OK;
}

static int
copy(void *dev, void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (!dev || (bytes && (!to || !from)))
        return SEA_RC_ARGUMENT;
    return bytes ? code(cudaMemcpyAsync(to, from, bytes, kind, ((struct sea_cuda *)dev)->stream))
                 : SEA_RC_OK;
}

static int
cuda_wait(void *dev)
{
    return dev ? code(cudaStreamSynchronize(((struct sea_cuda *)dev)->stream)) : SEA_RC_ARGUMENT;
}

/* From pageable memory the call returns when the bytes are staged: the caller may reuse it. */
static int
cuda_copy_in(void *dev, void *to, const void *from_host, size_t bytes)
{
    return copy(dev, to, from_host, bytes, cudaMemcpyHostToDevice);
}

static int
cuda_copy_out(void *dev, void *to_host, const void *from, size_t bytes)
{
    int rc = copy(dev, to_host, from, bytes, cudaMemcpyDeviceToHost);

    return rc ? rc : cuda_wait(dev);
}

/* to and from may overlap as in memmove, as on the CPU: cudaMemcpy does not promise that, so
 * callers that need it are served through pieces that do not overlap. */
static int
cuda_copy(void *dev, void *to, const void *from, size_t bytes)
{
    char *t = (char *)to;
    const char *f = (const char *)from;
    size_t gap = t > f ? (size_t)(t - f) : (size_t)(f - t), done = 0;
    int rc = SEA_RC_OK;

    if (!gap || gap >= bytes)
        return gap ? copy(dev, to, from, bytes, cudaMemcpyDeviceToDevice) : SEA_RC_OK;
    for (; done < bytes && !rc; done += gap) {
        size_t n = bytes - done < gap ? bytes - done : gap;
        size_t at = t < f ? done : bytes - done - n;

        rc = copy(dev, t + at, f + at, n, cudaMemcpyDeviceToDevice);
    }
    return rc;
}

static const char *
cuda_rc_text(int rc)
{
    switch (rc) {
    case SEA_RC_OK:
        return "done";
    case SEA_RC_ARGUMENT:
        return "an argument is missing or out of range";
    case SEA_RC_MEMORY:
        return "not enough device memory";
    case SEA_RC_UNSUPPORTED:
        return "the CUDA back end cannot do this size";
    default:
        return rc >= SEA_CUDA_RC_BLAS ? "cuBLASLt refused the product" :
               rc >= SEA_CUDA_RC ? cudaGetErrorString((cudaError_t)(rc - SEA_CUDA_RC)) :
               "unknown code";
    }
}

extern "C" __attribute__((visibility("default"))) const struct sea_ops sea_plugin_ops = {
    .abi = SEA_OPS_ABI,
    .size = sizeof(struct sea_ops),
    .name = "cuda",
    .dev_count = cuda_count,
    .dev_open = cuda_open,
    .dev_close = cuda_close,
    .dev_text = cuda_text,
    .mem_room = cuda_room,
    .mem_alloc = cuda_alloc,
    .mem_alloc_zeroed = NULL,
    .mem_free = cuda_free,
    .mem_zero = cuda_zero,
    .copy_in = cuda_copy_in,
    .copy_out = cuda_copy_out,
    .copy = cuda_copy,
    .wait = cuda_wait,
    .rc_text = cuda_rc_text,
    .gemm = sea_cuda_gemm,
    .gather = sea_cuda_gather,
    .scatter = sea_cuda_scatter,
    .layernorm = sea_cuda_layernorm,
    .layernorm_bwd = sea_cuda_layernorm_bwd,
    .rmsnorm = sea_cuda_rmsnorm,
    .rmsnorm_bwd = sea_cuda_rmsnorm_bwd,
    .act = sea_cuda_act,
    .act_bwd = sea_cuda_act_bwd,
    .rope = sea_cuda_rope,
    .attention = sea_cuda_attention,
    .attention_bwd = sea_cuda_attention_bwd,
    .xent = sea_cuda_xent,
    .softcap = sea_cuda_softcap,
    .colscale = sea_cuda_colscale,
    .colscale_bwd = sea_cuda_colscale_bwd,
    .cast = sea_cuda_cast,
    .l2norm = sea_cuda_l2norm,
    .l2norm_bwd = sea_cuda_l2norm_bwd,
    .contrast = sea_cuda_contrast,
    .topk = sea_cuda_topk,
    .adamw = sea_cuda_adamw,
    .axpby = sea_cuda_axpby,
    .colsum = sea_cuda_colsum,
    .sum = sea_cuda_sum,
    .clip = sea_cuda_clip,
    .patchify = sea_cuda_patchify,
    .limits = NULL,
};
