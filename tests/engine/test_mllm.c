/* SPDX-License-Identifier: Apache-2.0 */
/* Pictures in the language model: the adapter's gradients through the whole step, frozen and
 * tuned, adapter files under both names, and Llava folders. */
#include "engine/base/sea_file.h"
#include "engine/sea_conversation.h"
#include "engine/sea_mllm.h"
#include "engine/sea_safetensors.h"
#include "tests/engine/model_twin.h"

#define PATCHES 4
#define WIDTH 16                /* of the language model */
#define FEATURES 24             /* of the tower */
#define GIVEN SEA_LM_GIVEN
#define NO SEA_LM_IGNORE
#define ROWS 24
#define SUPERVISED 7

static struct sea_device device;
static const int32_t starts[4] = { 0, 8, 19, ROWS };
static const int32_t ids[ROWS] = {
    1, GIVEN, GIVEN, GIVEN, GIVEN, 5, 6, 7,
    1, 9, 10, GIVEN, GIVEN, GIVEN, GIVEN, 11, 4, 5, 2,
    1, 12, 13, 14, 2,
};
static const int32_t labels[ROWS] = {
    NO, NO, NO, NO, NO, 5, 6, 7,
    NO, NO, NO, NO, NO, NO, NO, NO, 4, NO, 2,
    NO, NO, NO, 14, 2,
};
static float features[2 * PATCHES * FEATURES];
static const struct sea_mllm_batch batch = {
    .text = { ROWS, 3, starts, ids, labels }, .images = 2, .features = features,
};

/* NOLINTNEXTLINE(misc-redundant-expression): equal today, and meant to stay so */
_Static_assert(SEA_LM_GIVEN - SEA_IMAGE_ID == 0 && SEA_LM_IGNORE - SEA_LABEL_NONE == 0,
               "conversations make the ids and labels that batches hold");

struct rig {
    struct sea_mllm mllm;
    struct sea_mllm_work *work;
};

static void
rig_open(struct rig *rig, enum sea_adapter_kind kind, bool tuned)
{
    const struct sea_mllm_limits limits = { { .rows = 40, .trained = true }, 3 };
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_err err = { 0 };

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    desc.vocab = 20;
    desc.D = WIDTH;
    desc.F = 32;
    desc.layers = 2;
    desc.H = 2;
    desc.K = 1;
    desc.E = 8;
    desc.init_scale = 0.3f;
    CHECK_OK(sea_lm_create(&rig->mllm.lm, &device, &desc, 3, tuned, &err), err);
    CHECK_OK(sea_adapter_create(&rig->mllm.adapter, &device, kind, FEATURES, WIDTH, 4, true,
                                &err), err);
    rig->mllm.patches = PATCHES;
    CHECK_OK(sea_mllm_work_create(&rig->work, &rig->mllm, &limits, &err), err);
    for (int i = 0; i < 2 * PATCHES * FEATURES; i++)
        features[i] = (float)sea_rng_normal_at(6, 6, (uint64_t)i);
}

static void
rig_close(struct rig *rig)
{
    sea_mllm_work_destroy(rig->work);
    sea_adapter_destroy(rig->mllm.adapter);
    sea_lm_destroy(rig->mllm.lm);
}

/* The loss as a function of the adapter's weights, or of the language model's. */
struct twin_case {
    const struct rig *rig;
    const double *lm, *adapter; /* the one that is not varied */
};

static double
loss_with(const struct rig *rig, const double *lm, const double *adapter)
{
    double in[2 * PATCHES * FEATURES], given[2 * PATCHES * WIDTH];

    for (int i = 0; i < 2 * PATCHES * FEATURES; i++)
        in[i] = (double)features[i];
    twin_adapter(rig->mllm.adapter, adapter, in, 2 * PATCHES, given);
    return twin_lm_loss(rig->mllm.lm, lm, &batch.text, given) / SUPERVISED;
}

static double
loss_of_adapter(const void *arg, const double *w)
{
    const struct twin_case *c = arg;

    return loss_with(c->rig, c->lm, w);
}

static double
loss_of_lm(const void *arg, const double *w)
{
    const struct twin_case *c = arg;

    return loss_with(c->rig, w, c->adapter);
}

