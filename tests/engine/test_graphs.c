/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Decoding steps that a device keeps as graphs: the words of steps launched operator by operator,
 * for any number of answers, while answers come and go, beginnings are shared, generators are
 * used again and longer prefills move the device's own memory. On emulated threads in make test,
 * on a card in make test-gpu.
 */
#include "engine/generate_int.h"
#include "tests/engine/model_twin.h"

#define PATCHES 5
#define FEATURES 12
#define VOCAB 40
#define PROMPTS 8
#define IMAGES 3
#define MAX_NEW 6
#define ROOM 40

static struct sea_device device;
static float features[IMAGES * PATCHES * FEATURES];
static int32_t words[PROMPTS][24];
static struct sea_prompt prompts[PROMPTS];

struct answers {
    int32_t ids[PROMPTS][MAX_NEW];
    struct sea_answer list[PROMPTS];
    int64_t launched, sizes;    /* steps that were graphs, and of how many sizes */
};

/* Whether there is a device that keeps graphs. */
static bool
set_up(void)
{
    const char *name = getenv("SEA_TEST_DEVICE"), *build = getenv("SEA_BUILD");
    char plugin[4096];
    struct sea_err err = { 0 };

    if (device.ops)
        return true;
    if (!name && !getenv("SEA_CUDA_EMU"))
        return false;
    if (!name) {
        snprintf(plugin, sizeof(plugin), "%s/tests/gpu/libsea_cuda.so",
                 build ? build : "build/dev");
        setenv("SEA_CUDA_PLUGIN", plugin, 1);
        name = "cuda:0";
    }
    CHECK_OK(sea_device_open(&device, name, &err), err);
    for (int i = 0; i < IMAGES * PATCHES * FEATURES; i++)
        features[i] = (float)sea_rng_normal_at(6, 6, (uint64_t)i);
    for (int i = 0; i < PROMPTS; i++) {
        int n = 0, image = i % (IMAGES + 1) - 1;

        words[i][n++] = 1;
        if (image >= 0)
            words[i][n++] = SEA_LM_GIVEN;
        for (int k = 0; k < 2 + i % 6; k++)
            words[i][n++] = (int32_t)(4 + sea_rng_uniform_at(2, 2, (uint64_t)(k + i % 4 * 9)) *
                                      30);
        prompts[i] = (struct sea_prompt){ words[i], n, image, 1000 + i };
    }
    return device.ops != NULL;
}

static void
open_model(struct sea_mllm *mllm, enum sea_lm_family family, enum sea_store store)
{
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_err err = { 0 };

    memset(mllm, 0, sizeof(*mllm));
    device.store = store;
    desc.family = family;
    desc.vocab = VOCAB;
    desc.D = 32;
    desc.F = 40;
    desc.layers = 2;
    desc.H = 4;
    desc.K = family == SEA_LM_PHI ? 4 : 2;
    desc.E = 8;
    desc.max_positions = 64;
    desc.init_scale = 0.35f;
    /* Every fourth word or so ends an answer: some end early whatever the rounding does. */
    desc.eos_count = SEA_LM_EOS;
    for (int i = 0; i < desc.eos_count; i++)
        desc.eos[i] = 3 + 4 * i;
    CHECK_OK(sea_lm_create(&mllm->lm, &device, &desc, 11, false, &err), err);
    CHECK_OK(sea_adapter_create(&mllm->adapter, &device, SEA_ADAPTER_MLP2X_GELU, FEATURES, 32,
                                4, false, &err), err);
    mllm->patches = PATCHES;
}

static void
close_model(struct sea_mllm *mllm)
{
    sea_lm_destroy(mllm->lm);
    sea_adapter_destroy(mllm->adapter);
}

/* Draws from all logits: a changed bit of them is likely to be a changed word. Twice with one
 * generator; the second time in another order. */
static void
generate(const struct sea_mllm *mllm, int64_t slots, bool share, bool plain,
         struct answers out[2])
{
    const struct sea_generate_desc desc = { .slots = slots, .room = ROOM, .share = share,
                                            .batch_rows = 64, .plain = plain };
    const struct sea_sampling sampling = { .max_new = MAX_NEW, .temperature = 1.5, .seed = 7 };
    struct sea_prompt turned[PROMPTS];
    struct sea_generator *generator;
    struct sea_err err = { 0 };

    CHECK_OK(sea_generator_create(&generator, mllm, &desc, &err), err);
    if (!generator)
        return;
    for (int round = 0; round < 2; round++) {
        memset(&out[round], 0, sizeof(out[round]));
        for (int i = 0; i < PROMPTS; i++) {
            out[round].list[i].ids = out[round].ids[i];
            turned[i] = prompts[round ? PROMPTS - 1 - i : i];
        }
        CHECK_OK(sea_generate(generator, turned, PROMPTS, features, IMAGES, &sampling,
                              out[round].list, &err), err);
        out[round].launched = generator->launched;
        for (int64_t n = 0; n <= slots; n++)
            out[round].sizes += generator->graphs[n].graph != NULL;
    }
    sea_generator_destroy(generator);
}

static void
compare(const struct answers *want, const struct answers *got, const char *what)
{
    int64_t count = 0;

    for (int i = 0; i < PROMPTS; i++) {
        count += want->list[i].count;
        CHECK_MSG(want->list[i].count == got->list[i].count &&
                  want->list[i].ended == got->list[i].ended &&
                  !memcmp(want->ids[i], got->ids[i], sizeof(want->ids[i])),
                  "%s: answer %d differs", what, i);
    }
    CHECK(count > 2 * PROMPTS);
}

static void
graphs_say_the_same(enum sea_lm_family family, enum sea_store store, int64_t slots, bool share)
{
    static struct answers plain[2], kept[2];
    struct sea_mllm mllm;
    char what[64];

    if (!set_up()) {
        SEA_SKIP("no device that keeps graphs");
        return;
    }
    open_model(&mllm, family, store);
    snprintf(what, sizeof(what), "%d slots, %s", (int)slots, share ? "shared" : "whole");
    generate(&mllm, slots, share, true, plain);
    generate(&mllm, slots, share, false, kept);
    compare(&plain[0], &kept[0], what);
    compare(&plain[1], &kept[1], what);
    CHECK_INT(plain[1].launched, 0);
    CHECK(kept[0].launched > 0 && kept[1].launched > kept[0].launched);
    CHECK(kept[1].sizes >= (slots > 1 ? 2 : 1));
    printf("    %s: %lld steps of %lld sizes were one launch\n", what,
           (long long)kept[1].launched, (long long)kept[1].sizes);
    close_model(&mllm);
}

static void
of_float32(void)
{
    graphs_say_the_same(SEA_LM_LLAMA, SEA_STORE_F32, 3, true);
}

static void
of_bfloat16(void)
{
    graphs_say_the_same(SEA_LM_LLAMA, SEA_STORE_BF16, 4, true);
    graphs_say_the_same(SEA_LM_GEMMA2, SEA_STORE_BF16, 1, false);
}

static void
of_a_parallel_family(void)
{
    graphs_say_the_same(SEA_LM_PHI, SEA_STORE_BF16, 5, false);
}

SEA_TEST_MAIN("graphs of decoding steps", TEST(of_float32), TEST(of_bfloat16),
              TEST(of_a_parallel_family))
