/* SPDX-License-Identifier: Apache-2.0 */
/* Devices by name, plans of memory, and named weights: layout, first values, files. */
#include "engine/base/sea_file.h"
#include "engine/sea_params.h"
#include "engine/sea_plan.h"
#include "engine/sea_safetensors.h"
#include "tests/sea_test.h"

#include <stdlib.h>

static struct sea_device device;

static void
set_up(struct sea_params *params, struct sea_arena *arena, bool trained)
{
    const int64_t matrix[2] = { 3, 5 }, vector[1] = { 7 }, conv[4] = { 2, 3, 2, 2 };
    struct sea_err err = { 0 };

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    sea_params_init(params, arena);
    sea_params_add(params, "a.weight", 2, matrix, SEA_INIT_NORMAL, 0.5f);
    sea_params_add(params, "a.bias", 1, vector, SEA_INIT_UNIFORM, 0.25f);
    sea_params_add(params, "conv.weight", 4, conv, SEA_INIT_NORMAL, 0.1f);
    sea_params_add(params, "norm.weight", 1, vector, SEA_INIT_ONE, 0.0f);
    CHECK_OK(sea_params_reserve(params, &device, trained, &err), err);
}

/* Before the tests that may load a plugin: it stays loaded. */
static void
a_plugin_that_does_not_load_tells_why(void)
{
    struct sea_device other;
    struct sea_err err = { 0 };

    setenv("SEA_CUDA_PLUGIN", "/nowhere/libsea_cuda.so", 1);
    CHECK(sea_device_open(&other, "cuda:0", &err) == SEA_E_DEVICE);
    CHECK_FAILS(err, SEA_E_DEVICE, "/nowhere/libsea_cuda.so");
    CHECK(strstr(err.hint, "--device cpu") != NULL && other.ops == NULL);
    unsetenv("SEA_CUDA_PLUGIN");
}

static void
device_names_are_checked(void)
{
    static const char *const wrong[] = { "", "gpu", "cpu:", "cpu:0", "cpu:-1", "cpu:2x",
                                         "cuda:", "cuda:x", "cpu:99999", "CPU" };
    struct sea_device other;
    struct sea_err err = { 0 };

    for (size_t i = 0; i < sizeof(wrong) / sizeof(wrong[0]); i++) {
        CHECK(sea_device_open(&other, wrong[i], &err) == SEA_E_CONFIG);
        CHECK(err.hint[0] != 0);
        CHECK(other.ops == NULL);
        sea_err_clear(&err);
    }
    CHECK_OK(sea_device_open(&other, "cpu", &err), err);
    CHECK_STR(other.name, "cpu");
    CHECK(strlen(sea_device_text(&other)) > 0);
    sea_device_close(&other);
    sea_device_close(&other);
    CHECK_OK(sea_device_open(&other, "auto", &err), err);
    sea_device_close(&other);
}

static void
device_without_memory_says_so(void)
{
    struct sea_device other;
    struct sea_err err = { 0 };
    void *mem;

    CHECK_OK(sea_device_open(&other, "cpu:1", &err), err);
    CHECK(sea_device_alloc(&other, SIZE_MAX, &mem, &err) == SEA_E_DEVMEM);
    CHECK(err.hint[0] != 0 && mem == NULL);
    sea_device_close(&other);
}

static void
plan_adds_up_and_survives_overflow(void)
{
    struct sea_plan plan;
    struct sea_err err = { 0 };
    size_t a, b, c;

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    sea_plan_init(&plan);
    a = sea_plan_add(&plan, 3, sizeof(float));
    b = sea_plan_add(&plan, 0, 8);
    c = sea_plan_add(&plan, 65, 1);
    CHECK_INT(a, 0);
    CHECK_INT(b, 64);
    CHECK_INT(c, 64);
    CHECK_INT(plan.bytes, 192);
    CHECK_OK(sea_plan_reserve(&plan, &device, &err), err);
    for (size_t i = 0; i < plan.bytes; i++)
        CHECK_INT(((char *)plan.base)[i], 0);
    sea_plan_release(&plan);
    sea_plan_add(&plan, SIZE_MAX / 2, 4);
    CHECK(plan.bytes == SIZE_MAX);
    sea_plan_add(&plan, 1, 1);
    CHECK(plan.bytes == SIZE_MAX);
    CHECK(sea_plan_reserve(&plan, &device, &err) == SEA_E_DEVMEM);
    sea_plan_release(&plan);
}

