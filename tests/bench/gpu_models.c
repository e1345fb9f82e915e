/* SPDX-License-Identifier: Apache-2.0 */
/* gpu_models.c - shapes of published models, weights without files, and what they cost */
#include <stdlib.h>
#include <string.h>

#include "engine/base/sea_rng.h"
#include "tests/bench/gpu.h"

static const struct gpu_model models[] = {
    { "tiny", SEA_LM_LLAMA, 128, 352, 3, 4, 2, 32, 512, true, 64 },
    { "0.5b", SEA_LM_QWEN2, 896, 4864, 24, 14, 2, 64, 151936, true, 1024 },
    { "2b", SEA_LM_GEMMA, 2048, 16384, 18, 8, 1, 256, 256000, true, 1024 },
    { "7b", SEA_LM_LLAMA, 4096, 11008, 32, 32, 32, 128, 32000, false, 1024 },
};

const struct gpu_model *
gpu_model_find(const char *name)
{
    for (size_t i = 0; i < sizeof(models) / sizeof(models[0]); i++)
        if (!strcmp(models[i].name, name))
            return &models[i];
    return NULL;
}

struct sea_lm_desc
gpu_model_desc(const struct gpu_model *model, int64_t layers)
{
    struct sea_lm_desc desc = sea_lm_defaults();

    desc.family = model->family;
    desc.vocab = model->vocab;
    desc.D = model->D;
    desc.F = model->F;
    desc.layers = layers && layers < model->layers ? layers : model->layers;
    desc.H = model->H;
    desc.K = model->K;
    desc.E = model->E;
    desc.tied = model->tied;
    desc.max_positions = 2048;
    return desc;
}

/* CLIP ViT-L/14-336, or a tower of 4 x 4 patches for the smallest model. */
struct sea_clip_desc
gpu_tower_desc(const struct gpu_model *model)
{
    struct sea_clip_desc desc = { .tower = SEA_TOWER_CLIP, .logit_scale = 2.66f };
    bool large = model->tower == 1024;

    desc.joint = large ? 768 : 64;
    desc.vision = (struct sea_clip_vision_desc){
        .D = model->tower, .layers = large ? 24 : 2, .heads = large ? 16 : 2,
        .F = 4 * model->tower, .image = large ? 336 : 56, .patch = 14, .channels = 3,
        .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f };
    return desc;
}

/* ---- weights ---- */

/* Repeats after a prime number of values: no two rows of a matrix are equal, and a model of
 * 7e9 weights is there in a second instead of minutes. Takes the place of sea_params_fill in
 * this program (the linker's --wrap). */
#define NOISE 4194301

enum sea_status
__wrap_sea_params_fill(struct sea_params *params, uint64_t seed, const char *part,
                       struct sea_err *err);

struct noise {
    float *one, *scaled;        // (NOISE) device: of deviation 1, and of the tensor's
};

static enum sea_status
make_noise(struct noise *noise, const struct sea_device *device, uint64_t seed, int64_t most,
           struct sea_err *err)
{
    int64_t count = most < NOISE ? most : NOISE;
    float *host = sea_xcalloc((size_t)count, sizeof(*host));
    struct sea_rng rng;
    enum sea_status status;
    void *mem = NULL;

    sea_rng_init(&rng, seed, 3);
    for (int64_t i = 0; i < count; i++)
        host[i] = (float)sea_rng_normal(&rng);
    status = sea_device_alloc(device, 2 * (size_t)(NOISE + 3) * sizeof(float), &mem, err);
    noise->one = mem;
    if (!status) {
        noise->scaled = noise->one + NOISE + 3;
        status = sea_device_put(device, noise->one, host, (size_t)count * sizeof(float), err);
    }
    free(host);
    return status;
}

static enum sea_status
fill_vector(struct sea_params *params, const struct sea_param *param, struct sea_err *err)
{
    float *host = sea_xcalloc((size_t)param->count, sizeof(*host));
    enum sea_status status;
    struct sea_rng rng;

    sea_rng_init(&rng, 7, (uint64_t)param->offset);
    for (int64_t i = 0; i < param->count; i++)
        host[i] = param->init == SEA_INIT_ONE ? 1.0f :
                  param->init == SEA_INIT_ZERO ? 0.0f :
                  param->scale * (float)sea_rng_normal(&rng);
    status = sea_params_put(params, param, 0, param->count, host, err);
    free(host);
    return status;
}