static void
step(struct rig *rig, const struct sea_mllm_batch *of, double *loss)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_mllm_forward(&rig->mllm, rig->work, of, 1.0f / SUPERVISED, true, &err), err);
    CHECK_OK(sea_mllm_loss(rig->work, loss, &err), err);
    CHECK_OK(sea_mllm_backward(&rig->mllm, rig->work, &err), err);
    CHECK_OK(sea_mllm_backward_adapter(&rig->mllm, rig->work, NULL, &err), err);
}

static void
gradients_reach_the_adapter(void)
{
    static const enum sea_adapter_kind kinds[6] = {
        SEA_ADAPTER_MLP2X_GELU, SEA_ADAPTER_LINEAR, SEA_ADAPTER_MLP2X_GELU,
        SEA_ADAPTER_MLP1X_GELU, (enum sea_adapter_kind)3, SEA_ADAPTER_MLP8X_GELU };
    static const char *const what[6] = {
        "mlp2x_gelu, frozen model", "linear, frozen model", "mlp2x_gelu, tuned model",
        "mlp1x_gelu, frozen model", "mlp3x_gelu, frozen model", "mlp8x_gelu, frozen model" };
    struct twin_case twin;
    struct rig rig;
    double loss, *lm, *adapter;

    for (int i = 0; i < 6; i++) {
        rig_open(&rig, kinds[i], i == 2);
        lm = twin_weights(&rig.mllm.lm->params);
        adapter = twin_weights(&rig.mllm.adapter->params);
        twin = (struct twin_case){ &rig, lm, adapter };
        step(&rig, &batch, &loss);
        CHECK_INT(sea_lm_supervised(&batch.text), SUPERVISED);
        CHECK_NEAR(loss / SUPERVISED, loss_with(&rig, lm, adapter), 1e-5);
        twin_check_gradients(what[i], &rig.mllm.adapter->params, rig.mllm.adapter->params.grad,
                             6, 2e-5, loss_of_adapter, &twin);
        if (i == 2)
            twin_check_gradients("the model itself", &rig.mllm.lm->params,
                                 rig.mllm.lm->params.grad, 3, 2e-5, loss_of_lm, &twin);
        free(lm);
        free(adapter);
        rig_close(&rig);
    }
}

static void
device_features_and_text_only_batches(void)
{
    static const int32_t one[2] = { 0, 4 };
    static const int32_t words[4] = { 1, 2, 3, 4 };
    const struct sea_mllm_batch text = { .text = { 4, 1, one, words, words } };
    struct sea_mllm_batch resident = batch;
    struct sea_err err = { 0 };
    struct rig rig;
    float *first, *second;
    int64_t n;
    void *mem;
    double a, b;

    rig_open(&rig, SEA_ADAPTER_MLP2X_GELU, false);
    n = rig.mllm.adapter->params.floats;
    step(&rig, &batch, &a);
    first = twin_host(&device, rig.mllm.adapter->params.grad, n);
    step(&rig, &text, &b);                      /* adds nothing */
    second = twin_host(&device, rig.mllm.adapter->params.grad, n);
    CHECK(!memcmp(first, second, (size_t)n * sizeof(float)));
    free(second);
    CHECK_OK(sea_device_alloc(&device, sizeof(features), &mem, &err), err);
    CHECK_OK(sea_device_put(&device, mem, features, sizeof(features), &err), err);
    resident.features = mem;
    resident.features_on_device = true;
    CHECK_OK(sea_params_zero_grad(&rig.mllm.adapter->params, &err), err);
    step(&rig, &resident, &b);
    second = twin_host(&device, rig.mllm.adapter->params.grad, n);
    CHECK(a == b && !memcmp(first, second, (size_t)n * sizeof(float)));
    resident.images = 1;
    CHECK(sea_mllm_forward(&rig.mllm, rig.work, &resident, 1.0f, true, &err) ==
          SEA_E_INTERNAL);
    free(first);
    free(second);
    sea_device_free(&device, mem);
    rig_close(&rig);
}

