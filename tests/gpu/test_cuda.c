/* SPDX-License-Identifier: Apache-2.0 */
/*
 * test_cuda.c - every operator of the CUDA back end against its CPU twin
 *
 * SEA_CUDA_EMU set (make test): the kernels' sources on emulated threads, with SEA_CUDA_CHECK,
 * too, every access looked at (tests/gpu/test_emu.sh); else (make test-gpu) the real plugin,
 * where there is a card. The tests stand in cuda_products.c, cuda_rows.c and cuda_memory.c.
 */
#include "tests/gpu/cuda_test.h"

#include <dlfcn.h>
#include <math.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const struct sea_ops *ops[2];
void *dev[2];

static uint64_t state = 88172645463325252ull;

/* ---- buffers that exist on both devices ---- */

#define BUFFERS 64
static struct buffer {
    void *start;                /* what it holds before every run */
    void *at[2];
    size_t bytes;
} buffers[BUFFERS];
static int count;

float
number(float size)
{
    state ^= state << 13;
    state ^= state >> 7;
    state ^= state << 17;
    return ((float)(int64_t)(state >> 40) / 8388608.0f - 1.0f) * size;
}

int
add(const void *start, size_t bytes)
{
    struct buffer *b = &buffers[count];

    if (count == BUFFERS)
        abort();
    b->bytes = bytes;
    b->start = malloc(bytes);
    if (!b->start)
        abort();
    memcpy(b->start, start, bytes);
    for (int d = 0; d < 2; d++)
        if (ops[d]->mem_alloc(dev[d], bytes, &b->at[d]))
            abort();
    return count++;
}

int
add_random(int64_t n, float size)
{
    float *x = malloc((size_t)n * sizeof(float));
    int b;

    if (!x)
        abort();
    for (int64_t i = 0; i < n; i++)
        x[i] = number(size);
    b = add(x, (size_t)n * sizeof(float));
    free(x);
    return b;
}

int
add_bf16(int64_t n, float size)
{
    uint16_t *x = malloc((size_t)n * sizeof(uint16_t));
    int b;

    if (!x)
        abort();
    for (int64_t i = 0; i < n; i++) {
        float y = number(size);
        uint32_t bits;

        memcpy(&bits, &y, sizeof(bits));
        x[i] = (uint16_t)(bits >> 16);
    }
    b = add(x, (size_t)n * sizeof(uint16_t));
    free(x);
    return b;
}

int
add_short(int64_t n, float size)
{
    uint32_t *bits = calloc((size_t)n, sizeof(*bits));
    int b;

    if (!bits)
        abort();
    for (int64_t i = 0; i < n; i++) {
        float x = number(size);

        memcpy(&bits[i], &x, sizeof(x));
        bits[i] &= 0xffff0000u;
    }
    b = add(bits, (size_t)n * sizeof(*bits));
    free(bits);
    return b;
}

int
add_ints(const int32_t *x, int64_t n)
{
    return add(x, (size_t)n * sizeof(int32_t));
}

void *
start_of(int b)
{
    return buffers[b].start;
}

void *
at(int b, int d)
{
    return b < 0 ? NULL : buffers[b].at[d];
}

void
reset(int d)
{
    for (int b = 0; b < count; b++)
        if (ops[d]->copy_in(dev[d], buffers[b].at[d], buffers[b].start, buffers[b].bytes))
            abort();
}

void
done(void)
{
    for (int b = 0; b < count; b++) {
        for (int d = 0; d < 2; d++)
            ops[d]->mem_free(dev[d], buffers[b].at[d]);
        free(buffers[b].start);
    }
    count = 0;
}

void *
fetch(int b, int d)
{
    void *out = malloc(buffers[b].bytes);

    if (!out || ops[d]->copy_out(dev[d], out, buffers[b].at[d], buffers[b].bytes))
        abort();
    return out;
}

