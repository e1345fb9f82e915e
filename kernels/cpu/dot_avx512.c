/* SPDX-License-Identifier: Apache-2.0 */
/*
 * dot_avx512.c - C = op(A) op(B) of numbers rounded to bfloat16
 *
 * For struct sea_op_gemm with `rounded`, on processors whose dot product of bfloat16 pairs is
 * twice as fast as multiply-adds of floats (sea_cpu_dot decides). The scheme is that of
 * gemm.inc with a pair of k where there is one number: panels of the same bytes and twice the
 * depth. Both matrices are rounded while they are packed, to nearest and ties to even;
 * products are exact, sums are float32.
 *
 * Every element of C is, for each step of k (at most 2 * SEA_CPU_DEPTH, from K alone), one
 * chain of pairs in the order of k from 0: batch-invariant for any number of rows, so there
 * is no other path for few of them. Numbers below 2^-126 count as 0.
 */
#include "kernels/cpu/cpu_int.h"

#if defined(__x86_64__)

#include <immintrin.h>
#include <math.h>
#include <string.h>

#if defined(__clang__)
#pragma clang attribute push(                                                              \
    __attribute__((target("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma"))),     \
    apply_to = function)
#else
#pragma GCC target("avx512f,avx512vl,avx512dq,avx512bw,avx512bf16,avx2,fma")
#endif

#define LANES 16
#include "kernels/cpu/vec.inc"
#include "kernels/cpu/tile.inc"

#define STEP (2 * LANES)        /* numbers in a vector of pairs */

typedef uint32_t pair;          /* of k: the first in the lower half */
typedef void dot_fn(const pair *a, const pair *b, int64_t pairs, const struct tile *tile);

/* row_ld and a_step are constants where this is inlined, as in gemm.inc. */
INLINE void
dot(const int rows, const pair *a, const int64_t row_ld, const int64_t a_step, const pair *b,
    int64_t pairs, const struct tile *tile)
{
    __m512 sum[MR][2];

    UNROLL(16)
    for (int i = 0; i < rows; i++) {
        tile_fetch(tile, i);
        sum[i][0] = sum[i][1] = _mm512_setzero_ps();
    }
    for (int64_t p = 0; p < pairs; p++, a += a_step, b += NR) {
        __m512bh b0 = (__m512bh)_mm512_loadu_si512(b);
        __m512bh b1 = (__m512bh)_mm512_loadu_si512(b + LANES);

        UNROLL(16)
        for (int i = 0; i < rows; i++) {
            __m512bh x = (__m512bh)_mm512_set1_epi32((int)a[i * row_ld]);

            sum[i][0] = _mm512_dpbf16_ps(sum[i][0], x, b0);
            sum[i][1] = _mm512_dpbf16_ps(sum[i][1], x, b1);
        }
    }
    UNROLL(16)
    for (int i = 0; i < rows; i++) {
        tile_store(tile, i, 0, sum[i][0]);
        tile_store(tile, i, 1, sum[i][1]);
    }
}

#define DOTS(rows)                                                                         \
    static void dot_rows_##rows(const pair *a, const pair *b, int64_t pairs,               \
                                const struct tile *tile)                                   \
    {                                                                                      \
        dot(rows, a, SEA_CPU_DEPTH_LD, 1, b, pairs, tile);                                 \
    }                                                                                      \
    static void dot_columns_##rows(const pair *a, const pair *b, int64_t pairs,            \
                                   const struct tile *tile)                                \
    {                                                                                      \
        dot(rows, a, 1, LANES, b, pairs, tile);                                            \
    }
DOTS(1) DOTS(2) DOTS(3) DOTS(4) DOTS(5) DOTS(6) DOTS(7) DOTS(8) DOTS(9) DOTS(10) DOTS(11)
DOTS(12) DOTS(13) DOTS(14)
static dot_fn *const dot_rows[MR + 1] = { KERNEL_LIST(MR, dot_rows_) };
static dot_fn *const dot_columns[MR + 1] = { KERNEL_LIST(MR, dot_columns_) };

