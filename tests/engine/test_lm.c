/* SPDX-License-Identifier: Apache-2.0 */
/* The language model: loss and gradients against a double twin, packing, accumulation,
 * folders, and what is refused. */
#include "engine/base/sea_file.h"
#include "engine/sea_lm.h"
#include "engine/sea_safetensors.h"
#include "tests/engine/model_twin.h"

#define ROWS 29
#define GIVEN SEA_LM_GIVEN
#define NO SEA_LM_IGNORE

static struct sea_device device;
static const int32_t starts[4] = { 0, 11, 12, ROWS };
static const int32_t ids[ROWS] = {
    1, 5, GIVEN, GIVEN, 7, 8, 5, 5, 30, 2, 36,
    9,
    1, GIVEN, 4, 4, 12, 3, 3, 3, 20, 21, 22, 6, 5, 7, 9, 11, 2,
};
static const int32_t labels[ROWS] = {
    NO, NO, NO, NO, NO, 8, 5, 5, 30, NO, 36,
    9,                                          /* first of its segment: never used */
    3, NO, NO, NO, 12, 3, NO, NO, NO, 21, 22, 6, NO, NO, NO, 11, 2,
};
static const struct sea_lm_batch batch = { ROWS, 3, starts, ids, labels };
#define SUPERVISED 12

/* Norms and biases start at constants: values that a wrong use would show. */
static void
stir(struct sea_lm *lm)
{
    for (int64_t t = 0; t < lm->params.count; t++) {
        const struct sea_param *param = &lm->params.list[t];

        for (int64_t i = 0; i < param->count && param->rank == 1; i++)
            lm->params.data[param->offset + i] += 0.2f * (float)sea_rng_normal_at(
                9, (uint64_t)t, (uint64_t)i);
    }
}

static struct sea_lm *
make(const struct sea_lm_desc *desc, uint64_t seed, bool trained)
{
    struct sea_err err = { 0 };
    struct sea_lm *lm;

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    CHECK_OK(sea_lm_create(&lm, &device, desc, seed, trained, &err), err);
    return lm;
}

static struct sea_lm_work *
make_work(const struct sea_lm *lm, int64_t rows, bool trained)
{
    const struct sea_lm_limits limits = { .rows = rows, .trained = trained };
    struct sea_err err = { 0 };
    struct sea_lm_work *work;

    CHECK_OK(sea_lm_work_create(&work, lm, &limits, &err), err);
    return work;
}

static void
fill_given(float *given, int64_t n)
{
    for (int64_t i = 0; i < n; i++)
        given[i] = (float)(0.5 * sea_rng_normal_at(4, 4, (uint64_t)i));
}

struct twin_case {
    const struct sea_lm *lm;
    double given[3 * 16];
};

static double
weighted_loss(const void *arg, const double *w)
{
    const struct twin_case *c = arg;

    return twin_lm_loss(c->lm, w, &batch, c->given) / SUPERVISED;
}

static void
check_family(const struct sea_lm_desc *desc, const char *what)
{
    struct sea_lm *lm = make(desc, 1, true);
    struct sea_lm_work *work = make_work(lm, ROWS + 3, true);
    float given[3 * 16], dgiven[3 * 16];
    struct twin_case twin = { .lm = lm };
    struct sea_err err = { 0 };
    double sum, want, *w, up, down, old, worst = 0.0;

    stir(lm);
    fill_given(given, 48);
    for (int i = 0; i < 48; i++)
        twin.given[i] = (double)given[i];
    CHECK_INT(sea_lm_supervised(&batch), SUPERVISED);
    CHECK_OK(sea_lm_forward(lm, work, &batch, given, 1.0f / SUPERVISED, true, &err), err);
    CHECK_OK(sea_lm_loss(work, &sum, &err), err);
    CHECK_OK(sea_lm_backward(lm, work, dgiven, &err), err);
    w = twin_weights(&lm->params);
    want = twin_lm_loss(lm, w, &batch, twin.given);
    printf("%s: loss %.6f, twin %.6f\n", what, sum, want);
    CHECK_NEAR(sum, want, 1e-5 * want);
    twin_check_gradients(what, &lm->params, lm->params.grad, 4, 5e-5, weighted_loss, &twin);
    for (int i = 0; i < 48; i += 5) {
        old = twin.given[i];
        twin.given[i] = old + 1e-4;
        up = weighted_loss(&twin, w);
        twin.given[i] = old - 1e-4;
        down = weighted_loss(&twin, w);
        twin.given[i] = old;
        worst = fmax(worst, fabs((up - down) / 2e-4 - (double)dgiven[i]));
    }
    printf("%s: gradient of given rows off by %.2g\n", what, worst);
    CHECK(worst <= 1e-5);
    free(w);
    sea_lm_work_destroy(work);
    sea_lm_destroy(lm);
}

