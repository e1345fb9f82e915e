/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Low-rank adapters: gradients against a double twin whose weights are merged, merging,
 * dropout that does not know of packing, recomputation with the same bits, PEFT folders in
 * and out, and what is refused.
 */
#include "engine/base/sea_file.h"
#include "engine/sea_lora.h"
#include "engine/sea_safetensors.h"
#include "tests/engine/model_twin.h"

#define ROWS 29
#define GIVEN SEA_LM_GIVEN
#define NO SEA_LM_IGNORE
#define SUPERVISED 12
#define VOCAB TWIN_VOCAB

static struct sea_device device;
static const int32_t starts[4] = { 0, 11, 12, ROWS };
static const int32_t ids[ROWS] = {
    1, 5, GIVEN, GIVEN, 7, 8, 5, 5, 30, 2, 36,
    9,
    1, GIVEN, 4, 4, 12, 3, 3, 3, 20, 21, 22, 6, 5, 7, 9, 11, 2,
};
static const int32_t labels[ROWS] = {
    NO, NO, NO, NO, NO, 8, 5, 5, 30, NO, 36,
    9,
    3, NO, NO, NO, 12, 3, NO, NO, NO, 21, 22, 6, NO, NO, NO, 11, 2,
};
static const struct sea_lm_batch batch = { ROWS, 3, starts, ids, labels };
/* q and v without k: one product, with a gap. */
static const char *const some[] = { "q_proj", "v_proj", "down_proj" };

struct rig {
    struct sea_lm *lm;
    struct sea_lora *lora;
    struct sea_lm_work *work;
    float given[3 * 16], dgiven[3 * 16];
    uint64_t keys[ROWS], live_keys[ROWS];
};

/* B is 0 in a new adapter: give it values. */
static void
shake(struct sea_lora *lora)
{
    for (int64_t t = 0; t < lora->params.count; t++) {
        const struct sea_param *param = &lora->params.list[t];

        for (int64_t i = 0; i < param->count && param->init == SEA_INIT_ZERO; i++)
            lora->params.data[param->offset + i] =
                0.2f * (float)sea_rng_normal_at(9, (uint64_t)t, (uint64_t)i);
    }
}

/* Keys as the tune stage gives them: the sample and the place in it. */
static void
set_keys(struct rig *rig, int64_t step)
{
    int64_t live = 0;

    for (int s = 0; s < 3; s++)
        for (int32_t r = starts[s]; r < starts[s + 1]; r++) {
            rig->keys[r] = (uint64_t)s << 20 | (uint64_t)(r - starts[s]);
            if (r + 1 < starts[s + 1] && labels[r + 1] != NO)
                rig->live_keys[live++] = rig->keys[r];
        }
    sea_lora_set_rows(rig->lora, step, (struct sea_lora_keys){ rig->keys, ROWS },
                      (struct sea_lora_keys){ rig->live_keys, live });
}

static void
open_rig(struct rig *rig, const struct sea_lora_desc *desc, bool full, bool recompute)
{
    struct sea_lm_desc lm = twin_small(SEA_LM_QWEN2, 3);
    struct sea_lm_limits limits = { .rows = ROWS, .trained = true, .recompute = recompute };
    struct sea_err err = { 0 };

    memset(rig, 0, sizeof(*rig));
    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    CHECK_OK(sea_lm_create(&rig->lm, &device, &lm, 1, full, &err), err);
    if (desc) {
        CHECK_OK(sea_lora_create(&rig->lora, &rig->lm->stack, desc, true, &err), err);
        shake(rig->lora);
    }
    CHECK_OK(sea_lm_work_create(&rig->work, rig->lm, &limits, &err), err);
    for (int i = 0; i < 48; i++)
        rig->given[i] = (float)(0.5 * sea_rng_normal_at(4, 4, (uint64_t)i));
}

static void
close_rig(struct rig *rig)
{
    sea_lm_work_destroy(rig->work);
    sea_lora_destroy(rig->lora);
    sea_lm_destroy(rig->lm);
}

static double
run_step(struct rig *rig)
{
    struct sea_err err = { 0 };
    double sum = 0;

    CHECK_OK(sea_lm_forward(rig->lm, rig->work, &batch, rig->given, 1.0f / SUPERVISED, true,
                            &err), err);
    CHECK_OK(sea_lm_loss(rig->work, &sum, &err), err);
    CHECK_OK(sea_lm_backward(rig->lm, rig->work, rig->dgiven, &err), err);
    return sum;
}

