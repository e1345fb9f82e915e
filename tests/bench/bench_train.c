/* SPDX-License-Identifier: Apache-2.0 */
/*
 * One training step: the counterpart of train_torch.py, with the same sizes, batch, losses
 * and optimiser. Prints one JSON line.
 *
 * usage: bench_train THREADS STEPS STAGE [SHAPE [PRECISION]]
 *   STAGE      tune (all trained), lora (rank 16), or align (adapter)
 *   SHAPE      demo: 16 samples of 36 image rows and 164 text tokens, the demo's models
 *              qwen: 2 samples of 576 rows of CLIP-L features and 124 text tokens,
 *              Qwen2.5-0.5B's sizes; qwen4: with 4 of its 24 blocks
 *   PRECISION  f32 or bf16: storage of matrices
 * The last fifth of the text is supervised.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_lora.h"
#include "engine/sea_mllm.h"
#include "engine/sea_optim.h"

struct shape {
    const char *name;
    enum sea_lm_family family;
    int samples, patches, tokens;
    int64_t Dv, D, F, layers, H, K, E, vocab;
};
static const struct shape shapes[] = {
    { "demo", SEA_LM_LLAMA, 16, 36, 164, 128, 128, 352, 3, 4, 4, 32, 768 },
    { "qwen", SEA_LM_QWEN2, 2, 576, 124, 1024, 896, 4864, 24, 14, 2, 64, 151936 },
    { "qwen4", SEA_LM_QWEN2, 2, 576, 124, 1024, 896, 4864, 4, 14, 2, 64, 151936 },
};

struct bench {
    const struct shape *shape;
    int rows;
    struct sea_device device;
    struct sea_mllm mllm;
    struct sea_lora *lora;
    struct sea_mllm_work *work;
    struct sea_adamw *adamw;
    struct sea_mllm_batch batch;
    int32_t *start, *ids, *labels;
    float *features;
};

static void
fill_batch(struct bench *bench)
{
    const struct shape *shape = bench->shape;
    int segment = shape->patches + shape->tokens, i, t;
    int64_t floats = (int64_t)shape->samples * shape->patches * shape->Dv, k;
    struct sea_rng rng;

    bench->rows = shape->samples * segment;
    bench->start = sea_xcalloc((size_t)shape->samples + 1, sizeof(int32_t));
    bench->ids = sea_xcalloc((size_t)bench->rows, sizeof(int32_t));
    bench->labels = sea_xcalloc((size_t)bench->rows, sizeof(int32_t));
    bench->features = sea_xcalloc((size_t)floats, sizeof(float));
    sea_rng_init(&rng, 1, 1);
    for (k = 0; k < floats; k++)
        bench->features[k] = (float)sea_rng_normal(&rng);
    for (i = 0; i < shape->samples; i++) {
        bench->start[i + 1] = (i + 1) * segment;
        for (t = 0; t < segment; t++) {
            int at = i * segment + t;

            bench->ids[at] = t < shape->patches ? SEA_LM_GIVEN
                                                : (int32_t)sea_rng_below(&rng,
                                                                         (uint32_t)shape->vocab);
            bench->labels[at] = t >= segment - shape->tokens / 5 ? bench->ids[at]
                                                                 : SEA_LM_IGNORE;
        }
    }
    bench->batch = (struct sea_mllm_batch){
        .text = { .rows = bench->rows, .segments = shape->samples, .start = bench->start,
                  .ids = bench->ids, .labels = bench->labels },
        .images = shape->samples, .features = bench->features };
}

static struct sea_lm_desc
language(const struct shape *shape)
{
    struct sea_lm_desc desc = sea_lm_defaults();

    desc.family = shape->family;
    desc.vocab = shape->vocab;
    desc.D = shape->D;
    desc.F = shape->F;
    desc.layers = shape->layers;
    desc.H = shape->H;
    desc.K = shape->K;
    desc.E = shape->E;
    desc.max_positions = 1024;
    return desc;
}

static enum sea_status
open_models(struct bench *bench, int threads, const char *stage, struct sea_err *err)
{
    const struct shape *shape = bench->shape;
    struct sea_lm_desc desc = language(shape);
    struct sea_lora_desc lora = { .rank = 16, .alpha = 32, .seed = 1 };
    enum sea_store store = bench->device.store;
    enum sea_status status;
    char name[32];

    snprintf(name, sizeof(name), "cpu:%d", threads);
    status = sea_device_open(&bench->device, name, err);
    bench->device.store = store;
    if (!status)
        status = sea_lm_create(&bench->mllm.lm, &bench->device, &desc, 1,
                               strcmp(stage, "tune") == 0, err);
    if (!status && strcmp(stage, "lora") == 0)
        status = sea_lora_create(&bench->lora, &bench->mllm.lm->stack, &lora, true, err);
    if (!status)
        status = sea_adapter_create(&bench->mllm.adapter, &bench->device,
                                    SEA_ADAPTER_MLP2X_GELU, shape->Dv, shape->D, 1, true, err);
    bench->mllm.patches = shape->patches;
    return status;
}

static enum sea_status
open_bench(struct bench *bench, int threads, const char *stage, struct sea_err *err)
{
    struct sea_mllm_limits limits = { .text = { .rows = bench->rows, .trained = true },
                                      .images = bench->shape->samples };
    struct sea_adamw_desc optim = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 1000, 0));
    struct sea_adamw_part parts[2] = { 0 };
    int64_t count = 1;
    enum sea_status status = open_models(bench, threads, stage, err);

    if (!status)
        status = sea_mllm_work_create(&bench->work, &bench->mllm, &limits, err);
    if (status)
        return status;
    parts[0] = (struct sea_adamw_part){ "adapter", &bench->mllm.adapter->params, 1e-3, 0 };
    if (bench->lora)
        parts[count++] = (struct sea_adamw_part){ "lora", &bench->lora->params, 1e-3, 0 };
    else if (bench->mllm.lm->params.grad)
        parts[count++] = (struct sea_adamw_part){ "language", &bench->mllm.lm->params, 1e-3, 0 };
    return sea_adamw_create(&bench->adamw, &bench->device, &optim, parts, count, err);
}

static void
close_bench(struct bench *bench)
{
    sea_adamw_destroy(bench->adamw);
    sea_mllm_work_destroy(bench->work);
    sea_adapter_destroy(bench->mllm.adapter);
    sea_lora_destroy(bench->lora);
    sea_lm_destroy(bench->mllm.lm);
    sea_device_close(&bench->device);
    free(bench->start);
    free(bench->ids);
    free(bench->labels);
    free(bench->features);
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

static const struct shape *
find_shape(const char *name)
{
    for (size_t i = 0; i < sizeof(shapes) / sizeof(shapes[0]); i++)
        if (strcmp(shapes[i].name, name) == 0)
            return &shapes[i];
    return NULL;
}

int
main(int argc, char **argv)
{
    int threads = argc > 1 ? (int)strtol(argv[1], NULL, 10) : 1;
    int steps = argc > 2 ? (int)strtol(argv[2], NULL, 10) : 20, i;
    const char *stage = argc > 3 ? argv[3] : "tune", *precision = argc > 5 ? argv[5] : "f32";
    struct bench *bench = sea_xcalloc(1, sizeof(*bench));
    double *times = sea_xcalloc((size_t)(steps > 0 ? steps : 1), sizeof(*times));
    struct sea_err err = { 0 };
    double loss = 0, first = 0, cpu = 0;
    enum sea_status status;

    bench->shape = find_shape(argc > 4 ? argv[4] : "demo");
    if (!bench->shape) {
        fprintf(stderr, "bench_train: shape \"%s\" is not known: demo, qwen, qwen4\n", argv[4]);
        return 64;
    }
    bench->device.store = strcmp(precision, "bf16") == 0 ? SEA_STORE_BF16 : SEA_STORE_F32;
    fill_batch(bench);
    status = open_bench(bench, threads, stage, &err);
    if (!status)
        status = step(bench, &first, &err);     /* the first step is not counted */
    cpu = (double)clock() / CLOCKS_PER_SEC;
    for (i = 0; i < steps && !status; i++) {
        double start = sea_clock_seconds();

        status = step(bench, &loss, &err);
        times[i] = sea_clock_seconds() - start;
    }
    cpu = ((double)clock() / CLOCKS_PER_SEC - cpu) / (steps > 0 ? steps : 1);
    if (!status && steps > 0) {
        qsort(times, (size_t)steps, sizeof(*times), by_value);
        printf("{\"what\":\"sea\",\"stage\":\"%s\",\"shape\":\"%s\",\"precision\":\"%s\","
               "\"threads\":%d,\"tokens_per_s\":%.1f,\"cpu_s_per_step\":%.3f,"
               "\"loss_first\":%.4f,\"loss_last\":%.4f}\n", stage, bench->shape->name,
               precision, threads, bench->rows / times[steps / 2], cpu, first, loss);
    }
    if (status)
        sea_err_print(&err, "bench_train", stderr);
    close_bench(bench);
    free(times);
    free(bench);
    return sea_status_exit(status);
}
