/* SPDX-License-Identifier: Apache-2.0 */
/* SEA's alignment: which pairs are drawn, the word table, the loss and its gradients, and
 * the read-out. */
#include "engine/sea_align.h"
#include "tests/engine/model_twin.h"

#define GRID 5
#define M (GRID * GRID)
#define TOP 4
#define IMAGES 6
#define WORDS 50

static struct sea_device device;

struct store {
    int32_t index[IMAGES][M * TOP];
    float score[IMAGES][M * TOP];
    struct sea_draw_image images[IMAGES];
};

/* Labels of some pictures; patch p of picture i has (i + p) % (TOP + 1) of them. */
static void
fill_store(struct store *store)
{
    for (int i = 0; i < IMAGES; i++) {
        for (int p = 0; p < M; p++)
            for (int k = 0; k < TOP; k++) {
                bool there = k < (i + p) % (TOP + 1);

                store->index[i][p * TOP + k] =
                    there ? (int32_t)(sea_rng_uniform_at(1, 1, (uint64_t)((i * M + p) * TOP +
                                                                          k)) * WORDS) : -1;
                store->score[i][p * TOP + k] = there ? 0.4f - 0.1f * (float)k : 0.0f;
            }
        store->images[i] = (struct sea_draw_image){ 100 + i, store->index[i],
                                                    store->score[i] };
    }
}

static struct sea_draw
usual(void)
{
    const struct sea_draw draw = { .grid_h = GRID, .grid_w = GRID, .top = TOP, .window = 2,
                                   .seed = 3 };

    return draw;
}

static bool
is_label_of(const struct store *store, const struct sea_pair *pair)
{
    int image = pair->row / M, patch = pair->row % M;

    for (int k = 0; k < TOP; k++)
        if (store->index[image][patch * TOP + k] == pair->word)
            return true;
    return false;
}

static void
pairs_keep_the_rules(void)
{
    static struct store store;
    struct sea_draw draw = usual();
    struct sea_pair pairs[IMAGES * 9], raw[IMAGES * 9];
    bool windows[IMAGES][9], words[WORDS];
    int64_t n, all;

    fill_store(&store);
    CHECK_INT(sea_draw_windows(&draw), 9);
    for (int64_t step = 0; step < 200; step++) {
        draw.dedup = SEA_DEDUP_RANDOM;
        n = sea_align_draw(&draw, store.images, IMAGES, step, pairs);
        draw.dedup = SEA_DEDUP_NONE;
        all = sea_align_draw(&draw, store.images, IMAGES, step, raw);
        CHECK(n > 0 && n <= all && all <= IMAGES * 9);
        memset(windows, 0, sizeof(windows));
        memset(words, 0, sizeof(words));
        for (int64_t i = 0; i < n; i++) {
            int image = pairs[i].row / M, patch = pairs[i].row % M;
            int window = patch / GRID / 2 * 3 + patch % GRID / 2;

            CHECK(is_label_of(&store, &pairs[i]));
            CHECK(!windows[image][window] && !words[pairs[i].word]);
            CHECK(!i || pairs[i].row > pairs[i - 1].row);
            windows[image][window] = words[pairs[i].word] = true;
        }
        memset(windows, 0, sizeof(windows));
        for (int64_t i = 0; i < all; i++) {
            CHECK(!i || raw[i].row > raw[i - 1].row);
            CHECK(words[raw[i].word]);  /* copies go, no word is lost */
        }
    }
}