static float *
logits_of(struct rig *rig)
{
    float *out = calloc(ROWS * VOCAB, sizeof(*out));
    struct sea_err err = { 0 };

    CHECK_OK(sea_lm_logits(rig->lm, rig->work, &batch, rig->given, out, &err), err);
    return out;
}

/* ---- gradients ---- */

struct twin_case {
    const struct rig *rig;
    double *base, given[48];
};

/* The loss with weights that hold the adapters w. */
static double
merged_loss(const void *arg, const double *w)
{
    const struct twin_case *c = arg;
    const struct sea_lora *lora = c->rig->lora;
    const struct sea_params *params = &c->rig->lm->params;
    double *merged = calloc((size_t)params->floats, sizeof(*merged)), loss;
    double scale = lora->desc.alpha / (double)lora->desc.rank;

    memcpy(merged, c->base, (size_t)params->floats * sizeof(*merged));
    for (int64_t p = 0; p < lora->count; p++) {
        const struct sea_lora_pair *pair = &lora->pairs[p];

        for (int64_t o = 0; o < pair->base->rows; o++)
            for (int64_t k = 0; k < lora->desc.rank; k++)
                for (int64_t i = 0; i < pair->base->cols; i++)
                    merged[pair->base->offset + o * pair->base->cols + i] +=
                        scale * w[pair->b + o * lora->desc.rank + k] *
                        w[pair->a + k * pair->base->cols + i];
    }
    loss = twin_lm_loss(c->rig->lm, merged, &batch, c->given) / SUPERVISED;
    free(merged);
    return loss;
}

static void
gradients_follow_a_merged_twin(void)
{
    const struct sea_lora_desc descs[] = {
        { .rank = 3, .alpha = 6, .seed = 2 },
        { .rank = 2, .alpha = 1, .seed = 2, .targets = some, .targets_count = 3 },
    };

    for (int d = 0; d < 2; d++) {
        struct rig rig;
        struct twin_case twin = { .rig = &rig };
        double loss, want, *w, worst = 0;

        open_rig(&rig, &descs[d], false, false);
        CHECK_INT(rig.lora->count, d ? 9 : 21);
        CHECK(rig.lm->params.grad == NULL);
        loss = run_step(&rig);
        twin.base = twin_weights(&rig.lm->params);
        for (int i = 0; i < 48; i++)
            twin.given[i] = (double)rig.given[i];
        w = twin_weights(&rig.lora->params);
        want = merged_loss(&twin, w) * SUPERVISED;
        printf("adapters %d: loss %.6f, twin %.6f\n", d, loss, want);
        CHECK_NEAR(loss, want, 1e-5 * want);
        twin_check_gradients(d ? "three layers" : "all layers", &rig.lora->params,
                             rig.lora->params.grad, 4, 5e-5, merged_loss, &twin);
        for (int i = 0; i < 48; i += 5) {
            double old = twin.given[i], up, down;

            twin.given[i] = old + 1e-4;
            up = merged_loss(&twin, w);
            twin.given[i] = old - 1e-4;
            down = merged_loss(&twin, w);
            twin.given[i] = old;
            worst = fmax(worst, fabs((up - down) / 2e-4 - (double)rig.dgiven[i]));
        }
        printf("gradient of given rows off by %.2g\n", worst);
        CHECK(worst <= 1e-5);
        free(w);
        free(twin.base);
        close_rig(&rig);
    }
}

