/* SPDX-License-Identifier: Apache-2.0 */
/* small_model.h - a multimodal model of a few thousand weights, and children that run a stage */
#ifndef SMALL_MODEL_H
#define SMALL_MODEL_H

#include <sys/wait.h>

#include "engine/base/sea_file.h"
#include "engine/sea_conversation.h"
#include "engine/sea_image.h"
#include "engine/sea_mllm.h"
#include "engine/sea_tokenizer.h"
#include "tests/sea_test.h"

#define SMALL_TOKENIZER "tests/oracle/fixtures/tokenizers/llama2"

/* Writes it below the test's folder; path has room for SEA_PATH_MAX. A larger scale of the
 * language model's first weights makes answers that differ more. */
static void
small_model_make(char *path, float init_scale)
{
    struct sea_clip_desc eye = {
        .vision = { .D = 16, .layers = 2, .heads = 2, .F = 32, .image = 28, .patch = 7,
                    .channels = 3, .act = SEA_ACT_QUICK_GELU, .eps = 1e-5f } };
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_image_view view = sea_image_view_defaults(28);
    struct sea_mllm_folder folder = { .layer = -2, .patches = 16 };
    struct sea_tokenizer *tokenizer;
    struct sea_device device;
    struct sea_err err = { 0 };

    CHECK_OK(sea_path_join(path, sea_test_dir(), "model", &err), err);
    CHECK_OK(sea_device_open(&device, "cpu:1", &err), err);
    CHECK_OK(sea_tokenizer_load(&tokenizer, SMALL_TOKENIZER, &err), err);
    folder.image_token = sea_tokenizer_find(tokenizer, SEA_IMAGE_TAG);
    desc.family = SEA_LM_QWEN2;
    desc.vocab = 576;
    desc.D = 24;
    desc.F = 40;
    desc.layers = 2;
    desc.H = 4;
    desc.K = 2;
    desc.E = 6;
    desc.max_positions = 512;
    desc.init_scale = init_scale;
    CHECK_OK(sea_clip_create(&folder.clip, &device, &eye, 1, false, &err), err);
    CHECK_OK(sea_lm_create(&folder.lm, &device, &desc, 1, false, &err), err);
    CHECK_OK(sea_adapter_create(&folder.adapter, &device, SEA_ADAPTER_MLP2X_GELU, 16, 24, 1,
                                false, &err), err);
    CHECK_OK(sea_mllm_save(&folder, path, &err), err);
    CHECK_OK(sea_tokenizer_copy(SMALL_TOKENIZER, path, &err), err);
    CHECK_OK(sea_image_view_save(&view, path, &err), err);
    sea_tokenizer_destroy(tokenizer);
    sea_mllm_release(&folder);
    sea_device_close(&device);
}

/* Exit status of a child, 128 and the signal's number when a signal ended it. */
static int
wait_for(pid_t pid)
{
    int how = 0;

    waitpid(pid, &how, 0);
    return WIFEXITED(how) ? WEXITSTATUS(how) : 128 + WTERMSIG(how);
}

#endif
