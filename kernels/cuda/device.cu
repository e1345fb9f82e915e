/* SPDX-License-Identifier: Apache-2.0 */
/* device.cu - the plugin's table: devices, memory, copies, codes */
#include "kernels/cuda/cuda_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define OLDEST_CARD 8           /* compute capability that the kernels are compiled for */

/* What the last failure of this thread was: the text of its code. */
static thread_local struct {
    int rc;
    char text[256];
} said;

#define code(call) SEA_CUDA_CODE(call)

int
sea_cuda_say(int rc, const char *fmt, ...)
{
    va_list args;

    va_start(args, fmt);
    vsnprintf(said.text, sizeof(said.text), fmt, args);
    va_end(args);
    said.rc = rc;
    return rc;
}

int
sea_cuda_code(cudaError_t error, const char *file, int line)
{
    if (error == cudaSuccess)
        return SEA_RC_OK;
    if (error == cudaErrorMemoryAllocation)
        return SEA_RC_MEMORY;
    return sea_cuda_say(SEA_CUDA_RC + (int)error, "%s (%s), noticed at %s:%d",
                        cudaGetErrorName(error), cudaGetErrorString(error), file, line);
}

/* Without a driver the call fails and leaves its argument alone: that is no device. A driver that
 * is older than the runtime this was built with is told apart. */
static int
cuda_count(int *count)
{
    int found = 0, driver = 0;
    cudaError_t error;

    if (!count)
        return SEA_RC_ARGUMENT;
    error = cudaGetDeviceCount(&found);
    *count = error == cudaSuccess ? found : 0;
    if (error == cudaErrorInsufficientDriver && cudaDriverGetVersion(&driver) == cudaSuccess &&
        driver > 0) {
        (void)cudaGetLastError();
        return sea_cuda_say(SEA_CUDA_RC_OLD_DRIVER, "the driver offers CUDA %d.%d, this build "
                            "needs %d.0: install a newer driver, or build with an older toolkit",
                            driver / 1000, driver % 1000 / 10, CUDART_VERSION / 1000);
    }
    (void)cudaGetLastError();
    /* Neither a card nor a driver: no error. A driver that is there and fails is one. */
    return error == cudaErrorNoDevice || error == cudaErrorInsufficientDriver ? SEA_RC_OK
                                                                              : code(error);
}

/* ---- uploads ---- */

/* A copy from ordinary memory waits for all that the stream still has to do. So bytes pass
 * through page-locked pieces that take turns; only a piece that is still on its way is waited
 * for. Many of them: a step's small uploads must not hold the host back to the device's pace. */
#define PIECES 64
#define PIECE_BYTES ((size_t)256 << 10)
#define LANDING_BYTES ((size_t)64 << 10)        /* results up to here come in one move, too */

struct sea_cuda_staging {
    char *at[PIECES];           /* in one allocation, at[0] */
    char *landing;              /* behind them */
    cudaEvent_t sent[PIECES];
    int next;
};

static int
staging_open(struct sea_cuda *cuda)
{
    struct sea_cuda_staging *staging =
        (struct sea_cuda_staging *)calloc(1, sizeof(*staging));
    int rc = staging ? SEA_RC_OK : SEA_RC_MEMORY;

    cuda->staging = staging;
    if (!rc)
        rc = code(cudaHostAlloc((void **)&staging->at[0], PIECES * PIECE_BYTES + LANDING_BYTES,
                                cudaHostAllocDefault));
    if (!rc)
        staging->landing = staging->at[0] + PIECES * PIECE_BYTES;
    for (int i = 0; i < PIECES && !rc; i++) {
        staging->at[i] = staging->at[0] + (size_t)i * PIECE_BYTES;
        rc = code(cudaEventCreateWithFlags(&staging->sent[i], cudaEventDisableTiming));
    }
    return rc;
}

static void
staging_close(struct sea_cuda *cuda)
{
    for (int i = 0; i < PIECES && cuda->staging; i++)
        if (cuda->staging->sent[i])
            cudaEventDestroy(cuda->staging->sent[i]);
    if (cuda->staging && cuda->staging->at[0])
        cudaFreeHost(cuda->staging->at[0]);
    free(cuda->staging);
}

static void
cuda_close(void *dev)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda)
        return;
    if (cuda->stream)
        cudaStreamSynchronize(cuda->stream);
    sea_cuda_blas_close(cuda);
    sea_cuda_shadows_close(cuda);
    staging_close(cuda);
    if (cuda->reduce)
        cudaFree(cuda->reduce);
    if (cuda->stream)
        cudaStreamDestroy(cuda->stream);
    free(cuda);
}

/* Memory for rounded operands comes from the device's pool in the order of the stream; what is
 * given back stays there. */
static int
pool_open(int index)
{
    cudaMemPool_t pool;
    uint64_t most = UINT64_MAX;
    int rc = code(cudaDeviceGetDefaultMemPool(&pool, index));

    return rc ? rc : code(cudaMemPoolSetAttribute(pool, cudaMemPoolAttrReleaseThreshold, &most));
}

