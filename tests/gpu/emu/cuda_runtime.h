/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_runtime.h - enough of CUDA in plain C++ to run kernels/cuda on a processor
 *
 * Found before the toolkit's header when SEA_CUDA_EMU is defined. Every thread of a block is a
 * coroutine on a stack of its own; __syncthreads and warp functions hand over to the next one
 * until all have arrived. Blocks, and threads between two barriers, run in an order that changes
 * from launch to launch. What a stream is given runs later: when it is waited for, or at a
 * moment of chance before.
 *
 * These end the program and say where, as a card would hang, fail or give chance results:
 *  - a barrier that some threads of a block never reach, a warp function that not all living
 *    lanes reach, or that they reach at different places;
 *  - a launch with a size that no card takes, without blocks, or with more shared memory than
 *    48 KiB that was not asked for; arguments of more than 32,764 bytes;
 *  - a stream that is waited for, or given memory, while it is captured;
 *  - device memory that is touched outside kernels and copies: it is mapped without any right
 *    in between.
 * Sources compiled with SEA_CUDA_CHECK (tests/gpu/emu/check.cc) also have every access to memory
 * looked at: races, alignment, shared memory that nobody wrote.
 */
#ifndef SEA_TESTS_EMU_CUDA_RUNTIME_H
#define SEA_TESTS_EMU_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>
#include <tuple>
#include <utility>

#define __global__
#define __device__
#define __shared__ static
#define __restrict__ __restrict
#define __launch_bounds__(...)

struct alignas(16) float4 {
    float x, y, z, w;
};
struct alignas(8) uint2 {
    unsigned x, y;
};
struct alignas(16) uint4 {
    unsigned x, y, z, w;
};
static inline uint4
make_uint4(unsigned x, unsigned y, unsigned z, unsigned w)
{
    return uint4{ x, y, z, w };
}
static inline float4
make_float4(float x, float y, float z, float w)
{
    return float4{ x, y, z, w };
}
static inline uint2
make_uint2(unsigned x, unsigned y)
{
    return uint2{ x, y };
}

struct dim3 {
    unsigned x, y, z;
    dim3(unsigned x_ = 1, unsigned y_ = 1, unsigned z_ = 1) : x(x_), y(y_), z(z_) {}
};

struct emu_thread {
    dim3 index;
};
extern struct emu_thread *emu_self;
extern dim3 emu_block_index, emu_block_dim, emu_grid_dim;
#define threadIdx (emu_self->index)
#define blockIdx emu_block_index
#define blockDim emu_block_dim
#define gridDim emu_grid_dim

typedef struct emu_stream *cudaStream_t;

/* Puts a launch behind what the stream has to do. */
struct emu_launch {
    const char *name;           /* of the kernel, and its address */
    const void *kernel;
    dim3 grid, block;
    size_t bytes;               /* of dynamic shared memory */
};
void emu_enqueue(cudaStream_t stream, const struct emu_launch &launch,
                 std::function<void()> body);

/* The arguments are what they are now, whenever the kernel runs. */
template <typename... P, typename... A>
static inline void
emu_start(cudaStream_t stream, const char *name, dim3 grid, dim3 block, size_t bytes,
          void (*kernel)(P...), A &&...args)
{
    std::tuple<std::decay_t<P>...> kept(std::forward<A>(args)...);

    static_assert(sizeof(kept) <= 32764, "arguments that a card does not take");
    emu_enqueue(stream, { name, (const void *)kernel, grid, block, bytes },
                [kernel, kept] { std::apply(kernel, kept); });
}

void *emu_dynamic(void);
void emu_sync_block(void);
/* Gives each living lane of the warp all lanes' words; lanes that ended give 0. Lanes that meet
 * come from one line. */
const uint64_t *emu_sync_warp(uint64_t word, unsigned *alive, int line = __builtin_LINE());

static inline void
__syncthreads(void)
{
    emu_sync_block();
}

template <typename T>
static inline T
emu_lane(T x, int lane, int line)
{
    uint64_t word = 0;
    const uint64_t *all;
    unsigned alive;

    memcpy(&word, &x, sizeof(x));
    all = emu_sync_warp(word, &alive, line);
    memcpy(&x, &all[lane & 31], sizeof(x));
    return x;
}

static inline int
emu_own_lane(void)
{
    return (int)(emu_self->index.x % 32);
}

template <typename T>
static inline T
__shfl_xor_sync(unsigned, T x, int step, int line = __builtin_LINE())
{
    return emu_lane(x, emu_own_lane() ^ step, line);
}

template <typename T>
static inline T
__shfl_sync(unsigned, T x, int lane, int line = __builtin_LINE())
{
    return emu_lane(x, lane, line);
}

template <typename T>
static inline T
__shfl_up_sync(unsigned, T x, int step, int line = __builtin_LINE())
{
    return emu_lane(x, emu_own_lane() - step < 0 ? emu_own_lane() : emu_own_lane() - step, line);
}

