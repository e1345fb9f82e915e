/* SPDX-License-Identifier: Apache-2.0 */
/*
 * limits.cu - what the card does at best outside tensor cores: multiply-adds in registers, and
 * bytes read from memory. The best of some launches, timed by the card.
 */
#include "kernels/cuda/cuda_int.h"

#define CHAINS 8                /* independent sums of a thread: they hide each other's delay */
#define TURNS 2048
#define THREADS 256
#define ROUNDS 3

static __global__ void
add_products(float *out, float x)
{
    float sum[CHAINS];

    for (int i = 0; i < CHAINS; i++)
        sum[i] = (float)(threadIdx.x + i);
    for (int turn = 0; turn < TURNS; turn++) {
        SEA_UNROLL
        for (int i = 0; i < CHAINS; i++)
            sum[i] = fmaf(sum[i], x, 0.5f);
    }
    for (int i = 1; i < CHAINS; i++)
        sum[0] += sum[i];
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum[0];
}

static __global__ void
read_all(const float4 *mem, int64_t n, float *out)
{
    float sum = 0;

    for (SEA_FLAT(i, n)) {
        float4 v = mem[i];

        sum += v.x + v.y + v.z + v.w;
    }
    out[blockIdx.x * blockDim.x + threadIdx.x] = sum;
}

/* Seconds between two marks on the stream; 0: something failed. */
static double
between(cudaEvent_t first, cudaEvent_t last)
{
    float ms = 0;

    if (cudaEventSynchronize(last) != cudaSuccess ||
        cudaEventElapsedTime(&ms, first, last) != cudaSuccess)
        return 0;
    return 1e-3 * (double)ms;
}

int
sea_cuda_limits(void *dev, struct sea_op_limits *a)
{
    struct sea_cuda *cuda = (struct sea_cuda *)dev;
    int64_t n = a ? (int64_t)(a->bytes / sizeof(float4)) : 0;
    cudaEvent_t marks[2] = { NULL, NULL };
    unsigned blocks;
    double seconds;

    if (!cuda || !a || (a->bytes && !a->mem) || (uintptr_t)a->mem % sizeof(float4))
        return SEA_RC_ARGUMENT;
    blocks = (unsigned)(cuda->processors ? 8 * cuda->processors : 1);
    if ((size_t)blocks * THREADS > SEA_CUDA_REDUCE)
        blocks = SEA_CUDA_REDUCE / THREADS;
    a->flops = a->read_rate = 0;
    if (cudaEventCreate(&marks[0]) != cudaSuccess || cudaEventCreate(&marks[1]) != cudaSuccess)
        return sea_cuda_launched();
    for (int round = 0; round < ROUNDS; round++) {
        cudaEventRecord(marks[0], cuda->stream);
        SEA_LAUNCH(cuda, add_products, blocks, THREADS, 0, cuda->reduce, 0.5f);
        cudaEventRecord(marks[1], cuda->stream);
        seconds = between(marks[0], marks[1]);
        if (seconds > 0)
            a->flops = fmax(a->flops, 2.0 * CHAINS * TURNS * THREADS * blocks / seconds);
        cudaEventRecord(marks[0], cuda->stream);
        SEA_LAUNCH(cuda, read_all, blocks, THREADS, 0, (const float4 *)a->mem, n, cuda->reduce);
        cudaEventRecord(marks[1], cuda->stream);
        seconds = between(marks[0], marks[1]);
        if (seconds > 0 && n)
            a->read_rate = fmax(a->read_rate, (double)n * sizeof(float4) / seconds);
    }
    cudaEventDestroy(marks[0]);
    cudaEventDestroy(marks[1]);
    return sea_cuda_launched();
}
