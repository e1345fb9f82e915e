/* SPDX-License-Identifier: Apache-2.0 */
/* The CPU as a device: opening, memory, text, and a pool that survives being hurried,
 * rested and used by many threads' worth of tiny operators. */
#include "tests/kernels/kernel_test.h"

#include <time.h>
#include <unistd.h>

static void
the_table_is_complete(void)
{
    const void *const *entry = (const void *const *)(const void *)&sea_cpu_ops.dev_count;
    /* Graphs are for devices that a host launches on. */
    const void *const *end = (const void *const *)(const void *)&sea_cpu_ops.graph_begin;

    CHECK_INT(sea_cpu_ops.abi, SEA_OPS_ABI);
    CHECK_INT(sea_cpu_ops.size, sizeof(struct sea_ops));
    CHECK_STR(sea_cpu_ops.name, "cpu");
    for (; entry < end; entry++)
        CHECK_MSG(*entry != NULL, "entry %td of the table is empty",
                  entry - (const void *const *)(const void *)&sea_cpu_ops);
}

static void
devices_open_and_close(void)
{
    void *dev = &dev, *other;
    int count = 0;

    CHECK_INT(sea_cpu_ops.dev_count(&count), 0);
    CHECK_INT(count, 1);
    CHECK_INT(sea_cpu_ops.dev_open(1, 0, &dev), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.dev_open(0, -1, &dev), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.dev_open(0, 0, NULL), SEA_RC_ARGUMENT);
    CHECK_INT(sea_cpu_ops.dev_open(0, 0, &dev), 0);
    CHECK_INT(sea_cpu_ops.dev_open(0, 2, &other), 0);
    CHECK(strstr(sea_cpu_ops.dev_text(other), "2 threads") != NULL);
    printf("  %s\n", sea_cpu_ops.dev_text(dev));
    sea_cpu_ops.dev_close(dev);
    sea_cpu_ops.dev_close(other);
    sea_cpu_ops.dev_close(NULL);
    for (int rc = -1; rc < 6; rc++)
        CHECK(sea_cpu_ops.rc_text(rc) != NULL);
}

/* Operators that have a type for it say no. */
static void
bfloat16_beside_weights_is_refused(void)
{
    const enum sea_store BF16 = SEA_STORE_BF16;
    static const int32_t start[2] = { 0, 1 }, len[1] = { 1 };
    float row[1] = { 0 };
    struct sea_op_scatter scatter = { .inp = row, .idx = start, .out = row, .R = 1, .C = 1,
                                      .ld_inp = 1, .ld_out = 1, .out_type = BF16 };
    struct sea_op_attention attention = { .q = row, .k = row, .v = row, .out = row, .lse = row,
                                          .q_start = start, .k_start = start, .k_len = len,
                                          .S = 1, .H = 1, .K = 1, .E = 1, .ld_q = 1, .ld_kv = 1,
                                          .ld_out = 1, .kv_type = BF16 };
    const struct sea_ops *ops = &sea_cpu_ops;
    void *dev;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(ops->stores, 0);
    CHECK_INT(ops->scatter(dev, &scatter), SEA_RC_UNSUPPORTED);
    CHECK_INT(ops->attention(dev, &attention), SEA_RC_UNSUPPORTED);
}

