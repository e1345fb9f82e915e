/* SPDX-License-Identifier: Apache-2.0 */
/* The demo world's exams: balanced questions at chance, shuffled answers and exports that
 * score the same. */
#include "engine/base/sea_rng.h"
#include "pipeline/sea_scenes.h"
#include "tests/pipeline/bench_files.h"

#define TEXT_MAX ((size_t)64 << 20)

struct exam {
    const char *name, *folder, *annotations;
};
static const struct exam exams[] = {
    { "pope", "pope", "coco" },
    { "gqa", "gqa", "data/testdev_balanced_questions.json" },
    { "vqav2", "vqav2", "v2_mscoco_val2014_annotations.json" },
    { "scienceqa", "scienceqa", "problems.json" },
    { "mmbench", "mmbench", NULL },
};

static const char *
make_world(void)
{
    const char *out = path_of("world");
    struct sea_scenes_options options;
    struct sea_err err = { 0 };
    bool made;

    if (sea_dir_exists(out))
        return out;
    sea_scenes_defaults(&options);
    options.out = out;
    options.train = 4;
    options.eval = 96;
    if (sea_scenes_make(&options, NULL, NULL, &made, &err)) {
        if (err.status != SEA_E_MISSING)
            CHECK_OK(err.status, err);
        return NULL;
    }
    return out;
}

/* Answers of a model that never looks: reply(question, i). Lines in shuffled order when
 * asked for. */
static const char *
blind_answers(const struct exam *exam, const char *(*reply)(const struct sea_bench_row *, size_t),
              const struct sea_bench_result *known, bool shuffled)
{
    int64_t *order = sea_arena_alloc(arena, known->rows_count, sizeof(*order));
    struct sea_buf text;
    struct sea_rng rng;
    const char *path;

    sea_buf_init(&text, TEXT_MAX);
    sea_rng_init(&rng, 5, 0);
    for (size_t i = 0; i < known->rows_count; i++)
        order[i] = (int64_t)i;
    if (shuffled)
        sea_rng_shuffle(&rng, order, known->rows_count);
    for (size_t k = 0; k < known->rows_count; k++) {
        const struct sea_bench_row *row = &known->rows[order[k]];
        const char *words = reply(row, (size_t)order[k]);

        sea_bench_answer_write(&text, row->question, words, strlen(words), "blind");
    }
    path = put_file(sea_arena_printf(arena, "%s-%d.jsonl", exam->name, shuffled), text.data);
    sea_buf_release(&text);
    return path;
}

static const char *
say_yes(const struct sea_bench_row *row, size_t i)
{
    (void)row;
    (void)i;
    return "yes";
}

static const char *
say_b(const struct sea_bench_row *row, size_t i)
{
    (void)row;
    (void)i;
    return "B";
}

static const char *
say_blue(const struct sea_bench_row *row, size_t i)
{
    (void)i;
    return strstr(row->question->prompt, "color") ? "blue"
         : strstr(row->question->prompt, "many")  ? "2" : "no";
}

/* The gold answer, wrong in every third question. */
static const char *
say_mostly_right(const struct sea_bench_row *row, size_t i)
{
    return i % 3 ? row->gold : "no idea";
}

static struct sea_bench_result
score_exam(const struct exam *exam, const char *world, const char *answers, struct sea_err *err)
{
    const struct sea_bench *bench = NULL;
    struct sea_bench_options options = { .allow_missing = true, .resamples = 50 };
    const char *folder = sea_arena_printf(arena, "%s/eval/%s", world, exam->folder), *notes = NULL;

    if (exam->annotations)
        notes = sea_arena_printf(arena, "%s/%s", folder, exam->annotations);
    *err = (struct sea_err){ 0 };
    CHECK_OK(sea_bench_find(exam->name, &bench, err), *err);
    return score_with(exam->name, sea_arena_printf(arena, "%s/%s", folder, bench->questions_path),
                      answers, notes, &options, err);
}

