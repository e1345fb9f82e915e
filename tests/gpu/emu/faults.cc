/* SPDX-License-Identifier: Apache-2.0 */
/*
 * faults.cc - kernels that are wrong on a card, each in its own way
 *
 * `faults` lists them, `faults NAME` runs one. The emulation must end each, and say what
 * tests/gpu/test_emu.sh expects; `right` must pass. Compiled as the kernels are for a check.
 */
#include <stdio.h>
#include <stdlib.h>

#include "kernels/cuda/cuda_int.h"

static struct sea_cuda cuda;

/* Warp 1 reads what warp 0 writes; barrier: in between. */
static __global__ void
hand_on(float *out, int barrier)
{
    SEA_DYNAMIC(float, shared);

    shared[threadIdx.x] = (float)threadIdx.x;
    if (barrier)
        __syncthreads();
    out[threadIdx.x] = shared[(threadIdx.x + 32) % blockDim.x];
}

static __global__ void
hand_on_in_warp(float *out)
{
    __shared__ float shared[64];

    shared[threadIdx.x] = (float)threadIdx.x;
    out[threadIdx.x] = shared[threadIdx.x ^ 1];
}

/* The barrier before the next round's write is missing. */
static __global__ void
write_again(float *out)
{
    __shared__ float shared[64];

    for (int round = 0; round < 2; round++) {
        shared[threadIdx.x] = (float)round;
        __syncthreads();
        out[threadIdx.x] = shared[(threadIdx.x + 32) % blockDim.x];
    }
}

static __global__ void
same_place(float *out)
{
    if (threadIdx.x == 0)
        out[0] = (float)blockIdx.x;
}

static __global__ void
other_block(float *out)
{
    if (threadIdx.x == 0)
        out[blockIdx.x] = out[(blockIdx.x + 1) % gridDim.x] + 1.0f;
}

static __global__ void
four_at(const float *x, float *out)
{
    float4 v = *(const float4 *)x;

    out[64 + threadIdx.x] = v.x + v.w;
}

static __global__ void
unwritten(float *out)
{
    SEA_DYNAMIC(float, shared);

    if (threadIdx.x)
        shared[threadIdx.x] = 1.0f;
    __syncthreads();
    out[threadIdx.x] = shared[threadIdx.x];
}

static __global__ void
some_wait(float *out)
{
    if (threadIdx.x < 32)
        __syncthreads();
    out[threadIdx.x] = 1.0f;
}

static __global__ void
some_shuffle(float *out)
{
    float x = 1.0f;

    if (threadIdx.x % 2)
        x = __shfl_xor_sync(0xffffffffu, x, 2);
    __syncthreads();
    out[threadIdx.x] = x;
}

static __global__ void
two_shuffles(float *out)
{
    float x = 1.0f;

    if (threadIdx.x % 2)
        x = __shfl_xor_sync(0xffffffffu, x, 2);
    else
        x = __shfl_xor_sync(0xffffffffu, x, 4);
    out[threadIdx.x] = x;
}

