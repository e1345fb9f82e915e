/* SPDX-License-Identifier: Apache-2.0 */
/*
 * Labels: the scorer finds what a full sort in double finds, keeps strictly positive scores
 * only and does not depend on chunks; the store gives back what was written, goes on behind
 * whole shards with equal files, and refuses what is torn or belongs elsewhere.
 */
#include <stdlib.h>
#include <unistd.h>

#include "engine/base/sea_arena.h"
#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "engine/sea_checkpoint.h"
#include "engine/sea_labels.h"
#include "tests/sea_test.h"

static struct sea_device device;
static int folders;

static void
open_device(void)
{
    struct sea_err err = { 0 };

    if (!device.ops)
        CHECK_OK(sea_device_open(&device, sea_test_device(), &err), err);
}

/* count unit rows of J numbers. */
static float *
unit_rows(int64_t count, int64_t J, uint64_t seed)
{
    float *rows = sea_xcalloc((size_t)(count * J), sizeof(*rows));
    int64_t r, j;

    for (r = 0; r < count; r++) {
        double sum = 0;

        for (j = 0; j < J; j++) {
            rows[r * J + j] = (float)sea_rng_normal_at(seed, 0, (uint64_t)(r * J + j));
            sum += pow(rows[r * J + j], 2);
        }
        for (j = 0; j < J; j++)
            rows[r * J + j] /= (float)sqrt(sum);
    }
    return rows;
}

/* Runs the scorer over host rows. */
static void
score(const float *words, int64_t q, int64_t J, int64_t top, float sign, int64_t chunk,
      const float *patches, int64_t rows, int32_t *index, float *value)
{
    struct sea_scorer *scorer;
    struct sea_err err = { 0 };
    size_t bytes = (size_t)(rows * J) * sizeof(*patches);
    void *mem;

    CHECK_OK(sea_device_alloc(&device, bytes, &mem, &err), err);
    CHECK_OK(sea_device_put(&device, mem, patches, bytes, &err), err);
    CHECK_OK(sea_scorer_create(&scorer, &device, words, q, J, top, sign, chunk, &err), err);
    CHECK_OK(sea_scorer_run(scorer, mem, rows, index, value, &err), err);
    sea_scorer_destroy(scorer);
    sea_device_free(&device, mem);
}

static void
the_best_words_are_found(void)
{
    const int64_t q = 9001, J = 8, top = 10, rows = 37;
    float *words, *patches, *value = sea_xcalloc(370, sizeof(*value));
    float *again = sea_xcalloc(370, sizeof(*again));
    int32_t *index = sea_xcalloc(370, sizeof(*index));
    int32_t *other = sea_xcalloc(370, sizeof(*other));
    double error = 0;
    int64_t r, w, k, j;
    int turn;

    open_device();
    words = unit_rows(q, J, 1);
    patches = unit_rows(rows, J, 2);
    for (turn = 0; turn < 2; turn++) {
        float sign = turn ? -1 : 1;

        score(words, q, J, top, sign, 16, patches, rows, index, value);
        score(words, q, J, top, sign, 1, patches, rows, other, again);
        CHECK(memcmp(index, other, 370 * sizeof(*index)) == 0);
        CHECK(memcmp(value, again, 370 * sizeof(*value)) == 0);
        for (r = 0; r < rows; r++) {
            double last = 2;

            for (k = 0; k < top; k++) {
                double best = -2, cosine;
                int64_t at = -1;

                for (w = 0; w < q; w++) {       /* the best below the last one */
                    for (cosine = 0, j = 0; j < J; j++)
                        cosine += (double)sign * patches[r * J + j] * words[w * J + j];
                    if (cosine < last && cosine > best) {
                        best = cosine;
                        at = w;
                    }
                }
                last = best;
                error = fmax(error, fabs(best - value[r * top + k]));
                CHECK_INT(index[r * top + k], at);
            }
        }
    }
    printf("scores: largest error %.2e, bound 1e-06\n", error);
    CHECK(error < 1e-6);
    free(words);
    free(patches);
    free(value);
    free(again);
    free(index);
    free(other);
}

