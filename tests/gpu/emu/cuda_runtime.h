/* SPDX-License-Identifier: Apache-2.0 */
/*
 * cuda_runtime.h - enough of CUDA in plain C++ to run kernels/cuda on a processor
 *
 * Found before the toolkit's header when SEA_CUDA_EMU is defined. Every thread of a block is a
 * coroutine on a stack of its own; __syncthreads and warp functions hand over to the next one
 * until all have arrived. Blocks run one after another. A barrier that some threads of a block
 * never reach aborts with the kernel's place, as does a warp function that not all living
 * lanes reach: on a card these hang or give chance results.
 *
 * Device memory cannot be touched outside kernels and copies: it is mapped without any right
 * in between, so that an engine that reads a device pointer stops on the spot.
 */
#ifndef SEA_TESTS_EMU_CUDA_RUNTIME_H
#define SEA_TESTS_EMU_CUDA_RUNTIME_H

#include <math.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>

#include <functional>

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

void emu_launch(dim3 grid, dim3 block, size_t bytes, const std::function<void()> &body);
void *emu_dynamic(void);
void emu_sync_block(void);
/* Gives each living lane of the warp all lanes' words; lanes that ended give 0. */
const uint64_t *emu_sync_warp(uint64_t word, unsigned *alive);

static inline void
__syncthreads(void)
{
    emu_sync_block();
}

template <typename T>
static inline T
emu_lane(T x, int lane)
{
    uint64_t word = 0;
    const uint64_t *all;
    unsigned alive;

    memcpy(&word, &x, sizeof(x));
    all = emu_sync_warp(word, &alive);
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
__shfl_xor_sync(unsigned, T x, int step)
{
    return emu_lane(x, emu_own_lane() ^ step);
}

template <typename T>
static inline T
__shfl_sync(unsigned, T x, int lane)
{
    return emu_lane(x, lane);
}

template <typename T>
static inline T
__shfl_up_sync(unsigned, T x, int step)
{
    T up = emu_lane(x, emu_own_lane() - step < 0 ? emu_own_lane() : emu_own_lane() - step);

    return up;
}

static inline unsigned
__ballot_sync(unsigned, int yes)
{
    unsigned alive, bits = 0;
    const uint64_t *all = emu_sync_warp(yes != 0, &alive);

    for (int lane = 0; lane < 32; lane++)
        bits |= (unsigned)(all[lane] & 1) << lane;
    return bits & alive;
}

static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }

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
    cudaErrorInvalidDevice = 101
} cudaError_t;
typedef struct emu_stream *cudaStream_t;
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

cudaError_t cudaGetDeviceCount(int *count);
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

/* Time is the host's; everything is done when a call returns. */
typedef struct emu_event *cudaEvent_t;
typedef int cudaMemPool_t;
#define cudaEventDisableTiming 2
#define cudaHostAllocDefault 0
#define cudaMemPoolAttrReleaseThreshold 4
cudaError_t cudaEventCreateWithFlags(cudaEvent_t *out, unsigned flags);
cudaError_t cudaEventRecord(cudaEvent_t event, cudaStream_t stream);
cudaError_t cudaEventElapsedTime(float *ms, cudaEvent_t first, cudaEvent_t last);
cudaError_t cudaEventDestroy(cudaEvent_t event);
cudaError_t cudaHostAlloc(void **out, size_t bytes, unsigned flags);
cudaError_t cudaFreeHost(void *mem);
static inline cudaError_t
cudaEventCreate(cudaEvent_t *out)
{
    return cudaEventCreateWithFlags(out, 0);
}

static inline cudaError_t
cudaEventSynchronize(cudaEvent_t)
{
    return cudaSuccess;
}

static inline cudaError_t
cudaMallocAsync(void **out, size_t bytes, cudaStream_t)
{
    return cudaMalloc(out, bytes);
}

static inline cudaError_t
cudaFreeAsync(void *mem, cudaStream_t)
{
    return cudaFree(mem);
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


/* Shared memory of a block: what every card since compute capability 8.0 grants. */
template <typename Kernel>
static inline cudaError_t
cudaFuncSetAttribute(Kernel, cudaFuncAttribute, int bytes)
{
    return bytes <= 163 * 1024 ? cudaSuccess : cudaErrorInvalidValue;
}

#endif
