/* SPDX-License-Identifier: Apache-2.0 */
/*
 * bench_score - how fast answers are normalised and scored
 *
 *     bench_score [QUESTIONS]
 *
 * Made data: 100,000 answers against ten people each (the normalisers and the agreement
 * alone), then VQAv2's val split in its published layout (QUESTIONS rows, 214,354 unless
 * given), scored from files. Prints seconds and the largest memory of the process.
 */
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/sea_file.h"
#include "engine/base/sea_rng.h"
#include "pipeline/benchmarks/benchmarks_int.h"

#define ANSWERS 100000
#define VAL 214354

static const char *const words[] = {
    "yes", "no", "2", "two", "a red bus", "The dog.", "T-shirt", "1,000", "don't know", "left",
    "white and black", "frisbee", "none", "tennis racket", "it's raining", "Blue", "blue", "0",
    "skateboard", "in the kitchen, on the table",
};
#define WORDS (sizeof(words) / sizeof(words[0]))

static double
now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec * 1e-9;
}

/* Seconds of processor time: what the clock shows when nobody else works here. */
static double
work(void)
{
    struct rusage usage;

    getrusage(RUSAGE_SELF, &usage);
    return (double)(usage.ru_utime.tv_sec + usage.ru_stime.tv_sec) +
           1e-6 * (double)(usage.ru_utime.tv_usec + usage.ru_stime.tv_usec);
}

static double
normalise_many(double seconds[2])
{
    struct sea_arena *scratch = sea_arena_create(NULL, "row");
    struct sea_rng rng;
    double sum = 0, start = now(), worked = work();

    sea_rng_init(&rng, 1, 0);
    for (int i = 0; i < ANSWERS; i++) {
        const char *people[10];

        sea_arena_reset(scratch);
        for (int k = 0; k < 10; k++)
            people[k] = sea_vqa_copy(SEA_VQA_OFF, words[sea_rng_below(&rng, WORDS)], scratch);
        sum += sea_vqa_agreement(people, 10,
                                 sea_vqa_copy(SEA_VQA_OFF, sea_vqa_copy(SEA_VQA_M4C,
                                              words[sea_rng_below(&rng, WORDS)], scratch),
                                              scratch));
    }
    seconds[0] = now() - start;
    seconds[1] = work() - worked;
    sea_arena_destroy(scratch);
    return sum / ANSWERS;
}

struct files {
    char questions[SEA_PATH_MAX], answers[SEA_PATH_MAX], annotations[SEA_PATH_MAX];
};

static bool
write_all(const struct files *files, int64_t n)
{
    FILE *q = fopen(files->questions, "w"), *a = fopen(files->answers, "w"),
         *g = fopen(files->annotations, "w");
    struct sea_rng rng;

    if (!q || !a || !g)
        return false;
    sea_rng_init(&rng, 2, 0);
    fprintf(g, "{\"info\": {}, \"annotations\": [");
    for (int64_t i = 0; i < n; i++) {
        size_t base = sea_rng_below(&rng, WORDS);

        fprintf(q, "{\"question_id\": %lld, \"image\": \"COCO_val2014_%012lld.jpg\", \"text\": \"What "
                "is number %lld?\\nAnswer the question using a single word or phrase.\", "
                "\"category\": \"default\"}\n", (long long)i, (long long)(i / 5), (long long)i);
        fprintf(a, "{\"question_id\": %lld, \"prompt\": \"What is number %lld?\\nAnswer the question "
                "using a single word or phrase.\", \"text\": \"%s\", \"answer_id\": \"%022lld\", "
                "\"model_id\": \"made\", \"metadata\": {}}\n", (long long)i, (long long)i,
                words[(base + sea_rng_below(&rng, 2)) % WORDS], (long long)i);
        fprintf(g, "%s{\"question_type\": \"what is %lld\", \"multiple_choice_answer\": \"x\", "
                "\"answers\": [", i ? ", " : "", (long long)(i % 65));
        for (int k = 0; k < 10; k++)
            fprintf(g, "%s{\"answer\": \"%s\", \"answer_confidence\": \"yes\", \"answer_id\": %d}",
                    k ? ", " : "", words[(base + sea_rng_below(&rng, 3)) % WORDS], k + 1);
        fprintf(g, "], \"image_id\": %lld, \"answer_type\": \"%s\", \"question_id\": %lld}",
                (long long)(i / 5), i % 3 ? "other" : "yes/no", (long long)i);
    }
    fprintf(g, "]}");
    return fclose(q) == 0 && fclose(a) == 0 && fclose(g) == 0;
}

static int
score_val(int64_t n, const char *folder)
{
    struct sea_arena *arena = sea_arena_create(NULL, "bench");
    struct sea_bench_result result;
    struct sea_err err = { 0 };
    struct rusage usage;
    struct files files;
    const char *list[1];
    double start, worked;
    int failed;

    snprintf(files.questions, SEA_PATH_MAX, "%s/questions.jsonl", folder);
    snprintf(files.answers, SEA_PATH_MAX, "%s/answers.jsonl", folder);
    snprintf(files.annotations, SEA_PATH_MAX, "%s/annotations.json", folder);
    if (!write_all(&files, n)) {
        fprintf(stderr, "could not write to %s\n", folder);
        return 74;
    }
    list[0] = files.annotations;
    start = now();
    worked = work();
    failed = sea_bench_score("vqav2", files.questions, files.answers, list, 1, NULL, arena, &result,
                             &err) != SEA_OK;
    if (failed)
        fprintf(stderr, "%s\n", err.message);
    getrusage(RUSAGE_SELF, &usage);
    if (!failed)
        printf("vqav2 val, %lld questions of ten answers: %.2f s (bound 10), %.2f s of work, %ld MiB at "
               "most (bound 1024), accuracy %.2f\n", (long long)n, now() - start, work() - worked,
               usage.ru_maxrss / 1024, result.metrics[0].value * 100);
    sea_arena_destroy(arena);
    return failed ? 65 : 0;
}

int
main(int argc, char **argv)
{
    char folder[] = "/tmp/bench-score-XXXXXX";
    int64_t n = argc > 1 ? strtoll(argv[1], NULL, 10) : VAL;
    struct sea_err err = { 0 };
    double seconds[2], accuracy = normalise_many(seconds);
    int status;

    printf("%d answers against ten people: %.2f s (bound 1), %.2f s of work, accuracy %.2f\n",
           ANSWERS, seconds[0], seconds[1], accuracy * 100);
    if (!mkdtemp(folder)) {
        perror("mkdtemp");
        return 74;
    }
    status = score_val(n, folder);
    if (sea_dir_remove(folder, &err))
        fprintf(stderr, "%s\n", err.message);
    return status;
}