static void
loss_and_gradients_follow_the_twin(void)
{
    struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);

    check_family(&desc, "llama, tied");
    desc.tied = false;
    desc.attention_bias = desc.mlp_bias = true;
    check_family(&desc, "llama with biases");
    desc = twin_small(SEA_LM_QWEN2, 2);
    check_family(&desc, "qwen2");
    desc = twin_small(SEA_LM_GEMMA, 2);
    check_family(&desc, "gemma");
}

static void
every_family_follows_the_twin(void)
{
    struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);

    desc.rope_theta = 500.0;
    desc.rope_scaling = (struct sea_rope_scaling){ .kind = SEA_ROPE_LLAMA3, .factor = 8.0,
                                                    .low = 1.0, .high = 4.0, .original = 20 };
    check_family(&desc, "llama 3");
    desc.rope_scaling = (struct sea_rope_scaling){ .kind = SEA_ROPE_LINEAR, .factor = 2.5 };
    check_family(&desc, "llama, linear");
    desc = twin_small(SEA_LM_PHI, 2);
    desc.tied = false;
    check_family(&desc, "phi");
    desc = twin_small(SEA_LM_QWEN3, 2);
    desc.attention_bias = true;
    check_family(&desc, "qwen3");
    desc = twin_small(SEA_LM_STABLELM, 2);
    desc.rotary = 0.75;
    desc.attention_bias = true;
    check_family(&desc, "stablelm");
    desc.parallel = true;
    check_family(&desc, "stablelm, parallel");
    desc = twin_small(SEA_LM_PHI3, 2);
    desc.rotary = 0.75;
    check_family(&desc, "phi3");
}

static void
windows_and_caps_follow_the_twin(void)
{
    struct sea_lm_desc desc = twin_small(SEA_LM_PHI3, 2);

    desc.windows.size = 5;
    sea_windows_set(&desc.windows, 0);
    sea_windows_set(&desc.windows, 1);
    check_family(&desc, "phi3, windows");
    desc = twin_small(SEA_LM_GEMMA2, 2);
    desc.windows.size = 4;
    sea_windows_set(&desc.windows, 0);
    desc.query_scalar = 3.0;
    desc.score_cap = 1.5f;
    desc.final_cap = 2.5f;
    check_family(&desc, "gemma2");
}

/* Losses, dgiven and gradients of the batch in one piece and segment by segment. */
static void
packing_and_accumulation_agree(void)
{
    const struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);
    struct sea_lm *a = make(&desc, 1, true), *b = make(&desc, 1, true);
    struct sea_lm_work *wa = make_work(a, ROWS, true), *wb = make_work(b, 64, true);
    float given[48], da[48], db[48], la[ROWS * 37], lb[ROWS * 37];
    struct sea_err err = { 0 };
    double sum_a, sum_b = 0.0, sum, worst = 0.0, most = 0.0;
    int64_t g = 0;

    fill_given(given, 48);
    CHECK_OK(sea_lm_forward(a, wa, &batch, given, 1.0f / SUPERVISED, true, &err), err);
    CHECK_OK(sea_lm_loss(wa, &sum_a, &err), err);
    CHECK_OK(sea_lm_backward(a, wa, da, &err), err);
    CHECK_OK(sea_lm_logits(a, wa, &batch, given, la, &err), err);
    for (int s = 0; s < 3; s++) {
        const int32_t one[2] = { 0, starts[s + 1] - starts[s] };
        const struct sea_lm_batch part = { one[1], 1, one, ids + starts[s],
                                           labels + starts[s] };

        CHECK_OK(sea_lm_forward(b, wb, &part, given + g * 16, 1.0f / SUPERVISED, true, &err),
                 err);
        CHECK_OK(sea_lm_loss(wb, &sum, &err), err);
        CHECK_OK(sea_lm_backward(b, wb, db + g * 16, &err), err);
        CHECK_OK(sea_lm_logits(b, wb, &part, given + g * 16, lb + starts[s] * 37, &err), err);
        sum_b += sum;
        for (int t = starts[s]; t < starts[s + 1]; t++)
            g += ids[t] == GIVEN;
    }
    CHECK_NEAR(sum_a, sum_b, 1e-6 * sum_a);
    CHECK(!memcmp(la, lb, sizeof(la)));
    CHECK(!memcmp(da, db, sizeof(da)));
    for (int64_t i = 0; i < a->params.floats; i++) {
        worst = fmax(worst, fabs((double)(a->params.grad[i] - b->params.grad[i])));
        most = fmax(most, fabs((double)a->params.grad[i]));
    }
    printf("packed and alone: gradients differ by %.2g of %.3g\n", worst, most);
    CHECK(worst <= 1e-6 * most);
    sea_lm_work_destroy(wa);
    sea_lm_work_destroy(wb);
    sea_lm_destroy(a);
    sea_lm_destroy(b);
}