static void
only_positive_scores_are_kept(void)
{
    /* cosines of the one patch: 0 exactly, negative, positive, equal positive */
    static const float words[] = { 0, 1, -1, 0, 0.6f, 0.8f, 0.6f, -0.8f };
    static const float patch[] = { 1, 0 };
    struct sea_scorer *scorer;
    struct sea_err err = { 0 };
    int32_t index[4];
    float value[4];

    open_device();
    score(words, 4, 2, 4, 1, 4, patch, 1, index, value);
    CHECK_INT(index[0], 2);     /* a tie goes to the lower index */
    CHECK_INT(index[1], 3);
    CHECK_INT(index[2], -1);
    CHECK_INT(index[3], -1);
    CHECK(value[0] == 0.6f && value[1] == 0.6f && value[2] == 0 && value[3] == 0);
    score(words, 4, 2, 4, -1, 4, patch, 1, index, value);
    CHECK_INT(index[0], 1);
    CHECK_INT(index[1], -1);
    CHECK(sea_scorer_create(&scorer, &device, words, 4, 2, 5, 1, 4, &err));
    CHECK_FAILS(err, SEA_E_CONFIG, "label.top is 5 with 4 words");
}

/* ---- the store ---- */

#define TOP 3
#define PATCHES 2
#define EACH (TOP * PATCHES)
#define IMAGES (SEA_LABELS_SHARD + 10)
#define WORDS 50

struct lists {
    struct sea_arena *arena;
    const char **words, **images;
    struct sea_labels_info info;
};

static void
lists_open(struct lists *lists)
{
    int i;

    lists->arena = sea_arena_create(NULL, "test");
    lists->words = sea_arena_alloc(lists->arena, WORDS, sizeof(*lists->words));
    lists->images = sea_arena_alloc(lists->arena, IMAGES, sizeof(*lists->images));
    for (i = 0; i < WORDS; i++)
        lists->words[i] = sea_arena_printf(lists->arena, "word %d é", i);
    for (i = 0; i < IMAGES; i++)
        lists->images[i] = sea_arena_printf(lists->arena, "%05d", (i * 7919) % 100003);
    lists->info = (struct sea_labels_info){
        .variant = "surgery", .prompt = "a {} \"x\"", .tower = "abc", .top = TOP,
        .grid_h = 1, .grid_w = PATCHES, .images = IMAGES, .words = WORDS,
    };
}

/* Labels of picture i: a function of i, with gaps. */
static void
labels_of(int64_t i, int32_t index[EACH], float value[EACH])
{
    int p, k;

    for (p = 0; p < PATCHES; p++)
        for (k = 0; k < TOP; k++) {
            bool none = k >= (i + p) % (TOP + 1);

            index[p * TOP + k] = none ? -1 : (int32_t)((i * 3 + k * 5 + p) % WORDS);
            value[p * TOP + k] = none ? 0 : (float)(i % 7 + 1) / (float)(k + 1);
        }
}

/* Adds pictures up to `until` in groups of 100. */
static void
add_until(struct sea_labels_writer *writer, int64_t until)
{
    int32_t *index = sea_xcalloc(100 * EACH, sizeof(*index));
    float *value = sea_xcalloc(100 * EACH, sizeof(*value));
    struct sea_err err = { 0 };
    int64_t at, i, n;

    while ((at = sea_labels_writer_next(writer)) < until) {
        n = until - at < 100 ? until - at : 100;
        for (i = 0; i < n; i++)
            labels_of(at + i, index + i * EACH, value + i * EACH);
        if (!CHECK_OK(sea_labels_writer_add(writer, index, value, n, &err), err))
            break;
    }
    free(index);
    free(value);
}

