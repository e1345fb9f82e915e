/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Towers of every family, loaded from folders that transformers wrote, give the values that
 * transformers computed in float64: hidden states, pictures, patches and texts in the joint
 * space, and the gradients of a tower that is tuned. A folder that we save comes back with
 * equal bits. Every tensor counts: one that is changed changes a result.
 */
#include <stdlib.h>

#include "engine/base/sea_file.h"
#include "engine/sea_clip.h"
#include "engine/sea_safetensors.h"
#include "tests/sea_test.h"

#define VALUE_BOUND 1e-5        /* relative error of values, issue's figure */
#define GRADIENT_BOUND 1e-4
#define JOINT_BOUND 1e-5
#define HALF_BOUND 5e-2         /* 8 bits of 1 per weight, a few blocks deep */

static struct sea_device device;

static const struct fixture {
    const char *name;
    enum sea_tower tower;
    bool images, texts;
    const char *unread[4];      /* tensors that no result depends on */
} fixtures[] = {
    { "clip_gelu", SEA_TOWER_CLIP, true, true, { NULL } },
    { "clip_projection", SEA_TOWER_CLIP, true, false, { NULL } },
    { "siglip", SEA_TOWER_SIGLIP, true, true, { NULL } },
    { "siglip_vision", SEA_TOWER_SIGLIP, true, false, { NULL } },
    { "dinov2", SEA_TOWER_DINOV2, false, false, { "embeddings.mask_token", "layernorm.weight",
                                                  "layernorm.bias", NULL } },
    { "dinov2_smaller", SEA_TOWER_DINOV2, false, false, {
          "embeddings.mask_token", "layernorm.weight", "layernorm.bias", NULL } },
    { "dinov2_larger", SEA_TOWER_DINOV2, false, false, {
          "embeddings.mask_token", "layernorm.weight", "layernorm.bias", NULL } },
    { "dinov2_swiglu", SEA_TOWER_DINOV2, false, false, {
          "embeddings.mask_token", "layernorm.weight", "layernorm.bias", NULL } },
};
#define FIXTURES (sizeof(fixtures) / sizeof(fixtures[0]))

struct opened {
    const struct fixture *fixture;
    struct sea_clip *clip;
    struct sea_clip_work *work;
    struct sea_tensors *values;
    float *pixels;
    int64_t count, m, c, D;
    int32_t ids[64];
    int64_t start[8], texts;
};

/* A tensor of the values as floats, allocated; NULL when it is not there. */
static float *
read_value(const struct opened *opened, const char *name, int64_t *count)
{
    const struct sea_tensor *tensor = sea_tensors_find(opened->values, name);
    struct sea_err err = { 0 };
    float *out;

    *count = 0;
    if (!tensor)
        return NULL;
    out = sea_xcalloc((size_t)tensor->count, sizeof(*out));
    CHECK_OK(sea_tensor_read_f32(tensor, 0, tensor->count, out, &err), err);
    *count = tensor->count;
    return out;
}

/* Largest difference in parts of the largest value. */
static double
relative(const float *got, const float *want, int64_t count)
{
    double most = 0, size = 0;
    int64_t i;

    for (i = 0; i < count; i++) {
        most = fmax(most, fabs((double)got[i] - (double)want[i]));
        size = fmax(size, fabs((double)want[i]));
        if (!isfinite(got[i]))
            return INFINITY;
    }
    return size > 0 ? most / size : most;
}

static void
read_texts(struct opened *opened)
{
    const struct sea_tensor *ids = sea_tensors_find(opened->values, "ids");
    const struct sea_tensor *start = sea_tensors_find(opened->values, "start");
    struct sea_err err = { 0 };
    int64_t wide[64], i;

    if (!ids || !start || !CHECK(ids->count <= 64 && start->count <= 8))
        return;
    CHECK_OK(sea_tensor_read_i64(ids, 0, ids->count, wide, &err), err);
    CHECK_OK(sea_tensor_read_i64(start, 0, start->count, opened->start, &err), err);
    for (i = 0; i < ids->count; i++)
        opened->ids[i] = (int32_t)wide[i];
    opened->texts = start->count - 1;
}

