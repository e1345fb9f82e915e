/* SPDX-License-Identifier: Apache-2.0 */
/*
 * lm_dump.c - our side of lm_oracle.py: what the engine computes from a model folder
 *
 *     lm_dump make-lm FAMILY DIR           a small random model in DIR
 *     lm_dump make-llava FAMILY DIR        a small random multimodal model in DIR
 *     lm_dump lm DIR IN OUT                logits, loss and gradients
 *     lm_dump llava DIR IN OUT             the same, and the adapter's
 *     lm_dump generate DIR IN OUT          greedy words after the whole of ids
 * IN holds int32 ids and labels (T) and, for pictures, float32 pixels; OUT is what comes
 * back: "logits" (T, V), "loss" (1), "grad.NAME" of every trained tensor, "words".
 */
#include <stdlib.h>
#include <string.h>

#include "engine/sea_generate.h"
#include "engine/sea_mllm.h"
#include "engine/sea_safetensors.h"

#define ITEMS_MAX 512
#define NEW_WORDS 12

struct dump {
    struct sea_device device;
    struct sea_arena *arena;
    struct sea_tensors *in;
    struct sea_tensor_item items[ITEMS_MAX];
    size_t count;
    int64_t rows;
    int32_t *ids, *labels;
};

static void
add(struct dump *dump, const char *name, enum sea_dtype dtype, int64_t rows, int64_t cols,
    const void *host, size_t bytes)
{
    struct sea_tensor_item *item = &dump->items[dump->count++];
    void *copy = sea_arena_alloc(dump->arena, bytes, 1);

    memcpy(copy, host, bytes);
    *item = (struct sea_tensor_item){
        .name = name, .dtype = dtype, .rank = cols ? 2 : 1, .shape = { rows, cols },
        .data = copy,
    };
}

static void
add_grads(struct dump *dump, const struct sea_params *params, const char *prefix)
{
    for (int64_t t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];
        bool vector = param->rank == 1;

        add(dump, sea_arena_printf(dump->arena, "grad.%s%s", prefix, param->name), SEA_F32,
            vector ? param->count : param->rows, vector ? 0 : param->cols,
            params->grad + param->offset, (size_t)param->count * sizeof(float));
    }
}

static enum sea_status
read_ints(struct dump *dump, const char *name, int32_t **out, struct sea_err *err)
{
    const struct sea_tensor *tensor = sea_tensors_find(dump->in, name);
    int64_t *wide;

    if (!tensor)
        return sea_fail(err, SEA_E_FORMAT, "there is no \"%s\"", name);
    wide = sea_arena_alloc(dump->arena, (size_t)tensor->count, sizeof(*wide));
    *out = sea_arena_alloc(dump->arena, (size_t)tensor->count, sizeof(**out));
    dump->rows = tensor->count;
    if (sea_tensor_read_i64(tensor, 0, tensor->count, wide, err))
        return err->status;
    for (int64_t i = 0; i < tensor->count; i++)
        (*out)[i] = (int32_t)wide[i];
    return SEA_OK;
}

static void
add_windows(struct sea_lm_desc *desc, int64_t size, bool all)
{
    desc->windows.size = size;
    for (int64_t l = 0; l < desc->layers; l++)
        if (all || l % 2 == 0)
            sea_windows_set(&desc->windows, l);
}

