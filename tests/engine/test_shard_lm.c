/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Language models on several ranks: for a tied head, one of its own, biases everywhere, low-
 * rank adapters and bfloat16 storage, layers that pass from rank to rank while the backward
 * runs give the bits of one rank; also when a turn has nothing to learn.
 */
#include <stdlib.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_lm.h"
#include "engine/sea_lora.h"
#include "engine/sea_shard.h"
#include "tests/engine/ranks.h"

#define ROWS 430                /* more than a product sums in one chain */
#define TURNS 4
#define STEPS 3
#define VOCAB 56

struct kind {
    const char *name;
    enum sea_lm_family family;
    bool tied, lora, recompute;
    enum sea_store store;
};
static const struct kind kinds[] = {
    { "llama, tied", SEA_LM_LLAMA, true, false, false, SEA_STORE_F32 },
    { "llama, a head of its own", SEA_LM_LLAMA, false, false, false, SEA_STORE_F32 },
    { "qwen3, recomputed", SEA_LM_QWEN3, false, false, true, SEA_STORE_F32 },
    { "gemma2", SEA_LM_GEMMA2, true, false, false, SEA_STORE_F32 },
    { "phi, biases", SEA_LM_PHI, false, false, false, SEA_STORE_F32 },
    { "llama, adapters", SEA_LM_LLAMA, true, true, false, SEA_STORE_F32 },
    { "llama, bfloat16", SEA_LM_LLAMA, false, false, false, SEA_STORE_BF16 },
};

struct plan {
    const struct kind *kind;
    float *weights[RANKS_MOST]; /* shared */
    int64_t floats;             /* shared through weights: the same for all */
    double *norms;              // (RANKS_MOST, STEPS), shared
};
#define FLOATS_MOST 200000

struct model {
    struct sea_device device;
    struct sea_lm *lm;
    struct sea_lora *lora;
    struct sea_lm_work *work;
    struct sea_adamw *adamw;
    struct sea_params *params;  /* what is trained */
};

static struct sea_lm_desc
desc_of(const struct kind *kind)
{
    struct sea_lm_desc desc = sea_lm_defaults();

    desc.family = kind->family;
    desc.tied = kind->tied;
    desc.vocab = VOCAB;
    desc.D = 32;
    desc.F = 48;
    desc.layers = 4;
    desc.H = 4;
    desc.K = kind->family == SEA_LM_PHI ? 4 : 2;
    desc.E = 8;
    desc.init_scale = 0.2f;
    if (kind->family == SEA_LM_GEMMA2) {
        desc.score_cap = 50;
        desc.final_cap = 30;
        desc.query_scalar = 8;
    }
    return desc;
}

static enum sea_status
model_open(struct model *model, const struct kind *kind, struct sea_comm *comm,
           struct sea_err *err)
{
    const struct sea_lm_desc desc = desc_of(kind);
    const struct sea_lora_desc low = { .rank = 3, .alpha = 6, .seed = 4 };
    const struct sea_lm_limits limits = { .rows = ROWS, .trained = true,
                                          .recompute = kind->recompute };
    struct sea_adamw_desc adamw = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, STEPS, 0));
    struct sea_adamw_part part = { "language", NULL, 1e-2, 0.01 };

    memset(model, 0, sizeof(*model));
    adamw.comm = comm;
    if (sea_device_open(&model->device, "cpu:1", err))
        return err->status;
    model->device.store = kind->store;
    if (sea_lm_create(&model->lm, &model->device, &desc, 9, !kind->lora, err) ||
        (kind->lora && sea_lora_create(&model->lora, &model->lm->stack, &low, true, err)) ||
        sea_lm_work_create(&model->work, model->lm, &limits, err))
        return err->status;
    part.params = model->params = model->lora ? &model->lora->params : &model->lm->params;
    if (sea_adamw_create(&model->adamw, &model->device, &adamw, &part, 1, err))
        return err->status;
    sea_shard_defer(model->adamw, part.params);
    return SEA_OK;
}

static void
model_close(struct model *model)
{
    sea_adamw_destroy(model->adamw);
    sea_lm_work_destroy(model->work);
    sea_lora_destroy(model->lora);
    sea_lm_destroy(model->lm);
    sea_device_close(&model->device);
}

