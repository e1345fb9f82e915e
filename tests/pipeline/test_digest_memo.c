/* SPDX-License-Identifier: Apache-2.0 */
/* Digests that are remembered: computed once for any number of keys, and again after every change of
 * what was read, also one that keeps size and time. */
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/base/sea_file.h"
#include "pipeline/sea_dataset.h"
#include "pipeline/sea_digest_memo.h"
#include "pipeline/sea_stage_body.h"
#include "tests/sea_test.h"

#define SETTLE_MS 120

static char root[400], json[500], images[500], picture[600];

static void
put(const char *path, const char *text)
{
    struct sea_err err = { 0 };

    CHECK_OK(sea_file_replace(path, text, strlen(text), &err), err);
}

/* A data set of two pictures, a folder, and a model, old enough to be remembered. */
static void
begin(const char *name)
{
    struct sea_err err = { 0 };
    char path[600];

    snprintf(root, sizeof(root), "%s/%s", sea_test_dir(), name);
    snprintf(images, sizeof(images), "%s/images", root);
    snprintf(json, sizeof(json), "%s/data.json", root);
    snprintf(picture, sizeof(picture), "%s/b.png", images);
    CHECK_OK(sea_dir_create(images, &err), err);
    put(json, "[{\"id\": 1, \"image\": \"a.png\"}, {\"id\": 2, \"image\": \"b.png\"}]");
    snprintf(path, sizeof(path), "%s/a.png", images);
    put(path, "picture a");
    put(picture, "picture b");
    snprintf(path, sizeof(path), "%s/config.json", root);
    put(path, "{\"model_type\": \"x\"}");
    sea_clock_sleep_ms(2 * SETTLE_MS);
}

static void
digest(struct sea_digest_memo *memo, enum sea_digest_kind kind, char out[SEA_SHA256_TEXT])
{
    const char *path = kind == SEA_DIGEST_FOLDER  ? images
                       : kind == SEA_DIGEST_MODEL ? root : json;
    struct sea_err err = { 0 };

    CHECK_OK(sea_digest_of(memo, kind, path, kind == SEA_DIGEST_DATASET ? images : NULL, out,
                           &err), err);
}

static void
check_counts(const struct sea_digest_memo *memo, int computed, int found)
{
    struct sea_digest_counts counts = sea_digest_memo_counts(memo);

    CHECK_INT(counts.computed, computed);
    CHECK_INT(counts.found, found);
}

static void
many_keys_read_the_data_once(void)
{
    static const enum sea_digest_kind kinds[] = { SEA_DIGEST_FILE, SEA_DIGEST_FOLDER,
                                                  SEA_DIGEST_MODEL, SEA_DIGEST_DATASET };
    struct sea_digest_memo *memo = sea_digest_memo_create(SETTLE_MS, -1);
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT], plain[SEA_SHA256_TEXT];
    struct sea_err err = { 0 };
    size_t k;
    int i;

    begin("many");
    for (k = 0; k < 4; k++) {
        digest(memo, kinds[k], one);
        for (i = 0; i < 20; i++) {
            digest(memo, kinds[k], two);
            CHECK_STR(two, one);
        }
        digest(NULL, kinds[k], plain);
        CHECK_STR(plain, one);
    }
    check_counts(memo, 4, 80);
    CHECK_OK(sea_dataset_digest(json, images, plain, &err), err);
    CHECK_STR(plain, one);
    sea_digest_memo_destroy(memo);
}

/* Each change alone, of the same length; the times of the last one are put back. */
static void
every_change_is_seen(void)
{
    struct sea_digest_memo *memo = sea_digest_memo_create(SETTLE_MS, -1);
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT], other[600];
    struct timespec times[2];
    struct sea_err err = { 0 };
    struct stat before;
    int fd;

    begin("changes");
    digest(memo, SEA_DIGEST_DATASET, one);
    put(picture, "picture c");          /* another inode */
    digest(memo, SEA_DIGEST_DATASET, two);
    CHECK(strcmp(one, two) != 0);
    sea_clock_sleep_ms(2 * SETTLE_MS);
    digest(memo, SEA_DIGEST_DATASET, one);
    CHECK_STR(one, two);
    digest(memo, SEA_DIGEST_DATASET, one);
    check_counts(memo, 3, 1);
    /* In place, size and time of change as before. */
    CHECK(stat(picture, &before) == 0);
    fd = open(picture, O_WRONLY);
    CHECK(pwrite(fd, "D", 1, 8) == 1);
    times[0] = before.st_atim;
    times[1] = before.st_mtim;
    CHECK(futimens(fd, times) == 0);
    close(fd);
    digest(memo, SEA_DIGEST_DATASET, two);
    CHECK(strcmp(one, two) != 0);
    /* A file that comes, and one that goes. */
    sea_clock_sleep_ms(2 * SETTLE_MS);
    digest(memo, SEA_DIGEST_FOLDER, one);
    snprintf(other, sizeof(other), "%s/c.png", images);
    put(other, "picture c");
    digest(memo, SEA_DIGEST_FOLDER, two);
    CHECK(strcmp(one, two) != 0);
    CHECK(unlink(other) == 0);
    digest(memo, SEA_DIGEST_FOLDER, two);
    CHECK_STR(two, one);
    /* What cannot be read is an error each time, and nothing is remembered of it. */
    sea_clock_sleep_ms(2 * SETTLE_MS);
    digest(memo, SEA_DIGEST_DATASET, two);
    CHECK(unlink(picture) == 0);
    CHECK_INT(sea_digest_of(memo, SEA_DIGEST_DATASET, json, images, two, &err), SEA_E_MISSING);
    sea_digest_memo_destroy(memo);
}