/* So many words that the logits of a batch take several chunks. */
static void
chunks_of_logits_agree(void)
{
    enum { LONG = 200, HALF = 100, MANY = 20000 };
    struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);
    struct sea_lm *a, *b;
    struct sea_lm_work *wa, *wb;
    static int32_t words[LONG];
    static const int32_t whole[3] = { 0, HALF, LONG }, half[2] = { 0, HALF };
    const struct sea_lm_batch both = { LONG, 2, whole, words, words };
    struct sea_lm_batch part = { HALF, 1, half, words, words };
    struct sea_err err = { 0 };
    double sum_a, sum, sum_b = 0.0, worst = 0.0, most = 0.0;

    desc.vocab = MANY;
    desc.layers = 1;
    desc.max_positions = LONG;
    a = make(&desc, 1, true);
    b = make(&desc, 1, true);
    wa = make_work(a, LONG, true);
    wb = make_work(b, HALF, true);
    for (int t = 0; t < LONG; t++)
        words[t] = (t * 977 + t / 7) % MANY;
    CHECK_OK(sea_lm_forward(a, wa, &both, NULL, 0.01f, true, &err), err);
    CHECK_OK(sea_lm_loss(wa, &sum_a, &err), err);
    CHECK_OK(sea_lm_backward(a, wa, NULL, &err), err);
    for (int h = 0; h < 2; h++) {
        part.ids = part.labels = words + h * HALF;
        CHECK_OK(sea_lm_forward(b, wb, &part, NULL, 0.01f, true, &err), err);
        CHECK_OK(sea_lm_loss(wb, &sum, &err), err);
        CHECK_OK(sea_lm_backward(b, wb, NULL, &err), err);
        sum_b += sum;
    }
    CHECK_NEAR(sum_a, sum_b, 1e-6 * sum_a);
    for (int64_t i = 0; i < a->params.floats; i++) {
        worst = fmax(worst, fabs((double)(a->params.grad[i] - b->params.grad[i])));
        most = fmax(most, fabs((double)a->params.grad[i]));
    }
    CHECK(worst <= 1e-6 * most);
    sea_lm_work_destroy(wa);
    sea_lm_work_destroy(wb);
    sea_lm_destroy(a);
    sea_lm_destroy(b);
}

/* Nothing but weights and batch matters: not what ran before, not the room. */
static void
a_step_is_a_pure_function(void)
{
    const struct sea_lm_desc desc = twin_small(SEA_LM_QWEN2, 2);
    struct sea_lm *lm = make(&desc, 1, true);
    struct sea_lm_work *big = make_work(lm, 200, true), *tight = make_work(lm, ROWS, true);
    static const int32_t one[2] = { 0, 5 };
    static const int32_t other[5] = { 36, 35, 34, 33, 32 };
    const struct sea_lm_batch noise = { 5, 1, one, other, other };
    float given[48], *first, *second;
    struct sea_err err = { 0 };
    size_t bytes = (size_t)lm->params.floats * sizeof(float);
    double a, b;

    fill_given(given, 48);
    CHECK_OK(sea_lm_forward(lm, tight, &batch, given, 0.25f, true, &err), err);
    CHECK_OK(sea_lm_loss(tight, &a, &err), err);
    CHECK_OK(sea_lm_backward(lm, tight, NULL, &err), err);
    first = twin_host(&device, lm->params.grad, lm->params.floats);
    CHECK_OK(sea_lm_forward(lm, big, &noise, NULL, 0.5f, true, &err), err);
    CHECK_OK(sea_lm_backward(lm, big, NULL, &err), err);
    CHECK_OK(sea_params_zero_grad(&lm->params, &err), err);
    CHECK_OK(sea_lm_forward(lm, big, &batch, given, 0.25f, true, &err), err);
    CHECK_OK(sea_lm_loss(big, &b, &err), err);
    CHECK_OK(sea_lm_backward(lm, big, NULL, &err), err);
    second = twin_host(&device, lm->params.grad, lm->params.floats);
    CHECK(a == b);
    CHECK(!memcmp(first, second, bytes));
    CHECK(sea_lm_backward(lm, big, NULL, &err) == SEA_E_INTERNAL);
    free(first);
    free(second);
    sea_lm_work_destroy(big);
    sea_lm_work_destroy(tight);
    sea_lm_destroy(lm);
}

