/* SPDX-License-Identifier: Apache-2.0 */
/* Rows as packed batches: expansion, cutting, what is supervised, order of passes. */
#include <stdlib.h>

#include "pipeline/stages/tune_int.h"
#include "tests/sea_test.h"

#define IMG SEA_IMAGE_ID
#define OFF SEA_LABEL_NONE

static void
add(struct sea_samples *samples, const int32_t *ids, const int32_t *labels, int n,
    int64_t patches, int64_t max_length)
{
    struct sea_sample sample = { 0 };
    int i;

    for (i = 0; i < n; i++) {
        sea_ids_add(&sample.ids, ids[i]);
        sea_ids_add(&sample.labels, labels[i]);
    }
    sea_samples_add(samples, &sample, patches, max_length);
    sea_sample_release(&sample);
}

static void
pictures_expand_and_labels_stay_with_their_words(void)
{
    static const int32_t ids[] = { 1, IMG, 7, 8, 9 }, labels[] = { OFF, OFF, OFF, 8, 9 };
    static const int32_t text[] = { 1, 5 }, text_labels[] = { OFF, 5 };
    static const int32_t want[] = { 1, -200, -200, -200, 7, 8, 9, 1, 5 };
    static const int32_t want_labels[] = { -100, -100, -100, -100, -100, 8, 9, -100, 5 };
    struct sea_samples samples = { 0 };
    struct sea_packed packed;
    struct sea_lm_batch batch;
    int i;

    add(&samples, ids, labels, 5, 3, 100);
    add(&samples, text, text_labels, 2, 3, 100);
    CHECK_INT(sea_samples_rows(&samples, 0, 3), 7);
    CHECK_INT(sea_samples_most(&samples, 2, 3), 9);
    CHECK_INT(sea_samples_most(&samples, 3, 3), 16);
    sea_packed_init(&packed, 9);
    sea_packed_clear(&packed);
    sea_packed_add(&packed, &samples, 0, 3);
    sea_packed_add(&packed, &samples, 1, 3);
    batch = sea_packed_batch(&packed);
    CHECK_INT(batch.rows, 9);
    CHECK_INT(batch.segments, 2);
    CHECK_INT(packed.images, 1);
    CHECK_INT(packed.supervised, 3);
    CHECK_INT(sea_lm_supervised(&batch), packed.supervised);
    for (i = 0; i < 9; i++) {
        CHECK_INT(batch.ids[i], want[i]);
        CHECK_INT(batch.labels[i], want_labels[i]);
    }
    CHECK_INT(batch.start[1], 7);
    CHECK_INT(batch.start[2], 9);
    sea_packed_release(&packed);
    sea_samples_release(&samples);
}

static void
rows_are_cut_after_expansion(void)
{
    static const int32_t ids[] = { 1, IMG, 7, 8, 9 }, labels[] = { OFF, OFF, OFF, 8, 9 };
    struct sea_samples samples = { 0 };

    add(&samples, ids, labels, 5, 3, 6);
    CHECK_INT(sea_samples_rows(&samples, 0, 3), 6);
    CHECK_INT(samples.cut, 1);
    CHECK_INT(samples.silent, 0);
    add(&samples, ids, labels, 5, 3, 5);
    CHECK_INT(samples.silent, 1);       /* no answer is left */
    add(&samples, ids, labels, 5, 3, 2);
    CHECK_INT(sea_samples_rows(&samples, 2, 3), 1);     /* a picture is whole or gone */
    sea_samples_release(&samples);
}

static void
each_pass_is_an_order_of_its_own_and_can_be_entered_anywhere(void)
{
    struct sea_order one, two;
    bool seen[40];
    int64_t i, pass, same = 0;

    sea_order_init(&one, 40, 5, "test");
    sea_order_init(&two, 40, 5, "test");
    for (pass = 0; pass < 3; pass++) {
        memset(seen, 0, sizeof(seen));
        for (i = 0; i < 40; i++)
            seen[sea_order_at(&one, pass * 40 + i)] = true;
        for (i = 0; i < 40; i++)
            CHECK(seen[i]);
    }
    for (i = 119; i >= 0; i--)
        CHECK_INT(sea_order_at(&two, i), sea_order_at(&one, i));
    for (i = 0; i < 40; i++)
        same += sea_order_at(&one, i) == sea_order_at(&two, i + 40);
    CHECK_MSG(same < 10, "%lld of 40 places are equal in two passes", (long long)same);
    sea_order_release(&one);
    sea_order_release(&two);
}

static void
steps_follow_from_passes_or_are_given(void)
{
    int64_t samples;

    CHECK_INT(sea_run_steps(0, 1, 558128, 256, &samples), 2181);
    CHECK_INT(samples, 558128);
    CHECK_INT(sea_run_steps(0, 0.5, 100, 8, &samples), 7);
    CHECK_INT(samples, 50);
    CHECK_INT(sea_run_steps(10, 1, 3, 8, &samples), 10);
    CHECK_INT(samples, 80);
    CHECK_INT(sea_run_steps(0, 0, 3, 8, &samples), 1);
}

/* Logits of a short text; the caller frees. */
static float *
logits_of(const struct sea_lm *lm, struct sea_err *err)
{
    static const int32_t ids[] = { 1, 5, 17, 3 }, start[] = { 0, 4 };
    struct sea_lm_batch batch = { .rows = 4, .segments = 1, .start = start, .ids = ids };
    struct sea_lm_limits limits = { .rows = 4 };
    struct sea_lm_work *work;
    float *out = calloc((size_t)(4 * lm->desc.vocab), sizeof(float));

    CHECK_OK(sea_lm_work_create(&work, lm, &limits, err), *err);
    CHECK_OK(sea_lm_logits(lm, work, &batch, NULL, out, err), *err);
    sea_lm_work_destroy(work);
    return out;
}

static void
a_wider_model_says_the_same_of_the_old_words(void)
{
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_device device;
    struct sea_lm *lm, *wide;
    struct sea_err err = { 0 };
    int tied, row, word;

    CHECK_OK(sea_device_open(&device, "cpu:1", &err), err);
    desc.vocab = 30;
    desc.D = 16;
    desc.F = 32;
    desc.layers = 2;
    desc.H = desc.K = 2;
    desc.E = 8;
    desc.max_positions = 16;
    for (tied = 0; tied < 2; tied++) {
        float *old, *new;

        desc.tied = tied;
        CHECK_OK(sea_lm_create(&lm, &device, &desc, 3, false, &err), err);
        CHECK_OK(sea_lm_widen(&wide, lm, 64, &err), err);
        CHECK_INT(wide->desc.vocab, 64);
        old = logits_of(lm, &err);
        new = logits_of(wide, &err);
        for (row = 0; row < 4; row++)
            for (word = 0; word < 64; word++)
                CHECK_NEAR(new[row * 64 + word], word < 30 ? old[row * 30 + word] : 0, 0);
        CHECK(old[7] != 0);
        free(old);
        free(new);
        sea_lm_destroy(wide);
        sea_lm_destroy(lm);
    }
    sea_device_close(&device);
}

SEA_TEST_MAIN("rows of the training stages",
    TEST(pictures_expand_and_labels_stay_with_their_words),
    TEST(rows_are_cut_after_expansion),
    TEST(each_pass_is_an_order_of_its_own_and_can_be_entered_anywhere),
    TEST(steps_follow_from_passes_or_are_given),
    TEST(a_wider_model_says_the_same_of_the_old_words))
