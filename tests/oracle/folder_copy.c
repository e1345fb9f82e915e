/* SPDX-License-Identifier: Apache-2.0 */
/*
 * folder_copy.c - our side of llava_folders.py: what we write of what we read
 *
 *     folder_copy llava FROM TO [IMAGE_TOKEN]     a multimodal folder
 *     folder_copy tower FROM TO                   a vision model
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "engine/sea_mllm.h"

static enum sea_status
copy_llava(const struct sea_device *device, char **argv, int argc, struct sea_err *err)
{
    struct sea_mllm_folder folder = { 0 };
    enum sea_status status = sea_mllm_load(&folder, device, argv[2],
                                           (struct sea_mllm_trained){ 0 }, err);

    if (argc > 4)
        folder.image_token = (int32_t)strtol(argv[4], NULL, 10);
    if (!status)
        status = sea_mllm_save(&folder, argv[3], err);
    sea_mllm_release(&folder);
    return status;
}

static enum sea_status
copy_tower(const struct sea_device *device, char **argv, struct sea_err *err)
{
    struct sea_clip *clip = NULL;
    enum sea_status status = sea_clip_load(&clip, device, argv[2], false, err);

    if (!status)
        status = sea_clip_save(clip, argv[3], err);
    sea_clip_destroy(clip);
    return status;
}

int
main(int argc, char **argv)
{
    struct sea_device device = { 0 };
    struct sea_err err = { 0 };
    enum sea_status status;

    if (argc < 4)
        return 64;
    status = sea_device_open(&device, "cpu:2", &err);
    if (!status && !strcmp(argv[1], "llava"))
        status = copy_llava(&device, argv, argc, &err);
    else if (!status)
        status = copy_tower(&device, argv, &err);
    if (status)
        fprintf(stderr, "folder_copy: %s %s\n", err.message, err.context);
    sea_device_close(&device);
    return status != SEA_OK;
}