static void
new_adapters_change_nothing_and_merging_changes_no_logits(void)
{
    const struct sea_lora_desc desc = { .rank = 4, .alpha = 8, .seed = 3 };
    struct sea_err err = { 0 };
    struct sea_lora *fresh;
    struct rig rig;
    float *plain, *attached, *merged;
    double off = 0, most = 0, moved = 0;

    open_rig(&rig, NULL, false, false);
    plain = logits_of(&rig);
    CHECK_OK(sea_lora_create(&fresh, &rig.lm->stack, &desc, false, &err), err);
    CHECK(fresh->params.grad == NULL);
    attached = logits_of(&rig);
    CHECK(!memcmp(plain, attached, ROWS * VOCAB * sizeof(float)));
    shake(fresh);
    free(attached);
    attached = logits_of(&rig);
    CHECK_OK(sea_lora_merge(fresh, &err), err);
    sea_lora_destroy(fresh);
    CHECK(rig.lm->stack.lora == NULL);
    merged = logits_of(&rig);
    for (int i = 0; i < ROWS * VOCAB; i++) {
        off = fmax(off, fabs((double)(merged[i] - attached[i])));
        most = fmax(most, fabs((double)merged[i]));
        moved = fmax(moved, fabs((double)(merged[i] - plain[i])));
    }
    printf("merged against attached: %.2g of %.3g (bound 1e-5), moved by %.2g\n", off / most,
           most, moved);
    CHECK(off <= 1e-5 * most && moved > 0.1);
    free(plain);
    free(attached);
    free(merged);
    close_rig(&rig);
}

/* ---- dropout ---- */

static void
dropout_follows_keys_and_its_gradients_its_masks(void)
{
    const struct sea_lora_desc desc = { .rank = 3, .alpha = 6, .seed = 2, .dropout = 0.3 };
    struct sea_lora *lora;
    struct rig rig;
    double loss, again, other, off, up, down, along = 0, most = 0;
    float *grad, *first;
    int64_t n;

    open_rig(&rig, &desc, false, false);
    lora = rig.lora;
    n = lora->params.floats;
    again = run_step(&rig);                     /* no keys: nothing is dropped */
    set_keys(&rig, 5);
    memset(lora->params.grad, 0, (size_t)n * sizeof(float));
    loss = run_step(&rig);
    CHECK(loss != again);
    grad = twin_host(&device, lora->params.grad, n);
    memset(lora->params.grad, 0, (size_t)n * sizeof(float));
    again = run_step(&rig);
    CHECK(loss == again && !memcmp(grad, lora->params.grad, (size_t)n * sizeof(float)));
    set_keys(&rig, 6);
    other = run_step(&rig);
    CHECK(other != loss);
    /* Along the gradient the loss must change as the gradient says. */
    set_keys(&rig, 5);
    first = twin_host(&device, lora->params.data, n);
    for (int64_t i = 0; i < n; i++)
        most += (double)grad[i] * (double)grad[i];
    for (int64_t i = 0; i < n; i++)
        lora->params.data[i] = first[i] + 0.01f * grad[i] / (float)sqrt(most);
    up = run_step(&rig) / SUPERVISED;
    for (int64_t i = 0; i < n; i++)
        lora->params.data[i] = first[i] - 0.01f * grad[i] / (float)sqrt(most);
    down = run_step(&rig) / SUPERVISED;
    along = (up - down) / 0.02;
    off = fabs(along - sqrt(most)) / sqrt(most);
    printf("dropout: slope along the gradient %.5f, its norm %.5f (off by %.2g, bound 0.01)\n",
           along, sqrt(most), off);
    CHECK(off <= 0.01);
    free(grad);
    free(first);
    close_rig(&rig);
}

/* Each segment alone, with the keys it has in the batch: the losses add up. */
static void
dropout_does_not_know_of_packing(void)
{
    const struct sea_lora_desc desc = { .rank = 3, .alpha = 6, .seed = 2, .dropout = 0.3 };
    struct sea_err err = { 0 };
    struct rig rig;
    double whole, sum = 0, one;
    int64_t live_at = 0, given_at = 0;

    open_rig(&rig, &desc, false, false);
    set_keys(&rig, 5);
    whole = run_step(&rig);
    for (int s = 0; s < 3; s++) {
        int32_t from = starts[s], rows = starts[s + 1] - from, start[2] = { 0, rows };
        const struct sea_lm_batch part = { rows, 1, start, ids + from, labels + from };
        int64_t live = sea_lm_supervised(&part), given = 0;

        for (int32_t r = 0; r < rows; r++)
            given += ids[from + r] == GIVEN;
        sea_lora_set_rows(rig.lora, 5, (struct sea_lora_keys){ rig.keys + from, rows },
                          (struct sea_lora_keys){ rig.live_keys + live_at, live });
        CHECK_OK(sea_lm_forward(rig.lm, rig.work, &part, rig.given + 16 * given_at,
                                1.0f / SUPERVISED, false, &err), err);
        CHECK_OK(sea_lm_loss(rig.work, &one, &err), err);
        sum += one;
        live_at += live;
        given_at += given;
    }
    printf("dropout: packed loss %.9f, of the segments alone %.9f\n", whole, sum);
    CHECK_NEAR(whole, sum, 1e-6 * whole);
    close_rig(&rig);
}