/* "FAMILY", or "FAMILY-OPTION" with what is in the table. */
static struct sea_lm_desc
small(const char *name)
{
    struct sea_lm_desc desc = sea_lm_defaults();
    size_t stem = strcspn(name, "-");
    char family[32];
    int found;

    snprintf(family, sizeof(family), "%.*s", (int)stem, name);
    found = sea_lm_family_find(family);
    desc.family = found < 0 ? SEA_LM_LLAMA : (enum sea_lm_family)found;
    desc.vocab = 120;
    desc.D = 64;
    desc.F = 176;
    desc.layers = 3;
    desc.H = 4;
    desc.K = 2;
    desc.E = 16;
    desc.max_positions = 256;
    desc.tied = !strstr(name, "-bias") && desc.family != SEA_LM_PHI;
    desc.attention_bias = desc.mlp_bias = strstr(name, "-bias");
    desc.parallel = strstr(name, "-parallel");
    desc.init_scale = 0.1f;
    desc.bos = 1;
    desc.eos[0] = 2;
    desc.eos_count = 1;
    desc.pad = 0;
    if (strstr(name, "-llama3"))
        desc.rope_scaling = (struct sea_rope_scaling){ .kind = SEA_ROPE_LLAMA3, .factor = 8.0,
                                                        .low = 1.0, .high = 4.0, .original = 64 };
    if (strstr(name, "-linear"))
        desc.rope_scaling = (struct sea_rope_scaling){ .kind = SEA_ROPE_LINEAR, .factor = 3.0 };
    if (desc.family == SEA_LM_PHI3 || desc.family == SEA_LM_MISTRAL)
        add_windows(&desc, 17, true);
    if (desc.family == SEA_LM_GEMMA2 || strstr(name, "-window"))
        add_windows(&desc, 19, false);
    if (desc.family == SEA_LM_GEMMA2) {
        desc.query_scalar = 24.0;
        desc.score_cap = 3.0f;
        desc.final_cap = 4.0f;
    }
    return desc;
}

/* Biases and norms start at constants: give them values that a wrong use would show. */
static void
stir(struct sea_params *params)
{
    for (int64_t t = 0; t < params->count; t++)
        for (int64_t i = 0; i < params->list[t].count && params->list[t].rank == 1; i++)
            params->data[params->list[t].offset + i] += 0.05f * (float)((i * 7 + t) % 11 - 5);
}

static enum sea_status
make_llava(struct dump *dump, const char *family, const char *dir, struct sea_err *err)
{
    struct sea_mllm_folder folder = { .layer = -2, .image_token = 119 };
    struct sea_clip_desc clip = {
        .vision = { .D = 48, .layers = 3, .heads = 3, .F = 96, .image = 24, .patch = 8,
                    .channels = 3, .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f },
    };
    struct sea_lm_desc lm = small(family);
    enum sea_status status;

    status = sea_clip_create(&folder.clip, &dump->device, &clip, 1, false, err);
    if (!status)
        status = sea_lm_create(&folder.lm, &dump->device, &lm, 2, false, err);
    if (!status)
        status = sea_adapter_create(&folder.adapter, &dump->device, SEA_ADAPTER_MLP2X_GELU,
                                    48, lm.D, 3, false, err);
    if (!status) {
        stir(&folder.lm->params);
        stir(&folder.clip->vision);
        folder.patches = sea_clip_patch_count(&clip);
        status = sea_mllm_save(&folder, dir, err);
    }
    sea_mllm_release(&folder);
    return status;
}

static enum sea_status
run_lm(struct dump *dump, const char *dir, struct sea_err *err)
{
    struct sea_lm_limits limits = { .trained = true };
    struct sea_lm_work *work = NULL;
    struct sea_lm *lm = NULL;
    struct sea_lm_batch batch = { .segments = 1 };
    enum sea_status status;
    int32_t start[2] = { 0 };
    float *logits;
    double loss;

    status = sea_lm_load(&lm, &dump->device, dir, true, err);
    if (!status)
        status = read_ints(dump, "ids", &dump->ids, err);
    if (!status)
        status = read_ints(dump, "labels", &dump->labels, err);
    if (status)
        goto out;
    limits.rows = batch.rows = dump->rows;
    start[1] = (int32_t)dump->rows;
    batch.start = start;
    batch.ids = dump->ids;
    batch.labels = dump->labels;
    logits = sea_arena_alloc(dump->arena, (size_t)(dump->rows * lm->desc.vocab),
                             sizeof(*logits));
    status = sea_lm_work_create(&work, lm, &limits, err);
    if (!status)
        status = sea_lm_logits(lm, work, &batch, NULL, logits, err);
    if (!status)
        status = sea_lm_forward(lm, work, &batch, NULL,
                                1.0f / (float)sea_lm_supervised(&batch), true, err);
    if (!status)
        status = sea_lm_loss(work, &loss, err);
    if (!status)
        status = sea_lm_backward(lm, work, NULL, err);
    if (status)
        goto out;
    loss /= (double)sea_lm_supervised(&batch);
    add(dump, "logits", SEA_F32, dump->rows, lm->desc.vocab, logits,
        (size_t)(dump->rows * lm->desc.vocab) * sizeof(float));
    add(dump, "loss", SEA_F64, 1, 0, &loss, sizeof(loss));
    add_grads(dump, &lm->params, "");
out:
    sea_lm_work_destroy(work);
    sea_lm_destroy(lm);
    return status;
}