static void
draws_depend_on_their_keys_only(void)
{
    static struct store store;
    struct sea_draw draw = usual();
    struct sea_pair together[IMAGES * 9], again[IMAGES * 9], alone[9], pair;
    struct sea_draw_image reversed[IMAGES];
    int64_t n, m, found;

    fill_store(&store);
    draw.dedup = SEA_DEDUP_NONE;
    n = sea_align_draw(&draw, store.images, IMAGES, 5, together);
    CHECK_INT(sea_align_draw(&draw, store.images, IMAGES, 5, again), n);
    CHECK(!memcmp(together, again, (size_t)n * sizeof(*again)));
    CHECK(sea_align_draw(&draw, store.images, IMAGES, 6, again) != n ||
          memcmp(together, again, (size_t)n * sizeof(*again)));
    draw.seed = 4;
    CHECK(sea_align_draw(&draw, store.images, IMAGES, 5, again) != n ||
          memcmp(together, again, (size_t)n * sizeof(*again)));
    draw.seed = 3;
    for (int i = 0; i < IMAGES; i++) {          /* a picture alone draws the same */
        m = sea_align_draw(&draw, &store.images[i], 1, 5, alone);
        for (int64_t j = 0; j < m; j++) {
            found = 0;
            for (int64_t k = 0; k < n; k++)
                found += together[k].row == alone[j].row + i * M &&
                         together[k].word == alone[j].word;
            CHECK_INT(found, 1);
        }
        reversed[IMAGES - 1 - i] = store.images[i];
    }
    draw.dedup = SEA_DEDUP_RANDOM;              /* and which copy stays is not its order */
    n = sea_align_draw(&draw, store.images, IMAGES, 5, together);
    CHECK_INT(sea_align_draw(&draw, reversed, IMAGES, 5, again), n);
    for (int64_t j = 0; j < n; j++) {
        pair = again[j];
        pair.row = (IMAGES - 1 - pair.row / M) * M + pair.row % M;
        found = 0;
        for (int64_t k = 0; k < n; k++)
            found += together[k].row == pair.row && together[k].word == pair.word;
        CHECK_INT(found, 1);
    }
}

/* One patch, labels with scores 3:2:1 over many steps. */
static void
labels_are_drawn_by_score(void)
{
    static const int32_t index[4] = { 7, 8, 9, -1 };
    static const float score[4] = { 0.3f, 0.2f, 0.1f, 0.0f };
    const struct sea_draw_image image = { 1, index, score };
    struct sea_draw draw = { .grid_h = 1, .grid_w = 1, .top = 4, .window = 2, .seed = 1 };
    struct sea_pair pair;
    int count[3] = { 0 };

    for (int64_t step = 0; step < 6000; step++) {
        CHECK_INT(sea_align_draw(&draw, &image, 1, step, &pair), 1);
        count[pair.word - 7]++;
    }
    printf("drawn %d %d %d of 6000, expected 3000 2000 1000 (4 deviations: 155)\n", count[0],
           count[1], count[2]);
    CHECK_NEAR(count[0], 3000, 155);
    CHECK_NEAR(count[1], 2000, 147);
    CHECK_NEAR(count[2], 1000, 116);
    draw.draw = SEA_DRAW_BEST;
    for (int64_t step = 0; step < 20; step++) {
        CHECK_INT(sea_align_draw(&draw, &image, 1, step, &pair), 1);
        CHECK_INT(pair.word, 7);
    }
    draw.draw = SEA_DRAW_UNIFORM;
    memset(count, 0, sizeof(count));
    for (int64_t step = 0; step < 6000; step++)
        if (sea_align_draw(&draw, &image, 1, step, &pair))
            count[pair.word - 7]++;
    CHECK_NEAR(count[2], 2000, 147);
}

static void
windows_cover_odd_grids(void)
{
    struct sea_draw draw = usual();
    static struct store store;
    struct sea_pair pairs[M];
    bool seen[M] = { false };
    int64_t n;

    fill_store(&store);
    for (int k = 0; k < M * TOP; k++) {
        store.index[0][k] = k / TOP;
        store.score[0][k] = 1.0f;
    }
    for (int64_t step = 0; step < 200; step++) {
        n = sea_align_draw(&draw, store.images, 1, step, pairs);
        CHECK_INT(n, 9);
        for (int64_t i = 0; i < n; i++)
            seen[pairs[i].row] = true;
    }
    for (int p = 0; p < M; p++)
        CHECK(seen[p]);
    draw.edge = SEA_EDGE_FLOOR;
    CHECK_INT(sea_draw_windows(&draw), 4);
    n = sea_align_draw(&draw, store.images, 1, 0, pairs);
    for (int64_t i = 0; i < n; i++)
        CHECK(pairs[i].row % GRID < 4 && pairs[i].row / GRID < 4);
    draw.window = 1;
    CHECK_INT(sea_draw_windows(&draw), M);
    CHECK_INT(sea_align_draw(&draw, store.images, 1, 0, pairs), M);
    draw.window = 3;
    draw.pick = SEA_PICK_SCORE;
    draw.edge = SEA_EDGE_CEIL;
    store.score[0][7 * TOP] = 2.0f;             /* patch (1, 2), in the first window */
    n = sea_align_draw(&draw, store.images, 1, 0, pairs);
    CHECK_INT(n, 4);
    CHECK_INT(pairs[0].row == 3 ? pairs[1].row : pairs[0].row, 7);
}