static void
nothing_supervised_means_no_gradient(void)
{
    const struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);
    struct sea_lm *lm = make(&desc, 1, true);
    struct sea_lm_work *work = make_work(lm, ROWS, true);
    struct sea_lm_batch silent = batch;
    float given[48], dgiven[48];
    struct sea_err err = { 0 };
    double sum;

    fill_given(given, 48);
    memcpy(dgiven, given, sizeof(given));
    silent.labels = NULL;
    CHECK_INT(sea_lm_supervised(&silent), 0);
    CHECK_OK(sea_lm_forward(lm, work, &silent, given, 1.0f, true, &err), err);
    CHECK_OK(sea_lm_loss(work, &sum, &err), err);
    CHECK_OK(sea_lm_backward(lm, work, dgiven, &err), err);
    CHECK(sum == 0.0);
    for (int i = 0; i < 48; i++)
        CHECK(dgiven[i] == 0.0f);
    for (int64_t i = 0; i < lm->params.floats; i++)
        CHECK(lm->params.grad[i] == 0.0f);
    sea_lm_work_destroy(work);
    sea_lm_destroy(lm);
}

static void
frozen_model_gives_the_same_input_gradient(void)
{
    const struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);
    struct sea_lm *trained = make(&desc, 1, true), *frozen = make(&desc, 1, false);
    struct sea_lm_work *a = make_work(trained, ROWS, true), *b = make_work(frozen, ROWS, true);
    float given[48], da[48], db[48];
    struct sea_err err = { 0 };

    fill_given(given, 48);
    CHECK(frozen->params.grad == NULL);
    CHECK_OK(sea_lm_forward(trained, a, &batch, given, 1.0f, true, &err), err);
    CHECK_OK(sea_lm_forward(frozen, b, &batch, given, 1.0f, true, &err), err);
    CHECK_OK(sea_lm_backward(trained, a, da, &err), err);
    CHECK_OK(sea_lm_backward(frozen, b, db, &err), err);
    CHECK(!memcmp(da, db, sizeof(da)));
    sea_lm_work_destroy(a);
    sea_lm_work_destroy(b);
    sea_lm_destroy(trained);
    sea_lm_destroy(frozen);
}

static void
folders_give_back_the_same_model(void)
{
    struct sea_lm_desc desc = twin_small(SEA_LM_GEMMA, 2);
    struct sea_lm *lm, *back;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    desc.bos = 1;
    desc.eos[0] = 2;
    desc.eos[1] = 3;
    desc.eos_count = 2;
    desc.eps = 1e-6f;
    lm = make(&desc, 5, false);
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "lm", &err), err);
    CHECK_OK(sea_lm_save(lm, dir, &err), err);
    CHECK_OK(sea_lm_load(&back, &device, dir, false, &err), err);
    if (!back)
        return;
    CHECK(!memcmp(lm->params.data, back->params.data,
                  (size_t)lm->params.floats * sizeof(float)));
    CHECK(back->desc.family == SEA_LM_GEMMA && back->desc.tied);
    CHECK_INT(back->desc.eos_count, 2);
    CHECK_INT(back->desc.eos[1], 3);
    CHECK_INT(back->desc.bos, 1);
    CHECK_INT(back->desc.pad, -1);
    CHECK(back->desc.eps == desc.eps && back->desc.rope_theta == desc.rope_theta);
    CHECK_INT(sea_lm_desc_floats(&back->desc), lm->params.floats);
    sea_lm_destroy(lm);
    sea_lm_destroy(back);
    CHECK(sea_lm_load(&back, &device, "/nowhere", false, &err) == SEA_E_MISSING);
}