void
compare(const char *what, int (*run)(int d, const void *op), const void *op, const int *outs,
        int n, double bound)
{
    void *first[8], *again[8];
    int rc[3];

    reset(CPU);
    rc[0] = run(CPU, op);
    reset(GPU);
    rc[1] = run(GPU, op);
    for (int i = 0; i < n; i++)
        first[i] = fetch(outs[i], GPU);
    rc[2] = rc[1];
    if (!getenv("SEA_CUDA_CHECK")) {    /* that is slow enough once */
        reset(GPU);
        rc[2] = run(GPU, op);
    }
    CHECK_MSG(!rc[0] && !rc[1] && !rc[2], "%s: codes %d, %d (%s), %d", what, rc[0], rc[1],
              ops[GPU]->rc_text(rc[1]), rc[2]);
    for (int i = 0; i < n; i++) {
        size_t numbers = buffers[outs[i]].bytes / sizeof(float);
        float *want = fetch(outs[i], CPU), *got = first[i];
        double top = 1e-30, worst = 0;

        again[i] = fetch(outs[i], GPU);
        CHECK_MSG(!memcmp(first[i], again[i], buffers[outs[i]].bytes),
                  "%s: output %d differs from run to run", what, i);
        for (size_t k = 0; k < numbers; k++)
            top = isfinite(want[k]) ? fmax(top, fabs((double)want[k])) : top;
        for (size_t k = 0; k < numbers; k++) {
            double error = want[k] == got[k] ? 0
                                             : fabs((double)want[k] - (double)got[k]) / top;

            if (memcmp(&want[k], &got[k], sizeof(float)))
                worst = error <= worst ? worst : isnan(error) ? INFINITY : error;
        }
        printf("  %-40s output %d  error %9.2e  bound %9.2e\n", what, i, worst, bound);
        CHECK_MSG(worst <= bound, "%s: output %d: error %.3g, bound %.3g", what, i, worst, bound);
        free(want);
        free(first[i]);
        free(again[i]);
    }
    done();
}

/* ---- the table itself ---- */

/* Nothing is left out of the table. */
static void
test_table(void)
{
    const void *const *first = (const void *const *)(const void *)&ops[GPU]->dev_count;
    const void *const *end = (const void *const *)(const void *)(ops[GPU] + 1);

    CHECK_STR(ops[GPU]->name, "cuda");
    for (const void *const *entry = first; entry < end; entry++)
        CHECK_MSG(*entry != NULL, "entry %td of the table is empty", entry - first);
}

/* The card's limits: both numbers, neither without memory to read. */
static void
test_limits(void)
{
    struct sea_op_limits limits = { .bytes = 1 << 16 };
    void *mem = NULL;

    CHECK(ops[GPU]->mem_alloc_zeroed(dev[GPU], limits.bytes, &mem) == SEA_RC_OK);
    limits.mem = mem;
    CHECK(ops[GPU]->limits(dev[GPU], &limits) == SEA_RC_OK);
    printf("  %.3g FLOP/s, %.3g bytes/s\n", limits.flops, limits.read_rate);
    CHECK(limits.flops > 1e6 && limits.read_rate > 1e6);
    limits.bytes = 0;
    CHECK(ops[GPU]->limits(dev[GPU], &limits) == SEA_RC_OK);
    CHECK(limits.flops > 1e6 && limits.read_rate <= 0.0);
    CHECK(ops[GPU]->limits(dev[GPU], NULL) == SEA_RC_ARGUMENT);
    ops[GPU]->mem_free(dev[GPU], mem);
}

/* What the table must refuse, and what is no work. */
static void
test_refusals(void)
{
    const struct sea_ops *o = ops[GPU];
    struct sea_op_gemm none = { .M = 0, .N = 5, .K = 5 }, bad = { .M = 2, .N = 2, .K = 2 };
    struct sea_op_topk many = { .R = 1, .C = 1, .k = 65, .ld = 1, .x = (float *)64,
                                .index = (int32_t *)64, .value = (float *)64 };
    struct sea_op_attention deep = { .S = 0, .H = 1, .K = 1, .E = 257 };
    void *mem = NULL;

    CHECK(o->gemm(dev[GPU], &none) == SEA_RC_OK);
    CHECK(o->gemm(dev[GPU], &bad) == SEA_RC_ARGUMENT);
    CHECK(o->gemm(NULL, &bad) == SEA_RC_ARGUMENT);
    CHECK(o->topk(dev[GPU], &many) == SEA_RC_UNSUPPORTED);
    CHECK(o->attention(dev[GPU], &deep) == SEA_RC_UNSUPPORTED);
    CHECK(o->mem_alloc(dev[GPU], (size_t)1 << 60, &mem) == SEA_RC_MEMORY && !mem);
    CHECK(strlen(o->rc_text(SEA_RC_UNSUPPORTED)) > 0 && strlen(o->rc_text(1001)) > 0);
    printf("  %s\n", o->dev_text(dev[GPU]));
}