/* ---- the loss ---- */

#define WIDE 16
#define ROWS 30
#define PAIRS 9

static const struct sea_pair chosen[PAIRS] = {
    { 1, 4, 0 }, { 2, 9, 0 }, { 5, 0, 0 }, { 8, 11, 0 }, { 13, 2, 0 }, { 14, 3, 0 },
    { 20, 7, 0 }, { 21, 5, 0 }, { 29, 1, 0 },
};
static const int32_t sub_ids[] = { 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 1, 2, 3, 20, 21 };
static const int64_t sub_start[13] = { 0, 1, 3, 4, 5, 6, 7, 8, 9, 10, 11, 14, 16 };
#define LIST 12

static struct sea_lm *
make_lm(void)
{
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_err err = { 0 };
    struct sea_lm *lm;

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, "cpu:2", &err), err);
    desc.vocab = 24;
    desc.D = WIDE;
    desc.F = 16;
    desc.layers = 1;
    desc.H = desc.K = 2;
    desc.E = 8;
    desc.init_scale = 0.5f;
    CHECK_OK(sea_lm_create(&lm, &device, &desc, 2, false, &err), err);
    return lm;
}

/* Equation 11 in double. */
static double
loss_of(const double *x, const double *t, double theta)
{
    double z[PAIRS][PAIRS], loss = 0.0;

    for (int i = 0; i < PAIRS; i++)
        for (int j = 0; j < PAIRS; j++) {
            const double *a = x + chosen[i].row * WIDE, *b = t + chosen[j].word * WIDE;
            double dot = 0, aa = 0, bb = 0;

            for (int d = 0; d < WIDE; d++) {
                dot += a[d] * b[d];
                aa += a[d] * a[d];
                bb += b[d] * b[d];
            }
            z[i][j] = exp(theta) * dot / sqrt(aa * bb);
        }
    for (int i = 0; i < PAIRS; i++) {
        double row = 0.0, column = 0.0;

        for (int j = 0; j < PAIRS; j++) {
            row += exp(z[i][j]);
            column += exp(z[j][i]);
        }
        loss -= (2 * z[i][i] - log(row) - log(column)) / (2 * PAIRS);
    }
    return loss;
}

/* Means of sub-token rows, straight from the table. */
static void
twin_words(const struct sea_lm *lm, double *t)
{
    double *w = twin_weights(&lm->params);

    for (int i = 0; i < LIST; i++)
        for (int d = 0; d < WIDE; d++) {
            t[i * WIDE + d] = 0.0;
            for (int64_t k = sub_start[i]; k < sub_start[i + 1]; k++)
                t[i * WIDE + d] += w[lm->embed + sub_ids[k] * WIDE + d] /
                                (double)(sub_start[i + 1] - sub_start[i]);
        }
    free(w);
}

