/* SPDX-License-Identifier: Apache-2.0 */
/*
 * shadow.cu - matrices of activations rounded to bfloat16, beside their float32
 *
 * Products on tensor cores take bfloat16; activations are float32. A shadow is the rounded copy
 * of one matrix. It is made once: by the operator that writes the matrix, when products have
 * asked for that address before (from a run's second step on), else by a pass of its own in
 * front of the first product that needs it; the products that follow find it.
 *
 * Invariants: (1) a valid shadow is its matrix rounded, bit for bit: whoever writes device
 *                 memory calls sea_cuda_wrote first, which ends the shadows that overlap (the
 *                 emulation compares them whenever one is used);
 *             (2) so results do not depend on which shadows there are, nor on who made them;
 *             (3) memory comes from the stream's own pool, in order: nothing waits;
 *             (4) a kept graph writes and reads the copies that it was captured with: their
 *                 memory is not given back while there is a graph.
 */
#include "kernels/cuda/cuda_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define SLOTS 6                 /* matrices at a time: the oldest goes first */
#define WANTED 4096             /* addresses that products asked for, a power of two */

struct slot {
    const char *from, *end;     /* bytes of the matrix; from NULL: nothing valid */
    int64_t rows, columns, ld;
    uint16_t *data;             // (rows, sea_shadow_ld(columns))
    size_t room;                /* numbers */
    uint64_t used;
    bool captured;              /* a graph knows data */
};

struct sea_cuda_shadows {
    struct slot slots[SLOTS];
    const void *wanted[WANTED];
    int wanted_count;
    uint64_t clock;
    int graphs;
    uint16_t **kept;            // (kept_count) left by their slots, known to graphs
    int kept_count;
};

/* Rows of 16 bytes: what tensor cores load. */
static int64_t
shadow_ld(int64_t columns)
{
    return (columns + 7) / 8 * 8;
}

int
sea_cuda_shadows_open(struct sea_cuda *cuda)
{
    cuda->shadows = (struct sea_cuda_shadows *)calloc(1, sizeof(*cuda->shadows));
    return cuda->shadows ? SEA_RC_OK : SEA_RC_MEMORY;
}

static void
free_kept(struct sea_cuda *cuda)
{
    struct sea_cuda_shadows *shadows = cuda->shadows;

    for (int i = 0; i < shadows->kept_count; i++)
        cudaFreeAsync(shadows->kept[i], cuda->stream);
    free(shadows->kept);
    shadows->kept = NULL;
    shadows->kept_count = 0;
}

/* A slot that must grow loses its memory; false: there is no place to note it. */
static bool
leave_memory(struct sea_cuda *cuda, struct slot *slot)
{
    struct sea_cuda_shadows *shadows = cuda->shadows;
    uint16_t **kept;

    if (slot->data && slot->captured) {
        kept = (uint16_t **)realloc(shadows->kept,
                                    (size_t)(shadows->kept_count + 1) * sizeof(*kept));
        if (!kept)
            return false;
        shadows->kept = kept;
        shadows->kept[shadows->kept_count++] = slot->data;
    } else if (slot->data) {
        cudaFreeAsync(slot->data, cuda->stream);
    }
    slot->data = NULL;
    slot->room = 0;
    slot->captured = false;
    return true;
}

void
sea_cuda_shadows_close(struct sea_cuda *cuda)
{
    for (int i = 0; i < SLOTS && cuda->shadows; i++)
        if (cuda->shadows->slots[i].data)
            cudaFreeAsync(cuda->shadows->slots[i].data, cuda->stream);
    if (cuda->shadows)
        free_kept(cuda);
    free(cuda->shadows);
    cuda->shadows = NULL;
}

void
sea_cuda_shadows_graph(struct sea_cuda *cuda, int more)
{
    cuda->shadows->graphs += more;
    if (cuda->shadows->graphs)
        return;
    free_kept(cuda);
    for (int i = 0; i < SLOTS; i++)
        cuda->shadows->slots[i].captured = false;
}

void
sea_cuda_wrote(struct sea_cuda *cuda, const void *mem, size_t bytes)
{
    const char *from = (const char *)mem;
    const char *end = bytes == SEA_CUDA_REST ? (const char *)UINTPTR_MAX : from + bytes;

    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &cuda->shadows->slots[i];

        if (slot->from && from < slot->end && slot->from < end)
            slot->from = NULL;
    }
}

