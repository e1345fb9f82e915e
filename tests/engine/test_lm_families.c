/* SPDX-License-Identifier: Apache-2.0 */
/* Every family of language models against transformers in float64: logits, loss, every
 * gradient, 20 steps of AdamW, 64 greedy words; and that each tensor and each option counts.
 * The models and values are made by tests/oracle/lm_fixtures.py. */
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "engine/lm_int.h"
#include "engine/sea_generate.h"
#include "engine/sea_optim.h"
#include "engine/sea_safetensors.h"
#include "tests/sea_test.h"

#define FOLDER "tests/oracle/fixtures/models"
#define STEPS 20                /* these five as in lm_families.py and lm_fixtures.py */
#define RATE 1e-3
#define DECAY 0.01
#define PROMPT 9
#define WORDS 64
#define LOGITS_BOUND 1e-5
#define BOUND 1e-4

static struct sea_device device;

struct family {
    const char *name;
    char dir[SEA_PATH_MAX];
    struct sea_tensors *want;
    struct sea_lm *lm;
    struct sea_lm_work *work;
    int32_t *ids, *labels, start[2];
    struct sea_lm_batch batch;
};

static float *
wanted(const struct family *family, const char *kind, const char *name, int64_t *count)
{
    struct sea_err err = { 0 };
    const struct sea_tensor *tensor;
    char full[256];
    float *host;

    snprintf(full, sizeof(full), "%s%s", kind, name);
    tensor = sea_tensors_find(family->want, full);
    CHECK_MSG(tensor, "%s: the fixture has no \"%s\"", family->name, full);
    if (!tensor) {
        *count = 0;
        return NULL;
    }
    host = calloc((size_t)tensor->count, sizeof(*host));
    CHECK_OK(sea_tensor_read_f32(tensor, 0, tensor->count, host, &err), err);
    *count = tensor->count;
    return host;
}

static int32_t *
wanted_ints(const struct family *family, const char *name, int64_t *count)
{
    const struct sea_tensor *tensor = sea_tensors_find(family->want, name);
    struct sea_err err = { 0 };
    int64_t *wide;
    int32_t *ints;

    *count = tensor ? tensor->count : 0;
    CHECK(tensor);
    wide = calloc((size_t)*count + 1, sizeof(*wide));
    ints = calloc((size_t)*count + 1, sizeof(*ints));
    if (tensor)
        CHECK_OK(sea_tensor_read_i64(tensor, 0, *count, wide, &err), err);
    for (int64_t i = 0; i < *count; i++)
        ints[i] = (int32_t)wide[i];
    free(wide);
    return ints;
}

/* Norm of the difference, relative to the norm of what is wanted. */
static double
error_of(const float *got, const float *want, int64_t count)
{
    double off = 0.0, norm = 0.0;

    for (int64_t i = 0; i < count; i++) {
        double d = (double)got[i] - (double)want[i];

        off += d * d;
        norm += (double)want[i] * (double)want[i];
    }
    return sqrt(off / norm);
}

static bool
family_open(struct family *family, const char *name)
{
    const struct sea_lm_limits limits = { .rows = 64, .trained = true };
    char path[SEA_PATH_MAX + 32];
    struct sea_err err = { 0 };
    int64_t rows;

    memset(family, 0, sizeof(*family));
    family->name = name;
    snprintf(family->dir, sizeof(family->dir), "%s/" FOLDER "/%s", sea_test_root(), name);
    snprintf(path, sizeof(path), "%s/expected.safetensors", family->dir);
    if (!device.ops)
        CHECK_OK(sea_device_open(&device, sea_test_device(), &err), err);
    CHECK_OK(sea_tensors_open(&family->want, path, &err), err);
    CHECK_OK(sea_lm_load(&family->lm, &device, family->dir, true, &err), err);
    if (!family->want || !family->lm)
        return false;
    CHECK_OK(sea_lm_work_create(&family->work, family->lm, &limits, &err), err);
    family->ids = wanted_ints(family, "ids", &rows);
    family->labels = wanted_ints(family, "labels", &rows);
    family->start[1] = (int32_t)rows;
    family->batch = (struct sea_lm_batch){ rows, 1, family->start, family->ids,
                                           family->labels };
    return true;
}

