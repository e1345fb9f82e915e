/* SPDX-License-Identifier: Apache-2.0 */
/* move.c - operators that move rows: gather, scatter, gains, casts, positions, patches */
#include "kernels/cpu/cpu_int.h"

#include <string.h>

static int
is_store(enum sea_store type)
{
    return type == SEA_STORE_F32 || type == SEA_STORE_BF16;
}

int
sea_cpu_op_gather(void *dev, const struct sea_op_gather *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->inp || !a->idx || !a->out || a->ld_inp < a->C || a->ld_out < a->C ||
        !is_store(a->inp_type))
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->gather, a, a->R, sea_cpu_grain(a->C));
    return SEA_RC_OK;
}

int
sea_cpu_op_scatter(void *dev, const struct sea_op_scatter *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->inp || !a->idx || !a->out || (a->add && !a->order) || a->ld_inp < a->C ||
        a->ld_out < a->C)
        return SEA_RC_ARGUMENT;
    if (a->out_type)
        return SEA_RC_UNSUPPORTED;
    sea_cpu_pool_run(cpu->pool, cpu->isa->scatter, a, a->R, sea_cpu_grain(a->C));
    return SEA_RC_OK;
}

int
sea_cpu_op_rope(void *dev, const struct sea_op_rope *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->N < 0 || a->heads < 0 || a->E < 0 || a->rot < 0 || a->rot % 2 ||
        a->rot > a->E)
        return SEA_RC_ARGUMENT;
    if (!a->N || !a->heads || !a->rot)
        return SEA_RC_OK;
    if (!a->x || !a->cos_sin || !a->pos || a->ld < a->heads * a->E)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->rope, a, a->N, sea_cpu_grain(2 * a->heads * a->rot));
    return SEA_RC_OK;
}

/* Rows of patches; a copy of runs of P floats, so there is nothing to vectorise. */
static void
patchify(const void *args, int64_t begin, int64_t end, float *scratch)
{
    const struct sea_op_patchify *a = args;
    int64_t P = a->P, gh = a->height / P, gw = a->width / P;

    (void)scratch;
    for (int64_t r = begin; r < end; r++) {
        int64_t b = r / (gh * gw), py = r / gw % gh, px = r % gw;
        float *out = a->out + r * a->channels * P * P;

        for (int64_t c = 0; c < a->channels; c++) {
            const float *from = a->pixels + ((b * a->channels + c) * a->height + py * P) *
                                a->width + px * P;

            for (int64_t y = 0; y < P; y++, from += a->width, out += P)
                memcpy(out, from, (size_t)P * sizeof(float));
        }
    }
}

int
sea_cpu_op_patchify(void *dev, const struct sea_op_patchify *a)
{
    struct sea_cpu *cpu = dev;
    int64_t rows;

    if (!cpu || !a || a->B < 0 || a->channels < 0 || a->height < 0 || a->width < 0 || a->P <= 0)
        return SEA_RC_ARGUMENT;
    rows = a->B * (a->height / a->P) * (a->width / a->P);
    if (!rows || !a->channels)
        return SEA_RC_OK;
    if (!a->pixels || !a->out)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, patchify, a, rows, sea_cpu_grain(a->channels * a->P * a->P));
    return SEA_RC_OK;
}

int
sea_cpu_op_colscale(void *dev, const struct sea_op_colscale *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->gain || !a->out)
        return SEA_RC_ARGUMENT;
    sea_cpu_pool_run(cpu->pool, cpu->isa->colscale, a, a->R, sea_cpu_grain(a->C));
    return SEA_RC_OK;
}

int
sea_cpu_op_colscale_bwd(void *dev, const struct sea_op_colscale_bwd *a)
{
    struct sea_cpu *cpu = dev;
    struct sea_cpu_norm_bwd job = { .op = a };
    struct sea_cpu_fold fold;

    if (!cpu || !a || a->R < 0 || a->C < 0)
        return SEA_RC_ARGUMENT;
    if (!a->R || !a->C)
        return SEA_RC_OK;
    if (!a->x || !a->dout || !a->gain || !a->dx)
        return SEA_RC_ARGUMENT;
    if ((size_t)a->C > SEA_CPU_REDUCE)
        return SEA_RC_UNSUPPORTED;
    job.blocks = sea_cpu_blocks(a->R, a->C);
    job.part = cpu->reduce;
    sea_cpu_pool_run(cpu->pool, cpu->isa->colscale_bwd, &job, job.blocks.count, 1);
    fold = (struct sea_cpu_fold){ .part = job.part, .out = a->dgain, .blocks = job.blocks.count,
                                  .C = a->C, .accumulate = 1 };
    if (a->dgain)
        sea_cpu_pool_run(cpu->pool, cpu->isa->fold, &fold, a->C, sea_cpu_grain(fold.blocks));
    return SEA_RC_OK;
}

int
sea_cpu_op_cast(void *dev, const struct sea_op_cast *a)
{
    struct sea_cpu *cpu = dev;

    if (!cpu || !a || a->n < 0 || !is_store(a->inp_type) || !is_store(a->out_type))
        return SEA_RC_ARGUMENT;
    if (!a->n)
        return SEA_RC_OK;
    if (!a->inp || !a->out)
        return SEA_RC_ARGUMENT;
    if (a->inp_type == a->out_type)
        memcpy(a->out, a->inp, (size_t)a->n * (a->inp_type == SEA_STORE_BF16 ? 2 : 4));
    else
        sea_cpu_pool_run(cpu->pool, cpu->isa->cast, a, a->n, sea_cpu_grain(1));
    return SEA_RC_OK;
}
