/* SPDX-License-Identifier: Apache-2.0 */
/* mllm_lora.c - a model folder and the low-rank adapters that belong to it */
#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/sea_lora.h"
#include "engine/sea_mllm.h"
#include "engine/sea_safetensors.h"

/* A projector that was trained whole replaces the base model's ("modules_to_save"). */
static enum sea_status
load_projector(struct sea_mllm_folder *folder, const char *dir, struct sea_err *err)
{
    struct sea_arena *arena = sea_arena_create(NULL, "projector's names");
    struct sea_tensors *tensors = NULL;
    const char *prefix = NULL, *at;
    char path[SEA_PATH_MAX];
    enum sea_status status = sea_path_join(path, dir, SEA_LORA_WEIGHTS, err);

    if (!status)
        status = sea_tensors_open(&tensors, path, err);
    for (size_t i = 0; !status && !prefix && i < tensors->count; i++) {
        at = strstr(tensors->list[i].name, "." SEA_LORA_PROJECTOR ".");
        if (at)
            prefix = sea_arena_printf(arena, "%.*s." SEA_LORA_PROJECTOR ".",
                                      (int)(at - tensors->list[i].name),
                                      tensors->list[i].name);
    }
    if (!status && prefix && !folder->adapter)
        status = sea_fail(err, SEA_E_FORMAT, "\"%s\" holds a projector, its base model has "
                          "none", path);
    if (!status && prefix)
        status = sea_params_load(&folder->adapter->params, tensors, prefix, err);
    sea_tensors_close(tensors);
    sea_arena_destroy(arena);
    return status;
}

enum sea_status
sea_mllm_add_lora(struct sea_mllm_folder *folder, const char *dir, struct sea_err *err)
{
    struct sea_lora *lora;
    enum sea_status status = load_projector(folder, dir, err);

    if (!status)
        status = sea_lora_load(&lora, &folder->lm->stack, dir, err);
    if (status)
        return status;
    /* A merged weight of bfloat16 would lose most of a small adapter to rounding. */
    if (folder->lm->params.half && !folder->lm->params.data) {
        folder->lora = lora;
        return SEA_OK;
    }
    status = sea_lora_merge(lora, err);
    sea_lora_destroy(lora);
    return status;
}

enum sea_status
sea_mllm_load_lora(struct sea_mllm_folder *folder, const struct sea_device *device,
                   const char *dir, struct sea_err *err)
{
    char base[SEA_PATH_MAX];
    enum sea_status status = sea_lora_base(dir, base, err);

    if (!status && sea_lora_is_folder(base))
        status = sea_fail(err, SEA_E_FORMAT, "base model \"%s\" of adapter \"%s\" is an adapter "
                          "itself", base, dir);
    if (!status)
        status = sea_mllm_load(folder, device, base, (struct sea_mllm_trained){ 0 }, err);
    if (!status)
        status = sea_mllm_add_lora(folder, dir, err);
    if (status)
        sea_mllm_release(folder);
    return status;
}
