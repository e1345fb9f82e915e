/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Any bytes at all as a model.safetensors.index.json, beside two real shards. What must hold:
 * a refusal has one error, and no set; what is accepted names tensors that are there, in
 * files of the folder. For usage see mutate.h.
 */
#include "tests/fuzz/mutate.h"

#include "engine/sea_safetensors.h"

static const char *const shards[] = { "model-00001-of-00002.safetensors",
                                      "model-00002-of-00002.safetensors" };

static void
drop_shards(void)
{
    char path[SEA_PATH_MAX];

    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", fuzz_dir, shards[i]);
        unlink(path);
    }
}

static const char *
make_shards(void)
{
    static const float numbers[6] = { 1, 2, 3, 4, 5, 6 };
    struct sea_tensor_item items[] = {
        { .name = "a.weight", .dtype = SEA_F32, .rank = 2, .shape = { 2, 3 }, .data = numbers },
        { .name = "b.weight", .dtype = SEA_F32, .rank = 1, .shape = { 4 }, .data = numbers },
        { .name = "b.bias", .dtype = SEA_F32, .rank = 1, .shape = { 2 }, .data = numbers },
    };
    char path[SEA_PATH_MAX];
    struct sea_err err = { 0 };

    atexit(drop_shards);
    for (int i = 0; i < 2; i++) {
        snprintf(path, sizeof(path), "%s/%s", fuzz_dir, shards[i]);
        if (sea_tensors_write(path, items + i, i ? 2 : 1, NULL, 0, &err))
            return "could not write a shard";
    }
    return NULL;
}

const char *
sea_fuzz_check(const uint8_t *data, size_t n)
{
    const char *wrong = fuzz_write("model.safetensors.index.json", data, n);
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    static bool has_shards;

    if (!wrong && !has_shards) {
        has_shards = true;
        wrong = make_shards();
    }
    if (wrong)
        return wrong;
    if (sea_tensors_open_dir(&tensors, fuzz_dir, &err)) {
        sea_fuzz_refused++;
        if (tensors)
            return "a refused index left a set";
        return err.status == SEA_E_MISSING && err.message[0] ? NULL : check_refusal(&err);
    }
    sea_fuzz_accepted++;
    for (size_t i = 0; i < tensors->count && !wrong; i++)
        if (strncmp(tensors->list[i].path, fuzz_dir, strlen(fuzz_dir)) != 0 ||
            strstr(tensors->list[i].path, "/../"))
            wrong = "a tensor comes from outside the folder";
    sea_tensors_close(tensors);
    return wrong;
}

SEA_FUZZ_PROGRAM