/* Weights that are not numbers load, and one warning names file and first tensor. */
static void
weights_that_are_not_numbers_are_told(void)
{
    struct sea_lm_desc desc = twin_small(SEA_LM_PHI, 2);
    struct sea_lm *lm = make(&desc, 5, false), *back = NULL;
    const struct sea_param *param;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    CHECK_OK(sea_path_join(dir, sea_test_dir(), "nan", &err), err);
    CHECK_OK(sea_lm_save(lm, dir, &err), err);
    CHECK_OK(sea_lm_load(&back, &device, dir, false, &err), err);
    CHECK(back && !back->params.warning);
    sea_lm_destroy(back);
    param = sea_params_find(&lm->params, "model.layers.1.mlp.fc2.weight");
    lm->params.data[param->offset + 7] = NAN;
    lm->params.data[param->offset + 9] = INFINITY;
    CHECK_OK(sea_lm_save(lm, dir, &err), err);
    CHECK_OK(sea_lm_load(&back, &device, dir, false, &err), err);
    CHECK(back && back->params.warning);
    if (back && back->params.warning) {
        printf("%s\n", back->params.warning);
        CHECK(strstr(back->params.warning, "nan/model.safetensors"));
        CHECK(strstr(back->params.warning, "model.layers.1.mlp.fc2.weight"));
        CHECK(strstr(back->params.warning, "2 numbers"));
    }
    sea_lm_destroy(back);
    sea_lm_destroy(lm);
}

/* A chat model's end words are those of generation_config.json. */
static void
end_words_come_from_the_generation_config(void)
{
    static const char text[] = "{\"eos_token_id\": [2, 7, 9], \"temperature\": 0.6}";
    static const char wrong[] = "{\"eos_token_id\": [2, 99]}";
    struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);
    struct sea_lm *lm = make(&desc, 5, false), *back = NULL;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX], path[SEA_PATH_MAX];

    CHECK_OK(sea_path_join(dir, sea_test_dir(), "chat", &err), err);
    CHECK_OK(sea_lm_save(lm, dir, &err), err);
    CHECK_OK(sea_path_join(path, dir, "generation_config.json", &err), err);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
    CHECK_OK(sea_lm_load(&back, &device, dir, false, &err), err);
    CHECK_INT(back ? back->desc.eos_count : 0, 3);
    CHECK_INT(back ? back->desc.eos[2] : 0, 9);
    sea_lm_destroy(back);
    CHECK_OK(sea_file_replace(path, wrong, strlen(wrong), &err), err);
    CHECK(sea_lm_load(&back, &device, dir, false, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "generation_config.json");
    sea_lm_destroy(lm);
}

/* ---- folders of others ---- */

/* DIR/model.safetensors again: without `left_out`, with `from` once more under another name,
 * and, bare, without the "model." that names begin with. */
static void
rewrite(const char *dir, const char *left_out, const char *from, const char *to, bool bare)
{
    struct sea_tensor_item items[64] = { { .name = NULL } };
    struct sea_tensors *tensors = NULL;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    size_t n = 0;

    CHECK_OK(sea_path_join(path, dir, "model.safetensors", &err), err);
    CHECK_OK(sea_tensors_open_dir(&tensors, dir, &err), err);
    for (size_t i = 0; tensors && i < tensors->count; i++)
        for (int copy = 0; copy < 2; copy++) {
            const struct sea_tensor *tensor = &tensors->list[i];

            if (copy ? !from || strcmp(tensor->name, from) != 0
                     : left_out && !strcmp(tensor->name, left_out))
                continue;
            items[n] = (struct sea_tensor_item){ .name = copy ? to : tensor->name,
                                                 .dtype = tensor->dtype, .rank = tensor->rank,
                                                 .data = tensor->data };
            items[n].name += bare && !strncmp(items[n].name, "model.", 6) ? 6 : 0;
            memcpy(items[n++].shape, tensor->shape, sizeof(tensor->shape));
        }
    CHECK_OK(sea_tensors_write(path, items, n, NULL, 0, &err), err);
    sea_tensors_close(tensors);
}

/* One word of DIR/config.json for another. */
static void
respell(const char *dir, const char *from, const char *to)
{
    struct sea_err err = { 0 };
    struct sea_buf text, out;
    char path[SEA_PATH_MAX];
    const char *at;

    sea_buf_init(&text, 1 << 20);
    sea_buf_init(&out, 1 << 20);
    CHECK_OK(sea_path_join(path, dir, "config.json", &err), err);
    CHECK_OK(sea_file_read(path, &text, &err), err);
    at = strstr(text.data, from);
    CHECK(at != NULL);
    if (at) {
        sea_buf_add(&out, text.data, (size_t)(at - text.data));
        sea_buf_puts(&out, to);
        sea_buf_puts(&out, at + strlen(from));
        CHECK_OK(sea_file_replace(path, out.data, out.len, &err), err);
    }
    sea_buf_release(&text);
    sea_buf_release(&out);
}