/* ---- a picture and its text ---- */

struct llava {
    struct sea_mllm_folder folder;
    struct sea_mllm mllm;
    float *features;            // (patches, Dv) of the one picture
    int32_t *prompt;            // (prompt_count) ids with one word for the picture
    int64_t prompt_count;
};

/* Loads the folder and puts the picture through its tower. */
static enum sea_status
open_llava(struct llava *llava, struct dump *dump, const char *dir, struct sea_err *err)
{
    const struct sea_mllm_trained trained = { false, true, true };
    const struct sea_clip_limits limits = { .images = 1 };
    const struct sea_tensor *pixels = sea_tensors_find(dump->in, "pixels");
    struct sea_mllm_folder *folder = &llava->folder;
    struct sea_clip_work *work = NULL;
    enum sea_status status;
    int64_t row = 0;
    float *image;

    if (!pixels)
        return sea_fail(err, SEA_E_FORMAT, "there is no \"pixels\"");
    status = sea_mllm_load(folder, &dump->device, dir, trained, err);
    if (!status)
        status = read_ints(dump, "ids", &dump->ids, err);
    if (!status)
        status = read_ints(dump, "labels", &dump->labels, err);
    if (status)
        return status;
    llava->mllm = (struct sea_mllm){ folder->lm, folder->adapter, folder->patches };
    image = sea_arena_alloc(dump->arena, (size_t)pixels->count, sizeof(float));
    llava->features = sea_arena_alloc(
        dump->arena, (size_t)(folder->patches * folder->adapter->Dv), sizeof(float));
    llava->prompt = sea_arena_alloc(dump->arena, (size_t)dump->rows, sizeof(int32_t));
    for (int64_t t = 0; t < dump->rows; t++) {
        bool given = dump->ids[t] == folder->image_token;

        if (given)
            dump->ids[t] = SEA_LM_GIVEN;
        if (!given || !row++)
            llava->prompt[llava->prompt_count++] = dump->ids[t];
    }
    status = sea_tensor_read_f32(pixels, 0, pixels->count, image, err);
    if (!status)
        status = sea_clip_work_create(&work, folder->clip, &limits, err);
    if (!status)
        status = sea_clip_features(folder->clip, work, image, 1, folder->layer,
                                   folder->with_class,
                                   (struct sea_clip_out){ .host = llava->features }, err);
    sea_clip_work_destroy(work);
    return status;
}

/* Greedy words, however the model would end. */
static enum sea_status
answer_llava(const struct llava *llava, struct dump *dump, struct sea_err *err)
{
    const struct sea_generate_desc desc = { .slots = 2, .room = dump->rows + NEW_WORDS };
    const struct sea_prompt one = { llava->prompt, llava->prompt_count, 0, 0 };
    int32_t *words = sea_arena_alloc(dump->arena, NEW_WORDS, sizeof(*words));
    const struct sea_sampling greedy = { .max_new = NEW_WORDS, .eos = words };
    struct sea_answer answer = { .ids = words };
    struct sea_generator *generator = NULL;
    enum sea_status status;

    status = sea_generator_create(&generator, &llava->mllm, &desc, err);
    if (!status)
        status = sea_generate(generator, &one, 1, llava->features, 1, &greedy, &answer, err);
    if (!status)
        add(dump, "words", SEA_I32, answer.count, 0, words,
            (size_t)answer.count * sizeof(int32_t));
    sea_generator_destroy(generator);
    return status;
}