static void
tensors_lie_as_the_header_says(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params params;
    struct sea_err err = { 0 };
    const struct sea_param *conv;

    set_up(&params, arena, true);
    CHECK_INT(params.list[0].offset, 0);
    CHECK_INT(params.list[1].offset, 16);
    CHECK_INT(params.list[2].offset, 32);
    CHECK_INT(params.list[3].offset, 64);
    CHECK_INT(params.floats, 80);
    conv = sea_params_find(&params, "conv.weight");
    CHECK(conv && conv->rows == 2 && conv->cols == 12 && conv->decay);
    CHECK(!sea_params_find(&params, "a.bias")->decay);
    CHECK(!sea_params_find(&params, "b"));
    params.grad[3] = 1.0f;
    CHECK_OK(sea_params_zero_grad(&params, &err), err);
    CHECK(params.grad[3] == 0.0f);
    sea_params_release(&params);
    sea_arena_destroy(arena);
}

static void
first_values_are_a_pure_function(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params a, b;
    struct sea_err err = { 0 };

    set_up(&a, arena, false);
    set_up(&b, arena, false);
    CHECK(a.grad == NULL);
    CHECK_OK(sea_params_fill(&a, 1, "x", &err), err);
    CHECK_OK(sea_params_fill(&b, 1, "x", &err), err);
    CHECK(!memcmp(a.data, b.data, (size_t)a.floats * sizeof(float)));
    for (int64_t i = 0; i < 7; i++)
        CHECK(a.data[64 + i] == 1.0f && fabsf(a.data[16 + i]) <= 0.25f);
    CHECK(a.data[15] == 0.0f && a.data[23] == 0.0f);    /* padding */
    CHECK_OK(sea_params_fill(&b, 2, "x", &err), err);
    CHECK(a.data[0] != b.data[0]);
    CHECK_OK(sea_params_fill(&b, 1, "y", &err), err);
    CHECK(a.data[0] != b.data[0]);
    sea_params_release(&a);
    sea_params_release(&b);
    sea_arena_destroy(arena);
}

