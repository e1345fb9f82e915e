/* SPDX-License-Identifier: Apache-2.0 */
/* Tensors of every dtype come back with the reference implementation's values, what we write
 * is read, and each rule of the format that a file breaks is named. */
#include <stdlib.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_safetensors.h"
#include "tests/sea_test.h"

#define FIXTURES "tests/oracle/fixtures/tensors"

static void
fixture_path(char path[SEA_PATH_MAX], const char *name)
{
    snprintf(path, SEA_PATH_MAX, "%s/" FIXTURES "/%s", sea_test_root(), name);
}

static void
check_floats(const struct sea_tensor *tensor, const struct sea_node *list)
{
    float got[16] = { 0 };
    struct sea_err err = { 0 };
    const struct sea_node *item;
    int i = 0;

    CHECK_INT(tensor->count, list->count);
    CHECK_OK(sea_tensor_read_f32(tensor, 0, tensor->count, got, &err), err);
    for (item = list->first; item; item = item->next, i++) {
        float want = (float)strtod(item->text, NULL);

        CHECK_MSG(memcmp(&got[i], &want, sizeof(want)) == 0 || (isnan(got[i]) && isnan(want)),
                  "%s[%d] is %.9g, want %.9g", tensor->name, i, (double)got[i], (double)want);
    }
    if (tensor->count == 12) {
        CHECK_OK(sea_tensor_read_f32(tensor, 3, 1, &got[15], &err), err);
        CHECK_NEAR(got[15], -1.5, 0);
        CHECK(sea_tensor_read_f32(tensor, 12, 1, got, &err) == SEA_E_INTERNAL);
    }
}