static void
blind_answers_score_at_chance(void)
{
    static const struct {
        size_t exam;
        const char *(*reply)(const struct sea_bench_row *, size_t);
        const char *metric;
        double chance, tolerance;
    } cases[] = {
        { 0, say_yes, "accuracy", 0.5, 0 },          { 0, say_yes, "random/accuracy", 0.5, 0 },
        { 2, say_yes, "answer_type/yes/no", 0.5, 0 },
        { 2, say_blue, "answer_type/yes/no", 0.5, 0 },
        { 2, say_blue, "answer_type/other", 0.125, 0 },
        { 2, say_blue, "answer_type/number", 0.25, 0 },
        { 3, say_b, "accuracy", 0.25, 0 },           { 3, say_b, "img_accuracy", 0.25, 0.11 },
        { 4, say_b, "vanilla_accuracy", 0.25, 0 },   { 4, say_b, "circular_accuracy", 0, 0 },
    };
    const char *world = make_world(), *empty = put_file("empty.jsonl", "");

    if (!world) {
        SEA_SKIP("the emoji font or CLDR is not installed");
        return;
    }
    for (size_t i = 0; i < sizeof(cases) / sizeof(cases[0]); i++) {
        const struct exam *exam = &exams[cases[i].exam];
        struct sea_bench_result known, result;
        struct sea_err err;

        known = score_exam(exam, world, empty, &err);
        CHECK_OK(err.status, err);
        result = score_exam(exam, world, blind_answers(exam, cases[i].reply, &known, false), &err);
        CHECK_OK(err.status, err);
        CHECK_NEAR(value_of(&result, cases[i].metric), cases[i].chance, cases[i].tolerance);
    }
}

static void
shuffled_answers_and_exports_score_the_same(void)
{
    const char *world = make_world(), *empty = put_file("empty.jsonl", "");

    if (!world) {
        SEA_SKIP("the emoji font or CLDR is not installed");
        return;
    }
    for (size_t e = 0; e < sizeof(exams) / sizeof(exams[0]); e++) {
        struct sea_bench_result known, plain, shuffled, again;
        const struct sea_bench *bench = NULL;
        struct sea_buf one, two, out;
        struct sea_err err;
        const char *path, *notes[1];

        known = score_exam(&exams[e], world, empty, &err);
        CHECK_OK(err.status, err);
        path = blind_answers(&exams[e], say_mostly_right, &known, false);
        plain = score_exam(&exams[e], world, path, &err);
        CHECK_OK(err.status, err);
        shuffled = score_exam(&exams[e], world,
                              blind_answers(&exams[e], say_mostly_right, &known, true), &err);
        CHECK_OK(err.status, err);
        CHECK(plain.complete);
        CHECK(e == 4 || value_of(&plain, "accuracy") > 0.4);   /* mmbench: every rotation */
        sea_buf_init(&one, TEXT_MAX);
        sea_buf_init(&two, TEXT_MAX);
        sea_buf_init(&out, TEXT_MAX);
        sea_bench_rows_write(&plain, &one);
        sea_bench_rows_write(&shuffled, &two);
        CHECK(one.len > 1000 && strcmp(one.data, two.data) == 0);
        CHECK_INT(plain.metrics_count, shuffled.metrics_count);
        for (size_t m = 0; m < plain.metrics_count; m++) {
            const struct sea_bench_metric *a = &plain.metrics[m], *b = &shuffled.metrics[m];

            CHECK(memcmp(&a->value, &b->value, sizeof(double)) == 0);
            CHECK(isnan(a->low) || a->low == b->low);
        }
        CHECK_OK(sea_bench_find(exams[e].name, &bench, &err), err);
        if (bench->dump && (e == 1 || e == 2)) {        /* forms that we read ourselves */
            const char *folder = sea_arena_printf(arena, "%s/eval/%s", world, exams[e].folder);

            notes[0] = sea_arena_printf(arena, "%s/%s", folder, exams[e].annotations);
            CHECK_OK(sea_bench_export(exams[e].name,
                                      sea_arena_printf(arena, "%s/%s", folder,
                                                       bench->questions_path), path, notes, 1,
                                      NULL, &out, &err), err);
            again = score_exam(&exams[e], world, put_file("export.json", out.data), &err);
            CHECK_OK(err.status, err);
            CHECK_NEAR(value_of(&again, "accuracy"), value_of(&plain, "accuracy"), 0);
        }
        sea_buf_release(&one);
        sea_buf_release(&two);
        sea_buf_release(&out);
    }
}

SEA_TEST_MAIN("benchmarks of the demo world",
              TEST(blind_answers_score_at_chance),
              TEST(shuffled_answers_and_exports_score_the_same))