void
sea_cuda_shadows_forget(struct sea_cuda *cuda)
{
    for (int i = 0; i < SLOTS; i++)
        cuda->shadows->slots[i].from = NULL;
    memset(cuda->shadows->wanted, 0, sizeof(cuda->shadows->wanted));
    cuda->shadows->wanted_count = 0;
}

/* The place of an address in the table: where it is, or where it would be. */
static const void **
wanted_at(struct sea_cuda_shadows *shadows, const void *mem)
{
    size_t i = (size_t)((uintptr_t)mem / 64 * 0x9e3779b97f4a7c15ull >> 40);

    while (shadows->wanted[i % WANTED] && shadows->wanted[i % WANTED] != mem)
        i++;
    return &shadows->wanted[i % WANTED];
}

static void
want(struct sea_cuda_shadows *shadows, const void *mem)
{
    const void **at = wanted_at(shadows, mem);

    if (*at || shadows->wanted_count > WANTED / 2)
        return;
    *at = mem;
    shadows->wanted_count++;
}

/* Memory for `need` numbers. Without any, and if it must be, what other slots have goes back first;
 * that waits, in a run whose memory is full, and is better than a step that ends. */
static uint16_t *
give_room(struct sea_cuda *cuda, size_t need, bool must)
{
    struct sea_cuda_shadows *shadows = cuda->shadows;
    cudaMemPool_t pool;
    void *mem = NULL;

    for (int attempt = 0; attempt < 2; attempt++) {
        if (cudaMallocAsync(&mem, need * sizeof(uint16_t), cuda->stream) == cudaSuccess)
            return (uint16_t *)mem;
        (void)cudaGetLastError();
        if (attempt || !must)
            break;
        for (int i = 0; i < SLOTS; i++) {
            struct slot *slot = &shadows->slots[i];

            if ((slot->from && slot->used == shadows->clock) || slot->captured)
                continue;
            slot->from = NULL;
            (void)leave_memory(cuda, slot);
        }
        if (cudaStreamSynchronize(cuda->stream) == cudaSuccess &&
            cudaDeviceGetDefaultMemPool(&pool, cuda->index) == cudaSuccess)
            (void)cudaMemPoolTrimTo(pool, 0);
        (void)cudaGetLastError();
    }
    return NULL;
}

/* How good a slot is for `need` numbers, more is better: free ones that are large enough, then
 * those that were never used, then the oldest; one that must grow only if there is no other. */
static int
merit(const struct slot *slot, size_t need)
{
    if (slot->room >= need)
        return slot->from ? 2 : 4;
    return slot->room ? 1 : 3;
}

/* A slot with room, nothing valid in it; NULL when there is no memory for it. The one
 * used last stays: it may be the product's other operand. */
static struct slot *
take(struct sea_cuda *cuda, size_t need, bool must)
{
    struct sea_cuda_shadows *shadows = cuda->shadows;
    struct slot *best = NULL;

    for (int i = 0; i < SLOTS; i++) {
        struct slot *slot = &shadows->slots[i];
        int more = best ? merit(slot, need) - merit(best, need) : 1;

        if (slot->from && slot->used == shadows->clock)
            continue;
        if (cuda->capturing && slot->room < need)
            continue;                   /* it cannot grow now, others may be large enough */
        if (more > 0 || (!more && slot->used < best->used))
            best = slot;
    }
    if (!best)
        return NULL;
    best->from = NULL;
    if (best->room >= need)
        return best;
    if (!leave_memory(cuda, best))
        return NULL;
    best->data = give_room(cuda, need, must);
    best->room = best->data ? need : 0;
    return best->data ? best : NULL;
}

static void
fill(struct sea_cuda *cuda, struct slot *slot, const float *x, int64_t rows, int64_t columns,
     int64_t ld)
{
    slot->from = (const char *)x;
    slot->end = slot->from + sea_cuda_extent(rows, columns, ld);
    slot->rows = rows;
    slot->columns = columns;
    slot->ld = ld;
    slot->used = ++cuda->shadows->clock;
    slot->captured |= cuda->capturing;
}

struct sea_shadow
sea_cuda_shadow(struct sea_cuda *cuda, const float *x, int64_t rows, int64_t columns)
{
    struct sea_shadow none = { NULL, 0 };
    struct slot *slot;

    if (*wanted_at(cuda->shadows, x) != x)
        return none;
    slot = take(cuda, (size_t)(rows * shadow_ld(columns)), false);
    if (!slot)
        return none;
    fill(cuda, slot, x, rows, columns, columns);
    return (struct sea_shadow){ slot->data, shadow_ld(columns) };
}