static void
loss_and_gradients_follow_the_equation(void)
{
    const struct sea_align_desc desc = { .theta = 0.7f, .learn = true, .max_scale = 100.0f,
                                         .pairs = 12 };
    const float lambda = 0.3f;
    struct sea_lm *lm = make_lm();
    struct sea_words words;
    struct sea_align *align;
    struct sea_err err = { 0 };
    float x[ROWS * WIDE], dx[ROWS * WIDE];
    double xd[ROWS * WIDE], t[LIST * WIDE], loss, scale, want, fd, worst = 0.0;

    CHECK_OK(sea_words_create(&words, lm, sub_ids, sub_start, LIST, &err), err);
    CHECK_OK(sea_align_create(&align, &words, &desc, &err), err);
    twin_words(lm, t);
    for (int i = 0; i < ROWS * WIDE; i++) {
        x[i] = (float)sea_rng_normal_at(8, 8, (uint64_t)i);
        dx[i] = 1.0f;
        xd[i] = (double)x[i];
    }
    CHECK_OK(sea_align_add(align, chosen, PAIRS, x, dx, lambda, &err), err);
    CHECK_OK(sea_align_loss(align, &loss, &scale, &err), err);
    want = loss_of(xd, t, (double)desc.theta);
    printf("L_a %.7f, twin %.7f\n", loss, want);
    CHECK_NEAR(loss, want, 2e-6);
    CHECK_NEAR(scale, exp((double)desc.theta), 1e-6);
    for (int i = 0; i < ROWS * WIDE; i++) {
        double old = xd[i];

        xd[i] = old + 1e-5;
        fd = loss_of(xd, t, (double)desc.theta);
        xd[i] = old - 1e-5;
        fd = (fd - loss_of(xd, t, (double)desc.theta)) / 2e-5;
        xd[i] = old;
        worst = fmax(worst, fabs(1.0 + (double)lambda * fd - (double)dx[i]));
    }
    fd = (loss_of(xd, t, (double)desc.theta + 1e-5) - loss_of(xd, t, (double)desc.theta - 1e-5)) /
         2e-5;
    printf("gradient of tokens off by %.2g, of theta by %.2g\n", worst,
           fabs((double)sea_align_params(align)->grad[0] - (double)lambda * fd));
    CHECK(worst <= 5e-7);
    CHECK_NEAR(sea_align_params(align)->grad[0], (double)lambda * fd, 1e-6);
    /* one pair is no contrast */
    memset(dx, 0, sizeof(dx));
    CHECK_OK(sea_align_add(align, chosen, 1, x, dx, lambda, &err), err);
    CHECK_OK(sea_align_loss(align, &loss, &scale, &err), err);
    CHECK(loss == 0.0 && dx[WIDE] == 0.0f);
    CHECK(sea_align_add(align, chosen, 13, x, dx, lambda, &err) == SEA_E_INTERNAL);
    sea_err_clear(&err);
    const struct sea_pair unsorted[2] = { { 3, 1, 0 }, { 3, 2, 0 } };

    CHECK(sea_align_add(align, unsorted, 2, x, dx, lambda, &err) == SEA_E_INTERNAL);
    sea_align_destroy(align);
    sea_words_release(&words);
    sea_lm_destroy(lm);
}

/* Rows 0..9, 10..19 and 20..29 as three batches that are never together. */
static void
batches_that_join_have_the_bits_of_one(void)
{
    enum { EACH = 10 };
    const struct sea_align_desc desc = { .theta = 0.7f, .learn = true, .max_scale = 100.0f,
                                         .pairs = 12 };
    static const int64_t first[4] = { 0, 4, 6, PAIRS };
    struct sea_lm *lm = make_lm();
    struct sea_words words;
    struct sea_align *one, *many;
    struct sea_err err = { 0 };
    float *x, *dx, *dy, rows[PAIRS * WIDE];
    double loss[2], scale[2];
    void *mem[3];

    CHECK_OK(sea_words_create(&words, lm, sub_ids, sub_start, LIST, &err), err);
    CHECK_OK(sea_align_create(&one, &words, &desc, &err), err);
    CHECK_OK(sea_align_create(&many, &words, &desc, &err), err);
    for (int i = 0; i < 3; i++)
        CHECK_OK(sea_device_alloc(&device, ROWS * WIDE * sizeof(float), &mem[i], &err), err);
    x = mem[0];
    dx = mem[1];
    dy = mem[2];
    for (int i = 0; i < ROWS * WIDE; i++) {
        x[i] = (float)sea_rng_uniform_at(4, 4, (uint64_t)i) - 0.5f;
        dx[i] = dy[i] = 0.01f * (float)i;
    }
    CHECK_OK(sea_align_add(one, chosen, PAIRS, x, dx, 0.3f, &err), err);
    CHECK_OK(sea_align_loss(one, &loss[0], &scale[0], &err), err);
    for (int b = 0; b < 3; b++)
        CHECK_OK(sea_align_rows(many, chosen + first[b], first[b + 1] - first[b], b * EACH,
                                x + b * EACH * WIDE, rows + first[b] * WIDE, &err), err);
    CHECK_OK(sea_align_joint(many, chosen, PAIRS, rows, true, 0.3f, &err), err);
    CHECK_OK(sea_align_loss(many, &loss[1], &scale[1], &err), err);
    for (int b = 0; b < 3; b++)
        CHECK_OK(sea_align_joint_rows(many, chosen, first[b], first[b + 1] - first[b], b * EACH,
                                      dy + b * EACH * WIDE, &err), err);
    CHECK_OK(sea_align_joint_theta(many, &err), err);
    CHECK(loss[0] == loss[1] && loss[0] > 0);
    CHECK(memcmp(dx, dy, ROWS * WIDE * sizeof(float)) == 0);
    CHECK(sea_align_params(one)->grad[0] == sea_align_params(many)->grad[0] &&
          sea_align_params(one)->grad[0] != 0.0f);
    for (int i = 0; i < 3; i++)
        sea_device_free(&device, mem[i]);
    sea_align_destroy(one);
    sea_align_destroy(many);
    sea_words_release(&words);
    sea_lm_destroy(lm);
}