static enum sea_status
learn_llava(const struct llava *llava, struct dump *dump, struct sea_err *err)
{
    const struct sea_mllm *mllm = &llava->mllm;
    const int32_t start[2] = { 0, (int32_t)dump->rows };
    const struct sea_mllm_limits limits = {
        .text = { .rows = dump->rows, .trained = true }, .images = 1,
    };
    const struct sea_mllm_batch batch = {
        .text = { dump->rows, 1, start, dump->ids, dump->labels }, .images = 1,
        .features = llava->features,
    };
    int64_t V = mllm->lm->desc.vocab, supervised = sea_lm_supervised(&batch.text);
    float *logits = sea_arena_alloc(dump->arena, (size_t)(dump->rows * V), sizeof(*logits));
    struct sea_mllm_work *work = NULL;
    enum sea_status status;
    double loss = 0;

    status = sea_mllm_work_create(&work, mllm, &limits, err);
    if (!status)
        status = sea_mllm_logits(mllm, work, &batch, logits, err);
    if (!status)
        status = sea_mllm_forward(mllm, work, &batch, 1.0f / (float)supervised, true, err);
    if (!status)
        status = sea_mllm_loss(work, &loss, err);
    if (!status)
        status = sea_mllm_backward(mllm, work, err);
    if (!status)
        status = sea_mllm_backward_adapter(mllm, work, NULL, err);
    sea_mllm_work_destroy(work);
    if (status)
        return status;
    loss /= (double)supervised;
    add(dump, "logits", SEA_F32, dump->rows, V, logits, (size_t)(dump->rows * V) * sizeof(float));
    add(dump, "loss", SEA_F64, 1, 0, &loss, sizeof(loss));
    add_grads(dump, &mllm->lm->params, "language_model.");
    add_grads(dump, &mllm->adapter->params, "multi_modal_projector.");
    return SEA_OK;
}

static enum sea_status
run_llava(struct dump *dump, const char *dir, bool generate, struct sea_err *err)
{
    struct llava llava = { 0 };
    enum sea_status status = open_llava(&llava, dump, dir, err);

    if (!status)
        status = generate ? answer_llava(&llava, dump, err) : learn_llava(&llava, dump, err);
    sea_mllm_release(&llava.folder);
    return status;
}

int
main(int argc, char **argv)
{
    static struct dump dump;
    struct sea_err err = { 0 };
    struct sea_lm *lm = NULL;
    enum sea_status status;

    if (argc < 3)
        return 64;
    dump.arena = sea_arena_create(NULL, "dump");
    status = sea_device_open(&dump.device, "cpu:2", &err);
    if (!status && !strcmp(argv[1], "make-lm") && argc > 3) {
        struct sea_lm_desc desc = small(argv[2]);

        status = sea_lm_create(&lm, &dump.device, &desc, 1, false, &err);
        if (!status) {
            stir(&lm->params);
            status = sea_lm_save(lm, argv[3], &err);
        }
        sea_lm_destroy(lm);
    } else if (!status && !strcmp(argv[1], "make-llava") && argc > 3) {
        status = make_llava(&dump, argv[2], argv[3], &err);
    } else if (!status && argc > 4) {
        status = sea_tensors_open(&dump.in, argv[3], &err);
        if (!status && !strcmp(argv[1], "lm"))
            status = run_lm(&dump, argv[2], &err);
        else if (!status)
            status = run_llava(&dump, argv[2], !strcmp(argv[1], "generate"), &err);
        if (!status)
            status = sea_tensors_write(argv[4], dump.items, dump.count, NULL, 0, &err);
        sea_tensors_close(dump.in);
    }
    if (status)
        sea_err_print(&err, "lm_dump", stderr);
    sea_device_close(&dump.device);
    sea_arena_destroy(dump.arena);
    return sea_status_exit(status);
}