/* ---- recomputation, threads ---- */

static void
recomputation_gives_the_same_bits(void)
{
    const struct sea_lora_desc desc = { .rank = 3, .alpha = 6, .seed = 2, .dropout = 0.2 };

    for (int full = 0; full < 2; full++) {
        struct rig keep, redo;
        const struct sea_params *a, *b;

        open_rig(&keep, full ? NULL : &desc, full, false);
        open_rig(&redo, full ? NULL : &desc, full, true);
        if (!full) {
            set_keys(&keep, 1);
            set_keys(&redo, 1);
        }
        CHECK(run_step(&keep) == run_step(&redo));
        a = full ? &keep.lm->params : &keep.lora->params;
        b = full ? &redo.lm->params : &redo.lora->params;
        CHECK(!memcmp(a->grad, b->grad, (size_t)a->floats * sizeof(float)));
        CHECK(!memcmp(keep.dgiven, redo.dgiven, sizeof(keep.dgiven)));
        close_rig(&keep);
        close_rig(&redo);
    }
}

static void
recomputation_needs_less_memory(void)
{
    const struct sea_lm_limits all = { .rows = 1000, .trained = true };
    const struct sea_lm_limits inputs = { .rows = 1000, .trained = true, .recompute = true };
    struct rig rig;
    size_t most, least;

    open_rig(&rig, NULL, false, false);
    most = sea_lm_work_bytes(rig.lm, &all);
    least = sea_lm_work_bytes(rig.lm, &inputs);
    printf("activations of 1000 rows, 3 blocks: %.2f MB, recomputed %.2f MB\n",
           (double)most / 1e6, (double)least / 1e6);
    CHECK(least < most * 0.75);
    close_rig(&rig);
}

static void
threads_change_no_bits(void)
{
    const struct sea_lora_desc desc = { .rank = 3, .alpha = 6, .seed = 2, .dropout = 0.2 };
    float *grads[2];
    double loss[2];
    int64_t n = 0;

    for (int i = 0; i < 2; i++) {
        struct sea_err err = { 0 };
        struct rig rig;

        sea_device_close(&device);
        CHECK_OK(sea_device_open(&device, i ? "cpu:3" : "cpu:1", &err), err);
        open_rig(&rig, &desc, false, false);
        set_keys(&rig, 1);
        loss[i] = run_step(&rig);
        n = rig.lora->params.floats;
        grads[i] = twin_host(&device, rig.lora->params.grad, n);
        close_rig(&rig);
    }
    CHECK(loss[0] == loss[1] && !memcmp(grads[0], grads[1], (size_t)n * sizeof(float)));
    free(grads[0]);
    free(grads[1]);
}

/* ---- folders ---- */

static void
folders_give_back_the_adapters(void)
{
    struct sea_err err = { 0 };

    for (int d = 0; d < 4; d++) {
        const struct sea_lora_desc desc = {
            .rank = 5, .alpha = d & 1 ? 2.5 : 10, .seed = 4, .dropout = 0.1,
            .targets = some, .targets_count = d & 1 ? 3 : 0 };
        char dir[SEA_PATH_MAX], base[SEA_PATH_MAX];
        struct sea_lora *back;
        struct rig rig;
        float *before, *after;

        open_rig(&rig, &desc, false, false);
        before = logits_of(&rig);
        CHECK_OK(sea_path_join(dir, sea_test_dir(), "peft", &err), err);
        CHECK_OK(sea_lora_save(rig.lora, dir, "base", d & 2, NULL, &err), err);
        CHECK(sea_lora_is_folder(dir));
        CHECK(sea_lora_base(dir, base, &err) == SEA_E_MISSING);
        CHECK_FAILS(err, SEA_E_MISSING, "base");
        sea_err_clear(&err);
        sea_lora_destroy(rig.lora);
        CHECK_OK(sea_lora_load(&back, &rig.lm->stack, dir, &err), err);
        rig.lora = back;
        CHECK(back->desc.dropout == 0);
        after = logits_of(&rig);
        CHECK(!memcmp(before, after, ROWS * VOCAB * sizeof(float)));
        free(before);
        free(after);
        close_rig(&rig);
    }
}

