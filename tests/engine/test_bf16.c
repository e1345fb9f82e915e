/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Language models whose matrices are bfloat16: neither logits nor gradients are further from
 * float64 than 1.5 times what PyTorch's bfloat16 is (tests/oracle/bf16_torch.py), and training
 * moves float32 masters.
 */
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_lm.h"
#include "engine/sea_optim.h"
#include "engine/sea_safetensors.h"
#include "tests/sea_test.h"

#define FIXTURES "tests/oracle/fixtures"

static struct sea_device device;

static void
set_up(void)
{
    struct sea_err err = { 0 };

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
}

static double
distance(const float *got, const float *want, int64_t n)
{
    double off = 0, all = 0;

    for (int64_t i = 0; i < n; i++) {
        off += ((double)got[i] - (double)want[i]) * ((double)got[i] - (double)want[i]);
        all += (double)want[i] * (double)want[i];
    }
    return sqrt(off / all);
}

/* Logits of ids, (count, vocab); the caller frees. */
static float *
logits_of(const struct sea_lm *lm, const int32_t *ids, int32_t count)
{
    const int32_t start[2] = { 0, count };
    const struct sea_lm_batch batch = { .rows = count, .segments = 1, .start = start, .ids = ids };
    const struct sea_lm_limits limits = { .rows = count };
    float *out = calloc((size_t)count * (size_t)lm->desc.vocab, sizeof(*out));
    struct sea_lm_work *work;
    struct sea_err err = { 0 };

    CHECK_OK(sea_lm_work_create(&work, lm, &limits, &err), err);
    CHECK_OK(sea_lm_logits(lm, work, &batch, NULL, out, &err), err);
    sea_lm_work_destroy(work);
    return out;
}

/* Gradients of the fixture's labels, all tensors in one piece, against its own. */
static double
gradient_distance(struct sea_lm *lm, const struct sea_tensors *tensors)
{
    const struct sea_tensor *ids = sea_tensors_find(tensors, "ids");
    const struct sea_tensor *labels = sea_tensors_find(tensors, "labels");
    const int32_t start[2] = { 0, (int32_t)ids->count };
    const struct sea_lm_batch batch = {
        .rows = (int32_t)ids->count, .segments = 1, .start = start,
        .ids = (const int32_t *)(const void *)ids->data,
        .labels = (const int32_t *)(const void *)labels->data,
    };
    const struct sea_lm_limits limits = { .rows = batch.rows, .trained = true };
    float *got = calloc((size_t)lm->params.floats, sizeof(*got)), *want;
    struct sea_lm_work *work;
    struct sea_err err = { 0 };
    char name[256];
    double off;

    want = calloc((size_t)lm->params.floats, sizeof(*want));
    CHECK_OK(sea_lm_work_create(&work, lm, &limits, &err), err);
    CHECK_OK(sea_lm_forward(lm, work, &batch, NULL, 1.0f / (float)sea_lm_supervised(&batch),
                            true, &err), err);
    CHECK_OK(sea_lm_backward(lm, work, NULL, &err), err);
    for (int64_t t = 0; t < lm->params.count; t++) {
        const struct sea_param *param = &lm->params.list[t];
        const struct sea_tensor *tensor;

        snprintf(name, sizeof(name), "grad.%s", param->name);
        tensor = sea_tensors_find(tensors, name);
        CHECK_MSG(tensor != NULL, "%s is missing", name);
        CHECK_OK(sea_tensor_read_f32(tensor, 0, param->count, want + param->offset, &err), err);
        memcpy(got + param->offset, lm->params.grad + param->offset,
               (size_t)param->count * sizeof(*got));
    }
    off = distance(got, want, lm->params.floats);
    sea_lm_work_destroy(work);
    free(got);
    free(want);
    return off;
}

static void
check_model(const char *name, const struct sea_node *torch)
{
    double logits_error = sea_node_real(sea_node_get(torch, "logits"), 0), off;
    double gradients_error = sea_node_real(sea_node_get(torch, "gradients"), 0);
    const struct sea_tensor *ids, *want;
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct sea_lm *lm;
    float *got, *host;

    snprintf(path, sizeof(path), FIXTURES "/models/%s", name);
    device.store = SEA_STORE_BF16;
    CHECK_OK(sea_lm_load(&lm, &device, path, true, &err), err);
    device.store = SEA_STORE_F32;
    CHECK(lm && lm->params.half);
    snprintf(path, sizeof(path), FIXTURES "/models/%s/expected.safetensors", name);
    CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
    ids = sea_tensors_find(tensors, "ids");
    want = sea_tensors_find(tensors, "logits");
    host = calloc((size_t)want->count, sizeof(*host));
    CHECK_OK(sea_tensor_read_f32(want, 0, want->count, host, &err), err);
    got = logits_of(lm, (const int32_t *)(const void *)ids->data, (int32_t)ids->count);
    off = distance(got, host, want->count);
    printf("%-18s logits off by %.2e, PyTorch by %.2e (bound 1.5 of it)\n", name, off,
           logits_error);
    CHECK_MSG(off <= 1.5 * logits_error, "%s: error %.3g, PyTorch %.3g", name, off,
              logits_error);
    off = gradient_distance(lm, tensors);
    printf("%-18s gradients   %.2e, PyTorch by %.2e (bound 1.5 of it)\n", "", off,
           gradients_error);
    CHECK_MSG(off <= 1.5 * gradients_error, "%s: error of gradients %.3g, PyTorch %.3g", name,
              off, gradients_error);
    free(got);
    free(host);
    sea_tensors_close(tensors);
    sea_lm_destroy(lm);
}