static void
write_store(const struct lists *lists, const char *dir)
{
    struct sea_labels_writer *writer;
    struct sea_err err = { 0 };

    CHECK_OK(sea_labels_writer_open(&writer, dir, &lists->info, lists->words, lists->images,
                                    &err), err);
    add_until(writer, IMAGES);
    CHECK_OK(sea_labels_writer_finish(writer, &err), err);
    sea_labels_writer_close(writer);
}

static void
new_dir(char out[500])
{
    snprintf(out, 500, "%s/store-%d", sea_test_dir(), folders++);
}

static void
a_store_gives_back_what_was_written(void)
{
    struct sea_labels *labels;
    struct sea_err err = { 0 };
    struct lists lists;
    char dir[500];
    int64_t i, wrong = 0;

    new_dir(dir);
    lists_open(&lists);
    write_store(&lists, dir);
    if (!CHECK_OK(sea_labels_open(&labels, dir, &err), err))
        return;
    CHECK_STR(labels->info.variant, "surgery");
    CHECK_STR(labels->info.prompt, "a {} \"x\"");
    CHECK_STR(labels->words[49], "word 49 é");
    CHECK_INT(labels->info.images, IMAGES);
    for (i = 0; i < IMAGES; i++) {
        int32_t index[EACH], want[EACH];
        float value[EACH], want_value[EACH];

        labels_of(i, want, want_value);
        CHECK_OK(sea_labels_get(labels, i, index, value, &err), err);
        wrong += memcmp(index, want, sizeof(want)) != 0
                 || memcmp(value, want_value, sizeof(value)) != 0
                 || sea_labels_find(labels, lists.images[i]) != i;
    }
    CHECK_INT(wrong, 0);
    CHECK_INT(sea_labels_find(labels, "nobody"), -1);
    CHECK_OK(sea_labels_check(labels, &err), err);
    CHECK(sea_labels_get(labels, IMAGES, NULL, NULL, &err));
    CHECK_FAILS(err, SEA_E_INTERNAL, "no picture");
    sea_labels_close(labels);
    sea_arena_destroy(lists.arena);
}

static void
a_writer_goes_on_behind_whole_shards(void)
{
    struct sea_labels_writer *writer;
    struct sea_labels *labels;
    struct sea_err err = { 0 };
    char whole[500], parts[500], one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT];
    struct lists lists;

    new_dir(whole);
    new_dir(parts);
    lists_open(&lists);
    write_store(&lists, whole);
    CHECK_OK(sea_labels_writer_open(&writer, parts, &lists.info, lists.words, lists.images,
                                    &err), err);
    CHECK_INT(sea_labels_writer_next(writer), 0);
    add_until(writer, SEA_LABELS_SHARD + 4);
    CHECK(sea_labels_writer_finish(writer, &err));
    CHECK_FAILS(err, SEA_E_INTERNAL, "ends after");
    sea_err_clear(&err);
    sea_labels_writer_close(writer);            /* killed here: four pictures are lost */
    CHECK(sea_labels_open(&labels, parts, &err));
    CHECK_FAILS(err, SEA_E_MISSING, "label.json");
    sea_err_clear(&err);
    CHECK_OK(sea_labels_writer_open(&writer, parts, &lists.info, lists.words, lists.images,
                                    &err), err);
    CHECK_INT(sea_labels_writer_next(writer), SEA_LABELS_SHARD);
    add_until(writer, IMAGES);
    CHECK_OK(sea_labels_writer_finish(writer, &err), err);
    sea_labels_writer_close(writer);
    CHECK_OK(sea_hash_dir(whole, one, &err), err);
    CHECK_OK(sea_hash_dir(parts, two, &err), err);
    CHECK_STR(two, one);
    /* another variant: nothing of the old store counts */
    snprintf(lists.info.variant, sizeof(lists.info.variant), "raw_neg");
    CHECK_OK(sea_labels_writer_open(&writer, parts, &lists.info, lists.words, lists.images,
                                    &err), err);
    CHECK_INT(sea_labels_writer_next(writer), 0);
    sea_labels_writer_close(writer);
    sea_arena_destroy(lists.arena);
}