static bool
open_fixture(struct opened *opened, const struct fixture *fixture, bool trained)
{
    struct sea_err err = { 0 };
    char dir[600], path[700];
    struct sea_clip_limits limits = { .images = trained ? 3 : 2, .trained = trained };
    int64_t count;

    memset(opened, 0, sizeof(*opened));
    opened->fixture = fixture;
    if (!device.ops)
        CHECK_OK(sea_device_open(&device, sea_test_device(), &err), err);
    snprintf(dir, sizeof(dir), "%s/tests/oracle/fixtures/towers/%s", sea_test_root(),
             fixture->name);
    snprintf(path, sizeof(path), "%s/values.safetensors", dir);
    if (!CHECK_OK(sea_tensors_open(&opened->values, path, &err), err)
        || !CHECK_OK(sea_clip_load(&opened->clip, &device, dir, trained, &err), err))
        return false;
    CHECK(opened->clip->desc.tower == fixture->tower);
    opened->m = sea_clip_patch_count(&opened->clip->desc);
    opened->c = sea_clip_class_rows(&opened->clip->desc);
    opened->D = opened->clip->desc.vision.D;
    opened->pixels = read_value(opened, "pixels", &count);
    opened->count = count / (3 * opened->clip->desc.vision.image
                             * opened->clip->desc.vision.image);
    read_texts(opened);
    if (opened->texts && !trained) {
        limits.texts = 2;
        limits.text_rows = 2 * opened->clip->desc.text.positions;
    }
    return CHECK_INT(opened->count, 3)
           && CHECK_OK(sea_clip_work_create(&opened->work, opened->clip, &limits, &err), err);
}

static void
close_fixture(struct opened *opened)
{
    sea_clip_work_destroy(opened->work);
    sea_clip_destroy(opened->clip);
    sea_tensors_close(opened->values);
    free(opened->pixels);
}

static double
check_hidden(const struct opened *opened)
{
    int64_t layers = opened->clip->desc.vision.layers, layer, count, rows, b;
    int64_t n = opened->count * (opened->m + opened->c) * opened->D;
    float *got = sea_xcalloc((size_t)n, sizeof(*got)), *want;
    struct sea_clip_out out = { .host = got };
    struct sea_err err = { 0 };
    double error = 0;
    char name[32];

    for (layer = 0; layer <= layers; layer++) {
        snprintf(name, sizeof(name), "hidden.%lld", (long long)layer);
        want = read_value(opened, name, &count);
        CHECK_INT(count, n);
        CHECK_OK(sea_clip_features(opened->clip, opened->work, opened->pixels, opened->count,
                                   layer, opened->c > 0, out, &err), err);
        error = fmax(error, relative(got, want, count < n ? count : n));
        CHECK_OK(sea_clip_features(opened->clip, opened->work, opened->pixels, opened->count,
                                   layer - layers - 1, false, out, &err), err);
        rows = opened->m * opened->D;
        for (b = 0; b < opened->count && count == n; b++)
            error = fmax(error, relative(got + b * rows, want + b * (rows + opened->c
                                         * opened->D) + opened->c * opened->D, rows));
        free(want);
    }
    free(got);
    return error;
}

/* Rows in the joint space: what is "images", "texts" or a variant of reading patches. */
static double
check_joint(const struct opened *opened, const char *what)
{
    enum sea_clip_variant variant = SEA_CLIP_RAW_POS;
    bool patches = sea_clip_variant_find(what, &variant);
    struct sea_err err = { 0 };
    int64_t count;
    float *want = read_value(opened, what, &count);
    float *got = sea_xcalloc((size_t)count + 1, sizeof(*got));
    struct sea_clip_out out = { .host = got };
    double error;

    CHECK_MSG(count > 0, "%s has no %s", opened->fixture->name, what);
    if (*what == 'i')
        CHECK_OK(sea_clip_images(opened->clip, opened->work, opened->pixels, opened->count,
                                 out, &err), err);
    else if (patches)
        CHECK_OK(sea_clip_patches(opened->clip, opened->work, opened->pixels, opened->count,
                                  variant, out, &err), err);
    else
        CHECK_OK(sea_clip_texts(opened->clip, opened->work, opened->ids, opened->start,
                                opened->texts, out, &err), err);
    error = relative(got, want, count);
    free(got);
    free(want);
    return error;
}

static void
values_equal(void)
{
    size_t i;

    for (i = 0; i < FIXTURES; i++) {
        struct opened opened;
        double hidden, images = 0, patches = 0, texts = 0;

        if (open_fixture(&opened, &fixtures[i], false)) {
            hidden = check_hidden(&opened);
            if (fixtures[i].images) {
                images = check_joint(&opened, "images");
                patches = fmax(check_joint(&opened, "raw_pos"),
                               fmax(check_joint(&opened, "maskclip"),
                                    check_joint(&opened, "surgery")));
            }
            if (fixtures[i].texts)
                texts = check_joint(&opened, "texts");
            printf("%s: relative error of hidden states %.1e, pictures %.1e, patches %.1e, "
                   "texts %.1e, bound %.0e\n", fixtures[i].name, hidden, images, patches,
                   texts, VALUE_BOUND);
            CHECK(hidden > 0 && hidden <= VALUE_BOUND);
            CHECK(images <= JOINT_BOUND && patches <= JOINT_BOUND && texts <= JOINT_BOUND);
        }
        close_fixture(&opened);
    }
}