static void
nothing_is_worse_than_in_torch(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_err err = { 0 };
    struct sea_node *root;
    int count = 0;

    set_up();
    CHECK_OK(sea_json_load(FIXTURES "/models_bf16.json", 1 << 16, arena, &root, &err), err);
    for (const struct sea_node *node = root->first; node; node = node->next, count++)
        check_model(node->key, node);
    CHECK(count >= 10);
    sea_arena_destroy(arena);
}

/* ---- weights that bfloat16 does not hold ---- */

#define ROWS 24
#define VOCAB 61

static struct sea_lm_desc
small(void)
{
    struct sea_lm_desc desc = sea_lm_defaults();

    desc.family = SEA_LM_QWEN2;
    desc.vocab = VOCAB;
    desc.D = 40;
    desc.F = 72;
    desc.layers = 3;
    desc.H = 4;
    desc.K = 2;
    desc.E = 10;
    desc.max_positions = 64;
    desc.init_scale = 0.2f;
    return desc;
}

static struct sea_lm *
make(enum sea_store store, bool trained)
{
    const struct sea_lm_desc desc = small();
    struct sea_err err = { 0 };
    struct sea_lm *lm;

    set_up();
    device.store = store;
    CHECK_OK(sea_lm_create(&lm, &device, &desc, 5, trained, &err), err);
    device.store = SEA_STORE_F32;
    return lm;
}

static void
fill_ids(int32_t ids[ROWS])
{
    for (int i = 0; i < ROWS; i++)
        ids[i] = (int32_t)(sea_rng_uniform_at(1, 1, (uint64_t)i) * VOCAB);
}

static void
rounded_weights_cost_what_rounding_costs(void)
{
    struct sea_lm *exact = make(SEA_STORE_F32, false), *half = make(SEA_STORE_BF16, false);
    int32_t ids[ROWS];
    float *want, *got;
    double off;

    fill_ids(ids);
    want = logits_of(exact, ids, ROWS);
    got = logits_of(half, ids, ROWS);
    off = distance(got, want, ROWS * VOCAB);
    /* A weight is off by 2^-9 at most, 2^-10.8 on average; the blocks of this model pass an
     * error on times 3 or so. What PyTorch does of such folders: bf16_torch.py. */
    printf("float32 weights in bfloat16: off by %.2e (bound 2^-6 = 1.6e-2)\n", off);
    CHECK(off > 1e-5 && off <= 0.015625);
    CHECK(sea_params_bytes(&half->params, SEA_STORE_BF16, false) <
          0.55 * (double)sea_params_bytes(&exact->params, SEA_STORE_F32, false));
    free(want);
    free(got);
    sea_lm_destroy(exact);
    sea_lm_destroy(half);
}

static void
run_step(struct sea_lm *lm, struct sea_lm_work *work, double *loss)
{
    const int32_t start[2] = { 0, ROWS };
    int32_t ids[ROWS];
    const struct sea_lm_batch batch = { .rows = ROWS, .segments = 1, .start = start, .ids = ids,
                                        .labels = ids };
    struct sea_err err = { 0 };

    fill_ids(ids);
    CHECK_OK(sea_lm_forward(lm, work, &batch, NULL, 1.0f / (ROWS - 1), true, &err), err);
    CHECK_OK(sea_lm_loss(work, loss, &err), err);
    CHECK_OK(sea_lm_backward(lm, work, NULL, &err), err);
}

/* Steps far below what bfloat16 can add to a weight must add up in the masters. */
static void
small_steps_are_not_lost(void)
{
    const struct sea_lm_limits limits = { .rows = ROWS, .trained = true };
    struct sea_lm *lm = make(SEA_STORE_BF16, true);
    struct sea_adamw_part part = { "language", &lm->params, 1e-4, 0 };
    struct sea_adamw_desc desc = sea_adamw_defaults(
        sea_schedule_make(SEA_SCHEDULE_CONSTANT, 100, 0));
    struct sea_adamw *adamw;
    struct sea_lm_work *work;
    struct sea_err err = { 0 };
    double first = 0, last = 0;
    int64_t wrong = 0;

    CHECK_OK(sea_lm_work_create(&work, lm, &limits, &err), err);
    CHECK_OK(sea_adamw_create(&adamw, &device, &desc, &part, 1, &err), err);
    for (int t = 0; t < 60; t++) {
        CHECK_OK(sea_adamw_zero(adamw, &err), err);
        run_step(lm, work, &last);
        first = t ? first : last;
        CHECK_OK(sea_adamw_step(adamw, NULL, &err), err);
    }
    for (int64_t i = 0; i < lm->params.floats; i++)
        wrong += lm->params.half[i] != sea_bf16_from_f32(lm->params.data[i]);
    printf("60 steps of 1e-4: loss %.4f to %.4f\n", first, last);
    CHECK(last < 0.9 * first);
    CHECK_INT(wrong, 0);
    sea_adamw_destroy(adamw);
    sea_lm_work_destroy(work);
    sea_lm_destroy(lm);
}

SEA_TEST_MAIN("language models in bfloat16 storage",
              TEST(nothing_is_worse_than_in_torch),
              TEST(rounded_weights_cost_what_rounding_costs),
              TEST(small_steps_are_not_lost))