static enum sea_status
fill_matrix(struct sea_params *params, const struct sea_param *param,
            const struct noise *noise, struct sea_err *err)
{
    const struct sea_op_axpby scale = {
        .x = noise->one, .out = noise->scaled, .a = param->scale,
        .n = param->count < NOISE ? param->count : NOISE };
    enum sea_status status = sea_run(params->device, err, axpby, &scale);
    struct sea_op_cast cast = { .inp = noise->scaled };

    for (int64_t at = 0; at < param->count && !status; at += NOISE) {
        int64_t to = param->offset + at;

        cast.n = param->count - at < NOISE ? param->count - at : NOISE;
        cast.out = params->data ? (void *)(params->data + to) : (void *)(params->half + to);
        cast.out_type = params->data ? SEA_STORE_F32 : SEA_STORE_BF16;
        status = sea_run(params->device, err, cast, &cast);
    }
    return status;
}

enum sea_status
__wrap_sea_params_fill(struct sea_params *params, uint64_t seed, const char *part,
                       struct sea_err *err)
{
    const struct sea_device *device = params->device;
    struct noise noise = { 0 };
    enum sea_status status = make_noise(&noise, device, seed, params->floats, err);

    (void)part;
    for (int64_t t = 0; t < params->count && !status; t++) {
        const struct sea_param *param = &params->list[t];

        if (param->exact || param->init == SEA_INIT_ONE)
            status = fill_vector(params, param, err);
        else if (param->init != SEA_INIT_ZERO)
            status = fill_matrix(params, param, &noise, err);
    }
    if (!status && params->data && params->half)
        status = sea_params_cast(params, err);
    if (!status)
        status = sea_device_status(device, device->ops->wait(device->dev), "wait", err);
    if (noise.one)
        sea_device_free(device, noise.one);
    return status;
}

/* ---- data ---- */

/* Spread evenly over its range, in an order without pattern: captions of 12 to 54 words, all
 * supervised (33 on the mean); talks of 24 to 624 words (324), of which 8 in 13 are (200). */
struct gpu_sample
gpu_sample_at(enum gpu_data data, int64_t i)
{
    uint32_t u = (uint32_t)(i + 1) * 2654435761u;
    int64_t most = data == GPU_CAPTIONS ? 42 : 600;
    struct gpu_sample sample;

    sample.text = (data == GPU_CAPTIONS ? 12 : 24) + (int64_t)((uint64_t)u * (uint64_t)most >> 32);
    sample.supervised = data == GPU_CAPTIONS ? sample.text : sample.text * 8 / 13;
    return sample;
}

/* ---- FLOPs ---- */

double
gpu_lm_flops(const struct sea_lm_desc *desc, struct gpu_work work, double *attention)
{
    double D = (double)desc->D, HE = (double)(desc->H * desc->E);
    double keys = 2.0 * D * (double)(desc->K * desc->E), T = (double)work.rows;
    double rest = 2.0 * D * HE + 3.0 * D * (double)desc->F, L = (double)desc->layers;
    double n = (double)work.supervised;
    double products = 2.0 * ((L - 1.0) * (keys + rest) * T + keys * T + rest * n);

    /* The last block's supervised rows are taken to be the last ones. */
    *attention = 4.0 * HE * ((L - 1.0) * 0.5 * T * (T + 1.0) + n * (T - 0.5 * (n - 1.0)));
    return products + *attention;
}

double
gpu_head_flops(const struct sea_lm_desc *desc, int64_t rows)
{
    return 2.0 * (double)(desc->D * desc->vocab) * (double)rows;
}

double
gpu_tower_flops(const struct sea_clip_desc *desc, int64_t layers)
{
    const struct sea_clip_vision_desc *v = &desc->vision;
    double w = (double)v->D, m = (double)sea_clip_patch_count(desc), t = m + 1.0;
    double block = 2.0 * t * (4.0 * w * w + 2.0 * w * (double)v->F) + 4.0 * t * t * w;

    return (double)layers * block + 2.0 * m * w * (double)(v->channels * v->patch * v->patch);
}

double
gpu_adapter_flops(int64_t Dv, int64_t D, int64_t rows)
{
    return 2.0 * (double)rows * (double)(Dv * D + D * D);
}