static void
memory_is_aligned_and_bounded(void)
{
    const size_t sizes[] = { 0, 1, 63, 4096, (size_t)9 << 20 };
    char back[8] = "";
    size_t room = 0;
    void *dev, *mem, *to;

    kt_open();
    dev = kt_sets[0].dev[0];
    CHECK_INT(sea_cpu_ops.mem_room(dev, &room), 0);
    CHECK(room > (size_t)1 << 20);
    for (int i = 0; i < 5; i++) {
        CHECK_INT(sea_cpu_ops.mem_alloc(dev, sizes[i], &mem), 0);
        CHECK_INT((uintptr_t)mem % 64, 0);
        CHECK_INT(sea_cpu_ops.mem_zero(dev, mem, sizes[i]), 0);
        sea_cpu_ops.mem_free(dev, mem);
    }
    CHECK_INT(sea_cpu_ops.mem_alloc(dev, SIZE_MAX, &mem), SEA_RC_MEMORY);
    CHECK(mem == NULL);
    CHECK_INT(sea_cpu_ops.mem_alloc(dev, (size_t)1 << 60, &mem), SEA_RC_MEMORY);
    sea_cpu_ops.mem_free(dev, NULL);
    CHECK_INT(sea_cpu_ops.mem_alloc(dev, 8, &mem), 0);
    CHECK_INT(sea_cpu_ops.mem_alloc(dev, 8, &to), 0);
    CHECK_INT(sea_cpu_ops.copy_in(dev, mem, "seaweed", 8), 0);
    CHECK_INT(sea_cpu_ops.copy(dev, to, mem, 8), 0);
    CHECK_INT(sea_cpu_ops.copy_out(dev, back, to, 8), 0);
    CHECK_INT(sea_cpu_ops.wait(dev), 0);
    CHECK_STR(back, "seaweed");
    sea_cpu_ops.mem_free(dev, mem);
    sea_cpu_ops.mem_free(dev, to);
}

/* Sizes on both sides of what is mapped, and pieces of several threads with a rest: every
 * byte moves once, zeros come without being asked for, and neighbours stay as they are. */
static void
bytes_move_by_all_threads(void)
{
    static const size_t sizes[] = { 1, 70, 524288, 1600003, ((size_t)4 << 20) + 17 };
    void *dev, *from, *to;

    CHECK_INT(sea_cpu_ops.dev_open(0, 3, &dev), 0);
    for (int i = 0; i < 5; i++) {
        size_t n = sizes[i], wrong = 0;
        unsigned char *a, *b;

        CHECK_INT(sea_cpu_ops.mem_alloc(dev, n + 2, &from), 0);
        CHECK_INT(sea_cpu_ops.mem_alloc_zeroed(dev, n + 2, &to), 0);
        CHECK_INT((uintptr_t)to % 64, 0);
        a = from;
        b = to;
        for (size_t k = 0; k < n + 2; k++) {
            wrong += b[k] != 0;
            a[k] = (unsigned char)(k * 2654435761u >> 24 | 1);
        }
        CHECK_INT(sea_cpu_ops.copy(dev, b + 1, a + 1, n), 0);
        for (size_t k = 1; k <= n; k++)
            wrong += b[k] != a[k];
        CHECK_INT(sea_cpu_ops.copy(dev, b, b + 1, n), 0);       /* over itself */
        for (size_t k = 0; k < n; k++)
            wrong += b[k] != a[k + 1];
        b[n + 1] = 9;
        CHECK_INT(sea_cpu_ops.mem_zero(dev, b + 1, n), 0);
        for (size_t k = 1; k <= n; k++)
            wrong += b[k] != 0;
        CHECK_INT(b[0], a[1]);
        CHECK_INT(b[n + 1], 9);
        CHECK_INT(wrong, 0);
        sea_cpu_ops.mem_free(dev, from);
        sea_cpu_ops.mem_free(dev, to);
    }
    sea_cpu_ops.dev_close(dev);
}

/* Tasks that count themselves: each of the range exactly once, whatever sleeps or spins. */
struct counted {
    unsigned char *times;
};

static void
count(const void *args, int64_t begin, int64_t end, float *scratch)
{
    const struct counted *counted = args;

    scratch[0] = 1.0f;
    for (int64_t i = begin; i < end; i++)
        counted->times[i]++;
}