static float *
logits_in(const char *dir, bool *tied, bool *warned)
{
    const int32_t start[2] = { 0, 5 }, text[5] = { 1, 9, 4, 22, 7 };
    const struct sea_lm_batch five = { 5, 1, start, text, NULL };
    float *out = calloc(5 * TWIN_VOCAB, sizeof(*out));
    struct sea_err err = { 0 };
    struct sea_lm *lm = NULL;
    struct sea_lm_work *work;

    if (!CHECK_OK(sea_lm_load(&lm, &device, dir, false, &err), err))
        return out;
    work = make_work(lm, 5, false);
    CHECK_OK(sea_lm_logits(lm, work, &five, NULL, out, &err), err);
    *tied = lm->desc.tied;
    *warned = lm->params.warning != NULL;
    sea_lm_work_destroy(work);
    sea_lm_destroy(lm);
    return out;
}

static void
heads_are_read_as_the_file_has_them(void)
{
    static const char words[] = "model.embed_tokens.weight", head[] = "lm_head.weight";
    static const char yes[] = "\"tie_word_embeddings\": true";
    static const char no[] = "\"tie_word_embeddings\": false";
    const size_t bytes = 5 * TWIN_VOCAB * sizeof(float);
    struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];
    struct sea_lm *lm;
    bool tied = false, warned = false;
    float *want, *got;

    CHECK_OK(sea_path_join(dir, sea_test_dir(), "heads", &err), err);
    for (int own = 0; own < 2; own++) {
        desc.tied = !own;
        lm = make(&desc, 6, false);
        CHECK_OK(sea_lm_save(lm, dir, &err), err);
        sea_lm_destroy(lm);
        want = logits_in(dir, &tied, &warned);
        CHECK(tied == !own && !warned);
        if (own)                /* the config is wrong, the file is right */
            respell(dir, no, yes);
        else                    /* the same matrix twice */
            rewrite(dir, NULL, words, head, false);
        got = logits_in(dir, &tied, &warned);
        CHECK(tied == !own && warned == own && !memcmp(want, got, bytes));
        free(got);
        if (!own) {             /* once, under the head's name */
            rewrite(dir, words, NULL, NULL, false);
            got = logits_in(dir, &tied, &warned);
            CHECK(tied && !warned && !memcmp(want, got, bytes));
            free(got);
        } else {                /* without the class around the model */
            rewrite(dir, NULL, NULL, NULL, true);
            got = logits_in(dir, &tied, &warned);
            CHECK(!tied && !memcmp(want, got, bytes));
            free(got);
        }
        free(want);
    }
    respell(dir, yes, no);
    rewrite(dir, head, NULL, NULL, false);
    CHECK(sea_lm_load(&lm, &device, dir, false, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, head);
    CHECK(strstr(err.hint, "tie_word_embeddings") != NULL);
}

static void
older_spellings_of_configs(void)
{
    static const struct {
        const char *text;
        enum sea_lm_family family;
        enum sea_rope_kind kind;
        int64_t original;
        double theta;
    } rows[] = {
        { "{\"architectures\": [\"Qwen2ForCausalLM\"]}", SEA_LM_QWEN2, SEA_ROPE_PLAIN, 0, 1e4 },
        { "{\"rope_scaling\": {}, \"rope_parameters\": {\"rope_type\": \"linear\", \"factor\": 3, "
          "\"rope_theta\": 99}}", SEA_LM_LLAMA, SEA_ROPE_LINEAR, 0, 99 },
        { "{\"original_max_position_embeddings\": 16, \"rope_scaling\": {\"rope_type\": "
          "\"llama3\", \"factor\": 8, \"low_freq_factor\": 1, \"high_freq_factor\": 4}}",
          SEA_LM_LLAMA, SEA_ROPE_LLAMA3, 16, 1e4 },
    };
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_lm_desc desc;
    struct sea_node *node;
    struct sea_err err = { 0 };

    for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
        CHECK_OK(sea_json_parse(rows[i].text, strlen(rows[i].text), "c.json", arena, &node, &err),
                 err);
        CHECK_OK(sea_lm_desc_parse(&desc, node, "c.json", &err), err);
        CHECK(desc.family == rows[i].family && desc.rope_scaling.kind == rows[i].kind);
        CHECK_INT(desc.rope_scaling.original, rows[i].original);
        CHECK(desc.rope_theta == rows[i].theta);
    }
    sea_arena_destroy(arena);
}

