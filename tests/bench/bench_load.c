/* SPDX-License-Identifier: Apache-2.0 */
/*
 * From a model folder to words: seconds until the first one, and how much of the memory's
 * read rate the next ones use. What load.sh runs.
 *
 * usage: bench_load make DIR            a folder of Qwen2.5-0.5B's shape, random, 1 GB of BF16
 *        bench_load run DIR PRECISION   one JSON line; PRECISION is f32 or bf16
 *        bench_load peak COMMAND ...    runs it; prints the most MiB it had resident
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

#include "engine/base/sea_clock.h"
#include "engine/sea_generate.h"
#include "engine/sea_mllm.h"
#include "tests/bench/bench.h"

enum { PROMPT = 16, WORDS = 24, ROUNDS = 9 };
#define READ_BYTES ((size_t)256 << 20)          /* several times the last cache */

static enum sea_status
make(const char *dir, struct sea_err *err)
{
    struct sea_lm_desc desc = sea_lm_defaults();
    struct sea_device device;
    struct sea_lm *lm = NULL;
    enum sea_status status = sea_device_open(&device, "cpu", err);

    desc.family = SEA_LM_QWEN2;
    desc.vocab = 151936;
    desc.D = 896;
    desc.F = 4864;
    desc.layers = 24;
    desc.H = 14;
    desc.K = 2;
    desc.E = 64;
    desc.max_positions = 1024;
    device.store = SEA_STORE_BF16;
    if (!status)
        status = sea_lm_create(&lm, &device, &desc, 1, false, err);
    if (!status)
        status = sea_lm_save(lm, dir, err);
    sea_lm_destroy(lm);
    sea_device_close(&device);
    return status;
}

struct run {
    struct sea_device device;
    struct sea_lm *lm;
    struct sea_mllm mllm;
    struct sea_generator *generator;
    void *memory;               // (READ_BYTES)
};

/* Seconds for n words behind a fixed prompt. */
static enum sea_status
answer(struct run *run, int64_t n, double *seconds, struct sea_err *err)
{
    static const int32_t none = -1;
    int32_t words[PROMPT], out[WORDS];
    struct sea_prompt prompt = { .ids = words, .count = PROMPT, .image = -1 };
    struct sea_answer got = { .ids = out };
    const struct sea_sampling sampling = { .max_new = n, .eos = &none };
    double start = sea_clock_seconds();
    enum sea_status status;

    for (int32_t i = 0; i < PROMPT; i++)
        words[i] = 1000 + 37 * i;
    status = sea_generate(run->generator, &prompt, 1, NULL, 0, &sampling, &got, err);
    *seconds = sea_clock_seconds() - start;
    return status;
}

static double
read_rate(struct run *run)
{
    struct sea_op_limits limits = { .mem = run->memory, .bytes = READ_BYTES };

    return run->device.ops->limits(run->device.dev, &limits) ? 0 : limits.read_rate;
}

/* Medians over rounds: decoding as a share of the read rate just before and after. */
static enum sea_status
decode(struct run *run, double *rate, double *share, double *reads, struct sea_err *err)
{
    const struct sea_lm_desc *desc = &run->lm->desc;
    double bytes = (double)sea_lm_desc_bytes(desc, run->device.store, false);
    double one = 0, all = 0, rates[ROUNDS], shares[ROUNDS], limits[ROUNDS];
    enum sea_status status = SEA_OK;

    bytes -= 4.0 * (double)(desc->max_positions * desc->E);   /* rotations: one line a word */
    for (int i = 0; i < ROUNDS && !status; i++) {
        limits[i] = read_rate(run);
        status = answer(run, 1, &one, err);
        if (!status)
            status = answer(run, WORDS, &all, err);
        limits[i] = 0.5 * (limits[i] + read_rate(run));
        rates[i] = (WORDS - 1) / (all - one);
        shares[i] = rates[i] * bytes / limits[i];
    }
    *rate = status ? 0 : bench_median(rates, ROUNDS);
    *reads = status ? 0 : bench_median(limits, ROUNDS);
    *share = status ? 0 : bench_median(shares, ROUNDS);
    return status;
}

static enum sea_status
measure(const char *dir, const char *precision, struct sea_err *err)
{
    struct run run = { .lm = NULL };
    struct sea_generate_desc limits = { .slots = 1, .room = PROMPT + WORDS };
    double start = sea_clock_seconds(), loaded = 0, first = 0, unused, rate = 0, share = 0;
    double reads = 0, cpu = 0;
    enum sea_status status = sea_device_open(&run.device, "cpu", err);

    run.device.store = strcmp(precision, "bf16") ? SEA_STORE_F32 : SEA_STORE_BF16;
    if (!status)
        status = sea_lm_load(&run.lm, &run.device, dir, false, err);
    loaded = sea_clock_seconds() - start;
    run.mllm.lm = run.lm;
    if (!status)
        status = sea_generator_create(&run.generator, &run.mllm, &limits, err);
    if (!status)
        status = answer(&run, 1, &unused, err);
    first = sea_clock_seconds() - start;
    cpu = (double)clock() / CLOCKS_PER_SEC;
    if (!status)
        status = sea_device_alloc(&run.device, READ_BYTES, &run.memory, err);
    if (!status) {
        memset(run.memory, 1, READ_BYTES);      /* pages never written are one page of zeros */
        status = decode(&run, &rate, &share, &reads, err);
    }
    if (!status)
        printf("{\"precision\":\"%s\",\"load_s\":%.3f,\"first_word_s\":%.3f,\"cpu_s\":%.3f,"
               "\"words_per_s\":%.2f,\"read_gb_per_s\":%.2f,\"share_of_reading\":%.3f}\n",
               precision, loaded, first, cpu, rate, 1e-9 * reads, share);
    sea_device_free(&run.device, run.memory);
    sea_generator_destroy(run.generator);
    sea_lm_destroy(run.lm);
    sea_device_close(&run.device);
    return status;
}

static int
peak(char **command)
{
    struct rusage usage;
    pid_t child = fork();
    int status;

    if (!child) {
        execvp(command[0], command);
        _exit(127);
    }
    if (child < 0 || wait4(child, &status, 0, &usage) != child || status) {
        fprintf(stderr, "bench_load: \"%s\" failed\n", command[0]);
        return 1;
    }
    printf("%.1f\n", (double)usage.ru_maxrss / 1024);
    return 0;
}

int
main(int argc, char **argv)
{
    struct sea_err err = { 0 };
    enum sea_status status;

    if (argc >= 3 && !strcmp(argv[1], "peak"))
        return peak(argv + 2);
    if (argc == 3 && !strcmp(argv[1], "make")) {
        status = make(argv[2], &err);
    } else if (argc == 4 && !strcmp(argv[1], "run")) {
        status = measure(argv[2], argv[3], &err);
    } else {
        fprintf(stderr, "usage: bench_load make DIR | run DIR f32|bf16 | peak COMMAND ...\n");
        return 64;
    }
    if (status)
        sea_err_print(&err, "bench_load", stderr);
    return sea_status_exit(status);
}