/* Stopped in the middle of a shard, and twice: nothing is done again, the files are the same. */
static void
a_writer_goes_on_behind_what_was_saved(void)
{
    static const int64_t stops[] = { 7, SEA_LABELS_SHARD, SEA_LABELS_SHARD + 3, IMAGES - 1 };
    struct sea_labels_writer *writer;
    struct sea_err err = { 0 };
    char whole[500], parts[500], one[SEA_SHA256_TEXT], two[SEA_SHA256_TEXT], path[600];
    struct lists lists;
    size_t i;

    new_dir(whole);
    new_dir(parts);
    lists_open(&lists);
    write_store(&lists, whole);
    for (i = 0; i <= sizeof(stops) / sizeof(stops[0]); i++) {
        bool last = i == sizeof(stops) / sizeof(stops[0]);

        CHECK_OK(sea_labels_writer_open(&writer, parts, &lists.info, lists.words, lists.images,
                                        &err), err);
        CHECK_INT(sea_labels_writer_next(writer), i ? stops[i - 1] : 0);
        add_until(writer, last ? IMAGES : stops[i]);
        if (last)
            CHECK_OK(sea_labels_writer_finish(writer, &err), err);
        else
            CHECK_OK(sea_labels_writer_save(writer, &err), err);
        sea_labels_writer_close(writer);
    }
    CHECK_OK(sea_checkpoint_remove(parts, &err), err);
    CHECK_OK(sea_hash_dir(whole, one, &err), err);
    CHECK_OK(sea_hash_dir(parts, two, &err), err);
    CHECK_STR(two, one);
    /* Damaged: the pictures behind the last whole shard come again. */
    snprintf(path, sizeof(path), "%s/shard-00001.safetensors", parts);
    CHECK(unlink(path) == 0);
    CHECK_OK(sea_labels_writer_open(&writer, parts, &lists.info, lists.words, lists.images, &err),
             err);
    add_until(writer, SEA_LABELS_SHARD + 3);
    CHECK_OK(sea_labels_writer_save(writer, &err), err);
    sea_labels_writer_close(writer);
    snprintf(path, sizeof(path), "%s/checkpoint/step-%08d/held.safetensors", parts,
             SEA_LABELS_SHARD + 3);
    CHECK(truncate(path, 200) == 0);
    CHECK_OK(sea_labels_writer_open(&writer, parts, &lists.info, lists.words, lists.images, &err),
             err);
    CHECK_INT(sea_labels_writer_next(writer), SEA_LABELS_SHARD);
    sea_labels_writer_close(writer);
    sea_arena_destroy(lists.arena);
}