/* Phi-3's factors go out as they came in, in the words of both releases. */
static void
longrope_comes_back(void)
{
    static const char text[] =
        "{\"model_type\": \"phi3\", \"hidden_size\": 64, \"num_attention_heads\": 8, "
        "\"max_position_embeddings\": 512, \"original_max_position_embeddings\": 128, "
        "\"partial_rotary_factor\": 0.75, \"rope_scaling\": {\"type\": \"su\", \"short_factor\": "
        "[1.0, 1.05, 2.3], \"long_factor\": [1, 7.5, 64.2]}}";
    static const char *const wrong[] = { "[1.0, 1.05]", "[1.0, 0, 2.3]", "[1.0, \"x\", 2.3]" };
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_lm_desc desc, back;
    struct sea_err err = { 0 };
    struct sea_node *node;

    CHECK_OK(sea_json_parse(text, strlen(text), "c.json", arena, &node, &err), err);
    CHECK_OK(sea_lm_desc_parse(&desc, node, "c.json", &err), err);
    CHECK_INT(desc.max_positions, 128);         /* longer texts are not computed */
    CHECK(desc.rope_scaling.kind == SEA_ROPE_LONG && desc.rope_scaling.long_factor[2] == 64.2f);
    CHECK_NEAR(desc.rope_scaling.factor, sqrt(1 + log(4) / log(128)), 1e-12);
    node = sea_lm_desc_node(&desc, arena, NULL, NULL);
    CHECK_INT(sea_node_int(sea_node_get(node, "max_position_embeddings"), 0), 512);
    CHECK_INT(sea_node_get(node, "rope_scaling")->count, 3);    /* all that releases 4 allow */
    CHECK_OK(sea_lm_desc_parse(&back, node, "c.json", &err), err);
    CHECK(!memcmp(&back.rope_scaling, &desc.rope_scaling, sizeof(desc.rope_scaling)));
    sea_node_remove(node, "rope_scaling");      /* the other spelling alone */
    CHECK_OK(sea_lm_desc_parse(&back, node, "c.json", &err), err);
    CHECK(!memcmp(&back.rope_scaling, &desc.rope_scaling, sizeof(desc.rope_scaling)));
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        char *bad = sea_arena_strdup(arena, text), *at = strstr(bad, "[1.0");

        memset(at, ' ', strlen("[1.0, 1.05, 2.3]"));
        memcpy(at, wrong[i], strlen(wrong[i]));
        CHECK_OK(sea_json_parse(bad, strlen(bad), "c.json", arena, &node, &err), err);
        CHECK(sea_lm_desc_parse(&back, node, "c.json", &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, "short_factor");
        sea_err_clear(&err);
    }
    sea_arena_destroy(arena);
}