static void
check_ints(const struct sea_tensor *tensor, const struct sea_node *list)
{
    int64_t got[8] = { 0 };
    struct sea_err err = { 0 };
    const struct sea_node *item;
    float number;
    int i = 0;

    CHECK_OK(sea_tensor_read_i64(tensor, 0, tensor->count, got, &err), err);
    for (item = list->first; item; item = item->next, i++)
        CHECK_INT(got[i], item->integer);
    CHECK(sea_tensor_read_f32(tensor, 0, 1, &number, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "need a kind of float");
}

static void
every_dtype_has_its_values(void)
{
    struct sea_arena *arena = sea_arena_create(NULL, "test");
    const struct sea_tensor *tensor;
    struct sea_tensors *tensors = NULL;
    struct sea_node *want, *row;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    fixture_path(path, "kinds.json");
    CHECK_OK(sea_json_load(path, 1 << 20, arena, &want, &err), err);
    fixture_path(path, "kinds.safetensors");
    if (!CHECK_OK(sea_tensors_open(&tensors, path, &err), err))
        goto out;
    CHECK_INT(tensors->count, 14);
    CHECK_STR(sea_tensors_metadata(tensors, "note"), "\xC3\xA9 \"x\"");
    CHECK(!sea_tensors_metadata(tensors, "other"));
    for (row = want->first; row; row = row->next) {
        tensor = sea_tensors_find(tensors, row->key);
        if (!CHECK(tensor != NULL))
            continue;
        if (row->first && row->first->kind == SEA_NODE_INT)
            check_ints(tensor, row);
        else
            check_floats(tensor, row);
    }
    tensor = sea_tensors_find(tensors, "scalar");
    CHECK(tensor->rank == 0 && tensor->count == 1);
    tensor = sea_tensors_find(tensors, "empty");
    CHECK(tensor->rank == 2 && tensor->count == 0 && tensor->bytes == 0);
    CHECK(!sea_tensors_find(tensors, "F3"));
out:
    sea_tensors_close(tensors);
    sea_arena_destroy(arena);
}

static void
shards_are_one_set(void)
{
    const int64_t a_shape[] = { 2, 3 }, wrong[] = { 3, 2 };
    const struct sea_tensor *tensor;
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    float got[6];

    fixture_path(path, "shards");
    if (!CHECK_OK(sea_tensors_open_dir(&tensors, path, &err), err))
        return;
    CHECK_INT(tensors->count, 3);
    CHECK_OK(sea_tensors_need(tensors, "a.weight", 2, a_shape, &tensor, &err), err);
    CHECK_OK(sea_tensor_read_f32(tensor, 0, 6, got, &err), err);
    CHECK_NEAR(got[5], 5, 0);
    CHECK(sea_tensors_need(tensors, "a.weight", 2, wrong, &tensor, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "is (2, 3), need (3, 2)");
    sea_err_clear(&err);
    CHECK(sea_tensors_need(tensors, "c", 2, wrong, &tensor, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "no tensor \"c\" (3, 2)");
    sea_tensors_close(tensors);
}

static enum sea_status
fill_numbers(void *arg, size_t at, void *out, size_t n, struct sea_err *err)
{
    float *to = out;

    (void)err;
    for (size_t i = 0; i < n / sizeof(float); i++)
        to[i] = (float)((at / sizeof(float) + i) % 1000);
    *(size_t *)arg += n;
    return SEA_OK;
}

static enum sea_status
fill_fails(void *arg, size_t at, void *out, size_t n, struct sea_err *err)
{
    (void)arg;
    (void)at;
    (void)out;
    (void)n;
    return sea_fail(err, SEA_E_DEVICE, "no device today");
}

static void
what_we_write_is_read(void)
{
    const char *keep = getenv("SEA_KEEP");
    const float two[] = { 1.5f, -2 };
    const unsigned char bytes[] = { 1, 2, 3 };
    const double wide[] = { 0.1 };
    size_t delivered = 0;
    const struct sea_tensor_item items[] = {
        { "bytes \"q\"", SEA_U8, 1, { 3 }, bytes, NULL, NULL },
        { "two", SEA_F32, 2, { 1, 2 }, two, NULL, NULL },
        { "filled", SEA_F32, 2, { 2000, 1025 }, NULL, fill_numbers, &delivered },
        { "wide", SEA_F64, 0, { 0 }, wide, NULL, NULL },
        { "nothing", SEA_F32, 2, { 0, 9 }, NULL, NULL, NULL },
    };
    const struct sea_tensor_meta metadata[] = { { "format", "pt" } };
    const struct sea_tensor *tensor;
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];
    float got = 0;

    snprintf(path, sizeof(path), "%s/ours.safetensors", keep ? keep : sea_test_dir());
    CHECK_OK(sea_tensors_write(path, items, 5, metadata, 1, &err), err);
    CHECK_INT(delivered, 2000 * 1025 * sizeof(float));
    if (!CHECK_OK(sea_tensors_open(&tensors, path, &err), err))
        return;
    CHECK_INT(tensors->count, 5);
    CHECK_STR(tensors->list[0].name, "wide");
    CHECK_STR(tensors->list[1].name, "two");
    CHECK_STR(sea_tensors_metadata(tensors, "format"), "pt");
    for (size_t i = 0; i < tensors->count; i++)
        CHECK_INT((uintptr_t)tensors->list[i].data % sea_dtype_bytes(tensors->list[i].dtype), 0);
    tensor = sea_tensors_find(tensors, "filled");
    CHECK_OK(sea_tensor_read_f32(tensor, 1999999, 1, &got, &err), err);
    CHECK_NEAR(got, 999, 0);
    sea_tensors_close(tensors);
}

static void
a_failed_write_leaves_nothing(void)
{
    struct sea_tensor_item items[] = { { "a", SEA_F32, 1, { 4 }, NULL, fill_fails, NULL },
                                       { "a", SEA_F32, 1, { 4 }, NULL, fill_fails, NULL } };
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/failed.safetensors", sea_test_dir());
    CHECK(sea_tensors_write(path, items, 1, NULL, 0, &err) == SEA_E_DEVICE);
    CHECK(!sea_file_exists(path));
    sea_err_clear(&err);
    CHECK(sea_tensors_write(path, items, 2, NULL, 0, &err) == SEA_E_INTERNAL);
    CHECK_FAILS(err, SEA_E_INTERNAL, "\"a\"");
    sea_err_clear(&err);
    CHECK_OK(sea_tensors_write(path, NULL, 0, NULL, 0, &err), err);
    CHECK(sea_file_exists(path));
}

/* ---- broken files ---- */

/* A file with this header (its length is put in front) and that much data. */
static void
check_refused(const char *header, size_t data, const char *words)
{
    unsigned char bytes[4096] = { 0 };
    size_t len = strlen(header);
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    bytes[0] = (unsigned char)len;
    bytes[1] = (unsigned char)(len >> 8);
    memcpy(bytes + 8, header, len);
    snprintf(path, sizeof(path), "%s/bad.safetensors", sea_test_dir());
    CHECK_OK(sea_file_replace(path, bytes, 8 + len + data, &err), err);
    CHECK(sea_tensors_open(&tensors, path, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, words);
    CHECK(!tensors);
    sea_tensors_close(tensors);
}

#define ENTRY(name, dtype, shape, from, to)                                             \
    "\"" name "\":{\"dtype\":\"" dtype "\",\"shape\":[" shape "],\"data_offsets\":[" #from \
    "," #to "]}"

static void
broken_headers_are_named(void)
{
    check_refused("{" ENTRY("a", "F32", "2", 0, 8) "}", 4, "lies at bytes 0 .. 8");
    check_refused("{" ENTRY("a", "F32", "2", 0, 8) "}", 9, "last 1 of 9");
    check_refused("{" ENTRY("a", "F32", "2", 0, 4) "}", 4, "F32 (2) but has 4 bytes");
    check_refused("{" ENTRY("a", "F32", "2", 8, 0) "}", 8, "8 .. 0");
    check_refused("{" ENTRY("a", "F32", "2", -8, 0) "}", 8, "-8 .. 0");
    check_refused("{" ENTRY("a", "F31", "2", 0, 8) "}", 8, "\"F31\"");
    check_refused("{" ENTRY("a", "F32", "-2", 0, 8) "}", 8, "counts");
    check_refused("{" ENTRY("a", "F32", "2.0", 0, 8) "}", 8, "counts");
    check_refused("{" ENTRY("a", "F32", "1,1,1,1,1,1,1,1,2", 0, 8) "}", 8, "9 dimensions");
    check_refused("{" ENTRY("a", "F32", "4611686018427387904,4", 0, 8) "}", 8, "overflows");
    check_refused("{" ENTRY("a", "F32", "4611686018427387904", 0, 8) "}", 8, "but has 8 bytes");
    check_refused("{" ENTRY("a", "F32", "2", 0, 8) "," ENTRY("b", "F32", "2", 4, 12) "}", 12,
                  "\"a\" and \"b\" overlap at byte 4");
    check_refused("{" ENTRY("a", "F32", "2", 0, 8) "," ENTRY("b", "F32", "1", 12, 16) "}", 16,
                  "4 bytes before tensor \"b\"");
    check_refused("{" ENTRY("a", "F32", "2", 0, 8) "," ENTRY("a", "F32", "2", 8, 16) "}", 16,
                  "uplicate");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2]}}", 8, "data_offsets");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":2,\"data_offsets\":[0,8]}}", 8, "shape");
    check_refused("{\"a\":{\"dtype\":\"F32\",\"shape\":[2],\"data_offsets\":[0,8,9]}}", 8,
                  "two data_offsets");
    check_refused("{\"a\":3}", 0, "must have dtype");
    check_refused("{\"__metadata__\":{\"a\":3}}", 0, "metadata \"a\"");
    check_refused("{\"__metadata__\":[]}", 0, "no map");
    check_refused("[]", 0, "no map");
    check_refused("{\"a\":", 0, "line 1");
    check_refused("", 0, "line 1");
}