static void
family_close(struct family *family)
{
    sea_lm_work_destroy(family->work);
    sea_lm_destroy(family->lm);
    sea_tensors_close(family->want);
    free(family->ids);
    free(family->labels);
}

/* The error of a model's logits on the fixture's ids. */
static double
logits_error(const struct family *family, const struct sea_lm *lm, struct sea_lm_work *work)
{
    int64_t count;
    float *want = wanted(family, "logits", "", &count), *got;
    struct sea_err err = { 0 };
    double error;

    got = calloc((size_t)count + 1, sizeof(*got));
    CHECK_INT(count, family->batch.rows * lm->desc.vocab);
    CHECK_OK(sea_lm_logits(lm, work, &family->batch, NULL, got, &err), err);
    error = error_of(got, want, count);
    free(want);
    free(got);
    return error;
}

/* Loss and gradients into params.grad; the loss. */
static double
backward(const struct family *family)
{
    int64_t supervised = sea_lm_supervised(&family->batch);
    struct sea_err err = { 0 };
    double loss;

    CHECK_OK(sea_lm_forward(family->lm, family->work, &family->batch, NULL,
                            1.0f / (float)supervised, true, &err), err);
    CHECK_OK(sea_lm_loss(family->work, &loss, &err), err);
    CHECK_OK(sea_lm_backward(family->lm, family->work, NULL, &err), err);
    return loss / (double)supervised;
}

/* What lies on the device, on the host: all numbers of params.data or params.grad. */
static float *
fetched(const struct family *family, const float *from)
{
    size_t bytes = (size_t)family->lm->params.floats * sizeof(float);
    float *host = malloc(bytes);
    struct sea_err err = { 0 };

    CHECK_OK(sea_device_get(&device, host, from, bytes, &err), err);
    return host;
}

/* The worst error over all tensors of from (params.data or params.grad). */
static double
tensors_error(const struct family *family, const char *kind, const float *from,
              const char **worst_name)
{
    const struct sea_params *params = &family->lm->params;
    double worst = 0.0, error;
    float *want, *data = fetched(family, from);
    int64_t count;

    *worst_name = "none";
    for (int64_t t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];

        want = wanted(family, kind, param->name, &count);
        CHECK_INT(count, param->count);
        error = error_of(data + param->offset, want, count);
        CHECK_MSG(error <= BOUND, "%s: %s%s is off by %.3g, bound %.3g", family->name, kind,
                  param->name, error, BOUND);
        if (error > worst) {
            worst = error;
            *worst_name = param->name;
        }
        free(want);
    }
    free(data);
    return worst;
}

/* A backward that computes the blocks again gives the same bits. */
static void
check_recompute(const struct family *family)
{
    const struct sea_lm_limits limits = { .rows = 64, .trained = true, .recompute = true };
    size_t bytes = (size_t)family->lm->params.floats * sizeof(float);
    struct family again = *family;
    float *first = fetched(family, family->lm->params.grad), *second;
    struct sea_err err = { 0 };

    CHECK_OK(sea_params_zero_grad(&family->lm->params, &err), err);
    CHECK_OK(sea_lm_work_create(&again.work, family->lm, &limits, &err), err);
    backward(&again);
    second = fetched(family, family->lm->params.grad);
    CHECK_MSG(!memcmp(first, second, bytes), "%s: recomputed blocks give other gradients",
              family->name);
    sea_lm_work_destroy(again.work);
    free(second);
    free(first);
}

static double
train(const struct family *family, const char **worst_name)
{
    struct sea_adamw_desc desc = sea_adamw_defaults((struct sea_schedule){
        .kind = SEA_SCHEDULE_CONSTANT, .steps = STEPS });
    const struct sea_adamw_part part = { "lm", &family->lm->params, RATE, DECAY };
    struct sea_adamw *adamw;
    struct sea_err err = { 0 };

    desc.clip_norm = 0.0;
    CHECK_OK(sea_adamw_create(&adamw, &device, &desc, &part, 1, &err), err);
    for (int i = 0; i < STEPS; i++) {
        CHECK_OK(sea_adamw_zero(adamw, &err), err);
        backward(family);
        CHECK_OK(sea_adamw_step(adamw, NULL, &err), err);
    }
    sea_adamw_destroy(adamw);
    return tensors_error(family, "trained.", family->lm->params.data, worst_name);
}