/* With matrices in bfloat16 every way through a tower still runs, a little off. */
static void
bfloat16_storage_is_near(void)
{
    struct sea_device exact = device;
    size_t i;

    device.store = SEA_STORE_BF16;
    for (i = 0; i < FIXTURES; i++) {
        struct opened opened;
        double hidden, images = 0, texts = 0;

        if (open_fixture(&opened, &fixtures[i], false)) {
            hidden = check_hidden(&opened);
            if (fixtures[i].images)
                images = fmax(check_joint(&opened, "images"), check_joint(&opened, "surgery"));
            if (fixtures[i].texts)
                texts = check_joint(&opened, "texts");
            printf("%s, bfloat16: relative error of hidden states %.1e, joint space %.1e, texts "
                   "%.1e, bound %.0e\n", fixtures[i].name, hidden, images, texts, HALF_BOUND);
            CHECK(hidden > 1e-4 && hidden < HALF_BOUND && images < HALF_BOUND
                  && texts < HALF_BOUND);
        }
        close_fixture(&opened);
    }
    device = exact;
}

/* One tensor's gradient against the file's, in parts of the largest number in it. */
static double
gradient_error(const struct opened *opened, const struct sea_param *param, int *compared)
{
    const char *inner = strstr(param->name, "vision_model.") == param->name
                        ? param->name + strlen("vision_model.") : param->name;
    size_t bytes = (size_t)param->count * sizeof(float);
    float *got = sea_xcalloc((size_t)param->count, sizeof(*got)), *want;
    struct sea_err err = { 0 };
    double error = 0;
    int64_t count, i;
    char name[300];

    snprintf(name, sizeof(name), "grad.%s", param->name);
    want = read_value(opened, name, &count);
    snprintf(name, sizeof(name), "grad.%s", inner);
    if (!want)
        want = read_value(opened, name, &count);
    CHECK_OK(sea_device_get(&device, got, opened->clip->vision.grad + param->offset, bytes,
                            &err), err);
    if (want && CHECK_INT(count, param->count)) {
        error = relative(got, want, count);
        ++*compared;
    }
    for (i = 0; !want && i < param->count; i++)
        if (!CHECK_MSG(fabs((double)got[i]) < 1e-5, "%s of %s has a gradient of %g",
                       param->name, opened->fixture->name, (double)got[i]))
            break;
    free(got);
    free(want);
    return error;
}

static void
gradients_equal(void)
{
    size_t i;

    for (i = 0; i < FIXTURES; i++) {
        struct opened opened;
        struct sea_err err = { 0 };
        struct sea_clip_out out = { 0 };
        double error = 0, one;
        const char *worst = "";
        int64_t t, count, found = 0;
        int compared = 0;
        float *dout;
        void *mem;

        if (!open_fixture(&opened, &fixtures[i], true)) {
            close_fixture(&opened);
            continue;
        }
        dout = read_value(&opened, "dout", &count);
        CHECK_OK(sea_device_alloc(&device, (size_t)count * sizeof(float), &mem, &err), err);
        out.device = mem;
        CHECK_OK(sea_clip_features(opened.clip, opened.work, opened.pixels, opened.count, -2,
                                   opened.c > 0, out, &err), err);
        CHECK_OK(sea_device_put(&device, mem, dout, (size_t)count * sizeof(float), &err), err);
        CHECK_OK(sea_clip_features_backward(opened.clip, opened.work, mem, &err), err);
        for (t = 0; t < opened.clip->vision.count; t++) {
            one = gradient_error(&opened, &opened.clip->vision.list[t], &compared);
            worst = one > error ? opened.clip->vision.list[t].name : worst;
            error = fmax(error, one);
        }
        for (t = 0; t < (int64_t)opened.values->count; t++)
            found += !strncmp(opened.values->list[t].name, "grad.", 5);
        CHECK_INT(compared, found);
        printf("%s: gradients of %d tensors, largest relative error %.1e (%s), bound %.0e\n",
               fixtures[i].name, compared, error, worst, GRADIENT_BOUND);
        CHECK(error > 0 && error <= GRADIENT_BOUND);
        sea_device_free(&device, mem);
        free(dout);
        close_fixture(&opened);
    }
}