/* Four columns a thread, rows by blocks in y; whole: rows are aligned, columns come in fours. */
#define ROW_THREADS 256

static __global__ void
round_rows(const float *from, int64_t ld, uint16_t *to, int64_t ld_to, int64_t rows,
           int64_t columns, int whole)
{
    int64_t c = ((int64_t)blockIdx.x * ROW_THREADS + threadIdx.x) * 4;

    for (int64_t r = blockIdx.y; r < rows && c < columns; r += gridDim.y) {
        const float *x = from + r * ld + c;
        float4 v;

        if (whole)
            v = *(const float4 *)x;
        else
            v = make_float4(x[0], c + 1 < columns ? x[1] : 0.0f, c + 2 < columns ? x[2] : 0.0f,
                            c + 3 < columns ? x[3] : 0.0f);
        *(uint2 *)(to + r * ld_to + c) =
            make_uint2(sea_bf16_round(v.x) | (unsigned)sea_bf16_round(v.y) << 16,
                       sea_bf16_round(v.z) | (unsigned)sea_bf16_round(v.w) << 16);
    }
}

#ifdef SEA_CUDA_EMU
static __global__ void
compare_rows(const float *from, int64_t ld, const uint16_t *shadow, int64_t rows, int64_t columns)
{
    for (SEA_FLAT(i, rows * columns))
        if (shadow[i / columns * shadow_ld(columns) + i % columns] !=
            sea_bf16_round(from[i / columns * ld + i % columns])) {
            fprintf(stderr, "a shadow is not what its matrix holds: row %lld, column %lld\n",
                    (long long)(i / columns), (long long)(i % columns));
            abort();
        }
}
#endif

int
sea_cuda_round(struct sea_cuda *cuda, const float *x, int64_t rows, int64_t columns, int64_t ld,
               const uint16_t **out, int64_t *ld_out)
{
    struct sea_cuda_shadows *shadows = cuda->shadows;
    struct slot *slot = NULL;
    dim3 grid;
    int whole;

    *ld_out = shadow_ld(columns);
    for (int i = 0; i < SLOTS && !slot; i++) {
        struct slot *s = &shadows->slots[i];

        if (s->from == (const char *)x && s->rows >= rows && s->columns == columns && s->ld == ld)
            slot = s;
    }
    if (slot) {
        slot->used = ++shadows->clock;
#ifdef SEA_CUDA_EMU
        SEA_LAUNCH(cuda, compare_rows, sea_flat_blocks(rows * columns), 256, 0, x, ld,
                   (const uint16_t *)slot->data, rows, columns);
#endif
        *out = slot->data;
        return SEA_RC_OK;
    }
    want(shadows, x);
    slot = take(cuda, (size_t)(rows * shadow_ld(columns)), true);
    if (!slot)
        return SEA_RC_MEMORY;
    fill(cuda, slot, x, rows, columns, ld);
    *out = slot->data;
    grid = dim3((unsigned)sea_ceil_div(columns, 4 * ROW_THREADS),
                (unsigned)(rows < SEA_CUDA_GRID ? rows : SEA_CUDA_GRID));
    whole = (uintptr_t)x % 16 == 0 && ld % 4 == 0 && columns % 4 == 0;
    SEA_LAUNCH(cuda, round_rows, grid, ROW_THREADS, 0, x, ld, slot->data, *ld_out, rows, columns,
               whole);
    return sea_cuda_launched();
}

int
sea_cuda_round_operands(struct sea_cuda *cuda, const struct sea_op_gemm *a, const uint16_t **left,
                        int64_t *lda, const uint16_t **right, int64_t *ldb)
{
    int rc = sea_cuda_round(cuda, a->a, a->trans_a ? a->K : a->M, a->trans_a ? a->M : a->K,
                            a->lda, left, lda);

    if (a->b_type == SEA_STORE_BF16) {
        *right = (const uint16_t *)a->b;
        *ldb = a->ldb;
        return rc;
    }
    if (rc)
        return rc;
    return sea_cuda_round(cuda, (const float *)a->b, a->trans_b ? a->N : a->K,
                          a->trans_b ? a->K : a->N, a->ldb, right, ldb);
}