/* STEP numbers side by side, the first `left` of them: LANES pairs. */
INLINE __m512i
pairs_of_row(const enum sea_store type, const void *p, int64_t left)
{
    const float *x = p;
    vf low, high;

    if (type == SEA_STORE_BF16)
        return left >= STEP ? _mm512_loadu_si512(p)
                            : _mm512_maskz_loadu_epi16((__mmask32)((1ull << left) - 1), p);
    low = vf_get(x, left);
    high = left > LANES ? vf_get(x + LANES, left - LANES) : vf_zero();
    return (__m512i)_mm512_cvtne2ps_pbh(high, low);
}

/* Lane i: number i of the lower half of x, then that of its upper half. */
INLINE __m512i
halves_paired(__m512i x)
{
    const __m512i order = _mm512_set_epi16(31, 15, 30, 14, 29, 13, 28, 12, 27, 11, 26, 10, 25, 9,
                                           24, 8, 23, 7, 22, 6, 21, 5, 20, 4, 19, 3, 18, 2, 17, 1,
                                           16, 0);

    return _mm512_permutexvar_epi16(order, x);
}

/* The same columns of two rows, LANES of them. */
INLINE __m512i
pairs_of_rows(vf first, vf second)
{
    return halves_paired((__m512i)_mm512_cvtne2ps_pbh(second, first));
}

/* A panel as rows: dst[i * SEA_CPU_DEPTH_LD + p] = numbers 2p and 2p + 1 of row i. */
static void
pack_rows(const float *src, int64_t ld, int64_t rows, int64_t depth, pair *dst)
{
    for (int64_t i = 0; i < rows; i++, src += ld, dst += SEA_CPU_DEPTH_LD)
        for (int64_t k = 0; k < depth; k += STEP)
            _mm512_storeu_si512(dst + k / 2, pairs_of_row(SEA_STORE_F32, src + k, depth - k));
}

/* Up to A_PANELS panels as columns: dst[panel][p][i] = rows 2p and 2p + 1 of column i. */
static void
pack_columns(const float *src, int64_t ld, int64_t rows, int64_t depth, pair *dst)
{
    if (rows > A_PANELS * MR)
        rows = A_PANELS * MR;
    for (int64_t k = 0; k < depth; k += 2, src += 2 * ld, dst += LANES) {
        pair *to = dst;

        fetch_pieces((const char *)(src + ROWS_AHEAD * ld), ld * 4, 2, rows * 4);
        for (int64_t i = 0; i < rows; i += MR, to += LANES * SEA_CPU_DEPTH_LD) {
            int64_t left = rows - i < MR ? rows - i : MR;
            vf second = k + 1 < depth ? vf_get(src + ld + i, left) : vf_zero();

            _mm512_storeu_si512(to, pairs_of_rows(vf_get(src + i, left), second));
        }
    }
}

/* B panels from rows of B: dst[panel][p][column] = rows 2p and 2p + 1 of the column. */
INLINE void
panels(const enum sea_store type, const char *src, int64_t ld, int64_t columns, int64_t depth,
       pair *dst)
{
    const int64_t size = type == SEA_STORE_BF16 ? 2 : 4;

    for (int64_t n = 0; n < columns; n += NR) {
        const char *first = src + n * size;
        int64_t left = columns - n;

        for (int64_t k = 0; k < depth; k += 2, first += 2 * ld * size, dst += NR) {
            const char *second = first + ld * size;

            /* Of the first panel rows further on, else what the next panel takes of these. */
            if (!n)
                fetch_pieces(first + ROWS_AHEAD * ld * size, ld * size, 2, NR * size);
            fetch_pieces(first + NR * size, ld * size, 2, NR * size);
            __m512i x = pairs_of_row(type, first, left), y = _mm512_setzero_si512();

            if (k + 1 < depth)
                y = pairs_of_row(type, second, left);
            _mm512_storeu_si512(dst, halves_paired(_mm512_inserti64x4(
                                         x, _mm512_castsi512_si256(y), 1)));
            _mm512_storeu_si512(dst + LANES, halves_paired(_mm512_shuffle_i64x2(x, y, 0xee)));
        }
    }
}

/* B panels from rows of B transposed: dst[panel][p][column] = numbers 2p, 2p + 1 of row
 * `column`. The last panel is filled up with zeros. */