static void
every_task_runs_once(void)
{
    enum { N = 1000 };
    static unsigned char times[N];
    const struct counted counted = { times };
    struct sea_cpu_pool *pool = sea_cpu_pool_create(5, 16);
    const struct timespec nap = { 0, 300000 };
    int bad = 0;

    CHECK(pool != NULL);
    for (int round = 0; pool && round < 3000; round++) {
        int64_t total = 1 + round % N, grain = 1 + round % 7;

        memset(times, 0, sizeof(times));
        sea_cpu_pool_run(pool, count, &counted, total, grain);
        for (int64_t i = 0; i < N; i++)
            bad += times[i] != (i < total);
        if (round % 100 == 0)
            nanosleep(&nap, NULL);      /* lets the threads fall asleep */
    }
    CHECK_INT(bad, 0);
    sea_cpu_pool_destroy(pool);
    sea_cpu_pool_destroy(NULL);
}

static void
rest(const void *args, int64_t begin, int64_t end, float *scratch)
{
    const struct timespec *nap = args;

    (void)scratch;
    for (; begin < end; begin++)
        nanosleep(nap, NULL);
}

/* Tasks outlast every spin: the caller sleeps and each end must wake it. A lost wake-up
 * would hang; the alarm ends the program instead. */
static void
a_sleeping_caller_is_woken(void)
{
    struct sea_cpu_pool *pool = sea_cpu_pool_create(3, 16);

    CHECK(pool != NULL);
    alarm(60);
    for (long round = 0; pool && round < 200; round++) {
        const struct timespec nap = { 0, 100000 + round % 7 * 90000 };

        sea_cpu_pool_run(pool, rest, &nap, 3 + round % 3, 1);
    }
    alarm(0);
    sea_cpu_pool_destroy(pool);
}

/* A waiting pool must not burn the processor: 0.1 s of rest costs a small part of it. */
static void
an_idle_pool_sleeps(void)
{
    const struct timespec nap = { 0, 100000000 };
    struct sea_cpu_pool *pool = sea_cpu_pool_create(3, 16);
    static unsigned char times[64];
    const struct counted counted = { times };
    clock_t used;

    CHECK(pool != NULL);
    if (!pool)
        return;
    sea_cpu_pool_run(pool, count, &counted, 64, 1);
    used = clock();
    nanosleep(&nap, NULL);
    used = clock() - used;
    printf("  processor time in 100 ms of rest: %.3f ms\n",
           1e3 * (double)used / (double)CLOCKS_PER_SEC);
    CHECK((double)used / (double)CLOCKS_PER_SEC < 0.02);
    sea_cpu_pool_destroy(pool);
}

/* Not how fast it is, but that both limits are there and plausible. */
static void
limits_are_measured(void)
{
    enum { FLOATS = 1 << 20 };

    for (int d = 0; d < kt_open(); d++) {
        struct sea_op_limits op = { .mem = kt_zeros(FLOATS), .bytes = FLOATS * sizeof(float) };

        CHECK_INT(sea_cpu_ops.limits(kt_sets[d].dev[1], &op), 0);
        printf("  %-9s 3 threads: %.1f GFLOP/s, %.1f GB/s\n", kt_sets[d].isa->name,
               1e-9 * op.flops, 1e-9 * op.read_rate);
        CHECK(op.flops > 1e7 && op.flops < 1e15);
        CHECK(op.read_rate > 1e6 && op.read_rate < 1e14);
        op.bytes = 0;
        CHECK_INT(sea_cpu_ops.limits(kt_sets[d].dev[0], &op), 0);
        CHECK(op.read_rate == 0.0 && op.flops > 1e7);
        op = (struct sea_op_limits){ .bytes = 5 };
        CHECK_INT(sea_cpu_ops.limits(kt_sets[d].dev[0], &op), SEA_RC_ARGUMENT);
        kt_done();
    }
}

SEA_TEST_MAIN("the CPU device", TEST(the_table_is_complete), TEST(devices_open_and_close),
              TEST(bfloat16_beside_weights_is_refused),
              TEST(memory_is_aligned_and_bounded), TEST(bytes_move_by_all_threads),
              TEST(limits_are_measured),
              TEST(every_task_runs_once),
              TEST(a_sleeping_caller_is_woken), TEST(an_idle_pool_sleeps))