static void
scale_stops_at_its_limit(void)
{
    const struct sea_align_desc desc = { .theta = 3.0f, .learn = true, .max_scale = 10.0f,
                                         .pairs = PAIRS };
    struct sea_lm *lm = make_lm();
    struct sea_words words;
    struct sea_align *align;
    struct sea_err err = { 0 };
    float x[ROWS * WIDE], dx[ROWS * WIDE] = { 0 };
    double xd[ROWS * WIDE], t[LIST * WIDE], loss, scale;

    CHECK_OK(sea_words_create(&words, lm, sub_ids, sub_start, LIST, &err), err);
    CHECK_OK(sea_align_create(&align, &words, &desc, &err), err);
    twin_words(lm, t);
    for (int i = 0; i < ROWS * WIDE; i++)
        xd[i] = (double)(x[i] = (float)sea_rng_normal_at(8, 8, (uint64_t)i));
    CHECK_OK(sea_align_add(align, chosen, PAIRS, x, dx, 1.0f, &err), err);
    CHECK_OK(sea_align_loss(align, &loss, &scale, &err), err);
    CHECK_NEAR(scale, 10.0, 1e-5);
    CHECK_NEAR(loss, loss_of(xd, t, log(10.0)), 1e-5);
    CHECK(sea_align_params(align)->grad[0] == 0.0f);
    sea_align_destroy(align);
    sea_words_release(&words);
    sea_lm_destroy(lm);
}

static void
nearest_words_are_the_nearest(void)
{
    struct sea_lm *lm = make_lm();
    struct sea_words words;
    struct sea_err err = { 0 };
    float x[ROWS * WIDE], cosine[ROWS * 3];
    int32_t index[ROWS * 3];
    double t[LIST * WIDE];

    CHECK_OK(sea_words_create(&words, lm, sub_ids, sub_start, LIST, &err), err);
    twin_words(lm, t);
    for (int i = 0; i < ROWS * WIDE; i++)
        x[i] = (float)sea_rng_normal_at(8, 9, (uint64_t)i);
    CHECK_OK(sea_words_nearest(&words, x, ROWS, 3, index, cosine, &err), err);
    for (int r = 0; r < ROWS; r++) {
        double best = -2.0;
        int at = -1;

        for (int w = 0; w < LIST; w++) {
            double dot = 0, aa = 0, bb = 0;

            for (int d = 0; d < WIDE; d++) {
                dot += (double)x[r * WIDE + d] * t[w * WIDE + d];
                aa += (double)x[r * WIDE + d] * (double)x[r * WIDE + d];
                bb += t[w * WIDE + d] * t[w * WIDE + d];
            }
            if (dot / sqrt(aa * bb) > best) {
                best = dot / sqrt(aa * bb);
                at = w;
            }
        }
        CHECK_INT(index[3 * r], at);
        CHECK_NEAR(cosine[3 * r], best, 1e-6);
        CHECK(cosine[3 * r] >= cosine[3 * r + 1] && cosine[3 * r + 1] >= cosine[3 * r + 2]);
    }
    sea_words_release(&words);
    const int64_t empty[3] = { 0, 1, 1 };

    CHECK(sea_words_create(&words, lm, sub_ids, empty, 2, &err) == SEA_E_FORMAT);
    CHECK_FAILS(err, SEA_E_FORMAT, "word 1");
    sea_lm_destroy(lm);
}

SEA_TEST_MAIN("SEA's alignment loss and its pairs",
              TEST(pairs_keep_the_rules),
              TEST(draws_depend_on_their_keys_only),
              TEST(labels_are_drawn_by_score),
              TEST(windows_cover_odd_grids),
              TEST(loss_and_gradients_follow_the_equation),
              TEST(batches_that_join_have_the_bits_of_one),
              TEST(scale_stops_at_its_limit),
              TEST(nearest_words_are_the_nearest))