static void
check_file(const void *bytes, size_t n, const char *words)
{
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/bad.safetensors", sea_test_dir());
    CHECK_OK(sea_file_replace(path, bytes, n, &err), err);
    CHECK(sea_tensors_open(&tensors, path, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, words);
}

static void
broken_lengths_are_named(void)
{
    struct sea_buf bytes;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    check_file("", 0, "has 0 bytes");
    check_file("1234567", 7, "has 7 bytes");
    check_file("\xFF\xFF\xFF\xFF\xFF\xFF\xFF\xFF{}", 10, "18446744073709551615 bytes");
    check_file("\3\0\0\0\0\0\0\0{}", 10, "header of 3 bytes in a file of 10");
    check_file("version https://git-lfs.github.com/spec/v1\n", 43, "header of");
    fixture_path(path, "kinds.safetensors");
    sea_buf_init(&bytes, 1 << 20);
    CHECK_OK(sea_file_read(path, &bytes, &err), err);
    for (size_t n = 0; n < bytes.len; n += 13)
        check_file(bytes.data, n, "\"");
    sea_buf_release(&bytes);
}

static void
check_index(const char *json, enum sea_status want, const char *words)
{
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    snprintf(path, sizeof(path), "%s/model.safetensors.index.json", sea_test_dir());
    CHECK_OK(sea_file_replace(path, json, strlen(json), &err), err);
    CHECK(sea_tensors_open_dir(&tensors, sea_test_dir(), &err) == want);
    CHECK_FAILS(err, want, words);
    CHECK(!tensors);
}

static void
broken_folders_are_named(void)
{
    const float one[] = { 1 };
    struct sea_tensor_item item = { "a", SEA_F32, 1, { 1 }, one, NULL, NULL };
    struct sea_tensors *tensors;
    struct sea_err err = { 0 };
    char path[SEA_PATH_MAX];

    CHECK(sea_tensors_open_dir(&tensors, sea_test_dir(), &err) == SEA_E_MISSING);
    CHECK_FAILS(err, SEA_E_MISSING, "neither model.safetensors");
    sea_err_clear(&err);
    snprintf(path, sizeof(path), "%s/pytorch_model.bin", sea_test_dir());
    CHECK_OK(sea_file_replace(path, "x", 1, &err), err);
    CHECK(sea_tensors_open_dir(&tensors, sea_test_dir(), &err) == SEA_E_MISSING);
    CHECK(strstr(err.hint, "pytorch_model.bin"));
    sea_err_clear(&err);
    for (int i = 1; i <= 2; i++) {
        snprintf(path, sizeof(path), "%s/%d.safetensors", sea_test_dir(), i);
        CHECK_OK(sea_tensors_write(path, &item, 1, NULL, 0, &err), err);
    }
    check_index("{}", SEA_E_FORMAT, "weight_map");
    check_index("{\"weight_map\":{\"a\":3}}", SEA_E_FORMAT, "\"a\" has no file");
    check_index("{\"weight_map\":{\"a\":\"../1.safetensors\"}}", SEA_E_FORMAT, "outside");
    check_index("{\"weight_map\":{\"a\":\"7.safetensors\"}}", SEA_E_MISSING, "7.safetensors");
    check_index("{\"weight_map\":{\"b\":\"1.safetensors\"}}", SEA_E_FORMAT, "\"b\" is not in");
    check_index("{\"weight_map\":{\"a\":\"1.safetensors\",\"b\":\"2.safetensors\"}}", SEA_E_FORMAT,
                "\"a\" is in");
    snprintf(path, sizeof(path), "%s/2.safetensors", sea_test_dir());
    item.name = "b";
    CHECK_OK(sea_tensors_write(path, &item, 1, NULL, 0, &err), err);
    check_index("{\"weight_map\":{\"a\":\"2.safetensors\",\"b\":\"1.safetensors\"}}", SEA_E_FORMAT,
                "tensor \"a\" is not in \"2.safetensors\" but in");
}

static void
halves_round_to_even(void)
{
    float worst = 0;

    for (uint32_t bits = 0; bits < 0x10000; bits++) {
        float value = sea_f16_to_f32((uint16_t)bits);
        uint16_t back = sea_f16_from_f32(value);

        CHECK_MSG(isnan(value) ? isnan(sea_f16_to_f32(back)) : back == bits,
                  "half %04x comes back as %04x", bits, back);
        value = sea_bf16_to_f32((uint16_t)bits);
        back = sea_bf16_from_f32(value);
        CHECK_MSG(isnan(value) ? isnan(sea_bf16_to_f32(back)) : back == bits,
                  "bfloat %04x comes back as %04x", bits, back);
    }
    CHECK_INT(sea_f16_from_f32(2049.0f), 0x6800);       /* between 2048 and 2050 */
    CHECK_INT(sea_f16_from_f32(2051.0f), 0x6802);
    CHECK_INT(sea_f16_from_f32(65519.0f), 0x7BFF);
    CHECK_INT(sea_f16_from_f32(65520.0f), 0x7C00);
    CHECK_INT(sea_f16_from_f32(2.9802322e-8f), 0);      /* half of the smallest */
    CHECK_INT(sea_f16_from_f32(2.9802326e-8f), 1);
    CHECK_INT(sea_f16_from_f32(6.1005e-5f), 0x3FF);     /* largest subnormal, about */
    CHECK_INT(sea_bf16_from_f32(1.00390625f), 0x3F80);  /* ties to even */
    CHECK_INT(sea_bf16_from_f32(1.01171875f), 0x3F82);
    for (int i = 0; i < 2000; i++) {
        float value = 1e-4f * powf(1.01f, (float)i);
        float error = fabsf(sea_f16_to_f32(sea_f16_from_f32(value)) - value) / value;

        worst = error > worst ? error : worst;
    }
    printf("  largest relative error of a half: %.3g, bound 4.89e-4\n", (double)worst);
    CHECK(worst <= 4.89e-4f);
}

SEA_TEST_MAIN("safetensors files", TEST(every_dtype_has_its_values), TEST(shards_are_one_set),
              TEST(what_we_write_is_read), TEST(a_failed_write_leaves_nothing),
              TEST(broken_headers_are_named), TEST(broken_lengths_are_named),
              TEST(broken_folders_are_named), TEST(halves_round_to_even))
