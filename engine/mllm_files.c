/* SPDX-License-Identifier: Apache-2.0 */
/* mllm_files.c - multimodal folders in; mllm_write.c writes them */
#include "engine/mllm_int.h"

#include <string.h>

#include "engine/base/sea_file.h"
#include "engine/sea_safetensors.h"

/* Where the tower's names start in this folder; NULL: it has none. */
static const char *
tower_prefix(const struct sea_clip_desc *desc, const struct sea_tensors *tensors)
{
    static const char *const prefixes[] = {
        "vision_tower.", "model.vision_tower.", "model.vision_tower.vision_tower.",
    };

    for (size_t i = 0; i < sizeof(prefixes) / sizeof(prefixes[0]); i++)
        if (sea_clip_is_at(desc, tensors, prefixes[i]))
            return prefixes[i];
    return NULL;
}

/* The tower of the folder, else (the original layout) of a folder of its own. device NULL: only
 * whether it could be loaded. */
static enum sea_status
load_tower(struct sea_mllm_folder *folder, const struct sea_mllm_settings *settings,
           const struct sea_device *device, const struct sea_tensors *tensors, bool trained,
           struct sea_err *err)
{
    const char *prefix = tower_prefix(&settings->clip, tensors);
    struct sea_tensors *own = NULL;
    enum sea_status status = SEA_OK;

    if (!prefix && settings->original) {
        status = sea_tensors_open_dir(&own, settings->tower, err);
        tensors = own;
        prefix = "";
    }
    prefix = prefix ? prefix : "vision_tower.";
    if (!status && device)
        status = sea_clip_load_vision(&folder->clip, device, &settings->clip, tensors, prefix,
                                      trained, err);
    else if (!status)
        status = sea_clip_desc_fits(&settings->clip, tensors, prefix, err);
    if (own)
        sea_context(err, "while loading the vision tower \"%s\"", settings->tower);
    sea_tensors_close(own);
    return status;
}

static enum sea_status
load_adapter(struct sea_mllm_folder *folder, const struct sea_mllm_settings *settings,
             const struct sea_device *device, const char *dir,
             const struct sea_tensors *tensors, bool trained, struct sea_err *err)
{
    struct sea_err ignored = { 0 };
    char path[SEA_PATH_MAX];
    enum sea_status status;

    status = sea_adapter_load_tensors(&folder->adapter, device, tensors,
                                      settings->clip.vision.D, settings->lm.D, trained, err);
    if (status) {
        if (!sea_path_join(path, dir, "mm_projector.bin", &ignored) && sea_file_exists(path))
            sea_hint(err, "\"mm_projector.bin\" is a Python file and is not read: write its "
                     "tensors into a safetensors file of the folder.");
        return status;
    }
    folder->adapter->act = settings->act;
    if (settings->original && settings->kind != folder->adapter->kind)
        return sea_fail(err, SEA_E_FORMAT, "\"mm_projector_type\" is \"%s\", the folder holds "
                        "a \"%s\" adapter", sea_adapter_kind_name(settings->kind),
                        sea_adapter_kind_name(folder->adapter->kind));
    return SEA_OK;
}

static enum sea_status
load_parts(struct sea_mllm_folder *folder, const struct sea_mllm_settings *settings,
           const struct sea_device *device, const char *dir,
           const struct sea_tensors *tensors, struct sea_mllm_trained trained,
           struct sea_err *err)
{
    enum sea_status status;

    status = load_tower(folder, settings, device, tensors, trained.clip, err);
    if (!status)
        status = sea_lm_load_tensors(&folder->lm, device, &settings->lm, tensors,
                                     settings->original ? "" : "language_model.", trained.lm,
                                     err);
    if (!status)
        status = load_adapter(folder, settings, device, dir, tensors, trained.adapter, err);
    return status;
}

enum sea_status
sea_mllm_load_tower(struct sea_mllm_folder *folder, const struct sea_device *device,
                    const char *dir, const char *tower, struct sea_mllm_trained trained,
                    struct sea_err *err)
{
    struct sea_tensors *tensors = NULL;
    struct sea_mllm_settings settings;
    enum sea_status status;

    memset(folder, 0, sizeof(*folder));
    if (sea_lora_is_folder(dir))
        return sea_mllm_load_lora(folder, device, dir, err);
    status = sea_mllm_settings_load(&settings, dir, tower, err);
    if (!status)
        status = sea_tensors_open_dir(&tensors, dir, err);
    if (!status)
        status = load_parts(folder, &settings, device, dir, tensors, trained, err);
    folder->layer = settings.layer;
    folder->with_class = settings.with_class;
    folder->image_token = settings.image_token;
    folder->pad = settings.pad;
    memcpy(folder->template_name, settings.template_name, sizeof(folder->template_name));
    if (!status)
        status = sea_path_join(folder->view, settings.view, "", err);
    if (!status)
        folder->patches = sea_clip_patch_count(&folder->clip->desc) + folder->with_class;
    if (status) {
        sea_context(err, "while loading the model \"%s\"", dir);
        sea_mllm_release(folder);
    }
    sea_tensors_close(tensors);
    return status;
}

enum sea_status
sea_mllm_load(struct sea_mllm_folder *folder, const struct sea_device *device,
              const char *dir, struct sea_mllm_trained trained, struct sea_err *err)
{
    return sea_mllm_load_tower(folder, device, dir, NULL, trained, err);
}

enum sea_status
sea_mllm_fits(const char *dir, const char *tower, struct sea_err *err)
{
    struct sea_mllm_folder none = { 0 };
    struct sea_tensors *tensors = NULL;
    struct sea_mllm_settings settings;
    enum sea_status status = sea_mllm_settings_load(&settings, dir, tower, err);

    if (!status)
        status = sea_tensors_open_dir(&tensors, dir, err);
    if (!status)
        status = load_tower(&none, &settings, NULL, tensors, false, err);
    if (!status)
        status = sea_lm_desc_fits(&settings.lm, tensors,
                                  settings.original ? "" : "language_model.", err);
    sea_tensors_close(tensors);
    return status;
}

void
sea_mllm_release(struct sea_mllm_folder *folder)
{
    sea_lora_destroy(folder->lora);
    sea_clip_destroy(folder->clip);
    sea_adapter_destroy(folder->adapter);
    sea_lm_destroy(folder->lm);
    memset(folder, 0, sizeof(*folder));
}