static void
bad_labels_are_not_written(void)
{
    static const struct {
        int32_t index[EACH];
        float value[EACH];
        const char *words;
    } bad[] = {
        { { 50, -1, -1, -1, -1, -1 }, { 1, 0, 0, 0, 0, 0 }, "outside the list" },
        { { -2, -1, -1, -1, -1, -1 }, { 1, 0, 0, 0, 0, 0 }, "outside the list" },
        { { 3, -1, -1, -1, -1, -1 }, { 0, 0, 0, 0, 0, 0 }, "not allowed" },
        { { 3, -1, -1, -1, -1, -1 }, { NAN, 0, 0, 0, 0, 0 }, "not allowed" },
        { { -1, -1, -1, -1, -1, -1 }, { 0, 0, 0, 0, 0.5f, 0 }, "not allowed" },
        { { 1, 2, -1, -1, -1, -1 }, { 0.5f, 0.6f, 0, 0, 0, 0 }, "not in order" },
        { { -1, -1, -1, -1, 2, -1 }, { 0, 0, 0, 0, 0.6f, 0 }, "not in order" },
    };
    struct sea_labels_writer *writer;
    struct sea_err err = { 0 };
    struct lists lists;
    char dir[500];
    size_t i;

    new_dir(dir);
    lists_open(&lists);
    CHECK_OK(sea_labels_writer_open(&writer, dir, &lists.info, lists.words, lists.images,
                                    &err), err);
    for (i = 0; i < sizeof(bad) / sizeof(bad[0]); i++) {
        CHECK(sea_labels_writer_add(writer, bad[i].index, bad[i].value, 1, &err));
        CHECK_FAILS(err, SEA_E_INTERNAL, bad[i].words);
        sea_err_clear(&err);
    }
    sea_labels_writer_close(writer);
    lists.words[7] = "two\nlines";
    CHECK(sea_labels_writer_open(&writer, dir, &lists.info, lists.words, lists.images, &err));
    CHECK_FAILS(err, SEA_E_FORMAT, "entry 7 of \"words.txt\"");
    CHECK(writer == NULL);
    sea_arena_destroy(lists.arena);
}

static void
spoil(const char *dir, const char *name, long at, int byte)
{
    char path[700];
    FILE *file;

    snprintf(path, sizeof(path), "%s/%s", dir, name);
    file = fopen(path, "r+");
    if (CHECK(file != NULL)) {
        fseek(file, at, at < 0 ? SEEK_END : SEEK_SET);
        fputc(byte, file);
        fclose(file);
    }
}

static void
spoilt_stores_are_refused(void)
{
    struct sea_labels *labels;
    struct sea_err err = { 0 };
    struct lists lists;
    char dir[500], path[600];
    int i;

    lists_open(&lists);
    for (i = 0; i < 5; i++) {
        static const char *const words[] = {
            "shard-00001", "whole lines", "shard-00000", "belongs to another", "SHA-256",
        };
        enum sea_status status;

        new_dir(dir);
        write_store(&lists, dir);
        snprintf(path, sizeof(path), "%s/shard-0000%d.safetensors", dir, i == 0);
        if (i == 0)
            CHECK(unlink(path) == 0);
        if (i == 1)
            spoil(dir, "words.txt", -1, 'x');
        if (i == 2)
            CHECK(truncate(path, 5000) == 0);
        if (i == 3) {           /* a word list that was exchanged, with its digest */
            char text[4096] = { 0 }, *at;
            FILE *file;

            snprintf(path, sizeof(path), "%s/label.json", dir);
            file = fopen(path, "r+");
            if (CHECK(file != NULL)) {
                CHECK(fread(text, 1, sizeof(text) - 1, file) > 100);
                at = strstr(text, "words_sha256");
                fseek(file, at - text + 16, SEEK_SET);
                fputc(at[16] == '0' ? '1' : '0', file);
                fclose(file);
            }
        }
        if (i == 4)             /* the score of the last label of all */
            spoil(dir, "shard-00000.safetensors", -2, 0x41);
        status = sea_labels_open(&labels, dir, &err);
        if (i == 4 && CHECK_OK(status, err))
            status = sea_labels_check(labels, &err);
        CHECK(status);
        CHECK_FAILS(err, i == 0 ? SEA_E_MISSING : SEA_E_FORMAT, words[i]);
        sea_err_clear(&err);
        sea_labels_close(labels);
    }
    sea_arena_destroy(lists.arena);
}

SEA_TEST_MAIN("labels",
    TEST(the_best_words_are_found),
    TEST(only_positive_scores_are_kept),
    TEST(a_store_gives_back_what_was_written),
    TEST(a_writer_goes_on_behind_whole_shards), TEST(a_writer_goes_on_behind_what_was_saved),
    TEST(bad_labels_are_not_written),
    TEST(spoilt_stores_are_refused))