static void
adapter_files_have_both_names(void)
{
    const struct sea_params_part hf[1] = { { NULL, "multi_modal_projector." } };
    struct sea_params_part part = hf[0];
    struct sea_tensors *tensors;
    struct sea_adapter *back;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    struct rig rig;
    size_t bytes;

    for (int kind = 0; kind <= SEA_ADAPTER_LAYERS_MAX; kind++) {
        static const char *const last[] = {
            "model.mm_projector.weight", "model.mm_projector.0.bias",
            "model.mm_projector.2.bias", "model.mm_projector.4.bias",
            "model.mm_projector.6.weight", "model.mm_projector.8.bias",
            "model.mm_projector.10.bias", "model.mm_projector.12.bias",
            "model.mm_projector.14.weight" };
        enum sea_adapter_kind named;

        CHECK(sea_adapter_kind_find(sea_adapter_kind_name((enum sea_adapter_kind)kind), &named)
              && (int)named == kind);
        rig_open(&rig, (enum sea_adapter_kind)kind, false);
        bytes = (size_t)rig.mllm.adapter->params.floats * sizeof(float);
        CHECK_OK(sea_path_join(path, sea_test_dir(), "adapter.safetensors", &err), err);
        CHECK_OK(sea_adapter_save(rig.mllm.adapter, path, &err), err);
        CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
        CHECK(sea_tensors_find(tensors, last[kind]));
        CHECK_INT(tensors->count, 2 * sea_adapter_kind_layers((enum sea_adapter_kind)kind));
        sea_tensors_close(tensors);
        CHECK_OK(sea_adapter_load(&back, &device, path, FEATURES, WIDTH, false, &err), err);
        CHECK(back && back->kind == (enum sea_adapter_kind)kind &&
              !memcmp(back->params.data, rig.mllm.adapter->params.data, bytes));
        sea_adapter_destroy(back);
        CHECK(sea_adapter_load(&back, &device, path, FEATURES + 1, WIDTH, false, &err) ==
              SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, "width 24 to 16");
        sea_err_clear(&err);
        rig_close(&rig);
    }
    rig_open(&rig, SEA_ADAPTER_MLP2X_GELU, false);
    part.params = &rig.mllm.adapter->params;
    CHECK_OK(sea_params_save(path, &part, 1, &err), err);
    CHECK_OK(sea_adapter_load(&back, &device, path, 0, 0, false, &err), err);
    CHECK(back && back->Dv == FEATURES && back->D == WIDTH &&
          !memcmp(back->params.data, rig.mllm.adapter->params.data,
                  (size_t)rig.mllm.adapter->params.floats * sizeof(float)));
    sea_adapter_destroy(back);
    part.prefix = "other.";
    CHECK_OK(sea_params_save(path, &part, 1, &err), err);
    CHECK(sea_adapter_load(&back, &device, path, 0, 0, false, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "no adapter");
    rig_close(&rig);
}

static void
adapter_starts_as_pytorch_does(void)
{
    struct sea_adapter *adapter;
    struct sea_err err = { 0 };
    double square = 0.0, most = 0.0, bound = 1.0 / sqrt(400.0);

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    CHECK_OK(sea_adapter_create(&adapter, &device, SEA_ADAPTER_MLP2X_GELU, 400, 64, 1, false,
                                &err), err);
    for (int64_t i = 0; i < 64 * 400; i++) {
        double w = (double)adapter->params.data[adapter->w[0] + i];

        square += w * w / (64 * 400);
        most = fmax(most, fabs(w));
    }
    CHECK(most <= bound && most > 0.99 * bound);
    CHECK_NEAR(sqrt(square), bound / sqrt(3.0), 0.01 * bound);
    sea_adapter_destroy(adapter);
}

/* ---- folders ---- */

static void
make_folder(struct sea_mllm_folder *folder)
{
    struct sea_clip_desc clip;
    struct sea_err err = { 0 };
    struct rig rig;

    rig_open(&rig, SEA_ADAPTER_MLP2X_GELU, false);
    sea_mllm_work_destroy(rig.work);
    memset(&clip, 0, sizeof(clip));
    clip.vision.D = FEATURES;
    clip.vision.layers = 2;
    clip.vision.heads = 3;
    clip.vision.F = 32;
    clip.vision.image = 8;
    clip.vision.patch = 4;
    clip.vision.channels = 3;
    clip.vision.act = SEA_ACT_QUICK_GELU;
    clip.vision.eps = 1e-5f;
    memset(folder, 0, sizeof(*folder));
    CHECK_OK(sea_clip_create(&folder->clip, &device, &clip, 1, false, &err), err);
    folder->adapter = rig.mllm.adapter;
    folder->lm = rig.mllm.lm;
    folder->layer = -2;
    folder->image_token = 19;
    folder->patches = PATCHES;
}

static void
llava_folders_come_back(void)
{
    struct sea_mllm_trained none = { false, false, false };
    struct sea_mllm_folder folder, back;
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX];

    make_folder(&folder);
    if (!folder.clip)
        return;
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "llava", &err), err);
    CHECK_OK(sea_mllm_save(&folder, dir, &err), err);
    CHECK_OK(sea_mllm_load(&back, &device, dir, none, &err), err);
    if (back.lm) {
        CHECK_INT(back.layer, -2);
        CHECK_INT(back.image_token, 19);
        CHECK_INT(back.patches, PATCHES);
        CHECK(!back.with_class);
        CHECK(!memcmp(back.lm->params.data, folder.lm->params.data,
                      (size_t)folder.lm->params.floats * sizeof(float)));
        CHECK(!memcmp(back.adapter->params.data, folder.adapter->params.data,
                      (size_t)folder.adapter->params.floats * sizeof(float)));
        CHECK(!memcmp(back.clip->vision.data, folder.clip->vision.data,
                      (size_t)folder.clip->vision.floats * sizeof(float)));
    }
    sea_mllm_release(&back);
    sea_mllm_release(&folder);
    sea_mllm_release(&folder);
}