static void
run(const char *name, float *mem)
{
    const unsigned n = 64;
    float host[64];
    cudaGraph_t graph;

    if (!strcmp(name, "race-between-warps"))
        SEA_LAUNCH(&cuda, hand_on, 1, n, n * sizeof(float), mem, 0);
    else if (!strcmp(name, "race-in-a-warp"))
        SEA_LAUNCH(&cuda, hand_on_in_warp, 1, n, 0, mem);
    else if (!strcmp(name, "race-of-rounds"))
        SEA_LAUNCH(&cuda, write_again, 1, n, 0, mem);
    else if (!strcmp(name, "race-of-writes"))
        SEA_LAUNCH(&cuda, same_place, 2, n, 0, mem);
    else if (!strcmp(name, "race-of-blocks"))
        SEA_LAUNCH(&cuda, other_block, 4, n, 0, mem);
    else if (!strcmp(name, "given-back")) {
        float *gone = NULL;

        cudaMallocAsync((void **)&gone, 64, cuda.stream);
        cudaFreeAsync(gone, cuda.stream);
        SEA_LAUNCH(&cuda, four_at, 1, n, 0, (const float *)gone, mem);
    } else if (!strcmp(name, "beyond"))
        SEA_LAUNCH(&cuda, four_at, 1, n, 0, (const float *)mem + 1024, mem);
    else if (!strcmp(name, "align"))
        SEA_LAUNCH(&cuda, four_at, 1, n, 0, (const float *)mem + 1, mem);
    else if (!strcmp(name, "unwritten"))
        SEA_LAUNCH(&cuda, unwritten, 1, n, n * sizeof(float), mem);
    else if (!strcmp(name, "barrier"))
        SEA_LAUNCH(&cuda, some_wait, 1, n, 0, mem);
    else if (!strcmp(name, "lanes"))
        SEA_LAUNCH(&cuda, some_shuffle, 1, n, 0, mem);
    else if (!strcmp(name, "lanes-apart"))
        SEA_LAUNCH(&cuda, two_shuffles, 1, n, 0, mem);
    else if (!strcmp(name, "shared-48k"))
        SEA_LAUNCH(&cuda, hand_on, 1, n, (size_t)49 << 10, mem, 1);
    else if (!strcmp(name, "no-blocks"))
        SEA_LAUNCH(&cuda, hand_on, 0, n, n * sizeof(float), mem, 1);
    else if (!strcmp(name, "many-blocks"))
        SEA_LAUNCH(&cuda, hand_on, dim3(1, 65536), n, n * sizeof(float), mem, 1);
    else if (!strcmp(name, "capture-wait")) {
        cudaStreamBeginCapture(cuda.stream, cudaStreamCaptureModeThreadLocal);
        cudaStreamSynchronize(cuda.stream);
    } else if (!strcmp(name, "capture-memory")) {
        cudaStreamBeginCapture(cuda.stream, cudaStreamCaptureModeThreadLocal);
        cudaMallocAsync((void **)&mem, 64, cuda.stream);
    } else if (!strcmp(name, "host-read"))
        printf("%f\n", (double)mem[0]);
    else {
        cudaStreamBeginCapture(cuda.stream, cudaStreamCaptureModeThreadLocal);
        SEA_LAUNCH(&cuda, hand_on, 1, n, n * sizeof(float), mem, 1);
        cudaStreamEndCapture(cuda.stream, &graph);
        cudaGraphLaunch(graph, cuda.stream);
    }
    cudaMemcpyAsync(host, mem, sizeof(host), cudaMemcpyDeviceToHost, cuda.stream);
    if (host[0] > 31.0f && host[0] < 33.0f)
        printf("right\n");
}

/* Whether a piece that is written again before its copy ran is seen to be spoilt. */
static void
spoil(float *mem)
{
    float *piece, host;
    int spoilt = 0;

    if (cudaHostAlloc((void **)&piece, sizeof(*piece), cudaHostAllocDefault) != cudaSuccess)
        return;
    for (int i = 0; i < 16; i++) {
        *piece = 1.0f;
        cudaMemcpyAsync(mem, piece, sizeof(*piece), cudaMemcpyHostToDevice, cuda.stream);
        *piece = 2.0f;
        cudaMemcpyAsync(&host, mem, sizeof(host), cudaMemcpyDeviceToHost, cuda.stream);
        spoilt += host > 1.5f;
    }
    printf("%s\n", spoilt > 0 ? "spoilt" : "never spoilt");
}

int
main(int argc, char **argv)
{
    float *mem = NULL;

    if (cudaMalloc((void **)&mem, 4096) != cudaSuccess || argc < 2)
        return 2;
    if (!strcmp(argv[1], "spoilt"))
        spoil(mem);
    else
        run(argv[1], mem);
    return 0;
}