static void
configs_are_checked_by_name(void)
{
    static const struct { const char *text, *words; } wrong[] = {
        { "[]", "must be a map" },
        { "{\"model_type\": \"falcon\"}", "falcon" },
        { "{\"architectures\": [\"GPT2LMHeadModel\"]}", "GPT2LMHeadModel" },
        { "{\"hidden_act\": \"relu\"}", "relu" },
        { "{\"vocab_size\": -4}", "vocab_size" },
        { "{\"hidden_size\": \"big\"}", "hidden_size" },
        { "{\"num_attention_heads\": 4, \"num_key_value_heads\": 8}", "num_key_value_heads" },
        { "{\"rope_scaling\": {\"rope_type\": \"llama3\", \"factor\": 8.0}}", "low_freq" },
        { "{\"rope_scaling\": {\"type\": \"linear\"}}", "factor" },
        { "{\"rope_scaling\": {\"type\": \"dynamic\", \"factor\": 2.0}}", "dynamic" },
        { "{\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"longrope\"}}",
          "longrope" },
        { "{\"model_type\": \"phi3\", \"rope_scaling\": {\"type\": \"linear\"}}", "linear" },
        { "{\"rope_parameters\": {\"full_attention\": {}}}", "rope_parameters" },
        { "{\"partial_rotary_factor\": 0.5}", "partial_rotary_factor" },
        { "{\"model_type\": \"phi\", \"partial_rotary_factor\": 0.01}", "rotates 0 of" },
        { "{\"model_type\": \"phi\", \"qk_layernorm\": true}", "qk_layernorm" },
        { "{\"model_type\": \"stablelm\", \"qk_layernorm\": true}", "qk_layernorm" },
        { "{\"model_type\": \"stablelm\", \"head_dim\": 64}", "head_dim" },
        { "{\"final_logit_softcapping\": 30.0}", "final_logit_softcapping" },
        { "{\"model_type\": \"gemma2\", \"use_bidirectional_attention\": true}",
          "use_bidirectional_attention" },
        { "{\"model_type\": \"gemma2\", \"hidden_activation\": \"gelu\"}", "gelu" },
        { "{\"model_type\": \"gemma2\", \"num_hidden_layers\": 2, \"layer_types\": "
          "[\"full_attention\", \"chunked_attention\"]}", "chunked_attention" },
        { "{\"model_type\": \"gemma2\", \"num_hidden_layers\": 2, \"layer_types\": "
          "[\"full_attention\"]}", "layer_types" },
        { "{\"model_type\": \"mistral\", \"num_hidden_layers\": 2, \"layer_types\": "
          "[\"full_attention\", \"sliding_attention\"]}", "layer 0" },
        { "{\"model_type\": \"mistral\", \"sliding_window\": -1}", "sliding_window" },
        { "{\"rope_parameters\": {\"rope_type\": \"yarn\"}}", "yarn" },
        { "{\"use_sliding_window\": true}", "use_sliding_window" },
        { "{\"tie_word_embeddings\": 3}", "tie_word_embeddings" },
        { "{\"eos_token_id\": 40000}", "eos_token_id" },
        { "{\"eos_token_id\": [1, 2, \"x\"]}", "eos_token_id" },
        { "{\"quantization_config\": {\"bits\": 4}}", "quantization_config" },
        { "{\"rms_norm_eps\": 0}", "rms_norm_eps" },
        { "{\"attention_dropout\": 0.1}", "attention_dropout" },
    };
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_lm_desc desc;
    struct sea_node *node;
    struct sea_err err = { 0 };
    static const char good[] = "{\"rope_parameters\": {\"rope_theta\": 500.0, \"rope_type\": "
                               "\"default\"}, \"rope_scaling\": null, \"eos_token_id\": [2, 5]}";

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_OK(sea_json_parse(wrong[i].text, strlen(wrong[i].text), "c.json", arena, &node,
                                &err), err);
        CHECK(sea_lm_desc_parse(&desc, node, "c.json", &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, wrong[i].words);
        sea_err_clear(&err);
    }
    CHECK_OK(sea_json_parse(good, strlen(good), "c.json", arena, &node, &err), err);
    CHECK_OK(sea_lm_desc_parse(&desc, node, "c.json", &err), err);
    CHECK(desc.rope_theta == 500.0 && desc.D == 4096 && desc.E == 128 && !desc.tied);
    CHECK_INT(desc.eos_count, 2);
    sea_arena_destroy(arena);
}

static void
bad_batches_are_refused(void)
{
    const struct sea_lm_desc desc = twin_small(SEA_LM_LLAMA, 2);
    struct sea_lm *lm = make(&desc, 1, false);
    struct sea_lm_work *work = make_work(lm, 8, false);
    struct sea_err err = { 0 };
    const int32_t one[2] = { 0, 4 };
    int32_t words[4] = { 1, 2, 3, 37 };
    struct sea_lm_batch bad = { 4, 1, one, words, words };

    CHECK(sea_lm_forward(lm, work, &bad, NULL, 1.0f, false, &err) == SEA_E_INTERNAL);
    CHECK_FAILS(err, SEA_E_INTERNAL, "word 37");
    sea_err_clear(&err);
    words[3] = GIVEN;
    bad.labels = NULL;
    CHECK(sea_lm_logits(lm, work, &bad, NULL, NULL, &err) == SEA_E_INTERNAL);
    CHECK_FAILS(err, SEA_E_INTERNAL, "given");
    sea_err_clear(&err);
    CHECK(sea_lm_forward(lm, work, &batch, NULL, 1.0f, false, &err) == SEA_E_INTERNAL);
    CHECK_FAILS(err, SEA_E_INTERNAL, "room");
    sea_lm_work_destroy(work);
    sea_lm_destroy(lm);
}

SEA_TEST_MAIN("the language model",
              TEST(loss_and_gradients_follow_the_twin),
              TEST(every_family_follows_the_twin),
              TEST(windows_and_caps_follow_the_twin),
              TEST(packing_and_accumulation_agree),
              TEST(chunks_of_logits_agree),
              TEST(a_step_is_a_pure_function),
              TEST(nothing_supervised_means_no_gradient),
              TEST(frozen_model_gives_the_same_input_gradient),
              TEST(folders_give_back_the_same_model),
              TEST(weights_that_are_not_numbers_are_told),
              TEST(end_words_come_from_the_generation_config),
              TEST(heads_are_read_as_the_file_has_them),
              TEST(older_spellings_of_configs),
              TEST(longrope_comes_back),
              TEST(configs_are_checked_by_name),
              TEST(bad_batches_are_refused))
