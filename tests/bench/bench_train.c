/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One training step of the demo's models: the counterpart of train_torch.py.
 *
 * The same sizes, batch, losses and optimiser: 16 samples of 36 image rows and 164 text
 * tokens, the last fifth supervised. Prints one JSON line.
 *
 * usage: bench_train THREADS STEPS STAGE       STAGE: tune (all trained) or align (adapter)
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_mllm.h"
#include "engine/sea_optim.h"

enum { SAMPLES = 16, PATCHES = 36, TOKENS = 164, WIDTH = 128, VOCAB = 768 };
enum { SEGMENT = PATCHES + TOKENS, ROWS = SAMPLES * SEGMENT };

struct bench {
    struct sea_device device;
    struct sea_mllm mllm;
    struct sea_mllm_work *work;
    struct sea_adamw *adamw;
    struct sea_mllm_batch batch;
    int32_t start[SAMPLES + 1], ids[ROWS], labels[ROWS];
    float features[SAMPLES * PATCHES * WIDTH];
};

static void
fill_batch(struct bench *bench)
{
    struct sea_rng rng;
    int i, t;

    sea_rng_init(&rng, 1, 1);
    for (i = 0; i < SAMPLES * PATCHES * WIDTH; i++)
        bench->features[i] = (float)sea_rng_normal(&rng);
    for (i = 0; i < SAMPLES; i++) {
        bench->start[i + 1] = (i + 1) * SEGMENT;
        for (t = 0; t < SEGMENT; t++) {
            int at = i * SEGMENT + t;

            bench->ids[at] = t < PATCHES ? SEA_LM_GIVEN : (int32_t)sea_rng_below(&rng, VOCAB);
            bench->labels[at] = t >= SEGMENT - TOKENS / 5 ? bench->ids[at] : SEA_LM_IGNORE;
        }
    }
    bench->batch = (struct sea_mllm_batch){
        .text = { .rows = ROWS, .segments = SAMPLES, .start = bench->start, .ids = bench->ids,
                  .labels = bench->labels },
        .images = SAMPLES, .features = bench->features };
}

static enum sea_status
open_bench(struct bench *bench, int threads, bool tune, struct sea_err *err)
{
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_mllm_limits limits = { .text = { .rows = ROWS, .trained = true },
                                      .images = SAMPLES };
    struct sea_adamw_desc optim = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 1000, 0));
    struct sea_adamw_part parts[2] = { 0 };
    enum sea_status status;
    char name[32];

    desc.vocab = VOCAB;
    desc.D = WIDTH;
    desc.F = 352;
    desc.layers = 3;
    desc.H = desc.K = 4;
    desc.E = 32;
    desc.max_positions = 1024;
    snprintf(name, sizeof(name), "cpu:%d", threads);
    status = sea_device_open(&bench->device, name, err);
    if (!status)
        status = sea_lm_create(&bench->mllm.lm, &bench->device, &desc, 1, tune, err);
    if (!status)
        status = sea_adapter_create(&bench->mllm.adapter, &bench->device,
                                    SEA_ADAPTER_MLP2X_GELU, WIDTH, WIDTH, 1, true, err);
    bench->mllm.patches = PATCHES;
    if (!status)
        status = sea_mllm_work_create(&bench->work, &bench->mllm, &limits, err);
    if (status)
        return status;
    parts[0] = (struct sea_adamw_part){ "adapter", &bench->mllm.adapter->params, 1e-3, 0 };
    parts[1] = (struct sea_adamw_part){ "language", &bench->mllm.lm->params, 1e-3, 0 };
    return sea_adamw_create(&bench->adamw, &bench->device, &optim, parts, tune ? 2 : 1, err);
}

static void
close_bench(struct bench *bench)
{
    sea_adamw_destroy(bench->adamw);
    sea_mllm_work_destroy(bench->work);
    sea_adapter_destroy(bench->mllm.adapter);
    sea_lm_destroy(bench->mllm.lm);
    sea_device_close(&bench->device);
}

static enum sea_status
step(struct bench *bench, double *loss, struct sea_err *err)
{
    float weight = 1.0f / (float)sea_lm_supervised(&bench->batch.text);
    enum sea_status status;

    status = sea_adamw_zero(bench->adamw, err);
    if (!status)
        status = sea_mllm_forward(&bench->mllm, bench->work, &bench->batch, weight, true, err);
    if (!status)
        status = sea_mllm_backward(&bench->mllm, bench->work, err);
    if (!status)
        status = sea_mllm_backward_adapter(&bench->mllm, bench->work, NULL, err);
    if (!status)
        status = sea_adamw_step(bench->adamw, NULL, err);
    if (!status)
        status = sea_mllm_loss(bench->work, loss, err);
    *loss *= weight;
    return status;
}

static int
by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;

    return (x > y) - (x < y);
}

int
main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    int steps = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20;
    const char *stage = argc > 3 ? argv[3] : "tune";
    struct bench *bench = sea_xcalloc(1, sizeof(*bench));
    double *times = sea_xcalloc((size_t)(steps > 0 ? steps : 1), sizeof(*times));
    struct sea_err err = { 0 };
    enum sea_status status;
    double loss = 0, first = 0;
    int i;

    fill_batch(bench);
    status = open_bench(bench, threads, strcmp(stage, "tune") == 0, &err);
    if (!status)
        status = step(bench, &first, &err);     /* the first step is not counted */
    for (i = 0; i < steps && !status; i++) {
        double start = sea_clock_seconds();

        status = step(bench, &loss, &err);
        times[i] = sea_clock_seconds() - start;
    }
    if (!status && steps > 0) {
        qsort(times, (size_t)steps, sizeof(*times), by_value);
        printf("{\"what\":\"sea\",\"stage\":\"%s\",\"threads\":%d,\"tokens_per_s\":%.1f,"
               "\"loss_first\":%.4f,\"loss_last\":%.4f}\n",
               stage, threads, ROWS / times[steps / 2], first, loss);
    }
    if (status)
        sea_err_print(&err, "bench_train", stderr);
    close_bench(bench);
    free(times);
    free(bench);
    return sea_status_exit(status);
}