static inline unsigned
__ballot_sync(unsigned, int yes, int line = __builtin_LINE())
{
    unsigned alive, bits = 0;
    const uint64_t *all = emu_sync_warp(yes != 0, &alive, line);

    for (int lane = 0; lane < 32; lane++)
        bits |= (unsigned)(all[lane] & 1) << lane;
    return bits & alive;
}

static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }

/* A product that is never joined with a sum. */
static inline float
__fmul_rn(float x, float y)
{
    volatile float product = x * y;

    return product;
}

static inline float
__uint_as_float(uint32_t bits)
{
    float x;

    memcpy(&x, &bits, sizeof(x));
    return x;
}

static inline uint32_t
__float_as_uint(float x)
{
    uint32_t bits;

    memcpy(&bits, &x, sizeof(bits));
    return bits;
}

/* ---- the runtime ---- */

typedef enum {
    cudaSuccess = 0, cudaErrorInvalidValue = 1, cudaErrorMemoryAllocation = 2,
    cudaErrorInsufficientDriver = 35, cudaErrorNoDevice = 100, cudaErrorInvalidDevice = 101
} cudaError_t;
typedef enum {
    cudaMemcpyHostToDevice, cudaMemcpyDeviceToHost, cudaMemcpyDeviceToDevice
} cudaMemcpyKind;
typedef enum { cudaFuncAttributeMaxDynamicSharedMemorySize } cudaFuncAttribute;
struct cudaDeviceProp {
    char name[256];
    int major, minor, multiProcessorCount;
    size_t totalGlobalMem;
};
#define cudaStreamNonBlocking 1
#define CUDART_VERSION 13000

cudaError_t cudaGetDeviceCount(int *count);
cudaError_t cudaDriverGetVersion(int *version);
cudaError_t cudaSetDevice(int index);
cudaError_t cudaGetDeviceProperties(struct cudaDeviceProp *out, int index);
cudaError_t cudaStreamCreateWithFlags(cudaStream_t *out, unsigned flags);
cudaError_t cudaStreamDestroy(cudaStream_t stream);
cudaError_t cudaStreamSynchronize(cudaStream_t stream);
cudaError_t cudaMalloc(void **out, size_t bytes);
cudaError_t cudaFree(void *mem);
cudaError_t cudaMemGetInfo(size_t *room, size_t *total);
cudaError_t cudaMemcpyAsync(void *to, const void *from, size_t bytes, cudaMemcpyKind kind,
                            cudaStream_t stream);
cudaError_t cudaMemsetAsync(void *mem, int value, size_t bytes, cudaStream_t stream);
cudaError_t cudaGetLastError(void);
const char *cudaGetErrorString(cudaError_t error);
static inline const char *
cudaGetErrorName(cudaError_t error)
{
    return error == cudaErrorInvalidDevice ? "cudaErrorInvalidDevice" : "cudaErrorInvalidValue";
}


/* Time is the host's. */
typedef struct emu_event *cudaEvent_t;
typedef int cudaMemPool_t;
#define cudaEventDisableTiming 2
#define cudaHostAllocDefault 0
#define cudaMemPoolAttrReleaseThreshold 4
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventSynchronize(cudaEvent_t event);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t last);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *mem);
cudaError_t cudaMallocAsync(void **out, size_t bytes, cudaStream_t stream);
cudaError_t cudaFreeAsync(void *mem, cudaStream_t stream);
static inline cudaError_t
cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, 0);
}

static inline cudaError_t
cudaDeviceGetDefaultMemPool(cudaMemPool_t *, int)
{
    return cudaSuccess;
}

static inline cudaError_t
cudaMemPoolSetAttribute(cudaMemPool_t, int, void *)
{
    return cudaSuccess;
}

static inline cudaError_t
cudaMemPoolTrimTo(cudaMemPool_t, size_t)
{
    return cudaSuccess;
}

/* What is captured is kept, to be run by every launch of the graph. */
typedef struct emu_graph *cudaGraph_t;
typedef struct emu_graph *cudaGraphExec_t;
typedef enum { cudaStreamCaptureModeThreadLocal = 1 } cudaStreamCaptureMode;
cudaError_t cudaStreamBeginCapture(cudaStream_t stream, cudaStreamCaptureMode mode);
cudaError_t cudaStreamEndCapture(cudaStream_t stream, cudaGraph_t *out);
cudaError_t cudaGraphInstantiate(cudaGraphExec_t *out, cudaGraph_t graph, unsigned long long flags);
cudaError_t cudaGraphLaunch(cudaGraphExec_t graph, cudaStream_t stream);
cudaError_t cudaGraphDestroy(cudaGraph_t graph);
cudaError_t cudaGraphExecDestroy(cudaGraphExec_t graph);

/* Shared memory of a block: what every card since compute capability 8.0 grants. */
cudaError_t emu_allow(const void *kernel, int bytes);
template <typename... P>
static inline cudaError_t
cudaFuncSetAttribute(void (*kernel)(P...), cudaFuncAttribute, int bytes)
{
    return emu_allow((const void *)kernel, bytes);
}

#endif