/* threads is for back ends that have some. */
static int
cuda_open(int index, int threads, void **dev)
{
    struct sea_cuda *cuda = (struct sea_cuda *)calloc(1, sizeof(*cuda));
    const char *few = getenv("SEA_CUDA_FEW");
    cudaDeviceProp properties;
    int rc, n, driver = 0;

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
    if (!rc && properties.major < OLDEST_CARD)
        rc = SEA_CUDA_RC_OLD_CARD;
    if (!rc)
        rc = code(cudaStreamCreateWithFlags(&cuda->stream, cudaStreamNonBlocking));
    if (!rc)
        rc = code(cudaMalloc((void **)&cuda->reduce, SEA_CUDA_REDUCE * sizeof(float)));
    if (!rc)
        rc = pool_open(index);
    if (!rc)
        rc = staging_open(cuda);
    if (!rc)
        rc = sea_cuda_shadows_open(cuda);
    if (!rc) {
        snprintf(cuda->card, sizeof(cuda->card), "%s", properties.name);
        cuda->processors = properties.multiProcessorCount;
        rc = sea_cuda_blas_open(cuda);
        cuda->few_by_library = cuda->blas && few && !strcmp(few, "library");
    }
    if (rc) {
        cuda_close(cuda);
        return rc;
    }
    (void)cudaDriverGetVersion(&driver);
    n = snprintf(cuda->text, sizeof(cuda->text), "%s, compute capability %d.%d, %d SMs, %.1f GiB, "
                 "driver for CUDA %d.%d, built with %d.%d, products by ", properties.name,
                 properties.major, properties.minor, properties.multiProcessorCount,
                 (double)properties.totalGlobalMem / (double)(1 << 30), driver / 1000,
                 driver % 1000 / 10, CUDART_VERSION / 1000, CUDART_VERSION % 1000 / 10);
    sea_cuda_blas_name(cuda, cuda->text + n, sizeof(cuda->text) - (size_t)n);
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

/* What the pool keeps although nobody uses it goes back to the driver. */
static int
trim_pool(struct sea_cuda *cuda)
{
    cudaMemPool_t pool;
    int rc = code(cudaStreamSynchronize(cuda->stream));

    if (!rc)
        rc = code(cudaDeviceGetDefaultMemPool(&pool, cuda->index));
    return rc ? rc : code(cudaMemPoolTrimTo(pool, 0));
}

static int
cuda_alloc(void *dev, size_t bytes, void **mem)
{
    int rc;

    if (!dev || !mem)
        return SEA_RC_ARGUMENT;
    *mem = NULL;
    rc = code(cudaMalloc(mem, bytes ? bytes : 64));
    if (rc == SEA_RC_MEMORY && !trim_pool((struct sea_cuda *)dev))
        rc = code(cudaMalloc(mem, bytes ? bytes : 64));
    (void)cudaGetLastError();           /* a refusal is told once, not at the next launch */
    return rc;
}

static void
cuda_free(void *dev, void *mem)
{
    if (mem)
        sea_cuda_shadows_forget((struct sea_cuda *)dev);
    cudaFree(mem);
}

static int
cuda_zero(void *dev, void *mem, size_t bytes)
{
    if (!dev || (bytes && !mem))
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote((struct sea_cuda *)dev, mem, bytes);
    return bytes ? code(cudaMemsetAsync(mem, 0, bytes, ((struct sea_cuda *)dev)->stream)) :
           SEA_RC_OK;
}

static int
cuda_alloc_zeroed(void *dev, size_t bytes, void **mem)
{
    int rc = cuda_alloc(dev, bytes, mem);

    if (!rc)
        rc = cuda_zero(dev, *mem, bytes);
    if (rc && mem && *mem) {
        cuda_free(dev, *mem);
        *mem = NULL;
    }
    return rc;
}

static int
copy(void *dev, void *to, const void *from, size_t bytes, cudaMemcpyKind kind)
{
    if (!dev || (bytes && (!to || !from)))
        return SEA_RC_ARGUMENT;
    if (kind != cudaMemcpyDeviceToHost)
        sea_cuda_wrote((struct sea_cuda *)dev, to, bytes);
    return bytes ? code(cudaMemcpyAsync(to, from, bytes, kind, ((struct sea_cuda *)dev)->stream))
                 : SEA_RC_OK;
}

static int
cuda_wait(void *dev)
{
    return dev ? code(cudaStreamSynchronize(((struct sea_cuda *)dev)->stream)) : SEA_RC_ARGUMENT;
}

static int
cuda_copy_in(void *dev, void *to, const void *from_host, size_t bytes)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    struct sea_cuda_staging *staging;
    int rc = SEA_RC_OK;

    if (!dev || (bytes && (!to || !from_host)) || cuda->capturing)
        return SEA_RC_ARGUMENT;
    staging = cuda->staging;
    for (size_t at = 0; at < bytes && !rc; at += PIECE_BYTES) {
        size_t n = bytes - at < PIECE_BYTES ? bytes - at : PIECE_BYTES;
        int i = staging->next;

        rc = code(cudaEventSynchronize(staging->sent[i]));
        if (rc)
            break;
        memcpy(staging->at[i], (const char *)from_host + at, n);
        rc = copy(dev, (char *)to + at, staging->at[i], n, cudaMemcpyHostToDevice);
        if (!rc)
            rc = code(cudaEventRecord(staging->sent[i], cuda->stream));
        staging->next = (i + 1) % PIECES;
    }
    return rc;
}