static void
what_has_just_changed_is_not_remembered(void)
{
    struct sea_digest_memo *memo = sea_digest_memo_create(60000, -1);
    char one[SEA_SHA256_TEXT];

    begin("young");
    digest(memo, SEA_DIGEST_FILE, one);
    digest(memo, SEA_DIGEST_FILE, one);
    check_counts(memo, 2, 0);
    sea_digest_memo_destroy(memo);
}

/* For a moment nobody asks for the state of the files again. */
static void
what_was_looked_at_is_fresh_for_a_moment(void)
{
    struct sea_digest_memo *memo = sea_digest_memo_create(SETTLE_MS, 300);
    char one[SEA_SHA256_TEXT];
    size_t looks;

    begin("fresh");
    digest(memo, SEA_DIGEST_DATASET, one);
    looks = sea_digest_memo_counts(memo).looks;
    digest(memo, SEA_DIGEST_DATASET, one);
    CHECK_INT(sea_digest_memo_counts(memo).looks, looks);
    sea_clock_sleep_ms(350);
    digest(memo, SEA_DIGEST_DATASET, one);
    CHECK_INT(sea_digest_memo_counts(memo).looks, looks + 1);
    check_counts(memo, 1, 2);
    sea_digest_memo_destroy(memo);
}

/* LLaVA's own layout names a folder with its vision tower: that counts as a part of the model. */
static void
a_tower_that_the_model_names_counts(void)
{
    struct sea_digest_memo *memo = sea_digest_memo_create(SETTLE_MS, -1);
    char one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT], tower[600], path[SEA_PATH_MAX];
    char config[1500];
    struct sea_err err = { 0 };

    begin("original");
    snprintf(tower, sizeof(tower), "%s/tower of original", sea_test_dir());
    CHECK_OK(sea_dir_create(tower, &err), err);
    snprintf(path, sizeof(path), "%s/config.json", tower);
    put(path, "{\"model_type\": \"clip_vision_model\", \"hidden_size\": 24, \"intermediate_size\": 20, "
        "\"num_hidden_layers\": 2, \"num_attention_heads\": 2, \"image_size\": 16, \"patch_size\": 8}");
    snprintf(path, sizeof(path), "%s/model.safetensors", tower);
    put(path, "weights a");
    snprintf(config, sizeof(config), "{\"model_type\": \"llava_llama\", \"hidden_size\": 16, "
             "\"intermediate_size\": 20, \"num_hidden_layers\": 1, \"num_attention_heads\": 2, "
             "\"vocab_size\": 19, \"rms_norm_eps\": 1e-6, \"max_position_embeddings\": 64, "
             "\"mm_projector_type\": \"mlp2x_gelu\", \"mm_vision_tower\": \"%s\", "
             "\"mm_hidden_size\": 24, \"mm_vision_select_layer\": -2}", tower);
    snprintf(path, sizeof(path), "%s/config.json", root);
    put(path, config);
    CHECK(sea_digest_tower(root, path));
    CHECK_STR(path, tower);
    sea_clock_sleep_ms(2 * SETTLE_MS);
    digest(memo, SEA_DIGEST_MODEL, one);
    digest(memo, SEA_DIGEST_MODEL, two);
    CHECK_STR(two, one);
    check_counts(memo, 1, 1);
    snprintf(path, sizeof(path), "%s/model.safetensors", tower);
    put(path, "weights b");
    digest(memo, SEA_DIGEST_MODEL, two);
    CHECK(strcmp(two, one) != 0);
    sea_digest_memo_destroy(memo);
}

SEA_TEST_MAIN("digests remembered", TEST(many_keys_read_the_data_once), TEST(every_change_is_seen),
              TEST(what_has_just_changed_is_not_remembered),
              TEST(what_was_looked_at_is_fresh_for_a_moment),
              TEST(a_tower_that_the_model_names_counts))