/* All results in one row of numbers: what depends on a tensor changes it. */
static int64_t
results(const struct opened *opened, float *to)
{
    int64_t m = opened->m, J = opened->clip->desc.joint, at = 0;
    struct sea_err err = { 0 };
    struct sea_clip_out out = { .host = to };

    CHECK_OK(sea_clip_features(opened->clip, opened->work, opened->pixels, 1, -1,
                               opened->c > 0, out, &err), err);
    at += (m + opened->c) * opened->D;
    out.host = to + at;
    if (opened->fixture->images) {
        CHECK_OK(sea_clip_patches(opened->clip, opened->work, opened->pixels, 1,
                                  SEA_CLIP_RAW_POS, out, &err), err);
        out.host = to + (at += m * J);
        CHECK_OK(sea_clip_images(opened->clip, opened->work, opened->pixels, 1, out, &err),
                 err);
        out.host = to + (at += J);
    }
    if (opened->fixture->texts) {
        CHECK_OK(sea_clip_texts(opened->clip, opened->work, opened->ids, opened->start,
                                opened->texts, out, &err), err);
        at += opened->texts * J;
    }
    return at;
}

static int
check_part(const struct opened *opened, struct sea_params *params, const float *plain,
           float *again, int64_t n)
{
    struct sea_err err = { 0 };
    int64_t t, i;
    int changed = 0;

    for (t = 0; t < params->count; t++) {
        const struct sea_param *param = &params->list[t];
        float *keep = sea_xcalloc((size_t)param->count, sizeof(*keep));
        float *moved = sea_xcalloc((size_t)param->count, sizeof(*moved));
        bool unread = !strncmp(param->name, "logit_", 6), same;

        for (i = 0; i < 4 && opened->fixture->unread[i]; i++)
            unread = unread || !strcmp(param->name, opened->fixture->unread[i]);
        CHECK_OK(sea_params_get(params, param, 0, param->count, keep, &err), err);
        for (i = 0; i < param->count; i++)
            moved[i] = keep[i] + 0.1f * (float)((i % 3) - 1) + 0.05f;
        CHECK_OK(sea_params_put(params, param, 0, param->count, moved, &err), err);
        CHECK_INT(results(opened, again), n);
        same = memcmp(plain, again, (size_t)n * sizeof(*again)) == 0;
        CHECK_MSG(same == unread, "%s: %s %s", opened->fixture->name, param->name,
                  same ? "changes nothing" : "was taken for unread");
        changed += !same;
        CHECK_OK(sea_params_put(params, param, 0, param->count, keep, &err), err);
        free(keep);
        free(moved);
    }
    return changed;
}

static void
every_tensor_counts(void)
{
    size_t i;

    for (i = 0; i < FIXTURES; i++) {
        struct opened opened;
        float *plain = sea_xcalloc(1 << 14, sizeof(*plain));
        float *again = sea_xcalloc(1 << 14, sizeof(*again));
        int changed;
        int64_t n;

        if (open_fixture(&opened, &fixtures[i], false)) {
            n = results(&opened, plain);
            changed = check_part(&opened, &opened.clip->vision, plain, again, n)
                      + check_part(&opened, &opened.clip->text, plain, again, n)
                      + check_part(&opened, &opened.clip->head, plain, again, n);
            printf("%s: %d tensors changed a result\n", fixtures[i].name, changed);
        }
        close_fixture(&opened);
        free(plain);
        free(again);
    }
}

static void
saved_folders_come_back(void)
{
    size_t i;

    for (i = 0; i < FIXTURES; i++) {
        struct opened opened;
        struct sea_clip *again = NULL;
        struct sea_err err = { 0 };
        char dir[600], to[700], first[65], second[65];
        struct sea_tensors *ours = NULL;

        if (open_fixture(&opened, &fixtures[i], false)) {
            snprintf(dir, sizeof(dir), "%s/%s", sea_test_dir(), fixtures[i].name);
            CHECK_OK(sea_clip_save(opened.clip, dir, &err), err);
            snprintf(to, sizeof(to), "%s/model.safetensors", dir);
            CHECK_OK(sea_tensors_open(&ours, to, &err), err);
            if (ours)
                CHECK_INT(ours->count, opened.clip->vision.count + opened.clip->text.count
                                       + opened.clip->head.count);
            sea_tensors_close(ours);
            CHECK_OK(sea_clip_load(&again, &device, dir, false, &err), err);
            CHECK_OK(sea_clip_digest(opened.clip, first, &err), err);
            if (again)
                CHECK_OK(sea_clip_digest(again, second, &err), err);
            CHECK_STR(second, first);
            sea_clip_destroy(again);
        }
        close_fixture(&opened);
    }
}

SEA_TEST_MAIN("towers against transformers",
    TEST(values_equal),
    TEST(bfloat16_storage_is_near),
    TEST(gradients_equal),
    TEST(every_tensor_counts),
    TEST(saved_folders_come_back))