/* ---- ranks and scales of their own ---- */

#define KEPT 2                  /* the rank of q_proj */

static float
even_scale(const struct sea_lora *lora)
{
    return (float)(lora->desc.alpha / (double)lora->desc.rank);
}

/* One pair as the uneven file has it: the reference's numbers change, items get the file's.
 * q_proj has rank 2; v_proj stands in the first layer only; down_proj of the second has an
 * alpha of its own. */
static size_t
thin_out(struct sea_lora *lora, const struct sea_lora_pair *pair, struct sea_arena *arena,
         struct sea_tensor_item items[2])
{
    const struct sea_param *of[2] = { sea_params_at(&lora->params, pair->a),
                                      sea_params_at(&lora->params, pair->b) };
    bool second = strstr(pair->base->name, "layers.1.") != NULL;
    bool thin = strstr(pair->base->name, "q_proj") != NULL;
    bool gone = second && strstr(pair->base->name, "v_proj") != NULL;
    int64_t rank = thin ? KEPT : lora->desc.rank;
    double alpha = second && strstr(pair->base->name, "down_proj") ? 3 : lora->desc.alpha;
    float *a = lora->params.data + pair->a, *b = lora->params.data + pair->b, *out;

    for (int m = 0; m < 2; m++) {
        items[m] = (struct sea_tensor_item){ .dtype = SEA_F32, .rank = 2 };
        items[m].name = sea_arena_printf(arena, "base_model.model.%s", of[m]->name);
        items[m].shape[0] = m ? of[m]->rows : rank;
        items[m].shape[1] = m ? rank : of[m]->cols;
    }
    items[0].data = sea_arena_alloc(arena, (size_t)(rank * of[0]->cols), sizeof(float));
    memcpy((void *)(uintptr_t)items[0].data, a, (size_t)(rank * of[0]->cols) * sizeof(float));
    items[1].data = out = sea_arena_alloc(arena, (size_t)(rank * of[1]->rows), sizeof(float));
    for (int64_t r = 0; r < of[1]->rows; r++)
        for (int64_t c = 0; c < lora->desc.rank; c++) {
            float *at = &b[r * lora->desc.rank + c];

            if (c < rank)
                out[r * rank + c] = *at;
            *at = gone || c >= rank ? 0.0f
                                    : (float)((double)*at * alpha / (double)rank) /
                                      even_scale(lora);
        }
    return gone ? 0 : 2;
}

static void
ranks_and_scales_of_their_own(void)
{
    static const char config[] =
        "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,\"rank_pattern\":{\"q_proj\":2},"
        "\"alpha_pattern\":{\"layers\\\\.1\\\\..*down_proj\":3},"
        "\"target_modules\":\".*(q_proj|v_proj|down_proj)\"}";
    const struct sea_lora_desc desc = { .rank = 5, .alpha = 10, .seed = 4, .targets = some,
                                        .targets_count = 3 };
    struct sea_arena *arena = sea_arena_create(NULL, "uneven adapters");
    char dir[SEA_PATH_MAX], path[SEA_PATH_MAX];
    struct sea_tensor_item items[64];
    struct sea_err err = { 0 };
    struct sea_lora *back = NULL;
    float *before, *after;
    double off = 0, most = 0;
    size_t count = 0;
    struct rig rig;

    open_rig(&rig, &desc, false, false);
    for (int64_t i = 0; i < rig.lora->count; i++)
        count += thin_out(rig.lora, &rig.lora->pairs[i], arena, &items[count]);
    before = logits_of(&rig);
    sea_lora_destroy(rig.lora);
    rig.lora = NULL;
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "uneven", &err), err);
    CHECK_OK(sea_dir_create(dir, &err), err);
    CHECK_OK(sea_path_join(path, dir, "adapter_config.json", &err), err);
    CHECK_OK(sea_file_replace(path, config, strlen(config), &err), err);
    CHECK_OK(sea_path_join(path, dir, SEA_LORA_WEIGHTS, &err), err);
    CHECK_OK(sea_tensors_write(path, items, count, NULL, 0, &err), err);
    CHECK_OK(sea_lora_load(&back, &rig.lm->stack, dir, &err), err);
    rig.lora = back;
    after = logits_of(&rig);
    for (int i = 0; i < ROWS * VOCAB; i++) {
        off = fmax(off, fabs((double)(after[i] - before[i])));
        most = fmax(most, fabs((double)before[i]));
    }
    printf("ranks 2 and 5, two scales, a layer without: logits off by %.2g of %.2g\n", off, most);
    CHECK(off < 1e-5 * most);
    /* Half an adapter is damage, whatever the config says. */
    CHECK_OK(sea_tensors_write(path, items, count - 1, NULL, 0, &err), err);
    CHECK(sea_lora_load(&back, &rig.lm->stack, dir, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "lora_B");
    free(before);
    free(after);
    sea_arena_destroy(arena);
    close_rig(&rig);
}