/* Names of newer releases: everything below "model.", the head outside. */
static void
newer_names_are_read(void)
{
    struct sea_mllm_trained none = { false, false, false };
    struct sea_mllm_folder folder, back;
    struct sea_params newer;
    struct sea_params_part parts[3];
    struct sea_err err = { 0 };
    char dir[SEA_PATH_MAX], path[SEA_PATH_MAX];

    make_folder(&folder);
    if (!folder.clip)
        return;
    CHECK_OK(sea_path_join(dir, sea_test_dir(), "newer", &err), err);
    CHECK_OK(sea_mllm_save(&folder, dir, &err), err);
    newer = folder.lm->params;
    newer.list = sea_arena_alloc(folder.lm->arena, (size_t)newer.count, sizeof(*newer.list));
    memcpy(newer.list, folder.lm->params.list, (size_t)newer.count * sizeof(*newer.list));
    for (int64_t t = 0; t < newer.count; t++)
        newer.list[t].name += strlen("model.");
    parts[0] = (struct sea_params_part){ &newer, "model.language_model." };
    parts[1] = (struct sea_params_part){ &folder.clip->vision, "model.vision_tower." };
    parts[2] = (struct sea_params_part){ &folder.adapter->params,
                                         "model.multi_modal_projector." };
    CHECK_OK(sea_path_join(path, dir, "model.safetensors", &err), err);
    CHECK_OK(sea_params_save(path, parts, 3, &err), err);
    CHECK_OK(sea_mllm_load(&back, &device, dir, none, &err), err);
    CHECK(back.lm && !memcmp(back.lm->params.data, folder.lm->params.data,
                             (size_t)folder.lm->params.floats * sizeof(float)));
    sea_mllm_release(&back);
    sea_mllm_release(&folder);
}

static void
wrong_folders_are_refused(void)
{
    static const struct { const char *text, *words; } wrong[] = {
        { "{\"model_type\": \"llama\"}", "llava" },
        { "{\"model_type\": \"llava\"}", "text_config" },
        { "{\"model_type\": \"llava\", \"text_config\": {}, \"vision_feature_layer\": [-2, -1]}",
          "vision_feature_layer" },
        { "{\"model_type\": \"llava\", \"text_config\": {}, \"projector_hidden_act\": \"relu\"}",
          "relu" },
        { "{\"model_type\": \"llava\", \"text_config\": {}, "
          "\"vision_feature_select_strategy\": \"cls\"}", "cls" },
    };
    struct sea_mllm_trained none = { false, false, false };
    struct sea_mllm_folder folder;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    CHECK_OK(sea_path_join(path, sea_test_dir(), "config.json", &err), err);
    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK_OK(sea_file_replace(path, wrong[i].text, strlen(wrong[i].text), &err), err);
        CHECK(sea_mllm_load(&folder, &device, sea_test_dir(), none, &err) == SEA_E_FORMAT);
        CHECK_FAILS(err, SEA_E_FORMAT, wrong[i].words);
        sea_err_clear(&err);
    }
}

SEA_TEST_MAIN("pictures in the language model",
              TEST(gradients_reach_the_adapter),
              TEST(device_features_and_text_only_batches),
              TEST(adapter_files_have_both_names),
              TEST(adapter_starts_as_pytorch_does),
              TEST(llava_folders_come_back),
              TEST(newer_names_are_read),
              TEST(wrong_folders_are_refused))