/* Greedy words, alone and among others; how many differ from what is wanted. */
static int
words_off(const struct family *family)
{
    const struct sea_mllm mllm = { .lm = family->lm };
    const struct sea_generate_desc desc = { .slots = 3, .room = PROMPT + WORDS, .share = true };
    const struct sea_sampling greedy = { .max_new = WORDS, .eos = family->ids };
    const struct sea_prompt prompts[3] = {
        { family->ids, PROMPT, -1, 0 }, { family->ids + 2, 5, -1, 1 },
        { family->ids, PROMPT, -1, 2 },
    };
    static int32_t words[3][WORDS];
    struct sea_answer answers[3] = { { .ids = words[0] }, { .ids = words[1] },
                                     { .ids = words[2] } };
    struct sea_generator *generator;
    struct sea_err err = { 0 };
    int64_t count;
    int32_t *want = wanted_ints(family, "words", &count);
    int off = 0;

    CHECK_INT(count, WORDS);
    CHECK_OK(sea_generator_create(&generator, &mllm, &desc, &err), err);
    CHECK_OK(sea_generate(generator, prompts, 3, NULL, 0, &greedy, answers, &err), err);
    CHECK_INT(answers[0].count, WORDS);
    CHECK(!memcmp(words[0], words[2], sizeof(words[0])));
    for (int i = 0; i < WORDS; i++)
        off += words[0][i] != want[i];
    sea_generator_destroy(generator);
    free(want);
    return off;
}

/* A wrong value in any one tensor fails the comparison of logits. */
static double
least_change(struct family *family)
{
    struct sea_params *params = &family->lm->params;
    double least = 1e30, error;
    struct sea_err err = { 0 };
    float *data, *old;

    for (int64_t t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];
        size_t bytes = (size_t)param->count * sizeof(*old);

        data = malloc(bytes);
        old = malloc(bytes);
        CHECK_OK(sea_params_get(params, param, 0, param->count, old, &err), err);
        for (int64_t i = 0; i < param->count; i++)
            data[i] = old[i] + 0.02f * (float)sea_rng_normal_at(1, (uint64_t)t, (uint64_t)i);
        CHECK_OK(sea_params_put(params, param, 0, param->count, data, &err), err);
        error = logits_error(family, family->lm, family->work);
        CHECK_MSG(error > 10 * LOGITS_BOUND, "%s: \"%s\" moves the logits by %.3g only",
                  family->name, param->name, error);
        least = fmin(least, error);
        CHECK_OK(sea_params_put(params, param, 0, param->count, old, &err), err);
        free(data);
        free(old);
    }
    return least;
}

/* A folder that we write gives the same model. */
static void
check_folder(const struct family *family)
{
    const struct sea_lm_limits limits = { .rows = 64 };
    char dir[SEA_PATH_MAX];
    struct sea_lm_work *work;
    struct sea_err err = { 0 };
    struct sea_lm *back;

    CHECK_OK(sea_path_join(dir, sea_test_dir(), family->name, &err), err);
    CHECK_OK(sea_lm_save(family->lm, dir, &err), err);
    CHECK_OK(sea_lm_load(&back, &device, dir, false, &err), err);
    if (!back)
        return;
    CHECK(!memcmp(&back->stack.desc, &family->lm->stack.desc, sizeof(back->stack.desc)));
    CHECK(!memcmp(&back->desc, &family->lm->desc, sizeof(back->desc)));
    CHECK_OK(sea_lm_work_create(&work, back, &limits, &err), err);
    CHECK_MSG(logits_error(family, back, work) <= LOGITS_BOUND,
              "%s: the saved folder is another model", family->name);
    sea_lm_work_destroy(work);
    sea_lm_destroy(back);
}