/* ---- devices and main ---- */

/* 1 when both are open, 0 where there is nothing to test, -1 when that must not be: the
 * emulated plugin belongs to every build and has one device. */
static int
open_devices(void)
{
    const char *build = getenv("SEA_BUILD"), *emulated = getenv("SEA_CUDA_EMU");
    const char *checked = getenv("SEA_CUDA_CHECK") ? "_check" : "";
    char path[4096];
    void *lib;
    int found = 0, rc;

    snprintf(path, sizeof(path), "%s/%slibsea_cuda%s.so", build ? build : "build/dev",
             emulated ? "tests/gpu/" : "", emulated ? checked : "");
    lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    ops[CPU] = &sea_cpu_ops;
    if (!lib) {
        printf("%s: no CUDA plugin: %s\n", emulated ? "FAIL" : "SKIP", dlerror());
        return emulated ? -1 : 0;
    }
    ops[GPU] = dlsym(lib, "sea_plugin_ops");
    if (!ops[GPU] || ops[GPU]->abi != SEA_OPS_ABI || ops[GPU]->size != sizeof(struct sea_ops)) {
        printf("FAIL: \"%s\" has another operator table, build it again\n", path);
        return -1;
    }
    rc = ops[GPU]->dev_count(&found);
    if (rc || !found) {
        printf("%s: the plugin finds no device%s%s\n", emulated ? "FAIL" : "SKIP",
               rc ? ": " : "", rc ? ops[GPU]->rc_text(rc) : "");
        return emulated ? -1 : 0;
    }
    rc = ops[GPU]->dev_open(0, 0, &dev[GPU]);
    if (sea_cpu_ops.dev_open(0, 1, &dev[CPU]) || rc) {
        printf("FAIL: a device does not open: code %d, %s\n", rc, ops[GPU]->rc_text(rc));
        return -1;
    }
    printf("%s\n", ops[GPU]->dev_text(dev[GPU]));
    return 1;
}

/* Puts one more behind n cases. A name asks for all tests that contain it: run.sh, which runs a
 * test alone, needs names that are no part of another. */
static void
append(struct sea_test_case *cases, size_t n, size_t room, const struct sea_test_case *one)
{
    bool clear = n < room;

    for (size_t i = 0; i < n && clear; i++)
        clear = !strstr(cases[i].name, one->name) && !strstr(one->name, cases[i].name);
    if (!clear) {
        fprintf(stderr, "%s: one test too many, or a name within another's\n", one->name);
        abort();
    }
    cases[n] = *one;
}

/* All tests in one table; returns how many. */
static size_t
gather(struct sea_test_case *cases, size_t room)
{
    static const struct sea_test_case table[] = { TEST(test_table), TEST(test_limits),
        TEST(test_refusals), { NULL, NULL } };
    /* The emulation's memory is a card's in size, and all of it takes a minute there. */
    const struct sea_test_case *const files[] = { table, cuda_products, cuda_rows, cuda_memory,
        getenv("SEA_CUDA_EMU") ? NULL : cuda_full_memory };
    size_t n = 0;

    for (size_t f = 0; f < sizeof(files) / sizeof(files[0]); f++)
        for (const struct sea_test_case *one = files[f]; one && one->name; one++)
            append(cases, n++, room, one);
    return n;
}

int
main(int argc, char **argv)
{
    static struct sea_test_case cases[64];
    size_t n = gather(cases, sizeof(cases) / sizeof(cases[0]));
    int rc;

    if (argc == 2 && !strcmp(argv[1], "--list")) {
        for (size_t i = 0; i < n; i++)
            printf("%s\n", cases[i].name);
        return 0;
    }
    rc = open_devices();
    if (rc < 1) {
        printf("CUDA operators: 0 passed, %d failed, %d skipped\n", rc < 0, rc == 0);
        return rc < 0;
    }
    rc = sea_test_run("CUDA operators against their CPU twins", cases, n, argc, argv);
    printf("%s\n", ops[GPU]->dev_text(dev[GPU]));     /* with what the library refused */
    ops[GPU]->dev_close(dev[GPU]);
    sea_cpu_ops.dev_close(dev[CPU]);
    return rc;
}
