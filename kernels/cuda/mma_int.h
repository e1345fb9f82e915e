/* SPDX-License-Identifier: Apache-2.0 */
/*
 * mma_int.h - the tensor cores' product of bfloat16 tiles, and how tiles lie in a warp
 *
 * D (16, 8) = A (16, 16) B (16, 8) + D, sums in float32. Lane l holds, with g = l / 4 and
 * t = l % 4 (two bfloat16 of neighbouring k in each 32-bit word, the lower k in the low half):
 *
 *     a[0]  A[g][2t, 2t+1]        b[0]  B[2t, 2t+1][g]           d[0], d[1]  D[g][2t], [2t+1]
 *     a[1]  A[g+8][2t, 2t+1]      b[1]  B[2t+8, 2t+9][g]         d[2], d[3]  D[g+8][2t], [2t+1]
 *     a[2]  A[g][2t+8, 2t+9]
 *     a[3]  A[g+8][2t+8, 2t+9]
 *
 * So the D of one product, rounded and paired, is the A of the next: D's columns 0..15 (two
 * tiles) are k 0..15. sea_mma_load_* read such words from shared memory, four 8 x 8 tiles at a
 * time, each lane giving the address of one row of 8 (16 bytes, aligned).
 *
 * In the emulation the lanes show each other their words; the sum is in the order of k.
 */
#ifndef SEA_CUDA_MMA_INT_H
#define SEA_CUDA_MMA_INT_H

#include "kernels/cuda/cuda_int.h"

#ifdef SEA_CUDA_EMU

__device__ static inline void
sea_mma(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    struct words {
        uint32_t a[4], b[2];
    } own = { { a[0], a[1], a[2], a[3] }, { b[0], b[1] } };
    unsigned alive;
    const uint64_t *all = emu_sync_warp((uint64_t)(uintptr_t)&own, &alive);
    int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;

    for (int i = 0; i < 4; i++) {
        int row = g + i / 2 * 8, column = 2 * t + i % 2;

        for (int k = 0; k < 16; k++) {
            const struct words *left = (const struct words *)(uintptr_t)
                all[row % 8 * 4 + k % 8 / 2];
            const struct words *right = (const struct words *)(uintptr_t)
                all[column * 4 + k % 8 / 2];
            uint32_t x = left->a[row / 8 + k / 8 * 2], y = right->b[k / 8];

            d[i] += sea_bf16_widen((uint16_t)(x >> k % 2 * 16)) *
                    sea_bf16_widen((uint16_t)(y >> k % 2 * 16));
        }
    }
    (void)emu_sync_warp(0, &alive);     /* nobody's words go away while others read them */
}

__device__ static inline void
sea_mma_load(uint32_t to[4], const uint16_t *row, bool transposed)
{
    unsigned alive;
    const uint64_t *all = emu_sync_warp((uint64_t)(uintptr_t)row, &alive);
    int lane = (int)threadIdx.x % 32, g = lane / 4, t = lane % 4;

    for (int i = 0; i < 4; i++) {
        uint32_t low, high;

        if (transposed) {
            low = ((const uint16_t *)(uintptr_t)all[i * 8 + 2 * t])[g];
            high = ((const uint16_t *)(uintptr_t)all[i * 8 + 2 * t + 1])[g];
        } else {
            low = ((const uint16_t *)(uintptr_t)all[i * 8 + g])[2 * t];
            high = ((const uint16_t *)(uintptr_t)all[i * 8 + g])[2 * t + 1];
        }
        to[i] = low | high << 16;
    }
}

#else

__device__ static inline void
sea_mma(float d[4], const uint32_t a[4], const uint32_t b[2])
{
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.bf16.bf16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(d[0]), "+f"(d[1]), "+f"(d[2]), "+f"(d[3])
                 : "r"(a[0]), "r"(a[1]), "r"(a[2]), "r"(a[3]), "r"(b[0]), "r"(b[1]));
}

__device__ static inline void
sea_mma_load(uint32_t to[4], const uint16_t *row, bool transposed)
{
    uint32_t at = (uint32_t)__cvta_generic_to_shared(row);

    if (transposed)
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.trans.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
    else
        asm volatile("ldmatrix.sync.aligned.m8n8.x4.shared.b16 {%0,%1,%2,%3}, [%4];"
                     : "=r"(to[0]), "=r"(to[1]), "=r"(to[2]), "=r"(to[3]) : "r"(at) : "memory");
}

#endif

/* Two numbers rounded: the first in the low half. */
__device__ static inline uint32_t
sea_mma_pair(float low, float high)
{
#ifdef SEA_CUDA_EMU
    return (uint32_t)sea_bf16_round(low) | (uint32_t)sea_bf16_round(high) << 16;
#else
    uint32_t pair;

    asm("cvt.rn.bf16x2.f32 %0, %1, %2;" : "=r"(pair) : "f"(high), "f"(low));
    return pair;
#endif
}

/* A (16, 16) at tile, rows ld apart. */
__device__ static inline void
sea_mma_load_a(uint32_t a[4], const uint16_t *tile, int ld)
{
    int lane = (int)threadIdx.x % 32;

    sea_mma_load(a, tile + lane % 16 * ld + lane / 16 * 8, false);
}

/* B of two products side by side, columns 0..7 in b[0..1] and 8..15 in b[2..3], from a tile
 * that holds B's columns as rows (16, 16): a matrix that is multiplied transposed. */
__device__ static inline void
sea_mma_load_bt(uint32_t b[4], const uint16_t *tile, int ld)
{
    int lane = (int)threadIdx.x % 32;

    sea_mma_load(b, tile + (lane % 8 + lane / 16 * 8) * ld + lane / 8 % 2 * 8, false);
}

/* The same from a tile that holds B as it is, k by columns. */
__device__ static inline void
sea_mma_load_b(uint32_t b[4], const uint16_t *tile, int ld)
{
    int lane = (int)threadIdx.x % 32;

    sea_mma_load(b, tile + lane % 16 * ld + lane / 16 * 8, true);
}

#endif