static void
check_family(const char *name)
{
    struct family family;
    double logits, loss, want_loss, gradients, trained, least;
    const char *worst_gradient, *worst_trained;
    struct sea_err err = { 0 };
    float *want;
    int64_t count;
    int words;

    if (!family_open(&family, name))
        return;
    logits = logits_error(&family, family.lm, family.work);
    CHECK_OK(sea_params_zero_grad(&family.lm->params, &err), err);
    loss = backward(&family);
    want = wanted(&family, "loss", "", &count);
    want_loss = want ? (double)want[0] : 0.0;
    free(want);
    gradients = tensors_error(&family, "grad.", family.lm->params.grad, &worst_gradient);
    check_recompute(&family);
    words = words_off(&family);
    least = least_change(&family);
    check_folder(&family);
    trained = train(&family, &worst_trained);
    printf("%s: logits %.1e (bound 1e-5), loss %.1e, gradients %.1e (%s), %d steps %.1e (%s), "
           "words off %d of %d; a tensor counts %.1e at least\n", name, logits,
           fabs(loss / want_loss - 1), gradients, worst_gradient, STEPS, trained, worst_trained,
           words, WORDS, least);
    CHECK(logits <= LOGITS_BOUND);
    CHECK_NEAR(loss, want_loss, BOUND * want_loss);
    CHECK_INT(words, 0);
    family_close(&family);
}

static void
families_are_those_of_transformers(void)
{
    static const char *const names[] = {
        "llama", "llama_bias", "llama3", "llama_linear", "gemma", "gemma2", "mistral", "phi",
        "phi3", "phi3_long", "qwen2", "qwen2_window", "qwen3", "qwen3_window", "stablelm",
        "stablelm_parallel",
    };

    for (size_t i = 0; i < sizeof(names) / sizeof(names[0]); i++)
        check_family(names[i]);
}

/* The logits of a family with another desc. */
static double
error_with(struct family *family, const struct sea_lm_desc *desc)
{
    const struct sea_lm_limits limits = { .rows = 64 };
    struct sea_tensors *tensors;
    struct sea_lm_work *work;
    struct sea_err err = { 0 };
    struct sea_lm *lm = NULL;
    double error;

    CHECK_OK(sea_tensors_open_dir(&tensors, family->dir, &err), err);
    CHECK_OK(sea_lm_load_tensors(&lm, &device, desc, tensors, "", false, &err), err);
    sea_tensors_close(tensors);
    if (!lm)
        return 0.0;
    CHECK_OK(sea_lm_work_create(&work, lm, &limits, &err), err);
    error = logits_error(family, lm, work);
    sea_lm_work_destroy(work);
    sea_lm_destroy(lm);
    return error;
}

/* Each option of a config shows in the logits. */
static void
options_count(void)
{
    enum { WINDOW, LAYERS, SCORE_CAP, FINAL_CAP, SCALAR, PART, SCALING, THETA, EPS };
    static const struct { const char *family; int option; } cases[] = {
        { "gemma2", WINDOW }, { "gemma2", LAYERS }, { "gemma2", SCORE_CAP },
        { "gemma2", FINAL_CAP }, { "gemma2", SCALAR }, { "phi3", WINDOW }, { "mistral", WINDOW },
        { "qwen2_window", LAYERS }, { "qwen3_window", WINDOW }, { "phi", PART },
        { "stablelm", PART }, { "llama3", SCALING }, { "phi3_long", SCALING }, { "llama_linear", SCALING },
        { "qwen3", THETA }, { "stablelm_parallel", EPS },
    };

    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        struct family family;
        struct sea_lm_desc desc;
        double error;

        if (!family_open(&family, cases[i].family))
            return;
        desc = family.lm->desc;
        switch (cases[i].option) {
        case WINDOW:
            desc.windows.size++;
            break;
        case LAYERS:
            desc.windows.layers[0] ^= 3;
            break;
        case SCORE_CAP:
            desc.score_cap *= 1.1f;
            break;
        case FINAL_CAP:
            desc.final_cap *= 1.1f;
            break;
        case SCALAR:
            desc.query_scalar += 1;
            break;
        case PART:
            desc.rotary = sea_lm_rope_dims(&desc) == 2 ? 4.01 / (double)desc.E
                                                       : 2.01 / (double)desc.E;
            break;
        case SCALING:
            desc.rope_scaling.factor += 1;
            break;
        case THETA:
            desc.rope_theta *= 1.1;
            break;
        case EPS:
            desc.eps *= 100;
            break;
        }
        error = error_with(&family, &desc);
        CHECK_MSG(error > 10 * LOGITS_BOUND, "%s: option %d moves the logits by %.3g only",
                  cases[i].family, cases[i].option, error);
        family_close(&family);
    }
}

SEA_TEST_MAIN("families of language models",
              TEST(families_are_those_of_transformers),
              TEST(options_count))