INLINE void
panels_transposed(const enum sea_store type, const char *src, int64_t ld, int64_t columns,
                  int64_t depth, pair *dst)
{
    const int64_t size = type == SEA_STORE_BF16 ? 2 : 4, pairs = (depth + 1) / 2;

    for (int64_t n = 0; n < (columns + NR - 1) / NR * NR; n += LANES) {
        float *to = (float *)(void *)(dst + n / NR * NR * pairs + n % NR);

        for (int64_t k = 0; k < depth; k += STEP) {
            const char *from = src + (n * ld + k) * size;
            vf r[LANES];

            fetch_pieces(from + LANES * ld * size, ld * size, LANES, STEP * size);

            if (type == SEA_STORE_BF16 && columns - n >= LANES && depth - k >= STEP) {
                load_flipped(from, ld * size, r);
            } else {
                UNROLL(16)
                for (int i = 0; i < LANES; i++)
                    r[i] = n + i < columns
                               ? (vf)pairs_of_row(type, from + i * ld * size, depth - k)
                               : vf_zero();
                vf_flip(r);
            }
            if (pairs - k / 2 >= LANES)
                UNROLL(16)
                for (int j = 0; j < LANES; j++)
                    vf_store(to + (k / 2 + j) * NR, r[j]);
            else
                for (int64_t j = 0; j < pairs - k / 2; j++)
                    vf_store(to + (k / 2 + j) * NR, r[j]);
        }
    }
}

/* Packs op(B)[k0 .. + depth, n0 .. + columns]. */
static void
pack_b(const struct sea_op_gemm *op, int64_t n0, int64_t columns, int64_t k0, int64_t depth,
       pair *dst)
{
    int64_t at = op->trans_b ? n0 * op->ldb + k0 : k0 * op->ldb + n0;
    const char *b = op->b;

    if (op->b_type == SEA_STORE_BF16 && op->trans_b)
        panels_transposed(SEA_STORE_BF16, b + at * 2, op->ldb, columns, depth, dst);
    else if (op->b_type == SEA_STORE_BF16)
        panels(SEA_STORE_BF16, b + at * 2, op->ldb, columns, depth, dst);
    else if (op->trans_b)
        panels_transposed(SEA_STORE_F32, b + at * 4, op->ldb, columns, depth, dst);
    else
        panels(SEA_STORE_F32, b + at * 4, op->ldb, columns, depth, dst);
}

/* c (rows, tile.columns) (+)= alpha * a packed panel of A * packed panels of B + bias; what
 * comes next is asked for meanwhile. */
static void
multiply_panel(int trans_a, int64_t rows, const pair *a, const pair *b, int64_t depth,
               const struct tile *to, struct rows_ahead next)
{
    int64_t pairs = (depth + 1) / 2, columns = to->columns;
    dot_fn *kernel = trans_a ? dot_columns[rows] : dot_rows[rows];
    struct tile tile = *to;

    fetch_begin(&next, (columns + NR - 1) / NR);
    for (int64_t n = 0; n < columns; n += NR, b += pairs * NR) {
        fetch_share(&next);
        tile.c = to->c + n;
        tile.bias = to->bias ? to->bias + n : NULL;
        tile.columns = columns - n;
        kernel(a, b, pairs, &tile);
    }
}

typedef pair packed;
#define PACKED 2                /* numbers of k in one */
#include "kernels/cpu/block.inc"

/* The processor's own list of instructions does not say how fast they are. AMD's processors
 * (Zen 4 and later) work through a vector of pairs as fast as through one of floats: twice
 * the products. Intel's without matrix tiles take twice as long: nothing gained, and digits
 * lost. By name and not by clock, because the choice is part of the results. */
sea_cpu_fn *
sea_cpu_dot(void)
{
    __builtin_cpu_init();
    if (__builtin_cpu_supports("avx512bf16") && __builtin_cpu_is("amd"))
        return multiply;
    return NULL;
}

#if defined(__clang__)
#pragma clang attribute pop
#endif

#else

sea_cpu_fn *
sea_cpu_dot(void)
{
    return NULL;
}

#endif