static void
write_config(const char *text)
{
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    CHECK_OK(sea_path_join(path, sea_test_dir(), "peft/adapter_config.json", &err), err);
    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

static void
what_is_not_computed_is_refused_by_name(void)
{
    static const struct {
        const char *config, *word;
    } wrong[] = {
        { "{\"peft_type\":\"IA3\",\"r\":5,\"lora_alpha\":10}", "IA3" },
        { "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,\"use_dora\":true}", "use_dora" },
        { "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,\"bias\":\"all\"}", "bias" },
        { "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,\"init_lora_weights\":\"pissa\"}",
          "init_lora_weights" },
        { "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,\"alpha_pattern\":{\"(q\":3}}",
          "(q" },
        { "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,\"alpha_pattern\":{\"q_proj\":"
          "\"x\"}}", "q_proj" },
        { "{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10,"
          "\"modules_to_save\":[\"lm_head\"]}", "modules_to_save" },
        { "{\"peft_type\":\"LORA\",\"r\":0,\"lora_alpha\":10}", "\"r\"" },
        { "{\"peft_type\":\"LORA\",\"r\":5}", "lora_alpha" },
        { "{\"peft_type\":\"LORA\",\"r\":4,\"lora_alpha\":10}", "(4, 16)" },
    };
    static const char *const absent[] = { "q_proj", "query_key_value" };
    const struct sea_lora_desc bad = { .rank = 2, .alpha = 2, .targets = absent,
                                       .targets_count = 2 };
    const struct sea_lora_desc desc = { .rank = 5, .alpha = 10 };
    struct sea_err err = { 0 };
    struct sea_lora *lora;
    char dir[SEA_PATH_MAX];
    struct rig rig;

    open_rig(&rig, &desc, false, false);
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "peft", &err), err);
    CHECK_OK(sea_lora_save(rig.lora, dir, "base", false, NULL, &err), err);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        write_config(wrong[i].config);
        CHECK(sea_lora_load(&lora, &rig.lm->stack, dir, &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, wrong[i].word);
        sea_err_clear(&err);
    }
    write_config("{\"peft_type\":\"LORA\",\"r\":5,\"lora_alpha\":10}");
    CHECK(sea_lora_base(dir, dir, &err) == SEA_E_FORMAT);
    sea_err_clear(&err);
    CHECK(sea_lora_create(&lora, &rig.lm->stack, &bad, true, &err) == SEA_E_CONFIG);
    CHECK_FAILS(err, SEA_E_CONFIG, "query_key_value");
    CHECK(strstr(err.hint, "up_proj") != NULL);
    close_rig(&rig);
}

SEA_TEST_MAIN("low-rank adapters",
              TEST(gradients_follow_a_merged_twin),
              TEST(new_adapters_change_nothing_and_merging_changes_no_logits),
              TEST(dropout_follows_keys_and_its_gradients_its_masks),
              TEST(dropout_does_not_know_of_packing),
              TEST(recomputation_gives_the_same_bits),
              TEST(recomputation_needs_less_memory),
              TEST(threads_change_no_bits),
              TEST(folders_give_back_the_adapters),
              TEST(ranks_and_scales_of_their_own),
              TEST(what_is_not_computed_is_refused_by_name))
