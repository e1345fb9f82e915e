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
rows_that_llava_would_leave_out_are_counted(void)
{
    int32_t ids[] = { 1, IMG, 7, 8 };
    struct sea_sample sample = { .ids = { .data = ids, .len = 4 },
                                 .labels = { .data = ids, .len = 4 } };
    struct sea_samples samples = { 0 };

    sea_samples_add(&samples, &sample, 3, 6);
    CHECK_INT(samples.masked, 0);
    sample.llava_skips = true;
    sea_samples_add(&samples, &sample, 3, 6);
    CHECK_INT(samples.masked, 1);
    sea_samples_add(&samples, &sample, 3, 4);   /* as long as the model: LLaVA does not count */
    CHECK_INT(samples.masked, 1);
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

/* LLaVA's group_by_modality_length, properties that follow from its text: batches of one
 * kind but for the last, lengths that fall within a chunk, every sample once. */
static void
orders_by_length_keep_kinds_apart(void)
{
    enum { COUNT = 103, BATCH = 12, CHUNK = 4 };
    int64_t lengths[COUNT], order_kind;
    struct sea_order order, again;
    int64_t i, at, mixed;

    for (i = 0; i < COUNT; i++)
        lengths[i] = (i * 37 % 101 + 1) * (i % 3 ? 1 : -1);
    for (order_kind = SEA_ORDER_LENGTH; order_kind <= SEA_ORDER_MODALITY; order_kind++) {
        bool seen[COUNT] = { false };

        sea_order_init(&order, COUNT, 5, "test");
        sea_order_group(&order, (enum sea_order_kind)order_kind, lengths, BATCH, CHUNK);
        sea_order_init(&again, COUNT, 5, "test");
        sea_order_group(&again, (enum sea_order_kind)order_kind, lengths, BATCH, CHUNK);
        for (i = 0; i < COUNT; i++)
            seen[sea_order_at(&order, i)] = true;
        for (i = 0; i < COUNT; i++)
            CHECK(seen[i]);
        for (i = 2 * COUNT - 1; i >= 0; i--)
            CHECK_INT(sea_order_at(&again, i), sea_order_at(&order, i));
        mixed = 0;
        for (at = 0; at + BATCH <= COUNT; at += BATCH) {
            int64_t texts = 0, c, k;

            for (i = 0; i < BATCH; i++)
                texts += lengths[sea_order_at(&order, at + i)] < 0;
            mixed += texts && texts < BATCH;
            for (c = 0; c < BATCH / CHUNK; c++) {
                int64_t last = INT64_MAX;

                for (k = 0; k < CHUNK; k++) {
                    int64_t n = lengths[sea_order_at(&order, at + c * CHUNK + k)];

                    n = n < 0 ? -n : n;
                    if (order_kind == SEA_ORDER_LENGTH || (texts == 0 || texts == BATCH))
                        CHECK(n <= last);       /* falling within a chunk */
                    last = n;
                }
            }
        }
        /* 69 with and 34 without a picture: 5 and 2 whole batches are pure, 19 are left. */
        if (order_kind == SEA_ORDER_MODALITY)
            CHECK_INT(mixed, 1);
        else
            CHECK(mixed > 5);
        sea_order_release(&order);
        sea_order_release(&again);
    }
    for (i = 0; i < COUNT; i++)                 /* one kind alone is ordered by length */
        lengths[i] = lengths[i] < 0 ? lengths[i] : -lengths[i];
    sea_order_init(&order, COUNT, 5, "test");
    sea_order_group(&order, SEA_ORDER_MODALITY, lengths, BATCH, BATCH);
    for (i = 1; i < BATCH; i++)
        CHECK(lengths[sea_order_at(&order, i)] >= lengths[sea_order_at(&order, i - 1)]);
    sea_order_release(&order);
}

/* Worked by hand: lengths 9 8 7 6 5 4 in chunks of 2 go 9|4, 8|5, 7|6. */
static void
samples_go_to_the_shortest_chunk(void)
{
    static const int64_t lengths[] = { 4, 5, 6, 7, 8, 9 };
    static const int64_t want[] = { 5, 0, 4, 1, 3, 2 };
    struct sea_order order;
    int64_t i;

    sea_order_init(&order, 6, 1, "test");
    sea_order_group(&order, SEA_ORDER_LENGTH, lengths, 6, 2);
    for (i = 0; i < 6; i++)
        CHECK_INT(sea_order_at(&order, i), want[i]);
    sea_order_release(&order);
}

static void
steps_are_packed_by_best_fit(void)
{
    static const int64_t rows[] = { 50, 700, 300, 301, 650, 100, 40 };
    static const int64_t want[] = { 1, 0, 1, 0, 1, 2, 2 };
    int64_t part[100], used[100], many[100], sum = 0, i, parts;

    CHECK_INT(sea_pack_parts(rows, 7, 1001, part), 3);
    for (i = 0; i < 7; i++)
        CHECK_INT(part[i], want[i]);
    CHECK_INT(sea_pack_parts(rows, 7, 3000, part), 1);
    CHECK_INT(sea_pack_parts(rows, 0, 3000, part), 0);
    for (i = 0; i < 100; i++) {
        many[i] = 40 + i * 71 % 160;
        sum += many[i];
    }
    parts = sea_pack_parts(many, 100, 1000, part);
    memset(used, 0, sizeof(used));
    for (i = 0; i < 100; i++)
        used[part[i]] += many[i];
    for (i = 0; i < parts; i++)
        CHECK(used[i] <= 1000);
    printf("100 samples, %lld rows: %lld parts of 1000, at least %lld are needed\n",
           (long long)sum, (long long)parts, (long long)((sum + 999) / 1000));
    CHECK(parts <= (sum + 999) / 1000 + 1);
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
    TEST(rows_that_llava_would_leave_out_are_counted),
    TEST(each_pass_is_an_order_of_its_own_and_can_be_entered_anywhere),
    TEST(steps_follow_from_passes_or_are_given),
    TEST(orders_by_length_keep_kinds_apart),
    TEST(samples_go_to_the_shortest_chunk),
    TEST(steps_are_packed_by_best_fit),
    TEST(a_wider_model_says_the_same_of_the_old_words))