/* The rows of a turn; turn 2 of step 1 has nothing to learn. */
static enum sea_status
run_turn(struct model *model, int64_t step, int64_t turn, struct sea_err *err)
{
    static const int32_t start[4] = { 0, 17, 300, ROWS };
    int32_t ids[ROWS], labels[ROWS];
    const struct sea_lm_batch batch = { .rows = ROWS, .segments = 3, .start = start, .ids = ids,
                                        .labels = labels };
    enum sea_status status;

    for (int i = 0; i < ROWS; i++) {
        double u = sea_rng_uniform_at(6, (uint64_t)(step * TURNS + turn), (uint64_t)i);

        ids[i] = (int32_t)(u * VOCAB);
        labels[i] = (step == 1 && turn == 2) || i % 5 == 0 ? SEA_LM_IGNORE : ids[i];
    }
    status = sea_lm_forward(model->lm, model->work, &batch, NULL, 1e-3f, true, err);
    return status ? status : sea_lm_backward(model->lm, model->work, NULL, err);
}

static void
train(struct ranks *ranks, struct sea_comm *comm, struct rank_result *result)
{
    const struct plan *plan = ranks->shared;
    int rank = sea_comm_rank(comm);
    struct model model;
    enum sea_status status = model_open(&model, plan->kind, comm, &result->err);

    for (int64_t t = 0; t < STEPS && !status; t++) {
        status = sea_shard_start(model.adamw, TURNS, &result->err);
        for (int64_t p = 0; p < TURNS && !status; p++) {
            if (!sea_shard_has(model.adamw, p))
                continue;
            status = sea_shard_begin(model.adamw, p, &result->err);
            if (!status)
                status = run_turn(&model, t, p, &result->err);
            if (!status)
                status = sea_shard_end(model.adamw, &result->err);
        }
        if (!status)
            status = sea_adamw_step(model.adamw, &plan->norms[rank * STEPS + t], &result->err);
    }
    if (!status) {
        result->wrong += model.params->floats + 1 > FLOATS_MOST;
        plan->weights[rank][0] = (float)model.params->floats;
        memcpy(plan->weights[rank] + 1, model.params->data,
               (size_t)model.params->floats * sizeof(float));
    }
    model_close(&model);
}

static void
layers_pass_between_ranks_with_the_bits_of_one(void)
{
    size_t bytes = FLOATS_MOST * sizeof(float);
    struct plan plan = { .norms = shared_memory(RANKS_MOST * STEPS * sizeof(double)) };
    float *one = shared_memory(bytes);
    double norms[STEPS];

    for (int r = 0; r < RANKS_MOST; r++)
        plan.weights[r] = shared_memory(bytes);
    for (size_t k = 0; k < sizeof(kinds) / sizeof(kinds[0]); k++) {
        plan.kind = &kinds[k];
        for (int size = 1; size <= 4; size++) {
            struct ranks ranks = { .size = size, .shared = &plan, .timeout_ms = 30000 };

            run_ranks(&ranks, train, 0);
            check_ranks(&ranks, kinds[k].name);
            if (size == 1) {
                memcpy(one, plan.weights[0], bytes);
                memcpy(norms, plan.norms, sizeof(norms));
                CHECK(one[0] > 1000 && norms[0] > 0);
            }
            for (int r = 0; r < size; r++) {
                CHECK_MSG(memcmp(one, plan.weights[r], bytes) == 0,
                          "%s: rank %d of %d has other weights than one", kinds[k].name, r, size);
                CHECK_MSG(memcmp(norms, plan.norms + r * STEPS, sizeof(norms)) == 0,
                          "%s: rank %d of %d has norm %.17g, one has %.17g", kinds[k].name, r,
                          size, plan.norms[r * STEPS], norms[0]);
            }
            munmap(ranks.result, RANKS_MOST * sizeof(*ranks.result));
        }
    }
    for (int r = 0; r < RANKS_MOST; r++)
        munmap(plan.weights[r], bytes);
    munmap(one, bytes);
}

SEA_TEST_MAIN("language models on several ranks",
              TEST(layers_pass_between_ranks_with_the_bits_of_one))
