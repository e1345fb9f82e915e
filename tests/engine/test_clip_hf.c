/* SPDX-License-Identifier: Apache-2.0 */
/*
 * CLIP against Hugging Face's CLIPModel: hidden states, picture and text embeddings, the
 * contrastive loss and the gradient of every tensor, for the model of test_clip_world.h.
 * The values come from tests/oracle/clip_hf.py, which needs PyTorch; this test does not.
 * SEA_CLIP_DUMP=DIR writes the model and its inputs for that script.
 */
#include "engine/base/sea_file.h"
#include "engine/base/sea_node.h"
#include "engine/sea_safetensors.h"
#include "tests/engine/test_clip_world.h"

#define VALUES_BYTES_MAX ((size_t)8 << 20)

static struct sea_arena *arena;
static const struct sea_node *values;

static const struct sea_node *
load_values(void)
{
    struct sea_err err = { 0 };
    struct sea_node *root = NULL;
    char path[600];

    if (values)
        return values;
    arena = sea_arena_create(NULL, "test");
    snprintf(path, sizeof(path), "%s/tests/oracle/clip_values.json", sea_test_root());
    CHECK_OK(sea_json_load(path, VALUES_BYTES_MAX, arena, &root, &err), err);
    values = root;
    return values;
}

/* Largest difference to a list of numbers; the list must be as long. */
static double
apart(const float *got, int64_t count, const struct sea_node *list)
{
    const struct sea_node *node = list ? list->first : NULL;
    double most = 0;
    int64_t i;

    CHECK_INT(list ? (int64_t)list->count : -1, count);
    for (i = 0; node && i < count; i++, node = node->next)
        most = fmax(most, fabs((double)got[i] - node->real));
    return node ? INFINITY : most;
}

static void
dump(const struct world *world, const char *dir)
{
    struct sea_tensor_item items[3] = {
        { .name = "pixels", .dtype = SEA_F32, .rank = 4, .shape = { PICTURES, 3, 9, 9 },
          .data = world->pixels },
        { .name = "ids", .dtype = SEA_I32, .rank = 1, .shape = { world->start[PICTURES] },
          .data = world->ids },
        { .name = "start", .dtype = SEA_I64, .rank = 1, .shape = { PICTURES + 1 },
          .data = world->start },
    };
    struct sea_err err = { 0 };
    char path[600];

    snprintf(path, sizeof(path), "%s/inputs.safetensors", dir);
    CHECK_OK(sea_clip_save(world->clip, dir, &err), err);
    CHECK_OK(sea_tensors_write(path, items, 3, NULL, 0, &err), err);
}

static void
features_and_embeddings_equal(void)
{
    int64_t m = sea_clip_patch_count(&tiny), D = tiny.vision.D, layer;
    float *got = sea_xcalloc((size_t)(PICTURES * (m + 1) * D), sizeof(*got));
    const char *dir = getenv("SEA_CLIP_DUMP");
    struct sea_clip_out out = { .host = got };
    struct sea_clip_work *work;
    struct sea_err err = { 0 };
    struct world world;
    double error = 0;

    world_open(&world, &tiny, false);
    if (dir) {
        dump(&world, dir);
        SEA_SKIP("wrote the model and its inputs instead");
        world_close(&world);
        free(got);
        return;
    }
    work = make_work(world.clip, PICTURES, PICTURES, IDS_MAX, false);
    for (layer = 0; layer <= 2; layer++) {
        char key[32];

        snprintf(key, sizeof(key), "hidden_%d", (int)layer);
        CHECK_OK(sea_clip_features(world.clip, work, world.pixels, PICTURES, layer, true,
                                   out, &err), err);
        error = fmax(error, apart(got, PICTURES * (m + 1) * D,
                                  sea_node_get(load_values(), key)));
    }
    printf("hidden states: largest difference %.2e, bound 1e-05\n", error);
    CHECK(error < 1e-5);
    CHECK_OK(sea_clip_images(world.clip, work, world.pixels, PICTURES, out, &err), err);
    error = apart(got, PICTURES * tiny.joint, sea_node_get(load_values(), "images"));
    printf("images: largest difference %.2e, bound 2e-06\n", error);
    CHECK(error < 2e-6);
    CHECK_OK(sea_clip_texts(world.clip, work, world.ids, world.start, PICTURES, out, &err),
             err);
    error = apart(got, PICTURES * tiny.joint, sea_node_get(load_values(), "texts"));
    printf("texts: largest difference %.2e, bound 2e-06\n", error);
    CHECK(error < 2e-6);
    sea_clip_work_destroy(work);
    world_close(&world);
    free(got);
}

/* Each tensor's gradient by two numbers: its norm, and its sum weighed with cos(i + 1),
 * which sees order and sign. Returns the number of tensors compared. */
static int
compare_gradients(const struct sea_params *params, double *error)
{
    const struct sea_node *all = sea_node_get(load_values(), "gradients"), *want;
    float *grad = sea_xcalloc((size_t)params->floats, sizeof(*grad));
    struct sea_err err = { 0 };
    int64_t t, i;
    int count = 0;

    CHECK_OK(sea_device_get(&device, grad, params->grad,
                            (size_t)params->floats * sizeof(*grad), &err), err);
    for (t = 0; t < params->count; t++) {
        double norm = 0, sum = 0;

        want = sea_node_get(all, params->list[t].name);
        if (!CHECK_MSG(want && want->count == 2, "no value for \"%s\"",
                       params->list[t].name))
            continue;
        for (i = 0; i < params->list[t].count; i++) {
            double g = grad[params->list[t].offset + i];

            norm += g * g;
            sum += g * cos((double)(i + 1));
        }
        *error = fmax(*error, fabs(sqrt(norm) - want->first->real));
        *error = fmax(*error, fabs(sum - want->last->real));
        count++;
    }
    free(grad);
    return count;
}

static void
loss_and_gradients_equal(void)
{
    struct sea_clip_trainer *trainer;
    struct sea_err err = { 0 };
    struct world world;
    double loss, want, error = 0;
    int count;

    if (getenv("SEA_CLIP_DUMP")) {
        SEA_SKIP("nothing to compare with yet");
        return;
    }
    world_open(&world, &tiny, true);
    CHECK_OK(sea_clip_trainer_create(&trainer, world.clip, PICTURES, IDS_MAX, &err), err);
    CHECK_OK(sea_clip_trainer_step(trainer, world.pixels, world.ids, world.start, PICTURES,
                                   &loss, &err), err);
    want = sea_node_real(sea_node_get(load_values(), "loss"), -1);
    printf("loss %.7f, Hugging Face %.7f\n", loss, want);
    CHECK_NEAR(loss, want, 2e-6);
    count = compare_gradients(&world.clip->vision, &error)
            + compare_gradients(&world.clip->text, &error)
            + compare_gradients(&world.clip->head, &error);
    printf("gradients of %d tensors: largest difference %.2e, bound 2e-06\n", count, error);
    CHECK_INT(count, 78);
    CHECK(error < 2e-6);
    sea_clip_trainer_destroy(trainer);
    world_close(&world);
    sea_arena_destroy(arena);
    arena = NULL;
    values = NULL;
}

SEA_TEST_MAIN("clip against Hugging Face",
    TEST(features_and_embeddings_equal),
    TEST(loss_and_gradients_equal))