static int
cuda_copy_out(void *dev, void *to_host, const void *from, size_t bytes)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    bool lands = cuda && to_host && bytes && bytes <= LANDING_BYTES;
    int rc = copy(dev, lands ? cuda->staging->landing : to_host, from, bytes,
                  cudaMemcpyDeviceToHost);

    if (!rc)
        rc = code(cudaStreamSynchronize(cuda->stream));
    if (!rc && lands)
        memcpy(to_host, cuda->staging->landing, bytes);
    return rc;
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

    if (!gap && dev)
        sea_cuda_wrote((struct sea_cuda *)dev, to, bytes);
    if (!gap || gap >= bytes)
        return gap ? copy(dev, to, from, bytes, cudaMemcpyDeviceToDevice) : SEA_RC_OK;
    for (; done < bytes && !rc; done += gap) {
        size_t n = bytes - done < gap ? bytes - done : gap;
        size_t at = t < f ? done : bytes - done - n;

        rc = copy(dev, t + at, f + at, n, cudaMemcpyDeviceToDevice);
    }
    return rc;
}

/* ---- graphs ---- */

/* A rounded copy that was valid before would be missing from the graph, and one that is valid
 * behind it is written again by every launch: none crosses either end. */
static int
cuda_graph_begin(void *dev)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    int rc;

    if (!cuda || cuda->capturing)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, NULL, SEA_CUDA_REST);
    rc = code(cudaStreamBeginCapture(cuda->stream, cudaStreamCaptureModeThreadLocal));
    cuda->capturing = !rc;
    return rc;
}

static int
cuda_graph_end(void *dev, void **graph)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    cudaGraph_t captured = NULL;
    cudaGraphExec_t kept = NULL;
    int rc;

    if (graph)
        *graph = NULL;
    if (!cuda || !graph || !cuda->capturing)
        return SEA_RC_ARGUMENT;
    cuda->capturing = false;
    sea_cuda_wrote(cuda, NULL, SEA_CUDA_REST);
    rc = code(cudaStreamEndCapture(cuda->stream, &captured));
    if (!rc)
        rc = code(cudaGraphInstantiate(&kept, captured, 0));
    if (captured)
        cudaGraphDestroy(captured);
    (void)cudaGetLastError();           /* told once, not at the next launch */
    if (!rc) {
        *graph = kept;
        sea_cuda_shadows_graph(cuda, 1);
    }
    return rc;
}

static int
cuda_graph_launch(void *dev, void *graph)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !graph || cuda->capturing)
        return SEA_RC_ARGUMENT;
    sea_cuda_wrote(cuda, NULL, SEA_CUDA_REST);
    return code(cudaGraphLaunch((cudaGraphExec_t)graph, cuda->stream));
}

static void
cuda_graph_free(void *dev, void *graph)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;

    if (!cuda || !graph)
        return;
    cudaGraphExecDestroy((cudaGraphExec_t)graph);
    sea_cuda_shadows_graph(cuda, -1);
}

static const char *
cuda_rc_text(int rc)
{
    if (rc >= SEA_CUDA_RC && rc == said.rc)
        return said.text;
    switch (rc) {
    case SEA_RC_OK:
        return "done";
    case SEA_RC_ARGUMENT:
        return "an argument is missing or out of range";
    case SEA_RC_MEMORY:
        return "not enough device memory";
    case SEA_RC_UNSUPPORTED:
        return "the CUDA back end cannot do this size";
    case SEA_CUDA_RC_OLD_DRIVER:
        return "the driver is too old for this build";
    case SEA_CUDA_RC_OLD_CARD:
        return "the card's compute capability is below 8.0";
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
    .stores = SEA_STORES_KEYS,
    .dev_count = cuda_count,
    .dev_open = cuda_open,
    .dev_close = cuda_close,
    .dev_text = cuda_text,
    .mem_room = cuda_room,
    .mem_alloc = cuda_alloc,
    .mem_alloc_zeroed = cuda_alloc_zeroed,
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
    .limits = sea_cuda_limits,
    .graph_begin = cuda_graph_begin,
    .graph_end = cuda_graph_end,
    .graph_launch = cuda_graph_launch,
    .graph_free = cuda_graph_free,
};