static void
files_give_back_the_same_bits(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params a, b;
    const struct sea_params_part parts[2] = { { &a, "one." }, { &b, "two." } };
    struct sea_tensors *tensors = NULL;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    set_up(&a, arena, false);
    set_up(&b, arena, false);
    CHECK_OK(sea_params_fill(&a, 1, "x", &err), err);
    CHECK_OK(sea_params_fill(&b, 2, "x", &err), err);
    CHECK_OK(sea_path_join(path, sea_test_dir(), "p.safetensors", &err), err);
    CHECK_OK(sea_params_save(path, parts, 2, &err), err);
    CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
    CHECK_INT(tensors->count, 8);
    CHECK_OK(sea_params_load(&b, tensors, "one.", &err), err);
    CHECK(!memcmp(a.data, b.data, (size_t)a.floats * sizeof(float)));
    CHECK(sea_params_load(&b, tensors, "three.", &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "three.a.weight");
    sea_err_clear(&err);
    b.list[0].shape[0] = 5;
    b.list[0].shape[1] = 3;
    CHECK(sea_params_load(&b, tensors, "one.", &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "(3, 5)");
    sea_tensors_close(tensors);
    sea_params_release(&a);
    sea_params_release(&b);
    sea_arena_destroy(arena);
}

/* ---- bfloat16 storage ---- */

static float
rounded(float value)
{
    return sea_bf16_to_f32(sea_bf16_from_f32(value));
}

/* What operators see of number i of tensor t. */
static float
seen(const struct sea_params *params, int64_t t, int64_t i)
{
    const struct sea_param *param = &params->list[t];
    struct sea_weight weight = sea_params_matrix(params, param->offset + i);

    if (param->exact)
        return *sea_params_vector(params, param->offset + i);
    if (weight.type == SEA_STORE_BF16)
        return sea_bf16_to_f32(*(const uint16_t *)weight.data);
    return *(const float *)weight.data;
}

static void
bfloat16_parts_hold_rounded_matrices_and_exact_vectors(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params full, frozen, trained;
    struct sea_err err = { 0 };
    float host[24];

    set_up(&full, arena, false);
    CHECK_OK(sea_params_fill(&full, 1, "x", &err), err);
    device.store = SEA_STORE_BF16;
    set_up(&frozen, arena, false);
    set_up(&trained, arena, true);
    device.store = SEA_STORE_F32;
    CHECK(!frozen.data && !frozen.grad && frozen.half && frozen.vectors);
    CHECK(trained.data && trained.grad && trained.half && !trained.vectors);
    CHECK(sea_params_bytes(&frozen, SEA_STORE_BF16, false) ==
          (size_t)frozen.floats * 2 + 32 * sizeof(float));
    CHECK(sea_params_bytes(&frozen, SEA_STORE_F32, false) == (size_t)frozen.floats * 4);
    CHECK_OK(sea_params_fill(&frozen, 1, "x", &err), err);
    CHECK_OK(sea_params_fill(&trained, 1, "x", &err), err);
    CHECK(sea_params_matrix(&frozen, -1).data == NULL);
    CHECK(sea_params_vector(&frozen, -1) == NULL);
    for (int64_t t = 0; t < full.count; t++) {
        const struct sea_param *param = &full.list[t];

        for (int64_t i = 0; i < param->count; i++) {
            float want = full.data[param->offset + i];

            want = param->exact ? want : rounded(want);
            CHECK(seen(&frozen, t, i) == want && seen(&trained, t, i) == want);
        }
        CHECK(sea_params_at(&frozen, param->offset + param->count - 1) == &frozen.list[t]);
        CHECK_OK(sea_params_get(&frozen, &frozen.list[t], 1, param->count - 1, host, &err),
                 err);
        for (int64_t i = 1; i < param->count; i++)
            CHECK(host[i - 1] == seen(&frozen, t, i));
        CHECK_OK(sea_params_get(&trained, &trained.list[t], 0, param->count, host, &err), err);
        CHECK(!memcmp(host, full.data + param->offset, (size_t)param->count * 4));
    }
    sea_params_release(&full);
    sea_params_release(&frozen);
    sea_params_release(&trained);
    sea_arena_destroy(arena);
}

static void
the_copy_follows_the_masters(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params params;
    struct sea_err err = { 0 };

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    device.store = SEA_STORE_BF16;
    set_up(&params, arena, true);
    device.store = SEA_STORE_F32;
    CHECK_OK(sea_params_fill(&params, 1, "x", &err), err);
    params.data[3] = 1.0f + 1.0f / 512;
    params.data[4] = -0.3f;
    CHECK(seen(&params, 0, 4) != rounded(-0.3f));
    CHECK_OK(sea_params_cast(&params, &err), err);
    CHECK(seen(&params, 0, 3) == 1.0f);
    CHECK(seen(&params, 0, 4) == rounded(-0.3f));
    sea_params_release(&params);
    sea_arena_destroy(arena);
}

/* Files of every dtype, into both storages; matrices of bfloat16 parts are BF16 in files. */
static void
files_of_every_float_fit_both_storages(void)
{
    static const enum sea_dtype dtypes[] = { SEA_F32, SEA_F16, SEA_BF16 };
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params params, back;
    const struct sea_params_part part = { &params, "" };
    struct sea_tensors *tensors = NULL;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    uint16_t half[64];
    float host[64];

    CHECK_OK(sea_path_join(path, sea_test_dir(), "dtype.safetensors", &err), err);
    for (size_t d = 0; d < 3; d++)
        for (int store = 0; store < 2; store++) {
            struct sea_tensor_item items[4];

            if (!device.ops)
                CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
            device.store = store ? SEA_STORE_BF16 : SEA_STORE_F32;
            set_up(&params, arena, false);
            set_up(&back, arena, true);
            device.store = SEA_STORE_F32;
            for (int i = 0; i < 64; i++) {
                host[i] = (float)(i - 30) * 0.37f;
                half[i] = dtypes[d] == SEA_F16 ? sea_f16_from_f32(host[i])
                                               : sea_bf16_from_f32(host[i]);
                if (dtypes[d] == SEA_F16)
                    host[i] = sea_f16_to_f32(half[i]);
                if (dtypes[d] == SEA_BF16)
                    host[i] = sea_bf16_to_f32(half[i]);
            }
            for (int t = 0; t < 4; t++) {
                items[t] = (struct sea_tensor_item){ .name = params.list[t].name,
                    .dtype = dtypes[d], .rank = params.list[t].rank,
                    .data = dtypes[d] == SEA_F32 ? (const void *)host : (const void *)half };
                memcpy(items[t].shape, params.list[t].shape, sizeof(params.list[t].shape));
            }
            CHECK_OK(sea_tensors_write(path, items, 4, NULL, 0, &err), err);
            CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
            CHECK_OK(sea_params_load(&params, tensors, "", &err), err);
            sea_tensors_close(tensors);
            for (int64_t t = 0; t < 4; t++)
                for (int64_t i = 0; i < params.list[t].count; i++)
                    CHECK(seen(&params, t, i) ==
                          (store && !params.list[t].exact ? rounded(host[i]) : host[i]));
            CHECK_OK(sea_params_save(path, &part, 1, &err), err);
            CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
            CHECK(sea_tensors_find(tensors, "a.weight")->dtype == (store ? SEA_BF16 : SEA_F32));
            CHECK(sea_tensors_find(tensors, "a.bias")->dtype == SEA_F32);
            CHECK_OK(sea_params_load(&back, tensors, "", &err), err);
            sea_tensors_close(tensors);
            for (int64_t i = 0; i < 15; i++)
                CHECK(seen(&back, 0, i) == seen(&params, 0, i));
            CHECK(params.warning == NULL);
            sea_params_release(&params);
            sea_params_release(&back);
        }
    sea_arena_destroy(arena);
}

static void
numbers_that_are_none_are_counted_and_named(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    struct sea_params params;
    const struct sea_params_part part = { &params, "" };
    struct sea_tensors *tensors = NULL;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    CHECK_OK(sea_path_join(path, sea_test_dir(), "nan.safetensors", &err), err);
    for (int store = 0; store < 2; store++) {
        if (!device.ops)
            CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
        device.store = store ? SEA_STORE_BF16 : SEA_STORE_F32;
        set_up(&params, arena, true);
        device.store = SEA_STORE_F32;
        params.data[params.list[2].offset + 3] = (float)NAN;
        params.data[params.list[2].offset + 5] = -(float)INFINITY;
        params.data[params.list[3].offset] = (float)NAN;
        CHECK_OK(sea_params_cast(&params, &err), err);
        CHECK_OK(sea_params_save(path, &part, 1, &err), err);
        CHECK_OK(sea_tensors_open(&tensors, path, &err), err);
        CHECK_OK(sea_params_load(&params, tensors, "", &err), err);
        CHECK(params.warning && strstr(params.warning, "nan.safetensors: tensor \"conv.weight\"")
              && strstr(params.warning, " 3 numbers"));
        sea_tensors_close(tensors);
        sea_params_release(&params);
    }
    sea_arena_destroy(arena);
}

SEA_TEST_MAIN("devices, plans and named weights",
              TEST(a_plugin_that_does_not_load_tells_why),
              TEST(device_names_are_checked),
              TEST(device_without_memory_says_so),
              TEST(plan_adds_up_and_survives_overflow),
              TEST(tensors_lie_as_the_header_says),
              TEST(first_values_are_a_pure_function),
              TEST(files_give_back_the_same_bits),
              TEST(bfloat16_parts_hold_rounded_matrices_and_exact_vectors),
              TEST(the_copy_follows_the_masters),
              TEST(files_of_every_float_fit_both_storages),
              TEST(numbers_that_are_none_are_counted_and_named))
